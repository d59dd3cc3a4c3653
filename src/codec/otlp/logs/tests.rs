//! What the Collector's receivers send, field by field, in JSON and in protobuf, and what is rejected or refused.

use super::*;
use crate::model::event::{Object, Source, service};
use encoded::ExportLogsServiceRequest;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use prost::Message;
use serde_json::{Value, json};

mod bounds;
mod encoded;

const EVENTS: &str = include_str!("../../../../fixtures/events/otlp-k8s-events.json");
const OLD_EVENTS: &str = include_str!("../../../../fixtures/events/otlp-k8s-events-old.json");
const OBJECTS: &str = include_str!("../../../../fixtures/events/otlp-k8sobjects.json");

const ALL: [&str; 3] = [EVENTS, OLD_EVENTS, OBJECTS];

fn read_json(body: &str) -> Logs<'_> {
    decode_json(body.as_bytes(), None, &Limits::default()).unwrap()
}

/// The protobuf of a request, as a library makes it.
fn proto(body: &str) -> Vec<u8> {
    ExportLogsServiceRequest::of(&serde_json::from_str(body).unwrap()).encode_to_vec()
}

/// What both encodings of a request are read as.
fn read(body: &str) -> Logs<'static> {
    let of_json = own(read_json(body));
    let bytes = proto(body);
    let of_proto = own(decode_proto(&bytes, None, &Limits::default()).unwrap());
    let place =
        |logs: &Logs<'static>| logs.first_fault.clone().map(|fault| DecodeError { place: String::new(), ..fault });
    assert_eq!(place(&of_proto), place(&of_json));
    assert_eq!(Logs { first_fault: of_json.first_fault.clone(), ..of_proto }, of_json);
    of_json
}

