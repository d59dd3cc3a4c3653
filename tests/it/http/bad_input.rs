//! What bad input gets: a clear error, nothing stored, and a connection that goes on.

use crate::support::server::{Client, Server};

/// A v2 span of trace 1 that would be stored if the list were taken.
const GOOD: &str = r#"{"traceId":"1","id":"1","name":"good"}"#;

/// A server, and a connection to it that every refusal must leave usable.
struct Refusals {
    server: Server,
    client: Client,
    _dir: tempfile::TempDir,
}

impl Refusals {
    fn new() -> Refusals {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path());
        let client = server.connect();
        Refusals { server, client, _dir: dir }
    }

    /// Posts; the answer must have the status, begin with the peer's text and go on with more.
    fn refuse(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8], status: u16, peer: &str) {
        let answer = self.client.send("POST", path, headers, body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        assert_eq!((answer.status, answer.first_line()), (status, peer), "{shown}: {}", answer.text());
        assert!(answer.text().lines().count() >= 2, "no place and remedy: {}", answer.text());
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"));
        assert_eq!(answer.header("connection"), None);
    }

    /// Nothing of all that was stored, and a good list still is.
    fn end(mut self) {
        assert_eq!(self.client.send("GET", "/api/v2/trace/1", &[], b"").status, 404);
        assert_eq!(self.client.send("POST", "/api/v2/spans", &[], format!("[{GOOD}]").as_bytes()).status, 202);
        assert_eq!(self.client.send("GET", "/api/v2/trace/1", &[], b"").status, 200);
        assert!(!self.server.log().contains("panic"), "{}", self.server.log());
    }
}

