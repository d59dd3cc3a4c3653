//! The load: posts all of a source's spans over some connections and times each acknowledgement.

use super::client::{Answer, Connection, Post, Target};
use super::measure::{Percentiles, moment};
use super::source::Source;
use super::write::{Body, Format, Packer};
use hyper::StatusCode;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// How spans are posted.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    pub format: Format,
    /// Spans a request.
    pub batch: u32,
    pub connections: u32,
    pub gzip: bool,
}

/// What posting came to.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Acknowledged.
    pub spans: u64,
    pub requests: u64,
    /// Bytes of bodies as posted, and before compression.
    pub sent_bytes: u64,
    pub raw_bytes: u64,
    /// Answers that asked to come again later.
    pub refusals: u64,
    pub seconds: f64,
    /// Of the requests that were acknowledged, from the first byte sent to the answer.
    pub acknowledgement: Percentiles,
}

#[derive(Default)]
struct Counters {
    spans: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    refusals: AtomicU64,
}

/// Bodies that wait for a connection: enough that none waits for the generator, little enough to be no burden.
const QUEUE: usize = 32;

/// The longest that a server's Retry-After is obeyed.
const LONGEST_WAIT: u64 = 30;

/// Posts all spans of `source`. The first answer that is neither an acknowledgement nor a refusal ends it.
pub async fn load(target: &Target, source: Arc<Source>, options: LoadOptions) -> Result<Loaded, String> {
    let (to_queue, queue) = mpsc::channel::<Body>(QUEUE);
    let wanted = source.spans();
    let generator = std::thread::Builder::new()
        .name("bench-generator".to_owned())
        .spawn(move || {
            let sink = |body| to_queue.blocking_send(body).is_ok();
            let mut packer = Packer::new(options.format, options.batch, options.gzip, sink);
            source.pack(&mut packer);
            packer.raw_bytes
        })
        .map_err(|error| format!("cannot start the generator's thread: {error}"))?;

    let queue = Arc::new(Mutex::new(queue));
    let counters = Arc::new(Counters::default());
    let progress = tokio::spawn(show_progress(counters.clone(), wanted));
    let start = moment();
    let mut connections = JoinSet::new();
    for _ in 0..options.connections.max(1) {
        let connection = Connection::new(target.clone());
        connections.spawn(post_all(connection, queue.clone(), counters.clone(), options));
    }
    let mut times = Vec::new();
    let mut outcome = Ok(());
    while let Some(joined) = connections.join_next().await {
        match joined {
            Ok(Ok(measured)) => times.extend(measured),
            Ok(Err(error)) => outcome = Err(error),
            // Aborted below.
            Err(error) if error.is_cancelled() => {}
            Err(error) => outcome = Err(format!("a connection's task ended: {error}")),
        }
        if outcome.is_err() {
            connections.abort_all();
        }
    }
    let seconds = moment().duration_since(start).as_secs_f64();
    progress.abort();
    clear_progress();
    // Lets the generator end, whose next body nobody takes.
    drop(queue);
    let raw_bytes = generator.join().map_err(|_| "the generator's thread panicked".to_owned())?;
    outcome?;
    Ok(Loaded {
        spans: counters.spans.load(Ordering::Relaxed),
        requests: counters.requests.load(Ordering::Relaxed),
        sent_bytes: counters.bytes.load(Ordering::Relaxed),
        raw_bytes,
        refusals: counters.refusals.load(Ordering::Relaxed),
        seconds,
        acknowledgement: Percentiles::of(times),
    })
}

/// Posts bodies as long as there are any; returns the microseconds of each acknowledgement.
async fn post_all(
    mut connection: Connection,
    queue: Arc<Mutex<mpsc::Receiver<Body>>>,
    counters: Arc<Counters>,
    options: LoadOptions,
) -> Result<Vec<u32>, String> {
    let mut times = Vec::new();
    loop {
        let body = queue.lock().await.recv().await;
        let Some(Body { bytes, spans }) = body else {
            return Ok(times);
        };
        let post = Post { content_type: options.format.content_type(), gzip: options.gzip, body: bytes };
        let answer = post_one(&mut connection, &post, &counters, options.format).await?;
        times.push(answer.micros);
        counters.spans.fetch_add(u64::from(spans), Ordering::Relaxed);
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.bytes.fetch_add(post.body.len() as u64, Ordering::Relaxed);
    }
}

/// Posts until it is acknowledged.
async fn post_one(
    connection: &mut Connection,
    post: &Post,
    counters: &Counters,
    format: Format,
) -> Result<Answer, String> {
    loop {
        let answer = connection.post(format.path(), Some(post)).await?;
        match answer.status {
            status if status.is_success() => return Ok(answer),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                counters.refusals.fetch_add(1, Ordering::Relaxed);
                let wait = answer.retry_after.unwrap_or(1).min(LONGEST_WAIT);
                tokio::time::sleep(Duration::from_secs(wait)).await;
            }
            status => return Err(format!("POST {} was answered {status}: {}", format.path(), answer.excerpt())),
        }
    }
}

async fn show_progress(counters: Arc<Counters>, wanted: u64) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut before = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let spans = counters.spans.load(Ordering::Relaxed);
        let refusals = counters.refusals.load(Ordering::Relaxed);
        let percent = 100 * spans / wanted.max(1);
        eprint!("\r{percent:>3} %  {spans} of {wanted} spans  {} spans/s  {refusals} refusals   ", spans - before);
        before = spans;
    }
}

fn clear_progress() {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        let _ = write!(stderr, "\r{:78}\r", "");
    }
}
