//! Tags of services.

use super::{Sc, code, done, field, ok, refused};
use crate::support::registry::{on_each_database, on_each_database_with};
use serde_json::json;

#[test]
fn tags_are_added_changed_listed_and_dropped() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id = sc.shop("a", "1");
        let path = format!("/registry/microservices/{id}/tags");
        assert_eq!(sc.get(&path), json!({}));
        done(&sc.send("POST", &path, &json!({ "tags": { "a": "x", "b": "y", "c": "z" } })));
        done(&sc.send("POST", &path, &json!({ "tags": { "b": "w" } })));
        assert_eq!(sc.get(&path), json!({ "tags": { "a": "x", "b": "w", "c": "z" } }));
        done(&sc.call("PUT", &format!("{path}/a?value=v.1")));
        assert_eq!(sc.get(&path)["tags"]["a"], "v.1");
        let missing = sc.call("PUT", &format!("{path}/none?value=v"));
        refused(&missing, 400_018, "Tag does not exist, please add one first.");
        // All of them go, or none.
        let half = sc.call("DELETE", &format!("{path}/a,none"));
        refused(&half, 400_018, "Delete tags failed for this key none does not exist.");
        assert_eq!(sc.get(&path)["tags"]["a"], "v.1");
        done(&sc.call("DELETE", &format!("{path}/a,b")));
        assert_eq!(sc.get(&path), json!({ "tags": { "c": "z" } }));
        done(&sc.call("DELETE", &format!("{path}/c")));
        assert_eq!(sc.get(&path), json!({}));
    });
}

#[test]
fn tags_that_break_a_rule_or_belong_to_nobody_are_refused() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id = sc.shop("a", "1");
        let path = format!("/registry/microservices/{id}/tags");
        let words = "send 1 to 64 characters, letters, digits, _, - and ., a letter first";
        let (key, value) = (format!("tags: a key: {words}"), format!("tags: a value: {words}"));
        for (tags, detail) in [
            (json!({ "": "a" }), &key),
            (json!({ "1a": "a" }), &key),
            (json!({ "a": "" }), &value),
            (json!({ "a": null }), &value),
            (json!({ "a": "x".repeat(65) }), &value),
        ] {
            refused(&sc.send("POST", &path, &json!({ "tags": tags })), 400_001, detail);
        }
        done(&sc.send("POST", &path, &json!({ "tags": { "a".repeat(64): "x".repeat(64) } })));
        refused(&sc.call("PUT", &format!("{path}/1?value=a")), 400_001, &format!("path: the tag's key: {words}"));
        refused(&sc.call("PUT", &format!("{path}/a")), 400_001, &format!("query parameter value: {words}"));
        refused(&sc.call("DELETE", &format!("{path}/a,")), 400_001, &format!("path: the tag's key: {words}"));
        let none = "/registry/microservices/none/tags";
        let detail = "Service[none] does not exist.";
        refused(&sc.call("GET", none), 400_012, detail);
        refused(&sc.send("POST", none, &json!({ "tags": { "a": "b" } })), 400_012, detail);
        refused(&sc.call("PUT", &format!("{none}/a?value=b")), 400_012, detail);
        refused(&sc.call("DELETE", &format!("{none}/a")), 400_012, detail);
    });
}

#[test]
fn no_more_tags_than_allowed() {
    on_each_database_with(&["--registry-max-tags", "2"], |server| {
        let sc = Sc::new(server);
        let id = sc.shop("a", "1");
        let path = format!("/registry/microservices/{id}/tags");
        done(&sc.send("POST", &path, &json!({ "tags": { "a": "x", "b": "x" } })));
        let more = sc.send("POST", &path, &json!({ "tags": { "c": "x" } }));
        refused(&more, 400_100, "no more than 2 tags of a service: drop some, or raise registry.max_tags");
        let many = json!({ "tags": { "c": "x", "d": "x", "e": "x" } });
        refused(&sc.send("POST", &path, &many), 400_001, "tags: send up to 2");
        assert_eq!(sc.get(&path), json!({ "tags": { "a": "x", "b": "x" } }));
    });
}

#[test]
fn tags_choose_among_the_versions_of_a_provider() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        for (version, zone) in [("1.0.0", "east"), ("2.0.0", "west")] {
            let id = sc.shop("cart", version);
            done(&sc.send("POST", &format!("/registry/microservices/{id}/tags"), &json!({ "tags": { "zone": zone } })));
            sc.start(&id, &json!({ "hostName": zone, "endpoints": ["rest://1:1"] }));
            let of = |zone: &str| sc.call("GET", &format!("/registry/microservices/{id}/instances?tags=zone:{zone}"));
            assert_eq!(field(&ok(&of(zone))["instances"], "hostName"), [zone]);
            assert_eq!(ok(&of("north")), json!({}));
            let one = field(&ok(&of(zone))["instances"], "instanceId").remove(0);
            let one = |tags: &str| sc.call("GET", &format!("/registry/microservices/{id}/instances/{one}?tags={tags}"));
            assert_eq!((one("zone").status, one(&format!("zone:{zone}")).status), (200, 200));
            assert_eq!(code(&one("lane")), 400_017);
        }
        let find = |tags: &str| sc.call("GET", &format!("/registry/instances?appId=shop&serviceName=cart&tags={tags}"));
        assert_eq!(field(&ok(&find("zone:west"))["instances"], "hostName"), ["west"]);
        assert_eq!(field(&ok(&find(""))["instances"], "hostName"), ["east", "west"]);
        assert_eq!(ok(&find("zone:west,lane:1")), json!({}));
        // A name alone stands for any value, as the service centre has it.
        assert_eq!(field(&ok(&find("zone"))["instances"], "hostName"), ["east", "west"]);
        assert_eq!(ok(&find("zone,lane")), json!({}));
        let rule = "query parameter tags: send 1 to 64 characters, letters, digits, _, - and ., a letter first";
        refused(&find("1"), 400_001, rule);
    });
}
