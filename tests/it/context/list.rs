//! `GET /v1/{project_id}/events`: what is listed.

use super::*;
use spanlake::clock::{Clock, SystemClock};

const HOUR: i64 = 3_600_000_000;

/// The uids of the events that a query finds.
#[track_caller]
fn finds(server: &Server, query: &str, wanted: &[&str]) {
    let found = get(server, &format!("/v1/0/events?{query}"));
    assert_eq!(found.get("next"), None, "{query}");
    assert_eq!(uids(&found["events"]), wanted, "{query}");
}

#[test]
fn an_event_is_told_with_every_field_at_once_after_a_flush_and_after_a_kill() {
    const EXPORTED: &[u8] = include_bytes!("../../../fixtures/events/exporter.json");
    const TOLD: &str = concat!(
        r#"{"events":[{"service":"billing-worker","clusterId":"paris","namespace":"pay","#,
        r#""uid":"f00dcafe-0001-4b7e-9c3d-000000000001","name":"billing-worker-9wzlm.17d0","object":{"kind":"Pod","#,
        r#""name":"billing-worker-9wzlm","namespace":"pay","uid":"f00dcafe-0002-4b7e-9c3d-000000000002","#,
        r#""apiVersion":"v1","fieldPath":"spec.containers{worker}"},"level":"Warning","reason":"Unhealthy","#,
        r#""message":"Liveness probe failed: HTTP probe failed with statuscode: 503","action":"","#,
        r#""source":{"component":"kubelet","host":"node-3","instance":"node-3"},"#,
        r#""firstSeen":"2025-07-08T09:10:11.000000Z","lastSeen":"2025-07-08T09:10:11.000000Z","count":1,"#,
        r#""labels":{"app.kubernetes.io/name":"billing-worker","app":"billing"},"#,
        r#""owners":[{"kind":"DaemonSet","name":"billing-worker","controller":true}]}]}"#,
    );
    // Milliseconds.
    const ASKED: &str = "/v1/0/events?start=1751965811000&end=1751965811000";
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.get(ASKED).text(), r#"{"events":[]}"#);
    assert_eq!(server.post("/api/v1/k8s/events", EXPORTED).status, 200);
    assert_eq!(server.get(ASKED).text(), TOLD);
    flush(&server);
    assert_eq!(server.get(ASKED).text(), TOLD);
    server.kill();
    assert_eq!(Server::start(dir.path()).get(ASKED).text(), TOLD);
}

#[test]
fn what_belongs_to_no_service_has_none() {
    let node = with(event("n", "", (0, 0)), json!({ "involvedObject": { "kind": "Node", "name": "node-1" } }));
    everywhere(&[], &[node], |server| {
        let found = get(server, &format!("/v1/0/events?{}", window(0, 0)));
        assert_eq!((&found["events"][0]["service"], uids(&found["events"])), (&json!(null), vec!["n"]));
    });
}

#[test]
fn an_event_is_of_a_window_that_touches_its_time_at_either_end() {
    let events = [event("a", "web-0", (10, 20)), event("b", "web-0", (21, 21)), event("c", "web-0", (1, 40))];
    everywhere(&[], &events, |server| {
        for (start, end, wanted) in [
            (0, 0, &[][..]),
            (1, 9, &["c"]),
            (0, 10, &["c", "a"]),
            (20, 20, &["c", "a"]),
            (15, 16, &["c", "a"]),
            (21, 21, &["c", "b"]),
            (20, 21, &["c", "b", "a"]),
            (22, 40, &["c"]),
            (41, 1_000, &[]),
        ] {
            finds(server, &window(start, end), wanted);
        }
    });
}

