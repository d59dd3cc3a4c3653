//! The store: the write-ahead log, the memory tables, the flush, and the catalogue of files, as one thing.
//!
//! In: requests, encoded. Out: [`Snapshot`], the one consistent view that every reader takes.
//!
//! ```text
//! append -> log (group, fdatasync) -> active memory table -> acknowledged
//!           active -> frozen -> sorted files, synced -> commit with the log's sequence, synced -> published, log trimmed
//! ```
//!
//! Spans and service events have a table each and the log in common ([`kind`]).
//!
//! Invariants:
//! * What is acknowledged is durable, and visible to every snapshot taken afterwards.
//! * Memory tables are filled in the order of the log, and flushed in that order, of both kinds at the same cuts: a
//!   commit covers all that the log has for its table up to its sequence. What a table's sequence does not cover is
//!   replayed at start, so each span and each event is stored exactly once.
//! * The log is trimmed only to where the last commit of a cut has said that all tables hold it ([`floors`]).
//! * A flush publishes its files and drops its memory table in one step, a compaction its outputs and inputs: a
//!   snapshot sees each span once.
//! * Memory is bounded: above one and a half times the flush size appends are refused ([`crate::error::ErrorKind::Busy`]) until a
//!   flush is through. A flush that fails keeps its memory table and is tried again.
//! * Disk space: a flush that finds the disk full uses the reserve. From then on appends are refused, and neither the
//!   log nor compaction takes space, until the reserve is held again.
//!
//! The data folder:
//!
//! | name | what it is |
//! |---|---|
//! | `node-id` | 32 hex digits: whose log this is, and who commits to the table |
//! | `wal/` | the log's segments |
//! | `tables/spans/`, `tables/events/` | the tables |
//! | `reserve` | disk space held back, so that a full disk can still take the flush that frees the log's |
//! | `quarantine/` | table log entries that could not be read, moved out of the way |

mod compact;
mod core;
mod days;
mod events;
pub mod floors;
mod flush;
mod kind;
mod open;
mod space;
mod spans;
mod target;

pub use days::day_of;
pub use events::memtable::{EncodedEvents, EventMemTable, StoredEvent};
pub(crate) use open::parse_node_id;
pub use spans::memtable::{EncodedBatch, MemTable, StoredSpan};

use self::core::{Core, Damage};
use self::flush::FlushWhat;
use crate::codec::stored::{self, RecordKind, StoredError};
use crate::error::{Error, Result};
use crate::lake::spans::summary::Summary;
use crate::lake::{DataFile, TableSpec};
use crate::wal::{Wal, WalError};
use bytes::Bytes;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How the store works. [`StoreConfig::new`] has what suits a server.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub data_dir: PathBuf,
    /// Bytes in memory at which a flush begins; see [`StoreConfig::memory_limit`] for when appends are refused.
    pub flush_bytes: usize,
    /// The longest that rows stay in memory.
    pub flush_interval: Duration,
    /// The size of a segment of the log.
    pub segment_bytes: u64,
    /// The size of the reserve file; 0 for none.
    pub reserve_bytes: u64,
    /// Commits between two times of maintenance of the table (checkpoint, clean-up, opening anew).
    pub maintenance_commits: u64,
    /// How many files of about the same size a day may have before they are merged.
    pub compact_files: usize,
    /// How long files that a compaction superseded, and log entries of the table below a checkpoint, stay for readers
    /// of other processes.
    pub removed_file_retention: Duration,
    /// The zstd level of data files.
    pub compression: i32,
    /// The tags of which all values are kept for people to choose from.
    pub kept_tags: Arc<[String]>,
    /// How long service events are kept; `None` for ever.
    pub event_retention: Option<Duration>,
    /// The id of a new data folder's node; `None` to draw one.
    pub node_id: Option<[u8; 16]>,
    /// Whether flushes and compactions run by themselves; tests turn it off to choose their moments.
    pub background: bool,
}

