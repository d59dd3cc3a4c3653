//! Bounds of what a post may hold, and of how many may be under way.

use super::*;
use crate::support::grpc::gzip;
use crate::support::server::Server;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// An event with some of its fields.
fn event(fields: Value) -> String {
    let mut event: Value = serde_json::from_str(EVENT).unwrap();
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event.to_string()
}

#[test]
fn more_events_than_a_request_may_hold_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--events-max-events", "2"]);
    let mut client = server.connect();
    let refused = client.send("POST", K8S, &[], format!("{EVENT}{EVENT}{EVENT}").as_bytes());
    let message = "more than 2 events\ndocument 3 at line 1, $: split them into several requests";
    assert_eq!((refused.status, refused.json()), (413, status(413, "RequestEntityTooLarge", message)));
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
    expect_accepted(&client.send("POST", K8S, &[], format!("{EVENT}{EVENT}").as_bytes()), 2);
    assert_eq!(all(&mut client, "default").len(), 1);
}

#[test]
fn what_nests_too_deep_is_refused_wherever_it_stands() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--events-max-depth", "8"]);
    let mut client = server.connect();
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let field = |depth: usize| format!("{{\"unknown\":{},{}", nested(depth), &EVENT[1..]);
    for (body, place) in [(nested(9), "$[0][0][0][0][0][0][0][0]"), (field(8), "$.unknown[0][0][0][0][0][0][0]")] {
        let refused = client.send("POST", K8S, &[], body.as_bytes());
        let remedy = "no field of an event nests that deep: leave this one out";
        let message = format!("nesting is deeper than 8 levels\n{place}: {remedy}");
        assert_eq!((refused.status, refused.json()), (400, status(400, "BadRequest", &message)));
    }
    // However deep: nothing recurses any further.
    assert_eq!(client.send("POST", K8S, &[], nested(1_000_000).as_bytes()).status, 400);
    expect_accepted(&client.send("POST", K8S, &[], nested(8).as_bytes()), 0);
    expect_accepted(&client.send("POST", K8S, &[], field(7).as_bytes()), 1);
}

#[test]
fn an_event_of_too_many_values_or_of_too_long_a_name_is_refused_and_a_long_message_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let arguments =
        ["--events-max-values", "100", "--events-max-name-bytes", "256", "--events-max-message-bytes", "20"];
    let server = Server::start_with(dir.path(), &arguments);
    let mut client = server.connect();
    let owners: Vec<Value> = (0..60).map(|n| json!({"name": format!("owner-{n}")})).collect();
    let object = |name: &str, owners: &[Value]| json!({"kind": "Pod", "name": name, "ownerReferences": owners});
    let longest = "x".repeat(256);
    for (fields, message) in [
        (
            json!({"involvedObject": object("web-0", &owners)}),
            "more than 100 values in an event\n\
             $.involvedObject.ownerReferences[48].name: no event is made of that many: send fewer labels and owners",
        ),
        (
            json!({"reason": format!("{longest}x")}),
            "reason: Too long: may not be more than 256 bytes\n$.reason: this has 257 bytes: shorten it",
        ),
    ] {
        let refused = client.send("POST", K8S, &[], event(fields).as_bytes());
        assert_eq!((refused.status, refused.json()), (400, status(400, "BadRequest", message)));
    }
    // Cut where a character ends.
    let message = "nineteen bytes, it ä";
    assert_eq!(message.len(), 21);
    let fields = json!({
        "involvedObject": object("web-0", &owners[..30]), "reason": longest, "message": message,
    });
    expect_accepted(&client.send("POST", K8S, &[], event(fields).as_bytes()), 1);
    let found = all(&mut client, "default");
    assert_eq!(found.iter().map(|event| &event["message"]).collect::<Vec<_>>(), ["nineteen bytes, it "]);
    assert_eq!(found[0]["owners"].as_array().unwrap().len(), 30);
}

