use super::*;
use crate::fs::{Fs, RealFs};
use crate::lake::events::writer::EventFileWriter;
use crate::lake::spec::PAGE_ROWS;
use crate::model::Event;

const ROWS: i64 = 4 * PAGE_ROWS as i64;

/// Of each of two services so many rows: one a microsecond, and so many that a page is of both.
fn file(folder: &tempfile::TempDir) -> DataFile {
    let fs: Arc<dyn Fs> = Arc::new(RealFs);
    let mut writer = EventFileWriter::create(fs.clone(), folder.path(), 20_000, "1.parquet", 1).unwrap();
    for service in ["shop", "web"] {
        for number in 0..ROWS - 100 {
            let event = Event {
                cluster: "c".into(),
                namespace: "n".into(),
                uid: format!("{service}-{number}").into(),
                level: "Normal".into(),
                first_seen: number / 2,
                last_seen: number,
                count: number + 1,
                ..Event::default()
            };
            writer.push("p", &ServiceEvent { service: Some(service.into()), event }).unwrap();
        }
    }
    DataFile::new(fs, folder.path(), writer.finish().unwrap())
}

fn seen(lookup: &Lookup<'_>, service: Option<&str>, from: i64, to: i64) -> Vec<(u64, String)> {
    let entries = lookup.entries_of("p", Some("c"), Some("n"), service);
    let mut found = Vec::new();
    let each = &mut |place: Place, uid: &str| {
        let number = place.told.last_seen;
        assert_eq!(place.told, Told { first_seen: number / 2, last_seen: number, count: number + 1 });
        found.push((place.row, uid.to_owned()));
        ControlFlow::Continue(())
    };
    lookup.seen_between(&entries, (from, to), each).unwrap();
    found
}

#[test]
fn a_window_has_the_rows_of_its_service_that_were_seen_in_it_whatever_pages_they_lie_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    let lookup = Lookup::open(&file).unwrap();
    let page = PAGE_ROWS as i64;
    let windows =
        [(0, 0), (-5, -1), (page - 1, page), (page - 150, page + 150), (0, ROWS), (ROWS - 101, i64::MAX), (ROWS, ROWS)];
    for (from, to) in windows {
        let rows = |service: &'static str, first: i64| {
            let numbers = from.max(0)..=to.min(ROWS - 101);
            numbers.map(move |number| ((first + number) as u64, format!("{service}-{number}"))).collect::<Vec<_>>()
        };
        let (shop, web) = (rows("shop", 0), rows("web", ROWS - 100));
        assert_eq!(seen(&lookup, Some("shop"), from, to), shop, "{from} {to}");
        assert_eq!(seen(&lookup, Some("web"), from, to), web, "{from} {to}");
        assert_eq!(seen(&lookup, None, from, to), [shop, web].concat(), "{from} {to}");
    }
}

#[test]
fn of_a_window_only_the_pages_are_read_that_may_have_rows_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    let lookup = Lookup::open(&file).unwrap();
    let page = PAGE_ROWS as u64;
    // The fourth page has the end of the one service and the beginning of the other.
    assert_eq!(
        lookup.pages_seen_between(0, ROWS - 101, i64::MAX),
        Some(vec![3 * page..4 * page, 7 * page..8 * page - 200])
    );
    let entries = lookup.entries_of("p", None, None, Some("web"));
    let stretches = lookup.within(&lookup.groups[0], entries.into_iter());
    let pages = [3 * page..4 * page, 7 * page..8 * page - 200];
    let rows: Vec<Range<u64>> = cut(&stretches, &pages).into_iter().map(|stretch| stretch.rows).collect();
    assert_eq!(rows, [4 * page - 100..4 * page, 7 * page..8 * page - 200]);
}

#[test]
fn only_bounds_of_times_in_microseconds_are_gone_by() {
    use arrow::datatypes::{Field, Schema, TimeUnit};
    let place = |data_type: DataType| {
        let fields = vec![Field::new("uid", DataType::Utf8, false), Field::new("last_seen", data_type, false)];
        let columns = parquet::arrow::ArrowSchemaConverter::new().convert(&Schema::new(fields)).unwrap();
        time_column(&columns, "last_seen")
    };
    let time = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    assert_eq!(place(timestamp_type()), Some(1));
    for other in [time(TimeUnit::Millisecond), time(TimeUnit::Nanosecond), DataType::Int64, DataType::UInt64] {
        assert_eq!(place(other.clone()), None, "{other}");
    }
}

#[test]
fn an_event_is_found_under_another_service_than_it_was_seen_under() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    let lookup = Lookup::open(&file).unwrap();
    let wanted = |uid, service| Wanted { cluster: "c", uid, namespace: "n", service };
    let events = [
        wanted("web-7", Some("shop")),
        wanted("shop-9", Some("shop")),
        wanted("web-8", None),
        wanted("web--1", Some("web")),
        Wanted { cluster: "d", ..wanted("web-7", Some("web")) },
    ];
    let mut found = Vec::new();
    lookup.rows_of("p", &events, &mut |event, place| found.push((event, place.row))).unwrap();
    found.sort_unstable();
    let first = (ROWS - 100) as u64;
    assert_eq!(found, [(0, first + 7), (1, 9), (2, first + 8)]);
    let mut foreign = 0;
    lookup.rows_of("q", &events, &mut |_, _| foreign += 1).unwrap();
    assert_eq!(foreign, 0);
}

#[test]
fn whole_events_are_read_by_their_rows() {
    let folder = tempfile::tempdir().unwrap();
    let file = file(&folder);
    let lookup = Lookup::open(&file).unwrap();
    let rows = [0, 1, 5_000, 20_000];
    let mut found = Vec::new();
    let each = &mut |row: u64, event: ServiceEvent<'_>| {
        found.push((row, event.event.uid.into_owned()));
        ControlFlow::Continue(())
    };
    lookup.events(&rows, each).unwrap();
    let uid = |row: u64| match row.checked_sub((ROWS - 100) as u64) {
        Some(number) => format!("web-{number}"),
        None => format!("shop-{row}"),
    };
    assert_eq!(found, rows.map(|row| (row, uid(row))));
}
