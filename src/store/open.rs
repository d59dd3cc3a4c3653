//! Opens a data folder: the table first, then the log above it.

use super::core::{Core, Opened, table_error};
use super::events::Events;
use super::floors::{Floors, Said};
use super::flush::{FlushWhat, Log};
use super::kind::Kind;
use super::space::Removed;
use super::spans::Spans;
use super::{Batch, Store, StoreConfig, to_the_end};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{self, Fs};
use crate::lake::data_file::Damaged;
use crate::lake::{Table, TableError, TableSpec, events, spans, table};
use crate::wal::{self, ReadEnd, Wal, WalConfig};
use bytes::Bytes;
use rand::TryRngCore;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How often files are looked at whose time may be over.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(3_600);

/// How long a failed flush waits for its next attempt.
const FLUSH_RETRY: Duration = Duration::from_secs(1);

impl Store {
    /// Opens the data folder, creating what is not there, and takes what the log holds above the table. Memory stays
    /// bounded meanwhile: what is replayed is flushed as it goes.
    ///
    /// The caller sees to it that no other process writes to the folder.
    pub async fn open(config: StoreConfig, fs: Arc<dyn Fs>, clock: Arc<dyn Clock>) -> Result<Arc<Store>> {
        let folder = &config.data_dir;
        fs.create_dir_all(folder).map_err(|e| Error::internal(format!("data folder {}: {e}", folder.display())))?;
        let node_id = node_id(fs.as_ref(), &config)?;
        let (spans, spans_damage) = open_table(&fs, &config, &node_id, &spans::TABLE).await?;
        let (events, events_damage) = open_table(&fs, &config, &node_id, &events::TABLE).await?;
        let said = |table| Said::of(table, &node_id);
        let spans_said = said(&spans.table).await.map_err(table_error)?;
        let floors = Floors::of(spans_said, said(&events.table).await.map_err(table_error)?);
        let core = Core::new(config.clone(), fs.clone(), clock.clone(), &node_id, spans, events, floors.log);
        let core = Arc::new(core);
        spans_damage.into_iter().chain(events_damage).for_each(|what| core.note_damage(what));
        let checked = core.clone();
        super::core::blocking(move || {
            check_files::<Spans>(&checked);
            check_files::<Events>(&checked);
        })
        .await;
        core.spans.removed.lock().await.extend(unreferenced::<Spans>(&core));
        core.events.removed.lock().await.extend(unreferenced::<Events>(&core));
        // The newest segment is never trimmed.
        let wal_dir = StoreConfig::wal_dir(&config.data_dir);
        let used = floors.used();
        if used > 0 && wal::owner(fs.as_ref(), &wal_dir)?.is_none() {
            core.note_damage(format!(
                "the write-ahead log in {} is gone or empty, though the table has taken its records up to {used}: what was acknowledged after that is lost; to have it back, stop the server and restore the folder",
                wal_dir.display()
            ));
        }

        let wal = open_log(&core, node_id, floors).await?;
        let store = Arc::new(Store { core: core.clone(), wal: wal.clone(), tasks: Mutex::default() });
        if config.background {
            core.compaction_wanted.notify_one();
            let tasks = vec![tokio::spawn(flush_in_time(core.clone(), wal)), tokio::spawn(compact_in_time(core))];
            if let Ok(mut running) = store.tasks.lock() {
                *running = tasks;
            }
        }
        Ok(store)
    }
}

