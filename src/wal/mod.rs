//! The write-ahead log: what is appended here is on disk before the caller is told so, and is handed back, in order,
//! after a crash.
//!
//! In: payloads (opaque bytes) with a callback each. Out: a sequence number for each payload, once it is durable; at
//! start every payload above a floor. The log knows nothing of spans or tables: its users tell it by [`Wal::trim`] how
//! far they have made their own copies durable.
//!
//! # On disk
//!
//! A folder of segments named `{first sequence, 20 digits}.wal`, and a folder `quarantine`. All integers are
//! little-endian.
//!
//! ```text
//! segment header, 64 bytes                         record, at a multiple of 8 bytes
//!  0  8  magic "SPANWAL\n"                           0  4  crc32c of (salt, bytes 4..24)
//!  8  4  format version, 1                           4  4  crc32c of (salt, sequence, payload)
//! 12  4  zero                                        8  8  sequence, from 1 up
//! 16 16  node id                                    16  4  payload length
//! 32  8  first sequence                             20  4  lag: sequence - last durable one when this was written
//! 40  8  salt, from node id and first sequence      24  .  payload, then zeros to a multiple of 8
//! 48  8  last durable sequence before this segment
//! 56  4  zero
//! 60  4  crc32c of bytes 0..60
//! ```
//!
//! The rest of a segment is zeros: its space is reserved when it is created, so that an append seldom finds a full
//! disk half-way. A record larger than a segment gets a segment of its own size.
//!
//! * The salt makes a record valid in its own segment only; it can be computed from the file's name and the node id, so
//!   that a segment with a damaged header is still read.
//! * The record's header has a checksum of its own: a length is trusted only after it was checked, and a damaged
//!   payload still tells where the next record begins.
//! * The lag tells damage from an unfinished write: a record whose lag ends at or above a missing sequence was written
//!   after the missing one was durable.
//! * The "last durable sequence before" in a header tells how far the log before it must reach: what is missing up to
//!   there is damage (or was trimmed), what lies beyond there was never acknowledged.
//!
//! # Writing
//!
//! One thread takes what is queued (a group), writes it at the segment's end, syncs the data once, for a segment's first
//! group also the folder (the header is covered by the same sync), runs the callbacks in sequence order and then
//! resolves the appends. There is no delay: a group is what was queued while the group before was synced. A group lies
//! in one segment.
//!
//! * No space: the group is refused with [`WalError::NoSpace`], the segment is cut back to its last good record, so
//!   that no stale byte is left behind, and stays in use. The next append tries again.
//! * A failed write or sync: the state of the file is unknown, so the segment is closed for good and the group refused
//!   with [`WalError::SyncFailed`]; what was written of it is cut off, as far as the disk lets it be. A new segment is
//!   tried by an append at least a second later; appends in between are refused at once.
//! * A refused payload may still be found by a later recovery: it was refused because nobody can tell.
//!
//! # Recovering
//!
//! Segments are read in the order of their names, record by record. After a bad record the segment is searched for a
//! valid one with a higher sequence. If there is one, the range between is damage: it is copied to `quarantine`,
//! reported, and the rest replayed. If there is none, it is the end of the segment: in the last segment a torn tail
//! (or damage to the last record, nobody can tell: the bytes are counted and reported), in an earlier one damage if
//! sequences are missing that the next segment says were durable. Recovery changes no segment: it syncs the last one
//! (what is handed out must not vanish at the next power cut) and new records go to a new one.
//!
//! # Invariants
//!
//! * A sequence is given to one payload only while the log is open, refused ones included; gaps are legal. Sequences go
//!   on above everything found at start: records, segment names, and the floor.
//! * Callbacks run in sequence order, after the sync; an append resolves after all callbacks of its group.
//! * A segment is deleted only by [`Wal::trim`], oldest first, and never the newest that has a record, nor one after
//!   it: its header is what a reader in another process tells a trimmed log from a short one by.

mod error;
mod reader;
mod record;
mod recovery;
mod scan;
mod segment;
mod walk;
mod writer;

pub use error::WalError;
pub use reader::{ReadEnd, read_after};
pub use recovery::{Damage, Recovery, Torn};
pub use segment::{owner, trim_read};
pub use writer::Append;

use crate::clock::Clock;
use crate::fs::Fs;
use bytes::Bytes;
use segment::SegmentInfo;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use writer::{Shared, Writer, lock};

/// Where the log lies and how it is cut.
#[derive(Clone, Debug)]
pub struct WalConfig {
    /// The log's folder; created if absent.
    pub dir: PathBuf,
    /// The node whose log this is; a folder with another node's segments is refused.
    pub node_id: [u8; 16],
    /// Sequences up to this one are in use, whatever the log says: what else knows of them may know more than the log.
    pub used_seq: u64,
    /// Bytes reserved for a segment.
    pub segment_bytes: u64,
    /// The longest payload that is taken, at most 4 GiB less one byte.
    pub max_record_bytes: usize,
    /// How many bytes of payload one sync covers at most; a single larger payload is a group of its own.
    pub max_group_bytes: usize,
}

