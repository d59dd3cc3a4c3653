//! Discovery: the instances of a service that a consumer may call, and who depends on whom.

use super::change::What;
use super::fault::{Fault, FaultKind, Outcome};
use super::service::{Family, Microservice, Tenant};
use super::state::{ServiceState, TenantState, dependency_bytes};
use super::version::Rule;
use super::{Draft, Registry};
use crate::model::hex;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Services that one consumer depends on by its own account; each costs a row.
const MOST_PROVIDERS: usize = 10_000;

/// Tags that a provider must have, all of them; where a value is given, with that one.
pub type WantedTags = BTreeMap<String, Option<String>>;

/// What a consumer asks.
#[derive(Clone, Debug)]
pub struct Find<'q> {
    /// The id of who asks. It must be registered; its environment is the one in which is looked, it is found to depend
    /// on the provider, and providers of other applications must allow it.
    pub consumer: Option<&'q str>,
    pub provider: Family,
    pub rule: Rule,
    pub tags: &'q WantedTags,
    /// The revision that the consumer has; nothing if it has none.
    pub revision: &'q str,
}

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// 40 hex digits: another one whenever the instances are others.
    pub revision: String,
    /// As JSON; none if the consumer has this revision already.
    pub instances: Option<Vec<Arc<str>>>,
}

impl Found {
    /// One instance by itself.
    pub fn of_one(body: Arc<str>, revision: &str) -> Found {
        let current = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, body.as_bytes()).as_ref());
        let instances = (current != revision).then(|| vec![body]);
        Found { revision: current, instances }
    }
}

impl Registry {
    /// Finds the instances of a service.
    pub fn find(&self, tenant: &Tenant, mut find: Find<'_>) -> Outcome<Found> {
        let state = self.image.read();
        let now = self.image.now();
        let entries = state.tenant(tenant);
        let consumer = match find.consumer {
            Some(id) => {
                let entry = entries.and_then(|tenant| tenant.services.get(id));
                let missing = || Fault::new(FaultKind::ServiceMissing, format!("Consumer[{id}] does not exist."));
                Some(entry.ok_or_else(missing)?.service.clone())
            }
            None => None,
        };
        if let Some(consumer) = &consumer {
            find.provider.environment.clone_from(&consumer.environment);
        }
        let Some(entries) = entries.filter(|tenant| tenant.family(&find.provider).next().is_some()) else {
            let Family { environment, app_id, name } = &find.provider;
            let detail = format!("Provider[{environment}/{app_id}/{name}] does not exist.");
            return Err(Fault::new(FaultKind::ServiceMissing, detail));
        };
        let may_call = |provider: &Microservice| consumer.as_ref().is_none_or(|consumer| provider.lets(consumer));
        let versions = entries.versions(&find.provider, find.rule);
        let mut providers = versions;
        providers.retain(|entry| may_call(&entry.service));
        // One depends on what one may call, whether or not it has the tags today.
        let may_call_any = !providers.is_empty();
        providers.retain(|entry| entry.has_tags(find.tags));
        let found = self.found(&providers, find.revision, now);
        let unknown =
            find.consumer.filter(|_| may_call_any).filter(|id| !entries.depends(id, &find.provider)).map(str::to_owned);
        drop(state);
        if let Some(consumer) = unknown {
            self.record_dependency(tenant, consumer, find.provider);
        }
        Ok(found)
    }

    /// Whether a version of a service has tags.
    pub fn is_tagged(&self, tenant: &Tenant, service: &str, tags: &WantedTags) -> Outcome<bool> {
        let state = self.image.read();
        let entry = state.service(tenant, service).ok_or_else(|| Fault::no_service(service))?;
        Ok(entry.has_tags(tags))
    }

    /// The instances of one version of a service, with their revision.
    pub fn instances_since(&self, tenant: &Tenant, service: &str, tags: &WantedTags, revision: &str) -> Outcome<Found> {
        let state = self.image.read();
        let entry = state.service(tenant, service).ok_or_else(|| Fault::no_service(service))?;
        let entries = if entry.has_tags(tags) { &[entry][..] } else { &[] };
        Ok(self.found(entries, revision, self.image.now()))
    }

    fn found(&self, providers: &[&ServiceState], revision: &str, now: i64) -> Found {
        let mut state = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        state.update(&self.image.epoch.to_le_bytes());
        for provider in providers {
            // An instance whose term is over is not there, even before it is dropped.
            let living = provider.instances.values().filter(|instance| instance.lives(now)).count();
            state.update(provider.service.service_id.as_bytes());
            state.update(&provider.revision.to_le_bytes());
            state.update(&living.to_le_bytes());
        }
        let current = hex::encode(state.finish().as_ref());
        if current == revision {
            return Found { revision: current, instances: None };
        }
        let all = providers.iter().flat_map(|provider| provider.instances.values());
        let instances = all.filter(|instance| instance.lives(now)).map(|instance| instance.body.clone()).collect();
        Found { revision: current, instances: Some(instances) }
    }

