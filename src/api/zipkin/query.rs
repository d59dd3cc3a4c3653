//! Traces by what they are about and by their ids, and the links between services.

use super::parameters::{Defaults, Parameters, check_window, out_of_bounds};
use super::trace_id;
use crate::api::lookup::{self, Format, Outcome};
use crate::api::{Context, Refusal, Route, Shared, project};
use crate::codec::zipkin::{push_json_text, v2};
use crate::model::{Span, TraceId};
use crate::query::dependencies::{Dependency, dependencies};
use crate::query::trace::TraceQuery;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub(in crate::api) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/api/v2/traces", handler: || get(get_traces) },
    Route { method: Method::GET, path: "/zipkin/api/v2/traces", handler: || get(get_traces) },
    Route { method: Method::GET, path: "/api/v2/traceMany", handler: || get(get_many) },
    Route { method: Method::GET, path: "/zipkin/api/v2/traceMany", handler: || get(get_many) },
    Route { method: Method::GET, path: "/api/v2/dependencies", handler: || get(get_dependencies) },
    Route { method: Method::GET, path: "/zipkin/api/v2/dependencies", handler: || get(get_dependencies) },
];

/// How many traces may be asked for by their ids.
const MOST_IDS: usize = 1_000;

async fn get_traces(
    State(context): State<Shared>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let config = &context.config;
    let defaults =
        Defaults { now: context.now_millis(), lookback: default_lookback(&context), max_limit: config.query.max_limit };
    let project = project::resolve(config.projects, None, &headers)?;
    let parameters = Parameters::of(parameters.as_deref());
    let query = parameters.search(project, config.zipkin.strict_trace_id, &defaults)?;
    if !config.zipkin.search_enabled {
        return Ok(json(Body::from("[]")));
    }
    Ok(list(lookup::search(&context, query, Traces::default()).await?))
}

async fn get_many(
    State(context): State<Shared>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let project = project::resolve(context.config.projects, None, &headers)?;
    let strict = context.config.zipkin.strict_trace_id;
    let text = Parameters::of(parameters.as_deref()).required("traceIds", "ids between commas")?;
    let queries = trace_ids(&text, strict)?.into_iter().map(|trace_id| TraceQuery {
        project: project.clone(),
        trace_id,
        strict,
        cluster_id: None,
        namespace: None,
    });
    Ok(list(lookup::traces(&context, queries.collect(), Traces::default()).await?))
}

/// The ids between commas, each once. Without strict ids those that mean the same trace are one.
fn trace_ids(text: &str, strict: bool) -> Result<Vec<TraceId>, Refusal> {
    const NAME: &str = "traceIds";
    if text.is_empty() {
        return Err(out_of_bounds("traceIds parameter is empty", NAME, "send ids between commas"));
    }
    let mut ids: Vec<TraceId> = Vec::new();
    for piece in text.splitn(MOST_IDS, ',') {
        if piece.contains(',') {
            let peer = format!("{piece} should be lower-hex encoded with no prefix");
            return Err(out_of_bounds(&peer, NAME, &format!("send at most {MOST_IDS} ids between commas")));
        }
        let id = trace_id(piece).map_err(|mut refusal| {
            refusal.message = refusal.message.replacen("\npath: send", "\nquery parameter traceIds: send ids of", 1);
            refusal
        })?;
        if ids.contains(&id) {
            return Err(out_of_bounds(&format!("redundant traceId: {piece}"), NAME, "send each id once"));
        }
        ids.push(id);
    }
    if ids.len() == 1 {
        let peer = "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace";
        return Err(out_of_bounds(peer, NAME, "send two ids or more between commas"));
    }
    if !strict {
        let mut known = std::collections::HashSet::new();
        ids.retain(|id| known.insert(id.low));
    }
    Ok(ids)
}

async fn get_dependencies(
    State(context): State<Shared>,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let project = project::resolve(context.config.projects, None, &headers)?;
    let (end_ts, lookback) = Parameters::of(parameters.as_deref()).window(None, default_lookback(&context))?;
    check_window(end_ts, Some(lookback))?;
    let work = move |snapshot: &_, stop: &_| dependencies(snapshot, &project, end_ts, lookback, stop);
    let (links, damaged) = lookup::work(&context, work).await?;
    let mut response = json(Body::from(links_json(&links)));
    lookup::mark_damage(&damaged, &mut response);
    Ok(response)
}

fn default_lookback(context: &Context) -> i64 {
    i64::try_from(context.config.query.lookback.as_millis()).unwrap_or(i64::MAX)
}

fn links_json(links: &[Dependency]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + links.len() * 80);
    out.push(b'[');
    for (number, link) in links.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b"{\"parent\":" } else { b",{\"parent\":" });
        push_json_text(&mut out, &link.parent);
        out.extend_from_slice(b",\"child\":");
        push_json_text(&mut out, &link.child);
        out.extend_from_slice(format!(",\"callCount\":{}", link.calls).as_bytes());
        if link.errors > 0 {
            out.extend_from_slice(format!(",\"errorCount\":{}", link.errors).as_bytes());
        }
        out.push(b'}');
    }
    out.push(b']');
    out
}

