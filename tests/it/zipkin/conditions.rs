//! What a search asks of a trace's spans.

use super::{TODAY, bare, client, everywhere, named, noted, search_path, span, tagged, with};
use serde_json::{Value, json};

#[test]
fn services_are_local_and_their_peers_remote_ones() {
    everywhere(&[], &[client("a")], |asked| {
        asked.search("serviceName=front", &["a"]);
        asked.search("serviceName=front1", &[]);
        asked.search("serviceName=back", &[]);
        asked.search("serviceName=front&remoteServiceName=back", &["a"]);
        asked.search("serviceName=front&remoteServiceName=back1", &[]);
        asked.search("remoteServiceName=back", &["a"]);
        asked.search("remoteServiceName=front", &[]);
    });
}

#[test]
fn spans_are_found_by_name_with_or_without_the_service() {
    let other = with(span("b", "1", 1), json!({ "name": "put", "localEndpoint": named("other") }));
    everywhere(&[], &[client("a"), other], |asked| {
        asked.search("spanName=get+/foo", &["a"]);
        asked.search("spanName=get+/foo1", &[]);
        asked.search("spanName=get", &[]);
        asked.search("serviceName=front&spanName=get+/foo", &["a"]);
        asked.search("serviceName=front&spanName=put", &[]);
        asked.search("serviceName=other&spanName=put", &["b"]);
    });
}

/// The UI of old sent it for any; of a service it never had a meaning.
#[test]
fn all_is_any_span_and_a_service_that_is_not_there() {
    everywhere(&[], &[client("a"), span("b", "1", 1)], |asked| {
        asked.search("spanName=all", &["b", "a"]);
        asked.search("spanName=ALL&serviceName=front", &["b", "a"]);
        asked.search("serviceName=all", &[]);
        asked.search("serviceName=&spanName=&remoteServiceName=&annotationQuery=", &["b", "a"]);
    });
}

#[test]
fn names_are_found_in_any_case_as_sent_and_as_asked() {
    let loud = with(
        span("b", "1", 1),
        json!({ "name": "Grüße", "localEndpoint": named("FRONT"), "remoteEndpoint": named("个人信息服务") }),
    );
    everywhere(&[], &[client("a"), loud], |asked| {
        asked.search("serviceName=front", &["b", "a"]);
        asked.search("serviceName=FRont", &["b", "a"]);
        asked.search("serviceName=front&remoteServiceName=BACK", &["a"]);
        asked.search("serviceName=front&spanName=GET+/foo", &["a"]);
        asked.search("spanName=GR%C3%9C%C3%9Fe", &["b"]);
        asked.search("remoteServiceName=%E4%B8%AA%E4%BA%BA%E4%BF%A1%E6%81%AF%E6%9C%8D%E5%8A%A1", &["b"]);
    });
}

#[test]
fn a_word_is_an_annotation_or_a_tags_key_and_conditions_add_up() {
    let spans = [
        noted(span("1", "1", 1), &["foo"]),
        // Not in the order of letters.
        noted(span("2", "2", 2), &["foo", "bar"]),
        tagged(noted(span("3", "3", 3), &["foo"]), json!({ "baz": "qux" })),
        tagged(noted(span("4", "4", 4), &["bar", "foo"]), json!({ "baz": "qux" })),
    ];
    everywhere(&[], &spans, |asked| {
        for service in ["", "serviceName=front&"] {
            let find = |query: &str, expected: &[&str]| {
                asked.search(&format!("{service}annotationQuery={}", query.replace(' ', "+")), expected);
            };
            find("foo", &["4", "3", "2", "1"]);
            find("bar", &["4", "2"]);
            find("foo and bar", &["4", "2"]);
            find("bar and foo", &["4", "2"]);
            find("foo and bar and baz=qux", &["4"]);
            find("baz", &["4", "3"]);
            find("baz=qux", &["4", "3"]);
            find("baz=qux and baz", &["4", "3"]);
            find("baz=", &["4", "3"]);
            find("baz=quux", &[]);
            find("baz=qu", &[]);
            find("qux", &[]);
            find("Foo", &[]);
            find("fo", &[]);
            find("foo and none", &[]);
            find("baz=1 and baz=qux", &["4", "3"]);
            find("baz=qux and baz=1", &[]);
        }
    });
}

