//! A Parquet source for DataFusion that passes over damage: where a data file cannot be read on, it is noted, with file
//! and offset, and the statement goes on with the next file.
//!
//! An error while a file is read need not be damage (a filter that divides by zero, memory that is used up). So after
//! one the file is read through on its own: only if that fails too, the rest of the file is given up, else the error is
//! the statement's. A file that is gone because a compaction replaced it ends the statement: its rows lie in another
//! file, and leaving them out in silence would be wrong.

use super::{Notes, StoredTable};
use crate::lake::DataFile;
use datafusion::arrow::array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfig, FileSource, ParquetSource};
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, SortOrderPushdownResult};
use datafusion_datasource::TableSchema;
use datafusion_datasource::file_stream::FileOpener;
use datafusion_datasource::morsel::{Morsel, MorselPlan, MorselPlanner, Morselizer};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;
use std::fmt::{self, Debug, Formatter};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// A [`ParquetSource`] over the files of a [`StoredTable`].
#[derive(Clone)]
pub struct Tolerant {
    inner: Arc<dyn FileSource>,
    table: Arc<StoredTable>,
}

impl Tolerant {
    pub fn new(inner: ParquetSource, table: Arc<StoredTable>) -> Self {
        Tolerant { inner: Arc::new(inner), table }
    }

    fn around(&self, inner: Arc<dyn FileSource>) -> Arc<dyn FileSource> {
        Arc::new(Tolerant { inner, table: self.table.clone() })
    }
}

impl FileSource for Tolerant {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        self.inner.create_file_opener(store, config, partition)
    }

    fn create_morselizer(
        &self,
        store: Arc<dyn ObjectStore>,
        config: &FileScanConfig,
        partition: usize,
    ) -> Result<Box<dyn Morselizer>> {
        let inner = self.inner.create_morselizer(store, config, partition)?;
        Ok(Box::new(TolerantMorselizer { inner, table: self.table.clone() }))
    }

    fn table_schema(&self) -> &TableSchema {
        self.inner.table_schema()
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        self.around(self.inner.with_batch_size(batch_size))
    }

    fn filter(&self) -> Option<Arc<dyn PhysicalExpr>> {
        self.inner.filter()
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        self.inner.projection()
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        self.inner.metrics()
    }

    fn file_type(&self) -> &str {
        self.inner.file_type()
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        self.inner.fmt_extra(format, f)
    }

    fn supports_repartitioning(&self) -> bool {
        self.inner.supports_repartitioning()
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn FileSource>>> {
        let mut pushed = self.inner.try_pushdown_filters(filters, config)?;
        pushed.updated_node = pushed.updated_node.map(|inner| self.around(inner));
        Ok(pushed)
    }

    fn try_pushdown_sort(
        &self,
        order: &[PhysicalSortExpr],
        properties: &EquivalenceProperties,
    ) -> Result<SortOrderPushdownResult<Arc<dyn FileSource>>> {
        Ok(match self.inner.try_pushdown_sort(order, properties)? {
            SortOrderPushdownResult::Exact { inner } => SortOrderPushdownResult::Exact { inner: self.around(inner) },
            SortOrderPushdownResult::Inexact { inner } => {
                SortOrderPushdownResult::Inexact { inner: self.around(inner) }
            }
            SortOrderPushdownResult::Unsupported => SortOrderPushdownResult::Unsupported,
        })
    }

    fn reorder_files(&self, files: Vec<PartitionedFile>) -> Vec<PartitionedFile> {
        self.inner.reorder_files(files)
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        Ok(self.inner.try_pushdown_projection(projection)?.map(|inner| self.around(inner)))
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.inner.apply_expressions(each)
    }
}

#[derive(Debug)]
struct TolerantMorselizer {
    inner: Box<dyn Morselizer>,
    table: Arc<StoredTable>,
}

impl Morselizer for TolerantMorselizer {
    fn plan_file(&self, file: PartitionedFile) -> Result<Box<dyn MorselPlanner>> {
        let location = file.object_meta.location.to_string();
        let doctor = Doctor { table: self.table.clone(), location };
        Ok(Box::new(TolerantPlanner { inner: Some(self.inner.plan_file(file)?), doctor }))
    }
}

/// Plans the reading of a file; without an inner planner nothing is left to read.
#[derive(Debug)]
struct TolerantPlanner {
    inner: Option<Box<dyn MorselPlanner>>,
    doctor: Doctor,
}

impl TolerantPlanner {
    fn around(inner: Box<dyn MorselPlanner>, doctor: &Doctor) -> Box<dyn MorselPlanner> {
        Box::new(TolerantPlanner { inner: Some(inner), doctor: doctor.clone() })
    }
}

