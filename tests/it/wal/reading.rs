//! Another process reads the log while the server appends and trims.

use super::*;
use crate::support::sim_fs::Cut;
use spanlake::fs::OpenMode;
use spanlake::wal::{ReadEnd, read_after};
use std::path::Path;

fn read(fs: &SimFs, after: u64) -> (Vec<(u64, Bytes)>, ReadEnd) {
    let mut read = Vec::new();
    let end = read_after(fs, Path::new(DIR), Some([7; 16]), after, &mut |seq, payload| {
        read.push((seq, Bytes::copy_from_slice(payload)));
        Ok(())
    });
    (read, end.unwrap())
}

fn complete(last_seq: u64, records: u64) -> ReadEnd {
    ReadEnd::Complete { last_seq, records, damaged: Vec::new(), log_gone: false }
}

/// All that is acknowledged is seen, and the disk is not touched.
#[test]
fn a_reader_sees_what_is_acknowledged_and_changes_nothing() {
    let fs = SimFs::new();
    assert_eq!(read(&fs, 0), (Vec::new(), complete(0, 0)), "no folder is an empty log");
    let opened = open(&fs, 0).unwrap();
    let mut written = Vec::new();
    for number in 0..15 {
        let payload = payload(number, 200);
        written.push((append(&opened.wal, &payload).unwrap(), payload));
        let ops = fs.op_count();
        assert_eq!(read(&fs, 0), (written.clone(), complete(number + 1, number + 1)));
        assert_eq!(fs.op_count(), ops);
    }
    assert_eq!(read(&fs, 12), (written[12..].to_vec(), complete(15, 3)));
    assert_eq!(read(&fs, 15), (Vec::new(), complete(15, 0)));
}

/// What the reader wanted was flushed and trimmed before it came: it must read the tables again.
#[test]
fn a_trimmed_log_is_told_from_a_short_one() {
    let (fs, written) = sample_log(20);
    let opened = open(&fs, 0).unwrap();
    opened.wal.trim(u64::MAX).unwrap();
    let first_kept: u64 = segments(&fs)[0].file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let (_, end) = read(&fs, 3);
    assert_eq!(end, ReadEnd::Trimmed { missing: 4..=first_kept - 1 });
    let (seen, end) = read(&fs, first_kept - 1);
    assert_eq!(seen, written[first_kept as usize - 1..]);
    assert_eq!(end, complete(20, seen.len() as u64));
}

/// Refused payloads leave gaps in the sequences, which are no trim.
#[test]
fn a_gap_in_the_sequences_is_no_trim() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    fs.set_capacity(Some(0));
    append(&opened.wal, &payload(0, 100)).unwrap_err();
    fs.set_capacity(None);
    append(&opened.wal, &payload(1, 100)).unwrap();
    assert_eq!(read(&fs, 0), (vec![(2, payload(1, 100))], complete(2, 1)));
}

/// The server flushes and trims while the reader is in the first segment: the read says so, and the retry is whole.
#[test]
fn a_trim_during_a_read_is_noticed() {
    let (fs, written) = sample_log(20);
    let opened = open(&fs, 0).unwrap();
    let mut steps = 0;
    let end = read_after(&fs, Path::new(DIR), None, 0, &mut |_, _| {
        if steps == 0 {
            opened.wal.trim(u64::MAX).unwrap();
        }
        steps += 1;
        Ok(())
    });
    let Ok(ReadEnd::Trimmed { missing }) = end else { panic!("{end:?}") };
    assert_eq!(*missing.start(), steps + 1);
    let (seen, end) = read(&fs, *missing.end());
    assert_eq!(seen, written[*missing.end() as usize..]);
    assert_eq!(end, complete(20, seen.len() as u64));
}

/// A trim of what the reader does not need does not disturb it.
#[test]
fn a_trim_below_the_readers_floor_is_none_of_its_business() {
    let (fs, written) = sample_log(20);
    let opened = open(&fs, 0).unwrap();
    let mut hook = Some(move || opened.wal.trim(10).unwrap());
    fs.on_read(move |_, _| _ = hook.take().map(|trim| trim()));
    assert_eq!(read(&fs, 10), (written[10..].to_vec(), complete(20, 10)));
}

