//! Which traces meet a query, by their spans; and what is known of one that does.

use super::query::{SearchQuery, Window};
use super::test::TraceTest;
use crate::model::{Span, TraceId};
use crate::query::origin::Rows;
use crate::query::trace::weight;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The traces that have one low half of an id, as their spans are read.
pub(super) struct Verdict<'q> {
    query: &'q SearchQuery,
    window: Window,
    /// By the upper half where that tells traces apart.
    traces: BTreeMap<u64, Tested<'q>>,
}

/// A trace as far as it was read.
struct Tested<'q> {
    id: TraceId,
    test: TraceTest<'q>,
    /// The newest time in the window; an application's own goes before that of others.
    newest: Option<(bool, i64)>,
}

impl<'q> Verdict<'q> {
    pub fn new(query: &'q SearchQuery) -> Self {
        Verdict { query, window: Window::of(query), traces: BTreeMap::new() }
    }

    fn key(&self, id: TraceId) -> u64 {
        if self.query.strict { id.high } else { 0 }
    }

    pub fn feed(&mut self, span: &Span<'_>) {
        let key = self.key(span.trace_id);
        let fresh = || Tested { id: span.trace_id, test: TraceTest::new(self.query), newest: None };
        let Tested { id, test, newest } = self.traces.entry(key).or_insert_with(fresh);
        // The longer form names the trace where its spans have both.
        if span.trace_id.high > id.high {
            *id = span.trace_id;
        }
        let is_own = test.feed(span);
        if let Some(time) = span.timestamp.filter(|time| *time > 0 && self.window.contains(*time)) {
            *newest = (*newest).max(Some((is_own, time)));
        }
    }

    /// The traces that meet the query: id, key, and the newest time in milliseconds.
    pub fn met(self) -> impl Iterator<Item = (TraceId, u64, i64)> {
        self.traces.into_iter().filter(|(_, trace)| trace.test.matches()).map(|(key, trace)| {
            // Its own time lies in the window; if no span's does but that, it is the newest.
            let newest = trace.newest.map(|(_, time)| time).or(trace.test.time()).unwrap_or_default();
            (trace.id, key, newest.div_euclid(1_000))
        })
    }
}

/// What results are ordered by: the newest first, in milliseconds, then the halves of the id.
pub(super) type Order = (Reverse<i64>, i64, u64);

/// A trace that meets the query.
#[derive(Debug)]
pub(super) struct Found {
    newest: i64,
    pub id: TraceId,
    /// `None` where it is read when it is given out.
    pub rows: Option<Rows>,
    /// How many bytes they take, about.
    pub bytes: usize,
}

impl Found {
    pub fn new(newest: i64, id: TraceId, rows: Option<Rows>) -> Self {
        let bytes = rows.iter().flat_map(|rows| &rows.spans).map(weight).sum();
        Found { newest, id, rows, bytes }
    }

    pub fn order(&self) -> Order {
        (Reverse(self.newest), self.id.low as i64, self.id.high)
    }

    /// Lets its spans go: they are read again when it is given out.
    pub fn let_go(&mut self) {
        (self.rows, self.bytes) = (None, 0);
    }
}
