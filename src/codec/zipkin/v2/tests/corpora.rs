//! Recorded traces of real systems, where the folder of them is at hand.

use super::*;
use serde_json::{Map, Value, json};

/// A span as Zipkin normalises it, done the slow and plain way.
fn normal(span: &Value) -> Value {
    let mut out = Map::new();
    let text = |field: &str| span.get(field).and_then(Value::as_str);
    let trace_id = text("traceId").unwrap();
    let padded = if trace_id.len() > 16 { format!("{trace_id:0>32}") } else { format!("{trace_id:0>16}") };
    let narrow = padded.strip_prefix("0000000000000000").filter(|low| !low.is_empty());
    out.insert("traceId".into(), narrow.unwrap_or(&padded).into());
    let id = format!("{:0>16}", text("id").unwrap());
    let parent = text("parentId").map(|parent| format!("{parent:0>16}"));
    if let Some(parent) = parent.filter(|parent| *parent != id && parent != "0000000000000000") {
        out.insert("parentId".into(), parent.into());
    }
    out.insert("id".into(), id.into());
    if let Some(kind) = text("kind") {
        out.insert("kind".into(), kind.into());
    }
    if let Some(name) = text("name").filter(|name| !name.is_empty()) {
        out.insert("name".into(), name.to_lowercase().into());
    }
    for field in ["timestamp", "duration"] {
        if let Some(number) = span.get(field).and_then(Value::as_i64).filter(|&number| number > 0) {
            out.insert(field.into(), number.into());
        }
    }
    for field in ["localEndpoint", "remoteEndpoint"] {
        if let Some(endpoint) = span.get(field).and_then(Value::as_object).map(normal_endpoint)
            && !endpoint.is_empty()
        {
            out.insert(field.into(), endpoint.into());
        }
    }
    let mut annotations = span.get("annotations").and_then(Value::as_array).cloned().unwrap_or_default();
    annotations.sort_by_key(|one| (one["timestamp"].as_i64(), one["value"].as_str().map(str::to_owned)));
    annotations.dedup();
    if !annotations.is_empty() {
        out.insert("annotations".into(), annotations.into());
    }
    if let Some(tags) = span.get("tags").and_then(Value::as_object).filter(|tags| !tags.is_empty()) {
        out.insert("tags".into(), tags.clone().into());
    }
    for flag in ["debug", "shared"] {
        if span.get(flag) == Some(&json!(true)) && !(flag == "shared" && text("kind") == Some("CLIENT")) {
            out.insert(flag.into(), true.into());
        }
    }
    Value::Object(out)
}

fn normal_endpoint(endpoint: &Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    for (key, value) in endpoint {
        let kept = match (key.as_str(), value) {
            ("serviceName", Value::String(name)) if !name.is_empty() => name.to_lowercase().into(),
            // Some of them were made anonymous by zeros: 52.00.0.4.
            ("ipv4", Value::String(address)) => {
                let parts = address.split('.').map(|part| part.parse::<u8>().unwrap().to_string());
                parts.collect::<Vec<_>>().join(".").into()
            }
            ("ipv6", _) => value.clone(),
            ("port", Value::Number(port)) if port.as_i64() > Some(0) => value.clone(),
            _ => continue,
        };
        out.insert(key.clone(), kept);
    }
    out
}

#[test]
fn recorded_traces_come_back_as_zipkin_normalises_them() {
    let Some(folder) = std::env::var_os("SPANLAKE_CORPORA") else {
        println!("skipped: SPANLAKE_CORPORA names no folder of recorded traces");
        return;
    };
    let mut files: Vec<_> = std::fs::read_dir(std::path::Path::new(&folder).join("zipkin-v2"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let body = std::fs::read_to_string(&file).unwrap();
        let sent: Vec<Value> = serde_json::from_str(&body).unwrap();
        let spans = spans(&body);
        assert_eq!(spans.len(), sent.len(), "{}", file.display());
        for (span, sent) in spans.iter().zip(&sent) {
            let written: Value = serde_json::from_str(&super::json(span)).unwrap();
            assert_eq!(written, normal(sent), "{}", file.display());
        }
        println!("{}: {} spans", file.display(), spans.len());
    }
}
