//! Opens a data folder: the table first, then the log above it.

use super::core::{Core, Removed, table_error};
use super::{EncodedBatch, Store, StoreConfig};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::fs::{self, Fs};
use crate::lake::{Table, TableError, table};
use crate::wal::{self, ReadEnd, Wal, WalConfig};
use bytes::Bytes;
use rand::TryRngCore;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

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
        let writer = StoreConfig::flush_writer(&node_id);
        let (table, damage) = open_table(&fs, &config, &writer).await?;
        let floor = table.sequence_of(&writer).await.map_err(table_error)?.unwrap_or(0).max(0) as u64;
        let files = table.files().await.map_err(table_error)?;
        let core = Arc::new(Core::new(config.clone(), fs.clone(), clock.clone(), writer, table, files));
        damage.into_iter().for_each(|what| core.note_damage(what));
        note_unreferenced(&core);

        let wal = open_log(&core, node_id, floor).await?;
        core.take_reserve();
        let store = Arc::new(Store { core: core.clone(), wal: wal.clone(), tasks: Mutex::default() });
        if config.background {
            let tasks = vec![tokio::spawn(flush_in_time(core.clone(), wal)), tokio::spawn(compact_in_time(core))];
            if let Ok(mut running) = store.tasks.lock() {
                *running = tasks;
            }
        }
        Ok(store)
    }
}

/// Reads or makes the node's id.
fn node_id(fs: &dyn Fs, config: &StoreConfig) -> Result<[u8; 16]> {
    let path = StoreConfig::node_id_file(&config.data_dir);
    match fs::read(fs, &path) {
        Ok(text) => parse_node_id(&text).ok_or_else(|| {
            Error::damaged(format!("{} does not hold 32 hex digits: restore it, or the log cannot be told from another node's", path.display()))
        }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let mut id = config.node_id.unwrap_or_default();
            if config.node_id.is_none() {
                rand::rngs::OsRng
                    .try_fill_bytes(&mut id)
                    .map_err(|e| Error::internal(format!("no randomness for a node id: {e}")))?;
            }
            let text = format!("{:032x}\n", u128::from_be_bytes(id));
            fs::write_durably(fs, &path, text.as_bytes())
                .map_err(|e| Error::internal(format!("{}: {e}", path.display())))?;
            Ok(id)
        }
        Err(e) => Err(Error::internal(format!("{}: {e}", path.display()))),
    }
}

/// The node id that a file's text holds.
pub(crate) fn parse_node_id(text: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let id = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    Some(id.to_be_bytes())
}

/// Opens the table. A newest log entry that a power cut left unreadable is moved aside, but only if the write-ahead
/// log still holds all that it may have committed.
async fn open_table(fs: &Arc<dyn Fs>, config: &StoreConfig, writer: &str) -> Result<(Table, Option<String>)> {
    let root = StoreConfig::table_dir(&config.data_dir);
    let (name, version) = match Table::open(fs.clone(), &root).await {
        Ok(table) => return Ok((table, None)),
        Err(TableError::UnreadableEntry { name, version, .. }) => (name, version),
        Err(error) => return Err(table_error(error)),
    };
    let quarantine = config.data_dir.join("quarantine");
    let aside = Table::set_aside(fs.as_ref(), &root, &name, &quarantine).map_err(table_error)?;
    let put_back = |why: String| {
        let restored = fs.rename(&aside, &root.join(table::LOG_FOLDER).join(&name));
        let restored = restored.and_then(|()| fs.sync_dir(&root.join(table::LOG_FOLDER)));
        let restored = restored.map_or_else(|e| format!(" (it is left in {}: {e})", aside.display()), |()| String::new());
        Error::damaged(format!("the table's log entry {name} cannot be read, and {why}{restored}: restore it from a backup"))
    };
    let table = match Table::open(fs.clone(), &root).await {
        Ok(table) => table,
        Err(error) => return Err(put_back(format!("the table cannot be read without it: {error}"))),
    };
    let floor = table.sequence_of(writer).await.map_err(table_error)?.unwrap_or(0).max(0) as u64;
    match wal::read_after(fs.as_ref(), &StoreConfig::wal_dir(&config.data_dir), floor, &mut |_, _| Ok(())) {
        Ok(ReadEnd::Complete { damaged, .. }) if damaged.is_empty() => {}
        // The first commit creates the table; it holds no spans.
        _ if version == 0 => {}
        _ => return Err(put_back("the write-ahead log no longer holds all of its spans".to_owned())),
    }
    let damage = format!(
        "the table's log entry {name} could not be read and was moved to {}; its spans are in the write-ahead log and are committed again",
        aside.display()
    );
    Ok((table, Some(damage)))
}

