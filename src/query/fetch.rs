//! The spans of several traces at once: one pass over each file, however many traces lie in it.
//!
//! Whole, to be given out; or some columns of them, to be looked at as they go by.

use super::origin::Rows as Found;
use super::stop::Stop;
use crate::error::{Error, Result};
use crate::lake::rows::Rows;
use crate::model::{Scope, Span};
use crate::store::Snapshot;
use std::collections::HashMap;

/// Rows read at a time.
const BATCH_ROWS: usize = 2_048;

/// The spans of a project's traces, by the low halves of their ids: without duplicates, in the order in which a lookup by
/// id gives them. Files that could not be read are added to `damaged`.
pub(super) fn traces(
    snapshot: &Snapshot,
    project: &str,
    lows: &[u64],
    damaged: &mut Vec<String>,
    stop: &Stop,
) -> Result<HashMap<u64, Found>> {
    let mut found: HashMap<u64, Vec<(Span<'static>, Scope<'static>)>> =
        lows.iter().map(|low| (*low, Vec::new())).collect();
    for memtable in &snapshot.memtables {
        for low in lows {
            for place in memtable.trace(*low) {
                let defect = |error: crate::codec::stored::StoredError| Error::damaged(error.to_string());
                let scope = place.scope().map_err(defect)?;
                if scope.project == project
                    && let Some(spans) = found.get_mut(low)
                {
                    spans.push((place.span().map_err(defect)?.into_owned(), scope.into_owned()));
                }
            }
        }
    }
    for file in snapshot.files.iter() {
        stop.check()?;
        let mut read = || -> std::result::Result<(), String> {
            let mut rows = file.traces(lows, None, BATCH_ROWS).map_err(|error| error.to_string())?;
            while let Some(batch) = rows.next_batch().map_err(|error| error.to_string())? {
                let rows = Rows::of(&batch).map_err(|error| error.to_string())?;
                for row in (0..rows.len()).filter(|row| rows.project(*row) == project) {
                    if let Some(spans) = found.get_mut(&rows.trace_low(row)) {
                        let span = rows.span(row).map_err(|error| error.to_string())?;
                        spans.push((span.into_owned(), rows.scope(row).into_owned()));
                    }
                }
            }
            Ok(())
        };
        if let Err(error) = read() {
            snapshot.note_damage(error);
            if !damaged.contains(&file.info().path) {
                damaged.push(file.info().path.clone());
            }
        }
    }
    let settled = found.into_iter().map(|(low, mut spans)| {
        spans.sort_unstable();
        spans.dedup();
        let mut found = Found::with_capacity(spans.len());
        spans.into_iter().for_each(|(span, scope)| found.push(span, &scope));
        (low, found)
    });
    Ok(settled.collect())
}

/// Gives each of the traces' rows to `each`, with the spans' fields of those columns only, in no order. Files that cannot
/// be read are passed over: whoever reads the traces whole will meet them again.
pub(super) fn look(
    snapshot: &Snapshot,
    project: &str,
    lows: &[u64],
    columns: &[&str],
    stop: &Stop,
    each: &mut dyn FnMut(&Span<'_>),
) -> Result<()> {
    for memtable in &snapshot.memtables {
        for place in lows.iter().flat_map(|low| memtable.trace(*low)) {
            let defect = |error: crate::codec::stored::StoredError| Error::damaged(error.to_string());
            if place.scope().map_err(defect)?.project == project {
                each(&place.span().map_err(defect)?);
            }
        }
    }
    for file in snapshot.files.iter() {
        stop.check()?;
        let Ok(mut rows) = file.traces(lows, Some(columns), BATCH_ROWS) else { continue };
        while let Ok(Some(batch)) = rows.next_batch() {
            let Ok(rows) = Rows::of(&batch) else { break };
            for row in (0..rows.len()).filter(|row| rows.project(*row) == project) {
                if let Ok(span) = rows.span(row) {
                    each(&span);
                }
            }
        }
    }
    Ok(())
}
