//! Lists of services. Each entry has the array `Sources` beside the product's own fields.

use super::answer::{Rejection, Reply};
use super::detail::sources;
use super::form::{Fields, Node};
use super::parameters::{Parameters, Place};
use crate::api::observed::observed;
use crate::api::{Context, Shared, lookup};
use crate::insight::{self, Listed, Peers, ServiceKind, Wanted};
use crate::query::names;
use crate::registry::Registry;
use crate::stop::Stop;
use crate::store::Snapshot;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use std::borrow::Cow;

/// Entries of a page; also where no other number is asked for.
const MOST_ENTRIES: usize = 9_999;
const MOST_PAGES: usize = 1_000_000;
/// What the product calls the registry that an application does not bring itself.
const BUILT_IN: &str = "0";

type Listing = Result<(Node, Vec<String>), Rejection>;

pub(super) async fn list(State(context): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let reply = Reply::new(&context, &query, &headers);
    let listed = async {
        reply.check_format()?;
        let (page, missing) = Page::of(&context, &query, &headers).await?;
        let Page { namespace, rows, .. } = page;
        let entries = rows.into_iter().map(|row| entry(row, &namespace)).collect();
        Ok((Node::List(entries), missing))
    };
    answered(&reply, "ListAppServices", listed.await)
}

pub(super) async fn page(State(context): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let reply = Reply::new(&context, &query, &headers);
    let listed = async {
        reply.check_format()?;
        let (page, missing) = Page::of(&context, &query, &headers).await?;
        let result = page.rows.into_iter().map(short_entry).collect();
        let data = Fields::default()
            .text("CurrentPage", &page.number.to_string())
            .text("TotalSize", &page.total.to_string())
            .text("PageNumber", &page.number.to_string())
            .text("PageSize", &page.size.to_string())
            .put("Result", Node::List(result))
            .end();
        // The product has its one page in a list.
        Ok((Node::List(vec![data]), missing))
    };
    answered(&reply, "ListAppServicesPage", listed.await)
}

pub(super) async fn published(
    State(context): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let reply = Reply::new(&context, &query, &headers);
    let listed = async {
        reply.check_format()?;
        let Asked { wanted, place } = Asked::of(&context, &query, &headers, true)?;
        named(&context, place, move |registry, place, traced| {
            peer_list(insight::published(registry, &place.tenant, &wanted, traced))
        })
        .await
    };
    answered(&reply, "ListPublishedServices", listed.await)
}

pub(super) async fn consumed(State(context): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let reply = Reply::new(&context, &query, &headers);
    let listed = async {
        reply.check_format()?;
        let Asked { wanted, place } = Asked::of(&context, &query, &headers, true)?;
        let observed = observed(&context, &place.project).await?;
        named(&context, place, move |registry, place, traced| {
            peer_list(insight::consumed(registry, &place.tenant, &wanted, traced, &observed))
        })
        .await
    };
    answered(&reply, "ListConsumedServices", listed.await)
}

fn answered(reply: &Reply, action: &str, listed: Listing) -> Response {
    match listed {
        Ok((data, missing)) => {
            let mut response = reply.done(action, Some(data));
            lookup::mark_damage(&missing, &mut response);
            response
        }
        Err(rejection) => reply.refused(rejection),
    }
}

/// Whose services are asked for.
struct Asked {
    wanted: Wanted,
    place: Place,
}

impl Asked {
    fn of(context: &Context, query: &str, headers: &HeaderMap, app_is_required: bool) -> Result<Asked, Rejection> {
        let parameters = Parameters::of(query);
        let app = match app_is_required {
            true => parameters.app_id()?,
            false => parameters.text("AppId")?.unwrap_or_default(),
        };
        let wanted = Wanted { app, kind: parameters.kind()?, ..Wanted::default() };
        Ok(Asked { wanted, place: parameters.place(context, headers)? })
    }
}

