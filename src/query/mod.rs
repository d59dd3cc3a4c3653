//! Questions: one trace by its id, and SQL.
//!
//! In: a [`crate::store::Snapshot`], or for offline SQL a data folder. Out: spans, or batches of rows. Rows that are
//! equal in every sent field are one span in every answer.

pub mod sql;
pub mod trace;
