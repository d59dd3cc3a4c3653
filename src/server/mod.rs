//! The server: puts the rooms together, listens, and stops in order.
//!
//! Start: the data folder's lock, the listener, the store (which replays the log), then the banner: who reads the
//! banner can post. Stop, on SIGTERM or SIGINT: no new connections, requests under way are finished within
//! `shutdown_timeout`, then the store writes what is in memory to the table. A second signal leaves at once, which
//! loses nothing either: an acknowledged span is in the log.
//!
//! HTTP/1.1 and HTTP/2 without TLS (prior knowledge) share the port. Whatever a connection does is bounded: the time
//! for a request's head and body, for taking an answer and for doing nothing, the bytes that are buffered, the number
//! of connections.

mod activity;
mod banner;
mod connection;
mod drain;
mod listener;
mod lock;

use crate::api::{self, Auth, Context};
use crate::clock::Clock;
use crate::codec;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::fs::Fs;
use crate::ingest::Ingest;
use crate::registry::{self, Registry, RegistryConfig};
use crate::store::{Store, StoreConfig};
use rand::TryRngCore;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Serves until a signal says stop. The banner goes to `out`.
pub async fn run(config: Arc<Config>, fs: Arc<dyn Fs>, clock: Arc<dyn Clock>, out: &mut dyn Write) -> Result<()> {
    let _lock = lock::DataLock::take(&config.data)?;
    let listener = listen(&config.listen).await?;
    let listening = listener.local_addr().map_err(|e| Error::internal(format!("cannot tell the address: {e}")))?;

    let store = Store::open(store_config(&config), fs, clock.clone()).await?;
    let limits = codec::Limits {
        max_spans: config.ingest.max_spans,
        max_entries: config.ingest.max_entries,
        max_span_entries: config.ingest.max_span_entries,
        max_depth: config.ingest.max_depth,
        max_tag_bytes: config.ingest.max_tag_bytes,
    };
    let event_limits = codec::k8s::Limits {
        max_events: config.events.max_events,
        max_values: config.events.max_values,
        max_depth: config.events.max_depth,
        max_name_bytes: config.events.max_name_bytes,
        max_message_bytes: config.events.max_message_bytes,
        max_decoded_bytes: config.events.max_decoded_bytes,
    };
    let ingest = Ingest::new(store.clone(), clock.clone(), limits).with_event_limits(event_limits);
    let registry = Registry::open(registry_config(&config), clock.clone(), random()?).await?;
    let ticking = tokio::spawn(tick(registry.clone()));
    let auth = Auth::open(&config.auth, registry.clone(), clock.clone()).await?;
    let context = Context::new(config.clone(), store.clone(), ingest, registry.clone(), auth, clock);
    let sockets = context.sockets();
    let router = api::router(Arc::new(context));

    // Before the banner: whoever has read it may send a signal.
    let stop = Stop::new()?;
    // A banner that nobody reads is no reason to stop.
    let _ = out.write_all(banner::banner(listening, &config.data).as_bytes()).and_then(|()| out.flush());
    tracing::info!(address = %listening, data = %config.data.display(), "ready");

    let served = listener::serve(listener, router, sockets, &config, stop, || registry.stop_waiting()).await;
    let Some(mut again) = served else {
        return Err(Error::internal("left at once on a second signal; what was acknowledged is in the log"));
    };
    tracing::info!("writing what is in memory to the table");
    ticking.abort();
    let closing = async {
        registry.close().await;
        store.close().await
    };
    tokio::select! {
        closed = closing => closed.map_err(|error| {
            let lasting = "what was acknowledged is in the log, and the next start takes it from there";
            Error::new(error.kind(), format!("could not write all to the table before leaving: {error}; {lasting}"))
        })?,
        () = again.asked() => {
            return Err(Error::internal("left at once on a second signal; what was acknowledged is in the log"));
        }
    }
    tracing::info!("stopped");
    Ok(())
}

fn store_config(config: &Config) -> StoreConfig {
    StoreConfig {
        flush_bytes: config.flush.bytes,
        flush_interval: config.flush.interval,
        segment_bytes: config.wal.segment_bytes,
        compact_files: config.lake.compact_files,
        kept_tags: config.zipkin.autocomplete_keys.clone().into(),
        removed_file_retention: config.lake.removed_file_retention,
        event_retention: Some(config.events.retention).filter(|kept| !kept.is_zero()),
        ..StoreConfig::new(config.data.clone())
    }
}

fn registry_config(config: &Config) -> RegistryConfig {
    RegistryConfig {
        url: config.registry.url.clone(),
        max_services: config.registry.max_services,
        max_instances: config.registry.max_instances,
        max_bytes: config.registry.max_bytes,
        max_schemas: config.registry.max_schemas,
        max_tags: config.registry.max_tags,
        max_items: config.kie.max_items,
        max_item_bytes: config.kie.max_bytes,
        max_waiting: config.kie.max_waiting,
        ..RegistryConfig::new(&config.data)
    }
}

/// Drops instances whose heartbeats stay away, for ever.
async fn tick(registry: Arc<Registry>) {
    let mut ticks = tokio::time::interval(registry::TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        registry.tick();
    }
}

fn random() -> Result<u64> {
    let number = rand::rngs::OsRng.try_next_u64();
    number.map_err(|e| Error::internal(format!("cannot draw a random number: {e}")))
}

/// Listens on the first of the name's addresses that works.
async fn listen(address: &str) -> Result<TcpListener> {
    let refused = |e: std::io::Error| {
        let remedy = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there; stop it, or name another address with --listen (port 0: any free one)"
            }
            std::io::ErrorKind::PermissionDenied => "ports below 1024 need privileges; name another with --listen",
            _ => "name another address with --listen",
        };
        Error::internal(format!("cannot listen on {address}: {e}: {remedy}"))
    };
    let addresses = tokio::net::lookup_host(address).await.map_err(refused)?;
    let mut outcome = Err(std::io::Error::other("the name has no address"));
    for candidate in addresses {
        outcome = listen_at(candidate);
        if outcome.is_ok() {
            break;
        }
    }
    outcome.map_err(refused)
}

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that is started again at once must not wait for its predecessor's connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The signals that stop the server.
struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    fn new() -> Result<Stop> {
        let failed = |e| Error::internal(format!("cannot listen for signals: {e}"));
        Ok(Stop {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    /// Returns at the next signal.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
