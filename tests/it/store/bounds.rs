//! Memory, files and the work of a commit stay bounded, however long the store runs.

use super::tap::{Call, Tap, Watch};
use super::*;
use crate::support::sim_fs::Cut;
use spanlake::error::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Sends from a number on until memory is full; gives the number that was refused.
async fn fill(store: &Store, from: u64, limit: usize) -> u64 {
    for number in from.. {
        match send(store, number).await {
            Ok(_) => assert!(store.status().memory_bytes <= limit, "{:?}", store.status()),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                return number;
            }
        }
    }
    unreachable!("memory is never full")
}

#[test]
fn memory_is_bounded_and_free_after_a_flush() {
    const FLUSH_BYTES: usize = 20_000;
    run(async {
        let config = StoreConfig { flush_bytes: FLUSH_BYTES, ..config() };
        let limit = config.memory_limit();
        assert_eq!(limit, FLUSH_BYTES + FLUSH_BYTES / 2);
        let store = Store::open(config, Arc::new(SimFs::new()), clock()).await.unwrap();
        let first = fill(&store, 0, limit).await;
        assert!(store.status().memory_bytes > limit - 1_000, "{:?}", store.status());
        assert_eq!(store.admit(0).is_ok(), store.status().memory_bytes <= limit);
        assert_eq!(store.admit(1_000).unwrap_err().kind(), ErrorKind::Busy);
        let all = |to: u64| (0..to).collect::<BTreeSet<u64>>();
        check(&store, &all(first), &all(first)).unwrap();
        store.flush().await.unwrap();
        let second = fill(&store, first, limit).await;
        assert!(second > first + first / 2, "there is room for as many again");
        check(&store, &all(second), &all(second)).unwrap();
    });
}

/// One request may be larger than all that memory is for: it is taken when there is nothing else, rather than never.
#[test]
fn a_request_larger_than_memory_is_taken_alone() {
    run(async {
        let config = StoreConfig { flush_bytes: 1_000, ..config() };
        let store = Store::open(config, Arc::new(SimFs::new()), clock()).await.unwrap();
        let spans: Vec<Span<'_>> = (0..200).map(span).collect();
        store.append(batch("default", &spans)).await.unwrap();
        assert_eq!(send(&store, 300).await.unwrap_err().kind(), ErrorKind::Busy);
        store.flush().await.unwrap();
        send(&store, 300).await.unwrap();
    });
}

/// A server that comes back with a long log must not need more memory than one that runs.
#[test]
fn a_replay_flushes_as_it_goes() {
    const FLUSH_BYTES: usize = 5_000;
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        let sent: BTreeSet<u64> = (0..200).collect();
        for number in &sent {
            send(&store, *number).await.unwrap();
        }
        let bytes = store.status().memory_bytes;
        assert!(bytes > 6 * FLUSH_BYTES, "{bytes}");
        drop(store);
        let config = StoreConfig { flush_bytes: FLUSH_BYTES, compact_files: 100, ..config() };
        let store = Store::open(config.clone(), Arc::new(fs.clone()), clock()).await.unwrap();
        let status = store.status();
        assert!(status.memory_bytes < FLUSH_BYTES, "{status:?}");
        check(&store, &sent, &sent).unwrap();
        // A file has what was in memory at a time: a flush's worth, and the request that filled it up.
        let a_span = bytes / sent.len();
        for file in store.snapshot().files.iter() {
            assert!(file.info().rows as usize * a_span < FLUSH_BYTES + 2 * a_span, "{:?}", file.info());
        }
        // In the middle of it the power may be cut too.
        let store = Store::open(config, Arc::new(fs.crash(Cut::Forget)), clock()).await.unwrap();
        check(&store, &sent, &sent).unwrap();
    });
}

/// Counts what is asked of the disk.
#[derive(Default)]
struct Counter {
    calls: AtomicUsize,
}

impl Watch for Counter {
    fn after(&self, _: Call, _: &Path) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// Two thousand flushes within a day, compactions and maintenance among them, cost what the first ones cost: calls to
/// the disk a commit, files, entries of the table's log, segments, and bytes on the disk for each span.
#[test]
fn two_thousand_commits_leave_files_and_work_flat() {
    const COMMITS: usize = 2_000;
    const WINDOW: usize = 200;
    run(async {
        let fs = SimFs::new();
        let counter = Arc::new(Counter::default());
        // Tombstones expire by the machine's clock, so the day is one of long ago.
        let clock = Arc::new(ManualClock::new(NOW - 400 * MICROS_A_DAY - MICROS_A_DAY / 2));
        let config = StoreConfig {
            maintenance_commits: 100,
            compact_files: 8,
            removed_file_retention: Duration::from_secs(600),
            ..config()
        };
        let tap = Tap::new(fs.clone(), counter.clone());
        let store = Store::open(config.clone(), Arc::new(tap), clock.clone()).await.unwrap();
        let (mut calls, mut most_files, mut most_on_disk) = (Vec::new(), 0, 0);
        for number in 0..COMMITS {
            let before = counter.calls.load(Ordering::Relaxed);
            let spans: Vec<Span<'_>> = (0..4).map(|n| span(4 * number as u64 + n)).collect();
            store.append(batch("default", &spans)).await.unwrap();
            store.flush().await.unwrap();
            store.compact().await.unwrap();
            calls.push(counter.calls.load(Ordering::Relaxed) - before);
            clock.advance(30_000_000);
            most_files = most_files.max(store.status().files);
            most_on_disk = most_on_disk.max(fs.files().len());
        }
        let first: usize = calls[..WINDOW].iter().sum();
        let last: usize = calls[COMMITS - WINDOW..].iter().sum();
        assert!(last * 10 < first * 13, "{first} calls for the first {WINDOW} commits, {last} for the last");
        // Seven files in each of the tiers that so many rows reach.
        assert!(most_files <= 7 * 7, "{most_files}");
        // And entries since the last maintenance, the checkpoint before and after, segments.
        assert!(most_on_disk <= 7 * 7 + 2 * 130 + 20, "{most_on_disk}");
        assert_eq!(rows(&store.snapshot()).unwrap().len(), 4 * COMMITS);
        store.close().await.unwrap();
        let store = Store::open(config, Arc::new(fs.crash(Cut::Forget)), clock).await.unwrap();
        assert_eq!(rows(&store.snapshot()).unwrap().len(), 4 * COMMITS);
    });
}
