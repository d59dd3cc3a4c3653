use super::*;
use crate::model::link::tests::trace as some_facts;
use crate::model::link::{Link, Linker};
use crate::model::{Annotation, Kind};
use proptest::prelude::*;
use std::borrow::Cow;
use std::net::Ipv4Addr;

/// `[parent>]id` and a service with an address (`web`, `web@1.2.3.4`, `@1.2.3.4`, or nothing).
fn span(ids: &str, kind: Option<Kind>, place: &str) -> Span<'static> {
    let id = |digits: &str| u64::from_str_radix(digits, 16).unwrap();
    let mut span = Span::new(TraceId::narrow(1), id(ids.rsplit('>').next().unwrap()));
    span.parent_id = ids.split_once('>').map(|(parent, _)| id(parent));
    span.kind = kind;
    let (service, address) = place.split_once('@').unwrap_or((place, ""));
    let service = (!service.is_empty()).then(|| Cow::Owned(service.to_owned()));
    let endpoint = Endpoint { service, ipv4: address.parse().ok(), ..Endpoint::default() };
    span.local = (!endpoint.is_empty()).then_some(endpoint);
    span
}

fn client(ids: &str, place: &str) -> Span<'static> {
    span(ids, Some(Kind::Client), place)
}

fn server(ids: &str, place: &str) -> Span<'static> {
    span(ids, Some(Kind::Server), place)
}

