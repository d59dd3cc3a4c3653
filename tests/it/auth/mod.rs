//! Who is let in, over a real socket.

mod accounts;
mod ats;
mod ccs;
mod kie;
mod registry;
mod routes;
mod sae;

use crate::support::server::{Answer, Client, Server};
use chrono::DateTime;
use ring::{digest, hmac};
use serde_json::Value;
use spanlake::clock::{Clock, SystemClock};
use std::path::Path;

/// The one key that servers here know.
const ID: &str = "SPANLAKETESTAK0001";
const SECRET: &str = "n0t-a-rea1/secret+of=Huawei~1";
const TOKEN: &str = "a-token-of-the-settings";
const PASSWORD: &str = "P4$$word";

/// A server that lets in by keys, tokens and accounts.
fn closed(data: &Path) -> Server {
    let credentials = format!("OTHER:other,{ID}:{SECRET}");
    let args = ["--auth-credentials", &credentials, "--auth-tokens", TOKEN, "--auth-root-password", PASSWORD];
    Server::start_with(data, &args)
}

/// Seconds since 1970 UTC.
fn now() -> i64 {
    SystemClock.now_micros() / 1_000_000
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// A request as Huawei's clients sign it; each part may be changed before or after it is signed. Paths and queries here
/// are in their one spelling already.
#[derive(Clone)]
struct Request {
    method: &'static str,
    path: String,
    query: String,
    id: String,
    secret: String,
    /// Seconds since 1970 UTC.
    date: i64,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// What is signed for the body, where that is not its digest.
    payload: Option<String>,
}

impl Request {
    fn new(method: &'static str, path: &str, query: &str, body: &[u8]) -> Request {
        Request {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            id: ID.to_owned(),
            secret: SECRET.to_owned(),
            date: now(),
            headers: vec![("host".to_owned(), "test".to_owned())],
            body: body.to_vec(),
            payload: None,
        }
    }

    fn with(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the header that says what is signed for the body.
    fn declares(self, payload: &str) -> Request {
        Request { payload: Some(payload.to_owned()), ..self.with("x-sdk-content-sha256", payload) }
    }

    /// Adds date and signature.
    fn sign(mut self) -> Request {
        let date = DateTime::from_timestamp(self.date, 0).unwrap().format("%Y%m%dT%H%M%SZ").to_string();
        self.headers.push(("x-sdk-date".to_owned(), date.clone()));
        self.headers.sort();
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let payload = self.payload.clone().unwrap_or_else(|| sha256(&self.body));
        let Request { method, path, query, .. } = &self;
        let canonical = format!("{method}\n{path}/\n{query}\n{headers}\n{names}\n{payload}");
        let text = format!("SDK-HMAC-SHA256\n{date}\n{}", sha256(canonical.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        let authorization = format!("SDK-HMAC-SHA256 Access={}, SignedHeaders={names}, Signature={signature}", self.id);
        self.with("authorization", &authorization)
    }

    fn send(&self, client: &mut Client) -> Answer {
        let target = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        // The client has its own.
        let headers = self.headers.iter().filter(|(name, _)| name != "host");
        let headers: Vec<(&str, &str)> = headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.send(self.method, &target, &headers, &self.body)
    }
}

/// A token of an account.
fn log_in(client: &mut Client, name: &str, password: &str) -> String {
    let body = serde_json::json!({ "name": name, "password": password }).to_string();
    let answer = client.send("POST", "/v4/token", &[], body.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["token"].as_str().unwrap().to_owned()
}

/// Sends JSON, or nothing, with an account's token.
fn ask(client: &mut Client, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
    let bearer = format!("Bearer {token}");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    client.send(method, path, &[("authorization", &bearer)], body.as_bytes())
}
