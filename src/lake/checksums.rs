//! Checksums of a data file. Parquet's own are filled in by no writer that is at hand, and without them a damaged page
//! may well decompress, to other spans than were sent.
//!
//! ```text
//! 0 ......... rows end        pages, dictionaries, bloom filters: in blocks of 16 KiB, each with a CRC-32C
//! rows end .. end of file     page indexes and footer, the tail: one CRC-32C
//! ```
//!
//! They stand in the footer's key-value metadata, under [`KEY`], where other engines pass over them:
//!
//! ```text
//! value = "crc32c-16KiB " tail:8 hex digits  rows end:16 hex digits  block:8 hex digits *
//! ```
//!
//! The tail's is of the tail with zeros for the tail's digits. A file without them, of another engine's making, is read
//! unchecked.

use crate::fs::File;
use std::io;

/// The key among the footer's metadata.
pub const KEY: &str = "spanlake.checksums";

/// What the value begins with.
const MARK: &str = "crc32c-16KiB ";

/// Small, because a lookup reads pages of a few kilobytes and must read the blocks around them whole.
pub const BLOCK: u64 = 16 * 1024;

/// Digits of a checksum.
const DIGITS: usize = 8;

/// Gathers the checksums of bytes that are written one after the other.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    sums: Vec<u32>,
    /// Bytes and checksum of the block that is not full yet.
    filled: u64,
    current: u32,
}

impl Blocks {
    /// Adds the next bytes.
    pub fn add(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = usize::try_from(BLOCK - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.current = crc32c::crc32c_append(self.current, now);
            self.filled += now.len() as u64;
            if self.filled == BLOCK {
                self.sums.push(std::mem::take(&mut self.current));
                self.filled = 0;
            }
            bytes = later;
        }
    }

    /// The value for the footer; the tail's checksum is still to be filled in by [`seal`].
    pub fn text(&self) -> String {
        let rows_end = self.sums.len() as u64 * BLOCK + self.filled;
        let last = (self.filled > 0).then_some(self.current);
        let mut text = format!("{MARK}{:08x}{rows_end:016x}", 0);
        for sum in self.sums.iter().copied().chain(last) {
            text.push_str(&format!("{sum:08x}"));
        }
        text
    }
}

/// Fills the tail's checksum in; nothing is done to a tail without a place for it.
pub fn seal(tail: &mut [u8]) {
    let Some(at) = digits_at(tail) else { return };
    let sum = format!("{:08x}", crc32c::crc32c(tail));
    tail[at..at + DIGITS].copy_from_slice(sum.as_bytes());
}

/// Where the tail's own digits lie: after the last mark, because values of rows stand before it.
fn digits_at(tail: &[u8]) -> Option<usize> {
    let mark = MARK.as_bytes();
    let at = tail.windows(mark.len()).rposition(|window| window == mark)? + mark.len();
    (at + DIGITS <= tail.len()).then_some(at)
}

/// The checksums of a file, as read from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// Where the blocks end and the tail begins.
    pub rows_end: u64,
    blocks: Vec<u32>,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    pub offset: u64,
    pub what: String,
}

impl Checksums {
    /// Reads them from a file of `len` bytes, and checks its tail; `None` where it has none.
    pub fn read(file: &dyn File, len: u64) -> Result<Option<Checksums>, Mismatch> {
        let failed = |offset: u64| move |e: io::Error| Mismatch { offset, what: e.to_string() };
        let mut end = [0; 8];
        let Some(end_at) = len.checked_sub(8) else { return Ok(None) };
        file.read_exact_at(&mut end, end_at).map_err(failed(end_at))?;
        let footer = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
        let Some(footer_at) = end_at.checked_sub(footer) else { return Ok(None) };
        let footer = read(file, footer_at, len).map_err(failed(footer_at))?;
        let Some(found) = digits_at(&footer).and_then(|at| Checksums::parse(&footer, at)) else { return Ok(None) };
        let (expected, checksums) = found;
        let rows_end = checksums.rows_end;
        if rows_end > footer_at || checksums.blocks.len() as u64 != rows_end.div_ceil(BLOCK) {
            return Err(Mismatch { offset: footer_at, what: "the checksums are not those of this file".to_owned() });
        }
        let mut tail = read(file, rows_end, len).map_err(failed(rows_end))?;
        if let Some(at) = digits_at(&tail) {
            tail[at..at + DIGITS].fill(b'0');
        }
        if crc32c::crc32c(&tail) != expected {
            return Err(Mismatch { offset: rows_end, what: "the checksum of the footer is wrong".to_owned() });
        }
        Ok(Some(checksums))
    }

    /// The tail's checksum and the others, from the place of the first.
    fn parse(footer: &[u8], at: usize) -> Option<(u32, Checksums)> {
        let digits = |from: usize, count: usize| {
            let digits = std::str::from_utf8(footer.get(from..from + count)?).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let tail = digits(at, DIGITS)?;
        let rows_end = digits(at + DIGITS, 16)?;
        let count = usize::try_from(rows_end.div_ceil(BLOCK)).ok()?;
        let first = at + DIGITS + 16;
        // What follows is the rest of the footer, so the number of blocks is known from their bytes.
        if count.checked_mul(DIGITS)? > footer.len() {
            return None;
        }
        let sums = (0..count).map(|number| digits(first + number * DIGITS, DIGITS).map(|sum| sum as u32));
        Some((tail as u32, Checksums { rows_end, blocks: sums.collect::<Option<_>>()? }))
    }

    /// The range to read where the bytes from `start` to `end` are wanted: whole blocks.
    pub fn around(&self, start: u64, end: u64) -> (u64, u64) {
        if start >= self.rows_end {
            return (start, end);
        }
        let whole = end.div_ceil(BLOCK).saturating_mul(BLOCK).min(self.rows_end);
        (start / BLOCK * BLOCK, end.max(whole))
    }

    /// Checks bytes that were read from `start`, where a block begins.
    pub fn check(&self, start: u64, bytes: &[u8]) -> Result<(), Mismatch> {
        if start >= self.rows_end {
            return Ok(());
        }
        let rows = usize::try_from(self.rows_end - start).unwrap_or(usize::MAX).min(bytes.len());
        let first = usize::try_from(start / BLOCK).unwrap_or(usize::MAX);
        for (number, block) in bytes[..rows].chunks(BLOCK as usize).enumerate() {
            if self.blocks.get(first + number) != Some(&crc32c::crc32c(block)) {
                let offset = start + number as u64 * BLOCK;
                return Err(Mismatch { offset, what: "the checksum of these bytes is wrong".to_owned() });
            }
        }
        Ok(())
    }
}

fn read(file: &dyn File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let len = usize::try_from(to - from).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}
