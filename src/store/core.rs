//! What the log's thread, the flush, compaction and readers share.

use super::compact::Compacting;
use super::flush::FlushWhat;
use super::layout::{Target, Written};
use super::space::Removed;
use super::{EncodedBatch, MemTable, Snapshot, Status, StoreConfig};
use crate::clock::Clock;
use crate::error::Error;
use crate::fs::Fs;
use crate::lake::{DataFile, FileInfo, Table, TableError};
use crate::wal::Wal;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::{Notify, watch};

#[derive(Debug)]
pub(super) struct Core {
    pub config: StoreConfig,
    pub fs: Arc<dyn Fs>,
    pub clock: Arc<dyn Clock>,
    /// The table's folder.
    pub root: PathBuf,
    /// The name under which flushes commit.
    pub writer: String,
    view: RwLock<View>,
    /// The table's one writer; held while a commit is made.
    pub table: tokio::sync::Mutex<TableWriter>,
    /// Held by the one flush that runs. The files of the oldest frozen memory table, where they are written and not
    /// yet known to be committed.
    pub flushing: tokio::sync::Mutex<Option<Written>>,
    /// Held by the one compaction that runs.
    pub compacting: tokio::sync::Mutex<Compacting>,
    flush_wanted: Notify,
    pub compaction_wanted: Notify,
    stopping: watch::Sender<bool>,
    names: AtomicU64,
    flush_error: Mutex<Option<String>>,
    damage: Arc<Damage>,
    /// The disk is full: the reserve is in use, or there was no space for one. It is there to make room with, so nothing
    /// but flushes takes space until it is held again.
    pub drains: AtomicBool,
    /// Files to be deleted; held while some are.
    pub removed: tokio::sync::Mutex<Vec<Removed>>,
}

/// What snapshots are taken of.
#[derive(Debug)]
struct View {
    active: Arc<MemTable>,
    /// The oldest first.
    frozen: VecDeque<Arc<MemTable>>,
    files: Arc<Vec<Arc<DataFile>>>,
    version: u64,
    /// The table holds the log up to this sequence.
    flushed: u64,
}

/// The table with what its maintenance needs to know.
#[derive(Debug)]
pub(super) struct TableWriter {
    pub table: Table,
    /// Commits since the last maintenance.
    pub commits: u64,
}

/// Damage that was found, for the operator: each of it once, and of a data file only what was found first.
#[derive(Debug, Default)]
pub(super) struct Damage {
    noted: Mutex<Vec<(Option<PathBuf>, String)>>,
}

impl Damage {
    /// Notes damage, to a data file where one is given.
    pub fn note(&self, file: Option<&Path>, what: String) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = noted.iter().any(|(path, text)| *text == what || (file.is_some() && path.as_deref() == file));
        if !is_known {
            tracing::error!("{what}");
            noted.push((file.map(Path::to_owned), what));
        }
    }

    fn texts(&self) -> Vec<String> {
        let noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.iter().map(|(_, what)| what.clone()).collect()
    }
}

impl Core {
    pub fn new(
        config: StoreConfig,
        fs: Arc<dyn Fs>,
        clock: Arc<dyn Clock>,
        writer: String,
        table: Table,
        files: Vec<FileInfo>,
        flushed: u64,
    ) -> Self {
        let root = table.root().to_owned();
        let files = files.into_iter().map(|info| Arc::new(DataFile::new(fs.clone(), &root, info))).collect();
        let version = table.version();
        Core {
            config,
            fs,
            clock,
            root,
            writer,
            view: RwLock::new(View {
                active: Arc::default(),
                frozen: VecDeque::new(),
                files: Arc::new(files),
                version,
                flushed,
            }),
            table: tokio::sync::Mutex::new(TableWriter { table, commits: 0 }),
            flushing: tokio::sync::Mutex::default(),
            compacting: tokio::sync::Mutex::default(),
            flush_wanted: Notify::new(),
            compaction_wanted: Notify::new(),
            stopping: watch::Sender::new(false),
            names: AtomicU64::new(0),
            flush_error: Mutex::default(),
            damage: Arc::default(),
            drains: AtomicBool::new(false),
            removed: tokio::sync::Mutex::default(),
        }
    }

    /// Adds a batch that the log made durable. Called in the order of the log, by one thread at a time.
    pub fn insert(&self, sequence: u64, batch: EncodedBatch) {
        // A memory table is flushed as a whole: it must not grow beyond what the reserve has room for.
        let over = |view: &View| view.active.bytes().saturating_add(batch.memory()) > self.config.flush_bytes;
        if over(&self.view.read().unwrap_or_else(PoisonError::into_inner)) {
            self.freeze();
            self.wake_flush();
        }
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.active.append(sequence, batch);
        let full = view.active.bytes() >= self.config.flush_bytes;
        drop(view);
        if full {
            self.freeze();
            self.wake_flush();
        }
    }

    /// Whether the disk is full and what space is left is for flushes.
    pub fn drains(&self) -> bool {
        self.drains.load(Ordering::Acquire)
    }

    pub fn wake_flush(&self) {
        self.flush_wanted.notify_one();
    }

    /// Resolves when a flush is wanted before its time.
    pub async fn flush_wanted(&self) {
        self.flush_wanted.notified().await;
    }

    /// Bytes of the memory tables.
    pub fn memory(&self) -> usize {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.active.bytes() + view.frozen.iter().map(|table| table.bytes()).sum::<usize>()
    }

