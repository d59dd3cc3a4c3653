//! The store and the lake together, over a disk that forgets, fails and fills up: what was acknowledged is there, each
//! span once, and nothing grows without bound.

mod bounds;
mod damage;
mod days;
mod events;
mod faults;
mod full_disk;
mod power_cut;
mod real_disk;
mod searches;
mod snapshots;
mod summaries;
mod tap;
mod unreadable;

use crate::support::sim_fs::SimFs;
use spanlake::clock::ManualClock;
use spanlake::codec::stored::{self, Batch};
use spanlake::error::{Error, Result};
use spanlake::fs::Fs;
use spanlake::lake::events::rows::Rows as EventFileRows;
use spanlake::lake::spans::rows::Rows;
use spanlake::model::event::{Object, Source};
use spanlake::model::{Annotation, Endpoint, Event, Kind, Scope, ServiceEvent, Span, TraceId};
use spanlake::query::trace::{TraceCursor, TraceQuery};
use spanlake::store::{EncodedBatch, EncodedEvents, Snapshot, Store, StoreConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const DATA: &str = "/data";
const DAY: i32 = 20_779;
const MICROS_A_DAY: i64 = 86_400_000_000;
/// Noon of the day.
const NOW: i64 = DAY as i64 * MICROS_A_DAY + MICROS_A_DAY / 2;
/// So many traces the numbered spans belong to.
const TRACES: u64 = 2;

/// A store that does nothing by itself, and maintains and compacts often.
fn config() -> StoreConfig {
    StoreConfig {
        flush_bytes: 1 << 20,
        flush_interval: Duration::from_secs(3_600),
        segment_bytes: 1_024,
        reserve_bytes: 0,
        maintenance_commits: 2,
        compact_files: 2,
        removed_file_retention: Duration::ZERO,
        compression: 1,
        node_id: Some([7; 16]),
        background: false,
        ..StoreConfig::new(DATA)
    }
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

/// Runs a test's work as the server would.
fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

async fn open(fs: impl Fs) -> Result<Arc<Store>> {
    Store::open(config(), Arc::new(fs), clock()).await
}

/// The span of that number, like no other; all that a span can have is there in some.
fn span(number: u64) -> Span<'static> {
    let trace = number % TRACES + 1;
    let id = if trace == 2 { TraceId::wide(number % 3, trace) } else { TraceId::narrow(trace) };
    let mut span = Span::new(id, number + 1);
    span.timestamp = (!number.is_multiple_of(7)).then(|| NOW - 1_000 * (number as i64 % 4));
    span.duration = Some(number as i64);
    span.parent_id = (!number.is_multiple_of(3)).then_some(1);
    span.kind = number.is_multiple_of(2).then_some(Kind::Server);
    span.name = Some(format!("operation {number}").into());
    span.local = Some(Endpoint { service: Some("shop".into()), port: Some(80), ..Endpoint::default() });
    span.annotations = vec![Annotation { timestamp: NOW, value: format!("event {number}").into() }];
    span.tags = vec![("http.method".into(), "GET".into()), ("number".into(), number.to_string().into())];
    span
}

/// The project that the span of that number is kept under.
fn project(number: u64) -> &'static str {
    if number.is_multiple_of(4) { "other" } else { "default" }
}

fn scope(project: &str) -> Scope<'_> {
    Scope { project: project.into(), cluster_id: None, namespace: None }
}

fn batch(project: &str, spans: &[Span<'_>]) -> EncodedBatch {
    let bytes = stored::encode(&scope(project), NOW, spans);
    EncodedBatch::index(bytes.into()).expect("what was just encoded")
}

/// Numbers from here on are of events.
const EVENTS: u64 = 1_000_000;

/// The event of that number, like no other.
fn event(number: u64) -> ServiceEvent<'static> {
    let seen = NOW - 1_000 * (number as i64 % 4);
    ServiceEvent::from(Event {
        cluster: "default".into(),
        namespace: if number.is_multiple_of(3) { "shop".into() } else { "default".into() },
        uid: format!("uid-{number}").into(),
        name: format!("web.{number}").into(),
        object: Object { kind: "Pod".into(), name: format!("web-{}", number % 2).into(), ..Object::default() },
        level: "Warning".into(),
        reason: "BackOff".into(),
        message: format!("message {number}").into(),
        action: "".into(),
        source: Source::default(),
        first_seen: seen - 5,
        last_seen: seen,
        count: number as i64,
        labels: vec![("app", "web".into())],
        owners: Vec::new(),
    })
}

