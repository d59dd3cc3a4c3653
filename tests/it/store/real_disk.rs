//! The same over the disk of this machine, and with flushes and compactions that run by themselves.

use super::*;
use spanlake::error::ErrorKind;
use spanlake::fs::RealFs;

fn config_in(folder: &Path) -> StoreConfig {
    StoreConfig { data_dir: folder.to_owned(), ..config() }
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let mut acknowledged = BTreeSet::new();
        for round in 0..3 {
            let config = StoreConfig { reserve_bytes: 1 << 20, ..config_in(folder.path()) };
            let store = Store::open(config, Arc::new(RealFs), clock()).await.unwrap();
            check(&store, &acknowledged, &acknowledged).unwrap();
            for number in 10 * round..10 * round + 10 {
                send(&store, number).await.unwrap();
                acknowledged.insert(number);
                if number % 3 == 0 {
                    store.flush().await.unwrap();
                }
            }
            store.compact().await.unwrap();
            check(&store, &acknowledged, &acknowledged).unwrap();
            assert_eq!(std::fs::metadata(folder.path().join("reserve")).unwrap().len(), 1 << 20);
            // Closed, or just left as a crash would leave it.
            if round == 1 {
                store.close().await.unwrap();
                assert_eq!(store.append(batch("default", &[span(99)])).await.unwrap_err().kind(), ErrorKind::Busy);
            }
        }
    });
}

/// Memory fills up again and again while flushes run behind: who is refused repeats, and nothing is lost or doubled.
#[test]
fn a_busy_store_takes_all_that_is_repeated() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 300;
    let folder = tempfile::tempdir().unwrap();
    run(async {
        let config = StoreConfig { flush_bytes: 10_000, background: true, ..config_in(folder.path()) };
        let store = Store::open(config.clone(), Arc::new(RealFs), clock()).await.unwrap();
        let senders = (0..SENDERS).map(|sender| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut refused = 0;
                for number in sender * EACH..(sender + 1) * EACH {
                    while let Err(error) = send(&store, number).await {
                        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                        refused += 1;
                        tokio::task::yield_now().await;
                    }
                }
                refused
            })
        });
        let mut refused: u64 = 0;
        for sender in senders.collect::<Vec<_>>() {
            refused += sender.await.unwrap();
        }
        assert!(refused > 0);
        let all = (0..SENDERS * EACH).collect();
        check(&store, &all, &all).unwrap();
        store.close().await.unwrap();
        assert_eq!(store.status().memory_spans, 0);
        check(&store, &all, &all).unwrap();
        drop(store);
        let store = Store::open(config, Arc::new(RealFs), clock()).await.unwrap();
        check(&store, &all, &all).unwrap();
        store.close().await.unwrap();
    });
}
