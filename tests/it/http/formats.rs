//! Zipkin's four formats over HTTP: which one is read, and that all of them say the same.

use crate::support::server::Server;
use crate::support::zipkin;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const V2: &str = r#"[{"traceId":"000000000000000a","parentId":"0000000000000001","id":"0000000000000002","kind":"CLIENT","name":"get","timestamp":1506260836597000,"duration":67000,"localEndpoint":{"serviceName":"front","ipv4":"10.0.0.1","port":80},"remoteEndpoint":{"serviceName":"back","ipv6":"2001:db8::c001"},"annotations":[{"timestamp":1506260836597001,"value":"wire"}],"tags":{"a":"1","b":"2"},"debug":true}]"#;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const THRIFT: (&str, &str) = ("content-type", "application/x-thrift");

/// Equal spans are one; but one that was posted as v1 comes back as such by the ATS API, and so is not the one that was
/// posted as v2.
fn once_of_each_version() -> String {
    let span = V2.trim_matches(['[', ']']);
    format!("[{span},{span}]")
}

#[test]
fn each_format_of_a_span_gives_the_same_answer() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let mut client = server.connect();
    let spans = zipkin::read(V2.as_bytes());
    for (project, path, headers, body) in [
        ("v2", "/api/v2/spans", &[][..], V2.as_bytes().to_vec()),
        ("proto3", "/api/v2/spans", &[PROTOBUF], zipkin::proto3(&spans)),
        ("v1", "/api/v1/spans", &[], zipkin::v1_json(&spans)),
        ("thrift", "/api/v1/spans", &[THRIFT], zipkin::thrift(&spans)),
    ] {
        let headers: Vec<_> = headers.iter().copied().chain([("x-scope-orgid", project)]).collect();
        let accepted = client.send("POST", path, &headers, &body);
        assert_eq!((accepted.status, accepted.text()), (202, ""), "{project}");
        let answer = client.send("GET", "/api/v2/trace/a", &[("x-scope-orgid", project)], b"");
        assert_eq!(answer.text(), V2, "{project}");
    }
}

#[test]
fn the_content_type_and_the_path_decide_what_a_body_is_read_as() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let spans = zipkin::read(V2.as_bytes());
    let (v1, proto3, thrift) = (zipkin::v1_json(&spans), zipkin::proto3(&spans), zipkin::thrift(&spans));
    let (thrift, json_v2) = (thrift.as_slice(), V2.as_bytes());
    let (one, two) = ("/api/v1/spans", "/api/v2/spans");
    let json = Some("application/json");
    let (protobuf_type, thrift_type) = (Some(PROTOBUF.1), Some(THRIFT.1));
    let table: [(&str, Option<&str>, &[u8], &str); 20] = [
        (two, protobuf_type, &proto3, ""),
        (two, Some("Application/X-Protobuf; charset=utf-8"), &proto3, ""),
        (two, protobuf_type, b"", ""),
        (two, protobuf_type, b"[]", ""),
        (two, protobuf_type, json_v2, "Expected a PROTO3 encoded list"),
        (two, protobuf_type, thrift, "Expected a PROTO3 encoded list"),
        (two, json, &proto3, "Expected a JSON_V2 encoded list"),
        (two, None, &proto3, "Expected a JSON_V2 encoded list"),
        (two, None, thrift, "Expected a JSON_V2 encoded list"),
        // There is no v2 in thrift and no v1 in protobuf: what is not known is JSON.
        (two, thrift_type, json_v2, ""),
        (two, thrift_type, thrift, "Expected a JSON_V2 encoded list"),
        (one, protobuf_type, &v1, ""),
        (one, protobuf_type, &proto3, "Expected a JSON_V1 encoded list"),
        (one, thrift_type, thrift, ""),
        (one, Some("application/x-thrift;x=y"), thrift, ""),
        (one, thrift_type, b"", ""),
        (one, thrift_type, &v1, "Expected a THRIFT encoded list"),
        (one, thrift_type, &proto3, "Expected a THRIFT encoded list"),
        (one, json, thrift, "Expected a JSON_V1 encoded list"),
        (two, None, &v1, "Expected a JSON_V2 encoded list, but received: JSON_V1"),
    ];
    for (path, content_type, body, peer) in table {
        let headers: Vec<_> = content_type.map(|value| ("content-type", value)).into_iter().collect();
        let answer = client.send("POST", path, &headers, body);
        let status = if peer.is_empty() { 202 } else { 400 };
        assert_eq!((answer.status, answer.first_line()), (status, peer), "{path} {content_type:?} {}", answer.text());
    }
    assert_eq!(server.get("/api/v2/trace/a").text(), once_of_each_version());
}

