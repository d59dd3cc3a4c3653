//! Discovery: who finds whom, and how a consumer learns that nothing has changed.

use super::{Sc, code, done, field, ok, refused};
use crate::support::registry::on_each_database;
use crate::support::server::{Answer, Server};
use serde_json::{Value, json};

fn hosts(answer: &Answer) -> Vec<String> {
    field(&ok(answer)["instances"], "hostName")
}

fn revision(answer: &Answer) -> String {
    let revision = answer.header("x-resource-revision").expect("a revision").to_owned();
    assert!(revision.len() == 40 && revision.bytes().all(|b| b.is_ascii_hexdigit()), "{revision}");
    revision
}

/// Two versions of a provider with an instance each, named by the version.
fn versions(sc: &Sc) {
    for version in ["1.0.0", "1.5", "2.0.0"] {
        let id = sc.shop("cart", version);
        sc.start(&id, &json!({ "hostName": version, "endpoints": ["rest://1:1"] }));
    }
}

#[test]
fn a_version_rule_chooses_among_the_versions() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        versions(&sc);
        let find =
            |rule: &str| sc.call("GET", &format!("/registry/instances?appId=shop&serviceName=cart&version={rule}"));
        for (rule, found) in [
            ("", &["1.0.0", "1.5", "2.0.0"][..]),
            ("0%2B", &["1.0.0", "1.5", "2.0.0"]),
            ("0+", &["1.0.0", "1.5", "2.0.0"]),
            ("0.0.0.0%2B", &["1.0.0", "1.5", "2.0.0"]),
            ("latest", &["2.0.0"]),
            ("1.5.0%2B", &["1.5", "2.0.0"]),
            ("1.0.0-2.0.0", &["1.0.0", "1.5"]),
            ("1.5", &["1.5"]),
            ("3.0.0", &[]),
        ] {
            assert_eq!(hosts(&find(rule)), found, "{rule:?}");
        }
        for bad in ["newest", "1.", "%2B"] {
            let rule = "version: send latest, 1.0.0, 1.0.0+, 1.0.0-2.0.0, or nothing for all";
            refused(&find(bad), 400_001, rule);
        }
    });
}

/// Something that makes instances others.
type Change<'c> = dyn Fn() + 'c;

#[test]
fn a_revision_stands_for_the_answer_until_anything_of_it_changes() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&service, 1);
        let base = format!("/registry/microservices/{service}");
        let one = format!("{base}/instances/{instance}");
        let later: Vec<(&str, Box<Change<'_>>)> = vec![
            ("a new instance", Box::new(|| drop(sc.start_at(&service, 2)))),
            ("a status", Box::new(|| done(&sc.call("PUT", &format!("{one}/status?value=DOWN"))))),
            (
                "properties",
                Box::new(|| {
                    done(&sc.send("PUT", &format!("{one}/properties"), &json!({ "properties": { "a": "b" } })))
                }),
            ),
            (
                "a re-registration",
                Box::new(|| drop(sc.start(&service, &json!({ "instanceId": instance, "hostName": "new" })))),
            ),
            ("a new version", Box::new(|| drop(sc.start_at(&sc.shop("cart", "2.0.0"), 3)))),
            ("one less", Box::new(|| done(&sc.call("DELETE", &one)))),
        ];
        let lists = ["/registry/instances?appId=shop&serviceName=cart", &format!("{base}/instances?")];
        let ask = |list: &str, rev: &str| sc.call("GET", &format!("{list}&rev={rev}"));
        let mut revisions = lists.map(|list| revision(&ask(list, "0")));
        for (what, change) in later {
            for (list, rev) in lists.iter().zip(&revisions) {
                let same = ask(list, rev);
                assert_eq!((same.status, same.text()), (304, ""), "before {what}: {list}");
                assert_eq!(revision(&same), *rev);
            }
            change();
            // A heartbeat is no change.
            let changed: Vec<Answer> = lists.iter().zip(&revisions).map(|(list, rev)| ask(list, rev)).collect();
            assert_eq!(changed[0].status, 200, "{what}");
            assert_ne!(revision(&changed[0]), revisions[0], "{what}");
            // Another version is none of this one's.
            assert_eq!(changed[1].status, if what == "a new version" { 304 } else { 200 }, "{what}");
            revisions = [revision(&changed[0]), revision(&changed[1])];
        }
    });
}

