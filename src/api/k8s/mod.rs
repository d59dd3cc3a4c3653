//! Service events in: `POST /api/v1/k8s/events`, for whatever speaks Kubernetes' own JSON. [`crate::codec::k8s`] says
//! what a body may be.
//!
//! Any content type may stand before it, and so may none: only what is certainly something else is refused. The cluster
//! of events that do not name theirs is the request's: `?clusterId=`, or the header of that name. The answer `{"accepted": n}` comes once the events
//! are durable and visible, n being how many the body had; frames of a watch that bring none do not count.
//!
//! A refusal is Kubernetes' object `Status`, whose message begins with what the API server says to such a mistake.

use super::metrics::{Kind, Transport};
use super::posted::{Whose, take_events};
use super::{Context, Refusal, Route, Shared, body};
use crate::codec::k8s;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde::Serialize;

pub(super) static ROUTES: &[Route] =
    &[Route { method: Method::POST, path: "/api/v1/k8s/events", handler: || post(post_events) }];

/// What a client is told to wait before it sends the same again: see [`Refusal::new`].
const RETRY_AFTER_SECONDS: u32 = 1;

async fn post_events(
    State(context): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match take(&context, query.as_deref(), &headers, body).await {
        Ok(accepted) => json(&Accepted { accepted }),
        Err(refusal) => refused(refusal),
    }
}

/// Takes the events of a request: returns how many they are once they are durable and visible.
async fn take(context: &Context, query: Option<&str>, headers: &HeaderMap, body: Body) -> Result<usize, Refusal> {
    let mut message = context.metrics.message(Kind::Events, Transport::Http);
    let whose = Whose::of(context, query, headers)?;
    expect_json(headers)?;
    // Before a byte is read: an overloaded server should not buffer what it cannot take.
    context.ingest.admit()?;
    let body = body::read(context, headers, body).await?;
    let (accepted, ()) = take_events(context, &mut message, body, &whose, |body, cluster, limits| {
        Ok::<_, Refusal>((k8s::decode(body, cluster, limits)?, ()))
    })
    .await?;
    Ok(accepted)
}

/// Refuses what is certainly no JSON.
fn expect_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = body::content_type(headers);
    let is_other = ["protobuf", "yaml", "cbor", "thrift"].iter().any(|other| kind.contains(other));
    if !is_other {
        return Ok(());
    }
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: application/json\n\
         header Content-Type: it says {kind:?}: send application/json"
    );
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

#[derive(Serialize)]
struct Accepted {
    accepted: usize,
}

/// Kubernetes' own form of an error.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: Empty,
    status: &'a str,
    message: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    retry_after_seconds: u32,
}

fn refused(refusal: Refusal) -> Response {
    let is_busy = refusal.status == StatusCode::SERVICE_UNAVAILABLE;
    let body = json(&Status {
        kind: "Status",
        api_version: "v1",
        metadata: Empty {},
        status: "Failure",
        message: &refusal.message,
        reason: reason(refusal.status),
        details: is_busy.then_some(Details { retry_after_seconds: RETRY_AFTER_SECONDS }),
        code: refusal.status.as_u16(),
    });
    refusal.around(body)
}

/// The word that Kubernetes has for a status.
fn reason(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "BadRequest",
        StatusCode::REQUEST_TIMEOUT => "Timeout",
        StatusCode::PAYLOAD_TOO_LARGE => "RequestEntityTooLarge",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "UnsupportedMediaType",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        _ => "InternalError",
    }
}

fn json(body: &impl Serialize) -> Response {
    let text = serde_json::to_string(body).unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn content_types_that_are_certainly_no_json_are_refused() {
        let status = |kind: &'static str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            expect_json(&headers).map_err(|refusal| refusal.status.as_u16())
        };
        for kind in ["", "application/json; charset=utf-8", "application/x-www-form-urlencoded", "text/plain"] {
            assert_eq!(status(kind), Ok(()), "{kind}");
        }
        for kind in [
            "application/x-protobuf",
            "application/vnd.kubernetes.protobuf;stream=watch",
            "Application/YAML",
            "application/cbor",
        ] {
            assert_eq!(status(kind), Err(415), "{kind}");
        }
        assert_eq!(expect_json(&HeaderMap::new()).map_err(|refusal| refusal.status), Ok(()));
    }

    #[test]
    fn each_refusal_has_the_word_that_kubernetes_has_for_it() {
        for (status, word) in [
            (400, "BadRequest"),
            (408, "Timeout"),
            (413, "RequestEntityTooLarge"),
            (415, "UnsupportedMediaType"),
            (500, "InternalError"),
            (503, "ServiceUnavailable"),
        ] {
            assert_eq!(reason(StatusCode::from_u16(status).unwrap()), word);
        }
    }
}
