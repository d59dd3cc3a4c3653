//! What is taken as thrift, how it is kept, and what is refused.

use super::*;
use crate::codec::zipkin::v1::unsplit;
use crate::codec::zipkin::{ats, v1};
use crate::model::Kind;
use std::net::Ipv6Addr;

const READING: &str = " reading List<Span> from TBinary";

fn field(kind: u8, id: i16, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[kind][..], &id.to_be_bytes(), value.as_ref()].concat()
}

fn text(id: i16, text: impl AsRef<[u8]>) -> Vec<u8> {
    field(kind::STRING, id, sized(text))
}

fn sized(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
}

fn long(id: i16, number: i64) -> Vec<u8> {
    field(kind::I64, id, number.to_be_bytes())
}

/// A struct of these fields.
fn object(fields: &[Vec<u8>]) -> Vec<u8> {
    [fields.concat(), vec![kind::STOP]].concat()
}

fn list(elements: &[Vec<u8>]) -> Vec<u8> {
    [&[kind::STRUCT][..], &(elements.len() as i32).to_be_bytes(), &elements.concat()].concat()
}

/// A span with these fields behind its ids.
fn span(fields: &[Vec<u8>]) -> Vec<u8> {
    object(&[long(1, 10), long(4, 11), fields.concat()])
}

/// A list of one span with these fields behind its ids.
fn with(fields: &[Vec<u8>]) -> Vec<u8> {
    list(&[span(fields)])
}

fn annotations(elements: &[Vec<u8>]) -> Vec<u8> {
    field(kind::LIST, 6, list(elements))
}

fn binaries(elements: &[Vec<u8>]) -> Vec<u8> {
    field(kind::LIST, 8, list(elements))
}

fn annotation(timestamp: i64, value: &str) -> Vec<u8> {
    object(&[long(1, timestamp), text(2, value)])
}

fn binary(key: &str, value_type: i32, value: impl AsRef<[u8]>) -> Vec<u8> {
    object(&[text(1, key), text(2, value), field(kind::I32, 3, value_type.to_be_bytes())])
}

fn posted(body: &[u8]) -> Vec<V1Span<'_>> {
    decode_posted(body, &Limits::default()).unwrap()
}

fn refusal(body: &[u8]) -> DecodeError {
    decode(body, &Limits::default()).unwrap_err()
}

#[test]
fn every_field_is_kept_as_it_was_sent() {
    let host = object(&[
        field(kind::I32, 1, [1, 2, 3, 4]),
        // Over 32767 in 16 bits.
        field(kind::I16, 2, 50_000u16.to_be_bytes()),
        text(3, "Front"),
        text(4, 0x2001_0db8_u128.to_be_bytes()),
    ]);
    let body = list(&[object(&[
        long(12, 9),
        long(1, -1),
        text(3, "Get"),
        long(4, 12),
        long(5, 0),
        annotations(&[object(&[long(1, 2), text(2, "cs"), field(kind::STRUCT, 3, &host)]), annotation(1, "")]),
        binaries(&[object(&[
            text(1, "k"),
            text(2, "v"),
            field(kind::I32, 3, [0, 0, 0, 6]),
            field(kind::STRUCT, 4, &host),
        ])]),
        field(kind::BOOL, 9, [1]),
        long(10, 0),
        long(11, 7),
    ])]);
    let front = Endpoint {
        service: Some("Front".into()),
        ipv4: Some([1, 2, 3, 4].into()),
        ipv6: Some(Ipv6Addr::from(0x2001_0db8_u128)),
        port: Some(50_000),
    };
    let wanted = V1Span {
        parent_id: Some(0),
        name: Some("Get".into()),
        timestamp: Some(0),
        duration: Some(7),
        annotations: vec![
            V1Annotation { timestamp: 2, value: "cs".into(), endpoint: Some(front.clone()) },
            V1Annotation { timestamp: 1, value: "".into(), endpoint: None },
        ],
        binary_annotations: vec![V1BinaryAnnotation {
            key: "k".into(),
            value: V1Value::Text("v".into()),
            kind: None,
            endpoint: Some(front),
        }],
        debug: Some(true),
        ..V1Span::new(TraceId::wide(9, u64::MAX), 12)
    };
    assert_eq!(posted(&body), [wanted]);
}

