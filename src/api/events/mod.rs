//! The project's own JSON API of service events: what happened, and what happened around a trace.
//!
//! In: paths and query strings. Out: JSON; refusals are in the form of the ATS API, beside whose routes these lie, and
//! behind whose guard.
//!
//! * [`parameters`]: what is asked for, in a query string.
//! * [`page`]: the events of one answer, and the [`token`] by which the next is asked for.
//! * [`around`]: the context of a trace.
//! * [`answer`]: how an event is written.
//!
//! Invariants:
//! * Answers are bounded, in events and in bytes. What a page leaves out the next one has; what a context leaves out is
//!   counted.
//! * Paging is exact: a token is a place in the order, not a number of events. An event that stays as it is while pages
//!   are read is in exactly one of them, whatever comes in meanwhile. One that happens again moves to the front, where
//!   whoever asks anew finds it.

mod answer;
mod around;
mod page;
mod parameters;
mod token;

use super::ats::{self, ProjectId, in_path, project_of};
use super::{Context, Refusal, Route, Shared, lookup};
use crate::events;
use crate::stop::Stop;
use crate::store::Snapshot;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parameters::Question;

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::GET, path: "/v1/{project_id}/events", handler: || get(list) },
    Route { method: Method::GET, path: "/v1/{project_id}/traces/{traceId}/context", handler: || get(around::get) },
];

async fn list(
    State(context): State<Shared>,
    id: ProjectId,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let listed = async {
        let project = project_of(&context, in_path(&id), &headers)?;
        let now = context.clock.now_micros();
        let question = Question::parse(parameters.as_deref().unwrap_or_default(), project, now)?;
        found(&context, question).await
    };
    match listed.await {
        Ok((body, damaged)) => json(body, &damaged),
        Err(refusal) => ats::refused(refusal),
    }
}

async fn found(context: &Context, question: Question) -> Result<(Vec<u8>, Vec<String>), Refusal> {
    let work = move |snapshot: &Snapshot, stop: &Stop| {
        let found = events::find(snapshot, &question.query, stop)?;
        stop.check()?;
        Ok((page::write(found.events, &question), found.damaged))
    };
    lookup::events(context, work).await
}

/// A good answer, with the names of the files that could not be read.
fn json(body: Vec<u8>, damaged: &[String]) -> Response {
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    lookup::mark_damage(damaged, &mut response);
    response
}
