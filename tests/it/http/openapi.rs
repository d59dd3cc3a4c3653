//! The published document and the router say the same.

use crate::support::server::Server;

const DOCUMENT: &str = include_str!("../../../schemas/openapi.yaml");

/// `METHOD path` of each operation: in the document's layout a path stands two spaces in, its methods four.
fn documented() -> Vec<String> {
    let paths = DOCUMENT.split("\npaths:\n").nth(1).unwrap().split("\ncomponents:\n").next().unwrap();
    let mut operations = Vec::new();
    let mut path = "";
    for line in paths.lines() {
        let indent = line.len() - line.trim_start().len();
        let key = line.trim().trim_end_matches(':');
        match indent {
            2 => path = key,
            4 => operations.push(format!("{} {path}", key.to_uppercase())),
            _ => {}
        }
    }
    operations.sort();
    operations
}

/// A path with something for each parameter.
fn filled_in(template: &str) -> String {
    let part = |part: &str| if part.starts_with('{') { "1".to_owned() } else { part.to_owned() };
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_documented_and_every_documented_route_exists() {
    let mut routes: Vec<String> =
        spanlake::api::routes().map(|route| format!("{} {}", route.method, route.path)).collect();
    routes.sort();
    assert_eq!(documented(), routes);
}

#[test]
fn every_documented_route_is_answered_and_every_other_method_is_told_which_are() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    let documented = documented();
    for operation in &documented {
        let (method, template) = operation.split_once(' ').unwrap();
        let path = filled_in(template);
        let answer = client.send(method, &path, &[], b"");
        let unknown = answer.status == 405 || answer.first_line() == format!("{path} not found");
        assert!(!unknown, "{operation}: {answer:?}");

        // No path has both.
        let other = ["DELETE", "PATCH"].into_iter().find(|other| !documented.contains(&format!("{other} {template}")));
        let refused = client.send(other.unwrap(), &path, &[], b"");
        // Of one API everything is a success by HTTP's status.
        let status = if path == "/v2/index.php" { 200 } else { 405 };
        assert_eq!(refused.status, status, "{path}");
        assert!(refused.header("allow").unwrap().contains(method), "{path}: {refused:?}");
    }
}

#[test]
fn the_server_gives_its_own_document() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Server::start(dir.path()).get("/openapi.yaml").text(), DOCUMENT);
}

#[test]
fn an_unknown_path_is_told_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let answer = Server::start(dir.path()).get("/api/v3/spans");
    assert_eq!((answer.status, answer.first_line()), (404, "/api/v3/spans not found"));
    assert!(answer.text().contains("\n  POST /api/v2/spans\n"));
}