#[test]
fn a_tag_is_found_by_its_whole_value_whatever_is_in_it() {
    let long = "a".repeat(1_024);
    let spans = [
        tagged(span("1", "1", 1), json!({ "k": "a=b and c", "http.path": "/api", "http.path.morepath": "/api/api" })),
        tagged(span("2", "1", 2), json!({ "k": format!("{long}1") })),
        tagged(span("3", "1", 3), json!({ "k": format!("{long}2") })),
        tagged(span("4", "1", 4), json!({ "k": "ключ 💩" })),
        with(span("5", "1", 5), json!({ "name": "{\"foo\":\"bar\"}" })),
    ];
    everywhere(&[], &spans, |asked| {
        asked.search(&format!("annotationQuery=k={long}1"), &["2"]);
        asked.search(&format!("annotationQuery=k={long}2"), &["3"]);
        asked.search(&format!("annotationQuery=k={long}"), &[]);
        asked.search("annotationQuery=k=%D0%BA%D0%BB%D1%8E%D1%87+%F0%9F%92%A9", &["4"]);
        asked.search("annotationQuery=http.path=/api", &["1"]);
        asked.search("annotationQuery=http.path.morepath=/api/api", &["1"]);
        asked.search("annotationQuery=http.path=/api/api", &[]);
        asked.search("annotationQuery=k", &["4", "3", "2", "1"]);
        asked.search("spanName=%7B%22foo%22:%22bar%22%7D", &["5"]);
        // The value holds what parts conditions, so it cannot be asked for whole.
        asked.search("annotationQuery=k=a=b+and+c", &[]);
    });
}

/// Such a tag says that a call failed, and nothing more.
#[test]
fn an_error_without_a_text_is_found_by_the_word() {
    let failed = with(span("a", "1", 0), json!({ "kind": "CLIENT", "tags": { "error": "" } }));
    everywhere(&[], &[failed], |asked| {
        asked.search("serviceName=front", &["a"]);
        asked.search("serviceName=front&annotationQuery=error", &["a"]);
        asked.search("annotationQuery=error=", &["a"]);
        asked.search("serviceName=front&annotationQuery=error=1", &[]);
    });
}

/// Who recorded it matters: both services are in both traces.
#[test]
fn annotations_and_tags_count_for_the_service_that_recorded_them() {
    let (front, back) = (json!({ "localEndpoint": named("front") }), json!({ "localEndpoint": named("back") }));
    let asking = |trace: &str, millis, text: &str| {
        let own = format!("{text}-b");
        let asking = noted(span(trace, "1", millis), &[text]);
        with(asking, json!({ "kind": "CLIENT", "duration": 3_000, "tags": { "local": text, own: text } }))
    };
    let answering = |trace: &str, millis| {
        with(span(trace, "1", millis), json!({ "kind": "SERVER", "shared": true, "duration": 1_000 }))
    };
    let spans = [
        with(asking("1", 1, "web"), front.clone()),
        with(answering("1", 2), back.clone()),
        with(asking("2", 11, "app"), back),
        with(answering("2", 12), front),
    ];
    everywhere(&[], &spans, |asked| {
        asked.search("", &["2", "1"]);
        for (service, condition, expected) in [
            ("front", "web", &["1"][..]),
            ("back", "web", &[]),
            ("back", "app", &["2"]),
            ("front", "app", &[]),
            ("front", "web-b", &["1"]),
            ("back", "web-b", &[]),
            ("back", "app-b", &["2"]),
            ("front", "app-b", &[]),
            ("front", "local=web", &["1"]),
            ("back", "local=web", &[]),
            ("back", "local=app", &["2"]),
            ("front", "local=app", &[]),
            ("front", "local", &["1"]),
        ] {
            asked.search(&format!("serviceName={service}&annotationQuery={condition}"), expected);
        }
        asked.search("annotationQuery=local", &["2", "1"]);
        // The client's duration is not the server's.
        asked.search("serviceName=front&minDuration=2000", &["1"]);
        asked.search("serviceName=back&minDuration=2000", &["2"]);
        asked.search("serviceName=front&maxDuration=1000&minDuration=1", &["2"]);
    });
}

