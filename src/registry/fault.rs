//! What the registry refuses, and why. Each dialect has its own codes for the kinds.

use std::fmt;

/// What is wrong with a request to the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A field breaks a rule: mend the request.
    Invalid,
    ServiceMissing,
    /// The service is there, but not in the version asked for.
    VersionMissing,
    InstanceMissing,
    SchemaMissing,
    TagMissing,
    ItemMissing,
    AccountMissing,
    /// The same service exists with another id, or the id with another service.
    ServiceConflict,
    ItemConflict,
    AccountConflict,
    /// The service still has instances.
    HasInstances,
    /// Another service depends on the service.
    DependedOn,
    /// The provider is of another application and does not allow it.
    Denied,
    /// As many as there may be are there.
    Quota,
    /// The database cannot be written now: repeat the request later.
    Unavailable,
    /// A fault of the server's own.
    Internal,
}

/// A refusal: its kind, and what exactly, for the person who reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    pub detail: String,
}

impl Fault {
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Fault { kind, detail: detail.into() }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Fault::new(FaultKind::Invalid, detail)
    }

    pub(super) fn no_service(id: &str) -> Self {
        Fault::new(FaultKind::ServiceMissing, format!("Service[{id}] does not exist."))
    }

    pub(super) fn no_instance(service: &str, instance: &str) -> Self {
        Fault::new(FaultKind::InstanceMissing, format!("Instance[{service}/{instance}] does not exist."))
    }

    pub(super) fn unavailable() -> Self {
        let detail = "the registry's database cannot be written now: send the request again in a second";
        Fault::new(FaultKind::Unavailable, detail)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Fault {}

/// What the registry's functions return.
pub type Outcome<T> = std::result::Result<T, Fault>;