/// Opens the log and brings what it holds above the table into memory, flushing whenever enough has come together.
async fn open_log(core: &Arc<Core>, node_id: [u8; 16], floor: u64) -> Result<Arc<Wal>> {
    let mut config = WalConfig::new(StoreConfig::wal_dir(&core.config.data_dir), node_id);
    config.segment_bytes = core.config.segment_bytes;
    let runtime = tokio::runtime::Handle::current();
    let core = core.clone();
    super::core::blocking(move || {
        let mut replay = |sequence: u64, payload: Bytes| {
            match EncodedBatch::index(payload) {
                Ok(batch) => core.insert(sequence, batch),
                Err(error) => {
                    return Err(Error::damaged(format!(
                        "log record {sequence} cannot be decoded ({error}): it was written by another version, or by a defect; start the version that wrote it"
                    )));
                }
            }
            if core.memory() >= core.config.flush_bytes {
                runtime.block_on(core.flush_memory())?;
            }
            Ok(())
        };
        let (wal, recovery) = Wal::open(core.fs.clone(), core.clock.clone(), config, floor, &mut replay)?;
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
        Ok(Arc::new(wal))
    })
    .await
}

/// Finds what a crash left below the table's folder: temporary files are deleted, files that the table does not know
/// are kept for their retention, since another process may still read them at an older version.
fn note_unreferenced(core: &Core) {
    let live: HashSet<_> = core.snapshot().files.iter().map(|file| file.path().to_owned()).collect();
    let now = core.clock.now_micros();
    let list = |dir: &Path| core.fs.read_dir(dir).unwrap_or_default();
    let mut unreferenced = Vec::new();
    for folder in list(&core.root).into_iter().filter(|entry| entry.is_dir) {
        let dir = core.root.join(&folder.name);
        for entry in list(&dir).into_iter().filter(|entry| !entry.is_dir) {
            let path = dir.join(&entry.name);
            if table::is_temporary(&entry.name) {
                let _ = core.fs.remove_file(&path);
            } else if folder.name != table::LOG_FOLDER && !live.contains(&path) {
                unreferenced.push(Removed { path, since: now, readers: Weak::new() });
            }
        }
    }
    if let Ok(mut removed) = core.removed.lock() {
        removed.extend(unreferenced);
    }
}

async fn flush_in_time(core: Arc<Core>, wal: Arc<Wal>) {
    let mut stopping = core.stopping();
    let mut wait = core.config.flush_interval;
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = core.flush_wanted() => {}
            () = tokio::time::sleep(wait) => {}
        }
        wait = match core.flush(&wal).await {
            Ok(_) => core.config.flush_interval,
            Err(_) => FLUSH_RETRY,
        };
        if wait == FLUSH_RETRY {
            // Full memory wakes the flush with each refused request; a failing disk is not to be asked that often.
            tokio::select! {
                _ = stopping.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(FLUSH_RETRY) => {}
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
        }
        if let Err(error) = core.compact().await {
            tracing::warn!(%error, "compaction failed; it is tried again after the next flush");
        }
        core.purge(core.config.removed_file_retention).await;
    }
}
