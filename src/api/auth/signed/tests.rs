//! What stock clients sign holds, and nothing else does.

use super::super::fixture::Signed;
use super::*;
use proptest::prelude::*;

/// What is wrong with a claim, if it cannot be read.
fn read_fault(signed: &Signed) -> Option<Fault> {
    let head = signed.head();
    Claim::read(&head, signed.header("authorization").unwrap()).unwrap().err()
}

/// Whether a secret signed the request with this body.
fn holds(signed: &Signed, secret: &str, body: &str) -> bool {
    let head = signed.head();
    let claim = Claim::read(&head, signed.header("authorization").unwrap()).unwrap().unwrap();
    assert_eq!(claim.id, signed.id);
    let payload = match &claim.covered {
        Covered::Declared(_, digest) => digest.clone(),
        Covered::Nothing => UNSIGNED.to_owned(),
        Covered::Whole | Covered::Empty(_) => body_digest(body.as_bytes()),
    };
    claim.is_signed_with(secret, &payload)
}

#[test]
fn what_every_stock_client_signs_holds_with_its_secret_and_with_no_other() {
    let all = Signed::all();
    assert_eq!(all.len(), 14);
    for signed in all {
        assert!(holds(&signed, &signed.secret, &signed.body), "{}", signed.what);
        for wrong in ["", "n0t", &format!("{} ", signed.secret), &signed.secret.to_uppercase()] {
            assert!(!holds(&signed, wrong, &signed.body), "{} {wrong}", signed.what);
        }
    }
}

