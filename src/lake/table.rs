//! The table's log: which files are live, and how far the write-ahead log is in them.
//!
//! A thin layer over `deltalake-core`. It adds what that leaves to its user: durable writes ([`super::objects`]),
//! exactly-once commits, and maintenance at a known time instead of inside commits.
//!
//! Exactly once: each commit carries an application transaction `(writer, sequence)`. After an error nobody knows whether
//! a commit took place (the disk may have failed after the entry was linked). The table then is in doubt: before
//! anything else is done with it, the folder of its log is synced, so that what is there stays there, and the table is
//! read again. A commit that is found is not made twice; it counts only from then on.

use super::data_file::{FileInfo, FileStats};
use super::file_writer::{day_text, parse_day};
use super::objects::{FolderStore, TEMPORARY_PREFIX};
use super::spec::{DAY, TableSpec};
use crate::fs::{self, Fs};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, Add, Remove, StructType, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode, checkpoints};
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError, TableProperty};
use futures::TryStreamExt;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of the table's log, inside the table's folder.
pub const LOG_FOLDER: &str = "_delta_log";

/// The property that keeps [`TableSpec::version`].
const SCHEMA_VERSION: &str = "spanlake.schema.version";

/// How long checkpoints name files that were superseded. They are deleted long before; but a week of them, which is
/// what readers of Delta tables take for granted where nothing is said, would be most of a checkpoint.
const TOMBSTONE_RETENTION: &str = "interval 1 hours";

/// How often another writer may come between before a commit is given up. There is one writer; a reader's tool may
/// still commit (an operator who sets a property).
const COMMIT_RETRIES: usize = 100;

/// Why the table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("table {root}: {}", plain(source))]
    Delta { root: PathBuf, source: Box<DeltaTableError> },
    #[error("table {root}: {source}")]
    Io { root: PathBuf, source: io::Error },
    #[error("table {root}: the log entry {name} cannot be read: {what}")]
    UnreadableEntry { root: PathBuf, name: String, version: u64, what: String },
    #[error(
        "table {root}: the log entry {name} cannot be read: {what}; there are later ones, so restore it from a backup"
    )]
    DamagedEntry { root: PathBuf, name: String, what: String },
    #[error("table {root}: its schema is of version {found}, this build knows {known}: use a newer build")]
    NewerSchema { root: PathBuf, found: u32, known: u32 },
}

impl TableError {
    /// Whether the disk is full.
    pub fn is_no_space(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            if error.downcast_ref::<io::Error>().is_some_and(super::file_writer::is_no_space) {
                return true;
            }
            cause = error.source();
        }
        // Some layers between keep only the text.
        self.to_string().contains("No space left on device") || self.to_string().contains("StorageFull")
    }
}

/// What one commit does.
#[derive(Debug)]
pub struct Commit<'a> {
    pub add: &'a [FileInfo],
    pub remove: &'a [FileInfo],
    /// Who commits, and how far this commit brings it.
    pub writer: &'a str,
    pub sequence: i64,
    /// How far the commit brings others.
    pub marks: &'a [(&'a str, i64)],
    /// Milliseconds since 1970 UTC.
    pub now_millis: i64,
    /// Whether rows are added or dropped, rather than only laid out anew.
    pub data_change: bool,
}

/// A table, open for its one writer or for reading.
#[derive(Debug)]
pub struct Table {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    spec: &'static TableSpec,
    store: FolderStore,
    delta: DeltaTable,
    /// A commit failed, and whether it took place has not been settled yet.
    in_doubt: bool,
}

impl Table {
    /// Opens the table in the folder `root`, creating it where there is none and adding the columns that it lacks. What
    /// it then holds is durable: a process that was killed may have left an entry that is in its folder, but would not
    /// be there after a power cut.
    ///
    /// # Errors
    /// [`TableError::UnreadableEntry`] where the newest log entry is no JSON: the caller decides, knowing the
    /// write-ahead log, whether [`Table::set_aside`] loses anything.
    pub async fn open(fs: Arc<dyn Fs>, root: &Path, spec: &'static TableSpec) -> Result<Table, TableError> {
        let io_error = |source| TableError::Io { root: root.to_owned(), source };
        let log = root.join(LOG_FOLDER);
        fs.create_dir_all(&log).map_err(io_error)?;
        fs.sync_dir(&log).map_err(io_error)?;
        match Table::open_existing(fs.clone(), root, spec).await? {
            Some(mut table) => {
                table.grow_schema().await?;
                Ok(table)
            }
            None => Table::create(fs, root, spec).await,
        }
    }

