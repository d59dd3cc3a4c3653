//! What signatures are computed over has one spelling, however it was spelt on the wire: percent-encoding as RFC 3986
//! has it, parameters in order.

/// Characters that no client encodes.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// Appends bytes, encoded but for those that need not be, and for slashes where they part a path.
fn encode(bytes: &[u8], in_path: bool, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if is_unreserved(*byte) || (in_path && *byte == b'/') {
            out.push(*byte);
        } else {
            out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// The bytes that a text stands for. A percent sign that begins no code stands for itself.
fn decode(text: &str, in_path: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        out.push(match (first, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = after;
                digit(*high) << 4 | digit(*low)
            }
            (b'+', _) if !in_path => b' ',
            _ => *first,
        });
    }
    out
}

/// The value of a hex digit, of which the caller knows that it is one.
fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// A path in its one spelling.
pub(super) fn path(path: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 1);
    encode(&decode(path, true), true, &mut out);
    out
}

/// A query's parameters, or a form's, decoded, in order of names and then of values.
pub(in crate::api) fn parameters(query: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pair = |piece: &str| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        (decode(name, false), decode(value, false))
    };
    let mut parameters: Vec<_> = query.split('&').filter(|piece| !piece.is_empty()).map(pair).collect();
    parameters.sort();
    parameters
}

/// A query in its one spelling.
pub(super) fn query(query: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(query.len() + 8);
    for (name, value) in parameters(query) {
        if !out.is_empty() {
            out.push(b'&');
        }
        encode(&name, false, &mut out);
        out.push(b'=');
        encode(&value, false, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (sent, one) in [
            ("/", "/"),
            ("/a%3a8080%20b/c", "/a%3A8080%20b/c"),
            ("/a:8080 b", "/a%3A8080%20b"),
            ("/%7Ea/+", "/~a/%2B"),
            ("/100%", "/100%25"),
            ("/%4", "/%254"),
            ("/%zz", "/%25zz"),
            ("/ä", "/%C3%A4"),
        ] {
            assert_eq!(String::from_utf8(path(sent)).unwrap(), one, "{sent}");
        }
    }

    #[test]
    fn a_query_has_one_spelling_and_one_order() {
        for (sent, one) in [
            ("", ""),
            ("&&", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a=2&a=1&A=0", "A=0&a=1&a=2"),
            ("a+b=c%20d", "a%20b=c%20d"),
            ("flag&x=", "flag=&x="),
            ("a==&b=%3d", "a=%3D&b=%3D"),
            ("a-b=1&a%25=2", "a%25=2&a-b=1"),
        ] {
            assert_eq!(String::from_utf8(query(sent)).unwrap(), one, "{sent}");
        }
    }
}
