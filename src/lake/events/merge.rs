//! Merges data files of one day into sorted files of one project each, and drops what was superseded: of the resends of
//! an event the newest row stays, with the least first-seen and the greatest count of all of them. So readers, who
//! settle whatever rows they find ([`crate::model::event::settle`]), answer the same before and after.
//!
//! Resends lie apart: rows are sorted by service and last-seen. So the files are read three times:
//!
//! 1. Which events have several rows, by their hashes: 8 bytes a row in memory.
//! 2. Of these events the greatest last-seen, the least first-seen and the greatest count: up to 112 bytes an event (48
//!    in a hash table, which may be half empty and is never fuller than seven eighths).
//! 3. The rows, in order, but for those that are older than the newest of their event; those that stay are gathered
//!    column by column from the inputs.
//!
//! Of a million rows that is 8 MB where no event has two, and 64 MB where each has. Rows of one event that were last
//! seen in the same microsecond become one where they have the same place in the order; they lie apart only where they
//! disagree on namespace or service, and are left to readers, whom the file tells of it ([`super::directory::REPEATS`]).

use super::rows::{RowError, Rows, given, instant, long, text, value};
use super::schema::FILE_SCHEMA;
use super::writer::EventFileWriter;
use crate::lake::data_file::{Damaged, DataFile, FileInfo, Scan};
use crate::lake::file_writer::WriteError;
use crate::lake::merging::{BATCH_ROWS, OUTPUT_BYTES, conform, row_bytes, rows_at_a_time};
use crate::lake::spec::{UTC, by_project};
use crate::model::event::newness;
use arrow::array::{
    Array, ArrayRef, Int64Array, Int64Builder, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMicrosecondBuilder,
};
use arrow::compute;
use arrow::error::ArrowError;
use ring::digest::{Context, SHA256};
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

/// The columns that say which event a row is of.
const IDENTITY: [&str; 3] = ["project", "cluster", "uid"];
/// These, and what resends are joined by.
const EXTREMES: [&str; 6] = ["project", "cluster", "uid", "last_seen", "first_seen", "count"];

/// Why files could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("merging rows: {0}")]
    Arrow(#[from] ArrowError),
    #[error("told to stop")]
    Stopped,
}

/// Merges `inputs`, which are of one day; gives out how many rows were dropped. `create` begins the file of a number;
/// those that are complete are put into `files`, also where the merge fails later: they are then to be discarded.
///
/// # Errors
/// Also where `stopping` says so.
pub fn merge_files(
    inputs: &[Arc<DataFile>],
    create: &dyn Fn(usize) -> Result<EventFileWriter, WriteError>,
    files: &mut Vec<FileInfo>,
    stopping: &dyn Fn() -> bool,
) -> Result<u64, MergeError> {
    let settled = Settled::of(inputs, stopping)?;
    let mut merge = Merge::new(inputs, &settled)?;
    let mut open: Option<(String, EventFileWriter)> = None;
    while let Some(batch) = merge.next_batch()? {
        if stopping() {
            return Err(MergeError::Stopped);
        }
        for (project, part) in by_project(&batch) {
            if open.as_ref().is_some_and(|(current, _)| *current != project)
                && let Some((_, writer)) = open.take()
            {
                files.push(finish(writer, merge.has_repeats)?);
            }
            let (_, writer) = match &mut open {
                Some(open) => open,
                None => open.insert((project, create(files.len())?)),
            };
            writer.push_rows(&part)?;
        }
    }
    if let Some((_, writer)) = open {
        files.push(finish(writer, merge.has_repeats)?);
    }
    Ok(merge.dropped)
}

fn finish(mut writer: EventFileWriter, has_repeats: bool) -> Result<FileInfo, WriteError> {
    if has_repeats {
        writer.note_repeats();
    }
    writer.finish()
}

/// What stands for an event: half of a SHA-256. Whoever sends events chooses their uids, so with a hash that is not made
/// for it one could have the other's dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest([u64; 2]);

impl Digest {
    fn of(project: &str, cluster: &str, uid: &str) -> Digest {
        let mut context = Context::new(&SHA256);
        for text in [project, cluster, uid] {
            // With its length, so that no two lists of texts run together.
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        }
        let digest = context.finish();
        let word = |at: usize| digest.as_ref()[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Digest([word(0), word(8)])
    }

    /// Which may be the same of two events, once in 2^64.
    fn short(self) -> u64 {
        self.0[0]
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[1]);
    }
}

/// A digest needs no hashing.
#[derive(Clone, Copy, Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// An event that has several rows.
#[derive(Debug)]
struct Resent {
    extremes: Extremes,
    /// Whether one of its rows was given out.
    is_told: Cell<bool>,
}

