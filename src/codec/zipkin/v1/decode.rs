//! Reading v1 JSON.
//!
//! A span's fields are `traceId`, `id`, `parentId`, `name`, `timestamp`, `duration`, `annotations`,
//! `binaryAnnotations`, `debug`. Ids are 1 to 32 hex digits; of a span's id the last 16 count, as in Zipkin.

use super::super::detect::{self, Format};
use super::super::endpoint::EndpointFields;
use super::super::fault::{Fault, shown};
use super::super::read::{self, Bool, Elements, Fields, List, Long, Null, Object, Reader, Text, bounded, fields, skip};
use super::super::surrogates;
use super::super::v2::{TimeSeed, incomplete_annotation};
use super::{V1Annotation, V1BinaryAnnotation, V1Span, V1Value, split};
use crate::codec::{DecodeError, Limits};
use crate::model::{Span, TraceId};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Reads a list of v1 spans and splits them into rows. The body is UTF-8 already (see [`crate::codec::utf8`]).
pub fn decode<'a>(body: &'a str, limits: &Limits) -> Result<Vec<Span<'a>>, DecodeError> {
    match decode_rows(body, limits) {
        Ok(rows) => Ok(rows),
        Err(error) => match surrogates::mend(body) {
            Some(mended) => Ok(decode_rows(&mended, limits)?.into_iter().map(Span::into_owned).collect()),
            None => Err(error),
        },
    }
}

/// Splits each span as soon as it is read, so that a list is never in memory in both forms. One posted span of many
/// services has as many rows: they count as spans, so that a small body cannot take a lot of memory.
fn decode_rows<'a>(body: &'a str, limits: &Limits) -> Result<Vec<Span<'a>>, DecodeError> {
    each_posted(body, limits, |rows, span| {
        rows.extend(split(&span));
        rows.len()
    })
}

/// Reads a list of v1 spans as they were posted.
pub fn decode_posted<'a>(body: &'a str, limits: &Limits) -> Result<Vec<V1Span<'a>>, DecodeError> {
    each_posted(body, limits, |posted, span| {
        posted.push(span);
        posted.len()
    })
}

/// What `keep` makes of the spans of a list, one by one; it says how many it has kept.
fn each_posted<'a, T>(
    body: &'a str,
    limits: &Limits,
    keep: impl Fn(&mut Vec<T>, V1Span<'a>) -> usize,
) -> Result<Vec<T>, DecodeError> {
    detect::expect_list(body.as_bytes(), Format::JsonV1)?;
    if detect::is_blank(body) {
        return Ok(Vec::new());
    }
    read::body(body, limits, |reader, json| {
        let mut kept = Vec::new();
        List(Spans { reader, kept: 0, keep: |span| keep(&mut kept, span) }).deserialize(json)?;
        Ok(kept)
    })
}
struct Spans<'r, K> {
    reader: &'r Reader<'r>,
    kept: usize,
    keep: K,
}

impl<'de, K: FnMut(V1Span<'de>) -> usize> Elements<'de> for Spans<'_, K> {
    const WHAT: &'static str = "a list of spans";
    const OPTIONAL: bool = false;

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        Ok(list.next_element_seed(Object(OneSpan { list: self }))?.is_some())
    }
}

fields!(Field {
    TraceId = "traceId",
    Id = "id",
    ParentId = "parentId",
    Name = "name",
    Timestamp = "timestamp",
    Duration = "duration",
    Annotations = "annotations",
    BinaryAnnotations = "binaryAnnotations",
    Debug = "debug",
    LocalEndpoint = "localEndpoint",
    RemoteEndpoint = "remoteEndpoint",
    Tags = "tags",
});

/// Lists and objects that are open inside a span, the span counted.
const SPAN_DEPTH: usize = 2;
/// The same inside an annotation of either sort.
const ANNOTATION_DEPTH: usize = SPAN_DEPTH + 2;

struct OneSpan<'s, 'r, K> {
    list: &'s mut Spans<'r, K>,
}

