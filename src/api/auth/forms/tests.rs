//! Refusals to the byte.

use super::*;
use axum::body::to_bytes;
use axum::http::Request;

fn head(target: &str, accept: &str) -> Parts {
    let request = Request::builder().uri(target).header("host", "sae.example").header("accept", accept);
    request.body(()).unwrap().into_parts().0
}

/// Status, what is asked for, content type, body.
async fn refused(guard: Guard, head: &Parts, fault: Fault) -> (u16, String, String, String) {
    let remedy = fault.remedy(guard.schemes());
    let response = refuse(guard, head, fault, remedy);
    let header =
        |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let (status, asked, kind) = (response.status().as_u16(), header("www-authenticate"), header("content-type"));
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, asked, kind, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn the_registry_has_a_code_for_each_reason() {
    for (fault, code, message, detail) in [
        (Fault::Missing, "401204", "No authorization header", "this server takes nobody unknown: send Authorization: "),
        (Fault::Token, "401201", "Request unauthorized", "header X-Auth-Token: send one of those in the setting "),
        (Fault::Bearer("this is x"), "401201", "Request unauthorized", "header Authorization: this is x: get a token "),
        (Fault::Signature("GET".to_owned()), "401201", "Request unauthorized", "header Authorization: sign with the "),
        (Fault::Expired, "401205", "Token is expired", "header Authorization: get a new token at /v4/token"),
        (
            Fault::Deleted("peter".to_owned()),
            "401206",
            "The account that owns the token is deleted",
            "account [peter] is deleted",
        ),
        (Fault::OldPassword, "401207", "Password is wrong", "header Authorization: the password was changed after "),
    ] {
        let (status, asked, kind, body) = refused(Guard::Registry, &head("/", "*/*"), fault.clone()).await;
        assert_eq!((status, asked.as_str(), kind.as_str()), (401, "Bearer", "application/json"), "{fault:?}");
        let start = format!(r#"{{"errorCode":"{code}","errorMessage":"{message}","detail":"{detail}"#);
        assert!(body.starts_with(&start), "{body}");
        assert_eq!(refused(Guard::Accounts, &head("/", "*/*"), fault.clone()).await.0, 401);
    }
}

#[tokio::test]
async fn kie_spells_its_fields_in_every_way_that_clients_read() {
    let (status, asked, kind, body) = refused(Guard::Kie, &head("/", "*/*"), Fault::Expired).await;
    assert_eq!((status, asked.as_str(), kind.as_str()), (401, "Bearer", "application/json"));
    let expected = serde_json::json!({
        "errorCode": "401205", "errorMessage": "Token is expired", "error_code": "401205",
        "error_message": "Token is expired", "error_msg": "Token is expired",
        "detail": "header Authorization: get a new token at /v4/token",
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn files_of_configuration_items_are_refused_in_the_clouds_form() {
    let (status, asked, kind, body) = refused(Guard::KieFile, &head("/", "*/*"), Fault::Token).await;
    assert_eq!((status, asked.as_str(), kind.as_str()), (401, "SDK-HMAC-SHA256", "application/json"));
    let expected = serde_json::json!({
        "error_code": "SVCSTG.00300401", "error_msg": "Invalid token",
        "detail": "header X-Auth-Token: send one of those in the setting auth.tokens",
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
}

#[tokio::test]
async fn sae_has_the_gateways_codes() {
    let read = |body: &str| serde_json::from_str::<serde_json::Value>(body).unwrap();
    for (fault, status, code, message) in [
        (Fault::Missing, 403, "MissingAccessKeyId", "AccessKeyId is mandatory for this action."),
        (Fault::UnknownId("x".to_owned()), 404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
        (
            Fault::Signature("GET".to_owned()),
            403,
            "SignatureDoesNotMatch",
            "Specified signature is not matched with our calculation.",
        ),
        (
            Fault::Body("Content-MD5"),
            403,
            "SignatureDoesNotMatch",
            "Specified signature is not matched with our calculation.",
        ),
        (
            Fault::Skewed("Date", 1_000),
            403,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
        ),
        (
            Fault::Scheme("Basic".to_owned()),
            403,
            "IncompleteSignature",
            "The request signature does not conform to Aliyun standards.",
        ),
        (Fault::Token, 403, "InvalidSecurityToken", "Specified SecurityToken is invalid."),
        (
            Fault::Unreadable(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1KiB\nx: y")),
            413,
            "InvalidParameter",
            "the body is larger than 1KiB",
        ),
    ] {
        let (answered, _, kind, body) = refused(Guard::Sae, &head("/", "application/json"), fault.clone()).await;
        assert_eq!((answered, kind.as_str()), (status, "application/json"), "{fault:?}");
        let body = read(&body);
        assert_eq!((body["Code"].as_str(), body["Message"].as_str()), (Some(code), Some(message)));
        assert_eq!(body["HostId"], "sae.example");
        assert_eq!(body["Recommend"], fault.remedy(Guard::Sae.schemes()));
        assert_eq!(body.as_object().unwrap().len(), 5);
    }
}

#[tokio::test]
async fn sae_refuses_in_xml_where_that_is_asked_for() {
    let fault = || Fault::Scheme("<&\u{1}>".to_owned());
    let (status, _, kind, body) = refused(Guard::Sae, &head("/", "text/xml"), fault()).await;
    assert_eq!((status, kind.as_str()), (403, "text/xml;charset=utf-8"));
    let (_, after) = body.split_once("<RequestId>").unwrap();
    let (id, after) = after.split_once("</RequestId>").unwrap();
    assert!(
        regex::Regex::new("^[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$")
            .unwrap()
            .is_match(id),
        "{id}"
    );
    assert!(
        after.starts_with(
            "<HostId>sae.example</HostId><Code>IncompleteSignature</Code><Message>The request signature does not \
             conform to Aliyun standards.</Message><Recommend>header Authorization: the scheme &quot;&lt;&amp;\\u{1}"
        ),
        "{after}"
    );
    assert!(after.ends_with("</Recommend></Error>"), "{after}");
}

#[test]
fn the_parameter_format_wins_over_the_accepted_types_of_which_the_first_counts() {
    for (target, accept, expected) in [
        ("/", "*/*", None),
        ("/", "application/json", None),
        ("/", "application/xml", Some("application/xml")),
        ("/", "text/xml;q=0.9, application/json", Some("text/xml;charset=utf-8")),
        ("/", "application/json, text/xml", None),
        ("/", "image/png, application/xml", Some("application/xml")),
        ("/?Format=XML", "application/json", Some("text/xml;charset=utf-8")),
        ("/?a=b&Format=json", "application/xml", None),
        ("/?format=XML", "*/*", None),
    ] {
        let head = head(target, accept);
        assert_eq!(xml_type(head.uri.query().unwrap_or_default(), &head.headers), expected, "{target} {accept}");
    }
}

#[tokio::test]
async fn ats_has_its_envelope_and_the_gateways_words() {
    let invalid = "Incorrect IAM authentication information: ";
    for (fault, message) in [
        (Fault::Missing, "Invalid token".to_owned()),
        (Fault::Token, "Invalid token".to_owned()),
        (Fault::UnknownId("x".to_owned()), format!("{invalid}Get secretKey failed")),
        (Fault::Skewed("X-Sdk-Date", 1), format!("{invalid}calc ak sk signature fail:signature expired")),
        (Fault::Signature(String::new()), format!("{invalid}verify aksk signature fail")),
        (Fault::Body("X-Sdk-Content-Sha256"), format!("{invalid}verify aksk signature fail")),
    ] {
        let (status, asked, kind, body) = refused(Guard::Ats, &head("/", "*/*"), fault.clone()).await;
        assert_eq!((status, asked.as_str(), kind.as_str()), (401, "SDK-HMAC-SHA256", "application/json"), "{fault:?}");
        let expected = serde_json::json!({
            "errorCode": "SVCSTG.ATS.401101",
            "errorMessage": format!("{message}\n{}", fault.remedy(Guard::Ats.schemes())),
            "responseInfo": null,
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), expected);
    }
}
