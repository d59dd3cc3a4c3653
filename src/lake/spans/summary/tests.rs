//! What a summary promises, held to the spans that it was made of.

use super::hash::Token;
use super::owner_of;
use super::{NameKind, NameList, RowSet, Summary, SummaryBuilder};
use crate::codec::zipkin::ats::{is_echo, parts};
use crate::model::{Annotation, Endpoint, Kind, Scope, Span, TraceId};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

const SERVICES: [&str; 4] = ["Front", "cart", "pay", "STOCK"];

fn endpoint(service: &str) -> Option<Endpoint<'static>> {
    Some(Endpoint { service: Some(service.to_owned().into()), ..Endpoint::default() })
}

/// Traces of two projects with tags of all sorts: of all traces, of some, of one.
fn spans(seed: u64, traces: usize) -> Vec<(Scope<'static>, Span<'static>)> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut spans = Vec::new();
    for project in ["a", "b"] {
        let scope = Scope { project: project.into(), cluster_id: None, namespace: None };
        let mut lows: Vec<i64> = (0..traces).map(|_| random.random()).collect();
        lows.sort_unstable();
        for low in lows {
            for id in 1..=random.random_range(1..9u64) {
                let mut span = Span::new(TraceId::narrow(low as u64), id);
                span.timestamp =
                    random.random_bool(0.9).then(|| 1_700_000_000_000_000 + random.random_range(0..9_000_000));
                span.duration = random.random_bool(0.8).then(|| 1 << random.random_range(0..30));
                span.kind = Some(Kind::Client);
                span.name = Some(format!("Op{}", random.random_range(0..40)).into());
                if random.random_bool(0.95) {
                    span.local = endpoint(SERVICES[random.random_range(0..4)]);
                }
                span.remote = endpoint(&format!("db{}", random.random_range(0..3)));
                span.tags = vec![
                    ("always".into(), "x".into()),
                    ("few".into(), random.random_range(0..3).to_string().into()),
                    ("many".into(), random.random_range(0..1_000_000).to_string().into()),
                ];
                if random.random_bool(0.3) {
                    let value = format!("note {}", random.random_range(0..50));
                    span.annotations.push(Annotation { timestamp: 1, value: value.into() });
                }
                spans.push((scope.clone(), span));
            }
        }
    }
    spans
}

fn summary(spans: &[(Scope<'_>, Span<'_>)]) -> Summary {
    let mut builder = SummaryBuilder::new(&["many".to_owned()]);
    spans.iter().for_each(|(scope, span)| builder.push(scope, span));
    Summary::of_bytes(builder.finish().into()).unwrap()
}

/// The ids of a project's rows that are in a set.
fn ids(summary: &Summary, project: &str, set: &RowSet) -> BTreeSet<u64> {
    let table = summary.traces().unwrap();
    let range = summary.project_rows(project);
    set.iter().filter(|row| range.contains(row)).map(|row| table.rows()[row as usize].low).collect()
}

fn local<'s>(span: &'s Span<'_>) -> Option<&'s str> {
    span.local.as_ref()?.service.as_deref()
}

#[test]
fn each_trace_that_has_a_token_is_named_for_it() {
    for (seed, traces) in [(1, 1), (2, 30), (3, 700)] {
        let spans = spans(seed, traces);
        let summary = summary(&spans);
        // By project, token's text and service.
        let mut wanted: BTreeMap<(&str, String, Option<&str>), BTreeSet<u64>> = BTreeMap::new();
        let mut tokens: BTreeMap<String, Token<'_>> = BTreeMap::new();
        for (scope, span) in &spans {
            let mut has: Vec<Token<'_>> = vec![Token::Name(span.name.as_deref().unwrap())];
            has.push(Token::Remote(span.remote.as_ref().unwrap().service.as_deref().unwrap()));
            has.extend(span.annotations.iter().map(|annotation| Token::Word(&annotation.value)));
            has.extend(span.tags.iter().map(|(key, _)| Token::Word(key)));
            has.extend(span.tags.iter().map(|(key, value)| Token::Tag(key, value)));
            for token in has {
                let name = format!("{token:?}");
                for service in [None, local(span)] {
                    let key = (&*scope.project, name.clone(), service);
                    wanted.entry(key).or_default().insert(span.trace_id.low);
                }
                tokens.insert(name, token);
            }
        }
        // A frequent token is told exactly but for one rare token in four that has the same bits; of a rare one a block
        // of a page's spans is named.
        let mut in_vain = 0;
        for ((project, name, service), traces) in &wanted {
            let section = service.map(|service| summary.section(project, &service.to_lowercase()).unwrap());
            let found = summary.having(project, section, tokens[name]).unwrap();
            let told = ids(&summary, project, &found.told);
            let found = ids(&summary, project, &found.rows);
            assert!(found.is_superset(&told), "{project} {name} {service:?}");
            // Names and keys are few: of them even the rare ones are told.
            if !name.starts_with("Tag") && !name.contains("note") {
                assert!(told.is_superset(traces), "{project} {name} {service:?}");
            }
            assert!(found.is_superset(traces), "{project} {name} {service:?}");
            in_vain += found.len() - traces.len();
        }
        assert!(in_vain / wanted.len() < 600, "{in_vain} of {}", wanted.len());
    }
}

