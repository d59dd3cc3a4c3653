//! `GET /v1/{project_id}/traces/{traceId}/context`: what happened to a trace's services before and while it ran.
//!
//! The headers clusterId and namespace narrow the trace as they do in the ATS API. The registry is asked in the domain
//! `default`, for the project in the path; where that does not know a service and projects are not walls, for
//! `default`.

use super::answer::{Told, time_or_null};
use super::json;
use super::parameters::Parameters;
use crate::api::ats::{self, name, project_of};
use crate::api::{Context, Refusal, Shared, lookup, project};
use crate::config::Projects;
use crate::insight::{self, Around, ContextQuery, InShort, ServiceContext, TraceContext};
use crate::model::TraceId;
use crate::query::trace::TraceQuery;
use crate::registry::Tenant;
use crate::stop::Stop;
use crate::store::Snapshot;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// The domain of the registry that this API is about.
const DOMAIN: &str = "default";

/// Project and trace id.
type InPath = Result<Path<(String, String)>, PathRejection>;

pub(super) async fn get(
    State(context): State<Shared>,
    path: InPath,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let looked_up = async {
        let query = query(&context, path, parameters.as_deref().unwrap_or_default(), &headers)?;
        let (asked, registry) = (query.trace.trace_id, context.registry.clone());
        let work = move |snapshot: &Snapshot, stop: &Stop| insight::trace_context(snapshot, &registry, &query, stop);
        let (found, damaged) = lookup::events(&context, work).await?;
        Ok((asked, found, damaged))
    };
    match looked_up.await {
        // Texts and numbers always have a JSON form.
        Ok((id, Some(found), damaged)) => json(serde_json::to_vec(&Body::of(id, &found)).unwrap_or_default(), &damaged),
        Ok((id, None, damaged)) => {
            let mut response = ats::refused(missing(id));
            lookup::mark_damage(&damaged, &mut response);
            response
        }
        Err(refusal) => ats::refused(refusal),
    }
}

fn query(context: &Context, path: InPath, parameters: &str, headers: &HeaderMap) -> Result<ContextQuery, Refusal> {
    let (id, trace_id) = match path {
        Ok(Path((id, trace_id))) => (Some(id), Some(trace_id)),
        // The project is told of first.
        Err(rejection) => (is_of_trace(&rejection).then(|| project::DEFAULT.to_owned()), None),
    };
    let project = project_of(context, id.as_deref(), headers)?;
    let trace_id = trace_id_of(trace_id.as_deref())?;
    let margin = match Parameters(parameters).margin()? {
        Some(margin) => margin,
        None => context.config.events.context_margin.as_micros() as i64,
    };
    let own = id.unwrap_or_default();
    let other = (context.config.projects == Projects::Single && own != project).then(|| project.clone());
    Ok(ContextQuery {
        trace: TraceQuery {
            project,
            trace_id,
            // Agents disagree about the width of an id: the right 16 digits decide.
            strict: false,
            cluster_id: name(headers, "clusterId")?,
            namespace: name(headers, "namespace")?,
        },
        margin,
        tenants: std::iter::once(own).chain(other).map(|project| Tenant::new(DOMAIN, &project)).collect(),
    })
}

/// Whether it is the trace's id in the path that is no text.
fn is_of_trace(rejection: &PathRejection) -> bool {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else { return false };
    matches!(failed.kind(), ErrorKind::InvalidUtf8InPathParam { key } if key == "traceId")
}

fn trace_id_of(text: Option<&str>) -> Result<TraceId, Refusal> {
    match text.map(str::trim).and_then(TraceId::parse) {
        Some(id) if !id.is_zero() => Ok(id),
        _ => Err(Refusal::invalid(
            "traceId in url is invalid.\npath: send 1 to 32 hex digits, not all of them zero, between /traces/ and \
             /context",
        )),
    }
}

fn missing(id: TraceId) -> Refusal {
    let message = format!(
        "query trace result is empty.\npath: there is no span of trace {id} in this project, or none that the headers \
         clusterId and namespace let through: check them"
    );
    Refusal::new(StatusCode::NOT_FOUND, message)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'c> {
    trace_id: String,
    #[serde(serialize_with = "time_or_null")]
    start: Option<i64>,
    #[serde(serialize_with = "time_or_null")]
    end: Option<i64>,
    #[serde(serialize_with = "time_or_null")]
    from: Option<i64>,
    truncated: bool,
    services: Vec<Service<'c>>,
    services_left_out: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Service<'c> {
    name: &'c str,
    places: Vec<Place<'c>>,
    events: Vec<Told<'c>>,
    events_left_out: Option<usize>,
    registered: Option<Registered<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place<'c> {
    cluster_id: Option<&'c str>,
    namespace: Option<&'c str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registered<'c> {
    service_id: &'c str,
    name: &'c str,
    application: &'c str,
    environment: &'c str,
    version: &'c str,
    instances: Instances,
    endpoints: &'c [String],
    endpoints_left_out: usize,
    others: usize,
}

#[derive(Serialize)]
struct Instances {
    up: usize,
    total: usize,
}

impl<'c> Body<'c> {
    fn of(id: TraceId, context: &'c TraceContext) -> Self {
        let around = context.around;
        Body {
            trace_id: id.to_string(),
            start: around.map(|Around { start, .. }| start),
            end: around.map(|Around { end, .. }| end),
            from: around.map(|Around { from, .. }| from),
            truncated: context.truncated,
            services: context.services.iter().map(Service::of).collect(),
            services_left_out: context.services_left_out,
        }
    }
}

impl<'c> Service<'c> {
    fn of(service: &'c ServiceContext) -> Self {
        let place = |place: &'c insight::EventPlace| Place {
            cluster_id: place.cluster.as_deref(),
            namespace: place.namespace.as_deref(),
        };
        Service {
            name: &service.name,
            places: service.places.iter().map(place).collect(),
            events: service.events.iter().map(Told::of).collect(),
            events_left_out: service.events_left_out,
            registered: service.registered.as_ref().map(Registered::of),
        }
    }
}

impl<'c> Registered<'c> {
    fn of(short: &'c InShort) -> Self {
        let service = &short.service;
        Registered {
            service_id: &service.service_id,
            name: &service.service_name,
            application: &service.app_id,
            environment: &service.environment,
            version: &service.version,
            instances: Instances { up: short.up, total: short.total },
            endpoints: &short.endpoints,
            endpoints_left_out: short.endpoints_left_out,
            others: short.others,
        }
    }
}
