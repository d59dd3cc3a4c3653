//! Writes generated spans in the formats that agents send, and packs them into request bodies.
//!
//! The writers are the bench's own, not the product's codecs: a load that is written by the code under test proves less,
//! and costs more. They append bytes and look nothing up, so that the client stays far cheaper than the server.
//!
//! A format is a variant of [`Format`]: its name, path and content type, what stands before, between and behind the
//! spans, and how one span is written.

use super::binary;
use super::generate::{Span, Trace, Value};
use super::shop::{Endpoint, Shop};
use crate::model::{Kind, TraceId, hex};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// What spans are posted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Zipkin v2 in JSON.
    ZipkinV2,
    /// Zipkin v1 in JSON.
    ZipkinV1,
    /// Zipkin v2 in protobuf.
    ZipkinProto,
    /// Zipkin v1 in thrift.
    ZipkinThrift,
    /// Zipkin v1 in JSON at the ATS path.
    Ats,
}

impl Format {
    pub const ALL: [Format; 5] =
        [Format::ZipkinV2, Format::ZipkinV1, Format::ZipkinProto, Format::ZipkinThrift, Format::Ats];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Format::ZipkinV2 => "zipkin-v2",
            Format::ZipkinV1 => "zipkin-v1",
            Format::ZipkinProto => "zipkin-proto",
            Format::ZipkinThrift => "zipkin-thrift",
            Format::Ats => "ats",
        }
    }

    pub fn from_name(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Where bodies are posted to.
    pub const fn path(self) -> &'static str {
        match self {
            Format::ZipkinV2 | Format::ZipkinProto => "/api/v2/spans",
            Format::ZipkinV1 | Format::ZipkinThrift => "/api/v1/spans",
            Format::Ats => "/v1/0/ats/spans",
        }
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Format::ZipkinV2 | Format::ZipkinV1 | Format::Ats => "application/json",
            Format::ZipkinProto => "application/x-protobuf",
            Format::ZipkinThrift => "application/x-thrift",
        }
    }

    /// What stands before the first span, between two spans, and behind the last.
    const fn frame(self) -> (&'static [u8], &'static [u8], &'static [u8]) {
        match self {
            Format::ZipkinV2 | Format::ZipkinV1 | Format::Ats => (b"[", b",", b"]"),
            Format::ZipkinProto => (b"", b"", b""),
            Format::ZipkinThrift => (binary::THRIFT_OPEN, b"", b""),
        }
    }

    /// Appends one span.
    pub fn write(self, shop: &Shop, trace: &Trace, span: &Span, out: &mut Vec<u8>) {
        match self {
            Format::ZipkinV2 => write_v2(shop, trace, span, out),
            Format::ZipkinV1 | Format::Ats => write_v1(shop, trace, span, out),
            Format::ZipkinProto => binary::write_proto(shop, trace, span, out),
            Format::ZipkinThrift => binary::write_thrift(shop, trace, span, out),
        }
    }
}

/// A request's body.
pub struct Body {
    pub bytes: Bytes,
    pub spans: u32,
}

/// Packs spans into bodies and hands them on.
pub struct Packer<S> {
    format: Format,
    /// Spans a body.
    batch: u32,
    gzip: bool,
    body: Vec<u8>,
    spans: u32,
    /// Bytes before compression, of all bodies.
    pub raw_bytes: u64,
    /// Takes a body; false where no more are wanted.
    sink: S,
}

impl<S: FnMut(Body) -> bool> Packer<S> {
    pub fn new(format: Format, batch: u32, gzip: bool, sink: S) -> Self {
        Packer { format, batch: batch.max(1), gzip, body: Vec::new(), spans: 0, raw_bytes: 0, sink }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Adds the span that `write` appends. False where no more are wanted.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let (open, between, _) = self.format.frame();
        self.body.extend_from_slice(if self.spans == 0 { open } else { between });
        write(&mut self.body);
        self.spans += 1;
        self.spans < self.batch || self.finish()
    }

    /// Hands on what is begun. False where no more are wanted.
    pub fn finish(&mut self) -> bool {
        if self.spans == 0 {
            return true;
        }
        self.body.extend_from_slice(self.format.frame().2);
        if self.format == Format::ZipkinThrift {
            binary::set_count(&mut self.body, 0, self.spans);
        }
        self.raw_bytes += self.body.len() as u64;
        // The next body will be about as long.
        let next = Vec::with_capacity(self.body.len() + self.body.len() / 16);
        let body = std::mem::replace(&mut self.body, next);
        let bytes = if self.gzip { compress(&body) } else { body };
        (self.sink)(Body { bytes: Bytes::from(bytes), spans: std::mem::take(&mut self.spans) })
    }
}

/// As agents do it: the fast level, since it is their host's time.
pub fn compress(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    let _ = encoder.write_all(body);
    encoder.finish().unwrap_or_default()
}

