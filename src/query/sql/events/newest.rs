//! Rows of one event made one: the newest, with the least first-seen and the greatest count of all.
//!
//! Of rows as new as each other ([`newness`] says which of them counts) an answer seldom shows where
//! they differ: so they are first compared in the columns that are shown, and only where these differ are all columns
//! looked at.

use super::key::{IDENTITY, KEY};
use crate::lake::events::rows::{RowError, Rows};
use crate::lake::spec::DAY;
use crate::model::event::newness;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::internal_datafusion_err;
use datafusion::error::{DataFusionError, Result};
use std::ops::Range;

/// The columns of which no row decides alone.
pub const MERGED: [&str; 2] = ["first_seen", "count"];
/// The column that says which row is the newest.
pub const LAST_SEEN: &str = "last_seen";

/// What rows of an event are looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The columns of the answer. Gives out the events that these decide, and the keys of the others.
    Shown,
    /// All columns. Gives out the events that those of the answer do not decide.
    Whole,
}

/// Joins the rows of events, which come sorted by key.
#[derive(Debug)]
pub struct Joiner {
    look: Look,
    /// Those of the answer.
    shown: SchemaRef,
    /// The names of those in which rows as new as each other may differ.
    told: Vec<String>,
    /// Rows of the event that was not yet complete, at most two.
    tail: Option<RecordBatch>,
}

/// What was made of some rows.
#[derive(Debug, Default)]
pub struct Joined {
    /// In the columns of the answer.
    pub events: Option<RecordBatch>,
    /// The keys of events that take a look at the whole rows.
    pub undecided: Vec<i128>,
}

/// The row of an event that counts, and one as new that differs from it in what is shown.
struct Newest {
    row: usize,
    rival: Option<usize>,
    first_seen: i64,
    count: i64,
}

impl Joiner {
    /// Joins rows for an answer of these columns.
    pub fn new(look: Look, shown: SchemaRef) -> Joiner {
        let told = told(&shown);
        Joiner { look, shown, told, tail: None }
    }

    /// Takes the next rows; gives out the events that are complete.
    pub fn push(&mut self, rows: &RecordBatch) -> Result<Joined> {
        let rows = match self.tail.take() {
            Some(tail) => concat_batches(rows.schema_ref(), [&tail, rows])?,
            None => rows.clone(),
        };
        let columns = Columns::of(&rows, &self.told, self.look)?;
        let keys = columns.keys;
        let last = keys.last().map_or(0, |last| keys.partition_point(|key| key < last));
        let mut taken = Taken::default();
        let mut undecided = Vec::new();
        let mut start = 0;
        for group in keys[..last].chunk_by(|a, b| a == b) {
            let end = start + group.len();
            let newest = columns.newest(start..end)?;
            match (self.look, newest.rival) {
                (Look::Shown, None) | (Look::Whole, Some(_)) => taken.add(newest.row, &newest),
                (Look::Shown, Some(_)) => undecided.push(keys[start]),
                (Look::Whole, None) => {}
            }
            start = end;
        }
        if last < keys.len() {
            let newest = columns.newest(last..keys.len())?;
            let mut tail = Taken::default();
            tail.add(newest.row, &newest);
            newest.rival.into_iter().for_each(|rival| tail.add(rival, &newest));
            self.tail = Some(tail.of(&rows)?);
        }
        let events = if taken.rows.is_empty() { None } else { Some(self.show(&taken.of(&rows)?)?) };
        Ok(Joined { events, undecided })
    }

    /// The last event.
    pub fn finish(&mut self) -> Result<Joined> {
        let Some(tail) = self.tail.take() else { return Ok(Joined::default()) };
        let decided = tail.num_rows() == 1;
        let key = keys_of(&tail)?.first().copied();
        Ok(match (self.look, decided) {
            (Look::Shown, true) | (Look::Whole, false) => {
                Joined { events: Some(self.show(&tail.slice(0, 1))?), undecided: Vec::new() }
            }
            (Look::Shown, false) => Joined { events: None, undecided: Vec::from_iter(key) },
            (Look::Whole, true) => Joined::default(),
        })
    }

    fn show(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let column = |name: &str| {
            rows.column_by_name(name).cloned().ok_or_else(|| internal_datafusion_err!("rows of events without {name}"))
        };
        let columns = self.shown.fields().iter().map(|field| column(field.name())).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.shown.clone(), columns, &options)?)
    }
}

/// Of the columns of an answer those in which rows as new as each other may differ.
pub fn told(shown: &SchemaRef) -> Vec<String> {
    let same = |name: &str| IDENTITY.contains(&name) || MERGED.contains(&name) || name == LAST_SEEN;
    shown.fields().iter().map(|field| field.name().clone()).filter(|name| !same(name)).collect()
}

