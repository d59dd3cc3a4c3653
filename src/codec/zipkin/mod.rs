//! Zipkin's JSON, both versions, and the answers of the ATS API, which are Zipkin v1 spans in other clothes.
//!
//! * [`detect`]: is it a list at all, and is it the version that this path takes.
//! * [`v2`]: one posted object, one [`crate::model::Span`]; and the writer of v2 JSON.
//! * [`v1`]: one posted object becomes one row or several, by the rules of Zipkin's own conversion, and what those lose
//!   goes into a record beside the first row, so that the posted span can be had back.
//! * [`ats`]: rows to the elements of an ATS answer.
//!
//! What is taken and what is refused is Zipkin's own, text by text, but for valid data that Zipkin refuses or loses:
//! * white space before the list is skipped (Zipkin looks at the first byte only);
//! * a v1 tag named `tags`, or any text that ends in `Endpoint`, does not make a list v2 (Zipkin searches the raw
//!   bytes; here a field of a span decides);
//! * ids may be of upper-case hex; a v1 trace id of 17 to 31 digits keeps its high half;
//! * numbers, booleans and whatever else a v1 binary annotation holds come back as they were sent (Zipkin drops all
//!   but texts);
//! * addresses like `10.000.0.1` are read as decimal numbers and written without the zeros;
//! * half a surrogate pair in an escape becomes U+FFFD (Zipkin: a question mark).
//!
//! What Zipkin takes and this refuses: times before the year 1 and from the year 9999 on, nesting, counts and lengths over
//! [`crate::codec::Limits`], anything behind the list's end, and raw control characters in texts.

pub mod ats;
pub mod detect;
mod endpoint;
mod fault;
mod place;
mod read;
mod surrogates;
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
    let body = utf8(body)?;
    match format {
        Format::JsonV1 => v1::decode(body, limits),
        Format::JsonV2 => v2::decode(body, limits),
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
    }
}
