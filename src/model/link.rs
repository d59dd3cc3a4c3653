//! Dependency linking: from the spans of one trace to the calls between services.
//!
//! The rules are Zipkin's (`internal/SpanNode`, `internal/DependencyLinker`), so that its users find the graph that
//! they know. The pieces of each span are put together ([`super::pieces`]), the spans form a tree, and those that tell
//! of a call to another process become links.
//!
//! Many agents tell only a part of the truth, and most rules are there for one kind of them. A call is counted once
//! though both sides tell of it; the server's word about names counts more than the client's; where one side is not
//! traced, what the other says of its peer is taken.
//!
//! Invariants: the result does not depend on the order of the spans; a row that is there twice counts once; nothing
//! recurses, and no trace takes more than n log n steps, however its ids were made up.

use super::{Kind, Span, pieces};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// What linking wants to know of a span. Names of services are numbers that the caller gives out, one a name without
/// regard to case.
///
/// The order of the numbers is taken for that of the names, which decides between spans that claim one id;
/// [`Linker::link_named`] takes numbers in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkSpan {
    pub id: u64,
    /// As sent: 0 and the span's own id count as absent.
    pub parent: Option<u64>,
    /// As sent: on a client it does not count.
    pub shared: bool,
    pub kind: Option<Kind>,
    /// `None` where the name is not known.
    pub local: Option<u32>,
    pub remote: Option<u32>,
    pub ipv4: Option<Ipv4Addr>,
    pub ipv6: Option<Ipv6Addr>,
    pub port: Option<u16>,
    /// Whether there is a tag `error`.
    pub error: bool,
}

impl LinkSpan {
    /// Of a span, with the numbers of its services' names.
    pub fn of(span: &Span<'_>, mut number: impl FnMut(&str) -> u32) -> Self {
        let mut named = |service: Option<&str>| service.map(&mut number);
        let (local, remote) = (span.local.as_ref(), span.remote.as_ref());
        LinkSpan {
            id: span.id,
            parent: span.parent_id,
            shared: span.shared == Some(true),
            kind: span.kind,
            local: named(local.and_then(|local| local.service.as_deref())),
            remote: named(remote.and_then(|remote| remote.service.as_deref())),
            ipv4: local.and_then(|local| local.ipv4),
            ipv6: local.and_then(|local| local.ipv6),
            port: local.and_then(|local| local.port),
            // Its value is a text for people, and may be empty. An annotation of that name is no failure.
            error: span.tag("error").is_some(),
        }
    }

    /// Where the span was recorded.
    fn place(&self) -> (Option<u32>, Option<Ipv4Addr>, Option<Ipv6Addr>, Option<u16>) {
        (self.local, self.ipv4, self.ipv6, self.port)
    }
}

/// Calls from a service to another, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    pub parent: u32,
    pub child: u32,
    pub calls: u32,
    pub errors: u32,
}

/// Links traces, one after the other; it keeps its memory between them. Spans are known by their place in the list, of
/// which 32 bits hold more than memory can.
#[derive(Debug, Default)]
pub struct Linker {
    /// By id.
    runs: Vec<Run>,
    /// The spans that joined another's, by id and place.
    guests: Vec<u32>,
    /// For each span the one that it hangs under, or [`TOP`] or [`LOST`].
    above: Vec<u32>,
    /// For each span whether another hangs under it.
    has_child: Vec<bool>,
    /// For each span its nearest ancestor with a kind, or [`TOP`] where none has one, or [`LOST`].
    caller: Vec<u32>,
    /// The spans on the way up to one whose caller is known.
    path: Vec<u32>,
    /// The numbers of the trace's services: in the order of the names, and by number with that order.
    by_name: Vec<u32>,
    ranks: Vec<(u32, u32)>,
}

/// The spans of one id.
#[derive(Clone, Copy, Debug)]
struct Run {
    id: u64,
    /// The one that others mean who name this id as their parent; [`TOP`] where that is the root, or nothing.
    owner: u32,
    /// Where in [`Linker::guests`] those begin and end that joined the span.
    guests: (u32, u32),
}

/// In place of a span's number: at the top of the tree.
const TOP: u32 = u32::MAX;
/// In place of a span's number: no way leads from it to the top.
const LOST: u32 = u32::MAX - 1;
/// In place of a caller: not looked for yet.
const UNKNOWN: u32 = u32::MAX - 2;

impl Linker {
    /// Appends the links of a trace, each pair of services once, in order of the numbers. The spans are those of one
    /// trace as they were posted, in any order; they are reordered and merged in place.
    pub fn link(&mut self, spans: &mut Vec<LinkSpan>, links: &mut Vec<Link>) {
        pieces::merge(spans);
        self.link_merged(spans, links);
    }

