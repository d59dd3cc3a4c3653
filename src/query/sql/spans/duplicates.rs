//! Rows equal in every sent field are one row in every answer: finds the copies to leave out.
//!
//! A file holds no two equal rows, nor do the log's rows; copies lie between files, and between files and log. Equal
//! rows satisfy the same predicates, so only the files that a statement reads are compared. They have equal timestamps,
//! so they lie in files of one day, but for strays: rows without a plausible timestamp lie in the day of their arrival,
//! and a copy that was sent again may lie in another. Files of different days are compared only in their strays.
//!
//! What is rare is looked at last:
//! 1. of each file `trace_low` alone, which is sorted and compresses to almost nothing: most traces lie in one file;
//! 2. of the traces that lie in more than one, the span ids;
//! 3. of equal span ids, the whole rows.

use super::StoredSpans;
use super::log::LogBatch;
use super::rows::{SelectedRows, has_nulls};
use crate::error::{Error, Result};
use crate::lake::DataFile;
use crate::lake::data_file::Damaged;
use crate::lake::spans::rows::Rows;
use crate::model::hex;
use crate::query::sql::stored::digest;
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The log among the members that are compared; files have their place in [`StoredSpans::table`]. It comes after all
/// files, so that of a file's row and the log's the log's is left out.
const LOG: usize = usize::MAX;
const MICROS_A_DAY: i64 = 86_400_000_000;

/// Rows to leave out.
#[derive(Debug, Default)]
pub struct Excluded {
    /// By the file's place in [`StoredSpans::table`], ascending places of rows.
    pub files: HashMap<usize, Vec<usize>>,
    /// Batch and row of the log.
    pub log: HashSet<(usize, usize)>,
}

/// What was found so far, for statements that read the same files more than once.
#[derive(Debug, Default)]
pub struct Duplicates(Mutex<HashMap<Vec<usize>, Arc<Excluded>>>);

impl Duplicates {
    /// The copies among `files` (places in [`StoredSpans::table`]) and the log. Blocks on the disk.
    pub fn find(&self, source: &StoredSpans, files: &[usize]) -> Result<Arc<Excluded>> {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(excluded) = found.get(files) {
            return Ok(excluded.clone());
        }
        let excluded = Arc::new(find(source, files)?);
        found.insert(files.to_vec(), excluded.clone());
        Ok(excluded)
    }
}

fn find(source: &StoredSpans, files: &[usize]) -> Result<Excluded> {
    let mut days: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for place in files {
        if let Some(file) = source.table.files.get(*place) {
            days.entry(file.info().day).or_default().push(*place);
        }
    }
    let mut excluded = Excluded::default();
    for (day, files) in &days {
        let log = log_rows(&source.log, *day)?;
        if files.len() > 1 || !log.is_empty() {
            compare(source, files, &log, Which::All, &mut excluded)?;
        }
    }
    if days.len() > 1 {
        let has_strays =
            parallel(files, |place| source.table.files.get(*place).is_some_and(|file| may_hold_strays(file)));
        let files: Vec<usize> = files.iter().zip(has_strays).filter(|(_, has)| *has).map(|(place, _)| *place).collect();
        if files.len() > 1 {
            compare(source, &files, &[], Which::Strays, &mut excluded)?;
        }
    }
    for rows in excluded.files.values_mut() {
        rows.sort_unstable();
        rows.dedup();
    }
    Ok(excluded)
}

/// Which rows of files are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    /// Those that may lie in another day than their timestamp's.
    Strays,
}

/// Whether a file may hold rows whose day is not their timestamp's: by the bounds in the table's log, else by its
/// footer.
fn may_hold_strays(file: &DataFile) -> bool {
    let day = file.info().day;
    match file.info().stats.timestamp {
        Some((least, greatest)) if lies_in(day, least) && lies_in(day, greatest) => {
            has_nulls(file, "timestamp").unwrap_or(true)
        }
        _ => true,
    }
}

fn lies_in(day: i32, micros: i64) -> bool {
    micros.div_euclid(MICROS_A_DAY) == i64::from(day)
}

/// A row of the log: its trace, batch and row.
type LogRow = (i64, usize, usize);

/// The log's rows that may have a copy in a file of that day.
fn log_rows(log: &[LogBatch], day: i32) -> Result<Vec<LogRow>> {
    let mut found = Vec::new();
    for (number, batch) in log.iter().enumerate() {
        let lows = lows_of(&batch.rows)?;
        for (row, low) in lows.values().iter().enumerate() {
            if batch.days[row] == day || !batch.day_is_own[row] {
                found.push((*low, number, row));
            }
        }
    }
    Ok(found)
}

/// Consecutive rows of one trace in one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    low: i64,
    member: usize,
    start: usize,
    len: usize,
}

/// A row that may have a copy: its trace, its span id (then also a digest of the whole row), and where it lies.
type Candidate<D> = (i64, u64, D, usize, usize);

