//! The write-ahead log, over a disk that forgets, fills up and fails.

mod damage;
mod faults;
mod model;
mod power_cut;
mod promises;
mod reading;

use crate::support::sim_fs::SimFs;
use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use spanlake::clock::ManualClock;
use spanlake::fs::Fs;
use spanlake::wal::{Append, Recovery, Wal, WalConfig, WalError};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};

const DIR: &str = "/data/wal";
const SEGMENT_HEADER: usize = 64;
const RECORD_HEADER: usize = 24;

fn config() -> WalConfig {
    WalConfig { segment_bytes: 1024, max_record_bytes: 1 << 20, ..WalConfig::new(PathBuf::from(DIR), [7; 16]) }
}

/// A log that was opened, and what it told.
struct Opened {
    wal: Wal,
    recovery: Recovery,
    replayed: Vec<(u64, Bytes)>,
}

fn open(fs: &SimFs, floor: u64) -> Result<Opened, WalError> {
    open_with(fs, clock(), config(), floor)
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(0))
}

fn open_with(fs: &SimFs, clock: Arc<ManualClock>, config: WalConfig, floor: u64) -> Result<Opened, WalError> {
    let fs: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut replayed = Vec::new();
    let (wal, recovery) = Wal::open(fs, clock, config, floor, &mut |seq, payload| {
        replayed.push((seq, payload));
        Ok(())
    })?;
    assert_eq!(recovery.replayed, replayed.len() as u64);
    Ok(Opened { wal, recovery, replayed })
}

/// A payload like no other: its number, and bytes drawn from it. No byte is zero, so that each bit of it shows.
fn payload(number: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len.max(8)];
    SmallRng::seed_from_u64(number).fill_bytes(&mut bytes);
    bytes.iter_mut().for_each(|byte| *byte |= 1);
    bytes[..8].copy_from_slice(&(number + 0x0101_0101_0101_0101).to_le_bytes());
    bytes.into()
}

fn append(wal: &Wal, payload: &Bytes) -> Result<u64, WalError> {
    wal.append(payload.clone(), Box::new(|_| ())).wait()
}

/// Appends so that `gate` is a group of its own, and the others are one group together (if they fit in one): they are
/// queued while the log's thread is held in the gate's callback.
fn append_group(wal: &Wal, gate: &Bytes, others: &[Bytes]) -> Vec<Result<u64, WalError>> {
    let (inside, is_inside) = mpsc::channel();
    let (release, is_released) = mpsc::channel::<()>();
    let hold = Box::new(move |_| {
        let _ = inside.send(());
        let _ = is_released.recv();
    });
    let gate = wal.append(gate.clone(), hold);
    // An error says that the gate was refused and its callback dropped.
    let _ = is_inside.recv();
    let others: Vec<Append> = others.iter().map(|payload| wal.append(payload.clone(), Box::new(|_| ()))).collect();
    drop(release);
    std::iter::once(gate).chain(others).map(Append::wait).collect()
}

/// The segments that are there, oldest first.
fn segments(fs: &SimFs) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs.files().into_iter().map(|(path, _)| path).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    found.sort();
    found
}

/// A record's bytes in a segment.
fn record_size(payload: &Bytes) -> usize {
    RECORD_HEADER + payload.len().next_multiple_of(8)
}

/// A closed log of `n` records over several segments; what is in it.
fn sample_log(n: u64) -> (SimFs, Vec<(u64, Bytes)>) {
    let fs = SimFs::new();
    let opened = open(&fs, 0).unwrap();
    let mut rng = SmallRng::seed_from_u64(n);
    let mut written = Vec::new();
    for number in 0..n {
        let payload = payload(number, rng.random_range(8..250));
        written.push((append(&opened.wal, &payload).unwrap(), payload));
    }
    opened.wal.close();
    assert!(segments(&fs).len() > 1, "the sample spans segments");
    (fs, written)
}
