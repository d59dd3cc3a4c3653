//! Reads data files through their checksums: some rows of some columns by their places in a file, and, for DataFusion,
//! ranges of bytes.

use super::source::Source;
use crate::lake::DataFile;
use crate::lake::data_file::{Damaged, guard};
use crate::lake::source;
use arrow::array::RecordBatch;
use bytes::Bytes;
use datafusion::common::{DataFusionError, exec_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

const BATCH_ROWS: usize = 8_192;

/// Chosen rows of a file, batch by batch, in order.
pub struct SelectedRows {
    path: PathBuf,
    bytes: source::Source,
    reader: ParquetRecordBatchReader,
}

impl SelectedRows {
    /// Begins to read the columns of those names, or all; of the rows in `ranges` (ascending, apart), or all.
    pub fn open(file: &DataFile, columns: Option<&[&str]>, ranges: Option<&[Range<usize>]>) -> Result<Self, Damaged> {
        let path = file.path().to_owned();
        let bytes = file.open()?;
        let open = || {
            let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
            let metadata = ArrowReaderMetadata::load(&bytes, options)?;
            let rows = usize::try_from(metadata.metadata().file_metadata().num_rows())?;
            let mut builder =
                ParquetRecordBatchReaderBuilder::new_with_metadata(bytes.clone(), metadata).with_batch_size(BATCH_ROWS);
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
            Ok(reader) => Ok(SelectedRows { path, bytes, reader }),
            Err(e) => Err(Damaged { path, offset: bytes.last(), what: e.to_string() }),
        }
    }

    /// The next batch, `None` after the last.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>, Damaged> {
        guard(|| self.reader.next().transpose().map_err(ParquetError::from)).map_err(|e| Damaged {
            path: self.path.clone(),
            offset: self.bytes.last(),
            what: e.to_string(),
        })
    }
}

/// Whether a column has nulls, by the file's footer; `None` where that does not say.
pub fn has_nulls(file: &DataFile, column: &str) -> Option<bool> {
    let bytes = file.open().ok()?;
    let metadata = guard(|| ParquetMetaDataReader::new().parse_and_finish(&bytes)).ok()?;
    let leaves = metadata.file_metadata().schema_descr().columns();
    let leaf = leaves.iter().position(|leaf| leaf.path().string() == column)?;
    let mut nulls = 0;
    for group in metadata.row_groups() {
        nulls += group.column(leaf).statistics()?.null_count_opt()?;
    }
    Some(nulls > 0)
}

/// How far apart ranges may lie that are read at once.
const GAP: u64 = 64 << 10;

/// Makes readers of the files of a [`Source`] for DataFusion.
#[derive(Debug)]
pub struct CheckedReads {
    source: Arc<Source>,
    /// Reads the footer and keeps it, once it was checked.
    footers: CachedParquetFileReaderFactory,
}

impl CheckedReads {
    pub fn new(source: Arc<Source>, footers: CachedParquetFileReaderFactory) -> Self {
        CheckedReads { source, footers }
    }
}

impl ParquetFileReaderFactory for CheckedReads {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        footer_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let path = file.object_meta.location.to_string();
        let data_file = self.source.files.iter().find(|file| file.info().path == path).cloned();
        let data_file = data_file.ok_or_else(|| exec_datafusion_err!("{path} is no file of this statement"))?;
        let scanned = ParquetFileMetrics::new(partition, &path, metrics);
        let footer = self.footers.create_reader(partition, file, footer_hint, metrics)?;
        Ok(Box::new(CheckedReader { file: data_file, bytes: None, footer, scanned }))
    }
}

/// Reads one file.
struct CheckedReader {
    file: Arc<DataFile>,
    /// From the first read on.
    bytes: Option<source::Source>,
    footer: Box<dyn AsyncFileReader + Send>,
    scanned: ParquetFileMetrics,
}

impl CheckedReader {
    async fn opened(&mut self) -> Result<source::Source, ParquetError> {
        if let Some(bytes) = &self.bytes {
            return Ok(bytes.clone());
        }
        let file = self.file.clone();
        let bytes = on_a_blocking_thread(move || file.open().map_err(|e| ParquetError::External(Box::new(e)))).await?;
        Ok(self.bytes.insert(bytes).clone())
    }
}

impl AsyncFileReader for CheckedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        async move {
            let read = self.get_byte_ranges(vec![range]).await?;
            read.into_iter().next().ok_or_else(|| ParquetError::EOF("nothing was read".to_owned()))
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move {
            let wanted: u64 = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
            self.scanned.bytes_scanned.add(usize::try_from(wanted)?);
            let bytes = self.opened().await?;
            on_a_blocking_thread(move || read_ranges(&bytes, &ranges)).await
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        async move {
            // Opening checks the footer.
            self.opened().await?;
            self.footer.get_metadata(options).await
        }
        .boxed()
    }
}

/// The bytes of ranges in any order; those near each other are read at once, so that no block is read and checked again
/// for each page in it.
fn read_ranges(bytes: &source::Source, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, ParquetError> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    let mut read = Vec::with_capacity(merged.len());
    for range in &merged {
        read.push(bytes.get_bytes(range.start, usize::try_from(range.end.saturating_sub(range.start))?)?);
    }
    let part = |range: &Range<u64>| {
        let place = merged.partition_point(|merged| merged.start <= range.start).checked_sub(1)?;
        let skip = usize::try_from(range.start - merged.get(place)?.start).ok()?;
        let end = skip.checked_add(usize::try_from(range.end.checked_sub(range.start)?).ok()?)?;
        let within = read.get(place)?;
        (end <= within.len()).then(|| within.slice(skip..end))
    };
    ranges.iter().map(|range| part(range).ok_or_else(|| ParquetError::EOF(format!("no bytes at {range:?}")))).collect()
}

async fn on_a_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ParquetError> + Send + 'static,
) -> Result<T, ParquetError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(ParquetError::External(Box::new(e))))
}
