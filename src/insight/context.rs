//! A trace's context: what happened to its services shortly before it began and while it ran, and what the registry
//! knows of them.
//!
//! A trace's services are those that recorded its spans, those at the other side of a call, and the applications of
//! names in three parts (see [`crate::codec::zipkin::ats`]). Of each the events are told whose time touches the trace's,
//! or the margin before it; the trace's time is that of its spans, as sent.
//!
//! **Which cluster and namespace.** Services of one name may run in several. Spans may tell where theirs ran, and only
//! those of the service's own side count:
//!
//! | | the first of these that events of the trace's services know |
//! |---|---|
//! | cluster | the tags `k8s.cluster.name`, `k8s.cluster.uid`; the header `clusterId` that the span was posted with |
//! | namespace | the tag `k8s.namespace.name`; the header `namespace` |
//!
//! What no such event tells of narrows nothing: agents and collectors may have different names for a cluster. A service
//! that is not told to have run anywhere has the events of its name in all clusters and namespaces, and so has one that
//! never recorded a span, a database say.

use super::registered::version_order;
use crate::codec::stored::events::event_key;
use crate::codec::zipkin::ats;
use crate::error::{ErrorKind, Result};
use crate::events::{self, EventQuery, Found, KnownService, Window};
use crate::model::{Endpoint, ServiceEvent, Span};
use crate::query::origin::Origin;
use crate::query::trace::{TraceCursor, TraceQuery};
use crate::registry::{Instance, Microservice, Registry, Tenant};
use crate::stop::Stop;
use crate::store::Snapshot;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Spans of a trace that are read; those that begin first.
const MOST_SPANS: usize = 100_000;
/// Services of an answer; those that come first in the trace.
const MOST_SERVICES: usize = 200;
/// Events of a service, and bytes of texts of all of them together.
const MOST_EVENTS: usize = 50;
const MOST_BYTES: usize = 4 << 20;
/// Places, and versions, of a service that its spans tell.
const MOST_TOLD: usize = 16;
/// Clusters and namespaces in which a service is asked for one by one. Of a name that is in more, all are looked through.
const MOST_ASKED: usize = 32;
/// Endpoints of a registered service.
const MOST_ENDPOINTS: usize = 10;
/// Registered services of one name whose instances are looked at.
const MOST_CANDIDATES: usize = 100;
/// Instances of a service that are looked at.
const MOST_INSTANCES: usize = 10_000;
/// Tags that tell where a span was recorded, the better first.
const CLUSTER_TAGS: [&str; 2] = ["k8s.cluster.name", "k8s.cluster.uid"];
const NAMESPACE_TAG: &str = "k8s.namespace.name";
const VERSION_TAGS: [&str; 2] = ["service.version", "version"];

/// Which trace's context is asked for.
#[derive(Clone, Debug)]
pub struct ContextQuery {
    pub trace: TraceQuery,
    /// How long before the trace events count, in microseconds.
    pub margin: i64,
    /// Where a service may be registered; the first that knows it counts.
    pub tenants: Vec<Tenant>,
}

/// What is known around a trace.
#[derive(Clone, Debug, Default)]
pub struct TraceContext {
    /// None if no span tells a time; then there are no events either.
    pub around: Option<Around>,
    /// Whether the trace has more spans than were read.
    pub truncated: bool,
    /// By name.
    pub services: Vec<ServiceContext>,
    /// How many services more the spans that were read name.
    pub services_left_out: usize,
}

/// When a trace was, in microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// When its first span began.
    pub start: i64,
    /// When its last span ended.
    pub end: i64,
    /// From when on events count: the margin before the start.
    pub from: i64,
}

/// What is known of one of a trace's services.
#[derive(Clone, Debug)]
pub struct ServiceContext {
    /// As the first of its spans has it.
    pub name: String,
    /// Where it ran; none where that is not known, so that events of everywhere count.
    pub places: Vec<EventPlace>,
    /// Last seen first; of those seen at the same time by cluster and uid.
    pub events: Vec<ServiceEvent<'static>>,
    /// How many events more there are; `None` where there are too many to be looked through, so that none is told.
    pub events_left_out: Option<usize>,
    /// None where it is not registered.
    pub registered: Option<InShort>,
}

