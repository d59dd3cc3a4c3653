//! The ATS API of Huawei's APM 1.0: spans in Zipkin's v1 JSON, posted and asked for under a project's id, and what leads
//! to a trace's id ([`companions`] says what is asked and answered, [`inventory`] has the routes).
//!
//! Every answer to a GET, and every error, is one JSON document: `errorCode`, `errorMessage`, `responseInfo`. The first
//! three digits of a code are the HTTP status that it goes with (`SVCSTG.ATS.400101`), which the product's own
//! `SVCSTG.ATS.200103`, nothing found, keeps to as well, unless the setting `ats.miss_is_error` says 400, as a later
//! page of that product does.

mod answer;
mod companions;
mod inventory;

use super::lookup::{self, Outcome};
use super::{Context, Refusal, Route, Shared, body, post_spans, project};
use crate::codec::zipkin::Format::JsonV1;
use crate::model::{Scope, TraceId};
use crate::query::trace::TraceQuery;
use answer::Elements;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use std::borrow::Cow;

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/v1/{project_id}/ats/spans", handler: || post(post_v1) },
    Route { method: Method::GET, path: "/v1/{project_id}/ats/spans", handler: || get(get_trace) },
    Route { method: Method::GET, path: "/v1/{project_id}/ats/traces", handler: || get(inventory::get_traces) },
    Route {
        method: Method::GET,
        path: "/v1/{project_id}/ats/applications",
        handler: || get(inventory::get_applications),
    },
    Route {
        method: Method::GET,
        path: "/v1/{project_id}/ats/applications/{application}/instances",
        handler: || get(inventory::get_instances),
    },
    Route {
        method: Method::GET,
        path: "/v1/{project_id}/ats/applications/{application}/transactions",
        handler: || get(inventory::get_transactions),
    },
    Route { method: Method::GET, path: "/v1/{project_id}/atps/monitorgroups", handler: || get(inventory::get_groups) },
];

/// Something was found.
const OK: &str = "SVCSTG.ATS.2000";
/// Nothing was found.
const MISS: &str = "SVCSTG.ATS.200103";
/// A name of a cluster or namespace may be so long.
const LONGEST_NAME: usize = 256;

pub(super) type ProjectId = Result<Path<String>, PathRejection>;

async fn post_v1(State(context): State<Shared>, id: ProjectId, headers: HeaderMap, body: Body) -> Response {
    let posted = async {
        let scope = Scope {
            project: project_of(&context, in_path(&id), &headers)?.into(),
            cluster_id: name(&headers, "clusterId")?.map(Cow::Owned),
            namespace: name(&headers, "namespace")?.map(Cow::Owned),
        };
        body::refuse_binary(&headers)?;
        post_spans(&context, &headers, body, JsonV1, scope).await
    };
    match posted.await {
        Ok(status) => status.into_response(),
        Err(refusal) => refused(refusal),
    }
}

async fn get_trace(
    State(context): State<Shared>,
    id: ProjectId,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let looked_up = async {
        let query = TraceQuery {
            project: project_of(&context, in_path(&id), &headers)?,
            trace_id: trace_id(parameters.as_deref().unwrap_or_default())?,
            // Agents disagree about the width of an id: the right 16 digits decide.
            strict: false,
            cluster_id: name(&headers, "clusterId")?,
            namespace: name(&headers, "namespace")?,
        };
        lookup::trace(&context, query, Elements::default()).await
    };
    let (body, incomplete) = match looked_up.await {
        Ok(outcome) => outcome.into_parts(),
        Err(refusal) => return refused(refusal),
    };
    let mut response = match body {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => missed(&context, "query trace result is empty."),
    };
    Outcome::mark(incomplete, &mut response);
    response
}

/// The form of an answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a, T> {
    error_code: &'a str,
    error_message: Option<&'a str>,
    response_info: Option<T>,
}

/// An answer without a result.
fn json(error_code: &str, error_message: &str) -> impl IntoResponse + use<> {
    let envelope = Envelope::<()> { error_code, error_message: Some(error_message), response_info: None };
    let text = serde_json::to_string(&envelope).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text)
}

