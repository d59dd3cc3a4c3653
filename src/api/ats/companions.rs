//! What leads to a trace's id: the lists of groups, applications, instances and transactions, and the traces of an
//! application.
//!
//! In: paths and query strings; names, and the rows of traces that were found. Out: bodies of answers. Requests give
//! times and durations in milliseconds, answers have them in microseconds, as the product has it.
//!
//! * Applications and instances compare without regard to case: the product wants them sent in lower case, and lists
//!   them as they are. Groups and transactions compare exactly; the `*` of a transaction is a part of its name.
//! * A list or a search that finds nothing has the code of a miss, but for the list of groups, for which the product
//!   knows no such code.
//! * Of a trace there is one entry. It describes the newest span of the application that meets all conditions, after
//!   the pieces of each span were put together: the trace's other spans are had by its id. A span that was posted with
//!   both sides of a call and a name in three parts is one span.
//! * Entries are in the order of the application's newest spans inside the window, the newest first; the limit leaves out
//!   those at the end.

use super::super::Refusal;
use crate::codec::zipkin::ats::{Parts, failed, is_echo, parts};
use crate::model::{Kind, Span, trace};
use crate::query::search::SearchQuery;
use serde::Serialize;
use std::collections::BTreeMap;

/// The code of the list of groups.
pub(super) const GROUPS_OK: &str = "SVCSTG.ATPS.2000";

/// A parameter may be so long.
const LONGEST_TEXT: usize = 4_096;
/// Entries of an answer, unless asked otherwise.
const USUAL_LIMIT: usize = 20;
/// Entries of an answer at most.
const MOST_LIMIT: i64 = 1_000;
/// So that microseconds fit.
const LATEST: i64 = i64::MAX / 1_000;
/// Rows of a trace that wait for further pieces of their spans; what comes after those is taken for whole spans.
const MOST_ROWS: usize = 10_000;

/// The parameters of a query string. Those that nobody asks for do not matter; a blank one counts as not sent.
struct Parameters<'q>(&'q str);

impl Parameters<'_> {
    /// A parameter by its name.
    fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.one_of(name, &[name])
    }

    /// A parameter that goes by several names, of which one is the right one.
    fn one_of(&self, name: &str, names: &[&str]) -> Result<Option<String>, Refusal> {
        let mut found: Option<String> = None;
        for (key, value) in url::form_urlencoded::parse(self.0.as_bytes()) {
            let value = value.trim();
            if !names.contains(&key.as_ref()) || value.is_empty() {
                continue;
            }
            if value.len() > LONGEST_TEXT {
                return Err(refused(name, "too long", &format!("send up to {LONGEST_TEXT} bytes")));
            }
            if found.as_deref().is_some_and(|found| found != value) {
                return Err(refused(name, "given more than once", "send it once"));
            }
            found = Some(value.to_owned());
        }
        Ok(found)
    }

    /// A whole number within bounds, both inclusive.
    fn number(&self, name: &str, (least, most): (i64, i64)) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(refused(name, "invalid", &format!("send a whole number from {least} to {most}"))),
        }
    }

    fn group(&self) -> Result<Option<String>, Refusal> {
        // The product's own example of the list of instances lacks the letter.
        self.one_of("monitorGroup", &["monitorGroup", "monitorGoup"])
    }
}

fn refused(parameter: &str, what: &str, remedy: &str) -> Refusal {
    Refusal::invalid(format!("{parameter} in url is {what}.\nquery parameter {parameter}: {remedy}"))
}

/// The parameter `monitorGroup` of a list.
pub(super) fn group(query: &str) -> Result<Option<String>, Refusal> {
    Parameters(query).group()
}

/// The application in a path, in lower case.
pub(super) fn application(in_path: &str) -> Result<String, Refusal> {
    let name = in_path.trim();
    if name.is_empty() || name.len() > LONGEST_TEXT {
        return Err(bad_application());
    }
    Ok(name.to_lowercase())
}