impl WalConfig {
    /// Segments of 32 MiB, payloads up to 256 MiB, groups up to 8 MiB.
    pub fn new(dir: PathBuf, node_id: [u8; 16]) -> Self {
        let (segment_bytes, max_record_bytes, max_group_bytes) = (32 << 20, 256 << 20, 8 << 20);
        WalConfig { dir, node_id, used_seq: 0, segment_bytes, max_record_bytes, max_group_bytes }
    }
}

/// From where on a log is read. A number alone is both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Above {
    /// Records above this sequence are handed out.
    pub after: u64,
    /// The log was trimmed to here, no less than `after`: what is missing up to here is no loss.
    pub trimmed: u64,
}

impl From<u64> for Above {
    fn from(floor: u64) -> Self {
        Above { after: floor, trimmed: floor }
    }
}

/// What runs when a payload is durable; its sequence is passed in. It runs on the log's own thread: while it runs,
/// nothing is written.
pub type OnDurable = Box<dyn FnOnce(u64) + Send>;

/// An open log. One process at a time may have it open; others use [`read_after`].
#[derive(Debug)]
pub struct Wal {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Wal {
    /// Opens the log and hands every record above `floor` to `replay`, in order, one at a time: the callback may take as
    /// long as it needs, no further record is read meanwhile. `floor` is the last sequence whose payload is durable
    /// elsewhere (0 for none).
    ///
    /// Blocks. An error of the callback ends the opening with [`WalError::Replay`].
    pub fn open(
        fs: Arc<dyn Fs>,
        clock: Arc<dyn Clock>,
        config: WalConfig,
        floor: impl Into<Above>,
        replay: &mut dyn FnMut(u64, Bytes) -> crate::error::Result<()>,
    ) -> Result<(Wal, Recovery), WalError> {
        let (recovery, segments) = recovery::recover(&*fs, &config, floor.into(), replay)?;
        let shared = Arc::new(Shared::new(fs, config, segments, recovery.last_seq));
        let writer = Writer::new(Arc::clone(&shared), clock, recovery.next_seq);
        let thread = std::thread::Builder::new()
            .name("wal".to_owned())
            .spawn(move || writer.run())
            .map_err(|e| WalError::io("start the thread of", &shared.config.dir, e))?;
        Ok((Wal { shared, thread: Mutex::new(Some(thread)) }, recovery))
    }

    /// Queues a payload at once, in the order of the calls. The returned future resolves to its sequence once it is
    /// durable and `on_durable` has run; dropping the future does not take the payload back.
    pub fn append(&self, payload: Bytes, on_durable: OnDurable) -> Append {
        self.shared.append(payload, on_durable)
    }

    /// Deletes the segments that hold no record above `seq`, for good, up to the newest that has a record: a log without
    /// one could not be told from a lost log. Blocks.
    pub fn trim(&self, seq: u64) -> Result<(), WalError> {
        let Shared { fs, config, segments, .. } = &*self.shared;
        // The lock is not held while files are deleted: the log's thread needs it for each group.
        let done: Vec<u64> = {
            let segments = lock(segments);
            let newest = segments.iter().rposition(|segment| segment.last_seq > 0).unwrap_or_default();
            let older = segments.iter().take(newest);
            older.take_while(|segment| segment.last_seq <= seq).map(|segment| segment.first_seq).collect()
        };
        if done.is_empty() {
            return Ok(());
        }
        for first_seq in &done {
            let path = config.dir.join(segment::file_name(*first_seq));
            match fs.remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(WalError::io("delete", &path, e)),
                _ => {}
            }
            lock(segments).retain(|segment| segment.first_seq != *first_seq);
        }
        fs.sync_dir(&config.dir).map_err(|e| WalError::io("sync the folder", &config.dir, e))
    }

    /// Keeps the log from taking disk space, or lets it again: while it is held, what does not fit into the space that it
    /// has already is refused as on a full disk. Once this returns, no space is being taken. Blocks.
    pub fn hold_space(&self, held: bool) {
        *lock(&self.shared.space_held) = held;
    }

    /// The highest sequence known to be durable, in the log or below the floor it was opened with.
    pub fn last_durable(&self) -> u64 {
        self.shared.last_durable.load(Ordering::Acquire)
    }

    /// Bytes of disk that the segments take up.
    pub fn bytes(&self) -> u64 {
        lock(&self.shared.segments).iter().map(|segment: &SegmentInfo| segment.len).sum()
    }

    /// Bytes of payload that are not yet on disk: those that wait, and the group being written.
    pub fn queued_bytes(&self) -> usize {
        self.shared.queued_bytes.load(Ordering::Acquire)
    }

    /// Writes what is queued, refuses what comes after with [`WalError::Closed`], and ends the thread. Blocks; a second
    /// call does nothing. Must not be called from an `on_durable` callback.
    pub fn close(&self) {
        self.shared.close();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the log's thread ended by a panic; what it had not acknowledged is refused");
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.close();
    }
}