    /// Nobody waits for it: a consumer that asks again is recorded again.
    fn record_dependency(&self, tenant: &Tenant, consumer: String, provider: Family) {
        let recorded = self.order(|draft| {
            let known = draft.state.tenant(tenant).is_none_or(|entries| {
                entries.depends(&consumer, &provider) || !entries.services.contains_key(consumer.as_str())
            });
            if !known && draft.providers(tenant, &consumer).count() < MOST_PROVIDERS {
                draft.check_room(dependency_bytes(&provider), 0)?;
                draft.apply(tenant, What::PutDependency { consumer, provider });
            }
            Ok(())
        });
        if let Err(fault) = recorded {
            tracing::debug!(%fault, "a dependency was not recorded");
        }
    }

    /// Records what consumers, by id, depend on: in the place of what is recorded (`replace`) or beside it. All of it or
    /// nothing.
    pub async fn put_dependencies(
        &self,
        tenant: &Tenant,
        dependencies: Vec<(String, Vec<Family>)>,
        replace: bool,
    ) -> Outcome<()> {
        // A consumer that is named twice is one.
        let mut wanted: BTreeMap<String, BTreeSet<Family>> = BTreeMap::new();
        for (consumer, providers) in dependencies {
            wanted.entry(consumer).or_default().extend(providers);
        }
        self.change(|draft| {
            let mut bytes = 0;
            for (consumer, providers) in &wanted {
                draft.service(tenant, consumer)?;
                let kept = draft.providers(tenant, consumer).filter(|old| !replace && !providers.contains(old)).count();
                if kept + providers.len() > MOST_PROVIDERS {
                    let detail = format!("a consumer depends on no more than {MOST_PROVIDERS} services: name fewer");
                    return Err(Fault::new(FaultKind::Quota, detail));
                }
                bytes += providers.iter().map(dependency_bytes).sum::<usize>();
            }
            draft.check_room(bytes, 0)?;
            for (consumer, mut providers) in wanted {
                let old: Vec<Family> = draft.providers(tenant, &consumer).cloned().collect();
                for provider in old {
                    // What is there stays as it is.
                    if !providers.remove(&provider) && replace {
                        draft.apply(tenant, What::DropDependency { consumer: consumer.clone(), provider });
                    }
                }
                for provider in providers {
                    draft.apply(tenant, What::PutDependency { consumer: consumer.clone(), provider });
                }
            }
            Ok(())
        })
        .await
    }

    /// The services that a consumer asked for, in all their versions, by id.
    pub fn providers(&self, tenant: &Tenant, consumer: &str) -> Outcome<Vec<Arc<Microservice>>> {
        let state = self.image.read();
        let entries = Self::with_service(state.tenant(tenant), consumer)?;
        let found = entries.providers(consumer).flat_map(|family| entries.family(family));
        let by_id: BTreeMap<_, _> = found.map(|entry| (&entry.service.service_id, entry.service.clone())).collect();
        Ok(by_id.into_values().collect())
    }

    /// Who asked for a service, by id.
    pub fn consumers(&self, tenant: &Tenant, provider: &str) -> Outcome<Vec<Arc<Microservice>>> {
        let state = self.image.read();
        let entries = Self::with_service(state.tenant(tenant), provider)?;
        let Some(entry) = entries.services.get(provider) else { return Err(Fault::no_service(provider)) };
        let consumers = entries.consumers(&entry.service);
        Ok(consumers.iter().filter_map(|id| entries.services.get(id)).map(|entry| entry.service.clone()).collect())
    }

    fn with_service<'t>(tenant: Option<&'t TenantState>, id: &str) -> Outcome<&'t TenantState> {
        tenant.filter(|tenant| tenant.services.contains_key(id)).ok_or_else(|| Fault::no_service(id))
    }
}

impl ServiceState {
    fn has_tags(&self, wanted: &WantedTags) -> bool {
        let has = |(key, value): (&String, &Option<String>)| {
            self.tags.get(key).is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
        };
        wanted.iter().all(has)
    }
}

impl Draft<'_> {
    /// The services that a consumer asked for.
    fn providers(&self, tenant: &Tenant, consumer: &str) -> impl Iterator<Item = &Family> {
        self.state.tenant(tenant).into_iter().flat_map(|entries| entries.providers(consumer))
    }
}
