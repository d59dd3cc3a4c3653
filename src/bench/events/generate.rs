//! Generated service events: what a few clusters tell of some hundreds of services in thirty days.
//!
//! ```text
//! slot 0 .................................................. slots - hour | the last hour's, told in its second half
//!   each slot: a new event, and those of 1, 2 and 3 periods before that are told again
//! ```
//!
//! Eight slots in a row are one pod's: its way from the scheduler to its end. What a slot tells follows from the seed and
//! its number alone, so that nothing of what was sent is to be remembered.

use crate::bench::draw::mix;
use crate::model::event::{Object, Owner, Source};
use crate::model::{Event, ServiceEvent};
use serde_json::{Value, json};
use std::ops::Range;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAYS: i64 = 30;

/// Services of all clusters together.
pub const SERVICES: u64 = 400;
const CLUSTERS: u64 = 2;
const NAMESPACES: [&str; 8] = ["default", "shop", "payments", "search", "identity", "batch", "media", "internal"];
const WORDS: [&str; 20] = [
    "cart", "checkout", "catalog", "price", "stock", "order", "mail", "login", "profile", "image", "video", "index",
    "query", "feed", "chat", "report", "ledger", "refund", "coupon", "review",
];
const ROLES: [&str; 5] = ["api", "worker", "web", "sync", "cache"];

/// Slots of one pod.
const OF_POD: u64 = 8;
/// One of so many events is told again, so often.
const AGAIN_ONE_IN: u64 = 32;
const TIMES_AGAIN: u64 = 3;

/// A service by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub cluster: String,
    pub namespace: &'static str,
    pub name: String,
}

/// The service of a number below [`SERVICES`].
pub fn service(number: u64) -> Service {
    let word = WORDS[(number % WORDS.len() as u64) as usize];
    let role = ROLES[(number / WORDS.len() as u64 % ROLES.len() as u64) as usize];
    let turn = number / (WORDS.len() * ROLES.len()) as u64;
    let name = if turn == 0 { format!("{word}-{role}") } else { format!("{word}-{role}-v{}", turn + 1) };
    let namespace = NAMESPACES[(number / 7 % NAMESPACES.len() as u64) as usize];
    Service { cluster: format!("cls-bench{}", number % CLUSTERS), namespace, name }
}

/// The events of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Events {
    seed: u64,
    slots: u64,
    /// Slots of an hour.
    hour: u64,
    /// From the first telling of an event to the next, in slots.
    period: u64,
    /// When the bench began: microseconds since 1970 UTC.
    began: i64,
}

/// A row: which telling of the event of which slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telling {
    pub slot: u64,
    /// 0 for the first.
    pub again: u64,
}

impl Events {
    pub fn new(seed: u64, slots: u64, began: i64) -> Events {
        let hour = (slots / (24 * DAYS as u64)).max(1);
        Events { seed, slots, hour, period: (slots / 40).max(1), began }
    }

    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// The slots of the last hour.
    pub fn last_hour(&self) -> Range<u64> {
        self.slots - self.hour..self.slots
    }

    /// What is told in a slot.
    pub fn tellings(&self, slot: u64) -> impl Iterator<Item = Telling> + use<> {
        let events = *self;
        let again = (1..=TIMES_AGAIN).filter_map(move |again| {
            let first = slot.checked_sub(again * events.period)?;
            events.draw(0, first).is_multiple_of(AGAIN_ONE_IN).then_some(Telling { slot: first, again })
        });
        std::iter::once(Telling { slot, again: 0 }).chain(again)
    }

    /// When a slot is: seconds, as Kubernetes tells them. Those of the last hour are in the half hour before `now`.
    fn time(&self, slot: u64, now: i64) -> i64 {
        let recent = self.last_hour();
        let micros = match slot.checked_sub(recent.start) {
            Some(number) => now - HOUR / 2 + spread(number, self.hour, HOUR / 2),
            // Whatever the bench takes, this is older than an hour.
            None => self.began - DAYS * 24 * HOUR + spread(slot, recent.start, DAYS * 24 * HOUR - HOUR),
        };
        micros.div_euclid(SECOND) * SECOND
    }

    /// The number of the service that a slot is of: those of small numbers have more, about as real ones do.
    pub fn service_of(&self, slot: u64) -> u64 {
        let draw = self.draw(1, slot / OF_POD);
        let part = ((draw >> 32) * 1_000) >> 32;
        // A quarter of all pods are a tenth of the services'.
        match part {
            0..250 => draw % (SERVICES / 10),
            _ => draw % SERVICES,
        }
    }

