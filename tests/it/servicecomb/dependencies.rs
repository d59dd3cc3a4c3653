//! Who depends on whom: recorded by discovery, said by clients, seen in traces.

use super::{Sc, code, done, field, ok, refused};
use crate::support::registry::on_each_database;
use crate::support::server::{Answer, Server};
use serde_json::{Value, json};
use spanlake::clock::{Clock, SystemClock};

/// `name: where it is known from` of each service of an answer, in its order.
fn known(answer: &Value) -> Vec<String> {
    let describe = |service: &Value| {
        let id = if service.get("serviceId").is_some() { "" } else { " (unregistered)" };
        let from = &service["properties"]["spanlake.knownFrom"];
        format!("{}: {}{id}", service["serviceName"].as_str().unwrap(), from.as_str().unwrap())
    };
    answer.as_array().into_iter().flatten().map(describe).collect()
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

fn providers(sc: &Sc, id: &str) -> Vec<String> {
    sorted(known(&sc.get(&format!("/registry/microservices/{id}/providers"))["providers"]))
}

fn consumers(sc: &Sc, id: &str) -> Vec<String> {
    sorted(known(&sc.get(&format!("/registry/microservices/{id}/consumers"))["consumers"]))
}

/// Posts a call from one service to another that was just made.
fn call(server: &Server, id: u32, caller: &str, callee: &str) {
    let now = SystemClock.now_micros();
    let span = |id: String, parent: Option<String>, kind: &str, service: &str, remote: Option<&str>| {
        let mut span = json!({
            "traceId": format!("{id:0>16}"), "id": format!("{id:0>16}"), "kind": kind, "timestamp": now, "duration": 5,
            "localEndpoint": { "serviceName": service },
        });
        if let Some(parent) = parent {
            span["traceId"] = json!(format!("{parent:0>16}"));
            span["parentId"] = json!(format!("{parent:0>16}"));
        }
        if let Some(remote) = remote {
            span["remoteEndpoint"] = json!({ "serviceName": remote });
        }
        span
    };
    let trace = format!("{id}");
    let spans = json!([
        span(trace.clone(), None, "CLIENT", caller, Some(callee)),
        span(format!("{id}0"), Some(trace), "SERVER", callee, None),
    ]);
    let posted = server.post("/api/v2/spans", spans.to_string().as_bytes());
    assert_eq!(posted.status, 202, "{}", posted.text());
}

#[test]
fn what_a_consumer_finds_is_recorded_for_both_sides() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let consumer = sc.shop("web", "1.0.0");
        let [one, two] = ["1.0.0", "2.0.0"].map(|version| sc.shop("cart", version));
        ok(&sc.get_as(&consumer, "/registry/instances?appId=shop&serviceName=cart&version=1.0.0"));
        // Without a consumer nothing is recorded.
        sc.shop("till", "1.0.0");
        ok(&sc.call("GET", "/registry/instances?appId=shop&serviceName=till"));
        assert_eq!(providers(&sc, &consumer), ["cart: registry", "cart: registry"]);
        for cart in [&one, &two] {
            assert_eq!(consumers(&sc, cart), ["web: registry"]);
        }
        assert_eq!(consumers(&sc, &consumer), [""; 0]);
        // The property is of the answer, not of the service.
        assert_eq!(sc.get(&format!("/registry/microservices/{one}"))["service"].get("properties"), None);
        for (side, detail) in [("providers", "Consumer does not exist"), ("consumers", "Provider does not exist")] {
            refused(&sc.call("GET", &format!("/registry/microservices/none/{side}")), 400_012, detail);
        }
    });
}

#[test]
fn a_service_that_finds_itself_is_left_out_if_asked_for() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let id = sc.shop("web", "1.0.0");
        ok(&sc.get_as(&id, "/registry/instances?appId=shop&serviceName=web"));
        let list = |side: &str, query: &str| sc.call("GET", &format!("/registry/microservices/{id}/{side}?{query}"));
        for side in ["providers", "consumers"] {
            for all in ["", "noSelf=0", "sameDomain=1"] {
                assert_eq!(known(&ok(&list(side, all))[side]), ["web: registry"], "{side} {all}");
            }
            assert_eq!(ok(&list(side, "noSelf=1")), json!({}));
            refused(&list(side, "noSelf=maybe"), 400_001, "query parameter noSelf: send true, false, 1 or 0");
        }
        // It does not keep itself from being dropped.
        done(&sc.call("DELETE", &format!("/registry/microservices/{id}")));
    });
}

#[test]
fn clients_of_old_say_themselves_whom_they_depend_on() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let web = sc.shop("web", "1.0.0");
        let [cart, till] = ["cart", "till"].map(|name| sc.shop(name, "1.0.0"));
        let of = |name: &str| json!({ "appId": "shop", "serviceName": name, "version": "1.0.0" });
        let set = |method: &str, providers: Value| {
            let body = json!({ "dependencies": [{ "consumer": of("web"), "providers": providers }] });
            sc.send(method, "/registry/dependencies", &body)
        };
        let answer = set("POST", json!([of("cart")]));
        done(&answer);
        assert_eq!(answer.header("deprecation"), Some("version=\"v4\""));
        // Another one joins it; the application and the version may be left out.
        done(&set("POST", json!([{ "serviceName": "till", "appId": null, "version": "latest" }])));
        assert_eq!(providers(&sc, &web), ["cart: registry", "till: registry"]);
        done(&set("PUT", json!([of("till")])));
        assert_eq!(providers(&sc, &web), ["till: registry"]);
        assert_eq!((consumers(&sc, &cart), consumers(&sc, &till)), (vec![], vec!["web: registry".to_owned()]));
        done(&set("PUT", json!([])));
        assert_eq!(providers(&sc, &web), [""; 0]);
    });
}

