//! What is taken as protobuf, how it is kept, and what is refused. That it is what other encoders write, and that no
//! damage does harm, is tested against generated types beside the sockets.

use super::*;
use crate::codec::zipkin::v2;

const READING: &str = " reading List<Span> from proto3";

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

fn number(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3), varint(number)].concat()
}

fn fixed(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3 | 1), number.to_le_bytes().to_vec()].concat()
}

fn bytes(field: u64, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn ids() -> Vec<u8> {
    [bytes(1, 10u64.to_be_bytes()), bytes(3, 11u64.to_be_bytes())].concat()
}

/// A list of one span with these fields behind its ids.
fn with(fields: &[Vec<u8>]) -> Vec<u8> {
    bytes(1, [ids(), fields.concat()].concat())
}

fn decoded(body: &[u8]) -> Vec<Span<'_>> {
    decode(body, &Limits::default()).unwrap()
}

fn refusal(body: &[u8]) -> DecodeError {
    decode(body, &Limits::default()).unwrap_err()
}

#[test]
fn every_field_is_kept_as_it_was_sent() {
    let local = [bytes(1, "Front"), bytes(2, [1, 2, 3, 4]), bytes(3, 1u128.to_be_bytes()), number(4, 80)].concat();
    let body = bytes(
        1,
        [
            bytes(1, (10u128 << 64 | 11).to_be_bytes()),
            bytes(2, 0u64.to_be_bytes()),
            bytes(3, 12u64.to_be_bytes()),
            number(4, 3),
            bytes(5, "Send"),
            fixed(6, 5),
            number(7, 300),
            bytes(8, local),
            bytes(9, bytes(1, "Back")),
            bytes(10, [fixed(1, 9), bytes(2, "b")].concat()),
            bytes(10, [bytes(2, "A"), fixed(1, 7)].concat()),
            bytes(11, [bytes(1, "z"), bytes(2, "1")].concat()),
            bytes(11, [bytes(2, "2"), bytes(1, "a")].concat()),
            number(12, 1),
            number(13, 1),
        ]
        .concat(),
    );
    let mut wanted = Span::new(TraceId::wide(10, 11), 12);
    wanted.parent_id = Some(0);
    wanted.kind = Some(Kind::Producer);
    wanted.name = Some("Send".into());
    wanted.timestamp = Some(5);
    wanted.duration = Some(300);
    wanted.local = Some(Endpoint {
        service: Some("Front".into()),
        ipv4: Some([1, 2, 3, 4].into()),
        ipv6: Some(Ipv6Addr::LOCALHOST),
        port: Some(80),
    });
    wanted.remote = Some(Endpoint { service: Some("Back".into()), ..Endpoint::default() });
    wanted.annotations =
        vec![Annotation { timestamp: 9, value: "b".into() }, Annotation { timestamp: 7, value: "A".into() }];
    wanted.tags = vec![("a".into(), "2".into()), ("z".into(), "1".into())];
    wanted.debug = Some(true);
    wanted.shared = Some(true);
    assert_eq!(decoded(&body), [wanted]);
}

#[test]
fn texts_are_borrowed() {
    let body = with(&[bytes(5, "plain"), bytes(11, [bytes(1, "k"), bytes(2, "v")].concat())]);
    let spans = decoded(&body);
    assert!(matches!(spans[0].name, Some(Cow::Borrowed("plain"))));
    assert!(matches!(spans[0].tags[..], [(Cow::Borrowed("k"), Cow::Borrowed("v"))]));
}

#[test]
fn zero_and_nothing_are_both_absent() {
    let endpoint = [bytes(1, ""), bytes(2, ""), bytes(3, ""), number(4, 0)].concat();
    let fields = [
        bytes(2, ""),
        number(4, 0),
        bytes(5, ""),
        fixed(6, 0),
        number(7, 0),
        bytes(8, endpoint),
        bytes(9, ""),
        number(12, 0),
        number(13, 0),
    ];
    assert_eq!(decoded(&with(&fields)), [Span::new(TraceId::narrow(10), 11)]);
    assert_eq!(decoded(b""), []);
}

