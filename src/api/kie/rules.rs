//! What the fields of an item may hold. Everything that passes can be stored: nothing has a NUL in it, which one of the
//! databases cannot keep.

use super::answer::{Failure, NO_TEXT, Outcome, TOO_LONG};
use crate::registry::items::{Labels, NewItem, Status, ValueType};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// Lengths are of characters.
const LONGEST_KEY: usize = 2_048;
const LONGEST_VALUE: usize = 131_072;
const MOST_LABELS: usize = 6;
const LONGEST_LABEL: usize = 32;
const LONGEST_LABEL_VALUE: usize = 160;
/// Domains and projects.
const LONGEST_NAME: usize = 256;
const LONGEST_ID: usize = 64;

/// Letters and digits, and between them `_`, `-` and dots too. May be empty.
fn is_plain(text: &str, longest: usize) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let end = |b: Option<&u8>| b.is_none_or(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= longest && bytes.iter().all(|b| inner(*b)) && end(bytes.first()) && end(bytes.last())
}

/// A domain or a project.
pub(super) fn name(place: &str, text: &str) -> Outcome<()> {
    if !text.is_empty() && is_plain(text, LONGEST_NAME) {
        return Ok(());
    }
    let rule = "send 1 to 256 letters and digits; _, - and . may stand between them";
    Err(Failure::invalid(format!("{place}: {rule}")))
}

/// The id of an item.
pub(super) fn id(place: &str, text: &str) -> Outcome<()> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if (1..=LONGEST_ID).contains(&text.len()) && plain {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "{place}: send 1 to {LONGEST_ID} letters, digits, - or _, as the list of items has them"
    )))
}

fn is_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"._:-[]".contains(&b)
}

fn key(text: &str) -> Outcome<()> {
    const RULE: &str = "field key: send 1 to 2048 letters, digits and .:_-[]";
    if text.len() > LONGEST_KEY {
        return Err(Failure::new(TOO_LONG, RULE));
    }
    if text.is_empty() || !text.bytes().all(is_key) {
        return Err(Failure::invalid(RULE));
    }
    Ok(())
}

/// What a list asks keys by.
pub(super) fn key_pattern(text: &str) -> Outcome<()> {
    let inside = |function: &str| text.strip_prefix(function)?.strip_prefix('(')?.strip_suffix(')');
    let (inner, asterisks) = match (inside("beginWith"), inside("wildcard")) {
        (Some(start), _) => (start, false),
        (None, Some(pattern)) => (pattern, true),
        (None, None) => (text, false),
    };
    if inner.len() <= LONGEST_KEY && inner.bytes().all(|b| is_key(b) || asterisks && b == b'*') {
        return Ok(());
    }
    let rule = "send a key, beginWith(start) or wildcard(*part*); keys are of up to 2048 letters, digits and .:_-[]";
    Err(Failure::invalid(format!("query parameter key: {rule}")))
}

pub(super) fn value(text: &str) -> Outcome<()> {
    if text.len() > LONGEST_VALUE && text.chars().count() > LONGEST_VALUE {
        return Err(Failure::new(TOO_LONG, format!("field value: send up to {LONGEST_VALUE} characters")));
    }
    if text.contains('\0') {
        return Err(Failure::invalid("field value: leave NUL characters out"));
    }
    Ok(())
}

/// A label's name and value.
pub(super) fn label(place: &str, name: &str, value: &str) -> Outcome<()> {
    if name.is_empty() || !is_plain(name, LONGEST_LABEL) {
        let rule = "send names of 1 to 32 letters and digits; _, - and . may stand between them";
        return Err(Failure::invalid(format!("{place}: {rule}")));
    }
    if !is_plain(value, LONGEST_LABEL_VALUE) {
        let rule = "send values of up to 160 letters and digits; _, - and . may stand between them";
        return Err(Failure::invalid(format!("{place}: {rule}")));
    }
    Ok(())
}

fn labels(labels: &Labels) -> Outcome<()> {
    if labels.len() > MOST_LABELS {
        return Err(Failure::invalid(format!("field labels: send up to {MOST_LABELS}")));
    }
    labels.iter().try_for_each(|(name, value)| label("field labels", name, value))
}

/// Nothing where it is empty.
pub(super) fn status(place: &str, text: &str) -> Outcome<Option<Status>> {
    match (text, Status::parse(text)) {
        ("", _) => Ok(None),
        (_, None) => Err(Failure::invalid(format!("{place}: send enabled or disabled, or leave it out"))),
        (_, status) => Ok(status),
    }
}

/// The type in either case of its letters; text where it is empty.
fn value_type(text: &str) -> Outcome<ValueType> {
    if text.is_empty() {
        return Ok(ValueType::Text);
    }
    let rule = "field value_type: send text, yaml, json, properties, ini or xml, or leave it out";
    ValueType::parse(text).ok_or_else(|| Failure::invalid(rule))
}

/// An item as clients send it. A null counts as absent; what nobody asks for does not matter.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Incoming {
    pub(super) key: Option<String>,
    pub(super) value: Option<String>,
    pub(super) labels: Option<BTreeMap<String, Option<String>>>,
    pub(super) status: Option<String>,
    pub(super) value_type: Option<String>,
    pub(super) priority: Option<i64>,
}

