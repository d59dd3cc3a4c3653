//! Search: the newest traces that meet some conditions.
//!
//! ```text
//! summaries -> the newest traces that may meet the query (candidates) -> their spans, some traces at a time, one pass
//!   over each file -> do they meet it (test)? -> the newest first, chunk by chunk
//! ```
//!
//! The summaries leave no trace out, the spans decide, so an answer is exact whatever the summaries let pass. What is held
//! is bounded: so many candidates, the spans of a few traces; a very large trace is tested and given out as it is read.
//!
//! A deviation: where all that meets a condition of a trace lies more than [`REACH`] outside the window, in a file all of
//! whose spans do, the trace is not found by it.

mod candidates;
mod query;
mod test;
mod verdict;

pub use query::SearchQuery;
pub use test::TraceTest;

use self::candidates::{Candidate, candidates};
use self::query::Window;
use self::verdict::{Found, Order, Verdict};
use super::fetch;
use super::origin::{Origins, Rows};
use super::sources::Sources;
use super::trace::{TraceCursor, TraceQuery};
use crate::error::Result;
use crate::model::{Span, TraceId};
use crate::stop::Stop;
use crate::store::Snapshot;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

/// How far outside a window what belongs to a trace inside is looked for: microseconds.
const REACH: i64 = 3_600_000_000;
/// Candidates at a time; more are looked for if these do not do.
const CANDIDATES: usize = 65_536;
/// Spans of the traces that are looked at together, if they are not too many bytes.
const BATCH_SPANS: u64 = 10_000;
/// A trace of more is never held whole.
const LARGE: u64 = 10_000;
/// Candidates in doubt that are sifted together, and their spans.
const SIFTED: usize = 400;
const SIFTED_SPANS: u64 = 60_000;
/// Traces that are looked at together beyond those that are still wanted.
const AHEAD: usize = 4;
/// Traces that are looked at together where all that are wanted are there, but others may come before them.
const BESIDE: usize = 64;
/// Where no limit is given, how many traces are looked at together first; then twice as many, and so on.
const FIRST: usize = 32;
/// Bytes of found traces that are held until their turn, about; more are read anew.
const MOST_HELD: usize = 12 << 20;

/// Spans of a trace that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Without duplicates, in the order in which a lookup by id gives them.
    pub rows: Rows,
    /// Whether the trace is complete with these.
    pub ends_trace: bool,
}

impl Chunk {
    /// Spans of which nobody asks where they are from.
    pub fn of(spans: Vec<Span<'static>>, ends_trace: bool) -> Chunk {
        Chunk { rows: Rows { spans, origins: Origins::default() }, ends_trace }
    }
}

/// The traces found, newest first, given out chunk by chunk. Its calls block on the disk.
#[derive(Debug)]
pub struct Search {
    snapshot: Snapshot,
    query: SearchQuery,
    stop: Stop,
    sources: Sources,
    /// Not yet looked at, the newest first.
    candidates: VecDeque<Candidate>,
    /// The last of those that were looked for, if there may be more.
    more: Option<Candidate>,
    /// Found, in the order in which they are given out; no more than are wanted.
    found: BTreeMap<Order, Found>,
    /// Bytes that those hold.
    held: usize,
    /// The most traces that may be looked at together: less than one would where they proved to be large.
    together: usize,
    /// How many are still wanted.
    wanted: usize,
    /// How many traces are looked at together next, where there is no limit.
    step: usize,
    /// The trace that is being given out, as it is read.
    reading: Option<TraceCursor>,
    /// Read of it already, to know whether it is the last of it.
    ahead: Option<Rows>,
    damaged: Vec<String>,
}

impl Search {
    /// Begins a search.
    pub fn open(snapshot: &Snapshot, query: &SearchQuery, stop: Stop) -> Result<Search> {
        let window = Window::of(query);
        let times = (window.from.saturating_sub(REACH), window.to.saturating_add(REACH));
        let mut search = Search {
            snapshot: snapshot.clone(),
            query: query.clone(),
            stop,
            sources: Sources::of(snapshot, Some(times))?,
            candidates: VecDeque::new(),
            more: None,
            found: BTreeMap::new(),
            held: 0,
            together: usize::MAX,
            wanted: query.limit,
            step: FIRST,
            reading: None,
            ahead: None,
            damaged: Vec::new(),
        };
        if search.wanted > 0 {
            search.look_on(None)?;
        }
        Ok(search)
    }

