//! The disk fills up, or fails, and is well again.

use super::*;
use crate::support::sim_fs::{Cut, OpKind};

const SECOND: i64 = 1_000_000;

/// After a crash exactly these are there.
fn assert_kept(fs: &SimFs, acknowledged: &[(u64, Bytes)]) {
    for cut in [Cut::Forget, Cut::Kill] {
        let opened = open(&fs.crash(cut), 0).unwrap();
        assert_eq!(opened.replayed, acknowledged, "{cut:?}");
        assert_eq!(opened.recovery.damaged, [], "{cut:?}");
    }
}

fn is_no_space(result: &Result<u64, WalError>) -> bool {
    matches!(result, Err(e @ WalError::NoSpace { .. }) if e.is_retryable())
}

fn is_sync_failed(result: &Result<u64, WalError>) -> bool {
    matches!(result, Err(e @ WalError::SyncFailed { .. }) if e.is_retryable())
}

/// No room for the next segment: refused, nothing lost, and appends succeed again once there is room.
#[test]
fn a_full_disk_at_the_next_segment_refuses_until_there_is_space() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    fs.set_capacity(Some(1024));
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    for number in 0..10 {
        let payload = payload(number, 200);
        match append(&opened.wal, &payload) {
            Ok(seq) => acknowledged.push((seq, payload)),
            result if is_no_space(&result) => refused += 1,
            result => panic!("{result:?}"),
        }
    }
    assert_eq!((acknowledged.len(), refused), (4, 6));
    // What is left of the segment in use still serves what fits in it.
    let small = payload(50, 8);
    acknowledged.push((append(&opened.wal, &small).unwrap(), small));
    assert_eq!(fs.files().len(), 1, "attempts leave nothing behind");
    fs.set_capacity(None);
    let late = payload(51, 200);
    let seq = append(&opened.wal, &late).unwrap();
    assert_eq!(seq, 12, "the sequences of refused payloads are used up");
    acknowledged.push((seq, late));
    assert_kept(&fs, &acknowledged);
}

/// Where space cannot be reserved, a group may be cut off in its middle: what was written of it is taken back.
#[test]
fn a_full_disk_in_the_middle_of_a_group_takes_the_group_back() {
    let fs = SimFs::new();
    fs.set_cannot_reserve(true);
    let config = WalConfig { segment_bytes: 1 << 20, ..config() };
    let opened = open_with(&fs, clock(), config, 0).unwrap();
    let first = payload(0, 100);
    append(&opened.wal, &first).unwrap();
    fs.set_capacity(Some(fs.used() + 1024));
    let stale: Vec<Bytes> = (2..8).map(|number| payload(number, 300)).collect();
    let mut results = append_group(&opened.wal, &payload(1, 100), &stale).into_iter();
    assert_eq!(results.next().unwrap().unwrap(), 2);
    assert!(results.all(|result| is_no_space(&result)));
    // Shorter than what lay there.
    let next = payload(9, 40);
    assert_eq!(append(&opened.wal, &next).unwrap(), 9);
    assert_kept(&fs, &[(1, first.clone()), (2, payload(1, 100)), (9, next.clone())]);
    opened.wal.close();
    // Even if the one that overwrote them is damaged, none of the records of that group comes up again.
    let path = segments(&fs)[0].clone();
    let at = SEGMENT_HEADER + 2 * record_size(&first);
    assert_eq!(fs.contents(&path)[at + RECORD_HEADER..][..40], next);
    fs.flip(&path, at + RECORD_HEADER, 0);
    let reopened = open(&fs, 0).unwrap();
    assert_eq!(reopened.replayed, [(1, first), (2, payload(1, 100))]);
    assert!(reopened.recovery.torn.is_some());
}

/// A server must start on a full disk, so that it can drain to the tables.
#[test]
fn a_full_disk_does_not_keep_the_log_from_opening() {
    let (fs, written) = sample_log(20);
    fs.set_capacity(Some(0));
    fs.flip(&segments(&fs)[0], SEGMENT_HEADER + RECORD_HEADER, 0);
    let opened = open(&fs, 0).unwrap();
    assert_eq!(opened.replayed, written[1..]);
    assert_eq!(opened.recovery.damaged[0].quarantine, None, "there is no room for a copy");
    assert!(is_no_space(&append(&opened.wal, &payload(20, 50))));
    opened.wal.trim(20).unwrap();
    fs.set_capacity(None);
    append(&opened.wal, &payload(21, 50)).unwrap();
}

/// After a failed sync the segment is left for good; a new one serves what comes a second later.
#[test]
fn a_failed_sync_closes_the_segment_and_a_new_one_is_tried_after_a_second() {
    let fs = SimFs::new();
    let clock = clock();
    let opened = open_with(&fs, Arc::clone(&clock), config(), 0).unwrap();
    append(&opened.wal, &payload(0, 100)).unwrap();
    fs.fail_sync(0, |op| op.kind == OpKind::SyncData);
    assert!(is_sync_failed(&append(&opened.wal, &payload(1, 100))));
    assert_eq!(opened.wal.last_durable(), 1);

    let ops = fs.op_count();
    clock.advance(SECOND - 1);
    assert!(is_sync_failed(&append(&opened.wal, &payload(2, 100))));
    assert_eq!(fs.op_count(), ops, "the disk is left alone meanwhile");

    clock.advance(1);
    assert_eq!(append(&opened.wal, &payload(3, 100)).unwrap(), 4);
    assert_eq!(append(&opened.wal, &payload(4, 100)).unwrap(), 5, "and there is no wait after a success");
    assert_eq!(segments(&fs).len(), 2);
    assert_kept(&fs, &[(1, payload(0, 100)), (4, payload(3, 100)), (5, payload(4, 100))]);
}

