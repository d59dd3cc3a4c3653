//! What is asked for. A blank parameter counts as not sent, and those that nobody asks for do not matter, as it is with
//! the ATS API.

use super::token::{Asked, Token};
use crate::api::Refusal;
use crate::config;
use crate::events::{EventQuery, Window};
use chrono::DateTime;

/// A parameter may be so long; so long are the longest texts of events, unless a setting allows longer ones.
const LONGEST_TEXT: usize = 4_096;
/// A token holds a cluster and a uid, which may be made of several names.
const LONGEST_TOKEN: usize = 48 << 10;
/// Events of a page, unless asked otherwise.
const USUAL_LIMIT: usize = 100;
/// Events of a page at most.
const MOST_LIMIT: usize = 1_000;
/// How far the window reaches back, unless asked otherwise: an hour.
const USUAL_WINDOW: i64 = 3_600_000_000;
/// The first second of the year 9999. A number of milliseconds beyond it is one of microseconds.
const LATEST_MILLIS: i64 = 253_370_764_800_000;
/// So much of a value is repeated in an error.
const SHOWN: usize = 128;

/// The parameters of a query string.
pub(super) struct Parameters<'q>(pub(super) &'q str);

impl Parameters<'_> {
    /// A parameter by its name.
    fn text(&self, name: &str, longest: usize) -> Result<Option<String>, Refusal> {
        let mut found: Option<String> = None;
        for (key, value) in url::form_urlencoded::parse(self.0.as_bytes()) {
            let value = value.trim();
            if key != name || value.is_empty() {
                continue;
            }
            if value.len() > longest {
                return Err(refused(name, "too long", value, &format!("send up to {longest} bytes")));
            }
            if found.as_deref().is_some_and(|found| found != value) {
                return Err(refused(name, "given more than once", value, "send it once"));
            }
            found = Some(value.to_owned());
        }
        Ok(found)
    }

    fn name(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.text(name, LONGEST_TEXT)
    }

    /// A time, in microseconds since 1970 UTC.
    fn time(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.name(name)? else { return Ok(None) };
        match time(&text) {
            Some(micros) => Ok(Some(micros)),
            None => {
                let remedy = "send a time as RFC 3339 writes it, as in 2016-11-08T16:15:15Z, or milliseconds since \
                              1970 UTC";
                Err(refused(name, "invalid", &text, remedy))
            }
        }
    }

    fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.name("limit")? else { return Ok(USUAL_LIMIT) };
        match text.parse() {
            Ok(limit) if (1..=MOST_LIMIT).contains(&limit) => Ok(limit),
            _ => Err(refused("limit", "invalid", &text, &format!("send a whole number from 1 to {MOST_LIMIT}"))),
        }
    }

    fn together(&self) -> Result<bool, Refusal> {
        let Some(text) = self.name("together")? else { return Ok(false) };
        match text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(refused("together", "invalid", &text, "send true or false")),
        }
    }

    /// The duration `margin`, in microseconds.
    pub(super) fn margin(&self) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.name("margin")? else { return Ok(None) };
        match config::context_margin(&text) {
            Ok(margin) => Ok(Some(margin.as_micros() as i64)),
            Err(expected) => Err(refused("margin", "invalid", &text, &expected)),
        }
    }
}

/// Refuses a value: which parameter, what it was, what to do.
fn refused(parameter: &str, what: &str, sent: &str, remedy: &str) -> Refusal {
    let cut = sent.char_indices().nth(SHOWN).map(|(cut, _)| cut);
    let (shown, more) = cut.map_or((sent, ""), |cut| (&sent[..cut], "..."));
    Refusal::invalid(format!("{parameter} in url is {what}.\nquery parameter {parameter} = {shown:?}{more}: {remedy}"))
}

/// A time as RFC 3339 writes it, or as milliseconds, in microseconds since 1970 UTC.
fn time(text: &str) -> Option<i64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|millis| (0..LATEST_MILLIS).contains(millis)).map(|millis| millis * 1_000);
    }
    // A plus sign that was not percent-encoded arrives as a space.
    let offset = text.rfind(' ').filter(|at| *at > "2016-11-08T".len());
    let with_plus = offset.map(|at| format!("{}+{}", &text[..at], &text[at + 1..]));
    DateTime::parse_from_rfc3339(with_plus.as_deref().unwrap_or(text)).ok().map(|time| time.timestamp_micros())
}

/// A page of the events that meet all conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) query: EventQuery,
    /// Microseconds since 1970 UTC, both inclusive: the window of the query.
    pub(super) window: (i64, i64),
    /// 1 to 1,000.
    pub(super) limit: usize,
    /// Whether happenings are asked for, with what is the same of them counted together.
    pub(super) together: bool,
    /// Where the last page ended.
    pub(super) after: Option<Token>,
}

