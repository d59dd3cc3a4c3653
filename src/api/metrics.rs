//! What is counted where requests are handled, and how it is told: in Prometheus' text, and, of spans, in the flat JSON
//! of Zipkin's `/metrics`. Names and labels are Zipkin's, whose dashboards and alerts then work here.
//!
//! A message is a posted list of spans, or of service events, which are counted apart. It is dropped if it cannot be
//! read; its spans or events are dropped if they were read but could not be kept. A request's time runs until the head of
//! its answer is ready.

use crate::registry;
use crate::store::Status;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The upper bounds of the histogram's buckets, in milliseconds, and as Prometheus writes them.
const BUCKETS: [(f64, &str); 12] = [
    (1.0, "0.001"),
    (2.5, "0.0025"),
    (5.0, "0.005"),
    (10.0, "0.01"),
    (25.0, "0.025"),
    (50.0, "0.05"),
    (100.0, "0.1"),
    (250.0, "0.25"),
    (500.0, "0.5"),
    (1_000.0, "1.0"),
    (5_000.0, "5.0"),
    (10_000.0, "10.0"),
];

/// What comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Spans,
    Events,
}

impl Kind {
    /// What each is called, and what the names of its counters begin with.
    const fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Spans => ("spans", "zipkin_collector"),
            Kind::Events => ("events", "spanlake_collector"),
        }
    }
}

/// How it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Http,
    Grpc,
}

impl Transport {
    const ALL: [Transport; 2] = [Transport::Http, Transport::Grpc];

    const fn name(self) -> &'static str {
        match self {
            Transport::Http => "http",
            Transport::Grpc => "grpc",
        }
    }
}

/// All that is counted, since the start.
#[derive(Debug, Default)]
pub(super) struct Counters {
    spans: [Collector; 2],
    events: [Collector; 2],
    requests: Mutex<BTreeMap<Labels, Times>>,
}

/// What came in by one transport.
#[derive(Debug, Default)]
struct Collector {
    messages: AtomicU64,
    messages_dropped: AtomicU64,
    bytes: AtomicU64,
    /// Spans or events.
    items: AtomicU64,
    items_dropped: AtomicU64,
    /// Of the last message.
    message_bytes: AtomicU64,
    /// Of the last message that was read.
    message_items: AtomicU64,
}

/// A message on its way. A client that goes away drops it.
#[derive(Debug)]
pub(super) struct Message<'a> {
    collector: &'a Collector,
    /// After decompression.
    pub(super) bytes: usize,
    /// How many spans or events it has, once they were read.
    pub(super) read: Option<usize>,
    /// Whether they are durable.
    pub(super) kept: bool,
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        let Collector { messages, messages_dropped, bytes, items, items_dropped, message_bytes, message_items } =
            self.collector;
        let add = |counter: &AtomicU64, more: usize| counter.fetch_add(more as u64, Ordering::Relaxed);
        add(messages, 1);
        add(bytes, self.bytes);
        message_bytes.store(self.bytes as u64, Ordering::Relaxed);
        let Some(read) = self.read else {
            add(messages_dropped, 1);
            return;
        };
        add(items, read);
        message_items.store(read as u64, Ordering::Relaxed);
        if !self.kept {
            add(items_dropped, read);
        }
    }
}

/// Requests that are counted together: method, status, and the route as the router has it.
type Labels = (&'static str, u16, String);

/// How long requests took.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    /// Of each bucket alone; those over the last are in none.
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: Duration,
}

impl Counters {
    fn collector(&self, kind: Kind, transport: Transport) -> &Collector {
        let [http, grpc] = match kind {
            Kind::Spans => &self.spans,
            Kind::Events => &self.events,
        };
        match transport {
            Transport::Http => http,
            Transport::Grpc => grpc,
        }
    }

