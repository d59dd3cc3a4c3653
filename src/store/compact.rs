//! Keeps the number of files bounded: where a day has too many of about the same size, they become one.
//!
//! Files fall into tiers by their rows, each tier four times the one below. When a tier of a day has
//! [`super::StoreConfig::compact_files`] files, they are merged, into one file for each project; so a row is rewritten
//! once a tier, and a day has at most that many files of a project in each of a dozen tiers. Files of one project and
//! files that mix several are kept apart: merging the ones makes fewer files, merging the others makes files of one
//! project, so that there is an end to it. Files of [`MAX_ROWS`] rows are left alone, and so are files that cannot be
//! read.
//!
//! As with a flush, a commit that failed may have taken place: its files are kept, and the same commit is tried again
//! before anything else is merged.

use super::CompactReport;
use super::core::{Core, blocking, table_error};
use super::layout::Target;
use super::space::Removed;
use crate::error::{Error, Result};
use crate::lake::file_writer::WriteError;
use crate::lake::spans::merge::{Merge, MergeError};
use crate::lake::spans::rows::{RowError, Rows};
use crate::lake::spans::writer::SpanFileWriter;
use crate::lake::table::Commit;
use crate::lake::{DataFile, FileInfo};
use arrow::array::{AsArray, RecordBatch};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The name under which compactions commit. Two compactions of the same files would both be accepted and double their
/// rows, but for this: the second finds the first's sequence.
const WRITER: &str = "compactor";

/// Files of so many rows are not merged again, and no more are merged at a time.
const MAX_ROWS: u64 = 8_000_000;

/// The most files that are merged at a time: each takes memory for the rows it is read by.
const MAX_INPUTS: usize = 32;

/// What compactions know of those before.
#[derive(Debug, Default)]
pub(super) struct Compacting {
    /// The sequence of the last commit; `None` until the table was asked.
    sequence: Option<i64>,
    /// What was written and is not yet known to be committed.
    pending: Option<Merged>,
    /// Files that cannot be read, and so not be merged.
    unreadable: HashSet<PathBuf>,
}

/// Files and what they became.
#[derive(Debug)]
struct Merged {
    inputs: Vec<Arc<DataFile>>,
    target: Target,
    sequence: i64,
    files: Vec<FileInfo>,
    /// Rows that were equal to another one.
    dropped: u64,
}

/// Why files could not be merged.
#[derive(Debug, thiserror::Error)]
enum CompactError {
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("merged rows: {0}")]
    Rows(#[from] RowError),
    #[error("the store is closing, or the disk is full")]
    Stopped,
}

impl Core {
    /// Merges until no tier of any day has too many files.
    ///
    /// Must not be dropped half-way: it is to run in a task of its own.
    pub async fn compact(self: &Arc<Self>) -> Result<CompactReport> {
        let mut state = self.compacting.lock().await;
        let mut report = CompactReport::default();
        loop {
            let merged = match state.pending.take() {
                Some(merged) => merged,
                None => match self.merge(&mut state).await? {
                    Some(merged) => merged,
                    None => return Ok(report),
                },
            };
            let (inputs, outputs) = (merged.inputs.len(), merged.files.len());
            self.replace(&mut state, merged).await?;
            report.merged += inputs;
            report.written += outputs;
        }
    }

    /// Merges the files of the first tier that has too many; `None` where none has, the store closes or the
    /// disk is full.
    async fn merge(self: &Arc<Self>, state: &mut Compacting) -> Result<Option<Merged>> {
        loop {
            let files = self.snapshot().files;
            if self.drains() {
                // What space is left is for flushes.
                return Ok(None);
            }
            let Some(inputs) = choose(&files, self.config.compact_files, &state.unreadable) else { return Ok(None) };
            let sequence = match state.sequence {
                Some(sequence) => sequence,
                None => self.table.lock().await.table.sequence_of(WRITER).await.map_err(table_error)?.unwrap_or(0),
            };
            state.sequence = Some(sequence);
            let (core, target) = (self.clone(), self.target("c-", sequence as u64 + 1));
            let merged = blocking(move || {
                let stopping = core.stopping();
                let (files, dropped) = merge_files(&target, &inputs, &|| *stopping.borrow() || core.drains())?;
                Ok(Merged { inputs, target, sequence: sequence + 1, files, dropped })
            });
            match merged.await {
                Ok(merged) => return Ok(Some(merged)),
                Err(CompactError::Stopped) => return Ok(None),
                Err(CompactError::Merge(MergeError::Damaged(damaged))) => {
                    // The others are merged all the same.
                    self.note_damaged_file(&damaged.path, damaged.to_string());
                    state.unreadable.insert(damaged.path);
                }
                Err(CompactError::Write(error)) if error.is_no_space() => return Err(Error::busy(error.to_string())),
                Err(error) => return Err(Error::internal(error.to_string())),
            }
        }
    }