    /// As [`Linker::link`] for numbers in any order: `names` has the name of each. What decides between spans that claim
    /// one id is the order of the names; were it that of the numbers, other traces would have a say in it.
    pub fn link_named(&mut self, spans: &mut Vec<LinkSpan>, names: &[String], links: &mut Vec<Link>) {
        let mut by_name = std::mem::take(&mut self.by_name);
        let mut ranks = std::mem::take(&mut self.ranks);
        by_name.clear();
        by_name.extend(spans.iter().flat_map(|span| [span.local, span.remote]).flatten());
        by_name.sort_unstable();
        by_name.dedup();
        by_name.sort_unstable_by_key(|number| names.get(*number as usize));
        ranks.clear();
        ranks.extend(by_name.iter().zip(0..).map(|(number, rank)| (*number, rank)));
        ranks.sort_unstable();
        let rank = |number: u32| {
            let at = ranks.binary_search_by_key(&number, |(number, _)| *number);
            at.ok().map(|at| ranks[at].1)
        };
        for span in spans.iter_mut() {
            (span.local, span.remote) = (span.local.and_then(rank), span.remote.and_then(rank));
        }
        let first = links.len();
        self.link(spans, links);
        let number = |rank: u32| by_name.get(rank as usize).copied().unwrap_or_default();
        for link in &mut links[first..] {
            (link.parent, link.child) = (number(link.parent), number(link.child));
        }
        (self.by_name, self.ranks) = (by_name, ranks);
    }

    /// The same for spans that were merged.
    pub(super) fn link_merged(&mut self, spans: &[LinkSpan], links: &mut Vec<Link>) {
        // The first span without a parent, by id. Of several the others hang under it: a parent that got lost on the
        // way is likelier than two beginnings.
        let root = spans.iter().position(|span| !span.shared && span.parent.is_none());
        let root = root.map_or(TOP, |root| root as u32);
        self.index(spans, root);
        self.hang(spans, root);
        self.find_callers(spans);
        let first = links.len();
        for at in 0..spans.len() {
            if self.caller[at] != LOST {
                self.link_span(spans, at, root, links);
            }
        }
        settle(links, first);
    }

    /// Groups the spans by id.
    fn index(&mut self, spans: &[LinkSpan], root: u32) {
        self.runs.clear();
        self.guests.clear();
        for (at, span) in spans.iter().enumerate() {
            let at = at as u32;
            let begun = self.guests.len() as u32;
            let run = match self.runs.last_mut() {
                Some(run) if run.id == span.id => run,
                _ => self.runs.push_mut(Run { id: span.id, owner: TOP, guests: (begun, begun) }),
            };
            if span.shared {
                self.guests.push(at);
                run.guests.1 += 1;
            } else if at != root {
                // Where two services use one id without the flag, the later one stands for it.
                run.owner = at;
            }
        }
        for run in &self.runs {
            let guests = &mut self.guests[range(run.guests)];
            if guests.len() > 1 {
                guests.sort_unstable_by_key(|&at| (spans[at as usize].place(), at));
            }
        }
    }

    /// Finds for each span the one that it hangs under.
    fn hang(&mut self, spans: &[LinkSpan], root: u32) {
        self.above.clear();
        self.above.resize(spans.len(), LOST);
        let mut start = 0;
        for run in &self.runs {
            let mut rooted = false;
            let mut under_guest = None;
            let mut under = root;
            let mut at = start;
            while let Some(span) = spans.get(at).filter(|span| span.id == run.id) {
                if at as u32 == root {
                    (rooted, under_guest) = (true, None);
                } else if !span.shared {
                    under = root;
                    if let Some(parent) = span.parent.and_then(|parent| self.run(parent)) {
                        if parent.owner != TOP {
                            under = parent.owner;
                        }
                        // The parent's id may mean a client and the servers that joined its span: work of such a
                        // server, at the same place, is under that server.
                        under_guest = self.guest(spans, parent, span).or(under_guest);
                    }
                }
                at += 1;
            }
            if run.owner != TOP {
                self.above[run.owner as usize] = match under_guest {
                    Some(guest) => guest,
                    // The id is the root's: what else bears it has no place in the tree.
                    None if rooted => LOST,
                    None => under,
                };
            }
            // A server hangs under the client whose id it shares, or where that is not there, at the top.
            let under = if run.owner == TOP { root } else { run.owner };
            let guests = &self.guests[range(run.guests)];
            for (number, &guest) in guests.iter().enumerate() {
                let place = spans[guest as usize].place();
                // Of several at one place only the last is there.
                if guests.get(number + 1).is_none_or(|&next| spans[next as usize].place() != place) {
                    self.above[guest as usize] = under;
                }
            }
            start = at;
        }
        if let Some(above) = self.above.get_mut(root as usize) {
            *above = TOP;
        }
    }

    fn run(&self, id: u64) -> Option<&Run> {
        Some(&self.runs[self.runs.binary_search_by_key(&id, |run| run.id).ok()?])
    }