/// Where events count.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventPlace {
    /// None for all.
    pub cluster: Option<String>,
    /// None for all.
    pub namespace: Option<String>,
}

/// What the registry knows of a service, in short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InShort {
    /// Of the versions the one that the trace's spans tell, if it is registered; else the greatest that has instances;
    /// else the greatest.
    pub service: Arc<Microservice>,
    /// Its instances that say that they are up.
    pub up: usize,
    /// Its instances that live.
    pub total: usize,
    /// Of its instances, in order.
    pub endpoints: Vec<String>,
    pub endpoints_left_out: usize,
    /// How many more are registered under the name: other versions, in other applications and environments.
    pub others: usize,
}

/// The context of a trace, none if there is no span of it; with the files that could not be read. Blocks.
pub fn trace_context(
    snapshot: &Snapshot,
    registry: &Registry,
    query: &ContextQuery,
    stop: &Stop,
) -> Result<(Option<TraceContext>, Vec<String>)> {
    let (seen, mut damaged) = read(snapshot, &query.trace, stop)?;
    let Some(seen) = seen else { return Ok((None, damaged)) };
    let around = seen.time.map(|(start, end)| Around { start, end, from: start.saturating_sub(query.margin) });
    let mut context = TraceContext {
        around,
        truncated: seen.truncated,
        services: Vec::with_capacity(seen.services.len()),
        services_left_out: seen.beyond.len(),
    };
    let project = &query.trace.project;
    let is_wanted = |name: Option<&str>| name.is_some_and(|name| seen.services.contains_key(&name.to_lowercase()));
    let known = match around {
        Some(_) => events::services_that(snapshot, project, None, &is_wanted, stop)?.services,
        None => Vec::new(),
    };
    let known = Known::of(&known);
    let mut registered = Registrations::of(registry, &query.tenants, &seen.services);
    let mut room = MOST_BYTES;
    let mut is_asked = false;
    for (folded, service) in seen.services {
        stop.check()?;
        let places = known.places(&service.told);
        let mut newest = Some(Newest::default());
        if let Some(around) = around {
            let questions = known.questions(project, &folded, &places, around);
            is_asked |= !questions.is_empty();
            newest = ask(&questions, &|asked| events::find(snapshot, asked, stop), &mut damaged)?;
        }
        let (events, events_left_out) = match newest {
            Some(newest) => newest.within(&mut room),
            None => (Vec::new(), None),
        };
        let registered = registered.in_short(&folded, &service.versions);
        context.services.push(ServiceContext { name: service.name, places, events, events_left_out, registered });
    }
    if let (Some(around), false) = (around, is_asked) {
        // A file that cannot tell of which services its events are is named by a question alone.
        let window = Window::LastSeen { from: around.from, to: around.from };
        let (project, nobody) = (project.clone(), Some(String::new()));
        let asked = EventQuery { project, cluster: None, namespace: None, service: nobody, window };
        damaged.extend(events::find(snapshot, &asked, stop)?.damaged);
    }
    damaged.sort_unstable();
    damaged.dedup();
    Ok((Some(context), damaged))
}

/// Asks for a service's events; `None` where there are too many to be looked through, which is no reason to tell nothing
/// of the other services.
fn ask(
    questions: &[EventQuery],
    find: &dyn Fn(&EventQuery) -> Result<Found>,
    damaged: &mut Vec<String>,
) -> Result<Option<Newest>> {
    let mut newest = Newest::default();
    for asked in questions {
        let found = match find(asked) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::TooLarge => return Ok(None),
            Err(error) => return Err(error),
        };
        damaged.extend(found.damaged);
        newest.add(found.events);
    }
    Ok(Some(newest))
}

