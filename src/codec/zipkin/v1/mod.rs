//! Zipkin v1 JSON: a posted span to rows, and the rows back to the posted span.
//!
//! * In: a v1 list. [`decode`] reads its [`V1Span`]s and [`split`]s each into the v2 rows that Zipkin's own conversion
//!   gives (see [`mod@split`] for the rules): one for most, two where client and server, or sides of several services,
//!   were posted in one span.
//! * Out: [`unsplit`] rebuilds the posted span from its rows, for the ATS API.
//!
//! The conversion loses things: which annotation had an endpoint, the order of tags, values that were no texts. What
//! the rows cannot tell lies in the column `v1` of the span's first row, as a [`record`]; a row of the most usual shape
//! has an empty one. The further rows of a posted span carry a mark that names their group.
//!
//! Invariants:
//! * `unsplit(split(span)) == span` for every span that [`decode`] makes;
//! * the column depends on the posted span alone, so that a span posted twice gives equal rows;
//! * of rows of several posted spans, [`mark`] tells which belong together, whatever their ids.

mod decode;
pub mod record;
pub mod split;

pub use decode::{decode, decode_posted};
pub use record::{Mark, mark, unsplit};
pub use split::split;

use super::bounds::ORIGINAL_LENGTH;
use crate::model::{Endpoint, TraceId};
use std::borrow::Cow;

/// A span as v1 has it: one object for all sides of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct V1Span<'a> {
    pub trace_id: TraceId,
    pub id: u64,
    /// As sent: Zipkin reads 0 as absent.
    pub parent_id: Option<u64>,
    /// As sent; may be empty, which agents send where they know none.
    pub name: Option<Cow<'a, str>>,
    /// Microseconds as sent; Zipkin reads 0 as absent. A server that only joined the span sends none.
    pub timestamp: Option<i64>,
    /// Microseconds as sent; Zipkin reads 0 as absent.
    pub duration: Option<i64>,
    pub annotations: Vec<V1Annotation<'a>>,
    pub binary_annotations: Vec<V1BinaryAnnotation<'a>>,
    pub debug: Option<bool>,
}

impl V1Span<'_> {
    /// A span of which only the ids are known.
    pub fn new(trace_id: TraceId, id: u64) -> Self {
        V1Span {
            trace_id,
            id,
            parent_id: None,
            name: None,
            timestamp: None,
            duration: None,
            annotations: Vec::new(),
            binary_annotations: Vec::new(),
            debug: None,
        }
    }
}

/// A moment, and who recorded it. Two-letter values say what side of the call began or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct V1Annotation<'a> {
    /// Microseconds since 1970 UTC.
    pub timestamp: i64,
    pub value: Cow<'a, str>,
    pub endpoint: Option<Endpoint<'a>>,
}

/// A tag with its recorder, or, with the keys `ca`, `sa` and `ma`, the address of a side of the call.
#[derive(Clone, Debug, PartialEq)]
pub struct V1BinaryAnnotation<'a> {
    pub key: Cow<'a, str>,
    pub value: V1Value<'a>,
    /// The field `type` of old agents (`BOOL`, `I64`, ...), as sent.
    pub kind: Option<Cow<'a, str>>,
    pub endpoint: Option<Endpoint<'a>>,
}

impl<'a> V1BinaryAnnotation<'a> {
    /// The tag that keeps the length of a value that was cut.
    pub(super) fn original_length(key: &str, length: usize, endpoint: Option<Endpoint<'a>>) -> Self {
        V1BinaryAnnotation {
            key: format!("{ORIGINAL_LENGTH}{key}").into(),
            value: V1Value::Text(length.to_string().into()),
            kind: None,
            endpoint,
        }
    }
}

/// What a binary annotation holds.
#[derive(Clone, Debug, PartialEq)]
pub enum V1Value<'a> {
    /// No value, or null.
    Absent,
    Text(Cow<'a, str>),
    /// Any other JSON value (`true`, `1.50`, `[1]`), as its text.
    Json(Cow<'a, str>),
}

#[cfg(test)]
mod tests;