/// What the rows of an event have in common once they are settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extremes {
    last_seen: i64,
    first_seen: i64,
    count: i64,
}

/// The events of some files that have several rows.
#[derive(Debug, Default)]
struct Settled {
    events: HashMap<Digest, Resent, BuildHasherDefault<AsItIs>>,
    /// The short digests of those that may have, sorted.
    repeated: Vec<u64>,
}

impl Settled {
    fn of(inputs: &[Arc<DataFile>], stopping: &dyn Fn() -> bool) -> Result<Settled, MergeError> {
        let rows: u64 = inputs.iter().map(|file| file.info().rows).sum();
        let mut repeated: Vec<u64> = Vec::with_capacity(usize::try_from(rows).unwrap_or_default());
        for file in inputs {
            let mut scan = file.scan(Some(&IDENTITY), BATCH_ROWS)?;
            while let Some(batch) = scan.next_batch()? {
                if stopping() {
                    return Err(MergeError::Stopped);
                }
                let identity = Identity::of(&batch).map_err(|error| damaged(file, &error))?;
                repeated.extend((0..batch.num_rows()).map(|row| identity.digest(row).short()));
            }
        }
        keep_repeated(&mut repeated);
        let mut settled = Settled { events: HashMap::default(), repeated };
        if !settled.repeated.is_empty() {
            settled.events.reserve(settled.repeated.len());
            for file in inputs {
                settled.add(file, stopping)?;
            }
        }
        Ok(settled)
    }

    fn add(&mut self, file: &DataFile, stopping: &dyn Fn() -> bool) -> Result<(), MergeError> {
        let mut scan = file.scan(Some(&EXTREMES), BATCH_ROWS)?;
        while let Some(batch) = scan.next_batch()? {
            if stopping() {
                return Err(MergeError::Stopped);
            }
            let columns = || Ok::<_, RowError>((Identity::of(&batch)?, Times::of(&batch)?));
            let (identity, times) = columns().map_err(|error| damaged(file, &error))?;
            for row in 0..batch.num_rows() {
                let digest = identity.digest(row);
                if self.repeated.binary_search(&digest.short()).is_err() {
                    continue;
                }
                let own = times.extremes(row);
                let resent = Resent { extremes: own, is_told: Cell::new(false) };
                let all = &mut self.events.entry(digest).or_insert(resent).extremes;
                all.last_seen = all.last_seen.max(own.last_seen);
                all.first_seen = all.first_seen.min(own.first_seen);
                all.count = all.count.max(own.count);
            }
        }
        Ok(())
    }

    /// The event, if it has several rows.
    fn resent(&self, digest: Digest) -> Option<&Resent> {
        self.repeated.binary_search(&digest.short()).ok()?;
        self.events.get(&digest)
    }
}

/// Leaves of each number that comes several times one, sorted.
fn keep_repeated(numbers: &mut Vec<u64>) {
    numbers.sort_unstable();
    let mut kept = 0;
    let mut start = 0;
    while start < numbers.len() {
        let number = numbers[start];
        let end = start + numbers[start..].iter().take_while(|next| **next == number).count();
        if end - start > 1 {
            numbers[kept] = number;
            kept += 1;
        }
        start = end;
    }
    numbers.truncate(kept);
    numbers.shrink_to_fit();
}

/// Rows that are no events are a fault of their file.
fn damaged(file: &DataFile, error: &dyn std::error::Error) -> MergeError {
    Damaged { path: file.path().to_owned(), offset: 0, what: error.to_string() }.into()
}

/// The columns that say which event a row is of.
struct Identity {
    project: StringArray,
    cluster: StringArray,
    uid: StringArray,
}

impl Identity {
    fn of(batch: &RecordBatch) -> Result<Identity, RowError> {
        let column = |name| Ok(without_nulls(given(text(batch, name)?, name)?, name)?.clone());
        Ok(Identity { project: column("project")?, cluster: column("cluster")?, uid: column("uid")? })
    }

    fn digest(&self, row: usize) -> Digest {
        Digest::of(self.project.value(row), self.cluster.value(row), self.uid.value(row))
    }
}

/// The columns that resends are joined by.
struct Times {
    last_seen: TimestampMicrosecondArray,
    first_seen: TimestampMicrosecondArray,
    count: Int64Array,
}

impl Times {
    fn of(batch: &RecordBatch) -> Result<Times, RowError> {
        let time = |name| Ok(without_nulls(given(instant(batch, name)?, name)?, name)?.clone());
        let count = without_nulls(given(long(batch, "count")?, "count")?, "count")?.clone();
        Ok(Times { last_seen: time("last_seen")?, first_seen: time("first_seen")?, count })
    }

