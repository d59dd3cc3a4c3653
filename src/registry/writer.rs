//! The one writer: takes what was planned, in the order in which the image changed, and commits it in groups.
//!
//! ```text
//! plan under the image's lock -> image changes -> queue -> one commit for all that wait -> answers, watchers are told
//! ```
//!
//! A group is what came in while the last commit was under way, so that one sync serves many requests. Where a commit
//! fails nothing is known of it: the image is closed to changes, everything that waits is refused, and the image is
//! built anew from the database as soon as that answers again. Until then it answers readers as it was, which may show
//! what was refused just before; heartbeats go on.

use super::change::Change;
use super::database::{Database, Place, Statement, Writer};
use super::fault::{Fault, Outcome};
use super::watch::Notice;
use super::{Image, rows};
use crate::error::{Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Requests of one commit.
const MOST_IN_A_GROUP: usize = 1_024;
/// A commit that takes longer counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between attempts to reach the database again.
const PAUSE: Duration = Duration::from_secs(1);

/// One request's changes.
pub(super) struct Order {
    pub(super) changes: Vec<Change>,
    /// What watchers are told once the changes are on disk.
    pub(super) notices: Vec<Notice>,
    /// About how many bytes the changes have.
    pub(super) weight: usize,
    pub(super) done: oneshot::Sender<Outcome<()>>,
}

/// Runs until the registry is dropped or closed.
pub(super) async fn run(
    image: Arc<Image>,
    place: Place,
    database: Database,
    mut writer: Writer,
    mut queue: mpsc::UnboundedReceiver<Order>,
) {
    let mut group = Vec::new();
    while queue.recv_many(&mut group, MOST_IN_A_GROUP).await > 0 {
        let written = write(&mut writer, &group).await;
        image.give_back(&group);
        match written {
            Ok(()) => {
                for order in group.drain(..) {
                    image.feed.tell(&order.changes);
                    image.watchers.tell(&image, order.notices);
                    // The client may be gone.
                    let _ = order.done.send(Ok(()));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the registry's changes could not be written; it takes none until that is mended");
                image.refuse_changes();
                // Nobody adds to the queue now.
                while let Ok(order) = queue.try_recv() {
                    image.give_back(std::slice::from_ref(&order));
                    group.push(order);
                }
                for order in group.drain(..) {
                    let _ = order.done.send(Err(Fault::unavailable()));
                }
                writer.close().await;
                match recover(&image, &place, &database, &queue).await {
                    Some(new) => writer = new,
                    None => return,
                }
            }
        }
    }
    writer.close().await;
}

async fn write(writer: &mut Writer, group: &[Order]) -> Result<()> {
    let mut statements: Vec<Statement> = Vec::new();
    for change in group.iter().flat_map(|order| &order.changes) {
        rows::statements(change, &mut statements);
    }
    if statements.is_empty() {
        return Ok(());
    }
    let late = || Error::internal(format!("registry: writing: not done within {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, writer.commit(statements)).await.unwrap_or_else(|_| Err(late()))
}

/// Comes back with a writer and a fresh image, however long that takes; without one once the registry is closed.
async fn recover(
    image: &Image,
    place: &Place,
    database: &Database,
    queue: &mpsc::UnboundedReceiver<Order>,
) -> Option<Writer> {
    while !queue.is_closed() {
        // First of all: what failed a moment ago will hardly work now, and reading everything anew is work.
        tokio::time::sleep(PAUSE).await;
        let renewed = async {
            let writer = place.writer().await?;
            image.renew(database).await?;
            Ok::<_, Error>(writer)
        };
        match renewed.await {
            Ok(writer) => {
                tracing::info!("the registry takes changes again");
                return Some(writer);
            }
            Err(error) => tracing::warn!(%error, "the registry still takes no changes"),
        }
    }
    None
}
