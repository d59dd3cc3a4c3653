//! Instances: registered, kept alive, changed, found and watched.

use super::super::object::Object;
use super::super::{Context, Route, Shared};
use super::answer::{self, Answer, Failure, REVISION};
use super::request::{self, Head, INSTANCE_BODY, PROPERTIES_BODY, USUAL_BODY};
use super::services::{read, texts};
use super::{own, rules};
use crate::registry::{Family, Find, Found, Instance, Rule, Tenant, WantedTags, or_default};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use rand::TryRngCore;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/v4/{project}/registry/microservices/{service_id}/instances",
        handler: || post(register),
    },
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/instances",
        handler: || get(of_service),
    },
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/instances/{instance_id}",
        handler: || get(one),
    },
    Route {
        method: Method::DELETE,
        path: "/v4/{project}/registry/microservices/{service_id}/instances/{instance_id}",
        handler: || axum::routing::delete(unregister),
    },
    Route {
        method: Method::PUT,
        path: "/v4/{project}/registry/microservices/{service_id}/instances/{instance_id}/properties",
        handler: || put(put_properties),
    },
    Route {
        method: Method::PUT,
        path: "/v4/{project}/registry/microservices/{service_id}/instances/{instance_id}/status",
        handler: || put(put_status),
    },
    Route {
        method: Method::PUT,
        path: "/v4/{project}/registry/microservices/{service_id}/instances/{instance_id}/heartbeat",
        handler: || put(heartbeat),
    },
    Route { method: Method::PUT, path: "/v4/{project}/registry/heartbeats", handler: || put(heartbeats) },
    Route { method: Method::GET, path: "/v4/{project}/registry/instances", handler: || get(find) },
    Route { method: Method::POST, path: "/v4/{project}/registry/instances/action", handler: || post(find_many) },
];

/// Heartbeats of one request.
const MOST_HEARTBEATS: usize = 10_000;
/// Bytes of instances that one request of many questions is answered.
const MOST_ANSWERED: usize = 32 << 20;
/// Services and instances that one request asks for.
const MOST_QUESTIONS: usize = 1_000;

#[derive(Deserialize)]
struct Registration {
    instance: Option<Object<Instance>>,
}

async fn register(State(context): State<Shared>, head: Head<String>, body: Body) -> Answer {
    let request: Registration = request::json(&context, &head.headers, body, INSTANCE_BODY).await?;
    let Object(mut instance) = request.instance.ok_or_else(|| Failure::invalid("instance: send an object"))?;
    instance.service_id = head.path;
    rules::service_id("path: the service's id", &instance.service_id)?;
    rules::instance(&mut instance)?;
    own::refuse_change(&context, &head.tenant, &instance.service_id)?;
    let id = context.registry.register_instance(&head.tenant, instance, new_id()?).await?;
    Ok(answer::object(&json!({ "instanceId": id })))
}