    /// A message begins to arrive. It counts when what this gives is dropped.
    pub(super) fn message(&self, kind: Kind, transport: Transport) -> Message<'_> {
        Message { collector: self.collector(kind, transport), bytes: 0, read: None, kept: false }
    }

    fn request(&self, labels: Labels, time: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let times = requests.entry(labels).or_default();
        let millis = time.as_secs_f64() * 1_000.0;
        if let Some(bucket) = BUCKETS.iter().position(|(bound, _)| millis <= *bound) {
            times.buckets[bucket] += 1;
        }
        times.count += 1;
        times.sum += time;
    }

    /// Zipkin's flat JSON.
    pub(super) fn json(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut flat = serde_json::Map::new();
        for transport in Transport::ALL {
            let (items, prefix) = Kind::Spans.names();
            for (what, _, is_counter, value) in self.collector(Kind::Spans, transport).values(items) {
                let form = if is_counter { "counter" } else { "gauge" };
                flat.insert(format!("{form}.{prefix}.{what}.{}", transport.name()), value.into());
            }
        }
        flat
    }

    /// Prometheus' text, with how the store and the registry are.
    pub(super) fn prometheus(&self, store: &Status, registry: &registry::Status) -> String {
        let mut out = String::new();
        self.push_collectors(&mut out, Kind::Spans);
        self.push_collectors(&mut out, Kind::Events);
        self.push_requests(&mut out);
        push_store(&mut out, store);
        push_registry(&mut out, registry);
        out
    }

    fn push_collectors(&self, out: &mut String, kind: Kind) {
        let (items, prefix) = kind.names();
        let each = Transport::ALL.map(|transport| (transport, self.collector(kind, transport).values(items)));
        for (number, (what, help, is_counter, _)) in each[0].1.iter().enumerate() {
            let (ending, form) = if *is_counter { ("_total", "counter") } else { ("", "gauge") };
            let name = format!("{prefix}_{what}{ending}");
            head(out, &name, help, form);
            for (transport, values) in &each {
                line(out, &name, &format!("{{transport=\"{}\"}}", transport.name()), values[number].3);
            }
        }
    }

    fn push_requests(&self, out: &mut String) {
        const NAME: &str = "http_server_requests_seconds";
        head(out, NAME, "time until the head of the answer was ready", "histogram");
        // Copied: writing is slow beside counting.
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for ((method, status, uri), times) in &requests {
            let labels = format!("method=\"{method}\",status=\"{status}\",uri=\"{uri}\"");
            let mut so_far = 0;
            for ((_, bound), count) in BUCKETS.iter().zip(times.buckets) {
                so_far += count;
                line(out, &format!("{NAME}_bucket"), &format!("{{{labels},le=\"{bound}\"}}"), so_far);
            }
            line(out, &format!("{NAME}_bucket"), &format!("{{{labels},le=\"+Inf\"}}"), times.count);
            line(out, &format!("{NAME}_count"), &format!("{{{labels}}}"), times.count);
            line(out, &format!("{NAME}_sum"), &format!("{{{labels}}}"), times.sum.as_secs_f64());
        }
    }
}

/// A value: its name, what it is, whether it is a counter.
type Value = (String, String, bool, u64);

impl Collector {
    /// `items` is what its items are called.
    fn values(&self, items: &str) -> [Value; 7] {
        let counter = |what: String, help: String, value: &AtomicU64| (what, help, true, value.load(Ordering::Relaxed));
        let gauge = |what: String, help: String, value: &AtomicU64| (what, help, false, value.load(Ordering::Relaxed));
        [
            counter("messages".to_owned(), format!("lists of {items} that were posted"), &self.messages),
            counter("messages_dropped".to_owned(), "lists that could not be read".to_owned(), &self.messages_dropped),
            counter("bytes".to_owned(), "bytes of the lists, decompressed".to_owned(), &self.bytes),
            counter(items.to_owned(), format!("{items} that were read"), &self.items),
            counter(
                format!("{items}_dropped"),
                format!("{items} that were read and could not be kept"),
                &self.items_dropped,
            ),
            gauge(format!("message_{items}"), format!("{items} of the last list"), &self.message_items),
            gauge("message_bytes".to_owned(), "bytes of the last list".to_owned(), &self.message_bytes),
        ]
    }
}

fn head(out: &mut String, name: &str, help: &str, form: &str) {
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {form}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name}{labels} {value}");
}

