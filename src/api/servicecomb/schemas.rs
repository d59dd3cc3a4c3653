//! Contracts: the texts in which services describe their methods.

use super::super::{Context, Route, Shared};
use super::answer::{self, Answer, Failure};
use super::request::{self, Head, USUAL_BODY};
use super::{own, rules};
use crate::registry::Schema;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::Response;
use axum::routing::{delete, get, post, put};
use serde::{Deserialize, Serialize};
use serde_json::json;

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/schemas",
        handler: || get(list),
    },
    Route {
        method: Method::POST,
        path: "/v4/{project}/registry/microservices/{service_id}/schemas",
        handler: || post(replace),
    },
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/schemas/{schema_id}",
        handler: || get(one),
    },
    Route {
        method: Method::PUT,
        path: "/v4/{project}/registry/microservices/{service_id}/schemas/{schema_id}",
        handler: || put(put_one),
    },
    Route {
        method: Method::DELETE,
        path: "/v4/{project}/registry/microservices/{service_id}/schemas/{schema_id}",
        handler: || delete(drop_one),
    },
];

/// The header with a contract's digest.
const SUMMARY: HeaderName = HeaderName::from_static("x-schema-summary");

/// A contract as answers and batches have it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct SchemaBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
}

impl From<Schema> for SchemaBody {
    fn from(schema: Schema) -> Self {
        let given = |text: String| (!text.is_empty()).then_some(text);
        SchemaBody { schema_id: given(schema.id), summary: given(schema.summary), schema: schema.text }
    }
}

impl SchemaBody {
    /// How many bytes its text has.
    pub(super) fn len(&self) -> usize {
        self.schema.as_ref().map_or(0, String::len)
    }

    fn of(self, service: &str, id: String) -> Schema {
        Schema { service: service.to_owned(), id, summary: self.summary.unwrap_or_default(), text: self.schema }
    }
}

async fn one(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let (service, id) = &head.path;
    check(service, id)?;
    let schema = context.registry.schema(&head.tenant, service, id).await?;
    let body = answer::object(&json!({ "schema": schema.text.unwrap_or_default() }));
    Ok(summarized(body, &schema.summary))
}

fn check(service: &str, id: &str) -> Result<(), Failure> {
    rules::service_id("path: the service's id", service)?;
    rules::schema_id("path: the schema's id", id)
}

fn summarized(mut response: Response, summary: &str) -> Response {
    if let Ok(summary) = HeaderValue::from_str(summary) {
        response.headers_mut().insert(SUMMARY, summary);
    }
    response
}

/// Whether a contract is there.
pub(super) fn existence(context: &Context, head: &Head<()>) -> Answer {
    let [service, id] = ["serviceId", "schemaId"].map(|name| head.query.text(name));
    rules::service_id("query parameter serviceId", &service)?;
    rules::schema_id("query parameter schemaId", &id)?;
    let schema = context.registry.schema_head(&head.tenant, &service, &id)?;
    Ok(summarized(answer::object(&json!({ "serviceId": service, "schemaId": id })), &schema.summary))
}

async fn put_one(State(context): State<Shared>, head: Head<(String, String)>, body: Body) -> Answer {
    let (service, id) = head.path;
    check(&service, &id)?;
    let request: SchemaBody = request::json(&context, &head.headers, body, USUAL_BODY).await?;
    let schema = request.of(&service, id);
    rules::schema("", &schema, false)?;
    own::refuse_change(&context, &head.tenant, &service)?;
    context.registry.put_schema(&head.tenant, schema).await?;
    Ok(answer::done())
}

#[derive(Deserialize)]
struct Batch {
    schemas: Option<Vec<SchemaBody>>,
}

async fn replace(State(context): State<Shared>, head: Head<String>, body: Body) -> Answer {
    let service = &head.path;
    rules::service_id("path: the service's id", service)?;
    let request: Batch = request::json(&context, &head.headers, body, USUAL_BODY).await?;
    let bodies = request.schemas.unwrap_or_default();
    let most = context.config.registry.max_schemas;
    if bodies.is_empty() || bodies.len() > most {
        return Err(Failure::invalid(format!("schemas: send 1 to {most}")).into());
    }
    let mut schemas: Vec<Schema> = Vec::new();
    for mut body in bodies {
        let id = body.schema_id.take().unwrap_or_default();
        let schema = body.of(service, id);
        rules::schema("schemas.", &schema, true)?;
        // Of two with one id the later one counts.
        match schemas.iter_mut().find(|other| other.id == schema.id) {
            Some(other) => *other = schema,
            None => schemas.push(schema),
        }
    }
    own::refuse_change(&context, &head.tenant, service)?;
    context.registry.replace_schemas(&head.tenant, service, schemas).await?;
    Ok(answer::done())
}

async fn list(State(context): State<Shared>, head: Head<String>) -> Answer {
    let with_text = match head.query.text("withSchema").trim() {
        "" | "0" => false,
        "1" => true,
        _ => return Err(Failure::invalid("query parameter withSchema: send 1 or 0").into()),
    };
    rules::service_id("path: the service's id", &head.path)?;
    if own::by_id(&context, &head.tenant, &head.path).is_some() {
        return Ok(answer::object(&json!({})));
    }
    let schemas = context.registry.schemas(&head.tenant, &head.path, with_text).await?;
    let schemas: Vec<SchemaBody> = schemas.into_iter().map(SchemaBody::from).collect();
    Ok(answer::list("schemas", &schemas))
}

async fn drop_one(State(context): State<Shared>, head: Head<(String, String)>) -> Answer {
    let (service, id) = &head.path;
    check(service, id)?;
    own::refuse_change(&context, &head.tenant, service)?;
    context.registry.drop_schema(&head.tenant, service, id).await?;
    Ok(answer::done())
}
