//! The names that a UI offers: services, their spans, their peers, and the values of the configured tags.
//!
//! Names are stored as sent; the peer does not regard their case, so here they are folded, and those that become equal
//! are one. Browsers may keep names for a while once there are more than a few: who is just beginning wants to see each
//! new one.

use super::parameters::{Parameters, out_of_bounds};
use super::query::json;
use crate::api::lookup;
use crate::api::{Context, Refusal, Route, Shared, project};
use crate::codec::zipkin::push_json_text;
use crate::config::Projects;
use crate::error::Result as StoreResult;
use crate::query::names::{self, Names};
use crate::store::Snapshot;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use axum::routing::get;
use std::sync::atomic::{AtomicBool, Ordering};

pub(in crate::api) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/api/v2/services", handler: || get(get_services) },
    Route { method: Method::GET, path: "/zipkin/api/v2/services", handler: || get(get_services) },
    Route { method: Method::GET, path: "/api/v2/spans", handler: || get(get_span_names) },
    Route { method: Method::GET, path: "/zipkin/api/v2/spans", handler: || get(get_span_names) },
    Route { method: Method::GET, path: "/api/v2/remoteServices", handler: || get(get_remote_services) },
    Route { method: Method::GET, path: "/zipkin/api/v2/remoteServices", handler: || get(get_remote_services) },
    Route { method: Method::GET, path: "/api/v2/autocompleteKeys", handler: || get(get_keys) },
    Route { method: Method::GET, path: "/zipkin/api/v2/autocompleteKeys", handler: || get(get_keys) },
    Route { method: Method::GET, path: "/api/v2/autocompleteValues", handler: || get(get_values) },
    Route { method: Method::GET, path: "/zipkin/api/v2/autocompleteValues", handler: || get(get_values) },
];

/// Up to so many names are asked for anew each time.
const FEW: usize = 3;

/// Whether there were more than a few services when they were last asked for.
#[derive(Debug, Default)]
pub(in crate::api) struct ManyServices(AtomicBool);

async fn get_services(State(context): State<Shared>, headers: HeaderMap) -> Result<Response, Refusal> {
    let found = folded(ask(&context, &headers, names::services).await?);
    let many = found.names.len() > FEW;
    context.many_services.0.store(many, Ordering::Relaxed);
    Ok(answer(&context, &found, many))
}

async fn get_span_names(
    State(context): State<Shared>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    of_service(&context, parameters.as_deref(), &headers, names::span_names).await
}

async fn get_remote_services(
    State(context): State<Shared>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    of_service(&context, parameters.as_deref(), &headers, names::remote_services).await
}

/// Names that a service bears.
async fn of_service(
    context: &Context,
    parameters: Option<&str>,
    headers: &HeaderMap,
    names: impl FnOnce(&Snapshot, &str, &str) -> StoreResult<Names> + Send + 'static,
) -> Result<Response, Refusal> {
    let service = Parameters::of(parameters).required("serviceName", "a service's name")?.to_lowercase();
    let found = if service.is_empty() {
        Names::default()
    } else {
        folded(ask(context, headers, move |snapshot, project| names(snapshot, project, &service)).await?)
    };
    Ok(answer(context, &found, context.many_services.0.load(Ordering::Relaxed)))
}

async fn get_keys(State(context): State<Shared>) -> Response {
    let mut names = context.config.zipkin.autocomplete_keys.clone();
    names.sort();
    answer(&context, &Names { names, ..Names::default() }, true)
}

async fn get_values(
    State(context): State<Shared>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = Parameters::of(parameters.as_deref()).required("key", "a key that is configured")?.into_owned();
    if key.is_empty() {
        return Err(out_of_bounds("key was empty", "key", "send one of those that /api/v2/autocompleteKeys answers"));
    }
    let found = if context.config.zipkin.autocomplete_keys.contains(&key) {
        ask(&context, &headers, move |snapshot, project| names::tag_values(snapshot, project, &key)).await?
    } else {
        Names::default()
    };
    Ok(answer(&context, &found, found.names.len() > FEW))
}

/// In lower case, each name once, sorted.
fn folded(mut found: Names) -> Names {
    for name in &mut found.names {
        if name.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
            *name = name.to_lowercase();
        }
    }
    found.names.sort_unstable();
    found.names.dedup();
    found
}

/// Asks the store, unless searching is turned off: then there are no names.
async fn ask(
    context: &Context,
    headers: &HeaderMap,
    names: impl FnOnce(&Snapshot, &str) -> StoreResult<Names> + Send + 'static,
) -> Result<Names, Refusal> {
    let project = project::resolve(context.config.projects, None, headers)?;
    if !context.config.zipkin.search_enabled {
        return Ok(Names::default());
    }
    lookup::work(context, move |snapshot, _| names(snapshot, &project)).await
}

fn answer(context: &Context, found: &Names, keep: bool) -> Response {
    let mut out = vec![b'['];
    for (number, name) in found.names.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        push_json_text(&mut out, name);
    }
    out.push(b']');
    let mut response = json(Body::from(out));
    let headers = response.headers_mut();
    if keep {
        let seconds = context.config.zipkin.names_max_age.as_secs();
        let value = HeaderValue::try_from(format!("max-age={seconds}, must-revalidate"));
        // Digits and ASCII: never an error.
        headers.extend(value.ok().map(|value| (header::CACHE_CONTROL, value)));
        if context.config.projects == Projects::Isolated {
            headers.append(header::VARY, HeaderValue::from_static(project::HEADER));
        }
    }
    lookup::mark_damage(&found.missing(), &mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_only_are_one() {
        let names = ["Zoo", "a", "ÄPFEL", "zoo", "äpfel", "B"].map(str::to_owned).to_vec();
        let folded = folded(Names { names, overflow: 1, damaged: vec!["file".to_owned()] });
        let expected = ["a", "b", "zoo", "äpfel"].map(str::to_owned).to_vec();
        assert_eq!(folded, Names { names: expected, overflow: 1, damaged: vec!["file".to_owned()] });
    }
}
