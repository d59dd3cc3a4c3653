//! The service event: something that Kubernetes says happened to an object, in the words of whoever saw it.
//!
//! Whatever collector sent it and in whatever form, it becomes an [`Event`]. The same event is sent again each time it
//! happens again, with a greater count; two collectors may send it twice; a queue may bring the resends out of order.
//! Three rules make one answer of them:
//!
//! * **Resends** are rows of one cluster and [`Event::uid`]. Of them the newest counts, with the least [`Event::first_seen`] and
//!   the greatest [`Event::count`] of all ([`merge`]). The outcome depends neither on their order nor on how often each
//!   came.
//! * **The same happening under different uids** (the recorder makes a new event once it has forgotten the old one) is
//!   counted together: rows of one [`Group`] are one line of an answer, and their counts add up ([`count_together`]).
//! * **Whose it is**: the service that an event belongs to follows from the row alone ([`service`]).
//!
//! A text that is not known is empty: Kubernetes itself does not tell the two apart.

#[cfg(test)]
pub(crate) mod arbitrary;
pub mod service;

use std::borrow::Cow;
use std::cmp::Ordering;

/// What an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Object<'a> {
    /// The resource's type as Kubernetes writes it: `Pod`, `ReplicaSet`. Empty in some events of leader elections.
    pub kind: Cow<'a, str>,
    /// As sent; empty for what lies in no namespace, such as a node. See [`Event::namespace`].
    pub namespace: Cow<'a, str>,
    pub name: Cow<'a, str>,
    pub uid: Cow<'a, str>,
    /// Group and version of the kind: `v1`, `apps/v1`.
    pub api_version: Cow<'a, str>,
    /// The part of the object: `spec.containers{redis}`.
    pub field_path: Cow<'a, str>,
}

/// Who saw it happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source<'a> {
    /// The program: `kubelet`, `default-scheduler`.
    pub component: Cow<'a, str>,
    /// The node that it runs on.
    pub host: Cow<'a, str>,
    /// Which of several instances of the program.
    pub instance: Cow<'a, str>,
}

/// What the object of an event belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner<'a> {
    pub kind: Cow<'a, str>,
    pub name: Cow<'a, str>,
    /// Whether the owner is the one that manages the object. At most one of them is.
    pub controller: bool,
}

/// One row: an event as it was told once. What is said of its fields is what the codecs keep to; the default, all of it
/// empty, is for them to fill in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event<'a> {
    /// The cluster's name, or what stands for it. Never empty.
    pub cluster: Cow<'a, str>,
    /// Where the event belongs: the object's namespace, else the event's own, else `default`. Never empty.
    pub namespace: Cow<'a, str>,
    /// Kubernetes' id of the event, under which resends are known. Where the sender left it out the codec derives one
    /// (see [`crate::codec::k8s`]), which begins with `derived:`. Never empty.
    pub uid: Cow<'a, str>,
    /// The name of the event itself: `frontend-542052039-h2yj8.14854ca9`.
    pub name: Cow<'a, str>,
    pub object: Object<'a>,
    /// `Normal` or `Warning`, or another word that the sender thought of. `Normal` where it sent none.
    pub level: Cow<'a, str>,
    /// Why it happened, in one word for machines: `BackOff`.
    pub reason: Cow<'a, str>,
    /// What happened, for people; may end in a line feed. Cut where it was longer than the codec's limit.
    pub message: Cow<'a, str>,
    /// What was done about it: `Binding`.
    pub action: Cow<'a, str>,
    pub source: Source<'a>,
    /// When it happened for the first time: microseconds since 1970 UTC. Never after `last_seen`.
    pub first_seen: i64,
    /// When it happened last: microseconds since 1970 UTC.
    pub last_seen: i64,
    /// How often it happened from the first time to the last. At least 1.
    pub count: i64,
    /// Labels of the object and attributes beside the event, only those that [`service`] reads: by rank, each key once.
    pub labels: Vec<(&'static str, Cow<'a, str>)>,
    /// In the order sent.
    pub owners: Vec<Owner<'a>>,
}

