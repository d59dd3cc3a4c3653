//! The promise, tried on the real binary: what was acknowledged is there, exactly once, after SIGKILL.
//!
//! Each round starts the server on the folder that the round before left, posts from several connections, and kills it
//! after a drawn number of acknowledgements or of acknowledged bytes, whatever it is doing then: appending, flushing,
//! committing, merging files. Nothing waits for time: rounds differ by their seed.

use crate::support::server::{Client, Server};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

const ROUNDS: u64 = 50;
const CONNECTIONS: u64 = 4;

/// What was posted: how many spans each trace has, and whether the server acknowledged them.
#[derive(Default)]
struct Posted {
    acknowledged: BTreeMap<u64, u64>,
    /// The connection broke before an answer: all of them may be there, or none.
    unanswered: BTreeMap<u64, u64>,
}

/// Small enough that a round flushes, commits, merges and trims several times.
const SETTINGS: [&str; 8] = [
    "--flush-bytes",
    "32KiB",
    "--wal-segment-bytes",
    "64KiB",
    "--lake-compact-files",
    "3",
    "--lake-removed-file-retention",
    "0s",
];

fn body(trace: u64, spans: u64, padding: usize) -> String {
    let span = |id: u64| {
        format!(
            r#"{{"traceId":"{trace:x}","id":"{id:x}","timestamp":{},"tags":{{"padding":"{}"}}}}"#,
            1_795_000_000_000_000u64 + id,
            "x".repeat(padding)
        )
    };
    let spans: Vec<String> = (1..=spans).map(span).collect();
    format!("[{}]", spans.join(","))
}

/// Posts until the server is gone, and sees to it that it goes: whoever uses up what was drawn kills it.
fn post_until_killed(
    server: &Server,
    seed: u64,
    next: &AtomicU64,
    left: &AtomicI64,
    by_bytes: bool,
    posted: &Mutex<Posted>,
) {
    let mut random = SmallRng::seed_from_u64(seed);
    let Ok(mut client) = Client::connect(server.address) else { return };
    loop {
        let trace = next.fetch_add(1, Ordering::SeqCst);
        let (spans, padding) = (random.random_range(1..12), random.random_range(0..400));
        let body = body(trace, spans, padding);
        match client.try_send("POST", "/api/v2/spans", &[], body.as_bytes()) {
            Ok(answer) if answer.status == 202 => {
                posted.lock().unwrap().acknowledged.insert(trace, spans);
                let cost = if by_bytes { body.len() as i64 } else { 1 };
                if left.fetch_sub(cost, Ordering::SeqCst) <= cost {
                    server.kill_now();
                    return;
                }
            }
            // Overloaded: memory waits for the disk. Nothing of it was acknowledged.
            Ok(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text());
                posted.lock().unwrap().unanswered.insert(trace, spans);
            }
            Err(_) => {
                posted.lock().unwrap().unanswered.insert(trace, spans);
                return;
            }
        }
    }
}

/// The ids of a trace's spans, in order.
fn found(client: &mut Client, trace: u64) -> Vec<String> {
    let answer = client.send("GET", &format!("/api/v2/trace/{trace:x}"), &[], b"");
    if answer.status == 404 {
        return Vec::new();
    }
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("spanlake-incomplete"), None);
    let spans = answer.json();
    let mut ids: Vec<String> =
        spans.as_array().unwrap().iter().map(|span| span["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn check(server: &Server, traces: &BTreeMap<u64, u64>, acknowledged: bool, when: &str) {
    let mut client = server.connect();
    for (trace, spans) in traces {
        let expected: Vec<String> = (1..=*spans).map(|id| format!("{id:016x}")).collect();
        let found = found(&mut client, *trace);
        if acknowledged || !found.is_empty() {
            assert_eq!(found, expected, "trace {trace:x} {when}");
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_exactly_once_after_each_of_fifty_kills() {
    let dir = tempfile::tempdir().unwrap();
    let next = AtomicU64::new(1);
    let mut all = Posted::default();
    for round in 0..ROUNDS {
        let mut random = SmallRng::seed_from_u64(round);
        let by_bytes = random.random();
        let left = AtomicI64::new(if by_bytes { random.random_range(1..120_000) } else { random.random_range(1..60) });
        let server = Server::start_with(dir.path(), &SETTINGS);
        let posted = Mutex::new(Posted::default());
        std::thread::scope(|scope| {
            for connection in 0..CONNECTIONS {
                let (server, next, left, posted) = (&server, &next, &left, &posted);
                let seed = round * CONNECTIONS + connection;
                scope.spawn(move || post_until_killed(server, seed, next, left, by_bytes, posted));
            }
        });
        server.kill();
        let posted = posted.into_inner().unwrap();
        assert!(!posted.acknowledged.is_empty(), "round {round}");

        let server = Server::start_with(dir.path(), &SETTINGS);
        check(&server, &posted.acknowledged, true, &format!("after kill {round}"));
        check(&server, &posted.unanswered, false, &format!("after kill {round}"));
        server.kill();
        all.acknowledged.extend(posted.acknowledged);
        all.unanswered.extend(posted.unanswered);
    }
    let server = Server::start_with(dir.path(), &SETTINGS);
    check(&server, &all.acknowledged, true, "after the last kill");
    assert_eq!(server.post("/admin/flush", b"").status, 200);
    check(&server, &all.acknowledged, true, "after a flush");
    check(&server, &all.unanswered, false, "after a flush");
    let rows = rows_in_table(dir.path());
    let acknowledged: u64 = all.acknowledged.values().sum();
    let most = acknowledged + all.unanswered.values().sum::<u64>();
    assert!((acknowledged..=most).contains(&rows), "{rows} rows of {acknowledged} to {most}");
}

/// Counts the rows of the table without the rooms that wrote it dropping duplicates on the way.
fn rows_in_table(data: &Path) -> u64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let root = spanlake::store::StoreConfig::table_dir(data);
    runtime.block_on(async {
        let fs = std::sync::Arc::new(spanlake::fs::RealFs);
        let table =
            spanlake::lake::Table::open_existing(fs, &root, &spanlake::lake::spans::TABLE).await.unwrap().unwrap();
        table.files().await.unwrap().iter().map(|file| file.rows).sum()
    })
}
