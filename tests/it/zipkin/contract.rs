//! Each route's parameters, refusals and headers.

use super::{TODAY, named, search_path, span, with};
use crate::support::server::Server;
use serde_json::{Value, json};

fn post(server: &Server, spans: &[Value]) {
    assert_eq!(server.post("/api/v2/spans", json!(spans).to_string().as_bytes()).status, 202);
}

/// So many services, each with a span and a peer.
fn services(count: usize) -> Vec<Value> {
    (0..count)
        .map(|n| {
            let id = format!("{:x}", n + 1);
            let fields = json!({
                "name": "whopper", "localEndpoint": named(&format!("s{n}")), "remoteEndpoint": named(&format!("r{n}")),
                "tags": { "k": n.to_string() },
            });
            with(span("a", &id, 0), fields)
        })
        .collect()
}

/// First line and remedy.
#[test]
fn what_is_wrong_with_a_query_is_said_in_zipkins_words_with_place_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for (path, body) in [
        ("traces?endTs=0", "endTs <= 0\nquery parameter endTs: send milliseconds since 1970 UTC\n"),
        ("traces?limit=0", "limit <= 0\nquery parameter limit: send 1 or more\n"),
        ("traces?lookback=0", "lookback <= 0\nquery parameter lookback: send milliseconds, 1 or more\n"),
        ("traces?minDuration=0", "minDuration <= 0\nquery parameter minDuration: send microseconds, 1 or more\n"),
        (
            "traces?minDuration=2&maxDuration=1",
            "maxDuration < minDuration\nquery parameter maxDuration: send minDuration or more\n",
        ),
        (
            "traces?maxDuration=1",
            "maxDuration is only valid with minDuration\n\
             query parameter maxDuration: send minDuration with it; 1 is any\n",
        ),
        (
            "traces?limit=10001",
            "limit > 10000\nquery parameter limit: send 10000 or less, or have the setting query.max_limit raised\n",
        ),
        (
            "traces?limit=ten",
            "Can't convert 'ten' to type 'int'.\n\
             query parameter limit: send a whole number, up to 9223372036854775807\n",
        ),
        (
            "dependencies",
            "Mandatory parameter/header is missing: endTs\n\
             query parameter endTs: send the window's end in milliseconds since 1970 UTC\n",
        ),
        ("dependencies?endTs=0", "endTs <= 0\nquery parameter endTs: send milliseconds since 1970 UTC\n"),
        ("dependencies?endTs=1&lookback=0", "lookback <= 0\nquery parameter lookback: send milliseconds, 1 or more\n"),
        (
            "spans",
            "Mandatory parameter/header is missing: serviceName\n\
             query parameter serviceName: send a service's name\n",
        ),
        (
            "remoteServices?servicename=a",
            "Mandatory parameter/header is missing: serviceName\n\
             query parameter serviceName: send a service's name\n",
        ),
        (
            "autocompleteValues",
            "Mandatory parameter/header is missing: key\nquery parameter key: send a key that is configured\n",
        ),
        (
            "autocompleteValues?key=",
            "key was empty\nquery parameter key: send one of those that /api/v2/autocompleteKeys answers\n",
        ),
        (
            "traceMany",
            "Mandatory parameter/header is missing: traceIds\nquery parameter traceIds: send ids between commas\n",
        ),
        ("traceMany?traceIds=", "traceIds parameter is empty\nquery parameter traceIds: send ids between commas\n"),
        (
            "traceMany?traceIds=a",
            "Use /api/v2/trace/{traceId} endpoint to retrieve a single trace\n\
             query parameter traceIds: send two ids or more between commas\n",
        ),
        ("traceMany?traceIds=a,b,a", "redundant traceId: a\nquery parameter traceIds: send each id once\n"),
        (
            "traceMany?traceIds=a,0e8b46e1-81b",
            "0e8b46e1-81b should be lower-hex encoded with no prefix\n\
             query parameter traceIds: send ids of 1 to 32 hex digits, not all of them zero\n",
        ),
    ] {
        for prefix in ["/api/v2/", "/zipkin/api/v2/"] {
            let answer = client.send("GET", &format!("{prefix}{path}"), &[], b"");
            assert_eq!((answer.status, answer.text()), (400, body), "{path}");
            assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{path}");
        }
    }
}

