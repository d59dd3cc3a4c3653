//! What can go wrong with the log.

use crate::error::{Error, ErrorKind};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error of the log. It is cloned to every append of a refused group.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// The disk is full. Nothing is lost but the payload that was refused; appends succeed again once there is space.
    #[error("no space for the log in {}: {source}; free disk space, appends then resume by themselves", path.display())]
    NoSpace { path: PathBuf, source: Arc<io::Error> },
    /// The disk did not take or keep the bytes. The payload may or may not be found after a restart.
    #[error("the disk failed under the log at {}: {source}; repeat the request, a new segment is tried each second", path.display())]
    SyncFailed { path: PathBuf, source: Arc<io::Error> },
    /// The payload is longer than the log takes.
    #[error("a log record of {len} bytes is over the limit of {limit} bytes; send less at once")]
    TooLarge { len: usize, limit: usize },
    /// The log was closed, or its thread died.
    #[error("the log is closed; repeat the request once the server has started again")]
    Closed,
    /// The folder holds another node's log.
    #[error("the log segment {} belongs to node {found}, this is node {expected}; use that node's data folder, or move the segment away", path.display())]
    Foreign { path: PathBuf, found: String, expected: String },
    /// The segment is whole but not in a form that this version reads.
    #[error("the log segment {} cannot be read: {reason}", path.display())]
    Format { path: PathBuf, reason: String },
    /// A file operation failed outside of an append.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// The caller of recovery or of a read gave up; its own error.
    #[error(transparent)]
    Replay(#[from] Error),
}

impl WalError {
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        WalError::Io { doing, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether repeating the append later may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, WalError::NoSpace { .. } | WalError::SyncFailed { .. } | WalError::Closed)
    }
}

/// Whether a disk error means that there is no room.
pub(super) fn is_no_space(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl From<WalError> for Error {
    fn from(e: WalError) -> Self {
        let kind = match &e {
            WalError::NoSpace { .. } | WalError::SyncFailed { .. } | WalError::Closed => ErrorKind::Busy,
            WalError::TooLarge { .. } => ErrorKind::TooLarge,
            WalError::Foreign { .. } | WalError::Format { .. } => ErrorKind::Damaged,
            WalError::Io { .. } => ErrorKind::Internal,
            WalError::Replay(inner) => return inner.clone(),
        };
        Error::new(kind, e.to_string())
    }
}
