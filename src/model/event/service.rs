//! Which service an event belongs to: its workload, which is what people mean by the service's name.
//!
//! The first of these rules that gives a name decides:
//!
//! 1. The object is a workload itself, or what leads to one ([`WORKLOADS`]): its name.
//! 2. A label of the object, or an attribute that the collector put beside the event ([`KEYS`], in that order).
//! 3. The object's owner, the one that controls it before all others: its name; of a ReplicaSet that of the Deployment
//!    which made it.
//! 4. The shape of the object's name. Kubernetes makes the names of what it creates from the creator's:
//!
//! | object | name | service |
//! |---|---|---|
//! | ReplicaSet | `web-542052039` | `web`; without a hash it stands for itself |
//! | Pod of a Deployment | `web-542052039-h2yj8` | `web` |
//! | Pod of a StatefulSet | `web-0` | `web` |
//! | Pod of a DaemonSet, a Job or a ReplicaSet | `web-h2yj8` | `web` |
//!
//! A hash has six to ten digits and small letters. Kubernetes makes it without vowels, from digits alone before 1.8; so
//! one with a vowel and no digit is a word: `node-exporter-h2yj8` is a Pod of the DaemonSet `node-exporter`.
//!
//! Events of nodes belong to no service whatever else is known, and nor does what no rule names.

use super::{Event, Owner};

/// Kinds whose own name is the service's.
pub const WORKLOADS: [&str; 9] = [
    "Service",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "Ingress",
    "HorizontalPodAutoscaler",
];

/// Labels and attributes whose value is the service's name; the earlier wins.
pub const KEYS: [&str; 9] = [
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.job.name",
    "service.name",
    "app.kubernetes.io/name",
    "k8s-app",
    "qcloud-app",
    "app",
];

/// What the object's labels are called where the collector writes them as attributes.
const LABEL_PREFIXES: [&str; 2] = ["k8s.pod.labels.", "k8s.pod.label."];

/// The key of [`KEYS`] that a label or an attribute is, if it is one. kubernetes-event-exporter writes underscores for
/// dots if it is told to.
pub fn key(name: &str) -> Option<&'static str> {
    let label = LABEL_PREFIXES.into_iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let label = if label == "app_kubernetes_io/name" { "app.kubernetes.io/name" } else { label };
    known(label)
}

/// The same key among [`KEYS`], where it is exactly one of them.
pub fn known(key: &str) -> Option<&'static str> {
    KEYS.into_iter().find(|known| *known == key)
}

/// The place of one of [`KEYS`] among them.
pub fn rank(key: &str) -> usize {
    KEYS.into_iter().position(|known| known == key).unwrap_or(KEYS.len())
}

/// The service that the event belongs to.
pub fn of<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    let object = &event.object;
    if is(&object.kind, "Node") {
        return None;
    }
    let own = WORKLOADS.into_iter().any(|kind| is(&object.kind, kind)).then_some(object.name.as_ref());
    own.filter(|name| !name.is_empty())
        .or_else(|| labelled(event))
        .or_else(|| owned(event))
        .or_else(|| shaped(&object.kind, &object.name))
}

fn is(kind: &str, other: &str) -> bool {
    kind.eq_ignore_ascii_case(other)
}

fn labelled<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    let known = event.labels.iter().map(|(key, value)| (*key, value.as_ref()));
    // SDKs that were told no name fill one in.
    let filled_in = |key, value: &str| key == "service.name" && value.starts_with("unknown_service");
    let names = known.filter(|(key, value)| !value.is_empty() && !filled_in(*key, value));
    names.min_by_key(|(key, _)| rank(key)).map(|(_, value)| value)
}

fn owned<'e>(event: &'e Event<'_>) -> Option<&'e str> {
    // The kubelet makes a node the owner of the Pods that its own files tell it to run.
    let names = |owner: &&Owner<'_>| !owner.name.is_empty() && !is(&owner.kind, "Node");
    let mut owners = event.owners.iter().filter(names);
    let owner = owners.clone().find(|owner| owner.controller).or_else(|| owners.next())?;
    Some(if is(&owner.kind, "ReplicaSet") { of_replica_set(&owner.name) } else { &owner.name })
}

