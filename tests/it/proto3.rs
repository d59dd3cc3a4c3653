//! The decoder of protobuf against types that prost makes, on random spans, and both binary ones on damaged bytes.

use crate::support::{wire, zipkin};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prost::Message;
use spanlake::codec::Limits;
use spanlake::codec::zipkin::{Format, decode, proto3};
use spanlake::model::{Annotation, Endpoint, Kind, Span, TraceId};

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z/]{0,12}", 1 => "\\PC{0,8}", 1 => "[a-z]{120,140}"]
}

fn endpoints() -> impl Strategy<Value = wire::Endpoint> {
    let ports = prop_oneof![2 => 0..=65_535, 1 => Just(0), 1 => i32::MIN..0];
    (texts(), proptest::option::of(any::<[u8; 4]>()), proptest::option::of(any::<[u8; 16]>()), ports).prop_map(
        |(service_name, ipv4, ipv6, port)| wire::Endpoint {
            service_name,
            ipv4: ipv4.map(Vec::from).unwrap_or_default(),
            ipv6: ipv6.map(Vec::from).unwrap_or_default(),
            port,
        },
    )
}

/// Times within the calendar, before 1970 too.
fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        1 => Just(0),
        3 => 0u64..253_370_764_800_000_000,
        1 => (-62_135_596_800_000_000i64..0).prop_map(|time| time as u64),
    ]
}

fn annotations() -> impl Strategy<Value = wire::Annotation> {
    (times(), texts()).prop_map(|(timestamp, value)| wire::Annotation { timestamp, value })
}

fn spans() -> impl Strategy<Value = wire::Span> {
    let ids = (any::<bool>(), 1u64.., any::<u64>(), proptest::option::of(any::<u64>()), 1u64..);
    let sides = (proptest::option::of(endpoints()), proptest::option::of(endpoints()));
    let lists =
        (proptest::collection::vec(annotations(), 0..4), proptest::collection::btree_map(texts(), texts(), 0..9));
    let duration = prop_oneof![1 => Just(0u64), 2 => 0..100_000u64, 1 => any::<u64>()];
    (ids, -2..7i32, texts(), times(), duration, sides, lists, any::<(bool, bool)>()).prop_map(
        |(ids, kind, name, timestamp, duration, (local_endpoint, remote_endpoint), (annotations, tags), flags)| {
            let (wide, low, high, parent, id) = ids;
            let mut trace_id = if wide { high.to_be_bytes().to_vec() } else { Vec::new() };
            trace_id.extend(low.to_be_bytes());
            wire::Span {
                trace_id,
                parent_id: parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
                id: id.to_be_bytes().to_vec(),
                kind,
                name,
                timestamp,
                duration,
                local_endpoint,
                remote_endpoint,
                annotations,
                tags,
                debug: flags.0,
                shared: flags.1,
            }
        },
    )
}

