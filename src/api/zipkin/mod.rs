//! Zipkin's API: <https://zipkin.io/zipkin-api/>. Posts are under `/api`, queries also under `/zipkin/api`, where its
//! UI asks.
//!
//! * [`collect`]: spans in.
//! * [`query`]: traces by what they are about and by their ids, and the links between services; [`parameters`] reads
//!   what they are asked with.
//! * [`names`]: what a UI offers to ask with.
//! * [`admin`]: what operators and the UI ask beside spans.
//!
//! Errors are plain text. The peer answers 202 before it has stored anything; here it means durable.

mod admin;
mod collect;
mod names;
mod parameters;
mod query;

pub(super) use admin::ROUTES as ADMIN_ROUTES;
pub(super) use names::{ManyServices, ROUTES as NAME_ROUTES};
pub(super) use query::ROUTES as QUERY_ROUTES;

use super::lookup::{self, Format, Outcome};
use super::{Refusal, Route, Shared, project};
use crate::codec::zipkin::v2;
use crate::model::{Span, TraceId};
use crate::query::trace::TraceQuery;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/api/v2/spans", handler: || post(collect::post_v2) },
    Route { method: Method::POST, path: "/api/v1/spans", handler: || post(collect::post_v1) },
    Route { method: Method::POST, path: collect::GRPC, handler: || post(collect::report) },
    Route { method: Method::GET, path: "/api/v2/trace/{traceId}", handler: || get(get_trace) },
    Route { method: Method::GET, path: "/zipkin/api/v2/trace/{traceId}", handler: || get(get_trace) },
];

async fn get_trace(
    State(context): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Path(text) = id.map_err(|e| Refusal::invalid(format!("{e}\npath: send 1 to 32 hex digits")))?;
    let trace_id = trace_id(&text)?;
    let query = TraceQuery {
        project: project::resolve(context.config.projects, None, &headers)?,
        trace_id,
        strict: context.config.zipkin.strict_trace_id,
        cluster_id: None,
        namespace: None,
    };
    let (body, incomplete) = lookup::trace(&context, query, List { first: true }).await?.into_parts();
    let mut response = match body {
        Some(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        None => Refusal::new(StatusCode::NOT_FOUND, format!("{trace_id} not found")).into_response(),
    };
    Outcome::mark(incomplete, &mut response);
    Ok(response)
}

/// Reads an id as the peer normalises it, but for the case of its digits, which the peer minds and nobody else does:
/// 32 digits of which the left 16 are zeros are the 16 on the right.
fn trace_id(text: &str) -> Result<TraceId, Refusal> {
    let text = text.trim();
    let remedy = "path: send 1 to 32 hex digits, not all of them zero";
    let refused = |peer: String| Err(Refusal::invalid(format!("{peer}\n{remedy}")));
    if text.is_empty() {
        return refused("traceId is empty".to_owned());
    }
    if text.chars().count() > 32 {
        return refused("traceId.length > 32".to_owned());
    }
    match TraceId::parse(text) {
        None => refused(format!("{text} should be lower-hex encoded with no prefix")),
        Some(id) if id.is_zero() => refused("traceId is all zeros".to_owned()),
        Some(id) if id.high == 0 => Ok(TraceId::narrow(id.low)),
        Some(id) => Ok(id),
    }
}

/// A list of spans.
struct List {
    first: bool,
}

impl Format for List {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn spans(&mut self, spans: Vec<Span<'static>>, out: &mut Vec<u8>) {
        for span in &spans {
            if !std::mem::take(&mut self.first) {
                out.push(b',');
            }
            v2::write(span, out);
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_trimmed_padded_and_taken_in_either_case() {
        for (sent, normalised) in [
            (" 27046B00 ", "0000000027046b00"),
            ("00000000000000000000000027046b00", "0000000027046b00"),
            ("123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef"),
        ] {
            assert_eq!(trace_id(sent).unwrap().to_string(), normalised);
        }
    }

    #[test]
    fn what_is_no_id_is_refused_in_the_peers_words() {
        for (sent, peer) in [
            (" ", "traceId is empty"),
            ("xyz", "xyz should be lower-hex encoded with no prefix"),
            ("0x1", "0x1 should be lower-hex encoded with no prefix"),
            ("0", "traceId is all zeros"),
            ("000000000000000000000000000000001", "traceId.length > 32"),
        ] {
            let refusal = trace_id(sent).unwrap_err();
            assert_eq!((refusal.status.as_u16(), refusal.message.lines().next().unwrap()), (400, peer), "{sent:?}");
        }
    }
}
