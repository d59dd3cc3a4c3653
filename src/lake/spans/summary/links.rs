//! The links between services, of each trace.
//!
//! ```text
//! names  = count:varint text*                         services in lower case
//! pairs  = count:varint (parent:varint child:varint)* numbers of names
//! traces = per trace, in order: count:varint (pair:varint  calls*2 + failed:varint  [errors:varint])*
//! hours  = count:varint (project:varint hour:zigzag traces:varint count:varint (pair calls errors:varint)*)*
//!          per project and hour that traces began in
//! ```

use super::blob::{Blob, Blobs};
use super::traces::TraceTable;
use crate::codec::pack::{Fault, Reader, put_text, put_varint, put_zigzag};
use crate::model::link::Link;
use bytes::Bytes;
use std::collections::BTreeMap;

/// An hour in milliseconds.
pub const MILLIS_AN_HOUR: i64 = 3_600_000;

/// The hour that a time in milliseconds lies in, counted from 1970.
pub fn hour_of(millis: i64) -> i64 {
    millis.div_euclid(MILLIS_AN_HOUR)
}

/// Where the links are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkIndex {
    names: Blob,
    traces: Blob,
    hours: Blob,
}

/// The links of one place's traces.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Names of services, in lower case.
    pub names: Vec<String>,
    /// The first link of each trace, and the end of the last trace's.
    starts: Vec<u32>,
    links: Vec<Link>,
}

/// Sums of an hour: the traces that began in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hour {
    /// The project's number.
    pub project: u32,
    /// Counted from 1970.
    pub hour: i64,
    pub traces: u64,
    /// Numbers of names, calls, errors.
    pub links: Vec<(u32, u32, u64, u64)>,
}

impl Links {
    /// The links of the traces one after the other; `ends` says where those of each end.
    pub fn new(names: Vec<String>, ends: Vec<u32>, links: Vec<Link>) -> Self {
        let mut starts = ends;
        starts.insert(0, 0);
        Links { names, starts, links }
    }

    /// The links of the trace of that row.
    pub fn of(&self, row: usize) -> &[Link] {
        let (Some(start), Some(end)) = (self.starts.get(row), self.starts.get(row + 1)) else { return &[] };
        self.links.get(*start as usize..*end as usize).unwrap_or_default()
    }

    /// Bytes of memory, about.
    pub fn memory(&self) -> usize {
        let names: usize = self.names.iter().map(|name| name.len() + 24).sum();
        names + self.starts.len() * 4 + self.links.len() * size_of::<Link>()
    }

    /// Writes the links; `projects` are the first rows of each.
    pub fn write(&self, table: &TraceTable, projects: &[u32], blobs: &mut Blobs) -> LinkIndex {
        let mut pairs: BTreeMap<(u32, u32), u64> = BTreeMap::new();
        for link in &self.links {
            *pairs.entry((link.parent, link.child)).or_default() += 1;
        }
        // The most frequent take the shortest numbers.
        let mut order: Vec<_> = pairs.iter().map(|(pair, count)| (std::cmp::Reverse(*count), *pair)).collect();
        order.sort_unstable();
        let mut names = Vec::new();
        put_varint(&mut names, self.names.len() as u64);
        for name in &self.names {
            put_text(&mut names, name);
        }
        put_varint(&mut names, order.len() as u64);
        for (number, (_, pair)) in order.iter().enumerate() {
            put_varint(&mut names, u64::from(pair.0));
            put_varint(&mut names, u64::from(pair.1));
            pairs.insert(*pair, number as u64);
        }
        let number = |link: &Link| pairs.get(&(link.parent, link.child)).copied().unwrap_or_default();

        let mut traces = Vec::new();
        let mut hours: BTreeMap<(u64, i64), Sums> = BTreeMap::new();
        for (row, trace) in table.rows().iter().enumerate() {
            let links = self.of(row);
            put_varint(&mut traces, links.len() as u64);
            for link in links {
                put_varint(&mut traces, number(link));
                put_varint(&mut traces, u64::from(link.calls) * 2 + u64::from(link.errors > 0));
                if link.errors > 0 {
                    put_varint(&mut traces, u64::from(link.errors));
                }
            }
            if let Some((earliest, _)) = trace.times {
                let project = projects.partition_point(|first| *first as usize <= row).saturating_sub(1) as u64;
                let (traces, sums) = hours.entry((project, hour_of(earliest))).or_default();
                *traces += 1;
                for link in links {
                    let (calls, errors) = sums.entry(number(link)).or_default();
                    *calls += u64::from(link.calls);
                    *errors += u64::from(link.errors);
                }
            }
        }
        let mut summed = Vec::new();
        put_varint(&mut summed, hours.len() as u64);
        for ((project, hour), (traces, sums)) in hours {
            put_varint(&mut summed, project);
            put_zigzag(&mut summed, hour);
            put_varint(&mut summed, traces);
            put_varint(&mut summed, sums.len() as u64);
            for (pair, (calls, errors)) in sums {
                for value in [pair, calls, errors] {
                    put_varint(&mut summed, value);
                }
            }
        }
        LinkIndex { names: blobs.put(&names), traces: blobs.put(&traces), hours: blobs.put(&summed) }
    }
}