#[test]
fn short_ids_have_zeros_before_them() {
    let body = |trace_id: &[u8], id: &[u8]| bytes(1, [bytes(1, trace_id), bytes(3, id), bytes(2, id)].concat());
    let span = &decoded(&body(&[1, 2], &[3]))[0].clone().into_owned();
    assert_eq!((span.trace_id, span.id, span.parent_id), (TraceId::narrow(0x102), 3, Some(3)));
    let span = &decoded(&body(&[1, 0, 0, 0, 0, 0, 0, 0, 2], &[0]))[0].clone().into_owned();
    // A short id of zeros passes, as it does in Zipkin.
    assert_eq!((span.trace_id, span.id), (TraceId::wide(1, 2), 0));
    // The width is kept, whatever the upper half is.
    let span = &decoded(&body(&2u128.to_be_bytes(), &[1]))[0].clone().into_owned();
    assert_eq!(span.trace_id, TraceId::wide(0, 2));
}

#[test]
fn fields_that_nobody_knows_are_skipped() {
    let unknown = [
        number(100, u64::MAX),
        fixed(101, u64::MAX),
        bytes(102, [0xff; 200]),
        [varint(103 << 3 | 5), vec![0xff; 4]].concat(),
        // Known numbers with other wire types.
        number(1, 7),
        bytes(4, "x"),
        bytes((1 << 29) - 1, ""),
    ]
    .concat();
    let inner = [unknown.clone(), bytes(1, "a")].concat();
    // An annotation has no number four, but a text of number two.
    let annotation = [fixed(1, 1), number(2, 1), bytes(4, "x")].concat();
    let body = with(&[unknown, bytes(9, inner.clone()), bytes(11, inner), bytes(10, annotation)]);
    let mut wanted = Span::new(TraceId::narrow(10), 11);
    wanted.remote = Some(Endpoint { service: Some("a".into()), ..Endpoint::default() });
    wanted.tags = vec![("a".into(), "".into())];
    wanted.annotations = vec![Annotation { timestamp: 1, value: "".into() }];
    assert_eq!(decoded(&body), [wanted.clone()]);
    // In the list, too.
    let list = [number(1, 7), fixed(2, 1), body, bytes(3, "x")].concat();
    assert_eq!(decoded(&list), [wanted]);
}

#[test]
fn a_kind_of_an_unknown_number_is_none() {
    for (sent, kind) in [
        (1, Some(Kind::Client)),
        (2, Some(Kind::Server)),
        (3, Some(Kind::Producer)),
        (4, Some(Kind::Consumer)),
        (5, None),
        (257, None),
        (u64::MAX, None),
    ] {
        assert_eq!(decoded(&with(&[number(4, sent)]))[0].kind, kind, "{sent}");
    }
}

#[test]
fn addresses_of_either_family_are_found_in_either_field_and_others_dropped() {
    let local = |field: u64, address: &[u8]| {
        let body = with(&[bytes(8, bytes(field, address))]);
        decoded(&body)[0]
            .local
            .clone()
            .map(|local| (local.ipv4.map(|a| a.to_string()), local.ipv6.map(|a| a.to_string())))
    };
    let v4 = |text: &str| Some((Some(text.to_owned()), None));
    let v6 = |text: &str| Some((None, Some(text.to_owned())));
    let mapped = "::ffff:1.2.3.4".parse::<Ipv6Addr>().unwrap().octets();
    let compatible = "::1.2.3.4".parse::<Ipv6Addr>().unwrap().octets();
    for field in [2, 3] {
        assert_eq!(local(field, &[1, 2, 3, 4]), v4("1.2.3.4"));
        assert_eq!(local(field, &mapped), v4("1.2.3.4"));
        assert_eq!(local(field, &compatible), v6("::102:304"));
        assert_eq!(local(field, &Ipv6Addr::LOCALHOST.octets()), v6("::1"));
        for none in [&[1][..], &[1, 2, 3], &[1, 2, 3, 4, 5], &[1; 17]] {
            assert_eq!(local(field, none), None, "{none:?}");
        }
    }
}

