//! The registry as a person looks at it.

use super::{Sc, done, field, ok, refused, timeless};
use crate::support::registry::on_each_database;
use serde_json::{Value, json};

/// Two applications, three services in two of which something runs.
fn fill(sc: &Sc) -> [String; 3] {
    let web = sc.register(&json!({
        "appId": "shop", "serviceName": "web", "version": "1.0.0", "schemas": ["api"], "properties": { "team": "a" },
    }));
    let newer = sc.register(&json!({ "appId": "shop", "serviceName": "web", "version": "2.0.0" }));
    let mail =
        sc.register(&json!({ "appId": "post", "environment": "testing", "serviceName": "mail", "version": "1.0.0" }));
    sc.start(&web, &json!({ "instanceId": "w1", "hostName": "w1", "properties": { "a": "b" } }));
    sc.start(&newer, &json!({ "instanceId": "w2", "hostName": "w2" }));
    done(&sc.send(
        "PUT",
        &format!("/registry/microservices/{web}/schemas/api"),
        &json!({ "schema": "text", "summary": "s" }),
    ));
    done(&sc.send("POST", &format!("/registry/microservices/{web}/tags"), &json!({ "tags": { "zone": "east" } })));
    [web, newer, mail]
}

fn names(answer: &Value) -> Vec<String> {
    let of = |detail: &Value| {
        let service = &detail["microService"];
        format!("{} {}", service["serviceName"].as_str().unwrap(), service["version"].as_str().unwrap())
    };
    let mut names: Vec<String> = answer["allServicesDetail"].as_array().into_iter().flatten().map(of).collect();
    names.sort();
    names
}

#[test]
fn details_have_what_the_options_ask_for() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let [web, newer, _] = fill(&sc);
        ok(&sc.get_as(&newer, "/registry/instances?appId=shop&serviceName=web"));
        let of_web = |query: &str| {
            let answer = sc.get(&format!("/govern/microservices?appId=shop&{query}"));
            let details = answer["allServicesDetail"].as_array().unwrap().clone();
            let detail = details.into_iter().find(|detail| detail["microService"]["serviceId"] == *web).unwrap();
            let mut detail = timeless(detail);
            // Without the names of its contracts, which are many.
            let service = detail.as_object_mut().unwrap().remove("microService").unwrap();
            assert_eq!(
                service,
                json!({
                    "serviceId": web, "appId": "shop", "serviceName": "web", "version": "1.0.0", "level": "BACK", "status": "UP",
                    "properties": { "team": "a" },
                })
            );
            detail
        };
        let instance = json!({
            "instanceId": "w1", "serviceId": web, "hostName": "w1", "status": "UP", "properties": { "a": "b" },
            "healthCheck": { "mode": "push", "interval": 30, "times": 3 }, "version": "1.0.0",
        });
        let consumer = json!({
            "serviceId": newer, "appId": "shop", "serviceName": "web", "version": "2.0.0", "level": "BACK", "status": "UP",
            "properties": { "spanlake.knownFrom": "registry" },
        });
        let contract = json!({ "schemaId": "api", "summary": "s", "schema": "text" });
        assert_eq!(of_web(""), json!({}));
        assert_eq!(of_web("options=tags"), json!({ "tags": { "zone": "east" } }));
        assert_eq!(of_web("options=instances"), json!({ "instances": [instance] }));
        assert_eq!(of_web("options=instances&countOnly=1"), json!({ "statics": { "instances": { "count": 1 } } }));
        assert_eq!(of_web("options=schemas,unknown"), json!({ "schemaInfos": [contract] }));
        assert_eq!(of_web("options=dependencies"), json!({ "consumers": [consumer] }));
        assert_eq!(
            of_web("options=all"),
            json!({
                "tags": { "zone": "east" }, "instances": [instance], "schemaInfos": [contract], "consumers": [consumer],
            })
        );
        let bad = sc.call("GET", "/govern/microservices?countOnly=2");
        refused(&bad, 400_001, "query parameter countOnly: send true, false, 1 or 0");
    });
}

