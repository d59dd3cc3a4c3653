//! Services: registered, looked for, read, changed and dropped.

use super::{Sc, code, done, field, ok, refused, timeless};
use crate::support::registry::{on_each_database, on_each_database_with};
use serde_json::{Value, json};

/// The digest of `/cse-sr/ms/indexes/default/default//shop/cart/1.0.0`.
const CART: &str = "a2e1b672914460a33027f59aedbdece6722eb16b";

#[test]
fn a_service_gets_the_id_that_the_service_centre_gives_it_and_its_defaults() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        assert_eq!(sc.shop("cart", "1.0.0"), CART);
        let id = sc.register(&json!({ "serviceName": "minimal" }));
        assert_eq!(id, "43e9e971b545b42fe05b074221af12c961ba8e04");
        let expected = json!({ "service": {
            "serviceId": id, "appId": "default", "serviceName": "minimal", "version": "0.0.1", "level": "BACK",
            "status": "UP",
        }});
        assert_eq!(timeless(sc.get(&format!("/registry/microservices/{id}"))), expected);
    });
}

#[test]
fn all_fields_come_back_nulls_count_as_absent_and_unknown_fields_do_not_matter() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = json!({
            "serviceId": null, "environment": "testing", "appId": "shop", "serviceName": "cart", "version": "1.2",
            "description": "kept \u{0} as \"it\" is", "level": "FRONT", "registerBy": "SIDECAR", "status": "DOWN",
            "alias": "shop:cart", "schemas": ["one", "two"], "properties": { "a": "1", "none": null },
            "framework": { "name": "chassis", "version": "any thing" },
            "paths": [{ "Path": "/a", "Property": { "x": "y" } }, { "path": "/b", "property": null }],
            "timestamp": "1", "modTimestamp": null, "instances": null, "LBStrategy": null, "unknown": { "a": [1] },
        });
        let id = sc.register(&service);
        let mut expected = service.clone();
        for name in ["timestamp", "modTimestamp", "instances", "LBStrategy", "unknown"] {
            expected.as_object_mut().unwrap().remove(name);
        }
        expected["serviceId"] = json!(id);
        expected["properties"]["none"] = json!("");
        expected["paths"] = json!([{ "path": "/a", "property": { "x": "y" } }, { "path": "/b" }]);
        let found = sc.get(&format!("/registry/microservices/{id}"))["service"].clone();
        assert_ne!(found["timestamp"], "1");
        assert_eq!(timeless(found), expected);
    });
}

#[test]
fn registering_again_answers_the_same_id_and_changes_nothing_but_adds_tags_and_instances() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let first = json!({
            "service": { "appId": "shop", "serviceName": "cart", "version": "1.0.0", "description": "first" },
            "tags": { "zone": "a", "old": "x" }, "rules": [{ "ruleType": "WHITE" }],
            "instances": [{ "hostName": "one", "endpoints": ["rest://1:1"] }],
        });
        let again = json!({
            "service": { "appId": "shop", "serviceName": "cart", "version": "1.0.0", "description": "second" },
            "tags": { "zone": "b" }, "instances": [{ "hostName": "two", "endpoints": ["rest://2:2"] }],
        });
        for body in [first, again] {
            let answer = sc.send("POST", "/registry/microservices", &body);
            assert_eq!(ok(&answer), json!({ "serviceId": CART }));
        }
        let path = format!("/registry/microservices/{CART}");
        assert_eq!(sc.get(&path)["service"]["description"], "first");
        assert_eq!(sc.get(&format!("{path}/tags")), json!({ "tags": { "old": "x", "zone": "b" } }));
        assert_eq!(field(&sc.get(&format!("{path}/instances"))["instances"], "hostName"), ["one", "two"]);
    });
}

#[test]
fn an_id_of_the_clients_own_is_kept_and_refused_where_it_is_another_services() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let own = json!({ "serviceId": "my-id", "serviceName": "a", "version": "1.0.0" });
        assert_eq!(sc.register(&own), "my-id");
        assert_eq!(sc.register(&own), "my-id");
        assert_eq!(sc.register(&json!({ "serviceName": "a", "version": "1.0.0" })), "my-id");
        let detail = "ServiceID conflict or found the same service with different id.";
        for conflict in [
            json!({ "serviceId": "other", "serviceName": "a", "version": "1.0.0" }),
            json!({ "serviceId": "my-id", "serviceName": "b", "version": "1.0.0" }),
        ] {
            let answer = sc.send("POST", "/registry/microservices", &json!({ "service": conflict }));
            refused(&answer, 400_010, detail);
        }
        assert_eq!(field(&sc.get("/registry/microservices")["services"], "serviceId"), ["my-id"]);
    });
}

