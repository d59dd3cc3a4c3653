//! Searches: what a person asks Zipkin's API for before there is a trace to look at, one question after the other, each
//! answer held against what was sent.
//!
//! Questions about a service go round all services that were seen among the newest traces. Where many questions are the
//! same a server that keeps answers would have it easy: rare tags and those that nobody sent differ from each to each.

use super::client::{Connection, Target};
use super::draw::mix;
use super::expect::{Expected, Traces};
use super::generate::{Generator, Trace};
use super::measure::{Percentiles, micros_since, moment};
use super::source::{self, Source};
use super::survey::{Condition, Survey, rare_tag};
use serde::Serialize;
use url::form_urlencoded::Serializer;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The newest traces of a service.
    Newest,
    /// Those with a tag that some of the service's traces have.
    Tag,
    /// A trace by a random tag of one of its spans, whatever its service.
    RareTag,
    /// A tag that no span has.
    NoMatch,
    /// Traces in which a service took long.
    Duration,
    Services,
    SpanNames,
    RemoteServices,
    /// Who calls whom, in a day.
    Dependencies,
}

impl Kind {
    pub const ALL: [Kind; 9] = [
        Kind::Newest,
        Kind::Tag,
        Kind::RareTag,
        Kind::NoMatch,
        Kind::Duration,
        Kind::Services,
        Kind::SpanNames,
        Kind::RemoteServices,
        Kind::Dependencies,
    ];

    /// The name in a report.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Newest => "newest 20",
            Kind::Tag => "tag",
            Kind::RareTag => "rare tag",
            Kind::NoMatch => "no match",
            Kind::Duration => "duration",
            Kind::Services => "services",
            Kind::SpanNames => "span names",
            Kind::RemoteServices => "remote services",
            Kind::Dependencies => "dependencies",
        }
    }
}

/// How to search.
#[derive(Clone, Copy, Debug)]
pub struct SearchOptions {
    /// Of each kind.
    pub searches: u64,
    pub seed: u64,
    /// The end of the window, in milliseconds since 1970 UTC: no span starts later.
    pub end_ts: i64,
    /// The window's length in milliseconds.
    pub lookback: i64,
    /// Whether the server has nothing but what was sent.
    pub alone: bool,
    /// Whether the times that were sent are known: an earlier load's are not.
    pub timed: bool,
}

/// What searching came to.
#[derive(Clone, Debug, Serialize)]
pub struct SearchReport {
    pub kinds: Vec<KindReport>,
    /// Kinds for which there was nothing in what was sent.
    pub skipped: Vec<&'static str>,
    pub seconds: f64,
}

/// What the questions of one kind came to.
#[derive(Clone, Debug, Serialize)]
pub struct KindReport {
    pub kind: &'static str,
    pub searches: u64,
    pub milliseconds: Percentiles,
    /// The first question of the kind.
    pub first_milliseconds: f64,
    pub bytes_answered: u64,
    /// Answers that cannot be right after what was sent.
    pub mismatches: u64,
    /// The first few of them.
    pub examples: Vec<String>,
}

impl SearchReport {
    /// Of all kinds.
    pub fn mismatches(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.mismatches).sum()
    }
}

/// Questions of each kind before those that are timed.
const WARM_UP: u64 = 10;
/// How many mismatches of a kind are described.
const EXAMPLES: usize = 3;
/// A day in milliseconds.
pub const DAY: i64 = 86_400_000;
/// Traces that are asked for: the newest, and others.
const NEWEST: usize = 20;
const LIMIT: usize = 10;

/// A question, and what its answer has to be.
struct Question {
    path: String,
    expected: Expected,
}

/// Searches for what `source` sent.
pub async fn search(target: &Target, source: &Source, options: SearchOptions) -> Result<SearchReport, String> {
    let survey = Survey::of(source)?;
    let mut connection = Connection::new(target.clone());
    connection.get("/health").await?;
    let mut report = SearchReport { kinds: Vec::new(), skipped: Vec::new(), seconds: 0.0 };
    let start = moment();
    for kind in Kind::ALL {
        let questions = Asking { survey: &survey, source, options }.questions(kind);
        if questions.is_empty() {
            report.skipped.push(kind.name());
        } else {
            report.kinds.push(ask(&mut connection, kind, &questions, options.searches).await?);
        }
    }
    report.seconds = f64::from(micros_since(start)) / 1e6;
    Ok(report)
}

