//! The same clients where not everybody is let in: with a password, with keys that they sign with, and without.

use super::{assert_said, go, java, node, python, said};
use crate::support::server::Server;

const PASSWORD: &str = "Complicated_password1";
const KEY: &str = "--auth-credentials=key:secret";

#[test]
fn java_services_log_in() {
    let Some(mut program) = java("Login") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--auth-root-password", PASSWORD]);
    let said = said(program.args([&format!("http://{}", server.address), PASSWORD]));
    assert_said(&said, include_str!("said/java-login.jsonl"));
}

#[test]
fn go_services_log_in() {
    let Some(mut program) = go("login") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--auth-root-password", PASSWORD]);
    let said = said(program.args([&server.address.to_string(), PASSWORD]));
    assert_said(&said, include_str!("said/go-login.jsonl"));
}

#[test]
fn the_cse_sdk_signs_what_it_imports_and_exports() {
    let Some(mut program) = python("kie.py") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &[KEY]);
    let address = server.address.to_string();
    // As without keys.
    assert_said(&said(program.args([&address, "key", "secret"])), include_str!("said/python-kie.jsonl"));
    let refused = python("kie.py").map(|mut program| program.args([&address, "key", "guess"]).output().unwrap());
    let refused = String::from_utf8(refused.unwrap().stdout).unwrap();
    assert_said(refused.lines().next().unwrap(), include_str!("said/python-kie-refused.jsonl"));
}

#[test]
fn the_sae_sdks_sign_what_they_ask() {
    let (Some(_), Some(_)) = (python("sae.py"), node("sae.js")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &[KEY]);
    let address = server.address.to_string();
    let mut all = String::new();
    for (key, secret) in [("key", "secret"), ("key", "guess"), ("nobody", "secret")] {
        for (flavour, app) in [("current", "app_id"), ("older", "AppId")] {
            let mut program = python("sae.py").unwrap();
            all.push_str(&said(program.args([flavour, &address, key, secret, &format!("{app}=a shop & more")])));
        }
        let mut program = node("sae.js").unwrap();
        all.push_str(&said(program.args([&address, key, secret, "json", "AppId=a shop & more"])));
    }
    assert_said(&all, include_str!("said/sae-signed.jsonl"));
}
