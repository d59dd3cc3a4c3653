//! A service as its spans show it: its versions, and the operations that it serves.
//!
//! The newest traces are looked at until every name that the service's spans have was seen, within bounds; then the
//! newest trace of each name that was not. What is beyond the bounds is counted. So a service of many operations is told
//! of as far as can be in some tenths of a second, and one of a few after a few traces.
//!
//! A span is of a service if that recorded it, or if its name says so (`service:instance:transaction`, see
//! [`crate::codec::zipkin::ats`]). An operation is what a span of kind SERVER or CONSUMER names:
//!
//! | tells | the first that is there |
//! |---|---|
//! | its class | the tags `rpc.service`, `mvc.controller.class`, `code.namespace`; what its name has before `rpc.method` |
//! | its name | the tags `rpc.method`, `mvc.controller.method`, `code.function`; the transaction; the span's name |
//! | its path | the tag `http.route`; the path in its name; the tags `http.path`, `url.path` |
//! | its HTTP method | the tags `http.method`, `http.request.method`, `append`; the verb in its name |
//! | its version | the tags `service.version`, `version` |
//!
//! Paths of tags are those of single requests, so an operation has several, of which the first few are told.

use super::ServiceKind;
use super::posted::MethodDetail;
use crate::codec::zipkin::ats;
use crate::error::Result;
use crate::model::{Kind, Span};
use crate::query::names;
use crate::query::search::{Search, SearchQuery};
use crate::stop::Stop;
use crate::store::Snapshot;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use xxhash_rust::xxh3::xxh3_64;

/// Traces that are looked at in any case, spans and traces that are looked at at most.
const LEAST_TRACES: usize = 20;
const MOST_TRACES: usize = 2_000;
const MOST_SPANS: usize = 20_000;
/// The same where only names in three parts say whose spans they are.
const MOST_NAMED_TRACES: usize = 50;
const MOST_NAMED_SPANS: usize = 5_000;
/// Names that are looked for one by one.
const MOST_NAMES: usize = 64;
/// Paths and HTTP methods of an operation; bytes of a text.
const MOST_PATHS: usize = 16;
const LONGEST: usize = 1_024;
/// What is told of the newest span that has it.
const TOLD: [&str; 7] = [
    "deployment.environment",
    "deployment.environment.name",
    "service.namespace",
    "service.version",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "telemetry.sdk.version",
];
const VERBS: [&str; 9] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT"];

/// What traces show of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traced {
    /// As the newest span has it.
    pub name: String,
    /// As the newest span that has one.
    pub version: String,
    pub kind: Option<ServiceKind>,
    /// Texts by key.
    pub tags: BTreeMap<String, String>,
    pub operations: Vec<MethodDetail>,
    /// What is missing, in words.
    pub notes: Vec<String>,
    pub damaged: Vec<String>,
}

/// Looks at the spans of a service, in one version or in all; those that name none are of every version. None if there
/// is no span.
pub(super) fn look(
    snapshot: &Snapshot,
    project: &str,
    service: &str,
    version: Option<&str>,
    most_operations: usize,
    stop: &Stop,
) -> Result<Option<Traced>> {
    let service = service.to_lowercase();
    let listed = names::span_names(snapshot, project, &service)?;
    let mut seen = Seen::new(&service, version, most_operations);
    seen.damaged.clone_from(&listed.damaged);
    let mut unseen: HashSet<String> = listed.names.iter().map(|name| name.to_lowercase()).collect();

    let query = |limit| SearchQuery {
        project: project.to_owned(),
        end_ts: i64::MAX,
        lookback: i64::MAX,
        limit,
        // Agents disagree about the width of an id: the right 16 digits decide.
        strict: false,
        ..SearchQuery::default()
    };
    let own = SearchQuery { service: Some(service.clone()), ..query(usize::MAX) };
    let (mut traces, mut spans) = (0, 0);
    each(snapshot, &own, stop, &mut seen, &mut |seen, chunk, ends_trace| {
        spans += chunk.len();
        for span in chunk {
            if !seen.is_recorded_by(span) {
                continue;
            }
            if let Some(name) = &span.name {
                unseen.remove(&name.to_lowercase());
            }
            seen.feed(span);
        }
        traces += usize::from(ends_trace);
        let enough = unseen.is_empty() && traces >= LEAST_TRACES;
        !enough && traces < MOST_TRACES && spans < MOST_SPANS
    })?;

    let named = SearchQuery { application: Some(service.clone()), ..query(usize::MAX) };
    (traces, spans) = (0, 0);
    each(snapshot, &named, stop, &mut seen, &mut |seen, chunk, ends_trace| {
        spans += chunk.len();
        for span in chunk {
            if !seen.is_recorded_by(span) && seen.is_named_in(span) {
                seen.feed(span);
            }
        }
        traces += usize::from(ends_trace);
        traces < MOST_NAMED_TRACES && spans < MOST_NAMED_SPANS
    })?;

    let mut rest: Vec<String> = unseen.into_iter().collect();
    rest.sort_unstable();
    let beyond = rest.split_off(rest.len().min(MOST_NAMES));
    for name in rest {
        let one = SearchQuery { service: Some(service.clone()), span_name: Some(name), ..query(1) };
        spans = 0;
        each(snapshot, &one, stop, &mut seen, &mut |seen, chunk, _| {
            spans += chunk.len();
            for span in chunk {
                if seen.is_recorded_by(span) {
                    seen.feed(span);
                }
            }
            spans < MOST_SPANS
        })?;
    }
    Ok(seen.finish(beyond.len() as u64 + listed.overflow))
}

