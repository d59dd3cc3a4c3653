//! OTLP, OpenTelemetry's protocol, as far as it brings service events: `POST /v1/logs` and, over gRPC, the method
//! `Export` of the `LogsService`. [`crate::codec::otlp::logs`] says which log records are events.
//!
//! The rules are the specification's (<https://opentelemetry.io/docs/specs/otlp/>), "OTLP/HTTP" and "OTLP/gRPC":
//! * the content type is `application/x-protobuf` or `application/json`, and the answer's is the request's; any other is
//!   answered 415;
//! * 200 means that all events are durable and visible. A request of nothing is one. `partialSuccess` says how many log
//!   records were rejected, being no events or faulty, and why: the sender must not send them again;
//! * a refusal is a `google.rpc.Status`, and where data is wrong (400) its details have a `BadRequest` with the place;
//! * senders come again after 429, 502, 503 and 504 alone. What another dialect answers 408, a body that did not arrive
//!   in time, is therefore 503 here.
//!
//! The cluster of events that do not name theirs is the request's: `?clusterId=`, or the header of that name, in gRPC
//! the metadata.
//!
//! [`answer`] has the messages that go out, [`logs`] takes what comes in.

mod answer;
mod logs;

use super::Route;
use axum::http::Method;
use axum::routing::post;

pub(super) static ROUTES: &[Route] = &[
    Route { method: Method::POST, path: "/v1/logs", handler: || post(logs::post_logs) },
    Route { method: Method::POST, path: logs::GRPC, handler: || post(logs::export) },
];
