//! Zipkin v1 in thrift's binary protocol: a list of structs to v1 spans, and those to rows as v1 JSON's are.
//!
//! ```text
//! body    = list                         of Span
//! list    = type count { value }         the type is one byte; the peer reads neither it nor the one of inner lists
//! struct  = { type id value } 0          id: 16 bits
//! value   = 1 byte                       bool 2, byte 3
//!         | 2 | 4 | 8 bytes              i16 6; i32 8; i64 10, double 4: big-endian
//!         | length { byte }              string and binary 11
//!         | struct | list                12; list 15, set 14
//!         | type type count { value value }    map 13
//! count, length = 32 bits, not negative
//! ```
//!
//! | struct | id and field |
//! |---|---|
//! | Span | 1 trace_id, 3 name, 4 id, 5 parent_id, 6 annotations, 8 binary_annotations, 9 debug, 10 timestamp, 11 duration, 12 trace_id_high |
//! | Annotation | 1 timestamp, 2 value, 3 host |
//! | BinaryAnnotation | 1 key, 2 value, 3 annotation_type, 4 host |
//! | Endpoint | 1 ipv4, 2 port, 3 service_name, 4 ipv6 |
//!
//! A field is known by its id and type together; all others are skipped. Generated code writes zero where it knows
//! nothing: an address, a port, the high half of an id of zero are absent, and an annotation of time zero, or without a
//! value, is dropped, as is a binary annotation without a key.
//!
//! A binary annotation's value is bytes, and its type says of what. It is kept as v1 JSON would have it, so that it
//! comes back by the ATS API:
//!
//! | type | kept as |
//! |---|---|
//! | BOOL | `true`, `false` |
//! | I16, I32, I64 | the number, with the type beside it |
//! | DOUBLE | the number, or the text `"NaN"`, `"Infinity"`, `"-Infinity"`, with the type |
//! | STRING | the text |
//! | BYTES, none, unknown, or a value of another length than the type's | base64, with the type |
//!
//! Of all these only a STRING is a tag of the rows, as with the peer, and `true` an address.

use super::binary::{Cursor, Place, Result};
use super::bounds::Bounds;
use super::detect;
use super::fault::Says;
use super::proto3::set_address;
use super::v1::{V1Annotation, V1BinaryAnnotation, V1Span, V1Value, split};
use crate::codec::{DecodeError, Limits};
use crate::model::{Endpoint, Span, TraceId};
use std::borrow::Cow;

/// Types of values.
mod kind {
    pub const STOP: u8 = 0;
    pub const BOOL: u8 = 2;
    pub const BYTE: u8 = 3;
    pub const DOUBLE: u8 = 4;
    pub const I16: u8 = 6;
    pub const I32: u8 = 8;
    pub const I64: u8 = 10;
    pub const STRING: u8 = 11;
    pub const STRUCT: u8 = 12;
    pub const MAP: u8 = 13;
    pub const SET: u8 = 14;
    pub const LIST: u8 = 15;
}

/// Lists and structs that are open inside a span, the span counted.
const SPAN_DEPTH: usize = 2;
/// The same inside an annotation of either sort, and inside its endpoint.
const ANNOTATION_DEPTH: usize = SPAN_DEPTH + 2;
const ENDPOINT_DEPTH: usize = ANNOTATION_DEPTH + 1;

/// Reads a list of v1 spans and splits them into rows. A body of nothing is an empty list.
pub fn decode<'a>(body: &'a [u8], limits: &Limits) -> Result<Vec<Span<'a>>, DecodeError> {
    // A posted span of many services has as many rows: they count as spans, so that a small body cannot take a lot of
    // memory.
    each_posted(body, limits, |rows, span| rows.extend(split(&span)))
}

/// Reads a list of v1 spans as they were posted.
pub fn decode_posted<'a>(body: &'a [u8], limits: &Limits) -> Result<Vec<V1Span<'a>>, DecodeError> {
    each_posted(body, limits, Vec::push)
}

fn each_posted<'a, T>(
    body: &'a [u8],
    limits: &Limits,
    keep: impl Fn(&mut Vec<T>, V1Span<'a>),
) -> Result<Vec<T>, DecodeError> {
    let mut kept = Vec::new();
    if detect::is_empty_list(body) {
        return Ok(kept);
    }
    let bounds = Bounds::new(limits);
    match read_list(Cursor::new(body), &bounds, &mut kept, keep) {
        Ok(()) => Ok(kept),
        Err(refused) => Err(refused.error("TBinary")),
    }
}

