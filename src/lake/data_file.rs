//! Reads data files: the rows of one trace by a handful of page reads, or all rows in order.
//!
//! A file's footer, its page index and the bloom filters of `trace_low` are loaded at the first use and stay in
//! memory. A lookup asks the filter of each row group, then the page index, then reads the pages of `trace_low` that
//! may hold the trace, and only then, of each column, the pages with its rows. All that is read is checked against the
//! file's checksums ([`super::checksums`]) before it is decoded.

use super::checksums::{BLOCK, Checksums};
use super::spans::rows::Rows;
use super::spans::summary::{self, Summary, SummaryBuilder};
use crate::fs::{File, Fs, OpenMode};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Bytes of rows that a lookup reads at a time: an agent may send a megabyte in each tag.
const BATCH_BYTES: usize = 1 << 20;

/// Rows read at a time for a summary that is missing.
const SUMMARY_ROWS: usize = 1_024;

/// What the table's log says of a data file.
#[derive(Clone, Debug, PartialEq)]
pub struct FileInfo {
    /// Below the table's folder, e.g. `day=2026-11-22/….parquet`.
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub rows: u64,
    /// Days since 1970-01-01.
    pub day: i32,
    pub stats: FileStats,
}

/// The least and the greatest value of some columns; `None` where all rows are null or it is not known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileStats {
    pub project: Option<(String, String)>,
    pub trace_low: Option<(i64, i64)>,
    /// Microseconds since 1970 UTC.
    pub timestamp: Option<(i64, i64)>,
    /// Rows without a timestamp.
    pub timeless: Option<u64>,
    /// Microseconds.
    pub duration: Option<(i64, i64)>,
}

/// A data file that cannot be read as it should be.
#[derive(Clone, Debug, thiserror::Error)]
#[error("data file {path} near byte {offset}: {what}")]
pub struct Damaged {
    pub path: PathBuf,
    /// Where the last read began.
    pub offset: u64,
    pub what: String,
}

/// A data file of the table, shared by all readers.
#[derive(Debug)]
pub struct DataFile {
    info: FileInfo,
    fs: Arc<dyn Fs>,
    path: PathBuf,
    loaded: OnceLock<Loaded>,
    /// Known without the rest of what is loaded; `None` in a file of other making.
    checksums: OnceLock<Option<Arc<Checksums>>>,
    summaries: OnceLock<Vec<Arc<Summary>>>,
}

#[derive(Debug)]
struct Loaded {
    source: Source,
    metadata: ArrowReaderMetadata,
    /// The place of `trace_low` among the columns of the file.
    trace_low: usize,
    /// Of `trace_low`, one a row group; `None` in a file of other making.
    filters: Vec<Option<Sbbf>>,
}

impl DataFile {
    /// The file that `info` names below the table's folder `root`; it is opened at its first use.
    pub fn new(fs: Arc<dyn Fs>, root: &Path, info: FileInfo) -> Self {
        let path = root.join(&info.path);
        DataFile { info, fs, path, loaded: OnceLock::new(), checksums: OnceLock::new(), summaries: OnceLock::new() }
    }

