//! The disk is full: appends are refused, reads go on, and all goes on by itself once there is space.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use spanlake::error::ErrorKind;

const RESERVE: u64 = 256 * 1_024;

fn config_with_reserve() -> StoreConfig {
    StoreConfig { segment_bytes: 4_096, reserve_bytes: RESERVE, ..config() }
}

async fn open_with_reserve(fs: &SimFs) -> Result<Arc<Store>> {
    Store::open(config_with_reserve(), Arc::new(fs.clone()), clock()).await
}

fn reserve(fs: &SimFs) -> Option<u64> {
    fs.files().into_iter().find(|(path, _)| path.ends_with("reserve")).map(|(_, len)| len)
}

/// Sends until the disk is full; gives what was acknowledged.
async fn fill(store: &Store, from: u64) -> BTreeSet<u64> {
    let mut acknowledged = BTreeSet::new();
    for number in from..from + 10_000 {
        match send(store, number).await {
            Ok(_) => acknowledged.insert(number),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                assert!(error.message().contains("free disk space"), "{error}");
                return acknowledged;
            }
        };
    }
    panic!("the disk was never full");
}

#[test]
fn the_reserve_lets_a_full_disk_drain() {
    run(async {
        let fs = SimFs::new();
        let store = open_with_reserve(&fs).await.unwrap();
        assert_eq!(reserve(&fs), Some(RESERVE));
        fs.set_capacity(Some(fs.used() + 64 * 1_024));
        let mut acknowledged = fill(&store, 0).await;
        assert!(acknowledged.len() > 100, "{}", acknowledged.len());
        check(&store, &acknowledged, &acknowledged).unwrap();

        let log_before = store.status().log_bytes;
        let report = store.flush().await.unwrap();
        assert_eq!(report.spans, acknowledged.len() as u64);
        assert!(store.status().log_bytes < log_before / 4, "{:?}", store.status());
        check(&store, &acknowledged, &acknowledged).unwrap();

        // The log made room for itself.
        let more = fill(&store, 20_000).await;
        assert!(!more.is_empty());
        acknowledged.extend(more);
        check(&store, &acknowledged, &acknowledged).unwrap();

        fs.set_capacity(None);
        for number in 30_000..30_010 {
            send(&store, number).await.unwrap();
            acknowledged.insert(number);
        }
        store.flush().await.unwrap();
        assert_eq!(reserve(&fs), Some(RESERVE), "it is held again");
        check(&store, &acknowledged, &acknowledged).unwrap();
        assert_eq!(store.status().flush_error, None);
    });
}

/// Spans that do not compress, of about `bytes` bytes.
fn bulky(number: u64, bytes: usize) -> Span<'static> {
    let mut rng = SmallRng::seed_from_u64(number);
    let text: String = (0..bytes / 16).map(|_| format!("{:016x}", rng.random::<u64>())).collect();
    Span { tags: vec![("noise".into(), text.into())], ..Span::new(TraceId::narrow(number + 1), number + 1) }
}

/// As a server is set by default, a thousandth of its size: a flush, the reserve and two segments are of one size.
fn in_proportion() -> StoreConfig {
    StoreConfig { flush_bytes: 64_000, segment_bytes: 32_000, reserve_bytes: 64_000, ..config() }
}

/// Sends bulky spans until `full` refusals have come one after the other, with a flush after each.
async fn fill_with_noise(store: &Store, from: u64, acknowledged: &mut BTreeSet<u64>) {
    let mut refused = 0;
    for number in from..from + 10_000 {
        match store.append(batch("default", &[bulky(number, 2_000)])).await {
            Ok(_) => {
                acknowledged.insert(number);
                refused = 0;
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                // What the background does about it.
                let _ = store.flush().await;
                refused += 1;
                if refused == 5 {
                    return;
                }
            }
        }
    }
    panic!("the disk was never full");
}

