//! Service events in the store: their memory table, how it becomes files, and how files are merged.

pub mod layout;
pub mod memtable;

use super::StoreConfig;
use super::compact::{as_fit, choose_tier, project_of};
use super::core::{Core, View};
use super::kind::{CompactError, FlushError, Kind, Memory, Shelf, Side};
use super::target::{Target, Written};
use crate::lake::events::merge::{MergeError, merge_files};
use crate::lake::{DataFile, FileInfo, TableSpec, events};
use memtable::EventMemTable;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Files of so many rows are not merged again, and no more are merged at a time: a merge keeps the key of each row in
/// memory.
const MAX_ROWS: u64 = 1_000_000;

impl From<MergeError> for CompactError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Damaged(damaged) => CompactError::Damaged(damaged),
            MergeError::Write(error) => CompactError::Write(error),
            MergeError::Stopped => CompactError::Stopped,
            MergeError::Arrow(error) => CompactError::Rows(error.to_string()),
        }
    }
}

/// The kind.
#[derive(Debug)]
pub(super) struct Events;

impl Memory for EventMemTable {
    fn bytes(&self) -> usize {
        EventMemTable::bytes(self)
    }

    fn rows(&self) -> usize {
        self.events()
    }

    fn is_empty(&self) -> bool {
        EventMemTable::is_empty(self)
    }
}

impl Kind for Events {
    type Memory = EventMemTable;
    const TABLE: &'static TableSpec = &events::TABLE;

    fn side(view: &View) -> &Side<Self> {
        &view.events
    }

    fn side_mut(view: &mut View) -> &mut Side<Self> {
        &mut view.events
    }

    fn shelf(core: &Core) -> &Shelf<Self> {
        &core.events
    }

    fn write(target: &Target, _config: &StoreConfig, memory: &EventMemTable) -> Result<Written, FlushError> {
        layout::write(target, &memory.batches())
    }

    fn choose(
        files: &[Arc<DataFile>],
        config: &StoreConfig,
        today: i32,
        unreadable: &HashSet<PathBuf>,
    ) -> Option<Vec<Arc<DataFile>>> {
        let tier = choose_tier(files, config.compact_files, MAX_ROWS, unreadable);
        tier.or_else(|| choose_ended(files, today, unreadable))
    }

    fn merge(
        target: &Target,
        _config: &StoreConfig,
        inputs: &[Arc<DataFile>],
        stopping: &dyn Fn() -> bool,
    ) -> Result<(Vec<FileInfo>, u64), CompactError> {
        let day = inputs.first().map_or(0, |file| file.info().day);
        let create = |number| layout::create(target, day, number);
        let mut files = Vec::new();
        match merge_files(inputs, &create, &mut files, stopping) {
            Ok(dropped) => Ok((files, dropped)),
            Err(error) => {
                target.discard(&files);
                Err(error.into())
            }
        }
    }

    fn retention(config: &StoreConfig) -> Option<Duration> {
        config.event_retention
    }
}

/// The files of a day that is over, where there are several still: a question about events looks into each day's files,
/// and what was superseded within the day is dropped only where its rows come together. A file that is four times as
/// large as all the others waits until there are more of them: latecomers do not have it rewritten each time.
fn choose_ended(files: &[Arc<DataFile>], today: i32, unreadable: &HashSet<PathBuf>) -> Option<Vec<Arc<DataFile>>> {
    let mut days: BTreeMap<(i32, Option<&str>), Vec<&Arc<DataFile>>> = BTreeMap::new();
    // A clock may be behind by some hours: the day before today may not be over for all.
    let is_ended = |file: &&Arc<DataFile>| file.info().day < today - 1;
    let mergeable = |file: &&Arc<DataFile>| file.info().rows < MAX_ROWS && !unreadable.contains(file.path());
    for file in files.iter().filter(is_ended).filter(mergeable) {
        days.entry((file.info().day, project_of(file.info()))).or_default().push(file);
    }
    days.into_values().find_map(|mut files| {
        files.sort_by_key(|file| file.info().rows);
        let (largest, others) = files.split_last()?;
        let rows: u64 = others.iter().map(|file| file.info().rows).sum();
        let chosen = if rows.saturating_mul(4) >= largest.info().rows { &files[..] } else { others };
        let chosen = as_fit(chosen.iter().copied(), MAX_ROWS);
        let rows: u64 = chosen.iter().map(|file| file.info().rows).sum();
        (chosen.len() > 1 && rows <= MAX_ROWS).then_some(chosen)
    })
}
