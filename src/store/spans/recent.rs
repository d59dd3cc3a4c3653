//! Summaries of the spans that are in memory, made when they are asked for: searches are few, and spans many.
//!
//! Each part is of some requests that came one after the other. One that is made anew takes in those before it that are
//! not much larger, so that a span is summarised again a few times at most, and a memory table has a few summaries. Nor
//! does a part grow beyond what a summary is made for: making one takes memory too.

use crate::codec::stored::{self, Batch, StoredError};
use crate::error::Error;
use crate::lake::spans::summary::{Summary, SummaryBuilder};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// The summaries of a memory table.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    parts: Mutex<Vec<Part>>,
}

/// Spans of a part that is still taken into the next one, at most.
const MOST_SPANS: u64 = 65_536;

/// Summaries of some batches.
#[derive(Debug)]
struct Part {
    start: usize,
    end: usize,
    spans: u64,
    summaries: Vec<Arc<Summary>>,
}

impl Summaries {
    /// The summaries of all these batches, of which there may be more than at the last call.
    pub fn of(&self, batches: &[Bytes], kept_tags: &[String]) -> Result<Vec<Arc<Summary>>, Error> {
        // Who comes meanwhile waits for what is being made, rather than making it again.
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = parts.last().map_or(0, |part| part.end);
        if start < batches.len() {
            let heads = batches[start..].iter().map(|bytes| Batch::open(bytes));
            let mut spans = 0;
            for head in heads {
                spans += head.map_err(|error| Error::damaged(error.to_string()))?.count as u64;
            }
            let goes_on = |part: &&Part, spans: u64| part.spans <= 2 * spans && part.spans <= MOST_SPANS;
            while let Some(part) = parts.last().filter(|part| goes_on(part, spans)) {
                start = part.start;
                spans += part.spans;
                parts.pop();
            }
            let made = summarise(&batches[start..], kept_tags).map_err(|error| Error::damaged(error.to_string()))?;
            let open = |bytes: Bytes| Summary::of_bytes(bytes).map(Arc::new);
            let summaries = made.into_iter().map(open).collect::<Result<_, _>>();
            let summaries = summaries.map_err(|error| Error::internal(error.to_string()))?;
            parts.push(Part { start, end: batches.len(), spans, summaries });
        }
        Ok(parts.iter().flat_map(|part| part.summaries.iter().cloned()).collect())
    }
}

fn summarise(batches: &[Bytes], kept_tags: &[String]) -> Result<Vec<Bytes>, StoredError> {
    let mut places = Vec::new();
    let mut scopes = Vec::with_capacity(batches.len());
    for (number, bytes) in batches.iter().enumerate() {
        let mut batch = Batch::open(bytes)?;
        while let Some(place) = batch.next_span()? {
            places.push((number, place));
        }
        scopes.push(batch.scope);
    }
    // As the rows of a file: the times of a trace are in one row of the summary.
    places.sort_unstable_by(|(a, a_place), (b, b_place)| {
        let projects = scopes[*a].project.cmp(&scopes[*b].project);
        projects.then_with(|| (a_place.trace_low as i64).cmp(&(b_place.trace_low as i64)))
    });
    let mut builder = SummaryBuilder::new(kept_tags);
    let mut made = Vec::new();
    for (number, place) in places {
        let body = &batches[number][place.offset..place.offset + place.len];
        let span = stored::decode_span(body)?;
        if builder.is_full() && builder.begins_trace(&scopes[number], &span) {
            let full = std::mem::replace(&mut builder, SummaryBuilder::new(kept_tags));
            made.push(full.finish().into());
        }
        builder.push(&scopes[number], &span);
    }
    made.push(builder.finish().into());
    Ok(made)
}
