//! A trace's rows put together to spans, as people want to see them; and what is asked of a trace as a whole.
//!
//! Which rows belong together is the rule of [`super::pieces`], by which links are found too. Beyond that:
//!
//! * of time, duration and name the first that is known counts; of the remote endpoint each field alone;
//! * tags of all pieces are there, of a key in several the later piece's value; annotations of all pieces, by time,
//!   each once; a flag is set if one piece sets it;
//! * equal rows are one;
//! * some agents cut a trace id to 64 bits: if a span has one of 128 bits, those spans have it too.
//!
//! Texts stay as they were sent, but services compare without regard to case.

use super::link::LinkSpan;
use super::pieces::{self, Piece, unknown_last};
use super::{Endpoint, Span, TraceId};
use std::cmp::Ordering;

/// Puts the rows of a trace together. The spans are sorted by id, a server that shares its client's id behind that one.
pub fn merge(mut spans: Vec<Span<'static>>) -> Vec<Span<'static>> {
    spans.sort_unstable();
    spans.dedup();
    let names = Names::of(&spans);
    let row = |span: Span<'static>| {
        let facts = LinkSpan::of(&span, |service| names.number(service));
        Row { facts, span, merged: false }
    };
    let mut rows: Vec<Row> = spans.into_iter().map(row).collect();
    pieces::merge(&mut rows);
    let best = best_id(&rows);
    rows.into_iter().map(|row| row.into_span(best)).collect()
}

/// When a trace began, in microseconds since 1970 UTC: the root's time, the earliest of several; without one the
/// earliest time of all. Times of zero and less count as absent.
pub fn timestamp(spans: &[Span<'_>]) -> Option<i64> {
    let earliest = |of_roots: bool| {
        let spans = spans.iter().filter(|span| !of_roots || is_root(span));
        spans.filter_map(|span| known(span.timestamp)).min()
    };
    earliest(true).or_else(|| earliest(false))
}

/// The span with which a trace began: the earliest without a parent, rather one that is not a guest in another's span.
/// `None` where all have parents.
pub fn root<'s, 'a>(spans: &'s [Span<'a>]) -> Option<&'s Span<'a>> {
    let order = |a: &&Span<'_>, b: &&Span<'_>| {
        let guest = |span: &Span<'_>| span.shared == Some(true);
        let by_time = || unknown_last(known(a.timestamp), known(b.timestamp));
        guest(a).cmp(&guest(b)).then_with(by_time).then_with(|| a.id.cmp(&b.id))
    };
    spans.iter().filter(|span| is_root(span)).min_by(order)
}

/// Whether a span has no parent. A parent of zeros and the span itself are none.
pub fn is_root(span: &Span<'_>) -> bool {
    span.parent_id.is_none_or(|parent| parent == 0 || parent == span.id)
}

/// A time or duration, if it is one.
fn known(micros: Option<i64>) -> Option<i64> {
    micros.filter(|&micros| micros > 0)
}

/// The services' names in lower case, sorted; a name's place is its number.
struct Names(Vec<String>);

impl Names {
    fn of(spans: &[Span<'_>]) -> Names {
        let endpoints = spans.iter().flat_map(|span| [&span.local, &span.remote]).flatten();
        let mut names: Vec<String> = endpoints.filter_map(|endpoint| Some(fold(endpoint.service.as_ref()?))).collect();
        names.sort_unstable();
        names.dedup();
        Names(names)
    }

    fn number(&self, name: &str) -> u32 {
        let place = self.0.binary_search(&fold(name));
        // Every name is there, and memory holds fewer than 2^32.
        place.unwrap_or_else(|place| place) as u32
    }
}

fn fold(name: &str) -> String {
    name.to_lowercase()
}

/// A span with the facts that decide where it belongs.
struct Row {
    facts: LinkSpan,
    span: Span<'static>,
    /// Whether it took over a later piece.
    merged: bool,
}

impl Piece for Row {
    fn facts(&self) -> &LinkSpan {
        &self.facts
    }

    fn facts_mut(&mut self) -> &mut LinkSpan {
        &mut self.facts
    }

    fn order_beyond_facts(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.span, &other.span);
        unknown_last(known(a.timestamp), known(b.timestamp)).then_with(|| a.cmp(b))
    }

    fn absorb_beyond_facts(&mut self, later: &mut Self) {
        self.merged = true;
        let (span, later) = (&mut self.span, &mut later.span);
        span.timestamp = known(span.timestamp).or(later.timestamp).or(span.timestamp);
        span.duration = known(span.duration).or(later.duration).or(span.duration);
        span.name = span.name.take().or_else(|| later.name.take());
        absorb_endpoint(&mut span.local, later.local.take());
        absorb_endpoint(&mut span.remote, later.remote.take());
        span.annotations.append(&mut later.annotations);
        span.tags.append(&mut later.tags);
        span.debug = span.debug.max(later.debug);
        span.shared = span.shared.max(later.shared);
    }
}

impl Row {
    /// The span, with what merging found out of it.
    fn into_span(self, best: Option<TraceId>) -> Span<'static> {
        let Row { facts, mut span, merged } = self;
        if merged {
            span.annotations.sort_unstable();
            span.annotations.dedup();
            Span::settle_tags(&mut span.tags);
            // The record is that of a posted v1 span, which this is not any more.
            span.v1 = None;
        }
        span.parent_id = facts.parent;
        span.kind = facts.kind;
        // What was sent as false stays so; true on a client goes.
        span.shared = if facts.shared { Some(true) } else { span.shared.filter(|shared| !shared) };
        if let Some(best) = best
            && (!span.trace_id.wide || span.trace_id.high == 0)
        {
            span.trace_id = best;
        }
        span
    }
}

fn absorb_endpoint(endpoint: &mut Option<Endpoint<'static>>, later: Option<Endpoint<'static>>) {
    match (endpoint, later) {
        (_, None) => {}
        (endpoint @ None, later) => *endpoint = later,
        (Some(endpoint), Some(later)) => {
            endpoint.service = endpoint.service.take().or(later.service);
            endpoint.ipv4 = endpoint.ipv4.or(later.ipv4);
            endpoint.ipv6 = endpoint.ipv6.or(later.ipv6);
            endpoint.port = endpoint.port.or(later.port);
        }
    }
}

/// The id of 128 bits that spans with a shorter one have in truth; one of 32 digits if it comes to no more.
fn best_id(rows: &[Row]) -> Option<TraceId> {
    let ids = || rows.iter().map(|row| row.span.trace_id);
    ids().find(|id| id.high != 0).or_else(|| ids().find(|id| id.wide))
}

#[cfg(test)]
mod tests;
