//! A request's service events.
//!
//! ```text
//! batch = version:u8 arrival:i64le project:text count:varint event*
//! event = len:varint body                       (len: bytes of the body)
//! body  = present:u32le cluster:text namespace:text [service:text] last_seen:zigzag uid:text
//!         (last_seen - first_seen):zigzag count:zigzag [each other text in the order of its bit]
//!         labels:varint (key:text value:text)*  owners:varint (controller:u8 kind:text name:text)*
//! ```
//!
//! What rows are sorted by comes first, in that order, so that sorting decodes no more. A bit of `present` says that the
//! service is known, or that a text is not empty.

use super::StoredError;
use crate::codec::pack::{Fault, Reader, put_text, put_varint, put_zigzag};
use crate::model::event::{Owner, service};
use crate::model::{Event, ServiceEvent};
use std::borrow::Cow;
use xxhash_rust::xxh3::Xxh3Default;

/// What an encoded request of service events begins with: their first version.
pub const VERSION: u8 = 2;

/// The bit of a known service. Those of [`TEXTS`] texts follow.
const SERVICE: u32 = 1;

/// How many texts are left out where they are empty.
const TEXTS: usize = 14;

/// The texts that are left out where they are empty, in the order of their bits.
fn texts<'e>(event: &'e Event<'_>) -> [&'e str; TEXTS] {
    [
        &event.level,
        &event.reason,
        &event.message,
        &event.object.kind,
        &event.object.name,
        &event.object.namespace,
        &event.object.uid,
        &event.object.api_version,
        &event.object.field_path,
        &event.name,
        &event.action,
        &event.source.component,
        &event.source.host,
        &event.source.instance,
    ]
}

/// The same, to be filled in.
fn texts_mut<'m, 'a>(event: &'m mut Event<'a>) -> [&'m mut Cow<'a, str>; TEXTS] {
    [
        &mut event.level,
        &mut event.reason,
        &mut event.message,
        &mut event.object.kind,
        &mut event.object.name,
        &mut event.object.namespace,
        &mut event.object.uid,
        &mut event.object.api_version,
        &mut event.object.field_path,
        &mut event.name,
        &mut event.action,
        &mut event.source.component,
        &mut event.source.host,
        &mut event.source.instance,
    ]
}

/// Encodes a request's events, kept under `project`, that arrived at `arrival` (microseconds since 1970 UTC).
pub fn encode(project: &str, arrival: i64, events: &[ServiceEvent<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + events.len() * 512);
    out.push(VERSION);
    out.extend_from_slice(&arrival.to_le_bytes());
    put_text(&mut out, project);
    put_varint(&mut out, events.len() as u64);
    let mut body = Vec::with_capacity(1_024);
    for event in events {
        body.clear();
        encode_event(event, &mut body);
        put_varint(&mut out, body.len() as u64);
        out.extend_from_slice(&body);
    }
    out
}

/// Encodes an event as a body of its own.
pub fn encode_event(event: &ServiceEvent<'_>, out: &mut Vec<u8>) {
    let ServiceEvent { service, event } = event;
    let texts = texts(event);
    let mut present = if service.is_some() { SERVICE } else { 0 };
    for (place, text) in texts.iter().enumerate() {
        present |= if text.is_empty() { 0 } else { SERVICE << (place + 1) };
    }
    out.extend_from_slice(&present.to_le_bytes());
    put_text(out, &event.cluster);
    put_text(out, &event.namespace);
    if let Some(service) = service {
        put_text(out, service);
    }
    put_zigzag(out, event.last_seen);
    put_text(out, &event.uid);
    put_zigzag(out, event.last_seen.wrapping_sub(event.first_seen));
    put_zigzag(out, event.count);
    for text in texts.into_iter().filter(|text| !text.is_empty()) {
        put_text(out, text);
    }
    put_varint(out, event.labels.len() as u64);
    for (key, value) in &event.labels {
        put_text(out, key);
        put_text(out, value);
    }
    put_varint(out, event.owners.len() as u64);
    for owner in &event.owners {
        out.push(u8::from(owner.controller));
        put_text(out, &owner.kind);
        put_text(out, &owner.name);
    }
}