/// The newest events of a service, as many as are told, of all that its questions found.
#[derive(Debug, Default)]
struct Newest {
    events: Vec<ServiceEvent<'static>>,
    /// A hash of each event that was found: places may share events, a cluster, and a namespace of it.
    seen: HashSet<u64>,
}

impl Newest {
    fn add(&mut self, events: Vec<ServiceEvent<'static>>) {
        fn key<'e>(told: &'e ServiceEvent<'_>) -> (Reverse<i64>, &'e str, &'e str) {
            (Reverse(told.event.last_seen), &told.event.cluster, &told.event.uid)
        }
        for told in events {
            if self.seen.insert(event_key("", &told.event.cluster, &told.event.uid)) {
                self.events.push(told);
            }
        }
        self.events.sort_by(|a, b| key(a).cmp(&key(b)));
        self.events.truncate(MOST_EVENTS);
    }

    /// Those that there is room for, and how many more there are.
    fn within(mut self, room: &mut usize) -> (Vec<ServiceEvent<'static>>, Option<usize>) {
        let fits = |told: &&ServiceEvent<'_>| {
            let left = room.checked_sub(told.memory());
            *room = left.unwrap_or(0);
            left.is_some()
        };
        let told = self.events.iter().take_while(fits).count();
        self.events.truncate(told);
        (self.events, Some(self.seen.len() - told))
    }
}

/// What a trace's spans tell.
#[derive(Debug, Default)]
struct Seen {
    /// From the first beginning to the last end.
    time: Option<(i64, i64)>,
    spans: usize,
    truncated: bool,
    /// By their names in lower case.
    services: BTreeMap<String, SeenService>,
    /// Hashes of the names of services beyond the limit, each of which is counted once.
    beyond: HashSet<u64>,
}

/// What a trace's spans tell of a service.
#[derive(Debug, Default)]
struct SeenService {
    name: String,
    told: BTreeSet<Told>,
    versions: BTreeSet<String>,
}

/// Where a span says it was recorded, the better name first.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    clusters: Vec<String>,
    namespaces: Vec<String>,
}

/// Reads a trace's spans; none if there are none. With it the files that could not be read.
fn read(snapshot: &Snapshot, query: &TraceQuery, stop: &Stop) -> Result<(Option<Seen>, Vec<String>)> {
    let mut cursor = TraceCursor::open(snapshot, query)?;
    let mut seen = Seen::default();
    while !seen.truncated
        && let Some(rows) = cursor.next_rows()?
    {
        stop.check()?;
        for (span, origin) in rows.into_pairs() {
            seen.feed(&span, &origin);
        }
    }
    let damaged = cursor.damaged().to_vec();
    Ok(((seen.spans > 0).then_some(seen), damaged))
}

impl Seen {
    fn feed(&mut self, span: &Span<'_>, origin: &Origin) {
        if self.spans >= MOST_SPANS {
            self.truncated = true;
            return;
        }
        self.spans += 1;
        self.feed_time(span);
        let parts = ats::parts(span, None);
        if let Some(name) = service(span.local.as_ref()) {
            self.feed_own(name, span, origin);
        }
        if !parts.composed {
            self.feed_own(&parts.application, span, origin);
        }
        if let Some(name) = service(span.remote.as_ref()) {
            self.entry(name);
        }
    }

    /// A time of zero or less counts as absent; so the annotations speak for the span.
    fn feed_time(&mut self, span: &Span<'_>) {
        let own = span.timestamp.filter(|start| *start > 0);
        let end = own.map(|start| start.saturating_add(span.duration.unwrap_or(0).max(0)));
        let annotations = span.annotations.iter().map(|annotation| annotation.timestamp).filter(|time| *time > 0);
        for time in own.into_iter().chain(end).chain(annotations) {
            let (start, end) = self.time.unwrap_or((time, time));
            self.time = Some((start.min(time), end.max(time)));
        }
    }

