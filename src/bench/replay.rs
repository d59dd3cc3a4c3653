//! Replays a recording: bodies that OTLP exporters sent, as Zipkin v2 JSON, round after round.
//!
//! Each round has fresh random trace and span ids, the links between a round's spans kept, and its times moved so that
//! its newest span ends where the caller says: repeated values flatter compression. What else a span holds is as it was
//! recorded, and so repeats from round to round.
//!
//! The mapping is the one of Zipkin's own OpenTelemetry module: nanoseconds become microseconds, a duration is at least
//! one; `service.name` of the resource is the local service, with `network.local.address` and `.port`; `peer.service`,
//! or else `network.peer.address`, names the remote one of clients and producers; attributes become tags (lists and maps
//! as JSON), the status `otel.status_code` and `error`, the scope `otel.scope.name` and `.version`, events annotations.
//! Links, trace state and the resource's other attributes have no place.
//!
//! The recording is turned into JSON once, with holes where ids and times go; a round fills the holes.

use super::draw::mix;
use super::otlp::any_value::Value;
use super::otlp::{AnyValue, ExportTraceServiceRequest, KeyValue, Resource, ScopeSpans, Span};
use super::write::{push_decimal, push_trace_id};
use crate::model::{TraceId, hex};
use prost::Message;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::Path;

/// A recording, ready to be replayed.
#[derive(Default)]
pub struct Recording {
    /// The spans' JSON without what changes.
    text: Vec<u8>,
    /// Where in `text` something is missing, in order.
    holes: Vec<(usize, Hole)>,
    spans: Vec<Template>,
    /// How many spans each trace has.
    trace_spans: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Hole {
    /// The id of a trace of this round.
    Trace(u32),
    /// A span id of this round.
    Id(u32),
    /// Microseconds before the round's end.
    Time(u64),
}

/// Ends of a span's part of `text` and `holes`; it begins where the one before ends.
#[derive(Clone, Copy)]
struct Template {
    text: usize,
    holes: usize,
}

impl Recording {
    /// Reads all `*.pb` files of a folder, in the order of their names.
    pub fn read(folder: &Path) -> Result<Self, String> {
        let shown = folder.display();
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(|error| format!("cannot read the folder {shown}: {error}"))? {
            let path = entry.map_err(|error| format!("cannot read the folder {shown}: {error}"))?.path();
            if path.extension().is_some_and(|extension| extension == "pb") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(format!("no recording in {shown}: expected OTLP request bodies in files named *.pb"));
        }
        let mut requests = Vec::new();
        for path in paths {
            let bytes = std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            let request = ExportTraceServiceRequest::decode(bytes.as_slice())
                .map_err(|error| format!("{} is no OTLP trace request: {error}", path.display()))?;
            requests.push(request);
        }
        Recording::new(&requests)
    }

    fn new(requests: &[ExportTraceServiceRequest]) -> Result<Self, String> {
        let mut builder = Builder { newest: newest_time(requests), ..Builder::default() };
        for resource_spans in requests.iter().flat_map(|request| &request.resource_spans) {
            for scope_spans in &resource_spans.scope_spans {
                for span in &scope_spans.spans {
                    builder.add(resource_spans.resource.as_ref(), scope_spans, span)?;
                }
            }
        }
        let recording = builder.recording;
        if recording.spans.is_empty() {
            return Err("the recording holds no spans".to_owned());
        }
        Ok(recording)
    }

    /// Spans a round.
    pub fn spans(&self) -> usize {
        self.spans.len()
    }

    /// Traces a round.
    pub fn traces(&self) -> usize {
        self.trace_spans.len()
    }

    /// Microseconds from the oldest time in a round to its end.
    pub fn length(&self) -> i64 {
        let before = |&(_, hole): &(usize, Hole)| if let Hole::Time(before) = hole { Some(before) } else { None };
        self.holes.iter().filter_map(before).max().map_or(0, |before| i64::try_from(before).unwrap_or(i64::MAX))
    }

    /// How many spans the trace has that is number `trace` of its round.
    pub fn span_count(&self, trace: usize) -> usize {
        self.trace_spans.get(trace).map_or(0, |&spans| spans as usize)
    }

    /// The id of a trace of a round: 128 bits, as OpenTelemetry has it.
    pub fn trace_id(&self, seed: u64, round: u64, trace: usize) -> TraceId {
        TraceId::wide(mix(seed, round, 2 * trace as u64), mix(seed, round, 2 * trace as u64 + 1).max(1))
    }