impl<'de, K: FnMut(V1Span<'de>) -> usize> Fields<'de> for OneSpan<'_, '_, K> {
    type Value = ();
    const WHAT: &'static str = "a span object";

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.list.reader;
        reader.begin_span(self.list.kept)?;
        let text = Text { reader, null: Null::Absent };
        let id = Text { reader, null: Null::Refused };
        let long = Long::optional(reader);
        let wrong = |field| reader.fail(detect::wrong_version(Format::JsonV1, field));
        let mut span = V1Span::new(TraceId::narrow(0), 0);
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::TraceId => {
                    if let Some(trace_id) = map.next_value_seed(IdSeed(id))? {
                        span.trace_id = trace_id;
                    }
                }
                Field::Id => {
                    if let Some(id) = map.next_value_seed(IdSeed(id))? {
                        span.id = id.low;
                    }
                }
                Field::ParentId => {
                    if let Some(id) = map.next_value_seed(IdSeed(text))? {
                        span.parent_id = Some(id.low);
                    }
                }
                Field::Name => {
                    if let Some(name) = map.next_value_seed(text)? {
                        span.name = Some(reader.name("name", name)?);
                    }
                }
                Field::Timestamp => span.timestamp = map.next_value_seed(TimeSeed(long))?.or(span.timestamp),
                Field::Duration => span.duration = map.next_value_seed(long)?.or(span.duration),
                Field::Annotations => map.next_value_seed(List(Annotations { reader, span: &mut span }))?,
                Field::BinaryAnnotations => map.next_value_seed(List(BinaryAnnotations { reader, span: &mut span }))?,
                Field::Debug => span.debug = map.next_value_seed(Bool { reader })?.or(span.debug),
                Field::LocalEndpoint => return Err(wrong("localEndpoint")),
                Field::RemoteEndpoint => return Err(wrong("remoteEndpoint")),
                Field::Tags => return Err(wrong("tags")),
                Field::Unknown => skip(reader, &mut map, SPAN_DEPTH)?,
            }
        }
        for (empty, what) in [(span.trace_id.is_zero(), "traceId"), (span.id == 0, "id")] {
            if empty {
                let remedy = "every span needs a traceId and an id, of hex digits, not all zero";
                return Err(reader.says(format!("{what} == 0"), remedy));
            }
        }
        self.list.kept = (self.list.keep)(span);
        reader.rows(self.list.kept)
    }
}

/// An id of 1 to 32 hex digits.
struct IdSeed<'r>(Text<'r>);

impl<'de> DeserializeSeed<'de> for IdSeed<'_> {
    type Value = Option<TraceId>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let reader = self.0.reader;
        let Some(text) = self.0.deserialize(json)? else { return Ok(None) };
        match TraceId::parse(&text) {
            Some(id) => Ok(Some(id)),
            None => Err(reader.says(
                format!("{} should be a 1 to 32 character lower-hex string with no prefix", shown(&text)),
                "send 1 to 32 hex digits",
            )),
        }
    }
}

struct Annotations<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    span: &'s mut V1Span<'a>,
}

impl<'de> Elements<'de> for Annotations<'_, '_, 'de> {
    const WHAT: &'static str = "a list of annotations";
    const OPTIONAL: bool = true;

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let one = Object(OneAnnotation { reader: self.reader, span: self.span });
        Ok(list.next_element_seed(one)?.is_some())
    }
}

fields!(AnnotationField { Timestamp = "timestamp", Value = "value", Endpoint = "endpoint" });

struct OneAnnotation<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    span: &'s mut V1Span<'a>,
}

impl<'de> Fields<'de> for OneAnnotation<'_, '_, 'de> {
    type Value = ();
    const WHAT: &'static str = "an annotation object";

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        reader.begin_entry()?;
        let mut timestamp = None;
        let mut value = None;
        let mut endpoint = None;
        while let Some(field) = map.next_key::<AnnotationField>()? {
            match field {
                AnnotationField::Timestamp => {
                    let long = Long { reader, null: Null::Refused, want: "a long" };
                    timestamp = map.next_value_seed(TimeSeed(long))?;
                }
                AnnotationField::Value => value = map.next_value_seed(Text { reader, null: Null::Refused })?,
                AnnotationField::Endpoint => {
                    let fields = EndpointFields { reader, depth: ANNOTATION_DEPTH };
                    endpoint = map.next_value_seed(Object(fields))?.or(endpoint);
                }
                AnnotationField::Unknown => skip(reader, &mut map, ANNOTATION_DEPTH)?,
            }
        }
        let (Some(timestamp), Some(value)) = (timestamp, value) else {
            return Err(reader.fail(incomplete_annotation()));
        };
        let (value, original) = reader.cut(value);
        if let Some(original) = original {
            let tag = V1BinaryAnnotation::original_length("annotation", original, endpoint.clone());
            self.span.binary_annotations.push(tag);
        }
        self.span.annotations.push(V1Annotation { timestamp, value, endpoint });
        Ok(())
    }
}

