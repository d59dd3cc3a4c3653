//! Application services: what is registered, posted and seen in spans, told in the forms of Alibaba Cloud's SAE.

mod detail;
mod forms;
mod lists;
mod posted;

use crate::support::server::{Answer, Server};
use serde_json::{Value, json};

pub const DESCRIBE: &str = "/pop/v1/sam/service/describeAppServiceDetail";
pub const POSTED: &str = "/pop/v1/sam/service/appServiceDetail";
pub const LIST: &str = "/pop/v1/sam/service/listAppServices";
/// Microseconds of a time when all spans here are.
pub const AT: i64 = 1_760_000_000_000_000;

/// Registers a service and returns its id.
pub fn register(server: &Server, service: &Value) -> String {
    let body = json!({ "service": service }).to_string();
    let answer = server.post("/v4/default/registry/microservices", body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["serviceId"].as_str().unwrap().to_owned()
}

/// Registers an instance of a service.
pub fn start(server: &Server, service: &str, instance: &Value) {
    let body = json!({ "instance": instance }).to_string();
    let answer = server.post(&format!("/v4/default/registry/microservices/{service}/instances"), body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Puts a contract of a service.
pub fn contract(server: &Server, service: &str, id: &str, text: &str) {
    let body = json!({ "schema": text, "summary": "abc" }).to_string();
    let path = format!("/v4/default/registry/microservices/{service}/schemas/{id}");
    let mut client = server.connect();
    let length = body.len().to_string();
    let answer = client.send("PUT", &path, &[("content-length", &length)], body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Posts a detail.
pub fn post(server: &Server, detail: &Value) {
    let answer = server.post(POSTED, detail.to_string().as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A span that a service recorded so many seconds after [`AT`], with what else there is about it.
pub fn span(id: u64, service: &str, seconds: i64, fields: &Value) -> Value {
    let mut span = json!({
        "traceId": format!("{id:016x}"), "id": format!("{id:016x}"), "timestamp": AT + seconds * 1_000_000,
        "duration": 1_000, "localEndpoint": { "serviceName": service },
    });
    for (key, value) in fields.as_object().unwrap() {
        span[key] = value.clone();
    }
    span
}

pub fn post_spans(server: &Server, spans: &[Value]) {
    let answer = server.post("/api/v2/spans", json!(spans).to_string().as_bytes());
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// The data of a good answer, whose envelope is checked.
#[track_caller]
pub fn data(answer: &Answer) -> Value {
    let mut whole = answer.json();
    let (request, trace) = (whole["RequestId"].take(), whole["TraceId"].take());
    assert_eq!(answer.header("x-acs-request-id"), request.as_str());
    assert_eq!(answer.header("x-acs-trace-id"), trace.as_str());
    let data = whole["Data"].take();
    let rest = json!({ "RequestId": null, "Message": "success", "TraceId": null, "Data": null, "Code": "200",
        "Success": true });
    assert_eq!((answer.status, whole), (200, rest));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    data
}

/// What is told of a service.
#[track_caller]
pub fn described(server: &Server, query: &str) -> Value {
    data(&server.get(&format!("{DESCRIBE}?{query}")))
}

/// Asks for a service that nobody knows.
#[track_caller]
pub fn unknown(server: &Server, query: &str, named: &str) {
    let answer = server.get(&format!("{DESCRIBE}?{query}"));
    let whole = answer.json();
    let told = (answer.status, whole["Code"].as_str().unwrap(), whole["Message"].as_str().unwrap());
    let message = format!("The micro service metadata not found {{{named}}}.");
    assert_eq!(told, (400, "Micro.Service.MetaData.NotFound", message.as_str()), "{query}");
}

/// A method as the answer has it; what is not given is not known.
pub fn method(source: &str, fields: &Value) -> Value {
    let mut method = json!({
        "ParameterDetails": [], "RequestMethods": [], "ParameterTypes": [], "Paths": [], "ParameterDefinitions": [],
        "Source": source,
    });
    for (key, value) in fields.as_object().unwrap() {
        method[key] = value.clone();
    }
    method
}

/// The service that most tests are about, as its agent registers it.
pub fn cart() -> Value {
    json!({
        "appId": "shop", "serviceName": "cart", "version": "1.2.0",
        "framework": { "name": "SPRING_CLOUD", "version": "3.1" },
        "properties": { "team": "checkout" },
    })
}

/// Its contract.
pub const CART: &str = r#"
swagger: "2.0"
info: { title: "swagger definition for com.example.CartEndpoint", version: "1.0.0" }
basePath: "/cart"
paths:
  /items/{id}:
    get:
      operationId: "item"
      summary: "One item"
      parameters:
      - { name: "id", in: "path", required: true, type: "string", description: "its number" }
      responses:
        200: { description: "response of 200", schema: { type: "string" } }
"#;

/// What the contract's method looks like.
pub fn cart_method() -> Value {
    method(
        "registry",
        &json!({
            "MethodController": "com.example.CartEndpoint", "ReturnType": "java.lang.String",
            "ReturnDetails": "response of 200", "Name": "item", "NameDetail": "One item",
            "ParameterDetails": ["its number"], "RequestMethods": ["GET"], "ParameterTypes": ["java.lang.String"],
            "Paths": ["/cart/items/{id}"],
            "ParameterDefinitions": [{ "Type": "java.lang.String", "Description": "its number", "Name": "id" }],
        }),
    )
}