    /// Appends the JSON of one span of a round that ends at `end` (microseconds since 1970 UTC).
    pub fn write(&self, span: usize, seed: u64, round: u64, end: i64, out: &mut Vec<u8>) {
        let begin = if span == 0 { Template { text: 0, holes: 0 } } else { self.spans[span - 1] };
        let Template { text, holes } = self.spans[span];
        let mut done = begin.text;
        for &(at, hole) in &self.holes[begin.holes..holes] {
            out.extend_from_slice(&self.text[done..at]);
            done = at;
            match hole {
                Hole::Trace(trace) => push_trace_id(out, self.trace_id(seed, round, trace as usize)),
                // The seed is turned over so that span ids are not the trace ids of another number.
                Hole::Id(id) => out.extend_from_slice(&hex::encode_u64(mix(!seed, round, u64::from(id)).max(1))),
                Hole::Time(before) => push_decimal(out, (end as u64).saturating_sub(before)),
            }
        }
        out.extend_from_slice(&self.text[done..text]);
    }
}

fn newest_time(requests: &[ExportTraceServiceRequest]) -> u64 {
    requests
        .iter()
        .flat_map(|request| &request.resource_spans)
        .flat_map(|resource| &resource.scope_spans)
        .flat_map(|scope| &scope.spans)
        .map(|span| span.end_time_unix_nano.max(span.start_time_unix_nano) / 1000)
        .max()
        .unwrap_or(0)
}

/// Turns spans into templates.
#[derive(Default)]
struct Builder {
    recording: Recording,
    /// Microseconds since 1970 UTC of the recording's newest end.
    newest: u64,
    traces: HashMap<Vec<u8>, u32>,
    /// A span id is numbered within its trace: exporters may use it again in another.
    ids: HashMap<(u32, Vec<u8>), u32>,
}

impl Builder {
    fn add(&mut self, resource: Option<&Resource>, scope: &ScopeSpans, span: &Span) -> Result<(), String> {
        if span.trace_id.len() != 16 || span.span_id.len() != 8 {
            return Err(format!(
                "span {:?} of the recording has ids of {} and {} bytes: expected 16 and 8",
                span.name,
                span.trace_id.len(),
                span.span_id.len()
            ));
        }
        let fresh = self.traces.len() as u32;
        let trace = *self.traces.entry(span.trace_id.clone()).or_insert(fresh);
        if trace == fresh {
            self.recording.trace_spans.push(0);
        }
        self.recording.trace_spans[trace as usize] += 1;

        self.text("{\"traceId\":\"");
        self.hole(Hole::Trace(trace));
        if span.parent_span_id.iter().any(|&byte| byte != 0) {
            self.text("\",\"parentId\":\"");
            let parent = self.id(trace, &span.parent_span_id);
            self.hole(Hole::Id(parent));
        }
        self.text("\",\"id\":\"");
        let id = self.id(trace, &span.span_id);
        self.hole(Hole::Id(id));
        let kind = match span.kind {
            2 => "\",\"kind\":\"SERVER\"",
            3 => "\",\"kind\":\"CLIENT\"",
            4 => "\",\"kind\":\"PRODUCER\"",
            5 => "\",\"kind\":\"CONSUMER\"",
            _ => "\"",
        };
        self.text(kind);
        if !span.name.is_empty() {
            self.text(",\"name\":");
            self.json(&Json::from(span.name.as_str()));
        }
        let start = span.start_time_unix_nano / 1000;
        self.text(",\"timestamp\":");
        self.hole(Hole::Time(self.newest.saturating_sub(start)));
        let duration = (span.end_time_unix_nano / 1000).saturating_sub(start).max(1);
        self.text(&format!(",\"duration\":{duration}"));
        let resource = resource.map_or(&[][..], |resource| &resource.attributes);
        if let Some(service) = find(resource, "service.name") {
            let local = endpoint(
                service,
                find(&span.attributes, "network.local.address"),
                find(&span.attributes, "network.local.port"),
            );
            self.text(",\"localEndpoint\":");
            self.json(&local);
        }
        let address = find(&span.attributes, "network.peer.address");
        if let (3 | 4, Some(service)) = (span.kind, find(&span.attributes, "peer.service").or(address)) {
            self.text(",\"remoteEndpoint\":");
            self.json(&endpoint(service, address, find(&span.attributes, "network.peer.port")));
        }
        self.events(span);
        let tags = tags(scope, span);
        if !tags.is_empty() {
            self.text(",\"tags\":");
            self.json(&Json::Object(tags.into_iter().map(|(key, value)| (key, Json::from(value))).collect()));
        }
        self.text("}");
        let recording = &mut self.recording;
        recording.spans.push(Template { text: recording.text.len(), holes: recording.holes.len() });
        Ok(())
    }

