//! Which traces a search finds, in which order, and in which window.

use super::{Asked, DAY, Placement, TODAY, bare, client, everywhere, named, noted, search_path, span, tagged, with};
use crate::support::server::Server;
use serde_json::{Value, json};
use spanlake::clock::{Clock, SystemClock};

/// The start of a new installation, or one that was cleared.
#[test]
fn where_nothing_is_stored_nothing_is_found() {
    everywhere(&[], &[], |asked| {
        for query in [
            "",
            "serviceName=front",
            "serviceName=front&remoteServiceName=back",
            "serviceName=front&spanName=get",
            "serviceName=front&annotationQuery=custom",
            "serviceName=front&annotationQuery=a=b",
            "minDuration=1",
        ] {
            asked.search(query, &[]);
        }
    });
}

/// Broken instrumentation sends such spans; they must not stop others from being found.
#[test]
fn a_span_of_which_only_the_ids_are_known_is_found_by_its_id_alone() {
    everywhere(&[], &[bare("a", "1"), span("b", "1", 0)], |asked| {
        asked.search("", &["b"]);
        asked.search("serviceName=front", &["b"]);
        assert_eq!(asked.get("/api/v2/trace/a").json().as_array().unwrap().len(), 1);
    });
}

#[test]
fn the_spans_of_a_trace_come_together_however_they_were_posted() {
    let spans = [span("a", "1", 1), span("b", "1", 1), span("a", "2", 2), span("b", "2", 3)];
    everywhere(&[], &spans, |asked| asked.search("", &["b", "a"]));
}

/// An agent sends again what it got no answer for.
#[test]
fn a_span_that_was_sent_twice_is_one() {
    let sent = [client("a"), span("a", "3", 5), client("a"), span("a", "3", 5)];
    everywhere(&[], &sent, |asked| {
        asked.post(&sent);
        asked.search("serviceName=front", &["a"]);
        assert_eq!(asked.get(&search_path("")).json()[0].as_array().unwrap().len(), 2);
    });
}

/// Nothing is said about 64-bit and 128-bit ids: they are different traces.
#[test]
fn traces_whose_ids_have_the_same_right_half_are_told_apart() {
    let spans = [
        tagged(span("a", "1", 0), json!({ "foo": "1" })),
        tagged(span("1000000000000000a", "1", 1), json!({ "foo": "2" })),
        tagged(span("2000000000000000a", "1", 2), json!({ "foo": "3" })),
    ];
    everywhere(&[], &spans, |asked| {
        asked.search("", &["2000000000000000a", "1000000000000000a", "a"]);
        asked.search("serviceName=front&annotationQuery=foo=1", &["a"]);
        asked.search("serviceName=front&annotationQuery=foo=2", &["1000000000000000a"]);
        asked.search("serviceName=front&annotationQuery=foo=3", &["2000000000000000a"]);
        asked.search("annotationQuery=foo", &["2000000000000000a", "1000000000000000a", "a"]);
    });
}

/// A condition met by one trace does not speak for another of the same right half.
#[test]
fn what_another_trace_of_the_same_right_half_says_does_not_count() {
    let wide = with(client("1000000000000000a"), json!({ "name": "get" }));
    let narrow = with(
        span("a", "1", 0),
        json!({ "name": "bar", "localEndpoint": named("foo"), "remoteEndpoint": named("baz") }),
    );
    everywhere(&[], &[narrow, wide], |asked| {
        asked.search("serviceName=front", &["1000000000000000a"]);
        asked.search("serviceName=foo", &["a"]);
        asked.search("spanName=bar", &["a"]);
        asked.search("serviceName=front&remoteServiceName=baz", &[]);
        asked.search("serviceName=front&spanName=bar", &[]);
        asked.search("serviceName=foo&annotationQuery=http.method", &[]);
        asked.search("serviceName=foo&minDuration=1", &[]);
    });
}

