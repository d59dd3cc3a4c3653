//! Reads the log at start: replays its records, and saves and reports what is damaged.

use super::error::WalError;
use super::segment::SegmentInfo;
use super::walk::{self, Loss, Segment, Visitor};
use super::{Above, WalConfig};
use crate::fs::{Fs, OpenMode};
use bytes::Bytes;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};

/// What was found in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Valid records.
    pub records: u64,
    /// Those of them above the floor, which were handed to the callback.
    pub replayed: u64,
    /// The last sequence in use, that of the floor included; 0 if there is none.
    pub last_seq: u64,
    /// The sequence of the next append.
    pub next_seq: u64,
    /// The end of the log holds the beginning of an unfinished write (or the last record is damaged: nothing tells
    /// the two apart).
    pub torn: Option<Torn>,
    /// In the order of the log. A part is reported at each start until it is trimmed.
    pub damaged: Vec<Damage>,
}

impl Recovery {
    /// Bytes of an unfinished write at the end of the log.
    pub fn torn_bytes(&self) -> u64 {
        self.torn.as_ref().map_or(0, |torn| torn.len)
    }
}

/// An unfinished write at the end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub segment: PathBuf,
    pub offset: u64,
    pub len: u64,
}

/// A part of the log that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub segment: PathBuf,
    /// In bytes, as the length; a length of 0 means that zeros are where records were.
    pub offset: u64,
    pub len: u64,
    /// The sequences that may have been there, at most; `None` if no record was hit.
    pub missing: Option<RangeInclusive<u64>>,
    /// Whether a record of it had surely been acknowledged; if not, it may be a write that a power cut left
    /// unfinished.
    pub acknowledged: bool,
    /// The copy of its bytes; `None` if there is nothing to copy or it could not be written.
    pub quarantine: Option<PathBuf>,
}

/// Reads the log for [`super::Wal::open`]; gives the segments that are there, oldest first.
pub(super) fn recover(
    fs: &dyn Fs,
    config: &WalConfig,
    floor: Above,
    replay: &mut dyn FnMut(u64, Bytes) -> crate::error::Result<()>,
) -> Result<(Recovery, Vec<SegmentInfo>), WalError> {
    let dir = &config.dir;
    fs.create_dir_all(dir).map_err(|e| WalError::io("create the folder", dir, e))?;
    let mut visitor = Replay { fs, dir, floor: floor.after, replay, replayed: 0, damaged: Vec::new() };
    let walked = walk::walk(fs, dir, Some(config.node_id), floor.trimmed, &mut visitor)?;
    let Replay { replayed, damaged, .. } = visitor;
    let mut torn = None;
    if let Some((segment, tail)) = &walked.tail {
        // The process may have been killed before it had synced these; from here on they count.
        segment.file.sync_all().map_err(|e| WalError::io("sync", &segment.path, e))?;
        fs.sync_dir(dir).map_err(|e| WalError::io("sync the folder", dir, e))?;
        if tail.dirty > 0 {
            let (path, offset, len) = (&segment.path, tail.offset, tail.dirty);
            tracing::warn!(
                "{len} bytes at the end of the log are no whole record (file {}, offset {offset}); \
                 this is usual after a power cut",
                path.display(),
            );
            torn = Some(Torn { segment: path.clone(), offset, len });
        }
    }
    let last_seq = walked.last_seq.max(floor.trimmed).max(config.used_seq);
    let newest = walked.segments.last().map_or(0, |segment| segment.first_seq);
    let next_seq = last_seq.max(newest).checked_add(1).ok_or_else(|| WalError::Format {
        path: dir.clone(),
        reason: "its sequences are used up; move the folder away".to_owned(),
    })?;
    let recovery = Recovery { records: walked.records, replayed, last_seq, next_seq, torn, damaged };
    Ok((recovery, walked.segments))
}

struct Replay<'a> {
    fs: &'a dyn Fs,
    dir: &'a Path,
    floor: u64,
    replay: &'a mut dyn FnMut(u64, Bytes) -> crate::error::Result<()>,
    replayed: u64,
    damaged: Vec<Damage>,
}