#[test]
fn a_heartbeat_does_not_change_the_revision_and_whoever_must_not_see_one_says_so() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&service, 1);
        let find = |query: &str| sc.call("GET", &format!("/registry/instances?appId=shop&serviceName=cart&{query}"));
        // As a Java client begins.
        let rev = revision(&find("version=0%2B&rev="));
        done(&sc.call("PUT", &format!("/registry/microservices/{service}/instances/{instance}/heartbeat")));
        assert_eq!(find(&format!("version=0%2B&rev={rev}")).status, 304);
        assert_eq!(find(&format!("noCache=1&rev={rev}")).status, 200);
        assert_eq!(find(&format!("cacheOnly=1&rev={rev}")).status, 200);
    });
}

#[test]
fn a_provider_that_is_not_there_is_missing_and_one_without_instances_is_empty() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        sc.shop("idle", "1.0.0");
        let find = |query: &str| sc.call("GET", &format!("/registry/instances?{query}"));
        let idle = find("appId=shop&serviceName=idle");
        assert_eq!(ok(&idle), json!({}));
        revision(&idle);
        refused(&find("appId=shop&serviceName=none"), 400_012, "Provider[/shop/none] does not exist.");
        let app = "appId: send 1 to 160 characters, letters, digits, _, - and ., a letter or digit first and last";
        refused(&find("serviceName=idle"), 400_001, app);
        let name =
            "serviceName: send 1 to 289 characters, letters, digits, _, - and ., a letter or digit first and last";
        refused(&find("appId=shop"), 400_001, name);
        let env = "env: send development, testing, acceptance, production, or leave it out";
        refused(&find("appId=shop&serviceName=idle&env=x"), 400_001, env);
        let unknown = sc.get_as("nobody", "/registry/instances?appId=shop&serviceName=idle");
        refused(&unknown, 400_012, "Consumer[nobody] does not exist.");
    });
}

#[test]
fn environments_and_applications_are_walls_that_only_a_provider_opens() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let start = |service: Value, host: &str| {
            let id = sc.register(&service);
            sc.start(&id, &json!({ "hostName": host, "endpoints": ["rest://1:1"] }));
            id
        };
        let name = |app: &str, environment: &str, name: &str| json!({ "appId": app, "environment": environment, "serviceName": name, "version": "1.0.0" });
        start(name("shop", "", "cart"), "plain");
        start(name("shop", "testing", "cart"), "testing");
        let mut open = name("shop", "", "open");
        open["properties"] = json!({ "allowCrossApp": "TRUE" });
        start(open, "open");
        let consumer = |app: &str, environment: &str| sc.register(&name(app, environment, "consumer"));
        let (near, tester, stranger) = (consumer("shop", ""), consumer("shop", "testing"), consumer("other", ""));
        let find = "/registry/instances?appId=shop&serviceName";
        // The consumer's own environment counts, whatever it asks for.
        assert_eq!(hosts(&sc.get_as(&near, &format!("{find}=cart&env=testing"))), ["plain"]);
        assert_eq!(hosts(&sc.get_as(&tester, &format!("{find}=cart"))), ["testing"]);
        assert_eq!(ok(&sc.get_as(&stranger, &format!("{find}=cart"))), json!({}));
        assert_eq!(hosts(&sc.get_as(&stranger, &format!("{find}=open"))), ["open"]);
        let wall = sc.get_as(&tester, &format!("{find}=open"));
        refused(&wall, 400_012, "Provider[testing/shop/open] does not exist.");
        // Nobody in particular sees everything by its name.
        assert_eq!(hosts(&sc.call("GET", &format!("{find}=cart&env=testing"))), ["testing"]);
        assert_eq!(hosts(&sc.call("GET", &format!("{find}=cart"))), ["plain"]);
    });
}

#[test]
fn the_walls_hold_for_whoever_knows_an_id_too() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let name = |app: &str, environment: &str, name: &str| {
            sc.register(&json!({ "appId": app, "environment": environment, "serviceName": name, "version": "1.0.0" }))
        };
        let service = name("shop", "", "cart");
        let instance = sc.start_at(&service, 1);
        let list = format!("/registry/microservices/{service}/instances");
        let one = format!("{list}/{instance}");
        let near = name("shop", "", "near");
        assert_eq!((sc.get_as(&near, &list).status, sc.get_as(&near, &one).status), (200, 200));
        let walls = |consumer: &str| {
            let detail = format!("Provider[{service}] is not for this consumer.");
            refused(&sc.get_as(consumer, &list), 400_012, &detail);
            let detail = format!("Instance[{service}/{instance}] is not for this consumer.");
            refused(&sc.get_as(consumer, &one), 400_017, &detail);
        };
        let (stranger, tester) = (name("other", "", "stranger"), name("shop", "testing", "tester"));
        walls(&stranger);
        walls(&tester);
        // The provider opens the one wall, not the other.
        let open = json!({ "properties": { "allowCrossApp": "true" } });
        done(&sc.send("PUT", &format!("/registry/microservices/{service}/properties"), &open));
        assert_eq!((sc.get_as(&stranger, &list).status, sc.get_as(&stranger, &one).status), (200, 200));
        walls(&tester);
        refused(&sc.get_as("nobody", &one), 400_012, "Consumer[nobody] does not exist.");
    });
}

