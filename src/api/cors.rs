//! Which sites' pages may use the API from a browser (CORS), on every route, as the peer has it: reading and posting,
//! without credentials. Who may not simply gets no such headers, and the browser keeps the answer from the page.

use crate::config::Origins;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

const METHODS: HeaderValue = HeaderValue::from_static("GET,POST");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static("content-type,x-grpc-web");
/// What pages may read beside the few headers that they always may.
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static("retry-after,spanlake-incomplete");

/// Answers a browser's question beforehand, and puts into every answer what lets a page have it.
pub(super) async fn layer(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    let Some(origin) = request.headers().get(header::ORIGIN).cloned() else {
        let mut response = next.run(request).await;
        vary(&origins, response.headers_mut());
        return response;
    };
    let asks_beforehand =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks_beforehand { StatusCode::OK.into_response() } else { next.run(request).await };
    vary(&origins, response.headers_mut());
    if let Some(allowed) = allowed(&origins, &origin) {
        mark(response.headers_mut(), allowed, asks_beforehand);
    }
    response
}

/// The origin that an answer names.
fn allowed(origins: &Origins, origin: &HeaderValue) -> Option<HeaderValue> {
    match origins {
        Origins::Any => Some(HeaderValue::from_static("*")),
        Origins::Only(sites) => {
            let site = origin.to_str().ok()?;
            sites.iter().any(|known| known.eq_ignore_ascii_case(site)).then(|| origin.clone())
        }
    }
}

/// Tells caches that the answer to one site is not that to another, nor that to nobody's page.
fn vary(origins: &Origins, headers: &mut HeaderMap) {
    if matches!(origins, Origins::Only(_)) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
}

fn mark(headers: &mut HeaderMap, allowed: HeaderValue, asked_beforehand: bool) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    if asked_beforehand {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    } else {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_allowed_by_name_or_with_all() {
        let only = |sites: &[&str]| Origins::Only(sites.iter().map(|site| (*site).to_owned()).collect());
        let ask = |origins: &Origins, origin: &'static str| allowed(origins, &HeaderValue::from_static(origin));
        let some = |text: &'static str| Some(HeaderValue::from_static(text));
        assert_eq!(ask(&Origins::Any, "http://a"), some("*"));
        assert_eq!(ask(&only(&["http://a", "http://b"]), "http://b"), some("http://b"));
        assert_eq!(ask(&only(&["http://b"]), "http://B"), some("http://B"));
        assert_eq!(ask(&only(&["http://b"]), "http://b.evil.example"), None);
        assert_eq!(ask(&only(&["http://b"]), "https://b"), None);
        assert_eq!(ask(&only(&[]), "http://b"), None);
    }
}
