//! `GET /v1/{project_id}/traces/{traceId}/context`: what happened around a trace.

use super::*;
use crate::sae::{register, start};

const SECOND: i64 = 1_000_000;

/// A span of a service that calls another: when it began and how long it took, in microseconds, the former after [`AT`].
fn span(id: &str, service: &str, called: Option<&str>, (begin, length): (i64, i64)) -> Value {
    let mut span = json!({
        "traceId": "abc", "id": id, "timestamp": AT + begin, "duration": length,
        "localEndpoint": { "serviceName": service },
    });
    if let Some(called) = called {
        span["remoteEndpoint"] = json!({ "serviceName": called });
    }
    span
}

#[track_caller]
fn post_spans(server: &Server, headers: &[(&str, &str)], spans: &[Value]) {
    let body = json!(spans).to_string();
    let answer = server.connect().send("POST", "/api/v2/spans", headers, body.as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// Posts spans as the ATS API has them, which keeps headers with them: services by the endpoints of an annotation.
#[track_caller]
fn post_under(server: &Server, headers: &[(&str, &str)], id: &str, service: &str) {
    let endpoint = json!({ "serviceName": service, "ipv4": "10.0.0.1" });
    let spans = json!([{
        "traceId": "abc", "id": id, "name": "get", "timestamp": AT, "duration": 1,
        "annotations": [{ "timestamp": AT, "value": "sr", "endpoint": endpoint }],
    }]);
    let answer = server.connect().send("POST", "/v1/0/ats/spans", headers, spans.to_string().as_bytes());
    assert_eq!(answer.status, 202, "{}", answer.text());
}

fn context(server: &Server, query: &str) -> Value {
    get(server, &format!("/v1/0/traces/abc/context{query}"))
}

/// The uids of a service's events.
fn of<'c>(context: &'c Value, service: &str) -> Vec<&'c str> {
    let services = context["services"].as_array().unwrap();
    let found = services.iter().find(|found| found["name"] == service).unwrap();
    uids(&found["events"])
}

#[test]
fn a_trace_of_three_services_has_the_events_of_one_what_is_registered_of_another_and_nothing_of_the_third() {
    let events = [
        event("before", "web-0", (-601 * SECOND, -600 * SECOND)),
        event("during", "web-1", (SECOND, SECOND)),
        event("too early", "web-0", (-700 * SECOND, -600 * SECOND - 1)),
        event("too late", "web-0", (3 * SECOND + 1, 4 * SECOND)),
        event("of another", "till-0", (0, 0)),
    ];
    everywhere(&[], &events, |server| {
        let cart = json!({ "appId": "shop", "serviceName": "cart", "version": "1.2.0", "environment": "production" });
        let id = register(server, &cart);
        start(server, &id, &json!({ "hostName": "h2", "endpoints": ["rest://h2:1", "highway://h2:2"] }));
        start(server, &id, &json!({ "hostName": "h1", "endpoints": ["rest://h1:1"], "status": "DOWN" }));
        let spans =
            [span("1", "web", Some("cart"), (0, 3 * SECOND)), span("2", "cart", Some("redis"), (SECOND, SECOND))];
        post_spans(server, &[], &spans);
        let nothing = json!([]);
        let wanted = json!({
            "traceId": "0000000000000abc", "start": time(0), "end": time(3 * SECOND), "from": time(-600 * SECOND),
            "truncated": false,
            "services": [
                {
                    "name": "cart", "places": nothing, "events": nothing, "eventsLeftOut": 0,
                    "registered": {
                        "serviceId": id, "name": "cart", "application": "shop", "environment": "production",
                        "version": "1.2.0", "instances": { "up": 1, "total": 2 },
                        "endpoints": ["highway://h2:2", "rest://h1:1", "rest://h2:1"], "endpointsLeftOut": 0,
                        "others": 0,
                    },
                },
                { "name": "redis", "places": nothing, "events": nothing, "eventsLeftOut": 0, "registered": null },
                {
                    "name": "web", "places": nothing,
                    "events": [told(&events[1], "web"), told(&events[0], "web")], "eventsLeftOut": 0,
                    "registered": null,
                },
            ],
            "servicesLeftOut": 0,
        });
        assert_eq!(context(server, ""), wanted);
        flush(server);
        assert_eq!(get(server, "/v1/anything/traces/00ABC/context?margin=&x=y"), wanted);
    });
}

