//! The power is cut, or the process killed, at every operation of a workload: what was acknowledged is there exactly
//! once; and each single sync is needed for that.

use super::*;
use crate::support::sim_fs::{Cut, Op, OpKind};
use std::collections::BTreeSet;
use std::path::Path;

/// What a workload was told before the world ended.
#[derive(Default)]
struct Told {
    acknowledged: Vec<(u64, Bytes)>,
    /// Up to here the records were given up.
    floor: u64,
    trimmed: Vec<PathBuf>,
}

/// Single appends, groups, a payload larger than a segment, a trim, a restart.
fn workload(fs: &SimFs) -> Told {
    let mut told = Told::default();
    // The error is the end of the world, which may come anywhere.
    let _ = try_workload(fs, &mut told);
    told
}

fn try_workload(fs: &SimFs, told: &mut Told) -> Result<(), WalError> {
    let wal = open(fs, 0)?.wal;
    for number in 0..6 {
        single(&wal, number, 100 + 30 * number as usize, told)?;
    }
    group(&wal, 6, 3, told)?;
    single(&wal, 10, 3000, told)?;
    group(&wal, 11, 2, told)?;
    told.floor = 6;
    let before = segments(fs);
    wal.trim(told.floor)?;
    let after = segments(fs);
    told.trimmed = before.into_iter().filter(|path| !after.contains(path)).collect();
    single(&wal, 14, 200, told)?;
    drop(wal);
    let reopened = open(fs, told.floor)?;
    single(&reopened.wal, 15, 200, told)?;
    group(&reopened.wal, 16, 2, told)
}

fn single(wal: &Wal, number: u64, len: usize, told: &mut Told) -> Result<(), WalError> {
    let payload = payload(number, len);
    told.acknowledged.push((append(wal, &payload)?, payload));
    Ok(())
}

/// A gate and `n` more.
fn group(wal: &Wal, number: u64, n: u64, told: &mut Told) -> Result<(), WalError> {
    let payloads: Vec<Bytes> = (number..=number + n).map(|number| payload(number, 150)).collect();
    for (result, payload) in append_group(wal, &payloads[0], &payloads[1..]).into_iter().zip(payloads) {
        told.acknowledged.push((result?, payload));
    }
    Ok(())
}

/// All that the workload was told holds after the crash. A text says what does not.
fn check(opened: &Opened, fs: &SimFs, told: &Told, case: &str) -> Result<(), String> {
    for record in told.acknowledged.iter().filter(|(seq, _)| *seq > told.floor) {
        if !opened.replayed.contains(record) {
            return Err(format!("{case}: acknowledged record {} is gone", record.0));
        }
    }
    if !opened.replayed.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(format!("{case}: out of order"));
    }
    let distinct: BTreeSet<&Bytes> = opened.replayed.iter().map(|(_, payload)| payload).collect();
    if distinct.len() != opened.replayed.len() {
        return Err(format!("{case}: a payload is there twice"));
    }
    let known: Vec<Bytes> = (0..20).map(|number| payload(number, 8).slice(..8)).collect();
    if !opened.replayed.iter().all(|(_, payload)| known.iter().any(|known| payload.starts_with(known))) {
        return Err(format!("{case}: a payload that nobody sent"));
    }
    if let Some(damage) = opened.recovery.damaged.iter().find(|damage| damage.acknowledged) {
        return Err(format!("{case}: false alarm {damage:?}"));
    }
    if let Some(path) = told.trimmed.iter().find(|path| segments(fs).contains(path)) {
        return Err(format!("{case}: {} is there again", path.display()));
    }
    Ok(())
}

/// A place in the code that syncs, told apart by what it syncs and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Site {
    phase: Phase,
    kind: OpKind,
    file: String,
    after: Option<OpKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Reopening,
}

impl Site {
    fn of(phase: Phase, op: &Op) -> Site {
        let file = match op.path.extension().and_then(|extension| extension.to_str()) {
            Some(extension) => extension.to_owned(),
            None => op.path.display().to_string(),
        };
        // While running, the same call syncs the folder after a creation and after a removal: two places in the code.
        let after = op.after.filter(|_| phase == Phase::Running);
        Site { phase, kind: op.kind, file, after }
    }
}

fn forget_sync(fs: &SimFs, phase: Phase, ignored: Option<&Site>) {
    let ignored = ignored.cloned();
    fs.ignore_sync(move |op| ignored.as_ref().is_some_and(|ignored| Site::of(phase, op) == *ignored));
}

fn note_sites(fs: &SimFs, phase: Phase, sites: &mut BTreeSet<Site>) {
    // A sync that had nothing to do can be left out.
    let syncs = fs.ops().into_iter().filter(|op| op.kind.is_sync() && op.after.is_some());
    sites.extend(syncs.map(|op| Site::of(phase, &op)));
}

