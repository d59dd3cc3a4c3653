//! Reads summaries.

use super::blob::Blob;
use super::hash::{Token, half_octave};
use super::links::{Hour, Links};
use super::names::{NameKind, NameList, list_key, read_entry};
use super::rowset::{RowSet, read_list};
use super::traces::TraceTable;
use super::{Head, MAGIC, PRESENCE, Section, TRAILER, place_key};
use crate::codec::pack::{Fault, Reader};
use crate::lake::data_file::Damaged;
use crate::lake::source::Source;
use bytes::Bytes;
use parquet::file::reader::ChunkReader;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

/// Bytes of decompressed pieces that are kept, of all summaries together.
const CACHE_BYTES: u64 = 48 << 20;
/// A piece larger than this is not kept as it is: what is made of it is.
const LARGEST_KEPT: usize = 1 << 20;

/// The pieces used last, by summary and offset.
static CACHE: LazyLock<Cache<(u64, usize), Kept, ByBytes>> =
    LazyLock::new(|| Cache::with_weighter(4_096, CACHE_BYTES, ByBytes));
static NUMBERS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone)]
enum Kept {
    Bytes(Bytes),
    Traces(Arc<TraceTable>),
    Links(Arc<Links>),
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<(u64, usize), Kept> for ByBytes {
    fn weight(&self, _: &(u64, usize), kept: &Kept) -> u64 {
        let bytes = match kept {
            Kept::Bytes(bytes) => bytes.len(),
            Kept::Traces(traces) => traces.memory(),
            Kept::Links(links) => links.memory(),
        };
        bytes as u64 + 64
    }
}

/// Where a summary's bytes are.
#[derive(Debug)]
enum Place {
    Memory(Bytes),
    File { source: Source, offset: u64, path: PathBuf },
}

/// A summary, open. What is read of it is kept as long as there is room.
#[derive(Debug)]
pub struct Summary {
    number: u64,
    place: Place,
    length: u64,
    head: Head,
}

/// Why a piece could not be read.
enum Unreadable {
    Fault(Fault),
    Damaged(Damaged),
}

impl From<Fault> for Unreadable {
    fn from(fault: Fault) -> Self {
        Unreadable::Fault(fault)
    }
}

type Read<T> = Result<T, Unreadable>;

/// The traces that may meet a condition.
#[derive(Clone, Debug)]
pub struct Matches {
    pub rows: RowSet,
    /// Those that were told one by one; the others lie in a block of which one or another may.
    pub told: RowSet,
}

/// A service of a project, as the summary numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionId(u32);

impl Summary {
    /// A summary in memory.
    pub fn of_bytes(bytes: Bytes) -> Result<Summary, Damaged> {
        let length = bytes.len() as u64;
        Summary::open(Place::Memory(bytes), length)
    }

    /// A summary that lies in a file.
    pub fn of_file(source: Source, offset: u64, length: u64, path: PathBuf) -> Result<Summary, Damaged> {
        Summary::open(Place::File { source, offset, path }, length)
    }

    fn open(place: Place, length: u64) -> Result<Summary, Damaged> {
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let mut summary = Summary { number, place, length, head: Head::default() };
        summary.head = summary.read_head(length).map_err(|error| summary.damaged(error))?;
        Ok(summary)
    }

    fn read_head(&self, length: u64) -> Read<Head> {
        let short = Fault { what: "no summary", at: 0 };
        let at = usize::try_from(length).ok().and_then(|length| length.checked_sub(TRAILER)).ok_or(short)?;
        let trailer = self.bytes(at, TRAILER)?;
        if trailer[24..] != MAGIC {
            return Err(Fault { what: "a summary of another version", at }.into());
        }
        let mut reader = Reader::new(&trailer);
        let mut number = || reader.array().map(u64::from_le_bytes).map(|number| number as usize);
        let blob = Blob { offset: number()?, stored: number()?, raw: number()? };
        if blob.offset.checked_add(blob.stored) != Some(at) || blob.raw > 1 << 30 {
            return Err(Fault { what: "a head that is elsewhere", at }.into());
        }
        let bytes = blob.open(&self.bytes(blob.offset, blob.stored)?)?;
        Ok(Head::decode(&bytes)?)
    }

    /// Bytes as they are stored.
    fn bytes(&self, offset: usize, length: usize) -> Read<Bytes> {
        match &self.place {
            Place::Memory(bytes) => match offset.checked_add(length).filter(|end| *end <= bytes.len()) {
                Some(end) => Ok(bytes.slice(offset..end)),
                None => Err(Fault { what: "a piece beyond the end", at: offset }.into()),
            },
            Place::File { source, offset: start, path } => {
                source.get_bytes(start + offset as u64, length).map_err(|error| {
                    Unreadable::Damaged(Damaged { path: path.clone(), offset: source.last(), what: error.to_string() })
                })
            }
        }
    }

