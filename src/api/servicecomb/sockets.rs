//! Web sockets: a consumer is told of the changes of what it depends on, and an instance is kept alive by its
//! connection.
//!
//! Both ask for a sign of life every [`PING`] and end after [`SILENCE`] without one. What clients say besides does not
//! matter; it may be [`LONGEST`] bytes long.

use super::super::sockets::{Place, close, send};
use super::super::{Context, Refusal, Route, Shared};
use super::answer::{Answer, Failure};
use super::request::Head;
use super::rules;
use crate::registry::{Action, Fault, FaultKind, Instance, Notice, Tenant};
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::Method;
use axum::routing::get;
use serde_json::{Map, Value, json};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

pub(super) static ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/watcher",
        handler: || get(watcher),
    },
    Route {
        method: Method::GET,
        path: "/v4/{project}/registry/microservices/{service_id}/instances/{instance_id}/heartbeat",
        handler: || get(heartbeat),
    },
];

const PING: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(120);
/// Bytes of a client's message.
const LONGEST: usize = 64;

/// What a socket reads and writes at a time, in bytes.
const BUFFER: usize = 2 << 10;

/// The server stops.
const GOING_AWAY: u16 = 1001;
/// The service is there no more.
const NORMAL: u16 = 1000;
/// Too much was left unread.
const TRY_AGAIN: u16 = 1013;
/// The instance is not there: the client registers it anew.
const NO_INSTANCE: u16 = 4001;
const NO_INSTANCE_TEXT: &str = "heartbeat reporting failed because the instance does not exist";
const NO_SERVICE_TEXT: &str = "service does not exist";

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// A request that can become a socket, and room for it.
fn accept(context: &Context, upgrade: Upgrade) -> Result<(WebSocketUpgrade, Place), super::answer::Refused> {
    let upgrade = upgrade.map_err(|e| Failure::invalid(format!("send a web socket's handshake: {}", e.body_text())))?;
    let place = context.sockets.open().ok_or_else(|| {
        Refusal::busy("too many web sockets are open, or the server stops: try again, or poll with rev and heartbeats")
    })?;
    // As given, each socket would take 130 KiB.
    let upgrade = upgrade.read_buffer_size(BUFFER).write_buffer_size(BUFFER);
    Ok((upgrade.max_message_size(LONGEST).max_frame_size(LONGEST), place))
}

/// When the client was heard of last, and when it is asked next.
struct Pulse {
    heard: Instant,
    pings: tokio::time::Interval,
}

impl Pulse {
    fn new(every: Duration) -> Self {
        let now = Instant::now();
        let mut pings = interval_at(now + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Pulse { heard: now, pings }
    }
}

async fn watcher(State(context): State<Shared>, head: Head<String>, upgrade: Upgrade) -> Answer {
    rules::service_id("path: the service's id", &head.path)?;
    let (upgrade, place) = accept(&context, upgrade)?;
    let Head { tenant, path, .. } = head;
    Ok(upgrade.on_upgrade(move |socket| watch(context, tenant, path, socket, place)))
}

/// Sends what changes until the client goes, falls silent or falls behind.
async fn watch(context: Shared, tenant: Tenant, service: String, mut socket: WebSocket, mut place: Place) {
    let mut notices = match context.registry.watch(&tenant, &service) {
        Ok(notices) => notices,
        Err(fault) => {
            let missing = fault.kind == FaultKind::ServiceMissing;
            let text = if missing { NO_SERVICE_TEXT.to_owned() } else { fault.detail };
            if send(&mut socket, Message::Text(text.into())).await {
                close(socket, if missing { NORMAL } else { TRY_AGAIN }, "").await;
            }
            return;
        }
    };
    let mut pulse = Pulse::new(PING);
    let mut client_pings = false;
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                None | Some(Err(_)) => return,
                Some(Ok(message)) => {
                    pulse.heard = Instant::now();
                    // A client that asks by itself need not be asked.
                    client_pings |= matches!(message, Message::Ping(_));
                }
            },
            notice = notices.recv() => {
                let Some(notice) = notice else {
                    return close(socket, TRY_AGAIN, "too much was left unread").await;
                };
                let text = notice.text.get_or_init(|| frame(&notice).into());
                if !send(&mut socket, Message::Text(text.as_ref().into())).await {
                    return;
                }
            }
            _ = pulse.pings.tick() => {
                if context.registry.service(&tenant, &service).is_err() {
                    return close(socket, NORMAL, NO_SERVICE_TEXT).await;
                }
                if !client_pings && !send(&mut socket, Message::Ping(Default::default())).await {
                    return;
                }
            }
            () = sleep_until(pulse.heard + SILENCE) => return close(socket, NORMAL, "nothing was heard").await,
            () = place.stopped() => return close(socket, GOING_AWAY, "the server stops").await,
        }
    }
}

