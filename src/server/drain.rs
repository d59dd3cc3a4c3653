//! A request's body that can be read to its end after its handler has let go of it.
//!
//! A handler refuses a request as soon as it knows enough, often before the body was read. HTTP/1.1 cannot go on with
//! the connection until it has been: what is left over is read here and thrown away, up to a bound.

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// How much is thrown away for the sake of keeping a connection.
const MOST: usize = 64 << 20;

/// One body, read by whoever holds it.
#[derive(Clone)]
pub(super) struct SharedBody(Arc<Mutex<Incoming>>);

impl SharedBody {
    pub(super) fn new(body: Incoming) -> Self {
        SharedBody(Arc::new(Mutex::new(body)))
    }

    fn lock(&self) -> MutexGuard<'_, Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what is left. Whether the end was reached: not if it is too much, too slow, or the client is gone.
    pub(super) async fn drain(&self, time: Duration) -> bool {
        if self.lock().is_end_stream() {
            return true;
        }
        tokio::time::timeout(time, self.drain_untimed()).await.unwrap_or(false)
    }

    async fn drain_untimed(&self) -> bool {
        let mut left = MOST;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *self.lock()).poll_frame(cx)).await {
            let Ok(frame) = frame else { return false };
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    }
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut *self.lock()).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.lock().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().size_hint()
    }
}