#[test]
fn one_service_registered_from_many_connections_at_once_is_one_service() {
    on_each_database(|server| {
        let body = json!({ "service": { "appId": "shop", "serviceName": "cart", "version": "1.0.0" } });
        let ids: Vec<Value> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| ok(&Sc::new(server).send("POST", "/registry/microservices", &body))))
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        assert_eq!(ids, vec![json!({ "serviceId": CART }); 8]);
        assert_eq!(field(&Sc::new(server).get("/registry/microservices")["services"], "serviceId"), [CART]);
    });
}

#[test]
fn fields_that_break_a_rule_are_refused_and_nothing_is_registered() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let long = "x".repeat(200);
        for (service, detail) in [
            (
                json!({}),
                "service.serviceName: send 1 to 128 characters, letters, digits, _, - and ., a letter or digit first and last",
            ),
            (
                json!({ "serviceName": "a", "version": "1.0.0.0.0" }),
                "service.version: send 1 to 64 characters, one to four numbers with dots between them",
            ),
            (json!({ "serviceName": "a", "version": "1.32768" }), "service.version: send numbers from 0 to 32767"),
            (
                json!({ "serviceName": "a", "environment": "staging" }),
                "service.environment: send development, testing, acceptance, production, or leave it out",
            ),
            (json!({ "serviceName": "a", "level": "TOP" }), "service.level: send FRONT, MIDDLE, BACK, or leave it out"),
            (
                json!({ "serviceName": "a", "serviceId": format!("a\0{long}") }),
                "service.serviceId: send 0 to 64 characters, no spaces and no control characters",
            ),
            (
                json!({ "serviceName": "a", "alias": "a b" }),
                "service.alias: send 0 to 128 characters, letters, digits, _, -, . and :",
            ),
        ] {
            refused(&sc.send("POST", "/registry/microservices", &json!({ "service": service })), 400_001, detail);
        }
        for (body, detail) in [
            (json!({}), "service: send an object"),
            (json!({ "service": null }), "service: send an object"),
            (
                json!({ "service": { "serviceName": "a" }, "tags": { "1": "a" } }),
                "tags: a key: send 1 to 64 characters, letters, digits, _, - and ., a letter first",
            ),
            (
                json!({ "service": { "serviceName": "a" }, "instances": [{ "hostName": "" }] }),
                "instance.hostName: send 1 to 64 characters, no spaces",
            ),
        ] {
            refused(&sc.send("POST", "/registry/microservices", &body), 400_001, detail);
        }
        assert_eq!(sc.get("/registry/microservices"), json!({}));
    });
}

#[test]
fn services_are_listed_by_id_and_each_tenant_sees_its_own() {
    on_each_database(|server| {
        let (ours, other_domain, other_project) =
            (Sc::new(server), Sc::of(server, "other", "default"), Sc::of(server, "default", "other"));
        let [a, b] = ["a", "b"].map(|name| ours.shop(name, "1.0.0"));
        let theirs = other_domain.shop("a", "1.0.0");
        assert_ne!(a, theirs);
        let mut expected = vec![a.clone(), b];
        expected.sort();
        let listed = ours.get("/registry/microservices");
        let ids: Vec<_> =
            listed["services"].as_array().unwrap().iter().map(|service| service["serviceId"].clone()).collect();
        assert_eq!(ids, expected);
        assert_eq!(field(&other_domain.get("/registry/microservices")["services"], "serviceId"), [theirs]);
        assert_eq!(other_project.get("/registry/microservices"), json!({}));
        let detail = format!("Service[{a}] does not exist.");
        for tenant in [&other_domain, &other_project] {
            refused(&tenant.call("GET", &format!("/registry/microservices/{a}")), 400_012, &detail);
        }
    });
}

