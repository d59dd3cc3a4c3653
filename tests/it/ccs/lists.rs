//! The lists that lead to a service's events.

use super::*;

fn with_clusters() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(
        &server,
        "cls-a",
        &[
            Posted { seen: (now() - 600, now() - 600), ..Posted::new("a") },
            Posted { pod: "frontend-542052039-aaaaa", node: "node-b", ..Posted::new("b") },
            Posted { pod: "db-0", ..Posted::new("c") },
            Posted { pod: "dns-542052039-h2yj8", namespace: "kube-system", ..Posted::new("d") },
        ],
    );
    // Half in the table, half in memory.
    server.post("/admin/flush", b"");
    post(
        &server,
        "cls-a",
        &[
            Posted { level: "Warning", reason: "BackOff", ..Posted::new("e") },
            Posted { pod: "frontend-542052039-gone0", seen: (now() - 90_000, now() - 90_000), ..Posted::new("f") },
        ],
    );
    post(&server, "cls-b", &[Posted { namespace: "other", ..Posted::new("a") }]);
    (dir, server)
}

fn service(namespace: &str, name: &str) -> Value {
    json!({
        "serviceName": name, "status": "", "reasonMap": {}, "createdAt": "", "currentReplicas": null,
        "desiredReplicas": null, "lbId": "", "lbStatus": "", "externalIp": "", "namespace": namespace,
    })
}

#[test]
fn clusters_namespaces_services_and_pods_lead_to_events() {
    let (_dir, server) = with_clusters();
    let ask = |query: &str| data(&ask(&server, query));

    let clusters = ask("Action=DescribeCluster");
    assert_eq!(clusters["totalCount"], 2);
    let ids = |list: &Value| -> Vec<String> {
        let of = |cluster: &Value| cluster["clusterId"].as_str().unwrap().to_owned();
        list["clusters"].as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(ids(&clusters), ["cls-a", "cls-b"]);
    assert_eq!(ids(&ask("Action=DescribeCluster&clusterIds.0=cls-b&clusterIds.1=cls-c")), ["cls-b"]);
    assert_eq!(ids(&ask("Action=DescribeCluster&clusterIds_0=cls-a")), ["cls-a"]);
    assert_eq!(ids(&ask("Action=DescribeCluster&offset=1&limit=5")), ["cls-b"]);

    let namespace = |name: &str| json!({ "name": name, "status": "", "description": "", "createdAt": "" });
    assert_eq!(
        ask("Action=DescribeClusterNameSpaces&clusterId=cls-a"),
        json!({ "totalCount": 2, "namespaces": [namespace("default"), namespace("kube-system")] })
    );

    assert_eq!(
        ask("Action=DescribeClusterService&clusterId=cls-a"),
        json!({ "services": [service("default", "db"), service("default", "frontend")] })
    );
    assert_eq!(
        ask("Action=DescribeClusterService&clusterId=cls-a&namespace=kube-system"),
        json!({ "services": [service("kube-system", "dns")] })
    );
    assert_eq!(
        ask("Action=DescribeClusterService&clusterId=cls-a&allnamespace=1"),
        json!({ "services": [
            service("default", "db"), service("default", "frontend"), service("kube-system", "dns"),
        ] })
    );

    let pod = |name: &str, reason: &str, node: &str| {
        json!({
            "name": name, "status": "", "reason": reason, "nodeIp": "", "nodeName": node, "ip": "",
            "restartCount": null, "readyCount": null, "createdAt": "", "containers": [],
        })
    };
    let pods = "Action=DescribeServiceInstance&clusterId=cls-a&serviceName=frontend";
    // Without the one that nothing was heard of for a day.
    let (first, second) =
        (pod("frontend-542052039-aaaaa", "", "node-b"), pod("frontend-542052039-h2yj8", "BackOff", "node-a"));
    assert_eq!(ask(pods), json!({ "totalCount": 2, "instances": [first, second] }));
    assert_eq!(ask(&format!("{pods}&offset=1&limit=1")), json!({ "totalCount": 2, "instances": [second] }));
    let none = "Action=DescribeServiceInstance&clusterId=cls-a&serviceName=absent";
    assert_eq!(ask(none), json!({ "totalCount": 0, "instances": [] }));
}

#[test]
fn a_server_that_no_event_came_to_has_no_clusters() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let answer = ask(&server, "Action=DescribeCluster");
    let expected = r#"{"code":0,"message":"","codeDesc":"Success","data":{"totalCount":0,"clusters":[]}}"#;
    assert_eq!(answer.text(), expected);
}
