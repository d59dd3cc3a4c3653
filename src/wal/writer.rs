//! The thread that writes the log, group by group.

use super::error::{WalError, is_no_space};
use super::record;
use super::segment::{self, SegmentHeader, SegmentInfo};
use super::{OnDurable, WalConfig};
use crate::clock::Clock;
use crate::fs::{File, Fs, OpenMode};
use bytes::Bytes;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// How long the disk is left alone after it failed.
const PROBE_INTERVAL_MICROS: i64 = 1_000_000;
/// Smaller payloads are gathered to writes of about this size; larger ones are written from where they are.
const GATHER_BYTES: usize = 1 << 20;

/// Takes the lock also where a panicking thread has left it: what it guards is never left half changed.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the log's handle and its thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub fs: Arc<dyn Fs>,
    pub config: WalConfig,
    /// Oldest first; the last one may be in use.
    pub segments: Mutex<VecDeque<SegmentInfo>>,
    pub last_durable: AtomicU64,
    pub queued_bytes: AtomicUsize,
    /// Whether no disk space is to be taken; locked while some is.
    pub space_held: Mutex<bool>,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    closed: bool,
}

/// A payload that waits to be written.
struct Pending {
    payload: Bytes,
    on_durable: OnDurable,
    done: oneshot::Sender<Result<u64, WalError>>,
}

impl std::fmt::Debug for Pending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pending").field("len", &self.payload.len()).finish_non_exhaustive()
    }
}

/// Resolves to the sequence of a payload once it is durable and its callback has run.
#[derive(Debug)]
#[must_use = "an append is acknowledged only by its result"]
pub struct Append(oneshot::Receiver<Result<u64, WalError>>);

impl Append {
    /// Waits on this thread, which must not belong to an async runtime.
    pub fn wait(self) -> Result<u64, WalError> {
        self.0.blocking_recv().unwrap_or(Err(WalError::Closed))
    }
}

impl Future for Append {
    type Output = Result<u64, WalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // The sender is dropped unused only when the log's thread has died.
        Pin::new(&mut self.0).poll(context).map(|result| result.unwrap_or(Err(WalError::Closed)))
    }
}

impl Shared {
    pub fn new(fs: Arc<dyn Fs>, config: WalConfig, segments: Vec<SegmentInfo>, last_durable: u64) -> Self {
        Shared {
            fs,
            config,
            segments: Mutex::new(segments.into()),
            last_durable: AtomicU64::new(last_durable),
            queued_bytes: AtomicUsize::new(0),
            space_held: Mutex::default(),
            queue: Mutex::new(Queue::default()),
            wake: Condvar::new(),
        }
    }

    pub fn append(&self, payload: Bytes, on_durable: OnDurable) -> Append {
        let (done, receiver) = oneshot::channel();
        let (len, limit) = (payload.len(), self.config.max_record_bytes.min(u32::MAX as usize));
        let mut queue = lock(&self.queue);
        // A send fails only if the future is gone already, which it cannot be.
        if queue.closed {
            let _ = done.send(Err(WalError::Closed));
        } else if len > limit {
            let _ = done.send(Err(WalError::TooLarge { len, limit }));
        } else {
            self.queued_bytes.fetch_add(len, Ordering::AcqRel);
            queue.waiting.push_back(Pending { payload, on_durable, done });
            self.wake.notify_one();
        }
        Append(receiver)
    }

    /// Reserves a file's space, unless the log is kept from that.
    fn allocate(&self, file: &dyn File, len: u64) -> io::Result<()> {
        let held = lock(&self.space_held);
        if *held { Err(io::ErrorKind::StorageFull.into()) } else { file.allocate(len) }
    }

    pub fn close(&self) {
        lock(&self.queue).closed = true;
        self.wake.notify_one();
    }

    /// Deletes the newest segment, in which nothing was acknowledged. If it is there again after a power cut, or cannot
    /// be deleted, it does no harm.
    fn discard(&self, path: &Path) {
        let mut segments = lock(&self.segments);
        // A log that was trimmed keeps its newest header.
        if segments.len() > 1 && self.fs.remove_file(path).is_ok() {
            segments.pop_back();
        }
    }

