//! Tokens of few traces: of each a few bits of its hash and the block of traces that has it.
//!
//! Most distinct tokens of a set of spans are of this sort (ids, sizes, addresses), and a whole hash with a list of
//! traces would be most of the summary. Sorted by hash, what tells n entries apart takes about a bit and a half, each
//! further bit halves the blocks that are looked at in vain, and a block instead of a trace saves half a dozen more:
//! what is found has to be looked at anyway.
//!
//! ```text
//! entry     = rice(hash, as difference to the one before; the chunk's bits left out)  block
//! chunk     = entry*, filled up to a byte; each holds the entries of one 2^n-th of all hashes
//! directory = per chunk: entries:varint bytes:varint
//! ```

use super::bits::{BitReader, BitWriter};
use super::blob::{Blob, Blobs};
use crate::codec::pack::{Fault, Reader, put_varint};
use bytes::Bytes;

/// Bits of the hash beyond those that as many entries take at the least: a token that is not there is looked for in a
/// quarter of a block, on average.
const EXTRA_BITS: u32 = 2;
/// Entries of a chunk, about, as a power of two.
const CHUNK_BITS: u32 = 10;

/// Where the entries are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RareIndex {
    /// Bits of a hash that are kept.
    bits: u32,
    /// Of these, those that tell the chunk.
    chunk_bits: u32,
    /// Bits of a block's number.
    block_bits: u32,
    directory: Blob,
    entries: Blob,
}

impl RareIndex {
    /// Writes entries of hash and block; `blocks` is how many blocks there are.
    pub fn write(entries: &mut Vec<(u64, u32)>, blocks: usize, blobs: &mut Blobs) -> RareIndex {
        let size = (entries.len() as u64).max(1).next_power_of_two().ilog2();
        let bits = (size + EXTRA_BITS).min(56);
        let chunk_bits = size.saturating_sub(CHUNK_BITS);
        let block_bits = (blocks as u64).max(2).next_power_of_two().ilog2();
        for (hash, _) in entries.iter_mut() {
            *hash >>= 64 - bits;
        }
        entries.sort_unstable();
        entries.dedup();
        let (mut directory, mut packed) = (Vec::new(), Vec::new());
        let mut rest = &entries[..];
        for chunk in 0..1u64 << chunk_bits {
            let of_chunk = rest.partition_point(|(hash, _)| hash >> (bits - chunk_bits) <= chunk);
            let (now, later) = rest.split_at(of_chunk);
            let mut writer = BitWriter::default();
            let mut last = chunk << (bits - chunk_bits);
            for (hash, block) in now {
                writer.put_rice(hash - last, EXTRA_BITS);
                writer.put(u64::from(*block), block_bits);
                last = *hash;
            }
            let bytes = writer.finish();
            put_varint(&mut directory, now.len() as u64);
            put_varint(&mut directory, bytes.len() as u64);
            packed.extend_from_slice(&bytes);
            rest = later;
        }
        RareIndex { bits, chunk_bits, block_bits, directory: blobs.put(&directory), entries: blobs.put_raw(&packed) }
    }

    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([self.bits as u8, self.chunk_bits as u8, self.block_bits as u8]);
        self.directory.encode(out);
        self.entries.encode(out);
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let at = reader.position();
        let [bits, chunk_bits, block_bits] = reader.array::<3>()?.map(u32::from);
        if bits == 0 || bits > 56 || chunk_bits > bits || chunk_bits > 40 || block_bits > 32 {
            return Err(Fault { what: "widths beyond reason", at });
        }
        let directory = Blob::decode(reader)?;
        Ok(RareIndex { bits, chunk_bits, block_bits, directory, entries: Blob::decode(reader)? })
    }

    /// The blocks that may have the token. `read` reads a piece whole, `part` some bytes of an uncompressed one.
    pub fn find<E: From<Fault>>(
        &self,
        hash: u64,
        read: impl FnOnce(&Blob) -> Result<Bytes, E>,
        part: impl FnOnce(Blob) -> Result<Bytes, E>,
    ) -> Result<Vec<u32>, E> {
        let wanted = hash >> (64 - self.bits);
        let chunk = wanted >> (self.bits - self.chunk_bits);
        let directory = read(&self.directory)?;
        let mut directory = Reader::new(&directory);
        let (mut offset, mut count, mut length) = (0, 0, 0);
        for _ in 0..=chunk {
            offset += length;
            count = directory.varint()?;
            length = directory.varint()? as usize;
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        if offset.checked_add(length).is_none_or(|end| end > self.entries.stored) {
            return Err(Fault { what: "a chunk beyond the end", at: self.directory.offset }.into());
        }
        let bytes = part(Blob { offset: self.entries.offset + offset, stored: length, raw: length })?;
        let mut bits = BitReader::new(&bytes);
        let mut found = Vec::new();
        let mut at = chunk << (self.bits - self.chunk_bits);
        for _ in 0..count {
            at = at.wrapping_add(bits.take_rice(EXTRA_BITS)?);
            let block = bits.take(self.block_bits)? as u32;
            if at == wanted {
                found.push(block);
            } else if at > wanted {
                break;
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::SmallRng};
    use std::collections::{BTreeMap, BTreeSet};

    fn found(index: &RareIndex, bytes: &[u8], hash: u64) -> BTreeSet<u32> {
        let open = |blob: &Blob| blob.open(&bytes[blob.range()]);
        index.find(hash, open, |blob| open(&blob)).unwrap().into_iter().collect()
    }

    #[test]
    fn each_entry_is_found_and_few_that_are_not_there() {
        for count in [0usize, 1, 2, 900, 1_025, 50_000] {
            let mut random = SmallRng::seed_from_u64(count as u64);
            let mut entries: Vec<(u64, u32)> =
                (0..count).map(|_| (random.random(), random.random_range(0..90))).collect();
            // Some tokens lie in several blocks.
            entries.extend_from_within(..count / 10);
            entries.iter_mut().take(count / 10).for_each(|(_, block)| *block = (*block + 1) % 90);
            let mut wanted: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
            for (hash, block) in &entries {
                wanted.entry(*hash).or_default().insert(*block);
            }
            let mut blobs = Blobs::default();
            let index = RareIndex::write(&mut entries, 90, &mut blobs);
            let mut encoded = Vec::new();
            index.encode(&mut encoded);
            assert_eq!(RareIndex::decode(&mut Reader::new(&encoded)).unwrap(), index);
            let bytes = blobs.finish();
            for (hash, blocks) in &wanted {
                assert!(found(&index, &bytes, *hash).is_superset(blocks));
            }
            let in_vain: usize = (0..4_000).map(|_| found(&index, &bytes, random.random()).len()).sum();
            assert!(in_vain < 1_400, "{in_vain} of {count}");
        }
    }
}
