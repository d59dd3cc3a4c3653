//! Writes a data file: sorted rows in, a durable Parquet file and what the table's log must say of it out.
//!
//! The file is written under a temporary name, synced, renamed, and its directory synced: a file of its final name is
//! whole. Until a commit refers to it, it is nothing: a writer that is dropped before its end removes it, and what a
//! crash leaves is removed at a later start.

use super::checksums::{self, Blocks};
use super::data_file::{FileInfo, FileStats};
use super::objects::TEMPORARY_PREFIX;
use super::spec::{DAY, TableSpec};
use crate::fs::{File, Fs, OpenMode};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much is gathered before it goes to the disk.
const BUFFER_BYTES: usize = 256 * 1024;

/// Encoded bytes in memory above which a row group is ended before its time: they stay there until then.
const GROUP_BYTES: usize = 64 << 20;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: {source}")]
    Parquet { path: PathBuf, source: ParquetError },
    #[error("rows of a data file: {0}")]
    Rows(#[from] arrow::error::ArrowError),
}

impl WriteError {
    /// Whether the disk is full: worth trying again once there is space.
    pub fn is_no_space(&self) -> bool {
        match self {
            WriteError::Io { source, .. } => is_no_space(source),
            WriteError::Parquet { source: ParquetError::External(source), .. } => {
                source.downcast_ref::<io::Error>().is_some_and(is_no_space)
            }
            _ => false,
        }
    }
}

/// Whether an error of the file system says that the disk, or a quota, is full.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A data file being written.
#[derive(Debug)]
pub struct FileWriter {
    place: Place,
    day: i32,
    writer: ArrowWriter<Output>,
    stats: FileStats,
    rows: u64,
}

/// Where a file is being made; dropped before it is complete, it removes what is there.
#[derive(Debug)]
struct Place {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    path: String,
    temporary: PathBuf,
    complete: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.complete {
            // What cannot be removed is litter that the next start clears.
            let _ = self.fs.remove_file(&self.temporary);
            let _ = self.fs.remove_file(&self.root.join(&self.path));
        }
    }
}

/// Where the file of a day and name lies below the table's folder.
pub fn path_of(day: i32, name: &str) -> String {
    format!("{}={}/{name}", DAY, day_text(day))
}

/// Removes complete files that no commit refers to.
pub fn discard(fs: &dyn Fs, root: &Path, files: &[FileInfo]) {
    for file in files {
        // As above.
        let _ = fs.remove_file(&root.join(&file.path));
    }
}

impl FileWriter {
    /// Begins the file `day=<day>/<name>` below the folder `root` of the table `spec`; `day` counts from 1970-01-01.
    pub fn create(
        fs: Arc<dyn Fs>,
        root: &Path,
        spec: &TableSpec,
        day: i32,
        name: &str,
        compression: i32,
    ) -> Result<Self, WriteError> {
        let path = path_of(day, name);
        let dir = root.join(&path).parent().unwrap_or(root).to_owned();
        let temporary = dir.join(format!("{TEMPORARY_PREFIX}{name}"));
        let io_error = |source| WriteError::Io { path: temporary.clone(), source };
        fs.create_dir_all(&dir).map_err(io_error)?;
        match fs.remove_file(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io_error(e)),
            _ => {}
        }
        let file = fs.open(&temporary, OpenMode::CreateNew).map_err(io_error)?;
        let place = Place { fs, root: root.to_owned(), path, temporary: temporary.clone(), complete: false };
        let output = Output {
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            written: 0,
            blocks: Blocks::default(),
            tail: None,
        };
        let properties = (spec.writer_properties)(compression);
        let writer = ArrowWriter::try_new(output, (spec.file_schema)(), Some(properties))
            .map_err(|source| WriteError::Parquet { path: temporary.clone(), source })?;
        Ok(FileWriter { place, day, writer, stats: FileStats::default(), rows: 0 })
    }

    /// Writes bytes that Parquet readers pass over, behind the row groups that are complete. Gives their place in the
    /// file, which the footer is to tell ([`FileWriter::put_value`]).
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, WriteError> {
        let offset = self.writer.bytes_written() as u64;
        self.writer.write_all(bytes).map_err(|source| WriteError::Io { path: self.place.temporary.clone(), source })?;
        Ok(offset)
    }

    /// Ends the row group that is being written, if one is.
    pub fn end_group(&mut self) -> Result<(), WriteError> {
        self.writer.flush().map_err(|source| WriteError::Parquet { path: self.place.temporary.clone(), source })
    }

    /// Adds a pair to the footer's metadata.
    pub fn put_value(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Appends rows, which must follow those before them in the order of the table.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.rows += batch.num_rows() as u64;
        self.stats.add(batch);
        let written = self
            .writer
            .write(batch)
            .and_then(|()| if self.writer.in_progress_size() < GROUP_BYTES { Ok(()) } else { self.writer.flush() });
        written.map_err(|source| WriteError::Parquet { path: self.place.temporary.clone(), source })
    }

    /// How many rows the file has so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// About how many bytes the file has so far.
    pub fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// Completes the file and makes it durable under its name.
    pub fn finish(mut self) -> Result<FileInfo, WriteError> {
        let path = self.place.temporary.clone();
        self.write_tail().map_err(|source| WriteError::Parquet { path: path.clone(), source })?;
        let output = self.writer.inner_mut();
        let place = &self.place;
        let publish = || -> io::Result<u64> {
            output.put_tail()?;
            output.file.sync_all()?;
            let target = place.root.join(&place.path);
            place.fs.rename(&place.temporary, &target)?;
            place.fs.sync_dir(target.parent().unwrap_or(&place.root))?;
            Ok(output.written)
        };
        let size = { publish }().map_err(|source| WriteError::Io { path, source })?;
        self.place.complete = true;
        Ok(FileInfo {
            path: self.place.path.clone(),
            size,
            rows: self.rows,
            day: self.day,
            since: 0,
            stats: self.stats,
        })
    }

    /// Writes what follows the rows, into memory: it has a checksum of itself in it.
    fn write_tail(&mut self) -> Result<(), ParquetError> {
        self.writer.flush()?;
        // Through the writer's own buffer, so that all of the rows has been counted.
        self.writer.sync()?;
        let output = self.writer.inner_mut();
        let sums = output.blocks.text();
        output.tail = Some(Vec::new());
        self.writer.append_key_value_metadata(KeyValue::new(checksums::KEY.to_owned(), sums));
        self.writer.finish().map(|_| ())
    }
}

