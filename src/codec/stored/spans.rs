//! A request's spans.
//!
//! ```text
//! batch   = version:u8 arrival:i64le present:u8 project:text [cluster:text] [namespace:text] count:varint span*
//! span    = len:varint body                     (len: bytes of the body)
//! body    = flags:u32le low:u64le id:u64le [high:u64le] [parent:u64le] [timestamp:zigzag] [duration:zigzag]
//!           [name:text] [local:endpoint] [remote:endpoint] [v1:text]
//!           annotations:varint (timestamp:zigzag value:text)*  tags:varint (key:text value:text)*
//! endpoint= present:u8 [service:text] [ipv4:4] [ipv6:16] [port:u16le]
//! ```
//!
//! The first 20 bytes of a body have fixed places, so that an index needs no decoding.

use super::StoredError;
use crate::codec::pack::{Fault, Reader, put_text, put_varint, put_zigzag};
use crate::model::{Annotation, Endpoint, Kind, Scope, Span, TraceId};
use std::borrow::Cow;

/// What an encoded request of spans begins with: their first version.
pub const VERSION: u8 = 1;

mod flag {
    pub const WIDE: u32 = 1;
    pub const PARENT: u32 = 1 << 1;
    pub const TIMESTAMP: u32 = 1 << 2;
    pub const DURATION: u32 = 1 << 3;
    pub const NAME: u32 = 1 << 4;
    pub const LOCAL: u32 = 1 << 5;
    pub const REMOTE: u32 = 1 << 6;
    pub const V1: u32 = 1 << 7;
    pub const DEBUG_SENT: u32 = 1 << 8;
    pub const DEBUG: u32 = 1 << 9;
    pub const SHARED_SENT: u32 = 1 << 10;
    pub const SHARED: u32 = 1 << 11;
    /// Three bits: 0 for none, else the kind's number.
    pub const KIND_SHIFT: u32 = 12;
}

mod given {
    pub const SERVICE: u8 = 1;
    pub const IPV4: u8 = 2;
    pub const IPV6: u8 = 4;
    pub const PORT: u8 = 8;
    pub const CLUSTER: u8 = 1;
    pub const NAMESPACE: u8 = 2;
}

/// Encodes a request's spans, kept under `scope`, that arrived at `arrival` (microseconds since 1970 UTC).
pub fn encode(scope: &Scope<'_>, arrival: i64, spans: &[Span<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + spans.len() * 256);
    out.push(VERSION);
    out.extend_from_slice(&arrival.to_le_bytes());
    let mut present = 0;
    present |= if scope.cluster_id.is_some() { given::CLUSTER } else { 0 };
    present |= if scope.namespace.is_some() { given::NAMESPACE } else { 0 };
    out.push(present);
    put_text(&mut out, &scope.project);
    for text in [&scope.cluster_id, &scope.namespace].into_iter().flatten() {
        put_text(&mut out, text);
    }
    put_varint(&mut out, spans.len() as u64);
    let mut body = Vec::with_capacity(512);
    for span in spans {
        body.clear();
        encode_span(span, &mut body);
        put_varint(&mut out, body.len() as u64);
        out.extend_from_slice(&body);
    }
    out
}

fn encode_span(span: &Span<'_>, out: &mut Vec<u8>) {
    let mut flags = 0;
    let mut mark = |set: bool, bit: u32| flags |= if set { bit } else { 0 };
    mark(span.trace_id.wide, flag::WIDE);
    mark(span.parent_id.is_some(), flag::PARENT);
    mark(span.timestamp.is_some(), flag::TIMESTAMP);
    mark(span.duration.is_some(), flag::DURATION);
    mark(span.name.is_some(), flag::NAME);
    mark(span.local.is_some(), flag::LOCAL);
    mark(span.remote.is_some(), flag::REMOTE);
    mark(span.v1.is_some(), flag::V1);
    mark(span.debug.is_some(), flag::DEBUG_SENT);
    mark(span.debug == Some(true), flag::DEBUG);
    mark(span.shared.is_some(), flag::SHARED_SENT);
    mark(span.shared == Some(true), flag::SHARED);
    flags |= span.kind.map_or(0, |kind| kind as u32) << flag::KIND_SHIFT;

    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&span.trace_id.low.to_le_bytes());
    out.extend_from_slice(&span.id.to_le_bytes());
    if span.trace_id.wide {
        out.extend_from_slice(&span.trace_id.high.to_le_bytes());
    }
    if let Some(parent) = span.parent_id {
        out.extend_from_slice(&parent.to_le_bytes());
    }
    for number in [span.timestamp, span.duration].into_iter().flatten() {
        put_zigzag(out, number);
    }
    if let Some(name) = &span.name {
        put_text(out, name);
    }
    for endpoint in [&span.local, &span.remote].into_iter().flatten() {
        encode_endpoint(endpoint, out);
    }
    if let Some(v1) = &span.v1 {
        put_text(out, v1);
    }
    put_varint(out, span.annotations.len() as u64);
    for annotation in &span.annotations {
        put_zigzag(out, annotation.timestamp);
        put_text(out, &annotation.value);
    }
    put_varint(out, span.tags.len() as u64);
    for (key, value) in &span.tags {
        put_text(out, key);
        put_text(out, value);
    }
}

