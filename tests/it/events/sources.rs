//! What each collector sends, posted as it does it, and each field of what is told of it.

use super::*;
use crate::support::grpc::gzip;
use crate::support::server::Server;

/// A post, and what comes of it.
struct Source {
    /// The project that it is posted to: nothing else is.
    project: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    /// What is answered, where it is JSON.
    answer: Option<Value>,
    events: Vec<Value>,
}

fn core_event() -> Value {
    told(json!({
        "service": "frontend",
        "clusterId": "cls-7ph3twqe",
        "uid": "16a7f1de-a589-11e6-9c3f-5254006f1f0b",
        "name": "frontend-542052039-h2yj8.148502c2f9f4e0b3",
        "object": {
            "kind": "Pod", "name": "frontend-542052039-h2yj8", "namespace": "default",
            "uid": "0b3e1c52-a589-11e6-9c3f-5254006f1f0b", "apiVersion": "v1",
            "fieldPath": "spec.containers{php-redis}",
        },
        "level": "Warning",
        "reason": "FailedSync",
        "message": "Error syncing pod, skipping: failed to \"StartContainer\" for \"php-redis\" with \
                    ImagePullBackOff: \"Back-off pulling image \\\"gcr.io/google-samples/gb-frontend:v5\\\"\"\n",
        "source": {"component": "kubelet", "host": "10.0.0.17", "instance": "10.0.0.17"},
        "firstSeen": "2016-11-08T08:15:15.000000Z",
        "lastSeen": "2016-11-09T08:59:56.000000Z",
        "count": 6530,
    }))
}

fn core_list() -> Vec<Value> {
    vec![
        told(json!({
            "service": "checkout",
            "namespace": "shop",
            "uid": "5a6e2f10-0001-4d1c-8a53-000000000001",
            "name": "checkout.17a0b2c4d5e6f708",
            "object": {"kind": "Deployment", "name": "checkout", "namespace": "shop", "apiVersion": "apps/v1"},
            "reason": "ScalingReplicaSet",
            "message": "Scaled up replica set checkout-7c9d4b5f6d to 3",
            "source": {"component": "deployment-controller"},
            "firstSeen": "2024-05-06T07:08:09.000000Z",
            "lastSeen": "2024-05-06T07:08:09.000000Z",
        })),
        told(json!({
            "service": "checkout",
            "namespace": "shop",
            "uid": "5a6e2f10-0002-4d1c-8a53-000000000002",
            "name": "checkout-7c9d4b5f6d-x7k2p.17a0b2c4d5e6f709",
            "object": {
                "kind": "Pod", "name": "checkout-7c9d4b5f6d-x7k2p", "namespace": "shop",
                "uid": "77e0a1b2-0003-4d1c-8a53-000000000003", "apiVersion": "v1",
            },
            "level": "Warning",
            "reason": "FailedScheduling",
            "message": "0/3 nodes are available: 3 Insufficient cpu.",
            "action": "Scheduling",
            "source": {"component": "default-scheduler", "instance": "default-scheduler-cp-1"},
            "firstSeen": "2024-05-06T07:08:10.123456Z",
            "lastSeen": "2024-05-06T07:12:10.654321Z",
            "count": 4,
        })),
        // Of a node, and without a uid.
        told(json!({
            "uid": "derived:default/default/node-1.17a0b2c4d5e6f70a",
            "name": "node-1.17a0b2c4d5e6f70a",
            "object": {"kind": "Node", "name": "node-1", "uid": "node-1"},
            "level": "Warning",
            "reason": "NodeHasDiskPressure",
            "message": "Node node-1 status is now: NodeHasDiskPressure",
            "source": {"component": "kubelet", "host": "node-1"},
            "firstSeen": "2024-05-06T07:00:00.000000Z",
            "lastSeen": "2024-05-06T07:00:00.000000Z",
        })),
    ]
}

