//! The service registry over real sockets and over both databases, each operation with what it takes and what it
//! refuses: status, code and body as they are on the wire.

mod bodies;
mod contracts;
mod dependencies;
mod discovery;
mod govern;
mod instances;
mod own;
mod restart;
mod services;
mod sockets;
mod tags;

use crate::support::server::{Answer, Client, Server};
use serde_json::{Value, json};
use std::cell::RefCell;

/// A client of one tenant, on one connection.
pub struct Sc {
    client: RefCell<Client>,
    domain: String,
    project: String,
}

impl Sc {
    pub fn new(server: &Server) -> Sc {
        Sc::of(server, "default", "default")
    }

    pub fn of(server: &Server, domain: &str, project: &str) -> Sc {
        let (domain, project) = (domain.to_owned(), project.to_owned());
        Sc { client: RefCell::new(server.connect()), domain, project }
    }

    /// A request below `/v4/{project}`, with more headers.
    pub fn send_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut all = vec![("x-domain-name", self.domain.as_str()), ("content-type", "application/json")];
        all.extend(headers);
        self.client.borrow_mut().send(method, &format!("/v4/{}{path}", self.project), &all, body)
    }

    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.send_with(method, path, &[], body.to_string().as_bytes())
    }

    /// A request without a body.
    pub fn call(&self, method: &str, path: &str) -> Answer {
        self.send_with(method, path, &[], b"")
    }

    /// What a request that must succeed answers.
    pub fn get(&self, path: &str) -> Value {
        ok(&self.call("GET", path))
    }

    /// The same as a consumer.
    pub fn get_as(&self, consumer: &str, path: &str) -> Answer {
        self.send_with("GET", path, &[("x-consumerid", consumer)], b"")
    }

    /// Registers a service and returns its id.
    pub fn register(&self, service: &Value) -> String {
        let answer = ok(&self.send("POST", "/registry/microservices", &json!({ "service": service })));
        answer["serviceId"].as_str().expect("an id").to_owned()
    }

    /// Registers a service of the application `shop`.
    pub fn shop(&self, name: &str, version: &str) -> String {
        self.register(&json!({ "appId": "shop", "serviceName": name, "version": version }))
    }

    /// Registers an instance and returns its id.
    pub fn start(&self, service: &str, instance: &Value) -> String {
        let path = format!("/registry/microservices/{service}/instances");
        let answer = ok(&self.send("POST", &path, &json!({ "instance": instance })));
        answer["instanceId"].as_str().expect("an id").to_owned()
    }

    /// Registers an instance that listens at a port.
    pub fn start_at(&self, service: &str, port: u16) -> String {
        self.start(service, &json!({ "hostName": "host", "endpoints": [format!("rest://127.0.0.1:{port}")] }))
    }
}

/// An answer with an object.
pub fn ok(answer: &Answer) -> Value {
    let kind = answer.header("content-type");
    assert_eq!((answer.status, kind), (200, Some("application/json")), "{}", answer.text());
    answer.json()
}

/// An answer with nothing to say.
pub fn done(answer: &Answer) {
    let kind = answer.header("content-type");
    assert_eq!((answer.status, kind, answer.text()), (200, Some("text/plain; charset=utf-8"), ""));
}

/// A refusal, whole: the status is the code's beginning, and the body has no spaces that clients do not look for.
pub fn refused(answer: &Answer, code: u32, detail: &str) {
    let message = match code {
        400_001 => "Invalid parameter(s)",
        400_010 => "Micro-service already exists",
        400_012 => "Micro-service does not exist",
        400_013 => "Micro-service has deployed instance(s)",
        400_016 => "Schema does not exist",
        400_017 => "Instance does not exist",
        400_018 => "Tag does not exist",
        400_023 => "Consumer(s) depends on this micro-service",
        400_026 => "Micro-service version does not exist",
        400_100 => "Not enough quota",
        403_001 => "Forbidden",
        _ => panic!("{code}: {}", answer.text()),
    };
    let detail = serde_json::to_string(detail).expect("text");
    let body = format!(r#"{{"errorCode":"{code}","errorMessage":"{message}","detail":{detail}}}"#);
    assert_eq!(answer.text(), body);
    assert_eq!((u32::from(answer.status), answer.header("content-type")), (code / 1_000, Some("application/json")));
}

/// The code of a refusal, where the detail does not matter.
pub fn code(answer: &Answer) -> u32 {
    let body = answer.json();
    let code = body["errorCode"].as_str().expect("a code").parse().expect("digits");
    assert_eq!(u32::from(answer.status), code / 1_000, "{body}");
    assert!(body["errorMessage"].is_string() && body["detail"].is_string(), "{body}");
    code
}

/// The same without times, which must be there as seconds in texts.
pub fn timeless(mut value: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for name in ["timestamp", "modTimestamp"] {
                    if let Some(time) = fields.remove(name) {
                        assert!(time.as_str().is_some_and(|time| time.parse::<u64>().is_ok()), "{name}: {time}");
                    }
                }
                fields.values_mut().for_each(strip);
            }
            Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut value);
    value
}

/// The values of a field in a list of objects, sorted.
pub fn field(list: &Value, name: &str) -> Vec<String> {
    let of = |entry: &Value| entry[name].as_str().unwrap_or_default().to_owned();
    let mut values: Vec<String> = list.as_array().into_iter().flatten().map(of).collect();
    values.sort();
    values
}
