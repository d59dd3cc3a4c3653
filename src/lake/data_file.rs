//! Data files of whatever table: their bytes checked, their footer in memory, all their rows in order.
//!
//! A file's footer, its page index and the bloom filters of the column that its rows are looked up by are loaded at the
//! first use and stay in memory. All that is read is checked against the file's checksums ([`super::checksums`]) before
//! it is decoded. How rows are looked up is each table's own ([`super::spans::lookup`], [`super::events`]).

use super::checksums::Checksums;
use super::events::directory::Directory;
use super::source::Source;
use super::spans::summary::Summary;
use crate::fs::{Fs, OpenMode};
use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// The column that the rows of each table are looked up by.
const KEYS: [&str; 2] = [super::spans::TABLE.key, super::events::TABLE.key];

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
    /// When its rows came into the table, those that came last: milliseconds since 1970 UTC. 0 until it is committed.
    pub since: i64,
    pub stats: FileStats,
}

/// The least and the greatest value of some columns; `None` where all rows are null, the table has no such column, or
/// it is not known.
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
    /// Microseconds since 1970 UTC.
    pub last_seen: Option<(i64, i64)>,
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

/// A data file of a table, shared by all readers.
#[derive(Debug)]
pub struct DataFile {
    info: FileInfo,
    fs: Arc<dyn Fs>,
    path: PathBuf,
    loaded: OnceLock<Loaded>,
    /// Known without the rest of what is loaded; `None` in a file of other making.
    checksums: OnceLock<Option<Arc<Checksums>>>,
    /// Of a file of spans.
    pub(super) summaries: OnceLock<Vec<Arc<Summary>>>,
    /// Of a file of service events.
    pub(super) directory: OnceLock<Arc<Directory>>,
}

/// What of a file stays in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub source: Source,
    metadata: ArrowReaderMetadata,
    /// The place of the key among the columns of the file.
    pub key: usize,
    /// Of the key, one a row group; `None` in a file of other making.
    pub filters: Vec<Option<Sbbf>>,
}

impl DataFile {
    /// The file that `info` names below the table's folder `root`; it is opened at its first use.
    pub fn new(fs: Arc<dyn Fs>, root: &Path, info: FileInfo) -> Self {
        let path = root.join(&info.path);
        DataFile {
            info,
            fs,
            path,
            loaded: OnceLock::new(),
            checksums: OnceLock::new(),
            summaries: OnceLock::new(),
            directory: OnceLock::new(),
        }
    }

    pub fn info(&self) -> &FileInfo {
        &self.info
    }

    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A failure is not kept: the process may have run out of handles, or an operator may have mended the file.
    pub(super) fn load(&self) -> Result<&Loaded, Damaged> {
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
        Ok(Source::new(file.into(), len, checksums))
    }

    fn read_footer(&self) -> Result<Loaded, Damaged> {
        let damaged = |offset: u64, what: String| Damaged { path: self.path.clone(), offset, what };
        let source = self.open()?;
        let len = source.len();
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let metadata =
            guard(|| ArrowReaderMetadata::load(&source, options)).map_err(|e| damaged(source.last(), e.to_string()))?;
        let columns = metadata.metadata().file_metadata().schema_descr();
        let key = columns
            .columns()
            .iter()
            .position(|column| KEYS.contains(&column.path().string().as_str()))
            .ok_or_else(|| damaged(len, format!("there is no column {}", KEYS.join(" or "))))?;
        let mut filters = Vec::new();
        for group in metadata.metadata().row_groups() {
            let filter = guard(|| Sbbf::read_from_column_chunk(group.column(key), &source))
                .map_err(|e| damaged(source.last(), e.to_string()))?;
            filters.push(filter);
        }
        Ok(Loaded { source, metadata, key, filters })
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

    /// What a failed read of the file is.
    pub(super) fn damaged(&self, loaded: &Loaded, error: ParquetError) -> Damaged {
        Damaged { path: self.path.clone(), offset: loaded.source.last(), what: error.to_string() }
    }
}

impl Loaded {
    pub fn metadata(&self) -> &ParquetMetaData {
        self.metadata.metadata()
    }

    /// The value of a pair of the footer's metadata.
    pub fn value(&self, key: &str) -> Option<&str> {
        let pairs = self.metadata().file_metadata().key_value_metadata()?;
        pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
    }

    /// Bytes of the file, checked.
    pub fn bytes(&self, offset: u64, length: u64) -> Result<Bytes, ParquetError> {
        self.source.get_bytes(offset, usize::try_from(length)?)
    }

    /// How many rows a row group has.
    pub fn rows(&self, group: usize) -> usize {
        usize::try_from(self.metadata.metadata().row_group(group).num_rows()).unwrap_or_default()
    }

    /// About how many bytes a row takes once it is read, at most, of those in `ranges`: each column's by the page of
    /// theirs that has the longest rows.
    pub fn row_bytes(&self, group: usize, ranges: &[Range<usize>]) -> usize {
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
    pub fn given(&self, group: usize) -> ProjectionMask {
        let metadata = self.metadata.metadata();
        let group = metadata.row_group(group);
        let rows = group.num_rows() as u64;
        let given = group.columns().iter().enumerate().filter(|(_, column)| {
            let nulls = column.statistics().and_then(|statistics| statistics.null_count_opt());
            nulls.is_none_or(|nulls| nulls < rows)
        });
        ProjectionMask::leaves(metadata.file_metadata().schema_descr(), given.map(|(place, _)| place))
    }

    /// Reads rows of a row group.
    pub fn reader(
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
