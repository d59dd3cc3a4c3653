//! What can be asked: the relations over what is stored, and the views that make the common questions short.
//!
//! | name | a row is | columns |
//! |---|---|---|
//! | `spans` | a span | the table's, with all tags in `tags` |
//! | `annotations` | an annotation | `trace_id`, `span_id`, `service`, `timestamp`, `value` |
//! | `tags` | a tag | `trace_id`, `span_id`, `service`, `key`, `value` |
//! | `traces` | a trace | `trace_id`, `root_service`, `root_name`, `start`, `duration` (microseconds), `span_count`, `error`, `project`, `trace_low` |
//! | `events` | an event | the table's: those of its newest row, with the least `first_seen` and the greatest `count` of all |
//! | `event_rows` | an event as it was told once | the table's |
//!
//! A trace is all spans of a project whose ids have equal low halves, as in every other answer; where some were sent
//! with 128 bits, that id is shown. Its root is its earliest span without a parent: `root_service` and `root_name` are
//! null until that has come. `error` is whether any span has the tag `error`, whatever its value.

use super::events::{EventRows, Events};
use super::source::Source;
use super::spans::provider::Spans;
use super::spans::tags::{ALL_TAGS, AllTags};
use crate::lake::spans::schema::{TABLE_SCHEMA, TAG_COLUMNS};
use crate::model::TraceId;
use arrow::array::{Array, AsArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::catalog::view::ViewTable;
use datafusion::common::exec_err;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Filter, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, lit,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// The names of all of them.
pub const VIEWS: [&str; 6] = ["spans", "annotations", "tags", "traces", "events", "event_rows"];

/// The name of the table under the views while they are made; nothing else sees it.
const STORED: &str = "stored_spans";
/// Of the ids of a trace the one to show.
const TRACE_ID_OF: &str = "trace_id_of";

const ANNOTATIONS: &str = "\
SELECT trace_id, span_id, service, annotation['timestamp'] AS timestamp, annotation['value'] AS value
FROM (SELECT trace_id, span_id, service, unnest(annotations) AS annotation FROM stored_spans)";

const TAGS: &str = "\
SELECT trace_id, span_id, service, tag['key'] AS key, tag['value'] AS value
FROM (SELECT trace_id, span_id, service, unnest(map_entries(tags)) AS tag FROM spans)";

const TRACES: &str = "\
SELECT trace_id_of(max(wide_id), max(trace_id)) AS trace_id,
    first_value(service ORDER BY started NULLS LAST, kind, span_id) FILTER (WHERE root) AS root_service,
    first_value(name ORDER BY started NULLS LAST, kind, span_id) FILTER (WHERE root) AS root_name,
    min(started) AS start,
    max(ended) - CAST(min(started) AS BIGINT) AS duration,
    count(1) AS span_count,
    bool_or(failed) AS error,
    project,
    trace_low
FROM (
    SELECT project, trace_low, trace_id, span_id, service, name, kind,
        CASE WHEN octet_length(trace_id) > 16 THEN trace_id END AS wide_id,
        parent_id IS NULL OR parent_id = '0000000000000000' OR parent_id = span_id AS root,
        CASE WHEN CAST(timestamp AS BIGINT) > 0 THEN timestamp END AS started,
        CASE WHEN CAST(timestamp AS BIGINT) > 0
            THEN CAST(timestamp AS BIGINT) + CASE WHEN duration > 0 THEN duration ELSE 0 END END AS ended,
        error IS NOT NULL AS failed
    FROM stored_spans)
GROUP BY project, trace_low";

fn spans_sql() -> String {
    let tag_columns: Vec<&str> = TAG_COLUMNS.iter().map(|(_, column)| *column).collect();
    let columns = TABLE_SCHEMA.fields().iter().map(|field| match field.name().as_str() {
        "tags" => format!("{ALL_TAGS}(tags, {}) AS tags", tag_columns.join(", ")),
        name => name.to_owned(),
    });
    format!("SELECT {} FROM {STORED}", columns.collect::<Vec<_>>().join(", "))
}

/// Makes the relations over what is stored.
pub async fn register(context: &SessionContext, source: Source) -> Result<()> {
    let Source { spans, events } = source;
    let rows = Arc::new(EventRows::new(events));
    context.register_table("event_rows", rows.clone())?;
    context.register_table("events", Arc::new(Events::new(rows)))?;
    context.register_table(STORED, Arc::new(Spans::new(spans)))?;
    context.register_udf(AllTags::function());
    context.register_udf(ScalarUDF::from(TraceIdOf::default()));
    for (name, sql) in VIEWS.iter().zip([spans_sql().as_str(), ANNOTATIONS, TAGS, TRACES]) {
        let plan = context.sql(sql).await?.into_unoptimized_plan();
        let view: Arc<dyn TableProvider> = Arc::new(ViewTable::new(plan, Some(format!("CREATE VIEW {name} AS {sql}"))));
        context.register_table(*name, view)?;
    }
    // The views hold what they are made of.
    context.deregister_table(STORED)?;
    context.deregister_udf(ALL_TAGS);
    context.deregister_udf(TRACE_ID_OF);
    Ok(())
}

/// `trace_id_of(a, b)`: `a`, or `b` where that is null. A function of its own, so that [`TraceIdRule`] knows it again.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TraceIdOf {
    signature: Signature,
}

