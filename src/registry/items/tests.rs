//! Items over each database, and the law of revisions against a plain list of all that ever happened.

use super::super::change::{self, What};
use super::super::database::tests::{over_each, rename_table};
use super::super::{FaultKind, Registry, RegistryConfig, Tenant};
use super::item::{Entry, Item, NewItem, Status, ValueType};
use super::operations::{Imported, Override, Page};
use super::query::{KeyPattern, Labels, Query};
use super::state::{Change, Items, Totals};
use super::{FIRST, Feed, Watch};
use crate::clock::ManualClock;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

fn tenant() -> Tenant {
    Tenant::new("default", "default")
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn new(key: &str, pairs: &[(&str, &str)], value: &str) -> NewItem {
    NewItem {
        key: key.to_owned(),
        labels: labels(pairs),
        value: value.to_owned(),
        value_type: ValueType::Text,
        status: Status::Enabled,
        priority: 0,
    }
}

fn item(key: &str, pairs: &[(&str, &str)], status: Status) -> Item {
    let new = new(key, pairs, "");
    Item {
        id: new.id(&tenant()),
        key: new.key,
        labels: new.labels,
        value_type: new.value_type,
        status,
        priority: 0,
        create_revision: 2,
        update_revision: 2,
        create_time: 0,
        update_time: 0,
        length: 0,
    }
}

fn of(pairs: &[(&str, &str)], exact: bool) -> Query {
    Query { labels: labels(pairs), exact, ..Query::default() }
}

const NOW: i64 = 1_700_000_000;

async fn open(url: &str, folder: &Path, change: impl FnOnce(&mut RegistryConfig)) -> Arc<Registry> {
    let mut config = RegistryConfig { url: url.to_owned(), ..RegistryConfig::new(folder) };
    change(&mut config);
    Registry::open(config, Arc::new(ManualClock::new(NOW * 1_000_000)), 1).await.unwrap()
}

async fn listed(registry: &Registry, query: &Query, page: Page) -> (i64, usize, Vec<String>) {
    let listed = registry.items(&tenant(), query, page, &mut |_| true).await.unwrap();
    let texts = listed.entries.iter().map(|Entry { item, value }| format!("{}={value}", item.key)).collect();
    (listed.revision, listed.total, texts)
}

async fn all(registry: &Registry) -> (i64, usize, Vec<String>) {
    listed(registry, &Query::default(), Page::default()).await
}

#[test]
fn an_id_is_the_digest_that_kie_makes_of_tenant_key_and_labels() {
    let of = |pairs: &[(&str, &str)]| new("timeout", pairs, "").id(&tenant());
    // `printf default/default/timeout/none | sha256sum`, and with app=shop::environment= in the last place.
    assert_eq!(of(&[]), "0d571740b739922dc5436c33967efc31934a9b22c82260974d225a66ddec7ef0");
    assert_eq!(
        of(&[("environment", ""), ("app", "shop")]),
        "1567301228d373a6397cdf575350e4b8ee6b12f567b5f0622d51ce013e916404"
    );
}

#[test]
fn labels_are_contained_or_the_same() {
    let shop = item("k", &[("app", "shop"), ("environment", "")], Status::Enabled);
    let none = item("k", &[], Status::Enabled);
    for (query, shop_is_meant, none_is_meant) in [
        (of(&[], false), true, true),
        (of(&[], true), false, true),
        (of(&[("app", "shop")], false), true, false),
        (of(&[("app", "shop")], true), false, false),
        (of(&[("app", "shop"), ("environment", "")], true), true, false),
        (of(&[("environment", "")], false), true, false),
        (of(&[("app", "")], false), false, false),
        (of(&[("app", "Shop")], false), false, false),
    ] {
        assert_eq!((query.matches(&shop), query.matches(&none)), (shop_is_meant, none_is_meant), "{query:?}");
    }
}

#[test]
fn keys_are_meant_whole_by_their_beginning_or_with_anything_for_an_asterisk() {
    for (pattern, meant, others) in [
        ("a.b", &["a.b", "A.B"][..], &["axb", "a.b.c", ""][..]),
        ("beginWith(a.)", &["a.", "A.b"], &["a", "ba."]),
        ("beginWith()", &["a"], &[]),
        ("wildcard(*mid*)", &["mid", "a-MID-b"], &["mi-d"]),
        ("wildcard(a*c)", &["ac", "abc"], &["acb", "a"]),
        ("wildcard(a*a)", &["aa", "aba"], &["a"]),
        ("wildcard(ab)", &["ab"], &["abc", "xab"]),
        ("wildcard(*ab*ab)", &["abab", "xabab"], &["ab", "abba"]),
    ] {
        let read = KeyPattern::parse(pattern);
        assert!(meant.iter().all(|key| read.matches(key)), "{pattern}");
        assert!(!others.iter().any(|key| read.matches(key)), "{pattern}");
    }
}

/// What happens to an item, and what is asked.
#[derive(Clone, Debug)]
enum Step {
    Put {
        item: usize,
        status: Status,
        priority: i64,
    },
    /// Those that are there of these, together.
    Drop(Vec<usize>),
    Ask {
        query: Query,
        ago: i64,
    },
}

const KEYS: [&str; 3] = ["a", "b", "ab"];
const LABELS: [&[(&str, &str)]; 3] = [&[], &[("x", "1")], &[("x", "1"), ("y", "2")]];
const ITEMS: usize = KEYS.len() * LABELS.len();

fn named(number: usize, status: Status) -> Item {
    item(KEYS[number % KEYS.len()], LABELS[number / KEYS.len()], status)
}

fn a_status() -> impl Strategy<Value = Status> {
    prop_oneof![Just(Status::Enabled), Just(Status::Disabled)]
}

fn a_query() -> impl Strategy<Value = Query> {
    let key = prop_oneof![Just(None), Just(Some("a")), Just(Some("beginWith(a)")), Just(Some("wildcard(*b)"))];
    (0..LABELS.len(), any::<bool>(), key, proptest::option::of(a_status())).prop_map(|(pairs, exact, key, status)| {
        Query { key: key.map(KeyPattern::parse), status, ..of(LABELS[pairs], exact) }
    })
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..ITEMS, a_status(), 0..3_i64).prop_map(|(item, status, priority)| Step::Put { item, status, priority }),
        2 => proptest::collection::vec(0..ITEMS, 1..4).prop_map(Step::Drop),
        6 => (a_query(), -1..12_i64).prop_map(|(query, ago)| Step::Ask { query, ago }),
    ]
}

