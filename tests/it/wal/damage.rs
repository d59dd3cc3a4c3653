//! Bytes of the log are wrong, or missing: at most the record that was hit is lost, it is reported, and nothing that was
//! never appended is ever handed out.

use super::*;
use crate::support::sim_fs::Cut;
use spanlake::wal::{ReadEnd, read_after};
use std::path::Path;

/// Opens a log whose segments were tampered with at `hits` places, and holds it against what was written.
fn check(fs: &SimFs, written: &[(u64, Bytes)], hits: usize, case: &str) -> Opened {
    let opened = match open(fs, 0) {
        Ok(opened) => opened,
        Err(e) => panic!("{case}: {e}"),
    };
    assert!(opened.replayed.is_sorted_by(|a, b| a.0 < b.0), "{case}");
    assert!(opened.replayed.iter().all(|record| written.contains(record)), "{case}: a record that nobody wrote");
    let lost: Vec<u64> =
        written.iter().filter(|record| !opened.replayed.contains(record)).map(|(seq, _)| *seq).collect();
    assert!(lost.len() <= hits, "{case}: lost {lost:?}");
    let recovery = &opened.recovery;
    let reported =
        |seq: &u64| recovery.damaged.iter().filter_map(|damage| damage.missing.as_ref()).any(|s| s.contains(seq));
    let last = opened.replayed.last().map_or(0, |(seq, _)| *seq);
    let torn = |seq: &u64| *seq > last && recovery.torn.is_some();
    assert!(lost.iter().all(|seq| reported(seq) || torn(seq)), "{case}: lost {lost:?}, reported {recovery:?}");

    // A reader in another process sees the same, up to what may be under way.
    let mut read = Vec::new();
    let end = read_after(fs, Path::new(DIR), Some([7; 16]), 0, &mut |seq, payload| {
        read.push((seq, Bytes::copy_from_slice(payload)));
        Ok(())
    });
    if matches!(end, Ok(ReadEnd::Complete { .. })) {
        assert!(opened.replayed.starts_with(&read), "{case}");
    }
    opened
}

/// The last record cut off at every byte, as a power cut may leave it: the others are there, and the log goes on.
#[test]
fn a_truncated_last_record_is_all_that_is_lost() {
    let (sample, written) = sample_log(9);
    let path = segments(&sample).pop().unwrap();
    let bytes = sample.contents(&path);
    let dirty = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let size = record_size(&written[8].1);
    let start = dirty.next_multiple_of(8) - size;
    for end in start..start + size {
        // The file ends there, or goes on with the zeros that were reserved.
        for len in [end, bytes.len()] {
            let fs = sample.crash(Cut::Kill);
            let mut cut = bytes[..end].to_vec();
            cut.resize(len, 0);
            let whole = end >= dirty;
            fs.put(&path, &cut);
            // Cut off at its first byte, it is as if it had never been written.
            let written = if end == start { &written[..8] } else { &written };
            let opened = check(&fs, written, 1, &format!("cut at {end}, length {len}"));
            assert_eq!(opened.replayed, written[..if whole { 9 } else { 8 }]);
            assert_eq!(opened.recovery.torn_bytes() > 0, end > start && !whole, "cut at {end}, length {len}");
            assert_eq!(opened.recovery.damaged, []);
            append(&opened.wal, &payload(99, 40)).unwrap();
            drop(opened);
            let again = open(&fs, 0).unwrap();
            assert_eq!(again.replayed.last().map(|(_, payload)| payload), Some(&payload(99, 40)));
            assert_eq!((again.recovery.damaged, again.recovery.torn), (vec![], None), "what was torn is past");
        }
    }
}

/// One bit of every byte of a small log.
#[test]
fn a_flipped_bit_anywhere_loses_at_most_the_record_it_hit() {
    let (sample, written) = sample_log(9);
    let mut rng = SmallRng::seed_from_u64(1);
    for path in segments(&sample) {
        for byte in 0..sample.contents(&path).len() {
            let bit = rng.random_range(0..8);
            let fs = sample.crash(Cut::Kill);
            fs.flip(&path, byte, bit);
            let opened = check(&fs, &written, 1, &format!("bit {bit} of byte {byte} of {}", path.display()));
            let recovery = &opened.recovery;
            let in_header = byte < SEGMENT_HEADER;
            assert!(!in_header || opened.replayed == written, "a segment's header holds no record");
            assert!(!in_header || !recovery.damaged.is_empty(), "but it is reported");
        }
    }
}

