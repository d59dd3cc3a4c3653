//! Zipkin v2 in protobuf: a message `ListOfSpans` to spans (see `schemas/zipkin.proto`).
//!
//! The bytes are walked field by field: no types are generated and no text is copied. A field is known by its key, the
//! number and the wire type in one; a known number with another wire type is a field that nobody knows, and those are
//! skipped. In protobuf a value of zero and none at all look alike: both are absent.
//!
//! | wire type | |
//! |---|---|
//! | 0 | varint: seven bits a byte, the lowest first, at most ten bytes |
//! | 1 | eight bytes, little-endian |
//! | 2 | a length, then as many bytes |
//! | 5 | four bytes, little-endian |
//! | 3, 4 | groups, which nobody writes any more: refused, as the peer does |
//!
//! Taken as the peer takes it: ids of fewer bytes than they should have, with zeros before them; kinds of an unknown
//! number are none; addresses that are none are dropped, and so are annotations without a time.

use super::binary::{Cursor, Place, Refused, Result};
use super::bounds::{Bounds, ORIGINAL_LENGTH};
use super::fault::Says;
use crate::codec::{DecodeError, Limits};
use crate::model::{Annotation, Endpoint, Kind, Span, TraceId};
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

const fn key(number: u64, wire_type: u64) -> u64 {
    number << 3 | wire_type
}

/// The keys of each message's fields.
mod list {
    use super::*;
    pub const SPANS: u64 = key(1, BYTES);
}

mod span {
    use super::*;
    pub const TRACE_ID: u64 = key(1, BYTES);
    pub const PARENT_ID: u64 = key(2, BYTES);
    pub const ID: u64 = key(3, BYTES);
    pub const KIND: u64 = key(4, VARINT);
    pub const NAME: u64 = key(5, BYTES);
    pub const TIMESTAMP: u64 = key(6, FIXED64);
    pub const DURATION: u64 = key(7, VARINT);
    pub const LOCAL_ENDPOINT: u64 = key(8, BYTES);
    pub const REMOTE_ENDPOINT: u64 = key(9, BYTES);
    pub const ANNOTATIONS: u64 = key(10, BYTES);
    pub const TAGS: u64 = key(11, BYTES);
    pub const DEBUG: u64 = key(12, VARINT);
    pub const SHARED: u64 = key(13, VARINT);
}

mod endpoint {
    use super::*;
    pub const SERVICE_NAME: u64 = key(1, BYTES);
    pub const IPV4: u64 = key(2, BYTES);
    pub const IPV6: u64 = key(3, BYTES);
    pub const PORT: u64 = key(4, VARINT);
}

mod annotation {
    use super::*;
    pub const TIMESTAMP: u64 = key(1, FIXED64);
    pub const VALUE: u64 = key(2, BYTES);
}

mod entry {
    use super::*;
    pub const KEY: u64 = key(1, BYTES);
    pub const VALUE: u64 = key(2, BYTES);
}

/// The fewest bytes that a span takes: its key and length, and two ids of one byte each.
const SMALLEST_SPAN: usize = 8;

/// Reads a list of spans. A body of nothing is an empty list.
pub fn decode<'a>(body: &'a [u8], limits: &Limits) -> Result<Vec<Span<'a>>, DecodeError> {
    // A list is walked in a hundredth of the time that its spans take, and then nothing has to grow.
    let count = count(Cursor::new(body), limits.max_spans);
    let mut spans = Vec::with_capacity(count.min(body.len() / SMALLEST_SPAN + 1));
    match read_list(Cursor::new(body), &Bounds::new(limits), &mut spans) {
        Ok(()) => Ok(spans),
        Err(refused) => Err(refused.error("proto3")),
    }
}

/// How many spans there are, up to `most` or the first fault.
fn count(mut list: Cursor<'_>, most: usize) -> usize {
    let mut count = 0;
    while count < most && !list.is_empty() {
        let Ok(key) = read_key(&mut list) else { break };
        if skip(key, &mut list).is_err() {
            break;
        }
        count += usize::from(key == list::SPANS);
    }
    count
}

