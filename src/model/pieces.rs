//! Which of a trace's rows are pieces of one span, and what comes of them: one rule for [`super::link`], which needs a
//! few facts of each span and must be quick, and for [`super::trace`], which needs whole spans.
//!
//! In: the rows of a trace in any order. Out: its spans, by id. The rule is Zipkin's (`internal/Trace`):
//!
//! * Agents send a span in pieces: at its start and at its end, or from two threads. Pieces have the id, the `shared`
//!   flag and, as far as both say, the place (service, addresses, port) in common. Of each field the first piece that
//!   knows it counts.
//! * B3 has client and server of a call share an id. Different flags or places keep them apart.
//! * Not every server sets the flag. One that comes right after a client of its id joined that client's span.
//! * Not every server is told its parent's id. One that joined a span has the parent of that span.
//!
//! Zipkin leaves the order of pieces that agree in flag, role and place to chance; here it is fixed, so that the
//! outcome does not depend on which piece arrived first. And it looks at the first piece of a server for its role and
//! parent; here at the whole span.

use super::Kind;
use super::link::LinkSpan;
use std::cmp::Ordering;
use std::net::Ipv4Addr;

/// A row, or what is known of it.
pub(super) trait Piece {
    /// What decides about merging.
    fn facts(&self) -> &LinkSpan;

    fn facts_mut(&mut self) -> &mut LinkSpan;

    /// The order of pieces of equal facts.
    fn order_beyond_facts(&self, other: &Self) -> Ordering;

    /// Takes over what the facts do not tell from a later piece of this span.
    fn absorb_beyond_facts(&mut self, later: &mut Self);
}

impl Piece for LinkSpan {
    fn facts(&self) -> &LinkSpan {
        self
    }

    fn facts_mut(&mut self) -> &mut LinkSpan {
        self
    }

    fn order_beyond_facts(&self, _other: &Self) -> Ordering {
        Ordering::Equal
    }

    fn absorb_beyond_facts(&mut self, _later: &mut Self) {}
}

/// Puts pieces together to spans, which are sorted by id, then guests behind those who began the span.
pub(super) fn merge<P: Piece>(pieces: &mut Vec<P>) {
    for piece in pieces.iter_mut() {
        normalise(piece.facts_mut());
    }
    pieces.sort_unstable_by(|a, b| order(a.facts(), b.facts()).then_with(|| a.order_beyond_facts(b)));
    let mut last = 0;
    for at in 1..pieces.len() {
        let (spans, rest) = pieces.split_at_mut(at);
        let (span, piece) = (&mut spans[last], &mut rest[0]);
        if belong_together(span.facts(), piece.facts()) {
            absorb(span.facts_mut(), piece.facts());
            span.absorb_beyond_facts(piece);
            continue;
        }
        mend(spans, last);
        last += 1;
        pieces.swap(last, at);
    }
    mend(pieces, last);
    pieces.truncate(last + 1);
}

/// What Zipkin does as it reads a span.
fn normalise(span: &mut LinkSpan) {
    // Agents write "no parent" as zeros or as the span itself.
    span.parent = span.parent.filter(|&parent| parent != 0 && parent != span.id);
    // Only a server can be a guest in another's span.
    span.shared &= span.kind != Some(Kind::Client);
}

/// Clients first and guests last, so that a server finds its client before it; within that by place.
fn order(a: &LinkSpan, b: &LinkSpan) -> Ordering {
    a.id.cmp(&b.id).then_with(|| order_within_id(a, b))
}

fn order_within_id(a: &LinkSpan, b: &LinkSpan) -> Ordering {
    let turn = |span: &LinkSpan| match (span.shared, span.kind) {
        (true, _) => 2,
        (false, Some(Kind::Client)) => 0,
        (false, _) => 1,
    };
    // A piece without a place goes to the first span that has one.
    turn(a)
        .cmp(&turn(b))
        .then_with(|| has_place(a).cmp(&has_place(b)))
        .then_with(|| unknown_last(a.local, b.local))
        .then_with(|| unknown_last(a.ipv4.map(AsText), b.ipv4.map(AsText)))
        .then_with(|| unknown_last(a.ipv6, b.ipv6))
        .then_with(|| unknown_last(a.port, b.port))
        .then_with(|| unknown_last(a.kind, b.kind))
        .then_with(|| unknown_last(a.parent, b.parent))
        .then_with(|| unknown_last(a.remote, b.remote))
}

fn has_place(span: &LinkSpan) -> bool {
    span.local.is_some() || span.ipv4.is_some() || span.ipv6.is_some() || span.port.is_some()
}

/// The order in which the first that is known counts.
pub(super) fn unknown_last<T: Ord>(a: Option<T>, b: Option<T>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()),
    }
}

/// An address that is ordered by its text, as Zipkin's are: of several, it decides which one a piece without an address
/// goes to.
#[derive(PartialEq, Eq)]
struct AsText(Ipv4Addr);

impl AsText {
    /// The text, with zeros behind it.
    fn text(&self) -> [u8; 16] {
        let mut text = [0; 16];
        let mut end = 0;
        let mut push = |byte: u8| {
            text[end] = byte;
            end += 1;
        };
        for (at, octet) in self.0.octets().into_iter().enumerate() {
            if at > 0 {
                push(b'.');
            }
            if octet >= 100 {
                push(b'0' + octet / 100);
            }
            if octet >= 10 {
                push(b'0' + octet / 10 % 10);
            }
            push(b'0' + octet % 10);
        }
        text
    }
}

impl Ord for AsText {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0 == other.0 { Ordering::Equal } else { self.text().cmp(&other.text()) }
    }
}

impl PartialOrd for AsText {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Whether a piece is one of the span put together so far.
fn belong_together(span: &LinkSpan, piece: &LinkSpan) -> bool {
    fn agree<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        }
    }
    span.id == piece.id
        && span.shared == piece.shared
        && agree(span.local, piece.local)
        && agree(span.ipv4, piece.ipv4)
        && agree(span.ipv6, piece.ipv6)
        && agree(span.port, piece.port)
}

fn absorb(span: &mut LinkSpan, piece: &LinkSpan) {
    span.parent = span.parent.or(piece.parent);
    span.kind = span.kind.or(piece.kind);
    span.local = span.local.or(piece.local);
    span.ipv4 = span.ipv4.or(piece.ipv4);
    span.ipv6 = span.ipv6.or(piece.ipv6);
    span.port = span.port.or(piece.port);
    span.remote = span.remote.or(piece.remote);
    span.error |= piece.error;
}

/// Corrects what a server does not know of the span that it joined, by the span before it.
fn mend<P: Piece>(spans: &mut [P], at: usize) {
    let Some(before) = at.checked_sub(1).map(|before| *spans[before].facts()) else { return };
    let span = spans[at].facts_mut();
    if before.id != span.id {
        return;
    }
    span.shared |= before.kind == Some(Kind::Client) && span.kind == Some(Kind::Server);
    if span.shared {
        span.parent = span.parent.or(before.parent);
    }
}
