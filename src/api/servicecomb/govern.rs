//! The registry as a person looks at it: all that is known of services at once, who depends on whom as a graph, and how
//! much there is. Command line tools and go-chassis read it.

use super::super::{Context, Route, Shared};
use super::answer::{self, Answer, Failure, Refused};
use super::dependencies::{Known, Side};
use super::request::Head;
use super::schemas::SchemaBody;
use super::services::read;
use super::{own, rules};
use crate::registry::{Microservice, Rule, Statistics};
use axum::extract::State;
use axum::http::Method;
use axum::routing::get;
use serde::ser::Error;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/v4/{project}/govern/microservices", handler: || get(list) },
    Route { method: Method::GET, path: "/v4/{project}/govern/microservices/{service_id}", handler: || get(one) },
    Route { method: Method::GET, path: "/v4/{project}/govern/relations", handler: || get(relations) },
    Route { method: Method::GET, path: "/v4/{project}/govern/apps", handler: || get(apps) },
    Route { method: Method::GET, path: "/v4/{project}/govern/statistics", handler: || get(statistics) },
];

/// Contracts' texts of one answer, in bytes.
const MOST_TEXT: usize = 64 << 20;
/// Properties that a service must have to be listed.
const MOST_PROPERTIES: usize = 100;

/// An instance, which is JSON already.
struct Raw(Arc<str>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// All that is known of a service, or what is asked of that.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    micro_service: Microservice,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    instances: Vec<Raw>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    schema_infos: Vec<SchemaBody>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    providers: Vec<Microservice>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    consumers: Vec<Microservice>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    micro_service_versions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statics: Option<Value>,
}

/// What a detail is to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Options {
    tags: bool,
    instances: bool,
    schemas: bool,
    dependencies: bool,
    statistics: bool,
    /// Instances are only counted.
    count_only: bool,
}

impl Options {
    /// Words between commas; those that mean nothing are skipped.
    fn parse(text: &str) -> Options {
        let mut options = Options::default();
        for word in text.split(',') {
            match word {
                "all" => {
                    let all = true;
                    options = Options { tags: all, instances: all, schemas: all, dependencies: all, ..options };
                    options.statistics = all;
                }
                "tags" => options.tags = true,
                "instances" => options.instances = true,
                "schemas" => options.schemas = true,
                "dependencies" => options.dependencies = true,
                "statistics" => options.statistics = true,
                _ => {}
            }
        }
        options
    }
}

async fn list(State(context): State<Shared>, head: Head<()>) -> Answer {
    let mut options = Options::parse(&head.query.text("options"));
    options.count_only = head.query.flag("countOnly")?;
    let wanted = Wanted::of(&head)?;
    let mut answer = serde_json::Map::new();
    if options.statistics {
        answer.insert("statistics".to_owned(), figures(context.registry.statistics(&head.tenant)));
        if options == (Options { statistics: true, count_only: options.count_only, ..Options::default() }) {
            return Ok(answer::object(&Value::Object(answer)));
        }
    }
    let mut services = context.registry.services(&head.tenant);
    if head.query.flag("withShared")? {
        services.extend(own::of_tenant(&context, &head.tenant).map(Into::into));
    }
    services.retain(|service| wanted.takes(service));
    let known = match options.dependencies {
        true => Some(Known::gather(&context, &head.tenant, &head.headers).await),
        false => None,
    };
    let mut details = Vec::new();
    let mut text = 0;
    for service in services {
        let mut detail = detail(&context, &head, &service, options, known.as_ref(), true).await?;
        text += detail.schema_infos.iter().map(SchemaBody::len).sum::<usize>();
        if text > MOST_TEXT {
            let rule = "the contracts' texts are too much for one answer: narrow it with appId, serviceName or env, or \
                ask for other options";
            return Err(Failure::invalid(rule).into());
        }
        // They are many, and only names.
        detail.micro_service.schemas.clear();
        details.push(detail);
    }
    let statistics = answer.remove("statistics");
    Ok(answer::object(&Overview { all_services_detail: details, statistics }))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    all_services_detail: Vec<Detail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statistics: Option<Value>,
}

