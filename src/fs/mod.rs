//! The file system, passed in: the log and the lake do all their disk work through [`Fs`], so that a test can put a
//! disk under them that fails, fills up, or forgets whatever was not synced.
//!
//! The rules of a disk, as the callers must assume them (and as the test's double enforces them):
//! * bytes written are kept after a power cut only once the file was synced (`sync_data` or `sync_all`);
//! * a new name, a rename, a link or a removal is kept only once its directory was synced (`sync_dir`);
//! * a failed sync leaves the file in an unknown state: it is not to be trusted, nor synced again.

mod real;

pub use real::RealFs;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
}

/// What a directory says of a name in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub is_dir: bool,
    /// Bytes; 0 for a directory.
    pub len: u64,
    pub modified: SystemTime,
}

/// A disk's directories.
pub trait Fs: Send + Sync + Debug + 'static {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>>;
    /// Creates the directory and those above it; each new one is synced into its parent.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, in no order. Names that are not UTF-8 are passed over.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;
    fn entry(&self, path: &Path) -> io::Result<Entry>;
    /// Replaces `to` if it exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Fails with `AlreadyExists` if `to` exists.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in the directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file. Reads and writes name their place, so that one handle serves many threads.
#[allow(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait File: Send + Sync + Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Reserves disk space for the first `len` bytes and makes the file that long; what was not written reads as
    /// zeros. Where the file system cannot reserve, only the length is set.
    fn allocate(&self, len: u64) -> io::Result<()>;
    fn set_len(&self, len: u64) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Makes the bytes, and the length if it changed, durable.
    fn sync_data(&self) -> io::Result<()>;
    /// As [`File::sync_data`], with the file's metadata.
    fn sync_all(&self) -> io::Result<()>;

    /// Fills `buf` from `offset`; `UnexpectedEof` where the file ends before.
    fn read_exact_at(&self, mut buf: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    buf = &mut buf[n..];
                    offset += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Reads a whole file.
pub fn read(fs: &dyn Fs, path: &Path) -> io::Result<Vec<u8>> {
    let file = fs.open(path, OpenMode::Read)?;
    let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Writes a file so that after a power cut it is there whole or not at all, replacing one of that name: a temporary
/// file beside it, synced, renamed, and the directory synced.
pub fn write_durably(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = dir.join(format!(".{name}.tmp"));
    match fs.remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = fs.open(&temporary, OpenMode::CreateNew)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    fs.rename(&temporary, path)?;
    fs.sync_dir(dir)
}
