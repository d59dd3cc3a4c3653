//! What each action takes, and what it answers from the events that came.
//!
//! Of clusters, namespaces, services and pods the server knows what their events tell: that they are there, by name, and
//! of a pod its node and what is wrong with it. What the product tells besides (addresses, replicas, sizes, when something
//! was made) is an empty text, null for a number, and an empty list or object.

use super::{Parameters, Rejection};
use crate::error::{Error, ErrorKind, Result};
use crate::events::{self, EventQuery, Found, Known, KnownService, Window};
use crate::model::ServiceEvent;
use crate::model::event::{Counted, Event, count_together};
use crate::stop::Stop;
use crate::store::Snapshot;
use chrono::{DateTime, FixedOffset, Offset, Utc};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

const HOUR: i64 = 3_600_000_000;
/// Pods are told while they had an event within so long.
const PODS_SINCE: i64 = 24 * HOUR;
/// So far ahead of the server's clock may one that sees events be. What was seen later still was not seen in the last
/// hour, whatever its sender thinks.
const AHEAD: i64 = 24 * HOUR;
/// Lines of a list of events.
const MOST_EVENTS: usize = 1_000;
/// Entries of the lists that have no pages.
const MOST_ENTRIES: usize = 10_000;
/// Entries of a page.
const MOST_OF_PAGE: usize = 1_000;
const DEFAULT_PAGE: usize = 20;
/// A list ends with the entry that makes it so long, as JSON: a message may be long, and of control characters each
/// takes six bytes.
const MOST_BYTES: usize = 8 << 20;
/// The greatest number of entries before a page.
const MOST_BEFORE: usize = 10_000_000;
/// The namespace where none is sent.
const DEFAULT_NAMESPACE: &str = "default";
/// So many characters of a name are repeated in a refusal.
const MOST_REPEATED: usize = 128;

/// A service, or all of a namespace, or of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    cluster: String,
    /// `None` for all.
    namespace: Option<String>,
}

/// Some entries of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    offset: usize,
    limit: usize,
}

impl Page {
    /// What to say of a page that is cut, if it is.
    fn left_out(self, total_count: usize, told: usize) -> String {
        let all = total_count.saturating_sub(self.offset).min(self.limit);
        left_out("of the page the first", all, told)
    }
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Clusters { ids: BTreeSet<String>, name: Option<String>, page: Page },
    NameSpaces { cluster: String },
    Services(Place),
    Instances { place: Place, service: String, page: Page },
    Events { place: Place, service: String },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The answer; a message where it is not all; the files that could not be read, of which the message tells too.
    Told {
        data: Box<RawValue>,
        message: String,
        damaged: Vec<String>,
    },
    UnknownCluster(String),
}

impl Outcome {
    fn told(data: &impl Serialize, message: String, damaged: Vec<String>) -> Result<Outcome> {
        let missing = match damaged.len() {
            0 => String::new(),
            1 => "1 file could not be read: what it tells is missing".to_owned(),
            files => format!("{files} files could not be read: what they tell is missing"),
        };
        let between = if message.is_empty() || missing.is_empty() { "" } else { "; " };
        let message = format!("{message}{between}{missing}");
        let data = to_raw_value(data).map_err(|e| Error::internal(format!("an answer could not be written: {e}")))?;
        Ok(Outcome::Told { data, message, damaged })
    }

    fn unknown(cluster: &str) -> Outcome {
        Outcome::UnknownCluster(cluster.chars().take(MOST_REPEATED).collect())
    }
}