    pub fn info(&self) -> &FileInfo {
        &self.info
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A failure is not kept: the process may have run out of handles, or an operator may have mended the file.
    fn load(&self) -> Result<&Loaded, Damaged> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let loaded = self.read_footer()?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    /// Opens the file for reads that are checked; its footer and indexes were, on return.
    pub fn open(&self) -> Result<Source, Damaged> {
        let damaged = |offset: u64, what: String| Damaged { path: self.path.clone(), offset, what };
        let file = self.fs.open(&self.path, OpenMode::Read).map_err(|e| damaged(0, e.to_string()))?;
        let len = file.len().map_err(|e| damaged(0, e.to_string()))?;
        if len != self.info.size {
            return Err(damaged(len, format!("the table's log says {} bytes, the file has {len}", self.info.size)));
        }
        let checksums = match self.checksums.get() {
            Some(checksums) => checksums.clone(),
            None => {
                let read = Checksums::read(file.as_ref(), len).map_err(|e| damaged(e.offset, e.what))?;
                self.checksums.get_or_init(|| read.map(Arc::new)).clone()
            }
        };
        Ok(Source { file: file.into(), len, checksums, last: Arc::default() })
    }

    fn read_footer(&self) -> Result<Loaded, Damaged> {
        let damaged = |offset: u64, what: String| Damaged { path: self.path.clone(), offset, what };
        let source = self.open()?;
        let len = source.len;
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata =
            guard(|| ArrowReaderMetadata::load(&source, options)).map_err(|e| damaged(source.last(), e.to_string()))?;
        let columns = metadata.metadata().file_metadata().schema_descr();
        let trace_low = columns
            .columns()
            .iter()
            .position(|column| column.path().string() == "trace_low")
            .ok_or_else(|| damaged(len, "there is no column trace_low".to_owned()))?;
        let mut filters = Vec::new();
        for group in metadata.metadata().row_groups() {
            let filter = guard(|| Sbbf::read_from_column_chunk(group.column(trace_low), &source))
                .map_err(|e| damaged(source.last(), e.to_string()))?;
            filters.push(filter);
        }
        Ok(Loaded { source, metadata, trace_low, filters })
    }

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
            |low: &i64| self.info.stats.trace_low.is_none_or(|(least, greatest)| (least..=greatest).contains(low));
        let mut lows: Vec<i64> = lows.iter().map(|low| *low as i64).filter(may_hold).collect();
        lows.sort_unstable();
        if lows.is_empty() {
            return Ok(TraceRows { file: self.clone(), columns: None, parts, reader: None });
        }
        let loaded = self.load()?;
        let schema = loaded.metadata.metadata().file_metadata().schema_descr();
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
        let metadata = loaded.metadata.metadata();
        let rows = loaded.rows(group);
        let pages = match pages_that_may_hold(loaded, group, rows, lows) {
            Some(pages) => pages,
            None => std::iter::once(0..rows).collect(),
        };
        if pages.is_empty() {
            return Ok(None);
        }
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), [loaded.trace_low]);
        let selection = RowSelection::from_consecutive_ranges(pages.iter().cloned(), rows);
        let reader = guard(|| loaded.reader(group, Some(selection), mask, super::spans::schema::PAGE_ROWS))?;
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

    /// All rows in order, in batches of at most `batch_rows`; of all columns, or of those named.
    pub fn scan(&self, columns: Option<&[&str]>, batch_rows: usize) -> Result<Scan<'_>, Damaged> {
        let loaded = self.load()?;
        let schema = loaded.metadata.metadata().file_metadata().schema_descr();
        let mask = match columns {
            None => ProjectionMask::all(),
            Some(names) => ProjectionMask::columns(schema, names.iter().copied()),
        };
        let open = || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(loaded.source.clone(), loaded.metadata.clone())
                .with_projection(mask)
                .with_batch_size(batch_rows)
                .build()
        };
        let reader = guard(open).map_err(|e| self.damaged(loaded, e))?;
        Ok(Scan { file: self, loaded, reader })
    }

    /// The file's summaries: each is of some of its traces, all of them together of all. Where they are not there, or
    /// cannot be read, they are made from the rows.
    pub fn summaries(&self) -> Result<&[Arc<Summary>], Damaged> {
        if let Some(summaries) = self.summaries.get() {
            return Ok(summaries);
        }
        let summaries = match self.stored_summaries()? {
            Some(summaries) => summaries,
            None => self.summarise()?,
        };
        Ok(self.summaries.get_or_init(|| summaries.into_iter().map(Arc::new).collect()))
    }

    fn stored_summaries(&self) -> Result<Option<Vec<Summary>>, Damaged> {
        let loaded = self.load()?;
        let pairs = loaded.metadata.metadata().file_metadata().key_value_metadata();
        let places = pairs.and_then(|pairs| pairs.iter().find(|pair| pair.key == summary::KEY)?.value.as_deref());
        let Some(places) = places else { return Ok(None) };
        let mut summaries = Vec::new();
        for place in places.split(',') {
            let place = place.split_once(' ').map(|(offset, length)| (offset.parse(), length.parse()));
            let Some((Ok(offset), Ok(length))) = place else { return Ok(None) };
            // All of it is read once, which checks it: what is damaged now is made again from the rows.
            let whole = usize::try_from(length).map_err(ParquetError::from);
            let whole = whole.and_then(|length| loaded.source.get_bytes(offset, length));
            let opened = whole
                .map_err(|error| self.damaged(loaded, error))
                .and_then(|_| Summary::of_file(loaded.source.clone(), offset, length, self.path.clone()));
            match opened {
                Ok(summary) => summaries.push(summary),
                Err(error) => {
                    tracing::warn!(%error, "a summary cannot be read; it is made again from the rows");
                    return Ok(None);
                }
            }
        }
        Ok(Some(summaries))
    }

    fn summarise(&self) -> Result<Vec<Summary>, Damaged> {
        let mut summaries = Vec::new();
        let mut builder = SummaryBuilder::new(&[]);
        let mut scan = self.scan(None, SUMMARY_ROWS)?;
        while let Some(batch) = scan.next_batch()? {
            let fault =
                |e: super::spans::rows::RowError| Damaged { path: self.path.clone(), offset: 0, what: e.to_string() };
            let rows = Rows::of(&batch).map_err(fault)?;
            for row in 0..rows.len() {
                let (scope, span) = (rows.scope(row), rows.span(row).map_err(fault)?);
                if builder.is_full() && builder.begins_trace(&scope, &span) {
                    let full = std::mem::replace(&mut builder, SummaryBuilder::new(&[]));
                    summaries.push(Summary::of_bytes(full.finish().into())?);
                }
                builder.push(&scope, &span);
            }
        }
        summaries.push(Summary::of_bytes(builder.finish().into())?);
        Ok(summaries)
    }

    fn damaged(&self, loaded: &Loaded, error: ParquetError) -> Damaged {
        Damaged { path: self.path.clone(), offset: loaded.source.last(), what: error.to_string() }
    }
}

