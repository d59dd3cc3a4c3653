//! What can be wrong with a list of spans in JSON, and how the peer says it.
//!
//! A visitor notes its fault in the [`super::read::Reader`] and fails; only then is the body walked again for the place.
//! The peer parses with Gson, so its texts for wrong types are Gson's, line, column and path included.

use super::place;
use crate::codec::DecodeError;

/// How each refusal of the peer's decoder ends.
const READING: &str = " reading List<Span> from json";

/// A fault, as the visitor knows it that met it.
#[derive(Debug)]
pub enum Fault {
    /// No fault of the sender's: a number stands where a text is read, and its digits can only be had in the exact way
    /// of reading.
    Inexact,
    /// A value of the wrong type: `want` and `got` in Gson's words.
    Type { want: &'static str, got: &'static str },
    /// A number, or a text taken for one, that is no integer of the wanted width.
    Fraction { want: &'static str, literal: Option<String> },
    /// `{what} at {path}`.
    At { what: &'static str, remedy: &'static str },
    /// Any other text of the peer's.
    Says(Says),
    /// A text of the peer's that stands alone.
    Alone { peer: String, remedy: String },
}

/// A text of the peer's, to be followed by what was being read, and the remedy.
#[derive(Debug)]
pub struct Says {
    pub peer: String,
    pub remedy: String,
    /// Whether it is a limit on the size of the whole that was passed.
    pub too_large: bool,
}

impl Says {
    #[cold]
    pub fn new(peer: impl Into<String>, remedy: impl Into<String>) -> Says {
        Says { peer: peer.into(), remedy: remedy.into(), too_large: false }
    }

    #[cold]
    pub fn too_large(peer: impl Into<String>, remedy: impl Into<String>) -> Says {
        Says { too_large: true, ..Says::new(peer, remedy) }
    }
}

/// The refusal of `body`: `fault` if a visitor noted one, else what the parser found.
pub fn refusal(body: &str, error: &serde_json::Error, fault: Option<Fault>) -> DecodeError {
    let (line, mut column) = (error.line(), error.column());
    let mut offset = place::offset(body, line.max(1), column);
    // What is wrong with a value that was read whole, or with its object, is found when the parser may have passed the
    // object's closing brace already, which would lead the path out of it.
    let passed =
        matches!(fault, Some(Fault::At { .. } | Fault::Says(Says { too_large: false, .. }) | Fault::Fraction { .. }));
    if passed && offset > 0 && body.as_bytes().get(offset - 1) == Some(&b'}') {
        offset -= 1;
        column = column.saturating_sub(1);
    }
    let ended = error.is_eof() && !error.to_string().starts_with("EOF while parsing a string");
    let bracket = matches!(fault, Some(Fault::Type { got: "BEGIN_ARRAY" | "BEGIN_OBJECT", .. }));
    let behind_closed = bracket && matches!(body.as_bytes().get(offset.wrapping_sub(1)), Some(b']' | b'}'));
    if ended || matches!(fault, Some(Fault::Type { .. } | Fault::Fraction { .. })) && !behind_closed {
        // Gson names the column behind the value, or behind the bracket that opens it.
        column += 1;
    }
    let path = match fault {
        None if ended => place::path_at_end(body, offset),
        // Of a list or an object that is out of place itself, not of what is in it.
        _ if bracket => {
            let head = body.get(..offset).unwrap_or_default().trim_end();
            place::path(body, head.strip_suffix(['[', '{']).unwrap_or(head).len())
        }
        _ => place::path(body, offset),
    };
    let at_gson = format!("at line {line} column {column} path {path}");
    let mut too_large = false;
    let (peer, remedy) = match fault {
        None if ended => {
            (format!("End of input {at_gson}{READING}"), "the body breaks off here: send the whole list".to_owned())
        }
        None | Some(Fault::Inexact) => {
            let found = error.to_string();
            let found = found.rsplit_once(" at line ").map_or(found.as_str(), |(found, _)| found);
            (format!("Malformed{READING}"), format!("{found}: send a JSON list of span objects"))
        }
        Some(Fault::Type { want, got }) => {
            (format!("Expected {want} but was {got} {at_gson}{READING}"), format!("send {want} here, or leave it out"))
        }
        Some(Fault::Fraction { want, literal }) => {
            let literal = literal.unwrap_or_else(|| number_before(body, offset).to_owned());
            let literal = shown(&literal);
            (
                format!("Expected {want} but was {literal} {at_gson}{READING}"),
                "send a whole number (times are in microseconds)".to_owned(),
            )
        }
        Some(Fault::At { what, remedy, .. }) => (format!("{what} at {path}{READING}"), remedy.to_owned()),
        Some(Fault::Alone { peer, remedy }) => (peer, remedy),
        Some(Fault::Says(says)) => {
            too_large = says.too_large;
            (format!("{}{READING}", says.peer), says.remedy)
        }
    };
    let path = path.trim_end_matches('.');
    DecodeError { peer, place: format!("{path}, line {line} column {column}"), remedy, too_large }
}

/// The number's text that ends at `offset`.
fn number_before(body: &str, offset: usize) -> &str {
    let head = body.get(..offset).unwrap_or_default();
    let start = head
        .rfind(|c: char| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
        .map_or(0, |before| before + head[before..].chars().next().map_or(1, char::len_utf8));
    &head[start..]
}

/// A sender's text as an error repeats it: whole unless it is out of proportion.
pub fn shown(text: &str) -> String {
    match text.char_indices().nth(128) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text.to_owned(),
    }
}