/// The disk fills up with spans that hardly compress, for good: what was acknowledged is brought to the table by the
/// reserve, which is not taken for more log meanwhile; ingest goes on once there is space.
#[test]
fn a_disk_that_ingest_has_filled_drains_by_the_reserve() {
    run(async {
        for capacity in (176_000..260_000).step_by(6_000) {
            let fs = SimFs::new();
            let store = Store::open(in_proportion(), Arc::new(fs.clone()), clock()).await.unwrap();
            fs.set_capacity(Some(capacity));
            let mut acknowledged = BTreeSet::new();
            fill_with_noise(&store, 0, &mut acknowledged).await;
            let ids = |numbers: &BTreeSet<u64>| -> Counts {
                numbers.iter().map(|number| (("default".to_owned(), number + 1), 1)).collect()
            };
            let status = store.status();
            assert_eq!(status.memory_spans, 0, "{capacity}: {status:?}");
            let refused = store.append(batch("default", &[bulky(9_999, 40_000)])).await.unwrap_err();
            assert!(refused.message().contains("free disk space"), "{refused}");
            assert!(acknowledged.len() > 20, "{capacity}: {}", acknowledged.len());
            assert_eq!(rows(&store.snapshot()).unwrap(), ids(&acknowledged), "{capacity}");

            // A start changes nothing about that.
            drop(store);
            let fs = fs.crash(crate::support::sim_fs::Cut::Kill);
            fs.set_capacity(Some(capacity));
            let store = Store::open(in_proportion(), Arc::new(fs.clone()), clock()).await.unwrap();
            fill_with_noise(&store, 10_000, &mut acknowledged).await;
            assert_eq!(store.status().memory_spans, 0, "{capacity}");
            assert_eq!(rows(&store.snapshot()).unwrap(), ids(&acknowledged), "{capacity}");

            fs.set_capacity(None);
            store.flush().await.unwrap();
            assert_eq!(store.status().flush_error, None);
            for number in 30_000..30_010 {
                store.append(batch("default", &[bulky(number, 2_000)])).await.unwrap();
                acknowledged.insert(number);
            }
            store.flush().await.unwrap();
            assert_eq!(rows(&store.snapshot()).unwrap(), ids(&acknowledged), "{capacity}");
        }
    });
}

/// The process dies with memory full and the disk too: the next start flushes what it reads by the reserve, and trims
/// the log as it goes.
#[test]
fn a_full_disk_drains_at_start() {
    run(async {
        let fs = SimFs::new();
        let store = Store::open(in_proportion(), Arc::new(fs.clone()), clock()).await.unwrap();
        let mut acknowledged = Counts::new();
        for number in 0.. {
            match store.append(batch("default", &[bulky(number, 2_000)])).await {
                Ok(_) => acknowledged.insert(("default".to_owned(), number + 1), 1),
                Err(_) => break,
            };
        }
        assert!(store.status().memory_bytes > 90_000, "{:?}", store.status());
        drop(store);
        let fs = fs.crash(crate::support::sim_fs::Cut::Kill);
        fs.set_capacity(Some(fs.used()));
        let store = Store::open(in_proportion(), Arc::new(fs.clone()), clock()).await.unwrap();
        assert_eq!(rows(&store.snapshot()).unwrap(), acknowledged);
        store.flush().await.unwrap();
        assert_eq!(store.status().memory_spans, 0);
        assert_eq!(rows(&store.snapshot()).unwrap(), acknowledged);
    });
}

