//! What the answer to a search has to be, as far as what was sent tells.

use super::client::Answer;
use super::survey::{Condition, JsonSpan};
use crate::model::TraceId;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

/// What an answer is held against.
pub enum Expected {
    /// Nothing at all.
    Nothing,
    /// This trace among those that have this tag.
    Trace {
        id: TraceId,
        key: String,
        value: String,
    },
    Traces(Traces),
    /// These names in order; where not `exact`, others among them.
    Names {
        names: BTreeSet<String>,
        exact: bool,
    },
    /// Calls between services, some where `any`; only between these if there are some.
    Links {
        any: bool,
        between: Option<BTreeSet<String>>,
    },
}

/// The newest traces that meet a condition.
pub struct Traces {
    /// In lower case.
    pub service: String,
    pub condition: Condition,
    pub limit: usize,
    /// The newest that are known to meet it, the newest first: milliseconds since 1970 UTC.
    pub newest: Vec<i64>,
    /// Whether the times are those that were sent, rather than only as many.
    pub timed: bool,
    /// Whether there are no others.
    pub exact: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonLink<'a> {
    #[serde(borrow)]
    parent: Cow<'a, str>,
    #[serde(borrow)]
    child: Cow<'a, str>,
    call_count: u64,
    #[serde(default)]
    error_count: u64,
}

impl Expected {
    /// Says what is wrong with an answer.
    pub fn check(&self, answer: &Answer) -> Result<(), String> {
        if !answer.status.is_success() {
            return Err(format!("answered {}: {}", answer.status, answer.excerpt()));
        }
        match self {
            Expected::Nothing if &*answer.body == b"[]" => Ok(()),
            Expected::Nothing => Err(format!("answered something where nothing was sent: {}", answer.excerpt())),
            Expected::Trace { id, key, value } => check_trace(&read::<Vec<_>>(answer)?, &id.to_string(), key, value),
            Expected::Traces(expected) => expected.check(&read::<Vec<_>>(answer)?),
            Expected::Names { names, exact } => check_names(&read::<Vec<_>>(answer)?, names, *exact),
            Expected::Links { any, between } => check_links(&read::<Vec<_>>(answer)?, *any, between.as_ref()),
        }
    }
}

fn read<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, String> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| format!("answered what cannot be read: {error}: {}", answer.excerpt()))
}

type JsonTraces<'a> = [Vec<JsonSpan<'a>>];

fn check_trace(traces: &JsonTraces<'_>, id: &str, key: &str, value: &str) -> Result<(), String> {
    let has_tag = |span: &JsonSpan<'_>| span.tags.get(key).is_some_and(|found| found == value);
    if let Some(other) = traces.iter().find(|spans| !spans.iter().any(has_tag)) {
        return Err(format!("answered trace {}, which has no {key}={value}", name(other)));
    }
    let found = traces.iter().any(|spans| spans.iter().any(|span| span.trace_id == id));
    if found { Ok(()) } else { Err(format!("answered {} traces without trace {id}, which has it", traces.len())) }
}