impl StoreConfig {
    /// The settings of a server.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        StoreConfig {
            data_dir: data_dir.into(),
            flush_bytes: 64 << 20,
            flush_interval: Duration::from_secs(30),
            segment_bytes: 32 << 20,
            reserve_bytes: 64 << 20,
            maintenance_commits: 100,
            compact_files: 8,
            removed_file_retention: Duration::from_secs(600),
            compression: 3,
            kept_tags: Arc::default(),
            event_retention: None,
            node_id: None,
            background: true,
        }
    }

    /// The most bytes of rows in memory, above which appends are refused: those being flushed, and half as many that
    /// come in meanwhile.
    pub fn memory_limit(&self) -> usize {
        self.flush_bytes.saturating_add(self.flush_bytes / 2)
    }

    /// The folder of the log.
    pub fn wal_dir(data_dir: &Path) -> PathBuf {
        data_dir.join("wal")
    }

    /// The folder of the table `spans`.
    pub fn table_dir(data_dir: &Path) -> PathBuf {
        Self::dir_of(data_dir, &crate::lake::spans::TABLE)
    }

    /// The folder of the table `events`.
    pub fn events_dir(data_dir: &Path) -> PathBuf {
        Self::dir_of(data_dir, &crate::lake::events::TABLE)
    }

    /// The folder of all tables.
    pub fn tables_dir(data_dir: &Path) -> PathBuf {
        data_dir.join("tables")
    }

    /// The folder of a table.
    pub fn dir_of(data_dir: &Path, table: &TableSpec) -> PathBuf {
        Self::tables_dir(data_dir).join(table.name)
    }

    /// The file with the node's id.
    pub fn node_id_file(data_dir: &Path) -> PathBuf {
        data_dir.join("node-id")
    }

    /// The name under which a node's flushes commit.
    pub fn flush_writer(node_id: &[u8; 16]) -> String {
        format!("ingest:{:032x}", u128::from_be_bytes(*node_id))
    }

    /// The name under which a commit says up to where all tables hold a node's log.
    pub fn log_mark(node_id: &[u8; 16]) -> String {
        format!("log:{:032x}", u128::from_be_bytes(*node_id))
    }
}

/// One consistent view of all spans and events: each is in one memory table or one file of it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Of spans, the oldest first.
    pub memtables: Vec<Arc<MemTable>>,
    /// Of spans.
    pub files: Arc<Vec<Arc<DataFile>>>,
    pub events: EventsView,
    /// The tags of which summaries keep all values.
    kept_tags: Arc<[String]>,
    damage: Arc<Damage>,
}

/// The events' part of a [`Snapshot`].
#[derive(Clone, Debug, Default)]
pub struct EventsView {
    /// The oldest first.
    pub memtables: Vec<Arc<EventMemTable>>,
    pub files: Arc<Vec<Arc<DataFile>>>,
}

/// A request's rows, encoded.
#[derive(Clone, Debug)]
pub enum Batch {
    Spans(EncodedBatch),
    Events(EncodedEvents),
}

impl Batch {
    /// Finds the rows in a record of the log.
    pub fn index(bytes: Bytes) -> std::result::Result<Self, StoredError> {
        Ok(match stored::kind(&bytes)? {
            RecordKind::Spans => Batch::Spans(EncodedBatch::index(bytes)?),
            RecordKind::Events => Batch::Events(EncodedEvents::index(bytes)?),
        })
    }

    fn bytes(&self) -> &Bytes {
        match self {
            Batch::Spans(batch) => &batch.bytes,
            Batch::Events(batch) => &batch.bytes,
        }
    }

    /// How many bytes of memory the batch takes in a memory table.
    pub fn memory(&self) -> usize {
        match self {
            Batch::Spans(batch) => batch.memory(),
            Batch::Events(batch) => batch.memory(),
        }
    }
}

impl From<EncodedBatch> for Batch {
    fn from(batch: EncodedBatch) -> Self {
        Batch::Spans(batch)
    }
}

impl From<EncodedEvents> for Batch {
    fn from(batch: EncodedEvents) -> Self {
        Batch::Events(batch)
    }
}

impl Snapshot {
    /// A view of these, beside any store.
    pub fn of(memtables: Vec<Arc<MemTable>>, files: Vec<Arc<DataFile>>) -> Self {
        let (events, files) = (EventsView::default(), Arc::new(files));
        Snapshot { memtables, files, events, kept_tags: Arc::default(), damage: Arc::default() }
    }

    /// A view of these events, beside any store.
    pub fn of_events(events: EventsView) -> Self {
        Snapshot { events, ..Snapshot::of(Vec::new(), Vec::new()) }
    }

    /// Summaries of the spans in memory.
    pub fn recent(&self) -> Result<Vec<Arc<Summary>>> {
        let mut summaries = Vec::new();
        for memtable in &self.memtables {
            summaries.extend(memtable.summaries(&self.kept_tags)?);
        }
        Ok(summaries)
    }

    /// Notes damage that a reader has met, for the operator: [`Status::damaged`] has it from then on. Of a file of the
    /// snapshot that the text names by its path, only what was noted first is kept.
    pub fn note_damage(&self, what: String) {
        let mut files = self.files.iter().chain(self.events.files.iter());
        let named = files.find(|file| what.contains(&*file.path().to_string_lossy()));
        self.damage.note(named.map(|file| file.path()), what);
    }
}

