//! The traces of a data file: a row each, in the file's order (project, then low half of the id).
//!
//! ```text
//! lows     per project: first, then the differences in a Golomb-Rice code (random ids: 53 of 64 bits at 6,000 traces)
//! counts   varint                      newest   bytes of one weight together, the highest first
//! reaches  varint, newest - earliest
//! ```
//!
//! Times are milliseconds, as windows are: two bytes a trace less than microseconds, and those who ask know which are in
//! doubt. They lie in no order, so what they take is the logarithm of the file's length in time; compressed by weight
//! they take no more than that, and one trace of another century spoils nothing.

use super::bits::{BitReader, BitWriter, rice_width};
use super::blob::{Blob, Blobs};
use crate::codec::pack::{Fault, Reader, put_varint};
use bytes::Bytes;
use std::ops::Range;

/// Spans of the rows that a rare token names together: a page's worth, so that looking at one costs a page.
const BLOCK_SPANS: u64 = 2_048;

/// A trace, or what of it lies in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// The low half of the id.
    pub low: u64,
    /// Spans.
    pub count: u32,
    /// When the earliest and the newest span began, of those that say: full milliseconds since 1970 UTC.
    pub times: Option<(i64, i64)>,
}

impl TraceRow {
    pub fn new(low: u64) -> Self {
        TraceRow { low, count: 0, times: None }
    }

    /// Counts a span of that time in microseconds. Times of 0 and less are as good as none.
    pub fn add(&mut self, timestamp: Option<i64>) {
        self.count = self.count.saturating_add(1);
        let Some(time) = timestamp.filter(|time| *time > 0).map(|time| time / 1_000) else { return };
        self.times = Some(self.times.map_or((time, time), |(least, most)| (least.min(time), most.max(time))));
    }

    /// Adds what another place has of the trace.
    pub fn join(&mut self, other: &TraceRow) {
        self.count = self.count.saturating_add(other.count);
        self.times = match (self.times, other.times) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
    }
}

/// The traces of one place. `lows` of each project are sorted as the table sorts them: as signed numbers.
#[derive(Debug, Default)]
pub struct TraceTable {
    rows: Vec<TraceRow>,
    /// The first row of each block that rare tokens name.
    blocks: Vec<u32>,
}

/// Where the columns lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceColumns {
    lows: Blob,
    counts: Blob,
    newest: Blob,
    reaches: Blob,
}

impl TraceTable {
    pub fn new(rows: Vec<TraceRow>) -> Self {
        let mut blocks = Vec::new();
        let mut spans = BLOCK_SPANS;
        for (number, row) in rows.iter().enumerate() {
            if spans >= BLOCK_SPANS {
                spans = 0;
                blocks.push(number as u32);
            }
            spans += u64::from(row.count);
        }
        TraceTable { rows, blocks }
    }

    pub fn rows(&self) -> &[TraceRow] {
        &self.rows
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The block that a row lies in.
    pub fn block_of(&self, row: u32) -> u32 {
        self.blocks.partition_point(|first| *first <= row).saturating_sub(1) as u32
    }

    /// The rows of a block.
    pub fn block_rows(&self, block: u32) -> Range<u32> {
        let end = self.rows.len() as u32;
        let first = self.blocks.get(block as usize).copied().unwrap_or(end);
        first..self.blocks.get(block as usize + 1).copied().unwrap_or(end)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        self.rows.len() * size_of::<TraceRow>() + self.blocks.len() * size_of::<u32>()
    }

    /// Writes the table; `projects` are the first rows of each.
    pub fn encode(&self, projects: &[u32], blobs: &mut Blobs) -> TraceColumns {
        let mut lows = BitWriter::default();
        for (number, first) in projects.iter().enumerate() {
            let end = projects.get(number + 1).map_or(self.rows.len(), |next| *next as usize);
            encode_lows(&self.rows[*first as usize..end], &mut lows);
        }
        let (mut counts, mut reaches) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let (earliest, newest) = row.times.map_or((0, 0), |(earliest, newest)| (earliest + 1, newest + 1));
            put_varint(&mut counts, u64::from(row.count));
            put_varint(&mut reaches, newest.wrapping_sub(earliest) as u64);
        }
        let mut newest = Vec::with_capacity(8 * self.rows.len());
        for weight in 0..8 {
            newest.extend(
                self.rows.iter().map(|row| row.times.map_or(0, |(_, newest)| newest + 1).to_be_bytes()[weight]),
            );
        }
        TraceColumns {
            lows: blobs.put_raw(&lows.finish()),
            counts: blobs.put(&counts),
            newest: blobs.put(&newest),
            reaches: blobs.put(&reaches),
        }
    }
}

fn encode_lows(rows: &[TraceRow], out: &mut BitWriter) {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
    let mean = last.low.wrapping_sub(first.low) / rows.len() as u64;
    let width = rice_width(mean);
    out.put(u64::from(width), 6);
    out.put(first.low, 64);
    for pair in rows.windows(2) {
        out.put_rice(pair[1].low.wrapping_sub(pair[0].low), width);
    }
}

