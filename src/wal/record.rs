//! A record's form: see the table in the room's text.

use bytes::BufMut;
use crc32c::{crc32c, crc32c_append};

/// Bytes before a record's payload.
pub(super) const HEADER_LEN: usize = 24;
/// Records begin at multiples of this, so that a search for one looks at few places.
pub(super) const ALIGN: usize = 8;

/// A record's header whose checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub seq: u64,
    /// Bytes of payload.
    pub len: u32,
    /// How far below this record's sequence the last durable one was when it was written.
    pub lag: u32,
    payload_crc: u32,
}

impl RecordHeader {
    /// The last sequence that was durable when this record was written.
    pub fn durable_before(&self) -> u64 {
        self.seq.saturating_sub(u64::from(self.lag))
    }

    /// Bytes of the whole record.
    pub fn size(&self) -> u64 {
        size(self.len as usize)
    }

    /// Reads a header, `None` if its checksum does not fit the salt.
    pub fn decode(bytes: &[u8; HEADER_LEN], salt: u64) -> Option<Self> {
        let (crc, rest) = bytes.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*crc) != header_crc(salt, rest) {
            return None;
        }
        let (payload_crc, rest) = rest.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let (lag, _) = rest.split_first_chunk::<4>()?;
        Some(RecordHeader {
            seq: u64::from_le_bytes(*seq),
            len: u32::from_le_bytes(*len),
            lag: u32::from_le_bytes(*lag),
            payload_crc: u32::from_le_bytes(*payload_crc),
        })
    }

    /// Whether the payload is the one that was written.
    pub fn fits(&self, payload: &[u8], salt: u64) -> bool {
        payload.len() == self.len as usize && payload_crc(salt, self.seq, payload) == self.payload_crc
    }
}

/// Bytes of a record with such a payload.
pub(super) fn size(payload_len: usize) -> u64 {
    (HEADER_LEN + payload_len.next_multiple_of(ALIGN)) as u64
}

/// Zeros after a payload.
pub(super) fn padding(payload_len: usize) -> &'static [u8] {
    &[0; ALIGN][..payload_len.next_multiple_of(ALIGN) - payload_len]
}

/// Writes the header of a record; the payload and its padding follow. `len` is within `u32` by the caller's limit.
pub(super) fn put_header(out: &mut Vec<u8>, salt: u64, seq: u64, lag: u32, payload: &[u8]) {
    let mut header = [0; HEADER_LEN];
    let mut fields = &mut header[4..];
    fields.put_u32_le(payload_crc(salt, seq, payload));
    fields.put_u64_le(seq);
    fields.put_u32_le(payload.len() as u32);
    fields.put_u32_le(lag);
    let crc = header_crc(salt, &header[4..]);
    header[..4].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&header);
}

fn header_crc(salt: u64, fields: &[u8]) -> u32 {
    crc32c_append(crc32c(&salt.to_le_bytes()), fields)
}

fn payload_crc(salt: u64, seq: u64, payload: &[u8]) -> u32 {
    crc32c_append(crc32c_append(crc32c(&salt.to_le_bytes()), &seq.to_le_bytes()), payload)
}