/// A batch whose head is read; its events are found one after the other by [`Batch::next_event`].
#[derive(Debug)]
pub struct Batch<'a> {
    pub project: &'a str,
    /// When the request arrived: microseconds since 1970 UTC.
    pub arrival: i64,
    /// How many events there are in all.
    pub count: usize,
    reader: Reader<'a>,
    left: usize,
}

/// Where an event's body lies in its batch, with what an index wants to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    pub offset: usize,
    pub len: usize,
    /// [`service_key`] of the event.
    pub service_key: u64,
    /// [`event_key`] of the event.
    pub event_key: u64,
    /// Microseconds since 1970 UTC.
    pub first_seen: i64,
}

/// A hash of a project's service of a namespace and a cluster; none is apart from an empty one.
pub fn service_key(project: &str, cluster: &str, namespace: &str, service: Option<&str>) -> u64 {
    let mut hasher = Xxh3Default::new();
    hash_text(&mut hasher, project);
    hash_text(&mut hasher, cluster);
    hash_text(&mut hasher, namespace);
    if let Some(service) = service {
        hash_text(&mut hasher, service);
    }
    hasher.digest()
}

/// A hash of what resends of an event have in common.
pub fn event_key(project: &str, cluster: &str, uid: &str) -> u64 {
    let mut hasher = Xxh3Default::new();
    hash_text(&mut hasher, project);
    hash_text(&mut hasher, cluster);
    hash_text(&mut hasher, uid);
    hasher.digest()
}

/// With its length, so that no two lists of texts run together.
fn hash_text(hasher: &mut Xxh3Default, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

impl<'a> Batch<'a> {
    /// Reads the head of an encoded batch.
    pub fn open(bytes: &'a [u8]) -> Result<Self, StoredError> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Fault { what: "no events of a version that this build knows", at: 0 }.into());
        }
        let arrival = i64::from_le_bytes(reader.array()?);
        let project = reader.text()?;
        let count = reader.length()?;
        Ok(Batch { project, arrival, count, reader, left: count })
    }

    /// The place of the next event, `None` after the last.
    pub fn next_event(&mut self) -> Result<Option<EventPlace>, StoredError> {
        if self.left == 0 {
            return match self.reader.is_at_end() {
                true => Ok(None),
                false => Err(Fault { what: "bytes after the last event", at: self.reader.position() }.into()),
            };
        }
        self.left -= 1;
        let len = self.reader.length()?;
        let offset = self.reader.position();
        let Head { key, first_seen, .. } = head(self.reader.take(len)?)?;
        Ok(Some(EventPlace {
            offset,
            len,
            service_key: service_key(self.project, key.cluster, key.namespace, key.service),
            event_key: event_key(self.project, key.cluster, key.uid),
            first_seen,
        }))
    }
}

/// What rows of a project are sorted by, in this order; no service before any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SortKey<'a> {
    pub cluster: &'a str,
    pub namespace: &'a str,
    pub service: Option<&'a str>,
    /// Microseconds since 1970 UTC.
    pub last_seen: i64,
    pub uid: &'a str,
}

/// What rows of one event are joined by, and what they are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    pub key: SortKey<'a>,
    /// Microseconds since 1970 UTC.
    pub first_seen: i64,
    pub count: i64,
}

/// The head of a body, without decoding the rest.
pub fn head(body: &[u8]) -> Result<Head<'_>, StoredError> {
    Ok(read_head(&mut Reader::new(body))?.1)
}

/// The sort key of a body, without decoding the rest.
pub fn sort_key(body: &[u8]) -> Result<SortKey<'_>, StoredError> {
    Ok(read_key(&mut Reader::new(body))?.1)
}

fn read_key<'a>(reader: &mut Reader<'a>) -> Result<(u32, SortKey<'a>), Fault> {
    let present = u32::from_le_bytes(reader.array()?);
    if present >> (TEXTS + 1) != 0 {
        return Err(Fault { what: "a field that this build does not know", at: 0 });
    }
    let (cluster, namespace) = (reader.text()?, reader.text()?);
    let service = if present & SERVICE != 0 { Some(reader.text()?) } else { None };
    Ok((present, SortKey { cluster, namespace, service, last_seen: reader.zigzag()?, uid: reader.text()? }))
}

fn read_head<'a>(reader: &mut Reader<'a>) -> Result<(u32, Head<'a>), Fault> {
    let (present, key) = read_key(reader)?;
    let first_seen = key.last_seen.wrapping_sub(reader.zigzag()?);
    Ok((present, Head { key, first_seen, count: reader.zigzag()? }))
}

