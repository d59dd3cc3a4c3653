//! The survey: looks at what is sent, so that searches can be asked for what is there and their answers be checked.
//!
//! The newest traces are drawn once more, or a round of a recording is read. Of each service the survey keeps what it did
//! in each of them: enough to tell which of these traces meet a search, and when they were. An answer may hold others:
//! older ones that were not looked at, or those of other senders. But it holds none that is older while one that was
//! looked at is missing; and where all traces were looked at, it holds just them.
//!
//! Names are in lower case, as Zipkin has them. Times are milliseconds since 1970 UTC, durations microseconds.

use super::generate::{Generator, Trace, Value};
use super::source::{Kind, Source};
use super::write::push_value;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Traces of the generator that are looked at, the newest.
const MOST_TRACES: u64 = 5_000;
/// Spans of a recording that are looked at.
const MOST_SPANS: usize = 250_000;

/// What was seen.
#[derive(Default)]
pub struct Survey {
    /// By name.
    pub services: BTreeMap<String, Service>,
    /// Whether all that is sent was looked at.
    pub whole: bool,
    /// Whether no service is sent but those that were seen.
    pub all_services: bool,
    /// Whether that is so of span names and remote services too.
    pub all_names: bool,
    /// By a trace's place: when its newest span starts.
    newest: Vec<i64>,
    /// Values by key, numbered.
    tags: BTreeMap<String, BTreeMap<String, u32>>,
    tag_count: u32,
}

/// A service that was seen.
#[derive(Default)]
pub struct Service {
    pub span_names: BTreeSet<String>,
    pub remote_services: BTreeSet<String>,
    /// What it did, by the place of the trace.
    parts: BTreeMap<usize, Part>,
}

/// What a service did in a trace.
#[derive(Default)]
struct Part {
    /// The longest of its spans.
    longest: i64,
    /// The numbers of its spans' tags.
    tags: BTreeSet<u32>,
}

/// What a trace must have, on spans of a service, to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Just a span.
    Any,
    /// A tag with this value.
    Tag(String, String),
    /// A span of this many microseconds or more.
    Lasts(i64),
}

/// A span in Zipkin's second version of JSON, as far as searches go by it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JsonSpan<'a> {
    #[serde(borrow)]
    pub trace_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    #[serde(default)]
    pub timestamp: i64,
    #[serde(default)]
    pub duration: i64,
    #[serde(borrow)]
    pub local_endpoint: Option<JsonEndpoint<'a>>,
    #[serde(borrow)]
    pub remote_endpoint: Option<JsonEndpoint<'a>>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JsonEndpoint<'a> {
    #[serde(borrow, default)]
    service_name: Cow<'a, str>,
}

impl JsonSpan<'_> {
    /// The local service in lower case, empty where there is none.
    pub fn service(&self) -> String {
        self.local_endpoint.as_ref().map_or(String::new(), |endpoint| endpoint.service_name.to_lowercase())
    }
}

/// What is looked at of a span.
struct Seen<'a> {
    service: &'a str,
    name: &'a str,
    remote: &'a str,
    /// Milliseconds.
    start: i64,
    duration: i64,
}

impl Survey {
    /// Looks at what a source sends.
    pub fn of(source: &Source) -> Result<Survey, String> {
        match source.kind() {
            Kind::Generated(generator) => {
                let first = source.traces().saturating_sub(MOST_TRACES);
                Ok(Survey::generated(generator, first, source.traces()))
            }
            Kind::Replayed { recording, seed, end, .. } => {
                let rounds = source.spans() / recording.spans().max(1) as u64;
                let spans = recording.spans().min(MOST_SPANS);
                let mut survey = Survey::default();
                let mut places = HashMap::new();
                let mut text = Vec::new();
                for span in 0..spans {
                    text.clear();
                    recording.write(span, *seed, rounds.saturating_sub(1), *end, &mut text);
                    let span: JsonSpan<'_> = serde_json::from_slice(&text)
                        .map_err(|error| format!("span {span} of the recording cannot be read again: {error}"))?;
                    let fresh = places.len();
                    survey.add_json(*places.entry(span.trace_id.to_string()).or_insert(fresh), &span);
                }
                survey.all_names = spans == recording.spans();
                survey.all_services = survey.all_names;
                survey.whole = survey.all_names && rounds == 1;
                Ok(survey)
            }
        }
    }

    fn generated(generator: &Generator, first: u64, end: u64) -> Survey {
        let mut survey = Survey::default();
        let shop = &generator.shop;
        let mut trace = Trace::default();
        for (place, number) in (first..end).enumerate() {
            generator.draw(number, &mut trace, &mut ());
            for span in &trace.spans {
                let seen = Seen {
                    service: shop.endpoints[span.local].service,
                    name: span.name,
                    remote: span.remote.map_or("", |remote| shop.endpoints[remote].service),
                    start: span.start / 1_000,
                    duration: span.duration,
                };
                // Random values are no tags that some traces have in common.
                let tags = trace.tags(span).iter().filter_map(|(key, value)| match value {
                    Value::Text(text) => Some((*key, *text)),
                    Value::Number(_) | Value::Hex(_) => None,
                });
                survey.add(place, &seen, tags);
            }
        }
        survey.whole = first == 0;
        survey.all_services = survey.whole || survey.services.len() == shop.services();
        survey.all_names = survey.whole;
        survey
    }

