//! A request's body: what encoding it says it has, read within limits of size, memory and time, and decompressed.
//!
//! Three bounds hold while it grows, chunk by chunk: the largest body as sent, the largest after decompression, and
//! what all requests may hold together, memory that is reserved included. A body that would expand without end therefore costs no more memory than one
//! that is allowed, and is refused as soon as it passes the limit.

use super::budget::Charge;
use super::{Context, Refusal, Shared};
use crate::config::show_size;
use crate::ingest::{LARGE, offload};
use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use std::convert::Infallible;
use std::io::Read;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{self, Poll};

/// How much is decompressed at a time.
const STEP: usize = 64 << 10;
/// Compressed bytes are worth more: JSON of spans expands tenfold and more.
const LARGE_COMPRESSED: usize = 32 << 10;

/// A body in memory; what it takes of the budget is given back with it.
pub(super) struct Payload<'a> {
    bytes: Vec<u8>,
    /// Where what counts of it begins.
    start: usize,
    charge: Charge<'a>,
}

impl Payload<'_> {
    /// Leaves out the first bytes.
    pub(super) fn skip(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.bytes.len());
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    Deflate,
}

/// What a body is called where it cannot be decompressed: as Zipkin calls one of spans, and as nobody minds.
pub(super) const SPANS: &str = "spans";
pub(super) const ANY: &str = "the body";

/// Reads the whole body and decompresses it.
pub(super) async fn read<'a>(context: &'a Context, headers: &HeaderMap, body: Body) -> Result<Payload<'a>, Refusal> {
    read_as(context, headers, body, ANY).await
}

/// The same of a body that is called `what`.
pub(super) async fn read_as<'a>(
    context: &'a Context,
    headers: &HeaderMap,
    body: Body,
    what: &str,
) -> Result<Payload<'a>, Refusal> {
    let encoding = encoding(headers)?;
    let payload = receive(context, headers, body).await?;
    expand(context, encoding, payload, what)
}

/// Reads the whole body as it was sent.
pub(super) async fn receive<'a>(context: &'a Context, headers: &HeaderMap, body: Body) -> Result<Payload<'a>, Refusal> {
    let limit = context.config.ingest.max_body_bytes;
    let larger = || larger_than(limit, "ingest.max_body_bytes", "--ingest-max-body-bytes");
    receive_within(context, headers, body, limit, &larger).await
}

/// Reads the whole body as it was sent, where nothing but a small one makes sense.
pub(super) async fn receive_small<'a>(
    context: &'a Context,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Payload<'a>, Refusal> {
    let larger = || {
        let message =
            format!("the body is larger than {}\nthe body: send less in one request", show_size(limit as u64));
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    receive_within(context, headers, body, limit, &larger).await
}

async fn receive_within<'a>(
    context: &'a Context,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    larger: &(dyn Fn() -> Refusal + Sync),
) -> Result<Payload<'a>, Refusal> {
    if body.size_hint().lower() > limit as u64 {
        let refusal = larger();
        // A client that asks first need not send it at all; from another it is read, so that it sees this answer.
        let asks = headers.contains_key(header::EXPECT);
        return Err(if asks { refusal.closing() } else { refusal });
    }
    let mut charge = context.bodies.charge();
    let time = context.config.server.body_timeout;
    match tokio::time::timeout(time, collect(body, limit, larger, &mut charge)).await {
        Ok(collected) => Ok(Payload { bytes: collected?, start: 0, charge }),
        Err(_) => {
            let message = format!(
                "the body did not arrive in time\nserver.body_timeout ({time:?}): send it faster or in smaller parts"
            );
            Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, message).closing())
        }
    }
}

/// A body that was read once and is handed on as if it came only now. What it takes of the budget is given back where
/// it is taken over.
pub(super) struct Held {
    context: Shared,
    bytes: Bytes,
    taken: usize,
}

impl Held {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads the whole body as it was sent, to be handed on.
pub(super) async fn hold(context: &Shared, headers: &HeaderMap, body: Body) -> Result<Held, Refusal> {
    let Payload { bytes, charge, .. } = receive(context, headers, body).await?;
    Ok(Held { taken: charge.keep(), context: context.clone(), bytes: bytes.into() })
}

/// Reads the whole body as it was sent, where nothing but a small one makes sense, to be handed on.
pub(super) async fn hold_small(
    context: &Shared,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
) -> Result<Held, Refusal> {
    let Payload { bytes, charge, .. } = receive_small(context, headers, body, limit).await?;
    Ok(Held { taken: charge.keep(), context: context.clone(), bytes: bytes.into() })
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let taken = std::mem::take(&mut self.taken);
        drop(self.context.bodies.resume(taken));
        Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.context.bodies.resume(self.taken));
    }
}