/// An agent in the middle dropped the left half of the id.
#[test]
fn without_strict_ids_both_widths_are_one_trace() {
    let spans = [
        noted(span("1000000000000000a", "1", 0), &["foo"]),
        with(span("1000000000000000a", "2", 50), json!({ "parentId": "1", "kind": "CLIENT" })),
        with(
            span("a", "2", 100),
            json!({ "parentId": "1", "kind": "SERVER", "shared": true,
            "localEndpoint": named("back") }),
        ),
        with(
            span("a", "3", 150),
            json!({ "parentId": "2", "localEndpoint": named("back"),
            "tags": { "error": "" } }),
        ),
        span("b", "1", 10),
    ];
    everywhere(&["--zipkin-strict-trace-id=false"], &spans, |asked| {
        let mixed = "a+1000000000000000a";
        asked.search("", &[mixed, "b"]);
        // By what either side knows, and by what only both know.
        asked.search("serviceName=front&annotationQuery=foo", &[mixed]);
        asked.search("serviceName=back&annotationQuery=error", &[mixed]);
        asked.search("annotationQuery=foo+and+error", &[mixed]);
        asked.search("serviceName=front&annotationQuery=error", &[]);
        for path in [
            "/api/v2/traceMany?traceIds=a,b",
            "/api/v2/traceMany?traceIds=1000000000000000a,b",
            "/api/v2/traceMany?traceIds=1000000000000000a,a,b",
        ] {
            let lengths: Vec<usize> = asked
                .get(path)
                .json()
                .as_array()
                .unwrap()
                .iter()
                .map(|trace| trace.as_array().unwrap().len())
                .collect();
            assert_eq!(lengths, [4, 1], "{path}");
        }
    });
}

/// With them, the one-sided conditions of the same trace are not met together.
#[test]
fn with_strict_ids_the_halves_of_a_mixed_trace_are_found_by_themselves() {
    let spans =
        [noted(span("1000000000000000a", "1", 0), &["foo"]), tagged(span("a", "3", 150), json!({ "error": "" }))];
    everywhere(&[], &spans, |asked| {
        asked.search("annotationQuery=foo", &["1000000000000000a"]);
        asked.search("annotationQuery=error", &["a"]);
        asked.search("annotationQuery=foo+and+error", &[]);
    });
}

