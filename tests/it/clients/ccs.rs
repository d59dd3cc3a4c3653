//! Service events, asked for by the SDKs of Tencent Cloud's API 2.0.

use super::{node, python, said};
use crate::ccs::{Posted, beijing, now, post};
use crate::support::server::Server;
use regex::Regex;
use serde_json::{Value, json};
use std::process::Command;

const KEY: &str = "--auth-credentials=key:secret";

/// An SDK's program.
type Sdk = fn() -> Option<Command>;

const NODE: Sdk = || node("ccs.js");
const PYTHON: Sdk = || python("ccs.py");

/// Asks by both methods and both algorithms; all have to be told the same, which is what this is.
fn asked(sdk: Sdk, server: &Server, id: &str, secret: &str, parameters: &Value) -> String {
    let address = server.address.to_string();
    let parameters = parameters.to_string();
    let random = Regex::new("(Nonce|Timestamp)=[0-9]+|(RequestClient)=SDK_[A-Z]+_[0-9.]+").unwrap();
    let named = Regex::new("SignatureMethod=[A-Za-z0-9]+&").unwrap();
    let mut answers: Vec<String> = Vec::new();
    for method in ["GET", "POST"] {
        for algorithm in ["sha1", "sha256"] {
            let mut program = sdk().unwrap();
            let said = said(program.args([&address, id, secret, method, algorithm, &parameters]));
            let said = said.trim_end().replace(&address, "<address>");
            let said = said.replace(&format!("\\n{method}<"), "\\n<method><");
            answers.push(random.replace_all(&named.replace_all(&said, ""), "$1$2=<any>").into_owned());
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:#?}");
    answers.remove(0)
}

fn frontend(cluster: &str) -> Value {
    json!({ "Action": "DescribeServiceEvent", "clusterId": cluster, "serviceName": "frontend", "namespace": "default" })
}

/// A server with an event, and what is to be told of it.
fn with_event(args: &[&str]) -> (tempfile::TempDir, Server, String) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), args);
    let event = Posted {
        level: "Warning",
        reason: "BackOff",
        message: "Back-off pulling image \"gcr.io/google-samples/gb-frontend:v5\"\n".to_owned(),
        seen: (now() - 88_000, now() - 60),
        count: 6_530,
        ..Posted::new("u")
    };
    post(&server, "cls-a b+c", std::slice::from_ref(&event));
    let line = json!({
        "firstSeen": beijing(event.seen.0), "lastSeen": beijing(event.seen.1), "count": 6_530, "level": "Warning",
        "objType": "Pod", "objName": "frontend-542052039-h2yj8", "reason": "BackOff", "message": event.message,
    });
    let told = json!({ "code": 0, "message": "", "codeDesc": "Success", "data": { "eventList": [line] } });
    (dir, server, told.to_string())
}

/// The two texts as JSON.
#[track_caller]
fn assert_same(said: &str, expected: &str) {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(said), json(expected));
}

fn prints_events_and_errors(sdk: Sdk) {
    if sdk().is_none() {
        return;
    }
    let (_dir, server, told) = with_event(&[]);
    // Where nobody is known every signature is as good.
    for (id, secret) in [("", ""), ("key", "secret")] {
        assert_same(&asked(sdk, &server, id, secret, &frontend("cls-a b+c")), &told);
    }
    for (parameters, expected) in [
        (
            frontend("cls-b"),
            r#"{"code":5000,"message":"Resource not existed\nparameter clusterId: no event of the cluster \"cls-b\" has come: send one that the action DescribeCluster lists","codeDesc":"ResourceNotFound"}"#,
        ),
        (
            json!({ "Action": "DescribeServiceEvent", "clusterId": "cls-a b+c" }),
            r#"{"code":4000,"message":"(10010) lacked of required parameters\nparameter serviceName: send the name of a service; the action DescribeClusterService lists them","codeDesc":"InvalidParameter"}"#,
        ),
        // Lists are nested names to the SDK.
        (
            json!({ "Action": "DescribeCluster", "clusterIds": ["cls-b", "cls-c"] }),
            r#"{"code":0,"message":"","codeDesc":"Success","data":{"totalCount":0,"clusters":[]}}"#,
        ),
    ] {
        assert_same(&asked(sdk, &server, "", "", &parameters), expected);
    }
}

fn signs_what_it_asks(sdk: Sdk) {
    if sdk().is_none() {
        return;
    }
    let (_dir, server, told) = with_event(&[KEY]);
    assert_same(&asked(sdk, &server, "key", "secret", &frontend("cls-a b+c")), &told);
    // One SDK sorts names before it makes dots of underscores, the other after.
    let nested = json!({
        "Action": "DescribeCluster", "clusterIds": ["cls-b", "北京"], "a_b": "x=y&z", "aZ": "+ %", "empty": "",
        "none": null,
    });
    assert_same(
        &asked(sdk, &server, "key", "secret", &nested),
        r#"{"code":0,"message":"","codeDesc":"Success","data":{"totalCount":0,"clusters":[]}}"#,
    );
    assert_same(
        &asked(sdk, &server, "key", "guess", &json!({ "Action": "DescribeCluster" })),
        r#"{"code":4100,"message":"(10030) authentication failed\nparameter Signature: sign with the secret of auth.credentials, over what is sent, in base 64. The server computed the signature over (or ccs.api.qcloud.com for the host):\n<method><address>/v2/index.php?Action=DescribeCluster&Nonce=<any>&Region=gz&RequestClient=<any>&SecretId=key&Timestamp=<any>","codeDesc":"AuthFailure"}"#,
    );
    assert_same(
        &asked(sdk, &server, "nobody", "secret", &json!({ "Action": "DescribeCluster" })),
        r#"{"code":4100,"message":"(10270) secret id is not existed\nparameter SecretId: \"nobody\" is none of the ids in the setting auth.credentials","codeDesc":"AuthFailure"}"#,
    );
    assert_same(
        &asked(sdk, &server, "", "", &json!({ "Action": "DescribeCluster" })),
        r#"{"code":4000,"message":"(10010) lacked of required parameters\nparameter SecretId: send the id of a key of the setting auth.credentials","codeDesc":"InvalidParameter"}"#,
    );
}

#[test]
fn the_node_sdk_prints_events_and_errors() {
    prints_events_and_errors(NODE);
}

#[test]
fn the_python_sdk_prints_events_and_errors() {
    prints_events_and_errors(PYTHON);
}

#[test]
fn the_node_sdk_signs_what_it_asks() {
    signs_what_it_asks(NODE);
}

#[test]
fn the_python_sdk_signs_what_it_asks() {
    signs_what_it_asks(PYTHON);
}
