//! Service events as the project's own API tells them: lists, page by page, and what happened around a trace.
//!
//! What is asked is asked wherever the events may lie: in memory, in a file of the table, half of them in each.

mod list;
mod paging;
mod trace;

use crate::support::server::{Answer, Server};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};

/// When most of it happens: microseconds since 1970 UTC.
pub const AT: i64 = 1_700_000_000_000_000;

/// Asks in every placement. `args` are settings.
pub fn everywhere(args: &[&str], events: &[Value], ask: impl Fn(&Server)) {
    for placement in ["memory", "file", "file and memory"] {
        println!("{placement}");
        let folder = tempfile::tempdir().unwrap();
        // Nothing moves by itself.
        let server = Server::start_with(folder.path(), &[&["--flush-interval", "1h"], args].concat());
        let half = |rest: usize| -> Vec<Value> {
            events.iter().enumerate().filter(|(at, _)| at % 2 == rest).map(|(_, event)| event.clone()).collect()
        };
        match placement {
            "memory" => post(&server, &[], events),
            "file" => {
                post(&server, &[], events);
                flush(&server);
            }
            _ => {
                post(&server, &[], &half(0));
                flush(&server);
                post(&server, &[], &half(1));
            }
        }
        ask(&server);
    }
}

pub fn flush(server: &Server) {
    assert_eq!(server.post("/admin/flush", b"").status, 200);
}

/// Posts events under headers, a hundred in a request.
#[track_caller]
pub fn post(server: &Server, headers: &[(&str, &str)], events: &[Value]) {
    for events in events.chunks(100) {
        let body = json!(events).to_string();
        let answer = server.connect().send("POST", "/api/v1/k8s/events", headers, body.as_bytes());
        assert_eq!((answer.status, answer.json()), (200, json!({ "accepted": events.len() })));
    }
}

/// A time so many microseconds after [`AT`].
pub fn time(micros: i64) -> String {
    DateTime::from_timestamp_micros(AT + micros).unwrap().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// An event of a pod in the namespace `shop`, as its sender writes it: when it was seen first and last in microseconds
/// after [`AT`].
pub fn event(uid: &str, pod: &str, (first, last): (i64, i64)) -> Value {
    json!({
        "metadata": { "name": format!("{pod}.1"), "namespace": "shop", "uid": uid },
        "involvedObject": { "kind": "Pod", "namespace": "shop", "name": pod },
        "reason": "BackOff", "message": format!("of {pod}"), "type": "Warning", "source": { "component": "kubelet" },
        "firstTimestamp": time(first), "lastTimestamp": time(last), "count": 2,
    })
}

/// The same with other fields.
pub fn with(mut event: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    event.as_object_mut().unwrap().extend(fields);
    event
}

/// The same in another namespace.
pub fn in_namespace(mut event: Value, namespace: &str) -> Value {
    event["metadata"]["namespace"] = json!(namespace);
    event["involvedObject"]["namespace"] = json!(namespace);
    event
}

/// How an event of [`event`] is told.
pub fn told(event: &Value, service: &str) -> Value {
    let whole = |time: &Value| DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp_micros() - AT;
    json!({
        "service": service, "clusterId": event["clusterName"].as_str().unwrap_or("default"),
        "namespace": event["metadata"]["namespace"], "uid": event["metadata"]["uid"],
        "name": event["metadata"]["name"],
        "object": {
            "kind": "Pod", "name": event["involvedObject"]["name"], "namespace": event["involvedObject"]["namespace"],
            "uid": "", "apiVersion": "", "fieldPath": "",
        },
        "level": "Warning", "reason": "BackOff", "message": event["message"], "action": "",
        "source": { "component": "kubelet", "host": "", "instance": "" },
        "firstSeen": time(whole(&event["firstTimestamp"])), "lastSeen": time(whole(&event["lastTimestamp"])),
        "count": event["count"], "labels": {}, "owners": [],
    })
}

/// A window, as parameters: microseconds after [`AT`].
pub fn window(start: i64, end: i64) -> String {
    format!("start={}&end={}", time(start), time(end))
}

/// Asks, and expects a good answer of all files.
#[track_caller]
pub fn get(server: &Server, path: &str) -> Value {
    let answer = server.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    assert_eq!(answer.header("spanlake-incomplete"), None, "{path}");
    answer.json()
}

/// The uids of a list of events.
pub fn uids(events: &Value) -> Vec<&str> {
    events.as_array().unwrap().iter().map(|event| event["uid"].as_str().unwrap()).collect()
}

/// A refusal in the form of the ATS API.
#[track_caller]
pub fn assert_refused(answer: &Answer, status: u16, message: &str, what: &str) {
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    let code = format!("SVCSTG.ATS.{status}101");
    let whole = json!({ "errorCode": code, "errorMessage": message, "responseInfo": null });
    assert_eq!((answer.status, answer.json()), (status, whole), "{what}");
}

/// Spoils each file of the table of events, and returns their paths as the header names them.
pub fn spoil(data: &std::path::Path) -> Vec<String> {
    let table = data.join("tables/events");
    let mut spoiled = Vec::new();
    for day in std::fs::read_dir(&table).unwrap().map(|entry| entry.unwrap().path()) {
        if !day.file_name().unwrap().to_str().unwrap().starts_with("day=") {
            continue;
        }
        for file in std::fs::read_dir(&day).unwrap().map(|entry| entry.unwrap().path()) {
            let length = std::fs::metadata(&file).unwrap().len() as usize;
            std::fs::write(&file, vec![0; length]).unwrap();
            spoiled.push(file.strip_prefix(&table).unwrap().to_str().unwrap().to_owned());
        }
    }
    assert!(!spoiled.is_empty());
    spoiled
}
