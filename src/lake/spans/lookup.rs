//! The rows of some traces in a data file, by a handful of page reads.
//!
//! A lookup asks the filter of each row group, then the page index, then reads the pages of `trace_low` that may hold
//! the trace, and only then, of each column, the pages with its rows.

use crate::lake::DataFile;
use crate::lake::data_file::{Damaged, Loaded, guard};
use crate::lake::spec::PAGE_ROWS;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowSelection};
use parquet::errors::ParquetError;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of rows that a lookup reads at a time: an agent may send a megabyte in each tag.
const BATCH_BYTES: usize = 1 << 20;

impl DataFile {
    /// The rows whose `trace_low` is `low`, whatever their project, in order, in batches of at most `batch_rows` rows
    /// and about a megabyte.
    pub fn trace(self: &Arc<Self>, low: u64, batch_rows: usize) -> Result<TraceRows, Damaged> {
        self.traces(&[low], None, batch_rows)
    }

    /// As [`DataFile::trace`], of several traces in one pass; of all columns, or of those named.
    pub fn traces(
        self: &Arc<Self>,
        lows: &[u64],
        columns: Option<&[&str]>,
        batch_rows: usize,
    ) -> Result<TraceRows, Damaged> {
        let mut parts = Vec::new();
        let may_hold =
            |low: &i64| self.info().stats.trace_low.is_none_or(|(least, greatest)| (least..=greatest).contains(low));
        let mut lows: Vec<i64> = lows.iter().map(|low| *low as i64).filter(may_hold).collect();
        lows.sort_unstable();
        if lows.is_empty() {
            return Ok(TraceRows { file: self.clone(), columns: None, parts, reader: None });
        }
        let loaded = self.load()?;
        let schema = loaded.metadata().file_metadata().schema_descr();
        let columns = columns.map(|columns| ProjectionMask::columns(schema, columns.iter().copied()));
        for (group, filter) in loaded.filters.iter().enumerate() {
            let present = |low: &&i64| filter.as_ref().is_none_or(|filter| filter.check(*low));
            let present: Vec<i64> = lows.iter().filter(present).copied().collect();
            if present.is_empty() {
                continue;
            }
            if let Some(found) = self.select(loaded, group, &present).map_err(|e| self.damaged(loaded, e))? {
                let row_bytes = loaded.row_bytes(group, &found).max(1);
                let rows = loaded.rows(group);
                let selection = RowSelection::from_consecutive_ranges(found.into_iter(), rows);
                parts.push(Part { group, selection, batch_rows: (BATCH_BYTES / row_bytes).clamp(1, batch_rows) });
            }
        }
        parts.reverse();
        Ok(TraceRows { file: self.clone(), columns, parts, reader: None })
    }

    /// Which rows of a row group hold the traces, which are sorted: the page index says which pages may, their
    /// `trace_low` which rows do.
    fn select(&self, loaded: &Loaded, group: usize, lows: &[i64]) -> Result<Option<Vec<Range<usize>>>, ParquetError> {
        let metadata = loaded.metadata();
        let rows = loaded.rows(group);
        let pages = match pages_that_may_hold(loaded, group, rows, lows) {
            Some(pages) => pages,
            None => std::iter::once(0..rows).collect(),
        };
        if pages.is_empty() {
            return Ok(None);
        }
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), [loaded.key]);
        let selection = RowSelection::from_consecutive_ranges(pages.iter().cloned(), rows);
        let reader = guard(|| loaded.reader(group, Some(selection), mask, PAGE_ROWS))?;
        let mut found: Vec<Range<usize>> = Vec::new();
        let mut positions = pages.into_iter().flatten();
        // Values come in runs: most are answered by the one before.
        let mut last: Option<(i64, bool)> = None;
        for batch in reader {
            let batch = batch?;
            let column = batch.column(0).as_primitive_opt::<Int64Type>();
            let column = column.ok_or_else(|| ParquetError::General("trace_low is no bigint".to_owned()))?;
            for value in column.values() {
                let Some(position) = positions.next() else { break };
                let wanted = match last {
                    Some((known, wanted)) if known == *value => wanted,
                    _ => lows.binary_search(value).is_ok(),
                };
                last = Some((*value, wanted));
                if !wanted {
                    continue;
                }
                match found.last_mut() {
                    Some(range) if range.end == position => range.end += 1,
                    _ => found.push(position..position + 1),
                }
            }
        }
        Ok((!found.is_empty()).then_some(found))
    }
}

/// The pages of a row group whose bounds admit any of `lows`, as ranges of rows; `None` where the file has no page index.
fn pages_that_may_hold(loaded: &Loaded, group: usize, rows: usize, lows: &[i64]) -> Option<Vec<Range<usize>>> {
    let metadata = loaded.metadata();
    let ColumnIndexMetaData::INT64(index) = metadata.column_index()?.get(group)?.get(loaded.key)? else {
        return None;
    };
    let pages = metadata.offset_index()?.get(group)?.get(loaded.key)?.page_locations();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for (number, (least, greatest)) in index.min_values().iter().zip(index.max_values()).enumerate() {
        let next = lows.partition_point(|low| low < least);
        if lows.get(next).is_none_or(|low| low > greatest) {
            continue;
        }
        let start = usize::try_from(pages.get(number)?.first_row_index).ok()?;
        let end = match pages.get(number + 1) {
            Some(next) => usize::try_from(next.first_row_index).ok()?,
            None => rows,
        };
        match ranges.last_mut() {
            Some(range) if range.end == start => range.end = end,
            _ => ranges.push(start..end),
        }
    }
    Some(ranges)
}

/// The rows of some traces in one file, batch by batch.
#[derive(Debug)]
pub struct TraceRows {
    file: Arc<DataFile>,
    /// The columns wanted; `None` for all.
    columns: Option<ProjectionMask>,
    /// Row groups still to read, the next last.
    parts: Vec<Part>,
    reader: Option<ParquetRecordBatchReader>,
}

/// The rows of a row group that belong to the traces.
#[derive(Debug)]
struct Part {
    group: usize,
    selection: RowSelection,
    batch_rows: usize,
}

impl TraceRows {
    /// Whether the file holds no row of the traces.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.reader.is_none()
    }

    /// The next batch, `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, Damaged> {
        loop {
            if let Some(reader) = &mut self.reader {
                let file = &self.file;
                match guard(|| reader.next().transpose().map_err(ParquetError::from)) {
                    Ok(Some(batch)) => return Ok(Some(batch)),
                    Ok(None) => self.reader = None,
                    Err(e) => return Err(file.damaged(file.load()?, e)),
                }
            }
            let Some(Part { group, selection, batch_rows }) = self.parts.pop() else { return Ok(None) };
            let loaded = self.file.load()?;
            let mut mask = loaded.given(group);
            if let Some(columns) = &self.columns {
                mask.intersect(columns);
            }
            let reader = guard(|| loaded.reader(group, Some(selection), mask, batch_rows));
            self.reader = Some(reader.map_err(|e| self.file.damaged(loaded, e))?);
        }
    }
}
