//! Which traces may meet a search, by the summaries alone.
//!
//! A condition names a set of rows in each source. A trace whose spans lie in several sources meets what any of them
//! meets, so the sets are joined by trace id before a trace is judged, and so are its times:
//!
//! ```text
//! the condition that the fewest traces meet -> its rows of all sources, by id -> for each id its rows in every source
//!   -> do they meet all conditions together? is any of its time inside the window? -> the newest of them
//! ```
//!
//! Ids are walked in order, all sources side by side, so that what is held at a time does not grow with what is looked
//! at: the newest so far, and the ids of one part of all.

use super::query::{SearchQuery, Window};
use crate::error::Result;
use crate::lake::data_file::Damaged;
use crate::lake::spans::summary::{Matches, RowSet, Summary, hash::Token};
use crate::query::sources::Sources;
use crate::stop::Stop;
use crate::store::Snapshot;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A trace that may meet the search. Ordered as results are: the newest first, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Of its newest span inside the window, in milliseconds, or later.
    pub newest: Reverse<i64>,
    /// As the table sorts it.
    pub low: i64,
    /// Spans, duplicates counted.
    pub spans: u64,
    /// Whether a condition was not told of the trace itself but of some of which it is one.
    pub in_doubt: bool,
}

/// The newest traces after `after` that may meet the query, at most so many, the newest first.
pub(super) fn candidates(
    snapshot: &Snapshot,
    sources: &mut Sources,
    query: &SearchQuery,
    after: Option<Candidate>,
    at_most: usize,
    stop: &Stop,
) -> Result<Vec<Candidate>> {
    sources.keep_project(&query.project);
    let judged = sources.each(snapshot, |source| conditions(&source.summary, query));
    stop.check()?;
    let count = judged.iter().map(Vec::len).max().unwrap_or_default();
    let total = |condition: usize| judged.iter().map(|judged| judged[condition].rows.count()).sum::<usize>();
    let rarest = (0..count).min_by_key(|condition| total(*condition));
    let wanted = |source: usize, row: u32| rarest.is_none_or(|rarest| judged[source][rarest].rows.contains(row));

    let window = Window::of(query);
    let mut newest: BinaryHeap<Candidate> = BinaryHeap::new();
    sources.walk(snapshot, &query.project, stop, &wanted, &mut |trace| {
        let (mut met, mut told) = (0u128, 0u128);
        for (source, row) in trace.places {
            for (number, matches) in judged[*source].iter().enumerate() {
                met |= u128::from(matches.rows.contains(*row)) << number;
                told |= u128::from(matches.told.contains(*row)) << number;
            }
        }
        let Some((earliest, last)) = trace.all.times else { return };
        if met.count_ones() as usize != count || last < window.first_millis() || earliest > window.last_millis() {
            return;
        }
        let candidate = Candidate {
            newest: Reverse(last.min(window.last_millis())),
            low: trace.low as i64,
            spans: u64::from(trace.all.count),
            in_doubt: told != met,
        };
        if after.is_none_or(|after| candidate > after) {
            newest.push(candidate);
            if newest.len() > at_most {
                newest.pop();
            }
        }
    })?;
    Ok(newest.into_sorted_vec())
}

fn all_told(rows: RowSet) -> Matches {
    Matches { told: rows.clone(), rows }
}

/// The rows of a source that may meet each condition of a query; in every source the same conditions in the same order.
fn conditions(summary: &Summary, query: &SearchQuery) -> std::result::Result<Vec<Matches>, Damaged> {
    let mut conditions = on_spans(summary, query)?;
    if let Some(application) = query.application.as_deref() {
        let project = query.project.as_str();
        let mut matches = summary.having(project, None, Token::Application(application))?;
        if let Some(section) = summary.section(project, application) {
            let spans = summary.of_section(section)?;
            matches.rows.unite(&spans);
            matches.told.unite(&spans);
        }
        conditions.push(matches);
    }
    Ok(conditions)
}

/// The same of the conditions that spans of the service meet, if one is given.
fn on_spans(summary: &Summary, query: &SearchQuery) -> std::result::Result<Vec<Matches>, Damaged> {
    let project = query.project.as_str();
    let tokens = (query.span_name.iter().map(|name| Token::Name(name)))
        .chain(query.remote_service.iter().map(|name| Token::Remote(name)))
        .chain(query.words.iter().map(|word| Token::Word(word)))
        .chain(query.tags.iter().map(|(key, value)| Token::Tag(key, value)));
    let section = query.service.as_deref().map(|service| summary.section(project, service));
    if section == Some(None) {
        // None of its spans is the service's: it may still have others of the traces'.
        let count = tokens.count() + usize::from(query.min_duration.is_some());
        return Ok(vec![all_told(summary.no_rows()); count.max(1)]);
    }
    let section = section.flatten();
    let mut conditions = Vec::new();
    for token in tokens {
        conditions.push(summary.having(project, section, token)?);
    }
    if let Some(least) = query.min_duration {
        let rows = summary.lasting(project, section, least, query.max_duration)?;
        // Half octaves hold much that is not between two bounds near each other.
        conditions.push(match query.max_duration {
            Some(_) => Matches { rows, told: summary.no_rows() },
            None => all_told(rows),
        });
    }
    // Each of the others is met by spans of the service.
    if let (Some(section), true) = (section, conditions.is_empty()) {
        conditions.push(all_told(summary.of_section(section)?));
    }
    Ok(conditions)
}
