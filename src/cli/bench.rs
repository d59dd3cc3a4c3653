//! `spanlake bench`: loads a server with realistic traces, measures it, and times lookups and searches.

use crate::bench::describe::describe;
use crate::bench::events::{self, EventsOptions};
use crate::bench::generate::{self, Generator};
use crate::bench::load::LoadOptions;
use crate::bench::lookup::LookupApi;
use crate::bench::registry::{self, RegistryOptions};
use crate::bench::report;
use crate::bench::run::{Phase, RunOptions, run_all};
use crate::bench::write::Format;
use crate::clock::{Clock, SystemClock};
use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Traces that `--describe` looks at.
const SAMPLE: u64 = 5000;

const LONG_ABOUT: &str = "\
Loads a server over HTTP with traces as random as real ones, measures what that cost it, then asks for random traces \
by id and checks each answer's spans, and then asks Zipkin's API what people ask it before they have an id: the newest \
20 traces of a service, those with a tag that some of its traces have, a trace by a random tag, a tag that nobody sent, \
traces in which a service took long, the names of services, of their spans and of those they call, and who called whom \
in a day. Each of these is asked --searches times, and the answers are checked by what was sent.

Without --url it starts a server of its own on an empty folder, measures it, stops it and removes the folder. The \
server's CPU seconds count until all that it acknowledged is committed. Bytes on disk are all that lies in the folder of \
the table of spans once nothing changes there any more.

Exits with 0 if every answer was right, and with 1 if one was not or the bench could not be run.";

const EXAMPLES: &str = "\
Examples:
  spanlake bench                                    a million spans to a server of its own
  spanlake bench --runs 3 --data /mnt/disk/bench    three runs on a disk of your choice
  spanlake bench --url http://127.0.0.1:9411 --pid 4711 --data ./spanlake-data
  spanlake bench --replay recorded/ --spans 100000  OTLP bodies, *.pb, as Zipkin v2 with fresh ids
  spanlake bench --registry                         50,000 services and their heartbeats
  spanlake bench --events                           10,000,000 service events, and the last hour of a service
  spanlake bench --describe                         what is sent, and how random it is";

/// The command's arguments.
pub fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("N").default_value(default).help(help)
    };
    let flag = |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let count = || value_parser!(u32).range(1..);
    Command::new("bench")
        .about("Load a server with realistic traces, measure it, and time lookups and searches")
        .long_about(LONG_ABOUT)
        .after_help(EXAMPLES)
        .arg(Arg::new("url").long("url").value_name("URL").help("The server; without it one is started for each run"))
        .arg(
            Arg::new("pid")
                .long("pid")
                .value_name("PID")
                .requires("url")
                .value_parser(value_parser!(u32))
                .help("The running server's process, to read its CPU and memory"),
        )
        .arg(
            Arg::new("data").long("data").value_name("DIR").value_parser(value_parser!(PathBuf)).help(
                "The data folder: the running server's, or for the one that is started [default: a temporary one]",
            ),
        )
        .arg(
            number("spans", "1000000", "Spans to send at least; traces are whole")
                .value_parser(value_parser!(u64).range(1..)),
        )
        .arg(number("batch", "500", "Spans a request").value_parser(count()))
        .arg(number("connections", "8", "Connections that post").value_parser(count()))
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .default_value(Format::ZipkinV2.name())
                .value_parser(PossibleValuesParser::new(Format::ALL.map(Format::name)))
                .help("What spans are posted as"),
        )
        .arg(flag("gzip", "Compress the bodies"))
        .arg(Arg::new("replay").long("replay").value_name("DIR").value_parser(value_parser!(PathBuf)).help(
            "Send the OTLP bodies of DIR (*.pb) as Zipkin v2, each round with fresh ids, instead of generated traces",
        ))
        .arg(number("seed", "1", "The seed: the same one gives the same traces").value_parser(value_parser!(u64)))
        .arg(number("rate", "20000", "Spans a second of the traces' own time").value_parser(count()))
        .arg(flag("trace-id-128", "Trace ids of 128 bits"))
        .arg(flag("shared-spans", "A server's span has its client's id, as Zipkin's own agents do it"))
        .arg(number("lookups", "2000", "Traces to look up").value_parser(value_parser!(u64).range(1..)))
        .arg(
            Arg::new("lookup")
                .long("lookup")
                .value_name("API")
                .default_value(LookupApi::Ats.name())
                .value_parser(PossibleValuesParser::new(LookupApi::ALL.map(LookupApi::name)))
                .help("The API to look up by"),
        )
        .arg(number("searches", "200", "Questions of each kind of search; 0 for none").value_parser(value_parser!(u64)))
        .arg(
            Arg::new("only")
                .long("only")
                .value_name("HALF")
                .value_parser(["load", "lookup"])
                .help("Only load, or only look up and search for what an earlier load of the same seed and spans sent"),
        )
        .arg(
            number("runs", "1", "Runs, each with a seed of its own; all are shown and the best is named")
                .value_parser(count()),
        )
        .arg(flag("registry", "Measure the service registry instead: registrations, heartbeats, discovery"))
        .arg(
            number("services", "50000", "Services to register, with --registry")
                .value_parser(value_parser!(u32).range(1..=1_000_000)),
        )
        .arg(
            number("instances", "150000", "Instances to register, with --registry")
                .value_parser(value_parser!(u32).range(1..=5_000_000)),
        )
        .arg(
            number("seconds", "15", "How long heartbeats of each kind are sent, with --registry")
                .value_parser(value_parser!(u32).range(1..=3_600)),
        )
        .arg(
            Arg::new("events")
                .long("events")
                .value_name("N")
                .num_args(0..=1)
                .default_missing_value("10000000")
                .conflicts_with_all(["url", "registry", "describe"])
                .value_parser(value_parser!(u64).range(1_000..=1_000_000_000))
                .help("Measure service events instead: a month of N of them, then the last hour of random services"),
        )
        .arg(number("questions", "2000", "Questions to ask, with --events").value_parser(value_parser!(u64).range(1..)))
        .arg(flag("json", "Print the report as JSON"))
        .arg(flag("describe", "Print what the generated traces look like and how many random bits they hold, and stop"))
}