/// Reads or makes the node's id. It is durable on return, before anything is written that bears it.
fn node_id(fs: &dyn Fs, config: &StoreConfig) -> Result<[u8; 16]> {
    let path = StoreConfig::node_id_file(&config.data_dir);
    let io_error = |e: io::Error| Error::internal(format!("{}: {e}", path.display()));
    match fs::read(fs, &path) {
        Ok(text) => {
            // The process that made it may have been killed before its name was durable.
            fs.sync_dir(&config.data_dir).map_err(io_error)?;
            parse_node_id(&text).ok_or_else(|| {
                Error::damaged(format!(
                    "{} does not hold 32 hex digits: restore it, or the log cannot be told from another node's",
                    path.display()
                ))
            })
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            refuse_to_adopt(fs, config)?;
            let mut id = config.node_id.unwrap_or_default();
            if config.node_id.is_none() {
                rand::rngs::OsRng
                    .try_fill_bytes(&mut id)
                    .map_err(|e| Error::internal(format!("no randomness for a node id: {e}")))?;
            }
            let text = format!("{:032x}\n", u128::from_be_bytes(id));
            fs::write_durably(fs, &path, text.as_bytes()).map_err(io_error)?;
            Ok(id)
        }
        Err(e) => Err(io_error(e)),
    }
}

/// A folder with data belongs to a node already: under a new id its log could not be read, nor its place in the table
/// be found.
fn refuse_to_adopt(fs: &dyn Fs, config: &StoreConfig) -> Result<()> {
    let log = StoreConfig::wal_dir(&config.data_dir);
    let has_files = |dir: &Path| fs.read_dir(dir).is_ok_and(|entries| entries.iter().any(|entry| !entry.is_dir));
    let tables = [&spans::TABLE, &events::TABLE];
    let tables = tables.map(|table| StoreConfig::dir_of(&config.data_dir, table).join(table::LOG_FOLDER));
    let table = tables.into_iter().find(|table| has_files(table));
    if !has_files(&log) && table.is_none() {
        return Ok(());
    }
    let path = StoreConfig::node_id_file(&config.data_dir);
    let remedy = match wal::owner(fs, &log)? {
        Some(id) => format!("write {:032x} into {}", u128::from_be_bytes(id), path.display()),
        None => format!(
            "restore it from a backup, or write into it what stands after \"ingest:\" in the entries in {}",
            table.unwrap_or(log).display()
        ),
    };
    Err(Error::damaged(format!("{} is gone, and the folder holds a node's data: {remedy}", path.display())))
}

/// The node id that a file's text holds.
pub(crate) fn parse_node_id(text: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let id = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    Some(id.to_be_bytes())
}

/// Opens a table. A newest log entry that a power cut left unreadable is moved aside, but only if nothing is lost by
/// that: the write-ahead log still holds all that the entry may have committed, and the files that it may have replaced
/// are still there. Else it stays where it is, and the opening fails.
async fn open_table(
    fs: &Arc<dyn Fs>,
    config: &StoreConfig,
    node_id: &[u8; 16],
    spec: &'static TableSpec,
) -> Result<(Opened, Option<String>)> {
    let (table, damage) = open_or_set_aside(fs, config, node_id, spec).await?;
    let files = table.files().await.map_err(table_error)?;
    Ok((Opened { table, files }, damage))
}

async fn open_or_set_aside(
    fs: &Arc<dyn Fs>,
    config: &StoreConfig,
    node_id: &[u8; 16],
    spec: &'static TableSpec,
) -> Result<(Table, Option<String>)> {
    let root = StoreConfig::dir_of(&config.data_dir, spec);
    let (unreadable, name, version) = match Table::open(fs.clone(), &root, spec).await {
        Ok(table) => return Ok((table, None)),
        Err(error) => match &error {
            TableError::UnreadableEntry { name, version, .. } => (error.to_string(), name.clone(), *version),
            _ => return Err(table_error(error)),
        },
    };
    let refused = |why: String| Error::damaged(format!("{unreadable}, and {why}: restore the entry from a backup"));
    let before = Table::before(fs.clone(), &root, spec, version).await;
    // The first entry creates the table; it commits no rows.
    if let Some(before) = before.map_err(|e| refused(format!("the table cannot be read without it ({e})")))? {
        let lost = what_is_lost(fs.as_ref(), config, node_id, &before).await;
        if let Some(lost) = lost.map_err(|e| refused(format!("the table before it cannot be read ({e})")))? {
            return Err(refused(lost));
        }
    }
    let quarantine = config.data_dir.join("quarantine");
    let aside = Table::set_aside(fs.as_ref(), &root, &name, &quarantine).map_err(table_error)?;
    let table = Table::open(fs.clone(), &root, spec).await.map_err(table_error)?;
    let damage = format!(
        "{unreadable}; it was moved to {}, its {} are in the write-ahead log and are committed again",
        aside.display(),
        spec.name
    );
    Ok((table, Some(damage)))
}