#[test]
fn a_bad_v2_list_is_refused_whole() {
    let mut refusals = Refusals::new();
    let malformed = "Malformed reading List<Span> from json";
    for (bad, peer) in [
        (r#"{"id":"2"}"#, "Missing : traceId reading List<Span> from json"),
        (r#"{"traceId":"1"}"#, "Missing : id reading List<Span> from json"),
        (r#"{"traceId":"","id":"2"}"#, "traceId is empty reading List<Span> from json"),
        (r#"{"traceId":"0","id":"2"}"#, "traceId is all zeros reading List<Span> from json"),
        (r#"{"traceId":"1","id":"12345678123456789"}"#, "id.length > 16 reading List<Span> from json"),
        (
            r#"{"traceId":"1","id":"xyz"}"#,
            "xyz should be lower-hex encoded with no prefix reading List<Span> from json",
        ),
        (
            r#"{"traceId":"1","id":"2","kind":"INTERNAL"}"#,
            "No enum constant zipkin2.Span.Kind.INTERNAL reading List<Span> from json",
        ),
        (r#"{"traceId":"1","id":"2","tags":{"a":null}}"#, "No value at $[1].tags.a reading List<Span> from json"),
        (
            r#"{"traceId":"1","id":"2","annotations":[{"timestamp":1}]}"#,
            "Incomplete annotation at $[1].annotations[0].timestamp reading List<Span> from json",
        ),
        (
            r#"{"traceId":"1","id":"2","localEndpoint":{"port":70000}}"#,
            "invalid port 70000 reading List<Span> from json",
        ),
        (r#"{"traceId":"1","id":"2","#, malformed),
        (r#"{"traceId":"1","id":"2"}, x"#, malformed),
        ("3", malformed),
    ] {
        let body = format!("[{GOOD},{bad}]");
        let answer = refusals.client.send("POST", "/api/v2/spans", &[], body.as_bytes());
        assert_eq!(answer.status, 400, "{bad}");
        // The words themselves are the codec's to keep; here, that they come first and the rest after them.
        assert!(answer.text().lines().count() >= 2, "{bad}: {}", answer.text());
        assert_eq!(answer.first_line(), peer, "{bad}: {}", answer.text());
    }
    refusals.end();
}

#[test]
fn what_is_no_list_or_of_the_other_version_is_refused_by_its_name() {
    let mut refusals = Refusals::new();
    let v1 = br#"[{"traceId":"1","id":"1","binaryAnnotations":[{"key":"a","value":"b"}]}]"#;
    let v2 = br#"[{"traceId":"1","id":"1","localEndpoint":{"serviceName":"a"}}]"#;
    for (path, expected) in [("/api/v2/spans", "JSON_V2"), ("/api/v1/spans", "JSON_V1")] {
        for body in ["{}", "x", "\"[]\"", "\u{feff}[]"] {
            let peer = format!("Expected a {expected} encoded list");
            refusals.refuse(path, &[], body.as_bytes(), 400, &peer);
        }
    }
    refusals.refuse("/api/v2/spans", &[], v1, 400, "Expected a JSON_V2 encoded list, but received: JSON_V1");
    refusals.refuse("/api/v1/spans", &[], v2, 400, "Expected a JSON_V1 encoded list, but received: JSON_V2");
    refusals.end();
}

#[test]
fn invalid_utf8_is_refused() {
    let mut refusals = Refusals::new();
    let body = b"[{\"traceId\":\"1\",\"id\":\"1\",\"name\":\"\xff\xfe\"}]";
    refusals.refuse("/api/v2/spans", &[], body, 400, "Malformed reading List<Span> from json");
    refusals.refuse("/api/v1/spans", &[], body, 400, "Malformed reading List<Span> from json");
    refusals.end();
}

#[test]
fn deep_nesting_is_refused_without_harm() {
    let mut refusals = Refusals::new();
    for depth in [40, 10_000, 1_000_000] {
        let body = format!(r#"[{{"traceId":"1","id":"1","x":{}{}}}]"#, "[".repeat(depth), "]".repeat(depth));
        for path in ["/api/v2/spans", "/api/v1/spans"] {
            let answer = refusals.client.send("POST", path, &[], body.as_bytes());
            assert_eq!(answer.status, 400, "{depth}: {}", answer.text());
        }
        // Never closed at all.
        let body = "[".repeat(depth);
        assert_eq!(refusals.client.send("POST", "/api/v2/spans", &[], body.as_bytes()).status, 400);
    }
    refusals.end();
}

#[test]
fn times_of_the_year_9999_are_refused() {
    let mut refusals = Refusals::new();
    for path in ["/api/v2/spans", "/api/v1/spans"] {
        for time in ["253402300799999999", "9223372036854775807"] {
            let body = format!(r#"[{{"traceId":"1","id":"1","timestamp":{time}}}]"#);
            let answer = refusals.client.send("POST", path, &[], body.as_bytes());
            assert_eq!(answer.status, 400, "{path} {time}: {}", answer.text());
        }
    }
    refusals.end();
}

#[test]
fn bodies_that_are_not_what_their_headers_say_are_refused() {
    let mut refusals = Refusals::new();
    let path = "/api/v2/spans";
    let list = format!("[{GOOD}]").into_bytes();
    refusals.refuse(path, &[("content-encoding", "gzip")], &list, 400, "Cannot gunzip spans");
    refusals.refuse(path, &[("content-encoding", "deflate")], &list, 400, "Cannot inflate spans");
    refusals.refuse(path, &[("content-encoding", "br")], &list, 415, "unsupported content encoding: br");
    refusals.refuse(path, &[("content-type", "application/x-protobuf")], &list, 400, "Expected a PROTO3 encoded list");
    refusals.end();
}

#[test]
fn a_refusal_that_needs_no_body_reads_it_all_the_same() {
    // More than a socket's buffers hold: the client could not read the answer before it has sent everything.
    let mut refusals = Refusals::new();
    let body = vec![b' '; 8 << 20];
    refusals.refuse("/api/v2/spans", &[("content-encoding", "br")], &body, 415, "unsupported content encoding: br");
    let missing = refusals.client.send("POST", "/nowhere", &[], &body);
    assert_eq!((missing.status, missing.header("connection")), (404, None));
    let wrong = refusals.client.send("DELETE", "/api/v2/spans", &[], &body);
    assert_eq!((wrong.status, wrong.header("connection")), (405, None));
    refusals.end();
}

#[test]
fn a_long_url_is_refused_or_not_found_but_does_no_harm() {
    let mut refusals = Refusals::new();
    let id = "a".repeat(20_000);
    let answer = refusals.client.send("GET", &format!("/api/v2/trace/{id}"), &[], b"");
    assert_eq!((answer.status, answer.first_line()), (400, "traceId.length > 32"));
    let longer = refusals.server.get(&format!("/api/v2/trace/{}", "a".repeat(100_000)));
    assert_eq!(longer.status, 414);
    refusals.end();
}

#[test]
fn what_is_no_http_ends_its_own_connection_only() {
    let refusals = Refusals::new();
    let mut garbage = refusals.server.connect();
    garbage.write(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").unwrap();
    let answer = garbage.read_to_close().unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    refusals.end();
}
