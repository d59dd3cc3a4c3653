//! What clusters, namespaces and services the events tell of: the directories of files, and what is in memory.

use super::damage::{Damage, defect};
use super::{Known, KnownService};
use crate::error::{Error, Result};
use crate::lake::events::lookup::Lookup;
use crate::stop::Stop;
use crate::store::Snapshot;
use std::collections::{BTreeMap, HashMap};

/// Services of an answer, at most: some clusters have one for each run of a job.
const MOST_SERVICES: usize = 250_000;

/// Rows in memory between two looks at whether to stop.
const STOP_ROWS: usize = 8_192;

/// A cluster, a namespace, a service.
type Key = (String, String, Option<String>);

/// The services that rows of events tell of: of one cluster, or of all. One that has only rows that are no
/// event's newest may be among them. Blocks.
///
/// # Errors
/// Too large, where there are more than an answer holds; busy, where it was to stop.
pub fn services(snapshot: &Snapshot, project: &str, cluster: Option<&str>, stop: &Stop) -> Result<Known> {
    services_that(snapshot, project, cluster, &|_| true, stop)
}

/// As [`services`], those alone whose name (none for what belongs to no service) is wanted.
pub fn services_that(
    snapshot: &Snapshot,
    project: &str,
    cluster: Option<&str>,
    is_wanted: &dyn Fn(Option<&str>) -> bool,
    stop: &Stop,
) -> Result<Known> {
    let mut known: BTreeMap<Key, (i64, i64)> = BTreeMap::new();
    let mut add = |key: (&str, &str, Option<&str>), seen: (i64, i64)| {
        let (cluster, namespace, service) = key;
        let key = (cluster.to_owned(), namespace.to_owned(), service.map(str::to_owned));
        let all = known.entry(key).or_insert(seen);
        *all = (all.0.min(seen.0), all.1.max(seen.1));
        match known.len() <= MOST_SERVICES {
            true => Ok(()),
            false => Err(Error::too_large(format!(
                "the events tell of more than {MOST_SERVICES} services; ask for one cluster, or for the events of one service by its name"
            ))),
        }
    };
    for memtable in &snapshot.events.memtables {
        let all = memtable.all();
        let mut seen: HashMap<(&str, &str, Option<&str>), (i64, i64)> = HashMap::new();
        for (number, stored) in all.iter().enumerate() {
            if number % STOP_ROWS == 0 {
                stop.check()?;
            }
            let key = stored.sort_key().map_err(defect)?;
            if cluster.is_none_or(|cluster| cluster == key.cluster) && stored.project().map_err(defect)? == project {
                let place = (key.cluster, key.namespace, key.service);
                let seen = seen.entry(place).or_insert((key.last_seen, key.last_seen));
                *seen = (seen.0.min(key.last_seen), seen.1.max(key.last_seen));
            }
        }
        for (key, seen) in seen.into_iter().filter(|((.., service), _)| is_wanted(*service)) {
            add(key, seen)?;
        }
    }
    let mut damage = Damage::of(snapshot);
    for file in snapshot.events.files.iter() {
        stop.check()?;
        let Some(lookup) = damage.unless(file, Lookup::open(file)) else { continue };
        for number in lookup.entries_of(project, cluster, None, None) {
            let Some(entry) = lookup.entries().get(number).filter(|entry| is_wanted(entry.service.as_deref())) else {
                continue;
            };
            add((&entry.cluster, &entry.namespace, entry.service.as_deref()), entry.seen)?;
        }
    }
    let service = |((cluster, namespace, service), seen)| KnownService { cluster, namespace, service, seen };
    Ok(Known { services: known.into_iter().map(service).collect(), damaged: damage.files })
}
