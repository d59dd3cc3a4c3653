//! Generated spans in Zipkin's binary formats: v2 in protobuf, v1 in thrift's binary protocol.
//!
//! What has its length before it is written behind a placeholder, and the length put there afterwards: in protobuf that
//! moves the bytes where the length takes more than one, which costs less than to measure first.

use super::generate::{Span, Trace};
use super::shop::{Endpoint, Shop};
use super::write::{annotated_at, moments, push_value};
use crate::model::TraceId;

/// Appends a span as an element of a `ListOfSpans`.
pub fn write_proto(shop: &Shop, trace: &Trace, span: &Span, out: &mut Vec<u8>) {
    message(out, 1, |out| {
        match trace.id {
            TraceId { high, low, wide: true } => {
                bytes(out, 1, &(u128::from(high) << 64 | u128::from(low)).to_be_bytes());
            }
            TraceId { low, .. } => bytes(out, 1, &low.to_be_bytes()),
        }
        if span.parent != 0 {
            bytes(out, 2, &span.parent.to_be_bytes());
        }
        bytes(out, 3, &span.id.to_be_bytes());
        if let Some(kind) = span.kind {
            number(out, 4, kind as u64);
        }
        bytes(out, 5, span.name.as_bytes());
        fixed(out, 6, span.start as u64);
        number(out, 7, span.duration as u64);
        bytes(out, 8, &shop.endpoints[span.local].proto);
        if let Some(remote) = span.remote {
            bytes(out, 9, &shop.endpoints[remote].proto);
        }
        if let Some(annotation) = span.annotation {
            message(out, 10, |out| {
                fixed(out, 1, annotated_at(span));
                bytes(out, 2, annotation.as_bytes());
            });
        }
        for (key, value) in trace.tags(span) {
            message(out, 11, |out| {
                bytes(out, 1, key.as_bytes());
                message(out, 2, |out| push_value(out, *value));
            });
        }
        if span.shared {
            number(out, 13, 1);
        }
    });
}

/// An endpoint's message.
pub fn proto_endpoint(service: &str, ipv4: [u8; 4], port: u16) -> Vec<u8> {
    let mut out = Vec::new();
    if !service.is_empty() {
        bytes(&mut out, 1, service.as_bytes());
    }
    bytes(&mut out, 2, &ipv4);
    if port > 0 {
        number(&mut out, 4, port.into());
    }
    out
}

fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// All fields here have numbers below 16: their keys are of one byte.
fn number(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3);
    varint(out, number);
}

