//! The stored spans as a relation, each once.
//!
//! In: the table's files and the log's spans that are not in it yet. Out: what DataFusion reads of them ([`provider`]),
//! without the copies of rows ([`duplicates`]), and the map of all tags ([`tags`]).
//!
//! Invariant: rows equal in every sent field are one row.

pub mod duplicates;
pub mod log;
pub mod provider;
pub mod rows;
pub mod tags;

use super::stored::StoredTable;
use log::LogBatch;
use std::sync::Arc;

/// All spans of a data folder.
#[derive(Debug)]
pub struct StoredSpans {
    pub table: Arc<StoredTable>,
    /// Those that are only in the log.
    pub log: Vec<LogBatch>,
}
