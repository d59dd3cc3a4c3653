//! Lays the service events of a memory table out as sorted data files, one a day.
//!
//! Of the resends of an event that lie in one day only what they settle to is written: what a collector sends again each
//! time that a container fails to start becomes one row a flush.

use crate::codec::stored::StoredError;
use crate::codec::stored::events::{Batch, SortKey, decode_event, sort_key};
use crate::lake::FileInfo;
use crate::lake::events::writer::EventFileWriter;
use crate::lake::file_writer::WriteError;
use crate::model::ServiceEvent;
use crate::model::event::{Resend, newness};
use crate::store::days::{day_of, limit_days};
use crate::store::kind::FlushError;
use crate::store::target::{Target, Written};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A row to be written: its place in the memory table and what it is sorted by.
#[derive(Debug)]
struct Row<'a> {
    day: i32,
    /// The place of the row's project among the projects in order.
    project: u32,
    batch: u32,
    key: SortKey<'a>,
    body: &'a [u8],
    /// The least first-seen and the greatest count of the resends, where there are any.
    extremes: Option<(i64, i64)>,
}

impl<'a> Row<'a> {
    fn event(&self) -> Result<ServiceEvent<'a>, StoredError> {
        let mut event = decode_event(self.body)?;
        if let Some((first_seen, count)) = self.extremes {
            event.put_extremes(first_seen, count);
        }
        Ok(event)
    }

    /// What resends in one file have in common.
    fn identity(&self) -> (i32, u32, &'a str, &'a str) {
        (self.day, self.project, self.key.cluster, self.key.uid)
    }

    /// Takes in a resend.
    fn settle(&mut self, other: &Row<'a>) -> Result<(), StoredError> {
        let (own, others) = (self.event()?, other.event()?);
        let first_seen = own.event.first_seen.min(others.event.first_seen);
        let count = own.event.count.max(others.event.count);
        if newness(&own, &others).is_lt() {
            (self.batch, self.key, self.body) = (other.batch, other.key, other.body);
        }
        self.extremes = Some((first_seen, count));
        Ok(())
    }
}

/// Writes the events of `batches` as files, one a day. They are durable, and part of the table only once they are
/// committed; where one cannot be written, none is left.
pub fn write(target: &Target, batches: &[Bytes]) -> Result<Written, FlushError> {
    let heads: Vec<Batch<'_>> = batches.iter().map(|bytes| Batch::open(bytes)).collect::<Result<_, _>>()?;
    let mut projects: BTreeMap<&str, u32> = heads.iter().map(|head| (head.project, 0)).collect();
    for (place, number) in projects.values_mut().enumerate() {
        *number = place as u32;
    }
    let names: Vec<&str> = projects.keys().copied().collect();
    let mut rows = rows(batches, &projects)?;
    let all = rows.len();
    settle(&mut rows)?;
    rows.sort_unstable_by(|a, b| (a.day, a.project, a.key).cmp(&(b.day, b.project, b.key)));

    let mut written = Written { files: Vec::new(), duplicates: (all - rows.len()) as u64 };
    for rows in rows.chunk_by(|a, b| a.day == b.day) {
        match write_day(target, written.files.len(), rows, &names) {
            Ok(file) => written.files.push(file),
            Err(error) => {
                target.discard(&written.files);
                return Err(error);
            }
        }
    }
    Ok(written)
}

fn rows<'a>(batches: &'a [Bytes], projects: &BTreeMap<&str, u32>) -> Result<Vec<Row<'a>>, StoredError> {
    let mut rows = Vec::new();
    let mut arrivals = Vec::with_capacity(batches.len());
    for (number, bytes) in batches.iter().enumerate() {
        let mut batch = Batch::open(bytes)?;
        arrivals.push(batch.arrival);
        rows.reserve(batch.count);
        let project = projects.get(batch.project).copied().unwrap_or_default();
        while let Some(place) = batch.next_event()? {
            let body = &bytes[place.offset..place.offset + place.len];
            let key = sort_key(body)?;
            let day = day_of(Some(key.last_seen), batch.arrival);
            rows.push(Row { day, project, batch: number as u32, key, body, extremes: None });
        }
    }
    limit_days(&mut rows, &arrivals, |row| &mut row.day, |row| arrivals[row.batch as usize]);
    Ok(rows)
}

/// Makes one row of the resends of each event that lie in one day.
fn settle(rows: &mut Vec<Row<'_>>) -> Result<(), StoredError> {
    rows.sort_unstable_by_key(Row::identity);
    let mut settled = Ok(());
    rows.dedup_by(|next, kept| {
        let same = kept.identity() == next.identity();
        if same && settled.is_ok() {
            settled = kept.settle(next);
        }
        same
    });
    settled
}

/// Begins the file of that number.
pub fn create(target: &Target, day: i32, number: usize) -> Result<EventFileWriter, WriteError> {
    let name = target.free_name(day, number);
    EventFileWriter::create(target.fs.clone(), &target.root, day, &name, target.compression)
}

