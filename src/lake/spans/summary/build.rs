//! Makes the summary of rows, as they are written.

use super::applications::Applications;
use super::blob::Blobs;
use super::hash::{Token, half_octave, lower, tag_hash};
use super::keyed::KeyedWriter;
use super::links::Links;
use super::names::{NameKind, NameSets};
use super::rare::RareIndex;
use super::rowset::put_list;
use super::traces::{TraceRow, TraceTable};
use super::{Head, MAGIC, PRESENCE, Section, place_key};
use crate::codec::pack::put_varint;
use crate::model::link::{Link, LinkSpan, Linker};
use crate::model::{Scope, Span};
use hashbrown::HashTable;
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// A token that no more traces of a service have is rare: see [`super::rare`].
const RARE: usize = 1;
/// Marks the section of a token that is a name or a key.
const TOLD: u32 = 1 << 31;
/// Spans of a summary, about, and the memory that making one takes: a file of more has several, so that merging files
/// takes no more memory than writing one.
const MOST_SPANS: u64 = 131_072;
const MOST_BYTES: usize = 32 << 20;
/// Bits of a common token's hash that are kept, practically all: where the dictionary has a token of a service, nothing
/// else is looked at for it. A quarter of them would do to tell tokens apart, and save a tenth of a byte a span.
const DICTIONARY_BITS: u32 = 63;

/// Of names and keys, which are few, also the rare ones are told trace by trace, as long as they are no more than this:
/// what a service has hardly ever is what people look for.
const MOST_TOLD: usize = 8_192;

/// A token of a service's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Occurrence {
    hash: u64,
    /// With [`TOLD`] for a name or a key.
    section: u32,
    /// The trace's number among those of the service.
    rank: u32,
}

/// A local service of a project, with the traces that it has spans in.
#[derive(Debug)]
struct SectionBuilder {
    project: u32,
    /// In lower case; empty for spans without one.
    service: String,
    rows: Vec<u32>,
}

/// A service's name as it was sent.
#[derive(Debug)]
struct Sent {
    hash: u64,
    project: u32,
    text: Box<str>,
    /// Whether it was anybody's local service.
    is_local: bool,
    section: u32,
    /// Its number for the linker.
    name: u32,
}

/// Makes a summary. Rows come in the order of a data file: by project, then by trace.
#[derive(Debug)]
pub struct SummaryBuilder {
    spans: u64,
    projects: Vec<(String, u32)>,
    rows: Vec<TraceRow>,
    sections: Vec<SectionBuilder>,
    section_numbers: HashMap<(u32, String), u32>,
    sent: HashTable<Sent>,
    link_names: Vec<String>,
    link_numbers: HashMap<String, u32>,
    occurrences: Vec<Occurrence>,
    /// Section, half octave, rank.
    durations: Vec<(u32, u8, u32)>,
    names: NameSets,
    applications: Applications,
    /// What the present trace has already: hashes of tokens with their sections.
    in_trace: HashTable<u64>,
    link_spans: Vec<LinkSpan>,
    linker: Linker,
    links: Vec<Link>,
    link_ends: Vec<u32>,
}

/// What [`SummaryBuilder::section`] found of a local service.
#[derive(Clone, Copy)]
struct Local {
    section: u32,
    name: Option<u32>,
}

impl SummaryBuilder {
    /// `kept_tags` are the keys of tags whose values are kept however many they are.
    pub fn new(kept_tags: &[String]) -> Self {
        SummaryBuilder {
            spans: 0,
            projects: Vec::new(),
            rows: Vec::new(),
            sections: Vec::new(),
            section_numbers: HashMap::new(),
            sent: HashTable::new(),
            link_names: Vec::new(),
            link_numbers: HashMap::new(),
            occurrences: Vec::new(),
            durations: Vec::new(),
            names: NameSets::new(kept_tags),
            applications: Applications::default(),
            in_trace: HashTable::new(),
            link_spans: Vec::new(),
            linker: Linker::default(),
            links: Vec::new(),
            link_ends: Vec::new(),
        }
    }

