//! What a run came to, for a person and for programs.

use super::lookup::LookupReport;
use super::measure::{DiskUse, Percentiles};
use super::search::SearchReport;
use serde::Serialize;
use std::fmt::Write;

/// One run. Fields are null where they could not be measured (no process, no folder) or were not asked for.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// From 1.
    pub run: u32,
    pub seed: u64,
    /// What was sent: `generated`, or the folder that was replayed.
    pub source: String,
    pub traces: u64,
    pub spans: u64,
    /// From the start of the server's process to its banner.
    pub start_to_ready_milliseconds: Option<f64>,
    pub load: Option<LoadReport>,
    pub lookup: Option<LookupReport>,
    pub search: Option<SearchReport>,
    /// The most memory that the server had resident, over the whole run.
    pub peak_memory_bytes: Option<u64>,
    /// What a reader of the figures has to know.
    pub notes: Vec<String>,
}

/// What the load came to.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    pub format: &'static str,
    pub gzip: bool,
    pub connections: u32,
    pub batch: u32,
    pub spans: u64,
    pub requests: u64,
    /// Until the last acknowledgement.
    pub seconds: f64,
    pub spans_per_second: f64,
    pub acknowledgement_milliseconds: Percentiles,
    /// Answers that asked to come again later; each was obeyed.
    pub refusals: u64,
    pub raw_bytes_per_span: f64,
    pub sent_bytes_per_span: f64,
    /// From the last acknowledgement until all is committed.
    pub flush_milliseconds: Option<f64>,
    /// CPU of the server from the first request until all is acknowledged and committed.
    pub server_cpu_seconds: Option<f64>,
    pub spans_per_server_cpu_second: Option<f64>,
    /// CPU of the server for compaction and settling after that.
    pub settle_cpu_seconds: Option<f64>,
    pub client_cpu_seconds: Option<f64>,
    pub client_cpu_micros_per_span: Option<f64>,
    /// What the load added below the table's folder, settled.
    pub disk: Option<DiskUse>,
    pub bytes_per_span: Option<f64>,
}

impl RunReport {
    /// What runs are compared by: more is better.
    pub fn merit(&self) -> f64 {
        match (&self.load, &self.lookup) {
            (Some(load), _) => load.spans_per_server_cpu_second.unwrap_or(load.spans_per_second),
            (None, Some(lookup)) => -lookup.milliseconds.p50,
            (None, None) => 0.0,
        }
    }

    /// Whether every lookup and search was answered right.
    pub fn is_right(&self) -> bool {
        self.lookup.as_ref().is_none_or(|lookup| lookup.mismatches == 0)
            && self.search.as_ref().is_none_or(|search| search.mismatches() == 0)
    }

    /// The run for a person.
    pub fn table(&self) -> String {
        let mut rows = Rows::default();
        rows.add(
            "sent",
            format!("{} spans in {} traces ({}, seed {})", self.spans, self.traces, self.source, self.seed),
        );
        if let Some(millis) = self.start_to_ready_milliseconds {
            rows.add("start to ready", format!("{millis:.0} ms"));
        }
        if let Some(load) = &self.load {
            load.rows(&mut rows);
        }
        if let Some(lookup) = &self.lookup {
            let Percentiles { p50, p90, p99, max } = lookup.milliseconds;
            rows.add("lookup", format!("p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  max {max:.2} ms ({})", lookup.api));
            let bytes = lookup.bytes_answered as f64 / lookup.lookups.max(1) as f64 / 1024.0;
            let spans = lookup.spans_answered as f64 / lookup.lookups.max(1) as f64;
            rows.add("", format!("{} lookups, {spans:.1} spans and {bytes:.1} KiB an answer", lookup.lookups));
            rows.add("mismatches", lookup.mismatches.to_string());
            for example in &lookup.examples {
                rows.add("", example.clone());
            }
        }
        if let Some(search) = &self.search {
            search.rows(&mut rows);
        }
        if let Some(bytes) = self.peak_memory_bytes {
            rows.add("peak memory", mebibytes(bytes));
        }
        for note in &self.notes {
            rows.add("note", note.clone());
        }
        rows.0
    }
}

impl LoadReport {
    fn rows(&self, rows: &mut Rows) {
        let gzip = if self.gzip { ", gzip" } else { "" };
        rows.add(
            "posted",
            format!(
                "{} requests of {} spans, {} connections, {}{gzip}, {:.0} bytes a span",
                self.requests, self.batch, self.connections, self.format, self.sent_bytes_per_span
            ),
        );
        rows.add("acknowledged", format!("{:.0} spans/s ({:.2} s)", self.spans_per_second, self.seconds));
        let Percentiles { p50, p90, p99, max } = self.acknowledgement_milliseconds;
        rows.add("acknowledgement", format!("p50 {p50:.1}  p90 {p90:.1}  p99 {p99:.1}  max {max:.1} ms"));
        rows.add("refusals", self.refusals.to_string());
        if let Some(millis) = self.flush_milliseconds {
            rows.add("last flush", format!("{millis:.0} ms"));
        }
        if let (Some(seconds), Some(rate)) = (self.server_cpu_seconds, self.spans_per_server_cpu_second) {
            rows.add("server CPU", format!("{seconds:.2} s until committed: {rate:.0} spans per CPU second"));
        }
        if let Some(seconds) = self.settle_cpu_seconds {
            rows.add("", format!("{seconds:.2} s more until settled"));
        }
        if let (Some(seconds), Some(micros)) = (self.client_cpu_seconds, self.client_cpu_micros_per_span) {
            rows.add("client CPU", format!("{seconds:.2} s ({micros:.2} us a span)"));
        }
        if let (Some(disk), Some(bytes)) = (&self.disk, self.bytes_per_span) {
            rows.add("on disk", format!("{bytes:.1} bytes a span, {} in all", mebibytes(disk.bytes)));
            let spans = self.spans.max(1) as f64;
            rows.add(
                "",
                format!(
                    "parquet {:.1} ({} files), _delta_log {:.1}, other {:.1} bytes a span",
                    disk.parquet_bytes as f64 / spans,
                    disk.parquet_files,
                    disk.log_bytes as f64 / spans,
                    disk.other_bytes as f64 / spans
                ),
            );
        }
    }
}

