//! Placeholder until the rows' branch comes in.
use crate::lake::file_writer::WriteError;
use crate::store::kind::FlushError;
use crate::store::target::{Target, Written};
use bytes::Bytes;
pub fn write(_target: &Target, _batches: &[Bytes]) -> Result<Written, FlushError> {
    Err(FlushError::Write(WriteError::Rows(arrow::error::ArrowError::NotYetImplemented(String::new()))))
}