fn shaped<'e>(kind: &str, name: &'e str) -> Option<&'e str> {
    if is(kind, "ReplicaSet") && !name.is_empty() {
        Some(of_replica_set(name))
    } else if is(kind, "Pod") {
        of_pod(name)
    } else {
        None
    }
}

/// The Deployment that made a ReplicaSet, or the ReplicaSet itself where none did.
fn of_replica_set(name: &str) -> &str {
    without_hash(name).unwrap_or(name)
}

fn without_hash(name: &str) -> Option<&str> {
    let (head, hash) = name.rsplit_once('-')?;
    let has_digit = hash.bytes().any(|byte| byte.is_ascii_digit());
    let has_vowel = hash.bytes().any(|byte| b"aeiou".contains(&byte));
    let is_hash = (6..=10).contains(&hash.len()) && small(hash) && (has_digit || !has_vowel);
    (is_hash && !head.is_empty()).then_some(head)
}

fn of_pod(name: &str) -> Option<&str> {
    let (head, tail) = name.rsplit_once('-')?;
    if head.is_empty() || tail.is_empty() {
        return None;
    }
    let is_suffix = tail.len() == 5 && small(tail);
    let is_ordinal = tail.bytes().all(|byte| byte.is_ascii_digit());
    match without_hash(head) {
        Some(deployment) if is_suffix => Some(deployment),
        _ => (is_suffix || is_ordinal).then_some(head),
    }
}

