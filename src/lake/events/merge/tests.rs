use super::*;
use crate::fs::{Fs, RealFs};
use crate::lake::events::directory::{Directory, REPEATS};
use crate::model::event::arbitrary::resend;
use crate::model::event::settle;
use crate::model::{Event, ServiceEvent};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

type Row = (String, ServiceEvent<'static>);

fn order(row: &Row) -> impl Ord + use<> {
    let (project, ServiceEvent { service, event }) = row.clone();
    (project, event.cluster, event.namespace, service, event.last_seen, event.uid)
}

/// A file of these rows, sorted.
fn file(root: &Path, name: &str, rows: &[Row]) -> Arc<DataFile> {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let mut sorted = rows.to_vec();
    sorted.sort_by_key(order);
    let mut writer = EventFileWriter::create(fs.clone(), root, 20_000, name, 1).unwrap();
    for (project, row) in &sorted {
        writer.push(project, row).unwrap();
    }
    Arc::new(DataFile::new(fs, root, writer.finish().unwrap()))
}

fn read(file: &DataFile) -> Vec<Row> {
    let mut scan = file.scan(None, 100).unwrap();
    let mut found = Vec::new();
    while let Some(batch) = scan.next_batch().unwrap() {
        let rows = Rows::of(&batch).unwrap();
        let told = |row| (rows.project(row).to_owned(), rows.event(row).unwrap().into_owned());
        found.extend((0..rows.len()).map(told));
    }
    found
}

/// Merges files; gives out the new ones, and how many rows were dropped.
fn merged(root: &Path, inputs: &[Arc<DataFile>]) -> (Vec<Arc<DataFile>>, u64) {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let create =
        |number: usize| EventFileWriter::create(Arc::new(RealFs), root, 20_000, &format!("merged-{number}.parquet"), 1);
    let mut files = Vec::new();
    let dropped = merge_files(inputs, &create, &mut files, &|| false).unwrap();
    (files.into_iter().map(|info| Arc::new(DataFile::new(fs.clone(), root, info))).collect(), dropped)
}

/// What a reader makes of rows.
fn answer(rows: &[Row]) -> BTreeMap<String, Vec<ServiceEvent<'static>>> {
    let mut answer: BTreeMap<String, Vec<ServiceEvent<'static>>> = BTreeMap::new();
    for (project, row) in rows {
        answer.entry(project.clone()).or_default().push(row.clone());
    }
    answer.values_mut().for_each(settle);
    answer
}

