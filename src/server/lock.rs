//! One server a data folder: a lock on the file `lock` in it, held while the process lives and freed by the system
//! when it dies, however it dies. The file holds the holder's process id, for the message that a second one gets.

use crate::error::{Error, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

const NAME: &str = "lock";

/// The folder is this process's while the value lives.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the folder, which is created if it is not there.
    pub fn take(data: &Path) -> Result<DataLock> {
        let failed = |doing: &str, e: std::io::Error| {
            Error::internal(format!("cannot {doing} the data folder {}: {e}; check --data", data.display()))
        };
        std::fs::create_dir_all(data).map_err(|e| failed("create", e))?;
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(data.join(NAME))
            .map_err(|e| failed("open a file in", e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::busy(held(data, &mut file))),
            Err(TryLockError::Error(e)) => return Err(failed("lock", e)),
        }
        file.set_len(0).map_err(|e| failed("write to", e))?;
        writeln!(file, "{}", std::process::id()).map_err(|e| failed("write to", e))?;
        Ok(DataLock { _file: file })
    }
}

/// What the second one is told.
fn held(data: &Path, file: &mut File) -> String {
    let mut id = String::new();
    let holder = match file.read_to_string(&mut id) {
        Ok(_) if !id.trim().is_empty() => format!("process {}", id.trim()),
        // It has the lock but has not written its number yet.
        _ => "a process that is just starting".to_owned(),
    };
    format!(
        "the data folder {} is in use by {holder}; stop it first, or name another folder with --data",
        data.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_holds_the_folder_and_a_freed_one_is_taken_again() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let first = DataLock::take(&data).unwrap();
        let refused = DataLock::take(&data).unwrap_err().to_string();
        assert!(refused.contains(&format!("in use by process {};", std::process::id())), "{refused}");
        drop(first);
        DataLock::take(&data).unwrap();
    }

    #[test]
    fn a_longer_number_of_a_dead_holder_leaves_no_digits_behind() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "99999999999999999999\n").unwrap();
        let _held = DataLock::take(dir.path()).unwrap();
        let written = std::fs::read_to_string(dir.path().join(NAME)).unwrap();
        assert_eq!(written, format!("{}\n", std::process::id()));
    }
}