/// Decodes the body of one event, borrowing its texts.
pub fn decode_event(body: &[u8]) -> Result<ServiceEvent<'_>, StoredError> {
    let mut reader = Reader::new(body);
    let (present, Head { key, first_seen, count }) = read_head(&mut reader)?;
    let mut event = Event {
        cluster: Cow::Borrowed(key.cluster),
        namespace: Cow::Borrowed(key.namespace),
        uid: Cow::Borrowed(key.uid),
        first_seen,
        last_seen: key.last_seen,
        count,
        ..Event::default()
    };
    for (place, text) in texts_mut(&mut event).into_iter().enumerate() {
        if present & (SERVICE << (place + 1)) != 0 {
            *text = Cow::Borrowed(reader.text()?);
        }
    }
    for _ in 0..reader.length()? {
        let at = reader.position();
        let key = service::known(reader.text()?).ok_or(Fault { what: "a label that this build does not know", at })?;
        event.labels.push((key, Cow::Borrowed(reader.text()?)));
    }
    for _ in 0..reader.length()? {
        let controller = reader.byte()? != 0;
        let (kind, name) = (Cow::Borrowed(reader.text()?), Cow::Borrowed(reader.text()?));
        event.owners.push(Owner { kind, name, controller });
    }
    if !reader.is_at_end() {
        return Err(Fault { what: "bytes after the event", at: reader.position() }.into());
    }
    Ok(ServiceEvent { service: key.service.map(Cow::Borrowed), event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::stored::{RecordKind, kind};
    use crate::model::event::arbitrary::any_event;
    use crate::model::event::{Object, Source};
    use proptest::prelude::*;

    /// The project, the arrival and the events of a batch.
    type Decoded<'a> = (&'a str, i64, Vec<ServiceEvent<'a>>);

    fn decode_all(bytes: &[u8]) -> Result<Decoded<'_>, StoredError> {
        let mut batch = Batch::open(bytes)?;
        let mut events = Vec::new();
        while let Some(place) = batch.next_event()? {
            let event = decode_event(&bytes[place.offset..place.offset + place.len])?;
            let (row, service) = (&event.event, event.service.as_deref());
            assert_eq!(place.service_key, service_key(batch.project, &row.cluster, &row.namespace, service));
            assert_eq!(place.event_key, event_key(batch.project, &row.cluster, &row.uid));
            assert_eq!(place.first_seen, row.first_seen);
            let head = head(&bytes[place.offset..place.offset + place.len])?;
            assert_eq!((head.first_seen, head.count), (row.first_seen, row.count));
            events.push(event);
        }
        assert_eq!(events.len(), batch.count);
        Ok((batch.project, batch.arrival, events))
    }

    fn backed_off() -> ServiceEvent<'static> {
        ServiceEvent {
            service: Some("web".into()),
            event: Event {
                cluster: "cls-1".into(),
                namespace: "shop".into(),
                uid: "u-1".into(),
                name: "web-0.14854ca9".into(),
                object: Object {
                    kind: "Pod".into(),
                    name: "web-0".into(),
                    api_version: "v1".into(),
                    ..Object::default()
                },
                level: "Warning".into(),
                reason: "BackOff".into(),
                message: "Back-off".into(),
                action: "".into(),
                source: Source { component: "kubelet".into(), host: "".into(), instance: "".into() },
                first_seen: 1_000,
                last_seen: 1_300,
                count: 5,
                labels: vec![("app", "web".into())],
                owners: vec![Owner { kind: "StatefulSet".into(), name: "web".into(), controller: true }],
            },
        }
    }

    #[test]
    fn the_bytes_of_an_event_do_not_change_unnoticed() {
        // The log of an older build is read by a newer one.
        let bytes = encode("p", 258, &[backed_off(), ServiceEvent { service: None, event: Event::default() }]);
        let mut wanted = vec![2, 2, 1, 0, 0, 0, 0, 0, 0];
        wanted.extend_from_slice(b"\x01p\x02");
        let body = [
            &[0b0011_1111, 0b0001_0101, 0, 0][..],
            b"\x05cls-1\x04shop\x03web\xa8\x14\x03u-1\xd8\x04\x0a",
            b"\x07Warning\x07BackOff\x08Back-off\x03Pod\x05web-0\x02v1\x0eweb-0.14854ca9\x07kubelet",
            b"\x01\x03app\x03web\x01\x01\x0bStatefulSet\x03web",
        ]
        .concat();
        wanted.push(body.len() as u8);
        wanted.extend_from_slice(&body);
        wanted.push(12);
        wanted.extend_from_slice(&[0; 12]);
        assert_eq!(bytes, wanted);
    }

    #[test]
    fn keys_of_different_texts_differ() {
        // What runs together as one text is not the same.
        let services = [
            service_key("p", "a", "b", None),
            service_key("p", "a", "b", Some("")),
            service_key("p", "a", "b", Some("c")),
            service_key("p", "a", "bc", None),
            service_key("p", "ab", "", Some("c")),
            service_key("q", "a", "b", None),
        ];
        let events =
            [event_key("p", "a", "b"), event_key("p", "ab", ""), event_key("p", "", "ab"), event_key("q", "a", "b")];
        for keys in [&services[..], &events[..]] {
            for (place, key) in keys.iter().enumerate() {
                assert!(!keys[..place].contains(key), "{place}");
            }
        }
    }

    #[test]
    fn a_record_cut_at_any_byte_is_an_error() {
        let bytes = encode("default", 7, &[backed_off(), backed_off()]);
        assert_eq!(decode_all(&bytes).unwrap().2, [backed_off(), backed_off()]);
        for len in 0..bytes.len() {
            assert!(decode_all(&bytes[..len]).is_err(), "{len} of {}", bytes.len());
        }
        let mut body = Vec::new();
        encode_event(&backed_off(), &mut body);
        for len in 0..body.len() {
            assert!(decode_event(&body[..len]).is_err(), "{len} of {}", body.len());
        }
    }

    #[test]
    fn what_a_newer_build_may_have_added_is_refused() {
        let mut body = Vec::new();
        encode_event(&ServiceEvent { service: None, event: Event::default() }, &mut body);
        let error = |body: &[u8]| decode_event(body).unwrap_err().to_string();
        let mut field = body.clone();
        field[1] = 0x80;
        assert_eq!(error(&field), "stored batch: a field that this build does not know at byte 0");
        let mut longer = body.clone();
        longer.push(0);
        assert_eq!(error(&longer), "stored batch: bytes after the event at byte 12");
        let mut label = body[..10].to_vec();
        label.extend_from_slice(b"\x01\x04tier\x01x\x00");
        assert_eq!(error(&label), "stored batch: a label that this build does not know at byte 11");
        let mut batch = encode("default", 7, &[]);
        batch.push(0);
        let error = Batch::open(&batch).unwrap().next_event().unwrap_err().to_string();
        assert_eq!(error, "stored batch: bytes after the last event at byte 18");
    }

    proptest! {
        #[test]
        fn what_was_encoded_comes_back(
            events in proptest::collection::vec(any_event(), 0..5),
            project in any::<String>(),
            arrival in any::<i64>(),
        ) {
            let bytes = encode(&project, arrival, &events);
            prop_assert_eq!(kind(&bytes), Ok(RecordKind::Events));
            prop_assert_eq!(decode_all(&bytes), Ok((project.as_str(), arrival, events)));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_event(&bytes);
            let mut batch = vec![VERSION];
            batch.extend_from_slice(&bytes);
            if let Ok(mut batch) = Batch::open(&batch) {
                while let Ok(Some(_)) = batch.next_event() {}
            }
        }

        #[test]
        fn keys_are_ordered_as_the_columns_are(a in any_event(), b in any_event()) {
            let encoded = |event: &ServiceEvent<'_>| {
                let mut body = Vec::new();
                encode_event(event, &mut body);
                body
            };
            let columns = |row: &ServiceEvent<'static>| {
                let event = row.event.clone();
                (event.cluster, event.namespace, row.service.clone(), event.last_seen, event.uid)
            };
            let (bytes_a, bytes_b) = (encoded(&a), encoded(&b));
            let order = sort_key(&bytes_a).unwrap().cmp(&sort_key(&bytes_b).unwrap());
            prop_assert_eq!(order, columns(&a).cmp(&columns(&b)));
        }
    }
}