/// One thing that happened: its revision, and the states of the item before and after, as far as it had any.
struct Happened(i64, Vec<Item>);

proptest! {
    #[test]
    fn unchanged_is_said_exactly_where_nothing_that_is_meant_happened_since(
        steps in proptest::collection::vec(a_step(), 1..60),
        room in prop_oneof![Just(3_usize), Just(1_000)],
    ) {
        let feed = Feed::with_room_for(room);
        let (mut image, mut totals) = (Items::default(), Totals::default());
        let mut plain: Vec<Option<Arc<Item>>> = vec![None; ITEMS];
        let mut history: Vec<Happened> = Vec::new();
        let mut revision = FIRST;
        let mut tell = |image: &mut Items, change: Change| {
            image.apply(&change, &mut totals);
            feed.tell(&[change::Change { tenant: tenant(), what: What::Item(change) }]);
            assert_eq!(totals.items, image.len());
        };
        for step in steps {
            match step {
                Step::Put { item, status, priority } => {
                    revision += 1;
                    let put = Arc::new(Item { priority, update_revision: revision, ..named(item, status) });
                    let old = plain[item].replace(put.clone());
                    let states = old.iter().chain([&put]).map(|item| Item::clone(item)).collect();
                    history.push(Happened(revision, states));
                    tell(&mut image, Change::Put { item: put, value: None, was: old.map(|old| old.status) });
                }
                Step::Drop(items) => {
                    let there: Vec<Arc<Item>> = items.iter().filter_map(|item| plain[*item].take()).collect();
                    revision += i64::from(!there.is_empty());
                    for item in there {
                        history.push(Happened(revision, vec![Item::clone(&item)]));
                        tell(&mut image, Change::Drop { item, revision });
                    }
                }
                Step::Ask { query, ago } => {
                    let after = revision - ago;
                    let meant = |states: &[Item]| states.iter().any(|item| query.matches(item));
                    let happened =
                        after > revision || history.iter().any(|Happened(at, states)| *at > after && meant(states));
                    let forgotten = history.len().saturating_sub(room);
                    let known = after >= FIRST && history.iter().take(forgotten).all(|Happened(at, _)| *at <= after);
                    let changed = feed.changed(&tenant(), &query, after);
                    prop_assert_eq!(changed, happened || !known, "{:?} {}", query, after);

                    let there = plain.iter().flatten().filter(|item| query.matches(item));
                    let mut there: Vec<_> = there.cloned().collect();
                    there.sort_by_key(|item| (-item.priority, -item.update_revision));
                    prop_assert_eq!(image.select(&query), there);
                }
            }
        }
    }

    #[test]
    fn asterisks_are_what_a_regular_expression_makes_of_them(pattern in "[ab*]{0,6}", key in "[abAB]{0,8}") {
        let expression = format!("(?i)^{}$", pattern.replace('*', ".*"));
        let expected = regex::Regex::new(&expression).unwrap().is_match(&key);
        prop_assert_eq!(KeyPattern::parse(&format!("wildcard({pattern})")).matches(&key), expected);
    }
}

