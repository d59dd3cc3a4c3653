//! Each event once: the plan from its rows to it.

use super::key::{IDENTITY, KEY, KeySet, key_column};
use super::newest::{LAST_SEEN, MERGED, told};
use super::rows::EventRows;
use super::settle::{SettleExec, Whole};
use crate::lake::events::schema::TABLE_SCHEMA;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Decimal128Type, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::exec_datafusion_err;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::unnormalize_cols;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, TableType, col, lit};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use std::collections::HashSet;
use std::sync::Arc;

/// Of fewer uids than this files and row groups are left out that have none of them.
const LOOKUP_UIDS: usize = 1_000;
/// Which part of the memory a set of keys may take: the one of events that may answer, and the one of those whose
/// whole rows are read.
const CANDIDATES_PART: usize = 16;
const UNDECIDED_PART: usize = 64;

/// The relation `events`.
#[derive(Debug)]
pub struct Events {
    rows: Arc<EventRows>,
}

impl Events {
    pub fn new(rows: Arc<EventRows>) -> Self {
        Events { rows }
    }

    /// A plan over rows: those for which all the filters are true, in these columns.
    fn read(&self, filters: &[Expr], columns: Vec<Expr>) -> Result<LogicalPlanBuilder> {
        let rows = LogicalPlanBuilder::scan("event_rows", provider_as_source(self.rows.clone()), None)?;
        let rows = match conjunction(filters.iter().cloned()) {
            Some(filter) => rows.filter(filter)?,
            None => rows,
        };
        rows.project(columns)
    }

    /// What is true of all rows of the events of which some row satisfies the filters, and of few others.
    async fn of_candidates(&self, state: &dyn Session, filters: &[Expr]) -> Result<Expr> {
        let plan = self.read(filters, vec![key_column(), col("uid")])?.build()?;
        let plan = state.create_physical_plan(&plan).await?;
        let mut rows = execute_stream(plan, state.task_ctx())?;
        let set = Arc::new(KeySet::new(&state.runtime_env().memory_pool, CANDIDATES_PART)?);
        let mut uids = Some(HashSet::new());
        while let Some(rows) = rows.next().await {
            let rows = rows?;
            let keys = rows.column_by_name(KEY).and_then(|column| column.as_primitive_opt::<Decimal128Type>());
            let texts = rows.column_by_name("uid").and_then(|column| column.as_string_opt::<i32>());
            let (Some(keys), Some(texts)) = (keys, texts) else {
                return Err(exec_datafusion_err!("rows of events without key or uid"));
            };
            keys.values().iter().for_each(|key| set.insert(*key));
            if let Some(known) = &mut uids {
                known.extend((0..texts.len()).map(|row| texts.value(row).to_owned()));
            }
            uids = uids.filter(|known| known.len() <= LOOKUP_UIDS);
        }
        Ok(match uids {
            Some(uids) if uids.is_empty() => lit(false),
            Some(uids) => {
                let mut uids = Vec::from_iter(uids);
                uids.sort_unstable();
                col("uid").in_list(uids.into_iter().map(lit).collect(), false)
            }
            None => set.holds_row(),
        })
    }
}

/// Whether an expression reads only columns for which this is true.
fn reads_only(filter: &Expr, is_meant: impl Fn(&str) -> bool) -> bool {
    filter.column_refs().iter().all(|column| is_meant(&column.name))
}

#[async_trait::async_trait]
impl TableProvider for Events {
    fn schema(&self) -> SchemaRef {
        TABLE_SCHEMA.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let shown = match projection {
            Some(projection) => Arc::new(TABLE_SCHEMA.project(projection)?),
            None => TABLE_SCHEMA.clone(),
        };
        let told = told(&shown);
        let filters = unnormalize_cols(filters.to_vec());
        let deciding: Vec<Expr> =
            filters.into_iter().filter(|filter| reads_only(filter, |name| !MERGED.contains(&name))).collect();
        let (mut of_rows, of_newest): (Vec<Expr>, Vec<Expr>) =
            deciding.iter().cloned().partition(|filter| reads_only(filter, |name| IDENTITY.contains(&name)));
        if !of_newest.is_empty() {
            of_rows.push(self.of_candidates(state, &deciding).await?);
        }

        let mut columns: Vec<&str> = shown.fields().iter().map(|field| field.name().as_str()).collect();
        if !told.is_empty() && !columns.contains(&LAST_SEEN) {
            columns.push(LAST_SEEN);
        }
        let columns = std::iter::once(key_column()).chain(columns.into_iter().map(col));
        let input = self.read(&of_rows, columns.collect())?.build()?;
        let input = state.create_physical_plan(&input).await?;
        let whole = if told.is_empty() {
            None
        } else {
            let undecided = Arc::new(KeySet::new(&state.runtime_env().memory_pool, UNDECIDED_PART)?);
            of_rows.push(undecided.holds_row());
            let all = TABLE_SCHEMA.fields().iter().map(|field| col(field.name()));
            let rows = self.read(&of_rows, std::iter::once(key_column()).chain(all).collect())?;
            let rows = rows.sort([col(KEY).sort(true, false)])?.build()?;
            Some(Whole { undecided, rows: state.create_physical_plan(&rows).await? })
        };
        Ok(Arc::new(SettleExec::try_new(input, whole, shown)?))
    }
}
