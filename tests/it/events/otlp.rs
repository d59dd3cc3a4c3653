//! The rules of OTLP over HTTP: content types, answers in the request's encoding, success in part, refusals.

use super::*;
use crate::support::server::Server;

/// A `google.rpc.Status`, as others read it.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// A request of one log record that is no event.
const OTHER: &str = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a line"}}]}]}]}"#;
const REASON: &str = "log records that are no Kubernetes events: 1; send only those of the receivers k8s_events and \
                      k8sobjects here";

#[test]
fn an_answer_is_encoded_as_its_request_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let json = fixture("otlp-k8s-events.json");
    for (kind, request, answered, wanted) in [
        ("application/x-protobuf", proto(&json), "application/x-protobuf", ""),
        ("application/json", json.clone(), "application/json", "{}"),
        ("Application/JSON; charset=utf-8", json.clone(), "application/json", "{}"),
    ] {
        let answer = client.send("POST", LOGS, &[("content-type", kind)], &request);
        assert_eq!((answer.status, answer.text()), (200, wanted), "{kind}");
        assert_eq!(answer.header("content-type"), Some(answered), "{kind}");
    }
    // The same event three times is one.
    assert_eq!(all(&mut client, "default").len(), 1);
}

#[test]
fn a_request_of_nothing_is_a_success() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for (kind, body, wanted) in [
        (PROTO, &b""[..], ""),
        (JSON, b"{}", "{}"),
        (JSON, br#"{"resourceLogs":[]}"#, "{}"),
        (JSON, br#"{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[]}]}]}"#, "{}"),
    ] {
        let answer = client.send("POST", LOGS, &[kind], body);
        assert_eq!((answer.status, answer.text()), (200, wanted));
    }
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
}

/// Senders must not send such a request again: it is no failure.
#[test]
fn a_request_of_other_log_records_alone_is_a_success_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let answer = client.send("POST", LOGS, &[JSON], OTHER.as_bytes());
    let wanted = json!({"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": REASON}});
    assert_eq!((answer.status, answer.json()), (200, wanted));
    let answer = client.send("POST", LOGS, &[PROTO], &proto(OTHER.as_bytes()));
    let length = REASON.len() as u8;
    let partial = [&[0x08, 1, 0x12, length][..], REASON.as_bytes()].concat();
    assert_eq!((answer.status, answer.body), (200, [&[0x0a, partial.len() as u8][..], &partial].concat()));
}

#[test]
fn records_with_a_mistake_are_rejected_and_the_rest_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let mut request: Value = serde_json::from_slice(&fixture("otlp-k8sobjects-groups.json")).unwrap();
    let records = &mut request["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
    // The pulled event's time is none.
    records[1]["body"]["kvlistValue"]["values"][3]["value"]["stringValue"] = "yesterday".into();
    let answer = client.send("POST", LOGS, &[JSON], request.to_string().as_bytes());
    let message = "events with a mistake: 1, the first: parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\"\n\
                   $.resourceLogs[0].scopeLogs[0].logRecords[1].body.eventTime: send a time as RFC 3339 writes it, as \
                   in 2016-11-08T16:15:15Z, or leave it out";
    let wanted = json!({"partialSuccess": {"rejectedLogRecords": "1", "errorMessage": message}});
    assert_eq!((answer.status, answer.json()), (200, wanted));
    let found = all(&mut client, "default");
    assert_eq!(found.iter().map(|event| &event["name"]).collect::<Vec<_>>(), ["ingest-28.17f4"]);
}

#[test]
fn other_content_types_are_refused_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let request = fixture("otlp-k8s-events.json");
    for (headers, said) in [
        (&[][..], "it is missing"),
        (&[("content-type", "text/plain")][..], "it says \"text/plain\""),
        (&[("content-type", "application/x-www-form-urlencoded")], "it says \"application/x-www-form-urlencoded\""),
        (&[("content-type", "application/protobuf")], "it says \"application/protobuf\""),
    ] {
        let answer = client.send("POST", LOGS, headers, &request);
        let message = format!(
            "415 unsupported media type, supported: [application/json, application/x-protobuf]\n\
             header Content-Type: {said}: send one of these two"
        );
        assert_eq!((answer.status, answer.json()), (415, json!({"code": 12, "message": message})));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
}

