//! Events placed by hand, and at random: every answer is held to a plain look at all rows.

use super::find::{Limits, Pace, STOP_STEPS, find_within};
use super::{EventQuery, Found, Known, KnownService, Window, find, services};
use crate::codec::stored::events::encode;
use crate::error::ErrorKind;
use crate::fs::{Fs, RealFs};
use crate::lake::DataFile;
use crate::lake::events::TABLE;
use crate::lake::events::directory::{self, DirectoryBuilder};
use crate::lake::events::merge::merge_files;
use crate::lake::events::rows::RowBuilder;
use crate::lake::events::writer::EventFileWriter;
use crate::lake::file_writer::FileWriter;
use crate::model::event::{Object, settle};
use crate::model::{Event, ServiceEvent};
use crate::stop::Stop;
use crate::store::{EncodedEvents, EventMemTable, EventsView, Snapshot};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const DAY: i64 = 86_400_000_000;

/// What the names of files of other making begin with.
const FOREIGN: &str = "foreign-";

/// A row and its project.
type Row = (&'static str, ServiceEvent<'static>);

/// Rows in memory tables and files, and all of them beside.
struct World {
    folder: tempfile::TempDir,
    memtables: Vec<Arc<EventMemTable>>,
    files: Vec<Arc<DataFile>>,
    rows: Vec<Row>,
    written: usize,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        World { folder, memtables: Vec::new(), files: Vec::new(), rows: Vec::new(), written: 0 }
    }

    /// A memory table more, of so many requests.
    fn remember(&mut self, requests: &[&[Row]]) {
        let table = EventMemTable::default();
        for (sequence, rows) in requests.iter().enumerate() {
            for (project, events) in by_project(rows) {
                let batch = EncodedEvents::index(encode(project, 7, &events).into()).unwrap();
                table.append(sequence as u64 + 1, batch);
            }
            self.rows.extend(rows.iter().cloned());
        }
        self.memtables.push(Arc::new(table));
    }

    /// A flush of these rows: a file for each day of what is left of them.
    fn flush(&mut self, rows: &[Row]) {
        let mut by_day: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        for (project, mut events) in by_project(rows) {
            settle(&mut events);
            for event in events {
                by_day.entry((event.event.last_seen / DAY) as i32).or_default().push((project, event));
            }
        }
        for (day, rows) in by_day {
            self.write(day, sorted(rows), Make { directory: true, group_rows: 3 });
        }
        self.rows.extend(rows.iter().cloned());
    }

    /// A file of another engine's making: what it has of a day is neither sorted nor settled, and it has no directory.
    fn rewrite(&mut self, rows: &[Row], group_rows: usize) {
        let mut by_day: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        for (project, event) in rows {
            by_day.entry((event.event.last_seen / DAY) as i32).or_default().push((project, event.clone()));
        }
        for (day, rows) in by_day {
            self.write(day, rows, Make { directory: false, group_rows });
        }
        self.rows.extend(rows.iter().cloned());
    }

    fn write(&mut self, day: i32, rows: Vec<Row>, make: Make) {
        self.written += 1;
        let name = format!("{}{}.parquet", if make.directory { "" } else { FOREIGN }, self.written);
        self.files.push(write(self.folder.path(), day, &name, rows, make));
    }

    /// Merges some of the files of a day, as a compaction does.
    fn merge_some(&mut self, random: &mut SmallRng) {
        let day = (any_time(random) / DAY) as i32;
        self.merge(day, &mut |_| random.random_bool(0.7));
    }

    /// Merges the files of the first day.
    fn merge_all(&mut self) {
        self.merge(0, &mut |_| true);
    }

    fn merge(&mut self, day: i32, is_meant: &mut dyn FnMut(&DataFile) -> bool) {
        let mut inputs = Vec::new();
        self.files.retain(|file| {
            let is_mergeable = file.info().day == day && !file.info().path.contains(FOREIGN);
            let stays = !is_mergeable || !is_meant(file);
            if !stays {
                inputs.push(file.clone());
            }
            stays
        });
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let root = self.folder.path();
        let first = self.written;
        let create = |number: usize| {
            EventFileWriter::create(Arc::new(RealFs), root, day, &format!("{}-merged.parquet", first + number), 1)
        };
        let mut files = Vec::new();
        merge_files(&inputs, &create, &mut files, &|| false).unwrap();
        self.written += files.len();
        self.files.extend(files.into_iter().map(|info| Arc::new(DataFile::new(fs.clone(), root, info))));
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot::of_events(EventsView { memtables: self.memtables.clone(), files: Arc::new(self.files.clone()) })
    }

    fn find(&self, query: &EventQuery) -> Found {
        find(&self.snapshot(), query, &Stop::never()).unwrap()
    }

    /// The answer by a plain look at all rows.
    fn plain(&self, query: &EventQuery) -> Vec<ServiceEvent<'static>> {
        let rows = self.rows.iter().filter(|(project, _)| *project == query.project);
        let mut events: Vec<ServiceEvent<'static>> = rows.map(|(_, event)| event.clone()).collect();
        settle(&mut events);
        let is =
            |wanted: &Option<String>, given: Option<&str>| wanted.as_deref().is_none_or(|wanted| given == Some(wanted));
        events.retain(|ServiceEvent { service, event }| {
            let in_window = match query.window {
                Window::LastSeen { from, to } => (from..=to).contains(&event.last_seen),
                Window::Overlapping { from, to } => event.first_seen <= to && event.last_seen >= from,
            };
            in_window
                && is(&query.cluster, Some(&event.cluster))
                && is(&query.namespace, Some(&event.namespace))
                && is(&query.service, service.as_deref())
        });
        // What is left keeps the order of cluster and uid.
        events.sort_by_key(|event| std::cmp::Reverse(event.event.last_seen));
        events
    }
}

