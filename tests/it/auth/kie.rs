//! Configuration items behind their guards: KIE's own paths, and the cloud's for files of them.

use super::*;
use serde_json::json;

const ITEMS: &str = "/v1/default/kie/kv";
const ITEM: &[u8] = br#"{"key":"k","value":"v","labels":{},"status":"enabled"}"#;

#[test]
fn an_accounts_token_a_token_of_the_settings_and_a_signature_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let token = log_in(&mut client, "root", PASSWORD);
    let created = Request::new("POST", ITEMS, "", ITEM).with("content-type", "application/json").sign();
    assert_eq!(created.send(&mut client).status, 200);
    assert_eq!(ask(&mut client, "GET", ITEMS, &token, None).json()["total"], 1);
    assert_eq!(client.send("GET", ITEMS, &[("x-auth-token", TOKEN)], b"").json()["total"], 1);
    let signed = Request::new("GET", ITEMS, "label=a%3Ab&match=exact", b"").sign().send(&mut client);
    assert_eq!((signed.status, &signed.json()["total"]), (200, &json!(0)));
}

#[test]
fn a_file_is_imported_though_its_body_is_not_signed_as_the_clouds_client_does() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let file = r#"{"data":[{"key":"k","value":"v","labels":{},"value_type":"text","status":"enabled"}]}"#;
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=\"upload_file\"; filename=\"a.json\"\r\n\r\n{file}\r\n--x--\r\n"
    );
    let import = Request::new("POST", "/v1/0/kie/file", "override=force", body.as_bytes())
        .with("content-type", "multipart/form-data; boundary=x")
        .declares("UNSIGNED-PAYLOAD")
        .sign();
    let answer = import.send(&mut client);
    assert_eq!((answer.status, &answer.json()["success"][0]["key"]), (200, &json!("k")), "{}", answer.text());
}

#[test]
fn each_path_refuses_in_the_form_of_its_product_and_health_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let refused = client.send("GET", ITEMS, &[("authorization", "Bearer x")], b"");
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    let message = "Request unauthorized";
    let detail = "header Authorization: this is no token of this server: get a token at /v4/token";
    assert_eq!(
        refused.json(),
        json!({
            "errorCode": "401201", "errorMessage": message, "error_code": "401201", "error_message": message,
            "error_msg": message, "detail": detail,
        })
    );
    for (path, query) in [("/v1/0/kie/file", "override=force"), ("/v1/0/kie/download", "label=")] {
        let refused = client.send("POST", &format!("{path}?{query}"), &[("x-auth-token", "another-token")], b"{}");
        let detail = "header X-Auth-Token: send one of those in the setting auth.tokens";
        let body = json!({ "error_code": "SVCSTG.00300401", "error_msg": "Invalid token", "detail": detail });
        assert_eq!((refused.status, refused.json()), (401, body), "{path}");
    }
    assert_eq!(client.send("GET", "/v1/health", &[], b"").status, 200);
}
