//! Measuring: time that passed, what a process used, what a folder holds.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// This moment, on the clock that only goes forward.
#[allow(clippy::disallowed_methods, reason = "measuring time is what a bench is for")]
pub fn moment() -> Instant {
    Instant::now()
}

/// How long something took, in microseconds.
pub fn micros_since(start: Instant) -> u32 {
    u32::try_from(moment().duration_since(start).as_micros()).unwrap_or(u32::MAX)
}

/// Percentiles of measured times, in milliseconds: the nearest rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Percentiles {
    /// Of times in microseconds, in any order.
    pub fn of(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        let rank = |percent: usize| {
            let rank = (micros.len() * percent).div_ceil(100).max(1);
            micros.get(rank - 1).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
        };
        Percentiles { p50: rank(50), p90: rank(90), p99: rank(99), max: rank(100) }
    }
}

/// Seconds of CPU that a process used so far, in user and system mode, or `None` where the system does not tell.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(cpu_ticks(&stat)? as f64 / ticks_per_second() as f64)
}

/// utime and stime are the 14th and 15th fields; the second, the command's name in brackets, may hold spaces.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// What the kernel tells every process at its start (AT_CLKTCK); 100 on about every machine there is.
fn ticks_per_second() -> u64 {
    const AT_CLKTCK: usize = 17;
    const WORD: usize = size_of::<usize>();
    let vector = fs::read("/proc/self/auxv").unwrap_or_default();
    let words: Vec<usize> = vector.as_chunks::<WORD>().0.iter().map(|word| usize::from_ne_bytes(*word)).collect();
    let entry = words.as_chunks::<2>().0.iter().find(|entry| entry[0] == AT_CLKTCK);
    entry.map(|entry| entry[1] as u64).filter(|&ticks| ticks > 0).unwrap_or(100)
}

/// The most memory that a process had resident so far, in bytes.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// What lies in a table's folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskUse {
    pub bytes: u64,
    pub parquet_bytes: u64,
    pub parquet_files: u64,
    pub log_bytes: u64,
    pub other_bytes: u64,
}

impl DiskUse {
    /// What came on top of `before`.
    pub fn since(&self, before: &DiskUse) -> DiskUse {
        DiskUse {
            bytes: self.bytes.saturating_sub(before.bytes),
            parquet_bytes: self.parquet_bytes.saturating_sub(before.parquet_bytes),
            parquet_files: self.parquet_files.saturating_sub(before.parquet_files),
            log_bytes: self.log_bytes.saturating_sub(before.log_bytes),
            other_bytes: self.other_bytes.saturating_sub(before.other_bytes),
        }
    }
}

/// Every file below `table` with its length. What vanishes while it is listed was superseded.
fn list_files(table: &Path) -> BTreeMap<PathBuf, u64> {
    let mut files = BTreeMap::new();
    let mut folders = vec![table.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => {
                    files.insert(entry.path(), metadata.len());
                }
                Err(_) => {}
            }
        }
    }
    files
}

/// What lies in a table's folder now: nothing where there is none.
pub fn disk_use(table: &Path) -> DiskUse {
    add_up(table, &list_files(table))
}

fn add_up(table: &Path, files: &BTreeMap<PathBuf, u64>) -> DiskUse {
    let mut disk = DiskUse::default();
    for (path, &bytes) in files {
        disk.bytes += bytes;
        let inside = path.strip_prefix(table).unwrap_or(path);
        // The log's checkpoints are Parquet files too.
        if inside.components().any(|part| part.as_os_str() == "_delta_log") {
            disk.log_bytes += bytes;
        } else if inside.extension().is_some_and(|extension| extension == "parquet") {
            disk.parquet_bytes += bytes;
            disk.parquet_files += 1;
        } else {
            disk.other_bytes += bytes;
        }
    }
    disk
}

/// Waits until no name and no length in a table's folder has changed for a second and a half, at most `limit`. Returns
/// what lies there, and whether it is settled.
pub async fn settled_disk_use(table: &Path, limit: Duration) -> (DiskUse, bool) {
    const POLL: Duration = Duration::from_millis(300);
    const QUIET_POLLS: u32 = 5;
    let start = moment();
    let mut files = list_files(table);
    let mut quiet = 0;
    while quiet < QUIET_POLLS {
        if moment().duration_since(start) > limit {
            return (add_up(table, &files), false);
        }
        tokio::time::sleep(POLL).await;
        let now = list_files(table);
        quiet = if now == files { quiet + 1 } else { 0 };
        files = now;
    }
    (add_up(table, &files), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let percentiles = Percentiles::of((1..=200).rev().map(|millis| millis * 1000).collect());
        assert_eq!(percentiles, Percentiles { p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0 });
        assert_eq!(Percentiles::of(vec![7000]), Percentiles { p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0 });
        assert_eq!(Percentiles::of(vec![]), Percentiles::default());
    }

    #[test]
    fn a_command_with_spaces_and_brackets_does_not_shift_the_fields() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 9 8 7 6 250 50 3 4 20 0 1 0 100 1 2";
        assert_eq!(cpu_ticks(stat), Some(300));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_tells_what_it_used() {
        assert!(cpu_seconds(std::process::id()).is_some());
        assert!(peak_memory(std::process::id()).is_some_and(|bytes| bytes > 1_000_000));
        assert!((1..=10_000).contains(&ticks_per_second()));
    }

    #[test]
    fn a_tables_bytes_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: usize| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; bytes]).unwrap();
        };
        write("day=2026-01-01/a.parquet", 100);
        write("day=2026-01-01/a.summary", 7);
        write("_delta_log/00000000000000000000.json", 20);
        write("_delta_log/00000000000000000100.checkpoint.parquet", 30);
        let expected = DiskUse { bytes: 157, parquet_bytes: 100, parquet_files: 1, log_bytes: 50, other_bytes: 7 };
        assert_eq!(disk_use(folder.path()), expected);
        assert_eq!(disk_use(&folder.path().join("missing")), DiskUse::default());
    }
}
