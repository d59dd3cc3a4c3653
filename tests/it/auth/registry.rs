//! The registry behind its guard.

use super::*;

const SERVICES: &str = "/v4/default/registry/microservices";

#[test]
fn an_accounts_token_a_token_of_the_settings_and_a_signature_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let token = log_in(&mut client, "root", PASSWORD);
    assert_eq!(ask(&mut client, "GET", SERVICES, &token, None).status, 200);
    assert_eq!(client.send("GET", SERVICES, &[("x-auth-token", TOKEN)], b"").status, 200);
    assert_eq!(Request::new("GET", SERVICES, "", b"").sign().send(&mut client).status, 200);
    let body = br#"{"service":{"serviceName":"a","appId":"b","version":"1.0.0"}}"#;
    let registered = Request::new("POST", SERVICES, "", body).with("x-domain-name", "default").sign().send(&mut client);
    assert_eq!((registered.status, registered.json()["serviceId"].as_str().map(str::len)), (200, Some(40)));
}

#[test]
fn nobody_else_is_but_to_ask_whether_there_is_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    for (headers, start) in [
        (
            &[][..],
            r#"{"errorCode":"401204","errorMessage":"No authorization header","detail":"this server takes nobody"#,
        ),
        (
            &[("authorization", "Bearer abc")],
            r#"{"errorCode":"401201","errorMessage":"Request unauthorized","detail":"header Authorization: this is no"#,
        ),
        (
            &[("x-auth-token", "another-token")],
            r#"{"errorCode":"401201","errorMessage":"Request unauthorized","detail":"header X-Auth-Token: send one of"#,
        ),
    ] {
        for (method, path) in [("GET", SERVICES), ("POST", SERVICES), ("GET", "/v4/default/registry/instances")] {
            let answer = client.send(method, path, headers, b"");
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{method} {path}");
            assert!(answer.text().starts_with(start), "{}", answer.text());
        }
    }
    let altered = Request { query: "a=b".to_owned(), ..Request::new("GET", SERVICES, "", b"").sign() };
    let answer = altered.send(&mut client);
    assert_eq!((answer.status, &answer.json()["errorCode"]), (401, &serde_json::json!("401201")));
    for path in ["health", "health/readiness", "version"] {
        assert_eq!(client.send("GET", &format!("/v4/default/registry/{path}"), &[], b"").status, 200, "{path}");
    }
}