fn by_project(rows: &[Row]) -> BTreeMap<&'static str, Vec<ServiceEvent<'static>>> {
    let mut projects: BTreeMap<&'static str, Vec<ServiceEvent<'static>>> = BTreeMap::new();
    for (project, event) in rows {
        projects.entry(project).or_default().push(event.clone());
    }
    projects
}

/// In the order of the table.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    fn key<'e>(row: &'e ServiceEvent<'_>) -> impl Ord + use<'e> {
        let event = &row.event;
        (&event.cluster, &event.namespace, &row.service, event.last_seen, &event.uid)
    }
    rows.sort_unstable_by(|(project, a), (other, b)| project.cmp(other).then_with(|| key(a).cmp(&key(b))));
    rows
}

/// How a file is made.
#[derive(Clone, Copy, Debug)]
struct Make {
    directory: bool,
    group_rows: usize,
}

/// A file as [`crate::lake::events::writer`] makes it, but of row groups as small as wanted.
fn write(root: &Path, day: i32, name: &str, rows: Vec<Row>, make: Make) -> Arc<DataFile> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let mut writer = FileWriter::create(fs.clone(), root, &TABLE, day, name, 1).unwrap();
    let mut directory = DirectoryBuilder::default();
    for rows in rows.chunks(make.group_rows) {
        let mut builder = RowBuilder::default();
        rows.iter().for_each(|(project, event)| builder.push(project, event));
        let batch = builder.finish().unwrap();
        directory.push_rows(&batch).unwrap();
        writer.push(&batch).unwrap();
        writer.end_group().unwrap();
    }
    if make.directory {
        let (bytes, raw) = directory.finish().unwrap();
        let offset = writer.append(&bytes).unwrap();
        writer.put_value(directory::KEY, format!("{offset} {} {raw}", bytes.len()));
    }
    Arc::new(DataFile::new(fs, root, writer.finish().unwrap()))
}

/// A row of the project `p`, the cluster `a` and the namespace `n`.
fn row(
    uid: &'static str,
    service: Option<&'static str>,
    (first_seen, last_seen): (i64, i64),
    count: i64,
    message: &'static str,
) -> Row {
    let event = Event {
        cluster: "a".into(),
        namespace: "n".into(),
        uid: uid.into(),
        object: Object { kind: "Pod".into(), name: "web-0".into(), ..Object::default() },
        level: "Warning".into(),
        reason: "BackOff".into(),
        message: message.into(),
        first_seen,
        last_seen,
        count,
        ..Event::default()
    };
    ("p", ServiceEvent { service: service.map(Into::into), event })
}

fn ask(service: &str, window: Window) -> EventQuery {
    EventQuery {
        project: "p".to_owned(),
        cluster: Some("a".to_owned()),
        namespace: Some("n".to_owned()),
        service: Some(service.to_owned()),
        window,
    }
}