#[test]
fn one_instance_has_a_revision_of_its_own() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&service, 1);
        let path = format!("/registry/microservices/{service}/instances/{instance}");
        let rev = revision(&sc.call("GET", &path));
        let same = sc.call("GET", &format!("{path}?rev={rev}"));
        assert_eq!((same.status, same.text(), revision(&same)), (304, "", rev.clone()));
        done(&sc.call("PUT", &format!("{path}/status?value=DOWN")));
        let changed = sc.call("GET", &format!("{path}?rev={rev}"));
        assert_eq!(ok(&changed)["instance"]["status"], "DOWN");
        assert_ne!(revision(&changed), rev);
    });
}

#[test]
fn tenants_do_not_find_each_other() {
    on_each_database(|server| {
        let ours = Sc::new(server);
        let service = ours.shop("cart", "1.0.0");
        let instance = ours.start_at(&service, 1);
        for (domain, project) in [("other", "default"), ("default", "other")] {
            let theirs = Sc::of(server, domain, project);
            let find = theirs.call("GET", "/registry/instances?appId=shop&serviceName=cart");
            refused(&find, 400_012, "Provider[/shop/cart] does not exist.");
            let one = theirs.call("GET", &format!("/registry/microservices/{service}/instances/{instance}"));
            refused(&one, 400_012, &format!("Service[{service}] does not exist."));
            let as_ours = theirs.get_as(&service, "/registry/instances?appId=shop&serviceName=cart");
            refused(&as_ours, 400_012, &format!("Consumer[{service}] does not exist."));
        }
    });
}

#[test]
fn names_of_tenants_that_cannot_be_are_refused() {
    on_each_database(|server| {
        let rule = "send 1 to 256 bytes without spaces and slashes";
        let long = "d".repeat(257);
        for domain in ["a b", "a/b", &long] {
            let answer = Sc::of(server, domain, "default").call("GET", "/registry/microservices");
            refused(&answer, 400_001, &format!("header X-Domain-Name: {rule}"));
        }
        for project in ["a%20b", "a%2Fb", "a%00b"] {
            let answer = Sc::of(server, "default", project).call("GET", "/registry/microservices");
            refused(&answer, 400_001, &format!("path: the project: {rule}"));
        }
        // Without the header it is the default domain.
        Sc::new(server).shop("cart", "1.0.0");
        let plain = server.get("/v4/default/registry/microservices");
        assert_eq!(field(&ok(&plain)["services"], "serviceName"), ["cart"]);
    });
}

