//! The request's messages as a library encodes them, made from the JSON of a request.

use prost::{Message, Oneof};
use serde_json::Value;

#[derive(Clone, PartialEq, Message)]
pub struct ExportLogsServiceRequest {
    #[prost(message, repeated, tag = "1")]
    pub resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub scope_logs: Vec<ScopeLogs>,
    #[prost(string, tag = "3")]
    pub schema_url: String,
    #[prost(message, repeated, tag = "1000")]
    pub library_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct LogRecord {
    #[prost(fixed64, tag = "1")]
    pub time_unix_nano: u64,
    #[prost(int32, tag = "2")]
    pub severity_number: i32,
    #[prost(string, tag = "3")]
    pub severity_text: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(message, optional, tag = "5")]
    pub body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    pub attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "7")]
    pub dropped_attributes_count: u32,
    #[prost(fixed32, tag = "8")]
    pub flags: u32,
    #[prost(bytes = "vec", tag = "9")]
    pub trace_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    pub observed_time_unix_nano: u64,
    #[prost(string, tag = "12")]
    pub event_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub value: Option<Any>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum Any {
    #[prost(string, tag = "1")]
    String(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    List(KeyValueList),
    #[prost(bytes, tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
pub struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

fn list<T>(of: &Value, key: &str, one: impl Fn(&Value) -> T) -> Vec<T> {
    of[key].as_array().into_iter().flatten().map(one).collect()
}

fn text(of: &Value, key: &str) -> String {
    of[key].as_str().unwrap_or_default().to_owned()
}

/// A number of 64 bits, which JSON has as a number or a text.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

impl ExportLogsServiceRequest {
    pub fn of(request: &Value) -> Self {
        ExportLogsServiceRequest { resource_logs: list(request, "resourceLogs", resource_logs) }
    }
}

fn resource_logs(logs: &Value) -> ResourceLogs {
    ResourceLogs {
        resource: logs.get("resource").map(|resource| Resource { attributes: list(resource, "attributes", entry) }),
        scope_logs: list(logs, "scopeLogs", scope_logs),
        schema_url: text(logs, "schemaUrl"),
        library_logs: list(logs, "instrumentationLibraryLogs", scope_logs),
    }
}

fn scope_logs(logs: &Value) -> ScopeLogs {
    let mut log_records = list(logs, "logRecords", log_record);
    log_records.extend(list(logs, "logs", log_record));
    let scope = logs.get("scope").map(|scope| Scope { name: text(scope, "name"), version: text(scope, "version") });
    ScopeLogs { scope, log_records }
}

fn log_record(record: &Value) -> LogRecord {
    LogRecord {
        time_unix_nano: number(&record["timeUnixNano"]),
        severity_number: number(&record["severityNumber"]) as i32,
        severity_text: text(record, "severityText"),
        name: text(record, "name"),
        body: record.get("body").map(any),
        attributes: list(record, "attributes", entry),
        dropped_attributes_count: number(&record["droppedAttributesCount"]) as u32,
        flags: number(&record["flags"]) as u32,
        trace_id: text(record, "traceId").into_bytes(),
        observed_time_unix_nano: number(&record["observedTimeUnixNano"]),
        event_name: text(record, "eventName"),
    }
}

fn entry(entry: &Value) -> KeyValue {
    KeyValue { key: text(entry, "key"), value: entry.get("value").map(any) }
}

fn any(any_value: &Value) -> AnyValue {
    let value =
        any_value.as_object().and_then(|fields| fields.iter().next()).map(|(kind, value)| match kind.as_str() {
            "stringValue" => Any::String(value.as_str().unwrap_or_default().to_owned()),
            "boolValue" => Any::Bool(value.as_bool().unwrap_or_default()),
            "intValue" => Any::Int(value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()),
            "doubleValue" => Any::Double(value.as_f64().unwrap_or_default()),
            "arrayValue" => Any::Array(ArrayValue { values: list(value, "values", any) }),
            "kvlistValue" => Any::List(KeyValueList { values: list(value, "values", entry) }),
            _ => Any::Bytes(value.to_string().into_bytes()),
        });
    AnyValue { value }
}