struct BinaryAnnotations<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    span: &'s mut V1Span<'a>,
}

impl<'de> Elements<'de> for BinaryAnnotations<'_, '_, 'de> {
    const WHAT: &'static str = "a list of binary annotations";
    const OPTIONAL: bool = true;

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let one = Object(OneBinaryAnnotation { reader: self.reader, span: self.span });
        Ok(list.next_element_seed(one)?.is_some())
    }
}

fields!(BinaryAnnotationField { Key = "key", Value = "value", Type = "type", Endpoint = "endpoint" });

struct OneBinaryAnnotation<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    span: &'s mut V1Span<'a>,
}

impl<'de> Fields<'de> for OneBinaryAnnotation<'_, '_, 'de> {
    type Value = ();
    const WHAT: &'static str = "a binary annotation object";

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        reader.begin_entry()?;
        let text = Text { reader, null: Null::Absent };
        let mut key = None;
        let mut value = V1Value::Absent;
        let mut kind = None;
        let mut endpoint = None;
        while let Some(field) = map.next_key::<BinaryAnnotationField>()? {
            match field {
                BinaryAnnotationField::Key => {
                    if let Some(text) = map.next_value_seed(text)? {
                        key = Some(reader.name("key", text)?);
                    }
                }
                BinaryAnnotationField::Value => match map.next_value_seed(ValueSeed { reader })? {
                    V1Value::Absent => {}
                    given => value = given,
                },
                BinaryAnnotationField::Type => {
                    if let Some(text) = map.next_value_seed(text)? {
                        kind = Some(reader.name("type", text)?);
                    }
                }
                BinaryAnnotationField::Endpoint => {
                    let fields = EndpointFields { reader, depth: ANNOTATION_DEPTH };
                    endpoint = map.next_value_seed(Object(fields))?.or(endpoint);
                }
                BinaryAnnotationField::Unknown => skip(reader, &mut map, ANNOTATION_DEPTH)?,
            }
        }
        let Some(key) = key else {
            let remedy = "a binary annotation needs a key";
            return Err(reader.fail(Fault::At { what: "No key", remedy }));
        };
        if let V1Value::Text(text) = value {
            let (text, original) = reader.cut(text);
            value = V1Value::Text(text);
            if let Some(original) = original {
                let tag = V1BinaryAnnotation::original_length(&key, original, endpoint.clone());
                self.span.binary_annotations.push(tag);
            }
        }
        self.span.binary_annotations.push(V1BinaryAnnotation { key, value, kind, endpoint });
        Ok(())
    }
}

/// The value of a binary annotation: whatever it is, as it was sent.
struct ValueSeed<'r> {
    reader: &'r Reader<'r>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = V1Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<V1Value<'de>, D::Error> {
        if !self.reader.exact {
            return json.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(json)?.get();
        if raw == "null" {
            return Ok(V1Value::Absent);
        }
        if raw.starts_with('"') {
            let text = Text { reader: self.reader, null: Null::Absent }.raw::<D::Error>(raw)?;
            return Ok(text.map_or(V1Value::Absent, V1Value::Text));
        }
        bounded(self.reader, raw, ANNOTATION_DEPTH)?;
        Ok(V1Value::Json(self.reader.name("value", Cow::Borrowed(raw))?))
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = V1Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<V1Value<'de>, E> {
        Ok(V1Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<V1Value<'de>, E> {
        Ok(V1Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<V1Value<'de>, E> {
        Ok(V1Value::Absent)
    }

    fn visit_bool<E>(self, value: bool) -> Result<V1Value<'de>, E> {
        Ok(V1Value::Json(Cow::Borrowed(if value { "true" } else { "false" })))
    }

    fn visit_u64<E>(self, number: u64) -> Result<V1Value<'de>, E> {
        Ok(V1Value::Json(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<V1Value<'de>, E> {
        Ok(V1Value::Json(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<V1Value<'de>, E> {
        Err(self.reader.fail(Fault::Inexact))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<V1Value<'de>, A::Error> {
        Err(self.reader.fail(Fault::Inexact))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<V1Value<'de>, A::Error> {
        Err(self.reader.fail(Fault::Inexact))
    }
}
