//! What was acknowledged is there after a restart and after a kill, and everybody lives for one more term.

use super::{Sc, done, field, ok, timeless};
use crate::support::registry::databases;
use crate::support::server::Server;
use serde_json::{Value, json};

/// All that there is to read of it.
fn all(sc: &Sc, service: &str, consumer: &str) -> Vec<Value> {
    let base = format!("/registry/microservices/{service}");
    [
        "/registry/microservices".to_owned(),
        base.clone(),
        format!("{base}/tags"),
        format!("{base}/schemas?withSchema=1"),
        format!("{base}/instances"),
        format!("{base}/consumers"),
        format!("/registry/microservices/{consumer}/providers"),
        "/govern/statistics".to_owned(),
    ]
    .iter()
    .map(|path| sc.get(path))
    .collect()
}

#[test]
fn everything_is_kept_over_restarts_and_kills() {
    for database in databases() {
        let data = tempfile::tempdir().unwrap();
        let server = database.start(data.path(), &[]);
        let sc = Sc::new(&server);
        let service = sc.register(&json!({
            "appId": "shop", "serviceName": "cart", "version": "1.0.0", "alias": "shop:cart", "description": "nul \u{0} too",
            "properties": { "a": "b" }, "framework": { "name": "f" }, "paths": [{ "path": "/a", "property": { "x": "y" } }],
        }));
        let base = format!("/registry/microservices/{service}");
        done(&sc.send("POST", &format!("{base}/tags"), &json!({ "tags": { "zone": "east" } })));
        done(&sc.send("PUT", &format!("{base}/schemas/api"), &json!({ "schema": "text: \u{1F600}", "summary": "s1" })));
        let instance = sc.start(
            &service,
            &json!({
                "hostName": "host", "endpoints": ["rest://1:1"], "properties": { "nul": "\u{0}" },
                "healthCheck": { "mode": "push", "interval": 30, "times": 3 },
                "dataCenterInfo": { "name": "dc", "region": "r", "availableZone": "z" },
            }),
        );
        let gone = sc.start_at(&service, 2);
        done(&sc.call("DELETE", &format!("{base}/instances/{gone}")));
        let consumer = sc.shop("web", "1.0.0");
        let find = "/registry/instances?appId=shop&serviceName=cart";
        ok(&sc.get_as(&consumer, find));
        let other = Sc::of(&server, "other", "default").shop("cart", "1.0.0");
        // What discovery records waits for nobody; whatever is acknowledged afterwards is behind it.
        let dropped = sc.shop("dropped", "1.0.0");
        done(&sc.call("DELETE", &format!("/registry/microservices/{dropped}")));
        let before = all(&sc, &service, &consumer);
        let revision = sc.call("GET", find).header("x-resource-revision").unwrap().to_owned();

        let check = |server: &Server| {
            let sc = Sc::new(server);
            assert_eq!(all(&sc, &service, &consumer), before, "over {}", database.name);
            done(&sc.call("PUT", &format!("{base}/instances/{instance}/heartbeat")));
            // A revision of an earlier start stands for nothing.
            let again = sc.call("GET", &format!("{find}&rev={revision}"));
            assert_eq!(timeless(ok(&again)), timeless(before[4].clone()));
            let theirs = Sc::of(server, "other", "default");
            assert_eq!(field(&theirs.get("/registry/microservices")["services"], "serviceId"), [other.as_str()]);
            // The same service is the same one.
            assert_eq!(sc.shop("cart", "1.0.0"), service);
        };
        drop(sc);
        server.stop();
        let server = database.start(data.path(), &[]);
        check(&server);
        server.kill();
        let server = database.start(data.path(), &[]);
        check(&server);
        drop(server);
    }
}
