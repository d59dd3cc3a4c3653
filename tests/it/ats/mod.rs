//! What leads to a trace's id in the ATS API: lists and the search, each asked wherever the spans may lie.

mod lists;
mod traces;

use crate::support::server::Answer;
use crate::zipkin::{Asked, TODAY, everywhere};
use serde_json::{Value, json};

/// What every search here asks for, unless it says otherwise.
const WINDOW: i64 = 10_000;

/// Posts v1 spans under headers, parted as the placement has it.
fn place(asked: &Asked, headers: &[(&str, &str)], spans: &[Value]) {
    asked.place_by(spans, |spans| {
        let answer =
            asked.server.connect().send("POST", "/v1/0/ats/spans", headers, json!(spans).to_string().as_bytes());
        assert_eq!((answer.status, answer.text()), (202, ""));
    });
}

/// A v1 span of a service that was called so many milliseconds after [`TODAY`], and took so many.
fn served(trace: &str, id: &str, name: &str, (begin, length): (i64, i64)) -> Value {
    let endpoint = json!({ "serviceName": "svc", "ipv4": "10.0.0.1", "port": 80 });
    let moment =
        |value: &str, millis: i64| json!({ "timestamp": micros(millis), "value": value, "endpoint": endpoint });
    json!({
        "traceId": trace, "id": id, "name": name, "timestamp": micros(begin), "duration": length * 1_000,
        "annotations": [moment("sr", begin), moment("ss", begin + length)], "binaryAnnotations": [],
    })
}

/// The same with tags.
fn tagged(mut span: Value, tags: &[(&str, &str)]) -> Value {
    let tags = tags.iter().map(|(key, value)| json!({ "key": key, "value": value }));
    span["binaryAnnotations"] = tags.collect();
    span
}

/// Microseconds since 1970 of so many milliseconds after [`TODAY`].
fn micros(millis: i64) -> i64 {
    (TODAY + millis) * 1_000
}

fn get(asked: &Asked, path: &str, headers: &[(&str, &str)]) -> Answer {
    asked.server.connect().send("GET", path, headers, b"")
}

/// Asks, and expects exactly this as `responseInfo`.
#[track_caller]
fn answers(asked: &Asked, path: &str, code: &str, info: &Value) {
    let answer = asked.get(path);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let whole = json!({ "errorCode": code, "errorMessage": null, "responseInfo": info });
    assert_eq!(answer.json(), whole, "{:?}: {path}", asked.placement);
}

/// Asks, and expects that there is nothing.
#[track_caller]
fn misses(asked: &Asked, path: &str, message: &str) {
    let whole = json!({ "errorCode": "SVCSTG.ATS.200103", "errorMessage": message, "responseInfo": null });
    assert_eq!(asked.get(path).json(), whole, "{:?}: {path}", asked.placement);
}
