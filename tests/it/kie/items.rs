//! Items one by one.

use super::*;
use crate::support::registry::{databases, on_each_database, on_each_database_with};

#[test]
fn an_item_is_created_read_changed_and_dropped() {
    on_each_database(|server| {
        let created = create(
            server,
            &json!({
                "key": "app.timeout", "value": "30 \"☃\"", "labels": { "app": "shop", "environment": "" },
                "value_type": "Properties", "status": "enabled", "priority": 3, "check": "", "more": [1],
            }),
        );
        // `printf default/default/app.timeout/app=shop::environment= | sha256sum`
        let id = "55a412090c795027b9852ea9716f411d65abbd2935a4527f9fcb826073b21f4b";
        let document = |value: &str, status: &str, revision: i64| {
            json!({
                "id": id, "key": "app.timeout", "value": value, "value_type": "properties", "priority": 3,
                "create_revision": 2, "update_revision": revision, "status": status,
                "labels": { "app": "shop", "environment": "" },
            })
        };
        assert_eq!(timeless(created), document("30 \"☃\"", "enabled", 2));
        let path = format!("{KV}/{id}");
        let read = || timeless(server.get(&path).json());
        assert_eq!(read(), document("30 \"☃\"", "enabled", 2));

        // What is empty or not sent stays.
        for (body, value, status, revision) in [
            (json!({ "value": "31" }), "31", "enabled", 3),
            (json!({ "value": "", "status": "disabled", "key": "other" }), "31", "disabled", 4),
            (json!({ "value": "32", "status": "" }), "32", "disabled", 5),
            (json!({}), "32", "disabled", 6),
        ] {
            let changed = send(server, "PUT", &path, &body);
            assert_eq!(changed.status, 200);
            assert_eq!(timeless(changed.json()), document(value, status, revision));
            assert_eq!(read(), document(value, status, revision));
        }

        let dropped = send(server, "DELETE", &path, &Value::Null);
        assert_eq!((dropped.status, dropped.text()), (204, ""));
        let detail = format!("there is no item of the id {id}: the list of items has the ids of those that there are");
        for method in ["GET", "DELETE", "PUT"] {
            let body = if method == "PUT" { json!({ "value": "v" }) } else { Value::Null };
            refused(&send(server, method, &path, &body), "404001", "Record does not exist", &detail);
        }
        let states = server.get(&format!("/v1/default/kie/revision/{id}"));
        refused(&states, "404001", "Record does not exist", &detail);
    });
}

#[test]
fn an_item_that_says_least_is_a_disabled_text_without_labels() {
    on_each_database(|server| {
        let created = create(server, &json!({ "key": "k" }));
        // `printf default/default/k/none | sha256sum`
        let expected = json!({
            "id": "5be7d3ef9e329bc04d6f85b1de7dbc2d1b22a331147800948d96ec0426b6e8f3", "key": "k", "value": "",
            "value_type": "text", "create_revision": 2, "update_revision": 2, "status": "disabled", "labels": {},
        });
        assert_eq!(timeless(created), expected);
    });
}

#[test]
fn the_same_key_with_the_same_labels_is_there_once() {
    on_each_database(|server| {
        let created = create(server, &json!({ "key": "k", "labels": { "a": "1", "b": "2" } }));
        let again = send(server, "POST", KV, &json!({ "key": "k", "labels": { "b": "2", "a": "1" }, "value": "v" }));
        let id = created["id"].as_str().unwrap();
        let detail = format!("the key k is there with these labels: change it by its id, {id}");
        refused(&again, "409001", "Record already exists", &detail);
        create(server, &json!({ "key": "k", "labels": { "a": "1" } }));
        create(server, &json!({ "key": "K", "labels": { "a": "1", "b": "2" } }));
        assert_eq!(listed(&get(server, "")).1, 3);
    });
}

