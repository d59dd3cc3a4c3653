//! Numbers of any width in bits, and Golomb-Rice codes: what a sorted list of random numbers takes least room in.

use crate::codec::pack::Fault;

/// Appends numbers, the highest bit first.
#[derive(Debug, Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that make no byte yet, at the low end.
    pending: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the low `width` bits of `value`, at most 64.
    pub fn put(&mut self, value: u64, width: u32) {
        if width > 32 {
            self.put(value >> 32, width - 32);
            return self.put(value & 0xffff_ffff, 32);
        }
        let value = value & ((1u64 << width) - 1);
        self.pending = self.pending << width | value;
        self.count += width;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.pending >> self.count) as u8);
        }
        self.pending &= (1 << self.count) - 1;
    }

    /// Appends a number of which the low `width` bits stand as they are and the rest as so many ones and a zero.
    pub fn put_rice(&mut self, value: u64, width: u32) {
        let mut ones = value.checked_shr(width).unwrap_or_default();
        while ones >= 32 {
            self.put(u64::from(u32::MAX), 32);
            ones -= 32;
        }
        self.put(((1u64 << ones) - 1) << 1, ones as u32 + 1);
        self.put(value, width);
    }

    /// The bytes, the last filled up with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.put(0, 8 - self.count);
        }
        self.bytes
    }
}

/// Reads what a [`BitWriter`] wrote.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
    pending: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0, pending: 0, count: 0 }
    }

    fn fill(&mut self, width: u32) -> Result<(), Fault> {
        while self.count < width {
            let fault = Fault { what: "fewer bits than announced", at: self.at };
            let byte = *self.bytes.get(self.at).ok_or(fault)?;
            self.at += 1;
            self.pending = self.pending << 8 | u64::from(byte);
            self.count += 8;
        }
        Ok(())
    }

    /// The next `width` bits, at most 64.
    pub fn take(&mut self, width: u32) -> Result<u64, Fault> {
        if width > 32 {
            let high = self.take(width - 32)?;
            return Ok(high << 32 | self.take(32)?);
        }
        self.fill(width)?;
        self.count -= width;
        let value = self.pending >> self.count;
        self.pending &= (1u64 << self.count) - 1;
        Ok(value)
    }

    /// The next number that [`BitWriter::put_rice`] wrote with this width.
    pub fn take_rice(&mut self, width: u32) -> Result<u64, Fault> {
        let mut ones = 0u64;
        while self.take(1)? == 1 {
            ones += 1;
        }
        let high = ones.checked_shl(width).unwrap_or_default();
        Ok(high | self.take(width)?)
    }
}

/// The width at which numbers of this mean take least room.
pub fn rice_width(mean: u64) -> u32 {
    // A number of geometric distribution: the width is the logarithm of 0.69 times the mean.
    (mean / 10).saturating_mul(7).max(mean.saturating_mul(7) / 10).max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
            let mut writer = BitWriter::default();
            let masked = |value: u64, width: u32| if width == 64 { value } else { value & ((1 << width) - 1) };
            for (value, width) in &values {
                writer.put(*value, *width);
                // A quotient of at most 255.
                writer.put_rice(masked(*value, *width), width.saturating_sub(8));
            }
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            for (value, width) in &values {
                prop_assert_eq!(reader.take(*width).unwrap(), masked(*value, *width));
                prop_assert_eq!(reader.take_rice(width.saturating_sub(8)).unwrap(), masked(*value, *width));
            }
        }

        #[test]
        fn damaged_bits_end_in_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..50), width in 0u32..=64) {
            let mut reader = BitReader::new(&bytes);
            while reader.take_rice(width).is_ok() {}
        }
    }
}
