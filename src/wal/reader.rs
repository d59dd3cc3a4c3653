//! Reads a log that another process may be writing and trimming.

use super::Above;
use super::error::WalError;
use super::recovery::Damage;
use super::walk::{self, Loss, Segment, Visitor};
use crate::fs::Fs;
use bytes::Bytes;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;

/// How a read ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadEnd {
    /// Every record above the floor that was durable when the read began was handed out, but for what is damaged.
    Complete {
        /// The last sequence that was seen, or to which the log was trimmed.
        last_seq: u64,
        records: u64,
        damaged: Vec<Damage>,
        /// Nothing was ever written to the segments that are there, if any are, though it was trimmed to a sequence that is not 0: the newest
        /// segment is never trimmed, so the log is gone, and with it all that only it held.
        log_gone: bool,
    },
    /// Records above the floor were trimmed before they were read: their owner has made them durable elsewhere
    /// meanwhile. What was handed out is to be forgotten; read the owner's new floor and try again. `missing` tells
    /// which are gone.
    Trimmed { missing: RangeInclusive<u64> },
}

/// Hands every record above `above` to `each`, in order, without changing anything. A record that is not yet durable
/// may be among the last ones. An error of the callback ends the read with [`WalError::Replay`].
///
/// With the `node_id` also a segment whose header is damaged is read; without it, it takes another segment's header to
/// know it from.
pub fn read_after(
    fs: &dyn Fs,
    dir: &Path,
    node_id: Option<[u8; 16]>,
    above: impl Into<Above>,
    each: &mut dyn FnMut(u64, &[u8]) -> crate::error::Result<()>,
) -> Result<ReadEnd, WalError> {
    let Above { after, trimmed } = above.into();
    let mut visitor = Reader { after, each, records: 0, damaged: Vec::new(), trimmed: None };
    let walked = walk::walk(fs, dir, node_id, trimmed, &mut visitor)?;
    let log_gone = trimmed > 0 && !walked.written;
    let last_seq = walked.last_seq.max(trimmed);
    let Reader { records, damaged, trimmed, .. } = visitor;
    // How far it reached is not known, but at least to where it began.
    let vanished = walked.newest_trimmed.map(|first_seq| last_seq + 1..=first_seq.max(last_seq + 1));
    Ok(match trimmed.or(vanished) {
        Some(missing) => ReadEnd::Trimmed { missing },
        None => ReadEnd::Complete { last_seq, records, damaged, log_gone },
    })
}

struct Reader<'a> {
    after: u64,
    each: &'a mut dyn FnMut(u64, &[u8]) -> crate::error::Result<()>,
    records: u64,
    damaged: Vec<Damage>,
    trimmed: Option<RangeInclusive<u64>>,
}

impl Visitor for Reader<'_> {
    fn record(&mut self, seq: u64, payload: Bytes) -> Result<(), WalError> {
        if seq > self.after {
            (self.each)(seq, &payload)?;
            self.records += 1;
        }
        Ok(())
    }

    fn loss(&mut self, loss: Loss<'_>) -> Result<ControlFlow<()>, WalError> {
        let Loss { segment, offset, len, missing, acknowledged, newest } = loss;
        if newest && !acknowledged && missing.is_some() {
            // The server is writing it.
            return Ok(ControlFlow::Break(()));
        }
        let segment = segment.path.clone();
        self.damaged.push(Damage { segment, offset, len, missing, acknowledged, quarantine: None });
        Ok(ControlFlow::Continue(()))
    }

    fn gone(
        &mut self,
        _next: &Segment,
        missing: RangeInclusive<u64>,
        _known: bool,
    ) -> Result<ControlFlow<()>, WalError> {
        self.trimmed = Some(missing);
        Ok(ControlFlow::Break(()))
    }
}
