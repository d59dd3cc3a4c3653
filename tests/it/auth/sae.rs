//! SAE's API behind its guard, by both of Alibaba's schemes.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

const PATH: &str = "/pop/v1/sam/service/listAppServices";
const DETAIL: &str = "/pop/v1/sam/service/appServiceDetail";

/// A request; each part may be changed before or after it is signed.
#[derive(Clone)]
struct Sae {
    method: &'static str,
    path: &'static str,
    /// In its one spelling already.
    query: String,
    id: String,
    secret: String,
    date: i64,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Sae {
    fn get(query: &str) -> Sae {
        Sae {
            method: "GET",
            path: PATH,
            query: query.to_owned(),
            id: ID.to_owned(),
            secret: SECRET.to_owned(),
            date: now(),
            headers: vec![
                ("x-acs-action".to_owned(), "ListAppServices".to_owned()),
                ("accept".to_owned(), "application/json".to_owned()),
            ],
            body: Vec::new(),
        }
    }

    fn post(body: &[u8]) -> Sae {
        Sae { method: "POST", path: DETAIL, body: body.to_vec(), ..Sae::get("") }
    }

    fn with(mut self, name: &str, value: &str) -> Sae {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn format(&self, format: &str) -> String {
        DateTime::from_timestamp(self.date, 0).unwrap().format(format).to_string()
    }

    /// ACS3-HMAC-SHA256.
    fn acs3(self) -> Sae {
        let date = self.format("%Y-%m-%dT%H:%M:%SZ");
        let hash = sha256(&self.body);
        let nonce = "a nonce that is not kept";
        let mut signed =
            self.with("x-acs-date", &date).with("x-acs-content-sha256", &hash).with("x-acs-signature-nonce", nonce);
        signed.headers.sort();
        let names: Vec<&str> = signed.headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let headers: String = signed.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let Sae { method, path, query, .. } = &signed;
        let canonical = format!("{method}\n{path}\n{query}\n{headers}\n{names}\n{hash}");
        let text = format!("ACS3-HMAC-SHA256\n{}", sha256(canonical.as_bytes()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, signed.secret.as_bytes());
        let signature = hex(hmac::sign(&key, text.as_bytes()).as_ref());
        let authorization =
            format!("ACS3-HMAC-SHA256 Credential={},SignedHeaders={names},Signature={signature}", signed.id);
        signed.with("authorization", &authorization)
    }

    /// ROA, by HMAC-SHA1; a query that needs no encoding.
    fn roa(self) -> Sae {
        let date = self.format("%a, %d %b %Y %H:%M:%S GMT");
        let signed = self.with("date", &date).with("x-acs-signature-method", "HMAC-SHA1");
        let header = |name: &str| signed.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
        let mut own: Vec<_> = signed.headers.iter().filter(|(name, _)| name.starts_with("x-acs-")).collect();
        own.sort();
        let own: String = own.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let Sae { method, path, query, .. } = &signed;
        let (accept, md5) = (header("accept"), header("content-md5"));
        let text = format!("{method}\n{accept}\n{md5}\n\n{date}\n{own}{path}?{query}");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, signed.secret.as_bytes());
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        let authorization = format!("acs {}:{signature}", signed.id);
        signed.with("authorization", &authorization)
    }

    fn send(&self, client: &mut Client) -> Answer {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.send(self.method, &format!("{}?{}", self.path, self.query), &headers, &self.body)
    }
}

#[test]
fn both_schemes_and_a_token_of_the_settings_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let query = "PageNumber=1&PageSize=10&ServiceType=";
    for (what, request) in [
        ("acs3", Sae::get(query).acs3()),
        ("roa", Sae::get("PageNumber=1&PageSize=10").roa()),
        ("roa with a parameter that has no value", Sae::get(query).roa()),
        ("roa without a body, said so", Sae::get(query).with("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==").roa()),
        ("a token", Sae::get(query).with("x-auth-token", TOKEN)),
        ("an early date", Sae { date: now() - 890, ..Sae::get(query) }.acs3()),
    ] {
        let answer = request.send(&mut client);
        assert_eq!((answer.status, &answer.json()["Success"]), (200, &json!(true)), "{what}: {}", answer.text());
    }
}

#[test]
fn a_body_is_signed_by_its_digest_and_reaches_the_handler() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let body = br#"{"ServiceName":"n","AppId":"a","ServiceType":"springCloud","Group":"g","Version":"1"}"#;
    let posted = Sae::post(body).acs3().send(&mut client);
    assert_eq!((posted.status, &posted.json()["Success"]), (200, &json!(true)), "{}", posted.text());
    let query = "AppId=a&ServiceGroup=g&ServiceName=n&ServiceType=springCloud&ServiceVersion=1";
    let path = "/pop/v1/sam/service/describeAppServiceDetail";
    let told = Sae { path, ..Sae::get(query) }.acs3().send(&mut client);
    assert_eq!(told.json()["Data"]["ServiceName"], "n", "{}", told.text());
    let altered = Sae { body: b"{}".to_vec(), ..Sae::post(body).acs3() }.send(&mut client);
    assert_eq!((altered.status, &altered.json()["Code"]), (403, &json!("SignatureDoesNotMatch")));
    let recommended = altered.json()["Recommend"].as_str().unwrap().to_owned();
    assert_eq!(
        recommended,
        "header x-acs-content-sha256: the body that came is not the one that was signed: send it unchanged"
    );
    // The older scheme signs no body but by its MD5.
    let older = Sae::post(body).roa().send(&mut client);
    assert_eq!((older.status, &older.json()["Code"]), (403, &json!("SignatureDoesNotMatch")));
}