#[test]
fn what_is_not_there_is_a_400_with_its_code_and_what_cannot_be_an_id_too() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let long = "x".repeat(65);
        let rule = "path: the service's id: send 1 to 64 characters, no spaces and no control characters";
        for (method, path) in [
            ("GET", "/registry/microservices/ID"),
            ("DELETE", "/registry/microservices/ID"),
            ("PUT", "/registry/microservices/ID/properties"),
        ] {
            let send = |id: &str| sc.send(method, &path.replace("ID", id), &json!({ "properties": {} }));
            refused(&send("none"), 400_012, "Service[none] does not exist.");
            refused(&send(&long), 400_001, rule);
            refused(&send("a%20b"), 400_001, rule);
            refused(&send("a%00b"), 400_001, rule);
        }
    });
}

#[test]
fn existence_of_a_service_tells_a_missing_name_from_a_missing_version_and_knows_aliases() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id =
            sc.register(&json!({ "appId": "shop", "serviceName": "cart", "version": "1.0", "alias": "shop:cart" }));
        let three = sc.shop("cart", "1.0.0");
        let ask = |query: &str| sc.call("GET", &format!("/registry/existence?type=microservice&{query}"));
        for (query, found) in [
            ("appId=shop&serviceName=cart&version=1.0", &id),
            ("env=&appId=shop&serviceName=cart&version=1.0", &id),
            ("appId=shop&serviceName=shop%3Acart&version=1.0", &id),
            ("appId=shop&serviceName=cart&version=1.0.0", &three),
        ] {
            assert_eq!(ok(&ask(query)), json!({ "serviceId": found }), "{query}");
        }
        refused(&ask("appId=shop&serviceName=cart&version=2.0"), 400_026, "Service[/shop/cart] has no version 2.0.");
        for (query, detail) in [
            ("appId=shop&serviceName=till&version=1.0", "Service[/shop/till] does not exist."),
            ("appId=other&serviceName=cart&version=1.0", "Service[/other/cart] does not exist."),
            ("env=testing&appId=shop&serviceName=cart&version=1.0", "Service[testing/shop/cart] does not exist."),
        ] {
            refused(&ask(query), 400_012, detail);
        }
        let names = "letters, digits, _, - and ., a letter or digit first and last";
        for (query, detail) in [
            (
                "appId=&serviceName=cart&version=1.0",
                format!("query parameter appId: send 1 to 160 characters, {names}"),
            ),
            ("appId=shop&version=1.0", format!("query parameter serviceName: send 1 to 289 characters, {names}")),
            (
                "appId=shop&serviceName=cart",
                "query parameter version: send 1 to 64 characters, one to four numbers with dots between them"
                    .to_owned(),
            ),
            (
                "appId=shop&serviceName=cart&version=latest",
                "query parameter version: send 1 to 64 characters, one to four numbers with dots between them"
                    .to_owned(),
            ),
        ] {
            refused(&ask(query), 400_001, &detail);
        }
        for kind in ["", "service"] {
            let answer = sc.call("GET", &format!("/registry/existence?type={kind}"));
            refused(&answer, 400_001, "query parameter type: send microservice or schema");
        }
    });
}

#[test]
fn properties_are_replaced_the_framework_too_and_a_whole_service_may_be_sent() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id =
            sc.register(&json!({ "serviceName": "a", "properties": { "old": "1" }, "framework": { "name": "f" } }));
        let path = format!("/registry/microservices/{id}");
        let put = |body: Value| sc.send("PUT", &format!("{path}/properties"), &body);
        let read = || sc.get(&path)["service"].clone();
        done(&put(json!({ "properties": { "new": "2" } })));
        assert_eq!(read()["properties"], json!({ "new": "2" }));
        assert_eq!(read()["framework"], json!({ "name": "f" }));
        // As a Go client does: the rest of the service is not changed.
        let mut whole = read();
        whole["description"] = json!("not taken");
        whole["serviceName"] = json!("b");
        whole["properties"] = json!({ "three": "3" });
        whole["framework"] = json!({ "name": "g", "version": "2" });
        done(&put(whole));
        let changed = read();
        assert_eq!((&changed["serviceName"], &changed["description"]), (&json!("a"), &Value::Null));
        assert_eq!(
            (&changed["properties"], &changed["framework"]),
            (&json!({ "three": "3" }), &json!({ "name": "g", "version": "2" }))
        );
        done(&put(json!({ "properties": null })));
        assert_eq!(read()["properties"], Value::Null);
        let long = "x".repeat(65);
        for body in
            [json!({ "properties": [] }), json!({ "properties": { "a": 1 } }), json!({ "framework": { "name": long } })]
        {
            assert_eq!(code(&put(body)), 400_001);
        }
    });
}

