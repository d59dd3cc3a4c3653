//! The parameters of a query: a URL's query string, read as the peer reads it.
//!
//! Of a parameter that is given more than once the first counts. One that is empty counts as not given. A value that
//! is no number is refused in the words of the peer's web framework, one out of bounds in the peer's own.

use crate::api::Refusal;
use crate::query::search::SearchQuery;
use std::borrow::Cow;

/// How many conditions an annotation query is split into; what follows is part of the last.
const MOST_CONDITIONS: usize = 100;

/// What was sent behind the question mark.
pub(super) struct Parameters<'a> {
    text: &'a str,
}

/// What a search goes by where the request does not say.
pub(super) struct Defaults {
    /// Milliseconds since 1970 UTC.
    pub now: i64,
    /// Milliseconds.
    pub lookback: i64,
    pub max_limit: usize,
}

/// How many traces are answered where the request does not say.
const LIMIT: i64 = 10;

impl<'a> Parameters<'a> {
    pub(super) fn of(text: Option<&'a str>) -> Self {
        Parameters { text: text.unwrap_or_default() }
    }

    /// A text as sent; `None` where the parameter is not there at all.
    pub(super) fn sent(&self, name: &str) -> Option<Cow<'a, str>> {
        url::form_urlencoded::parse(self.text.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// A text as sent, which may be empty.
    pub(super) fn required(&self, name: &str, what: &str) -> Result<Cow<'a, str>, Refusal> {
        self.sent(name).ok_or_else(|| missing(name, what))
    }

    /// A text that is not empty.
    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.sent(name).filter(|text| !text.is_empty())
    }

    /// A name in lower case.
    fn name(&self, name: &str) -> Option<String> {
        Some(self.text(name)?.to_lowercase())
    }

    /// A whole number. `java` is what the peer has it as.
    fn number(&self, name: &str, java: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Refusal::invalid(format!(
                "Can't convert '{text}' to type '{java}'.\nquery parameter {name}: send a whole number, up to {}",
                i64::MAX
            ))),
        }
    }

    /// The window's end and length, of which the end must be given unless there is a default.
    pub(super) fn window(&self, now: Option<i64>, lookback: i64) -> Result<(i64, i64), Refusal> {
        let java = if now.is_some() { "Long" } else { "long" };
        let end_ts = match (self.number("endTs", java)?, now) {
            (Some(end_ts), _) | (None, Some(end_ts)) => end_ts,
            (None, None) => return Err(missing("endTs", "the window's end in milliseconds since 1970 UTC")),
        };
        let lookback = self.number("lookback", "Long")?.unwrap_or(lookback);
        Ok((end_ts, lookback))
    }

    /// The whole of a search.
    pub(super) fn search(&self, project: String, strict: bool, defaults: &Defaults) -> Result<SearchQuery, Refusal> {
        let min_duration = self.number("minDuration", "Long")?;
        let max_duration = self.number("maxDuration", "Long")?;
        let (end_ts, lookback) = self.window(Some(defaults.now), defaults.lookback)?;
        let limit = self.number("limit", "int")?.unwrap_or(LIMIT);
        check_window(end_ts, None)?;
        let limit = match usize::try_from(limit) {
            Ok(0) | Err(_) => return Err(out_of_bounds("limit <= 0", "limit", "send 1 or more")),
            Ok(limit) if limit > defaults.max_limit => {
                let max = defaults.max_limit;
                let remedy = format!("send {max} or less, or have the setting query.max_limit raised");
                return Err(out_of_bounds(&format!("limit > {max}"), "limit", &remedy));
            }
            Ok(limit) => limit,
        };
        check_window(end_ts, Some(lookback))?;
        match (min_duration, max_duration) {
            (Some(least), _) if least <= 0 => {
                return Err(out_of_bounds("minDuration <= 0", "minDuration", "send microseconds, 1 or more"));
            }
            (Some(least), Some(most)) if most < least => {
                return Err(out_of_bounds("maxDuration < minDuration", "maxDuration", "send minDuration or more"));
            }
            (None, Some(_)) => {
                let remedy = "send minDuration with it; 1 is any";
                return Err(out_of_bounds("maxDuration is only valid with minDuration", "maxDuration", remedy));
            }
            _ => {}
        }
        let (words, tags) = annotation_query(&self.text("annotationQuery").unwrap_or_default());
        Ok(SearchQuery {
            project,
            service: self.name("serviceName"),
            application: None,
            remote_service: self.name("remoteServiceName"),
            // What the peer's UI sends for any.
            span_name: self.name("spanName").filter(|name| name != "all"),
            words,
            tags,
            min_duration,
            max_duration,
            end_ts,
            lookback,
            limit,
            strict,
        })
    }
}

