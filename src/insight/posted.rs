//! Details that agents post, in the field names of the application service detail.
//!
//! What is missing or null counts as not known. Lists of paths and types may have elements that are lists in JSON
//! themselves, as the product's own example shows them: those are taken apart.

use super::ServiceKind;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Bytes of an id, a name, a group, a version.
pub const LONGEST_NAME: usize = 256;
/// Bytes of another text.
const LONGEST_TEXT: usize = 4_096;
/// Methods of a service.
const MOST_METHODS: usize = 1_000;
/// Elements of a list within a method, ports, tags.
const MOST_ELEMENTS: usize = 128;
/// Entries of the metadata, the outermost; bytes of all of it as JSON; maps in maps.
const MOST_ENTRIES: usize = 256;
const MOST_METADATA: usize = 64 << 10;
const MOST_DEPTH: usize = 8;

/// The detail of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Posted {
    #[serde(deserialize_with = "or_nothing")]
    pub app_id: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(deserialize_with = "or_nothing")]
    pub service_name: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub service_type: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub edas_app_name: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub spring_application_name: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub dubbo_application_name: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub service_ports: Vec<u16>,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub service_protocol: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub service_tags: Vec<String>,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<MethodDetail>,
}

/// A method of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MethodDetail {
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub method_controller: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub return_type: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub return_details: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub name_detail: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub parameter_details: Vec<String>,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub request_methods: Vec<String>,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub parameter_types: Vec<String>,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "Vec::is_empty")]
    pub parameter_definitions: Vec<ParameterDefinition>,
}

/// A parameter of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ParameterDefinition {
    #[serde(deserialize_with = "or_nothing", rename = "Type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(deserialize_with = "or_nothing", skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// Null is how some encoders write what they do not know.
fn or_nothing<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Why a detail cannot be taken: the field, and what to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    pub field: String,
    pub remedy: String,
}

fn object<T>(field: impl Into<String>, remedy: impl Into<String>) -> Result<T, Objection> {
    Err(Objection { field: field.into(), remedy: remedy.into() })
}