pub(super) fn bad_application() -> Refusal {
    let remedy =
        format!("send the application's name, up to {LONGEST_TEXT} bytes, between /applications/ and the next /");
    Refusal::invalid(format!("application in url is invalid.\npath: {remedy}"))
}

/// Which traces are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TracesQuery {
    /// Milliseconds since 1970 UTC, inclusive, before `end_time`.
    pub(super) start_time: i64,
    /// Milliseconds since 1970 UTC, inclusive.
    pub(super) end_time: i64,
    /// In lower case.
    pub(super) application: String,
    pub(super) group: Option<String>,
    /// In lower case.
    pub(super) instance: Option<String>,
    pub(super) transaction: Option<String>,
    /// 1 to 1,000.
    pub(super) limit: usize,
    /// Milliseconds, inclusive.
    pub(super) min_duration: i64,
    /// Whether only calls that failed are asked for.
    pub(super) failed: bool,
}

impl TracesQuery {
    pub(super) fn parse(query: &str) -> Result<TracesQuery, Refusal> {
        let parameters = Parameters(query);
        let required = |name: &str, remedy: &str| refused(name, "missing", remedy);
        let time = |name: &str| {
            let given = parameters.number(name, (0, LATEST))?;
            given.ok_or_else(|| required(name, "send milliseconds since 1970 UTC"))
        };
        let (start_time, end_time) = (time("startTime")?, time("endTime")?);
        if start_time >= end_time {
            return Err(refused("startTime", "invalid", "send a time before endTime"));
        }
        let application = parameters.text("application")?;
        let application = application.ok_or_else(|| required("application", "send the name of an application"))?;
        Ok(TracesQuery {
            start_time,
            end_time,
            application: application.to_lowercase(),
            group: parameters.group()?,
            instance: parameters.text("instance")?.map(|instance| instance.to_lowercase()),
            transaction: parameters.text("transaction")?,
            limit: parameters.number("limit", (1, MOST_LIMIT))?.map_or(USUAL_LIMIT, |limit| limit as usize),
            min_duration: parameters.number("duration", (0, LATEST))?.unwrap_or(0),
            // Of the values the product names 1 alone; 0 is what its answers say of a call that went well.
            failed: parameters.number("status", (0, 1))? == Some(1),
        })
    }

    /// The search for what may meet the conditions: the newest of it first, without an end.
    pub(super) fn search(&self, project: String) -> SearchQuery {
        SearchQuery {
            project,
            application: Some(self.application.clone()),
            end_ts: self.end_time,
            lookback: self.end_time - self.start_time,
            limit: usize::MAX,
            // Agents disagree about the width of an id: the right 16 digits decide.
            strict: false,
            ..SearchQuery::default()
        }
    }

    /// Whether a span of these parts meets all conditions.
    fn matches(&self, span: &Span<'_>, parts: &Parts<'_>) -> bool {
        let within = |time: i64| (self.start_time * 1_000..=self.end_time * 1_000).contains(&time);
        parts.application.to_lowercase() == self.application
            && self.group.as_deref().is_none_or(|group| parts.group == group)
            && self.instance.as_deref().is_none_or(|instance| parts.instance.to_lowercase() == instance)
            && self.transaction.as_deref().is_none_or(|transaction| parts.transaction == transaction)
            && span.timestamp.is_some_and(within)
            && span.duration.unwrap_or(0).max(0) >= self.min_duration * 1_000
            && (!self.failed || failed(span))
    }
}

/// One trace in an answer: the newest of its spans that meets the query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TraceChain {
    trace_id: String,
    #[serde(rename = "type")]
    service_type: &'static str,
    /// 1 if the call failed, else 0.
    status: u8,
    /// Microseconds; 0 while the span is unfinished.
    duration: i64,
    application: String,
    instance: String,
    transaction: String,
    /// Microseconds since 1970 UTC.
    start_time: i64,
    /// Microseconds since 1970 UTC.
    end_time: i64,
    /// The IPv4 address of the calling side, or of the span's own side where the caller's is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
}

