//! Ingest: from a request's spans to the acknowledgement.
//!
//! In: spans that a codec decoded, and under what they are kept. Out: nothing but the promise: when [`Ingest::append`]
//! returns, the spans are on disk and every later answer has them; when it fails, none of them was acknowledged.

use crate::clock::Clock;
use crate::codec::{Limits, stored};
use crate::error::{Error, Result};
use crate::model::{Scope, Span};
use crate::store::{EncodedBatch, Store};
use bytes::Bytes;
use std::sync::Arc;

/// Takes spans in.
#[derive(Clone, Debug)]
pub struct Ingest {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    limits: Limits,
}

impl Ingest {
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Ingest { store, clock, limits }
    }

    /// What the codecs are to keep to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether a request can be taken now: to be asked before its body is read.
    ///
    /// # Errors
    /// Busy, where memory is full of spans that wait for the disk.
    pub fn admit(&self) -> Result<()> {
        self.store.admit(0)
    }

    /// Encodes a request's spans as they are stored: what waits for the log is much smaller than what was decoded.
    pub fn encode(&self, scope: &Scope<'_>, spans: Vec<Span<'_>>) -> Result<EncodedBatch> {
        let encoded = stored::encode(scope, self.clock.now_micros(), &spans);
        drop(spans);
        // The bytes stay until the flush, so they are copied without the room that the vector grew beyond them (the
        // allocator would leave a shrunken vector where it is).
        EncodedBatch::index(Bytes::copy_from_slice(&encoded)).map_err(|error| Error::internal(error.to_string()))
    }

    /// Stores a request's spans, all or none. Resolves when they are durable and visible.
    ///
    /// # Errors
    /// Busy, where they cannot be taken now: the same request may be sent again, and what may have been kept of it
    /// stays one span. Invalid or too large where the request is to be mended first.
    pub async fn append(&self, batch: EncodedBatch) -> Result<()> {
        if batch.places.is_empty() {
            return Ok(());
        }
        self.store.append(batch).await.map(|_| ())
    }
}

/// Bytes whose decoding or encoding takes some milliseconds: more would keep other requests waiting. Much less is not
/// worth a thread: each keeps memory of its own.
pub const LARGE: usize = 1 << 20;

/// Does work in proportion to `bytes` where it does not hold up the runtime.
pub fn offload<R>(bytes: usize, work: impl FnOnce() -> R) -> R {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let threads = Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LARGE && threads { tokio::task::block_in_place(work) } else { work() }
}
