//! Instances: registered, read, changed, kept alive and dropped.

use super::{Sc, code, done, field, ok, refused, timeless};
use crate::support::registry::{on_each_database, on_each_database_with};
use serde_json::{Value, json};

fn path(service: &str, instance: &str) -> String {
    format!("/registry/microservices/{service}/instances/{instance}")
}

#[test]
fn an_instance_gets_an_id_of_32_hex_digits_its_services_version_and_the_defaults() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let id = sc.start(&service, &json!({ "hostName": "host", "version": "9", "serviceId": "another" }));
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
        let expected = json!({ "instance": {
            "instanceId": id, "serviceId": service, "hostName": "host", "status": "UP", "version": "1.0.0",
            "healthCheck": { "mode": "push", "interval": 30, "times": 3 },
        }});
        assert_eq!(timeless(sc.get(&path(&service, &id))), expected);
    });
}

#[test]
fn all_fields_come_back_and_nulls_count_as_absent() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let sent = json!({
            "instanceId": "my-instance_1.0", "hostName": "host", "endpoints": ["rest://1:1?sslEnabled=true", "highway://1:2"],
            "status": "TESTING", "properties": { "a": "1", "b": null },
            "healthCheck": { "mode": "pull", "port": 8080, "interval": 900, "times": 3, "url": "/up" },
            "dataCenterInfo": { "name": "dc", "region": "east", "availableZone": "east-1" },
        });
        let id = sc.start(&service, &sent);
        let mut expected = sent;
        expected["properties"]["b"] = json!("");
        expected["serviceId"] = json!(service);
        expected["version"] = json!("1.0.0");
        assert_eq!(id, "my-instance_1.0");
        assert_eq!(timeless(sc.get(&path(&service, &id)))["instance"], expected);
        let bare = json!({
            "instanceId": null, "serviceId": null, "version": null, "hostName": "bare", "endpoints": null, "status": null,
            "properties": null, "healthCheck": null, "dataCenterInfo": null, "timestamp": null, "modTimestamp": null,
        });
        let id = sc.start(&service, &bare);
        let found = timeless(sc.get(&path(&service, &id)))["instance"].clone();
        let names: Vec<&String> = found.as_object().unwrap().keys().collect();
        assert_eq!(names, ["healthCheck", "hostName", "instanceId", "serviceId", "status", "version"]);
    });
}

#[test]
fn an_instance_registered_again_is_replaced_by_its_id_or_by_its_endpoints() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let id = sc.start(&service, &json!({ "hostName": "one", "endpoints": ["rest://1:1", "rest://1:2"] }));
        let first = sc.get(&path(&service, &id))["instance"]["timestamp"].clone();
        // The same endpoints in another order, without an id.
        let again = sc.start(
            &service,
            &json!({ "hostName": "two", "endpoints": ["rest://1:2", "rest://1:1"], "status": "DOWN" }),
        );
        assert_eq!(again, id);
        assert_eq!(sc.start(&service, &json!({ "instanceId": id, "hostName": "three" })), id);
        let other = sc.start(&service, &json!({ "hostName": "one", "endpoints": ["rest://1:1"] }));
        assert_ne!(other, id);
        let found = sc.get(&path(&service, &id))["instance"].clone();
        assert_eq!(
            (&found["hostName"], &found["status"], &found["endpoints"]),
            (&json!("three"), &json!("UP"), &Value::Null)
        );
        assert_eq!(found["timestamp"], first);
        assert_eq!(
            field(&sc.get(&format!("/registry/microservices/{service}/instances"))["instances"], "hostName"),
            ["one", "three"]
        );
    });
}

#[test]
fn status_and_properties_are_changed_in_place() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let id = sc.start(&service, &json!({ "hostName": "host", "properties": { "a": "1" } }));
        let path = path(&service, &id);
        for status in ["DOWN", "STARTING", "TESTING", "OUTOFSERVICE", "UP"] {
            done(&sc.call("PUT", &format!("{path}/status?value={status}")));
            assert_eq!(sc.get(&path)["instance"]["status"], status);
        }
        for bad in ["", "?value=", "?value=up", "?value=GONE"] {
            let answer = sc.call("PUT", &format!("{path}/status{bad}"));
            refused(&answer, 400_001, "query parameter value: send UP, DOWN, STARTING, TESTING or OUTOFSERVICE");
        }
        // A Go client sends the whole instance.
        let whole = json!({ "instanceId": "x", "hostName": "other", "status": "DOWN", "properties": { "b": "2" } });
        done(&sc.send("PUT", &format!("{path}/properties"), &whole));
        let found = sc.get(&path)["instance"].clone();
        assert_eq!(
            (&found["properties"], &found["hostName"], &found["status"]),
            (&json!({ "b": "2" }), &json!("host"), &json!("UP"))
        );
        done(&sc.send("PUT", &format!("{path}/properties"), &json!({ "properties": null })));
        assert_eq!(sc.get(&path)["instance"]["properties"], Value::Null);
    });
}

