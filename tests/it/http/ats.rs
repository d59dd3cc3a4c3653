//! The ATS API: its own example, its codes, its headers.

use crate::support::server::{Answer, Server};
use serde_json::{Value, json};

/// The span of the API's published example, as it is posted.
const EXAMPLE: &str = r#"{"traceId":"0000000027046b00","id":"b42460f5cf86cab4","name":"aos-apiserver:aos-apiserver-1005774711-ll63p:/api/v1/namespaces/manage/pods","timestamp":1506260836597000,"duration":67000,"annotations":[{"timestamp":1506260836597000,"value":"cs","endpoint":{"serviceName":"aos-apiserver","ipv4":"10.186.60.43","port":6443}},{"timestamp":1506260836664000,"value":"cr","endpoint":{"serviceName":"aos-apiserver","ipv4":"10.186.60.43","port":6443}}],"binaryAnnotations":[{"key":"append","value":"GET"},{"key":"async","value":"0"},{"key":"goid","value":"58"},{"key":"result","value":"0"},{"key":"resultCode","value":"200"},{"key":"seqno","value":"1506260836597048618"},{"key":"type","value":"1"}]}"#;
const ASKED: &str = "/v1/0/ats/spans?traceId=0000000027046b00";

fn one(trace_id: &str, id: &str) -> Vec<u8> {
    json!([{ "traceId": trace_id, "id": id, "name": "a" }]).to_string().into_bytes()
}

fn count(answer: &Answer) -> usize {
    answer.json()["responseInfo"].as_array().map_or(0, Vec::len)
}

#[test]
fn the_published_example_comes_back_equal_at_once_after_a_flush_and_after_a_kill() {
    let expected = json!({ "errorCode": "SVCSTG.ATS.2000", "errorMessage": null, "responseInfo": [EXAMPLE] });
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.post("/v1/0/ats/spans", format!("[{EXAMPLE}]").as_bytes()).status, 202);
    assert_eq!(server.get(ASKED).json(), expected);
    // The order of keys is the product's, too.
    assert!(
        server.get(ASKED).text().starts_with(r#"{"errorCode":"SVCSTG.ATS.2000","errorMessage":null,"responseInfo":["#)
    );
    assert_eq!(server.post("/admin/flush", b"").status, 200);
    assert_eq!(server.get(ASKED).json(), expected);
    server.kill();
    assert_eq!(Server::start(dir.path()).get(ASKED).json(), expected);
}

#[test]
fn the_same_span_posted_to_zipkins_v1_path_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.post("/api/v1/spans", format!("[{EXAMPLE}]").as_bytes()).status, 202);
    assert_eq!(server.get(ASKED).json()["responseInfo"], json!([EXAMPLE]));
}

#[test]
fn an_id_of_any_width_finds_what_has_its_right_half() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    server.post("/v1/0/ats/spans", &one("ab", "1"));
    server.post("/v1/0/ats/spans", &one("000000000000000100000000000000ab", "2"));
    for asked in ["ab", "AB", "00000000000000ab", "000000000000000100000000000000ab", "200000000000000ab"] {
        assert_eq!(count(&server.get(&format!("/v1/0/ats/spans?traceId={asked}"))), 2, "{asked}");
    }
}

#[test]
fn the_headers_narrow_and_what_was_stored_without_them_matches_every_value() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for (id, headers) in [
        ("1", &[][..]),
        ("2", &[("clusterId", "default"), ("namespace", "manage")][..]),
        ("3", &[("clusterId", "other"), ("namespace", "manage")][..]),
        ("4", &[("clusterid", " "), ("namespace", "")][..]),
    ] {
        assert_eq!(client.send("POST", "/v1/0/ats/spans", headers, &one("1", id)).status, 202);
    }
    let mut found = |headers: &[(&str, &str)]| count(&client.send("GET", "/v1/0/ats/spans?traceId=1", headers, b""));
    assert_eq!(found(&[]), 4);
    assert_eq!(found(&[("clusterId", "default")]), 3);
    assert_eq!(found(&[("CLUSTERID", "other")]), 3);
    assert_eq!(found(&[("namespace", "manage")]), 4);
    assert_eq!(found(&[("namespace", "nobody")]), 2);
    assert_eq!(found(&[("clusterId", "default"), ("namespace", "nobody")]), 2);
}

#[test]
fn a_miss_is_a_200_unless_the_setting_says_400() {
    let miss = json!({ "errorCode": "SVCSTG.ATS.200103", "errorMessage": "query trace result is empty.", "responseInfo": null });
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let answer = server.get(ASKED);
    assert_eq!((answer.status, answer.json()), (200, miss.clone()));
    server.stop();
    let server = Server::start_with(dir.path(), &["--ats-miss-is-error"]);
    let answer = server.get(ASKED);
    assert_eq!((answer.status, answer.json()), (400, miss));
}

#[test]
fn parameters_that_are_wrong_are_a_400_in_the_products_form() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let long = "x".repeat(65);
    for (path, text) in [
        ("/v1/0/ats/spans".to_owned(), "traceId in url is missing."),
        ("/v1/0/ats/spans?traceId=".to_owned(), "traceId in url is blank."),
        ("/v1/0/ats/spans?traceId=%20".to_owned(), "traceId in url is blank."),
        ("/v1/0/ats/spans?traceId=xyz".to_owned(), "traceId in url is invalid."),
        ("/v1/0/ats/spans?traceId=%ff".to_owned(), "traceId in url is invalid."),
        ("/v1/0/ats/spans?traceId=1&traceId=2".to_owned(), "traceId in url is given more than once."),
        ("/v1/a%20b/ats/spans?traceId=1".to_owned(), "projectId in url is invalid."),
        ("/v1/%ff/ats/spans?traceId=1".to_owned(), "projectId in url is invalid."),
        (format!("/v1/{long}/ats/spans?traceId=1"), "projectId in url is invalid."),
    ] {
        let answer = client.send("GET", &path, &[], b"");
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let body = answer.json();
        assert_eq!((&body["errorCode"], &body["responseInfo"]), (&json!("SVCSTG.ATS.400101"), &Value::Null), "{path}");
        assert_eq!(body["errorMessage"].as_str().unwrap().lines().next(), Some(text), "{path}");
    }
}

#[test]
fn a_body_that_is_wrong_is_refused_in_the_products_form() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-body-bytes", "1KiB"]);
    let mut client = server.connect();
    for (headers, body, status, code) in [
        (&[][..], &b"{}"[..], 400, "SVCSTG.ATS.400101"),
        (&[], br#"[{"traceId":"1","id":"1","localEndpoint":{}}]"#, 400, "SVCSTG.ATS.400101"),
        (&[("content-encoding", "br")], b"[]", 415, "SVCSTG.ATS.415101"),
        // This API has JSON alone.
        (&[("content-type", "application/x-thrift")], b"[]", 415, "SVCSTG.ATS.415101"),
        (&[("clusterId", "\u{80}\u{80}")], b"[]", 202, ""),
        (&[], &[b' '; 2000], 413, "SVCSTG.ATS.413101"),
    ] {
        let answer = client.send("POST", "/v1/0/ats/spans", headers, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        if status != 202 {
            assert_eq!(answer.json()["errorCode"], code);
        }
    }
}
