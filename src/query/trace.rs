//! One trace by its id, without a time range.
//!
//! The memory tables' index and the files' filters say where rows of the trace lie; each place gives its rows in order,
//! and they are merged as they are read and decoded. So a trace of a million spans takes little more memory than one of
//! a few thousand: beside what is being given out, the places of those spans that are not yet in a file.

use super::origin::Rows as Chunk;
use crate::codec::stored::StoredError;
use crate::error::{Error, Result};
use crate::lake::spans::lookup::TraceRows;
use crate::lake::spans::rows::Rows;
use crate::model::{Scope, Span, TraceId};
use crate::store::{Snapshot, StoredSpan};
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Spans decoded at a time of each place, and given out at a time, at most.
const CHUNK_ROWS: usize = 2_048;
/// Bytes at which less are: an agent may send a megabyte in each tag.
const CHUNK_BYTES: usize = 1 << 20;

/// Which spans are asked for.
#[derive(Clone, Debug)]
pub struct TraceQuery {
    pub project: String,
    pub trace_id: TraceId,
    /// Whether the whole id must be equal (an upper half of zeros equals none), rather than its low 64 bits.
    pub strict: bool,
    /// Spans of another cluster are left out; those stored without one match.
    pub cluster_id: Option<String>,
    /// As `cluster_id`.
    pub namespace: Option<String>,
}

impl TraceQuery {
    fn matches(&self, scope: &Scope<'_>, id: TraceId) -> bool {
        scope.project == self.project
            && (!self.strict || id.high == self.trace_id.high)
            && narrowed(self.cluster_id.as_deref(), scope.cluster_id.as_deref())
            && narrowed(self.namespace.as_deref(), scope.namespace.as_deref())
    }
}

/// Whether what was stored with a span is what is asked for; what was stored without any matches.
pub fn narrowed(asked: Option<&str>, stored: Option<&str>) -> bool {
    match (asked, stored) {
        (Some(asked), Some(stored)) => asked == stored,
        _ => true,
    }
}

type Found = (Span<'static>, Scope<'static>);

/// Rows of the trace in one place, in order.
#[derive(Debug)]
struct Source {
    /// Decoded, the next first.
    ready: VecDeque<Found>,
    rest: Rest,
}

/// Where a source has more.
#[derive(Debug)]
enum Rest {
    /// In memory tables: the places of the spans, the next last.
    Memory(Vec<Recent>),
    /// In a file, with its path.
    File(Box<TraceRows>, String),
    Nothing,
}

/// A span of a memory table with what it is sorted by.
#[derive(Debug)]
struct Recent {
    key: (TraceId, Option<i64>, u64),
    place: StoredSpan,
}

/// The spans of a trace, to be taken in chunks. Its calls block on the disk.
#[derive(Debug)]
pub struct TraceCursor {
    query: TraceQuery,
    /// To tell of damage.
    files: Snapshot,
    sources: Vec<Source>,
    last: Option<Found>,
    damaged: Vec<String>,
}

impl TraceCursor {
    /// Finds where the trace's spans lie.
    ///
    /// # Errors
    /// Damaged, where the memory table holds bytes that are no span. A file that cannot be read is left out, and named
    /// by [`TraceCursor::damaged`].
    pub fn open(snapshot: &Snapshot, query: &TraceQuery) -> Result<TraceCursor> {
        let mut cursor = TraceCursor::over(snapshot, query);
        let low = query.trace_id.low;
        let recent = recent(snapshot, query).map_err(|error| Error::damaged(error.to_string()))?;
        if !recent.is_empty() {
            cursor.sources.push(Source { ready: VecDeque::new(), rest: Rest::Memory(recent) });
        }
        for file in snapshot.files.iter() {
            match file.trace(low, CHUNK_ROWS) {
                Ok(rows) if rows.is_empty() => {}
                Ok(rows) => {
                    let rest = Rest::File(Box::new(rows), file.info().path.clone());
                    cursor.sources.push(Source { ready: VecDeque::new(), rest });
                }
                Err(error) => cursor.note_damage(file.info().path.clone(), &error),
            }
        }
        Ok(cursor)
    }

    fn over(snapshot: &Snapshot, query: &TraceQuery) -> TraceCursor {
        // Without the memory tables: a slow reader must not keep them from being freed.
        let mut files = snapshot.clone();
        files.memtables.clear();
        TraceCursor { query: query.clone(), files, sources: Vec::new(), last: None, damaged: Vec::new() }
    }

