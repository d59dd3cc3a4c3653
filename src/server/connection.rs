//! One connection: HTTP/1.1 or HTTP/2, by its first bytes.
//!
//! Its place is given back by every client, whatever it does or leaves undone: an idle connection is closed after
//! `header_timeout`, of either protocol and whether it asked before or not, and one whose answers are not read after
//! `body_timeout`.

use super::activity::{Activity, Answer, Socket};
use super::drain::SharedBody;
use crate::api::Peer;
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
use hyper_util::service::TowerToHyperService;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// How many requests a client may have under way on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// How often an HTTP/2 connection on which something is under way is asked whether it lives.
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
        // Headers go out as `X-Kie-Revision`: the Java clients of ServiceComb look for names by their case.
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(config.server.header_timeout)
            .title_case_headers(true);
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

/// Serves a connection until either side closes it, it becomes a web socket or the server stops, which `stop` tells by
/// turning true.
pub(super) async fn serve_connection(
    connections: Arc<Connections>,
    stream: TcpStream,
    mut stop: watch::Receiver<bool>,
) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let activity = Activity::new();
    let peer = stream.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |address| address.ip());
    let service = {
        let (connections, activity) = (connections.clone(), activity.clone());
        hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            handle(connections.clone(), activity.clone(), request)
        })
    };
    let socket = TokioIo::new(Socket::new(stream, connections.body_timeout, activity.clone()));
    let mut served = std::pin::pin!(connections.http.serve_connection_with_upgrades(socket, service));
    let mut time = connections.header_timeout;
    let mut ending = false;
    loop {
        tokio::select! {
            outcome = served.as_mut() => {
                if let Err(e) = outcome {
                    // The client went away, took too long or speaks something else: its business, not the operator's.
                    tracing::debug!(error = %e, "connection ended");
                }
                return;
            }
            _ = stop.wait_for(|stop| *stop), if !ending => {}
            () = tokio::time::sleep_until(activity.idle_for(time)) => {
                if activity.idle_for(time) > Instant::now() {
                    continue;
                }
                if ending {
                    tracing::debug!("connection given up: the client neither takes its answers nor closes");
                    return;
                }
            }
        }
        // The client is told, so that it sends no request that would go unanswered; what is under way is finished.
        served.as_mut().graceful_shutdown();
        ending = true;
        time = connections.body_timeout;
        activity.touch();
    }
}

/// Answers one request, and sees to it that its body is read to the end, so that the connection can go on. The answer
/// does not wait for that: a client that looks may stop sending.
async fn handle(
    connections: Arc<Connections>,
    activity: Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Response<Answer>, Infallible> {
    let under_way = activity.begin();
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
    if !closes {
        match body.drain(connections.body_timeout).now_or_never() {
            Some(true) => {}
            Some(false) => {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            // Where it does not come to an end in time, the connection ends with it.
            None => drop(tokio::spawn(async move {
                body.drain(connections.body_timeout).await;
                drop(under_way);
            })),
        }
    }
    Ok(response.map(|body| Answer::new(body, activity.clone())))
}
