//! One page: the events behind a place in the order, up to a number, and where the next page begins.
//!
//! Events are in the order of when they were last seen, the newest first; those of one moment by cluster and uid.
//! Happenings, of which events are counted together, are in the same order of time; those of one moment by a hash, since
//! their texts are too long for a token.

use super::answer::{Scene, Told, ToldTogether};
use super::parameters::Question;
use super::token::{Place, Token};
use crate::codec::pack::put_text;
use crate::model::event::{Counted, Event, count_together};
use crate::model::{ServiceEvent, event::Group};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use xxhash_rust::xxh3::xxh3_128;

/// A page ends with the event that makes it so long: a message may be long, and a page has up to a thousand.
const MOST_BYTES: usize = 8 << 20;

/// Writes the page that is asked for. `events` are all that answer the question, in their order.
pub(super) fn write(events: Vec<ServiceEvent<'static>>, question: &Question) -> Vec<u8> {
    if question.together { write_together(events, question) } else { write_events(&events, question) }
}

fn write_events(events: &[ServiceEvent<'_>], question: &Question) -> Vec<u8> {
    let mut page = Page::new(question, MOST_BYTES);
    let begin = match &question.after {
        Some(Token { last_seen, place: Place::Event { cluster, uid }, .. }) => {
            let last = (Reverse(*last_seen), cluster.as_str(), uid.as_str());
            events.partition_point(|told| order(told) <= last)
        }
        _ => 0,
    };
    for told in &events[begin..] {
        let place = || (told.event.last_seen, place_of(told));
        if !page.add(&Told::of(told), place) {
            break;
        }
    }
    page.finish()
}

/// What events are sorted by.
fn order<'e>(told: &'e ServiceEvent<'_>) -> (Reverse<i64>, &'e str, &'e str) {
    (Reverse(told.event.last_seen), &told.event.cluster, &told.event.uid)
}

fn place_of(told: &ServiceEvent<'_>) -> Place {
    Place::Event { cluster: told.event.cluster.clone().into_owned(), uid: told.event.uid.clone().into_owned() }
}

/// A happening with its place among those of one moment.
struct Happening<'e> {
    scene: Scene<'e>,
    counted: Counted<'e>,
    events: usize,
    hash: u128,
}

fn write_together(events: Vec<ServiceEvent<'static>>, question: &Question) -> Vec<u8> {
    let mut scenes: BTreeMap<(String, String, Option<String>), Vec<Event<'static>>> = BTreeMap::new();
    for ServiceEvent { service, event } in events {
        let cluster = event.cluster.clone().into_owned();
        let scene = (cluster, event.namespace.clone().into_owned(), service.map(|service| service.into_owned()));
        scenes.entry(scene).or_default().push(event);
    }
    let mut happenings: Vec<Happening<'_>> = Vec::new();
    for ((cluster, namespace, service), events) in &scenes {
        let scene = Scene { cluster, namespace, service: service.as_deref() };
        let mut counts: HashMap<Group<'_>, usize> = HashMap::new();
        for event in events {
            *counts.entry(event.group()).or_default() += 1;
        }
        happenings.extend(count_together(events).into_iter().map(|counted| {
            let events = counts.get(&counted.group).copied().unwrap_or_default();
            Happening { scene, counted, events, hash: hash(scene, &counted.group) }
        }));
    }
    let order = |one: &Happening<'_>| (Reverse(one.counted.last_seen), one.hash);
    happenings.sort_unstable_by_key(order);
    let begin = match question.after {
        Some(Token { last_seen, place: Place::Happening(hash), .. }) => {
            happenings.partition_point(|one| order(one) <= (Reverse(last_seen), hash))
        }
        _ => 0,
    };
    let mut page = Page::new(question, MOST_BYTES);
    for one in &happenings[begin..] {
        let place = || (one.counted.last_seen, Place::Happening(one.hash));
        if !page.add(&ToldTogether::of(one.scene, &one.counted, one.events), place) {
            break;
        }
    }
    page.finish()
}

fn hash(scene: Scene<'_>, group: &Group<'_>) -> u128 {
    let mut text = vec![u8::from(scene.service.is_some())];
    let service = scene.service.unwrap_or_default();
    let Group { kind, name, level, reason, message } = group;
    for part in [scene.cluster, scene.namespace, service, kind, name, level, reason, message] {
        put_text(&mut text, part);
    }
    xxh3_128(&text)
}

/// A page that is being written.
struct Page<'q> {
    question: &'q Question,
    most_bytes: usize,
    out: Vec<u8>,
    told: usize,
    /// Of the last that was told.
    last: Option<(i64, Place)>,
    has_more: bool,
}

