//! Every route: guarded or open.

use super::*;

/// The routes of the APIs that are open to everybody, which their clients ask for before they know anybody.
const OPEN: [&str; 5] = [
    "GET /v1/health",
    "POST /v4/token",
    "GET /v4/{project}/registry/health",
    "GET /v4/{project}/registry/health/readiness",
    "GET /v4/{project}/registry/version",
];

/// How an API refuses somebody unknown: the status, and the fields of the answer.
fn refusal_of(path: &str) -> Option<(u16, &'static [&'static str])> {
    const KIE: &[&str] = &["detail", "errorCode", "errorMessage", "error_code", "error_message", "error_msg"];
    const SAE: &[&str] = &["Code", "ErrorCode", "HostId", "Message", "Recommend", "RequestId", "Success", "TraceId"];
    let of_project = path.strip_prefix("/v1/{project_id}/");
    match of_project.and_then(|rest| rest.split('/').next()) {
        Some("ats" | "atps" | "events" | "traces") => Some((401, &["errorCode", "errorMessage", "responseInfo"])),
        // As the cloud has it.
        Some("kie") if path.ends_with("/kie/file") || path.ends_with("/kie/download") => {
            Some((401, &["detail", "error_code", "error_msg"]))
        }
        Some("kie") => Some((401, KIE)),
        _ if path.starts_with("/v4/") => Some((401, &["detail", "errorCode", "errorMessage"])),
        _ if path.starts_with("/pop/") => Some((403, SAE)),
        _ if path == "/v2/index.php" => Some((200, &["code", "codeDesc", "message"])),
        _ => None,
    }
}

#[test]
fn every_route_of_the_apis_refuses_somebody_unknown_and_no_other_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--auth-tokens", TOKEN]);
    let mut client = server.connect();
    let mut open = Vec::new();
    let mut guarded = 0;
    // The document's operations are these.
    for route in spanlake::api::routes() {
        let name = format!("{} {}", route.method, route.path);
        let part = |part: &str| if part.starts_with('{') { "1".to_owned() } else { part.to_owned() };
        let path = route.path.split('/').map(part).collect::<Vec<_>>().join("/");
        let expected = refusal_of(route.path);
        for headers in [&[][..], &[("x-auth-token", "another-token")][..]] {
            let answer = client.send(route.method.as_str(), &path, headers, b"");
            match expected {
                Some((status, fields)) if !OPEN.contains(&name.as_str()) => {
                    assert_eq!(answer.status, status, "{name}: {answer:?}");
                    let mut found: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
                    found.sort();
                    assert_eq!(found, fields, "{name}");
                    if status == 200 {
                        assert_eq!(answer.json()["code"], 4100, "{name}");
                    }
                    guarded += 1;
                }
                _ => assert!(![401, 403].contains(&answer.status), "{name}: {answer:?}"),
            }
        }
        if expected.is_none() || OPEN.contains(&name.as_str()) {
            open.push(name);
        }
    }
    assert!(guarded > 0 && OPEN.iter().all(|name| open.iter().any(|there| there == name)), "{open:?}");
}

#[test]
fn the_log_tells_once_at_start_who_may_come_in() {
    for (args, said) in [
        (&[][..], "the ATS, ServiceComb, kie, SAE and CCS APIs are open to everybody: none of auth.credentials, "),
        (
            &["--auth-tokens", TOKEN, "--auth-root-password", PASSWORD],
            "the ATS, ServiceComb, kie, SAE and CCS APIs are closed to all but those known by auth.tokens, \
             auth.root_password\n",
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let log = Server::start_with(dir.path(), args).log();
        let told: Vec<&str> = log.split_inclusive('\n').filter(|line| line.contains("CCS APIs")).collect();
        assert!(told.len() == 1 && told[0].contains(said) && told[0].contains(" INFO "), "{log}");
        assert!(!log.contains(TOKEN) && !log.contains(PASSWORD), "{log}");
    }
}
