//! Who depends on whom: as discovery recorded it, as clients of old say themselves, and as calls in traces show it.
//!
//! Each service of an answer says in a property, which is not stored, where its part in the dependency is known from:
//! `registry`, `traces`, or both. One that is seen in traces and registered nowhere has a name and no id. Traces know
//! names alone, in no domain but the default one. What is only seen there keeps no service from being dropped, and
//! watchers are not told of it.

use super::super::{Context, Route, Shared, observed, project};
use super::answer::{self, Answer, Failure, Refused};
use super::request::{self, Head, USUAL_BODY};
use super::services::read;
use super::{own, rules};
use crate::insight::{Observed, Peer};
use crate::registry::{Family, Microservice, Rule, Tenant};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::routing::{get, post, put};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/v4/{project}/registry/dependencies", handler: || post(add) },
    Route { method: Method::PUT, path: "/v4/{project}/registry/dependencies", handler: || put(replace) },
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/providers",
        handler: || get(providers),
    },
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/consumers",
        handler: || get(consumers),
    },
];

/// Consumers of one request, and providers of each.
const MOST_CONSUMERS: usize = 100;
const MOST_PROVIDERS: usize = 1_000;
/// Who sets dependencies by hand is told that discovery does it now.
const DEPRECATION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("deprecation"), HeaderValue::from_static("version=\"v4\""));
/// The property that says where a dependency is known from.
const KNOWN_FROM: &str = "spanlake.knownFrom";

#[derive(Deserialize)]
struct Request {
    dependencies: Option<Vec<Dependency>>,
}

#[derive(Deserialize)]
struct Dependency {
    consumer: Option<Key>,
    providers: Option<Vec<Key>>,
}

/// What names a service.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Key {
    environment: Option<String>,
    app_id: Option<String>,
    service_name: Option<String>,
    version: Option<String>,
}

async fn add(State(context): State<Shared>, head: Head<()>, body: Body) -> Answer {
    set(&context, head, body, false).await
}

async fn replace(State(context): State<Shared>, head: Head<()>, body: Body) -> Answer {
    set(&context, head, body, true).await
}

async fn set(context: &Context, head: Head<()>, body: Body, replace: bool) -> Answer {
    let request: Request = request::json(context, &head.headers, body, USUAL_BODY).await?;
    let dependencies = request.dependencies.unwrap_or_default();
    if dependencies.is_empty() || dependencies.len() > MOST_CONSUMERS {
        return Err(Failure::invalid(format!("dependencies: send 1 to {MOST_CONSUMERS}")).into());
    }
    let checked: Result<Vec<_>, Refused> =
        dependencies.into_iter().map(|one| one.check(context, &head.tenant, replace)).collect();
    context.registry.put_dependencies(&head.tenant, checked?, replace).await?;
    let mut response = answer::done();
    response.headers_mut().extend([DEPRECATION]);
    Ok(response)
}

impl Dependency {
    /// The consumer's id and its providers. Replacing all by none takes them away.
    fn check(self, context: &Context, tenant: &Tenant, replace: bool) -> Result<(String, Vec<Family>), Refused> {
        let consumer = self.consumer.ok_or_else(|| Failure::invalid("dependencies.consumer: send an object"))?;
        let providers = self.providers.unwrap_or_default();
        let least = usize::from(!replace);
        if !(least..=MOST_PROVIDERS).contains(&providers.len()) {
            let rule = format!("dependencies.providers: send {least} to {MOST_PROVIDERS}");
            return Err(Failure::invalid(rule).into());
        }
        let (family, version) = consumer.names_one("dependencies.consumer")?;
        let mut families = Vec::new();
        let mut seen = HashSet::new();
        for provider in providers {
            let provider = provider.names_any("dependencies.providers", &family)?;
            if !seen.insert(provider.clone()) {
                return Err(Failure::invalid("dependencies.providers: name each service once").into());
            }
            families.push(provider);
        }
        let found = context.registry.service_by_key(tenant, &family, &version);
        let missing = || {
            let Family { environment, app_id, name } = &family;
            let detail = format!("Consumer {environment}/{app_id}/{name}/{version} does not exist.");
            Failure::new(400_012, detail)
        };
        Ok((found.ok_or_else(missing)?.service_id.clone(), families))
    }
}

