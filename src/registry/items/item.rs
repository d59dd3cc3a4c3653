//! What an item is, in the field names of Apache ServiceComb's KIE, by which its clients know them.

use super::super::service::Tenant;
use super::query::{Labels, canonical};
use crate::model::hex;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a client is to read a value. Names are lower case: a stock client refuses the whole list for one that is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    Ini,
    Json,
    #[default]
    Text,
    Yaml,
    Properties,
    Xml,
}

impl ValueType {
    /// Reads a name in either case.
    pub fn parse(name: &str) -> Option<ValueType> {
        Some(match name.to_ascii_lowercase().as_str() {
            "ini" => ValueType::Ini,
            "json" => ValueType::Json,
            "text" => ValueType::Text,
            "yaml" => ValueType::Yaml,
            "properties" => ValueType::Properties,
            "xml" => ValueType::Xml,
            _ => return None,
        })
    }
}

/// Whether clients heed an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Enabled,
    Disabled,
}

impl Status {
    pub fn parse(name: &str) -> Option<Status> {
        match name {
            "enabled" => Some(Status::Enabled),
            "disabled" => Some(Status::Disabled),
            _ => None,
        }
    }
}

/// An item without its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// 64 hex digits, made of tenant, key and labels: the same item has the same id everywhere.
    pub id: String,
    pub key: String,
    #[serde(default)]
    pub labels: Labels,
    pub value_type: ValueType,
    pub status: Status,
    /// Lists begin with the greatest.
    #[serde(default)]
    pub priority: i64,
    pub create_revision: i64,
    pub update_revision: i64,
    /// Seconds since 1970 UTC, as are all times here.
    pub create_time: i64,
    pub update_time: i64,
    /// Bytes of its value.
    pub length: usize,
}

/// An item as it lies in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub item: Arc<Item>,
    pub value: Arc<str>,
}

/// What is to become an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    pub key: String,
    pub labels: Labels,
    pub value: String,
    pub value_type: ValueType,
    pub status: Status,
    pub priority: i64,
}

impl NewItem {
    /// The id that it has or will have.
    pub(super) fn id(&self, tenant: &Tenant) -> String {
        let Tenant { domain, project } = tenant;
        let text = format!("{domain}/{project}/{}/{}", self.key, canonical(&self.labels));
        hex::encode(digest(&SHA256, text.as_bytes()).as_ref())
    }
}