/// Decompresses what was received, which is called `what`.
pub(super) fn expand<'a>(
    context: &'a Context,
    encoding: Encoding,
    payload: Payload<'a>,
    what: &str,
) -> Result<Payload<'a>, Refusal> {
    if encoding == Encoding::Identity || payload.is_empty() {
        return Ok(payload);
    }
    let Payload { bytes, start, mut charge } = payload;
    let compressed = bytes.get(start..).unwrap_or_default();
    let limit = context.config.ingest.max_decompressed_bytes;
    let large = compressed.len() >= LARGE_COMPRESSED;
    let expanded =
        offload(if large { LARGE } else { 0 }, || decompress(encoding, compressed, limit, &mut charge, what))?;
    charge.shrink(bytes.len());
    Ok(Payload { bytes: expanded, start: 0, charge })
}

/// The one encoding that the body has.
fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let mut found = Encoding::Identity;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for name in String::from_utf8_lossy(value.as_bytes()).split(',') {
            let next = match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Encoding::Gzip,
                "deflate" => Encoding::Deflate,
                other => return Err(unsupported_encoding(other)),
            };
            if found != Encoding::Identity {
                return Err(unsupported_encoding("more than one"));
            }
            found = next;
        }
    }
    Ok(found)
}

fn unsupported_encoding(name: &str) -> Refusal {
    let message = format!("unsupported content encoding: {name}\nheader Content-Encoding: send gzip, deflate or none");
    Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message).with(header::ACCEPT_ENCODING, "gzip, deflate")
}

/// The type that a body is said to have, in lower case and without parameters; empty where nothing is said.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// For paths that take nothing but JSON. Any content type may stand before it, and so may none: `curl -d` says it is a
/// form. Only what is certainly something else is refused, with a better reason than that the JSON is malformed.
pub(super) fn refuse_binary(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = content_type(headers);
    match kind.as_str() {
        "application/x-protobuf" | "application/protobuf" | "application/x-thrift" => Err(Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("unsupported content type: {kind}\nheader Content-Type: this server takes JSON on this path"),
        )),
        _ => Ok(()),
    }
}

/// Gathers the body's parts.
async fn collect(
    mut body: Body,
    limit: usize,
    larger: &(dyn Fn() -> Refusal + Sync),
    charge: &mut Charge<'_>,
) -> Result<Vec<u8>, Refusal> {
    let expected = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
    // Not trusted beyond a step: a head may promise what never comes.
    let mut bytes = Vec::with_capacity(expected.min(LARGE));
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| {
            Refusal::invalid(format!("the body broke off\nafter {} bytes: {e}: send it again", bytes.len())).closing()
        })?;
        let Some(data) = frame.data_ref() else { continue };
        if bytes.len() + data.len() > limit {
            return Err(larger());
        }
        if !charge.grow(data.len()) {
            return Err(overloaded(charge));
        }
        reserve(&mut bytes, data.len(), expected.clamp(LARGE, limit.max(LARGE)));
        bytes.extend_from_slice(data);
    }
    Ok(bytes)
}

/// Makes room for more bytes: twice as much as before, but no more than `most` if that is enough.
fn reserve(bytes: &mut Vec<u8>, more: usize, most: usize) {
    bytes.reserve_exact(grown(bytes, more, most) - bytes.len());
}

/// The capacity that [`reserve`] gives.
fn grown(bytes: &Vec<u8>, more: usize, most: usize) -> usize {
    let needed = bytes.len() + more;
    if needed <= bytes.capacity() { bytes.capacity() } else { needed.max((2 * bytes.capacity()).min(most)) }
}

fn larger_than(limit: usize, setting: &str, flag: &str) -> Refusal {
    let limit = show_size(limit as u64);
    Refusal::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {limit}\n{setting}: send less in a request, or raise it with {flag}"),
    )
}

fn overloaded(charge: &Charge<'_>) -> Refusal {
    let limit = show_size(charge.limit() as u64);
    Refusal::busy(format!(
        "overloaded\ningest.max_inflight_bytes: requests of more than {limit} are under way; send it again in a second"
    ))
}

/// Expands a compressed body.
fn decompress(
    encoding: Encoding,
    bytes: &[u8],
    limit: usize,
    charge: &mut Charge<'_>,
    what: &str,
) -> Result<Vec<u8>, Refusal> {
    match encoding {
        Encoding::Identity => Ok(bytes.to_vec()),
        Encoding::Gzip => gunzip(bytes, &mut Sink::new(limit, gzip_length(bytes, limit), charge)),
        Encoding::Deflate => {
            let zlib = is_zlib(bytes);
            let first = inflate(bytes, zlib, &mut Sink::new(limit, 0, charge));
            match first {
                // A raw stream may happen to begin like zlib's header: one in 500 does.
                Err(Fault::Malformed) if zlib => inflate(bytes, false, &mut Sink::new(limit, 0, charge)),
                outcome => outcome,
            }
        }
    }
    .map_err(|fault| match fault {
        Fault::Refused(refusal) => refusal,
        Fault::Malformed => {
            let (verb, stream) = match encoding {
                Encoding::Gzip => ("gunzip", "gzip"),
                _ => ("inflate", "deflate"),
            };
            Refusal::invalid(format!(
                "Cannot {verb} {what}\nthe body: it is no {stream} stream, or it was cut; send it whole, or without \
                 Content-Encoding"
            ))
        }
    })
}

