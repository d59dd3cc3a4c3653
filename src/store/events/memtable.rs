//! Placeholder until the rows' branch comes in.
use crate::codec::stored::StoredError;
use crate::codec::stored::events::{Batch, EventPlace};
use bytes::Bytes;
use std::sync::Mutex;
#[derive(Clone, Debug)]
pub struct EncodedEvents {
    pub bytes: Bytes,
    pub places: Vec<EventPlace>,
}
impl EncodedEvents {
    pub fn index(bytes: Bytes) -> Result<Self, StoredError> {
        let mut batch = Batch::open(&bytes)?;
        let mut places = Vec::new();
        while let Some(place) = batch.next_event()? {
            places.push(place);
        }
        Ok(EncodedEvents { bytes, places })
    }
    pub fn memory(&self) -> usize {
        self.bytes.len()
    }
}
#[derive(Debug, Default)]
pub struct EventMemTable(Mutex<Vec<EncodedEvents>>);
impl EventMemTable {
    pub fn append(&self, _sequence: u64, batch: EncodedEvents) {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).push(batch);
    }
    pub fn bytes(&self) -> usize {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).iter().map(EncodedEvents::memory).sum()
    }
    pub fn events(&self) -> usize {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).iter().map(|b| b.places.len()).sum()
    }
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).is_empty()
    }
    pub fn batches(&self) -> Vec<Bytes> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).iter().map(|b| b.bytes.clone()).collect()
    }
}
