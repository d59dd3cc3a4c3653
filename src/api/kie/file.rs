//! Items as a file: imported and exported.

use super::super::object::Object;
use super::super::{Context, Shared, body};
use super::answer::{
    self, ABORTED, BAD_EXPORT, BAD_FILE, Document, EMPTY_FILE, Exported, Failure, Form, Outcome, SKIPPED, answer,
};
use super::request::{self, Parameters, Project};
use super::rules::{Incoming, Loose};
use crate::registry::items::{Entry, Imported, Labels, NewItem, Override, Query, Status};
use axum::body::Body;
use axum::extract::{FromRequest, Multipart, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The form's field.
const FIELD: &str = "upload_file";

/// A file of items. What else it says of itself does not matter.
#[derive(Deserialize)]
struct File<'f> {
    #[serde(borrow)]
    data: Vec<&'f RawValue>,
}

/// An item that was not imported.
#[derive(Serialize)]
struct Failed {
    key: String,
    labels: Labels,
    /// A number as KIE has it, a text as the cloud service has it.
    error_code: Value,
    error_message: String,
}

/// What became of one item: a failure, or its place among those that were handed on.
struct Planned {
    key: String,
    labels: Labels,
    failure: Option<Failure>,
}

pub(super) async fn import(
    State(context): State<Shared>,
    project: Project,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    let multipart = body::content_type(request.headers()) == "multipart/form-data";
    let form = if multipart { Form::Cse } else { Form::Kie };
    let imported = async {
        let tenant = request::tenant(&project, request.headers())?;
        let parameters = Parameters::new(query.as_deref());
        let policy = match parameters.text("override") {
            "" | "force" => Override::Force,
            "abort" => Override::Abort,
            "skip" => Override::Skip,
            _ => return Err(Failure::invalid("query parameter override: send force, abort or skip")),
        };
        let labels = Some(parameters.labels()?).filter(|labels| !labels.is_empty());
        let file = if multipart { uploaded(&context, request).await? } else { posted(&context, request).await? };
        let (planned, items) = plan(&file, labels.as_ref())?;
        drop(file);
        let outcomes = context.registry.import_items(&tenant, items, policy).await?;
        Ok(report(form, planned, outcomes))
    };
    answer(form, imported.await)
}

/// The file of a form.
async fn uploaded(context: &Context, request: Request) -> Outcome<Bytes> {
    let (head, body) = request.into_parts();
    let bytes = Bytes::copy_from_slice(&body::read(context, &head.headers, body).await?);
    let broken = |e: &dyn std::fmt::Display| Failure::new(BAD_FILE, format!("the form is not as expected: {e}"));
    let request = Request::from_parts(head, Body::from(bytes));
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| broken(&e))?;
    while let Some(field) = form.next_field().await.map_err(|e| broken(&e))? {
        if field.name() != Some(FIELD) {
            continue;
        }
        if !field.file_name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".json")) {
            return Err(Failure::new(
                EMPTY_FILE,
                format!("form field {FIELD}: send a file whose name ends with .json"),
            ));
        }
        let bytes = field.bytes().await.map_err(|e| broken(&e))?;
        if bytes.trim_ascii().is_empty() {
            return Err(Failure::new(EMPTY_FILE, format!("form field {FIELD}: send a file that is not empty")));
        }
        return Ok(bytes);
    }
    Err(Failure::new(BAD_FILE, format!("form field {FIELD}: send the file in it")))
}

/// The body as it is.
async fn posted(context: &Context, request: Request) -> Outcome<Bytes> {
    let (head, body) = request.into_parts();
    body::refuse_binary(&head.headers)?;
    Ok(Bytes::copy_from_slice(&body::read(context, &head.headers, body).await?))
}

