//! Services: registered, looked up, changed and dropped, with their tags.

use super::change::What;
use super::fault::{Fault, FaultKind, Outcome};
use super::service::{Family, Framework, Instance, Microservice, Tenant};
use super::state::{ServiceState, pairs_bytes, service_bytes};
use super::version::Rule;
use super::watch::Action;
use super::{Draft, Registry};
use crate::model::hex;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// How much there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    pub services: usize,
    pub instances: usize,
}

/// How much one tenant has. Here the versions of a service are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub services: usize,
    /// Those that have instances.
    pub online_services: usize,
    pub instances: usize,
    /// Those of all projects of the tenant's domain.
    pub instances_of_domain: usize,
    pub apps: usize,
}

/// What became of one service of a batch that was to be dropped.
pub type BatchDropped = (String, Outcome<()>);

impl Registry {
    /// Registers a service and returns its id: that of the same service (environment, application, name, version)
    /// where there is one, else the one it brings, else one made from those four. `tags` are added to those it has, and
    /// `instances`, each with an id for when it brings none, are registered with it: all of it or nothing.
    pub async fn register_service(
        &self,
        tenant: &Tenant,
        mut service: Microservice,
        tags: BTreeMap<String, String>,
        instances: Vec<(Instance, String)>,
    ) -> Outcome<String> {
        self.change(|draft| {
            let given = service.service_id.clone();
            let conflict = || {
                let detail = "ServiceID conflict or found the same service with different id.";
                Fault::new(FaultKind::ServiceConflict, detail)
            };
            let same = draft.same_service(tenant, &service);
            match &same {
                Some(same) if !given.is_empty() && given != same.service_id => return Err(conflict()),
                Some(same) => service.service_id.clone_from(&same.service_id),
                None if draft.state.service(tenant, &given).is_some() => return Err(conflict()),
                None if given.is_empty() => service.service_id = service_id(tenant, &service),
                None => {}
            }
            let id = service.service_id.clone();
            // Everything is checked before anything is changed.
            let mut all_tags = draft.state.service(tenant, &id).map(|entry| entry.tags.clone()).unwrap_or_default();
            all_tags.extend(tags);
            draft.check_tags(all_tags.len())?;
            let mut bytes = pairs_bytes(&all_tags);
            if same.is_none() {
                if draft.state.services >= draft.config.max_services {
                    let most = draft.config.max_services;
                    let detail = format!("no more than {most} services: drop some, or raise registry.max_services");
                    return Err(Fault::new(FaultKind::Quota, detail));
                }
                bytes += service_bytes(&service);
            }
            for (instance, _) in &instances {
                bytes += draft.new_bytes(instance);
            }
            draft.check_instances(instances.len())?;
            draft.check_room(bytes, 0)?;

            if same.is_none() {
                service.timestamp = draft.wall_seconds.to_string();
                service.mod_timestamp.clone_from(&service.timestamp);
                draft.apply(tenant, What::PutService(Arc::new(service)));
            }
            if all_tags != draft.service(tenant, &id)?.tags {
                draft.apply(tenant, What::PutTags { service: id.clone(), tags: all_tags });
            }
            for (mut instance, new_id) in instances {
                instance.service_id.clone_from(&id);
                draft.place_instance(tenant, instance, new_id)?;
            }
            Ok(id)
        })
        .await
    }

    /// Changes a service in place; what tells services apart must stay.
    pub async fn change_service(
        &self,
        tenant: &Tenant,
        id: &str,
        properties: BTreeMap<String, String>,
        framework: Option<Framework>,
    ) -> Outcome<()> {
        self.change(|draft| {
            let mut changed = (*draft.service(tenant, id)?.service).clone();
            changed.properties = properties;
            if framework.is_some() {
                changed.framework = framework;
            }
            changed.mod_timestamp = draft.wall_seconds.to_string();
            draft.check_room(service_bytes(&changed), service_bytes(&draft.service(tenant, id)?.service))?;
            draft.apply(tenant, What::PutService(Arc::new(changed)));
            Ok(())
        })
        .await
    }

    /// Drops a service with its instances, contracts, tags and dependencies. Unless it is forced, one that others
    /// depend on, or that has instances, stays.
    pub async fn drop_service(&self, tenant: &Tenant, id: &str, force: bool) -> Outcome<()> {
        self.change(|draft| draft.drop_service(tenant, id, force)).await
    }

    /// The same of many: each succeeds or fails by itself.
    pub async fn drop_services(&self, tenant: &Tenant, ids: Vec<String>, force: bool) -> Outcome<Vec<BatchDropped>> {
        self.change(|draft| {
            Ok(ids
                .into_iter()
                .map(|id| {
                    let outcome = draft.drop_service(tenant, &id, force);
                    (id, outcome)
                })
                .collect())
        })
        .await
    }

    /// A version of a service.
    pub fn service(&self, tenant: &Tenant, id: &str) -> Outcome<Arc<Microservice>> {
        let state = self.image.read();
        state.service(tenant, id).map(|entry| entry.service.clone()).ok_or_else(|| Fault::no_service(id))
    }

    /// All of them, by id.
    pub fn services(&self, tenant: &Tenant) -> Vec<Arc<Microservice>> {
        let state = self.image.read();
        let entries = state.tenant(tenant).into_iter().flat_map(|tenant| tenant.services.values());
        entries.map(|entry| entry.service.clone()).collect()
    }