    fn read(&self, blob: &Blob) -> Read<Bytes> {
        let key = (self.number, blob.offset);
        if let Some(Kept::Bytes(bytes)) = CACHE.get(&key) {
            return Ok(bytes);
        }
        let bytes = blob.open(&self.bytes(blob.offset, blob.stored)?)?;
        if bytes.len() <= LARGEST_KEPT {
            CACHE.insert(key, Kept::Bytes(bytes.clone()));
        }
        Ok(bytes)
    }

    fn read_once(&self, blob: &Blob) -> Read<Bytes> {
        Ok(blob.open(&self.bytes(blob.offset, blob.stored)?)?)
    }

    fn damaged(&self, error: Unreadable) -> Damaged {
        match (error, &self.place) {
            (Unreadable::Damaged(damaged), _) => damaged,
            (Unreadable::Fault(fault), Place::File { offset, path, .. }) => Damaged {
                path: path.clone(),
                offset: offset + fault.at as u64,
                what: format!("the summary has {}", fault.what),
            },
            (Unreadable::Fault(fault), Place::Memory(_)) => Damaged {
                path: PathBuf::from("memory"),
                offset: fault.at as u64,
                what: format!("the summary has {}", fault.what),
            },
        }
    }

    /// Tells it from all others of the process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether there are traces none of whose spans has a time.
    pub fn has_timeless(&self) -> bool {
        self.head.timeless > 0
    }

    /// How many bytes it takes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many spans it is of.
    pub fn spans(&self) -> u64 {
        self.head.spans
    }

    fn project(&self, project: &str) -> Option<u32> {
        self.head.projects.iter().position(|(name, _)| name == project).map(|number| number as u32)
    }

    /// The rows of a project's traces; empty where it has none.
    pub fn project_rows(&self, project: &str) -> Range<u32> {
        let Some(number) = self.project(project) else { return 0..0 };
        let start = self.head.projects.get(number as usize).map_or(0, |(_, first)| *first);
        start..self.head.projects.get(number as usize + 1).map_or(self.head.traces, |(_, first)| *first)
    }

    /// The times of all traces.
    pub fn traces(&self) -> Result<Arc<TraceTable>, Damaged> {
        // The offset of the table's first piece is free as a key: it is never kept itself.
        let key = (self.number, usize::MAX);
        if let Some(Kept::Traces(traces)) = CACHE.get(&key) {
            return Ok(traces);
        }
        let projects: Vec<u32> = self.head.projects.iter().map(|(_, first)| *first).collect();
        let read = self.head.columns.read(self.head.traces as usize, &projects, |blob| self.read_once(blob));
        let traces = Arc::new(read.map_err(|error| self.damaged(error))?);
        CACHE.insert(key, Kept::Traces(traces.clone()));
        Ok(traces)
    }

    /// The section of a local service (in lower case) of a project.
    pub fn section(&self, project: &str, service: &str) -> Option<SectionId> {
        let project = self.project(project)?;
        let is_it = |section: &Section| section.project == project && section.service == service;
        self.head.sections.iter().position(is_it).map(|number| SectionId(number as u32))
    }

    /// The rows of a section's traces, in order.
    fn presence(&self, section: u32) -> Read<Vec<u32>> {
        let key = place_key(section, PRESENCE);
        let mut rows = Vec::new();
        let read = |blob: &Blob| self.read(blob);
        self.head.places.each(key, key, read, |_, entry| {
            rows = read_list(entry, self.head.traces)?;
            Ok(())
        })?;
        Ok(rows)
    }

    /// The traces that have spans of a service.
    pub fn of_section(&self, section: SectionId) -> Result<RowSet, Damaged> {
        let mut set = self.no_rows();
        let rows = self.presence(section.0).map_err(|error| self.damaged(error))?;
        rows.into_iter().for_each(|row| set.insert(row));
        Ok(set)
    }

    /// No row of those that there are.
    pub fn no_rows(&self) -> RowSet {
        RowSet::empty(self.head.traces as usize)
    }

    /// The traces that may have a span with the token: of that section, or of any of the project's.
    pub fn having(&self, project: &str, section: Option<SectionId>, token: Token<'_>) -> Result<Matches, Damaged> {
        self.find_token(project, section, token).map_err(|error| self.damaged(error))
    }

