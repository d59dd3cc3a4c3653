//! Lays the spans of a memory table out as sorted data files, one a day.

use crate::codec::stored::{self, Batch, StoredError};
use crate::fs::Fs;
use crate::lake::FileInfo;
use crate::lake::file_writer::{self, WriteError};
use crate::lake::spans::rows::RowBuilder;
use crate::lake::spans::writer::SpanFileWriter;
use crate::model::{Scope, TraceId};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// Rows given to the Parquet writer at a time, at most.
const BATCH_ROWS: usize = 8_192;
/// Encoded bytes of the rows given to the Parquet writer at a time, about, at most.
const BATCH_BYTES: usize = 4 << 20;
/// The most days that one flush writes files of; spans of further days go to the day of their arrival.
const MAX_DAYS: usize = 64;
const MICROS_A_DAY: i64 = 86_400_000_000;
/// 2000-01-01: a timestamp before it is a broken clock's.
const FIRST_DAY: i32 = 10_957;

/// Why a memory table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Stored(#[from] StoredError),
}

/// What was written, and what was left out.
#[derive(Debug, Default)]
pub struct Written {
    pub files: Vec<FileInfo>,
    /// Spans that were equal to another one.
    pub duplicates: u64,
}

/// A row to be written: its place in the memory table and what it is sorted by.
struct Row {
    day: i32,
    /// The place of the row's scope among the scopes in order.
    scope: u32,
    trace_id: TraceId,
    timestamp: Option<i64>,
    id: u64,
    batch: u32,
    offset: u32,
    len: u32,
}

/// The day that a span lies in: its timestamp's, if that is plausible, else its arrival's.
pub fn day_of(timestamp: Option<i64>, arrival: i64) -> i32 {
    let day = |micros: i64| micros.div_euclid(MICROS_A_DAY) as i32;
    let arrival_day = day(arrival);
    match timestamp.map(day) {
        Some(day) if (FIRST_DAY..=arrival_day.saturating_add(1)).contains(&day) => day,
        _ => arrival_day,
    }
}

/// Where files are written, and how.
#[derive(Clone, Debug)]
pub struct Target {
    pub fs: Arc<dyn Fs>,
    /// The table's folder.
    pub root: PathBuf,
    /// What the names of the files begin with.
    pub name: String,
    /// The zstd level.
    pub compression: i32,
    /// The tags of which all values are kept for people to choose from.
    pub kept_tags: Arc<[String]>,
}

impl Target {
    /// Begins the file of that number, under a name that no file has: one that a crash left may lie there, and is
    /// waiting to be deleted.
    pub fn create(&self, day: i32, number: usize) -> Result<SpanFileWriter, WriteError> {
        let mut name = format!("{}-{number}.parquet", self.name);
        let mut turn = 0;
        while self.fs.entry(&self.root.join(file_writer::path_of(day, &name))).is_ok() {
            turn += 1;
            name = format!("{}-{number}-{turn}.parquet", self.name);
        }
        SpanFileWriter::create(self.fs.clone(), &self.root, day, &name, self.compression, &self.kept_tags)
    }

    /// Removes files that are not to be committed.
    pub fn discard(&self, files: &[FileInfo]) {
        file_writer::discard(self.fs.as_ref(), &self.root, files);
    }
}

/// Writes the spans of `batches` as files, one a day. They are durable, and part of the table only once they are committed; where
/// one cannot be written, none is left.
pub fn write(target: &Target, batches: &[Bytes]) -> Result<Written, FlushError> {
    let mut scopes: BTreeMap<Scope<'_>, u32> = BTreeMap::new();
    let mut heads = Vec::with_capacity(batches.len());
    for bytes in batches {
        let batch = Batch::open(bytes)?;
        scopes.entry(batch.scope.clone()).or_default();
        heads.push(batch);
    }
    for (place, number) in scopes.values_mut().enumerate() {
        *number = place as u32;
    }
    let rows = sorted_rows(batches, heads, &scopes)?;
    let scopes: Vec<&Scope<'_>> = scopes.keys().collect();

    let mut written = Written::default();
    for rows in rows.chunk_by(|a, b| a.day == b.day) {
        match write_day(target, written.files.len(), rows, batches, &scopes) {
            Ok((file, duplicates)) => {
                written.files.push(file);
                written.duplicates += duplicates;
            }
            Err(error) => {
                target.discard(&written.files);
                return Err(error);
            }
        }
    }
    Ok(written)
}

fn sorted_rows(
    batches: &[Bytes],
    heads: Vec<Batch<'_>>,
    scopes: &BTreeMap<Scope<'_>, u32>,
) -> Result<Vec<Row>, StoredError> {
    let mut rows = Vec::with_capacity(heads.iter().map(|head| head.count).sum());
    let mut arrivals = Vec::with_capacity(heads.len());
    for (number, mut head) in heads.into_iter().enumerate() {
        arrivals.push(head.arrival);
        let scope = scopes.get(&head.scope).copied().unwrap_or_default();
        while let Some(place) = head.next_span()? {
            let (trace_id, timestamp, id) = stored::sort_key(&batches[number][place.offset..place.offset + place.len])?;
            rows.push(Row {
                day: day_of(timestamp, head.arrival),
                scope,
                trace_id,
                timestamp,
                id,
                batch: number as u32,
                offset: place.offset as u32,
                len: place.len as u32,
            });
        }
    }
    join_timeless(&mut rows);
    limit_days(&mut rows, &arrivals);
    // A scope's place sorts by project first; within a project the trace comes before cluster and namespace.
    let projects = project_numbers(scopes);
    let mut failed = None;
    rows.sort_unstable_by(|a, b| {
        let by_key = (a.day, projects[a.scope as usize])
            .cmp(&(b.day, projects[b.scope as usize]))
            .then_with(|| a.trace_id.cmp(&b.trace_id))
            .then_with(|| a.timestamp.cmp(&b.timestamp))
            .then_with(|| a.id.cmp(&b.id));
        by_key.then_with(|| match compare_whole(a, b, batches) {
            Ok(order) => order,
            Err(error) => {
                failed = Some(error);
                Ordering::Equal
            }
        })
    });
    failed.map_or(Ok(rows), Err)
}