/// A change as clients read it.
fn frame(notice: &Notice) -> String {
    let Notice { action, tenant, service, instance, .. } = notice;
    let action = match action {
        Action::Create => "CREATE",
        Action::Update => "UPDATE",
        Action::Delete => "DELETE",
    };
    let mut key = Map::new();
    for (name, text) in [
        ("tenant", &format!("{}/{}", tenant.domain, tenant.project)),
        ("environment", &service.environment),
        ("appId", &service.app_id),
        ("serviceName", &service.service_name),
        ("alias", &service.alias),
        ("version", &service.version),
    ] {
        if !text.is_empty() {
            key.insert(name.to_owned(), Value::String(text.clone()));
        }
    }
    json!({ "action": action, "key": key, "instance": instance }).to_string()
}

async fn heartbeat(State(context): State<Shared>, head: Head<(String, String)>, upgrade: Upgrade) -> Answer {
    let (service, instance) = &head.path;
    rules::service_id("path: the service's id", service)?;
    rules::instance_id("path: the instance's id", instance)?;
    let (upgrade, place) = accept(&context, upgrade)?;
    let Head { tenant, path, .. } = head;
    Ok(upgrade.on_upgrade(move |socket| keep_alive(context, tenant, path, socket, place)))
}

/// Takes each pong for a heartbeat until the client goes or falls silent, or the instance is gone.
async fn keep_alive(
    context: Shared,
    tenant: Tenant,
    (service, instance): (String, String),
    mut socket: WebSocket,
    mut place: Place,
) {
    let find = || -> Result<_, Fault> { context.registry.instance(&tenant, &service, &instance) };
    let Ok(body) = find() else {
        return close(socket, NO_INSTANCE, NO_INSTANCE_TEXT).await;
    };
    // One with a short term is asked more often, or it would expire between two pongs.
    let term = serde_json::from_str::<Instance>(&body).unwrap_or_default().term();
    let mut pulse = Pulse::new(PING.min(Duration::from_secs(term.unsigned_abs() / 4)).max(Duration::from_secs(1)));
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                None | Some(Err(_)) => return,
                Some(Ok(message)) => {
                    pulse.heard = Instant::now();
                    let beats = matches!(message, Message::Pong(_));
                    if beats && context.registry.heartbeat(&tenant, &service, &instance).is_err() {
                        return close(socket, NO_INSTANCE, NO_INSTANCE_TEXT).await;
                    }
                }
            },
            _ = pulse.pings.tick() => {
                if find().is_err() {
                    return close(socket, NO_INSTANCE, NO_INSTANCE_TEXT).await;
                }
                if !send(&mut socket, Message::Ping(Default::default())).await {
                    return;
                }
            }
            () = sleep_until(pulse.heard + SILENCE) => return close(socket, NORMAL, "nothing was heard").await,
            () = place.stopped() => return close(socket, GOING_AWAY, "the server stops").await,
        }
    }
}
