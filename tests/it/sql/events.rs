//! Service events: each once, and as they were sent.

use super::damage::{FlushNow, Meanwhile};
use super::*;
use spanlake::codec::k8s;
use spanlake::codec::stored::events as stored_events;
use spanlake::lake::events::schema::TABLE_SCHEMA;
use spanlake::model::event::service;
use spanlake::model::{Event, ServiceEvent};
use spanlake::store::EncodedEvents;
use std::collections::BTreeSet;

impl Lake {
    async fn post_events(&self, events: &[ServiceEvent<'_>]) {
        self.post_events_as("default", events).await;
    }

    async fn post_events_as(&self, project: &str, events: &[ServiceEvent<'_>]) {
        use spanlake::clock::Clock;
        let bytes = stored_events::encode(project, self.clock.now_micros(), events);
        self.store.append(EncodedEvents::index(bytes.into()).unwrap()).await.unwrap();
    }

    fn event_files(&self) -> Vec<PathBuf> {
        self.store.snapshot().events.files.iter().map(|file| file.path().to_owned()).collect()
    }
}

/// A pod's event that was last seen so many microseconds after noon, and first a second before.
fn event(uid: &str, message: &str, last_seen: i64) -> ServiceEvent<'static> {
    let mut event = Event {
        cluster: "c".into(),
        namespace: "shop".into(),
        uid: uid.to_owned().into(),
        level: "Warning".into(),
        reason: "BackOff".into(),
        message: message.to_owned().into(),
        first_seen: NOON + last_seen - 1_000_000,
        last_seen: NOON + last_seen,
        count: 1,
        ..Event::default()
    };
    event.object.kind = "Pod".into();
    event.object.name = "web-0".into();
    ServiceEvent::from(event)
}

const EVENTS: &str = "select uid, message, cast(first_seen as bigint) - 1795348800000000, \
                      cast(last_seen as bigint) - 1795348800000000, count, day from events order by uid";

#[tokio::test]
async fn events_that_are_only_in_the_log_are_seen_unless_the_tables_alone_are_asked_for() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.post_events(&[event("a", "x", 5), event("b", "x", 6)]).await;
    let all = ["a|x|-999995|5|1|2026-11-22", "b|x|-999994|6|1|2026-11-22"];
    assert_eq!(lake.rows(EVENTS).await, all);
    assert_eq!(lake.try_rows(EVENTS, true).await.unwrap().0, [""; 0]);
    assert_eq!(lake.rows("select count(*) from spans").await, ["1"], "records of events are no spans");
    lake.flush().await;
    lake.post_events(&[event("c", "x", 7)]).await;
    assert_eq!(lake.try_rows(EVENTS, true).await.unwrap().0, all);
    assert_eq!(lake.rows("select uid from event_rows order by 1").await, ["a", "b", "c"]);
    // After the server's end the log is as it was.
    drop(lake.store);
    let answer = ask(Arc::new(RealFs), &lake.folder.path().join("data"), "select count(*) from events", false).await;
    assert_eq!(answer.unwrap(), (vec!["3".to_owned()], Vec::new()));
}

#[tokio::test]
async fn resends_are_one_event_wherever_their_rows_lie() {
    let lake = Lake::with(|config| config.compact_files = 2).await;
    let told = |message, last_seen, first_seen, count| {
        let mut told = event("u", message, last_seen);
        told.event.first_seen = NOON + first_seen;
        told.event.count = count;
        told
    };
    // The newest row is the second; the first began earliest, the last counted most. One lies in the day before.
    lake.post_events(&[told("first", -DAY, -DAY - 50, 2), event("other", "x", 1)]).await;
    lake.flush().await;
    lake.post_events(&[told("newest", 70, 60, 3)]).await;
    lake.flush().await;
    lake.post_events(&[told("late", 65, 61, 9)]).await;
    let once = ["other|x|-999999|1|1|2026-11-22", "u|newest|-86400000050|70|9|2026-11-22"];
    assert_eq!(lake.rows(EVENTS).await, once, "two files of two days, and the log");
    assert_eq!(lake.rows("select count(*), sum(count) from event_rows").await, ["4|15"]);
    assert_eq!(lake.rows("select count(*), sum(count) from events").await, ["2|10"]);
    lake.flush().await;
    assert_eq!(lake.rows(EVENTS).await, once, "files alone");
    lake.store.compact().await.unwrap();
    assert_eq!(lake.rows(EVENTS).await, once, "files that were merged");
    assert_eq!(lake.rows("select count(*) from event_rows where day = '2026-11-22'").await, ["2"]);
    // The same uid of another cluster or project is another event.
    let mut elsewhere = told("elsewhere", 1, 1, 1);
    elsewhere.event.cluster = "d".into();
    lake.post_events(&[elsewhere]).await;
    lake.post_events_as("other", &[told("elsewhere", 1, 1, 1)]).await;
    assert_eq!(
        lake.rows("select project, cluster, count from events where uid = 'u' order by 1, 2").await,
        ["default|c|9", "default|d|1", "other|c|1"]
    );
}