#[test]
fn what_no_span_has_is_hardly_ever_looked_for() {
    let summary = summary(&spans(4, 2_000));
    let all = summary.traces().unwrap().rows().len();
    let mut blocks = 0;
    for number in 0..400 {
        let value = format!("absent {number}");
        blocks += usize::from(summary.having("a", None, Token::Tag("many", &value)).unwrap().rows.count() > 0);
        assert_eq!(summary.having("c", None, Token::Tag("always", "x")).unwrap().rows.count(), 0);
    }
    assert!(blocks < 200, "{blocks}");
    // Nor what other services have.
    let section = summary.section("a", "cart");
    assert!(summary.having("a", section, Token::Word("always")).unwrap().rows.count() < all / 2);
    assert_eq!(summary.section("a", "Cart"), None);
}

#[test]
fn durations_are_told_to_half_an_octave() {
    let spans = spans(5, 300);
    let summary = summary(&spans);
    for (least, most) in [(1, None), (5, Some(5)), (1 << 20, None), (1 << 10, Some(1 << 12)), (1 << 31, None)] {
        for service in [None, Some("Front")] {
            let wanted = |(scope, span): &&(Scope<'_>, Span<'_>)| {
                let lasts =
                    span.duration.is_some_and(|duration| duration >= least && most.is_none_or(|most| duration <= most));
                scope.project == "a" && lasts && (service.is_none() || local(span) == service)
            };
            let wanted: BTreeSet<u64> = spans.iter().filter(wanted).map(|(_, span)| span.trace_id.low).collect();
            let section = service.map(|service| summary.section("a", &service.to_lowercase()).unwrap());
            let found = ids(&summary, "a", &summary.lasting("a", section, least, most).unwrap());
            match (least, most) {
                // No duration lies between 4 and 8 but those two, nor is any as long.
                (5, _) | (0x8000_0000, _) => {
                    assert_eq!((wanted.len(), found.difference(&wanted).count() > 5), (0, least == 5))
                }
                _ => assert_eq!(found, wanted, "{least} {most:?} {service:?}"),
            }
        }
    }
}

#[test]
fn times_are_those_of_the_spans() {
    let spans = spans(6, 200);
    let summary = summary(&spans);
    let mut wanted: BTreeMap<u64, (u32, Option<(i64, i64)>)> = BTreeMap::new();
    for (_, span) in spans.iter().filter(|(scope, _)| scope.project == "b") {
        let (count, times) = wanted.entry(span.trace_id.low).or_default();
        *count += 1;
        if let Some(time) = span.timestamp.map(|time| time / 1_000) {
            *times = Some(times.map_or((time, time), |(least, most)| (least.min(time), most.max(time))));
        }
    }
    let table = summary.traces().unwrap();
    let rows = summary.project_rows("b");
    let found =
        table.rows()[rows.start as usize..rows.end as usize].iter().map(|row| (row.low, (row.count, row.times)));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), wanted);
    assert_eq!(summary.spans(), spans.len() as u64);
}

