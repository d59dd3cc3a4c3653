//! Summaries of the spans that are in memory, made when they are asked for: searches are few, and spans many.
//!
//! Each is of some requests that came one after the other. One that is made anew takes in those before it that are not
//! much larger, so that a span is summarised again a few times at most, and a memory table has a few summaries.

use crate::codec::stored::{self, Batch, StoredError};
use crate::error::Error;
use crate::lake::summary::{Summary, SummaryBuilder};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// The summaries of a memory table.
#[derive(Debug, Default)]
pub(super) struct Summaries {
    parts: Mutex<Vec<Part>>,
}

/// A summary of the batches from the end of the part before it.
#[derive(Debug)]
struct Part {
    start: usize,
    end: usize,
    summary: Arc<Summary>,
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
            while let Some(part) = parts.last().filter(|part| part.summary.spans() <= 2 * spans) {
                start = part.start;
                spans += part.summary.spans();
                parts.pop();
            }
            let bytes = summarise(&batches[start..], kept_tags).map_err(|error| Error::damaged(error.to_string()))?;
            let summary = Summary::of_bytes(bytes).map_err(|error| Error::internal(error.to_string()))?;
            parts.push(Part { start, end: batches.len(), summary: Arc::new(summary) });
        }
        Ok(parts.iter().map(|part| part.summary.clone()).collect())
    }
}

fn summarise(batches: &[Bytes], kept_tags: &[String]) -> Result<Bytes, StoredError> {
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
    for (number, place) in places {
        let body = &batches[number][place.offset..place.offset + place.len];
        builder.push(&scopes[number], &stored::decode_span(body)?);
    }
    Ok(builder.finish().into())
}
