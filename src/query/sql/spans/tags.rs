//! All tags of a span as one map: those that have a column of their own put back among the others.

use crate::lake::spans::schema::{TAG_COLUMNS, tag_fields};
use arrow::array::{Array, ArrayBuilder, ArrayRef, AsArray, MapArray, StringBuilder, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExpressionPlacement, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use std::sync::Arc;

/// The function's name; it takes the map column and then the columns of [`TAG_COLUMNS`], in order.
pub const ALL_TAGS: &str = "all_tags";

/// The type of the column `tags`.
pub fn map_type() -> DataType {
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(tag_fields()), false)), false)
}

/// Merges the tag columns into the map. The result is sorted by key, as the stored map and the list of columns are.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct AllTags {
    signature: Signature,
}

impl Default for AllTags {
    fn default() -> Self {
        let mut types = vec![map_type()];
        types.extend(TAG_COLUMNS.iter().map(|_| DataType::Utf8));
        AllTags { signature: Signature::exact(types, Volatility::Immutable) }
    }
}

impl AllTags {
    pub fn function() -> ScalarUDF {
        ScalarUDF::from(AllTags::default())
    }
}

impl ScalarUDFImpl for AllTags {
    fn name(&self) -> &str {
        ALL_TAGS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(map_type())
    }

    fn placement(&self, _: &[ExpressionPlacement]) -> ExpressionPlacement {
        // Below joins and filters, next to the table: there a single key of it becomes a column of the table.
        ExpressionPlacement::MoveTowardsLeafNodes
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some((map, columns)) = arrays.split_first() else { return exec_err!("{ALL_TAGS} without arguments") };
        Ok(ColumnarValue::Array(Arc::new(merge(map, columns)?)))
    }
}

fn merge(map: &ArrayRef, columns: &[ArrayRef]) -> Result<MapArray> {
    let Some(map) = map.as_map_opt() else { return exec_err!("{ALL_TAGS} of something that is no map") };
    let (Some(keys), Some(values)) = (map.keys().as_string_opt::<i32>(), map.values().as_string_opt::<i32>()) else {
        return exec_err!("{ALL_TAGS} of a map that is not of texts");
    };
    let columns: Vec<_> = TAG_COLUMNS
        .iter()
        .zip(columns)
        .filter_map(|((key, _), column)| Some((*key, column.as_string_opt::<i32>()?)))
        .filter(|(_, column)| column.null_count() < column.len())
        .collect();
    let mut offsets = Vec::with_capacity(map.len() + 1);
    offsets.push(0_i32);
    let (mut merged_keys, mut merged_values) = (StringBuilder::new(), StringBuilder::new());
    for row in 0..map.len() {
        let mut tag_columns = columns.iter().filter(|(_, column)| column.is_valid(row)).peekable();
        let (start, end) = (map.value_offsets()[row] as usize, map.value_offsets()[row + 1] as usize);
        for at in start..end {
            let key = keys.value(at);
            while let Some((before, column)) = tag_columns.next_if(|(before, _)| *before < key) {
                merged_keys.append_value(before);
                merged_values.append_value(column.value(row));
            }
            merged_keys.append_value(key);
            merged_values.append_option(values.is_valid(at).then(|| values.value(at)));
        }
        for (key, column) in tag_columns {
            merged_keys.append_value(key);
            merged_values.append_value(column.value(row));
        }
        offsets.push(merged_keys.len() as i32);
    }
    let entries = StructArray::try_new(
        tag_fields(),
        vec![Arc::new(merged_keys.finish()), Arc::new(merged_values.finish())],
        None,
    )?;
    let field = Arc::new(Field::new("key_value", DataType::Struct(tag_fields()), false));
    Ok(MapArray::try_new(field, OffsetBuffer::new(offsets.into()), entries, None, false)?)
}

/// Reads a single key of all tags where it lies: `tags['http.method']` is the column `http_method`, on which files and
/// rows are left out before they are decoded; any other key is one of the stored map.
#[derive(Debug)]
pub struct TagKeyRule;

impl OptimizerRule for TagKeyRule {
    fn name(&self) -> &str {
        "tag_key_to_column"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // A projection's columns keep their names, which come from the expressions.
        let names: Vec<_> = match &plan {
            LogicalPlan::Projection(projection) => projection.expr.iter().map(Expr::qualified_name).collect(),
            _ => Vec::new(),
        };
        let mut number = 0;
        plan.map_expressions(|expr| {
            let rewritten = expr.transform_up(|expr| Ok(one_key(expr)))?;
            let name = names.get(number);
            number += 1;
            Ok(match name {
                Some((qualifier, name)) if rewritten.transformed => {
                    rewritten.update_data(|expr| named(expr, qualifier.clone(), name))
                }
                _ => rewritten,
            })
        })
    }
}

fn named(expr: Expr, qualifier: Option<datafusion::common::TableReference>, name: &str) -> Expr {
    if expr.qualified_name() == (qualifier.clone(), name.to_owned()) {
        return expr;
    }
    expr.alias_qualified(qualifier, name)
}

fn one_key(expr: Expr) -> Transformed<Expr> {
    let Expr::ScalarFunction(outer) = &expr else { return Transformed::no(expr) };
    let [Expr::ScalarFunction(inner), key, rest @ ..] = outer.args.as_slice() else { return Transformed::no(expr) };
    let Expr::Literal(literal, _) = key else { return Transformed::no(expr) };
    if outer.func.name() != "get_field" || inner.func.name() != ALL_TAGS || !rest.is_empty() {
        return Transformed::no(expr);
    }
    let Some(Some(name)) = ScalarValue::try_as_str(literal) else { return Transformed::no(expr) };
    let column = TAG_COLUMNS.iter().position(|(key, _)| *key == name);
    match (column.and_then(|place| inner.args.get(place + 1)), inner.args.first()) {
        (Some(column), _) => Transformed::yes(column.clone()),
        (None, Some(map)) => {
            let args = vec![map.clone(), key.clone()];
            Transformed::yes(Expr::ScalarFunction(ScalarFunction::new_udf(outer.func.clone(), args)))
        }
        (None, None) => Transformed::no(expr),
    }
}
