//! Collectors send an event anew each time that it happens again, twice where they are unsure, and out of order where a
//! queue lies between. Whatever becomes of the rows meanwhile, each event is told once, with its newest row, the least
//! first time and the greatest count.

use super::*;
use crate::support::server::{Server, output};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::path::Path;

const EVENTS: usize = 1_000;
/// How often each is sent.
const RESENDS: usize = 100;
const BATCH: usize = 2_000;
const SERVICES: usize = 10;

/// What is known of an event after all its resends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Known {
    cluster: String,
    uid: String,
    service: String,
    first_seen: i64,
    last_seen: i64,
    count: i64,
    reason: String,
}

#[expect(clippy::disallowed_methods, reason = "the vendor's API tells of the last hour")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_micros() as i64
}

fn text(micros: i64) -> String {
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap();
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// When an event happened for the first time. It happens again each second.
fn begin(start: i64, event: usize) -> i64 {
    start + event as i64 * 1_000
}

fn known(start: i64, event: usize) -> Known {
    Known {
        // The same uids in two clusters.
        cluster: ["east", "west"][event % 2].to_owned(),
        uid: format!("uid-{:04}", event / 2),
        service: format!("svc{}", event / 2 % SERVICES),
        first_seen: begin(start, event),
        last_seen: begin(start, event) + (RESENDS as i64 - 1) * 1_000_000,
        count: RESENDS as i64,
        // The newest row says so.
        reason: format!("Reason{RESENDS}"),
    }
}

/// The resend of an event when it had happened so often. Every third is of a collector that began late: it knows neither
/// the first time nor the whole count.
fn resend(start: i64, event: usize, times: usize) -> String {
    let known = known(start, event);
    let last = begin(start, event) + (times as i64 - 1) * 1_000_000;
    let began_late = times.is_multiple_of(3);
    let (first, count) = if began_late { (last, 1) } else { (known.first_seen, times) };
    json!({
        "clusterName": known.cluster,
        "metadata": {"uid": known.uid, "name": format!("event-{event}")},
        // Two events of each service and cluster are about the same.
        "involvedObject": {"kind": "Pod", "name": format!("{}-{}", known.service, (event / (2 * SERVICES)).max(1)),
                           "namespace": "shop"},
        "reason": format!("Reason{times}"),
        "message": "again",
        "type": "Warning",
        "firstTimestamp": text(first),
        "lastTimestamp": text(last),
        "count": count,
    })
    .to_string()
}

/// What a second collector tells of the last time: less, and seen at the same moment.
fn told_by_another(start: i64, event: usize) -> String {
    let mut told: Value = serde_json::from_str(&resend(start, event, RESENDS)).unwrap();
    told["reason"] = json!("Other");
    told["firstTimestamp"] = told["lastTimestamp"].clone();
    told["count"] = json!(1);
    told.to_string()
}

/// Posts resends, so many a request.
fn post(server: &Server, start: i64, resends: &[(usize, usize)]) {
    let mut client = server.connect();
    for batch in resends.chunks(BATCH) {
        let lines: Vec<String> = batch.iter().map(|(event, times)| resend(start, *event, *times)).collect();
        post_lines(&mut client, &lines);
    }
}

fn post_lines(client: &mut Client, lines: &[String]) {
    expect_accepted(&client.send("POST", K8S, &[], lines.join("\n").as_bytes()), lines.len());
}

fn admin(server: &Server, what: &str) {
    let answer = server.connect().send("POST", what, &[], b"");
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
}

/// The live files of the table, and the rows in them.
fn table(server: &Server) -> (u64, u64) {
    let health = server.get("/health").json();
    let details = &health["zipkin"]["details"]["spanlake"]["details"];
    (details["event_files"].as_u64().unwrap(), details["table_events"].as_u64().unwrap())
}

/// The files, and the rows in them, once all are merged: of each day one file, of each event one row a day.
fn merged(start: i64) -> (u64, u64) {
    let days = |event| {
        let seen = (0..RESENDS as i64).map(move |times| begin(start, event) + times * 1_000_000);
        seen.map(|micros| micros.div_euclid(86_400_000_000)).collect::<BTreeSet<i64>>()
    };
    let all: BTreeSet<i64> = (0..EVENTS).flat_map(days).collect();
    (all.len() as u64, (0..EVENTS).map(|event| days(event).len() as u64).sum())
}

/// Every answer there is, against what is known.
fn check(server: &Server, data: &Path, start: i64, when: &str) {
    let mut wanted: Vec<Known> = (0..EVENTS).map(|event| known(start, event)).collect();
    wanted.sort();
    let mut client = server.connect();
    let micros =
        |time: &Value| chrono::DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap().timestamp_micros();
    let own = |text: &Value| text.as_str().unwrap().to_owned();
    let mut found: Vec<Known> = all(&mut client, "default")
        .iter()
        .map(|event| Known {
            cluster: own(&event["clusterId"]),
            uid: own(&event["uid"]),
            service: own(&event["service"]),
            first_seen: micros(&event["firstSeen"]),
            last_seen: micros(&event["lastSeen"]),
            count: event["count"].as_i64().unwrap(),
            reason: own(&event["reason"]),
        })
        .collect();
    found.sort();
    assert_eq!(found, wanted, "the own API, {when}");

    let query = "select cluster, uid, service, first_seen::bigint as first, last_seen::bigint as last, count, reason \
                 from events order by cluster, uid";
    let told = output(&["sql", "--data", data.to_str().unwrap(), "--format", "csv", query], data);
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let rows: Vec<String> = wanted
        .iter()
        .map(|Known { cluster, uid, service, first_seen, last_seen, count, reason }| {
            format!("{cluster},{uid},{service},{first_seen},{last_seen},{count},{reason}")
        })
        .collect();
    let stdout = String::from_utf8(told.stdout).unwrap();
    assert_eq!(stdout.lines().skip(1).collect::<Vec<_>>(), rows, "SQL, {when}");

    // The vendor's API counts together what is about the same: of each service two events.
    for cluster in ["east", "west"] {
        for service in 0..SERVICES {
            let path = format!(
                "/v2/index.php?Action=DescribeServiceEvent&clusterId={cluster}&serviceName=svc{service}&namespace=shop"
            );
            let answer = client.send("GET", &path, &[], b"").json();
            let list = answer["data"]["eventList"].as_array().unwrap_or_else(|| panic!("{answer}"));
            let mut counts: Vec<i64> = list.iter().map(|event| event["count"].as_i64().unwrap()).collect();
            counts.sort_unstable();
            let each = EVENTS / 2 / SERVICES;
            let mut wanted = vec![RESENDS as i64; each - 2];
            wanted.push(2 * RESENDS as i64);
            assert_eq!(counts, wanted, "DescribeServiceEvent of {service} in {cluster}, {when}");
        }
    }
}

#[test]
fn a_hundred_thousand_resends_of_a_thousand_events_are_a_thousand_events_in_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // The newest is half an hour old.
    let start = now() - 1_800_000_000;
    let mut random = SmallRng::seed_from_u64(17);
    let mut resends: Vec<(usize, usize)> =
        (0..EVENTS).flat_map(|event| (1..=RESENDS).map(move |times| (event, times))).collect();
    resends.shuffle(&mut random);
    assert_eq!(resends.len(), 100_000);
    let quarter = resends.len() / 4;

    let arguments = ["--lake-compact-files", "2"];
    let mut server = Server::start_with(&data, &arguments);
    for (number, part) in resends.chunks(quarter).enumerate() {
        post(&server, start, part);
        match number {
            0 => admin(&server, "/admin/flush"),
            1 => {
                server.kill();
                server = Server::start_with(&data, &arguments);
            }
            2 => {
                admin(&server, "/admin/flush");
                admin(&server, "/admin/compact");
            }
            // Some of them once more, as a collector does that saw no answer.
            _ => {
                let again: Vec<_> = (0..BATCH).map(|_| resends[random.random_range(0..resends.len())]).collect();
                post(&server, start, &again);
                // And all of the last time, thrice, by a collector beside it.
                let others: Vec<String> = (0..EVENTS).map(|event| told_by_another(start, event)).collect();
                let mut client = server.connect();
                (0..3).for_each(|_| post_lines(&mut client, &others));
            }
        }
    }
    check(&server, &data, start, "in memory and table");
    server.kill();
    let server = Server::start_with(&data, &arguments);
    check(&server, &data, start, "after a kill");
    admin(&server, "/admin/flush");
    assert!(table(&server) > merged(start), "{:?}", table(&server));
    check(&server, &data, start, "in several files");
    admin(&server, "/admin/compact");
    assert_eq!(table(&server), merged(start));
    check(&server, &data, start, "merged");
    server.stop();
    let server = Server::start_with(&data, &arguments);
    check(&server, &data, start, "after a restart");
}
