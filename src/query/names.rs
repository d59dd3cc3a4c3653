//! The names that searches are made of: services, their spans' names, their peers, values of tags.

use crate::error::Result;
use crate::store::Snapshot;

/// Distinct names, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// As sent, sorted by bytes. A dialect that does not regard case folds them.
    pub names: Vec<String>,
    /// How many more there were than are kept (a service keeps 10,000 span names a data file).
    pub overflow: u64,
    /// Files that could not be read: their names are missing.
    pub damaged: Vec<String>,
}

/// Local services.
pub fn services(_snapshot: &Snapshot, _project: &str) -> Result<Names> {
    Ok(Names::default())
}

/// The span names of a local service, given in lower case.
pub fn span_names(_snapshot: &Snapshot, _project: &str, _service: &str) -> Result<Names> {
    Ok(Names::default())
}

/// The remote services of a local service, given in lower case.
pub fn remote_services(_snapshot: &Snapshot, _project: &str, _service: &str) -> Result<Names> {
    Ok(Names::default())
}

/// The values of a tag.
pub fn tag_values(_snapshot: &Snapshot, _project: &str, _key: &str) -> Result<Names> {
    Ok(Names::default())
}
