//! The table `events`: the rows that collectors sent of service events.
//!
//! Invariant: the rows of a file are sorted by project, cluster, namespace, service (those of none first), last-seen, uid.

pub mod schema;

pub use schema::TABLE;