/// Bad data is described by its place, in both encodings.
#[test]
fn a_refusal_is_a_status_in_the_requests_encoding() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let answer = client.send("POST", LOGS, &[JSON], br#"{"resourceLogs":{}}"#);
    let (place, remedy) = ("$.resourceLogs", "send a list here, or leave it out");
    let wanted = json!({
        "code": 3,
        "message": format!("json: cannot unmarshal object into a list\n{place}: {remedy}"),
        "details": [{"@type": BAD_REQUEST, "fieldViolations": [{"field": place, "description": remedy}]}],
    });
    assert_eq!((answer.status, answer.json()), (400, wanted));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    let answer = client.send("POST", LOGS, &[PROTO], b"\x0a\x42\x0a\x01a");
    let (place, remedy) = ("$, byte 2", "a length beyond the end: send a whole message ExportLogsServiceRequest");
    let violation = FieldViolation { field: place.to_owned(), description: remedy.to_owned() };
    let bad_request = BadRequest { field_violations: vec![violation] };
    let wanted = Status {
        code: 3,
        message: format!("proto: cannot parse invalid wire-format data\n{place}: {remedy}"),
        details: vec![Any { type_url: BAD_REQUEST.to_owned(), value: bad_request.encode_to_vec() }],
    };
    assert_eq!((answer.status, Status::decode(&answer.body[..])), (400, Ok(wanted)));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
}

#[test]
fn what_is_wrong_with_the_request_itself_is_a_status_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated", "--events-max-events", "1"]);
    let mut client = server.connect();
    let request = proto(&fixture("otlp-k8s-events.json"));
    let project = "X-Scope-OrgID is invalid\n\
                   header X-Scope-OrgID: send 1 to 64 letters, digits, _ or -, or leave it out";
    let cluster = "clusterId is given more than once\nquery parameter clusterId: send it once";
    let encoding = "unsupported content encoding: zstd\nheader Content-Encoding: send gzip, deflate or none";
    let cut = "Cannot gunzip the body\n\
               the body: it is no gzip stream, or it was cut; send it whole, or without Content-Encoding";
    let two = "more than 1 events\n$.resource_logs[1].scope_logs[0].log_records[0]: split them into several requests";
    for (path, header, body, wanted) in [
        (LOGS, ("x-scope-orgid", "no id"), request.clone(), (400, 3, project)),
        ("/v1/logs?clusterId=a&clusterId=b", ("x-test", ""), request.clone(), (400, 3, cluster)),
        (LOGS, ("content-encoding", "zstd"), request.clone(), (415, 12, encoding)),
        (LOGS, ("content-encoding", "gzip"), request.clone(), (400, 3, cut)),
        (LOGS, ("x-test", ""), request.repeat(2), (413, 8, two)),
    ] {
        let answer = client.send("POST", path, &[PROTO, header], &body);
        let status = Status::decode(&answer.body[..]).unwrap();
        assert_eq!((answer.status, status.code, status.message.as_str()), wanted);
        assert_eq!(status.details, []);
    }
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
}

#[test]
fn the_request_names_the_cluster_of_events_that_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let request = fixture("otlp-k8s-events-old.json");
    for (path, header, cluster) in [
        ("/v1/logs", ("x-test", ""), "default"),
        ("/v1/logs", ("clusterId", "of-header"), "of-header"),
        ("/v1/logs?clusterId=of-query", ("clusterId", "of-header"), "of-query"),
    ] {
        let answer = client.send("POST", path, &[JSON, header], &request);
        assert_eq!((answer.status, answer.text()), (200, "{}"), "{cluster}");
    }
    // The same uid in three clusters is three events.
    let found = all(&mut client, "default");
    let clusters: Vec<_> = found.iter().map(|event| event["clusterId"].as_str().unwrap()).collect();
    assert_eq!(clusters, ["default", "of-header", "of-query"]);
}
