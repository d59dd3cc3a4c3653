//! Recorded traces of real systems, through the real binary. They lie in the folder that `SPANLAKE_CORPORA` names; the
//! tests skip themselves, and say so, where it is not set.

use crate::support::server::Server;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

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

#[test]
fn recorded_zipkin_traces_come_back_alike_from_memory_table_and_restart() {
    let Some(corpora) = corpora() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    let mut traces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut files: Vec<_> = std::fs::read_dir(corpora.join("zipkin-v2")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        let answer = server.post("/api/v2/spans", &bytes);
        assert_eq!(answer.status, 202, "{}: {}", file.display(), answer.text());
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
