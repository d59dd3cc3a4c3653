//! A trace's answer: rows from the store, written in a dialect's format, sent whole if small and streamed if large.
//!
//! One blocking task reads, formats and sends. It holds back the first [`WHOLE`] bytes: an answer that fits is sent
//! with its length; a larger one goes out part by part as the client takes it, so that a trace of any size costs a
//! bounded amount of memory. When the client goes away the task ends with its next part. An answer that cannot be
//! completed is cut off (the connection is aborted), never closed as if it were whole.
//!
//! Files that could not be read are named in the header `spanlake-incomplete`; if one turns up after the head was
//! sent, the answer is cut off.

use super::{Context, Refusal};
use crate::error::{Error, Result};
use crate::model::Span;
use crate::query::trace::{TraceCursor, TraceQuery};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Answers up to this length are sent whole. The parts of a larger one are as long, or as what one chunk of spans makes
/// (a few megabytes).
const WHOLE: usize = 256 << 10;
/// Lookups that run at a time; more wait. Each may hold a chunk of spans for each file that has some.
const AT_ONCE: usize = 24;
/// Large answers under way at a time; one more is refused. They go at their readers' pace, and must leave lookups to
/// others.
const STREAMS: usize = 8;
/// Parts that wait for a reader.
const PARTS: usize = 2;

/// The header that names files which could not be read.
const INCOMPLETE: HeaderName = HeaderName::from_static("spanlake-incomplete");

/// What bounds the lookups under way.
pub(super) struct Bounds {
    at_once: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        Bounds { at_once: Arc::new(Semaphore::new(AT_ONCE)), streams: Arc::new(Semaphore::new(STREAMS)) }
    }
}

/// How a dialect writes a trace.
pub(super) trait Format: Send + 'static {
    fn begin(&mut self, out: &mut Vec<u8>);
    fn spans(&mut self, spans: Vec<Span<'static>>, out: &mut Vec<u8>);
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Where rows come from; blocks.
trait Source {
    fn next_chunk(&mut self) -> Result<Option<Vec<Span<'static>>>>;
    fn damaged(&self) -> &[String];
}

impl Source for TraceCursor {
    fn next_chunk(&mut self) -> Result<Option<Vec<Span<'static>>>> {
        TraceCursor::next_chunk(self)
    }

    fn damaged(&self) -> &[String] {
        TraceCursor::damaged(self)
    }
}

/// What a lookup came to.
pub(super) struct Outcome {
    /// `None` where there is no span.
    pub(super) body: Option<Body>,
    incomplete: Option<HeaderValue>,
}

impl Outcome {
    fn new(body: Option<Body>, damaged: &[String]) -> Self {
        // Names of files are ASCII; if one is not, that something is missing still has to be said.
        let names = || HeaderValue::from_str(&damaged.join(", ")).unwrap_or(HeaderValue::from_static("some files"));
        Outcome { body, incomplete: (!damaged.is_empty()).then(names) }
    }

    /// Puts what the head must say into a response made from the body.
    pub(super) fn mark(incomplete: Option<HeaderValue>, response: &mut Response) {
        if let Some(names) = incomplete {
            response.headers_mut().insert(INCOMPLETE, names);
        }
    }

    pub(super) fn into_parts(self) -> (Option<Body>, Option<HeaderValue>) {
        (self.body, self.incomplete)
    }
}

/// Looks a trace up and writes it.
pub(super) async fn trace(context: &Context, query: TraceQuery, format: impl Format) -> Result<Outcome, Refusal> {
    let closed = |_| Refusal::busy("the server is stopping\nask again in a second");
    let place = context.lookups.at_once.clone().acquire_owned().await.map_err(closed)?;
    let (head, answer) = oneshot::channel();
    let sender = Sender {
        handle: Handle::current(),
        streams: context.lookups.streams.clone(),
        patience: context.config.server.body_timeout,
    };
    let snapshot = context.store.snapshot();
    tokio::task::spawn_blocking(move || {
        sender.answer(|| TraceCursor::open(&snapshot, &query), format, head);
        drop(place);
    });
    match answer.await {
        Ok(outcome) => outcome,
        // The task ended without a word: it panicked.
        Err(_) => Err(Error::internal("the lookup broke off").into()),
    }
}