#[test]
fn the_margin_reaches_back_from_the_first_span_to_its_last_microsecond() {
    let at = |uid: &str, micros: i64| event(uid, "web-0", (micros, micros));
    let events = [
        at("a minute", -60 * SECOND),
        at("more", -60 * SECOND - 1),
        at("less", -60 * SECOND + 1),
        at("begin", 0),
        at("just before", -1),
        at("end", 2 * SECOND),
        at("just after", 2 * SECOND + 1),
        event("all the time", "web-0", (-9_999 * SECOND, 9_999 * SECOND)),
    ];
    everywhere(&["--events-context-margin", "1m"], &events, |server| {
        // The earliest begins the trace and the last end ends it, whatever the parents.
        post_spans(server, &[], &[span("1", "web", None, (5, 2 * SECOND - 5)), span("2", "web", None, (0, 1))]);
        for (query, wanted) in [
            ("?margin=0s", &["all the time", "end", "begin"][..]),
            ("?margin=1m", &["all the time", "end", "begin", "just before", "less", "a minute"]),
            ("", &["all the time", "end", "begin", "just before", "less", "a minute"]),
            ("?margin=61s", &["all the time", "end", "begin", "just before", "less", "a minute", "more"]),
        ] {
            assert_eq!(of(&context(server, query), "web"), wanted, "{query}");
        }
    });
}

#[test]
fn names_compare_without_regard_to_case() {
    let labelled = |uid: &str, service: &str, last: i64| {
        let mut event = event(uid, "some-pod", (last, last));
        event["involvedObject"]["labels"] = json!({ "app": service });
        event
    };
    let events = [labelled("a", "Checkout", -1), labelled("b", "checkout", -2), labelled("c", "checkouts", -3)];
    everywhere(&[], &events, |server| {
        register(server, &json!({ "appId": "shop", "serviceName": "CheckOut", "version": "1.0.0" }));
        post_spans(server, &[], &[span("1", "CHECKOUT", None, (0, 1)), span("2", "checkout", None, (2, 1))]);
        let found = context(server, "");
        assert_eq!(found["services"].as_array().unwrap().len(), 1);
        assert_eq!(of(&found, "CHECKOUT"), ["a", "b"]);
        assert_eq!(found["services"][0]["registered"]["name"], "CheckOut");
    });
}

#[test]
fn spans_that_tell_where_they_ran_have_the_events_of_there() {
    let paris = |event: Value| with(event, json!({ "clusterName": "paris" }));
    let events = [
        event("default shop", "web-0", (0, 0)),
        in_namespace(event("default pay", "web-0", (-1, -1)), "pay"),
        paris(event("paris shop", "web-0", (-2, -2))),
        paris(in_namespace(event("paris pay", "web-0", (-3, -3)), "pay")),
    ];
    let place =
        |cluster: Option<&str>, namespace: Option<&str>| json!({ "clusterId": cluster, "namespace": namespace });
    let all = ["default shop", "default pay", "paris shop", "paris pay"];
    for (headers, wanted, places) in [
        (&[][..], &all[..], json!([])),
        (&[("clusterId", "paris")], &all[2..], json!([place(Some("paris"), None)])),
        (&[("clusterId", "paris"), ("namespace", "pay")], &all[3..], json!([place(Some("paris"), Some("pay"))])),
        (&[("namespace", "shop")], &["default shop", "paris shop"], json!([place(None, Some("shop"))])),
        // Collectors know the cluster under another name.
        (&[("clusterId", "cls-4711"), ("namespace", "manage")], &all, json!([])),
    ] {
        everywhere(&[], &events, |server| {
            post_under(server, headers, "1", "web");
            let found = context(server, "");
            assert_eq!((of(&found, "web"), &found["services"][0]["places"]), (wanted.to_vec(), &places), "{headers:?}");
        });
    }
    everywhere(&[], &events, |server| {
        let tagged = |id: &str, tags: Value| with(span(id, "web", None, (0, 1)), json!({ "tags": tags }));
        let spans = [
            tagged("1", json!({ "k8s.cluster.name": "paris", "k8s.namespace.name": "pay" })),
            tagged("2", json!({ "k8s.namespace.name": "shop", "k8s.cluster.name": "default" })),
            tagged("3", json!({})),
        ];
        post_spans(server, &[], &spans);
        let found = context(server, "");
        assert_eq!(of(&found, "web"), ["default shop", "paris pay"]);
        let places = json!([place(Some("default"), Some("shop")), place(Some("paris"), Some("pay"))]);
        assert_eq!(found["services"][0]["places"], places);
    });
}

