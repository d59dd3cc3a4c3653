//! The flush: from memory to the table, step by step.
//!
//! ```text
//! freeze the active memory table -> write its files -> commit them with the log's sequence -> publish -> trim the log
//! ```
//!
//! One memory table after the other, the log trimmed after each: on a full disk the one makes room for the next.
//!
//! Each step is done for good before the next begins, and a flush that fails is taken up at the step where it failed:
//! the memory table stays in line, and its files, once written, are kept for the next attempt to commit. The same files,
//! because an attempt that failed may have committed them all the same; others in their place would be in the table
//! beside them.

use super::core::{Core, TableWriter, blocking, table_error};
use super::layout::{self, FlushError, Written};
use super::memtable::MemTable;
use super::{FlushReport, StoreConfig};
use crate::error::{Error, Result};
use crate::lake::TableError;
use crate::lake::table::Commit;
use crate::wal::{self, Wal};
use std::sync::Arc;

/// The log that a flush trims.
#[derive(Clone, Debug)]
pub(super) enum Log {
    Open(Arc<Wal>),
    /// It is being read, and not yet open.
    Opening,
}

/// How much a flush takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum FlushWhat {
    /// All that is in memory.
    All,
    /// The memory tables that are in line; only if there are none, the active one, however small.
    Line,
}

impl Core {
    /// Commits what is in memory when the call is made, and trims the log.
    ///
    /// Must not be dropped half-way: it is to run in a task of its own.
    pub async fn flush(self: &Arc<Self>, wal: &Arc<Wal>, what: FlushWhat) -> Result<FlushReport> {
        let log = Log::Open(wal.clone());
        let flushed = self.flush_memory(&log, what).await;
        // Also after a failure: an earlier flush may have got further than its trim.
        self.trim(&log).await;
        let (core, wal) = (self.clone(), wal.clone());
        blocking(move || core.take_reserve(Some(&wal))).await;
        flushed
    }

    /// As [`Core::flush`]; the reserve, where it was used, is not taken again.
    pub async fn flush_memory(self: &Arc<Self>, log: &Log, what: FlushWhat) -> Result<FlushReport> {
        let mut written = self.flushing.lock().await;
        let mut report = FlushReport::default();
        // What comes in meanwhile is for the next flush.
        let until = self.flush_until(what).unwrap_or_default();
        while self.flushed() < until {
            let memtable = match self.next_frozen() {
                Some(memtable) => memtable,
                // Only once what earlier attempts have left is through: else each attempt on a sick disk would put
                // another small memory table in line.
                None => {
                    self.freeze();
                    continue;
                }
            };
            match self.flush_one(&memtable, &mut written, log).await {
                Ok(committed) => {
                    report.spans += committed.files.iter().map(|file| file.rows).sum::<u64>();
                    report.files += committed.files.len();
                    self.set_flush_error(None);
                    self.trim(log).await;
                }
                Err(error) => {
                    self.set_flush_error(Some(error.to_string()));
                    return Err(error);
                }
            }
        }
        report.version = self.version();
        self.compaction_wanted.notify_one();
        Ok(report)
    }

    /// Deletes what the table has of the log.
    async fn trim(self: &Arc<Self>, log: &Log) {
        let (core, log) = (self.clone(), log.clone());
        let trimmed = blocking(move || match log {
            Log::Open(wal) => wal.trim(core.flushed()),
            Log::Opening => {
                wal::trim_read(core.fs.as_ref(), &StoreConfig::wal_dir(&core.config.data_dir), core.flushed())
            }
        });
        if let Err(error) = trimmed.await {
            // The spans are in the table; the segments stay until the next flush.
            tracing::warn!(%error, "could not trim the log");
        }
    }

    async fn flush_one(
        self: &Arc<Self>,
        memtable: &Arc<MemTable>,
        state: &mut Option<Written>,
        log: &Log,
    ) -> Result<Written> {
        let written = match state.take() {
            Some(written) => written,
            None => self.write(memtable, log).await?,
        };
        match self.commit(memtable, &written, log).await {
            Ok(version) => {
                self.publish_flush(version, &written.files, memtable);
                self.maintain().await;
                Ok(written)
            }
            Err(error) => {
                *state = Some(written);
                Err(error)
            }
        }
    }

    async fn write(self: &Arc<Self>, memtable: &Arc<MemTable>, log: &Log) -> Result<Written> {
        let written = match self.try_write(memtable).await {
            Err(FlushError::Write(error)) if error.is_no_space() && self.release_reserve(log).await => {
                tracing::warn!(%error, "the disk is full: using the reserve to write what is in memory");
                self.try_write(memtable).await
            }
            other => other,
        };
        written.map_err(|error| match &error {
            FlushError::Write(write) if write.is_no_space() => {
                Error::busy(format!("{error}: free disk space; until then the spans are kept in the log"))
            }
            FlushError::Write(_) => Error::internal(error.to_string()),
            FlushError::Stored(_) => Error::damaged(error.to_string()),
        })
    }

    async fn try_write(&self, memtable: &Arc<MemTable>) -> std::result::Result<Written, FlushError> {
        let target = self.target("", memtable.last_sequence().unwrap_or_default());
        let memtable = memtable.clone();
        blocking(move || layout::write(&target, &memtable.batches())).await
    }

    async fn commit(self: &Arc<Self>, memtable: &Arc<MemTable>, written: &Written, log: &Log) -> Result<u64> {
        let mut writer = self.table.lock().await;
        let mut committed = self.try_commit(&mut writer, memtable, written).await;
        if committed.as_ref().is_err_and(TableError::is_no_space) && self.release_reserve(log).await {
            committed = self.try_commit(&mut writer, memtable, written).await;
        }
        let version = committed.map_err(table_error)?;
        tracing::debug!(version, files = written.files.len(), duplicates = written.duplicates, "flushed");
        Ok(version)
    }

    async fn try_commit(
        &self,
        writer: &mut TableWriter,
        memtable: &Arc<MemTable>,
        written: &Written,
    ) -> std::result::Result<u64, TableError> {
        writer.commits += 1;
        let commit = Commit {
            add: &written.files,
            remove: &[],
            writer: &self.writer,
            marks: &[],
            sequence: memtable.last_sequence().unwrap_or_default() as i64,
            now_millis: self.clock.now_micros() / 1_000,
            data_change: true,
        };
        writer.table.commit(&commit).await
    }
}
