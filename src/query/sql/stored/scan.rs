//! A table's data files as a plan of DataFusion's: a plain Parquet scan of those that may hold an answer, by what the
//! table's log says of them.

use super::StoredTable;
use super::reads::CheckedReads;
use super::tolerant::Tolerant;
use crate::lake::FileInfo;
use crate::lake::spec::{DAY, TableSpec, UTC};
use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{DataType, Field};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_datasource::TableSchema;
use parquet::arrow::arrow_reader::RowSelection;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// The store's name that data files are read under, each table's below its name; it is known to nobody else.
pub const STORE: &str = "spanlake://tables/";

/// What a scan is to read of the files.
pub struct Wanted<'a> {
    /// The places of the files in [`StoredTable::files`].
    pub files: &'a [usize],
    /// Of such a file the places of rows to leave out, ascending.
    pub left_out: &'a HashMap<usize, Vec<usize>>,
    /// The columns, all without.
    pub projection: Option<&'a Vec<usize>>,
    /// What is true of all rows that are wanted, where the statement's own filters do not say so.
    pub implied: Option<Arc<dyn PhysicalExpr>>,
    /// How many rows will do.
    pub limit: Option<usize>,
}

impl StoredTable {
    /// The places of the files that may hold rows for the predicate.
    pub fn survivors(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<usize> {
        let infos: Vec<&FileInfo> = self.files.iter().map(|file| file.info()).collect();
        let kept = predicate.and_then(|predicate| {
            let pruning =
                PruningPredicateBuilder::new().with_file_schema((self.spec.table_schema)()).build(predicate.clone())?;
            pruning.prune(&FileBounds(self.spec, &infos)).ok()
        });
        match kept {
            Some(kept) => kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(place, _)| place).collect(),
            None => (0..infos.len()).collect(),
        }
    }

    /// The files' part of a plan.
    pub fn scan(self: &Arc<Self>, state: &dyn Session, wanted: Wanted<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let day = Arc::new(Field::new(DAY, DataType::Date32, true));
        let schema = TableSchema::builder((self.spec.file_schema)()).with_table_partition_cols(vec![day]).build();
        let url = ObjectStoreUrl::parse(STORE)?;
        let runtime = state.runtime_env();
        let footers = CachedParquetFileReaderFactory::new(
            runtime.object_store(&url)?,
            runtime.cache_manager.get_file_metadata_cache(),
        );
        let mut parquet = ParquetSource::new(schema)
            .with_pushdown_filters(true)
            .with_enable_page_index(true)
            .with_bloom_filter_on_read(true)
            .with_parquet_file_reader_factory(Arc::new(CheckedReads::new(self.clone(), footers)));
        if let Some(implied) = wanted.implied {
            parquet = parquet.with_predicate(implied);
        }
        let mut rows = 0;
        let mut files = Vec::with_capacity(wanted.files.len());
        for place in wanted.files {
            let Some(file) = self.files.get(*place) else { continue };
            let left_out = wanted.left_out.get(place).map(Vec::as_slice).unwrap_or_default();
            rows += (file.info().rows as usize).saturating_sub(left_out.len());
            files.push(self.partitioned_file(file.info(), left_out));
        }
        // A statement that only counts rows is answered from this, without a look at the files.
        let table_schema = (self.spec.table_schema)();
        let statistics = Statistics { num_rows: Precision::Exact(rows), ..Statistics::new_unknown(&table_schema) };
        let source = Tolerant::new(parquet, self.clone());
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(balanced(files, state.config().target_partitions()))
            .with_statistics(statistics)
            .with_projection_indices(wanted.projection.cloned())?
            .with_limit(wanted.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn partitioned_file(&self, info: &FileInfo, left_out: &[usize]) -> PartitionedFile {
        let mut file = PartitionedFile::new(self.location(info), info.size)
            .with_partition_values(vec![ScalarValue::Date32(Some(info.day))])
            .with_statistics(Arc::new(file_statistics(self.spec, info)));
        if !left_out.is_empty() {
            let kept = ranges_without(left_out, info.rows as usize);
            let selection = RowSelection::from_consecutive_ranges(kept.into_iter(), info.rows as usize);
            file = file.with_extension(ParquetRowSelection::new(selection));
        }
        file
    }
}

/// The ranges between `rows`, which ascend, below `end`.
fn ranges_without(rows: &[usize], end: usize) -> Vec<Range<usize>> {
    let mut kept = Vec::with_capacity(rows.len() + 1);
    let mut start = 0;
    for row in rows.iter().copied().chain([end]) {
        if row > start {
            kept.push(start..row);
        }
        start = row + 1;
    }
    kept
}

/// What is known of a file, for leaving it out while the statement runs (the newest rows first, say). The bounds of an
/// instant may be up to a millisecond too wide, which does no harm there; what is answered from statistics comes
/// from those of the whole scan, which have none.
fn file_statistics(spec: &TableSpec, info: &FileInfo) -> Statistics {
    let schema = (spec.file_schema)();
    let mut statistics = Statistics::new_unknown(&schema);
    statistics.num_rows = Precision::Exact(info.rows as usize);
    for (column, field) in statistics.column_statistics.iter_mut().zip(schema.fields()) {
        if let Some((least, greatest)) = bounds(info, field.name()) {
            *column = ColumnStatistics {
                min_value: Precision::Exact(least),
                max_value: Precision::Exact(greatest),
                ..ColumnStatistics::new_unknown()
            };
        }
    }
    statistics
}

fn bounds(info: &FileInfo, column: &str) -> Option<(ScalarValue, ScalarValue)> {
    let instant: fn(i64) -> ScalarValue = |micros| ScalarValue::TimestampMicrosecond(Some(micros), Some(UTC.into()));
    let both = |(least, greatest): (i64, i64), value: fn(i64) -> ScalarValue| (value(least), value(greatest));
    match column {
        "project" => info.stats.project.as_ref().map(|(least, greatest)| {
            (ScalarValue::Utf8(Some(least.clone())), ScalarValue::Utf8(Some(greatest.clone())))
        }),
        "trace_low" => info.stats.trace_low.map(|bounds| both(bounds, |value| ScalarValue::Int64(Some(value)))),
        "duration" => info.stats.duration.map(|bounds| both(bounds, |value| ScalarValue::Int64(Some(value)))),
        "timestamp" => info.stats.timestamp.map(|bounds| both(bounds, instant)),
        "last_seen" => info.stats.last_seen.map(|bounds| both(bounds, instant)),
        DAY => Some((ScalarValue::Date32(Some(info.day)), ScalarValue::Date32(Some(info.day)))),
        _ => None,
    }
}

/// What the table's log says of its files, as DataFusion asks for it.
struct FileBounds<'a>(&'a TableSpec, &'a [&'a FileInfo]);

