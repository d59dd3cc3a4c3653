//! Which service calls which, in a window of time.
//!
//! The links of each trace lie in the summaries, made with its rows, so they are there as soon as its spans are. A trace
//! whose spans lie in several places is linked anew from all of them: a late span replaces what the trace counted for.
//!
//! * Up to a day ([`EXACT`]) the answer is exact: the links of all traces with a span in the window, both ends included.
//! * So is a longer window's over up to a million traces ([`EXACT_TRACES`]).
//! * Beyond, the answer comes from the sums of the window's whole hours, and from the traces of the hours at its two ends.
//!   A trace counts in the hour of its earliest span. The difference: in whole hours a trace whose spans lie in several
//!   places counts place by place, until a compaction has brought them together, so calls between two of its parts may be
//!   missing or be counted twice.
//!
//! In both, what a trace has more than an hour outside the window, in a file all of whose spans are, is not regarded.

use super::fetch;
use super::sources::Sources;
use crate::error::Result;
use crate::lake::spans::summary::hash::lower;
use crate::lake::spans::summary::{MILLIS_AN_HOUR, RowSet, hour_of};
use crate::model::Span;
use crate::model::link::{Link, LinkSpan, Linker};
use crate::stop::Stop;
use crate::store::Snapshot;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

/// The longest window that is always answered trace by trace: a day, in milliseconds.
const EXACT: i64 = 86_400_000;
/// The most traces that a longer window is answered from one by one: some tenths of a second.
pub const EXACT_TRACES: usize = 1_000_000;
/// How far outside a window what belongs to a trace inside is looked for: milliseconds.
const REACH: i64 = MILLIS_AN_HOUR;
/// Spans of traces that are linked anew together.
const BATCH_SPANS: u64 = 20_000;
/// What links are made of.
const COLUMNS: [&str; 14] = [
    "project",
    "trace_low",
    "trace_id",
    "timestamp",
    "span_id",
    "parent_id",
    "kind",
    "service",
    "local_ipv4",
    "local_ipv6",
    "local_port",
    "remote_service",
    "error",
    "shared",
];

/// Calls between two services.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// In lower case.
    pub parent: String,
    /// In lower case.
    pub child: String,
    pub calls: u64,
    pub errors: u64,
}

/// The links of all traces with a span between `end_ts - lookback` and `end_ts` (milliseconds, both inclusive), by
/// parent and child. The second list names files that could not be read.
pub fn dependencies(
    snapshot: &Snapshot,
    project: &str,
    end_ts: i64,
    lookback: i64,
    stop: &Stop,
) -> Result<(Vec<Dependency>, Vec<String>)> {
    dependencies_by(snapshot, project, end_ts, lookback, EXACT_TRACES, stop)
}

/// As [`dependencies`]; a window of more than a day is answered from sums if it has more traces than `exact_traces`.
pub fn dependencies_by(
    snapshot: &Snapshot,
    project: &str,
    end_ts: i64,
    lookback: i64,
    exact_traces: usize,
    stop: &Stop,
) -> Result<(Vec<Dependency>, Vec<String>)> {
    let (from, to) = (end_ts.saturating_sub(lookback), end_ts);
    let reach = (micros(from.saturating_sub(REACH)), micros(to.saturating_add(REACH)));
    let mut sources = Sources::of(snapshot, Some(reach))?;
    let mut sums = Sums::default();
    // An empty range of hours.
    let mut whole = RangeInclusive::new(1, 0);
    let traces: usize = sources.sources.iter().map(|source| source.summary.project_rows(project).len()).sum();
    if lookback > EXACT && traces > exact_traces {
        // An hour that the window begins with is whole.
        whole = hour_of(from.saturating_sub(1)) + 1..=hour_of(to) - 1;
        let hours = sources.each(snapshot, |source| source.summary.hours(project));
        for (names, hours) in hours {
            for hour in hours.iter().filter(|hour| whole.contains(&hour.hour)) {
                for (parent, child, calls, errors) in &hour.links {
                    sums.add(&names, *parent, *child, *calls, *errors);
                }
            }
        }
        let hour = |hour: i64| micros(hour.saturating_mul(MILLIS_AN_HOUR));
        let (start, end) = (hour(*whole.start()), hour(*whole.end() + 1));
        // What lies in whole hours alone needs no look at its traces.
        sources.sources.retain(|source| source.times.is_none_or(|(least, most)| least < start || most >= end));
    }
    let mut walk = Walk { snapshot, project, stop, from, to, whole, sums, damaged: Vec::new() };
    walk.run(&mut sources)?;
    let mut damaged = sources.damaged;
    damaged.extend(walk.damaged);
    damaged.sort_unstable();
    damaged.dedup();
    Ok((walk.sums.finish(), damaged))
}