fn push_store(out: &mut String, store: &Status) {
    push_gauges(
        out,
        &[
            ("spanlake_memory_spans", "spans that are not yet in the table", store.memory_spans as u64),
            ("spanlake_memory_bytes", "bytes of spans that are not yet in the table", store.memory_bytes as u64),
            ("spanlake_table_files", "live files of the table", store.files as u64),
            ("spanlake_table_spans", "spans in the table", store.table_spans),
            ("spanlake_table_version", "the table's version", store.table_version),
            ("spanlake_log_bytes", "bytes of the write-ahead log", store.log_bytes),
            ("spanlake_log_sequence", "the last sequence that the log made durable", store.log_sequence),
            ("spanlake_flush_failing", "1 while the last flush failed", u64::from(store.flush_error.is_some())),
            ("spanlake_damaged", "damaged places that an operator has to look at", store.damaged.len() as u64),
        ],
    );
}

fn push_registry(out: &mut String, registry: &registry::Status) {
    push_gauges(
        out,
        &[
            (
                "spanlake_registry_services",
                "services that are registered, each version counted",
                registry.services as u64,
            ),
            ("spanlake_registry_instances", "instances that are registered", registry.instances as u64),
            (
                "spanlake_registry_failing",
                "1 while the registry's database takes no changes",
                u64::from(!registry.takes_changes),
            ),
        ],
    );
}

/// Values by name and help.
fn push_gauges(out: &mut String, gauges: &[(&str, &str, u64)]) {
    for (name, help, value) in gauges {
        head(out, name, help, "gauge");
        line(out, name, "", value);
    }
}

/// Counts a request by its route: what stands in braces there is not told apart.
pub(super) async fn layer(State(counters): State<Arc<Counters>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    counters.request((method, response.status().as_u16(), uri(route.as_ref(), response.status())), began.elapsed());
    response
}

/// As Zipkin labels them: what was not found is one, and what its UI asks for is what everybody asks for.
fn uri(route: Option<&MatchedPath>, status: StatusCode) -> String {
    match route.map(MatchedPath::as_str) {
        Some(path) if status != StatusCode::NOT_FOUND => match path.strip_prefix("/zipkin") {
            Some(api) if api.starts_with("/api/") => api.to_owned(),
            _ => path.to_owned(),
        },
        _ => "NOT_FOUND".to_owned(),
    }
}

