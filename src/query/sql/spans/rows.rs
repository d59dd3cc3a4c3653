//! Some rows of some columns of a data file, by their places.

use crate::lake::DataFile;
use crate::lake::data_file::{Damaged, guard};
use crate::lake::source;
use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use std::ops::Range;
use std::path::PathBuf;

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
