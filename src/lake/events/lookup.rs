//! Events in a data file, by a handful of page reads.
//!
//! The file's directory says which rows are a service's; they are sorted by when they were last seen, so that of a window
//! only the pages are read that may have rows of it. Where else an event has rows its uid tells: by the filter of each row
//! group, and on a hit by the uids of the same service's own rows, since an event seldom moves; only then by those of all
//! rows of its cluster. What an event is beside that is read last, of the rows alone that are asked for.

use super::directory::{self, Directory, Entry};
use super::rows::Rows;
use crate::lake::data_file::{Damaged, DataFile, Loaded, guard};
use crate::lake::spec::timestamp_type;
use crate::model::ServiceEvent;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::RowSelection;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use parquet::errors::ParquetError;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::SchemaDescriptor;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

/// What is read of a row before it is known to be wanted.
const TOLD: [&str; 4] = ["last_seen", "first_seen", "count", "uid"];

/// Bytes of rows that are read at a time, about: a message may have many.
const BATCH_BYTES: usize = 1 << 20;
/// Rows that are read at a time: of whole events, and of [`TOLD`] at least and at most.
const BATCH_ROWS: usize = 1_024;
const TOLD_ROWS: (usize, usize) = (512, 8_192);

/// What a row tells of its event's times: microseconds since 1970 UTC, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub first_seen: i64,
    pub last_seen: i64,
    pub count: i64,
}

/// A row of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From the file's first row.
    pub row: u64,
    /// The number of its entry in the directory.
    pub entry: usize,
    pub told: Told,
}

/// An event that is looked for, and the service under which it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'q> {
    pub cluster: &'q str,
    pub uid: &'q str,
    pub namespace: &'q str,
    pub service: Option<&'q str>,
}

/// A data file whose rows are looked up.
#[derive(Debug)]
pub struct Lookup<'f> {
    file: &'f DataFile,
    loaded: &'f Loaded,
    directory: Arc<Directory>,
    groups: Vec<Group>,
    /// Whether the file was written here: then its rows are sorted.
    is_own: bool,
}

/// A row group.
#[derive(Clone, Debug)]
struct Group {
    rows: Range<u64>,
    /// The least first-seen of its rows; `None` where it is not known.
    first_seen: Option<i64>,
}

/// Rows of an entry of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stretch {
    rows: Range<u64>,
    entry: usize,
}

impl<'f> Lookup<'f> {
    pub fn open(file: &'f DataFile) -> Result<Self, Damaged> {
        let directory = Directory::of_file(file)?;
        let loaded = file.load()?;
        let columns = loaded.metadata().file_metadata().schema_descr();
        let first_seen = time_column(columns, "first_seen");
        let mut groups = Vec::new();
        let mut start = 0;
        for (number, group) in loaded.metadata().row_groups().iter().enumerate() {
            let end = start + loaded.rows(number) as u64;
            let statistics = first_seen.and_then(|column| group.columns().get(column)?.statistics());
            let first_seen = match statistics {
                Some(Statistics::Int64(statistics)) => statistics.min_opt().copied(),
                _ => None,
            };
            groups.push(Group { rows: start..end, first_seen });
            start = end;
        }
        let is_own = loaded.value(directory::KEY).is_some();
        Ok(Lookup { file, loaded, directory, groups, is_own })
    }

    pub fn entries(&self) -> &[Entry] {
        self.directory.entries()
    }

    /// Whether each event has one row in the file: what was found need not be looked for again.
    pub fn has_each_once(&self) -> bool {
        self.is_own && self.loaded.value(directory::REPEATS).is_none()
    }

    /// The numbers of a project's entries: of a cluster, a namespace and a service, or of all.
    pub fn entries_of(
        &self,
        project: &str,
        cluster: Option<&str>,
        namespace: Option<&str>,
        service: Option<&str>,
    ) -> Vec<usize> {
        let entries = self.entries();
        let mut range = 0..entries.len();
        if self.is_own {
            // As far as what is asked is what they are sorted by.
            range = narrow(entries, range, |entry| (*entry.project).cmp(project));
            if let Some(cluster) = cluster {
                range = narrow(entries, range, |entry| (*entry.cluster).cmp(cluster));
                if let Some(namespace) = namespace {
                    range = narrow(entries, range, |entry| (*entry.namespace).cmp(namespace));
                    if let Some(service) = service {
                        range = narrow(entries, range, |entry| entry.service.as_deref().cmp(&Some(service)));
                    }
                }
            }
        }
        let is_meant = |number: &usize| {
            let Some(entry) = entries.get(*number) else { return false };
            *entry.project == *project
                && cluster.is_none_or(|cluster| *entry.cluster == *cluster)
                && namespace.is_none_or(|namespace| *entry.namespace == *namespace)
                && service.is_none_or(|service| entry.service.as_deref() == Some(service))
        };
        range.filter(is_meant).collect()
    }