#[test]
fn a_refused_body_is_told_where_it_belongs() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let body = zipkin::proto3(&zipkin::read(V2.as_bytes()));
    assert_eq!(
        server.post("/api/v1/spans", &body).text(),
        "Expected a JSON_V1 encoded list\n$, line 1 column 1: this looks like protobuf: post it to /api/v2/spans with \
         the header Content-Type: application/x-protobuf\n"
    );
    let mut client = server.connect();
    let cut = client.send("POST", "/api/v2/spans", &[PROTOBUF], &body[..10]);
    let (length, there) = (body.len() - 3, 7);
    assert_eq!(
        cut.text(),
        format!(
            "Truncated: length {length} > bytes available {there} reading List<Span> from proto3\n\
             $[0], byte 3: a length here reaches beyond its message, or the body breaks off: send the whole list\n"
        )
    );
    let body = zipkin::thrift(&zipkin::read(V2.as_bytes()));
    let cut = client.send("POST", "/api/v1/spans", &[THRIFT], &body[..10]);
    assert_eq!(
        cut.text(),
        "Truncated: length 8 > bytes available 2 reading List<Span> from TBinary\n\
         $[0].trace_id, byte 8: a length here reaches beyond its message, or the body breaks off: send the whole list\n"
    );
}

#[test]
fn binary_bodies_may_be_compressed_and_keep_to_the_limits() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--ingest-max-spans", "2"]);
    let mut client = server.connect();
    let one = zipkin::read(V2.as_bytes());
    let many = [one.clone(), one.clone(), one.clone()].concat();
    for (path, content_type, encode) in [
        ("/api/v2/spans", PROTOBUF, zipkin::proto3 as fn(&[zipkin::Span]) -> Vec<u8>),
        ("/api/v1/spans", THRIFT, zipkin::thrift),
    ] {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&encode(&one)).unwrap();
        let headers = [content_type, ("content-encoding", "gzip")];
        let answer = client.send("POST", path, &headers, &gzip.finish().unwrap());
        assert_eq!(answer.status, 202, "{}", answer.text());
        let answer = client.send("POST", path, &[content_type], &encode(&many));
        assert_eq!(answer.status, 413, "{}", answer.text());
        assert!(answer.text().starts_with("more than 2 spans reading List<Span> from "), "{}", answer.text());
    }
    assert_eq!(server.get("/api/v2/trace/a").text(), once_of_each_version());
}

/// What v1 can hold and v2 cannot comes back where v1 spans are asked for.
#[test]
fn values_of_thrift_come_back_by_the_ats_api() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    // trace_id, id, then binary annotations: hits as I64 42, ok as BOOL true.
    let binary = |key: &[u8], value: &[u8], kind: u8| {
        let sized = |id: u8, bytes: &[u8]| [&[11, 0, id, 0, 0, 0, bytes.len() as u8][..], bytes].concat();
        [sized(1, key), sized(2, value), vec![8, 0, 3, 0, 0, 0, kind, 0]].concat()
    };
    let ids =
        [&[10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xb, 10, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1][..], &[15, 0, 8, 12, 0, 0, 0, 2]];
    let tags = [binary(b"hits", &42i64.to_be_bytes(), 4), binary(b"ok", &[1], 0)].concat();
    let body = [&[12, 0, 0, 0, 1][..], &ids.concat(), &tags, &[0]].concat();
    let answer = server.connect().send("POST", "/api/v1/spans", &[THRIFT], &body);
    assert_eq!(answer.status, 202, "{}", answer.text());
    assert_eq!(
        server.get("/v1/0/ats/spans?traceId=b").json()["responseInfo"][0],
        r#"{"traceId":"000000000000000b","id":"0000000000000001","annotations":[],"binaryAnnotations":[{"key":"hits","value":42,"type":"I64"},{"key":"ok","value":true}]}"#
    );
}