#[test]
fn details_are_of_the_services_that_meet_all_conditions() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        assert_eq!(sc.get("/govern/microservices?options=all")["allServicesDetail"], Value::Null);
        fill(&sc);
        for (query, found) in [
            ("", &["mail 1.0.0", "web 1.0.0", "web 2.0.0"][..]),
            ("appId=shop", &["web 1.0.0", "web 2.0.0"]),
            ("appId=shop&serviceName=web", &["web 1.0.0", "web 2.0.0"]),
            ("appId=shop&serviceName=mail", &[]),
            ("env=testing", &["mail 1.0.0"]),
            ("property=team:a", &["web 1.0.0"]),
            ("property=team:a&property=more", &[]),
            ("property=team", &[]),
            ("withShared=1", &["SERVICECENTER 0.1.0", "mail 1.0.0", "web 1.0.0", "web 2.0.0"]),
        ] {
            assert_eq!(names(&sc.get(&format!("/govern/microservices?{query}"))), found, "{query}");
        }
    });
}

#[test]
fn one_services_detail_has_everything() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let [web, newer, _] = fill(&sc);
        ok(&sc.get_as(&web, "/registry/instances?appId=shop&serviceName=web"));
        let mut detail = timeless(sc.get(&format!("/govern/microservices/{web}")))["service"].clone();
        assert_eq!(detail["microService"]["schemas"], json!(["api"]));
        assert_eq!(detail["microServiceVersions"], json!(["2.0.0", "1.0.0"]));
        assert_eq!(detail["tags"], json!({ "zone": "east" }));
        assert_eq!(detail["schemaInfos"], json!([{ "schemaId": "api", "summary": "s", "schema": "text" }]));
        assert_eq!(field(&detail["instances"], "instanceId"), ["w1"]);
        let mut both = vec![web.clone(), newer];
        both.sort();
        assert_eq!(field(&detail["providers"], "serviceId"), both);
        assert_eq!(field(&detail["consumers"], "serviceId"), [web]);
        let names: Vec<String> = detail.as_object_mut().unwrap().keys().cloned().collect();
        assert_eq!(
            names,
            ["consumers", "instances", "microService", "microServiceVersions", "providers", "schemaInfos", "tags"]
        );
        refused(&sc.call("GET", "/govern/microservices/none"), 400_012, "Service[none] does not exist.");
    });
}

#[test]
fn relations_are_a_graph_of_services_and_what_they_asked_for() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        assert_eq!(sc.get("/govern/relations"), json!({ "nodes": [], "lines": [], "circles": [] }));
        let [web, cart] = ["web", "cart"].map(|name| sc.shop(name, "1.0.0"));
        for name in ["web", "cart"] {
            ok(&sc.get_as(&web, &format!("/registry/instances?appId=shop&serviceName={name}")));
        }
        let node = |id: &str, name: &str| json!({ "id": id, "name": name, "appId": "shop", "version": "1.0.0", "type": "", "color": "", "position": "" });
        let graph = sc.get("/govern/relations");
        assert_eq!(field(&graph["nodes"], "name"), ["cart", "web"]);
        assert!(graph["nodes"].as_array().unwrap().contains(&node(&web, "web")));
        // Not to itself.
        let line = json!({ "from": node(&web, "web"), "to": node(&cart, "cart"), "type": "", "color": "", "descriptor": "registry" });
        assert_eq!((&graph["lines"], &graph["circles"]), (&json!([line]), &json!([])));
    });
}

#[test]
fn applications_and_figures_are_those_of_the_tenant() {
    on_each_database(|server| {
        let (sc, other) = (Sc::new(server), Sc::of(server, "default", "other"));
        let figures = |services: u32, online: u32, instances: u32, of_domain: u32, apps: u32| {
            json!({
                "services": { "count": services, "onlineCount": online },
                "instances": { "count": instances, "countByDomain": of_domain },
                "apps": { "count": apps },
            })
        };
        assert_eq!(sc.get("/govern/apps"), json!({}));
        assert_eq!(sc.get("/govern/statistics"), json!({ "statistics": figures(0, 0, 0, 0, 0) }));
        fill(&sc);
        other.start_at(&other.shop("else", "1.0.0"), 1);
        assert_eq!(sc.get("/govern/apps?"), json!({ "appIds": ["post", "shop"] }));
        assert_eq!(sc.get("/govern/apps?env=testing"), json!({ "appIds": ["post"] }));
        // The two versions are one service.
        assert_eq!(sc.get("/govern/statistics"), json!({ "statistics": figures(2, 1, 2, 3, 2) }));
        assert_eq!(sc.get("/govern/microservices?options=statistics"), json!({ "statistics": figures(2, 1, 2, 3, 2) }));
        assert_eq!(sc.get("/govern/microservices?options=all")["statistics"], figures(2, 1, 2, 3, 2));
        let bad = sc.call("GET", "/govern/apps?env=x");
        refused(
            &bad,
            400_001,
            "query parameter env: send development, testing, acceptance, production, or leave it out",
        );
    });
}