    /// Those that go by a name or an alias, in the versions that a rule takes, the greatest version first. The kind of
    /// the fault says whether it is the name or the version that is not there.
    pub fn services_by_name(&self, tenant: &Tenant, family: &Family, rule: Rule) -> Outcome<Vec<Arc<Microservice>>> {
        let state = self.image.read();
        let Some(tenant) = state.tenant(tenant).filter(|tenant| tenant.family(family).next().is_some()) else {
            let Family { environment, app_id, name } = family;
            return Err(Fault::new(
                FaultKind::ServiceMissing,
                format!("Service[{environment}/{app_id}/{name}] does not exist."),
            ));
        };
        let mut found = tenant.versions(family, rule);
        if found.is_empty() {
            let detail = format!("Service[{}] has no such version.", family.name);
            return Err(Fault::new(FaultKind::VersionMissing, detail));
        }
        found.sort_by_key(|entry| std::cmp::Reverse(entry.version));
        Ok(found.into_iter().map(|entry| entry.service.clone()).collect())
    }

    /// The version of a service that goes by the name or, if none does, by the alias. The version counts as it is
    /// written.
    pub fn service_by_key(&self, tenant: &Tenant, family: &Family, version: &str) -> Option<Arc<Microservice>> {
        let state = self.image.read();
        let found = state.tenant(tenant)?.family(family).find(|entry| entry.service.version == version);
        found.map(|entry| entry.service.clone())
    }

    /// How much a tenant has.
    pub fn statistics(&self, tenant: &Tenant) -> Statistics {
        let state = self.image.read();
        let now = self.image.now();
        let living = |entry: &ServiceState| entry.instances.values().filter(|instance| instance.lives(now)).count();
        let mut statistics = Statistics::default();
        let (mut families, mut online, mut apps) = (HashSet::new(), HashSet::new(), HashSet::new());
        for entry in state.tenant(tenant).into_iter().flat_map(|entries| entries.services.values()) {
            let Microservice { environment, app_id, service_name, .. } = &*entry.service;
            let (family, count) = ((environment, app_id, service_name), living(entry));
            families.insert(family);
            apps.insert(app_id);
            if count > 0 {
                online.insert(family);
                statistics.instances += count;
            }
        }
        statistics.services = families.len();
        statistics.online_services = online.len();
        statistics.apps = apps.len();
        let of_domain = state.tenants.iter().filter(|(other, _)| other.domain == tenant.domain);
        statistics.instances_of_domain = of_domain.flat_map(|(_, entries)| entries.services.values()).map(living).sum();
        statistics
    }

    /// A service's tags.
    pub fn tags(&self, tenant: &Tenant, id: &str) -> Outcome<BTreeMap<String, String>> {
        let state = self.image.read();
        state.service(tenant, id).map(|entry| entry.tags.clone()).ok_or_else(|| Fault::no_service(id))
    }

    /// Changes a service's tags in place.
    pub async fn change_tags(
        &self,
        tenant: &Tenant,
        id: &str,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Outcome<()>,
    ) -> Outcome<()> {
        self.change(|draft| {
            let mut tags = draft.service(tenant, id)?.tags.clone();
            change(&mut tags)?;
            draft.check_tags(tags.len())?;
            draft.check_room(pairs_bytes(&tags), pairs_bytes(&draft.service(tenant, id)?.tags))?;
            draft.apply(tenant, What::PutTags { service: id.to_owned(), tags });
            Ok(())
        })
        .await
    }

    /// How much there is of all tenants.
    pub fn counts(&self) -> Counts {
        let state = self.image.read();
        Counts { services: state.services, instances: state.instances }
    }
}

impl Draft<'_> {
    /// The service of the same environment, application, name and version.
    fn same_service(&self, tenant: &Tenant, service: &Microservice) -> Option<Arc<Microservice>> {
        let family = service.family();
        let same = |entry: &&ServiceState| entry.service.version == service.version;
        self.state.tenant(tenant)?.named(&family).find(same).map(|entry| entry.service.clone())
    }

    fn check_tags(&self, count: usize) -> Outcome<()> {
        let most = self.config.max_tags;
        if count <= most {
            return Ok(());
        }
        let detail = format!("no more than {most} tags of a service: drop some, or raise registry.max_tags");
        Err(Fault::new(FaultKind::Quota, detail))
    }

    fn drop_service(&mut self, tenant: &Tenant, id: &str, force: bool) -> Outcome<()> {
        let entry = self.service(tenant, id)?;
        let service = entry.service.clone();
        if !force {
            let consumers = self.state.tenant(tenant).map(|tenant| tenant.consumers(&service)).unwrap_or_default();
            if consumers.iter().any(|consumer| **consumer != *id) {
                let detail = "Can not delete this service, other service rely it.";
                return Err(Fault::new(FaultKind::DependedOn, detail));
            }
            if entry.instances.values().any(|instance| instance.lives(self.now)) {
                let detail = "Can not delete this service, the service deployed instance(s).";
                return Err(Fault::new(FaultKind::HasInstances, detail));
            }
        }
        let gone: Vec<_> = entry.instances.values().map(|instance| instance.instance()).collect();
        self.apply(tenant, What::DropService { service: id.to_owned() });
        for instance in gone {
            self.notify(Action::Delete, tenant, &service, instance);
        }
        Ok(())
    }
}

/// The id of a service that brings none, as the service centre makes it: the same service has the same id everywhere.
pub fn service_id(tenant: &Tenant, service: &Microservice) -> String {
    let Tenant { domain, project } = tenant;
    let Microservice { environment, app_id, service_name, version, .. } = service;
    let key = format!("/cse-sr/ms/indexes/{domain}/{project}/{environment}/{app_id}/{service_name}/{version}");
    hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes()).as_ref())
}
