//! Why a request is refused, before a dialect puts it into its own form.

use crate::codec::DecodeError;
use crate::error::{Error, ErrorKind};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A refused request.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub status: StatusCode,
    /// The peer's text in the first line, then the place and the remedy.
    pub message: String,
    /// What the status calls for in the head.
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let headers = match status {
            // A second is about what a flush takes.
            StatusCode::SERVICE_UNAVAILABLE => vec![(header::RETRY_AFTER, HeaderValue::from_static("1"))],
            _ => Vec::new(),
        };
        Refusal { status, message: message.into(), headers }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn busy(message: impl Into<String>) -> Self {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The same with a header.
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// The same, after which the connection is closed: the rest of the request is not worth waiting for.
    pub fn closing(self) -> Self {
        self.with(header::CONNECTION, "close")
    }

    /// Puts status and headers around a dialect's own error body.
    pub fn around(self, body: impl IntoResponse) -> Response {
        let mut response = body.into_response();
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Invalid => StatusCode::BAD_REQUEST,
            ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Damaged | ErrorKind::Internal => {
                tracing::error!(%error, "a request failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Refusal::new(status, error.message())
    }
}

impl From<DecodeError> for Refusal {
    fn from(error: DecodeError) -> Self {
        let status = if error.too_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        Refusal::new(status, error.to_string())
    }
}

/// Plain text, as Zipkin answers and as a person at a terminal reads it.
impl IntoResponse for Refusal {
    fn into_response(mut self) -> Response {
        let mut message = std::mem::take(&mut self.message);
        if !message.ends_with('\n') {
            message.push('\n');
        }
        self.around(message)
    }
}