impl Posted {
    /// Puts it into its plain form and sees that it is within bounds.
    pub fn settled(mut self) -> Result<Posted, Objection> {
        if self.service_name.trim().is_empty() {
            return object("ServiceName", "send the service's name");
        }
        for (field, text) in [
            ("AppId", &mut self.app_id),
            ("ServiceName", &mut self.service_name),
            ("Group", &mut self.group),
            ("Version", &mut self.version),
        ] {
            *text = text.trim().to_owned();
            if text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
                return object(field, format!("send up to {LONGEST_NAME} bytes without control characters"));
            }
        }
        match ServiceKind::parse(&self.service_type) {
            Some(kind) => kind.name().clone_into(&mut self.service_type),
            None if self.service_type.is_empty() => {}
            None => return object("ServiceType", "send springCloud or dubbo, or leave it out"),
        }
        for (field, text) in [
            ("EdasAppName", &self.edas_app_name),
            ("SpringApplicationName", &self.spring_application_name),
            ("DubboApplicationName", &self.dubbo_application_name),
            ("ServiceProtocol", &self.service_protocol),
        ] {
            short(field, text)?;
        }
        if self.service_ports.len() > MOST_ELEMENTS {
            return object("ServicePorts", format!("send up to {MOST_ELEMENTS}"));
        }
        list("ServiceTags", &self.service_tags)?;
        self.check_metadata()?;
        if self.methods.len() > MOST_METHODS {
            return object("Methods", format!("send up to {MOST_METHODS}"));
        }
        for (at, method) in self.methods.iter_mut().enumerate() {
            method.settle(&format!("Methods[{at}]"))?;
        }
        Ok(self)
    }

    fn check_metadata(&self) -> Result<(), Objection> {
        if self.metadata.len() > MOST_ENTRIES {
            return object("Metadata", format!("send up to {MOST_ENTRIES} entries"));
        }
        if self.metadata.values().any(|value| depth(value) > MOST_DEPTH) {
            return object("Metadata", format!("send maps and lists in one another up to {MOST_DEPTH} deep"));
        }
        let bytes = serde_json::to_vec(&self.metadata).map_or(usize::MAX, |json| json.len());
        if bytes > MOST_METADATA {
            return object("Metadata", format!("send up to {MOST_METADATA} bytes of it"));
        }
        Ok(())
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl MethodDetail {
    fn settle(&mut self, place: &str) -> Result<(), Objection> {
        for list in [&mut self.request_methods, &mut self.parameter_types, &mut self.paths] {
            take_apart(list);
        }
        let field = |name: &str| format!("{place}.{name}");
        short(&field("MethodController"), &self.method_controller)?;
        short(&field("ReturnType"), &self.return_type)?;
        short(&field("ReturnDetails"), &self.return_details)?;
        short(&field("Name"), &self.name)?;
        short(&field("NameDetail"), &self.name_detail)?;
        list(&field("ParameterDetails"), &self.parameter_details)?;
        list(&field("RequestMethods"), &self.request_methods)?;
        list(&field("ParameterTypes"), &self.parameter_types)?;
        list(&field("Paths"), &self.paths)?;
        let name = field("ParameterDefinitions");
        if self.parameter_definitions.len() > MOST_ELEMENTS {
            return object(name, format!("send up to {MOST_ELEMENTS}"));
        }
        let texts = |one: &ParameterDefinition| [&one.kind, &one.description, &one.name].map(String::len);
        if self.parameter_definitions.iter().flat_map(texts).any(|length| length > LONGEST_TEXT) {
            return object(name, format!("send texts of up to {LONGEST_TEXT} bytes"));
        }
        Ok(())
    }
}

fn short(field: &str, text: &str) -> Result<(), Objection> {
    if text.len() > LONGEST_TEXT {
        return object(field, format!("send up to {LONGEST_TEXT} bytes"));
    }
    Ok(())
}

fn list(field: &str, list: &[String]) -> Result<(), Objection> {
    if list.len() > MOST_ELEMENTS {
        return object(field, format!("send up to {MOST_ELEMENTS}"));
    }
    list.iter().try_for_each(|text| short(field, text))
}

/// Replaces each element that is a list of texts in JSON by those texts.
fn take_apart(list: &mut Vec<String>) {
    if !list.iter().any(|text| text.starts_with('[')) {
        return;
    }
    *list = std::mem::take(list)
        .into_iter()
        .flat_map(|text| match text.starts_with('[') {
            true => serde_json::from_str(&text).unwrap_or_else(|_| vec![text]),
            false => vec![text],
        })
        .collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn posted(value: Value) -> Result<Posted, Objection> {
        serde_json::from_value::<Posted>(value).unwrap().settled()
    }

    #[test]
    fn nulls_count_as_not_sent_and_lists_within_texts_are_taken_apart() {
        let read = posted(json!({
            "AppId": " a ", "ServiceName": "s", "Group": null, "Methods": null, "Metadata": null, "Unknown": 1,
            "ServiceType": "Spring Cloud",
        }));
        let kind = "springCloud".to_owned();
        let expected = Posted { app_id: "a".into(), service_name: "s".into(), service_type: kind, ..Posted::default() };
        assert_eq!(read.unwrap(), expected);

        let read = posted(json!({ "ServiceName": "s", "Methods": [{
            "ParameterTypes": ["[\"java.lang.String\",\"int\"]", "long"], "Paths": ["[\"/echo/{str}\"]"],
            "RequestMethods": ["[GET"], "ReturnType": null,
        }] }));
        let expected = MethodDetail {
            parameter_types: vec!["java.lang.String".into(), "int".into(), "long".into()],
            paths: vec!["/echo/{str}".into()],
            request_methods: vec!["[GET".into()],
            ..MethodDetail::default()
        };
        assert_eq!(read.unwrap().methods, [expected]);
    }

    #[test]
    fn what_is_beyond_a_bound_is_named() {
        let mut deep = json!(1);
        for _ in 0..MOST_DEPTH {
            deep = json!([deep]);
        }
        assert!(posted(json!({ "ServiceName": "s", "Metadata": { "deep": deep } })).is_ok());
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        let entries: Map<String, Value> = many(MOST_ENTRIES + 1).into_iter().map(|key| (key, json!(1))).collect();
        for (body, field) in [
            (json!({}), "ServiceName"),
            (json!({ "ServiceName": " " }), "ServiceName"),
            (json!({ "ServiceName": "s".repeat(257) }), "ServiceName"),
            (json!({ "ServiceName": "s", "AppId": "a\u{1}" }), "AppId"),
            (json!({ "ServiceName": "s", "ServiceType": "hsf" }), "ServiceType"),
            (json!({ "ServiceName": "s", "EdasAppName": "e".repeat(4_097) }), "EdasAppName"),
            (json!({ "ServiceName": "s", "ServiceTags": many(129) }), "ServiceTags"),
            (json!({ "ServiceName": "s", "ServicePorts": vec![1; 129] }), "ServicePorts"),
            (json!({ "ServiceName": "s", "Metadata": { "deep": [deep] } }), "Metadata"),
            (json!({ "ServiceName": "s", "Metadata": { "long": "x".repeat(64 << 10) } }), "Metadata"),
            (json!({ "ServiceName": "s", "Metadata": entries }), "Metadata"),
            (json!({ "ServiceName": "s", "Methods": vec![json!({}); 1_001] }), "Methods"),
            (json!({ "ServiceName": "s", "Methods": [{}, { "Name": "n".repeat(4_097) }] }), "Methods[1].Name"),
            (json!({ "ServiceName": "s", "Methods": [{ "Paths": many(129) }] }), "Methods[0].Paths"),
            (
                json!({ "ServiceName": "s", "Methods": [{ "ParameterDefinitions": [{ "Type": "t".repeat(4_097) }] }] }),
                "Methods[0].ParameterDefinitions",
            ),
        ] {
            assert_eq!(posted(body).unwrap_err().field, field);
        }
    }
}