/// What would be missing if the table went back to a former version; `None` if nothing.
async fn what_is_lost(
    fs: &dyn Fs,
    config: &StoreConfig,
    node_id: &[u8; 16],
    before: &Table,
) -> std::result::Result<Option<String>, TableError> {
    for file in before.files().await? {
        if !fs.entry(&before.root().join(&file.path)).is_ok_and(|entry| entry.len == file.size) {
            return Ok(Some(format!("the data file {} that it may have replaced is gone", file.path)));
        }
    }
    // What other tables say of the log does not help: they may know of the entry in question.
    let floor = Said::of(before, node_id).await?.flushed;
    let dir = StoreConfig::wal_dir(&config.data_dir);
    // The newest segment is never trimmed: a log without one is not the log that the entry was committed from.
    let there = fs.read_dir(&dir).is_ok_and(|entries| entries.iter().any(|entry| entry.name.ends_with(".wal")));
    if there {
        match wal::read_after(fs, &dir, None, floor, &mut |_, _| Ok(())) {
            Ok(ReadEnd::Complete { damaged, .. }) if damaged.is_empty() => return Ok(None),
            Ok(_) => {}
            Err(error) => return Ok(Some(format!("the write-ahead log cannot be read ({error})"))),
        }
    }
    Ok(Some(format!("the write-ahead log no longer holds all of its {}", before.spec().name)))
}

/// Opens the log and brings what it holds above the tables into memory, flushing whenever enough has come together.
async fn open_log(core: &Arc<Core>, node_id: [u8; 16], floors: Floors) -> Result<Arc<Wal>> {
    let mut config = WalConfig::new(StoreConfig::wal_dir(&core.config.data_dir), node_id);
    config.segment_bytes = core.config.segment_bytes;
    config.used_seq = floors.used();
    let runtime = tokio::runtime::Handle::current();
    let core = core.clone();
    super::core::blocking(move || {
        let mut flush_at = core.config.flush_bytes;
        let mut replay = |sequence: u64, payload: Bytes| {
            match Batch::index(payload) {
                Ok(Batch::Spans(_)) if sequence <= floors.spans => {}
                Ok(Batch::Events(_)) if sequence <= floors.events => {}
                Ok(batch) => core.insert(sequence, batch),
                Err(error) => {
                    return Err(Error::damaged(format!(
                        "log record {sequence} cannot be decoded ({error}): it was written by another version, or by a defect; start the version that wrote it"
                    )));
                }
            }
            if core.memory() < flush_at {
                return Ok(());
            }
            flush_at = core.config.flush_bytes;
            match runtime.block_on(core.flush_memory(&Log::Opening, FlushWhat::Line)) {
                // A full disk is no reason not to start: up to the bound of memory, what is there can be read.
                Err(error) if error.kind() == ErrorKind::Busy && core.memory() < 2 * flush_at => flush_at *= 2,
                flushed => flushed.map(|_| ())?,
            }
            Ok(())
        };
        let (wal, recovery) = Wal::open(core.fs.clone(), core.clock.clone(), config, floors.log, &mut replay)?;
        if recovery.replayed > 0 {
            tracing::info!(records = recovery.replayed, "took what the log held above the table");
        }
        if let Some(torn) = &recovery.torn {
            tracing::warn!(segment = %torn.segment.display(), offset = torn.offset, bytes = torn.len, "the log ends in an unfinished write");
        }
        for damage in &recovery.damaged {
            let missing = damage.missing.as_ref().map_or("none".to_owned(), |m| format!("{}-{}", m.start(), m.end()));
            let copy = damage.quarantine.as_ref().map_or("not copied".to_owned(), |p| p.display().to_string());
            core.note_damage(format!(
                "log segment {}: {} damaged bytes at offset {}, sequences missing: {missing}, copy: {copy}",
                damage.segment.display(),
                damage.len,
                damage.offset
            ));
        }
        // What a crash has kept from being trimmed may be what fills the disk.
        if let Err(error) = wal.trim(core.flushed()) {
            tracing::warn!(%error, "could not trim the log");
        }
        core.take_reserve(Some(&wal));
        Ok(Arc::new(wal))
    })
    .await
}