    /// The row of a telling.
    pub fn event(&self, telling: Telling, now: i64) -> ServiceEvent<'static> {
        let Telling { slot, again } = telling;
        let Service { cluster, namespace, name: service } = service(self.service_of(slot));
        let pod = slot / OF_POD;
        let replica_set = format!("{service}-{}", letters(self.draw(2, pod), 10));
        let pod_name = format!("{replica_set}-{}", letters(self.draw(3, pod), 5));
        let node = format!("node-{:03}.{cluster}", self.draw(4, pod) % 120);
        let image = format!("registry.internal/{namespace}/{service}:1.{}.{}", self.draw(5, pod) % 40, pod % 10);
        let draw = self.draw(6, slot);
        let owner = Owner { kind: "ReplicaSet".into(), name: replica_set.clone().into(), controller: true };
        let (reason, level, message) = match slot % OF_POD {
            0 => ("SuccessfulCreate", "Normal", format!("Created pod: {pod_name}")),
            1 => ("Scheduled", "Normal", format!("Successfully assigned {namespace}/{pod_name} to {node}")),
            2 => ("Pulling", "Normal", format!("Pulling image \"{image}\"")),
            3 => {
                let (took, size) = (draw % 30_000, 20_000_000 + draw % 400_000_000);
                let message = format!(
                    "Successfully pulled image \"{image}\" in {took}ms ({took}ms including waiting). Image size: {size} bytes."
                );
                ("Pulled", "Normal", message)
            }
            4 => ("Created", "Normal", format!("Created container {service}")),
            5 => ("Started", "Normal", format!("Started container {service}")),
            6 => {
                let address = format!("10.{}.{}.{}:8080", draw % 64, draw >> 8 & 255, draw >> 16 & 255);
                let message = format!(
                    "Readiness probe failed: Get \"http://{address}/health\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
                );
                ("Unhealthy", "Warning", message)
            }
            _ => {
                let message = format!(
                    "Back-off restarting failed container {service} in pod {pod_name}_{namespace}({})",
                    uuid(self.draw(7, pod), self.draw(8, pod))
                );
                ("BackOff", "Warning", message)
            }
        };
        let component = match slot % OF_POD {
            0 => "replicaset-controller",
            1 => "default-scheduler",
            _ => "kubelet",
        };
        let last_seen = self.time(slot + again * self.period, now);
        let of_pod = slot % OF_POD != 0;
        let object = match of_pod {
            true => Object {
                kind: "Pod".into(),
                namespace: namespace.into(),
                name: pod_name.into(),
                uid: uuid(self.draw(7, pod), self.draw(8, pod)).into(),
                api_version: "v1".into(),
                field_path: match slot % OF_POD {
                    1 => "".into(),
                    _ => format!("spec.containers{{{service}}}").into(),
                },
            },
            false => Object {
                kind: "ReplicaSet".into(),
                namespace: namespace.into(),
                name: replica_set.into(),
                uid: uuid(self.draw(9, pod), self.draw(10, pod)).into(),
                api_version: "apps/v1".into(),
                field_path: "".into(),
            },
        };
        let event = Event {
            cluster: cluster.into(),
            namespace: namespace.into(),
            uid: uuid(self.draw(11, slot), self.draw(12, slot)).into(),
            name: format!("{}.{:016x}", object.name, self.draw(13, slot)).into(),
            object,
            level: level.into(),
            reason: reason.into(),
            message: message.into(),
            action: "".into(),
            source: Source {
                component: component.into(),
                host: if component == "kubelet" { node.into() } else { "".into() },
                instance: "".into(),
            },
            first_seen: self.time(slot, now) - (draw % 40) as i64 * SECOND,
            last_seen,
            count: 1 + (draw >> 24) as i64 % 4 + again as i64 * 9,
            labels: vec![("app", service.into())],
            owners: if of_pod { vec![owner] } else { Vec::new() },
        };
        ServiceEvent::from(event)
    }

    fn draw(&self, what: u64, number: u64) -> u64 {
        mix(self.seed, 0x6576_656e_7473 + what, number)
    }
}

/// The place of a number below `all` in so many microseconds.
fn spread(number: u64, all: u64, micros: i64) -> i64 {
    (i128::from(number) * i128::from(micros) / i128::from(all.max(1))) as i64
}

