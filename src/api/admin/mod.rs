//! What an operator asks: whether the server is well, and to write what is in memory to the table.

use super::{Refusal, Route, Shared};
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/health", handler: || get(health) },
    Route { method: Method::POST, path: "/admin/flush", handler: || post(flush) },
    Route { method: Method::POST, path: "/admin/compact", handler: || post(compact) },
    Route { method: Method::GET, path: "/openapi.yaml", handler: || get(openapi) },
];

/// In the shape of Zipkin's, which load balancers and scripts already read. A server that answers is up: one whose last
/// flush failed, on a full disk say, goes on answering lookups and takes spans again by itself, so it must not be taken
/// out of service. Its component `spanlake` is then degraded, and the details have the reason. The component `registry` is
/// degraded while the registry's database is out of reach: services are found and kept alive, none can register.
pub(super) async fn health(State(context): State<Shared>) -> Response {
    let details = context.store.status();
    let status = if details.flush_error.is_some() { "DEGRADED" } else { "UP" };
    let store = json!({ "status": status, "details": details });
    let registry = context.registry.status();
    let status = if registry.takes_changes { "UP" } else { "DEGRADED" };
    let registry = json!({ "status": status, "details": registry });
    let details = json!({ "spanlake": store, "registry": registry });
    let body = json!({ "status": "UP", "zipkin": { "status": "UP", "details": details } });
    document(StatusCode::OK, &body)
}

async fn flush(State(context): State<Shared>) -> Result<Response, Refusal> {
    let report = context.store.flush().await?;
    Ok(document(StatusCode::OK, &json!(report)))
}

async fn compact(State(context): State<Shared>) -> Result<Response, Refusal> {
    let report = context.store.compact().await?;
    Ok(document(StatusCode::OK, &json!(report)))
}

/// JSON that a person may read.
pub(super) fn document(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
}

async fn openapi() -> Response {
    let document = include_str!("../../../schemas/openapi.yaml");
    ([(header::CONTENT_TYPE, "application/yaml")], document).into_response()
}