fn read_list<'a>(mut list: Cursor<'a>, bounds: &Bounds<'_>, spans: &mut Vec<Span<'a>>) -> Result<()> {
    while !list.is_empty() {
        let key = read_key(&mut list)?;
        if key != list::SPANS {
            skip(key, &mut list)?;
            continue;
        }
        let index = spans.len();
        bounds.begin_span(index).map_err(|says| list.refuse(says)).element("", index)?;
        let message = read_message(&mut list).element("", index)?;
        spans.push(Span::new(TraceId::narrow(0), 0));
        let Some(span) = spans.last_mut() else { continue };
        read_span(message, bounds, span).element("", index)?;
    }
    Ok(())
}

fn read_span<'a>(mut message: Cursor<'a>, bounds: &Bounds<'_>, span: &mut Span<'a>) -> Result<()> {
    let (mut trace_id, mut id) = (None, None);
    let (mut annotations, mut tags) = (0, 0);
    let message = &mut message;
    while !message.is_empty() {
        match read_key(message)? {
            span::TRACE_ID => trace_id = read_trace_id(message).field("trace_id")?,
            span::PARENT_ID => span.parent_id = read_id(message, "parentId").field("parent_id")?,
            span::ID => id = read_id(message, "id").field("id")?,
            span::KIND => {
                let number = read_varint(message).field("kind")?;
                span.kind = u8::try_from(number).ok().and_then(Kind::from_number);
            }
            span::NAME => {
                let name = read_name(message, "name", bounds).field("name")?;
                span.name = (!name.is_empty()).then_some(Cow::Borrowed(name));
            }
            span::TIMESTAMP => span.timestamp = read_time(message, bounds).field("timestamp")?,
            span::DURATION => {
                let duration = read_varint(message).field("duration")? as i64;
                span.duration = (duration != 0).then_some(duration);
            }
            span::LOCAL_ENDPOINT => read_endpoint(message, bounds, &mut span.local).field("local_endpoint")?,
            span::REMOTE_ENDPOINT => read_endpoint(message, bounds, &mut span.remote).field("remote_endpoint")?,
            span::ANNOTATIONS => {
                read_annotation(message, bounds, span).element("annotations", annotations)?;
                annotations += 1;
            }
            span::TAGS => {
                read_tag(message, bounds, &mut span.tags).element("tags", tags)?;
                tags += 1;
            }
            span::DEBUG => span.debug = read_flag(message).field("debug")?,
            span::SHARED => span.shared = read_flag(message).field("shared")?,
            key => skip(key, message)?,
        }
    }
    let (Some(trace_id), Some(id)) = (trace_id, id) else {
        return Err(missing(message, trace_id.is_none(), id.is_none()));
    };
    span.trace_id = trace_id;
    span.id = id;
    Span::settle_tags(&mut span.tags);
    Ok(())
}

#[cold]
fn missing(message: &Cursor<'_>, trace_id: bool, id: bool) -> Box<Refused> {
    let mut peer = "Missing :".to_owned();
    if trace_id {
        peer.push_str(" traceId");
    }
    if id {
        peer.push_str(" id");
    }
    message.refuse(Says::new(peer, "every span needs both ids"))
}

/// An id of 1 to 16 bytes, not all of them zero; none of no bytes.
fn read_trace_id(message: &mut Cursor<'_>) -> Result<Option<TraceId>> {
    let bytes = read_bytes(message)?;
    let id = match bytes.len() {
        0 => return Ok(None),
        8 => TraceId::narrow(big_endian(bytes)),
        16 => {
            let (high, low) = bytes.split_at(8);
            TraceId::wide(big_endian(high), big_endian(low))
        }
        1..8 => TraceId::narrow(big_endian(bytes)),
        9..16 => {
            let (high, low) = bytes.split_at(bytes.len() - 8);
            TraceId::wide(big_endian(high), big_endian(low))
        }
        _ => return Err(message.refuse(Says::new("traceId.length > 32", "send 8 or 16 bytes"))),
    };
    if id.is_zero() {
        return Err(message.refuse(Says::new("traceId is all zeros", "draw a random id for the trace")));
    }
    Ok(Some(id))
}

