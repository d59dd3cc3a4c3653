//! The container service's API behind its guard: parameters that are signed.

use super::*;
use crate::ccs::{PATH, assert_refused, data};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// A request; each part may be changed before or after it is signed.
#[derive(Clone)]
struct Ccs {
    method: &'static str,
    host: &'static str,
    secret: &'static str,
    parameters: BTreeMap<String, String>,
}

impl Ccs {
    fn new(method: &'static str) -> Ccs {
        static NONCE: AtomicU64 = AtomicU64::new(1);
        let nonce = NONCE.fetch_add(1, Ordering::Relaxed).to_string();
        let parameters = [
            ("Action", "DescribeCluster"),
            ("Region", "gz"),
            ("SecretId", ID),
            ("Timestamp", &now().to_string()),
            ("Nonce", &nonce),
            ("clusterIds.0", "a b+c/北京"),
            ("clusterIds.1", "x=y&z"),
            ("clusterName", ""),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Ccs { method, host: "test", secret: SECRET, parameters }
    }

    fn with(mut self, name: &str, value: &str) -> Ccs {
        self.parameters.insert(name.to_owned(), value.to_owned());
        self
    }

    fn without(mut self, name: &str) -> Ccs {
        self.parameters.remove(name);
        self
    }

    /// What is signed.
    fn text(&self) -> String {
        let pairs: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("{}={value}", name.replace('_', "."))).collect();
        format!("{}{}{PATH}?{}", self.method, self.host, pairs.join("&"))
    }

    fn sign(self) -> Ccs {
        let algorithm = match self.parameters.get("SignatureMethod").map(String::as_str) {
            Some("HmacSHA256") => hmac::HMAC_SHA256,
            _ => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        let key = hmac::Key::new(algorithm, self.secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, self.text().as_bytes()));
        self.with("Signature", &signature)
    }

    fn send(&self, client: &mut Client) -> Answer {
        self.send_with(client, &[])
    }

    fn send_with(&self, client: &mut Client, headers: &[(&str, &str)]) -> Answer {
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.parameters).finish();
        match self.method {
            "POST" => client.send("POST", PATH, headers, encoded.as_bytes()),
            method => client.send(method, &format!("{PATH}?{encoded}"), headers, b""),
        }
    }
}

fn assert_let_in(answer: &Answer, what: &str) {
    assert_eq!(answer.json()["code"], 0, "{what}: {}", answer.text());
    assert_eq!(data(answer), json!({ "totalCount": 0, "clusters": [] }), "{what}");
}

#[test]
fn signed_parameters_and_a_token_of_the_settings_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    for method in ["GET", "POST"] {
        for (what, request) in [
            ("by the default", Ccs::new(method)),
            ("by SHA-1", Ccs::new(method).with("SignatureMethod", "HmacSHA1")),
            ("by SHA-256", Ccs::new(method).with("SignatureMethod", "HmacSHA256")),
            ("with an underscore", Ccs::new(method).with("clusterIds_2", "x")),
            ("for the product's host", Ccs { host: "ccs.api.qcloud.com", ..Ccs::new(method) }),
            ("two hours ago", Ccs::new(method).with("Timestamp", &(now() - 7_190).to_string())),
        ] {
            assert_let_in(&request.sign().send(&mut client), &format!("{what}, {method}"));
        }
        let bare = Ccs::new(method).without("SecretId");
        assert_let_in(&bare.send_with(&mut client, &[("x-auth-token", TOKEN)]), "a token");
    }
}

#[test]
fn other_hosts_may_be_signed_for_where_the_settings_name_them() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = format!("--auth-credentials={ID}:{SECRET}");
    let server = Server::start_with(dir.path(), &[&credentials, "--ccs-hosts", "proxy.example:8443"]);
    let mut client = server.connect();
    assert_let_in(&Ccs { host: "proxy.example:8443", ..Ccs::new("GET") }.sign().send(&mut client), "a proxy");
    assert_let_in(&Ccs::new("GET").sign().send(&mut client), "the header's");
    let of_product = Ccs { host: "ccs.api.qcloud.com", ..Ccs::new("GET") }.sign();
    assert_eq!(of_product.send(&mut client).json()["code"], 4100);
}