/// Which services are listed; an empty text stands for all.
struct Wanted {
    environment: String,
    app_id: String,
    service_name: String,
    properties: BTreeMap<String, String>,
}

impl Wanted {
    fn of(head: &Head<()>) -> Result<Wanted, Failure> {
        let pairs = head.query.texts("property");
        if pairs.len() > MOST_PROPERTIES {
            return Err(Failure::invalid(format!("query parameter property: send up to {MOST_PROPERTIES}")));
        }
        let split = |pair: String| match pair.split_once(':') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (pair, String::new()),
        };
        Ok(Wanted {
            environment: head.query.text("env"),
            app_id: head.query.text("appId"),
            service_name: head.query.text("serviceName"),
            properties: pairs.into_iter().map(split).collect(),
        })
    }

    fn takes(&self, service: &Microservice) -> bool {
        let fits = |wanted: &str, own: &str| wanted.is_empty() || wanted == own;
        fits(&self.environment, &service.environment)
            && fits(&self.app_id, &service.app_id)
            && fits(&self.service_name, &service.service_name)
            && self.properties.iter().all(|(key, value)| service.properties.get(key) == Some(value))
    }
}

/// What the registry has of a service. One that goes meanwhile has nothing more.
async fn detail<P>(
    context: &Context,
    head: &Head<P>,
    service: &Microservice,
    options: Options,
    known: Option<&Known>,
    no_self: bool,
) -> Result<Detail, Refused> {
    let id = &service.service_id;
    let mut detail = Detail { micro_service: service.clone(), ..Detail::default() };
    let mut count = 0;
    if own::by_id(context, &head.tenant, id).is_some() {
        count = 1;
        if options.instances && !options.count_only {
            let instance = own::instance(context, head.reached_at());
            detail.instances = vec![Raw(serde_json::to_string(&instance).unwrap_or_default().into())];
        }
    } else {
        if options.tags {
            detail.tags = context.registry.tags(&head.tenant, id).unwrap_or_default();
        }
        if options.instances {
            let instances = context.registry.instances(&head.tenant, id).unwrap_or_default();
            count = instances.len();
            if !options.count_only {
                detail.instances = instances.into_iter().map(Raw).collect();
            }
        }
        if options.schemas {
            let schemas = context.registry.schemas(&head.tenant, id, true).await;
            detail.schema_infos = gone_is_none(schemas.map_err(Failure::from))?.into_iter().map(Into::into).collect();
        }
    }
    if options.count_only {
        detail.statics = Some(match options.instances {
            true => json!({ "instances": { "count": count } }),
            false => json!({}),
        });
    }
    if let Some(known) = known {
        let side = |side| gone_is_none(known.others(context, service, side, no_self));
        detail.providers = side(Side::Providers)?.into_iter().map(|other| other.described()).collect();
        detail.consumers = side(Side::Consumers)?.into_iter().map(|other| other.described()).collect();
    }
    Ok(detail)
}

fn gone_is_none<T>(found: Result<Vec<T>, Failure>) -> Result<Vec<T>, Failure> {
    match found {
        Err(Failure { code: 400_012, .. }) => Ok(Vec::new()),
        found => found,
    }
}

async fn one(State(context): State<Shared>, head: Head<String>) -> Answer {
    let service = read(&context, &head.tenant, &head.path)?;
    let known = Known::gather(&context, &head.tenant, &head.headers).await;
    let options = Options::parse("all");
    let mut detail = detail(&context, &head, &service, options, Some(&known), false).await?;
    let versions = context.registry.services_by_name(&head.tenant, &service.family(), Rule::All);
    let mut versions: Vec<String> =
        versions.unwrap_or_default().iter().map(|service| service.version.clone()).collect();
    if versions.is_empty() {
        versions.push(service.version.clone());
    }
    detail.micro_service_versions = versions;
    Ok(answer::object(&json!({ "service": detail })))
}

