//! Starting and stopping: the banner, the lock on the data folder, signals.

use crate::support::server::{Client, Server, output};
use std::net::TcpListener;

const SPAN: &[u8] = br#"[{"traceId":"27046b00","id":"1","name":"hello"}]"#;

#[test]
fn the_banner_names_the_real_port_the_folder_and_a_line_that_works() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new/folder");
    let server = Server::start(&data);
    assert_ne!(server.address.port(), 0);
    assert!(server.banner.lines().count() <= 12, "{}", server.banner);
    assert!(server.banner.contains(data.to_str().unwrap()));
    let line = server.banner.lines().find(|line| line.contains("curl -i")).unwrap();
    let body = line.split('\'').nth(1).unwrap();
    assert_eq!(server.post("/api/v2/spans", body.as_bytes()).status, 202);
    assert_eq!(server.get("/api/v2/trace/27046b00").status, 200);
}

#[test]
fn a_second_server_on_the_folder_is_refused_with_the_holders_id() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let data = dir.path().to_str().unwrap();
    let second = output(&["serve", "--listen", "127.0.0.1:0", "--data", data], dir.path());
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(second.stderr).unwrap(),
        format!(
            "spanlake: the data folder {data} is in use by process {}; stop it first, or name another folder with \
             --data\n",
            server.id()
        )
    );
    // The first is none the worse for it.
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn the_lock_of_a_killed_server_is_free() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(dir.path()).kill();
    Server::start(dir.path()).stop();
}

#[test]
fn a_port_that_is_taken_is_refused_with_the_flag_to_change_it() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = output(&["serve", "--listen", &address, "--data", "data"], dir.path());
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.starts_with(&format!("spanlake: cannot listen on {address}: ")), "{said}");
    assert!(said.contains("name another address with --listen"), "{said}");
}

#[test]
fn a_stopped_server_has_written_everything_and_leaves_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.post("/api/v2/spans", SPAN).status, 202);
    server.stop();

    let server = Server::start(dir.path());
    assert_eq!(server.get("/api/v2/trace/27046b00").json().as_array().unwrap().len(), 1);
}

#[test]
fn a_killed_server_has_every_acknowledged_span() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    assert_eq!(server.post("/api/v2/spans", SPAN).status, 202);
    server.kill();

    let server = Server::start(dir.path());
    assert_eq!(server.get("/api/v2/trace/27046b00").json().as_array().unwrap().len(), 1);
}

#[test]
fn a_request_that_is_under_way_when_the_server_is_told_to_stop_is_finished() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path());
    let mut client = server.connect();
    let head = format!(
        "POST /api/v2/spans HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        SPAN.len()
    );
    client.write(head.as_bytes()).unwrap();
    // The server is waiting for the body.
    assert_eq!(client.read_answer(true).unwrap().status, 100);
    server.terminate();
    // It has seen the signal once it takes no more connections.
    while Client::connect(server.address).is_ok() {}
    client.write(SPAN).unwrap();
    assert_eq!(client.read_answer(false).unwrap().status, 202);
    assert!(server.wait().success(), "{}", server.log());

    let server = Server::start(dir.path());
    assert_eq!(server.get("/api/v2/trace/27046b00").status, 200);
}

#[test]
fn a_request_that_does_not_end_holds_a_stopping_server_no_longer_than_its_setting() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start_with(dir.path(), &["--shutdown-timeout", "50ms"]);
    let mut client = server.connect();
    let head = "POST /api/v2/spans HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n";
    client.write(head.as_bytes()).unwrap();
    assert_eq!(client.read_answer(true).unwrap().status, 100);
    server.terminate();
    assert!(server.wait().success(), "{}", server.log());
}

#[test]
fn idle_connections_do_not_hold_a_stopping_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--shutdown-timeout", "7d"]);
    let _silent = server.connect();
    let mut idle = server.connect();
    assert_eq!(idle.send("GET", "/health", &[], b"").status, 200);
    server.stop();
}
