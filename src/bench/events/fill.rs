//! A month of events, written through the store without a server: what a server would have after it.

use super::generate::Events;
use super::post::posted_slots;
use crate::clock::Clock;
use crate::codec::stored::events::encode;
use crate::error::{Error, ErrorKind};
use crate::fs::RealFs;
use crate::store::{EncodedEvents, Store, StoreConfig};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Slots of a request.
const BATCH: u64 = 1_000;
/// Requests that wait for the disk together.
const TOGETHER: usize = 8;
/// How long to wait where the store is busy writing what is in memory.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes the events but for those that are posted; returns how many rows they are.
pub(super) async fn fill(data: &Path, events: Events, clock: Arc<dyn Clock>) -> Result<u64, String> {
    let failed = |error: Error| format!("cannot write events into {}: {error}", data.display());
    let config = StoreConfig { removed_file_retention: Duration::ZERO, ..StoreConfig::new(data) };
    let now = clock.now_micros();
    let store = Store::open(config, Arc::new(RealFs), clock).await.map_err(failed)?;
    let (to_store, mut batches) = mpsc::channel::<(u64, EncodedEvents)>(TOGETHER);
    let generator = std::thread::spawn(move || generate(events, now, &to_store));
    let mut rows = 0;
    let mut appends: JoinSet<Result<(), Error>> = JoinSet::new();
    while let Some((count, batch)) = batches.recv().await {
        rows += count;
        if appends.len() >= TOGETHER
            && let Some(appended) = appends.join_next().await
        {
            appended.map_err(|error| error.to_string())?.map_err(failed)?;
        }
        let store = store.clone();
        appends.spawn(async move {
            loop {
                match store.append(batch.clone()).await {
                    Err(error) if error.kind() == ErrorKind::Busy => tokio::time::sleep(PAUSE).await,
                    appended => return appended.map(drop),
                }
            }
        });
    }
    while let Some(appended) = appends.join_next().await {
        appended.map_err(|error| error.to_string())?.map_err(failed)?;
    }
    generator.join().map_err(|_| "the generator of events ended before its time".to_owned())??;
    store.flush().await.map_err(failed)?;
    store.compact().await.map_err(failed)?;
    store.close().await.map_err(failed)?;
    Ok(rows)
}

fn generate(events: Events, now: i64, to_store: &mpsc::Sender<(u64, EncodedEvents)>) -> Result<(), String> {
    let end = posted_slots(&events).start;
    for start in (0..end).step_by(BATCH as usize) {
        let slots = start..end.min(start + BATCH);
        let rows: Vec<_> = slots.flat_map(|slot| events.tellings(slot)).map(|row| events.event(row, now)).collect();
        let batch = EncodedEvents::index(encode("default", now, &rows).into()).map_err(|error| error.to_string())?;
        // Whoever takes them has failed, and tells why.
        if to_store.blocking_send((rows.len() as u64, batch)).is_err() {
            break;
        }
    }
    Ok(())
}
