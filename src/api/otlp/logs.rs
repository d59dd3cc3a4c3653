//! Log records in, over HTTP in two encodings and over gRPC.

use super::answer::{self, Encoding, Exported, Fault};
use crate::api::body::{self, Payload};
use crate::api::metrics::{Kind, Message, Transport};
use crate::api::posted::{Whose, take_events};
use crate::api::{Context, Shared, grpc};
use crate::codec::otlp::logs::{decode_json, decode_proto};
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Request};
use axum::response::{IntoResponse, Response};

/// The method `Export` of `logs_service.proto`.
pub(super) const GRPC: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

pub(super) async fn post_logs(
    State(context): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut message = context.metrics.message(Kind::Events, Transport::Http);
    let Some(encoding) = Encoding::of(&headers) else { return answer::unsupported(&headers) };
    let posted = async {
        let whose = Whose::of(&context, query.as_deref(), &headers)?;
        // Before a byte is read: an overloaded server should not buffer what it cannot take.
        context.ingest.admit()?;
        let body = body::read(&context, &headers, body).await?;
        take(&context, &mut message, body, &whose, encoding).await
    };
    match posted.await {
        Ok(exported) => exported.response(encoding),
        Err(fault) => fault.response(encoding),
    }
}

pub(super) async fn export(State(context): State<Shared>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    if let Err(refusal) = grpc::expect_call(&head) {
        return refusal.into_response();
    }
    let mut message = context.metrics.message(Kind::Events, Transport::Grpc);
    let exported = async {
        let whose = Whose::of(&context, None, &head.headers)?;
        // Before a byte is read, as above.
        context.ingest.admit()?;
        let body = grpc::read(&context, &head.headers, body, body::ANY).await?;
        take(&context, &mut message, body, &whose, Encoding::Proto).await
    };
    grpc::answer(exported.await.map(|exported| exported.proto()).map_err(Fault::into_refusal))
}

/// Takes the events of a request: returns what is said of it once they are durable and visible.
async fn take(
    context: &Context,
    message: &mut Message<'_>,
    body: Payload<'_>,
    whose: &Whose,
    encoding: Encoding,
) -> Result<Exported, Fault> {
    let (_, rejected) = take_events(context, message, body, whose, |body, cluster, limits| -> Result<_, Fault> {
        let logs = match encoding {
            Encoding::Proto => decode_proto(body, cluster, limits),
            Encoding::Json => decode_json(body, cluster, limits),
        }?;
        let rejected = logs.rejected();
        Ok((logs.events, rejected))
    })
    .await?;
    Ok(Exported::of(rejected))
}
