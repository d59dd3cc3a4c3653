//! The API: one folder a dialect, each with its routes, its request and response types and its error bodies. Nothing
//! here knows how spans are stored.
//!
//! What the dialects share:
//! * [`Context`]: the rooms below, the settings, and what bounds the work under way;
//! * [`body`]: a request's body, decompressed and bounded;
//! * [`posted`]: service events, from a body to the promise;
//! * [`grpc`]: a call with one message each way;
//! * [`lookup`]: a query's answer, streamed where it is large;
//! * [`metrics`]: what is counted of all this;
//! * [`sockets`]: web sockets, counted and ended with the server;
//! * [`cors`]: which sites' pages may use all this from a browser;
//! * [`auth`]: who may come in at all, and in whose name;
//! * [`Refusal`]: why a request is refused; each dialect renders it in its own form, the peer's text first, then the
//!   place and the remedy.
//!
//! The router is built from [`routes`], which a test holds to `schemas/openapi.yaml`.

pub mod admin;
pub mod ats;
mod auth;
mod body;
mod budget;
mod ccs;
mod compress;
mod cors;
pub mod events;
mod grpc;
mod k8s;
mod kie;
mod lookup;
mod metrics;
mod object;
mod observed;
mod otlp;
mod posted;
mod project;
mod refusal;
pub mod sae;
pub mod servicecomb;
mod sockets;
pub mod zipkin;

pub use auth::{Auth, Caller, Peer, Scheme};
pub use refusal::Refusal;
pub use sockets::Sockets;

use crate::clock::Clock;
use crate::codec::zipkin::{self as zipkin_codec, Format};
use crate::codec::{DecodeError, Limits};
use crate::config::Config;
use crate::ingest::{Ingest, LARGE, offload};
use crate::model::{Scope, Span};
use crate::registry::Registry;
use crate::store::Store;
use auth::Guard;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use body::Payload;
use budget::Budget;
use metrics::{Counters, Kind, Message, Transport};
use std::num::NonZero;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Large bodies that are decoded at a time, however many cores there are: each may take some hundred MiB.
const MOST_DECODERS: usize = 4;

/// What every handler works with.
pub struct Context {
    config: Arc<Config>,
    store: Arc<Store>,
    ingest: Ingest,
    registry: Arc<Registry>,
    auth: Auth,
    clock: Arc<dyn Clock>,
    /// When the server was started, in microseconds since 1970 UTC.
    started_micros: i64,
    /// Bytes of request bodies that are being handled.
    bodies: Budget,
    /// Places for large bodies to be decoded in. In memory spans take many times what they have in a body; small
    /// bodies are decoded on the runtime's threads, which are few as well.
    decoders: Semaphore,
    lookups: lookup::Bounds,
    observing: observed::Observing,
    sockets: Sockets,
    many_services: zipkin::ManyServices,
    configurations: kie::Answers,
    tracks: kie::Tracks,
    metrics: Arc<Counters>,
}

/// How handlers hold the context.
pub type Shared = Arc<Context>;

impl Context {
    pub fn new(
        config: Arc<Config>,
        store: Arc<Store>,
        ingest: Ingest,
        registry: Arc<Registry>,
        auth: Auth,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let bodies = Budget::new(config.ingest.max_inflight_bytes);
        // Each is a connection, of which there may be so many besides.
        let sockets = Sockets::new(config.server.max_connections);
        let decoders = Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_DECODERS));
        let configurations = kie::Answers::new(&config.kie);
        Context {
            config,
            store,
            ingest,
            registry,
            auth,
            started_micros: clock.now_micros(),
            clock,
            bodies,
            decoders,
            lookups: lookup::Bounds::new(),
            observing: observed::Observing::new(),
            sockets,
            many_services: zipkin::ManyServices::default(),
            configurations,
            tracks: kie::Tracks::default(),
            metrics: Arc::default(),
        }
    }

    /// The web sockets that are open.
    pub fn sockets(&self) -> Sockets {
        self.sockets.clone()
    }

    /// Milliseconds since 1970 UTC.
    fn now_millis(&self) -> i64 {
        self.clock.now_micros().div_euclid(1_000)
    }
}

/// One route.
pub struct Route {
    pub method: Method,
    /// Parameters in braces, as the OpenAPI document writes them.
    pub path: &'static str,
    handler: fn() -> MethodRouter<Shared>,
}