fn encode_endpoint(endpoint: &Endpoint<'_>, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0);
    let mut present = 0;
    if let Some(service) = &endpoint.service {
        present |= given::SERVICE;
        put_text(out, service);
    }
    if let Some(ipv4) = endpoint.ipv4 {
        present |= given::IPV4;
        out.extend_from_slice(&ipv4.octets());
    }
    if let Some(ipv6) = endpoint.ipv6 {
        present |= given::IPV6;
        out.extend_from_slice(&ipv6.octets());
    }
    if let Some(port) = endpoint.port {
        present |= given::PORT;
        out.extend_from_slice(&port.to_le_bytes());
    }
    out[at] = present;
}

/// A batch whose head is read; its spans are found one after the other by [`Batch::next_span`].
#[derive(Debug)]
pub struct Batch<'a> {
    pub scope: Scope<'a>,
    /// When the request arrived: microseconds since 1970 UTC.
    pub arrival: i64,
    /// How many spans there are in all.
    pub count: usize,
    reader: Reader<'a>,
    left: usize,
}

/// Where a span's body lies in its batch, with what an index wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanPlace {
    pub offset: usize,
    pub len: usize,
    pub trace_low: u64,
}

impl<'a> Batch<'a> {
    /// Reads the head of an encoded batch.
    pub fn open(bytes: &'a [u8]) -> Result<Self, StoredError> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Fault { what: "no spans of a version that this build knows", at: 0 }.into());
        }
        let arrival = i64::from_le_bytes(reader.array()?);
        let present = reader.byte()?;
        let project = Cow::Borrowed(reader.text()?);
        let cluster_id = if present & given::CLUSTER != 0 { Some(Cow::Borrowed(reader.text()?)) } else { None };
        let namespace = if present & given::NAMESPACE != 0 { Some(Cow::Borrowed(reader.text()?)) } else { None };
        let count = reader.length()?;
        Ok(Batch { scope: Scope { project, cluster_id, namespace }, arrival, count, reader, left: count })
    }

    /// The place of the next span, `None` after the last.
    pub fn next_span(&mut self) -> Result<Option<SpanPlace>, StoredError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let len = self.reader.length()?;
        let offset = self.reader.position();
        let body = self.reader.take(len)?;
        let low = body.get(4..12).and_then(|low| low.try_into().ok()).map(u64::from_le_bytes);
        let trace_low = low.ok_or(Fault { what: "a span cut short", at: offset })?;
        Ok(Some(SpanPlace { offset, len, trace_low }))
    }
}

/// Decodes the body of one span, borrowing its texts.
pub fn decode_span(body: &[u8]) -> Result<Span<'_>, StoredError> {
    let mut reader = Reader::new(body);
    let flags = u32::from_le_bytes(reader.array()?);
    let low = u64::from_le_bytes(reader.array()?);
    let id = u64::from_le_bytes(reader.array()?);
    let wide = flags & flag::WIDE != 0;
    let high = if wide { u64::from_le_bytes(reader.array()?) } else { 0 };
    let mut span = Span::new(TraceId { high, low, wide }, id);
    if flags & flag::PARENT != 0 {
        span.parent_id = Some(u64::from_le_bytes(reader.array()?));
    }
    if flags & flag::TIMESTAMP != 0 {
        span.timestamp = Some(reader.zigzag()?);
    }
    if flags & flag::DURATION != 0 {
        span.duration = Some(reader.zigzag()?);
    }
    span.kind = Kind::from_number((flags >> flag::KIND_SHIFT & 7) as u8);
    if flags & flag::NAME != 0 {
        span.name = Some(Cow::Borrowed(reader.text()?));
    }
    if flags & flag::LOCAL != 0 {
        span.local = Some(read_endpoint(&mut reader)?);
    }
    if flags & flag::REMOTE != 0 {
        span.remote = Some(read_endpoint(&mut reader)?);
    }
    if flags & flag::V1 != 0 {
        span.v1 = Some(Cow::Borrowed(reader.text()?));
    }
    span.debug = (flags & flag::DEBUG_SENT != 0).then_some(flags & flag::DEBUG != 0);
    span.shared = (flags & flag::SHARED_SENT != 0).then_some(flags & flag::SHARED != 0);
    let annotations = reader.length()?;
    span.annotations.reserve_exact(annotations);
    for _ in 0..annotations {
        span.annotations.push(Annotation { timestamp: reader.zigzag()?, value: Cow::Borrowed(reader.text()?) });
    }
    let tags = reader.length()?;
    span.tags.reserve_exact(tags);
    for _ in 0..tags {
        span.tags.push((Cow::Borrowed(reader.text()?), Cow::Borrowed(reader.text()?)));
    }
    Ok(span)
}

