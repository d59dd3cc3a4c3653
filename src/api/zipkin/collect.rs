//! Spans in: over HTTP in four formats, and over gRPC in one.
//!
//! The path says which version of the model is posted, the content type in which encoding: `application/x-thrift` and
//! `application/x-protobuf` are the binary ones, and whatever else stands there, or nothing, is JSON. An answer is
//! given once the spans are durable.

use super::super::metrics::{Kind, Transport};
use super::super::{Context, Refusal, Shared, body, grpc, post_spans, project, take_spans};
use crate::codec::zipkin::{Format, proto3};
use crate::model::Scope;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::{IntoResponse, Response};

/// The method `Report` of `schemas/zipkin.proto`.
pub(super) const GRPC: &str = "/zipkin.proto3.SpanService/Report";

pub(super) async fn post_v2(
    State(context): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    post(&context, &headers, body, Format::JsonV2, Format::Proto3).await
}

pub(super) async fn post_v1(
    State(context): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    post(&context, &headers, body, Format::JsonV1, Format::Thrift).await
}

async fn post(
    context: &Context,
    headers: &HeaderMap,
    body: Body,
    json: Format,
    binary: Format,
) -> Result<StatusCode, Refusal> {
    let format = if body::content_type(headers) == binary.content_type() { binary } else { json };
    post_spans(context, headers, body, format, scope(context, headers)?).await
}

fn scope(context: &Context, headers: &HeaderMap) -> Result<Scope<'static>, Refusal> {
    let project = project::resolve(context.config.projects, None, headers)?;
    Ok(Scope { project: project.into(), cluster_id: None, namespace: None })
}

/// Takes a `ListOfSpans` and answers the empty `ReportResponse`. As with the peer nothing is guessed here: the method
/// says what the message is.
pub(super) async fn report(State(context): State<Shared>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    if let Err(refusal) = grpc::expect_call(&head) {
        return refusal.into_response();
    }
    let mut counted = context.metrics.message(Kind::Spans, Transport::Grpc);
    let reported = async {
        // Before a byte is read: an overloaded server should not buffer what it cannot take.
        context.ingest.admit()?;
        let message = grpc::read(&context, &head.headers, body, body::SPANS).await?;
        take_spans(&context, &mut counted, message, scope(&context, &head.headers)?, proto3::decode).await?;
        Ok(Vec::new())
    };
    grpc::answer(reported.await)
}