/// Gives the spans of what a search finds to `take`, until that has enough.
fn each(
    snapshot: &Snapshot,
    query: &SearchQuery,
    stop: &Stop,
    seen: &mut Seen<'_>,
    take: &mut dyn FnMut(&mut Seen<'_>, &[Span<'static>], bool) -> bool,
) -> Result<()> {
    let mut search = Search::open(snapshot, query, stop.clone())?;
    while let Some(chunk) = search.next_chunk()? {
        if !take(seen, &chunk.rows.spans, chunk.ends_trace) {
            break;
        }
    }
    for path in search.damaged() {
        if !seen.damaged.contains(path) {
            seen.damaged.push(path.clone());
        }
    }
    Ok(())
}

/// What was seen so far.
struct Seen<'w> {
    /// In lower case.
    service: &'w str,
    version: Option<&'w str>,
    most_operations: usize,
    found: bool,
    name: Newest,
    newest_version: Newest,
    kind: Option<ServiceKind>,
    tags: BTreeMap<&'static str, Newest>,
    operations: BTreeMap<Key, Operation>,
    /// Hashes of operations beyond the limit, each of which is counted once.
    beyond: HashSet<u64>,
    damaged: Vec<String>,
}

/// A text with its time.
#[derive(Default)]
struct Newest {
    time: i64,
    text: String,
}

impl Newest {
    fn offer(&mut self, time: i64, text: &str) {
        if self.text.is_empty() || time > self.time {
            *self = Newest { time, text: cut(text).to_owned() };
        }
    }
}

/// What tells operations apart: class, name, route.
type Key = (String, String, String);

#[derive(Default)]
struct Operation {
    verbs: BTreeSet<String>,
    paths: BTreeSet<String>,
}

