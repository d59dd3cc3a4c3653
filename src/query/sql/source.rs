//! What one statement reads: the table at one version, and the log's records above it.
//!
//! The server, if there is one, goes on meanwhile. It commits spans to the table before it trims them from the log, so a
//! reader that takes the table first and the log second finds every acknowledged span in one of them, or finds the log
//! trimmed above what the table had: then the table has a newer version, and the reader starts over.

use crate::codec::stored::{self, Batch, StoredError};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Fs};
use crate::lake::data_file::Damaged;
use crate::lake::spans;
use crate::lake::spans::rows::RowBuilder;
use crate::lake::spans::schema::TABLE_SCHEMA;
use crate::lake::{DataFile, Table};
use crate::store::{StoreConfig, day_of, parse_node_id};
use crate::wal::{self, Damage, ReadEnd};
use arrow::array::{Array, ArrayRef, Date32Array, RecordBatch};
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// How often a reader starts over after the log was trimmed under it. Each time the table has moved on by a commit, of
/// which a server makes a few a minute.
const TRIES: usize = 20;
/// Rows of a batch of the log's records.
const BATCH_ROWS: usize = 8_192;

/// What is to be said to the reader beside the answer: damage that was passed over.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    /// Notes something, once.
    pub fn add(&self, note: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Notes what of a data file cannot be read.
    pub fn add_damage(&self, damage: &Damaged) {
        self.add(format!(
            "{damage}; what cannot be read is missing from the answer, but not from a count of all rows, which the \
             table's log answers"
        ));
    }

    /// What was noted since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The rows of the log that are not in the table yet.
#[derive(Clone, Debug)]
pub struct LogBatch {
    /// In the columns of [`TABLE_SCHEMA`].
    pub rows: RecordBatch,
    /// The day of each row, as the flush would lay it out.
    pub days: Vec<i32>,
    /// Whether a row's day is its own timestamp's; else it is its arrival's, and a copy that was sent again may lie
    /// in another day.
    pub day_is_own: Vec<bool>,
}

/// One consistent view of all spans of a data folder.
#[derive(Debug)]
pub struct Source {
    pub fs: Arc<dyn Fs>,
    /// The table's folder.
    pub root: std::path::PathBuf,
    pub files: Vec<Arc<DataFile>>,
    pub log: Vec<LogBatch>,
    pub notes: Notes,
}

impl Source {
    /// Opens the data folder; without the log's records if `table_only`.
    pub async fn open(fs: Arc<dyn Fs>, folder: &Path, table_only: bool, notes: Notes) -> Result<Source> {
        let node_id = node_id(fs.as_ref(), folder)?;
        let writer = StoreConfig::flush_writer(&node_id);
        let root = StoreConfig::table_dir(folder);
        let mut trimmed = None;
        for _ in 0..TRIES {
            let table =
                Table::open_existing(fs.clone(), &root, &spans::TABLE).await.map_err(damaged)?.ok_or_else(|| {
                    Error::invalid(format!(
                        "{} has no table yet: it is made when `spanlake serve` first starts there",
                        folder.display()
                    ))
                })?;
            let infos = table.files().await.map_err(damaged)?;
            let floor = table.sequence_of(&writer).await.map_err(damaged)?.unwrap_or(0).max(0) as u64;
            let files: Vec<_> =
                infos.into_iter().map(|info| Arc::new(DataFile::new(fs.clone(), &root, info))).collect();
            let log = if table_only {
                Some(Vec::new())
            } else {
                let (fs, dir, notes) = (fs.clone(), StoreConfig::wal_dir(folder), notes.clone());
                match blocking(move || read_log(fs.as_ref(), &dir, &node_id, floor, &notes)).await? {
                    Log::Rows(rows) => Some(rows),
                    Log::Trimmed(missing) => {
                        trimmed = Some(missing);
                        None
                    }
                }
            };
            if let Some(log) = log {
                return Ok(Source { fs, root, files, log, notes });
            }
        }
        Err(Error::busy(format!(
            "the server trims its log ({}) faster than it can be read here; repeat the statement, or leave the log out with --table-only",
            trimmed.unwrap_or_default()
        )))
    }

    /// Whether the table still has this file: one that it replaced since may be deleted at any time.
    pub async fn is_live(&self, path: &str) -> bool {
        match Table::open_existing(self.fs.clone(), &self.root, &spans::TABLE).await {
            Ok(Some(table)) => table.files().await.is_ok_and(|files| files.iter().any(|file| file.path == path)),
            _ => true,
        }
    }
}

/// Runs work that waits for the disk.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(Error::internal(format!("a reading thread ended: {e}"))),
    }
}

fn damaged(error: crate::lake::TableError) -> Error {
    Error::damaged(error.to_string())
}

