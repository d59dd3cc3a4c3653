//! Whether a connection does anything, and since when it does not.
//!
//! Under way are: a request that is being handled, an answer whose next part is being made, bytes that the client is
//! slow to take. Each has a time of its own in which it ends. What is left is idle: a client that asks nothing, or one
//! that keeps an HTTP/2 stream's window shut.

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// What is under way on one connection.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    under_way: usize,
    /// When something was under way last.
    last: Instant,
}

/// One thing that is under way, until dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Activity(Mutex::new(State { under_way: 0, last: Instant::now() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.lock().under_way += 1;
        UnderWay(self.clone())
    }

    /// Begins the idle time anew.
    pub(super) fn touch(&self) {
        self.lock().last = Instant::now();
    }

    /// When the connection will have been idle for so long, if nothing begins until then.
    pub(super) fn idle_for(&self, time: Duration) -> Instant {
        let state = self.lock();
        let since = if state.under_way > 0 { Instant::now() } else { state.last };
        since + time
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.under_way -= 1;
        state.last = Instant::now();
    }
}

/// An answer's body, under way while its next part is being made.
pub(super) struct Answer {
    body: Body,
    activity: Arc<Activity>,
    made: Option<UnderWay>,
}

impl Answer {
    pub(super) fn new(body: Body, activity: Arc<Activity>) -> Self {
        Answer { body, activity, made: None }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            this.made.get_or_insert_with(|| this.activity.begin());
        } else {
            this.made = None;
            this.activity.touch();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A client's socket, given up when the client takes nothing of what there is to write for a time. HTTP has no such
/// bound of its own: whoever sends requests and reads no answers would have its place for ever.
pub(super) struct Socket {
    stream: TcpStream,
    time: Duration,
    activity: Arc<Activity>,
    stalled: Option<(Pin<Box<Sleep>>, UnderWay)>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, time: Duration, activity: Arc<Activity>) -> Self {
        Socket { stream, time, activity, stalled: None }
    }

    fn bounded(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = || (Box::pin(tokio::time::sleep(self.time)), self.activity.begin());
        let (deadline, _) = self.stalled.get_or_insert_with(stall);
        deadline.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
