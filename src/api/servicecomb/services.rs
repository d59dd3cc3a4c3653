//! Services: registered, looked for, read, changed and dropped.

use super::super::object::Object;
use super::super::{Context, Route, Shared};
use super::answer::{self, Answer, Failure, Refused};
use super::request::{self, Head, PROPERTIES_BODY, USUAL_BODY};
use super::{instances, own, rules, schemas};
use crate::registry::{Family, Fault, FaultKind, Framework, Instance, Microservice, Rule, Tenant};
use axum::body::Body;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{delete, get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, HashSet};

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/v4/{project}/registry/microservices", handler: || post(register) },
    Route { method: Method::GET, path: "/v4/{project}/registry/microservices", handler: || get(list) },
    Route { method: Method::DELETE, path: "/v4/{project}/registry/microservices", handler: || delete(drop_many) },
    Route { method: Method::GET, path: "/v4/{project}/registry/microservices/{service_id}", handler: || get(one) },
    Route {
        method: Method::DELETE,
        path: "/v4/{project}/registry/microservices/{service_id}",
        handler: || delete(drop_one),
    },
    Route {
        method: Method::PUT,
        path: "/v4/{project}/registry/microservices/{service_id}/properties",
        handler: || put(put_properties),
    },
    Route { method: Method::GET, path: "/v4/{project}/registry/existence", handler: || get(existence) },
];

/// Instances that come with their service.
const MOST_INSTANCES: usize = 1_000;
/// Services that one request drops.
const MOST_DROPPED: usize = 10_000;

/// Rules, which say who may find a service, may come too; the service centre itself has given them up.
#[derive(Deserialize)]
struct Registration {
    service: Option<Object<Microservice>>,
    tags: Option<BTreeMap<String, Option<String>>>,
    instances: Option<Vec<Object<Instance>>>,
}

async fn register(State(context): State<Shared>, head: Head<()>, body: Body) -> Answer {
    let request: Registration = request::json(&context, &head.headers, body, USUAL_BODY).await?;
    let Object(mut service) = request.service.ok_or_else(|| Failure::invalid("service: send an object"))?;
    let settings = &context.config.registry;
    rules::service(&mut service, settings.max_schemas)?;
    let tags = texts(request.tags);
    rules::tags(&tags, settings.max_tags)?;
    let mut started: Vec<Instance> =
        request.instances.unwrap_or_default().into_iter().map(|Object(instance)| instance).collect();
    if started.len() > MOST_INSTANCES {
        return Err(Failure::invalid(format!("instances: send up to {MOST_INSTANCES}")).into());
    }
    for instance in &mut started {
        rules::instance(instance)?;
    }
    if let Some(own) = own::named(&context, &head.tenant, &service.app_id, &service.service_name) {
        own::refuse_another(&own, &service)?;
        return Ok(answer::object(&json!({ "serviceId": own.service_id })));
    }
    let with_ids: Result<Vec<_>, Failure> =
        started.into_iter().map(|instance| Ok((instance, instances::new_id()?))).collect();
    let id = context.registry.register_service(&head.tenant, service, tags, with_ids?).await?;
    Ok(answer::object(&json!({ "serviceId": id })))
}

/// Texts by name; one that is null is empty.
pub(super) fn texts(given: Option<BTreeMap<String, Option<String>>>) -> BTreeMap<String, String> {
    given.unwrap_or_default().into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect()
}

async fn list(State(context): State<Shared>, head: Head<()>) -> Answer {
    let mut services = context.registry.services(&head.tenant);
    if head.query.flag("withShared")? {
        services.extend(own::of_tenant(&context, &head.tenant).map(Into::into));
    }
    Ok(answer::list("services", &services))
}

async fn one(State(context): State<Shared>, head: Head<String>) -> Answer {
    let service = read(&context, &head.tenant, &head.path)?;
    Ok(answer::object(&json!({ "service": service })))
}

/// A service by its id, the server's own among them.
pub(super) fn read(context: &Context, tenant: &Tenant, id: &str) -> Result<std::sync::Arc<Microservice>, Failure> {
    rules::service_id("path: the service's id", id)?;
    if let Some(own) = own::by_id(context, tenant, id) {
        return Ok(own.into());
    }
    Ok(context.registry.service(tenant, id)?)
}