#[test]
fn a_port_of_zero_or_less_is_unknown() {
    let port = |sent: u64| {
        let body = with(&[bytes(8, number(4, sent))]);
        decode(&body, &Limits::default()).map(|spans| spans[0].local.as_ref().and_then(|local| local.port))
    };
    assert_eq!(port(65_535), Ok(Some(65_535)));
    assert_eq!(port(0), Ok(None));
    // -1 and its like have ten bytes.
    assert_eq!(port(-1i64 as u64), Ok(None));
    assert_eq!(port(i64::from(i32::MIN) as u64), Ok(None));
    assert_eq!(port(70_000).unwrap_err().peer, format!("invalid port 70000{READING}"));
}

#[test]
fn an_annotation_needs_a_time_and_no_text() {
    let annotations = |message: Vec<u8>| decoded(&with(&[bytes(10, message)]))[0].clone().into_owned().annotations;
    assert_eq!(annotations(bytes(2, "no time")), []);
    assert_eq!(annotations(Vec::new()), []);
    // Zipkin loses this one.
    assert_eq!(annotations([fixed(1, 3), bytes(2, "")].concat()), [Annotation { timestamp: 3, value: "".into() }]);
}

#[test]
fn of_a_tag_or_field_that_comes_twice_the_last_counts_and_messages_are_merged() {
    let entry = |key: &str, value: &str| bytes(11, [bytes(1, key), bytes(2, value)].concat());
    let fields = [
        entry("a", "1"),
        // A tag may have no name: an empty entry is one.
        bytes(11, ""),
        entry("a", "2"),
        bytes(5, "first"),
        bytes(5, "last"),
        bytes(8, [bytes(1, "service"), number(4, 1)].concat()),
        bytes(8, number(4, 2)),
    ];
    let body = with(&fields);
    let span = &decoded(&body)[0];
    assert_eq!(span.tags, [("".into(), "".into()), ("a".into(), "2".into())]);
    assert_eq!(span.name.as_deref(), Some("last"));
    let local = Endpoint { service: Some("service".into()), port: Some(2), ..Endpoint::default() };
    assert_eq!(span.local, Some(local));
}

#[test]
fn numbers_have_all_their_bits() {
    let span = |duration: Vec<u8>| {
        let body = with(&[[varint(7 << 3), duration].concat()]);
        decode(&body, &Limits::default()).map(|spans| spans[0].duration)
    };
    for number in [1, 127, 128, 16_383, 16_384, i64::MAX] {
        assert_eq!(span(varint(number as u64)), Ok(Some(number)));
    }
    // As sent: Zipkin, too, reads the uppermost bit as a sign, and less than zero as absent.
    assert_eq!(span(varint(u64::MAX)), Ok(Some(-1)));
    // Longer than need be.
    assert_eq!(span(vec![0x85, 0x80, 0x80, 0x00]), Ok(Some(5)));
    for long in [[&[0xff; 9][..], &[0x02]].concat(), vec![0xff; 10], vec![0x80; 11]] {
        let error = span(long).unwrap_err();
        assert!(error.peer.starts_with("Greater than 64-bit varint at position "), "{error}");
        assert!(error.place.starts_with("$[0].duration, byte "), "{error}");
    }
}

