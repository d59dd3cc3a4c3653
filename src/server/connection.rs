//! One connection: HTTP/1.1 or HTTP/2, by its first bytes.

use super::drain::SharedBody;
use crate::config::Config;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;

/// How many requests a client may have under way on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// How often a silent HTTP/2 connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(30);

/// What connections have in common.
pub(super) struct Connections {
    http: auto::Builder<TokioExecutor>,
    router: TowerToHyperService<Router>,
    header_timeout: Duration,
    body_timeout: Duration,
}

impl Connections {
    pub(super) fn new(router: Router, config: &Config) -> Self {
        let mut http = auto::Builder::new(TokioExecutor::new());
        // The time runs while a connection is idle, too.
        http.http1().timer(TokioTimer::new()).header_read_timeout(config.server.header_timeout);
        http.http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(config.server.header_timeout);
        Connections {
            http,
            router: TowerToHyperService::new(router),
            header_timeout: config.server.header_timeout,
            body_timeout: config.server.body_timeout,
        }
    }
}

/// Serves a connection until either side closes it or the server stops.
pub(super) async fn serve_connection(connections: Arc<Connections>, stream: TcpStream, watcher: Watcher) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let asked = Arc::new(AtomicBool::new(false));
    let service = {
        let (connections, asked) = (connections.clone(), asked.clone());
        hyper::service::service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            handle(connections.clone(), request)
        })
    };
    let served = connections.http.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut served = std::pin::pin!(watcher.watch(served));
    // The time for a request's head begins to run only when it is known which protocol the client speaks; one that
    // does not say, or never asks anything, is closed here.
    let outcome = match tokio::time::timeout(connections.header_timeout, served.as_mut()).await {
        Ok(outcome) => outcome,
        Err(_) if asked.load(Ordering::Relaxed) => served.await,
        Err(_) => return,
    };
    if let Err(e) = outcome {
        // The client went away, took too long or speaks something else: its business, not the operator's.
        tracing::debug!(error = %e, "connection ended");
    }
}

/// Answers one request, and sees to it that its body is read to the end, so that the connection can go on.
async fn handle(connections: Arc<Connections>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = SharedBody::new(body);
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let answered = connections.router.call(Request::from_parts(head, Body::new(body.clone())));
    let mut response = match AssertUnwindSafe(answered).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            tracing::error!(%method, path, "a request ended in a panic: this is a fault of the server");
            (StatusCode::INTERNAL_SERVER_ERROR, "internal error\nthis is a fault of the server; its log has more\n")
                .into_response()
        }
    };
    let closes = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
    if !closes && !body.drain(connections.body_timeout).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
