//! Merges data files of spans.

use super::layout;
use crate::lake::DataFile;
use crate::lake::FileInfo;
use crate::lake::spans::merge::{Merge, MergeError};
use crate::lake::spans::rows::{RowError, Rows};
use crate::lake::spans::writer::SpanFileWriter;
use crate::lake::spec::by_project;
use crate::store::kind::CompactError;
use crate::store::target::Target;
use std::sync::Arc;

impl From<MergeError> for CompactError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Damaged(damaged) => CompactError::Damaged(damaged),
            other => CompactError::Rows(other.to_string()),
        }
    }
}

impl From<RowError> for CompactError {
    fn from(error: RowError) -> Self {
        CompactError::Rows(error.to_string())
    }
}

/// Merges files of one day into sorted files of one project each; gives out how many rows were duplicates.
pub fn merge_files(
    target: &Target,
    kept_tags: &[String],
    inputs: &[Arc<DataFile>],
    stopping: &dyn Fn() -> bool,
) -> Result<(Vec<FileInfo>, u64), CompactError> {
    let day = inputs.first().map_or(0, |file| file.info().day);
    let mut merge = Merge::new(inputs.iter().map(AsRef::as_ref))?;
    let mut files = Vec::new();
    match write_merged(target, kept_tags, day, &mut merge, stopping, &mut files) {
        Ok(()) => Ok((files, merge.dropped())),
        Err(error) => {
            target.discard(&files);
            Err(error)
        }
    }
}

fn write_merged(
    target: &Target,
    kept_tags: &[String],
    day: i32,
    merge: &mut Merge<'_>,
    stopping: &dyn Fn() -> bool,
    files: &mut Vec<FileInfo>,
) -> Result<(), CompactError> {
    let mut open: Option<(String, SpanFileWriter)> = None;
    while let Some(batch) = merge.next_batch()? {
        if stopping() {
            return Err(CompactError::Stopped);
        }
        for (project, part) in by_project(&batch) {
            if open.as_ref().is_some_and(|(current, _)| *current != project)
                && let Some((_, writer)) = open.take()
            {
                files.push(writer.finish()?);
            }
            let (_, writer) = match &mut open {
                Some(open) => open,
                None => open.insert((project, layout::create(target, kept_tags, day, files.len())?)),
            };
            writer.push(&part)?;
            let rows = Rows::of(&part)?;
            for row in 0..rows.len() {
                writer.summarise(&rows.scope(row), &rows.span(row)?)?;
            }
        }
    }
    if let Some((_, writer)) = open {
        files.push(writer.finish()?);
    }
    Ok(())
}