fn new_list() -> Vec<Value> {
    vec![
        told(json!({
            "service": "redis",
            "namespace": "cache",
            "uid": "9d1f0b7a-0001-4e9e-b1f3-000000000001",
            "name": "redis-0.17b1c2d3e4f50617",
            "object": {
                "kind": "Pod", "name": "redis-0", "namespace": "cache",
                "uid": "c0ffee00-0002-4e9e-b1f3-000000000002", "apiVersion": "v1",
                "fieldPath": "spec.containers{redis}",
            },
            "level": "Warning",
            "reason": "Unhealthy",
            "message": "Readiness probe failed: dial tcp 10.1.2.3:6379: connect: connection refused",
            "action": "Probing",
            "source": {"component": "kubelet", "instance": "node-7"},
            "firstSeen": "2025-02-03T04:05:06.789012Z",
            "lastSeen": "2025-02-03T04:35:06.000001Z",
            "count": 12,
        })),
        told(json!({
            "service": "redis",
            "namespace": "cache",
            "uid": "9d1f0b7a-0003-4e9e-b1f3-000000000003",
            "name": "redis-0.17b1c2d3e4f50618",
            "object": {"kind": "Pod", "name": "redis-0", "namespace": "cache", "apiVersion": "v1"},
            "reason": "Pulled",
            "message": "Container image \"redis:7\" already present on machine",
            "source": {"component": "kubelet", "host": "node-7"},
            "firstSeen": "2025-02-03T04:00:00.000000Z",
            "lastSeen": "2025-02-03T04:05:00.000000Z",
            "count": 3,
        })),
    ]
}

/// One event, of which the frames ADDED and MODIFIED tell.
fn watched() -> Value {
    told(json!({
        "service": "web",
        "clusterId": "kyoto",
        "namespace": "prod",
        "uid": "e1",
        "name": "web-0.17c0",
        "object": {"kind": "Pod", "name": "web-0", "namespace": "prod"},
        "level": "Warning",
        "reason": "BackOff",
        "message": "Back-off restarting failed container",
        "source": {"component": "kubelet", "host": "n1"},
        "firstSeen": "2025-06-01T10:00:00.000000Z",
        "lastSeen": "2025-06-01T10:07:30.000000Z",
        "count": 9,
    }))
}

fn new_watched() -> Value {
    told(json!({
        "service": "queue",
        "namespace": "jobs",
        "uid": "22220000-0001-4c4c-9d9d-000000000001",
        "name": "queue-7d9c5b6f44-vw8xz.17f3",
        "object": {
            "kind": "Pod", "name": "queue-7d9c5b6f44-vw8xz", "namespace": "jobs",
            "uid": "22220000-0002-4c4c-9d9d-000000000002", "apiVersion": "v1",
        },
        "level": "Warning",
        "reason": "FailedScheduling",
        "message": "0/4 nodes are available: 4 Insufficient memory.",
        "action": "Scheduling",
        "source": {"component": "default-scheduler", "instance": "default-scheduler-cp-1"},
        "firstSeen": "2025-08-02T10:00:00.500000Z",
        "lastSeen": "2025-08-02T10:20:00.750000Z",
        "count": 8,
    }))
}

/// The last three lines of the codec's documents: one a line, of both groups.
fn lines() -> Vec<Value> {
    vec![
        told(json!({
            "service": "api",
            "namespace": "shop",
            "uid": "11110000-0001-4a4a-8b8b-000000000001",
            "name": "api-6b7f9c8d5f-k2m4p.17f1",
            "object": {
                "kind": "Pod", "name": "api-6b7f9c8d5f-k2m4p", "namespace": "shop",
                "uid": "11110000-0002-4a4a-8b8b-000000000002", "apiVersion": "v1", "fieldPath": "spec.containers{api}",
            },
            "reason": "Killing",
            "message": "Stopping container api",
            "source": {"component": "kubelet", "host": "node-4"},
            "firstSeen": "2025-08-01T06:00:00.000000Z",
            "lastSeen": "2025-08-01T06:00:00.000000Z",
        })),
        told(json!({
            "service": "api",
            "namespace": "shop",
            "uid": "11110000-0003-4a4a-8b8b-000000000003",
            "name": "api.17f2",
            "object": {
                "kind": "HorizontalPodAutoscaler", "name": "api", "namespace": "shop", "apiVersion": "autoscaling/v2",
            },
            "reason": "SuccessfulRescale",
            "message": "New size: 5; reason: cpu resource utilization above target",
            "action": "Scaling",
            "source": {"component": "horizontal-pod-autoscaler", "instance": "horizontal-pod-autoscaler-cp-2"},
            "firstSeen": "2025-08-01T06:01:00.250000Z",
            "lastSeen": "2025-08-01T06:01:00.250000Z",
        })),
    ]
}

