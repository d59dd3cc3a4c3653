//! Signed parameters, by keys and signatures of the product's documents and by others computed apart from this code.

use super::super::keys::Keys;
use super::super::nonces::Nonces;
use super::*;
use crate::clock::ManualClock;
use crate::config::{AuthConfig, Credential, Secret};
use axum::http::{HeaderMap, Request};
use std::sync::Arc;
use std::time::Duration;

const ID: &str = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA";
const SECRET: &str = "Gu5t9xGARNpq86cd98joQYCN3Cozk1qA";
const HOST: &str = "cvm.api.qcloud.com";
/// When the documents' example was signed, in seconds since 1970 UTC.
const AT: i64 = 1_465_185_768;
const EXAMPLE: &str = "Action=DescribeInstances&SecretId=AKIDz8krbsJ5yKBZQpn74WFkmLPx3gnPhESA&Timestamp=1465185768&\
                       Nonce=11886&Region=gz&offset=0&limit=20&instanceIds.0=ins-09dx96dg";
const OF_EXAMPLE: &str = "NSI3UqqD99b/UJb4tbG/xZpRW64=";

fn auth() -> (Auth, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(AT * 1_000_000));
    let config = AuthConfig {
        credentials: vec![Credential { id: ID.to_owned(), secret: Secret::new(SECRET) }],
        ..AuthConfig::default()
    };
    let (keys, nonces) = (Keys::new(&config).unwrap(), Nonces::new(1));
    (Auth { keys, clock_skew: Duration::from_secs(900), clock: clock.clone(), nonces, rbac: None }, clock)
}

fn parameters(method: &Method, sent: &str) -> Parameters {
    let (query, form) = if method == Method::POST { ("", sent) } else { (sent, "") };
    Parameters::read(method, query, &HeaderMap::new(), form.as_bytes()).unwrap()
}

/// Who this is, or the first line of the refusal.
fn outcome(auth: &Auth, method: &Method, hosts: &[&str], sent: &str) -> String {
    match check(auth, method, hosts, &parameters(method, sent)) {
        Ok(id) => id.to_owned(),
        Err(rejection) => rejection.message().lines().next().unwrap().to_owned(),
    }
}

const WRONG: &str = "(10030) authentication failed";
const PLAYBACK: &str = "Playback attack";

#[test]
fn the_documents_example_and_others_computed_elsewhere_are_signed_rightly() {
    let sha256 = format!("{EXAMPLE}&SignatureMethod=HmacSHA256");
    let named = format!("{EXAMPLE}&SignatureMethod=HmacSHA1");
    let own = format!(
        "serviceName=x%3Dy%26z&namespace=&clusterId=a+b%2Bc%2F%E5%8C%97%E4%BA%AC&Timestamp={AT}&SecretId={ID}&Nonce=7&\
         Action=DescribeServiceEvent"
    );
    for (what, method, host, sent, signature) in [
        ("the documents' example", Method::GET, HOST, EXAMPLE, OF_EXAMPLE),
        ("the example as a form", Method::POST, HOST, EXAMPLE, "dzT+D/khj+EpX3/XekVxUbpMtqs="),
        ("by SHA-256", Method::GET, HOST, &sha256, "PSWUwVv4TfW2sQP1FT9KbbLjIZ9bmK8f1cL6fbpf3KI="),
        ("by SHA-256 as a form", Method::POST, HOST, &sha256, "GczSSa3H5imvBC5is1U94m8NoRwE1CJyxf+Dhsk9EuY="),
        ("values that are encoded", Method::GET, "127.0.0.1:9411", &own, "4qxrSn/1VI7zjO81QvkOBdqTcik="),
        ("values of a form", Method::POST, "127.0.0.1:9411", &own, "j9NmicVBENt6mDJ2dB8vZY8bFu8="),
    ] {
        let encoded = signature.replace('+', "%2B").replace('=', "%3D");
        let (auth, _) = auth();
        let signed = format!("{sent}&Signature={encoded}");
        assert_eq!(outcome(&auth, &method, &[host], &signed), ID, "{what}");
        let other = if method == Method::POST { Method::GET } else { Method::POST };
        assert_eq!(outcome(&auth, &other, &[host], &signed), WRONG, "{what}");
        assert_eq!(outcome(&auth, &method, &["another.example"], &signed), WRONG, "{what}");
        // A plus that is not encoded comes as a space.
        let (auth, _) = self::auth();
        assert_eq!(outcome(&auth, &method, &["another.example", host], &format!("{sent}&Signature={signature}")), ID);
    }
    // The method that is taken where none is named is no part of what is signed.
    let (auth, _) = auth();
    assert_eq!(outcome(&auth, &Method::GET, &[HOST], &format!("{named}&Signature={OF_EXAMPLE}")), WRONG);
}

