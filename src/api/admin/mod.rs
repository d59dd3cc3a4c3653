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

/// In the shape of Zipkin's, which load balancers and scripts already read. Down is a server whose last flush failed:
/// what it took is safe in the log, but it cannot go on taking.
async fn health(State(context): State<Shared>) -> Response {
    let details = context.store.status();
    let (code, status) = match details.flush_error {
        None => (StatusCode::OK, "UP"),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "DOWN"),
    };
    let store = json!({ "status": status, "details": details });
    let body = json!({ "status": status, "zipkin": { "status": status, "details": { "spanlake": store } } });
    document(code, &body)
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
fn document(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body:#}\n")).into_response()
}

async fn openapi() -> Response {
    let document = include_str!("../../../schemas/openapi.yaml");
    ([(header::CONTENT_TYPE, "application/yaml")], document).into_response()
}
