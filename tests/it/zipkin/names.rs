//! The names that a UI offers, and the values of configured tags.

use super::{DAY, TODAY, bare, everywhere, named, search_path, span, with};
use serde_json::{Value, json};

/// A span of `front` that calls `back`.
fn call(trace: &str) -> Value {
    with(span(trace, "1", 0), json!({ "name": "get /foo", "remoteEndpoint": named("back") }))
}

#[test]
fn where_nothing_is_stored_there_are_no_names() {
    everywhere(&[], &[], |asked| {
        asked.names("/api/v2/services", &[]);
        asked.names("/api/v2/spans?serviceName=front", &[]);
        asked.names("/api/v2/remoteServices?serviceName=front", &[]);
    });
}

#[test]
fn services_are_those_that_recorded_spans() {
    let other = with(span("b", "1", 0), json!({ "localEndpoint": named("other") }));
    everywhere(&[], &[call("a"), other, bare("c", "1")], |asked| {
        asked.names("/api/v2/services", &["front", "other"]);
        asked.names("/zipkin/api/v2/services", &["front", "other"]);
    });
}

#[test]
fn names_are_those_of_the_service_that_recorded_them() {
    let other = with(
        span("b", "1", 0),
        json!({ "name": "put", "localEndpoint": named("other"), "remoteEndpoint": named("db") }),
    );
    let nameless = with(bare("c", "1"), json!({ "name": "lost", "remoteEndpoint": named("lost") }));
    everywhere(&[], &[call("a"), other, nameless], |asked| {
        asked.names("/api/v2/spans?serviceName=front", &["get /foo"]);
        asked.names("/api/v2/spans?serviceName=other", &["put"]);
        asked.names("/api/v2/spans?serviceName=back", &[]);
        asked.names("/api/v2/spans?serviceName=front1", &[]);
        asked.names("/api/v2/spans?serviceName=fron", &[]);
        asked.names("/api/v2/spans?serviceName=", &[]);
        asked.names("/api/v2/remoteServices?serviceName=front", &["back"]);
        asked.names("/api/v2/remoteServices?serviceName=other", &["db"]);
        asked.names("/api/v2/remoteServices?serviceName=db", &[]);
        asked.names("/api/v2/remoteServices?serviceName=", &[]);
    });
}

#[test]
fn a_span_without_a_name_or_a_peer_has_none() {
    everywhere(&[], &[span("a", "1", 0)], |asked| {
        asked.names("/api/v2/services", &["front"]);
        asked.names("/api/v2/spans?serviceName=front", &[]);
        asked.names("/api/v2/remoteServices?serviceName=front", &[]);
    });
}

/// Agents disagree about case; people do not care.
#[test]
fn names_that_differ_in_case_only_are_one_in_lower_case() {
    let loud = with(
        span("b", "1", 0),
        json!({ "name": "GET /Foo", "localEndpoint": named("FRONT"), "remoteEndpoint": named("Back") }),
    );
    let foreign = with(
        span("c", "1", 0),
        json!({ "name": "GRÜSSE", "localEndpoint": named("个人信息服务"), "remoteEndpoint": named("ÄPFEL") }),
    );
    everywhere(&[], &[call("a"), loud, foreign], |asked| {
        asked.names("/api/v2/services", &["front", "个人信息服务"]);
        asked.names("/api/v2/spans?serviceName=FRont", &["get /foo"]);
        asked.names("/api/v2/remoteServices?serviceName=FRont", &["back"]);
        let service = "%E4%B8%AA%E4%BA%BA%E4%BF%A1%E6%81%AF%E6%9C%8D%E5%8A%A1";
        asked.names(&format!("/api/v2/spans?serviceName={service}"), &["grüsse"]);
        asked.names(&format!("/api/v2/remoteServices?serviceName={service}"), &["äpfel"]);
    });
}

/// More than the 50 that a store may think enough.
#[test]
fn every_name_comes_back_once_and_sorted() {
    const MANY: usize = 151;
    let spans: Vec<Value> = (0..MANY)
        .rev()
        .flat_map(|n| {
            let yak = |trace: String| {
                with(
                    span(&trace, &format!("{:x}", n + 1), 0),
                    json!({
                        "name": format!("yak{n:03}"), "remoteEndpoint": named(&format!("yak{n:03}")),
                    }),
                )
            };
            // Each name twice.
            [yak(format!("{:x}", n + 1)), yak("ffff".to_owned())]
        })
        .chain((0..MANY).map(|n| {
            with(span("fffe", &format!("{:x}", n + 1), 0), json!({ "localEndpoint": named(&format!("herd{n:03}")) }))
        }))
        .collect();
    let yaks: Vec<String> = (0..MANY).map(|n| format!("yak{n:03}")).collect();
    let services: Vec<String> =
        std::iter::once("front".to_owned()).chain((0..MANY).map(|n| format!("herd{n:03}"))).collect();
    everywhere(&[], &spans, |asked| {
        assert_eq!(asked.texts("/api/v2/spans?serviceName=front"), yaks);
        assert_eq!(asked.texts("/api/v2/remoteServices?serviceName=front"), yaks);
        assert_eq!(asked.texts("/api/v2/services"), services);
    });
}

