//! What the stored tables have in common: the files of one table as one statement sees them, and how DataFusion reads
//! them.
//!
//! In: a table's live files, and what a scan wants of them. Out: a plain Parquet scan ([`scan`]) of those that may hold
//! an answer, whose bytes are checked ([`reads`]) and whose damage is passed over and noted ([`tolerant`]).
//!
//! Invariants:
//! * the files are those of one version of the table, however many scans a statement makes;
//! * bytes that do not match their checksums are never answered, and never left out in silence.

pub mod reads;
pub mod scan;
pub mod tolerant;

use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::lake::data_file::Damaged;
use crate::lake::{DataFile, FileInfo, Table, TableSpec};
use arrow::array::{ArrayRef, Date32Array, RecordBatch};
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What is to be said to the reader beside the answer: damage that was passed over.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    /// Notes something, once.
    pub fn add(&self, note: String) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Notes what of a data file cannot be read.
    pub fn add_damage(&self, damage: &Damaged) {
        self.add(format!(
            "{damage}; what cannot be read is missing from the answer, but not from a count of all rows, which the \
             table's log answers"
        ));
    }

    /// What was noted since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A table at one version.
#[derive(Debug)]
pub struct StoredTable {
    pub spec: &'static TableSpec,
    fs: Arc<dyn Fs>,
    /// The table's folder.
    root: PathBuf,
    pub files: Vec<Arc<DataFile>>,
    pub notes: Notes,
}

impl StoredTable {
    /// The table `spec` in the folder `root`, with these files live.
    pub fn new(
        fs: Arc<dyn Fs>,
        root: PathBuf,
        spec: &'static TableSpec,
        files: Vec<FileInfo>,
        notes: Notes,
    ) -> StoredTable {
        let files = files.into_iter().map(|info| Arc::new(DataFile::new(fs.clone(), &root, info))).collect();
        StoredTable { spec, fs, root, files, notes }
    }

    /// Where a file lies in the store that DataFusion reads from ([`scan::STORE`]): beside the other tables' files,
    /// which may have the same names.
    fn location(&self, info: &FileInfo) -> String {
        format!("{}/{}", self.spec.name, info.path)
    }

    /// The file at a place of that store.
    fn file_at(&self, location: &str) -> Option<&Arc<DataFile>> {
        let path = location.strip_prefix(self.spec.name)?.strip_prefix('/')?;
        self.files.iter().find(|file| file.info().path == path)
    }

    /// Whether a file is gone because the table replaced it: one that was replaced may be deleted at any time.
    async fn is_replaced(&self, file: &DataFile) -> bool {
        let gone = matches!(self.fs.entry(file.path()), Err(e) if e.kind() == std::io::ErrorKind::NotFound);
        if !gone {
            return false;
        }
        match Table::open_existing(self.fs.clone(), &self.root, self.spec).await {
            Ok(Some(table)) => {
                table.files().await.is_ok_and(|live| live.iter().all(|info| info.path != file.info().path))
            }
            _ => false,
        }
    }

    /// Rows in the columns of a data file in the columns of the table.
    pub fn with_days(spec: &TableSpec, rows: &RecordBatch, days: Date32Array) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns.push(Arc::new(days));
        RecordBatch::try_new((spec.table_schema)(), columns)
    }
}

/// 128 bits: two values that differ have the same digest by chance once in more rows than all disks hold.
pub fn digest(value: &impl Hash) -> u128 {
    let half = |salt: u64| {
        let mut hasher = DefaultHasher::new();
        (salt, value).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Runs work that waits for the disk.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => Err(Error::internal(format!("a reading thread ended: {e}"))),
    }
}

/// An error of ours on its way through DataFusion.
pub fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