fn node_id(fs: &dyn Fs, folder: &Path) -> Result<[u8; 16]> {
    let path = StoreConfig::node_id_file(folder);
    let text = match fs::read(fs, &path) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            let what = match fs.read_dir(folder) {
                Ok(_) => "is no data folder: it has no file node-id",
                Err(_) => "is not there, or is no folder",
            };
            return Err(Error::invalid(format!(
                "{} {what}; name the folder that `spanlake serve` keeps its data in with --data",
                folder.display()
            )));
        }
        Err(e) => return Err(Error::new(ErrorKind::Internal, format!("{}: {e}", path.display()))),
    };
    parse_node_id(&text).ok_or_else(|| {
        Error::damaged(format!("{} does not hold 32 hex digits: restore it from a backup", path.display()))
    })
}

enum Log {
    Rows(Vec<LogBatch>),
    Trimmed(String),
}

fn read_log(fs: &dyn Fs, dir: &Path, node_id: &[u8; 16], floor: u64, notes: &Notes) -> Result<Log> {
    let mut rows = LogRows::default();
    let mut undecodable = Vec::new();
    let mut each = |sequence: u64, record: &[u8]| {
        if let Err(e) = rows.add(record)? {
            undecodable.push(format!("log record {sequence} cannot be decoded and is left out: {e}"));
        }
        Ok(())
    };
    let (damaged, log_gone) = match wal::read_after(fs, dir, Some(*node_id), floor, &mut each)? {
        ReadEnd::Trimmed { missing } => {
            return Ok(Log::Trimmed(format!("records {} to {} are gone", missing.start(), missing.end())));
        }
        ReadEnd::Complete { damaged, log_gone, .. } => (damaged, log_gone),
    };
    damaged.iter().for_each(|damage| notes.add(describe(damage)));
    undecodable.into_iter().for_each(|note| notes.add(note));
    if log_gone {
        notes.add(format!(
            "the log {} is gone or empty, though the table was written from it: spans that were acknowledged and not \
             yet in the table are missing from the answer",
            dir.display()
        ));
    }
    Ok(Log::Rows(rows.finish()?))
}

fn describe(damage: &Damage) -> String {
    let Damage { segment, offset, len, missing, acknowledged, .. } = damage;
    let missing = match missing {
        Some(missing) => format!("; records {} to {} are missing from the answer", missing.start(), missing.end()),
        None => "; the records around them were read".to_owned(),
    };
    let cause = if *acknowledged { "" } else { " (damage, or a write that a power cut left unfinished)" };
    format!("log segment {}: {len} unreadable bytes at offset {offset}{cause}{missing}", segment.display())
}

/// The log's records as rows, each once: a span's encoding is canonical, so equal spans of equal scopes have equal
/// bytes. Of those only digests are kept.
#[derive(Default)]
struct LogRows {
    seen: HashSet<u128>,
    builder: RowBuilder,
    days: Vec<i32>,
    day_is_own: Vec<bool>,
    batches: Vec<LogBatch>,
}

impl LogRows {
    /// Adds a record's spans, up to where it cannot be decoded.
    fn add(&mut self, record: &[u8]) -> Result<std::result::Result<(), StoredError>> {
        let mut batch = match Batch::open(record) {
            Ok(batch) => batch,
            Err(e) => return Ok(Err(e)),
        };
        loop {
            let body = match batch.next_span() {
                Ok(place) => place.and_then(|place| record.get(place.offset..place.offset + place.len)),
                Err(e) => return Ok(Err(e)),
            };
            let Some(body) = body else { return Ok(Ok(())) };
            let span = match stored::decode_span(body) {
                Ok(span) => span,
                Err(e) => return Ok(Err(e)),
            };
            if !self.seen.insert(digest(&(&batch.scope, body))) {
                continue;
            }
            self.builder.push(&batch.scope, &span);
            let day = day_of(span.timestamp, batch.arrival);
            self.days.push(day);
            self.day_is_own.push(span.timestamp.is_some_and(|micros| day_of(Some(micros), micros) == day));
            if self.builder.rows() == BATCH_ROWS {
                self.close_batch()?;
            }
        }
    }

    fn close_batch(&mut self) -> Result<()> {
        let failed = |e: arrow::error::ArrowError| Error::internal(format!("the log's records as rows: {e}"));
        let (days, day_is_own) = (std::mem::take(&mut self.days), std::mem::take(&mut self.day_is_own));
        let rows = self.builder.finish().map_err(failed)?;
        // What the columns grew in beyond what they need would stay for as long as the statement runs.
        let (schema, mut columns, _) = rows.into_parts();
        columns.iter_mut().for_each(Array::shrink_to_fit);
        let rows = RecordBatch::try_new(schema, columns).map_err(failed)?;
        let rows = with_days(&rows, Date32Array::from(days.clone())).map_err(failed)?;
        self.batches.push(LogBatch { rows, days, day_is_own });
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<LogBatch>> {
        if self.builder.rows() > 0 {
            self.close_batch()?;
        }
        Ok(self.batches)
    }
}

/// 128 bits: two values that differ have the same digest by chance once in more rows than all disks hold.
pub fn digest(value: &impl Hash) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, value).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Rows of a data file or of the log in the columns of the table.
pub fn with_days(rows: &RecordBatch, days: Date32Array) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = crate::lake::spans::merge::conform(rows)?;
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(days));
    RecordBatch::try_new(TABLE_SCHEMA.clone(), columns)
}
