//! When a question is to be given up: its client has gone away, or its time is over.

use crate::error::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Asked by long work between two steps. Clones are one and the same.
#[derive(Clone, Debug)]
pub struct Stop {
    gone: Arc<AtomicBool>,
    deadline: Option<Instant>,
    patience: Duration,
}

impl Stop {
    /// Work that nobody gives up.
    pub fn never() -> Stop {
        Stop { gone: Arc::default(), deadline: None, patience: Duration::ZERO }
    }

    /// Work that is given up after `patience`; zero for never.
    pub fn after(patience: Duration) -> Stop {
        let deadline = if patience.is_zero() { None } else { now().checked_add(patience) };
        Stop { gone: Arc::default(), deadline, patience }
    }

    /// Nobody waits for the answer any more.
    pub fn give_up(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// How much time is left; none where there is no end to it.
    pub fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now()))
    }

    /// # Errors
    /// Busy, where the work is to be given up.
    pub fn check(&self) -> Result<()> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(Error::busy("the client has gone away"));
        }
        if self.deadline.is_some_and(|deadline| now() >= deadline) {
            let patience = self.patience;
            return Err(Error::busy(format!(
                "the answer was not complete after {patience:?}; ask for a shorter window or raise the setting query.timeout"
            )));
        }
        Ok(())
    }
}

/// A deadline is no time of day: it has nothing to do with what is stored.
#[expect(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