    fn find_token(&self, project: &str, section: Option<SectionId>, token: Token<'_>) -> Read<Matches> {
        let mut told = self.no_rows();
        let Some(project_number) = self.project(project) else { return Ok(Matches { rows: told.clone(), told }) };
        let hash = token.hash();
        let key = hash >> (64 - self.head.dictionary_bits);
        let mut found = Vec::new();
        self.head.dictionary.each(
            key,
            key,
            |blob| self.read(blob),
            |_, entry| {
                let mut reader = Reader::new(entry);
                let number = reader.varint()?;
                let wanted = match section {
                    Some(SectionId(section)) => u64::from(section) == number,
                    None => {
                        let known = usize::try_from(number).ok().and_then(|number| self.head.sections.get(number));
                        known.is_some_and(|section| section.project == project_number)
                    }
                };
                if wanted {
                    found.push((number as u32, entry[reader.position()..].to_vec()));
                }
                Ok::<_, Unreadable>(())
            },
        )?;
        for (number, list) in &found {
            let Some(universe) = self.head.sections.get(*number as usize).map(|section| section.rows) else { continue };
            let rows = self.presence(*number)?;
            for rank in read_list(list, universe)? {
                if let Some(row) = rows.get(rank as usize) {
                    told.insert(*row);
                }
            }
        }
        let mut rows = told.clone();
        if section.is_some() && !found.is_empty() {
            return Ok(Matches { rows, told });
        }
        let part = |blob: Blob| self.bytes(blob.offset, blob.stored);
        let blocks = self.head.rare.find(hash, |blob| self.read(blob), part)?;
        if !blocks.is_empty() {
            let table = self.traces().map_err(Unreadable::Damaged)?;
            let mut rare = self.no_rows();
            blocks.into_iter().for_each(|block| rare.insert_all(table.block_rows(block)));
            if let Some(section) = section {
                rare.intersect(&self.of_section(section).map_err(Unreadable::Damaged)?);
            }
            rows.unite(&rare);
        }
        Ok(Matches { rows, told })
    }

    /// The traces that may have a span of a duration between two, both included: of that section, or of any of the
    /// project's.
    pub fn lasting(
        &self,
        project: &str,
        section: Option<SectionId>,
        least: i64,
        most: Option<i64>,
    ) -> Result<RowSet, Damaged> {
        let mut set = self.no_rows();
        let Some(project) = self.project(project) else { return Ok(set) };
        let from = half_octave(least).unwrap_or_default();
        let Some(to) = half_octave(most.unwrap_or(i64::MAX)) else { return Ok(set) };
        for (number, known) in self.head.sections.iter().enumerate() {
            if known.project == project && section.is_none_or(|SectionId(section)| section == number as u32) {
                self.find_lasting(number as u32, from, to, &mut set).map_err(|error| self.damaged(error))?;
            }
        }
        Ok(set)
    }

    fn find_lasting(&self, section: u32, from: u8, to: u8, set: &mut RowSet) -> Read<()> {
        let Some(known) = self.head.sections.get(section as usize) else { return Ok(()) };
        let rows = self.presence(section)?;
        let read = |blob: &Blob| self.read(blob);
        self.head.places.each(place_key(section, from), place_key(section, to), read, |_, entry| {
            for rank in read_list(entry, known.rows)? {
                if let Some(row) = rows.get(rank as usize) {
                    set.insert(*row);
                }
            }
            Ok(())
        })
    }

    /// Adds the names of an owner to a list.
    pub fn names(&self, kind: NameKind, project: &str, owner: &str, list: &mut NameList) -> Result<(), Damaged> {
        let Some(project) = self.project(project) else { return Ok(()) };
        let key = list_key(kind, project, owner);
        let read = |blob: &Blob| self.read(blob);
        let each = self.head.names.each(key, key, read, |_, entry| Ok(read_entry(entry, kind, project, owner, list)?));
        each.map_err(|error| self.damaged(error))
    }

    /// The links of each trace, by its row.
    pub fn links(&self) -> Result<Arc<Links>, Damaged> {
        let key = (self.number, usize::MAX - 1);
        if let Some(Kept::Links(links)) = CACHE.get(&key) {
            return Ok(links);
        }
        let links = self.head.links.read(|blob| self.read_once(blob)).map_err(|error| self.damaged(error))?;
        let links = Arc::new(links);
        CACHE.insert(key, Kept::Links(links.clone()));
        Ok(links)
    }

    /// The sums of a project's links of each hour, with the names that they number.
    pub fn hours(&self, project: &str) -> Result<(Vec<String>, Vec<Hour>), Damaged> {
        let read = self.head.links.hours(|blob| self.read(blob));
        let (names, mut hours) = read.map_err(|error| self.damaged(error))?;
        let project = self.project(project);
        hours.retain(|hour| Some(hour.project) == project);
        Ok((names, hours))
    }
}
