//! The disk's state: files and folders with what is durable of them, and what a power cut makes of it.

use super::{Op, OpKind, Predicate};
use spanlake::fs::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a disk writes whole or not at all.
pub(super) const SECTOR: u64 = 512;

#[derive(Clone, Default)]
pub(super) struct State {
    pub(super) inodes: BTreeMap<u64, Inode>,
    pub(super) dirs: BTreeMap<PathBuf, Dir>,
    pub(super) ops: Vec<Op>,
    pub(super) fail_at: Option<usize>,
    pub(super) dead: bool,
    pub(super) capacity: Option<u64>,
    pub(super) cannot_reserve: bool,
    pub(super) read_limit: Option<usize>,
    /// Syncs that fail: the matching ones to let pass before.
    pub(super) sync_faults: Vec<(usize, Predicate)>,
    pub(super) ignored: Option<Predicate>,
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    pub(super) written: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// From the durable bytes to the written ones.
    pub(super) pending: Vec<Change>,
    /// Changes that a failed sync has dropped: readable, but no later sync makes them durable.
    pub(super) doubtful: Vec<Change>,
    pub(super) sectors: BTreeSet<u64>,
    pub(super) links: usize,
    pub(super) modified: u64,
}

#[derive(Clone)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Clone, Default)]
pub(super) struct Dir {
    pub(super) current: BTreeMap<String, u64>,
    pub(super) durable: BTreeMap<String, u64>,
    pub(super) pending: Vec<(OpKind, DirChange)>,
}

#[derive(Clone)]
pub(super) enum DirChange {
    Set(String, u64),
    Unset(String),
    Rename(String, String, u64),
}

impl State {
    pub(super) fn new_inode(&self) -> u64 {
        self.inodes.last_key_value().map_or(0, |(inode, _)| inode + 1)
    }

    pub(super) fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("inodes are never dropped")
    }

    pub(super) fn find(&self, path: &Path) -> Option<u64> {
        let (dir, name) = split(path).ok()?;
        self.dirs.get(&dir)?.current.get(&name).copied()
    }

    pub(super) fn dir_of(&mut self, path: &Path) -> io::Result<(&mut Dir, String)> {
        let (dir, name) = split(path)?;
        Ok((self.dirs.get_mut(&dir).ok_or(io::ErrorKind::NotFound)?, name))
    }

    pub(super) fn used(&self) -> u64 {
        let linked = self.inodes.values().filter(|inode| inode.links > 0);
        linked.map(|inode| inode.sectors.len() as u64 * SECTOR).sum()
    }

    pub(super) fn room(&self) -> u64 {
        self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    pub(super) fn count_links(&mut self) {
        self.inodes.values_mut().for_each(|inode| inode.links = 0);
        let names: Vec<u64> = self.dirs.values().flat_map(|dir| dir.current.values().copied()).collect();
        for inode in names {
            self.inode(inode).links += 1;
        }
    }

    /// `keep` is asked for each sector, length and name that was not synced.
    pub(super) fn after_power_cut(&self, keep: &mut dyn FnMut(OpKind) -> bool) -> State {
        let mut after = State::default();
        for (path, dir) in &self.dirs {
            let mut names = dir.durable.clone();
            for (kind, change) in &dir.pending {
                if keep(*kind) {
                    change.apply(&mut names);
                }
            }
            after.dirs.insert(path.clone(), Dir { current: names.clone(), durable: names, pending: Vec::new() });
        }
        for (number, inode) in &self.inodes {
            let mut bytes = inode.durable.clone();
            for change in inode.doubtful.iter().chain(&inode.pending) {
                change.apply_parts(&mut bytes, keep);
            }
            let sectors = (0..(bytes.len() as u64).div_ceil(SECTOR)).collect();
            let (written, durable, modified) = (bytes.clone(), bytes, inode.modified);
            after.inodes.insert(*number, Inode { written, durable, sectors, modified, ..Inode::default() });
        }
        after
    }
}

impl Inode {
    /// What an earlier, failed sync has left uncertain is certain where it is written over or cut off.
    pub(super) fn make_durable(&mut self, change: &Change) {
        change.apply(&mut self.durable);
        let (from, to) = match change {
            Change::Write(offset, data) => (*offset, *offset + data.len() as u64),
            Change::SetLen(len) => (*len, u64::MAX),
        };
        self.doubtful = self.doubtful.iter().flat_map(|doubtful| doubtful.outside(from, to)).collect();
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.written);
        self.pending.push(change);
    }

    pub(super) fn describe(&self, name: &str) -> Entry {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(self.modified);
        Entry { name: name.to_owned(), is_dir: false, len: self.written.len() as u64, modified }
    }
}

impl Change {
    /// The parts of a write before `from` and from `to` on.
    pub(super) fn outside(&self, from: u64, to: u64) -> Vec<Change> {
        let Change::Write(offset, data) = self else { return vec![self.clone()] };
        let part = |start: u64, end: u64| {
            let at = |place: u64| (place.max(*offset) - offset).min(data.len() as u64) as usize;
            let bytes = &data[at(start)..at(end).max(at(start))];
            (!bytes.is_empty()).then(|| Change::Write(start.max(*offset), bytes.to_vec()))
        };
        part(0, from).into_iter().chain(part(to, u64::MAX)).collect()
    }

    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        self.apply_parts(bytes, &mut |_| true);
    }

    pub(super) fn apply_parts(&self, bytes: &mut Vec<u8>, keep: &mut dyn FnMut(OpKind) -> bool) {
        match self {
            Change::SetLen(len) => {
                if keep(OpKind::SetLen) {
                    bytes.resize(*len as usize, 0);
                }
            }
            Change::Write(offset, data) => {
                let mut from = 0;
                while from < data.len() {
                    let at = *offset as usize + from;
                    let n = (SECTOR as usize - at % SECTOR as usize).min(data.len() - from);
                    if keep(OpKind::Write) {
                        bytes.resize(bytes.len().max(at + n), 0);
                        bytes[at..at + n].copy_from_slice(&data[from..from + n]);
                    }
                    from += n;
                }
            }
        }
    }
}

impl Dir {
    pub(super) fn change(&mut self, kind: OpKind, change: DirChange) {
        change.apply(&mut self.current);
        self.pending.push((kind, change));
    }
}

impl DirChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            DirChange::Set(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            DirChange::Unset(name) => {
                names.remove(name);
            }
            DirChange::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

pub(super) fn split(path: &Path) -> io::Result<(PathBuf, String)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
    Ok((path.parent().ok_or(io::ErrorKind::InvalidInput)?.to_owned(), name.to_owned()))
}