fn compare(source: &StoredSpans, files: &[usize], log: &[LogRow], which: Which, excluded: &mut Excluded) -> Result<()> {
    let read = |place: usize| {
        source.table.files.get(place).map_or_else(Vec::new, |file| noted(source, runs(file, place, which)))
    };
    let mut all: Vec<Run> = parallel(files, |place| read(*place)).into_iter().flatten().collect();
    all.extend(log.iter().enumerate().map(|(start, (low, ..))| Run { low: *low, member: LOG, start, len: 1 }));
    // Stable, because that sort finds the sorted pieces.
    all.sort_by_key(|run| (run.low, run.member));
    let shared = in_several(&all, |run| run.low, |run| run.member);

    let by_member = group(shared, |run| run.member);
    let read = |(member, runs): &(usize, Vec<Run>)| span_ids(source, *member, runs, log);
    let ids: Vec<Result<Vec<Candidate<()>>>> = parallel(&by_member, read);
    let mut ids = ids.into_iter().collect::<Result<Vec<_>>>()?.concat();
    ids.sort_unstable();
    let candidates = in_several(&ids, |(low, id, ..)| (*low, *id), |(.., member, _)| *member);

    let by_member = group(candidates, |(.., member, _)| *member);
    let read = |(member, rows): &(usize, Vec<Candidate<()>>)| digests(source, *member, rows, log);
    let whole: Vec<Result<Vec<Candidate<u128>>>> = parallel(&by_member, read);
    let mut whole = whole.into_iter().collect::<Result<Vec<_>>>()?.concat();
    whole.sort_unstable();
    for pair in whole.windows(2) {
        let [first, (low, id, digest, member, row)] = pair else { continue };
        if (first.0, first.1, first.2) != (*low, *id, *digest) {
            continue;
        }
        if *member == LOG {
            excluded.log.extend(log.get(*row).map(|(_, batch, row)| (*batch, *row)));
        } else {
            excluded.files.entry(*member).or_default().push(*row);
        }
    }
    Ok(())
}

/// Of sorted items those whose key occurs in more than one member.
fn in_several<T: Copy, K: PartialEq>(sorted: &[T], key: impl Fn(&T) -> K, member: impl Fn(&T) -> usize) -> Vec<T> {
    let mut found = Vec::new();
    for same in sorted.chunk_by(|a, b| key(a) == key(b)) {
        if same.iter().any(|item| member(item) != member(&same[0])) {
            found.extend_from_slice(same);
        }
    }
    found
}

fn group<T>(items: Vec<T>, member: impl Fn(&T) -> usize) -> Vec<(usize, Vec<T>)> {
    let mut groups: BTreeMap<usize, Vec<T>> = BTreeMap::new();
    for item in items {
        groups.entry(member(&item)).or_default().push(item);
    }
    groups.into_iter().collect()
}

/// What was read before damage, if there is any, which is noted: the rest of the file cannot be compared, but then it
/// cannot be answered either.
fn noted<T>(source: &StoredSpans, (read, damage): (Vec<T>, Result<(), Damaged>)) -> Vec<T> {
    if let Err(damage) = damage {
        source.table.notes.add_damage(&damage);
    }
    read
}

fn lows_of(batch: &RecordBatch) -> Result<&arrow::array::Int64Array> {
    let column = batch.column_by_name("trace_low").and_then(|column| column.as_primitive_opt::<Int64Type>());
    column.ok_or_else(|| Error::damaged("rows without a bigint column trace_low"))
}

fn runs(file: &DataFile, member: usize, which: Which) -> (Vec<Run>, Result<(), Damaged>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut at = 0;
    let columns = match which {
        Which::All => &["trace_low"][..],
        Which::Strays => &["trace_low", "timestamp"][..],
    };
    let mut read = || -> Result<(), Damaged> {
        let mut rows = SelectedRows::open(file, Some(columns), None)?;
        while let Some(batch) = rows.next_batch()? {
            let lows = lows_of(&batch).map_err(|e| no_column(file, e))?;
            let timestamps = batch
                .column_by_name("timestamp")
                .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
            for (row, low) in lows.values().iter().enumerate() {
                let at_home = timestamps.is_some_and(|t| t.is_valid(row) && lies_in(file.info().day, t.value(row)));
                if which == Which::Strays && at_home {
                    at += 1;
                    continue;
                }
                match runs.last_mut() {
                    Some(run) if run.low == *low && run.start + run.len == at => run.len += 1,
                    _ => runs.push(Run { low: *low, member, start: at, len: 1 }),
                }
                at += 1;
            }
        }
        Ok(())
    };
    let read = read();
    // Traces ascend within a project only.
    if !runs.is_sorted() {
        runs.sort_unstable();
    }
    (runs, read)
}

fn no_column(file: &DataFile, error: Error) -> Damaged {
    Damaged { path: file.path().to_owned(), offset: 0, what: error.to_string() }
}