/// A service in the graph.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    id: String,
    name: String,
    app_id: String,
    version: String,
    #[serde(rename = "type")]
    kind: String,
    color: String,
    position: String,
}

impl Node {
    fn of(service: &Microservice) -> Node {
        let Microservice { service_id: id, service_name: name, app_id, version, .. } = service.clone();
        Node { id, name, app_id, version, ..Node::default() }
    }
}

/// A dependency in the graph, from the consumer to the provider. Its description says where it is known from.
#[derive(Serialize)]
struct Line {
    from: Node,
    to: Node,
    #[serde(rename = "type")]
    kind: String,
    color: String,
    descriptor: &'static str,
}

#[derive(Serialize)]
struct Graph {
    nodes: Vec<Node>,
    lines: Vec<Line>,
    /// The service centre never fills it either.
    circles: Vec<Value>,
}

async fn relations(State(context): State<Shared>, head: Head<()>) -> Answer {
    let mut services = context.registry.services(&head.tenant);
    if head.query.flag("withShared")? {
        services.extend(own::of_tenant(&context, &head.tenant).map(Into::into));
    }
    let known = Known::gather(&context, &head.tenant, &head.headers).await;
    let mut graph = Graph { nodes: Vec::new(), lines: Vec::new(), circles: Vec::new() };
    // What is only seen in traces, by name.
    let mut strangers: BTreeMap<String, Node> = BTreeMap::new();
    for service in &services {
        let from = Node::of(service);
        for other in gone_is_none(known.others(&context, service, Side::Providers, true))? {
            let to = Node::of(&other.service);
            if to.id.is_empty() {
                strangers.insert(to.name.clone(), to.clone());
            }
            let (kind, color) = (String::new(), String::new());
            graph.lines.push(Line { from: from.clone(), to, kind, color, descriptor: other.known_from });
        }
        // A caller that is not registered has no turn of its own.
        for other in gone_is_none(known.others(&context, service, Side::Consumers, true))? {
            if other.service.service_id.is_empty() {
                let caller = Node::of(&other.service);
                strangers.insert(caller.name.clone(), caller.clone());
                let (kind, color) = (String::new(), String::new());
                let to = from.clone();
                graph.lines.push(Line { from: caller, to, kind, color, descriptor: other.known_from });
            }
        }
        graph.nodes.push(from);
    }
    graph.nodes.extend(strangers.into_values());
    Ok(answer::object(&graph))
}

async fn apps(State(context): State<Shared>, head: Head<()>) -> Answer {
    let environment = head.query.text("env");
    rules::environment("query parameter env", &environment)?;
    let mut services = context.registry.services(&head.tenant);
    if head.query.flag("withShared")? {
        services.extend(own::of_tenant(&context, &head.tenant).map(Into::into));
    }
    let of_environment = |service: &&Arc<Microservice>| environment.is_empty() || service.environment == environment;
    let apps: BTreeSet<&str> = services.iter().filter(of_environment).map(|service| service.app_id.as_str()).collect();
    let apps: Vec<&str> = apps.into_iter().collect();
    Ok(answer::list("appIds", &apps))
}

async fn statistics(State(context): State<Shared>, head: Head<()>) -> Answer {
    Ok(answer::object(&json!({ "statistics": figures(context.registry.statistics(&head.tenant)) })))
}

fn figures(statistics: Statistics) -> Value {
    let Statistics { services, online_services, instances, instances_of_domain, apps } = statistics;
    json!({
        "services": { "count": services, "onlineCount": online_services },
        "instances": { "count": instances, "countByDomain": instances_of_domain },
        "apps": { "count": apps },
    })
}
