//! Lists of services.

use super::*;
use crate::support::registry::on_each_database;

/// One service of each kind of source, and one of all.
fn fill(server: &Server) {
    let id = register(server, &cart());
    let instance = |host: &str, port: u16| json!({ "hostName": host, "endpoints": [format!("rest://{host}:{port}")] });
    start(server, &id, &instance("h1", 8080));
    start(server, &id, &instance("h2", 8080));
    register(server, &json!({ "appId": "shop", "serviceName": "till", "version": "1.0.0" }));
    post(server, &json!({ "AppId": "x", "ServiceName": "echo", "ServiceType": "dubbo", "Group": "g", "Version": "2" }));
    post(server, &json!({ "AppId": "shop", "ServiceName": "cart" }));
    let call = |id: u64, from: &str, to: &str| {
        let hop = |id: u64, service: &str, parent: Option<u64>, kind: &str| {
            let mut span = span(id, service, 0, &json!({ "kind": kind, "name": "call" }));
            // Links are those of the last day.
            span["timestamp"] = json!(now());
            if let Some(parent) = parent {
                span["traceId"] = json!(format!("{parent:016x}"));
                span["parentId"] = json!(format!("{parent:016x}"));
            }
            span
        };
        [hop(id, from, None, "CLIENT"), hop(id + 1, to, Some(id), "SERVER")]
    };
    post_spans(server, &[call(1, "Cart", "stock"), call(3, "stock", "cart"), call(5, "till", "cart")].concat());
}

#[expect(clippy::disallowed_methods, reason = "links are those of the last day")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_micros() as i64
}

fn listed(app: &str, name: &str, sources: &[&str], fields: &Value) -> Value {
    let mut row = json!({
        "AppId": app, "AppName": app, "InstanceCount": "0", "NamespaceId": "default", "NamespaceName": "default",
        "RegistryType": "0", "ServiceName": name, "Sources": sources,
    });
    for (key, value) in fields.as_object().unwrap() {
        row[key] = value.clone();
        if value.is_null() {
            row.as_object_mut().unwrap().remove(key);
        }
    }
    row
}

fn rows() -> [Value; 4] {
    [
        listed(
            "shop",
            "cart",
            &["registry", "posted", "traces"],
            &json!({
                "InstanceCount": "2", "ServiceGroup": "springCloud", "ServiceType": "springCloud", "ServiceVersion": "1.2.0",
                "ServicePortAndProtocol": { "8080": "rest" }, "ServicePorts": [8080], "ServiceProtocol": "rest",
            }),
        ),
        listed(
            "x",
            "echo",
            &["posted"],
            &json!({ "ServiceGroup": "g", "ServiceType": "dubbo", "ServiceVersion": "2" }),
        ),
        listed("stock", "stock", &["traces"], &json!({ "AppName": null })),
        listed("shop", "till", &["registry", "traces"], &json!({ "ServiceGroup": "shop", "ServiceVersion": "1.0.0" })),
    ]
}

#[test]
fn each_service_is_listed_once_with_who_knows_of_it() {
    on_each_database(|server| {
        assert_eq!(data(&server.get(LIST)), json!([]));
        fill(server);
        let [cart, echo, stock, till] = rows();
        for (query, expected) in [
            ("", json!([cart, echo, stock, till])),
            ("AppId=shop", json!([cart, till])),
            ("AppId=cart", json!([cart])),
            ("AppId=x", json!([echo])),
            ("AppId=STOCK", json!([stock])),
            ("AppId=nobody", json!([])),
            ("ServiceType=springCloud", json!([cart, stock, till])),
            ("ServiceType=dubbo", json!([echo, stock, till])),
            ("PageSize=3", json!([cart, echo, stock])),
            ("PageSize=3&PageNumber=2", json!([till])),
            ("PageSize=3&PageNumber=3", json!([])),
            ("PageSize=0&PageNumber=1", json!([cart, echo, stock, till])),
        ] {
            assert_eq!(data(&server.get(&format!("{LIST}?{query}"))), expected, "{query}");
        }
    });
}

#[test]
fn a_page_tells_how_many_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    fill(&server);
    let page = |query: &str| data(&server.get(&format!("{LIST}Page?{query}")));
    let cart = json!({ "EdasAppName": "shop", "Version": "1.2.0", "InstanceNum": 2, "EdasAppId": "shop",
        "ServiceName": "cart", "Group": "springCloud", "Sources": ["registry", "posted", "traces"] });
    let till = json!({ "EdasAppName": "shop", "Version": "1.0.0", "InstanceNum": 0, "EdasAppId": "shop",
        "ServiceName": "till", "Group": "shop", "Sources": ["registry", "traces"] });
    let whole = |number: &str, size: &str, result: Value| json!([{ "CurrentPage": number, "TotalSize": "2", "PageNumber": number, "PageSize": size, "Result": result }]);
    assert_eq!(page("AppId=shop"), whole("1", "9999", json!([cart, till])));
    assert_eq!(page("AppId=shop&PageSize=1&PageNumber=2"), whole("2", "1", json!([till])));
}

#[test]
fn an_application_publishes_its_services_and_consumes_what_it_asked_for_or_calls() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    fill(&server);
    let get = |what: &str, query: &str| data(&server.get(&format!("/pop/v1/sam/service/{what}?{query}")));
    let cart = json!({ "AppId": "shop", "Groups": ["springCloud"], "Ips": ["h1", "h2"], "Name": "cart",
        "Type": "springCloud", "Version": "1.2.0", "Sources": ["registry", "posted", "traces"] });
    let till = json!({ "AppId": "shop", "Groups": ["shop"], "Name": "till", "Version": "1.0.0",
        "Sources": ["registry", "traces"] });
    let stock = json!({ "AppId": "stock", "Name": "stock", "Sources": ["traces"] });
    assert_eq!(get("listPublishedServices", "AppId=shop"), json!([cart, till]));
    assert_eq!(get("listPublishedServices", "AppId=nobody"), json!([]));
    assert_eq!(get("listConsumedServices", "AppId=shop"), json!([cart, stock]));
    assert_eq!(get("listConsumedServices", "AppId=stock"), json!([cart]));
    assert_eq!(get("listConsumedServices", "AppId=echo"), json!([]));
}
