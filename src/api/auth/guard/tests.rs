//! Who a head says it is, before each dialect.

use super::super::fixture::Signed;
use super::super::keys::Keys;
use super::super::nonces::Nonces;
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::config::{AuthConfig, Credential, Secret};
use std::sync::Arc;
use std::time::Duration;

const ALL: [Guard; 7] =
    [Guard::Ats, Guard::Registry, Guard::Kie, Guard::KieFile, Guard::Sae, Guard::Ccs, Guard::Accounts];

/// Lets in what signs with the fixture's keys, and one token, at the time of a claim.
fn auth(signed: &Signed) -> (Auth, Arc<ManualClock>) {
    let head = signed.head();
    let claim = Claim::read(&head, signed.header("authorization").unwrap()).unwrap().unwrap();
    let clock = Arc::new(ManualClock::new(claim.signed_at.1));
    let config = AuthConfig {
        credentials: vec![Credential { id: signed.id.clone(), secret: Secret::new(signed.secret.clone()) }],
        tokens: vec![Secret::new("a-token-of-the-settings")],
        ..AuthConfig::default()
    };
    let keys = Keys::new(&config).unwrap();
    let nonces = Nonces::new(1);
    (Auth { keys, clock_skew: Duration::from_secs(900), clock: clock.clone(), nonces, rbac: None }, clock)
}

/// What became of a head, in a word.
fn outcome(auth: &Auth, guard: Guard, signed: &Signed) -> String {
    match present(auth, guard, &signed.head()) {
        Ok(Presented::Caller(caller)) => caller.name,
        Ok(Presented::Claim(claim, secret)) => {
            assert_eq!(secret, signed.secret);
            format!("{} signs", claim.id)
        }
        Err(fault) => format!("{fault:?}").split(['(', ' ']).next().unwrap().to_owned(),
    }
}

#[test]
fn each_dialect_takes_the_schemes_that_are_its_own() {
    let schemes = [signed::SDK, signed::ACS3, signed::ROA];
    for (guard, takes) in [
        (Guard::Ats, [true, false, false]),
        (Guard::Registry, [true, false, false]),
        (Guard::Kie, [true, false, false]),
        (Guard::KieFile, [true, false, false]),
        (Guard::Sae, [false, true, true]),
        (Guard::Ccs, [false, false, false]),
        (Guard::Accounts, [false, false, false]),
    ] {
        for (scheme, takes) in schemes.iter().zip(takes) {
            for signed in Signed::by(scheme) {
                let expected = if takes { format!("{} signs", signed.id) } else { "Scheme".to_owned() };
                assert_eq!(outcome(&auth(&signed).0, guard, &signed), expected, "{guard:?} {}", signed.what);
            }
        }
    }
}

#[test]
fn a_token_is_taken_by_all_but_what_sees_to_accounts() {
    let signed = &Signed::all()[0];
    let (auth, _) = auth(signed);
    let bare = signed.clone().with("authorization", None);
    for guard in ALL {
        let with = |token: &str| outcome(&auth, guard, &bare.clone().with("x-auth-token", Some(token)));
        let accounts = guard == Guard::Accounts;
        assert_eq!(outcome(&auth, guard, &bare), "Missing");
        assert_eq!(with("a-token-of-the-settings"), if accounts { "Missing" } else { "token 1" });
        for wrong in ["a-token-of-the-setting", "A-token-of-the-settings", "", "\u{e9}"] {
            assert_eq!(with(wrong), if accounts { "Missing" } else { "Token" }, "{guard:?} {wrong:?}");
        }
    }
}

#[test]
fn one_valid_credential_of_two_is_enough() {
    let signed = &Signed::by(signed::SDK)[0];
    let (auth, _) = auth(signed);
    let good = signed.clone().with("x-auth-token", Some("a-token-of-the-settings"));
    assert_eq!(outcome(&auth, Guard::Ats, &good.clone().with("authorization", Some("nonsense"))), "token 1");
    let bad = signed.clone().with("x-auth-token", Some("another-token"));
    assert_eq!(outcome(&auth, Guard::Ats, &bad), format!("{} signs", signed.id));
    assert_eq!(outcome(&auth, Guard::Ats, &bad.with("authorization", Some("nonsense"))), "Scheme");
}

#[test]
fn a_date_may_be_a_quarter_of_an_hour_off_in_either_direction() {
    const SECOND: i64 = 1_000_000;
    for scheme in [signed::SDK, signed::ACS3, signed::ROA] {
        let signed = &Signed::by(scheme)[0];
        let guard = if scheme == signed::SDK { Guard::Ats } else { Guard::Sae };
        let (auth, clock) = auth(signed);
        let at = clock.now_micros();
        for (now, expected) in [
            (at - 900 * SECOND, format!("{} signs", signed.id)),
            (at + 900 * SECOND, format!("{} signs", signed.id)),
            (at - 900 * SECOND - 1, "Skewed".to_owned()),
            (at + 900 * SECOND + 1, "Skewed".to_owned()),
            (i64::MIN, "Skewed".to_owned()),
            (i64::MAX, "Skewed".to_owned()),
        ] {
            clock.set(now);
            assert_eq!(outcome(&auth, guard, signed), expected, "{scheme} {}", now.saturating_sub(at));
        }
    }
}

#[test]
fn an_id_that_nobody_has_is_told_so() {
    for scheme in [signed::SDK, signed::ACS3, signed::ROA] {
        let signed = &Signed::by(scheme)[0];
        let guard = if scheme == signed::SDK { Guard::Registry } else { Guard::Sae };
        let other = signed.header("authorization").unwrap().replace(&signed.id, "NOBODY");
        let (auth, _) = auth(signed);
        assert_eq!(outcome(&auth, guard, &signed.clone().with("authorization", Some(&other))), "UnknownId");
    }
}

#[test]
fn an_authorization_that_is_sent_twice_or_is_no_text_is_refused() {
    let signed = &Signed::all()[0];
    let (auth, _) = auth(signed);
    let mut twice = signed.clone();
    twice.headers.push(("authorization".to_owned(), "Bearer x".to_owned()));
    assert_eq!(outcome(&auth, Guard::Registry, &twice), "Malformed");
    assert_eq!(outcome(&auth, Guard::Registry, &signed.clone().with("authorization", Some("é"))), "Malformed");
    for (text, expected) in [("", "Scheme"), ("Bearer", "Bearer"), ("bearer x", "Bearer"), ("Basic eA==", "Scheme")] {
        assert_eq!(
            outcome(&auth, Guard::Registry, &signed.clone().with("authorization", Some(text))),
            expected,
            "{text}"
        );
    }
}
