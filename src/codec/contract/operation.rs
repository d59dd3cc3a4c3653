//! The operations of a document as methods.

use super::document::{resolve, text};
use super::types::type_of;
use super::{Contract, Limits, MOST_PARAMETERS, Method, Parameter, Unreadable, cut};
use serde_json::{Map, Value};

/// The fields of a path that are operations.
const VERBS: [&str; 8] = ["get", "post", "put", "delete", "patch", "head", "options", "trace"];
/// How ServiceComb's agents begin a title; the class follows.
const TITLE: &str = "swagger definition for ";
/// What a method returns that answers nothing.
const NOTHING: &str = "void";

/// All methods, by path and verb.
pub(super) fn methods(root: &Value, id: &str, limits: Limits) -> Result<Contract, Unreadable> {
    let paths = match root.get("paths") {
        Some(Value::Object(paths)) => paths,
        None | Some(Value::Null) => return Ok(Contract::default()),
        Some(_) => return Err(Unreadable("its paths are no object".to_owned())),
    };
    let base = base_path(root);
    let class = class(root).unwrap_or(id);
    let mut contract = Contract::default();
    let mut bytes = 0;
    for (path, item) in paths {
        let item = resolve(root, item);
        for verb in VERBS {
            let Some(operation) = item.get(verb).filter(|operation| operation.is_object()) else { continue };
            if contract.methods.len() >= limits.methods || bytes >= limits.bytes {
                contract.left_out += 1;
                continue;
            }
            let method = Operation { root, item, operation }.method(class, verb, &join(base, path));
            bytes += method.bytes();
            if bytes > limits.bytes {
                contract.left_out += 1;
            } else {
                contract.methods.push(method);
            }
        }
    }
    Ok(contract)
}

/// The class whose methods a document describes, rather than the interface that an agent generates of it.
fn class(root: &Value) -> Option<&str> {
    let info = root.get("info").unwrap_or(&Value::Null);
    let named = |key: &str| text(info, key).or_else(|| text(root, key));
    let titled = || text(info, "title")?.strip_prefix(TITLE).map(str::trim).filter(|class| !class.is_empty());
    named("x-java-class").or_else(titled).or_else(|| named("x-java-interface"))
}

/// What stands before each path: `basePath`, or the path of the first server.
fn base_path(root: &Value) -> &str {
    if let Some(base) = text(root, "basePath") {
        return base;
    }
    let server = root.get("servers").and_then(|servers| servers.get(0)).and_then(|server| text(server, "url"));
    let Some(url) = server else { return "" };
    match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => url,
    }
}

fn join(base: &str, path: &str) -> String {
    let base = base.trim_matches('/');
    let path = path.trim().trim_start_matches('/');
    let joined = match (base.is_empty(), path.is_empty()) {
        (true, _) => format!("/{path}"),
        (false, true) => format!("/{base}"),
        (false, false) => format!("/{base}/{path}"),
    };
    cut(&joined)
}

/// One operation with where it stands.
struct Operation<'d> {
    root: &'d Value,
    item: &'d Value,
    operation: &'d Value,
}

impl Operation<'_> {
    fn method(&self, class: &str, verb: &str, path: &str) -> Method {
        let (return_type, return_details) = self.returned();
        let verb = verb.to_ascii_uppercase();
        let name = text(self.operation, "operationId").map_or_else(|| cut(&format!("{verb} {path}")), cut);
        let detail = text(self.operation, "summary").or_else(|| text(self.operation, "description"));
        let class = text(self.operation, "x-java-class").unwrap_or(class);
        Method {
            controller: cut(class),
            return_type,
            return_details,
            name,
            name_detail: detail.map(cut).unwrap_or_default(),
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
        let good = || responses.iter().find(|(status, _)| is_good(status)).map(|(_, response)| response);
        let Some(response) = usual.or_else(good).or_else(|| responses.get("default")) else {
            return (NOTHING.to_owned(), String::new());
        };
        let response = resolve(self.root, response);
        let schema = response.get("schema").or_else(|| content(response).map(|(_, schema)| schema));
        let kind = schema.map_or_else(|| NOTHING.to_owned(), |schema| type_of(self.root, schema));
        (kind, text(response, "description").map(cut).unwrap_or_default())
    }

    /// Those of the path that the operation does not replace, then its own, then its body.
    fn parameters(&self) -> Vec<Parameter> {
        let key = |parameter: &Value| {
            let part = |key: &str| text(parameter, key).map(str::to_owned);
            (part("in"), part("name"))
        };
        let own: Vec<&Value> = listed(self.operation).map(|one| resolve(self.root, one)).collect();
        let replaced: Vec<_> = own.iter().map(|parameter| key(parameter)).collect();
        let of_path = listed(self.item).map(|one| resolve(self.root, one));
        let of_path = of_path.filter(|parameter| !replaced.contains(&key(parameter)));
        let mut parameters: Vec<Parameter> =
            of_path.chain(own.iter().copied()).map(|one| self.parameter(one)).collect();
        self.body(&mut parameters);
        parameters.truncate(MOST_PARAMETERS);
        parameters
    }

    fn parameter(&self, parameter: &Value) -> Parameter {
        let schema = parameter.get("schema").or_else(|| content(parameter).map(|(_, schema)| schema));
        Parameter {
            name: text(parameter, "name").map(cut).unwrap_or_default(),
            kind: type_of(self.root, schema.unwrap_or(parameter)),
            detail: text(parameter, "description").map(cut).unwrap_or_default(),
        }
    }

    /// The body of OpenAPI 3: the fields of a form, or one parameter.
    fn body(&self, parameters: &mut Vec<Parameter>) {
        let Some(body) = self.operation.get("requestBody") else { return };
        let body = resolve(self.root, body);
        let Some((media, schema)) = content(body) else { return };
        let is_form = media.starts_with("multipart/") || media == "application/x-www-form-urlencoded";
        if is_form && let Some(Value::Object(fields)) = resolve(self.root, schema).get("properties") {
            let field = |(name, schema): (&String, &Value)| Parameter {
                name: cut(name),
                kind: type_of(self.root, schema),
                detail: text(resolve(self.root, schema), "description").map(cut).unwrap_or_default(),
            };
            parameters.extend(fields.iter().take(MOST_PARAMETERS).map(field));
            return;
        }
        parameters.push(Parameter {
            name: text(body, "x-name").map_or_else(|| "body".to_owned(), cut),
            kind: type_of(self.root, schema),
            detail: text(body, "description").map(cut).unwrap_or_default(),
        });
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
