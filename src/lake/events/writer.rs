//! Writes a data file of service events, with the directory that lies in it.

use super::TABLE;
use super::directory::{self, DirectoryBuilder};
use super::rows::{RowBuilder, RowError};
use crate::fs::Fs;
use crate::lake::data_file::FileInfo;
use crate::lake::file_writer::{FileWriter, WriteError};
use crate::model::ServiceEvent;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use std::path::Path;
use std::sync::Arc;

/// Rows given to the Parquet writer at a time, at most.
const BATCH_ROWS: usize = 8_192;
/// Bytes of texts given to the Parquet writer at a time, about, at most.
const BATCH_BYTES: usize = 4 << 20;

/// A data file of service events being written.
#[derive(Debug)]
pub struct EventFileWriter {
    file: FileWriter,
    directory: DirectoryBuilder,
    waiting: RowBuilder,
    /// About how many bytes the waiting rows take.
    waiting_bytes: usize,
    /// Whether events may have several rows here.
    has_repeats: bool,
}

impl EventFileWriter {
    /// Begins the file `day=<day>/<name>` below the table's folder `root`; `day` counts from 1970-01-01.
    pub fn create(fs: Arc<dyn Fs>, root: &Path, day: i32, name: &str, compression: i32) -> Result<Self, WriteError> {
        let file = FileWriter::create(fs, root, &TABLE, day, name, compression)?;
        let (directory, waiting) = (DirectoryBuilder::default(), RowBuilder::default());
        Ok(EventFileWriter { file, directory, waiting, waiting_bytes: 0, has_repeats: false })
    }

    /// Appends an event, which must follow those before it in the order of the table.
    pub fn push(&mut self, project: &str, row: &ServiceEvent<'_>) -> Result<(), WriteError> {
        let ServiceEvent { service, event } = row;
        self.directory.push(project, &event.cluster, &event.namespace, service.as_deref(), event.last_seen);
        self.waiting.push(project, row);
        self.waiting_bytes += project.len() + row.text_bytes();
        if self.waiting.rows() == BATCH_ROWS || self.waiting_bytes >= BATCH_BYTES {
            self.write_waiting()?;
        }
        Ok(())
    }

    /// Appends rows in the columns of the table, which must follow those before them in the order of the table.
    pub fn push_rows(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.write_waiting()?;
        let foreign = |error: RowError| WriteError::Rows(ArrowError::SchemaError(error.to_string()));
        self.directory.push_rows(batch).map_err(foreign)?;
        self.file.push(batch)
    }

    fn write_waiting(&mut self) -> Result<(), WriteError> {
        self.waiting_bytes = 0;
        match self.waiting.rows() {
            0 => Ok(()),
            _ => self.file.push(&self.waiting.finish()?),
        }
    }

    /// Notes that the file has several rows of some events.
    pub fn note_repeats(&mut self) {
        self.has_repeats = true;
    }

    /// Completes the file and makes it durable under its name.
    pub fn finish(mut self) -> Result<FileInfo, WriteError> {
        self.write_waiting()?;
        self.file.end_group()?;
        if self.has_repeats {
            self.file.put_value(directory::REPEATS, "1".to_owned());
        }
        // One that does not compress would be made from the rows.
        if let Ok((bytes, raw)) = self.directory.finish() {
            let offset = self.file.append(&bytes)?;
            self.file.put_value(directory::KEY, format!("{offset} {} {raw}", bytes.len()));
        }
        self.file.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;
    use crate::lake::DataFile;
    use crate::lake::events::rows::Rows;
    use crate::lake::spec::{PAGE_ROWS, ROW_GROUP_ROWS};
    use crate::model::Event;
    use parquet::basic::Type;
    use parquet::file::page_index::column_index::ColumnIndexMetaData;

    fn row(number: i64, message_bytes: usize) -> ServiceEvent<'static> {
        let event = Event {
            cluster: "c".into(),
            namespace: "n".into(),
            uid: format!("u-{number:08}").into(),
            level: "Normal".into(),
            message: "m".repeat(message_bytes).into(),
            last_seen: number,
            ..Event::default()
        };
        ServiceEvent { service: None, event }
    }