type Head = oneshot::Sender<Result<Outcome, Refusal>>;
type Part = std::io::Result<Bytes>;

/// The blocking side.
struct Sender {
    handle: Handle,
    streams: Arc<Semaphore>,
    /// How long a reader may stand still.
    patience: Duration,
}

impl Sender {
    fn answer<S: Source>(&self, open: impl FnOnce() -> Result<S>, mut format: impl Format, head: Head) {
        let mut out = Vec::new();
        let source = match begin(open, &mut format, &mut out) {
            Ok(Begun::All(outcome)) => {
                // The client may be gone: nobody is left to tell.
                let _ = head.send(Ok(outcome));
                return;
            }
            Ok(Begun::More(source)) => source,
            Err(e) => {
                let _ = head.send(Err(e.into()));
                return;
            }
        };
        let Ok(_place) = self.streams.clone().try_acquire_owned() else {
            let refusal = Refusal::busy("overloaded\nseveral very large traces are being read; ask again in a second");
            let _ = head.send(Err(refusal));
            return;
        };
        let (parts, body) = mpsc::channel(PARTS);
        let outcome = Outcome::new(Some(stream(body)), source.damaged());
        if head.send(Ok(outcome)).is_ok() {
            self.stream(source, format, out, &parts);
        }
    }

    /// Sends what was held back and all that follows.
    fn stream(&self, mut source: impl Source, mut format: impl Format, mut out: Vec<u8>, parts: &mpsc::Sender<Part>) {
        let announced = source.damaged().len();
        loop {
            if out.len() >= WHOLE && !self.send(parts, Ok(std::mem::take(&mut out).into())) {
                return;
            }
            match source.next_chunk() {
                Ok(Some(spans)) => format.spans(spans, &mut out),
                Ok(None) => break,
                Err(e) => return self.cut(parts, &e),
            }
            if source.damaged().len() > announced {
                return self.cut(parts, &Error::damaged("a file turned out damaged after the answer had begun"));
            }
        }
        format.end(&mut out);
        self.send(parts, Ok(out.into()));
    }

    /// Whether the part was taken.
    fn send(&self, parts: &mpsc::Sender<Part>, part: Part) -> bool {
        match self.handle.block_on(tokio::time::timeout(self.patience, parts.send(part))) {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                tracing::warn!(patience = ?self.patience, "a reader of a large trace stood still; cut off");
                // Dropping the channel now would end the body as if it were whole: the error has to reach it first.
                self.abandon(parts);
                false
            }
        }
    }

    /// Ends the answer so that the client sees that it is not whole.
    fn cut(&self, parts: &mpsc::Sender<Part>, error: &Error) {
        tracing::error!(%error, "an answer was cut off");
        self.send(parts, Err(std::io::Error::other(error.to_string())));
    }

    /// Leaves an error behind for a reader that may come back, without a thread waiting for it.
    fn abandon(&self, parts: &mpsc::Sender<Part>) {
        let parts = parts.clone();
        self.handle.spawn(async move {
            let _ = parts.send(Err(std::io::Error::other("the reader stood still"))).await;
        });
    }
}

/// What the beginning of a lookup came to.
enum Begun<S> {
    All(Outcome),
    More(S),
}

/// Reads until the trace is at its end or its text too long to be held back.
fn begin<S: Source>(open: impl FnOnce() -> Result<S>, format: &mut impl Format, out: &mut Vec<u8>) -> Result<Begun<S>> {
    let mut source = open()?;
    let mut found = false;
    while let Some(spans) = source.next_chunk()? {
        if spans.is_empty() {
            continue;
        }
        if !found {
            format.begin(out);
            found = true;
        }
        format.spans(spans, out);
        if out.len() > WHOLE {
            return Ok(Begun::More(source));
        }
    }
    if !found {
        return Ok(Begun::All(Outcome::new(None, source.damaged())));
    }
    format.end(out);
    Ok(Begun::All(Outcome::new(Some(Body::from(std::mem::take(out))), source.damaged())))
}

/// The parts as a body. An error aborts the connection.
fn stream(parts: mpsc::Receiver<Part>) -> Body {
    Body::from_stream(futures::stream::unfold(parts, |mut parts| async move {
        let part = parts.recv().await?;
        Some((part, parts))
    }))
}

#[cfg(test)]
mod tests;
