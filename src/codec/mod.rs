//! Wire formats: bytes to the model and back, each a pure function without I/O or clock.
//!
//! * In: the body of a request, decompressed, and the operator's [`Limits`]. Out: its [`crate::model::Span`]s, texts
//!   borrowed from the body; or one [`DecodeError`] for the whole body, which starts with the text that the peer
//!   product answers and goes on with the place and the remedy.
//! * In: the same of a service event's collector. Out: [`crate::model::Event`]s, by the same rules.
//! * In: a span of the model. Out: the bytes of one dialect. What a dialect normalises (Zipkin lower-cases names, sorts
//!   annotations, drops zero durations) it normalises here, on the way out; on the way in spans stay as they were sent.
//!
//! | room | what is in it |
//! |---|---|
//! | [`zipkin`] | spans in Zipkin's formats, and in the ATS API's answers |
//! | [`k8s`] | service events as Kubernetes writes them, in JSON |
//! | [`otlp`] | the log records that carry service events, in OTLP's protobuf and JSON |
//! | [`contract`] | the methods that a service's Swagger or OpenAPI text describes |
//! | [`stored`], [`pack`] | spans and events as the log keeps them, and what such encodings are made of |
//!
//! Invariants:
//! * a body is decoded whole or refused whole;
//! * no input makes a decoder panic, recurse deeper than [`Limits::max_depth`], or work more than in proportion to the
//!   body's length.

pub mod contract;
pub mod k8s;
pub mod otlp;
pub mod pack;
pub mod stored;
pub mod zipkin;

use std::fmt;

/// What a body may hold. An operator sets them; the decoders keep to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Spans in one request. More are refused as too large.
    pub max_spans: usize,
    /// Annotations, binary annotations and tags in one request, all spans together. More are refused as too large: in
    /// memory each takes several times the few bytes that it can have in the body.
    pub max_entries: usize,
    /// The same of one span.
    pub max_span_entries: usize,
    /// Lists and objects inside one another, the outermost counted, also in fields that nothing reads.
    pub max_depth: usize,
    /// Bytes of a tag's or an annotation's value, which is cut if longer, and of any name or key, which is refused.
    pub max_tag_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_spans: 100_000,
            max_entries: 1_000_000,
            max_span_entries: 100_000,
            max_depth: 32,
            max_tag_bytes: 1 << 20,
        }
    }
}

/// Why a body was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// The peer product's own text, or, where the peer has no such refusal, one in its manner. Agents and their users
    /// search for it, so it comes first in the answer.
    pub peer: String,
    /// Where the fault is: the path in the document, line and column.
    pub place: String,
    /// What is wrong there and what to send instead.
    pub remedy: String,
    /// Whether the body is sound but larger than a limit allows (413 in HTTP): split it.
    pub too_large: bool,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.peer)?;
        if !self.peer.ends_with('\n') {
            f.write_str("\n")?;
        }
        write!(f, "{}: {}", self.place, self.remedy)
    }
}

impl std::error::Error for DecodeError {}

/// The body as text. An error names the first byte that is not UTF-8.
pub fn utf8(body: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(body).map_err(|fault| {
        let at = fault.valid_up_to();
        let byte = body.get(at).copied().unwrap_or_default();
        DecodeError {
            peer: "Malformed reading List<Span> from json".to_owned(),
            place: format!("byte {at}"),
            remedy: format!("0x{byte:02x} begins no UTF-8 character: encode the body in UTF-8"),
            too_large: false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_begins_with_the_peers_text_then_place_and_remedy() {
        let error = DecodeError {
            peer: "traceId is empty reading List<Span> from json".into(),
            place: "$[0].traceId, line 1 column 14".into(),
            remedy: "send 1 to 32 hex digits".into(),
            too_large: false,
        };
        assert_eq!(
            error.to_string(),
            "traceId is empty reading List<Span> from json\n$[0].traceId, line 1 column 14: send 1 to 32 hex digits"
        );
    }

    #[test]
    fn a_peers_text_that_ends_its_line_is_not_followed_by_an_empty_one() {
        let error = DecodeError {
            peer: "Expected a JSON_V2 encoded list\n".into(),
            place: "$".into(),
            remedy: "send a list".into(),
            too_large: false,
        };
        assert_eq!(error.to_string(), "Expected a JSON_V2 encoded list\n$: send a list");
    }

    #[test]
    fn what_is_not_utf8_is_named_by_its_byte() {
        let error = utf8(b"[{\"name\":\"\xff\"}]").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Malformed reading List<Span> from json\nbyte 10: 0xff begins no UTF-8 character: encode the body in UTF-8"
        );
        assert_eq!(utf8("ä".as_bytes()).unwrap(), "ä");
    }
}
