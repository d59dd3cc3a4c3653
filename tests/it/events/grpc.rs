//! Log records over gRPC.

use super::*;
use crate::support::grpc::{Client as Caller, NOTHING, framed, full, gzip};
use crate::support::server::Server;

const METHOD: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

#[derive(Clone, PartialEq, Message)]
struct ExportLogsServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<ExportLogsPartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportLogsPartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

fn uids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["uid"].as_str().unwrap()).collect()
}

#[test]
fn exported_log_records_are_events_at_once_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut caller = Caller::connect(&server, METHOD);
    let request = proto(&fixture("otlp-k8s-events.json"));
    caller.call(framed(0, &request)).expect_ok();
    let uid = "aa11bb22-0003-4c3d-8e4f-000000000003";
    assert_eq!(uids(&all(&mut server.connect(), "default")), [uid]);
    server.kill();
    let server = Server::start(dir.path());
    assert_eq!(uids(&all(&mut server.connect(), "default")), [uid]);
}

#[test]
fn requests_of_nothing_and_compressed_ones_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut caller = Caller::connect(&server, METHOD);
    caller.call(NOTHING.to_vec()).expect_ok();
    assert_eq!(all(&mut server.connect(), "default"), Vec::<Value>::new());
    let compressed = framed(1, &gzip(&proto(&fixture("otlp-k8s-events.json"))));
    caller.call_with(&[("grpc-encoding", "gzip")], full(compressed)).expect_ok();
    assert_eq!(all(&mut server.connect(), "default").len(), 1);
}

#[test]
fn records_that_are_no_events_are_counted_in_a_success_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let answer = Caller::connect(&server, METHOD).call(framed(0, &proto(&fixture("otlp-k8sobjects.json"))));
    let error_message = "log records that are no Kubernetes events: 2; send only those of the receivers k8s_events and \
                         k8sobjects here";
    let partial_success =
        Some(ExportLogsPartialSuccess { rejected_log_records: 2, error_message: error_message.to_owned() });
    assert_eq!(ExportLogsServiceResponse::decode(answer.message()), Ok(ExportLogsServiceResponse { partial_success }));
    assert_eq!(all(&mut server.connect(), "default").len(), 2);
}

#[test]
fn metadata_names_project_and_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let mut caller = Caller::connect(&server, METHOD);
    let metadata = [("x-scope-orgid", "a"), ("clusterid", "bonn")];
    let request = framed(0, &proto(&fixture("otlp-k8s-events-old.json")));
    caller.call_with(&metadata, full(request.clone())).expect_ok();
    let found = all(&mut server.connect(), "a");
    assert_eq!(found.iter().map(|event| &event["clusterId"]).collect::<Vec<_>>(), ["bonn"]);
    assert_eq!(all(&mut server.connect(), "default"), Vec::<Value>::new());
    let refused = caller.call_with(&[("x-scope-orgid", "no id")], full(request.clone()));
    assert_eq!(refused.refusal().0, "3");
    let refused = caller.call_with(&[("clusterid", &"x".repeat(257))], full(request));
    let remedy = "header clusterId: send up to 256 bytes of UTF-8 without control characters, or leave it out";
    assert_eq!(refused.refusal(), ("3", format!("clusterId is invalid\n{remedy}")));
}

#[test]
fn what_is_wrong_with_a_call_is_told_by_code_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-body-bytes", "4KiB", "--events-max-events", "1"]);
    let mut caller = Caller::connect(&server, METHOD);
    let request = proto(&fixture("otlp-k8s-events.json"));
    let table: [(&str, Vec<u8>, &str, &str); 6] = [
        ("identity", framed(0, b"\x0a\x42\x0a\x01a"), "3", "proto: cannot parse invalid wire-format data"),
        ("gzip", framed(1, b"no gzip"), "3", "Cannot gunzip the body"),
        ("snappy", framed(1, &request), "12", "unsupported message encoding: snappy"),
        ("identity", Vec::new(), "12", "no message"),
        ("identity", framed(0, &[0; 5000]), "8", "the body is larger than 4KiB"),
        ("identity", framed(0, &request.repeat(2)), "8", "more than 1 events"),
    ];
    for (encoding, body, code, peer) in table {
        let answer = caller.call_with(&[("grpc-encoding", encoding)], full(body));
        let (found, message) = answer.refusal();
        assert_eq!((found, message.lines().next().unwrap()), (code, peer), "{message}");
        assert_eq!(message.lines().count(), 2, "no place and remedy: {message}");
    }
    assert_eq!(all(&mut server.connect(), "default"), Vec::<Value>::new());
    // The connection goes on.
    caller.call(framed(0, &request)).expect_ok();
}

#[test]
fn records_that_share_long_attributes_are_too_much() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let request = framed(1, &gzip(&proto(&swollen())));
    let answer = Caller::connect(&server, METHOD).call_with(&[("grpc-encoding", "gzip")], full(request));
    let message = swollen_at("$.resource_logs[0].scope_logs[0].log_records[711]");
    assert_eq!(answer.refusal(), ("8", message));
}

#[test]
fn what_is_no_call_is_refused_as_http_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let request = framed(0, &proto(&fixture("otlp-k8s-events.json")));
    let answer = Caller::connect(&server, METHOD).call_with(&[PROTO], full(request.clone()));
    assert_eq!((answer.status, answer.headers.get("grpc-status")), (415, None));
    let old = server.connect().send("POST", METHOD, &[("content-type", "application/grpc")], &request);
    assert_eq!((old.status, old.first_line()), (505, "gRPC needs HTTP/2"));
}