fn shared(span: Span<'static>) -> Span<'static> {
    Span { shared: Some(true), ..span }
}

fn annotation(timestamp: i64, value: &'static str) -> Annotation<'static> {
    Annotation { timestamp, value: value.into() }
}

/// Merges the rows in the order given, in the other, and with each row twice.
#[track_caller]
fn check(rows: Vec<Span<'static>>, wanted: Vec<Span<'static>>) {
    assert_eq!(merge(rows.clone()), wanted);
    assert_eq!(merge(rows.iter().rev().cloned().collect()), wanted, "reversed");
    assert_eq!(merge([rows.clone(), rows].concat()), wanted, "twice");
}

#[test]
fn nothing_and_a_row_alone_stay_as_they_are() {
    check(vec![], vec![]);
    let row = Span {
        timestamp: Some(0),
        duration: Some(-1),
        name: Some("Get".into()),
        annotations: vec![annotation(2, "b"), annotation(1, "a"), annotation(2, "b")],
        debug: Some(false),
        shared: Some(false),
        v1: Some("".into()),
        ..server("a>b", "Web")
    };
    check(vec![row.clone()], vec![row]);
}

#[test]
fn pieces_of_one_span_fill_each_other_up() {
    let started = Span {
        timestamp: Some(10),
        name: Some("get".into()),
        annotations: vec![annotation(12, "b"), annotation(11, "a")],
        tags: vec![("k".into(), "early".into()), ("l".into(), "1".into())],
        v1: Some("".into()),
        ..client("a>b", "web")
    };
    let ended = Span {
        timestamp: Some(11),
        duration: Some(5),
        name: Some("post".into()),
        remote: Some(Endpoint { service: Some("db".into()), ..Endpoint::default() }),
        annotations: vec![annotation(13, "c"), annotation(12, "b")],
        tags: vec![("k".into(), "late".into()), ("m".into(), "2".into())],
        debug: Some(true),
        ..client("a>b", "WEB@1.2.3.4")
    };
    let addressed = Span {
        timestamp: Some(12),
        remote: Some(Endpoint { service: Some("no".into()), port: Some(1), ..Endpoint::default() }),
        debug: Some(false),
        ..span("b", None, "")
    };
    let wanted = Span {
        // The pieces are taken by place, the one with the address first; unknown times last.
        timestamp: Some(11),
        duration: Some(5),
        name: Some("post".into()),
        local: Some(Endpoint {
            service: Some("WEB".into()),
            ipv4: Some(Ipv4Addr::new(1, 2, 3, 4)),
            ..Endpoint::default()
        }),
        remote: Some(Endpoint { service: Some("db".into()), port: Some(1), ..Endpoint::default() }),
        annotations: vec![annotation(11, "a"), annotation(12, "b"), annotation(13, "c")],
        tags: vec![("k".into(), "early".into()), ("l".into(), "1".into()), ("m".into(), "2".into())],
        debug: Some(true),
        ..client("a>b", "web")
    };
    check(vec![started, ended, addressed], vec![wanted]);
}

#[test]
fn zero_and_less_are_no_times() {
    let begun = Span { timestamp: Some(0), duration: Some(-3), ..server("a", "web") };
    let ended = Span { timestamp: Some(7), duration: Some(3), ..server("a", "web") };
    check(vec![begun.clone(), ended.clone()], vec![ended]);
    check(vec![begun.clone(), Span { duration: None, ..begun.clone() }], vec![begun]);
}

#[test]
fn a_parent_of_zeros_and_the_span_itself_are_none() {
    let rows = vec![server("a>a", "front"), client("a>b", "front"), server("0>c", "back")];
    check(rows, vec![server("a", "front"), client("a>b", "front"), server("c", "back")]);
}

#[test]
fn a_server_without_the_flag_gets_it_behind_its_client() {
    let rows = vec![server("a", "front"), client("a>b", "front@1.2.3.4"), server("a>b", "back@5.6.7.8")];
    let wanted = vec![server("a", "front"), client("a>b", "front@1.2.3.4"), shared(server("a>b", "back@5.6.7.8"))];
    check(rows, wanted);
    // Of one id by chance: neither is the other's client.
    let apart = vec![server("b", "back"), server("b", "front")];
    check(apart.clone(), apart);
}

#[test]
fn a_server_that_was_not_told_its_parent_has_its_clients() {
    let rows = vec![server("a", "front"), client("a>b", "front"), shared(server("b", "back"))];
    check(rows, vec![server("a", "front"), client("a>b", "front"), shared(server("a>b", "back"))]);
    // One that was told another keeps that.
    let told = vec![client("a>b", "front"), shared(server("c>b", "back"))];
    check(told.clone(), told);
}

#[test]
fn a_client_is_no_guest() {
    check(vec![shared(client("a", "front"))], vec![client("a", "front")]);
}

#[test]
fn what_has_no_endpoint_goes_to_the_first_span_of_its_id() {
    let rows = vec![
        server("a", "front"),
        client("a>b", ""),
        Span { timestamp: Some(1), annotations: vec![annotation(3, "flush")], ..span("a>b", None, "front") },
        shared(server("a>b", "back@1.2.3.4")),
        shared(server("a>b", "back@1.2.3.5")),
        Span { duration: Some(10), ..span("a>b", None, "") },
    ];
    let whole = Span {
        timestamp: Some(1),
        duration: Some(10),
        annotations: vec![annotation(3, "flush")],
        ..client("a>b", "front")
    };
    let servers = ["back@1.2.3.4", "back@1.2.3.5"].map(|place| shared(server("a>b", place)));
    check(rows, [vec![server("a", "front"), whole], servers.to_vec()].concat());
}

#[test]
fn without_endpoints_rows_of_one_flag_are_one_span() {
    let tagged = |span: Span<'static>| Span { tags: vec![("service".into(), "front".into())], ..span };
    let rows = vec![
        tagged(span("a", None, "")),
        tagged(Span { timestamp: Some(1), ..span("a>b", None, "") }),
        shared(server("a>b", "back")),
        Span { duration: Some(10), ..span("a>b", None, "") },
    ];
    let wanted = vec![
        tagged(span("a", None, "")),
        tagged(Span { timestamp: Some(1), duration: Some(10), ..span("a>b", None, "") }),
        shared(server("a>b", "back")),
    ];
    check(rows, wanted);
}

#[test]
fn parts_of_an_endpoint_come_together() {
    let rows = vec![
        client("a>b", "front"),
        client("a>b", "@1.2.3.4"),
        shared(server("a>b", "@1.2.3.5")),
        shared(server("a>b", "back")),
    ];
    check(rows, vec![client("a>b", "front@1.2.3.4"), shared(server("a>b", "back@1.2.3.5"))]);
}

#[test]
fn different_ports_are_different_places() {
    let at = |port| {
        let mut span = server("a", "web");
        span.local.as_mut().unwrap().port = Some(port);
        span
    };
    check(vec![at(80), at(81)], vec![at(80), at(81)]);
}

#[test]
fn a_missing_parent_changes_nothing() {
    let rows = vec![server("a>b", "back@1.2.3.4"), server("a>c", "back")];
    check(rows.clone(), rows);
}

#[test]
fn ids_that_were_cut_to_64_bits_are_made_whole() {
    let with = |id: TraceId, number: &str| Span { trace_id: id, ..server(number, "web") };
    let (cut, zeros, whole) = (TraceId::narrow(5), TraceId::wide(0, 5), TraceId::wide(9, 5));
    let other = TraceId::wide(10, 5);
    for (sent, wanted) in [
        ([cut, cut, cut], [cut, cut, cut]),
        ([cut, zeros, cut], [zeros, zeros, zeros]),
        ([cut, whole, zeros], [whole, whole, whole]),
        ([cut, other, whole], [other, other, whole]),
    ] {
        let rows = |ids: [TraceId; 3]| vec![with(ids[0], "a"), with(ids[1], "b"), with(ids[2], "c")];
        check(rows(sent), rows(wanted));
    }
}

#[test]
fn a_trace_begins_with_its_earliest_root() {
    let at = |ids: &str, timestamp: Option<i64>| Span { timestamp, ..server(ids, "web") };
    let cases: Vec<(Vec<Span<'_>>, Option<i64>, Option<u64>)> = vec![
        (vec![], None, None),
        (vec![at("a", None)], None, Some(10)),
        (vec![at("a>b", Some(5)), at("a>c", Some(4))], Some(4), None),
        (vec![at("a>b", Some(4)), at("a", Some(5))], Some(5), Some(10)),
        (vec![at("a>b", Some(4)), at("a", Some(0))], Some(4), Some(10)),
        (vec![at("a>b", Some(-4)), at("a", None)], None, Some(10)),
        (vec![at("a", Some(7)), at("b", Some(6)), at("0>c", Some(8))], Some(6), Some(11)),
        (vec![at("b", None), at("a>a", Some(6))], Some(6), Some(10)),
        (vec![shared(at("a", Some(5))), at("a", Some(6))], Some(5), Some(10)),
    ];
    for (number, (spans, begun, first)) in cases.into_iter().enumerate() {
        assert_eq!(timestamp(&spans), begun, "{number}");
        assert_eq!(root(&spans).map(|span| span.id), first, "{number}");
        assert!(root(&spans).is_none_or(|span| span.shared.is_none()), "{number}");
    }
}

/// A hundred thousand pieces of one span are put together once each.
#[test]
fn a_span_of_many_pieces_takes_few_steps() {
    let piece = |number: i64| Span {
        annotations: vec![annotation(100_000 - number, "a")],
        tags: vec![(number.to_string().into(), "".into())],
        ..server("a", "web")
    };
    let merged = merge((0..100_000).map(piece).collect());
    assert_eq!((merged.len(), merged[0].annotations.len(), merged[0].tags.len()), (1, 100_000, 100_000));
    assert_eq!(merged[0].annotations[0], annotation(1, "a"));
}

/// A row of given facts. Names are in either case, and in the order of their numbers.
fn row(facts: LinkSpan, upper: bool, extra: i64) -> Span<'static> {
    let name = |number: u32| Cow::Owned(if upper { format!("S{number}") } else { format!("s{number}") });
    let local = Endpoint { service: facts.local.map(name), ipv4: facts.ipv4, ipv6: facts.ipv6, port: facts.port };
    let remote = Endpoint { service: facts.remote.map(name), ..Endpoint::default() };
    let mut span = Span::new(TraceId::narrow(1), facts.id);
    span.parent_id = facts.parent;
    span.kind = facts.kind;
    span.timestamp = (extra % 5 > 0).then_some(extra % 3);
    span.duration = (extra % 7 > 0).then_some(extra % 2);
    span.annotations = (0..extra % 4).map(|number| annotation(number, "a")).collect();
    span.local = (!local.is_empty()).then_some(local);
    span.remote = (!remote.is_empty()).then_some(remote);
    span.shared = (facts.shared || extra % 2 == 0).then_some(facts.shared);
    if facts.error {
        span.tags.push(("error".into(), "".into()));
    }
    span.tags.push(("k".into(), extra.to_string().into()));
    span
}

fn rows() -> impl Strategy<Value = Vec<Span<'static>>> {
    let more = proptest::collection::vec((any::<bool>(), 0..60i64), 24);
    (some_facts(), more).prop_map(|(facts, more)| {
        facts.into_iter().zip(more).map(|(facts, (upper, extra))| row(facts, upper, extra)).collect()
    })
}

