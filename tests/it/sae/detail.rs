//! What is told of a service by each source, by all of them together, and under which ids.

use super::*;
use crate::support::registry::on_each_database;

fn instance(host: &str, port: u16) -> Value {
    json!({ "hostName": host, "endpoints": [format!("rest://10.0.0.1:{port}?sslEnabled=false")],
        "properties": { "zone": "a", "team": "of the instance" } })
}

/// The registered service with an instance and its contract.
fn registered(server: &Server) -> String {
    let id = register(server, &cart());
    start(server, &id, &instance("h1", 8080));
    start(server, &id, &instance("h2", 8081));
    contract(server, &id, "cart", CART);
    id
}

fn registered_detail() -> Value {
    json!({
        "Group": "springCloud", "ServiceName": "cart", "Version": "1.2.0", "ServiceType": "springCloud",
        "EdasAppName": "shop", "SpringApplicationName": "cart",
        "Metadata": { "team": "checkout", "zone": "a", "framework.name": "SPRING_CLOUD", "framework.version": "3.1" },
        "Methods": [cart_method()],
        "ServicePorts": [8080, 8081], "ServiceProtocol": "rest", "Sources": ["registry"],
    })
}

#[test]
fn a_service_that_is_only_registered_is_told_by_its_id_its_application_and_its_name() {
    on_each_database(|server| {
        let id = registered(server);
        for query in [
            format!("AppId={id}"),
            "AppId=shop".to_owned(),
            "AppId=cart".to_owned(),
            "AppId=shop&ServiceName=CART".to_owned(),
            "AppId=shop&ServiceType=springCloud&ServiceGroup=springCloud&ServiceVersion=1.2.0&ServiceName=cart"
                .to_owned(),
            "AppId=shop&ServiceGroup=shop&RegionId=cn-hangzhou".to_owned(),
        ] {
            assert_eq!(described(server, &query), registered_detail(), "{query}");
        }
        for (query, named) in [
            ("AppId=nobody", "nobody"),
            ("AppId=shop&ServiceName=till", "till"),
            ("AppId=shop&ServiceVersion=1.2", "shop"),
            ("AppId=shop&ServiceType=dubbo", "shop"),
            ("AppId=shop&ServiceGroup=other", "shop"),
            ("AppId=other&ServiceName=cart", "cart"),
            ("AppId=shop&NamespaceId=other", "shop"),
        ] {
            unknown(server, query, named);
        }
    });
}

#[test]
fn of_several_versions_the_greatest_is_told_and_of_several_services_that_there_are_more() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for (name, version) in [("cart", "1.9.0"), ("cart", "1.10.0"), ("till", "3.0.0")] {
        register(&server, &json!({ "appId": "shop", "serviceName": name, "version": version }));
    }
    let told = described(&server, "AppId=shop");
    assert_eq!((&told["ServiceName"], &told["Version"]), (&json!("cart"), &json!("1.10.0")));
    assert_eq!(told["Notes"], json!(["registry: 1 more services have this AppId: name one by ServiceName"]));
    let told = described(&server, "AppId=shop&ServiceVersion=1.9.0");
    assert_eq!((&told["Version"], &told["Notes"]), (&json!("1.9.0"), &Value::Null));
    // No type is known of it: no type leaves it out.
    for kind in ["dubbo", "springCloud"] {
        let told = described(&server, &format!("AppId=shop&ServiceName=till&ServiceType={kind}"));
        assert_eq!((&told["Version"], &told["ServiceType"]), (&json!("3.0.0"), &Value::Null));
    }
}

/// Spans of the same service: two operations, and what is none.
fn spans() -> Vec<Value> {
    vec![
        span(
            1,
            "Cart",
            1,
            &json!({ "kind": "SERVER", "name": "get /cart/items/{id}", "tags": {
            "http.method": "GET", "http.route": "/cart/items/{id}", "service.version": "1.2.0" } }),
        ),
        span(
            2,
            "cart",
            2,
            &json!({ "kind": "SERVER", "name": "shop.Cart/add", "tags": {
            "rpc.system": "grpc", "rpc.service": "shop.Cart", "rpc.method": "add", "service.version": "1.3.0",
            "service.namespace": "shops" } }),
        ),
        span(3, "cart", 3, &json!({ "kind": "CLIENT", "name": "select" })),
        span(4, "till", 4, &json!({ "kind": "SERVER", "name": "pay" })),
    ]
}

