//! Hexadecimal text of ids and digests: lower case out, either case in.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The 16 lower-case hex digits of `value`.
pub fn encode_u64(value: u64) -> [u8; 16] {
    let mut out = [0u8; 16];
    for (i, byte) in value.to_be_bytes().into_iter().enumerate() {
        out[2 * i] = DIGITS[(byte >> 4) as usize];
        out[2 * i + 1] = DIGITS[(byte & 15) as usize];
    }
    out
}

/// Appends the 16 lower-case hex digits of `value` to `out`.
pub fn push_u64(out: &mut String, value: u64) {
    for digit in encode_u64(value) {
        out.push(digit as char);
    }
}

/// The lower-case hex digits of bytes.
pub fn encode(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

/// The bytes of pairs of hex digits of either case. `None` where `text` holds anything else, or half a pair.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| match pair {
        [_, _] => decode_u64(pair).and_then(|byte| u8::try_from(byte).ok()),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

/// Reads 1 to 16 hex digits of either case. `None` where `text` is empty, longer, or holds anything else.
pub fn decode_u64(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    let mut value = 0u64;
    for &c in text {
        let digit = match c {
            b'0'..=b'9' => c - b'0',
            b'a'..=b'f' => c - b'a' + 10,
            b'A'..=b'F' => c - b'A' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_both_ways_and_nothing_else_is_taken_for_them() {
        assert_eq!(decode("00fFa9"), Some(vec![0, 255, 0xa9]));
        assert_eq!(encode(&[0, 255, 0xa9]), "00ffa9");
        assert_eq!((decode(""), encode(&[])), (Some(Vec::new()), String::new()));
        for bad in ["0", "0g", "+1", "é", "0x00"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_width_pads_to_sixteen_digits() {
        assert_eq!(decode_u64(b"1"), Some(1));
        assert_eq!(&encode_u64(1), b"0000000000000001");
        assert_eq!(decode_u64(b"FFffFFffFFffFFff"), Some(u64::MAX));
        assert_eq!(&encode_u64(u64::MAX), b"ffffffffffffffff");
    }

    #[test]
    fn what_is_no_hex_is_refused() {
        for bad in ["", "g", "0x1", " 1", "00000000000000001"] {
            assert_eq!(decode_u64(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