fn exported() -> Value {
    told(json!({
        "service": "billing-worker",
        "clusterId": "paris",
        "namespace": "pay",
        "uid": "f00dcafe-0001-4b7e-9c3d-000000000001",
        "name": "billing-worker-9wzlm.17d0",
        "object": {
            "kind": "Pod", "name": "billing-worker-9wzlm", "namespace": "pay",
            "uid": "f00dcafe-0002-4b7e-9c3d-000000000002", "apiVersion": "v1", "fieldPath": "spec.containers{worker}",
        },
        "level": "Warning",
        "reason": "Unhealthy",
        "message": "Liveness probe failed: HTTP probe failed with statuscode: 503",
        "source": {"component": "kubelet", "host": "node-3", "instance": "node-3"},
        "firstSeen": "2025-07-08T09:10:11.000000Z",
        "lastSeen": "2025-07-08T09:10:11.000000Z",
        "labels": {"app.kubernetes.io/name": "billing-worker", "app": "billing"},
        "owners": [{"kind": "DaemonSet", "name": "billing-worker", "controller": true}],
    }))
}

/// Of the receiver k8s_events.
fn logged() -> Value {
    told(json!({
        "service": "cart",
        "clusterId": "oslo",
        "namespace": "shop",
        "uid": "aa11bb22-0003-4c3d-8e4f-000000000003",
        "name": "cart-5d59d67564-q8r2t.17d1",
        "object": {
            "kind": "Pod", "name": "cart-5d59d67564-q8r2t", "namespace": "shop",
            "uid": "aa11bb22-0001-4c3d-8e4f-000000000001", "apiVersion": "v1", "fieldPath": "spec.containers{cart}",
        },
        "level": "Warning",
        "reason": "BackOff",
        "message": "Back-off pulling image \"cart:9\"",
        "source": {"component": "kubelet", "host": "node-5", "instance": "node-5"},
        "firstSeen": "2025-07-08T09:05:00.000000Z",
        "lastSeen": "2025-07-08T09:10:11.000000Z",
        "count": 17,
    }))
}

/// Of its first versions.
fn logged_of_old() -> Value {
    told(json!({
        "service": "nginx",
        "clusterId": "bonn",
        "namespace": "edge",
        "uid": "0dd0dd00-0001-4a5b-8c6d-000000000001",
        "name": "nginx-7848d4b86f-2jq9v.16d8",
        "object": {
            "kind": "Pod", "name": "nginx-7848d4b86f-2jq9v", "namespace": "edge",
            "uid": "0dd0dd00-0002-4a5b-8c6d-000000000002", "fieldPath": "spec.containers{nginx}",
        },
        "reason": "Started",
        "message": "Started container nginx",
        "source": {"component": "kubelet", "host": "node-2"},
        "firstSeen": "2022-03-01T09:30:00.000000Z",
        "lastSeen": "2022-03-01T09:30:00.000000Z",
    }))
}