impl Question {
    /// Reads a query string; `now` is the window's end unless it says otherwise.
    pub(super) fn parse(query: &str, project: String, now: i64) -> Result<Question, Refusal> {
        let parameters = Parameters(query);
        let (service, namespace) = (parameters.name("service")?, parameters.name("namespace")?);
        let cluster = parameters.name("clusterId")?;
        let (start, end) = (parameters.time("start")?, parameters.time("end")?);
        let (limit, together) = (parameters.limit()?, parameters.together()?);
        let asked = Asked {
            project: &project,
            cluster: cluster.as_deref(),
            namespace: namespace.as_deref(),
            service: service.as_deref(),
            together,
        };
        let after = match parameters.text("next", LONGEST_TOKEN)? {
            None => None,
            Some(text) => match Token::read(&text, &asked) {
                Ok(token) => Some(token),
                Err(remedy) => return Err(refused("next", "invalid", &text, remedy)),
            },
        };
        let window = match &after {
            None => {
                let end = end.unwrap_or(now);
                (start.unwrap_or(end.saturating_sub(USUAL_WINDOW)), end)
            }
            // The window of the first page, which may have been that of its moment.
            Some(token) => token.window,
        };
        for (name, sent, kept) in [("start", start, window.0), ("end", end, window.1)] {
            if sent.is_some_and(|sent| sent != kept) {
                let text = parameters.name(name)?.unwrap_or_default();
                return Err(refused(name, "not that of next", &text, "send what the first page was asked with"));
            }
        }
        if window.0 > window.1 {
            let (name, remedy) = match start {
                Some(_) => ("start", "send a time that is not after end, which is now unless it is sent"),
                None => ("end", "send a time"),
            };
            let text = parameters.name(name)?.unwrap_or_default();
            return Err(refused(name, "invalid", &text, remedy));
        }
        let (from, to) = window;
        let query = EventQuery { project, cluster, namespace, service, window: Window::Overlapping { from, to } };
        Ok(Question { query, window, limit, together, after })
    }

    /// What of the question has to be the same from page to page.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked {
            project: &self.query.project,
            cluster: self.query.cluster.as_deref(),
            namespace: self.query.namespace.as_deref(),
            service: self.query.service.as_deref(),
            together: self.together,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::Place;
    use super::*;

    /// 2016-11-08 16:15:15 UTC.
    const NOW: i64 = 1_478_621_715_000_000;

    fn parse(query: &str) -> Result<Question, Refusal> {
        Question::parse(query, "default".into(), NOW)
    }

    #[test]
    fn without_parameters_the_last_hour_is_asked_for() {
        let window = (NOW - 3_600_000_000, NOW);
        let query = EventQuery {
            project: "default".into(),
            cluster: None,
            namespace: None,
            service: None,
            window: Window::Overlapping { from: window.0, to: window.1 },
        };
        let question = Question { query, window, limit: 100, together: false, after: None };
        for text in ["", "service=&namespace=%20&clusterId=+&start=&end&together=&limit=&next=", "Service=a&x=y"] {
            assert_eq!(parse(text).unwrap(), question, "{text}");
        }
    }

    #[test]
    fn each_condition_is_read_and_one_sent_twice_has_to_say_the_same() {
        let text = "service=front&clusterId=cls-1&namespace=%E5%8C%97&together=true&limit=1000&start=1478621715000&\
                    end=2016-11-08T16:15:15.000001Z&service=front";
        let window = (NOW, NOW + 1);
        let query = EventQuery {
            project: "default".into(),
            cluster: Some("cls-1".into()),
            namespace: Some("北".into()),
            service: Some("front".into()),
            window: Window::Overlapping { from: window.0, to: window.1 },
        };
        assert_eq!(parse(text).unwrap(), Question { query, window, limit: 1_000, together: true, after: None });
    }

    #[test]
    fn times_are_rfc_3339_or_milliseconds() {
        for (text, micros) in [
            ("0", Some(0)),
            ("1478621715000", Some(NOW)),
            ("253370764799999", Some(253_370_764_799_999_000)),
            ("2016-11-08T16:15:15Z", Some(NOW)),
            ("2016-11-08T16:15:15.123456789Z", Some(NOW + 123_456)),
            ("2016-11-08T18:15:15+02:00", Some(NOW)),
            // What a form makes of an unencoded plus.
            ("2016-11-08T18:15:15 02:00", Some(NOW)),
            ("2016-11-08 16:15:15Z", Some(NOW)),
            ("1969-12-31T23:59:59Z", Some(-1_000_000)),
            // Microseconds.
            ("253370764800000", None),
            ("1478621715000000", None),
            ("99999999999999999999", None),
            ("-1", None),
            ("1478621715.5", None),
            ("2016-11-08", None),
            ("2016-11-08T16:15:15", None),
            ("2016-11-08 16:15:15", None),
            ("now", None),
        ] {
            assert_eq!(time(text), micros, "{text}");
        }
    }

