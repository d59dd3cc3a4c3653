//! In which files spans come to lie: by day, and once they are compacted by project.

use super::*;
use spanlake::lake::FileInfo;

fn at(number: u64, timestamp: Option<i64>) -> Span<'static> {
    Span { timestamp, ..span(number) }
}

fn files(store: &Store) -> Vec<FileInfo> {
    store.snapshot().files.iter().map(|file| file.info().clone()).collect()
}

/// An import of old traces must not make hundreds of files a flush.
#[test]
fn a_flush_writes_files_of_64_days_at_most() {
    run(async {
        let store = open(SimFs::new()).await.unwrap();
        let mut number = 0;
        for day in 0..70 {
            // The later days of the list have more spans.
            for _ in 0..=day / 10 {
                let span = at(number, Some((i64::from(DAY) - day) * MICROS_A_DAY));
                store.append(batch(project(number), &[span])).await.unwrap();
                number += 1;
            }
        }
        let report = store.flush().await.unwrap();
        assert_eq!((report.files, report.spans), (64, number));
        let files = files(&store);
        let of = |day: i32| files.iter().find(|file| file.day == day).map(|file| file.rows);
        // The ten days with one span and the first of those with two lie together with the arrival's.
        assert_eq!(of(DAY - 69), Some(7));
        assert_eq!(of(DAY), Some(1 + 6), "and what of the days with least there was no room for");
        assert_eq!(rows(&store.snapshot()).unwrap().values().sum::<usize>() as u64, number);
    });
}

/// A sender's clock may be anything; the day is then that of the server.
#[test]
fn a_span_of_an_impossible_time_lies_in_the_day_of_its_arrival() {
    run(async {
        let store = open(SimFs::new()).await.unwrap();
        let noon = |day: i32| Some(i64::from(day) * MICROS_A_DAY + MICROS_A_DAY / 2);
        let times = [None, Some(0), Some(-1), Some(i64::MIN), Some(i64::MAX), noon(10_956), noon(DAY + 2), noon(DAY)];
        for (number, time) in times.iter().enumerate() {
            store.append(batch("default", &[at(number as u64, *time)])).await.unwrap();
        }
        for (number, day) in [(20, 10_957), (21, DAY + 1)] {
            // Of traces of their own: a span without a time lies with the others of its trace.
            let other = Span { trace_id: TraceId::narrow(number), ..at(number, noon(day)) };
            store.append(batch("default", &[other])).await.unwrap();
        }
        store.flush().await.unwrap();
        let mut days: Vec<(i32, u64)> = files(&store).iter().map(|file| (file.day, file.rows)).collect();
        days.sort_unstable();
        assert_eq!(days, [(10_957, 1), (DAY, times.len() as u64), (DAY + 1, 1)]);
        for (number, time) in times.iter().enumerate() {
            let expected = at(number as u64, *time);
            let (spans, _) = lookup(&store.snapshot(), "default", expected.trace_id.low).unwrap();
            assert!(spans.contains(&expected), "the time comes back as it was sent");
        }
    });
}

/// So many projects that each flush mixes them.
#[test]
fn a_compaction_writes_files_of_one_project_each_and_comes_to_an_end() {
    const PROJECTS: usize = 12;
    run(async {
        let store = open(SimFs::new()).await.unwrap();
        for round in 0..2 {
            for project in 0..PROJECTS as u64 {
                let spans: Vec<Span<'_>> = (0..5).map(|n| span(100 * project + 10 * round + n)).collect();
                store.append(batch(&format!("p{project}"), &spans)).await.unwrap();
            }
            store.flush().await.unwrap();
        }
        // Two that mix projects become one of each project; those are as large as one another, and are let be.
        let report = store.compact().await.unwrap();
        assert_eq!((report.merged, report.written), (2, PROJECTS));
        let after = files(&store);
        for file in &after {
            let Some((least, greatest)) = &file.stats.project else { panic!("{file:?}") };
            assert_eq!((least, file.rows), (greatest, 10));
        }
        assert_eq!(store.compact().await.unwrap().merged, 0);
        assert_eq!(rows(&store.snapshot()).unwrap().len(), PROJECTS * 10);
    });
}