/// Each of the service, but none of them alone.
#[test]
fn conditions_are_met_by_several_spans_of_the_service() {
    let child = |id: &str, fields: Value| with(with(span("a", id, 1), json!({ "parentId": "1" })), fields);
    let spans = [
        span("a", "1", 0),
        child("2", json!({ "name": "get" })),
        child("3", json!({ "tags": { "error": "500" } })),
        child("4", json!({ "duration": 70 })),
        child("5", json!({ "remoteEndpoint": named("db") })),
        child("6", json!({ "annotations": [{ "timestamp": TODAY * 1_000, "value": "retry" }] })),
        child("7", json!({ "localEndpoint": named("back"), "name": "put", "duration": 900, "tags": { "k": "v" } })),
    ];
    everywhere(&[], &spans, |asked| {
        let all = "serviceName=front&spanName=get&remoteServiceName=db&minDuration=70&maxDuration=70\
                   &annotationQuery=retry+and+error%3D500";
        asked.search(all, &["a"]);
        asked.search(&all.replace("front", "back"), &[]);
        asked.search(&all.replace("=get", "=put"), &[]);
        asked.search(&all.replace("error%3D500", "k"), &[]);
        asked.search(&all.replace("=70", "=71"), &[]);
        asked.search(&all.replace("serviceName=front&", "").replace("=get", "=put"), &["a"]);
    });
}

#[test]
fn both_bounds_of_a_duration_are_inclusive() {
    everywhere(&[], &[client("a")], |asked| {
        asked.search("minDuration=200000", &["a"]);
        asked.search("minDuration=200001", &[]);
        asked.search("minDuration=200000&maxDuration=200000", &["a"]);
        asked.search("minDuration=1&maxDuration=199999", &[]);
        asked.search("minDuration=1&maxDuration=200000", &["a"]);
    });
}

#[test]
fn both_bounds_of_a_duration_are_of_one_span() {
    let lasting = |id: &str, duration: i64| with(span("a", id, 0), json!({ "duration": duration }));
    everywhere(&[], &[lasting("1", 10), lasting("2", 1_000)], |asked| {
        asked.search("minDuration=10&maxDuration=10", &["a"]);
        asked.search("minDuration=11&maxDuration=999", &[]);
        asked.search("minDuration=11&maxDuration=1000", &["a"]);
    });
}

/// Some agents tell first that a span began, later that it ended.
#[test]
fn a_duration_that_comes_late_counts() {
    let begun = with(span("a", "1", 0), json!({ "name": "get" }));
    let ended = with(span("a", "1", 0), json!({ "duration": 200_000 }));
    everywhere(&[], &[begun, ended], |asked| {
        asked.search("minDuration=200000", &["a"]);
        asked.search("minDuration=200001", &[]);
        asked.search("spanName=get&minDuration=200000", &["a"]);
    });
}

#[test]
fn durations_count_for_any_span_of_the_service_not_just_the_root() {
    let step = |trace: &str, id: &str, micros: i64, duration: i64, local: &str, remote: &str| {
        let span = with(bare(trace, id), json!({ "timestamp": (TODAY - 3) * 1_000 + micros, "duration": duration }));
        let span = with(span, json!({ "localEndpoint": named(local), "remoteEndpoint": named(remote) }));
        if id == "1" { span } else { with(span, json!({ "parentId": "1" })) }
    };
    let spans = [
        step("1", "1", 100, 200_000, "front", "db"),
        step("1", "2", 200, 150_000, "back", "back"),
        step("1", "3", 250, 50_000, "db", "front"),
        step("2", "1", 110, 200_000, "db", "front"),
        step("2", "2", 210, 150_000, "back", "back"),
        step("2", "3", 260, 50_000, "front", "back"),
        with(step("3", "3", 130, 50_000, "back", "back"), json!({ "name": "zip", "parentId": null })),
    ];
    everywhere(&[], &spans, |asked| {
        let find = |query: &str, expected: &[&str]| {
            let mut found: Vec<String> = Vec::new();
            for trace in asked.get(&search_path(query)).json().as_array().unwrap() {
                found.push(trace[0]["traceId"].as_str().unwrap().trim_start_matches('0').to_owned());
            }
            found.sort();
            assert_eq!(found, expected, "{query}");
        };
        find("serviceName=front&minDuration=200000", &["1"]);
        find("serviceName=db&minDuration=200000", &["2"]);
        find("serviceName=back&minDuration=50000&maxDuration=150000", &["1", "2", "3"]);
        find("serviceName=front&remoteServiceName=back&minDuration=50000&maxDuration=50000", &["2"]);
        find("serviceName=back&spanName=zip&minDuration=50000&maxDuration=50000", &["3"]);
        find("serviceName=back&minDuration=50000&maxDuration=50000", &["3"]);
    });
}
