//! Configuration items over KIE's API: what stock clients send, and what they may be answered.

mod file;
mod items;
mod lists;

use crate::support::server::{Answer, Server};
use serde_json::{Value, json};

const KV: &str = "/v1/default/kie/kv";

fn send(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    server.connect().send(method, path, &[("content-type", "application/json")], body.as_bytes())
}

/// Creates an item and returns it as it was answered.
#[track_caller]
fn create(server: &Server, item: &Value) -> Value {
    let answer = send(server, "POST", KV, item);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The answer's object without its times, which must be seconds of a year that has been.
#[track_caller]
fn timeless(mut object: Value) -> Value {
    for field in ["create_time", "update_time"] {
        let time = object.as_object_mut().unwrap().remove(field).unwrap();
        assert!((1_700_000_000..10_000_000_000).contains(&time.as_i64().unwrap()), "{field}: {time}");
    }
    object
}

/// `key=value` of each item of a list, in order, with the header's revision and the total.
#[track_caller]
fn listed(answer: &Answer) -> (i64, u64, Vec<String>) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let revision = answer.header("x-kie-revision").unwrap().parse().unwrap();
    let body = answer.json();
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    let data = body["data"].as_array().unwrap();
    let items = data.iter().map(|item| format!("{}={}", text(item, "key"), text(item, "value"))).collect();
    (revision, body["total"].as_u64().unwrap(), items)
}

fn get(server: &Server, query: &str) -> Answer {
    server.get(&format!("{KV}?{query}"))
}

/// The one form of errors: three spellings of the same.
#[track_caller]
fn refused(answer: &Answer, code: &str, message: &str, detail: &str) {
    let expected = json!({
        "errorCode": code, "errorMessage": message,
        "error_code": code, "error_message": message, "error_msg": message,
        "detail": detail,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let status: u16 = match code.strip_prefix("SVCSTG.00") {
        Some("400106") => 404,
        Some(code) => code[..3].parse().unwrap(),
        None => code[..3].parse().unwrap(),
    };
    assert_eq!(answer.status, status);
}

#[track_caller]
fn invalid(answer: &Answer, detail: &str) {
    refused(answer, "400001", "Invalid parameter(s)", detail);
}
