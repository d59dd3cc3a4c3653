//! The ATS API behind its guard.

use super::*;
use serde_json::json;

const SPANS: &str = "/v1/0/ats/spans";
const BODY: &[u8] = br#"[{"traceId":"1","id":"1","name":"a"}]"#;
const BAD_SIGNATURE: &str = "Incorrect IAM authentication information: verify aksk signature fail";

/// The refusal's first line and the beginning of its second.
fn assert_refused(answer: &Answer, what: &str, peer: &str, place: &str) {
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.header("www-authenticate"), Some("SDK-HMAC-SHA256"), "{what}");
    let body = answer.json();
    let message = body["errorMessage"].as_str().unwrap();
    assert_eq!(body, json!({ "errorCode": "SVCSTG.ATS.401101", "errorMessage": message, "responseInfo": null }));
    let (first, rest) = message.split_once('\n').unwrap();
    assert_eq!(first, peer, "{what}");
    assert!(rest.starts_with(place), "{what}: {rest}");
}

/// How many spans of the trace there are.
fn stored(client: &mut Client) -> usize {
    let answer = client.send("GET", &format!("{SPANS}?traceId=1"), &[("x-auth-token", TOKEN)], b"");
    answer.json()["responseInfo"].as_array().map_or(0, Vec::len)
}

#[test]
fn without_keys_tokens_and_accounts_everybody_is_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.post(SPANS, BODY).status, 202);
    let odd = [("x-auth-token", "whatever"), ("authorization", "nonsense")];
    assert_eq!(server.connect().send("GET", &format!("{SPANS}?traceId=1"), &odd, b"").status, 200);
}

#[test]
fn any_one_of_the_settings_closes_the_api() {
    for args in [["--auth-tokens", TOKEN], ["--auth-credentials", "a:b"], ["--auth-root-password", PASSWORD]] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), &args);
        for (method, path) in [
            ("POST", SPANS),
            ("GET", "/v1/0/ats/spans?traceId=1"),
            ("GET", "/v1/0/ats/traces"),
            ("GET", "/v1/0/ats/applications"),
            ("GET", "/v1/0/ats/applications/a/instances"),
            ("GET", "/v1/0/ats/applications/a/transactions"),
            ("GET", "/v1/0/atps/monitorgroups"),
            // A path's own faults are nobody's business who is not known.
            ("GET", "/v1/%ff/ats/spans"),
        ] {
            let answer = server.connect().send(method, path, &[], b"");
            let place = "this server takes nobody unknown: send a token of auth.tokens in X-Auth-Token, or sign";
            assert_refused(&answer, &format!("{args:?} {method} {path}"), "Invalid token", place);
        }
        // These are open.
        assert_eq!(server.get("/health").status, 200);
        assert_eq!(server.post("/api/v2/spans", b"[]").status, 202);
    }
}

#[test]
fn a_token_of_the_settings_is_let_in_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    assert_eq!(client.send("POST", SPANS, &[("X-Auth-Token", TOKEN)], BODY).status, 202);
    assert_eq!(stored(&mut client), 1);
    for wrong in ["another-token", "a-token-of-the-setting", "A-TOKEN-OF-THE-SETTINGS", ""] {
        let answer = client.send("POST", SPANS, &[("X-Auth-Token", wrong)], BODY);
        let place = "header X-Auth-Token: send one of those in the setting auth.tokens";
        assert_refused(&answer, wrong, "Invalid token", place);
    }
    assert_eq!(stored(&mut client), 1);
}

#[test]
fn what_is_signed_with_the_key_is_let_in_with_its_body_however_that_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let get = Request::new("GET", SPANS, "traceId=1", b"");
    for (what, request) in [
        ("a digest of the body", Request::new("POST", SPANS, "", BODY)),
        ("a declared digest", Request::new("POST", SPANS, "", BODY).declares(&sha256(BODY))),
        ("an unsigned body", Request::new("POST", SPANS, "", BODY).declares("UNSIGNED-PAYLOAD")),
        ("no body", Request::new("POST", SPANS, "", b"[]").with("clusterid", "c")),
    ] {
        let answer = request.sign().send(&mut client);
        assert_eq!((answer.status, answer.text()), (202, ""), "{what}");
    }
    for (what, request) in [
        ("a query", get.clone()),
        ("headers", get.clone().with("clusterid", "default").with("namespace", "manage")),
        ("a declared digest of nothing", get.clone().declares(&sha256(b""))),
        ("an early date", Request { date: now() - 890, ..get.clone() }),
        ("a late date", Request { date: now() + 890, ..get.clone() }),
        ("a body that is not there and not signed", get.clone().declares("UNSIGNED-PAYLOAD")),
    ] {
        let answer = request.sign().send(&mut client);
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        assert_eq!(answer.json()["responseInfo"].as_array().unwrap().len(), 1, "{what}");
    }
    // Some sign a body that is not there as empty, whatever the head declares.
    let empty = Request { payload: Some(sha256(b"")), ..get.with("x-sdk-content-sha256", "UNSIGNED-PAYLOAD") };
    assert_eq!(empty.sign().send(&mut client).status, 200);
}

