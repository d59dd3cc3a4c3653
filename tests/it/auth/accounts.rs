//! Accounts and their tokens.

use super::*;
use serde_json::json;
use std::sync::Barrier;

/// `{"errorCode":..,"errorMessage":..,"detail":..}`, compact, with the status that the code begins with.
fn assert_denied(answer: &Answer, code: &str, message: &str, detail: &str) {
    assert_eq!(answer.status.to_string(), code[..3], "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let start = format!(r#"{{"errorCode":"{code}","errorMessage":"{message}","detail":"{detail}"#);
    assert!(answer.text().starts_with(&start), "{}\n{start}", answer.text());
}

fn log_in_with(client: &mut Client, body: &Value) -> Answer {
    client.send("POST", "/v4/token", &[], body.to_string().as_bytes())
}

#[test]
fn without_a_password_for_root_all_of_it_is_not_found() {
    for args in [&[][..], &["--auth-tokens", TOKEN][..]] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), args);
        let mut client = server.connect();
        let body = json!({ "name": "root", "password": PASSWORD });
        let answer = log_in_with(&mut client, &body);
        assert_eq!((answer.status, answer.first_line()), (404, "404 page not found"), "{args:?}");
    }
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    for path in ["/v4/accounts", "/v4/accounts/root", "/v4/roles", "/v4/roles/admin", "/v4/self-perms"] {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.first_line()), (404, "404 page not found"), "{path}");
    }
}

#[test]
fn a_login_gives_a_token_that_says_whose_it_is_and_for_how_long() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    for (term, seconds) in [(None, 43_200), (Some("15m"), 900), (Some("24h"), 86_400)] {
        let mut body = json!({ "name": "root", "password": PASSWORD });
        if let Some(term) = term {
            body["tokenExpirationTime"] = json!(term);
        }
        let answer = log_in_with(&mut client, &body);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        assert_eq!(answer.text(), json!({ "token": token }).to_string());
        let parts: Vec<Value> = token.split('.').take(2).map(json_of).collect();
        assert_eq!(parts[0], json!({ "alg": "HS512", "typ": "JWT" }));
        assert_eq!((&parts[1]["account"], &parts[1]["roles"]), (&json!("root"), &json!(["admin"])));
        assert_eq!(parts[1]["exp"].as_i64().unwrap() - parts[1]["iat"].as_i64().unwrap(), seconds);
        assert!((now() - parts[1]["iat"].as_i64().unwrap()).abs() < 60);
    }
}

