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
