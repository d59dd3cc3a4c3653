//! Which rows of a data file are of which service.
//!
//! A file is sorted by project, cluster, namespace and service, so the rows of a service lie together. The directory
//! names each of these runs: lookups go straight to the rows of their service, and what services there are is read from
//! it alone. It lies in the data file, behind the last row group, where Parquet readers pass over it; the footer's
//! metadata say where, under [`KEY`].
//!
//! ```text
//! value     = offset, stored length and raw length in decimal, spaces between
//! stored    = raw, compressed (zstd)
//! raw       = version:u8 count:varint entry*
//! entry     = flags:u8 [project:text] [cluster:text] [namespace:text] [service:text]
//!             rows:varint least:zigzag (greatest - least):varint
//! ```
//!
//! A flag says that a text follows; project, cluster and namespace are else those of the entry before.
//!
//! Invariants:
//! * entries follow one another as the rows do, and together are of all of them;
//! * it can be made again from the rows: a file without one (of other making), or with a damaged one, is scanned. Where
//!   such a file is not sorted, a service has several entries.

use super::rows::{RowError, Rows};
use crate::codec::pack::{Fault, Reader, put_text, put_varint, put_zigzag};
use crate::lake::DataFile;
use crate::lake::data_file::Damaged;
use arrow::array::RecordBatch;
use std::sync::Arc;

/// The key among the footer's metadata.
pub const KEY: &str = "spanlake.directory";

/// The key among the footer's metadata of a file that has several rows of some events, which disagree on the service: who
/// looks for an event must not stop at the first. Its value says nothing.
pub const REPEATS: &str = "spanlake.repeats";

const VERSION: u8 = 1;

/// A directory is at most so long before compression: what is longer is damage.
const LONGEST: u64 = 256 << 20;

/// The level of zstd.
const LEVEL: i32 = 3;

/// Rows read at a time for a directory that is missing.
const SCAN_ROWS: usize = 8_192;

/// The columns that a directory is made from, and those that [`Rows`] asks for.
const COLUMNS: [&str; 9] =
    ["project", "cluster", "namespace", "service", "last_seen", "first_seen", "count", "level", "uid"];

mod flag {
    pub const PROJECT: u8 = 1;
    pub const CLUSTER: u8 = 2;
    pub const NAMESPACE: u8 = 4;
    pub const SERVICE: u8 = 8;
}

/// The rows of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub project: Arc<str>,
    pub cluster: Arc<str>,
    pub namespace: Arc<str>,
    /// `None` for events that belong to no service.
    pub service: Option<Arc<str>>,
    /// The place of the first among the rows of the file.
    pub first_row: u64,
    /// How many there are. At least 1.
    pub rows: u64,
    /// The least and the greatest last-seen: microseconds since 1970 UTC.
    pub seen: (i64, i64),
}

/// What rows a file has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directory {
    entries: Vec<Entry>,
}

impl Directory {
    /// The directory of a file; it stays in memory with the file.
    pub fn of_file(file: &DataFile) -> Result<Arc<Directory>, Damaged> {
        if let Some(directory) = file.directory.get() {
            return Ok(directory.clone());
        }
        let directory = match stored(file)? {
            Some(directory) => directory,
            None => scanned(file)?,
        };
        Ok(file.directory.get_or_init(|| Arc::new(directory)).clone())
    }

    /// In the order of the rows.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.entries.len() as u64);
        let mut before: Option<&Entry> = None;
        for entry in &self.entries {
            let places = |entry: &Entry| [entry.project.clone(), entry.cluster.clone(), entry.namespace.clone()];
            let (own, last) = (places(entry), before.map(places));
            let at = out.len();
            out.push(0);
            let mut flags = 0;
            for (number, flag) in [flag::PROJECT, flag::CLUSTER, flag::NAMESPACE].into_iter().enumerate() {
                if last.as_ref().is_none_or(|last| last[number] != own[number]) {
                    flags |= flag;
                    put_text(&mut out, &own[number]);
                }
            }
            if let Some(service) = &entry.service {
                flags |= flag::SERVICE;
                put_text(&mut out, service);
            }
            out[at] = flags;
            put_varint(&mut out, entry.rows);
            put_zigzag(&mut out, entry.seen.0);
            put_varint(&mut out, entry.seen.1.wrapping_sub(entry.seen.0) as u64);
            before = Some(entry);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Directory, Fault> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Fault { what: "a directory of another version", at: 0 });
        }
        let mut entries: Vec<Entry> = Vec::new();
        let mut first_row = 0_u64;
        for _ in 0..reader.length()? {
            let at = reader.position();
            let flags = reader.byte()?;
            let last = entries.last();
            let mut text = |flag: u8, last: Option<&Arc<str>>| match (flags & flag != 0, last) {
                (true, _) => Ok(Arc::from(reader.text()?)),
                (false, Some(last)) => Ok(last.clone()),
                (false, None) => Err(Fault { what: "a first entry without its place", at }),
            };
            let project = text(flag::PROJECT, last.map(|last| &last.project))?;
            let cluster = text(flag::CLUSTER, last.map(|last| &last.cluster))?;
            let namespace = text(flag::NAMESPACE, last.map(|last| &last.namespace))?;
            let service = if flags & flag::SERVICE != 0 { Some(Arc::from(reader.text()?)) } else { None };
            let rows = reader.varint()?;
            let least = reader.zigzag()?;
            let seen = (least, least.wrapping_add(reader.varint()? as i64));
            let next_row = first_row.checked_add(rows).filter(|_| rows > 0 && seen.0 <= seen.1);
            let next_row = next_row.ok_or(Fault { what: "an entry of no rows", at })?;
            entries.push(Entry { project, cluster, namespace, service, first_row, rows, seen });
            first_row = next_row;
        }
        match reader.is_at_end() {
            true => Ok(Directory { entries }),
            false => Err(Fault { what: "bytes after the last entry", at: reader.position() }),
        }
    }

    fn rows(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.first_row + last.rows)
    }
}

