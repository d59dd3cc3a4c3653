//! Whatever was posted comes back.

use super::super::*;
use crate::codec::Limits;
use crate::model::Span;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn endpoints() -> impl Strategy<Value = Endpoint<'static>> {
    // Few values, so that spans share services, or addresses, or nothing but their case.
    (
        proptest::option::of(proptest::sample::select(vec!["front", "Front", "back", "ünder", "ÜNDER"])),
        proptest::option::of(1u32..3),
        proptest::option::weighted(0.2, 1u128..3),
        proptest::option::of(1u16..3),
    )
        .prop_filter("an endpoint of nothing is none", |(a, b, c, d)| {
            a.is_some() || b.is_some() || c.is_some() || d.is_some()
        })
        .prop_map(|(service, ipv4, ipv6, port)| Endpoint {
            service: service.map(Cow::Borrowed),
            ipv4: ipv4.map(|bits| (0x0a00_0000 + bits).into()),
            ipv6: ipv6.map(|bits| (0x2001_0db8 << 96 | bits).into()),
            port,
        })
}

fn annotation() -> impl Strategy<Value = V1Annotation<'static>> {
    let values = vec!["cs", "cr", "sr", "ss", "ms", "mr", "ws", "wr", "cache miss", "", "é:;%@"];
    (
        prop_oneof![20 => 90i64..110, 1 => any::<i64>()],
        proptest::sample::select(values),
        proptest::option::of(endpoints()),
    )
        .prop_map(|(timestamp, value, endpoint)| V1Annotation { timestamp, value: value.into(), endpoint })
}

fn binary_annotation() -> impl Strategy<Value = V1BinaryAnnotation<'static>> {
    let keys = vec!["a", "b", "lc", "sa", "ca", "ma", "ключ;", ""];
    let values = prop_oneof![
        5 => "[a-c]?".prop_map(|text| V1Value::Text(text.into())),
        3 => Just(V1Value::Json("true".into())),
        1 => Just(V1Value::Json("false".into())),
        1 => Just(V1Value::Json("1.50".into())),
        1 => Just(V1Value::Json("{\"a\":[1,\"j\"]}".into())),
        1 => Just(V1Value::Absent),
    ];
    let kinds = proptest::option::weighted(0.1, proptest::sample::select(vec!["BOOL", "", "I64"]));
    (proptest::sample::select(keys), values, kinds, proptest::option::of(endpoints())).prop_map(
        |(key, value, kind, endpoint)| V1BinaryAnnotation {
            key: key.into(),
            value,
            kind: kind.map(Cow::Borrowed),
            endpoint,
        },
    )
}

fn spans() -> impl Strategy<Value = V1Span<'static>> {
    (
        any::<(bool, u64, u64)>(),
        proptest::option::of(0u64..3),
        proptest::option::of(proptest::sample::select(vec!["", "get", "Get /Ä"])),
        proptest::option::of(prop_oneof![10 => 95i64..105, 1 => Just(0), 1 => any::<i64>()]),
        proptest::option::of(prop_oneof![10 => 0i64..10, 1 => any::<i64>()]),
        proptest::collection::vec(annotation(), 0..7),
        proptest::collection::vec(binary_annotation(), 0..7),
        any::<Option<bool>>(),
    )
        .prop_map(|(ids, parent_id, name, timestamp, duration, annotations, binary_annotations, debug)| V1Span {
            trace_id: if ids.0 { TraceId::wide(ids.1, ids.2 | 1) } else { TraceId::narrow(ids.2 | 1) },
            id: ids.1 | 1,
            parent_id,
            name: name.map(Cow::Borrowed),
            timestamp,
            duration,
            annotations,
            binary_annotations,
            debug,
        })
}