    fn events(&mut self, span: &Span) {
        for (at, event) in span.events.iter().enumerate() {
            self.text(if at == 0 { ",\"annotations\":[{\"timestamp\":" } else { ",{\"timestamp\":" });
            self.hole(Hole::Time(self.newest.saturating_sub(event.time_unix_nano / 1000)));
            let value = if event.attributes.is_empty() {
                event.name.clone()
            } else {
                format!("\"{}\":{}", event.name, object(&event.attributes))
            };
            self.text(",\"value\":");
            self.json(&Json::from(value));
            self.text("}");
        }
        if !span.events.is_empty() {
            self.text("]");
        }
    }

    fn text(&mut self, text: &str) {
        self.recording.text.extend_from_slice(text.as_bytes());
    }

    fn json(&mut self, json: &Json) {
        self.text(&json.to_string());
    }

    fn hole(&mut self, hole: Hole) {
        self.recording.holes.push((self.recording.text.len(), hole));
    }

    fn id(&mut self, trace: u32, id: &[u8]) -> u32 {
        let fresh = self.ids.len() as u32;
        *self.ids.entry((trace, id.to_vec())).or_insert(fresh)
    }
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()
}

fn endpoint(service: &AnyValue, address: Option<&AnyValue>, port: Option<&AnyValue>) -> Json {
    let mut json = Map::new();
    json.insert("serviceName".to_owned(), Json::from(text(service)));
    match address.and_then(|address| text(address).parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(ip)) => json.insert("ipv4".to_owned(), Json::from(ip.to_string())),
        Some(IpAddr::V6(ip)) => json.insert("ipv6".to_owned(), Json::from(ip.to_string())),
        None => None,
    };
    if let Some(port) = port.and_then(|port| text(port).parse::<u16>().ok()).filter(|&port| port != 0) {
        json.insert("port".to_owned(), Json::from(port));
    }
    Json::Object(json)
}

fn tags(scope: &ScopeSpans, span: &Span) -> BTreeMap<String, String> {
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for attribute in &span.attributes {
        if let Some(value) = &attribute.value {
            tags.insert(attribute.key.clone(), text(value));
        }
    }
    if let Some(status) = &span.status {
        let code = match status.code {
            1 => "OK",
            2 => "ERROR",
            _ => "",
        };
        if !code.is_empty() {
            tags.insert("otel.status_code".to_owned(), code.to_owned());
        }
        if status.code == 2 {
            tags.entry("error".to_owned()).or_insert_with(|| status.message.clone());
        }
    }
    if let Some(scope) = &scope.scope {
        for (key, value) in [("otel.scope.name", &scope.name), ("otel.scope.version", &scope.version)] {
            if !value.is_empty() {
                tags.insert(key.to_owned(), value.clone());
            }
        }
    }
    tags
}

