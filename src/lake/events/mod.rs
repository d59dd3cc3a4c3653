//! The table `events`: its columns, its rows as service events of the model, how files are written, and the directory
//! that says which rows of a file are of which service.
//!
//! A row is what a collector told of an event once. Rows of one project, cluster and uid are resends of one event, and
//! may lie in several files: readers settle them ([`crate::model::event::settle`]), and merging files leaves of them what
//! they settle to.
//!
//! Invariant: the rows of a file are sorted by project, cluster, namespace, service (those of none first), last-seen, uid.

pub mod directory;
pub mod lookup;
pub mod merge;
pub mod rows;
pub mod schema;
pub mod writer;

pub use schema::TABLE;