impl FileStats {
    fn add(&mut self, batch: &RecordBatch) {
        let merge = |bounds: &mut Option<(i64, i64)>, low: Option<i64>, high: Option<i64>| {
            if let (Some(low), Some(high)) = (low, high) {
                *bounds = Some(bounds.map_or((low, high), |(l, h)| (l.min(low), h.max(high))));
            }
        };
        let long = |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<Int64Type>());
        if let Some(column) = long("trace_low") {
            merge(&mut self.trace_low, compute::min(column), compute::max(column));
        }
        if let Some(column) = long("duration") {
            merge(&mut self.duration, compute::min(column), compute::max(column));
        }
        let instant =
            |name: &str| batch.column_by_name(name).and_then(|c| c.as_primitive_opt::<TimestampMicrosecondType>());
        if let Some(column) = instant("last_seen") {
            merge(&mut self.last_seen, compute::min(column), compute::max(column));
        }
        if let Some(column) = instant("timestamp") {
            self.timeless = Some(self.timeless.unwrap_or_default() + column.null_count() as u64);
            merge(&mut self.timestamp, compute::min(column), compute::max(column));
        }
        if let Some(column) = batch.column_by_name("project").and_then(|c| c.as_string_opt::<i32>()) {
            // Project is the first sort key: the bounds are the ends.
            if let (Some(low), Some(high)) = (column.iter().flatten().next(), column.iter().flatten().next_back()) {
                match &mut self.project {
                    Some((_, last)) => high.clone_into(last),
                    None => self.project = Some((low.to_owned(), high.to_owned())),
                }
            }
        }
    }
}

/// A day (counted from 1970-01-01) as the table writes it: `2026-11-22`.
pub fn day_text(day: i32) -> String {
    let date = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default();
    date.format("%Y-%m-%d").to_string()
}

/// The day that [`day_text`] writes as `text`.
pub fn parse_day(text: &str) -> Option<i32> {
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp() / 86_400).ok()
}

#[derive(Debug)]
struct Output {
    file: Box<dyn File>,
    buffer: Vec<u8>,
    written: u64,
    blocks: Blocks,
    /// What follows the rows, once they are all written.
    tail: Option<Vec<u8>>,
}

impl Output {
    fn put_tail(&mut self) -> io::Result<()> {
        let mut tail = self.tail.take().unwrap_or_default();
        checksums::seal(&mut tail);
        self.file.write_all_at(&tail, self.written)?;
        self.written += tail.len() as u64;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        self.blocks.add(bytes);
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.file.write_all_at(bytes, self.written)?;
            self.written += bytes.len() as u64;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(&self.buffer, self.written)?;
            self.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_people_write_them() {
        for (day, text) in [(0, "1970-01-01"), (20_779, "2026-11-22"), (-1, "1969-12-31"), (10_957, "2000-01-01")] {
            assert_eq!(day_text(day), text);
            assert_eq!(parse_day(text), Some(day));
        }
    }
}
