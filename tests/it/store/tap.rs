//! A file system between the store and the simulated disk, that looks at each call and may make it fail.

use crate::support::sim_fs::{OpKind, SimFs};
use spanlake::fs::{Entry, File, Fs, OpenMode};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// It changes something, or syncs.
    Op(OpKind),
    /// To open a file that is there, or to list a folder.
    Look,
    Read,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    /// Fails, and nothing was done.
    FailBefore,
    /// Is done, and fails all the same.
    FailAfter,
}

/// Sees each call. A rename or a link has the new name for its path.
pub trait Watch: Send + Sync {
    fn before(&self, _call: Call, _path: &Path) -> Verdict {
        Verdict::Pass
    }

    /// It worked.
    fn after(&self, _call: Call, _path: &Path) {}
}

/// See the module's text.
#[derive(Clone)]
pub struct Tap {
    inner: SimFs,
    watch: Arc<dyn Watch>,
}

impl Tap {
    pub fn new(inner: SimFs, watch: Arc<dyn Watch>) -> Self {
        Tap { inner, watch }
    }

    fn call<T>(&self, call: Call, path: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        // As a real disk that fails.
        let failure = || io::Error::from_raw_os_error(5);
        match self.watch.before(call, path) {
            Verdict::FailBefore => return Err(failure()),
            Verdict::FailAfter => {
                work()?;
                return Err(failure());
            }
            Verdict::Pass => {}
        }
        let done = work()?;
        self.watch.after(call, path);
        Ok(done)
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Fs for Tap {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let call = if mode == OpenMode::CreateNew { Call::Op(OpKind::Create) } else { Call::Look };
        let inner = self.call(call, path, || self.inner.open(path, mode))?;
        Ok(Box::new(TapFile { tap: self.clone(), path: path.to_owned(), inner }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Op(OpKind::CreateDir), path, || self.inner.create_dir_all(path))
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.call(Call::Look, path, || self.inner.read_dir(path))
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        self.inner.entry(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Op(OpKind::Rename), to, || self.inner.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Call::Op(OpKind::Link), to, || self.inner.hard_link(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.entry(path)?;
        self.call(Call::Op(OpKind::Remove), path, || self.inner.remove_file(path))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.call(Call::Op(OpKind::SyncDir), path, || self.inner.sync_dir(path))
    }
}

#[derive(Debug)]
struct TapFile {
    tap: Tap,
    path: PathBuf,
    inner: Box<dyn File>,
}

impl TapFile {
    fn op<T>(&self, kind: OpKind, work: impl FnOnce(&dyn File) -> io::Result<T>) -> io::Result<T> {
        self.tap.call(Call::Op(kind), &self.path, || work(&*self.inner))
    }
}

impl File for TapFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.tap.call(Call::Read, &self.path, || self.inner.read_at(buf, offset))
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.op(OpKind::Write, |file| file.write_all_at(buf, offset))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.op(OpKind::Allocate, |file| file.allocate(len))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.op(OpKind::SetLen, |file| file.set_len(len))
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.op(OpKind::SyncData, |file| file.sync_data())
    }

    fn sync_all(&self) -> io::Result<()> {
        self.op(OpKind::SyncAll, |file| file.sync_all())
    }
}
