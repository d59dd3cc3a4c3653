//! A query's answer: traces from the store, written in a dialect's format, sent whole if small and streamed if large.
//!
//! One blocking task reads, formats and sends. It holds back the first [`WHOLE`] bytes: an answer that fits is sent
//! with its length; a larger one goes out part by part as the client takes it, so that a trace of any size, and any
//! number of them, costs a bounded amount of memory. An answer that cannot be completed is cut off (the connection is
//! aborted), never closed as if it were whole.
//!
//! When the client goes away, whether it waits for the head or reads the body, its [`Stop`] is given up: the work ends
//! with its next step. The same happens when the setting `query.timeout` is over; only a single trace, once it has begun
//! to be sent, goes on at its reader's pace.
//!
//! Files that could not be read are named in the header `spanlake-incomplete`; if one turns up after the head was
//! sent, the answer is cut off.

use super::{Context, Refusal};
use crate::error::{Error, Result};
use crate::model::Span;
use crate::query::search::{Chunk, Search, SearchQuery};
use crate::query::trace::{TraceCursor, TraceQuery};
use crate::stop::Stop;
use crate::store::{Snapshot, Store};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Answers up to this length are sent whole. The parts of a larger one are as long, or as what one chunk of spans makes
/// (a few megabytes).
const WHOLE: usize = 256 << 10;
/// Queries that run at a time; more wait. Each may hold a chunk of spans for each file that has some.
const AT_ONCE: usize = 24;
/// Searches that run at a time; more wait. Each holds several traces. They have places of their own, so that however
/// slowly their answers are read, traces are looked up meanwhile.
const SEARCHES: usize = 8;
/// Questions for events that run at a time; more wait. Each may hold all events of its answer, tens of megabytes, and
/// the text of it besides. They have places of their own too, so that they neither take those of lookups nor fill memory.
const EVENTS: usize = 4;
/// Large answers under way at a time; one more is refused. They go at their readers' pace, and must leave lookups to
/// others.
const STREAMS: usize = 16;
/// Parts that wait for a reader.
const PARTS: usize = 2;

/// The header that names files which could not be read.
const INCOMPLETE: HeaderName = HeaderName::from_static("spanlake-incomplete");

/// What bounds the queries under way.
pub(super) struct Bounds {
    at_once: Arc<Semaphore>,
    searches: Arc<Semaphore>,
    events: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Bounds {
    pub(super) fn new() -> Self {
        Bounds {
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            searches: Arc::new(Semaphore::new(SEARCHES)),
            events: Arc::new(Semaphore::new(EVENTS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }
}

/// How a dialect writes traces.
pub(super) trait Format: Send + 'static {
    /// Before the first span; not called where there is none.
    fn begin(&mut self, out: &mut Vec<u8>);
    fn spans(&mut self, spans: Vec<Span<'static>>, out: &mut Vec<u8>);
    /// After a trace, where an answer has several.
    fn end_trace(&mut self, _out: &mut Vec<u8>) {}
    fn end(&mut self, out: &mut Vec<u8>);
}

/// Where spans come from; blocks. A chunk may be empty.
trait Source {
    fn next_chunk(&mut self) -> Result<Option<Chunk>>;
    fn damaged(&self) -> &[String];
}

/// One trace.
impl Source for TraceCursor {
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        Ok(TraceCursor::next_chunk(self)?.map(|spans| Chunk::of(spans, false)))
    }

    fn damaged(&self) -> &[String] {
        TraceCursor::damaged(self)
    }
}

impl Source for Search {
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        Search::next_chunk(self)
    }

    fn damaged(&self) -> &[String] {
        Search::damaged(self)
    }
}

/// Traces by their ids, one after the other. Each is looked up in a view of its own: holding one for all of them would
/// keep memory tables as long as the slowest reader takes.
struct Many {
    store: Arc<Store>,
    stop: Stop,
    rest: std::vec::IntoIter<TraceQuery>,
    /// The trace that is being read, and whether a span of it was found.
    open: Option<(TraceCursor, bool)>,
    damaged: Vec<String>,
}

impl Source for Many {
    fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        loop {
            let (mut cursor, found) = match (self.open.take(), self.rest.as_slice()) {
                (Some(open), _) => open,
                (None, []) => return Ok(None),
                (None, [query, ..]) => {
                    self.stop.check()?;
                    let cursor = TraceCursor::open(&self.store.snapshot(), query)?;
                    self.rest.next();
                    (cursor, false)
                }
            };
            let spans = cursor.next_chunk()?;
            for file in cursor.damaged() {
                if !self.damaged.contains(file) {
                    self.damaged.push(file.clone());
                }
            }
            match spans {
                Some(spans) => {
                    self.open = Some((cursor, true));
                    return Ok(Some(Chunk::of(spans, false)));
                }
                None if found => return Ok(Some(Chunk::of(Vec::new(), true))),
                None => {}
            }
        }
    }

    fn damaged(&self) -> &[String] {
        &self.damaged
    }
}

/// Gives a query up when nobody waits for its answer any more. At the end of an answer that is nothing to anybody.
struct Waiting(Stop);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.give_up();
    }
}