#[test]
fn whoever_else_comes_is_refused_in_the_gateways_form() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let wrong = "Specified signature is not matched with our calculation.";
    let incomplete = "The request signature does not conform to Aliyun standards.";
    let get = || Sae::get("PageNumber=1");
    let altered = |request: Sae| Sae { query: "PageNumber=2".into(), ..request };
    for (what, request, status, code, message, recommended) in [
        ("nothing", get(), 403, "MissingAccessKeyId", "AccessKeyId is mandatory for this action.", "this server takes"),
        (
            "unknown id",
            Sae { id: "NOBODY".into(), ..get() }.acs3(),
            404,
            "InvalidAccessKeyId.NotFound",
            "Specified access key is not found.",
            "header Authorization: \"NOBODY\" is none",
        ),
        (
            "wrong secret",
            Sae { secret: "x".into(), ..get() }.acs3(),
            403,
            "SignatureDoesNotMatch",
            wrong,
            "header Authorization: sign with the secret of auth.credentials, over what is sent. The server computed \
             the signature over:\nGET\n/pop/v1/sam/service/listAppServices\nPageNumber=1\naccept:application/json\n",
        ),
        (
            "wrong secret, older scheme",
            Sae { secret: "x".into(), ..get() }.roa(),
            403,
            "SignatureDoesNotMatch",
            wrong,
            "header Authorization: sign with the secret of auth.credentials, over what is sent. The server computed \
             the signature over:\nGET\napplication/json\n\n\n",
        ),
        ("altered", altered(get().acs3()), 403, "SignatureDoesNotMatch", wrong, "header Authorization: sign with"),
        (
            "altered, older scheme",
            altered(get().roa()),
            403,
            "SignatureDoesNotMatch",
            wrong,
            "header Authorization: sign with",
        ),
        (
            "altered action",
            get().acs3().with("x-acs-action", "Other"),
            403,
            "SignatureDoesNotMatch",
            wrong,
            "header Authorization: sign with",
        ),
        (
            "stale",
            Sae { date: now() - 2_000, ..get() }.acs3(),
            403,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
            "header x-acs-date: 200",
        ),
        (
            "stale, older scheme",
            Sae { date: now() - 2_000, ..get() }.roa(),
            403,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.",
            "header Date: 200",
        ),
        (
            "half a signature",
            get().with("authorization", "ACS3-HMAC-SHA256 Credential=x"),
            403,
            "IncompleteSignature",
            incomplete,
            "header Authorization: expected ACS3-HMAC-SHA256 Credential=ID,SignedHeaders=a;b,Signature=HEX",
        ),
        (
            "Huawei's scheme",
            get().with("authorization", "SDK-HMAC-SHA256 Access=x"),
            403,
            "IncompleteSignature",
            incomplete,
            "header Authorization: the scheme \"SDK-HMAC-SHA256\" is not taken here: send a token",
        ),
        (
            "wrong token",
            get().with("x-auth-token", "another-token"),
            403,
            "InvalidSecurityToken",
            "Specified SecurityToken is invalid.",
            "header X-Auth-Token: send one of those in the setting auth.tokens",
        ),
    ] {
        let answer = request.send(&mut client);
        assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/json")), "{what}");
        let body = answer.json();
        assert_eq!((body["Code"].as_str(), body["Message"].as_str()), (Some(code), Some(message)), "{what}");
        assert_eq!((body["HostId"].as_str(), body["RequestId"].as_str().unwrap().len()), (Some("test"), 36));
        assert!(body["Recommend"].as_str().unwrap().starts_with(recommended), "{what}: {body}");
    }
}

#[test]
fn a_refusal_is_xml_where_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    for (request, kind) in [
        (Sae::get("").with("accept", "text/xml"), "text/xml;charset=utf-8"),
        (Sae::get("").with("accept", "application/xml"), "application/xml"),
        (Sae::get("Format=XML"), "text/xml;charset=utf-8"),
    ] {
        let answer = request.with("authorization", "<&>").send(&mut client);
        assert_eq!((answer.status, answer.header("content-type")), (403, Some(kind)));
        let text = answer.text();
        assert!(text.contains("<Code>IncompleteSignature</Code><Message>The request signature"), "{text}");
        assert!(text.contains("the scheme \"&lt;&amp;&gt;\" is not taken here"), "{text}");
    }
}