#[test]
fn good_queries_answer_json_without_a_charset() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(&server, &[span("a", "1", 0)]);
    for path in [
        "services",
        "spans?serviceName=front",
        "remoteServices?serviceName=front",
        "traces",
        "traceMany?traceIds=a,b",
        "dependencies?endTs=1",
        "autocompleteKeys",
        "autocompleteValues?key=a",
    ] {
        for prefix in ["/api/v2/", "/zipkin/api/v2/"] {
            let answer = server.get(&format!("{prefix}{path}"));
            let head = (answer.status, answer.header("content-type"));
            assert_eq!(head, (200, Some("application/json")), "{path}: {}", answer.text());
        }
    }
}

#[test]
fn a_found_trace_is_written_as_its_id_answers_it_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(&server, &[span("a", "1", 0), with(span("a", "2", 1), json!({ "parentId": "1", "name": "Get" }))]);
    post(&server, &[span("b", "1", 5)]);
    let trace = |id: &str| server.get(&format!("/api/v2/trace/{id}")).text().to_owned();
    assert_eq!(server.get(&search_path("")).text(), format!("[{},{}]", trace("b"), trace("a")));
    assert_eq!(server.get(&format!("/zipkin{}", search_path("limit=1"))).text(), format!("[{}]", trace("b")));
    assert_eq!(server.get("/api/v2/traceMany?traceIds=b,a").text(), format!("[{},{}]", trace("b"), trace("a")));
}

#[test]
fn of_several_ids_those_that_are_not_there_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(&server, &[span("a", "1", 0), span("1000000000000000a", "1", 0), span("b", "1", 0)]);
    let found = |ids: &str| -> Vec<String> {
        let answer = server.get(&format!("/api/v2/traceMany?traceIds={ids}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let id = |trace: &Value| trace[0]["traceId"].as_str().unwrap().trim_start_matches('0').to_owned();
        answer.json().as_array().unwrap().iter().map(id).collect()
    };
    assert_eq!(found("c,d"), [""; 0]);
    assert_eq!(found("c,b"), ["b"]);
    assert_eq!(found("B,%20A"), ["b", "a"]);
    assert_eq!(found("a,1000000000000000a"), ["a", "1000000000000000a"]);
    assert_eq!(found("2000000000000000a,c"), [""; 0]);
}

#[test]
fn a_thousand_ids_are_taken_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(&server, &[span("3e8", "1", 0)]);
    let path = |count: usize| {
        let ids: Vec<String> = (1..=count).map(|n| format!("{n:x}")).collect();
        format!("/api/v2/traceMany?traceIds={}", ids.join(","))
    };
    assert_eq!(server.get(&path(1_000)).json().as_array().unwrap().len(), 1);
    let refused = server.get(&path(1_001));
    assert_eq!((refused.status, refused.first_line()), (400, "3e8,3e9 should be lower-hex encoded with no prefix"));
}

#[test]
fn the_most_that_a_search_may_ask_for_is_a_setting() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--query-max-limit", "2"]);
    post(&server, &[span("a", "1", 0), span("b", "1", 1), span("c", "1", 2)]);
    assert_eq!(server.get(&search_path("limit=2")).json().as_array().unwrap().len(), 2);
    let refused = server.get(&search_path("limit=3"));
    assert_eq!((refused.status, refused.first_line()), (400, "limit > 2"));
}

