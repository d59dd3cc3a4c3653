//! Types of schemas, as Java names them.

use super::cut;
use super::document::Document;
use serde_json::Value;

/// Lists of lists, and maps of maps.
const MOST_NESTED: usize = 6;
/// Types that a schema lists.
const MOST_KINDS: usize = 16;
const OBJECT: &str = "java.lang.Object";

/// The type that a schema, or a parameter of Swagger 2.0 that is its own schema, stands for.
pub(super) fn type_of(document: &Document, schema: &Value) -> String {
    cut(&nested(document, schema, 0))
}

fn nested(document: &Document, schema: &Value, depth: usize) -> String {
    let resolved = document.resolve(schema);
    if let Some(class) = document.text(resolved, "x-java-class") {
        return class.to_owned();
    }
    if depth >= MOST_NESTED {
        return OBJECT.to_owned();
    }
    let inner = |key: &str| match resolved.get(key) {
        Some(inner) if inner.is_object() => nested(document, inner, depth + 1),
        _ => OBJECT.to_owned(),
    };
    let format = document.text(resolved, "format").unwrap_or_default();
    let plain = match kind(resolved) {
        "string" => match format {
            "date" => "java.time.LocalDate",
            "date-time" => "java.util.Date",
            "byte" | "binary" => "byte[]",
            _ => "java.lang.String",
        },
        "integer" | "int" => match format {
            "int8" => "java.lang.Byte",
            "int16" => "java.lang.Short",
            "int64" => "java.lang.Long",
            _ => "java.lang.Integer",
        },
        "number" => match format {
            "float" => "java.lang.Float",
            _ => "java.lang.Double",
        },
        "boolean" => "java.lang.Boolean",
        "file" => "java.io.File",
        "array" => {
            let set = resolved.get("uniqueItems").and_then(Value::as_bool).unwrap_or_default();
            return format!("java.util.{}<{}>", if set { "Set" } else { "List" }, inner("items"));
        }
        _ if resolved.get("additionalProperties").is_some_and(Value::is_object) => {
            return format!("java.util.Map<java.lang.String,{}>", inner("additionalProperties"));
        }
        // A schema that only its name tells of.
        _ => match document.reference(schema).and_then(|pointer| pointer.rsplit('/').next()) {
            Some(name) if !name.is_empty() => return name.replace("~1", "/").replace("~0", "~"),
            _ => OBJECT,
        },
    };
    plain.to_owned()
}

/// The schema's type; OpenAPI 3.1 may list `null` beside it.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => {
            kinds.iter().take(MOST_KINDS).filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default()
        }
        _ => "",
    }
}
