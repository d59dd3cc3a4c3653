//! Recorded traces of real systems, through the real binary. They lie in the folder that `SPANLAKE_CORPORA` names; the
//! tests skip themselves, and say so, where it is not set.

use crate::support::server::Server;
use crate::support::zipkin;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("SPANLAKE_CORPORA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SPANLAKE_CORPORA names no folder of recorded traces");
    }
    folder
}

/// The 64-bit and the 128-bit form of an id are one trace here.
fn padded(id: &str) -> String {
    if id.len() <= 16 { format!("{id:0>16}") } else { format!("{id:0>32}") }
}

/// The recordings of Zipkin, in their order.
fn zipkin_files(corpora: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(corpora.join("zipkin-v2")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn recorded_zipkin_traces_come_back_alike_from_memory_table_and_restart() {
    let Some(corpora) = corpora() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, bytes) in zipkin_files(&corpora) {
        let answer = server.post("/api/v2/spans", &bytes);
        assert_eq!(answer.status, 202, "{file}: {}", answer.text());
        let spans: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        for span in &spans {
            // Equal spans are one; a set of their texts counts them so.
            traces.entry(padded(span["traceId"].as_str().unwrap())).or_default().insert(span.to_string());
        }
    }
    let all = |server: &Server| -> BTreeMap<String, String> {
        let ask = |id: &String| server.get(&format!("/api/v2/trace/{id}")).text().to_owned();
        traces.keys().map(|id| (id.clone(), ask(id))).collect()
    };
    let from_memory = all(&server);
    for (id, text) in &from_memory {
        let spans: Vec<Value> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{id}: {e}: {text}"));
        assert_eq!(spans.len(), traces[id].len(), "{id}");
    }
    assert_eq!(server.post("/admin/flush", b"").status, 200);
    assert_eq!(all(&server), from_memory);
    server.terminate();
    assert!(server.wait().success());
    let server = Server::start(dir.path());
    assert_eq!(all(&server), from_memory);
}

/// What v1 cannot carry at all none of these spans has; it is named where the formats are tested.
#[test]
fn recorded_zipkin_traces_are_the_same_in_every_format() {
    let Some(corpora) = corpora() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let mut client = server.connect();
    for (file, bytes) in zipkin_files(&corpora) {
        let spans = zipkin::read(&bytes);
        for (project, path, content_type, body) in [
            ("json-v2", "/api/v2/spans", "application/json", bytes),
            ("proto3", "/api/v2/spans", "application/x-protobuf", zipkin::proto3(&spans)),
            ("json-v1", "/api/v1/spans", "application/json", zipkin::v1_json(&spans)),
            ("thrift", "/api/v1/spans", "application/x-thrift", zipkin::thrift(&spans)),
        ] {
            let headers = [("content-type", content_type), ("x-scope-orgid", project)];
            let answer = client.send("POST", path, &headers, &body);
            assert_eq!(answer.status, 202, "{file} as {project}: {}", answer.text());
        }
        let ids: BTreeSet<_> = spans.iter().map(|span| padded(&span.trace_id)).collect();
        for id in ids {
            let mut answer = |project: &str| {
                let path = format!("/api/v2/trace/{id}");
                client.send("GET", &path, &[("x-scope-orgid", project)], b"").text().to_owned()
            };
            let posted = answer("json-v2");
            for project in ["proto3", "json-v1", "thrift"] {
                assert!(answer(project) == posted, "{file}: {id} as {project}");
            }
        }
    }
}
