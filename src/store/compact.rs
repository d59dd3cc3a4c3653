//! Keeps the number of files bounded: where a day has too many of about the same size, they become one. And drops files
//! whose time is over.
//!
//! Files fall into tiers by their rows, each tier four times the one below. When a tier of a day has
//! [`super::StoreConfig::compact_files`] files, they are merged, into one file for each project; so a row is rewritten
//! once a tier, and a day has at most that many files of a project in each of a dozen tiers. Files of one project and
//! files that mix several are kept apart: merging the ones makes fewer files, merging the others makes files of one
//! project, so that there is an end to it. Files of so many rows as a kind has in one at most are left alone, and so are
//! files that cannot be read.
//!
//! As with a flush, a commit that failed may have taken place: its files are kept, and the same commit is tried again
//! before anything else is merged.

use super::CompactReport;
use super::core::{Core, blocking, table_error};
use super::events::Events;
use super::kind::{CompactError, Kind};
use super::space::Removed;
use super::spans::Spans;
use super::target::Target;
use crate::error::{Error, Result};
use crate::lake::table::Commit;
use crate::lake::{DataFile, FileInfo};
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// The name under which compactions commit. Two compactions of the same files would both be accepted and double their
/// rows, but for this: the second finds the first's sequence.
const WRITER: &str = "compactor";

const MILLIS_A_DAY: i64 = 86_400_000;

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

/// Files and what they became: nothing, where their time was over.
#[derive(Debug)]
struct Merged {
    inputs: Vec<Arc<DataFile>>,
    target: Target,
    sequence: i64,
    files: Vec<FileInfo>,
    /// Rows that are gone.
    dropped: u64,
}

impl Core {
    /// Merges until no tier of any day has too many files, and drops files whose time is over.
    ///
    /// Must not be dropped half-way: it is to run in a task of its own.
    pub async fn compact(self: &Arc<Self>) -> Result<CompactReport> {
        let mut report = CompactReport::default();
        // Events are small and go by time, which makes room: whatever hinders the one does not hinder the other.
        let events = self.compact_kind::<Events>(&mut report).await;
        let spans = self.compact_kind::<Spans>(&mut report).await;
        events.and(spans).map(|()| report)
    }

    async fn compact_kind<K: Kind>(self: &Arc<Self>, report: &mut CompactReport) -> Result<()> {
        let mut state = K::shelf(self).compacting.lock().await;
        loop {
            let merged = match state.pending.take() {
                Some(merged) => merged,
                None => match self.next::<K>(&mut state).await? {
                    Some(merged) => merged,
                    None => return Ok(()),
                },
            };
            let (inputs, outputs) = (merged.inputs.len(), merged.files.len());
            self.replace::<K>(&mut state, merged).await?;
            if outputs > 0 {
                report.merged += inputs;
                report.written += outputs;
            } else {
                report.expired += inputs;
            }
        }
    }