    /// Opens the table for reading; `None` where there is none.
    pub async fn open_existing(
        fs: Arc<dyn Fs>,
        root: &Path,
        spec: &'static TableSpec,
    ) -> Result<Option<Table>, TableError> {
        let Some((newest, checkpoint)) = entries(fs.as_ref(), root)? else { return Ok(None) };
        check_entry(fs.as_ref(), root, newest)?;
        for version in checkpoint..newest {
            check_entry(fs.as_ref(), root, version).map_err(|error| match error {
                TableError::UnreadableEntry { root, name, what, .. } => TableError::DamagedEntry { root, name, what },
                other => other,
            })?;
        }
        let store = FolderStore::new(fs.clone(), root.to_owned());
        let delta = builder(&store, root)?.load().await.map_err(|e| delta_error(root, e))?;
        let table = Table { fs, root: root.to_owned(), spec, store, delta, in_doubt: false };
        let found = table.schema_version()?;
        if found > spec.version {
            return Err(TableError::NewerSchema { root: root.to_owned(), found, known: spec.version });
        }
        Ok(Some(table))
    }

    /// The table as it was before `version`, to look at; `None` where there was none.
    pub async fn before(
        fs: Arc<dyn Fs>,
        root: &Path,
        spec: &'static TableSpec,
        version: u64,
    ) -> Result<Option<Table>, TableError> {
        let Some(before) = version.checked_sub(1) else { return Ok(None) };
        let store = FolderStore::new(fs.clone(), root.to_owned());
        let opened = builder(&store, root)?.with_version(before).load().await;
        let delta = opened.map_err(|e| delta_error(root, e))?;
        Ok(Some(Table { fs, root: root.to_owned(), spec, store, delta, in_doubt: false }))
    }

    async fn create(fs: Arc<dyn Fs>, root: &Path, spec: &'static TableSpec) -> Result<Table, TableError> {
        let store = FolderStore::new(fs.clone(), root.to_owned());
        let columns = table_columns(root, spec)?;
        let builder = builder(&store, root)?.build().map_err(|e| delta_error(root, e))?;
        let delta = builder
            .create()
            .with_table_name(spec.name)
            .with_columns(columns.fields().cloned())
            .with_partition_columns([DAY])
            .with_configuration_property(TableProperty::CheckpointInterval, Some("100"))
            .with_configuration_property(TableProperty::DeletedFileRetentionDuration, Some(TOMBSTONE_RETENTION))
            .with_configuration([(SCHEMA_VERSION.to_owned(), Some(spec.version.to_string()))])
            .with_raise_if_key_not_exists(false)
            .with_save_mode(SaveMode::ErrorIfExists)
            .await
            .map_err(|e| delta_error(root, e))?;
        Ok(Table { fs, root: root.to_owned(), spec, store, delta, in_doubt: false })
    }

