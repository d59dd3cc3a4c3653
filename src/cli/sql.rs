//! `spanlake sql`: questions in SQL over a data folder, whose server may or may not be running.

mod instants;
mod output;
mod prompt;

use super::{asked_wrongly, failed};
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::error::{Error, Result};
use crate::fs::RealFs;
use crate::query::sql::{Engine, ReadStatement, SqlOptions, parse};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};
use output::{Format, Sink, Written};
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  spanlake sql                                       a prompt; .help there says more
  spanlake sql \"select * from traces order by start desc limit 20\"
  spanlake sql \"select service, approx_percentile_cont(duration, 0.99) p99 from spans group by 1\"
  spanlake sql \"select * from spans where trace_id = '000000000000162e'\"
  spanlake sql \"select span_id, tags['http.method'] from spans where tags['customer'] = '42'\"
  spanlake sql \"select service, reason, sum(count) from events where level = 'Warning' group by 1, 2\"
  spanlake sql --format parquet --output slow.parquet \"select * from spans where duration > 1000000\"
  echo \"select count(*) from spans\" | spanlake sql --format csv

Tables: spans, annotations, tags, traces; events, each once, and event_rows, as they were sent (`describe spans` lists \
the columns).
Times are UTC; a time outside the calendar is written as its number of microseconds. Durations are microseconds. \
A statement sees all that was acknowledged before it began. Nothing is ever written to the data folder.

Outside the bound of --memory lie what is in the log and not yet in the tables (--table-only leaves it out), the \
indexes of data files, and the batches being read.";

pub fn command() -> Command {
    Command::new("sql")
        .about("Ask questions in SQL, offline, of a data folder")
        .after_help(EXAMPLES)
        .args(config::args(|key| key == "data"))
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .value_parser(PossibleValuesParser::new(Format::NAMES))
                .default_value("table")
                .help("How the answer is written: for a person, or for a program (json is one list, ndjson an object a line)"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .short('o')
                .value_name("FILE")
                .value_parser(clap::value_parser!(PathBuf))
                .help("Where the answer goes [default: standard output]"),
        )
        .arg(
            Arg::new("table-only")
                .long("table-only")
                .action(ArgAction::SetTrue)
                .help("Leave out what is in the log and not yet in the tables"),
        )
        .arg(
            Arg::new("memory")
                .long("memory")
                .value_name("SIZE")
                .value_parser(memory)
                .default_value("1GiB")
                .help("How much memory sorts, joins and groups may take before they spill to temporary files; at least 32MiB"),
        )
        .arg(Arg::new("query").value_name("QUERY").num_args(0..).help("The statements; without any they are asked for, or read from standard input"))
}

/// What was asked for besides the statements.
struct Asked {
    engine: Engine,
    format: Format,
    output: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    runtime: tokio::runtime::Runtime,
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let folder = match config::load(matches) {
        Ok(effective) => effective.config.data,
        Err(e) => return asked_wrongly(e),
    };
    let format = matches.get_one::<String>("format").and_then(|name| Format::named(name)).unwrap_or(Format::Table);
    let output = matches.get_one::<PathBuf>("output").cloned();
    if format.is_binary() && output.is_none() && std::io::stdout().is_terminal() {
        return asked_wrongly("this format is not for a terminal: add --output FILE, or pipe it to a program");
    }
    let options = SqlOptions {
        memory: matches.get_one::<usize>("memory").copied().unwrap_or(1 << 30),
        table_only: matches.get_flag("table-only"),
    };
    let engine = match Engine::new(Arc::new(RealFs), &folder, options) {
        Ok(engine) => engine,
        Err(e) => return failed(e),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(format_args!("cannot start the threads: {e}")),
    };
    let asked = Asked { engine, format, output, clock: Arc::new(SystemClock), runtime };
    let words: Vec<&str> = matches.get_many::<String>("query").into_iter().flatten().map(String::as_str).collect();
    let code = match words.as_slice() {
        [] if std::io::stdin().is_terminal() => prompt::run(&asked),
        [] => {
            let mut text = String::new();
            match std::io::stdin().read_to_string(&mut text) {
                Ok(_) => asked.answer_all(&text),
                Err(e) => failed(format_args!("cannot read the statements from standard input: {e}")),
            }
        }
        words => asked.answer_all(&words.join(" ")),
    };
    // Reads that nobody waits for any more end by themselves.
    asked.runtime.shutdown_background();
    code
}

impl Asked {
    /// Answers the statements of a text one after the other, up to the first that fails.
    fn answer_all(&self, text: &str) -> ExitCode {
        let statements = match parse(text) {
            Ok(statements) => statements,
            Err(e) => return failed(e),
        };
        if statements.is_empty() {
            return asked_wrongly("there is no statement to answer; see spanlake sql --help");
        }
        if statements.len() > 1 && (self.format.is_binary() || self.output.is_some()) {
            return asked_wrongly("one file takes the answer of one statement: give one at a time");
        }
        for statement in &statements {
            match self.answer(statement) {
                Ok(Written::All) => {}
                // The reader has seen enough, as head does.
                Ok(Written::ReaderGone) => return ExitCode::SUCCESS,
                Err(e) => return failed(e),
            }
        }
        ExitCode::SUCCESS
    }

    /// Answers one statement; Ctrl-C ends it.
    fn answer(&self, statement: &ReadStatement) -> Result<Written> {
        self.runtime.block_on(async {
            tokio::select! {
                written = self.write_answer(statement) => written,
                _ = tokio::signal::ctrl_c() => Err(Error::invalid("cancelled")),
            }
        })
    }

    async fn write_answer(&self, statement: &ReadStatement) -> Result<Written> {
        let begun = self.clock.now_micros();
        let mut answer = self.engine.run(statement).await?;
        let mut sink = Sink::open(self.output.as_deref())?;
        let written = output::write(&mut answer, self.format, &mut sink).await;
        let (written, rows) = match written {
            Ok(done) => done,
            Err(e) => {
                sink.discard();
                for note in answer.notes.take() {
                    eprintln!("spanlake: warning: {note}");
                }
                return Err(e);
            }
        };
        sink.finish()?;
        for note in answer.notes.take() {
            eprintln!("spanlake: warning: {note}");
        }
        if std::io::stderr().is_terminal() && matches!(written, Written::All) {
            let seconds = (self.clock.now_micros() - begun) as f64 / 1e6;
            let unit = if rows == 1 { "row" } else { "rows" };
            eprintln!("{rows} {unit} in {seconds:.3} s");
        }
        Ok(written)
    }
}

/// `1GiB`, `512MiB`, `100MB`; what is below 32 MiB would not hold two batches of rows.
fn memory(text: &str) -> std::result::Result<usize, String> {
    let expected = || "expected a size from 32MiB up, such as 512MiB or 2GiB".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" => 1 << 10,
        "mb" => 1_000_000,
        "mib" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return Err(expected()),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    bytes.filter(|bytes| *bytes >= 32 << 20).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_a_size_of_at_least_a_few_batches() {
        assert_eq!(memory("1GiB"), Ok(1 << 30));
        assert_eq!(memory("100 MB"), Ok(100_000_000));
        assert_eq!(memory("33554432"), Ok(32 << 20));
        for text in ["", "1", "1MiB", "GiB", "-1GiB", "1TiBB", "99999999999999999999GiB"] {
            assert!(memory(text).is_err(), "{text:?}");
        }
    }
}
