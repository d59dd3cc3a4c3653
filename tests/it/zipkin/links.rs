//! Which service calls which.

use super::{Asked, DAY, Placement, TODAY, everywhere, named, span, with};
use serde_json::{Value, json};

/// A call of a service: parent, child, calls, errors.
type Link = (&'static str, &'static str, u64, u64);

/// Expects these links of the window, in this order: by parent and child.
#[track_caller]
fn links(asked: &Asked, end_ts: i64, lookback: i64, expected: &[Link]) {
    let path = format!("/api/v2/dependencies?endTs={end_ts}&lookback={lookback}");
    let expected: Vec<Value> = expected
        .iter()
        .map(|(parent, child, calls, errors)| match errors {
            0 => json!({ "parent": parent, "child": child, "callCount": calls }),
            _ => json!({ "parent": parent, "child": child, "callCount": calls, "errorCount": errors }),
        })
        .collect();
    assert_eq!(asked.get(&path).json(), json!(expected), "{:?}: {path}", asked.placement);
}

/// One side of a call.
fn side(trace: &str, id: &str, parent: Option<&str>, millis: i64, kind: &str, local: &str) -> Value {
    with(
        span(trace, id, millis),
        json!({ "parentId": parent, "kind": kind, "localEndpoint": named(local), "duration": 1_000 }),
    )
}

/// front -> back -> db, which fails; the database tells nothing itself. Its spans: a server, both sides of a shared
/// span, a client.
fn trace(id: &str, millis: i64) -> [Value; 4] {
    [
        side(id, "1", None, millis, "SERVER", "front"),
        with(side(id, "2", Some("1"), millis + 50, "CLIENT", "front"), json!({ "remoteEndpoint": named("back") })),
        with(side(id, "2", Some("1"), millis + 100, "SERVER", "back"), json!({ "shared": true })),
        with(
            side(id, "3", Some("2"), millis + 150, "CLIENT", "back"),
            json!({ "remoteEndpoint": named("db"), "tags": { "error": "timeout" } }),
        ),
    ]
}

const LINKS: [Link; 2] = [("back", "db", 1, 1), ("front", "back", 1, 0)];

#[test]
fn where_nothing_is_stored_nobody_calls() {
    everywhere(&[], &[], |asked| links(asked, TODAY, DAY, &[]));
}

#[test]
fn calls_of_a_trace_are_counted_with_their_errors() {
    everywhere(&[], &trace("a", 0), |asked| {
        links(asked, TODAY + 1_000, DAY, &LINKS);
        let ui = format!("/zipkin/api/v2/dependencies?endTs={}", TODAY + 1_000);
        assert_eq!(asked.get(&ui).json().as_array().unwrap().len(), 2);
    });
}

/// Bytes, as the peer writes them.
#[test]
fn links_are_written_with_the_errors_only_where_there_are_some() {
    everywhere(&[], &trace("a", 0), |asked| {
        assert_eq!(
            asked.get(&format!("/api/v2/dependencies?endTs={}&lookback={DAY}", TODAY + 1_000)).text(),
            r#"[{"parent":"back","child":"db","callCount":1,"errorCount":1},{"parent":"front","child":"back","callCount":1}]"#
        );
    });
}

#[test]
fn calls_of_several_traces_add_up() {
    let spans: Vec<Value> = ["a", "b", "c"].iter().zip(0..).flat_map(|(id, n)| trace(id, n)).collect();
    everywhere(&[], &spans, |asked| {
        links(asked, TODAY + 1_000, DAY, &[("back", "db", 3, 3), ("front", "back", 3, 0)]);
    });
}

/// An agent sends again what it got no answer for.
#[test]
fn spans_that_were_sent_twice_count_once() {
    everywhere(&[], &trace("a", 0), |asked| {
        asked.post(&trace("a", 0));
        links(asked, TODAY + 1_000, DAY, &LINKS);
        asked.flush();
        asked.place(&trace("a", 0));
        links(asked, TODAY + 1_000, DAY, &LINKS);
    });
}

/// What was not known when the trace was first linked replaces what was guessed.
#[test]
fn late_spans_replace_what_their_trace_said_before() {
    let [root, client, server, query] = trace("a", 0);
    let client = with(client, json!({ "remoteEndpoint": named("proxy") }));
    everywhere(&[], &[root, client], |asked| {
        links(asked, TODAY + 1_000, DAY, &[("front", "proxy", 1, 0)]);
        asked.place(&[server.clone(), query.clone()]);
        links(asked, TODAY + 1_000, DAY, &LINKS);
    });
}

/// The client's guess about its peer gives way to the peer's own word.
#[test]
fn the_server_names_the_link_once_it_is_there() {
    let asking = with(side("a", "1", None, 0, "CLIENT", "front"), json!({ "remoteEndpoint": named("10.0.0.1") }));
    let answering = with(side("a", "1", None, 5, "SERVER", "back"), json!({ "shared": true }));
    everywhere(&[], &[asking], |asked| {
        links(asked, TODAY + 1_000, DAY, &[("front", "10.0.0.1", 1, 0)]);
        asked.place(std::slice::from_ref(&answering));
        links(asked, TODAY + 1_000, DAY, &[("front", "back", 1, 0)]);
    });
}