fn read_list<'a, T>(
    mut list: Cursor<'a>,
    bounds: &Bounds<'_>,
    kept: &mut Vec<T>,
    keep: impl Fn(&mut Vec<T>, V1Span<'a>),
) -> Result<()> {
    for index in 0..read_list_head(&mut list)? {
        bounds.begin_span(kept.len()).map_err(|says| list.refuse(says)).element("", index)?;
        let span = read_span(&mut list, bounds).element("", index)?;
        keep(kept, span);
        bounds.rows(kept.len()).map_err(|says| list.refuse(says)).element("", index)?;
    }
    if !list.is_empty() {
        let left = list.left();
        return Err(list.malformed(format!("{left} bytes follow the list: send one list a request")));
    }
    Ok(())
}

/// The number of a list's elements, which may be that many: each has a byte at least.
fn read_list_head(input: &mut Cursor<'_>) -> Result<usize> {
    input.byte()?;
    read_count(input, 1)
}

/// A count of things that take at least so many bytes each.
fn read_count(input: &mut Cursor<'_>, each: usize) -> Result<usize> {
    let count = i32::from_be_bytes(input.array()?);
    let Ok(count) = usize::try_from(count) else {
        return Err(input.malformed(format!("{count} is no length: is the body thrift's binary protocol?")));
    };
    if count.saturating_mul(each) > input.left() {
        return Err(input.truncated(count as u64));
    }
    Ok(count)
}

fn read_bytes<'a>(input: &mut Cursor<'a>) -> Result<&'a [u8]> {
    let length = read_count(input, 1)?;
    input.take(length)
}

fn read_text<'a>(input: &mut Cursor<'a>) -> Result<&'a str> {
    let length = read_count(input, 1)?;
    input.text(length)
}

fn read_name<'a>(input: &mut Cursor<'a>, what: &str, bounds: &Bounds<'_>) -> Result<Cow<'a, str>> {
    let text = read_text(input)?;
    match bounds.name(what, text) {
        Ok(()) => Ok(Cow::Borrowed(text)),
        Err(says) => Err(input.refuse(says)),
    }
}

fn read_i64(input: &mut Cursor<'_>) -> Result<i64> {
    Ok(i64::from_be_bytes(input.array()?))
}

fn read_time(input: &mut Cursor<'_>, bounds: &Bounds<'_>) -> Result<i64> {
    let timestamp = read_i64(input)?;
    bounds.time(timestamp).map_err(|says| input.refuse(says))
}

/// A field's type and id; none behind the last one.
fn read_field(input: &mut Cursor<'_>) -> Result<Option<(u8, i16)>> {
    match input.byte()? {
        kind::STOP => Ok(None),
        kind => Ok(Some((kind, i16::from_be_bytes(input.array()?)))),
    }
}

fn read_span<'a>(input: &mut Cursor<'a>, bounds: &Bounds<'_>) -> Result<V1Span<'a>> {
    let mut span = V1Span::new(TraceId::narrow(0), 0);
    let (mut high, mut low) = (0, 0);
    while let Some((kind, id)) = read_field(input)? {
        match (kind, id) {
            (kind::I64, 1) => low = read_i64(input).field("trace_id")?,
            (kind::STRING, 3) => span.name = Some(read_name(input, "name", bounds).field("name")?),
            (kind::I64, 4) => span.id = read_i64(input).field("id")? as u64,
            (kind::I64, 5) => span.parent_id = Some(read_i64(input).field("parent_id")? as u64),
            (kind::LIST, 6) => {
                for index in 0..read_list_head(input).field("annotations")? {
                    read_annotation(input, bounds, &mut span).element("annotations", index)?;
                }
            }
            (kind::LIST, 8) => {
                for index in 0..read_list_head(input).field("binary_annotations")? {
                    read_binary_annotation(input, bounds, &mut span).element("binary_annotations", index)?;
                }
            }
            (kind::BOOL, 9) => span.debug = Some(input.byte().field("debug")? != 0),
            (kind::I64, 10) => span.timestamp = Some(read_time(input, bounds).field("timestamp")?),
            (kind::I64, 11) => span.duration = Some(read_i64(input).field("duration")?),
            (kind::I64, 12) => high = read_i64(input).field("trace_id_high")?,
            (kind, id) => skip(input, kind, SPAN_DEPTH, bounds).field(id)?,
        }
    }
    span.trace_id = match high {
        0 => TraceId::narrow(low as u64),
        high => TraceId::wide(high as u64, low as u64),
    };
    for (empty, what) in [(span.trace_id.is_zero(), "traceId"), (span.id == 0, "id")] {
        if empty {
            let says = Says::new(format!("{what} == 0"), "every span needs a trace_id and an id, not zero");
            return Err(input.refuse(says));
        }
    }
    Ok(span)
}

