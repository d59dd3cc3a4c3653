//! What the stock clients send, byte for byte where it matters, without the clients: so that the server keeps to it on
//! machines that lack them.
//!
//! A dialogue is a file of requests and answers:
//!
//! ```text
//! # Why this is asked.
//! > PUT /v4/default/registry/microservices/<1>/properties
//! > X-ConsumerId: <2>
//! {"properties":{}}
//! < 200
//! < X-Resource-Revision: <3>
//! {"the":"answer"}
//! ```
//!
//! A body is one line, or not there; `*` is one that nobody reads. Of the answer's headers those are compared that are
//! written down, case and all: the Java clients look for them so. What differs from run to run goes by [`Names`], in
//! what is sent as in what comes.

use super::Names;
use crate::support::registry::on_each_database;
use crate::support::server::{Client, Server};
use crate::support::web_socket::{Kind, WebSocket};
use serde_json::{Value, json};

/// What a client is known by.
type Manner = &'static [(&'static str, &'static str)];

const JAVA: Manner = &[
    ("x-domain-name", "default"),
    ("user-agent", "microservice-client/1.0.0"),
    ("content-type", "application/json"),
    ("connection", "Keep-Alive"),
    ("accept-encoding", "gzip,deflate"),
];
const GO: Manner = &[
    ("user-agent", "go-client"),
    ("accept", "*/*"),
    ("content-type", "application/json"),
    ("X-Domain-Name", "default"),
];
const JAVA_KIE: Manner = &[
    ("user-agent", "microservice-client/1.0.0"),
    ("content-type", "application/json"),
    ("connection", "Keep-Alive"),
    ("accept-encoding", "gzip,deflate"),
];
const GO_KIE: Manner = &[("user-agent", "Go-http-client/1.1"), ("accept", "*/*"), ("content-type", "application/json")];

/// An answer's body that the client does not read.
const ANYTHING: &str = "*";

/// One request with the answer that it should get.
#[derive(Default)]
struct Exchange<'d> {
    method: &'d str,
    path: &'d str,
    headers: Vec<(&'d str, &'d str)>,
    body: &'d str,
    status: u16,
    answer_headers: Vec<(&'d str, &'d str)>,
    answer: &'d str,
}

fn exchanges(dialogue: &str) -> Vec<Exchange<'_>> {
    let mut all: Vec<Exchange<'_>> = Vec::new();
    for line in dialogue.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(head) = line.strip_prefix("> ") {
            match head.split_once(": ") {
                Some(header) => all.last_mut().unwrap().headers.push(header),
                None => {
                    let (method, path) = head.split_once(' ').unwrap();
                    all.push(Exchange { method, path, ..Exchange::default() });
                }
            }
            continue;
        }
        let last = all.last_mut().unwrap();
        match line.strip_prefix("< ").map(|head| (head, head.split_once(": "))) {
            Some((_, Some(header))) => last.answer_headers.push(header),
            Some((status, None)) => last.status = status.parse().unwrap(),
            None if last.status == 0 => last.body = line,
            None => last.answer = line,
        }
    }
    all
}

fn replay(server: &Server, manner: Manner, dialogue: &str) {
    let mut client = server.connect();
    let mut names = Names::new();
    let all = exchanges(dialogue);
    assert!(!all.is_empty(), "no dialogue");
    for exchange in &all {
        assert_exchange(&mut client, &mut names, manner, exchange);
    }
}

fn assert_exchange(client: &mut Client, names: &mut Names, manner: Manner, exchange: &Exchange<'_>) {
    let request = format!("{} {}", exchange.method, exchange.path);
    let path = names.resolve(exchange.path);
    let body = names.resolve(exchange.body);
    let own: Vec<(&str, String)> = exchange.headers.iter().map(|(name, value)| (*name, names.resolve(value))).collect();
    let mut headers: Vec<(&str, &str)> = manner.to_vec();
    headers.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
    if exchange.method == "PUT" && body.is_empty() {
        headers.push(("content-length", "0"));
    }
    let answer = client.send(exchange.method, &path, &headers, body.as_bytes());
    let text = names.give(answer.text());
    assert_eq!(answer.status, exchange.status, "{request}: {text}");
    match exchange.answer {
        ANYTHING => {}
        "" => assert_eq!(text, "", "{request}"),
        expected => {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{request}");
            assert_json(&text, expected, &request);
        }
    }
    for (name, expected) in &exchange.answer_headers {
        let value = names.give(answer.header_as_written(name).unwrap_or("(none)"));
        assert_eq!(&value, expected, "{name} of {request}");
    }
}

