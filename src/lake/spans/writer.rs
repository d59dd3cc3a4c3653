//! Writes a data file of spans, with the summaries that lie in it.

use super::TABLE;
use super::summary::{self, SummaryBuilder};
use crate::fs::Fs;
use crate::lake::data_file::FileInfo;
use crate::lake::file_writer::{FileWriter, WriteError};
use crate::model::{Scope, Span};
use arrow::array::RecordBatch;
use std::path::Path;
use std::sync::Arc;

/// A data file of spans being written.
#[derive(Debug)]
pub struct SpanFileWriter {
    file: FileWriter,
    kept_tags: Vec<String>,
    builder: SummaryBuilder,
    /// Rows of the summaries before this one.
    summarised: u64,
    /// Offset and length of the summaries before this one.
    places: Vec<String>,
}

impl SpanFileWriter {
    /// Begins the file `day=<day>/<name>` below the table's folder `root`; `day` counts from 1970-01-01. Of the tags
    /// `kept_tags` the summary keeps the values however many they are.
    pub fn create(
        fs: Arc<dyn Fs>,
        root: &Path,
        day: i32,
        name: &str,
        compression: i32,
        kept_tags: &[String],
    ) -> Result<Self, WriteError> {
        let file = FileWriter::create(fs, root, &TABLE, day, name, compression)?;
        let builder = SummaryBuilder::new(kept_tags);
        Ok(SpanFileWriter { file, kept_tags: kept_tags.to_vec(), builder, summarised: 0, places: Vec::new() })
    }

    /// Adds a row to the summary. Each row that is pushed is to be summarised once, in the same order.
    pub fn summarise(&mut self, scope: &Scope<'_>, span: &Span<'_>) -> Result<(), WriteError> {
        if self.builder.is_full() && self.builder.begins_trace(scope, span) {
            self.write_summary()?;
        }
        self.builder.push(scope, span);
        Ok(())
    }

    /// Writes what is summarised so far. Row groups are written whole, so it comes to lie between two of them.
    fn write_summary(&mut self) -> Result<(), WriteError> {
        let builder = std::mem::replace(&mut self.builder, SummaryBuilder::new(&self.kept_tags));
        self.summarised += builder.spans();
        let bytes = builder.finish();
        let offset = self.file.append(&bytes)?;
        self.places.push(format!("{offset} {}", bytes.len()));
        Ok(())
    }

    /// Appends rows, which must follow those before them in the order of the table.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.file.push(batch)
    }

    /// Completes the file and makes it durable under its name.
    pub fn finish(mut self) -> Result<FileInfo, WriteError> {
        self.file.end_group()?;
        self.write_summary()?;
        // Those that are not of all rows would hide the others; without them the rows are read.
        if self.summarised == self.file.rows() {
            self.file.put_value(summary::KEY, self.places.join(","));
        }
        self.file.finish()
    }
}
