//! What is taken, and how it is kept.

use super::*;
use crate::model::Endpoint;

#[test]
fn every_field_is_kept_as_it_was_sent() {
    let body = r#" [{"traceId":"000000000000000A000000000000000b","parentId":"0","id":"C","kind":"PRODUCER","name":"Send",
        "timestamp":5,"duration":0,
        "localEndpoint":{"serviceName":"Front","ipv4":"1.2.3.4","ipv6":"2001:DB8::C001","port":80},
        "remoteEndpoint":{"serviceName":"Back"},
        "annotations":[{"timestamp":9,"value":"b"},{"timestamp":7,"value":"A"}],
        "tags":{"z":"1","a":"2"},"debug":false,"shared":true}] "#;
    let mut wanted = Span::new(TraceId::wide(10, 11), 12);
    wanted.parent_id = Some(0);
    wanted.kind = Some(Kind::Producer);
    wanted.name = Some("Send".into());
    wanted.timestamp = Some(5);
    wanted.duration = Some(0);
    wanted.local = Some(Endpoint {
        service: Some("Front".into()),
        ipv4: Some([1, 2, 3, 4].into()),
        ipv6: Some("2001:db8::c001".parse().unwrap()),
        port: Some(80),
    });
    wanted.remote = Some(Endpoint { service: Some("Back".into()), ..Endpoint::default() });
    wanted.annotations =
        vec![Annotation { timestamp: 9, value: "b".into() }, Annotation { timestamp: 7, value: "A".into() }];
    wanted.tags = vec![("a".into(), "2".into()), ("z".into(), "1".into())];
    wanted.debug = Some(false);
    wanted.shared = Some(true);
    assert_eq!(spans(body), [wanted]);
}

#[test]
fn texts_are_borrowed_unless_escaped() {
    let body = r#"[{"traceId":"a","id":"b","name":"plain","tags":{"k":"v","esc":"a\nb"}}]"#;
    let spans = spans(body);
    assert!(matches!(spans[0].name, Some(Cow::Borrowed("plain"))));
    assert!(matches!(&spans[0].tags[..], [(_, Cow::Owned(_)), (Cow::Borrowed("k"), Cow::Borrowed("v"))]));
    assert_eq!(spans[0].tag("esc"), Some("a\nb"));
}

#[test]
fn no_body_and_an_empty_list_are_no_spans() {
    for body in ["", " \n", "[]", "[ ]", " \r\n\t[]\n"] {
        assert_eq!(spans(body), [], "{body:?}");
    }
}

#[test]
fn white_space_before_the_list_is_skipped() {
    // Zipkin looks at the first byte only.
    assert_eq!(spans("\n\t [{\"traceId\":\"a\",\"id\":\"b\"}]").len(), 1);
}

#[test]
fn numbers_stand_for_texts_digit_by_digit() {
    let body = r#"[{"traceId":1234,"id":5,"parentId":6,"name":7,"tags":{"int":-1,"big":18446744073709551616,"exp":1e3,
        "fraction":1.50,"zero":-0,"huge":1e999,"text":"t\u0061g"},"annotations":[{"timestamp":1,"value":2.0}]}]"#;
    let span = &spans(body)[0];
    assert_eq!((span.trace_id, span.id, span.parent_id), (TraceId::narrow(0x1234), 5, Some(6)));
    assert_eq!(span.name.as_deref(), Some("7"));
    assert_eq!(span.annotations[0].value, "2.0");
    let tags: Vec<_> = span.tags.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
    let wanted = [
        ("big", "18446744073709551616"),
        ("exp", "1e3"),
        ("fraction", "1.50"),
        ("huge", "1e999"),
        ("int", "-1"),
        ("text", "tag"),
        ("zero", "-0"),
    ];
    assert_eq!(tags, wanted);
}

#[test]
fn times_may_be_texts_or_have_an_exponent() {
    for (sent, time) in [("\"123\"", 123), ("1e3", 1000), ("\"1e3\"", 1000), ("5.0", 5), ("-7", -7), ("0", 0)] {
        let body = format!(r#"[{{"traceId":"a","id":"b","timestamp":{sent},"duration":{sent}}}]"#);
        let span = &spans(&body)[0];
        assert_eq!((span.timestamp, span.duration), (Some(time), Some(time)), "{sent}");
    }
}

#[test]
fn fields_that_nobody_knows_are_skipped() {
    let body = r#"[{"x":{"y":[1,"}",{"z":null}]},"traceId":"a","localEndpoint":{"x":[],"port":1},
        "annotations":[{"timestamp":1,"x":1e999,"value":"v"}],"id":"b"}]"#;
    let span = &spans(body)[0];
    assert_eq!(span.local, Some(Endpoint { port: Some(1), ..Endpoint::default() }));
    assert_eq!(span.annotations.len(), 1);
}