    pub fn snapshot(&self) -> Snapshot {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let memtables = view.frozen.iter().chain([&view.active]).filter(|table| !table.is_empty()).cloned().collect();
        Snapshot {
            memtables,
            files: view.files.clone(),
            kept_tags: self.config.kept_tags.clone(),
            damage: self.damage.clone(),
        }
    }

    pub fn status(&self, wal: &Wal) -> Status {
        let snapshot = self.snapshot();
        let version = self.version();
        let flush_error = self.flush_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Status {
            memory_spans: snapshot.memtables.iter().map(|table| table.spans()).sum(),
            memory_bytes: snapshot.memtables.iter().map(|table| table.bytes()).sum(),
            files: snapshot.files.len(),
            table_spans: snapshot.files.iter().map(|file| file.info().rows).sum(),
            table_version: version,
            log_sequence: wal.last_durable(),
            log_bytes: wal.bytes(),
            flush_error: flush_error.or_else(|| self.drains().then(|| self.full().to_string())),
            damaged: self.damage.texts(),
        }
    }

    /// Notes damage for the operator.
    pub fn note_damage(&self, what: String) {
        self.damage.note(None, what);
    }

    /// Notes damage to a data file for the operator.
    pub fn note_damaged_file(&self, file: &Path, what: String) {
        self.damage.note(Some(file), what);
    }

    /// Ends the background work after what it is doing.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// The refusal of a full disk.
    pub fn full(&self) -> Error {
        let (bytes, folder) = (self.config.reserve_bytes, self.config.data_dir.display());
        Error::busy(format!(
            "the disk is full: the {bytes} bytes of reserve in {folder} are in use for writing what is in memory; free disk space, appends then resume by themselves"
        ))
    }

    /// Puts the active memory table in line to be flushed.
    pub fn freeze(&self) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if !view.active.is_empty() {
            let active = std::mem::take(&mut view.active);
            view.frozen.push_back(active);
        }
    }

    /// The memory table that is to be flushed next.
    pub fn next_frozen(&self) -> Option<Arc<MemTable>> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).frozen.front().cloned()
    }

    /// The last sequence that a flush is to bring to the table; `None` if memory is empty.
    pub fn flush_until(&self, what: FlushWhat) -> Option<u64> {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        let (active, frozen) =
            (view.active.last_sequence(), view.frozen.back().and_then(|table| table.last_sequence()));
        match what {
            FlushWhat::All => active.or(frozen),
            FlushWhat::Line => frozen.or(active),
        }
    }

    /// The table's version.
    pub fn version(&self) -> u64 {
        self.view.read().unwrap_or_else(PoisonError::into_inner).version
    }

    /// The sequence up to which the table holds the log.
    pub fn flushed(&self) -> u64 {
        self.view.read().unwrap_or_else(PoisonError::into_inner).flushed
    }

    /// Where new files go: their names begin with what they are, how far their writer has come, the time and a count.
    pub fn target(&self, what: &str, sequence: u64) -> Target {
        let count = self.names.fetch_add(1, Ordering::Relaxed);
        Target {
            fs: self.fs.clone(),
            root: self.root.clone(),
            name: format!("{what}{sequence:020}-{:x}-{count}", self.clock.now_micros()),
            compression: self.config.compression,
            kept_tags: self.config.kept_tags.clone(),
        }
    }

    /// Puts a flush's files in the place of its memory table, in one step for every reader.
    pub fn publish_flush(&self, version: u64, add: &[FileInfo], memtable: &Arc<MemTable>) {
        self.publish(version, add, |view| {
            view.frozen.retain(|frozen| !Arc::ptr_eq(frozen, memtable));
            view.flushed = view.flushed.max(memtable.last_sequence().unwrap_or_default());
        });
    }

    /// Puts a compaction's outputs in the place of its inputs, in one step for every reader.
    pub fn publish_compaction(&self, version: u64, add: &[FileInfo], inputs: &[Arc<DataFile>]) {
        self.publish(version, add, |view| {
            let stays = |file: &&Arc<DataFile>| !inputs.iter().any(|input| Arc::ptr_eq(input, file));
            view.files = Arc::new(view.files.iter().filter(stays).cloned().collect());
        });
    }

    fn publish(&self, version: u64, add: &[FileInfo], remove: impl FnOnce(&mut View)) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        remove(&mut view);
        let add = add.iter().map(|info| Arc::new(DataFile::new(self.fs.clone(), &self.root, info.clone())));
        view.files = Arc::new(view.files.iter().cloned().chain(add).collect());
        // A flush and a compaction may come here in another order than they committed in.
        view.version = view.version.max(version);
    }

    pub fn set_flush_error(&self, error: Option<String>) {
        if let Some(error) = &error {
            tracing::error!("flush failed, it is tried again: {error}");
        }
        *self.flush_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// Runs work that blocks where it does not hold up the runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and whoever waits here with it.
            Err(_) => std::future::pending().await,
        },
    }
}

pub(super) fn table_error(error: TableError) -> Error {
    match &error {
        TableError::UnreadableEntry { .. } | TableError::DamagedEntry { .. } | TableError::NewerSchema { .. } => {
            Error::damaged(error.to_string())
        }
        other if other.is_no_space() => Error::busy(error.to_string()),
        _ => Error::internal(error.to_string()),
    }
}