/// Refuses a window that has no end or no length.
pub(super) fn check_window(end_ts: i64, lookback: Option<i64>) -> Result<(), Refusal> {
    if end_ts <= 0 {
        return Err(out_of_bounds("endTs <= 0", "endTs", "send milliseconds since 1970 UTC"));
    }
    if lookback.is_some_and(|lookback| lookback <= 0) {
        return Err(out_of_bounds("lookback <= 0", "lookback", "send milliseconds, 1 or more"));
    }
    Ok(())
}

/// Refuses a value, in the peer's words.
pub(super) fn out_of_bounds(peer: &str, name: &str, remedy: &str) -> Refusal {
    Refusal::invalid(format!("{peer}\nquery parameter {name}: {remedy}"))
}

fn missing(name: &str, what: &str) -> Refusal {
    out_of_bounds(&format!("Mandatory parameter/header is missing: {name}"), name, &format!("send {what}"))
}

/// Conditions between ` and `. One with an equals sign is a tag, of which the last wins; one without is a word, unless
/// it is the key of such a tag. A tag of which nothing is wanted is a word as well.
fn annotation_query(text: &str) -> (Vec<String>, Vec<(String, String)>) {
    if text.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let mut wanted: Vec<(&str, &str)> = Vec::new();
    for condition in text.splitn(MOST_CONDITIONS, " and ") {
        let (key, value) = condition.split_once('=').map_or((condition, None), |(key, value)| (key, Some(value)));
        let key = trim(key);
        match (wanted.iter_mut().find(|(known, _)| *known == key), value) {
            (None, value) => wanted.push((key, trim(value.unwrap_or_default()))),
            (Some(known), Some(value)) => known.1 = trim(value),
            (Some(_), None) => {}
        }
    }
    let (words, tags): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, value)| value.is_empty());
    let words = words.into_iter().map(|(word, _)| word.to_owned()).collect();
    let tags = tags.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    (words, tags)
}

