//! Disk space: the reserve that lets a full disk drain, superseded files, and what the table's log takes up.

use super::core::{Core, blocking};
use crate::fs::{Fs, OpenMode};
use crate::lake::DataFile;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;
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

    /// Deletes superseded files that nobody reads and that have been kept for `retention`. Returns how many. One that
    /// cannot be deleted is tried again the next time.
    pub async fn purge(&self, retention: Duration) -> usize {
        let now = self.clock.now_micros();
        let retention = i64::try_from(retention.as_micros()).unwrap_or(i64::MAX);
        let is_due =
            |file: &mut Removed| now.saturating_sub(file.since) >= retention && file.readers.strong_count() == 0;
        let mut removed = self.removed.lock().await;
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

    /// Gives the reserved space back to the file system; false if there was none.
    pub async fn release_reserve(&self) -> bool {
        let (fs, path) = (self.fs.clone(), self.reserve_path());
        blocking(move || fs.remove_file(&path).is_ok()).await
    }

    /// Reserves space again, if there is enough. Nothing depends on this being durable. Blocks.
    pub fn take_reserve(&self) {
        let path = self.reserve_path();
        let wanted = self.config.reserve_bytes;
        match self.fs.entry(&path) {
            Ok(entry) if entry.len == wanted => return,
            // Of another size: it was set otherwise, or a crash has cut it short.
            Ok(_) => {
                let _ = self.fs.remove_file(&path);
            }
            Err(_) => {}
        }
        if wanted == 0 {
            return;
        }
        let taken = self.fs.open(&path, OpenMode::CreateNew).and_then(|file| file.allocate(wanted));
        if let Err(error) = taken {
            let _ = self.fs.remove_file(&path);
            tracing::warn!(%error, path = %path.display(), "no disk space to hold in reserve");
        }
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