/// Some agents drop the left half of an id; the trace is one for all that.
#[test]
fn both_widths_of_an_id_are_one_trace_whatever_the_setting() {
    let wide = "1000000000000000a";
    let spans = [
        side(wide, "1", None, 0, "SERVER", "front"),
        with(side("a", "2", Some("1"), 100, "SERVER", "back"), json!({ "shared": true })),
        side(wide, "2", Some("1"), 50, "CLIENT", "front"),
    ];
    for setting in ["--zipkin-strict-trace-id=true", "--zipkin-strict-trace-id=false"] {
        everywhere(&[setting], &spans, |asked| links(asked, TODAY + 1_000, DAY, &[("front", "back", 1, 0)]));
    }
}

#[test]
fn a_window_counts_the_traces_with_a_span_in_it_ends_included() {
    // Its spans begin 0, 50, 100 and 150 ms after.
    everywhere(&[], &trace("a", 0), |asked| {
        for (end, lookback, found) in [
            (0, 1, true),
            (-1, 1_000, false),
            (100, 200, true),
            // Between two spans, but for one of them at an edge.
            (99, 48, false),
            (99, 49, true),
            (100, 1, true),
            (150, 1, true),
            (151, 1, true),
            (152, 1, false),
            (2 * DAY, DAY, false),
        ] {
            links(asked, TODAY + end, lookback, if found { &LINKS } else { &[] });
        }
    });
}

#[test]
fn days_are_asked_for_one_by_one() {
    let spans = [trace("a", -DAY), trace("b", 0)].concat();
    everywhere(&[], &spans, |asked| {
        links(asked, TODAY + 1_000, 1_000, &LINKS);
        links(asked, TODAY - DAY + 1_000, DAY, &LINKS);
    });
}

/// Windows of more than a day are sums of hours, which take traces as they lie: so here each lies whole.
#[test]
fn days_are_asked_for_together() {
    let both = [("back", "db", 2, 2), ("front", "back", 2, 0)];
    everywhere(&[], &[], |asked| {
        for spans in [trace("a", -DAY), trace("b", 0)] {
            asked.post(&spans);
            if asked.placement != Placement::Memory {
                asked.flush();
            }
        }
        links(asked, TODAY + 1_000, 2 * DAY, &both);
        links(asked, TODAY + 1_000, TODAY, &both);
        // The hour of the first lies at the window's edge.
        links(asked, TODAY + 1_000, DAY + 1_000, &both);
        links(asked, TODAY + 1_000, DAY + 849, &LINKS);
    });
}

/// A service that calls itself is a loop in the graph.
#[test]
fn a_service_may_call_itself() {
    let [root, client, ..] = trace("a", 0);
    let client = with(client, json!({ "remoteEndpoint": named("front") }));
    everywhere(&[], &[root, client], |asked| links(asked, TODAY + 1_000, DAY, &[("front", "front", 1, 0)]));
}

#[test]
fn a_trace_without_its_root_is_linked_all_the_same() {
    let [_, rest @ ..] = trace("a", 0);
    everywhere(&[], &rest, |asked| links(asked, TODAY + 1_000, DAY, &LINKS));
}

/// A broker stands between who sends and who receives.
#[test]
fn messages_go_by_way_of_their_broker() {
    let broker = json!({ "remoteEndpoint": named("kafka") });
    let spans = [
        with(side("a", "1", None, 0, "PRODUCER", "front"), broker.clone()),
        with(side("a", "2", Some("1"), 100, "CONSUMER", "back"), broker),
    ];
    everywhere(&[], &spans, |asked| {
        links(asked, TODAY + 1_000, DAY, &[("front", "kafka", 1, 0), ("kafka", "back", 1, 0)]);
    });
}

/// Old agents send both ends and no kind.
#[test]
fn both_ends_of_a_call_make_a_link_without_a_kind() {
    let step = |id: &str, parent: Option<&str>, local: Value, remote: &str| {
        with(span("a", id, 0), json!({ "parentId": parent, "localEndpoint": local, "remoteEndpoint": named(remote) }))
    };
    let spans = [
        // An address is no name.
        step("1", None, json!({ "ipv4": "172.17.0.4" }), "front"),
        step("2", Some("1"), named("front"), "back"),
        step("3", Some("2"), named("back"), "db"),
    ];
    everywhere(&[], &spans, |asked| {
        links(asked, TODAY + 1_000, DAY, &[("back", "db", 1, 0), ("front", "back", 1, 0)]);
    });
}

#[test]
fn an_annotation_named_error_is_no_error() {
    let noted = json!({ "shared": true, "annotations": [{ "timestamp": TODAY * 1_000, "value": "error" }] });
    let spans = [side("a", "1", None, 0, "CLIENT", "front"), with(side("a", "1", None, 50, "SERVER", "back"), noted)];
    everywhere(&[], &spans, |asked| links(asked, TODAY + 1_000, DAY, &[("front", "back", 1, 0)]));
}

#[test]
fn names_that_differ_in_case_only_are_one_service() {
    let spans = [
        trace("a", 0).to_vec(),
        vec![with(side("b", "1", None, 0, "CLIENT", "FRONT"), json!({ "remoteEndpoint": named("Back") }))],
    ]
    .concat();
    everywhere(&[], &spans, |asked| {
        links(asked, TODAY + 1_000, DAY, &[("back", "db", 1, 1), ("front", "back", 2, 0)]);
    });
}