    /// What is to be committed next: files that go, or files that were merged just now; `None` where all is well, the
    /// store closes or the disk is full.
    async fn next<K: Kind>(self: &Arc<Self>, state: &mut Compacting) -> Result<Option<Merged>> {
        loop {
            if *self.stopping().borrow() {
                return Ok(None);
            }
            let sequence = match state.sequence {
                Some(sequence) => sequence,
                None => {
                    let known = K::shelf(self).table.lock().await.table.sequence_of(WRITER).await;
                    known.map_err(table_error)?.unwrap_or(0)
                }
            };
            state.sequence = Some(sequence);
            let target = self.target::<K>("c-", sequence as u64 + 1);
            let files = self.files::<K>();
            let now = self.now_millis();
            let inputs =
                K::retention(&self.config).map(|kept| expired(&files, kept.as_millis(), now)).unwrap_or_default();
            if !inputs.is_empty() {
                let dropped = inputs.iter().map(|file| file.info().rows).sum();
                return Ok(Some(Merged { inputs, target, sequence: sequence + 1, files: Vec::new(), dropped }));
            }
            if self.drains() {
                // What space is left is for flushes.
                return Ok(None);
            }
            let today = now.div_euclid(MILLIS_A_DAY) as i32;
            let Some(inputs) = K::choose(&files, &self.config, today, &state.unreadable) else { return Ok(None) };
            let core = self.clone();
            let merged = blocking(move || {
                let stopping = core.stopping();
                let stop = || *stopping.borrow() || core.drains();
                let (mut files, dropped) = K::merge(&target, &core.config, &inputs, &stop)?;
                // A merge keeps nothing any longer than it was to be kept.
                let since = inputs.iter().map(|file| file.info().since).max().unwrap_or_default();
                files.iter_mut().for_each(|file| file.since = since);
                Ok(Merged { inputs, target, sequence: sequence + 1, files, dropped })
            });
            match merged.await {
                Ok(merged) => return Ok(Some(merged)),
                Err(CompactError::Stopped) => return Ok(None),
                Err(CompactError::Damaged(damaged)) => {
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
    async fn replace<K: Kind>(&self, state: &mut Compacting, merged: Merged) -> Result<()> {
        let removed: Vec<FileInfo> = merged.inputs.iter().map(|file| file.info().clone()).collect();
        let commit = Commit {
            add: &merged.files,
            remove: &removed,
            writer: WRITER,
            sequence: merged.sequence,
            marks: &[],
            now_millis: self.now_millis(),
            data_change: merged.dropped > 0,
        };
        let mut writer = K::shelf(self).table.lock().await;
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
        let (table, inputs, outputs) = (K::TABLE.name, merged.inputs.len(), merged.files.len());
        tracing::debug!(table, inputs, outputs, dropped = merged.dropped, version, "compacted");
        self.publish_compaction::<K>(version, &merged.files, &merged.inputs);
        let since = self.clock.now_micros();
        let superseded = merged.inputs.iter().map(|file| Removed {
            path: file.path().to_owned(),
            since,
            readers: Arc::downgrade(file),
        });
        K::shelf(self).removed.lock().await.extend(superseded);
        self.maintain::<K>().await;
        Ok(())
    }
}

/// The files of which all rows have been kept for so many milliseconds: since the end of their day, and since they came
/// in, so that what is old when it comes in is kept as long.
fn expired(files: &[Arc<DataFile>], kept: u128, now: i64) -> Vec<Arc<DataFile>> {
    let is_over = |since: i64| now.saturating_sub(since) as i128 > kept as i128;
    let day_end = |day: i32| (i64::from(day) + 1) * MILLIS_A_DAY;
    let is_expired = |file: &&Arc<DataFile>| is_over(file.info().since) && is_over(day_end(file.info().day));
    files.iter().filter(is_expired).cloned().collect()
}

/// The files of the first tier that has too many, of those with less than `max_rows` rows, which is also how many are
/// merged at a time.
pub(super) fn choose_tier(
    files: &[Arc<DataFile>],
    too_many: usize,
    max_rows: u64,
    unreadable: &HashSet<PathBuf>,
) -> Option<Vec<Arc<DataFile>>> {
    // By day, project (none where several are mixed) and number.
    let mut tiers: BTreeMap<(i32, Option<&str>, u32), Vec<_>> = BTreeMap::new();
    let mergeable = |file: &&Arc<DataFile>| file.info().rows < max_rows && !unreadable.contains(file.path());
    for file in files.iter().filter(mergeable) {
        let info = file.info();
        let tier = info.rows.max(1).ilog2() / 2;
        tiers.entry((info.day, project_of(info), tier)).or_default().push(file);
    }
    let chosen = tiers.into_values().find(|tier| tier.len() >= too_many.max(2))?;
    Some(as_fit(chosen, max_rows))
}

/// The project of all rows of a file, if they are of one.
pub(super) fn project_of(info: &FileInfo) -> Option<&str> {
    info.stats.project.as_ref().and_then(|(least, greatest)| (least == greatest).then_some(&**least))
}

/// As many of the files as are merged at a time.
pub(super) fn as_fit<'f>(files: impl IntoIterator<Item = &'f Arc<DataFile>>, max_rows: u64) -> Vec<Arc<DataFile>> {
    let mut rows = 0;
    let fits = |(number, file): &(usize, &Arc<DataFile>)| {
        rows += file.info().rows;
        *number < 2 || (*number < MAX_INPUTS && rows <= max_rows)
    };
    files.into_iter().enumerate().take_while(fits).map(|(_, file)| file.clone()).collect()
}
