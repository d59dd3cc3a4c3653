//! The image of the registry in memory, from which everything but contracts' texts and items' values is
//! answered.
//!
//! It changes by [`Change`]s only, each of which can be applied to any image; that is how it is built from the
//! database at the start. Nothing here waits, asks the time or fails.
//!
//! An instance is kept as the JSON that answers carry, with the few facts beside it that are asked all the time: the
//! digest of its endpoints, and until when it lives. A heartbeat moves only the last, under the lock that
//! readers share.

use super::accounts::AccountState;
use super::change::{Change, What};
use super::details::DetailKey;
use super::items::{self, Items};
use super::service::{Family, Instance, Microservice, Tenant};
use super::version::{self, Rule, Version};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use xxhash_rust::xxh3::xxh3_64;

/// Everything there is.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tenants: HashMap<Tenant, TenantState>,
    pub(super) services: usize,
    pub(super) instances: usize,
    /// About what services and instances take in memory.
    pub(super) bytes: usize,
    /// What agents posted about services.
    pub(super) details: usize,
    pub(super) items: items::Totals,
    pub(super) accounts: AccountState,
    /// Counts changes of instances, so that each has a number of its own.
    revision: u64,
}

/// What one tenant has.
#[derive(Debug, Default)]
pub(super) struct TenantState {
    pub(super) services: BTreeMap<Arc<str>, ServiceState>,
    by_name: HashMap<Family, BTreeSet<Arc<str>>>,
    by_alias: HashMap<Family, BTreeSet<Arc<str>>>,
    /// By consumer: the services that it asked for.
    dependencies: HashMap<Arc<str>, BTreeSet<Family>>,
    /// By provider: who asked for it.
    dependents: HashMap<Family, BTreeSet<Arc<str>>>,
    /// The types of the services that agents posted details of.
    pub(super) details: BTreeMap<DetailKey, String>,
    pub(super) items: Items,
}

/// One version of a service.
#[derive(Debug)]
pub(super) struct ServiceState {
    pub(super) service: Arc<Microservice>,
    pub(super) version: Version,
    pub(super) tags: BTreeMap<String, String>,
    /// Summaries by contract.
    pub(super) schemas: BTreeMap<String, String>,
    pub(super) instances: BTreeMap<Arc<str>, InstanceState>,
    /// About what they take in memory.
    instance_bytes: usize,
    /// The number of the last change of its instances.
    pub(super) revision: u64,
}

/// What a service or an instance takes in memory beside its texts, about.
const OVERHEAD: usize = 256;

/// About what a service takes in memory. It is asked before a service is put as well.
pub(super) fn service_bytes(service: &Microservice) -> usize {
    let schemas: usize = service.schemas.iter().map(|id| id.len() + 32).sum();
    let paths: usize = service.paths.iter().map(|path| path.path.len() + pairs_bytes(&path.property) + 64).sum();
    OVERHEAD + service.description.len() + pairs_bytes(&service.properties) + schemas + paths
}

/// About what a dependency takes in memory, in both of the maps that have it.
pub(super) fn dependency_bytes(provider: &Family) -> usize {
    OVERHEAD + 2 * (provider.environment.len() + provider.app_id.len() + provider.name.len())
}

/// About what tags and the like take in memory.
pub(super) fn pairs_bytes(pairs: &BTreeMap<String, String>) -> usize {
    pairs.iter().map(|(key, value)| key.len() + value.len() + 64).sum()
}

/// About what an instance takes in memory.
pub(super) fn instance_bytes(body: &str) -> usize {
    OVERHEAD + body.len()
}

impl ServiceState {
    /// The instance in whose place another is registered: that of its id, or, where it brings none, one with the same
    /// endpoints.
    pub(super) fn registered(&self, new: &Instance) -> Option<(&Arc<str>, &InstanceState)> {
        if !new.instance_id.is_empty() {
            return self.instances.get_key_value(new.instance_id.as_str());
        }
        let digest = endpoints_digest(&new.endpoints);
        self.instances.iter().find(|(_, other)| digest != 0 && other.endpoints == digest)
    }

