//! Files that cannot be read: told to the operator and to whoever asked.

use crate::codec::stored::StoredError;
use crate::error::Error;
use crate::lake::DataFile;
use crate::lake::data_file::Damaged;
use crate::store::Snapshot;

/// The files that a question met that could not be read, each once.
#[derive(Debug)]
pub(super) struct Damage<'s> {
    snapshot: &'s Snapshot,
    pub files: Vec<String>,
}

impl<'s> Damage<'s> {
    pub fn of(snapshot: &'s Snapshot) -> Self {
        Damage { snapshot, files: Vec::new() }
    }

    /// What was read of a file; none, and the file is noted, where it could not be.
    pub fn unless<T>(&mut self, file: &DataFile, read: Result<T, Damaged>) -> Option<T> {
        let error = match read {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        self.snapshot.note_damage(error.to_string());
        let path = &file.info().path;
        if !self.files.contains(path) {
            self.files.push(path.clone());
        }
        None
    }
}

/// What came in whole and lies in memory cannot be read: a fault of another kind than a file's.
pub(super) fn defect(error: StoredError) -> Error {
    Error::damaged(error.to_string())
}