/// Groups rows by their marks, as a reader of a trace does.
fn groups<'s>(rows: &[Span<'s>]) -> Vec<Vec<Span<'s>>> {
    let mut whole = Vec::new();
    let mut grouped = std::collections::BTreeMap::<String, Vec<Span<'s>>>::new();
    for row in rows {
        match mark(row.v1.as_deref().unwrap()) {
            Mark::Whole { .. } => whole.push(vec![row.clone()]),
            Mark::First { key, .. } | Mark::Sibling { key, .. } => {
                grouped.entry(key.to_owned()).or_default().push(row.clone());
            }
        }
    }
    whole.extend(grouped.into_values());
    whole
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5eed),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_split_span_is_rebuilt(posted in spans()) {
        let rows = split(&posted);
        prop_assert_eq!(unsplit(&rows), Some(posted.clone()));
        let backwards: Vec<_> = rows.iter().rev().cloned().collect();
        prop_assert_eq!(unsplit(&backwards), Some(posted.clone()));
        prop_assert_eq!(split(&posted.clone()), rows);
    }

    #[test]
    fn rows_of_two_posted_spans_of_one_id_are_told_apart(one in spans(), mut other in spans()) {
        (other.trace_id, other.id) = (one.trace_id, one.id);
        prop_assume!(one != other);
        let mut rows = Vec::new();
        let (left, right) = (split(&one), split(&other));
        for at in 0..left.len().max(right.len()) {
            rows.extend(right.get(at).cloned());
            rows.extend(left.get(at).cloned());
        }
        let groups = groups(&rows);
        let rebuilt: Vec<_> = groups.iter().filter_map(|group| unsplit(group)).collect();
        prop_assert_eq!(rebuilt.len(), 2);
        prop_assert!(rebuilt.contains(&one), "{:?} lacks {:?}", rebuilt, one);
        prop_assert!(rebuilt.contains(&other), "{:?} lacks {:?}", rebuilt, other);
    }

    #[test]
    fn a_damaged_column_or_a_missing_row_is_no_panic(
        posted in spans(),
        column in prop_oneof!["[*+]?[a-c0-3]{6}[0-3~.ABDENTe;%#@^$,!&?s46p/:\"j-]{0,24}", ".*"],
        missing in any::<prop::sample::Index>(),
    ) {
        let mut rows = split(&posted);
        if rows.len() > 1 {
            rows.remove(missing.index(rows.len()));
        }
        prop_assert!(unsplit(&rows).is_some());
        rows[0].v1 = Some(column.into());
        prop_assert!(unsplit(&rows).is_some());
    }
}

/// Agents whose spans are the most part of v1 data.
const TYPICAL: &[(&str, &str, &str)] = &[
    (
        "a client's half, every annotation with its endpoint",
        r#"{"traceId":"a1","id":"b2","parentId":"a1","name":"get","timestamp":100,"duration":10,
            "annotations":[{"timestamp":100,"value":"cs","endpoint":{"serviceName":"front","ipv4":"10.0.0.1"}},
                           {"timestamp":110,"value":"cr","endpoint":{"serviceName":"front","ipv4":"10.0.0.1"}}],
            "binaryAnnotations":[{"key":"http.path","value":"/a","endpoint":{"serviceName":"front","ipv4":"10.0.0.1"}},
                                 {"key":"http.status_code","value":"200","endpoint":{"serviceName":"front","ipv4":"10.0.0.1"}},
                                 {"key":"sa","value":true,"endpoint":{"serviceName":"back","ipv4":"10.0.0.2","port":80}}]}"#,
        "e",
    ),
    (
        "the same with tags in the order of their making",
        r#"{"traceId":"a1","id":"b2","name":"get","timestamp":100,"duration":10,
            "annotations":[{"timestamp":100,"value":"cs","endpoint":{"serviceName":"front"}},
                           {"timestamp":110,"value":"cr","endpoint":{"serviceName":"front"}}],
            "binaryAnnotations":[{"key":"http.status_code","value":"200","endpoint":{"serviceName":"front"}},
                                 {"key":"http.method","value":"GET","endpoint":{"serviceName":"front"}},
                                 {"key":"sa","value":true,"endpoint":{"serviceName":"back"}},
                                 {"key":"http.path","value":"/a","endpoint":{"serviceName":"front"}}]}"#,
        "eB20!1;",
    ),
    (
        "a server's half of a shared span, without its time",
        r#"{"traceId":"a1","id":"b2","name":"get",
            "annotations":[{"timestamp":101,"value":"sr","endpoint":{"serviceName":"back"}},
                           {"timestamp":109,"value":"ss","endpoint":{"serviceName":"back"}}],
            "binaryAnnotations":[{"key":"ca","value":true,"endpoint":{"ipv4":"10.0.0.1","port":4711}}]}"#,
        "",
    ),
    (
        "tags without endpoints",
        r#"{"traceId":"a1","id":"b2","name":"get","timestamp":100,"duration":10,
            "annotations":[{"timestamp":100,"value":"sr","endpoint":{"serviceName":"back"}},
                           {"timestamp":110,"value":"ss","endpoint":{"serviceName":"back"}}],
            "binaryAnnotations":[{"key":"a","value":"1"},{"key":"b","value":"2"}]}"#,
        "",
    ),
    (
        "work inside a service, named by lc",
        r#"{"traceId":"a1","id":"b2","name":"work","timestamp":100,"duration":10,
            "binaryAnnotations":[{"key":"lc","value":"","endpoint":{"serviceName":"back"}}]}"#,
        "eB%2:lc\"0:;",
    ),
    (
        "a plain annotation between the moments",
        r#"{"traceId":"a1","id":"b2","name":"get","timestamp":100,"duration":10,
            "annotations":[{"timestamp":100,"value":"cs","endpoint":{"serviceName":"front"}},
                           {"timestamp":103,"value":"retry","endpoint":{"serviceName":"front"}},
                           {"timestamp":110,"value":"cr","endpoint":{"serviceName":"front"}}]}"#,
        "",
    ),
];