fn told(feed: &Feed, item: Item) {
    let change = Change::Put { item: Arc::new(item), value: None, was: None };
    feed.tell(&[change::Change { tenant: tenant(), what: What::Item(change) }]);
}

fn waiting<'f>(feed: &'f Feed, query: &Query, after: Option<i64>) -> super::Waiting<'f> {
    match feed.watch(&tenant(), query.clone(), after) {
        Watch::Waiting(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_waits_is_woken_by_what_is_meant_and_by_nothing_else() {
    use futures::FutureExt;
    let feed = Feed::with_room_for(10);
    let query = of(&[("x", "1")], true);
    let mut waiting = waiting(&feed, &query, None);
    told(&feed, Item { update_revision: 2, ..item("a", &[], Status::Enabled) });
    told(&feed, Item { update_revision: 3, ..item("a", &[("x", "1"), ("y", "2")], Status::Enabled) });
    assert_eq!(waiting.changed().now_or_never(), None);
    told(&feed, Item { update_revision: 4, ..item("a", &[("x", "1")], Status::Enabled) });
    assert_eq!(waiting.changed().now_or_never(), Some(true));
    assert!(matches!(feed.watch(&tenant(), query, Some(3)), Watch::Changed));
}

#[tokio::test]
async fn as_many_wait_as_there_are_places_and_whoever_goes_leaves_theirs() {
    use futures::FutureExt;
    let feed = Feed::new(2);
    let query = Query::default();
    let (first, _second) = (waiting(&feed, &query, Some(FIRST)), waiting(&feed, &query, None));
    assert!(matches!(feed.watch(&tenant(), query.clone(), None), Watch::Full));
    drop(first);
    let mut third = waiting(&feed, &query, None);
    assert!(matches!(feed.watch(&tenant(), query.clone(), None), Watch::Full));
    feed.close();
    assert_eq!(third.changed().now_or_never(), Some(false));
    assert_eq!(waiting(&feed, &query, None).changed().now_or_never(), Some(false));
}

#[tokio::test]
async fn items_their_states_and_the_revision_outlive_a_restart() {
    over_each("items", async |url, folder| {
        let registry = open(&url, &folder, |_| {}).await;
        let room = &mut |_| true;
        let a = registry.create_item(&tenant(), new("a", &[("x", "1")], "one \"☃\"")).await.unwrap();
        let b = registry.create_item(&tenant(), new("b", &[], "two")).await.unwrap();
        assert_eq!((a.item.create_revision, b.item.update_revision), (2, 3));
        let other = Tenant::new("other", "default");
        registry.create_item(&other, new("a", &[("x", "1")], "theirs")).await.unwrap();
        let changed = registry.change_item(&tenant(), &a.item.id, Some("three".to_owned()), None, room).await.unwrap();
        assert_eq!((&*changed.value, changed.item.create_revision, changed.item.update_revision), ("three", 2, 4));
        let disabled = registry.change_item(&tenant(), &a.item.id, None, Some(Status::Disabled), room).await.unwrap();
        assert_eq!((&*disabled.value, disabled.item.status), ("three", Status::Disabled));
        registry.drop_item(&tenant(), &b.item.id).await.unwrap();

        let seen = all(&registry).await;
        assert_eq!(seen, (6, 1, vec!["a=three".to_owned()]));
        let states = registry.item_states(&tenant(), &a.item.id, Page::default(), room).await.unwrap();
        let expected = (3, vec![disabled.clone(), changed, a.clone()]);
        assert_eq!(states, expected);
        registry.close().await;

        let registry = open(&url, &folder, |_| {}).await;
        assert_eq!(all(&registry).await, seen);
        assert_eq!(registry.item(&tenant(), &a.item.id, room).await.unwrap(), disabled);
        assert_eq!(registry.item_states(&tenant(), &a.item.id, Page::default(), room).await.unwrap(), expected);
        let gone = registry.item_states(&tenant(), &b.item.id, Page::default(), room).await.unwrap_err();
        assert_eq!(gone.kind, FaultKind::ItemMissing);
        assert_eq!(registry.items_of_domain("other"), (2, 1));
        assert!(!registry.items_changed(&tenant(), &Query::default(), 6));
        // Of what was before the start nothing is known.
        assert!(registry.items_changed(&tenant(), &of(&[("z", "z")], true), 5));
        // The counter goes on, even where the last item is dropped.
        registry.drop_items(&tenant(), &[a.item.id.clone(), b.item.id.clone()]).await.unwrap();
        registry.close().await;
        let registry = open(&url, &folder, |_| {}).await;
        assert_eq!(all(&registry).await, (7, 0, vec![]));
        assert_eq!(registry.drop_items(&tenant(), std::slice::from_ref(&a.item.id)).await, Ok(0));
        let again = registry.create_item(&tenant(), new("a", &[("x", "1")], "")).await.unwrap();
        assert_eq!((again.item.id.as_str(), again.item.create_revision), (a.item.id.as_str(), 8));
        registry.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_item_keeps_its_last_hundred_states() {
    over_each("states", async |url, folder| {
        let registry = open(&url, &folder, |_| {}).await;
        let room = &mut |_| true;
        let made = registry.create_item(&tenant(), new("k", &[], "0")).await.unwrap();
        let neighbour = registry.create_item(&tenant(), new("l", &[], "0")).await.unwrap();
        for number in 1..=120 {
            registry.change_item(&tenant(), &made.item.id, Some(number.to_string()), None, room).await.unwrap();
        }
        let (total, states) =
            registry.item_states(&tenant(), &made.item.id, Page { offset: 98, limit: Some(100) }, room).await.unwrap();
        let values: Vec<&str> = states.iter().map(|entry| &*entry.value).collect();
        assert_eq!((total, values), (100, vec!["22", "21"]));
        let (total, _) = registry.item_states(&tenant(), &neighbour.item.id, Page::default(), room).await.unwrap();
        assert_eq!(total, 1);
        registry.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_list_is_in_order_and_in_pages_whatever_it_is_asked_by() {
    over_each("lists", async |url, folder| {
        let registry = open(&url, &folder, |_| {}).await;
        // More than one statement reads.
        for number in 0..250 {
            let pairs: &[_] = if number % 2 == 0 { &[("even", "")] } else { &[] };
            let mut item = new(&format!("k{number}"), pairs, &format!("v{}", number % 10));
            item.priority = i64::from(number == 7);
            registry.create_item(&tenant(), item).await.unwrap();
        }
        let expected = |meant: &dyn Fn(i32) -> bool| -> Vec<String> {
            let order = std::iter::once(7).chain((0..250).rev().filter(|number| *number != 7));
            order.filter(|number| meant(*number)).map(|number| format!("k{number}=v{}", number % 10)).collect()
        };
        let part = |all: Vec<String>, offset: usize, limit: usize| -> Vec<String> {
            all.into_iter().skip(offset).take(limit).collect()
        };
        let every = expected(&|_| true);
        assert_eq!(all(&registry).await, (251, 250, every.clone()));
        let page = Page { offset: 95, limit: Some(10) };
        assert_eq!(listed(&registry, &Query::default(), page).await, (251, 250, part(every, 95, 10)));
        let even = expected(&|number| number % 2 == 0);
        let query = of(&[("even", "")], true);
        assert_eq!(listed(&registry, &query, Page::default()).await, (251, 125, even));
        let threes = expected(&|number| number % 10 == 3);
        let query = Query { value: "3".to_owned(), ..Query::default() };
        assert_eq!(listed(&registry, &query, Page { offset: 20, limit: None }).await, (251, 25, part(threes, 20, 9)));
        let beyond = Page { offset: 250, limit: Some(1) };
        assert_eq!(listed(&registry, &Query::default(), beyond).await, (251, 250, vec![]));

        let refused = registry.items(&tenant(), &Query::default(), Page::default(), &mut |_| false).await;
        assert_eq!(refused.unwrap_err().kind, FaultKind::Unavailable);
        registry.close().await;
    })
    .await;
}

#[tokio::test]
async fn quotas_of_items_and_of_their_bytes_hold_and_give_back() {
    let folder = tempfile::tempdir().unwrap();
    let limits = |config: &mut RegistryConfig| (config.max_items, config.max_item_bytes) = (2, 10);
    let registry = open("", folder.path(), limits).await;
    let room = &mut |_| true;
    let create = async |key: &str, value: &str| registry.create_item(&tenant(), new(key, &[], value)).await;
    let a = create("a", "12345").await.unwrap();
    assert_eq!(create("b", "123456").await.unwrap_err().kind, FaultKind::Quota);
    create("b", "12345").await.unwrap();
    assert_eq!(create("c", "").await.unwrap_err().kind, FaultKind::Quota);
    assert_eq!(create("a", "").await.unwrap_err().kind, FaultKind::ItemConflict);
    let change = registry.change_item(&tenant(), &a.item.id, Some("123456".to_owned()), None, room).await;
    assert_eq!(change.unwrap_err().kind, FaultKind::Quota);
    registry.change_item(&tenant(), &a.item.id, Some("1".to_owned()), None, room).await.unwrap();
    registry.drop_item(&tenant(), &a.item.id).await.unwrap();
    create("c", "12345").await.unwrap();
    registry.close().await;
}

#[tokio::test]
async fn an_import_replaces_skips_or_ends_at_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let registry = open("", folder.path(), |_| {}).await;
    registry.create_item(&tenant(), new("b", &[], "old")).await.unwrap();
    let import = async |policy, keys: &[&str]| {
        let items = keys.iter().map(|key| new(key, &[], "new")).collect();
        let outcomes = registry.import_items(&tenant(), items, policy).await.unwrap();
        let word = |outcome: &Imported| match outcome {
            Imported::Done(entry) => format!("{}={}@{}", entry.item.key, entry.value, entry.item.create_revision),
            other => format!("{other:?}"),
        };
        outcomes.iter().map(word).collect::<Vec<_>>()
    };
    assert_eq!(import(Override::Skip, &["a", "b", "c", "a"]).await, ["a=new@3", "Skipped", "c=new@4", "Skipped"]);
    assert_eq!(import(Override::Abort, &["d", "b", "e"]).await, ["d=new@5", "Aborted", "Aborted"]);
    assert_eq!(import(Override::Force, &["b", "e"]).await, ["b=new@2", "e=new@7"]);
    assert_eq!(all(&registry).await.2, ["e=new", "b=new", "d=new", "c=new", "a=new"]);
    registry.close().await;
}

/// Makes the database unfit for changes of items, or fit again.
async fn hide_counters(url: &str, folder: &Path, hide: bool) {
    let (from, to) = if hide { ("item_revisions", "hidden") } else { ("hidden", "item_revisions") };
    rename_table(url, folder, from, to).await;
}

#[tokio::test]
async fn what_a_failing_database_did_not_take_is_told_to_nobody() {
    use futures::FutureExt;
    over_each("items_fail", async |url, folder| {
        let registry = open(&url, &folder, |_| {}).await;
        registry.create_item(&tenant(), new("kept", &[], "1")).await.unwrap();
        let before = all(&registry).await;
        let Watch::Waiting(mut waiting) = registry.watch_items(&tenant(), Query::default(), Some(2)) else {
            panic!("nothing has changed");
        };

        hide_counters(&url, &folder, true).await;
        let refused = registry.create_item(&tenant(), new("lost", &[], "2")).await.unwrap_err();
        assert_eq!(refused.kind, FaultKind::Unavailable);
        assert!(!registry.items_changed(&tenant(), &Query::default(), 2));
        // The image has it until it is built anew; no answer does.
        let list = registry.items(&tenant(), &Query::default(), Page::default(), &mut |_| true).await;
        assert_eq!(list.unwrap_err().kind, FaultKind::Unavailable);

        hide_counters(&url, &folder, false).await;
        while !registry.takes_changes() {
            tokio::task::yield_now().await;
        }
        assert_eq!(all(&registry).await, before);
        assert!(!registry.items_changed(&tenant(), &Query::default(), 2));
        assert_eq!(waiting.changed().now_or_never(), None);
        let made = registry.create_item(&tenant(), new("made", &[], "3")).await.unwrap();
        assert_eq!(made.item.create_revision, 3);
        assert_eq!(waiting.changed().now_or_never(), Some(true));
        drop(waiting);
        registry.close().await;
    })
    .await;
}
