//! Disk space: the reserve that lets a full disk drain, superseded files, and what the table's log takes up.

use super::core::{Core, blocking};
use super::events::Events;
use super::flush::Log;
use super::kind::Kind;
use super::spans::Spans;
use crate::fs::{Fs, OpenMode};
use crate::lake::DataFile;
use crate::lake::file_writer::is_no_space;
use crate::wal::Wal;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

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
    /// Checkpoint, clean-up and opening anew, each [`super::StoreConfig::maintenance_commits`]: what commits cost grows
    /// with their number since the table was opened. A failure costs nothing but time, so it is only logged.
    pub async fn maintain<K: Kind>(&self) {
        let mut writer = K::shelf(self).table.lock().await;
        if writer.commits < self.config.maintenance_commits {
            return;
        }
        writer.commits = 0;
        let keep_after = self.clock.now_micros() / 1_000 - self.config.removed_file_retention.as_millis() as i64;
        if let Err(error) = writer.table.maintain(keep_after).await {
            tracing::warn!(%error, "maintenance of the table failed; it is tried again later");
        }
    }

    /// Deletes superseded files that nobody reads and that have been kept for `retention`. Returns how many. One that
    /// cannot be deleted is tried again the next time.
    pub async fn purge(&self, retention: Duration) -> usize {
        self.purge_kind::<Spans>(retention).await + self.purge_kind::<Events>(retention).await
    }

    async fn purge_kind<K: Kind>(&self, retention: Duration) -> usize {
        let now = self.clock.now_micros();
        let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let is_due =
            |file: &mut Removed| now.saturating_sub(file.since) >= retention && file.readers.strong_count() == 0;
        let mut removed = K::shelf(self).removed.lock().await;
        let due: Vec<Removed> = removed.extract_if(.., is_due).collect();
        if due.is_empty() {
            return 0;
        }
        let fs = self.fs.clone();
        let (gone, left): (Vec<_>, Vec<_>) =
            blocking(move || due.into_iter().partition(|file| is_gone(fs.as_ref(), &file.path))).await;
        removed.extend(left);
        gone.len()
    }

    fn reserve_path(&self) -> PathBuf {
        self.config.data_dir.join("reserve")
    }

    /// Gives the reserved space back to the file system, for flushes alone: appends are refused, and the log takes no
    /// space, until the reserve is held again. False if there was none.
    pub async fn release_reserve(self: &Arc<Self>, log: &Log) -> bool {
        let (core, log) = (self.clone(), log.clone());
        blocking(move || {
            let path = core.reserve_path();
            if core.fs.entry(&path).is_err() {
                return false;
            }
            let wal = match &log {
                Log::Open(wal) => Some(&**wal),
                Log::Opening => None,
            };
            core.set_drains(true, wal);
            core.fs.remove_file(&path).is_ok()
        })
        .await
    }

    fn set_drains(&self, drains: bool, wal: Option<&Wal>) {
        self.drains.store(drains, Ordering::Release);
        if let Some(wal) = wal {
            wal.hold_space(drains);
        }
    }

    /// Reserves space again, if there is enough, and tells the log whether it may take space. Nothing depends on this
    /// being durable. Blocks.
    pub fn take_reserve(&self, wal: Option<&Wal>) {
        let drained = self.drains();
        let taken = self.try_take_reserve();
        if let Err(error) = &taken
            && !drained
        {
            let path = self.reserve_path();
            tracing::warn!(%error, path = %path.display(), "no disk space to hold in reserve");
        }
        // Where space cannot be held for another reason, all goes on without.
        self.set_drains(taken.is_err_and(|error| is_no_space(&error)), wal);
        if drained && !self.drains() {
            tracing::info!("there is disk space again, appends are taken");
        }
    }

    fn try_take_reserve(&self) -> io::Result<()> {
        let path = self.reserve_path();
        let wanted = self.config.reserve_bytes;
        match self.fs.entry(&path) {
            Ok(entry) if entry.len == wanted => return Ok(()),
            // Of another size: it was set otherwise, or a crash has cut it short.
            Ok(_) => {
                let _ = self.fs.remove_file(&path);
            }
            Err(_) => {}
        }
        if wanted == 0 {
            return Ok(());
        }
        let taken = self.fs.open(&path, OpenMode::CreateNew).and_then(|file| file.allocate(wanted));
        if taken.is_err() {
            let _ = self.fs.remove_file(&path);
        }
        taken
    }
}

/// Deletes a file, unless it is gone already.
fn is_gone(fs: &dyn Fs, path: &Path) -> bool {
    match fs.remove_file(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "could not delete a superseded file");
            false
        }
    }
}
