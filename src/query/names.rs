//! The names that searches are made of: services, their spans' names, their peers, values of tags; of the ATS API groups,
//! applications, instances and transactions.
//!
//! They come from the summaries of all files and of memory, so they are there as long as a file that has them, and cost no
//! look at a span.

use super::sources::Sources;
use crate::error::Result;
use crate::lake::spans::summary::hash::lower;
use crate::lake::spans::summary::{MOST_NAMES, NameKind, NameList, owner_of};
use crate::stop::Stop;
use crate::store::Snapshot;
use std::collections::HashSet;

/// Groups that are looked through where none is given.
const MOST_GROUPS: usize = 1_000;

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

impl Names {
    /// What is missing, in words: files that could not be read, names that are not kept.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = self.damaged.clone();
        if self.overflow > 0 {
            missing.push(format!("{} names more than are kept", self.overflow));
        }
        missing
    }
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

/// The groups of applications.
pub fn groups(snapshot: &Snapshot, project: &str) -> Result<Names> {
    names(snapshot, project, NameKind::Group, "")
}

/// The applications of a group, or of all.
pub fn applications(snapshot: &Snapshot, project: &str, group: Option<&str>, stop: &Stop) -> Result<Names> {
    of_groups(snapshot, project, NameKind::Application, group, stop, str::to_owned)
}

/// The instances of an application, given in lower case, in a group or in all.
pub fn instances(
    snapshot: &Snapshot,
    project: &str,
    group: Option<&str>,
    application: &str,
    stop: &Stop,
) -> Result<Names> {
    of_groups(snapshot, project, NameKind::Instance, group, stop, |group| owner_of(group, application))
}

/// The transactions of an application, given in lower case, in a group or in all.
pub fn transactions(
    snapshot: &Snapshot,
    project: &str,
    group: Option<&str>,
    application: &str,
    stop: &Stop,
) -> Result<Names> {
    of_groups(snapshot, project, NameKind::Transaction, group, stop, |group| owner_of(group, application))
}

/// The names of a kind in a group, or in all together; `owner` makes the owner of a group's.
fn of_groups(
    snapshot: &Snapshot,
    project: &str,
    kind: NameKind,
    group: Option<&str>,
    stop: &Stop,
    owner: impl Fn(&str) -> String,
) -> Result<Names> {
    let mut sources = Sources::of(snapshot, None)?;
    let mut groups = NameList::default();
    match group {
        Some(group) => {
            groups.names.insert(group.to_owned());
        }
        None => {
            sources.each(snapshot, |source| source.summary.names(NameKind::Group, project, "", &mut groups));
        }
    }
    let mut list = NameList::default();
    for group in groups.names.iter().take(MOST_GROUPS) {
        stop.check()?;
        let owner = owner(group);
        sources.each(snapshot, |source| source.summary.names(kind, project, &owner, &mut list));
        cut(&mut list);
    }
    let more = groups.overflow.saturating_add(groups.names.len().saturating_sub(MOST_GROUPS) as u64);
    Ok(Names {
        overflow: list.overflow.saturating_add(more),
        names: list.names.into_iter().collect(),
        damaged: sources.damaged,
    })
}

/// The names of a kind and owner.
pub fn names(snapshot: &Snapshot, project: &str, kind: NameKind, owner: &str) -> Result<Names> {
    let mut sources = Sources::of(snapshot, None)?;
    let mut list = NameList::default();
    sources.each(snapshot, |source| source.summary.names(kind, project, owner, &mut list));
    cut(&mut list);
    Ok(Names { overflow: list.overflow, names: list.names.into_iter().collect(), damaged: sources.damaged })
}

/// Leaves out what is more than the limit, and counts it. Forms of a name that differ in case alone are one.
fn cut(list: &mut NameList) {
    let mut folded = HashSet::new();
    let before = list.names.len();
    list.names.retain(|name| {
        let form = lower(name).into_owned();
        folded.contains(&form) || (folded.len() < MOST_NAMES && folded.insert(form))
    });
    list.overflow = list.overflow.saturating_add((before - list.names.len()) as u64);
}
