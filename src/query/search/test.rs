//! The conditions of a search, tested on the spans of a whole trace, as Zipkin's `QueryRequest` tests them.
//!
//! A trace's time is the start of its root (a span without a parent), the earliest where there are several, else of its
//! earliest span; it has to lie in the window. A trace without any time is never found. The other conditions are met by
//! spans of the query's service, each by a span of its own if need be; only the two bounds on a duration are of one span.
//!
//! The ATS API asks for an application's spans rather than for traces: with an application, a span of any kind has to lie
//! in the window, wherever the root does.

use super::query::{SearchQuery, Window};
use crate::codec::zipkin::ats;
use crate::model::{Endpoint, Span};

/// Tests one trace: feed it all spans of the trace in any order, then ask.
#[derive(Clone, Debug)]
pub struct TraceTest<'q> {
    query: &'q SearchQuery,
    /// When the earliest root began.
    root: Option<i64>,
    /// When the earliest span began.
    earliest: Option<i64>,
    /// Whether a span began in the window.
    within: bool,
    application: bool,
    service: bool,
    remote_service: bool,
    span_name: bool,
    duration: bool,
    /// Whether each word was met, then each tag.
    texts: Vec<bool>,
}

impl<'q> TraceTest<'q> {
    pub fn new(query: &'q SearchQuery) -> Self {
        TraceTest {
            query,
            root: None,
            earliest: None,
            within: false,
            application: query.application.is_none(),
            service: query.service.is_none(),
            remote_service: query.remote_service.is_none(),
            span_name: query.span_name.is_none(),
            duration: query.min_duration.is_none() && query.max_duration.is_none(),
            texts: vec![false; query.words.len() + query.tags.len()],
        }
    }

    /// Takes a span. Whether it is of the application, where one is asked for.
    pub fn feed(&mut self, span: &Span<'_>) -> bool {
        if let Some(began) = positive(span.timestamp) {
            self.within |= Window::of(self.query).contains(began);
            earlier(&mut self.earliest, began);
            if is_root(span) {
                earlier(&mut self.root, began);
            }
        }
        let query = self.query;
        let is_own = query.application.as_deref().is_none_or(|wanted| is(Some(ats::application(span)), wanted));
        self.application |= is_own;
        let local = service(&span.local);
        if query.service.as_deref().is_some_and(|wanted| !is(local, wanted)) {
            return is_own;
        }
        self.service = true;
        self.remote_service |= query.remote_service.as_deref().is_some_and(|wanted| is(service(&span.remote), wanted));
        self.span_name |= query.span_name.as_deref().is_some_and(|wanted| is(span.name.as_deref(), wanted));
        self.duration |= positive(span.duration).is_some_and(|duration| {
            query.min_duration.is_none_or(|least| duration >= least)
                && query.max_duration.is_none_or(|most| duration <= most)
        });
        let (words, tags) = self.texts.split_at_mut(query.words.len());
        for (met, word) in words.iter_mut().zip(&query.words).filter(|(met, _)| !**met) {
            *met = span.tag(word).is_some() || span.annotations.iter().any(|annotation| annotation.value == *word);
        }
        for (met, (key, value)) in tags.iter_mut().zip(&query.tags).filter(|(met, _)| !**met) {
            *met = span.tag(key) == Some(value);
        }
        is_own
    }

    /// When the trace began as far as it was fed, in microseconds; `None` where no span says.
    pub fn time(&self) -> Option<i64> {
        self.root.or(self.earliest)
    }

    /// Whether the trace meets the query.
    pub fn matches(&self) -> bool {
        self.in_window()
            && self.application
            && self.service
            && self.remote_service
            && self.span_name
            && self.duration
            && self.texts.iter().all(|met| *met)
    }

    fn in_window(&self) -> bool {
        if self.query.application.is_some() {
            return self.within;
        }
        self.time().is_some_and(|time| Window::of(self.query).contains(time))
    }
}

/// Zipkin reads nothing and less as absent.
fn positive(number: Option<i64>) -> Option<i64> {
    number.filter(|number| *number > 0)
}