    /// About what it takes in memory, with its instances, tags and summaries of contracts.
    pub(super) fn bytes(&self) -> usize {
        let pairs = pairs_bytes(&self.tags) + pairs_bytes(&self.schemas);
        service_bytes(&self.service) + self.instance_bytes + pairs
    }
}

/// A running copy of a service.
#[derive(Debug)]
pub(super) struct InstanceState {
    /// [`Instance`] as JSON.
    pub(super) body: Arc<str>,
    /// A digest of its endpoints in order; zero where it has none.
    pub(super) endpoints: u64,
    /// Seconds that a heartbeat is good for.
    pub(super) term: i64,
    /// Until when it lives, in microseconds of the registry's own time; zero for an instance that was just put.
    pub(super) deadline: AtomicI64,
    /// When expiry looks at it next; never for one that was just put.
    pub(super) looked_at: AtomicI64,
    /// Tells it from what expiry still has of an earlier one of the same id.
    pub(super) birth: u64,
}

impl InstanceState {
    fn new(instance: &Instance, birth: u64) -> Self {
        InstanceState {
            body: serde_json::to_string(instance).unwrap_or_default().into(),
            endpoints: endpoints_digest(&instance.endpoints),
            term: instance.term(),
            deadline: AtomicI64::new(0),
            looked_at: AtomicI64::new(i64::MAX),
            birth,
        }
    }

    /// Lives a whole term from now on.
    pub(super) fn beat(&self, now: i64) {
        self.deadline.store(now + self.term * 1_000_000, Ordering::Relaxed);
    }

    pub(super) fn lives(&self, now: i64) -> bool {
        self.deadline.load(Ordering::Relaxed) > now
    }