/// Java's idea of what surrounds a text: spaces and all control characters.
fn trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000;
    const DEFAULTS: Defaults = Defaults { now: NOW, lookback: 86_400_000, max_limit: 10_000 };

    fn read(text: &str) -> Result<SearchQuery, Refusal> {
        Parameters::of(Some(text)).search("default".to_owned(), true, &DEFAULTS)
    }

    /// The search of nothing in particular.
    fn any() -> SearchQuery {
        SearchQuery {
            project: "default".to_owned(),
            end_ts: NOW,
            lookback: 86_400_000,
            limit: 10,
            strict: true,
            ..SearchQuery::default()
        }
    }

    #[test]
    fn no_parameter_is_required() {
        assert_eq!(read("").unwrap(), any());
        let empty = "serviceName=&remoteServiceName=&spanName=&annotationQuery=&minDuration=&endTs=&lookback=&limit=";
        assert_eq!(read(empty).unwrap(), any());
        assert_eq!(read("unknown=1").unwrap(), any());
    }

    #[test]
    fn all_parameters_are_read_names_in_lower_case() {
        let text = "serviceName=Front&remoteServiceName=DB&spanName=Get+%2f&annotationQuery=Error+and+a%3DB\
                    &minDuration=1&maxDuration=2&endTs=3&lookback=4&limit=5&limit=6";
        let expected = SearchQuery {
            service: Some("front".into()),
            remote_service: Some("db".into()),
            span_name: Some("get /".into()),
            words: vec!["Error".into()],
            tags: vec![("a".into(), "B".into())],
            min_duration: Some(1),
            max_duration: Some(2),
            end_ts: 3,
            lookback: 4,
            limit: 5,
            ..any()
        };
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn all_is_any_span_and_no_service() {
        assert_eq!(read("spanName=ALL").unwrap(), any());
        assert_eq!(read("serviceName=all").unwrap(), SearchQuery { service: Some("all".into()), ..any() });
        let remote = SearchQuery { remote_service: Some("all".into()), ..any() };
        assert_eq!(read("remoteServiceName=all").unwrap(), remote);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused_in_the_peers_words() {
        for (text, peer, name) in [
            ("endTs=0", "endTs <= 0", "endTs"),
            ("endTs=-1", "endTs <= 0", "endTs"),
            ("limit=0", "limit <= 0", "limit"),
            ("limit=-1", "limit <= 0", "limit"),
            ("lookback=0", "lookback <= 0", "lookback"),
            ("minDuration=0", "minDuration <= 0", "minDuration"),
            ("minDuration=2&maxDuration=1", "maxDuration < minDuration", "maxDuration"),
            ("maxDuration=1", "maxDuration is only valid with minDuration", "maxDuration"),
            ("limit=10001", "limit > 10000", "limit"),
            ("limit=x", "Can't convert 'x' to type 'int'.", "limit"),
            ("endTs=1.5", "Can't convert '1.5' to type 'Long'.", "endTs"),
            ("lookback=9223372036854775808", "Can't convert '9223372036854775808' to type 'Long'.", "lookback"),
            ("endTs=0&limit=0&lookback=0", "endTs <= 0", "endTs"),
            ("limit=0&lookback=0&minDuration=0", "limit <= 0", "limit"),
        ] {
            let refusal = read(text).unwrap_err();
            assert_eq!(refusal.status, 400);
            let mut lines = refusal.message.lines();
            assert_eq!(lines.next(), Some(peer), "{text}");
            assert!(lines.next().unwrap().starts_with(&format!("query parameter {name}: send ")), "{text}");
        }
        assert!(read("limit=10001").unwrap_err().message.contains("query.max_limit"));
    }

    #[test]
    fn bounds_themselves_are_within() {
        for text in ["endTs=1", "limit=1", "limit=10000", "lookback=1", "minDuration=1", "minDuration=1&maxDuration=1"]
        {
            assert!(read(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_annotation_query_is_split_at_and_and_at_the_first_equals_sign() {
        type Case = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);
        let cases: &[Case] = &[
            ("", &[], &[]),
            ("error", &["error"], &[]),
            ("http.method=GET and error", &["error"], &[("http.method", "GET")]),
            (" a = b  and  c ", &["c"], &[("a", "b")]),
            ("a=b=c", &[], &[("a", "b=c")]),
            ("a=1 and a=2", &[], &[("a", "2")]),
            ("a=1 and a", &[], &[("a", "1")]),
            ("a and a=1", &[], &[("a", "1")]),
            ("a and a", &["a"], &[]),
            ("a=", &["a"], &[]),
            ("a=1 and a=", &["a"], &[]),
            ("sand and andy", &["sand", "andy"], &[]),
            ("a AND b", &["a AND b"], &[]),
            ("a or b", &["a or b"], &[]),
            ("a and ", &["a", ""], &[]),
        ];
        for (text, words, tags) in cases {
            let tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(annotation_query(text), (words, tags), "{text:?}");
        }
    }

    #[test]
    fn the_hundredth_condition_has_all_that_follows() {
        let text = (0..102).map(|n| n.to_string()).collect::<Vec<_>>().join(" and ");
        let (words, _) = annotation_query(&text);
        assert_eq!((words.len(), words[99].as_str()), (100, "99 and 100 and 101"));
    }

    #[test]
    fn what_is_required_is_missed_by_its_name() {
        let refusal = Parameters::of(None).required("serviceName", "a service's name").unwrap_err();
        assert_eq!(
            refusal.message,
            "Mandatory parameter/header is missing: serviceName\nquery parameter serviceName: send a service's name"
        );
        assert_eq!(Parameters::of(Some("serviceName=")).required("serviceName", "").unwrap(), "");
        let refusal = Parameters::of(Some("endTs=now")).window(None, 1).unwrap_err();
        assert_eq!(refusal.message.lines().next(), Some("Can't convert 'now' to type 'long'."));
        assert!(Parameters::of(None).window(None, 1).unwrap_err().message.starts_with("Mandatory"));
    }
}