/// Writes the file of one day.
fn write_day(target: &Target, number: usize, rows: &[Row<'_>], projects: &[&str]) -> Result<FileInfo, FlushError> {
    let mut writer = create(target, rows.first().map_or(0, |row| row.day), number)?;
    for row in rows {
        writer.push(projects[row.project as usize], &row.event()?)?;
    }
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::stored::events::encode;
    use crate::fs::{Fs, RealFs};
    use crate::lake::DataFile;
    use crate::lake::events::rows::Rows;
    use crate::model::event;
    use crate::model::event::arbitrary::resend;
    use proptest::prelude::*;
    use std::path::Path;
    use std::sync::Arc;

    const DAY: i64 = 86_400_000_000;
    const ARRIVAL: i64 = 20_010 * DAY;

    fn target(root: &Path) -> Target {
        Target { fs: Arc::new(RealFs), root: root.to_owned(), name: "1".to_owned(), compression: 1 }
    }

    /// The rows of a file with their projects, in order.
    fn read(root: &Path, info: &FileInfo) -> Vec<(String, ServiceEvent<'static>)> {
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let file = DataFile::new(fs, root, info.clone());
        let mut scan = file.scan(None, 100).unwrap();
        let mut found = Vec::new();
        while let Some(batch) = scan.next_batch().unwrap() {
            let rows = Rows::of(&batch).unwrap();
            let told = |row| (rows.project(row).to_owned(), rows.event(row).unwrap().into_owned());
            found.extend((0..rows.len()).map(told));
        }
        found
    }

    /// Resends of four half days.
    fn resends() -> impl Strategy<Value = ServiceEvent<'static>> {
        (resend(4), 0i64..2).prop_map(|(mut row, late)| {
            let lasted = row.event.last_seen - row.event.first_seen;
            row.event.last_seen = 20_000 * DAY + row.event.last_seen * DAY / 2 + late;
            row.event.first_seen = row.event.last_seen - lasted;
            row
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_file_has_of_each_event_what_its_rows_of_the_day_settle_to(
            requests in proptest::collection::vec(
                (proptest::sample::select(&["q", "p"][..]), proptest::collection::vec(resends(), 0..8)),
                0..5,
            )
        ) {
            let folder = tempfile::tempdir().unwrap();
            let batches: Vec<Bytes> =
                requests.iter().map(|(project, events)| encode(project, ARRIVAL, events).into()).collect();
            let written = write(&target(folder.path()), &batches).unwrap();

            let mut wanted: BTreeMap<i32, BTreeMap<&str, Vec<ServiceEvent<'static>>>> = BTreeMap::new();
            for (project, events) in &requests {
                for row in events {
                    let day = (row.event.last_seen / DAY) as i32;
                    wanted.entry(day).or_default().entry(*project).or_default().push(row.clone());
                }
            }
            let days: Vec<i32> = wanted.keys().copied().collect();
            prop_assert_eq!(written.files.iter().map(|file| file.day).collect::<Vec<_>>(), days);
            let all: usize = requests.iter().map(|(_, events)| events.len()).sum();
            prop_assert_eq!(written.rows() + written.duplicates, all as u64);
            for (file, (_, projects)) in written.files.iter().zip(wanted) {
                let mut settled = Vec::new();
                for (project, mut rows) in projects {
                    event::settle(&mut rows);
                    rows.sort_by_key(|row| {
                        let event = row.event.clone();
                        (event.cluster, event.namespace, row.service.clone(), event.last_seen, event.uid)
                    });
                    settled.extend(rows.into_iter().map(|row| (project.to_owned(), row)));
                }
                prop_assert_eq!(file.rows, settled.len() as u64);
                prop_assert_eq!(read(folder.path(), file), settled);
            }
        }
    }

    #[test]
    fn an_event_of_a_broken_clock_lies_in_the_day_of_its_arrival() {
        let folder = tempfile::tempdir().unwrap();
        let row = |uid: &'static str, last_seen| {
            let event = crate::model::Event { uid: uid.into(), last_seen, ..Default::default() };
            ServiceEvent { service: None, event }
        };
        let events = [row("u", 0), row("v", ARRIVAL + 5 * DAY), row("w", 20_001 * DAY)];
        let written = write(&target(folder.path()), &[encode("p", ARRIVAL, &events).into()]).unwrap();
        let days: Vec<(i32, u64)> = written.files.iter().map(|file| (file.day, file.rows)).collect();
        assert_eq!(days, [(20_001, 1), (20_010, 2)]);
    }

    #[test]
    fn where_a_file_cannot_be_written_none_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let row = |day: i64| {
            let event = crate::model::Event { last_seen: day * DAY, ..Default::default() };
            ServiceEvent { service: None, event }
        };
        let bytes: Bytes = encode("p", ARRIVAL, &[row(20_001), row(20_002)]).into();
        // What is no folder stands where the second day's is to be.
        std::fs::write(folder.path().join("day=2024-10-06"), "").unwrap();
        assert!(write(&target(folder.path()), &[bytes]).is_err());
        let left: Vec<_> = std::fs::read_dir(folder.path().join("day=2024-10-05")).unwrap().collect();
        assert_eq!(left.len(), 0, "{left:?}");
    }
}
