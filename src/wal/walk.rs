//! Reads a log's segments one after another, and judges what lies between and behind them. Recovery and the reader of
//! another process's log differ in what they do about it: each is a [`Visitor`].

use super::error::WalError;
use super::scan::{self, Bad, Found, Scan, Tail};
use super::segment::{self, NodeId, SegmentHeader, SegmentInfo};
use crate::fs::{File, Fs, OpenMode};
use bytes::Bytes;
use std::io;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::{Path, PathBuf};

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub first_seq: u64,
    pub path: PathBuf,
    pub file: Box<dyn File>,
    pub len: u64,
}

/// A part of the log that does not hold what it should.
#[derive(Debug)]
pub(super) struct Loss<'a> {
    pub segment: &'a Segment,
    pub offset: u64,
    pub len: u64,
    /// The sequences that may have been there.
    pub missing: Option<RangeInclusive<u64>>,
    /// At least one of them was durable once.
    pub acknowledged: bool,
    /// It lies in the newest segment, which a server may be writing.
    pub newest: bool,
}

/// What is done about the things that a walk meets. A break ends the walk.
pub(super) trait Visitor {
    fn record(&mut self, seq: u64, payload: Bytes) -> Result<(), WalError>;
    fn loss(&mut self, loss: Loss<'_>) -> Result<ControlFlow<()>, WalError>;
    /// No segment is there that could hold these sequences, which are older than `next`. They are `known` to have been
    /// durable, or `next` cannot tell.
    fn gone(&mut self, next: &Segment, missing: RangeInclusive<u64>, known: bool) -> Result<ControlFlow<()>, WalError>;
}

/// What a walk has found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The last sequence that is there, or was.
    pub last_seq: u64,
    pub records: u64,
    pub segments: Vec<SegmentInfo>,
    /// The last segment that is not blank, and where its records end.
    pub tail: Option<(Segment, Tail)>,
    /// Whether any segment was not blank.
    pub written: bool,
    /// The first sequence of the segment that was the newest when the walk began, if it was trimmed before it was
    /// opened: its owner has begun another one since.
    pub newest_trimmed: Option<u64>,
}

/// Walks over the log in `dir`. What is missing up to `floor` is no loss. Without a node id that of the first readable
/// header is taken, and another one's segments are refused.
pub(super) fn walk(
    fs: &dyn Fs,
    dir: &Path,
    node_id: Option<NodeId>,
    floor: u64,
    visitor: &mut dyn Visitor,
) -> Result<Walked, WalError> {
    let names = segment::list(fs, dir)?;
    let node_id = match node_id {
        Some(node_id) => Some(node_id),
        None => segment::owner_among(fs, dir, &names)?,
    };
    let mut walk = Walk { floor, walked: Walked::default(), visitor };
    for (i, first_seq) in names.iter().copied().enumerate() {
        // One that vanished was trimmed; the next one's header tells whether it was needed.
        let newest = i + 1 == names.len();
        let Some(segment) = open(fs, dir, first_seq)? else {
            walk.walked.tail = None;
            walk.walked.newest_trimmed = newest.then_some(first_seq);
            continue;
        };
        if walk.segment(segment, node_id, newest)?.is_break() {
            break;
        }
    }
    Ok(walk.walked)
}

struct Walk<'a> {
    floor: u64,
    walked: Walked,
    visitor: &'a mut dyn Visitor,
}