    /// Commits a merge and publishes it.
    async fn replace(&self, state: &mut Compacting, merged: Merged) -> Result<()> {
        let removed: Vec<FileInfo> = merged.inputs.iter().map(|file| file.info().clone()).collect();
        let commit = Commit {
            add: &merged.files,
            remove: &removed,
            writer: WRITER,
            marks: &[],
            sequence: merged.sequence,
            now_millis: self.clock.now_micros() / 1_000,
            data_change: merged.dropped > 0,
        };
        let mut writer = self.table.lock().await;
        writer.commits += 1;
        let committed = writer.table.commit(&commit).await;
        let in_doubt = writer.table.in_doubt();
        drop(writer);
        let version = match committed {
            Ok(version) => version,
            Err(error) if in_doubt => {
                state.pending = Some(merged);
                return Err(table_error(error));
            }
            Err(error) => {
                blocking(move || merged.target.discard(&merged.files)).await;
                return Err(table_error(error));
            }
        };
        state.sequence = Some(merged.sequence);
        let (inputs, outputs) = (merged.inputs.len(), merged.files.len());
        tracing::debug!(inputs, outputs, dropped = merged.dropped, version, "compacted");
        self.publish_compaction(version, &merged.files, &merged.inputs);
        let since = self.clock.now_micros();
        let superseded = merged.inputs.iter().map(|file| Removed {
            path: file.path().to_owned(),
            since,
            readers: Arc::downgrade(file),
        });
        self.removed.lock().await.extend(superseded);
        self.maintain().await;
        Ok(())
    }
}

/// The files of the first tier that has too many.
fn choose(files: &[Arc<DataFile>], too_many: usize, unreadable: &HashSet<PathBuf>) -> Option<Vec<Arc<DataFile>>> {
    // By day, project (none where several are mixed) and number.
    let mut tiers: BTreeMap<(i32, Option<&str>, u32), Vec<_>> = BTreeMap::new();
    let mergeable = |file: &&Arc<DataFile>| file.info().rows < MAX_ROWS && !unreadable.contains(file.path());
    for file in files.iter().filter(mergeable) {
        let info = file.info();
        let project = info.stats.project.as_ref().and_then(|(least, greatest)| (least == greatest).then_some(&**least));
        let tier = info.rows.max(1).ilog2() / 2;
        tiers.entry((info.day, project, tier)).or_default().push(file);
    }
    let chosen = tiers.into_values().find(|tier| tier.len() >= too_many.max(2))?;
    let mut rows = 0;
    let fits = |(number, file): &(usize, &Arc<DataFile>)| {
        rows += file.info().rows;
        *number < 2 || (*number < MAX_INPUTS && rows <= MAX_ROWS)
    };
    Some(chosen.into_iter().enumerate().take_while(fits).map(|(_, file)| file.clone()).collect())
}

/// Merges files of one day into sorted files of one project each; gives out how many rows were duplicates.
fn merge_files(
    target: &Target,
    inputs: &[Arc<DataFile>],
    stopping: &dyn Fn() -> bool,
) -> std::result::Result<(Vec<FileInfo>, u64), CompactError> {
    let day = inputs.first().map_or(0, |file| file.info().day);
    let mut merge = Merge::new(inputs.iter().map(AsRef::as_ref))?;
    let mut files = Vec::new();
    match write_merged(target, day, &mut merge, stopping, &mut files) {
        Ok(()) => Ok((files, merge.dropped())),
        Err(error) => {
            target.discard(&files);
            Err(error)
        }
    }
}

fn write_merged(
    target: &Target,
    day: i32,
    merge: &mut Merge<'_>,
    stopping: &dyn Fn() -> bool,
    files: &mut Vec<FileInfo>,
) -> std::result::Result<(), CompactError> {
    let mut open: Option<(String, SpanFileWriter)> = None;
    while let Some(batch) = merge.next_batch()? {
        if stopping() {
            return Err(CompactError::Stopped);
        }
        for (project, part) in by_project(&batch) {
            if open.as_ref().is_some_and(|(current, _)| *current != project)
                && let Some((_, writer)) = open.take()
            {
                files.push(writer.finish()?);
            }
            let (_, writer) = match &mut open {
                Some(open) => open,
                None => open.insert((project, target.create(day, files.len())?)),
            };
            writer.push(&part)?;
            let rows = Rows::of(&part)?;
            for row in 0..rows.len() {
                writer.summarise(&rows.scope(row), &rows.span(row)?)?;
            }
        }
    }
    if let Some((_, writer)) = open {
        files.push(writer.finish()?);
    }
    Ok(())
}

/// The rows of each project, in order.
fn by_project(batch: &RecordBatch) -> Vec<(String, RecordBatch)> {
    let Some(projects) = batch.column_by_name("project").and_then(|column| column.as_string_opt::<i32>()) else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    let mut start = 0;
    while start < batch.num_rows() {
        let project = projects.value(start);
        let len = (start..batch.num_rows()).take_while(|row| projects.value(*row) == project).count();
        parts.push((project.to_owned(), batch.slice(start, len)));
        start += len;
    }
    parts
}