    /// The span that joined those of the run, at the place where `span` was recorded.
    fn guest(&self, spans: &[LinkSpan], run: &Run, span: &LinkSpan) -> Option<u32> {
        let guests = &self.guests[range(run.guests)];
        let place = span.place();
        let behind = guests.partition_point(|&guest| spans[guest as usize].place() <= place);
        let guest = guests[behind.checked_sub(1)?];
        (spans[guest as usize].place() == place).then_some(guest)
    }

    /// Finds for each span its nearest ancestor with a kind: spans of work inside a service may lie between a call and
    /// the one that it was made for. The way up from each span ends at the first whose caller is known.
    fn find_callers(&mut self, spans: &[LinkSpan]) {
        self.caller.clear();
        self.caller.resize(spans.len(), UNKNOWN);
        self.has_child.clear();
        self.has_child.resize(spans.len(), false);
        for start in 0..spans.len() as u32 {
            if let Some(has_child) = self.has_child.get_mut(self.above[start as usize] as usize) {
                *has_child = true;
            }
            let mut at = start;
            let mut caller = loop {
                match self.caller.get(at as usize).copied() {
                    // TOP or LOST: no span, and so in the end no caller.
                    None => break at,
                    Some(UNKNOWN) => {
                        // Whoever comes by here again walks in a circle.
                        self.caller[at as usize] = LOST;
                        self.path.push(at);
                        at = self.above[at as usize];
                    }
                    Some(caller) => break beneath(spans, at, caller),
                }
            };
            while let Some(at) = self.path.pop() {
                self.caller[at as usize] = caller;
                caller = beneath(spans, at, caller);
            }
        }
    }

    /// Appends the calls that a span tells of.
    fn link_span(&self, spans: &[LinkSpan], at: usize, root: u32, links: &mut Vec<Link>) {
        let span = &spans[at];
        let mut link = |parent: u32, child: u32, error: bool| {
            links.push(Link { parent, child, calls: 1, errors: u32::from(error) });
        };
        let kind = match span.kind {
            // What is under a client tells of the call: the server's name for itself counts.
            Some(Kind::Client) if self.has_child[at] => return,
            Some(kind) => kind,
            // Agents that know no kinds: with both names it can only be a call. Without it is work inside a service.
            None if span.local.is_some() && span.remote.is_some() => Kind::Client,
            None => return,
        };
        let (parent, child) = match kind {
            Kind::Client | Kind::Producer => (span.local, span.remote),
            Kind::Server | Kind::Consumer => (span.remote, span.local),
        };
        // Nothing is above the root to take its caller from. For others see below.
        if at as u32 == root && matches!(kind, Kind::Server | Kind::Consumer) && parent.is_none() {
            return;
        }
        if matches!(kind, Kind::Producer | Kind::Consumer) {
            // The broker is a service of its own: a message goes to it and comes from it. Who sent what a consumer took
            // is not asked, or messages would count as calls from service to service.
            if let (Some(parent), Some(child)) = (parent, child) {
                link(parent, child, span.error);
            }
            return;
        }
        let caller = spans.get(self.caller[at] as usize);
        let (mut parent, mut error) = (parent, span.error);
        if let Some(caller) = caller
            && let Some(calling) = caller.local
        {
            // The service that recorded the client is not the one that the client is under: a hop between them was not
            // traced, or the client bears its server's name. Either way the one led to the other; whether that call
            // failed nobody said.
            if let Some(local) = span.local
                && kind == Kind::Client
                && local != calling
            {
                link(calling, local, false);
            }
            // A caller names itself better than a server names its peer (which may be a proxy).
            if kind == Kind::Server || parent.is_none() {
                parent = Some(calling);
            }
            // The client above made no link of its own, so its failure counts here. A server that shares the client's
            // id has not its parent there, and is left to tell of failures itself.
            error |= caller.kind == Some(Kind::Client) && span.parent == Some(caller.id) && caller.error;
        }
        if let (Some(parent), Some(child)) = (parent, child) {
            link(parent, child, error);
        }
    }
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}

/// The caller of what hangs under the span at a place, which has this caller itself.
fn beneath(spans: &[LinkSpan], at: u32, caller: u32) -> u32 {
    if caller != LOST && spans[at as usize].kind.is_some() { at } else { caller }
}

/// Sorts the links from a place on, and sums those of the same services.
fn settle(links: &mut Vec<Link>, first: usize) {
    links[first..].sort_unstable_by_key(|link| (link.parent, link.child));
    let mut last = first;
    for at in first + 1..links.len() {
        let link = links[at];
        if (links[last].parent, links[last].child) == (link.parent, link.child) {
            links[last].calls = links[last].calls.saturating_add(link.calls);
            links[last].errors = links[last].errors.saturating_add(link.errors);
        } else {
            last += 1;
            links[last] = link;
        }
    }
    links.truncate(last + 1);
}

#[cfg(test)]
pub(super) mod tests;
