//! Service events from the collectors that send them to the answers that tell of them, over real sockets.

mod grpc;
mod limits;
mod otlp;
mod refusals;
mod resends;
mod sources;

use crate::support::otlp_logs::ExportLogsServiceRequest;
use crate::support::server::{Answer, Client};
use prost::Message;
use serde_json::{Value, json};

const K8S: &str = "/api/v1/k8s/events";
const LOGS: &str = "/v1/logs";

/// The content types of OTLP.
const PROTO: (&str, &str) = ("content-type", "application/x-protobuf");
const JSON: (&str, &str) = ("content-type", "application/json");

/// An event with no more than it must have.
const EVENT: &str = r#"{"metadata":{"name":"web-0.1","uid":"u"},"involvedObject":{"kind":"Pod","name":"web-0"},"lastTimestamp":"2025-01-01T00:00:00Z"}"#;

/// The body of a fixture.
fn fixture(name: &str) -> Vec<u8> {
    let path = format!("{}/fixtures/events/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A request in OTLP's JSON as a library encodes it in protobuf.
fn proto(json: &[u8]) -> Vec<u8> {
    ExportLogsServiceRequest::of(&serde_json::from_slice(json).unwrap()).encode_to_vec()
}

/// A request of 60,000 log records of a few bytes that each share 21 long attributes of their resource.
fn swollen() -> Vec<u8> {
    let shared = [
        "k8s.event.name",
        "k8s.event.reason",
        "k8s.event.action",
        "k8s.event.reporting_controller",
        "k8s.event.reporting_instance",
        "k8s.node.name",
        "k8s.namespace.name",
        "k8s.cluster.name",
        "k8s.object.kind",
        "k8s.object.name",
        "k8s.object.uid",
        "k8s.object.fieldpath",
        "k8s.object.api_version",
        "k8s.deployment.name",
        "k8s.statefulset.name",
        "k8s.daemonset.name",
        "k8s.job.name",
        "service.name",
        "app.kubernetes.io/name",
        "k8s-app",
        "qcloud-app",
    ];
    let long = json!({"stringValue": "x".repeat(4_096)});
    let attributes: Vec<Value> = shared.iter().map(|key| json!({"key": key, "value": long})).collect();
    let record = |uid: usize| {
        let value = json!({"stringValue": uid.to_string()});
        json!({"timeUnixNano": "1735732800000000000", "attributes": [{"key": "k8s.event.uid", "value": value}]})
    };
    let records: Vec<Value> = (0..60_000).map(record).collect();
    json!({"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": records}]}]})
        .to_string()
        .into_bytes()
}

/// What such a request is told, by the place of the record that is one too many.
fn swollen_at(place: &str) -> String {
    format!(
        "the events take more than 67108864 bytes once they are decoded\n{place}: events.max_decoded_bytes: \
         split them into several requests, or raise it with --events-max-decoded-bytes"
    )
}

/// All events of a project, by cluster and uid.
fn all(client: &mut Client, project: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut next = String::new();
    loop {
        let window = "start=2000-01-01T00:00:00Z&end=2100-01-01T00:00:00Z";
        let path = format!("/v1/{project}/events?{window}&limit=1000&next={next}");
        let answer = client.send("GET", &path, &[], b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let mut page = answer.json();
        events.extend(page["events"].as_array().unwrap().clone());
        match page["next"].take() {
            Value::String(token) => next = token,
            _ => break,
        }
    }
    events.sort_by_key(|event| format!("{} {}", event["clusterId"], event["uid"]));
    events
}

/// An event as it is told, where whatever is not given is what is not known.
fn told(given: Value) -> Value {
    let mut told = json!({
        "service": null, "clusterId": "default", "namespace": "default", "uid": "", "name": "",
        "object": {"kind": "", "name": "", "namespace": "", "uid": "", "apiVersion": "", "fieldPath": ""},
        "level": "Normal", "reason": "", "message": "", "action": "",
        "source": {"component": "", "host": "", "instance": ""},
        "firstSeen": "", "lastSeen": "", "count": 1, "labels": {}, "owners": [],
    });
    fill_in(&mut told, given);
    told
}

fn fill_in(into: &mut Value, given: Value) {
    match given {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::Object(_) if into[&key].is_object() && key != "labels" => fill_in(&mut into[&key], value),
                    value => into[&key] = value,
                }
            }
        }
        value => *into = value,
    }
}

/// Kubernetes' object for a refusal.
fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

/// Asserts that a post was answered so many events.
fn expect_accepted(answer: &Answer, count: usize) {
    assert_eq!((answer.status, answer.text()), (200, format!("{{\"accepted\":{count}}}").as_str()));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}