    /// Adds the next row.
    pub fn push(&mut self, scope: &Scope<'_>, span: &Span<'_>) {
        if self.begins_trace(scope, span) {
            self.end_trace();
            if self.projects.last().is_none_or(|(project, _)| *project != scope.project) {
                self.projects.push((scope.project.clone().into_owned(), self.rows.len() as u32));
            }
            self.rows.push(TraceRow::new(span.trace_id.low));
        }
        self.spans += 1;
        let project = self.projects.len() as u32 - 1;
        if let Some(row) = self.rows.last_mut() {
            row.add(span.timestamp);
        }
        let local = self.local(project, span.local.as_ref().and_then(|local| local.service.as_deref()));
        let remote = span.remote.as_ref().and_then(|remote| remote.service.as_deref());
        let remote_number = remote.map(|remote| self.sent(project, remote, false).name);
        // The names were looked up already.
        let facts = LinkSpan::of(span, |_| 0);
        self.link_spans.push(LinkSpan { local: local.name, remote: remote_number, ..facts });
        self.tokens(project, local.section, span, remote);
        let service = self.sections.get(local.section as usize).map_or("", |section| &section.service);
        let namespace = scope.namespace.as_deref();
        if let Some(application) = self.applications.add(&mut self.names, project, namespace, service, span) {
            self.token(local.section, application, TOLD);
        }
    }

    fn tokens(&mut self, project: u32, section: u32, span: &Span<'_>, remote: Option<&str>) {
        if let Some(name) = span.name.as_deref()
            && self.token(section, Token::Name(name).hash(), TOLD)
        {
            let sections = &self.sections;
            let owner = || sections.get(section as usize).map(|section| section.service.clone()).unwrap_or_default();
            self.names.add(NameKind::Span, project, u64::from(section), name, owner);
        }
        if let Some(remote) = remote
            && self.token(section, Token::Remote(remote).hash(), TOLD)
        {
            let sections = &self.sections;
            let owner = || sections.get(section as usize).map(|section| section.service.clone()).unwrap_or_default();
            self.names.add(NameKind::Remote, project, u64::from(section), remote, owner);
        }
        if let Some(octave) = span.duration.and_then(half_octave)
            && self.is_new_in_trace(u64::from(octave) + 1, section)
        {
            self.durations.push((section, octave, self.rank(section)));
        }
        for annotation in &span.annotations {
            self.token(section, Token::Word(&annotation.value).hash(), 0);
        }
        for (key, value) in &span.tags {
            let key_hash = Token::Word(key).hash();
            self.token(section, key_hash, TOLD);
            if self.token(section, tag_hash(key_hash, value), 0) {
                self.names.add_value(project, key, key_hash, value);
            }
        }
    }

    /// Whether the trace has had no such token in the section.
    fn is_new_in_trace(&mut self, hash: u64, section: u32) -> bool {
        let key = hash ^ u64::from(section).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let is_key = |known: &u64| *known == key;
        if self.in_trace.find(key, is_key).is_some() {
            return false;
        }
        self.in_trace.insert_unique(key, key, |key| *key);
        true
    }

    fn rank(&self, section: u32) -> u32 {
        self.sections.get(section as usize).map_or(0, |section| section.rows.len().saturating_sub(1) as u32)
    }

    /// Adds a token; `told` marks a name or a key. Whether it is new in the trace.
    fn token(&mut self, section: u32, hash: u64, told: u32) -> bool {
        let is_new = self.is_new_in_trace(hash, section);
        if is_new {
            let rank = self.rank(section);
            self.occurrences.push(Occurrence { hash, section: section | told, rank });
        }
        is_new
    }

