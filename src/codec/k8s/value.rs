//! One event as a tree of values, whatever encoding it came in, and reading fields of it by name and type.
//!
//! Only fields that are read become part of the tree; the rest, which is the most of some events, is passed over. A
//! [`Budget`] bounds depth and number of what is kept.
//!
//! A wrong type is refused as Go's decoder refuses it, by the path of the field.

use super::Limits;
use crate::codec::DecodeError;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Whole(i64),
    Float(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Fields<'a>),
}

impl<'a> Value<'a> {
    /// In Go's words.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Whole(_) | Value::Float(_) => "number",
            Value::Text(_) => "string",
            Value::List(_) => "array",
            Value::Object(_) => "object",
        }
    }

    fn wrong(&self, want: &'static str) -> Box<Fault> {
        Fault::new(What::Type { got: self.type_name(), want }, format!("send {} here, or leave it out", plain(want)))
    }

    /// The text, or none for `null`.
    pub fn peek(&self) -> Result<&str> {
        match self {
            Value::Null => Ok(""),
            Value::Text(text) => Ok(text),
            other => Err(other.wrong("string")),
        }
    }

    pub fn text(self) -> Result<Cow<'a, str>> {
        match self {
            Value::Null => Ok(Cow::Borrowed("")),
            Value::Text(text) => Ok(text),
            other => Err(other.wrong("string")),
        }
    }

    pub fn whole(&self) -> Result<Option<i64>> {
        // Collectors that go by way of a language without integers send 3 as 3.0.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match self {
            Value::Null => Ok(None),
            Value::Whole(number) => Ok(Some(*number)),
            Value::Float(number) if number.fract() == 0.0 && number.abs() <= EXACT => Ok(Some(*number as i64)),
            other => Err(other.wrong("int32")),
        }
    }

    pub fn bool(self) -> Result<bool> {
        match self {
            Value::Null => Ok(false),
            Value::Bool(value) => Ok(value),
            other => Err(other.wrong("bool")),
        }
    }

    pub fn object(self, want: &'static str) -> Result<Fields<'a>> {
        match self {
            Value::Null => Ok(Fields::default()),
            Value::Object(fields) => Ok(fields),
            other => Err(other.wrong(want)),
        }
    }

    pub fn list(self, want: &'static str) -> Result<Vec<Value<'a>>> {
        match self {
            Value::Null => Ok(Vec::new()),
            Value::List(values) => Ok(values),
            other => Err(other.wrong(want)),
        }
    }
}

/// What to send, for one of Go's types.
fn plain(want: &str) -> &'static str {
    match want {
        "string" => "a text",
        "int32" => "a whole number",
        "bool" => "true or false",
        list if list.starts_with("[]") => "a list",
        _ => "an object",
    }
}

/// The fields of an object. Of a key sent twice the last value counts, as in Go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields<'a>(pub Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Fields<'a> {
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.0.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text in a field, if it is one.
    pub fn peek_text(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Takes the value out of a field; `Null` where there is none.
    pub fn take(&mut self, key: &str) -> Value<'a> {
        let found = self.0.iter_mut().rev().find(|(name, _)| name == key);
        found.map_or(Value::Null, |(_, value)| std::mem::replace(value, Value::Null))
    }

    /// A text within the limit on names.
    pub fn name(&mut self, key: &str, limits: &Limits) -> Result<Cow<'a, str>> {
        self.take(key).text().and_then(|text| short(text, limits)).field(key)
    }

    pub fn object(&mut self, key: &str, want: &'static str) -> Result<Fields<'a>> {
        self.take(key).object(want).field(key)
    }

    pub fn whole(&mut self, key: &str) -> Result<Option<i64>> {
        self.take(key).whole().field(key)
    }
}

/// Refuses a text over the limit on names.
pub fn short<'a>(text: Cow<'a, str>, limits: &Limits) -> Result<Cow<'a, str>> {
    expect_short(&text, limits).map(|()| text)
}

/// The same of a text that is not copied before.
pub fn expect_short(text: &str, limits: &Limits) -> Result<()> {
    let most = limits.max_name_bytes;
    if text.len() <= most {
        return Ok(());
    }
    let says = format!("Too long: may not be more than {most} bytes");
    Err(Fault::says(says, format!("this has {} bytes: shorten it", text.len())))
}

/// Boxed: a fault is rare, and results are passed for every field.
pub type Result<T, E = Box<Fault>> = std::result::Result<T, E>;

/// Why an event is refused, and where in it.
#[derive(Debug)]
pub struct Fault {
    what: What,
    /// Below the event: `.involvedObject.name`. Grows at its front as the fault is passed outwards.
    path: String,
    /// From the document to the event: `.items[3]`. Grows likewise.
    entry: String,
    remedy: String,
}

#[derive(Debug)]
enum What {
    Type {
        got: &'static str,
        want: &'static str,
    },
    /// Of the value at the path.
    Says(String),
    /// Of the whole.
    Alone(String),
    TooLarge(String),
    /// Of a place that only the parser knows.
    Here(String),
}

impl Fault {
    #[cold]
    fn new(what: What, remedy: impl Into<String>) -> Box<Fault> {
        Box::new(Fault { what, path: String::new(), entry: String::new(), remedy: remedy.into() })
    }

    /// `says` follows the field's path, as in the API server's texts.
    pub fn says(says: impl Into<String>, remedy: impl Into<String>) -> Box<Fault> {
        Fault::new(What::Says(says.into()), remedy)
    }

    pub fn alone(says: impl Into<String>, remedy: impl Into<String>) -> Box<Fault> {
        Fault::new(What::Alone(says.into()), remedy)
    }

    pub fn too_large(says: impl Into<String>, remedy: impl Into<String>) -> Box<Fault> {
        Fault::new(What::TooLarge(says.into()), remedy)
    }

