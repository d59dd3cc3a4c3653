//! The distinct names of a data file.
//!
//! ```text
//! entry = kind:u8 project:varint owner:text overflow:varint count:varint text*      under the hash of kind, project, owner
//! ```

use super::blob::Blobs;
use super::hash::lower;
use super::keyed::{KeyedIndex, KeyedWriter};
use crate::codec::pack::{Fault, Reader, put_text, put_varint};
use hashbrown::HashTable;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The most names of a list; what is more is counted.
pub const MOST_NAMES: usize = 10_000;
/// The most values of a tag that nobody asked to keep, and their longest: beyond that it is no tag to choose from.
const MOST_VALUES: usize = 256;
const LONGEST_VALUE: usize = 256;
/// Names beyond the limits whose hashes are remembered, so that each is counted once; above that, each span's.
const MOST_SEEN: usize = 1 << 18;

/// What a list has the names of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NameKind {
    /// Local services, as sent.
    Service = 1,
    /// Span names as sent; the owner is the local service in lower case.
    Span = 2,
    /// Remote services as sent; the owner is the local service in lower case.
    Remote = 3,
    /// A tag's values; the owner is its key. Kept for tags of few values and for those that the settings name.
    TagValue = 4,
    /// What the ATS API calls monitor groups; no owner.
    Group = 5,
    /// Applications; the owner is their group.
    Application = 6,
    /// Instances; the owner is [`owner_of`] group and application, both as sent but the application in lower case.
    Instance = 7,
    /// Transactions; as instances.
    Transaction = 8,
}

/// Names, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameList {
    /// As sent. Forms of a name that differ in case alone count as one, up to as many as there may be names.
    pub names: BTreeSet<String>,
    /// How many more there were.
    pub overflow: u64,
}

/// The owner of a group's application's names.
pub fn owner_of(group: &str, application: &str) -> String {
    format!("{group}\0{application}")
}

fn key_of(kind: NameKind, project: u32, owner: &str) -> u64 {
    xxh3_64_with_seed(owner.as_bytes(), u64::from(project) << 8 | kind as u64)
}

/// Gathers names.
#[derive(Debug)]
pub struct NameSets {
    lists: BTreeMap<(NameKind, u32, String), NameList>,
    /// How many of each list's names are not another form of one before.
    distinct: HashMap<(NameKind, u32, u64), usize>,
    /// Hashes of what is in the lists. Seeded anew in each process: a sender cannot make two names meet.
    seen: HashTable<u64>,
    random: RandomState,
    /// Keys of tags that are kept whatever their values.
    kept: BTreeSet<String>,
    /// Tags of too many values, by project and hash of the key.
    closed: HashTable<(u32, u64)>,
}

impl NameSets {
    pub fn new(kept: &[String]) -> Self {
        NameSets {
            lists: BTreeMap::new(),
            distinct: HashMap::new(),
            seen: HashTable::new(),
            random: RandomState::new(),
            kept: kept.iter().cloned().collect(),
            closed: HashTable::new(),
        }
    }

    /// Whether this is the first time; `owner` tells owners of a kind apart.
    fn is_new(&mut self, kind: NameKind, project: u32, owner: u64, name: &str) -> bool {
        let hash = self.random.hash_one((kind, project, owner, name));
        if self.seen.find(hash, |known| *known == hash).is_some() {
            return false;
        }
        if self.seen.len() < MOST_SEEN {
            self.seen.insert_unique(hash, hash, |hash| *hash);
        }
        true
    }

    /// Adds a name to the list of an owner, of whom `id` is known at less cost than `owner`.
    pub fn add(&mut self, kind: NameKind, project: u32, id: u64, name: &str, owner: impl FnOnce() -> String) {
        if !self.is_new(kind, project, id, name) {
            return;
        }
        // What was seen of folded forms is kept apart by an owner that there is not.
        let is_first = self.is_new(kind, project, !id, &lower(name));
        let distinct = self.distinct.entry((kind, project, id)).or_default();
        let fits = if is_first { *distinct < MOST_NAMES } else { *distinct <= MOST_NAMES };
        let list = self.lists.entry((kind, project, owner())).or_default();
        if fits && list.names.len() < 2 * MOST_NAMES {
            *distinct += usize::from(is_first);
            list.names.insert(name.to_owned());
        } else if is_first {
            list.overflow += 1;
        }
    }

    /// Adds a tag's value; `key_hash` is its key's.
    pub fn add_value(&mut self, project: u32, key: &str, key_hash: u64, value: &str) {
        let is_closed = |closed: &(u32, u64)| *closed == (project, key_hash);
        if self.closed.find(key_hash, is_closed).is_some() {
            return;
        }
        if !self.is_new(NameKind::TagValue, project, key_hash, value) {
            return;
        }
        let kept = self.kept.contains(key);
        let list = self.lists.entry((NameKind::TagValue, project, key.to_owned())).or_default();
        let fits = value.len() <= LONGEST_VALUE || kept;
        let most = if kept { MOST_NAMES } else { MOST_VALUES };
        if fits && list.names.len() < most {
            list.names.insert(value.to_owned());
        } else if kept {
            list.overflow += 1;
        } else {
            // Not a tag that one chooses a value of.
            list.names.clear();
            list.overflow = 1;
            self.closed.insert_unique(key_hash, (project, key_hash), |(_, hash)| *hash);
        }
    }

    pub fn write(self, blobs: &mut Blobs) -> KeyedIndex {
        let mut lists: Vec<_> =
            self.lists.into_iter().map(|(list, names)| (key_of(list.0, list.1, &list.2), list, names)).collect();
        lists.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut writer = KeyedWriter::default();
        for (key, (kind, project, owner), list) in &lists {
            writer.push(*key, blobs, |out| {
                out.push(*kind as u8);
                put_varint(out, u64::from(*project));
                put_text(out, owner);
                put_varint(out, list.overflow);
                put_varint(out, list.names.len() as u64);
                list.names.iter().for_each(|name| put_text(out, name));
            });
        }
        writer.finish(blobs)
    }
}

/// The key under which a list's entry lies.
pub fn list_key(kind: NameKind, project: u32, owner: &str) -> u64 {
    key_of(kind, project, owner)
}

/// Adds the names of an entry to a list, if the entry is that owner's.
pub fn read_entry(bytes: &[u8], kind: NameKind, project: u32, owner: &str, list: &mut NameList) -> Result<(), Fault> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != kind as u8 || reader.varint()? != u64::from(project) || reader.text()? != owner {
        return Ok(());
    }
    list.overflow = list.overflow.saturating_add(reader.varint()?);
    for _ in 0..reader.length()? {
        let name = reader.text()?;
        if !list.names.contains(name) {
            list.names.insert(name.to_owned());
        }
    }
    Ok(())
}
