//! Which pages may use the API from a browser.

use crate::support::server::{Answer, Server};

const GOOD: &str = "http://foo.example.com";
const BAD: &str = "http://bar.example.com";

/// What browsers ask before they post JSON.
fn preflight(server: &Server, method: &str, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "content-type"),
    ];
    server.connect().send("OPTIONS", path, &headers, b"")
}

/// The headers by which a browser decides: origin, methods, request headers, vary, credentials.
fn decisive(answer: &Answer) -> [Option<&str>; 5] {
    [
        answer.header("access-control-allow-origin"),
        answer.header("access-control-allow-methods"),
        answer.header("access-control-allow-headers"),
        answer.header("vary"),
        answer.header("access-control-allow-credentials"),
    ]
}

const HEADERS: Option<&str> = Some("content-type,x-grpc-web");

#[test]
fn by_default_every_page_may_read_and_post() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for path in ["/api/v2/services", "/zipkin/api/v2/services", "/health", "/api/v2/trace/1", "/no/such/path"] {
        let answer = client.send("GET", path, &[("origin", GOOD)], b"");
        assert_eq!(decisive(&answer), [Some("*"), None, HEADERS, None, None], "{path}");
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("spanlake-incomplete"), "{exposed}");
    }
    let posted = client.send("POST", "/api/v2/spans", &[("origin", GOOD)], b"[]");
    assert_eq!((posted.status, posted.header("access-control-allow-origin")), (202, Some("*")));
    for (method, path) in [("GET", "/api/v2/traces"), ("POST", "/api/v2/spans"), ("POST", "/api/v1/spans")] {
        let answer = preflight(&server, method, path, GOOD);
        assert_eq!((answer.status, answer.text()), (200, ""));
        assert_eq!(decisive(&answer), [Some("*"), Some("GET,POST"), HEADERS, None, None], "{path}");
    }
}

#[test]
fn configured_pages_may_and_others_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let allowed = format!("http://other.example.com,{GOOD}");
    let server = Server::start_with(dir.path(), &["--server-allowed-origins", &allowed]);
    let mut client = server.connect();
    let nobodys = [None, None, None, Some("origin"), None];
    assert_eq!(decisive(&server.get("/api/v2/services")), nobodys);
    for (method, path, body) in [("GET", "/api/v2/services", &b""[..]), ("POST", "/api/v2/spans", b"[]")] {
        let good = client.send(method, path, &[("origin", GOOD)], body);
        assert_eq!(decisive(&good), [Some(GOOD), None, HEADERS, Some("origin"), None], "{path}");
        // Answered like anybody: it is the browser that keeps it from the page. Caches are told that it is not everybody's.
        let bad = client.send(method, path, &[("origin", BAD)], body);
        assert_eq!((bad.status, decisive(&bad)), (good.status, nobodys), "{path}");

        let good = preflight(&server, method, path, GOOD);
        assert_eq!(decisive(&good), [Some(GOOD), Some("GET,POST"), HEADERS, Some("origin"), None], "{path}");
        let bad = preflight(&server, method, path, BAD);
        assert_eq!((bad.status, decisive(&bad)), (200, nobodys), "{path}");
    }
}

#[test]
fn who_is_no_browser_sees_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(decisive(&server.get("/api/v2/services")), [None; 5]);
    // No preflight without its headers.
    let answer = server.connect().send("OPTIONS", "/api/v2/services", &[("origin", GOOD)], b"");
    assert_eq!(answer.status, 405);
}
