//! Accepts connections, not more than there is room for, until told to stop; then waits for what is under way.

use super::Stop;
use super::connection::{Connections, serve_connection};
use crate::api::Sockets;
use crate::config::Config;
use axum::Router;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// How long to wait when the system has no descriptors left: less would spin, more would be felt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How many refusals may be under way at a time; a connection beyond them is closed without a word.
const REFUSALS: usize = 64;
/// How long a refused client may take to read its refusal.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-type: text/plain; charset=utf-8\r\ncontent-length: 83\r\n\r\n\
too many connections\nserver.max_connections: close idle ones, or raise the setting\n";

/// Serves until the first signal, tells by `stopping_now` that it came, and waits for what is under way. `None` if a
/// second signal cut that short.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    sockets: Sockets,
    config: &Config,
    mut stop: Stop,
    stopping_now: impl FnOnce(),
) -> Option<Stop> {
    let (stopping, stopped) = watch::channel(false);
    let connections = Arc::new(Connections::new(router, config));
    let room = Arc::new(Semaphore::new(config.server.max_connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.asked() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // A connection that was gone before it was accepted, or no descriptors left: either passes.
                tracing::warn!(error = %e, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match room.clone().try_acquire_owned() {
            Ok(place) => {
                tracing::trace!(%peer, "connected");
                let served = serve_connection(connections.clone(), stream, stopped.clone());
                tokio::spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(_) => {
                if let Ok(place) = refusals.clone().try_acquire_owned() {
                    tokio::spawn(async move {
                        let _ = tokio::time::timeout(REFUSAL_TIME, refuse(stream)).await;
                        drop(place);
                    });
                }
            }
        }
    }
    drop(listener);
    tracing::info!("stopping: finishing the requests that are under way");
    // Sent even if there is no connection left to hear it.
    let _ = stopping.send(true);
    stopping_now();
    // All places are free when the last connection has ended; at most a million, as the setting has it.
    let all = u32::try_from(config.server.max_connections).unwrap_or(u32::MAX);
    // A connection that became a web socket has given its place back.
    let ended = async { tokio::join!(room.acquire_many(all), sockets.close()) };
    tokio::select! {
        _ = ended => {}
        () = tokio::time::sleep(config.shutdown_timeout) => {
            tracing::warn!(shutdown_timeout = ?config.shutdown_timeout, "requests are still under way; left to their fate");
        }
        () = stop.asked() => return None,
    }
    Some(stop)
}

/// Tells a client that there is no room. Its request is read and thrown away: closing a socket with unread bytes
/// would reset it, and the client might never see the answer.
async fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(FULL).await?;
    stream.shutdown().await?;
    let mut thrown_away = [0; 4096];
    while stream.read(&mut thrown_away).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusals_length_is_its_bodys() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