#[test]
fn whoever_else_comes_is_refused_with_the_products_code() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let failed = "(10030) authentication failed\n";
    let missing = "(10010) lacked of required parameters\nparameter";
    for method in ["GET", "POST"] {
        let get = || Ccs::new(method);
        let over = |request: &Ccs| {
            let text = Ccs { host: "test", ..request.clone().without("Signature") }.text();
            format!(
                "{failed}parameter Signature: sign with the secret of auth.credentials, over what is sent, in base 64. \
                 The server computed the signature over (or ccs.api.qcloud.com for the host):\n{text}"
            )
        };
        let wrong = Ccs { secret: "guess", ..get() }.sign();
        let altered = get().sign().with("clusterName", "other");
        let elsewhere = Ccs { host: "elsewhere", ..get() }.sign();
        for (request, code, code_desc, message) in [
            (
                get().without("SecretId"),
                4100,
                "AuthFailure",
                format!(
                    "{failed}this server takes nobody unknown: send a token of auth.tokens in the header X-Auth-Token, \
                     or sign the parameters by HmacSHA1 or HmacSHA256 with a key of auth.credentials"
                ),
            ),
            (
                get(),
                4000,
                "InvalidParameter",
                format!("{missing} Signature: send the signature of the other parameters, in base 64"),
            ),
            (
                get().without("Nonce").sign(),
                4000,
                "InvalidParameter",
                format!("{missing} Nonce: send a number that no other request of the time has"),
            ),
            (
                get().with("SecretId", "NOBODY").sign(),
                4100,
                "AuthFailure",
                "(10270) secret id is not existed\nparameter SecretId: \"NOBODY\" is none of the ids in the setting \
                 auth.credentials"
                    .to_owned(),
            ),
            (wrong.clone(), 4100, "AuthFailure", over(&wrong)),
            (altered.clone(), 4100, "AuthFailure", over(&altered)),
            (elsewhere.clone(), 4100, "AuthFailure", over(&elsewhere)),
        ] {
            assert_refused(&request.send(&mut client), code, code_desc, &message);
        }
    }
    let token = Ccs::new("GET").without("SecretId").send_with(&mut client, &[("x-auth-token", "another-token")]);
    let message = format!("{failed}header X-Auth-Token: send one of those in the setting auth.tokens");
    assert_refused(&token, 4100, "AuthFailure", &message);
    // Of a form nothing is read that is too long, whoever sends it.
    let long = Ccs::new("POST").with("more", &"x".repeat(64 << 10)).sign().send(&mut client);
    let message = "(10350) parameter value or length is out of range\nthe body is larger than 64KiB\nthe body: send less \
                   in one request";
    assert_refused(&long, 4000, "InvalidParameter", message);
}

#[test]
fn a_request_that_comes_again_or_is_hours_off_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    for method in ["GET", "POST"] {
        let request = Ccs::new(method).sign();
        assert_let_in(&request.send(&mut client), method);
        for _ in 0..2 {
            assert_refused(
                &request.send(&mut client),
                4500,
                "PlaybackAttack",
                "Playback attack\nparameter Nonce: a request with this SecretId, Timestamp and Nonce came before: send \
                 another number",
            );
        }
        for (seconds, words) in [(-7_300, "behind"), (7_300, "ahead of")] {
            let stale = Ccs::new(method).with("Timestamp", &(now() + seconds).to_string()).sign();
            let told = stale.send(&mut client).json();
            assert_eq!((&told["code"], &told["codeDesc"]), (&json!(4500), &json!("PlaybackAttack")));
            let message = told["message"].as_str().unwrap();
            assert!(message.contains(&format!(" seconds {words} the server's clock, and 7200 may be: ")), "{message}");
        }
    }
}