/// v1 says who did what by moments, each with an endpoint and a time: where either is missing there is nothing to say
/// it by. The rules are those of Zipkin's own conversions.
#[test]
fn what_v1_cannot_carry_is_lost_in_json_and_thrift_alike_and_kept_in_protobuf() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let mut client = server.connect();
    let local = r#""localEndpoint":{"serviceName":"front"}"#;
    let remote = r#""remoteEndpoint":{"serviceName":"back"}"#;
    // The fields posted, and those that are left of them.
    let table = [
        // A kind without a time, but that of a server who knows its client; a duration without a time.
        (format!(r#""kind":"CLIENT",{local},{remote}"#), format!("{local},{remote}")),
        (format!(r#""kind":"PRODUCER",{local}"#), local.to_owned()),
        (format!(r#""kind":"SERVER",{local},{remote}"#), format!(r#""kind":"SERVER",{local},{remote}"#)),
        (format!(r#""kind":"SERVER",{local}"#), local.to_owned()),
        (format!(r#""duration":3,{local}"#), local.to_owned()),
        // A kind without a local endpoint: its moments are annotations like others.
        (
            r#""kind":"CLIENT","timestamp":5,"duration":3"#.to_owned(),
            r#""timestamp":5,"duration":3,"annotations":[{"timestamp":5,"value":"cs"},{"timestamp":8,"value":"cr"}]"#
                .to_owned(),
        ),
        // Who shares a span without being its server, and with it the time, which is left to the other side to tell.
        (format!(r#""timestamp":5,"duration":3,{local},"shared":true"#), local.to_owned()),
        // Texts that have a meaning in v1.
        (format!(r#"{local},"tags":{{"lc":""}}"#), local.to_owned()),
        (
            format!(r#"{local},"tags":{{"sa":"a","x":""}}"#),
            format!(r#"{local},"remoteEndpoint":{{"serviceName":"front"}},"tags":{{"x":""}}"#),
        ),
        (
            format!(r#""timestamp":5,{local},"annotations":[{{"timestamp":7,"value":"sr"}}]"#),
            format!(r#""kind":"SERVER","timestamp":5,{local}"#),
        ),
    ];
    for (number, (posted, left)) in (1..).zip(&table) {
        let span = |fields: &str| format!(r#"[{{"traceId":"{number:016x}","id":"{number:016x}",{fields}}}]"#);
        let v2 = span(posted);
        let spans = zipkin::read(v2.as_bytes());
        for (project, path, content_type, body, wanted) in [
            ("v2", "/api/v2/spans", "application/json", v2.clone().into_bytes(), posted),
            ("proto3", "/api/v2/spans", PROTOBUF.1, zipkin::proto3(&spans), posted),
            ("v1", "/api/v1/spans", "application/json", zipkin::v1_json(&spans), left),
            ("thrift", "/api/v1/spans", THRIFT.1, zipkin::thrift(&spans), left),
        ] {
            let headers = [("content-type", content_type), ("x-scope-orgid", project)];
            assert_eq!(client.send("POST", path, &headers, &body).status, 202);
            let answer = client.send("GET", &format!("/api/v2/trace/{number:x}"), &headers[1..], b"");
            assert_eq!(answer.text(), span(wanted), "{project}");
        }
    }
}