/// Two collectors tell the same: one knows the object's labels, the other does not.
#[tokio::test]
async fn of_rows_as_new_as_each_other_the_one_with_labels_says_whose_the_event_is() {
    let lake = Lake::new().await;
    let labelled = |uid: &str| {
        let ServiceEvent { event: mut plain, .. } = event(uid, "x", 5);
        plain.labels = vec![("app", "cart".into())];
        ServiceEvent::from(plain)
    };
    lake.post_events(&[labelled("a"), event("b", "x", 5), event("c", "x", 5)]).await;
    lake.flush().await;
    lake.post_events(&[event("a", "x", 5), labelled("b")]).await;
    for (sql, expected) in [
        ("select uid, service from events order by 1", ["a|cart", "b|cart", "c|web"].as_slice()),
        ("select service, count(*) from events group by 1 order by 1", &["cart|2", "web|1"]),
        ("select uid from events where service = 'web'", &["c"]),
        ("select uid from events where service = 'cart' order by 1", &["a", "b"]),
        ("select uid, labels from events order by 1", &["a|{app: cart}", "b|{app: cart}", "c|"]),
        ("select uid from event_rows where service = 'web' order by 1", &["a", "b", "c"]),
    ] {
        assert_eq!(lake.rows(sql).await, expected, "{sql}");
    }
}

/// A filter is a question about the event, not about one of its rows.
#[tokio::test]
async fn what_an_event_was_before_answers_no_question() {
    let lake = Lake::new().await;
    let moved = |service: &'static str, last_seen| ServiceEvent {
        service: Some(service.into()),
        ..event("u", service, last_seen)
    };
    lake.post_events(&[moved("old", 10), event("v", "x", 10)]).await;
    lake.flush().await;
    lake.post_events(&[moved("new", 3_000_000)]).await;
    for flushed in [false, true] {
        if flushed {
            lake.flush().await;
        }
        for (filter, count) in [
            ("service = 'old'", "0"),
            ("service = 'new'", "1"),
            ("last_seen < '2026-11-22T12:00:01Z'", "1"),
            ("last_seen >= '2026-11-22T12:00:01Z'", "1"),
            ("first_seen < '2026-11-22T12:00:00Z' and last_seen > '2026-11-22T12:00:02Z'", "1"),
            ("first_seen > '2026-11-22T12:00:01Z'", "0"),
            ("message = 'old' or uid = 'v'", "1"),
            ("service is distinct from 'new'", "1"),
        ] {
            let sql = format!("select count(*) from events where {filter}");
            assert_eq!(lake.rows(&sql).await, [count], "{filter}, flushed: {flushed}");
        }
    }
}