/// An id of 1 to 8 bytes; none of no bytes.
fn read_id(message: &mut Cursor<'_>, what: &str) -> Result<Option<u64>> {
    let bytes = read_bytes(message)?;
    let id = match bytes.len() {
        0 => return Ok(None),
        1..=8 => big_endian(bytes),
        _ => return Err(message.refuse(Says::new(format!("{what}.length > 16"), "send 8 bytes"))),
    };
    // The peer counts the zeros, so that a short id of zeros passes, as it does here.
    if id == 0 && bytes.len() == 8 && what == "id" {
        return Err(message.refuse(Says::new("id is all zeros", "draw a random id for the span")));
    }
    Ok(Some(id))
}

/// The number in up to eight bytes.
#[inline]
fn big_endian(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
    }
}

fn read_endpoint<'a>(message: &mut Cursor<'a>, bounds: &Bounds<'_>, endpoint: &mut Option<Endpoint<'a>>) -> Result<()> {
    let mut message = read_message(message)?;
    let message = &mut message;
    // Of a message that comes twice the fields are merged, as protobuf has it.
    let mut known = endpoint.take().unwrap_or_default();
    while !message.is_empty() {
        match read_key(message)? {
            endpoint::SERVICE_NAME => {
                let service = read_name(message, "serviceName", bounds).field("service_name")?;
                known.service = (!service.is_empty()).then_some(Cow::Borrowed(service));
            }
            // The peer takes an address of either family from either field, and drops what is none.
            endpoint::IPV4 => set_address(&mut known, read_bytes(message).field("ipv4")?),
            endpoint::IPV6 => set_address(&mut known, read_bytes(message).field("ipv6")?),
            endpoint::PORT => known.port = read_port(message).field("port")?,
            key => skip(key, message)?,
        }
    }
    *endpoint = (!known.is_empty()).then_some(known);
    Ok(())
}

/// Takes an address of 4 or 16 bytes; drops one of any other length. `::1.2.3.4` stays what it is: in bytes nothing
/// says that an IPv4 address is meant, and `::1` is none.
pub(super) fn set_address(endpoint: &mut Endpoint<'_>, bytes: &[u8]) {
    if let Ok(address) = <[u8; 4]>::try_from(bytes) {
        endpoint.ipv4 = Some(Ipv4Addr::from(address));
    } else if let Ok(address) = <[u8; 16]>::try_from(bytes) {
        let address = Ipv6Addr::from(address);
        match address.to_ipv4_mapped() {
            Some(address) => endpoint.ipv4 = Some(address),
            None => endpoint.ipv6 = Some(address),
        }
    }
}

/// A port: 0 and less are unknown, over 65535 is refused.
fn read_port(message: &mut Cursor<'_>) -> Result<Option<u16>> {
    // An int32: a negative one has ten bytes.
    let port = read_varint(message)? as i32;
    match u16::try_from(port.max(0)) {
        Ok(0) => Ok(None),
        Ok(port) => Ok(Some(port)),
        Err(_) => Err(message.refuse(Says::new(format!("invalid port {port}"), "send a port of 1 to 65535, or none"))),
    }
}

fn read_annotation<'a>(message: &mut Cursor<'a>, bounds: &Bounds<'_>, span: &mut Span<'a>) -> Result<()> {
    let mut message = read_message(message)?;
    let message = &mut message;
    bounds.begin_entry().map_err(|says| message.refuse(says))?;
    let (mut timestamp, mut value) = (None, "");
    while !message.is_empty() {
        match read_key(message)? {
            annotation::TIMESTAMP => timestamp = read_time(message, bounds).field("timestamp")?,
            annotation::VALUE => value = read_text(message).field("value")?,
            key => skip(key, message)?,
        }
    }
    let Some(timestamp) = timestamp else { return Ok(()) };
    let (value, original) = bounds.cut(value);
    if let Some(original) = original {
        span.tags.push((format!("{ORIGINAL_LENGTH}annotation").into(), original.to_string().into()));
    }
    span.annotations.push(Annotation { timestamp, value: Cow::Borrowed(value) });
    Ok(())
}

