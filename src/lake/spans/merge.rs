//! Merges the rows of several data files into one sorted stream without duplicates: what compaction does.
//!
//! Rows are compared by the sort key as it lies in the columns. Only where two keys are equal (a resent span, or the
//! two halves of a shared one that began in the same microsecond) are whole spans compared, which settles both their
//! order and whether one is to be dropped. The rows themselves are never decoded: the output is gathered column by
//! column from the inputs.

use super::rows::{RowError, Rows};
use super::schema::FILE_SCHEMA;
use crate::lake::data_file::{Damaged, DataFile, Scan};
use crate::lake::merging::{self, BATCH_ROWS, OUTPUT_BYTES, row_bytes, rows_at_a_time};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use std::cmp::Ordering;

/// Why files could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("merging rows: {0}")]
    Arrow(#[from] ArrowError),
    #[error("merging rows: {0}")]
    Row(#[from] RowError),
}

/// The rows of several files, merged.
pub struct Merge<'f> {
    sources: Vec<Source<'f>>,
    /// Batches that pending output rows lie in.
    batches: Vec<RecordBatch>,
    /// Output rows: the batch and the row in it.
    pending: Vec<(usize, usize)>,
    /// About how many bytes the pending rows take.
    pending_bytes: usize,
    dropped: u64,
}

struct Source<'f> {
    scan: Scan<'f>,
    /// The batch being read, its place among [`Merge::batches`], its keys, and the next row; `None` at the end.
    current: Option<Current>,
}

struct Current {
    batch: usize,
    keys: Keys,
    row: usize,
    rows: usize,
    /// About how many bytes a row takes.
    row_bytes: usize,
}

struct Keys {
    project: StringArray,
    trace_low: Int64Array,
    trace_id: StringArray,
    timestamp: TimestampMicrosecondArray,
    span_id: StringArray,
}

impl<'f> Merge<'f> {
    /// Begins to merge `files`, each of which is sorted.
    pub fn new(files: impl IntoIterator<Item = &'f DataFile>) -> Result<Self, MergeError> {
        let mut merge =
            Merge { sources: Vec::new(), batches: Vec::new(), pending: Vec::new(), pending_bytes: 0, dropped: 0 };
        for file in files {
            merge.sources.push(Source { scan: file.scan(None, rows_at_a_time(file)?)?, current: None });
        }
        for source in 0..merge.sources.len() {
            merge.advance_batch(source)?;
        }
        Ok(merge)
    }

    /// How many duplicates have been left out so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next rows, in the columns of [`FILE_SCHEMA`]; `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        while self.pending.len() < BATCH_ROWS && self.pending_bytes < OUTPUT_BYTES {
            let Some(source) = self.least()? else { break };
            let Some(current) = &mut self.sources[source].current else { break };
            let (row, row_bytes) = ((current.batch, current.row), current.row_bytes);
            current.row += 1;
            let exhausted = current.row == current.rows;
            if self.repeats_last(row)? {
                self.dropped += 1;
            } else {
                self.pending.push(row);
                self.pending_bytes += row_bytes;
            }
            if exhausted {
                self.advance_batch(source)?;
            }
        }
        self.give_out()
    }

    fn give_out(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        // The last row waits for the next turn, to be compared with what follows it.
        let more = self.sources.iter().any(|source| source.current.is_some());
        let keep = if more { self.pending.pop() } else { None };
        let inputs: Vec<&RecordBatch> = self.batches.iter().collect();
        let output = compute::interleave_record_batch(&inputs, &self.pending)?;
        self.pending.clear();
        self.pending.extend(keep);
        self.pending_bytes = 0;
        self.drop_read_batches();
        Ok(Some(output))
    }

    /// Keeps only the batches that sources still read or that the pending row lies in.
    fn drop_read_batches(&mut self) {
        let mut used: Vec<usize> = self.sources.iter().filter_map(|s| s.current.as_ref().map(|c| c.batch)).collect();
        used.extend(self.pending.iter().map(|(batch, _)| *batch));
        used.sort_unstable();
        used.dedup();
        let place = |old: usize| used.binary_search(&old).unwrap_or_default();
        self.batches = used.iter().map(|batch| self.batches[*batch].clone()).collect();
        for current in self.sources.iter_mut().filter_map(|source| source.current.as_mut()) {
            current.batch = place(current.batch);
        }
        for (batch, _) in &mut self.pending {
            *batch = place(*batch);
        }
    }

    fn advance_batch(&mut self, source: usize) -> Result<(), MergeError> {
        loop {
            match self.sources[source].scan.next_batch()? {
                None => {
                    self.sources[source].current = None;
                    return Ok(());
                }
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    let batch = conform(&batch)?;
                    let (rows, row_bytes) = (batch.num_rows(), row_bytes(&batch));
                    let current =
                        Current { batch: self.batches.len(), keys: Keys::of(&batch)?, row: 0, rows, row_bytes };
                    self.batches.push(batch);
                    self.sources[source].current = Some(current);
                    return Ok(());
                }
            }
        }
    }

    /// The source whose next row comes first. There are few sources, so they are simply walked.
    fn least(&self) -> Result<Option<usize>, MergeError> {
        let mut least: Option<(usize, &Current)> = None;
        for (number, source) in self.sources.iter().enumerate() {
            let Some(current) = &source.current else { continue };
            let before = match least {
                None => true,
                Some((_, best)) => self.compare(current, best)?.is_lt(),
            };
            if before {
                least = Some((number, current));
            }
        }
        Ok(least.map(|(number, _)| number))
    }

    fn compare(&self, a: &Current, b: &Current) -> Result<Ordering, MergeError> {
        match a.keys.compare(a.row, &b.keys, b.row) {
            Ordering::Equal => self.compare_spans((a.batch, a.row), (b.batch, b.row)),
            unequal => Ok(unequal),
        }
    }

    fn compare_spans(&self, a: (usize, usize), b: (usize, usize)) -> Result<Ordering, MergeError> {
        let (rows_a, rows_b) = (Rows::of(&self.batches[a.0])?, Rows::of(&self.batches[b.0])?);
        let spans = rows_a.span(a.1)?.cmp(&rows_b.span(b.1)?);
        Ok(spans.then_with(|| rows_a.scope(a.1).cmp(&rows_b.scope(b.1))))
    }

    fn repeats_last(&self, row: (usize, usize)) -> Result<bool, MergeError> {
        let Some(last) = self.pending.last() else { return Ok(false) };
        let (batch, last_batch) = (&self.batches[row.0], &self.batches[last.0]);
        // Most rows differ in the span id; only where they do not is the rest looked at.
        let same_id = match (text_column(batch, "span_id"), text_column(last_batch, "span_id")) {
            (Some(ids), Some(last_ids)) => ids.value(row.1) == last_ids.value(last.1),
            _ => true,
        };
        Ok(same_id && self.compare_spans(row, *last)?.is_eq())
    }
}