    /// Looks for the next candidates.
    fn look_on(&mut self, after: Option<Candidate>) -> Result<()> {
        let found = candidates(&self.snapshot, &mut self.sources, &self.query, after, CANDIDATES, &self.stop)?;
        self.more = found.last().copied().filter(|_| found.len() == CANDIDATES);
        self.candidates = found.into();
        for path in std::mem::take(&mut self.sources.damaged) {
            self.note_damaged(path);
        }
        Ok(())
    }

    fn note_damaged(&mut self, path: String) {
        if !self.damaged.contains(&path) {
            self.damaged.push(path);
        }
    }

    /// Files that could not be read so far: their spans are missing from the answer.
    pub fn damaged(&self) -> &[String] {
        &self.damaged
    }

    /// The next spans; `None` after the last trace. No chunk is empty.
    pub fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        loop {
            self.stop.check()?;
            if let Some(chunk) = self.read_on()? {
                return Ok(Some(chunk));
            }
            let Some(found) = self.next_found()? else { return Ok(None) };
            match found.rows {
                Some(rows) => return Ok(Some(Chunk { rows, ends_trace: true })),
                None => self.reading = Some(TraceCursor::open(&self.snapshot, &self.by_id(found.id))?),
            }
        }
    }

    fn by_id(&self, trace_id: TraceId) -> TraceQuery {
        let project = self.query.project.clone();
        TraceQuery { project, trace_id, strict: self.query.strict, cluster_id: None, namespace: None }
    }

    /// The next chunk of the large trace that is being given out.
    fn read_on(&mut self) -> Result<Option<Chunk>> {
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let rows = match self.ahead.take() {
            Some(rows) => Some(rows),
            None => reading.next_rows()?,
        };
        self.ahead = reading.next_rows()?;
        let ends_trace = self.ahead.is_none();
        let damaged = reading.damaged().to_vec();
        if ends_trace {
            self.reading = None;
        }
        damaged.into_iter().for_each(|path| self.note_damaged(path));
        Ok(rows.map(|rows| Chunk { rows, ends_trace }))
    }

    /// The next trace, once no candidate can come before it.
    fn next_found(&mut self) -> Result<Option<Found>> {
        if self.wanted == 0 {
            return Ok(None);
        }
        loop {
            if self.candidates.is_empty()
                && let Some(last) = self.more.take()
            {
                self.look_on(Some(last))?;
            }
            let is_next = match (self.found.first_key_value(), self.candidates.front()) {
                // A candidate is as new as it says or older.
                (Some((found, _)), Some(candidate)) => (found.0, found.1) <= (candidate.newest, candidate.low),
                (found, None) => found.is_some() || self.more.is_none(),
                (None, Some(_)) => false,
            };
            if is_next {
                self.wanted -= 1;
                let found = self.found.pop_first().map(|(_, found)| found);
                self.held -= found.as_ref().map_or(0, |found| found.bytes);
                if found.is_none() || self.wanted == 0 {
                    // What else is held will not be given out.
                    self.candidates.clear();
                    self.found.clear();
                    self.held = 0;
                    self.more = None;
                    self.wanted = 0;
                }
                return Ok(found);
            }
            self.look_at_some()?;
        }
    }

    /// Drops those of the next candidates that a look at a few columns shows not to meet the query. A rare token names
    /// a block of some dozen traces, of which one has it or none, and reading all of their spans takes three times as
    /// long.
    fn sift(&mut self) -> Result<()> {
        let (mut lows, mut spans) = (Vec::new(), 0);
        for candidate in self.candidates.iter_mut().take(SIFTED).filter(|candidate| candidate.in_doubt) {
            spans += candidate.spans;
            if !lows.is_empty() && spans > SIFTED_SPANS {
                break;
            }
            candidate.in_doubt = false;
            lows.push(candidate.low as u64);
        }
        let columns = self.query.columns();
        let mut damaged = Vec::new();
        let mut verdicts: HashMap<u64, Verdict<'_>> = HashMap::new();
        fetch::look(&self.snapshot, &self.query.project, &lows, &columns, &mut damaged, &self.stop, &mut |span| {
            verdicts.entry(span.trace_id.low).or_insert_with(|| Verdict::new(&self.query)).feed(span);
        })?;
        // What could not be read may be what a trace meets the query by: all stay, and the reader of whole traces says
        // what is missing.
        if !damaged.is_empty() {
            return Ok(());
        }
        let fails = |(low, verdict): (u64, Verdict<'_>)| verdict.met().next().is_none().then_some(low as i64);
        let failed: HashSet<i64> = verdicts.into_iter().filter_map(fails).collect();
        self.candidates.retain(|candidate| !failed.contains(&candidate.low));
        Ok(())
    }

    /// Looks at the spans of the next candidates.
    fn look_at_some(&mut self) -> Result<()> {
        self.stop.check()?;
        if self.candidates.front().is_some_and(|candidate| candidate.in_doubt) {
            return self.sift();
        }
        let (mut taken, mut spans): (Vec<Candidate>, u64) = (Vec::new(), 0);
        let mut most = match self.wanted.saturating_sub(self.found.len()) {
            0 => BESIDE,
            missing => missing.saturating_add(AHEAD),
        };
        if self.query.limit == usize::MAX {
            most = self.step;
            self.step = self.step.saturating_mul(2);
        }
        while let Some(candidate) = self.candidates.front()
            && taken.len() < most.min(self.together)
            && (taken.is_empty() || spans + candidate.spans <= BATCH_SPANS)
            && (taken.is_empty() || candidate.spans <= LARGE)
        {
            spans += candidate.spans;
            taken.push(*candidate);
            self.candidates.pop_front();
        }
        if let ([one], true) = (&taken[..], spans > LARGE) {
            return self.look_at_large(one.low as u64);
        }
        let lows: Vec<u64> = taken.iter().map(|candidate| candidate.low as u64).collect();
        let mut damaged = Vec::new();
        let traces = fetch::traces(&self.snapshot, &self.query.project, &lows, &mut damaged, &self.stop)?;
        let Some(mut traces) = traces else {
            // Few spans of many bytes.
            if let [low] = lows[..] {
                return self.look_at_large(low);
            }
            self.together = taken.len() / 2;
            taken.into_iter().rev().for_each(|candidate| self.candidates.push_front(candidate));
            return Ok(());
        };
        damaged.into_iter().for_each(|path| self.note_damaged(path));
        for low in lows {
            let Some(rows) = traces.remove(&low) else { continue };
            let spans = &rows.spans;
            let mut verdict = Verdict::new(&self.query);
            spans.iter().for_each(|span| verdict.feed(span));
            let met: Vec<_> = verdict.met().collect();
            let strict = self.query.strict;
            if let ([(id, _, newest)], true) =
                (&met[..], spans.iter().all(|span| !strict || span.trace_id.high == spans[0].trace_id.high))
            {
                self.hold(Found::new(*newest, *id, Some(rows)));
                continue;
            }
            for (id, key, newest) in met {
                let own = rows.only(|span| !strict || span.trace_id.high == key);
                self.hold(Found::new(newest, id, Some(own)));
            }
        }
        Ok(())
    }

    /// Keeps a trace until its turn, and its spans if there is room.
    fn hold(&mut self, mut found: Found) {
        if self.held + found.bytes > MOST_HELD {
            found.let_go();
        }
        self.held += found.bytes;
        self.found.insert(found.order(), found);
        if self.found.len() > self.wanted
            && let Some((_, last)) = self.found.pop_last()
        {
            self.held -= last.bytes;
        }
    }

    /// Looks at a trace that is too large to be held.
    fn look_at_large(&mut self, low: u64) -> Result<()> {
        let query = TraceQuery { strict: false, ..self.by_id(TraceId::narrow(low)) };
        let mut cursor = TraceCursor::open(&self.snapshot, &query)?;
        let mut verdict = Verdict::new(&self.query);
        while let Some(spans) = cursor.next_chunk()? {
            self.stop.check()?;
            spans.iter().for_each(|span| verdict.feed(span));
        }
        let met: Vec<_> = verdict.met().collect();
        let damaged = cursor.damaged().to_vec();
        damaged.into_iter().for_each(|path| self.note_damaged(path));
        for (id, _, newest) in met {
            self.hold(Found::new(newest, id, None));
        }
        Ok(())
    }
}
