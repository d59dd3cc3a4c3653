//! How an event is written: each field of the model under a name of its own, texts that are not known as empty ones,
//! times as RFC 3339 has them, with microseconds, in UTC.

use crate::model::ServiceEvent;
use crate::model::event::{Counted, Owner};
use chrono::{DateTime, SecondsFormat};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// An event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told<'e> {
    service: Option<&'e str>,
    cluster_id: &'e str,
    namespace: &'e str,
    uid: &'e str,
    name: &'e str,
    object: Object<'e>,
    level: &'e str,
    reason: &'e str,
    message: &'e str,
    action: &'e str,
    source: Source<'e>,
    #[serde(serialize_with = "time")]
    first_seen: i64,
    #[serde(serialize_with = "time")]
    last_seen: i64,
    count: i64,
    #[serde(serialize_with = "labels")]
    labels: &'e [(&'static str, Cow<'e, str>)],
    #[serde(serialize_with = "owners")]
    owners: &'e [Owner<'e>],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'e> {
    kind: &'e str,
    name: &'e str,
    namespace: &'e str,
    uid: &'e str,
    api_version: &'e str,
    field_path: &'e str,
}

#[derive(Serialize)]
struct Source<'e> {
    component: &'e str,
    host: &'e str,
    instance: &'e str,
}

#[derive(Serialize)]
struct ToldOwner<'e> {
    kind: &'e str,
    name: &'e str,
    controller: bool,
}

impl<'e> Told<'e> {
    pub(super) fn of(told: &'e ServiceEvent<'_>) -> Self {
        let ServiceEvent { service, event } = told;
        Told {
            service: service.as_deref(),
            cluster_id: &event.cluster,
            namespace: &event.namespace,
            uid: &event.uid,
            name: &event.name,
            object: Object {
                kind: &event.object.kind,
                name: &event.object.name,
                namespace: &event.object.namespace,
                uid: &event.object.uid,
                api_version: &event.object.api_version,
                field_path: &event.object.field_path,
            },
            level: &event.level,
            reason: &event.reason,
            message: &event.message,
            action: &event.action,
            source: Source {
                component: &event.source.component,
                host: &event.source.host,
                instance: &event.source.instance,
            },
            first_seen: event.first_seen,
            last_seen: event.last_seen,
            count: event.count,
            labels: &event.labels,
            owners: &event.owners,
        }
    }
}

/// What happened to an object, however many events told of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToldTogether<'e> {
    service: Option<&'e str>,
    cluster_id: &'e str,
    namespace: &'e str,
    object: ObjectInShort<'e>,
    level: &'e str,
    reason: &'e str,
    message: &'e str,
    #[serde(serialize_with = "time")]
    first_seen: i64,
    #[serde(serialize_with = "time")]
    last_seen: i64,
    count: i64,
    event_count: usize,
}

#[derive(Serialize)]
struct ObjectInShort<'e> {
    kind: &'e str,
    name: &'e str,
}

/// Where things happened, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Scene<'e> {
    pub(super) cluster: &'e str,
    pub(super) namespace: &'e str,
    pub(super) service: Option<&'e str>,
}

impl<'e> ToldTogether<'e> {
    pub(super) fn of(scene: Scene<'e>, counted: &Counted<'e>, event_count: usize) -> Self {
        ToldTogether {
            service: scene.service,
            cluster_id: scene.cluster,
            namespace: scene.namespace,
            object: ObjectInShort { kind: counted.group.kind, name: counted.group.name },
            level: counted.group.level,
            reason: counted.group.reason,
            message: counted.group.message,
            first_seen: counted.first_seen,
            last_seen: counted.last_seen,
            count: counted.count,
            event_count,
        }
    }
}

/// A time as RFC 3339 writes it; one that the calendar does not have, as its number.
pub(super) fn time<S: Serializer>(micros: &i64, writer: S) -> Result<S::Ok, S::Error> {
    match DateTime::from_timestamp_micros(*micros) {
        Some(time) => writer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
        None => writer.serialize_i64(*micros),
    }
}

/// The same of a time that may not be known.
pub(super) fn time_or_null<S: Serializer>(micros: &Option<i64>, writer: S) -> Result<S::Ok, S::Error> {
    match micros {
        Some(micros) => time(micros, writer),
        None => writer.serialize_none(),
    }
}

fn labels<S: Serializer>(labels: &[(&'static str, Cow<'_, str>)], writer: S) -> Result<S::Ok, S::Error> {
    let mut map = writer.serialize_map(Some(labels.len()))?;
    for (key, value) in labels {
        map.serialize_entry(key, value)?;
    }
    map.end()
}

fn owners<S: Serializer>(owners: &[Owner<'_>], writer: S) -> Result<S::Ok, S::Error> {
    let mut list = writer.serialize_seq(Some(owners.len()))?;
    for owner in owners {
        list.serialize_element(&ToldOwner { kind: &owner.kind, name: &owner.name, controller: owner.controller })?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::k8s;

    #[test]
    fn an_event_is_told_with_all_that_is_known_of_it() {
        let body = include_bytes!("../../../fixtures/events/exporter.json");
        let event = k8s::decode(body, Some("unused"), &k8s::Limits::default()).unwrap().remove(0);
        let told = ServiceEvent::from(event);
        let text = concat!(
            r#"{"service":"billing-worker","clusterId":"paris","namespace":"pay","#,
            r#""uid":"f00dcafe-0001-4b7e-9c3d-000000000001","name":"billing-worker-9wzlm.17d0","#,
            r#""object":{"kind":"Pod","name":"billing-worker-9wzlm","namespace":"pay","uid":"f00dcafe-0002-4b7e-9c3d-000000000002","#,
            r#""apiVersion":"v1","fieldPath":"spec.containers{worker}"},"level":"Warning","reason":"Unhealthy","#,
            r#""message":"Liveness probe failed: HTTP probe failed with statuscode: 503","action":"","#,
            r#""source":{"component":"kubelet","host":"node-3","instance":"node-3"},"#,
            r#""firstSeen":"2025-07-08T09:10:11.000000Z","lastSeen":"2025-07-08T09:10:11.000000Z","count":1,"#,
            r#""labels":{"app.kubernetes.io/name":"billing-worker","app":"billing"},"#,
            r#""owners":[{"kind":"DaemonSet","name":"billing-worker","controller":true}]}"#,
        );
        assert_eq!(serde_json::to_string(&Told::of(&told)).unwrap(), text);
    }

    #[test]
    fn times_have_microseconds_and_those_before_1970_are_times_too() {
        let told = |micros: i64| serde_json::to_string(&TimeOnly { micros }).unwrap();
        #[derive(Serialize)]
        struct TimeOnly {
            #[serde(serialize_with = "time")]
            micros: i64,
        }
        for (micros, text) in [
            (1_478_621_715_000_001, r#""2016-11-08T16:15:15.000001Z""#),
            (0, r#""1970-01-01T00:00:00.000000Z""#),
            (-1, r#""1969-12-31T23:59:59.999999Z""#),
            (-62_135_596_800_000_000, r#""0001-01-01T00:00:00.000000Z""#),
            (i64::MAX, "9223372036854775807"),
        ] {
            assert_eq!(told(micros), format!("{{\"micros\":{text}}}"));
        }
    }
}
