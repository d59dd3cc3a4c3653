//! Tags of services, by which consumers choose among them.

use super::super::{Route, Shared};
use super::answer::{self, Answer, Failure};
use super::request::{self, Head, USUAL_BODY};
use super::services::{read, texts};
use super::{own, rules};
use crate::registry::{Fault, FaultKind};
use axum::body::Body;
use axum::extract::State;
use axum::http::Method;
use axum::routing::{delete, get, post, put};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/v4/{project}/registry/microservices/{service_id}/tags",
        handler: || post(add),
    },
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/tags",
        handler: || get(list),
    },
    Route {
        method: Method::PUT,
        path: "/v4/{project}/registry/microservices/{service_id}/tags/{key}",
        handler: || put(change),
    },
    Route {
        method: Method::DELETE,
        path: "/v4/{project}/registry/microservices/{service_id}/tags/{key}",
        handler: || delete(drop_many),
    },
];

#[derive(Deserialize)]
struct Tags {
    tags: Option<BTreeMap<String, Option<String>>>,
}

async fn add(State(context): State<Shared>, head: Head<String>, body: Body) -> Answer {
    rules::service_id("path: the service's id", &head.path)?;
    let request: Tags = request::json(&context, &head.headers, body, USUAL_BODY).await?;
    let added = texts(request.tags);
    rules::tags(&added, context.config.registry.max_tags)?;
    own::refuse_change(&context, &head.tenant, &head.path)?;
    let change = |tags: &mut BTreeMap<String, String>| {
        tags.extend(added);
        Ok(())
    };
    context.registry.change_tags(&head.tenant, &head.path, change).await?;
    Ok(answer::done())
}

async fn list(State(context): State<Shared>, head: Head<String>) -> Answer {
    read(&context, &head.tenant, &head.path)?;
    let own = own::by_id(&context, &head.tenant, &head.path).is_some();
    let tags = if own { BTreeMap::new() } else { context.registry.tags(&head.tenant, &head.path)? };
    let mut answer = Map::new();
    if !tags.is_empty() {
        answer.insert("tags".to_owned(), json!(tags));
    }
    Ok(answer::object(&Value::Object(answer)))
}

async fn change(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let (service, key) = &head.path;
    let value = head.query.text("value");
    rules::service_id("path: the service's id", service)?;
    rules::tag("path: the tag's key", key)?;
    rules::tag("query parameter value", &value)?;
    own::refuse_change(&context, &head.tenant, service)?;
    let change = |tags: &mut BTreeMap<String, String>| match tags.get_mut(key) {
        Some(old) => {
            *old = value;
            Ok(())
        }
        None => Err(Fault::new(FaultKind::TagMissing, "Tag does not exist, please add one first.")),
    };
    context.registry.change_tags(&head.tenant, service, change).await?;
    Ok(answer::done())
}

/// The path names one or more, with commas between them: all of them go, or none.
async fn drop_many(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let (service, keys) = &head.path;
    rules::service_id("path: the service's id", service)?;
    let keys: Vec<&str> = keys.split(',').collect();
    let most = context.config.registry.max_tags;
    if keys.len() > most {
        return Err(Failure::invalid(format!("path: name up to {most} tags")).into());
    }
    for key in &keys {
        rules::tag("path: the tag's key", key)?;
    }
    own::refuse_change(&context, &head.tenant, service)?;
    let change = |tags: &mut BTreeMap<String, String>| {
        if let Some(missing) = keys.iter().find(|key| !tags.contains_key(**key)) {
            let detail = format!("Delete tags failed for this key {missing} does not exist.");
            return Err(Fault::new(FaultKind::TagMissing, detail));
        }
        tags.retain(|key, _| !keys.contains(&key.as_str()));
        Ok(())
    };
    context.registry.change_tags(&head.tenant, service, change).await?;
    Ok(answer::done())
}
