//! Logins and accounts over a real database, with a clock that stands still.

use super::super::Scheme;
use super::*;
use crate::clock::ManualClock;
use crate::registry::RegistryConfig;
use std::path::Path;

const SECOND: i64 = 1_000_000;
const PASSWORD: &str = "P4$$word";

fn here() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

/// Accounts in a folder.
async fn open(folder: &Path, root_password: &str) -> (Rbac, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_700_000_000 * SECOND));
    let registry = Registry::open(RegistryConfig::new(folder), clock.clone(), 1).await.unwrap();
    (Rbac::open(&Secret::new(root_password), registry, clock.clone()).await.unwrap(), clock)
}

async fn close(rbac: Rbac) {
    rbac.registry.close().await;
}

async fn login(rbac: &Rbac, name: &str, password: &str) -> Result<String, u32> {
    rbac.login(name, password, None, here()).await.map_err(|failure| failure.code)
}

fn caller(name: &str, role: &str) -> Caller {
    Caller { name: name.to_owned(), scheme: Scheme::Bearer, roles: vec![role.to_owned()] }
}

async fn create(rbac: &Rbac, name: &str, role: &str) -> Result<(), u32> {
    let new = NewAccount {
        name: name.to_owned(),
        password: PASSWORD.to_owned(),
        roles: vec![role.to_owned()],
        status: String::new(),
    };
    rbac.create(new).await.map_err(|failure| failure.code)
}

/// What the token is worth, in a word.
fn bearer(rbac: &Rbac, token: &str) -> String {
    match rbac.bearer(token) {
        Ok(account) => account.name.clone(),
        Err(fault) => format!("{fault:?}"),
    }
}

#[tokio::test]
async fn root_and_its_tokens_outlive_a_restart_and_another_first_password_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (rbac, _) = open(folder.path(), PASSWORD).await;
    let token = login(&rbac, "root", PASSWORD).await.unwrap();
    assert_eq!(rbac.bearer(&token).unwrap().roles, ["admin"]);
    close(rbac).await;

    let (rbac, _) = open(folder.path(), "0ther-Word").await;
    assert_eq!(bearer(&rbac, &token), "root");
    assert_eq!(login(&rbac, "root", "0ther-Word").await, Err(401_202));
    assert!(login(&rbac, "root", PASSWORD).await.is_ok());
    close(rbac).await;
}

#[tokio::test]
async fn a_token_lasts_as_long_as_was_asked_and_twelve_hours_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let (rbac, clock) = open(folder.path(), PASSWORD).await;
    let begin = clock.now_micros();
    for (term, seconds) in [(None, 43_200), (Some(""), 43_200), (Some("15m"), 900), (Some("1h30m"), 5_400)] {
        clock.set(begin);
        let token = rbac.login("root", PASSWORD, term, here()).await.unwrap();
        clock.set(begin + seconds * SECOND - 1);
        assert_eq!(bearer(&rbac, &token), "root", "{term:?}");
        clock.set(begin + seconds * SECOND);
        assert_eq!(bearer(&rbac, &token), "Expired", "{term:?}");
    }
    for term in ["14m59s", "24h1s", "1d", "-1h", "x", "h", "1", "1h 1m", "999999999999999999999h"] {
        let refused = rbac.login("root", PASSWORD, Some(term), here()).await.unwrap_err();
        let detail = "tokenExpirationTime: send a duration from 15m to 24h, such as 1h30m";
        assert_eq!((refused.code, refused.detail.as_str()), (400_001, detail), "{term}");
    }
    close(rbac).await;
}

#[tokio::test]
async fn the_third_wrong_password_bans_even_the_right_one_for_a_quarter_of_an_hour() {
    let folder = tempfile::tempdir().unwrap();
    let (rbac, clock) = open(folder.path(), PASSWORD).await;
    for _ in 0..3 {
        assert_eq!(login(&rbac, "root", "wrong").await, Err(401_202));
    }
    let banned = rbac.login("root", PASSWORD, None, here()).await.unwrap_err();
    assert_eq!((banned.code, banned.detail.as_str()), (403_201, "more than 2 logins failed: try again in 900 seconds"));
    // Neither another name nor another place.
    assert_eq!(login(&rbac, "peter", PASSWORD).await, Err(401_202));
    assert!(rbac.login("root", PASSWORD, None, IpAddr::from([10, 0, 0, 2])).await.is_ok());
    clock.advance(900 * SECOND);
    assert!(login(&rbac, "root", PASSWORD).await.is_ok());
    close(rbac).await;
}

#[tokio::test]
async fn a_token_ends_with_its_account_with_its_password_and_while_the_account_is_inactive() {
    let folder = tempfile::tempdir().unwrap();
    let (rbac, _) = open(folder.path(), PASSWORD).await;
    let root = caller("root", ADMIN);
    create(&rbac, "peter", "developer").await.unwrap();
    let first = login(&rbac, "peter", PASSWORD).await.unwrap();

    rbac.update(&root, "peter", vec![], "inactive".to_owned()).await.unwrap();
    assert_eq!(bearer(&rbac, &first), "Bearer(\"the account is inactive\")");
    assert_eq!(login(&rbac, "peter", PASSWORD).await, Err(401_202));
    rbac.update(&root, "peter", vec!["admin".to_owned()], "active".to_owned()).await.unwrap();
    assert_eq!(rbac.bearer(&first).unwrap().roles, ["admin"]);

    rbac.change_password(&root, "peter", "", "0ther-Word".to_owned(), here()).await.unwrap();
    assert_eq!(bearer(&rbac, &first), "OldPassword");
    let second = login(&rbac, "peter", "0ther-Word").await.unwrap();
    rbac.delete(&root, "peter").await.unwrap();
    assert_eq!(bearer(&rbac, &second), "Deleted(\"peter\")");
    // Another account of the name is another account.
    create(&rbac, "peter", "developer").await.unwrap();
    assert_eq!(bearer(&rbac, &second), "OldPassword");
    close(rbac).await;
}