    /// The same fault of what a step leads to: `.name` or `[3]`.
    #[cold]
    pub fn under(mut self: Box<Self>, step: &str) -> Box<Fault> {
        self.path.insert_str(0, step);
        self
    }

    /// Whether the place is where the parser stands, and not what the fault gathered on its way.
    pub fn is_here(&self) -> bool {
        matches!(self.what, What::Here(_))
    }

    /// As the sender is told. `place` is where the event is.
    pub fn error(self, place: &str) -> DecodeError {
        let field = self.path.trim_start_matches('.');
        let too_large = matches!(self.what, What::TooLarge(_));
        let peer = match self.what {
            What::Type { got, want } if field.is_empty() => {
                format!("json: cannot unmarshal {got} into Go value of type {want}")
            }
            What::Type { got, want } => {
                format!("json: cannot unmarshal {got} into Go struct field Event.{field} of type {want}")
            }
            What::Says(says) if field.is_empty() => says,
            What::Says(says) => format!("{field}: {says}"),
            What::Alone(says) | What::TooLarge(says) | What::Here(says) => says,
        };
        DecodeError { peer, place: format!("{place}{}{}", self.entry, self.path), remedy: self.remedy, too_large }
    }
}

/// What tells a fault where it happened.
pub trait Place {
    /// In the field of that name.
    fn field(self, name: &str) -> Self;

    /// In that element of a list.
    fn element(self, index: usize) -> Self;

    /// In the entry that a step further leads to.
    fn entry(self, step: &str) -> Self;
}

impl<T> Place for Result<T> {
    fn field(self, name: &str) -> Self {
        self.map_err(|fault| fault.under(&format!(".{name}")))
    }

    fn element(self, index: usize) -> Self {
        self.map_err(|fault| fault.under(&format!("[{index}]")))
    }

    fn entry(self, step: &str) -> Self {
        self.map_err(|mut fault| {
            fault.entry.insert_str(0, step);
            fault
        })
    }
}

/// What one event may still hold.
pub struct Budget<'l> {
    limits: &'l Limits,
    values: Cell<usize>,
}

impl<'l> Budget<'l> {
    pub fn new(limits: &'l Limits) -> Self {
        Budget { limits, values: Cell::new(0) }
    }

    pub fn limits(&self) -> &'l Limits {
        self.limits
    }

    /// Counts one more value.
    pub fn value(&self) -> Result<()> {
        let values = self.values.get() + 1;
        self.values.set(values);
        let most = self.limits.max_values;
        if values <= most {
            return Ok(());
        }
        let remedy = "no event is made of that many: send fewer labels and owners";
        Err(Fault::new(What::Here(format!("more than {most} values in an event")), remedy))
    }

    /// Refuses what nests deeper than the limit. `depth` counts the list or object that begins.
    pub fn depth(&self, depth: usize) -> Result<()> {
        let most = self.limits.max_depth;
        if depth <= most {
            return Ok(());
        }
        let remedy = "no field of an event nests that deep: leave this one out";
        Err(Fault::new(What::Here(format!("nesting is deeper than {most} levels")), remedy))
    }
}

/// Where a visitor leaves the fault that ends the pass, for the parser's errors carry no more than a text.
#[derive(Default)]
pub struct Noted(RefCell<Option<Box<Fault>>>);

impl Noted {
    #[cold]
    pub fn fail<E: serde::de::Error>(&self, fault: Box<Fault>) -> E {
        *self.0.borrow_mut() = Some(fault);
        E::custom("refused")
    }

    pub fn take(&self) -> Option<Box<Fault>> {
        self.0.borrow_mut().take()
    }
}

/// Reads a JSON value as a tree of what `keep` says is read.
#[derive(Clone, Copy)]
pub struct Tree<'r> {
    pub budget: &'r Budget<'r>,
    pub noted: &'r Noted,
    pub keep: fn(&str) -> bool,
    /// Lists and objects that are open around the value.
    pub depth: usize,
}

impl<'r> Tree<'r> {
    fn open<E: serde::de::Error>(self) -> Result<Tree<'r>, E> {
        let inner = Tree { depth: self.depth + 1, ..self };
        self.budget.depth(inner.depth).map_err(|fault| self.noted.fail(fault))?;
        Ok(inner)
    }

    /// Reads the value of a key, in an object that is open already.
    pub fn field<'de, A: MapAccess<'de>>(
        self,
        map: &mut A,
        fields: &mut Fields<'de>,
        key: Cow<'de, str>,
    ) -> Result<(), A::Error> {
        if (self.keep)(&key) {
            self.budget.value().map_err(|fault| self.noted.fail(fault))?;
            let value = map.next_value_seed(self)?;
            fields.0.push((key, value));
        } else {
            map.next_value_seed(Skip(self))?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value<'de>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Whole(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(i64::try_from(number).map_or(Value::Float(number as f64), Value::Whole))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value<'de>, A::Error> {
        let inner = self.open()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inner)? {
            self.budget.value().map_err(|fault| self.noted.fail(fault))?;
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
        let inner = self.open()?;
        let mut fields = Fields::default();
        while let Some(key) = map.next_key_seed(Key)? {
            inner.field(&mut map, &mut fields, key)?;
        }
        Ok(Value::Object(fields))
    }
}

/// Passes over a value, but not over one that nests too deep.
pub struct Skip<'r>(pub Tree<'r>);

impl<'de> DeserializeSeed<'de> for Skip<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let inner = self.0.open()?;
        while list.next_element_seed(Skip(inner))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.0.open()?;
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(Skip(inner))?;
        }
        Ok(())
    }
}

/// Reads a key, borrowed where it has no escapes.
pub struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