    /// Gives the rows of some entries, in order, that were last seen between two times, both included, with their uids,
    /// until it is told to stop.
    pub fn seen_between(
        &self,
        entries: &[usize],
        (from, to): (i64, i64),
        each: &mut dyn FnMut(Place, &str) -> ControlFlow<()>,
    ) -> Result<(), Damaged> {
        let all = self.entries();
        let may_have = |entry: &Entry| entry.seen.1 >= from && entry.seen.0 <= to;
        let entries: Vec<usize> =
            entries.iter().copied().filter(|entry| all.get(*entry).is_some_and(may_have)).collect();
        for (number, group) in self.groups.iter().enumerate() {
            let stretches = self.within(group, entries.iter().copied());
            let stretches = match self.pages_seen_between(number, from, to) {
                Some(pages) => cut(&stretches, &pages),
                None => stretches,
            };
            let mut each_seen = |place: Place, uid: &str| match (from..=to).contains(&place.told.last_seen) {
                true => each(place, uid),
                false => ControlFlow::Continue(()),
            };
            if self.read_told(number, &stretches, &mut each_seen)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Whether the file may have a row that tells a first-seen of `until` or before.
    pub fn may_be_early(&self, until: i64) -> bool {
        self.groups.iter().any(|group| group.first_seen.is_none_or(|first_seen| first_seen <= until))
    }

    /// Whether the file may have a row of an event with this uid that tells a first-seen of `until` or before.
    pub fn may_hold(&self, uid: &str, until: i64) -> bool {
        let filters = self.loaded.filters.iter();
        self.groups.iter().zip(filters).any(|(group, filter)| {
            let is_early = group.first_seen.is_none_or(|first_seen| first_seen <= until);
            is_early && filter.as_ref().is_none_or(|filter| filter.check(uid))
        })
    }

    /// Gives the rows of a project's events, in no order, each with the number of its event.
    pub fn rows_of(
        &self,
        project: &str,
        wanted: &[Wanted<'_>],
        each: &mut dyn FnMut(usize, Place),
    ) -> Result<(), Damaged> {
        let mut is_found = vec![false; wanted.len()];
        let once = self.has_each_once();
        for (number, filter) in self.loaded.filters.iter().enumerate() {
            let Some(group) = self.groups.get(number) else { break };
            let may_be = |event: &usize| {
                !(once && is_found[*event]) && filter.as_ref().is_none_or(|filter| filter.check(wanted[*event].uid))
            };
            let mut hits: Vec<usize> = (0..wanted.len()).filter(may_be).collect();
            if hits.is_empty() {
                continue;
            }
            // Where they were seen already, else anywhere in their cluster.
            let near = self.near(group, project, hits.iter().map(|event| wanted[*event]));
            self.rows_among(number, &near, wanted, &mut hits, &mut is_found, each)?;
            if once {
                hits.retain(|event| !is_found[*event]);
            }
            if !hits.is_empty() {
                let clusters = self.clusters(group, project, hits.iter().map(|event| wanted[*event].cluster));
                // Few of them are there, if any: their other columns are read of the rows alone that are.
                let far = self.with_uids(number, &without(clusters, &near), wanted, &mut hits)?;
                self.rows_among(number, &far, wanted, &mut hits, &mut is_found, each)?;
            }
        }
        Ok(())
    }

    /// Gives whole rows, which are sorted, until it is told to stop.
    pub fn events(
        &self,
        rows: &[u64],
        each: &mut dyn FnMut(u64, ServiceEvent<'_>) -> ControlFlow<()>,
    ) -> Result<(), Damaged> {
        for (number, group) in self.groups.iter().enumerate() {
            let start = rows.partition_point(|row| *row < group.rows.start);
            let end = rows.partition_point(|row| *row < group.rows.end);
            let mine = rows.get(start..end).unwrap_or_default();
            let ranges = ranges_of(mine, group.rows.start);
            if ranges.is_empty() {
                continue;
            }
            let batch_rows = BATCH_BYTES / self.loaded.row_bytes(number, &ranges).max(1);
            let mask = self.loaded.given(number);
            let mut numbers = mine.iter();
            let read = self.read(number, ranges, mask, batch_rows.clamp(1, BATCH_ROWS), &mut |batch| {
                let batch = Rows::of(batch).map_err(|error| ParquetError::General(error.to_string()))?;
                for (row, number) in (0..batch.len()).zip(&mut numbers) {
                    let event = batch.event(row).map_err(|error| ParquetError::General(error.to_string()))?;
                    if each(*number, event).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            })?;
            if read.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The rows of the same services as some events.
    fn near<'q>(&self, group: &Group, project: &str, wanted: impl Iterator<Item = Wanted<'q>>) -> Vec<Stretch> {
        let mut keys: Vec<_> = wanted.map(|event| (project, event.cluster, event.namespace, event.service)).collect();
        keys.sort_unstable();
        keys.dedup();
        let entries = self.entries();
        if self.is_own {
            let place = |key: &Key<'_>| entries.binary_search_by(|entry| key_of(entry).cmp(key)).ok();
            return self.within(group, keys.iter().filter_map(place));
        }
        let is_near = |number: &usize| keys.binary_search(&key_of(&entries[*number])).is_ok();
        self.within(group, (0..entries.len()).filter(is_near))
    }

    /// The rows of some clusters.
    fn clusters<'q>(&self, group: &Group, project: &str, clusters: impl Iterator<Item = &'q str>) -> Vec<Stretch> {
        let mut clusters: Vec<&str> = clusters.collect();
        clusters.sort_unstable();
        clusters.dedup();
        let of_cluster = |cluster: &str| self.entries_of(project, Some(cluster), None, None);
        let mut entries: Vec<usize> = clusters.into_iter().flat_map(of_cluster).collect();
        entries.sort_unstable();
        self.within(group, entries.into_iter())
    }

    /// The rows of entries, which are in order, that lie in a row group.
    fn within(&self, group: &Group, entries: impl Iterator<Item = usize>) -> Vec<Stretch> {
        let all = self.entries();
        let stretch = |entry: usize| {
            let Entry { first_row, rows, .. } = all.get(entry)?;
            let start = group.rows.start.max(*first_row);
            let end = group.rows.end.min(first_row.saturating_add(*rows));
            (start < end).then_some(Stretch { rows: start..end, entry })
        };
        entries.filter_map(stretch).collect()
    }

    /// The pages of a row group that may have rows last seen between two times, as ranges of the file's rows; `None` where
    /// the file does not tell.
    fn pages_seen_between(&self, group: usize, from: i64, to: i64) -> Option<Vec<Range<u64>>> {
        let metadata = self.loaded.metadata();
        let column = time_column(metadata.file_metadata().schema_descr(), "last_seen")?;
        let ColumnIndexMetaData::INT64(index) = metadata.column_index()?.get(group)?.get(column)? else {
            return None;
        };
        let pages = metadata.offset_index()?.get(group)?.get(column)?.page_locations();
        let rows = &self.groups.get(group)?.rows;
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for (number, (least, greatest)) in index.min_values().iter().zip(index.max_values()).enumerate() {
            if *greatest < from || *least > to {
                continue;
            }
            let start = rows.start + u64::try_from(pages.get(number)?.first_row_index).ok()?;
            let end = match pages.get(number + 1) {
                Some(next) => rows.start + u64::try_from(next.first_row_index).ok()?,
                None => rows.end,
            };
            match ranges.last_mut() {
                Some(range) if range.end == start => range.end = end,
                _ => ranges.push(start..end),
            }
        }
        Some(ranges)
    }

    /// Those of the stretches' rows whose uid is that of one of the events `hits`.
    fn with_uids(
        &self,
        group: usize,
        stretches: &[Stretch],
        wanted: &[Wanted<'_>],
        hits: &mut [usize],
    ) -> Result<Vec<Stretch>, Damaged> {
        hits.sort_unstable_by_key(|event| wanted[*event].uid);
        let mut found: Vec<Stretch> = Vec::new();
        let mut places = places(stretches);
        let read = self.read_stretches(group, stretches, &["uid"], &mut |batch| {
            let uids = text(batch, "uid")?;
            for (at, (row, entry)) in (0..batch.num_rows()).zip(&mut places) {
                if hits.binary_search_by(|event| wanted[*event].uid.cmp(uids.value(at))).is_ok() {
                    found.push(Stretch { rows: row..row + 1, entry });
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        read.map(|_| found)
    }

    /// Gives those of the stretches' rows that are of the events `hits`.
    fn rows_among(
        &self,
        group: usize,
        stretches: &[Stretch],
        wanted: &[Wanted<'_>],
        hits: &mut [usize],
        is_found: &mut [bool],
        each: &mut dyn FnMut(usize, Place),
    ) -> Result<(), Damaged> {
        hits.sort_unstable_by_key(|event| wanted[*event].uid);
        let entries = self.entries();
        let read = self.read_told(group, stretches, &mut |place, uid| {
            let first = hits.partition_point(|event| wanted[*event].uid < uid);
            let same = hits[first..].iter().take_while(|event| wanted[**event].uid == uid);
            for event in same.copied() {
                if entries.get(place.entry).is_some_and(|entry| &*entry.cluster == wanted[event].cluster) {
                    is_found[event] = true;
                    each(event, place);
                }
            }
            ControlFlow::Continue(())
        });
        read.map(|_| ())
    }

    /// Gives the rows of a row group's stretches, in order, with their uids.
    fn read_told(
        &self,
        group: usize,
        stretches: &[Stretch],
        each: &mut dyn FnMut(Place, &str) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Damaged> {
        let mut places = places(stretches);
        self.read_stretches(group, stretches, &TOLD, &mut |batch| {
            let columns = Columns::of(batch)?;
            for (at, (row, entry)) in (0..batch.num_rows()).zip(&mut places) {
                let told = Told {
                    first_seen: columns.first_seen.value(at),
                    last_seen: columns.last_seen.value(at),
                    count: columns.count.value(at),
                };
                if each(Place { row, entry, told }, columns.uid.value(at)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Reads small columns of a row group's stretches, batch by batch.
    fn read_stretches(
        &self,
        group: usize,
        stretches: &[Stretch],
        columns: &[&str],
        each: &mut dyn FnMut(&RecordBatch) -> Result<ControlFlow<()>, ParquetError>,
    ) -> Result<ControlFlow<()>, Damaged> {
        let start = self.groups.get(group).map_or(0, |group| group.rows.start);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for stretch in stretches {
            let (from, to) = ((stretch.rows.start - start) as usize, (stretch.rows.end - start) as usize);
            match ranges.last_mut() {
                Some(range) if range.end == from => range.end = to,
                _ => ranges.push(from..to),
            }
        }
        if ranges.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let batch_rows = BATCH_BYTES / self.loaded.row_bytes(group, &ranges).max(1);
        let batch_rows = batch_rows.clamp(TOLD_ROWS.0, TOLD_ROWS.1);
        let schema = self.loaded.metadata().file_metadata().schema_descr();
        let mask = ProjectionMask::columns(schema, columns.iter().copied());
        self.read(group, ranges, mask, batch_rows, each)
    }

    /// Reads ranges of a row group's rows, batch by batch.
    fn read(
        &self,
        group: usize,
        ranges: Vec<Range<usize>>,
        mask: ProjectionMask,
        batch_rows: usize,
        each: &mut dyn FnMut(&RecordBatch) -> Result<ControlFlow<()>, ParquetError>,
    ) -> Result<ControlFlow<()>, Damaged> {
        let damaged = |error| self.file.damaged(self.loaded, error);
        let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), self.loaded.rows(group));
        let reader = guard(|| self.loaded.reader(group, Some(selection), mask, batch_rows));
        let mut reader = reader.map_err(damaged)?;
        loop {
            let batch = guard(|| reader.next().transpose().map_err(ParquetError::from)).map_err(damaged)?;
            let Some(batch) = batch else { return Ok(ControlFlow::Continue(())) };
            if each(&batch).map_err(damaged)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}

/// The columns of [`TOLD`].
struct Columns {
    last_seen: TimestampMicrosecondArray,
    first_seen: TimestampMicrosecondArray,
    count: Int64Array,
    uid: StringArray,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Columns, ArrowError> {
        let time = |name: &str| {
            column(batch, name, &timestamp_type()).map(|c| c.as_primitive::<TimestampMicrosecondType>().clone())
        };
        Ok(Columns {
            last_seen: time("last_seen")?,
            first_seen: time("first_seen")?,
            count: column(batch, "count", &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
            uid: text(batch, "uid")?,
        })
    }
}

/// The place of a column of times in microseconds. Other engines write other units: what bounds such a column has, nothing
/// is passed over by them.
fn time_column(columns: &SchemaDescriptor, name: &str) -> Option<usize> {
    let place = columns.columns().iter().position(|column| column.path().string() == name)?;
    let column = columns.columns().get(place)?;
    let is_in_micros = match column.logical_type_ref() {
        Some(LogicalType::Timestamp(time)) => time.unit == TimeUnit::MICROS,
        Some(_) => false,
        None => column.converted_type() == ConvertedType::TIMESTAMP_MICROS,
    };
    is_in_micros.then_some(place)
}

/// A column without nulls.
fn column(batch: &RecordBatch, name: &str, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let column = batch.column_by_name(name);
    let column = column.ok_or_else(|| ArrowError::SchemaError(format!("there is no column {name}")))?;
    let column = match column.data_type() == data_type {
        true => column.clone(),
        // Other engines write the same in other types.
        false => compute::cast(column, data_type)?,
    };
    match column.null_count() {
        0 => Ok(column),
        _ => Err(ArrowError::SchemaError(format!("the column {name} has nulls"))),
    }
}

fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, ArrowError> {
    Ok(column(batch, name, &DataType::Utf8)?.as_string::<i32>().clone())
}

/// The rows of stretches, each with the number of its entry.
fn places(stretches: &[Stretch]) -> impl Iterator<Item = (u64, usize)> {
    stretches.iter().flat_map(|stretch| stretch.rows.clone().map(|row| (row, stretch.entry)))
}

/// What entries are sorted by.
type Key<'q> = (&'q str, &'q str, &'q str, Option<&'q str>);

fn key_of(entry: &Entry) -> Key<'_> {
    (&entry.project, &entry.cluster, &entry.namespace, entry.service.as_deref())
}

/// The part of a range of entries, which are in order, that compares as equal.
fn narrow(entries: &[Entry], range: Range<usize>, compare: impl Fn(&Entry) -> std::cmp::Ordering) -> Range<usize> {
    let part = entries.get(range.clone()).unwrap_or_default();
    let start = part.partition_point(|entry| compare(entry).is_lt());
    let end = part.partition_point(|entry| compare(entry).is_le());
    range.start + start..range.start + end
}

/// The parts of stretches that lie in some ranges; both are in order.
fn cut(stretches: &[Stretch], ranges: &[Range<u64>]) -> Vec<Stretch> {
    let mut parts = Vec::new();
    for stretch in stretches {
        let first = ranges.partition_point(|range| range.end <= stretch.rows.start);
        for range in ranges.iter().skip(first).take_while(|range| range.start < stretch.rows.end) {
            let rows = stretch.rows.start.max(range.start)..stretch.rows.end.min(range.end);
            parts.push(Stretch { rows, entry: stretch.entry });
        }
    }
    parts
}

/// The stretches that are none of `others`: both are whole entries, in order.
fn without(stretches: Vec<Stretch>, others: &[Stretch]) -> Vec<Stretch> {
    let is_other = |stretch: &Stretch| others.binary_search_by_key(&stretch.entry, |other| other.entry).is_ok();
    stretches.into_iter().filter(|stretch| !is_other(stretch)).collect()
}

/// Rows of the file, which are sorted, as ranges of a row group that begins at `start`.
fn ranges_of(rows: &[u64], start: u64) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for row in rows {
        let at = (row - start) as usize;
        match ranges.last_mut() {
            Some(range) if range.end == at => range.end += 1,
            _ => ranges.push(at..at + 1),
        }
    }
    ranges
}

#[cfg(test)]
mod tests;