#[test]
fn null_is_an_absent_field() {
    let body = r#"[{"traceId":"a","id":"b","parentId":null,"kind":null,"name":null,"timestamp":null,"duration":null,
        "localEndpoint":null,"remoteEndpoint":{"serviceName":null,"ipv4":null,"ipv6":null,"port":null},
        "annotations":null,"tags":null,"debug":null,"shared":null}]"#;
    assert_eq!(spans(body), [Span::new(TraceId::narrow(10), 11)]);
}

#[test]
fn addresses_of_either_family_are_found_in_either_field_and_others_dropped() {
    let local = |fields: &str| {
        let body = format!(r#"[{{"traceId":"a","id":"b","localEndpoint":{{{fields}}}}}]"#);
        spans(&body)[0]
            .local
            .clone()
            .map(|local| (local.ipv4.map(|a| a.to_string()), local.ipv6.map(|a| a.to_string())))
    };
    let v4 = |text: &str| Some((Some(text.to_owned()), None));
    let v6 = |text: &str| Some((None, Some(text.to_owned())));
    assert_eq!(local(r#""ipv6":"1.2.3.4""#), v4("1.2.3.4"));
    assert_eq!(local(r#""ipv4":"::1""#), v6("::1"));
    assert_eq!(local(r#""ipv6":"::ffff:1.2.3.4""#), v4("1.2.3.4"));
    assert_eq!(local(r#""ipv6":"::FFFF:0102:0304""#), v4("1.2.3.4"));
    assert_eq!(local(r#""ipv6":"::1.2.3.4""#), v4("1.2.3.4"));
    assert_eq!(local(r#""ipv6":"2001:db8:0:0:0:0:0:c001""#), v6("2001:db8::c001"));
    assert_eq!(local(r#""ipv4":"010.002.3.4""#), v4("10.2.3.4"));
    for none in ["localhost", "1.2.3", "256.1.1.1", "fe80::1%eth0", "", "1.2.3.4:80", "1.2.3.4.5", "1.2.3.0256"] {
        assert_eq!(local(&format!(r#""ipv4":"{none}""#)), None, "{none}");
    }
}

#[test]
fn a_port_of_zero_or_less_is_unknown() {
    assert_eq!(rewritten(r#""localEndpoint":{"port":0}"#), "}");
    assert_eq!(rewritten(r#""localEndpoint":{"port":-1}"#), "}");
    assert_eq!(rewritten(r#""localEndpoint":{"port":"65535"}"#), r#","localEndpoint":{"port":65535}}"#);
}

#[test]
fn of_a_tag_or_field_that_comes_twice_the_last_counts() {
    assert_eq!(rewritten(r#""tags":{"a":"1","a":"2"},"tags":{"b":"3"}"#), r#","tags":{"a":"2","b":"3"}}"#);
    assert_eq!(rewritten(r#""name":"a","name":"b""#), r#","name":"b"}"#);
}

#[test]
fn a_short_id_of_zeros_passes_as_it_does_in_zipkin() {
    assert_eq!(spans(r#"[{"traceId":"a","id":"0"}]"#)[0].id, 0);
}

#[test]
fn half_a_surrogate_pair_becomes_the_replacement_character() {
    // Agents that cut texts by UTF-16 units send them, and Zipkin takes them.
    let body = r#"[{"traceId":"a","id":"b","name":"cut \ud83d","tags":{"\\ud83d":"\ude00 \ud83d\ude00 \ud83dx\\"}}]"#;
    let span = &spans(body)[0];
    assert_eq!(span.name.as_deref(), Some("cut \u{fffd}"));
    assert_eq!(span.tags, [("\\ud83d".into(), "\u{fffd} 😀 \u{fffd}x\\".into())]);
}

#[test]
fn long_values_are_cut_at_a_character_and_keep_their_length() {
    let limits = Limits { max_tag_bytes: 4, ..Limits::default() };
    let body = r#"[{"traceId":"a","id":"b","tags":{"cut":"abcé","fits":"abcd"},
        "annotations":[{"timestamp":1,"value":"12345"},{"timestamp":2,"value":"1234"}]}]"#;
    let span = &decode(body, &limits).unwrap()[0];
    let tags: Vec<_> = span.tags.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
    let wanted = [
        ("cut", "abc"),
        ("fits", "abcd"),
        ("spanlake.original_length.annotation", "5"),
        ("spanlake.original_length.cut", "5"),
    ];
    assert_eq!(tags, wanted);
    assert_eq!(span.annotations[0].value, "1234");
}
