//! A memory table: requests that are durable in the log and not yet in the lake.
//!
//! It keeps each request as the log has it (encoded, in one piece) with an index from the trace's low half to its
//! spans. An append costs a hash probe a span; a lookup decodes only the spans of its trace.

use super::recent::Summaries;
use crate::codec::stored::{self, Batch, SpanPlace, StoredError};
use crate::error::Error;
use crate::lake::spans::summary::Summary;
use crate::model::{Scope, Span, TraceId};
use bytes::Bytes;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// What the index of a span takes beside its bytes, about: its entry and its share of the hash table.
const INDEX_BYTES: usize = 40;

/// A request's spans, encoded, with the places of its spans.
#[derive(Clone, Debug)]
pub struct EncodedBatch {
    pub bytes: Bytes,
    pub places: Vec<SpanPlace>,
}

impl EncodedBatch {
    /// Finds the spans in an encoded request.
    pub fn index(bytes: Bytes) -> Result<Self, StoredError> {
        let mut batch = Batch::open(&bytes)?;
        let mut places = Vec::with_capacity(batch.count);
        while let Some(place) = batch.next_span()? {
            places.push(place);
        }
        Ok(EncodedBatch { bytes, places })
    }

    /// How many bytes of memory the batch takes in a memory table.
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.places.len() * INDEX_BYTES
    }
}

/// Where a span of a memory table lies.
#[derive(Clone, Copy, Debug)]
struct Entry {
    batch: u32,
    offset: u32,
    len: u32,
    /// The trace's entry before this one, plus 1; 0 for none.
    before: u32,
}

/// A span as a memory table has it: encoded, in the request that brought it, which it keeps from being freed.
#[derive(Clone, Debug)]
pub struct StoredSpan {
    batch: Bytes,
    offset: u32,
    len: u32,
}

impl StoredSpan {
    fn body(&self) -> &[u8] {
        &self.batch[self.offset as usize..(self.offset + self.len) as usize]
    }

    /// What rows are sorted by, without decoding the rest.
    pub fn sort_key(&self) -> Result<(TraceId, Option<i64>, u64), StoredError> {
        stored::sort_key(self.body())
    }

    pub fn scope(&self) -> Result<Scope<'_>, StoredError> {
        Ok(Batch::open(&self.batch)?.scope)
    }

    pub fn span(&self) -> Result<Span<'_>, StoredError> {
        stored::decode_span(self.body())
    }
}

/// A memory table. Appends come from one thread; readers from any.
#[derive(Debug, Default)]
pub struct MemTable {
    inner: RwLock<Inner>,
    bytes: AtomicUsize,
    summaries: Summaries,
}

#[derive(Debug, Default)]
struct Inner {
    batches: Vec<Bytes>,
    entries: Vec<Entry>,
    /// The newest entry of each trace, by its low half.
    newest: HashMap<u64, u32, BuildHasherDefault<TraceHasher>>,
    /// The log sequences of the first and the last batch.
    sequences: Option<(u64, u64)>,
}

impl MemTable {
    /// Adds a batch that the log made durable as `sequence`.
    pub fn append(&self, sequence: u64, batch: EncodedBatch) {
        self.bytes.fetch_add(batch.memory(), Ordering::Relaxed);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let number = inner.batches.len() as u32;
        for place in &batch.places {
            let this = inner.entries.len() as u32;
            let before = match inner.newest.entry(place.trace_low) {
                Slot::Occupied(mut slot) => slot.insert(this) + 1,
                Slot::Vacant(slot) => {
                    slot.insert(this);
                    0
                }
            };
            inner.entries.push(Entry { batch: number, offset: place.offset as u32, len: place.len as u32, before });
        }
        inner.batches.push(batch.bytes);
        inner.sequences = Some(inner.sequences.map_or((sequence, sequence), |(first, _)| (first, sequence)));
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many spans there are.
    pub fn spans(&self) -> usize {
        self.read().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.read().batches.is_empty()
    }

    /// The log sequence of the last batch.
    pub fn last_sequence(&self) -> Option<u64> {
        self.read().sequences.map(|(_, last)| last)
    }

    /// Where the spans lie whose trace id has this low half, in no order. The log's thread waits for this, so nothing
    /// is decoded meanwhile.
    pub fn trace(&self, low: u64) -> Vec<StoredSpan> {
        let inner = self.read();
        let mut found = Vec::new();
        let mut next = inner.newest.get(&low).map_or(0, |entry| entry + 1);
        while next != 0 {
            let entry = inner.entries[next as usize - 1];
            let batch = inner.batches[entry.batch as usize].clone();
            found.push(StoredSpan { batch, offset: entry.offset, len: entry.len });
            next = entry.before;
        }
        found
    }

    /// All batches so far, in the order of the log.
    pub fn batches(&self) -> Vec<Bytes> {
        self.read().batches.clone()
    }

    /// Summaries of all spans so far, which are made now where they are not yet.
    pub fn summaries(&self, kept_tags: &[String]) -> Result<Vec<Arc<Summary>>, Error> {
        self.summaries.of(&self.batches(), kept_tags)
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A panic while appending leaves at worst a batch without its index entries; the flush reads the batches.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hashes the low half of a trace id. Agents draw it at random, but need not: a multiplication spreads what they send
/// over the bits that the table uses.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceHasher(u64);

impl Hasher for TraceHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value ^ 0x9e37_79b9_7f4a_7c15) * 0xff51_afd7_ed55_8ccd_u128;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(spans: &[Span<'_>]) -> EncodedBatch {
        let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
        EncodedBatch::index(stored::encode(&scope, 7, spans).into()).unwrap()
    }

    #[test]
    fn a_trace_that_came_in_several_requests_is_found_whole() {
        let table = MemTable::default();
        let span = |low, id| Span::new(TraceId::narrow(low), id);
        table.append(1, batch(&[span(1, 1), span(2, 2), span(1, 3)]));
        table.append(2, batch(&[span(1, 4)]));
        // A 128-bit id with the same low half is the same trace to a lookup.
        table.append(3, batch(&[Span::new(TraceId::wide(9, 1), 5)]));
        let mut ids: Vec<u64> = table.trace(1).iter().map(|place| place.span().unwrap().id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [1, 3, 4, 5]);
        assert!(table.trace(3).is_empty());
        assert_eq!((table.spans(), table.last_sequence()), (5, Some(3)));
    }
}