/// A value as a tag has it: texts bare, what has parts as JSON.
fn text(value: &AnyValue) -> String {
    match json(value) {
        Json::String(text) => text,
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

fn json(value: &AnyValue) -> Json {
    match &value.value {
        None => Json::Null,
        Some(Value::String(text)) => Json::from(text.as_str()),
        Some(Value::Bool(value)) => Json::from(*value),
        Some(Value::Int(value)) => Json::from(*value),
        Some(Value::Double(value)) => Json::from(*value),
        Some(Value::Array(array)) => Json::Array(array.values.iter().map(json).collect()),
        Some(Value::List(list)) => object(&list.values),
        Some(Value::Bytes(bytes)) => Json::from(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

fn object(attributes: &[KeyValue]) -> Json {
    let pair = |attribute: &KeyValue| (attribute.key.clone(), attribute.value.as_ref().map_or(Json::Null, json));
    Json::Object(attributes.iter().map(pair).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::otlp::{Event, InstrumentationScope, ResourceSpans, Status};
    use std::collections::HashSet;

    const SECOND: u64 = 1_000_000_000;

    fn attribute(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    }

    fn client() -> Span {
        Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            parent_span_id: vec![3; 8],
            name: "Get \"it\"".to_owned(),
            kind: 3,
            start_time_unix_nano: 100 * SECOND,
            end_time_unix_nano: 102 * SECOND,
            attributes: vec![
                attribute("peer.service", Value::String("redis".to_owned())),
                attribute("network.peer.address", Value::String("10.0.0.7".to_owned())),
                attribute("network.peer.port", Value::Int(6379)),
                attribute("hit", Value::Bool(true)),
                attribute("parts", Value::Array(ArrayValue { values: vec![AnyValue { value: Some(Value::Int(1)) }] })),
            ],
            events: vec![
                Event { time_unix_nano: 101 * SECOND, name: "sent".to_owned(), attributes: vec![] },
                Event {
                    time_unix_nano: 102 * SECOND,
                    name: "read".to_owned(),
                    attributes: vec![attribute("bytes", Value::Int(5))],
                },
            ],
            status: Some(Status { code: 2, message: "gone".to_owned() }),
        }
    }

    use crate::bench::otlp::ArrayValue;

    fn recording(spans: Vec<Span>) -> Recording {
        let resource = Resource { attributes: vec![attribute("service.name", Value::String("cart".to_owned()))] };
        let scope = InstrumentationScope { name: "lib".to_owned(), version: String::new() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
        let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans }];
        Recording::new(&[ExportTraceServiceRequest { resource_spans }]).unwrap()
    }

    fn written(recording: &Recording, round: u64) -> Vec<Json> {
        (0..recording.spans())
            .map(|span| {
                let mut out = Vec::new();
                recording.write(span, 7, round, 1_700_000_000_000_000, &mut out);
                serde_json::from_slice(&out).unwrap()
            })
            .collect()
    }

    #[test]
    fn a_span_is_mapped_as_zipkins_own_module_does_it() {
        let recording = recording(vec![client()]);
        let mut json = written(&recording, 0).remove(0);
        let ids: Vec<Json> = ["traceId", "id", "parentId"].map(|key| json[key].take()).into_iter().collect();
        assert_eq!(ids.iter().map(|id| id.as_str().unwrap().len()).collect::<Vec<_>>(), [32, 16, 16]);
        assert_eq!(
            json,
            serde_json::json!({
                "traceId": null, "id": null, "parentId": null,
                "kind": "CLIENT", "name": "Get \"it\"",
                "timestamp": 1_699_999_998_000_000u64, "duration": 2_000_000,
                "localEndpoint": {"serviceName": "cart"},
                "remoteEndpoint": {"serviceName": "redis", "ipv4": "10.0.0.7", "port": 6379},
                "annotations": [
                    {"timestamp": 1_699_999_999_000_000u64, "value": "sent"},
                    {"timestamp": 1_700_000_000_000_000u64, "value": "\"read\":{\"bytes\":5}"},
                ],
                "tags": {
                    "peer.service": "redis", "network.peer.address": "10.0.0.7", "network.peer.port": "6379",
                    "hit": "true", "parts": "[1]",
                    "otel.status_code": "ERROR", "error": "gone", "otel.scope.name": "lib",
                },
            })
        );
    }

    #[test]
    fn each_round_has_ids_of_its_own_and_the_same_links() {
        let child = Span { span_id: vec![4; 8], parent_span_id: vec![2; 8], kind: 1, ..client() };
        let other = Span { trace_id: vec![9; 16], ..client() };
        let recording = recording(vec![client(), child, other]);
        assert_eq!((recording.traces(), recording.span_count(0), recording.span_count(1)), (2, 2, 1));
        let mut seen = HashSet::new();
        for round in 0..10 {
            let spans = written(&recording, round);
            assert_eq!(spans[1]["parentId"], spans[0]["id"]);
            assert_eq!(spans[1]["traceId"], spans[0]["traceId"]);
            assert_eq!(spans[0]["traceId"], recording.trace_id(7, round, 0).to_string());
            // The same span id in another trace is another span.
            for id in [&spans[0]["id"], &spans[1]["id"], &spans[2]["id"], &spans[0]["traceId"], &spans[2]["traceId"]] {
                assert!(seen.insert(id.to_string()), "{id}");
            }
        }
    }

    #[test]
    fn the_recorded_demo_shop_replays_whole() {
        let Some(corpora) = std::env::var_os("SPANLAKE_CORPORA") else {
            eprintln!("skipped: SPANLAKE_CORPORA does not name a folder of recorded traces");
            return;
        };
        let recording = Recording::read(&Path::new(&corpora).join("otlp-demo")).unwrap();
        assert_eq!((recording.spans(), recording.traces()), (4743, 1021));
        let spans = written(&recording, 3);
        // A server answers equal rows once: a recording that holds some would make its lookups look wrong.
        let distinct: HashSet<String> = spans.iter().map(Json::to_string).collect();
        assert_eq!(distinct.len(), spans.len());
        assert_eq!(spans.iter().filter_map(|span| span["annotations"].as_array()).map(Vec::len).sum::<usize>(), 1220);
        let mut counts = vec![0usize; recording.traces()];
        let numbers: HashMap<String, usize> =
            (0..recording.traces()).map(|trace| (recording.trace_id(7, 3, trace).to_string(), trace)).collect();
        for span in &spans {
            counts[numbers[span["traceId"].as_str().unwrap()]] += 1;
        }
        assert!((0..recording.traces()).all(|trace| counts[trace] == recording.span_count(trace)));
    }
}
