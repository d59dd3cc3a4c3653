//! What is the events' own in the store: how long they are kept, how days that are over become one file, and that a
//! table for which nothing comes does not hold up the log.

use super::*;
use crate::support::sim_fs::Cut;
use spanlake::clock::Clock;

fn with_clock(config: StoreConfig, fs: &SimFs, clock: &Arc<ManualClock>) -> impl Future<Output = Result<Arc<Store>>> {
    let clock: Arc<dyn Clock> = clock.clone();
    Store::open(config, Arc::new(fs.clone()), clock)
}

/// Sends an event of that number which was last seen then.
async fn seen_at(store: &Store, number: u64, last_seen: i64) {
    let mut row = event(number);
    (row.event.first_seen, row.event.last_seen) = (last_seen, last_seen);
    let bytes = stored::events::encode("default", NOW, &[row]);
    store.append(EncodedEvents::index(bytes.into()).unwrap()).await.unwrap();
}

/// The uids of the rows that are there, each as often as there are rows of it.
fn uids(store: &Store) -> Vec<String> {
    let found = event_rows(&store.snapshot()).unwrap();
    found.into_iter().flat_map(|((_, uid), rows)| rows.into_iter().map(move |_| uid.clone())).collect()
}

/// Events go once both their day and their coming in are longer ago than they are to be kept; what is old when it comes
/// in is kept as long as any.
#[test]
fn events_are_dropped_once_they_have_been_kept_long_enough() {
    run(async {
        let kept = Duration::from_secs(30 * 86_400);
        let config = StoreConfig { event_retention: Some(kept), ..config() };
        let (fs, clock) = (SimFs::new(), clock());
        let store = with_clock(config.clone(), &fs, &clock).await.unwrap();
        seen_at(&store, EVENTS, NOW - 100 * MICROS_A_DAY).await;
        seen_at(&store, EVENTS + 1, NOW).await;
        send(&store, 0).await.unwrap();
        store.flush().await.unwrap();
        assert_eq!(store.compact().await.unwrap().expired, 0);
        // To the end of the day it is half a day more.
        clock.advance(30 * MICROS_A_DAY + 1_000);
        let report = store.compact().await.unwrap();
        assert_eq!((report.expired, report.written, uids(&store)), (1, 0, vec!["uid-1000001".to_owned()]));
        clock.advance(MICROS_A_DAY / 2 - 2_000);
        assert_eq!(store.compact().await.unwrap().expired, 0, "the last moment of the day counts");
        clock.advance(10_000);
        assert_eq!((store.compact().await.unwrap().expired, uids(&store)), (1, vec![]));
        assert_eq!(store.status().table_events, 0);
        // Spans are kept, and what is gone stays gone.
        let store = with_clock(config, &fs.crash(Cut::Forget), &clock).await.unwrap();
        assert_eq!((uids(&store), store.status().table_spans, store.status().damaged), (vec![], 1, vec![]));
        store.compact().await.unwrap();
        assert_eq!(litter(&fs, &store), Vec::<PathBuf>::new());
    });
}

#[test]
fn without_a_limit_events_are_kept_for_ever() {
    run(async {
        let (fs, clock) = (SimFs::new(), clock());
        let store = with_clock(config(), &fs, &clock).await.unwrap();
        seen_at(&store, EVENTS, NOW).await;
        store.flush().await.unwrap();
        clock.advance(10_000 * MICROS_A_DAY);
        assert_eq!((store.compact().await.unwrap().expired, uids(&store).len()), (0, 1));
    });
}

/// While a day lasts only many files are merged; once it is over, few are too, and each event of it has one row.
#[test]
fn a_day_that_is_over_becomes_one_file_with_a_row_an_event() {
    run(async {
        let config = StoreConfig { compact_files: 100, ..config() };
        let (fs, clock) = (SimFs::new(), clock());
        let store = with_clock(config, &fs, &clock).await.unwrap();
        for flush in 0..3 {
            for number in EVENTS..EVENTS + 3 {
                seen_at(&store, number, NOW + flush).await;
            }
            store.flush().await.unwrap();
        }
        clock.advance(MICROS_A_DAY);
        assert_eq!((store.compact().await.unwrap().merged, store.status().table_events), (0, 9), "not over everywhere");
        clock.advance(MICROS_A_DAY);
        let report = store.compact().await.unwrap();
        assert_eq!((report.merged, report.written), (3, 1));
        assert_eq!((store.status().event_files, store.status().table_events), (1, 3));
        let rows: Vec<_> = event_rows(&store.snapshot()).unwrap().into_values().flatten().collect();
        let told: Vec<_> = rows.iter().map(|row| (row.event.first_seen, row.event.last_seen)).collect();
        assert_eq!(told, [(NOW, NOW + 2); 3]);
        // A latecomer does not have all of the day rewritten.
        for number in EVENTS + 10..EVENTS + 15 {
            seen_at(&store, number, NOW).await;
        }
        store.flush().await.unwrap();
        assert_eq!(store.compact().await.unwrap().merged, 2, "more has come than a quarter of what there was");
        seen_at(&store, EVENTS, NOW + 5).await;
        store.flush().await.unwrap();
        assert_eq!(store.compact().await.unwrap().merged, 0);
        assert_eq!(store.status().event_files, 2);
    });
}

/// A server that gets spans alone, or events alone, keeps no log for the other table, and a start finds nothing missing.
#[test]
fn a_table_for_which_nothing_comes_does_not_keep_the_log() {
    run(async {
        let fs = SimFs::new();
        let segments = |fs: &SimFs| {
            fs.files().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "wal")).count()
        };
        let mut sent = BTreeSet::new();
        let mut fs_now = fs.clone();
        for (round, what) in [(0, 0), (1, EVENTS), (2, 0), (3, EVENTS)] {
            let store = open(fs_now.clone()).await.unwrap();
            check(&store, &sent, &sent).unwrap();
            assert_eq!(store.status().damaged, Vec::<String>::new(), "round {round}");
            for number in round * 10..round * 10 + 10 {
                sent.insert(number + what);
                send_either(&store, number + what).await.unwrap();
                if number % 3 == 0 {
                    store.flush().await.unwrap();
                }
            }
            store.flush().await.unwrap();
            assert_eq!(segments(&fs_now), 1, "round {round}: the newest segment stays");
            check(&store, &sent, &sent).unwrap();
            drop(store);
            fs_now = fs_now.crash(Cut::Forget);
        }
        let store = open(fs_now).await.unwrap();
        check(&store, &sent, &sent).unwrap();
        assert_eq!(store.status().damaged, Vec::<String>::new());
    });
}

/// Up to there the log was trimmed before there was a table of events: nothing is missing.
#[test]
fn a_folder_of_spans_alone_goes_on_as_it_was() {
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        for number in 0..20 {
            send(&store, number).await.unwrap();
        }
        store.flush().await.unwrap();
        drop(store);
        // As a server without events leaves it.
        let old = fs.crash(Cut::Forget);
        for (path, _) in old.files().into_iter().filter(|(path, _)| path.starts_with("/data/tables/events")) {
            old.remove_file(&path).unwrap();
        }
        let store = open(old.clone()).await.unwrap();
        assert_eq!(store.status().damaged, Vec::<String>::new());
        let sent: BTreeSet<u64> = (0..20).chain([EVENTS]).collect();
        send_event(&store, EVENTS).await.unwrap();
        check(&store, &sent, &sent).unwrap();
        let store = open(old.crash(Cut::Forget)).await.unwrap();
        check(&store, &sent, &sent).unwrap();
    });
}