/// Runs the command.
pub fn run(matches: &ArgMatches) -> ExitCode {
    let options = match options(matches) {
        Ok(options) => options,
        Err(error) => return super::asked_wrongly(error),
    };
    let as_json = matches.get_flag("json");
    if matches.get_flag("describe") {
        print_description(&options, as_json);
        return ExitCode::SUCCESS;
    }
    let measured = match (events_options(matches), matches.get_flag("registry")) {
        (Some(options), _) => measure_events(&options, as_json),
        (None, true) => measure_registry(&registry_options(matches), as_json),
        (None, false) => measure(&options, as_json),
    };
    match measured {
        Ok(true) => ExitCode::SUCCESS,
        // The report says which.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => super::failed(error),
    }
}

/// Does the runs and prints them; false where an answer was wrong.
fn measure(options: &RunOptions, as_json: bool) -> Result<bool, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    // One thread for the client beside the generator's: the server shall have the rest of the machine.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the client: {error}"))?;
    let runs = options.runs;
    let mut show = |run: &report::RunReport| {
        if !as_json {
            println!("run {} of {runs}\n{}", run.run, run.table());
        }
    };
    let reports = runtime.block_on(async {
        tokio::select! {
            reports = run_all(options, &program, &SystemClock, &mut show) => reports,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    })?;
    if as_json {
        println!("{}", report::json(&reports));
    } else if reports.len() > 1
        && let Some(best) = report::best(&reports)
    {
        println!("best: run {}", reports[best].run);
    }
    Ok(reports.iter().all(report::RunReport::is_right))
}

/// Measures the registry and prints it; false where an answer was wrong.
fn measure_registry(options: &RegistryOptions, as_json: bool) -> Result<bool, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the client: {error}"))?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = registry::run(options, &program) => report,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    })?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print!("{}", report.table());
    }
    Ok(report.wrong == 0)
}

/// Measures service events and prints it; false where an answer was wrong.
fn measure_events(options: &EventsOptions, as_json: bool) -> Result<bool, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    // The store writes in threads of its own, beside which the events are made.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the bench: {error}"))?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = events::run(options, &program, Arc::new(SystemClock)) => report,
            _ = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
        }
    })?;
    if as_json {
        println!("{}", serde_json::to_string_pretty(&report).unwrap_or_default());
    } else {
        print!("{}", report.table());
    }
    Ok(report.asked.wrong == 0)
}

/// What to run, where service events are to be measured.
fn events_options(matches: &ArgMatches) -> Option<EventsOptions> {
    // Both numbers have a default, so that the fallback here is never met.
    let long = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or(1);
    Some(EventsOptions {
        data: matches.get_one::<PathBuf>("data").cloned(),
        events: matches.get_one::<u64>("events").copied()?,
        questions: long("questions"),
        seed: long("seed"),
    })
}

fn registry_options(matches: &ArgMatches) -> RegistryOptions {
    // Every number has a default, so that the fallback here is never met.
    let number = |name: &str| matches.get_one::<u32>(name).copied().unwrap_or(1);
    RegistryOptions {
        url: matches.get_one::<String>("url").cloned(),
        pid: matches.get_one::<u32>("pid").copied(),
        data: matches.get_one::<PathBuf>("data").cloned(),
        services: number("services") as usize,
        instances: number("instances") as usize,
        seconds: u64::from(number("seconds")),
    }
}

