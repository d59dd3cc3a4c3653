//! Service events as one answer: the rows of an event, wherever they lie, become the one event that they tell of.
//!
//! In: a [`crate::store::Snapshot`] and a question. Out: events, each once, the newest first; or what clusters, namespaces and services
//! the events tell of.
//!
//! ```text
//! seek    rows of the service in the window            memory: its rows; files: the directory, then pages of last-seen
//!         -> the events that may be meant
//! gather  all other rows of those events               memory: by key; files: the filters of uids, then pages of uids
//!         -> first seen, last seen, count of each      what is outside of the window ends here
//! read    the newest row of each that is left, whole
//! ```
//!
//! Invariants:
//! * rows of the same project, cluster and uid are one event: the newest of them, with the least first-seen and the
//!   greatest count of all, wherever they lie and however they were merged so far ([`crate::model::event::settle`]);
//! * whether an event answers a question is decided by that one event, never by one of its rows;
//! * work and answers are bounded: what a bound would leave out is refused, not left out;
//! * the lists of services are those of rows, not of events: they may name a service of which only older rows of an event
//!   tell whose newest is another's, until a merge leaves those rows out. To know better, all rows would have to be read;
//! * a file that cannot be read is named, and the answer is that of the others.

mod candidates;
mod damage;
mod find;
mod known;
mod names;

#[cfg(test)]
mod tests;

pub use find::find;
pub use known::{services, services_that};

use crate::model::ServiceEvent;

/// When events have happened, in microseconds since 1970 UTC; both ends are part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// The event was last seen then.
    LastSeen { from: i64, to: i64 },
    /// Some of the time from when it was first seen to when it was last seen is of it.
    Overlapping { from: i64, to: i64 },
}

/// What events are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    pub project: String,
    /// `None` for all.
    pub cluster: Option<String>,
    /// `None` for all.
    pub namespace: Option<String>,
    /// `None` for all, also those that belong to no service.
    pub service: Option<String>,
    pub window: Window,
}

/// The answer to a question.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Last seen first; of those seen at the same time by cluster and uid.
    pub events: Vec<ServiceEvent<'static>>,
    /// The files that could not be read.
    pub damaged: Vec<String>,
}

/// What services the events tell of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// By cluster, namespace and name; of each namespace what belongs to no service comes first.
    pub services: Vec<KnownService>,
    /// The files that could not be read: there may be services of which they alone tell.
    pub damaged: Vec<String>,
}

/// A service that events tell of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KnownService {
    pub cluster: String,
    pub namespace: String,
    /// `None` for events that belong to no service.
    pub service: Option<String>,
    /// The least and the greatest last-seen of its rows: microseconds since 1970 UTC.
    pub seen: (i64, i64),
}
