//! Zipkin's routes: spans in, the trace out.

use crate::support::server::Server;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use serde_json::json;
use std::io::Write;

/// A list of one v2 span.
fn one(trace_id: &str, id: &str, name: &str) -> Vec<u8> {
    json!([{ "traceId": trace_id, "id": id, "name": name, "timestamp": 1_506_260_836_597_000u64 }])
        .to_string()
        .into_bytes()
}

#[test]
fn a_posted_span_is_there_at_once_as_zipkin_writes_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let posted = br#"[{"traceId":"27046B00","id":"a1","kind":"CLIENT","name":"Get /","timestamp":1506260836597000,
        "duration":67000,"localEndpoint":{"serviceName":"Shop","ipv4":"10.0.0.1","port":80},
        "annotations":[{"timestamp":1506260836597001,"value":"wire"}],"tags":{"b":"2","a":"1"}}]"#;
    let accepted = server.post("/api/v2/spans", posted);
    assert_eq!((accepted.status, accepted.text()), (202, ""));

    let answer = server.get("/api/v2/trace/27046b00");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(
        answer.text(),
        r#"[{"traceId":"0000000027046b00","id":"00000000000000a1","kind":"CLIENT","name":"get /","timestamp":1506260836597000,"duration":67000,"localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":80},"annotations":[{"timestamp":1506260836597001,"value":"wire"}],"tags":{"a":"1","b":"2"}}]"#
    );
    // Where Zipkin's UI asks.
    assert_eq!(server.get("/zipkin/api/v2/trace/27046b00").body, answer.body);
}

#[test]
fn the_content_type_of_json_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let types = [
        &[][..],
        &[("content-type", "application/json; charset=utf-8")],
        // What `curl -d` says.
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "text/plain")],
    ];
    for (number, headers) in (1..).zip(types) {
        let answer = client.send("POST", "/api/v2/spans", headers, &one("1", &number.to_string(), "a"));
        assert_eq!(answer.status, 202, "{headers:?}");
    }
    assert_eq!(server.get("/api/v2/trace/1").json().as_array().unwrap().len(), types.len());
}

#[test]
fn nothing_and_an_empty_list_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for path in ["/api/v2/spans", "/api/v1/spans", "/v1/0/ats/spans"] {
        for body in [&b""[..], b"[]", b" [ ] \n"] {
            let answer = server.post(path, body);
            assert_eq!((answer.status, answer.text()), (202, ""), "{path} {body:?}");
        }
    }
}

#[test]
fn compressed_bodies_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let body = one("1", "1", "gzip");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&body).unwrap();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&one("1", "2", "zlib")).unwrap();
    let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
    raw.write_all(&one("1", "3", "raw")).unwrap();
    for (encoding, body) in [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
        ("deflate", raw.finish().unwrap()),
        ("identity", one("1", "4", "identity")),
    ] {
        let answer = client.send("POST", "/api/v2/spans", &[("content-encoding", encoding)], &body);
        assert_eq!(answer.status, 202, "{encoding}: {}", answer.text());
    }
    let trace = server.get("/api/v2/trace/1").json();
    let names: Vec<&str> = trace.as_array().unwrap().iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gzip", "zlib", "raw", "identity"]);
}

#[test]
fn ids_are_trimmed_padded_and_taken_in_either_case() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.post("/api/v2/spans", &one("ABC", "1", "narrow"));
    for id in ["abc", "ABC", "0000000000000abc", "00000000000000000000000000000abc", "%20abc%20", "%61bc"] {
        let answer = server.get(&format!("/api/v2/trace/{id}"));
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
    }
    let missing = server.get("/api/v2/trace/DEF");
    assert_eq!((missing.status, missing.text()), (404, "0000000000000def not found\n"));
    assert!(missing.header("content-type").unwrap().starts_with("text/plain"));
}

#[test]
fn what_is_no_trace_id_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for (id, peer) in [
        ("xyz", "xyz should be lower-hex encoded with no prefix"),
        ("%20", "traceId is empty"),
        ("0000", "traceId is all zeros"),
        ("000000000000000000000000000000001", "traceId.length > 32"),
    ] {
        let answer = client.send("GET", &format!("/api/v2/trace/{id}"), &[], b"");
        assert_eq!((answer.status, answer.first_line()), (400, peer));
    }
    // Not even text.
    assert_eq!(client.send("GET", "/api/v2/trace/%ff", &[], b"").status, 400);
}

#[test]
fn with_strict_ids_the_whole_id_counts_and_without_them_its_right_half() {
    let dir = tempfile::tempdir().unwrap();
    let (narrow, wide) = ("00000000000000ab", "000000000000000100000000000000ab");
    let counts = |server: &Server| {
        [narrow, wide].map(|id| server.get(&format!("/api/v2/trace/{id}")).json().as_array().unwrap().len())
    };
    let server = Server::start(dir.path());
    server.post("/api/v2/spans", &one(narrow, "1", "a"));
    server.post("/api/v2/spans", &one(wide, "2", "b"));
    assert_eq!(counts(&server), [1, 1]);
    server.stop();

    let server = Server::start_with(dir.path(), &["--zipkin-strict-trace-id=false"]);
    assert_eq!(counts(&server), [2, 2]);
}

#[test]
fn head_is_get_without_the_body() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.post("/api/v2/spans", &one("1", "1", "a"));
    let mut client = server.connect();
    assert_eq!(client.send("HEAD", "/api/v2/trace/1", &[], b"").status, 200);
    assert_eq!(client.send("HEAD", "/api/v2/trace/2", &[], b"").status, 404);
    assert_eq!(client.send("GET", "/api/v2/trace/1", &[], b"").status, 200);
}