/// What goes wrong with a compressed body.
#[derive(Debug)]
enum Fault {
    Malformed,
    Refused(Refusal),
}

/// An expanding body within its bounds.
struct Sink<'s, 'b> {
    bytes: Vec<u8>,
    limit: usize,
    /// How long the body says it is, as far as that can be true.
    expected: usize,
    charge: &'s mut Charge<'b>,
}

impl<'s, 'b> Sink<'s, 'b> {
    fn new(limit: usize, expected: usize, charge: &'s mut Charge<'b>) -> Self {
        Sink { bytes: Vec::new(), limit, expected, charge }
    }

    fn check(&self) -> Result<(), Fault> {
        if self.bytes.len() <= self.limit {
            return Ok(());
        }
        let setting = "ingest.max_decompressed_bytes";
        Err(Fault::Refused(larger_than(self.limit, setting, "--ingest-max-decompressed-bytes")))
    }

    /// All of it.
    fn finish(&mut self) -> Result<Vec<u8>, Fault> {
        self.check()?;
        Ok(std::mem::take(&mut self.bytes))
    }

    /// Lets `write` put bytes into free space, of which it says how many it used.
    fn step<R>(&mut self, write: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<(usize, R), Fault> {
        self.check()?;
        let start = self.bytes.len();
        let before = self.bytes.capacity();
        let most = self.limit.saturating_add(STEP);
        let capacity = match before {
            0 => self.expected + STEP,
            _ => grown(&self.bytes, STEP, most),
        };
        if capacity > before {
            // While the bytes move both places are taken.
            if !self.charge.grow(capacity) {
                return Err(Fault::Refused(overloaded(self.charge)));
            }
            self.bytes.reserve_exact(capacity - start);
            self.charge.shrink(before);
        }
        self.bytes.resize(start + STEP, 0);
        let (used, outcome) = write(self.bytes.get_mut(start..).unwrap_or_default());
        self.bytes.truncate(start + used);
        Ok((used, outcome))
    }
}

impl Drop for Sink<'_, '_> {
    fn drop(&mut self) {
        // What was not finished is free again.
        self.charge.shrink(self.bytes.capacity());
    }
}

/// The length that a gzip stream says it expands to, in its last four bytes (RFC 1952), or 0 where that cannot be: no
/// stream expands more than 1032-fold. One of several members says it of the last only.
fn gzip_length(bytes: &[u8], limit: usize) -> usize {
    let length = bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    if length <= limit && length / 1032 <= bytes.len() { length } else { 0 }
}

/// One gzip member after another, checksums checked.
fn gunzip(bytes: &[u8], sink: &mut Sink<'_, '_>) -> Result<Vec<u8>, Fault> {
    let mut reader = MultiGzDecoder::new(bytes);
    loop {
        let (used, read) = sink.step(|space| {
            let read = reader.read(space);
            (read.as_ref().copied().unwrap_or_default(), read)
        })?;
        if read.is_err() {
            return Err(Fault::Malformed);
        }
        if used == 0 {
            return sink.finish();
        }
    }
}

/// Whether the bytes begin as a zlib stream does (RFC 1950): method 8, a window that exists, the header's check.
fn is_zlib(bytes: &[u8]) -> bool {
    match bytes {
        [method, flags, ..] => {
            method & 0x0f == 8 && method >> 4 <= 7 && (u16::from(*method) << 8 | u16::from(*flags)) % 31 == 0
        }
        _ => false,
    }
}

/// "deflate" is a zlib stream by the standard and a bare one by many senders.
fn inflate(bytes: &[u8], zlib: bool, sink: &mut Sink<'_, '_>) -> Result<Vec<u8>, Fault> {
    let mut state = Decompress::new(zlib);
    loop {
        let consumed = state.total_in() as usize;
        let rest = bytes.get(consumed..).unwrap_or_default();
        let (used, status) = sink.step(|space| {
            let before = state.total_out();
            let status = state.decompress(rest, space, FlushDecompress::None);
            ((state.total_out() - before) as usize, status)
        })?;
        match status {
            Ok(Status::StreamEnd) => return sink.finish(),
            Ok(_) if used > 0 || state.total_in() as usize > consumed => {}
            // No error and no progress: the stream wants bytes that are not there.
            Ok(_) | Err(_) => return Err(Fault::Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