#[test]
fn cluster_namespace_and_service_narrow_each_alone_and_together() {
    let paris = json!({ "clusterName": "paris" });
    let events = [
        event("a", "web-0", (0, 1)),
        event("b", "cart-0", (0, 2)),
        in_namespace(event("c", "web-0", (0, 3)), "pay"),
        with(event("d", "web-0", (0, 4)), paris.clone()),
        with(in_namespace(event("e", "cart-0", (0, 5)), "pay"), paris),
    ];
    everywhere(&[], &events, |server| {
        for (query, wanted) in [
            ("", &["e", "d", "c", "b", "a"][..]),
            ("service=web", &["d", "c", "a"]),
            ("service=Web", &[]),
            ("namespace=shop", &["d", "b", "a"]),
            ("clusterId=default", &["c", "b", "a"]),
            ("clusterId=paris", &["e", "d"]),
            ("clusterId=paris&namespace=pay", &["e"]),
            ("clusterId=default&namespace=shop&service=web", &["a"]),
            ("namespace=pay&service=web", &["c"]),
            ("clusterId=paris&service=cart&namespace=shop", &[]),
            ("clusterId=nowhere", &[]),
            // A parameter that nobody asks for, and one that is blank.
            ("service=cart&level=Normal&namespace=%20", &["e", "b"]),
        ] {
            finds(server, &format!("{}&{query}", window(0, 9)), wanted);
        }
    });
}

#[test]
fn resends_are_one_event_of_the_newest_with_the_first_time_and_the_greatest_count() {
    let early = with(event("a", "web-0", (10, 20)), json!({ "count": 7, "message": "old" }));
    let late = with(event("a", "web-0", (15, 30)), json!({ "count": 3, "message": "new" }));
    let whole = with(event("a", "web-0", (10, 30)), json!({ "count": 7, "message": "new" }));
    for events in [[early.clone(), late.clone()], [late, early]] {
        everywhere(&[], &events, |server| {
            for (start, end) in [(10, 10), (30, 30), (0, 99)] {
                let found = get(server, &format!("/v1/0/events?{}", window(start, end)));
                assert_eq!(found, json!({ "events": [told(&whole, "web")] }));
            }
            finds(server, &window(0, 9), &[]);
            finds(server, &window(31, 99), &[]);
        });
    }
}

#[test]
fn without_a_window_the_last_hour_is_listed() {
    let now = SystemClock.now_micros() - AT;
    let events = [
        event("now", "web-0", (now, now)),
        event("half", "web-0", (now - 9 * HOUR, now - HOUR / 2)),
        event("old", "web-0", (now - 9 * HOUR, now - HOUR - 60_000_000)),
        event("ahead", "web-0", (now + HOUR / 2, now + HOUR / 2)),
    ];
    everywhere(&[], &events, |server| {
        finds(server, "", &["now", "half"]);
        finds(server, &format!("start={}", time(now - 2 * HOUR)), &["now", "half", "old"]);
        finds(server, &format!("end={}", time(now - HOUR)), &["half", "old"]);
    });
}

#[test]
fn happenings_are_counted_together_whatever_their_uids() {
    let other = json!({ "message": "another" });
    let events = [
        with(event("a", "web-0", (10, 20)), json!({ "count": 6_000 })),
        with(event("b", "web-0", (5, 15)), json!({ "count": 530 })),
        with(event("c", "web-0", (1, 40)), other),
        in_namespace(event("d", "web-0", (0, 30)), "pay"),
        event("e", "web-1", (0, 2)),
    ];
    let happening = |event: &Value, (first, last): (i64, i64), count: i64, of: usize| {
        let mut told = told(event, "web");
        for gone in ["uid", "name", "action", "source", "labels", "owners"] {
            told.as_object_mut().unwrap().remove(gone);
        }
        let name = told["object"]["name"].clone();
        with(
            told,
            json!({
                "object": { "kind": "Pod", "name": name }, "firstSeen": time(first), "lastSeen": time(last),
                "count": count, "eventCount": of,
            }),
        )
    };
    everywhere(&[], &events, |server| {
        let found = get(server, &format!("/v1/0/events?together=true&{}", window(0, 99)));
        let wanted = json!({ "events": [
            happening(&events[2], (1, 40), 2, 1),
            happening(&events[3], (0, 30), 2, 1),
            happening(&events[0], (5, 20), 6_530, 2),
            happening(&events[4], (0, 2), 2, 1),
        ] });
        assert_eq!(found, wanted);
        // Only what is of the window adds up.
        let found = get(server, &format!("/v1/0/events?together=true&{}", window(16, 20)));
        assert_eq!(found["events"][2], happening(&events[0], (10, 20), 6_000, 1));
        assert_eq!(get(server, &format!("/v1/0/events?together=false&{}", window(2, 2)))["events"][2]["uid"], "e");
    });
}