fn micros(millis: i64) -> i64 {
    millis.saturating_mul(1_000)
}

/// Calls and errors by the names of parent and child.
#[derive(Default)]
struct Sums {
    links: BTreeMap<(String, String), (u64, u64)>,
}

impl Sums {
    fn add(&mut self, names: &[String], parent: u32, child: u32, calls: u64, errors: u64) {
        let (Some(parent), Some(child)) = (names.get(parent as usize), names.get(child as usize)) else { return };
        let sum = self.links.entry((parent.clone(), child.clone())).or_default();
        sum.0 = sum.0.saturating_add(calls);
        sum.1 = sum.1.saturating_add(errors);
    }

    fn add_link(&mut self, link: &Dependency) {
        let sum = self.links.entry((link.parent.clone(), link.child.clone())).or_default();
        sum.0 = sum.0.saturating_add(link.calls);
        sum.1 = sum.1.saturating_add(link.errors);
    }

    fn finish(self) -> Vec<Dependency> {
        let dependency =
            |((parent, child), (calls, errors)): (_, (u64, u64))| Dependency { parent, child, calls, errors };
        self.links.into_iter().map(dependency).collect()
    }
}

/// A trace that is to be linked from its spans.
struct Anew {
    low: u64,
    spans: u64,
    /// The summaries that have it, by their number, and its row there. Neither changes, so together they stand for what
    /// there is of the trace.
    places: Places,
    /// Whether its spans have to say that one of them lies in the window.
    in_doubt: bool,
}

/// The way through the traces of all sources, by id.
struct Walk<'a> {
    snapshot: &'a Snapshot,
    project: &'a str,
    stop: &'a Stop,
    /// Milliseconds, both included.
    from: i64,
    to: i64,
    /// Hours whose traces are in the sums already.
    whole: RangeInclusive<i64>,
    sums: Sums,
    damaged: Vec<String>,
}