#[test]
fn heartbeats_are_taken_one_by_one_and_many_at_once() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let [a, b] = [1, 2].map(|port| sc.start_at(&service, port));
        done(&sc.call("PUT", &format!("{}/heartbeat", path(&service, &a))));
        let pair = |id: &str| json!({ "serviceId": service, "instanceId": id });
        let answer =
            sc.send("PUT", "/registry/heartbeats", &json!({ "instances": [pair(&a), pair("none"), pair(&b)] }));
        let mut missing = pair("none");
        missing["errMessage"] = json!("Service instance does not exist.");
        assert_eq!(ok(&answer), json!({ "instances": [pair(&a), missing, pair(&b)] }));
        for body in [json!({}), json!({ "instances": [] }), json!({ "instances": null })] {
            let answer = sc.send("PUT", "/registry/heartbeats", &body);
            refused(&answer, 400_001, "instances: send 1 to 10000 pairs of serviceId and instanceId");
        }
        assert_eq!(code(&sc.send("PUT", "/registry/heartbeats", &json!({ "instances": [{}] }))), 400_001);
    });
}

#[test]
fn an_instance_that_was_dropped_is_gone_for_everything() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let id = sc.start_at(&service, 1);
        let path = path(&service, &id);
        done(&sc.call("DELETE", &path));
        let detail = format!("Instance[{service}/{id}] does not exist.");
        refused(&sc.call("GET", &path), 400_017, &detail);
        refused(&sc.call("DELETE", &path), 400_017, &detail);
        refused(&sc.call("PUT", &format!("{path}/heartbeat")), 400_017, &detail);
        refused(&sc.call("PUT", &format!("{path}/status?value=UP")), 400_017, &detail);
        refused(&sc.send("PUT", &format!("{path}/properties"), &json!({ "properties": {} })), 400_017, &detail);
        assert_eq!(sc.get(&format!("/registry/microservices/{service}/instances")), json!({}));
    });
}

#[test]
fn what_cannot_be_an_id_is_invalid_and_a_service_that_is_not_there_is_missing() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let rule = "path: the instance's id: send 1 to 64 characters, letters, digits, _, . and -";
        for bad in ["a%20b", "%00", &"x".repeat(65)] {
            let path = path(&service, bad);
            refused(&sc.call("GET", &path), 400_001, rule);
            refused(&sc.call("DELETE", &path), 400_001, rule);
            refused(&sc.call("PUT", &format!("{path}/heartbeat")), 400_001, rule);
            refused(&sc.call("PUT", &format!("{path}/status?value=UP")), 400_001, rule);
            refused(&sc.send("PUT", &format!("{path}/properties"), &json!({})), 400_001, rule);
        }
        let missing = "Service[none] does not exist.";
        let body = json!({ "instance": { "hostName": "host" } });
        refused(&sc.send("POST", "/registry/microservices/none/instances", &body), 400_012, missing);
        refused(&sc.call("GET", "/registry/microservices/none/instances"), 400_012, missing);
        refused(&sc.call("GET", "/registry/microservices/none/instances/i"), 400_012, missing);
        refused(&sc.call("DELETE", "/registry/microservices/none/instances/i"), 400_012, missing);
        let unknown = sc.get_as("nobody", &format!("/registry/microservices/{service}/instances"));
        refused(&unknown, 400_012, "Consumer[nobody] does not exist.");
    });
}

#[test]
fn instances_that_break_a_rule_are_refused() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let register = |instance: Value| {
            sc.send("POST", &format!("/registry/microservices/{service}/instances"), &json!({ "instance": instance }))
        };
        for (instance, detail) in [
            (Value::Null, "instance: send an object"),
            (json!({}), "instance.hostName: send 1 to 64 characters, no spaces"),
            (json!({ "hostName": "a b" }), "instance.hostName: send 1 to 64 characters, no spaces"),
            (json!({ "hostName": "h", "endpoints": [""] }), "instance.endpoints: send 1 to 512 characters, no spaces"),
            (
                json!({ "hostName": "h", "status": "up" }),
                "instance.status: send UP, DOWN, STARTING, TESTING or OUTOFSERVICE",
            ),
            (
                json!({ "hostName": "h", "healthCheck": { "mode": "poke", "interval": 1 } }),
                "instance.healthCheck.mode: send push or pull",
            ),
            (
                json!({ "hostName": "h", "healthCheck": { "mode": "push", "interval": 0 } }),
                "instance.healthCheck.interval: send seconds from 1 to 86400",
            ),
            (
                json!({ "hostName": "h", "healthCheck": { "mode": "push", "interval": 1, "port": 65_536 } }),
                "instance.healthCheck.port: send a number from 0 to 65535",
            ),
            (
                json!({ "hostName": "h", "healthCheck": { "mode": "push", "interval": 1, "times": -1 } }),
                "instance.healthCheck.times: send a number from 0 to 10000",
            ),
            (
                json!({ "hostName": "h", "dataCenterInfo": { "name": "a", "region": "b" } }),
                "instance.dataCenterInfo.availableZone: send 1 to 128 characters, letters, digits, _, . and -",
            ),
        ] {
            refused(&register(instance), 400_001, detail);
        }
        assert_eq!(sc.get(&format!("/registry/microservices/{service}/instances")), json!({}));
    });
}

#[test]
fn no_more_instances_than_allowed() {
    on_each_database_with(&["--registry-max-instances", "1"], |server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        sc.start_at(&service, 1);
        let second = json!({ "instance": { "hostName": "h", "endpoints": ["rest://2:2"] } });
        let answer = sc.send("POST", &format!("/registry/microservices/{service}/instances"), &second);
        refused(&answer, 400_100, "no more than 1 instances: drop some, or raise registry.max_instances");
        sc.start_at(&service, 1);
    });
}
