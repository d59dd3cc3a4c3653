//! A memory table of service events: requests that are durable in the log and not yet in the lake.
//!
//! It keeps each request as the log has it (encoded, in one piece) with two indexes: from a service, and from what
//! resends of an event have in common, to the events. An append costs two hash probes an event; a lookup decodes only the
//! events that it finds.

use crate::codec::stored::StoredError;
use crate::codec::stored::events::{self, Batch, EventPlace, Head, SortKey};
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

    /// What rows of an event are joined by, without decoding the rest.
    pub fn head(&self) -> Result<Head<'_>, StoredError> {
        events::head(self.body())
    }

    /// Whether both are the same row, byte for byte: then neither needs to be decoded to tell which is the newer.
    pub fn is_same_row(&self, other: &StoredEvent) -> bool {
        self.body() == other.body()
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
    /// What there is of each [`events::event_key`].
    of_event: HashMap<u64, OfEvent>,
    /// The log sequence of the last batch.
    last_sequence: Option<u64>,
}

/// What a memory table has of an event.
#[derive(Clone, Copy, Debug)]
struct OfEvent {
    /// Its newest entry, plus 1.
    newest: u32,
    /// The least of its rows.
    first_seen: i64,
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
            let of_event =
                inner.of_event.entry(place.event_key).or_insert(OfEvent { newest: 0, first_seen: place.first_seen });
            let before_of_event = std::mem::replace(&mut of_event.newest, this);
            of_event.first_seen = of_event.first_seen.min(place.first_seen);
            inner.entries.push(Entry {
                batch: number,
                offset: place.offset as u32,
                len: place.len as u32,
                before_of_service: inner.of_service.insert(place.service_key, this).unwrap_or_default(),
                before_of_event,
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

    /// Where the events of this [`events::service_key`] lie, the newest append first. The log's thread waits for this, so
    /// nothing is decoded meanwhile; who asks looks whether the events are of the service that is meant.
    pub fn of_service(&self, key: u64) -> Vec<StoredEvent> {
        let inner = self.read();
        let newest = inner.of_service.get(&key).copied().unwrap_or_default();
        let entries = inner.chain(newest, |entry| entry.before_of_service);
        stored(inner, entries)
    }

    /// Where the rows of this [`events::event_key`] lie, as those of a service.
    pub fn of_event(&self, key: u64) -> Vec<StoredEvent> {
        let inner = self.read();
        let newest = inner.of_event.get(&key).map_or(0, |of_event| of_event.newest);
        let entries = inner.chain(newest, |entry| entry.before_of_event);
        stored(inner, entries)
    }

    /// Whether there may be a row of this [`events::event_key`] that tells a first-seen of `until` or before.
    pub fn may_hold(&self, key: u64, until: i64) -> bool {
        self.read().of_event.get(&key).is_some_and(|of_event| of_event.first_seen <= until)
    }

    /// Where all events lie, in the order of the log.
    pub fn all(&self) -> Vec<StoredEvent> {
        let inner = self.read();
        let entries = inner.entries.clone();
        stored(inner, entries)
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
    fn chain(&self, newest: u32, before: impl Fn(&Entry) -> u32) -> Vec<Entry> {
        let mut found = Vec::new();
        let mut next = newest;
        while next != 0 {
            let entry = self.entries[next as usize - 1];
            next = before(&entry);
            found.push(entry);
        }
        found
    }
}

/// The events of entries. The log's thread waits no longer than it takes to keep the requests, or the events where those
/// are fewer.
fn stored(inner: RwLockReadGuard<'_, Inner>, entries: Vec<Entry>) -> Vec<StoredEvent> {
    fn of(batches: &[Bytes], entries: &[Entry]) -> Vec<StoredEvent> {
        let stored = |entry: &Entry| StoredEvent {
            batch: batches[entry.batch as usize].clone(),
            offset: entry.offset,
            len: entry.len,
        };
        entries.iter().map(stored).collect()
    }
    if entries.len() <= inner.batches.len() {
        return of(&inner.batches, &entries);
    }
    let batches = inner.batches.clone();
    drop(inner);
    of(&batches, &entries)
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
        let web = told(&table.of_service(service_key("p", "c", "n", Some("web"))));
        let wanted = [row("p", event("n", Some("web"), "u")), row("p", event("n", Some("web"), "w"))];
        assert_eq!(web, wanted);
        // What belongs to no service is found as that, and not under an empty name.
        assert_eq!(told(&table.of_service(service_key("p", "c", "n", None))), [row("p", event("n", None, "v"))]);
        assert_eq!(told(&table.of_service(service_key("p", "c", "n", Some("")))), []);
        // What another project calls by the same names is not even looked at.
        let resends = told(&table.of_event(event_key("q", "c", "u")));
        assert_eq!(resends, [row("q", event("n", Some("web"), "u")), row("q", event("o", Some("web"), "u"))]);
        assert_eq!(told(&table.of_event(event_key("p", "c", "u"))), [row("p", event("n", Some("web"), "u"))]);
        assert_eq!(told(&table.of_event(event_key("p", "d", "u"))), []);
        assert_eq!(table.all().len(), 5);
        assert_eq!(table.all()[4].sort_key().unwrap().namespace, "o");
    }

    #[test]
    fn the_least_first_seen_of_an_event_is_known_without_its_rows() {
        let seen = |uid, first_seen| {
            let mut row = event("n", None, uid);
            (row.event.first_seen, row.event.last_seen) = (first_seen, 100);
            row
        };
        let table = EventMemTable::default();
        table.append(1, batch("p", &[seen("u", 20), seen("v", 5)]));
        table.append(2, batch("p", &[seen("u", 10), seen("u", 30)]));
        table.append(3, batch("q", &[seen("u", 1)]));
        let may_hold = |uid, until| table.may_hold(event_key("p", "c", uid), until);
        assert!(may_hold("u", 10) && !may_hold("u", 9));
        assert!(may_hold("v", 5) && !may_hold("v", 4));
        assert!(!may_hold("w", i64::MAX));
    }

    #[test]
    fn a_record_of_the_log_that_is_no_request_of_events_is_an_error() {
        let mut bytes = encode("p", 7, &[event("n", None, "u")]);
        bytes.truncate(bytes.len() - 1);
        assert!(EncodedEvents::index(bytes.into()).is_err());
    }
}
