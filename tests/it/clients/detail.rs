//! A service's detail, asked for by the SDKs, of a service that registered itself.

use super::{assert_said, node, python, said};
use crate::support::server::Server;
use serde_json::json;

const CONTRACT: &str = "swagger: '2.0'
basePath: /api
paths:
  /orders/{id}:
    get:
      operationId: one
      parameters:
      - {name: id, in: path, type: string, required: true}
      responses:
        200:
          schema: {type: string}
";

fn with_service() -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let service = json!({ "service": {
        "appId": "shop", "serviceName": "orders", "version": "1.0.0", "environment": "production",
        "framework": { "name": "SpringCloud", "version": "3" }, "properties": { "team": "till" },
    }});
    let registered = server.post("/v4/default/registry/microservices", service.to_string().as_bytes());
    let id = registered.json()["serviceId"].as_str().unwrap().to_owned();
    let contract = json!({ "schema": CONTRACT }).to_string();
    let path = format!("/v4/default/registry/microservices/{id}/schemas/orders");
    assert_eq!(server.connect().send("PUT", &path, &[], contract.as_bytes()).status, 200);
    (dir, server)
}

#[test]
fn the_python_sdks_understand_details_and_errors() {
    if python("sae.py").is_none() {
        return;
    }
    let (_dir, server) = with_service();
    let address = server.address.to_string();
    let mut all = String::new();
    for (flavour, app, service) in [("current", "app_id", "service_name"), ("older", "AppId", "ServiceName")] {
        for name in ["orders", "nothing"] {
            let mut program = python("sae.py").unwrap();
            program.args([flavour, &address, "key", "secret", &format!("{app}=shop"), &format!("{service}={name}")]);
            all.push_str(&said(&mut program));
        }
    }
    assert_said(&all, include_str!("said/python-sae.jsonl"));
}

#[test]
fn the_node_sdk_understands_details_and_errors_in_json_and_xml() {
    if node("sae.js").is_none() {
        return;
    }
    let (_dir, server) = with_service();
    let address = server.address.to_string();
    let mut all = String::new();
    for format in ["json", "xml"] {
        for name in ["orders", "nothing"] {
            let mut program = node("sae.js").unwrap();
            program.args([&address, "key", "secret", format, "AppId=shop", &format!("ServiceName={name}")]);
            all.push_str(&said(&mut program));
        }
    }
    assert_said(&all, include_str!("said/node-sae.jsonl"));
}