#[test]
fn what_is_kept_as_sent_is_answered_as_json_would_be() {
    let endpoint = [bytes(1, "BACK"), bytes(3, "::ffff:1.2.3.4".parse::<Ipv6Addr>().unwrap().octets())].concat();
    let annotation = |timestamp: u64, value: &str| bytes(10, [fixed(1, timestamp), bytes(2, value)].concat());
    let body = bytes(
        1,
        [
            bytes(1, 10u128.to_be_bytes()),
            bytes(2, [11]),
            bytes(3, [11]),
            number(4, 1),
            bytes(5, "GET /Ä"),
            fixed(6, -5i64 as u64),
            number(7, u64::MAX),
            bytes(9, endpoint),
            annotation(2, "b"),
            annotation(1, "c"),
            annotation(2, "b"),
            annotation(2, "a"),
            number(13, 1),
        ]
        .concat(),
    );
    let mut out = Vec::new();
    v2::write(&decoded(&body)[0], &mut out);
    let wanted = r#"{"traceId":"000000000000000a","id":"000000000000000b","kind":"CLIENT","name":"get /ä","remoteEndpoint":{"serviceName":"back","ipv4":"1.2.3.4"},"annotations":[{"timestamp":1,"value":"c"},{"timestamp":2,"value":"a"},{"timestamp":2,"value":"b"}]}"#;
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
}

