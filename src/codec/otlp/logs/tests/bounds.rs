//! What a request of log records may hold, and what one that holds more is answered.

use super::*;

#[test]
fn limits_hold_in_both_encodings() {
    let event =
        record(json!({"timeUnixNano": "1735732800000000000"}), json!({"k8s.event.uid": {"stringValue": "u"}}), pod());
    let mut three: Value = serde_json::from_str(&event).unwrap();
    let records = &mut three["resourceLogs"][0]["scopeLogs"][0]["logRecords"];
    *records = json!([records[0], records[0], records[0]]);
    let three = three.to_string();
    let limits = Limits { max_events: 2, ..Limits::default() };
    let bytes = proto(&three);
    let refused = [
        (decode_json(three.as_bytes(), None, &limits), "$.resourceLogs[0].scopeLogs[0].logRecords[2]"),
        (decode_proto(&bytes, None, &limits), "$.resource_logs[0].scope_logs[0].log_records[2]"),
    ];
    for (refused, place) in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.to_string(), format!("more than 2 events\n{place}: split them into several requests"));
        assert!(error.too_large);
    }

    let limits = Limits { max_message_bytes: 4, max_name_bytes: 10, ..Limits::default() };
    let long = record(
        json!({"timeUnixNano": "1735732800000000000", "body": {"stringValue": "aébé"}}),
        json!({"k8s.event.uid": {"stringValue": "u"}}),
        pod(),
    );
    let bytes = proto(&long);
    for logs in [decode_json(long.as_bytes(), None, &limits), decode_proto(&bytes, None, &limits)] {
        assert_eq!(logs.unwrap().events[0].message, "aéb");
    }
    let limits = Limits { max_name_bytes: 4, ..limits };
    for logs in [decode_json(long.as_bytes(), None, &limits), decode_proto(&bytes, None, &limits)] {
        let fault = logs.unwrap().first_fault.unwrap();
        assert_eq!(fault.peer, "attributes[\"k8s.object.name\"]: Too long: may not be more than 4 bytes");
    }
}

#[test]
fn trees_in_bodies_are_bounded_in_depth_and_size() {
    // A tree of an event's own fields, one inside the other.
    let nested = |levels: usize| {
        let mut value = json!({"stringValue": "x"});
        for _ in 1..levels {
            value = json!({"kvlistValue": {"values": [{"key": "metadata", "value": value}]}});
        }
        value
    };
    let says = json!({"k8s.resource.name": {"stringValue": "events"}});
    let limits = Limits { max_depth: 5, ..Limits::default() };
    for (levels, wanted) in [(5, "body.involvedObject: Required value"), (6, "nesting is deeper than 5 levels")] {
        let body = record(json!({"body": nested(levels)}), says.clone(), json!({}));
        let bytes = proto(&body);
        for logs in [decode_json(body.as_bytes(), None, &limits), decode_proto(&bytes, None, &limits)] {
            assert_eq!(logs.unwrap().first_fault.unwrap().peer, wanted);
        }
    }
    // Of a record that does not say it is an event nothing is told but that it is none.
    let body = record(json!({"body": nested(6)}), json!({}), json!({}));
    let logs = decode_json(body.as_bytes(), None, &limits).unwrap();
    assert_eq!(logs, Logs { others: 1, ..Logs::default() });

    let limits = Limits { max_values: 3, ..Limits::default() };
    let labels: Vec<Value> = (0..4).map(|_| json!({"key": "app", "value": {"stringValue": "x"}})).collect();
    let body = record(json!({"body": {"kvlistValue": {"values": labels}}}), says, json!({}));
    let bytes = proto(&body);
    for logs in [decode_json(body.as_bytes(), None, &limits), decode_proto(&bytes, None, &limits)] {
        assert_eq!(logs.unwrap().first_fault.unwrap().peer, "more than 3 values in an event");
    }

    // Depth that no one reads takes no stack, neither in JSON nor in protobuf.
    let deep = format!("{{\"resourceLogs\":{}", "[".repeat(200_000));
    decode_json(deep.as_bytes(), None, &Limits::default()).unwrap_err();
    let mut bytes = Vec::new();
    for _ in 0..2_000 {
        let mut outer = vec![0x2a];
        prost::encoding::encode_varint(bytes.len() as u64, &mut outer);
        outer.append(&mut bytes);
        bytes = outer;
    }
    decode_proto(&bytes, None, &Limits::default()).unwrap();
}

#[test]
fn attributes_that_nothing_reads_are_left_out_and_a_record_of_too_many_others_is_rejected() {
    let text = |text: &str| json!({"stringValue": text});
    let mut attributes = json!({"k8s.event.uid": text("u")});
    for at in 0..1_000 {
        attributes[format!("k8s.pod.annotations.a{at}")] = text("x");
        attributes[format!("other{at}.name")] = text("x");
    }
    let fields = json!({"timeUnixNano": "1735732800000000000"});
    let logs = read(&record(fields.clone(), attributes.clone(), pod()));
    assert_eq!(logs.events.len(), 1, "{:?}", logs.first_fault);
    // With the uid these are as many as may be. Before or behind it, one more is one too many.
    for at in 0..127 {
        attributes[format!("k8s.z{at}.name")] = text("x");
    }
    let logs = read(&record(fields.clone(), attributes.clone(), pod()));
    assert_eq!(logs.events.len(), 1, "{:?}", logs.first_fault);
    for key in ["k8s.a.name", "k8s.zz.name"] {
        let mut attributes = attributes.clone();
        attributes[key] = text("x");
        let logs = read(&record(fields.clone(), attributes, pod()));
        assert_eq!((logs.events.len(), logs.others, logs.faulty), (0, 0, 1));
        assert_eq!(
            logs.first_fault.unwrap().to_string(),
            "attributes: Too many: must have at most 128 items\n\
             $.resourceLogs[0].scopeLogs[0].logRecords[0].attributes: no event has that many that are read: send those \
             that the receiver made"
        );
    }
    // Of a resource the first count.
    for at in 0..1_000 {
        attributes[format!("k8s.z{at}.name")] = text("x");
    }
    let mut resource = pod();
    resource.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
    let logs = read(&record(fields, json!({"k8s.event.uid": text("u")}), resource));
    assert_eq!(logs.events.len(), 1, "{:?}", logs.first_fault);
}