    /// The folder of the table.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn spec(&self) -> &'static TableSpec {
        self.spec
    }

    /// The newest version that this handle knows.
    pub fn version(&self) -> u64 {
        self.delta.version().unwrap_or_default()
    }

    /// The columns as the table has them.
    pub fn schema(&self) -> Result<arrow::datatypes::SchemaRef, TableError> {
        let state = self.delta.snapshot().map_err(|e| delta_error(&self.root, e))?;
        Ok(state.snapshot().arrow_schema())
    }

    fn schema_version(&self) -> Result<u32, TableError> {
        let state = self.delta.snapshot().map_err(|e| delta_error(&self.root, e))?;
        let property = state.metadata().configuration().get(SCHEMA_VERSION).and_then(|text| text.parse().ok());
        Ok(property.unwrap_or(self.spec.version))
    }

    /// Adds the columns that this build knows and the table lacks.
    async fn grow_schema(&mut self) -> Result<(), TableError> {
        let present = self.schema()?;
        let columns = table_columns(&self.root, self.spec)?;
        let missing: Vec<_> =
            columns.fields().filter(|field| present.field_with_name(field.name()).is_err()).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        tracing::info!(columns = ?missing.iter().map(|f| f.name()).collect::<Vec<_>>(), "adding columns to the table");
        let root = self.root.clone();
        let added = self.delta.clone().add_columns().with_fields(missing).await.map_err(|e| delta_error(&root, e))?;
        let properties = HashMap::from([(SCHEMA_VERSION.to_owned(), self.spec.version.to_string())]);
        self.delta = added
            .set_tbl_properties()
            .with_properties(properties)
            .with_raise_if_not_exists(false)
            .await
            .map_err(|e| delta_error(&root, e))?;
        Ok(())
    }

    /// The live files.
    pub async fn files(&self) -> Result<Vec<FileInfo>, TableError> {
        let state = self.delta.snapshot().map_err(|e| delta_error(&self.root, e))?;
        let log_store = self.delta.log_store();
        let views: Vec<_> = state
            .snapshot()
            .file_views(log_store.as_ref(), None)
            .try_collect()
            .await
            .map_err(|e| delta_error(&self.root, e))?;
        let mut files = Vec::with_capacity(views.len());
        for view in views {
            let day = view.partition_values_map().remove(DAY).flatten();
            files.push(FileInfo {
                path: view.path().into_owned(),
                size: u64::try_from(view.size()).unwrap_or_default(),
                rows: view.num_records().unwrap_or_default() as u64,
                day: day.as_deref().and_then(parse_day).unwrap_or_default(),
                since: view.modification_time(),
                stats: view.stats().map(|stats| read_stats(&stats)).unwrap_or_default(),
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// How far a writer has come: the sequence of its last commit.
    pub async fn sequence_of(&self, writer: &str) -> Result<Option<i64>, TableError> {
        let state = self.delta.snapshot().map_err(|e| delta_error(&self.root, e))?;
        let log_store = self.delta.log_store();
        state.transaction_version(log_store.as_ref(), writer.to_owned()).await.map_err(|e| delta_error(&self.root, e))
    }

    /// Commits files, durably, exactly once. Returns the table's version.
    ///
    /// After an error the same commit can be tried again, whatever became of the attempt; if it is to be given up,
    /// [`Table::in_doubt`] tells whether that is known.
    pub async fn commit(&mut self, commit: &Commit<'_>) -> Result<u64, TableError> {
        if self.in_doubt && self.settle(commit).await? {
            return Ok(self.version());
        }
        let mut actions: Vec<Action> = commit.add.iter().map(|file| Action::Add(add_action(file, commit))).collect();
        actions.extend(commit.remove.iter().map(|file| Action::Remove(remove_action(file, commit))));
        let marks = [(commit.writer, commit.sequence)].into_iter().chain(commit.marks.iter().copied());
        let properties = marks
            .map(|(who, sequence)| Transaction::new_with_last_update(who, sequence, Some(commit.now_millis)))
            .fold(CommitProperties::default(), CommitProperties::with_application_transaction)
            .with_max_retries(COMMIT_RETRIES)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let operation =
            DeltaOperation::Write { mode: SaveMode::Append, partition_by: Some(vec![DAY.to_owned()]), predicate: None };
        let state = self.delta.snapshot().map_err(|e| delta_error(&self.root, e))?;
        let attempt = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(state as &dyn TableReference), self.delta.log_store(), operation)
            .await;
        match attempt {
            Ok(finalized) => {
                self.delta.state = Some(finalized.snapshot());
                Ok(self.version())
            }
            Err(error) => {
                self.in_doubt = true;
                let error = delta_error(&self.root, error);
                match self.settle(commit).await {
                    Ok(true) => {
                        tracing::warn!(%error, "a commit answered with an error, but took place");
                        Ok(self.version())
                    }
                    Ok(false) => Err(error),
                    Err(unsettled) => {
                        tracing::warn!(error = %unsettled, "whether a commit took place is not known yet");
                        Err(error)
                    }
                }
            }
        }
    }

    /// Whether a commit failed and it is not known yet if it took place all the same.
    pub fn in_doubt(&self) -> bool {
        self.in_doubt
    }

    /// Finds out whether a commit that was tried took place.
    async fn settle(&mut self, commit: &Commit<'_>) -> Result<bool, TableError> {
        // An entry that is seen but not durable must not be built upon: the log would be trimmed, or files deleted,
        // for a commit that a power cut takes back. A directory can be synced again after a failure, unlike a file:
        // nothing of it is dropped from memory.
        let (fs, log) = (self.fs.clone(), self.root.join(LOG_FOLDER));
        let synced = tokio::task::spawn_blocking(move || fs.sync_dir(&log)).await;
        let synced = synced.unwrap_or_else(|e| Err(io::Error::other(e)));
        synced.map_err(|source| TableError::Io { root: self.root.clone(), source })?;
        self.reload().await?;
        let mut took_place = self.sequence_of(commit.writer).await? == Some(commit.sequence);
        if let Some(first) = commit.add.first() {
            // A sequence may be used again after an attempt that was given up; the name of a file is not.
            took_place = took_place && self.files().await?.iter().any(|file| file.path == first.path);
        }
        self.in_doubt = false;
        Ok(took_place)
    }

    /// Forgets what this handle knows and reads the table anew: after commits it grows, in memory and time.
    async fn reload(&mut self) -> Result<(), TableError> {
        let (fs, root) = (self.fs.clone(), self.root.clone());
        let checked = tokio::task::spawn_blocking(move || match entries(fs.as_ref(), &root)? {
            Some((newest, _)) => check_entry(fs.as_ref(), &root, newest),
            None => Ok(()),
        });
        let io_error = |e| TableError::Io { root: self.root.clone(), source: io::Error::other(e) };
        checked.await.map_err(io_error)??;
        self.delta = builder(&self.store, &self.root)?.load().await.map_err(|e| delta_error(&self.root, e))?;
        Ok(())
    }

    /// Writes a checkpoint, removes log entries below the newest checkpoint that is older than `keep_after_millis`
    /// (since 1970 UTC), and opens the table anew.
    pub async fn maintain(&mut self, keep_after_millis: i64) -> Result<(), TableError> {
        if self.in_doubt {
            // The commit that is tried again settles that first.
            return Ok(());
        }
        let root = self.root.clone();
        checkpoints::create_checkpoint(&self.delta, None).await.map_err(|e| delta_error(&root, e))?;
        let log_store = self.delta.log_store();
        checkpoints::cleanup_expired_logs_for(self.version(), log_store.as_ref(), keep_after_millis, None)
            .await
            .map_err(|e| delta_error(&root, e))?;
        self.reload().await
    }

    /// Moves an unreadable log entry out of the table, to `quarantine`, so that the table opens at the version before.
    pub fn set_aside(fs: &dyn Fs, root: &Path, name: &str, quarantine: &Path) -> Result<PathBuf, TableError> {
        let io_error = |source| TableError::Io { root: root.to_owned(), source };
        let entry = root.join(LOG_FOLDER).join(name);
        fs.create_dir_all(quarantine).map_err(io_error)?;
        let mut to = quarantine.join(name);
        let mut turn = 0;
        while let Err(error) = fs.hard_link(&entry, &to) {
            let same = || matches!((fs::read(fs, &entry), fs::read(fs, &to)), (Ok(a), Ok(b)) if a == b);
            match error.kind() {
                // A crash came between the two names.
                io::ErrorKind::AlreadyExists if same() => break,
                io::ErrorKind::AlreadyExists => turn += 1,
                _ => return Err(io_error(error)),
            }
            to = quarantine.join(format!("{name}.{turn}"));
        }
        fs.sync_dir(quarantine).map_err(io_error)?;
        // This need not be durable: if the entry comes back, it is moved again.
        fs.remove_file(&entry).map_err(io_error)?;
        Ok(to)
    }
}

fn delta_error(root: &Path, source: DeltaTableError) -> TableError {
    TableError::Delta { root: root.to_owned(), source: Box::new(source) }
}

fn table_columns(root: &Path, spec: &TableSpec) -> Result<StructType, TableError> {
    let converted: Result<StructType, _> = (spec.table_schema)().as_ref().try_into_kernel();
    converted.map_err(|e| delta_error(root, DeltaTableError::from(e)))
}

fn builder(store: &FolderStore, root: &Path) -> Result<DeltaTableBuilder, TableError> {
    // The store begins at the table's folder, so the address is that of its root; the scheme only says that no other
    // store is to be looked for.
    let address =
        url::Url::parse("memory:///").map_err(|e| delta_error(root, DeltaTableError::generic(e.to_string())))?;
    let builder = DeltaTableBuilder::from_url(address.clone()).map_err(|e| delta_error(root, e))?;
    Ok(builder.with_storage_backend(Arc::new(store.clone()), address))
}

/// The first line of an error's text, and of that no more than an operator reads: the libraries below add backtraces and
/// whole values.
fn plain(error: &DeltaTableError) -> String {
    const LONGEST: usize = 300;
    let text = error.to_string();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// The highest version that the table's log has an entry for, and the first one that no checkpoint covers.
fn entries(fs: &dyn Fs, root: &Path) -> Result<Option<(u64, u64)>, TableError> {
    let entries = match fs.read_dir(&root.join(LOG_FOLDER)) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TableError::Io { root: root.to_owned(), source }),
    };
    let versions = entries.iter().filter_map(|entry| entry.name.strip_suffix(".json")?.parse::<u64>().ok());
    let checkpoints = entries.iter().filter_map(|entry| {
        let (version, rest) = entry.name.split_once(".checkpoint")?;
        if rest.ends_with(".parquet") { version.parse::<u64>().ok() } else { None }
    });
    let Some(newest) = versions.max() else { return Ok(None) };
    Ok(Some((newest, checkpoints.max().map_or(0, |version| version + 1))))
}

/// Whether each line of a log entry is a JSON object, as a power cut might have left it otherwise on a disk that
/// reorders writes.
fn check_entry(fs: &dyn Fs, root: &Path, version: u64) -> Result<(), TableError> {
    let name = format!("{version:020}.json");
    let unreadable =
        |what: String| TableError::UnreadableEntry { root: root.to_owned(), name: name.clone(), version, what };
    let bytes = match fs::read(fs, &root.join(LOG_FOLDER).join(&name)) {
        Ok(bytes) => bytes,
        // A clean-up took it in between: a checkpoint covers it.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(unreadable(e.to_string())),
    };
    let mut actions = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        serde_json::from_slice::<HashMap<&str, &serde_json::value::RawValue>>(line)
            .map_err(|e| unreadable(format!("line {}: {e}", actions + 1)))?;
        actions += 1;
    }
    if actions == 0 { Err(unreadable("it is empty".to_owned())) } else { Ok(()) }
}