fn own(logs: Logs<'_>) -> Logs<'static> {
    Logs {
        events: logs.events.into_iter().map(Event::into_owned).collect(),
        others: logs.others,
        faulty: logs.faulty,
        first_fault: logs.first_fault,
    }
}

/// Microseconds of a time.
fn at(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn taken(events: Vec<Event<'static>>) -> Logs<'static> {
    Logs { events, ..Logs::default() }
}

#[test]
fn a_record_of_k8s_events_is_put_together_from_body_attributes_and_resource() {
    let wanted = Event {
        cluster: "oslo".into(),
        namespace: "shop".into(),
        uid: "aa11bb22-0003-4c3d-8e4f-000000000003".into(),
        name: "cart-5d59d67564-q8r2t.17d1".into(),
        object: Object {
            kind: "Pod".into(),
            namespace: "shop".into(),
            name: "cart-5d59d67564-q8r2t".into(),
            uid: "aa11bb22-0001-4c3d-8e4f-000000000001".into(),
            api_version: "v1".into(),
            field_path: "spec.containers{cart}".into(),
        },
        level: "Warning".into(),
        reason: "BackOff".into(),
        message: "Back-off pulling image \"cart:9\"".into(),
        action: "".into(),
        source: Source { component: "kubelet".into(), host: "node-5".into(), instance: "node-5".into() },
        first_seen: at("2025-07-08T09:05:00Z"),
        last_seen: at("2025-07-08T09:10:11Z"),
        count: 17,
        labels: Vec::new(),
        owners: Vec::new(),
    };
    assert_eq!(service::of(&wanted), Some("cart"));
    assert_eq!(read(EVENTS), taken(vec![wanted]));
    assert_eq!(read(EVENTS).rejected(), None);
}

#[test]
fn the_first_versions_of_k8s_events_named_the_record_by_its_reason_and_attributes_by_the_kind() {
    let wanted = Event {
        cluster: "default".into(),
        namespace: "edge".into(),
        uid: "0dd0dd00-0001-4a5b-8c6d-000000000001".into(),
        name: "nginx-7848d4b86f-2jq9v.16d8".into(),
        object: Object {
            kind: "Pod".into(),
            namespace: "edge".into(),
            name: "nginx-7848d4b86f-2jq9v".into(),
            uid: "0dd0dd00-0002-4a5b-8c6d-000000000002".into(),
            api_version: "".into(),
            field_path: "spec.containers{nginx}".into(),
        },
        level: "Normal".into(),
        reason: "Started".into(),
        message: "Started container nginx".into(),
        action: "".into(),
        source: Source { component: "kubelet".into(), host: "node-2".into(), instance: "".into() },
        first_seen: at("2022-03-01T09:30:00Z"),
        last_seen: at("2022-03-01T09:30:00Z"),
        count: 1,
        labels: Vec::new(),
        owners: Vec::new(),
    };
    assert_eq!(service::of(&wanted), Some("nginx"));
    assert_eq!(read(OLD_EVENTS), taken(vec![wanted]));
}

#[test]
fn kinds_in_names_of_attributes_become_what_kubernetes_writes() {
    let text = |text: &str| json!({"stringValue": text});
    let table = [("replicaset", "ReplicaSet"), ("node", "Node"), ("widget", "widget"), ("namespace", "Namespace")];
    for (kind, wanted) in table {
        let mut attributes = json!({"k8s.event.uid": text("u"), "k8s.container.name": text("")});
        attributes[format!("k8s.{kind}.name")] = text("a-542052039");
        attributes[format!("k8s.{kind}.uid")] = text("");
        // What the Collector's own processors know of the sender is not what the event is about.
        let resource = json!({"k8s.cluster.name": text("c"), "k8s.cluster.uid": text("d"), "k8s.pod.ip": text("e")});
        let logs = read(&record(json!({"timeUnixNano": "1735732800000000000"}), attributes, resource));
        let objects: Vec<_> = logs.events.iter().map(|event| (&*event.object.kind, &*event.object.name)).collect();
        assert_eq!(objects, [(wanted, "a-542052039")], "{:?}", logs.first_fault);
    }
}

#[test]
fn bodies_of_k8sobjects_are_events_of_either_group_watched_or_pulled() {
    let watched = Event {
        cluster: "c2c2c2c2-0002-4f6a-9b7c-000000000002".into(),
        namespace: "office".into(),
        uid: "bead0000-0001-4f6a-9b7c-000000000001".into(),
        name: "mail-1.17d2".into(),
        object: Object {
            kind: "Pod".into(),
            namespace: "office".into(),
            name: "mail-1".into(),
            api_version: "v1".into(),
            ..Object::default()
        },
        level: "Warning".into(),
        reason: "FailedAttachVolume".into(),
        message: "Volume is already exclusively attached to one node".into(),
        action: "".into(),
        source: Source { component: "attachdetach-controller".into(), ..Source::default() },
        first_seen: at("2025-07-08T09:00:00Z"),
        last_seen: at("2025-07-08T09:10:00Z"),
        count: 6,
        labels: Vec::new(),
        owners: Vec::new(),
    };
    let pulled = Event {
        cluster: "default".into(),
        namespace: "office".into(),
        uid: "derived:default/office/post-0.17d3".into(),
        name: "post-0.17d3".into(),
        object: Object { kind: "Pod".into(), name: "post-0".into(), ..Object::default() },
        level: "Normal".into(),
        reason: "Created".into(),
        message: "Created container".into(),
        action: "".into(),
        source: Source::default(),
        first_seen: at("2025-07-08T09:00:00Z"),
        last_seen: at("2025-07-08T09:00:30Z"),
        count: 2,
        labels: vec![("k8s.statefulset.name", "post".into()), ("service.name", "unknown_service:otelcol".into())],
        owners: Vec::new(),
    };
    assert_eq!([service::of(&watched), service::of(&pulled)], [Some("mail"), Some("post")]);
    let logs = read(OBJECTS);
    assert_eq!(logs, Logs { others: 2, ..taken(vec![watched, pulled]) });
    let reason = "log records that are no Kubernetes events: 2; send only those of the receivers k8s_events and \
                  k8sobjects here";
    assert_eq!(logs.rejected(), Some((2, reason.to_owned())));
}

/// A request of one record of `k8s_events`, with other fields and attributes.
fn record(fields: Value, attributes: Value, resource: Value) -> String {
    let list = |attributes: &Value| -> Vec<Value> {
        let attributes = attributes.as_object().unwrap();
        attributes.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
    };
    let mut record = json!({"attributes": list(&attributes)});
    record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"resourceLogs": [{
        "resource": {"attributes": list(&resource)},
        "scopeLogs": [{"logRecords": [record]}],
    }]})
    .to_string()
}

fn pod() -> Value {
    json!({"k8s.object.kind": {"stringValue": "Pod"}, "k8s.object.name": {"stringValue": "web-0"}})
}

#[test]
fn times_levels_and_counts_of_records_fall_back_in_the_documented_order() {
    let noon = "1735732800000000000";
    let one = json!({"stringValue": "2025-01-01 13:00:00 +0000 UTC"});
    let zero = json!({"stringValue": "0001-01-01 00:00:00 +0000 UTC"});
    let (at_noon, at_one) = (at("2025-01-01T12:00:00Z"), at("2025-01-01T13:00:00Z"));
    let goes_zero = "11651379494838206464";
    let uid = json!({"stringValue": "u"});
    let table = [
        (json!({"timeUnixNano": noon}), json!({"k8s.event.uid": uid}), (at_noon, at_noon, "Normal", 1)),
        // Created after it happened: a first time is never after the last.
        (json!({"timeUnixNano": noon}), json!({"k8s.event.start_time": one}), (at_noon, at_noon, "Normal", 1)),
        (json!({"timeUnixNano": goes_zero}), json!({"k8s.event.start_time": one}), (at_one, at_one, "Normal", 1)),
        (json!({"observedTimeUnixNano": noon}), json!({"k8s.event.start_time": zero}), (at_noon, at_noon, "Normal", 1)),
        (
            json!({"timeUnixNano": noon, "severityNumber": 13}),
            json!({"k8s.event.count": {"intValue": 3}}),
            (at_noon, at_noon, "Warning", 3),
        ),
        (
            json!({"timeUnixNano": noon, "severityNumber": 12}),
            json!({"k8s.event.count": {"intValue": "0"}}),
            (at_noon, at_noon, "Normal", 1),
        ),
        (
            json!({"timeUnixNano": noon, "severityText": "Critical", "severityNumber": 21}),
            json!({"k8s.event.count": {"doubleValue": 4.0}}),
            (at_noon, at_noon, "Critical", 4),
        ),
    ];
    for (fields, attributes, wanted) in table {
        let body = record(fields, attributes, pod());
        let logs = read(&body);
        let read: Vec<_> = logs.events.iter().map(|e| (e.first_seen, e.last_seen, e.level.as_ref(), e.count)).collect();
        assert_eq!(read, [wanted], "{body}\n{:?}", logs.first_fault);
    }
}

#[test]
fn the_records_attributes_go_before_its_resources_and_name_cluster_namespace_and_service() {
    let text = |text: &str| json!({"stringValue": text});
    let mut resource = pod();
    resource.as_object_mut().unwrap().extend([
        ("k8s.namespace.name".to_owned(), text("resource")),
        ("k8s.cluster.uid".to_owned(), text("uid")),
        ("app".to_owned(), text("resource")),
        ("k8s.pod.labels.k8s-app".to_owned(), text("labelled")),
    ]);
    let fields = json!({"timeUnixNano": "1735732800000000000"});
    let plain = record(fields.clone(), json!({"k8s.event.uid": text("u")}), resource.clone());
    let events = read(&plain).events;
    let told = |event: &Event<'_>| {
        let own = |text: &str| text.to_owned();
        (own(&event.cluster), own(&event.namespace), service::of(event).map(own))
    };
    assert_eq!(told(&events[0]), ("uid".into(), "resource".into(), Some("labelled".into())));
    let attributes = json!({
        "k8s.event.uid": text("u"), "k8s.namespace.name": text("record"), "k8s.cluster.name": text("name"),
        "k8s.deployment.name": text("deployed"), "app": text("record"),
    });
    let events = read(&record(fields.clone(), attributes, resource)).events;
    assert_eq!(told(&events[0]), ("name".into(), "record".into(), Some("deployed".into())));
    assert_eq!(events[0].labels.last(), Some(&("app", "record".into())));

    // The request's cluster counts where the sender names none.
    let bare = record(fields, json!({"k8s.event.uid": text("u")}), pod());
    let logs = decode_json(bare.as_bytes(), Some("asked"), &Limits::default()).unwrap();
    assert_eq!(told(&logs.events[0]), ("asked".into(), "default".into(), Some("web".into())));
    let bytes = proto(&plain);
    let logs = decode_proto(&bytes, Some("asked"), &Limits::default()).unwrap();
    assert_eq!(logs.events[0].cluster, "uid");
}