/// The directory that lies in the file; `None` where there is none that can be read.
fn stored(file: &DataFile) -> Result<Option<Directory>, Damaged> {
    let loaded = file.load()?;
    let Some(place) = loaded.value(KEY) else { return Ok(None) };
    let opened = (|| {
        let numbers: Option<Vec<u64>> = place.split(' ').map(|number| number.parse().ok()).collect();
        let Some([offset, length, raw]) = numbers.as_deref() else { return Err("its place is no place".to_owned()) };
        if *raw > LONGEST {
            return Err("it is longer than any".to_owned());
        }
        let bytes = loaded.bytes(*offset, *length).map_err(|error| error.to_string())?;
        let bytes = zstd::bulk::decompress(&bytes, *raw as usize).map_err(|error| error.to_string())?;
        let directory = Directory::decode(&bytes).map_err(|fault| fault.to_string())?;
        let rows: u64 = (0..loaded.metadata().num_row_groups()).map(|group| loaded.rows(group) as u64).sum();
        if directory.rows() != rows {
            return Err(format!("it is of {} rows, the file has {rows}", directory.rows()));
        }
        Ok(directory)
    })();
    match opened {
        Ok(directory) => Ok(Some(directory)),
        Err(what) => {
            let path = file.path().display();
            tracing::warn!(%path, what, "a directory cannot be read; it is made again from the rows");
            Ok(None)
        }
    }
}

fn scanned(file: &DataFile) -> Result<Directory, Damaged> {
    let mut builder = DirectoryBuilder::default();
    let mut scan = file.scan(Some(&COLUMNS), SCAN_ROWS)?;
    while let Some(batch) = scan.next_batch()? {
        builder.push_rows(&batch).map_err(|error| Damaged {
            path: file.path().to_owned(),
            offset: 0,
            what: error.to_string(),
        })?;
    }
    Ok(builder.directory)
}

/// Makes a directory of the rows of a file, which are added in order.
#[derive(Debug, Default)]
pub struct DirectoryBuilder {
    directory: Directory,
}

impl DirectoryBuilder {
    /// Adds a row.
    pub fn push(&mut self, project: &str, cluster: &str, namespace: &str, service: Option<&str>, last_seen: i64) {
        let first_row = self.directory.rows();
        let entries = &mut self.directory.entries;
        let last = entries.last_mut();
        if let Some(last) = last
            && *last.project == *project
            && *last.cluster == *cluster
            && *last.namespace == *namespace
            && last.service.as_deref() == service
        {
            last.rows += 1;
            last.seen = (last.seen.0.min(last_seen), last.seen.1.max(last_seen));
            return;
        }
        let last = entries.last();
        let shared = |text: &str, last: Option<&Arc<str>>| match last {
            Some(last) if **last == *text => last.clone(),
            _ => Arc::from(text),
        };
        let entry = Entry {
            project: shared(project, last.map(|last| &last.project)),
            cluster: shared(cluster, last.map(|last| &last.cluster)),
            namespace: shared(namespace, last.map(|last| &last.namespace)),
            service: service.map(Arc::from),
            first_row,
            rows: 1,
            seen: (last_seen, last_seen),
        };
        entries.push(entry);
    }

    /// Adds the rows of a batch.
    pub fn push_rows(&mut self, batch: &RecordBatch) -> Result<(), RowError> {
        let rows = Rows::of(batch)?;
        for row in 0..rows.len() {
            let key = rows.sort_key(row);
            self.push(rows.project(row), key.cluster, key.namespace, key.service, key.last_seen);
        }
        Ok(())
    }