/// Nothing was found.
fn missed(context: &Context, message: &str) -> Response {
    let status = if context.config.ats.miss_is_error { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    (status, json(MISS, message)).into_response()
}

/// The dialect's form of a refusal.
pub(super) fn refused(refusal: Refusal) -> Response {
    let body = json(&format!("SVCSTG.ATS.{}101", refusal.status.as_u16()), &refusal.message);
    refusal.around(body)
}

/// The id in a path, if it is a text at all.
pub(super) fn in_path(id: &ProjectId) -> Option<&str> {
    id.as_ref().ok().map(|Path(id)| id.as_str())
}

/// The path's id, checked whether or not projects are isolated.
pub(super) fn project_of(context: &Context, id: Option<&str>, headers: &HeaderMap) -> Result<String, Refusal> {
    match id {
        Some(id) if project::is_id(id) => project::resolve(context.config.projects, Some(id), headers),
        _ => Err(bad_project()),
    }
}

fn bad_project() -> Refusal {
    Refusal::invalid(
        "projectId in url is invalid.\npath: send 1 to 64 letters, digits, _ or - between /v1/ and the next /",
    )
}

/// The text of a header; one that is blank counts as not sent.
pub(super) fn name(headers: &HeaderMap, header: &'static str) -> Result<Option<String>, Refusal> {
    // Names of headers are lower case within.
    let Some(value) = headers.get(header.to_ascii_lowercase()) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()).map(str::trim) {
        Ok("") => Ok(None),
        Ok(text) if text.len() <= LONGEST_NAME => Ok(Some(text.to_owned())),
        _ => Err(Refusal::invalid(format!(
            "{header} in header is invalid.\nheader {header}: send up to {LONGEST_NAME} bytes of UTF-8"
        ))),
    }
}

/// The parameter `traceId` of a query string.
fn trace_id(query: &str) -> Result<TraceId, Refusal> {
    const REMEDY: &str = "query parameter traceId: send it once, 1 to 32 hex digits, not all of them zero";
    let refused = |what: &str| Refusal::invalid(format!("traceId in url is {what}.\n{REMEDY}"));
    let mut given = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "traceId");
    let Some((_, text)) = given.next() else { return Err(refused("missing")) };
    if given.any(|(_, another)| another != text) {
        return Err(refused("given more than once"));
    }
    match TraceId::parse(text.trim()) {
        Some(id) if !id.is_zero() => Ok(id),
        _ if text.trim().is_empty() => Err(refused("blank")),
        _ => Err(refused("invalid")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_1_to_32_digits_in_either_case_is_taken() {
        for (query, id) in [
            ("traceId=0000000027046b00", "0000000027046b00"),
            ("traceId=27046B00", "0000000027046b00"),
            ("a=b&traceId=%20123456789abcdef0123456789abcdef+&c", "0123456789abcdef0123456789abcdef"),
            ("traceId=1&traceId=1", "0000000000000001"),
            ("trace%49d=1", "0000000000000001"),
        ] {
            assert_eq!(trace_id(query).unwrap().to_string(), id, "{query:?}");
        }
    }

    #[test]
    fn whatever_else_is_sent_is_told_what_is_wrong() {
        for (query, what) in [
            ("", "missing"),
            ("traceid=1", "missing"),
            ("traceId=", "blank"),
            ("traceId=%20+", "blank"),
            ("traceId", "blank"),
            ("traceId=xyz", "invalid"),
            ("traceId=%ff", "invalid"),
            ("traceId=00", "invalid"),
            ("traceId=000000000000000000000000000000001", "invalid"),
            ("traceId=1&traceId=2", "given more than once"),
        ] {
            let refusal = trace_id(query).unwrap_err();
            assert_eq!(refusal.status, 400);
            let text = refusal.message.lines().next().unwrap().to_owned();
            assert_eq!(text, format!("traceId in url is {what}."), "{query:?}");
        }
    }

    #[test]
    fn a_blank_header_counts_as_not_sent() {
        let headers = |value: &'static [u8]| {
            HeaderMap::from_iter([("clusterid".parse().unwrap(), axum::http::HeaderValue::from_bytes(value).unwrap())])
        };
        assert_eq!(name(&HeaderMap::new(), "clusterId").unwrap(), None);
        assert_eq!(name(&headers(b" "), "clusterId").unwrap(), None);
        assert_eq!(name(&headers(b" default "), "clusterId").unwrap().as_deref(), Some("default"));
        assert_eq!(name(&headers("北京".as_bytes()), "clusterId").unwrap().as_deref(), Some("北京"));
        assert_eq!(name(&headers(b"\xff"), "clusterId").unwrap_err().status, 400);
    }
}