fn read_annotation<'a>(input: &mut Cursor<'a>, bounds: &Bounds<'_>, span: &mut V1Span<'a>) -> Result<()> {
    bounds.begin_entry().map_err(|says| input.refuse(says))?;
    let (mut timestamp, mut value, mut endpoint) = (0, None, None);
    while let Some((kind, id)) = read_field(input)? {
        match (kind, id) {
            (kind::I64, 1) => timestamp = read_time(input, bounds).field("timestamp")?,
            (kind::STRING, 2) => value = Some(read_text(input).field("value")?),
            (kind::STRUCT, 3) => endpoint = read_endpoint(input, bounds).field("host")?,
            (kind, id) => skip(input, kind, ANNOTATION_DEPTH, bounds).field(id)?,
        }
    }
    let Some(value) = value.filter(|_| timestamp != 0) else { return Ok(()) };
    let (value, original) = bounds.cut(value);
    if let Some(original) = original {
        let tag = V1BinaryAnnotation::original_length("annotation", original, endpoint.clone());
        span.binary_annotations.push(tag);
    }
    span.annotations.push(V1Annotation { timestamp, value: Cow::Borrowed(value), endpoint });
    Ok(())
}

fn read_binary_annotation<'a>(input: &mut Cursor<'a>, bounds: &Bounds<'_>, span: &mut V1Span<'a>) -> Result<()> {
    bounds.begin_entry().map_err(|says| input.refuse(says))?;
    let (mut key, mut value, mut value_type, mut endpoint) = (None, None, None, None);
    while let Some((kind, id)) = read_field(input)? {
        match (kind, id) {
            (kind::STRING, 1) => key = Some(read_name(input, "key", bounds).field("key")?),
            (kind::STRING, 2) => {
                // Whether it is text the type says, which may come later.
                value = Some(*input);
                read_bytes(input).field("value")?;
            }
            (kind::I32, 3) => value_type = Some(i32::from_be_bytes(input.array().field("annotation_type")?)),
            (kind::STRUCT, 4) => endpoint = read_endpoint(input, bounds).field("host")?,
            (kind, id) => skip(input, kind, ANNOTATION_DEPTH, bounds).field(id)?,
        }
    }
    let Some(key) = key else { return Ok(()) };
    let (value, kind, original) = match value {
        Some(mut bytes) => read_value(&mut bytes, value_type, bounds).field("value")?,
        None => (V1Value::Absent, None, None),
    };
    if let Some(original) = original {
        let tag = V1BinaryAnnotation::original_length(&key, original, endpoint.clone());
        span.binary_annotations.push(tag);
    }
    span.binary_annotations.push(V1BinaryAnnotation { key, value, kind, endpoint });
    Ok(())
}

/// A binary annotation's value and type as v1 JSON has them, and its length if it was cut.
type Value<'a> = (V1Value<'a>, Option<Cow<'a, str>>, Option<usize>);

fn read_value<'a>(input: &mut Cursor<'a>, value_type: Option<i32>, bounds: &Bounds<'_>) -> Result<Value<'a>> {
    if value_type == Some(6) {
        let (text, original) = bounds.cut(read_text(input)?);
        return Ok((V1Value::Text(Cow::Borrowed(text)), None, original));
    }
    let bytes = read_bytes(input)?;
    let integer = |name: &'static str, number: i64| {
        Ok((V1Value::Json(number.to_string().into()), Some(Cow::Borrowed(name)), None))
    };
    match (value_type, bytes) {
        (Some(0), [bit]) => return Ok((V1Value::Json(if *bit == 0 { "false" } else { "true" }.into()), None, None)),
        (Some(2), &[a, b]) => return integer("I16", i16::from_be_bytes([a, b]).into()),
        (Some(3), &[a, b, c, d]) => return integer("I32", i32::from_be_bytes([a, b, c, d]).into()),
        (Some(4), &[a, b, c, d, e, f, g, h]) => {
            return integer("I64", i64::from_be_bytes([a, b, c, d, e, f, g, h]));
        }
        (Some(5), &[a, b, c, d, e, f, g, h]) => {
            let json = double(f64::from_be_bytes([a, b, c, d, e, f, g, h]));
            return Ok((V1Value::Json(json.into()), Some("DOUBLE".into()), None));
        }
        _ => {}
    }
    let name: Cow<'static, str> = match value_type {
        None | Some(1) => "BYTES".into(),
        Some(0) => "BOOL".into(),
        Some(2) => "I16".into(),
        Some(3) => "I32".into(),
        Some(4) => "I64".into(),
        Some(5) => "DOUBLE".into(),
        Some(other) => other.to_string().into(),
    };
    // Three bytes make four characters.
    let most = bounds.limits.max_tag_bytes / 4 * 3;
    let (bytes, original) = match bytes.get(..most) {
        Some(head) if head.len() < bytes.len() => (head, Some(bytes.len())),
        _ => (bytes, None),
    };
    Ok((V1Value::Json(quoted_base64(bytes).into()), Some(name), original))
}

