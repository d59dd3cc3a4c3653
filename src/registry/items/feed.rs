//! What changed of late, and who waits for it. Only what is on disk comes here.
//!
//! Each tenant has the last changes of its items, as many as there is room for all tenants together: the oldest of all
//! goes first. Of what is older nothing is known, so that it counts as changed.

use super::super::change::{self, What};
use super::super::service::Tenant;
use super::super::state::State;
use super::FIRST;
use super::item::{Item, Status};
use super::query::Query;
use super::state::Change;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Changes that are remembered. Each holds an item without its value.
const MOST_REMEMBERED: usize = 10_000;

/// The feed.
#[derive(Debug)]
pub(in crate::registry) struct Feed {
    inner: Mutex<Inner>,
    most_waiting: usize,
    most_remembered: usize,
}

#[derive(Debug, Default)]
struct Inner {
    topics: HashMap<Tenant, Topic>,
    /// The tenant of each change that is remembered, the oldest first.
    order: VecDeque<Tenant>,
    waiting: HashMap<Tenant, HashMap<u64, Waiter>>,
    /// Who waits now.
    count: usize,
    /// Numbers those who wait.
    next: u64,
    /// Nobody waits any more.
    closed: bool,
}

/// What is known of one tenant.
#[derive(Debug)]
struct Topic {
    revision: i64,
    /// Every change after this one is remembered.
    floor: i64,
    recent: VecDeque<Touched>,
}

/// One change.
#[derive(Debug)]
struct Touched {
    revision: i64,
    item: Arc<Item>,
    /// What it was before, where that is not what the item says.
    was: Option<Status>,
}

#[derive(Debug)]
struct Waiter {
    query: Query,
    wake: oneshot::Sender<()>,
}

/// What comes of asking for the next change.
#[derive(Debug)]
pub enum Watch<'f> {
    /// It is there already.
    Changed,
    Waiting(Waiting<'f>),
    /// As many as may wait do.
    Full,
}

/// A place among those who wait, given back when dropped.
#[derive(Debug)]
pub struct Waiting<'f> {
    feed: &'f Feed,
    tenant: Tenant,
    number: u64,
    woken: oneshot::Receiver<()>,
}

impl Waiting<'_> {
    /// Returns once something that is meant has changed, or false once the server is to stop.
    pub async fn changed(&mut self) -> bool {
        (&mut self.woken).await.is_ok()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut inner = self.feed.lock();
        inner.leave(&self.tenant, self.number);
    }
}

impl Touched {
    fn concerns(&self, query: &Query) -> bool {
        let status = |wanted: Status| wanted == self.item.status || Some(wanted) == self.was;
        query.status.is_none_or(status) && query.names(&self.item)
    }
}

impl Topic {
    /// Whether something that is meant may have changed after a revision.
    fn changed(&self, query: &Query, after: i64) -> bool {
        // One that was never given out is of another database: nothing is known of it.
        if after < self.floor || after > self.revision {
            return true;
        }
        self.recent.iter().rev().take_while(|touched| touched.revision > after).any(|touched| touched.concerns(query))
    }
}

impl Inner {
    fn changed(&self, tenant: &Tenant, query: &Query, after: i64) -> bool {
        match self.topics.get(tenant) {
            Some(topic) => topic.changed(query, after),
            None => after != FIRST,
        }
    }

    fn leave(&mut self, tenant: &Tenant, number: u64) {
        if let Some(waiters) = self.waiting.get_mut(tenant) {
            if waiters.remove(&number).is_some() {
                self.count -= 1;
            }
            if waiters.is_empty() {
                self.waiting.remove(tenant);
            }
        }
    }

    /// Wakes those of a tenant's who pass. Each gives its place back itself.
    fn wake(&mut self, tenant: &Tenant, mut whom: impl FnMut(&Query) -> bool) {
        let Some(waiters) = self.waiting.get_mut(tenant) else { return };
        let woken: Vec<u64> =
            waiters.iter().filter(|(_, waiter)| whom(&waiter.query)).map(|(number, _)| *number).collect();
        for waiter in woken.iter().filter_map(|number| waiters.remove(number)) {
            self.count -= 1;
            // The client may be gone.
            let _ = waiter.wake.send(());
        }
        if waiters.is_empty() {
            self.waiting.remove(tenant);
        }
    }
}

fn revision(topics: &HashMap<Tenant, Topic>, tenant: &Tenant) -> i64 {
    topics.get(tenant).map_or(FIRST, |topic| topic.revision)
}

