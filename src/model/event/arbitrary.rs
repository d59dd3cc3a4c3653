//! Events for tests of what keeps them.

use super::{Event, Object, Owner, ServiceEvent, Source, service};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::borrow::Cow;

fn text() -> impl Strategy<Value = Cow<'static, str>> {
    prop_oneof![Just(Cow::Borrowed("")), any::<String>().prop_map(Cow::Owned)]
}

/// Any event that the model allows, with or without a service, whatever the rules would say.
pub fn any_event() -> impl Strategy<Value = ServiceEvent<'static>> {
    let object = (text(), text(), text(), text(), text(), text());
    let times = (any::<i64>(), any::<i64>(), any::<i64>());
    let labels = vec(option::of(text()), service::KEYS.len());
    let owner = (text(), text(), any::<bool>());
    let owners = vec(owner.prop_map(|(kind, name, controller)| Owner { kind, name, controller }), 0..3);
    let source = (text(), text(), text());
    (option::of(text()), vec(text(), 8), object, times, labels, owners, source).prop_map(
        |(service, mut texts, object, (first_seen, last_seen, count), labels, owners, source)| {
            let mut next = || texts.pop().unwrap_or_default();
            let (kind, namespace, name, uid, api_version, field_path) = object;
            let (component, host, instance) = source;
            let event = Event {
                cluster: next(),
                namespace: next(),
                uid: next(),
                name: next(),
                object: Object { kind, namespace, name, uid, api_version, field_path },
                level: next(),
                reason: next(),
                message: next(),
                action: next(),
                source: Source { component, host, instance },
                first_seen,
                last_seen,
                count,
                labels: service::KEYS.into_iter().zip(labels).filter_map(|(key, value)| Some((key, value?))).collect(),
                owners,
            };
            ServiceEvent { service, event }
        },
    )
}

/// An event of few values, so that uids, times, counts and texts tie: seen last at some of the times from 0 until
/// before `until`.
pub fn resend(until: i64) -> impl Strategy<Value = ServiceEvent<'static>> {
    let place = (proptest::sample::select(&["c", "d"][..]), proptest::sample::select(&["n", "o"][..]));
    let texts = (proptest::sample::select(&["u", "v", "w"][..]), proptest::sample::select(&["x", "y"][..]));
    let times = (0..until, 0i64..3, 1i64..4);
    let service = option::of(proptest::sample::select(&["", "web", "shop"][..]));
    let label = option::of(Just(("app", Cow::Borrowed("web"))));
    (place, texts, times, service, label).prop_map(
        |((cluster, namespace), (uid, message), (last_seen, lasted, count), service, label)| ServiceEvent {
            service: service.map(Cow::Borrowed),
            event: Event {
                cluster: cluster.into(),
                namespace: namespace.into(),
                uid: uid.into(),
                message: message.into(),
                level: "Normal".into(),
                first_seen: last_seen - lasted,
                last_seen,
                count,
                labels: Vec::from_iter(label),
                ..Event::default()
            },
        },
    )
}