/// What a query came to.
pub(super) struct Outcome {
    /// `None` where there is no span.
    pub(super) body: Option<Body>,
    incomplete: Option<HeaderValue>,
}

/// The header's value for files that could not be read.
fn incomplete(damaged: &[String]) -> Option<HeaderValue> {
    // Names of files are ASCII; if one is not, that something is missing still has to be said.
    let names = || HeaderValue::from_str(&damaged.join(", ")).unwrap_or(HeaderValue::from_static("some files"));
    (!damaged.is_empty()).then(names)
}

impl Outcome {
    fn new(body: Option<Body>, damaged: &[String]) -> Self {
        Outcome { body, incomplete: incomplete(damaged) }
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
    let snapshot = context.store.snapshot();
    answer(context, &context.lookups.at_once, move |_| TraceCursor::open(&snapshot, &query), format).await
}

/// Looks several traces up and writes those that there are.
pub(super) async fn traces(
    context: &Context,
    queries: Vec<TraceQuery>,
    format: impl Format,
) -> Result<Outcome, Refusal> {
    let store = context.store.clone();
    let open = move |stop| Ok(Many { store, stop, rest: queries.into_iter(), open: None, damaged: Vec::new() });
    answer(context, &context.lookups.at_once, open, format).await
}

/// Searches and writes the traces found.
pub(super) async fn search(context: &Context, query: SearchQuery, format: impl Format) -> Result<Outcome, Refusal> {
    let snapshot = context.store.snapshot();
    answer(context, &context.lookups.searches, move |stop| Search::open(&snapshot, &query, stop), format).await
}

/// Does what takes a while and whose result is small, within the same bounds as the streams.
pub(super) async fn work<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&Snapshot, &Stop) -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let stop = Stop::after(context.config.query.timeout);
    run(&context.lookups.at_once, stop, || context.store.snapshot(), work).await
}

/// Does what asks for events. Its result may be larger: a page.
pub(super) async fn events<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&Snapshot, &Stop) -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let stop = Stop::after(context.config.query.timeout);
    run(&context.lookups.events, stop, || context.store.snapshot(), work).await
}

/// Does something in a place of its kind, in a view that is taken once there is one.
async fn run<T: Send + 'static>(
    places: &Arc<Semaphore>,
    stop: Stop,
    snapshot: impl FnOnce() -> Snapshot,
    work: impl FnOnce(&Snapshot, &Stop) -> Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let _waiting = Waiting(stop.clone());
    let place = place(places, &stop).await?;
    let snapshot = snapshot();
    let task = tokio::task::spawn_blocking(move || {
        let _place = place;
        stop.check()?;
        work(&snapshot, &stop)
    });
    match task.await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::internal("the query broke off").into()),
    }
}

/// Puts the header into a response to [`work`] or [`events`] that met damage.
pub(super) fn mark_damage(damaged: &[String], response: &mut Response) {
    Outcome::mark(incomplete(damaged), response);
}

/// Waits for a place, as long as the query may take.
async fn place(places: &Arc<Semaphore>, stop: &Stop) -> Result<OwnedSemaphorePermit, Refusal> {
    let closed = |_| Refusal::busy("the server is stopping\nask again in a second");
    let waiting = places.clone().acquire_owned();
    match stop.left() {
        None => waiting.await.map_err(closed),
        Some(time) => match tokio::time::timeout(time, waiting).await {
            Ok(place) => place.map_err(closed),
            Err(_) => Err(Refusal::busy("too many queries are under way\nask again in a second")),
        },
    }
}

async fn answer<S: Source>(
    context: &Context,
    places: &Arc<Semaphore>,
    open: impl FnOnce(Stop) -> Result<S> + Send + 'static,
    format: impl Format,
) -> Result<Outcome, Refusal> {
    let stop = Stop::after(context.config.query.timeout);
    let waiting = Waiting(stop.clone());
    let place = place(places, &stop).await?;
    let (head, answer) = oneshot::channel();
    let sender = Sender {
        handle: Handle::current(),
        streams: context.lookups.streams.clone(),
        patience: context.config.server.body_timeout,
        stop,
    };
    tokio::task::spawn_blocking(move || {
        sender.answer(open, format, head);
        drop(place);
    });
    received(answer, waiting).await
}

/// Waits for the head; what waits from then on is the body.
async fn received(answer: oneshot::Receiver<Head>, waiting: Waiting) -> Result<Outcome, Refusal> {
    match answer.await {
        Ok(Ok(Begun::Whole(outcome))) => Ok(outcome),
        Ok(Ok(Begun::Streamed(parts, incomplete))) => Ok(Outcome { body: Some(body(parts, waiting)), incomplete }),
        Ok(Err(refusal)) => Err(refusal),
        // The task ended without a word: it panicked.
        Err(_) => Err(Error::internal("the query broke off").into()),
    }
}

type Head = Result<Begun, Refusal>;

/// How an answer begins.
enum Begun {
    Whole(Outcome),
    Streamed(mpsc::Receiver<Part>, Option<HeaderValue>),
}

