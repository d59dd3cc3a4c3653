//! Zipkin v2 JSON: a list of span objects to spans, and a span to its JSON.
//!
//! Reading keeps what was sent: names in their case, annotations in their order, zero durations. The span's fields are
//! `traceId`, `parentId`, `id`, `kind`, `name`, `timestamp`, `duration`, `localEndpoint`, `remoteEndpoint`,
//! `annotations`, `tags`, `debug`, `shared`. Writing normalises as the peer does when it answers, with the fields in
//! that order.

use super::bounds::ORIGINAL_LENGTH;
use super::detect::{self, Format};
use super::endpoint::EndpointFields;
use super::fault::{Fault, shown};
use super::read::{self, Bool, Elements, Fields, List, Long, Null, Object, Reader, Text, fields, skip};
use super::surrogates;
use super::write::{push_endpoint, push_escaped, push_hex, push_i64, push_lower};
use crate::codec::{DecodeError, Limits};
use crate::model::{Annotation, Kind, Span, TraceId, hex};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Reads a list of v2 spans. The body is UTF-8 already (see [`crate::codec::utf8`]).
pub fn decode<'a>(body: &'a str, limits: &Limits) -> Result<Vec<Span<'a>>, DecodeError> {
    detect::expect_list(body.as_bytes(), Format::JsonV2)?;
    if detect::is_blank(body) {
        return Ok(Vec::new());
    }
    match decode_once(body, limits) {
        Ok(spans) => Ok(spans),
        Err(error) => match surrogates::mend(body) {
            Some(mended) => Ok(decode_once(&mended, limits)?.into_iter().map(Span::into_owned).collect()),
            None => Err(error),
        },
    }
}

fn decode_once<'a>(body: &'a str, limits: &Limits) -> Result<Vec<Span<'a>>, DecodeError> {
    read::body(body, limits, |reader, json| {
        // A guess that is right for small spans and wastes little for large ones; a hostile body gets no more.
        let mut spans = Vec::with_capacity((body.len() / 512 + 1).min(1024));
        List(Spans { reader, spans: &mut spans }).deserialize(json)?;
        Ok(spans)
    })
}

struct Spans<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    spans: &'s mut Vec<Span<'a>>,
}

impl<'de> Elements<'de> for Spans<'_, '_, 'de> {
    const WHAT: &'static str = "a list of spans";
    const OPTIONAL: bool = false;

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let one = Object(OneSpan { reader: self.reader, spans: self.spans });
        Ok(list.next_element_seed(one)?.is_some())
    }
}

struct OneSpan<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    spans: &'s mut Vec<Span<'a>>,
}

fields!(Field {
    TraceId = "traceId",
    ParentId = "parentId",
    Id = "id",
    Kind = "kind",
    Name = "name",
    Timestamp = "timestamp",
    Duration = "duration",
    LocalEndpoint = "localEndpoint",
    RemoteEndpoint = "remoteEndpoint",
    Annotations = "annotations",
    Tags = "tags",
    Debug = "debug",
    Shared = "shared",
    BinaryAnnotations = "binaryAnnotations",
});

/// Lists and objects that are open inside a span, the span counted.
const SPAN_DEPTH: usize = 2;

impl<'de> Fields<'de> for OneSpan<'_, '_, 'de> {
    type Value = ();
    const WHAT: &'static str = "a span object";

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        let text = Text { reader, null: Null::Absent };
        let id = Text { reader, null: Null::Refused };
        let long = Long::optional(reader);
        let endpoint = EndpointFields { reader, depth: SPAN_DEPTH };
        reader.begin_span(self.spans.len())?;
        let mut trace_id = None;
        let mut span_id = None;
        self.spans.push(Span::new(TraceId::narrow(0), 0));
        let Some(span) = self.spans.last_mut() else { return Ok(()) };
        while let Some(field) = map.next_key::<Field>()? {
            match field {
                Field::TraceId => trace_id = map.next_value_seed(TraceIdSeed(id))?,
                Field::Id => span_id = map.next_value_seed(IdSeed { text: id, what: "id" })?,
                Field::ParentId => {
                    if let Some(parent) = map.next_value_seed(IdSeed { text, what: "parentId" })? {
                        span.parent_id = Some(parent);
                    }
                }
                Field::Kind => {
                    if let Some(kind) = map.next_value_seed(KindSeed(text))? {
                        span.kind = Some(kind);
                    }
                }
                Field::Name => {
                    if let Some(name) = map.next_value_seed(text)? {
                        span.name = (!name.is_empty()).then_some(reader.name("name", name)?);
                    }
                }
                Field::Timestamp => {
                    if let Some(timestamp) = map.next_value_seed(TimeSeed(long))? {
                        span.timestamp = Some(timestamp);
                    }
                }
                Field::Duration => span.duration = map.next_value_seed(long)?.or(span.duration),
                Field::LocalEndpoint => span.local = map.next_value_seed(Object(endpoint))?.or(span.local.take()),
                Field::RemoteEndpoint => span.remote = map.next_value_seed(Object(endpoint))?.or(span.remote.take()),
                Field::Annotations => map.next_value_seed(List(Annotations { reader, span }))?,
                Field::Tags => map.next_value_seed(Object(Tags { reader, span }))?,
                Field::Debug => span.debug = map.next_value_seed(Bool { reader })?.or(span.debug),
                Field::Shared => span.shared = map.next_value_seed(Bool { reader })?.or(span.shared),
                Field::BinaryAnnotations => {
                    return Err(reader.fail(detect::wrong_version(Format::JsonV2, "binaryAnnotations")));
                }
                Field::Unknown => skip(reader, &mut map, SPAN_DEPTH)?,
            }
        }
        let (Some(trace_id), Some(span_id)) = (trace_id, span_id) else {
            let mut peer = "Missing :".to_owned();
            if trace_id.is_none() {
                peer.push_str(" traceId");
            }
            if span_id.is_none() {
                peer.push_str(" id");
            }
            return Err(reader.says(peer, "every span needs both ids, of hex digits"));
        };
        span.trace_id = trace_id;
        span.id = span_id;
        Span::settle_tags(&mut span.tags);
        Ok(())
    }
}

