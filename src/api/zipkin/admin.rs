//! What operators and the UI of Zipkin ask beside spans: how the server is, what it counted, what it is set to.

use crate::api::admin::{document, health};
use crate::api::{Route, Shared};
use crate::config::ZipkinUiConfig;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

pub(in crate::api) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/actuator/health", handler: || get(actuator_health) },
    Route { method: Method::GET, path: "/info", handler: || get(info) },
    Route { method: Method::GET, path: "/actuator/info", handler: || get(actuator_info) },
    Route { method: Method::GET, path: "/metrics", handler: || get(metrics) },
    Route { method: Method::GET, path: "/prometheus", handler: || get(prometheus) },
    Route { method: Method::GET, path: "/actuator/prometheus", handler: || get(prometheus) },
    Route { method: Method::GET, path: "/zipkin/config.json", handler: || get(ui_config) },
    Route { method: Method::GET, path: "/", handler: || get(no_ui) },
    Route { method: Method::GET, path: "/zipkin", handler: || get(no_ui) },
    Route { method: Method::GET, path: "/zipkin/", handler: || get(no_ui) },
];

/// What Spring Boot's clients expect below `/actuator`.
const ACTUATOR: HeaderValue = HeaderValue::from_static("application/vnd.spring-boot.actuator.v2+json;charset=UTF-8");

fn of_actuator(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONTENT_TYPE, ACTUATOR);
    response
}

async fn actuator_health(context: State<Shared>) -> Response {
    of_actuator(health(context).await)
}

async fn info() -> Response {
    let version = env!("CARGO_PKG_VERSION");
    document(StatusCode::OK, &json!({ "zipkin": { "version": version, "name": "spanlake" } }))
}

async fn actuator_info() -> Response {
    of_actuator(info().await)
}

async fn metrics(State(context): State<Shared>) -> Response {
    document(StatusCode::OK, &Value::Object(context.metrics.json()))
}

async fn prometheus(State(context): State<Shared>) -> Response {
    let text = context.metrics.prometheus(&context.store.status(), &context.registry.status());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn ui_config(State(context): State<Shared>) -> Response {
    let settings = ui_settings(&context.config.zipkin_ui, context.config.zipkin.search_enabled);
    let mut response = document(StatusCode::OK, &settings);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=600"));
    response
}

fn ui_settings(ui: &ZipkinUiConfig, search_enabled: bool) -> Value {
    let url = |text: &str| if text.is_empty() { Value::Null } else { text.into() };
    json!({
        "environment": ui.environment,
        "queryLimit": ui.query_limit,
        "defaultLookback": u64::try_from(ui.default_lookback.as_millis()).unwrap_or(u64::MAX),
        "searchEnabled": search_enabled,
        "logsUrl": url(&ui.logs_url),
        "supportUrl": url(&ui.support_url),
        "archivePostUrl": url(&ui.archive_post_url),
        "archiveUrl": url(&ui.archive_url),
        "dependency": {
            "enabled": ui.dependency_enabled,
            "lowErrorRate": ui.dependency_low_error_rate,
            "highErrorRate": ui.dependency_high_error_rate,
        },
    })
}

/// Where Zipkin has its UI.
async fn no_ui() -> Response {
    let text = "\
Spanlake has no UI built in. Its API is Zipkin's:
  GET /api/v2/services, /api/v2/traces?serviceName=, /api/v2/trace/{traceId}, ...; all of it: /openapi.yaml
To use Zipkin's UI, serve its files under /zipkin/ from a web server that passes /zipkin/api/ and /zipkin/config.json on
to this address; or run its development server with API_BASE set to this address.
";
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}