impl<'w> Seen<'w> {
    fn new(service: &'w str, version: Option<&'w str>, most_operations: usize) -> Seen<'w> {
        Seen {
            service,
            version,
            most_operations,
            found: false,
            name: Newest::default(),
            newest_version: Newest::default(),
            kind: None,
            tags: BTreeMap::new(),
            operations: BTreeMap::new(),
            beyond: HashSet::new(),
            damaged: Vec::new(),
        }
    }

    /// Whether the service recorded the span.
    fn is_recorded_by(&self, span: &Span<'_>) -> bool {
        span.local.as_ref().and_then(|local| local.service.as_deref()).is_some_and(|name| self.is(name))
    }

    /// Whether the span's name says that it is the service's.
    fn is_named_in(&self, span: &Span<'_>) -> bool {
        self.is(ats::application(span))
    }

    fn is(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.service) || name.to_lowercase() == self.service
    }

    /// Takes a span of the service.
    fn feed(&mut self, span: &Span<'_>) {
        let version = tag(span, &["service.version", "version"]);
        if let (Some(wanted), Some(version)) = (self.version, version)
            && wanted != version
        {
            return;
        }
        self.found = true;
        let time = span.timestamp.unwrap_or_default();
        let recorded = span.local.as_ref().and_then(|local| local.service.as_deref()).filter(|name| self.is(name));
        self.name.offer(time, recorded.unwrap_or_else(|| ats::application(span)));
        if let Some(version) = version {
            self.newest_version.offer(time, version);
        }
        for key in TOLD {
            if let Some(text) = tag(span, &[key]) {
                self.tags.entry(key).or_default().offer(time, text);
            }
        }
        if tag(span, &["rpc.system"]).is_some_and(|system| system.to_ascii_lowercase().contains("dubbo")) {
            self.kind = Some(ServiceKind::Dubbo);
        }
        if matches!(span.kind, Some(Kind::Server | Kind::Consumer)) {
            self.operation(span);
        }
    }

    fn operation(&mut self, span: &Span<'_>) {
        let parts = ats::parts(span, None);
        let transaction = if parts.composed { None } else { Some(parts.transaction.as_ref()) };
        let named = transaction.or(span.name.as_deref()).unwrap_or_default();
        let (verb_in_name, path_in_name) = verb_and_path(named);
        let rpc = tag(span, &["rpc.method"]).or_else(|| tag(span, &["mvc.controller.method", "code.function"]));
        let name = cut(rpc.unwrap_or(named));
        if name.is_empty() {
            return;
        }
        // Agents of RPC name a span by class and method, some of them without a tag for the class.
        let before = || named.strip_suffix(tag(span, &["rpc.method"])?)?.strip_suffix('/');
        let class = tag(span, &["rpc.service", "mvc.controller.class", "code.namespace"]).or_else(before);
        let class = class.unwrap_or_default();
        let route = tag(span, &["http.route"]).or(path_in_name);
        let key = (cut(class).to_owned(), name.to_owned(), cut(route.unwrap_or_default()).to_owned());
        if self.operations.len() >= self.most_operations && !self.operations.contains_key(&key) {
            self.beyond.insert(xxh3_64(format!("{}\0{}\0{}", key.0, key.1, key.2).as_bytes()));
            return;
        }
        let operation = self.operations.entry(key).or_default();
        if let Some(verb) = tag(span, &["http.method", "http.request.method", "append"]).or(verb_in_name)
            && operation.verbs.len() < MOST_PATHS
        {
            operation.verbs.insert(cut(verb).to_ascii_uppercase());
        }
        if let Some(path) = route.or_else(|| tag(span, &["http.path", "url.path"]))
            && operation.paths.len() < MOST_PATHS
        {
            operation.paths.insert(cut(path).to_owned());
        }
    }

    fn finish(self, names_beyond: u64) -> Option<Traced> {
        if !self.found {
            return None;
        }
        let method = |((class, name, _), operation): (Key, Operation)| MethodDetail {
            method_controller: class,
            name,
            request_methods: operation.verbs.into_iter().collect(),
            paths: operation.paths.into_iter().collect(),
            ..MethodDetail::default()
        };
        let mut notes = Vec::new();
        if !self.beyond.is_empty() {
            notes.push(format!("traces: {} operations more than are told", self.beyond.len()));
        }
        if names_beyond > 0 {
            notes.push(format!("traces: spans of {names_beyond} more names were not looked at"));
        }
        Some(Traced {
            name: self.name.text,
            version: self.newest_version.text,
            kind: self.kind,
            tags: self.tags.into_iter().map(|(key, newest)| (key.to_owned(), newest.text)).collect(),
            operations: self.operations.into_iter().map(method).collect(),
            notes,
            damaged: self.damaged,
        })
    }
}

/// The first tag that says something.
fn tag<'s>(span: &'s Span<'_>, keys: &[&str]) -> Option<&'s str> {
    keys.iter().filter_map(|key| span.tag(key)).map(str::trim).find(|text| !text.is_empty())
}

/// The verb and the path in names such as `GET /items/{id}`, `get`, `GET_/items/*` and `/items`.
fn verb_and_path(name: &str) -> (Option<&str>, Option<&str>) {
    if name.starts_with('/') {
        return (None, Some(name));
    }
    let (first, rest) = name.split_once([' ', '_']).unwrap_or((name, ""));
    if !VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(first)) {
        return (None, None);
    }
    let rest = rest.trim();
    match rest {
        "" => (Some(first), None),
        _ if rest.starts_with('/') => (Some(first), Some(rest)),
        // What only begins like one: `get_user`, `post office`.
        _ => (None, None),
    }
}