impl MorselPlanner for TolerantPlanner {
    fn plan(self: Box<Self>) -> Result<Option<MorselPlan>> {
        let TolerantPlanner { inner, doctor } = *self;
        let Some(inner) = inner else { return Ok(None) };
        let planned = std::panic::catch_unwind(AssertUnwindSafe(|| inner.plan())).unwrap_or_else(|_| Err(gave_up()));
        let mut plan = match planned {
            Ok(Some(plan)) => plan,
            Ok(None) => return Ok(None),
            // Whether it is damage takes reading the file, which is not to be done here: later.
            Err(error) => {
                let examined = async move {
                    doctor.examine(error).await?;
                    Ok(Box::new(TolerantPlanner { inner: None, doctor }) as Box<dyn MorselPlanner>)
                };
                return Ok(Some(MorselPlan::new().with_pending_planner(examined)));
            }
        };
        let morsels = plan
            .take_morsels()
            .into_iter()
            .map(|inner| Box::new(TolerantMorsel { inner, doctor: doctor.clone() }) as Box<dyn Morsel>);
        let planners = plan.take_ready_planners().into_iter().map(|inner| TolerantPlanner::around(inner, &doctor));
        let mut tolerant = MorselPlan::new().with_morsels(morsels.collect()).with_planners(planners.collect());
        if let Some(pending) = plan.take_pending_planner() {
            tolerant.set_pending_planner(async move {
                let opened = AssertUnwindSafe(pending.into_future()).catch_unwind().await;
                match opened.unwrap_or_else(|_| Err(gave_up())) {
                    Ok(inner) => Ok(TolerantPlanner::around(inner, &doctor)),
                    Err(error) => {
                        doctor.examine(error).await?;
                        Ok(Box::new(TolerantPlanner { inner: None, doctor }) as Box<dyn MorselPlanner>)
                    }
                }
            });
        }
        Ok(Some(tolerant))
    }
}

#[derive(Debug)]
struct TolerantMorsel {
    inner: Box<dyn Morsel>,
    doctor: Doctor,
}

impl Morsel for TolerantMorsel {
    fn into_stream(self: Box<Self>) -> BoxStream<'static, Result<RecordBatch>> {
        let TolerantMorsel { inner, doctor } = *self;
        let rows = AssertUnwindSafe(inner.into_stream()).catch_unwind();
        let rows = rows.map(|batch| batch.unwrap_or_else(|_| Err(gave_up())));
        stream::unfold(Some((rows.boxed(), doctor)), |state| async move {
            let (mut rows, doctor) = state?;
            match rows.next().await? {
                Ok(batch) => Some((Ok(batch), Some((rows, doctor)))),
                Err(error) => match doctor.examine(error).await {
                    Ok(()) => None,
                    Err(error) => Some((Err(error), None)),
                },
            }
        })
        .boxed()
    }
}

fn gave_up() -> DataFusionError {
    DataFusionError::Execution("the decoder gave up on a data file's bytes".to_owned())
}

/// Finds out what an error means.
#[derive(Clone)]
struct Doctor {
    table: Arc<StoredTable>,
    /// Of the file, in the store that DataFusion reads from.
    location: String,
}

impl Debug for Doctor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doctor").field("location", &self.location).finish_non_exhaustive()
    }
}

impl Doctor {
    /// Whether the statement may go on without the rest of the file; else the error that ends it.
    async fn examine(&self, error: DataFusionError) -> Result<()> {
        let Some(file) = self.table.file_at(&self.location).cloned() else { return Err(error) };
        if self.table.is_replaced(&file).await {
            return Err(DataFusionError::Execution(format!(
                "data file {} was replaced by a compaction while the statement ran; repeat the statement",
                file.info().path
            )));
        }
        let notes = self.table.notes.clone();
        let damaged = tokio::task::spawn_blocking(move || note_damage(&file, &notes)).await;
        if damaged.unwrap_or_default() { Ok(()) } else { Err(error) }
    }
}

/// Reads the file through; notes where it cannot be read.
fn note_damage(file: &DataFile, notes: &Notes) -> bool {
    let read = || {
        let mut rows = file.scan(None, 8_192)?;
        while rows.next_batch()?.is_some() {}
        Ok(())
    };
    let read: Result<(), crate::lake::data_file::Damaged> = read();
    match read {
        Ok(()) => false,
        Err(damage) => {
            notes.add_damage(&damage);
            true
        }
    }
}
