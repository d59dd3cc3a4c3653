//! Reads some rows of some columns of a data file, by their places in it.

use crate::fs::{File, Fs, OpenMode};
use crate::lake::DataFile;
use crate::lake::file_reader::Damaged;
use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BATCH_ROWS: usize = 8_192;

/// Chosen rows of a file, batch by batch, in order.
pub struct SelectedRows {
    path: PathBuf,
    reads: Reads,
    reader: ParquetRecordBatchReader,
}

impl SelectedRows {
    /// Begins to read the columns of those names, or all; of the rows in `ranges` (ascending, apart), or all.
    pub fn open(
        fs: &dyn Fs,
        file: &DataFile,
        columns: Option<&[&str]>,
        ranges: Option<&[Range<usize>]>,
    ) -> Result<Self, Damaged> {
        let path = file.path().to_owned();
        let failed = |e: io::Error| Damaged { path: path.clone(), offset: 0, what: e.to_string() };
        let handle = fs.open(&path, OpenMode::Read).map_err(failed)?;
        let len = handle.len().map_err(failed)?;
        let reads = Reads { file: handle.into(), len, last: Arc::default() };
        let open = || {
            let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
            let metadata = ArrowReaderMetadata::load(&reads, options)?;
            let rows = usize::try_from(metadata.metadata().file_metadata().num_rows())?;
            let mut builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(reads.clone(), metadata).with_batch_size(BATCH_ROWS);
            if let Some(names) = columns {
                let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
                builder = builder.with_projection(mask);
            }
            if let Some(ranges) = ranges {
                let within = ranges.iter().filter(|range| range.end <= rows).cloned();
                builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(within, rows));
            }
            builder.build()
        };
        match guard(open) {
            Ok(reader) => Ok(SelectedRows { path, reads, reader }),
            Err(e) => Err(Damaged { path, offset: reads.last.load(Ordering::Relaxed), what: e.to_string() }),
        }
    }

    /// The next batch, `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, Damaged> {
        guard(|| self.reader.next().transpose().map_err(ParquetError::from)).map_err(|e| Damaged {
            path: self.path.clone(),
            offset: self.reads.last.load(Ordering::Relaxed),
            what: e.to_string(),
        })
    }
}

/// Whether a column has nulls, by the file's footer; `None` where that does not say.
pub fn has_nulls(fs: &dyn Fs, file: &DataFile, column: &str) -> Option<bool> {
    let handle = fs.open(file.path(), OpenMode::Read).ok()?;
    let len = handle.len().ok()?;
    let reads = Reads { file: handle.into(), len, last: Arc::default() };
    let metadata = guard(|| ParquetMetaDataReader::new().parse_and_finish(&reads)).ok()?;
    let leaves = metadata.file_metadata().schema_descr().columns();
    let leaf = leaves.iter().position(|leaf| leaf.path().string() == column)?;
    let mut nulls = 0;
    for group in metadata.row_groups() {
        nulls += group.column(leaf).statistics()?.null_count_opt()?;
    }
    Some(nulls > 0)
}

/// Runs the Parquet decoder over bytes that may be damaged: where it panics on them, that is an error like any other.
fn guard<T>(work: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(ParquetError::General("the decoder gave up on these bytes".to_owned())))
}

/// A file's bytes for the Parquet reader.
#[derive(Clone, Debug)]
struct Reads {
    file: Arc<dyn File>,
    len: u64,
    /// Where the last read began, for error messages.
    last: Arc<AtomicU64>,
}

impl Length for Reads {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Reads {
    type T = io::BufReader<Sequential>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        self.last.store(start, Ordering::Relaxed);
        Ok(io::BufReader::new(Sequential { file: self.file.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.last.store(start, Ordering::Relaxed);
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} reach beyond the end")));
        }
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// Reads on from a place of a file.
#[derive(Debug)]
struct Sequential {
    file: Arc<dyn File>,
    at: u64,
}

impl Read for Sequential {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buf, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
