//! The disk fails at one step, or from one step on for a while: it is reported, and what was acknowledged stays there
//! exactly once.

use super::tap::{Call, Tap, Verdict, Watch};
use super::*;
use crate::support::sim_fs::{Cut, OpKind};
use futures::FutureExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes calls fail, counted from when it is armed. Plain reads pass: they are the readers' business.
#[derive(Default)]
struct Faults {
    armed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The call that fails, from 0.
    nth: usize,
    /// And those after it.
    lasting: bool,
    after: bool,
    calls: usize,
    hit: Vec<(Call, PathBuf)>,
}

impl Faults {
    fn new(nth: usize, lasting: bool, after: bool) -> Arc<Faults> {
        Arc::new(Faults { state: Mutex::new(State { nth, lasting, after, ..State::default() }), ..Faults::default() })
    }

    fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::SeqCst);
    }

    fn hit(&self) -> Vec<(Call, PathBuf)> {
        self.state.lock().expect("a lock").hit.clone()
    }
}

impl Watch for Faults {
    fn before(&self, call: Call, path: &Path) -> Verdict {
        if call == Call::Read || !self.armed.load(Ordering::SeqCst) {
            return Verdict::Pass;
        }
        let mut state = self.state.lock().expect("a lock");
        let number = state.calls;
        state.calls += 1;
        if number < state.nth || (number > state.nth && !state.lasting) {
            return Verdict::Pass;
        }
        state.hit.push((call, path.to_owned()));
        if state.after { Verdict::FailAfter } else { Verdict::FailBefore }
    }
}

fn numbers(range: std::ops::Range<u64>) -> BTreeSet<u64> {
    range.collect()
}

/// Of spans and of events.
fn both(range: std::ops::Range<u64>) -> BTreeSet<u64> {
    range.clone().chain(range.start + EVENTS..range.end + EVENTS).collect()
}

/// A flush and a compaction with a fault in them. Gives the calls that failed.
async fn one_fault(nth: usize, lasting: bool, after: bool) -> Vec<(Call, PathBuf)> {
    let case = format!(
        "call {nth} fails{}{}",
        if after { " after its effect" } else { "" },
        if lasting { " for a while" } else { "" }
    );
    let faults = Faults::new(nth, lasting, after);
    let disk = SimFs::new();
    let tap = Tap::new(disk.clone(), faults.clone());
    let store = open(tap).await.expect("a store");
    for number in both(0..2) {
        send_either(&store, number).await.expect("an append");
    }
    store.flush().await.expect("a flush");
    for number in both(2..4) {
        send_either(&store, number).await.expect("an append");
    }
    let holds = |store: &Store, to: u64| {
        check(store, &both(0..to), &both(0..to)).unwrap_or_else(|what| panic!("{case}: {what}"));
    };

    faults.arm(true);
    let flushed = store.flush().await;
    let in_flush = faults.hit();
    let status = store.status();
    assert_eq!(flushed.is_err(), status.flush_error.is_some(), "{case}: {status:?}");
    let in_data = |(_, path): &(Call, PathBuf)| path.to_string_lossy().contains("day=");
    if in_flush.iter().any(in_data) {
        assert!(flushed.is_err(), "{case}: a data file was not written, {in_flush:?}");
    }
    faults.arm(false);
    holds(&store, 4);
    faults.arm(true);
    // Whether it fails or not.
    let _ = store.compact().await;
    faults.arm(false);
    holds(&store, 4);

    // It goes on by itself.
    for number in both(4..5) {
        send_either(&store, number).await.unwrap_or_else(|e| panic!("{case}: {e}"));
    }
    store.flush().await.unwrap_or_else(|e| panic!("{case}: {e}"));
    holds(&store, 5);
    assert_eq!(store.status().flush_error, None, "{case}");
    assert_eq!(store.status().memory_spans, 0, "{case}");
    store.compact().await.unwrap_or_else(|e| panic!("{case}: {e}"));
    holds(&store, 5);
    let cut = if nth.is_multiple_of(2) { Cut::Forget } else { Cut::Kill };
    let disk = disk.crash(cut);
    let store = open(disk.clone()).await.unwrap_or_else(|e| panic!("{case}: {e}"));
    holds(&store, 5);
    // What the fault has left behind is cleared.
    store.compact().await.unwrap_or_else(|e| panic!("{case}: {e}"));
    holds(&store, 5);
    assert_eq!(litter(&disk, &store), Vec::<PathBuf>::new(), "{case}");
    faults.hit()
}

/// Every call between the writing of data files and the trimming of the log, and those of a compaction; a sample of
/// them fails after its effect, and with all that follow.
#[test]
fn a_fault_at_any_step_of_flush_and_compaction_loses_and_doubles_nothing() {
    let mut kinds = BTreeSet::new();
    for (lasting, after, step) in [(false, false, 1), (false, true, 2), (true, false, 3)] {
        for nth in (0..).step_by(step) {
            let hit = run(one_fault(nth, lasting, after));
            if hit.is_empty() {
                break;
            }
            kinds.extend(hit.into_iter().map(|(call, _)| call));
        }
    }
    use OpKind::{Create, Link, Remove, Rename, SyncAll, SyncDir, Write};
    for kind in [Create, Write, SyncAll, Rename, Link, Remove, SyncDir] {
        assert!(kinds.contains(&Call::Op(kind)), "no {kind:?} failed");
    }
}

