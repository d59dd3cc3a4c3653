//! The newest entry of the table's log cannot be read: it is moved aside only where nothing is lost by that.

use super::*;
use crate::support::sim_fs::Cut;
use spanlake::error::ErrorKind;

const LOG: &str = "/data/tables/spans/_delta_log";

/// What a torn write may leave of an entry.
fn remains(entry: &[u8]) -> [Vec<u8>; 4] {
    let half = entry[..entry.len() / 2].to_vec();
    let zeros = vec![0; entry.len()];
    let mut end_of_zeros = entry.to_vec();
    end_of_zeros[entry.len() - 20..].fill(0);
    [Vec::new(), half, zeros, end_of_zeros]
}

fn entry(version: u64) -> PathBuf {
    PathBuf::from(format!("{LOG}/{version:020}.json"))
}

fn quarantined(fs: &SimFs) -> Vec<PathBuf> {
    let names = fs.files().into_iter().map(|(path, _)| path);
    names.filter(|path| path.starts_with("/data/quarantine")).collect()
}

/// So large that segments are not trimmed: the newest one is kept.
fn keeping() -> StoreConfig {
    StoreConfig { segment_bytes: 1 << 20, maintenance_commits: 100, ..config() }
}

async fn open_with(config: StoreConfig, fs: &SimFs) -> Result<Arc<Store>> {
    Store::open(config, Arc::new(fs.clone()), clock()).await
}

/// A folder with two flushes.
async fn two_flushes(config: StoreConfig) -> SimFs {
    let fs = SimFs::new();
    let store = open_with(config, &fs).await.unwrap();
    for number in 0..10 {
        send(&store, number).await.unwrap();
        if number == 4 {
            store.flush().await.unwrap();
        }
    }
    store.close().await.unwrap();
    fs
}

fn ten() -> BTreeSet<u64> {
    (0..10).collect()
}

#[test]
fn an_unreadable_entry_is_set_aside_while_the_log_holds_its_spans() {
    run(async {
        let fs = two_flushes(keeping()).await;
        for remains in remains(&fs.contents(&entry(2))) {
            let fs = fs.crash(Cut::Kill);
            fs.put(&entry(2), &remains);
            let store = open_with(keeping(), &fs).await.unwrap();
            check(&store, &ten(), &ten()).unwrap();
            let [damage] = &store.status().damaged[..] else { panic!("{:?}", store.status()) };
            assert!(damage.contains("00000000000000000002.json") && damage.contains("/data/quarantine"), "{damage}");
            assert_eq!(store.status().memory_spans, 5);
            store.flush().await.unwrap();
            check(&store, &ten(), &ten()).unwrap();
            // What was set aside can be looked at for good.
            let fs = fs.crash(Cut::Forget);
            let [aside] = &quarantined(&fs)[..] else { panic!("{:?}", quarantined(&fs)) };
            assert_eq!(fs.contents(aside), remains);
            let store = open_with(keeping(), &fs).await.unwrap();
            check(&store, &ten(), &ten()).unwrap();
            store.compact().await.unwrap();
            check(&store, &ten(), &ten()).unwrap();
            assert_eq!(litter(&fs, &store), Vec::<PathBuf>::new());
        }
    });
}

/// A crash on the way leaves nothing that the next start does not mend.
#[test]
fn a_crash_while_an_entry_is_set_aside_is_mended_by_the_next_start() {
    run(async {
        let damaged = two_flushes(keeping()).await;
        damaged.put(&entry(2), b"");
        for n in 0.. {
            let fs = damaged.crash(Cut::Kill);
            fs.fail_after(n);
            let opened = match open_with(keeping(), &fs).await {
                Ok(store) => store.flush().await.is_ok(),
                Err(_) => false,
            };
            for cut in [Cut::Forget, Cut::Torn(n as u64), Cut::Torn(1_000 + n as u64), Cut::Kill] {
                let fs = fs.crash(cut);
                let store = open_with(keeping(), &fs).await.unwrap_or_else(|e| panic!("{cut:?} at operation {n}: {e}"));
                check(&store, &ten(), &ten()).unwrap_or_else(|what| panic!("{cut:?} at operation {n}: {what}"));
                let copies = quarantined(&fs).len();
                assert_eq!(copies, 1, "{cut:?} at operation {n}: the unreadable entry is kept");
            }
            if opened {
                return;
            }
        }
    });
}

