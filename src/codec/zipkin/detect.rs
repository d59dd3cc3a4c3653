//! Which encoding a body is in.
//!
//! | first byte | encoding |
//! |---|---|
//! | `[`, white space before it | JSON list |
//! | `{` | one JSON object: no list |
//! | 10, then no zero | protobuf: the key of a span in its list, and the span's length |
//! | 12 | thrift list, of structs |
//! | 11 | thrift list, too: an agent of Zipkin's own wrote that type |
//!
//! 10 is a line feed, too: where JSON is expected it is white space if `[` follows. A body of nothing is an empty list
//! in every format, and so is `[]`, which agents send whatever they say they do.
//!
//! A v1 and a v2 span cannot be told apart where neither has endpoints nor tags. A v2 list is known by a span's field
//! `localEndpoint`, `remoteEndpoint` or `tags`, a v1 list by `binaryAnnotations`; each decoder refuses the other's
//! fields when it comes to them, at no cost to the bodies that are right.

use super::fault::Fault;
use crate::codec::DecodeError;

/// An encoding of a list of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    JsonV1,
    JsonV2,
    /// v1 in thrift's binary protocol.
    Thrift,
    /// v2 in protobuf.
    Proto3,
}

impl Format {
    /// The peer's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Format::JsonV1 => "JSON_V1",
            Format::JsonV2 => "JSON_V2",
            Format::Thrift => "THRIFT",
            Format::Proto3 => "PROTO3",
        }
    }

    /// Where it is posted.
    pub const fn path(self) -> &'static str {
        match self {
            Format::JsonV1 | Format::Thrift => "/api/v1/spans",
            Format::JsonV2 | Format::Proto3 => "/api/v2/spans",
        }
    }

    /// How a request says that its body is in it. JSON need not be named.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::JsonV1 | Format::JsonV2 => "application/json",
            Format::Thrift => "application/x-thrift",
            Format::Proto3 => "application/x-protobuf",
        }
    }
}

/// The fault of a span in JSON that has a field of the other version.
pub(super) fn wrong_version(expected: Format, field: &str) -> Fault {
    let other = if expected == Format::JsonV1 { Format::JsonV2 } else { Format::JsonV1 };
    Fault::Alone {
        peer: format!("Expected a {} encoded list, but received: {}\n", expected.name(), other.name()),
        remedy: format!("a span here has no field \"{field}\": post this list to {}", other.path()),
    }
}

/// Refuses a body that is no list in the format, by its first bytes. A body of nothing, or of nothing but white space
/// where JSON is expected, is an empty list.
pub fn expect_list(body: &[u8], format: Format) -> Result<(), DecodeError> {
    let first = body.iter().find(|byte| !is_white_space(**byte));
    let is_list = match format {
        Format::JsonV1 | Format::JsonV2 => matches!(first, None | Some(b'[')),
        Format::Proto3 => is_empty_list(body) || is_protobuf(body),
        Format::Thrift => is_empty_list(body) || matches!(body.first(), Some(11 | 12)),
    };
    if is_list {
        return Ok(());
    }
    let elsewhere = |what: &str, format: Format| {
        let (path, content_type) = (format.path(), format.content_type());
        format!("this looks like {what}: post it to {path} with the header Content-Type: {content_type}")
    };
    let found = match (first, body.first()) {
        (Some(b'['), _) => {
            "this looks like a JSON list: send it with the header Content-Type: application/json".to_owned()
        }
        (Some(b'{'), _) => {
            "this is one object: put it into a list, [{...}], as Content-Type: application/json".to_owned()
        }
        (_, Some(10)) if is_protobuf(body) => elsewhere("protobuf", Format::Proto3),
        (_, Some(11 | 12)) => elsewhere("thrift", Format::Thrift),
        (_, Some(0x1f)) => "this looks like gzip: send it with the header Content-Encoding: gzip".to_owned(),
        _ => match format {
            Format::JsonV1 | Format::JsonV2 => "send a JSON list of spans, [{...}]",
            Format::Proto3 => "send a message zipkin.proto3.ListOfSpans of at least one span",
            Format::Thrift => "send a list of structs in thrift's binary protocol",
        }
        .to_owned(),
    };
    let place = match format {
        Format::JsonV1 | Format::JsonV2 => "$, line 1 column 1",
        Format::Proto3 | Format::Thrift => "$, byte 0",
    };
    Err(DecodeError {
        peer: format!("Expected a {} encoded list\n", format.name()),
        place: place.to_owned(),
        remedy: found,
        too_large: false,
    })
}

