//! The server as a service of its own registry.

use super::{Sc, done, field, ok, refused, timeless};
use crate::support::registry::on_each_database;
use crate::support::server::Server;
use serde_json::{Value, json};

/// The digest of `/cse-sr/ms/indexes/default/default/development/default/SERVICECENTER/0.1.0`.
const OWN: &str = "fb1a5d17be6ce62fe7552163ad735016ebd1117d";

fn instance(address: &str) -> Value {
    json!({
        "instanceId": "servicecenter", "serviceId": OWN, "endpoints": [format!("rest://{address}/")],
        "hostName": address.rsplit_once(':').unwrap().0, "status": "UP", "version": "0.1.0",
        "healthCheck": { "mode": "push", "interval": 30, "times": 3 },
    })
}

fn service() -> Value {
    json!({
        "serviceId": OWN, "environment": "development", "appId": "default", "serviceName": "SERVICECENTER",
        "alias": "SERVICECENTER", "version": "0.1.0", "level": "BACK", "status": "UP",
        "properties": { "allowCrossApp": "true" },
    })
}

/// A request by an address of the client's own choice.
fn get_at(server: &Server, host: &str, path: &str) -> Value {
    let mut client = server.connect();
    client.write(format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).unwrap();
    timeless(ok(&client.read_answer(false).unwrap()))
}

#[test]
fn health_tells_the_address_by_which_the_client_reaches_the_server() {
    on_each_database(|server| {
        let health = |host: &str| get_at(server, host, "/v4/default/registry/health");
        assert_eq!(health("sc.example:30100"), json!({ "instances": [instance("sc.example:30100")] }));
        assert_eq!(health("sc.example"), json!({ "instances": [instance("sc.example:80")] }));
        assert_eq!(health("[::1]:7"), json!({ "instances": [instance("[::1]:7")] }));
        let sc = Sc::of(server, "other", "anything");
        assert_eq!(field(&sc.get("/registry/health")["instances"], "instanceId"), ["servicecenter"]);
    });
}

#[test]
fn it_is_ready_and_has_a_version() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        done(&sc.call("GET", "/registry/health/readiness"));
        let version = sc.get("/registry/version");
        let names: Vec<&String> = version.as_object().unwrap().keys().collect();
        assert_eq!(names, ["apiVersion", "arch", "buildTag", "goVersion", "os", "version"]);
        assert_eq!((&version["version"], &version["apiVersion"]), (&json!("0.1.0"), &json!("4.0.0")));
    });
}

#[test]
fn it_is_found_like_any_service_but_listed_only_where_asked_for() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let get = |path: &str| timeless(sc.get(path));
        assert_eq!(get("/registry/microservices"), json!({}));
        assert_eq!(get("/registry/microservices?withShared=1"), json!({ "services": [service()] }));
        assert_eq!(get(&format!("/registry/microservices/{OWN}")), json!({ "service": service() }));
        let existence = "/registry/existence?type=microservice&appId=default&serviceName=SERVICECENTER";
        assert_eq!(get(&format!("{existence}&version=0.1.0&env=development")), json!({ "serviceId": OWN }));
        let other = sc.call("GET", &format!("{existence}&version=1.0.0&env=development"));
        refused(&other, 400_026, "Service[development/default/SERVICECENTER] has no version 1.0.0.");
        // This client calls the server `test`.
        let found = json!({ "instances": [instance("test:80")] });
        let consumer = sc.shop("web", "1.0.0");
        let find = "/registry/instances?appId=default&serviceName=SERVICECENTER&version=latest";
        assert_eq!(get(find), found);
        let answer = sc.get_as(&consumer, find);
        assert_eq!(timeless(ok(&answer)), found);
        let rev = answer.header("x-resource-revision").unwrap();
        assert_eq!(sc.call("GET", &format!("{find}&rev={rev}")).status, 304);
        assert_eq!(get(&format!("/registry/microservices/{OWN}/instances")), found);
        let one = get(&format!("/registry/microservices/{OWN}/instances/servicecenter"));
        assert_eq!(one, json!({ "instance": instance("test:80") }));
        let batch = json!({ "services": [{ "service": { "appId": "default", "serviceName": "SERVICECENTER" } }] });
        let batch = timeless(ok(&sc.send("POST", "/registry/instances/action?type=query", &batch)));
        assert_eq!(batch["services"]["updated"][0]["instances"], json!([instance("test:80")]));
        for list in ["tags", "schemas", "providers", "consumers"] {
            assert_eq!(get(&format!("/registry/microservices/{OWN}/{list}")), json!({}), "{list}");
        }
        let detail = get(&format!("/govern/microservices/{OWN}"));
        let expected =
            json!({ "microService": service(), "instances": [instance("test:80")], "microServiceVersions": ["0.1.0"] });
        assert_eq!(detail, json!({ "service": expected }));
        // Elsewhere there is no such service.
        let elsewhere = Sc::of(server, "other", "default");
        refused(&elsewhere.call("GET", find), 400_012, "Provider[/default/SERVICECENTER] does not exist.");
        assert_eq!(elsewhere.get("/registry/microservices?withShared=1"), json!({}));
    });
}

#[test]
fn nobody_changes_it_drops_it_or_takes_its_name() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let same = json!({ "serviceName": "SERVICECENTER", "version": "0.1.0", "environment": "development" });
        assert_eq!(sc.register(&same), OWN);
        let forbidden = "SERVICECENTER of the application default is the server itself: register another service";
        let another = json!({ "service": { "serviceName": "SERVICECENTER", "version": "2.0.0" } });
        refused(&sc.send("POST", "/registry/microservices", &another), 403_001, forbidden);
        let path = format!("/registry/microservices/{OWN}");
        let schema = json!({ "schemaId": "s", "summary": "s", "schema": "x" });
        for (method, below, body) in [
            ("PUT", "/properties", json!({ "properties": {} })),
            ("POST", "/instances", json!({ "instance": { "hostName": "h" } })),
            ("POST", "/tags", json!({ "tags": { "a": "b" } })),
            ("PUT", "/tags/a?value=b", json!({})),
            ("DELETE", "/tags/a", json!({})),
            ("PUT", "/schemas/s", schema.clone()),
            ("POST", "/schemas", json!({ "schemas": [schema] })),
            ("DELETE", "/schemas/s", json!({})),
        ] {
            refused(&sc.send(method, &format!("{path}{below}"), &body), 403_001, forbidden);
        }
        let detail = "Not allow to delete service center: it is the server itself.";
        refused(&sc.call("DELETE", &format!("{path}?force=1")), 400_001, detail);
        let id = sc.shop("web", "1.0.0");
        let body = json!({ "serviceIds": [OWN, id], "force": true });
        let answer = ok(&sc.send("DELETE", "/registry/microservices", &body));
        let kept = json!({ "serviceId": OWN, "errMessage": format!("Invalid parameter(s)({detail})") });
        assert_eq!(answer, json!({ "services": [kept, { "serviceId": id }] }));
    });
}
