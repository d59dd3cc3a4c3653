//! One trace by its id, without a time range.
//!
//! The memory tables' index and the files' filters say where rows of the trace lie; each place gives its rows in order,
//! and they are merged as they are read, so that a trace of a million spans takes no more memory than one of a few
//! thousand.

use crate::error::{Error, Result};
use crate::lake::file_reader::TraceRows;
use crate::lake::rows::Rows;
use crate::model::{Scope, Span, TraceId};
use crate::store::Snapshot;
use std::cmp::Ordering;
use std::collections::VecDeque;

/// Rows read at a time of each file, and given out at a time.
const CHUNK_ROWS: usize = 2_048;

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
        let narrowed = |asked: &Option<String>, stored: Option<&str>| match (asked, stored) {
            (Some(asked), Some(stored)) => asked == stored,
            _ => true,
        };
        scope.project == self.project
            && (!self.strict || id.high == self.trace_id.high)
            && narrowed(&self.cluster_id, scope.cluster_id.as_deref())
            && narrowed(&self.namespace, scope.namespace.as_deref())
    }
}

type Found = (Span<'static>, Scope<'static>);

/// Rows of the trace in one place, in order.
#[derive(Debug)]
struct Source {
    ready: VecDeque<Found>,
    file: Option<(TraceRows, String)>,
}

/// The spans of a trace, to be taken in chunks. Its calls block on the disk.
#[derive(Debug)]
pub struct TraceCursor {
    query: TraceQuery,
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
        let mut cursor = TraceCursor { query: query.clone(), sources: Vec::new(), last: None, damaged: Vec::new() };
        let low = query.trace_id.low;
        let mut recent = Vec::new();
        for memtable in &snapshot.memtables {
            let spans = memtable.trace(low).map_err(|error| Error::damaged(error.to_string()))?;
            let matching = spans.into_iter().filter(|(scope, span)| query.matches(scope, span.trace_id));
            recent.extend(matching.map(|(scope, span)| (span, scope)));
        }
        recent.sort_unstable();
        if !recent.is_empty() {
            cursor.sources.push(Source { ready: recent.into(), file: None });
        }
        for file in snapshot.files.iter() {
            match file.trace(low, CHUNK_ROWS) {
                Ok(rows) if rows.is_empty() => {}
                Ok(rows) => {
                    let file = Some((rows, file.info().path.clone()));
                    cursor.sources.push(Source { ready: VecDeque::new(), file });
                }
                Err(error) => cursor.note_damage(file.info().path.clone(), &error),
            }
        }
        Ok(cursor)
    }

    /// Files that could not be read: their spans are missing from the answer.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// The next spans, at most a few thousand, by trace id and start; `None` after the last.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<Span<'static>>>> {
        let mut chunk = Vec::new();
        while chunk.len() < CHUNK_ROWS {
            let Some(found) = self.next_found() else { break };
            // Sources are sorted alike, so equal rows come one after the other.
            if self.last.as_ref() == Some(&found) {
                continue;
            }
            chunk.push(found.0.clone());
            self.last = Some(found);
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn next_found(&mut self) -> Option<Found> {
        for number in 0..self.sources.len() {
            self.refill(number);
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
        self.sources[least?].ready.pop_front()
    }

    /// Sees to it that a source has a row ready, unless it has no more.
    fn refill(&mut self, number: usize) {
        let source = &mut self.sources[number];
        while source.ready.is_empty() {
            let Some((rows, path)) = &mut source.file else { return };
            let read = match rows.next_batch() {
                Ok(Some(batch)) => decode(&batch, &self.query, &mut source.ready).map_err(|error| error.to_string()),
                Ok(None) => {
                    source.file = None;
                    return;
                }
                Err(error) => Err(error.to_string()),
            };
            if let Err(error) = read {
                let path = std::mem::take(path);
                source.file = None;
                self.note_damage(path, &error);
                return;
            }
        }
    }

    fn note_damage(&mut self, path: String, error: &dyn std::fmt::Display) {
        tracing::error!(%error, "a data file cannot be read, answers are without it");
        self.damaged.push(path);
    }
}

fn decode(
    batch: &arrow::array::RecordBatch,
    query: &TraceQuery,
    ready: &mut VecDeque<Found>,
) -> std::result::Result<(), crate::lake::rows::RowError> {
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