fn identity((project, row): &Row) -> (String, String, String) {
    (project.clone(), row.event.cluster.to_string(), row.event.uid.to_string())
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let project = proptest::sample::select(&["p", "q"][..]).prop_map(str::to_owned);
    proptest::collection::vec((project, resend(4)), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Nobody may see from an answer whether files were merged, or which.
    #[test]
    fn readers_answer_the_same_before_and_after_a_merge(
        files in proptest::collection::vec(rows(), 1..5),
        elsewhere in rows(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let inputs: Vec<_> = files
            .iter()
            .enumerate()
            .map(|(number, rows)| file(folder.path(), &format!("{number}.parquet"), rows))
            .collect();
        let (outputs, dropped) = merged(folder.path(), &inputs);

        let before: Vec<Row> = files.concat();
        let found: Vec<Vec<Row>> = outputs.iter().map(|file| read(file)).collect();
        let after = found.concat();
        prop_assert_eq!(answer(&after), answer(&before));
        // Also with rows of the same events that lie in files of other days, or in memory.
        let with_others = |rows: &[Row]| answer(&[rows, &elsewhere].concat());
        prop_assert_eq!(with_others(&after), with_others(&before));

        prop_assert_eq!(after.len() as u64 + dropped, before.len() as u64);
        // A file is of one project, sorted, and its directory is of all its rows.
        let projects: Vec<HashSet<&str>> =
            found.iter().map(|rows| rows.iter().map(|(project, _)| project.as_str()).collect()).collect();
        prop_assert!(projects.iter().all(|projects| projects.len() == 1), "{projects:?}");
        prop_assert!(after.windows(2).all(|pair| order(&pair[0]) < order(&pair[1])));
        for (file, rows) in outputs.iter().zip(&found) {
            let directory = Directory::of_file(file).unwrap();
            prop_assert_eq!(directory.entries().iter().map(|entry| entry.rows).sum::<u64>(), rows.len() as u64);
        }
        let told: HashSet<_> = after.iter().map(identity).collect();
        for (file, rows) in outputs.iter().zip(&found) {
            let own: HashSet<_> = rows.iter().map(identity).collect();
            let is_noted = file.load().unwrap().value(REPEATS).is_some();
            // A batch may be of two files: then both are noted.
            prop_assert!(is_noted || own.len() == rows.len());
            prop_assert!(!is_noted || told.len() < after.len());
        }
        // Only rows that disagree on where they belong are left beside one another, all of them as new.
        for (number, row) in after.iter().enumerate() {
            for other in after[..number].iter().filter(|other| identity(other) == identity(row)) {
                let (one, two) = (&row.1, &other.1);
                prop_assert_eq!(one.event.last_seen, two.event.last_seen);
                prop_assert_ne!((&one.event.namespace, &one.service), (&two.event.namespace, &two.service));
                prop_assert_eq!((one.event.first_seen, one.event.count), (two.event.first_seen, two.event.count));
            }
        }
    }
}

fn row(uid: String, service: &'static str, last_seen: i64, count: i64) -> Row {
    let event = Event {
        cluster: "c".into(),
        namespace: "n".into(),
        uid: uid.into(),
        level: "Normal".into(),
        first_seen: last_seen - 1,
        last_seen,
        count,
        ..Event::default()
    };
    ("p".to_owned(), ServiceEvent { service: Some(service.into()), event })
}

#[test]
fn resends_are_found_across_the_batches_of_large_files() {
    let folder = tempfile::tempdir().unwrap();
    // Each event in both files, in the second with greater times, so that its rows lie at other places.
    let events = 2 * BATCH_ROWS as i64 + 5;
    let uid = |number: i64| format!("u-{number}");
    let first: Vec<Row> = (0..events).map(|number| row(uid(number), "web", 10 + number, 7)).collect();
    let second: Vec<Row> = (0..events).map(|number| row(uid(number), "web", 1_000_000 - number, 1)).collect();
    let inputs = [file(folder.path(), "1.parquet", &first), file(folder.path(), "2.parquet", &second)];
    let (outputs, dropped) = merged(folder.path(), &inputs);
    assert_eq!((outputs.len(), dropped), (1, events as u64));
    let wanted: Vec<Row> = (0..events)
        .rev()
        .map(|number| {
            let mut row = row(uid(number), "web", 1_000_000 - number, 7);
            row.1.event.first_seen = 9 + number;
            row
        })
        .collect();
    assert_eq!(read(&outputs[0]), wanted);
}

#[test]
fn rows_as_large_as_an_output_are_joined_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let large = |number: i64, count| {
        let mut row = row(format!("u-{number}"), "web", number, count);
        row.1.event.message = number.to_string().repeat(OUTPUT_BYTES).into();
        row
    };
    let rows: Vec<Row> = (0..3).map(|number| large(number, 1)).collect();
    let again: Vec<Row> = (0..3).map(|number| large(number, 2)).collect();
    let inputs = [file(folder.path(), "1.parquet", &rows), file(folder.path(), "2.parquet", &again)];
    let (outputs, dropped) = merged(folder.path(), &inputs);
    assert_eq!((outputs.len(), dropped), (1, 3));
    assert!(read(&outputs[0]) == again, "too large to be shown");
}

#[test]
fn a_merge_that_is_told_to_stop_does() {
    let folder = tempfile::tempdir().unwrap();
    let input = file(folder.path(), "1.parquet", &[row("u".to_owned(), "web", 1, 1), row("u".to_owned(), "api", 2, 1)]);
    let create = |_: usize| EventFileWriter::create(Arc::new(RealFs), folder.path(), 20_000, "m.parquet", 1);
    // At each time that it asks, until it asks no more.
    for turn in 0.. {
        let asked = Cell::new(0);
        let stopping = || {
            asked.set(asked.get() + 1);
            asked.get() > turn
        };
        let mut files = Vec::new();
        match merge_files(std::slice::from_ref(&input), &create, &mut files, &stopping) {
            Err(MergeError::Stopped) => assert!(files.is_empty()),
            other => {
                assert_eq!((other.unwrap(), files.len(), turn), (1, 1, 3));
                break;
            }
        }
    }
}

#[test]
fn a_file_whose_rows_are_no_events_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "1.parquet", &[row("u".to_owned(), "web", 1, 1)]);
    // A file of spans that got into the wrong folder.
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let spans = &crate::lake::spans::TABLE;
    let writer = crate::lake::file_writer::FileWriter::create(fs.clone(), folder.path(), spans, 20_000, "2.parquet", 1);
    let mut writer = writer.unwrap();
    let mut builder = crate::lake::spans::rows::RowBuilder::default();
    let scope = crate::model::Scope { project: "p".into(), cluster_id: None, namespace: None };
    builder.push(&scope, &crate::model::Span::new(crate::model::TraceId::narrow(1), 1));
    writer.push(&builder.finish().unwrap()).unwrap();
    let foreign = Arc::new(DataFile::new(fs, folder.path(), writer.finish().unwrap()));
    let create = |_: usize| EventFileWriter::create(Arc::new(RealFs), folder.path(), 20_000, "m.parquet", 1);
    let error = merge_files(&[good, foreign.clone()], &create, &mut Vec::new(), &|| false).unwrap_err();
    let MergeError::Damaged(damaged) = error else { panic!("{error}") };
    assert_eq!((damaged.path.as_path(), damaged.what.as_str()), (foreign.path(), "column cluster: is missing"));
}

#[test]
fn numbers_that_come_once_are_not_kept() {
    for (numbers, wanted) in [
        (vec![], vec![]),
        (vec![1], vec![]),
        (vec![2, 1, 2], vec![2]),
        (vec![3, 3, 3, 1, 2, 2], vec![2, 3]),
        (vec![u64::MAX, 0, u64::MAX, 0], vec![0, u64::MAX]),
    ] {
        let mut kept = numbers.clone();
        keep_repeated(&mut kept);
        assert_eq!(kept, wanted, "{numbers:?}");
    }
}
