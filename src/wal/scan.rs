//! Reads the records of one segment, in order and one at a time, and finds its way on after a bad one.

use super::error::WalError;
use super::record::{self, RecordHeader};
use super::segment;
use crate::fs::File;
use bytes::Bytes;
use std::io;
use std::path::Path;

/// Bytes that are read at once.
const WINDOW: u64 = 256 << 10;

/// What comes next in a segment.
#[derive(Debug)]
pub(super) enum Found {
    Record {
        header: RecordHeader,
        payload: Bytes,
    },
    /// No record where one should be, but another one further on.
    Bad(Bad),
    /// No record from here on.
    End(Tail),
}

/// A range of a segment that holds no valid record, with valid ones before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad {
    pub offset: u64,
    pub len: u64,
    /// The sequences between the valid records around it; some of them may never have been written.
    pub first_missing: u64,
    pub last_missing: u64,
    /// What was durable when the record after it was written: a missing one up to there is no unfinished write.
    pub durable_before: u64,
}

/// The end of a segment's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub offset: u64,
    /// Bytes from there to the last one that is not zero.
    pub dirty: u64,
}

/// What is at a place.
enum At {
    Record(RecordHeader, Bytes),
    /// The header is given if it alone is right.
    Bad(Option<RecordHeader>),
}

/// A reader of one segment.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    window: Window<'a>,
    salt: u64,
    pos: u64,
    /// Only records above this sequence are valid.
    last: u64,
}

impl<'a> Scan<'a> {
    pub fn new(file: &'a dyn File, path: &'a Path, len: u64, salt: u64, last: u64) -> Self {
        let window = Window { file, path, len, start: 0, bytes: Vec::new() };
        Scan { window, salt, pos: segment::HEADER_LEN as u64, last }
    }

    pub fn next(&mut self) -> Result<Found, WalError> {
        let header = match self.record_at(self.pos)? {
            At::Record(header, payload) => return Ok(self.accept(header, payload)),
            At::Bad(header) => header,
        };
        let dirty_end = self.window.last_nonzero(self.pos)?;
        let tail = Tail { offset: self.pos, dirty: dirty_end - self.pos };
        // A right header tells where its record ends; else the next one may begin anywhere.
        let from = header.map_or(self.pos + record::ALIGN as u64, |header| self.pos.saturating_add(header.size()));
        let Some((at, next)) = self.search(from, dirty_end)? else { return Ok(Found::End(tail)) };
        // While a server writes on, what was read first may be older than what was found after it: look again.
        self.window.forget();
        if let At::Record(header, payload) = self.record_at(self.pos)? {
            return Ok(self.accept(header, payload));
        }
        let bad = Bad {
            offset: self.pos,
            len: at - self.pos,
            first_missing: self.last + 1,
            last_missing: next.seq - 1,
            durable_before: next.durable_before(),
        };
        self.pos = at;
        Ok(Found::Bad(bad))
    }

    fn accept(&mut self, header: RecordHeader, payload: Bytes) -> Found {
        self.pos += header.size();
        self.last = header.seq;
        Found::Record { header, payload }
    }

    fn record_at(&mut self, at: u64) -> Result<At, WalError> {
        let Some(bytes) = self.window.bytes(at, record::HEADER_LEN as u64)? else { return Ok(At::Bad(None)) };
        let Some(header) = bytes.first_chunk().and_then(|bytes| RecordHeader::decode(bytes, self.salt)) else {
            return Ok(At::Bad(None));
        };
        if header.seq <= self.last {
            return Ok(At::Bad(Some(header)));
        }
        // The length is checked: by its own checksum, and by the segment's end before anything is allocated for it.
        let Some(payload) = self.window.take(at + record::HEADER_LEN as u64, u64::from(header.len))? else {
            return Ok(At::Bad(Some(header)));
        };
        if header.fits(&payload, self.salt) { Ok(At::Record(header, payload)) } else { Ok(At::Bad(Some(header))) }
    }