#[test]
fn an_event_with_a_mistake_is_rejected_alone_and_the_first_mistake_is_told() {
    let good = json!({"stringValue": "u"});
    let time = json!({"timeUnixNano": "1735732800000000000"});
    let place = "$.resourceLogs[0].scopeLogs[0].logRecords[0]";
    let table = [
        (
            record(time.clone(), json!({"k8s.event.uid": {"intValue": "5"}}), pod()),
            "json: cannot unmarshal number into Go struct field Event.attributes[\"k8s.event.uid\"] of type string",
            ".attributes[\"k8s.event.uid\"]: send a text here, or leave it out",
        ),
        (
            record(time.clone(), json!({"k8s.event.start_time": {"stringValue": "noon"}}), pod()),
            "parsing time \"noon\" as \"2006-01-02 15:04:05.999999999 -0700 MST\"",
            ".attributes[\"k8s.event.start_time\"]: send a time as Go prints it, as in 2016-11-08 16:15:15 +0000 UTC, or \
             leave it out",
        ),
        (
            record(time.clone(), json!({"k8s.event.count": {"stringValue": "many"}}), pod()),
            "json: cannot unmarshal string into Go struct field Event.attributes[\"k8s.event.count\"] of type int32",
            ".attributes[\"k8s.event.count\"]: send a whole number here, or leave it out",
        ),
        (
            record(time.clone(), json!({"k8s.event.uid": good}), json!({})),
            "attributes[\"k8s.object.kind\"]: Required value",
            ".attributes[\"k8s.object.kind\"]: an event says what it is about: k8s.object.kind and k8s.object.name",
        ),
        (
            record(json!({}), json!({"k8s.event.uid": good}), pod()),
            "timeUnixNano: Required value",
            ".timeUnixNano: send the time of the event",
        ),
        (
            record(
                json!({"timeUnixNano": "1", "body": {"kvlistValue": {"values": []}}}),
                json!({"k8s.event.uid": good}),
                pod(),
            ),
            "json: cannot unmarshal object into Go struct field Event.body of type string",
            ".body: send a text here, or leave it out",
        ),
        (
            record(
                json!({"body": {"kvlistValue": {"values": [{"key": "count", "value": {"boolValue": true}},
                    {"key": "regarding", "value": {"kvlistValue": {}}}]}}}),
                json!({"k8s.resource.name": {"stringValue": "events"}}),
                json!({}),
            ),
            "json: cannot unmarshal bool into Go struct field Event.body.count of type int32",
            ".body.count: send a whole number here, or leave it out",
        ),
    ];
    for (body, peer, rest) in table {
        let logs = read(&body);
        assert_eq!((logs.events.len(), logs.others, logs.faulty), (0, 0, 1), "{body}");
        let fault = logs.first_fault.clone().unwrap();
        assert_eq!(fault.to_string(), format!("{peer}\n{place}{rest}"));
        assert_eq!(logs.rejected(), Some((1, format!("events with a mistake: 1, the first: {fault}"))));
        let bytes = proto(&body);
        let fault = decode_proto(&bytes, None, &Limits::default()).unwrap().first_fault.unwrap();
        assert_eq!(
            fault.place,
            format!("$.resource_logs[0].scope_logs[0].log_records[0]{}", rest.split(": ").next().unwrap())
        );
    }
    let both = Logs { others: 2, ..read(&record(json!({}), json!({"k8s.event.uid": good}), pod())) };
    let reason = "events with a mistake: 1, the first: timeUnixNano: Required value\n$.resourceLogs[0].scopeLogs[0].\
                  logRecords[0].timeUnixNano: send the time of the event\nlog records that are no Kubernetes events: 2; \
                  send only those of the receivers k8s_events and k8sobjects here";
    assert_eq!(both.rejected(), Some((3, reason.to_owned())));
}