#[test]
fn dependencies_that_break_a_rule_change_nothing() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let web = sc.shop("web", "1.0.0");
        sc.shop("cart", "1.0.0");
        let of = |name: &str| json!({ "appId": "shop", "serviceName": name, "version": "1.0.0" });
        let send = |body: &Value| -> Answer { sc.send("POST", "/registry/dependencies", body) };
        let good = json!({ "consumer": of("web"), "providers": [of("cart")] });
        let unknown = json!({ "dependencies": [good, { "consumer": of("none"), "providers": [of("cart")] }] });
        refused(&send(&unknown), 400_012, "Consumer /shop/none/1.0.0 does not exist.");
        for bad in [
            json!({}),
            json!({ "dependencies": [] }),
            json!({ "dependencies": [good, {}] }),
            json!({ "dependencies": [good, { "consumer": of("web") }] }),
            json!({ "dependencies": [good, { "consumer": of("web"), "providers": [] }] }),
            json!({ "dependencies": [good, { "consumer": of("web"), "providers": [of("cart"), of("cart")] }] }),
            json!({ "dependencies": [good, { "consumer": { "serviceName": "web" }, "providers": [of("cart")] }] }),
            json!({ "dependencies": [good, { "consumer": of("web"), "providers": [of("*")] }] }),
            json!({ "dependencies": [good, { "consumer": of("web"), "providers": [{ "serviceName": "a", "version": "x" }] }] }),
            json!({ "dependencies": vec![good.clone(); 101] }),
        ] {
            assert_eq!(code(&send(&bad)), 400_001, "{bad}");
        }
        assert_eq!(providers(&sc, &web), [""; 0]);
    });
}

#[test]
fn what_traces_show_joins_what_discovery_recorded_and_each_says_where_it_is_from() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let [web, cart] = ["web", "Cart"].map(|name| sc.shop(name, "1.0.0"));
        let till = sc
            .register(&json!({ "appId": "shop", "serviceName": "till", "version": "1.0.0", "environment": "testing" }));
        sc.shop("quiet", "1.0.0");
        call(server, 1, "web", "cart");
        call(server, 2, "web", "stock");
        call(server, 3, "cart", "mailer");
        call(server, 4, "browser", "web");
        call(server, 5, "web", "till");
        for name in ["Cart", "quiet"] {
            ok(&sc.get_as(&web, &format!("/registry/instances?appId=shop&serviceName={name}")));
        }
        // The environment is a wall: that till is another one, as far as anybody knows.
        let expected =
            ["Cart: registry,traces", "quiet: registry", "stock: traces (unregistered)", "till: traces (unregistered)"];
        assert_eq!(providers(&sc, &web), expected);
        assert_eq!(consumers(&sc, &web), ["browser: traces (unregistered)"]);
        assert_eq!(providers(&sc, &cart), ["mailer: traces (unregistered)"]);
        assert_eq!(consumers(&sc, &cart), ["web: registry,traces"]);
        let stock = &sc.get(&format!("/registry/microservices/{web}/providers"))["providers"];
        let stock = stock.as_array().unwrap().iter().find(|service| service["serviceName"] == "stock").unwrap().clone();
        assert_eq!(stock, json!({ "serviceName": "stock", "properties": { "spanlake.knownFrom": "traces" } }));
        // Another domain sees nothing of it.
        let other = Sc::of(server, "other", "default");
        let theirs = other.shop("web", "1.0.0");
        assert_eq!(providers(&other, &theirs), [""; 0]);
        // Who is only seen to call keeps nobody.
        done(&sc.call("DELETE", &format!("/registry/microservices/{till}")));
        let kept = sc.call("DELETE", &format!("/registry/microservices/{cart}"));
        assert_eq!(code(&kept), 400_023);

        let graph = sc.get("/govern/relations");
        let line = |line: &Value| {
            format!(
                "{} -> {}: {}",
                line["from"]["name"].as_str().unwrap(),
                line["to"]["name"].as_str().unwrap(),
                line["descriptor"].as_str().unwrap()
            )
        };
        let lines = sorted(graph["lines"].as_array().unwrap().iter().map(line).collect());
        let expected = [
            "Cart -> mailer: traces",
            "browser -> web: traces",
            "web -> Cart: registry,traces",
            "web -> quiet: registry",
            "web -> stock: traces",
            "web -> till: traces",
        ];
        assert_eq!(lines, expected);
        assert_eq!(field(&graph["nodes"], "name"), ["Cart", "browser", "mailer", "quiet", "stock", "till", "web"]);
    });
}

#[test]
fn a_registered_service_that_only_traces_connect_is_listed_with_its_id() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let [web, cart] = ["web", "cart"].map(|name| sc.shop(name, "1.0.0"));
        call(server, 1, "web", "cart");
        let found = sc.get(&format!("/registry/microservices/{web}/providers"))["providers"].clone();
        assert_eq!((field(&found, "serviceId"), known(&found)), (vec![cart.clone()], vec!["cart: traces".to_owned()]));
        // It is no dependency: nobody is kept, nobody is told.
        done(&sc.call("DELETE", &format!("/registry/microservices/{cart}")));
    });
}
