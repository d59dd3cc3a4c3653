//! What the store does alike for whatever it keeps, and what each kind of rows does in its own way.
//!
//! Spans and service events come in through one log, and lie in memory, in files and in a table each. All that moves
//! them (the flush, compaction, retention) is written once, over a [`Kind`]: how a memory table becomes files, which
//! files are merged and how.

use super::StoreConfig;
use super::compact::Compacting;
use super::core::{Core, View};
use super::space::Removed;
use super::target::{Target, Written};
use crate::codec::stored::StoredError;
use crate::fs::Fs;
use crate::lake::data_file::Damaged;
use crate::lake::file_writer::WriteError;
use crate::lake::{DataFile, FileInfo, Table, TableSpec};
use std::collections::{HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A kind of rows.
pub(super) trait Kind: Sized + Send + Sync + 'static {
    type Memory: Memory;
    const TABLE: &'static TableSpec;

    fn side(view: &View) -> &Side<Self>;
    fn side_mut(view: &mut View) -> &mut Side<Self>;
    fn shelf(core: &Core) -> &Shelf<Self>;

    /// Writes a memory table as sorted files, one a day. They are durable, and part of the table only once they are
    /// committed; where one cannot be written, none is left.
    fn write(target: &Target, config: &StoreConfig, memory: &Self::Memory) -> Result<Written, FlushError>;

    /// The files that are to become fewer, of one day; none where all is well. `today` counts from 1970-01-01.
    fn choose(
        files: &[Arc<DataFile>],
        config: &StoreConfig,
        today: i32,
        unreadable: &HashSet<PathBuf>,
    ) -> Option<Vec<Arc<DataFile>>>;

    /// Merges files of one day into sorted files of one project each; gives out how many rows told nothing more.
    /// Where it fails, nothing is left.
    fn merge(
        target: &Target,
        config: &StoreConfig,
        inputs: &[Arc<DataFile>],
        stopping: &dyn Fn() -> bool,
    ) -> Result<(Vec<FileInfo>, u64), CompactError>;

    /// How long rows are kept; `None` for ever.
    fn retention(config: &StoreConfig) -> Option<Duration>;
}

/// A memory table of a kind.
pub(super) trait Memory: Default + Send + Sync + 'static {
    /// Bytes of memory, about.
    fn bytes(&self) -> usize;
    fn rows(&self) -> usize;
    /// Whether nothing came that the log has a record of.
    fn is_empty(&self) -> bool;
}

/// What snapshots of a kind are taken of.
#[derive(Debug)]
pub(super) struct Side<K: Kind> {
    pub active: Arc<K::Memory>,
    /// The oldest first, each with the last sequence of its cut of the log.
    pub frozen: VecDeque<(u64, Arc<K::Memory>)>,
    pub files: Arc<Vec<Arc<DataFile>>>,
    /// The table's version.
    pub version: u64,
}

impl<K: Kind> Side<K> {
    pub fn new(files: Vec<Arc<DataFile>>, version: u64) -> Self {
        Side { active: Arc::default(), frozen: VecDeque::new(), files: Arc::new(files), version }
    }

    /// Bytes of the memory tables.
    pub fn bytes(&self) -> usize {
        self.active.bytes() + self.frozen.iter().map(|(_, memory)| memory.bytes()).sum::<usize>()
    }

    /// The memory tables that hold something, the oldest first.
    pub fn memories(&self) -> Vec<Arc<K::Memory>> {
        let all = self.frozen.iter().map(|(_, memory)| memory).chain([&self.active]);
        all.filter(|memory| !memory.is_empty()).cloned().collect()
    }

    /// Puts what is active in line to be flushed, as part of the cut that ends with `last`.
    pub fn freeze(&mut self, last: u64) {
        if !self.active.is_empty() {
            let active = std::mem::take(&mut self.active);
            self.frozen.push_back((last, active));
        }
    }

    /// The memory table that belongs to the oldest cut, if that is `cut`.
    pub fn of_cut(&self, cut: u64) -> Option<Arc<K::Memory>> {
        self.frozen.front().filter(|(last, _)| *last == cut).map(|(_, memory)| memory.clone())
    }
}

/// What only those who write to a table need.
#[derive(Debug)]
pub(super) struct Shelf<K: Kind> {
    /// The table's folder.
    pub root: PathBuf,
    /// The table's one writer; held while a commit is made.
    pub table: tokio::sync::Mutex<TableWriter>,
    /// The files of the oldest frozen memory table, where they are written and not yet known to be committed.
    pub written: tokio::sync::Mutex<Option<Written>>,
    /// Held by the one compaction that runs.
    pub compacting: tokio::sync::Mutex<Compacting>,
    /// Files to be deleted; held while some are.
    pub removed: tokio::sync::Mutex<Vec<Removed>>,
    kind: std::marker::PhantomData<fn() -> K>,
}

/// A table with what its maintenance needs to know.
#[derive(Debug)]
pub(super) struct TableWriter {
    pub table: Table,
    /// Commits since the last maintenance.
    pub commits: u64,
}

impl<K: Kind> Shelf<K> {
    pub fn new(table: Table) -> Self {
        Shelf {
            root: table.root().to_owned(),
            table: tokio::sync::Mutex::new(TableWriter { table, commits: 0 }),
            written: tokio::sync::Mutex::default(),
            compacting: tokio::sync::Mutex::default(),
            removed: tokio::sync::Mutex::default(),
            kind: std::marker::PhantomData,
        }
    }

    /// Files of the table, to be opened at their first use.
    pub fn files(&self, fs: &Arc<dyn Fs>, infos: &[FileInfo]) -> Vec<Arc<DataFile>> {
        infos.iter().map(|info| Arc::new(DataFile::new(fs.clone(), &self.root, info.clone()))).collect()
    }
}

/// Why a memory table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Stored(#[from] StoredError),
}

/// Why files could not be merged.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error("merging rows: {0}")]
    Rows(String),
    #[error("the store is closing, or the disk is full")]
    Stopped,
}
