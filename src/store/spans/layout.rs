//! Lays the spans of a memory table out as sorted data files, one a day.

use crate::codec::stored::{self, Batch, StoredError};
use crate::lake::FileInfo;
use crate::lake::file_writer::WriteError;
use crate::lake::spans::rows::RowBuilder;
use crate::lake::spans::writer::SpanFileWriter;
use crate::model::{Scope, TraceId};
use crate::store::days::{day_of, limit_days};
use crate::store::kind::FlushError;
use crate::store::target::{Target, Written};
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

/// Rows given to the Parquet writer at a time, at most.
const BATCH_ROWS: usize = 8_192;
/// Encoded bytes of the rows given to the Parquet writer at a time, about, at most.
const BATCH_BYTES: usize = 4 << 20;
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

/// Writes the spans of `batches` as files, one a day. They are durable, and part of the table only once they are committed; where
/// one cannot be written, none is left.
pub fn write(target: &Target, kept_tags: &[String], batches: &[Bytes]) -> Result<Written, FlushError> {
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
        match write_day(target, kept_tags, written.files.len(), rows, batches, &scopes) {
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
    limit_days(&mut rows, &arrivals, |row| &mut row.day, |row| arrivals[row.batch as usize]);
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

/// Begins the file of that number.
pub fn create(target: &Target, kept_tags: &[String], day: i32, number: usize) -> Result<SpanFileWriter, WriteError> {
    let name = target.free_name(day, number);
    SpanFileWriter::create(target.fs.clone(), &target.root, day, &name, target.compression, kept_tags)
}

/// Writes the file of one day; gives out how many duplicates were left out of it.
fn write_day(
    target: &Target,
    kept_tags: &[String],
    number: usize,
    rows: &[Row],
    batches: &[Bytes],
    scopes: &[&Scope<'_>],
) -> Result<(FileInfo, u64), FlushError> {
    let mut writer = create(target, kept_tags, rows.first().map_or(0, |row| row.day), number)?;
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
