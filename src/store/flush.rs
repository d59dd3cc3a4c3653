//! The flush: from memory to the tables, step by step.
//!
//! ```text
//! cut: freeze what is active of all tables -> of one table after the other: write its files -> commit them with the
//!   log's sequence -> publish -> once all tables have theirs: trim the log
//! ```
//!
//! One cut after the other, the log trimmed after each: on a full disk the one makes room for the next.
//!
//! Each step is done for good before the next begins, and a flush that fails is taken up at the step where it failed:
//! the memory table stays in line, and its files, once written, are kept for the next attempt to commit. The same files,
//! because an attempt that failed may have committed them all the same; others in their place would be in the table
//! beside them.
//!
//! A table's own sequence says what it holds of the log. The last commit of a cut says besides up to where all tables
//! hold it: a table that nothing came for has no commit to say so by, and the log is trimmed by what was said.

use super::core::{Core, blocking, table_error};
use super::events::Events;
use super::kind::{FlushError, Kind, TableWriter};
use super::spans::Spans;
use super::target::Written;
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
    /// What is in line; only if there is nothing, what is active, however little.
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
        let _one_at_a_time = self.flushing.lock().await;
        let mut report = FlushReport::default();
        // What comes in meanwhile is for the next flush.
        let until = self.flush_until(what).unwrap_or_default();
        while self.flushed() < until {
            let cut = match self.next_cut() {
                Some(cut) => cut,
                // Only once what earlier attempts have left is through: else each attempt on a sick disk would put
                // another small memory table in line.
                None => {
                    self.freeze();
                    continue;
                }
            };
            match self.flush_cut(cut, &mut report, log).await {
                Ok(()) => {
                    self.set_flush_error(None);
                    self.trim(log).await;
                }
                Err(error) => {
                    self.set_flush_error(Some(error.to_string()));
                    return Err(error);
                }
            }
        }
        (report.version, report.events_version) = (self.version::<Spans>(), self.version::<Events>());
        self.compaction_wanted.notify_one();
        Ok(report)
    }

    /// Brings each table what it lacks up to `cut`: events first, so that a folder without any is as it ever was.
    async fn flush_cut(self: &Arc<Self>, cut: u64, report: &mut FlushReport, log: &Log) -> Result<()> {
        if let Some(events) = self.of_cut::<Events>(cut) {
            let is_last = self.of_cut::<Spans>(cut).is_none();
            let written = self.flush_one::<Events>(cut, &events, is_last, log).await?;
            report.events += written.rows();
            report.files += written.files.len();
        }
        if let Some(spans) = self.of_cut::<Spans>(cut) {
            let written = self.flush_one::<Spans>(cut, &spans, true, log).await?;
            report.spans += written.rows();
            report.files += written.files.len();
        }
        self.end_cut(cut);
        Ok(())
    }

    /// Deletes what all tables have of the log.
    async fn trim(self: &Arc<Self>, log: &Log) {
        let (core, log) = (self.clone(), log.clone());
        let trimmed = blocking(move || match log {
            Log::Open(wal) => wal.trim(core.flushed()),
            Log::Opening => {
                wal::trim_read(core.fs.as_ref(), &StoreConfig::wal_dir(&core.config.data_dir), core.flushed())
            }
        });
        if let Err(error) = trimmed.await {
            // The rows are in the tables; the segments stay until the next flush.
            tracing::warn!(%error, "could not trim the log");
        }
    }

    async fn flush_one<K: Kind>(
        self: &Arc<Self>,
        cut: u64,
        memory: &Arc<K::Memory>,
        is_last: bool,
        log: &Log,
    ) -> Result<Written> {
        let mut state = K::shelf(self).written.lock().await;
        let written = match state.take() {
            Some(written) => written,
            None => self.write::<K>(cut, memory, log).await?,
        };
        match self.commit::<K>(cut, &written, is_last, log).await {
            Ok(version) => {
                self.publish_flush::<K>(version, &written.files, memory);
                self.maintain::<K>().await;
                Ok(written)
            }
            Err(error) => {
                *state = Some(written);
                Err(error)
            }
        }
    }

    async fn write<K: Kind>(self: &Arc<Self>, cut: u64, memory: &Arc<K::Memory>, log: &Log) -> Result<Written> {
        let written = match self.try_write::<K>(cut, memory).await {
            Err(FlushError::Write(error)) if error.is_no_space() && self.release_reserve(log).await => {
                tracing::warn!(%error, "the disk is full: using the reserve to write what is in memory");
                self.try_write::<K>(cut, memory).await
            }
            other => other,
        };
        written.map_err(|error| match &error {
            FlushError::Write(write) if write.is_no_space() => {
                Error::busy(format!("{error}: free disk space; until then the {} are kept in the log", K::TABLE.name))
            }
            FlushError::Write(_) => Error::internal(error.to_string()),
            FlushError::Stored(_) => Error::damaged(error.to_string()),
        })
    }

    async fn try_write<K: Kind>(
        self: &Arc<Self>,
        cut: u64,
        memory: &Arc<K::Memory>,
    ) -> std::result::Result<Written, FlushError> {
        let target = self.target::<K>("", cut);
        let (core, memory) = (self.clone(), memory.clone());
        let mut written = blocking(move || K::write(&target, &core.config, &memory)).await?;
        let now = self.now_millis();
        written.files.iter_mut().for_each(|file| file.since = now);
        Ok(written)
    }

    async fn commit<K: Kind>(self: &Arc<Self>, cut: u64, written: &Written, is_last: bool, log: &Log) -> Result<u64> {
        let mut writer = K::shelf(self).table.lock().await;
        let mut committed = self.try_commit(&mut writer, cut, written, is_last).await;
        if committed.as_ref().is_err_and(TableError::is_no_space) && self.release_reserve(log).await {
            committed = self.try_commit(&mut writer, cut, written, is_last).await;
        }
        let version = committed.map_err(table_error)?;
        let (table, files, duplicates) = (K::TABLE.name, written.files.len(), written.duplicates);
        tracing::debug!(table, version, files, duplicates, "flushed");
        Ok(version)
    }

    async fn try_commit(
        &self,
        writer: &mut TableWriter,
        cut: u64,
        written: &Written,
        is_last: bool,
    ) -> std::result::Result<u64, TableError> {
        writer.commits += 1;
        // What was taken back from below the mark does not take back that the log was trimmed to there.
        let mark = [(self.log_mark.as_str(), cut.max(self.marked) as i64)];
        let commit = Commit {
            add: &written.files,
            remove: &[],
            writer: &self.writer,
            sequence: cut as i64,
            marks: if is_last { &mark } else { &[] },
            now_millis: self.now_millis(),
            data_change: true,
        };
        writer.table.commit(&commit).await
    }
}
