//! The lake: the open, columnar tables that flushed spans and service events lie in.
//!
//! In: sorted rows, from the store's flush and from compaction. Out: the rows of one trace or of one service (a handful
//! of page reads, no SQL plan), whole files in order for compaction, and the list of files for SQL.
//!
//! ```text
//! <data>/tables/spans/                 and tables/events/ alike
//!   _delta_log/                        the table's versions: which files are live, and which part of the write-ahead
//!     00000000000000000000.json        log they hold (an application transaction per writer)
//!     00000000000000000100.checkpoint.parquet, _last_checkpoint
//!   day=2026-11-22/<sequence>-<time>-<n>.parquet
//! ```
//!
//! Invariants:
//! * nothing is visible before it is durable: a data file, a log entry, a checkpoint is written under a temporary name,
//!   synced, linked, and its directory synced, before anything refers to it ([`objects`], [`file_writer`]);
//! * what is read of a file was checked against its checksums ([`checksums`]): damaged bytes are an error, not other spans;
//! * the rows of a file are sorted, as each table's room says ([`spans`], [`events`]);
//! * a commit of rows carries the last sequence of the write-ahead log that it holds; there is one writer at a time;
//! * a file is never changed, and is removed only when no reader of this process holds it and other engines had time.
//!
//! The tables are plain (no deletion vectors, no column mapping): whatever reads Delta tables reads it.

pub mod checksums;
pub mod data_file;
pub mod events;
pub mod file_writer;
pub mod merging;
pub mod objects;
pub mod source;
pub mod spans;
pub mod spec;
pub mod table;

pub use data_file::{DataFile, FileInfo};
pub use spec::TableSpec;
pub use table::{Table, TableError};
