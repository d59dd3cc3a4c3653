//! The summaries of a data file: as they lie in it, or made again from its rows.

use super::{KEY, Summary, SummaryBuilder};
use crate::lake::DataFile;
use crate::lake::data_file::Damaged;
use crate::lake::spans::rows::{RowError, Rows};
use std::sync::Arc;

/// Rows read at a time for a summary that is missing.
const SUMMARY_ROWS: usize = 1_024;

impl DataFile {
    /// The file's summaries: each is of some of its traces, all of them together of all. Where they are not there, or
    /// cannot be read, they are made from the rows.
    pub fn summaries(&self) -> Result<&[Arc<Summary>], Damaged> {
        if let Some(summaries) = self.summaries.get() {
            return Ok(summaries);
        }
        let summaries = match self.stored_summaries()? {
            Some(summaries) => summaries,
            None => self.summarise()?,
        };
        Ok(self.summaries.get_or_init(|| summaries.into_iter().map(Arc::new).collect()))
    }

    fn stored_summaries(&self) -> Result<Option<Vec<Summary>>, Damaged> {
        let loaded = self.load()?;
        let Some(places) = loaded.value(KEY) else { return Ok(None) };
        let mut summaries = Vec::new();
        for place in places.split(',') {
            let place = place.split_once(' ').map(|(offset, length)| (offset.parse(), length.parse()));
            let Some((Ok(offset), Ok(length))) = place else { return Ok(None) };
            // All of it is read once, which checks it: what is damaged now is made again from the rows.
            let opened = loaded
                .bytes(offset, length)
                .map_err(|error| self.damaged(loaded, error))
                .and_then(|_| Summary::of_file(loaded.source.clone(), offset, length, self.path().to_owned()));
            match opened {
                Ok(summary) => summaries.push(summary),
                Err(error) => {
                    tracing::warn!(%error, "a summary cannot be read; it is made again from the rows");
                    return Ok(None);
                }
            }
        }
        Ok(Some(summaries))
    }

    fn summarise(&self) -> Result<Vec<Summary>, Damaged> {
        let mut summaries = Vec::new();
        let mut builder = SummaryBuilder::new(&[]);
        let mut scan = self.scan(None, SUMMARY_ROWS)?;
        while let Some(batch) = scan.next_batch()? {
            let fault = |e: RowError| Damaged { path: self.path().to_owned(), offset: 0, what: e.to_string() };
            let rows = Rows::of(&batch).map_err(fault)?;
            for row in 0..rows.len() {
                let (scope, span) = (rows.scope(row), rows.span(row).map_err(fault)?);
                if builder.is_full() && builder.begins_trace(&scope, &span) {
                    let full = std::mem::replace(&mut builder, SummaryBuilder::new(&[]));
                    summaries.push(Summary::of_bytes(full.finish().into())?);
                }
                builder.push(&scope, &span);
            }
        }
        summaries.push(Summary::of_bytes(builder.finish().into())?);
        Ok(summaries)
    }
}
