//! What changes in the registry: the one form in which a change goes into the image in memory and into the database,
//! and in which the database's rows come back at the start.

use super::accounts::AccountWhat;
use super::details::DetailHead;
use super::items;
use super::service::{Family, Instance, Microservice, Tenant};
use super::state::service_bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A change of one tenant's data. Each is whole: applying it again changes nothing more.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) tenant: Tenant,
    pub(crate) what: What,
}

/// Rows that are put or dropped. A row that is put replaces the one of the same key.
#[derive(Clone, Debug)]
pub(crate) enum What {
    PutService(Arc<Microservice>),
    /// With its instances, contracts, tags, and what it depends on.
    DropService {
        service: String,
    },
    PutTags {
        service: String,
        tags: BTreeMap<String, String>,
    },
    PutSchema(Schema),
    DropSchema {
        service: String,
        schema: String,
    },
    PutInstance(Box<Instance>),
    DropInstance {
        service: String,
        instance: String,
    },
    PutDependency {
        consumer: String,
        provider: Family,
    },
    DropDependency {
        consumer: String,
        provider: Family,
    },
    PutDetail(Box<Detail>),
    DropDetail(DetailHead),
    /// Of configuration items.
    Item(items::Change),
    /// Of no tenant in particular.
    Account(AccountWhat),
}

/// What an agent posted about a service. Its text is only in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    pub head: DetailHead,
    /// Absent where only the head was read.
    pub body: Option<String>,
}

impl What {
    /// About how many bytes it has while it waits to be written.
    pub(super) fn weight(&self) -> usize {
        const HEAD: usize = 1 << 10;
        HEAD + match self {
            What::PutService(service) => service_bytes(service),
            What::PutSchema(schema) => schema.text.as_ref().map_or(0, String::len),
            What::PutDetail(detail) => detail.body.as_ref().map_or(0, String::len),
            What::Item(change) => change.weight(),
            _ => 0,
        }
    }

    /// The service that it is about, unless it is about how services hang together.
    pub(super) fn service(&self) -> Option<&str> {
        match self {
            What::PutService(service) => Some(&service.service_id),
            What::PutSchema(schema) => Some(&schema.service),
            What::PutInstance(instance) => Some(&instance.service_id),
            What::DropService { service }
            | What::PutTags { service, .. }
            | What::DropSchema { service, .. }
            | What::DropInstance { service, .. } => Some(service),
            What::PutDependency { .. }
            | What::DropDependency { .. }
            | What::PutDetail(_)
            | What::DropDetail(_)
            | What::Item(_)
            | What::Account(_) => None,
        }
    }
}

/// A contract of a service. Its text is only in the database: the image keeps the summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub service: String,
    pub id: String,
    /// A digest of the text by the client's own rule; empty where it sent none.
    pub summary: String,
    /// Absent where only the head was read.
    pub text: Option<String>,
}
