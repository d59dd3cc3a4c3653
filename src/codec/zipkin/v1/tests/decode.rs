//! What is taken as v1 JSON, and what is refused in the peer's words.

use super::super::*;
use crate::codec::{DecodeError, Limits};

const READING: &str = " reading List<Span> from json";

fn posted(body: &str) -> Vec<V1Span<'_>> {
    decode_posted(body, &Limits::default()).unwrap()
}

fn refusal(body: &str) -> DecodeError {
    decode(body, &Limits::default()).unwrap_err()
}

#[test]
fn every_field_is_kept_as_it_was_sent() {
    let body = r#" [{"traceId":"A000000000000000b","id":"c","parentId":"0","name":"Get","timestamp":0,"duration":"7",
        "annotations":[{"timestamp":2,"value":"cs","endpoint":{"serviceName":"Front","ipv4":"1.2.3.4","port":80},"x":1},
                       {"value":"v","timestamp":1,"endpoint":null}],
        "binaryAnnotations":[{"key":"text","value":"v","type":"STRING"},{"key":"bool","value":false},
                             {"key":"int","value":-1},{"key":"float","value":1.50},{"key":"list","value":[1, {"a":"b"}]},
                             {"key":"null","value":null},{"key":"none","endpoint":{"serviceName":""}}],
        "debug":true,"unknown":[{}]}]"#;
    let front = Endpoint { service: Some("Front".into()), ipv4: Some([1, 2, 3, 4].into()), ipv6: None, port: Some(80) };
    let binary = |key: &'static str, value| V1BinaryAnnotation { key: key.into(), value, kind: None, endpoint: None };
    let wanted = V1Span {
        trace_id: TraceId::wide(10, 11),
        id: 12,
        parent_id: Some(0),
        name: Some("Get".into()),
        timestamp: Some(0),
        duration: Some(7),
        annotations: vec![
            V1Annotation { timestamp: 2, value: "cs".into(), endpoint: Some(front) },
            V1Annotation { timestamp: 1, value: "v".into(), endpoint: None },
        ],
        binary_annotations: vec![
            V1BinaryAnnotation { kind: Some("STRING".into()), ..binary("text", V1Value::Text("v".into())) },
            binary("bool", V1Value::Json("false".into())),
            binary("int", V1Value::Json("-1".into())),
            binary("float", V1Value::Json("1.50".into())),
            binary("list", V1Value::Json("[1, {\"a\":\"b\"}]".into())),
            binary("null", V1Value::Absent),
            binary("none", V1Value::Absent),
        ],
        debug: Some(true),
    };
    assert_eq!(posted(body), [wanted]);
}

