//! `spanlake config`: the settings in force.

use super::{asked_wrongly, failed};
use crate::config;
use clap::{ArgMatches, Command};
use std::io::Write;
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  spanlake config                       what `spanlake serve` would use here, and where each value comes from
  spanlake config > spanlake.toml       a settings file to start from
  spanlake config --ingest-max-spans 5  the same with a flag tried out";

pub fn command() -> Command {
    Command::new("config")
        .about("Print the settings in force and the origin of each")
        .after_help(EXAMPLES)
        .args(config::args(|_| true))
}

pub fn run(matches: &ArgMatches) -> ExitCode {
    let effective = match config::load(matches) {
        Ok(effective) => effective,
        Err(e) => return asked_wrongly(e),
    };
    let shown = config::show(&effective.values);
    match std::io::stdout().write_all(shown.as_bytes()) {
        // A reader that has seen enough, such as head, is none of our business.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => failed(format_args!("cannot print the settings: {e}")),
        _ => ExitCode::SUCCESS,
    }
}