fn facts(spans: &[Span<'_>]) -> Vec<LinkSpan> {
    spans.iter().map(|span| LinkSpan::of(span, |name| name[1..].parse().unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn merging_does_not_depend_on_the_order_of_the_rows(
        (rows, shuffled) in rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
    ) {
        prop_assert_eq!(merge(rows), merge(shuffled));
    }

    #[test]
    fn whole_spans_and_their_facts_merge_alike_and_link_alike(rows in rows()) {
        let mut apart = facts(&rows);
        let merged = facts(&merge(rows));
        let (mut links, mut of_merged): (Vec<Link>, Vec<Link>) = Default::default();
        let mut linker = Linker::default();
        linker.link(&mut apart, &mut links);
        linker.link_merged(&merged, &mut of_merged);
        prop_assert_eq!(apart, merged);
        prop_assert_eq!(links, of_merged);
    }

    #[test]
    fn nothing_gets_lost_and_nothing_is_made_up(rows in rows()) {
        let said = |spans: &[Span<'_>]| {
            let annotations = spans.iter().flat_map(|span| span.annotations.iter().map(|a| (span.id, a.timestamp)));
            let keys = spans.iter().flat_map(|span| span.tags.iter().map(|(key, _)| (span.id, key.to_string())));
            let mut said = (annotations.collect::<Vec<_>>(), keys.collect::<Vec<_>>());
            said.0.sort_unstable();
            said.0.dedup();
            said.1.sort_unstable();
            said.1.dedup();
            said
        };
        let merged = merge(rows.clone());
        prop_assert!(merged.len() <= rows.len());
        prop_assert!(merged.iter().all(|span| span.tags.windows(2).all(|pair| pair[0].0 < pair[1].0)));
        prop_assert_eq!(said(&merged), said(&rows));
        prop_assert_eq!(timestamp(&merged).is_some(), timestamp(&rows).is_some());
    }
}
