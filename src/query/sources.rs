//! The summaries of a snapshot: what searches, names and links read.

use crate::error::Result;
use crate::lake::data_file::Damaged;
use crate::lake::spans::summary::{Summary, TraceRow};
use crate::stop::Stop;
use crate::store::Snapshot;
use std::sync::Arc;

/// The summary of a file, or of spans in memory, as one project sees it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub summary: Arc<Summary>,
    /// The file's path below the table's folder; `None` for memory.
    pub path: Option<String>,
    /// The times that the file's spans lie between, where that is known: microseconds.
    pub times: Option<(i64, i64)>,
}

/// The sources of a snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    pub sources: Vec<Source>,
    /// Files that could not be read.
    pub damaged: Vec<String>,
}

/// Traces that are walked at a time: what a walk holds does not grow with what it passes.
const PART: usize = 1 << 20;

/// The rows that one source has of a part of all ids.
struct Slice {
    /// The number of the first.
    first: u32,
    rows: Vec<TraceRow>,
}

/// A trace as a walk passes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed<'w> {
    /// The low half of its id.
    pub low: u64,
    /// Its spans and times of all sources together.
    pub all: &'w TraceRow,
    /// The sources that have it, by their number, and its row there.
    pub places: &'w [(usize, u32)],
}

impl Sources {
    /// The sources that have spans of a time between two (microseconds, both included), or of all times.
    pub fn of(snapshot: &Snapshot, times: Option<(i64, i64)>) -> Result<Sources> {
        let mut found = Sources::default();
        let recent = snapshot.recent()?.into_iter();
        found.sources.extend(recent.map(|summary| Source { summary, path: None, times: None }));
        for file in snapshot.files.iter() {
            let stats = &file.info().stats;
            let outside = match (times, stats.timestamp) {
                (Some((from, to)), Some((least, greatest))) => greatest < from || least > to,
                // Whether a file without times has some is not known.
                _ => false,
            };
            if outside && stats.timeless == Some(0) {
                continue;
            }
            let path = &file.info().path;
            match file.summaries() {
                // Spans without a time lie nowhere, so they may belong to any trace; but with spans that have one they
                // are where those are.
                Ok(summaries) if outside && summaries.iter().all(|summary| !summary.has_timeless()) => {}
                Ok(summaries) => {
                    let times = file.info().stats.timestamp;
                    let of_file =
                        |summary: &Arc<Summary>| Source { summary: summary.clone(), path: Some(path.clone()), times };
                    found.sources.extend(summaries.iter().map(of_file));
                }
                Err(error) => {
                    snapshot.note_damage(error.to_string());
                    found.damaged.push(path.clone());
                }
            }
        }
        Ok(found)
    }

    /// What `read` makes of each source; one that cannot be read is left out and named.
    pub fn each<T>(
        &mut self,
        snapshot: &Snapshot,
        mut read: impl FnMut(&Source) -> std::result::Result<T, Damaged>,
    ) -> Vec<T> {
        let mut made = Vec::with_capacity(self.sources.len());
        let damaged = &mut self.damaged;
        self.sources.retain(|source| match read(source) {
            Ok(one) => {
                made.push(one);
                true
            }
            Err(error) => {
                snapshot.note_damage(error.to_string());
                damaged.push(source.path.clone().unwrap_or_else(|| "memory".to_owned()));
                false
            }
        });
        made
    }

    /// Drops the sources that have no trace of a project.
    pub fn keep_project(&mut self, project: &str) {
        self.sources.retain(|source| !source.summary.project_rows(project).is_empty());
    }

