//! Other engines read the tables where they lie, while the server runs: Polars with `deltalake`, DuckDB with its Delta
//! extension. `.ci/run` installs them and names their Python by `SPANLAKE_PYTHON`; the tests skip themselves, and say
//! so, where it is not set.

use crate::support::server::{Server, spanlake};
use spanlake::bench::generate::{Generator, Options};
use spanlake::bench::source::Source;
use spanlake::bench::write::{Body, Format, Packer};
use spanlake::clock::{Clock, SystemClock};
use std::path::Path;
use std::process::Command;

fn python() -> Option<std::ffi::OsString> {
    let python = std::env::var_os("SPANLAKE_PYTHON");
    if python.is_none() {
        eprintln!("skipped: SPANLAKE_PYTHON names no Python with the clients of tests/it/outside/requirements.txt");
    }
    python
}

/// What `spanlake sql` answers, a single number.
fn sql(data: &Path, args: &[&str]) -> u64 {
    let data_text = data.to_str().unwrap();
    let args = [&["sql", "--data", data_text, "--format", "csv"], args].concat();
    let output = spanlake(&args, data).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().nth(1).unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// Some rows of a table: those with a value in a column, and a column of maps.
struct Part<'a> {
    table: &'a str,
    column: &'a str,
    value: &'a str,
    map: &'a str,
}

/// All rows, those that are asked for, and the entries of their maps, as an engine counts them.
fn count(python: &std::ffi::OsStr, engine: &str, data: &Path, of: &Part<'_>) -> (u64, u64, u64) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/outside/count.py");
    let table = data.join("tables").join(of.table);
    let extensions = tempfile::tempdir().unwrap();
    let output = Command::new(python)
        .args([script.as_os_str(), engine.as_ref(), table.as_os_str()])
        .args([of.column, of.value, of.map])
        .arg(extensions.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{engine}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{}", text.trim());
    let fields: Vec<&str> = text.split_whitespace().collect();
    assert_eq!((fields.len(), fields[0]), (5, engine), "{text}");
    (fields[2].parse().unwrap(), fields[3].parse().unwrap(), fields[4].parse().unwrap())
}

#[test]
fn polars_and_duckdb_count_what_sql_counts_while_the_server_runs() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let first_start = 1_795_000_000_000_000;
    let options = Options { seed: 5, wide_ids: true, shared_spans: false, first_start, rate: 20_000 };
    let source = Source::generated(Generator::new(options), 4_000);
    let mut client = server.connect();
    let mut bodies = 0;
    let mut packer = Packer::new(Format::ZipkinV2, 500, false, |body: Body| {
        assert_eq!(client.send("POST", "/api/v2/spans", &[], &body.bytes).status, 202);
        bodies += 1;
        // Several files, several commits.
        bodies % 3 != 0 || server.post("/admin/flush", b"").status == 200
    });
    source.pack(&mut packer);
    assert_eq!(server.post("/admin/flush", b"").status, 200);

    let trace = (0..source.traces()).max_by_key(|number| source.span_count(*number)).unwrap();
    let id = source.trace_id(trace).to_string();
    let spans = sql(dir.path(), &["select count(*) from spans"]);
    let in_trace = sql(dir.path(), &[&format!("select count(*) from spans where trace_id = '{id}'")]);
    assert_eq!((spans, in_trace), (source.spans(), source.span_count(trace) as u64));

    let of_trace = Part { table: "spans", column: "trace_id", value: &id, map: "tags" };
    let polars = count(&python, "polars", dir.path(), &of_trace);
    let duckdb = count(&python, "duckdb", dir.path(), &of_trace);
    assert_eq!((polars.0, polars.1), (spans, in_trace));
    assert_eq!(duckdb, polars);
    assert!(polars.2 > 0, "tags are in their map");
}

/// An event of a pod of one of three services, seen some minutes before `now`; every other one tells labels.
fn event(number: u64, now: i64) -> String {
    let uid = number % 700;
    let service = format!("shop-{}", uid % 3);
    let seen = chrono::DateTime::from_timestamp_micros(now - (number % 60) as i64 * 60_000_000).unwrap();
    let labels = format!(r#","labels":{{"k8s-app":"{service}","app":"shop"}}"#);
    let labels = if uid.is_multiple_of(2) { labels.as_str() } else { "" };
    format!(
        r#"{{"kind":"Event","apiVersion":"v1","metadata":{{"name":"{service}-0.{uid}","uid":"u-{uid}"}},
           "type":"Warning","involvedObject":{{"kind":"Pod","name":"{service}-0","namespace":"shop"{labels}}},"reason":"BackOff",
           "lastTimestamp":"{}","message":"Back-off restarting failed container {uid}"}}"#,
        seen.to_rfc3339()
    )
}

#[test]
fn polars_and_duckdb_count_the_rows_of_events_while_the_server_runs() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    // Of today, so that the files of the day are not merged meanwhile.
    let now = SystemClock.now_micros();
    for request in 0..10 {
        let events: Vec<String> = (0..100).map(|number| event(request * 100 + number, now)).collect();
        assert_eq!(server.post("/api/v1/k8s/events", events.join("\n").as_bytes()).status, 200);
        if request % 3 == 0 {
            assert_eq!(server.post("/admin/flush", b"").status, 200);
        }
    }
    assert_eq!(sql(dir.path(), &["select count(*) from events"]), 700);
    let stored = |what: &str| sql(dir.path(), &["--table-only", &format!("select {what} from event_rows")]);
    let rows = (
        stored("count(*)"),
        stored("count(*) filter (where service = 'shop-0')"),
        stored("sum(cardinality(labels)) filter (where service = 'shop-0')"),
    );
    assert_eq!(rows, (1_000, 334, 334));

    let part = Part { table: "events", column: "service", value: "shop-0", map: "labels" };
    for engine in ["polars", "duckdb"] {
        assert_eq!(count(&python, engine, dir.path(), &part), rows, "{engine}");
    }
}