#[test]
fn the_published_example_of_huaweis_scheme_holds() {
    let signed = Signed {
        what: String::new(),
        id: "AK".to_owned(),
        secret: "SK".to_owned(),
        method: "GET".to_owned(),
        target: "/v1/0/ats/spans?traceId=0000000027046b00".to_owned(),
        headers: [
            ("host", "127.0.0.1:18091"),
            ("x-sdk-date", "20261122T081503Z"),
            (
                "authorization",
                "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, \
                 Signature=7a5b5a4fefd8772e263c82afd430a7771b009a415486ac291cc2afa364e4f8fc",
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        body: String::new(),
    };
    assert!(holds(&signed, "SK", ""));
}

#[test]
fn nothing_that_is_signed_can_be_altered() {
    for signed in Signed::all() {
        let altered = |altered: Signed| !holds(&altered, &signed.secret, &signed.body);
        assert!(altered(Signed { method: "PUT".to_owned(), ..signed.clone() }), "{}", signed.what);
        let (path, query) = signed.target.split_once('?').unwrap_or((&signed.target, ""));
        for target in [
            format!("{path}/x?{query}"),
            format!("{path}?{query}&a=a"),
            format!("{path}?{query}").replace('?', "?x=&"),
            path.replacen('/', "//", 1),
        ] {
            assert!(altered(Signed { target: target.clone(), ..signed.clone() }), "{} {target}", signed.what);
        }
        let names: Vec<String> = match signed.header("authorization").unwrap().split_once("SignedHeaders=") {
            Some((_, rest)) => rest.split(',').next().unwrap().split(';').map(str::to_owned).collect(),
            None => signed.headers.iter().map(|(name, _)| name.clone()).filter(|n| n.starts_with("x-acs-")).collect(),
        };
        assert!(names.len() > 1);
        // Dates and digests must be such to be read at all.
        for name in names.iter().filter(|name| !name.ends_with("-date") && !name.ends_with("sha256")) {
            assert!(altered(signed.clone().with(name, Some("other"))), "{} {name}", signed.what);
        }
    }
}

#[test]
fn a_date_and_a_digest_are_signed_too() {
    for signed in Signed::all() {
        for (name, value) in [
            ("x-sdk-date", "20261122T081503Z"),
            ("x-acs-date", "2026-11-22T08:15:03Z"),
            ("date", "Sun, 22 Nov 2026 08:15:03 GMT"),
            ("x-acs-content-sha256", &"0".repeat(64)),
            ("x-sdk-content-sha256", &"0".repeat(64)),
        ] {
            if signed.header(name).is_some() {
                let altered = signed.clone().with(name, Some(value));
                assert!(!holds(&altered, &signed.secret, &signed.body), "{} {name}", signed.what);
            }
        }
    }
}

#[test]
fn another_body_is_not_the_one_that_huaweis_scheme_signed() {
    let whole: Vec<Signed> =
        Signed::by(SDK).into_iter().filter(|signed| signed.header("x-sdk-content-sha256").is_none()).collect();
    assert_eq!(whole.len(), 6);
    for signed in whole {
        assert!(!holds(&signed, &signed.secret, &format!("{} ", signed.body)), "{}", signed.what);
    }
}

#[test]
fn a_claim_tells_its_date_and_what_it_says_of_the_body() {
    let claim = |signed: &Signed| {
        let head = signed.head();
        let claim = Claim::read(&head, signed.header("authorization").unwrap()).unwrap().unwrap();
        (claim.signed_at, claim.covered)
    };
    let huawei = Signed::by(SDK)[0].clone();
    let millis = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
    let at = millis("2026-01-31T23:59:59Z");
    let (date, covered) = claim(&huawei.clone().with("x-sdk-date", Some("20260131T235959Z")));
    assert_eq!((date, covered), (("X-Sdk-Date", at), Covered::Whole));
    let digest = "AB".repeat(32);
    let (_, covered) = claim(&huawei.clone().with("x-sdk-content-sha256", Some(&digest)));
    assert_eq!(covered, Covered::Declared("X-Sdk-Content-Sha256", digest.clone()));
    let (_, covered) = claim(&huawei.with("x-sdk-content-sha256", Some("UNSIGNED-PAYLOAD")));
    assert_eq!(covered, Covered::Nothing);
    let acs3 = Signed::by(ACS3)[0].clone().with("x-acs-date", Some("2026-01-31T23:59:59Z"));
    let (date, covered) = claim(&acs3.with("x-acs-content-sha256", Some(&digest)));
    assert_eq!((date, covered), (("x-acs-date", at), Covered::Declared("x-acs-content-sha256", digest)));
    let roa = Signed::by(ROA)[0].clone().with("date", Some("Sat, 31 Jan 2026 23:59:59 GMT"));
    assert_eq!(claim(&roa), (("Date", at), Covered::Empty("Content-MD5")));
}

#[test]
fn a_head_that_cannot_be_read_is_told_which_header_and_what_to_send() {
    let (sdk, acs3, roa) = (&Signed::by(SDK)[0], &Signed::by(ACS3)[0], &Signed::by(ROA)[0]);
    let signature = "0".repeat(64);
    let digest = "the body's SHA-256 in 64 hex digits, once";
    for (signed, name, value, place, expected) in [
        (sdk, "x-sdk-date", None, "X-Sdk-Date", "a date such as 20260131T235959Z, once"),
        (sdk, "x-sdk-date", Some("yesterday"), "X-Sdk-Date", "a date such as 20260131T235959Z"),
        (sdk, "x-sdk-date", Some("20261322T081503Z"), "X-Sdk-Date", "a date such as 20260131T235959Z"),
        (sdk, "x-sdk-date", Some("2026-11-22T08:15:03Z"), "X-Sdk-Date", "a date such as 20260131T235959Z"),
        (sdk, "x-sdk-content-sha256", Some("x"), "X-Sdk-Content-Sha256", digest),
        (sdk, "host", None, "Authorization", "signed headers that are sent, and \"host\" is not"),
        (acs3, "x-acs-date", Some("20260131T235959Z"), "x-acs-date", "a date such as 2026-01-31T23:59:59Z"),
        (acs3, "x-acs-content-sha256", Some("UNSIGNED-PAYLOAD"), "x-acs-content-sha256", digest),
        (acs3, "x-acs-content-sha256", None, "x-acs-content-sha256", digest),
        (roa, "date", None, "Date", "a date such as Sat, 31 Jan 2026 23:59:59 GMT, once"),
        (roa, "date", Some("2026-01-31"), "Date", "a date such as Sat, 31 Jan 2026 23:59:59 GMT"),
        (roa, "content-md5", Some("x"), "Content-MD5", "no body; sign one by ACS3-HMAC-SHA256"),
        (
            sdk,
            "authorization",
            Some(&format!("SDK-HMAC-SHA256 Access=A, SignedHeaders=host;host, Signature={signature}")),
            "Authorization",
            "signed headers in lower case and alphabetical order, each once",
        ),
        (
            sdk,
            "authorization",
            Some(&format!("SDK-HMAC-SHA256 Access=A, SignedHeaders=HOST;host, Signature={signature}")),
            "Authorization",
            "signed headers in lower case and alphabetical order, each once",
        ),
        (
            acs3,
            "authorization",
            Some(&format!("ACS3-HMAC-SHA256 Credential=A,SignedHeaders=host,Signature={signature}")),
            "Authorization",
            "x-acs-date among the signed headers",
        ),
    ] {
        match read_fault(&signed.clone().with(name, value)) {
            Some(Fault::Malformed(header, said)) => {
                assert_eq!((header, said.as_str()), (place, expected), "{name} {value:?}");
            }
            other => panic!("{name} {value:?}: {other:?}"),
        }
    }
}

#[test]
fn no_authorization_makes_it_panic_and_none_that_is_cut_short_is_read() {
    let (sdk, acs3, roa) = (&Signed::by(SDK)[0], &Signed::by(ACS3)[0], &Signed::by(ROA)[0]);
    for signed in [sdk, acs3, roa] {
        let whole = signed.header("authorization").unwrap();
        for end in 0..whole.len() {
            let cut = signed.clone().with("authorization", Some(&whole[..end]));
            let head = cut.head();
            if let Some(Ok(claim)) = Claim::read(&head, &whole[..end]) {
                assert!(!claim.is_signed_with(&signed.secret, &body_digest(b"")), "{end} of {whole}");
            }
        }
        for rest in ["", ",", "=", ",=,", "Access=,SignedHeaders=;,Signature=", ":", "a:", ":!", "Signature=é", ";;;"]
        {
            let text = format!("{} {rest}", signed.scheme());
            let head = signed.head();
            match Claim::read(&head, &text) {
                None => assert_eq!(rest, ""),
                Some(Err(fault)) => assert!(matches!(fault, Fault::Malformed("Authorization", _)), "{text} {fault:?}"),
                // Nothing is a signature in base 64, if nobody's.
                Some(Ok(claim)) => assert!(!claim.is_signed_with("", &body_digest(b"")), "{text}"),
            }
        }
    }
    assert!(Claim::read(&sdk.head(), "Basic abc").is_none());
    assert!(Claim::read(&sdk.head(), "").is_none());
}

#[test]
fn a_header_that_is_sent_twice_is_signed_with_commas() {
    let mut signed = Signed::by(SDK)[3].clone();
    assert!(signed.header("clusterid").is_some());
    signed.headers.push(("clusterid".to_owned(), "other".to_owned()));
    assert!(!holds(&signed, &signed.secret, ""));
    let head = signed.head();
    let claim = Claim::read(&head, signed.header("authorization").unwrap()).unwrap().unwrap();
    assert!(claim.over("").contains("\nclusterid:default,other\n"));
}

proptest! {
    #[test]
    fn no_head_makes_it_panic_or_holds_by_chance(
        scheme in prop::sample::select(vec![SDK, ACS3, ROA]),
        rest in "([A-Za-z]{0,12}=?[ -~]{0,20},? ?){0,5}",
        names in "([a-z-]{0,12};?){0,4}",
        date in "[0-9TZ:, A-Za-z+-]{0,40}",
        target in "/[!-~&&[^#\"<>\\\\^`{|}]]{0,40}",
    ) {
        let mut signed = Signed::all()[0].clone();
        let hex = "0".repeat(64);
        let authorizations = [
            format!("{scheme} {rest}"),
            format!("{scheme} Access=a,Credential=a,SignedHeaders={names},Signature={hex}"),
            format!("{scheme} a:AAAA"),
        ];
        signed.target = target;
        for name in ["x-sdk-date", "x-acs-date", "date"] {
            signed = signed.with(name, Some(&date));
        }
        signed = signed.with("x-acs-content-sha256", Some(&hex));
        let head = signed.head();
        for authorization in authorizations {
            if let Some(Ok(claim)) = Claim::read(&head, &authorization) {
                prop_assert!(!claim.is_signed_with("secret", &hex), "{}", authorization);
            }
        }
    }
}