    /// Walks all traces of a project by id, all sources side by side; or only those of which a source has a row that
    /// `wanted` wants (source and row).
    pub fn walk(
        &mut self,
        snapshot: &Snapshot,
        project: &str,
        stop: &Stop,
        wanted: &dyn Fn(usize, u32) -> bool,
        each: &mut dyn FnMut(Passed<'_>),
    ) -> Result<()> {
        self.walk_parts(snapshot, project, PART, stop, wanted, each)
    }

    fn walk_parts(
        &mut self,
        snapshot: &Snapshot,
        project: &str,
        part_traces: usize,
        stop: &Stop,
        wanted: &dyn Fn(usize, u32) -> bool,
        each: &mut dyn FnMut(Passed<'_>),
    ) -> Result<()> {
        let all: usize = self.sources.iter().map(|source| source.summary.project_rows(project).len()).sum();
        let parts = (all / part_traces.max(1) + 1).next_power_of_two() as u64;
        for part in 0..parts {
            let mut slices = Vec::with_capacity(self.sources.len());
            for source in &self.sources {
                slices.push(slice(source, project, part, parts).unwrap_or_else(|error| {
                    // It has no rows then, and keeps its number.
                    snapshot.note_damage(error.to_string());
                    self.damaged.push(source.path.clone().unwrap_or_else(|| "memory".to_owned()));
                    Slice { first: 0, rows: Vec::new() }
                }));
            }
            stop.check()?;
            walk_slices(&slices, stop, wanted, each)?;
        }
        Ok(())
    }
}

/// The rows of a source whose ids are of one of so many parts.
fn slice(source: &Source, project: &str, part: u64, parts: u64) -> std::result::Result<Slice, Damaged> {
    let range = source.summary.project_rows(project);
    let traces = source.summary.traces()?;
    let rows = traces.rows().get(range.start as usize..range.end as usize).unwrap_or_default();
    // Signed numbers in order, from 0; the shift is one of all bits where there is one part.
    let part_of = |row: &TraceRow| (row.low ^ 1 << 63).checked_shr(64 - parts.ilog2()).unwrap_or_default();
    let start = rows.partition_point(|row| part_of(row) < part);
    let end = rows.partition_point(|row| part_of(row) <= part);
    Ok(Slice { first: range.start + start as u32, rows: rows[start..end].to_vec() })
}

fn walk_slices(
    slices: &[Slice],
    stop: &Stop,
    wanted: &dyn Fn(usize, u32) -> bool,
    each: &mut dyn FnMut(Passed<'_>),
) -> Result<()> {
    let mut lows = Vec::new();
    for (number, slice) in slices.iter().enumerate() {
        let rows = slice.rows.iter().zip(slice.first..);
        lows.extend(rows.filter(|(_, row)| wanted(number, *row)).map(|(row, _)| row.low as i64));
    }
    lows.sort_unstable();
    lows.dedup();
    let mut finders = vec![Finder::default(); slices.len()];
    let mut places = Vec::with_capacity(slices.len());
    for (count, low) in lows.into_iter().enumerate() {
        if count % 4_096 == 4_095 {
            stop.check()?;
        }
        places.clear();
        let mut all = TraceRow::new(low as u64);
        for (number, (slice, finder)) in slices.iter().zip(&mut finders).enumerate() {
            if let Some(at) = finder.find(&slice.rows, low) {
                all.join(&slice.rows[at]);
                places.push((number, slice.first + at as u32));
            }
        }
        each(Passed { low: low as u64, all: &all, places: &places });
    }
    Ok(())
}

/// Finds rows by their ids, one after the other in order.
#[derive(Clone, Copy, Debug, Default)]
struct Finder {
    at: usize,
}

impl Finder {
    /// The place of a trace, whose id is not before the one asked for last.
    fn find(&mut self, rows: &[TraceRow], low: i64) -> Option<usize> {
        let is_before = |at: usize| rows.get(at).is_some_and(|row| (row.low as i64) <= low);
        // In steps that double: where most traces are asked for, the next is near.
        let mut step = 1;
        while is_before(self.at + step) {
            self.at += step;
            step *= 2;
        }
        while step > 0 {
            match is_before(self.at + step) {
                true => self.at += step,
                false => step /= 2,
            }
        }
        rows.get(self.at).is_some_and(|row| row.low as i64 == low).then_some(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::spans::summary::SummaryBuilder;
    use crate::model::{Scope, Span, TraceId};
    use std::collections::BTreeMap;

    #[test]
    fn each_trace_is_found_whatever_lies_between() {
        let mut lows: Vec<i64> = (0..500).map(|n: i64| (n * n * n - 40_000_000) * 7).collect();
        lows.sort_unstable();
        let rows: Vec<TraceRow> = lows.iter().map(|low| TraceRow::new(*low as u64)).collect();
        for stride in [1, 2, 3, 50, 499] {
            let mut finder = Finder::default();
            for (number, low) in lows.iter().enumerate().step_by(stride) {
                assert_eq!(finder.find(&rows, low - 1), None);
                assert_eq!(finder.find(&rows, *low), Some(number), "{stride} {number}");
                assert_eq!(finder.find(&rows, *low), Some(number));
            }
            assert_eq!(finder.find(&rows, i64::MAX), None);
        }
        assert_eq!(Finder::default().find(&[], 1), None);
    }

    fn source(lows: impl Iterator<Item = i64>, project: &'static str) -> Source {
        let scope = Scope { project: project.into(), cluster_id: None, namespace: None };
        let mut lows: Vec<i64> = lows.collect();
        lows.sort_unstable();
        let mut builder = SummaryBuilder::new(&[]);
        for low in lows {
            let mut span = Span::new(TraceId::narrow(low as u64), 1);
            span.timestamp = Some(5_000 + low.rem_euclid(7) * 1_000);
            builder.push(&scope, &span);
        }
        let summary = Summary::of_bytes(builder.finish().into()).unwrap();
        Source { summary: Arc::new(summary), path: None, times: None }
    }

    #[test]
    fn a_walk_in_parts_passes_what_one_in_one_piece_does() {
        let spread = |n: i64| n.wrapping_mul(0x1234_5678_9abc_def1);
        let mut sources = Sources::default();
        sources.sources.push(source((1..300).map(spread), "a"));
        sources.sources.push(source((200..500).map(spread), "a"));
        sources.sources.push(source((1..9).map(spread), "b"));
        sources.keep_project("a");
        let snapshot = Snapshot::of(vec![], vec![]);
        let mut walk = |part_traces: usize, wanted: &dyn Fn(usize, u32) -> bool| {
            let mut passed = BTreeMap::new();
            let mut last = None;
            let mut each = |trace: Passed<'_>| {
                assert!(last < Some(trace.low as i64), "in order");
                last = Some(trace.low as i64);
                passed.insert(trace.low, (*trace.all, trace.places.to_vec()));
            };
            sources.walk_parts(&snapshot, "a", part_traces, &Stop::never(), wanted, &mut each).unwrap();
            passed
        };
        let whole = walk(1_000_000, &|_, _| true);
        assert_eq!(whole.len(), 499);
        assert_eq!(whole.values().filter(|(all, places)| all.count == 2 && places.len() == 2).count(), 100);
        for part_traces in [1, 10, 100, 600] {
            assert_eq!(walk(part_traces, &|_, _| true), whole);
        }
        // Wanted by one source, a trace is passed with what the others have of it.
        let some = walk(50, &|source, row| source == 0 && row < 10);
        assert_eq!(some.len(), 10);
        assert!(some.iter().all(|(low, trace)| whole.get(low) == Some(trace)));
    }
}
