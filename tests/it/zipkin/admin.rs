//! What operators, monitoring and the UI of Zipkin ask.

use super::{span, with};
use crate::support::server::Server;
use serde_json::json;

#[test]
fn posted_messages_are_counted_as_zipkin_counts_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let two = json!([span("a", "1", 0), span("a", "2", 0)]).to_string();
    assert_eq!(server.post("/api/v2/spans", two.as_bytes()).status, 202);
    assert_eq!(server.post("/api/v2/spans", b"[]").status, 202);
    assert_eq!(server.post("/api/v2/spans", b"{}").status, 400);
    let answer = server.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let expected = json!({
        "counter.zipkin_collector.messages.http": 3,
        "counter.zipkin_collector.messages_dropped.http": 1,
        "counter.zipkin_collector.bytes.http": two.len() + 4,
        "counter.zipkin_collector.spans.http": 2,
        "counter.zipkin_collector.spans_dropped.http": 0,
        "gauge.zipkin_collector.message_spans.http": 0,
        "gauge.zipkin_collector.message_bytes.http": 2,
        "counter.zipkin_collector.messages.grpc": 0,
        "counter.zipkin_collector.messages_dropped.grpc": 0,
        "counter.zipkin_collector.bytes.grpc": 0,
        "counter.zipkin_collector.spans.grpc": 0,
        "counter.zipkin_collector.spans_dropped.grpc": 0,
        "gauge.zipkin_collector.message_spans.grpc": 0,
        "gauge.zipkin_collector.message_bytes.grpc": 0,
    });
    assert_eq!(answer.json(), expected);
}

