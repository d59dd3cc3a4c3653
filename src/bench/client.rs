//! The bench's HTTP client: plain HTTP/1.1 over connections that stay open, with nothing between the load and the socket.

use super::measure::{micros_since, moment};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST, RETRY_AFTER};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long an answer may take: a server that is slower than this is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub host: String,
    pub port: u16,
}

impl Target {
    /// Reads `http://host:port`.
    pub fn parse(url: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("{url:?} {what}: expected http://HOST:PORT");
        let uri: Uri = url.parse().map_err(|_| bad("is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("does not begin with http://"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(bad("has a path"));
        }
        let host = uri.host().ok_or_else(|| bad("names no host"))?;
        Ok(Target { host: host.to_owned(), port: uri.port_u16().unwrap_or(80) })
    }

    /// As it stands in a URL and in the Host header.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// Whole seconds, where the server says them.
    pub retry_after: Option<u64>,
    /// The header `X-Resource-Revision`.
    pub revision: Option<String>,
    pub body: Bytes,
    /// From the first byte sent to the last one read.
    pub micros: u32,
}

impl Answer {
    /// The start of the body, to quote in an error.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).trim().to_owned();
        if text.is_empty() { "(empty body)".to_owned() } else { text }
    }
}

/// What is posted.
#[derive(Clone, Debug)]
pub struct Post {
    pub content_type: &'static str,
    pub gzip: bool,
    pub body: Bytes,
}

/// One connection, opened when it is needed and again when the server closed it.
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    pub fn new(target: Target) -> Self {
        Connection { target, sender: None }
    }

    /// Asks for `path`.
    pub async fn get(&mut self, path: &str) -> Result<Answer, String> {
        self.send(Method::GET, path, None).await
    }

    /// Posts to `path`; `None` is an empty body.
    pub async fn post(&mut self, path: &str, post: Option<&Post>) -> Result<Answer, String> {
        self.send(Method::POST, path, post).await
    }

    pub async fn send(&mut self, method: Method, path: &str, post: Option<&Post>) -> Result<Answer, String> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let reused = self.sender.is_some();
            let failed = match self.attempt(method.clone(), path, post).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            self.sender = None;
            // A server may close a connection just while it is used again: that is no failure of its. What was stored
            // and not answered is posted again; equal spans are one span.
            if !(reused && failed.connection && attempts < 3) {
                return Err(failed.message);
            }
        }
    }

    async fn attempt(&mut self, method: Method, path: &str, post: Option<&Post>) -> Result<Answer, Failed> {
        let mut sender = match self.sender.take() {
            Some(sender) => sender,
            None => self.connect().await.map_err(|message| Failed { message, connection: false })?,
        };
        let authority = self.target.authority();
        let mut request = Request::builder().method(&method).uri(path).header(HOST, &authority);
        if let Some(post) = post {
            request = request.header(CONTENT_TYPE, post.content_type);
            if post.gzip {
                request = request.header(CONTENT_ENCODING, "gzip");
            }
        }
        let body = post.map_or_else(Bytes::new, |post| post.body.clone());
        let request = request
            .body(Full::new(body))
            .map_err(|error| Failed { message: format!("{path:?} is no path: {error}"), connection: false })?;
        let exchange = async {
            sender.ready().await?;
            let start = moment();
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>((head, body, micros_since(start)))
        };
        let what = format!("{method} http://{authority}{path}");
        let (head, body, micros) = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(Failed { message: format!("{what} failed: {error}"), connection: true }),
            Err(_) => {
                let message = format!("{what} was not answered in {} s", PATIENCE.as_secs());
                return Err(Failed { message, connection: false });
            }
        };
        self.sender = Some(sender);
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let revision = head.headers.get("x-resource-revision").and_then(|value| value.to_str().ok().map(str::to_owned));
        Ok(Answer { status: head.status, retry_after, revision, body, micros })
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let authority = self.target.authority();
        let stream = TcpStream::connect(&authority)
            .await
            .map_err(|error| format!("cannot connect to {authority}: {error}; is the server running there?"))?;
        // Small requests must not wait for each other's acknowledgement.
        stream.set_nodelay(true).map_err(|error| format!("cannot set up the connection to {authority}: {error}"))?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("cannot speak HTTP to {authority}: {error}"))?;
        // It ends with its sender, or tells its error there.
        tokio::spawn(connection);
        Ok(sender)
    }
}

struct Failed {
    message: String,
    /// Whether the connection broke, rather than could not be made or was too slow.
    connection: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_bare_http_address() {
        let target = Target::parse("http://127.0.0.1:9411").unwrap();
        assert_eq!(target.authority(), "127.0.0.1:9411");
        assert_eq!(Target::parse("http://tracing.example/").unwrap().port, 80);
        for bad in ["127.0.0.1:9411", "https://127.0.0.1:9411", "http://h:1/api", ""] {
            assert!(Target::parse(bad).unwrap_err().contains("expected http://HOST:PORT"), "{bad}");
        }
    }
}