    /// Waits for something to write; `None` once the log is closed and all is written. A group fits in one segment:
    /// either what `room` is left in the current one, or, if not even the first payload fits there, a new one.
    fn next_group(&self, room: u64, group: &mut Vec<Pending>) -> Option<u64> {
        let mut queue = lock(&self.queue);
        while queue.waiting.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut payload_bytes, mut size) = (0, 0);
        let mut room = room;
        while let Some(next) = queue.waiting.front() {
            let (next_payload, next_size) = (next.payload.len(), record::size(next.payload.len()));
            if group.is_empty() {
                if next_size > room {
                    room = self.config.segment_bytes.saturating_sub(segment::HEADER_LEN as u64).max(next_size);
                }
            } else if payload_bytes + next_payload > self.config.max_group_bytes || size + next_size > room {
                break;
            }
            payload_bytes += next_payload;
            size += next_size;
            group.extend(queue.waiting.pop_front());
        }
        Some(size)
    }
}

/// The segment that is written to.
#[derive(Debug)]
struct Active {
    file: Box<dyn File>,
    path: PathBuf,
    salt: u64,
    /// Bytes that the file may hold.
    capacity: u64,
    /// Where the next record goes; all before is durable, but for the header of a segment without records.
    end: u64,
    /// The file's name is durable.
    named: bool,
    /// The space up to `capacity` is reserved.
    reserved: bool,
}

/// Why a group was not written.
enum Fault {
    /// The segment is as it was before.
    NoSpace(io::Error),
    /// The segment cannot be trusted any more.
    Broken(io::Error),
}

/// The log's thread.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    next_seq: u64,
    active: Option<Active>,
    /// When the disk failed last, and how; until it took a group again.
    failed: Option<(i64, WalError)>,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, clock: Arc<dyn Clock>, next_seq: u64) -> Self {
        Writer { shared, clock, next_seq, active: None, failed: None, buffer: Vec::new() }
    }

    /// Runs until the log is closed and its queue is empty.
    pub fn run(mut self) {
        // If a callback panics, nobody is left waiting: appends are refused from then on.
        let _refuse = RefuseOnExit(Arc::clone(&self.shared));
        let mut group = Vec::new();
        loop {
            let room = self.active.as_ref().map_or(0, |active| active.capacity - active.end);
            let Some(size) = self.shared.next_group(room, &mut group) else { return };
            let bytes: usize = group.iter().map(|pending| pending.payload.len()).sum();
            let first_seq = self.next_seq;
            // Used up whatever happens: a refused payload may be on disk all the same.
            self.next_seq += group.len() as u64;
            let written = self.write_or_refuse(first_seq, size, &group);
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            match written {
                Ok(()) => self.acknowledge(first_seq, &mut group),
                Err(e) => {
                    for pending in group.drain(..) {
                        let _ = pending.done.send(Err(e.clone()));
                    }
                }
            }
        }
    }

    fn acknowledge(&mut self, first_seq: u64, group: &mut Vec<Pending>) {
        self.shared.last_durable.store(self.next_seq - 1, Ordering::Release);
        let mut resolved = Vec::with_capacity(group.len());
        for (seq, pending) in (first_seq..).zip(group.drain(..)) {
            (pending.on_durable)(seq);
            resolved.push((seq, pending.done));
        }
        for (seq, done) in resolved {
            // Whoever waited may have gone away; the payload stays.
            let _ = done.send(Ok(seq));
        }
    }

    fn write_or_refuse(&mut self, first_seq: u64, size: u64, group: &[Pending]) -> Result<(), WalError> {
        if let Some((since, error)) = &self.failed {
            let elapsed = self.clock.now_micros().saturating_sub(*since);
            // A clock that was set back must not keep the log shut.
            if (0..PROBE_INTERVAL_MICROS).contains(&elapsed) {
                return Err(error.clone());
            }
        }
        let written = self.write(first_seq, size, group);
        let path = match &self.active {
            Some(active) => active.path.clone(),
            None => self.shared.config.dir.clone(),
        };
        match written {
            Ok(()) => {
                if self.failed.take().is_some() {
                    tracing::info!("the log is written again, in {}", path.display());
                }
                Ok(())
            }
            Err(Fault::NoSpace(e)) => Err(WalError::NoSpace { path, source: Arc::new(e) }),
            Err(Fault::Broken(e)) => {
                if let Some(active) = self.active.take() {
                    // The refused group should not come up again after a restart; the disk may disagree.
                    let _ = active.file.set_len(active.end);
                    if active.end == segment::HEADER_LEN as u64 {
                        // Else each attempt on a sick disk would leave a segment behind.
                        self.shared.discard(&active.path);
                    }
                }
                let error = WalError::SyncFailed { path, source: Arc::new(e) };
                tracing::error!("{error}");
                self.failed = Some((self.clock.now_micros(), error.clone()));
                Err(error)
            }
        }
    }

    fn write(&mut self, first_seq: u64, size: u64, group: &[Pending]) -> Result<(), Fault> {
        if self.active.as_ref().is_none_or(|active| size > active.capacity - active.end) {
            self.create(first_seq, size)?;
        }
        let shared = &*self.shared;
        let Some(active) = &mut self.active else {
            return Err(Fault::Broken(io::Error::other("there is no segment")));
        };
        let durable = shared.last_durable.load(Ordering::Acquire);
        let reserved = active.reserve(shared);
        if let Err(e) = reserved.and_then(|()| active.write_records(first_seq, durable, group, &mut self.buffer)) {
            if !is_no_space(&e) {
                return Err(Fault::Broken(e));
            }
            // What was written of the group must not be there when a later, shorter one lies in its place.
            active.file.set_len(active.end).map_err(Fault::Broken)?;
            active.reserved = false;
            return Err(Fault::NoSpace(e));
        }
        active.file.sync_data().map_err(Fault::Broken)?;
        if !active.named {
            shared.fs.sync_dir(&shared.config.dir).map_err(Fault::Broken)?;
            active.named = true;
        }
        active.end += size;
        if let Some(info) = lock(&shared.segments).back_mut() {
            info.last_seq = first_seq + group.len() as u64 - 1;
        }
        Ok(())
    }

    /// Begins a segment that has room for `size` bytes of records.
    fn create(&mut self, first_seq: u64, size: u64) -> Result<(), Fault> {
        let shared = &*self.shared;
        let config = &shared.config;
        let path = config.dir.join(segment::file_name(first_seq));
        let header_len = segment::HEADER_LEN as u64;
        let capacity = config.segment_bytes.max(header_len + size);
        let file = shared.fs.open(&path, OpenMode::CreateNew).map_err(Fault::creating)?;
        if let Err(e) = shared.allocate(&*file, capacity) {
            // Nothing was written, so it makes no difference if this fails too: recovery passes over blank files.
            let _ = shared.fs.remove_file(&path);
            return Err(Fault::creating(e));
        }
        // From here on there may be a header that tells how far the log before it reaches, so that nothing must be
        // added to the segment before, even if this one fails.
        self.active = None;
        let durable_before = shared.last_durable.load(Ordering::Acquire);
        let header = SegmentHeader { node_id: config.node_id, first_seq, durable_before };
        lock(&shared.segments).push_back(SegmentInfo { first_seq, last_seq: 0, len: capacity });
        if let Err(e) = file.write_all_at(&header.encode(), 0) {
            shared.discard(&path);
            return Err(Fault::creating(e));
        }
        let salt = segment::salt(&config.node_id, first_seq);
        self.active = Some(Active { file, path, salt, capacity, end: header_len, named: false, reserved: true });
        Ok(())
    }
}