#[test]
fn a_large_trace_is_streamed_whole() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    const SPANS: usize = 30_000;
    for batch in 0..3 {
        let spans: Vec<_> = (batch * SPANS / 3..(batch + 1) * SPANS / 3)
            .map(|n| json!({ "traceId": "1", "id": format!("{:x}", n + 1), "name": "work", "timestamp": n + 1 }))
            .collect();
        let body = serde_json::to_vec(&spans).unwrap();
        assert_eq!(client.send("POST", "/api/v2/spans", &[], &body).status, 202);
    }
    let answer = client.send("GET", "/api/v2/trace/1", &[], b"");
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
    let ids: Vec<String> =
        answer.json().as_array().unwrap().iter().map(|span| span["id"].as_str().unwrap().to_owned()).collect();
    let expected: Vec<String> = (1..=SPANS).map(|n| format!("{n:016x}")).collect();
    assert_eq!(ids, expected);

    let ats = client.send("GET", "/v1/0/ats/spans?traceId=1", &[], b"");
    assert_eq!(ats.header("transfer-encoding"), Some("chunked"));
    assert_eq!(ats.json()["responseInfo"].as_array().unwrap().len(), SPANS);
    // The connection goes on.
    assert_eq!(client.send("GET", "/health", &[], b"").status, 200);
}

#[test]
fn isolated_projects_see_their_own_spans_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let mut client = server.connect();
    client.send("POST", "/api/v2/spans", &[("x-scope-orgid", "a")], &one("1", "1", "mine"));
    let mut status = |headers: &[(&str, &str)], path: &str| client.send("GET", path, headers, b"").status;
    assert_eq!(status(&[("x-scope-orgid", "a")], "/api/v2/trace/1"), 200);
    assert_eq!(status(&[("x-scope-orgid", "b")], "/api/v2/trace/1"), 404);
    assert_eq!(status(&[], "/api/v2/trace/1"), 404);
    assert_eq!(status(&[("x-scope-orgid", "not an id")], "/api/v2/trace/1"), 400);
    let found = server.get("/v1/a/ats/spans?traceId=1").json();
    assert_eq!(found["errorCode"], "SVCSTG.ATS.2000");
    assert_eq!(server.get("/v1/b/ats/spans?traceId=1").json()["errorCode"], "SVCSTG.ATS.200103");
}

#[test]
fn one_project_takes_every_id_as_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.connect().send("POST", "/api/v2/spans", &[("x-scope-orgid", "a")], &one("1", "1", "mine"));
    assert_eq!(server.get("/api/v2/trace/1").status, 200);
    assert_eq!(server.get("/v1/anything/ats/spans?traceId=1").json()["errorCode"], "SVCSTG.ATS.2000");
}

/// Reads go on, so the server must stay in service.
#[test]
fn a_server_that_cannot_write_its_table_is_degraded_and_not_down() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.post("/api/v2/spans", br#"[{"traceId":"1","id":"1"}]"#).status, 202);
    let table = dir.path().join("tables/spans");
    let aside = dir.path().join("tables/aside");
    std::fs::rename(&table, &aside).unwrap();
    std::fs::write(&table, b"no folder").unwrap();
    assert_ne!(server.post("/admin/flush", b"").status, 200);
    let health = server.get("/health");
    let component = &health.json()["zipkin"]["details"]["spanlake"];
    assert_eq!((health.status, &health.json()["status"]), (200, &"UP".into()));
    assert_eq!(component["status"], "DEGRADED", "{}", health.text());
    assert!(component["details"]["flush_error"].is_string(), "{}", health.text());

    std::fs::remove_file(&table).unwrap();
    std::fs::rename(&aside, &table).unwrap();
    assert_eq!(server.post("/admin/flush", b"").status, 200);
    assert_eq!(server.get("/health").json()["zipkin"]["details"]["spanlake"]["status"], "UP");
}

#[test]
fn health_and_flush_answer_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let health = server.get("/health");
    assert_eq!(health.status, 200);
    assert_eq!(health.json()["status"], "UP");
    assert_eq!(health.json()["zipkin"]["details"]["spanlake"]["status"], "UP");

    server.post("/api/v2/spans", &one("1", "1", "a"));
    let flushed = server.post("/admin/flush", b"");
    assert_eq!((flushed.status, &flushed.json()["spans"]), (200, &json!(1)));
    assert_eq!(server.get("/api/v2/trace/1").status, 200);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_the_rest_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.post("/api/v2/spans", &one("1", "1", "lost"));
    assert_eq!(server.post("/admin/flush", b"").status, 200);
    // The one data file so far: its pages are overwritten, its footer is left.
    let day = std::fs::read_dir(dir.path().join("tables/spans")).unwrap().map(|entry| entry.unwrap().path());
    let day = day.into_iter().find(|path| path.to_string_lossy().contains("day=")).unwrap();
    let file = std::fs::read_dir(day).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|ending| ending == "parquet")).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let pages = bytes.len() / 4;
    bytes[4..pages].fill(0xff);
    std::fs::write(&file, bytes).unwrap();

    server.post("/api/v2/spans", &one("1", "2", "kept"));
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let answer = server.get("/api/v2/trace/1");
    assert_eq!((answer.status, answer.json().as_array().unwrap().len()), (200, 1), "{}", answer.text());
    assert!(answer.header("spanlake-incomplete").unwrap().contains(&name), "{answer:?}");
    let ats = server.get("/v1/0/ats/spans?traceId=1");
    assert!(ats.header("spanlake-incomplete").unwrap().contains(&name), "{ats:?}");
    // What is whole is answered without a word.
    server.post("/api/v2/spans", &one("2", "1", "whole"));
    assert_eq!(server.get("/api/v2/trace/2").header("spanlake-incomplete"), None);
}