fn of(rows: &[Row]) -> Vec<ServiceEvent<'static>> {
    rows.iter().map(|(_, event)| event.clone()).collect()
}

#[test]
fn resends_are_one_event_wherever_they_lie() {
    let mut world = World::new();
    world.flush(&[row("u", Some("web"), (5, 10), 9, "first"), row("v", Some("web"), (1, 2), 1, "old")]);
    world.flush(&[row("u", Some("web"), (8, DAY + 10), 2, "second")]);
    world.remember(&[&[row("u", Some("web"), (9, 2 * DAY + 10), 3, "third")]]);
    let found = world.find(&ask("web", Window::LastSeen { from: DAY, to: 3 * DAY }));
    assert_eq!(found.events, of(&[row("u", Some("web"), (5, 2 * DAY + 10), 9, "third")]));
    assert_eq!(found.damaged, [""; 0]);
}

#[test]
fn an_event_that_moved_is_told_of_its_newest_service_alone() {
    let mut world = World::new();
    world.flush(&[row("u", Some("web"), (5, 100), 9, "x"), row("w", Some("web"), (5, 101), 1, "x")]);
    world.flush(&[row("u", Some("shop"), (8, DAY), 2, "x")]);
    let all = Window::LastSeen { from: 0, to: 3 * DAY };
    assert_eq!(world.find(&ask("web", all)).events, of(&[row("w", Some("web"), (5, 101), 1, "x")]));
    assert_eq!(world.find(&ask("shop", all)).events, of(&[row("u", Some("shop"), (5, DAY), 9, "x")]));
    // Not even in a window in which it was the other's.
    assert_eq!(world.find(&ask("web", Window::LastSeen { from: 0, to: 100 })).events, []);
}

#[test]
fn an_event_that_was_seen_again_behind_the_window_was_not_last_seen_in_it() {
    let mut world = World::new();
    world.flush(&[row("u", Some("web"), (5, 100), 9, "x")]);
    world.remember(&[&[row("u", Some("web"), (5, 200), 10, "x")]]);
    assert_eq!(world.find(&ask("web", Window::LastSeen { from: 50, to: 150 })).events, []);
    let overlapping = world.find(&ask("web", Window::Overlapping { from: 50, to: 150 }));
    assert_eq!(overlapping.events, of(&[row("u", Some("web"), (5, 200), 10, "x")]));
}

#[test]
fn rows_on_both_sides_of_the_window_overlap_it_together() {
    // A collector that began late does not know the first time; neither row alone is of the window.
    for in_memory in [false, true] {
        let mut world = World::new();
        world.flush(&[row("u", Some("web"), (5, 10), 9, "x"), row("w", Some("web"), (30, 40), 1, "x")]);
        let late = [row("u", Some("web"), (30, 40), 2, "y"), row("o", Some("web"), (30, 40), 2, "y")];
        match in_memory {
            true => world.remember(&[&late]),
            false => world.flush(&late),
        }
        let found = world.find(&ask("web", Window::Overlapping { from: 15, to: 20 }));
        assert_eq!(found.events, of(&[row("u", Some("web"), (5, 40), 9, "y")]));
    }
}

#[test]
fn projects_and_clusters_are_walls() {
    let mut world = World::new();
    let other_project = |(_, event): Row| ("q", event);
    let other_cluster = |(project, mut row): Row| {
        row.event.cluster = "b".into();
        (project, row)
    };
    let mine = row("u", Some("web"), (10, 20), 1, "mine");
    let theirs = row("u", Some("web"), (1, 30), 7, "theirs");
    world.flush(&[mine.clone(), other_project(theirs.clone()), other_cluster(theirs.clone())]);
    world.remember(&[&[other_project(theirs.clone())], &[other_cluster(theirs.clone())]]);
    let all = Window::LastSeen { from: 0, to: 100 };
    assert_eq!(world.find(&ask("web", all)).events, of(&[mine]));
    let of_other = EventQuery { project: "q".to_owned(), ..ask("web", all) };
    assert_eq!(world.find(&of_other).events, of(std::slice::from_ref(&theirs)));
    let both = EventQuery { cluster: None, ..ask("web", all) };
    let found = world.find(&both).events;
    assert_eq!(found, of(&[other_cluster(theirs), row("u", Some("web"), (10, 20), 1, "mine")]));
}