    fn add_json(&mut self, place: usize, span: &JsonSpan<'_>) {
        let remote = span.remote_endpoint.as_ref().map_or("", |endpoint| &*endpoint.service_name);
        let (service, name, remote) = (span.service(), span.name.to_lowercase(), remote.to_lowercase());
        let seen = Seen {
            service: &service,
            name: &name,
            remote: &remote,
            start: span.timestamp / 1_000,
            duration: span.duration,
        };
        self.add(place, &seen, span.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    }

    fn add<'t>(&mut self, place: usize, span: &Seen<'_>, tags: impl Iterator<Item = (&'t str, &'t str)>) {
        if self.newest.len() <= place {
            self.newest.resize(place + 1, 0);
        }
        self.newest[place] = self.newest[place].max(span.start);
        if span.service.is_empty() {
            return;
        }
        if !self.services.contains_key(span.service) {
            self.services.insert(span.service.to_owned(), Service::default());
        }
        let Some(service) = self.services.get_mut(span.service) else { return };
        for (names, name) in [(&mut service.span_names, span.name), (&mut service.remote_services, span.remote)] {
            if !name.is_empty() && !names.contains(name) {
                names.insert(name.to_owned());
            }
        }
        let part = service.parts.entry(place).or_default();
        part.longest = part.longest.max(span.duration);
        for (key, value) in tags {
            let known = self.tags.get(key).and_then(|values| values.get(value)).copied();
            let number = known.unwrap_or_else(|| {
                let number = self.tag_count;
                self.tag_count += 1;
                self.tags.entry(key.to_owned()).or_default().insert(value.to_owned(), number);
                number
            });
            part.tags.insert(number);
        }
    }

    /// When the traces are that meet a condition on spans of a service: the newest span of each, the newest first.
    pub fn newest(&self, service: &str, condition: &Condition) -> Vec<i64> {
        let Some(service) = self.services.get(service) else { return Vec::new() };
        let tag = match condition {
            Condition::Tag(key, value) => match self.tags.get(key).and_then(|values| values.get(value)) {
                Some(number) => Some(*number),
                None => return Vec::new(),
            },
            Condition::Any | Condition::Lasts(_) => None,
        };
        let meets = |part: &Part| match condition {
            Condition::Any => true,
            Condition::Tag(..) => tag.is_some_and(|tag| part.tags.contains(&tag)),
            Condition::Lasts(micros) => part.longest >= *micros,
        };
        let mut newest: Vec<i64> =
            service.parts.iter().filter(|(_, part)| meets(part)).map(|(&place, _)| self.newest[place]).collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        newest
    }

    /// A tag that some of a service's traces have: as near to a tenth of them as there is, at most half.
    pub fn some_tag(&self, service: &str) -> Option<Condition> {
        let parts = &self.services.get(service)?.parts;
        let mut counts = vec![0usize; self.tag_count as usize];
        for &tag in parts.values().flat_map(|part| &part.tags) {
            counts[tag as usize] += 1;
        }
        let tags = self.tags.iter().flat_map(|(key, values)| values.iter().map(move |(value, tag)| (key, value, *tag)));
        tags.map(|(key, value, tag)| (key, value, counts[tag as usize]))
            .filter(|(key, value, count)| *count > 0 && count * 2 <= parts.len() && can_be_asked_for(key, value))
            .min_by_key(|(_, _, count)| (count * 10).abs_diff(parts.len()))
            .map(|(key, value, _)| Condition::Tag(key.clone(), value.clone()))
    }

    /// A duration that one in a hundred of a service's traces reaches.
    pub fn long(&self, service: &str) -> Option<Condition> {
        let mut longest: Vec<i64> = self.services.get(service)?.parts.values().map(|part| part.longest).collect();
        longest.sort_unstable_by(|a, b| b.cmp(a));
        longest.get(longest.len() / 100).filter(|micros| **micros > 0).map(|&micros| Condition::Lasts(micros))
    }

    /// All services and those that they call.
    pub fn parties(&self) -> BTreeSet<String> {
        let remote = self.services.values().flat_map(|service| &service.remote_services);
        self.services.keys().chain(remote).cloned().collect()
    }
}

/// Whether Zipkin's grammar of conditions can say this tag.
fn can_be_asked_for(key: &str, value: &str) -> bool {
    let plain = |text: &str| {
        let trimmed = text.trim_matches(|c| c <= ' ');
        !text.is_empty() && trimmed == text && text.len() <= 200 && !text.contains(" and ")
    };
    plain(key) && !key.contains('=') && plain(value)
}