/// An event with the service that it belongs to: what the table keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceEvent<'a> {
    /// By the rules of [`service`], when the event came in; none for an event that concerns no service.
    pub service: Option<Cow<'a, str>>,
    pub event: Event<'a>,
}

impl<'a> From<Event<'a>> for ServiceEvent<'a> {
    fn from(event: Event<'a>) -> Self {
        let service = service::of(&event).map(|name| Cow::Owned(name.to_owned()));
        ServiceEvent { service, event }
    }
}

impl Event<'_> {
    /// How long the texts are together, in bytes.
    pub fn text_bytes(&self) -> usize {
        let texts = [
            &self.cluster,
            &self.namespace,
            &self.uid,
            &self.name,
            &self.object.kind,
            &self.object.namespace,
            &self.object.name,
            &self.object.uid,
            &self.object.api_version,
            &self.object.field_path,
            &self.level,
            &self.reason,
            &self.message,
            &self.action,
            &self.source.component,
            &self.source.host,
            &self.source.instance,
        ];
        let labels = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        let owners = self.owners.iter().map(|owner| owner.kind.len() + owner.name.len()).sum::<usize>();
        texts.iter().map(|text| text.len()).sum::<usize>() + labels + owners
    }
}

impl ServiceEvent<'_> {
    /// How long the texts are together, in bytes.
    pub fn text_bytes(&self) -> usize {
        self.service.as_ref().map_or(0, |service| service.len()) + self.event.text_bytes()
    }

    /// About how many bytes the event takes, in memory or in an answer.
    pub fn memory(&self) -> usize {
        let labels = self.event.labels.len() * size_of::<(&str, Cow<'_, str>)>();
        let owners = self.event.owners.len() * size_of::<Owner<'_>>();
        size_of::<Self>() + self.text_bytes() + labels + owners
    }

    /// The event with texts of its own.
    pub fn into_owned(self) -> ServiceEvent<'static> {
        ServiceEvent {
            service: self.service.map(|service| Cow::Owned(service.into_owned())),
            event: self.event.into_owned(),
        }
    }
}

/// What makes rows of different uids one happening. Its namespace is that of the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group<'e> {
    pub kind: &'e str,
    pub name: &'e str,
    pub level: &'e str,
    pub reason: &'e str,
    pub message: &'e str,
}

/// A happening with all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'e> {
    pub group: Group<'e>,
    /// The first of all the rows.
    pub first_seen: i64,
    /// The last of all the rows.
    pub last_seen: i64,
    /// The sum.
    pub count: i64,
}

impl Event<'_> {
    pub fn group(&self) -> Group<'_> {
        Group {
            kind: &self.object.kind,
            name: &self.object.name,
            level: &self.level,
            reason: &self.reason,
            message: &self.message,
        }
    }

    /// Which of two resends is the newer. Of two as new the one that tells labels or owners comes last, and whatever is
    /// left is ordered by the texts, so that the choice is the same each time. What [`merge`] changes in a row has no
    /// part in it: a row that was merged already is as new as before.
    fn newness(&self, other: &Self) -> Ordering {
        fn key<'e>(event: &'e Event<'e>) -> impl Ord + use<'e> {
            let Event { cluster, namespace, name, object, level, reason, message, action, source, .. } = event;
            let known = (event.last_seen, &event.owners, &event.labels);
            (known, cluster, namespace, name, object, level, reason, message, action, source)
        }
        key(self).cmp(&key(other))
    }

    /// The event with texts of its own.
    pub fn into_owned(self) -> Event<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Event {
            cluster: own(self.cluster),
            namespace: own(self.namespace),
            uid: own(self.uid),
            name: own(self.name),
            object: Object {
                kind: own(self.object.kind),
                namespace: own(self.object.namespace),
                name: own(self.object.name),
                uid: own(self.object.uid),
                api_version: own(self.object.api_version),
                field_path: own(self.object.field_path),
            },
            level: own(self.level),
            reason: own(self.reason),
            message: own(self.message),
            action: own(self.action),
            source: Source {
                component: own(self.source.component),
                host: own(self.source.host),
                instance: own(self.source.instance),
            },
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            count: self.count,
            labels: self.labels.into_iter().map(|(key, value)| (key, own(value))).collect(),
            owners: self
                .owners
                .into_iter()
                .map(|owner| Owner { kind: own(owner.kind), name: own(owner.name), controller: owner.controller })
                .collect(),
        }
    }
}