/// Checks each item of a file by itself. Labels that the request names stand in the place of an item's own.
fn plan(file: &[u8], labels: Option<&Labels>) -> Outcome<(Vec<Planned>, Vec<NewItem>)> {
    let bad = |e| Failure::new(BAD_FILE, format!("the file is not {{\"data\":[..]}}: {e}"));
    let data = serde_json::from_slice::<Object<File<'_>>>(file).map_err(bad)?.0.data;
    request::bounded("data", data.len(), BAD_FILE)?;
    let mut items = Vec::with_capacity(data.len());
    // A null stands for no item.
    let data = data.iter().filter(|text| text.get() != "null");
    let planned = data.enumerate().map(|(place, text)| {
        let (mut names, checked) = match serde_json::from_str::<Object<Loose>>(text.get()) {
            Ok(Object(loose)) => (loose.names(), loose.check()),
            Err(e) => {
                let failure = Failure::new(BAD_FILE, format!("data[{place}] is not as expected: {e}"));
                ((String::new(), Labels::new()), Err(failure))
            }
        };
        if let Some(labels) = labels {
            names.1.clone_from(labels);
        }
        let checked = checked.and_then(|incoming| {
            let own =
                labels.map(|labels| labels.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect());
            Incoming { labels: own.or(incoming.labels), ..incoming }.check(Status::Enabled)
        });
        let (key, labels) = names;
        let failure = match checked {
            Ok(item) => {
                items.push(item);
                None
            }
            Err(failure) => Some(failure),
        };
        Planned { key, labels, failure }
    });
    Ok((planned.collect(), items))
}

/// What became of each.
fn report(form: Form, planned: Vec<Planned>, outcomes: Vec<Imported>) -> Response {
    #[derive(Serialize)]
    struct Report<'e> {
        success: Vec<Document<'e>>,
        failure: Vec<Failed>,
    }
    let mut outcomes = outcomes.into_iter();
    let mut done: Vec<Entry> = Vec::new();
    let mut failed = Vec::new();
    let mut aborted = false;
    for Planned { key, labels, failure } in planned {
        let failure = match failure {
            // Whatever is wrong with it, nobody looked.
            Some(_) if aborted => Failure::new(ABORTED, ""),
            Some(failure) => failure,
            None => match outcomes.next() {
                Some(Imported::Done(entry)) => {
                    done.push(entry);
                    continue;
                }
                Some(Imported::Failed(fault)) => fault.into(),
                Some(Imported::Skipped) => Failure::new(SKIPPED, ""),
                Some(Imported::Aborted) | None => {
                    aborted = true;
                    Failure::new(ABORTED, "")
                }
            },
        };
        let error_code = match form {
            Form::Kie => failure.number().into(),
            Form::Cse => failure.code(form).into(),
        };
        let message = failure.message(form);
        let error_message =
            if failure.detail().is_empty() { message.to_owned() } else { format!("{message}: {}", failure.detail()) };
        failed.push(Failed { key, labels, error_code, error_message });
    }
    answer::object(&Report { success: done.iter().map(Document::from).collect(), failure: failed })
}

pub(super) async fn export(
    State(context): State<Shared>,
    project: Project,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let exported = async {
        let tenant = request::tenant(&project, &headers)?;
        let parameters = Parameters::new(query.as_deref());
        let query = Query {
            labels: parameters.labels().map_err(request::of_export)?,
            exact: parameters.exact(),
            ..Query::default()
        };
        let ids = request::ids(&context, &headers, body, BAD_EXPORT).await?;
        let mut room = context.configurations.room();
        let mut entries = context.registry.items_by_id(&tenant, &ids, &mut |bytes| room.grow(bytes)).await?;
        entries.retain(|entry| query.matches(&entry.item));
        let document = serde_json::json!({
            "metadata": { "version": "1.0.0", "annotations": {} },
            "data": entries.iter().map(Exported::from).collect::<Vec<_>>(),
        });
        let mut response = room.answer(document.to_string().into_bytes());
        let name = file_name(&parameters, context.now_millis());
        let value = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
        response.headers_mut().extend(value.ok().map(|value| (header::CONTENT_DISPOSITION, value)));
        Ok(response)
    };
    answer(Form::Cse, exported.await)
}

/// A file's name: the environment that was asked for and the time. Where the environment is empty, it is the default;
/// where none was named, or more than one, it is none in particular.
fn file_name(parameters: &Parameters, millis: i64) -> String {
    let mut environments = parameters.all("label").filter_map(|label| label.strip_prefix("environment:"));
    let environment = match (environments.next(), environments.next()) {
        (Some(""), None) => "default",
        (Some(one), None) => one,
        _ => "custom",
    };
    format!("{environment}{millis}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_the_one_environment() {
        let name = |query: &str| file_name(&Parameters::new(Some(query)), 1_700_000_000_123);
        assert_eq!(name("label=environment:development&label=app:a"), "development1700000000123.json");
        assert_eq!(name("label=environment:"), "default1700000000123.json");
        assert_eq!(name("label=app:a"), "custom1700000000123.json");
        assert_eq!(name("label=environment:a&label=environment:a"), "custom1700000000123.json");
    }
}