impl Walk<'_> {
    fn run(&mut self, sources: &mut Sources) -> Result<()> {
        sources.keep_project(self.project);
        // Which rows count as they are.
        let mut whole: Vec<RowSet> = sources.sources.iter().map(|source| source.summary.no_rows()).collect();
        let numbers: Vec<u64> = sources.sources.iter().map(|source| source.summary.number()).collect();
        let mut anew = Vec::new();
        let (from, to, hours) = (self.from, self.to, self.whole.clone());
        sources.walk(self.snapshot, self.project, self.stop, &|_, _| true, &mut |trace| {
            let Some((earliest, newest)) = trace.all.times else { return };
            if newest < from || earliest > to || hours.contains(&hour_of(earliest)) {
                return;
            }
            // A time of the last millisecond may be beyond it; and a trace may have no span inside though it has some
            // before and some behind.
            let in_doubt = earliest == to || (earliest < from && newest >= to);
            match trace.places {
                [(source, row)] if !in_doubt => whole[*source].insert(*row),
                _ => {
                    let place = |(source, row): &(usize, u32)| (numbers[*source], *row);
                    let places = trace.places.iter().map(place).collect();
                    anew.push(Anew { low: trace.low, spans: u64::from(trace.all.count), places, in_doubt });
                }
            }
        })?;
        for (source, rows) in sources.sources.iter().zip(whole) {
            self.stop.check()?;
            if rows.count() == 0 {
                continue;
            }
            let links = match source.summary.links() {
                Ok(links) => links,
                Err(error) => {
                    self.snapshot.note_damage(error.to_string());
                    self.damaged.extend(source.path.clone());
                    continue;
                }
            };
            let mut sums: HashMap<(u32, u32), (u64, u64)> = HashMap::new();
            for link in rows.iter().flat_map(|row| links.of(row as usize)) {
                let sum = sums.entry((link.parent, link.child)).or_default();
                sum.0 += u64::from(link.calls);
                sum.1 += u64::from(link.errors);
            }
            for ((parent, child), (calls, errors)) in sums {
                self.sums.add(&links.names, parent, child, calls, errors);
            }
        }
        self.link_anew(&anew)
    }

    /// Links traces from all of their spans.
    fn link_anew(&mut self, traces: &[Anew]) -> Result<()> {
        let mut rest = Vec::new();
        for trace in traces {
            match LINKED.get(&trace.places).filter(|_| !trace.in_doubt) {
                Some(linked) => linked.iter().for_each(|link| self.sums.add_link(link)),
                None => rest.push(trace),
            }
        }
        let mut rest = &rest[..];
        while !rest.is_empty() {
            self.stop.check()?;
            let mut spans = 0;
            let fits = |trace: &&&Anew| {
                spans += trace.spans;
                spans <= BATCH_SPANS
            };
            let (batch, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
            self.link_batch(batch)?;
            rest = later;
        }
        Ok(())
    }

    fn link_batch(&mut self, batch: &[&Anew]) -> Result<()> {
        let lows: Vec<u64> = batch.iter().map(|trace| trace.low).collect();
        let mut linking: HashMap<u64, Linking> = HashMap::new();
        let mut damaged = Vec::new();
        fetch::look(self.snapshot, self.project, &lows, &COLUMNS, &mut damaged, self.stop, &mut |span| {
            linking.entry(span.trace_id.low).or_default().add(span);
        })?;
        for trace in batch {
            let Some(linking) = linking.remove(&trace.low) else { continue };
            let is_inside = |time: &i64| (micros(self.from)..=micros(self.to)).contains(time);
            if trace.in_doubt && !linking.times.iter().any(is_inside) {
                continue;
            }
            let links: Linked = linking.finish().into();
            links.iter().for_each(|link| self.sums.add_link(link));
            // Not what may lack spans.
            if damaged.is_empty() {
                LINKED.insert(trace.places.clone(), links);
            }
        }
        self.damaged.append(&mut damaged);
        Ok(())
    }
}

/// Numbers of summaries and rows.
type Places = Box<[(u64, u32)]>;
/// The links of a trace, by name.
type Linked = Arc<[Dependency]>;

/// The links of traces in several places that were asked for last.
static LINKED: LazyLock<Cache<Places, Linked, ByBytes>> =
    LazyLock::new(|| Cache::with_weighter(4_096, LINKED_BYTES, ByBytes));
const LINKED_BYTES: u64 = 16 << 20;

#[derive(Clone)]
struct ByBytes;

impl Weighter<Places, Linked> for ByBytes {
    fn weight(&self, places: &Places, links: &Linked) -> u64 {
        let names: usize = links.iter().map(|link| link.parent.len() + link.child.len()).sum();
        (128 + size_of_val(&**places) + size_of_val(&**links) + names) as u64
    }
}

/// The links of a trace, as its spans are read.
#[derive(Default)]
struct Linking {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
    spans: Vec<LinkSpan>,
    times: Vec<i64>,
}

impl Linking {
    fn number(&mut self, name: &str) -> u32 {
        let name = lower(name);
        if let Some(number) = self.numbers.get(&*name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.clone().into_owned());
        self.numbers.insert(name.into_owned(), number);
        number
    }

    fn add(&mut self, span: &Span<'_>) {
        let facts = LinkSpan::of(span, |name| self.number(name));
        self.spans.push(facts);
        self.times.extend(span.timestamp);
    }

    fn finish(mut self) -> Vec<Dependency> {
        let mut links = Vec::new();
        Linker::default().link_named(&mut self.spans, &self.names, &mut links);
        let named = |number: u32| self.names.get(number as usize).cloned().unwrap_or_default();
        let dependency = |link: &Link| Dependency {
            parent: named(link.parent),
            child: named(link.child),
            calls: u64::from(link.calls),
            errors: u64::from(link.errors),
        };
        links.iter().map(dependency).collect()
    }
}
