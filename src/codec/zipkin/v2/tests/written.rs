//! What is answered: the peer's normal form, byte for byte.

use super::*;

#[test]
fn fields_are_in_the_peers_order_and_names_in_lower_case() {
    let body = r#"[{"shared":true,"debug":true,"tags":{"b":"B","a":"é\u2028\"\\\u0001"},
        "annotations":[{"value":"Z","timestamp":2},{"value":"a","timestamp":1},{"value":"Z","timestamp":2}],
        "remoteEndpoint":{"port":443,"ipv6":"2001:db8::c001","serviceName":"BACK"},
        "localEndpoint":{"ipv4":"1.2.3.4","serviceName":"ÄFront"},
        "duration":7,"timestamp":6,"name":"GET /A","kind":"SERVER","id":"5","parentId":"4","traceId":"3"}]"#;
    let wanted = concat!(
        r#"{"traceId":"0000000000000003","parentId":"0000000000000004","id":"0000000000000005","kind":"SERVER","#,
        r#""name":"get /a","timestamp":6,"duration":7,"localEndpoint":{"serviceName":"äfront","ipv4":"1.2.3.4"},"#,
        r#""remoteEndpoint":{"serviceName":"back","ipv6":"2001:db8::c001","port":443},"#,
        r#""annotations":[{"timestamp":1,"value":"a"},{"timestamp":2,"value":"Z"}],"#,
        r#""tags":{"a":"é\u2028\"\\\u0001","b":"B"},"debug":true,"shared":true}"#
    );
    assert_eq!(json(&spans(body)[0]), wanted);
}

#[test]
fn what_the_peer_reads_as_absent_is_absent() {
    for fields in [
        r#""parentId":"0""#,
        r#""parentId":"b""#,
        r#""name":"""#,
        r#""timestamp":0,"duration":0"#,
        r#""timestamp":-1,"duration":-1"#,
        r#""localEndpoint":{},"remoteEndpoint":{"serviceName":""}"#,
        r#""annotations":[],"tags":{}"#,
        r#""debug":false,"shared":false"#,
    ] {
        assert_eq!(rewritten(fields), "}", "{fields}");
    }
    assert_eq!(rewritten(r#""kind":"CLIENT","shared":true"#), r#","kind":"CLIENT"}"#);
}

#[test]
fn trace_ids_have_16_digits_or_32() {
    let written = |id: &str| {
        let body = format!(r#"[{{"traceId":"{id}","id":"b"}}]"#);
        let json = json(&spans(&body)[0]);
        json[12..].split('"').next().unwrap().to_owned()
    };
    assert_eq!(written("A"), "000000000000000a");
    assert_eq!(written("10000000000000000"), "00000000000000010000000000000000");
    assert_eq!(written("123456789abcdef0123456789abcdef"), "0123456789abcdef0123456789abcdef");
    // The peer drops an upper half of zeros.
    assert_eq!(written("0000000000000000000000000000000a"), "000000000000000a");
}

#[test]
fn the_fixture_is_read_whole() {
    let spans = spans(include_str!("../../../../../fixtures/zipkin-v2.json"));
    assert_eq!(spans.len(), 4);
    assert_eq!(spans[2].shared, Some(true));
    assert!(json(&spans[2]).contains(r#"[{"timestamp":1704067200016000,"value":"card authorised"},{"timestamp":17"#));
}