#[test]
fn a_damaged_file_is_named_and_the_others_answer() {
    let mut world = World::new();
    world.flush(&[row("u", Some("web"), (5, 10), 9, "x")]);
    world.flush(&[row("w", Some("web"), (5, 10), 1, "x")]);
    let path = world.files[0].path().to_owned();
    let mut bytes = std::fs::read(&path).unwrap();
    // The first page.
    bytes[6] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let found = world.find(&ask("web", Window::LastSeen { from: 0, to: 100 }));
    assert_eq!(found.events, of(&[row("w", Some("web"), (5, 10), 1, "x")]));
    assert_eq!(found.damaged, [world.files[0].info().path.clone()]);
    std::fs::remove_file(&path).unwrap();
    let mut again = World::new();
    again.flush(&[row("u", Some("web"), (5, 10), 9, "x")]);
    std::fs::remove_file(again.files[0].path()).unwrap();
    let found = again.find(&ask("web", Window::LastSeen { from: 0, to: 100 }));
    assert_eq!((found.events, found.damaged), (vec![], vec![again.files[0].info().path.clone()]));
}

#[test]
fn of_rows_of_one_file_that_tie_under_two_services_the_newer_is_told() {
    // Only labels make one of them the newer: after a merge both lie in one file, each among its service's.
    let mut labelled = row("u", Some("web"), (5, 10), 1, "labelled");
    labelled.1.event.labels.push(("app", "web".into()));
    let plain = row("u", Some("shop"), (3, 10), 2, "plain");
    let mut world = World::new();
    world.flush(&[labelled.clone(), row("v", Some("web"), (5, 10), 1, "x")]);
    world.flush(&[plain, row("w", Some("shop"), (5, 10), 1, "x")]);
    world.merge_all();
    assert_eq!(world.files.len(), 1);
    let all = Window::LastSeen { from: 0, to: 100 };
    labelled.1.event.first_seen = 3;
    labelled.1.event.count = 2;
    let of_web = of(&[labelled, row("v", Some("web"), (5, 10), 1, "x")]);
    assert_eq!(world.find(&ask("web", all)).events, of_web);
    assert_eq!(world.find(&ask("shop", all)).events, of(&[row("w", Some("shop"), (5, 10), 1, "x")]));
}

#[test]
fn more_than_an_answer_holds_is_refused() {
    let mut world = World::new();
    world.flush(&[row("u", Some("web"), (5, 10), 9, "x"), row("v", Some("web"), (5, 10), 9, "x")]);
    world.remember(&[&[row("w", Some("web"), (5, 10), 1, "x")]]);
    let query = ask("web", Window::LastSeen { from: 0, to: 100 });
    let within = |events: usize, bytes: usize| {
        find_within(&world.snapshot(), &query, &Stop::never(), Limits { events, bytes, late: 10 })
            .map(|(found, _)| found)
    };
    assert_eq!(within(3, 1 << 20).unwrap().events.len(), 3);
    let error = within(2, 1 << 20).unwrap_err();
    let told = "more than 2 events may be meant; ask for a shorter window, or for the events of one service";
    assert_eq!((error.kind(), error.message()), (ErrorKind::TooLarge, told));
    let error = within(3, 600).unwrap_err();
    let told =
        "the events of the answer take more than 600 bytes; ask for a shorter window, or for the events of one service";
    assert_eq!((error.kind(), error.message()), (ErrorKind::TooLarge, told));
}

