//! The column `v1`: what the rows of a posted span do not tell, as a short text.
//!
//! [`usual`] is the span that the rows look like: each side's moments with its endpoint, plain annotations, the tags by
//! key, the address. Where it is what was posted the column is empty. Otherwise the record says how the posted span
//! differs. It points at the rows' own data wherever that holds the value, so that spans of one agent have one record,
//! which costs next to nothing in a column that is compressed.
//!
//! ```text
//! column  = body                         one row
//!         | "*" key index body           the first of several rows; the index is how many
//!         | "+" key index                the row of that index
//! key     = 6 characters                 a hash of the posted span
//! body    = [ "e" ]                      tags have their row's endpoint (else: those of the first row have none)
//!           [ "N" ]                      the name is empty
//!           [ "T" [ int ] ";" ]          timestamp, absent without a number
//!           [ "D" [ int ] ";" ]          duration, likewise
//!           [ "E" { endpoint } ";" ]     endpoints that no row has
//!           [ "A" { annotation } ";" ]   all annotations
//!           [ "B" { binary } ";" ]       all binary annotations
//! annotation = "#" index                 go on with the row of that index
//!         | ( "^"                        the moment at the row's start: cs, sr, ms, wr, or mr if the row has no end
//!           | "$"                        at its end: cr, ss, ws, mr
//!           | ","                        the row's next plain annotation
//!           | "%" text int )             this value, at this distance from the first row's start
//!           [ "@" place ]                endpoint, if not the row's
//! binary  = "#" index
//!         | ( index                      the row's tag of that index
//!           | "!"                        the row's address: ca, sa or ma, of the value true
//!           | "%" text value )           this key and value
//!           [ "&" value ] [ "?" text ]   value and type, if others
//!           [ "@" place ]                endpoint, if not as "e" says or the address itself
//! place   = "-" | index                  none; the rows' endpoints, their remote ones, then those of "E"
//! endpoint = [ "s" text ] [ "4" chars "," ] [ "6" chars "," ] [ "p" int ] "/"
//! value   = "\"" text | "j" text | "-"   a text, other JSON, none
//! text    = digits ":" bytes
//! int     = [ "-" ] digits "."
//! index   = 0-9 a-z A-Z | "~" digits "."
//! ```
//!
//! A column that does not parse, which only damage explains, counts as empty.

mod key;
mod read;
mod write;

pub use read::unsplit;
pub(super) use write::fill;

use super::{V1Annotation, V1BinaryAnnotation, V1Value};
use crate::model::{Annotation, Endpoint, Kind, Span};
use read::Parser;
use std::borrow::Cow;

/// To which posted span a row belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'r> {
    /// It is all of it.
    Whole { body: &'r str },
    /// It is the first of `count` rows.
    First { key: &'r str, count: usize, body: &'r str },
    /// It is the one at `index` of a span's rows.
    Sibling { key: &'r str, index: usize },
}

/// Reads a row's column.
pub fn mark(column: &str) -> Mark<'_> {
    let grouped = |rest: &'_ str| -> Option<(usize, usize)> {
        let mut parser = Parser { rest: rest.get(KEY_LENGTH..)? };
        let number = parser.index()?;
        Some((number, rest.len() - parser.rest.len()))
    };
    let rest = column.get(1..).unwrap_or_default();
    match (column.as_bytes().first(), grouped(rest)) {
        (Some(b'*'), Some((count, end))) => Mark::First { key: &rest[..KEY_LENGTH], count, body: &rest[end..] },
        (Some(b'+'), Some((index, _))) => Mark::Sibling { key: &rest[..KEY_LENGTH], index },
        _ => Mark::Whole { body: column },
    }
}

const KEY_LENGTH: usize = 6;

/// What an index and a key are written with; an index uses the letters and digits only.
const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

/// The rows of one posted span, by index. Some may be missing, where a reader has only part of a trace.
struct Rows<'s, 'r> {
    count: usize,
    present: Vec<(usize, &'s Span<'r>)>,
}

impl<'s, 'r> Rows<'s, 'r> {
    fn position(&self, index: usize) -> Option<usize> {
        self.present.binary_search_by_key(&index, |&(index, _)| index).ok()
    }

    fn get(&self, index: usize) -> Option<&'s Span<'r>> {
        Some(self.present[self.position(index)?].1)
    }

    fn first(&self) -> Option<&'s Span<'r>> {
        self.present.first().map(|&(_, row)| row)
    }