    fn local(&mut self, project: u32, service: Option<&str>) -> Local {
        let local = match service {
            Some(service) => {
                let sent = self.sent(project, service, true);
                Local { section: sent.section, name: Some(sent.name) }
            }
            None => Local { section: self.section(project, ""), name: None },
        };
        let row = self.rows.len().saturating_sub(1) as u32;
        if let Some(section) = self.sections.get_mut(local.section as usize)
            && section.rows.last() != Some(&row)
        {
            section.rows.push(row);
        }
        local
    }

    /// The numbers of a service's name as it was sent.
    fn sent(&mut self, project: u32, text: &str, is_local: bool) -> Numbers {
        let hash = xxh3_64(text.as_bytes()).wrapping_add(u64::from(project));
        let is_it = |sent: &Sent| sent.project == project && *sent.text == *text;
        if let Some(sent) = self.sent.find_mut(hash, is_it) {
            if is_local && !sent.is_local {
                sent.is_local = true;
                self.names.add(NameKind::Service, project, 0, text, String::new);
            }
            return Numbers { section: sent.section, name: sent.name };
        }
        if is_local {
            self.names.add(NameKind::Service, project, 0, text, String::new);
        }
        let folded = lower(text);
        let section = self.section(project, &folded);
        let name = match self.link_numbers.get(&*folded) {
            Some(number) => *number,
            None => {
                let number = self.link_names.len() as u32;
                self.link_names.push(folded.clone().into_owned());
                self.link_numbers.insert(folded.into_owned(), number);
                number
            }
        };
        self.sent
            .insert_unique(hash, Sent { hash, project, text: text.into(), is_local, section, name }, |sent| sent.hash);
        Numbers { section, name }
    }

    fn section(&mut self, project: u32, service: &str) -> u32 {
        if let Some(number) = self.section_numbers.get(&(project, service.to_owned())) {
            return *number;
        }
        let number = self.sections.len() as u32;
        self.sections.push(SectionBuilder { project, service: service.to_owned(), rows: Vec::new() });
        self.section_numbers.insert((project, service.to_owned()), number);
        number
    }

    fn end_trace(&mut self) {
        if self.rows.is_empty() {
            return;
        }
        self.linker.link_named(&mut self.link_spans, &self.link_names, &mut self.links);
        self.link_ends.push(self.links.len() as u32);
        self.link_spans.clear();
        if self.in_trace.capacity() > 64 + 16 * self.in_trace.len() {
            // A trace of many spans has made it large, and clearing it for each small one would take its time.
            self.in_trace = HashTable::new();
        }
        self.in_trace.clear();
    }

    /// Whether what comes after the present trace is better put into another summary.
    pub fn is_full(&self) -> bool {
        self.spans >= MOST_SPANS || self.memory() >= MOST_BYTES
    }

    /// Whether a row is the first of its trace.
    pub fn begins_trace(&self, scope: &Scope<'_>, span: &Span<'_>) -> bool {
        let is_project = self.projects.last().is_some_and(|(project, _)| *project == scope.project);
        !is_project || self.rows.last().is_none_or(|row| row.low != span.trace_id.low)
    }