    fn extremes(&self, row: usize) -> Extremes {
        Extremes {
            last_seen: self.last_seen.value(row),
            first_seen: self.first_seen.value(row),
            count: self.count.value(row),
        }
    }
}

/// The columns that rows are sorted by.
struct Keys {
    identity: Identity,
    namespace: StringArray,
    service: Option<StringArray>,
    times: Times,
}

impl Keys {
    fn of(batch: &RecordBatch) -> Result<Keys, RowError> {
        let namespace = without_nulls(given(text(batch, "namespace")?, "namespace")?, "namespace")?.clone();
        let service = text(batch, "service")?.cloned();
        Ok(Keys { identity: Identity::of(batch)?, namespace, service, times: Times::of(batch)? })
    }

    fn key(&self, row: usize) -> (&str, &str, &str, Option<&str>, i64, &str) {
        (
            self.identity.project.value(row),
            self.identity.cluster.value(row),
            self.namespace.value(row),
            value(self.service.as_ref(), row),
            self.times.last_seen.value(row),
            self.identity.uid.value(row),
        )
    }
}

fn without_nulls<'a, A: Array>(column: &'a A, name: &'static str) -> Result<&'a A, RowError> {
    if column.null_count() == 0 { Ok(column) } else { Err(RowError::null(name)) }
}

/// The rows of several files, merged.
struct Merge<'f> {
    settled: &'f Settled,
    sources: Vec<Source<'f>>,
    /// Batches that pending output rows lie in, with their keys.
    batches: Vec<Arc<Read>>,
    pending: Vec<Pending>,
    /// About how many bytes the pending rows take.
    pending_bytes: usize,
    dropped: u64,
    /// Whether several rows of an event were given out.
    has_repeats: bool,
}

struct Source<'f> {
    file: &'f DataFile,
    scan: Scan<'f>,
    /// What is being read; `None` at the end.
    current: Option<Current>,
}

/// Rows that were read.
struct Read {
    rows: RecordBatch,
    keys: Keys,
    /// About how many bytes a row takes.
    row_bytes: usize,
}

/// The batch that a source reads: its place among [`Merge::batches`], and the next row.
struct Current {
    batch: usize,
    row: usize,
}

/// A row to be given out.
#[derive(Clone, Copy)]
struct Pending {
    batch: usize,
    row: usize,
    /// Where the event has several rows.
    extremes: Option<Extremes>,
}

impl<'f> Merge<'f> {
    fn new(inputs: &'f [Arc<DataFile>], settled: &'f Settled) -> Result<Self, MergeError> {
        let (batches, pending) = (Vec::new(), Vec::new());
        let sources = Vec::new();
        let mut merge = Merge { settled, sources, batches, pending, pending_bytes: 0, dropped: 0, has_repeats: false };
        for file in inputs {
            merge.sources.push(Source { file, scan: file.scan(None, rows_at_a_time(file)?)?, current: None });
        }
        for source in 0..merge.sources.len() {
            merge.read_on(source)?;
        }
        Ok(merge)
    }

