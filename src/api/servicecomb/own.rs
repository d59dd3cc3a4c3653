//! The server as a service of its own registry: clients that know one address ask for `SERVICECENTER` to learn of
//! others. It belongs to the tenant `default/default`, is made up for each answer and never stored, so that it counts
//! nowhere and cannot be lost. Its address is the one by which the client that asks reaches the server.

use super::super::{Context, Route, Shared};
use super::answer::{self, Answer, Failure};
use super::request::Head;
use super::rules::DEFAULT_APP;
use crate::registry::{Found, HealthCheck, Instance, Microservice, Tenant, service_id};
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/v4/{project}/registry/health", handler: || get(health) },
    Route { method: Method::GET, path: "/v4/{project}/registry/health/readiness", handler: || get(readiness) },
    Route { method: Method::GET, path: "/v4/{project}/registry/version", handler: || get(version) },
];

/// The name, and the alias too.
const NAME: &str = "SERVICECENTER";
/// The id of the one instance.
pub(super) const INSTANCE: &str = "servicecenter";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The registry's API has this version in all of its answers.
const API_VERSION: &str = "4.0.0";
/// Why the service stays.
pub(super) const NO_DROP: &str = "Not allow to delete service center: it is the server itself.";

/// Made from its name as any other service's.
static ID: LazyLock<String> = LazyLock::new(|| service_id(&home(), &description()));

/// Whose service it is.
fn home() -> Tenant {
    Tenant::new("default", "default")
}

fn is_home(tenant: &Tenant) -> bool {
    tenant.domain == "default" && tenant.project == "default"
}

/// All that does not depend on when it was started.
fn description() -> Microservice {
    Microservice {
        environment: "development".to_owned(),
        app_id: DEFAULT_APP.to_owned(),
        service_name: NAME.to_owned(),
        alias: NAME.to_owned(),
        version: VERSION.to_owned(),
        level: "BACK".to_owned(),
        status: "UP".to_owned(),
        properties: BTreeMap::from([("allowCrossApp".to_owned(), "true".to_owned())]),
        ..Microservice::default()
    }
}

fn service(context: &Context) -> Microservice {
    let started = (context.started_micros / 1_000_000).to_string();
    Microservice { service_id: ID.clone(), timestamp: started.clone(), mod_timestamp: started, ..description() }
}

/// The service, where the tenant is its own.
pub(super) fn of_tenant(context: &Context, tenant: &Tenant) -> Option<Microservice> {
    is_home(tenant).then(|| service(context))
}

/// The service, if the name is its.
pub(super) fn named(context: &Context, tenant: &Tenant, app_id: &str, name: &str) -> Option<Microservice> {
    let asked = name == NAME && app_id == DEFAULT_APP;
    if asked { of_tenant(context, tenant) } else { None }
}

/// The service, if the id is its.
pub(super) fn by_id(context: &Context, tenant: &Tenant, id: &str) -> Option<Microservice> {
    if id == ID.as_str() { of_tenant(context, tenant) } else { None }
}

/// It cannot be changed by anybody.
pub(super) fn refuse_change(context: &Context, tenant: &Tenant, id: &str) -> Result<(), Failure> {
    match by_id(context, tenant, id) {
        Some(_) => Err(forbidden()),
        None => Ok(()),
    }
}

/// It stays as long as the server runs.
pub(super) fn refuse_drop(context: &Context, tenant: &Tenant, id: &str) -> Result<(), Failure> {
    match by_id(context, tenant, id) {
        Some(_) => Err(Failure::invalid(NO_DROP)),
        None => Ok(()),
    }
}

/// Nobody else registers under its name.
pub(super) fn refuse_another(own: &Microservice, service: &Microservice) -> Result<(), Failure> {
    let same = own.version == service.version && own.environment == service.environment;
    if same { Ok(()) } else { Err(forbidden()) }
}

fn forbidden() -> Failure {
    let detail = format!("{NAME} of the application {DEFAULT_APP} is the server itself: register another service");
    Failure::new(403_001, detail)
}

/// The server as an instance. `reached_at` is how the client reaches it.
pub(super) fn instance(context: &Context, reached_at: Option<String>) -> Instance {
    let address = reached_at.unwrap_or_else(|| context.config.listen.clone());
    let Microservice { service_id, timestamp, mod_timestamp, version, .. } = service(context);
    let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
    Instance {
        instance_id: INSTANCE.to_owned(),
        service_id,
        endpoints: vec![format!("rest://{address}/")],
        host_name: host.to_owned(),
        status: "UP".to_owned(),
        health_check: Some(HealthCheck { mode: "push".to_owned(), interval: 30, times: 3, ..HealthCheck::default() }),
        timestamp,
        mod_timestamp,
        version,
        ..Instance::default()
    }
}

/// The same as an answer to whoever looks for it.
pub(super) fn found(context: &Context, reached_at: Option<String>, revision: &str) -> Found {
    let body = serde_json::to_string(&instance(context, reached_at)).unwrap_or_default();
    Found::of_one(body.into(), revision)
}

async fn health(State(context): State<Shared>, head: Head<()>) -> Answer {
    Ok(answer::list("instances", &[instance(&context, head.reached_at())]))
}

/// Clients come back to an address that failed them as soon as this is a 200.
async fn readiness(State(context): State<Shared>, _head: Head<()>) -> Answer {
    if context.registry.takes_changes() {
        return Ok(answer::done());
    }
    let detail = "the registry's database cannot be written now; the server goes on trying";
    Err(Failure::new(500_011, detail).into())
}

async fn version(_head: Head<()>) -> Answer {
    Ok(answer::object(&json!({
        "version": VERSION,
        "buildTag": VERSION,
        "goVersion": "",
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "apiVersion": API_VERSION,
    })))
}