#[test]
fn whatever_breaks_a_rule_is_told_which_and_stores_nothing() {
    on_each_database(|server| {
        const KEY: &str = "field key: send 1 to 2048 letters, digits and .:_-[]";
        const STATUS: &str = "field status: send enabled or disabled, or leave it out";
        const NAME: &str = "field labels: send names of 1 to 32 letters and digits; _, - and . may stand between them";
        const VALUE: &str =
            "field labels: send values of up to 160 letters and digits; _, - and . may stand between them";
        let seven: Value = (0..7).map(|n| (format!("l{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
        for (body, detail) in [
            (json!({}), KEY),
            (json!({ "key": "" }), KEY),
            (json!({ "key": "a b" }), KEY),
            (json!({ "key": "ä" }), KEY),
            (json!({ "key": "k".repeat(2_049) }), KEY),
            (json!({ "key": "k\0" }), KEY),
            (json!({ "key": "k", "value": "a\0b" }), "field value: leave NUL characters out"),
            (json!({ "key": "k", "value": "v".repeat(131_073) }), "field value: send up to 131072 characters"),
            (json!({ "key": "k", "status": "on" }), STATUS),
            (
                json!({ "key": "k", "value_type": "toml" }),
                "field value_type: send text, yaml, json, properties, ini or xml, or leave it out",
            ),
            (json!({ "key": "k", "labels": seven }), "field labels: send up to 6"),
            (json!({ "key": "k", "labels": { "": "v" } }), NAME),
            (json!({ "key": "k", "labels": { "n".repeat(33): "v" } }), NAME),
            (json!({ "key": "k", "labels": { "n\0": "v" } }), NAME),
            (json!({ "key": "k", "labels": { "n": "a:b" } }), VALUE),
            (json!({ "key": "k", "labels": { "n": "v".repeat(161) } }), VALUE),
            (
                json!({ "key": 1 }),
                "the body is not as expected: invalid type: integer `1`, expected a string at line 1 column 8",
            ),
            (json!(7), "the body is not as expected: invalid type: integer `7`, expected an object at line 1 column 1"),
            (
                // A list of the fields in their order is no item.
                json!(["k", "v", {}, "enabled", "text", 1]),
                "the body is not as expected: invalid type: sequence, expected an object at line 1 column 0",
            ),
        ] {
            invalid(&send(server, "POST", KV, &body), detail);
        }
        let cut = server.post(KV, b"{\"key\":");
        invalid(&cut, "the body is not as expected: EOF while parsing a value at line 1 column 7");
        assert_eq!(listed(&get(server, "")), (1, 0, vec![]));

        let id = create(server, &json!({ "key": "k", "value": "v" }))["id"].as_str().unwrap().to_owned();
        for (body, detail) in
            [(json!({ "status": "on" }), STATUS), (json!({ "value": "\0" }), "field value: leave NUL characters out")]
        {
            invalid(&send(server, "PUT", &format!("{KV}/{id}"), &body), detail);
        }
        // The longest that there may be.
        let longest = json!({
            "key": "k".repeat(2_048), "value": "☃".repeat(131_072),
            "labels": (0..6).map(|n| (format!("{n}{}", "n".repeat(31)), json!("v".repeat(160))))
                .collect::<serde_json::Map<_, _>>(),
        });
        let created = create(server, &longest);
        for field in ["key", "value", "labels"] {
            assert_eq!(created[field], longest[field], "{field}");
        }
    });
}

#[test]
fn paths_and_headers_that_name_nobody_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    const RULE: &str = "send 1 to 256 letters and digits; _, - and . may stand between them";
    for project in ["a%20b", "-a", "a%00", &"p".repeat(257)] {
        invalid(&server.get(&format!("/v1/{project}/kie/kv")), &format!("path: the project: {RULE}"));
    }
    invalid(&server.get("/v1/%ff/kie/kv"), "path: send UTF-8, percent-encoded");
    let answer = server.connect().send("GET", KV, &[("x-domain-name", "a b")], b"");
    invalid(&answer, &format!("header X-Domain-Name: {RULE}"));
    let detail = "path: the item's id: send 1 to 64 letters, digits, - or _, as the list of items has them";
    for id in ["a%00b", "a.b", &"f".repeat(65)] {
        invalid(&server.get(&format!("{KV}/{id}")), detail);
        invalid(&server.get(&format!("/v1/default/kie/revision/{id}")), detail);
        invalid(&send(&server, "DELETE", &format!("{KV}/{id}"), &Value::Null), detail);
    }
}

#[test]
fn each_domain_and_project_has_items_and_a_revision_of_its_own() {
    on_each_database(|server| {
        let whose = [("default", "default"), ("default", "another"), ("another", "default")];
        let ask = |method: &str, (domain, project): (&str, &str), body: &str| {
            let headers: &[_] = if domain == "default" { &[] } else { &[("x-domain-name", domain)] };
            server.connect().send(method, &format!("/v1/{project}/kie/kv"), headers, body.as_bytes())
        };
        let mut ids = Vec::new();
        for (number, whose) in whose.into_iter().enumerate() {
            for n in 0..=number {
                let body = json!({ "key": format!("k{n}"), "value": format!("{}/{}", whose.0, whose.1) });
                ids.push(ask("POST", whose, &body.to_string()).json()["id"].clone());
            }
        }
        ids.sort_by_key(Value::to_string);
        ids.dedup();
        assert_eq!(ids.len(), 6);
        for (number, whose) in whose.into_iter().enumerate() {
            let items = (0..=number).rev().map(|n| format!("k{n}={}/{}", whose.0, whose.1)).collect();
            assert_eq!(listed(&ask("GET", whose, "")), (number as i64 + 2, number as u64 + 1, items));
        }
        let health = |headers: &[(&str, &str)]| {
            let health = server.connect().send("GET", "/v1/health", headers, b"").json();
            assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
            assert!(health["timestamp"].as_i64().unwrap() > 1_700_000_000);
            assert_eq!(health.as_object().unwrap().len(), 4);
            (health["revision"].clone(), health["total_kv_count"].clone())
        };
        assert_eq!(health(&[]), (json!("3"), json!(3)));
        assert_eq!(health(&[("x-domain-name", "another")]), (json!("4"), json!(3)));
        assert_eq!(health(&[("x-domain-name", "nobody")]), (json!("1"), json!(0)));
        let live = server.get("/v1/health?mode=liveness");
        assert_eq!((live.status, live.text()), (200, ""));
    });
}

#[test]
fn many_are_dropped_together_and_those_that_are_not_there_do_not_matter() {
    on_each_database(|server| {
        let ids: Vec<Value> =
            ["a", "b", "c"].map(|key| create(server, &json!({ "key": key, "value": "" }))["id"].clone()).into();
        for (ids, revision, left) in [
            (json!([]), 4, 3),
            (json!(["nobody", "a\0b", ""]), 4, 3),
            (json!([ids[0], ids[2], ids[0], "nobody"]), 5, 1),
            (json!([ids[0], ids[1]]), 6, 0),
        ] {
            let dropped = send(server, "DELETE", KV, &json!({ "ids": ids }));
            assert_eq!((dropped.status, dropped.text()), (204, ""));
            let (at, total, _) = listed(&get(server, ""));
            assert_eq!((at, total), (revision, left));
        }
        invalid(
            &send(server, "DELETE", KV, &json!({})),
            "the body is not as expected: missing field `ids` at line 1 column 2",
        );
        invalid(
            &send(server, "DELETE", KV, &json!({ "ids": vec!["x"; 10_001] })),
            "field ids: send up to 10000 at a time",
        );
        let none = send(server, "DELETE", KV, &Value::Null);
        invalid(&none, "the body is not as expected: EOF while parsing a value at line 1 column 0");
    });
}

#[test]
fn the_states_of_an_item_come_newest_first_and_in_pages() {
    on_each_database(|server| {
        let id = create(server, &json!({ "key": "k", "value": "0" }))["id"].as_str().unwrap().to_owned();
        for value in ["1", "2"] {
            send(server, "PUT", &format!("{KV}/{id}"), &json!({ "value": value }));
        }
        let states = |query: &str| {
            let answer = server.get(&format!("/v1/default/kie/revision/{id}{query}"));
            assert_eq!(answer.status, 200);
            let body = answer.json();
            let values: Vec<Value> =
                body["data"].as_array().unwrap().iter().map(|item| item["value"].clone()).collect();
            (body["total"].clone(), Value::from(values))
        };
        assert_eq!(states(""), (json!(3), json!(["2", "1", "0"])));
        assert_eq!(states("?offset=1&limit=1"), (json!(3), json!(["1"])));
        assert_eq!(states("?offset=9"), (json!(3), json!([])));
        let refused = server.get(&format!("/v1/default/kie/revision/{id}?limit=101"));
        invalid(&refused, "query parameter limit: send 1 to 100, or nothing for all");
    });
}

#[test]
fn there_are_no_more_items_and_bytes_than_the_settings_say() {
    on_each_database_with(&["--kie-max-items", "2", "--kie-max-bytes", "10"], |server| {
        let id = create(server, &json!({ "key": "a", "value": "12345" }))["id"].as_str().unwrap().to_owned();
        let bytes = "no more than 10 bytes of values: drop some, or raise kie.max_bytes";
        let long = send(server, "POST", KV, &json!({ "key": "b", "value": "123456" }));
        refused(&long, "422001", "quota is not enough", bytes);
        let long = send(server, "PUT", &format!("{KV}/{id}"), &json!({ "value": "12345678901" }));
        refused(&long, "422001", "quota is not enough", bytes);
        create(server, &json!({ "key": "b" }));
        let items = "no more than 2 configuration items: drop some, or raise kie.max_items";
        refused(&send(server, "POST", KV, &json!({ "key": "c" })), "422001", "quota is not enough", items);
        send(server, "DELETE", &format!("{KV}/{id}"), &Value::Null);
        create(server, &json!({ "key": "c", "value": "1234567890" }));
    });
}

#[test]
fn a_body_that_is_too_large_or_binary_is_refused_in_the_same_form() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["--ingest-max-body-bytes", "1KiB"]);
    let large = send(&server, "POST", KV, &json!({ "key": "k", "value": "v".repeat(1_024) }));
    assert_eq!((large.status, &large.json()["errorCode"]), (413, &json!("413001")));
    assert_eq!(large.json()["error_message"], "the body is larger than 1KiB");
    let binary = server.connect().send("POST", KV, &[("content-type", "application/x-thrift")], b"\x0c");
    assert_eq!((binary.status, &binary.json()["error_code"]), (415, &json!("415001")));
    assert_eq!(listed(&get(&server, "")).1, 0);
}