impl FileBounds<'_> {
    fn column(&self, column: &Column, side: fn((ScalarValue, ScalarValue)) -> ScalarValue) -> Option<ArrayRef> {
        let schema = (self.0.table_schema)();
        let field = schema.field_with_name(column.name()).ok()?;
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let values = self.1.iter().map(|info| bounds(info, column.name()).map_or_else(|| unknown.clone(), side));
        ScalarValue::iter_to_array(values).ok()
    }
}

impl PruningStatistics for FileBounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, |(least, _)| least)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.column(column, |(_, greatest)| greatest)
    }

    fn num_containers(&self) -> usize {
        self.1.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.1.iter().map(|info| info.rows))))
    }

    fn contained(&self, _: &Column, _: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

/// Files in as many groups as partitions, of about the same number of bytes.
fn balanced(mut files: Vec<PartitionedFile>, partitions: usize) -> Vec<FileGroup> {
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); partitions.clamp(1, files.len().max(1))];
    files.sort_by_key(|file| std::cmp::Reverse(file.object_meta.size));
    for file in files {
        if let Some((bytes, group)) = groups.iter_mut().min_by_key(|(bytes, _)| *bytes) {
            *bytes += file.object_meta.size;
            group.push(file);
        }
    }
    groups.into_iter().map(|(_, files)| FileGroup::new(files)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_parts_the_rest_into_ranges() {
        let kept = |rows: &[usize], end| -> Vec<(usize, usize)> {
            ranges_without(rows, end).into_iter().map(|range| (range.start, range.end)).collect()
        };
        assert_eq!(kept(&[], 3), [(0, 3)]);
        assert_eq!(kept(&[0, 1, 4], 5), [(2, 4)]);
        assert_eq!(kept(&[1, 3], 6), [(0, 1), (2, 3), (4, 6)]);
        assert_eq!(kept(&[0], 1), []);
    }
}