    fn read(file: &DataFile) -> Vec<ServiceEvent<'static>> {
        let mut scan = file.scan(None, 1_000).unwrap();
        let mut events = Vec::new();
        while let Some(batch) = scan.next_batch().unwrap() {
            let rows = Rows::of(&batch).unwrap();
            events.extend((0..rows.len()).map(|row| rows.event(row).unwrap().into_owned()));
        }
        events
    }

    #[test]
    fn events_and_rows_go_into_one_file_in_the_order_given() {
        let folder = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let mut writer = EventFileWriter::create(fs.clone(), folder.path(), 20_000, "1.parquet", 1).unwrap();
        // More than are given to Parquet at a time, by their bytes.
        let events: Vec<_> = (0..12).map(|number| row(number, 600_000)).collect();
        for event in &events[..10] {
            writer.push("p", event).unwrap();
        }
        let mut builder = RowBuilder::default();
        for event in &events[10..] {
            builder.push("p", event);
        }
        writer.push_rows(&builder.finish().unwrap()).unwrap();
        let info = writer.finish().unwrap();
        assert_eq!((info.rows, info.day, info.path.as_str()), (12, 20_000, "day=2024-10-04/1.parquet"));
        assert_eq!(info.stats.last_seen, Some((0, 11)));
        assert_eq!(info.stats.project, Some(("p".to_owned(), "p".to_owned())));
        let file = DataFile::new(fs, folder.path(), info);
        assert_eq!(read(&file), events);
        let entries = directory::Directory::of_file(&file).unwrap().entries().to_vec();
        assert_eq!(entries.iter().map(|entry| (entry.rows, entry.seen)).collect::<Vec<_>>(), [(12, (0, 11))]);
    }

    /// Lookups rely on the filter, on small pages, and on the bounds of the pages of `last_seen`.
    #[test]
    fn a_file_is_made_for_lookups() {
        let folder = tempfile::tempdir().unwrap();
        let fs: Arc<dyn Fs> = Arc::new(RealFs);
        let mut writer = EventFileWriter::create(fs.clone(), folder.path(), 20_000, "1.parquet", 1).unwrap();
        let rows = ROW_GROUP_ROWS + 10;
        for number in 0..rows {
            writer.push("p", &row(number as i64, 0)).unwrap();
        }
        let file = DataFile::new(fs, folder.path(), writer.finish().unwrap());
        let loaded = file.load().unwrap();
        let metadata = loaded.metadata();
        assert_eq!(
            (0..metadata.num_row_groups()).map(|group| loaded.rows(group)).collect::<Vec<_>>(),
            [ROW_GROUP_ROWS, 10]
        );
        let columns = metadata.file_metadata().schema_descr();
        assert_eq!(columns.column(loaded.key).path().string(), "uid");
        assert_eq!(columns.column(loaded.key).physical_type(), Type::BYTE_ARRAY);
        for group in 0..2 {
            let filter = loaded.filters[group].as_ref().unwrap();
            let own = group * ROW_GROUP_ROWS..rows.min((group + 1) * ROW_GROUP_ROWS);
            assert!(own.clone().all(|number| filter.check(format!("u-{number:08}").as_str())));
            let false_answers = (1_000_000..1_020_000).filter(|number| filter.check(format!("u-{number:08}").as_str()));
            assert!(false_answers.count() <= 8);
        }
        let pages = metadata.offset_index().unwrap()[0][loaded.key].page_locations();
        assert_eq!(pages.len(), ROW_GROUP_ROWS.div_ceil(PAGE_ROWS));
        let index = &metadata.column_index().unwrap()[0];
        let indexed: Vec<String> = (0..columns.num_columns())
            .filter(|place| !matches!(index[*place], ColumnIndexMetaData::NONE))
            .map(|place| columns.column(place).path().string())
            .collect();
        assert_eq!(indexed, ["last_seen"]);
    }
}
