//! What the log's thread, the flush, compaction and readers share.

use super::flush::{self, FlushError, Written};
use super::{EncodedBatch, FlushReport, MemTable, Snapshot, Status, StoreConfig};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::fs::{Fs, OpenMode};
use crate::lake::table::Commit;
use crate::lake::{DataFile, FileInfo, Table, TableError};
use crate::wal::Wal;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;
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
    /// Held by the one flush that runs.
    flushing: tokio::sync::Mutex<()>,
    /// Held by the one compaction that runs.
    pub compacting: tokio::sync::Mutex<()>,
    flush_wanted: Notify,
    pub compaction_wanted: Notify,
    stopping: watch::Sender<bool>,
    names: AtomicU64,
    notes: Mutex<Notes>,
    pub removed: Mutex<Vec<Removed>>,
}

/// What snapshots are taken of.
#[derive(Debug)]
struct View {
    active: Arc<MemTable>,
    /// The oldest first.
    frozen: VecDeque<Arc<MemTable>>,
    files: Arc<Vec<Arc<DataFile>>>,
    version: u64,
}

/// The table with what its maintenance needs to know.
#[derive(Debug)]
pub(super) struct TableWriter {
    pub table: Table,
    commits: u64,
}

#[derive(Debug, Default)]
struct Notes {
    flush_error: Option<String>,
    damaged: Vec<String>,
}

/// A file that is no longer part of the table, until it is deleted.
#[derive(Debug)]
pub(super) struct Removed {
    pub path: PathBuf,
    /// Microseconds since 1970 UTC.
    pub since: i64,
    /// Readers of this process that still hold it.
    pub readers: Weak<DataFile>,
}