#[tokio::test]
async fn each_column_holds_what_the_collector_sent() {
    let lake = Lake::new().await;
    let body = include_bytes!("../../../fixtures/events/exporter.json");
    let events = k8s::decode(body, None, &k8s::Limits::default()).unwrap();
    let events: Vec<ServiceEvent<'_>> = events.into_iter().map(ServiceEvent::from).collect();
    lake.post_events_as("p", &events).await;
    let columns: Vec<String> = lake.rows("describe events").await;
    let names: Vec<&str> = columns.iter().filter_map(|row| row.split('|').next()).collect();
    let expected: Vec<&String> = TABLE_SCHEMA.fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, expected);
    let all = "p|paris|pay|billing-worker|2025-07-08T09:10:11Z|2025-07-08T09:10:11Z|1|Warning|Unhealthy\
               |Liveness probe failed: HTTP probe failed with statuscode: 503|Pod|billing-worker-9wzlm|pay\
               |f00dcafe-0002-4b7e-9c3d-000000000002|v1|spec.containers{worker}|f00dcafe-0001-4b7e-9c3d-000000000001\
               |billing-worker-9wzlm.17d0||kubelet|node-3|node-3|{app.kubernetes.io/name: billing-worker, app: billing}\
               |[{kind: DaemonSet, name: billing-worker, controller: true}]|2025-07-08";
    for relation in ["events", "event_rows"] {
        assert_eq!(lake.rows(&format!("select * from {relation}")).await, [all], "from the log: {relation}");
    }
    lake.flush().await;
    for relation in ["events", "event_rows"] {
        assert_eq!(lake.rows(&format!("select * from {relation}")).await, [all], "from a file: {relation}");
    }
    // What is not known is null.
    let mut bare = event("bare", "", 0);
    bare.event.reason = "".into();
    bare.event.object = Default::default();
    bare.service = None;
    lake.post_events(&[bare]).await;
    let nulls = "select service is null, reason is null, message is null, object_name is null, object_uid is null, \
                 name is null, action is null, source_host is null, labels is null, owners is null \
                 from events where uid = 'bare'";
    assert_eq!(lake.rows(nulls).await, [["true"; 10].join("|")]);
}

#[tokio::test]
async fn an_events_service_is_the_one_that_every_other_answer_gives() {
    let lake = Lake::new().await;
    let bodies = [
        include_bytes!("../../../fixtures/events/core-v1-event.json").as_slice(),
        include_bytes!("../../../fixtures/events/core-v1-list.json"),
        include_bytes!("../../../fixtures/events/events-k8s-io-v1.json"),
        include_bytes!("../../../fixtures/events/exporter.json"),
        include_bytes!("../../../fixtures/events/watch.ndjson"),
    ];
    let mut expected = BTreeSet::new();
    for (place, body) in bodies.into_iter().enumerate() {
        let events = k8s::decode(body, Some("site"), &k8s::Limits::default()).unwrap();
        expected.extend(events.iter().map(|event| {
            let service = service::of(event).unwrap_or_default();
            format!("{}|{}|{}|{service}", event.cluster, event.namespace, event.uid)
        }));
        let events: Vec<ServiceEvent<'_>> = events.into_iter().map(ServiceEvent::from).collect();
        lake.post_events(&events).await;
        if place % 2 == 0 {
            lake.flush().await;
        }
    }
    assert!(expected.len() > 5, "{expected:?}");
    let rows = lake.rows("select cluster, namespace, uid, service from events order by 1, 2, 3").await;
    assert_eq!(rows, Vec::from_iter(expected));
}

#[tokio::test]
async fn files_that_cannot_hold_an_answer_are_left_out_before_anything_is_read() {
    let lake = Lake::new().await;
    lake.post_events(&[event("a", "x", 1)]).await;
    lake.flush().await;
    lake.post_events(&[event("b", "x", DAY)]).await;
    lake.flush().await;
    for (relation, filter, files) in [
        ("event_rows", "last_seen >= '2026-11-23'", 1),
        ("event_rows", "last_seen < '2026-11-20'", 0),
        ("event_rows", "day = '2026-11-22'", 1),
        ("event_rows", "project = 'default'", 2),
        ("event_rows", "service = 'web'", 2),
        ("events", "project = 'other'", 0),
        ("events", "project = 'default' and uid = 'a'", 2),
        // An older row may lie in any day.
        ("events", "last_seen >= '2026-11-23'", 2),
        ("events", "last_seen >= '2026-11-24'", 0),
        ("events", "service = 'none'", 0),
    ] {
        let plan = lake.rows(&format!("explain select message from {relation} where {filter}")).await.join("\n");
        let physical = plan.split("physical_plan|").nth(1).unwrap();
        assert_eq!(physical.matches(".parquet").count(), files, "{relation}, {filter}: {physical}");
    }
    // The events that may answer are known before their rows are read, by their uids while these are few.
    let plan = lake.rows("explain select message from events where last_seen >= '2026-11-23'").await.join("\n");
    assert!(plan.contains("predicate=uid@16 = b"), "{plan}");
}