/// Whether a name below the table's folder is a temporary file of ours.
pub fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX)
}

fn add_action(file: &FileInfo, commit: &Commit<'_>) -> Add {
    Add {
        path: file.path.clone(),
        partition_values: HashMap::from([(DAY.to_owned(), Some(day_text(file.day)))]),
        size: file.size as i64,
        modification_time: if file.since > 0 { file.since } else { commit.now_millis },
        data_change: commit.data_change,
        stats: Some(write_stats(file)),
        ..Default::default()
    }
}

fn remove_action(file: &FileInfo, commit: &Commit<'_>) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change: commit.data_change,
        deletion_timestamp: Some(commit.now_millis),
        extended_file_metadata: Some(true),
        partition_values: Some(HashMap::from([(DAY.to_owned(), Some(day_text(file.day)))])),
        size: Some(file.size as i64),
        ..Default::default()
    }
}

/// The statistics of a file as the table's log has them (Delta protocol, "Per-file Statistics"). Timestamps there have
/// milliseconds, so the least is rounded down and the greatest up.
fn write_stats(file: &FileInfo) -> String {
    let mut least = serde_json::Map::new();
    let mut greatest = serde_json::Map::new();
    let mut bound = |name: &str, low: Value, high: Value| {
        least.insert(name.to_owned(), low);
        greatest.insert(name.to_owned(), high);
    };
    if let Some((low, high)) = &file.stats.project {
        bound("project", json!(low), json!(high));
    }
    if let Some((low, high)) = file.stats.trace_low {
        bound("trace_low", json!(low), json!(high));
    }
    for (name, bounds) in [("timestamp", file.stats.timestamp), ("last_seen", file.stats.last_seen)] {
        let Some((low, high)) = bounds else { continue };
        let (low, high) = (low.div_euclid(1_000), high.div_euclid(1_000) + i64::from(high.rem_euclid(1_000) != 0));
        if let (Some(low), Some(high)) = (instant_text(low), instant_text(high)) {
            bound(name, json!(low), json!(high));
        }
    }
    if let Some((low, high)) = file.stats.duration {
        bound("duration", json!(low), json!(high));
    }
    let mut stats = json!({ "numRecords": file.rows, "minValues": least, "maxValues": greatest });
    if let Some(timeless) = file.stats.timeless {
        stats["nullCount"] = json!({ "timestamp": timeless });
    }
    stats.to_string()
}