impl SearchReport {
    fn rows(&self, rows: &mut Rows) {
        let mut label = "search";
        for kind in &self.kinds {
            let Percentiles { p50, p90, p99, max } = kind.milliseconds;
            let bytes = kind.bytes_answered as f64 / kind.searches.max(1) as f64 / 1024.0;
            rows.add(
                label,
                format!(
                    "{:<17}p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  max {max:.2} ms, {bytes:.1} KiB an answer",
                    kind.kind
                ),
            );
            label = "";
        }
        if let Some(kind) = self.kinds.first() {
            rows.add("", format!("{} searches of each kind", kind.searches));
        }
        rows.add("mismatches", self.mismatches().to_string());
        for kind in &self.kinds {
            for example in &kind.examples {
                rows.add("", format!("{}: {example}", kind.kind));
            }
        }
    }
}

/// The place of the best run.
pub fn best(runs: &[RunReport]) -> Option<usize> {
    (0..runs.len()).max_by(|&a, &b| runs[a].merit().total_cmp(&runs[b].merit()))
}

/// All runs for programs.
pub fn json(runs: &[RunReport]) -> String {
    #[derive(Serialize)]
    struct Report<'a> {
        /// The number of the best run.
        best: Option<u32>,
        runs: &'a [RunReport],
    }
    let report = Report { best: best(runs).map(|at| runs[at].run), runs };
    serde_json::to_string_pretty(&report).unwrap_or_default()
}

#[derive(Default)]
pub(super) struct Rows(pub(super) String);

impl Rows {
    pub(super) fn add(&mut self, label: &str, text: String) {
        let _ = writeln!(self.0, "  {label:<17}{text}");
    }
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::search::KindReport;

    fn percentiles(p50: f64) -> Percentiles {
        Percentiles { p50, p90: 2.0 * p50, p99: 3.0 * p50, max: 4.0 * p50 }
    }

    fn kind(kind: &'static str, p50: f64, wrong: &[&str]) -> KindReport {
        KindReport {
            kind,
            searches: 200,
            milliseconds: percentiles(p50),
            first_milliseconds: 9.0,
            bytes_answered: 200 * 1536,
            mismatches: wrong.len() as u64,
            examples: wrong.iter().map(|example| (*example).to_owned()).collect(),
        }
    }

    fn run(number: u32, kinds: Vec<KindReport>) -> RunReport {
        RunReport {
            run: number,
            seed: 7,
            source: "generated".to_owned(),
            traces: 2,
            spans: 90,
            start_to_ready_milliseconds: Some(20.4),
            load: None,
            lookup: Some(LookupReport {
                api: "ats",
                lookups: 10,
                milliseconds: percentiles(f64::from(number)),
                first_milliseconds: 3.0,
                spans_answered: 440,
                bytes_answered: 10_240,
                mismatches: 0,
                examples: Vec::new(),
                seconds: 0.1,
            }),
            search: Some(SearchReport { kinds, skipped: Vec::new(), seconds: 1.5 }),
            peak_memory_bytes: Some(3 << 20),
            notes: vec!["a word".to_owned()],
        }
    }

    #[test]
    fn a_run_is_a_table_with_a_row_for_each_kind_of_search() {
        let kinds = vec![kind("newest 20", 1.25, &[]), kind("remote services", 0.5, &["/api/v2/x: answered nothing"])];
        assert_eq!(
            run(1, kinds).table(),
            "  sent             90 spans in 2 traces (generated, seed 7)
  start to ready   20 ms
  lookup           p50 1.00  p90 2.00  p99 3.00  max 4.00 ms (ats)
                   10 lookups, 44.0 spans and 1.0 KiB an answer
  mismatches       0
  search           newest 20        p50 1.25  p90 2.50  p99 3.75  max 5.00 ms, 1.5 KiB an answer
                   remote services  p50 0.50  p90 1.00  p99 1.50  max 2.00 ms, 1.5 KiB an answer
                   200 searches of each kind
  mismatches       1
                   remote services: /api/v2/x: answered nothing
  peak memory      3.0 MiB
  note             a word
"
        );
    }

    #[test]
    fn one_search_that_is_answered_wrong_makes_a_run_wrong() {
        assert!(run(1, vec![kind("tag", 1.0, &[])]).is_right());
        assert!(!run(1, vec![kind("tag", 1.0, &[]), kind("services", 1.0, &["wrong"])]).is_right());
        assert!(RunReport { lookup: None, search: None, ..run(1, vec![]) }.is_right());
    }

    #[test]
    fn programs_get_the_searches_by_kind_and_the_best_run() {
        let runs = [run(2, vec![kind("tag", 1.0, &["wrong"])]), run(1, vec![])];
        let json: serde_json::Value = serde_json::from_str(&json(&runs)).unwrap();
        assert_eq!(json["best"], 1);
        assert_eq!(
            json["runs"][0]["search"],
            serde_json::json!({
                "kinds": [{
                    "kind": "tag", "searches": 200,
                    "milliseconds": {"p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0},
                    "first_milliseconds": 9.0, "bytes_answered": 307_200,
                    "mismatches": 1, "examples": ["wrong"],
                }],
                "skipped": [], "seconds": 1.5,
            })
        );
    }
}
