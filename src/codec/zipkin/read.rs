//! Reading JSON values the way the peer does: which types may stand where, borrowed from the body where possible.
//!
//! | wanted | taken | refused |
//! |---|---|---|
//! | text | text; a number, as its digits | boolean, list, object |
//! | whole number | number, text of a number; `1e3` | fractions, boolean, list, object |
//! | boolean | boolean | the rest |
//! | object, list | that | the rest |
//!
//! `null` is an absent optional field. Fields that nothing reads are skipped whatever they hold, up to the depth limit.
//!
//! Digits of a number that is no 64-bit integer (`1.50` as a tag) are lost once `serde_json` has made it a float.
//! Where such a number stands for a text the pass ends with [`Fault::Inexact`], and the body is read once more in the
//! exact way: raw texts first, slower, needed by next to nobody.

use super::bounds::Bounds;
use super::fault::{Fault, Says, refusal};
use crate::codec::{DecodeError, Limits};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

/// One pass over a body.
pub struct Reader<'l> {
    bounds: Bounds<'l>,
    /// Whether this is the second, exact pass.
    pub exact: bool,
    fault: RefCell<Option<Fault>>,
}

/// Reads a whole body by `pass`, which deserializes its list of spans.
pub fn body<'a, T>(
    body: &'a str,
    limits: &Limits,
    pass: impl Fn(&Reader<'_>, &mut serde_json::Deserializer<serde_json::de::StrRead<'a>>) -> serde_json::Result<T>,
) -> Result<T, DecodeError> {
    let mut exact = false;
    loop {
        let reader = Reader::new(limits, exact);
        let mut json = serde_json::Deserializer::from_str(body);
        let error = match pass(&reader, &mut json).and_then(|value| json.end().map(|()| value)) {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match reader.fault.into_inner() {
            Some(Fault::Inexact) if !exact => exact = true,
            // A number beyond doubles is a text like any other where a text is read.
            None if !exact && error.to_string().starts_with("number out of range") => exact = true,
            fault => return Err(refusal(body, &error, fault)),
        }
    }
}

impl<'l> Reader<'l> {
    fn new(limits: &'l Limits, exact: bool) -> Self {
        Reader { bounds: Bounds::new(limits), exact, fault: RefCell::new(None) }
    }
}

impl Reader<'_> {
    /// Notes the fault and makes the error that ends the pass.
    #[cold]
    pub fn fail<E: serde::de::Error>(&self, fault: Fault) -> E {
        *self.fault.borrow_mut() = Some(fault);
        E::custom("refused")
    }

    #[cold]
    pub fn says<E: serde::de::Error>(&self, peer: impl Into<String>, remedy: impl Into<String>) -> E {
        self.fail(Fault::Says(Says::new(peer, remedy)))
    }

    /// As [`Bounds::time`].
    pub fn time<E: serde::de::Error>(&self, timestamp: i64) -> Result<i64, E> {
        self.bounds.time(timestamp).map_err(|says| self.fail(Fault::Says(says)))
    }

    /// As [`Bounds::begin_span`].
    pub fn begin_span<E: serde::de::Error>(&self, spans: usize) -> Result<(), E> {
        self.bounds.begin_span(spans).map_err(|says| self.fail(Fault::Says(says)))
    }

    /// As [`Bounds::rows`].
    pub fn rows<E: serde::de::Error>(&self, rows: usize) -> Result<(), E> {
        self.bounds.rows(rows).map_err(|says| self.fail(Fault::Says(says)))
    }

    /// As [`Bounds::begin_entry`].
    pub fn begin_entry<E: serde::de::Error>(&self) -> Result<(), E> {
        self.bounds.begin_entry().map_err(|says| self.fail(Fault::Says(says)))
    }

    /// As [`Bounds::name`].
    pub fn name<'a, E: serde::de::Error>(&self, what: &str, text: Cow<'a, str>) -> Result<Cow<'a, str>, E> {
        match self.bounds.name(what, &text) {
            Ok(()) => Ok(text),
            Err(says) => Err(self.fail(Fault::Says(says))),
        }
    }

    /// As [`Bounds::cut`].
    pub fn cut<'a>(&self, value: Cow<'a, str>) -> (Cow<'a, str>, Option<usize>) {
        match value {
            Cow::Borrowed(text) => {
                let (text, original) = self.bounds.cut(text);
                (Cow::Borrowed(text), original)
            }
            Cow::Owned(mut text) => {
                let (kept, original) = self.bounds.cut(&text);
                text.truncate(kept.len());
                (Cow::Owned(text), original)
            }
        }
    }
}