/// The span that a message says.
fn said(message: &wire::Span) -> Span<'_> {
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
    let text = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned().into());
    let endpoint = |endpoint: &wire::Endpoint| {
        let endpoint = Endpoint {
            service: text(&endpoint.service_name),
            ipv4: <[u8; 4]>::try_from(endpoint.ipv4.as_slice()).ok().map(Into::into),
            ipv6: <[u8; 16]>::try_from(endpoint.ipv6.as_slice()).ok().map(Into::into),
            port: u16::try_from(endpoint.port).ok().filter(|&port| port > 0),
        };
        (!endpoint.is_empty()).then_some(endpoint)
    };
    let trace_id = match message.trace_id.split_at(message.trace_id.len() - 8) {
        ([], low) => TraceId::narrow(number(low)),
        (high, low) => TraceId::wide(number(high), number(low)),
    };
    let mut span = Span::new(trace_id, number(&message.id));
    span.parent_id = (!message.parent_id.is_empty()).then(|| number(&message.parent_id));
    span.kind = match message.kind {
        1 => Some(Kind::Client),
        2 => Some(Kind::Server),
        3 => Some(Kind::Producer),
        4 => Some(Kind::Consumer),
        _ => None,
    };
    span.name = text(&message.name);
    span.timestamp = Some(message.timestamp as i64).filter(|&time| time != 0);
    span.duration = Some(message.duration as i64).filter(|&duration| duration != 0);
    span.local = message.local_endpoint.as_ref().and_then(endpoint);
    span.remote = message.remote_endpoint.as_ref().and_then(endpoint);
    let timed = message.annotations.iter().filter(|annotation| annotation.timestamp != 0);
    span.annotations =
        timed.map(|a| Annotation { timestamp: a.timestamp as i64, value: a.value.as_str().into() }).collect();
    span.tags = message.tags.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect();
    span.debug = message.debug.then_some(true);
    span.shared = message.shared.then_some(true);
    span
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5eed),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_prost_writes_is_read_alike(spans in proptest::collection::vec(spans(), 1..6)) {
        let list = wire::ListOfSpans { spans };
        let body = list.encode_to_vec();
        let read = proto3::decode(&body, &Limits::default()).unwrap();
        let wanted: Vec<_> = list.spans.iter().map(said).collect();
        prop_assert_eq!(&read, &wanted);
        prop_assert_eq!(&decode(&body, Format::Proto3, &Limits::default()).unwrap(), &wanted);
    }

    #[test]
    fn lists_after_each_other_are_one(spans in proptest::collection::vec(spans(), 2..4)) {
        let bodies: Vec<_> =
            spans.iter().map(|span| wire::ListOfSpans { spans: vec![span.clone()] }.encode_to_vec()).collect();
        let wanted: Vec<_> = spans.iter().map(said).collect();
        let body = bodies.concat();
        prop_assert_eq!(proto3::decode(&body, &Limits::default()).unwrap(), wanted);
    }

    /// What comes out of damaged bytes is an error, or spans that keep what every span keeps to.
    #[test]
    fn damage_gives_an_error_or_spans(
        spans in proptest::collection::vec(spans(), 1..3),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..4),
    ) {
        let body = wire::ListOfSpans { spans }.encode_to_vec();
        keeps_the_law(&damaged(body, &damage), Format::Proto3)?;
        let body = zipkin::thrift(&zipkin::read(include_bytes!("../../fixtures/zipkin-v2.json")));
        keeps_the_law(&damaged(body, &damage), Format::Thrift)?;
    }

    #[test]
    fn bytes_at_random_give_an_error_or_spans(body in proptest::collection::vec(any::<u8>(), 0..64)) {
        for format in [Format::Proto3, Format::Thrift] {
            keeps_the_law(&body, format)?;
            for first in [&[10, 60][..], &[12, 0, 0, 0, 1]] {
                keeps_the_law(&[first, &body].concat(), format)?;
            }
        }
    }
}

fn damaged(mut body: Vec<u8>, damage: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    for (at, byte, how) in damage {
        let at = at.index(body.len());
        match how {
            0 => body[at] = *byte,
            1 => body[at] ^= 1 << (byte % 8),
            2 => body.insert(at, *byte),
            _ => drop(body.remove(at)),
        }
    }
    body
}

fn keeps_the_law(body: &[u8], format: Format) -> Result<(), TestCaseError> {
    match decode(body, format, &Limits::default()) {
        Ok(spans) => {
            for span in spans {
                prop_assert!(!span.trace_id.is_zero());
                prop_assert!(span.tags.windows(2).all(|pair| pair[0].0 < pair[1].0));
                prop_assert!([&span.local, &span.remote].into_iter().flatten().all(|endpoint| !endpoint.is_empty()));
            }
        }
        Err(error) => {
            prop_assert!(error.place.starts_with('$'), "{}", error);
            prop_assert!(!error.peer.is_empty() && !error.remedy.is_empty());
        }
    }
    Ok(())
}