    /// How many rows were added.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        self.occurrences.capacity() * size_of::<Occurrence>()
            + self.rows.capacity() * size_of::<TraceRow>()
            + self.links.capacity() * size_of::<Link>()
            + self.sections.iter().map(|section| section.rows.capacity() * 4).sum::<usize>()
    }

    /// The summary's bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_trace();
        let mut blobs = Blobs::default();
        let table = TraceTable::new(std::mem::take(&mut self.rows));
        let projects: Vec<u32> = self.projects.iter().map(|(_, first)| *first).collect();
        let columns = table.encode(&projects, &mut blobs);
        let places = self.write_places(&mut blobs);
        let (dictionary_bits, dictionary, rare) = self.write_tokens(&table, &mut blobs);
        let names = self.names.write(&mut blobs);
        let links = Links::new(self.link_names, self.link_ends, self.links).write(&table, &projects, &mut blobs);
        let section = |section: SectionBuilder| Section {
            project: section.project,
            service: section.service,
            rows: section.rows.len() as u32,
        };
        let head = Head {
            spans: self.spans,
            traces: table.rows().len() as u32,
            timeless: table.rows().iter().filter(|row| row.times.is_none()).count() as u32,
            projects: self.projects,
            sections: self.sections.into_iter().map(section).collect(),
            columns,
            places,
            dictionary_bits,
            dictionary,
            rare,
            names,
            links,
        };
        let mut encoded = Vec::new();
        head.encode(&mut encoded);
        let blob = blobs.put(&encoded);
        let mut bytes = blobs.finish();
        for number in [blob.offset, blob.stored, blob.raw] {
            bytes.extend_from_slice(&(number as u64).to_le_bytes());
        }
        bytes.extend_from_slice(&MAGIC);
        bytes
    }

    /// Writes which traces each service has, and of which durations.
    fn write_places(&mut self, blobs: &mut Blobs) -> super::keyed::KeyedIndex {
        let mut writer = KeyedWriter::default();
        let mut durations = std::mem::take(&mut self.durations);
        durations.sort_unstable();
        let mut durations = durations.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).peekable();
        let mut ranks = Vec::new();
        let traces = self.link_ends.len() as u32;
        for (number, section) in self.sections.iter().enumerate() {
            while let Some(chunk) = durations.next_if(|chunk| chunk[0].0 == number as u32) {
                ranks.clear();
                ranks.extend(chunk.iter().map(|(_, _, rank)| *rank));
                let key = place_key(number as u32, chunk[0].1);
                writer.push(key, blobs, |out| put_list(&ranks, section.rows.len() as u32, out));
            }
            let key = place_key(number as u32, PRESENCE);
            writer.push(key, blobs, |out| put_list(&section.rows, traces, out));
        }
        writer.finish(blobs)
    }

    fn write_tokens(&mut self, table: &TraceTable, blobs: &mut Blobs) -> (u32, super::keyed::KeyedIndex, RareIndex) {
        let mut occurrences = std::mem::take(&mut self.occurrences);
        occurrences.sort_unstable();
        let groups = || occurrences.chunk_by(|a, b| (a.hash, a.section) == (b.hash, b.section));
        let (mut told, mut rare_count) = (0, 0);
        for group in groups().filter(|group| group.len() <= RARE) {
            rare_count += group.len();
            told += usize::from(group[0].section & TOLD != 0);
        }
        let most_told = if told <= MOST_TOLD { u32::MAX } else { TOLD - 1 };
        let is_rare = |group: &[Occurrence]| group.len() <= RARE && group[0].section & most_told & TOLD == 0;
        let bits = DICTIONARY_BITS;
        let mut rare = Vec::with_capacity(rare_count);
        let mut writer = KeyedWriter::default();
        let mut ranks = Vec::new();
        for group in groups() {
            let number = group[0].section & !TOLD;
            let section = &self.sections[number as usize];
            if is_rare(group) {
                let block = |occurrence: &Occurrence| {
                    let row = section.rows.get(occurrence.rank as usize).copied().unwrap_or_default();
                    (occurrence.hash, table.block_of(row))
                };
                rare.extend(group.iter().map(block));
                continue;
            }
            ranks.clear();
            ranks.extend(group.iter().map(|occurrence| occurrence.rank));
            writer.push(group[0].hash >> (64 - bits), blobs, |out| {
                put_varint(out, u64::from(number));
                put_list(&ranks, section.rows.len() as u32, out);
            });
        }
        let dictionary = writer.finish(blobs);
        drop(occurrences);
        (bits, dictionary, RareIndex::write(&mut rare, table.blocks(), blobs))
    }
}

/// The numbers of a service.
#[derive(Clone, Copy)]
struct Numbers {
    section: u32,
    name: u32,
}