#[test]
fn names_are_written_as_json() {
    let odd = with(
        span("a", "1", 0),
        json!({ "name": "\"\\\u{2028}", "localEndpoint": named("foo\tbar"), "remoteEndpoint": named("é") }),
    );
    everywhere(&[], &[odd], |asked| {
        assert_eq!(asked.get("/api/v2/services").text(), r#"["foo\tbar"]"#);
        assert_eq!(asked.get("/api/v2/spans?serviceName=foo%09bar").text(), "[\"\\\"\\\\\\u2028\"]");
        assert_eq!(asked.get("/api/v2/remoteServices?serviceName=foo%09bar").text(), "[\"é\"]");
    });
}

#[test]
fn names_that_come_late_are_in_the_next_answer() {
    everywhere(&["--zipkin-autocomplete-keys", "k"], &[call("a")], |asked| {
        asked.names("/api/v2/services", &["front"]);
        asked.names("/api/v2/spans?serviceName=front", &["get /foo"]);
        asked.names("/api/v2/autocompleteValues?key=k", &[]);
        asked.place(&[
            with(call("b"), json!({ "name": "a new one", "tags": { "k": "v" } })),
            with(span("c", "1", 0), json!({ "localEndpoint": named("another") })),
        ]);
        asked.names("/api/v2/services", &["another", "front"]);
        asked.names("/api/v2/spans?serviceName=front", &["a new one", "get /foo"]);
        asked.names("/api/v2/autocompleteValues?key=k", &["v"]);
    });
}

#[test]
fn values_are_told_of_the_configured_tags_only() {
    let tagged = |trace: &str, tags: Value| with(call(trace), json!({ "tags": tags }));
    let spans = [
        tagged("a", json!({ "http.method": "GET", "env": "prod", "secret": "s" })),
        tagged("b", json!({ "http.method": "get", "env": "prod" })),
        tagged("c", json!({ "http.method": "GET", "env": "", "http.methods": "no" })),
        tagged("d", json!({ "http.method": "\"POST\"" })),
    ];
    everywhere(&["--zipkin-autocomplete-keys", "http.method,env,unused"], &spans, |asked| {
        asked.names("/api/v2/autocompleteKeys", &["env", "http.method", "unused"]);
        // Values are told in their case.
        asked.names("/api/v2/autocompleteValues?key=http.method", &["\"POST\"", "GET", "get"]);
        asked.names("/zipkin/api/v2/autocompleteValues?key=http.method", &["\"POST\"", "GET", "get"]);
        asked.names("/api/v2/autocompleteValues?key=unused", &[]);
        asked.names("/api/v2/autocompleteValues?key=secret", &[]);
        asked.names("/api/v2/autocompleteValues?key=HTTP.method", &[]);
    });
    everywhere(&[], &spans, |asked| {
        asked.names("/api/v2/autocompleteKeys", &[]);
        asked.names("/api/v2/autocompleteValues?key=env", &[]);
    });
}

/// Who turns searching off wants no index, but still the traces whose ids are in their logs.
#[test]
fn without_search_there_are_no_names_and_no_finds_and_no_errors() {
    let spans = [with(call("a"), json!({ "kind": "CLIENT", "duration": 5, "tags": { "k": "v" } }))];
    let settings = ["--zipkin-search-enabled=false", "--zipkin-autocomplete-keys=k"];
    everywhere(&settings, &spans, |asked| {
        for query in ["", "serviceName=front", "spanName=get+/foo", "annotationQuery=k=v", "minDuration=5"] {
            asked.names(&search_path(query), &[]);
        }
        asked.names("/api/v2/services", &[]);
        asked.names("/api/v2/spans?serviceName=front", &[]);
        asked.names("/api/v2/remoteServices?serviceName=front", &[]);
        asked.names("/api/v2/autocompleteValues?key=k", &[]);
        asked.names("/api/v2/autocompleteKeys", &["k"]);
        // By id, and the graph.
        assert_eq!(asked.get("/api/v2/trace/a").json().as_array().unwrap().len(), 1);
        assert_eq!(asked.get("/api/v2/traceMany?traceIds=a,b").json().as_array().unwrap().len(), 1);
        let links = asked.get(&format!("/api/v2/dependencies?endTs={}&lookback={DAY}", TODAY + 1)).json();
        assert_eq!(links, json!([{ "parent": "front", "child": "back", "callCount": 1 }]));
        // What is wrong stays wrong.
        assert_eq!(asked.server.get("/api/v2/traces?limit=0").status, 400);
        assert_eq!(asked.server.get("/api/v2/spans").status, 400);
        assert_eq!(asked.server.get("/api/v2/autocompleteValues?key=").status, 400);
    });
}
