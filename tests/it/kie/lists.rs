//! Lists: what is meant, what has changed, and waiting for it.

use super::*;
use crate::support::registry::on_each_database;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::thread::JoinHandle;

/// A shop's items, as a Java client asks for them: by application and environment, by service, by version.
fn shop(server: &Server) {
    for (key, labels, value, status) in [
        ("a.one", json!({ "app": "shop", "environment": "test" }), "application", "enabled"),
        ("a.two", json!({ "app": "shop", "environment": "test", "service": "cart" }), "service", "enabled"),
        ("b.one", json!({ "app": "shop", "environment": "test", "service": "cart" }), "disabled", "disabled"),
        ("b.two", json!({ "app": "shop", "environment": "" }), "no environment", "enabled"),
        ("c", json!({}), "nobody's", "enabled"),
    ] {
        create(server, &json!({ "key": key, "labels": labels, "value": value, "status": status }));
    }
}

#[test]
fn a_list_has_what_meets_every_condition() {
    on_each_database(|server| {
        shop(server);
        const SHOP: &str = "label=app:shop&label=environment:test";
        for (query, keys) in [
            ("", &["c", "b.two", "b.one", "a.two", "a.one"][..]),
            (&format!("{SHOP}&match=exact"), &["a.one"]),
            (&format!("{SHOP}&match=exact&revision=0"), &["a.one"]),
            (SHOP, &["b.one", "a.two", "a.one"]),
            (&format!("{SHOP}&match=like"), &["b.one", "a.two", "a.one"]),
            (&format!("{SHOP}&label=service:cart&match=exact&status=enabled"), &["a.two"]),
            ("label=app:shop&label=environment:&match=exact", &["b.two"]),
            ("label=environment:", &["b.two"]),
            ("match=exact", &["c"]),
            ("status=disabled", &["b.one"]),
            ("key=A.ONE", &["a.one"]),
            ("key=a", &[]),
            ("key=beginWith(a.)", &["a.two", "a.one"]),
            ("key=wildcard(*.o*e)", &["b.one", "a.one"]),
            ("value=environment", &["b.two"]),
            ("value=i&label=service:cart", &["b.one", "a.two"]),
            ("value=%00", &[]),
            ("offset=1&limit=2", &["b.two", "b.one"]),
            ("offset=4&limit=100", &["a.one"]),
            ("offset=5", &[]),
        ] {
            let answer = get(server, query);
            let (revision, total, items) = listed(&answer);
            let found: Vec<&str> = items.iter().filter_map(|item| item.split('=').next()).collect();
            assert_eq!((revision, found.as_slice()), (6, keys), "{query}");
            let all = if query.contains("offset") { 5 } else { keys.len() as u64 };
            assert_eq!(total, all, "{query}");
        }
    });
}

#[test]
fn a_greater_priority_comes_first_then_what_changed_last() {
    on_each_database(|server| {
        let ids: Vec<String> = [("a", 1), ("b", -1), ("c", 1), ("d", 0)]
            .map(|(key, priority)| {
                let item = json!({ "key": key, "value": "v", "priority": priority });
                create(server, &item)["id"].as_str().unwrap().to_owned()
            })
            .into();
        assert_eq!(listed(&get(server, "")).2, ["c=v", "a=v", "d=v", "b=v"]);
        send(server, "PUT", &format!("{KV}/{}", ids[0]), &json!({ "value": "w" }));
        assert_eq!(listed(&get(server, "")).2, ["a=w", "c=v", "d=v", "b=v"]);
    });
}

#[test]
fn a_list_of_many_large_items_is_whole() {
    on_each_database(|server| {
        let value = "0123456789abcdef".repeat(1_000);
        for number in 0..120 {
            create(server, &json!({ "key": format!("k{number}"), "value": value }));
        }
        let (revision, total, items) = listed(&get(server, ""));
        let expected: Vec<String> = (0..120).rev().map(|number| format!("k{number}={value}")).collect();
        assert_eq!((revision, total), (121, 120));
        assert!(items == expected);
    });
}