    /// The time that others are measured from.
    fn base(&self) -> i64 {
        self.get(0).and_then(|row| row.timestamp).unwrap_or(0)
    }

    fn place(&self, index: usize) -> Option<&'s Endpoint<'r>> {
        match index.checked_sub(self.count) {
            None => self.get(index)?.local.as_ref(),
            Some(index) => self.get(index)?.remote.as_ref(),
        }
    }
}

/// The value of the moment at the start of a row, and of the one at its end.
fn moments(row: &Span<'_>) -> Option<(&'static str, &'static str)> {
    Some(match row.kind? {
        Kind::Client => ("cs", "cr"),
        Kind::Server => ("sr", "ss"),
        Kind::Producer => ("ms", "ws"),
        Kind::Consumer if row.duration.is_some() => ("wr", "mr"),
        Kind::Consumer => ("mr", ""),
    })
}

fn start(row: &Span<'_>) -> Option<i64> {
    row.timestamp
}

fn end(row: &Span<'_>) -> Option<i64> {
    Some(row.timestamp?.wrapping_add(row.duration?))
}

fn address_key(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::Client) | None => "sa",
        Some(Kind::Server) => "ca",
        Some(Kind::Producer | Kind::Consumer) => "ma",
    }
}

fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

fn endpoint<'s>(endpoint: &'s Endpoint<'_>) -> Endpoint<'s> {
    Endpoint {
        service: endpoint.service.as_deref().map(text),
        ipv4: endpoint.ipv4,
        ipv6: endpoint.ipv6,
        port: endpoint.port,
    }
}

/// The time and duration that the posted span most likely had: those of the row that is no guest in another's span.
fn usual_times(rows: &Rows<'_, '_>) -> (Option<i64>, Option<i64>) {
    let owner = rows.present.iter().find(|(_, row)| row.shared != Some(true));
    owner.map_or((None, None), |(_, row)| (row.timestamp, row.duration))
}

/// The annotations that the rows look like.
fn usual_annotations<'s>(rows: &Rows<'s, '_>) -> Vec<V1Annotation<'s>> {
    let mut annotations = Vec::new();
    for &(_, row) in &rows.present {
        let local = row.local.as_ref().map(endpoint);
        let (begins, ends) = moments(row).filter(|_| local.is_some()).unwrap_or_default();
        let moment = |timestamp: Option<i64>, value: &'static str| {
            let timestamp = timestamp.filter(|_| !value.is_empty())?;
            Some(V1Annotation { timestamp, value: value.into(), endpoint: local.clone() })
        };
        annotations.extend(moment(start(row), begins));
        annotations.extend(row.annotations.iter().map(|plain| plain_annotation(row, plain)));
        annotations.extend(moment(end(row), ends));
    }
    if rows.count > 1 {
        annotations.sort_by_key(|annotation| annotation.timestamp);
    }
    annotations
}

fn plain_annotation<'s>(row: &'s Span<'_>, plain: &'s Annotation<'_>) -> V1Annotation<'s> {
    V1Annotation { timestamp: plain.timestamp, value: text(&plain.value), endpoint: row.local.as_ref().map(endpoint) }
}

/// The binary annotations that the rows look like; `own` as the record's "e" says.
fn usual_binaries<'s>(rows: &Rows<'s, '_>, own: bool) -> Vec<V1BinaryAnnotation<'s>> {
    let mut binaries = Vec::new();
    for &(index, row) in &rows.present {
        let local = tag_endpoint(row, index, own).map(endpoint);
        for (key, value) in &row.tags {
            binaries.push(V1BinaryAnnotation {
                key: text(key),
                value: V1Value::Text(text(value)),
                kind: None,
                endpoint: local.clone(),
            });
        }
        binaries.extend(address(row));
    }
    binaries
}

/// The endpoint of a row's tags. Those of later rows need one: it is what brought them there.
fn tag_endpoint<'s, 'r>(row: &'s Span<'r>, index: usize, own: bool) -> Option<&'s Endpoint<'r>> {
    row.local.as_ref().filter(|_| own || index > 0)
}

fn address<'s>(row: &'s Span<'_>) -> Option<V1BinaryAnnotation<'s>> {
    Some(V1BinaryAnnotation {
        key: address_key(row.kind).into(),
        value: V1Value::Json("true".into()),
        kind: None,
        endpoint: Some(endpoint(row.remote.as_ref()?)),
    })
}
