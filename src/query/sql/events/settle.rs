//! The step of a plan that joins the rows of each event.

use super::key::{KEY, KeySet};
use super::newest::{Joined, Joiner, Look};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr,
    PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties,
    InputDistributionRequirements, PlanProperties, ReplaceChildrenOptions, execute_stream,
};
use futures::{StreamExt, stream};
use std::fmt::{self, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the events are read from that the columns of the answer do not decide.
#[derive(Clone, Debug)]
pub struct Whole {
    /// The keys of those events; filled by the look at the columns of the answer.
    pub undecided: Arc<KeySet>,
    /// All columns of the rows of events in that set, and perhaps of others, in one partition, sorted by key.
    pub rows: Arc<dyn ExecutionPlan>,
}

/// Joins the rows of events: of rows with a column of keys and those of the answer, each event once.
///
/// Each partition is joined for itself; the last of them that is through joins what the columns of the answer did not
/// decide, if there is any, from the whole rows.
#[derive(Debug)]
pub struct SettleExec {
    input: Arc<dyn ExecutionPlan>,
    whole: Option<Whole>,
    /// The columns of the answer.
    shown: SchemaRef,
    /// Partitions that are not yet through.
    left: Arc<AtomicUsize>,
    order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl SettleExec {
    pub fn try_new(input: Arc<dyn ExecutionPlan>, whole: Option<Whole>, shown: SchemaRef) -> Result<SettleExec> {
        let partitions = input.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(shown.clone()),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let order = LexOrdering::new([PhysicalSortExpr::new_default(col(KEY, &input.schema())?)]);
        Ok(SettleExec {
            input,
            whole,
            shown,
            left: Arc::new(AtomicUsize::new(partitions)),
            order: order.ok_or_else(|| internal_datafusion_err!("events are sorted by nothing"))?,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl DisplayAs for SettleExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "SettleExec"),
            DisplayFormatType::TreeRender => Ok(()),
        }
    }
}

impl ExecutionPlan for SettleExec {
    fn name(&self) -> &str {
        "SettleExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        let keys = self.order.iter().map(|sort| sort.expr.clone()).collect();
        InputDistributionRequirements::new(vec![Distribution::KeyPartitioned(keys)])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![Some(OrderingRequirements::from(self.order.clone()))]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().ok_or_else(|| internal_datafusion_err!("events of no rows"))?;
        Ok(Arc::new(SettleExec::try_new(input, self.whole.clone(), self.shown.clone())?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let joiner = Joiner::new(Look::Shown, self.shown.clone());
        let settling = Settling {
            rows: Some(self.input.execute(partition, context.clone())?),
            joiner,
            whole: self.whole.clone(),
            left: self.left.clone(),
            shown: self.shown.clone(),
            context,
        };
        let events = stream::try_unfold((settling, metrics), |(mut settling, metrics)| async move {
            let events = settling.next().await?;
            Ok(events.map(|events| {
                metrics.record_output(events.num_rows());
                (events, (settling, metrics))
            }))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.shown.clone(), events.boxed())))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

/// The work on one partition, and at its end perhaps on what is left of all.
struct Settling {
    /// What is being read; none after the last.
    rows: Option<SendableRecordBatchStream>,
    joiner: Joiner,
    /// Until it is being read.
    whole: Option<Whole>,
    left: Arc<AtomicUsize>,
    shown: SchemaRef,
    context: Arc<TaskContext>,
}

impl Settling {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let Some(rows) = &mut self.rows else { return Ok(None) };
            let joined = match rows.next().await {
                Some(rows) => self.joiner.push(&rows?)?,
                None => {
                    let joined = self.joiner.finish()?;
                    self.note(&joined);
                    self.rows = self.read_whole()?;
                    joined
                }
            };
            self.note(&joined);
            if let Some(events) = joined.events {
                return Ok(Some(events));
            }
        }
    }

    /// Keeps in mind what the columns of the answer do not decide.
    fn note(&self, joined: &Joined) {
        if let Some(whole) = &self.whole {
            joined.undecided.iter().for_each(|key| whole.undecided.insert(*key));
        }
    }

    /// Begins to read whole rows, if this is the last partition and there is need.
    fn read_whole(&mut self) -> Result<Option<SendableRecordBatchStream>> {
        let Some(whole) = self.whole.take() else { return Ok(None) };
        let is_last = self.left.fetch_sub(1, Ordering::AcqRel) == 1;
        if !is_last || whole.undecided.is_empty() {
            return Ok(None);
        }
        self.joiner = Joiner::new(Look::Whole, self.shown.clone());
        execute_stream(whole.rows, self.context.clone()).map(Some)
    }
}
