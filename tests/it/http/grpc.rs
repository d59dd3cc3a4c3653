//! Spans over gRPC.

use crate::support::grpc::{Client, NOTHING, framed as message, full, gzip};
use crate::support::server::Server;
use crate::support::zipkin;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

const METHOD: &str = "/zipkin.proto3.SpanService/Report";
const V2: &[u8] =
    br#"[{"traceId":"000000000000000a","id":"0000000000000002","name":"get","timestamp":1506260836597000}]"#;

fn spans() -> Vec<u8> {
    zipkin::proto3(&zipkin::read(V2))
}

#[test]
fn a_reported_span_is_there_at_once_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    Client::connect(&server, METHOD).call(message(0, &spans())).expect_ok();
    assert_eq!(server.get("/api/v2/trace/a").text().as_bytes(), V2);
    server.kill();
    let server = Server::start(dir.path());
    assert_eq!(server.get("/api/v2/trace/a").text().as_bytes(), V2);
}

#[test]
fn messages_may_be_empty_compressed_or_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = Client::connect(&server, METHOD);
    client.call(NOTHING.to_vec()).expect_ok();
    assert_eq!(server.get("/api/v2/trace/a").status, 404);
    client.call_with(&[("grpc-encoding", "gzip")], full(message(1, &gzip(&spans())))).expect_ok();
    assert_eq!(server.get("/api/v2/trace/a").text().as_bytes(), V2);
    for (encoding, body) in [
        // The header says what may be compressed, the flag what is.
        ("gzip", message(0, &spans())),
        ("identity", message(1, &spans())),
        ("snappy", message(0, &spans())),
        ("gzip", message(1, b"")),
    ] {
        client.call_with(&[("grpc-encoding", encoding)], full(body)).expect_ok();
    }
    client.call_with(&[("content-type", "application/grpc+proto")], full(message(0, &spans()))).expect_ok();
    let pieces: Vec<_> =
        message(0, &spans()).chunks(3).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    client.call_with(&[], BodyExt::boxed(StreamBody::new(stream::iter(pieces)))).expect_ok();
}

#[test]
fn what_is_wrong_with_a_call_is_told_by_code_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-body-bytes", "1KiB", "--ingest-max-spans", "1"]);
    let mut client = Client::connect(&server, METHOD);
    let two = message(0, &spans().repeat(2));
    let table: [(&str, Vec<u8>, &str, &str); 13] = [
        (
            "identity",
            message(0, b"\x0a\x42\x0a\x01a"),
            "3",
            "Truncated: length 66 > bytes available 3 reading List<Span> from proto3",
        ),
        ("identity", message(0, b"\x0a\x03\x2a\x01\xff"), "3", "Malformed reading List<Span> from proto3"),
        // As with the peer nothing is guessed: this is a field of a number that is too great.
        ("identity", message(0, V2), "3", "Malformed reading List<Span> from proto3"),
        ("identity", message(2, &spans()), "3", "2 is no flag of a message"),
        ("identity", message(0, &spans())[..9].to_vec(), "3", "the message breaks off"),
        ("gzip", message(1, b"no gzip"), "3", "Cannot gunzip spans"),
        ("snappy", message(1, &spans()), "12", "unsupported message encoding: snappy"),
        ("identity", Vec::new(), "12", "no message"),
        ("identity", vec![0; 4], "12", "no message"),
        ("identity", vec![0; 10], "12", "more than one message"),
        ("identity", message(0, &[0; 1020]), "8", "the body is larger than 1KiB"),
        ("gzip", message(1, &gzip(&[0; 20])), "3", "Malformed reading List<Span> from proto3"),
        ("identity", two, "8", "more than 1 spans reading List<Span> from proto3"),
    ];
    for (encoding, body, code, peer) in table {
        let answer = client.call_with(&[("grpc-encoding", encoding)], full(body));
        let (found, message) = answer.refusal();
        assert_eq!((found, message.lines().next().unwrap()), (code, peer), "{message}");
        assert_eq!(message.lines().count(), 2, "no place and remedy: {message}");
        assert_eq!(answer.headers["grpc-accept-encoding"], "identity,gzip");
    }
    assert_eq!(server.get("/api/v2/trace/a").status, 404);
    // The connection goes on.
    client.call(message(0, &spans())).expect_ok();
}

#[test]
fn a_place_and_a_remedy_follow_the_peers_text() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let bad = [spans(), vec![10, 3, 0x1a, 1, 1]].concat();
    let byte = bad.len();
    assert_eq!(
        Client::connect(&server, METHOD).call(message(0, &bad)).refusal(),
        (
            "3",
            format!("Missing : traceId reading List<Span> from proto3\n$[1], byte {byte}: every span needs both ids")
        )
    );
}

#[test]
fn an_overloaded_server_is_unavailable() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-inflight-bytes", "1KiB"]);
    let mut client = Client::connect(&server, METHOD);
    let mut first = server.connect();
    let head = "POST /api/v2/spans HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 1002\r\n\r\n";
    let refused = loop {
        first.write(head.as_bytes()).unwrap();
        assert_eq!(first.read_answer(true).unwrap().status, 100);
        first.write(&[b' '; 1000]).unwrap();
        // Those bytes may not have arrived yet, or find one of these calls there and be refused themselves.
        let mut calls = (0..20).map(|_| client.call(message(0, &spans())));
        if let Some(refused) = calls.find(|answer| answer.headers.contains_key("grpc-status")) {
            break refused;
        }
        first.write(b"[]").unwrap();
        first.read_answer(false).unwrap();
    };
    let (code, message) = refused.refusal();
    assert_eq!((code, message.lines().next().unwrap()), ("14", "overloaded"));
}

#[test]
fn a_message_that_does_not_come_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-body-timeout", "50ms"]);
    let begun = stream::iter([Ok(Frame::data(Bytes::from_static(&NOTHING[..3])))]).chain(stream::pending());
    let answer = Client::connect(&server, METHOD).call_with(&[], BodyExt::boxed(StreamBody::new(begun)));
    let (code, message) = answer.refusal();
    assert_eq!((code, message.lines().next().unwrap()), ("4", "the body did not arrive in time"));
}

#[test]
fn isolated_projects_are_named_by_metadata() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let mut client = Client::connect(&server, METHOD);
    client.call_with(&[("x-scope-orgid", "a")], full(message(0, &spans()))).expect_ok();
    let status = |headers: &[(&str, &str)]| server.connect().send("GET", "/api/v2/trace/a", headers, b"").status;
    assert_eq!((status(&[("x-scope-orgid", "a")]), status(&[])), (200, 404));
    let refused = client.call_with(&[("x-scope-orgid", "no id")], full(message(0, &spans())));
    assert_eq!(refused.refusal().0, "3");
}

#[test]
fn what_is_no_call_is_refused_as_http_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = Client::connect(&server, METHOD);
    for content_type in ["application/json", "application/grpc-web", "application/grpc+json"] {
        let body = full(message(0, &spans()));
        let answer = client.call_with(&[("content-type", content_type)], body);
        assert_eq!((answer.status, answer.headers.get("grpc-status")), (415, None), "{content_type}");
    }
    let old = server.connect().send("POST", METHOD, &[("content-type", "application/grpc")], &message(0, &spans()));
    assert_eq!((old.status, old.first_line()), (505, "gRPC needs HTTP/2"));
}