/// A trace id of 1 to 32 digits, not all of them zero.
struct TraceIdSeed<'r>(Text<'r>);

impl<'de> DeserializeSeed<'de> for TraceIdSeed<'_> {
    type Value = Option<TraceId>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let reader = self.0.reader;
        let Some(text) = self.0.deserialize(json)? else { return Ok(None) };
        match TraceId::parse(&text) {
            Some(id) if !id.is_zero() => Ok(Some(id)),
            Some(_) => Err(reader.says("traceId is all zeros", "draw a random id for the trace")),
            None => Err(no_id(reader, "traceId", &text, 32)),
        }
    }
}

/// A span's id of 1 to 16 digits.
struct IdSeed<'r> {
    text: Text<'r>,
    what: &'static str,
}

impl<'de> DeserializeSeed<'de> for IdSeed<'_> {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let reader = self.text.reader;
        let Some(text) = self.text.deserialize(json)? else { return Ok(None) };
        match hex::decode_u64(text.as_bytes()) {
            // The peer counts the zeros, so that a short id of zeros passes, as it does here.
            Some(0) if text.len() == 16 && self.what == "id" => {
                Err(reader.says("id is all zeros", "draw a random id for the span"))
            }
            Some(id) => Ok(Some(id)),
            None => Err(no_id(reader, self.what, &text, 16)),
        }
    }
}

fn no_id<E: serde::de::Error>(reader: &Reader<'_>, what: &str, text: &str, most: usize) -> E {
    let remedy = format!("send 1 to {most} hex digits");
    match text.len() {
        0 => reader.says(format!("{what} is empty"), remedy),
        // The peer counts UTF-16 units; of hex digits they are as many as bytes.
        length if length > most => reader.says(format!("{what}.length > {most}"), remedy),
        _ => reader.says(format!("{text} should be lower-hex encoded with no prefix"), remedy),
    }
}

struct KindSeed<'r>(Text<'r>);

impl<'de> DeserializeSeed<'de> for KindSeed<'_> {
    type Value = Option<Kind>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let reader = self.0.reader;
        let Some(text) = self.0.deserialize(json)? else { return Ok(None) };
        match Kind::from_name(&text) {
            Some(kind) => Ok(Some(kind)),
            None => Err(reader.says(
                format!("No enum constant zipkin2.Span.Kind.{}", shown(&text)),
                "send CLIENT, SERVER, PRODUCER or CONSUMER; leave the kind out for work inside a service",
            )),
        }
    }
}

/// A time before the end of time.
pub(super) struct TimeSeed<'r>(pub Long<'r>);

impl<'de> DeserializeSeed<'de> for TimeSeed<'_> {
    type Value = Option<i64>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        let reader = self.0.reader;
        self.0.deserialize(json)?.map(|timestamp| reader.time(timestamp)).transpose()
    }
}

struct Annotations<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    span: &'s mut Span<'a>,
}

impl<'de> Elements<'de> for Annotations<'_, '_, 'de> {
    const WHAT: &'static str = "a list of annotations";
    const OPTIONAL: bool = true;

    fn next<A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let one = Object(OneAnnotation { reader: self.reader, span: self.span });
        Ok(list.next_element_seed(one)?.is_some())
    }
}

fields!(AnnotationField { Timestamp = "timestamp", Value = "value" });

struct OneAnnotation<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    span: &'s mut Span<'a>,
}

impl<'de> Fields<'de> for OneAnnotation<'_, '_, 'de> {
    type Value = ();
    const WHAT: &'static str = "an annotation object";

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        reader.begin_entry()?;
        let mut timestamp = None;
        let mut value = None;
        while let Some(field) = map.next_key::<AnnotationField>()? {
            match field {
                AnnotationField::Timestamp => {
                    let long = Long { reader, null: Null::Refused, want: "a long" };
                    timestamp = map.next_value_seed(TimeSeed(long))?;
                }
                AnnotationField::Value => value = map.next_value_seed(Text { reader, null: Null::Refused })?,
                AnnotationField::Unknown => skip(reader, &mut map, SPAN_DEPTH + 2)?,
            }
        }
        let (Some(timestamp), Some(value)) = (timestamp, value) else {
            return Err(reader.fail(incomplete_annotation()));
        };
        let (value, original) = reader.cut(value);
        if let Some(original) = original {
            self.span.tags.push((format!("{ORIGINAL_LENGTH}annotation").into(), original.to_string().into()));
        }
        self.span.annotations.push(Annotation { timestamp, value });
        Ok(())
    }
}

