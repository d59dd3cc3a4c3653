//! The conditions of a search, tested on the spans of a whole trace.

use super::SearchQuery;
use crate::model::Span;

/// Tests one trace: feed it all spans of the trace in any order, then ask.
#[derive(Clone, Debug)]
pub struct TraceTest<'q> {
    #[expect(unused)]
    query: &'q SearchQuery,
}

impl<'q> TraceTest<'q> {
    pub fn new(query: &'q SearchQuery) -> Self {
        TraceTest { query }
    }

    pub fn feed(&mut self, _span: &Span<'_>) {}

    /// Whether the trace meets the query.
    pub fn matches(&self) -> bool {
        false
    }
}