/// Of the receiver k8sobjects: watched in the new group, pulled in the old one.
fn objects() -> Vec<Value> {
    vec![
        told(json!({
            "service": "mail",
            "clusterId": "c2c2c2c2-0002-4f6a-9b7c-000000000002",
            "namespace": "office",
            "uid": "bead0000-0001-4f6a-9b7c-000000000001",
            "name": "mail-1.17d2",
            "object": {"kind": "Pod", "name": "mail-1", "namespace": "office", "apiVersion": "v1"},
            "level": "Warning",
            "reason": "FailedAttachVolume",
            "message": "Volume is already exclusively attached to one node",
            "source": {"component": "attachdetach-controller"},
            "firstSeen": "2025-07-08T09:00:00.000000Z",
            "lastSeen": "2025-07-08T09:10:00.000000Z",
            "count": 6,
        })),
        told(json!({
            "service": "post",
            "namespace": "office",
            "uid": "derived:default/office/post-0.17d3",
            "name": "post-0.17d3",
            "object": {"kind": "Pod", "name": "post-0"},
            "reason": "Created",
            "message": "Created container",
            "firstSeen": "2025-07-08T09:00:00.000000Z",
            "lastSeen": "2025-07-08T09:00:30.000000Z",
            "count": 2,
            "labels": {"k8s.statefulset.name": "post", "service.name": "unknown_service:otelcol"},
        })),
    ]
}

/// The other way round.
fn more_objects() -> Vec<Value> {
    vec![
        told(json!({
            "service": "ingest-28",
            "clusterId": "lima",
            "namespace": "data",
            "uid": "33330000-0001-4e4e-8f8f-000000000001",
            "name": "ingest-28.17f4",
            "object": {
                "kind": "Job", "name": "ingest-28", "namespace": "data",
                "uid": "33330000-0002-4e4e-8f8f-000000000002", "apiVersion": "batch/v1",
            },
            "level": "Warning",
            "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
            "source": {"component": "job-controller"},
            "firstSeen": "2025-08-03T05:00:00.000000Z",
            "lastSeen": "2025-08-03T05:30:00.000000Z",
            "count": 3,
        })),
        told(json!({
            "service": "store",
            "clusterId": "lima",
            "namespace": "data",
            "uid": "33330000-0003-4e4e-8f8f-000000000003",
            "name": "store-0.17f5",
            "object": {
                "kind": "Pod", "name": "store-0", "namespace": "data", "apiVersion": "v1",
                "fieldPath": "spec.containers{store}",
            },
            "reason": "Started",
            "message": "Started container store",
            "action": "Starting",
            "source": {"component": "kubelet", "instance": "node-6"},
            "firstSeen": "2025-08-03T05:05:00.000125Z",
            "lastSeen": "2025-08-03T05:05:00.000125Z",
        })),
    ]
}

/// What the records of a fixture that are no events are answered.
fn in_part() -> Value {
    let message = "log records that are no Kubernetes events: 2; send only those of the receivers k8s_events and \
                   k8sobjects here";
    json!({"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": message}})
}