/// A refused flush keeps all in memory, says so, and leaves nothing on the disk that is full already.
#[test]
fn a_flush_without_a_reserve_waits_for_space() {
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        for number in 0..50 {
            send(&store, number).await.unwrap();
        }
        let sent: BTreeSet<u64> = (0..50).collect();
        let used = fs.used();
        for room in (0..16 * 1_024).step_by(1_024) {
            fs.set_capacity(Some(used + room));
            let Err(error) = store.flush().await else { break };
            assert_eq!(error.kind(), ErrorKind::Busy, "with {room} bytes: {error}");
            assert_eq!(store.status().flush_error.as_deref(), Some(error.message()));
            check(&store, &sent, &sent).unwrap();
        }
        fs.set_capacity(None);
        store.flush().await.unwrap();
        check(&store, &sent, &sent).unwrap();
        store.compact().await.unwrap();
        assert_eq!(litter(&fs, &store), Vec::<PathBuf>::new());
    });
}

/// What lies in the log is served, and drained where a reserve is left for that.
#[test]
fn a_store_opens_on_a_full_disk() {
    run(async {
        let fs = SimFs::new();
        let store = open_with_reserve(&fs).await.unwrap();
        let sent: BTreeSet<u64> = (0..50).collect();
        for number in &sent {
            send(&store, *number).await.unwrap();
        }
        drop(store);
        for drains in [true, false] {
            let fs = fs.crash(crate::support::sim_fs::Cut::Kill);
            if !drains {
                fs.remove_file(Path::new("/data/reserve")).unwrap();
            }
            fs.set_capacity(Some(fs.used()));
            let store = open_with_reserve(&fs).await.unwrap();
            check(&store, &sent, &sent).unwrap();
            assert_eq!(store.flush().await.is_ok(), drains);
            check(&store, &sent, &sent).unwrap();
        }
    });
}

/// More than a flush's worth in the log, and no room for files: it is read into memory all the same, up to the bound.
#[test]
fn a_store_with_a_long_log_opens_on_a_full_disk() {
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        let sent: BTreeSet<u64> = (0..50).collect();
        for number in &sent {
            send(&store, *number).await.unwrap();
        }
        let bytes = store.status().memory_bytes;
        drop(store);
        fs.set_capacity(Some(fs.used()));
        let small = StoreConfig { flush_bytes: bytes * 2 / 3, ..config() };
        let store = Store::open(small, Arc::new(fs.clone()), clock()).await.unwrap();
        check(&store, &sent, &sent).unwrap();
        let smaller = StoreConfig { flush_bytes: bytes / 3, ..config() };
        let error = Store::open(smaller, Arc::new(fs.clone()), clock()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        assert!(error.message().contains("free disk space"), "{error}");
    });
}

/// The process died between the commit and the trim, and the log is what fills the disk: there is nothing to flush that
/// would trim it.
#[test]
fn what_a_crash_left_untrimmed_is_trimmed_at_start() {
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        for number in 0..20 {
            send(&store, number).await.unwrap();
        }
        let log: Vec<(PathBuf, Vec<u8>)> = fs
            .files()
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|e| e == "wal"))
            .map(|(path, _)| (path.clone(), fs.contents(&path)))
            .collect();
        store.flush().await.unwrap();
        drop(store);
        for (path, bytes) in log {
            fs.put(&path, &bytes);
        }
        let segments = |fs: &SimFs| fs.files().iter().filter(|(path, _)| path.starts_with("/data/wal")).count();
        assert!(segments(&fs) > 1);
        let store = open(fs.clone()).await.unwrap();
        assert_eq!(segments(&fs), 1, "{:?}", store.status());
        let sent = (0..20).collect();
        check(&store, &sent, &sent).unwrap();
    });
}

/// A reserve that a crash has cut short, or of another size than is wanted, is none.
#[test]
fn a_reserve_of_the_wrong_size_is_made_anew() {
    run(async {
        let fs = SimFs::new();
        drop(open_with_reserve(&fs).await.unwrap());
        fs.put(Path::new("/data/reserve"), b"");
        let store = open_with_reserve(&fs).await.unwrap();
        assert_eq!(reserve(&fs), Some(RESERVE));
        drop(store);
        drop(open(fs.clone()).await.unwrap());
        assert_eq!(reserve(&fs), None, "none is wanted");
    });
}