#[test]
fn a_service_that_others_depend_on_or_that_has_instances_is_dropped_by_force_only() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let [provider, consumer] = ["provider", "consumer"].map(|name| sc.shop(name, "1.0.0"));
        let instance = sc.start_at(&provider, 1);
        let path = format!("/registry/microservices/{provider}");
        refused(&sc.call("DELETE", &path), 400_013, "Can not delete this service, the service deployed instance(s).");
        ok(&sc.get_as(&consumer, "/registry/instances?appId=shop&serviceName=provider"));
        for force in ["", "?force=false", "?force=0"] {
            let answer = sc.call("DELETE", &format!("{path}{force}"));
            refused(&answer, 400_023, "Can not delete this service, other service rely it.");
        }
        let bad = sc.call("DELETE", &format!("{path}?force=yes"));
        refused(&bad, 400_001, "query parameter force: send true, false, 1 or 0");
        done(&sc.call("DELETE", &format!("{path}?force=true")));
        refused(&sc.call("GET", &path), 400_012, &format!("Service[{provider}] does not exist."));
        let gone = sc.call("PUT", &format!("{path}/instances/{instance}/heartbeat"));
        assert_eq!(code(&gone), 400_017);
        // Whoever depended on it may go.
        done(&sc.call("DELETE", &format!("/registry/microservices/{consumer}")));
        // It comes back with nothing of what it had.
        assert_eq!(sc.shop("provider", "1.0.0"), provider);
        assert_eq!(sc.get(&format!("{path}/instances")), json!({}));
        done(&sc.call("DELETE", &format!("{path}?force=1")));
    });
}

#[test]
fn many_services_are_dropped_at_once_each_by_itself() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let [a, b, c] = ["a", "b", "c"].map(|name| sc.shop(name, "1.0.0"));
        sc.start_at(&b, 1);
        let drop = |query: &str, body: Value| sc.send("DELETE", &format!("/registry/microservices{query}"), &body);
        let busy =
            "Micro-service has deployed instance(s)(Can not delete this service, the service deployed instance(s).)";
        let gone = "Micro-service does not exist(Service[none] does not exist.)";
        assert_eq!(
            ok(&drop("", json!({ "serviceIds": [a, b, "none", a] }))),
            json!({ "services": [
                { "serviceId": a }, { "serviceId": b, "errMessage": busy }, { "serviceId": "none", "errMessage": gone },
            ]})
        );
        let forced = ok(&drop("", json!({ "serviceIds": [b], "force": true })));
        assert_eq!(forced, json!({ "services": [{ "serviceId": b }] }));
        sc.start_at(&c, 1);
        let forced = ok(&drop("?force=true", json!({ "serviceIds": [c], "force": null })));
        assert_eq!(forced, json!({ "services": [{ "serviceId": c }] }));
        assert_eq!(sc.get("/registry/microservices"), json!({}));
        for body in [json!({}), json!({ "serviceIds": [] }), json!({ "serviceIds": null })] {
            refused(&drop("", body), 400_001, "serviceIds: send 1 to 10000 ids of services");
        }
        let rule = "serviceIds: send 1 to 64 characters, no spaces and no control characters";
        refused(&drop("", json!({ "serviceIds": ["a", "b c"] })), 400_001, rule);
    });
}

#[test]
fn no_more_services_than_allowed() {
    on_each_database_with(&["--registry-max-services", "2"], |server| {
        let sc = Sc::new(server);
        sc.shop("a", "1");
        sc.shop("b", "1");
        let third = json!({ "service": { "serviceName": "c" } });
        let detail = "no more than 2 services: drop some, or raise registry.max_services";
        refused(&sc.send("POST", "/registry/microservices", &third), 400_100, detail);
        // One that is there is no new one.
        sc.shop("a", "1");
    });
}