#[test]
fn isolated_projects_list_their_own_events() {
    everywhere(&["--projects", "isolated"], &[event("a", "web-0", (0, 0))], |server| {
        post(server, &[("x-scope-orgid", "other")], &[event("a", "web-0", (0, 1)), event("b", "web-0", (0, 0))]);
        let listed = |project: &str| {
            let found = get(server, &format!("/v1/{project}/events?{}", window(0, 1)));
            let last = |event: &Value| format!("{} {}", event["uid"], event["lastSeen"]).replace('"', "");
            found["events"].as_array().unwrap().iter().map(last).collect::<Vec<_>>()
        };
        assert_eq!(listed("default"), [format!("a {}", time(0))]);
        assert_eq!(listed("other"), [format!("a {}", time(1)), format!("b {}", time(0))]);
        assert_eq!(listed("0"), [""; 0]);
    });
}

#[test]
fn what_is_wrong_with_a_question_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let project =
        "projectId in url is invalid.\npath: send 1 to 64 letters, digits, _ or - between /v1/ and the next /";
    let refused = |parameter: &str, what: &str, sent: &str, remedy: &str| {
        format!("{parameter} in url is {what}.\nquery parameter {parameter} = {sent:?}: {remedy}")
    };
    let time = "send a time as RFC 3339 writes it, as in 2016-11-08T16:15:15Z, or milliseconds since 1970 UTC";
    let limit = "send a whole number from 1 to 1000";
    let order = "send a time that is not after end, which is now unless it is sent";
    let next = "send the text next of the answer before as it is, or leave it out to begin anew";
    for (path, message) in [
        ("/v1/a.b/events", project.to_owned()),
        ("/v1/%ff/events", project.to_owned()),
        ("/v1/0/events?start=x", refused("start", "invalid", "x", time)),
        ("/v1/0/events?end=1700000000000000", refused("end", "invalid", "1700000000000000", time)),
        ("/v1/0/events?start=2&end=1", refused("start", "invalid", "2", order)),
        ("/v1/0/events?limit=1001", refused("limit", "invalid", "1001", limit)),
        ("/v1/0/events?limit=0", refused("limit", "invalid", "0", limit)),
        ("/v1/0/events?together=1", refused("together", "invalid", "1", "send true or false")),
        ("/v1/0/events?service=a&service=b", refused("service", "given more than once", "b", "send it once")),
        ("/v1/0/events?next=AQ", refused("next", "invalid", "AQ", next)),
        ("/v1/0/events?next=%00", refused("next", "invalid", "\0", next)),
    ] {
        assert_refused(&server.get(path), 400, &message, path);
    }
    let long = format!("/v1/0/events?namespace={}", "n".repeat(5_000));
    let shown = format!("{}\"...", "n".repeat(128));
    let message =
        format!("namespace in url is too long.\nquery parameter namespace = \"{shown}: send up to 4096 bytes");
    assert_refused(&server.get(&long), 400, &message, "a long name");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(&server, &[], &[event("a", "web-0", (0, 0))]);
    flush(&server);
    server.stop();
    let spoiled = spoil(dir.path());
    let server = Server::start(dir.path());
    post(&server, &[], &[event("b", "web-0", (0, 0))]);
    let answer = server.get(&format!("/v1/0/events?{}", window(0, 0)));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(uids(&answer.json()["events"]), ["b"]);
    assert_eq!(answer.header("spanlake-incomplete"), Some(spoiled.join(", ").as_str()));
}