#[test]
fn questions_that_cannot_be_answered_are_told_why() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    const WAIT: &str = "query parameter wait: send a number and its unit, such as 5s or 100ms, up to 5m";
    const LIMIT: &str = "query parameter limit: send 1 to 100, or nothing for all";
    for (query, detail) in [
        ("label=app", "query parameter label: send name:value; \"app\" has no colon"),
        (
            "label=app:a:b",
            "query parameter label: send values of up to 160 letters and digits; _, - and . may stand between them",
        ),
        ("label=app:a&label=app:b", "query parameter label: send app once: no item has two values of a label"),
        ("status=on", "query parameter status: send enabled or disabled, or leave it out"),
        (
            "key=a*",
            "query parameter key: send a key, beginWith(start) or wildcard(*part*); keys are of up to 2048 letters, \
             digits and .:_-[]",
        ),
        ("limit=0", LIMIT),
        ("limit=101", LIMIT),
        ("limit=ten", "query parameter limit: send a whole number"),
        ("offset=-1", "query parameter offset: send a whole number"),
        ("revision=new", "query parameter revision: send the number of the header X-Kie-Revision, or 0"),
        ("wait=5", WAIT),
        ("wait=-5s", WAIT),
        ("wait=5s&key=k", "can not accept key params, when using wait: leave key or wait out"),
        ("wait=5s&key=k&revision=1", "can not accept key params, when using wait: leave key or wait out"),
    ] {
        invalid(&get(&server, query), detail);
    }
    refused(&get(&server, "wait=6m"), "400003", "failed to observe event", WAIT);
    // Who has seen nothing is answered at once.
    assert_eq!(listed(&get(&server, "wait=5m&key=k&revision=0")), (1, 0, vec![]));
}

#[test]
fn a_list_is_unchanged_until_something_that_it_means_is_put_or_dropped() {
    on_each_database(|server| {
        const APP: &str = "label=app:shop&match=exact";
        let changed = |query: &str, revision: i64| {
            let answer = get(server, &format!("{query}&revision={revision}"));
            if answer.status == 304 {
                assert_eq!(answer.text(), "");
                return false;
            }
            listed(&answer);
            true
        };
        // Nobody has seen anything with 0; 1 is what an empty list is told.
        assert!(changed("", 0));
        assert!(!changed("", 1));
        assert!(changed("", 2));

        let shop = create(server, &json!({ "key": "k", "labels": { "app": "shop" }, "status": "enabled" }));
        create(server, &json!({ "key": "k", "labels": { "app": "bank" }, "status": "enabled" }));
        // Both what the header said and what the newest item says may be sent.
        assert!(!changed(APP, 3));
        assert!(!changed(APP, 2));
        assert!(changed(APP, 1));
        assert!(changed("", 2));
        assert!(!changed("status=disabled", 1));
        assert!(!changed("key=beginWith(x)", 1));
        assert!(changed("key=k", 1));

        let path = format!("{KV}/{}", shop["id"].as_str().unwrap());
        send(server, "PUT", &path, &json!({ "status": "disabled" }));
        // It left one list and came into the other.
        assert!(changed(&format!("{APP}&status=enabled"), 3));
        assert!(changed(&format!("{APP}&status=disabled"), 3));
        assert!(!changed("label=app:bank", 3));
        send(server, "DELETE", &path, &Value::Null);
        assert!(!changed(&format!("{APP}&status=enabled"), 4));
        assert!(changed(&format!("{APP}&status=disabled"), 4));
        assert!(!changed(APP, 5));
        // A number that was never told is of another database.
        assert!(changed("label=app:bank", 6));
    });
}

#[test]
fn who_waits_is_answered_once_something_that_is_meant_changes() {
    on_each_database(|server| {
        let mut waiting = server.connect();
        let ask = |query: &str| format!("GET {KV}?{query} HTTP/1.1\r\nhost: test\r\n\r\n");
        waiting.write(ask("label=app:shop&match=exact&wait=5m&revision=1").as_bytes()).unwrap();
        create(server, &json!({ "key": "k", "value": "bank", "labels": { "app": "bank" } }));
        create(server, &json!({ "key": "k", "value": "cart", "labels": { "app": "shop", "service": "cart" } }));
        let id = create(server, &json!({ "key": "k", "value": "shop", "labels": { "app": "shop" } }))["id"].clone();
        let answer = waiting.read_answer(false).unwrap();
        assert_eq!(listed(&answer), (4, 1, vec!["k=shop".to_owned()]));

        waiting.write(ask("label=app:shop&match=exact&wait=5m&revision=4").as_bytes()).unwrap();
        send(server, "DELETE", &format!("{KV}/{}", id.as_str().unwrap()), &Value::Null);
        assert_eq!(listed(&waiting.read_answer(false).unwrap()), (5, 0, vec![]));

        // The connection goes on.
        waiting.write(ask("wait=1ms&revision=5").as_bytes()).unwrap();
        let answer = waiting.read_answer(false).unwrap();
        assert_eq!((answer.status, answer.text()), (304, ""));
    });
}

