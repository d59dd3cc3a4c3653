//! Web sockets that are open: how many there may be, and that they end when the server stops. An upgraded connection is
//! no longer the listener's: without this nobody would count it, and nobody would wait for it.

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How long a client may take to take a message.
const SEND_TIME: Duration = Duration::from_secs(5);
/// How long a client may take to say goodbye.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The web sockets that are open.
#[derive(Clone, Debug)]
pub struct Sockets {
    most: u32,
    places: Arc<Semaphore>,
    stop: watch::Sender<bool>,
}

/// One of them, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    stop: watch::Receiver<bool>,
}

impl Sockets {
    pub fn new(most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX).min(1 << 20);
        Sockets { most, places: Arc::new(Semaphore::new(most as usize)), stop: watch::Sender::new(false) }
    }

    /// Room for one more, if there is any.
    pub(super) fn open(&self) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let stopping = *self.stop.borrow();
        (!stopping).then(|| Place { _permit: permit, stop: self.stop.subscribe() })
    }

    /// Asks all of them to end, and waits until they have.
    pub async fn close(&self) {
        self.stop.send_replace(true);
        // Fails only if nobody could wait for it.
        let _ = self.places.acquire_many(self.most).await;
    }
}

impl Place {
    /// Returns when the server stops.
    pub(super) async fn stopped(&mut self) {
        // Without a sender the server is gone.
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

/// Sends a message; whether the client took it in time.
pub(super) async fn send(socket: &mut WebSocket, message: Message) -> bool {
    matches!(tokio::time::timeout(SEND_TIME, socket.send(message)).await, Ok(Ok(())))
}

/// Says goodbye and gives the client a moment to do so too.
pub(super) async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    if !send(&mut socket, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await {
        return;
    }
    let answered = async { while let Some(Ok(_)) = socket.recv().await {} };
    // One that does not answer is cut off.
    let _ = tokio::time::timeout(CLOSE_TIME, answered).await;
}
