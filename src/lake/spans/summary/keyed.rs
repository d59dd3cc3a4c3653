//! Entries under numbers, in order, in compressed blocks: one entry is found by reading one block.
//!
//! ```text
//! block = zstd( count:varint (key, as difference to the one before:varint  length:varint)*  entry* )
//! ```

use super::blob::{Blob, Blobs};
use crate::codec::pack::{Fault, Reader, put_varint};
use bytes::Bytes;

/// Bytes of a block before compression, about.
const BLOCK: usize = 32 * 1024;

/// Where the entries are: the first key of each block, and the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyedIndex {
    blocks: Vec<(u64, Blob)>,
}

/// Writes entries in the order of their keys; several may have one key.
#[derive(Debug, Default)]
pub struct KeyedWriter {
    index: KeyedIndex,
    first: u64,
    last: u64,
    count: u64,
    heads: Vec<u8>,
    entries: Vec<u8>,
}

impl KeyedWriter {
    /// Appends an entry, of which `write` appends the bytes.
    pub fn push(&mut self, key: u64, blobs: &mut Blobs, write: impl FnOnce(&mut Vec<u8>)) {
        if self.count > 0 && self.heads.len() + self.entries.len() >= BLOCK {
            self.end_block(blobs);
        }
        if self.count == 0 {
            (self.first, self.last) = (key, key);
        }
        let before = self.entries.len();
        write(&mut self.entries);
        put_varint(&mut self.heads, key - self.last);
        put_varint(&mut self.heads, (self.entries.len() - before) as u64);
        self.last = key;
        self.count += 1;
    }

    fn end_block(&mut self, blobs: &mut Blobs) {
        let mut block = Vec::with_capacity(10 + self.heads.len() + self.entries.len());
        put_varint(&mut block, self.count);
        block.append(&mut self.heads);
        block.append(&mut self.entries);
        self.index.blocks.push((self.first, blobs.put(&block)));
        self.count = 0;
    }

    pub fn finish(mut self, blobs: &mut Blobs) -> KeyedIndex {
        if self.count > 0 {
            self.end_block(blobs);
        }
        self.index
    }
}

impl KeyedIndex {
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.blocks.len() as u64);
        let mut last = 0;
        for (first, blob) in &self.blocks {
            put_varint(out, first - last);
            blob.encode(out);
            last = *first;
        }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let count = reader.length()?;
        let mut blocks = Vec::with_capacity(count);
        let mut last = 0u64;
        for _ in 0..count {
            last = last.wrapping_add(reader.varint()?);
            blocks.push((last, Blob::decode(reader)?));
        }
        Ok(KeyedIndex { blocks })
    }

    /// Gives the entries whose keys lie between two, both included, to `each`. `read` reads a block, decompressed.
    pub fn each<E: From<Fault>>(
        &self,
        least: u64,
        greatest: u64,
        mut read: impl FnMut(&Blob) -> Result<Bytes, E>,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Entries of the least key may begin in the block before the one that begins with it.
        let from = self.blocks.partition_point(|(first, _)| *first < least).saturating_sub(1);
        for (first, blob) in &self.blocks[from..] {
            if *first > greatest {
                break;
            }
            let block = read(blob)?;
            let mut heads = Reader::new(&block);
            let count = heads.length()?;
            let mut lengths = 0usize;
            let (mut key, mut wanted) = (*first, Vec::new());
            for _ in 0..count {
                key = key.wrapping_add(heads.varint()?);
                let length = heads.length()?;
                if (least..=greatest).contains(&key) {
                    wanted.push((key, lengths, length));
                }
                lengths += length;
            }
            let entries = &block[heads.position()..];
            for (key, offset, length) in wanted {
                let fault = Fault { what: "an entry beyond the end of its block", at: offset };
                each(key, entries.get(offset..offset + length).ok_or(fault)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_one_key_are_found_across_blocks() {
        let mut blobs = Blobs::default();
        let mut writer = KeyedWriter::default();
        // Three keys of 30 entries of 4 KiB: each takes several blocks.
        for key in [3u64, 7, 900] {
            for number in 0..30u8 {
                writer.push(key, &mut blobs, |out| out.extend([number; 4096]));
            }
        }
        let index = writer.finish(&mut blobs);
        assert!(index.blocks.len() > 5);
        let mut encoded = Vec::new();
        index.encode(&mut encoded);
        let index = KeyedIndex::decode(&mut Reader::new(&encoded)).unwrap();
        let bytes = blobs.finish();
        let found = |least, greatest| {
            let mut found = Vec::new();
            let read = |blob: &Blob| blob.open(&bytes[blob.range()]);
            index
                .each(least, greatest, read, |key, entry| {
                    assert_eq!(entry.len(), 4096);
                    found.push((key, entry[0]));
                    Ok::<_, Fault>(())
                })
                .unwrap();
            found
        };
        let all = |key: u64| (0..30u8).map(move |number| (key, number));
        assert_eq!(found(7, 7), all(7).collect::<Vec<_>>());
        assert_eq!(found(4, 6), []);
        assert_eq!(found(901, u64::MAX), []);
        assert_eq!(found(0, 899), all(3).chain(all(7)).collect::<Vec<_>>());
    }
}