impl Fault {
    /// A fault while no segment was in use yet.
    fn creating(e: io::Error) -> Self {
        if is_no_space(&e) { Fault::NoSpace(e) } else { Fault::Broken(e) }
    }
}

impl Active {
    fn reserve(&mut self, shared: &Shared) -> io::Result<()> {
        if !self.reserved {
            shared.allocate(&*self.file, self.capacity)?;
            self.reserved = true;
        }
        Ok(())
    }

    fn write_records(
        &mut self,
        first_seq: u64,
        durable: u64,
        group: &[Pending],
        buffer: &mut Vec<u8>,
    ) -> io::Result<()> {
        buffer.clear();
        let mut at = self.end;
        for (seq, pending) in (first_seq..).zip(group) {
            let payload = &pending.payload;
            let lag = u32::try_from(seq - durable).unwrap_or(u32::MAX);
            record::put_header(buffer, self.salt, seq, lag, payload);
            if payload.len() >= GATHER_BYTES {
                self.put(buffer, &mut at)?;
                self.file.write_all_at(payload, at)?;
                at += payload.len() as u64;
            } else {
                buffer.extend_from_slice(payload);
            }
            buffer.extend_from_slice(record::padding(payload.len()));
            if buffer.len() >= GATHER_BYTES {
                self.put(buffer, &mut at)?;
            }
        }
        self.put(buffer, &mut at)
    }

    fn put(&self, buffer: &mut Vec<u8>, at: &mut u64) -> io::Result<()> {
        if !buffer.is_empty() {
            self.file.write_all_at(buffer, *at)?;
            *at += buffer.len() as u64;
            buffer.clear();
        }
        Ok(())
    }
}

/// Refuses all appends once the thread is gone.
struct RefuseOnExit(Arc<Shared>);

impl Drop for RefuseOnExit {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        queue.closed = true;
        // Dropping the senders resolves the appends to `Closed`.
        queue.waiting.clear();
    }
}