#[test]
fn a_body_over_the_limit_is_refused_with_the_setting_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-body-bytes", "1KiB"]);
    let mut client = server.connect();
    let message = "the body is larger than 1KiB\n\
                   ingest.max_body_bytes: send less in a request, or raise it with --ingest-max-body-bytes";
    let refused = client.send("POST", K8S, &[], &[b' '; 1025]);
    assert_eq!((refused.status, refused.json()), (413, status(413, "RequestEntityTooLarge", message)));
    let refused = client.send("POST", LOGS, &[JSON], &[b' '; 1025]);
    assert_eq!((refused.status, refused.json()), (413, json!({"code": 8, "message": message})));
    let mut body = EVENT.as_bytes().to_vec();
    body.resize(1024, b' ');
    expect_accepted(&client.send("POST", K8S, &[], &body), 1);
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
    let mut client = server.connect();
    let message = "the body is larger than 64MiB\n\
                   ingest.max_decompressed_bytes: send less in a request, or raise it with \
                   --ingest-max-decompressed-bytes";
    let refused = client.send("POST", K8S, &[("content-encoding", "gzip")], &bomb);
    assert_eq!((refused.status, refused.json()), (413, status(413, "RequestEntityTooLarge", message)));
    let refused = client.send("POST", LOGS, &[JSON, ("content-encoding", "gzip")], &bomb);
    assert_eq!((refused.status, refused.json()), (413, json!({"code": 8, "message": message})));
    expect_accepted(&client.send("POST", K8S, &[], EVENT.as_bytes()), 1);
}

/// What its records share would take gigabytes if it were copied into each of them.
#[test]
fn a_request_whose_records_share_long_attributes_is_refused_before_they_are_copied() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let (json, encoding) = (swollen(), ("content-encoding", "gzip"));
    let before = server.peak_memory();
    let message = swollen_at("$.resourceLogs[0].scopeLogs[0].logRecords[711]");
    let refused = client.send("POST", LOGS, &[JSON, encoding], &gzip(&json));
    assert_eq!((refused.status, refused.json()), (413, json!({"code": 8, "message": message})));
    let refused = client.send("POST", LOGS, &[PROTO, encoding], &gzip(&proto(&json)));
    assert_eq!(refused.status, 413);
    let message = swollen_at("$.resource_logs[0].scope_logs[0].log_records[711]");
    let status = Status::decode(refused.body.as_slice()).unwrap();
    assert_eq!(status, Status { code: 8, message });
    let grown = server.peak_memory() - before;
    assert!(grown < 100 << 20, "{} MiB", grown >> 20);
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
    // Where the setting is what stands in the way.
    drop(client);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--events-max-decoded-bytes", "64KiB"]);
    let mut client = server.connect();
    let long = event(json!({"message": "x".repeat(40_000)}));
    expect_accepted(&client.send("POST", K8S, &[], long.as_bytes()), 1);
    let message = "the events take more than 65536 bytes once they are decoded\ndocument 2 at line 1, $: \
                   events.max_decoded_bytes: split them into several requests, or raise it with \
                   --events-max-decoded-bytes";
    let refused = client.send("POST", K8S, &[], long.repeat(2).as_bytes());
    assert_eq!((refused.status, refused.json()), (413, super::status(413, "RequestEntityTooLarge", message)));
}

/// A `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[test]
fn documents_that_hold_no_events_are_bounded_in_number() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let message = "more than 1001000 documents and entries of lists\n\
                   document 1001001 at line 1, $: split them into several requests";
    let body = gzip("[]".repeat(10_000_000).as_bytes());
    let refused = server.connect().send("POST", K8S, &[("content-encoding", "gzip")], &body);
    assert_eq!((refused.status, refused.json()), (413, status(413, "RequestEntityTooLarge", message)));
}

/// An event of 90 bytes takes ten times that once it is decoded: how many are decoded at a time is bounded, too.
#[test]
fn many_large_posts_at_a_time_stay_within_memory() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut body = GzEncoder::new(Vec::new(), Compression::fast());
    for number in 0..100_000 {
        let event =
            format!(r#"{{"metadata":{{"name":"{number}"}},"regarding":{{}},"eventTime":"2025-01-01T00:00:00Z"}}"#);
        body.write_all(event.as_bytes()).unwrap();
    }
    let body = body.finish().unwrap();
    let before = server.peak_memory();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let answer = server.connect().send("POST", K8S, &[("content-encoding", "gzip")], &body);
                assert!([200, 503].contains(&answer.status), "{}", answer.text());
            });
        }
    });
    let grown = server.peak_memory() - before;
    assert!(grown < 500 << 20, "{} MiB", grown >> 20);
}