/// The server appends at every step of the reader: what was acknowledged before it began is there, in order, without a
/// gap.
#[test]
fn appends_during_a_read_do_not_disturb_it() {
    let (fs, written) = sample_log(20);
    let opened = open(&fs, 0).unwrap();
    let mut number = 20;
    let mut read = Vec::new();
    let end = read_after(&fs, Path::new(DIR), None, 0, &mut |seq, payload| {
        if number < 60 {
            append(&opened.wal, &super::payload(number, 150)).unwrap();
            number += 1;
        }
        read.push((seq, Bytes::copy_from_slice(payload)));
        Ok(())
    });
    assert!(read.starts_with(&written));
    assert!(read.iter().map(|(seq, _)| *seq).eq(1..=read.len() as u64));
    assert_eq!(end.unwrap(), complete(read.len() as u64, read.len() as u64));
}

/// The same between any two reads of the file, which are smaller than a page: bytes that were read before an append,
/// beside bytes that were read after it, are no damage.
#[test]
fn an_append_between_two_reads_is_no_damage() {
    let mut seen_by_step = Vec::new();
    for at in 0.. {
        let fs = SimFs::new();
        let opened = open_with(&fs, clock(), WalConfig { segment_bytes: 32 << 10, ..config() }, 0).unwrap();
        append(&opened.wal, &payload(0, 100)).unwrap();
        fs.set_read_limit(3072);
        let mut reads = 0;
        let (reached, was_reached) = mpsc::channel();
        fs.on_read(move |_, _| {
            if reads == at {
                for number in 1..9 {
                    append(&opened.wal, &payload(number, 3000)).unwrap();
                }
                let _ = reached.send(());
            }
            reads += 1;
        });
        let (seen, end) = read(&fs, 0);
        assert_eq!(end, complete(seen.len() as u64, seen.len() as u64), "read {at}");
        if was_reached.try_recv().is_err() {
            break;
        }
        seen_by_step.push(seen.len());
    }
    // Before the first read all of them are seen, before the last one none.
    assert!(seen_by_step.len() >= 10, "{seen_by_step:?}");
    assert_eq!((seen_by_step.first(), seen_by_step.last()), (Some(&9), Some(&1)));
}

/// A segment whose header is written between two looks at it is as good as any.
#[test]
fn a_segment_that_is_being_begun_is_no_damage() {
    let (fs, written) = sample_log(20);
    let newest = segments(&fs).pop().unwrap();
    let bytes = fs.contents(&newest);
    fs.put(&newest, &vec![0; bytes.len()]);
    let (writer, mut looks) = (fs.clone(), 0);
    fs.on_read(move |path, _| {
        looks += usize::from(path == newest);
        if looks == 2 {
            writer.open(path, OpenMode::ReadWrite).unwrap().write_all_at(&bytes, 0).unwrap();
        }
    });
    assert_eq!(read(&fs, 0), (written, complete(20, 20)));
}

/// A group that is half written is not damage, and nothing behind it is handed out.
#[test]
fn a_write_under_way_ends_the_read() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    append(&opened.wal, &payload(0, 100)).unwrap();
    let group = [payload(2, 100), payload(3, 100)];
    append_group(&opened.wal, &payload(1, 100), &group).into_iter().for_each(|result| _ = result.unwrap());
    let path = segments(&fs)[0].clone();
    let third = SEGMENT_HEADER + 2 * record_size(&group[0]);
    // Record 4, of the same group as record 3, got to the disk before it.
    let mut bytes = fs.contents(&path);
    bytes[third..][..record_size(&group[0])].fill(0);
    fs.put(&path, &bytes);
    assert_eq!(read(&fs, 0), (vec![(1, payload(0, 100)), (2, payload(1, 100))], complete(2, 2)));

    // Once a server has started on it and written on, it is no longer under way.
    drop(opened);
    let opened = open(&fs, 0).unwrap();
    append(&opened.wal, &payload(4, 100)).unwrap();
    let (seen, end) = read(&fs, 0);
    assert_eq!(seen.iter().map(|(seq, _)| *seq).collect::<Vec<u64>>(), [1, 2, 4, 5]);
    let ReadEnd::Complete { damaged, .. } = end else { panic!("{end:?}") };
    assert_eq!(damaged.len(), 1);
    assert_eq!((damaged[0].missing.clone(), damaged[0].acknowledged), (Some(3..=3), false));
}

