//! The routes that lead to a trace's id.
//!
//! The headers `clusterId` and `namespace` narrow the search for traces as they do a lookup: what was stored without them
//! matches every value. The lists are of all clusters and namespaces, whatever the headers say.

use super::companions::{Chains, GROUPS_OK, Traces, TracesQuery, application, bad_application, group};
use super::{Envelope, OK, ProjectId, bad_project, in_path, missed, name, project_of, refused};
use crate::api::{Context, Refusal, Shared, lookup};
use crate::error::Result as QueryResult;
use crate::query::names::{self, Names};
use crate::query::origin::Origin;
use crate::query::search::{Search, SearchQuery};
use crate::query::trace::narrowed;
use crate::stop::Stop;
use crate::store::Snapshot;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What was found, with what is missing of it in words.
type Found<T> = (Option<T>, Vec<String>);

/// Project and application.
type InPath = Result<Path<(String, String)>, PathRejection>;

pub(super) async fn get_traces(
    State(context): State<Shared>,
    id: ProjectId,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let searched = async {
        let project = project_of(&context, in_path(&id), &headers)?;
        let asked = narrowing(&headers)?;
        let query = TracesQuery::parse(parameters.as_deref().unwrap_or_default())?;
        let search = query.search(project);
        let work = move |snapshot: &Snapshot, stop: &Stop| find(snapshot, &search, &asked, Chains::new(query), stop);
        lookup::work(&context, work).await
    };
    let found = searched.await;
    answer(&context, OK, "query trace result is empty.", found)
}

/// Looks at what the search finds until there are enough entries.
fn find(
    snapshot: &Snapshot,
    query: &SearchQuery,
    asked: &Origin,
    mut chains: Chains,
    stop: &Stop,
) -> QueryResult<Found<Traces>> {
    let mut search = Search::open(snapshot, query, stop.clone())?;
    while let Some(chunk) = search.next_chunk()? {
        let is_asked_for = |origin: &Origin| {
            narrowed(asked.cluster_id.as_deref(), origin.cluster_id.as_deref())
                && narrowed(asked.namespace.as_deref(), origin.namespace.as_deref())
        };
        let rows = chunk.rows.into_pairs().filter(|(_, origin)| is_asked_for(origin));
        chains.feed(rows.map(|(span, origin)| (span, origin.namespace)));
        if chunk.ends_trace && !chains.end_trace() {
            break;
        }
    }
    Ok((Traces::of(chains.finish()), search.damaged().to_vec()))
}

pub(super) async fn get_groups(State(context): State<Shared>, id: ProjectId, headers: HeaderMap) -> Response {
    let found = list(&context, in_path(&id), &headers, |snapshot, project, _| names::groups(snapshot, project)).await;
    // The product knows no code for there being none.
    let found = found.map(|(groups, missing)| (Some(groups.unwrap_or_default()), missing));
    answer(&context, GROUPS_OK, "", found)
}

pub(super) async fn get_applications(
    State(context): State<Shared>,
    id: ProjectId,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let listed = async {
        let group = group(parameters.as_deref().unwrap_or_default())?;
        let names = move |snapshot: &Snapshot, project: &str, stop: &Stop| {
            names::applications(snapshot, project, group.as_deref(), stop)
        };
        list(&context, in_path(&id), &headers, names).await
    };
    let found = listed.await;
    answer(&context, OK, "query application result is empty.", found)
}

pub(super) async fn get_instances(
    State(context): State<Shared>,
    path: InPath,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let found = of_application(&context, path, parameters, &headers, names::instances).await;
    answer(&context, OK, "query instance result is empty.", found)
}

pub(super) async fn get_transactions(
    State(context): State<Shared>,
    path: InPath,
    RawQuery(parameters): RawQuery,
    headers: HeaderMap,
) -> Response {
    let found = of_application(&context, path, parameters, &headers, names::transactions).await;
    answer(&context, OK, "query transaction result is empty.", found)
}

/// Names that an application owns.
async fn of_application(
    context: &Context,
    path: InPath,
    parameters: Option<String>,
    headers: &HeaderMap,
    names: fn(&Snapshot, &str, Option<&str>, &str, &Stop) -> QueryResult<Names>,
) -> Result<Found<Vec<String>>, Refusal> {
    let bad = |rejection: PathRejection| if is_of_application(&rejection) { bad_application() } else { bad_project() };
    let Path((id, sent)) = path.map_err(bad)?;
    let application = application(&sent)?;
    let group = group(parameters.as_deref().unwrap_or_default())?;
    let names = move |snapshot: &Snapshot, project: &str, stop: &Stop| {
        names(snapshot, project, group.as_deref(), &application, stop)
    };
    list(context, Some(&id), headers, names).await
}

/// Whether it is the application in the path that is no text.
fn is_of_application(rejection: &PathRejection) -> bool {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else { return false };
    matches!(failed.kind(), ErrorKind::InvalidUtf8InPathParam { key } if key == "application")
}

/// Asks for names; `None` for none.
async fn list(
    context: &Context,
    id: Option<&str>,
    headers: &HeaderMap,
    names: impl FnOnce(&Snapshot, &str, &Stop) -> QueryResult<Names> + Send + 'static,
) -> Result<Found<Vec<String>>, Refusal> {
    let project = project_of(context, id, headers)?;
    // What is wrong with them is told, though a list does not depend on them.
    narrowing(headers)?;
    let found = lookup::work(context, move |snapshot, stop| names(snapshot, &project, stop)).await?;
    let missing = found.missing();
    Ok(((!found.names.is_empty()).then_some(found.names), missing))
}

/// What the headers ask for.
fn narrowing(headers: &HeaderMap) -> Result<Origin, Refusal> {
    Ok(Origin { cluster_id: name(headers, "clusterId")?, namespace: name(headers, "namespace")? })
}

/// The answer in the product's form: what was found, or that nothing was, or why it was not looked for.
fn answer<T: Serialize>(
    context: &Context,
    code: &'static str,
    nothing: &str,
    found: Result<Found<T>, Refusal>,
) -> Response {
    let (found, missing) = match found {
        Ok(found) => found,
        Err(refusal) => return refused(refusal),
    };
    let mut response = match found {
        None => missed(context, nothing),
        Some(found) => {
            let envelope = Envelope { error_code: code, error_message: None, response_info: Some(found) };
            // Texts and numbers always have a JSON form.
            let text = serde_json::to_string(&envelope).unwrap_or_default();
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
    };
    lookup::mark_damage(&missing, &mut response);
    response
}
