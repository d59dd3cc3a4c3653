//! The spans of several traces at once: one pass over each file, however many traces lie in it.
//!
//! Whole, to be given out; or some columns of them, to be looked at as they go by.

use super::origin::Rows as Found;
use super::trace::weight;
use crate::codec::stored::StoredError;
use crate::error::{Error, Result};
use crate::lake::spans::rows::Rows;
use crate::model::{Scope, Span};
use crate::stop::Stop;
use crate::store::Snapshot;
use std::collections::HashMap;

/// Rows read at a time.
const BATCH_ROWS: usize = 2_048;
/// Bytes of spans that are read together, about: an agent may send a megabyte in each tag.
const MOST_BYTES: usize = 12 << 20;

/// The spans of a project's traces, by the low halves of their ids: without duplicates, in the order in which a lookup by
/// id gives them; `None` where they are too many bytes to be held. Files that could not be read are added to `damaged`.
pub(super) fn traces(
    snapshot: &Snapshot,
    project: &str,
    lows: &[u64],
    damaged: &mut Vec<String>,
    stop: &Stop,
) -> Result<Option<HashMap<u64, Found>>> {
    let mut found: HashMap<u64, Vec<(Span<'static>, Scope<'static>)>> =
        lows.iter().map(|low| (*low, Vec::new())).collect();
    let mut bytes = 0;
    let mut add = |span: &Span<'_>, scope: &dyn Fn() -> Scope<'static>| {
        bytes += weight(span);
        if let (Some(spans), true) = (found.get_mut(&span.trace_id.low), bytes <= MOST_BYTES) {
            spans.push((span.clone().into_owned(), scope()));
        }
        bytes <= MOST_BYTES
    };
    for memtable in &snapshot.memtables {
        for place in lows.iter().flat_map(|low| memtable.trace(*low)) {
            let scope = place.scope().map_err(defect)?;
            if scope.project == project && !add(&place.span().map_err(defect)?, &|| scope.clone().into_owned()) {
                return Ok(None);
            }
        }
    }
    for file in snapshot.files.iter() {
        stop.check()?;
        let mut read = || -> std::result::Result<bool, String> {
            let mut rows = file.traces(lows, None, BATCH_ROWS).map_err(|error| error.to_string())?;
            while let Some(batch) = rows.next_batch().map_err(|error| error.to_string())? {
                let rows = Rows::of(&batch).map_err(|error| error.to_string())?;
                for row in (0..rows.len()).filter(|row| rows.project(*row) == project) {
                    let span = rows.span(row).map_err(|error| error.to_string())?;
                    if !add(&span, &|| rows.scope(row).into_owned()) {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        match read() {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => note(snapshot, &file.info().path, error, damaged),
        }
    }
    let settled = found.into_iter().map(|(low, mut spans)| {
        spans.sort_unstable();
        spans.dedup();
        let mut found = Found::with_capacity(spans.len());
        spans.into_iter().for_each(|(span, scope)| found.push(span, &scope));
        (low, found)
    });
    Ok(Some(settled.collect()))
}

/// Gives each of the traces' rows to `each`, with the spans' fields of those columns only (of those in memory, all), in no
/// order, duplicates included. Files that could not be read are added to `damaged`.
pub(super) fn look(
    snapshot: &Snapshot,
    project: &str,
    lows: &[u64],
    columns: &[&str],
    damaged: &mut Vec<String>,
    stop: &Stop,
    each: &mut dyn FnMut(&Span<'_>),
) -> Result<()> {
    for memtable in &snapshot.memtables {
        for place in lows.iter().flat_map(|low| memtable.trace(*low)) {
            if place.scope().map_err(defect)?.project == project {
                each(&place.span().map_err(defect)?);
            }
        }
    }
    for file in snapshot.files.iter() {
        stop.check()?;
        let mut read = || -> std::result::Result<(), String> {
            let mut rows = file.traces(lows, Some(columns), BATCH_ROWS).map_err(|error| error.to_string())?;
            while let Some(batch) = rows.next_batch().map_err(|error| error.to_string())? {
                let rows = Rows::of(&batch).map_err(|error| error.to_string())?;
                for row in (0..rows.len()).filter(|row| rows.project(*row) == project) {
                    each(&rows.span(row).map_err(|error| error.to_string())?);
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            note(snapshot, &file.info().path, error, damaged);
        }
    }
    Ok(())
}

fn defect(error: StoredError) -> Error {
    Error::damaged(error.to_string())
}

fn note(snapshot: &Snapshot, path: &str, error: String, damaged: &mut Vec<String>) {
    snapshot.note_damage(error);
    if !damaged.iter().any(|known| known == path) {
        damaged.push(path.to_owned());
    }
}