/// Sends one event as a request.
async fn send_event(store: &Store, number: u64) -> Result<u64> {
    let bytes = stored::events::encode(project(number), NOW, &[event(number)]);
    store.append(EncodedEvents::index(bytes.into()).expect("what was just encoded")).await
}

/// Sends the span or the event of that number.
async fn send_either(store: &Store, number: u64) -> Result<u64> {
    if number < EVENTS { send(store, number).await } else { send_event(store, number).await }
}

/// Sends one span as a request.
async fn send(store: &Store, number: u64) -> Result<u64> {
    store.append(batch(project(number), &[span(number)])).await
}

/// How often each span is in the files and in memory, by its project and id.
type Counts = BTreeMap<(String, u64), usize>;

/// What lies in the files and in memory, as it lies there.
fn rows(snapshot: &Snapshot) -> Result<Counts> {
    let mut counts = Counts::new();
    for file in snapshot.files.iter() {
        let mut rows_read = 0;
        let mut scan = file.scan(None, 1_000).map_err(|e| Error::damaged(e.to_string()))?;
        while let Some(batch) = scan.next_batch().map_err(|e| Error::damaged(e.to_string()))? {
            let rows = Rows::of(&batch).map_err(|e| Error::damaged(e.to_string()))?;
            for row in 0..rows.len() {
                let span = rows.span(row).map_err(|e| Error::damaged(e.to_string()))?;
                *counts.entry((rows.project(row).to_owned(), span.id)).or_default() += 1;
            }
            rows_read += rows.len() as u64;
        }
        assert_eq!(rows_read, file.info().rows, "the table's log knows how many rows {} has", file.info().path);
    }
    for memtable in &snapshot.memtables {
        for bytes in memtable.batches() {
            let mut batch = Batch::open(&bytes).expect("a batch");
            while let Some(place) = batch.next_span().expect("a span") {
                let span = stored::decode_span(&bytes[place.offset..place.offset + place.len]).expect("a span");
                *counts.entry((batch.scope.project.to_string(), span.id)).or_default() += 1;
            }
        }
    }
    Ok(counts)
}

/// What rows there are of each event that lies in the files and in memory, by its project and uid.
type EventRows = BTreeMap<(String, String), Vec<ServiceEvent<'static>>>;

/// The events in the files and in memory, as they lie there.
fn event_rows(snapshot: &Snapshot) -> Result<EventRows> {
    let mut found = EventRows::new();
    let mut add = |project: &str, row: ServiceEvent<'_>| {
        let row =
            ServiceEvent { service: row.service.map(|name| name.into_owned().into()), event: row.event.into_owned() };
        found.entry((project.to_owned(), row.event.uid.to_string())).or_default().push(row);
    };
    for file in snapshot.events.files.iter() {
        let mut rows_read = 0;
        let mut scan = file.scan(None, 1_000).map_err(|e| Error::damaged(e.to_string()))?;
        while let Some(batch) = scan.next_batch().map_err(|e| Error::damaged(e.to_string()))? {
            let rows = EventFileRows::of(&batch).map_err(|e| Error::damaged(e.to_string()))?;
            for row in 0..rows.len() {
                add(rows.project(row), rows.event(row).map_err(|e| Error::damaged(e.to_string()))?);
            }
            rows_read += rows.len() as u64;
        }
        assert_eq!(rows_read, file.info().rows, "the table's log knows how many rows {} has", file.info().path);
    }
    for memtable in &snapshot.events.memtables {
        for bytes in memtable.batches() {
            let mut batch = stored::events::Batch::open(&bytes).expect("a batch");
            while let Some(place) = batch.next_event().expect("an event") {
                let body = &bytes[place.offset..place.offset + place.len];
                add(batch.project, stored::events::decode_event(body).expect("an event"));
            }
        }
    }
    Ok(found)
}

/// As [`check`] does for spans.
fn check_events(store: &Store, sent: &BTreeSet<u64>, acknowledged: &BTreeSet<u64>) -> std::result::Result<(), String> {
    let found = event_rows(&store.snapshot()).map_err(|e| e.to_string())?;
    let mut expected = EventRows::new();
    for number in sent {
        let key = (project(*number).to_owned(), format!("uid-{number}"));
        if found.contains_key(&key) {
            expected.insert(key, vec![event(*number)]);
        } else if acknowledged.contains(number) {
            return Err(format!("event {number} was acknowledged and is gone"));
        }
    }
    if found != expected {
        return Err(format!("of events there are {found:?}, not {expected:?}"));
    }
    let status = store.status();
    if status.memory_events + status.table_events as usize != found.len() {
        return Err(format!("{} events are there, and the status is {status:?}", found.len()));
    }
    Ok(())
}