fn keys_of(rows: &RecordBatch) -> Result<&[i128]> {
    let keys = rows.column_by_name(KEY).and_then(|column| column.as_primitive_opt::<Decimal128Type>());
    Ok(keys.ok_or_else(|| internal_datafusion_err!("rows of events without a key"))?.values())
}

/// A batch of rows, to be compared.
struct Columns<'a> {
    keys: &'a [i128],
    last_seen: Option<&'a [i64]>,
    first_seen: Option<&'a [i64]>,
    count: Option<&'a [i64]>,
    told: Vec<&'a ArrayRef>,
    /// For a look at the whole rows.
    whole: Option<(Rows<'a>, Option<&'a [i32]>)>,
}

impl<'a> Columns<'a> {
    fn of(rows: &'a RecordBatch, told: &[String], look: Look) -> Result<Self> {
        let instants = |name: &str| {
            let column = rows.column_by_name(name)?.as_primitive_opt::<TimestampMicrosecondType>()?;
            Some(column.values().as_ref())
        };
        let days = rows.column_by_name(DAY).and_then(|column| column.as_primitive_opt::<Date32Type>());
        Ok(Columns {
            keys: keys_of(rows)?,
            last_seen: instants(LAST_SEEN),
            first_seen: instants("first_seen"),
            count: rows
                .column_by_name("count")
                .and_then(|c| Some(c.as_primitive_opt::<Int64Type>()?.values().as_ref())),
            told: told.iter().filter_map(|name| rows.column_by_name(name)).collect(),
            whole: match look {
                Look::Shown => None,
                Look::Whole => Some((Rows::of(rows).map_err(no_event)?, days.map(|days| days.values().as_ref()))),
            },
        })
    }

    /// What counts of rows of one event.
    fn newest(&self, rows: Range<usize>) -> Result<Newest> {
        let value = |column: Option<&[i64]>, row: usize| column.and_then(|values| values.get(row)).copied();
        let mut newest = Newest {
            row: rows.start,
            rival: None,
            first_seen: value(self.first_seen, rows.start).unwrap_or_default(),
            count: value(self.count, rows.start).unwrap_or_default(),
        };
        for row in rows.skip(1) {
            newest.first_seen = newest.first_seen.min(value(self.first_seen, row).unwrap_or_default());
            newest.count = newest.count.max(value(self.count, row).unwrap_or_default());
            let (known, seen) = (value(self.last_seen, newest.row), value(self.last_seen, row));
            if seen > known {
                (newest.row, newest.rival) = (row, None);
            } else if seen == known {
                let differs = self.differ(newest.row, row);
                if self.is_newer(row, newest.row)? {
                    if differs {
                        newest.rival = Some(newest.row);
                    }
                    newest.row = row;
                } else if differs {
                    newest.rival = Some(row);
                }
            }
        }
        Ok(newest)
    }

    /// Whether two rows differ in what is shown.
    fn differ(&self, a: usize, b: usize) -> bool {
        self.told.iter().any(|column| *column.slice(a, 1) != *column.slice(b, 1))
    }

    /// Whether the first of two rows that were last seen at the same time counts.
    fn is_newer(&self, a: usize, b: usize) -> Result<bool> {
        let Some((rows, days)) = &self.whole else { return Ok(false) };
        let (first, second) = (rows.event(a).map_err(no_event)?, rows.event(b).map_err(no_event)?);
        let day = |row: usize| days.and_then(|days| days.get(row));
        Ok(newness(&first, &second).then_with(|| day(a).cmp(&day(b))).is_gt())
    }
}

fn no_event(error: RowError) -> DataFusionError {
    DataFusionError::External(Box::new(crate::error::Error::damaged(format!("a row of events: {error}"))))
}

/// Rows that are kept, with what is known of their events.
#[derive(Debug, Default)]
struct Taken {
    rows: Vec<u32>,
    first_seen: Vec<i64>,
    count: Vec<i64>,
}

impl Taken {
    fn add(&mut self, row: usize, newest: &Newest) {
        self.rows.push(row as u32);
        self.first_seen.push(newest.first_seen);
        self.count.push(newest.count);
    }

    fn of(self, rows: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
        let kept = take_record_batch(rows, &UInt32Array::from(self.rows))?;
        let options = RecordBatchOptions::new().with_row_count(Some(kept.num_rows()));
        let (schema, mut columns, _) = kept.into_parts();
        for (field, column) in schema.fields().iter().zip(&mut columns) {
            match field.name().as_str() {
                "first_seen" => {
                    let values = TimestampMicrosecondArray::from(self.first_seen.clone());
                    *column = std::sync::Arc::new(values.with_data_type(field.data_type().clone()));
                }
                "count" => *column = std::sync::Arc::new(Int64Array::from(self.count.clone())),
                _ => {}
            }
        }
        RecordBatch::try_new_with_options(schema, columns, &options)
    }
}