impl Core {
    pub fn new(
        config: StoreConfig,
        fs: Arc<dyn Fs>,
        clock: Arc<dyn Clock>,
        writer: String,
        table: Table,
        files: Vec<FileInfo>,
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
            }),
            table: tokio::sync::Mutex::new(TableWriter { table, commits: 0 }),
            flushing: tokio::sync::Mutex::default(),
            compacting: tokio::sync::Mutex::default(),
            flush_wanted: Notify::new(),
            compaction_wanted: Notify::new(),
            stopping: watch::Sender::new(false),
            names: AtomicU64::new(0),
            notes: Mutex::default(),
            removed: Mutex::default(),
        }
    }

    /// Adds a batch that the log made durable. Called in the order of the log.
    pub fn insert(&self, sequence: u64, batch: EncodedBatch) {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        view.active.append(sequence, batch);
        if view.active.bytes() >= self.config.flush_bytes {
            self.wake_flush();
        }
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
        Snapshot { memtables, files: view.files.clone() }
    }

    pub fn status(&self, wal: &Wal) -> Status {
        let snapshot = self.snapshot();
        let version = self.view.read().unwrap_or_else(PoisonError::into_inner).version;
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        Status {
            memory_spans: snapshot.memtables.iter().map(|table| table.spans()).sum(),
            memory_bytes: snapshot.memtables.iter().map(|table| table.bytes()).sum(),
            files: snapshot.files.len(),
            table_spans: snapshot.files.iter().map(|file| file.info().rows).sum(),
            table_version: version,
            log_sequence: wal.last_durable(),
            log_bytes: wal.bytes(),
            flush_error: notes.flush_error.clone(),
            damaged: notes.damaged.clone(),
        }
    }

    /// Notes damage for the operator.
    pub fn note_damage(&self, what: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.damaged.contains(&what) {
            tracing::error!("{what}");
            notes.damaged.push(what);
        }
    }

    /// Ends the background work after what it is doing.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Puts the active memory table in line to be flushed.
    fn freeze(&self) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if !view.active.is_empty() {
            let active = std::mem::take(&mut view.active);
            view.frozen.push_back(active);
        }
    }

    /// The table's version, and the memory table that is to be flushed next.
    fn next_frozen(&self) -> (u64, Option<Arc<MemTable>>) {
        let view = self.view.read().unwrap_or_else(PoisonError::into_inner);
        (view.version, view.frozen.front().cloned())
    }

    /// Commits all that is in memory when the call is made.
    pub async fn flush(&self, wal: &Arc<Wal>) -> Result<FlushReport> {
        let (report, sequence) = self.flush_memory().await?;
        if let Some(sequence) = sequence {
            let wal = wal.clone();
            let trimmed = tokio::task::spawn_blocking(move || wal.trim(sequence)).await;
            if let Ok(Err(error)) = trimmed {
                // The spans are in the table; the segments stay until the next flush.
                tracing::warn!(%error, "could not trim the log");
            }
        }
        Ok(report)
    }

    /// As [`Core::flush`], without trimming the log: the sequence up to which it may be trimmed is given out.
    pub async fn flush_memory(&self) -> Result<(FlushReport, Option<u64>)> {
        let _one = self.flushing.lock().await;
        self.freeze();
        let mut report = FlushReport::default();
        let mut flushed_to = None;
        loop {
            let (version, next) = self.next_frozen();
            report.version = version;
            let Some(memtable) = next else { break };
            match self.flush_one(&memtable).await {
                Ok(written) => {
                    report.spans += written.files.iter().map(|file| file.rows).sum::<u64>();
                    report.files += written.files.len();
                    flushed_to = memtable.last_sequence();
                    self.set_flush_error(None);
                }
                Err(error) => {
                    self.set_flush_error(Some(error.to_string()));
                    return Err(error);
                }
            }
        }
        self.compaction_wanted.notify_one();
        Ok((report, flushed_to))
    }

    async fn flush_one(&self, memtable: &Arc<MemTable>) -> Result<Written> {
        let written = match self.write_files(memtable).await {
            Err(FlushError::Write(error)) if error.is_no_space() && self.release_reserve() => {
                tracing::warn!(%error, "the disk is full: using the reserve to write what is in memory");
                self.write_files(memtable).await
            }
            other => other,
        };
        let written = written.map_err(|error| match &error {
            FlushError::Write(write) if write.is_no_space() => {
                Error::busy(format!("{error}: free disk space, the flush is tried again by itself"))
            }
            FlushError::Write(_) => Error::internal(error.to_string()),
            FlushError::Stored(_) => Error::damaged(error.to_string()),
        })?;
        let sequence = memtable.last_sequence().unwrap_or_default();
        let mut writer = self.table.lock().await;
        let mut committed = self.commit_flush(&mut writer, &written, sequence).await;
        if committed.as_ref().is_err_and(TableError::is_no_space) && self.release_reserve() {
            committed = self.commit_flush(&mut writer, &written, sequence).await;
        }
        let version = committed.map_err(table_error)?;
        tracing::debug!(version, sequence, files = written.files.len(), "flushed");
        drop(writer);
        self.publish(&written.files, &[], version, Some(memtable));
        self.take_reserve();
        self.maintain().await;
        Ok(written)
    }

    async fn commit_flush(
        &self,
        writer: &mut TableWriter,
        written: &Written,
        sequence: u64,
    ) -> std::result::Result<u64, TableError> {
        writer.commits += 1;
        let commit = Commit {
            add: &written.files,
            remove: &[],
            writer: &self.writer,
            sequence: sequence as i64,
            now_millis: self.clock.now_micros() / 1_000,
            data_change: true,
        };
        // An attempt whose outcome was unknown may have been made before this one.
        if writer.table.sequence_of(&self.writer).await? >= Some(sequence as i64) {
            return Ok(writer.table.version());
        }
        writer.table.commit(&commit).await
    }

    async fn write_files(&self, memtable: &Arc<MemTable>) -> std::result::Result<Written, FlushError> {
        let (fs, root) = (self.fs.clone(), self.root.clone());
        let name = self.next_name(memtable.last_sequence().unwrap_or_default());
        let compression = self.config.compression;
        let memtable = memtable.clone();
        blocking(move || flush::write(&fs, &root, &memtable.batches(), &name, compression)).await
    }

    /// A name that no file of the table has had: sequence, time and a count.
    pub fn next_name(&self, sequence: u64) -> String {
        let count = self.names.fetch_add(1, Ordering::Relaxed);
        format!("{sequence:020}-{:x}-{count}", self.clock.now_micros())
    }

    /// Replaces files and drops a flushed memory table, in one step for every reader.
    pub fn publish(&self, add: &[FileInfo], remove: &[Arc<DataFile>], version: u64, flushed: Option<&Arc<MemTable>>) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let mut files: Vec<_> = view
            .files
            .iter()
            .filter(|file| !remove.iter().any(|removed| Arc::ptr_eq(removed, file)))
            .cloned()
            .collect();
        files.extend(add.iter().map(|info| Arc::new(DataFile::new(self.fs.clone(), &self.root, info.clone()))));
        view.files = Arc::new(files);
        view.version = version;
        if let Some(memtable) = flushed {
            view.frozen.retain(|frozen| !Arc::ptr_eq(frozen, memtable));
        }
    }

    /// Checkpoint, clean-up and opening anew, each [`StoreConfig::maintenance_commits`]: what commits cost grows with
    /// their number since the table was opened. A failure costs nothing but time, so it is only logged.
    pub async fn maintain(&self) {
        let mut writer = self.table.lock().await;
        if writer.commits < self.config.maintenance_commits {
            return;
        }
        writer.commits = 0;
        let keep_after = self.clock.now_micros() / 1_000 - self.config.removed_file_retention.as_millis() as i64;
        if let Err(error) = writer.table.maintain(keep_after).await {
            tracing::warn!(%error, "maintenance of the table failed; it is tried again later");
        }
    }

    /// Counts a commit that was made elsewhere than in a flush.
    pub fn count_commit(writer: &mut TableWriter) {
        writer.commits += 1;
    }

    /// Deletes superseded files that nobody reads and that have been kept for `retention`. Returns how many.
    pub async fn purge(&self, retention: Duration) -> usize {
        let due = {
            let now = self.clock.now_micros();
            let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
            let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
            let (due, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut *removed)
                .into_iter()
                .partition(|file| now - file.since >= retention && file.readers.strong_count() == 0);
            *removed = kept;
            due
        };
        if due.is_empty() {
            return 0;
        }
        let fs = self.fs.clone();
        blocking(move || due.iter().filter(|file| remove_file(fs.as_ref(), &file.path)).count()).await
    }

    fn set_flush_error(&self, error: Option<String>) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &error {
            tracing::error!("flush failed, it is tried again: {error}");
        }
        notes.flush_error = error;
    }

    fn reserve_path(&self) -> PathBuf {
        self.config.data_dir.join("reserve")
    }

    /// Gives the reserved space back to the file system; false if there was none.
    fn release_reserve(&self) -> bool {
        self.fs.remove_file(&self.reserve_path()).is_ok()
    }

    /// Reserves space again, if there is enough. Nothing depends on this being durable.
    pub fn take_reserve(&self) {
        let path = self.reserve_path();
        if self.config.reserve_bytes == 0 || self.fs.entry(&path).is_ok() {
            return;
        }
        let taken = self.fs.open(&path, OpenMode::CreateNew).and_then(|file| file.allocate(self.config.reserve_bytes));
        if let Err(error) = taken {
            let _ = self.fs.remove_file(&path);
            tracing::warn!(%error, path = %path.display(), "no disk space to hold in reserve");
        }
    }
}

/// Runs work that blocks where it does not hold up the runtime.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // The work panicked, or the runtime is going down: there is nothing sensible to return.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

fn remove_file(fs: &dyn Fs, path: &Path) -> bool {
    match fs.remove_file(path) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "could not delete a superseded file");
            false
        }
    }
}

pub(super) fn table_error(error: TableError) -> Error {
    match &error {
        TableError::UnreadableEntry { .. } | TableError::NewerSchema { .. } => Error::damaged(error.to_string()),
        other if other.is_no_space() => Error::busy(error.to_string()),
        _ => Error::internal(error.to_string()),
    }
}