/// Traces; calls and errors by the number of their pair.
type Sums = (u64, BTreeMap<u64, (u64, u64)>);

/// Names, and the pairs of their numbers.
type Pairs = (Vec<String>, Vec<(u32, u32)>);

fn read_names(bytes: &[u8]) -> Result<Pairs, Fault> {
    let mut reader = Reader::new(bytes);
    let mut names = Vec::new();
    for _ in 0..reader.length()? {
        names.push(reader.text()?.to_owned());
    }
    let mut pairs = Vec::new();
    for _ in 0..reader.length()? {
        pairs.push((name(&mut reader, names.len())?, name(&mut reader, names.len())?));
    }
    Ok((names, pairs))
}

/// The number of one of so many names or pairs.
fn name(reader: &mut Reader<'_>, count: usize) -> Result<u32, Fault> {
    let number = reader.varint()?;
    match u32::try_from(number) {
        Ok(number) if (number as usize) < count => Ok(number),
        _ => Err(Fault { what: "a number that names nothing", at: reader.position() }),
    }
}

impl LinkIndex {
    pub fn encode(&self, out: &mut Vec<u8>) {
        for blob in [&self.names, &self.traces, &self.hours] {
            blob.encode(out);
        }
    }

    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Fault> {
        let mut blob = || Blob::decode(reader);
        Ok(LinkIndex { names: blob()?, traces: blob()?, hours: blob()? })
    }

    /// The links of all traces.
    pub fn read<E: From<Fault>>(&self, mut read: impl FnMut(&Blob) -> Result<Bytes, E>) -> Result<Links, E> {
        let (names, pairs) = read_names(&read(&self.names)?)?;
        let traces = read(&self.traces)?;
        let mut reader = Reader::new(&traces);
        let mut links = Links { names, starts: vec![0], links: Vec::new() };
        while !reader.is_at_end() {
            for _ in 0..reader.length()? {
                let (parent, child) = pairs[name(&mut reader, pairs.len())? as usize];
                let calls = reader.varint()?;
                let errors = if calls & 1 == 1 { reader.varint()? as u32 } else { 0 };
                links.links.push(Link { parent, child, calls: (calls >> 1) as u32, errors });
            }
            links.starts.push(links.links.len() as u32);
        }
        Ok(links)
    }

    /// The sums of each hour, with the names that they number.
    pub fn hours<E: From<Fault>>(
        &self,
        mut read: impl FnMut(&Blob) -> Result<Bytes, E>,
    ) -> Result<(Vec<String>, Vec<Hour>), E> {
        let (names, pairs) = read_names(&read(&self.names)?)?;
        let bytes = read(&self.hours)?;
        let mut reader = Reader::new(&bytes);
        let mut hours = Vec::new();
        for _ in 0..reader.length()? {
            let project = reader.varint()? as u32;
            let hour = reader.zigzag()?;
            let traces = reader.varint()?;
            let mut links = Vec::new();
            for _ in 0..reader.length()? {
                let (parent, child) = pairs[name(&mut reader, pairs.len())? as usize];
                links.push((parent, child, reader.varint()?, reader.varint()?));
            }
            hours.push(Hour { project, hour, traces, links });
        }
        Ok((names, hours))
    }
}
