//! Spans in each of Zipkin's four formats, written as its own senders write them: none of the product's code is used.

use super::wire;
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// A span of v2 JSON.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Span {
    pub trace_id: String,
    pub parent_id: Option<String>,
    pub id: String,
    pub kind: Option<String>,
    pub name: Option<String>,
    pub timestamp: Option<i64>,
    pub duration: Option<i64>,
    pub local_endpoint: Option<Endpoint>,
    pub remote_endpoint: Option<Endpoint>,
    pub annotations: Vec<Annotation>,
    pub tags: BTreeMap<String, String>,
    pub debug: bool,
    pub shared: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    pub service_name: Option<String>,
    /// As sent: recordings have addresses like `10.0.0.04`.
    pub ipv4: Option<String>,
    pub ipv6: Option<Ipv6Addr>,
    pub port: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Annotation {
    pub timestamp: i64,
    pub value: String,
}

impl Endpoint {
    fn ipv4_octets(&self) -> Option<[u8; 4]> {
        let octets = self.ipv4.as_deref()?.split('.').map(|part| part.parse().expect("a byte"));
        Some(octets.collect::<Vec<u8>>().try_into().expect("four bytes"))
    }
}

/// The spans of a v2 JSON list.
pub fn read(json: &[u8]) -> Vec<Span> {
    serde_json::from_slice(json).expect("a list of spans")
}

fn bytes(hex: &str) -> Vec<u8> {
    let width = if hex.len() > 16 { 32 } else { 16 };
    let padded = format!("{hex:0>width$}");
    (0..width).step_by(2).map(|at| u8::from_str_radix(&padded[at..at + 2], 16).expect("hex digits")).collect()
}

/// The spans as a message `ListOfSpans`.
pub fn proto3(spans: &[Span]) -> Vec<u8> {
    let endpoint = |endpoint: &Endpoint| wire::Endpoint {
        service_name: endpoint.service_name.clone().unwrap_or_default(),
        ipv4: endpoint.ipv4_octets().map(Vec::from).unwrap_or_default(),
        ipv6: endpoint.ipv6.map(|address| address.octets().to_vec()).unwrap_or_default(),
        port: endpoint.port.unwrap_or_default().into(),
    };
    let annotation = |a: &Annotation| wire::Annotation { timestamp: a.timestamp as u64, value: a.value.clone() };
    let spans = spans.iter().map(|span| wire::Span {
        trace_id: bytes(&span.trace_id),
        parent_id: span.parent_id.as_deref().map(bytes).unwrap_or_default(),
        id: bytes(&span.id),
        kind: match span.kind.as_deref() {
            Some("CLIENT") => 1,
            Some("SERVER") => 2,
            Some("PRODUCER") => 3,
            Some("CONSUMER") => 4,
            _ => 0,
        },
        name: span.name.clone().unwrap_or_default(),
        timestamp: span.timestamp.unwrap_or_default() as u64,
        duration: span.duration.unwrap_or_default() as u64,
        local_endpoint: span.local_endpoint.as_ref().map(endpoint),
        remote_endpoint: span.remote_endpoint.as_ref().map(endpoint),
        annotations: span.annotations.iter().map(annotation).collect(),
        tags: span.tags.clone(),
        debug: span.debug,
        shared: span.shared,
    });
    wire::ListOfSpans { spans: spans.collect() }.encode_to_vec()
}

/// A span of v1, as Zipkin's senders make it of theirs.
struct V1<'s> {
    span: &'s Span,
    timestamp: Option<i64>,
    duration: Option<i64>,
    /// Each with the local endpoint.
    annotations: Vec<(i64, String)>,
    /// Likewise.
    tags: Vec<(String, String)>,
    address: Option<(&'static str, &'s Endpoint)>,
}

fn v1(span: &Span) -> V1<'_> {
    let start = span.timestamp;
    let end = start.zip(span.duration).map(|(start, duration)| start + duration);
    let (begins, ends, address) = match span.kind.as_deref() {
        Some("CLIENT") => ("cs", "cr", "sa"),
        Some("SERVER") => ("sr", "ss", "ca"),
        Some("PRODUCER") => ("ms", "ws", "ma"),
        Some("CONSUMER") if end.is_some() => ("wr", "mr", "ma"),
        Some("CONSUMER") => ("mr", "", "ma"),
        _ => ("", "", "sa"),
    };
    let moment = |time: Option<i64>, value: &str| {
        time.filter(|_| !value.is_empty()).map(|time| (time, value.to_owned())).into_iter()
    };
    let plain = span.annotations.iter().map(|annotation| (annotation.timestamp, annotation.value.clone()));
    let annotations: Vec<_> = moment(start, begins).chain(plain).chain(moment(end, ends)).collect();
    let mut tags: Vec<_> = span.tags.clone().into_iter().collect();
    if annotations.is_empty() && tags.is_empty() && span.local_endpoint.is_some() {
        // Something must name the endpoint.
        tags.push(("lc".to_owned(), String::new()));
    }
    // The time of a span that two hosts share is the client's to tell.
    let own = |time: Option<i64>| time.filter(|_| !span.shared);
    V1 {
        span,
        timestamp: own(span.timestamp),
        duration: own(span.duration),
        annotations,
        tags,
        address: span.remote_endpoint.as_ref().map(|endpoint| (address, endpoint)),
    }
}

