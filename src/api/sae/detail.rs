//! The detail of a service: asked for, posted and deleted.

use super::answer::{Rejection, Reply};
use super::form::{Fields, Node};
use super::parameters::Parameters;
use crate::api::{Context, Refusal, Shared, body, lookup};
use crate::insight::{self, MethodDetail, ParameterDefinition, Posted, ServiceDetail, ServiceKind, Source};
use crate::registry::{DetailHead, DetailKey};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

/// Bytes of a posted detail.
const MOST_BODY: usize = 1 << 20;

pub(super) async fn describe(State(context): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let reply = Reply::new(&context, &query, &headers);
    let described = async {
        reply.check_format()?;
        describe_service(&context, &query, &headers).await
    };
    match described.await {
        Ok(detail) => {
            let damaged = detail.damaged.clone();
            let mut response = reply.done("DescribeAppServiceDetail", Some(node(detail)));
            lookup::mark_damage(&damaged, &mut response);
            response
        }
        Err(rejection) => reply.refused(rejection),
    }
}

async fn describe_service(context: &Context, query: &str, headers: &HeaderMap) -> Result<ServiceDetail, Rejection> {
    let parameters = Parameters::of(query);
    let wanted = parameters.wanted()?;
    let place = parameters.place(context, headers)?;
    let gathered = insight::gather(&context.registry, &place.tenant, &wanted).await?;
    let unknown = wanted.name.clone().unwrap_or_else(|| wanted.app.clone());
    let detail =
        lookup::work(context, move |snapshot, stop| gathered.detail(snapshot, &place.project, &wanted, stop)).await?;
    detail.ok_or_else(|| Rejection::unknown(&unknown))
}

/// Takes what an agent knows of a service, in the place of what was posted for it before.
pub(super) async fn put(
    State(context): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let query = query.unwrap_or_default();
    let reply = Reply::new(&context, &query, &headers);
    let put = async {
        reply.check_format()?;
        put_detail(&context, &query, &headers, body).await
    };
    match put.await {
        Ok(()) => reply.done("PutAppServiceDetail", None),
        Err(rejection) => reply.refused(rejection),
    }
}

async fn put_detail(context: &Context, query: &str, headers: &HeaderMap, body: Body) -> Result<(), Rejection> {
    let parameters = Parameters::of(query);
    let place = parameters.place(context, headers)?;
    body::refuse_binary(headers)?;
    let body = body::read(context, headers, body).await?;
    if body.len() > MOST_BODY {
        let remedy = format!("the body is larger than {MOST_BODY} bytes: describe fewer methods");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, remedy).into());
    }
    let mut posted = read(&body)?;
    drop(body);
    if posted.app_id.trim().is_empty() {
        posted.app_id = parameters.app_id()?;
    }
    let posted = posted.settled().map_err(|objection| {
        let remedy = format!("{}: {}", objection.field, objection.remedy);
        Rejection::invalid(&objection.field, remedy)
    })?;
    let key = DetailKey {
        app: posted.app_id.clone(),
        name: posted.service_name.clone(),
        group: posted.group.clone(),
        version: posted.version.clone(),
    };
    let head = DetailHead { key, kind: posted.service_type.clone() };
    // Texts and numbers always have a form.
    let text = serde_json::to_string(&posted).unwrap_or_default();
    Ok(context.registry.put_detail(&place.tenant, head, text).await?)
}

fn read(body: &[u8]) -> Result<Posted, Rejection> {
    let refused = |why: &str| Rejection::invalid("body", format!("send a JSON object in the fields of Data: {why}"));
    // A list would be taken for the values of the fields in order.
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map_err(|error| refused(&error.to_string())),
        Some(_) => Err(refused("it begins as something else")),
        None => Err(refused("it is empty")),
    }
}

/// Deletes what was posted under exactly these names.
pub(super) async fn delete(State(context): State<Shared>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    let reply = Reply::new(&context, &query, &headers);
    let deleted = async {
        reply.check_format()?;
        delete_detail(&context, &query, &headers).await
    };
    match deleted.await {
        Ok(()) => reply.done("DeleteAppServiceDetail", None),
        Err(rejection) => reply.refused(rejection),
    }
}

async fn delete_detail(context: &Context, query: &str, headers: &HeaderMap) -> Result<(), Rejection> {
    let parameters = Parameters::of(query);
    let app = parameters.app_id()?;
    let place = parameters.place(context, headers)?;
    let Some(name) = parameters.text("ServiceName")? else {
        return Err(Rejection::invalid("ServiceName", "query parameter ServiceName: send the service's name"));
    };
    let group = parameters.text("ServiceGroup")?.unwrap_or_default();
    let version = parameters.text("ServiceVersion")?.unwrap_or_default();
    let key = DetailKey { app, name: name.clone(), group, version };
    if !context.registry.drop_detail(&place.tenant, key).await? {
        return Err(Rejection::unknown(&name));
    }
    Ok(())
}

/// A detail in the order of the product's own example, what it does not have at the end.
fn node(detail: ServiceDetail) -> Node {
    let ports = detail.ports.into_iter().map(Node::number).collect();
    let metadata: Vec<_> = detail.metadata.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    let methods = detail.methods.into_iter().map(|(source, detail)| method(source, detail)).collect();
    let mut fields = Fields::default()
        .text("Group", &detail.group)
        .text("ServiceName", &detail.name)
        .text("Version", &detail.version)
        .text("ServiceType", detail.kind.map_or("", ServiceKind::name))
        .text("EdasAppName", &detail.app_name)
        .text("SpringApplicationName", &detail.spring_name)
        .text("DubboApplicationName", &detail.dubbo_name)
        .put("Metadata", Node::Fields(metadata))
        .put("Methods", Node::List(methods))
        .list("ServicePorts", ports)
        .text("ServiceProtocol", &detail.protocol);
    if !detail.tags.is_empty() {
        fields = fields.put("ServiceTags", Node::texts(detail.tags));
    }
    fields = fields.put("Sources", sources(&detail.sources));
    if !detail.notes.is_empty() {
        fields = fields.put("Notes", Node::texts(detail.notes));
    }
    fields.end()
}

/// Who knows of a service.
pub(super) fn sources(sources: &[Source]) -> Node {
    Node::texts(sources.iter().map(|source| source.name().to_owned()))
}

fn method(source: Source, detail: MethodDetail) -> Node {
    let definition = |ParameterDefinition { kind, description, name }: ParameterDefinition| {
        Fields::default().text("Type", &kind).text("Description", &description).text("Name", &name).end()
    };
    Fields::default()
        .text("MethodController", &detail.method_controller)
        .text("ReturnType", &detail.return_type)
        .text("ReturnDetails", &detail.return_details)
        .text("Name", &detail.name)
        .text("NameDetail", &detail.name_detail)
        .put("ParameterDetails", Node::texts(detail.parameter_details))
        .put("RequestMethods", Node::texts(detail.request_methods))
        .put("ParameterTypes", Node::texts(detail.parameter_types))
        .put("Paths", Node::texts(detail.paths))
        .put("ParameterDefinitions", Node::List(detail.parameter_definitions.into_iter().map(definition).collect()))
        .text("Source", source.name())
        .end()
}