#[test]
fn headers_narrow_the_trace_as_they_do_in_the_ats_api() {
    everywhere(&[], &[], |server| {
        post_under(server, &[("clusterId", "a")], "1", "one");
        post_under(server, &[("clusterId", "b")], "2", "two");
        post_under(server, &[], "3", "three");
        let names = |headers: &[(&str, &str)]| {
            let answer = server.connect().send("GET", "/v1/0/traces/abc/context", headers, b"").json();
            let services = answer["services"].as_array().unwrap().clone();
            services.iter().map(|service| service["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["one", "three", "two"]);
        assert_eq!(names(&[("clusterId", "a")]), ["one", "three"]);
        assert_eq!(names(&[("clusterId", "c")]), ["three"]);
    });
}

#[test]
fn of_many_events_the_newest_are_told_and_the_others_counted() {
    let events: Vec<Value> = (0..60).map(|number| event(&format!("{number:02}"), "web-0", (-60, -number))).collect();
    everywhere(&[], &events, |server| {
        post_spans(server, &[], &[span("1", "web", None, (0, 1))]);
        let found = context(server, "");
        assert_eq!(of(&found, "web"), (0..50).map(|number| format!("{number:02}")).collect::<Vec<_>>());
        assert_eq!(found["services"][0]["eventsLeftOut"], 10);
    });
}

#[test]
fn of_a_services_versions_the_one_of_the_spans_is_told_else_the_greatest_that_has_instances() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let version = |version: &str| register(&server, &json!({ "appId": "a", "serviceName": "web", "version": version }));
    let [_, old, running, _] = ["1.0.0", "1.9.0", "1.10.0", "2.0.0"].map(version);
    let told = |server: &Server| {
        let registered = &context(server, "")["services"][0]["registered"];
        (registered["version"].as_str().unwrap().to_owned(), registered["others"].as_u64().unwrap())
    };
    post_spans(&server, &[], &[span("1", "web", None, (0, 1))]);
    assert_eq!(told(&server), ("2.0.0".into(), 3));
    for id in [&old, &running] {
        start(&server, id, &json!({ "hostName": "h", "endpoints": ["rest://h:1"] }));
    }
    assert_eq!(told(&server), ("1.10.0".into(), 3));
    let tags = json!({ "tags": { "service.version": "1.0.0" } });
    post_spans(&server, &[], &[with(span("2", "web", None, (0, 1)), tags)]);
    assert_eq!(told(&server), ("1.0.0".into(), 3));
}

#[test]
fn a_trace_without_times_has_services_and_no_events() {
    everywhere(&[], &[event("a", "web-0", (0, 0))], |server| {
        let bare = json!({ "traceId": "abc", "id": "1", "localEndpoint": { "serviceName": "web" } });
        post_spans(server, &[], &[bare]);
        let wanted = json!({
            "traceId": "0000000000000abc", "start": null, "end": null, "from": null, "truncated": false,
            "services": [{ "name": "web", "places": [], "events": [], "eventsLeftOut": 0, "registered": null }],
            "servicesLeftOut": 0,
        });
        assert_eq!(context(server, ""), wanted);
    });
}

#[test]
fn a_trace_that_is_not_there_is_a_404() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let message = "query trace result is empty.\npath: there is no span of trace 0000000000000abc in this project, or \
                   none that the headers clusterId and namespace let through: check them";
    assert_refused(&server.get("/v1/0/traces/abc/context"), 404, message, "no span");
    post_under(&server, &[("clusterId", "a")], "1", "web");
    let answer = server.connect().send("GET", "/v1/0/traces/abc/context", &[("clusterId", "b")], b"");
    assert_refused(&answer, 404, message, "another cluster's span");
}

#[test]
fn isolated_projects_see_nothing_of_each_other() {
    everywhere(&["--projects", "isolated"], &[event("a", "web-0", (0, 0))], |server| {
        let other = [("x-scope-orgid", "other")];
        post(server, &other, &[event("b", "web-0", (0, 0))]);
        register(server, &json!({ "appId": "a", "serviceName": "web", "version": "1.0.0" }));
        post_spans(server, &[], &[span("1", "web", None, (0, 1))]);
        post_spans(server, &other, &[span("2", "web", None, (0, 1)), span("3", "till", None, (0, 1))]);
        let own = get(server, "/v1/default/traces/abc/context");
        assert_eq!((of(&own, "web"), own["services"].as_array().unwrap().len()), (vec!["a"], 1));
        assert_eq!(own["services"][0]["registered"]["version"], "1.0.0");
        let others = get(server, "/v1/other/traces/abc/context");
        assert_eq!((of(&others, "web"), of(&others, "till")), (vec!["b"], vec![]));
        assert_eq!(others["services"][1]["registered"], json!(null));
        assert_eq!(server.get("/v1/third/traces/abc/context").status, 404);
    });
}

#[test]
fn with_one_project_the_registry_is_asked_for_the_paths_project_and_then_for_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let put = |project: &str, name: &str, version: &str| {
        let service = json!({ "service": { "appId": "a", "serviceName": name, "version": version } }).to_string();
        let path = format!("/v4/{project}/registry/microservices");
        assert_eq!(server.post(&path, service.as_bytes()).status, 200);
    };
    put("default", "web", "1.0.0");
    put("default", "cart", "1.0.0");
    put("own", "web", "2.0.0");
    post_spans(&server, &[], &[span("1", "web", Some("cart"), (0, 1))]);
    let versions = |project: &str| {
        let found = get(&server, &format!("/v1/{project}/traces/abc/context"));
        let version = |at: usize| found["services"][at]["registered"]["version"].as_str().unwrap().to_owned();
        [version(0), version(1)]
    };
    assert_eq!(versions("own"), ["1.0.0", "2.0.0"]);
    assert_eq!(versions("0"), ["1.0.0", "1.0.0"]);
}

