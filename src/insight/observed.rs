//! Who calls whom, as traces show it: the links of the last [`WINDOW`], by service name. Names compare without regard to
//! case.

use crate::error::Result;
use crate::query::dependencies::{Dependency, dependencies};
use crate::stop::Stop;
use crate::store::Snapshot;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Calls so long ago count: a day, in milliseconds. Up to that links are exact.
const WINDOW: i64 = 86_400_000;
/// What was found is good for so many milliseconds.
const GOOD_FOR: i64 = 10_000;
/// Links that are kept of a project, those of most calls.
const MOST_LINKS: usize = 100_000;
/// Projects whose links are remembered.
const MOST_PROJECTS: usize = 64;

/// A service on the other side of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// In lower case.
    pub service: String,
    pub calls: u64,
    pub errors: u64,
}

/// Calls between the services of a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    callers: HashMap<String, Vec<Peer>>,
    callees: HashMap<String, Vec<Peer>>,
}

impl Observed {
    /// Links as calls; a service that calls itself is no peer of its own.
    pub fn of(mut links: Vec<Dependency>) -> Observed {
        links.retain(|link| link.parent != link.child && !link.parent.is_empty() && !link.child.is_empty());
        if links.len() > MOST_LINKS {
            links.sort_by(|a, b| b.calls.cmp(&a.calls).then_with(|| a.cmp(b)));
            links.truncate(MOST_LINKS);
        }
        links.sort();
        let mut observed = Observed::default();
        for Dependency { parent, child, calls, errors } in links {
            let caller = Peer { service: parent.clone(), calls, errors };
            observed.callers.entry(child.clone()).or_default().push(caller);
            observed.callees.entry(parent).or_default().push(Peer { service: child, calls, errors });
        }
        observed
    }

    /// Who calls a service, by name.
    pub fn callers_of(&self, name: &str) -> &[Peer] {
        self.callers.get(&name.to_lowercase()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whom a service calls, by name.
    pub fn callees_of(&self, name: &str) -> &[Peer] {
        self.callees.get(&name.to_lowercase()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// What was observed last, by project. The links of a day take a while to gather, and whoever asks for one service asks
/// for the next.
#[derive(Debug, Default)]
pub struct Observations(Mutex<HashMap<String, (i64, Arc<Observed>)>>);

impl Observations {
    /// What is remembered, if it is still good. `now` is in milliseconds since 1970 UTC.
    pub fn remembered(&self, project: &str, now: i64) -> Option<Arc<Observed>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, observed) = known.get(project)?;
        // A clock that was set back makes it anew.
        (*since..since.saturating_add(GOOD_FOR)).contains(&now).then(|| observed.clone())
    }

    /// Gathers and remembers. Blocks on the disk. Files that cannot be read are missing from it; the store has told of
    /// them.
    pub fn gather(&self, snapshot: &Snapshot, project: &str, now: i64, stop: &Stop) -> Result<Arc<Observed>> {
        let (links, _) = dependencies(snapshot, project, now, WINDOW, stop)?;
        let observed = Arc::new(Observed::of(links));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_PROJECTS && !known.contains_key(project) {
            known.clear();
        }
        known.insert(project.to_owned(), (now, observed.clone()));
        Ok(observed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(parent: &str, child: &str, calls: u64) -> Dependency {
        Dependency { parent: parent.into(), child: child.into(), calls, errors: calls / 2 }
    }

    fn names(peers: &[Peer]) -> Vec<(&str, u64, u64)> {
        peers.iter().map(|peer| (peer.service.as_str(), peer.calls, peer.errors)).collect()
    }

    #[test]
    fn both_sides_of_a_link_know_each_other_in_either_case() {
        let observed = Observed::of(vec![link("web", "cart", 4), link("till", "cart", 2), link("cart", "db", 9)]);
        assert_eq!(names(observed.callers_of("Cart")), [("till", 2, 1), ("web", 4, 2)]);
        assert_eq!(names(observed.callees_of("CART")), [("db", 9, 4)]);
        assert_eq!(names(observed.callees_of("db")), []);
        assert_eq!(names(observed.callers_of("nobody")), []);
    }

    #[test]
    fn a_service_is_no_peer_of_its_own_and_a_side_without_a_name_is_none() {
        let observed = Observed::of(vec![link("a", "a", 1), link("", "a", 1), link("a", "", 1)]);
        assert_eq!(observed, Observed::default());
    }

    #[test]
    fn of_too_many_links_those_of_most_calls_are_kept() {
        let few = link("web", "rare", 1);
        let mut links: Vec<_> = (0..MOST_LINKS).map(|n| link(&format!("s{n}"), "hub", 2)).collect();
        links.insert(0, few);
        let observed = Observed::of(links);
        assert_eq!(observed.callers_of("hub").len(), MOST_LINKS);
        assert_eq!(names(observed.callers_of("rare")), []);
    }

    #[test]
    fn what_is_remembered_is_good_for_ten_seconds_and_not_after_the_clock_was_set_back() {
        let observations = Observations::default();
        let entry = (1_000, Arc::new(Observed::default()));
        observations.0.lock().unwrap().insert("default".to_owned(), entry);
        for (now, good) in [(999, false), (1_000, true), (10_999, true), (11_000, false)] {
            assert_eq!(observations.remembered("default", now).is_some(), good, "{now}");
        }
        assert!(observations.remembered("other", 1_000).is_none());
    }
}