fn write_v2(shop: &Shop, trace: &Trace, span: &Span, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"traceId\":\"");
    push_trace_id(out, trace.id);
    if span.parent != 0 {
        out.extend_from_slice(b"\",\"parentId\":\"");
        out.extend_from_slice(&hex::encode_u64(span.parent));
    }
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(&hex::encode_u64(span.id));
    if let Some(kind) = span.kind {
        out.extend_from_slice(b"\",\"kind\":\"");
        out.extend_from_slice(kind.name().as_bytes());
    }
    out.extend_from_slice(b"\",\"name\":\"");
    out.extend_from_slice(span.name.as_bytes());
    out.extend_from_slice(b"\",\"timestamp\":");
    push_decimal(out, span.start as u64);
    out.extend_from_slice(b",\"duration\":");
    push_decimal(out, span.duration as u64);
    out.extend_from_slice(b",\"localEndpoint\":");
    out.extend_from_slice(shop.endpoints[span.local].json.as_bytes());
    if let Some(remote) = span.remote {
        out.extend_from_slice(b",\"remoteEndpoint\":");
        out.extend_from_slice(shop.endpoints[remote].json.as_bytes());
    }
    if let Some(annotation) = span.annotation {
        out.extend_from_slice(b",\"annotations\":[{\"timestamp\":");
        push_decimal(out, annotated_at(span));
        out.extend_from_slice(b",\"value\":\"");
        out.extend_from_slice(annotation.as_bytes());
        out.extend_from_slice(b"\"}]");
    }
    out.extend_from_slice(b",\"tags\":{");
    for (at, (key, value)) in trace.tags(span).iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":\"");
        push_value(out, *value);
        out.push(b'"');
    }
    out.extend_from_slice(if span.shared { b"},\"shared\":true}" } else { b"}}" });
}

fn write_v1(shop: &Shop, trace: &Trace, span: &Span, out: &mut Vec<u8>) {
    let local = &shop.endpoints[span.local];
    out.extend_from_slice(b"{\"traceId\":\"");
    push_trace_id(out, trace.id);
    out.extend_from_slice(b"\",\"id\":\"");
    out.extend_from_slice(&hex::encode_u64(span.id));
    out.extend_from_slice(b"\",\"name\":\"");
    out.extend_from_slice(span.name.as_bytes());
    if span.parent != 0 {
        out.extend_from_slice(b"\",\"parentId\":\"");
        out.extend_from_slice(&hex::encode_u64(span.parent));
    }
    out.push(b'"');
    // In v1 the times of a span that two hosts share are the client's; a server's half has its annotations alone.
    if !span.shared {
        out.extend_from_slice(b",\"timestamp\":");
        push_decimal(out, span.start as u64);
        out.extend_from_slice(b",\"duration\":");
        push_decimal(out, span.duration as u64);
    }
    out.extend_from_slice(b",\"annotations\":[");
    let mut first = true;
    let mut annotate = |out: &mut Vec<u8>, time: u64, value: &str| {
        out.extend_from_slice(if std::mem::take(&mut first) { b"{\"timestamp\":" } else { b",{\"timestamp\":" });
        push_decimal(out, time);
        out.extend_from_slice(b",\"value\":\"");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\",\"endpoint\":");
        out.extend_from_slice(local.json.as_bytes());
        out.push(b'}');
    };
    let (begin, end, address) = moments(span);
    if let Some(begin) = begin {
        annotate(out, span.start as u64, begin);
    }
    if let Some(annotation) = span.annotation {
        annotate(out, annotated_at(span), annotation);
    }
    if let Some(end) = end {
        annotate(out, (span.start + span.duration) as u64, end);
    }
    out.extend_from_slice(b"],\"binaryAnnotations\":[");
    for (at, (key, value)) in trace.tags(span).iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"key\":\"" } else { b",{\"key\":\"" });
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\",\"value\":\"");
        push_value(out, *value);
        out.extend_from_slice(b"\",\"endpoint\":");
        out.extend_from_slice(local.json.as_bytes());
        out.push(b'}');
    }
    if let Some(remote) = span.remote {
        push_address(out, address, &shop.endpoints[remote]);
    }
    out.extend_from_slice(b"]}");
}

/// The v1 annotations of a span's begin and end, and the key of its other side's address. Messages have no annotation
/// for their end that says what a duration does: begin is enough.
pub(super) fn moments(span: &Span) -> (Option<&'static str>, Option<&'static str>, &'static str) {
    match span.kind {
        Some(Kind::Client) => (Some("cs"), Some("cr"), "sa"),
        Some(Kind::Server) => (Some("sr"), Some("ss"), "ca"),
        Some(Kind::Producer) => (Some("ms"), None, "ma"),
        Some(Kind::Consumer) => (Some("mr"), None, "ma"),
        None => (None, None, ""),
    }
}

fn push_address(out: &mut Vec<u8>, key: &str, endpoint: &Endpoint) {
    out.extend_from_slice(b",{\"key\":\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\",\"value\":true,\"endpoint\":");
    out.extend_from_slice(endpoint.json.as_bytes());
    out.push(b'}');
}