/// What a flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FlushReport {
    /// Rows that were committed, of each table.
    pub spans: u64,
    pub events: u64,
    /// Data files that were committed, of both tables.
    pub files: usize,
    /// The version of the table `spans`.
    pub version: u64,
    pub events_version: u64,
}

/// What a compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CompactReport {
    /// Files that were merged.
    pub merged: usize,
    /// Files that they became.
    pub written: usize,
    /// Files whose time was over.
    pub expired: usize,
    /// Superseded files that were deleted.
    pub deleted: usize,
}

/// How the store is.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Status {
    /// Rows that are not yet in their table.
    pub memory_spans: usize,
    pub memory_events: usize,
    /// Of both.
    pub memory_bytes: usize,
    /// Live files of the table `spans`.
    pub files: usize,
    /// Rows in it.
    pub table_spans: u64,
    pub table_version: u64,
    /// Live files of the table `events`.
    pub event_files: usize,
    /// Rows in it.
    pub table_events: u64,
    pub events_version: u64,
    /// The last sequence that the log made durable.
    pub log_sequence: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Why the last flush failed, or that the disk is full; spans stay in memory and in the log, and it is tried again.
    pub flush_error: Option<String>,
    /// Damage that was found in the log or the table, until an operator has looked.
    pub damaged: Vec<String>,
}

/// The open store: the one writer of its data folder.
#[derive(Debug)]
pub struct Store {
    core: Arc<Core>,
    wal: Arc<Wal>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Appends a request. Resolves to its log sequence once it is durable and visible.
    ///
    /// # Errors
    /// Busy where memory or the disk is full, or the disk failed: nothing of the request was acknowledged, though some
    /// of it may be found later; a retry stays one span.
    pub async fn append(&self, batch: impl Into<Batch>) -> Result<u64> {
        let batch = batch.into();
        self.admit(batch.memory())?;
        let core = self.core.clone();
        let bytes = batch.bytes().clone();
        let appended = self.wal.append(bytes, Box::new(move |sequence| core.insert(sequence, batch)));
        appended.await.map_err(|error| {
            if matches!(error, WalError::NoSpace { .. }) && self.core.memory() > 0 {
                // What is in memory takes up log too: once it is in the table, its segments make room.
                self.core.wake_flush();
            }
            error.into()
        })
    }

    /// Whether a request of about `bytes` can be taken now.
    pub fn admit(&self, bytes: usize) -> Result<()> {
        if self.core.drains() {
            return Err(self.core.full());
        }
        let limit = self.core.config.memory_limit();
        let used = self.core.memory() + self.wal.queued_bytes();
        // A request larger than all of the memory is taken when there is nothing else, rather than never.
        if used > 0 && used.saturating_add(bytes) > limit {
            self.core.wake_flush();
            return Err(Error::busy(format!(
                "{used} bytes wait to be written to the tables, and {limit} is the most that is kept in memory; repeat the request in a second"
            )));
        }
        Ok(())
    }

    /// The present view.
    pub fn snapshot(&self) -> Snapshot {
        self.core.snapshot()
    }

    /// Commits all that is in memory to the table. Goes on if the future is dropped.
    pub async fn flush(&self) -> Result<FlushReport> {
        let (core, wal) = (self.core.clone(), self.wal.clone());
        to_the_end(async move { core.flush(&wal, FlushWhat::All).await }).await
    }

    /// Merges files where there are too many, drops those whose time is over, and deletes superseded ones that have been
    /// kept long enough for readers. Goes on if the future
    /// is dropped.
    pub async fn compact(&self) -> Result<CompactReport> {
        let core = self.core.clone();
        to_the_end(async move {
            let mut report = core.compact().await?;
            report.deleted = core.purge(core.config.removed_file_retention).await;
            Ok(report)
        })
        .await
    }

    /// How the store is.
    pub fn status(&self) -> Status {
        self.core.status(&self.wal)
    }

    /// Flushes and closes: appends are refused from now on. All that was acknowledged is in the table afterwards, or,
    /// where that fails, in the log, from which the next start takes it.
    pub async fn close(&self) -> Result<()> {
        self.core.stop();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // A task that panicked has nothing more to finish.
            let _ = task.await;
        }
        let wal = self.wal.clone();
        let _ = tokio::task::spawn_blocking(move || wal.close()).await;
        self.flush().await.map(|_| ())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Else a store that was not closed would go on flushing.
        self.core.stop();
    }
}

/// Runs work in a task of its own: a client that goes away must not end it between two steps, nor a panic in it end
/// the loop that it was called from.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::internal(format!("a task of the store did not come to its end: {error}"))),
    }
}