#[test]
fn whatever_is_altered_is_no_longer_signed() {
    let (auth, _) = auth();
    for altered in [
        EXAMPLE.replace("limit=20", "limit=21"),
        EXAMPLE.replace("Nonce=11886", "Nonce=11887"),
        EXAMPLE.replace("1465185768", "1465185769"),
        EXAMPLE.replace("&Region=gz", ""),
        format!("{EXAMPLE}&more=1"),
        format!("{EXAMPLE}&SignatureMethod=HmacSHA256"),
    ] {
        let sent = format!("{altered}&Signature={OF_EXAMPLE}");
        assert_eq!(outcome(&auth, &Method::GET, &[HOST], &sent), WRONG, "{altered}");
    }
    for signature in ["x", "", "====", "TlNJM1VxcUQ5OWI=", "NSI3UqqD99b/UJb4tbG/xZpRW65="] {
        let expected = if signature.is_empty() { "(10010) lacked of required parameters" } else { WRONG };
        let sent = format!("{EXAMPLE}&Signature={signature}");
        assert_eq!(outcome(&auth, &Method::GET, &[HOST], &sent), expected, "{signature}");
    }
    // None of these used up the nonce.
    assert_eq!(outcome(&auth, &Method::GET, &[HOST], &format!("{EXAMPLE}&Signature={OF_EXAMPLE}")), ID);
}

#[test]
fn the_refusal_says_what_the_server_computed_the_signature_over() {
    let (auth, _) = auth();
    let all = parameters(&Method::GET, &format!("{EXAMPLE}&Signature=eA=="));
    let told = check(&auth, &Method::GET, &["here:1", "ccs.api.qcloud.com"], &all).unwrap_err();
    assert_eq!(
        told.message(),
        format!(
            "(10030) authentication failed\nparameter Signature: sign with the secret of auth.credentials, over what is \
             sent, in base 64. The server computed the signature over (or ccs.api.qcloud.com for the host):\n\
             GEThere:1/v2/index.php?Action=DescribeInstances&Nonce=11886&Region=gz&SecretId={ID}&Timestamp=1465185768&\
             instanceIds.0=ins-09dx96dg&limit=20&offset=0"
        )
    );
}