/// What resends are told of by: an event alone, or with its service.
pub trait Resend {
    fn event(&self) -> &Event<'_>;

    /// The service, where the row has one with it.
    fn service(&self) -> Option<&str>;

    /// Puts in what is known of all resends.
    fn put_extremes(&mut self, first_seen: i64, count: i64);
}

impl Resend for Event<'_> {
    fn event(&self) -> &Event<'_> {
        self
    }

    fn service(&self) -> Option<&str> {
        None
    }

    fn put_extremes(&mut self, first_seen: i64, count: i64) {
        (self.first_seen, self.count) = (first_seen, count);
    }
}

impl Resend for ServiceEvent<'_> {
    fn event(&self) -> &Event<'_> {
        &self.event
    }

    fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    fn put_extremes(&mut self, first_seen: i64, count: i64) {
        self.event.put_extremes(first_seen, count);
    }
}

/// Which of two resends is the newer; equal only where they tell the same but for what [`merge`] puts together. The
/// service follows from the rest of the row, unless the rules changed between the two.
pub fn newness<R: Resend>(a: &R, b: &R) -> Ordering {
    a.event().newness(b.event()).then_with(|| a.service().cmp(&b.service()))
}

/// What is known of an event after two of its resends: the newer row, with the least first-seen and the greatest count.
pub fn merge<R: Resend>(a: R, b: R) -> R {
    let (row_a, row_b) = (a.event(), b.event());
    let first_seen = row_a.first_seen.min(row_b.first_seen);
    let count = row_a.count.max(row_b.count);
    let mut newer = if newness(&a, &b).is_lt() { b } else { a };
    newer.put_extremes(first_seen, count);
    newer
}

/// Makes one row of all resends of each event. What is left is sorted by cluster and uid.
pub fn settle<R: Resend>(rows: &mut Vec<R>) {
    fn order(a: &Event<'_>, b: &Event<'_>) -> Ordering {
        (&a.cluster, &a.uid).cmp(&(&b.cluster, &b.uid))
    }
    rows.sort_unstable_by(|a, b| order(a.event(), b.event()));
    let mut settled: Vec<R> = Vec::with_capacity(rows.len());
    for row in rows.drain(..) {
        match settled.pop() {
            Some(last) if order(last.event(), row.event()).is_eq() => settled.push(merge(last, row)),
            Some(last) => settled.extend([last, row]),
            None => settled.push(row),
        }
    }
    *rows = settled;
}