#[test]
fn many_questions_at_once_are_sorted_by_what_became_of_them() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&service, 1);
        sc.shop("idle", "1.0.0");
        let consumer = sc.shop("consumer", "1.0.0");
        let ask = |body: Value| sc.send("POST", "/registry/instances/action?type=query&rev=0", &body);
        let by_name =
            |name: &str, rev: &str| json!({ "service": { "appId": "shop", "serviceName": name }, "rev": rev });
        let by_id = |id: &str, rev: &str| json!({ "instance": { "serviceId": service, "instanceId": id }, "rev": rev });

        let first = ok(&ask(json!({
            "consumerServiceId": consumer,
            "services": [by_name("cart", "0"), by_name("none", ""), by_name("idle", ""), by_name("gone", "")],
            "instances": [by_id("none", ""), by_id(&instance, "")],
        })));
        let missing = |code: &str, message: &str, detail: String| json!({ "errorCode": code, "errorMessage": message, "detail": detail });
        let service_missing = |name: &str| {
            missing("400012", "Micro-service does not exist", format!("Provider[/shop/{name}] does not exist."))
        };
        let instance_missing =
            missing("400017", "Instance does not exist", format!("Instance[{service}/none] does not exist."));
        assert_eq!(first["services"]["failed"], json!([{ "indexes": [1, 3], "error": service_missing("none") }]));
        assert_eq!(first["instances"]["failed"], json!([{ "indexes": [0], "error": instance_missing }]));
        let updated = first["services"]["updated"].as_array().unwrap();
        assert_eq!(updated.len(), 2);
        assert_eq!((&updated[0]["index"], &updated[0]["instances"][0]["instanceId"]), (&json!(0), &json!(instance)));
        assert_eq!((&updated[1]["index"], updated[1].get("instances")), (&json!(2), None));
        let rev = updated[0]["rev"].as_str().unwrap();
        let one = &first["instances"]["updated"][0];
        assert_eq!((&one["index"], &one["instances"][0]["instanceId"]), (&json!(1), &json!(instance)));
        let one_rev = one["rev"].as_str().unwrap();

        let second = json!({ "services": [by_name("none", ""), by_name("cart", rev)], "instances": [by_id(&instance, one_rev)] });
        let expected = json!({
            "services": { "failed": [{ "indexes": [0], "error": service_missing("none") }], "notModified": [1] },
            "instances": { "notModified": [0] },
        });
        assert_eq!(ok(&ask(second)), expected);
        // Whoever asked is found to depend on what was found.
        let providers = sc.get(&format!("/registry/microservices/{consumer}/providers"));
        assert_eq!(field(&providers["providers"], "serviceName"), ["cart", "idle"]);

        for body in [json!({}), json!({ "services": [], "instances": null })] {
            refused(&ask(body), 400_001, "services, instances: send 1 to 1000 of them together");
        }
        // What is wrong with one is wrong with all of it.
        let good = by_name("cart", "");
        for bad in [
            json!({ "services": [good, {}] }),
            json!({ "services": [good, { "service": null }] }),
            json!({ "services": [good, { "service": { "appId": "shop", "serviceName": null } }] }),
            json!({ "services": [good, { "service": { "appId": "", "serviceName": "cart" } }] }),
            json!({ "services": [good, { "service": { "appId": "shop", "serviceName": "cart", "version": "x" } }] }),
            json!({ "services": [good], "instances": [{}] }),
            json!({ "services": [good], "instances": [{ "instance": { "serviceId": service } }] }),
            json!({ "services": [good], "instances": [{ "instance": { "instanceId": instance, "serviceId": "a b" } }] }),
        ] {
            assert_eq!(code(&ask(bad.clone())), 400_001, "{bad}");
        }
        let nulls = json!({ "service": { "environment": null, "appId": "shop", "serviceName": "idle", "version": null, "alias": null }, "rev": null });
        assert_eq!(ok(&ask(json!({ "services": [nulls] })))["services"]["updated"][0]["index"], 0);
        for kind in ["", "?type=", "?type=find"] {
            let answer = sc.send(
                "POST",
                &format!("/registry/instances/action{kind}"),
                &json!({ "services": [by_name("cart", "")] }),
            );
            refused(&answer, 400_001, "query parameter type: send query");
        }
    });
}

/// A few kilobytes of a question could otherwise ask for gigabytes.
#[test]
fn a_batch_that_asks_for_too_much_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let sc = Sc::new(&server);
    let service = sc.shop("cart", "1.0.0");
    for copy in 0..20 {
        let properties = json!({ "padding": "x".repeat(4_000) });
        let endpoints = [format!("rest://{copy}:1")];
        sc.start(&service, &json!({ "hostName": "h", "endpoints": endpoints, "properties": properties }));
    }
    let asked = |times: usize| {
        let question = json!({ "service": { "appId": "shop", "serviceName": "cart" } });
        sc.send("POST", "/registry/instances/action?type=query", &json!({ "services": vec![question; times] }))
    };
    assert_eq!(ok(&asked(100))["services"]["updated"].as_array().unwrap().len(), 100);
    let refusal = "the answer is longer than 32 MiB: ask for fewer services at a time";
    refused(&asked(500), 400_001, refusal);
}

/// What may not be found by its name may not be found by its id in a batch either.
#[test]
fn a_batch_of_instances_heeds_who_asks() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let consumer = sc.shop("cart", "1.0.0");
        let provider = sc.register(&json!({ "appId": "another", "serviceName": "bank", "version": "1.0.0" }));
        let instance = sc.start(&provider, &json!({ "hostName": "h", "endpoints": ["rest://h:1"] }));
        let question = json!({ "instance": { "serviceId": provider, "instanceId": instance } });
        let asked = |consumer: &str| {
            let body = json!({ "instances": [question] }).to_string();
            let path = "/registry/instances/action?type=query";
            ok(&sc.send_with("POST", path, &[("x-consumerid", consumer)], body.as_bytes()))
        };
        assert_eq!(asked("")["instances"]["updated"].as_array().unwrap().len(), 1);
        assert_eq!(asked(&consumer)["instances"]["failed"][0]["error"]["errorCode"], "400017");
        assert_eq!(asked("nobody")["instances"]["failed"][0]["error"]["errorCode"], "400012");
    });
}