/// Clients may make up methods; they are not to make up labels.
fn method(method: &Method) -> &'static str {
    [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::TRACE,
    ]
    .iter()
    .zip(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
    .find_map(|(known, name)| (known == method).then_some(name))
    .unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            memory_spans: 0,
            memory_events: 0,
            memory_bytes: 0,
            files: 0,
            table_spans: 0,
            table_version: 0,
            event_files: 0,
            table_events: 0,
            events_version: 0,
            log_sequence: 0,
            log_bytes: 0,
            flush_error: None,
            damaged: Vec::new(),
        }
    }

    #[test]
    fn messages_are_counted_by_what_became_of_them() {
        let counters = Counters::default();
        let pass = |kind, transport, bytes, read, kept| {
            let mut message = counters.message(kind, transport);
            (message.bytes, message.read, message.kept) = (bytes, read, kept);
        };
        pass(Kind::Spans, Transport::Http, 100, Some(3), true);
        pass(Kind::Spans, Transport::Http, 50, None, false);
        pass(Kind::Spans, Transport::Http, 20, Some(2), false);
        pass(Kind::Spans, Transport::Grpc, 7, Some(1), true);
        pass(Kind::Events, Transport::Http, 1_000, Some(9), true);
        pass(Kind::Events, Transport::Http, 10, Some(8), false);
        pass(Kind::Events, Transport::Grpc, 1, None, false);
        let expected = serde_json::json!({
            "counter.zipkin_collector.messages.http": 3,
            "counter.zipkin_collector.messages_dropped.http": 1,
            "counter.zipkin_collector.bytes.http": 170,
            "counter.zipkin_collector.spans.http": 5,
            "counter.zipkin_collector.spans_dropped.http": 2,
            "gauge.zipkin_collector.message_spans.http": 2,
            "gauge.zipkin_collector.message_bytes.http": 20,
            "counter.zipkin_collector.messages.grpc": 1,
            "counter.zipkin_collector.messages_dropped.grpc": 0,
            "counter.zipkin_collector.bytes.grpc": 7,
            "counter.zipkin_collector.spans.grpc": 1,
            "counter.zipkin_collector.spans_dropped.grpc": 0,
            "gauge.zipkin_collector.message_spans.grpc": 1,
            "gauge.zipkin_collector.message_bytes.grpc": 7,
        });
        assert_eq!(serde_json::Value::Object(counters.json()), expected);
        let registry = registry::Status { services: 0, instances: 0, database: "SQLite", takes_changes: true };
        let text = counters.prometheus(&status(), &registry);
        let of_events: Vec<&str> = text.lines().filter(|line| line.starts_with("spanlake_collector_")).collect();
        let expected = [
            r#"spanlake_collector_messages_total{transport="http"} 2"#,
            r#"spanlake_collector_messages_total{transport="grpc"} 1"#,
            r#"spanlake_collector_messages_dropped_total{transport="http"} 0"#,
            r#"spanlake_collector_messages_dropped_total{transport="grpc"} 1"#,
            r#"spanlake_collector_bytes_total{transport="http"} 1010"#,
            r#"spanlake_collector_bytes_total{transport="grpc"} 1"#,
            r#"spanlake_collector_events_total{transport="http"} 17"#,
            r#"spanlake_collector_events_total{transport="grpc"} 0"#,
            r#"spanlake_collector_events_dropped_total{transport="http"} 8"#,
            r#"spanlake_collector_events_dropped_total{transport="grpc"} 0"#,
            r#"spanlake_collector_message_events{transport="http"} 8"#,
            r#"spanlake_collector_message_events{transport="grpc"} 0"#,
            r#"spanlake_collector_message_bytes{transport="http"} 10"#,
            r#"spanlake_collector_message_bytes{transport="grpc"} 1"#,
        ];
        assert_eq!(of_events, expected);
    }

    #[test]
    fn requests_are_counted_in_buckets_that_hold_those_below() {
        let counters = Counters::default();
        for micros in [900, 1_000, 1_001, 2_000_000, 60_000_000] {
            counters.request(("GET", 200, "/api/v2/traces".to_owned()), Duration::from_micros(micros));
        }
        let registry = registry::Status { services: 0, instances: 0, database: "SQLite", takes_changes: true };
        let text = counters.prometheus(&status(), &registry);
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("http_server")).collect();
        let labels = r#"method="GET",status="200",uri="/api/v2/traces""#;
        let bucket =
            |bound: &str, count: u64| format!("http_server_requests_seconds_bucket{{{labels},le=\"{bound}\"}} {count}");
        let expected = [
            bucket("0.001", 2),
            bucket("0.0025", 3),
            bucket("0.005", 3),
            bucket("0.01", 3),
            bucket("0.025", 3),
            bucket("0.05", 3),
            bucket("0.1", 3),
            bucket("0.25", 3),
            bucket("0.5", 3),
            bucket("1.0", 3),
            bucket("5.0", 4),
            bucket("10.0", 4),
            bucket("+Inf", 5),
            format!("http_server_requests_seconds_count{{{labels}}} 5"),
            format!("http_server_requests_seconds_sum{{{labels}}} 62.002901"),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn every_value_has_its_help_and_type_before_it_and_once() {
        let counters = Counters::default();
        counters.request(("GET", 200, "/".to_owned()), Duration::ZERO);
        counters.request(("GET", 200, "/health".to_owned()), Duration::ZERO);
        let status = Status { flush_error: Some("disk full".to_owned()), memory_bytes: 5, ..status() };
        let registry = registry::Status { services: 7, instances: 8, database: "SQLite", takes_changes: false };
        let text = counters.prometheus(&status, &registry);
        let mut known = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap();
                assert!(!known.contains(&name), "{name}");
                known.push(name);
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                assert!(name.starts_with(known.last().unwrap()), "{line}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(
            text.contains("\nspanlake_flush_failing 1\n") && text.contains("\nspanlake_memory_bytes 5\n"),
            "{text}"
        );
        let of_registry: Vec<_> = text.lines().filter(|line| line.starts_with("spanlake_registry")).collect();
        let expected = ["spanlake_registry_services 7", "spanlake_registry_instances 8", "spanlake_registry_failing 1"];
        assert_eq!(of_registry, expected);
        assert!(text.contains("\nzipkin_collector_messages_total{transport=\"grpc\"} 0\n"), "{text}");
    }
}
