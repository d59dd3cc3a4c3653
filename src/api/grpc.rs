//! gRPC, as far as it takes to answer calls of one message each way: <https://grpc.io>, "gRPC over HTTP2".
//!
//! ```text
//! request   POST /package.Service/Method, HTTP/2, content-type: application/grpc[+proto]
//!           body: one message
//! answer    200, content-type: application/grpc
//!           body: one message, then the trailer grpc-status: 0
//! refusal   200, grpc-status and grpc-message in the head, no body
//! message   compressed (1 byte: 0 or 1) length (4 bytes, big-endian) bytes
//! ```
//!
//! A compressed message is in the encoding that the header grpc-encoding names: gzip is known, and identity. What
//! bounds other bodies bounds these.

use super::body::{self, Encoding, Payload};
use super::{Context, Refusal};
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version, header};
use axum::response::Response;
use http_body_util::StreamBody;
use hyper::body::Frame;
use std::convert::Infallible;

/// The bytes before a message.
const PREFIX: usize = 5;
/// A message of an error is cut there: heads are small.
const LONGEST_MESSAGE: usize = 2048;

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// What a call came to, in gRPC's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Ok = 0,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
}

impl Code {
    fn of(status: StatusCode) -> Code {
        match status {
            StatusCode::BAD_REQUEST => Code::InvalidArgument,
            StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
            StatusCode::PAYLOAD_TOO_LARGE => Code::ResourceExhausted,
            StatusCode::UNSUPPORTED_MEDIA_TYPE | StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
            StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            _ => Code::Unknown,
        }
    }
}

/// The number that gRPC, and a `google.rpc.Status`, has for a status of HTTP.
pub(super) fn code(status: StatusCode) -> i32 {
    Code::of(status) as i32
}

/// Refuses a request that is no call at all, in HTTP's manner: its sender does not speak gRPC.
pub(super) fn expect_call(head: &Parts) -> Result<(), Refusal> {
    if !matches!(body::content_type(&head.headers).as_str(), "application/grpc" | "application/grpc+proto") {
        let message = "this path takes gRPC calls\nheader Content-Type: send application/grpc";
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if head.version != Version::HTTP_2 {
        let message = "gRPC needs HTTP/2\nthis port speaks it without TLS to clients that begin with it (h2c)";
        return Err(Refusal::new(StatusCode::HTTP_VERSION_NOT_SUPPORTED, message));
    }
    Ok(())
}

/// Reads the one message of a call, and decompresses it; where that cannot be done it is called `what`.
pub(super) async fn read<'c>(
    context: &'c Context,
    headers: &HeaderMap,
    body: Body,
    what: &str,
) -> Result<Payload<'c>, Refusal> {
    let mut payload = body::receive(context, headers, body).await?;
    let Some((&[compressed, a, b, c, d], rest)) = payload.split_first_chunk::<PREFIX>() else {
        let bytes = payload.len();
        let message = format!("no message\nthe body has {bytes} bytes: send one message behind a prefix of {PREFIX}");
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, message));
    };
    let (length, there) = (u32::from_be_bytes([a, b, c, d]) as usize, rest.len());
    if length > there {
        let message = format!("the message breaks off\nit says it has {length} bytes, and {there} came: send it whole");
        return Err(Refusal::invalid(message));
    }
    if length < there {
        let message = "more than one message\nthe method takes one: send the others in calls of their own";
        return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, message));
    }
    payload.skip(PREFIX);
    match compressed {
        0 => Ok(payload),
        1 => body::expand(context, encoding(headers)?, payload, what),
        other => Err(Refusal::invalid(format!("{other} is no flag of a message\nits first byte: send 0 or 1"))),
    }
}

/// How a compressed message is compressed.
fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    let name = headers.get(ENCODING).map_or("identity".into(), |value| String::from_utf8_lossy(value.as_bytes()));
    match name.as_ref() {
        "gzip" => Ok(Encoding::Gzip),
        "identity" => Ok(Encoding::Identity),
        other => {
            let message = format!("unsupported message encoding: {other}\nheader grpc-encoding: send gzip or identity");
            Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, message))
        }
    }
}

/// The answer to a call: a message, or why there is none.
pub(super) fn answer(outcome: Result<Vec<u8>, Refusal>) -> Response {
    match outcome {
        Ok(message) => accepted(&message),
        Err(refusal) => refused(&refusal),
    }
}

fn accepted(message: &[u8]) -> Response {
    let mut bytes = Vec::with_capacity(PREFIX + message.len());
    bytes.push(0);
    // Answers are made here: none comes near four gigabytes.
    bytes.extend_from_slice(&(message.len() as u32).to_be_bytes());
    bytes.extend_from_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert(STATUS, HeaderValue::from(Code::Ok as u16));
    let frames = [Frame::data(Bytes::from(bytes)), Frame::trailers(trailers)];
    let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>)));
    respond(Body::new(body))
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = respond(Body::empty());
    let code = Code::of(refusal.status);
    response.headers_mut().insert(STATUS, HeaderValue::from(code as u16));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(&refusal.message)) {
        response.headers_mut().insert(MESSAGE, message);
    }
    response
}

fn respond(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip"));
    response
}

/// A text as a header can hold it: what is not printable ASCII, and the percent sign, byte by byte in hexadecimal.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.trim_end().bytes() {
        match byte {
            b'%' | 0..b' ' | 0x7f.. => encoded.push_str(&format!("%{byte:02X}")),
            _ => encoded.push(char::from(byte)),
        }
        if encoded.len() >= LONGEST_MESSAGE {
            break;
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_hold_is_percent_encoded() {
        assert_eq!(percent_encoded("100% of \"ä\"\n\tdone\x7f~\n"), "100%25 of \"%C3%A4\"%0A%09done%7F~");
        assert_eq!(percent_encoded(&"x".repeat(100_000)).len(), LONGEST_MESSAGE);
    }

    #[test]
    fn each_status_of_a_refusal_has_a_code() {
        for (status, code) in [(400, 3), (408, 4), (413, 8), (415, 12), (500, 13), (501, 12), (503, 14), (418, 2)] {
            assert_eq!(Code::of(StatusCode::from_u16(status).unwrap()) as u16, code, "{status}");
        }
    }

    #[test]
    fn encodings_other_than_gzip_are_told_apart() {
        let mut headers = HeaderMap::new();
        assert_eq!(encoding(&headers).unwrap(), Encoding::Identity);
        headers.insert(ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(encoding(&headers).unwrap(), Encoding::Gzip);
        headers.insert(ENCODING, HeaderValue::from_static("snappy"));
        assert_eq!(
            encoding(&headers).unwrap_err().message.lines().next(),
            Some("unsupported message encoding: snappy")
        );
    }
}
