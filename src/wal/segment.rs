//! A segment's name and header: see the table in the room's text.

use super::error::WalError;
use crate::fs::{File, Fs, OpenMode};
use bytes::BufMut;
use crc32c::crc32c;
use std::io;
use std::path::Path;

/// Bytes before the first record.
pub(super) const HEADER_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"SPANWAL\n";
const VERSION: u32 = 1;
const CRC_AT: usize = HEADER_LEN - 4;

pub(super) type NodeId = [u8; 16];

/// What the open log remembers of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentInfo {
    /// From the name.
    pub first_seq: u64,
    /// The last durable record in it, 0 if there is none.
    pub last_seq: u64,
    /// Bytes of the file.
    pub len: u64,
}

/// A segment's header whose checksum was right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub node_id: NodeId,
    pub first_seq: u64,
    /// The last durable sequence before this segment was begun.
    pub durable_before: u64,
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        let mut fields = &mut header[..];
        fields.put_slice(&MAGIC);
        fields.put_u32_le(VERSION);
        fields.put_u32_le(0);
        fields.put_slice(&self.node_id);
        fields.put_u64_le(self.first_seq);
        fields.put_u64_le(salt(&self.node_id, self.first_seq));
        fields.put_u64_le(self.durable_before);
        let crc = crc32c(&header[..CRC_AT]);
        header[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Reads a header; `None` if it is damaged or was never written, an error if it is whole but not ours to read.
    pub fn decode(bytes: &[u8; HEADER_LEN], path: &Path) -> Result<Option<Self>, WalError> {
        let word = |at: usize| bytes[at..].first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word));
        let half = |at: usize| bytes[at..].first_chunk::<4>().map_or(0, |half| u32::from_le_bytes(*half));
        if bytes[..8] != MAGIC || half(CRC_AT) != crc32c(&bytes[..CRC_AT]) {
            return Ok(None);
        }
        let version = half(8);
        if version != VERSION {
            let reason =
                format!("it has format version {version}, this program reads version {VERSION}; start the newer one");
            return Err(WalError::Format { path: path.to_owned(), reason });
        }
        let mut node_id = [0; 16];
        node_id.copy_from_slice(&bytes[16..32]);
        let header = SegmentHeader { node_id, first_seq: word(32), durable_before: word(48) };
        let named = path.file_name().and_then(|name| name.to_str()).and_then(first_seq_of);
        if named != Some(header.first_seq) {
            let reason = format!("its header says that it is {}; give it that name back", file_name(header.first_seq));
            return Err(WalError::Format { path: path.to_owned(), reason });
        }
        Ok(Some(header))
    }

    /// Reads the header of an open segment.
    pub fn read(file: &dyn File, path: &Path) -> Result<Option<Self>, WalError> {
        let mut bytes = [0; HEADER_LEN];
        match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => SegmentHeader::decode(&bytes, path),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(e) => Err(WalError::io("read", path, e)),
        }
    }

    /// Refuses another node's segment.
    pub fn check_node(&self, node_id: &NodeId, path: &Path) -> Result<(), WalError> {
        if self.node_id == *node_id {
            return Ok(());
        }
        let hex = |id: &NodeId| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Err(WalError::Foreign { path: path.to_owned(), found: hex(&self.node_id), expected: hex(node_id) })
    }
}

/// The salt of a segment's checksums: different for each segment of each node, and known without its header.
pub(super) fn salt(node_id: &NodeId, first_seq: u64) -> u64 {
    let node = u128::from_le_bytes(*node_id);
    [node as u64, (node >> 64) as u64, first_seq].into_iter().fold(0x5350_414e_5741_4c31, |salt, part| mix(salt ^ part))
}

/// Spreads each bit over all (the finishing steps of SplitMix64).
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub(super) fn file_name(first_seq: u64) -> String {
    format!("{first_seq:020}.wal")
}

fn first_seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The first sequences of the segments in a folder, ascending; none if there is no such folder.
pub(super) fn list(fs: &dyn Fs, dir: &Path) -> Result<Vec<u64>, WalError> {
    let entries = match fs.read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(WalError::io("list", dir, e)),
    };
    let mut found: Vec<u64> =
        entries.iter().filter(|entry| !entry.is_dir).filter_map(|entry| first_seq_of(&entry.name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// The node whose log lies in a folder, as the first readable header says; `None` if there is no readable segment.
pub fn owner(fs: &dyn Fs, dir: &Path) -> Result<Option<[u8; 16]>, WalError> {
    owner_among(fs, dir, &list(fs, dir)?)
}

/// As [`owner`], of a folder that was listed.
pub(super) fn owner_among(fs: &dyn Fs, dir: &Path, names: &[u64]) -> Result<Option<NodeId>, WalError> {
    for first_seq in names {
        let path = dir.join(file_name(*first_seq));
        let file = match fs.open(&path, OpenMode::Read) {
            Ok(file) => file,
            // It was trimmed meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(WalError::io("open", &path, e)),
        };
        if let Some(header) = SegmentHeader::read(&*file, &path)? {
            return Ok(Some(header.node_id));
        }
    }
    Ok(None)
}

/// Deletes the segments that hold no record above `seq`, except the newest, while the log is being opened: for the
/// callback of [`super::Wal::open`], whose `seq` is at most that of the record it was handed.
pub fn trim_read(fs: &dyn Fs, dir: &Path, seq: u64) -> Result<(), WalError> {
    let names = list(fs, dir)?;
    let mut trimmed = false;
    for pair in names.windows(2) {
        let &[first_seq, next] = pair else { break };
        if next > seq.saturating_add(1) {
            break;
        }
        let path = dir.join(file_name(first_seq));
        fs.remove_file(&path).map_err(|e| WalError::io("delete", &path, e))?;
        trimmed = true;
    }
    if trimmed { fs.sync_dir(dir).map_err(|e| WalError::io("sync the folder", dir, e)) } else { Ok(()) }
}
