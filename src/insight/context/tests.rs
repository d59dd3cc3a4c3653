use super::*;
use crate::codec::Limits;
use crate::codec::zipkin::v2;
use crate::error::Error;
use crate::model::Event;
use crate::model::event::{Object, Source};

fn spans(json: &str) -> Vec<Span<'static>> {
    let spans = v2::decode(json, &Limits::default()).unwrap();
    spans.into_iter().map(Span::into_owned).collect()
}

fn seen(json: &str, origin: &Origin) -> Seen {
    let mut seen = Seen::default();
    for span in spans(json) {
        seen.feed(&span, origin);
    }
    seen
}

fn names(seen: &Seen) -> Vec<&str> {
    seen.services.values().map(|service| service.name.as_str()).collect()
}

#[test]
fn services_are_those_of_both_sides_and_of_names_in_three_parts_each_once_whatever_its_case() {
    let seen = seen(
        r#"[{"traceId":"a","id":"1","localEndpoint":{"serviceName":"Front"},
             "remoteEndpoint":{"serviceName":"cart"}},
            {"traceId":"a","id":"2","localEndpoint":{"serviceName":"front"},"remoteEndpoint":{"ipv4":"1.2.3.4"}},
            {"traceId":"a","id":"3","name":"till:pod-1:/pay"},
            {"traceId":"a","id":"4","name":"get http://x:80/"},
            {"traceId":"a","id":"5","localEndpoint":{"serviceName":"Cart"}}]"#,
        &Origin::default(),
    );
    assert_eq!(names(&seen), ["cart", "Front", "till"]);
    assert_eq!((seen.spans, seen.truncated, seen.beyond.len()), (5, false, 0));
}

