//! The small binary forms that the stored encodings are made of: numbers of variable length, texts with their length.
//!
//! ```text
//! varint = seven bits a byte, the lowest first; the high bit says that more follow
//! zigzag = varint of 2n for n >= 0, of -2n - 1 for n < 0
//! text   = len:varint utf8
//! ```
//!
//! Reading never goes beyond the bytes, nor reserves memory for what they cannot hold.

/// Why bytes cannot be read: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct Fault {
    pub what: &'static str,
    pub at: usize,
}

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads such forms one after the other.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether all is read.
    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn fault<T>(&self, what: &'static str) -> Result<T, Fault> {
        Err(Fault { what, at: self.at })
    }

    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        match self.bytes[self.at..].get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => self.fault("fewer bytes than announced"),
        }
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(array) => {
                self.at += N;
                Ok(*array)
            }
            None => self.fault("fewer bytes than announced"),
        }
    }

    pub fn byte(&mut self) -> Result<u8, Fault> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.fault("a number of more than 64 bits")
    }

    pub fn zigzag(&mut self) -> Result<i64, Fault> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A length or count. Each unit of it takes at least a byte, so one beyond the end is refused before anything is
    /// reserved for it.
    pub fn length(&mut self) -> Result<usize, Fault> {
        let value = self.varint()?;
        match usize::try_from(value) {
            Ok(len) if len <= self.bytes.len() - self.at => Ok(len),
            _ => self.fault("a length beyond the end"),
        }
    }

    pub fn text(&mut self) -> Result<&'a str, Fault> {
        let len = self.length()?;
        let at = self.at;
        std::str::from_utf8(self.take(len)?).map_err(|_| Fault { what: "text that is not UTF-8", at })
    }
}
