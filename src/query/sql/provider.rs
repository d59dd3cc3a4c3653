//! The stored spans as a table of DataFusion's: the data files by its Parquet source, and the log's rows beside them.
//!
//! Before anything is read, files are left out by what the table's log says of them, and copies of rows are found
//! ([`super::duplicates`]): a file that has some is read with a selection of its rows, all others as they are. A
//! statement that names its traces is answered like a lookup, by a handful of page reads a file.

use super::duplicates::{self, Duplicates, Excluded};
use super::rows::CheckedReads;
use super::source::{Source, blocking, with_days};
use super::tolerant::Tolerant;
use crate::error::Result;
use crate::lake::spans::schema::{FILE_SCHEMA, TABLE_SCHEMA};
use crate::lake::spec::{DAY, UTC};
use crate::lake::{DataFile, FileInfo};
use crate::model::TraceId;
use arrow::array::{ArrayRef, AsArray, BooleanArray, Date32Array, RecordBatch, UInt64Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{Column, ColumnStatistics, DFSchema, DataFusionError, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::parquet::{CachedParquetFileReaderFactory, ParquetRowSelection};
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use datafusion_datasource::TableSchema;
use parquet::arrow::arrow_reader::RowSelection;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// The store's name that data files are read under; it is known to nobody else.
pub const STORE: &str = "spanlake://table/";

/// The most traces, and rows of them, that are read as lookups; above that files are scanned.
const LOOKUP_TRACES: usize = 64;
const LOOKUP_ROWS: usize = 100_000;

/// The stored spans, each once.
#[derive(Debug)]
pub struct Spans {
    source: Arc<Source>,
    duplicates: Arc<Duplicates>,
}

impl Spans {
    pub fn new(source: Arc<Source>) -> Self {
        Spans { source, duplicates: Arc::default() }
    }

    /// The places of the files that may hold rows for the predicate.
    fn survivors(&self, predicate: Option<&Arc<dyn PhysicalExpr>>) -> Vec<usize> {
        let infos: Vec<&FileInfo> = self.source.files.iter().map(|file| file.info()).collect();
        let kept = predicate.and_then(|predicate| {
            let pruning =
                PruningPredicateBuilder::new().with_file_schema(TABLE_SCHEMA.clone()).build(predicate.clone())?;
            pruning.prune(&FileBounds(&infos)).ok()
        });
        match kept {
            Some(kept) => kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(place, _)| place).collect(),
            None => (0..infos.len()).collect(),
        }
    }

    /// The files' part of the plan.
    fn files_plan(
        &self,
        state: &dyn Session,
        survivors: &[usize],
        excluded: &Excluded,
        projection: Option<&Vec<usize>>,
        implied: Option<Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let day = Arc::new(Field::new(DAY, DataType::Date32, true));
        let schema = TableSchema::builder(FILE_SCHEMA.clone()).with_table_partition_cols(vec![day]).build();
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
            .with_parquet_file_reader_factory(Arc::new(CheckedReads::new(self.source.clone(), footers)));
        if let Some(implied) = implied {
            parquet = parquet.with_predicate(implied);
        }
        let mut rows = 0;
        let mut files = Vec::with_capacity(survivors.len());
        for place in survivors {
            let Some(file) = self.source.files.get(*place) else { continue };
            let info = file.info();
            let copies = excluded.files.get(place).map(Vec::as_slice).unwrap_or_default();
            rows += (info.rows as usize).saturating_sub(copies.len());
            files.push(partitioned_file(info, copies));
        }
        // A statement that only counts rows is answered from this, without a look at the files.
        let statistics = Statistics { num_rows: Precision::Exact(rows), ..Statistics::new_unknown(&TABLE_SCHEMA) };
        let source = Tolerant::new(parquet, self.source.clone());
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(balanced(files, state.config().target_partitions()))
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The log's rows that are no copies.
    fn log_rows(&self, excluded: &HashSet<(usize, usize)>) -> Result<Vec<RecordBatch>> {
        let mut kept = Vec::with_capacity(self.source.log.len());
        for (number, batch) in self.source.log.iter().enumerate() {
            let keep: Vec<bool> = (0..batch.rows.num_rows()).map(|row| !excluded.contains(&(number, row))).collect();
            kept.push(if keep.contains(&false) { filtered(&batch.rows, keep)? } else { batch.rows.clone() });
        }
        Ok(kept)
    }
}

fn filtered(batch: &RecordBatch, keep: Vec<bool>) -> Result<RecordBatch> {
    filter_record_batch(batch, &BooleanArray::from(keep)).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> crate::error::Error {
    crate::error::Error::internal(error.to_string())
}

pub(super) fn external(error: crate::error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

#[async_trait::async_trait]
impl TableProvider for Spans {
    fn schema(&self) -> SchemaRef {
        TABLE_SCHEMA.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> datafusion::error::Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let schema = DFSchema::try_from(TABLE_SCHEMA.clone())?;
        let traces = traces_named(filters);
        let implied = traces.as_ref().map(trace_low_in);
        let predicate = conjunction(filters.iter().cloned().chain(implied.clone()))
            .map(|predicate| state.create_physical_expr(predicate, &schema))
            .transpose()?;
        let survivors = self.survivors(predicate.as_ref());

        if let Some(traces) = traces.filter(|traces| traces.len() <= LOOKUP_TRACES) {
            let (source, files) = (self.source.clone(), survivors.clone());
            let found = blocking(move || look_up(&source, &files, &traces)).await.map_err(external)?;
            if let Some(batches) = found {
                return Ok(MemorySourceConfig::try_new_exec(&[batches], TABLE_SCHEMA.clone(), projection.cloned())?);
            }
        }

        let (source, duplicates, files) = (self.source.clone(), self.duplicates.clone(), survivors.clone());
        let excluded = blocking(move || duplicates.find(&source, &files)).await.map_err(external)?;
        let implied = implied.map(|implied| state.create_physical_expr(implied, &schema)).transpose()?;
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !survivors.is_empty() {
            parts.push(self.files_plan(state, &survivors, &excluded, projection, implied, limit)?);
        }
        let log = self.log_rows(&excluded.log).map_err(external)?;
        if parts.is_empty() || log.iter().any(|batch| batch.num_rows() > 0) {
            parts.push(MemorySourceConfig::try_new_exec(&[log], TABLE_SCHEMA.clone(), projection.cloned())?);
        }
        if parts.len() == 1 { Ok(parts.remove(0)) } else { UnionExec::try_new(parts) }
    }
}

/// The rows of some traces, each once; `None` where there are too many of them.
fn look_up(source: &Source, files: &[usize], traces: &BTreeSet<i64>) -> Result<Option<Vec<RecordBatch>>> {
    let mut batches = Vec::new();
    let mut rows = 0;
    for file in files.iter().filter_map(|place| source.files.get(*place)) {
        for low in traces {
            let mut found = Vec::new();
            if let Err(damage) = rows_of_trace(file, *low, &mut rows, &mut found) {
                source.notes.add_damage(&damage);
            }
            if rows > LOOKUP_ROWS {
                return Ok(None);
            }
            for batch in found {
                let days = Date32Array::from(vec![file.info().day; batch.num_rows()]);
                batches.push(with_days(&batch, days).map_err(internal)?);
            }
        }
    }
    for batch in &source.log {
        let lows = batch.rows.column_by_name("trace_low").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let keep: Vec<bool> =
            lows.map(|lows| lows.values().iter().map(|low| traces.contains(low)).collect()).unwrap_or_default();
        if keep.contains(&true) {
            batches.push(filtered(&batch.rows, keep)?);
        }
    }
    let kept = duplicates::first_copies(&batches)?;
    let once = batches.iter().zip(kept).map(|(batch, keep)| filtered(batch, keep));
    once.collect::<Result<Vec<_>>>().map(Some)
}

fn rows_of_trace(
    file: &Arc<DataFile>,
    low: i64,
    rows: &mut usize,
    found: &mut Vec<RecordBatch>,
) -> std::result::Result<(), crate::lake::data_file::Damaged> {
    let mut trace = file.trace(low as u64, 8_192)?;
    while let Some(batch) = trace.next_batch()? {
        *rows += batch.num_rows();
        found.push(batch);
        if *rows > LOOKUP_ROWS {
            break;
        }
    }
    Ok(())
}

/// The low halves of the trace ids that the filters name, if they name any: `trace_id = '…'`, `trace_id IN (…)`, and the
/// same of `trace_low`. An id that is none names no trace.
fn traces_named(filters: &[Expr]) -> Option<BTreeSet<i64>> {
    let mut named: Option<BTreeSet<i64>> = None;
    for filter in filters.iter().flat_map(split_conjunction) {
        let lows: Option<BTreeSet<i64>> = match filter {
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
                low_named(left, right).or_else(|| low_named(right, left)).map(|low| low.into_iter().collect())
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
                let (left, right) = ([left.as_ref().clone()], [right.as_ref().clone()]);
                traces_named(&left).zip(traces_named(&right)).map(|(left, right)| left.union(&right).copied().collect())
            }
            Expr::InList(list) if !list.negated => {
                let lows: Option<Vec<_>> = list.list.iter().map(|value| low_named(&list.expr, value)).collect();
                lows.map(|lows| lows.into_iter().flatten().collect())
            }
            _ => None,
        };
        if let Some(lows) = lows {
            named = Some(match named {
                Some(named) => named.intersection(&lows).copied().collect(),
                None => lows,
            });
        }
    }
    named
}

/// The low half that `column = value` names: `None` if it is of another form, `Some(None)` if it can be true of no row.
fn low_named(column: &Expr, value: &Expr) -> Option<Option<i64>> {
    let (Expr::Column(column), Expr::Literal(value, _)) = (column, value) else { return None };
    match (column.name.as_str(), value) {
        ("trace_id", value) => {
            let text = value.try_as_str()?;
            Some(text.and_then(TraceId::parse).map(|id| id.low as i64))
        }
        ("trace_low", ScalarValue::Int64(low)) => Some(*low),
        _ => None,
    }
}

fn trace_low_in(traces: &BTreeSet<i64>) -> Expr {
    col("trace_low").in_list(traces.iter().map(|low| lit(*low)).collect(), false)
}

fn partitioned_file(info: &FileInfo, copies: &[usize]) -> PartitionedFile {
    let mut file = PartitionedFile::new(info.path.clone(), info.size)
        .with_partition_values(vec![ScalarValue::Date32(Some(info.day))])
        .with_statistics(Arc::new(file_statistics(info)));
    if !copies.is_empty() {
        let kept = duplicates::ranges_without(copies, info.rows as usize);
        let selection = RowSelection::from_consecutive_ranges(kept.into_iter(), info.rows as usize);
        file = file.with_extension(ParquetRowSelection::new(selection));
    }
    file
}

/// What is known of a file, for leaving it out while the statement runs (the newest spans first, say). The bounds of a
/// timestamp may be up to a millisecond too wide, which does no harm there; what is answered from statistics comes
/// from those of the whole scan, which have none.
fn file_statistics(info: &FileInfo) -> Statistics {
    let mut statistics = Statistics::new_unknown(&FILE_SCHEMA);
    statistics.num_rows = Precision::Exact(info.rows as usize);
    for (column, field) in statistics.column_statistics.iter_mut().zip(FILE_SCHEMA.fields()) {
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
    let instant = |micros: i64| ScalarValue::TimestampMicrosecond(Some(micros), Some(UTC.into()));
    let both = |(least, greatest): (i64, i64), value: fn(i64) -> ScalarValue| (value(least), value(greatest));
    match column {
        "project" => info.stats.project.as_ref().map(|(least, greatest)| {
            (ScalarValue::Utf8(Some(least.clone())), ScalarValue::Utf8(Some(greatest.clone())))
        }),
        "trace_low" => info.stats.trace_low.map(|bounds| both(bounds, |value| ScalarValue::Int64(Some(value)))),
        "duration" => info.stats.duration.map(|bounds| both(bounds, |value| ScalarValue::Int64(Some(value)))),
        "timestamp" => info.stats.timestamp.map(|(least, greatest)| (instant(least), instant(greatest))),
        DAY => Some((ScalarValue::Date32(Some(info.day)), ScalarValue::Date32(Some(info.day)))),
        _ => None,
    }
}

/// What the table's log says of its files, as DataFusion asks for it.
struct FileBounds<'a>(&'a [&'a FileInfo]);

impl FileBounds<'_> {
    fn column(&self, column: &Column, side: fn((ScalarValue, ScalarValue)) -> ScalarValue) -> Option<ArrayRef> {
        let field = TABLE_SCHEMA.field_with_name(column.name()).ok()?;
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let values = self.0.iter().map(|info| bounds(info, column.name()).map_or_else(|| unknown.clone(), side));
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
        self.0.len()
    }

    fn null_counts(&self, _: &Column) -> Option<ArrayRef> {
        None
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(self.0.iter().map(|info| info.rows))))
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