fn small(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Object, Source};
    use std::borrow::Cow;

    fn about(kind: &'static str, name: &'static str) -> Event<'static> {
        Event {
            cluster: "default".into(),
            namespace: "default".into(),
            uid: "u".into(),
            name: "".into(),
            object: Object { kind: kind.into(), name: name.into(), ..Object::default() },
            level: "Normal".into(),
            reason: "".into(),
            message: "".into(),
            action: "".into(),
            source: Source::default(),
            first_seen: 0,
            last_seen: 0,
            count: 1,
            labels: Vec::new(),
            owners: Vec::new(),
        }
    }

    fn owner(kind: &'static str, name: &'static str, controller: bool) -> Owner<'static> {
        Owner { kind: kind.into(), name: name.into(), controller }
    }

    #[test]
    fn names_tell_the_workload_by_their_shape() {
        let table = [
            ("Pod", "frontend-542052039-h2yj8", Some("frontend")),
            ("Pod", "test-web-service-5d59d67564-x7k2p", Some("test-web-service")),
            ("Pod", "web-7c9d4b5f6a-abcde", Some("web")),
            ("Pod", "web-bcdfbcdf-x7k2p", Some("web")),
            ("Pod", "redis-0", Some("redis")),
            ("Pod", "redis-12345", Some("redis")),
            ("Pod", "redis-cluster-104", Some("redis-cluster")),
            ("Pod", "node-exporter-h2yj8", Some("node-exporter")),
            ("Pod", "kube-proxy-9wzlm", Some("kube-proxy")),
            ("Pod", "web-12345-h2yj8", Some("web-12345")),
            ("Pod", "web-12345678901-h2yj8", Some("web-12345678901")),
            ("Pod", "debug", None),
            ("Pod", "debug-shell", Some("debug")),
            ("Pod", "web-frontend", None),
            ("Pod", "web-H2YJ8", None),
            ("Pod", "web-", None),
            ("Pod", "-0", None),
            ("Pod", "-h2yj8", None),
            ("Pod", "", None),
            ("Pod", "wéb-é2yj8", None),
            ("pod", "redis-0", Some("redis")),
            ("ReplicaSet", "frontend-542052039", Some("frontend")),
            ("ReplicaSet", "frontend-5d59d67564", Some("frontend")),
            ("ReplicaSet", "my-frontend", Some("my-frontend")),
            ("ReplicaSet", "-542052039", Some("-542052039")),
            ("ReplicaSet", "", None),
            ("ConfigMap", "frontend-542052039", None),
            ("PersistentVolumeClaim", "data-redis-0", None),
        ];
        for (kind, name, wanted) in table {
            assert_eq!(of(&about(kind, name)), wanted, "{kind} {name}");
        }
    }

    #[test]
    fn workloads_are_services_themselves_and_nodes_never_are() {
        for kind in WORKLOADS {
            let labelled = Event { labels: vec![("app", "other".into())], ..about(kind, "web-542052039") };
            assert_eq!(of(&labelled), Some("web-542052039"), "{kind}");
        }
        let node = Event {
            labels: vec![("k8s.deployment.name", "web".into())],
            owners: vec![owner("Deployment", "web", true)],
            ..about("Node", "node-0")
        };
        assert_eq!(of(&node), None);
        assert_eq!(of(&Event { labels: vec![("app", "web".into())], ..about("Service", "") }), Some("web"));
    }

    #[test]
    fn labels_go_before_owners_and_owners_before_shapes() {
        let pod = Event {
            labels: vec![("app", "labelled".into())],
            owners: vec![owner("StatefulSet", "owned", true)],
            ..about("Pod", "shaped-0")
        };
        assert_eq!(of(&pod), Some("labelled"));
        assert_eq!(of(&Event { labels: Vec::new(), ..pod.clone() }), Some("owned"));
        assert_eq!(of(&Event { labels: Vec::new(), owners: Vec::new(), ..pod }), Some("shaped"));
    }

    #[test]
    fn of_labels_the_one_of_the_first_rank_counts() {
        let mut labels: Vec<(&'static str, Cow<'static, str>)> =
            KEYS.into_iter().map(|key| (key, key.into())).collect();
        labels.reverse();
        for (rank, key) in KEYS.into_iter().enumerate() {
            let pod = Event { labels: labels.clone(), ..about("Pod", "web-0") };
            assert_eq!(of(&pod), Some(key));
            assert_eq!(super::rank(key), rank);
            labels.pop();
        }
        let nameless = vec![("k8s.job.name", "".into()), ("service.name", "unknown_service:otelcol".into())];
        assert_eq!(of(&Event { labels: nameless.clone(), ..about("Pod", "web-0") }), Some("web"));
        let app = nameless.into_iter().chain([("app", "front".into())]).collect();
        assert_eq!(of(&Event { labels: app, ..about("Pod", "web-0") }), Some("front"));
    }

    #[test]
    fn labels_are_known_under_the_names_that_collectors_give_them() {
        let table = [
            ("app", Some("app")),
            ("k8s.deployment.name", Some("k8s.deployment.name")),
            ("app_kubernetes_io/name", Some("app.kubernetes.io/name")),
            ("k8s.pod.labels.app.kubernetes.io/name", Some("app.kubernetes.io/name")),
            ("k8s.pod.label.k8s-app", Some("k8s-app")),
            ("k8s.pod.name", None),
            ("App", None),
            ("", None),
        ];
        for (name, wanted) in table {
            assert_eq!(key(name), wanted, "{name}");
        }
    }

    #[test]
    fn the_owner_that_controls_names_the_service() {
        let of_owners =
            |owners: Vec<Owner<'static>>, name| of(&Event { owners, ..about("Pod", name) }).map(str::to_owned);
        let table = [
            (vec![owner("ReplicaSet", "web-542052039", true)], Some("web")),
            (vec![owner("ReplicaSet", "bare", true)], Some("bare")),
            (vec![owner("DaemonSet", "agent-542052039", true)], Some("agent-542052039")),
            (vec![owner("Gang", "other", false), owner("Job", "backup", true)], Some("backup")),
            (vec![owner("Gang", "first", false), owner("Job", "second", false)], Some("first")),
            // A Pod from a node's own files falls back to its shape.
            (vec![owner("Node", "node-1", true)], Some("etcd")),
            (vec![owner("Job", "", true)], Some("etcd")),
        ];
        for (owners, wanted) in table {
            assert_eq!(of_owners(owners.clone(), "etcd-node1").as_deref(), wanted, "{owners:?}");
        }
    }
}
