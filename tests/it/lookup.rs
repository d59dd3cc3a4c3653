//! A trace is read in bounded pieces, wherever its spans lie.

use spanlake::clock::ManualClock;
use spanlake::codec::Limits;
use spanlake::fs::RealFs;
use spanlake::ingest::Ingest;
use spanlake::model::{Scope, Span, TraceId};
use spanlake::query::trace::{TraceCursor, TraceQuery};
use spanlake::store::{Store, StoreConfig};
use std::sync::Arc;

const DAY: i64 = 20_779;
const LOW: u64 = 7;

fn scope() -> Scope<'static> {
    Scope { project: "default".into(), cluster_id: None, namespace: None }
}

/// Spans of one trace; every third with a tag of `long` bytes.
fn spans(ids: std::ops::Range<u64>, long: usize) -> Vec<Span<'static>> {
    let span = |id: u64| {
        let mut span = Span::new(TraceId::narrow(LOW), id);
        span.timestamp = Some(DAY * 86_400_000_000 + id as i64);
        let len = if id.is_multiple_of(3) { long } else { 10 };
        span.tags = vec![("text".into(), "x".repeat(len).into())];
        span
    };
    ids.map(span).collect()
}

fn bytes(chunk: &[Span<'_>]) -> usize {
    chunk.iter().flat_map(|span| &span.tags).map(|(_, value)| value.len()).sum()
}

/// All ids in the order given out, and the bytes of the largest chunk.
fn read(store: &Store) -> (Vec<u64>, usize) {
    let query = TraceQuery {
        project: "default".to_owned(),
        trace_id: TraceId::narrow(LOW),
        strict: true,
        cluster_id: None,
        namespace: None,
    };
    let mut cursor = TraceCursor::open(&store.snapshot(), &query).unwrap();
    let (mut ids, mut largest) = (Vec::new(), 0);
    while let Some(chunk) = cursor.next_chunk().unwrap() {
        largest = largest.max(bytes(&chunk));
        ids.extend(chunk.iter().map(|span| span.id));
    }
    assert!(cursor.damaged().is_empty());
    (ids, largest)
}

async fn post(ingest: &Ingest, spans: Vec<Span<'_>>) {
    ingest.append(ingest.encode(&scope(), spans).unwrap()).await.unwrap();
}

async fn open(folder: &std::path::Path) -> (Arc<Store>, Ingest) {
    let clock = Arc::new(ManualClock::new(DAY * 86_400_000_000));
    let config = StoreConfig { background: false, reserve_bytes: 0, ..StoreConfig::new(folder) };
    let store = Store::open(config, Arc::new(RealFs), clock.clone()).await.unwrap();
    (store.clone(), Ingest::new(store, clock, Limits::default()))
}

#[tokio::test]
async fn chunks_are_bounded_by_bytes_in_memory_in_a_file_and_in_both() {
    const LONG: usize = 300_000;
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest) = open(folder.path()).await;
    // A chunk ends with the span that fills it up.
    let limit = (1 << 20) + LONG;
    post(&ingest, spans(0..60, LONG)).await;
    let (ids, largest) = read(&store);
    assert_eq!(ids, (0..60).collect::<Vec<_>>());
    assert!((1 << 19..limit).contains(&largest), "{largest}");

    store.flush().await.unwrap();
    let (ids, largest) = read(&store);
    assert_eq!(ids, (0..60).collect::<Vec<_>>());
    assert!((1 << 19..limit).contains(&largest), "{largest}");

    // Half of them sent again, and new ones, while the others lie in the file.
    post(&ingest, spans(30..90, LONG)).await;
    let (ids, largest) = read(&store);
    assert_eq!(ids, (0..90).collect::<Vec<_>>());
    assert!((1 << 19..limit).contains(&largest), "{largest}");
}

#[tokio::test]
async fn a_long_trace_of_short_spans_comes_whole_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (store, ingest) = open(folder.path()).await;
    post(&ingest, spans(0..9_000, 10)).await;
    assert_eq!(read(&store).0, (0..9_000).collect::<Vec<_>>());
    store.flush().await.unwrap();
    post(&ingest, spans(5_000..12_000, 10)).await;
    assert_eq!(read(&store).0, (0..12_000).collect::<Vec<_>>());
}
