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

use super::{SearchQuery, Window};
use crate::error::Result;
use crate::lake::file_reader::Damaged;
use crate::lake::summary::{RowSet, TraceRow, hash::Token};
use crate::query::sources::{Finder, Sources, Timed};
use crate::query::stop::Stop;
use crate::store::Snapshot;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Ids that are sorted at a time.
const PART: usize = 1 << 20;

/// A trace that may meet the search. Ordered as results are: the newest first, then by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Of its newest span inside the window, in milliseconds, or later.
    pub newest: Reverse<i64>,
    /// As the table sorts it.
    pub low: i64,
    /// Spans, duplicates counted.
    pub spans: u64,
}

/// What may meet a query in one source.
struct Judged {
    timed: Timed,
    /// For each condition; none where there are no conditions.
    conditions: Vec<RowSet>,
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
    let timed = sources.timed(snapshot, &query.project);
    let mut judged = Vec::with_capacity(timed.len());
    for timed in timed {
        stop.check()?;
        match conditions(&timed, query) {
            Ok(conditions) => judged.push(Judged { timed, conditions }),
            Err(error) => {
                snapshot.note_damage(error.to_string());
                sources.damaged.push(error.path.display().to_string());
            }
        }
    }
    let count = judged.iter().map(|judged| judged.conditions.len()).max().unwrap_or_default();
    let total = |condition: usize| judged.iter().map(|judged| judged.conditions[condition].count()).sum::<usize>();
    let rarest = (0..count).map(|condition| (total(condition), condition)).min();
    let all = judged.iter().map(|judged| judged.timed.rows.len()).sum();
    let parts = (rarest.map_or(all, |(total, _)| total) / PART + 1).next_power_of_two();

    let window = Window::of(query);
    let mut finders: Vec<Finder> = judged.iter().map(|judged| Finder::new(&judged.timed)).collect();
    let mut newest: BinaryHeap<Candidate> = BinaryHeap::new();
    for part in 0..parts {
        for low in lows(&judged, rarest.map(|(_, condition)| condition), part, parts) {
            let mut met = 0u128;
            let mut trace: Option<TraceRow> = None;
            for (judged, finder) in judged.iter().zip(&mut finders) {
                let Some(row) = finder.find(&judged.timed, low as u64) else { continue };
                let times = &judged.timed.traces.rows()[row as usize];
                match &mut trace {
                    Some(trace) => trace.join(times),
                    None => trace = Some(*times),
                }
                for (number, rows) in judged.conditions.iter().enumerate() {
                    met |= u128::from(rows.contains(row)) << number;
                }
            }
            let Some(trace) = trace else { continue };
            if met.count_ones() as usize != count {
                continue;
            }
            let Some((earliest, last)) = trace.times else { continue };
            if last < window.from_millis() || earliest > window.to_millis() {
                continue;
            }
            let spans = u64::from(trace.count);
            let candidate = Candidate { newest: Reverse(last.min(window.to_millis())), low, spans };
            if after.is_some_and(|after| candidate <= after) {
                continue;
            }
            newest.push(candidate);
            if newest.len() > at_most {
                newest.pop();
            }
        }
        stop.check()?;
    }
    Ok(newest.into_sorted_vec())
}

/// The ids that meet a condition in any source, or all ids: those of one of so many parts, in order.
fn lows(judged: &[Judged], condition: Option<usize>, part: usize, parts: usize) -> Vec<i64> {
    let mut lows = Vec::new();
    let shift = 64 - parts.ilog2();
    for judged in judged {
        let rows = judged.timed.traces.rows();
        let mut add = |row: u32| {
            let low = rows[row as usize].low as i64;
            // The order of signed numbers, from 0.
            let place = (low as u64) ^ (1 << 63);
            if place.checked_shr(shift).unwrap_or_default() == part as u64 {
                lows.push(low);
            }
        };
        let range = judged.timed.rows.clone();
        match condition {
            Some(condition) => {
                judged.conditions[condition].iter().filter(|row| range.contains(row)).for_each(&mut add);
            }
            None => range.for_each(&mut add),
        }
    }
    lows.sort_unstable();
    lows.dedup();
    lows
}

/// The rows of a source that may meet each condition of a query; in every source the same conditions in the same order.
fn conditions(timed: &Timed, query: &SearchQuery) -> std::result::Result<Vec<RowSet>, Damaged> {
    let mut conditions = on_spans(timed, query)?;
    if let Some(application) = query.application.as_deref() {
        let (summary, project) = (&timed.summary, query.project.as_str());
        let mut rows = summary.having(project, None, Token::Application(application))?;
        if let Some(section) = summary.section(project, application) {
            rows.unite(&summary.of_section(section)?);
        }
        conditions.push(rows);
    }
    Ok(conditions)
}

/// The same of the conditions that spans of the service meet, if one is given.
fn on_spans(timed: &Timed, query: &SearchQuery) -> std::result::Result<Vec<RowSet>, Damaged> {
    let summary = &timed.summary;
    let project = query.project.as_str();
    let tokens = (query.span_name.iter().map(|name| Token::Name(name)))
        .chain(query.remote_service.iter().map(|name| Token::Remote(name)))
        .chain(query.words.iter().map(|word| Token::Word(word)))
        .chain(query.tags.iter().map(|(key, value)| Token::Tag(key, value)));
    let section = query.service.as_deref().map(|service| summary.section(project, service));
    if section == Some(None) {
        // None of its spans is the service's: it may still have others of the traces'.
        let count = tokens.count() + usize::from(query.min_duration.is_some());
        return Ok(vec![summary.no_rows(); count.max(1)]);
    }
    let section = section.flatten();
    let mut conditions = Vec::new();
    for token in tokens {
        conditions.push(summary.having(project, section, token)?);
    }
    if let Some(least) = query.min_duration {
        conditions.push(summary.lasting(project, section, least, query.max_duration)?);
    }
    // Each of the others is met by spans of the service.
    if let (Some(section), true) = (section, conditions.is_empty()) {
        conditions.push(summary.of_section(section)?);
    }
    Ok(conditions)
}
