//! Zipkin's API as a contract: each question is asked wherever the spans may lie.
//!
//! [`everywhere`] posts the same spans to servers that keep them in memory, in a file of the table, in two files, and
//! half of each trace in a file and half in memory. What is asked of them has the same answer.

mod admin;
mod conditions;
mod contract;
mod cors;
mod links;
mod names;
mod search;
mod slow_readers;

use crate::support::server::{Answer, Server};
use serde_json::{Value, json};

/// When most of it happens: milliseconds since 1970 UTC.
pub const TODAY: i64 = 1_700_000_000_000;
pub const DAY: i64 = 86_400_000;
/// The right half of an id that has another left one.
const HALF: usize = 16;

/// Where spans lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    Memory,
    Lake,
    TwoFiles,
    /// Of every trace each other span, and each other trace of one span.
    LakeAndMemory,
}

const PLACEMENTS: [Placement; 4] = [Placement::Memory, Placement::Lake, Placement::TwoFiles, Placement::LakeAndMemory];

/// A server that has been given spans, and where they lie.
pub struct Asked {
    pub server: Server,
    pub placement: Placement,
    _folder: tempfile::TempDir,
}

/// Asks in every placement. `args` are settings.
pub fn everywhere(args: &[&str], spans: &[Value], ask: impl Fn(&Asked)) {
    for placement in PLACEMENTS {
        let folder = tempfile::tempdir().unwrap();
        // Nothing moves by itself.
        let settings = [&["--flush-interval", "1h"], args].concat();
        let asked = Asked { server: Server::start_with(folder.path(), &settings), placement, _folder: folder };
        asked.place(spans);
        ask(&asked);
    }
}

impl Asked {
    /// Posts spans, and sees to it that they lie where they should.
    pub fn place(&self, spans: &[Value]) {
        self.place_by(spans, |spans| self.post(spans));
    }

    /// The same of spans that are posted in another way.
    pub fn place_by(&self, spans: &[Value], post: impl Fn(&[Value])) {
        match self.placement {
            Placement::Memory => post(spans),
            Placement::Lake => {
                post(spans);
                self.flush();
            }
            Placement::TwoFiles | Placement::LakeAndMemory => {
                let (first, second) = halves(spans);
                post(&first);
                self.flush();
                post(&second);
                if self.placement == Placement::TwoFiles {
                    self.flush();
                }
            }
        }
    }

    pub fn post(&self, spans: &[Value]) {
        let answer = self.server.post("/api/v2/spans", json!(spans).to_string().as_bytes());
        assert_eq!((answer.status, answer.text()), (202, ""));
    }

    pub fn flush(&self) {
        assert_eq!(self.server.post("/admin/flush", b"").status, 200);
    }

    /// An answer that has to be good.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        let answer = self.server.get(path);
        assert_eq!(answer.status, 200, "{:?}: {path}: {}", self.placement, answer.text());
        assert_eq!(answer.header("spanlake-incomplete"), None, "{:?}: {path}", self.placement);
        answer
    }

    /// A list of texts.
    #[track_caller]
    pub fn texts(&self, path: &str) -> Vec<String> {
        let found = self.get(path).json();
        found.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    /// Asks for the path and expects this list of texts.
    #[track_caller]
    pub fn names(&self, path: &str, expected: &[&str]) {
        assert_eq!(self.texts(path), expected, "{:?}: {path}", self.placement);
    }

    /// Searches, and expects these traces in this order, each as a lookup by its id answers it. A trace is named by the
    /// ids of its spans, each once and without leading zeros, the shorter first, joined by `+` where there are several.
    ///
    /// The window is two days up to one day after [`TODAY`] and the limit 100, unless the query says otherwise.
    #[track_caller]
    pub fn search(&self, query: &str, expected: &[&str]) {
        let path = search_path(query);
        let found = self.get(&path).json();
        let traces = found.as_array().unwrap();
        let ids: Vec<String> = traces.iter().map(trace_name).collect();
        assert_eq!(ids, expected, "{:?}: {path}", self.placement);
        for trace in traces {
            let id = trace[0]["traceId"].as_str().unwrap();
            let whole = self.get(&format!("/api/v2/trace/{id}")).json();
            assert_eq!(*trace, whole, "{:?}: {path}: a trace differs from what its id answers", self.placement);
        }
    }
}