/// A trace as a lookup answers it, and the files that it could not read.
fn lookup(snapshot: &Snapshot, project: &str, low: u64) -> Result<(Vec<Span<'static>>, Vec<String>)> {
    let query = TraceQuery {
        project: project.to_owned(),
        trace_id: TraceId::narrow(low),
        strict: false,
        cluster_id: None,
        namespace: None,
    };
    let mut cursor = TraceCursor::open(snapshot, &query)?;
    let mut spans = Vec::new();
    while let Some(chunk) = cursor.next_chunk()? {
        spans.extend(chunk);
    }
    Ok((spans, cursor.damaged().to_vec()))
}

/// Each acknowledged span is there once, each other one that was sent at most once, and nothing else; in the files and
/// in memory, and by lookups. A text says what is not so.
fn check(store: &Store, sent: &BTreeSet<u64>, acknowledged: &BTreeSet<u64>) -> std::result::Result<(), String> {
    let halves = |numbers: &BTreeSet<u64>| {
        (numbers.range(..EVENTS).copied().collect(), numbers.range(EVENTS..).copied().collect())
    };
    let ((sent, sent_events), (acknowledged, acknowledged_events)): ((BTreeSet<u64>, _), (BTreeSet<u64>, _)) =
        (halves(sent), halves(acknowledged));
    check_events(store, &sent_events, &acknowledged_events)?;
    let snapshot = store.snapshot();
    let counts = rows(&snapshot).map_err(|e| e.to_string())?;
    let mut expected = BTreeMap::new();
    for number in &sent {
        let key = (project(*number).to_owned(), number + 1);
        match counts.get(&key) {
            Some(1) => {
                let trace = (project(*number), number % TRACES + 1);
                expected.entry(trace).or_insert_with(Vec::new).push(span(*number));
            }
            Some(times) => return Err(format!("span {number} is there {times} times")),
            None if acknowledged.contains(number) => return Err(format!("span {number} was acknowledged and is gone")),
            None => {}
        }
    }
    let found: usize = expected.values().map(Vec::len).sum();
    if counts.len() != found {
        return Err(format!("there are spans that nobody sent: {counts:?}"));
    }
    for ((project, trace), mut expected) in expected {
        expected.sort();
        let (spans, damaged) = lookup(&snapshot, project, trace).map_err(|e| e.to_string())?;
        if !damaged.is_empty() || spans != expected {
            return Err(format!("trace {trace} of {project} is {spans:?}, without {damaged:?}"));
        }
    }
    let status = store.status();
    if status.memory_spans + status.table_spans as usize != found {
        return Err(format!("{found} spans are there, and the status is {status:?}"));
    }
    Ok(())
}

/// The numbers of the spans and events that are there.
fn present(store: &Store) -> BTreeSet<u64> {
    let snapshot = store.snapshot();
    let spans = rows(&snapshot).expect("rows").into_keys().map(|(_, id)| id - 1);
    let number = |uid: String| uid.trim_start_matches("uid-").parse().expect("a number");
    let events = event_rows(&snapshot).expect("rows").into_keys().map(|(_, uid)| number(uid));
    spans.chain(events).collect()
}

/// Names below the tables' folders that belong to no snapshot and no version of a table.
fn litter(fs: &SimFs, store: &Store) -> Vec<PathBuf> {
    let snapshot = store.snapshot();
    let files = snapshot.files.iter().chain(snapshot.events.files.iter());
    let live: BTreeSet<PathBuf> = files.map(|file| file.path().to_owned()).collect();
    let tables = [StoreConfig::table_dir(Path::new(DATA)), StoreConfig::events_dir(Path::new(DATA))];
    let is_litter = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let in_log = tables.iter().any(|table| path.starts_with(table.join("_delta_log")));
        name.starts_with('.') || (!in_log && !live.contains(path))
    };
    let below = |path: &PathBuf| tables.iter().any(|table| path.starts_with(table));
    fs.files().into_iter().map(|(path, _)| path).filter(|path| below(path) && is_litter(path)).collect()
}