#[test]
fn ids_may_be_upper_case_and_of_any_width() {
    let id = |id: &str| posted(&format!(r#"[{{"traceId":"{id}","id":"1"}}]"#))[0].trace_id.to_string();
    assert_eq!(id("27046B00"), "0000000027046b00");
    // Zipkin keeps an upper half of 16 digits only.
    assert_eq!(id("123456789abcdef0123456789abcdef"), "0123456789abcdef0123456789abcdef");
    // Of a span's own id it, too, keeps the last 16.
    assert_eq!(posted(r#"[{"traceId":"1","id":"f000000000000000b"}]"#)[0].id, 11);
}

#[test]
fn a_tag_of_a_name_that_v2_has_too_makes_no_v2_span() {
    // Zipkin searches the raw bytes for both and would refuse this.
    let body = r#"[{"traceId":"a","id":"b","binaryAnnotations":[{"key":"tags","value":"v"},{"key":"localEndpoint","value":"v"}]}]"#;
    let rows = decode(body, &Limits::default()).unwrap();
    assert_eq!(rows[0].tags, [("localEndpoint".into(), "v".into()), ("tags".into(), "v".into())]);
}

#[test]
fn a_v2_list_is_sent_to_its_own_path() {
    for field in [r#""tags":{}"#, r#""localEndpoint":{"serviceName":"a"}"#, r#""remoteEndpoint":null"#] {
        let error = refusal(&format!(r#"[{{"traceId":"a","id":"b",{field}}}]"#));
        assert_eq!(error.peer, "Expected a JSON_V1 encoded list, but received: JSON_V2\n");
        assert!(error.remedy.contains("/api/v2/spans"), "{error}");
    }
}

#[test]
fn refusals_are_in_the_peers_words() {
    let hex = "should be a 1 to 32 character lower-hex string with no prefix";
    let table = [
        (r#"{}"#, "traceId == 0".to_owned()),
        (r#"{"traceId":"0","id":"b"}"#, "traceId == 0".to_owned()),
        (r#"{"traceId":"a"}"#, "id == 0".to_owned()),
        (r#"{"traceId":"a","id":"0000000000000000"}"#, "id == 0".to_owned()),
        (r#"{"traceId":"","id":"b"}"#, format!(" {hex}")),
        (r#"{"traceId":"0x1","id":"b"}"#, format!("0x1 {hex}")),
        (
            r#"{"traceId":"a","id":"b","annotations":[{"value":"v"}]}"#,
            "Incomplete annotation at $[0].annotations[0].value".to_owned(),
        ),
        (
            r#"{"traceId":"a","id":"b","binaryAnnotations":[{"value":"v"}]}"#,
            "No key at $[0].binaryAnnotations[0].value".to_owned(),
        ),
        (
            r#"{"traceId":"a","id":"b","binaryAnnotations":[{"key":"k","endpoint":{"port":70000}}]}"#,
            "invalid port 70000".to_owned(),
        ),
        (r#"{"traceId":"a","id":"b","annotations":{}}"#, "Malformed".to_owned()),
        (
            r#"{"traceId":"a","id":"b","timestamp":253370764800000000}"#,
            "timestamp 253370764800000000 is in or after the year 9999".to_owned(),
        ),
        (
            r#"{"traceId":"a","id":"b","annotations":[{"timestamp":253370764800000000,"value":"v"}]}"#,
            "timestamp 253370764800000000 is in or after the year 9999".to_owned(),
        ),
        (
            r#"{"traceId":"a","id":"b","timestamp":-62135596800000001}"#,
            "timestamp -62135596800000001 is before the year 1".to_owned(),
        ),
        (
            r#"{"traceId":"a","id":"b","annotations":[{"timestamp":-9223372036854775808,"value":"v"}]}"#,
            "timestamp -9223372036854775808 is before the year 1".to_owned(),
        ),
    ];
    for (span, text) in table {
        assert_eq!(refusal(&format!("[{span}]")).peer, format!("{text}{READING}"), "{span}");
    }
    assert_eq!(refusal("{}").peer, "Expected a JSON_V1 encoded list\n");
    assert_eq!(decode("", &Limits::default()).unwrap(), []);
}

#[test]
fn limits_hold() {
    let limits = Limits { max_spans: 1, max_depth: 6, max_tag_bytes: 4, ..Limits::default() };
    let error = |body: &str| decode(body, &limits).unwrap_err();
    let two = r#"[{"traceId":"a","id":"b"},{"traceId":"a","id":"b"}]"#;
    assert!(error(two).too_large);
    let value =
        |value: &str| format!(r#"[{{"traceId":"a","id":"b","binaryAnnotations":[{{"key":"k","value":{value}}}]}}]"#);
    assert_eq!(error(&value("[[[]]]")).peer, format!("nesting is deeper than 6 levels{READING}"));
    assert_eq!(error(&value("[1,23]")).peer, format!("value.length > 4{READING}"));
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(decode(&value(&deep), &Limits::default()).is_err());
}

#[test]
fn the_rows_of_a_span_count_as_spans() {
    let limits = Limits { max_spans: 3, ..Limits::default() };
    let body = |count: usize| {
        let one = |at| format!(r#"{{"timestamp":1,"value":"v","endpoint":{{"serviceName":"s{at}"}}}}"#);
        let annotations: Vec<_> = (0..count).map(one).collect();
        format!(r#"[{{"traceId":"a","id":"b"}},{{"traceId":"a","id":"b","annotations":[{}]}}]"#, annotations.join(","))
    };
    assert_eq!(decode(&body(2), &limits).unwrap().len(), 3);
    for count in [3, 4] {
        let error = decode(&body(count), &limits).unwrap_err();
        assert!(error.too_large);
        assert!(error.place.starts_with("$[1], "), "{error}");
        assert_eq!(error.peer, format!("more than 3 spans{READING}"));
    }
}

#[test]
fn annotations_of_both_sorts_are_counted_together_in_a_span_and_in_the_list() {
    let limits = Limits { max_entries: 5, max_span_entries: 3, ..Limits::default() };
    let span = |plain: usize, binary: usize| {
        let plain = vec![r#"{"timestamp":1,"value":"v"}"#; plain].join(",");
        let binary = vec![r#"{"key":"k","value":""}"#; binary].join(",");
        format!(r#"{{"traceId":"a","id":"b","annotations":[{plain}],"binaryAnnotations":[{binary}]}}"#)
    };
    assert_eq!(decode(&format!("[{},{}]", span(2, 1), span(0, 2)), &limits).unwrap().len(), 2);
    for (spans, text, place) in [
        (format!("[{}]", span(2, 2)), "more than 3 annotations and tags in a span", "$[0].binaryAnnotations[1]"),
        (format!("[{},{}]", span(1, 2), span(1, 2)), "more than 5 annotations and tags", "$[1].binaryAnnotations[1]"),
    ] {
        let error = decode(&spans, &limits).unwrap_err();
        assert!(error.too_large);
        assert_eq!(error.peer, format!("{text}{READING}"));
        assert!(error.place.starts_with(place), "{error}");
    }
}

#[test]
fn long_texts_are_cut_and_keep_their_length() {
    let limits = Limits { max_tag_bytes: 4, ..Limits::default() };
    let body = r#"[{"traceId":"a","id":"b","annotations":[{"timestamp":1,"value":"12345"}],
        "binaryAnnotations":[{"key":"k","value":"abcé","endpoint":{"port":1}}]}]"#;
    let rows = decode(body, &limits).unwrap();
    let tags: Vec<_> = rows[0].tags.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
    let wanted = [("k", "abc"), ("spanlake.original_length.annotation", "5"), ("spanlake.original_length.k", "5")];
    assert_eq!(tags, wanted);
    assert_eq!(rows[0].annotations[0].value, "1234");
}

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_character() {
    let body = r#"[{"traceId":"a","id":"b","name":"\ud83d!"}]"#;
    assert_eq!(decode(body, &Limits::default()).unwrap()[0].name.as_deref(), Some("\u{fffd}!"));
}

#[test]
fn the_fixture_is_read_whole_and_costs_little() {
    let body = include_str!("../../../../../fixtures/zipkin-v1.json");
    let rows = decode(body, &Limits::default()).unwrap();
    assert_eq!(rows.len(), 3);
    let columns: usize = rows.iter().filter_map(|row| row.v1.as_ref()).map(|column| column.len()).sum();
    assert!(columns * 100 <= body.len() * 15, "{columns} of {}", body.len());
}