fn print_description(options: &RunOptions, as_json: bool) {
    let generator = Generator::new(generate::Options {
        seed: options.seed,
        wide_ids: options.wide_ids,
        shared_spans: options.shared_spans,
        first_start: SystemClock.now_micros(),
        rate: options.rate,
    });
    let description = describe(&generator, SAMPLE);
    if as_json {
        println!("{}", serde_json::to_string_pretty(&description).unwrap_or_default());
    } else {
        print!("{}", description.table());
    }
}

fn options(matches: &ArgMatches) -> Result<RunOptions, String> {
    // Every number has a default, so that the fallbacks here are never met.
    let number = |name: &str| matches.get_one::<u32>(name).copied().unwrap_or(1);
    let long = |name: &str| matches.get_one::<u64>(name).copied().unwrap_or(1);
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    let format = Format::from_name(text("format")).unwrap_or(Format::ZipkinV2);
    let options = RunOptions {
        url: matches.get_one::<String>("url").cloned(),
        pid: matches.get_one::<u32>("pid").copied(),
        data: matches.get_one::<PathBuf>("data").cloned(),
        spans: long("spans"),
        seed: long("seed"),
        wide_ids: matches.get_flag("trace-id-128"),
        shared_spans: matches.get_flag("shared-spans"),
        rate: number("rate"),
        replay: matches.get_one::<PathBuf>("replay").cloned(),
        load: LoadOptions {
            format,
            batch: number("batch"),
            connections: number("connections"),
            gzip: matches.get_flag("gzip"),
        },
        lookups: long("lookups"),
        lookup_api: LookupApi::from_name(text("lookup")).unwrap_or(LookupApi::Ats),
        searches: long("searches"),
        phase: match text("only") {
            "load" => Phase::Load,
            "lookup" => Phase::Lookup,
            _ => Phase::Both,
        },
        runs: number("runs"),
    };
    if options.replay.is_some() && format != Format::ZipkinV2 {
        return Err(format!("--replay sends {} only: leave --format out", Format::ZipkinV2.name()));
    }
    if options.phase == Phase::Lookup && options.url.is_none() && options.data.is_none() {
        return Err("--only lookup needs spans that were sent before: say where by --url or --data".to_owned());
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<RunOptions, String> {
        let matches = command().try_get_matches_from(["bench"].iter().chain(arguments));
        options(&matches.map_err(|error| error.to_string())?)
    }

    #[test]
    fn the_arguments_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn without_arguments_a_million_spans_are_sent_to_a_server_of_its_own() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.spans, options.lookups, options.runs, options.seed), (1_000_000, 2000, 1, 1));
        assert_eq!(options.searches, 200);
        assert_eq!(options.load.format, Format::ZipkinV2);
        assert!(options.url.is_none() && options.data.is_none());
        assert_eq!(options.phase, Phase::Both);
    }

    #[test]
    fn ten_million_events_are_measured_where_nothing_else_is_said() {
        let events = |arguments: &[&str]| {
            let matches = command().try_get_matches_from(["bench"].iter().chain(arguments));
            matches.map(|matches| events_options(&matches).map(|options| options.events)).ok()
        };
        assert_eq!(events(&[]), Some(None));
        assert_eq!(events(&["--events"]), Some(Some(10_000_000)));
        assert_eq!(events(&["--events", "5000"]), Some(Some(5_000)));
        assert_eq!(events(&["--events", "10"]), None);
        assert_eq!(events(&["--events", "--url", "http://127.0.0.1:1"]), None);
    }

    #[test]
    fn searches_can_be_left_out() {
        assert_eq!(parse(&["--searches", "0"]).unwrap().searches, 0);
        assert!(parse(&["--searches", "-1"]).is_err());
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_remedy() {
        assert!(parse(&["--replay", "x", "--format", "ats"]).unwrap_err().contains("leave --format out"));
        assert!(parse(&["--only", "lookup"]).unwrap_err().contains("--url or --data"));
        assert!(parse(&["--replay", "x", "--format", "zipkin-proto"]).unwrap_err().contains("leave --format out"));
        let formats = "[possible values: zipkin-v2, zipkin-v1, zipkin-proto, zipkin-thrift, ats]";
        assert!(parse(&["--format", "thrift"]).unwrap_err().contains(formats));
        assert!(parse(&["--spans", "0"]).is_err());
        assert!(parse(&["--pid", "1"]).unwrap_err().contains("--url"));
    }
}
