//! The text as a tree of values, and what references in it lead to.

use super::{MOST_DEPTH, MOST_TEXT, Unreadable};
use serde_json::Value;

/// References that lead to references.
const MOST_STEPS: usize = 8;
/// Values in a YAML text, and those that its aliases stand for.
const MOST_NODES: usize = 200_000;
const MOST_REPLAYED: usize = 50_000;

/// Reads a text in either notation.
pub(super) fn parse(text: &str) -> Result<Value, Unreadable> {
    if text.len() > MOST_TEXT {
        return Err(Unreadable(format!("it is longer than {MOST_TEXT} bytes")));
    }
    let value = match text.trim_start().starts_with('{') {
        // YAML in braces is rare and may have bare keys.
        true => serde_json::from_str(text).or_else(|error| yaml(text).map_err(|_| Unreadable(first_line(&error))))?,
        false => yaml(text)?,
    };
    match &value {
        Value::Object(fields) if fields.contains_key("swagger") || fields.contains_key("openapi") => Ok(value),
        Value::Object(_) => Err(Unreadable("it has neither the field swagger nor openapi".to_owned())),
        _ => Err(Unreadable("it is no object".to_owned())),
    }
}

fn yaml(text: &str) -> Result<Value, Unreadable> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MOST_DEPTH,
            flow_nesting_limit: MOST_DEPTH,
            max_nodes: MOST_NODES,
            max_events: 2 * MOST_NODES,
            max_recorded_anchor_events: MOST_NODES,
            max_recorded_anchor_bytes: MOST_TEXT,
            max_total_scalar_bytes: MOST_TEXT,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_REPLAYED,
            max_replay_stack_depth: 16,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Unreadable(first_line(&error)))
}

fn first_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().chars().take(200).collect()
}

/// A text within a value.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str().map(str::trim).filter(|text| !text.is_empty())
}

/// What a value stands for: itself, or what its `$ref` leads to within the document.
pub(super) fn resolve<'v>(root: &'v Value, value: &'v Value) -> &'v Value {
    let mut at = value;
    for _ in 0..MOST_STEPS {
        let Some(pointer) = reference(at) else { return at };
        match root.pointer(pointer) {
            Some(next) => at = next,
            None => return at,
        }
    }
    at
}

/// The place that a `$ref` within the document names.
pub(super) fn reference(value: &Value) -> Option<&str> {
    value.get("$ref")?.as_str()?.strip_prefix('#')
}