#[test]
fn what_is_no_request_is_refused_with_its_place() {
    let table = [
        (
            "",
            "json parse error: unexpected end of JSON input\n$, line 1 column 0: the body breaks off here: send the \
              whole of it",
        ),
        (
            "{\"resourceLogs\":[{}",
            "json parse error: unexpected end of JSON input\n$.resourceLogs[1], line 1 column 19: \
              the body breaks off here: send the whole of it",
        ),
        (
            "{\"resourceLogs\":[}",
            "json parse error: expected value\n$.resourceLogs, line 1 column 18: send an \
              ExportLogsServiceRequest in JSON",
        ),
        ("[]", "json: cannot unmarshal array into an object\n$: send an object here, or leave it out"),
        ("null", "json: cannot unmarshal null into an object\n$: send an object here, or leave it out"),
        (
            "{\"resourceLogs\":{}}",
            "json: cannot unmarshal object into a list\n$.resourceLogs: send a list here, or \
              leave it out",
        ),
        (
            "{\"resourceLogs\":[5]}",
            "json: cannot unmarshal number into an object\n$.resourceLogs[0]: send an object \
              here, or leave it out",
        ),
        (
            "{\"resourceLogs\":[{\"resource\":true}]}",
            "json: cannot unmarshal bool into an object\n\
              $.resourceLogs[0].resource: send an object here, or leave it out",
        ),
        (
            "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{},{\"timeUnixNano\":\"noon\"}]}]}]}",
            "json: cannot unmarshal noon into a whole number of nanoseconds\n\
             $.resourceLogs[0].scopeLogs[0].logRecords[1].timeUnixNano: send a whole number of nanoseconds here, or \
             leave it out",
        ),
        (
            "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"attributes\":[{\"key\":\"k8s.event.uid\",\
          \"value\":{\"stringValue\":7}}]}]}]}]}",
            "json: cannot unmarshal number into a text\n\
             $.resourceLogs[0].scopeLogs[0].logRecords[0].attributes[0].value.stringValue: send a text here, or leave it \
             out",
        ),
    ];
    for (body, wanted) in table {
        let error = decode_json(body.as_bytes(), None, &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), wanted, "{body}");
        assert!(!error.too_large);
    }
    let wire = "proto: cannot parse invalid wire-format data";
    let whole = "send a whole message ExportLogsServiceRequest";
    let table: [(&[u8], &str, &str); 6] = [
        (b"\x0a\x05\x00", "$, byte 2", "a length beyond the end"),
        (b"\x0a\x02\x12\x05", "$.resource_logs[0], byte 4", "a length beyond the end"),
        (b"\x0a\x00\x0a\x04\x12\x02\x12\x7f", "$.resource_logs[1].scope_logs[0], byte 8", "a length beyond the end"),
        (b"\x0b", "$, byte 0", "groups are not read"),
        (b"\x00\x00", "$, byte 0", "no field has this number"),
        (
            b"\x0a\x08\x12\x06\x12\x04\x1a\x02a\xff",
            "$.resource_logs[0].scope_logs[0].log_records[0], byte 9",
            "text that is not UTF-8",
        ),
    ];
    for (body, place, what) in table {
        let error = decode_proto(body, None, &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), format!("{wire}\n{place}: {what}: {whole}"), "{body:?}");
    }
}

