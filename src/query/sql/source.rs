//! What one statement reads: the tables, each at one version, and the log's records above them.
//!
//! The server, if there is one, goes on meanwhile. It commits rows to the tables before it trims them from the log, so
//! a reader that takes the tables first and the log second finds all that was acknowledged in one of them, or finds the
//! log trimmed above what the tables had: then they have newer versions, and the reader starts over.
//!
//! How far a table holds the log is told by its last commit of rows. One that has none for a while falls behind, though
//! it lacks nothing, and the log is trimmed nevertheless: so the last commit of each flush, to whatever table, tells
//! how far all of them hold it ([`Said::mark`]).

use super::events::StoredEvents;
use super::events::log::LogRows as EventRows;
use super::spans::StoredSpans;
use super::spans::log::LogRows as SpanRows;
use super::stored::{Notes, StoredTable, blocking};
use crate::codec::stored::{self, RecordKind};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Fs};
use crate::lake::{Table, TableSpec, events, spans};
use crate::store::floors::{Floors, Said};
use crate::store::{StoreConfig, parse_node_id};
use crate::wal::{self, Damage, ReadEnd};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often a reader starts over after the log was trimmed under it. Each time a table has moved on by a commit, of
/// which a server makes a few a minute.
const TRIES: usize = 20;

/// One consistent view of all that a data folder holds.
#[derive(Debug)]
pub struct Source {
    pub spans: Arc<StoredSpans>,
    pub events: Arc<StoredEvents>,
}

impl Source {
    /// Opens the data folder; without the log's records if `table_only`.
    pub async fn open(fs: Arc<dyn Fs>, folder: &Path, table_only: bool, notes: Notes) -> Result<Source> {
        let node_id = node_id(fs.as_ref(), folder)?;
        let mut trimmed = None;
        for _ in 0..TRIES {
            let tables = Tables::open(&fs, folder, &node_id).await?;
            let floors = tables.floors;
            let log = if table_only {
                Log::Rows { spans: Vec::new(), events: Vec::new() }
            } else {
                let (fs, dir, notes) = (fs.clone(), StoreConfig::wal_dir(folder), notes.clone());
                blocking(move || read_log(fs.as_ref(), &dir, &node_id, floors, &notes)).await?
            };
            match log {
                Log::Trimmed(missing) => trimmed = Some(missing),
                Log::Rows { spans, events } => {
                    let stored = |table: Opened| table.stored(&fs, &notes);
                    return Ok(Source {
                        spans: Arc::new(StoredSpans { table: stored(tables.spans).await?, log: spans }),
                        events: Arc::new(StoredEvents { table: stored(tables.events).await?, log: events }),
                    });
                }
            }
        }
        Err(Error::busy(format!(
            "the server trims its log ({}) faster than it can be read here; repeat the statement, or leave the log out with --table-only",
            trimmed.unwrap_or_default()
        )))
    }
}

/// A table as it was when it was opened; none where the folder has no such table yet.
struct Opened {
    spec: &'static TableSpec,
    root: PathBuf,
    table: Option<Table>,
    said: Said,
}

impl Opened {
    async fn open(fs: &Arc<dyn Fs>, folder: &Path, spec: &'static TableSpec, node_id: &[u8; 16]) -> Result<Opened> {
        let root = StoreConfig::dir_of(folder, spec);
        let table = Table::open_existing(fs.clone(), &root, spec).await.map_err(damaged)?;
        let said = match &table {
            Some(table) => Said::of(table, node_id).await.map_err(damaged)?,
            None => Said::default(),
        };
        Ok(Opened { spec, root, table, said })
    }

    async fn stored(self, fs: &Arc<dyn Fs>, notes: &Notes) -> Result<Arc<StoredTable>> {
        let files = match &self.table {
            Some(table) => table.files().await.map_err(damaged)?,
            None => Vec::new(),
        };
        Ok(Arc::new(StoredTable::new(fs.clone(), self.root, self.spec, files, notes.clone())))
    }
}

/// Both tables, and above which record of the log there may be more for each.
struct Tables {
    spans: Opened,
    events: Opened,
    floors: Floors,
}

impl Tables {
    async fn open(fs: &Arc<dyn Fs>, folder: &Path, node_id: &[u8; 16]) -> Result<Tables> {
        let mut spans = Opened::open(fs, folder, &spans::TABLE, node_id).await?;
        if spans.table.is_none() {
            return Err(Error::invalid(format!(
                "{} has no table yet: it is made when `spanlake serve` first starts there",
                folder.display()
            )));
        }
        let events = Opened::open(fs, folder, &events::TABLE, node_id).await?;
        // A mark is of all tables, but a table that was opened before it was made need not be as new as it says.
        let mark = spans.said.mark.max(events.said.mark);
        if mark > spans.said.mark {
            spans = Opened::open(fs, folder, &spans::TABLE, node_id).await?;
        }
        // Nor need the events be as new as what the spans' table says now.
        let floors = Floors::of(Said { mark, ..spans.said }, Said { mark: None, ..events.said });
        Ok(Tables { spans, events, floors })
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
    Rows { spans: Vec<super::spans::log::LogBatch>, events: Vec<arrow::array::RecordBatch> },
    Trimmed(String),
}

fn read_log(fs: &dyn Fs, dir: &Path, node_id: &[u8; 16], floors: Floors, notes: &Notes) -> Result<Log> {
    let (mut spans, mut events) = (SpanRows::default(), EventRows::default());
    let mut undecodable = Vec::new();
    let mut each = |sequence: u64, record: &[u8]| {
        let read = match stored::kind(record) {
            Ok(RecordKind::Spans) if sequence > floors.spans => spans.add(record)?,
            Ok(RecordKind::Events) if sequence > floors.events => events.add(record)?,
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = read {
            undecodable.push(format!("log record {sequence} cannot be decoded and is left out: {e}"));
        }
        Ok(())
    };
    let (damaged, log_gone) = match wal::read_after(fs, dir, Some(*node_id), floors.log, &mut each)? {
        ReadEnd::Trimmed { missing } => {
            return Ok(Log::Trimmed(format!("records {} to {} are gone", missing.start(), missing.end())));
        }
        ReadEnd::Complete { damaged, log_gone, .. } => (damaged, log_gone),
    };
    damaged.iter().for_each(|damage| notes.add(describe(damage)));
    undecodable.into_iter().for_each(|note| notes.add(note));
    if log_gone {
        notes.add(format!(
            "the log {} is gone or empty, though the tables were written from it: what was acknowledged and not yet in \
             a table is missing from the answer",
            dir.display()
        ));
    }
    Ok(Log::Rows { spans: spans.finish()?, events: events.finish()? })
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
