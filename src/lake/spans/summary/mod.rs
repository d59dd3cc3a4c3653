//! The summary of a data file: what a search reads instead of the spans.
//!
//! In: the rows of a file, in order, as they are written. Out: for a condition, the traces that may meet it; the times of
//! each trace; the distinct names; the links between services.
//!
//! It lies in the data file itself, behind the last row group, where Parquet readers pass over it: so it is written,
//! synced, committed, checked and deleted with the rows it is of, and there is no moment at which a file is without it.
//! The footer's metadata say where, under [`KEY`]. The spans in memory have summaries too, made when they are searched.
//!
//! ```text
//! traces      a row each, in the file's order: id, spans, earliest, newest                               traces
//! places      per local service: the traces that it has spans in, and of these those of each duration    rowset
//! dictionary  per token and service: the traces with a span of the service that has the token            keyed
//! rare        tokens of few traces, by a few bits of their hash                                          rare
//! names       services, span names, remote services, values of tags, what the ATS API lists              names
//! links       the calls between services of each trace, and of each hour                                 links
//! head        where all that is; it stays in memory
//! ```
//!
//! A token is a span's name, its remote service, an annotation's value, a tag's key, a tag with its value, or the
//! application of the ATS API where that is not the local service ([`hash::Token`]).
//!
//! Invariants:
//! * a trace that meets a condition is among those that the summary names for it; others may be (hashes meet, a rare
//!   token names a block of traces, a duration its half octave), so whoever searches looks at the spans;
//! * times, names and links are exact for the rows of the file, and say nothing of what other places have of a trace;
//! * it can be made again from the rows: a file without one, or with a damaged one, is read instead.
//!
//! What it takes, in bytes a span, of generated spans (three random tags each; 46.3 in all) and of recorded ones (41.1);
//! the others were measured beside the first but one:
//!
//! | layout | generated | recorded |
//! |---|---|---|
//! | this one: a list of traces for each token of more than one, for the rest blocks of 2,048 spans | 5.38 | 5.89 |
//! | lists for tokens of more than 4 traces only, of which 28 bits are kept | 5.28 | 5.61 |
//! | a list of traces for each token, the classic inverted index | 17.60 | 5.63 |
//! | rare tokens name their trace rather than a block | 7.54 | 5.62 |
//! | blocks of 512 spans; of 4,096 | 6.04; 4.90 | 5.61; 5.61 |
//! | lists for tokens of more than 16 | 5.25 | 5.20 |
//! | a Bloom filter for each block, of the same false answers, by its formula (11.5 bits a token, not 10) | 5.9 | 5.6 |
//!
//! Of those within 15 % of the bytes this one is the fastest to ask: a list of traces for whatever more than one has, so
//! that what is frequent is never looked at in vain (a service with a tag: 16 ms, not 37, at the median); a rare token is found by reading one kilobyte, and costs the
//! look at a few columns of one page; one that is nowhere, that of a quarter of a page. Larger blocks and higher bounds
//! save a hundredth of the bytes, and make what is looked at in vain twice or four times as long.

mod applications;
mod bits;
mod blob;
mod build;
pub mod hash;
mod keyed;
mod links;
mod names;
mod of_file;
mod rare;
mod read;
mod rowset;
#[cfg(test)]
mod tests;
mod traces;

pub use build::SummaryBuilder;
pub use links::{Hour, Links, MILLIS_AN_HOUR, hour_of};
pub use names::{MOST_NAMES, NameKind, NameList, owner_of};
pub use read::{Matches, Summary};
pub use rowset::RowSet;
pub use traces::{TraceRow, TraceTable};

use crate::codec::pack::{Fault, Reader, put_text, put_varint};
use keyed::KeyedIndex;
use links::LinkIndex;
use rare::RareIndex;
use traces::TraceColumns;

/// The key among the footer's metadata; the value is offset and length in decimal, a space between.
pub const KEY: &str = "spanlake.summary";

/// What a summary ends with: name and version of the format. One of another version is made again from the rows.
const MAGIC: [u8; 8] = *b"spansum1";

/// What stands before the magic: offset, stored and raw length of the head.
const TRAILER: usize = 24 + MAGIC.len();

/// The place of a service's traces, beside its durations.
const PRESENCE: u8 = u8::MAX;

/// The key of a service's traces with spans of a half octave, or of all its traces.
fn place_key(section: u32, octave: u8) -> u64 {
    u64::from(section) << 8 | u64::from(octave)
}

/// A local service of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    project: u32,
    /// In lower case; empty for spans without one.
    service: String,
    /// How many traces it has.
    rows: u32,
}

/// Where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Head {
    spans: u64,
    traces: u32,
    /// Traces of which no span has a time.
    timeless: u32,
    /// Each project with its first row.
    projects: Vec<(String, u32)>,
    sections: Vec<Section>,
    columns: TraceColumns,
    places: KeyedIndex,
    /// Bits of a hash that the dictionary keeps.
    dictionary_bits: u32,
    dictionary: KeyedIndex,
    rare: RareIndex,
    names: KeyedIndex,
    links: LinkIndex,
}

impl Head {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.spans);
        put_varint(out, u64::from(self.traces));
        put_varint(out, u64::from(self.timeless));
        put_varint(out, self.projects.len() as u64);
        for (project, first) in &self.projects {
            put_text(out, project);
            put_varint(out, u64::from(*first));
        }
        put_varint(out, self.sections.len() as u64);
        for section in &self.sections {
            put_varint(out, u64::from(section.project));
            put_text(out, &section.service);
            put_varint(out, u64::from(section.rows));
        }
        self.columns.encode(out);
        self.places.encode(out);
        out.push(self.dictionary_bits as u8);
        self.dictionary.encode(out);
        self.rare.encode(out);
        self.names.encode(out);
        self.links.encode(out);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let small = |reader: &mut Reader<'_>| {
            let number = reader.varint()?;
            u32::try_from(number).map_err(|_| Fault { what: "a number beyond reason", at: reader.position() })
        };
        let spans = reader.varint()?;
        let (traces, timeless) = (small(&mut reader)?, small(&mut reader)?);
        let mut projects = Vec::new();
        for _ in 0..reader.length()? {
            projects.push((reader.text()?.to_owned(), small(&mut reader)?));
        }
        let mut sections = Vec::new();
        for _ in 0..reader.length()? {
            let project = small(&mut reader)?;
            let service = reader.text()?.to_owned();
            sections.push(Section { project, service, rows: small(&mut reader)? });
        }
        let columns = TraceColumns::decode(&mut reader)?;
        let places = KeyedIndex::decode(&mut reader)?;
        let dictionary_bits = u32::from(reader.byte()?);
        if !(1..=63).contains(&dictionary_bits) {
            return Err(Fault { what: "a width beyond reason", at: reader.position() });
        }
        Ok(Head {
            spans,
            traces,
            timeless,
            projects,
            sections,
            columns,
            places,
            dictionary_bits,
            dictionary: KeyedIndex::decode(&mut reader)?,
            rare: RareIndex::decode(&mut reader)?,
            names: KeyedIndex::decode(&mut reader)?,
            links: LinkIndex::decode(&mut reader)?,
        })
    }
}
