//! Service events as one answer: the rows of an event, wherever they lie, become the one event that they tell of.
//!
//! In: a [`Snapshot`] and a question. Out: events, each once, the newest first; or what clusters, namespaces and services
//! the events tell of.
//!
//! Invariants:
//! * rows of the same project, cluster and uid are one event: the newest of them, with the least first-seen and the
//!   greatest count of all, wherever they lie and however they were merged so far ([`crate::model::event::settle`]);
//! * whether an event answers a question is decided by that one event, never by one of its rows;
//! * work and answers are bounded: what a bound would leave out is refused, not left out.

use crate::error::{Error, Result};
use crate::model::ServiceEvent;
use crate::stop::Stop;
use crate::store::Snapshot;

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

/// The events that answer a question. Blocks.
pub fn find(_snapshot: &Snapshot, _query: &EventQuery, _stop: &Stop) -> Result<Found> {
    Err(Error::internal("not yet"))
}

/// The services that events tell of, in order: of one cluster, or of all. Blocks.
pub fn services(
    _snapshot: &Snapshot,
    _project: &str,
    _cluster: Option<&str>,
    _stop: &Stop,
) -> Result<Vec<KnownService>> {
    Err(Error::internal("not yet"))
}