/// Cuts the power at each operation of the workload, with one kind of sync left out; gives the kinds that were met.
fn survives_crashes(ignored: Option<&Site>) -> Result<BTreeSet<Site>, String> {
    let mut sites = BTreeSet::new();
    for n in 0.. {
        let fs = SimFs::new();
        forget_sync(&fs, Phase::Running, ignored);
        fs.fail_after(n);
        let told = workload(&fs);
        note_sites(&fs, Phase::Running, &mut sites);
        for cut in [Cut::Forget, Cut::Torn(n as u64), Cut::Torn(1000 + n as u64), Cut::Kill] {
            survives(&fs.crash(cut), &told, ignored, &mut sites, &format!("{cut:?} at operation {n}"))?;
        }
        if !fs.is_dead() {
            assert_eq!(told.acknowledged.len(), 19, "the workload came to its end");
            return Ok(sites);
        }
    }
    unreachable!("the workload ends");
}

/// Opens the log after a crash, cuts the power again, appends, and cuts it a third time: what was handed out once stays.
fn survives(
    fs: &SimFs,
    told: &Told,
    ignored: Option<&Site>,
    sites: &mut BTreeSet<Site>,
    case: &str,
) -> Result<(), String> {
    forget_sync(fs, Phase::Reopening, ignored);
    let opened = open(fs, told.floor).map_err(|e| format!("{case}: {e}"))?;
    note_sites(fs, Phase::Reopening, sites);
    check(&opened, fs, told, case)?;
    let handed_out = Told { acknowledged: opened.replayed.clone(), floor: told.floor, trimmed: Vec::new() };
    let unused = fs.crash(Cut::Forget);
    let case_unused = format!("{case}, then again before an append");
    let again = open(&unused, told.floor).map_err(|e| format!("{case_unused}: {e}"))?;
    check(&again, &unused, &handed_out, &case_unused)?;
    fs.ignore_sync(|_| false);
    let late = payload(19, 300);
    let seq = append(&opened.wal, &late).map_err(|e| format!("{case}: {e}"))?;
    let last = opened.replayed.iter().chain(&told.acknowledged).map(|(seq, _)| *seq).max().unwrap_or(0);
    if seq <= last {
        return Err(format!("{case}: sequence {seq} was given out again"));
    }
    let acknowledged = opened.replayed.into_iter().chain([(seq, late)]).collect();
    let told = Told { acknowledged, floor: told.floor, trimmed: Vec::new() };
    let fs = fs.crash(Cut::Forget);
    let opened = open(&fs, told.floor).map_err(|e| format!("{case}, then again: {e}"))?;
    check(&opened, &fs, &told, &format!("{case}, then again"))
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_operation() {
    survives_crashes(None).unwrap();
}

/// The test above would notice if any one of the syncs were missing from the code.
#[test]
fn every_sync_is_needed() {
    let mut sites = survives_crashes(None).unwrap();
    // Copies of damaged places are looked at below.
    sites.retain(|site| site.file == "wal" || site.file == DIR);
    assert_eq!(sites.len(), 5, "{sites:#?}");
    for site in &sites {
        let failure = survives_crashes(Some(site)).err();
        assert!(failure.is_some(), "nothing fails without {site:?}");
    }
}

/// An opening that stops at a damaged place has copied it for good; also if it is killed on the way and starts again.
fn keeps_quarantine(ignored: Option<&Site>) -> Result<BTreeSet<Site>, String> {
    let mut sites = BTreeSet::new();
    let (sample, written) = sample_log(20);
    sample.flip(&segments(&sample)[1], SEGMENT_HEADER + RECORD_HEADER, 0);
    for n in 0.. {
        let fs = sample.crash(Cut::Kill);
        forget_sync(&fs, Phase::Reopening, ignored);
        fs.fail_after(n);
        let finished = open(&fs, 0).is_ok();
        note_sites(&fs, Phase::Reopening, &mut sites);
        let fs = fs.crash(Cut::Kill);
        forget_sync(&fs, Phase::Reopening, ignored);
        let opened = open(&fs, 0).map_err(|e| e.to_string())?;
        note_sites(&fs, Phase::Reopening, &mut sites);
        let [damage] = &opened.recovery.damaged[..] else { return Err(format!("{:?}", opened.recovery)) };
        let copy = damage.quarantine.clone().ok_or("no copy was made")?;
        let lost = damage.missing.clone().ok_or("no record was lost")?;
        if lost.start() != lost.end() || opened.replayed.len() != written.len() - 1 {
            return Err(format!("lost {lost:?}"));
        }
        let bytes = sample.contents(&damage.segment);
        let bytes = &bytes[damage.offset as usize..][..damage.len as usize];
        let fs = fs.crash(Cut::Forget);
        let there = fs.files().iter().any(|(path, _)| path == Path::new(&copy));
        if !there || fs.contents(&copy) != bytes {
            return Err(format!("{} is not the damaged range", copy.display()));
        }
        if finished {
            return Ok(sites);
        }
    }
    unreachable!("the opening ends");
}

#[test]
fn what_is_damaged_is_copied_for_good() {
    let sites = keeps_quarantine(None).unwrap();
    assert_eq!(sites.len(), 2, "{sites:#?}");
    for site in &sites {
        assert!(keeps_quarantine(Some(site)).is_err(), "nothing fails without {site:?}");
    }
}
