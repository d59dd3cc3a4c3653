//! Lists of services: all that are registered, posted or seen in traces, each once.
//!
//! A service is one row for each of its versions. A posted detail is the row of the registered service of its name and
//! version, if there is one; a service that is only seen in traces is a row without a version.

use super::observed::Observed;
use super::registered::{self, group_of, kind_of, nearness, same, scheme_and_port};
use super::{ServiceKind, Source, Wanted};
use crate::registry::{DetailHead, DetailKey, Instance, Microservice, Registry, Tenant};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Services of an answer that lists them whole.
const MOST_SERVICES: usize = 10_000;

/// A service in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The id by which its detail is asked for.
    pub app: String,
    pub app_name: String,
    pub name: String,
    pub version: String,
    pub group: String,
    pub kind: Option<ServiceKind>,
    pub sources: Vec<Source>,
    /// The registered service's id; empty where it is not registered.
    pub service_id: String,
    pub instances: usize,
    /// Protocols by port, those of its instances.
    pub ports: BTreeMap<u16, String>,
    /// Hosts of its instances.
    pub hosts: Vec<String>,
}

/// The services of an application, or of all (an empty one), of one type or of all, by name and version. `traced` are
/// the names that spans have. What only a look at each instance tells is added by [`fill`].
pub fn list(registry: &Registry, tenant: &Tenant, wanted: &Wanted, traced: &[String]) -> Vec<Listed> {
    let services = registry.services(tenant);
    let details = registry.details(tenant, None);
    let seen: HashSet<String> = traced.iter().map(|name| name.to_lowercase()).collect();
    let mut posted: HashMap<String, Vec<&DetailHead>> = HashMap::new();
    for head in &details {
        posted.entry(head.key.name.to_lowercase()).or_default().push(head);
    }
    let mut rows: BTreeMap<(String, String, String), Listed> = BTreeMap::new();
    // Names that are not to be listed once more, and details that are the rows of registered services.
    let mut known: HashSet<String> = posted.keys().cloned().collect();
    let mut joined: HashSet<&DetailKey> = HashSet::new();
    for service in &services {
        let mut is_of_posted_app = false;
        let mut row = row_of(registry, tenant, wanted, service);
        for name in names_of(service) {
            for head in posted.get(&name).into_iter().flatten() {
                if head.key.version.is_empty() || head.key.version == service.version {
                    joined.insert(&head.key);
                    is_of_posted_app |= head.key.app == wanted.app;
                    row.kind = row.kind.or(ServiceKind::parse(&head.kind));
                    if !row.sources.contains(&Source::Posted) {
                        row.sources.push(Source::Posted);
                    }
                }
            }
            known.insert(name);
        }
        if wanted.app.is_empty() || nearness(service, &wanted.app).is_some() || is_of_posted_app {
            rows.insert((row.name.clone(), row.version.clone(), row.service_id.clone()), row);
        }
    }
    for head in &details {
        let key = &head.key;
        if joined.contains(key) || !(wanted.app.is_empty() || key.app == wanted.app) {
            continue;
        }
        let row = Listed {
            app: key.app.clone(),
            app_name: key.app.clone(),
            name: key.name.clone(),
            version: key.version.clone(),
            group: key.group.clone(),
            kind: ServiceKind::parse(&head.kind),
            sources: vec![Source::Posted],
            ..Listed::default()
        };
        rows.insert((row.name.clone(), row.version.clone(), format!("\0{}\0{}", key.app, key.group)), row);
    }
    for row in rows.values_mut() {
        if seen.contains(&row.name.to_lowercase()) {
            row.sources.push(Source::Traces);
        }
    }
    for name in traced {
        if known.insert(name.to_lowercase()) && (wanted.app.is_empty() || same(name, &wanted.app)) {
            let sources = vec![Source::Traces];
            let row = Listed { app: name.clone(), name: name.clone(), sources, ..Listed::default() };
            rows.insert((name.clone(), String::new(), String::new()), row);
        }
    }
    rows.into_values().filter(|row| wanted.takes_kind(row.kind)).collect()
}