impl Visitor for Replay<'_> {
    fn record(&mut self, seq: u64, payload: Bytes) -> Result<(), WalError> {
        if seq > self.floor {
            (self.replay)(seq, payload)?;
            self.replayed += 1;
        }
        Ok(())
    }

    fn loss(&mut self, loss: Loss<'_>) -> Result<ControlFlow<()>, WalError> {
        let quarantine = match quarantine(self.fs, self.dir, &loss) {
            Ok(path) => path,
            Err(e) => {
                // The server must start: the bytes stay in the segment until it is trimmed.
                tracing::error!("cannot copy the damaged part of the log to quarantine: {e}");
                None
            }
        };
        let Loss { segment, offset, len, missing, acknowledged, .. } = loss;
        self.report(Damage { segment: segment.path.clone(), offset, len, missing, acknowledged, quarantine });
        Ok(ControlFlow::Continue(()))
    }

    fn gone(
        &mut self,
        next: &Segment,
        missing: RangeInclusive<u64>,
        acknowledged: bool,
    ) -> Result<ControlFlow<()>, WalError> {
        let missing = Some(missing);
        let segment = next.path.clone();
        self.report(Damage { segment, offset: 0, len: 0, missing, acknowledged, quarantine: None });
        Ok(ControlFlow::Continue(()))
    }
}

impl Replay<'_> {
    fn report(&mut self, damage: Damage) {
        let Damage { segment, offset, len, missing, acknowledged, quarantine } = &damage;
        let segment = segment.display();
        let lost = match missing {
            Some(seqs) => format!("records {} to {} at most", seqs.start(), seqs.end()),
            None => "no record".to_owned(),
        };
        let copy = match quarantine {
            Some(path) => format!("; the bytes were copied to {}", path.display()),
            None => String::new(),
        };
        if *acknowledged {
            tracing::error!("the log is damaged: file {segment}, offset {offset}, {len} bytes, lost {lost}{copy}");
        } else {
            tracing::warn!(
                "unreadable bytes in the log: file {segment}, offset {offset}, {len} bytes, lost {lost}{copy}"
            );
        }
        self.damaged.push(damage);
    }
}

/// Copies a damaged range, so that it can be looked at after the segment was trimmed; durable on return. Nothing to do
/// if it was copied at an earlier start.
fn quarantine(fs: &dyn Fs, dir: &Path, loss: &Loss<'_>) -> Result<Option<PathBuf>, WalError> {
    if loss.len == 0 {
        return Ok(None);
    }
    let dir = dir.join("quarantine");
    fs.create_dir_all(&dir).map_err(|e| WalError::io("create the folder", &dir, e))?;
    let segment = loss.segment.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let seqs = match &loss.missing {
        Some(seqs) => format!("seq{}-{}", seqs.start(), seqs.end()),
        None => "seq-none".to_owned(),
    };
    let path = dir.join(format!("{segment}-at{}-{seqs}.bin", loss.offset));
    if !fs.entry(&path).is_ok_and(|entry| entry.len == loss.len) {
        copy(fs, loss, &path).map_err(|e| WalError::io("write", &path, e))?;
    }
    fs.sync_dir(&dir).map_err(|e| WalError::io("sync the folder", &dir, e))?;
    Ok(Some(path))
}

/// A file appears under `to` only when it is whole and synced.
fn copy(fs: &dyn Fs, loss: &Loss<'_>, to: &Path) -> io::Result<()> {
    const CHUNK: u64 = 1 << 20;
    let temporary = to.with_extension("tmp");
    match fs.remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = fs.open(&temporary, OpenMode::CreateNew)?;
    let mut bytes = Vec::new();
    let mut done = 0;
    while done < loss.len {
        bytes.resize(CHUNK.min(loss.len - done) as usize, 0);
        loss.segment.file.read_exact_at(&mut bytes, loss.offset + done)?;
        file.write_all_at(&bytes, done)?;
        done += bytes.len() as u64;
    }
    file.sync_all()?;
    fs.rename(&temporary, to)
}
