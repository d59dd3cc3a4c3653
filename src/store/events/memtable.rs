//! A memory table of service events: requests that are durable in the log and not yet in the lake.
//!
//! It keeps each request as the log has it (encoded, in one piece) with two indexes: from a service, and from what
//! resends of an event have in common, to the events. An append costs two hash probes an event; a lookup decodes only the
//! events that it finds.

use crate::codec::stored::StoredError;
use crate::codec::stored::events::{self, Batch, EventPlace, SortKey};
use crate::model::ServiceEvent;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// What the indexes of an event take beside its bytes, about: its entry and its share of the hash tables.
const INDEX_BYTES: usize = 64;

/// A request's service events, encoded, with the places of its events.
#[derive(Clone, Debug)]
pub struct EncodedEvents {
    pub bytes: Bytes,
    pub places: Vec<EventPlace>,
}

impl EncodedEvents {
    /// Finds the events in an encoded request.
    pub fn index(bytes: Bytes) -> Result<Self, StoredError> {
        let mut batch = Batch::open(&bytes)?;
        let mut places = Vec::with_capacity(batch.count);
        while let Some(place) = batch.next_event()? {
            places.push(place);
        }
        Ok(EncodedEvents { bytes, places })
    }

    /// How many bytes of memory the batch takes in a memory table.
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.places.len() * INDEX_BYTES
    }
}

/// Where an event of a memory table lies.
#[derive(Clone, Copy, Debug)]
struct Entry {
    batch: u32,
    offset: u32,
    len: u32,
    /// The service's entry before this one, plus 1; 0 for none.
    before_of_service: u32,
    /// The same of the event.
    before_of_event: u32,
}

/// An event as a memory table has it: encoded, in the request that brought it, which it keeps from being freed.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    batch: Bytes,
    offset: u32,
    len: u32,
}

impl StoredEvent {
    fn body(&self) -> &[u8] {
        &self.batch[self.offset as usize..(self.offset + self.len) as usize]
    }

    pub fn project(&self) -> Result<&str, StoredError> {
        Ok(Batch::open(&self.batch)?.project)
    }

    /// What the rows of a project are sorted by, without decoding the rest.
    pub fn sort_key(&self) -> Result<SortKey<'_>, StoredError> {
        events::sort_key(self.body())
    }

    pub fn event(&self) -> Result<ServiceEvent<'_>, StoredError> {
        events::decode_event(self.body())
    }
}

/// A memory table. Appends come from one thread; readers from any.
#[derive(Debug, Default)]
pub struct EventMemTable {
    inner: RwLock<Inner>,
    bytes: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    batches: Vec<Bytes>,
    entries: Vec<Entry>,
    /// The newest entry of each [`events::service_key`], plus 1.
    of_service: HashMap<u64, u32>,
    /// The newest entry of each [`events::event_key`], plus 1.
    of_event: HashMap<u64, u32>,
    /// The log sequence of the last batch.
    last_sequence: Option<u64>,
}