/// Damage to what was acknowledged is passed over and reported, also in the newest segment.
#[test]
fn damage_is_reported_and_passed_over() {
    let (fs, written) = sample_log(20);
    let newest = segments(&fs).pop().unwrap();
    let first: u64 = newest.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    assert!(first < 20, "the newest segment has more than one record");
    fs.flip(&segments(&fs)[0], SEGMENT_HEADER + RECORD_HEADER, 0);
    fs.flip(&newest, SEGMENT_HEADER + RECORD_HEADER, 0);
    let (seen, end) = read(&fs, 0);
    let kept: Vec<(u64, Bytes)> = written.into_iter().filter(|(seq, _)| *seq != 1 && *seq != first).collect();
    assert_eq!(seen, kept);
    let ReadEnd::Complete { damaged, .. } = end else { panic!("{end:?}") };
    assert_eq!(
        damaged.iter().map(|damage| damage.missing.clone()).collect::<Vec<_>>(),
        [Some(1..=1), Some(first..=first)]
    );
}

/// The only segment's header is damaged: what the node's id is, and so which records are valid, its owner's reader knows.
#[test]
fn a_damaged_header_hides_no_record_and_is_reported() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let written: Vec<(u64, Bytes)> = (0..3).map(|number| (number + 1, payload(number, 100))).collect();
    written.iter().for_each(|(_, payload)| _ = append(&opened.wal, payload).unwrap());
    for byte in [0, 10, 20, 50, 63] {
        let fs = fs.crash(Cut::Kill);
        fs.flip(&segments(&fs)[0], byte, 0);
        let (seen, end) = read(&fs, 0);
        assert_eq!(seen, written, "byte {byte}");
        let ReadEnd::Complete { damaged, last_seq: 3, .. } = end else { panic!("byte {byte}: {end:?}") };
        assert_eq!((damaged[0].offset, damaged[0].len), (0, SEGMENT_HEADER as u64), "byte {byte}");
        // Who does not know the node learns at least that something is there.
        let end = read_after(&fs, Path::new(DIR), None, 0, &mut |_, _| Ok(())).unwrap();
        let ReadEnd::Complete { damaged, .. } = end else { panic!("byte {byte}: {end:?}") };
        assert_eq!(damaged.len(), 1, "byte {byte}");
    }
}

/// A log that something was read from before is never without a segment, nor is its only one blank.
#[test]
fn a_log_that_is_gone_is_told_from_one_that_is_new() {
    let is_gone = |fs: &SimFs, after: u64| {
        let (seen, end) = read(fs, after);
        assert_eq!(seen, []);
        let ReadEnd::Complete { log_gone, .. } = end else { panic!("{end:?}") };
        log_gone
    };
    let fs = SimFs::new();
    assert_eq!((is_gone(&fs, 0), is_gone(&fs, 3)), (false, true), "no folder");
    let opened = open(&fs, 0).unwrap();
    assert_eq!((is_gone(&fs, 0), is_gone(&fs, 3)), (false, true), "no segment");
    (0..3).for_each(|number| _ = append(&opened.wal, &payload(number, 100)).unwrap());
    assert!(!is_gone(&fs, 3));
    let segment = segments(&fs)[0].clone();
    fs.put(&segment, &vec![0; fs.contents(&segment).len()]);
    assert_eq!((is_gone(&fs, 0), is_gone(&fs, 3)), (false, true), "a blank segment");
}

/// Between the listing and the opening of the newest segment the server begins another one and trims it.
#[test]
fn the_newest_segment_trimmed_before_it_is_opened_is_noticed() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    append(&opened.wal, &payload(0, 100)).unwrap();
    let only = segments(&fs)[0].clone();
    let (writer, mut looks) = (fs.clone(), 0);
    fs.on_read(move |_, _| {
        looks += 1;
        // The first look is for the node's id.
        if looks == 1 {
            append(&opened.wal, &payload(1, 900)).unwrap();
            opened.wal.trim(1).unwrap();
            assert!(!segments(&writer).contains(&only));
        }
    });
    let end = read_after(&fs, Path::new(DIR), None, 0, &mut |_, _| Ok(())).unwrap();
    assert_eq!(end, ReadEnd::Trimmed { missing: 1..=1 });
}