#[test]
fn prometheus_is_told_of_messages_requests_and_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.post("/api/v2/spans", json!([span("a", "1", 0)]).to_string().as_bytes()).status, 202);
    for path in ["/api/v2/trace/a", "/zipkin/api/v2/trace/a", "/api/v2/trace/b", "/no/such", "/api/v2/traces?limit=0"] {
        server.get(path);
    }
    assert_eq!(server.post("/admin/flush", b"").status, 200);
    for path in ["/prometheus", "/actuator/prometheus"] {
        let answer = server.get(path);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let value = |name: &str| -> f64 {
            let line = answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name}: {}", answer.text())).parse().unwrap()
        };
        let requests = |labels: &str| value(&format!("http_server_requests_seconds_count{{{labels}}}"));
        assert_eq!(value("zipkin_collector_messages_total{transport=\"http\"}"), 1.0);
        assert_eq!(value("zipkin_collector_spans_total{transport=\"http\"}"), 1.0);
        assert_eq!(value("zipkin_collector_spans_total{transport=\"grpc\"}"), 0.0);
        assert_eq!(requests(r#"method="POST",status="202",uri="/api/v2/spans""#), 1.0);
        assert_eq!(requests(r#"method="GET",status="200",uri="/api/v2/trace/{traceId}""#), 2.0);
        assert_eq!(requests(r#"method="GET",status="400",uri="/api/v2/traces""#), 1.0);
        assert_eq!(requests(r#"method="GET",status="404",uri="NOT_FOUND""#), 2.0);
        assert_eq!(value("spanlake_table_spans"), 1.0);
        assert_eq!(value("spanlake_table_files"), 1.0);
        assert_eq!(value("spanlake_memory_spans"), 0.0);
        assert_eq!(value("spanlake_flush_failing"), 0.0);
        assert!(value("spanlake_log_bytes") >= 0.0);
    }
}

/// Each made-up path and method would else be a line of its own for ever.
#[test]
fn what_clients_make_up_makes_no_labels() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for n in 0..5 {
        client.send("GET", &format!("/made/up/{n}"), &[], b"");
        client.send(&format!("MADEUP{n}"), "/health", &[], b"");
    }
    let text = client.send("GET", "/prometheus", &[], b"").text().to_owned();
    let counts: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("http_server_requests_seconds_count")).collect();
    assert_eq!(
        counts,
        ["{method=\"GET\",status=\"404\",uri=\"NOT_FOUND\"} 5", "{method=\"OTHER\",status=\"405\",uri=\"/health\"} 5",]
    );
}

#[test]
fn the_ui_is_told_its_settings() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let config = server.get("/zipkin/config.json");
    assert_eq!(config.header("cache-control"), Some("max-age=600"));
    let defaults = json!({
        "environment": "",
        "queryLimit": 10,
        "defaultLookback": 900_000,
        "searchEnabled": true,
        "logsUrl": null,
        "supportUrl": null,
        "archivePostUrl": null,
        "archiveUrl": null,
        "dependency": { "enabled": true, "lowErrorRate": 0.5, "highErrorRate": 0.75 },
    });
    assert_eq!(config.json(), defaults);
    server.stop();

    let settings = [
        "--zipkin-ui-environment=production",
        "--zipkin-ui-query-limit=20",
        "--zipkin-ui-default-lookback=1h",
        "--zipkin-search-enabled=false",
        "--zipkin-ui-logs-url=http://logs/{traceId}",
        "--zipkin-ui-support-url=http://help",
        "--zipkin-ui-archive-post-url=http://archive/api/v2/spans",
        "--zipkin-ui-archive-url=http://archive/traces/{traceId}",
        "--zipkin-ui-dependency-enabled=false",
        "--zipkin-ui-dependency-low-error-rate=0.1",
        "--zipkin-ui-dependency-high-error-rate=1.1",
    ];
    let server = Server::start_with(dir.path(), &settings);
    let expected = json!({
        "environment": "production",
        "queryLimit": 20,
        "defaultLookback": 3_600_000,
        "searchEnabled": false,
        "logsUrl": "http://logs/{traceId}",
        "supportUrl": "http://help",
        "archivePostUrl": "http://archive/api/v2/spans",
        "archiveUrl": "http://archive/traces/{traceId}",
        "dependency": { "enabled": false, "lowErrorRate": 0.1, "highErrorRate": 1.1 },
    });
    assert_eq!(server.get("/zipkin/config.json").json(), expected);
}

#[test]
fn springs_clients_are_answered_below_actuator() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let actuator = Some("application/vnd.spring-boot.actuator.v2+json;charset=UTF-8");
    let health = server.get("/actuator/health");
    assert_eq!((health.status, health.header("content-type")), (200, actuator));
    assert_eq!(health.json()["zipkin"]["status"], "UP");
    let info = server.get("/actuator/info");
    assert_eq!((info.json(), info.header("content-type")), (server.get("/info").json(), actuator));
    assert_eq!(info.json()["zipkin"]["version"], env!("CARGO_PKG_VERSION"));
}

/// Who comes from Zipkin opens this page first.
#[test]
fn where_zipkin_has_its_ui_it_is_said_where_the_api_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for path in ["/", "/zipkin", "/zipkin/"] {
        let page = server.get(path);
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain; charset=utf-8")));
        for said in ["no UI", "/api/v2/traces", "/openapi.yaml", "/zipkin/config.json"] {
            assert!(page.text().contains(said), "{path}: {said}");
        }
    }
}

/// What could not be kept is counted, too.
#[test]
fn spans_that_cannot_be_taken_are_counted_as_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-spans", "1"]);
    let body = json!([span("a", "1", 0), with(span("a", "2", 0), json!({ "name": "b" }))]).to_string();
    assert_eq!(server.post("/api/v2/spans", body.as_bytes()).status, 413);
    let counted = server.get("/metrics").json();
    assert_eq!(counted["counter.zipkin_collector.messages.http"], 1);
    assert_eq!(counted["counter.zipkin_collector.messages_dropped.http"], 1);
    assert_eq!(counted["counter.zipkin_collector.spans.http"], 0);
}