#[test]
fn a_server_that_is_killed_has_every_acknowledged_item_and_its_revision_when_it_comes_back() {
    for database in databases() {
        let data = tempfile::tempdir().unwrap();
        let server = database.start(data.path(), &[]);
        let id = create(&server, &json!({ "key": "k", "value": "1" }))["id"].as_str().unwrap().to_owned();
        let gone = create(&server, &json!({ "key": "gone" }))["id"].as_str().unwrap().to_owned();
        send(&server, "PUT", &format!("{KV}/{id}"), &json!({ "value": "2", "status": "enabled" }));
        send(&server, "DELETE", &format!("{KV}/{gone}"), &Value::Null);
        let texts = |server: &Server| {
            let states = server.get(&format!("/v1/default/kie/revision/{id}"));
            [get(server, ""), server.get(&format!("{KV}/{id}")), states].map(|answer| answer.text().to_owned())
        };
        let before = texts(&server);
        assert_eq!(listed(&get(&server, "")), (5, 1, vec!["k=2".to_owned()]));
        server.kill();

        let server = database.start(data.path(), &[]);
        assert_eq!(texts(&server), before);
        assert_eq!(listed(&get(&server, "")).0, 5);
        assert_eq!(create(&server, &json!({ "key": "gone" }))["create_revision"], 6);
        server.stop();
    }
}