/// What a service goes by, in lower case.
fn names_of(service: &Microservice) -> impl Iterator<Item = String> {
    let names = [&service.service_name, &service.alias].into_iter().filter(|name| !name.is_empty());
    names.map(|name| name.to_lowercase())
}

fn row_of(registry: &Registry, tenant: &Tenant, wanted: &Wanted, service: &Microservice) -> Listed {
    let mut kind = kind_of(service, &[]);
    if kind.is_none() && wanted.kind.is_some() {
        kind = kind_of(service, &registered::instances(registry, tenant, &service.service_id).unwrap_or_default());
    }
    Listed {
        app: service.app_id.clone(),
        app_name: service.app_id.clone(),
        name: service.service_name.clone(),
        version: service.version.clone(),
        group: group_of(service, kind),
        kind,
        sources: vec![Source::Registry],
        service_id: service.service_id.clone(),
        ..Listed::default()
    }
}

/// Adds what the instances of listed services tell.
pub fn fill(registry: &Registry, tenant: &Tenant, rows: &mut [Listed]) {
    for row in rows.iter_mut().filter(|row| !row.service_id.is_empty()) {
        // One that has gone meanwhile has none.
        let Ok(bodies) = registry.instances(tenant, &row.service_id) else { continue };
        row.instances = bodies.len();
        let instances = registered::instances(registry, tenant, &row.service_id).unwrap_or_default();
        if let Ok(service) = registry.service(tenant, &row.service_id)
            && row.kind.is_none()
        {
            row.kind = kind_of(&service, &instances);
        }
        let mut hosts = BTreeSet::new();
        for instance in &instances {
            add_ports(instance, &mut row.ports);
            hosts.insert(instance.host_name.clone());
        }
        row.hosts = hosts.into_iter().filter(|host| !host.is_empty()).collect();
    }
}

fn add_ports(instance: &Instance, ports: &mut BTreeMap<u16, String>) {
    for endpoint in &instance.endpoints {
        if let Some((scheme, Some(port))) = scheme_and_port(endpoint) {
            ports.entry(port).or_insert_with(|| scheme.to_owned());
        }
    }
}

/// Services on one side of calls, with what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peers {
    pub services: Vec<Listed>,
    pub left_out: usize,
}

/// The services that an application publishes: those that list it has of it.
pub fn published(registry: &Registry, tenant: &Tenant, wanted: &Wanted, traced: &[String]) -> Peers {
    cut(registry, tenant, list(registry, tenant, wanted, traced))
}

/// The services that those of an application consume: what they asked the registry for, and whom traces show them to
/// call.
pub fn consumed(
    registry: &Registry,
    tenant: &Tenant,
    wanted: &Wanted,
    traced: &[String],
    observed: &Observed,
) -> Peers {
    let everywhere = Wanted { kind: wanted.kind, ..Wanted::default() };
    let own = list(registry, tenant, &Wanted { kind: None, ..wanted.clone() }, traced);
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let mut called: BTreeSet<String> = BTreeSet::new();
    for row in &own {
        if !row.service_id.is_empty() {
            let providers = registry.providers(tenant, &row.service_id).unwrap_or_default();
            asked.extend(providers.into_iter().map(|provider| provider.service_id.clone()));
        }
        called.extend(observed.callees_of(&row.name).iter().map(|peer| peer.service.clone()));
    }
    let mut services: Vec<Listed> = list(registry, tenant, &everywhere, traced)
        .into_iter()
        .filter(|row| asked.contains(&row.service_id) || called.contains(&row.name.to_lowercase()))
        .collect();
    // What is called and never recorded a span itself, a database say.
    for name in called {
        if !services.iter().any(|row| same(&row.name, &name)) && wanted.kind.is_none() {
            let sources = vec![Source::Traces];
            services.push(Listed { app: name.clone(), name, sources, ..Listed::default() });
        }
    }
    services.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    cut(registry, tenant, services)
}

fn cut(registry: &Registry, tenant: &Tenant, mut services: Vec<Listed>) -> Peers {
    let left_out = services.len().saturating_sub(MOST_SERVICES);
    services.truncate(MOST_SERVICES);
    fill(registry, tenant, &mut services);
    Peers { services, left_out }
}
