//! Questions: one trace by its id, the traces that meet some conditions, the names they bear, the links between
//! services, and SQL.
//!
//! In: a [`crate::store::Snapshot`], or for offline SQL a data folder. Out: spans, names, links, or batches of rows. Rows
//! that are equal in every sent field are one span in every answer.

pub mod dependencies;
mod fetch;
pub mod names;
pub mod origin;
pub mod search;
mod sources;
pub mod sql;
pub mod trace;
