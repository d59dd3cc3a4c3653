//! A tenant's items in memory.

use super::FIRST;
use super::item::{Item, Status};
use super::query::{Query, canonical};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What changes in a tenant's items. Each but the last kind moves the image's counter on; it is the last kind that
/// writes it.
#[derive(Clone, Debug)]
pub(in crate::registry) enum Change {
    /// Puts an item in the place of the one of the same id.
    Put {
        item: Arc<Item>,
        /// None where it is the one that lies in the database.
        value: Option<Arc<str>>,
        /// The status of the one that was there.
        was: Option<Status>,
    },
    Drop {
        item: Arc<Item>,
        revision: i64,
    },
    /// The counter: comes behind the changes of a plan, and first where all is read.
    Revision(i64),
}

impl Change {
    /// Bytes of the value that it brings.
    pub(in crate::registry) fn weight(&self) -> usize {
        match self {
            Change::Put { value: Some(value), .. } => value.len(),
            _ => 0,
        }
    }

    pub(super) fn revision(&self) -> i64 {
        match self {
            Change::Put { item, .. } => item.update_revision,
            Change::Drop { revision, .. } | Change::Revision(revision) => *revision,
        }
    }
}

/// How much there is of all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::registry) struct Totals {
    pub(in crate::registry) items: usize,
    /// Of values.
    pub(in crate::registry) bytes: u64,
    /// Tenants that have a counter.
    pub(in crate::registry) tenants: usize,
}

/// One tenant's items.
#[derive(Debug)]
pub(in crate::registry) struct Items {
    pub(super) revision: i64,
    by_id: BTreeMap<Arc<str>, Arc<Item>>,
    by_labels: HashMap<String, BTreeSet<Arc<str>>>,
}

impl Default for Items {
    fn default() -> Self {
        Items { revision: FIRST, by_id: BTreeMap::new(), by_labels: HashMap::new() }
    }
}

impl Items {
    /// A tenant that had any keeps its counter.
    pub(in crate::registry) fn never_had_any(&self) -> bool {
        self.revision == FIRST && self.by_id.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Item>> {
        self.by_id.get(id)
    }

    pub(in crate::registry) fn apply(&mut self, change: &Change, totals: &mut Totals) {
        let fresh = self.never_had_any();
        self.revision = self.revision.max(change.revision());
        match change {
            Change::Put { item, .. } => {
                self.remove(&item.id, totals);
                let id: Arc<str> = item.id.as_str().into();
                self.by_labels.entry(canonical(&item.labels)).or_default().insert(id.clone());
                self.by_id.insert(id, item.clone());
                totals.items += 1;
                totals.bytes += item.length as u64;
            }
            Change::Drop { item, .. } => self.remove(&item.id, totals),
            Change::Revision(_) => {}
        }
        totals.tenants += usize::from(fresh && !self.never_had_any());
    }

    fn remove(&mut self, id: &str, totals: &mut Totals) {
        let Some(old) = self.by_id.remove(id) else { return };
        totals.items -= 1;
        totals.bytes -= old.length as u64;
        let labels = canonical(&old.labels);
        if let Some(ids) = self.by_labels.get_mut(&labels) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_labels.remove(&labels);
            }
        }
    }

    /// The items that are meant, as far as can be said without their values: the greatest priority first, then the
    /// newest.
    pub(super) fn select(&self, query: &Query) -> Vec<Arc<Item>> {
        let mut found: Vec<Arc<Item>> = if query.exact {
            let ids = self.by_labels.get(&canonical(&query.labels)).into_iter().flatten();
            ids.filter_map(|id| self.by_id.get(id)).filter(|item| query.matches(item)).cloned().collect()
        } else {
            self.by_id.values().filter(|item| query.matches(item)).cloned().collect()
        };
        found.sort_unstable_by_key(|item| Reverse((item.priority, item.update_revision)));
        found
    }
}
