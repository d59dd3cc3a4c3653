//! The names that searches are made of: services, their spans' names, their peers, values of tags.
//!
//! They come from the summaries of all files and of memory, so they are there as long as a file that has them, and cost no
//! look at a span.

use super::sources::Sources;
use crate::error::Result;
use crate::lake::summary::{MOST_NAMES, NameKind, NameList};
use crate::store::Snapshot;

/// Distinct names, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// As sent, sorted by bytes. A dialect that does not regard case folds them.
    pub names: Vec<String>,
    /// How many more there are than are kept (10,000 of a kind and owner), at most: a name that several files leave out
    /// counts in each.
    pub overflow: u64,
    /// Files that could not be read: their names are missing.
    pub damaged: Vec<String>,
}

/// Local services.
pub fn services(snapshot: &Snapshot, project: &str) -> Result<Names> {
    names(snapshot, project, NameKind::Service, "")
}

/// The span names of a local service, given in lower case.
pub fn span_names(snapshot: &Snapshot, project: &str, service: &str) -> Result<Names> {
    names(snapshot, project, NameKind::Span, service)
}

/// The remote services of a local service, given in lower case.
pub fn remote_services(snapshot: &Snapshot, project: &str, service: &str) -> Result<Names> {
    names(snapshot, project, NameKind::Remote, service)
}

/// The values of a tag: of one that the settings name, or that has few.
pub fn tag_values(snapshot: &Snapshot, project: &str, key: &str) -> Result<Names> {
    names(snapshot, project, NameKind::TagValue, key)
}

/// The names of a kind and owner.
pub fn names(snapshot: &Snapshot, project: &str, kind: NameKind, owner: &str) -> Result<Names> {
    let mut sources = Sources::of(snapshot, None)?;
    let mut list = NameList::default();
    sources.each(snapshot, |source| source.summary.names(kind, project, owner, &mut list));
    let more = list.names.len().saturating_sub(MOST_NAMES);
    Ok(Names {
        overflow: list.overflow.saturating_add(more as u64),
        names: list.names.into_iter().take(MOST_NAMES).collect(),
        damaged: sources.damaged,
    })
}
