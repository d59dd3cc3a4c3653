//! Trace ids.

use super::hex;
use std::fmt;

/// A trace id of 64 or 128 bits.
///
/// Agents send 1 to 32 hex digits. Up to 16 are a 64-bit id, more are a 128-bit id, whose upper half may well be zero:
/// `wide` keeps the two apart, so that an id comes back with the width it was sent in (16 or 32 digits, padded with
/// zeros). Ordering is by the low half, then by the text, as rows lie in the table: a trace whose agents disagree about
/// the width lies together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId {
    /// The upper 64 bits; 0 where `wide` is false.
    pub high: u64,
    /// The lower 64 bits, on which all lookups work.
    pub low: u64,
    /// Whether the id is written with 32 digits.
    pub wide: bool,
}

impl TraceId {
    /// A 64-bit id.
    pub const fn narrow(low: u64) -> Self {
        TraceId { high: 0, low, wide: false }
    }

    /// A 128-bit id.
    pub const fn wide(high: u64, low: u64) -> Self {
        TraceId { high, low, wide: true }
    }

    /// Reads 1 to 32 hex digits of either case; `None` for anything else. An id of zeros is read: whether it is valid
    /// is for the dialect to say.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() <= 16 {
            return hex::decode_u64(digits).map(TraceId::narrow);
        }
        let (high, low) = digits.split_at(digits.len() - 16);
        Some(TraceId::wide(hex::decode_u64(high)?, hex::decode_u64(low)?))
    }

    /// Whether all bits are zero, which no dialect accepts.
    pub fn is_zero(&self) -> bool {
        self.high == 0 && self.low == 0
    }

    /// Appends the 16 or 32 digits to `out`.
    pub fn push_hex(&self, out: &mut String) {
        if self.wide {
            hex::push_u64(out, self.high);
        }
        hex::push_u64(out, self.low);
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wide {
            write!(f, "{:016x}", self.high)?;
        }
        write!(f, "{:016x}", self.low)
    }
}

impl Ord for TraceId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // Signed, as the table's bigint column is.
        let by_low = (self.low as i64).cmp(&(other.low as i64));
        if by_low.is_ne() || (self.wide, self.high) == (other.wide, other.high) {
            return by_low;
        }
        // Rare enough for the plain way: as the table's text column orders them.
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for TraceId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_31_digit_id_keeps_its_upper_half() {
        // Zipkin's v1 decoder loses it; here each digit counts.
        let id = TraceId::parse("123456789abcdef0123456789abcdef").unwrap();
        assert_eq!(id.to_string(), "0123456789abcdef0123456789abcdef");
    }

    #[test]
    fn widths_come_back_as_sent() {
        for (sent, padded) in [
            ("1", "0000000000000001"),
            ("27046B00", "0000000027046b00"),
            ("00000000000000001", "00000000000000000000000000000001"),
        ] {
            let id = TraceId::parse(sent).unwrap();
            assert_eq!(id.to_string(), padded);
            let mut pushed = String::new();
            id.push_hex(&mut pushed);
            assert_eq!(pushed, padded);
        }
    }

    #[test]
    fn what_is_no_trace_id_is_refused() {
        for bad in ["", "x", "-1", "0123456789abcdef0123456789abcdef0"] {
            assert_eq!(TraceId::parse(bad), None, "{bad:?}");
        }
    }
}
