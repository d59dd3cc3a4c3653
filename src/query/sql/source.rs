//! What one statement reads: the table at one version, and the log's records above it.
//!
//! The server, if there is one, goes on meanwhile. It commits spans to the table before it trims them from the log, so a
//! reader that takes the table first and the log second finds every acknowledged span in one of them, or finds the log
//! trimmed above what the table had: then the table has a newer version, and the reader starts over.

use crate::codec::stored::{self, Batch};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Fs};
use crate::lake::rows::RowBuilder;
use crate::lake::schema::TABLE_SCHEMA;
use crate::lake::{DataFile, Table};
use crate::model::Scope;
use crate::store::{StoreConfig, day_of};
use crate::wal::{self, ReadEnd, WalError};
use arrow::array::{ArrayRef, Date32Array, RecordBatch};
use std::collections::HashSet;
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
            let table = Table::open_existing(fs.clone(), &root).await.map_err(damaged)?.ok_or_else(|| {
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
                match blocking(move || read_log(fs.as_ref(), &dir, floor, &notes)).await? {
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
        match Table::open_existing(self.fs.clone(), &self.root).await {
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
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
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
    let digits = std::str::from_utf8(&text).ok().map(str::trim).filter(|digits| digits.len() == 32);
    let id = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
    id.map(u128::to_be_bytes).ok_or_else(|| {
        Error::damaged(format!("{} does not hold 32 hex digits: restore it from a backup", path.display()))
    })
}

enum Log {
    Rows(Vec<LogBatch>),
    Trimmed(String),
}

fn read_log(fs: &dyn Fs, dir: &Path, floor: u64, notes: &Notes) -> Result<Log> {
    let mut records: Vec<Vec<u8>> = Vec::new();
    let mut keep = |_: u64, payload: &[u8]| {
        records.push(payload.to_vec());
        Ok(())
    };
    match wal::read_after(fs, dir, floor, &mut keep) {
        Ok(ReadEnd::Trimmed { missing }) => {
            return Ok(Log::Trimmed(format!("records {} to {} are gone", missing.start(), missing.end())));
        }
        Ok(ReadEnd::Complete { damaged, .. }) => {
            for damage in damaged.iter().filter(|damage| damage.acknowledged) {
                let missing = damage.missing.as_ref().map_or_else(String::new, |missing| {
                    format!("; records {} to {} are missing from the answer", missing.start(), missing.end())
                });
                notes.add(format!(
                    "log segment {}: {} damaged bytes at offset {}{missing}",
                    damage.segment.display(),
                    damage.len,
                    damage.offset
                ));
            }
        }
        // A folder without a log has nothing above its table.
        Err(WalError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e.into()),
    }
    Ok(Log::Rows(to_rows(&records, notes)?))
}

/// The records as rows, each once: a span's encoding is canonical, so equal spans of equal scopes have equal bytes.
fn to_rows(records: &[Vec<u8>], notes: &Notes) -> Result<Vec<LogBatch>> {
    let failed = |e: arrow::error::ArrowError| Error::internal(format!("the log's records as rows: {e}"));
    let mut scopes: Vec<Scope<'_>> = Vec::new();
    let mut seen: HashSet<(usize, &[u8])> = HashSet::new();
    let mut batches = Vec::new();
    let (mut builder, mut days, mut day_is_own) = (RowBuilder::default(), Vec::new(), Vec::new());
    for record in records {
        let mut decode = || -> Result<(), stored::StoredError> {
            let mut batch = Batch::open(record)?;
            let scope = match scopes.iter().position(|scope| *scope == batch.scope) {
                Some(place) => place,
                None => {
                    scopes.push(batch.scope.clone());
                    scopes.len() - 1
                }
            };
            while let Some(place) = batch.next_span()? {
                let Some(body) = record.get(place.offset..place.offset + place.len) else { break };
                let span = stored::decode_span(body)?;
                if !seen.insert((scope, body)) {
                    continue;
                }
                builder.push(&batch.scope, &span);
                let day = day_of(span.timestamp, batch.arrival);
                days.push(day);
                day_is_own.push(span.timestamp.is_some_and(|micros| day_of(Some(micros), micros) == day));
                if builder.rows() == BATCH_ROWS {
                    batches.push((builder.finish(), std::mem::take(&mut days), std::mem::take(&mut day_is_own)));
                }
            }
            Ok(())
        };
        if let Err(e) = decode() {
            notes.add(format!("a log record cannot be decoded and is left out: {e}"));
        }
    }
    if builder.rows() > 0 {
        batches.push((builder.finish(), days, day_is_own));
    }
    batches
        .into_iter()
        .map(|(rows, days, day_is_own)| {
            let rows = with_days(&rows.map_err(failed)?, Date32Array::from(days.clone())).map_err(failed)?;
            Ok(LogBatch { rows, days, day_is_own })
        })
        .collect()
}

/// Rows of a data file or of the log in the columns of the table.
pub fn with_days(rows: &RecordBatch, days: Date32Array) -> Result<RecordBatch, arrow::error::ArrowError> {
    let rows = crate::lake::merge::conform(rows)?;
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(days));
    RecordBatch::try_new(TABLE_SCHEMA.clone(), columns)
}