#[test]
fn requests_of_nothing_bring_nothing() {
    assert_eq!(decode_proto(b"", None, &Limits::default()), Ok(Logs::default()));
    for body in ["{}", "{\"resourceLogs\":null}", "{\"resourceLogs\":[{\"scopeLogs\":[{}]}],\"unknown\":[[{}]]}"] {
        assert_eq!(read(body), Logs::default(), "{body}");
    }
}

/// One event whose text was cut in the middle of a character would otherwise hold up all that are sent with it.
#[test]
fn half_a_surrogate_pair_in_json_is_a_replacement_character() {
    let body = record(
        json!({"timeUnixNano": "1735732800000000000", "body": {"stringValue": "MESSAGE"}}),
        json!({"k8s.event.uid": {"stringValue": "u"}}),
        pod(),
    );
    let body = body.replace("MESSAGE", r"\ud800x");
    let logs = read_json(&body);
    assert_eq!((logs.events.len(), logs.events[0].message.as_ref()), (1, "\u{fffd}x"));
}

#[test]
fn unknown_fields_and_values_are_passed_over() {
    let body = record(
        json!({
            "timeUnixNano": 1735732800000000000u64, "flags": 1, "traceId": "0af7651916cd43dd8448eb211c80319c",
            "spanId": "b7ad6b7169203331", "eventName": "x", "droppedAttributesCount": 2, "unknown": {"a": [1]},
            "body": {"stringValue": "m"},
        }),
        json!({
            "k8s.event.uid": {"stringValue": "u"}, "k8s.event.other": {"arrayValue": {"values": [{"intValue": "1"}]}},
            "k8s.event.bytes": {"bytesValue": "AAEC"}, "other": {"kvlistValue": {}}, "k8s.event.none": {},
        }),
        pod(),
    );
    let logs = read(&body);
    assert_eq!((logs.events.len(), logs.others, logs.faulty), (1, 0, 0), "{:?}", logs.first_fault);
    assert_eq!(logs.events[0].message, "m");
}