/// Puts spans without a time of their own into the day of their trace, where others of the flush tell it: what lies in
/// one file is found by its times.
fn join_timeless(rows: &mut [Row]) {
    let is_timeless = |row: &Row| row.timestamp.is_none_or(|time| time <= 0);
    let mut days: HashMap<TraceId, Option<i32>> =
        rows.iter().filter(|row| is_timeless(row)).map(|row| (row.trace_id, None)).collect();
    if days.is_empty() {
        return;
    }
    for row in rows.iter().filter(|row| !is_timeless(row)) {
        if let Some(day) = days.get_mut(&row.trace_id) {
            *day = Some(day.map_or(row.day, |day| day.max(row.day)));
        }
    }
    for row in rows.iter_mut().filter(|row| is_timeless(row)) {
        row.day = days.get(&row.trace_id).copied().flatten().unwrap_or(row.day);
    }
}

/// The number of each scope's project.
fn project_numbers(scopes: &BTreeMap<Scope<'_>, u32>) -> Vec<u32> {
    let mut numbers = Vec::with_capacity(scopes.len());
    let mut last: Option<&str> = None;
    for scope in scopes.keys() {
        let number = match (last, numbers.last()) {
            (Some(project), Some(number)) if project == scope.project => *number,
            (_, number) => number.map_or(0, |number| number + 1),
        };
        last = Some(&scope.project);
        numbers.push(number);
    }
    numbers
}

/// Of rows with the same key, the order of the whole spans, then of their scopes, as [`crate::lake::spans::merge`] has it.
fn compare_whole(a: &Row, b: &Row, batches: &[Bytes]) -> Result<Ordering, StoredError> {
    let spans = stored::decode_span(body(a, batches))?.cmp(&stored::decode_span(body(b, batches))?);
    Ok(spans.then(a.scope.cmp(&b.scope)))
}

fn body<'a>(row: &Row, batches: &'a [Bytes]) -> &'a [u8] {
    &batches[row.batch as usize][row.offset as usize..(row.offset + row.len) as usize]
}

/// Where there are more days than a flush may write files of, keeps those with the most rows.
fn limit_days(rows: &mut [Row], arrivals: &[i64]) {
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    for row in rows.iter() {
        *counts.entry(row.day).or_default() += 1;
    }
    if counts.len() <= MAX_DAYS {
        return;
    }
    // Arrivals may be of several days themselves (a replay); they are kept first.
    let mut days: Vec<i32> = arrivals.iter().map(|arrival| day_of(None, *arrival)).collect();
    days.sort_unstable();
    days.dedup();
    days.reverse();
    let mut by_count: Vec<_> = counts.into_iter().filter(|(day, _)| !days.contains(day)).collect();
    by_count.sort_by_key(|(day, count)| (std::cmp::Reverse(*count), *day));
    days.extend(by_count.into_iter().map(|(day, _)| day));
    days.truncate(MAX_DAYS);
    let newest_arrival = arrivals.iter().map(|arrival| day_of(None, *arrival)).max().unwrap_or_default();
    for row in rows.iter_mut().filter(|row| !days.contains(&row.day)) {
        let arrival = day_of(None, arrivals[row.batch as usize]);
        row.day = if days.contains(&arrival) { arrival } else { newest_arrival };
    }
}

/// Writes the file of one day; gives out how many duplicates were left out of it.
fn write_day(
    target: &Target,
    number: usize,
    rows: &[Row],
    batches: &[Bytes],
    scopes: &[&Scope<'_>],
) -> Result<(FileInfo, u64), FlushError> {
    let mut writer = target.create(rows.first().map_or(0, |row| row.day), number)?;
    let mut builder = RowBuilder::default();
    let (mut duplicates, mut bytes) = (0, 0);
    for (number, row) in rows.iter().enumerate() {
        let body = body(row, batches);
        // The encoding is canonical: equal spans have equal bytes.
        if number > 0 && rows[number - 1].scope == row.scope && self::body(&rows[number - 1], batches) == body {
            duplicates += 1;
            continue;
        }
        let span = stored::decode_span(body)?;
        builder.push(scopes[row.scope as usize], &span);
        writer.summarise(scopes[row.scope as usize], &span)?;
        bytes += body.len();
        if builder.rows() == BATCH_ROWS || bytes >= BATCH_BYTES {
            bytes = 0;
            writer.push(&builder.finish().map_err(WriteError::from)?)?;
        }
    }
    if builder.rows() > 0 {
        writer.push(&builder.finish().map_err(WriteError::from)?)?;
    }
    Ok((writer.finish()?, duplicates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_implausible_timestamp_lies_in_the_day_of_its_arrival() {
        let arrival = 20_779 * MICROS_A_DAY + 5;
        assert_eq!(day_of(Some(20_000 * MICROS_A_DAY), arrival), 20_000);
        assert_eq!(day_of(Some(20_780 * MICROS_A_DAY), arrival), 20_780, "a clock that is ahead");
        for implausible in [None, Some(0), Some(-1), Some(20_781 * MICROS_A_DAY), Some(i64::MAX), Some(i64::MIN)] {
            assert_eq!(day_of(implausible, arrival), 20_779, "{implausible:?}");
        }
    }
}