#[test]
fn typical_spans_have_records_of_a_few_bytes_that_repeat() {
    for (agent, span, record) in TYPICAL {
        let body = format!("[{span}]");
        let posted = decode_posted(&body, &Limits::default()).unwrap();
        let rows = split(&posted[0]);
        let columns: Vec<_> = rows.iter().map(|row| row.v1.as_deref().unwrap()).collect();
        assert_eq!(columns, [*record], "{agent}");
        assert_eq!(unsplit(&rows).as_ref(), posted.first(), "{agent}");
    }
}

#[test]
fn both_sides_in_one_span_cost_a_key_and_no_record() {
    let body = r#"[{"traceId":"a1","id":"b2","name":"get","timestamp":100,"duration":10,
        "annotations":[{"timestamp":100,"value":"cs","endpoint":{"serviceName":"front"}},
                       {"timestamp":102,"value":"sr","endpoint":{"serviceName":"back"}},
                       {"timestamp":108,"value":"ss","endpoint":{"serviceName":"back"}},
                       {"timestamp":110,"value":"cr","endpoint":{"serviceName":"front"}}],
        "binaryAnnotations":[{"key":"a","value":"1","endpoint":{"serviceName":"front"}},
                             {"key":"b","value":"1","endpoint":{"serviceName":"back"}}]}]"#;
    let rows = decode(body, &Limits::default()).unwrap();
    let columns: Vec<_> = rows.iter().map(|row| row.v1.as_deref().unwrap()).collect();
    // The key is on disk: it must stay what it is.
    assert_eq!(columns, ["*aGyauh2e", "+aGyauh1"]);
}

#[test]
fn a_span_posted_twice_gives_equal_rows_and_halves_of_two_agents_do_not() {
    let half = |moments: [&str; 2]| {
        format!(
            r#"[{{"traceId":"a1","id":"b2","name":"get","annotations":[
                {{"timestamp":100,"value":"{}","endpoint":{{"serviceName":"front"}}}},
                {{"timestamp":110,"value":"{}","endpoint":{{"serviceName":"front"}}}}]}}]"#,
            moments[0], moments[1]
        )
    };
    let limits = Limits::default();
    let (client, server) = (half(["cs", "cr"]), half(["sr", "ss"]));
    assert_eq!(decode(&client, &limits), decode(&client.clone(), &limits));
    assert_ne!(decode(&client, &limits), decode(&server, &limits));
}

#[test]
fn many_services_in_one_span_take_time_in_proportion() {
    // Each annotation is of a service of its own, and names an address that no row keeps.
    let annotations: Vec<_> = (0..20_000)
        .map(|at| {
            let service = at % 10_000;
            format!(
                r#"{{"timestamp":{at},"value":"v","endpoint":{{"serviceName":"s{service}","port":{}}}}}"#,
                at % 60_000 + 1
            )
        })
        .collect();
    let body = format!(r#"[{{"traceId":"a1","id":"b2","annotations":[{}]}}]"#, annotations.join(","));
    let posted = decode_posted(&body, &Limits::default()).unwrap();
    let rows = split(&posted[0]);
    assert_eq!(rows.len(), 10_000);
    assert_eq!(unsplit(&rows).as_ref(), posted.first());
}