    /// The next rows, in the columns of [`FILE_SCHEMA`]; `None` after the last.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        // Two at least, since the last one waits.
        while self.pending.len() < 2 || (self.pending.len() < BATCH_ROWS && self.pending_bytes < OUTPUT_BYTES) {
            let Some(source) = self.least() else { break };
            let Some(current) = &mut self.sources[source].current else { break };
            let (batch, row) = (current.batch, current.row);
            current.row += 1;
            let is_read = current.row == self.batches[batch].rows.num_rows();
            self.take(batch, row)?;
            if is_read {
                self.read_on(source)?;
            }
        }
        self.give_out()
    }

    /// Takes a row that comes after all that were taken: it is given out, or tells nothing more.
    fn take(&mut self, batch: usize, row: usize) -> Result<(), MergeError> {
        let read = self.batches[batch].clone();
        let resent = self.settled.resent(read.keys.identity.digest(row));
        let extremes = resent.map(|resent| resent.extremes);
        let next = Pending { batch, row, extremes };
        if extremes.is_some_and(|extremes| read.keys.times.last_seen.value(row) < extremes.last_seen) {
            self.dropped += 1;
            return Ok(());
        }
        if extremes.is_some()
            && let Some(last) = self.pending.last().copied()
            && self.batches[last.batch].keys.key(last.row) == read.keys.key(row)
        {
            self.dropped += 1;
            if self.compare_newness(last, next)?.is_lt()
                && let Some(last) = self.pending.last_mut()
            {
                *last = next;
            }
            return Ok(());
        }
        // What was told before lies among the rows of another service.
        self.has_repeats |= resent.is_some_and(|resent| resent.is_told.replace(true));
        self.pending.push(next);
        self.pending_bytes += read.row_bytes;
        Ok(())
    }

    fn compare_newness(&self, a: Pending, b: Pending) -> Result<Ordering, MergeError> {
        let event = |place: Pending| Rows::of(&self.batches[place.batch].rows)?.event(place.row);
        let schema = |error: RowError| ArrowError::SchemaError(error.to_string());
        Ok(newness(&event(a).map_err(schema)?, &event(b).map_err(schema)?))
    }

    fn give_out(&mut self) -> Result<Option<RecordBatch>, MergeError> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        // The last row waits for the next turn, to be compared with what follows it.
        let more = self.sources.iter().any(|source| source.current.is_some());
        let keep = if more { self.pending.pop() } else { None };
        let inputs: Vec<&RecordBatch> = self.batches.iter().map(|read| &read.rows).collect();
        let places: Vec<(usize, usize)> = self.pending.iter().map(|place| (place.batch, place.row)).collect();
        let output = compute::interleave_record_batch(&inputs, &places)?;
        let output = with_extremes(output, &self.pending)?;
        self.pending.clear();
        self.pending.extend(keep);
        self.pending_bytes = keep.map_or(0, |place| self.batches[place.batch].row_bytes);
        self.drop_read_batches();
        Ok(Some(output))
    }

    /// Keeps only the batches that sources still read or that the pending row lies in.
    fn drop_read_batches(&mut self) {
        let mut used: Vec<usize> = self.sources.iter().filter_map(|s| s.current.as_ref().map(|c| c.batch)).collect();
        used.extend(self.pending.iter().map(|place| place.batch));
        used.sort_unstable();
        used.dedup();
        let place = |old: usize| used.binary_search(&old).unwrap_or_default();
        self.batches = used.iter().map(|batch| self.batches[*batch].clone()).collect();
        for current in self.sources.iter_mut().filter_map(|source| source.current.as_mut()) {
            current.batch = place(current.batch);
        }
        for pending in &mut self.pending {
            pending.batch = place(pending.batch);
        }
    }

    fn read_on(&mut self, source: usize) -> Result<(), MergeError> {
        let source = &mut self.sources[source];
        source.current = None;
        while let Some(rows) = source.scan.next_batch()? {
            if rows.num_rows() == 0 {
                continue;
            }
            let rows = conform(&rows, &FILE_SCHEMA).map_err(|error| damaged(source.file, &error))?;
            let keys = Keys::of(&rows).map_err(|error| damaged(source.file, &error))?;
            source.current = Some(Current { batch: self.batches.len(), row: 0 });
            let row_bytes = row_bytes(&rows);
            self.batches.push(Arc::new(Read { rows, keys, row_bytes }));
            break;
        }
        Ok(())
    }

    /// The source whose next row comes first. There are few sources, so they are simply walked.
    fn least(&self) -> Option<usize> {
        let key = |current: &Current| self.batches[current.batch].keys.key(current.row);
        let mut least: Option<(usize, &Current)> = None;
        for (number, source) in self.sources.iter().enumerate() {
            let Some(current) = &source.current else { continue };
            if least.is_none_or(|(_, best)| key(current) < key(best)) {
                least = Some((number, current));
            }
        }
        least.map(|(number, _)| number)
    }
}

/// The rows with what all resends of their events tell.
fn with_extremes(rows: RecordBatch, places: &[Pending]) -> Result<RecordBatch, MergeError> {
    if places.iter().all(|place| place.extremes.is_none()) {
        return Ok(rows);
    }
    let times = Times::of(&rows).map_err(|error| ArrowError::SchemaError(error.to_string()))?;
    let mut first_seen = TimestampMicrosecondBuilder::with_capacity(places.len()).with_timezone(UTC);
    let mut count = Int64Builder::with_capacity(places.len());
    for (row, place) in places.iter().enumerate() {
        let extremes = place.extremes.unwrap_or_else(|| times.extremes(row));
        first_seen.append_value(extremes.first_seen);
        count.append_value(extremes.count);
    }
    let mut columns = rows.columns().to_vec();
    let new: [(&str, ArrayRef); 2] =
        [("first_seen", Arc::new(first_seen.finish())), ("count", Arc::new(count.finish()))];
    for (name, column) in new {
        columns[rows.schema_ref().index_of(name)?] = column;
    }
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}

#[cfg(test)]
mod tests;