/// What `null` means where a value is read.
#[derive(Clone, Copy, PartialEq)]
pub enum Null {
    /// The optional field is absent.
    Absent,
    /// A value of the wrong type.
    Refused,
    /// The tag has no value.
    NoValue,
}

impl Null {
    fn read<T, E: serde::de::Error>(self, reader: &Reader<'_>, want: &'static str) -> Result<Option<T>, E> {
        match self {
            Null::Absent => Ok(None),
            Null::Refused => Err(reader.fail(Fault::Type { want, got: "NULL" })),
            Null::NoValue => {
                Err(reader.fail(Fault::At { what: "No value", remedy: "give the tag a text, or leave it out" }))
            }
        }
    }
}

/// The visits of values that never fit a scalar.
macro_rules! refuse_containers {
    ($want:expr) => {
        fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(self.reader.fail(Fault::Type { want: $want, got: "BEGIN_ARRAY" }))
        }

        fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
            Err(self.reader.fail(Fault::Type { want: $want, got: "BEGIN_OBJECT" }))
        }
    };
}

/// Reads a text.
#[derive(Clone, Copy)]
pub struct Text<'r> {
    pub reader: &'r Reader<'r>,
    pub null: Null,
}

impl<'de> DeserializeSeed<'de> for Text<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        if !self.reader.exact {
            return json.deserialize_any(self);
        }
        self.raw(<&RawValue as serde::Deserialize>::deserialize(json)?.get())
    }
}

impl Text<'_> {
    /// The text that a value, known to be well-formed, stands for.
    pub fn raw<'de, E: serde::de::Error>(self, raw: &'de str) -> Result<Option<Cow<'de, str>>, E> {
        match raw.as_bytes() {
            [b'-' | b'0'..=b'9', ..] => Ok(Some(Cow::Borrowed(raw))),
            // The inner error's position is the raw text's: the outer parser knows the body's.
            _ => serde_json::Deserializer::from_str(raw).deserialize_any(self).map_err(|_| E::custom("refused")),
        }
    }
}

impl<'de> Visitor<'de> for Text<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.reader.fail(Fault::Inexact))
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.reader.fail(Fault::Type { want: "a string", got: "BOOLEAN" }))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        self.null.read(self.reader, "a string")
    }

    refuse_containers!("a string");
}

/// Reads a whole number of 64 bits.
#[derive(Clone, Copy)]
pub struct Long<'r> {
    pub reader: &'r Reader<'r>,
    pub null: Null,
    /// In Gson's words: `a long`, `an int`.
    pub want: &'static str,
}

impl<'r> Long<'r> {
    /// An optional one.
    pub fn optional(reader: &'r Reader<'r>) -> Self {
        Long { reader, null: Null::Absent, want: "a long" }
    }

    fn whole(self, number: f64) -> Option<i64> {
        // Both bounds are exact in a double; the upper one lies just outside.
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
        (fits && number.fract() == 0.0).then_some(number as i64)
    }
}

impl<'de> DeserializeSeed<'de> for Long<'_> {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Long<'_> {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Some(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
        match i64::try_from(number) {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.reader.fail(Fault::Fraction { want: self.want, literal: Some(number.to_string()) })),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
        match self.whole(number) {
            Some(number) => Ok(Some(number)),
            None => Err(self.reader.fail(Fault::Fraction { want: self.want, literal: None })),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Some(number));
        }
        match text.trim().parse::<f64>().ok().and_then(|number| self.whole(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.reader.fail(Fault::Fraction { want: self.want, literal: Some(text.to_owned()) })),
        }
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(self.reader.fail(Fault::Type { want: self.want, got: "BOOLEAN" }))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        self.null.read(self.reader, self.want)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.reader.fail(Fault::Type { want: self.want, got: "BEGIN_ARRAY" }))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.reader.fail(Fault::Type { want: self.want, got: "BEGIN_OBJECT" }))
    }
}