#[tokio::test]
async fn what_nobody_may_do_to_an_account_has_a_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (rbac, _) = open(folder.path(), PASSWORD).await;
    let (root, admin) = (caller("root", ADMIN), caller("anna", ADMIN));
    create(&rbac, "anna", "admin").await.unwrap();
    let code = |outcome: Result<(), Failure>| outcome.unwrap_err().code;
    assert_eq!(create(&rbac, "anna", "admin").await, Err(409_200));
    assert_eq!(create(&rbac, "peter", "chief").await, Err(400_202));
    for name in ["", "-a", "a-", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(create(&rbac, name, "admin").await, Err(400_001), "{name:?}");
    }
    assert_eq!(code(rbac.delete(&admin, "root").await), 403_202);
    assert_eq!(code(rbac.delete(&root, "root").await), 403_202);
    assert_eq!(code(rbac.delete(&admin, "anna").await), 403_204);
    assert_eq!(code(rbac.delete(&admin, "nobody").await), 400_200);
    assert_eq!(code(rbac.update(&admin, "root", vec![], "inactive".to_owned()).await), 403_202);
    assert_eq!(code(rbac.update(&root, "anna", vec![], String::new()).await), 400_001);
    assert_eq!(code(rbac.update(&root, "anna", vec![], "asleep".to_owned()).await), 400_001);
    assert_eq!(code(rbac.update(&root, "nobody", vec!["admin".to_owned()], String::new()).await), 400_200);
    let six = vec!["admin".to_owned(); 6];
    assert_eq!(code(rbac.update(&root, "anna", six, String::new()).await), 400_001);
    assert_eq!(rbac.one("nobody").unwrap_err().code, 400_200);
    assert_eq!(rbac.all().iter().map(|account| account.name.clone()).collect::<Vec<_>>(), ["anna", "root"]);
    close(rbac).await;
}

#[tokio::test]
async fn ones_own_password_takes_the_current_one_and_anothers_the_role_admin() {
    let folder = tempfile::tempdir().unwrap();
    let (rbac, _) = open(folder.path(), PASSWORD).await;
    create(&rbac, "peter", "developer").await.unwrap();
    let (root, peter) = (caller("root", ADMIN), caller("peter", DEVELOPER));
    let change = async |caller: &Caller, name: &str, current: &str, new: &str| {
        rbac.change_password(caller, name, current, new.to_owned(), here()).await.map_err(|failure| failure.code)
    };
    assert_eq!(change(&peter, "root", PASSWORD, "0ther-Word").await, Err(403_001));
    assert_eq!(change(&peter, "peter", "", "0ther-Word").await, Err(400_001));
    assert_eq!(change(&peter, "peter", PASSWORD, PASSWORD).await, Err(400_206));
    assert_eq!(change(&peter, "peter", "wrong", "0ther-Word").await, Err(401_207));
    assert_eq!(change(&peter, "peter", PASSWORD, "short").await, Err(400_001));
    assert_eq!(change(&root, "nobody", "", "0ther-Word").await, Err(400_200));
    assert_eq!(change(&peter, "peter", PASSWORD, "0ther-Word").await, Ok(()));
    assert_eq!(login(&rbac, "peter", PASSWORD).await, Err(401_202));
    assert!(login(&rbac, "peter", "0ther-Word").await.is_ok());
    assert_eq!(change(&root, "peter", "", "Third-W0rd").await, Ok(()));
    assert!(login(&rbac, "peter", "Third-W0rd").await.is_ok());
    close(rbac).await;
}

#[test]
fn a_password_is_not_the_accounts_name_in_either_direction() {
    assert_eq!(check_new_password("P4$$word", "P4$$word").unwrap_err().code, 400_001);
    assert_eq!(check_new_password("drow$$4P", "P4$$word").unwrap_err().code, 400_001);
    assert_eq!(check_new_password("peter", "P4$$word"), Ok(()));
}

#[test]
fn durations_are_read_as_go_writes_them() {
    for (text, seconds) in [
        ("12h", Some(43_200)),
        ("1h30m", Some(5_400)),
        ("1.5h", Some(5_400)),
        ("900s", Some(900)),
        ("900000ms", Some(900)),
        ("+15m0.5s", Some(901)),
        ("900000000µs", Some(900)),
        ("", None),
        ("h", None),
        ("12", None),
        (".", None),
        ("1.2.3h", None),
        ("1d", None),
        ("-1h", None),
        ("1h ", None),
    ] {
        assert_eq!(go_duration(text), seconds, "{text:?}");
    }
}
