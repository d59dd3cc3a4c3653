//! Searches and links over a store whose spans lie anywhere: in memory, in one file or in several, in order or not. Each
//! answer is held to what a plain look at all spans gives.

use super::{NOW, batch, clock, config, run};
use crate::support::sim_fs::SimFs;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use spanlake::model::link::{LinkSpan, Linker};
use spanlake::model::{Annotation, Endpoint, Kind, Span, TraceId};
use spanlake::query::dependencies::{Dependency, dependencies, dependencies_by};
use spanlake::query::search::{Search, SearchQuery, TraceTest};
use spanlake::stop::Stop;
use spanlake::store::{Snapshot, Store, StoreConfig};
use std::collections::BTreeMap;
use std::sync::Arc;

const HOUR: i64 = 3_600_000;

fn pick<'t>(random: &mut SmallRng, texts: &[&'t str]) -> &'t str {
    texts[random.random_range(0..texts.len())]
}

fn endpoint(service: &str) -> Option<Endpoint<'static>> {
    Some(Endpoint { service: Some(service.to_owned().into()), ..Endpoint::default() })
}

/// A span of one of a few traces, with few values in everything that is asked for, so that conditions often meet.
fn span(random: &mut SmallRng, id: u64) -> Span<'static> {
    let low = random.random_range(1..60);
    // Some agents send the upper half, some do not.
    let trace = if low % 9 == 0 && random.random_bool(0.5) { TraceId::wide(7, low) } else { TraceId::narrow(low) };
    let mut span = Span::new(trace, id);
    span.parent_id = random.random_bool(0.7).then(|| random.random_range(1..id + 1));
    // The spans of a trace lie within some milliseconds; the traces within some hours.
    let start = NOW - 4 * HOUR * 1_000 + low as i64 * 4 * 60_000_000;
    span.timestamp = random.random_bool(0.9).then(|| start + random.random_range(0..6_000));
    span.duration = random.random_bool(0.8).then(|| random.random_range(0..40));
    span.kind = [None, Some(Kind::Client), Some(Kind::Server), Some(Kind::Producer)][random.random_range(0..4)];
    span.shared = random.random_bool(0.2).then_some(true);
    span.name = random.random_bool(0.9).then(|| pick(random, &["get", "POST", "all"]).to_owned().into());
    span.local = if random.random_bool(0.9) { endpoint(pick(random, &["front", "Back", "db"])) } else { None };
    span.remote = if random.random_bool(0.5) { endpoint(pick(random, &["front", "back", "Cache"])) } else { None };
    if random.random_bool(0.3) {
        let value = pick(random, &["retry", "error", "a b"]).to_owned().into();
        span.annotations.push(Annotation { timestamp: 1, value });
    }
    for key in ["error", "http.method", "user"] {
        if random.random_bool(0.4) {
            let value = format!("{}", random.random_range(0..if key == "user" { 200 } else { 3 }));
            span.tags.push((key.into(), value.into()));
        }
    }
    span
}

async fn put(store: &Store, spans: &[Span<'static>]) -> spanlake::error::Result<u64> {
    store.append(batch("default", spans)).await
}

/// Spans put into a store: flushed, merged and resent on the way.
async fn scattered(random: &mut SmallRng, store: &Arc<Store>, spans: &[Span<'static>]) {
    let mut rest = spans;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(random.random_range(1..=rest.len().min(60)));
        put(store, now).await.unwrap();
        if random.random_bool(0.3) {
            put(store, &now[..1]).await.unwrap();
        }
        match random.random_range(0..4) {
            0 => drop(store.flush().await.unwrap()),
            1 => drop(store.compact().await.unwrap()),
            // Summaries of memory are made for what is there.
            2 => drop(search(&store.snapshot(), &SearchQuery { limit: 1, ..query(random) })),
            _ => {}
        }
        rest = later;
    }
}

fn query(random: &mut SmallRng) -> SearchQuery {
    let mut query = SearchQuery { project: "default".into(), ..SearchQuery::default() };
    let maybe = |random: &mut SmallRng, texts: &[&str]| random.random_bool(0.3).then(|| pick(random, texts).to_owned());
    query.service = maybe(random, &["front", "back", "db", "nobody"]);
    query.remote_service = maybe(random, &["front", "back", "cache"]);
    query.span_name = maybe(random, &["get", "post"]);
    query.words.extend(maybe(random, &["retry", "user", "error"]));
    let tag = maybe(random, &["0", "1", "2", "30"]);
    query.tags.extend(tag.map(|value| (pick(random, &["http.method", "user"]).to_owned(), value)));
    query.words.retain(|word| query.tags.iter().all(|(key, _)| key != word));
    query.min_duration = random.random_bool(0.3).then(|| random.random_range(1..40));
    query.max_duration = query.min_duration.filter(|_| random.random_bool(0.5)).map(|least| least + 3);
    query.end_ts = NOW / 1_000 - random.random_range(0..4 * HOUR);
    query.lookback = [1, 2, HOUR, 2 * HOUR, 24 * HOUR][random.random_range(0..5)];
    query.limit = [1, 2, 5, 100][random.random_range(0..4)];
    query.strict = random.random_bool(0.5);
    query
}

/// The traces found, each as its spans.
fn search(snapshot: &Snapshot, query: &SearchQuery) -> Vec<Vec<Span<'static>>> {
    let mut search = Search::open(snapshot, query, Stop::never()).unwrap();
    let mut traces = Vec::new();
    while let Some(chunk) = search.next_chunk().unwrap() {
        assert!(chunk.ends_trace && !chunk.rows.spans.is_empty());
        traces.push(chunk.rows.spans);
    }
    assert!(search.damaged().is_empty());
    traces
}