/// Entries of the log of the table `spans`, and its data files.
fn table_files(fs: &SimFs) -> (usize, usize) {
    let table = StoreConfig::table_dir(Path::new(DATA));
    let names: Vec<PathBuf> = fs.files().into_iter().map(|(path, _)| path).filter(|p| p.starts_with(&table)).collect();
    let entries = names.iter().filter(|path| path.extension().is_some_and(|e| e == "json")).count();
    let data = names.iter().filter(|path| path.to_string_lossy().contains("/day=")).count();
    (entries, data)
}

fn is_log_folder(path: &Path) -> bool {
    path.ends_with("_delta_log")
}

/// The entry is linked, and then the disk says that it failed: what was done is found out, not done again.
#[test]
fn a_commit_of_unknown_outcome_is_not_made_twice() {
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        send(&store, 0).await.unwrap();
        fs.fail_sync(0, |op| op.kind == OpKind::SyncDir && is_log_folder(&op.path));
        let report = store.flush().await.unwrap();
        assert_eq!((report.spans, report.version), (1, 1));
        assert_eq!(table_files(&fs), (2, 1));
        // It counts as committed only since it is durable: the log was trimmed by it.
        for cut in [Cut::Forget, Cut::Torn(1), Cut::Kill] {
            let store = open(fs.crash(cut)).await.unwrap();
            check(&store, &numbers(0..1), &numbers(0..1)).unwrap();
            assert_eq!(store.status().table_spans, 1);
        }
    });
}

/// Cannot sync the folder of the table's log while it is sick: entries are there, and may not be there after a crash.
#[derive(Default)]
struct SickLog(AtomicBool);

impl Watch for SickLog {
    fn before(&self, call: Call, path: &Path) -> Verdict {
        let sick = call == Call::Op(OpKind::SyncDir) && is_log_folder(path) && self.0.load(Ordering::SeqCst);
        if sick { Verdict::FailBefore } else { Verdict::Pass }
    }
}

/// As long as the disk fails, nobody can find out; the log keeps the spans, and the next attempt finds out.
#[test]
fn a_commit_that_stays_unknown_is_settled_by_the_next_attempt() {
    run(async {
        let fs = SimFs::new();
        let log = Arc::new(SickLog::default());
        let config = StoreConfig { segment_bytes: 256, maintenance_commits: 100, ..config() };
        let store = Store::open(config, Arc::new(Tap::new(fs.clone(), log.clone())), clock()).await.unwrap();
        send(&store, 0).await.unwrap();
        log.0.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            assert!(store.flush().await.is_err());
            assert_eq!(table_files(&fs), (2, 1), "no second attempt beside the first");
            // The entry is there, but a power cut may take it back: the log must not have been trimmed by it.
            let after = open(fs.crash(Cut::Forget)).await.unwrap();
            check(&after, &numbers(0..1), &numbers(0..1)).unwrap();
        }
        send(&store, 1).await.unwrap();
        check(&store, &numbers(0..2), &numbers(0..2)).unwrap();
        log.0.store(false, Ordering::SeqCst);
        store.flush().await.unwrap();
        assert_eq!(table_files(&fs), (3, 2));
        check(&store, &numbers(0..2), &numbers(0..2)).unwrap();
        store.compact().await.unwrap();
        let store = open(fs.crash(Cut::Forget)).await.unwrap();
        check(&store, &numbers(0..2), &numbers(0..2)).unwrap();
    });
}

/// Neither its inputs nor its outputs may be deleted until it is known which of them the table has.
#[test]
fn a_compaction_that_stays_unknown_is_settled_by_the_next_attempt() {
    run(async {
        let fs = SimFs::new();
        let log = Arc::new(SickLog::default());
        let store = open(Tap::new(fs.clone(), log.clone())).await.unwrap();
        for number in 1..3 {
            send(&store, number).await.unwrap();
            store.flush().await.unwrap();
        }
        let sent = numbers(1..3);
        log.0.store(true, Ordering::SeqCst);
        for _ in 0..3 {
            assert!(store.compact().await.is_err());
            check(&store, &sent, &sent).unwrap();
            for cut in [Cut::Forget, Cut::Kill, Cut::Torn(1), Cut::Torn(2)] {
                let after = open(fs.crash(cut)).await.unwrap();
                check(&after, &sent, &sent).unwrap();
            }
        }
        log.0.store(false, Ordering::SeqCst);
        let report = store.compact().await.unwrap();
        assert_eq!((report.merged, report.written, report.deleted), (2, 1, 2));
        check(&store, &sent, &sent).unwrap();
        assert_eq!(litter(&fs, &store), Vec::<PathBuf>::new());
        let after = open(fs.crash(Cut::Forget)).await.unwrap();
        check(&after, &sent, &sent).unwrap();
    });
}

/// A client that goes away while its flush or compaction runs leaves nothing half done.
#[test]
fn a_flush_goes_on_when_nobody_waits_for_it() {
    run(async {
        let fs = SimFs::new();
        let store = open(fs.clone()).await.unwrap();
        for number in 0..4 {
            send(&store, number).await.unwrap();
            // Begun, and given up.
            let _ = store.flush().now_or_never();
        }
        let _ = store.compact().now_or_never();
        store.flush().await.unwrap();
        check(&store, &numbers(0..4), &numbers(0..4)).unwrap();
        store.compact().await.unwrap();
        check(&store, &numbers(0..4), &numbers(0..4)).unwrap();
        assert_eq!(litter(&fs, &store), Vec::<PathBuf>::new());
    });
}
