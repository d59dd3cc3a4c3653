//! Zipkin's formats: JSON of both versions, v1 in thrift and v2 in protobuf; and the answers of the ATS API, which are
//! Zipkin v1 spans in other clothes.
//!
//! * [`detect`]: is it a list at all, and is it in the format that this path takes.
//! * [`v2`]: one posted object, one [`crate::model::Span`]; and the writer of v2 JSON. [`proto3`] reads the same in
//!   protobuf.
//! * [`v1`]: one posted object becomes one row or several, by the rules of Zipkin's own conversion, and what those lose
//!   goes into a record beside the first row, so that the posted span can be had back. [`thrift`] is read into the same.
//! * [`ats`]: rows to the elements of an ATS answer.
//!
//! What is taken and what is refused is Zipkin's own, text by text, but for valid data that Zipkin refuses or loses. In
//! every format:
//! * numbers, booleans and whatever else a v1 binary annotation holds come back as they were sent (Zipkin drops all
//!   but texts);
//! * a 128-bit v1 trace id may have a low half of zero.
//!
//! In JSON:
//! * white space before the list is skipped (Zipkin looks at the first byte only);
//! * a v1 tag named `tags`, or any text that ends in `Endpoint`, does not make a list v2 (Zipkin searches the raw
//!   bytes; here a field of a span decides);
//! * ids may be of upper-case hex; a v1 trace id of 17 to 31 digits keeps its high half;
//! * addresses like `10.000.0.1` are read as decimal numbers and written without the zeros;
//! * half a surrogate pair in an escape becomes U+FFFD (Zipkin: a question mark).
//!
//! In protobuf:
//! * tags without a key and annotations without a text are kept;
//! * an endpoint that comes twice is merged, field by field (Zipkin takes the second alone);
//! * fields of the list other than its spans are skipped, and an empty span is refused (Zipkin takes every field for a
//!   span, and leaves out what follows an empty one);
//! * negative numbers of ten bytes are read where 32 bits are meant, and a flag of any number but zero is set.
//!
//! In both binary formats an IPv6 address of `::ffff:0:0/96` is the IPv4 address in it, and `::1.2.3.4` is not (with
//! Zipkin it is the other way round).
//!
//! What Zipkin takes and this refuses: times before the year 1 and from the year 9999 on, nesting, counts and lengths
//! over [`crate::codec::Limits`], anything behind the list's end, raw control characters in JSON's texts; and in the
//! binary formats texts that are not UTF-8, and lengths that are negative or reach beyond what holds them.

pub mod ats;
mod binary;
pub(super) mod bounds;
pub mod detect;
mod endpoint;
pub(super) mod fault;
pub(super) mod place;
pub mod proto3;
mod read;
pub(super) mod surrogates;
pub mod thrift;
pub mod v1;
pub mod v2;
mod write;

use crate::codec::{DecodeError, Limits, utf8};
use crate::model::Span;
pub use detect::Format;
pub use write::push_json_text;

/// Reads the body of a POST: the list is looked for, checked for UTF-8 and decoded. An empty body is an empty list.
pub fn decode<'a>(body: &'a [u8], format: Format, limits: &Limits) -> Result<Vec<Span<'a>>, DecodeError> {
    detect::expect_list(body, format)?;
    match format {
        Format::JsonV1 => v1::decode(utf8(body)?, limits),
        Format::JsonV2 => v2::decode(utf8(body)?, limits),
        Format::Thrift => thrift::decode(body, limits),
        // An empty list in JSON has no fields.
        Format::Proto3 if detect::is_empty_list(body) => Ok(Vec::new()),
        Format::Proto3 => proto3::decode(body, limits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_looked_at_before_it_is_read() {
        let limits = Limits::default();
        let peer = |body: &[u8], format| decode(body, format, &limits).unwrap_err().peer;
        assert_eq!(peer(b"\x0a\xff\xff", Format::JsonV2), "Expected a JSON_V2 encoded list\n");
        assert_eq!(peer(b"[\"\xff", Format::JsonV2), "Malformed reading List<Span> from json");
        assert_eq!(decode(b"", Format::JsonV1, &limits), Ok(Vec::new()));
        let body = include_bytes!("../../../fixtures/zipkin-v2.json");
        assert_eq!(decode(body, Format::JsonV2, &limits).map(|spans| spans.len()), Ok(4));
        assert_eq!(peer(body, Format::JsonV1), "Expected a JSON_V1 encoded list, but received: JSON_V2\n");
        let body = include_bytes!("../../../fixtures/zipkin-v1.json");
        assert_eq!(decode(body, Format::JsonV1, &limits).map(|rows| rows.len()), Ok(3));
        assert_eq!(peer(body, Format::JsonV2), "Expected a JSON_V2 encoded list, but received: JSON_V1\n");
        assert_eq!(peer(body, Format::Proto3), "Expected a PROTO3 encoded list\n");
        assert_eq!(peer(body, Format::Thrift), "Expected a THRIFT encoded list\n");
        assert_eq!(
            peer(b"\x0a\x42\x0a\x08", Format::Proto3).lines().next(),
            Some("Truncated: length 66 > bytes available 2 reading List<Span> from proto3")
        );
        assert_eq!(
            peer(b"\x0c\0\0\0\x01", Format::Thrift),
            "Truncated: length 1 > bytes available 0 reading List<Span> from TBinary"
        );
        for format in [Format::JsonV1, Format::JsonV2, Format::Thrift, Format::Proto3] {
            for body in [&b""[..], b"[]"] {
                assert_eq!(decode(body, format, &limits), Ok(Vec::new()), "{format:?}");
            }
        }
    }
}