#[tokio::test]
async fn a_damaged_file_of_events_is_named_with_its_offset_and_the_rest_is_answered() {
    let lake = Lake::new().await;
    lake.post_events(&[event("a", "first", 1), event("b", "first", 1)]).await;
    lake.flush().await;
    let first = lake.event_files();
    lake.post_events(&[event("a", "second", 2)]).await;
    lake.flush().await;
    let bytes = std::fs::read(&first[0]).unwrap();
    for (what, damaged) in [
        ("pages", [&bytes[..4], &vec![0xff; bytes.len() / 4], &bytes[4 + bytes.len() / 4..]].concat()),
        ("footer", [&bytes[..bytes.len() - 40], &[0xff; 32], &bytes[bytes.len() - 8..]].concat()),
        ("a file cut short", bytes[..bytes.len() / 2].to_vec()),
    ] {
        std::fs::write(&first[0], &damaged).unwrap();
        for sql in ["select uid, message from events", "select uid, message from events where service = 'web'"] {
            let (rows, notes) = lake.try_rows(sql, false).await.unwrap();
            assert_eq!(rows, ["a|second"], "{what}: {sql}");
            assert!(!notes.is_empty(), "{what}: {sql}");
            let told = |note: &String| note.contains(first[0].to_str().unwrap()) && note.contains("near byte ");
            assert!(notes.iter().all(told), "{what}: {notes:?}");
        }
    }
}

/// A folder of a server that knew of no events, or one that never had any.
#[tokio::test]
async fn a_folder_without_the_table_has_no_events() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    std::fs::remove_dir_all(StoreConfig::events_dir(&lake.data())).unwrap();
    for (sql, expected) in [
        ("select count(*) from events", ["0"].as_slice()),
        ("select count(*) from event_rows", &["0"]),
        ("select uid, message from events where service = 'web'", &[]),
        ("select count(*) from spans", &["1"]),
    ] {
        assert_eq!(
            lake.try_rows(sql, false).await.unwrap(),
            (expected.iter().map(|row| row.to_string()).collect(), Vec::new()),
            "{sql}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_from_the_log_to_the_tables_while_it_is_read_is_there_once() {
    let lake = Lake::with(|config| config.segment_bytes = 64 << 10).await;
    // Several segments, so that trimming removes some.
    for batch in 0..20 {
        let long = "x".repeat(10_000);
        let events: Vec<_> = (0..10).map(|n| event(&format!("{batch}-{n}"), &long, n)).collect();
        lake.post_events(&events).await;
        lake.post(&[span(batch + 1, batch + 1)]).await;
    }
    let meddler = FlushNow(lake.store.clone(), tokio::runtime::Handle::current());
    let fs = Arc::new(Meanwhile::before_the_log(&lake, meddler));
    let sql =
        "select (select count(*) from events) a, (select count(*) from event_rows) b, (select count(*) from spans) c";
    let (rows, notes) = ask(fs.clone(), &lake.data(), sql, false).await.unwrap();
    assert_eq!(rows, ["200|200|20"]);
    assert_eq!(notes, [""; 0]);
    assert_eq!(fs.reads(), 2, "the log was trimmed, so the tables are read again");
}

/// The log is trimmed behind a table that nothing comes for.
#[tokio::test]
async fn a_table_that_has_had_no_commit_for_long_is_read_as_whole_as_the_other() {
    let lake = Lake::with(|config| config.segment_bytes = 64 << 10).await;
    let count = "select (select count(*) from events) a, (select count(*) from spans) b";
    lake.post_events(&[event("a", "x", 1)]).await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    for round in 0..4 {
        for id in 0..10 {
            let mut long = span(10 + round, 100 * round + id + 2);
            long.tags.push(("zz".into(), "x".repeat(10_000).into()));
            lake.post(&[long]).await;
        }
        lake.flush().await;
    }
    assert_eq!(lake.try_rows(count, false).await.unwrap(), (vec!["1|41".to_owned()], Vec::new()), "spans alone since");
    for round in 0..40 {
        lake.post_events(&[event(&format!("e{round}"), &"x".repeat(10_000), 1)]).await;
        if round % 10 == 9 {
            lake.flush().await;
        }
    }
    assert_eq!(
        lake.try_rows(count, false).await.unwrap(),
        (vec!["41|41".to_owned()], Vec::new()),
        "events alone since"
    );
    lake.post(&[span(3, 3_000)]).await;
    lake.post_events(&[event("last", "x", 1)]).await;
    assert_eq!(lake.try_rows(count, false).await.unwrap(), (vec!["42|42".to_owned()], Vec::new()), "and the log");
}
