//! The rows of events as they are stored: the data files by DataFusion's Parquet source, the log's rows beside them.

use super::StoredEvents;
use crate::lake::events::schema::TABLE_SCHEMA;
use crate::query::sql::stored::scan::Wanted;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::DFSchema;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use std::collections::HashMap;
use std::sync::Arc;

/// The relation `event_rows`: resends are rows of their own.
#[derive(Debug)]
pub struct EventRows {
    stored: Arc<StoredEvents>,
}

impl EventRows {
    pub fn new(stored: Arc<StoredEvents>) -> Self {
        EventRows { stored }
    }
}

#[async_trait::async_trait]
impl TableProvider for EventRows {
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
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let StoredEvents { table, log } = self.stored.as_ref();
        let schema = DFSchema::try_from(TABLE_SCHEMA.clone())?;
        let predicate = conjunction(filters.iter().cloned())
            .map(|predicate| state.create_physical_expr(predicate, &schema))
            .transpose()?;
        let survivors = table.survivors(predicate.as_ref());
        let mut parts: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        if !survivors.is_empty() {
            let left_out = HashMap::new();
            let wanted = Wanted { files: &survivors, left_out: &left_out, projection, implied: None, limit };
            parts.push(table.scan(state, wanted)?);
        }
        if parts.is_empty() || !log.is_empty() {
            let log = std::slice::from_ref(log);
            parts.push(MemorySourceConfig::try_new_exec(log, TABLE_SCHEMA.clone(), projection.cloned())?);
        }
        if parts.len() == 1 { Ok(parts.remove(0)) } else { UnionExec::try_new(parts) }
    }
}