impl Action {
    pub(super) fn read(parameters: &Parameters) -> Result<Action, Rejection> {
        const ALL: &str = "DescribeServiceEvent, DescribeServiceInstance, DescribeClusterService, \
                           DescribeClusterNameSpaces or DescribeCluster";
        let text = |name| parameters.text(name).map(str::to_owned);
        let cluster = || {
            let send = "send the id of a cluster; the action DescribeCluster lists them";
            parameters.required("clusterId", send).map(str::to_owned)
        };
        let service = || {
            let send = "send the name of a service; the action DescribeClusterService lists them";
            parameters.required("serviceName", send).map(str::to_owned)
        };
        let place = || -> Result<Place, Rejection> {
            let namespace = text("namespace").unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
            Ok(Place { cluster: cluster()?, namespace: Some(namespace) })
        };
        let page = || -> Result<Page, Rejection> {
            let offset = parameters.count("offset", (0, MOST_BEFORE))?.unwrap_or(0);
            let limit = parameters.count("limit", (1, MOST_OF_PAGE))?.unwrap_or(DEFAULT_PAGE);
            Ok(Page { offset, limit })
        };
        match parameters.required("Action", &format!("send {ALL}"))? {
            "DescribeServiceEvent" => Ok(Action::Events { place: place()?, service: service()? }),
            "DescribeServiceInstance" => Ok(Action::Instances { place: place()?, service: service()?, page: page()? }),
            "DescribeClusterService" => {
                let all = parameters.count("allnamespace", (0, 1))? == Some(1);
                let Place { cluster, namespace } = place()?;
                Ok(Action::Services(Place { cluster, namespace: namespace.filter(|_| !all) }))
            }
            "DescribeClusterNameSpaces" => Ok(Action::NameSpaces { cluster: cluster()? }),
            "DescribeCluster" => Ok(Action::Clusters {
                ids: parameters.list("clusterIds").map(str::to_owned).collect(),
                name: text("clusterName"),
                page: page()?,
            }),
            other => {
                let other: String = other.chars().take(MOST_REPEATED).collect();
                Err(Rejection::no_such_action(format!("parameter Action: {other:?} is not known: send {ALL}")))
            }
        }
    }

    /// Answers from what a project's events tell. Blocks.
    pub(super) fn tell(
        &self,
        snapshot: &Snapshot,
        project: &str,
        now: i64,
        utc_offset: i32,
        stop: &Stop,
    ) -> Result<Outcome> {
        let known = |cluster: Option<&str>| events::services(snapshot, project, cluster, stop);
        let find = |place: &Place, service: &str, since: i64| {
            let query = EventQuery {
                project: project.to_owned(),
                cluster: Some(place.cluster.clone()),
                namespace: place.namespace.clone(),
                service: Some(service.to_owned()),
                window: Window::LastSeen { from: now.saturating_sub(since), to: now.saturating_add(AHEAD) },
            };
            events::find(snapshot, &query, stop)
        };
        // Where a file could not be read, the cluster's events may be in it.
        let nothing_of = |known: &Known| known.services.is_empty() && known.damaged.is_empty();
        let is_unknown = |cluster: &str, found: &mut Found| -> Result<bool> {
            if !found.events.is_empty() || !found.damaged.is_empty() {
                return Ok(false);
            }
            match known(Some(cluster)) {
                Ok(known) => {
                    let is_unknown = nothing_of(&known);
                    // What else there is shows that the cluster is there: these are of other times.
                    if known.services.is_empty() {
                        found.damaged = known.damaged;
                    }
                    Ok(is_unknown)
                }
                // One with so many services is there.
                Err(e) if e.kind() == ErrorKind::TooLarge => Ok(false),
                Err(e) => Err(e),
            }
        };
        match self {
            Action::Clusters { ids, name, page } => {
                let known = known(None)?;
                let (data, message) = clusters(&known.services, ids, name.as_deref(), *page);
                Outcome::told(&data, message, known.damaged)
            }
            Action::NameSpaces { cluster } => {
                let known = known(Some(cluster))?;
                if nothing_of(&known) {
                    return Ok(Outcome::unknown(cluster));
                }
                let (data, message) = namespaces(&known.services);
                Outcome::told(&data, message, known.damaged)
            }
            Action::Services(place) => {
                let known = known(Some(&place.cluster))?;
                if nothing_of(&known) {
                    return Ok(Outcome::unknown(&place.cluster));
                }
                let (data, message) = services(&known.services, place.namespace.as_deref());
                Outcome::told(&data, message, known.damaged)
            }
            Action::Instances { place, service, page } => {
                let mut found = find(place, service, PODS_SINCE)?;
                if is_unknown(&place.cluster, &mut found)? {
                    return Ok(Outcome::unknown(&place.cluster));
                }
                let (data, message) = instances(&found.events, *page);
                Outcome::told(&data, message, found.damaged)
            }
            Action::Events { place, service } => {
                let mut found = find(place, service, HOUR)?;
                if is_unknown(&place.cluster, &mut found)? {
                    return Ok(Outcome::unknown(&place.cluster));
                }
                let events: Vec<Event<'_>> = found.events.into_iter().map(|found| found.event).collect();
                let (data, message) = event_list(&events, utc_offset);
                Outcome::told(&data, message, found.damaged)
            }
        }
    }
}