/// Whether a body of a binary format holds no spans.
pub(super) fn is_empty_list(body: &[u8]) -> bool {
    matches!(body, b"" | b"[]")
}

fn is_protobuf(body: &[u8]) -> bool {
    matches!(body, [10, length, ..] if *length != 0)
}

fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether a body holds no spans for want of any text.
pub(super) fn is_blank(body: &str) -> bool {
    body.bytes().all(is_white_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Format; 4] = [Format::JsonV1, Format::JsonV2, Format::Thrift, Format::Proto3];

    /// The formats that a body may be in.
    fn formats(body: &[u8]) -> Vec<&'static str> {
        ALL.into_iter().filter(|&format| expect_list(body, format).is_ok()).map(Format::name).collect()
    }

    #[test]
    fn a_format_is_known_by_the_first_bytes() {
        let json = ["JSON_V1", "JSON_V2"];
        for body in ["[", "[{", " \r\n\t[", "  \n"] {
            assert_eq!(formats(body.as_bytes()), json, "{body:?}");
        }
        // Nothing is a list of nothing, and so is an empty list of JSON whatever it is said to be.
        for body in ["", "[]"] {
            assert_eq!(formats(body.as_bytes()), ["JSON_V1", "JSON_V2", "THRIFT", "PROTO3"], "{body:?}");
        }
        assert_eq!(formats(b"\x0c"), ["THRIFT"]);
        assert_eq!(formats(b"\x0b\0\0\0\x01"), ["THRIFT"]);
        assert_eq!(formats(b"\x0a\x01"), ["PROTO3"]);
        // A line feed before a list, or a span of 91 bytes.
        assert_eq!(formats(b"\x0a["), ["JSON_V1", "JSON_V2", "PROTO3"]);
        assert_eq!(formats(b"\x0a"), json);
        for body in [&b"{}"[..], b"x", b"\x0a\0", b"\0", b"\x0d\0", b"\x1f\x8b", b"\xef\xbb\xbf[]"] {
            assert_eq!(formats(body), [""; 0], "{body:?}");
        }
    }

    #[test]
    fn what_is_no_list_is_named_by_the_format_that_was_expected_and_told_where_it_belongs() {
        let refused = |body: &[u8], format| expect_list(body, format).unwrap_err().to_string();
        let json = "this looks like a JSON list: send it with the header Content-Type: application/json";
        let object = "this is one object: put it into a list, [{...}], as Content-Type: application/json";
        let proto3 = "this looks like protobuf: \
                      post it to /api/v2/spans with the header Content-Type: application/x-protobuf";
        let thrift =
            "this looks like thrift: post it to /api/v1/spans with the header Content-Type: application/x-thrift";
        let gzip = "this looks like gzip: send it with the header Content-Encoding: gzip";
        let list = "send a JSON list of spans, [{...}]";
        let table: [(&[u8], Format, &str); 14] = [
            (b"{}", Format::JsonV1, object),
            (b"\x0a\x01", Format::JsonV1, proto3),
            (b"\x0c\0", Format::JsonV2, thrift),
            (b"\x0b\0", Format::JsonV1, thrift),
            (b"\x1f\x8b", Format::JsonV2, gzip),
            (b"\xef\xbb\xbf[]", Format::JsonV2, list),
            (b"[{}]", Format::Proto3, json),
            (b" {}", Format::Proto3, object),
            (b"\x0c\0", Format::Proto3, thrift),
            (b"\x1f\x8b", Format::Proto3, gzip),
            (b"\x0a\0", Format::Proto3, "send a message zipkin.proto3.ListOfSpans of at least one span"),
            (b"[{}]", Format::Thrift, json),
            (b"\x0a\x01", Format::Thrift, proto3),
            (b"\x0d", Format::Thrift, "send a list of structs in thrift's binary protocol"),
        ];
        for (body, format, remedy) in table {
            let place = match format {
                Format::JsonV1 | Format::JsonV2 => "$, line 1 column 1",
                Format::Thrift | Format::Proto3 => "$, byte 0",
            };
            let wanted = format!("Expected a {} encoded list\n{place}: {remedy}", format.name());
            assert_eq!(refused(body, format), wanted);
        }
    }
}