#[test]
fn random_flips_in_a_larger_log_lose_at_most_what_they_hit() {
    let (sample, written) = sample_log(80);
    let paths = segments(&sample);
    let mut rng = SmallRng::seed_from_u64(2);
    for round in 0..2000 {
        let fs = sample.crash(Cut::Kill);
        let flips = if round < 1500 { 1 } else { rng.random_range(2..6) };
        let mut case = String::new();
        for _ in 0..flips {
            let path = &paths[rng.random_range(0..paths.len())];
            let (byte, bit) = (rng.random_range(0..fs.contents(path).len()), rng.random_range(0..8));
            fs.flip(path, byte, bit);
            case += &format!("bit {bit} of byte {byte} of {}; ", path.display());
        }
        check(&fs, &written, flips, &case);
    }
}

/// A damaged place is copied and named, with the sequence that is gone; the rest is replayed.
#[test]
fn a_damaged_record_is_reported_with_its_place() {
    let (fs, written) = sample_log(20);
    let path = segments(&fs)[1].clone();
    let first: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let hit = written[first as usize - 1].clone();
    fs.flip(&path, SEGMENT_HEADER + RECORD_HEADER + 5, 3);
    let opened = check(&fs, &written, 1, "one record");
    assert!(!opened.replayed.contains(&hit));
    let [damage] = &opened.recovery.damaged[..] else { panic!("{:?}", opened.recovery) };
    assert_eq!(damage.segment, path);
    assert_eq!((damage.offset, damage.len), (SEGMENT_HEADER as u64, record_size(&hit.1) as u64));
    assert_eq!(damage.missing, Some(hit.0..=hit.0));
    assert!(damage.acknowledged, "records after it were written when it was durable");
    let copy = fs.contents(damage.quarantine.as_ref().unwrap());
    assert_eq!(copy, fs.contents(&path)[SEGMENT_HEADER..][..record_size(&hit.1)]);
}

/// What is in the tables already cannot be lost by damage to the log.
#[test]
fn damage_below_the_floor_is_none() {
    let (fs, _) = sample_log(20);
    fs.flip(&segments(&fs)[0], SEGMENT_HEADER + RECORD_HEADER, 0);
    assert_eq!(open(&fs, 0).unwrap().recovery.damaged.len(), 1);
    assert_eq!(open(&fs, 1).unwrap().recovery.damaged, []);
}

/// Zeros where records were, a segment that is gone, one that is all noise: the next segment knows what should be there.
#[test]
fn lost_ends_and_whole_segments_are_noticed() {
    let (sample, written) = sample_log(20);
    let path = segments(&sample)[1].clone();
    let first = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
    let lost = first(&path)..=first(&segments(&sample)[2]) - 1;
    let kept: Vec<(u64, Bytes)> = written.into_iter().filter(|(seq, _)| !lost.contains(seq)).collect();
    let mut zeroed = sample.contents(&path);
    zeroed[SEGMENT_HEADER..].fill(0);
    let mut noise = zeroed.clone();
    SmallRng::seed_from_u64(3).fill_bytes(&mut noise);
    for bytes in [Some(zeroed), Some(noise), Some(Vec::new()), None] {
        let fs = sample.crash(Cut::Kill);
        match &bytes {
            Some(bytes) => fs.put(&path, bytes),
            None => fs.remove_file(&path).unwrap(),
        }
        let opened = open(&fs, 0).unwrap();
        assert_eq!(opened.replayed, kept);
        let found = opened.recovery.damaged.iter().find(|damage| damage.missing.is_some()).unwrap();
        assert_eq!((found.missing.clone(), found.acknowledged), (Some(lost.clone()), true));
    }
}

/// Nothing but noise of all lengths, under a segment's name.
#[test]
fn noise_is_no_record() {
    let mut rng = SmallRng::seed_from_u64(4);
    for len in (0..400).chain([5000, 600_000]) {
        let fs = SimFs::new();
        let mut noise = vec![0; len];
        rng.fill_bytes(&mut noise);
        fs.create_dir_all(Path::new(DIR)).unwrap();
        fs.put(&Path::new(DIR).join("00000000000000000005.wal"), &noise);
        let opened = open(&fs, 0).unwrap();
        assert_eq!(opened.replayed, []);
        assert_eq!(append(&opened.wal, &payload(0, 50)).unwrap(), 6.max(opened.recovery.next_seq));
        drop(opened);
        assert_eq!(open(&fs, 0).unwrap().replayed.len(), 1);
        let end = read_after(&fs, Path::new(DIR), None, 4, &mut |_, _| Ok(()));
        assert!(matches!(end, Ok(ReadEnd::Complete { records: 1, .. })), "length {len}: {end:?}");
    }
}