fn span_ids(source: &StoredSpans, member: usize, runs: &[Run], log: &[LogRow]) -> Result<Vec<Candidate<()>>> {
    let id_of =
        |ids: &arrow::array::StringArray, row: usize| hex::decode_u64(ids.value(row).as_bytes()).unwrap_or_default();
    if member == LOG {
        let mut found = Vec::with_capacity(runs.len());
        for run in runs {
            let Some((low, batch, row)) = log.get(run.start).copied() else { continue };
            let ids =
                source.log.get(batch).and_then(|batch| batch.rows.column_by_name("span_id")?.as_string_opt::<i32>());
            found.extend(ids.map(|ids| (low, id_of(ids, row), (), LOG, run.start)));
        }
        return Ok(found);
    }
    let Some(file) = source.table.files.get(member) else { return Ok(Vec::new()) };
    let mut runs = runs.to_vec();
    runs.sort_unstable_by_key(|run| run.start);
    let ranges: Vec<Range<usize>> = runs.iter().map(|run| run.start..run.start + run.len).collect();
    let mut places = runs.iter().flat_map(|run| (run.start..run.start + run.len).map(|row| (run.low, row)));
    let mut found = Vec::new();
    let mut read = || -> Result<(), Damaged> {
        let mut rows = SelectedRows::open(file, Some(&["span_id"]), Some(&ranges))?;
        while let Some(batch) = rows.next_batch()? {
            let ids = batch.column_by_name("span_id").and_then(|column| column.as_string_opt::<i32>());
            let ids = ids.ok_or_else(|| no_column(file, Error::damaged("there is no text column span_id")))?;
            for (row, (low, place)) in (0..ids.len()).zip(&mut places) {
                found.push((low, id_of(ids, row), (), member, place));
            }
        }
        Ok(())
    };
    let read = read();
    Ok(noted(source, (found, read)))
}

fn digests(
    source: &StoredSpans,
    member: usize,
    rows: &[Candidate<()>],
    log: &[LogRow],
) -> Result<Vec<Candidate<u128>>> {
    let mut places: Vec<(usize, i64, u64)> = rows.iter().map(|(low, id, _, _, row)| (*row, *low, *id)).collect();
    places.sort_unstable();
    let mut found = Vec::with_capacity(places.len());
    if member == LOG {
        for (place, low, id) in places {
            let Some((_, number, row)) = log.get(place).copied() else { continue };
            let Some(batch) = source.log.get(number) else { continue };
            found.push((low, id, digest_of(&rows_of(&batch.rows)?, row)?, LOG, place));
        }
        return Ok(found);
    }
    let Some(file) = source.table.files.get(member) else { return Ok(Vec::new()) };
    let ranges: Vec<Range<usize>> = places.iter().map(|(row, ..)| *row..*row + 1).collect();
    let mut places = places.into_iter();
    let mut read = || -> Result<(), Damaged> {
        let mut rows = SelectedRows::open(file, None, Some(&ranges))?;
        while let Some(batch) = rows.next_batch()? {
            let batch = rows_of(&batch).map_err(|e| no_column(file, e))?;
            for (row, (place, low, id)) in (0..batch.len()).zip(&mut places) {
                let digest = digest_of(&batch, row).map_err(|e| no_column(file, e))?;
                found.push((low, id, digest, member, place));
            }
        }
        Ok(())
    };
    let read = read();
    Ok(noted(source, (found, read)))
}

fn rows_of(batch: &RecordBatch) -> Result<Rows<'_>> {
    Rows::of(batch).map_err(|e| Error::damaged(e.to_string()))
}

/// A digest of a whole row, the scope included.
fn digest_of(rows: &Rows<'_>, row: usize) -> Result<u128> {
    let (scope, span) = (rows.scope(row), rows.span(row).map_err(|e| Error::damaged(e.to_string()))?);
    Ok(digest(&(scope, span)))
}

/// Of batches of rows, which rows have no equal one before them.
pub fn first_copies(batches: &[RecordBatch]) -> Result<Vec<Vec<bool>>> {
    let mut seen = HashSet::new();
    let mut kept = Vec::with_capacity(batches.len());
    for batch in batches {
        let rows = rows_of(batch)?;
        let keep: Result<Vec<bool>> = (0..rows.len()).map(|row| Ok(seen.insert(digest_of(&rows, row)?))).collect();
        kept.push(keep?);
    }
    Ok(kept)
}

/// Does the work for each item, on all cores, and gives the results in the order of the items.
fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(items.len());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(items.len())));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((place, item)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    items.get(place).map(|item| (place, item))
                } {
                    let result = work(item);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_one_file_is_no_candidate() {
        let items = [(1, 0), (1, 0), (2, 0), (2, 1), (3, 1)];
        assert_eq!(in_several(&items, |(key, _)| *key, |(_, member)| *member), [(2, 0), (2, 1)]);
    }
}