/// A request's head that promises a body and asks whether to send it.
fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
         content-length: {length}\r\n\r\n"
    )
}

#[test]
fn requests_that_together_hold_too_much_are_told_to_come_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-inflight-bytes", "1KiB"]);
    let message = "overloaded\n\
                   ingest.max_inflight_bytes: requests of more than 1KiB are under way; send it again in a second";
    let mut of_kubernetes = status(503, "ServiceUnavailable", message);
    of_kubernetes["details"] = json!({"retryAfterSeconds": 1});
    for (path, body, wanted) in
        [(K8S, EVENT, of_kubernetes), (LOGS, r#"{"resourceLogs":[]}"#, json!({"code": 14, "message": message}))]
    {
        let (mut first, mut second) = (server.connect(), server.connect());
        let refused = loop {
            first.write(head(K8S, EVENT.len() + 1000).as_bytes()).unwrap();
            assert_eq!(first.read_answer(true).unwrap().status, 100);
            first.write(&[b' '; 1000]).unwrap();
            // Those bytes may not have arrived yet, or find one of these there and be refused themselves.
            let body = format!("{body}{}", " ".repeat(100));
            let mut answers = (0..20).map(|_| second.send("POST", path, &[JSON], body.as_bytes()));
            if let Some(refused) = answers.find(|answer| answer.status != 200) {
                break refused;
            }
            first.write(EVENT.as_bytes()).unwrap();
            first.read_answer(false).unwrap();
        };
        assert_eq!((refused.status, refused.json()), (503, wanted));
        assert_eq!(refused.header("retry-after"), Some("1"));
        // The first is complete though it passes the bound: nobody else is there.
        first.write(EVENT.as_bytes()).unwrap();
        expect_accepted(&first.read_answer(false).unwrap(), 1);
    }
}

/// A sender of OTLP comes again after 503 and not after 408.
#[test]
fn a_body_that_does_not_come_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--server-body-timeout", "50ms"]);
    let message = "the body did not arrive in time\n\
                   server.body_timeout (50ms): send it faster or in smaller parts";
    for (path, code, wanted, again) in [
        (K8S, 408, status(408, "Timeout", message), None),
        (LOGS, 503, json!({"code": 14, "message": message}), Some("1")),
    ] {
        let mut client = server.connect();
        client.write(head(path, 100).as_bytes()).unwrap();
        assert_eq!(client.read_answer(true).unwrap().status, 100);
        client.write(b"{").unwrap();
        let answer = client.read_answer(false).unwrap();
        assert_eq!((answer.status, answer.json()), (code, wanted));
        assert_eq!((answer.header("connection"), answer.header("retry-after")), (Some("close"), again));
        assert_eq!(client.read_to_close().unwrap(), b"");
    }
}

#[test]
fn what_is_posted_is_counted_apart_from_spans() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    expect_accepted(&client.send("POST", K8S, &[], format!("{EVENT}{EVENT}").as_bytes()), 2);
    assert_eq!(client.send("POST", K8S, &[], b"{").status, 400);
    assert_eq!(client.send("POST", LOGS, &[JSON], &fixture("otlp-k8sobjects.json")).status, 200);
    let text = client.send("GET", "/prometheus", &[], b"");
    let counted = |name: &str| {
        let start = format!("{name}{{transport=\"http\"}} ");
        let line = text.text().lines().find_map(|line| line.strip_prefix(&start)).unwrap();
        line.parse::<u64>().unwrap()
    };
    assert_eq!(counted("spanlake_collector_messages_total"), 3);
    assert_eq!(counted("spanlake_collector_messages_dropped_total"), 1);
    assert_eq!(counted("spanlake_collector_events_total"), 4);
    assert_eq!(counted("spanlake_collector_events_dropped_total"), 0);
    assert_eq!(counted("spanlake_collector_message_events"), 2);
    assert_eq!(counted("zipkin_collector_messages_total"), 0);
    assert_eq!(counted("zipkin_collector_spans_total"), 0);
}
