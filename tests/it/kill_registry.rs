//! The registry's promise, tried on the real binary over each database: what was acknowledged is there after SIGKILL,
//! and what was dropped stays away.

use crate::support::registry::databases;
use crate::support::server::{Client, Server};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

const ROUNDS: u64 = 8;
const CONNECTIONS: u64 = 4;
const ROOT: &str = "/v4/default/registry/microservices";

/// Paths of what must be there, and of what must not.
#[derive(Default)]
struct Acknowledged {
    there: BTreeSet<String>,
    gone: BTreeSet<String>,
}

/// Registers and drops until the server is gone; whoever uses up what was drawn kills it.
fn register_until_killed(server: &Server, prefix: &str, left: &AtomicI64, acknowledged: &Mutex<Acknowledged>) {
    let Ok(mut client) = Client::connect(server.address) else { return };
    // What was answered, or nothing if the server is gone. Each answer counts.
    let mut answered = |method: &str, path: &str, body: &str| {
        let answer = client.try_send(method, path, &[], body.as_bytes()).ok()?;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
        if left.fetch_sub(1, Ordering::SeqCst) <= 1 {
            server.kill_now();
        }
        Some(())
    };
    for number in 0.. {
        let id = format!("{prefix}-{number}");
        let service = format!("{ROOT}/{id}");
        let body = format!(r#"{{"service":{{"serviceId":"{id}","appId":"a","serviceName":"{id}","version":"1"}}}}"#);
        if answered("POST", ROOT, &body).is_none() {
            return;
        }
        acknowledged.lock().unwrap().there.insert(service.clone());
        let instance = format!("{service}/instances/i");
        let body = r#"{"instance":{"instanceId":"i","hostName":"h","endpoints":["rest://h:1"]}}"#;
        if answered("POST", &format!("{service}/instances"), body).is_none() {
            return;
        }
        acknowledged.lock().unwrap().there.insert(instance.clone());
        if answered("PUT", &format!("{service}/schemas/s"), r#"{"schema":"a text"}"#).is_none() {
            return;
        }
        acknowledged.lock().unwrap().there.insert(format!("{service}/schemas/s"));
        if number % 3 == 0 {
            // From here on it may be there or not, until its drop is acknowledged.
            acknowledged.lock().unwrap().there.remove(&instance);
            if answered("DELETE", &instance, "").is_none() {
                return;
            }
            acknowledged.lock().unwrap().gone.insert(instance);
        }
    }
}

#[test]
fn what_was_registered_is_there_after_each_kill_and_what_was_dropped_is_not() {
    for database in databases() {
        println!("over {}", database.name);
        let dir = tempfile::tempdir().unwrap();
        let mut all = Acknowledged::default();
        for round in 0..ROUNDS {
            let server = database.start(dir.path(), &[]);
            let left = AtomicI64::new(SmallRng::seed_from_u64(round).random_range(1..150));
            let acknowledged = Mutex::new(Acknowledged::default());
            std::thread::scope(|scope| {
                for connection in 0..CONNECTIONS {
                    let (server, left, acknowledged) = (&server, &left, &acknowledged);
                    let prefix = format!("r{round}c{connection}");
                    scope.spawn(move || register_until_killed(server, &prefix, left, acknowledged));
                }
            });
            server.kill();
            let Acknowledged { there, gone } = acknowledged.into_inner().unwrap();
            assert!(!there.is_empty(), "round {round}");
            all.there.extend(there);
            all.gone.extend(gone);
        }
        let server = database.start(dir.path(), &[]);
        let mut client = server.connect();
        for (paths, status) in [(&all.there, 200), (&all.gone, 400)] {
            for path in paths {
                let answer = client.send("GET", path, &[], b"");
                assert_eq!(answer.status, status, "{path}: {}", answer.text());
            }
        }
        server.stop();
    }
}
