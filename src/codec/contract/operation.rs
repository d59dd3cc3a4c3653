//! The operations of a document as methods.

use super::document::{Document, MOST_REFERENCE};
use super::types::type_of;
use super::{Contract, Limits, MOST_PARAMETERS, Method, Parameter, Unreadable, cut};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The fields of a path that are operations.
const VERBS: [&str; 8] = ["get", "post", "put", "delete", "patch", "head", "options", "trace"];
/// Answers of a method among which one is looked for that is no error.
const MOST_ANSWERS: usize = 1_000;
/// How ServiceComb's agents begin a title; the class follows.
const TITLE: &str = "swagger definition for ";
/// What a method returns that answers nothing.
const NOTHING: &str = "void";

/// All methods, by path and verb.
pub(super) fn methods<E>(
    document: &Document,
    id: &str,
    limits: Limits,
    go_on: impl Fn() -> Result<(), E>,
) -> Result<Result<Contract, Unreadable>, E> {
    let paths = match document.root().get("paths") {
        Some(Value::Object(paths)) => paths,
        None | Some(Value::Null) => return Ok(Ok(Contract::default())),
        Some(_) => return Ok(Err(Unreadable("its paths are no object".to_owned()))),
    };
    let base = base_path(document);
    let class = class(document).unwrap_or(id);
    let mut contract = Contract::default();
    let mut bytes = 0;
    let mut shared = Shared::default();
    'paths: for (path, item) in paths {
        go_on()?;
        let item = document.resolve(item);
        for verb in VERBS {
            if document.is_spent() {
                break 'paths;
            }
            let Some(operation) = item.get(verb).filter(|operation| operation.is_object()) else { continue };
            if contract.methods.len() >= limits.methods || bytes >= limits.bytes {
                contract.left_out += 1;
                continue;
            }
            go_on()?;
            let of_path = shared.of(document, item);
            let path = join(base, document.short(path));
            let method = Operation { document, of_path, operation }.method(class, verb, &path);
            if document.is_spent() {
                // It may lack something.
                break 'paths;
            }
            bytes += method.bytes();
            if bytes > limits.bytes {
                contract.left_out += 1;
            } else {
                contract.methods.push(method);
            }
        }
    }
    if document.has_long_references() {
        contract.notes.push(format!("references longer than {MOST_REFERENCE} bytes are not followed"));
    }
    if document.is_spent() {
        let limit = document.limit();
        contract.notes.push(format!("it refers to so much that it was read no further after {limit} steps"));
    }
    Ok(Ok(contract))
}

/// What tells parameters apart: where they are, and their names.
type Key<'d> = (Option<&'d str>, Option<&'d str>);

/// The parameters of the path that was read last. Its methods share them, and so do paths that refer to one and the
/// same.
#[derive(Default)]
struct Shared<'d> {
    item: Option<&'d Value>,
    parameters: Vec<(Key<'d>, Parameter)>,
}

impl<'d> Shared<'d> {
    fn of(&mut self, document: &'d Document, item: &'d Value) -> &[(Key<'d>, Parameter)] {
        if !self.item.is_some_and(|last| std::ptr::eq(last, item)) {
            let resolved = listed(item).map(|one| document.resolve(one));
            self.parameters = resolved.map(|one| (key(document, one), parameter(document, one))).collect();
            self.item = Some(item);
        }
        &self.parameters
    }
}

/// The class whose methods a document describes, rather than the interface that an agent generates of it.
fn class(document: &Document) -> Option<&str> {
    let root = document.root();
    let info = root.get("info").unwrap_or(&Value::Null);
    let named = |key: &str| document.text(info, key).or_else(|| document.text(root, key));
    let titled = || document.text(info, "title")?.strip_prefix(TITLE).map(str::trim).filter(|class| !class.is_empty());
    named("x-java-class").or_else(titled).or_else(|| named("x-java-interface"))
}

/// What stands before each path: `basePath`, or the path of the first server.
fn base_path(document: &Document) -> &str {
    let root = document.root();
    if let Some(base) = document.text(root, "basePath") {
        return base;
    }
    let server = root.get("servers").and_then(|servers| servers.get(0)).and_then(|server| document.text(server, "url"));
    let Some(url) = server else { return "" };
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => url,
    }
}

fn join(base: &str, path: &str) -> String {
    let base = base.trim_matches('/');
    let path = path.trim_start_matches('/');
    let joined = match (base.is_empty(), path.is_empty()) {
        (true, _) => format!("/{path}"),
        (false, true) => format!("/{base}"),
        (false, false) => format!("/{base}/{path}"),
    };
    cut(&joined)
}

/// One operation with what its path gives it.
struct Operation<'o, 'd> {
    document: &'d Document,
    of_path: &'o [(Key<'d>, Parameter)],
    operation: &'d Value,
}

