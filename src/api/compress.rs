//! Answers in gzip, to clients that say that they take it: the peer does so for JSON of more than 2 KiB, and a list of
//! traces shrinks to a tenth.
//!
//! A streamed answer stays one: each part is compressed as it goes by, and one that breaks off is still broken off.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Frame, SizeHint};
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A shorter answer of known length is sent as it is.
const LEAST: u64 = 2_048;
/// Bytes that are compressed at a time: a millisecond's work, so that other answers are not kept waiting.
const STEP: usize = 128 << 10;
/// Nearly as small as the default level makes it, in a third of the time.
const LEVEL: u32 = 3;

/// Compresses what is worth it.
pub(super) async fn layer(request: Request, next: Next) -> Response {
    let takes_gzip = request.method() != Method::HEAD && takes_gzip(request.headers());
    let mut response = next.run(request).await;
    if !is_worth_it(&response) {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !takes_gzip {
        return response;
    }
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response.map(|body| Body::new(Gzip::new(body)))
}

/// Whether a client takes gzip: it names it, or any encoding, and does not give it the weight 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight = |coding: &str| {
        let (_, weight) = coding.split_once(';')?;
        weight.trim().strip_prefix("q=")?.trim().parse::<f32>().ok()
    };
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|list| list.to_str().ok());
    let mut any = false;
    for coding in lists.flat_map(|list| list.split(',')).map(str::trim) {
        let taken = weight(coding).is_none_or(|weight| weight > 0.0);
        match coding.split(';').next().unwrap_or_default().trim() {
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => return taken,
            "*" => any = taken,
            _ => {}
        }
    }
    any
}

fn is_worth_it(response: &Response) -> bool {
    let headers = response.headers();
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/json");
    is_json
        && response.status() == StatusCode::OK
        && !headers.contains_key(header::CONTENT_ENCODING)
        && response.body().size_hint().exact().is_none_or(|length| length > LEAST)
}

/// A body in gzip.
struct Gzip {
    body: Body,
    /// Of the part at hand, what is not compressed yet.
    rest: Bytes,
    /// `None` once all is given out.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Gzip {
    fn new(body: Body) -> Self {
        let encoder = GzEncoder::new(Vec::new(), Compression::new(LEVEL));
        Gzip { body, rest: Bytes::new(), encoder: Some(encoder) }
    }
}

impl HttpBody for Gzip {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        loop {
            let Some(encoder) = &mut this.encoder else { return Poll::Ready(None) };
            if !this.rest.is_empty() {
                let now = this.rest.split_to(this.rest.len().min(STEP));
                // Into memory, which takes whatever is written.
                encoder.write_all(&now).map_err(axum::Error::new)?;
                let made = std::mem::take(encoder.get_mut());
                if !made.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(made.into()))));
                }
                continue;
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    // No answer in JSON has trailers.
                    Err(_) => continue,
                },
                Some(Err(error)) => {
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    let made = this.encoder.take().map(GzEncoder::finish).transpose().map_err(axum::Error::new)?;
                    return Poll::Ready(made.map(|made| Ok(Frame::data(made.into()))));
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;
    use std::io::Read;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let headers = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::ACCEPT_ENCODING, HeaderValue::from_static(value)));
            values.fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            })
        };
        for (values, takes) in [
            (&[][..], false),
            (&["gzip, deflate, br"], true),
            (&["br;q=1.0, GZIP;q=0.8"], true),
            (&["gzip;q=0"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["*", "gzip;q=0.0"], false),
            (&["identity", "x-gzip"], true),
            (&["gzipped"], false),
        ] {
            assert_eq!(takes_gzip(&headers(values)), takes, "{values:?}");
        }
    }

    fn streamed(parts: Vec<Result<Vec<u8>, std::io::Error>>) -> Body {
        Body::from_stream(futures::stream::iter(parts))
    }

    #[tokio::test]
    async fn parts_of_any_length_come_out_as_they_went_in() {
        let parts: Vec<Vec<u8>> = [0, 1, 3 * STEP + 7, 0, STEP, 100]
            .into_iter()
            .map(|length| (0..length as u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 27) as u8).collect())
            .collect();
        let body = Gzip::new(streamed(parts.iter().cloned().map(Ok).collect()));
        let packed = body.collect().await.unwrap().to_bytes();
        let mut read = Vec::new();
        GzDecoder::new(&packed[..]).read_to_end(&mut read).unwrap();
        assert!(read == parts.concat());
        assert!(packed.len() < read.len());
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_ended_as_if_whole() {
        let body = streamed(vec![Ok(b"[".to_vec()), Err(std::io::Error::other("gone")), Ok(b"]".to_vec())]);
        let mut gzip = Gzip::new(body);
        let mut frames = Vec::new();
        while let Some(frame) = gzip.frame().await {
            frames.push(frame.is_ok());
        }
        assert_eq!(frames.last(), Some(&false));
    }
}
