//! A file system in memory that treats its callers as badly as a real disk may: what was not synced is forgotten at a
//! power cut, space runs out, syncs fail.
//!
//! Each file keeps its durable bytes beside the written ones, each folder its durable names beside the current ones;
//! a sync makes the one into the other. [`SimFs::crash`] gives the disk as it is found after a crash, as a new file
//! system, and leaves this one as it was. Every change and every sync is an operation with a number, so that a test can
//! stop the world at each of them ([`SimFs::fail_after`]) or make one sync do nothing ([`SimFs::ignore_sync`]).
//!
//! A clone is another handle to the same disk.
#![allow(dead_code, reason = "each suite uses its part")]

mod disk;

use disk::{Change, DirChange, Inode, SECTOR, State, split};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use spanlake::fs::{Entry, File, Fs, OpenMode};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

/// What an operation does. Reads are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpKind {
    CreateDir,
    Create,
    Write,
    Allocate,
    SetLen,
    Rename,
    Link,
    Remove,
    SyncData,
    SyncAll,
    SyncDir,
}

impl OpKind {
    pub fn is_sync(self) -> bool {
        matches!(self, OpKind::SyncData | OpKind::SyncAll | OpKind::SyncDir)
    }
}

/// An operation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op {
    pub kind: OpKind,
    /// A rename's or link's new name.
    pub path: PathBuf,
    /// Of a sync: the last change that it makes durable.
    pub after: Option<OpKind>,
}

/// How the world ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Power cut: all that was not synced is forgotten.
    Forget,
    /// Power cut: of what was not synced, each sector, length and name is kept or not, as the seed draws.
    Torn(u64),
    /// The process is killed: all that was written is there, what was not synced is still not durable.
    Kill,
}

type Predicate = Arc<dyn Fn(&Op) -> bool + Send + Sync>;
type ReadHook = Box<dyn FnMut(&Path, u64) + Send>;

/// See the module's text.
#[derive(Clone, Default)]
pub struct SimFs {
    state: Arc<Mutex<State>>,
    read_hook: Arc<Mutex<Option<ReadHook>>>,
}

impl SimFs {
    pub fn new() -> Self {
        SimFs::default()
    }

    /// The disk as it is found after a crash now. It works again: fail plans and limits are gone, the log of
    /// operations is empty.
    pub fn crash(&self, cut: Cut) -> SimFs {
        let state = self.lock();
        let mut after = match cut {
            Cut::Kill => State { inodes: state.inodes.clone(), dirs: state.dirs.clone(), ..State::default() },
            Cut::Forget => state.after_power_cut(&mut |_| false),
            Cut::Torn(seed) => {
                let mut rng = SmallRng::seed_from_u64(seed);
                state.after_power_cut(&mut |_| rng.random())
            }
        };
        after.count_links();
        if cut != Cut::Kill {
            after.inodes.retain(|_, inode| inode.links > 0);
        }
        SimFs { state: Arc::new(Mutex::new(after)), read_hook: Arc::default() }
    }

    /// The first `n` operations from now on work. The next one takes its effect, but neither it nor what comes later
    /// succeeds, reads included, and nothing is synced any more.
    pub fn fail_after(&self, n: usize) {
        let mut state = self.lock();
        state.fail_at = Some(state.ops.len() + n);
    }

    /// Whether the end that [`SimFs::fail_after`] has set was reached.
    pub fn is_dead(&self) -> bool {
        self.lock().dead
    }

    /// Limits the bytes of disk; counted in sectors.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Bytes of disk in use.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    /// Makes `allocate` set the length only, as file systems do that cannot reserve.
    pub fn set_cannot_reserve(&self, cannot: bool) {
        self.lock().cannot_reserve = cannot;
    }

    /// Makes the `nth` (from 0) sync that matches fail, once. What it should have made durable never will be.
    pub fn fail_sync(&self, nth: usize, matches: impl Fn(&Op) -> bool + Send + Sync + 'static) {
        self.lock().sync_faults.push((nth, Arc::new(matches)));
    }

