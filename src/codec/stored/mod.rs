//! The binary encoding of a request: what a record of the write-ahead log holds, and what the memory tables keep until
//! the flush. One encoding for both, so that what came is encoded once, by the request that brought it.
//!
//! A record's first byte says what it holds, and in which version:
//!
//! | byte | record |
//! |---|---|
//! | 1 | spans ([`spans`]) |
//! | 2 | service events ([`events`]) |
//!
//! Invariants:
//! * the encoding is canonical: equal spans have equal bytes, and so have equal events;
//! * a record of another version is refused, never guessed at: this build reads the versions that it writes and all
//!   before them;
//! * no bytes make a reader panic, or reserve memory for what they cannot hold.

pub mod events;
pub mod spans;

pub use spans::{Batch, SpanPlace, VERSION, decode_span, encode, sort_key};

use super::pack::Fault;

/// Why a record cannot be read: where, and what was expected there. The bytes passed the log's checksum, so this is
/// either a newer version's work or a defect.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stored batch: {0}")]
pub struct StoredError(#[from] Fault);

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    Spans,
    Events,
}

/// What a record holds, by its first byte.
pub fn kind(bytes: &[u8]) -> Result<RecordKind, StoredError> {
    match bytes.first() {
        Some(&spans::VERSION) => Ok(RecordKind::Spans),
        Some(&events::VERSION) => Ok(RecordKind::Events),
        Some(_) => {
            Err(Fault { what: "a version that this build does not know (was it written by a newer one?)", at: 0 }
                .into())
        }
        None => Err(Fault { what: "an empty record", at: 0 }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Scope;

    #[test]
    fn a_record_is_known_by_its_first_byte() {
        let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
        assert_eq!(kind(&encode(&scope, 0, &[])), Ok(RecordKind::Spans));
        assert_eq!(kind(&events::encode("default", 0, &[])), Ok(RecordKind::Events));
        for (bytes, error) in [
            (&b""[..], "stored batch: an empty record at byte 0"),
            (
                &b"\x00\x01"[..],
                "stored batch: a version that this build does not know (was it written by a newer one?) at byte 0",
            ),
            (
                &b"\x03\x01"[..],
                "stored batch: a version that this build does not know (was it written by a newer one?) at byte 0",
            ),
        ] {
            assert_eq!(kind(bytes).unwrap_err().to_string(), error, "{bytes:?}");
        }
    }

    #[test]
    fn a_record_of_one_kind_is_not_read_as_the_other() {
        let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
        let spans_error = Batch::open(&events::encode("default", 0, &[])).unwrap_err().to_string();
        assert_eq!(spans_error, "stored batch: no spans of a version that this build knows at byte 0");
        let events_error = events::Batch::open(&encode(&scope, 0, &[])).unwrap_err().to_string();
        assert_eq!(events_error, "stored batch: no events of a version that this build knows at byte 0");
    }
}
