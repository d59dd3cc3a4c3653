//! Where new data files go, and what they are called.

use crate::fs::Fs;
use crate::lake::FileInfo;
use crate::lake::file_writer;
use std::path::PathBuf;
use std::sync::Arc;

/// Where files are written, and how.
#[derive(Clone, Debug)]
pub struct Target {
    pub fs: Arc<dyn Fs>,
    /// The table's folder.
    pub root: PathBuf,
    /// What the names of the files begin with.
    pub name: String,
    /// The zstd level.
    pub compression: i32,
}

impl Target {
    /// The name of the file of that number, which no file has: one that a crash left may lie there, and is waiting to
    /// be deleted.
    pub fn free_name(&self, day: i32, number: usize) -> String {
        let mut name = format!("{}-{number}.parquet", self.name);
        let mut turn = 0;
        while self.fs.entry(&self.root.join(file_writer::path_of(day, &name))).is_ok() {
            turn += 1;
            name = format!("{}-{number}-{turn}.parquet", self.name);
        }
        name
    }

    /// Removes files that are not to be committed.
    pub fn discard(&self, files: &[FileInfo]) {
        file_writer::discard(self.fs.as_ref(), &self.root, files);
    }
}

/// What was written, and what was left out.
#[derive(Debug, Default)]
pub struct Written {
    pub files: Vec<FileInfo>,
    /// Rows that told nothing beside another one.
    pub duplicates: u64,
}

impl Written {
    /// How many rows were written.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}