/// Notes live files that are gone or not of the size that the table says. Their bytes are checked when they are read.
fn check_files<K: Kind>(core: &Core) {
    for file in core.files::<K>().iter() {
        let size = file.info().size;
        let (offset, what) = match core.fs.entry(file.path()) {
            Ok(entry) if entry.len == size => continue,
            Ok(entry) => {
                (entry.len.min(size), format!("the table's log says {size} bytes, the file has {}", entry.len))
            }
            Err(error) => (0, error.to_string()),
        };
        let path = file.path();
        let what = format!("{what}; answers are without its {}, restore it from a backup", K::TABLE.name);
        let what = Damaged { path: path.to_owned(), offset, what }.to_string();
        core.note_damaged_file(path, what);
    }
}

/// Finds what a crash left below a table's folder: temporary files are deleted, files that the table does not know
/// are kept for their retention, since another process may still read them at an older version.
fn unreferenced<K: Kind>(core: &Core) -> Vec<Removed> {
    let root = &K::shelf(core).root;
    let live: HashSet<_> = core.files::<K>().iter().map(|file| file.path().to_owned()).collect();
    let now = core.clock.now_micros();
    let list = |dir: &Path| core.fs.read_dir(dir).unwrap_or_default();
    let mut unreferenced = Vec::new();
    for folder in list(root).into_iter().filter(|entry| entry.is_dir) {
        let dir = root.join(&folder.name);
        for entry in list(&dir).into_iter().filter(|entry| !entry.is_dir) {
            let path = dir.join(&entry.name);
            if table::is_temporary(&entry.name) {
                let _ = core.fs.remove_file(&path);
            } else if folder.name != table::LOG_FOLDER && !live.contains(&path) {
                unreferenced.push(Removed { path, since: now, readers: Weak::new() });
            }
        }
    }
    unreferenced
}

async fn flush_in_time(core: Arc<Core>, wal: Arc<Wal>) {
    let mut stopping = core.stopping();
    let mut wait = core.config.flush_interval;
    loop {
        let what = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = core.flush_wanted() => FlushWhat::Line,
            () = tokio::time::sleep(wait) => FlushWhat::All,
        };
        let (flushing, log) = (core.clone(), wal.clone());
        wait = match to_the_end(async move { flushing.flush(&log, what).await }).await {
            Ok(_) if !core.drains() => core.config.flush_interval,
            // A full disk is asked again and again whether there is space.
            _ => FLUSH_RETRY,
        };
        if wait == FLUSH_RETRY {
            // Full memory wakes the flush with each refused request; a failing disk is not to be asked that often.
            tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(FLUSH_RETRY) => core.wake_flush(),
            }
        }
    }
}

async fn compact_in_time(core: Arc<Core>) {
    let mut stopping = core.stopping();
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = core.compaction_wanted.notified() => {}
            // What is to go goes by time, whether anything comes in or not.
            () = tokio::time::sleep(EXPIRY_INTERVAL) => {}
        }
        let compacting = core.clone();
        if let Err(error) = to_the_end(async move { compacting.compact().await }).await {
            tracing::warn!(%error, "compaction failed; it is tried again after the next flush");
        }
        core.purge(core.config.removed_file_retention).await;
    }
}
