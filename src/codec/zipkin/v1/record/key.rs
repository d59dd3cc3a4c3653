//! The hash that tells posted spans of one id apart.

use super::super::{V1Span, V1Value};
use super::{DIGITS, KEY_LENGTH};
use crate::model::Endpoint;

/// A hash of all of the posted span: FNV-1a over its parts, each with its length, cut to 36 bits. Only rows of one trace
/// and one span id are ever told apart by it. Rows on disk hold it: it must not change.
pub fn key(posted: &V1Span<'_>) -> String {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    hash.number(posted.trace_id.high);
    hash.number(posted.trace_id.low);
    hash.number(posted.id);
    hash.optional(posted.parent_id);
    hash.text(posted.name.as_deref());
    hash.optional(posted.timestamp.map(|timestamp| timestamp as u64));
    hash.optional(posted.duration.map(|duration| duration as u64));
    hash.optional(posted.debug.map(u64::from));
    hash.number(posted.annotations.len() as u64);
    for annotation in &posted.annotations {
        hash.number(annotation.timestamp as u64);
        hash.text(Some(&annotation.value));
        hash.endpoint(annotation.endpoint.as_ref());
    }
    for binary in &posted.binary_annotations {
        hash.text(Some(&binary.key));
        match &binary.value {
            V1Value::Absent => hash.text(None),
            V1Value::Text(text) => hash.text(Some(text)),
            V1Value::Json(text) => {
                hash.number(2);
                hash.text(Some(text));
            }
        }
        hash.text(binary.kind.as_deref());
        hash.endpoint(binary.endpoint.as_ref());
    }
    (0..KEY_LENGTH).map(|at| DIGITS[(hash.0 >> (6 * at) & 63) as usize] as char).collect()
}

struct Hash(u64);

impl Hash {
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn optional(&mut self, number: Option<u64>) {
        self.bytes(&[u8::from(number.is_some())]);
        self.number(number.unwrap_or(0));
    }

    fn text(&mut self, text: Option<&str>) {
        self.optional(text.map(|text| text.len() as u64));
        self.bytes(text.unwrap_or_default().as_bytes());
    }

    fn endpoint(&mut self, endpoint: Option<&Endpoint<'_>>) {
        self.bytes(&[u8::from(endpoint.is_some())]);
        let Some(endpoint) = endpoint else { return };
        self.text(endpoint.service.as_deref());
        self.optional(endpoint.ipv4.map(|address| u64::from(address.to_bits())));
        self.bytes(&endpoint.ipv6.map_or([0; 16], |address| address.octets()));
        self.optional(endpoint.port.map(u64::from));
    }
}