/// Whoever has the entry in a backup must find all as it was.
async fn is_refused(config: StoreConfig, fs: &SimFs, version: u64, why: &str) {
    let error = open_with(config, fs).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    for part in [&format!("{version:020}.json"), why, "restore"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(quarantined(fs), Vec::<PathBuf>::new());
    assert!(fs.files().iter().any(|(path, _)| *path == entry(version)), "the entry is left where it was");
}

#[test]
fn an_unreadable_entry_is_refused_once_the_log_was_trimmed() {
    run(async {
        let config = StoreConfig { segment_bytes: 256, ..keeping() };
        let fs = two_flushes(config.clone()).await;
        let whole = fs.contents(&entry(2));
        for remains in remains(&whole) {
            fs.put(&entry(2), &remains);
            is_refused(config.clone(), &fs, 2, "no longer holds all of its spans").await;
        }
        fs.put(&entry(2), &whole);
        let store = open_with(config, &fs).await.unwrap();
        check(&store, &ten(), &ten()).unwrap();
    });
}

/// A log without segments proves nothing.
#[test]
fn an_unreadable_entry_is_refused_where_the_log_is_gone() {
    run(async {
        let fs = two_flushes(keeping()).await;
        fs.put(&entry(2), b"");
        for (path, _) in fs.files().into_iter().filter(|(path, _)| path.starts_with("/data/wal")) {
            fs.remove_file(&path).unwrap();
        }
        is_refused(keeping(), &fs, 2, "no longer holds all of its spans").await;
    });
}

/// The entry of a compaction holds no spans, but without it the table names the files that were merged.
#[test]
fn an_unreadable_compaction_is_set_aside_while_its_inputs_are_there() {
    run(async {
        let config = StoreConfig { removed_file_retention: Duration::from_secs(600), ..keeping() };
        let fs = two_flushes(config.clone()).await;
        // Compacts, and keeps the inputs: a snapshot reads them.
        let store = open_with(config.clone(), &fs).await.unwrap();
        let reader = store.snapshot();
        assert_eq!(store.compact().await.unwrap().merged, 2);
        drop(store);
        fs.put(&entry(3), b"{");
        let set_aside = fs.crash(Cut::Kill);
        let store = open_with(keeping(), &set_aside).await.unwrap();
        check(&store, &ten(), &ten()).unwrap();
        assert_eq!(store.status().files, 2);
        store.compact().await.unwrap();
        check(&store, &ten(), &ten()).unwrap();
        assert_eq!(litter(&set_aside, &store), Vec::<PathBuf>::new());

        for file in reader.files.iter() {
            fs.remove_file(file.path()).unwrap();
        }
        is_refused(config, &fs, 3, "is gone").await;
    });
}

/// An entry in the middle is no unfinished write: what was built on it stays, and the message is one that a person can
/// act upon.
#[test]
fn an_unreadable_entry_below_others_is_refused() {
    run(async {
        let fs = two_flushes(keeping()).await;
        let whole = fs.contents(&entry(1));
        for remains in remains(&whole) {
            fs.put(&entry(1), &remains);
            is_refused(keeping(), &fs, 1, "there are later ones").await;
            let error = open_with(keeping(), &fs).await.unwrap_err();
            assert_eq!(error.message().lines().count(), 1, "{error}");
            assert!(error.message().len() < 400, "{error}");
        }
        fs.put(&entry(1), &whole);
        let store = open_with(keeping(), &fs).await.unwrap();
        check(&store, &ten(), &ten()).unwrap();
    });
}

/// What the library says of values that it did not expect is cut to a line.
#[test]
fn errors_of_the_tables_log_are_a_line() {
    run(async {
        let fs = two_flushes(keeping()).await;
        fs.put(&entry(0), b"{\"protocol\":{\"minReaderVersion\":\"one\"}}\n{\"metaData\":7}\n");
        let error = open_with(keeping(), &fs).await.unwrap_err();
        assert_eq!(error.message().lines().count(), 1, "{error}");
        assert!(error.message().len() < 500, "{error}");
    });
}

/// The power was cut while the folder was made: there is nothing to lose.
#[test]
fn an_unreadable_first_entry_is_set_aside() {
    run(async {
        let fs = SimFs::new();
        drop(open_with(keeping(), &fs).await.unwrap());
        fs.put(&entry(0), b"");
        let store = open_with(keeping(), &fs).await.unwrap();
        send(&store, 0).await.unwrap();
        store.flush().await.unwrap();
        check(&store, &BTreeSet::from([0]), &BTreeSet::from([0])).unwrap();
    });
}

fn event_entry(version: u64) -> PathBuf {
    PathBuf::from(format!("/data/tables/events/_delta_log/{version:020}.json"))
}

/// Sends what is to lie in one cut each, with a flush after each.
async fn cuts(config: StoreConfig, cuts: &[&[u64]]) -> (SimFs, BTreeSet<u64>) {
    let fs = SimFs::new();
    let store = open_with(config, &fs).await.unwrap();
    for cut in cuts {
        for number in *cut {
            send_either(&store, *number).await.unwrap();
        }
        store.flush().await.unwrap();
    }
    (fs, cuts.iter().copied().flatten().copied().collect())
}

/// The other table's mark is newer than what is taken back; a crash may come before that is in its table again.
#[test]
fn what_is_taken_back_is_taken_from_the_log_whatever_the_other_table_says() {
    const E: u64 = EVENTS;
    let table: [(&str, &[&[u64]], PathBuf); 4] = [
        ("spans, then events", &[&[0, 1, 2], &[E]], entry(1)),
        ("events, then spans", &[&[E, E + 1], &[0]], event_entry(1)),
        ("the events of a cut of both", &[&[0, E, 1, E + 1]], event_entry(1)),
        ("the spans of a cut of both", &[&[0, E, 1, E + 1], &[E + 2]], entry(1)),
    ];
    for (what, sent, lost) in table {
        run(async {
            let (fs, sent) = cuts(keeping(), sent).await;
            fs.put(&lost, b"");
            let store = open_with(keeping(), &fs).await.unwrap_or_else(|e| panic!("{what}: {e}"));
            check(&store, &sent, &sent).unwrap_or_else(|e| panic!("{what}: {e}"));
            // Twice more, before anything is flushed.
            let mut fs = fs;
            for cut in [Cut::Kill, Cut::Forget] {
                fs = fs.crash(cut);
                let store = open_with(keeping(), &fs).await.unwrap();
                check(&store, &sent, &sent).unwrap_or_else(|e| panic!("{what}, {cut:?}: {e}"));
            }
            // And once it is in its table again, and what comes after that.
            let store = open_with(keeping(), &fs).await.unwrap();
            store.flush().await.unwrap();
            check(&store, &sent, &sent).unwrap_or_else(|e| panic!("{what}, flushed: {e}"));
            let mut sent = sent;
            for number in [50, E + 50] {
                sent.insert(number);
                send_either(&store, number).await.unwrap();
                store.flush().await.unwrap();
            }
            let store = open_with(keeping(), &fs.crash(Cut::Forget)).await.unwrap();
            check(&store, &sent, &sent).unwrap_or_else(|e| panic!("{what}, at the end: {e}"));
            assert_eq!(store.status().damaged, Vec::<String>::new(), "{what}");
        });
    }
}

/// A table that is seldom written: the log was trimmed far beyond what it had, by what came for the other one.
#[test]
fn an_entry_of_a_seldom_written_table_is_set_aside_though_the_log_was_trimmed() {
    run(async {
        let config = StoreConfig { segment_bytes: 256, ..keeping() };
        for seldom in [EVENTS, 0] {
            let often = EVENTS - seldom;
            let fs = SimFs::new();
            let store = open_with(config.clone(), &fs).await.unwrap();
            let mut sent = BTreeSet::new();
            for number in often..often + 20 {
                sent.insert(number);
                send_either(&store, number).await.unwrap();
                store.flush().await.unwrap();
            }
            sent.insert(seldom + 30);
            send_either(&store, seldom + 30).await.unwrap();
            store.flush().await.unwrap();
            let lost = if seldom == EVENTS { event_entry(1) } else { entry(1) };
            let whole = fs.contents(&lost);
            fs.put(&lost, b"");
            let store = open_with(config.clone(), &fs).await.unwrap();
            check(&store, &sent, &sent).unwrap();
            // Once the log was trimmed by what came after it, the entry is needed.
            let fs = fs.crash(Cut::Kill);
            drop(store);
            let store = open_with(config.clone(), &fs).await.unwrap();
            store.flush().await.unwrap();
            for number in often + 40..often + 60 {
                send_either(&store, number).await.unwrap();
                store.flush().await.unwrap();
            }
            drop(store);
            let newest = if seldom == EVENTS { event_entry(1) } else { entry(1) };
            assert_ne!(fs.contents(&newest), whole, "made anew");
            fs.put(&newest, b"");
            let error = open_with(config.clone(), &fs).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            assert!(error.message().contains("no longer holds all of its"), "{error}");
        }
    });
}