/// Remains of a refused group are no damage.
#[test]
fn what_a_failed_sync_leaves_behind_is_no_damage() {
    for seed in 0..200 {
        let fs = SimFs::new();
        let clock = clock();
        let opened = open_with(&fs, Arc::clone(&clock), config(), 0).unwrap();
        append(&opened.wal, &payload(0, 100)).unwrap();
        fs.fail_sync(0, |op| op.kind == OpKind::SyncData);
        assert!(is_sync_failed(&append(&opened.wal, &payload(1, 700))));
        clock.advance(SECOND);
        assert_eq!(append(&opened.wal, &payload(2, 100)).unwrap(), 3);
        let opened = open(&fs.crash(Cut::Torn(seed)), 0).unwrap();
        assert_eq!(opened.recovery.damaged, []);
        assert_eq!(opened.recovery.torn, None);
        assert!(opened.replayed.contains(&(1, payload(0, 100))) && opened.replayed.contains(&(3, payload(2, 100))));
    }
}

/// A disk that stays sick is tried once a second, and does not fill up with attempts.
#[test]
fn a_sick_disk_is_tried_once_a_second() {
    let fs = SimFs::new();
    let clock = clock();
    let opened = open_with(&fs, Arc::clone(&clock), config(), 0).unwrap();
    append(&opened.wal, &payload(0, 100)).unwrap();
    for _ in 0..10 {
        fs.fail_sync(0, |op| op.kind.is_sync());
    }
    let tries = |from: usize| fs.ops()[from..].iter().filter(|op| op.kind.is_sync()).count();
    let from = fs.op_count();
    for number in 0..100 {
        assert!(is_sync_failed(&append(&opened.wal, &payload(number, 100))));
        clock.advance(SECOND / 10);
    }
    assert_eq!(tries(from), 10);
    assert!(segments(&fs).len() <= 2);
    assert_eq!(append(&opened.wal, &payload(200, 100)).unwrap(), 102);
    let replayed = open(&fs.crash(Cut::Forget), 0).unwrap().replayed;
    assert_eq!(replayed, [(1, payload(0, 100)), (102, payload(200, 100))]);
}

/// A clock that is set back must not keep the log shut until it has caught up.
#[test]
fn a_clock_set_back_does_not_keep_the_log_shut() {
    let fs = SimFs::new();
    let clock = Arc::new(ManualClock::new(1000 * SECOND));
    let opened = open_with(&fs, Arc::clone(&clock), config(), 0).unwrap();
    fs.fail_sync(0, |op| op.kind == OpKind::SyncData);
    assert!(is_sync_failed(&append(&opened.wal, &payload(0, 100))));
    clock.set(0);
    assert_eq!(append(&opened.wal, &payload(1, 100)).unwrap(), 2);
}

/// The name of a new segment did not become durable: nothing in it may be acknowledged.
#[test]
fn a_failed_sync_of_the_folder_refuses_the_group() {
    let fs = SimFs::new();
    let clock = clock();
    let opened = open_with(&fs, Arc::clone(&clock), config(), 0).unwrap();
    append(&opened.wal, &payload(0, 900)).unwrap();
    fs.fail_sync(0, |op| op.kind == OpKind::SyncDir);
    assert!(is_sync_failed(&append(&opened.wal, &payload(1, 100))));
    clock.advance(SECOND);
    assert_eq!(append(&opened.wal, &payload(2, 100)).unwrap(), 3);
    let replayed = open(&fs.crash(Cut::Forget), 0).unwrap().replayed;
    assert_eq!(replayed, [(1, payload(0, 900)), (3, payload(2, 100))]);
}

/// One group in flight fails; those before stay acknowledged, those after the probe follow; over every sync of a run.
#[test]
fn a_failure_of_any_one_sync_loses_nothing_acknowledged() {
    for nth in 0..12 {
        let fs = SimFs::new();
        let clock = clock();
        let opened = open_with(&fs, Arc::clone(&clock), config(), 0).unwrap();
        fs.fail_sync(nth, |op| op.kind.is_sync());
        let mut acknowledged = Vec::new();
        let mut refused = Vec::new();
        for number in 0..12 {
            let payload = payload(number, 300);
            match append(&opened.wal, &payload) {
                Ok(seq) => acknowledged.push((seq, payload)),
                result if is_sync_failed(&result) => refused.push(payload),
                result => panic!("{result:?}"),
            }
            clock.advance(SECOND);
        }
        assert_eq!(refused.len(), 1);
        for cut in [Cut::Forget, Cut::Kill, Cut::Torn(nth as u64)] {
            let opened = open(&fs.crash(cut), 0).unwrap();
            let mut replayed = opened.replayed;
            replayed.retain(|(_, payload)| !refused.contains(payload));
            assert_eq!(replayed, acknowledged, "sync {nth}, {cut:?}");
            assert_eq!(opened.recovery.damaged, [], "sync {nth}, {cut:?}");
        }
    }
}