impl Feed {
    pub(in crate::registry) fn new(most_waiting: usize) -> Feed {
        Feed { inner: Mutex::default(), most_waiting, most_remembered: MOST_REMEMBERED }
    }

    #[cfg(test)]
    pub(super) fn with_room_for(most_remembered: usize) -> Feed {
        Feed { most_remembered, ..Feed::new(100) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of changes that have come to disk, in their order.
    pub(in crate::registry) fn tell(&self, changes: &[change::Change]) {
        let of_items = |change: &change::Change| matches!(change.what, What::Item(_));
        if !changes.iter().any(of_items) {
            return;
        }
        let mut inner = self.lock();
        for change in changes {
            if let What::Item(what) = &change.what {
                self.put(&mut inner, &change.tenant, what);
            }
        }
    }

    fn put(&self, inner: &mut Inner, tenant: &Tenant, change: &Change) {
        let revision = change.revision();
        let touched = match change {
            Change::Put { item, was, .. } => Touched { revision, item: item.clone(), was: *was },
            Change::Drop { item, .. } => Touched { revision, item: item.clone(), was: None },
            Change::Revision(_) => return,
        };
        inner.wake(tenant, |query| touched.concerns(query));
        let fresh = || Topic { revision: FIRST, floor: FIRST, recent: VecDeque::new() };
        let topic = inner.topics.entry(tenant.clone()).or_insert_with(fresh);
        topic.revision = revision;
        topic.recent.push_back(touched);
        inner.order.push_back(tenant.clone());
        while inner.order.len() > self.most_remembered
            && let Some(oldest) = inner.order.pop_front()
        {
            let topic = inner.topics.get_mut(&oldest);
            if let Some((topic, forgotten)) = topic.and_then(|topic| topic.recent.pop_front().map(|old| (topic, old))) {
                topic.floor = forgotten.revision;
            }
        }
    }

    /// Takes over what was read from the database: at the start, and after a commit of which nothing is known.
    pub(in crate::registry) fn renew(&self, state: &State) {
        let mut inner = self.lock();
        let with_items = state.tenants.iter().filter(|(_, tenant)| !tenant.items.never_had_any());
        let mut topics: HashMap<Tenant, Topic> = HashMap::new();
        for (name, tenant) in with_items {
            let revision = tenant.items.revision;
            topics.insert(name.clone(), Topic { revision, floor: revision, recent: VecDeque::new() });
        }
        let mut known = std::mem::take(&mut inner.topics);
        let moved = |tenant: &&Tenant| revision(&known, tenant) != revision(&topics, tenant);
        for tenant in inner.waiting.keys().filter(moved).cloned().collect::<Vec<_>>() {
            inner.wake(&tenant, |_| true);
        }
        for (name, topic) in &mut topics {
            if let Some(same) = known.remove(name).filter(|known| known.revision == topic.revision) {
                *topic = same;
            }
        }
        inner.order.retain(|tenant| topics.get(tenant).is_some_and(|topic| !topic.recent.is_empty()));
        inner.topics = topics;
    }

    /// The last revision of a tenant that is on disk.
    pub(super) fn revision(&self, tenant: &Tenant) -> i64 {
        revision(&self.lock().topics, tenant)
    }

    /// Whether something that is meant may have changed after a revision.
    pub(super) fn changed(&self, tenant: &Tenant, query: &Query, after: i64) -> bool {
        self.lock().changed(tenant, query, after)
    }

    /// Waits for something that is meant to change after a revision, or from now on.
    pub(super) fn watch(&self, tenant: &Tenant, query: Query, after: Option<i64>) -> Watch<'_> {
        let mut inner = self.lock();
        if after.is_some_and(|after| inner.changed(tenant, &query, after)) {
            return Watch::Changed;
        }
        if inner.count >= self.most_waiting {
            return Watch::Full;
        }
        let (wake, woken) = oneshot::channel();
        let number = inner.next;
        inner.next += 1;
        if !inner.closed {
            inner.count += 1;
            inner.waiting.entry(tenant.clone()).or_default().insert(number, Waiter { query, wake });
        }
        Watch::Waiting(Waiting { feed: self, tenant: tenant.clone(), number, woken })
    }

    /// Sends everybody away who waits, and whoever comes.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.closed = true;
        inner.waiting.clear();
        inner.count = 0;
    }
}