/// A request of 60,000 records of a few bytes that each share 21 long attributes of their resource.
fn swollen() -> String {
    let shared = [
        "k8s.event.name",
        "k8s.event.reason",
        "k8s.event.action",
        "k8s.event.reporting_controller",
        "k8s.event.reporting_instance",
        "k8s.node.name",
        "k8s.namespace.name",
        "k8s.cluster.name",
        "k8s.object.kind",
        "k8s.object.name",
        "k8s.object.uid",
        "k8s.object.fieldpath",
        "k8s.object.api_version",
    ];
    let long = json!({"stringValue": "x".repeat(4_096)});
    let attributes = shared.into_iter().chain(service::KEYS.into_iter().take(8));
    let attributes: Vec<Value> = attributes.map(|key| json!({"key": key, "value": long})).collect();
    let record = |uid: usize| {
        let value = json!({"stringValue": uid.to_string()});
        json!({"timeUnixNano": "1735732800000000000", "attributes": [{"key": "k8s.event.uid", "value": value}]})
    };
    let records: Vec<Value> = (0..60_000).map(record).collect();
    json!({"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [{"logRecords": records}]}]})
        .to_string()
}

#[test]
fn attributes_that_many_records_share_count_for_each() {
    let body = swollen();
    let bytes = proto(&body);
    // 94,337 bytes each: 23 texts of 4,096, two of the 21 being read twice, with the labels' keys, the level and the uid.
    let limits = Limits::default();
    let refused = [
        (decode_json(body.as_bytes(), None, &limits), "$.resourceLogs[0].scopeLogs[0].logRecords[711]"),
        (decode_proto(&bytes, None, &limits), "$.resource_logs[0].scope_logs[0].log_records[711]"),
    ];
    for (refused, place) in refused {
        let error = refused.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the events take more than 67108864 bytes once they are decoded\n{place}: events.max_decoded_bytes: \
                 split them into several requests, or raise it with --events-max-decoded-bytes"
            )
        );
        assert!(error.too_large);
    }
}

/// What is encoded is what was charged, and a few bytes for each text.
#[test]
fn an_encoded_request_is_bounded_by_what_its_events_may_take() {
    let mut body: Value = serde_json::from_str(&swollen()).unwrap();
    body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array_mut().unwrap().truncate(711);
    let body = body.to_string();
    let logs = decode_json(body.as_bytes(), None, &Limits::default()).unwrap();
    let events: Vec<crate::model::ServiceEvent<'_>> = logs.events.into_iter().map(Into::into).collect();
    let texts: usize = events.iter().map(|event| event.text_bytes()).sum();
    assert_eq!(texts, 67_073_497);
    let encoded = crate::codec::stored::events::encode("default", 0, &events);
    assert!(encoded.len() < texts + 711 * 128, "{}", encoded.len());
}

#[test]
fn log_records_that_are_no_events_are_bounded_in_number() {
    let limits = Limits { max_events: 2, ..Limits::default() };
    let body = |count: usize| {
        let records = vec![json!({}); count];
        json!({"resourceLogs": [{"scopeLogs": [{"logRecords": records}, {"logRecords": [{}]}]}]}).to_string()
    };
    let most = body(1_019);
    let bytes = proto(&most);
    for logs in [decode_json(most.as_bytes(), None, &limits), decode_proto(&bytes, None, &limits)] {
        assert_eq!(logs, Ok(Logs { others: 1_020, ..Logs::default() }));
    }
    let (more, many) = (body(1_020), body(1_021));
    let (more_bytes, many_bytes) = (proto(&more), proto(&many));
    let remedy = "split them into several requests";
    for (refused, wanted) in [
        (
            decode_json(more.as_bytes(), None, &limits),
            "more than 1020 log records\n$.resourceLogs[0].scopeLogs[1].logRecords[0]",
        ),
        (
            decode_proto(&more_bytes, None, &limits),
            "more than 1020 log records\n$.resource_logs[0].scope_logs[1].log_records[0]",
        ),
        (
            decode_json(many.as_bytes(), None, &limits),
            "more than 1020 elements in a list\n$.resourceLogs[0].scopeLogs[0].logRecords",
        ),
        (
            decode_proto(&many_bytes, None, &limits),
            "more than 1020 log records\n$.resource_logs[0].scope_logs[0].log_records[1020]",
        ),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.to_string(), format!("{wanted}: {remedy}"));
        assert!(error.too_large);
    }
}