impl TraceColumns {
    pub fn encode(&self, out: &mut Vec<u8>) {
        for blob in [&self.lows, &self.counts, &self.newest, &self.reaches] {
            blob.encode(out);
        }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut blob = || Blob::decode(reader);
        Ok(TraceColumns { lows: blob()?, counts: blob()?, newest: blob()?, reaches: blob()? })
    }

    /// Reads the table of so many rows; `projects` are the first rows of each.
    pub fn read<E: From<Fault>>(
        &self,
        count: usize,
        projects: &[u32],
        mut read: impl FnMut(&Blob) -> Result<Bytes, E>,
    ) -> Result<TraceTable, E> {
        let (lows, counts, newest) = (read(&self.lows)?, read(&self.counts)?, read(&self.newest)?);
        let reaches = read(&self.reaches)?;
        if newest.len() != 8 * count || counts.len() < count {
            return Err(Fault { what: "columns of another length than announced", at: self.newest.offset }.into());
        }
        let mut rows = Vec::with_capacity(count);
        let mut lows = BitReader::new(&lows);
        for (number, first) in projects.iter().enumerate() {
            let end = projects.get(number + 1).map_or(count, |next| *next as usize);
            decode_lows(end.saturating_sub(*first as usize), &mut lows, &mut rows)?;
        }
        if rows.len() != count {
            return Err(Fault { what: "another number of traces than announced", at: self.lows.offset }.into());
        }
        let (mut counts, mut reaches) = (Reader::new(&counts), Reader::new(&reaches));
        for (number, row) in rows.iter_mut().enumerate() {
            // 0 for none, else one more than the time.
            let newest = (0..8).fold(0, |time, weight| time << 8 | i64::from(newest[weight * count + number]));
            let earliest = newest.wrapping_sub(reaches.varint()? as i64);
            row.count = counts.varint()? as u32;
            row.times = (newest > 0).then_some((earliest.wrapping_sub(1), newest - 1));
        }
        Ok(TraceTable::new(rows))
    }
}

fn decode_lows(count: usize, bits: &mut BitReader<'_>, rows: &mut Vec<TraceRow>) -> Result<(), Fault> {
    if count == 0 {
        return Ok(());
    }
    let width = bits.take(6)? as u32;
    let mut low = bits.take(64)?;
    rows.push(TraceRow::new(low));
    for _ in 1..count {
        low = low.wrapping_add(bits.take_rice(width)?);
        rows.push(TraceRow::new(low));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows() -> impl Strategy<Value = Vec<TraceRow>> {
        let times = proptest::option::of((0i64..i64::MAX, 0i64..i64::MAX));
        let row = (any::<u32>(), times);
        proptest::collection::btree_map(any::<i64>(), row, 0..60).prop_map(|rows| {
            let row = |(low, (count, times)): (i64, (u32, Option<(i64, i64)>))| {
                let times = times.map(|(a, b)| (a.min(b), a.max(b)));
                TraceRow { low: low as u64, count, times }
            };
            rows.into_iter().map(row).collect()
        })
    }

    proptest! {
        #[test]
        fn a_table_is_read_as_it_was_written(parts in proptest::collection::vec(rows(), 0..4)) {
            let mut projects = Vec::new();
            let mut all = Vec::new();
            for part in parts {
                projects.push(all.len() as u32);
                all.extend(part);
            }
            let table = TraceTable::new(all.clone());
            let mut blobs = Blobs::default();
            let columns = table.encode(&projects, &mut blobs);
            let mut encoded = Vec::new();
            columns.encode(&mut encoded);
            let bytes = blobs.finish();
            let columns = TraceColumns::decode(&mut Reader::new(&encoded)).unwrap();
            let read = columns.read(all.len(), &projects, |blob| blob.open(&bytes[blob.range()])).unwrap();
            prop_assert_eq!(read.rows(), &all[..]);
        }
    }

    #[test]
    fn a_time_of_nothing_or_less_is_none() {
        let mut row = TraceRow::new(1);
        [None, Some(0), Some(-5)].into_iter().for_each(|time| row.add(time));
        assert_eq!(row, TraceRow { count: 3, ..TraceRow::new(1) });
        [Some(7_999), Some(3_000)].into_iter().for_each(|time| row.add(time));
        assert_eq!(row.times, Some((3, 7)));
    }

    #[test]
    fn each_row_lies_in_one_block_of_about_a_page() {
        let row = |low, count| TraceRow { low, count, times: None };
        let table = TraceTable::new((0..1_000).map(|low| row(low, 1 + (low % 90) as u32)).collect());
        let mut next = 0;
        for block in 0..table.blocks() as u32 {
            let rows = table.block_rows(block);
            assert_eq!(rows.start, next);
            next = rows.end;
            assert!(rows.clone().all(|row| table.block_of(row) == block));
            let spans: u64 = rows.map(|row| u64::from(table.rows()[row as usize].count)).sum();
            assert!(spans < BLOCK_SPANS + 90 && (spans >= BLOCK_SPANS || next == 1_000), "{spans}");
        }
        assert_eq!(next, 1_000);
        assert!(table.block_rows(table.blocks() as u32).is_empty());
    }
}
