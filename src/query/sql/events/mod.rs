//! The stored events as relations: their rows as they are stored, and each event once.
//!
//! In: the table's files and the log's events that are not in it yet. Out: what DataFusion reads of them.
//!
//! ```text
//! event_rows: files and log (rows)
//! events: which events may answer, by the filters -> all their rows, by a key of project, cluster and uid (key)
//!   -> sorted by it, spilling where memory is short -> neighbours joined (newest, settle)
//! ```
//!
//! Which filters may go below the joining, and how far:
//! * one on project, cluster and uid says the same of all rows of an event: it goes to the rows;
//! * one that names neither `first_seen` nor `count` is true of an event if and only if it is true of its newest row.
//!   So it finds the events that may answer; of these all rows are read, because an older one may hold the least
//!   first-seen and the greatest count, and because a row for which it is true may be an older one itself;
//! * one on `first_seen` or `count` stays above: no single row decides it.
//!
//! Invariants:
//! * rows of the same project, cluster and uid are one event, joined as [`crate::model::event::settle`] joins them,
//!   wherever they lie;
//! * what is held in memory is bounded and counted: sorts spill, and which events are meant is kept in sets of a fixed
//!   size, which may hold too many and never too few.

mod key;
pub mod log;
mod newest;
mod rows;
mod settle;
mod settled;
#[cfg(test)]
mod tests;

pub use rows::EventRows;
pub use settled::Events;

use super::stored::StoredTable;
use arrow::array::RecordBatch;
use std::sync::Arc;

/// All rows of events of a data folder.
#[derive(Debug)]
pub struct StoredEvents {
    pub table: Arc<StoredTable>,
    /// Those that are only in the log, in the columns of the table.
    pub log: Vec<RecordBatch>,
}