/// No more than the first bytes of a text.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, TraceId};

    fn span(name: &str, kind: Option<Kind>, tags: &[(&'static str, &'static str)]) -> Span<'static> {
        let mut tags: Vec<_> = tags.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        Span::settle_tags(&mut tags);
        let local = Endpoint { service: Some("Cart".into()), ..Endpoint::default() };
        let name = Some(name.to_owned().into());
        Span { name, kind, tags, local: Some(local), timestamp: Some(1), ..Span::new(TraceId::narrow(1), 1) }
    }

    fn operations(spans: &[Span<'static>]) -> Vec<(String, String, Vec<String>, Vec<String>)> {
        let mut seen = Seen::new("cart", None, 100);
        spans.iter().for_each(|span| seen.feed(span));
        let all = seen.finish(0).unwrap().operations.into_iter();
        all.map(|m| (m.method_controller, m.name, m.request_methods, m.paths)).collect()
    }

    #[test]
    fn each_manner_of_naming_operations_is_understood() {
        let served = Some(Kind::Server);
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (name, tags, class, operation, verbs, paths) in [
            ("GET /a/{id}", &[][..], "", "GET /a/{id}", &["GET"][..], &["/a/{id}"][..]),
            ("get", &[("http.path", "/a/1")], "", "get", &["GET"], &["/a/1"]),
            ("get /a", &[("http.route", "/a/{id}"), ("http.path", "/a/1")], "", "get /a", &["GET"], &["/a/{id}"]),
            ("x", &[("http.request.method", "post"), ("url.path", "/p")], "", "x", &["POST"], &["/p"]),
            ("cart:cart-1:GET_/rest/*", &[], "", "GET_/rest/*", &["GET"], &["/rest/*"]),
            ("cart:cart-1:/b:c", &[("append", "PUT")], "", "/b:c", &["PUT"], &["/b:c"]),
            ("shop.Cart/add", &[("rpc.service", "shop.Cart"), ("rpc.method", "add")], "shop.Cart", "add", &[], &[]),
            ("shop.Cart/add", &[("rpc.method", "add")], "shop.Cart", "add", &[], &[]),
            ("add", &[("rpc.method", "add")], "", "add", &[], &[]),
            (
                "get /a",
                &[("mvc.controller.class", "CartController"), ("mvc.controller.method", "item")],
                "CartController",
                "item",
                &["GET"],
                &["/a"],
            ),
            ("handle", &[("code.namespace", "x.Y"), ("code.function", "on")], "x.Y", "on", &[], &[]),
            ("get_user", &[], "", "get_user", &[], &[]),
            ("post office", &[], "", "post office", &[], &[]),
            ("x", &[("http.method", " "), ("rpc.service", "")], "", "x", &[], &[]),
        ] {
            let expected = (class.to_owned(), operation.to_owned(), owned(verbs), owned(paths));
            assert_eq!(operations(&[span(name, served, tags)]), [expected], "{name:?} {tags:?}");
        }
    }

    #[test]
    fn only_what_is_served_or_consumed_is_an_operation() {
        let told = operations(&[
            span("call", Some(Kind::Client), &[]),
            span("send", Some(Kind::Producer), &[]),
            span("work", None, &[]),
            span("take", Some(Kind::Consumer), &[]),
            span("serve", Some(Kind::Server), &[]),
        ]);
        let names: Vec<&str> = told.iter().map(|(_, name, ..)| name.as_str()).collect();
        assert_eq!(names, ["serve", "take"]);
    }

    #[test]
    fn requests_of_one_operation_are_together_up_to_so_many_paths() {
        let paths: Vec<String> = (0..40).map(|n| format!("/a/{n:02}")).collect();
        let spans: Vec<Span<'static>> = paths
            .iter()
            .map(|path| {
                let tags = vec![("http.path".into(), path.clone().into())];
                Span { tags, ..span("get", Some(Kind::Server), &[]) }
            })
            .collect();
        let told = operations(&spans);
        assert_eq!(told, [(String::new(), "get".into(), vec!["GET".into()], paths[..MOST_PATHS].to_vec())]);
    }

    #[test]
    fn operations_beyond_the_limit_are_counted_once_each() {
        let mut seen = Seen::new("cart", None, 10);
        for round in 0..3 {
            for n in 0..25 {
                seen.feed(&span(&format!("op{n:02}"), Some(Kind::Server), &[]));
            }
            assert_eq!(seen.operations.len(), 10, "{round}");
        }
        let traced = seen.finish(7).unwrap();
        assert_eq!(traced.operations.len(), 10);
        let notes = ["traces: 15 operations more than are told", "traces: spans of 7 more names were not looked at"];
        assert_eq!(traced.notes, notes);
    }

    #[test]
    fn the_newest_span_says_which_version_and_spans_of_another_do_not_count() {
        let at = |time, version| Span { timestamp: Some(time), ..span("x", None, &[("service.version", version)]) };
        let mut seen = Seen::new("cart", None, 10);
        [at(5, "2"), at(9, "3"), at(7, "1")].iter().for_each(|span| seen.feed(span));
        let traced = seen.finish(0).unwrap();
        assert_eq!((traced.version.as_str(), traced.name.as_str()), ("3", "Cart"));
        assert_eq!(traced.tags, BTreeMap::from([("service.version".to_owned(), "3".to_owned())]));

        let mut seen = Seen::new("cart", Some("4"), 10);
        seen.feed(&at(5, "2"));
        assert_eq!(seen.finish(0), None);
        let mut seen = Seen::new("cart", Some("2"), 10);
        [at(5, "2"), at(9, "3"), span("without", Some(Kind::Server), &[])].iter().for_each(|span| seen.feed(span));
        let traced = seen.finish(0).unwrap();
        assert_eq!((traced.version.as_str(), traced.operations.len()), ("2", 1));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "ä".repeat(LONGEST);
        assert_eq!(operations(&[span(&long, Some(Kind::Server), &[])])[0].1, "ä".repeat(LONGEST / 2));
    }
}
