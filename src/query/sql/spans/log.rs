//! The log's spans as rows of the table.

use crate::codec::stored::{self, Batch, StoredError};
use crate::error::{Error, Result};
use crate::lake::spans::TABLE;
use crate::lake::spans::rows::RowBuilder;
use crate::query::sql::stored::{StoredTable, digest};
use crate::store::day_of;
use arrow::array::{Array, Date32Array, RecordBatch};
use std::collections::HashSet;

/// Rows of a batch of the log's records.
const BATCH_ROWS: usize = 8_192;

/// The rows of the log that are not in the table yet.
#[derive(Clone, Debug)]
pub struct LogBatch {
    /// In the columns of [`crate::lake::spans::schema::TABLE_SCHEMA`].
    pub rows: RecordBatch,
    /// The day of each row, as the flush would lay it out.
    pub days: Vec<i32>,
    /// Whether a row's day is its own timestamp's; else it is its arrival's, and a copy that was sent again may lie
    /// in another day.
    pub day_is_own: Vec<bool>,
}

/// The log's records as rows, each once: a span's encoding is canonical, so equal spans of equal scopes have equal
/// bytes. Of those only digests are kept.
#[derive(Default)]
pub struct LogRows {
    seen: HashSet<u128>,
    builder: RowBuilder,
    days: Vec<i32>,
    day_is_own: Vec<bool>,
    batches: Vec<LogBatch>,
}

impl LogRows {
    /// Adds a record's spans, up to where it cannot be decoded.
    pub fn add(&mut self, record: &[u8]) -> Result<std::result::Result<(), StoredError>> {
        let mut batch = match Batch::open(record) {
            Ok(batch) => batch,
            Err(e) => return Ok(Err(e)),
        };
        loop {
            let body = match batch.next_span() {
                Ok(place) => place.and_then(|place| record.get(place.offset..place.offset + place.len)),
                Err(e) => return Ok(Err(e)),
            };
            let Some(body) = body else { return Ok(Ok(())) };
            let span = match stored::decode_span(body) {
                Ok(span) => span,
                Err(e) => return Ok(Err(e)),
            };
            if !self.seen.insert(digest(&(&batch.scope, body))) {
                continue;
            }
            self.builder.push(&batch.scope, &span);
            let day = day_of(span.timestamp, batch.arrival);
            self.days.push(day);
            self.day_is_own.push(span.timestamp.is_some_and(|micros| day_of(Some(micros), micros) == day));
            if self.builder.rows() == BATCH_ROWS {
                self.close_batch()?;
            }
        }
    }

    fn close_batch(&mut self) -> Result<()> {
        let failed = |e: arrow::error::ArrowError| Error::internal(format!("the log's records as rows: {e}"));
        let (days, day_is_own) = (std::mem::take(&mut self.days), std::mem::take(&mut self.day_is_own));
        let rows = self.builder.finish().map_err(failed)?;
        // What the columns grew in beyond what they need would stay for as long as the statement runs.
        let (schema, mut columns, _) = rows.into_parts();
        columns.iter_mut().for_each(Array::shrink_to_fit);
        let rows = RecordBatch::try_new(schema, columns).map_err(failed)?;
        let rows = StoredTable::with_days(&TABLE, &rows, Date32Array::from(days.clone())).map_err(failed)?;
        self.batches.push(LogBatch { rows, days, day_is_own });
        Ok(())
    }

    pub fn finish(mut self) -> Result<Vec<LogBatch>> {
        if self.builder.rows() > 0 {
            self.close_batch()?;
        }
        Ok(self.batches)
    }
}