/// What `list` makes of the registry and of the names that traces know, with what is missing of those in words. There
/// may be many services: it is done where it holds up nobody.
async fn named<T: Send + 'static>(
    context: &Context,
    place: Place,
    list: impl FnOnce(&Registry, &Place, &[String]) -> T + Send + 'static,
) -> Result<(T, Vec<String>), Rejection> {
    let registry = context.registry.clone();
    let work = move |snapshot: &Snapshot, _: &Stop| {
        let found = names::services(snapshot, &place.project)?;
        Ok((list(&registry, &place, &found.names), found.missing()))
    };
    Ok(lookup::work(context, work).await?)
}

/// Some rows of a list.
struct Page {
    namespace: String,
    rows: Vec<Listed>,
    number: usize,
    size: usize,
    /// Rows of all pages.
    total: usize,
}

impl Page {
    async fn of(context: &Context, query: &str, headers: &HeaderMap) -> Result<(Page, Vec<String>), Rejection> {
        let parameters = Parameters::of(query);
        let number = parameters.number("PageNumber", (1, MOST_PAGES))?.unwrap_or(1);
        let size = parameters.number("PageSize", (0, MOST_ENTRIES))?.filter(|size| *size > 0).unwrap_or(MOST_ENTRIES);
        let Asked { wanted, place } = Asked::of(context, query, headers, false)?;
        named(context, place, move |registry, place, traced| {
            let all = insight::list(registry, &place.tenant, &wanted, traced);
            let total = all.len();
            let mut rows: Vec<Listed> = all.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect();
            insight::fill(registry, &place.tenant, &mut rows);
            Page { namespace: place.tenant.project.clone(), rows, number, size, total }
        })
        .await
    }
}

fn entry(row: Listed, namespace: &str) -> Node {
    let protocol = row.ports.values().next().cloned().unwrap_or_default();
    let by_port = |(port, protocol): (&u16, &String)| (Cow::Owned(port.to_string()), Node::text(protocol));
    let by_port: Vec<_> = row.ports.iter().map(by_port).collect();
    let mut fields = Fields::default()
        .text("AppId", &row.app)
        .text("AppName", &row.app_name)
        .text("InstanceCount", &row.instances.to_string())
        .text("NamespaceId", namespace)
        .text("NamespaceName", namespace)
        .text("RegistryType", BUILT_IN)
        .text("ServiceGroup", &row.group)
        .text("ServiceName", &row.name);
    if !by_port.is_empty() {
        fields = fields.put("ServicePortAndProtocol", Node::Fields(by_port));
    }
    fields
        .list("ServicePorts", row.ports.keys().map(|port| Node::number(*port)).collect())
        .text("ServiceProtocol", &protocol)
        .text("ServiceType", row.kind.map_or("", ServiceKind::name))
        .text("ServiceVersion", &row.version)
        .put("Sources", sources(&row.sources))
        .end()
}

fn short_entry(row: Listed) -> Node {
    Fields::default()
        .text("EdasAppName", &row.app_name)
        .text("Version", &row.version)
        .put("InstanceNum", Node::number(row.instances))
        .text("EdasAppId", &row.app)
        .text("ServiceName", &row.name)
        .text("Group", &row.group)
        .put("Sources", sources(&row.sources))
        .end()
}

fn peer_list(peers: Peers) -> Node {
    let group = |row: &Listed| if row.group.is_empty() { Vec::new() } else { vec![Node::text(row.group.clone())] };
    let entry = |row: Listed| {
        Fields::default()
            .text("AppId", &row.app)
            .list("Groups", group(&row))
            .list("Ips", row.hosts.into_iter().map(Node::Text).collect())
            .text("Name", &row.name)
            .text("Type", row.kind.map_or("", ServiceKind::name))
            .text("Version", &row.version)
            .put("Sources", sources(&row.sources))
            .end()
    };
    Node::List(peers.services.into_iter().map(entry).collect())
}
