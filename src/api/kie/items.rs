//! Items, one by one and in lists.

use super::super::{Context, Shared};
use super::answer::{self, Document, Failure, Form, Outcome, Room, answer, done, unchanged};
use super::request::{self, Parameters, Project, ProjectAndId};
use super::rules::{self, Incoming};
use crate::registry::Tenant;
use crate::registry::items::{Page, Query, Status, Watch};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;

pub(super) async fn create(
    State(context): State<Shared>,
    project: Project,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let created = async {
        let tenant = request::tenant(&project, &headers)?;
        let incoming: Incoming = request::json(&context, &headers, body).await?;
        // As KIE has it: clients heed an item only once somebody has enabled it.
        let new = incoming.check(Status::Disabled)?;
        let entry = context.registry.create_item(&tenant, new).await?;
        Ok(answer::object(&Document::from(&entry)))
    };
    answer(Form::Kie, created.await)
}

/// What of an item is changed: what is empty stays.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Changed {
    value: Option<String>,
    status: Option<String>,
}

pub(super) async fn change(
    State(context): State<Shared>,
    path: ProjectAndId,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let changed = async {
        let (tenant, id) = request::tenant_and_id(path, &headers)?;
        let Changed { value, status } = request::json(&context, &headers, body).await?;
        let value = value.filter(|value| !value.is_empty());
        value.as_deref().map_or(Ok(()), rules::value)?;
        let status = rules::status("field status", &status.unwrap_or_default())?;
        let mut room = context.configurations.room();
        let entry = context.registry.change_item(&tenant, &id, value, status, &mut |bytes| room.grow(bytes)).await?;
        Ok(answer::object(&Document::from(&entry)))
    };
    answer(Form::Kie, changed.await)
}

pub(super) async fn get(State(context): State<Shared>, path: ProjectAndId, headers: HeaderMap) -> Response {
    let found = async {
        let (tenant, id) = request::tenant_and_id(path, &headers)?;
        let mut room = context.configurations.room();
        let entry = context.registry.item(&tenant, &id, &mut |bytes| room.grow(bytes)).await?;
        Ok(answer::object(&Document::from(&entry)))
    };
    answer(Form::Kie, found.await)
}

pub(super) async fn drop_one(State(context): State<Shared>, path: ProjectAndId, headers: HeaderMap) -> Response {
    let dropped = async {
        let (tenant, id) = request::tenant_and_id(path, &headers)?;
        context.registry.drop_item(&tenant, &id).await?;
        Ok(done())
    };
    answer(Form::Kie, dropped.await)
}

/// Ids that are not there do not matter.
pub(super) async fn drop_many(
    State(context): State<Shared>,
    project: Project,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let dropped = async {
        let tenant = request::tenant(&project, &headers)?;
        let ids = request::ids(&context, &headers, body, answer::INVALID).await?;
        context.registry.drop_items(&tenant, &ids).await?;
        Ok(done())
    };
    answer(Form::Kie, dropped.await)
}

pub(super) async fn list(
    State(context): State<Shared>,
    project: Project,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let listed = async {
        let tenant = request::tenant(&project, &headers)?;
        let parameters = Parameters::new(query.as_deref());
        let (query, page) = (parameters.query()?, parameters.page()?);
        if !has_changed(&context, &tenant, &query, &parameters).await? {
            return Ok(unchanged());
        }
        let mut room = context.configurations.room();
        let listed = context.registry.items(&tenant, &query, page, &mut |bytes| room.grow(bytes)).await?;
        context.tracks.record(&context, &tenant, &parameters, &headers, listed.revision);
        Ok(answer::revised_list(room, &listed))
    };
    answer(Form::Kie, listed.await)
}

/// Whether a client is to be given a list: it has none, or something that it means has changed since it asked last, or
/// changes while it waits.
async fn has_changed(context: &Context, tenant: &Tenant, query: &Query, parameters: &Parameters) -> Outcome<bool> {
    let revision = parameters.revision()?;
    let Some(wait) = parameters.wait()? else {
        return Ok(revision.is_none_or(|revision| context.registry.items_changed(tenant, query, revision)));
    };
    if query.key.is_some() {
        if revision.is_some_and(|revision| context.registry.items_changed(tenant, query, revision)) {
            return Ok(true);
        }
        return Err(Failure::invalid("can not accept key params, when using wait: leave key or wait out"));
    }
    match context.registry.watch_items(tenant, query.clone(), revision) {
        Watch::Changed => Ok(true),
        Watch::Full => Err(Failure::too_many()),
        Watch::Waiting(mut waiting) => Ok(tokio::time::timeout(wait, waiting.changed()).await.unwrap_or(false)),
    }
}

/// The states that an item had.
pub(super) async fn states(
    State(context): State<Shared>,
    path: ProjectAndId,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let found = async {
        let (tenant, id) = request::tenant_and_id(path, &headers)?;
        let page: Page = Parameters::new(query.as_deref()).page()?;
        let mut room: Room = context.configurations.room();
        let (total, entries) = context.registry.item_states(&tenant, &id, page, &mut |bytes| room.grow(bytes)).await?;
        Ok(answer::list(room, total, &entries))
    };
    answer(Form::Kie, found.await)
}
