//! A data file's bytes for the Parquet reader, checked against the file's checksums.

use super::checksums::{BLOCK, Checksums};
use crate::fs::File;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A file's bytes for the Parquet reader, checked: reads name their place, so that many lookups share one handle.
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<dyn File>,
    len: u64,
    /// `None` in a file of other making.
    checksums: Option<Arc<Checksums>>,
    /// Where the last read began, for error messages.
    last: Arc<AtomicU64>,
}

impl Source {
    /// A file of so many bytes; without checksums nothing is checked.
    pub fn new(file: Arc<dyn File>, len: u64, checksums: Option<Arc<Checksums>>) -> Source {
        Source { file, len, checksums, last: Arc::default() }
    }

    /// Where the last read began, or what it met that is damaged.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// The bytes of a range that lies in the file.
    fn read(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.last.store(start, Ordering::Relaxed);
        let end = start + length as u64;
        let (from, to) = self.checksums.as_ref().map_or((start, end), |checksums| checksums.around(start, end));
        let mut bytes = vec![0; usize::try_from(to - from)?];
        self.file.read_exact_at(&mut bytes, from)?;
        if let Some(checksums) = &self.checksums {
            checksums.check(from, &bytes).map_err(|mismatch| {
                self.last.store(mismatch.offset, Ordering::Relaxed);
                ParquetError::General(mismatch.what)
            })?;
        }
        let skip = usize::try_from(start - from)?;
        Ok(Bytes::from(bytes).slice(skip..skip + length))
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Source {
    type T = Sequential;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(Sequential { source: self.clone(), at: start, block: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.len) {
            self.last.store(start, Ordering::Relaxed);
            return Err(ParquetError::EOF(format!("{length} bytes at {start} reach beyond the end")));
        }
        self.read(start, length)
    }
}

/// Reads on from a place of a file.
#[derive(Debug)]
pub struct Sequential {
    source: Source,
    at: u64,
    /// What was read and not given out yet.
    block: Bytes,
}

impl Read for Sequential {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() {
            let end = (self.at / BLOCK + 1).saturating_mul(BLOCK).min(self.source.len);
            let length = usize::try_from(end.saturating_sub(self.at)).map_err(io::Error::other)?;
            self.block = self.source.read(self.at, length).map_err(io::Error::other)?;
        }
        let given = self.block.split_to(self.block.len().min(buf.len()));
        buf[..given.len()].copy_from_slice(&given);
        self.at += given.len() as u64;
        Ok(given.len())
    }
}
