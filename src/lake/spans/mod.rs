//! The table `spans`: its columns, its rows as spans of the model, how its files are merged, and the summaries that
//! searches go by.
//!
//! Invariant: the rows of a file are sorted by project, `trace_low`, trace id, timestamp, span id, and no two are equal.

pub mod merge;
pub mod rows;
pub mod schema;
pub mod summary;