#[test]
fn the_newest_traces_come_first_and_are_the_ones_within_the_limit() {
    let spans: Vec<Value> = (1..=10)
        .flat_map(|n: i64| [span(&format!("e{n:x}"), "1", -n), span(&format!("f{n:x}"), "1", 100 - n)])
        .collect();
    let late = ["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "fa"];
    let early = ["e1", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "ea"];
    everywhere(&[], &spans, |asked| {
        asked.search("", &[late, early].concat());
        asked.search("limit=20", &[late, early].concat());
        asked.search("limit=19", &[&late[..], &early[..9]].concat());
        asked.search("limit=10", &late);
        asked.search("limit=1", &late[..1]);
        asked.search("serviceName=front&limit=3", &late[..3]);
        asked.search(&format!("endTs={}&lookback=100", TODAY + 100), &late);
        asked.search(&format!("endTs={TODAY}"), &early);
        asked.search(&format!("endTs={TODAY}&limit=2"), &early[..2]);
    });
}

/// The limit counts what is found, not what is looked at.
#[test]
fn newer_traces_that_do_not_match_leave_the_limit_to_those_that_do() {
    let mut spans: Vec<Value> = (1..=60).map(|n: i64| span(&format!("f{n:x}"), "1", 1_000 + n)).collect();
    spans.extend((1..=3).map(|n: i64| tagged(span(&format!("e{n}"), "1", n), json!({ "error": "" }))));
    everywhere(&[], &spans, |asked| {
        asked.search("annotationQuery=error&limit=2", &["e3", "e2"]);
        asked.search("annotationQuery=error&limit=10", &["e3", "e2", "e1"]);
    });
}

/// More than one piece of an answer, and more than is sent whole.
#[test]
fn many_traces_of_many_spans_come_whole_and_in_order() {
    let traces: Vec<String> = (1..=120).map(|n| format!("{n:x}")).collect();
    let spans: Vec<Value> = (1_i64..)
        .zip(&traces)
        .flat_map(|(n, trace)| {
            (1..=40).map(move |id: i64| tagged(span(trace, &format!("{id:x}"), n), json!({ "n": "x".repeat(40) })))
        })
        .collect();
    let newest: Vec<&str> = traces.iter().rev().take(100).map(String::as_str).collect();
    everywhere(&[], &spans, |asked| {
        asked.search("serviceName=front", &newest);
        assert_eq!(asked.get(&search_path("")).header("transfer-encoding"), Some("chunked"));
    });
}

/// Not by its beginning: what happened last is what a person looks for.
#[test]
fn the_newest_span_in_the_window_says_how_new_a_trace_is() {
    let spans = [
        span("a", "1", 0),
        with(span("a", "2", 50), json!({ "parentId": "1" })),
        span("b", "1", 10),
        with(span("b", "2", 20), json!({ "parentId": "1" })),
    ];
    everywhere(&[], &spans, |asked| {
        asked.search("", &["a", "b"]);
        asked.search(&format!("endTs={}", TODAY + 50), &["a", "b"]);
        asked.search(&format!("endTs={}", TODAY + 49), &["b", "a"]);
        asked.search(&format!("endTs={}", TODAY + 9), &["a"]);
        asked.search("limit=1", &["a"]);
        asked.search(&format!("endTs={}&limit=1", TODAY + 49), &["b"]);
    });
}

/// So that asking again gives the same order.
#[test]
fn of_traces_of_the_same_millisecond_the_lower_id_comes_first() {
    let at = |trace: &str, micros: i64| with(span(trace, "1", 0), json!({ "timestamp": TODAY * 1_000 + micros }));
    let spans = [at("b", 999), at("c", 500), at("a", 1), at("d", 1_000), at("8000000000000000", 0)];
    everywhere(&[], &spans, |asked| {
        // Ids are compared as the table's signed column is.
        asked.search("", &["d", "8000000000000000", "a", "b", "c"]);
        asked.search("limit=3", &["d", "8000000000000000", "a"]);
    });
}

#[test]
fn the_window_includes_both_its_ends() {
    let spans = [span("1", "1", 1), span("2", "1", 2)];
    everywhere(&[], &spans, |asked| {
        for (end, lookback, expected) in [
            (0, DAY, &[][..]),
            (1, DAY, &["1"]),
            (2, DAY, &["2", "1"]),
            (3, DAY, &["2", "1"]),
            (1, 1, &["1"]),
            (2, 1, &["2", "1"]),
            (3, 1, &["2"]),
            (4, 1, &[]),
        ] {
            asked.search(&format!("endTs={}&lookback={lookback}", TODAY + end), expected);
            asked.search(&format!("serviceName=front&endTs={}&lookback={lookback}", TODAY + end), expected);
        }
    });
}

/// The window is in milliseconds, spans are in microseconds.
#[test]
fn a_microsecond_out_of_the_window_is_out_of_it() {
    let at = |trace: &str, micros: i64| with(span(trace, "1", 0), json!({ "timestamp": TODAY * 1_000 + micros }));
    everywhere(&[], &[at("a", -1), at("b", 0), at("c", 1_000), at("d", 2_001)], |asked| {
        asked.search(&format!("endTs={}&lookback=2", TODAY + 2), &["c", "b"]);
        asked.search(&format!("endTs={}&lookback=3", TODAY + 3), &["d", "c", "b"]);
        asked.search(&format!("endTs={}&lookback=3", TODAY + 2), &["c", "b", "a"]);
    });
}

/// By its root, however long it goes on; whole, even so.
#[test]
fn a_trace_across_an_edge_of_the_window_is_where_its_root_is() {
    let spans = [
        span("a", "1", -10),
        with(span("a", "2", 10), json!({ "parentId": "1" })),
        span("b", "1", 90),
        with(span("b", "2", 110), json!({ "parentId": "1" })),
        // The root's clock is late.
        span("c", "1", 50),
        with(span("c", "2", -50), json!({ "parentId": "1" })),
    ];
    everywhere(&[], &spans, |asked| {
        let window = |start: i64, end: i64| format!("endTs={}&lookback={}", TODAY + end, end - start);
        asked.search(&window(0, 100), &["b", "c"]);
        asked.search(&format!("serviceName=front&{}", window(0, 100)), &["b", "c"]);
        asked.search(&window(-20, 0), &["a"]);
        asked.search(&window(100, 120), &[]);
        asked.search(&window(-60, -40), &[]);
    });
}

#[test]
fn a_trace_without_a_root_is_where_its_earliest_span_is() {
    let child = |trace: &str, id: &str, millis: i64| with(span(trace, id, millis), json!({ "parentId": "ff" }));
    let spans = [
        child("a", "2", -10),
        child("a", "3", 10),
        child("b", "2", 10),
        child("b", "3", 110),
        // Its own parent is a root; so is one whose parent is 0.
        child("c", "2", 10),
        with(span("c", "3", 201), json!({ "parentId": "3" })),
        child("d", "2", 10),
        with(span("d", "3", 200), json!({ "parentId": "0" })),
    ];
    everywhere(&[], &spans, |asked| {
        asked.search(&format!("endTs={}&lookback=100", TODAY + 100), &["b"]);
        asked.search(&format!("endTs={}&lookback=20", TODAY), &["a"]);
        asked.search(&format!("endTs={}&lookback=1", TODAY + 201), &["c", "d"]);
    });
}

/// A condition may be met by a span that lies out of the window.
#[test]
fn the_conditions_are_those_of_the_whole_trace() {
    let spans = [
        span("a", "1", 90),
        with(
            span("a", "2", 300),
            json!({ "parentId": "1", "name": "late", "tags": { "error": "" },
            "localEndpoint": named("back") }),
        ),
        with(span("a", "3", 91), json!({ "parentId": "1", "timestamp": null, "name": "timeless" })),
    ];
    everywhere(&[], &spans, |asked| {
        let window = format!("endTs={}&lookback=100", TODAY + 100);
        asked.search(&format!("annotationQuery=error&{window}"), &["a"]);
        asked.search(&format!("serviceName=back&spanName=late&{window}"), &["a"]);
        asked.search(&format!("spanName=timeless&{window}"), &["a"]);
    });
}

/// A trace of no time has no meaning on a time line, though whoever has its id may see it.
#[test]
fn a_trace_without_a_time_is_absent_until_a_span_has_one() {
    let timeless = with(client("a"), json!({ "timestamp": null, "duration": null }));
    everywhere(&[], &[timeless], |asked| {
        let all = format!("endTs={}&lookback={}", TODAY + DAY, TODAY + DAY);
        for query in [&all, "serviceName=front", "serviceName=front&remoteServiceName=back", "spanName=get+/foo"] {
            asked.search(query, &[]);
        }
        asked.place(&[client("a")]);
        for query in [&all, "serviceName=front", "serviceName=front&remoteServiceName=back", "spanName=get+/foo"] {
            asked.search(query, &["a"]);
        }
        assert_eq!(asked.get("/api/v2/trace/a").json().as_array().unwrap().len(), 2);
    });
}

/// Only such flags tell them apart; merging them would lose one side of the call.
#[test]
fn both_sides_of_a_call_come_back_with_their_flags() {
    let asking = with(client("a"), json!({ "debug": true }));
    let answering = with(client("a"), json!({ "kind": "SERVER", "shared": true }));
    everywhere(&[], &[asking, answering], |asked| {
        asked.search("", &["a"]);
        let trace = &asked.get(&search_path("")).json()[0];
        let mut flags: Vec<String> =
            (0..2).map(|n| format!("{} {} {}", trace[n]["kind"], trace[n]["debug"], trace[n]["shared"])).collect();
        flags.sort();
        assert_eq!(flags, ["\"CLIENT\" true null", "\"SERVER\" null true"]);
    });
}

#[test]
fn spans_that_come_late_are_in_the_next_answer() {
    everywhere(&[], &[span("a", "1", 0), span("b", "1", 10)], |asked| {
        asked.search("annotationQuery=error", &[]);
        asked.search("", &["b", "a"]);
        asked.place(&[
            with(span("a", "2", 20), json!({ "parentId": "1", "tags": { "error": "" } })),
            span("c", "1", 15),
        ]);
        asked.search("annotationQuery=error", &["a"]);
        asked.search("", &["a", "c", "b"]);
    });
}

/// Spans of v1 are found by what they become in v2.
#[test]
fn spans_posted_in_v1_are_found_as_v2_has_them() {
    let posted = json!([{
        "traceId": "a", "id": "1", "name": "Get", "timestamp": TODAY * 1_000, "duration": 100,
        "annotations": [
            { "timestamp": TODAY * 1_000, "value": "cs", "endpoint": named("Front") },
            { "timestamp": TODAY * 1_000 + 10, "value": "sr", "endpoint": named("back") },
            { "timestamp": TODAY * 1_000 + 20, "value": "retry", "endpoint": named("Front") },
            { "timestamp": TODAY * 1_000 + 90, "value": "ss", "endpoint": named("back") },
            { "timestamp": TODAY * 1_000 + 100, "value": "cr", "endpoint": named("Front") },
        ],
        "binaryAnnotations": [
            { "key": "http.path", "value": "/foo", "endpoint": named("Front") },
            { "key": "sa", "value": true, "endpoint": named("back") },
        ],
    }]);
    everywhere(&[], &[], |asked| {
        let body = posted.to_string();
        assert_eq!(asked.server.post("/api/v1/spans", body.as_bytes()).status, 202);
        if asked.placement != Placement::Memory {
            asked.flush();
        }
        asked.search("serviceName=front&spanName=get", &["a"]);
        asked.search("serviceName=back", &["a"]);
        asked.search("serviceName=front&remoteServiceName=back", &["a"]);
        asked.search("serviceName=front&annotationQuery=retry+and+http.path=/foo", &["a"]);
        asked.search("serviceName=back&annotationQuery=retry", &[]);
        asked.search("serviceName=front&minDuration=100", &["a"]);
        asked.search("serviceName=back&minDuration=81", &[]);
        // What v1 calls annotations of the call itself are no longer such.
        asked.search("annotationQuery=cs", &[]);
    });
}

/// The defaults: up to now, a day back, ten traces.
#[test]
fn a_search_that_says_nothing_is_for_ten_traces_of_the_last_day() {
    let now = SystemClock.now_micros() / 1_000_000;
    // A minute lies between them and the moment they are asked for.
    let spans: Vec<Value> = (1..=12)
        .map(|n: i64| with(span(&format!("{n:x}"), "1", 0), json!({ "timestamp": (now - 60 * n) * 1_000_000 })))
        .chain([with(span("ff", "1", 0), json!({ "timestamp": (now - 25 * 3_600) * 1_000_000 }))])
        .chain([with(span("fe", "1", 0), json!({ "timestamp": (now + 3_600) * 1_000_000 }))])
        .collect();
    let ids = |asked: &Asked, path: &str| -> Vec<String> {
        let found = asked.get(path).json();
        let id = |trace: &Value| trace[0]["traceId"].as_str().unwrap().trim_start_matches('0').to_owned();
        found.as_array().unwrap().iter().map(id).collect()
    };
    everywhere(&[], &spans, |asked| {
        assert_eq!(ids(asked, "/api/v2/traces"), ["1", "2", "3", "4", "5", "6", "7", "8", "9", "a"]);
        assert_eq!(ids(asked, "/api/v2/traces?limit=100").len(), 12);
        assert_eq!(ids(asked, "/api/v2/traces?lookback=150000&limit=100"), ["1", "2"]);
    });
    everywhere(&["--query-lookback", "150s"], &spans, |asked| {
        assert_eq!(ids(asked, "/api/v2/traces"), ["1", "2"]);
    });
}

#[test]
fn isolated_projects_find_their_own_traces_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["--projects", "isolated", "--flush-interval", "1h"]);
    let mut client = server.connect();
    let body = |span: Value| json!([span]).to_string().into_bytes();
    for flush in [false, true] {
        client.send("POST", "/api/v2/spans", &[("x-scope-orgid", "a")], &body(span("a", "1", 0)));
        client.send("POST", "/api/v2/spans", &[("x-scope-orgid", "b")], &body(span("b", "1", 0)));
        // The same id in both.
        client.send("POST", "/api/v2/spans", &[("x-scope-orgid", "b")], &body(span("a", "2", 1)));
        if flush {
            client.send("POST", "/admin/flush", &[], b"");
        }
        let mut find = |headers: &[(&str, &str)]| -> Vec<String> {
            let found = client.send("GET", &search_path("serviceName=front"), headers, b"").json();
            found
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|trace| trace.as_array().unwrap())
                .map(|span| {
                    format!(
                        "{}{}",
                        span["traceId"].as_str().unwrap().trim_start_matches('0'),
                        &span["id"].as_str().unwrap()[15..]
                    )
                })
                .collect()
        };
        assert_eq!(find(&[("x-scope-orgid", "a")]), ["a1"]);
        assert_eq!(find(&[("x-scope-orgid", "b")]), ["a2", "b1"]);
        assert_eq!(find(&[]), [""; 0]);
    }
}