#[test]
fn the_high_half_of_an_id_of_zero_is_none() {
    let id = |high: i64, low: i64| posted(&list(&[object(&[long(12, high), long(1, low), long(4, 1)])]))[0].trace_id;
    assert_eq!(id(0, 7), TraceId::narrow(7));
    // Zipkin refuses this one, of which it minds the low half only.
    assert_eq!(id(7, 0), TraceId::wide(7, 0));
}

#[test]
fn both_types_of_a_list_are_taken() {
    let mut body = with(&[]);
    body[0] = 11;
    assert_eq!(posted(&body).len(), 1);
    for empty in [&b""[..], b"[]", &list(&[])] {
        assert_eq!(decode(empty, &Limits::default()), Ok(Vec::new()));
    }
}

#[test]
fn zeros_of_generated_code_are_absent() {
    let host = object(&[field(kind::I32, 1, [0; 4]), field(kind::I16, 2, [0; 2]), text(3, ""), text(4, [1, 2, 3])]);
    let body = with(&[
        annotations(&[
            object(&[long(1, 5), text(2, "v"), field(kind::STRUCT, 3, &host)]),
            annotation(0, "no time"),
            object(&[long(1, 5)]),
            object(&[]),
        ]),
        binaries(&[object(&[text(2, "no key")]), object(&[text(1, "no value")])]),
    ]);
    let wanted = V1Span {
        annotations: vec![V1Annotation { timestamp: 5, value: "v".into(), endpoint: None }],
        binary_annotations: vec![V1BinaryAnnotation {
            key: "no value".into(),
            value: V1Value::Absent,
            kind: None,
            endpoint: None,
        }],
        ..V1Span::new(TraceId::narrow(10), 11)
    };
    assert_eq!(posted(&body), [wanted]);
}