#[test]
fn refusals_are_in_the_peers_words_and_name_the_place() {
    let zeros = [0; 16];
    let table = [
        (bytes(1, ""), "Missing : traceId id", "$[0], byte 2"),
        (bytes(1, bytes(3, [1])), "Missing : traceId", "$[0], byte 5"),
        (bytes(1, bytes(1, [1])), "Missing : id", "$[0], byte 5"),
        ([with(&[]), bytes(1, bytes(1, zeros))].concat(), "traceId is all zeros", "$[1].trace_id, byte 42"),
        (bytes(1, bytes(1, [1; 17])), "traceId.length > 32", "$[0].trace_id, byte 21"),
        (bytes(1, bytes(3, &zeros[..8])), "id is all zeros", "$[0].id, byte 12"),
        (bytes(1, bytes(3, [1; 9])), "id.length > 16", "$[0].id, byte 13"),
        (bytes(1, bytes(2, [1; 9])), "parentId.length > 16", "$[0].parent_id, byte 13"),
        // One byte of three.
        (vec![10, 3, 8], "Truncated: length 3 > bytes available 1", "$[0], byte 2"),
        // The field would end beyond its message, though not beyond the body.
        (
            [bytes(1, [0x2a, 5, b'a']), vec![0; 9]].concat(),
            "Truncated: length 5 > bytes available 1",
            "$[0].name, byte 4",
        ),
        (bytes(1, [6 << 3 | 1, 1, 2]), "Truncated: length 8 > bytes available 2", "$[0].timestamp, byte 3"),
        (bytes(1, [7 << 3, 0x80]), "Truncated: length 1 > bytes available 0", "$[0].duration, byte 4"),
        (
            bytes(1, [vec![5 << 3 | 2], varint(u64::MAX)].concat()),
            "Truncated: length 18446744073709551615 > bytes available 0",
            "$[0].name, byte 13",
        ),
        // Groups, wire types that are none, the number zero, one of more than 29 bits.
        (with(&[vec![20 << 3 & 0x7f | 3]]), "Malformed", "$[0], byte 23"),
        (with(&[vec![7 << 3 | 4]]), "Malformed", "$[0], byte 23"),
        (with(&[vec![7 << 3 | 6]]), "Malformed", "$[0], byte 23"),
        (with(&[vec![7 << 3 | 7]]), "Malformed", "$[0], byte 23"),
        (with(&[vec![2, 0]]), "Malformed", "$[0], byte 23"),
        ([varint(1 << 35), vec![0]].concat(), "Malformed", "$, byte 6"),
        (with(&[bytes(5, [b'a', 0xff])]), "Malformed", "$[0].name, byte 25"),
        (with(&[bytes(8, bytes(1, [0xc0]))]), "Malformed", "$[0].local_endpoint.service_name, byte 26"),
        (with(&[bytes(9, number(4, 70_000))]), "invalid port 70000", "$[0].remote_endpoint.port, byte 28"),
        (with(&[bytes(10, ""), bytes(10, bytes(2, [0xff]))]), "Malformed", "$[0].annotations[1].value, byte 28"),
        (with(&[bytes(11, bytes(1, [0xff]))]), "Malformed", "$[0].tags[0].key, byte 26"),
        (with(&[bytes(11, bytes(2, [0xff]))]), "Malformed", "$[0].tags[0].value, byte 26"),
        (
            with(&[fixed(6, 253_370_764_800_000_000)]),
            "timestamp 253370764800000000 is in or after the year 9999",
            "$[0].timestamp, byte 31",
        ),
        (
            with(&[bytes(10, fixed(1, i64::MIN as u64))]),
            "timestamp -9223372036854775808 is before the year 1",
            "$[0].annotations[0].timestamp, byte 33",
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
    let limits = Limits { max_spans: 2, max_entries: 4, max_span_entries: 3, max_tag_bytes: 4, ..Limits::default() };
    let error = |body: &[u8]| {
        let error = decode(body, &limits).unwrap_err();
        (error.peer.strip_suffix(READING).unwrap().to_owned(), error.place, error.too_large)
    };
    let spans = |count: usize| with(&[]).repeat(count);
    assert_eq!(decode(&spans(2), &limits).unwrap().len(), 2);
    assert_eq!(error(&spans(3)), ("more than 2 spans".to_owned(), "$[2], byte 45".to_owned(), true));

    let entries = |annotations: usize, tags: usize| {
        with(&[bytes(10, fixed(1, 1)).repeat(annotations), bytes(11, bytes(1, "k")).repeat(tags)])
    };
    assert_eq!(decode(&[entries(1, 2), entries(1, 0)].concat(), &limits).unwrap().len(), 2);
    let (peer, place, too_large) = error(&entries(2, 2));
    assert_eq!((peer.as_str(), too_large), ("more than 3 annotations and tags in a span", true));
    assert!(place.starts_with("$[0].tags[1], "), "{place}");
    let (peer, place, _) = error(&[entries(1, 2), entries(2, 0)].concat());
    assert_eq!(peer, "more than 4 annotations and tags");
    assert!(place.starts_with("$[1].annotations[1], "), "{place}");

    for (field, text) in [
        (bytes(5, "12345"), "name.length > 4"),
        (bytes(8, bytes(1, "12345")), "serviceName.length > 4"),
        (bytes(11, bytes(1, "12345")), "tag.length > 4"),
    ] {
        assert_eq!(error(&with(&[field])).0, text);
    }
}

#[test]
fn long_values_are_cut_at_a_character_and_keep_their_length() {
    let limits = Limits { max_tag_bytes: 4, ..Limits::default() };
    let entry = |key: &str, value: &str| bytes(11, [bytes(1, key), bytes(2, value)].concat());
    let annotation = |value: &str| bytes(10, [fixed(1, 1), bytes(2, value)].concat());
    let body = with(&[entry("cut", "abcé"), entry("fits", "abcd"), annotation("12345")]);
    let span = &decode(&body, &limits).unwrap()[0];
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

#[test]
fn every_prefix_of_a_list_is_refused_but_those_that_end_with_a_span() {
    let tag = bytes(11, [bytes(1, "key"), bytes(2, "value")].concat());
    let fields = [bytes(5, "é"), fixed(6, 1), bytes(8, number(4, 300)), tag];
    let body = with(&fields).repeat(2);
    for end in 0..body.len() {
        let outcome = decode(&body[..end], &Limits::default()).map(|spans| spans.len());
        match end {
            0 => assert_eq!(outcome, Ok(0)),
            _ if end == body.len() / 2 => assert_eq!(outcome, Ok(1)),
            _ => assert!(outcome.is_err(), "{end}"),
        }
    }
}