    /// How many rows were added.
    pub fn rows(&self) -> u64 {
        self.directory.rows()
    }

    /// The directory as it lies in a file, and how long it is uncompressed.
    pub fn finish(self) -> std::io::Result<(Vec<u8>, usize)> {
        let raw = self.directory.encode();
        Ok((zstd::bulk::compress(&raw, LEVEL)?, raw.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::{Fs, RealFs};
    use crate::lake::events::TABLE;
    use crate::lake::events::rows::RowBuilder;
    use crate::lake::events::writer::EventFileWriter;
    use crate::lake::file_writer::FileWriter;
    use crate::model::event::arbitrary::resend;
    use crate::model::{Event, ServiceEvent};
    use proptest::prelude::*;

    fn row(service: Option<&'static str>, last_seen: i64) -> ServiceEvent<'static> {
        let event = Event {
            cluster: "c".into(),
            namespace: "n".into(),
            uid: last_seen.to_string().into(),
            level: "Normal".into(),
            last_seen,
            ..Event::default()
        };
        ServiceEvent { service: service.map(Into::into), event }
    }

    fn entry(service: Option<&str>, first_row: u64, rows: u64, seen: (i64, i64)) -> Entry {
        let [project, cluster, namespace] = ["p", "c", "n"].map(Arc::from);
        Entry { project, cluster, namespace, service: service.map(Arc::from), first_row, rows, seen }
    }

    const ROWS: [(Option<&str>, i64); 5] =
        [(None, 7), (Some(""), 3), (Some("web"), -5), (Some("web"), 0), (Some("web"), 9)];

    fn wanted() -> Directory {
        let entries = vec![entry(None, 0, 1, (7, 7)), entry(Some(""), 1, 1, (3, 3)), entry(Some("web"), 2, 3, (-5, 9))];
        Directory { entries }
    }

    #[test]
    fn a_file_tells_which_rows_are_of_which_service() {
        let folder = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let mut writer = EventFileWriter::create(fs.clone(), folder.path(), 20_000, "1.parquet", 1).unwrap();
        for (service, last_seen) in ROWS {
            writer.push("p", &row(service, last_seen)).unwrap();
        }
        let file = DataFile::new(fs, folder.path(), writer.finish().unwrap());
        assert!(file.load().unwrap().value(KEY).is_some());
        assert_eq!(stored(&file).unwrap(), Some(wanted()));
        assert_eq!(*Directory::of_file(&file).unwrap(), wanted());
    }

    #[test]
    fn the_directory_of_a_file_without_one_is_made_from_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        for (number, value) in [None, Some("0 1"), Some("4 10 99999999999"), Some("4 10 100")].into_iter().enumerate() {
            let name = format!("{number}.parquet");
            let mut writer = FileWriter::create(fs.clone(), folder.path(), &TABLE, 20_000, &name, 1).unwrap();
            let mut builder = RowBuilder::default();
            for (service, last_seen) in ROWS {
                builder.push("p", &row(service, last_seen));
            }
            writer.push(&builder.finish().unwrap()).unwrap();
            if let Some(value) = value {
                writer.put_value(KEY, value.to_owned());
            }
            let file = DataFile::new(fs.clone(), folder.path(), writer.finish().unwrap());
            assert_eq!(stored(&file).unwrap(), None, "{value:?}");
            assert_eq!(*Directory::of_file(&file).unwrap(), wanted(), "{value:?}");
        }
    }

    #[test]
    fn a_directory_cut_at_any_byte_is_an_error() {
        let bytes = wanted().encode();
        assert_eq!(Directory::decode(&bytes), Ok(wanted()));
        for len in 0..bytes.len() {
            assert!(Directory::decode(&bytes[..len]).is_err(), "{len} of {}", bytes.len());
        }
    }

    proptest! {
        #[test]
        fn a_directory_comes_back_as_it_was(
            rows in proptest::collection::vec((proptest::sample::select(&["p", "q"][..]), resend(5)), 0..20),
            times in proptest::collection::vec(any::<i64>(), 20),
        ) {
            let mut builder = DirectoryBuilder::default();
            for ((project, ServiceEvent { service, event }), time) in rows.iter().zip(times) {
                builder.push(project, &event.cluster, &event.namespace, service.as_deref(), time);
            }
            prop_assert_eq!(builder.rows(), rows.len() as u64);
            let directory = builder.directory.clone();
            let (bytes, raw) = builder.finish().unwrap();
            let bytes = zstd::bulk::decompress(&bytes, raw).unwrap();
            prop_assert_eq!(Directory::decode(&bytes), Ok(directory));
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut damaged = vec![VERSION];
            damaged.extend_from_slice(&bytes);
            let _ = Directory::decode(&damaged);
        }
    }
}
