//! Up to where the tables hold the log.
//!
//! Each commit of a flush says up to which sequence its table holds the log. The last commit of a cut says besides up to
//! where all tables do, and to there the log is trimmed. A table for which nothing came has no commit of its own to tell
//! that by; so what the log may lack follows from the marks of all tables together.

use super::StoreConfig;
use crate::lake::{Table, TableError};

/// Sequences of the log, each 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Floors {
    /// All tables hold the log up to here; above it the log has every record.
    pub log: u64,
    /// The table `spans` holds all spans of the log up to here.
    pub spans: u64,
    /// The table `events` holds all events of the log up to here.
    pub events: u64,
}

/// What one table says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How far its flushes have come.
    pub flushed: u64,
    /// Up to where all tables hold the log.
    pub mark: Option<u64>,
}

impl Said {
    pub async fn of(table: &Table, node_id: &[u8; 16]) -> Result<Said, TableError> {
        let sequence = |found: Option<i64>| found.map(|sequence| sequence.max(0) as u64);
        let flushed = sequence(table.sequence_of(&StoreConfig::flush_writer(node_id)).await?);
        let mark = sequence(table.sequence_of(&StoreConfig::log_mark(node_id)).await?);
        Ok(Said { flushed: flushed.unwrap_or_default(), mark })
    }
}

impl Floors {
    /// What follows from what the tables say.
    ///
    /// While a server commits, a reader of another process sees one table after the other: each has to be as new as
    /// either's mark, or that mark must be left out.
    pub fn of(spans: Said, events: Said) -> Floors {
        Floors {
            // Before there were events the log was trimmed to what the spans' table holds.
            log: spans.mark.max(events.mark).unwrap_or(spans.flushed),
            spans: spans.flushed,
            events: events.flushed,
        }
    }

    /// The last sequence that is in use, whatever the log says.
    pub fn used(&self) -> u64 {
        self.log.max(self.spans).max(self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(flushed: u64, mark: Option<u64>) -> Said {
        Said { flushed, mark }
    }

    #[test]
    fn the_log_is_whole_above_the_newest_mark() {
        let table = [
            ("nothing yet", said(0, None), said(0, None), 0),
            ("a folder of spans alone, from before there were marks", said(7, None), said(0, None), 7),
            ("the first events, and a crash before the spans of the same cut", said(7, None), said(9, None), 7),
            ("a cut of both", said(9, Some(9)), said(9, None), 9),
            ("events alone since", said(9, Some(9)), said(12, Some(12)), 12),
            ("spans alone since", said(15, Some(15)), said(12, Some(12)), 15),
            ("a crash between the two of a cut", said(15, Some(15)), said(20, Some(12)), 15),
        ];
        for (what, spans, events, log) in table {
            let floors = Floors::of(spans, events);
            assert_eq!(floors, Floors { log, spans: spans.flushed, events: events.flushed }, "{what}");
        }
    }
}