/// One of the random tags of a generated span: 24 bits, so that hardly another trace has it.
pub fn rare_tag(trace: &Trace, draw: u64) -> Option<(String, String)> {
    let span = trace.spans.get((draw % trace.spans.len().max(1) as u64) as usize)?;
    let random: Vec<_> = trace.tags(span).iter().filter(|(_, value)| matches!(value, Value::Hex(_))).collect();
    let (key, value) = random.get((draw >> 32) as usize % random.len().max(1))?;
    let mut text = Vec::new();
    push_value(&mut text, *value);
    Some(((*key).to_owned(), String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::generate::Options;
    use crate::bench::write::Format;

    fn generator(seed: u64) -> Generator {
        let first_start = 1_700_000_000_000_000;
        Generator::new(Options { seed, wide_ids: false, shared_spans: false, first_start, rate: 20_000 })
    }

    fn seen(start: i64, duration: i64) -> Seen<'static> {
        Seen { service: "cart", name: "get", remote: "db", start, duration }
    }

    #[test]
    fn drawn_traces_are_seen_as_their_json_has_them() {
        // The one is what searches are checked by, the other what the server gets.
        let generator = generator(31);
        let drawn = Survey::generated(&generator, 20, 60);
        let mut read = Survey::default();
        let (mut trace, mut text) = (Trace::default(), Vec::new());
        for (place, number) in (20..60).enumerate() {
            generator.draw(number, &mut trace, &mut ());
            for span in &trace.spans {
                text.clear();
                Format::ZipkinV2.write(&generator.shop, &trace, span, &mut text);
                read.add_json(place, &serde_json::from_slice(&text).unwrap());
            }
        }
        assert!(drawn.services.len() > 20 && drawn.services.keys().eq(read.services.keys()));
        assert_eq!(drawn.parties(), read.parties());
        for (name, service) in &drawn.services {
            assert_eq!(service.span_names, read.services[name].span_names);
            assert_eq!(service.remote_services, read.services[name].remote_services);
            for condition in [Some(Condition::Any), drawn.some_tag(name), drawn.long(name)].into_iter().flatten() {
                assert_eq!(drawn.newest(name, &condition), read.newest(name, &condition), "{name} {condition:?}");
            }
        }
        assert!(!drawn.whole && !drawn.all_names);
    }

    #[test]
    fn a_trace_meets_a_condition_by_any_span_of_the_service_and_counts_with_its_newest() {
        let mut survey = Survey::default();
        survey.add(0, &seen(10, 5), [("a", "1")].into_iter());
        survey.add(0, &Seen { service: "other", ..seen(90, 900) }, [("a", "2")].into_iter());
        survey.add(1, &seen(50, 7), [("a", "2")].into_iter());
        survey.add(1, &seen(40, 8), [("a", "1")].into_iter());
        let tag = |value: &str| Condition::Tag("a".to_owned(), value.to_owned());
        assert_eq!(survey.newest("cart", &Condition::Any), [90, 50]);
        assert_eq!(survey.newest("cart", &tag("1")), [90, 50]);
        assert_eq!(survey.newest("cart", &tag("2")), [50]);
        assert_eq!(survey.newest("cart", &Condition::Lasts(8)), [50]);
        assert!(survey.newest("cart", &Condition::Lasts(9)).is_empty());
        assert!(survey.newest("cart", &tag("3")).is_empty());
        assert!(survey.newest("nobody", &Condition::Any).is_empty());
    }

    #[test]
    fn the_tag_to_ask_for_is_one_that_about_a_tenth_of_the_traces_have() {
        let mut survey = Survey::default();
        for place in 0..40 {
            let status = if place % 8 == 0 { "500" } else { "200" };
            let half = if place % 2 == 0 { "even" } else { "odd" };
            // Neither of these can be said in a query.
            let unsayable = if place % 10 == 0 { "this and that" } else { " " };
            let tags = [("status", status), ("half", half), ("text", unsayable)];
            survey.add(place, &seen(place as i64, place as i64 + 1), tags.into_iter());
        }
        assert_eq!(survey.some_tag("cart"), Some(Condition::Tag("status".to_owned(), "500".to_owned())));
        assert_eq!(survey.long("cart"), Some(Condition::Lasts(40)));
        assert_eq!(survey.some_tag("nobody"), None);
    }

    #[test]
    fn a_rare_tag_is_on_a_span_of_its_trace() {
        let generator = generator(32);
        let mut trace = Trace::default();
        for draw in [0, 7 << 32 | 5, u64::MAX] {
            generator.draw(3, &mut trace, &mut ());
            let (key, value) = rare_tag(&trace, draw).unwrap();
            let number = u32::from_str_radix(&value, 16).unwrap();
            assert_eq!(value.len(), 6);
            assert!(trace.tags.contains(&(key.as_str().to_owned().leak(), Value::Hex(number))));
        }
        assert_eq!(rare_tag(&Trace::default(), 1), None);
    }
}