fn instant_text(millis: i64) -> Option<String> {
    let instant = chrono::DateTime::from_timestamp_millis(millis)?;
    // Readers know years of four digits.
    let year = chrono::Datelike::year(&instant);
    (0..=9999).contains(&year).then(|| instant.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

fn read_stats(text: &str) -> FileStats {
    let Ok(stats) = serde_json::from_str::<Value>(text) else { return FileStats::default() };
    let pair = |name: &str| Some((stats.get("minValues")?.get(name)?, stats.get("maxValues")?.get(name)?));
    let long = |name: &str| pair(name).and_then(|(low, high)| Some((low.as_i64()?, high.as_i64()?)));
    let instant = |value: &Value| {
        chrono::DateTime::parse_from_rfc3339(value.as_str()?).ok().map(|instant| instant.timestamp_micros())
    };
    let instants = |name: &str| pair(name).and_then(|(low, high)| Some((instant(low)?, instant(high)?)));
    FileStats {
        project: pair("project").and_then(|(low, high)| Some((low.as_str()?.to_owned(), high.as_str()?.to_owned()))),
        trace_low: long("trace_low"),
        timestamp: instants("timestamp"),
        timeless: stats.get("nullCount").and_then(|counts| counts.get("timestamp")?.as_u64()),
        duration: long("duration"),
        last_seen: instants("last_seen"),
    }
}
