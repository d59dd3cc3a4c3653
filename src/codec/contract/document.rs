//! The text as a tree of values, and what references in it lead to.
//!
//! A few bytes that refer to much, many times over, ask for work without end. So work on a document is counted, in bytes
//! that are looked at; each step from one value to another counts as [`STEP`] of them. A document has [`PER_BYTE`] times
//! its own length to spend, and more for what is given out of it. When that is spent it gives nothing any more.

use super::{Limits, MOST_DEPTH, MOST_TEXT, Unreadable, short};
use serde_json::Value;
use std::cell::Cell;

/// References that lead to references.
const MOST_STEPS: usize = 8;
/// Bytes of a reference; a longer one is not followed.
pub(super) const MOST_REFERENCE: usize = 1_024;
/// Work for one step from a value to another.
const STEP: usize = 16;
/// Work for a byte of the text.
const PER_BYTE: usize = 16;
/// Work for a byte that may be given out: shared texts are given out many times.
const PER_BYTE_OUT: usize = 2;
/// Work for any document, however short.
const LEAST_WORK: usize = 64 << 10;
/// Values in a text, and those that a YAML text's aliases stand for.
const MOST_NODES: usize = 200_000;
const MOST_REPLAYED: usize = 50_000;

/// A document, and how much may still be done with it.
#[derive(Debug)]
pub(super) struct Document {
    root: Value,
    limit: usize,
    done: Cell<usize>,
    has_long_references: Cell<bool>,
}

/// Reads a text in either notation.
pub(super) fn parse(text: &str, limits: Limits) -> Result<Document, Unreadable> {
    let root = tree(text)?;
    let limit = LEAST_WORK + PER_BYTE * text.len() + limits.bytes.saturating_mul(PER_BYTE_OUT);
    Ok(Document { root, limit, done: Cell::new(0), has_long_references: Cell::new(false) })
}

fn tree(text: &str) -> Result<Value, Unreadable> {
    if text.len() > MOST_TEXT {
        return Err(Unreadable(format!("it is longer than {MOST_TEXT} bytes")));
    }
    // What is too much for JSON is too much for YAML, which says so.
    let value = match text.trim_start().starts_with('{') && is_within(text) {
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

/// Whether a JSON text keeps to the limits that YAML has.
fn is_within(text: &str) -> bool {
    let (mut depth, mut values) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > MOST_DEPTH || values > MOST_NODES {
            return false;
        }
    }
    true
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

impl Document {
    pub(super) fn root(&self) -> &Value {
        &self.root
    }

    /// Work that was done.
    pub(super) fn done(&self) -> usize {
        self.done.get()
    }

    /// Work that may be done in all.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Whether no more work may be done. What is read from then on is empty.
    pub(super) fn is_spent(&self) -> bool {
        self.done() > self.limit
    }

    fn spend(&self, work: usize) {
        self.done.set(self.done().saturating_add(work));
    }

    /// Whether a reference was met that is too long to be followed.
    pub(super) fn has_long_references(&self) -> bool {
        self.has_long_references.get()
    }

    /// A text within a value, as far as it is given out.
    pub(super) fn text<'v>(&self, value: &'v Value, key: &str) -> Option<&'v str> {
        self.spend(STEP);
        Some(self.short(value.get(key)?.as_str()?)).filter(|text| !text.is_empty())
    }

    /// A text as far as it is given out.
    pub(super) fn short<'v>(&self, text: &'v str) -> &'v str {
        if self.is_spent() {
            return "";
        }
        let trimmed = text.trim();
        let short = short(trimmed);
        self.spend(text.len() - trimmed.len() + short.len());
        short
    }

    /// What a value stands for: itself, or what its `$ref` leads to within the document.
    pub(super) fn resolve<'v>(&'v self, value: &'v Value) -> &'v Value {
        let mut at = value;
        for _ in 0..MOST_STEPS {
            self.spend(STEP);
            let Some(pointer) = self.reference(at) else { return at };
            if self.is_spent() {
                return at;
            }
            self.spend(pointer.len());
            match self.root.pointer(pointer) {
                Some(next) => at = next,
                None => return at,
            }
        }
        at
    }

    /// The place that a `$ref` within the document names.
    pub(super) fn reference<'v>(&self, value: &'v Value) -> Option<&'v str> {
        let reference = value.get("$ref")?.as_str()?;
        if reference.len() > MOST_REFERENCE {
            self.has_long_references.set(true);
            return None;
        }
        reference.strip_prefix('#')
    }
}