impl Walk<'_> {
    fn segment(
        &mut self,
        segment: Segment,
        node_id: Option<NodeId>,
        newest: bool,
    ) -> Result<ControlFlow<()>, WalError> {
        let first_seq = segment.first_seq;
        self.walked.segments.push(SegmentInfo { first_seq, last_seq: 0, len: segment.len });
        let mut header = SegmentHeader::read(&*segment.file, &segment.path)?;
        if header.is_none() {
            // The file was created, and then the power went: as if it were not there.
            if scan::is_blank(&*segment.file, &segment.path, segment.len)? {
                return Ok(ControlFlow::Continue(()));
            }
            // A server may have written it between the two looks.
            header = SegmentHeader::read(&*segment.file, &segment.path)?;
        }
        self.walked.written = true;
        if let (Some(header), Some(node_id)) = (header, node_id) {
            header.check_node(&node_id, &segment.path)?;
        }
        let flow = match header {
            Some(header) => self.judge_before(&segment, header.durable_before)?,
            None => self.judge_unknown(&segment, newest)?,
        };
        if flow.is_break() {
            return Ok(flow);
        }
        let Some(node_id) = node_id else {
            // No header in the whole log is readable, so nothing can be checked.
            let tail = Tail { offset: segment::HEADER_LEN as u64, dirty: segment.len };
            self.walked.tail = Some((segment, tail));
            return Ok(ControlFlow::Continue(()));
        };
        let salt = segment::salt(&node_id, first_seq);
        let mut scan = Scan::new(&*segment.file, &segment.path, segment.len, salt, self.walked.last_seq);
        let tail = loop {
            match scan.next()? {
                Found::Record { header, payload } => {
                    self.reached(header.seq);
                    self.walked.records += 1;
                    self.visitor.record(header.seq, payload)?;
                }
                Found::Bad(Bad { offset, len, first_missing, last_missing, durable_before }) => {
                    let missing = first_missing.max(self.floor + 1)..=last_missing;
                    if !missing.is_empty() {
                        let acknowledged = durable_before >= *missing.start();
                        let missing = Some(missing);
                        let loss = Loss { segment: &segment, offset, len, missing, acknowledged, newest };
                        if self.visitor.loss(loss)?.is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                    self.reached(last_missing);
                }
                Found::End(tail) => break tail,
            }
        };
        drop(scan);
        self.walked.tail = Some((segment, tail));
        Ok(ControlFlow::Continue(()))
    }

    fn reached(&mut self, seq: u64) {
        self.walked.last_seq = self.walked.last_seq.max(seq);
        if let Some(info) = self.walked.segments.last_mut() {
            info.last_seq = info.last_seq.max(seq);
        }
    }

    /// Before this segment everything up to `durable` was on disk: is it there?
    fn judge_before(&mut self, next: &Segment, durable: u64) -> Result<ControlFlow<()>, WalError> {
        let first_missing = self.walked.last_seq.max(self.floor) + 1;
        self.walked.last_seq = self.walked.last_seq.max(durable);
        let before = self.walked.tail.take();
        if first_missing > durable {
            // All is there. What else lies at the end before was never acknowledged.
            return Ok(ControlFlow::Continue(()));
        }
        let missing = first_missing..=durable;
        let Some((segment, tail)) = before else { return self.visitor.gone(next, missing, true) };
        // Its bytes are needed until what was in it is durable elsewhere.
        if let Some(info) = self.walked.segments.iter_mut().find(|info| info.first_seq == segment.first_seq) {
            info.last_seq = info.last_seq.max(durable);
        }
        let (offset, len) = (tail.offset, tail.dirty);
        let missing = Some(missing);
        self.visitor.loss(Loss { segment: &segment, offset, len, missing, acknowledged: true, newest: false })
    }

    /// This segment's header is damaged, so nothing is known of how far the log before it should reach.
    fn judge_unknown(&mut self, segment: &Segment, newest: bool) -> Result<ControlFlow<()>, WalError> {
        let first_seq = segment.first_seq;
        let first_missing = self.walked.last_seq.max(self.floor) + 1;
        let missing = (first_missing < first_seq).then(|| first_missing..=first_seq - 1);
        let flow = match (self.walked.tail.take(), missing) {
            (None, Some(missing)) => self.visitor.gone(segment, missing, false)?,
            (Some((before, tail)), missing) if tail.dirty > 0 => self.visitor.loss(Loss {
                segment: &before,
                offset: tail.offset,
                len: tail.dirty,
                missing,
                acknowledged: false,
                newest: false,
            })?,
            _ => ControlFlow::Continue(()),
        };
        if flow.is_break() {
            return Ok(flow);
        }
        let len = segment.len.min(segment::HEADER_LEN as u64);
        self.visitor.loss(Loss { segment, offset: 0, len, missing: None, acknowledged: false, newest })
    }
}

/// Opens a segment, `None` if it is no longer there.
fn open(fs: &dyn Fs, dir: &Path, first_seq: u64) -> Result<Option<Segment>, WalError> {
    let path = dir.join(segment::file_name(first_seq));
    let file = match fs.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(WalError::io("open", &path, e)),
    };
    let len = file.len().map_err(|e| WalError::io("read the length of", &path, e))?;
    Ok(Some(Segment { first_seq, path, file, len }))
}
