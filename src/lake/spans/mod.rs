//! The table `spans`: its columns, its rows as spans of the model, how a trace is looked up, how files are written and
//! merged, and the summaries that searches go by.
//!
//! Invariant: the rows of a file are sorted by project, `trace_low`, trace id, timestamp, span id, and no two are equal.

pub mod lookup;
pub mod merge;
pub mod rows;
pub mod schema;
pub mod summary;
pub mod writer;

pub use schema::TABLE;
