//! What an append, a trim and an opening promise while the disk is well.

use super::*;
use crate::support::sim_fs::OpKind;
use spanlake::fs::RealFs;
use spanlake::wal::{ReadEnd, read_after};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What was appended comes back, in order, under the sequences that were told; and appends go on above them.
#[test]
fn what_was_appended_is_replayed_in_order() {
    let (fs, written) = sample_log(20);
    let opened = open(&fs, 0).unwrap();
    assert_eq!(opened.replayed, written);
    assert_eq!(opened.recovery.damaged, []);
    assert_eq!(opened.recovery.torn, None);
    assert_eq!((opened.recovery.records, opened.recovery.last_seq), (20, 20));
    assert_eq!(opened.wal.last_durable(), 20);
    assert_eq!(append(&opened.wal, &payload(20, 50)).unwrap(), 21);
}

/// Records up to the floor are durable elsewhere and not handed out again.
#[test]
fn nothing_below_the_floor_is_replayed() {
    let (fs, written) = sample_log(20);
    let opened = open(&fs, 13).unwrap();
    assert_eq!(opened.replayed, written[13..]);
    assert_eq!((opened.recovery.records, opened.recovery.replayed), (20, 7));
}

/// A table may be ahead of a log that was lost: its sequences are not given out a second time.
#[test]
fn sequences_go_on_above_the_floor_of_an_empty_log() {
    let fs = SimFs::new();
    let opened = open(&fs, 41).unwrap();
    assert_eq!((opened.recovery.next_seq, opened.wal.last_durable()), (42, 41));
    assert_eq!(append(&opened.wal, &payload(0, 50)).unwrap(), 42);
}

/// Opening and closing alone leaves nothing behind, however often.
#[test]
fn an_unused_log_takes_no_space() {
    let fs = SimFs::new();
    for _ in 0..3 {
        open(&fs, 0).unwrap();
    }
    assert_eq!(fs.files(), []);
}

/// Callbacks run in the order of the sequences, each before its append resolves, whoever appends.
#[test]
fn callbacks_run_in_sequence_order_before_the_appends_resolve() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (wal, order) = (&opened.wal, &order);
            scope.spawn(move || {
                for i in 0..50 {
                    let seen = Arc::clone(order);
                    let on_durable = Box::new(move |seq| seen.lock().unwrap().push(seq));
                    let seq = wal.append(payload(thread * 50 + i, 100), on_durable).wait().unwrap();
                    assert!(order.lock().unwrap().contains(&seq), "resolved before its callback");
                }
            });
        }
    });
    assert_eq!(*order.lock().unwrap(), (1..=400).collect::<Vec<u64>>());
    assert_eq!(opened.wal.queued_bytes(), 0);
}

/// One sync serves all that was queued while the one before was under way.
#[test]
fn a_group_takes_one_sync() {
    let fs = SimFs::new();
    let opened = open_with(&fs, clock(), WalConfig { segment_bytes: 1 << 16, ..config() }, 0).unwrap();
    append(&opened.wal, &payload(0, 50)).unwrap();
    let before = fs.op_count();
    let others: Vec<Bytes> = (2..40).map(|number| payload(number, 100)).collect();
    let results = append_group(&opened.wal, &payload(1, 50), &others);
    let seqs: Result<Vec<u64>, WalError> = results.into_iter().collect();
    assert_eq!(seqs.unwrap(), (2..=40).collect::<Vec<u64>>());
    let syncs = fs.ops()[before..].iter().filter(|op| op.kind.is_sync()).count();
    assert_eq!(syncs, 2, "one for the gate, one for the group");
}

/// A payload that no segment holds gets a segment of its own, and the log goes on after it.
#[test]
fn a_large_payload_gets_a_segment_of_its_own() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let payloads = [payload(0, 100), payload(1, 300_000), payload(2, 100), payload(3, 0)];
    for payload in &payloads {
        append(&opened.wal, payload).unwrap();
    }
    opened.wal.close();
    let replayed: Vec<Bytes> = open(&fs, 0).unwrap().replayed.into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(replayed, payloads);
    assert_eq!(segments(&fs).len(), 3);
}

/// Limits are told apart from faults: such a payload must not be repeated.
#[test]
fn a_payload_over_the_limit_is_refused() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let result = append(&opened.wal, &payload(0, (1 << 20) + 1));
    assert!(matches!(result, Err(WalError::TooLarge { .. })), "{result:?}");
    assert_eq!(append(&opened.wal, &payload(0, 50)).unwrap(), 1);
}

/// What was queued before the closing is written; what comes after is refused.
#[test]
fn closing_drains_the_queue() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let appends: Vec<Append> =
        (0..30).map(|number| opened.wal.append(payload(number, 100), Box::new(|_| ()))).collect();
    opened.wal.close();
    let seqs: Result<Vec<u64>, WalError> = appends.into_iter().map(Append::wait).collect();
    assert_eq!(seqs.unwrap(), (1..=30).collect::<Vec<u64>>());
    assert!(matches!(append(&opened.wal, &payload(30, 100)), Err(WalError::Closed)));
    assert_eq!(open(&fs, 0).unwrap().replayed.len(), 30);
}

/// Whoever hangs up does not take the payload back.
#[test]
fn a_dropped_append_is_written_all_the_same() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    drop(opened.wal.append(payload(0, 100), Box::new(move |_| _ = count.fetch_add(1, Ordering::SeqCst))));
    opened.wal.close();
    assert_eq!(ran.load(Ordering::SeqCst), 1);
    assert_eq!(open(&fs, 0).unwrap().replayed, [(1, payload(0, 100))]);
}