/// A time as the product writes it, in the zone of the setting.
fn local(micros: i64, utc_offset: i32) -> String {
    let zone = FixedOffset::east_opt(utc_offset).unwrap_or_else(|| Utc.fix());
    // Further away than any calendar has it, nothing can be told.
    let Some(time) = DateTime::from_timestamp_micros(micros) else { return String::new() };
    time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// What to say of a list that is cut, if it is.
fn left_out(what: &str, all: usize, told: usize) -> String {
    if all > told { format!("{what} {told} of {all} are told") } else { String::new() }
}

/// The first entries of a list, as many as an answer has room for.
fn fitting<T: Serialize>(entries: impl Iterator<Item = T>) -> Vec<T> {
    let mut length = Length(0);
    let mut fitting = Vec::new();
    for entry in entries {
        if length.0 >= MOST_BYTES {
            break;
        }
        // Texts and numbers always have a JSON form.
        let _ = serde_json::to_writer(&mut length, &entry);
        fitting.push(entry);
    }
    fitting
}

/// How long a text would be.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(text.len());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventList<'e> {
    event_list: Vec<EventLine<'e>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventLine<'e> {
    first_seen: String,
    last_seen: String,
    count: i64,
    level: &'e str,
    obj_type: &'e str,
    obj_name: &'e str,
    reason: &'e str,
    message: &'e str,
}

/// Settled events, those of one happening as one line: the last seen first, and of those seen at the same time warnings.
fn event_list<'e>(events: &'e [Event<'e>], utc_offset: i32) -> (EventList<'e>, String) {
    let mut counted = count_together(events);
    counted.sort_by_key(|counted| Reverse((counted.last_seen, counted.group.level)));
    let line = |counted: &Counted<'e>| EventLine {
        first_seen: local(counted.first_seen, utc_offset),
        last_seen: local(counted.last_seen, utc_offset),
        count: counted.count,
        level: counted.group.level,
        obj_type: counted.group.kind,
        obj_name: counted.group.name,
        reason: counted.group.reason,
        message: counted.group.message,
    };
    let event_list = fitting(counted.iter().take(MOST_EVENTS).map(line));
    let message = left_out("the newest", counted.len(), event_list.len());
    (EventList { event_list }, message)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Instances<'e> {
    total_count: usize,
    instances: Vec<Instance<'e>>,
}

/// A pod.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Instance<'e> {
    name: &'e str,
    status: &'static str,
    /// The reason of its newest event, where that is a warning.
    reason: &'e str,
    node_ip: &'static str,
    /// Where the newest event was seen that its node's kubelet saw.
    node_name: &'e str,
    ip: &'static str,
    restart_count: Option<u64>,
    ready_count: Option<u64>,
    created_at: &'static str,
    containers: [(); 0],
}

/// The pods that settled events, the newest first, tell of, by name.
fn instances<'e>(events: &'e [ServiceEvent<'_>], page: Page) -> (Instances<'e>, String) {
    let mut pods: BTreeMap<&str, Instance<'e>> = BTreeMap::new();
    for ServiceEvent { event, .. } in events {
        if event.object.kind != "Pod" || event.object.name.is_empty() {
            continue;
        }
        let name: &str = &event.object.name;
        let reason: &str = if event.level == "Warning" { &event.reason } else { "" };
        let pod = pods.entry(name).or_insert_with(|| Instance { name, reason, ..Instance::default() });
        if pod.node_name.is_empty() && event.source.component == "kubelet" {
            let source = &event.source;
            pod.node_name = if source.host.is_empty() { &source.instance } else { &source.host };
        }
    }
    let total_count = pods.len();
    let instances = fitting(pods.into_values().skip(page.offset).take(page.limit));
    let message = page.left_out(total_count, instances.len());
    (Instances { total_count, instances }, message)
}