/// Counts settled rows together by their group: the newest first, those as new as each other by group.
pub fn count_together<'e>(events: impl IntoIterator<Item = &'e Event<'e>>) -> Vec<Counted<'e>> {
    let row = |event: &'e Event<'e>| Counted {
        group: event.group(),
        first_seen: event.first_seen,
        last_seen: event.last_seen,
        count: event.count,
    };
    let mut rows: Vec<Counted<'e>> = events.into_iter().map(row).collect();
    rows.sort_unstable_by_key(|row| row.group);
    rows.dedup_by(|next, kept| {
        let same = next.group == kept.group;
        if same {
            kept.first_seen = kept.first_seen.min(next.first_seen);
            kept.last_seen = kept.last_seen.max(next.last_seen);
            kept.count = kept.count.saturating_add(next.count);
        }
        same
    });
    rows.sort_by_key(|row| std::cmp::Reverse(row.last_seen));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    fn event(uid: &'static str, message: &'static str, first_seen: i64, last_seen: i64, count: i64) -> Event<'static> {
        Event {
            cluster: "default".into(),
            namespace: "default".into(),
            uid: uid.into(),
            name: "".into(),
            object: Object { kind: "Pod".into(), name: "web-0".into(), ..Object::default() },
            level: "Warning".into(),
            reason: "BackOff".into(),
            message: message.into(),
            action: "".into(),
            source: Source::default(),
            first_seen,
            last_seen,
            count,
            labels: Vec::new(),
            owners: Vec::new(),
        }
    }

    #[test]
    fn of_resends_the_newest_row_counts_with_the_least_first_seen_and_the_greatest_count() {
        // A collector that began late knows neither the first time nor all the repetitions.
        let early = event("u", "pulling v5", 10, 20, 7);
        let late = event("u", "pulling v6", 15, 30, 2);
        let merged = Event { first_seen: 10, count: 7, ..late.clone() };
        assert_eq!(merge(early.clone(), late.clone()), merged);
        assert_eq!(merge(late, early), merged);
    }

    #[test]
    fn of_two_as_new_the_one_that_knows_labels_or_owners_is_kept() {
        let plain = event("u", "z", 1, 2, 1);
        let labelled = Event { labels: vec![("app", "web".into())], ..event("u", "a", 1, 2, 1) };
        let owner = Owner { kind: "Job".into(), name: "backup".into(), controller: true };
        let owned = Event { owners: vec![owner], ..event("u", "a", 1, 2, 1) };
        assert_eq!(merge(plain.clone(), labelled.clone()), labelled);
        assert_eq!(merge(labelled.clone(), plain), labelled);
        assert_eq!(merge(owned.clone(), labelled), owned);
    }

    #[test]
    fn settling_leaves_a_row_for_each_uid() {
        let mut events = vec![
            event("b", "x", 5, 6, 1),
            event("a", "x", 3, 4, 1),
            event("b", "y", 5, 9, 3),
            event("a", "x", 3, 4, 1),
            event("b", "x", 2, 3, 8),
        ];
        settle(&mut events);
        assert_eq!(events, [event("a", "x", 3, 4, 1), event("b", "y", 2, 9, 8)]);
        let mut none: Vec<Event<'_>> = Vec::new();
        settle(&mut none);
        assert_eq!(none, []);
    }

    #[test]
    fn the_same_uid_in_two_clusters_is_two_events() {
        // Uids are drawn by each cluster for itself, and a derived one tells nothing of the cluster.
        let in_cluster = |cluster: &'static str, event| Event { cluster: cluster.into(), ..event };
        let mut events = vec![
            in_cluster("b", event("u", "x", 5, 6, 1)),
            in_cluster("a", event("u", "x", 3, 4, 1)),
            in_cluster("a", event("v", "x", 3, 4, 1)),
            in_cluster("b", event("u", "x", 2, 9, 1)),
        ];
        settle(&mut events);
        let wanted = [
            in_cluster("a", event("u", "x", 3, 4, 1)),
            in_cluster("a", event("v", "x", 3, 4, 1)),
            in_cluster("b", event("u", "x", 2, 9, 1)),
        ];
        assert_eq!(events, wanted);
    }

    #[test]
    fn the_service_of_the_newest_row_counts() {
        let row = |service: Option<&'static str>, last_seen| ServiceEvent {
            service: service.map(Cow::Borrowed),
            event: event("u", "x", 1, last_seen, 1),
        };
        // Of two rows that are the same but for it, the order of coming must not decide.
        for (older, newer) in [
            (row(Some("web"), 5), row(None, 6)),
            (row(None, 5), row(Some("web"), 5)),
            (row(Some("shop"), 5), row(Some("web"), 5)),
        ] {
            assert_eq!(merge(older.clone(), newer.clone()), newer);
            assert_eq!(merge(newer.clone(), older), newer);
        }
    }

    #[test]
    fn counts_of_different_uids_add_up_where_all_of_the_group_is_the_same() {
        let other_level = Event { level: "Normal".into(), ..event("d", "x", 1, 50, 1) };
        let events = [
            event("a", "x", 10, 20, 6000),
            event("b", "x", 5, 15, 530),
            event("c", "y", 30, 40, 1),
            other_level.clone(),
        ];
        let counted = |event: &'static str, level, first_seen, last_seen, count| Counted {
            group: Group { kind: "Pod", name: "web-0", level, reason: "BackOff", message: event },
            first_seen,
            last_seen,
            count,
        };
        assert_eq!(
            count_together(&events),
            [
                counted("x", "Normal", 1, 50, 1),
                counted("y", "Warning", 30, 40, 1),
                counted("x", "Warning", 5, 20, 6530)
            ]
        );
        assert_eq!(count_together(&[]), []);
        let most = [event("a", "x", 1, 1, i64::MAX), event("b", "x", 1, 1, 2)];
        assert_eq!(count_together(&most), [counted("x", "Warning", 1, 1, i64::MAX)]);
    }

    fn resends() -> impl Strategy<Value = Vec<Event<'static>>> {
        // Few values, so that times, counts and texts tie.
        let one = (
            proptest::sample::select(vec!["a", "b"]),
            proptest::sample::select(vec!["x", "y"]),
            0i64..4,
            0i64..3,
            1i64..4,
            proptest::option::of(Just(("app", Cow::Borrowed("web")))),
        )
            .prop_map(|(uid, message, first, lasted, count, label)| Event {
                labels: Vec::from_iter(label),
                ..event(uid, message, first, first + lasted, count)
            });
        proptest::collection::vec(one, 1..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(11), ..ProptestConfig::default() })]

        /// Collectors repeat themselves and queues reorder: neither may change what is told.
        #[test]
        fn any_order_and_any_repetition_of_resends_gives_the_same_rows(
            (resends, shuffled, repeated) in resends().prop_flat_map(|resends| {
                let repeated = proptest::collection::vec(proptest::sample::select(resends.clone()), 0..8);
                (Just(resends.clone()), Just(resends).prop_shuffle(), repeated)
            }),
            cut in 0usize..8,
        ) {
            let mut wanted = resends.clone();
            settle(&mut wanted);
            let mut all = shuffled.clone();
            all.extend(repeated.clone());
            settle(&mut all);
            prop_assert_eq!(&all, &wanted);
            // In two batches, each settled before they meet, the first of them once more.
            let (left, right) = shuffled.split_at(cut.min(shuffled.len()));
            let (mut left, mut right) = (left.to_vec(), right.to_vec());
            settle(&mut left);
            right.extend(repeated);
            settle(&mut right);
            right.extend(left.clone());
            right.extend(left);
            settle(&mut right);
            prop_assert_eq!(right, wanted);
        }

        #[test]
        fn a_merged_row_has_the_extremes_of_its_resends(resends in resends()) {
            let rows: Vec<_> = resends.iter().filter(|event| event.uid == "a").cloned().collect();
            let Some(merged) = rows.iter().cloned().reduce(merge) else { return Ok(()) };
            prop_assert_eq!(Some(merged.first_seen), rows.iter().map(|row| row.first_seen).min());
            prop_assert_eq!(Some(merged.last_seen), rows.iter().map(|row| row.last_seen).max());
            prop_assert_eq!(Some(merged.count), rows.iter().map(|row| row.count).max());
            let told = |row: &&Event<'_>| row.last_seen == merged.last_seen && row.message == merged.message;
            prop_assert!(rows.iter().any(|row| told(&row)));
        }
    }
}