fn traced_methods() -> [Value; 2] {
    [
        method(
            "traces",
            &json!({ "Name": "get /cart/items/{id}", "RequestMethods": ["GET"],
            "Paths": ["/cart/items/{id}"] }),
        ),
        method("traces", &json!({ "MethodController": "shop.Cart", "Name": "add" })),
    ]
}

#[test]
fn a_service_that_is_only_seen_in_spans_is_told_by_its_name_whatever_application_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post_spans(&server, &spans());
    let [items, add] = traced_methods();
    let whole = json!({
        "ServiceName": "cart", "Version": "1.3.0",
        "Metadata": { "service.version": "1.3.0", "service.namespace": "shops" },
        "Methods": [items, add], "Sources": ["traces"],
    });
    for query in
        ["AppId=cart", "AppId=CART", "AppId=6dcc8c9e&ServiceName=cart", "AppId=x&ServiceName=Cart&ServiceType=dubbo"]
    {
        assert_eq!(described(&server, query), whole, "{query}");
    }
    let older = json!({
        "ServiceName": "Cart", "Version": "1.2.0", "Metadata": { "service.version": "1.2.0" },
        "Methods": [items], "Sources": ["traces"],
    });
    // What names no version is of each.
    let told = described(&server, "AppId=cart&ServiceVersion=1.2.0");
    assert_eq!(told["Methods"], older["Methods"]);
    assert_eq!((&told["Version"], &told["Metadata"]), (&older["Version"], &older["Metadata"]));
    unknown(&server, "AppId=cart&ServiceName=nobody", "nobody");
    unknown(&server, "AppId=6dcc8c9e", "6dcc8c9e");
}

#[test]
fn names_in_three_parts_tell_service_and_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let moment = |value: &str| json!({ "timestamp": AT, "value": value, "endpoint": { "serviceName": "agent" } });
    let span = json!({ "traceId": "1", "id": "1", "name": "Stock:stock-1:GET_/rest/items/*", "timestamp": AT,
        "duration": 5, "annotations": [moment("sr"), moment("ss")], "binaryAnnotations": [] });
    let answer = server.post("/v1/0/ats/spans", json!([span]).to_string().as_bytes());
    assert_eq!(answer.status, 202);
    let told = described(&server, "AppId=stock");
    let expected = method(
        "traces",
        &json!({ "Name": "GET_/rest/items/*", "RequestMethods": ["GET"],
        "Paths": ["/rest/items/*"] }),
    );
    assert_eq!(told, json!({ "ServiceName": "Stock", "Metadata": {}, "Methods": [expected], "Sources": ["traces"] }));
}

#[test]
fn all_sources_are_joined_and_each_fact_says_whose_it_is() {
    on_each_database(|server| {
        registered(server);
        post_spans(server, &spans());
        let [items, add] = traced_methods();
        let mut both = registered_detail();
        both["Sources"] = json!(["registry", "traces"]);
        both["Metadata"]["service.version"] = json!("1.3.0");
        both["Metadata"]["service.namespace"] = json!("shops");
        both["Methods"] = json!([cart_method(), items, add]);
        assert_eq!(described(server, "AppId=shop"), both);

        post(
            server,
            &json!({
                "AppId": "shop", "ServiceName": "cart", "Version": "1.2.0", "Group": "posted", "EdasAppName": "cn-shop",
                "Metadata": { "team": "posted", "port": "1" }, "Methods": [{ "Name": "echo", "RequestMethods": ["ALL"] }],
            }),
        );
        let mut all = both;
        all["Sources"] = json!(["registry", "posted", "traces"]);
        all["Group"] = json!("posted");
        all["EdasAppName"] = json!("cn-shop");
        all["Metadata"]["team"] = json!("posted");
        all["Metadata"]["port"] = json!("1");
        let echo = method("posted", &json!({ "Name": "echo", "RequestMethods": ["ALL"] }));
        all["Methods"].as_array_mut().unwrap().insert(0, echo);
        assert_eq!(described(server, "AppId=shop&ServiceName=cart"), all);
    });
}

