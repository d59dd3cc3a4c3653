//! Other engines read the table where it lies, while the server runs: Polars with `deltalake`, DuckDB with its Delta
//! extension. `.ci/run` installs them and names their Python by `SPANLAKE_PYTHON`; the tests skip themselves, and say
//! so, where it is not set.

use crate::support::server::{Server, spanlake};
use spanlake::bench::generate::{Generator, Options};
use spanlake::bench::source::Source;
use spanlake::bench::write::{Body, Format, Packer};
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
fn sql(data: &Path, query: &str) -> u64 {
    let data_text = data.to_str().unwrap();
    let args = ["sql", "--data", data_text, "--format", "csv", query];
    let output = spanlake(&args, data).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().nth(1).unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// Spans, spans of the trace, and entries in its tag maps, as an engine counts them.
fn count(python: &std::ffi::OsStr, engine: &str, data: &Path, trace_id: &str) -> (u64, u64, u64) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/outside/count.py");
    let table = data.join("tables/spans");
    let extensions = tempfile::tempdir().unwrap();
    let output = Command::new(python).arg(script).arg(engine).arg(table).arg(trace_id).arg(extensions.path()).output();
    let output = output.unwrap();
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
    let spans = sql(dir.path(), "select count(*) from spans");
    let in_trace = sql(dir.path(), &format!("select count(*) from spans where trace_id = '{id}'"));
    assert_eq!((spans, in_trace), (source.spans(), source.span_count(trace) as u64));

    let polars = count(&python, "polars", dir.path(), &id);
    let duckdb = count(&python, "duckdb", dir.path(), &id);
    assert_eq!((polars.0, polars.1), (spans, in_trace));
    assert_eq!(duckdb, polars);
    assert!(polars.2 > 0, "tags are in their map");
}