/// A part of a token.
fn json_of(part: &str) -> Value {
    use base64::Engine;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_login_that_is_wrong_is_told_so_and_the_fourth_in_a_row_is_banned() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let wrong = "User name or password is wrong";
    for body in [
        json!({ "name": "root", "password": "wrong" }),
        json!({ "name": "nobody", "password": PASSWORD }),
        json!({ "name": "root" }),
        json!({}),
        json!({ "name": "x".repeat(50_000), "password": "y".repeat(10_000) }),
    ] {
        assert_denied(&log_in_with(&mut client, &body), "401202", wrong, "the name or the password is wrong");
    }
    for (body, detail) in [
        ("", "the body is not as expected: send a JSON object"),
        (r#"["root"]"#, "the body is not as expected: send a JSON object"),
        ("[]x", "the body is not as expected: "),
        (r#"{"name":1}"#, "the body is not as expected: "),
        (
            r#"{"name":"root","password":"x","tokenExpirationTime":"1m"}"#,
            "tokenExpirationTime: send a duration from 15m to 24h, such as 1h30m",
        ),
        (&format!(r#"{{"name":"{}"}}"#, "x".repeat(70_000)), "the body is larger than 65536 bytes: send less"),
    ] {
        let answer = client.send("POST", "/v4/token", &[], body.as_bytes());
        assert_denied(&answer, "400001", "Invalid parameter(s)", detail);
    }
    // Twice failed above.
    let body = json!({ "name": "root", "password": "wrong" });
    assert_denied(&log_in_with(&mut client, &body), "401202", wrong, "the name or the password is wrong");
    let right = json!({ "name": "root", "password": PASSWORD });
    let banned = "more than 2 logins failed: try again in ";
    assert_denied(&log_in_with(&mut client, &right), "403201", "Account blocked", banned);
    // From elsewhere it is let in.
    let mut elsewhere = Client::connect_from("127.0.0.2".parse().unwrap(), server.address).unwrap();
    assert_eq!(log_in_with(&mut elsewhere, &right).status, 200);
}

#[test]
fn accounts_are_made_shown_changed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let root = log_in(&mut client, "root", PASSWORD);
    let new = json!({ "name": "peter", "password": PASSWORD, "roles": ["developer"] });
    let created = ask(&mut client, "POST", "/v4/accounts", &root, Some(new.clone()));
    assert_eq!((created.status, created.text()), (200, ""));
    let again = ask(&mut client, "POST", "/v4/accounts", &root, Some(new));
    assert_denied(&again, "409200", "account name is duplicated", "account [peter] exists");

    let peter = ask(&mut client, "GET", "/v4/accounts/peter", &root, None).json();
    let (id, time) = (peter["id"].as_str().unwrap(), peter["createTime"].as_str().unwrap());
    assert!(id.len() == 32 && (now() - time.parse::<i64>().unwrap()).abs() < 60);
    let shown = json!({
        "id": id, "name": "peter", "roles": ["developer"], "status": "active", "createTime": time, "updateTime": time,
    });
    assert_eq!(peter, shown);
    let all = ask(&mut client, "GET", "/v4/accounts", &root, None).json();
    assert_eq!((&all["total"], &all["data"][0], &all["data"][1]["name"]), (&json!(2), &shown, &json!("root")));

    let token = log_in(&mut client, "peter", PASSWORD);
    let body = json!({ "roles": ["admin"], "status": "active" });
    assert_eq!(ask(&mut client, "PUT", "/v4/accounts/peter", &root, Some(body)).status, 200);
    // The role counts that the account has now.
    assert_eq!(ask(&mut client, "GET", "/v4/accounts", &token, None).status, 200);

    let deleted = ask(&mut client, "DELETE", "/v4/accounts/peter", &root, None);
    assert_eq!((deleted.status, deleted.text()), (200, ""));
    let gone = "The account that owns the token is deleted";
    let answer = ask(&mut client, "GET", "/v4/accounts", &token, None);
    assert_denied(&answer, "401206", gone, "account [peter] is deleted");
    let answer = ask(&mut client, "GET", "/v4/accounts/peter", &root, None);
    assert_denied(&answer, "400200", "Account not exists", "account [peter] not exist");
}

#[test]
fn a_password_is_changed_and_tokens_of_the_old_one_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let old = log_in(&mut client, "root", PASSWORD);
    let path = "/v4/accounts/root/password";
    let wrong = json!({ "currentPassword": "wrong", "password": "0ther-Word" });
    let answer = ask(&mut client, "POST", path, &old, Some(wrong));
    assert_denied(&answer, "401207", "Password is wrong", "currentPassword is wrong");
    let right = json!({ "currentPassword": PASSWORD, "password": "0ther-Word" });
    let changed = ask(&mut client, "POST", path, &old, Some(right));
    assert_eq!((changed.status, changed.text()), (200, ""));
    let answer = ask(&mut client, "GET", "/v4/self-perms", &old, None);
    let detail = "header Authorization: the password was changed after the token was given: get a new one at /v4/token";
    assert_denied(&answer, "401207", "Password is wrong", detail);
    let new = log_in(&mut client, "root", "0ther-Word");
    // All of it is on disk: the account, its password, and what tokens are signed with.
    server.kill();
    let server = closed(dir.path());
    let mut client = server.connect();
    assert_eq!(ask(&mut client, "GET", "/v4/self-perms", &new, None).status, 200);
    assert_eq!(ask(&mut client, "GET", "/v4/self-perms", &old, None).status, 401);
    log_in(&mut client, "root", "0ther-Word");
    assert!(server.log().contains("auth.root_password is not heeded"), "{}", server.log());
}

#[test]
fn of_changes_of_the_same_password_at_once_exactly_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let token = log_in(&mut server.connect(), "root", PASSWORD);
    // No more than may fail without a ban.
    let changes = ["1st-Word", "2nd-Word", "3rd-Word"];
    let start = Barrier::new(changes.len());
    let change = &|password: &str| {
        let mut client = server.connect();
        let body = json!({ "currentPassword": PASSWORD, "password": password });
        start.wait();
        ask(&mut client, "POST", "/v4/accounts/root/password", &token, Some(body))
    };
    let answers = std::thread::scope(|scope| {
        let running = changes.map(|password| scope.spawn(move || change(password)));
        running.map(|one| one.join().unwrap())
    });
    let mut changed = Vec::new();
    for (answer, password) in answers.iter().zip(changes) {
        match answer.status {
            200 => changed.push(password),
            _ => assert_denied(answer, "401207", "Password is wrong", ""),
        }
    }
    let [kept] = changed[..] else { panic!("{changed:?} succeeded") };
    log_in(&mut server.connect(), "root", kept);
}

#[test]
fn a_password_that_an_admin_gives_lifts_the_ban_of_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let root = log_in(&mut client, "root", PASSWORD);
    let new = json!({ "name": "peter", "password": PASSWORD, "roles": ["developer"] });
    assert_eq!(ask(&mut client, "POST", "/v4/accounts", &root, Some(new)).status, 200);
    for _ in 0..3 {
        let answer = log_in_with(&mut client, &json!({ "name": "peter", "password": "wrong" }));
        assert_denied(&answer, "401202", "User name or password is wrong", "");
    }
    let banned = log_in_with(&mut client, &json!({ "name": "peter", "password": PASSWORD }));
    assert_denied(&banned, "403201", "Account blocked", "");
    let body = json!({ "password": "0ther-Word" });
    assert_eq!(ask(&mut client, "POST", "/v4/accounts/peter/password", &root, Some(body)).status, 200);
    log_in(&mut client, "peter", "0ther-Word");
}