impl<'q> Page<'q> {
    fn new(question: &'q Question, most_bytes: usize) -> Self {
        let out = b"{\"events\":[".to_vec();
        Page { question, most_bytes, out, told: 0, last: None, has_more: false }
    }

    /// Adds an entry; false if it is for the next page.
    fn add(&mut self, entry: &impl Serialize, place: impl FnOnce() -> (i64, Place)) -> bool {
        if self.told >= self.question.limit || self.out.len() >= self.most_bytes {
            self.has_more = true;
            return false;
        }
        if self.told > 0 {
            self.out.push(b',');
        }
        // Texts and numbers always have a JSON form.
        let _ = serde_json::to_writer(&mut self.out, entry);
        self.told += 1;
        self.last = Some(place());
        true
    }

    fn finish(mut self) -> Vec<u8> {
        self.out.push(b']');
        if let (true, Some((last_seen, place))) = (self.has_more, self.last) {
            let token = Token { window: self.question.window, last_seen, place };
            // Letters that need no escape.
            self.out.extend_from_slice(format!(",\"next\":\"{}\"", token.text(&self.question.asked())).as_bytes());
        }
        self.out.push(b'}');
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{Object, Source};
    use serde_json::{Value, json};

    fn event(
        uid: &str,
        cluster: &'static str,
        namespace: &'static str,
        message: &str,
        last_seen: i64,
    ) -> Event<'static> {
        Event {
            cluster: cluster.into(),
            namespace: namespace.into(),
            uid: uid.to_owned().into(),
            name: "".into(),
            object: Object { kind: "Pod".into(), name: "web-0".into(), ..Object::default() },
            level: "Normal".into(),
            reason: "Pulled".into(),
            message: message.to_owned().into(),
            action: "".into(),
            source: Source::default(),
            first_seen: last_seen - 5,
            last_seen,
            count: 2,
            labels: Vec::new(),
            owners: Vec::new(),
        }
    }