#[test]
fn what_is_wrong_with_a_question_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let project =
        "projectId in url is invalid.\npath: send 1 to 64 letters, digits, _ or - between /v1/ and the next /";
    let trace = "traceId in url is invalid.\npath: send 1 to 32 hex digits, not all of them zero, between /traces/ and \
                 /context";
    let margin = |sent: &str| {
        let expected = "expected a duration of at most 30d with its unit, such as 90s, 10m or 2h";
        format!("margin in url is invalid.\nquery parameter margin = {sent:?}: {expected}")
    };
    for (path, message) in [
        ("/v1/a.b/traces/abc/context", project),
        ("/v1/%ff/traces/abc/context", project),
        ("/v1/0/traces/xyz/context", trace),
        ("/v1/0/traces/000/context", trace),
        ("/v1/0/traces/%20/context", trace),
        ("/v1/0/traces/%ff/context", trace),
        ("/v1/0/traces/000000000000000000000000000000abc/context", trace),
        ("/v1/0/traces/abc/context?margin=10", &margin("10")),
        ("/v1/0/traces/abc/context?margin=31d", &margin("31d")),
        (
            "/v1/0/traces/abc/context?margin=1m&margin=2m",
            "margin in url is given more than once.\nquery parameter margin = \"2m\": send it once",
        ),
    ] {
        assert_refused(&server.get(path), 400, message, path);
    }
    let long = "x".repeat(257);
    let answer = server.connect().send("GET", "/v1/0/traces/abc/context", &[("clusterId", &long)], b"");
    let message = "clusterId in header is invalid.\nheader clusterId: send up to 256 bytes of UTF-8";
    assert_refused(&answer, 400, message, "a long header");
}

#[test]
fn files_of_events_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(&server, &[], &[event("a", "web-0", (0, 0))]);
    post_spans(&server, &[], &[span("1", "web", None, (0, 1))]);
    flush(&server);
    server.stop();
    let spoiled = spoil(dir.path()).join(", ");
    let server = Server::start(dir.path());
    let asked = || {
        let answer = server.get("/v1/0/traces/abc/context");
        let (whole, incomplete) = (answer.json(), answer.header("spanlake-incomplete").map(str::to_owned));
        (of(&whole, "web").len(), incomplete)
    };
    assert_eq!(asked(), (0, Some(spoiled.clone())));
    // The service is known, but was last seen long before the trace.
    post(&server, &[], &[event("old", "web-0", (-9_999 * SECOND, -9_999 * SECOND))]);
    assert_eq!(asked(), (0, Some(spoiled.clone())));
    // Something of it is found.
    post(&server, &[], &[event("b", "web-0", (0, 0))]);
    assert_eq!(asked(), (1, Some(spoiled)));
}