fn sources() -> Vec<Source> {
    let k8s = |project, path, body: Vec<u8>, accepted: usize, events| Source {
        project,
        path,
        headers: Vec::new(),
        body,
        answer: Some(json!({"accepted": accepted})),
        events,
    };
    let json = |project, path, name, answer, events| Source {
        project,
        path,
        headers: vec![JSON],
        body: fixture(name),
        answer: Some(answer),
        events,
    };
    // As the Collector's exporter sends it.
    let proto = |project, path, name, events| Source {
        project,
        path,
        headers: vec![PROTO, ("content-encoding", "gzip")],
        body: gzip(&proto(&fixture(name))),
        answer: None,
        events,
    };
    let all_ok = || json!({});
    let as_list =
        [b"[".to_vec(), fixture("core-v1-event.json"), b",".to_vec(), fixture("core-v1-list.json"), b"]".to_vec()];
    let of_cluster = |event: &Value, cluster: &str| {
        let mut event = event.clone();
        event["clusterId"] = cluster.into();
        event
    };
    let list_with_event = std::iter::once(of_cluster(&core_event(), "default")).chain(core_list()).collect();
    vec![
        k8s("core", "/api/v1/k8s/events?clusterId=cls-7ph3twqe", fixture("core-v1-event.json"), 1, vec![core_event()]),
        k8s("core-list", K8S, fixture("core-v1-list.json"), 3, core_list()),
        k8s("array", K8S, as_list.concat(), 4, list_with_event),
        k8s("new-list", K8S, fixture("events-k8s-io-v1.json"), 2, new_list()),
        k8s("watch", "/api/v1/k8s/events?clusterId=kyoto", fixture("watch.ndjson"), 2, vec![watched()]),
        k8s("new-watch", K8S, fixture("events-k8s-io-v1-watch.ndjson"), 2, vec![new_watched()]),
        k8s("lines", K8S, fixture("events.ndjson"), 2, lines()),
        // The event's own cluster goes before the request's.
        k8s("exporter", "/api/v1/k8s/events?clusterId=kyoto", fixture("exporter.json"), 1, vec![exported()]),
        json("logs-json", LOGS, "otlp-k8s-events.json", all_ok(), vec![logged()]),
        proto("logs-proto", LOGS, "otlp-k8s-events.json", vec![logged()]),
        json("old-json", "/v1/logs?clusterId=bonn", "otlp-k8s-events-old.json", all_ok(), vec![logged_of_old()]),
        proto("old-proto", "/v1/logs?clusterId=bonn", "otlp-k8s-events-old.json", vec![logged_of_old()]),
        json("objects-json", LOGS, "otlp-k8sobjects.json", in_part(), objects()),
        proto("objects-proto", LOGS, "otlp-k8sobjects.json", objects()),
        json("more-objects-json", LOGS, "otlp-k8sobjects-groups.json", all_ok(), more_objects()),
        proto("more-objects-proto", LOGS, "otlp-k8sobjects-groups.json", more_objects()),
    ]
}

fn check(client: &mut Client, sources: &[Source], when: &str) {
    for source in sources {
        let mut wanted = source.events.clone();
        wanted.sort_by_key(|event| format!("{} {}", event["clusterId"], event["uid"]));
        let found = all(client, source.project);
        assert_eq!(found.len(), wanted.len(), "{when}, {}: {found:?}", source.project);
        for (found, wanted) in found.iter().zip(&wanted) {
            for (field, value) in wanted.as_object().unwrap() {
                assert_eq!(&found[field], value, "{when}, {}: {field} of {found}", source.project);
            }
            assert_eq!(found, wanted, "{when}, {}", source.project);
        }
    }
}

#[test]
fn each_field_of_what_each_collector_sends_is_told_from_memory_from_the_table_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--projects", "isolated"];
    let server = Server::start_with(dir.path(), &arguments);
    let sources = sources();
    let mut client = server.connect();
    for source in &sources {
        let headers: Vec<_> = source.headers.iter().copied().chain([("x-scope-orgid", source.project)]).collect();
        let answer = client.send("POST", source.path, &headers, &source.body);
        assert_eq!(answer.status, 200, "{}: {answer:?}", source.project);
        if let Some(wanted) = &source.answer {
            assert_eq!(&answer.json(), wanted, "{}", source.project);
        }
    }
    check(&mut client, &sources, "in memory");
    server.kill();
    let server = Server::start_with(dir.path(), &arguments);
    let mut client = server.connect();
    check(&mut client, &sources, "after a kill");
    assert_eq!(client.send("POST", "/admin/flush", &[], b"").status, 200);
    check(&mut client, &sources, "in the table");
    server.kill();
    let server = Server::start_with(dir.path(), &arguments);
    check(&mut server.connect(), &sources, "in the table after a kill");
}

/// A watch that ends says why: whoever forwards it is told, and nothing of the body is kept.
#[test]
fn a_watch_that_expired_is_refused_with_the_api_servers_words() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let refused = client.send("POST", K8S, &[], &fixture("watch-expired.ndjson"));
    let message = "too old resource version: 4711 (12746)\n\
                   document 2 at line 2, $: the watch ended with this: begin it anew, and send what it brings";
    assert_eq!((refused.status, refused.json()), (400, status(400, "BadRequest", message)));
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
}