/// The pages of a row group whose bounds admit any of `lows`, as ranges of rows; `None` where the file has no page index.
fn pages_that_may_hold(loaded: &Loaded, group: usize, rows: usize, lows: &[i64]) -> Option<Vec<Range<usize>>> {
    let metadata = loaded.metadata.metadata();
    let ColumnIndexMetaData::INT64(index) = metadata.column_index()?.get(group)?.get(loaded.trace_low)? else {
        return None;
    };
    let pages = metadata.offset_index()?.get(group)?.get(loaded.trace_low)?.page_locations();
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

impl Loaded {
    fn rows(&self, group: usize) -> usize {
        usize::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or_default()
    }

    /// About how many bytes a row takes once it is read, at most, of those in `ranges`: each column's by the page of
    /// theirs that has the longest rows.
    fn row_bytes(&self, group: usize, ranges: &[Range<usize>]) -> usize {
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else { return 0 };
        let Some(columns) = self.metadata.metadata().offset_index().and_then(|index| index.get(group)) else {
            return 0;
        };
        let rows = self.rows(group);
        let mut total = 0;
        for column in columns {
            let pages = column.page_locations();
            let texts = column.unencoded_byte_array_data_bytes();
            let start = |page: usize| pages.get(page).map_or(rows, |page| page.first_row_index as usize);
            let widest =
                (0..pages.len()).filter(|page| start(*page) < last.end && start(page + 1) > first.start).map(|page| {
                    let bytes = texts.and_then(|texts| texts.get(page)).map_or(0, |bytes| *bytes as usize);
                    (bytes + pages[page].compressed_page_size as usize) / (start(page + 1) - start(page)).max(1)
                });
            total += widest.max().unwrap_or_default();
        }
        total
    }

    /// The columns that a row group has any value in. The others read as null without being read, which saves a lookup
    /// a quarter of its time: most spans leave a third of the columns empty.
    fn given(&self, group: usize) -> ProjectionMask {
        let metadata = self.metadata.metadata();
        let group = metadata.row_group(group);
        let rows = group.num_rows() as u64;
        let given = group.columns().iter().enumerate().filter(|(_, column)| {
            let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
            nulls.is_none_or(|nulls| nulls < rows)
        });
        ProjectionMask::leaves(metadata.file_metadata().schema_descr(), given.map(|(place, _)| place))
    }

    fn reader(
        &self,
        group: usize,
        selection: Option<RowSelection>,
        mask: ProjectionMask,
        batch_rows: usize,
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(batch_rows);
        if let Some(selection) = selection {
            builder = builder.with_row_selection(selection);
        }
        builder.build()
    }
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

/// All rows of a file, batch by batch.
pub struct Scan<'f> {
    file: &'f DataFile,
    loaded: &'f Loaded,
    reader: ParquetRecordBatchReader,
}

impl Scan<'_> {
    /// The next batch, `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, Damaged> {
        guard(|| self.reader.next().transpose().map_err(ParquetError::from))
            .map_err(|e| self.file.damaged(self.loaded, e))
    }
}