    /// A span of the service's own side.
    fn feed_own(&mut self, name: &str, span: &Span<'_>, origin: &Origin) {
        let Some(service) = self.entry(name) else { return };
        let tag = |key: &str| span.tag(key).map(str::to_owned);
        let told = |texts: Vec<Option<String>>| -> Vec<String> {
            texts.into_iter().flatten().filter(|text| !text.trim().is_empty()).collect()
        };
        let [by_name, by_uid] = CLUSTER_TAGS.map(tag);
        let place = Told {
            clusters: told(vec![by_name, by_uid, origin.cluster_id.clone()]),
            namespaces: told(vec![tag(NAMESPACE_TAG), origin.namespace.clone()]),
        };
        if place != Told::default() && service.told.len() < MOST_TOLD {
            service.told.insert(place);
        }
        if let Some(version) = VERSION_TAGS.into_iter().find_map(|key| span.tag(key))
            && service.versions.len() < MOST_TOLD
        {
            service.versions.insert(version.to_owned());
        }
    }

    fn entry(&mut self, name: &str) -> Option<&mut SeenService> {
        let folded = name.to_lowercase();
        if !self.services.contains_key(&folded) && self.services.len() >= MOST_SERVICES {
            self.beyond.insert(xxh3_64(folded.as_bytes()));
            return None;
        }
        let new = || SeenService { name: name.to_owned(), ..SeenService::default() };
        Some(self.services.entry(folded).or_insert_with(new))
    }
}

fn service<'e>(endpoint: Option<&'e Endpoint<'_>>) -> Option<&'e str> {
    endpoint?.service.as_deref()
}

/// What events are known of.
struct Known<'k> {
    /// Namespaces by cluster.
    clusters: BTreeMap<&'k str, BTreeSet<&'k str>>,
    /// By the service's name in lower case.
    services: HashMap<String, Vec<&'k KnownService>>,
}

impl<'k> Known<'k> {
    fn of(all: &'k [KnownService]) -> Self {
        let mut known = Known { clusters: BTreeMap::new(), services: HashMap::new() };
        for one in all {
            known.clusters.entry(&one.cluster).or_default().insert(&one.namespace);
            if let Some(service) = &one.service {
                known.services.entry(service.to_lowercase()).or_default().push(one);
            }
        }
        known
    }

    /// What of that which spans tell is a place that events know.
    fn places(&self, told: &BTreeSet<Told>) -> Vec<EventPlace> {
        let place = |told: &Told| {
            let cluster = told.clusters.iter().find(|name| self.clusters.contains_key(name.as_str()));
            let has = |name: &str| match cluster {
                Some(cluster) => self.clusters.get(cluster.as_str()).is_some_and(|all| all.contains(name)),
                None => self.clusters.values().any(|all| all.contains(name)),
            };
            let namespace = told.namespaces.iter().find(|name| has(name));
            EventPlace { cluster: cluster.cloned(), namespace: namespace.cloned() }
        };
        let places: BTreeSet<EventPlace> = told.iter().map(place).filter(|place| *place != <_>::default()).collect();
        places.into_iter().collect()
    }

    /// What to ask for the events of a service, given in lower case: for each spelling of its name, in each of its
    /// clusters and namespaces where there are few, else in each place.
    fn questions(&self, project: &str, service: &str, places: &[EventPlace], around: Around) -> Vec<EventQuery> {
        let everywhere = [EventPlace::default()];
        let places = if places.is_empty() { &everywhere[..] } else { places };
        // An event is no older than its last row.
        let of_time = self.services.get(service).into_iter().flatten().filter(|one| one.seen.1 >= around.from);
        let of_time: Vec<&KnownService> = of_time.copied().collect();
        let exact = of_time.iter().filter(|one| places.iter().any(|place| place.has(one)));
        let mut asked: BTreeSet<(Option<&str>, Option<&str>, Option<&str>)> =
            exact.map(|one| (Some(&*one.cluster), Some(&*one.namespace), one.service.as_deref())).collect();
        if asked.len() > MOST_ASKED {
            asked.clear();
            for place in places {
                let there = of_time.iter().filter(|one| place.has(one));
                let (cluster, namespace) = (place.cluster.as_deref(), place.namespace.as_deref());
                asked.extend(there.map(|one| (cluster, namespace, one.service.as_deref())));
            }
        }
        let text = |text: Option<&str>| text.map(str::to_owned);
        let question = |(cluster, namespace, service)| EventQuery {
            project: project.to_owned(),
            cluster: text(cluster),
            namespace: text(namespace),
            service: text(service),
            window: Window::Overlapping { from: around.from, to: around.end },
        };
        asked.into_iter().map(question).collect()
    }
}

