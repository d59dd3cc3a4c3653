//! Keeps the number of files bounded: where a day has too many of about the same size, they become one.
//!
//! Files fall into tiers by their rows, each tier four times the one below. When a tier of a day has
//! [`super::StoreConfig::compact_files`] files, they are merged; so a row is rewritten once a tier, and a day has at most that many
//! files in each of a dozen tiers. Files of [`MAX_ROWS`] rows are left alone.

use super::core::{Core, Removed, blocking, table_error};
use super::CompactReport;
use crate::error::{Error, Result};
use crate::lake::file_writer::{FileWriter, WriteError};
use crate::lake::merge::{Merge, MergeError};
use crate::lake::table::Commit;
use crate::lake::{DataFile, FileInfo};
use arrow::array::{AsArray, RecordBatch};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// The name under which compactions commit. Two compactions of the same files would both be accepted and double their
/// rows, but for this: the second finds the first's sequence.
const WRITER: &str = "compactor";

/// Files of so many rows are not merged again.
const MAX_ROWS: u64 = 8_000_000;

/// Why files could not be merged.
#[derive(Debug, thiserror::Error)]
enum CompactError {
    #[error(transparent)]
    Merge(#[from] MergeError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

struct Merged {
    files: Vec<FileInfo>,
    dropped: u64,
}

impl Core {
    /// Merges until no tier of any day has too many files.
    pub async fn compact(&self) -> Result<CompactReport> {
        let _one = self.compacting.lock().await;
        let mut report = CompactReport::default();
        loop {
            if *self.stopping().borrow() {
                return Ok(report);
            }
            let snapshot = self.snapshot();
            let Some(inputs) = choose(&snapshot.files, self.config.compact_files) else { return Ok(report) };
            drop(snapshot);
            let outputs = self.merge(&inputs).await?;
            report.merged += inputs.len();
            report.written += outputs;
        }
    }

    async fn merge(&self, inputs: &[Arc<DataFile>]) -> Result<usize> {
        let merged = {
            let (fs, root, inputs) = (self.fs.clone(), self.root.clone(), inputs.to_vec());
            let (name, compression) = (self.next_name(0), self.config.compression);
            blocking(move || merge_files(&fs, &root, &inputs, &name, compression)).await
        };
        let merged = merged.map_err(|error| match &error {
            CompactError::Merge(MergeError::Damaged(damaged)) => {
                self.note_damage(damaged.to_string());
                Error::damaged(error.to_string())
            }
            _ => Error::internal(error.to_string()),
        })?;
        let removed: Vec<FileInfo> = inputs.iter().map(|file| file.info().clone()).collect();
        let mut writer = self.table.lock().await;
        let sequence = writer.table.sequence_of(WRITER).await.map_err(table_error)?.unwrap_or(0) + 1;
        let commit = Commit {
            add: &merged.files,
            remove: &removed,
            writer: WRITER,
            sequence,
            now_millis: self.clock.now_micros() / 1_000,
            data_change: merged.dropped > 0,
        };
        Core::count_commit(&mut writer);
        let version = writer.table.commit(&commit).await.map_err(table_error)?;
        drop(writer);
        self.publish(&merged.files, inputs, version, None);
        let since = self.clock.now_micros();
        let superseded = inputs
            .iter()
            .map(|file| Removed { path: file.path().to_owned(), since, readers: Arc::downgrade(file) });
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).extend(superseded);
        tracing::debug!(inputs = inputs.len(), outputs = merged.files.len(), dropped = merged.dropped, version, "compacted");
        self.maintain().await;
        Ok(merged.files.len())
    }
}

/// The files of the first tier that has too many.
fn choose(files: &[Arc<DataFile>], too_many: usize) -> Option<Vec<Arc<DataFile>>> {
    let mut tiers: BTreeMap<(i32, u32), Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.info().rows < MAX_ROWS) {
        let tier = file.info().rows.max(1).ilog2() / 2;
        tiers.entry((file.info().day, tier)).or_default().push(file.clone());
    }
    tiers.into_values().find(|tier| tier.len() >= too_many.max(2))
}

/// Merges files of one day into sorted files of one project each.
fn merge_files(
    fs: &Arc<dyn crate::fs::Fs>,
    root: &Path,
    inputs: &[Arc<DataFile>],
    name: &str,
    compression: i32,
) -> std::result::Result<Merged, CompactError> {
    let day = inputs.first().map_or(0, |file| file.info().day);
    let mut merge = Merge::new(inputs.iter().map(AsRef::as_ref))?;
    let mut files = Vec::new();
    let mut open: Option<(String, FileWriter)> = None;
    let mut work = || -> std::result::Result<(), CompactError> {
        while let Some(batch) = merge.next_batch()? {
            for (project, part) in by_project(&batch) {
                if open.as_ref().is_some_and(|(current, _)| *current != project)
                    && let Some((_, writer)) = open.take()
                {
                    files.push(writer.finish()?);
                }
                let (_, writer) = match &mut open {
                    Some(open) => open,
                    None => {
                        let name = format!("c-{name}-{}.parquet", files.len());
                        let writer = FileWriter::create(fs.clone(), root, day, &name, compression)?;
                        open.insert((project, writer))
                    }
                };
                writer.push(&part)?;
            }
        }
        if let Some((_, writer)) = open.take() {
            files.push(writer.finish()?);
        }
        Ok(())
    };
    let done = work();
    if let Err(error) = done {
        if let Some((_, writer)) = open {
            writer.discard();
        }
        for file in &files {
            // Nothing refers to it; what cannot be removed is cleared later.
            let _ = fs.remove_file(&root.join(&file.path));
        }
        return Err(error);
    }
    Ok(Merged { files, dropped: merge.dropped() })
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