/// What is sent of a large answer.
enum Part {
    More(Bytes),
    Last(Bytes),
    /// The answer ends here, and is not whole. So it is where the channel closes without the last part.
    Cut(std::io::Error),
}

/// The blocking side.
struct Sender {
    handle: Handle,
    streams: Arc<Semaphore>,
    /// How long a reader may stand still.
    patience: Duration,
    stop: Stop,
}

impl Sender {
    fn answer<S: Source>(
        &self,
        open: impl FnOnce(Stop) -> Result<S>,
        mut format: impl Format,
        head: oneshot::Sender<Head>,
    ) {
        let mut out = Vec::new();
        // That nobody is left to be told is no matter, here and below: the client may be gone.
        let source = match self.hold_back(open, &mut format, &mut out) {
            Ok(Held::All(outcome)) => {
                let _ = head.send(Ok(Begun::Whole(outcome)));
                return;
            }
            Ok(Held::More(source)) => source,
            Err(e) => {
                let _ = head.send(Err(e.into()));
                return;
            }
        };
        let Ok(_place) = self.streams.clone().try_acquire_owned() else {
            let refusal = Refusal::busy("overloaded\nseveral very large answers are being read; ask again in a second");
            let _ = head.send(Err(refusal));
            return;
        };
        let (parts, body) = mpsc::channel(PARTS);
        if head.send(Ok(Begun::Streamed(body, incomplete(source.damaged())))).is_ok() {
            self.stream(source, format, out, &parts);
        }
    }

    /// Reads until the source is at its end or its text too long to be held back.
    fn hold_back<S: Source>(
        &self,
        open: impl FnOnce(Stop) -> Result<S>,
        format: &mut impl Format,
        out: &mut Vec<u8>,
    ) -> Result<Held<S>> {
        self.stop.check()?;
        let mut source = open(self.stop.clone())?;
        let mut found = false;
        while let Some(chunk) = source.next_chunk()? {
            self.stop.check()?;
            if !found && !chunk.rows.spans.is_empty() {
                format.begin(out);
                found = true;
            }
            write(chunk, format, out);
            if out.len() > WHOLE {
                return Ok(Held::More(source));
            }
        }
        if !found {
            return Ok(Held::All(Outcome::new(None, source.damaged())));
        }
        format.end(out);
        Ok(Held::All(Outcome::new(Some(Body::from(std::mem::take(out))), source.damaged())))
    }

    /// Sends what was held back and all that follows.
    fn stream(&self, mut source: impl Source, mut format: impl Format, mut out: Vec<u8>, parts: &mpsc::Sender<Part>) {
        let announced = source.damaged().len();
        loop {
            if out.len() >= WHOLE && !self.send(parts, Part::More(std::mem::take(&mut out).into())) {
                return;
            }
            match source.next_chunk() {
                Ok(Some(chunk)) => write(chunk, &mut format, &mut out),
                Ok(None) => break,
                Err(e) => return self.cut(parts, &e),
            }
            if source.damaged().len() > announced {
                return self.cut(parts, &Error::damaged("a file turned out damaged after the answer had begun"));
            }
        }
        format.end(&mut out);
        self.send(parts, Part::Last(out.into()));
    }

    /// Whether the part was taken.
    fn send(&self, parts: &mpsc::Sender<Part>, part: Part) -> bool {
        match self.handle.block_on(tokio::time::timeout(self.patience, parts.send(part))) {
            Ok(sent) => sent.is_ok(),
            Err(_) => {
                tracing::warn!(patience = ?self.patience, "a reader of a large answer stood still; cut off");
                false
            }
        }
    }

    /// Ends the answer so that the client sees that it is not whole.
    fn cut(&self, parts: &mpsc::Sender<Part>, error: &Error) {
        // Of a client that is gone there is nothing to tell.
        if !parts.is_closed() {
            tracing::error!(%error, "an answer was cut off");
            self.send(parts, Part::Cut(std::io::Error::other(error.to_string())));
        }
    }
}

/// What was held back of an answer.
enum Held<S> {
    All(Outcome),
    More(S),
}

fn write(chunk: Chunk, format: &mut impl Format, out: &mut Vec<u8>) {
    if !chunk.rows.spans.is_empty() {
        format.spans(chunk.rows.spans, out);
    }
    if chunk.ends_trace {
        format.end_trace(out);
    }
}

/// The parts as a body. An error aborts the connection.
fn body(parts: mpsc::Receiver<Part>, waiting: Waiting) -> Body {
    Body::from_stream(futures::stream::unfold(Some((parts, waiting)), |open| async move {
        let (mut parts, waiting) = open?;
        Some(match parts.recv().await {
            Some(Part::More(bytes)) => (Ok(bytes), Some((parts, waiting))),
            Some(Part::Last(bytes)) => (Ok(bytes), None),
            Some(Part::Cut(error)) => (Err(error), None),
            None => (Err(std::io::Error::other("the answer broke off")), None),
        })
    }))
}

#[cfg(test)]
mod tests;
