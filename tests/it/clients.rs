//! The clients that others wrote for the registry, for configuration items, for service detail and for service events, let
//! loose on the server: small programs in `clients/` use them and say, a JSON line a step, what they made of the answers.
//!
//! `.ci/run` brings the clients and names their folders: `SPANLAKE_JAVA_CLIENTS`, `SPANLAKE_GO_CLIENTS`,
//! `SPANLAKE_NODE_CLIENTS`, and the Python that has them, `SPANLAKE_PYTHON`. Where one is not set, its tests skip
//! themselves and say so. What the same clients send is replayed without them by [`replay`].

mod ccs;
mod detail;
mod login;
mod replay;

use crate::support::server::Server;
use regex::Regex;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the programs' sources are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/clients")
}

/// What an environment variable names, or a word that the test is skipped.
fn brought(variable: &str) -> Option<OsString> {
    let value = std::env::var_os(variable);
    if value.is_none() {
        eprintln!("skipped: {variable} names no clients; .ci/run brings them");
    }
    value
}

fn java(program: &str) -> Option<Command> {
    let folder = PathBuf::from(brought("SPANLAKE_JAVA_CLIENTS")?);
    let mut path = folder.join("classes").into_os_string();
    path.push(":");
    path.push(folder.join("lib/*"));
    let mut command = Command::new("java");
    command.arg("-cp").arg(path).arg(program);
    Some(command)
}

fn go(program: &str) -> Option<Command> {
    let mut command = Command::new(PathBuf::from(brought("SPANLAKE_GO_CLIENTS")?).join("clients"));
    // A project of the environment's own would go into every path.
    command.arg(program).env_remove("CSE_PROJECT_ID");
    Some(command)
}

fn python(program: &str) -> Option<Command> {
    let mut command = Command::new(brought("SPANLAKE_PYTHON")?);
    command.arg(sources().join("python").join(program));
    Some(command)
}

fn node(program: &str) -> Option<Command> {
    let modules = PathBuf::from(brought("SPANLAKE_NODE_CLIENTS")?).join("node_modules");
    let mut command = Command::new("node");
    command.arg(sources().join("node").join(program)).env("NODE_PATH", modules);
    Some(command)
}

/// What a program prints on its way to a good end.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}\n{text}{errors}");
    text
}

/// Names for what differs from run to run: an id is `<1>`, `<2>`, in the order of their first appearance, seconds of a
/// clock are `<moment>` as a text and `<seconds>` as a number, a request `<request>`.
struct Names {
    ids: BTreeMap<String, String>,
    id: Regex,
    others: [(Regex, &'static str); 3],
}

impl Names {
    fn new() -> Names {
        let id = Regex::new(r"\b(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32})\b").unwrap();
        let others = [
            (Regex::new(r#"":"[12][0-9]{9}""#).unwrap(), r#"":"<moment>""#),
            (Regex::new(r#"":[12][0-9]{9}\b"#).unwrap(), r#"":"<seconds>""#),
            (Regex::new(r"\b[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\b").unwrap(), "<request>"),
        ];
        Names { ids: BTreeMap::new(), id, others }
    }

    fn give(&mut self, text: &str) -> String {
        let ids = &mut self.ids;
        let mut named = self
            .id
            .replace_all(text, |found: &regex::Captures<'_>| {
                let next = ids.len() + 1;
                ids.entry(found[0].to_owned()).or_insert_with(|| format!("<{next}>")).clone()
            })
            .into_owned();
        for (pattern, name) in &self.others {
            named = pattern.replace_all(&named, *name).into_owned();
        }
        named
    }

    /// The text with ids again.
    fn resolve(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (id, name)| text.replace(name, id))
    }
}

/// A program's lines as they should be.
fn assert_said(said: &str, expected: &str) {
    let said = Names::new().give(said);
    for (line, expected) in said.lines().zip(expected.lines()) {
        assert_eq!(line, expected, "in\n{said}");
    }
    assert_eq!(said.lines().count(), expected.lines().count(), "{said}");
}

#[test]
fn a_java_service_registers_is_found_and_watched_and_goes() {
    let Some(mut program) = java("Registry") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let said = said(program.arg(format!("http://{}", server.address)));
    assert_said(&said, include_str!("clients/said/java-registry.jsonl"));
}

#[test]
fn a_java_service_pulls_its_settings_and_hears_of_changes() {
    let Some(mut program) = java("Configuration") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let said = said(program.arg(format!("http://{}", server.address)));
    assert_said(&said, include_str!("clients/said/java-configuration.jsonl"));
}

#[test]
fn a_go_service_registers_is_found_and_watched_and_goes() {
    let Some(mut program) = go("registry") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let said = said(program.arg(server.address.to_string()));
    assert_said(&said, include_str!("clients/said/go-registry.jsonl"));
}

#[test]
fn a_go_service_keeps_reads_and_awaits_configuration_items() {
    let Some(mut program) = go("configuration") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let said = said(program.arg(server.address.to_string()));
    assert_said(&said, include_str!("clients/said/go-configuration.jsonl"));
}

#[test]
fn the_cse_sdk_imports_and_exports_configuration_items() {
    let Some(mut program) = python("kie.py") else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let said = said(program.args([&server.address.to_string(), "key", "secret"]));
    assert_said(&said, include_str!("clients/said/python-kie.jsonl"));
}