    /// As it was put.
    pub(super) fn instance(&self) -> Instance {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// A number that two lists of endpoints share if they have the same ones, in whatever order; zero for none.
fn endpoints_digest(endpoints: &[String]) -> u64 {
    if endpoints.is_empty() {
        return 0;
    }
    let sorted: BTreeSet<&str> = endpoints.iter().map(String::as_str).collect();
    let mut text = String::new();
    for endpoint in sorted {
        text.push_str(endpoint);
        // Endpoints have no spaces in them.
        text.push(' ');
    }
    xxh3_64(text.as_bytes()).max(1)
}

impl State {
    pub(super) fn tenant(&self, tenant: &Tenant) -> Option<&TenantState> {
        self.tenants.get(tenant)
    }

    pub(super) fn service(&self, tenant: &Tenant, id: &str) -> Option<&ServiceState> {
        self.tenants.get(tenant)?.services.get(id)
    }

    pub(super) fn instance(&self, tenant: &Tenant, service: &str, instance: &str) -> Option<&InstanceState> {
        self.service(tenant, service)?.instances.get(instance)
    }

    pub(super) fn instance_mut(
        &mut self,
        tenant: &Tenant,
        service: &str,
        instance: &str,
    ) -> Option<&mut InstanceState> {
        self.tenants.get_mut(tenant)?.services.get_mut(service)?.instances.get_mut(instance)
    }

    /// A number that nothing had before.
    pub(super) fn count(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Goes on where another state stopped counting: its revisions were told to clients.
    pub(super) fn go_on_counting(&mut self, other: &State) {
        let ahead = other.revision;
        self.revision += ahead;
        for service in self.tenants.values_mut().flat_map(|tenant| tenant.services.values_mut()) {
            service.revision += ahead;
        }
    }

    /// Applies a change. One that has nothing to change, of an instance without a service say, changes nothing.
    pub(super) fn apply(&mut self, change: &Change) {
        let revision = self.count();
        let tenant = self.tenants.entry(change.tenant.clone()).or_default();
        if let Some(service) = change.what.service() {
            self.bytes -= tenant.services.get(service).map_or(0, ServiceState::bytes);
        }
        match &change.what {
            What::PutService(service) => self.services += usize::from(tenant.put_service(service.clone(), revision)),
            What::DropService { service } => {
                self.bytes -= tenant.providers(service).map(dependency_bytes).sum::<usize>();
                if let Some(dropped) = tenant.drop_service(service) {
                    self.services -= 1;
                    self.instances -= dropped.instances.len();
                }
            }
            What::PutTags { service, tags } => {
                if let Some(entry) = tenant.services.get_mut(service.as_str()) {
                    entry.tags.clone_from(tags);
                    entry.revision = revision;
                }
            }
            What::PutSchema(schema) => {
                if let Some(entry) = tenant.services.get_mut(schema.service.as_str()) {
                    entry.schemas.insert(schema.id.clone(), schema.summary.clone());
                }
            }
            What::DropSchema { service, schema } => {
                if let Some(entry) = tenant.services.get_mut(service.as_str()) {
                    entry.schemas.remove(schema);
                }
            }
            What::PutInstance(instance) => {
                if let Some(entry) = tenant.services.get_mut(instance.service_id.as_str()) {
                    entry.revision = revision;
                    let mut new = InstanceState::new(instance, revision);
                    entry.instance_bytes += instance_bytes(&new.body);
                    match entry.instances.get_mut(instance.instance_id.as_str()) {
                        Some(old) => {
                            entry.instance_bytes -= instance_bytes(&old.body);
                            new.deadline.store(old.deadline.load(Ordering::Relaxed), Ordering::Relaxed);
                            new.looked_at.store(old.looked_at.load(Ordering::Relaxed), Ordering::Relaxed);
                            new.birth = old.birth;
                            *old = new;
                        }
                        None => {
                            entry.instances.insert(instance.instance_id.as_str().into(), new);
                            self.instances += 1;
                        }
                    }
                }
            }
            What::DropInstance { service, instance } => {
                if let Some(entry) = tenant.services.get_mut(service.as_str())
                    && let Some(gone) = entry.instances.remove(instance.as_str())
                {
                    entry.instance_bytes -= instance_bytes(&gone.body);
                    entry.revision = revision;
                    self.instances -= 1;
                }
            }
            What::PutDependency { consumer, provider } => {
                if tenant.put_dependency(consumer, provider) {
                    self.bytes += dependency_bytes(provider);
                }
            }
            What::DropDependency { consumer, provider } => {
                if tenant.drop_dependency(consumer, provider) {
                    self.bytes -= dependency_bytes(provider);
                }
            }
            What::PutDetail(detail) => {
                let old = tenant.details.insert(detail.head.key.clone(), detail.head.kind.clone());
                self.details += usize::from(old.is_none());
            }
            What::DropDetail(head) => {
                self.details -= usize::from(tenant.details.remove(&head.key).is_some());
            }
            What::Item(change) => tenant.items.apply(change, &mut self.items),
            What::Account(what) => self.accounts.apply(what),
        }
        if let Some(service) = change.what.service() {
            self.bytes += tenant.services.get(service).map_or(0, ServiceState::bytes);
        }
        if tenant.is_empty() {
            self.tenants.remove(&change.tenant);
        }
    }
}

impl TenantState {
    fn is_empty(&self) -> bool {
        let nothing_else = self.dependencies.is_empty() && self.details.is_empty() && self.items.never_had_any();
        nothing_else && self.services.is_empty()
    }

    /// Whether it is a new one.
    fn put_service(&mut self, service: Arc<Microservice>, revision: u64) -> bool {
        let version = version::parse(&service.version).unwrap_or_default();
        let id: Arc<str> = service.service_id.as_str().into();
        if let Some(entry) = self.services.get_mut(&id) {
            let old = std::mem::replace(&mut entry.service, service.clone());
            entry.version = version;
            // Its properties decide who finds it.
            entry.revision = revision;
            self.unlist(&old, &id);
            self.list(&service, &id);
            return false;
        }
        self.list(&service, &id);
        let entry = ServiceState {
            service,
            version,
            tags: BTreeMap::new(),
            schemas: BTreeMap::new(),
            instances: BTreeMap::new(),
            instance_bytes: 0,
            revision,
        };
        self.services.insert(id, entry);
        true
    }

    fn list(&mut self, service: &Microservice, id: &Arc<str>) {
        self.by_name.entry(service.family()).or_default().insert(id.clone());
        if !service.alias.is_empty() {
            let alias = Family::new(&service.environment, &service.app_id, &service.alias);
            self.by_alias.entry(alias).or_default().insert(id.clone());
        }
    }

    fn unlist(&mut self, service: &Microservice, id: &Arc<str>) {
        remove_from(&mut self.by_name, &service.family(), id);
        if !service.alias.is_empty() {
            let alias = Family::new(&service.environment, &service.app_id, &service.alias);
            remove_from(&mut self.by_alias, &alias, id);
        }
    }

    fn drop_service(&mut self, id: &str) -> Option<ServiceState> {
        let (id, dropped) = self.services.remove_entry(id)?;
        self.unlist(&dropped.service, &id);
        for provider in self.dependencies.remove(&id).unwrap_or_default() {
            remove_from(&mut self.dependents, &provider, &id);
        }
        Some(dropped)
    }

    /// Whether it is a new one.
    fn put_dependency(&mut self, consumer: &str, provider: &Family) -> bool {
        let consumer: Arc<str> = consumer.into();
        self.dependents.entry(provider.clone()).or_default().insert(consumer.clone());
        self.dependencies.entry(consumer).or_default().insert(provider.clone())
    }

    /// Whether it was there.
    fn drop_dependency(&mut self, consumer: &str, provider: &Family) -> bool {
        let known = self.depends(consumer, provider);
        let consumer: Arc<str> = consumer.into();
        remove_from(&mut self.dependents, provider, &consumer);
        remove_from(&mut self.dependencies, &consumer, provider);
        known
    }

    /// The versions of a service that goes by the name or, if none does, by the alias.
    pub(super) fn family(&self, family: &Family) -> impl Iterator<Item = &ServiceState> {
        let ids = self.by_name.get(family).or_else(|| self.by_alias.get(family));
        ids.into_iter().flatten().filter_map(|id| self.services.get(id))
    }

    /// The versions of a service that goes by the name.
    pub(super) fn named(&self, family: &Family) -> impl Iterator<Item = &ServiceState> {
        self.by_name.get(family).into_iter().flatten().filter_map(|id| self.services.get(id))
    }

    /// Those of them that a rule takes.
    pub(super) fn versions(&self, family: &Family, rule: Rule) -> Vec<&ServiceState> {
        let greatest = self.family(family).map(|entry| entry.version).max().unwrap_or_default();
        self.family(family).filter(|entry| rule.takes(entry.version, greatest)).collect()
    }

    pub(super) fn depends(&self, consumer: &str, provider: &Family) -> bool {
        self.dependencies.get(consumer).is_some_and(|providers| providers.contains(provider))
    }

    /// The services that a consumer asked for.
    pub(super) fn providers(&self, consumer: &str) -> impl Iterator<Item = &Family> {
        self.dependencies.get(consumer).into_iter().flatten()
    }

    /// The ids of those who asked for a service, by its name or its alias.
    pub(super) fn consumers(&self, provider: &Microservice) -> BTreeSet<Arc<str>> {
        let mut consumers = self.dependents.get(&provider.family()).cloned().unwrap_or_default();
        if !provider.alias.is_empty() {
            let alias = Family::new(&provider.environment, &provider.app_id, &provider.alias);
            consumers.extend(self.dependents.get(&alias).into_iter().flatten().cloned());
        }
        consumers
    }
}

/// Takes a value out of a set of a map, and the set with its last one.
fn remove_from<K: std::hash::Hash + Eq, V: Ord>(sets: &mut HashMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}
