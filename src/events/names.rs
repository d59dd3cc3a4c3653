//! What services events were seen under, each kept once: many events share one.

use std::collections::HashMap;
use std::sync::Arc;

/// The service of a namespace and a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub cluster: Arc<str>,
    pub namespace: Arc<str>,
    pub service: Option<Arc<str>>,
}

/// Names by their numbers.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<Name>,
    numbers: HashMap<Name, u32>,
    /// The one that was asked for last: rows come sorted, so that it is mostly the next one too.
    last: u32,
}

impl Names {
    /// The number of a name.
    pub fn number(&mut self, cluster: &str, namespace: &str, service: Option<&str>) -> u32 {
        let is_same = |name: &Name| {
            *name.cluster == *cluster && *name.namespace == *namespace && name.service.as_deref() == service
        };
        if self.get(self.last).is_some_and(is_same) {
            return self.last;
        }
        let name = Name { cluster: cluster.into(), namespace: namespace.into(), service: service.map(Arc::from) };
        let next = self.names.len() as u32;
        self.last = *self.numbers.entry(name.clone()).or_insert_with(|| {
            self.names.push(name);
            next
        });
        self.last
    }

    pub fn get(&self, number: u32) -> Option<&Name> {
        self.names.get(number as usize)
    }
}