    /// The first valid record that begins in `from..until`.
    fn search(&mut self, mut from: u64, until: u64) -> Result<Option<(u64, RecordHeader)>, WalError> {
        const STEP: u64 = record::ALIGN as u64;
        while from < until {
            let len = WINDOW.min(self.window.len.saturating_sub(from));
            let Some(bytes) = self.window.bytes(from, len)? else { return Ok(None) };
            let places = bytes.windows(record::HEADER_LEN).step_by(record::ALIGN);
            let candidate = places.zip(0u64..).find_map(|(bytes, i)| {
                // The sequence is looked at before the checksum, which costs more.
                let seq = bytes[8..].first_chunk().map_or(0, |seq| u64::from_le_bytes(*seq));
                let header = if seq > self.last { RecordHeader::decode(bytes.first_chunk()?, self.salt) } else { None };
                header.is_some().then_some(from + i * STEP)
            });
            match candidate {
                Some(at) => {
                    if let At::Record(header, _) = self.record_at(at)? {
                        return Ok(Some((at, header)));
                    }
                    from = at + STEP;
                }
                None if len < WINDOW => return Ok(None),
                // The last places of the window had too few bytes behind them to be looked at.
                None => from += (WINDOW - record::HEADER_LEN as u64 + 1).next_multiple_of(STEP),
            }
        }
        Ok(None)
    }
}

/// The bytes of a file around the place that is read.
#[derive(Debug)]
struct Window<'a> {
    file: &'a dyn File,
    path: &'a Path,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `n` bytes (at most [`WINDOW`]) at `at`, `None` if the file ends before.
    fn bytes(&mut self, at: u64, n: u64) -> Result<Option<&[u8]>, WalError> {
        let Some(end) = at.checked_add(n).filter(|end| *end <= self.len) else { return Ok(None) };
        if at < self.start || end > self.start + self.bytes.len() as u64 {
            let want = WINDOW.min(self.len - at);
            self.start = at;
            self.bytes.resize(want as usize, 0);
            if !read(self.file, self.path, &mut self.bytes, at)? {
                self.forget();
                return Ok(None);
            }
        }
        let from = (at - self.start) as usize;
        Ok(self.bytes.get(from..from + n as usize))
    }

    /// `n` bytes at `at` for keeps, `None` if the file ends before.
    fn take(&mut self, at: u64, n: u64) -> Result<Option<Bytes>, WalError> {
        if n <= WINDOW {
            return Ok(self.bytes(at, n)?.map(Bytes::copy_from_slice));
        }
        if at.checked_add(n).is_none_or(|end| end > self.len) {
            return Ok(None);
        }
        let mut bytes = vec![0; n as usize];
        Ok(read(self.file, self.path, &mut bytes, at)?.then(|| bytes.into()))
    }

    /// The place after the last byte from `from` on that is not zero; `from` if there is none.
    fn last_nonzero(&mut self, from: u64) -> Result<u64, WalError> {
        let mut end = self.len;
        while end > from {
            let start = end.saturating_sub(WINDOW).max(from);
            let Some(bytes) = self.bytes(start, end - start)? else { return Ok(from) };
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                return Ok(start + last as u64 + 1);
            }
            end = start;
        }
        Ok(from)
    }

    fn forget(&mut self) {
        self.bytes.clear();
    }
}

/// Fills `bytes`; false if the file ends before (a server has cut it back meanwhile).
fn read(file: &dyn File, path: &Path, bytes: &mut [u8], at: u64) -> Result<bool, WalError> {
    match file.read_exact_at(bytes, at) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(WalError::io("read", path, e)),
    }
}

/// Whether a file holds nothing but zeros.
pub(super) fn is_blank(file: &dyn File, path: &Path, len: u64) -> Result<bool, WalError> {
    let mut window = Window { file, path, len, start: 0, bytes: Vec::new() };
    Ok(window.last_nonzero(0)? == 0)
}