impl TraceChain {
    fn of(span: &Span<'_>, parts: Parts<'_>) -> Self {
        let start_time = span.timestamp.unwrap_or(0);
        let duration = span.duration.unwrap_or(0).max(0);
        let (local, remote) = (span.local.as_ref(), span.remote.as_ref());
        let called = matches!(span.kind, Some(Kind::Server | Kind::Consumer));
        let caller = remote.filter(|_| called).and_then(|remote| remote.ipv4);
        let address = caller.or_else(|| local?.ipv4);
        TraceChain {
            trace_id: span.trace_id.to_string(),
            // The one type that the product's documents show. Spans of other agents tell no such thing.
            service_type: "TOMCAT_METHOD",
            status: u8::from(failed(span)),
            duration,
            application: parts.application.into_owned(),
            instance: parts.instance.into_owned(),
            transaction: parts.transaction.into_owned(),
            start_time,
            end_time: start_time.saturating_add(duration),
            address: address.map(|address| address.to_string()),
        }
    }
}

/// A row with the namespace that it was posted under.
pub(super) type Row = (Span<'static>, Option<String>);

/// Makes entries of the traces that a search finds, in its order. It holds a bounded part of one trace at a time.
pub(super) struct Chains {
    query: TracesQuery,
    rows: Vec<Row>,
    /// The best so far of those rows that did not wait.
    best: Option<TraceChain>,
    chains: Vec<TraceChain>,
}

impl Chains {
    pub(super) fn new(query: TracesQuery) -> Self {
        Chains { query, rows: Vec::new(), best: None, chains: Vec::new() }
    }

    /// Takes rows of the trace at hand.
    pub(super) fn feed(&mut self, rows: impl IntoIterator<Item = Row>) {
        for (row, namespace) in rows.into_iter().filter(|(row, _)| !is_echo(row)) {
            if self.rows.len() < MOST_ROWS {
                self.rows.push((row, namespace));
            } else {
                self.consider(&row, namespace.as_deref());
            }
        }
    }

    /// The trace at hand is complete; the next row is of another. Whether more traces are wanted.
    pub(super) fn end_trace(&mut self) -> bool {
        let mut namespaces = BTreeMap::new();
        let mut spans = Vec::with_capacity(self.rows.len());
        for (row, namespace) in self.rows.drain(..) {
            if let Some(namespace) = namespace {
                namespaces.insert(side(&row), namespace);
            }
            spans.push(row);
        }
        for span in trace::merge(spans) {
            let side = side(&span);
            let nameless = (side.0, None);
            let namespace = namespaces.get(&side).or_else(|| namespaces.get(&nameless));
            self.consider(&span, namespace.map(String::as_str));
        }
        self.chains.extend(self.best.take());
        self.chains.len() < self.query.limit
    }

    fn consider(&mut self, span: &Span<'_>, namespace: Option<&str>) {
        let parts = parts(span, namespace);
        // Of several at one time the first, which is that of the least id.
        let newer = self.best.as_ref().is_none_or(|best| span.timestamp > Some(best.start_time));
        if newer && self.query.matches(span, &parts) {
            self.best = Some(TraceChain::of(span, parts));
        }
    }

    /// The entries, once the last trace is complete.
    pub(super) fn finish(self) -> Vec<TraceChain> {
        self.chains
    }
}

/// By which a merged span finds a row of its side of the call.
fn side(span: &Span<'_>) -> (u64, Option<String>) {
    let service = span.local.as_ref().and_then(|local| local.service.as_deref());
    (span.id, service.map(str::to_lowercase))
}

/// The answer to a search, as `responseInfo`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Traces {
    count: usize,
    trace_chains: Vec<TraceChain>,
}

impl Traces {
    /// `None` of no entries, which is a miss.
    pub(super) fn of(trace_chains: Vec<TraceChain>) -> Option<Traces> {
        (!trace_chains.is_empty()).then_some(Traces { count: trace_chains.len(), trace_chains })
    }
}

#[cfg(test)]
mod tests;