#[test]
fn names_are_kept_as_sent_and_by_their_owner() {
    let spans = spans(7, 400);
    let summary = summary(&spans);
    let names = |kind, project, owner| {
        let mut list = NameList::default();
        summary.names(kind, project, owner, &mut list).unwrap();
        list
    };
    let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(names(NameKind::Service, "a", "").names, all(&SERVICES));
    assert_eq!(names(NameKind::Remote, "a", "front").names, all(&["db0", "db1", "db2"]));
    assert_eq!(names(NameKind::Remote, "a", "Front").names, all(&[]));
    let of = |project: &str| -> BTreeSet<String> {
        let of = |(scope, span): &&(Scope<'_>, Span<'_>)| scope.project == project && local(span) == Some("cart");
        spans.iter().filter(of).map(|(_, span)| span.name.as_deref().unwrap().to_owned()).collect()
    };
    assert_eq!(names(NameKind::Span, "a", "cart").names, of("a"));
    assert_eq!(names(NameKind::TagValue, "b", "few").names, all(&["0", "1", "2"]));
    // Asked for by the settings, though it has too many values to be kept else.
    let many: BTreeSet<&str> =
        spans.iter().filter(|(scope, _)| scope.project == "a").map(|(_, span)| span.tag("many").unwrap()).collect();
    assert_eq!(names(NameKind::TagValue, "a", "many").names.len(), many.len());
    assert_eq!(names(NameKind::TagValue, "c", "few"), NameList::default());
}

#[test]
fn of_more_names_than_are_kept_the_rest_is_counted() {
    let scope = Scope { project: "a".into(), cluster_id: None, namespace: None };
    let mut builder = SummaryBuilder::new(&[]);
    for number in 0..10_700u64 {
        for _ in 0..2 {
            let mut span = Span::new(TraceId::narrow(number), 1);
            span.local = endpoint("front");
            span.name = Some(format!("op {number:05}").into());
            span.tags = vec![("id".into(), number.to_string().into())];
            builder.push(&scope, &span);
        }
    }
    let summary = Summary::of_bytes(builder.finish().into()).unwrap();
    let mut list = NameList::default();
    summary.names(NameKind::Span, "a", "front", &mut list).unwrap();
    assert_eq!((list.names.len(), list.overflow), (10_000, 700));
    let mut list = NameList::default();
    summary.names(NameKind::TagValue, "a", "id", &mut list).unwrap();
    assert_eq!(list.names.len(), 0, "not a tag that one chooses a value of");
}

#[test]
fn damaged_bytes_are_an_error_or_another_answer_and_never_a_panic() {
    let mut builder = SummaryBuilder::new(&[]);
    spans(8, 60).iter().for_each(|(scope, span)| builder.push(scope, span));
    let bytes = builder.finish();
    let mut random = SmallRng::seed_from_u64(9);
    for _ in 0..3_000 {
        let mut bytes = bytes.clone();
        for _ in 0..random.random_range(1..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        let Ok(summary) = Summary::of_bytes(bytes.into()) else { continue };
        let section = summary.section("a", "cart");
        let _ = summary.having("a", section, Token::Word("always"));
        let _ = summary.having("a", None, Token::Tag("many", "17"));
        let _ = summary.lasting("a", section, 1, None);
        let _ = summary.names(NameKind::Span, "a", "cart", &mut NameList::default());
        let _ = (summary.links().is_ok(), summary.hours("a").is_ok(), summary.traces().is_ok());
    }
}

/// Spans whose parts come from wherever they may come from, some of them rows of a posted v1 span.
fn calls(seed: u64, traces: u64) -> Vec<(Scope<'static>, Span<'static>)> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut spans = Vec::new();
    for low in 1..=traces {
        for id in 1..=random.random_range(1..6u64) {
            let namespace = random.random_bool(0.4).then(|| format!("ns{}", random.random_range(0..2)).into());
            let scope = Scope { project: "a".into(), cluster_id: None, namespace };
            let mut span = Span::new(TraceId::narrow(low), id);
            let service = random.random_bool(0.8).then(|| SERVICES[random.random_range(0..4)].into());
            let ipv4 = random.random_bool(0.7).then(|| [10, 0, 0, random.random_range(1..4)].into());
            let ipv6 = random.random_bool(0.2).then(|| [0, 0, 0, 0, 0, 0, 0, random.random_range(1..3)].into());
            let port = random.random_bool(0.5).then(|| random.random_range(80..83));
            let local = Endpoint { service, ipv4, ipv6, port };
            span.local = (!local.is_empty()).then_some(local);
            span.name = match random.random_range(0..5) {
                0 => None,
                1 => Some(format!("{}:i{}:/t", ["Shop", "shop", "CART"][low as usize % 3], id % 3).into()),
                _ => Some(format!("{}{}", ["get /", "GET /"][id as usize % 2], random.random_range(0..4)).into()),
            };
            for (key, values) in [
                ("http.route", ["/r/{id}", " "]),
                ("k8s.pod.name", ["pod-1", "pod-2"]),
                ("monitorGroup", ["G", "g"]),
                ("service.instance.id", ["one", ""]),
            ] {
                if random.random_bool(0.3) {
                    span.tags.push((key.into(), values[random.random_range(0..2)].into()));
                }
            }
            span.v1 = random.random_bool(0.3).then(|| ["", "+aaaaaa1", "*aaaaaa2"][random.random_range(0..3)].into());
            spans.push((scope, span));
        }
    }
    spans
}

