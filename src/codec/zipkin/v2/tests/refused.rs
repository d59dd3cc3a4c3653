//! What is refused, in the peer's words.

use super::*;
use crate::codec::zipkin::bounds;

const READING: &str = " reading List<Span> from json";

fn peer(body: &str) -> String {
    decode(body, &Limits::default()).unwrap_err().peer
}

#[test]
fn ids_are_refused_in_the_peers_words() {
    let table = [
        (r#"{}"#, "Missing : traceId id"),
        (r#"{"id":"b"}"#, "Missing : traceId"),
        (r#"{"traceId":"a"}"#, "Missing : id"),
        (r#"{"traceId":"","id":"b"}"#, "traceId is empty"),
        (r#"{"traceId":"0","id":"b"}"#, "traceId is all zeros"),
        (r#"{"traceId":"00000000000000000000000000000000","id":"b"}"#, "traceId is all zeros"),
        (r#"{"traceId":"000000000000000000000000000000001","id":"b"}"#, "traceId.length > 32"),
        (r#"{"traceId":"0x1","id":"b"}"#, "0x1 should be lower-hex encoded with no prefix"),
        (r#"{"traceId":"a","id":"G1"}"#, "G1 should be lower-hex encoded with no prefix"),
        (r#"{"traceId":"a","id":""}"#, "id is empty"),
        (r#"{"traceId":"a","id":"0000000000000000"}"#, "id is all zeros"),
        (r#"{"traceId":"a","id":"12345678123456781"}"#, "id.length > 16"),
        (r#"{"traceId":"a","id":"b","parentId":""}"#, "parentId is empty"),
        (r#"{"traceId":"a","id":"b","parentId":"12345678123456781"}"#, "parentId.length > 16"),
        (r#"{"traceId":"a","id":"b","parentId":"-"}"#, "- should be lower-hex encoded with no prefix"),
    ];
    for (span, text) in table {
        assert_eq!(peer(&format!("[{span}]")), format!("{text}{READING}"), "{span}");
    }
}

#[test]
fn fields_are_refused_in_the_peers_words() {
    let table = [
        (r#""kind":"INTERNAL""#, "No enum constant zipkin2.Span.Kind.INTERNAL"),
        (r#""kind":"client""#, "No enum constant zipkin2.Span.Kind.client"),
        (r#""tags":{"a":null}"#, "No value at $[0].tags.a"),
        (r#""annotations":[{"timestamp":1}]"#, "Incomplete annotation at $[0].annotations[0].timestamp"),
        (
            r#""annotations":[{"timestamp":1,"value":"v"},{"value":"v" } ]"#,
            "Incomplete annotation at $[0].annotations[1].value",
        ),
        (r#""annotations":[{}]"#, "Incomplete annotation at $[0].annotations[0]."),
        (r#""localEndpoint":{"port":70000}"#, "invalid port 70000"),
    ];
    for (fields, text) in table {
        assert_eq!(refusal_of(fields).peer, format!("{text}{READING}"), "{fields}");
    }
}

#[test]
fn wrong_types_are_refused_with_their_place_in_the_peers_words() {
    let table = [
        (r#""tags":{"a":true}"#, "a string but was BOOLEAN", "column 42 path $[0].tags.a"),
        (r#""tags":{"a":[]}"#, "a string but was BEGIN_ARRAY", "column 39 path $[0].tags.a"),
        (r#""timestamp":1.5"#, "a long but was 1.5", "column 41 path $[0].timestamp"),
        (r#""timestamp":"1.5""#, "a long but was 1.5", "column 43 path $[0].timestamp"),
        (r#""timestamp":18446744073709551615"#, "a long but was 18446744073709551615", "column 58 path $[0].timestamp"),
        (r#""timestamp":"soon""#, "a long but was soon", "column 44 path $[0].timestamp"),
        (r#""duration":"""#, "a long but was ", "column 39 path $[0].duration"),
        (r#""duration":false"#, "a long but was BOOLEAN", "column 42 path $[0].duration"),
        (r#""debug":"true""#, "a boolean but was STRING", "column 40 path $[0].debug"),
        (r#""localEndpoint":{"port":1.5}"#, "an int but was 1.5", "column 53 path $[0].localEndpoint.port"),
        (
            r#""annotations":[{"timestamp":null,"value":"v"}]"#,
            "a long but was NULL",
            "column 58 path $[0].annotations[0].timestamp",
        ),
        (r#""traceId":null"#, "a string but was NULL", "column 40 path $[0].traceId"),
    ];
    for (fields, text, place) in table {
        assert_eq!(refusal_of(fields).peer, format!("Expected {text} at line 1 {place}{READING}"), "{fields}");
    }
}

#[test]
fn what_is_no_list_of_objects_is_malformed() {
    let bodies = [
        "[1]",
        "[null]",
        "[[]]",
        "[{]",
        "[{\"name\":\"cut off",
        r#"[{"traceId":"a","id":"b"},]"#,
        r#"[{"traceId":"a","id":"b"}] x"#,
        r#"[{"traceId":"a","id":"b","tags":[]}]"#,
        r#"[{"traceId":"a","id":"b","annotations":{}}]"#,
        r#"[{"traceId":"a","id":"b","annotations":["v"]}]"#,
        r#"[{"traceId":"a","id":"b","localEndpoint":"x"}]"#,
        r#"[{"traceId":"a","id":"b","x":[1,}]"#,
        "[{\"traceId\":\"a\",\"id\":\"b\",\"name\":\"line\nbreak\"}]",
    ];
    for body in bodies {
        assert_eq!(peer(body), format!("Malformed{READING}"), "{body}");
    }
}

#[test]
fn a_body_that_breaks_off_is_named_by_its_last_place() {
    for (body, place) in [
        ("[", "line 1 column 2 path $[0]"),
        ("[{", "line 1 column 3 path $[0]."),
        (r#"[{"traceId":"a","id":"b","name""#, "line 1 column 32 path $[0].name"),
        (r#"[{"traceId":"a","id":"b","duration":12"#, "line 1 column 39 path $[0].duration"),
    ] {
        assert_eq!(peer(body), format!("End of input at {place}{READING}"), "{body}");
    }
}

#[test]
fn the_place_and_the_remedy_follow() {
    let body = "[\n{\"traceId\":\"a\",\"id\":\"b\"},\n{\"traceId\":\"a\",\"id\":\"b\",\"annotations\":[{\"timestamp\":1.5}]}\n]";
    assert_eq!(
        decode(body, &Limits::default()).unwrap_err().to_string(),
        "Expected a long but was 1.5 at line 3 column 56 path $[1].annotations[0].timestamp reading List<Span> from json\n\
         $[1].annotations[0].timestamp, line 3 column 56: send a whole number (times are in microseconds)"
    );
    assert_eq!(
        decode("[{\"id\":\"b\"}]", &Limits::default()).unwrap_err().to_string(),
        "Missing : traceId reading List<Span> from json\n\
         $[0].id, line 1 column 10: every span needs both ids, of hex digits"
    );
}

#[test]
fn one_bad_span_refuses_the_whole_list() {
    assert!(decode(r#"[{"traceId":"a","id":"b"},{"traceId":"a"}]"#, &Limits::default()).is_err());
}

#[test]
fn what_is_no_list_at_all_is_named() {
    for body in ["{}", "x", "\u{feff}[]", "null"] {
        assert_eq!(peer(body), "Expected a JSON_V2 encoded list\n", "{body}");
    }
}

#[test]
fn a_v1_list_is_sent_to_its_own_path() {
    let error = refusal_of(r#""binaryAnnotations":[{"key":"a","value":true}]"#);
    assert_eq!(error.peer, "Expected a JSON_V2 encoded list, but received: JSON_V1\n");
    assert!(error.remedy.contains("/api/v1/spans"), "{error}");
    // Only a span's field decides: Zipkin would refuse this.
    assert_eq!(rewritten(r#""tags":{"a":"binaryAnnotations"}"#), r#","tags":{"a":"binaryAnnotations"}}"#);
}

#[test]
fn times_of_the_year_9999_are_taken_for_nanoseconds() {
    let last = bounds::END_OF_TIME - 1;
    assert_eq!(rewritten(&format!(r#""timestamp":{last}"#)), format!(r#","timestamp":{last}}}"#));
    let error = refusal_of(r#""timestamp":253370764800000000"#);
    assert_eq!(
        error.to_string(),
        "timestamp 253370764800000000 is in or after the year 9999 reading List<Span> from json\n\
         $[0].timestamp, line 1 column 55: is it in nanoseconds? send microseconds since 1970"
    );
    let error = refusal_of(r#""annotations":[{"timestamp":1704067200000000000,"value":"v"}]"#);
    assert!(error.place.starts_with("$[0].annotations[0].timestamp, "), "{error}");
}

#[test]
fn times_before_the_year_1_are_refused() {
    let first = bounds::START_OF_TIME;
    let kept = decode(&format!(r#"[{{"traceId":"a","id":"b","timestamp":{first}}}]"#), &Limits::default()).unwrap()[0]
        .timestamp;
    assert_eq!(kept, Some(first));
    let error = refusal_of(r#""timestamp":-62135596800000001"#);
    assert_eq!(
        error.to_string(),
        "timestamp -62135596800000001 is before the year 1 reading List<Span> from json\n\
         $[0].timestamp, line 1 column 55: send microseconds since 1970, or leave it out where the time is not known"
    );
    let error = refusal_of(&format!(r#""annotations":[{{"timestamp":{},"value":"v"}}]"#, i64::MIN));
    assert!(error.place.starts_with("$[0].annotations[0].timestamp, "), "{error}");
}

#[test]
fn more_spans_than_the_limit_are_too_large() {
    let limits = Limits { max_spans: 2, ..Limits::default() };
    let list = |count: usize| format!("[{}]", vec![r#"{"traceId":"a","id":"b"}"#; count].join(","));
    assert_eq!(decode(&list(2), &limits).unwrap().len(), 2);
    let error = decode(&list(3), &limits).unwrap_err();
    assert!(error.too_large);
    assert_eq!(error.peer, "more than 2 spans reading List<Span> from json");
    assert!(!refusal_of(r#""kind":"X""#).too_large);
}

#[test]
fn annotations_and_tags_are_counted_together_in_a_span_and_in_the_list() {
    let limits = Limits { max_entries: 5, max_span_entries: 3, ..Limits::default() };
    let span = |annotations: usize, tags: usize| {
        let annotations = vec![r#"{"timestamp":1,"value":"v"}"#; annotations].join(",");
        let tags = vec![r#""k":"v""#; tags].join(",");
        format!(r#"{{"traceId":"a","id":"b","annotations":[{annotations}],"tags":{{{tags}}}}}"#)
    };
    assert_eq!(decode(&format!("[{},{}]", span(2, 1), span(0, 2)), &limits).unwrap().len(), 2);
    for (spans, text, place) in [
        (format!("[{}]", span(2, 2)), "more than 3 annotations and tags in a span", "$[0].tags.k, "),
        (format!("[{},{}]", span(2, 1), span(3, 0)), "more than 5 annotations and tags", "$[1].annotations[2]"),
    ] {
        let error = decode(&spans, &limits).unwrap_err();
        assert!(error.too_large);
        assert_eq!(error.peer, format!("{text}{READING}"));
        assert!(error.place.starts_with(place), "{error}");
    }
}

#[test]
fn nesting_is_bounded_also_where_nothing_is_read() {
    let limits = Limits { max_depth: 6, ..Limits::default() };
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        format!(r#"[{{"traceId":"a","id":"b","x":{open}{close}}}]"#)
    };
    assert_eq!(decode(&nested(4), &limits).unwrap().len(), 1);
    let error = decode(&nested(5), &limits).unwrap_err();
    assert_eq!(error.peer, "nesting is deeper than 6 levels reading List<Span> from json");
    assert!(error.place.starts_with("$[0].x, "), "{error}");
    // Neither does a million of them overrun the stack, in any place.
    let deep = "[".repeat(1_000_000);
    for body in [format!(r#"[{{"x":{deep}"#), deep.clone(), format!(r#"[{{"name":{deep}"#), nested(1_000_000)] {
        assert!(decode(&body, &Limits::default()).is_err());
    }
    let inside = format!(r#""tags":{{"a":{}"#, "{\"a\":".repeat(1000));
    assert!(refusal_of(&inside).peer.starts_with("Expected a string but was BEGIN_OBJECT"));
}

#[test]
fn names_and_keys_over_the_limit_are_refused() {
    let limits = Limits { max_tag_bytes: 4, ..Limits::default() };
    let table = [
        (r#""name":"12345""#, "name.length > 4"),
        (r#""localEndpoint":{"serviceName":"12345"}"#, "serviceName.length > 4"),
        (r#""tags":{"12345":"v"}"#, "tag.length > 4"),
    ];
    for (fields, text) in table {
        let body = format!(r#"[{{"traceId":"a","id":"b",{fields}}}]"#);
        assert_eq!(decode(&body, &limits).unwrap_err().peer, format!("{text}{READING}"), "{fields}");
    }
}

#[test]
fn no_prefix_of_a_body_panics_or_passes() {
    let body = r#"[{"traceId":"a","id":"b","tags":{"é":"\ud83d\ude00","n":-1.5e3},"annotations":[{"timestamp":1,"value":"v"}]}]"#;
    for end in (1..body.len()).filter(|&end| body.is_char_boundary(end)) {
        assert!(decode(&body[..end], &Limits::default()).is_err(), "{}", &body[..end]);
    }
}
