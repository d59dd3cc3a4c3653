//! Ranges of bytes of data files for DataFusion, read through the files' checksums.

use super::StoredTable;
use crate::lake::DataFile;
use crate::lake::source;
use bytes::Bytes;
use datafusion::common::{DataFusionError, exec_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileMetrics;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetFileReaderFactory};
use datafusion::parquet::arrow::async_reader::AsyncFileReader;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::ChunkReader;
use std::ops::Range;
use std::sync::Arc;

/// How far apart ranges may lie that are read at once.
const GAP: u64 = 64 << 10;

/// Makes readers of the files of a [`StoredTable`] for DataFusion.
#[derive(Debug)]
pub struct CheckedReads {
    table: Arc<StoredTable>,
    /// Reads the footer and keeps it, once it was checked.
    footers: CachedParquetFileReaderFactory,
}

impl CheckedReads {
    pub fn new(table: Arc<StoredTable>, footers: CachedParquetFileReaderFactory) -> Self {
        CheckedReads { table, footers }
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
        let location = file.object_meta.location.to_string();
        let data_file = self.table.file_at(&location).cloned();
        let data_file = data_file.ok_or_else(|| exec_datafusion_err!("{location} is no file of this statement"))?;
        let scanned = ParquetFileMetrics::new(partition, &location, metrics);
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