fn fixed(out: &mut Vec<u8>, field: u8, number: u64) {
    out.push(field << 3 | 1);
    out.extend_from_slice(&number.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A field of bytes that `write` appends.
fn message(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(field << 3 | 2);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length <= 0x7f {
        out[at] = length as u8;
    } else {
        let mut prefix = Vec::with_capacity(2);
        varint(&mut prefix, length as u64);
        out.splice(at..=at, prefix);
    }
}

/// Types of values in thrift.
const I16: u8 = 6;
const I32: u8 = 8;
const I64: u8 = 10;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const LIST: u8 = 15;
const STOP: u8 = 0;

/// The head of a list of spans, whose number is put in once it is known.
pub const THRIFT_OPEN: &[u8] = &[STRUCT, 0, 0, 0, 0];

/// Puts the number of elements into the head of a list that begins at `at`.
pub fn set_count(out: &mut [u8], at: usize, count: u32) {
    out[at + 1..at + 5].copy_from_slice(&count.to_be_bytes());
}

/// Appends a span as an element of a list.
pub fn write_thrift(shop: &Shop, trace: &Trace, span: &Span, out: &mut Vec<u8>) {
    let local = &shop.endpoints[span.local];
    let (begin, end, address) = moments(span);
    long(out, 1, trace.id.low);
    string(out, 3, span.name.as_bytes());
    long(out, 4, span.id);
    if span.parent != 0 {
        long(out, 5, span.parent);
    }
    list(out, 6, |out| {
        let begin = begin.map(|value| (span.start as u64, value));
        let plain = span.annotation.map(|value| (annotated_at(span), value));
        let end = end.map(|value| ((span.start + span.duration) as u64, value));
        let mut count = 0;
        for (time, value) in begin.into_iter().chain(plain).chain(end) {
            long(out, 1, time);
            string(out, 2, value.as_bytes());
            host(out, 3, local);
            out.push(STOP);
            count += 1;
        }
        count
    });
    list(out, 8, |out| {
        let mut count = 0;
        for (key, value) in trace.tags(span) {
            string(out, 1, key.as_bytes());
            field(out, STRING, 2);
            let at = out.len();
            out.extend_from_slice(&[0; 4]);
            push_value(out, *value);
            let length = (out.len() - at - 4) as u32;
            out[at..at + 4].copy_from_slice(&length.to_be_bytes());
            value_type(out, 6);
            host(out, 4, local);
            out.push(STOP);
            count += 1;
        }
        if let Some(remote) = span.remote {
            string(out, 1, address.as_bytes());
            string(out, 2, &[1]);
            value_type(out, 0);
            host(out, 4, &shop.endpoints[remote]);
            out.push(STOP);
            count += 1;
        }
        count
    });
    // As in v1's JSON: the times of a span that two hosts share are the client's.
    if !span.shared {
        long(out, 10, span.start as u64);
        long(out, 11, span.duration as u64);
    }
    if trace.id.wide {
        long(out, 12, trace.id.high);
    }
    out.push(STOP);
}

/// An endpoint's struct, with the zeros that generated code writes where it knows nothing.
pub fn thrift_endpoint(service: &str, ipv4: [u8; 4], port: u16) -> Vec<u8> {
    let mut out = Vec::new();
    field(&mut out, I32, 1);
    out.extend_from_slice(&ipv4);
    field(&mut out, I16, 2);
    out.extend_from_slice(&port.to_be_bytes());
    string(&mut out, 3, service.as_bytes());
    out.push(STOP);
    out
}

fn field(out: &mut Vec<u8>, kind: u8, id: u8) {
    out.extend_from_slice(&[kind, 0, id]);
}

fn long(out: &mut Vec<u8>, id: u8, number: u64) {
    field(out, I64, id);
    out.extend_from_slice(&number.to_be_bytes());
}

fn string(out: &mut Vec<u8>, id: u8, bytes: &[u8]) {
    field(out, STRING, id);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn value_type(out: &mut Vec<u8>, number: u8) {
    field(out, I32, 3);
    out.extend_from_slice(&[0, 0, 0, number]);
}

fn host(out: &mut Vec<u8>, id: u8, endpoint: &Endpoint) {
    field(out, STRUCT, id);
    out.extend_from_slice(&endpoint.thrift);
}

/// A list of the structs that `write` appends; it says how many.
fn list(out: &mut Vec<u8>, id: u8, write: impl FnOnce(&mut Vec<u8>) -> u32) {
    field(out, LIST, id);
    let at = out.len();
    out.extend_from_slice(THRIFT_OPEN);
    let count = write(out);
    set_count(out, at, count);
}

#[cfg(test)]
mod tests {
    use crate::bench::generate::{Generator, Options};
    use crate::bench::source::Source;
    use crate::bench::write::{Body, Format, Packer};
    use crate::codec::{Limits, zipkin};

    fn bodies(format: Format, shared_spans: bool) -> Vec<Body> {
        let options =
            Options { seed: 5, wide_ids: shared_spans, shared_spans, first_start: 1_700_000_000_000_000, rate: 20_000 };
        let mut bodies = Vec::new();
        let mut packer = Packer::new(format, 300, false, |body: Body| {
            bodies.push(body);
            true
        });
        Source::generated(Generator::new(options), 1000).pack(&mut packer);
        bodies
    }

    /// The server sees the same spans whichever format they come in, so that figures can be compared.
    #[test]
    fn a_binary_format_says_what_json_of_its_version_says() {
        let limits = Limits::default();
        for shared_spans in [false, true] {
            for (json, binary, json_codec, binary_codec) in [
                (Format::ZipkinV2, Format::ZipkinProto, zipkin::Format::JsonV2, zipkin::Format::Proto3),
                (Format::ZipkinV1, Format::ZipkinThrift, zipkin::Format::JsonV1, zipkin::Format::Thrift),
            ] {
                let (json, binary) = (bodies(json, shared_spans), bodies(binary, shared_spans));
                assert!(json.len() > 3 && json.len() == binary.len());
                for (json, binary) in json.iter().zip(&binary) {
                    assert_eq!(json.spans, binary.spans);
                    let wanted = zipkin::decode(&json.bytes, json_codec, &limits).unwrap();
                    assert_eq!(zipkin::decode(&binary.bytes, binary_codec, &limits).unwrap(), wanted);
                    assert!(wanted.len() >= json.spans as usize);
                }
            }
        }
    }
}