async fn drop_one(State(context): State<Shared>, head: Head<String>) -> Answer {
    let force = head.query.flag("force")?;
    rules::service_id("path: the service's id", &head.path)?;
    own::refuse_drop(&context, &head.tenant, &head.path)?;
    context.registry.drop_service(&head.tenant, &head.path, force).await?;
    Ok(answer::done())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Unwanted {
    service_ids: Option<Vec<String>>,
    force: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dropped {
    service_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    err_message: String,
}

async fn drop_many(State(context): State<Shared>, head: Head<()>, body: Body) -> Answer {
    // The service centre reads it from the body, its document has it in the query.
    let force = head.query.flag("force")?;
    let request: Unwanted = request::json(&context, &head.headers, body, USUAL_BODY).await?;
    let mut ids = request.service_ids.unwrap_or_default();
    if ids.is_empty() || ids.len() > MOST_DROPPED {
        return Err(Failure::invalid(format!("serviceIds: send 1 to {MOST_DROPPED} ids of services")).into());
    }
    for id in &ids {
        rules::service_id("serviceIds", id)?;
    }
    let mut seen = HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let own = ids.iter().position(|id| own::by_id(&context, &head.tenant, id).is_some());
    let own = own.map(|place| (place, ids.remove(place)));
    let force = force || request.force.unwrap_or_default();
    let mut outcomes = context.registry.drop_services(&head.tenant, ids, force).await?;
    if let Some((place, id)) = own {
        outcomes.insert(place, (id, Err(Fault::invalid(own::NO_DROP))));
    }
    let dropped = |(service_id, outcome): (String, Result<(), Fault>)| Dropped {
        service_id,
        err_message: outcome.err().map(|fault| Failure::from(fault).to_string()).unwrap_or_default(),
    };
    let dropped: Vec<Dropped> = outcomes.into_iter().map(dropped).collect();
    Ok(answer::object(&json!({ "services": dropped })))
}

/// Some clients send the whole service: only these two of its fields count.
#[derive(Deserialize)]
struct Properties {
    properties: Option<BTreeMap<String, Option<String>>>,
    framework: Option<Framework>,
}

async fn put_properties(State(context): State<Shared>, head: Head<String>, body: Body) -> Answer {
    rules::service_id("path: the service's id", &head.path)?;
    let request: Properties = request::json(&context, &head.headers, body, PROPERTIES_BODY).await?;
    if let Some(framework) = &request.framework {
        rules::framework("framework", framework)?;
    }
    own::refuse_change(&context, &head.tenant, &head.path)?;
    let properties = texts(request.properties);
    context.registry.change_service(&head.tenant, &head.path, properties, request.framework).await?;
    Ok(answer::done())
}

async fn existence(State(context): State<Shared>, head: Head<()>) -> Answer {
    match head.query.text("type").as_str() {
        "microservice" => {
            let id = service_existence(&context, &head)?;
            Ok(answer::object(&json!({ "serviceId": id })))
        }
        "schema" => schemas::existence(&context, &head),
        _ => Err(Failure::invalid("query parameter type: send microservice or schema").into()),
    }
}

fn service_existence(context: &Context, head: &Head<()>) -> Result<String, Refused> {
    let [environment, app_id, name, version] =
        ["env", "appId", "serviceName", "version"].map(|name| head.query.text(name));
    rules::environment("query parameter env", &environment)?;
    rules::app_id("query parameter appId", &app_id)?;
    rules::wanted_name("query parameter serviceName", &name)?;
    rules::version("query parameter version", &version)?;
    let services = match own::named(context, &head.tenant, &app_id, &name) {
        Some(own) if own.environment == environment => vec![own.into()],
        _ => context.registry.services_by_name(&head.tenant, &Family::new(&environment, &app_id, &name), Rule::All)?,
    };
    // As it was written: 1.0 and 1.0.0 are two services.
    let found = services.into_iter().find(|service| service.version == version);
    let missing = || {
        let detail = format!("Service[{environment}/{app_id}/{name}] has no version {version}.");
        Fault::new(FaultKind::VersionMissing, detail)
    };
    Ok(found.ok_or_else(missing)?.service_id.clone())
}
