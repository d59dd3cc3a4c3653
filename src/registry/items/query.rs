//! Which items are meant.

use super::item::{Item, Status};
use std::collections::BTreeMap;

/// Names and their values. Neither has a `=` or a `:` in it; a value may be empty.
pub type Labels = BTreeMap<String, String>;

/// One text for each set of labels, as KIE has it: `app=shop::environment=test`, or `none`.
pub(super) fn canonical(labels: &Labels) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("::")
}

/// Conditions, all of which an item must meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Labels that the item has with these values.
    pub labels: Labels,
    /// Whether it must have no others.
    pub exact: bool,
    pub key: Option<KeyPattern>,
    pub status: Option<Status>,
    /// A part of the value.
    pub value: String,
}

impl Query {
    /// Whether key and labels are as asked.
    pub(super) fn names(&self, item: &Item) -> bool {
        let labels = if self.exact {
            self.labels == item.labels
        } else {
            self.labels.iter().all(|(name, value)| item.labels.get(name) == Some(value))
        };
        labels && self.key.as_ref().is_none_or(|key| key.matches(&item.key))
    }

    /// Whether an item is meant, as far as can be said without its value.
    pub fn matches(&self, item: &Item) -> bool {
        self.status.is_none_or(|status| status == item.status) && self.names(item)
    }
}

/// What a key must be like, in either case of its letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPattern {
    Is(String),
    /// `beginWith(..)`.
    Begins(String),
    /// `wildcard(..)`: what stood between asterisks.
    Wildcard(Vec<String>),
}

impl KeyPattern {
    /// Reads `name`, `beginWith(name)` or `wildcard(*name*)`.
    pub fn parse(text: &str) -> KeyPattern {
        let inside = |function: &str| text.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(start) = inside("beginWith") {
            return KeyPattern::Begins(start.to_ascii_lowercase());
        }
        match inside("wildcard") {
            Some(pattern) => KeyPattern::Wildcard(pattern.split('*').map(str::to_ascii_lowercase).collect()),
            None => KeyPattern::Is(text.to_ascii_lowercase()),
        }
    }

    pub fn matches(&self, key: &str) -> bool {
        match self {
            KeyPattern::Is(text) => key.eq_ignore_ascii_case(text),
            KeyPattern::Begins(start) => key.to_ascii_lowercase().starts_with(start),
            KeyPattern::Wildcard(parts) => between_asterisks(parts, &key.to_ascii_lowercase()),
        }
    }
}

/// Whether a text is the parts in their order, with anything between them.
fn between_asterisks(parts: &[String], text: &str) -> bool {
    let (Some((first, rest)), Some(mut left)) =
        (parts.split_first(), parts.first().and_then(|first| text.strip_prefix(first.as_str())))
    else {
        return false;
    };
    let Some((last, middle)) = rest.split_last() else { return text == first };
    for part in middle {
        // The first place leaves most for what follows.
        match left.find(part.as_str()) {
            Some(place) => left = left.get(place + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    left.ends_with(last.as_str())
}