fn earlier(kept: &mut Option<i64>, time: i64) {
    *kept = Some(kept.map_or(time, |kept| kept.min(time)));
}

/// Some senders give a root the parent 0, or its own id.
fn is_root(span: &Span<'_>) -> bool {
    span.parent_id.is_none_or(|parent| parent == 0 || parent == span.id)
}

fn service<'a>(endpoint: &'a Option<Endpoint<'_>>) -> Option<&'a str> {
    endpoint.as_ref()?.service.as_deref()
}

/// Whether a name as sent is, in lower case, the wanted one.
fn is(name: Option<&str>, wanted: &str) -> bool {
    let Some(name) = name else { return false };
    if name.is_ascii() {
        return name.len() == wanted.len() && name.bytes().map(|b| b.to_ascii_lowercase()).eq(wanted.bytes());
    }
    name.to_lowercase() == wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Annotation, TraceId};

    /// The window's end in milliseconds and in microseconds.
    const END: i64 = 1_700_000_000_000;
    const END_MICROS: i64 = END * 1_000;
    const HOUR: i64 = 3_600_000;
    const MICROS: i64 = 1_000;

    /// The last hour, and nothing else.
    fn any() -> SearchQuery {
        SearchQuery { end_ts: END, lookback: HOUR, limit: 10, ..SearchQuery::default() }
    }

    fn of_service(service: &str) -> SearchQuery {
        SearchQuery { service: Some(service.to_owned()), ..any() }
    }

    /// A span that begins at the window's end; `parent` 1 makes it none of the roots.
    fn span(id: u64, parent: Option<u64>) -> Span<'static> {
        Span { parent_id: parent, timestamp: Some(END_MICROS), ..Span::new(TraceId::narrow(7), id) }
    }

    fn named(service: &str) -> Option<Endpoint<'static>> {
        Some(Endpoint { service: Some(service.to_owned().into()), ..Endpoint::default() })
    }

    /// A span of a service with something about it.
    fn at(local: &str, with: impl FnOnce(&mut Span<'static>)) -> Span<'static> {
        let mut span = Span { local: named(local), ..span(2, Some(1)) };
        with(&mut span);
        span
    }

    fn lasting(local: &str, duration: i64) -> Span<'static> {
        at(local, |span| span.duration = Some(duration))
    }

    fn tagged(local: &str, key: &str, value: &str) -> Span<'static> {
        at(local, |span| span.tags = vec![(key.to_owned().into(), value.to_owned().into())])
    }

    fn noted(local: &str, value: &str) -> Span<'static> {
        at(local, |span| span.annotations = vec![Annotation { timestamp: END_MICROS, value: value.to_owned().into() }])
    }

    /// Whether a trace of the spans is found, whatever their order.
    #[track_caller]
    fn found(query: &SearchQuery, spans: &[Span<'static>]) -> bool {
        let ask = |spans: &mut dyn Iterator<Item = &Span<'static>>| {
            let mut test = TraceTest::new(query);
            spans.for_each(|span| {
                test.feed(span);
            });
            test.matches()
        };
        let found = ask(&mut spans.iter());
        assert_eq!(ask(&mut spans.iter().rev()), found, "the order of spans mattered");
        found
    }

    /// Each case: what it shows, the query, the trace, whether it is found.
    #[track_caller]
    fn table(cases: &[(&str, SearchQuery, Vec<Span<'static>>, bool)]) {
        for (shown, query, spans, expected) in cases {
            assert_eq!(found(query, spans), *expected, "{shown}");
        }
    }

    #[test]
    fn the_traces_time_lies_in_the_window_both_ends_included_to_the_microsecond() {
        let begun = |time| vec![Span { timestamp: Some(time), ..span(1, None) }];
        let start = END_MICROS - HOUR * MICROS;
        table(&[
            ("at the end", any(), begun(END_MICROS), true),
            ("a microsecond after the end", any(), begun(END_MICROS + 1), false),
            ("at the start", any(), begun(start), true),
            ("a microsecond before the start", any(), begun(start - 1), false),
            ("another end", SearchQuery { end_ts: END - 1, ..any() }, begun(END_MICROS), false),
            ("another length", SearchQuery { lookback: HOUR + 1, ..any() }, begun(start - MICROS), true),
            ("longer than time", SearchQuery { lookback: i64::MAX, ..any() }, begun(1), true),
            ("to the end of time", SearchQuery { end_ts: i64::MAX, lookback: 1, ..any() }, begun(END_MICROS), false),
            ("all of time", SearchQuery { end_ts: i64::MAX, lookback: i64::MAX, ..any() }, begun(END_MICROS), true),
        ]);
    }

    #[test]
    fn the_root_says_when_the_trace_was_and_without_one_the_earliest_span_does() {
        let early = END_MICROS - HOUR * MICROS - 1;
        let begun = |id, parent, time| Span { timestamp: time, ..span(id, parent) };
        let inside = Some(END_MICROS);
        table(&[
            ("a late child", any(), vec![begun(1, None, inside), begun(2, Some(1), Some(END_MICROS + 9))], true),
            ("an early child", any(), vec![begun(1, None, inside), begun(2, Some(1), Some(early))], true),
            ("an early root", any(), vec![begun(1, None, Some(early)), begun(2, Some(1), inside)], false),
            ("the earlier of two roots", any(), vec![begun(1, None, Some(early)), begun(2, None, inside)], false),
            ("no root", any(), vec![begun(2, Some(1), inside), begun(3, Some(2), Some(END_MICROS + 9))], true),
            ("no root, begun early", any(), vec![begun(2, Some(1), inside), begun(3, Some(2), Some(early))], false),
            ("a root without time", any(), vec![begun(1, None, None), begun(2, Some(1), inside)], true),
            ("parent 0 is none", any(), vec![begun(1, Some(0), Some(early)), begun(2, Some(1), inside)], false),
            ("its own parent", any(), vec![begun(1, Some(1), Some(early)), begun(2, Some(1), inside)], false),
        ]);
    }

    #[test]
    fn a_trace_without_a_time_is_never_found() {
        let begun = |time| Span { timestamp: time, ..span(1, None) };
        let always = SearchQuery { lookback: END * 2, ..any() };
        table(&[
            ("none", always.clone(), vec![begun(None)], false),
            ("zero", always.clone(), vec![begun(Some(0))], false),
            ("less", always.clone(), vec![begun(Some(-5))], false),
            ("the least that is one", always.clone(), vec![begun(Some(1))], true),
            ("zero beside another", any(), vec![begun(Some(0)), span(2, Some(1))], true),
            ("no span", always, vec![], false),
        ]);
    }

    #[test]
    fn a_service_is_a_local_one() {
        let remote = at("back", |span| span.remote = named("front"));
        table(&[
            ("local", of_service("front"), vec![at("front", |_| {})], true),
            ("among others", of_service("front"), vec![at("back", |_| {}), at("front", |_| {})], true),
            ("another", of_service("front"), vec![at("back", |_| {})], false),
            ("the start of one", of_service("front"), vec![at("frontend", |_| {})], false),
            ("remote", of_service("front"), vec![remote], false),
            ("none", of_service("front"), vec![span(2, None)], false),
            ("all is a name", of_service("all"), vec![at("front", |_| {})], false),
        ]);
    }

    #[test]
    fn the_peer_and_the_name_are_those_of_a_span_of_the_service() {
        let peer = |local: &str, peer: &str| at(local, |span| span.remote = named(peer));
        let called = |local: &str, name: &str| at(local, |span| span.name = Some(name.to_owned().into()));
        let to = |query: SearchQuery| SearchQuery { remote_service: Some("db".into()), ..query };
        let get = |query: SearchQuery| SearchQuery { span_name: Some("get".into()), ..query };
        table(&[
            ("a peer", to(any()), vec![peer("front", "db")], true),
            ("another peer", to(any()), vec![peer("front", "cache")], false),
            ("a local service is no peer", to(any()), vec![at("db", |_| {})], false),
            ("the service's peer", to(of_service("front")), vec![peer("front", "db")], true),
            ("another's peer", to(of_service("front")), vec![at("front", |_| {}), peer("back", "db")], false),
            ("a name", get(any()), vec![called("front", "get")], true),
            ("another name", get(any()), vec![called("front", "put")], false),
            ("no name", get(any()), vec![at("front", |_| {})], false),
            ("the service's name", get(of_service("front")), vec![called("front", "get")], true),
            ("another's name", get(of_service("front")), vec![at("front", |_| {}), called("back", "get")], false),
        ]);
    }

    #[test]
    fn names_compare_without_regard_to_case_and_texts_with_it() {
        let name = |wanted: &str| SearchQuery { span_name: Some(wanted.to_owned()), ..any() };
        let word = |wanted: &str| SearchQuery { words: vec![wanted.to_owned()], ..any() };
        let called = |name: &str| vec![at("front", |span| span.name = Some(name.to_owned().into()))];
        table(&[
            ("a service", of_service("front"), vec![at("FRont", |_| {})], true),
            (
                "a peer",
                SearchQuery { remote_service: Some("db".into()), ..any() },
                vec![at("a", |span| span.remote = named("Db"))],
                true,
            ),
            ("a name", name("get /"), called("Get /"), true),
            ("not ASCII", name("größe"), called("GRÖßE"), true),
            ("longer in lower case", name("i\u{307}"), called("\u{130}"), true),
            ("ASCII in lower case only", name("k"), called("\u{212a}"), true),
            ("not ASCII, another", name("größe"), called("GROßE"), false),
            ("a word", word("error"), vec![noted("a", "Error")], false),
            ("a key", word("error"), vec![tagged("a", "Error", "")], false),
            (
                "a value",
                SearchQuery { tags: vec![("k".into(), "v".into())], ..any() },
                vec![tagged("a", "k", "V")],
                false,
            ),
        ]);
    }

    #[test]
    fn a_word_is_an_annotation_or_a_tags_key_and_a_tag_is_both_its_texts() {
        let word = |query: SearchQuery| SearchQuery { words: vec!["error".into()], ..query };
        let tag = |query: SearchQuery| SearchQuery { tags: vec![("error".into(), "500".into())], ..query };
        table(&[
            ("an annotation", word(any()), vec![noted("a", "error")], true),
            ("a part of one", word(any()), vec![noted("a", "error!")], false),
            ("a key", word(any()), vec![tagged("a", "error", "500")], true),
            ("a key of an empty value", word(any()), vec![tagged("a", "error", "")], true),
            ("a value is no word", word(any()), vec![tagged("a", "k", "error")], false),
            ("a tag", tag(any()), vec![tagged("a", "error", "500")], true),
            ("another value", tag(any()), vec![tagged("a", "error", "5000")], false),
            ("an annotation is no tag", tag(any()), vec![noted("a", "error"), noted("a", "500")], false),
            ("of the service", word(of_service("a")), vec![noted("a", "error")], true),
            ("of another", word(of_service("a")), vec![at("a", |_| {}), noted("b", "error")], false),
            ("another's key", word(of_service("a")), vec![at("a", |_| {}), tagged("b", "error", "")], false),
            ("another's tag", tag(of_service("a")), vec![at("a", |_| {}), tagged("b", "error", "500")], false),
        ]);
    }

    #[test]
    fn all_words_and_tags_are_met_each_wherever_it_is() {
        let query = SearchQuery {
            words: vec!["foo".into(), "bar".into()],
            tags: vec![("baz".into(), "qux".into())],
            ..of_service("a")
        };
        let all = [noted("a", "foo"), noted("a", "bar"), tagged("a", "baz", "qux")];
        assert!(found(&query, &all));
        for missing in 0..all.len() {
            let mut rest = all.to_vec();
            rest.remove(missing);
            assert!(!found(&query, &rest), "without {missing}");
        }
    }

    #[test]
    fn a_duration_is_within_both_bounds_on_one_span_of_the_service() {
        let least = |query: SearchQuery| SearchQuery { min_duration: Some(50), ..query };
        let both = |query: SearchQuery| SearchQuery { max_duration: Some(150), ..least(query) };
        table(&[
            ("the least", least(any()), vec![lasting("a", 50)], true),
            ("shorter", least(any()), vec![lasting("a", 49)], false),
            ("much longer", least(any()), vec![lasting("a", i64::MAX)], true),
            ("the most", both(any()), vec![lasting("a", 150)], true),
            ("longer", both(any()), vec![lasting("a", 151)], false),
            ("one shorter and one longer", both(any()), vec![lasting("a", 49), lasting("a", 151)], false),
            ("one within among others", both(any()), vec![lasting("a", 1), lasting("a", 100), lasting("a", 999)], true),
            ("none", least(any()), vec![at("a", |_| {})], false),
            ("a child's", least(of_service("a")), vec![lasting("a", 50), span(1, None)], true),
            ("another's", least(of_service("a")), vec![at("a", |_| {}), lasting("b", 50)], false),
            ("zero is none", SearchQuery { min_duration: Some(0), ..any() }, vec![lasting("a", 0)], false),
        ]);
    }

    #[test]
    fn an_application_is_that_of_any_span_in_either_case() {
        let shop = SearchQuery { application: Some("shop".into()), ..any() };
        let called = |service: &str, name: &str| at(service, |span| span.name = Some(name.to_owned().into()));
        table(&[
            ("a service's", shop.clone(), vec![called("till", "get"), called("Shop", "get")], true),
            ("a name's", shop.clone(), vec![called("till", "SHOP:i:t")], true),
            ("a name's comes before a service's", shop.clone(), vec![called("shop", "till:i:t")], false),
            ("another's", shop.clone(), vec![called("shops", "get")], false),
            (
                "with a service beside it",
                SearchQuery { service: Some("till".into()), ..shop },
                vec![called("till", "get"), called("a", "shop:i:t")],
                true,
            ),
        ]);
    }

    /// Its entries are spans of the application, and those are looked for in the window.
    #[test]
    fn with_an_application_any_span_may_lie_in_the_window() {
        let shop = SearchQuery { application: Some("shop".into()), ..any() };
        let early = Span { parent_id: None, timestamp: Some(END_MICROS - 2 * HOUR * MICROS), ..at("shop", |_| {}) };
        let timeless = Span { timestamp: None, ..at("shop", |_| {}) };
        table(&[
            ("a child of an early root", shop.clone(), vec![early.clone(), at("shop", |_| {})], true),
            ("another's piece may know the time", shop.clone(), vec![timeless.clone(), at("till", |_| {})], true),
            ("none", shop.clone(), vec![early], false),
            ("nobody knows", shop, vec![timeless], false),
        ]);
    }

    #[test]
    fn conditions_may_be_met_by_different_spans_of_the_service() {
        let query = SearchQuery {
            remote_service: Some("db".into()),
            span_name: Some("get".into()),
            words: vec!["error".into()],
            min_duration: Some(50),
            ..of_service("a")
        };
        let all = [
            at("a", |span| span.remote = named("db")),
            at("a", |span| span.name = Some("get".into())),
            noted("a", "error"),
            lasting("a", 50),
        ];
        assert!(found(&query, &all));
        for missing in 0..all.len() {
            let mut rest = all.to_vec();
            rest[missing].local = named("b");
            assert!(!found(&query, &rest), "{missing} is of another service");
        }
    }

    #[test]
    fn a_span_out_of_the_window_may_meet_a_condition() {
        let late = Span { timestamp: Some(END_MICROS + HOUR), ..noted("a", "error") };
        let timeless = Span { timestamp: None, ..noted("a", "error") };
        let query = SearchQuery { words: vec!["error".into()], ..of_service("a") };
        assert!(found(&query, &[span(1, None), late]));
        assert!(found(&query, &[span(1, None), timeless]));
    }
}
