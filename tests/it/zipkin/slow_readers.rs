//! Clients that ask for much and take none of it.

use crate::support::server::Server;

/// More of them than searches run at a time, and no time limit that would send them away.
#[test]
fn searches_that_nobody_reads_leave_lookups_alone() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["--query-timeout", "0s", "--server-body-timeout", "1h"]);
    let large = "x".repeat(100_000);
    let span = |id: usize| {
        format!(r#"{{"traceId":"{id:x}","id":"1","timestamp":1700000000000000,"tags":{{"large":"{large}"}}}}"#)
    };
    // More than what two ends of a connection take in.
    let list: Vec<String> = (1..=300).map(span).collect();
    for list in list.chunks(50) {
        assert_eq!(server.post("/api/v2/spans", format!("[{}]", list.join(",")).as_bytes()).status, 202);
    }
    let path = "/api/v2/traces?endTs=1700000000001&lookback=1000&limit=300";
    let ask = format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut readers: Vec<_> = (0..12).map(|_| server.connect()).collect();
    readers.iter_mut().for_each(|reader| reader.write(ask.as_bytes()).unwrap());
    // Each of these would wait for a reader, and the readers wait for ever.
    for id in 1..=40 {
        assert_eq!(server.get(&format!("/api/v2/trace/{id:x}")).status, 200);
    }
    assert_eq!(server.get("/api/v2/services").status, 200);
    drop(readers);
    assert_eq!(server.get("/api/v2/traces?endTs=1700000000001&lookback=1000&limit=1").status, 200);
    server.kill();
}