impl Keys {
    fn of(batch: &RecordBatch) -> Result<Keys, MergeError> {
        let missing = || ArrowError::SchemaError("a column of the sort key is missing or of another type".to_owned());
        let text = |name| text_column(batch, name).cloned().ok_or_else(missing);
        Ok(Keys {
            project: text("project")?,
            trace_low: batch
                .column_by_name("trace_low")
                .and_then(|c| c.as_primitive_opt::<Int64Type>())
                .cloned()
                .ok_or_else(missing)?,
            trace_id: text("trace_id")?,
            timestamp: batch
                .column_by_name("timestamp")
                .and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>())
                .cloned()
                .ok_or_else(missing)?,
            span_id: text("span_id")?,
        })
    }

    fn compare(&self, row: usize, other: &Keys, other_row: usize) -> Ordering {
        let instant = |keys: &Keys, row: usize| keys.timestamp.is_valid(row).then(|| keys.timestamp.value(row));
        self.project
            .value(row)
            .cmp(other.project.value(other_row))
            .then_with(|| self.trace_low.value(row).cmp(&other.trace_low.value(other_row)))
            .then_with(|| self.trace_id.value(row).cmp(other.trace_id.value(other_row)))
            .then_with(|| instant(self, row).cmp(&instant(other, other_row)))
            .then_with(|| self.span_id.value(row).cmp(other.span_id.value(other_row)))
    }
}

fn text_column<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>())
}

/// The batch in the columns of [`FILE_SCHEMA`]: columns that it lacks are null.
pub fn conform(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    merging::conform(batch, &FILE_SCHEMA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, RealFs};
    use crate::lake::merging::SOURCE_BYTES;
    use crate::lake::spans::rows::RowBuilder;
    use crate::lake::spans::writer::SpanFileWriter;
    use crate::model::{Scope, Span, TraceId};
    use std::path::Path;
    use std::sync::Arc;

    fn file(root: &Path, number: u64, rows: u64, tag_bytes: usize) -> DataFile {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
        let mut builder = RowBuilder::default();
        for row in 0..rows {
            let mut span = Span::new(TraceId::narrow(row + 1), number * 10_000 + row + 1);
            // What compresses to next to nothing.
            span.tags.push(("large".into(), format!("{row:08}").repeat(tag_bytes / 8).into()));
            builder.push(&scope, &span);
        }
        let mut writer =
            SpanFileWriter::create(fs.clone(), root, 20_000, &format!("{number}.parquet"), 1, &[]).unwrap();
        writer.push(&builder.finish().unwrap()).unwrap();
        DataFile::new(fs, root, writer.finish().unwrap())
    }

    fn held(merge: &Merge<'_>) -> usize {
        merge.batches.iter().map(RecordBatch::get_array_memory_size).sum()
    }

    #[test]
    fn rows_in_memory_are_bounded_by_their_bytes() {
        const TAG: usize = 256 * 1_024;
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<DataFile> = (0..4).map(|number| file(folder.path(), number, 40, TAG)).collect();
        let mut merge = Merge::new(&files).unwrap();
        let mut rows = 0;
        while let Some(batch) = merge.next_batch().unwrap() {
            let size = batch.get_array_memory_size();
            assert!(size <= 2 * OUTPUT_BYTES + 4 * TAG, "{size}");
            assert!(held(&merge) <= files.len() * (2 * SOURCE_BYTES + 4 * TAG) + 2 * OUTPUT_BYTES, "{}", held(&merge));
            rows += batch.num_rows();
        }
        assert_eq!(rows, 160);
    }

    #[test]
    fn small_rows_are_read_many_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path(), 0, 5_000, 64);
        assert!(rows_at_a_time(&file).unwrap() > 1_000, "{}", rows_at_a_time(&file).unwrap());
    }
}
