//! Who calls whom, as traces show it, for the dialects that join it with what they know.

use super::{Context, Refusal, lookup};
use crate::insight::{Observations, Observed};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What is remembered, and who gathers it anew.
pub(super) struct Observing {
    known: Arc<Observations>,
    /// Whoever comes while it is being gathered waits for that, rather than gathering it once more.
    one: Semaphore,
}

impl Observing {
    pub(super) fn new() -> Self {
        Observing { known: Arc::default(), one: Semaphore::new(1) }
    }
}

/// The calls between the services of a project in the last day, some seconds old at most.
pub(super) async fn observed(context: &Context, project: &str) -> Result<Arc<Observed>, Refusal> {
    let remembered = || context.observing.known.remembered(project, context.now_millis());
    if let Some(observed) = remembered() {
        return Ok(observed);
    }
    let _one = context.observing.one.acquire().await;
    if let Some(observed) = remembered() {
        return Ok(observed);
    }
    let (known, project, now) = (context.observing.known.clone(), project.to_owned(), context.now_millis());
    lookup::work(context, move |snapshot, stop| known.gather(snapshot, &project, now, stop)).await
}