/// All routes, dialect by dialect, and what stands before them: nothing, or a guard that lets nobody unknown in once the
/// settings name anybody.
fn groups() -> impl Iterator<Item = (Option<Guard>, &'static Route)> {
    [
        (None, zipkin::ROUTES),
        (None, zipkin::QUERY_ROUTES),
        (None, zipkin::NAME_ROUTES),
        (None, zipkin::ADMIN_ROUTES),
        (None, k8s::ROUTES),
        (None, otlp::ROUTES),
        (Some(Guard::Ats), ats::ROUTES),
        (Some(Guard::Ats), events::ROUTES),
        (Some(Guard::Sae), sae::ROUTES),
        (Some(Guard::Ccs), ccs::ROUTES),
        (Some(Guard::Kie), kie::ROUTES),
        (Some(Guard::KieFile), kie::FILE_ROUTES),
        (None, kie::OPEN_ROUTES),
        (None, admin::ROUTES),
        (None, auth::LOGIN_ROUTES),
        (Some(Guard::Accounts), auth::ACCOUNT_ROUTES),
    ]
    .into_iter()
    .flat_map(|(guard, routes)| routes.iter().map(move |route| (guard, route)))
    .chain(servicecomb::routes().map(|route| (Some(Guard::Registry), route)))
    .chain(servicecomb::open_routes().map(|route| (None, route)))
}

/// All routes, dialect by dialect.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    groups().map(|(_, route)| route)
}

/// Answers every route, and says what there is where there is none.
pub fn router(context: Shared) -> Router {
    let origins = Arc::new(context.config.server.allowed_origins.clone());
    let counters = context.metrics.clone();
    let guarded = |guard: Option<Guard>, handler: MethodRouter<Shared>| match guard.filter(|_| context.auth.is_on()) {
        Some(guard) => handler.route_layer(middleware::from_fn_with_state((context.clone(), guard), auth::layer)),
        None => handler,
    };
    groups()
        .fold(Router::new(), |router, (guard, route)| router.route(route.path, guarded(guard, (route.handler)())))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn(compress::layer))
        .layer(middleware::from_fn_with_state(origins, cors::layer))
        .layer(middleware::from_fn_with_state(counters, metrics::layer))
        .with_state(context)
}

async fn no_such_path(State(context): State<Shared>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    // Not even where there is nothing: scanners for it take any other answer for a find.
    if method == Method::TRACE {
        return ([(header::ALLOW, "GET,HEAD,POST")], no_such_method(method, uri).await).into_response();
    }
    if let Some(response) = sae::no_such_path(&context, &uri, &headers) {
        return response;
    }
    let mut message = format!("{} not found\nwhat there is:\n", uri.path());
    for route in routes() {
        message.push_str(&format!("  {} {}\n", route.method, route.path));
    }
    Refusal::new(StatusCode::NOT_FOUND, message).into_response()
}

async fn no_such_method(method: Method, uri: Uri) -> Response {
    if let Some(response) = ccs::no_such_method(&method, &uri) {
        return response;
    }
    let message = format!("{method} is not for {}\nthe header allow names the methods that are", uri.path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message).into_response()
}

/// Takes the spans of a request: returns once they are durable and visible.
async fn post_spans(
    context: &Context,
    headers: &HeaderMap,
    body: Body,
    format: Format,
    scope: Scope<'_>,
) -> Result<StatusCode, Refusal> {
    let mut message = context.metrics.message(Kind::Spans, Transport::Http);
    // Before a byte is read: an overloaded server should not buffer what it cannot take.
    context.ingest.admit()?;
    let body = body::read_as(context, headers, body, body::SPANS).await?;
    take_spans(context, &mut message, body, scope, |body, limits| zipkin_codec::decode(body, format, limits)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Takes the spans that `decode` finds in a body: returns once they are durable and visible.
async fn take_spans(
    context: &Context,
    message: &mut Message<'_>,
    body: Payload<'_>,
    scope: Scope<'_>,
    decode: impl for<'b> FnOnce(&'b [u8], &Limits) -> Result<Vec<Span<'b>>, DecodeError>,
) -> Result<(), Refusal> {
    let batch = read_batch(context, message, body, |body| -> Result<_, Refusal> {
        let spans = decode(body, context.ingest.limits())?;
        Ok((spans.len(), context.ingest.encode(&scope, spans)?))
    });
    let (_, batch) = batch.await?;
    context.ingest.append(batch).await?;
    message.kept = true;
    Ok(())
}

/// Makes of a body, in a place of its own where it is large, what is stored of it: `read` gives how many spans or events
/// it found, and what it made of them.
async fn read_batch<B, E>(
    context: &Context,
    message: &mut Message<'_>,
    body: Payload<'_>,
    read: impl FnOnce(&[u8]) -> Result<(usize, B), E>,
) -> Result<(usize, B), E> {
    message.bytes = body.len();
    let _place = if body.len() >= LARGE { Some(context.decoders.acquire().await) } else { None };
    let (count, made) = offload(body.len(), || read(&body))?;
    message.read = Some(count);
    // Body and place are free again: only what is encoded waits for the log.
    Ok((count, made))
}
