//! A reader keeps the view that it took: whatever runs meanwhile, it sees each span once.

use super::tap::{Call, Tap, Watch};
use super::*;
use std::sync::{Mutex, OnceLock, Weak};

fn counts(numbers: std::ops::Range<u64>) -> Counts {
    numbers.map(|number| ((project(number).to_owned(), number + 1), 1)).collect()
}

/// Takes a snapshot at each call to the disk.
#[derive(Default)]
struct Reader {
    store: OnceLock<Weak<Store>>,
    taken: Mutex<Vec<Snapshot>>,
}

impl Watch for Reader {
    fn after(&self, call: Call, _: &Path) {
        if let (Call::Op(_), Some(store)) = (call, self.store.get().and_then(Weak::upgrade)) {
            self.taken.lock().expect("a lock").push(store.snapshot());
        }
    }
}

/// At each step of a flush and of a compaction a snapshot is taken, and read only when all is over and what was
/// superseded has been deleted, as far as no reader holds it.
#[test]
fn a_snapshot_sees_each_span_once_at_every_step() {
    run(async {
        let fs = SimFs::new();
        let reader = Arc::new(Reader::default());
        let store = open(Tap::new(fs.clone(), reader.clone())).await.unwrap();
        for round in 0..3 {
            for number in 4 * round..4 * round + 4 {
                send(&store, number).await.unwrap();
            }
            reader.store.get_or_init(|| Arc::downgrade(&store));
            reader.taken.lock().unwrap().clear();
            store.flush().await.unwrap();
            store.compact().await.unwrap();
            let taken = std::mem::take(&mut *reader.taken.lock().unwrap());
            assert!(taken.len() > 10);
            for (step, snapshot) in taken.iter().enumerate() {
                assert_eq!(rows(snapshot).unwrap(), counts(0..4 * round + 4), "round {round}, step {step}");
            }
        }
        // With its last reader a superseded file goes.
        store.compact().await.unwrap();
        assert_eq!(litter(&fs, &store), Vec::<PathBuf>::new());
    });
}

/// The files are opened when they are first read, which may be after they were superseded.
#[test]
fn a_snapshot_outlives_the_files_of_its_time() {
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        let mut held = vec![(store.snapshot(), 0)];
        for number in 0..6 {
            send(&store, number).await.unwrap();
            if number % 2 == 1 {
                held.push((store.snapshot(), number + 1));
                store.flush().await.unwrap();
                held.push((store.snapshot(), number + 1));
                store.compact().await.unwrap();
            }
        }
        for (snapshot, to) in &held {
            // A snapshot shares the memory table that is being filled, so one of memory may show what came later.
            let seen = rows(snapshot).unwrap();
            let own: Counts = seen.into_iter().filter(|((_, id), _)| *id <= *to).collect();
            assert_eq!(own, counts(0..*to));
        }
        assert!(litter(&fs, &store).len() >= 2, "superseded files are kept for the snapshots");
        drop(held);
        store.compact().await.unwrap();
        assert_eq!(litter(&fs, &store), Vec::<PathBuf>::new());
        check(&store, &(0..6).collect(), &(0..6).collect()).unwrap();
    });
}

/// A lookup that has given out a part of a large trace gives out the rest from the same files.
#[test]
fn a_lookup_goes_on_over_files_that_were_superseded_meanwhile() {
    const SPANS: u64 = 6_000;
    let child = |id: u64| {
        let mut span = Span::new(TraceId::narrow(1), id);
        span.timestamp = Some(NOW + id as i64);
        span
    };
    run(async {
        let store = open(SimFs::new()).await.unwrap();
        for half in 0..2 {
            let spans: Vec<Span<'_>> = (0..SPANS / 2).map(|n| child(2 * n + half + 1)).collect();
            store.append(batch("default", &spans)).await.unwrap();
            store.flush().await.unwrap();
        }
        let query = TraceQuery {
            project: "default".to_owned(),
            trace_id: TraceId::narrow(1),
            strict: true,
            cluster_id: None,
            namespace: None,
        };
        let mut cursor = TraceCursor::open(&store.snapshot(), &query).unwrap();
        let mut ids: Vec<u64> = cursor.next_chunk().unwrap().unwrap().iter().map(|span| span.id).collect();
        assert!(ids.len() < SPANS as usize);
        assert_eq!(store.compact().await.unwrap().merged, 2);
        while let Some(chunk) = cursor.next_chunk().unwrap() {
            ids.extend(chunk.iter().map(|span| span.id));
        }
        assert_eq!(ids, (1..=SPANS).collect::<Vec<_>>());
        assert_eq!(cursor.damaged(), &[] as &[String]);
    });
}

/// How many spans a lookup finds in trace 1 of the project.
fn found(store: &Store, project: &str) -> usize {
    lookup(&store.snapshot(), project, 1).unwrap().0.len()
}

/// Agents send again what they got no answer for: in the same request, while it is in memory, once it is in a file.
#[test]
fn a_span_sent_again_is_one_span_wherever_it_lies() {
    run(async {
        let store = open(SimFs::new()).await.unwrap();
        let span = Span { id: 7, ..span(0) };
        let twice = [span.clone(), span.clone()];
        store.append(batch("default", &twice)).await.unwrap();
        store.append(batch("default", &twice)).await.unwrap();
        assert_eq!(found(&store, "default"), 1, "in memory");
        let report = store.flush().await.unwrap();
        assert_eq!((report.spans, found(&store, "default")), (1, 1), "in a file");
        store.append(batch("default", &twice)).await.unwrap();
        assert_eq!(found(&store, "default"), 1, "in both");
        store.flush().await.unwrap();
        assert_eq!((store.status().table_spans, found(&store, "default")), (2, 1), "in two files");
        store.compact().await.unwrap();
        assert_eq!((store.status().table_spans, found(&store, "default")), (1, 1), "in one file again");
    });
}

/// The two sides of a shared span, or a span that was sent again with more in it, are not the same.
#[test]
fn rows_that_differ_in_anything_stay() {
    run(async {
        let store = open(SimFs::new()).await.unwrap();
        let client = Span { id: 7, kind: Some(Kind::Client), ..span(0) };
        let server = Span { kind: Some(Kind::Server), shared: Some(true), ..client.clone() };
        let longer = Span { duration: Some(77), ..client.clone() };
        let in_cluster = |spans: &[Span<'_>]| {
            let scope = Scope { cluster_id: Some("c".into()), ..scope("default") };
            EncodedBatch::index(stored::encode(&scope, NOW, spans).into()).unwrap()
        };
        store.append(batch("default", &[client.clone(), server.clone(), longer.clone()])).await.unwrap();
        store.append(batch("other", std::slice::from_ref(&client))).await.unwrap();
        store.flush().await.unwrap();
        store.append(batch("default", &[longer, server])).await.unwrap();
        store.append(batch("other", std::slice::from_ref(&client))).await.unwrap();
        store.append(in_cluster(std::slice::from_ref(&client))).await.unwrap();
        let all = |store: &Store| (found(store, "default"), found(store, "other"));
        assert_eq!(all(&store), (4, 1));
        store.flush().await.unwrap();
        assert_eq!(all(&store), (4, 1));
        assert_eq!(store.status().table_spans, 4 + 4);
        store.compact().await.unwrap();
        assert_eq!(all(&store), (4, 1));
        assert_eq!(store.status().table_spans, 5);
    });
}