/// The answer to a question for several traces, none among them.
fn list(outcome: Outcome) -> Response {
    let (body, incomplete) = outcome.into_parts();
    let mut response = json(body.unwrap_or_else(|| Body::from("[]")));
    Outcome::mark(incomplete, &mut response);
    response
}

pub(super) fn json(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// A list of lists of spans.
#[derive(Default)]
struct Traces {
    /// Whether a trace was begun.
    any: bool,
    /// Whether the last one that was begun is not at its end.
    open: bool,
}

impl Format for Traces {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.push(b'[');
    }

    fn spans(&mut self, spans: Vec<Span<'static>>, out: &mut Vec<u8>) {
        for span in &spans {
            let before: &[u8] = match (self.any, self.open) {
                (_, true) => b",",
                (true, false) => b",[",
                (false, false) => b"[",
            };
            out.extend_from_slice(before);
            (self.any, self.open) = (true, true);
            v2::write(span, out);
        }
    }

    fn end_trace(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.open) {
            out.push(b']');
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.end_trace(out);
        out.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_lists_in_a_list_however_their_spans_arrive() {
        let span = |id| Span::new(TraceId::narrow(1), id);
        let mut format = Traces::default();
        let mut out = Vec::new();
        format.begin(&mut out);
        format.spans(vec![span(1)], &mut out);
        format.spans(vec![span(2), span(3)], &mut out);
        format.end_trace(&mut out);
        format.end_trace(&mut out);
        format.spans(vec![span(4)], &mut out);
        format.end(&mut out);
        let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let ids: Vec<Vec<&str>> = json
            .as_array()
            .unwrap()
            .iter()
            .map(|trace| trace.as_array().unwrap().iter().map(|span| span["id"].as_str().unwrap()).collect())
            .collect();
        let id = |n: &'static str| n;
        assert_eq!(
            ids,
            [
                vec![id("0000000000000001"), id("0000000000000002"), id("0000000000000003")],
                vec![id("0000000000000004")]
            ]
        );
    }

    #[test]
    fn links_are_written_as_the_peer_writes_them() {
        let link = |errors| Dependency { parent: "a\"".into(), child: "b".into(), calls: 3, errors };
        assert_eq!(links_json(&[]), b"[]");
        assert_eq!(
            String::from_utf8(links_json(&[link(0), link(2)])).unwrap(),
            r#"[{"parent":"a\"","child":"b","callCount":3},{"parent":"a\"","child":"b","callCount":3,"errorCount":2}]"#
        );
    }

    #[test]
    fn ids_stand_between_commas() {
        let read = |text: &str, strict| {
            trace_ids(text, strict).map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let (narrow, wide) = ("000000000000000a", "0000000000000001000000000000000a");
        assert_eq!(read("a,B", true).unwrap(), [narrow, "000000000000000b"]);
        assert_eq!(read(" a , b", true).unwrap(), [narrow, "000000000000000b"]);
        assert_eq!(read(&format!("{wide},a"), true).unwrap(), [wide, narrow]);
        // Both are the same trace.
        assert_eq!(read(&format!("{wide},a,b"), false).unwrap(), [wide, "000000000000000b"]);
        assert_eq!(read(&format!("{wide},a"), false).unwrap(), [wide]);
    }

    #[test]
    fn what_is_no_list_of_ids_is_refused_in_the_peers_words() {
        for (text, peer) in [
            ("", "traceIds parameter is empty"),
            ("a", "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace"),
            ("a,b,a", "redundant traceId: a"),
            ("a,000A", "redundant traceId: 000A"),
            ("a,0000000000000000000000000000000a", "redundant traceId: 0000000000000000000000000000000a"),
            ("a,xyz", "xyz should be lower-hex encoded with no prefix"),
            ("a,,b", "traceId is empty"),
            ("a,", "traceId is empty"),
            (",", "traceId is empty"),
            ("a,0", "traceId is all zeros"),
            ("a,000000000000000000000000000000001", "traceId.length > 32"),
        ] {
            let refusal = trace_ids(text, true).unwrap_err();
            let mut lines = refusal.message.lines();
            assert_eq!((refusal.status.as_u16(), lines.next().unwrap()), (400, peer), "{text:?}");
            assert!(lines.next().unwrap().starts_with("query parameter traceIds: send "), "{text:?}");
        }
    }

    #[test]
    fn a_thousand_ids_are_the_most() {
        let ids = |count: usize| (1..=count).map(|n| format!("{n:x}")).collect::<Vec<_>>().join(",");
        assert_eq!(trace_ids(&ids(1_000), true).unwrap().len(), 1_000);
        let refusal = trace_ids(&ids(1_001), true).unwrap_err();
        assert_eq!(
            refusal.message,
            "3e8,3e9 should be lower-hex encoded with no prefix\n\
             query parameter traceIds: send at most 1000 ids between commas"
        );
    }
}