/// 32 hex digits, as a random UUID without its hyphens.
pub(super) fn new_id() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    let drawn = rand::rngs::OsRng.try_fill_bytes(&mut bytes);
    drawn.map_err(|e| Failure::new(500_003, format!("cannot draw a random id: {e}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

async fn of_service(State(context): State<Shared>, head: Head<String>) -> Answer {
    rules::service_id("path: the service's id", &head.path)?;
    if !may_find(&context, &head.tenant, consumer(&head.headers)?, &head.path)? {
        return Err(Failure::new(400_012, format!("Provider[{}] is not for this consumer.", head.path)).into());
    }
    let tags = rules::wanted_tags(&head.query.text("tags"))?;
    if own::by_id(&context, &head.tenant, &head.path).is_some() {
        return Ok(list(own::found(&context, head.reached_at(), &head.query.text("rev"))));
    }
    let found = context.registry.instances_since(&head.tenant, &head.path, &tags, &head.query.text("rev"))?;
    Ok(list(found))
}

/// Whether whoever asks may find a provider. A consumer that is named must be there.
fn may_find(context: &Context, tenant: &Tenant, consumer: Option<&str>, provider: &str) -> Result<bool, Failure> {
    let Some(consumer) = consumer else { return Ok(true) };
    let missing = |failure: Failure| match failure.code {
        400_012 => Failure::new(400_012, format!("Consumer[{consumer}] does not exist.")),
        _ => failure,
    };
    let consumer = read(context, tenant, consumer).map_err(missing)?;
    let own = own::by_id(context, tenant, provider).is_some();
    Ok(own || read(context, tenant, provider)?.lets(&consumer))
}

/// An instance that a consumer may not find.
fn hidden(service: &str, instance: &str) -> Failure {
    Failure::new(400_017, format!("Instance[{service}/{instance}] is not for this consumer."))
}

fn consumer(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    match headers.get("x-consumerid").map(|value| value.to_str()) {
        None | Some(Ok("")) => Ok(None),
        Some(Ok(id)) => Ok(Some(id)),
        Some(Err(_)) => Err(Failure::invalid("header X-ConsumerId: send the id of a service")),
    }
}

async fn one(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let (service, instance) = &head.path;
    check(service, instance)?;
    let tags = rules::wanted_tags(&head.query.text("tags"))?;
    let revision = head.query.text("rev");
    let found = if own::by_id(&context, &head.tenant, service).is_some() && instance == own::INSTANCE {
        own::found(&context, head.reached_at(), &revision)
    } else {
        let allowed = may_find(&context, &head.tenant, consumer(&head.headers)?, service)?;
        let tagged = allowed && context.registry.is_tagged(&head.tenant, service, &tags)?;
        if !tagged {
            return Err(hidden(service, instance).into());
        }
        Found::of_one(context.registry.instance(&head.tenant, service, instance)?, &revision)
    };
    let body = |bodies: &[Arc<str>]| format!("{{\"instance\":{}}}", bodies.first().map_or("{}", |body| body));
    Ok(revised(found, body))
}

fn check(service: &str, instance: &str) -> Result<(), Failure> {
    rules::service_id("path: the service's id", service)?;
    rules::instance_id("path: the instance's id", instance)
}

async fn unregister(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let (service, instance) = &head.path;
    check(service, instance)?;
    context.registry.drop_instance(&head.tenant, service, instance).await?;
    Ok(answer::done())
}

#[derive(Deserialize)]
struct Properties {
    properties: Option<BTreeMap<String, Option<String>>>,
}

async fn put_properties(State(context): State<Shared>, head: Head<(String, String)>, body: Body) -> Answer {
    let request: Properties = request::json(&context, &head.headers, body, PROPERTIES_BODY).await?;
    let properties = texts(request.properties);
    let (service, instance) = &head.path;
    check(service, instance)?;
    let change = |instance: &mut Instance| instance.properties = properties;
    context.registry.change_instance(&head.tenant, service, instance, change).await?;
    Ok(answer::done())
}

async fn put_status(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let status = head.query.text("value");
    rules::instance_status("query parameter value", &status)?;
    let (service, instance) = &head.path;
    check(service, instance)?;
    let change = |instance: &mut Instance| instance.status = status;
    context.registry.change_instance(&head.tenant, service, instance, change).await?;
    Ok(answer::done())
}

async fn heartbeat(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let (service, instance) = &head.path;
    context.registry.heartbeat(&head.tenant, service, instance).map_err(|fault| {
        // What cannot be an id is not there either.
        check(service, instance).err().unwrap_or_else(|| fault.into())
    })?;
    Ok(answer::done())
}

#[derive(Deserialize)]
struct Heartbeats<'a> {
    #[serde(borrow)]
    instances: Option<Vec<Pair<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pair<'a> {
    #[serde(borrow)]
    service_id: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    instance_id: std::borrow::Cow<'a, str>,
}

async fn heartbeats(State(context): State<Shared>, head: Head<()>, body: Body) -> Answer {
    let body = super::super::body::read(&context, &head.headers, body).await?;
    if body.len() > USUAL_BODY {
        return Err(Failure::invalid(format!("the body is larger than {USUAL_BODY} bytes: send less")).into());
    }
    let request: Heartbeats<'_> =
        serde_json::from_slice(&body).map_err(|e| Failure::invalid(format!("the body is not as expected: {e}")))?;
    let pairs = request.instances.unwrap_or_default();
    if pairs.is_empty() || pairs.len() > MOST_HEARTBEATS {
        return Err(Failure::invalid(format!(
            "instances: send 1 to {MOST_HEARTBEATS} pairs of serviceId and instanceId"
        ))
        .into());
    }
    let living =
        context.registry.heartbeats(&head.tenant, pairs.iter().map(|pair| (&*pair.service_id, &*pair.instance_id)));
    let answers: Vec<HeartbeatAnswer<'_>> = pairs
        .iter()
        .zip(living)
        .map(|(pair, lives)| HeartbeatAnswer {
            service_id: &pair.service_id,
            instance_id: &pair.instance_id,
            err_message: if lives { "" } else { "Service instance does not exist." },
        })
        .collect();
    Ok(answer::object(&json!({ "instances": answers })))
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct HeartbeatAnswer<'a> {
    service_id: &'a str,
    instance_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    err_message: &'a str,
}

/// Instances with their revision, or that they have not changed.
fn list(found: Found) -> Response {
    revised(found, answer::instances)
}

fn revised(found: Found, body: impl FnOnce(&[Arc<str>]) -> String) -> Response {
    let mut response = match found.instances {
        Some(instances) => answer::json(body(&instances)),
        None => StatusCode::NOT_MODIFIED.into_response(),
    };
    if let Ok(revision) = HeaderValue::from_str(&found.revision) {
        response.headers_mut().insert(REVISION, revision);
    }
    response
}

async fn find(State(context): State<Shared>, head: Head<()>) -> Answer {
    let question = Question {
        environment: head.query.text("env"),
        app_id: head.query.text("appId"),
        service_name: head.query.text("serviceName"),
        version: head.query.text("version"),
    };
    let tags = rules::wanted_tags(&head.query.text("tags"))?;
    // Whoever must not get an answer from memory says so; there is none here but the truth.
    let silent = head.query.flag("noCache")? || head.query.flag("cacheOnly")?;
    let revision = if silent { String::new() } else { head.query.text("rev") };
    if own::named(&context, &head.tenant, &question.app_id, &question.service_name).is_some() {
        return Ok(list(own::found(&context, head.reached_at(), &revision)));
    }
    Ok(list(question.ask(&context, &head.tenant, consumer(&head.headers)?, &tags, &revision)?))
}

/// A service that a consumer looks for.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Question {
    #[serde(deserialize_with = "or_default")]
    environment: String,
    #[serde(deserialize_with = "or_default")]
    app_id: String,
    #[serde(deserialize_with = "or_default")]
    service_name: String,
    #[serde(deserialize_with = "or_default")]
    version: String,
}

impl Question {
    fn check(&self) -> Result<Rule, Failure> {
        rules::environment("env", &self.environment)?;
        rules::app_id("appId", &self.app_id)?;
        rules::wanted_name("serviceName", &self.service_name)?;
        Rule::parse(&self.version)
            .ok_or_else(|| Failure::invalid("version: send latest, 1.0.0, 1.0.0+, 1.0.0-2.0.0, or nothing for all"))
    }

    fn ask(
        &self,
        context: &Context,
        tenant: &Tenant,
        consumer: Option<&str>,
        tags: &WantedTags,
        revision: &str,
    ) -> Result<Found, Failure> {
        let rule = self.check()?;
        let provider = Family::new(&self.environment, &self.app_id, &self.service_name);
        Ok(context.registry.find(tenant, Find { consumer, provider, rule, tags, revision })?)
    }
}

#[derive(Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[derive(Default)]
struct Questions {
    consumer_service_id: Option<String>,
    services: Option<Vec<ServiceQuestion>>,
    instances: Option<Vec<InstanceQuestion>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceQuestion {
    #[serde(deserialize_with = "or_default")]
    service: Question,
    rev: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InstanceQuestion {
    #[serde(deserialize_with = "or_default")]
    instance: OneInstance,
    rev: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OneInstance {
    #[serde(deserialize_with = "or_default")]
    service_id: String,
    #[serde(deserialize_with = "or_default")]
    instance_id: String,
}

/// What is asked of a batch that has nothing wrong in it.
impl Questions {
    fn check(&self) -> Result<(), Failure> {
        for question in self.services.iter().flatten() {
            question.service.check()?;
        }
        for question in self.instances.iter().flatten() {
            let OneInstance { service_id, instance_id } = &question.instance;
            rules::service_id("instances.instance.serviceId", service_id)?;
            rules::instance_id("instances.instance.instanceId", instance_id)?;
        }
        Ok(())
    }
}

async fn find_many(State(context): State<Shared>, head: Head<()>, body: Body) -> Answer {
    if head.query.text("type") != "query" {
        return Err(Failure::invalid("query parameter type: send query").into());
    }
    let request: Questions = request::json(&context, &head.headers, body, USUAL_BODY).await?;
    // What is wrong with one is wrong with all of it; what is missing is told one by one.
    request.check()?;
    let services = request.services.unwrap_or_default();
    let instances = request.instances.unwrap_or_default();
    let asked = services.len() + instances.len();
    if asked == 0 || asked > MOST_QUESTIONS {
        let rule = format!("services, instances: send 1 to {MOST_QUESTIONS} of them together");
        return Err(Failure::invalid(rule).into());
    }
    let in_body = request.consumer_service_id.filter(|id| !id.is_empty());
    let consumer = consumer(&head.headers)?.or(in_body.as_deref());
    let tags = WantedTags::new();
    let mut parts = Vec::new();
    let mut room = MOST_ANSWERED;
    if !services.is_empty() {
        let mut sorted = Sorted::default();
        for (index, question) in services.iter().enumerate() {
            let revision = question.rev.as_deref().unwrap_or_default();
            let Question { app_id, service_name, .. } = &question.service;
            let found = match own::named(&context, &head.tenant, app_id, service_name) {
                Some(_) => Ok(own::found(&context, head.reached_at(), revision)),
                None => question.service.ask(&context, &head.tenant, consumer, &tags, revision),
            };
            sorted.add(index, found, &mut room)?;
        }
        parts.push(format!("\"services\":{}", sorted.into_json()));
    }
    if !instances.is_empty() {
        let mut sorted = Sorted::default();
        for (index, question) in instances.iter().enumerate() {
            let OneInstance { service_id, instance_id } = &question.instance;
            let revision = question.rev.as_deref().unwrap_or_default();
            let found = match may_find(&context, &head.tenant, consumer, service_id) {
                Ok(true) => context.registry.instance(&head.tenant, service_id, instance_id).map_err(Failure::from),
                Ok(false) => Err(hidden(service_id, instance_id)),
                Err(failure) => Err(failure),
            };
            sorted.add(index, found.map(|body| Found::of_one(body, revision)), &mut room)?;
        }
        parts.push(format!("\"instances\":{}", sorted.into_json()));
    }
    Ok(answer::json(format!("{{{}}}", parts.join(","))))
}

/// Answers of a batch, by what became of each.
#[derive(Default)]
struct Sorted {
    /// By code: the numbers of the questions, and the first one's failure.
    failed: BTreeMap<u32, (Vec<usize>, Option<Failure>)>,
    not_modified: Vec<usize>,
    /// Each as JSON.
    updated: Vec<String>,
}

impl Sorted {
    /// `room` is what the whole answer may still have.
    fn add(&mut self, index: usize, outcome: Result<Found, Failure>, room: &mut usize) -> Result<(), Failure> {
        match outcome {
            Ok(Found { instances: None, .. }) => self.not_modified.push(index),
            Ok(Found { instances: Some(bodies), revision }) => {
                let length: usize = bodies.iter().map(|body| body.len() + 1).sum();
                *room = room.checked_sub(length).ok_or_else(|| {
                    let most = MOST_ANSWERED >> 20;
                    Failure::invalid(format!("the answer is longer than {most} MiB: ask for fewer services at a time"))
                })?;
                let instances = match bodies.is_empty() {
                    true => String::new(),
                    false => format!(",\"instances\":[{}]", bodies.join(",")),
                };
                self.updated.push(format!("{{\"index\":{index},\"rev\":\"{revision}\"{instances}}}"));
            }
            Err(failure) => {
                let (indexes, first) = self.failed.entry(failure.code).or_default();
                indexes.push(index);
                first.get_or_insert(failure);
            }
        }
        Ok(())
    }

    fn into_json(self) -> String {
        let mut parts = Vec::new();
        if !self.failed.is_empty() {
            let failed = self
                .failed
                .into_values()
                .filter_map(|(indexes, failure)| Some(json!({ "indexes": indexes, "error": failure?.to_json() })));
            parts.push(format!("\"failed\":{}", Value::from_iter(failed)));
        }
        if !self.not_modified.is_empty() {
            parts.push(format!("\"notModified\":{}", json!(self.not_modified)));
        }
        if !self.updated.is_empty() {
            parts.push(format!("\"updated\":[{}]", self.updated.join(",")));
        }
        format!("{{{}}}", parts.join(","))
    }
}
