//! Lookups: random traces of those sent, asked for by id, one after the other; each answer's spans are counted.

use super::client::{Answer, Connection, Target};
use super::draw::mix;
use super::measure::{Percentiles, micros_since, moment};
use super::source::Source;
use crate::model::TraceId;
use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The API that traces are asked for over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupApi {
    Ats,
    Zipkin,
}

impl LookupApi {
    pub const ALL: [LookupApi; 2] = [LookupApi::Ats, LookupApi::Zipkin];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            LookupApi::Ats => "ats",
            LookupApi::Zipkin => "zipkin",
        }
    }

    pub fn from_name(name: &str) -> Option<LookupApi> {
        LookupApi::ALL.into_iter().find(|api| api.name() == name)
    }

    fn path(self, id: TraceId) -> String {
        match self {
            LookupApi::Ats => format!("/v1/0/ats/spans?traceId={id}"),
            LookupApi::Zipkin => format!("/api/v2/trace/{id}"),
        }
    }

    /// The spans of that trace in an answer; an error where it is none, or holds others.
    fn count(self, answer: &Answer, id: TraceId) -> Result<usize, String> {
        if self == LookupApi::Zipkin && answer.status == StatusCode::NOT_FOUND {
            return Ok(0);
        }
        if !answer.status.is_success() {
            return Err(format!("answered {}: {}", answer.status, answer.excerpt()));
        }
        let unreadable = |error| format!("answered what cannot be read: {error}: {}", answer.excerpt());
        let id = id.to_string();
        let (spans, others) = match self {
            LookupApi::Ats => {
                let read: AtsAnswer = serde_json::from_slice(&answer.body).map_err(unreadable)?;
                let spans = read.response_info.unwrap_or_default();
                let begin = format!("{{\"traceId\":\"{id}\"");
                let others = spans.iter().filter(|span| !span.starts_with(&begin)).count();
                (spans.len(), others)
            }
            LookupApi::Zipkin => {
                let spans: Vec<ZipkinSpan> = serde_json::from_slice(&answer.body).map_err(unreadable)?;
                (spans.len(), spans.iter().filter(|span| span.trace_id != id).count())
            }
        };
        if others > 0 {
            return Err(format!("answered {spans} spans, {others} of them of other traces"));
        }
        Ok(spans)
    }
}

#[derive(Deserialize)]
struct AtsAnswer<'a> {
    #[serde(rename = "responseInfo", borrow)]
    response_info: Option<Vec<Cow<'a, str>>>,
}

#[derive(Deserialize)]
struct ZipkinSpan<'a> {
    #[serde(rename = "traceId", borrow)]
    trace_id: Cow<'a, str>,
}

/// What looking up came to.
#[derive(Clone, Debug, Serialize)]
pub struct LookupReport {
    pub api: &'static str,
    pub lookups: u64,
    pub milliseconds: Percentiles,
    /// The first lookup of all, on a connection that is open.
    pub first_milliseconds: f64,
    pub spans_answered: u64,
    pub bytes_answered: u64,
    /// Answers that were not the trace as it was sent.
    pub mismatches: u64,
    /// The first few of them.
    pub examples: Vec<String>,
    pub seconds: f64,
}

/// Lookups before those that are timed.
const WARM_UP: u64 = 100;

/// How many mismatches are described.
const EXAMPLES: usize = 5;

/// Looks up `lookups` traces, drawn by `seed`.
pub async fn look_up(
    target: &Target,
    source: &Source,
    api: LookupApi,
    lookups: u64,
    seed: u64,
) -> Result<LookupReport, String> {
    let mut connection = Connection::new(target.clone());
    connection.get("/health").await?;
    let mut report = LookupReport {
        api: api.name(),
        lookups,
        milliseconds: Percentiles::default(),
        first_milliseconds: 0.0,
        spans_answered: 0,
        bytes_answered: 0,
        mismatches: 0,
        examples: Vec::new(),
        seconds: 0.0,
    };
    let mut times = Vec::new();
    let warm_up = WARM_UP.min(lookups);
    let start = moment();
    for lookup in 0..warm_up + lookups {
        let number = mix(seed, 0x6c6f_6f6b, lookup) % source.traces().max(1);
        let id = source.trace_id(number);
        let answer = connection.get(&api.path(id)).await?;
        if lookup == 0 {
            report.first_milliseconds = f64::from(answer.micros) / 1000.0;
        }
        // The warm-up's answers are checked as well, but neither timed nor counted.
        if lookup >= warm_up {
            times.push(answer.micros);
            report.bytes_answered += answer.body.len() as u64;
        }
        let expected = source.span_count(number);
        let wrong = match api.count(&answer, id) {
            Ok(spans) if spans == expected => {
                report.spans_answered += if lookup >= warm_up { spans as u64 } else { 0 };
                continue;
            }
            Ok(spans) => format!("answered {spans} spans where {expected} were sent"),
            Err(wrong) => wrong,
        };
        report.mismatches += 1;
        if report.examples.len() < EXAMPLES {
            report.examples.push(format!("trace {id}: {wrong}"));
        }
    }
    report.seconds = f64::from(micros_since(start)) / 1e6;
    report.milliseconds = Percentiles::of(times);
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn answer(status: u16, body: &str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, retry_after: None, revision: None, body: Bytes::from(body.to_owned()), micros: 1 }
    }

    #[test]
    fn spans_of_the_asked_trace_are_counted_in_either_api() {
        let id = TraceId::narrow(0x27046b00);
        let ats = r#"{"errorCode":"SVCSTG.ATS.2000","errorMessage":null,"responseInfo":["{\"traceId\":\"0000000027046b00\",\"id\":\"1\"}","{\"traceId\":\"0000000027046b00\",\"id\":\"2\"}"]}"#;
        assert_eq!(LookupApi::Ats.count(&answer(200, ats), id), Ok(2));
        let zipkin = r#"[{"traceId":"0000000027046b00","id":"0000000000000001","tags":{"a":"b"}}]"#;
        assert_eq!(LookupApi::Zipkin.count(&answer(200, zipkin), id), Ok(1));
    }

    #[test]
    fn a_miss_is_no_spans() {
        let id = TraceId::narrow(1);
        let ats = r#"{"errorCode":"SVCSTG.ATS.200103","errorMessage":"none","responseInfo":null}"#;
        assert_eq!(LookupApi::Ats.count(&answer(200, ats), id), Ok(0));
        assert_eq!(LookupApi::Zipkin.count(&answer(404, "0000000000000001 not found"), id), Ok(0));
    }

    #[test]
    fn spans_of_another_trace_are_a_mismatch_even_if_their_number_is_right() {
        let zipkin = r#"[{"traceId":"0000000000000002","id":"0000000000000001"}]"#;
        assert!(
            LookupApi::Zipkin.count(&answer(200, zipkin), TraceId::narrow(1)).unwrap_err().contains("other traces")
        );
        assert!(LookupApi::Ats.count(&answer(500, "broken"), TraceId::narrow(1)).unwrap_err().contains("broken"));
    }
}
