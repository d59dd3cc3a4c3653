//! What a search looks for.

use crate::lake::spans::schema::TAG_COLUMNS;

/// What is looked for. A trace is found if all that is given is met.
///
/// The conditions on spans are met by spans whose local service is `service` (by any span where none is given), not
/// necessarily by one span; but a duration is within both bounds on one span. Names compare without regard to case:
/// `service`, `remote_service` and `span_name` are in lower case here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchQuery {
    pub project: String,
    pub service: Option<String>,
    /// The application of the ATS API that any span is of, in lower case. With it a trace is placed in time by the
    /// spans inside the window, rather than by its root: newest first is by those of the application.
    pub application: Option<String>,
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
    /// The most traces that are given out; `usize::MAX` for all, for one who stops asking.
    pub limit: usize,
    /// Whether traces whose ids differ in their upper half are different traces.
    pub strict: bool,
}

impl SearchQuery {
    /// The columns that the conditions of a query are about.
    pub(super) fn columns(&self) -> Vec<&'static str> {
        let mut columns = vec!["project", "trace_low", "trace_id", "timestamp", "span_id", "parent_id"];
        let mut add = |wanted: bool, column: &'static str| {
            if wanted {
                columns.push(column);
            }
        };
        // An application is a service, or a part of a span's name.
        add(self.service.is_some() || self.application.is_some(), "service");
        add(self.remote_service.is_some(), "remote_service");
        add(self.span_name.is_some() || self.application.is_some(), "name");
        add(self.min_duration.is_some() || self.max_duration.is_some(), "duration");
        add(!self.words.is_empty(), "annotations");
        let keys = || self.words.iter().chain(self.tags.iter().map(|(key, _)| key));
        for (key, column) in TAG_COLUMNS {
            add(keys().any(|wanted| wanted == key), column);
        }
        add(keys().any(|wanted| TAG_COLUMNS.iter().all(|(key, _)| wanted != key)), "tags");
        columns
    }
}

/// A window in microseconds, both ends included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub from: i64,
    pub to: i64,
}

impl Window {
    pub fn of(query: &SearchQuery) -> Window {
        Window {
            from: query.end_ts.saturating_sub(query.lookback).saturating_mul(1_000),
            to: query.end_ts.saturating_mul(1_000),
        }
    }

    pub fn first_millis(self) -> i64 {
        self.from / 1_000
    }

    pub fn last_millis(self) -> i64 {
        self.to / 1_000
    }

    pub fn contains(self, time: i64) -> bool {
        (self.from..=self.to).contains(&time)
    }
}