#[test]
fn a_contract_that_cannot_be_read_costs_no_more_than_itself() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let id = register(&server, &cart());
    contract(&server, &id, "bad", "swagger: [");
    contract(&server, &id, "cart", CART);
    contract(&server, &id, "other", "just words");
    let told = described(&server, "AppId=shop");
    assert_eq!(told["Methods"], json!([cart_method()]));
    let notes: Vec<String> = serde_json::from_value(told["Notes"].clone()).unwrap();
    let starts: Vec<&str> = notes.iter().map(|note| note.split(": ").nth(1).unwrap()).collect();
    assert_eq!(starts, ["contract bad cannot be read", "contract other cannot be read"]);
}

#[test]
fn thousands_of_operations_are_cut_where_it_shows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut text = "swagger: '2.0'\npaths:\n".to_owned();
    for path in 0..700 {
        text.push_str(&format!("  /p{path:03}: {{get: {{}}, put: {{}}}}\n"));
    }
    let id = register(&server, &cart());
    contract(&server, &id, "cart", &text);
    let operations =
        (0..1_500).map(|n| span(n + 1, "many", n as i64, &json!({ "kind": "SERVER", "name": format!("op{n:04}") })));
    post_spans(&server, &operations.collect::<Vec<_>>());

    let told = described(&server, "AppId=shop");
    assert_eq!(told["Methods"].as_array().unwrap().len(), 1_000);
    assert_eq!(told["Notes"], json!(["registry: 400 methods of contract cart more than are told"]));
    let told = described(&server, "AppId=many");
    assert_eq!(told["Methods"].as_array().unwrap().len(), 1_000);
    assert_eq!(told["Notes"], json!(["traces: 500 operations more than are told"]));
}

#[test]
fn an_operation_that_was_seen_long_before_the_newest_traces_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut all = vec![span(1, "cart", 0, &json!({ "kind": "SERVER", "name": "rare" }))];
    all.extend((2..2_200).map(|n| span(n, "cart", n as i64, &json!({ "kind": "SERVER", "name": "usual" }))));
    post_spans(&server, &all);
    let told = described(&server, "AppId=cart");
    let names = |told: &Value| told["Methods"].as_array().unwrap().iter().map(|one| one["Name"].clone()).collect();
    let names: Vec<Value> = names(&told);
    assert_eq!(names, [json!("rare"), json!("usual")]);
    assert_eq!(told["Notes"], Value::Null);
}

#[test]
fn isolated_projects_see_their_own_registry_and_their_own_spans() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    let mut client = server.connect();
    let headers = [("x-scope-orgid", "a")];
    let spans = json!([span(1, "cart", 0, &json!({ "kind": "SERVER", "name": "pay" }))]).to_string();
    assert_eq!(client.send("POST", "/api/v2/spans", &headers, spans.as_bytes()).status, 202);
    for (headers, query, found) in [
        (&headers[..], "AppId=cart", true),
        (&[], "AppId=cart&NamespaceId=a", true),
        (&[], "AppId=cart", false),
        (&headers, "AppId=cart&NamespaceId=b", false),
    ] {
        let answer = client.send("GET", &format!("{DESCRIBE}?{query}"), headers, b"");
        assert_eq!(answer.status, if found { 200 } else { 400 }, "{query} {headers:?}");
    }
    let answer = client.send("GET", &format!("{DESCRIBE}?AppId=cart&NamespaceId=a%3Ab"), &[], b"");
    assert_eq!(answer.json()["Message"], "The specified parameter is invalid {NamespaceId}.");
}