    /// Files that could not be read: their spans are missing from the answer.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// The next spans, at most a few thousand and about a megabyte, by trace id and start; `None` after the last.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<Span<'static>>>> {
        Ok(self.next_rows()?.map(|rows| rows.spans))
    }

    /// As [`TraceCursor::next_chunk`], with where the spans are from.
    pub fn next_rows(&mut self) -> Result<Option<Chunk>> {
        let mut chunk = Chunk::default();
        let mut bytes = 0;
        while chunk.spans.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
            let Some(found) = self.next_found()? else { break };
            // Sources are sorted alike, so equal rows come one after the other.
            if self.last.as_ref() == Some(&found) {
                continue;
            }
            bytes += weight(&found.0);
            chunk.push(found.0.clone(), &found.1);
            self.last = Some(found);
        }
        Ok((!chunk.spans.is_empty()).then_some(chunk))
    }

    fn next_found(&mut self) -> Result<Option<Found>> {
        for number in 0..self.sources.len() {
            self.refill(number)?;
        }
        let mut least: Option<usize> = None;
        for (number, source) in self.sources.iter().enumerate() {
            let Some(row) = source.ready.front() else { continue };
            let before = match least.and_then(|best| self.sources[best].ready.front()) {
                None => true,
                Some(best) => row.cmp(best) == Ordering::Less,
            };
            if before {
                least = Some(number);
            }
        }
        Ok(least.and_then(|number| self.sources[number].ready.pop_front()))
    }

    /// Sees to it that a source has a row ready, unless it has no more.
    fn refill(&mut self, number: usize) -> Result<()> {
        let source = &mut self.sources[number];
        while source.ready.is_empty() {
            let read = match &mut source.rest {
                Rest::Nothing => return Ok(()),
                Rest::Memory(places) => {
                    if places.is_empty() {
                        source.rest = Rest::Nothing;
                        continue;
                    }
                    let decoded = decode_recent(places, &mut source.ready);
                    decoded.map_err(|error| Error::damaged(error.to_string()))?;
                    continue;
                }
                Rest::File(rows, _) => match rows.next_batch() {
                    Ok(Some(batch)) => {
                        decode(&batch, &self.query, &mut source.ready).map_err(|error| error.to_string())
                    }
                    Ok(None) => {
                        source.rest = Rest::Nothing;
                        continue;
                    }
                    Err(error) => Err(error.to_string()),
                },
            };
            if let Err(error) = read
                && let Rest::File(_, path) = std::mem::replace(&mut source.rest, Rest::Nothing)
            {
                self.note_damage(path, &error);
                return Ok(());
            }
        }
        Ok(())
    }

    fn note_damage(&mut self, path: String, error: &dyn std::fmt::Display) {
        self.files.note_damage(error.to_string());
        self.damaged.push(path);
    }
}

fn decode(
    batch: &arrow::array::RecordBatch,
    query: &TraceQuery,
    ready: &mut VecDeque<Found>,
) -> std::result::Result<(), crate::lake::spans::rows::RowError> {
    let rows = Rows::of(batch)?;
    for row in 0..rows.len() {
        if rows.trace_low(row) != query.trace_id.low || rows.project(row) != query.project {
            continue;
        }
        let (span, scope) = (rows.span(row)?, rows.scope(row));
        if query.matches(&scope, span.trace_id) {
            ready.push_back((span.into_owned(), scope.into_owned()));
        }
    }
    Ok(())
}

/// The spans of the trace that are in memory, the last first.
fn recent(snapshot: &Snapshot, query: &TraceQuery) -> std::result::Result<Vec<Recent>, StoredError> {
    let mut recent = Vec::new();
    for memtable in &snapshot.memtables {
        for place in memtable.trace(query.trace_id.low) {
            let key = place.sort_key()?;
            if query.matches(&place.scope()?, key.0) {
                recent.push(Recent { key, place });
            }
        }
    }
    let mut failed = None;
    recent.sort_unstable_by(|a, b| {
        // Equal keys are rare: a resent span, or both halves of a shared one.
        b.key.cmp(&a.key).then_with(|| match (whole(&b.place), whole(&a.place)) {
            (Ok(b), Ok(a)) => b.cmp(&a),
            (Err(error), _) | (_, Err(error)) => {
                failed = Some(error);
                Ordering::Equal
            }
        })
    });
    failed.map_or(Ok(recent), Err)
}

fn whole(place: &StoredSpan) -> std::result::Result<(Span<'_>, Scope<'_>), StoredError> {
    Ok((place.span()?, place.scope()?))
}

/// Decodes the next places, not more than a chunk.
fn decode_recent(places: &mut Vec<Recent>, ready: &mut VecDeque<Found>) -> std::result::Result<(), StoredError> {
    let mut bytes = 0;
    while ready.len() < CHUNK_ROWS && bytes < CHUNK_BYTES {
        let Some(recent) = places.pop() else { break };
        let (span, scope) = whole(&recent.place)?;
        bytes += weight(&span);
        ready.push_back((span.into_owned(), scope.into_owned()));
    }
    Ok(())
}

/// About how many bytes a decoded span takes.
pub(super) fn weight(span: &Span<'_>) -> usize {
    let tags: usize = span.tags.iter().map(|(key, value)| key.len() + value.len() + 48).sum();
    let annotations: usize = span.annotations.iter().map(|annotation| annotation.value.len() + 32).sum();
    let texts = [&span.name, &span.v1].into_iter().flatten().map(|text| text.len()).sum::<usize>();
    256 + tags + annotations + texts
}