/// A number as JSON; what JSON has no number for, as the text that everyone writes for it.
fn double(number: f64) -> String {
    match serde_json::Number::from_f64(number) {
        Some(number) => number.to_string(),
        None if number.is_nan() => "\"NaN\"".to_owned(),
        None if number > 0.0 => "\"Infinity\"".to_owned(),
        None => "\"-Infinity\"".to_owned(),
    }
}

/// Bytes in base64 (RFC 4648, section 4), in quotes.
fn quoted_base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4 + 2);
    text.push('"');
    for three in bytes.chunks(3) {
        let bits = three.iter().enumerate().fold(0u32, |bits, (at, &byte)| bits | u32::from(byte) << (16 - 8 * at));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text.push('"');
    text
}

fn read_endpoint<'a>(input: &mut Cursor<'a>, bounds: &Bounds<'_>) -> Result<Option<Endpoint<'a>>> {
    let mut endpoint = Endpoint::default();
    while let Some((kind, id)) = read_field(input)? {
        match (kind, id) {
            (kind::I32, 1) => {
                let address: [u8; 4] = input.array().field("ipv4")?;
                if address != [0; 4] {
                    set_address(&mut endpoint, &address);
                }
            }
            (kind::I16, 2) => {
                let port = u16::from_be_bytes(input.array().field("port")?);
                endpoint.port = (port > 0).then_some(port);
            }
            (kind::STRING, 3) => {
                let service = read_name(input, "serviceName", bounds).field("service_name")?;
                endpoint.service = (!service.is_empty()).then_some(service);
            }
            (kind::STRING, 4) => set_address(&mut endpoint, read_bytes(input).field("ipv6")?),
            (kind, id) => skip(input, kind, ENDPOINT_DEPTH, bounds).field(id)?,
        }
    }
    Ok((!endpoint.is_empty()).then_some(endpoint))
}

/// Passes over a value that nothing reads. `depth` is how many lists and structs are open around it.
fn skip(input: &mut Cursor<'_>, kind: u8, depth: usize, bounds: &Bounds<'_>) -> Result<()> {
    if matches!(kind, kind::STRUCT | kind::MAP | kind::SET | kind::LIST) {
        bounds.depth(depth + 1).map_err(|says| input.refuse(says))?;
    }
    match kind {
        kind::BOOL | kind::BYTE => input.take(1).map(drop),
        kind::I16 => input.take(2).map(drop),
        kind::I32 => input.take(4).map(drop),
        kind::I64 | kind::DOUBLE => input.take(8).map(drop),
        kind::STRING => read_bytes(input).map(drop),
        kind::STRUCT => {
            while let Some((kind, _)) = read_field(input)? {
                skip(input, kind, depth + 1, bounds)?;
            }
            Ok(())
        }
        kind::MAP => {
            let (key, value) = (input.byte()?, input.byte()?);
            for _ in 0..read_count(input, 2)? {
                skip(input, key, depth + 1, bounds)?;
                skip(input, value, depth + 1, bounds)?;
            }
            Ok(())
        }
        kind::SET | kind::LIST => {
            let element = input.byte()?;
            for _ in 0..read_count(input, 1)? {
                skip(input, element, depth + 1, bounds)?;
            }
            Ok(())
        }
        other => Err(input.malformed(format!("{other} is no type of a value: is the body thrift's binary protocol?"))),
    }
}

#[cfg(test)]
mod tests;
