//! The rules by which one posted span becomes rows, one scenario each, as v2 JSON shows the rows.

use super::super::*;
use crate::codec::Limits;
use crate::codec::zipkin::v2;

/// What the rows of a span of these fields are in v2 JSON, without the ids and the name that all share.
fn rows(fields: &str) -> Vec<String> {
    let body = format!(r#"[{{"traceId":"a","id":"b","name":"N",{fields}}}]"#);
    let rows = decode(&body, &Limits::default()).unwrap();
    let show = |row| {
        let mut out = Vec::new();
        v2::write(row, &mut out);
        let json = String::from_utf8(out).unwrap();
        json.replacen(r#""traceId":"000000000000000a","id":"000000000000000b","#, "", 1).replacen(
            r#""name":"n","#,
            "",
            1,
        )
    };
    rows.iter().map(show).collect()
}

fn moments(list: &[(i64, &str, &str)]) -> String {
    let one = |&(timestamp, value, service): &(i64, &str, &str)| match service {
        "" => format!(r#"{{"timestamp":{timestamp},"value":"{value}"}}"#),
        _ => format!(r#"{{"timestamp":{timestamp},"value":"{value}","endpoint":{{"serviceName":"{service}"}}}}"#),
    };
    let list: Vec<_> = list.iter().map(one).collect();
    format!(r#""annotations":[{}]"#, list.join(","))
}

#[test]
fn a_client_and_a_server_each_with_its_time() {
    assert_eq!(
        rows(&format!(r#""timestamp":10,"duration":5,{}"#, moments(&[(10, "cs", "front"), (15, "cr", "front")]))),
        [r#"{"kind":"CLIENT","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"front"}}"#]
    );
    assert_eq!(
        rows(&format!(r#""timestamp":10,"duration":5,{}"#, moments(&[(10, "sr", "back"), (15, "ss", "back")]))),
        [r#"{"kind":"SERVER","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"back"}}"#]
    );
}

#[test]
fn the_spans_own_time_and_duration_win_if_both_are_there() {
    let sides = moments(&[(11, "cs", "front"), (14, "cr", "front")]);
    let client = |times: &str| format!(r#"{{"kind":"CLIENT",{times},"localEndpoint":{{"serviceName":"front"}}}}"#);
    assert_eq!(rows(&format!(r#""timestamp":10,"duration":5,{sides}"#)), [client(r#""timestamp":10,"duration":5"#)]);
    for times in [r#""timestamp":10,"#, r#""duration":5,"#, r#""timestamp":10,"duration":0,"#, ""] {
        assert_eq!(rows(&format!("{times}{sides}")), [client(r#""timestamp":11,"duration":3"#)], "{times}");
    }
}

#[test]
fn a_server_that_sends_no_time_joined_the_span() {
    let shared =
        r#"{"kind":"SERVER","timestamp":11,"duration":3,"localEndpoint":{"serviceName":"back"},"shared":true}"#;
    let sides = moments(&[(11, "sr", "back"), (14, "ss", "back")]);
    for times in ["", r#""timestamp":0,"#, r#""timestamp":10,"#] {
        assert_eq!(rows(&format!("{times}{sides}")), [shared], "{times}");
    }
}

#[test]
fn both_sides_in_one_span_become_two_rows() {
    let sides = [(10, "cs", "front"), (11, "sr", "back"), (14, "ss", "back"), (15, "cr", "front")];
    let server =
        r#"{"kind":"SERVER","timestamp":11,"duration":3,"localEndpoint":{"serviceName":"back"},"shared":true}"#;
    let client = r#"{"kind":"CLIENT","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"front"}}"#;
    assert_eq!(rows(&format!(r#""timestamp":10,"duration":5,{}"#, moments(&sides))), [client, server]);
    // The first in time is the first row, whatever was named first.
    assert_eq!(rows(&moments(&[sides[1], sides[2], sides[0], sides[3]])), [client, server]);
}

#[test]
fn a_service_that_calls_itself_gets_a_second_row() {
    let sides = [(10, "cs", "self"), (11, "sr", "self"), (14, "ss", "self"), (15, "cr", "self")];
    assert_eq!(
        rows(&moments(&sides)),
        [
            r#"{"kind":"CLIENT","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"self"}}"#,
            r#"{"kind":"SERVER","timestamp":11,"duration":3,"localEndpoint":{"serviceName":"self"},"shared":true}"#,
        ]
    );
}

#[test]
fn a_call_without_an_answer_has_no_duration() {
    assert_eq!(
        rows(&format!(r#""timestamp":10,{}"#, moments(&[(10, "cs", "front"), (11, "sr", "back")]))),
        [
            r#"{"kind":"CLIENT","timestamp":10,"localEndpoint":{"serviceName":"front"}}"#,
            r#"{"kind":"SERVER","timestamp":11,"localEndpoint":{"serviceName":"back"},"shared":true}"#,
        ]
    );
}

#[test]
fn a_beginning_that_a_bridge_lost_is_inferred_from_the_end() {
    assert_eq!(
        rows(&format!(r#""timestamp":10,"duration":5,{}"#, moments(&[(15, "cr", "front")]))),
        [r#"{"kind":"CLIENT","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"front"}}"#]
    );
    assert_eq!(
        rows(&format!(r#""timestamp":10,"duration":5,{}"#, moments(&[(15, "ss", "back")]))),
        [r#"{"kind":"SERVER","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"back"}}"#]
    );
}

#[test]
fn an_incomplete_side_keeps_its_lone_end_as_an_annotation() {
    assert_eq!(
        rows(&moments(&[(15, "cr", "front"), (12, "retry", "front")])),
        [concat!(
            r#"{"kind":"CLIENT","localEndpoint":{"serviceName":"front"},"#,
            r#""annotations":[{"timestamp":12,"value":"retry"},{"timestamp":15,"value":"cr"}]}"#
        )]
    );
    assert_eq!(
        rows(&moments(&[(10, "cs", "front")])),
        [r#"{"kind":"CLIENT","timestamp":10,"localEndpoint":{"serviceName":"front"}}"#]
    );
    assert_eq!(
        rows(&format!(r#""timestamp":9,{}"#, moments(&[(14, "ss", "back")]))),
        [concat!(
            r#"{"kind":"SERVER","timestamp":9,"localEndpoint":{"serviceName":"back"},"#,
            r#""annotations":[{"timestamp":14,"value":"ss"}]}"#
        )]
    );
}

#[test]
fn a_moment_without_an_endpoint_is_a_plain_annotation() {
    assert_eq!(
        rows(&format!(r#""timestamp":10,{}"#, moments(&[(10, "cs", ""), (11, "csx", "front")]))),
        [concat!(
            r#"{"timestamp":10,"localEndpoint":{"serviceName":"front"},"#,
            r#""annotations":[{"timestamp":10,"value":"cs"},{"timestamp":11,"value":"csx"}]}"#
        )]
    );
}

#[test]
fn annotations_and_tags_go_to_the_row_of_their_service_and_else_to_the_first() {
    let fields = format!(
        r#"{},"binaryAnnotations":[{{"key":"a","value":"1","endpoint":{{"serviceName":"BACK"}}}},{{"key":"b","value":"2"}},
            {{"key":"c","value":"3","endpoint":{{"ipv4":"1.2.3.4"}}}}]"#,
        moments(&[(10, "x", "front"), (11, "y", "back"), (12, "z", "")])
    );
    assert_eq!(
        rows(&fields),
        [
            concat!(
                r#"{"localEndpoint":{"serviceName":"front"},"annotations":[{"timestamp":10,"value":"x"},"#,
                r#"{"timestamp":12,"value":"z"}],"tags":{"b":"2"}}"#
            ),
            r#"{"localEndpoint":{"serviceName":"back"},"annotations":[{"timestamp":11,"value":"y"}],"tags":{"a":"1"}}"#,
            r#"{"localEndpoint":{"ipv4":"1.2.3.4"},"tags":{"c":"3"}}"#,
        ]
    );
}

#[test]
fn only_texts_become_tags() {
    let fields = r#""binaryAnnotations":[{"key":"text","value":"v"},{"key":"bool","value":true},{"key":"number","value":1},
        {"key":"none"},{"key":"empty","value":""},{"key":"lc","value":"","endpoint":{"serviceName":"Local"}}]"#;
    assert_eq!(rows(fields), [r#"{"localEndpoint":{"serviceName":"local"},"tags":{"empty":"","text":"v"}}"#]);
    let named = r#""binaryAnnotations":[{"key":"lc","value":"worker","endpoint":{"serviceName":"Local"}}]"#;
    assert_eq!(rows(named), [r#"{"localEndpoint":{"serviceName":"local"},"tags":{"lc":"worker"}}"#]);
}

#[test]
fn producer_and_consumer() {
    assert_eq!(
        rows(&moments(&[(10, "ms", "front")])),
        [r#"{"kind":"PRODUCER","timestamp":10,"localEndpoint":{"serviceName":"front"}}"#]
    );
    assert_eq!(
        rows(&moments(&[(10, "ms", "front"), (12, "ws", "front")])),
        [r#"{"kind":"PRODUCER","timestamp":10,"duration":2,"localEndpoint":{"serviceName":"front"}}"#]
    );
    assert_eq!(
        rows(&moments(&[(20, "mr", "back")])),
        [r#"{"kind":"CONSUMER","timestamp":20,"localEndpoint":{"serviceName":"back"}}"#]
    );
    assert_eq!(
        rows(&moments(&[(17, "wr", "back"), (20, "mr", "back")])),
        [r#"{"kind":"CONSUMER","timestamp":17,"duration":3,"localEndpoint":{"serviceName":"back"}}"#]
    );
    assert_eq!(
        rows(&moments(&[(17, "wr", "back"), (12, "ws", "back")])),
        [concat!(
            r#"{"localEndpoint":{"serviceName":"back"},"#,
            r#""annotations":[{"timestamp":12,"value":"ws"},{"timestamp":17,"value":"wr"}]}"#
        )]
    );
}

#[test]
fn producer_and_consumer_in_one_span_fork() {
    for (service, rest) in [("back", "back"), ("front", "front")] {
        let sides = [(10, "ms", "front"), (12, "ws", "front"), (17, "wr", service), (20, "mr", service)];
        let consumer = format!(
            r#"{{"kind":"CONSUMER","timestamp":17,"duration":3,"localEndpoint":{{"serviceName":"{rest}"}},"shared":true}}"#
        );
        assert_eq!(
            rows(&moments(&sides)),
            [r#"{"kind":"PRODUCER","timestamp":10,"duration":2,"localEndpoint":{"serviceName":"front"}}"#, &consumer],
            "{service}"
        );
    }
}

/// An address annotation.
fn address(key: &str, value: &str, endpoint: &str) -> String {
    format!(r#"{{"key":"{key}","value":{value},"endpoint":{{{endpoint}}}}}"#)
}

#[test]
fn addresses_of_the_other_side() {
    let with = |sides: &[(i64, &str, &str)], binaries: &[String]| {
        rows(&format!(r#"{},"binaryAnnotations":[{}]"#, moments(sides), binaries.join(",")))
    };
    let back = r#""serviceName":"back","port":80"#;
    let client = [(10, "cs", "front"), (15, "cr", "front")];
    let client_row = [concat!(
        r#"{"kind":"CLIENT","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"front"},"#,
        r#""remoteEndpoint":{"serviceName":"back","port":80}}"#
    )];
    // Whatever the value: Ruby agents send "1".
    for value in ["true", "\"1\"", "\"\"", "\"false\""] {
        assert_eq!(with(&client, &[address("sa", value, back)]), client_row, "{value}");
    }
    for value in ["false", "1", "null"] {
        assert!(!with(&client, &[address("sa", value, back)]).concat().contains("remote"), "{value}");
    }
    let server = [(10, "sr", "back"), (15, "ss", "back")];
    assert_eq!(
        with(&server, &[address("ca", "true", r#""serviceName":"front","ipv4":"1.2.3.4""#)]),
        [concat!(
            r#"{"kind":"SERVER","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"back"},"#,
            r#""remoteEndpoint":{"serviceName":"front","ipv4":"1.2.3.4"},"shared":true}"#
        )]
    );
    // Finagle's servers name themselves in the caller's address.
    assert_eq!(
        with(&server, &[address("ca", "true", r#""serviceName":"Back","port":4711"#)]),
        [concat!(
            r#"{"kind":"SERVER","timestamp":10,"duration":5,"localEndpoint":{"serviceName":"back"},"#,
            r#""remoteEndpoint":{"port":4711},"shared":true}"#
        )]
    );
    assert!(!with(&server, &[address("ca", "true", r#""serviceName":"Back""#)]).concat().contains("remote"));
    // A broker is the other side of both.
    let message = [(10, "ms", "front"), (20, "mr", "back")];
    for row in with(&message, &[address("ma", "true", r#""serviceName":"kafka""#)]) {
        assert!(row.contains(r#""remoteEndpoint":{"serviceName":"kafka"}"#), "{row}");
    }
}

#[test]
fn addresses_alone() {
    let with = |binaries: &[String]| rows(&format!(r#""timestamp":10,"binaryAnnotations":[{}]"#, binaries.join(",")));
    let ca = address("ca", "true", r#""serviceName":"front""#);
    let sa = address("sa", "true", r#""serviceName":"back""#);
    assert_eq!(
        with(&[ca.clone(), sa.clone()]),
        [concat!(
            r#"{"timestamp":10,"localEndpoint":{"serviceName":"front"},"#,
            r#""remoteEndpoint":{"serviceName":"back"}}"#
        )]
    );
    assert_eq!(with(&[sa]), [r#"{"timestamp":10,"remoteEndpoint":{"serviceName":"back"}}"#]);
    assert_eq!(with(&[ca]), [r#"{"kind":"SERVER","timestamp":10,"remoteEndpoint":{"serviceName":"front"}}"#]);
}

#[test]
fn names_are_stored_as_they_were_sent() {
    let body = r#"[{"traceId":"a","id":"b","parentId":"0","name":"Get /A","duration":0,"debug":false,
        "annotations":[{"timestamp":1,"value":"x","endpoint":{"serviceName":"Front"}}]}]"#;
    let rows = decode(body, &Limits::default()).unwrap();
    assert_eq!(rows[0].name.as_deref(), Some("Get /A"));
    assert_eq!(rows[0].local.as_ref().unwrap().service.as_deref(), Some("Front"));
    assert_eq!((rows[0].parent_id, rows[0].debug), (Some(0), Some(false)));
}
