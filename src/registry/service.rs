//! What is registered: services and their instances, in the field names of Apache ServiceComb's service centre, by
//! which its clients know them.
//!
//! A null counts as absent: the Java client sends one for every field that it has not set. Empty texts and lists are not
//! written, as the original's own encoder has it: some clients cannot take a null there. Which
//! values are allowed is the dialect's to check before anything comes here; what is missing gets its default there.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One version of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Microservice {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
    /// `development`, `testing`, `acceptance`, `production`, or nothing.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub environment: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub app_id: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub service_name: String,
    /// One to four numbers with dots between them.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub level: String,
    /// The ids of its contracts, those that were announced and those that were sent.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<ServicePath>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Seconds since 1970 UTC, as text: when it was registered.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub timestamp: String,
    /// Seconds since 1970 UTC, as text: when it was last changed.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub mod_timestamp: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub register_by: String,
    /// Another name that it is found by.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub alias: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub framework: Option<Framework>,
}

impl Microservice {
    /// What it shares with its other versions.
    pub fn family(&self) -> Family {
        Family::new(&self.environment, &self.app_id, &self.service_name)
    }

    /// Whether a consumer may find it: environments are walls, and so are applications unless it says otherwise.
    pub fn lets(&self, consumer: &Microservice) -> bool {
        self.environment == consumer.environment && (self.app_id == consumer.app_id || self.allows_cross_app())
    }

    /// Whether consumers of other applications may find it.
    pub fn allows_cross_app(&self) -> bool {
        self.properties.get("allowCrossApp").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

/// What a service was built with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Framework {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// A path that a service answers to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicePath {
    #[serde(deserialize_with = "or_default", alias = "Path", skip_serializing_if = "String::is_empty")]
    pub path: String,
    #[serde(deserialize_with = "texts", alias = "Property", skip_serializing_if = "BTreeMap::is_empty")]
    pub property: BTreeMap<String, String>,
}

/// A running copy of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Instance {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub instance_id: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub service_id: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub host_name: String,
    /// `UP`, `DOWN`, `STARTING`, `TESTING` or `OUTOFSERVICE`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub status: String,
    #[serde(deserialize_with = "texts", skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// Seconds since 1970 UTC, as text: when it was registered.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_center_info: Option<DataCenterInfo>,
    /// Seconds since 1970 UTC, as text: when it was last changed.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub mod_timestamp: String,
    /// The service's.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// How it is known that an instance lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// `push` or `pull`.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub mode: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub port: i32,
    /// Seconds between heartbeats.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub interval: i32,
    /// Heartbeats that may be missed.
    #[serde(deserialize_with = "or_default", skip_serializing_if = "is_zero")]
    pub times: i32,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub url: String,
}

/// A null is the default.
pub(crate) fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

/// Texts by name, any of which may be null, which is an empty one.
fn texts<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<BTreeMap<String, String>, D::Error> {
    let texts: Option<BTreeMap<String, Option<String>>> = Option::deserialize(reader)?;
    Ok(texts.unwrap_or_default().into_iter().map(|(key, value)| (key, value.unwrap_or_default())).collect())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the encoder asks so")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// Where an instance runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataCenterInfo {
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub available_zone: String,
}

/// Heartbeats of an instance that says nothing else come so often, in seconds.
const USUAL_INTERVAL: i64 = 30;
const LEAST_INTERVAL: i64 = 5;
/// Heartbeats that may be missed at least.
const LEAST_TIMES: i64 = 3;

impl Instance {
    /// How many seconds it lives after a heartbeat: `interval * (times + 1)`, as the service centre counts.
    pub fn term(&self) -> i64 {
        match &self.health_check {
            Some(check) if check.mode == "push" => {
                let interval = i64::from(check.interval).max(LEAST_INTERVAL);
                interval * (i64::from(check.times).max(LEAST_TIMES) + 1)
            }
            _ => USUAL_INTERVAL * (LEAST_TIMES + 1),
        }
    }
}

/// What the versions of a service have in common, and what discovery asks by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family {
    pub environment: String,
    pub app_id: String,
    /// The service's name; in an index of aliases, its alias.
    pub name: String,
}

impl Family {
    pub fn new(environment: &str, app_id: &str, name: &str) -> Self {
        Family { environment: environment.to_owned(), app_id: app_id.to_owned(), name: name.to_owned() }
    }
}

/// Whose services: everything in the registry is apart by domain (the header `X-Domain-Name`) and project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant {
    pub domain: String,
    pub project: String,
}

impl Tenant {
    pub fn new(domain: &str, project: &str) -> Self {
        Tenant { domain: domain.to_owned(), project: project.to_owned() }
    }
}