impl EventMemTable {
    /// Adds a batch that the log made durable as `sequence`.
    pub fn append(&self, sequence: u64, batch: EncodedEvents) {
        self.bytes.fetch_add(batch.memory(), Ordering::Relaxed);
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let number = inner.batches.len() as u32;
        for place in &batch.places {
            let this = inner.entries.len() as u32 + 1;
            inner.entries.push(Entry {
                batch: number,
                offset: place.offset as u32,
                len: place.len as u32,
                before_of_service: inner.of_service.insert(place.service_key, this).unwrap_or_default(),
                before_of_event: inner.of_event.insert(place.event_key, this).unwrap_or_default(),
            });
        }
        inner.batches.push(batch.bytes);
        inner.last_sequence = Some(sequence);
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many events there are, resends counted.
    pub fn events(&self) -> usize {
        self.read().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.read().batches.is_empty()
    }

    /// The log sequence of the last batch.
    pub fn last_sequence(&self) -> Option<u64> {
        self.read().last_sequence
    }

    /// Where the events of this [`events::service_key`] lie, whatever their project, the newest append first. The log's
    /// thread waits for this, so nothing is decoded meanwhile; who asks looks whether the events are of the service that
    /// is meant.
    pub fn of_service(&self, key: u64) -> Vec<StoredEvent> {
        let inner = self.read();
        inner.chain(inner.of_service.get(&key), |entry| entry.before_of_service)
    }

    /// Where the rows of this [`events::event_key`] lie, as those of a service.
    pub fn of_event(&self, key: u64) -> Vec<StoredEvent> {
        let inner = self.read();
        inner.chain(inner.of_event.get(&key), |entry| entry.before_of_event)
    }

    /// Where all events lie, in the order of the log.
    pub fn all(&self) -> Vec<StoredEvent> {
        let inner = self.read();
        inner.entries.iter().map(|entry| inner.stored(entry)).collect()
    }

    /// All batches so far, in the order of the log.
    pub fn batches(&self) -> Vec<Bytes> {
        self.read().batches.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A panic while appending leaves at worst a batch without its index entries; the flush reads the batches.
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn chain(&self, newest: Option<&u32>, before: impl Fn(&Entry) -> u32) -> Vec<StoredEvent> {
        let mut found = Vec::new();
        let mut next = newest.copied().unwrap_or_default();
        while next != 0 {
            let entry = &self.entries[next as usize - 1];
            found.push(self.stored(entry));
            next = before(entry);
        }
        found
    }

    fn stored(&self, entry: &Entry) -> StoredEvent {
        StoredEvent { batch: self.batches[entry.batch as usize].clone(), offset: entry.offset, len: entry.len }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::stored::events::{encode, event_key, service_key};
    use crate::model::Event;

    fn event(namespace: &'static str, service: Option<&'static str>, uid: &'static str) -> ServiceEvent<'static> {
        let event = Event { cluster: "c".into(), namespace: namespace.into(), uid: uid.into(), ..Event::default() };
        ServiceEvent { service: service.map(Into::into), event }
    }

    fn batch(project: &str, events: &[ServiceEvent<'_>]) -> EncodedEvents {
        EncodedEvents::index(encode(project, 7, events).into()).unwrap()
    }

    fn told(found: &[StoredEvent]) -> Vec<(String, ServiceEvent<'static>)> {
        let mut told: Vec<_> = found
            .iter()
            .map(|stored| (stored.project().unwrap().to_owned(), stored.event().unwrap().into_owned()))
            .collect();
        told.sort();
        told
    }

    #[test]
    fn events_that_came_in_several_requests_are_found_by_service_and_by_uid() {
        let table = EventMemTable::default();
        assert!(table.is_empty());
        let batches = [
            batch("p", &[event("n", Some("web"), "u"), event("n", None, "v"), event("n", Some("web"), "w")]),
            batch("q", &[event("n", Some("web"), "u"), event("o", Some("web"), "u")]),
        ];
        let memory: usize = batches.iter().map(EncodedEvents::memory).sum();
        for (number, batch) in batches.into_iter().enumerate() {
            table.append(number as u64 + 1, batch);
        }
        assert_eq!((table.events(), table.last_sequence(), table.bytes()), (5, Some(2), memory));
        let row = |project: &str, event| (project.to_owned(), event);
        let web = told(&table.of_service(service_key("c", "n", Some("web"))));
        let wanted = [
            row("p", event("n", Some("web"), "u")),
            row("p", event("n", Some("web"), "w")),
            row("q", event("n", Some("web"), "u")),
        ];
        assert_eq!(web, wanted);
        // What belongs to no service is found as that, and not under an empty name.
        assert_eq!(told(&table.of_service(service_key("c", "n", None))), [row("p", event("n", None, "v"))]);
        assert_eq!(told(&table.of_service(service_key("c", "n", Some("")))), []);
        let resends = told(&table.of_event(event_key("c", "u")));
        let wanted = [
            row("p", event("n", Some("web"), "u")),
            row("q", event("n", Some("web"), "u")),
            row("q", event("o", Some("web"), "u")),
        ];
        assert_eq!(resends, wanted);
        assert_eq!(told(&table.of_event(event_key("d", "u"))), []);
        assert_eq!(table.all().len(), 5);
        assert_eq!(table.all()[4].sort_key().unwrap().namespace, "o");
    }

    #[test]
    fn a_record_of_the_log_that_is_no_request_of_events_is_an_error() {
        let mut bytes = encode("p", 7, &[event("n", None, "u")]);
        bytes.truncate(bytes.len() - 1);
        assert!(EncodedEvents::index(bytes.into()).is_err());
    }
}
