//! What one request may hold of events in all.

use super::Limits;
use super::value::{Fault, Result};
use crate::model::Event;
use crate::model::event::{Owner, service};

/// What a request has taken so far. Asked before an event is kept, and so before anything is copied of it.
#[derive(Debug, Default)]
pub struct Taken {
    entries: usize,
    events: usize,
    bytes: usize,
}

impl Taken {
    /// Counts one more of what may be an event. `entries` is what the sender calls such.
    pub fn entry(&mut self, entries: &str, limits: &Limits) -> Result<()> {
        self.entries += 1;
        let most = limits.max_entries();
        if self.entries <= most {
            return Ok(());
        }
        Err(Fault::too_large(format!("more than {most} {entries}"), "split them into several requests"))
    }

    /// Counts one more event. Its encoding takes no more than it is charged here and a few bytes for each text; an event
    /// without texts takes as much as any other in memory, so that their number bounds that.
    pub fn event(&mut self, event: &Event<'_>, limits: &Limits) -> Result<()> {
        let most = limits.max_events;
        if self.events >= most {
            return Err(Fault::too_large(format!("more than {most} events"), "split them into several requests"));
        }
        self.events += 1;
        let most = limits.max_decoded_bytes;
        let bytes = event.text_bytes() + service::of(event).map_or(0, str::len);
        // An owner may have no texts, and there may be thousands.
        self.bytes = self.bytes.saturating_add(bytes + event.owners.len() * size_of::<Owner<'_>>());
        if self.bytes <= most {
            return Ok(());
        }
        let remedy = "events.max_decoded_bytes: split them into several requests, or raise it with \
                      --events-max-decoded-bytes";
        Err(Fault::too_large(format!("the events take more than {most} bytes once they are decoded"), remedy))
    }
}
