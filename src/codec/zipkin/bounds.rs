//! What every format holds a list of spans to: the operator's limits, and times that calendars know.

use super::fault::Says;
use crate::codec::Limits;
use std::cell::Cell;

/// 9999-01-01 in microseconds. From there on a time is a mistake of the unit, and many readers of the table cannot show
/// it.
pub const END_OF_TIME: i64 = 253_370_764_800_000_000;

/// 0001-01-01 in microseconds: of what lies before it calendars disagree, and the same readers cannot show it.
pub const START_OF_TIME: i64 = -62_135_596_800_000_000;

/// The tag that keeps the length in bytes of a value that was cut, followed by the tag's key.
pub const ORIGINAL_LENGTH: &str = "spanlake.original_length.";

/// The limits on one body, and what was counted of it so far.
pub struct Bounds<'l> {
    pub limits: &'l Limits,
    /// Annotations and tags of the body so far.
    entries: Cell<usize>,
    /// Those of the spans before the one that is being read.
    entries_before: Cell<usize>,
}

impl<'l> Bounds<'l> {
    pub fn new(limits: &'l Limits) -> Self {
        Bounds { limits, entries: Cell::new(0), entries_before: Cell::new(0) }
    }

    /// Refuses a time before the start of time or from its end on.
    #[inline]
    pub fn time(&self, timestamp: i64) -> Result<i64, Says> {
        if (START_OF_TIME..END_OF_TIME).contains(&timestamp) { Ok(timestamp) } else { Err(no_time(timestamp)) }
    }

    /// Begins a span, or refuses it where `spans` before it reach the limit.
    #[inline]
    pub fn begin_span(&self, spans: usize) -> Result<(), Says> {
        self.entries_before.set(self.entries.get());
        if spans < self.limits.max_spans {
            return Ok(());
        }
        Err(self.too_many_spans("split the list into several requests, or raise ingest.max_spans"))
    }

    /// Refuses rows over the limit on spans, which one posted v1 span has several of.
    pub fn rows(&self, rows: usize) -> Result<(), Says> {
        if rows <= self.limits.max_spans {
            return Ok(());
        }
        Err(self.too_many_spans(
            "each service in a span's annotations makes a span of its own: split the list into several requests, or \
             raise ingest.max_spans",
        ))
    }

    #[cold]
    fn too_many_spans(&self, remedy: &str) -> Says {
        Says::too_large(format!("more than {} spans", self.limits.max_spans), remedy)
    }

    /// Counts one more annotation or tag, before it is read, or refuses it where a limit is reached.
    #[inline]
    pub fn begin_entry(&self) -> Result<(), Says> {
        let entries = self.entries.get() + 1;
        self.entries.set(entries);
        let of_span = entries - self.entries_before.get();
        if of_span > self.limits.max_span_entries || entries > self.limits.max_entries {
            return Err(self.too_many_entries(of_span));
        }
        Ok(())
    }

    #[cold]
    fn too_many_entries(&self, of_span: usize) -> Says {
        let (all, most) = (self.limits.max_entries, self.limits.max_span_entries);
        if of_span > most {
            let peer = format!("more than {most} annotations and tags in a span");
            return Says::too_large(peer, "send fewer, or raise ingest.max_span_entries");
        }
        let peer = format!("more than {all} annotations and tags");
        Says::too_large(peer, "split the list into several requests, or raise ingest.max_entries")
    }

    /// Refuses a name or a key over the limit. `what` says what it names.
    #[inline]
    pub fn name(&self, what: &str, text: &str) -> Result<(), Says> {
        if text.len() <= self.limits.max_tag_bytes { Ok(()) } else { Err(self.too_long(what, text.len())) }
    }

    #[cold]
    fn too_long(&self, what: &str, length: usize) -> Says {
        let most = self.limits.max_tag_bytes;
        let remedy = format!("the {what} has {length} bytes, the limit is {most}: shorten it");
        Says::new(format!("{what}.length > {most}"), remedy)
    }

    /// Refuses what nests deeper than the limit.
    pub fn depth(&self, depth: usize) -> Result<(), Says> {
        let most = self.limits.max_depth;
        if depth <= most {
            return Ok(());
        }
        let remedy = "no field of a span nests that deep: leave this one out";
        Err(Says::new(format!("nesting is deeper than {most} levels"), remedy))
    }

    /// Cuts a value over the limit at a character's boundary; the original length, if it was cut.
    #[inline]
    pub fn cut<'a>(&self, value: &'a str) -> (&'a str, Option<usize>) {
        let most = self.limits.max_tag_bytes;
        if value.len() <= most {
            return (value, None);
        }
        (&value[..value.floor_char_boundary(most)], Some(value.len()))
    }
}

#[cold]
fn no_time(timestamp: i64) -> Says {
    let (what, remedy) = if timestamp < START_OF_TIME {
        ("before the year 1", "send microseconds since 1970, or leave it out where the time is not known")
    } else {
        ("in or after the year 9999", "is it in nanoseconds? send microseconds since 1970")
    };
    Says::new(format!("timestamp {timestamp} is {what}"), remedy)
}