/// Goes round the questions, of which there must be one.
async fn ask(
    connection: &mut Connection,
    kind: Kind,
    questions: &[Question],
    searches: u64,
) -> Result<KindReport, String> {
    let mut report = KindReport {
        kind: kind.name(),
        searches,
        milliseconds: Percentiles::default(),
        first_milliseconds: 0.0,
        bytes_answered: 0,
        mismatches: 0,
        examples: Vec::new(),
    };
    let mut times = Vec::new();
    let warm_up = WARM_UP.min(searches);
    for (number, question) in (0..warm_up + searches).zip(questions.iter().cycle()) {
        let answer = connection.get(&question.path).await?;
        if number == 0 {
            report.first_milliseconds = f64::from(answer.micros) / 1000.0;
        }
        // The warm-up's answers are checked as well, but neither timed nor counted.
        if number >= warm_up {
            times.push(answer.micros);
            report.bytes_answered += answer.body.len() as u64;
        }
        if let Err(wrong) = question.expected.check(&answer) {
            report.mismatches += 1;
            if report.examples.len() < EXAMPLES {
                report.examples.push(format!("{}: {wrong}", question.path));
            }
        }
    }
    report.milliseconds = Percentiles::of(times);
    Ok(report)
}

/// What questions are made of.
struct Asking<'a> {
    survey: &'a Survey,
    source: &'a Source,
    options: SearchOptions,
}

impl Asking<'_> {
    /// The questions of a kind; none where what is sent has nothing to ask for.
    fn questions(&self, kind: Kind) -> Vec<Question> {
        let Survey { services, all_services, all_names, .. } = self.survey;
        let alone = self.options.alone;
        let each = |question: &dyn Fn(&str) -> Option<Question>| -> Vec<Question> {
            services.keys().filter_map(|name| question(name)).collect()
        };
        let many = WARM_UP.min(self.options.searches) + self.options.searches;
        match kind {
            Kind::Newest => each(&|service| Some(self.traces(service, Condition::Any, NEWEST))),
            Kind::Tag => each(&|service| Some(self.traces(service, self.survey.some_tag(service)?, LIMIT))),
            Kind::Duration => each(&|service| Some(self.traces(service, self.survey.long(service)?, LIMIT))),
            Kind::RareTag => match self.source.kind() {
                source::Kind::Generated(generator) => {
                    (0..many).filter_map(|number| self.rare(generator, number)).collect()
                }
                // What a recording's spans hold comes again in each round.
                source::Kind::Replayed { .. } => Vec::new(),
            },
            Kind::NoMatch => (0..many)
                .map(|number| {
                    // Twice as long as any that is generated.
                    let value = format!("{:016x}", mix(self.options.seed, 0x6e6f_6e65, number));
                    let path = self.search_path(&[("annotationQuery", &format!("request.id={value}"))], LIMIT);
                    Question { path, expected: Expected::Nothing }
                })
                .collect(),
            Kind::Services => {
                let names = services.keys().cloned().collect();
                let expected = Expected::Names { names, exact: alone && *all_services };
                vec![Question { path: path("services", &[]), expected }]
            }
            Kind::SpanNames | Kind::RemoteServices => services
                .iter()
                .map(|(name, service)| {
                    let (route, names) = match kind {
                        Kind::SpanNames => ("spans", &service.span_names),
                        _ => ("remoteServices", &service.remote_services),
                    };
                    let expected = Expected::Names { names: names.clone(), exact: alone && *all_names };
                    Question { path: path(route, &[("serviceName", name)]), expected }
                })
                .collect(),
            Kind::Dependencies => {
                let parameters = [("endTs", self.options.end_ts.to_string()), ("lookback", DAY.to_string())];
                let parameters = parameters.each_ref().map(|(key, value)| (*key, value.as_str()));
                let any = services.values().any(|service| !service.remote_services.is_empty());
                let between = (alone && *all_names).then(|| self.survey.parties());
                vec![Question { path: path("dependencies", &parameters), expected: Expected::Links { any, between } }]
            }
        }
    }

    fn traces(&self, service: &str, condition: Condition, limit: usize) -> Question {
        let (key, value) = match &condition {
            Condition::Any => ("", String::new()),
            Condition::Tag(key, value) => ("annotationQuery", format!("{key}={value}")),
            Condition::Lasts(micros) => ("minDuration", micros.to_string()),
        };
        let mut parameters = vec![("serviceName", service)];
        if !key.is_empty() {
            parameters.push((key, &value));
        }
        let expected = Traces {
            service: service.to_owned(),
            limit,
            newest: self.survey.newest(service, &condition),
            condition,
            timed: self.options.timed,
            exact: self.options.alone && self.survey.whole,
        };
        Question { path: self.search_path(&parameters, limit), expected: Expected::Traces(expected) }
    }

    /// By a tag of a random trace.
    fn rare(&self, generator: &Generator, number: u64) -> Option<Question> {
        let draw = |part: u64| mix(self.options.seed, 0x7261_7265 + part, number);
        let mut trace = Trace::default();
        generator.draw(draw(0) % self.source.traces().max(1), &mut trace, &mut ());
        let (key, value) = rare_tag(&trace, draw(1))?;
        let path = self.search_path(&[("annotationQuery", &format!("{key}={value}"))], LIMIT);
        Some(Question { path, expected: Expected::Trace { id: trace.id, key, value } })
    }

    fn search_path(&self, conditions: &[(&str, &str)], limit: usize) -> String {
        let window = [
            ("endTs", self.options.end_ts.to_string()),
            ("lookback", self.options.lookback.to_string()),
            ("limit", limit.to_string()),
        ];
        let window = window.each_ref().map(|(key, value)| (*key, value.as_str()));
        path("traces", &[conditions, &window].concat())
    }
}

