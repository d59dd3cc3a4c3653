//! Contracts of services.

use super::{Sc, code, done, field, ok, refused};
use crate::support::registry::{on_each_database, on_each_database_with};
use serde_json::json;

#[test]
fn a_contract_is_put_read_listed_and_dropped() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id = sc.register(&json!({ "serviceName": "a", "schemas": ["announced"] }));
        let path = format!("/registry/microservices/{id}");
        let text = "---\nswagger: \"2.0\"\ninfo: {title: \u{4f60}\u{597d}}\n";
        let put = sc.send("PUT", &format!("{path}/schemas/hello"), &json!({ "schema": text, "summary": "abc123" }));
        done(&put);

        let answer = sc.call("GET", &format!("{path}/schemas/hello"));
        assert_eq!(ok(&answer), json!({ "schema": text }));
        assert_eq!(answer.header("x-schema-summary"), Some("abc123"));

        let exists = sc.call("GET", &format!("/registry/existence?type=schema&serviceId={id}&schemaId=hello"));
        assert_eq!(ok(&exists), json!({ "serviceId": id, "schemaId": "hello" }));
        assert_eq!(exists.header("x-schema-summary"), Some("abc123"));

        let heads = json!({ "schemas": [{ "schemaId": "announced" }, { "schemaId": "hello", "summary": "abc123" }] });
        for query in ["", "?withSchema=0", "?withSchema="] {
            assert_eq!(sc.get(&format!("{path}/schemas{query}")), heads, "{query}");
        }
        let mut whole = heads;
        whole["schemas"][1]["schema"] = json!(text);
        assert_eq!(sc.get(&format!("{path}/schemas?withSchema=1")), whole);
        assert_eq!(sc.get(&path)["service"]["schemas"], json!(["announced", "hello"]));

        // Another text under the same name takes its place.
        done(&sc.send("PUT", &format!("{path}/schemas/hello"), &json!({ "schema": "new", "summary": null })));
        let answer = sc.call("GET", &format!("{path}/schemas/hello"));
        assert_eq!((ok(&answer), answer.header("x-schema-summary")), (json!({ "schema": "new" }), Some("")));

        done(&sc.call("DELETE", &format!("{path}/schemas/hello")));
        let detail = format!("Schema[{id}/hello] does not exist.");
        for (method, missing) in [
            ("GET", format!("{path}/schemas/hello")),
            ("DELETE", format!("{path}/schemas/hello")),
            ("GET", format!("/registry/existence?type=schema&serviceId={id}&schemaId=hello")),
        ] {
            refused(&sc.call(method, &missing), 400_016, &detail);
        }
    });
}

#[test]
fn a_batch_takes_the_place_of_all_contracts() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id = sc.register(&json!({ "serviceName": "a", "schemas": ["announced"] }));
        let path = format!("/registry/microservices/{id}");
        let post = |schemas| sc.send("POST", &format!("{path}/schemas"), &json!({ "schemas": schemas }));
        let one = |id: &str, text: &str| json!({ "schemaId": id, "summary": "s1", "schema": text });
        done(&post(json!([one("a", "1"), one("b", "2")])));
        done(&post(json!([one("b", "old"), one("c", "3"), one("b", "new")])));
        assert_eq!(
            sc.get(&format!("{path}/schemas?withSchema=1")),
            json!({ "schemas": [
                { "schemaId": "b", "summary": "s1", "schema": "new" }, { "schemaId": "c", "summary": "s1", "schema": "3" },
            ]})
        );
        assert_eq!(sc.get(&path)["service"]["schemas"], json!(["b", "c"]));
        for bad in [
            json!(null),
            json!([]),
            json!([one("a b", "1")]),
            json!([one("a", "")]),
            json!([one("a", "nul \u{0}")]),
            json!([{ "schemaId": "a", "schema": "no summary" }]),
            json!([one("good", "1"), { "schemaId": "a", "summary": "not-letters", "schema": "1" }]),
        ] {
            assert_eq!(code(&post(bad.clone())), 400_001, "{bad}");
        }
        assert_eq!(sc.get(&path)["service"]["schemas"], json!(["b", "c"]));
    });
}

#[test]
fn contracts_that_break_a_rule_or_belong_to_nobody_are_refused() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id = sc.shop("a", "1");
        let put = |service: &str, schema: &str, body| {
            sc.send("PUT", &format!("/registry/microservices/{service}/schemas/{schema}"), &body)
        };
        let text = "schema: send the contract's text, without NUL characters";
        refused(&put(&id, "s", json!({})), 400_001, text);
        refused(&put(&id, "s", json!({ "schema": "" })), 400_001, text);
        refused(&put(&id, "s", json!({ "schema": "a\u{0}b" })), 400_001, text);
        let summary = "summary: send 0 to 128 characters, letters and digits";
        refused(&put(&id, "s", json!({ "schema": "a", "summary": "a-b" })), 400_001, summary);
        let name = "path: the schema's id: send 1 to 160 characters, letters, digits, _, - and ., a letter or digit first and last";
        refused(&put(&id, "-s", json!({ "schema": "a" })), 400_001, name);
        refused(&put(&id, &"s".repeat(161), json!({ "schema": "a" })), 400_001, name);
        done(&put(&id, &"s".repeat(160), json!({ "schema": "a" })));
        refused(&put("none", "s", json!({ "schema": "a" })), 400_012, "Service[none] does not exist.");
        for (method, path) in [
            ("GET", "/registry/microservices/none/schemas"),
            ("GET", "/registry/microservices/none/schemas/s"),
            ("DELETE", "/registry/microservices/none/schemas/s"),
            ("GET", "/registry/existence?type=schema&serviceId=none&schemaId=s"),
        ] {
            refused(&sc.call(method, path), 400_012, "Service[none] does not exist.");
        }
        let with = sc.call("GET", &format!("/registry/microservices/{id}/schemas?withSchema=true"));
        refused(&with, 400_001, "query parameter withSchema: send 1 or 0");
        let half = sc.call("GET", &format!("/registry/existence?type=schema&serviceId={id}"));
        let rule = "query parameter schemaId: send 1 to 160 characters, letters, digits, _, - and ., a letter or digit first and last";
        refused(&half, 400_001, rule);
    });
}

#[test]
fn no_more_contracts_than_allowed() {
    on_each_database_with(&["--registry-max-schemas", "2"], |server| {
        let sc = Sc::new(server);
        let id = sc.shop("a", "1");
        let path = format!("/registry/microservices/{id}/schemas");
        for name in ["one", "two", "two"] {
            done(&sc.send("PUT", &format!("{path}/{name}"), &json!({ "schema": "x" })));
        }
        let third = sc.send("PUT", &format!("{path}/three"), &json!({ "schema": "x" }));
        refused(&third, 400_100, "no more than 2 schemas of a service: put fewer, or raise registry.max_schemas");
        let entry = |id: &str| json!({ "schemaId": id, "summary": "s", "schema": "x" });
        let batch = json!({ "schemas": [entry("a"), entry("b"), entry("c")] });
        refused(&sc.send("POST", &path, &batch), 400_001, "schemas: send 1 to 2");
        let announced = json!({ "service": { "serviceName": "b", "schemas": ["a", "b", "c"] } });
        refused(&sc.send("POST", "/registry/microservices", &announced), 400_001, "service.schemas: send up to 2");
        assert_eq!(field(&sc.get(&path)["schemas"], "schemaId"), ["one", "two"]);
    });
}