impl Incoming {
    /// The item that is meant, of the status where it names none.
    pub(super) fn check(self, usual: Status) -> Outcome<NewItem> {
        let new = NewItem {
            key: self.key.unwrap_or_default(),
            labels: plain_labels(self.labels),
            value: self.value.unwrap_or_default(),
            value_type: value_type(&self.value_type.unwrap_or_default())?,
            status: status("field status", &self.status.unwrap_or_default())?.unwrap_or(usual),
            priority: self.priority.unwrap_or_default(),
        };
        key(&new.key)?;
        value(&new.value)?;
        labels(&new.labels)?;
        Ok(new)
    }
}

pub(super) fn plain_labels(labels: Option<BTreeMap<String, Option<String>>>) -> Labels {
    labels.unwrap_or_default().into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect()
}

/// An item of a file, whose key and value may be anything at first.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Loose {
    #[serde(deserialize_with = "given")]
    key: Option<Value>,
    #[serde(deserialize_with = "given")]
    value: Option<Value>,
    labels: Option<BTreeMap<String, Option<String>>>,
    status: Option<String>,
    value_type: Option<String>,
    priority: Option<i64>,
}

/// Tells a null from nothing.
fn given<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(reader).map(Some)
}

impl Loose {
    /// What a failure is told with: the key as far as it is a text, and the labels.
    pub(super) fn names(&self) -> (String, Labels) {
        let key = self.key.as_ref().and_then(Value::as_str).unwrap_or_default();
        (key.to_owned(), plain_labels(self.labels.clone()))
    }

    pub(super) fn check(self) -> Outcome<Incoming> {
        let text = |field: &str, value: Option<Value>| match value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Failure::new(NO_TEXT, format!("field {field}: send a text"))),
        };
        let (key, value) = (text("key", self.key)?, text("value", self.value)?);
        if key.as_ref().is_none_or(String::is_empty) {
            return Err(Failure::new(NO_TEXT, "field key: send a text of 1 to 2048 letters, digits and .:_-[]"));
        }
        let Loose { labels, status, value_type, priority, .. } = self;
        Ok(Incoming { key, value, labels, status, value_type, priority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_and_end_with_a_letter_or_a_digit() {
        for good in ["", "a", "A9", "a.b", "a_-.b", &"x".repeat(10)] {
            assert!(is_plain(good, 10), "{good:?}");
        }
        for bad in ["-", "a-", ".a", "a b", "a/b", "ä", "a\0b", "a=b", "a:b", &"x".repeat(11)] {
            assert!(!is_plain(bad, 10), "{bad:?}");
        }
    }

    #[test]
    fn keys_and_what_asks_for_them_have_letters_digits_and_six_signs() {
        for good in ["a", "a.b:c_d-e[0]", &"k".repeat(2_048)] {
            assert!(key(good).is_ok(), "{good:?}");
            assert!(key_pattern(good).is_ok(), "{good:?}");
        }
        for bad in ["a b", "a*", "a/b", "ä", "a\0"] {
            assert_eq!(key(bad).unwrap_err().code, 400_001, "{bad:?}");
            assert!(key_pattern(bad).is_err(), "{bad:?}");
        }
        assert_eq!(key("").unwrap_err().code, 400_001);
        assert_eq!(key(&"k".repeat(2_049)).unwrap_err().code, 400_649);
        for good in ["", "beginWith(a.)", "beginWith()", "wildcard(*a*b)", "wildcard()"] {
            assert!(key_pattern(good).is_ok(), "{good:?}");
        }
        for bad in ["beginWith(a*)", "beginWith(a", "wildcard(a?)", "like(a)", "(a)"] {
            assert!(key_pattern(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_values_length_is_counted_in_characters() {
        assert!(value(&"☃".repeat(131_072)).is_ok());
        assert_eq!(value(&"v".repeat(131_073)).unwrap_err().code, 400_649);
        assert_eq!(value("a\0b").unwrap_err().code, 400_001);
    }

    #[test]
    fn up_to_six_labels_are_taken_and_an_empty_value_is_one() {
        let numbered = |count: usize| (0..count).map(|n| (format!("l{n}"), String::new())).collect::<Labels>();
        assert!(labels(&numbered(6)).is_ok());
        assert!(labels(&numbered(7)).is_err());
        for (name, value) in [("", "v"), (&*"n".repeat(33), "v"), ("n", &*"v".repeat(161)), ("n", "a b"), ("n:m", "v")]
        {
            assert!(label("label", name, value).is_err(), "{name:?} {value:?}");
        }
    }

    #[test]
    fn what_is_left_out_or_null_has_its_usual_value() {
        let usual = NewItem {
            key: "k".to_owned(),
            labels: Labels::new(),
            value: String::new(),
            value_type: ValueType::Text,
            status: Status::Disabled,
            priority: 0,
        };
        for text in [
            r#"{"key":"k"}"#,
            r#"{"key":"k","value":null,"labels":null,"status":null,"value_type":null,"priority":null,"check":1}"#,
            r#"{"key":"k","value":"","labels":{},"status":"","value_type":"TEXT","priority":0}"#,
        ] {
            let incoming: Incoming = serde_json::from_str(text).unwrap();
            assert_eq!(incoming.check(Status::Disabled).unwrap(), usual, "{text}");
        }
    }
}
