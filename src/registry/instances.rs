//! Instances: registered, kept alive, changed and dropped.

use super::change::What;
use super::fault::{Fault, FaultKind, Outcome};
use super::service::{Instance, Tenant};
use super::state::instance_bytes;
use super::watch::{Action, Notice};
use super::{Draft, Registry};
use std::sync::Arc;
use tokio::sync::mpsc;

impl Registry {
    /// Registers an instance and returns its id: the one that it brings, else the one of an instance of the same
    /// service with the same endpoints, else `new_id`. One that is there already is replaced as a whole, but for the
    /// time of its first registration, and counts as having sent a heartbeat.
    pub async fn register_instance(&self, tenant: &Tenant, instance: Instance, new_id: String) -> Outcome<String> {
        self.change(|draft| draft.put_instance(tenant, instance, new_id)).await
    }

    /// Drops an instance.
    pub async fn drop_instance(&self, tenant: &Tenant, service: &str, instance: &str) -> Outcome<()> {
        self.change(|draft| {
            let (owner, gone) = draft.living(tenant, service, instance)?;
            let what = What::DropInstance { service: service.to_owned(), instance: instance.to_owned() };
            draft.apply(tenant, what);
            draft.notify(Action::Delete, tenant, &owner, gone);
            Ok(())
        })
        .await
    }

    /// Changes an instance in place.
    pub async fn change_instance(
        &self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
        change: impl FnOnce(&mut Instance),
    ) -> Outcome<()> {
        self.change(|draft| {
            let (owner, mut changed) = draft.living(tenant, service, instance)?;
            change(&mut changed);
            changed.mod_timestamp = draft.wall_seconds.to_string();
            draft.apply(tenant, What::PutInstance(Box::new(changed.clone())));
            draft.notify(Action::Update, tenant, &owner, changed);
            Ok(())
        })
        .await
    }

    /// Keeps an instance alive for one more term.
    pub fn heartbeat(&self, tenant: &Tenant, service: &str, instance: &str) -> Outcome<()> {
        let state = self.image.read();
        let now = self.image.now();
        let found = state.instance(tenant, service, instance).filter(|found| found.lives(now));
        let Some(found) = found else {
            return Err(Fault::no_instance(service, instance));
        };
        found.beat(now);
        Ok(())
    }

    /// The same of many at once: for each whether it is there.
    pub fn heartbeats<'i>(&self, tenant: &Tenant, pairs: impl Iterator<Item = (&'i str, &'i str)>) -> Vec<bool> {
        let state = self.image.read();
        let now = self.image.now();
        let Some(tenant) = state.tenant(tenant) else { return pairs.map(|_| false).collect() };
        let beat = |(service, instance)| {
            let found = tenant.services.get(service).and_then(|entry| entry.instances.get(instance));
            let found = found.filter(|found| found.lives(now));
            if let Some(found) = found {
                found.beat(now);
            }
            found.is_some()
        };
        pairs.map(beat).collect()
    }

    /// An instance as JSON.
    pub fn instance(&self, tenant: &Tenant, service: &str, instance: &str) -> Outcome<Arc<str>> {
        let state = self.image.read();
        if state.service(tenant, service).is_none() {
            return Err(Fault::no_service(service));
        }
        let found = state.instance(tenant, service, instance).filter(|found| found.lives(self.image.now()));
        found.map(|found| found.body.clone()).ok_or_else(|| Fault::no_instance(service, instance))
    }

    /// All instances of a version of a service, as JSON.
    pub fn instances(&self, tenant: &Tenant, service: &str) -> Outcome<Vec<Arc<str>>> {
        let state = self.image.read();
        let now = self.image.now();
        let entry = state.service(tenant, service).ok_or_else(|| Fault::no_service(service))?;
        Ok(entry.instances.values().filter(|found| found.lives(now)).map(|found| found.body.clone()).collect())
    }

    /// Tells a consumer of the changes of what it depends on, from now on.
    pub fn watch(&self, tenant: &Tenant, consumer: &str) -> Outcome<mpsc::Receiver<Arc<Notice>>> {
        if self.image.read().service(tenant, consumer).is_none() {
            return Err(Fault::no_service(consumer));
        }
        let too_many = || Fault::new(FaultKind::Quota, "too many watchers: try again later, or poll with rev");
        self.image.watchers.add(tenant, consumer).ok_or_else(too_many)
    }
}

impl Draft<'_> {
    /// Registers an instance of a service that is there, if there is room for it.
    fn put_instance(&mut self, tenant: &Tenant, instance: Instance, new_id: String) -> Outcome<String> {
        let entry = self.service(tenant, &instance.service_id)?;
        let old = entry.registered(&instance).map(|(_, old)| instance_bytes(&old.body));
        self.check_instances(usize::from(old.is_none()))?;
        self.check_room(self.new_bytes(&instance), old.unwrap_or_default())?;
        self.place_instance(tenant, instance, new_id)
    }

    /// Registers an instance for which there is room. Fails only where its service is not there.
    pub(super) fn place_instance(
        &mut self,
        tenant: &Tenant,
        mut instance: Instance,
        new_id: String,
    ) -> Outcome<String> {
        let entry = self.service(tenant, &instance.service_id)?;
        let service = entry.service.clone();
        let old = entry.registered(&instance).map(|(id, old)| (id.to_string(), old.instance().timestamp));
        let now = self.wall_seconds.to_string();
        let action = if old.is_some() { Action::Update } else { Action::Create };
        let (known_id, timestamp) = old.unwrap_or_else(|| (new_id, now.clone()));
        if instance.instance_id.is_empty() {
            instance.instance_id = known_id;
        }
        instance.timestamp = timestamp;
        instance.mod_timestamp = now;
        instance.version.clone_from(&service.version);
        let id = instance.instance_id.clone();
        self.apply(tenant, What::PutInstance(Box::new(instance.clone())));
        self.notify(action, tenant, &service, instance);
        // Here and not where the answer is made: a client that does not wait for that must not live for ever.
        self.start_term(tenant, &service.service_id, &id);
        Ok(id)
    }

    /// Whether there may be so many instances more.
    pub(super) fn check_instances(&self, more: usize) -> Outcome<()> {
        let most = self.config.max_instances;
        if more == 0 || self.state.instances + more <= most {
            return Ok(());
        }
        let detail = format!("no more than {most} instances: drop some, or raise registry.max_instances");
        Err(Fault::new(FaultKind::Quota, detail))
    }

    /// About what an instance that is to be registered will take in memory.
    pub(super) fn new_bytes(&self, instance: &Instance) -> usize {
        // Its ids, its times and its version may still be to come.
        const TO_COME: usize = 512;
        instance_bytes(&serde_json::to_string(instance).unwrap_or_default()) + TO_COME
    }

    /// An instance that is there, and whose it is.
    fn living(&self, tenant: &Tenant, service: &str, instance: &str) -> Outcome<(Arc<super::Microservice>, Instance)> {
        let entry = self.service(tenant, service)?;
        let found = entry.instances.get(instance).filter(|found| found.lives(self.now));
        let found = found.ok_or_else(|| Fault::no_instance(service, instance))?;
        Ok((entry.service.clone(), found.instance()))
    }
}