#[test]
fn a_request_that_breaks_off_anywhere_never_panics() {
    for body in ALL {
        let body = body.trim_end();
        for end in 0..body.len() {
            decode_json(&body.as_bytes()[..end], None, &Limits::default()).unwrap_err();
        }
        let bytes = proto(body);
        let whole = decode_proto(&bytes, None, &Limits::default()).unwrap();
        for end in 0..bytes.len() {
            // Between two of the request's messages it may be cut unnoticed.
            if let Ok(logs) = decode_proto(&bytes[..end], None, &Limits::default()) {
                assert!(logs.events.len() < whole.events.len(), "{end}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(13), ..ProptestConfig::default() })]

    #[test]
    fn flipped_bytes_never_panic(
        body in proptest::sample::select(ALL.to_vec()),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let flipped = |mut bytes: Vec<u8>| {
            for (at, byte) in &flips {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        let (json, proto) = (flipped(body.as_bytes().to_vec()), flipped(proto(body)));
        let limits = Limits::default();
        for logs in [decode_json(&json, None, &limits), decode_proto(&proto, None, &limits)].into_iter().flatten() {
            for event in logs.events {
                prop_assert!(!event.uid.is_empty() && event.count > 0 && event.first_seen <= event.last_seen);
            }
        }
    }

    /// What a library writes is what is read, whatever it says: the walker against generated types.
    #[test]
    fn both_encodings_of_a_request_are_read_alike(
        texts in proptest::collection::vec("[a-z\"\\\\é\n]{0,6}", 6),
        count in any::<i32>(),
        nanos in 1u64..4_000_000_000_000_000_000,
        number in 0i32..25,
    ) {
        let text = |at: usize| json!({"stringValue": texts[at]});
        let body = record(
            json!({"timeUnixNano": nanos.to_string(), "severityNumber": number, "body": text(0)}),
            json!({"k8s.event.uid": text(1), "k8s.event.count": {"intValue": count}, "k8s.event.reason": text(2)}),
            json!({"k8s.object.kind": text(3), "k8s.object.name": text(4), "app": text(5)}),
        );
        let logs = read(&body);
        prop_assert_eq!(logs.events.len() + logs.faulty, 1);
        for event in logs.events {
            prop_assert_eq!(event.message.as_ref(), &texts[0]);
            prop_assert_eq!(event.reason.as_ref(), &texts[2]);
            prop_assert_eq!(event.count, i64::from(count).max(1));
        }
    }
}
