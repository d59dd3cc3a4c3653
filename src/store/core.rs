//! What the log's thread, the flush, compaction and readers share.

use super::events::Events;
use super::floors::Floors;
use super::flush::FlushWhat;
use super::kind::{Kind, Memory, Shelf, Side};
use super::spans::Spans;
use super::target::Target;
use super::{Batch, EventsView, Snapshot, Status, StoreConfig};
use crate::clock::Clock;
use crate::error::Error;
use crate::fs::Fs;
use crate::lake::{DataFile, FileInfo, Table, TableError};
use crate::wal::Wal;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::{Notify, watch};

#[derive(Debug)]
pub(super) struct Core {
    pub config: StoreConfig,
    pub fs: Arc<dyn Fs>,
    pub clock: Arc<dyn Clock>,
    /// The name under which flushes commit.
    pub writer: String,
    /// The name under which a commit says up to where all tables hold the log.
    pub log_mark: String,
    /// What was said of that before this start.
    pub marked: u64,
    view: RwLock<View>,
    pub spans: Shelf<Spans>,
    pub events: Shelf<Events>,
    /// Held by the one flush that runs.
    pub flushing: tokio::sync::Mutex<()>,
    flush_wanted: Notify,
    pub compaction_wanted: Notify,
    stopping: watch::Sender<bool>,
    names: AtomicU64,
    flush_error: Mutex<Option<String>>,
    damage: Arc<Damage>,
    /// The disk is full: the reserve is in use, or there was no space for one. It is there to make room with, so nothing
    /// but flushes takes space until it is held again.
    pub drains: AtomicBool,
}

/// What snapshots are taken of.
///
/// Memory is cut for all tables at once, at one sequence of the log: a flush brings every table up to it.
#[derive(Debug)]
pub(super) struct View {
    pub spans: Side<Spans>,
    pub events: Side<Events>,
    /// The last sequence that was inserted; 0 for none since the last cut.
    active_last: AtomicU64,
    /// The last sequences of what is in line to be flushed, the oldest first.
    cuts: VecDeque<u64>,
    /// All tables hold the log up to this sequence.
    flushed: u64,
}

/// A table as it was opened, with its live files.
#[derive(Debug)]
pub(super) struct Opened {
    pub table: Table,
    pub files: Vec<FileInfo>,
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

impl View {
    /// Bytes of what is active.
    fn active_bytes(&self) -> usize {
        self.spans.active.bytes() + self.events.active.bytes()
    }
}

impl Core {
    pub fn new(
        config: StoreConfig,
        fs: Arc<dyn Fs>,
        clock: Arc<dyn Clock>,
        node_id: &[u8; 16],
        spans: Opened,
        events: Opened,
        floors: Floors,
    ) -> Self {
        fn of<K: Kind>(fs: &Arc<dyn Fs>, opened: Opened) -> (Shelf<K>, Side<K>) {
            let version = opened.table.version();
            let shelf = Shelf::new(opened.table);
            let side = Side::new(shelf.files(fs, &opened.files), version);
            (shelf, side)
        }
        let ((spans, spans_side), (events, events_side)) = (of(&fs, spans), of(&fs, events));
        Core {
            writer: StoreConfig::flush_writer(node_id),
            log_mark: StoreConfig::log_mark(node_id),
            config,
            fs,
            clock,
            view: RwLock::new(View {
                spans: spans_side,
                events: events_side,
                active_last: AtomicU64::new(0),
                cuts: VecDeque::new(),
                flushed: floors.above().after,
            }),
            marked: floors.log,
            spans,
            events,
            flushing: tokio::sync::Mutex::default(),
            flush_wanted: Notify::new(),
            compaction_wanted: Notify::new(),
            stopping: watch::Sender::new(false),
            names: AtomicU64::new(0),
            flush_error: Mutex::default(),
            damage: Arc::default(),
            drains: AtomicBool::new(false),
        }
    }

    fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a batch that the log made durable. Called in the order of the log, by one thread at a time.
    pub fn insert(&self, sequence: u64, batch: Batch) {
        // Memory is flushed as a whole: it must not grow beyond what the reserve has room for.
        let limit = self.config.flush_bytes;
        if self.view().active_bytes().saturating_add(batch.memory()) > limit {
            self.freeze();
            self.wake_flush();
        }
        let view = self.view();
        match batch {
            Batch::Spans(batch) => view.spans.active.append(sequence, batch),
            Batch::Events(batch) => view.events.active.append(sequence, batch),
        }
        view.active_last.store(sequence, Ordering::Release);
        let full = view.active_bytes() >= limit;
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

    /// Milliseconds since 1970 UTC.
    pub fn now_millis(&self) -> i64 {
        self.clock.now_micros() / 1_000
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
        let view = self.view();
        view.spans.bytes() + view.events.bytes()
    }

    pub fn snapshot(&self) -> Snapshot {
        let view = self.view();
        Snapshot {
            memtables: view.spans.memories(),
            files: view.spans.files.clone(),
            events: EventsView { memtables: view.events.memories(), files: view.events.files.clone() },
            kept_tags: self.config.kept_tags.clone(),
            damage: self.damage.clone(),
        }
    }

    pub fn status(&self, wal: &Wal) -> Status {
        let snapshot = self.snapshot();
        let (table_version, events_version) = (self.version::<Spans>(), self.version::<Events>());
        let flush_error = self.flush_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let rows = |files: &[Arc<DataFile>]| files.iter().map(|file| file.info().rows).sum();
        let (spans, events) = (&snapshot.memtables, &snapshot.events.memtables);
        let bytes = spans.iter().map(|table| table.bytes()).sum::<usize>()
            + events.iter().map(|table| table.bytes()).sum::<usize>();
        Status {
            memory_spans: spans.iter().map(|table| table.rows()).sum(),
            memory_events: events.iter().map(|table| table.rows()).sum(),
            memory_bytes: bytes,
            files: snapshot.files.len(),
            table_spans: rows(&snapshot.files),
            table_version,
            event_files: snapshot.events.files.len(),
            table_events: rows(&snapshot.events.files),
            events_version,
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

    /// Puts what is active in line to be flushed, of all tables at the same sequence of the log.
    pub fn freeze(&self) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let last = std::mem::take(view.active_last.get_mut());
        if last > 0 {
            view.spans.freeze(last);
            view.events.freeze(last);
            view.cuts.push_back(last);
        }
    }

    /// The cut that is to be flushed next.
    pub fn next_cut(&self) -> Option<u64> {
        self.view().cuts.front().copied()
    }

    /// What of a cut is still in memory.
    pub fn of_cut<K: Kind>(&self, cut: u64) -> Option<Arc<K::Memory>> {
        K::side(&self.view()).of_cut(cut)
    }

    /// Says that all tables hold what there is up to `cut`.
    pub fn end_cut(&self, cut: u64) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        view.cuts.retain(|waiting| *waiting != cut);
        view.flushed = view.flushed.max(cut);
    }

    /// The last sequence that a flush is to bring to the tables; `None` if memory is empty.
    pub fn flush_until(&self, what: FlushWhat) -> Option<u64> {
        let view = self.view();
        let active = Some(view.active_last.load(Ordering::Acquire)).filter(|last| *last > 0);
        let in_line = view.cuts.back().copied();
        match what {
            FlushWhat::All => active.or(in_line),
            FlushWhat::Line => in_line.or(active),
        }
    }

    /// A table's version.
    pub fn version<K: Kind>(&self) -> u64 {
        K::side(&self.view()).version
    }

    /// The live files of a table.
    pub fn files<K: Kind>(&self) -> Arc<Vec<Arc<DataFile>>> {
        K::side(&self.view()).files.clone()
    }

    /// The sequence up to which all tables hold the log.
    pub fn flushed(&self) -> u64 {
        self.view().flushed
    }

    /// Where new files go: their names begin with what they are, how far their writer has come, the time and a count.
    pub fn target<K: Kind>(&self, what: &str, sequence: u64) -> Target {
        let count = self.names.fetch_add(1, Ordering::Relaxed);
        Target {
            fs: self.fs.clone(),
            root: K::shelf(self).root.clone(),
            name: format!("{what}{sequence:020}-{:x}-{count}", self.clock.now_micros()),
            compression: self.config.compression,
        }
    }

    /// Puts a flush's files in the place of its memory table, in one step for every reader.
    pub fn publish_flush<K: Kind>(&self, version: u64, add: &[FileInfo], memory: &Arc<K::Memory>) {
        self.publish::<K>(version, add, |side| side.frozen.retain(|(_, frozen)| !Arc::ptr_eq(frozen, memory)));
    }

    /// Puts a compaction's outputs in the place of its inputs, in one step for every reader.
    pub fn publish_compaction<K: Kind>(&self, version: u64, add: &[FileInfo], inputs: &[Arc<DataFile>]) {
        self.publish::<K>(version, add, |side| {
            let stays = |file: &&Arc<DataFile>| !inputs.iter().any(|input| Arc::ptr_eq(input, file));
            side.files = Arc::new(side.files.iter().filter(stays).cloned().collect());
        });
    }

    fn publish<K: Kind>(&self, version: u64, add: &[FileInfo], remove: impl FnOnce(&mut Side<K>)) {
        let add = K::shelf(self).files(&self.fs, add);
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        let side = K::side_mut(&mut view);
        remove(side);
        side.files = Arc::new(side.files.iter().cloned().chain(add).collect());
        // A flush and a compaction may come here in another order than they committed in.
        side.version = side.version.max(version);
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