/// The end of a segment is lost, and with it records that are in no table yet: what is left of it must stay.
#[test]
fn a_segment_with_a_lost_end_is_not_trimmed_before_its_time() {
    let (fs, _) = sample_log(20);
    let path = segments(&fs)[0].clone();
    let mut bytes = fs.contents(&path);
    bytes[SEGMENT_HEADER..].fill(0);
    fs.put(&path, &bytes);
    let opened = open(&fs, 0).unwrap();
    let lost = opened.recovery.damaged[0].missing.clone().unwrap();
    opened.wal.trim(lost.end() - 1).unwrap();
    assert!(segments(&fs).contains(&path));
    opened.wal.trim(*lost.end()).unwrap();
    assert!(!segments(&fs).contains(&path));
}

/// A record that lies in the segment a second time is not handed out a second time.
#[test]
fn a_copy_of_a_record_is_no_record() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let written: Vec<(u64, Bytes)> = (0..3).map(|number| (number + 1, payload(number, 100))).collect();
    written.iter().for_each(|(_, payload)| _ = append(&opened.wal, payload).unwrap());
    drop(opened);
    let path = segments(&fs)[0].clone();
    let mut bytes = fs.contents(&path);
    let size = record_size(&written[0].1);
    bytes.copy_within(SEGMENT_HEADER..SEGMENT_HEADER + size, SEGMENT_HEADER + 3 * size);
    fs.put(&path, &bytes);
    assert_eq!(open(&fs, 0).unwrap().replayed, written);
}

/// The next record is found wherever it begins, also where two reads of the file meet.
#[test]
fn the_search_misses_no_place() {
    for len in (262_000..262_240).step_by(8) {
        let fs = SimFs::new();
        let opened = open_with(&fs, clock(), WalConfig { segment_bytes: 1 << 20, ..config() }, 0).unwrap();
        let payloads = [payload(0, len), payload(1, 100), payload(2, 100)];
        payloads.iter().for_each(|payload| _ = append(&opened.wal, payload).unwrap());
        drop(opened);
        fs.flip(&segments(&fs)[0], SEGMENT_HEADER, 0);
        let replayed = open(&fs, 0).unwrap().replayed;
        assert_eq!(replayed, [(2, payloads[1].clone()), (3, payloads[2].clone())], "length {len}");
    }
}

/// Even a payload that is made of a record for its own segment is not taken for one: a damaged payload still tells
/// where it ends.
#[test]
fn a_record_inside_a_damaged_payload_is_no_record() {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    (0..3).for_each(|number| _ = append(&opened.wal, &payload(number, 80)).unwrap());
    drop(opened);
    let size = record_size(&payload(0, 80));
    let third = fs.contents(&segments(&fs)[0])[SEGMENT_HEADER + 2 * size..][..size].to_vec();

    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    append(&opened.wal, &payload(0, 80)).unwrap();
    append(&opened.wal, &[third, vec![1; 80]].concat().into()).unwrap();
    append(&opened.wal, &payload(9, 80)).unwrap();
    drop(opened);
    fs.flip(&segments(&fs)[0], SEGMENT_HEADER + size + RECORD_HEADER + size + 3, 0);
    assert_eq!(open(&fs, 0).unwrap().replayed, [(1, payload(0, 80)), (3, payload(9, 80))]);
}

/// A copy of another segment's bytes holds no records, even where the record around it is damaged.
#[test]
fn a_payload_that_looks_like_records_is_not_taken_for_them() {
    let (other, _) = sample_log(9);
    let inner = Bytes::from(other.contents(&segments(&other)[0]));
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    append(&opened.wal, &payload(0, 50)).unwrap();
    append(&opened.wal, &inner).unwrap();
    append(&opened.wal, &payload(2, 50)).unwrap();
    drop(opened);
    let path = segments(&fs)[1].clone();
    fs.flip(&path, SEGMENT_HEADER, 0);
    let replayed = open(&fs, 0).unwrap().replayed;
    assert_eq!(replayed, [(1, payload(0, 50)), (3, payload(2, 50))]);
}
