//! Ingest: from a request's spans or service events to the acknowledgement.
//!
//! In: spans that a codec decoded, and under what they are kept; or service events, and whose they are. Out: nothing but
//! the promise: when [`Ingest::append`] or [`Ingest::append_events`] returns, they are on disk and every later answer has
//! them; when it fails, none of them was acknowledged.
//!
//! A row of an event gets its service here, by what the request says of it, and keeps it: no reader works it out anew.

use crate::clock::Clock;
use crate::codec::{Limits, k8s, stored};
use crate::error::{Error, Result};
use crate::model::{Event, Scope, ServiceEvent, Span, event};
use crate::store::{EncodedBatch, EncodedEvents, Store};
use bytes::Bytes;
use std::sync::Arc;

/// Takes spans and service events in.
#[derive(Clone, Debug)]
pub struct Ingest {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    event_limits: k8s::Limits,
}

impl Ingest {
    /// Takes spans within `limits`, and events within the usual ones.
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Ingest { store, clock, limits, event_limits: k8s::Limits::default() }
    }

    /// The same with other limits on events.
    pub fn with_event_limits(self, event_limits: k8s::Limits) -> Self {
        Ingest { event_limits, ..self }
    }

    /// What the codecs of spans are to keep to.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the codecs of events are to keep to.
    pub fn event_limits(&self) -> &k8s::Limits {
        &self.event_limits
    }

    /// Whether a request can be taken now: to be asked before its body is read.
    ///
    /// # Errors
    /// Busy, where memory is full of what waits for the disk.
    pub fn admit(&self) -> Result<()> {
        self.store.admit(0)
    }

    /// Encodes a request's spans as they are stored: what waits for the log is much smaller than what was decoded.
    pub fn encode(&self, scope: &Scope<'_>, spans: Vec<Span<'_>>) -> Result<EncodedBatch> {
        let encoded = stored::encode(scope, self.clock.now_micros(), &spans);
        drop(spans);
        EncodedBatch::index(fitting(&encoded)).map_err(|error| Error::internal(error.to_string()))
    }

    /// Encodes a request's events as they are stored, each with its service. Resends of one event within the request,
    /// such as the frames of a watch, become the one row that any reader would make of them.
    pub fn encode_events(&self, project: &str, mut events: Vec<Event<'_>>) -> Result<EncodedEvents> {
        event::settle(&mut events);
        let events: Vec<ServiceEvent<'_>> = events.into_iter().map(ServiceEvent::from).collect();
        let encoded = stored::events::encode(project, self.clock.now_micros(), &events);
        drop(events);
        EncodedEvents::index(fitting(&encoded)).map_err(|error| Error::internal(error.to_string()))
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

    /// Stores a request's events, all or none. Resolves when they are durable and visible.
    ///
    /// # Errors
    /// As of [`Ingest::append`]: what may have been kept of a request that is sent again stays one event.
    pub async fn append_events(&self, batch: EncodedEvents) -> Result<()> {
        if batch.places.is_empty() {
            return Ok(());
        }
        self.store.append(batch).await.map(|_| ())
    }
}

/// The bytes stay until the flush, so they are copied without the room that the vector grew beyond them (the allocator
/// would leave a shrunken vector where it is).
fn fitting(encoded: &[u8]) -> Bytes {
    Bytes::copy_from_slice(encoded)
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