impl Default for TraceIdOf {
    fn default() -> Self {
        TraceIdOf { signature: Signature::exact(vec![DataType::Utf8, DataType::Utf8], Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TraceIdOf {
    fn name(&self) -> &str {
        TRACE_ID_OF
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [first, second] = arrays.as_slice() else { return exec_err!("{TRACE_ID_OF} takes two texts") };
        let (Some(first), Some(second)) = (first.as_string_opt::<i32>(), second.as_string_opt::<i32>()) else {
            return exec_err!("{TRACE_ID_OF} takes two texts");
        };
        let mut ids = StringBuilder::new();
        for row in 0..first.len() {
            let id = if first.is_valid(row) { first } else { second };
            ids.append_option(id.is_valid(row).then(|| id.value(row)));
        }
        Ok(ColumnarValue::Array(Arc::new(ids.finish())))
    }
}

/// A trace that is asked for by its id is found by its low half, which is what traces are grouped by: without this, all
/// traces would be put together and one of them kept.
#[derive(Debug)]
pub struct TraceIdRule;

impl OptimizerRule for TraceIdRule {
    fn name(&self) -> &str {
        "trace_id_to_trace_low"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Aggregate(aggregate) = filter.input.as_ref() else { return Ok(Transformed::no(plan)) };
        let low = aggregate.group_expr.iter().find(|expr| matches!(expr, Expr::Column(c) if c.name == "trace_low"));
        let Some(low) = low else { return Ok(Transformed::no(plan)) };
        let present = split_conjunction(&filter.predicate);
        let implied = present.iter().filter_map(|expr| implied_low(expr, low)).find(|expr| !present.contains(&expr));
        let Some(implied) = implied else { return Ok(Transformed::no(plan)) };
        // The filter below the aggregate that this one becomes leaves no trace here: do not add it again and again.
        if scans_one(aggregate.input.as_ref(), &implied) {
            return Ok(Transformed::no(plan));
        }
        let narrowed = Filter::try_new(filter.predicate.clone().and(implied), filter.input.clone())?;
        Ok(Transformed::yes(LogicalPlan::Filter(narrowed)))
    }
}

/// What `trace_id_of(…) = 'id'` says of the trace's low half.
fn implied_low(expr: &Expr, low: &Expr) -> Option<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return None };
    let (function, id) = match (left.as_ref(), right.as_ref()) {
        (Expr::ScalarFunction(function), Expr::Literal(id, _)) => (function, id),
        (Expr::Literal(id, _), Expr::ScalarFunction(function)) => (function, id),
        _ => return None,
    };
    if function.func.name() != TRACE_ID_OF {
        return None;
    }
    let id = id.try_as_str().flatten().and_then(TraceId::parse)?;
    Some(low.clone().eq(lit(id.low as i64)))
}

/// Whether a scan below has a filter of the same meaning.
fn scans_one(plan: &LogicalPlan, implied: &Expr) -> bool {
    let literal = |expr: &Expr| match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), Expr::Literal(value, _)) if column.name == "trace_low" => Some(value.clone()),
            _ => None,
        },
        _ => None,
    };
    let wanted = literal(implied);
    let here = match plan {
        LogicalPlan::Filter(filter) => {
            split_conjunction(&filter.predicate).into_iter().any(|expr| literal(expr) == wanted)
        }
        LogicalPlan::TableScan(scan) => scan.filters.iter().any(|expr| literal(expr) == wanted),
        _ => false,
    };
    here || plan.inputs().into_iter().any(|input| scans_one(input, implied))
}