/// Runs the Parquet decoder over bytes that may be damaged: where it panics on them, that is an error like any other.
pub fn guard<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(ParquetError::General("the decoder gave up on these bytes".to_owned())))
}

/// A file's bytes for the Parquet reader, checked: reads name their place, so that many lookups share one handle.
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<dyn File>,
    len: u64,
    /// `None` in a file of other making.
    checksums: Option<Arc<Checksums>>,
    /// Where the last read began, for error messages.
    last: Arc<AtomicU64>,
}

impl Source {
    /// Where the last read began, or what it met that is damaged.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The bytes of a range that lies in the file.
    fn read(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.last.store(start, Ordering::Relaxed);
        let end = start + length as u64;
        let (from, to) = self.checksums.as_ref().map_or((start, end), |checksums| checksums.around(start, end));
        let mut bytes = vec![0; usize::try_from(to - from)?];
        self.file.read_exact_at(&mut bytes, from)?;
        if let Some(checksums) = &self.checksums {
            checksums.check(from, &bytes).map_err(|mismatch| {
                self.last.store(mismatch.offset, Ordering::Relaxed);
                ParquetError::General(mismatch.what)
            })?;
        }
        let skip = usize::try_from(start - from)?;
        Ok(Bytes::from(bytes).slice(skip..skip + length))
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Source {
    type T = Sequential;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Sequential { source: self.clone(), at: start, block: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            self.last.store(start, Ordering::Relaxed);
            return Err(ParquetError::EOF(format!("{length} bytes at {start} reach beyond the end")));
        }
        self.read(start, length)
    }
}

/// Reads on from a place of a file.
#[derive(Debug)]
pub struct Sequential {
    source: Source,
    at: u64,
    /// What was read and not given out yet.
    block: Bytes,
}

impl Read for Sequential {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            let end = (self.at / BLOCK + 1).saturating_mul(BLOCK).min(self.source.len);
            let length = usize::try_from(end.saturating_sub(self.at)).map_err(io::Error::other)?;
            self.block = self.source.read(self.at, length).map_err(io::Error::other)?;
        }
        let given = self.block.split_to(self.block.len().min(buf.len()));
        buf[..given.len()].copy_from_slice(&given);
        self.at += given.len() as u64;
        Ok(given.len())
    }
}