/// Reads an optional boolean.
#[derive(Clone, Copy)]
pub struct Bool<'r> {
    pub reader: &'r Reader<'r>,
}

impl<'de> DeserializeSeed<'de> for Bool<'_> {
    type Value = Option<bool>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bool<'_> {
    type Value = Option<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Err(self.reader.fail(Fault::Type { want: "a boolean", got: "STRING" }))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(self.reader.fail(Fault::Type { want: "a boolean", got: "NUMBER" }))
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(self.reader.fail(Fault::Type { want: "a boolean", got: "NUMBER" }))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(self.reader.fail(Fault::Type { want: "a boolean", got: "NUMBER" }))
    }

    refuse_containers!("a boolean");
}

/// Something read from an object, field by field.
pub trait Fields<'de>: Sized {
    type Value;
    /// What the object is, for errors.
    const WHAT: &'static str;

    fn read<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error>;

    /// What `null` is read as, where the object is optional.
    fn absent() -> Option<Self::Value> {
        None
    }
}

/// Reads an object by its [`Fields`].
pub struct Object<T>(pub T);

impl<'de, T: Fields<'de>> DeserializeSeed<'de> for Object<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: Fields<'de>> Visitor<'de> for Object<T> {
    type Value = T::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<T::Value, E> {
        T::absent().ok_or_else(|| E::invalid_type(Unexpected::Unit, &T::WHAT))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T::Value, A::Error> {
        self.0.read(map)
    }
}

/// Something read from a list, element by element.
pub trait Elements<'de> {
    /// What the list holds, for errors.
    const WHAT: &'static str;
    /// Whether `null` may stand for a list of none.
    const OPTIONAL: bool;

    /// Reads an element; whether there was one.
    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error>;
}

/// Reads a list by its [`Elements`].
pub struct List<T>(pub T);

impl<'de, T: Elements<'de>> DeserializeSeed<'de> for List<T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de, T: Elements<'de>> Visitor<'de> for List<T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        if T::OPTIONAL { Ok(()) } else { Err(E::invalid_type(Unexpected::Unit, &T::WHAT)) }
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        while self.0.next(&mut list)? {}
        Ok(())
    }
}

/// Passes over a value that nothing reads. `depth` is how many lists and objects are open around it.
pub fn skip<'de, A: MapAccess<'de>>(reader: &Reader<'_>, map: &mut A, depth: usize) -> Result<(), A::Error> {
    let raw = map.next_value::<&RawValue>()?.get();
    bounded(reader, raw, depth)
}

/// Refuses a value, known to be well-formed, that nests deeper than the limit.
pub fn bounded<E: serde::de::Error>(reader: &Reader<'_>, raw: &str, depth: usize) -> Result<(), E> {
    let mut depth = depth;
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                reader.bounds.depth(depth).map_err(|says| reader.fail(Fault::Says(says)))?;
            }
            b']' | b'}' => depth -= 1,
            b'"' => {
                while let Some(inside) = bytes.next() {
                    match inside {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Declares the fields that an object is read for, and how a key becomes one.
macro_rules! fields {
    ($name:ident { $($variant:ident = $key:literal),+ $(,)? }) => {
        #[derive(Clone, Copy)]
        enum $name {
            $($variant,)+
            Unknown,
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
                struct Key;
                impl serde::de::Visitor<'_> for Key {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("a key")
                    }

                    fn visit_str<E>(self, key: &str) -> Result<$name, E> {
                        Ok(match key {
                            $($key => $name::$variant,)+
                            _ => $name::Unknown,
                        })
                    }
                }
                json.deserialize_identifier(Key)
            }
        }
    };
}
pub(super) use fields;
