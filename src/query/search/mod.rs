//! Search: the newest traces that meet some conditions.

mod test;

pub use test::TraceTest;

use super::stop::Stop;
use crate::error::{Error, Result};
use crate::model::Span;
use crate::store::Snapshot;

/// What is looked for. A trace is found if all that is given is met.
///
/// The conditions on spans are met by spans whose local service is `service` (by any span where none is given), not
/// necessarily by one span; but a duration is within both bounds on one span. Names compare without regard to case:
/// `service`, `remote_service` and `span_name` are in lower case here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchQuery {
    pub project: String,
    pub service: Option<String>,
    pub remote_service: Option<String>,
    pub span_name: Option<String>,
    /// Each is the value of an annotation or the key of a tag.
    pub words: Vec<String>,
    /// Each is a tag with its value; a key occurs once here, and not among the words.
    pub tags: Vec<(String, String)>,
    /// Microseconds.
    pub min_duration: Option<i64>,
    /// Microseconds; only with `min_duration`.
    pub max_duration: Option<i64>,
    /// The end of the window: milliseconds since 1970 UTC, inclusive.
    pub end_ts: i64,
    /// The window's length in milliseconds; its start is inclusive.
    pub lookback: i64,
    /// The most traces that are given out.
    pub limit: usize,
    /// Whether traces whose ids differ in their upper half are different traces.
    pub strict: bool,
}

/// Spans of a trace that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Without duplicates, in the order in which a lookup by id gives them.
    pub spans: Vec<Span<'static>>,
    /// Whether the trace is complete with these.
    pub ends_trace: bool,
}

/// The traces found, newest first, given out chunk by chunk. Its calls block on the disk.
#[derive(Debug)]
pub struct Search {}

impl Search {
    /// Begins a search.
    pub fn open(_snapshot: &Snapshot, _query: &SearchQuery, _stop: Stop) -> Result<Search> {
        Err(Error::internal("search"))
    }

    /// The next spans; `None` after the last trace. No chunk is empty.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        Ok(None)
    }

    /// Files that could not be read so far: their spans are missing from the answer.
    pub fn damaged(&self) -> &[String] {
        &[]
    }
}