impl Operation<'_, '_> {
    fn method(&self, class: &str, verb: &str, path: &str) -> Method {
        let (return_type, return_details) = self.returned();
        let verb = verb.to_ascii_uppercase();
        let name = self
            .document
            .text(self.operation, "operationId")
            .map_or_else(|| cut(&format!("{verb} {path}")), str::to_owned);
        let detail =
            self.document.text(self.operation, "summary").or_else(|| self.document.text(self.operation, "description"));
        let class = self.document.text(self.operation, "x-java-class").unwrap_or(class);
        Method {
            controller: cut(class),
            return_type,
            return_details,
            name,
            name_detail: detail.map(str::to_owned).unwrap_or_default(),
            request_methods: vec![verb],
            paths: vec![path.to_owned()],
            parameters: self.parameters(),
        }
    }

    /// Type and description of what comes back where all goes well.
    fn returned(&self) -> (String, String) {
        let Some(Value::Object(responses)) = self.operation.get("responses") else {
            return (NOTHING.to_owned(), String::new());
        };
        let is_good = |status: &str| status.starts_with('2');
        let usual = responses.get("200").or_else(|| responses.get("201"));
        let good =
            || responses.iter().take(MOST_ANSWERS).find(|(status, _)| is_good(status)).map(|(_, response)| response);
        let Some(response) = usual.or_else(good).or_else(|| responses.get("default")) else {
            return (NOTHING.to_owned(), String::new());
        };
        let response = self.document.resolve(response);
        let schema = response.get("schema").or_else(|| content(response).map(|(_, schema)| schema));
        let kind = schema.map_or_else(|| NOTHING.to_owned(), |schema| type_of(self.document, schema));
        (kind, self.document.text(response, "description").map(str::to_owned).unwrap_or_default())
    }

    /// Those of the path that the operation does not replace, then its own, then its body.
    fn parameters(&self) -> Vec<Parameter> {
        let own: Vec<&Value> = listed(self.operation).map(|one| self.document.resolve(one)).collect();
        let replaced: HashSet<Key<'_>> = own.iter().map(|one| key(self.document, one)).collect();
        let of_path = self.of_path.iter().filter(|(key, _)| !replaced.contains(key));
        let of_path = of_path.map(|(_, parameter)| parameter.clone());
        let mut parameters: Vec<Parameter> =
            of_path.chain(own.into_iter().map(|one| parameter(self.document, one))).collect();
        self.body(&mut parameters);
        parameters.truncate(MOST_PARAMETERS);
        parameters
    }

    /// The body of OpenAPI 3: the fields of a form, or one parameter.
    fn body(&self, parameters: &mut Vec<Parameter>) {
        let Some(body) = self.operation.get("requestBody") else { return };
        let body = self.document.resolve(body);
        let Some((media, schema)) = content(body) else { return };
        let is_form = media.starts_with("multipart/") || media == "application/x-www-form-urlencoded";
        if is_form && let Some(Value::Object(fields)) = self.document.resolve(schema).get("properties") {
            let field = |(name, schema): (&String, &Value)| Parameter {
                name: self.document.short(name).to_owned(),
                kind: type_of(self.document, schema),
                detail: self
                    .document
                    .text(self.document.resolve(schema), "description")
                    .map(str::to_owned)
                    .unwrap_or_default(),
            };
            parameters.extend(fields.iter().take(MOST_PARAMETERS).map(field));
            return;
        }
        parameters.push(Parameter {
            name: self.document.text(body, "x-name").map_or_else(|| "body".to_owned(), cut),
            kind: type_of(self.document, schema),
            detail: self.document.text(body, "description").map(str::to_owned).unwrap_or_default(),
        });
    }
}

fn key<'d>(document: &Document, parameter: &'d Value) -> Key<'d> {
    (document.text(parameter, "in"), document.text(parameter, "name"))
}

fn parameter(document: &Document, parameter: &Value) -> Parameter {
    let schema = parameter.get("schema").or_else(|| content(parameter).map(|(_, schema)| schema));
    Parameter {
        name: document.text(parameter, "name").map(str::to_owned).unwrap_or_default(),
        kind: type_of(document, schema.unwrap_or(parameter)),
        detail: document.text(parameter, "description").map(str::to_owned).unwrap_or_default(),
    }
}

/// The parameters that an operation or a path lists.
fn listed(holder: &Value) -> impl Iterator<Item = &Value> {
    let listed = holder.get("parameters").and_then(Value::as_array);
    listed.into_iter().flatten().take(MOST_PARAMETERS)
}

/// The media type and schema of a content: of JSON, where there are several.
fn content(holder: &Value) -> Option<(&str, &Value)> {
    let content: &Map<String, Value> = holder.get("content")?.as_object()?;
    let json = content.get_key_value("application/json");
    let (media, described) = json.or_else(|| content.iter().next())?;
    Some((media, described.get("schema")?))
}
