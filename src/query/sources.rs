//! The summaries of a snapshot: what searches, names and links read.

use crate::error::Result;
use crate::lake::summary::{Summary, TraceTable};
use crate::store::Snapshot;
use std::ops::Range;
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

/// A source with the times of its traces, of one project.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    pub summary: Arc<Summary>,
    pub traces: Arc<TraceTable>,
    /// The project's rows.
    pub rows: Range<u32>,
}

impl Sources {
    /// The sources that have spans of a time between two (microseconds, both included), or of all times.
    pub fn of(snapshot: &Snapshot, times: Option<(i64, i64)>) -> Result<Sources> {
        let mut found = Sources::default();
        let recent = snapshot.recent()?.into_iter();
        found.sources.extend(recent.map(|summary| Source { summary, path: None, times: None }));
        for file in snapshot.files.iter() {
            let outside = match (times, file.info().stats.timestamp) {
                (Some((from, to)), Some((least, greatest))) => greatest < from || least > to,
                // Whether a file without times has some is not known.
                _ => false,
            };
            if outside {
                continue;
            }
            let path = &file.info().path;
            match file.summaries() {
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
        mut read: impl FnMut(&Source) -> std::result::Result<T, crate::lake::file_reader::Damaged>,
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

    /// The sources that have traces of a project, with their times.
    pub fn timed(&mut self, snapshot: &Snapshot, project: &str) -> Vec<Timed> {
        self.sources.retain(|source| !source.summary.project_rows(project).is_empty());
        self.each(snapshot, |source| {
            let summary = source.summary.clone();
            let traces = summary.traces()?;
            Ok(Timed { rows: summary.project_rows(project), traces, summary })
        })
    }
}

/// Finds traces in a source, one after the other in order of their ids.
#[derive(Clone, Debug)]
pub(super) struct Finder {
    at: usize,
    end: usize,
}

impl Finder {
    pub fn new(timed: &Timed) -> Self {
        Finder { at: timed.rows.start as usize, end: timed.rows.end as usize }
    }

    /// The row of a trace, whose id is not before the one asked for last.
    pub fn find(&mut self, timed: &Timed, low: u64) -> Option<u32> {
        let rows = &timed.traces.rows()[..self.end.min(timed.traces.rows().len())];
        let low = low as i64;
        // In steps that double: where most traces are asked for, the next is near.
        let mut step = 1;
        while self.at + step < rows.len() && (rows[self.at + step].low as i64) <= low {
            self.at += step;
            step *= 2;
        }
        while step > 0 {
            if self.at + step < rows.len() && (rows[self.at + step].low as i64) <= low {
                self.at += step;
            } else {
                step /= 2;
            }
        }
        rows.get(self.at).is_some_and(|row| row.low as i64 == low).then_some(self.at as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake::summary::SummaryBuilder;
    use crate::model::{Scope, Span, TraceId};

    #[test]
    fn each_trace_is_found_whatever_lies_between() {
        let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
        let mut builder = SummaryBuilder::new(&[]);
        let mut lows: Vec<i64> = (0..500).map(|n: i64| (n * n * n - 40_000_000) * 7).collect();
        lows.sort_unstable();
        for low in &lows {
            builder.push(&scope, &Span::new(TraceId::narrow(*low as u64), 1));
        }
        let summary = Arc::new(Summary::of_bytes(builder.finish().into()).unwrap());
        let timed = Timed { traces: summary.traces().unwrap(), rows: summary.project_rows("default"), summary };
        for stride in [1, 2, 3, 50, 499] {
            let mut finder = Finder::new(&timed);
            for (number, low) in lows.iter().enumerate().step_by(stride) {
                assert_eq!(finder.find(&timed, (*low - 1) as u64), None);
                assert_eq!(finder.find(&timed, *low as u64), Some(number as u32), "{stride} {number}");
                assert_eq!(finder.find(&timed, *low as u64), Some(number as u32));
            }
            assert_eq!(finder.find(&timed, i64::MAX as u64), None);
        }
    }
}
