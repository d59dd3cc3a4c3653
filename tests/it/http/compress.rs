//! Answers in gzip.

use crate::support::server::{Answer, Server};
use flate2::read::GzDecoder;
use std::io::Read;

fn ask(server: &Server, path: &str, accept: &str) -> Answer {
    server.connect().send("GET", path, &[("accept-encoding", accept)], b"")
}

fn unpacked(answer: &Answer) -> Vec<u8> {
    let mut read = Vec::new();
    GzDecoder::new(&answer.body[..]).read_to_end(&mut read).expect("gzip");
    read
}

/// Spans of one trace, as many as make the answer of about so many bytes.
fn spans(bytes: usize) -> String {
    let span = |id: usize| {
        format!(
            r#"{{"traceId":"a","id":"{id:x}","timestamp":1700000000000000,"name":"operation {id}","duration":{id}}}"#
        )
    };
    let list: Vec<String> = (1..=bytes / 100).map(span).collect();
    format!("[{}]", list.join(","))
}

#[test]
fn a_long_answer_is_sent_in_gzip_to_whoever_takes_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    // One that is sent whole, and one that is streamed.
    for (round, bytes) in [(1, 10_000), (2, 2_000_000)] {
        assert_eq!(server.post("/api/v2/spans", spans(bytes).as_bytes()).status, 202);
        let plain = server.get("/api/v2/trace/a");
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
        let packed = ask(&server, "/api/v2/trace/a", "gzip, deflate");
        assert_eq!(packed.header("content-encoding"), Some("gzip"));
        assert_eq!(packed.header("vary"), Some("accept-encoding"));
        assert!(unpacked(&packed) == plain.body, "round {round}");
        assert!(packed.body.len() * 4 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    }
    server.stop();
}

#[test]
fn what_is_short_or_no_json_or_not_asked_for_is_sent_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    assert_eq!(server.post("/api/v2/spans", spans(10_000).as_bytes()).status, 202);
    for (path, accept) in [
        ("/api/v2/services", "gzip"),
        ("/api/v2/trace/b", "gzip"),
        ("/prometheus", "gzip"),
        ("/api/v2/trace/a", "br"),
        ("/api/v2/trace/a", "gzip;q=0"),
    ] {
        let answer = ask(&server, path, accept);
        assert_eq!(answer.header("content-encoding"), None, "{path} {accept}");
        assert!(answer.header("content-length").is_some(), "{path} {accept}");
    }
    server.stop();
}