/// The same object, keys in whatever order, without a space: clients search the text for what they know.
fn assert_json(text: &str, expected: &str, request: &str) {
    let told: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("{request}: {e}: {text}"));
    assert_eq!(told, serde_json::from_str::<Value>(expected).unwrap(), "{request}");
    assert_eq!(told.to_string().len(), text.len(), "{request}: {text}");
}

#[test]
fn what_the_java_client_sends_while_a_service_starts_lives_and_ends() {
    on_each_database(|server| replay(server, JAVA, include_str!("dialogues/java-registry.txt")));
}

#[test]
fn what_the_go_client_sends_while_a_service_starts_lives_and_ends() {
    on_each_database(|server| replay(server, GO, include_str!("dialogues/go-registry.txt")));
}

#[test]
fn what_the_java_client_sends_for_its_settings() {
    on_each_database(|server| replay(server, JAVA_KIE, include_str!("dialogues/java-kie.txt")));
}

#[test]
fn what_the_go_client_sends_for_configuration_items() {
    on_each_database(|server| replay(server, GO_KIE, include_str!("dialogues/go-kie.txt")));
}

/// A watcher hears of the providers that it has asked for, and of nobody else.
fn assert_watch(server: &Server, manner: Manner) {
    let mut names = Names::new();
    let mut client = server.connect();
    let mut send = |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let answer = client.send(method, &format!("/v4/default/registry{path}"), headers, body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().to_owned()
    };
    let mut service = |name: &str| {
        let body = format!(
            r#"{{"service":{{"appId":"shop","serviceName":"{name}","version":"1.0.0","environment":"production"}}}}"#
        );
        let answer: Value = serde_json::from_str(&send("POST", "/microservices", &[], &body)).unwrap();
        answer["serviceId"].as_str().unwrap().to_owned()
    };
    let (provider, other, consumer) = (service("orders"), service("prices"), service("web"));
    names.give(&provider);
    let find = "/instances?appId=shop&serviceName=orders&version=0%2B&rev=";
    send("GET", find, &[("X-ConsumerId", &consumer)], "");

    let mut watcher =
        WebSocket::open(server, &format!("/v4/default/registry/microservices/{consumer}/watcher"), manner).unwrap();
    let instance = |host: &str| {
        format!(r#"{{"instance":{{"hostName":"till","endpoints":["rest://{host}:8080"],"status":"UP"}}}}"#)
    };
    send("POST", &format!("/microservices/{other}/instances"), &[], &instance("10.0.0.9"));
    let answer = send("POST", &format!("/microservices/{provider}/instances"), &[], &instance("10.0.0.1"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let id = answer["instanceId"].as_str().unwrap().to_owned();
    names.give(&id);
    send("PUT", &format!("/microservices/{provider}/instances/{id}/status?value=DOWN"), &[], "");
    send("DELETE", &format!("/microservices/{provider}/instances/{id}"), &[], "");
    for (action, status) in [("CREATE", "UP"), ("UPDATE", "DOWN"), ("DELETE", "DOWN")] {
        let expected = json!({
            "action": action,
            "key": {
                "tenant": "default/default", "environment": "production", "appId": "shop", "serviceName": "orders",
                "version": "1.0.0",
            },
            "instance": {
                "instanceId": "<2>", "serviceId": "<1>", "endpoints": ["rest://10.0.0.1:8080"], "hostName": "till",
                "status": status, "healthCheck": {"mode": "push", "interval": 30, "times": 3},
                "timestamp": "<moment>", "modTimestamp": "<moment>", "version": "1.0.0",
            },
        });
        assert_json(&names.give(&watcher.text()), &expected.to_string(), action);
    }
    watcher.send(Kind::Ping, b"still there?");
    let pong = watcher.frame();
    assert_eq!((pong.kind, &*pong.payload), (Kind::Pong, &b"still there?"[..]));
}

#[test]
fn the_java_client_hears_of_the_instances_that_it_asked_for() {
    on_each_database(|server| assert_watch(server, &[("x-domain-name", "default")]));
}

#[test]
fn the_go_client_hears_of_the_instances_that_it_asked_for() {
    on_each_database(|server| assert_watch(server, GO));
}

#[test]
fn the_go_clients_heartbeat_socket_ends_with_a_code_that_makes_it_register_anew() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let path = "/v4/default/registry/microservices/nobody/instances/nothing/heartbeat";
    let mut heartbeat = WebSocket::open(&server, path, GO).unwrap();
    let close = heartbeat.frame();
    assert_eq!(close.kind, Kind::Close);
    assert_eq!(close.payload.get(..2), Some(&4001_u16.to_be_bytes()[..]));
}
