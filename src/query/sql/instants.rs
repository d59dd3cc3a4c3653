//! Comparisons with instants, made in microseconds.
//!
//! DataFusion compares a column of microseconds with a text, a date or nanoseconds by making nanoseconds of both, which
//! reach from 1677 to 2262 only: a value beyond, in the statement or in a single row, would end the statement. Here the
//! other side is made microseconds, of which stored instants are; what is finer is cut off.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{Between, InList};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, cast};
use datafusion::optimizer::AnalyzerRule;

/// Goes before DataFusion's own coercion.
#[derive(Debug)]
pub struct InstantRule;

impl AnalyzerRule for InstantRule {
    fn name(&self) -> &str {
        "compare_instants_in_microseconds"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(in_plan)?.data)
    }
}

fn in_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| Ok(in_expr(expr, &schema)))?.update_data(|expr| name.restore(expr)))
    })?;
    if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
}

fn in_expr(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let mut sides = [*left, *right];
            let changed = align(&mut sides, schema);
            let [left, right] = sides;
            let expr = Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) });
            Transformed::new_transformed(expr, changed)
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let mut sides = [*expr, *low, *high];
            let changed = align(&mut sides, schema);
            let [expr, low, high] = sides.map(Box::new);
            Transformed::new_transformed(Expr::Between(Between { expr, negated, low, high }), changed)
        }
        Expr::InList(InList { expr, list, negated }) => {
            let mut sides = list;
            sides.insert(0, *expr);
            let changed = align(&mut sides, schema);
            let expr = Box::new(sides.remove(0));
            Transformed::new_transformed(Expr::InList(InList { expr, list: sides, negated }), changed)
        }
        other => Transformed::no(other),
    }
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Where one of the sides is microseconds, makes the others so; whether that changed any.
fn align(sides: &mut [Expr], schema: &DFSchema) -> bool {
    // What has no type yet, or a wrong one, is DataFusion's to refuse.
    let types: Vec<Option<DataType>> = sides.iter().map(|side| side.get_type(schema).ok()).collect();
    let micros = |kind: &DataType| matches!(kind, DataType::Timestamp(TimeUnit::Microsecond, _));
    let Some(wanted) = types.iter().flatten().find(|kind| micros(kind)) else { return false };
    let mut changed = false;
    for (side, kind) in sides.iter_mut().zip(&types) {
        let Some(kind) = kind else { continue };
        let nanos = matches!(kind, DataType::Timestamp(TimeUnit::Nanosecond, _));
        if nanos || kind.is_string() || matches!(kind, DataType::Date32 | DataType::Date64) {
            *side = cast(std::mem::take(side), wanted.clone());
            changed = true;
        }
    }
    changed
}