/// What a look at all spans finds.
fn looked_up(spans: &[Span<'static>], query: &SearchQuery) -> Vec<Vec<Span<'static>>> {
    let mut traces: BTreeMap<(u64, u64), Vec<Span<'static>>> = BTreeMap::new();
    for span in spans {
        let high = if query.strict { span.trace_id.high } else { 0 };
        traces.entry((span.trace_id.low, high)).or_default().push(span.clone());
    }
    let (from, to) = ((query.end_ts - query.lookback) * 1_000, query.end_ts * 1_000);
    let mut found = Vec::new();
    for (key, mut spans) in traces {
        let mut test = TraceTest::new(query);
        for span in &spans {
            test.feed(span);
        }
        if test.matches() {
            spans.sort();
            let times = spans.iter().filter_map(|span| span.timestamp).filter(|time| (from..=to).contains(time));
            found.push((std::cmp::Reverse(times.max().unwrap() / 1_000), key, spans));
        }
    }
    found.sort();
    found.into_iter().take(query.limit).map(|(_, _, spans)| spans).collect()
}

#[test]
fn a_search_finds_what_a_look_at_all_spans_finds() {
    let mut found = 0;
    for seed in 0..6 {
        let mut random = SmallRng::seed_from_u64(seed);
        let count = random.random_range(1..500);
        let spans: Vec<_> = (1..=count).map(|id| span(&mut random, id)).collect();
        run(async {
            let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
            scattered(&mut random, &store, &spans).await;
            for _ in 0..150 {
                let query = query(&mut random);
                let answer = search(&store.snapshot(), &query);
                assert_eq!(answer, looked_up(&spans, &query), "seed {seed}: {query:?}");
                found += answer.len();
            }
            store.close().await.unwrap();
        });
    }
    assert!(found > 1_000, "{found}: the questions are too narrow to show anything");
}

/// The links of the traces with a span in the window, from all spans.
fn linked(spans: &[Span<'static>], from: i64, to: i64) -> Vec<Dependency> {
    let mut traces: BTreeMap<u64, Vec<&Span<'static>>> = BTreeMap::new();
    spans.iter().for_each(|span| traces.entry(span.trace_id.low).or_default().push(span));
    let mut sums: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for trace in traces.into_values() {
        if !trace.iter().any(|span| span.timestamp.is_some_and(|time| (from..=to).contains(&time))) {
            continue;
        }
        // Numbers in the order of the names.
        let names = ["back", "cache", "db", "front"];
        let number = |name: &str| names.iter().position(|known| *known == name.to_lowercase()).unwrap() as u32;
        let mut facts: Vec<_> = trace.iter().map(|span| LinkSpan::of(span, number)).collect();
        let mut links = Vec::new();
        Linker::default().link(&mut facts, &mut links);
        for link in links {
            let key = (names[link.parent as usize].to_owned(), names[link.child as usize].to_owned());
            let sum = sums.entry(key).or_default();
            *sum = (sum.0 + u64::from(link.calls), sum.1 + u64::from(link.errors));
        }
    }
    let dependency = |((parent, child), (calls, errors))| Dependency { parent, child, calls, errors };
    sums.into_iter().map(dependency).collect()
}

#[test]
fn links_are_those_of_all_spans_wherever_they_lie() {
    for seed in 10..16 {
        let mut random = SmallRng::seed_from_u64(seed);
        let count = random.random_range(1..500);
        let spans: Vec<_> = (1..=count).map(|id| span(&mut random, id)).collect();
        run(async {
            let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
            scattered(&mut random, &store, &spans).await;
            for _ in 0..60 {
                let end = NOW / 1_000 - random.random_range(0..4 * HOUR);
                let lookback = [1, 4, HOUR, 24 * HOUR, 48 * HOUR][random.random_range(0..5)];
                let answer = dependencies(&store.snapshot(), "default", end, lookback, &Stop::never()).unwrap();
                let wanted = linked(&spans, (end - lookback) * 1_000, end * 1_000);
                assert_eq!(answer, (wanted, vec![]), "seed {seed}: {end} {lookback}");
            }
            store.close().await.unwrap();
        });
    }
}

/// A trace of one call that began so many milliseconds before the day's noon.
fn call(low: u64, before: i64) -> Vec<Span<'static>> {
    let mut client = Span::new(TraceId::narrow(low), 1);
    client.kind = Some(Kind::Client);
    client.timestamp = Some(NOW - before * 1_000);
    (client.local, client.remote) = (endpoint("front"), endpoint("10.0.0.1"));
    let mut server = Span::new(TraceId::narrow(low), 1);
    (server.kind, server.shared) = (Some(Kind::Server), Some(true));
    server.timestamp = client.timestamp.map(|time| time + 1);
    server.local = endpoint("back");
    vec![client, server]
}

fn by_hours(store: &Arc<Store>, end: i64, lookback: i64) -> Vec<(String, u64)> {
    let answer = dependencies_by(&store.snapshot(), "default", end, lookback, 0, &Stop::never()).unwrap();
    answer.0.into_iter().map(|link| (format!("{} {}", link.parent, link.child), link.calls)).collect()
}

/// Noon is the start of an hour.
const NOON: i64 = NOW / 1_000;
const DAYS: i64 = 48 * HOUR;

#[test]
fn many_traces_of_many_hours_are_summed_and_exact_at_both_ends() {
    run(async {
        let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
        // One in the first hour of the window, one in its last, some between, one on either side outside.
        let starts = [2 * DAYS, DAYS + 1, DAYS - 1, DAYS - HOUR / 2, DAYS / 2, 30 * HOUR, HOUR / 2, 1];
        for (number, before) in starts.into_iter().enumerate() {
            put(&store, &call(number as u64 + 1, before)).await.unwrap();
        }
        let wanted = |calls| vec![("front back".to_owned(), calls)];
        for _ in 0..2 {
            assert_eq!(by_hours(&store, NOON, DAYS), wanted(6));
            // From just after the first to just before the last.
            assert_eq!(by_hours(&store, NOON - 2, DAYS - 4), wanted(4));
            assert_eq!(by_hours(&store, NOON - HOUR / 2 - 1, DAYS - HOUR / 2), wanted(5));
            assert_eq!(by_hours(&store, NOON, 3 * DAYS), wanted(8));
            store.flush().await.unwrap();
        }
        store.close().await.unwrap();
    });
}

#[test]
fn in_whole_hours_a_trace_of_two_files_counts_in_each_until_they_are_merged() {
    run(async {
        let config = StoreConfig { compact_files: 2, ..config() };
        let store = Store::open(config, Arc::new(SimFs::default()), clock()).await.unwrap();
        let [client, server] = call(1, 30 * HOUR).try_into().unwrap();
        for side in [client, server] {
            put(&store, &[side]).await.unwrap();
            store.flush().await.unwrap();
        }
        // The server's half alone does not know who called.
        assert_eq!(by_hours(&store, NOON, DAYS), [("front 10.0.0.1".to_owned(), 1)]);
        let exact = dependencies(&store.snapshot(), "default", NOON, DAYS, &Stop::never()).unwrap().0;
        assert_eq!((exact[0].child.as_str(), exact.len()), ("back", 1));
        assert_eq!(store.compact().await.unwrap().merged, 2);
        assert_eq!(by_hours(&store, NOON, DAYS), [("front back".to_owned(), 1)]);
        store.close().await.unwrap();
    });
}

fn links(store: &Arc<Store>) -> Vec<(String, String, u64)> {
    let answer = dependencies(&store.snapshot(), "default", NOON, 24 * HOUR, &Stop::never()).unwrap();
    answer.0.into_iter().map(|link| (link.parent, link.child, link.calls)).collect()
}

/// Of two spans of one id that both say whose they are, the order of the names decides, not what other traces there are.
#[test]
fn links_of_a_trace_do_not_depend_on_other_traces() {
    run(async {
        let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
        let side = |low: u64, id: u64, local: &str, remote: &str| {
            let mut span = Span::new(TraceId::narrow(low), id);
            span.timestamp = Some(NOW - 1_000);
            (span.local, span.remote) = (endpoint(local), endpoint(remote));
            span
        };
        put(&store, &[side(1, 7, "web", "api"), side(1, 7, "api", "web")]).await.unwrap();
        let alone = links(&store);
        assert_eq!(alone.len(), 1);
        // The names come up in another order first.
        let mut other = side(0, 1, "web", "nobody");
        other.timestamp = Some(NOW - 48 * HOUR * 1_000);
        let mut another = side(0, 2, "api", "nobody");
        another.timestamp = other.timestamp;
        for before in [vec![other.clone(), another.clone()], vec![another, other]] {
            put(&store, &before).await.unwrap();
            assert_eq!(links(&store), alone);
            store.flush().await.unwrap();
            assert_eq!(links(&store), alone);
        }
        store.close().await.unwrap();
    });
}

/// A merge drops duplicates: the trace has as many rows as before once another span has come, and is another trace.
#[test]
fn a_late_span_counts_even_where_a_duplicate_went() {
    run(async {
        let store = Store::open(StoreConfig { compact_files: 2, ..config() }, Arc::new(SimFs::default()), clock());
        let store = store.await.unwrap();
        let [client, server] = call(1, 10).try_into().unwrap();
        for _ in 0..2 {
            put(&store, &[client.clone(), server.clone()]).await.unwrap();
            store.flush().await.unwrap();
        }
        assert_eq!(links(&store), [("front".to_owned(), "back".to_owned(), 1)]);
        store.compact().await.unwrap();
        let mut query = Span::new(TraceId::narrow(1), 2);
        (query.kind, query.parent_id, query.timestamp) = (Some(Kind::Client), Some(1), server.timestamp);
        (query.local, query.remote) = (endpoint("back"), endpoint("db"));
        put(&store, &[query]).await.unwrap();
        let wanted = [("back".to_owned(), "db".to_owned(), 1), ("front".to_owned(), "back".to_owned(), 1)];
        assert_eq!(links(&store), wanted);
        store.flush().await.unwrap();
        assert_eq!(links(&store), wanted);
        store.close().await.unwrap();
    });
}

fn failed(end_ts: i64) -> SearchQuery {
    SearchQuery {
        project: "default".into(),
        words: vec!["error".into()],
        end_ts,
        lookback: HOUR,
        limit: 10,
        ..SearchQuery::default()
    }
}

/// The halves of shared spans that old agents send without a time.
#[test]
fn spans_without_a_time_belong_to_their_trace_wherever_they_lie() {
    run(async {
        for together in [true, false] {
            let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
            let [root, mut child] = call(1, 30 * HOUR).try_into().unwrap();
            child.timestamp = None;
            child.tags = vec![("error".into(), "".into())];
            let now = call(2, 1);
            let requests = match together {
                true => vec![[vec![root, child], now].concat()],
                false => vec![vec![root], [vec![child], now].concat()],
            };
            for request in requests {
                put(&store, &request).await.unwrap();
                store.flush().await.unwrap();
            }
            let found = search(&store.snapshot(), &failed(NOON - 30 * HOUR));
            assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [2], "together: {together}");
            let end = NOON - 29 * HOUR;
            let links = dependencies(&store.snapshot(), "default", end, 2 * HOUR, &Stop::never()).unwrap().0;
            assert_eq!(links.iter().map(|link| link.child.as_str()).collect::<Vec<_>>(), ["back"]);
            store.close().await.unwrap();
        }
    });
}

/// The stated limit of a search's reach: hours outside the window only memory is looked at.
#[test]
fn a_condition_that_is_met_hours_outside_the_window_alone_is_not_seen_in_files() {
    run(async {
        let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
        let [root, mut late] = call(1, 6 * HOUR).try_into().unwrap();
        late.timestamp = Some(NOW - HOUR * 1_000);
        late.tags = vec![("error".into(), "".into())];
        for (request, found) in [(root, 0), (late, 1)] {
            put(&store, &[request]).await.unwrap();
            assert_eq!(search(&store.snapshot(), &failed(NOON - 6 * HOUR)).len(), found);
            if found == 0 {
                store.flush().await.unwrap();
            }
        }
        store.flush().await.unwrap();
        assert_eq!(search(&store.snapshot(), &failed(NOON - 6 * HOUR)).len(), 0);
        assert_eq!(search(&store.snapshot(), &SearchQuery { lookback: 9 * HOUR, ..failed(NOON) }).len(), 1);
        store.close().await.unwrap();
    });
}

/// Many agents' clocks are coarse, and a batch job starts a thousand traces at once.
#[test]
fn of_many_traces_of_one_millisecond_the_first_by_id_are_found() {
    run(async {
        let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
        let spans: Vec<_> = (1..=900).flat_map(|low| call(low, 5)).collect();
        put(&store, &spans).await.unwrap();
        for _ in 0..2 {
            let query = SearchQuery { words: vec![], limit: 3, ..failed(NOON) };
            let found = search(&store.snapshot(), &query);
            assert_eq!(found.iter().map(|trace| trace[0].trace_id.low).collect::<Vec<_>>(), [1, 2, 3]);
            store.flush().await.unwrap();
        }
        store.close().await.unwrap();
    });
}

/// It is tested and given out as it is read; what else is found keeps its place.
#[test]
fn a_trace_too_large_to_be_held_is_found_whole() {
    const SPANS: u64 = 10_100;
    run(async {
        let flush_bytes = 64 << 20;
        let store = Store::open(StoreConfig { flush_bytes, ..config() }, Arc::new(SimFs::default()), clock());
        let store = store.await.unwrap();
        let mut spans = call(1, 20);
        spans.extend((2..SPANS).map(|id| {
            let mut span = Span::new(TraceId::narrow(2), id);
            (span.timestamp, span.parent_id) = (Some(NOW - 10_000 + id as i64 % 9), Some(1));
            (span.local, span.kind) = (endpoint("front"), Some(Kind::Client));
            span.remote = endpoint(if id == 9_000 { "back" } else { "db" });
            span
        }));
        spans.extend(call(3, 5));
        put(&store, &spans).await.unwrap();
        for flushed in [false, true] {
            if flushed {
                store.flush().await.unwrap();
            }
            let query = SearchQuery { words: vec![], ..failed(NOON) };
            let mut search = Search::open(&store.snapshot(), &query, Stop::never()).unwrap();
            let (mut found, mut chunks) = (BTreeMap::new(), Vec::new());
            while let Some(chunk) = search.next_chunk().unwrap() {
                chunks.push((chunk.rows.spans[0].trace_id.low, chunk.ends_trace));
                for span in chunk.rows.spans {
                    *found.entry((span.trace_id.low, span.id, span.kind)).or_insert(0) += 1;
                }
            }
            assert_eq!(found.len() as u64, SPANS - 2 + 4);
            assert!(found.values().all(|times| *times == 1));
            assert_eq!((chunks.first(), chunks.last()), (Some(&(3, true)), Some(&(1, true))));
            let large: Vec<bool> = chunks.iter().filter(|(low, _)| *low == 2).map(|(_, ends)| *ends).collect();
            assert!(large.len() > 1 && large[..large.len() - 1].iter().all(|ends| !ends) && large[large.len() - 1]);
            assert_eq!(links(&store)[0], ("front".to_owned(), "back".to_owned(), 3));
        }
        // In two places it is linked anew.
        let mut late = Span::new(TraceId::narrow(2), SPANS + 1);
        (late.timestamp, late.local, late.remote) = (Some(NOW - 9_000), endpoint("back"), endpoint("front"));
        put(&store, &[late]).await.unwrap();
        assert_eq!(links(&store).len(), 3);
        store.close().await.unwrap();
    });
}

/// A trace's time is its root's, also where a few columns decide.
#[test]
fn a_rare_tag_is_found_by_the_time_of_its_traces_root() {
    run(async {
        let store = Store::open(config(), Arc::new(SimFs::default()), clock()).await.unwrap();
        // A clock that is behind: the child begins before the window, its root inside.
        let mut root = call(1, HOUR / 6).remove(0);
        root.tags = vec![("user".into(), "only one".into())];
        let mut child = Span::new(TraceId::narrow(1), 2);
        (child.parent_id, child.timestamp) = (Some(1), Some(NOW - 61 * 60_000_000));
        // And the other way round.
        let mut early = call(2, HOUR + 1).remove(0);
        early.tags = vec![("user".into(), "only two".into())];
        let late = Span { parent_id: Some(1), timestamp: Some(NOW - 1_000), ..Span::new(TraceId::narrow(2), 2) };
        put(&store, &[root, child, early, late]).await.unwrap();
        for _ in 0..2 {
            for (value, found) in [("only one", 1), ("only two", 0)] {
                let tags = vec![("user".to_owned(), value.to_owned())];
                let query = SearchQuery { words: vec![], tags, ..failed(NOON) };
                assert_eq!(search(&store.snapshot(), &query).len(), found, "{value}");
            }
            store.flush().await.unwrap();
        }
        store.close().await.unwrap();
    });
}