/// The path of a search, with the window and the limit where it has none.
pub fn search_path(query: &str) -> String {
    let mut path = format!("/api/v2/traces?{query}");
    for (name, default) in [("endTs", TODAY + DAY), ("lookback", 2 * DAY), ("limit", 100)] {
        if !query.split('&').any(|pair| pair.starts_with(&format!("{name}="))) {
            path.push_str(&format!("&{name}={default}"));
        }
    }
    path
}

fn trace_name(trace: &Value) -> String {
    let mut ids: Vec<&str> = trace
        .as_array()
        .unwrap()
        .iter()
        .map(|span| span["traceId"].as_str().unwrap().trim_start_matches('0'))
        .collect();
    ids.sort_by_key(|id| (id.len(), *id));
    ids.dedup();
    ids.join("+")
}

/// Of every trace each other span; traces of one span alternate.
fn halves(spans: &[Value]) -> (Vec<Value>, Vec<Value>) {
    let mut seen: Vec<(String, usize)> = Vec::new();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for span in spans {
        let id = format!("{:0>32}", span["traceId"].as_str().unwrap());
        let low = &id[HALF..];
        let trace = seen.iter().position(|(known, _)| known == low).unwrap_or_else(|| {
            seen.push((low.to_owned(), 0));
            seen.len() - 1
        });
        let number = trace + seen[trace].1;
        seen[trace].1 += 1;
        if number.is_multiple_of(2) { first.push(span.clone()) } else { second.push(span.clone()) }
    }
    (first, second)
}

/// A span of nothing but ids.
pub fn bare(trace: &str, id: &str) -> Value {
    json!({ "traceId": trace, "id": id })
}

/// A span of the service `front` that begins so many milliseconds after [`TODAY`].
pub fn span(trace: &str, id: &str, millis: i64) -> Value {
    with(bare(trace, id), json!({ "timestamp": (TODAY + millis) * 1_000, "localEndpoint": named("front") }))
}

/// The same with more fields, or other ones.
pub fn with(mut span: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    span.as_object_mut().unwrap().extend(fields);
    span
}

pub fn named(service: &str) -> Value {
    json!({ "serviceName": service })
}

/// A client's span as agents send them, at [`TODAY`].
pub fn client(trace: &str) -> Value {
    with(
        span(trace, "2", 0),
        json!({
            "parentId": "1", "kind": "CLIENT", "name": "get /foo", "duration": 200_000,
            "remoteEndpoint": named("back"),
            "tags": { "http.method": "GET", "http.path": "/foo" },
        }),
    )
}

/// Annotations at the span's start.
pub fn noted(span: Value, values: &[&str]) -> Value {
    let timestamp = span["timestamp"].clone();
    let annotations: Vec<Value> =
        values.iter().map(|value| json!({ "timestamp": timestamp, "value": value })).collect();
    with(span, json!({ "annotations": annotations }))
}

pub fn tagged(span: Value, tags: Value) -> Value {
    with(span, json!({ "tags": tags }))
}

#[test]
fn halves_part_every_trace_and_alternate_single_spans() {
    let spans = [
        bare("a", "1"),
        bare("a", "2"),
        bare("1000000000000000a", "3"),
        bare("b", "1"),
        bare("c", "1"),
        bare("d", "1"),
    ];
    let ids = |spans: Vec<Value>| -> Vec<String> {
        spans.iter().map(|span| format!("{}{}", span["traceId"], span["id"]).replace('"', "")).collect()
    };
    let (first, second) = halves(&spans);
    assert_eq!(ids(first), ["a1", "1000000000000000a3", "c1"]);
    assert_eq!(ids(second), ["a2", "b1", "d1"]);
}