fn read_tag<'a>(
    message: &mut Cursor<'a>,
    bounds: &Bounds<'_>,
    tags: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>,
) -> Result<()> {
    let mut message = read_message(message)?;
    let message = &mut message;
    bounds.begin_entry().map_err(|says| message.refuse(says))?;
    let (mut key, mut value) = ("", "");
    while !message.is_empty() {
        match read_key(message)? {
            entry::KEY => key = read_name(message, "tag", bounds).field("key")?,
            entry::VALUE => value = read_text(message).field("value")?,
            key => skip(key, message)?,
        }
    }
    if tags.capacity() == 0 {
        // Typical spans have four to eight; growing costs more than the room.
        tags.reserve(8);
    }
    let (value, original) = bounds.cut(value);
    if let Some(original) = original {
        tags.push((format!("{ORIGINAL_LENGTH}{key}").into(), original.to_string().into()));
    }
    tags.push((Cow::Borrowed(key), Cow::Borrowed(value)));
    Ok(())
}

#[inline]
fn read_time(message: &mut Cursor<'_>, bounds: &Bounds<'_>) -> Result<Option<i64>> {
    match i64::from_le_bytes(message.array()?) {
        0 => Ok(None),
        timestamp => bounds.time(timestamp).map(Some).map_err(|says| message.refuse(says)),
    }
}

#[inline]
fn read_flag(message: &mut Cursor<'_>) -> Result<Option<bool>> {
    Ok((read_varint(message)? != 0).then_some(true))
}

#[inline]
fn read_name<'a>(message: &mut Cursor<'a>, what: &str, bounds: &Bounds<'_>) -> Result<&'a str> {
    let text = read_text(message)?;
    match bounds.name(what, text) {
        Ok(()) => Ok(text),
        Err(says) => Err(message.refuse(says)),
    }
}

#[inline]
fn read_text<'a>(message: &mut Cursor<'a>) -> Result<&'a str> {
    let length = read_length(message)?;
    message.text(length)
}

#[inline]
fn read_bytes<'a>(message: &mut Cursor<'a>) -> Result<&'a [u8]> {
    let length = read_length(message)?;
    message.take(length)
}

#[inline]
fn read_message<'a>(message: &mut Cursor<'a>) -> Result<Cursor<'a>> {
    let length = read_length(message)?;
    message.stretch(length)
}

#[inline]
fn read_length(message: &mut Cursor<'_>) -> Result<usize> {
    let length = read_varint(message)?;
    usize::try_from(length).map_err(|_| message.truncated(length))
}

/// A field's number and wire type.
#[inline]
fn read_key(message: &mut Cursor<'_>) -> Result<u64> {
    read_varint(message)
}

// Nearly all have one byte, and a span has some forty: a call costs more than to read it.
#[inline(always)]
fn read_varint(message: &mut Cursor<'_>) -> Result<u64> {
    let byte = message.byte()?;
    if byte < 0x80 { Ok(u64::from(byte)) } else { read_long_varint(message, byte) }
}

/// A varint of which the first byte is not the last.
#[inline(never)]
fn read_long_varint(message: &mut Cursor<'_>, first: u8) -> Result<u64> {
    let mut number = u64::from(first & 0x7f);
    for shift in (7..70).step_by(7) {
        let byte = message.byte()?;
        // Of the tenth byte there is room for one bit.
        if shift == 63 && byte > 1 {
            break;
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    let refused = message.refuse(Says::new(
        format!("Greater than 64-bit varint at position {}", message.at() - 1),
        "a number here has more bits than any field: is the body protobuf, and whole?",
    ));
    Err(refused)
}

/// Passes over a field that nobody knows.
fn skip(key: u64, message: &mut Cursor<'_>) -> Result<()> {
    // Numbers of fields have 29 bits.
    if key < 8 || key > u64::from(u32::MAX) {
        return Err(message.malformed(format!("{} is no number of a field: is the body protobuf?", key >> 3)));
    }
    match key & 7 {
        VARINT => read_varint(message).map(drop),
        FIXED64 => message.array::<8>().map(drop),
        BYTES => read_bytes(message).map(drop),
        FIXED32 => message.array::<4>().map(drop),
        wire_type => Err(message.malformed(format!("{wire_type} is no wire type of a field here: send a ListOfSpans"))),
    }
}

#[cfg(test)]
mod tests;