#[test]
fn what_the_ats_api_lists_is_there_of_each_span() {
    for seed in 10..30 {
        let spans = calls(seed, 100);
        let mut wanted: BTreeMap<(NameKind, String), BTreeSet<String>> = BTreeMap::new();
        for (scope, span) in spans.iter().filter(|(_, span)| !is_echo(span)) {
            let parts = parts(span, scope.namespace.as_deref());
            let owner = owner_of(&parts.group, &parts.application.to_lowercase());
            for (kind, owner, name) in [
                (NameKind::Group, String::new(), &parts.group),
                (NameKind::Application, parts.group.to_string(), &parts.application),
                (NameKind::Instance, owner.clone(), &parts.instance),
                (NameKind::Transaction, owner, &parts.transaction),
            ] {
                wanted.entry((kind, owner)).or_default().insert(name.to_string());
            }
        }
        assert_eq!(wanted[&(NameKind::Group, String::new())].len(), 5);
        let summary = summary(&spans);
        for ((kind, owner), names) in &wanted {
            let mut list = NameList::default();
            summary.names(*kind, "a", owner, &mut list).unwrap();
            assert_eq!((&list.names, list.overflow), (names, 0), "{kind:?} {owner:?}");
        }
    }
}

#[test]
fn an_application_is_found_by_its_service_or_its_token() {
    let spans = calls(11, 400);
    let summary = summary(&spans);
    let mut wanted: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for (_, span) in &spans {
        wanted.entry(parts(span, None).application.to_lowercase()).or_default().insert(span.trace_id.low);
    }
    assert_eq!(wanted.keys().collect::<Vec<_>>(), ["-", "cart", "front", "pay", "shop", "stock"]);
    for (application, lows) in wanted {
        let mut set = summary.having("a", None, Token::Application(&application)).unwrap();
        if let Some(section) = summary.section("a", &application) {
            set.rows.unite(&summary.of_section(section).unwrap());
        }
        assert!(ids(&summary, "a", &set.rows).is_superset(&lows), "{application}");
    }
}

/// Names in three parts come from other agents as well, with an id in the first.
#[test]
fn of_more_applications_than_are_kept_the_rest_is_counted_and_owns_nothing() {
    let scope = Scope { project: "a".into(), cluster_id: None, namespace: None };
    let mut builder = SummaryBuilder::new(&[]);
    for number in 0..10_700u64 {
        let mut span = Span::new(TraceId::narrow(number), 1);
        span.name = Some(format!("{number:05}:i:t").into());
        builder.push(&scope, &span);
    }
    let summary = Summary::of_bytes(builder.finish().into()).unwrap();
    let list = |kind, owner: &str| {
        let mut list = NameList::default();
        summary.names(kind, "a", owner, &mut list).unwrap();
        (list.names.len(), list.overflow)
    };
    assert_eq!(list(NameKind::Application, "default"), (10_000, 700));
    assert_eq!(list(NameKind::Instance, &owner_of("default", "09000")), (1, 0));
    assert_eq!(list(NameKind::Instance, &owner_of("default", "10500")), (0, 0));
    // It is found all the same.
    let set = summary.having("a", None, Token::Application("10500")).unwrap();
    assert!(ids(&summary, "a", &set.rows).contains(&10_500));
}