fn path(route: &str, parameters: &[(&str, &str)]) -> String {
    let mut path = format!("/api/v2/{route}");
    if !parameters.is_empty() {
        path.push('?');
        path.push_str(&Serializer::new(String::new()).extend_pairs(parameters).finish());
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::generate::Options;
    use std::collections::HashSet;

    const END: i64 = 1_700_000_100_000;

    fn questions(kind: Kind) -> Vec<Question> {
        let first_start = 1_700_000_000_000_000;
        let options = Options { seed: 41, wide_ids: false, shared_spans: false, first_start, rate: 20_000 };
        let source = Source::generated(Generator::new(options), 5_000);
        let survey = Survey::of(&source).unwrap();
        let options = SearchOptions { searches: 15, seed: 41, end_ts: END, lookback: DAY, alone: true, timed: true };
        Asking { survey: &survey, source: &source, options }.questions(kind)
    }

    #[test]
    fn every_kind_has_questions_with_the_parameters_of_the_api() {
        let window = "endTs=1700000100000&lookback=86400000&limit=";
        for (kind, count, begin, end) in [
            (Kind::Newest, 40, "/api/v2/traces?serviceName=", format!("&{window}20")),
            (Kind::Tag, 0, "/api/v2/traces?serviceName=", format!("&{window}10")),
            (Kind::RareTag, 25, "/api/v2/traces?annotationQuery=", format!("&{window}10")),
            (Kind::NoMatch, 25, "/api/v2/traces?annotationQuery=request.id%3D", format!("&{window}10")),
            (Kind::Duration, 40, "/api/v2/traces?serviceName=", format!("&{window}10")),
            (Kind::Services, 1, "/api/v2/services", String::new()),
            (Kind::SpanNames, 40, "/api/v2/spans?serviceName=", String::new()),
            (Kind::RemoteServices, 40, "/api/v2/remoteServices?serviceName=", String::new()),
            (Kind::Dependencies, 1, "/api/v2/dependencies?endTs=1700000100000&lookback=86400000", String::new()),
        ] {
            let questions = questions(kind);
            // Each is another question.
            let paths: HashSet<&str> = questions.iter().map(|question| question.path.as_str()).collect();
            assert_eq!(paths.len(), questions.len());
            assert!(paths.iter().all(|path| path.starts_with(begin) && path.ends_with(&end)), "{kind:?} {paths:?}");
            // Not every service has a tag that is neither seldom nor usual.
            if kind == Kind::Tag {
                assert!((20..=40).contains(&paths.len()), "{paths:?}");
                assert!(paths.iter().all(|path| path.contains("&annotationQuery=")));
            } else {
                assert_eq!(paths.len(), count, "{kind:?}");
            }
        }
    }

    #[test]
    fn a_load_that_was_seen_whole_on_a_server_of_its_own_is_known_exactly() {
        let is_exact = |question: &Question| match &question.expected {
            Expected::Traces(traces) => traces.exact && traces.timed && !traces.newest.is_empty(),
            // A service may call nobody.
            Expected::Names { exact, .. } => *exact,
            Expected::Links { any, between } => *any && between.is_some(),
            Expected::Nothing | Expected::Trace { .. } => true,
        };
        for kind in Kind::ALL {
            assert!(questions(kind).iter().all(is_exact), "{kind:?}");
        }
    }
}