/// Takes the one place among those who wait, however often a probe has it first. Returns its connection, and what the
/// answer is in the end.
fn wait_for_ever(server: &Server) -> (TcpStream, JoinHandle<io::Result<Answer>>) {
    let mut client = server.connect();
    let stream = client.stream();
    let waiting = std::thread::spawn(move || {
        loop {
            let answer = client.try_send("GET", &format!("{KV}?wait=5m"), &[], b"");
            if answer.as_ref().map_or(0, |answer| answer.status) != 429 {
                return answer;
            }
        }
    });
    (stream, waiting)
}

/// Asks for a place until the answer has the status.
fn probe_until(server: &Server, status: u16) -> Answer {
    let mut client = server.connect();
    loop {
        let answer = client.send("GET", &format!("{KV}?wait=1ms"), &[], b"");
        if answer.status == status {
            return answer;
        }
    }
}

#[test]
fn as_many_wait_as_may_and_a_client_that_goes_leaves_its_place() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["--kie-max-waiting", "1"]);
    let (stream, waiting) = wait_for_ever(&server);
    let full = probe_until(&server, 429);
    assert_eq!(full.header("retry-after"), Some("1"));
    let detail = "kie.max_waiting: as many requests wait as may; ask again in a second, or without wait";
    refused(&full, "429001", "too many requests", detail);
    // Who does not wait needs no place.
    assert_eq!(get(&server, "revision=1").status, 304);
    stream.shutdown(Shutdown::Both).unwrap();
    assert!(waiting.join().unwrap().is_err());
    probe_until(&server, 304);
}

#[test]
fn a_server_that_stops_sends_those_away_who_wait() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(data.path(), &["--kie-max-waiting", "1", "--shutdown-timeout", "5m"]);
    let (_stream, waiting) = wait_for_ever(&server);
    probe_until(&server, 429);
    server.terminate();
    assert_eq!(waiting.join().unwrap().unwrap().status, 304);
    assert!(server.wait().success());
}

#[test]
fn a_client_that_names_its_session_is_known_by_what_it_got() {
    on_each_database(|server| {
        const TRACK: &str = "/v1/default/kie/track";
        let detail = "no list was given to such a client since the server's start: clients are known by the header \
                      X-Session-Id";
        let headers = [
            ("x-session-id", "s1"),
            ("x-session-group", "g"),
            ("user-agent", "client/1"),
            ("x-forwarded-for", "10.0.0.1, 10.0.0.2"),
        ];
        let poll = |query: &str| server.connect().send("GET", &format!("{KV}?{query}"), &headers, b"").status;
        assert_eq!(poll("revision=1"), 304);
        refused(&server.get(TRACK), "404001", "Record does not exist", detail);
        get(server, "");
        refused(&server.get(TRACK), "404001", "Record does not exist", detail);

        assert_eq!(poll("label=app:shop&revision=0"), 200);
        assert_eq!(poll("label=app:shop&label=environment:&revision=0&wait=5s"), 200);
        let mut told = server.get(TRACK).json();
        assert!(told["data"][0].as_object_mut().unwrap().remove("timestamp").unwrap().as_str().unwrap().ends_with('Z'));
        let track = json!({
            "session_id": "s1", "session_group": "g", "domain": "default", "project": "default",
            "polling_data": { "revision": "0", "wait": "5s", "labels": ["app:shop", "environment:"] },
            "revision": "1", "ip": "10.0.0.1", "user_agent": "client/1", "url_path": "GET /v1/default/kie/kv",
            "response_code": 200,
        });
        assert_eq!(told, json!({ "data": [track], "total": 1 }));
        for (query, found) in [
            ("sessionId=s1&sessionGroup=g&revision=1&ip=10.0.0.1&userAgent=client/1", true),
            ("urlPath=GET%20/v1/default/kie/kv", true),
            ("sessionId=s2", false),
            ("ip=10.0.0.2", false),
        ] {
            let status = server.get(&format!("{TRACK}?{query}")).status;
            assert_eq!(status, if found { 200 } else { 404 }, "{query}");
        }
        assert_eq!(server.get("/v1/another/kie/track").status, 404);
    });
}
