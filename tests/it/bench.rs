//! The bench finds what it sent, and says so where it does not.

use crate::support::server::output;
use serde_json::Value;
use std::path::Path;

/// The report of one run and the exit code.
fn bench(data: &Path, arguments: &[&str]) -> (Value, i32) {
    let fixed = ["bench", "--json", "--spans", "2000", "--lookups", "10", "--searches", "12", "--data"];
    let arguments: Vec<&str> =
        fixed.into_iter().chain([data.to_str().unwrap()]).chain(arguments.iter().copied()).collect();
    let output = output(&arguments, data);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (report["runs"][0].clone(), output.status.code().unwrap())
}

/// Each kind's name and mismatches.
fn kinds(run: &Value) -> Vec<(&str, u64)> {
    let kinds = run["search"]["kinds"].as_array().unwrap();
    kinds.iter().map(|kind| (kind["kind"].as_str().unwrap(), kind["mismatches"].as_u64().unwrap())).collect()
}

#[test]
fn every_kind_of_search_is_answered_as_it_was_sent_and_a_load_that_never_was_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    // A server's span that shares its client's id is what Zipkin's rules for merging are about.
    let (run, code) = bench(dir.path(), &["--shared-spans", "--seed", "61"]);
    let right = [
        ("newest 20", 0),
        ("tag", 0),
        ("rare tag", 0),
        ("no match", 0),
        ("duration", 0),
        ("services", 0),
        ("span names", 0),
        ("remote services", 0),
        ("dependencies", 0),
    ];
    assert_eq!((kinds(&run), code), (right.to_vec(), 0), "{run:#}");

    // Its traces are not there, its services are.
    let (run, code) = bench(dir.path(), &["--only", "lookup", "--seed", "62"]);
    let kinds = kinds(&run);
    assert_eq!((kinds[2], code), (("rare tag", 22), 1), "{run:#}");
    assert_eq!(kinds[3], ("no match", 0));
    assert_eq!(run["lookup"]["mismatches"], 20);
}

#[test]
fn the_registrys_bench_registers_what_it_says_and_every_answer_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["bench", "--registry", "--services", "20", "--instances", "60", "--seconds", "1", "--json"];
    let output = output(&arguments, dir.path());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((&report["services"], &report["instances"]), (&20.into(), &60.into()), "{report:#}");
    // Each instance once in 15 s: four in a second one by one, and none yet where a request has 100.
    assert_eq!((&report["single"]["heartbeats"], &report["batched"]["requests"]), (&4.into(), &0.into()), "{report:#}");
    assert_eq!((&report["wrong"], output.status.code()), (&0.into(), Some(0)), "{report:#}");
}

#[test]
fn the_bench_of_events_is_answered_with_what_it_told_written_posted_or_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["bench", "--events", "40000", "--questions", "60", "--seed", "3", "--json"];
    let output = output(&arguments, dir.path());
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((&report["asked"]["wrong"], &report["asked"]["questions"]), (&0.into(), &60.into()), "{report:#}");
    assert_eq!((&report["events"], output.status.code()), (&40_000.into(), Some(0)), "{report:#}");
    // A part of them is told again, and a fourth of the month is posted.
    let rows = report["rows"].as_u64().unwrap();
    assert!((42_000..46_000).contains(&rows), "{report:#}");
    assert!(report["posted"]["rows"].as_u64().unwrap() > 10_000, "{report:#}");
    assert!(report["asked"]["events_per_answer"].as_f64().unwrap() > 0.0, "{report:#}");
}