impl Key {
    /// One version of a service.
    fn names_one(self, field: &str) -> Result<(Family, String), Failure> {
        let version = self.version.unwrap_or_default();
        let [environment, app_id, name] =
            [self.environment, self.app_id, self.service_name].map(Option::unwrap_or_default);
        check_names(field, &environment, &app_id, &name)?;
        rules::version(&format!("{field}.version"), &version)?;
        Ok((Family { environment, app_id, name }, version))
    }

    /// A service in all its versions: which of them are meant has not counted for long. It is of the consumer's
    /// environment and application unless it says otherwise.
    fn names_any(self, field: &str, consumer: &Family) -> Result<Family, Failure> {
        let given = |text: Option<String>, other: &str| match text {
            Some(text) if !text.is_empty() => text,
            _ => other.to_owned(),
        };
        let environment = given(self.environment, &consumer.environment);
        let app_id = given(self.app_id, &consumer.app_id);
        let name = self.service_name.unwrap_or_default();
        check_names(field, &environment, &app_id, &name)?;
        let version = self.version.unwrap_or_default();
        if version.len() > 128 || Rule::parse(&version).is_none() {
            let rule = format!("{field}.version: send latest, 1.0.0, 1.0.0+, 1.0.0-2.0.0, or leave it out");
            return Err(Failure::invalid(rule));
        }
        Ok(Family { environment, app_id, name })
    }
}

fn check_names(field: &str, environment: &str, app_id: &str, name: &str) -> Result<(), Failure> {
    rules::environment(&format!("{field}.environment"), environment)?;
    rules::app_id(&format!("{field}.appId"), app_id)?;
    rules::service_name(&format!("{field}.serviceName"), name)
}

async fn providers(State(context): State<Shared>, head: Head<String>) -> Answer {
    listed(&context, head, Side::Providers).await
}

async fn consumers(State(context): State<Shared>, head: Head<String>) -> Answer {
    listed(&context, head, Side::Consumers).await
}

/// The other side of a service's dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Providers,
    Consumers,
}

async fn listed(context: &Context, head: Head<String>, side: Side) -> Answer {
    let no_self = head.query.flag("noSelf")?;
    // Nothing is shared between domains, so that all are of the same one.
    head.query.flag("sameDomain")?;
    let missing = |failure: Failure| match (failure.code, side) {
        (400_012, Side::Providers) => Failure::new(400_012, "Consumer does not exist"),
        (400_012, Side::Consumers) => Failure::new(400_012, "Provider does not exist"),
        _ => failure,
    };
    let service = read(context, &head.tenant, &head.path).map_err(missing)?;
    let known = Known::gather(context, &head.tenant, &head.headers).await;
    let services: Vec<Microservice> =
        known.others(context, &service, side, no_self)?.into_iter().map(Other::described).collect();
    let name = match side {
        Side::Providers => "providers",
        Side::Consumers => "consumers",
    };
    Ok(answer::list(name, &services))
}

/// All that is known of dependencies.
pub(super) struct Known {
    tenant: Tenant,
    observed: Arc<Observed>,
    /// Services by name and alias, in lower case.
    by_name: HashMap<String, Vec<Arc<Microservice>>>,
}

/// A service on the other side.
pub(super) struct Other {
    /// Without an id where it is not registered.
    pub(super) service: Arc<Microservice>,
    pub(super) known_from: &'static str,
}

impl Other {
    /// With the property that says where it is known from.
    pub(super) fn described(self) -> Microservice {
        let mut service = Arc::unwrap_or_clone(self.service);
        service.properties.insert(KNOWN_FROM.to_owned(), self.known_from.to_owned());
        service
    }
}