#[test]
fn services_beyond_the_limit_are_counted_once_each() {
    let mut seen = Seen::default();
    for _ in 0..2 {
        for number in 0..MOST_SERVICES + 3 {
            let named =
                |service| format!(r#"[{{"traceId":"a","id":"1","localEndpoint":{{"serviceName":"{service}"}}}}]"#);
            seen.feed(&spans(&named(format!("s{number}")))[0], &Origin::default());
        }
    }
    assert_eq!((seen.services.len(), seen.beyond.len()), (MOST_SERVICES, 3));
}

#[test]
fn spans_beyond_the_limit_are_not_read() {
    let span = Span::new(crate::model::TraceId::narrow(1), 1);
    let mut seen = Seen { spans: MOST_SPANS - 1, ..Seen::default() };
    seen.feed(&span, &Origin::default());
    assert_eq!((seen.spans, seen.truncated), (MOST_SPANS, false));
    seen.feed(&span, &Origin::default());
    assert_eq!((seen.spans, seen.truncated), (MOST_SPANS, true));
}

#[test]
fn a_trace_lasts_from_its_first_beginning_to_its_last_end() {
    for (json, time) in [
        (r#"[{"traceId":"a","id":"1"}]"#, None),
        (r#"[{"traceId":"a","id":"1","duration":5}]"#, None),
        (r#"[{"traceId":"a","id":"1","timestamp":10}]"#, Some((10, 10))),
        (
            r#"[{"traceId":"a","id":"1","timestamp":10,"duration":5},
                {"traceId":"a","id":"2","timestamp":7,"duration":100},
                {"traceId":"a","id":"3","timestamp":90}]"#,
            Some((7, 107)),
        ),
        // The server's half of a span that two hosts share may have annotations alone.
        (
            r#"[{"traceId":"a","id":"1",
                 "annotations":[{"timestamp":30,"value":"x"},{"timestamp":20,"value":"y"}]}]"#,
            Some((20, 30)),
        ),
    ] {
        assert_eq!(seen(json, &Origin::default()).time, time, "{json}");
    }
}

fn known(cluster: &str, namespace: &str, service: &str) -> KnownService {
    let service = (!service.is_empty()).then(|| service.to_owned());
    KnownService { cluster: cluster.into(), namespace: namespace.into(), service, seen: (10, 20) }
}

fn place(cluster: &str, namespace: &str) -> EventPlace {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    EventPlace { cluster: text(cluster), namespace: text(namespace) }
}

#[test]
fn tags_go_before_headers_and_what_events_do_not_know_narrows_nothing() {
    let all = [known("paris", "shop", "web"), known("berlin", "pay", ""), known("berlin", "shop", "till")];
    let known = Known::of(&all);
    for (tags, (cluster, namespace), wanted) in [
        ("", ("", ""), vec![]),
        ("", ("paris", "shop"), vec![place("paris", "shop")]),
        ("", ("elsewhere", "shop"), vec![place("", "shop")]),
        ("", ("elsewhere", "nowhere"), vec![]),
        ("", ("", "pay"), vec![place("", "pay")]),
        // Paris has no such namespace.
        ("", ("paris", "pay"), vec![place("paris", "")]),
        (r#""k8s.cluster.name":"berlin""#, ("paris", "shop"), vec![place("berlin", "shop")]),
        (r#""k8s.cluster.name":"unknown""#, ("paris", "shop"), vec![place("paris", "shop")]),
        (r#""k8s.cluster.name":"x","k8s.cluster.uid":"berlin""#, ("", ""), vec![place("berlin", "")]),
        (r#""k8s.namespace.name":"pay""#, ("berlin", "shop"), vec![place("berlin", "pay")]),
    ] {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let origin = Origin { cluster_id: text(cluster), namespace: text(namespace) };
        let json = format!(
            r#"[{{"traceId":"a","id":"1","localEndpoint":{{"serviceName":"web"}},
            "remoteEndpoint":{{"serviceName":"db"}},"tags":{{{tags}}}}}]"#
        );
        let seen = seen(&json, &origin);
        assert_eq!(known.places(&seen.services["web"].told), wanted, "{tags} {cluster} {namespace}");
        // The other side ran wherever it did.
        assert_eq!(known.places(&seen.services["db"].told), []);
    }
}

#[test]
fn events_are_asked_for_under_each_spelling_wherever_they_are_known_of_the_place_and_the_time() {
    let old = KnownService { seen: (1, 4), ..known("paris", "pay", "WEB") };
    let all = [
        known("berlin", "shop", "web"),
        known("paris", "pay", "Web"),
        known("paris", "shop", "web"),
        known("paris", "shop", "web2"),
        old,
    ];
    let known = Known::of(&all);
    let around = Around { start: 15, end: 30, from: 5 };
    let asked = |service: &str, places: &[EventPlace]| -> Vec<(EventPlace, String)> {
        let questions = known.questions("p", service, places, around);
        let whole = |question: &EventQuery| {
            question.project == "p" && question.window == Window::Overlapping { from: 5, to: 30 }
        };
        assert!(questions.iter().all(whole));
        let short = |question: EventQuery| {
            let EventQuery { cluster, namespace, service, .. } = question;
            (EventPlace { cluster, namespace }, service.unwrap())
        };
        questions.into_iter().map(short).collect()
    };
    let of = |place: EventPlace, service: &str| (place, service.to_owned());
    let (berlin, paris) = (of(place("berlin", "shop"), "web"), of(place("paris", "pay"), "Web"));
    assert_eq!(asked("web", &[]), [berlin.clone(), paris.clone(), of(place("paris", "shop"), "web")]);
    assert_eq!(asked("web", &[place("berlin", ""), place("", "pay"), place("paris", "pay")]), [berlin, paris]);
    assert_eq!(asked("web", &[place("berlin", "pay")]), []);
    assert_eq!(asked("nobody", &[]), []);
}

#[test]
fn a_service_of_many_namespaces_is_asked_for_by_its_places_alone() {
    let mut all: Vec<KnownService> =
        (0..MOST_ASKED).map(|number| known("paris", &format!("n{number}"), "web")).collect();
    let around = Around { start: 15, end: 30, from: 5 };
    let count =
        |all: &[KnownService], places: &[EventPlace]| Known::of(all).questions("p", "web", places, around).len();
    assert_eq!(count(&all, &[]), MOST_ASKED);
    all.push(known("berlin", "n0", "Web"));
    let asked = Known::of(&all).questions("p", "web", &[], around);
    let asked: Vec<_> = asked.into_iter().map(|one| (one.cluster, one.namespace, one.service.unwrap())).collect();
    assert_eq!(asked, [(None, None, "Web".to_owned()), (None, None, "web".to_owned())]);
    // Of those that are left there are few.
    assert_eq!(count(&all, &[place("", "n0")]), 2);
    assert_eq!(count(&all, &[place("paris", "")]), MOST_ASKED);
}

fn event(uid: &str, last_seen: i64, message: usize) -> ServiceEvent<'static> {
    ServiceEvent {
        service: Some("web".into()),
        event: Event {
            cluster: "c".into(),
            namespace: "n".into(),
            uid: uid.to_owned().into(),
            name: "".into(),
            object: Object::default(),
            level: "Normal".into(),
            reason: "".into(),
            message: "x".repeat(message).into(),
            action: "".into(),
            source: Source::default(),
            first_seen: last_seen,
            last_seen,
            count: 1,
            labels: Vec::new(),
            owners: Vec::new(),
        },
    }
}

fn found(events: Vec<ServiceEvent<'static>>) -> Result<Found> {
    Ok(Found { events, damaged: Vec::new() })
}

fn question(namespace: &str) -> EventQuery {
    let window = Window::LastSeen { from: 0, to: 100 };
    EventQuery { project: "p".into(), cluster: None, namespace: Some(namespace.into()), service: None, window }
}

#[test]
fn the_newest_events_that_there_is_room_for_are_told_each_once_and_the_rest_is_counted() {
    // Several questions may have answered, in whatever order.
    let told = |answers: Vec<Vec<ServiceEvent<'static>>>, room: &mut usize| {
        let mut newest = Newest::default();
        answers.into_iter().for_each(|events| newest.add(events));
        let (events, left_out) = newest.within(room);
        (events.iter().map(|told| told.event.uid.to_string()).collect::<Vec<_>>(), left_out)
    };
    let answers = vec![vec![event("b", 7, 0), event("c", 9, 0)], vec![event("a", 7, 0), event("c", 9, 0)]];
    assert_eq!(told(answers, &mut MOST_BYTES.clone()), (vec!["c".into(), "a".into(), "b".into()], Some(0)));

    // What no longer was among the newest when it was found again is still counted once.
    let older: Vec<_> = (0..60).map(|n| event(&n.to_string(), n, 0)).collect();
    let newer: Vec<_> = (5..70).map(|n| event(&n.to_string(), n, 0)).collect();
    let wanted: Vec<String> = (20..70).rev().map(|n| n.to_string()).collect();
    assert_eq!(told(vec![older, newer], &mut MOST_BYTES.clone()), (wanted, Some(20)));

    let events = vec![event("a", 3, 5_000), event("b", 2, 5_000), event("c", 1, 0)];
    let mut room = 10_000;
    assert_eq!((told(vec![events.clone()], &mut room), room), ((vec!["a".into()], Some(2)), 0));
    assert_eq!(told(vec![events], &mut room), (vec![], Some(3)));
}

#[test]
fn a_service_of_more_events_than_can_be_looked_through_does_not_keep_others_from_being_told() {
    let questions = ["a", "b"].map(question);
    let answer = |failed: fn(&'static str) -> Error| {
        let find = |asked: &EventQuery| match asked.namespace.as_deref() {
            Some("b") => Err(failed("no")),
            _ => found(vec![event("u", 7, 0)]),
        };
        ask(&questions, &find, &mut Vec::new()).map(|newest| newest.map(|newest| newest.events.len()))
    };
    // Nothing is told of it rather than what some of its namespaces had: that need not be its newest.
    assert_eq!(answer(Error::too_large).unwrap(), None);
    assert_eq!(answer(Error::busy).unwrap_err().kind(), ErrorKind::Busy);
    let told = ask(&questions, &|_| found(vec![event("u", 7, 0)]), &mut Vec::new()).unwrap().unwrap();
    assert_eq!((told.events.len(), told.seen.len()), (1, 1));
}
