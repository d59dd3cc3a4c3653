//! The commands, one file each: arguments in, exit code out.
//!
//! Exit codes: 0 done; 1 it failed while running; 2 it was asked wrongly (a bad flag or setting).
//!
//! Each command's file offers `command()`, its arguments, and `run(&ArgMatches) -> ExitCode`.

mod bench;
mod config;
mod serve;
mod sql;

use clap::Command;
use std::fmt::Display;
use std::process::ExitCode;

const ABOUT: &str = "A distributed tracing backend: spans in the formats that agents speak, durable before they are \
                     acknowledged, kept in open columnar tables, read by trace id and by SQL";

const EXAMPLES: &str = "\
Examples:
  spanlake serve
      listen on 127.0.0.1:9411, keep everything under ./spanlake-data
  spanlake serve --listen 0.0.0.0:9411 --data /var/lib/spanlake
  curl http://127.0.0.1:9411/api/v2/spans -d '[{\"traceId\":\"27046b00\",\"id\":\"1\",\"name\":\"hello\"}]'
  curl http://127.0.0.1:9411/api/v2/trace/27046b00
  spanlake sql \"select name, count(*) from spans group by name\"
  spanlake config
      the settings in force and where each comes from

Every setting is a flag, a variable SPANLAKE_..., and a key of ./spanlake.toml; the first that has it wins.";

/// What the command line takes.
pub fn command() -> Command {
    Command::new("spanlake")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve::command())
        .subcommand(sql::command())
        .subcommand(bench::command())
        .subcommand(config::command())
}

/// Runs what the process was asked to do.
pub fn main() -> ExitCode {
    // Says what is wrong, or shows the help that was asked for, and leaves with 2 or 0.
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("serve", matches)) => serve::run(matches),
        Some(("sql", matches)) => sql::run(matches),
        Some(("bench", matches)) => bench::run(matches),
        Some(("config", matches)) => config::run(matches),
        _ => asked_wrongly("no such command; see spanlake --help"),
    }
}

/// Says what was wrong with the asking.
pub(crate) fn asked_wrongly(error: impl Display) -> ExitCode {
    eprintln!("spanlake: {error}");
    ExitCode::from(2)
}

/// Says what failed.
pub(crate) fn failed(error: impl Display) -> ExitCode {
    eprintln!("spanlake: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
