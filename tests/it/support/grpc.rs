//! A client of gRPC over HTTP/2 that shows what is on the wire.

use crate::support::server::Server;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io::Write;
use tokio::runtime::Runtime;

/// What an empty message looks like.
pub const NOTHING: [u8; 5] = [0; 5];

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Whether the head was all of it.
    pub ended: bool,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The code, and the message decoded, of a call that was refused in the head.
    pub fn refusal(&self) -> (&str, String) {
        assert_eq!((self.status, self.ended, self.body.len(), &self.trailers), (200, true, 0, &None), "{self:?}");
        assert_eq!(self.headers["content-type"], "application/grpc");
        let message = self.headers["grpc-message"].to_str().unwrap().replace('+', "%2B");
        let message = url::form_urlencoded::parse(message.as_bytes()).next().unwrap().0.into_owned();
        (self.headers["grpc-status"].to_str().unwrap(), message)
    }

    /// Asserts that the call went well and was answered nothing.
    pub fn expect_ok(&self) {
        assert_eq!(self.message(), b"", "{self:?}");
    }

    /// The message of a call that went well.
    pub fn message(&self) -> &[u8] {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/grpc");
        assert_eq!(self.headers.get("grpc-status"), None);
        let trailers = self.trailers.as_ref().unwrap();
        assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &"0".parse().unwrap()));
        let (prefix, message) = self.body.split_at(NOTHING.len());
        assert_eq!(prefix, &framed(0, message)[..NOTHING.len()]);
        message
    }
}

pub type Outgoing = BoxBody<Bytes, Infallible>;

/// A connection, to call one method.
pub struct Client {
    runtime: Runtime,
    sender: SendRequest<Outgoing>,
    url: String,
}

impl Client {
    pub fn connect(server: &Server, method: &str) -> Client {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
            let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            sender
        });
        Client { runtime, sender, url: format!("http://{}{method}", server.address) }
    }

    pub fn call(&mut self, body: Vec<u8>) -> Answer {
        self.call_with(&[], full(body))
    }

    /// A call with more headers, or with others than usual.
    pub fn call_with(&mut self, headers: &[(&'static str, &str)], body: Outgoing) -> Answer {
        let mut request = Request::post(&self.url).body(body).unwrap();
        let usual = [("content-type", "application/grpc"), ("te", "trailers")];
        for (name, value) in usual.iter().chain(headers) {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.runtime.block_on(async {
            let response = self.sender.send_request(request).await.unwrap();
            let (head, body) = response.into_parts();
            let ended = body.is_end_stream();
            let body = body.collect().await.unwrap();
            let trailers = body.trailers().cloned();
            let body = body.to_bytes().to_vec();
            Answer { status: head.status.as_u16(), headers: head.headers, ended, body, trailers }
        })
    }
}

/// A message with its prefix.
pub fn framed(compressed: u8, bytes: &[u8]) -> Vec<u8> {
    [&[compressed][..], &(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A body in one piece.
pub fn full(bytes: Vec<u8>) -> Outgoing {
    Full::new(Bytes::from(bytes)).boxed()
}
