//! The prompt: statements typed by a person, over as many lines as they take, with a history.

use super::Asked;
use crate::cli::failed;
use crate::query::sql::{VIEWS, parse};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::path::PathBuf;
use std::process::ExitCode;

const HELP: &str = "\
A statement ends with ; and may take several lines. Each sees the data as it is then. Ctrl-C ends a statement.
  .tables   what can be asked for
  .help     this
  .quit     leave (as Ctrl-D does)
Try: select * from traces order by start desc limit 10;
     describe spans;";

/// Asks for statements until there are no more.
pub fn run(asked: &Asked) -> ExitCode {
    let mut editor = match DefaultEditor::new() {
        Ok(editor) => editor,
        Err(e) => return failed(format_args!("cannot use the terminal: {e}")),
    };
    let history = history_file();
    if let Some(path) = &history {
        // The first time there is none.
        let _ = editor.load_history(path);
    }
    println!("spanlake {}: SQL over spans; .help for help", env!("CARGO_PKG_VERSION"));
    let mut pending = String::new();
    loop {
        let line = match editor.readline(if pending.is_empty() { "spanlake> " } else { "     ...> " }) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(e) => return failed(format_args!("cannot read from the terminal: {e}")),
        };
        match next(&mut pending, &line) {
            Next::More => {}
            Next::Quit => break,
            Next::Help => println!("{HELP}"),
            Next::Tables => println!("{}", VIEWS.join("\n")),
            Next::Unknown(command) => eprintln!("there is no {command}; .help lists what there is"),
            Next::Statement(text) => {
                // A history that cannot be kept is no reason to end.
                let _ = editor.add_history_entry(text.as_str());
                answer(asked, &text);
            }
        }
    }
    if let Some(path) = &history {
        let kept = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if kept.is_ok() {
            let _ = editor.save_history(path);
        }
    }
    ExitCode::SUCCESS
}

fn answer(asked: &Asked, text: &str) {
    let statements = match parse(text) {
        Ok(statements) => statements,
        Err(e) => return eprintln!("{e}"),
    };
    for statement in &statements {
        if let Err(e) = asked.answer(statement) {
            return eprintln!("{e}");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The statement goes on.
    More,
    Statement(String),
    Help,
    Tables,
    Quit,
    Unknown(String),
}

/// What a line means, after those in `pending`.
fn next(pending: &mut String, line: &str) -> Next {
    let trimmed = line.trim();
    if pending.is_empty() {
        match trimmed {
            "" => return Next::More,
            ".help" | "help" | "?" => return Next::Help,
            ".tables" => return Next::Tables,
            ".quit" | ".exit" | "quit" | "exit" | "\\q" => return Next::Quit,
            other if other.starts_with('.') => return Next::Unknown(other.to_owned()),
            _ => {}
        }
    } else {
        pending.push('\n');
    }
    pending.push_str(line);
    if trimmed.ends_with(';') { Next::Statement(std::mem::take(pending)) } else { Next::More }
}

/// `$XDG_STATE_HOME/spanlake/sql_history`, or the same below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local").join("state")))?;
    Some(state.join("spanlake").join("sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_goes_on_until_its_semicolon() {
        let mut pending = String::new();
        assert_eq!(next(&mut pending, "select 1"), Next::More);
        assert_eq!(next(&mut pending, ".help"), Next::More, "inside a statement a dot is no command");
        assert_eq!(next(&mut pending, "  + 1;  "), Next::Statement("select 1\n.help\n  + 1;  ".to_owned()));
        assert_eq!(pending, "");
    }

    #[test]
    fn commands_begin_with_a_dot() {
        let mut pending = String::new();
        for (line, expected) in [
            (" .help ", Next::Help),
            (".tables", Next::Tables),
            (".quit", Next::Quit),
            (".exit", Next::Quit),
            (".nothing", Next::Unknown(".nothing".to_owned())),
            ("  ", Next::More),
        ] {
            assert_eq!(next(&mut pending, line), expected, "{line:?}");
        }
        assert_eq!(pending, "");
    }
}
