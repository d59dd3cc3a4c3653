//! The log's events as rows of the table.

use crate::codec::stored::StoredError;
use crate::codec::stored::events::{Batch, decode_event};
use crate::error::{Error, Result};
use crate::lake::events::TABLE;
use crate::lake::events::rows::RowBuilder;
use crate::query::sql::stored::StoredTable;
use crate::store::day_of;
use arrow::array::{Array, Date32Array, RecordBatch};
use arrow::error::ArrowError;

/// Rows of a batch of the log's records.
const BATCH_ROWS: usize = 8_192;

/// The log's records as rows, as they came: resends are settled with those of the files.
#[derive(Default)]
pub struct LogRows {
    builder: RowBuilder,
    /// The day of each row, as the flush would lay it out.
    days: Vec<i32>,
    batches: Vec<RecordBatch>,
}

impl LogRows {
    /// Adds a record's events, up to where it cannot be decoded.
    pub fn add(&mut self, record: &[u8]) -> Result<std::result::Result<(), StoredError>> {
        let mut batch = match Batch::open(record) {
            Ok(batch) => batch,
            Err(e) => return Ok(Err(e)),
        };
        loop {
            let body = match batch.next_event() {
                Ok(place) => place.and_then(|place| record.get(place.offset..place.offset + place.len)),
                Err(e) => return Ok(Err(e)),
            };
            let Some(body) = body else { return Ok(Ok(())) };
            let event = match decode_event(body) {
                Ok(event) => event,
                Err(e) => return Ok(Err(e)),
            };
            self.builder.push(batch.project, &event);
            self.days.push(day_of(Some(event.event.last_seen), batch.arrival));
            if self.days.len() == BATCH_ROWS {
                self.close_batch()?;
            }
        }
    }

    fn close_batch(&mut self) -> Result<()> {
        let failed = |e: ArrowError| Error::internal(format!("the log's events as rows: {e}"));
        let rows = self.builder.finish().map_err(failed)?;
        // What the columns grew in beyond what they need would stay for as long as the statement runs.
        let (schema, mut columns, _) = rows.into_parts();
        columns.iter_mut().for_each(Array::shrink_to_fit);
        let rows = RecordBatch::try_new(schema, columns).map_err(failed)?;
        let days = Date32Array::from(std::mem::take(&mut self.days));
        self.batches.push(StoredTable::with_days(&TABLE, &rows, days).map_err(failed)?);
        Ok(())
    }

    /// All rows, in the columns of the table.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>> {
        if !self.days.is_empty() {
            self.close_batch()?;
        }
        Ok(self.batches)
    }
}