    /// From now on matching syncs do nothing and succeed. Replaces the predicate before.
    pub fn ignore_sync(&self, matches: impl Fn(&Op) -> bool + Send + Sync + 'static) {
        self.lock().ignored = Some(Arc::new(matches));
    }

    /// Makes each read give at most so many bytes, as a disk may, so that [`SimFs::on_read`] gets in between.
    pub fn set_read_limit(&self, bytes: usize) {
        self.lock().read_limit = Some(bytes);
    }

    /// Runs before each read, with the file and the offset; it may use the file system itself.
    pub fn on_read(&self, hook: impl FnMut(&Path, u64) + Send + 'static) {
        *lock(&self.read_hook) = Some(Box::new(hook));
    }

    pub fn op_count(&self) -> usize {
        self.lock().ops.len()
    }

    /// The operations up to now.
    pub fn ops(&self) -> Vec<Op> {
        self.lock().ops.clone()
    }

    /// The files that are there, with their lengths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let state = self.lock();
        let mut files = Vec::new();
        for (path, dir) in &state.dirs {
            for (name, inode) in &dir.current {
                files.push((path.join(name), state.inodes[inode].written.len() as u64));
            }
        }
        files
    }

    /// A file's bytes.
    pub fn contents(&self, path: &Path) -> Vec<u8> {
        let state = self.lock();
        let inode = state.find(path).expect("the file is there");
        state.inodes[&inode].written.clone()
    }

    /// Puts a durable file in place of the one of that name, past all plans and counts.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock();
        let state = &mut *state;
        let (dir, name) = split(path).expect("a file's path");
        let inode = state.new_inode();
        let dir = state.dirs.entry(dir).or_default();
        dir.current.insert(name.clone(), inode);
        dir.durable.insert(name, inode);
        let (written, durable) = (bytes.to_vec(), bytes.to_vec());
        state.inodes.insert(inode, Inode { written, durable, links: 1, ..Inode::default() });
    }

    /// Turns one bit of a file over, durably.
    pub fn flip(&self, path: &Path, byte: usize, bit: u8) {
        let mut bytes = self.contents(path);
        bytes[byte] ^= 1 << bit;
        self.put(path, &bytes);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Counts an operation and does it, unless a plan has something else in mind for it.
    fn operate<T>(&self, kind: OpKind, path: &Path, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.lock();
        if state.dead {
            return Err(power_cut());
        }
        state.ops.push(Op { kind, path: path.to_owned(), after: None });
        let last = state.fail_at.is_some_and(|at| state.ops.len() > at);
        if !last {
            return effect(&mut state);
        }
        if !kind.is_sync() {
            // It may have got through to the disk, for all that anybody knows.
            let _ = effect(&mut state);
        }
        state.dead = true;
        Err(power_cut())
    }

    fn sync(
        &self,
        kind: OpKind,
        path: &Path,
        after: impl FnOnce(&State) -> io::Result<Option<OpKind>>,
        effect: impl FnOnce(&mut State, bool),
    ) -> io::Result<()> {
        let after = {
            let state = self.lock();
            if state.dead {
                return Err(power_cut());
            }
            after(&state)?
        };
        self.operate(kind, path, |state| {
            let op = Op { kind, path: path.to_owned(), after };
            if let Some(logged) = state.ops.last_mut() {
                *logged = op.clone();
            }
            if state.ignored.as_ref().is_some_and(|ignored| ignored(&op)) {
                return Ok(());
            }
            let mut fails = false;
            state.sync_faults.retain_mut(|(pass, matches)| {
                if fails || !matches(&op) {
                    return true;
                }
                fails = *pass == 0;
                *pass = pass.saturating_sub(1);
                !fails
            });
            effect(state, !fails);
            if fails { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
        })
    }
}

impl Fs for SimFs {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        let inode = if mode == OpenMode::CreateNew {
            self.operate(OpKind::Create, path, |state| {
                let inode = state.new_inode();
                let (dir, name) = state.dir_of(path)?;
                if dir.current.contains_key(&name) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                dir.change(OpKind::Create, DirChange::Set(name, inode));
                state.inodes.insert(inode, Inode { links: 1, ..Inode::default() });
                Ok(inode)
            })?
        } else {
            let state = self.lock();
            if state.dead {
                return Err(power_cut());
            }
            state.find(path).ok_or(io::ErrorKind::NotFound)?
        };
        Ok(Box::new(SimFile { fs: self.clone(), inode, path: path.to_owned(), writable: mode != OpenMode::Read }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> = {
            let state = self.lock();
            let known = |path: &Path| path.parent().is_none() || state.dirs.contains_key(path);
            path.ancestors().take_while(|path| !known(path)).map(Path::to_owned).collect()
        };
        for path in missing.iter().rev().filter(|path| !path.as_os_str().is_empty()) {
            self.operate(OpKind::CreateDir, path, |state| {
                state.dirs.entry(path.clone()).or_default();
                Ok(())
            })?;
        }
        if self.is_dead() { Err(power_cut()) } else { Ok(()) }
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let state = self.lock();
        if state.dead {
            return Err(power_cut());
        }
        let dir = state.dirs.get(path).ok_or(io::ErrorKind::NotFound)?;
        let files = dir.current.iter().map(|(name, inode)| state.inodes[inode].describe(name));
        let dirs = state.dirs.keys().filter(|dir| dir.parent() == Some(path)).map(|dir| describe_dir(dir));
        Ok(files.chain(dirs).collect())
    }

    fn entry(&self, path: &Path) -> io::Result<Entry> {
        let state = self.lock();
        if state.dead {
            return Err(power_cut());
        }
        if state.dirs.contains_key(path) {
            return Ok(describe_dir(path));
        }
        let inode = state.find(path).ok_or(io::ErrorKind::NotFound)?;
        let (_, name) = split(path)?;
        Ok(state.inodes[&inode].describe(&name))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(OpKind::Rename, to, |state| {
            let inode = state.find(from).ok_or(io::ErrorKind::NotFound)?;
            let (from_dir, from_name) = split(from)?;
            let (to_dir, to_name) = split(to)?;
            let replaced = state.find(to);
            if replaced == Some(inode) {
                return Ok(());
            }
            if from_dir == to_dir {
                let (dir, _) = state.dir_of(to)?;
                dir.change(OpKind::Rename, DirChange::Rename(from_name, to_name, inode));
            } else {
                state.dir_of(to)?.0.change(OpKind::Rename, DirChange::Set(to_name, inode));
                state.dir_of(from)?.0.change(OpKind::Rename, DirChange::Unset(from_name));
            }
            if let Some(replaced) = replaced {
                state.inode(replaced).links -= 1;
            }
            Ok(())
        })
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(OpKind::Link, to, |state| {
            let inode = state.find(from).ok_or(io::ErrorKind::NotFound)?;
            let (dir, name) = state.dir_of(to)?;
            if dir.current.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            dir.change(OpKind::Link, DirChange::Set(name, inode));
            state.inode(inode).links += 1;
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        if !self.is_dead() && self.lock().find(path).is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.operate(OpKind::Remove, path, |state| {
            let inode = state.find(path).ok_or(io::ErrorKind::NotFound)?;
            let (dir, name) = state.dir_of(path)?;
            dir.change(OpKind::Remove, DirChange::Unset(name));
            state.inode(inode).links -= 1;
            Ok(())
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let last_change = |state: &State| {
            let dir = state.dirs.get(path).ok_or(io::ErrorKind::NotFound)?;
            Ok(dir.pending.last().map(|(kind, _)| *kind))
        };
        self.sync(OpKind::SyncDir, path, last_change, |state, works| {
            if let Some(dir) = state.dirs.get_mut(path)
                && works
            {
                dir.pending.clear();
                dir.durable = dir.current.clone();
            }
        })
    }
}

struct SimFile {
    fs: SimFs,
    inode: u64,
    path: PathBuf,
    writable: bool,
}

impl SimFile {
    fn change(&self, kind: OpKind, effect: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.fs.operate(kind, &self.path, |state| {
            state.inode(self.inode).modified = state.ops.len() as u64;
            effect(state)
        })
    }

    fn sync(&self, kind: OpKind) -> io::Result<()> {
        let last_change = |state: &State| {
            Ok(state.inodes[&self.inode].pending.last().map(|change| match change {
                Change::Write(..) => OpKind::Write,
                Change::SetLen(_) => OpKind::SetLen,
            }))
        };
        self.fs.sync(kind, &self.path, last_change, |state, works| {
            let inode = state.inode(self.inode);
            let pending = std::mem::take(&mut inode.pending);
            if works {
                pending.iter().for_each(|change| inode.make_durable(change));
            } else {
                inode.doubtful.extend(pending);
            }
        })
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        // Taken out while it runs, so that it may read too.
        let hook = lock(&self.fs.read_hook).take();
        if let Some(mut hook) = hook {
            hook(&self.path, offset);
            lock(&self.fs.read_hook).get_or_insert(hook);
        }
        let state = self.fs.lock();
        if state.dead {
            return Err(power_cut());
        }
        let bytes = &state.inodes[&self.inode].written;
        let from = bytes.len().min(offset as usize);
        let n = buf.len().min(bytes.len() - from).min(state.read_limit.unwrap_or(usize::MAX));
        buf[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.change(OpKind::Write, |state| {
            let room = state.room();
            let inode = state.inode(self.inode);
            // As much as there is room for, sector by sector.
            let end = offset + buf.len() as u64;
            let new = (offset / SECTOR..end.div_ceil(SECTOR)).filter(|sector| !inode.sectors.contains(sector));
            let refused = new.clone().nth(usize::try_from(room / SECTOR).unwrap_or(usize::MAX));
            let end = refused.map_or(end, |sector| (sector * SECTOR).max(offset));
            let buf = &buf[..(end - offset) as usize];
            inode.sectors.extend(offset / SECTOR..end.div_ceil(SECTOR));
            if !buf.is_empty() {
                inode.change(Change::Write(offset, buf.to_vec()));
            }
            if refused.is_some() { Err(no_space()) } else { Ok(()) }
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.change(OpKind::Allocate, |state| {
            let (room, reserves) = (state.room(), !state.cannot_reserve);
            let inode = state.inode(self.inode);
            let sectors = 0..len.div_ceil(SECTOR);
            let new = sectors.clone().filter(|sector| !inode.sectors.contains(sector)).count() as u64;
            if reserves {
                if new > room / SECTOR {
                    return Err(no_space());
                }
                inode.sectors.extend(sectors);
            }
            if len > inode.written.len() as u64 {
                inode.change(Change::SetLen(len));
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(OpKind::SetLen, |state| {
            let inode = state.inode(self.inode);
            inode.sectors.retain(|sector| *sector < len.div_ceil(SECTOR));
            inode.change(Change::SetLen(len));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.fs.lock();
        if state.dead { Err(power_cut()) } else { Ok(state.inodes[&self.inode].written.len() as u64) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync(OpKind::SyncData)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync(OpKind::SyncAll)
    }
}

impl fmt::Debug for SimFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFs").field("ops", &self.op_count()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn describe_dir(path: &Path) -> Entry {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    Entry { name, is_dir: true, len: 0, modified: SystemTime::UNIX_EPOCH }
}

fn power_cut() -> io::Error {
    io::Error::other("the power is cut")
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(28)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
