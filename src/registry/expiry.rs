//! Instances whose heartbeats stay away are dropped.
//!
//! A queue has each instance once, by the time at which it is to be looked at next: that is its deadline as it was when
//! it was put there. One that has lived on since is put back. So an instance is looked at once a term, not at every
//! tick.

use super::change::What;
use super::service::Tenant;
use super::state::{InstanceState, State};
use super::watch::Action;
use super::{Draft, MOST_AT_A_TICK, Registry};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// How often whoever runs the registry calls [`Registry::tick`].
pub const TICK: Duration = Duration::from_secs(1);
/// Instances that are dropped under one lock.
const MOST_AT_ONCE: usize = 1_000;

/// Instances by when to look at them.
#[derive(Debug, Default)]
pub(super) struct Queue(BinaryHeap<Reverse<(i64, Entry)>>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) tenant: Arc<Tenant>,
    pub(super) service: Arc<str>,
    pub(super) instance: Arc<str>,
    pub(super) birth: u64,
}

impl Queue {
    /// All instances of an image.
    pub(super) fn of(state: &State) -> Queue {
        let mut queue = Queue::default();
        for (tenant, entries) in &state.tenants {
            let tenant = Arc::new(tenant.clone());
            for (service, entry) in &entries.services {
                for (instance, state) in &entry.instances {
                    let (tenant, service, instance) = (tenant.clone(), service.clone(), instance.clone());
                    let deadline = state.deadline.load(Ordering::Relaxed);
                    queue.push(deadline, Entry { tenant, service, instance, birth: state.birth }, state);
                }
            }
        }
        queue
    }

    fn push(&mut self, at: i64, entry: Entry, instance: &InstanceState) {
        instance.looked_at.store(at, Ordering::Relaxed);
        self.0.push(Reverse((at, entry)));
    }

    /// The next one that is due.
    fn pop(&mut self, now: i64) -> Option<Entry> {
        match self.0.peek() {
            Some(Reverse((at, _))) if *at <= now => self.0.pop().map(|Reverse((_, entry))| entry),
            _ => None,
        }
    }
}

impl Registry {
    /// Moves the registry's time on to the clock's and drops whoever has missed their term. Returns how many.
    pub fn tick(&self) -> usize {
        let clock = self.clock.now_micros();
        let elapsed = clock - self.last_tick.swap(clock, Ordering::Relaxed);
        let step = elapsed.clamp(0, MOST_AT_A_TICK);
        let now = self.image.now.fetch_add(step, Ordering::Relaxed) + step;
        let mut dropped = 0;
        // While no changes are taken whoever is due waits.
        while self.takes_changes() {
            let due = self.due(now);
            if due.is_empty() {
                break;
            }
            dropped += self.drop_due(now, due);
        }
        if dropped > 0 {
            tracing::info!(dropped, "instances whose heartbeats stayed away were dropped");
        }
        dropped
    }

    /// Some whose term is over; those who live on are put back.
    fn due(&self, now: i64) -> Vec<Entry> {
        let state = self.image.read();
        let mut queue = self.image.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        while due.len() < MOST_AT_ONCE
            && let Some(entry) = queue.pop(now)
        {
            let found = state.instance(&entry.tenant, &entry.service, &entry.instance);
            // One that is not there any more is forgotten.
            let Some(instance) = found.filter(|found| found.birth == entry.birth) else { continue };
            let deadline = instance.deadline.load(Ordering::Relaxed);
            if deadline > now {
                queue.push(deadline, entry, instance);
            } else {
                due.push(entry);
            }
        }
        due
    }

    fn drop_due(&self, now: i64, due: Vec<Entry>) -> usize {
        let planned = self.order(|draft| {
            let mut dropped = 0;
            for Entry { tenant, service, instance, .. } in &due {
                let Some(entry) = draft.state.service(tenant, service) else { continue };
                // It may have sent its heartbeat since.
                let Some(found) = entry.instances.get(instance).filter(|found| !found.lives(now)) else { continue };
                let (owner, gone) = (entry.service.clone(), found.instance());
                let (service, instance) = (service.to_string(), instance.to_string());
                tracing::debug!(service, instance, name = owner.service_name, "no heartbeat in time");
                draft.apply(tenant, What::DropInstance { service, instance });
                draft.notify(Action::Delete, tenant, &owner, gone);
                dropped += 1;
            }
            Ok(dropped)
        });
        match planned {
            // Nobody waits: a drop that gets lost is made again after the next start.
            Ok((dropped, _)) => dropped,
            // No changes are taken: the queue is made anew before any are again.
            Err(_) => 0,
        }
    }
}

impl Draft<'_> {
    /// Gives an instance a whole term, and has it looked at when that is over.
    pub(super) fn start_term(&mut self, tenant: &Tenant, service: &str, instance: &str) {
        let birth = self.state.count();
        let Some(found) = self.state.instance_mut(tenant, service, instance) else { return };
        found.beat(self.now);
        let deadline = found.deadline.load(Ordering::Relaxed);
        // One that is to be looked at earlier than that is put back then.
        if deadline >= found.looked_at.load(Ordering::Relaxed) {
            return;
        }
        // What the queue may still have of it is of an earlier birth, and is forgotten.
        found.birth = birth;
        let entry =
            Entry { tenant: Arc::new(tenant.clone()), service: service.into(), instance: instance.into(), birth };
        self.expiry.lock().unwrap_or_else(PoisonError::into_inner).push(deadline, entry, found);
    }
}
