//! The compressed pieces that a summary is made of.

use crate::codec::pack::{Fault, Reader, put_varint};
use bytes::Bytes;
use std::cell::RefCell;
use std::ops::Range;

/// A piece is at most so long before compression: what is longer is damage.
const LONGEST: usize = 1 << 30;

/// The level of zstd: of a set of generated spans level 1 takes 4 % more, level 6 two percent less for three times the
/// time.
const LEVEL: i32 = 3;

/// Where a piece lies in the summary, and how long it is once decompressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blob {
    pub offset: usize,
    pub stored: usize,
    pub raw: usize,
}

impl Blob {
    pub fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.offset, self.stored, self.raw] {
            put_varint(out, number as u64);
        }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut number = || {
            let number = reader.varint()?;
            match usize::try_from(number) {
                Ok(number) if number <= LONGEST => Ok(number),
                _ => Err(Fault { what: "a length beyond reason", at: reader.position() }),
            }
        };
        Ok(Blob { offset: number()?, stored: number()?, raw: number()? })
    }

    /// Where its bytes lie.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.stored
    }

    /// Decompresses its bytes.
    pub fn open(&self, stored: &[u8]) -> Result<Bytes, Fault> {
        if self.stored == self.raw {
            return Ok(Bytes::copy_from_slice(stored));
        }
        thread_local! {
            // Making a context asks the processor what it can do, which a virtual machine answers slowly.
            static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
        }
        let fault = |_| Fault { what: "bytes that do not decompress", at: self.offset };
        let raw = DECOMPRESSOR.with_borrow_mut(|kept| {
            let decompressor = match kept {
                Some(decompressor) => decompressor,
                None => kept.insert(zstd::bulk::Decompressor::new().map_err(fault)?),
            };
            decompressor.decompress(stored, self.raw).map_err(fault)
        })?;
        match raw.len() == self.raw {
            true => Ok(raw.into()),
            false => Err(Fault { what: "bytes that decompress to another length", at: self.offset }),
        }
    }
}

/// Gathers pieces.
#[derive(Default)]
pub struct Blobs {
    bytes: Vec<u8>,
    compressor: Option<zstd::bulk::Compressor<'static>>,
}

impl Blobs {
    /// Appends a piece, compressed where that makes it shorter.
    pub fn put(&mut self, raw: &[u8]) -> Blob {
        let offset = self.bytes.len();
        if self.compressor.is_none() {
            self.compressor = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        let packed = self.compressor.as_mut().and_then(|compressor| compressor.compress(raw).ok());
        match packed.filter(|packed| packed.len() < raw.len()) {
            Some(packed) => self.bytes.extend_from_slice(&packed),
            None => self.bytes.extend_from_slice(raw),
        }
        Blob { offset, stored: self.bytes.len() - offset, raw: raw.len() }
    }

    /// Appends a piece as it is.
    pub fn put_raw(&mut self, raw: &[u8]) -> Blob {
        let offset = self.bytes.len();
        self.bytes.extend_from_slice(raw);
        Blob { offset, stored: raw.len(), raw: raw.len() }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blobs").field("len", &self.bytes.len()).finish()
    }
}
