//! Writing JSON as the peer does, byte for byte.

use crate::model::{Endpoint, hex};
use std::io::Write as _;

/// Appends `text` as a JSON string, quotes included. Escaped are quote, backslash, control characters and the two line
/// separators that break JavaScript; all else goes out raw.
pub fn push_json_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` with what JSON cannot hold escaped.
pub fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        // U+2028 and U+2029 are e2 80 a8 and e2 80 a9.
        let width = match byte {
            0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0xe1 | 0xe3.. => continue,
            0xe2 if matches!(bytes.get(at + 1..at + 3), Some([0x80, 0xa8 | 0xa9])) => 3,
            0xe2 => continue,
            _ => 1,
        };
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + width;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0xe2 => out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" }),
            control => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&hex::encode_u64(u64::from(control))[14..]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Appends `text` in lower case, escaped.
pub fn push_lower(out: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        push_escaped(out, &text.to_lowercase());
    } else {
        push_escaped(out, text);
    }
}

/// Appends the decimal digits.
pub fn push_i64(out: &mut Vec<u8>, number: i64) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

/// Appends 16 hex digits.
pub fn push_hex(out: &mut Vec<u8>, id: u64) {
    out.extend_from_slice(&hex::encode_u64(id));
}

/// Appends an endpoint, its name in lower case if `lower`.
pub fn push_endpoint(out: &mut Vec<u8>, endpoint: &Endpoint<'_>, lower: bool) {
    let mut before: &[u8] = b"{";
    let mut key = |out: &mut Vec<u8>, key: &[u8]| {
        out.extend_from_slice(before);
        before = b",";
        out.extend_from_slice(key);
    };
    if let Some(service) = &endpoint.service {
        key(out, b"\"serviceName\":\"");
        match lower {
            true => push_lower(out, service),
            false => push_escaped(out, service),
        }
        out.push(b'"');
    }
    if let Some(address) = endpoint.ipv4 {
        key(out, b"\"ipv4\":\"");
        let _ = write!(out, "{address}\"");
    }
    if let Some(address) = endpoint.ipv6 {
        key(out, b"\"ipv6\":\"");
        let _ = write!(out, "{address}\"");
    }
    if let Some(port) = endpoint.port {
        key(out, b"\"port\":");
        push_i64(out, i64::from(port));
    }
    if endpoint.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        push_json_text(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_must_be_is_escaped() {
        assert_eq!(json("a\"b\\c/ä€😀\u{7f}"), "\"a\\\"b\\\\c/ä€😀\u{7f}\"");
        assert_eq!(json("\u{0}\u{1f}\u{8}\u{c}\t\r\n"), "\"\\u0000\\u001f\\b\\f\\t\\r\\n\"");
        assert_eq!(json("\u{2027}\u{2028}\u{2029}\u{202a}"), "\"\u{2027}\\u2028\\u2029\u{202a}\"");
        assert_eq!(json(""), "\"\"");
    }

    #[test]
    fn a_written_text_reads_back_equal() {
        let text: String = (0..0x3000).filter_map(char::from_u32).collect();
        assert_eq!(serde_json::from_str::<String>(&json(&text)).unwrap(), text);
    }

    #[test]
    fn an_endpoint_has_its_fields_in_the_peers_order() {
        let endpoint = Endpoint {
            service: Some("Front".into()),
            ipv4: Some("10.0.0.1".parse().unwrap()),
            ipv6: Some("2001:DB8:0:0:0:0:0:C001".parse().unwrap()),
            port: Some(80),
        };
        let mut out = Vec::new();
        push_endpoint(&mut out, &endpoint, true);
        let wanted = r#"{"serviceName":"front","ipv4":"10.0.0.1","ipv6":"2001:db8::c001","port":80}"#;
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
    }
}