/// The spans as a v1 JSON list.
pub fn v1_json(spans: &[Span]) -> Vec<u8> {
    fn without_nulls(mut object: Value) -> Value {
        object.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        object
    }
    let endpoint = |endpoint: &Endpoint| {
        without_nulls(json!({
            "serviceName": endpoint.service_name, "ipv4": endpoint.ipv4, "ipv6": endpoint.ipv6, "port": endpoint.port,
        }))
    };
    let spans = spans.iter().map(v1).map(|v1| {
        let local = v1.span.local_endpoint.as_ref().map(endpoint);
        let annotations = v1.annotations.iter().map(|(timestamp, value)| {
            without_nulls(json!({ "timestamp": timestamp, "value": value, "endpoint": local }))
        });
        let tags =
            v1.tags.iter().map(|(key, value)| without_nulls(json!({ "key": key, "value": value, "endpoint": local })));
        let address =
            v1.address.iter().map(|(key, remote)| json!({ "key": key, "value": true, "endpoint": endpoint(remote) }));
        without_nulls(json!({
            "traceId": v1.span.trace_id,
            "parentId": v1.span.parent_id,
            "id": v1.span.id,
            "name": v1.span.name.as_deref().unwrap_or_default(),
            "timestamp": v1.timestamp,
            "duration": v1.duration,
            "annotations": annotations.collect::<Vec<_>>(),
            "binaryAnnotations": tags.chain(address).collect::<Vec<_>>(),
            "debug": v1.span.debug.then_some(true),
        }))
    });
    serde_json::to_vec(&spans.collect::<Vec<_>>()).expect("values have a text")
}

/// Thrift's types that occur.
const BOOL: u8 = 2;
const I16: u8 = 6;
const I32: u8 = 8;
const I64: u8 = 10;
const STRING: u8 = 11;
const STRUCT: u8 = 12;
const LIST: u8 = 15;

fn field(kind: u8, id: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, 0, id][..], value].concat()
}

fn long(id: u8, number: i64) -> Vec<u8> {
    field(I64, id, &number.to_be_bytes())
}

fn text(id: u8, text: &[u8]) -> Vec<u8> {
    field(STRING, id, &[&(text.len() as i32).to_be_bytes()[..], text].concat())
}

fn object(fields: &[Vec<u8>]) -> Vec<u8> {
    [fields.concat(), vec![0]].concat()
}

fn list(elements: Vec<Vec<u8>>) -> Vec<u8> {
    [&[STRUCT][..], &(elements.len() as i32).to_be_bytes(), &elements.concat()].concat()
}

/// The spans as a list in thrift's binary protocol.
pub fn thrift(spans: &[Span]) -> Vec<u8> {
    let host = |id: u8, endpoint: Option<&Endpoint>| {
        let Some(endpoint) = endpoint else { return Vec::new() };
        // Generated code writes zeros where it knows nothing.
        let address = endpoint.ipv4_octets().unwrap_or_default();
        let mut fields = vec![
            field(I32, 1, &address),
            field(I16, 2, &endpoint.port.unwrap_or_default().to_be_bytes()),
            text(3, endpoint.service_name.as_deref().unwrap_or_default().as_bytes()),
        ];
        fields.extend(endpoint.ipv6.map(|address| text(4, &address.octets())));
        field(STRUCT, id, &object(&fields))
    };
    let binary = |key: &str, value: &[u8], kind: i32, endpoint: Option<&Endpoint>| {
        object(&[text(1, key.as_bytes()), text(2, value), field(I32, 3, &kind.to_be_bytes()), host(4, endpoint)])
    };
    let number = |hex: &str| i64::from_be_bytes(bytes(hex).try_into().expect("eight bytes"));
    let spans = spans.iter().map(v1).map(|v1| {
        let local = v1.span.local_endpoint.as_ref();
        let (low, high) = match v1.span.trace_id.len() {
            ..=16 => (v1.span.trace_id.as_str(), None),
            length => (&v1.span.trace_id[length - 16..], Some(&v1.span.trace_id[..length - 16])),
        };
        let annotations = v1
            .annotations
            .iter()
            .map(|(timestamp, value)| object(&[long(1, *timestamp), text(2, value.as_bytes()), host(3, local)]));
        let tags = v1.tags.iter().map(|(key, value)| binary(key, value.as_bytes(), 6, local));
        let address = v1.address.iter().map(|(key, remote)| binary(key, &[1], 0, Some(remote)));
        let mut fields = vec![
            long(1, number(low)),
            text(3, v1.span.name.as_deref().unwrap_or_default().as_bytes()),
            long(4, number(&v1.span.id)),
        ];
        fields.extend(v1.span.parent_id.as_deref().map(|parent| long(5, number(parent))));
        fields.push(field(LIST, 6, &list(annotations.collect())));
        fields.push(field(LIST, 8, &list(tags.chain(address).collect())));
        fields.extend(v1.span.debug.then(|| field(BOOL, 9, &[1])));
        fields.extend(v1.timestamp.map(|timestamp| long(10, timestamp)));
        fields.extend(v1.duration.map(|duration| long(11, duration)));
        fields.extend(high.map(|high| long(12, number(high))));
        object(&fields)
    });
    list(spans.collect())
}