#[test]
fn what_a_signed_request_needs_is_named() {
    let (auth, _) = auth();
    let all = format!("SecretId={ID}&Timestamp={AT}&Nonce=1&Signature=eA%3D%3D");
    let missing = "(10010) lacked of required parameters\nparameter";
    for (sent, expected) in [
        (
            all.replace("SecretId", "secretId"),
            format!("{missing} SecretId: send the id of a key of the setting auth.credentials"),
        ),
        (
            all.replace("Signature=eA%3D%3D", "Signature="),
            format!("{missing} Signature: send the signature of the other parameters, in base 64"),
        ),
        (
            all.replace("Timestamp", "timestamp"),
            format!("{missing} Timestamp: send the time in seconds since 1970 UTC"),
        ),
        (
            all.replace("Nonce=1", "Nonce="),
            format!("{missing} Nonce: send a number that no other request of the time has"),
        ),
        (
            all.replace("Nonce=1", "Nonce=-1"),
            "(10360) parameter error type\nparameter Nonce: send a whole number".to_owned(),
        ),
        (
            all.replace(&AT.to_string(), "today"),
            "(10360) parameter error type\nparameter Timestamp: send a whole number".to_owned(),
        ),
        (
            format!("{all}&SignatureMethod=HmacMD5"),
            "(10350) parameter value or length is out of range\nparameter SignatureMethod: send HmacSHA1 or HmacSHA256"
                .to_owned(),
        ),
        (
            all.replace(ID, "AKIDnobody"),
            "(10270) secret id is not existed\nparameter SecretId: \"AKIDnobody\" is none of the ids in the setting \
             auth.credentials"
                .to_owned(),
        ),
    ] {
        let told = check(&auth, &Method::GET, &[HOST], &parameters(&Method::GET, &sent)).unwrap_err();
        assert_eq!(told.message(), expected, "{sent}");
    }
}

#[test]
fn a_request_may_be_two_hours_off_in_either_direction() {
    const HOUR: i64 = 3_600;
    let sent = format!("{EXAMPLE}&Signature=NSI3UqqD99b%2FUJb4tbG%2FxZpRW64%3D");
    for (now, expected) in
        [(AT - 2 * HOUR, ID), (AT + 2 * HOUR, ID), (AT - 2 * HOUR - 1, PLAYBACK), (AT + 2 * HOUR + 1, PLAYBACK)]
    {
        let (auth, clock) = auth();
        clock.set(now * 1_000_000);
        assert_eq!(outcome(&auth, &Method::GET, &[HOST], &sent), expected, "{}", now - AT);
    }
    let (auth, clock) = auth();
    clock.set((AT - 7_201) * 1_000_000);
    let told = check(&auth, &Method::GET, &[HOST], &parameters(&Method::GET, &sent)).unwrap_err();
    assert_eq!(
        told.message(),
        "Playback attack\nparameter Timestamp: 7201 seconds ahead of the server's clock, and 7200 may be: send the time \
         in seconds since 1970 UTC"
    );
    for time in [i64::MIN, i64::MAX] {
        let sent = EXAMPLE.replace(&AT.to_string(), &time.to_string());
        assert_eq!(outcome(&auth, &Method::GET, &[HOST], &format!("{sent}&Signature=eA%3D%3D")), PLAYBACK);
    }
}

#[test]
fn a_request_is_taken_once() {
    let (auth, clock) = auth();
    let sent = format!("{EXAMPLE}&Signature=NSI3UqqD99b%2FUJb4tbG%2FxZpRW64%3D");
    let all = parameters(&Method::GET, &sent);
    let ask = || check(&auth, &Method::GET, &[HOST], &all).map_err(|refused| refused.message().to_owned());
    let again = "Playback attack\nparameter Nonce: a request with this SecretId, Timestamp and Nonce came before: send \
                 another number";
    assert_eq!(ask(), Ok(ID));
    assert_eq!(ask(), Err(again.to_owned()));
    // As long as its time is taken at all.
    clock.advance(7_200 * 1_000_000);
    assert_eq!(ask(), Err(again.to_owned()));
}

#[test]
fn the_host_is_the_headers_or_the_addresss_and_others_are_named_once() {
    let others = ["ccs.api.qcloud.com".to_owned(), "here:1".to_owned()];
    let head = |request: axum::http::request::Builder| request.body(()).unwrap().into_parts().0;
    let by_header = head(Request::get("/v2/index.php").header("host", "here:1"));
    assert_eq!(hosts(&by_header, &others), ["here:1", "ccs.api.qcloud.com"]);
    let by_address = head(Request::get("http://there:2/v2/index.php"));
    assert_eq!(hosts(&by_address, &others), ["there:2", "ccs.api.qcloud.com", "here:1"]);
    let none = head(Request::get("/v2/index.php"));
    assert_eq!(hosts(&none, &[]), Vec::<&str>::new());
}
