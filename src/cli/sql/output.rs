//! Answers as bytes: a table for a person, or a format for a program, written batch by batch.

use super::instants;
use crate::error::{Error, Result};
use crate::query::sql::Answer;
use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, LineDelimited, make_encoder};
use arrow::util::pretty::pretty_format_batches_with_options;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most rows that a table for a person shows.
pub const TABLE_ROWS: usize = 10_000;

/// What an answer is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Table,
    /// One list of objects.
    Json,
    /// An object a line.
    Ndjson,
    Csv,
    Parquet,
    /// The IPC stream.
    Arrow,
}

impl Format {
    pub const NAMES: [&str; 6] = ["table", "json", "ndjson", "csv", "parquet", "arrow"];

    pub fn named(name: &str) -> Option<Format> {
        let formats = [Format::Table, Format::Json, Format::Ndjson, Format::Csv, Format::Parquet, Format::Arrow];
        Format::NAMES.iter().zip(formats).find(|(known, _)| **known == name).map(|(_, format)| format)
    }

    /// Whether a terminal can do nothing with it.
    pub fn is_binary(self) -> bool {
        matches!(self, Format::Parquet | Format::Arrow)
    }
}

/// How far an answer was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    All,
    /// Whoever read the output has closed it.
    ReaderGone,
}

/// Where an answer goes. A file gets its name when it is whole.
pub struct Sink {
    to: BufWriter<Box<dyn Write + Send>>,
    /// The file's temporary name and its own.
    file: Option<(PathBuf, PathBuf)>,
    reader_gone: bool,
}

impl Sink {
    pub fn open(path: Option<&Path>) -> Result<Sink> {
        let Some(path) = path else {
            return Ok(Sink { to: BufWriter::new(Box::new(io::stdout())), file: None, reader_gone: false });
        };
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary).map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
        Ok(Sink { to: BufWriter::new(Box::new(file)), file: Some((temporary, path.to_owned())), reader_gone: false })
    }

    /// Completes the output.
    pub fn finish(mut self) -> Result<()> {
        match self.flush() {
            Err(_) if self.reader_gone => return Ok(()),
            flushed => flushed.map_err(|e| Error::internal(format!("cannot write the answer: {e}")))?,
        }
        if let Some((temporary, path)) = &self.file {
            std::fs::rename(temporary, path).map_err(|e| Error::internal(format!("{}: {e}", path.display())))?;
        }
        Ok(())
    }

    /// Removes what was written to a file.
    pub fn discard(self) {
        if let Some((temporary, _)) = &self.file {
            // What cannot be removed keeps a name that says it is a part.
            let _ = std::fs::remove_file(temporary);
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes);
        self.reader_gone |= matches!(&written, Err(e) if e.kind() == io::ErrorKind::BrokenPipe);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.to.flush();
        self.reader_gone |= matches!(&flushed, Err(e) if e.kind() == io::ErrorKind::BrokenPipe);
        flushed
    }
}

/// Writes an answer; returns how many rows.
pub async fn write(answer: &mut Answer, format: Format, sink: &mut Sink) -> Result<(Written, usize)> {
    let mut rows = 0;
    match write_rows(answer, format, sink, &mut rows).await {
        Err(Stopped::Query(e)) => Err(e),
        Err(Stopped::Output(_)) if sink.reader_gone => Ok((Written::ReaderGone, rows)),
        Err(Stopped::Output(e)) => Err(Error::internal(format!("cannot write the answer: {e}"))),
        Ok(()) => Ok((Written::All, rows)),
    }
}

enum Stopped {
    Query(Error),
    Output(String),
}

impl From<ArrowError> for Stopped {
    fn from(e: ArrowError) -> Self {
        Stopped::Output(e.to_string())
    }
}

impl From<io::Error> for Stopped {
    fn from(e: io::Error) -> Self {
        Stopped::Output(e.to_string())
    }
}

impl From<parquet::errors::ParquetError> for Stopped {
    fn from(e: parquet::errors::ParquetError) -> Self {
        Stopped::Output(e.to_string())
    }
}

async fn write_rows(answer: &mut Answer, format: Format, sink: &mut Sink, rows: &mut usize) -> Result<(), Stopped> {
    macro_rules! each_batch {
        ($batch:ident => $write:expr) => {
            while let Some(batch) = answer.rows.next().await {
                let $batch = batch.map_err(Stopped::Query)?;
                *rows += $batch.num_rows();
                $write;
            }
        };
    }
    match format {
        Format::Table => return write_table(answer, sink, rows).await,
        Format::Json => {
            // Every object has every key: a program need not tell an absent value from an unknown name.
            let builder = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(instants::Instants));
            let mut writer = builder.build::<_, JsonArray>(&mut *sink);
            each_batch!(batch => writer.write(&batch)?);
            writer.finish()?;
            drop(writer);
            sink.write_all(b"\n")?;
        }
        Format::Ndjson => {
            let builder = arrow::json::WriterBuilder::new()
                .with_explicit_nulls(true)
                .with_encoder_factory(Arc::new(instants::Instants));
            let mut writer = builder.build::<_, LineDelimited>(&mut *sink);
            each_batch!(batch => writer.write(&batch)?);
            writer.finish()?;
        }
        Format::Csv => {
            let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut *sink);
            // The header of an answer without rows comes with an empty batch.
            writer.write(&flat(&RecordBatch::new_empty(answer.schema.clone()))?)?;
            each_batch!(batch => writer.write(&flat(&batch)?)?);
        }
        Format::Parquet => {
            let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
            let mut writer = ArrowWriter::try_new(&mut *sink, answer.schema.clone(), Some(properties.build()))?;
            each_batch!(batch => writer.write(&batch)?);
            writer.close()?;
        }
        Format::Arrow => {
            let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut *sink, &answer.schema)?;
            each_batch!(batch => writer.write(&batch)?);
            writer.finish()?;
        }
    }
    sink.flush()?;
    Ok(())
}

async fn write_table(answer: &mut Answer, sink: &mut Sink, rows: &mut usize) -> Result<(), Stopped> {
    let mut batches = vec![RecordBatch::new_empty(answer.schema.clone())];
    let mut more = false;
    while let Some(batch) = answer.rows.next().await {
        let batch = batch.map_err(Stopped::Query)?;
        let fit = batch.num_rows().min(TABLE_ROWS - *rows);
        more = fit < batch.num_rows();
        *rows += fit;
        batches.push(batch.slice(0, fit));
        if more {
            break;
        }
    }
    let table = pretty_format_batches_with_options(&batches, &instants::table_options())?;
    writeln!(sink, "{table}")?;
    sink.flush()?;
    if more {
        eprintln!("spanlake: only the first {TABLE_ROWS} rows are shown; add a LIMIT, or take all with --format csv");
    }
    Ok(())
}

/// The batch with lists, maps and structures as JSON texts, and instants outside the calendar as texts: what a cell of
/// CSV can hold.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(as_json(field, column)?);
        } else if let Some(texts) = instants::outside(column)? {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(texts);
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
}

fn as_json(field: &Arc<Field>, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = instants::json_options();
    let mut encoder = make_encoder(field, column.as_ref(), &options)?;
    let mut texts = StringBuilder::new();
    let mut text = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        encoder.encode(row, &mut text);
        texts.append_value(String::from_utf8_lossy(&text));
    }
    Ok(Arc::new(texts.finish()))
}