impl Known {
    pub(super) async fn gather(context: &Context, tenant: &Tenant, headers: &HeaderMap) -> Known {
        let observed = observed_calls(context, tenant, headers).await;
        let mut by_name: HashMap<String, Vec<Arc<Microservice>>> = HashMap::new();
        if *observed != Observed::default() {
            for service in context.registry.services(tenant) {
                let names: BTreeSet<String> =
                    [&service.service_name, &service.alias].map(|name| name.to_lowercase()).into();
                for name in names.into_iter().filter(|name| !name.is_empty()) {
                    by_name.entry(name).or_default().push(service.clone());
                }
            }
        }
        Known { tenant: tenant.clone(), observed, by_name }
    }

    /// The services on the other side: those of discovery by id, those that only traces show by id, those that are not
    /// registered by name.
    pub(super) fn others(
        &self,
        context: &Context,
        service: &Microservice,
        side: Side,
        no_self: bool,
    ) -> Result<Vec<Other>, Failure> {
        let id = &service.service_id;
        let mut recorded = match side {
            _ if own::by_id(context, &self.tenant, id).is_some() => Vec::new(),
            Side::Providers => context.registry.providers(&self.tenant, id)?,
            Side::Consumers => context.registry.consumers(&self.tenant, id)?,
        };
        recorded.retain(|other| !(no_self && other.service_id == *id));
        let seen: BTreeSet<&str> = self.seen(service, side).map(|peer| peer.service.as_str()).collect();
        let is_seen = |other: &Microservice| {
            [&other.service_name, &other.alias].iter().any(|name| seen.contains(name.to_lowercase().as_str()))
        };
        let mut others: Vec<Other> = recorded
            .iter()
            .map(|other| {
                let known_from = if is_seen(other) { "registry,traces" } else { "registry" };
                Other { service: other.clone(), known_from }
            })
            .collect();
        let mut listed: HashSet<&str> = recorded.iter().map(|other| other.service_id.as_str()).collect();
        listed.insert(id);
        let mut registered: Vec<&Arc<Microservice>> = Vec::new();
        let mut strangers = Vec::new();
        for name in &seen {
            let namesakes = self.by_name.get(*name).map(Vec::as_slice).unwrap_or_default();
            // The environment is a wall; traces do not know of it.
            let near: Vec<_> = namesakes.iter().filter(|it| it.environment == service.environment).collect();
            if near.is_empty() {
                strangers.push(*name);
            }
            registered.extend(near.into_iter().filter(|it| listed.insert(&it.service_id)));
        }
        registered.sort_by(|a, b| a.service_id.cmp(&b.service_id));
        others.extend(registered.into_iter().map(|it| Other { service: it.clone(), known_from: "traces" }));
        others.extend(strangers.into_iter().map(|name| {
            let service = Microservice { service_name: name.to_owned(), ..Microservice::default() };
            Other { service: service.into(), known_from: "traces" }
        }));
        Ok(others)
    }

    fn seen(&self, service: &Microservice, side: Side) -> impl Iterator<Item = &Peer> {
        let Microservice { service_name, alias, .. } = service;
        let of = |name: &str| match side {
            Side::Providers => self.observed.callees_of(name),
            Side::Consumers => self.observed.callers_of(name),
        };
        // Where both are one name, nothing is seen twice: the result is a set.
        of(service_name).iter().chain(if alias.is_empty() { &[] } else { of(alias) })
    }
}

/// What traces show, as far as the tenant may see traces. Where they cannot be read, the registry's own knowledge is
/// worth an answer.
async fn observed_calls(context: &Context, tenant: &Tenant, headers: &HeaderMap) -> Arc<Observed> {
    let in_path = project::is_id(&tenant.project).then_some(tenant.project.as_str());
    let project = project::resolve(context.config.projects, in_path, headers);
    let Some(project) = project.ok().filter(|_| tenant.domain == "default") else { return Arc::default() };
    observed::observed(context, &project).await.unwrap_or_else(|refusal| {
        tracing::warn!(reason = refusal.message, "dependencies are answered without what traces show");
        Arc::default()
    })
}
