//! Which encoding a body is in.
//!
//! | first byte | encoding |
//! |---|---|
//! | `[`, white space before it | JSON list |
//! | `{` | one JSON object: no list |
//! | 10 | protobuf (also a line feed: white space wins where `[` follows) |
//! | 11, 12 | thrift list |
//!
//! A v1 and a v2 span cannot be told apart where neither has endpoints nor tags. A v2 list is known by a span's field
//! `localEndpoint`, `remoteEndpoint` or `tags`, a v1 list by `binaryAnnotations`; each decoder refuses the other's
//! fields when it comes to them, at no cost to the bodies that are right.

use super::fault::Fault;
use crate::codec::DecodeError;

/// A version of the JSON list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    JsonV1,
    JsonV2,
}

impl Format {
    /// The peer's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::JsonV1 => "JSON_V1",
            Format::JsonV2 => "JSON_V2",
        }
    }

    const fn other(self) -> Format {
        match self {
            Format::JsonV1 => Format::JsonV2,
            Format::JsonV2 => Format::JsonV1,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Format::JsonV1 => "/api/v1/spans",
            Format::JsonV2 => "/api/v2/spans",
        }
    }

    /// The fault of a span that has a field of the other version.
    pub(super) fn wrong_version(self, field: &str) -> Fault {
        Fault::Alone {
            peer: format!("Expected a {} encoded list, but received: {}\n", self.name(), self.other().name()),
            remedy: format!("a span here has no field \"{field}\": post this list to {}", self.other().path()),
        }
    }
}

/// Refuses a body that is no JSON list, by its first byte. A body of nothing, or of nothing but white space, is an
/// empty list.
pub fn expect_list(body: &[u8], format: Format) -> Result<(), DecodeError> {
    let first = body.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    let found = match (first, body.first()) {
        (None | Some(b'['), _) => return Ok(()),
        (Some(b'{'), _) => "this is one object: put it into a list, [{...}]",
        (_, Some(10)) => "this looks like protobuf, which is not taken: set the agent's encoding to JSON",
        (_, Some(11 | 12)) => "this looks like thrift, which is not taken: set the agent's encoding to JSON",
        (_, Some(0x1f)) => "this looks like gzip: send it with the header Content-Encoding: gzip",
        _ => "send a JSON list of spans, [{...}]",
    };
    Err(DecodeError {
        peer: format!("Expected a {} encoded list\n", format.name()),
        place: "$, line 1 column 1".to_owned(),
        remedy: found.to_owned(),
        too_large: false,
    })
}

/// Whether a body holds no spans for want of any text.
pub(super) fn is_blank(body: &str) -> bool {
    body.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_may_have_white_space_before_it() {
        for body in ["[", "[]", " \r\n\t[", "", "  \n"] {
            assert_eq!(expect_list(body.as_bytes(), Format::JsonV2), Ok(()), "{body:?}");
        }
    }

    #[test]
    fn what_is_no_list_is_named_by_the_format_that_was_expected() {
        for body in [&b"{}"[..], b"x", b"\x0a\x01", b"\x0c\0\0\0\x01", b"\x1f\x8b", b"\xef\xbb\xbf[]"] {
            let v2 = expect_list(body, Format::JsonV2).unwrap_err().to_string();
            assert!(v2.starts_with("Expected a JSON_V2 encoded list\n$, line 1 column 1: "), "{v2}");
            let v1 = expect_list(body, Format::JsonV1).unwrap_err().to_string();
            assert!(v1.starts_with("Expected a JSON_V1 encoded list\n"), "{v1}");
        }
    }
}