#[test]
fn a_question_that_nobody_waits_for_is_given_up() {
    let mut world = World::new();
    world.flush(&[row("u", Some("web"), (5, 10), 9, "x")]);
    let stop = Stop::never();
    stop.give_up();
    let query = ask("web", Window::LastSeen { from: 0, to: 100 });
    assert_eq!(find(&world.snapshot(), &query, &stop).unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(services(&world.snapshot(), "p", None, &stop).unwrap_err().kind(), ErrorKind::Busy);
}

#[test]
fn work_that_is_to_stop_ends_within_a_bounded_number_of_steps() {
    let stop = Stop::never();
    let mut pace = Pace::new(&stop);
    for _ in 0..STOP_STEPS + 1 {
        pace.step().unwrap();
    }
    stop.give_up();
    let more = (1..).find(|_| pace.step().is_err()).unwrap();
    assert_eq!((more, pace.steps), (STOP_STEPS - 1, 2 * STOP_STEPS));
}

#[test]
fn resends_behind_a_window_of_the_past_cost_a_step_each_and_not_one_for_each_other() {
    const RESENDS: usize = 4_000;
    // A collector that began late sends the same event over and over, each time with a first-seen of its own.
    let again = |uid| (0..RESENDS as i64).map(move |n| row(uid, Some("web"), (1_000 + n, 1_000 + n), 1, "x"));
    let resends: Vec<Row> = again("u").chain(again("v")).collect();
    let query = ask("web", Window::Overlapping { from: 0, to: 500 });
    let limits = Limits { events: 10, bytes: 1 << 20, late: 10 };
    let mut world = World::new();
    world.flush(&[row("other", Some("web"), (600, 700), 1, "x")]);
    world.remember(&resends.chunks(100).collect::<Vec<_>>());
    let asked = |world: &World| {
        let (found, steps) = find_within(&world.snapshot(), &query, &Stop::never(), limits).unwrap();
        assert_eq!(found.events, world.plain(&query));
        (found.events.len(), steps)
    };
    // Each row in memory and in the file, and for each of three events the table in memory. No file is as early.
    assert_eq!(asked(&world), (0, 2 * RESENDS + 1 + 3));
    // An early row, under another service, makes one of them an event that is meant: its rows are looked at once more.
    world.flush(&[row("u", Some("shop"), (5, 10), 9, "x")]);
    let (events, steps) = asked(&world);
    assert_eq!(events, 1);
    assert!(steps <= 3 * RESENDS + 20, "{steps}");
}

#[test]
fn resends_that_were_last_seen_at_the_same_time_take_the_room_of_one() {
    const EVENTS: usize = 20;
    const RESENDS: usize = 300;
    let long = |uid: usize, is_labelled: bool, letter: &str| {
        let (project, mut row) = row("", Some("web"), (5, 10), 1, "");
        row.event.uid = format!("u{uid:02}").into();
        row.event.message = letter.repeat(700).into();
        if is_labelled {
            row.event.labels.push(("app", "web".into()));
        }
        (project, row)
    };
    // Two collectors take turns, one of which knows the labels, and once in a while a third tells something older.
    let request = |number: usize| -> Vec<Row> {
        let letter = if number % 7 == 3 { "a" } else { "b" };
        (0..EVENTS).map(|uid| long(uid, number % 2 == 1, letter)).collect()
    };
    let requests: Vec<Vec<Row>> = (0..RESENDS).map(request).collect();
    let query = ask("web", Window::LastSeen { from: 0, to: 100 });
    let wanted: Vec<Row> = (0..EVENTS).map(|uid| long(uid, true, "b")).collect();
    let limits = Limits { events: EVENTS, bytes: EVENTS * 2_048, late: 10 };
    let check = |world: &World| {
        let (found, _) = find_within(&world.snapshot(), &query, &Stop::never(), limits).unwrap();
        assert_eq!(found.events, of(&wanted));
    };
    let mut world = World::new();
    world.remember(&requests.iter().map(Vec::as_slice).collect::<Vec<_>>());
    check(&world);
    for rows in &requests[..20] {
        world.flush(rows);
    }
    check(&world);
    world.memtables.clear();
    check(&world);
}

#[test]
fn services_are_told_once_with_all_their_times() {
    let mut world = World::new();
    world.flush(&[row("u", Some("web"), (5, 10), 9, "x"), row("v", None, (5, 12), 9, "x")]);
    world.flush(&[row("u", Some("web"), (5, DAY), 9, "x")]);
    let mut elsewhere = row("u", Some("web"), (1, 2), 1, "x");
    elsewhere.1.event.cluster = "b".into();
    let foreign = ("q", row("u", Some("foreign"), (1, 2), 1, "x").1);
    world.remember(&[&[row("w", Some("web"), (3, 5), 1, "x"), elsewhere], &[foreign]]);
    let known = |cluster: &str, service: Option<&str>, seen| KnownService {
        cluster: cluster.to_owned(),
        namespace: "n".to_owned(),
        service: service.map(str::to_owned),
        seen,
    };
    let all = [known("a", None, (12, 12)), known("a", Some("web"), (5, DAY)), known("b", Some("web"), (2, 2))];
    let known = |services: &[KnownService], damaged: &[String]| Known {
        services: services.to_vec(),
        damaged: damaged.to_vec(),
    };
    let asked = |world: &World, project: &str, cluster: Option<&str>| {
        services(&world.snapshot(), project, cluster, &Stop::never()).unwrap()
    };
    assert_eq!(asked(&world, "p", None), known(&all, &[]));
    assert_eq!(asked(&world, "p", Some("a")), known(&all[..2], &[]));
    assert_eq!(asked(&world, "other", None), known(&[], &[]));
    // Whoever asks is told that there may be more, also where the file would have told nothing of it.
    world.flush(&[row("x", Some("lost"), (5, 10), 9, "x")]);
    let lost = world.files.last().unwrap();
    std::fs::remove_file(lost.path()).unwrap();
    let named = [lost.info().path.clone()];
    assert_eq!(asked(&world, "p", None), known(&all, &named));
    assert_eq!(asked(&world, "other", None), known(&[], &named));
}

/// Few values of everything, so that uids meet, times tie and services change.
fn any_row(random: &mut SmallRng) -> Row {
    const UIDS: [&str; 16] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
    let mut pick = |of: &[&'static str]| of[random.random_range(0..of.len())];
    let (uid, project, cluster, namespace) =
        (pick(&UIDS), pick(&["p", "p", "q"]), pick(&["a", "a", "b"]), pick(&["n", "n", "m"]));
    let (service, message, label) = (pick(&["web", "web", "shop", ""]), pick(&["x", "y"]), pick(&["", "", "web"]));
    let first_seen = any_time(random);
    let last_seen = first_seen.max(any_time(random));
    let service = Some(service).filter(|name| !name.is_empty());
    let (_, mut row) = row(uid, service, (first_seen, last_seen), random.random_range(1..5), message);
    row.event.cluster = cluster.into();
    row.event.namespace = namespace.into();
    if !label.is_empty() {
        row.event.labels.push(("app", label.into()));
    }
    (project, row)
}

/// One of twelve moments of four days.
fn any_time(random: &mut SmallRng) -> i64 {
    random.random_range(0..4) * DAY + random.random_range(0..3) * 1_000
}

fn any_query(random: &mut SmallRng) -> EventQuery {
    let mut pick = |of: &[&'static str]| Some(of[random.random_range(0..of.len())]).filter(|text| !text.is_empty());
    let (project, cluster, namespace, service) =
        (pick(&["p", "p", "q"]), pick(&["a", "a", "b", ""]), pick(&["n", "m", ""]), pick(&["web", "web", "shop", ""]));
    let own = |text: Option<&str>| text.map(str::to_owned);
    let from = any_time(random);
    let to = from.max(any_time(random));
    let window = match random.random_bool(0.5) {
        true => Window::LastSeen { from, to },
        false => Window::Overlapping { from, to },
    };
    EventQuery {
        project: own(project).unwrap_or_default(),
        cluster: own(cluster),
        namespace: own(namespace),
        service: own(service),
        window,
    }
}

/// Some rows of a random length.
fn any_rows(random: &mut SmallRng, most: usize) -> Vec<Row> {
    (0..random.random_range(1..=most)).map(|_| any_row(random)).collect()
}

#[test]
fn every_answer_is_that_of_a_plain_look_at_all_rows() {
    let mut asked = 0;
    let mut told = 0;
    for seed in 0..25 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut world = World::new();
        for _ in 0..random.random_range(0..6) {
            let rows = any_rows(&mut random, 20);
            world.flush(&rows);
        }
        for _ in 0..random.random_range(0..2) {
            let rows = any_rows(&mut random, 10);
            world.rewrite(&rows, 4);
        }
        for _ in 0..random.random_range(0..3) {
            let requests: Vec<Vec<Row>> = (0..3).map(|_| any_rows(&mut random, 6)).collect();
            world.remember(&requests.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        for round in 0..3 {
            for _ in 0..20 {
                let query = any_query(&mut random);
                let limits = Limits { events: 1_000, bytes: 1 << 20, late: [1, 3, 100][asked % 3] };
                let found = find_within(&world.snapshot(), &query, &Stop::never(), limits).unwrap().0;
                assert_eq!(found.events, world.plain(&query), "seed {seed} round {round} {query:?}");
                assert_eq!(found.damaged, [""; 0]);
                asked += 1;
                told += found.events.len();
            }
            world.merge_some(&mut random);
        }
    }
    assert_eq!(asked, 1_500);
    assert!(told > 1_500, "{told}");
}
