//! Refusals to the byte.

use super::*;
use axum::body::to_bytes;

/// Status, what is asked for, content type, body.
async fn refused(
    guard: Guard,
    form: fn(Fault, String) -> Response,
    fault: Fault,
) -> (u16, String, String, serde_json::Value) {
    let remedy = fault.remedy(guard.schemes());
    let response = form(fault, remedy);
    let header =
        |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let (status, asked, kind) = (response.status().as_u16(), header("www-authenticate"), header("content-type"));
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, asked, kind, serde_json::from_slice(&body).unwrap())
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
        let (status, asked, kind, body) = refused(Guard::Registry, of_registry, fault.clone()).await;
        assert_eq!((status, asked.as_str(), kind.as_str()), (401, "Bearer", "application/json"), "{fault:?}");
        assert_eq!((body["errorCode"].as_str(), body["errorMessage"].as_str()), (Some(code), Some(message)));
        assert!(body["detail"].as_str().unwrap().starts_with(detail), "{body}");
        assert_eq!(body.as_object().unwrap().len(), 3);
    }
}

#[tokio::test]
async fn kie_spells_its_fields_in_every_way_that_clients_read() {
    let (status, asked, kind, body) = refused(Guard::Kie, of_kie, Fault::Expired).await;
    assert_eq!((status, asked.as_str(), kind.as_str()), (401, "Bearer", "application/json"));
    let expected = serde_json::json!({
        "errorCode": "401205", "errorMessage": "Token is expired", "error_code": "401205",
        "error_message": "Token is expired", "error_msg": "Token is expired",
        "detail": "header Authorization: get a new token at /v4/token",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn files_of_configuration_items_are_refused_in_the_clouds_form() {
    let (status, asked, kind, body) = refused(Guard::KieFile, of_kie_file, Fault::Token).await;
    assert_eq!((status, asked.as_str(), kind.as_str()), (401, "SDK-HMAC-SHA256", "application/json"));
    let expected = serde_json::json!({
        "error_code": "SVCSTG.00300401", "error_msg": "Invalid token",
        "detail": "header X-Auth-Token: send one of those in the setting auth.tokens",
    });
    assert_eq!(body, expected);
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
        let (status, asked, kind, body) = refused(Guard::Ats, of_ats, fault.clone()).await;
        assert_eq!((status, asked.as_str(), kind.as_str()), (401, "SDK-HMAC-SHA256", "application/json"), "{fault:?}");
        let expected = serde_json::json!({
            "errorCode": "SVCSTG.ATS.401101",
            "errorMessage": format!("{message}\n{}", fault.remedy(Guard::Ats.schemes())),
            "responseInfo": null,
        });
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told_so_in_each_form() {
    let fault = || Fault::Unreadable(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1KiB\nx: y"));
    let whole = "the body is larger than 1KiB\nx: y";
    let (status, asked, _, body) = refused(Guard::Ats, of_ats, fault()).await;
    assert_eq!((status, asked.as_str()), (413, ""));
    assert_eq!((&body["errorCode"], &body["errorMessage"]), (&"SVCSTG.ATS.413101".into(), &whole.into()));
    let (status, _, _, body) = refused(Guard::Registry, of_registry, fault()).await;
    assert_eq!((status, &body["errorCode"], &body["detail"]), (413, &"400001".into(), &whole.into()));
    let (status, _, _, body) = refused(Guard::Kie, of_kie, fault()).await;
    assert_eq!((status, &body["error_code"], &body["detail"]), (413, &"400001".into(), &whole.into()));
    let (status, _, _, body) = refused(Guard::KieFile, of_kie_file, fault()).await;
    let message = "the body is larger than 1KiB";
    assert_eq!((status, &body["error_msg"], &body["detail"]), (413, &message.into(), &"x: y".into()));
}