#[test]
fn whatever_is_altered_or_wrong_is_told_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let post = || Request::new("POST", SPANS, "", BODY);
    let get = || Request::new("GET", SPANS, "traceId=1", b"");
    let other = b"[]".to_vec();
    let sign = "header Authorization: sign with the secret of auth.credentials, over what is sent. The server computed";
    let hash = "header X-Sdk-Content-Sha256: the body that came is not the one that was signed: send it unchanged";
    let unknown = "Incorrect IAM authentication information: Get secretKey failed";
    let skewed = "Incorrect IAM authentication information: calc ak sk signature fail:signature expired";
    for (what, request, peer, place) in [
        ("wrong secret", Request { secret: "x".into(), ..post() }.sign(), BAD_SIGNATURE, sign),
        ("another key's secret", Request { secret: "other".into(), ..post() }.sign(), BAD_SIGNATURE, sign),
        ("altered body", Request { body: other.clone(), ..post().sign() }, BAD_SIGNATURE, sign),
        ("dropped body", Request { body: vec![], ..post().sign() }, BAD_SIGNATURE, sign),
        (
            "altered body of a declared digest",
            Request { body: other.clone(), ..post().declares(&sha256(BODY)).sign() },
            BAD_SIGNATURE,
            hash,
        ),
        ("a digest declared afterwards", post().sign().declares(&sha256(BODY)), "", ""),
        ("an unsigned body afterwards", post().sign().declares("UNSIGNED-PAYLOAD"), BAD_SIGNATURE, sign),
        ("altered query", Request { query: "traceId=2".into(), ..get().sign() }, BAD_SIGNATURE, sign),
        ("longer query", Request { query: "traceId=1&a=b".into(), ..get().sign() }, BAD_SIGNATURE, sign),
        ("altered path", Request { path: "/v1/1/ats/spans".into(), ..get().sign() }, BAD_SIGNATURE, sign),
        ("altered method", Request { method: "HEAD", ..get().sign() }, "", ""),
        (
            "stale date",
            Request { date: now() - 1_000, ..get() }.sign(),
            skewed,
            "header X-Sdk-Date: 1000 seconds behind the server's clock: set the clock, or raise auth.clock_skew",
        ),
        ("date to come", Request { date: now() + 1_000, ..get() }.sign(), skewed, "header X-Sdk-Date: "),
        (
            "unknown id",
            Request { id: "NOBODY".into(), ..get() }.sign(),
            unknown,
            "header Authorization: \"NOBODY\" is none of the ids in the setting auth.credentials",
        ),
        (
            "no date",
            {
                let mut request = get().sign();
                request.headers.retain(|(name, _)| name != "x-sdk-date");
                request
            },
            BAD_SIGNATURE,
            "header X-Sdk-Date: expected a date such as 20260131T235959Z, once",
        ),
        (
            "another scheme",
            get().with("authorization", "Basic dXNlcjpwYXNz"),
            "Invalid token",
            "header Authorization: the scheme \"Basic\" is not taken here: send a token",
        ),
        (
            "an account's token",
            get().with("authorization", "Bearer abc"),
            "Invalid token",
            "header Authorization: the scheme \"Bearer\" is not taken here: send a token",
        ),
        (
            "half a signature",
            get().with("authorization", "SDK-HMAC-SHA256 Access=x"),
            BAD_SIGNATURE,
            "header Authorization: expected SDK-HMAC-SHA256 Access=ID, SignedHeaders=a;b, Signature=HEX",
        ),
    ] {
        let answer = request.send(&mut client);
        match (what, peer) {
            // The header is not signed, and says what is so.
            ("a digest declared afterwards", _) => assert_eq!(answer.status, 202),
            (_, "") => assert_eq!((answer.status, answer.body.len()), (401, 0), "{what}"),
            // A clock may tick while a request is on its way.
            ("stale date", _) if answer.text().contains("1001 seconds") => {}
            _ => assert_refused(&answer, what, peer, place),
        }
    }
    // The connection was usable all the time, and one of all these was let in.
    assert_eq!(stored(&mut client), 1);
}

#[test]
fn the_limits_on_bodies_hold_behind_the_guard_and_a_body_of_the_limit_passes() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = format!("{ID}:{SECRET}");
    // One request takes all that there is.
    let args = [
        "--auth-credentials",
        &credentials,
        "--ingest-max-body-bytes",
        "64KiB",
        "--ingest-max-inflight-bytes",
        "64KiB",
    ];
    let server = Server::start_with(dir.path(), &args);
    let mut body = BODY.to_vec();
    body.resize(64 << 10, b' ');
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(Request::new("POST", SPANS, "", &body).sign().send(&mut client).status, 202);
    }
    body.push(b' ');
    let answer = Request::new("POST", SPANS, "", &body).sign().send(&mut client);
    assert_eq!((answer.status, &answer.json()["errorCode"]), (413, &json!("SVCSTG.ATS.413101")));
    // Who is not known is told that, and not how large a body may be.
    let answer = Request { id: "NOBODY".into(), ..Request::new("POST", SPANS, "", &body) }.sign().send(&mut client);
    assert_eq!(answer.status, 401);
    assert_eq!(Request::new("POST", SPANS, "", BODY).sign().send(&mut client).status, 202);
}

#[test]
fn a_compressed_body_is_signed_as_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, BODY).unwrap();
    let request = Request::new("POST", SPANS, "", &gzip.finish().unwrap()).with("content-encoding", "gzip");
    assert_eq!(request.sign().send(&mut client).status, 202);
    assert_eq!(stored(&mut client), 1);
}

#[test]
fn secrets_in_the_environment_are_let_in_and_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let shown = crate::support::server::spanlake(&["config"], dir.path())
        .env("SPANLAKE_AUTH_CREDENTIALS", "id:hunter2")
        .env("SPANLAKE_AUTH_TOKENS", "hunter2-hunter2")
        .env("SC_INIT_ROOT_PASSWORD", "Hunter2-hunter2")
        .output()
        .unwrap();
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && !text.to_lowercase().contains("hunter2"), "{text}");
    assert_eq!(text.matches("\"********\"").count(), 3, "{text}");
    assert!(text.contains("# SC_INIT_ROOT_PASSWORD"), "{text}");
}