/// What rows are sorted by, read from a body without decoding the rest: trace id, timestamp, span id.
pub fn sort_key(body: &[u8]) -> Result<(TraceId, Option<i64>, u64), StoredError> {
    let mut reader = Reader::new(body);
    let flags = u32::from_le_bytes(reader.array()?);
    let low = u64::from_le_bytes(reader.array()?);
    let id = u64::from_le_bytes(reader.array()?);
    let wide = flags & flag::WIDE != 0;
    let high = if wide { u64::from_le_bytes(reader.array()?) } else { 0 };
    if flags & flag::PARENT != 0 {
        reader.array::<8>()?;
    }
    let timestamp = if flags & flag::TIMESTAMP != 0 { Some(reader.zigzag()?) } else { None };
    Ok((TraceId { high, low, wide }, timestamp, id))
}

fn read_endpoint<'a>(reader: &mut Reader<'a>) -> Result<Endpoint<'a>, Fault> {
    let present = reader.byte()?;
    let mut endpoint = Endpoint::default();
    if present & given::SERVICE != 0 {
        endpoint.service = Some(Cow::Borrowed(reader.text()?));
    }
    if present & given::IPV4 != 0 {
        endpoint.ipv4 = Some(reader.array::<4>()?.into());
    }
    if present & given::IPV6 != 0 {
        endpoint.ipv6 = Some(reader.array::<16>()?.into());
    }
    if present & given::PORT != 0 {
        endpoint.port = Some(u16::from_le_bytes(reader.array()?));
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts() -> impl Strategy<Value = Cow<'static, str>> {
        any::<String>().prop_map(Cow::Owned)
    }

    fn endpoints() -> impl Strategy<Value = Endpoint<'static>> {
        (proptest::option::of(texts()), any::<Option<[u8; 4]>>(), any::<Option<[u8; 16]>>(), any::<Option<u16>>())
            .prop_map(|(service, ipv4, ipv6, port)| Endpoint {
                service,
                ipv4: ipv4.map(Into::into),
                ipv6: ipv6.map(Into::into),
                port,
            })
    }

    fn spans() -> impl Strategy<Value = Span<'static>> {
        let ids = (any::<bool>(), any::<u64>(), any::<u64>(), any::<u64>(), any::<Option<u64>>(), 0u8..5);
        let times = (any::<Option<i64>>(), any::<Option<i64>>(), any::<Option<bool>>(), any::<Option<bool>>());
        let names = (
            proptest::option::of(texts()),
            proptest::option::of(texts()),
            proptest::option::of(endpoints()),
            proptest::option::of(endpoints()),
        );
        let lists = (
            proptest::collection::vec((any::<i64>(), texts()), 0..4),
            proptest::collection::vec((texts(), texts()), 0..4),
        );
        (ids, times, names, lists).prop_map(|(ids, times, names, lists)| {
            let (wide, high, low, id, parent, kind) = ids;
            let mut span = Span::new(TraceId { high: if wide { high } else { 0 }, low, wide }, id);
            span.parent_id = parent;
            span.kind = Kind::from_number(kind);
            (span.timestamp, span.duration, span.debug, span.shared) = times;
            (span.name, span.v1, span.local, span.remote) = names;
            span.annotations = lists.0.into_iter().map(|(timestamp, value)| Annotation { timestamp, value }).collect();
            span.tags = lists.1;
            Span::settle_tags(&mut span.tags);
            span
        })
    }

    fn decode_all(bytes: &[u8]) -> Result<(Scope<'_>, i64, Vec<Span<'_>>), StoredError> {
        let mut batch = Batch::open(bytes)?;
        let mut spans = Vec::new();
        while let Some(place) = batch.next_span()? {
            let span = decode_span(&bytes[place.offset..place.offset + place.len])?;
            assert_eq!(span.trace_id.low, place.trace_low);
            assert_eq!(
                sort_key(&bytes[place.offset..place.offset + place.len])?,
                (span.trace_id, span.timestamp, span.id)
            );
            spans.push(span);
        }
        Ok((batch.scope, batch.arrival, spans))
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(
            spans in proptest::collection::vec(spans(), 0..5),
            arrival in any::<i64>(),
            cluster in proptest::option::of(texts()),
            namespace in proptest::option::of(texts()),
        ) {
            let scope = Scope { project: "default".into(), cluster_id: cluster, namespace };
            let bytes = encode(&scope, arrival, &spans);
            prop_assert_eq!(decode_all(&bytes).unwrap(), (scope, arrival, spans));
        }

        #[test]
        fn damaged_bytes_never_panic(spans in proptest::collection::vec(spans(), 1..4), at in any::<usize>(), byte in any::<u8>()) {
            let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
            let mut bytes = encode(&scope, 0, &spans);
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = decode_all(&bytes);
            let _ = decode_all(&bytes[..at]);
        }
    }

    #[test]
    fn a_newer_version_is_refused_rather_than_guessed_at() {
        let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
        let mut bytes = encode(&scope, 0, &[]);
        bytes[0] = VERSION + 1;
        assert!(Batch::open(&bytes).is_err());
    }
}
