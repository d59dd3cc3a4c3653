//! Bounds: sizes, times, connections, and the memory of requests together.

use crate::support::server::{Client, Server};
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::Write;

const SPAN: &[u8] = br#"[{"traceId":"1","id":"1","name":"good"}]"#;

/// A request's head that promises a body and asks whether to send it.
fn head(length: usize) -> String {
    format!("POST /api/v2/spans HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n")
}

#[test]
fn a_body_over_the_limit_is_refused_with_the_setting_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-body-bytes", "1KiB"]);
    let mut client = server.connect();
    let text = "the body is larger than 1KiB\n\
                ingest.max_body_bytes: send less in a request, or raise it with --ingest-max-body-bytes\n";
    let answer = client.send("POST", "/api/v2/spans", &[], &[b' '; 1025]);
    assert_eq!((answer.status, answer.text()), (413, text));
    // In chunks the length is not known before.
    client.write(b"POST /api/v2/spans HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..100 {
        client.write(format!("64\r\n{}\r\n", " ".repeat(100)).as_bytes()).unwrap();
    }
    client.write(b"0\r\n\r\n").unwrap();
    let answer = client.read_answer(false).unwrap();
    assert_eq!((answer.status, answer.text()), (413, text));
    // Exactly the limit passes.
    let mut body = SPAN.to_vec();
    body.resize(1024, b' ');
    assert_eq!(client.send("POST", "/api/v2/spans", &[], &body).status, 202);
}

#[test]
fn a_client_that_asks_first_is_told_before_it_sends() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    client.write(head(1 << 30).as_bytes()).unwrap();
    assert_eq!(client.read_answer(false).unwrap().status, 413);
}

/// Nobody has to send megabytes to learn that the path was wrong.
#[test]
fn a_refusal_that_needs_no_body_does_not_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let body = vec![b' '; 20 << 20];
    for (request, status) in [
        ("POST /none HTTP/1.1", 404),
        ("PUT /api/v2/spans HTTP/1.1", 405),
        ("POST /api/v2/spans HTTP/1.1\r\ncontent-encoding: br", 415),
        ("POST /api/v2/spans HTTP/1.1", 413),
    ] {
        client.write(format!("{request}\r\nhost: test\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes()).unwrap();
        assert_eq!(client.read_answer(false).unwrap().status, status);
        // One that sends it all the same can go on.
        client.write(&body).unwrap();
    }
    assert_eq!(client.send("POST", "/api/v2/spans", &[], SPAN).status, 202);
}

#[test]
fn a_gzip_bomb_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..256 {
        bomb.write_all(&[b' '; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 4 << 20);
    let mut client = server.connect();
    let answer = client.send("POST", "/api/v2/spans", &[("content-encoding", "gzip")], &bomb);
    assert_eq!((answer.status, answer.first_line()), (413, "the body is larger than 64MiB"));
    assert!(answer.text().contains("ingest.max_decompressed_bytes"));
    assert_eq!(client.send("POST", "/api/v2/spans", &[], SPAN).status, 202);
}

#[test]
fn more_spans_than_a_request_may_hold_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-spans", "2"]);
    let span = r#"{"traceId":"1","id":"1"}"#;
    let mut client = server.connect();
    let refused = client.send("POST", "/api/v2/spans", &[], format!("[{span},{span},{span}]").as_bytes());
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert_eq!(client.send("GET", "/api/v2/trace/1", &[], b"").status, 404);
    assert_eq!(client.send("POST", "/api/v2/spans", &[], format!("[{span},{span}]").as_bytes()).status, 202);
}

#[test]
fn more_annotations_and_tags_than_a_span_or_a_request_may_hold_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-entries", "3", "--ingest-max-span-entries", "2"]);
    let v1 = |tags: usize| {
        let tags = vec![r#"{"key":"k","value":""}"#; tags].join(",");
        format!(r#"{{"traceId":"1","id":"1","binaryAnnotations":[{tags}]}}"#)
    };
    let v2 = |annotations: usize| {
        let annotations = vec![r#"{"timestamp":1,"value":""}"#; annotations].join(",");
        format!(r#"{{"traceId":"1","id":"1","annotations":[{annotations}]}}"#)
    };
    let mut client = server.connect();
    let mut post = |path: &str, body: String| client.send("POST", path, &[], body.as_bytes());
    for (path, span) in [("/api/v1/spans", &v1 as &dyn Fn(usize) -> String), ("/api/v2/spans", &v2)] {
        let refused = post(path, format!("[{}]", span(3)));
        assert_eq!(refused.status, 413, "{}", refused.text());
        assert!(refused.text().starts_with("more than 2 annotations and tags in a span "), "{}", refused.text());
        assert!(refused.text().contains("ingest.max_span_entries"), "{}", refused.text());
        let refused = post(path, format!("[{},{}]", span(2), span(2)));
        assert_eq!(refused.status, 413, "{}", refused.text());
        assert!(refused.text().starts_with("more than 3 annotations and tags "), "{}", refused.text());
        assert!(refused.text().contains("ingest.max_entries"), "{}", refused.text());
        assert_eq!(post(path, format!("[{},{}]", span(2), span(1))).status, 202);
    }
}

/// A span of 25 bytes takes twenty times that once it is decoded: how many are decoded at a time is bounded, too.
#[test]
fn many_large_posts_at_a_time_stay_within_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let spans = vec![r#"{"traceId":"a","id":"b"}"#; 99_999].join(",");
    let mut body = GzEncoder::new(Vec::new(), Compression::fast());
    body.write_all(format!("[{spans}]").as_bytes()).unwrap();
    let body = body.finish().unwrap();
    let before = server.peak_memory();
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                let answer = server.connect().send("POST", "/api/v2/spans", &[("content-encoding", "gzip")], &body);
                assert!([202, 503].contains(&answer.status), "{}", answer.text());
            });
        }
    });
    let grown = server.peak_memory() - before;
    assert!(grown < 500 << 20, "{} MiB", grown >> 20);
}

