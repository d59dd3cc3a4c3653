//! What collectors send, field by field, and what is refused.

use super::*;
use crate::model::event::{Object, Owner, Source, service, settle};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::json;

mod bounds;

const CORE: &str = include_str!("../../../fixtures/events/core-v1-event.json");
const CORE_LIST: &str = include_str!("../../../fixtures/events/core-v1-list.json");
const NEW_LIST: &str = include_str!("../../../fixtures/events/events-k8s-io-v1.json");
const WATCH: &str = include_str!("../../../fixtures/events/watch.ndjson");
const EXPIRED: &str = include_str!("../../../fixtures/events/watch-expired.ndjson");
const EXPORTER: &str = include_str!("../../../fixtures/events/exporter.json");

const ALL: [&str; 6] = [CORE, CORE_LIST, NEW_LIST, WATCH, EXPIRED, EXPORTER];

fn read(body: &str) -> Vec<Event<'_>> {
    decode(body.as_bytes(), None, &Limits::default()).unwrap()
}

fn refused(body: &str) -> String {
    decode(body.as_bytes(), None, &Limits::default()).unwrap_err().to_string()
}

/// Microseconds of a time.
fn at(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn blank() -> Event<'static> {
    Event {
        cluster: "default".into(),
        namespace: "default".into(),
        uid: "".into(),
        name: "".into(),
        object: Object::default(),
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

#[test]
fn an_event_of_core_v1_is_read_field_by_field() {
    let wanted = Event {
        cluster: "default".into(),
        namespace: "default".into(),
        uid: "16a7f1de-a589-11e6-9c3f-5254006f1f0b".into(),
        name: "frontend-542052039-h2yj8.148502c2f9f4e0b3".into(),
        object: Object {
            kind: "Pod".into(),
            namespace: "default".into(),
            name: "frontend-542052039-h2yj8".into(),
            uid: "0b3e1c52-a589-11e6-9c3f-5254006f1f0b".into(),
            api_version: "v1".into(),
            field_path: "spec.containers{php-redis}".into(),
        },
        level: "Warning".into(),
        reason: "FailedSync".into(),
        message: "Error syncing pod, skipping: failed to \"StartContainer\" for \"php-redis\" with ImagePullBackOff: \
                  \"Back-off pulling image \\\"gcr.io/google-samples/gb-frontend:v5\\\"\"\n"
            .into(),
        action: "".into(),
        source: Source { component: "kubelet".into(), host: "10.0.0.17".into(), instance: "10.0.0.17".into() },
        first_seen: at("2016-11-08T08:15:15Z"),
        last_seen: at("2016-11-09T08:59:56Z"),
        count: 6530,
        labels: Vec::new(),
        owners: Vec::new(),
    };
    assert_eq!(read(CORE), std::slice::from_ref(&wanted));
    assert_eq!(service::of(&wanted), Some("frontend"));
}

#[test]
fn a_list_holds_events_with_and_without_their_kind_and_falls_back_where_the_recorder_left_fields_out() {
    let deployment = Event {
        namespace: "shop".into(),
        uid: "5a6e2f10-0001-4d1c-8a53-000000000001".into(),
        name: "checkout.17a0b2c4d5e6f708".into(),
        object: Object {
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: "checkout".into(),
            api_version: "apps/v1".into(),
            ..Object::default()
        },
        reason: "ScalingReplicaSet".into(),
        message: "Scaled up replica set checkout-7c9d4b5f6d to 3".into(),
        source: Source { component: "deployment-controller".into(), ..Source::default() },
        first_seen: at("2024-05-06T07:08:09Z"),
        last_seen: at("2024-05-06T07:08:09Z"),
        ..blank()
    };
    // The scheduler writes with the new recorder: no times but eventTime and those of the series.
    let pod = Event {
        namespace: "shop".into(),
        uid: "5a6e2f10-0002-4d1c-8a53-000000000002".into(),
        name: "checkout-7c9d4b5f6d-x7k2p.17a0b2c4d5e6f709".into(),
        object: Object {
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "checkout-7c9d4b5f6d-x7k2p".into(),
            uid: "77e0a1b2-0003-4d1c-8a53-000000000003".into(),
            api_version: "v1".into(),
            field_path: "".into(),
        },
        level: "Warning".into(),
        reason: "FailedScheduling".into(),
        message: "0/3 nodes are available: 3 Insufficient cpu.".into(),
        action: "Scheduling".into(),
        source: Source {
            component: "default-scheduler".into(),
            host: "".into(),
            instance: "default-scheduler-cp-1".into(),
        },
        first_seen: at("2024-05-06T07:08:10.123456Z"),
        last_seen: at("2024-05-06T07:12:10.654321Z"),
        count: 4,
        ..blank()
    };
    // Nothing but the time of creation, and no uid.
    let node = Event {
        uid: "derived:default/default/node-1.17a0b2c4d5e6f70a".into(),
        name: "node-1.17a0b2c4d5e6f70a".into(),
        object: Object { kind: "Node".into(), name: "node-1".into(), uid: "node-1".into(), ..Object::default() },
        level: "Warning".into(),
        reason: "NodeHasDiskPressure".into(),
        message: "Node node-1 status is now: NodeHasDiskPressure".into(),
        source: Source { component: "kubelet".into(), host: "node-1".into(), instance: "".into() },
        first_seen: at("2024-05-06T07:00:00Z"),
        last_seen: at("2024-05-06T07:00:00Z"),
        ..blank()
    };
    let wanted = [deployment, pod, node];
    assert_eq!(read(CORE_LIST), wanted);
    assert_eq!(wanted.each_ref().map(|event| service::of(event)), [Some("checkout"), Some("checkout"), None]);
}

#[test]
fn events_of_the_new_group_are_read_by_their_own_names_and_by_the_deprecated_ones() {
    let pod = |uid, field_path| Object {
        kind: "Pod".into(),
        namespace: "cache".into(),
        name: "redis-0".into(),
        uid,
        api_version: "v1".into(),
        field_path,
    };
    let series = Event {
        namespace: "cache".into(),
        uid: "9d1f0b7a-0001-4e9e-b1f3-000000000001".into(),
        name: "redis-0.17b1c2d3e4f50617".into(),
        object: pod("c0ffee00-0002-4e9e-b1f3-000000000002".into(), "spec.containers{redis}".into()),
        level: "Warning".into(),
        reason: "Unhealthy".into(),
        message: "Readiness probe failed: dial tcp 10.1.2.3:6379: connect: connection refused".into(),
        action: "Probing".into(),
        source: Source { component: "kubelet".into(), host: "".into(), instance: "node-7".into() },
        first_seen: at("2025-02-03T04:05:06.789012Z"),
        last_seen: at("2025-02-03T04:35:06.000001Z"),
        count: 12,
        ..blank()
    };
    let deprecated = Event {
        namespace: "cache".into(),
        uid: "9d1f0b7a-0003-4e9e-b1f3-000000000003".into(),
        name: "redis-0.17b1c2d3e4f50618".into(),
        object: pod("".into(), "".into()),
        reason: "Pulled".into(),
        message: "Container image \"redis:7\" already present on machine".into(),
        source: Source { component: "kubelet".into(), host: "node-7".into(), instance: "".into() },
        first_seen: at("2025-02-03T04:00:00Z"),
        last_seen: at("2025-02-03T04:05:00Z"),
        count: 3,
        ..blank()
    };
    let wanted = [series, deprecated];
    assert_eq!(read(NEW_LIST), wanted);
    assert_eq!(wanted.each_ref().map(|event| service::of(event)), [Some("redis"), Some("redis")]);
}

#[test]
fn frames_of_a_watch_bring_additions_and_updates_and_no_more() {
    let added = Event {
        namespace: "prod".into(),
        uid: "e1".into(),
        name: "web-0.17c0".into(),
        object: Object { kind: "Pod".into(), namespace: "prod".into(), name: "web-0".into(), ..Object::default() },
        level: "Warning".into(),
        reason: "BackOff".into(),
        message: "Back-off restarting failed container".into(),
        source: Source { component: "kubelet".into(), host: "n1".into(), instance: "".into() },
        first_seen: at("2025-06-01T10:00:00Z"),
        last_seen: at("2025-06-01T10:00:00Z"),
        ..blank()
    };
    let modified = Event { last_seen: at("2025-06-01T10:07:30Z"), count: 9, ..added.clone() };
    let mut events = read(WATCH);
    assert_eq!(events, [added, modified.clone()]);
    settle(&mut events);
    assert_eq!(events, [modified]);
}

#[test]
fn a_watch_that_ended_with_an_error_is_refused_with_the_api_servers_words() {
    assert_eq!(
        refused(EXPIRED),
        "too old resource version: 4711 (12746)\n\
         document 2 at line 2, $: the watch ended with this: begin it anew, and send what it brings"
    );
}

#[test]
fn kubernetes_event_exporter_adds_the_cluster_and_the_objects_labels_and_owners() {
    let wanted = Event {
        cluster: "paris".into(),
        namespace: "pay".into(),
        uid: "f00dcafe-0001-4b7e-9c3d-000000000001".into(),
        name: "billing-worker-9wzlm.17d0".into(),
        object: Object {
            kind: "Pod".into(),
            namespace: "pay".into(),
            name: "billing-worker-9wzlm".into(),
            uid: "f00dcafe-0002-4b7e-9c3d-000000000002".into(),
            api_version: "v1".into(),
            field_path: "spec.containers{worker}".into(),
        },
        level: "Warning".into(),
        reason: "Unhealthy".into(),
        message: "Liveness probe failed: HTTP probe failed with statuscode: 503".into(),
        action: "".into(),
        source: Source { component: "kubelet".into(), host: "node-3".into(), instance: "node-3".into() },
        first_seen: at("2025-07-08T09:10:11Z"),
        last_seen: at("2025-07-08T09:10:11Z"),
        count: 1,
        labels: vec![("app.kubernetes.io/name", "billing-worker".into()), ("app", "billing".into())],
        owners: vec![Owner { kind: "DaemonSet".into(), name: "billing-worker".into(), controller: true }],
    };
    assert_eq!(read(EXPORTER), std::slice::from_ref(&wanted));
    assert_eq!(service::of(&wanted), Some("billing-worker"));
    // Elasticsearch takes a dot in a key for a path; so the exporter can be told to write none.
    assert_eq!(read(&EXPORTER.replace("app.kubernetes.io/name", "app_kubernetes_io/name")), [wanted]);
}

#[test]
fn the_same_events_come_in_any_envelope() {
    let wanted = read(EXPORTER);
    let line = EXPORTER.trim();
    let envelopes = [
        format!("[{line}]"),
        format!(" \n\t{line}"),
        format!(r#"{{"items":[{line}],"kind":"EventList"}}"#),
        format!(r#"{{"kind":"List","items":[{line}]}}"#),
        format!(r#"[{{"items":[{line}]}},{{"items":null}},[]]"#),
        format!(r#"{{"object":{line},"type":"MODIFIED"}}"#),
        format!(r#"[{{"type":"ADDED","object":{line}}},{{"type":"DELETED","object":{line}}}]"#),
        format!("{{\"type\":\"BOOKMARK\",\"object\":{{}}}}\r\n\r\n{line}\r\n"),
    ];
    for body in envelopes {
        assert_eq!(read(&body), wanted, "{body}");
    }
    for body in ["", " \n ", "[]", r#"{"kind":"EventList"}"#, r#"{"kind":"List","items":null}"#, "[]\n[]"] {
        assert_eq!(read(body), [], "{body}");
    }
    let twice: Vec<Event<'_>> = wanted.iter().chain(&wanted).cloned().collect();
    assert_eq!(read(&format!("{line}\n{line}")), twice);
}

/// An event about nothing much, with the fields of `more` besides.
fn with(more: serde_json::Value) -> String {
    let mut event = json!({"involvedObject": {}, "metadata": {"uid": "u"}});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event.to_string()
}

#[test]
fn times_fall_back_in_the_documented_order() {
    let hour = |hour: u32| format!("2025-01-01T{hour:02}:00:00Z");
    let fields = json!({
        "firstTimestamp": hour(1), "deprecatedFirstTimestamp": hour(2), "eventTime": hour(3),
        "metadata": {"uid": "u", "creationTimestamp": hour(4)},
        "lastTimestamp": hour(9), "series": {"lastObservedTime": hour(8)}, "deprecatedLastTimestamp": hour(7),
    });
    let table = [
        (vec![], 1, 9),
        (vec!["firstTimestamp"], 2, 9),
        (vec!["firstTimestamp", "deprecatedFirstTimestamp"], 3, 9),
        (vec!["firstTimestamp", "deprecatedFirstTimestamp", "eventTime"], 4, 9),
        (vec!["firstTimestamp", "deprecatedFirstTimestamp", "eventTime", "metadata"], 9, 9),
        (vec!["lastTimestamp"], 1, 8),
        (vec!["lastTimestamp", "series"], 1, 7),
        (vec!["lastTimestamp", "series", "deprecatedLastTimestamp"], 1, 3),
        (vec!["lastTimestamp", "series", "deprecatedLastTimestamp", "eventTime"], 1, 4),
        (vec!["lastTimestamp", "series", "deprecatedLastTimestamp", "eventTime", "metadata"], 1, 1),
        // Created after it happened: a first time is never after the last.
        (
            vec!["firstTimestamp", "deprecatedFirstTimestamp", "lastTimestamp", "series", "deprecatedLastTimestamp"],
            3,
            3,
        ),
    ];
    for (without, first, last) in table {
        for null in [json!(null), json!("0001-01-01T00:00:00Z"), json!("")] {
            let mut event = fields.clone();
            for field in &without {
                let of_object = ["metadata", "series"].contains(field);
                event[field] = if of_object { json!(null) } else { null.clone() };
            }
            let body = with(event);
            let events = read(&body);
            let seen: Vec<_> = events.iter().map(|event| (event.first_seen, event.last_seen)).collect();
            assert_eq!(seen, [(at(&hour(first)), at(&hour(last)))], "without {without:?}");
        }
    }
    let late = with(json!({"firstTimestamp": hour(5), "lastTimestamp": hour(4)}));
    let late = read(&late);
    assert_eq!((late[0].first_seen, late[0].last_seen), (at(&hour(4)), at(&hour(4))));
}

#[test]
fn counts_fall_back_in_the_documented_order() {
    let table = [
        (json!({"count": 3, "series": {"count": 5}}), 5),
        (json!({"count": 7, "series": {"count": 5}, "deprecatedCount": 9}), 7),
        (json!({"count": 7}), 7),
        (json!({"count": 7.0}), 7),
        (json!({"count": 0}), 1),
        (json!({"count": -4}), 1),
        (json!({"count": 0, "series": {"count": 2}}), 2),
        (json!({"series": {"count": 5}, "deprecatedCount": 9}), 5),
        (json!({"deprecatedCount": 9}), 9),
        (json!({"deprecatedCount": 0}), 1),
        (json!({"count": null, "series": null, "deprecatedCount": null}), 1),
        (json!({}), 1),
        (json!({"count": i64::MAX}), i64::MAX),
    ];
    for (fields, wanted) in table {
        let mut fields = fields;
        fields["eventTime"] = json!("2025-01-01T00:00:00Z");
        let body = with(fields);
        assert_eq!(read(&body)[0].count, wanted, "{body}");
    }
}

#[test]
fn cluster_and_namespace_are_the_payloads_before_the_requests() {
    let time = "2025-01-01T00:00:00Z";
    let table = [
        (json!({"clusterName": "own"}), Some("asked"), ("own", "default")),
        (json!({"clusterName": ""}), Some("asked"), ("asked", "default")),
        (json!({"clusterName": null}), None, ("default", "default")),
        (json!({"metadata": {"namespace": "m"}}), None, ("default", "m")),
        (json!({"metadata": {"namespace": "m"}, "involvedObject": {"namespace": "o"}}), None, ("default", "o")),
        (json!({"metadata": {"namespace": "m"}, "regarding": {"namespace": "r"}}), None, ("default", "m")),
        (json!({"involvedObject": null, "regarding": {"namespace": "r"}}), None, ("default", "r")),
    ];
    for (mut fields, cluster, wanted) in table {
        fields["eventTime"] = json!(time);
        let body = with(fields);
        let events = decode(body.as_bytes(), cluster, &Limits::default()).unwrap();
        assert_eq!((events[0].cluster.as_ref(), events[0].namespace.as_ref()), wanted, "{body}");
    }
}

#[test]
fn labels_of_the_object_go_before_those_of_the_event() {
    let body = with(json!({
        "involvedObject": {"labels": {"app": "object", "tier": "x", "k8s-app": ""}},
        "metadata": {"uid": "u", "labels": {"app": "event", "qcloud-app": "event", "k8s-app": "event"}},
        "eventTime": "2025-01-01T00:00:00Z",
    }));
    let wanted: [(&str, Cow<'_, str>); 3] =
        [("k8s-app", "event".into()), ("qcloud-app", "event".into()), ("app", "object".into())];
    assert_eq!(read(&body)[0].labels, wanted);
}

#[test]
fn a_derived_uid_is_the_same_for_resends_and_for_nothing_else() {
    let uid = |more: serde_json::Value| {
        let mut event = json!({
            "involvedObject": {"kind": "Pod", "name": "web-0", "namespace": "n"},
            "reason": "BackOff", "message": "m", "firstTimestamp": "2025-01-01T00:00:00Z",
        });
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&event.to_string())[0].uid.clone().into_owned()
    };
    let plain = uid(json!({}));
    let hash = plain.strip_prefix("derived:default/n/").unwrap();
    assert_eq!(hash.len(), 32);
    assert!(hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)), "{hash}");
    let resend = json!({
        "count": 5, "lastTimestamp": "2025-01-02T00:00:00Z", "metadata": {"resourceVersion": "9"},
        "source": {"host": "n2"},
    });
    assert_eq!(uid(resend), plain);
    let others = [
        json!({"reason": "Failed"}),
        json!({"message": "n"}),
        json!({"type": "Warning"}),
        json!({"firstTimestamp": "2025-01-01T00:00:01Z"}),
        json!({"source": {"component": "kubelet"}}),
        json!({"involvedObject": {"kind": "Pod", "name": "web-1", "namespace": "n"}}),
        json!({"involvedObject": {"kind": "Pod", "name": "web-0", "namespace": "o"}}),
        json!({"clusterName": "c"}),
    ];
    let mut uids: Vec<_> = others.iter().cloned().map(uid).collect();
    uids.push(plain);
    uids.sort();
    uids.dedup();
    assert_eq!(uids.len(), others.len() + 1);
    assert_eq!(uid(json!({"clusterName": "c", "metadata": {"name": "web-0.17"}})), "derived:c/n/web-0.17");
}

#[test]
fn null_anywhere_is_as_good_as_nothing() {
    fn nulled(value: &serde_json::Value, steps: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        let serde_json::Value::Object(fields) = value else { return };
        for (key, value) in fields {
            steps.push(key.clone());
            found.push(steps.clone());
            nulled(value, steps, found);
            steps.pop();
        }
    }
    for body in [CORE, EXPORTER] {
        let whole: serde_json::Value = serde_json::from_str(body).unwrap();
        let mut paths = Vec::new();
        nulled(&whole, &mut Vec::new(), &mut paths);
        assert!(paths.len() > 25, "{}", paths.len());
        for path in paths {
            let (last, outer) = path.split_last().unwrap();
            let mut null = whole.clone();
            let mut absent = whole.clone();
            for (value, is_null) in [(&mut null, true), (&mut absent, false)] {
                let inner = outer.iter().fold(value, |value, step| &mut value[step]);
                if is_null {
                    inner[last] = json!(null);
                } else {
                    inner.as_object_mut().unwrap().remove(last);
                }
            }
            let (null, absent) = (null.to_string(), absent.to_string());
            let decode = |body: &str| {
                decode(body.as_bytes(), None, &Limits::default())
                    .map(|events| events.into_iter().map(Event::into_owned).collect::<Vec<_>>())
            };
            assert_eq!(decode(&null), decode(&absent), "{path:?}");
        }
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_send_instead() {
    let text = "send a text here, or leave it out";
    let object = "send an object here, or leave it out";
    let go = |got: &str, field: &str, want: &str| {
        format!("json: cannot unmarshal {got} into Go struct field Event.{field} of type {want}")
    };
    let wrong = |got, field: &str, want, remedy: &str| format!("{}\n$.{field}: {remedy}", go(got, field, want));
    let table: Vec<(&str, String)> =
        vec![
        (r#"{"involvedObject":{"kind":5}}"#, wrong("number", "involvedObject.kind", "string", text)),
        (r#"{"involvedObject":{},"regarding":7}"#, "lastTimestamp: Required value\n$.lastTimestamp: an event has a \
            time at least: lastTimestamp, eventTime or metadata.creationTimestamp".to_owned()),
        (r#"{"regarding":7}"#, wrong("number", "regarding", "v1.ObjectReference", object)),
        (r#"{"involvedObject":"pod"}"#, wrong("string", "involvedObject", "v1.ObjectReference", object)),
        (r#"{"metadata":[]}"#, wrong("array", "metadata", "v1.ObjectMeta", object)),
        (r#"{"metadata":{"creationTimestamp":1}}"#, wrong("number", "metadata.creationTimestamp", "string", text)),
        (r#"{"involvedObject":{},"reason":true,"eventTime":"2025-01-01T00:00:00Z"}"#,
            wrong("bool", "reason", "string", text)),
        (r#"{"involvedObject":{},"count":"3"}"#,
            wrong("string", "count", "int32", "send a whole number here, or leave it out")),
        (r#"{"involvedObject":{},"count":1.5}"#,
            wrong("number", "count", "int32", "send a whole number here, or leave it out")),
        (r#"{"involvedObject":{},"series":{"count":99999999999999999999}}"#,
            wrong("number", "series.count", "int32", "send a whole number here, or leave it out")),
        (r#"{"involvedObject":{"labels":{"app":1}}}"#, wrong("number", "involvedObject.labels.app", "string", text)),
        (r#"{"involvedObject":{"ownerReferences":[{"name":"x"},{"controller":"yes"}]}}"#,
            wrong("string", "involvedObject.ownerReferences[1].controller", "bool",
                "send true or false here, or leave it out")),
        (r#"{"involvedObject":{"ownerReferences":{}}}"#,
            wrong("object", "involvedObject.ownerReferences", "[]v1.OwnerReference",
                "send a list here, or leave it out")),
        (r#"{"items":{}}"#, wrong("object", "items", "[]v1.Event", "send a list here, or leave it out")),
        (r#"{"items":[{"involvedObject":{}},3]}"#, "lastTimestamp: Required value\n$.items[0].lastTimestamp: an event \
            has a time at least: lastTimestamp, eventTime or metadata.creationTimestamp".to_owned()),
        (r#"[[{"type":"ADDED","object":{"involvedObject":[]}}]]"#,
            format!("{}\n$[0][0].object.involvedObject: {object}",
                go("array", "object.involvedObject", "v1.ObjectReference"))),
        (r#"{"involvedObject":{},"lastTimestamp":"yesterday"}"#, "parsing time \"yesterday\" as \
            \"2006-01-02T15:04:05Z07:00\"\n$.lastTimestamp: send a time as RFC 3339 writes it, as in \
            2016-11-08T16:15:15Z, or leave it out".to_owned()),
        (r#"{"involvedObject":{},"eventTime":"9999-01-01T00:00:00Z"}"#, "eventTime: Invalid value: no time of the \
            calendar\n$.eventTime: send a time from the year 1 to 9998".to_owned()),
        ("{}", "involvedObject: Required value\n$.involvedObject: an event says what it is about: kind, namespace and \
            name".to_owned()),
        ("5", format!("json: cannot unmarshal number into Go value of type v1.Event\n$: {object}")),
        ("true", format!("json: cannot unmarshal bool into Go value of type v1.Event\n$: {object}")),
        (r#"["x"]"#, format!("json: cannot unmarshal string into Go value of type v1.Event\n$[0]: {object}")),
        ("[null]", "json: cannot unmarshal null into Go value of type v1.Event\n$[0]: send an event here, or leave it \
            out".to_owned()),
        ("[]\n\n{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}", "Pod in version \"v1\" cannot be handled as a Event\n\
            document 2 at line 3, $.kind: send events, of v1 or of events.k8s.io/v1".to_owned()),
        (r#"{"type":"FOO","object":{}}"#, "type: Unsupported value: \"FOO\"\n$.type: a frame of a watch is ADDED, \
            MODIFIED, DELETED, BOOKMARK or ERROR".to_owned()),
        (r#"{"type":"ERROR","object":{}}"#, "an error occurred on the server\n$: the watch ended with this: begin it \
            anew, and send what it brings".to_owned()),
        (r#"{"kind":"Status","message":"events is forbidden"}"#, "events is forbidden\n$: this is an answer of the API \
            server: send events".to_owned()),
        (r#"{"kind":"#, "couldn't get version/kind; json parse error: unexpected end of JSON input\n$.kind, line 1 \
            column 8: the body breaks off here: send the whole of it".to_owned()),
        ("[{\"kind\":\"Event\",}]", "couldn't get version/kind; json parse error: trailing comma\n$[0], line 1 \
            column 18: send an event, a List of events, or one after the other, as JSON".to_owned()),
        ("[]\nkind: Event", "couldn't get version/kind; json parse error: expected value\ndocument 2 at line 2, $, \
            line 2 column 1: send an event, a List of events, or one after the other, as JSON".to_owned()),
        ("[] nonsense", "couldn't get version/kind; json parse error: expected ident\ndocument 2 at line 1, $, \
            line 1 column 5: send an event, a List of events, or one after the other, as JSON".to_owned()),
        ("[]\n[] {\n\"kind\":", "couldn't get version/kind; json parse error: unexpected end of JSON input\n\
            document 3 at line 2, $.kind, line 3 column 7: the body breaks off here: send the whole of it".to_owned()),
    ];
    for (body, wanted) in table {
        assert_eq!(refused(body), wanted, "{body}");
    }
    let error = decode(b"[{\"kind\":\"\xff\"}]", None, &Limits::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid UTF-8 in JSON\nbyte 10: 0xff begins no UTF-8 character: encode the body in UTF-8"
    );
}

/// One event whose text was cut in the middle of a character would otherwise hold up all that are sent with it.
#[test]
fn half_a_surrogate_pair_is_a_replacement_character_and_a_byte_order_mark_is_nothing() {
    let event = |note: &str| format!(r#"{{"regarding":{{}},"eventTime":"2025-01-01T00:00:00Z","note":"{note}"}}"#);
    let notes = [(r"\ud800x", "\u{fffd}x"), (r"\uDC00\ud83d", "\u{fffd}\u{fffd}"), (r"\ud83d\ude00", "😀"), ("é", "é")];
    let items: Vec<String> = notes.iter().map(|(sent, _)| event(sent)).collect();
    let wanted: Vec<&str> = notes.iter().map(|(_, wanted)| *wanted).collect();
    for mark in ["", "\u{feff}"] {
        let body = format!(r#"{mark}{{"items":[{}]}}"#, items.join(","));
        let events = read(&body);
        assert_eq!(events.iter().map(|event| event.message.as_ref()).collect::<Vec<_>>(), wanted);
    }
    // What else is wrong is told as ever.
    let body = format!("[{},{{}}]", event(r"\ud800x"));
    assert_eq!(
        refused(&body),
        "involvedObject: Required value\n$[1].involvedObject: an event says what it is about: kind, namespace and name"
    );
    assert_eq!(read("\u{feff}"), []);
}

#[test]
fn a_body_that_breaks_off_anywhere_is_refused() {
    for body in ALL {
        let body = body.trim_end();
        for end in 1..body.len() {
            let head = &body.as_bytes()[..end];
            let read = decode(head, None, &Limits::default());
            // Whole lines of several are whole documents.
            let is_whole = (body.as_bytes()[end] == b'\n' || head.ends_with(b"\n")) && body.starts_with("{\"type\"");
            assert!(read.is_err() || is_whole, "{end}: {read:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(12), ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(
        body in proptest::sample::select(ALL.to_vec()),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = body.as_bytes().to_vec();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(events) = decode(&bytes, None, &Limits::default()) {
            for event in events {
                prop_assert!(!event.uid.is_empty() && event.count > 0 && event.first_seen <= event.last_seen);
            }
        }
    }
}
