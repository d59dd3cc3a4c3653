//! `spanlake serve`: the server, until it is told to stop.

use super::{asked_wrongly, failed};
use crate::clock::SystemClock;
use crate::config;
use crate::fs::RealFs;
use crate::server;
use clap::{ArgMatches, Command};
use std::process::ExitCode;
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  spanlake serve
  spanlake serve --listen 127.0.0.1:0            any free port; the banner names it
  spanlake serve --data /var/lib/spanlake --ingest-max-body-bytes 32MiB
  SPANLAKE_LOG=debug spanlake serve

The banner goes to standard output once the server is ready, logs go to standard error.
SIGTERM or Ctrl-C: stop listening, finish what is under way, write everything to the table, leave with 0.";

pub fn command() -> Command {
    Command::new("serve")
        .about("Take spans and answer for them over HTTP")
        .after_help(EXAMPLES)
        .args(config::args(|_| true))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let config = match config::load(matches) {
        Ok(effective) => Arc::new(effective.config),
        Err(e) => return asked_wrongly(e),
    };
    start_log(&config.log);
    raise_file_limit();
    tell_of_unheeded();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failed(format_args!("cannot start the threads: {e}")),
    };
    let served = runtime.block_on(server::run(config, Arc::new(RealFs), Arc::new(SystemClock), &mut std::io::stdout()));
    // What still runs then are lookups whose readers are gone, and connections that had their time.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => failed(e),
    }
}

/// Logs to standard error, coloured for a person only.
fn start_log(filter: &str) {
    use std::io::IsTerminal;
    // The settings' table has checked the filter.
    let filter = tracing_subscriber::EnvFilter::try_new(own_level(filter)).unwrap_or_default();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // Fails only if something else in the process logs already.
    let _ = log.try_init();
}

/// A bare level is about the server itself. The libraries below it tell of each of their steps at `info`: from them
/// only warnings are wanted, unless the filter names them.
fn own_level(filter: &str) -> String {
    match filter.trim().to_ascii_lowercase().as_str() {
        level @ ("info" | "debug" | "trace") => format!("warn,spanlake={level}"),
        _ => filter.to_owned(),
    }
}

/// Variables of Zipkin's that change what is kept or answered, and that this server has no setting for: who comes from
/// there should not have to find out.
const UNHEEDED: [(&str, &str); 6] = [
    ("COLLECTOR_SAMPLE_RATE", "every span is kept"),
    ("COLLECTOR_HTTP_ENABLED", "spans are taken over HTTP"),
    ("COLLECTOR_GRPC_ENABLED", "spans are taken over gRPC"),
    ("QUERY_ENABLED", "queries are answered"),
    ("STORAGE_TYPE", "spans are kept in the data folder"),
    ("COLLECTOR_SCRIBE_ENABLED", "scribe is not spoken"),
];

fn tell_of_unheeded() {
    for (name, instead) in UNHEEDED.iter().filter(|(name, _)| std::env::var_os(name).is_some()) {
        tracing::warn!("the variable {name} is not heeded: {instead}");
    }
    for unknown in config::unknown(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())) {
        let config::Unknown { name, nearest } = unknown;
        let meant = nearest.map(|nearest| format!("; the nearest known one is {nearest}")).unwrap_or_default();
        tracing::warn!("the variable {name:?} is not heeded: it is no setting's{meant}");
    }
}

/// Lets the process hold as many open files as it may: each connection is one, and each live file of the table.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_level_is_the_servers_own_and_a_filter_stays_as_it_is() {
        assert_eq!(own_level("info"), "warn,spanlake=info");
        assert_eq!(own_level("DEBUG"), "warn,spanlake=debug");
        assert_eq!(own_level("error"), "error");
        assert_eq!(own_level("off"), "off");
        assert_eq!(own_level("info,hyper=debug"), "info,hyper=debug");
    }
}