/// The fault of an annotation without its time or its value.
pub(super) fn incomplete_annotation() -> Fault {
    Fault::At { what: "Incomplete annotation", remedy: "an annotation needs a timestamp and a value" }
}

struct Tags<'r, 's, 'a> {
    reader: &'r Reader<'r>,
    span: &'s mut Span<'a>,
}

impl<'de> Fields<'de> for Tags<'_, '_, 'de> {
    type Value = ();
    const WHAT: &'static str = "an object of tags";

    fn absent() -> Option<()> {
        Some(())
    }

    fn read<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reader = self.reader;
        let tags = &mut self.span.tags;
        if tags.capacity() == 0 {
            // Typical spans have four to eight; growing costs more than the room.
            tags.reserve(8);
        }
        while let Some(key) = map.next_key_seed(TagKey)? {
            reader.begin_entry()?;
            let Some(value) = map.next_value_seed(Text { reader, null: Null::NoValue })? else { continue };
            let key = reader.name("tag", key)?;
            let (value, original) = reader.cut(value);
            if let Some(original) = original {
                tags.push((format!("{ORIGINAL_LENGTH}{key}").into(), original.to_string().into()));
            }
            tags.push((key, value));
        }
        Ok(())
    }
}

struct TagKey;

impl<'de> DeserializeSeed<'de> for TagKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for TagKey {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a tag's key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Appends one span as Zipkin answers it: names in lower case, annotations sorted and each once, tags by key, times and
/// durations of zero and less absent, as are a parent of zero or of the span itself and the shared flag of a client;
/// a 128-bit trace id whose upper half is zero has 16 digits.
pub fn write(span: &Span<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"traceId\":\"");
    if span.trace_id.high != 0 {
        push_hex(out, span.trace_id.high);
    }
    push_hex(out, span.trace_id.low);
    if let Some(parent) = span.parent_id.filter(|&parent| parent != 0 && parent != span.id) {
        out.extend_from_slice(b"\",\"parentId\":\"");
        push_hex(out, parent);
    }
    out.extend_from_slice(b"\",\"id\":\"");
    push_hex(out, span.id);
    if let Some(kind) = span.kind {
        out.extend_from_slice(b"\",\"kind\":\"");
        out.extend_from_slice(kind.name().as_bytes());
    }
    if let Some(name) = span.name.as_ref().filter(|name| !name.is_empty()) {
        out.extend_from_slice(b"\",\"name\":\"");
        push_lower(out, name);
    }
    out.push(b'"');
    if let Some(timestamp) = span.timestamp.filter(|&timestamp| timestamp > 0) {
        out.extend_from_slice(b",\"timestamp\":");
        push_i64(out, timestamp);
    }
    if let Some(duration) = span.duration.filter(|&duration| duration > 0) {
        out.extend_from_slice(b",\"duration\":");
        push_i64(out, duration);
    }
    if let Some(local) = span.local.as_ref().filter(|local| !local.is_empty()) {
        out.extend_from_slice(b",\"localEndpoint\":");
        push_endpoint(out, local, true);
    }
    if let Some(remote) = span.remote.as_ref().filter(|remote| !remote.is_empty()) {
        out.extend_from_slice(b",\"remoteEndpoint\":");
        push_endpoint(out, remote, true);
    }
    write_annotations(&span.annotations, out);
    if !span.tags.is_empty() {
        let mut before: &[u8] = b",\"tags\":{\"";
        for (key, value) in &span.tags {
            out.extend_from_slice(before);
            before = b"\",\"";
            push_escaped(out, key);
            out.extend_from_slice(b"\":\"");
            push_escaped(out, value);
        }
        out.extend_from_slice(b"\"}");
    }
    if span.debug == Some(true) {
        out.extend_from_slice(b",\"debug\":true");
    }
    if span.shared == Some(true) && span.kind != Some(Kind::Client) {
        out.extend_from_slice(b",\"shared\":true");
    }
    out.push(b'}');
}

fn write_annotations(annotations: &[Annotation<'_>], out: &mut Vec<u8>) {
    if annotations.is_empty() {
        return;
    }
    let mut sorted: Vec<&Annotation<'_>> = annotations.iter().collect();
    sorted.sort();
    sorted.dedup();
    let mut before: &[u8] = b",\"annotations\":[{\"timestamp\":";
    for annotation in sorted {
        out.extend_from_slice(before);
        before = b"\"},{\"timestamp\":";
        push_i64(out, annotation.timestamp);
        out.extend_from_slice(b",\"value\":\"");
        push_escaped(out, &annotation.value);
    }
    out.extend_from_slice(b"\"}]");
}

#[cfg(test)]
mod tests;