fn uuid(high: u64, low: u64) -> String {
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
    format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", 0x8000 | low >> 50, low & 0xffff_ffff_ffff)
}

/// As Kubernetes ends the names of what it makes.
fn letters(mut draw: u64, count: usize) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(char::from(LETTERS[(draw % 27) as usize]));
        draw /= 27;
    }
    text
}

/// The event as an exporter posts it.
pub fn posted(event: &Event<'_>) -> Value {
    let time = |micros: i64| {
        let time = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
        time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let object = &event.object;
    let owners = event.owners.iter().map(|owner| {
        json!({ "apiVersion": "apps/v1", "kind": owner.kind, "name": owner.name, "controller": owner.controller,
            "uid": object.uid })
    });
    let labels: serde_json::Map<String, Value> =
        event.labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": { "name": event.name, "namespace": event.namespace, "uid": event.uid,
            "creationTimestamp": time(event.first_seen) },
        "involvedObject": { "kind": object.kind, "namespace": object.namespace, "name": object.name, "uid": object.uid,
            "apiVersion": object.api_version, "fieldPath": object.field_path, "labels": labels,
            "ownerReferences": owners.collect::<Vec<_>>() },
        "reason": event.reason, "message": event.message, "type": event.level, "count": event.count,
        "source": { "component": event.source.component, "host": event.source.host },
        "firstTimestamp": time(event.first_seen), "lastTimestamp": time(event.last_seen),
        "clusterName": event.cluster
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::k8s;
    use std::collections::{BTreeMap, HashSet};

    const NOW: i64 = 1_795_000_000 * SECOND;

    fn all(events: &Events) -> Vec<ServiceEvent<'static>> {
        let rows = (0..events.slots()).flat_map(|slot| events.tellings(slot).collect::<Vec<_>>());
        rows.map(|telling| events.event(telling, NOW)).collect()
    }

    #[test]
    fn the_same_seed_tells_the_same_and_another_seed_something_else() {
        let of = |seed| all(&Events::new(seed, 2_000, NOW));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn every_row_is_of_the_service_that_its_slot_is_of() {
        let events = Events::new(5, 4_000, NOW);
        let names: HashSet<(String, String)> =
            (0..SERVICES).map(service).map(|service| (service.namespace.to_owned(), service.name)).collect();
        assert_eq!(names.len() as u64, SERVICES);
        for slot in 0..events.slots() {
            let row = events.event(Telling { slot, again: 0 }, NOW);
            let wanted = service(events.service_of(slot));
            assert_eq!(row.service.as_deref(), Some(wanted.name.as_str()));
            assert_eq!((&*row.event.cluster, &*row.event.namespace), (wanted.cluster.as_str(), wanted.namespace));
        }
    }

    #[test]
    fn resends_are_told_later_with_a_greater_count_and_the_last_hour_is_in_its_second_half() {
        let events = Events::new(7, 72_000, NOW);
        let mut by_uid: BTreeMap<String, Vec<(i64, i64, i64)>> = BTreeMap::new();
        for ServiceEvent { event, .. } in all(&events) {
            by_uid.entry(event.uid.into_owned()).or_default().push((event.last_seen, event.count, event.first_seen));
        }
        assert_eq!(by_uid.len(), 72_000);
        let again = by_uid.values().filter(|rows| rows.len() > 1).count();
        assert!((1_800..2_700).contains(&again), "{again}");
        for rows in by_uid.values() {
            assert!(rows.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1 && a.2 == b.2), "{rows:?}");
            assert!(rows.iter().all(|row| row.2 <= row.0));
        }
        let seen = by_uid.values().flatten().map(|row| row.0);
        let recent = seen.clone().filter(|seen| *seen > NOW - HOUR).count();
        assert!((100..130).contains(&recent), "{recent}");
        assert!(seen.filter(|seen| *seen > NOW - HOUR).all(|seen| (NOW - HOUR / 2 - SECOND..NOW).contains(&seen)));
    }

    #[test]
    fn what_is_posted_is_read_as_the_event_that_it_is() {
        let events = Events::new(9, 800, NOW);
        for telling in (0..64).flat_map(|slot| events.tellings(slot).collect::<Vec<_>>()) {
            let row = events.event(telling, NOW);
            let body = posted(&row.event).to_string();
            let limits = k8s::Limits::default();
            let read = k8s::decode(body.as_bytes(), Some("other"), &limits).unwrap();
            assert_eq!(read, [row.event]);
        }
    }
}