impl EventPlace {
    fn has(&self, known: &KnownService) -> bool {
        let is_of = |asked: &Option<String>, own: &str| asked.as_deref().is_none_or(|asked| asked == own);
        is_of(&self.cluster, &known.cluster) && is_of(&self.namespace, &known.namespace)
    }
}

/// The registered services of the names in a trace.
struct Registrations<'r> {
    registry: &'r Registry,
    /// By name in lower case, of one tenant each.
    by_name: HashMap<String, (&'r Tenant, Vec<Arc<Microservice>>)>,
}

impl<'r> Registrations<'r> {
    fn of(registry: &'r Registry, tenants: &'r [Tenant], seen: &BTreeMap<String, SeenService>) -> Self {
        let mut by_name: HashMap<String, (&Tenant, Vec<Arc<Microservice>>)> = HashMap::new();
        for tenant in tenants {
            let mut found: HashMap<String, Vec<Arc<Microservice>>> = HashMap::new();
            for service in registry.services(tenant) {
                let names: BTreeSet<String> = [&service.service_name, &service.alias]
                    .into_iter()
                    .map(|name| name.to_lowercase())
                    .filter(|name| seen.contains_key(name) && !by_name.contains_key(name))
                    .collect();
                for name in names {
                    found.entry(name).or_default().push(service.clone());
                }
            }
            by_name.extend(found.into_iter().map(|(name, services)| (name, (tenant, services))));
        }
        Registrations { registry, by_name }
    }

    /// What there is of a name, given in lower case. `versions` are those that spans tell.
    fn in_short(&mut self, name: &str, versions: &BTreeSet<String>) -> Option<InShort> {
        let (tenant, mut services) = self.by_name.remove(name)?;
        let others = services.len().saturating_sub(1);
        services.sort_by_cached_key(|service| {
            let is_told = versions.contains(&service.version);
            let order = Reverse(version_order(&service.version));
            (!is_told, order, service.app_id.clone(), service.environment.clone(), service.service_id.clone())
        });
        let mut first: Option<InShort> = None;
        for service in services.into_iter().take(MOST_CANDIDATES) {
            let is_told = versions.contains(&service.version);
            let found = InShort { others, ..self.look(tenant, service) };
            if found.total > 0 || is_told {
                return Some(found);
            }
            first = first.or(Some(found));
        }
        first
    }

    fn look(&self, tenant: &Tenant, service: Arc<Microservice>) -> InShort {
        // One that has gone meanwhile has none.
        let bodies = self.registry.instances(tenant, &service.service_id).unwrap_or_default();
        let mut found = InShort { service, total: bodies.len(), ..InShort::default() };
        let mut endpoints = BTreeSet::new();
        for body in bodies.iter().take(MOST_INSTANCES) {
            let Ok(instance) = serde_json::from_str::<Instance>(body) else { continue };
            found.up += usize::from(instance.status == "UP");
            endpoints.extend(instance.endpoints);
        }
        found.endpoints_left_out = endpoints.len().saturating_sub(MOST_ENDPOINTS);
        found.endpoints = endpoints.into_iter().take(MOST_ENDPOINTS).collect();
        found
    }
}

#[cfg(test)]
mod tests;