#[test]
fn requests_that_together_hold_too_much_are_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-inflight-bytes", "1KiB"]);
    let (mut first, mut second) = (server.connect(), server.connect());
    let refused = loop {
        first.write(head(SPAN.len() + 1000).as_bytes()).unwrap();
        assert_eq!(first.read_answer(true).unwrap().status, 100);
        first.write(&[b' '; 1000]).unwrap();
        // When those bytes have arrived there is no room for a second body. If one was there before them, it is they
        // that are refused: from the beginning, then.
        let mut answers = (0..20).map(|_| second.send("POST", "/api/v2/spans", &[], SPAN));
        if let Some(refused) = answers.find(|answer| answer.status != 202) {
            break refused;
        }
        first.write(SPAN).unwrap();
        first.read_answer(false).unwrap();
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert!(refused.text().starts_with("overloaded\ningest.max_inflight_bytes: "), "{}", refused.text());
    // Reads go on meanwhile.
    assert_eq!(second.send("GET", "/health", &[], b"").status, 200);

    // The first is complete though it passes the bound: nobody else is there.
    first.write(SPAN).unwrap();
    assert_eq!(first.read_answer(false).unwrap().status, 202);
    assert_eq!(second.send("POST", "/api/v2/spans", &[], SPAN).status, 202);
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-body-timeout", "50ms"]);
    let mut client = server.connect();
    client.write(b"POST /api/v2/spans HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\n[").unwrap();
    let answer = client.read_answer(false).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    assert_eq!(client.read_to_close().unwrap(), b"");
}

#[test]
fn connections_that_do_not_ask_anything_are_closed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-header-timeout", "100ms"]);
    // Silent; the beginning of HTTP/2; a head that does not end; idle after a request.
    for beginning in [&b""[..], b"PRI * HT", b"GET /health HTTP/1.1\r\nhost: te"] {
        let mut client = server.connect();
        client.write(beginning).unwrap();
        let rest = client.read_to_close().unwrap();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    let mut idle = server.connect();
    assert_eq!(idle.send("GET", "/health", &[], b"").status, 200);
    assert_eq!(idle.read_to_close().unwrap(), b"");
}

/// Asks for more than the sockets' buffers hold and reads nothing.
#[test]
fn a_client_that_reads_no_answers_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-body-timeout", "100ms", "--server-max-connections", "1"]);
    let mut client = server.connect();
    let requests = b"GET /openapi.yaml HTTP/1.1\r\nhost: test\r\n\r\n".repeat(1000);
    let refused = loop {
        if let Err(e) = client.write(&requests) {
            break e;
        }
    };
    // Not that this side's patience has come to its end.
    let closed = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
    assert!(closed.contains(&refused.kind()), "{refused}");
    // Its place is free again.
    while server.get("/health").status != 200 {}
}

/// It answers pings, so it seems to live.
#[test]
fn an_http2_client_that_asks_nothing_more_is_told_to_go() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-header-timeout", "100ms", "--server-max-connections", "1"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let url = format!("http://{}/health", server.address);
        let request = hyper::Request::get(url).body(Empty::<bytes::Bytes>::new()).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        // In order, though the sender is still there.
        connection.await.unwrap().unwrap();
        assert!(sender.is_closed());
    });
    while server.get("/health").status != 200 {}
}

#[test]
fn one_connection_too_many_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-max-connections", "1"]);
    let mut first = server.connect();
    assert_eq!(first.send("GET", "/health", &[], b"").status, 200);
    let refused = server.get("/health");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(refused.first_line(), "too many connections");
    // The first is served on.
    assert_eq!(first.send("GET", "/health", &[], b"").status, 200);
}

#[test]
fn many_connections_at_a_time_are_served() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.send("POST", "/api/v2/spans", &[], SPAN).status, 202);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    client.write(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\nGET /none HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    assert_eq!(client.read_answer(false).unwrap().status, 200);
    assert_eq!(client.read_answer(false).unwrap().status, 404);
}

#[test]
fn http2_without_tls_shares_the_port() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, body) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let url = format!("http://{}/health", server.address);
        let request = hyper::Request::get(url).body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    });
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&body).contains("\"UP\""));
}