/// The id of an answered trace.
fn name<'a>(spans: &'a [JsonSpan<'_>]) -> &'a str {
    spans.first().map_or("(of no spans)", |span| &*span.trace_id)
}

impl Traces {
    fn check(&self, traces: &JsonTraces<'_>) -> Result<(), String> {
        let mut ids = HashSet::new();
        for spans in traces {
            let id = name(spans);
            if !spans.iter().all(|span| span.trace_id == id) {
                return Err(format!("answered spans of other traces in trace {id}"));
            }
            if !ids.insert(id) {
                return Err(format!("answered trace {id} twice"));
            }
            if !self.is_met(spans) {
                return Err(format!("answered trace {id}, which does not meet it"));
            }
        }
        let millis = |spans: &Vec<JsonSpan<'_>>| spans.iter().map(|span| span.timestamp / 1_000).max().unwrap_or(0);
        let newest: Vec<i64> = traces.iter().map(millis).collect();
        if !newest.is_sorted_by(|a, b| a >= b) {
            return Err("answered traces that are not in the order of their newest spans".to_owned());
        }
        let expected = &self.newest[..self.newest.len().min(self.limit)];
        let is_right = match self.exact {
            true => newest.len() == expected.len(),
            false => (expected.len()..=self.limit).contains(&newest.len()),
        };
        if !is_right {
            let least = if self.exact { "" } else { " or more" };
            return Err(format!("answered {} traces where {}{least} meet it", newest.len(), expected.len()));
        }
        if !self.timed {
            return Ok(());
        }
        // What is answered in place of a trace that is known must be newer than it.
        let wrong = |(found, known): (&i64, &i64)| if self.exact { found != known } else { found < known };
        match newest.iter().zip(expected).position(wrong) {
            Some(place) => Err(format!(
                "answered a trace of {} ms in place {place}, where one of {} ms was sent",
                newest[place], expected[place]
            )),
            None => Ok(()),
        }
    }

    fn is_met(&self, spans: &[JsonSpan<'_>]) -> bool {
        spans.iter().filter(|span| span.service() == self.service).any(|span| match &self.condition {
            Condition::Any => true,
            Condition::Tag(key, value) => span.tags.get(key) == Some(value),
            Condition::Lasts(micros) => span.duration >= *micros,
        })
    }
}

fn check_names(found: &[String], expected: &BTreeSet<String>, exact: bool) -> Result<(), String> {
    if !found.is_sorted_by(|a, b| a < b) {
        return Err("answered names that are not each once and in order".to_owned());
    }
    if let Some(missing) = expected.iter().find(|name| found.binary_search(name).is_err()) {
        return Err(format!("answered {} names without {missing:?}, which was sent", found.len()));
    }
    match found.iter().find(|name| exact && !expected.contains(*name)) {
        Some(other) => Err(format!("answered {other:?}, which was not sent")),
        None => Ok(()),
    }
}

fn check_links(found: &[JsonLink<'_>], any: bool, between: Option<&BTreeSet<String>>) -> Result<(), String> {
    if any && found.is_empty() {
        return Err("answered no calls where some were sent".to_owned());
    }
    let mut seen = HashSet::new();
    for link in found {
        let call = format!("{} -> {}", link.parent, link.child);
        if link.call_count == 0 || link.error_count > link.call_count {
            return Err(format!("answered {} calls {call}, {} of them failed", link.call_count, link.error_count));
        }
        if let Some(names) = between
            && !(names.contains(&*link.parent) && names.contains(&*link.child))
        {
            return Err(format!("answered calls {call}, of which one side was not sent"));
        }
        if !seen.insert(call) {
            return Err(format!("answered {} -> {} twice", link.parent, link.child));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use hyper::StatusCode;

    fn check(expected: &Expected, body: &str) -> Result<(), String> {
        let body = Bytes::from(body.to_owned());
        expected.check(&Answer { status: StatusCode::OK, retry_after: None, revision: None, body, micros: 1 })
    }

    /// A trace of one span.
    fn trace(id: u64, millis: i64, service: &str, status: &str, duration: i64) -> String {
        format!(
            r#"[{{"traceId":"{id:016x}","id":"1","timestamp":{millis}000,"duration":{duration},"localEndpoint":{{"serviceName":"{service}"}},"tags":{{"status":"{status}"}}}}]"#
        )
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn nothing_is_an_empty_list_and_no_refusal() {
        assert_eq!(check(&Expected::Nothing, "[]"), Ok(()));
        assert!(check(&Expected::Nothing, &format!("[{}]", trace(1, 1, "a", "1", 1))).is_err());
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let refused =
            Answer { status, retry_after: Some(1), revision: None, body: Bytes::from_static(b"[]"), micros: 1 };
        assert_eq!(Expected::Nothing.check(&refused), Err("answered 503 Service Unavailable: []".to_owned()));
    }

    #[test]
    fn a_rare_tags_trace_must_be_there_and_none_without_the_tag() {
        let (key, value) = ("status".to_owned(), "7".to_owned());
        let expected = Expected::Trace { id: TraceId::narrow(10), key, value };
        let with = |traces: &[String]| check(&expected, &format!("[{}]", traces.join(",")));
        let (own, other) = (trace(10, 5, "a", "7", 1), trace(11, 6, "a", "7", 1));
        assert_eq!(with(std::slice::from_ref(&own)), Ok(()));
        assert_eq!(with(&[other.clone(), own.clone()]), Ok(()));
        assert_eq!(with(&[other]), Err("answered 1 traces without trace 000000000000000a, which has it".to_owned()));
        assert_eq!(
            with(&[own, trace(12, 4, "a", "8", 1)]),
            Err("answered trace 000000000000000c, which has no status=7".to_owned())
        );
    }

    #[test]
    fn traces_are_held_against_those_that_were_sent() {
        let a = |id, millis| trace(id, millis, "a", "1", 5);
        let times = "answered a trace of 80 ms in place 1, where one of 90 ms was sent";
        let other = "answered trace 0000000000000002, which does not meet it";
        // Of 100, 90 and 70 ms two are wanted: exact, timed, what is answered, what is wrong with it.
        let cases = [
            (true, true, vec![a(1, 100), a(2, 90)], ""),
            (
                true,
                true,
                vec![a(1, 100), a(2, 95)],
                "answered a trace of 95 ms in place 1, where one of 90 ms was sent",
            ),
            (false, true, vec![a(1, 100), a(2, 95)], ""),
            (false, true, vec![a(1, 100), a(2, 80)], times),
            (false, false, vec![a(1, 100), a(2, 80)], ""),
            (true, false, vec![a(1, 100)], "answered 1 traces where 2 meet it"),
            (false, false, vec![a(1, 100)], "answered 1 traces where 2 or more meet it"),
            (false, false, vec![a(1, 4), a(2, 3), a(3, 2)], "answered 3 traces where 2 or more meet it"),
            (false, true, vec![a(1, 90), a(2, 100)], "answered traces that are not in the order of their newest spans"),
            (false, true, vec![a(1, 100), a(1, 100)], "answered trace 0000000000000001 twice"),
            (false, true, vec![a(1, 100), trace(2, 90, "b", "1", 5)], other),
            (false, true, vec![a(1, 100), trace(2, 90, "a", "2", 5)], other),
        ];
        for (exact, timed, traces, wrong) in cases {
            let expected = Expected::Traces(Traces {
                service: "a".to_owned(),
                condition: Condition::Tag("status".to_owned(), "1".to_owned()),
                limit: 2,
                newest: vec![100, 90, 70],
                timed,
                exact,
            });
            let found = check(&expected, &format!("[{}]", traces.join(",")));
            assert_eq!(found.err().unwrap_or_default(), wrong, "{exact} {timed} {traces:?}");
        }
    }

    #[test]
    fn a_duration_is_met_by_a_span_of_the_service_itself() {
        let condition = Condition::Lasts(5);
        let expected =
            Traces { service: "a".to_owned(), condition, limit: 9, newest: vec![], timed: true, exact: false };
        let expected = Expected::Traces(expected);
        assert_eq!(check(&expected, &format!("[{}]", trace(1, 1, "A", "", 5))), Ok(()));
        assert!(check(&expected, &format!("[{}]", trace(1, 1, "a", "", 4))).is_err());
        assert!(check(&expected, &format!("[{}]", trace(1, 1, "b", "", 5))).is_err());
    }

    #[test]
    fn names_are_those_that_were_sent_in_order() {
        let expected = |exact| Expected::Names { names: names(&["a", "b"]), exact };
        assert_eq!(check(&expected(true), r#"["a","b"]"#), Ok(()));
        assert_eq!(check(&expected(false), r#"["a","aa","b"]"#), Ok(()));
        assert_eq!(check(&expected(true), r#"["a","aa","b"]"#), Err(r#"answered "aa", which was not sent"#.to_owned()));
        let missing = Err(r#"answered 1 names without "b", which was sent"#.to_owned());
        assert_eq!(check(&expected(false), r#"["a"]"#), missing);
        for body in [r#"["b","a"]"#, r#"["a","a","b"]"#] {
            assert_eq!(
                check(&expected(false), body).unwrap_err(),
                "answered names that are not each once and in order"
            );
        }
    }

    #[test]
    fn calls_are_between_those_that_were_sent() {
        let link = |parent: &str, calls: u32, errors: u32| {
            format!(r#"{{"parent":"{parent}","child":"b","callCount":{calls},"errorCount":{errors}}}"#)
        };
        let expected = |between| Expected::Links { any: true, between };
        let known = || expected(Some(names(&["a", "b"])));
        assert_eq!(check(&known(), &format!("[{}]", link("a", 2, 1))), Ok(()));
        assert_eq!(check(&expected(None), &format!("[{}]", link("c", 2, 2))), Ok(()));
        assert_eq!(check(&known(), "[]"), Err("answered no calls where some were sent".to_owned()));
        for (links, wrong) in [
            (vec![link("c", 2, 1)], "answered calls c -> b, of which one side was not sent"),
            (vec![link("a", 0, 0)], "answered 0 calls a -> b, 0 of them failed"),
            (vec![link("a", 1, 2)], "answered 1 calls a -> b, 2 of them failed"),
            (vec![link("a", 1, 0), link("a", 1, 0)], "answered a -> b twice"),
        ] {
            assert_eq!(check(&known(), &format!("[{}]", links.join(","))), Err(wrong.to_owned()));
        }
    }
}