/// What the ATS API gives back is what v1 JSON would have said.
#[test]
fn values_of_every_type_come_back_as_v1_json_has_them() {
    let table: [(i32, &[u8], &str); 23] = [
        (0, &[1], r#""value":true"#),
        (0, &[0], r#""value":false"#),
        (0, &[], r#""value":"","type":"BOOL""#),
        (1, &[0], r#""value":"AA==","type":"BYTES""#),
        (1, &[0xfb, 0xff], r#""value":"+/8=","type":"BYTES""#),
        (1, b"foobar", r#""value":"Zm9vYmFy","type":"BYTES""#),
        (1, &[], r#""value":"","type":"BYTES""#),
        (2, &(-2i16).to_be_bytes(), r#""value":-2,"type":"I16""#),
        (3, &42i32.to_be_bytes(), r#""value":42,"type":"I32""#),
        (3, &[42], r#""value":"Kg==","type":"I32""#),
        (4, &42i64.to_be_bytes(), r#""value":42,"type":"I64""#),
        (4, &i64::MIN.to_be_bytes(), r#""value":-9223372036854775808,"type":"I64""#),
        (5, &3.5f64.to_be_bytes(), r#""value":3.5,"type":"DOUBLE""#),
        (5, &3f64.to_be_bytes(), r#""value":3.0,"type":"DOUBLE""#),
        (5, &(-1e300f64).to_be_bytes(), r#""value":-1e+300,"type":"DOUBLE""#),
        (5, &f64::NAN.to_be_bytes(), r#""value":"NaN","type":"DOUBLE""#),
        (5, &f64::INFINITY.to_be_bytes(), r#""value":"Infinity","type":"DOUBLE""#),
        (5, &f64::NEG_INFINITY.to_be_bytes(), r#""value":"-Infinity","type":"DOUBLE""#),
        (6, "é\"".as_bytes(), r#""value":"é\"""#),
        (6, b"", r#""value":"""#),
        (7, b"?", r#""value":"Pw==","type":"7""#),
        (-1, b"?", r#""value":"Pw==","type":"-1""#),
        (i32::MAX, &[], r#""value":"","type":"2147483647""#),
    ];
    for (value_type, value, json) in table {
        let body = with(&[binaries(&[binary("k", value_type, value)])]);
        let rows = decode(&body, &Limits::default()).unwrap();
        // A tag of the rows is what was a text, as with Zipkin.
        assert_eq!(rows[0].tag("k").is_some(), value_type == 6, "{value_type}");
        let mut out = Vec::new();
        ats::write(&unsplit(&rows).unwrap(), &mut out);
        let wanted = format!(r#""annotations":[],"binaryAnnotations":[{{"key":"k",{json}}}]}}"#);
        assert!(String::from_utf8(out).unwrap().ends_with(&wanted), "{wanted}");
    }
    // Without a type it is bytes.
    let body = with(&[binaries(&[object(&[text(2, "?"), text(1, "k")])])]);
    assert_eq!(posted(&body)[0].binary_annotations[0].kind.as_deref(), Some("BYTES"));
}

/// The formats are two spellings of one span.
#[test]
fn thrift_and_json_make_the_same_rows() {
    let host = |service: &str, port: u16| {
        object(&[field(kind::I32, 1, [10, 0, 0, 1]), field(kind::I16, 2, port.to_be_bytes()), text(3, service)])
    };
    let moment = |timestamp: i64, value: &str, host: &[u8]| {
        object(&[long(1, timestamp), text(2, value), field(kind::STRUCT, 3, host)])
    };
    let tag = |key: &str, value_type: i32, value: &[u8], host: &[u8]| {
        let value_type = field(kind::I32, 3, value_type.to_be_bytes());
        object(&[text(1, key), text(2, value), value_type, field(kind::STRUCT, 4, host)])
    };
    let (front, back) = (host("front", 80), host("back", 90));
    let body = with(&[
        text(3, "get"),
        annotations(&[
            moment(1, "cs", &front),
            moment(2, "sr", &back),
            moment(3, "ss", &back),
            moment(4, "cr", &front),
        ]),
        binaries(&[
            tag("http.path", 6, b"/", &front),
            tag("retries", 4, &3i64.to_be_bytes(), &back),
            tag("sa", 0, &[1], &back),
            tag("ca", 0, &[1], &front),
        ]),
        long(10, 1),
        long(11, 3),
    ]);
    let (front, back) = (
        "{\"serviceName\":\"front\",\"ipv4\":\"10.0.0.1\",\"port\":80}",
        "{\"serviceName\":\"back\",\"ipv4\":\"10.0.0.1\",\"port\":90}",
    );
    let json = format!(
        r#"[{{"traceId":"a","id":"b","name":"get","timestamp":1,"duration":3,"annotations":[
        {{"timestamp":1,"value":"cs","endpoint":{front}}},{{"timestamp":2,"value":"sr","endpoint":{back}}},
        {{"timestamp":3,"value":"ss","endpoint":{back}}},{{"timestamp":4,"value":"cr","endpoint":{front}}}],
        "binaryAnnotations":[{{"key":"http.path","value":"/","endpoint":{front}}},
        {{"key":"retries","value":3,"type":"I64","endpoint":{back}}},
        {{"key":"sa","value":true,"endpoint":{back}}},{{"key":"ca","value":true,"endpoint":{front}}}]}}]"#
    );
    let rows = decode(&body, &Limits::default()).unwrap();
    assert_eq!(rows, v1::decode(&json, &Limits::default()).unwrap());
    let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
    assert_eq!(kinds, [Some(Kind::Client), Some(Kind::Server)]);
}

#[test]
fn fields_that_nobody_knows_are_skipped() {
    let strings = [&[kind::STRING, 0, 0, 0, 2][..], &sized("a"), &sized("")].concat();
    let map = [&[kind::I16, kind::LIST, 0, 0, 0, 1][..], &[0, 1], &strings].concat();
    let unknown = [
        field(kind::BOOL, 100, [1]),
        field(kind::BYTE, 101, [1]),
        field(kind::I16, 102, [1; 2]),
        field(kind::I32, 103, [1; 4]),
        field(kind::DOUBLE, 104, [1; 8]),
        text(105, "x"),
        field(kind::STRUCT, -1, object(&[long(1, 1), field(kind::MAP, 2, &map)])),
        field(kind::SET, 107, &strings),
        field(kind::LIST, 108, list(&[object(&[]), object(&[])])),
        // Known ids of other types.
        field(kind::I32, 1, [1; 4]),
        field(kind::BOOL, 2, [0]),
    ]
    .concat();
    let host = object(&[field(kind::BOOL, 1, [0]), unknown[..4].to_vec(), text(3, "s")]);
    let body = with(&[
        unknown.clone(),
        annotations(&[object(&[unknown.clone(), long(1, 5), text(2, "v")])]),
        binaries(&[object(&[unknown, text(1, "k"), field(kind::STRUCT, 4, host)])]),
    ]);
    let span = &posted(&body)[0];
    assert_eq!((span.trace_id, span.annotations.len()), (TraceId::narrow(10), 1));
    let endpoint = Endpoint { service: Some("s".into()), ..Endpoint::default() };
    assert_eq!(span.binary_annotations[0].endpoint, Some(endpoint));
}

#[test]
fn refusals_are_in_the_peers_words_and_name_the_place() {
    let annotation_of = |fields: &[Vec<u8>]| annotations(&[annotation(1, "v"), object(fields)]);
    let table = [
        (list(&[object(&[])]), "traceId == 0", "$[0], byte 6"),
        (list(&[span(&[]), object(&[long(1, 1)])]), "id == 0", "$[1], byte 40"),
        (vec![12, 0, 0, 0, 5, 0], "Truncated: length 5 > bytes available 1", "$, byte 5"),
        (vec![12, 0xff, 0xff, 0xff, 0xff], "Malformed", "$, byte 5"),
        (vec![12, 0, 0], "Truncated: length 4 > bytes available 2", "$, byte 1"),
        (vec![12, 0, 0, 0, 1, 10], "Truncated: length 2 > bytes available 0", "$[0], byte 6"),
        (with(&[field(kind::I64, 10, [0])]), "Truncated: length 8 > bytes available 2", "$[0].timestamp, byte 30"),
        (with(&[field(kind::STRING, 3, [0x80, 0, 0, 0])]), "Malformed", "$[0].name, byte 34"),
        (
            with(&[field(kind::STRING, 3, [0, 0, 0, 9])]),
            "Truncated: length 9 > bytes available 1",
            "$[0].name, byte 34",
        ),
        (with(&[text(3, [b'a', 0xff])]), "Malformed", "$[0].name, byte 35"),
        (with(&[annotation_of(&[text(2, [0xff])])]), "Malformed", "$[0].annotations[1].value, byte 62"),
        (
            with(&[annotation_of(&[field(kind::STRUCT, 3, object(&[text(3, [0xff])]))])]),
            "Malformed",
            "$[0].annotations[1].host.service_name, byte 65",
        ),
        (with(&[binaries(&[binary("k", 6, [0xff])])]), "Malformed", "$[0].binary_annotations[0].value, byte 50"),
        (with(&[binaries(&[object(&[text(1, [0xff])])])]), "Malformed", "$[0].binary_annotations[0].key, byte 42"),
        (with(&[field(1, 100, [])]), "Malformed", "$[0].100, byte 30"),
        (
            with(&[field(kind::LIST, 100, [kind::BOOL, 0x7f, 0xff, 0xff, 0xff])]),
            "Truncated: length 2147483647 > bytes available 1",
            "$[0].100, byte 35",
        ),
        (
            with(&[field(kind::MAP, 100, [2, 2, 0, 0, 0, 1])]),
            "Truncated: length 1 > bytes available 1",
            "$[0].100, byte 36",
        ),
        ([with(&[]), vec![0]].concat(), "Malformed", "$, byte 28"),
        (
            with(&[long(10, 253_370_764_800_000_000)]),
            "timestamp 253370764800000000 is in or after the year 9999",
            "$[0].timestamp, byte 38",
        ),
        (
            with(&[annotations(&[object(&[long(1, i64::MIN)])])]),
            "timestamp -9223372036854775808 is before the year 1",
            "$[0].annotations[0].timestamp, byte 46",
        ),
    ];
    for (body, text, place) in table {
        let error = refusal(&body);
        assert_eq!((error.peer, error.place), (format!("{text}{READING}"), place.to_owned()), "{body:?}");
        assert!(!error.too_large && !error.remedy.is_empty());
    }
}

#[test]
fn limits_hold() {
    let limits = Limits { max_spans: 2, max_entries: 4, max_span_entries: 3, max_depth: 6, max_tag_bytes: 4 };
    let error = |body: &[u8]| {
        let error = decode(body, &limits).unwrap_err();
        (error.peer.strip_suffix(READING).unwrap().to_owned(), error.too_large)
    };
    let peer = |body: &[u8]| error(body).0;
    let spans = |count: usize| list(&vec![span(&[]); count]);
    assert_eq!(decode(&spans(2), &limits).unwrap().len(), 2);
    assert_eq!(error(&spans(3)), ("more than 2 spans".to_owned(), true));

    let entries = |plain: usize, tags: usize| {
        span(&[annotations(&vec![annotation(1, "v"); plain]), binaries(&vec![binary("k", 6, ""); tags])])
    };
    assert_eq!(decode(&list(&[entries(1, 2), entries(1, 0)]), &limits).unwrap().len(), 2);
    assert_eq!(error(&list(&[entries(2, 2)])), ("more than 3 annotations and tags in a span".to_owned(), true));
    assert_eq!(error(&list(&[entries(2, 1), entries(0, 2)])), ("more than 4 annotations and tags".to_owned(), true));

    for (field, text) in [
        (text(3, "12345"), "name.length > 4"),
        (binaries(&[binary("12345", 6, "")]), "key.length > 4"),
        (annotations(&[object(&[field(kind::STRUCT, 3, object(&[text(3, "12345")]))])]), "serviceName.length > 4"),
    ] {
        assert_eq!(peer(&with(&[field])), text);
    }
    // The span is the second level of six; its annotations are the fourth, their endpoints the fifth.
    let nested = |levels: usize| {
        let value = [kind::STRUCT, 0, 1].repeat(levels - 1);
        field(kind::STRUCT, 100, [value, vec![kind::STOP; levels]].concat())
    };
    let deep = "nesting is deeper than 6 levels";
    assert!(decode(&with(&[nested(4)]), &limits).is_ok());
    assert_eq!(peer(&with(&[nested(5)])), deep);
    let in_annotation = |levels| with(&[annotations(&[object(&[nested(levels)])])]);
    assert!(decode(&in_annotation(2), &limits).is_ok());
    assert_eq!(peer(&in_annotation(3)), deep);
    let in_host = |levels| with(&[binaries(&[object(&[field(kind::STRUCT, 4, object(&[nested(levels)]))])])]);
    assert!(decode(&in_host(1), &limits).is_ok());
    assert_eq!(peer(&in_host(2)), deep);
    // Neither do a million levels overrun the stack.
    assert!(decode(&with(&[nested(1_000_000)]), &Limits::default()).is_err());
}

#[test]
fn the_rows_of_a_span_count_as_spans() {
    let limits = Limits { max_spans: 3, ..Limits::default() };
    let services = |count: usize| {
        let host = |at: usize| field(kind::STRUCT, 3, object(&[text(3, format!("s{at}"))]));
        let one = |at| object(&[long(1, 1), text(2, "v"), host(at)]);
        list(&[span(&[]), span(&[annotations(&(0..count).map(one).collect::<Vec<_>>())])])
    };
    assert_eq!(decode(&services(2), &limits).unwrap().len(), 3);
    let error = decode(&services(3), &limits).unwrap_err();
    assert!(error.too_large && error.place.starts_with("$[1], "), "{error}");
}

#[test]
fn long_values_are_cut_and_keep_their_length() {
    let limits = Limits { max_tag_bytes: 4, ..Limits::default() };
    let body = with(&[
        annotations(&[annotation(1, "12345")]),
        binaries(&[binary("k", 6, "abcé"), binary("b", 1, [0; 4]), binary("fits", 1, [0; 3])]),
    ]);
    let span = &decode_posted(&body, &limits).unwrap()[0];
    assert_eq!(span.annotations[0].value, "1234");
    let values: Vec<_> = span.binary_annotations.iter().map(|binary| (binary.key.as_ref(), &binary.value)).collect();
    let (text, json) =
        (|text: &'static str| V1Value::Text(text.into()), |json: &'static str| V1Value::Json(json.into()));
    let wanted = [
        ("spanlake.original_length.annotation", &text("5")),
        ("spanlake.original_length.k", &text("5")),
        ("k", &text("abc")),
        ("spanlake.original_length.b", &text("4")),
        ("b", &json("\"AAAA\"")),
        ("fits", &json("\"AAAA\"")),
    ];
    assert_eq!(values, wanted);
}

#[test]
fn no_prefix_of_a_list_passes() {
    let host = object(&[text(3, "s")]);
    let body = list(&[
        span(&[annotations(&[object(&[long(1, 5), text(2, "v"), field(kind::STRUCT, 3, host)])])]),
        span(&[binaries(&[binary("k", 4, [0; 8])]), field(kind::BOOL, 9, [1])]),
    ]);
    for end in 1..body.len() {
        assert!(decode(&body[..end], &Limits::default()).is_err(), "{end}");
    }
}