/// Who is just beginning wants to see each new service at once.
#[test]
fn names_may_be_kept_once_there_are_more_than_three_services() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["--zipkin-autocomplete-keys", "k,none", "--zipkin-names-max-age", "60s"];
    let server = Server::start_with(dir.path(), &settings);
    let kept = |path: &str| server.get(&format!("/api/v2/{path}")).header("cache-control").map(str::to_owned);
    let named = ["services", "spans?serviceName=s0", "remoteServices?serviceName=s0"];
    let a_minute = Some("max-age=60, must-revalidate".to_owned());
    post(&server, &services(3));
    for path in named {
        assert_eq!(kept(path), None, "{path}");
    }
    assert_eq!(kept("autocompleteValues?key=k"), None);
    post(&server, &services(4));
    // As many as there were when the services were last asked for.
    assert_eq!(kept("spans?serviceName=s0"), None);
    for path in named {
        assert_eq!(kept(path), a_minute, "{path}");
    }
    assert_eq!(kept("autocompleteValues?key=k"), a_minute);
    assert_eq!(kept("autocompleteValues?key=none"), None);
    assert_eq!(kept("autocompleteKeys"), a_minute);
    assert_eq!(kept("traces"), None);
}

/// The keys come from the settings: they change with a restart only.
#[test]
fn the_configured_keys_may_always_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let keys = server.get("/api/v2/autocompleteKeys");
    assert_eq!((keys.text(), keys.header("cache-control")), ("[]", Some("max-age=300, must-revalidate")));
}

/// What is kept for one project is not another's.
#[test]
fn kept_names_are_told_apart_by_project() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let body = json!(services(4)).to_string();
    let mut client = server.connect();
    assert_eq!(client.send("POST", "/api/v2/spans", &[("x-scope-orgid", "a")], body.as_bytes()).status, 202);
    let mine = client.send("GET", "/api/v2/services", &[("x-scope-orgid", "a")], b"");
    assert_eq!((mine.text(), mine.header("vary")), (r#"["s0","s1","s2","s3"]"#, Some("x-scope-orgid")));
    assert_eq!(client.send("GET", "/api/v2/services", &[("x-scope-orgid", "b")], b"").text(), "[]");
    for path in ["spans?serviceName=s0", "remoteServices?serviceName=s0"] {
        assert_eq!(client.send("GET", &format!("/api/v2/{path}"), &[("x-scope-orgid", "b")], b"").text(), "[]");
    }
    let links = format!("/api/v2/dependencies?endTs={}&lookback=1000", TODAY + 1);
    assert_eq!(client.send("GET", &links, &[("x-scope-orgid", "b")], b"").text(), "[]");
    assert_eq!(client.send("GET", "/api/v2/services", &[("x-scope-orgid", "not an id")], b"").status, 400);
}

/// Scanners take any other answer for a find.
#[test]
fn trace_the_method_is_nowhere_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for path in ["/", "/api/v2/traces", "/whatever/and/not"] {
        assert_eq!(client.send("TRACE", path, &[], b"").status, 405, "{path}");
    }
}

/// So that a Zipkin can be replaced where it stands.
#[test]
fn zipkins_environment_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let shown = crate::support::server::spanlake(&["config"], dir.path())
        .envs([
            ("QUERY_PORT", "9500"),
            ("QUERY_TIMEOUT", "5s"),
            ("QUERY_LOOKBACK", "3600000"),
            ("SEARCH_ENABLED", "false"),
            ("AUTOCOMPLETE_KEYS", "a,b"),
            ("ZIPKIN_QUERY_ALLOWED_ORIGINS", "http://foo.bar.com"),
        ])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let lines: Vec<String> = shown
        .lines()
        .filter(|line| !line.ends_with("# default") && line.contains(" = "))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "listen = \"127.0.0.1:9500\" # QUERY_PORT",
            "allowed_origins = \"http://foo.bar.com\" # ZIPKIN_QUERY_ALLOWED_ORIGINS",
            "timeout = \"5s\" # QUERY_TIMEOUT",
            "lookback = \"3600000ms\" # QUERY_LOOKBACK",
            "search_enabled = false # SEARCH_ENABLED",
            "autocomplete_keys = \"a,b\" # AUTOCOMPLETE_KEYS",
        ]
    );
}
