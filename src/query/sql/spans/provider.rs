//! The stored spans as a table of DataFusion's: the data files by its Parquet source, and the log's rows beside them.
//!
//! Before anything is read, files are left out by what the table's log says of them, and copies of rows are found
//! ([`super::duplicates`]): a file that has some is read with a selection of its rows, all others as they are. A
//! statement that names its traces is answered like a lookup, by a handful of page reads a file.

use super::StoredSpans;
use super::duplicates::{self, Duplicates};
use crate::error::Result;
use crate::lake::DataFile;
use crate::lake::spans::TABLE;
use crate::lake::spans::merge::conform;
use crate::lake::spans::schema::TABLE_SCHEMA;
use crate::model::TraceId;
use crate::query::sql::stored::scan::Wanted;
use crate::query::sql::stored::{StoredTable, blocking, external};
use arrow::array::{AsArray, BooleanArray, Date32Array, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// The most traces, and rows of them, that are read as lookups; above that files are scanned.
const LOOKUP_TRACES: usize = 64;
const LOOKUP_ROWS: usize = 100_000;

/// The stored spans, each once.
#[derive(Debug)]
pub struct Spans {
    source: Arc<StoredSpans>,
    duplicates: Arc<Duplicates>,
}

impl Spans {
    pub fn new(source: Arc<StoredSpans>) -> Self {
        Spans { source, duplicates: Arc::default() }
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
        let survivors = self.source.table.survivors(predicate.as_ref());

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
            let wanted = Wanted { files: &survivors, left_out: &excluded.files, projection, implied, limit };
            parts.push(self.source.table.scan(state, wanted)?);
        }
        let log = self.log_rows(&excluded.log).map_err(external)?;
        if parts.is_empty() || log.iter().any(|batch| batch.num_rows() > 0) {
            parts.push(MemorySourceConfig::try_new_exec(&[log], TABLE_SCHEMA.clone(), projection.cloned())?);
        }
        if parts.len() == 1 { Ok(parts.remove(0)) } else { UnionExec::try_new(parts) }
    }
}

/// The rows of some traces, each once; `None` where there are too many of them.
fn look_up(source: &StoredSpans, files: &[usize], traces: &BTreeSet<i64>) -> Result<Option<Vec<RecordBatch>>> {
    let mut batches = Vec::new();
    let mut rows = 0;
    for file in files.iter().filter_map(|place| source.table.files.get(*place)) {
        for low in traces {
            let mut found = Vec::new();
            if let Err(damage) = rows_of_trace(file, *low, &mut rows, &mut found) {
                source.table.notes.add_damage(&damage);
            }
            if rows > LOOKUP_ROWS {
                return Ok(None);
            }
            for batch in found {
                let days = Date32Array::from(vec![file.info().day; batch.num_rows()]);
                let rows = conform(&batch).and_then(|rows| StoredTable::with_days(&TABLE, &rows, days));
                batches.push(rows.map_err(internal)?);
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
