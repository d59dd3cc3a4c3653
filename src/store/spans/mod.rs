//! Spans in the store: their memory table with its summaries, how it becomes files, and how files are merged.

mod compact;
pub mod layout;
pub mod memtable;
mod recent;

use super::StoreConfig;
use super::compact::choose_tier;
use super::core::{Core, View};
use super::kind::{CompactError, FlushError, Kind, Memory, Shelf, Side};
use super::target::{Target, Written};
use crate::lake::{DataFile, FileInfo, TableSpec, spans};
use memtable::MemTable;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Files of so many rows are not merged again, and no more are merged at a time.
const MAX_ROWS: u64 = 8_000_000;

/// The kind.
#[derive(Debug)]
pub(super) struct Spans;

impl Memory for MemTable {
    fn bytes(&self) -> usize {
        MemTable::bytes(self)
    }

    fn rows(&self) -> usize {
        self.spans()
    }

    fn is_empty(&self) -> bool {
        MemTable::is_empty(self)
    }
}

impl Kind for Spans {
    type Memory = MemTable;
    const TABLE: &'static TableSpec = &spans::TABLE;

    fn side(view: &View) -> &Side<Self> {
        &view.spans
    }

    fn side_mut(view: &mut View) -> &mut Side<Self> {
        &mut view.spans
    }

    fn shelf(core: &Core) -> &Shelf<Self> {
        &core.spans
    }

    fn write(target: &Target, config: &StoreConfig, memory: &MemTable) -> Result<Written, FlushError> {
        layout::write(target, &config.kept_tags, &memory.batches())
    }

    fn choose(
        files: &[Arc<DataFile>],
        config: &StoreConfig,
        _today: i32,
        unreadable: &HashSet<PathBuf>,
    ) -> Option<Vec<Arc<DataFile>>> {
        choose_tier(files, config.compact_files, MAX_ROWS, unreadable)
    }

    fn merge(
        target: &Target,
        config: &StoreConfig,
        inputs: &[Arc<DataFile>],
        stopping: &dyn Fn() -> bool,
    ) -> Result<(Vec<FileInfo>, u64), CompactError> {
        compact::merge_files(target, &config.kept_tags, inputs, stopping)
    }

    fn retention(_config: &StoreConfig) -> Option<Duration> {
        None
    }
}