/// A callback that panics must not leave anybody waiting for ever.
#[test]
fn a_panicking_callback_closes_the_log() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let result = opened.wal.append(payload(0, 100), Box::new(|_| panic!("a callback that panics"))).wait();
    assert!(matches!(result, Err(WalError::Closed)), "{result:?}");
    assert!(matches!(append(&opened.wal, &payload(1, 100)), Err(WalError::Closed)));
    opened.wal.close();
    assert_eq!(open(&fs, 0).unwrap().replayed, [(1, payload(0, 100))], "it was durable");
}

/// A segment goes once all its records are below the mark; the newest stays whatever the mark.
#[test]
fn a_trim_deletes_whole_segments_but_the_newest() {
    let (fs, written) = sample_log(20);
    let opened = open(&fs, 0).unwrap();
    let before = segments(&fs);
    let bytes = opened.wal.bytes();
    opened.wal.trim(0).unwrap();
    assert_eq!(segments(&fs), before);
    opened.wal.trim(10).unwrap();
    let after = segments(&fs);
    assert!(after.len() < before.len() && before.ends_with(&after));
    assert!(opened.wal.bytes() < bytes);
    opened.wal.trim(u64::MAX).unwrap();
    assert_eq!(segments(&fs), before[before.len() - 1..]);
    assert_eq!(append(&opened.wal, &payload(20, 50)).unwrap(), 21);
    opened.wal.trim(10).unwrap();
    opened.wal.close();
    let replayed = open(&fs, 10).unwrap().replayed;
    assert_eq!(replayed.last(), Some(&(21, payload(20, 50))));
    assert!(replayed[..replayed.len() - 1].iter().all(|record| written.contains(record)));
}

/// A segment whose first group failed holds nothing that tells where the log was: trimmed down to it, the log could not
/// be told from a lost one.
#[test]
fn a_trim_leaves_the_newest_segment_that_has_a_record() {
    let (fs, _) = sample_log(20);
    let opened = open(&fs, 0).unwrap();
    let before = segments(&fs);
    fs.fail_sync(0, |op| op.kind == OpKind::SyncData);
    append(&opened.wal, &payload(20, 50)).unwrap_err();
    opened.wal.trim(u64::MAX).unwrap();
    assert!(segments(&fs).starts_with(&before[before.len() - 1..]), "{:?}", segments(&fs));
}

/// A record above the mark is kept, whichever mark.
#[test]
fn a_trim_keeps_all_above_its_mark() {
    for mark in 0..=20 {
        let (fs, written) = sample_log(20);
        let opened = open(&fs, 0).unwrap();
        opened.wal.trim(mark).unwrap();
        drop(opened);
        let reopened = open(&fs, mark).unwrap();
        assert_eq!(reopened.replayed, written[mark as usize..]);
        assert_eq!(reopened.recovery.damaged, []);
    }
}

/// A log copied from another node would be taken for this one's; it is refused, and both are named.
#[test]
fn another_nodes_log_is_refused() {
    let (fs, _) = sample_log(20);
    let other = WalConfig { node_id: [9; 16], ..config() };
    let error = open_with(&fs, clock(), other, 0).err().expect("it is refused");
    let text = error.to_string();
    assert!(matches!(error, WalError::Foreign { .. }), "{text}");
    assert!(text.contains(&"07".repeat(16)) && text.contains(&"09".repeat(16)), "{text}");
}

/// The caller's error ends the opening and comes back as it is.
#[test]
fn an_error_of_the_replay_ends_the_opening() {
    let (fs, _) = sample_log(20);
    let fs: Arc<dyn Fs> = Arc::new(fs);
    let result = Wal::open(fs, clock(), config(), 0, &mut |seq, _| match seq {
        3 => Err(spanlake::error::Error::damaged("no such thing")),
        _ => Ok(()),
    });
    assert_eq!(result.err().map(|e| e.to_string()).as_deref(), Some("no such thing"));
}

/// The same over this machine's disk.
#[test]
fn a_real_disk_keeps_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let config = WalConfig { dir: dir.path().join("deep/wal"), ..config() };
    let payloads: Vec<Bytes> = (0..20).map(|number| payload(number, 200)).collect();
    let (wal, _) = Wal::open(Arc::new(RealFs), clock(), config.clone(), 0, &mut |_, _| Ok(())).unwrap();
    for payload in &payloads {
        append(&wal, payload).unwrap();
    }
    let mut read = Vec::new();
    let end = read_after(&RealFs, &config.dir, None, 0, &mut |_, payload| {
        read.push(Bytes::copy_from_slice(payload));
        Ok(())
    });
    assert_eq!(read, payloads);
    assert_eq!(end.unwrap(), ReadEnd::Complete { last_seq: 20, records: 20, damaged: Vec::new(), log_gone: false });
    wal.trim(20).unwrap();
    drop(wal);
    assert_eq!(std::fs::read_dir(&config.dir).unwrap().count(), 1);
    let (wal, recovery) = Wal::open(Arc::new(RealFs), clock(), config, 20, &mut |_, _| Ok(())).unwrap();
    assert_eq!((recovery.next_seq, recovery.replayed), (21, 0));
    assert_eq!(append(&wal, &payloads[0]).unwrap(), 21);
}