#[test]
fn a_developer_sees_neither_accounts_nor_roles_but_what_he_may_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let root = log_in(&mut client, "root", PASSWORD);
    let new = json!({ "name": "peter", "password": PASSWORD, "roles": ["developer"] });
    assert_eq!(ask(&mut client, "POST", "/v4/accounts", &root, Some(new.clone())).status, 200);
    let peter = log_in(&mut client, "peter", PASSWORD);
    for (method, path, does) in [
        ("GET", "/v4/accounts", "account:get"),
        ("POST", "/v4/accounts", "account:create"),
        ("GET", "/v4/accounts/root", "account:get"),
        ("PUT", "/v4/accounts/peter", "account:update"),
        ("DELETE", "/v4/accounts/peter", "account:delete"),
        ("GET", "/v4/roles", "role:get"),
        ("GET", "/v4/roles/admin", "role:get"),
    ] {
        let answer = ask(&mut client, method, path, &peter, Some(new.clone()));
        let detail = format!("role has no permissions[{does}]: that takes the role admin");
        assert_denied(&answer, "403205", "No permission(s)", &detail);
    }
    let other = json!({ "password": "0ther-Word" });
    let answer = ask(&mut client, "POST", "/v4/accounts/root/password", &peter, Some(other));
    assert_denied(&answer, "403001", "Forbidden", "can not change other account password");

    let perms = |types: &[&str]| {
        let resources: Vec<Value> = types.iter().map(|kind| json!({ "type": kind })).collect();
        json!([{ "resources": resources, "verbs": ["*"] }])
    };
    let developer = perms(&["config", "service", "governance", "ops", "service/schema"]);
    let admin = perms(&["account", "config", "role", "service", "governance", "ops", "service/schema"]);
    let own = |client: &mut Client, token: &str| ask(client, "GET", "/v4/self-perms", token, None).json();
    assert_eq!(own(&mut client, &peter), json!({ "perms": developer }));
    assert_eq!(own(&mut client, &root), json!({ "perms": admin }));
    let roles = json!([{ "name": "admin", "perms": admin }, { "name": "developer", "perms": developer }]);
    let answer = ask(&mut client, "GET", "/v4/roles", &root, None);
    assert_eq!(answer.json(), json!({ "total": 2, "data": roles }));
    assert_eq!(ask(&mut client, "GET", "/v4/roles/developer", &root, None).json(), roles[1]);
    let answer = ask(&mut client, "GET", "/v4/roles/chief", &root, None);
    assert_denied(&answer, "400201", "Role not exists", "there are the roles admin and developer");
}

#[test]
fn nothing_but_an_accounts_own_token_sees_to_accounts() {
    let dir = tempfile::tempdir().unwrap();
    let server = closed(dir.path());
    let mut client = server.connect();
    let detail = "this server takes nobody unknown: send Authorization: Bearer with a token of /v4/token";
    for headers in [&[][..], &[("x-auth-token", TOKEN)][..]] {
        let answer = client.send("GET", "/v4/accounts", headers, b"");
        assert_denied(&answer, "401204", "No authorization header", detail);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let signed = Request::new("GET", "/v4/accounts", "", b"").sign().send(&mut client);
    let detail =
        "header Authorization: the scheme \\\"SDK-HMAC-SHA256\\\" is not taken here: send Authorization: Bearer";
    assert_denied(&signed, "401201", "Request unauthorized", detail);
    for token in ["x", "a.b.c", ""] {
        let answer = ask(&mut client, "GET", "/v4/accounts", token, None);
        let detail = "header Authorization: this is no token of this server: get a token at /v4/token";
        assert_denied(&answer, "401201", "Request unauthorized", detail);
    }
}

#[test]
fn a_first_password_that_is_too_simple_ends_the_program_before_anything_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let refused = crate::support::server::output(&["serve", "--auth-root-password", "simple"], dir.path());
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(refused.stderr).unwrap(),
        "spanlake: auth.root_password = \"********\" (from --auth-root-password): expected a password of 8 to 32 bytes \
         with an upper-case letter, a lower-case letter, a digit and a special character, or nothing\n"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