#[derive(Debug, Serialize)]
struct Services<'k> {
    services: Vec<Service<'k>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service<'k> {
    service_name: &'k str,
    status: &'static str,
    reason_map: BTreeMap<&'static str, u64>,
    created_at: &'static str,
    current_replicas: Option<u64>,
    desired_replicas: Option<u64>,
    lb_id: &'static str,
    lb_status: &'static str,
    external_ip: &'static str,
    namespace: &'k str,
}

/// The services of a namespace, or of all, by namespace and name.
fn services<'k>(known: &'k [KnownService], namespace: Option<&str>) -> (Services<'k>, String) {
    let of_namespace = |known: &&KnownService| namespace.is_none_or(|wanted| known.namespace == wanted);
    let name = |known: &'k KnownService| Some((known.namespace.as_str(), known.service.as_deref()?));
    let names: BTreeSet<(&str, &str)> = known.iter().filter(of_namespace).filter_map(name).collect();
    let all = names.len();
    let service = |(namespace, service_name)| Service { service_name, namespace, ..Service::default() };
    let services = fitting(names.into_iter().take(MOST_ENTRIES).map(service));
    let message = left_out("the first", all, services.len());
    (Services { services }, message)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NameSpaces<'k> {
    total_count: usize,
    namespaces: Vec<NameSpace<'k>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct NameSpace<'k> {
    name: &'k str,
    status: &'static str,
    description: &'static str,
    created_at: &'static str,
}

/// A cluster's namespaces, by name.
fn namespaces(known: &[KnownService]) -> (NameSpaces<'_>, String) {
    let names: BTreeSet<&str> = known.iter().map(|known| known.namespace.as_str()).collect();
    let total_count = names.len();
    let namespace = |name| NameSpace { name, ..NameSpace::default() };
    let namespaces = fitting(names.into_iter().take(MOST_ENTRIES).map(namespace));
    let message = left_out("the first", total_count, namespaces.len());
    (NameSpaces { total_count, namespaces }, message)
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Clusters<'k> {
    total_count: usize,
    clusters: Vec<Cluster<'k>>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster<'k> {
    cluster_id: &'k str,
    /// Events tell no other than the id.
    cluster_name: &'k str,
    description: &'static str,
    status: &'static str,
    un_vpc_id: &'static str,
    vpc_id: Option<u64>,
    #[serde(rename = "clusterCIDR")]
    cluster_cidr: &'static str,
    created_at: &'static str,
    updated_at: &'static str,
    node_status: &'static str,
    node_num: Option<u64>,
    os: &'static str,
    total_cpu: Option<u64>,
    total_mem: Option<u64>,
    region_id: Option<u64>,
    #[serde(rename = "k8sVersion")]
    k8s_version: &'static str,
    cluster_external_endpoint: &'static str,
}

/// The clusters with one of some ids, where there are any, and with a name, by id.
fn clusters<'k>(
    known: &'k [KnownService],
    ids: &BTreeSet<String>,
    name: Option<&str>,
    page: Page,
) -> (Clusters<'k>, String) {
    let all: BTreeSet<&str> = known.iter().map(|known| known.cluster.as_str()).collect();
    let is_wanted = |id: &&str| (ids.is_empty() || ids.contains(*id)) && name.is_none_or(|name| name == *id);
    let wanted: Vec<&str> = all.into_iter().filter(is_wanted).collect();
    let cluster = |id| Cluster { cluster_id: id, cluster_name: id, ..Cluster::default() };
    let total_count = wanted.len();
    let clusters = fitting(wanted.into_iter().skip(page.offset).take(page.limit).map(cluster));
    let message = page.left_out(total_count, clusters.len());
    (Clusters { total_count, clusters }, message)
}

#[cfg(test)]
mod tests;