    #[test]
    fn a_window_that_says_one_end_has_the_other_from_it_or_from_now() {
        let hour = 3_600_000_000;
        for (text, window) in [
            ("start=1000", (1_000_000, NOW)),
            ("end=3600001", (1_000, hour + 1_000)),
            ("start=5&end=5", (5_000, 5_000)),
            ("end=0", (-hour, 0)),
        ] {
            assert_eq!(parse(text).unwrap().window, window, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_value_and_what_to_send() {
        let long = "a".repeat(4_097);
        let shown = "a".repeat(128);
        let time = "send a time as RFC 3339 writes it, as in 2016-11-08T16:15:15Z, or milliseconds since 1970 UTC";
        let order = "send a time that is not after end, which is now unless it is sent";
        for (query, parameter, what, sent, remedy) in [
            ("service=a&service=b", "service", "given more than once", "\"b\"", "send it once"),
            (
                &*format!("namespace={long}"),
                "namespace",
                "too long",
                &*format!("\"{shown}\"..."),
                "send up to 4096 bytes",
            ),
            ("start=yesterday", "start", "invalid", "\"yesterday\"", time),
            ("end=1478621715000000", "end", "invalid", "\"1478621715000000\"", time),
            ("start=2&end=1", "start", "invalid", "\"2\"", order),
            ("start=1478621715001", "start", "invalid", "\"1478621715001\"", order),
            ("limit=0", "limit", "invalid", "\"0\"", "send a whole number from 1 to 1000"),
            ("limit=1001", "limit", "invalid", "\"1001\"", "send a whole number from 1 to 1000"),
            ("limit=-1", "limit", "invalid", "\"-1\"", "send a whole number from 1 to 1000"),
            ("limit=ten", "limit", "invalid", "\"ten\"", "send a whole number from 1 to 1000"),
            ("together=yes", "together", "invalid", "\"yes\"", "send true or false"),
            (
                "next=abc",
                "next",
                "invalid",
                "\"abc\"",
                "send the text next of the answer before as it is, or leave it out to begin anew",
            ),
        ] {
            let refusal = parse(query).unwrap_err();
            assert_eq!(refusal.status, 400, "{query}");
            let message = format!("{parameter} in url is {what}.\nquery parameter {parameter} = {sent}: {remedy}");
            assert_eq!(refusal.message, message, "{query}");
        }
    }

    #[test]
    fn a_token_keeps_the_window_of_the_first_page() {
        let first = parse("service=a").unwrap();
        let place = Place::Event { cluster: "default".into(), uid: "u".into() };
        let token = Token { window: first.window, last_seen: 7, place };
        let text = token.text(&first.asked());
        let later = |query: &str| Question::parse(&format!("{query}&next={text}"), "default".into(), NOW + 99);
        let next = later("service=a&limit=5").unwrap();
        assert_eq!((next.window, next.after.as_ref(), next.limit), (first.window, Some(&token), 5));
        let millis = first.window.1 / 1_000;
        assert_eq!(later(&format!("service=a&end={millis}")).unwrap(), later("service=a").unwrap());
        let another = later("service=a&end=5").unwrap_err().message;
        let remedy = "send what the first page was asked with";
        assert_eq!(another, format!("end in url is not that of next.\nquery parameter end = \"5\": {remedy}"));
        for other in ["service=b", "", "service=a&namespace=n", "service=a&clusterId=c", "service=a&together=true"] {
            let message = later(other).unwrap_err().message;
            let remedy = "it belongs to another question: send it with the project, service, namespace, clusterId and \
                          together that the first page was asked with";
            assert!(message.starts_with("next in url is invalid.\n") && message.ends_with(remedy), "{message}");
        }
    }

    #[test]
    fn a_margin_is_a_duration_with_its_unit() {
        let margin = |text: &str| Parameters(text).margin().map_err(|refusal| refusal.message);
        assert_eq!(margin("").unwrap(), None);
        assert_eq!(margin("margin=0s").unwrap(), Some(0));
        assert_eq!(margin("margin=90s").unwrap(), Some(90_000_000));
        assert_eq!(margin("margin=30d").unwrap(), Some(30 * 86_400_000_000));
        for text in ["10", "-1m", "31d", "1y", "99999999999999999999d"] {
            let expected = "expected a duration of at most 30d with its unit, such as 90s, 10m or 2h";
            let message = format!("margin in url is invalid.\nquery parameter margin = {text:?}: {expected}");
            assert_eq!(margin(&format!("margin={text}")).unwrap_err(), message);
        }
    }
}
