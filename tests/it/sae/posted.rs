//! Details that agents post.

use super::*;
use crate::support::registry::databases;

fn minimal(version: &str, name: &str) -> Value {
    json!({ "AppId": "a", "ServiceName": "s", "Version": version, "SpringApplicationName": name })
}

fn told(version: &str, name: &str) -> Value {
    let mut told = json!({ "ServiceName": "s", "SpringApplicationName": name, "Metadata": {}, "Methods": [],
        "Sources": ["posted"] });
    if !version.is_empty() {
        told["Version"] = json!(version);
    }
    told
}

#[test]
fn a_posted_detail_is_there_after_the_server_was_killed_and_the_next_takes_its_place() {
    for database in databases() {
        let dir = tempfile::tempdir().unwrap();
        let server = database.start(dir.path(), &[]);
        post(&server, &minimal("1.0.0", "first"));
        post(&server, &minimal("1.10.0", "second"));
        post(&server, &minimal("1.10.0", "third"));
        server.kill();
        let server = database.start(dir.path(), &[]);
        assert_eq!(described(&server, "AppId=a"), told("1.10.0", "third"), "{}", database.name);
        assert_eq!(described(&server, "AppId=a&ServiceName=S&ServiceVersion=1.0.0"), told("1.0.0", "first"));

        let delete = |query: &str| server.connect().send("DELETE", &format!("{POSTED}?{query}"), &[], b"");
        assert_eq!(delete("AppId=a&ServiceName=s&ServiceVersion=1.10.0").status, 200);
        assert_eq!(described(&server, "AppId=a"), told("1.0.0", "first"));
        let answer = delete("AppId=a&ServiceName=s&ServiceVersion=1.10.0");
        let code = answer.json()["Code"].clone();
        assert_eq!((answer.status, code), (400, json!("Micro.Service.MetaData.NotFound")));
        assert_eq!(delete("AppId=a&ServiceName=s&ServiceVersion=1.0.0").status, 200);
        server.kill();
        let server = database.start(dir.path(), &[]);
        unknown(&server, "AppId=a", "a");
        // Its database goes when nobody is connected to it.
        drop(server);
    }
}

#[test]
fn the_id_may_stand_in_the_query_and_the_answer_has_no_data() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let answer = server.post(&format!("{POSTED}?AppId=q&NamespaceId=n"), br#"{"ServiceName":"s"}"#);
    let mut whole = answer.json();
    (whole["RequestId"], whole["TraceId"]) = (json!("REQUEST"), json!("TRACE"));
    let done = json!({ "RequestId": "REQUEST", "Message": "success", "TraceId": "TRACE", "Code": "200",
        "Success": true });
    assert_eq!((answer.status, whole), (200, done));
    unknown(&server, "AppId=q", "q");
    let told = described(&server, "AppId=q&NamespaceId=n");
    assert_eq!(told, json!({ "ServiceName": "s", "Metadata": {}, "Methods": [], "Sources": ["posted"] }));
}

#[test]
fn conditions_choose_among_posted_details_and_what_is_not_known_meets_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for detail in [
        json!({ "AppId": "a", "ServiceName": "echo", "Group": "g1", "ServiceType": "dubbo", "Version": "1.0.0" }),
        json!({ "AppId": "a", "ServiceName": "echo", "Group": "g2", "ServiceType": "springCloud", "Version": "1.0.0" }),
        json!({ "AppId": "b", "ServiceName": "plain" }),
    ] {
        post(&server, &detail);
    }
    for (query, group) in [
        ("AppId=a&ServiceGroup=g1", "g1"),
        ("AppId=a&ServiceType=dubbo", "g1"),
        ("AppId=a&ServiceType=springCloud", "g2"),
        ("AppId=a&ServiceGroup=springCloud", "g2"),
        ("AppId=a&ServiceName=ECHO&ServiceGroup=G2&ServiceVersion=1.0.0", "g2"),
    ] {
        assert_eq!(described(&server, query)["Group"], group, "{query}");
    }
    unknown(&server, "AppId=a&ServiceGroup=g1&ServiceType=springCloud", "a");
    unknown(&server, "AppId=a&ServiceVersion=2", "a");
    unknown(&server, "AppId=a&ServiceName=plain", "plain");
    let told = described(&server, "AppId=b&ServiceType=dubbo&ServiceGroup=g&ServiceVersion=7");
    assert_eq!(told["ServiceName"], "plain");
}

#[test]
fn a_posted_detail_is_joined_with_the_registered_service_of_its_name_where_that_is_in_one_application() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    register(&server, &cart());
    post(&server, &json!({ "AppId": "6dcc8c9e", "ServiceName": "cart" }));
    let told = described(&server, "AppId=6dcc8c9e");
    assert_eq!((&told["Sources"], &told["Version"]), (&json!(["registry", "posted"]), &json!("1.2.0")));
    register(&server, &json!({ "appId": "market", "serviceName": "cart", "version": "7.0.0" }));
    let told = described(&server, "AppId=6dcc8c9e");
    assert_eq!((&told["Sources"], &told["Version"]), (&json!(["posted"]), &Value::Null));
}

#[test]
fn a_body_that_cannot_be_taken_is_told_where() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let methods = json!({ "AppId": "a", "ServiceName": "s", "Methods": vec![json!({}); 1_001] }).to_string();
    let deep = format!(
        "{{\"AppId\":\"a\",\"ServiceName\":\"s\",\"Metadata\":{{\"m\":{}{}}}}}",
        "[".repeat(500),
        "]".repeat(500)
    );
    let large = format!("{{\"AppId\":\"a\",\"ServiceName\":\"{}\"}}", "s".repeat(1 << 20));
    let invalid = "InvalidParameter.Obviously";
    for (body, status, code, what) in [
        ("", 400, invalid, "{body}"),
        ("[", 400, invalid, "{body}"),
        ("[]", 400, invalid, "{body}"),
        (r#"{"AppId":7}"#, 400, invalid, "{body}"),
        (r#"{"ServiceName":"s"}"#, 400, "MissingAppId", "mandatory"),
        (r#"{"AppId":"a"}"#, 400, invalid, "{ServiceName}"),
        (r#"{"AppId":"a","ServiceName":"s","ServiceType":"x"}"#, 400, invalid, "{ServiceType}"),
        (r#"{"AppId":"a","ServiceName":"s","ServicePorts":[70000]}"#, 400, invalid, "{body}"),
        (&methods, 400, invalid, "{Methods}"),
        (&deep, 400, invalid, "{body}"),
        (&large, 413, "RequestEntityTooLarge", "too large"),
    ] {
        let answer = server.post(POSTED, body.as_bytes());
        let whole = answer.json();
        let start: String = body.chars().take(60).collect();
        assert_eq!((answer.status, whole["Code"].as_str().unwrap()), (status, code), "{start}");
        assert!(whole["Message"].as_str().unwrap().contains(what), "{start}: {whole}");
    }
    let answer = server.connect().send("POST", POSTED, &[("content-type", "application/x-protobuf")], b"{}");
    assert_eq!((answer.status, answer.json()["Code"].clone()), (415, json!("UnsupportedContentType")));
    unknown(&server, "AppId=a", "a");
}