    /// As [`crate::events::find`] answers them.
    fn found(events: Vec<Event<'static>>) -> Vec<ServiceEvent<'static>> {
        let mut found: Vec<_> = events.into_iter().map(ServiceEvent::from).collect();
        found.sort_by(|a, b| order(a).cmp(&order(b)));
        found
    }

    fn question(query: &str, next: Option<&str>) -> Question {
        let query = format!("{query}&next={}", next.unwrap_or_default());
        Question::parse(&query, "default".into(), 1_000).unwrap()
    }

    fn page(events: &[ServiceEvent<'static>], question: &Question) -> (Vec<Value>, Option<String>) {
        let mut whole: Value = serde_json::from_slice(&write(events.to_vec(), question)).unwrap();
        let entries = whole["events"].as_array().unwrap().clone();
        let next = whole["next"].take().as_str().map(str::to_owned);
        (entries, next)
    }

    /// All pages, one after the other.
    fn walk(events: &[ServiceEvent<'static>], query: &str) -> Vec<Vec<Value>> {
        let (mut pages, mut next) = (Vec::new(), None);
        loop {
            let (entries, token) = page(events, &question(query, next.as_deref()));
            pages.push(entries);
            match token {
                Some(token) => next = Some(token),
                None => return pages,
            }
        }
    }

    fn texts<'p>(entries: &'p [Value], field: &str) -> Vec<&'p str> {
        entries.iter().map(|entry| entry[field].as_str().unwrap()).collect()
    }

    #[test]
    fn pages_of_any_length_have_each_event_once_in_order_those_of_one_moment_too() {
        // Thirty, of which six are of each moment, in two clusters with the same uids.
        let all: Vec<_> = (0..30)
            .map(|n: i64| event(&format!("u{}", n / 2 % 15), ["a", "b"][(n % 2) as usize], "n", "", n / 6))
            .collect();
        let all = found(all);
        let wanted: Vec<(String, String)> =
            all.iter().map(|told| (told.event.cluster.to_string(), told.event.uid.to_string())).collect();
        for limit in [1, 4, 6, 7, 29, 30, 31] {
            let pages = walk(&all, &format!("limit={limit}"));
            assert_eq!(pages.len(), 30usize.div_ceil(limit));
            let walked: Vec<(String, String)> = pages
                .concat()
                .iter()
                .map(|entry| {
                    (entry["clusterId"].as_str().unwrap().to_owned(), entry["uid"].as_str().unwrap().to_owned())
                })
                .collect();
            assert_eq!(walked, wanted, "{limit}");
        }
    }

    #[test]
    fn what_comes_in_meanwhile_moves_no_page() {
        let before: Vec<_> = (0..20).map(|n| event(&format!("{n:02}"), "c", "n", "", n)).collect();
        let (first, next) = page(&found(before.clone()), &question("limit=5", None));
        assert_eq!(texts(&first, "uid"), ["19", "18", "17", "16", "15"]);
        // New ones before the place and behind it; the last that was told is told anew, and one that was not.
        let mut after = before;
        after.push(event("new", "c", "n", "", 99));
        after.push(event("late", "c", "n", "", 12));
        after[15].last_seen = 100;
        after[14].last_seen = 101;
        let (second, next) = page(&found(after), &question("limit=5", next.as_deref()));
        assert_eq!(texts(&second, "uid"), ["13", "12", "late", "11", "10"]);
        // Those of the last page are gone.
        let (third, end) = page(&[], &question("limit=5", next.as_deref()));
        assert_eq!((third.len(), end), (0, None));
    }

    #[test]
    fn a_page_that_ends_with_the_last_event_has_no_next() {
        let all = found((0..4).map(|n| event(&n.to_string(), "c", "n", "", n)).collect());
        assert_eq!(page(&all, &question("limit=4", None)).1, None);
        assert_eq!(String::from_utf8(write(Vec::new(), &question("", None))).unwrap(), r#"{"events":[]}"#);
        assert_eq!(String::from_utf8(write(Vec::new(), &question("together=true", None))).unwrap(), r#"{"events":[]}"#);
    }

    #[test]
    fn happenings_add_up_what_is_the_same_within_one_cluster_namespace_and_service() {
        let other_object = Event {
            object: Object { kind: "Pod".into(), name: "web-1".into(), ..Object::default() },
            ..event("5", "a", "n", "m", 1)
        };
        let all = found(vec![
            event("1", "a", "n", "m", 50),
            event("2", "a", "n", "m", 40),
            event("3", "a", "other", "m", 30),
            event("4", "b", "n", "m", 20),
            other_object,
            event("6", "a", "n", "another", 10),
        ]);
        let (entries, next) = page(&all, &question("together=true", None));
        let happening =
            |cluster: &str, namespace: &str, name: &str, message: &str, (first, last): (u32, u32), count: u32| {
                json!({
                    "service": "web", "clusterId": cluster, "namespace": namespace,
                    "object": { "kind": "Pod", "name": name }, "level": "Normal", "reason": "Pulled",
                    "message": message, "firstSeen": format!("1970-01-01T00:00:00.0000{first:02}Z"),
                    "lastSeen": format!("1970-01-01T00:00:00.0000{last:02}Z"), "count": count * 2, "eventCount": count,
                })
            };
        assert_eq!(next, None);
        let early = |entry: &Value| entry["object"]["name"] == "web-1";
        let (web_1, entries): (Vec<Value>, Vec<Value>) = entries.into_iter().partition(early);
        assert_eq!(web_1[0]["lastSeen"], "1970-01-01T00:00:00.000001Z");
        assert_eq!(
            entries,
            [
                happening("a", "n", "web-0", "m", (35, 50), 2),
                happening("a", "other", "web-0", "m", (25, 30), 1),
                happening("b", "n", "web-0", "m", (15, 20), 1),
                happening("a", "n", "web-0", "another", (5, 10), 1),
            ]
        );
    }

    #[test]
    fn pages_of_happenings_have_each_once_those_of_one_moment_too() {
        // Of each of twenty messages three events; messages of five share the moment.
        let all: Vec<_> =
            (0..60).map(|n| event(&n.to_string(), "a", "n", &format!("m{:02}", n % 20), (n % 20) / 5)).collect();
        let all = found(all);
        for limit in [1, 3, 5, 7, 20] {
            let pages = walk(&all, &format!("together=true&limit={limit}"));
            assert_eq!(pages.len(), 20usize.div_ceil(limit));
            let entries = pages.concat();
            let mut messages = texts(&entries, "message");
            assert!(entries.is_sorted_by_key(|entry| Reverse(entry["lastSeen"].as_str().unwrap().to_owned())));
            messages.sort_unstable();
            let wanted: Vec<String> = (0..20).map(|n| format!("m{n:02}")).collect();
            assert_eq!(messages, wanted, "{limit}");
            assert!(entries.iter().all(|entry| entry["count"] == 6 && entry["eventCount"] == 3));
        }
    }

    #[test]
    fn a_page_ends_when_it_is_long_enough_and_the_next_goes_on() {
        let question = question("", None);
        let mut page = Page::new(&question, 20);
        let place = |n| move || (n, Place::Happening(1));
        assert!(page.add(&"aaaaaaaaaa", place(5)));
        assert!(!page.add(&"b", place(4)));
        let token = Token { window: question.window, last_seen: 5, place: Place::Happening(1) };
        let text = format!(r#"{{"events":["aaaaaaaaaa"],"next":"{}"}}"#, token.text(&question.asked()));
        assert_eq!(String::from_utf8(page.finish()).unwrap(), text);
    }
}