/// An annotation stands where a third of its span is over.
pub(super) fn annotated_at(span: &Span) -> u64 {
    (span.start + span.duration / 3) as u64
}

pub(super) fn push_value(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::Text(text) => out.extend_from_slice(text.as_bytes()),
        Value::Number(number) => push_decimal(out, u64::from(number)),
        Value::Hex(number) => out.extend_from_slice(&hex::encode_u64(u64::from(number))[10..]),
    }
}

/// Appends the 16 or 32 digits of a trace id.
pub fn push_trace_id(out: &mut Vec<u8>, id: TraceId) {
    if id.wide {
        out.extend_from_slice(&hex::encode_u64(id.high));
    }
    out.extend_from_slice(&hex::encode_u64(id.low));
}

/// Appends a number in decimal.
pub fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::generate::{Generator, Options};
    use serde_json::Value as Json;

    fn trace(shared_spans: bool) -> (Generator, Trace) {
        let first_start = 1_700_000_000_000_000;
        let generator = Generator::new(Options { seed: 11, wide_ids: true, shared_spans, first_start, rate: 20_000 });
        let mut trace = Trace::default();
        let large = (0..).find(|&number| generator.span_count(number) > 100).unwrap();
        generator.draw(large, &mut trace, &mut ());
        (generator, trace)
    }

    fn written(format: Format, generator: &Generator, trace: &Trace) -> Vec<Json> {
        let mut bodies = Vec::new();
        let mut packer = Packer::new(format, 50, false, |body: Body| {
            bodies.push(body);
            true
        });
        for span in &trace.spans {
            assert!(packer.add(|out| format.write(&generator.shop, trace, span, out)));
        }
        packer.finish();
        let lists: Vec<Vec<Json>> = bodies.iter().map(|body| serde_json::from_slice(&body.bytes).unwrap()).collect();
        assert!(bodies.iter().zip(&lists).all(|(body, list)| body.spans as usize == list.len() && list.len() <= 50));
        lists.into_iter().flatten().collect()
    }

    #[test]
    fn v2_says_all_that_was_drawn() {
        let (generator, trace) = trace(false);
        let list = written(Format::ZipkinV2, &generator, &trace);
        assert_eq!(list.len(), trace.spans.len());
        for (json, span) in list.iter().zip(&trace.spans) {
            assert_eq!(json["traceId"], trace.id.to_string());
            assert_eq!(json["id"], format!("{:016x}", span.id));
            assert_eq!(json["parentId"].as_str().is_some(), span.parent != 0);
            assert_eq!(json["kind"].as_str(), span.kind.map(Kind::name));
            assert_eq!(json["timestamp"], span.start);
            assert_eq!(json["duration"], span.duration);
            assert_eq!(json["localEndpoint"]["serviceName"], generator.shop.endpoints[span.local].service);
            assert_eq!(json["tags"].as_object().unwrap().len(), trace.tags(span).len());
            assert_eq!(json["annotations"].is_array(), span.annotation.is_some());
        }
    }

    #[test]
    fn v1_says_the_same_by_annotations() {
        let (generator, trace) = trace(false);
        let list = written(Format::Ats, &generator, &trace);
        assert_eq!(list.len(), trace.spans.len());
        for (json, span) in list.iter().zip(&trace.spans) {
            let annotations = json["annotations"].as_array().unwrap();
            let core: Vec<&str> = annotations
                .iter()
                .map(|annotation| annotation["value"].as_str().unwrap())
                .filter(|value| value.len() == 2)
                .collect();
            let expected: &[&str] = match span.kind {
                Some(Kind::Client) => &["cs", "cr"],
                Some(Kind::Server) => &["sr", "ss"],
                Some(Kind::Producer) => &["ms"],
                Some(Kind::Consumer) => &["mr"],
                None => &[],
            };
            assert_eq!(core, expected);
            let tags = json["binaryAnnotations"].as_array().unwrap();
            assert_eq!(tags.len(), trace.tags(span).len() + usize::from(span.remote.is_some()));
            assert!(tags.iter().all(|tag| tag["endpoint"].is_object()));
        }
    }

    #[test]
    fn the_shared_half_of_a_v1_span_leaves_the_times_to_the_client() {
        let (generator, trace) = trace(true);
        let list = written(Format::ZipkinV1, &generator, &trace);
        for (json, span) in list.iter().zip(&trace.spans) {
            assert_eq!(json.get("timestamp").is_none(), span.shared);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        // A change here makes figures of different releases incomparable: let it be a decision.
        let body = || {
            let (generator, trace) = trace(false);
            serde_json::to_string(&written(Format::ZipkinV2, &generator, &trace)).unwrap()
        };
        assert_eq!(body(), body());
    }

    #[test]
    fn decimals_are_written_as_everyone_does() {
        for number in [0, 7, 10, 99, 100, 1_700_000_000_000_000, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
        }
    }
}
