//! What surrounds an answer. HTTP's status is always 200, also where something is refused: `code` says which it is, and
//! clients look at nothing else.

use crate::api::Refusal;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

/// The form of every answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    code: u16,
    message: &'a str,
    code_desc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
}

impl Envelope<'_> {
    fn written(&self) -> impl IntoResponse + use<> {
        // Texts, a number and what is JSON already: writing them cannot fail.
        let text = serde_json::to_string(self).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], text)
    }
}

/// An answer to what was asked; the message says what is left out of it, if anything is.
pub(super) fn done(data: &RawValue, message: &str) -> Response {
    Envelope { code: 0, message, code_desc: "Success", data: Some(data) }.written().into_response()
}

/// Why nothing is answered: the product's code and words, then the place and the remedy.
#[derive(Clone, Debug)]
pub(in crate::api) struct Rejection {
    code: u16,
    code_desc: &'static str,
    refusal: Refusal,
}

impl Rejection {
    fn new(code: u16, words: &str, remedy: impl AsRef<str>) -> Rejection {
        let code_desc = match code {
            4000 => "InvalidParameter",
            4100 => "AuthFailure",
            4400 => "LimitExceeded",
            4500 => "PlaybackAttack",
            5000 => "ResourceNotFound",
            6200 => "ServiceUnavailable",
            _ => "InternalError",
        };
        let message = format!("{words}\n{}", remedy.as_ref().trim_end());
        Rejection { code, code_desc, refusal: Refusal::new(StatusCode::OK, message) }
    }

    /// A parameter that is needed, and not there or empty.
    pub(in crate::api) fn missing(parameter: &str, send: &str) -> Rejection {
        Rejection::new(4000, "(10010) lacked of required parameters", format!("parameter {parameter}: {send}"))
    }

    pub(super) fn no_such_action(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(4000, "(10280) action is not existed", remedy)
    }

    pub(super) fn repeated(parameter: &str) -> Rejection {
        let remedy = format!("parameter {parameter}: send it once");
        Rejection::new(4000, "(10330) parameter is NOT a repeatable parameter", remedy)
    }

    /// A value that cannot be.
    pub(in crate::api) fn out_of_range(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(4000, "(10350) parameter value or length is out of range", remedy)
    }

    /// A value that is none of its kind.
    pub(in crate::api) fn not_a_number(parameter: &str) -> Rejection {
        Rejection::new(4000, "(10360) parameter error type", format!("parameter {parameter}: send a whole number"))
    }

    pub(super) fn wrong_method(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(4000, "(10410) unexpected http method, only GET or POST is supported", remedy)
    }

    /// A request that cannot be read.
    pub(super) fn not_parsed(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(4000, "(10420) cannot parse", remedy)
    }

    pub(in crate::api) fn not_authentic(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(4100, "(10030) authentication failed", remedy)
    }

    pub(in crate::api) fn unknown_id(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(4100, "(10270) secret id is not existed", remedy)
    }

    /// A request that is too old or too new, or that came before.
    pub(in crate::api) fn replayed(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(4500, "Playback attack", remedy)
    }

    pub(super) fn no_such_cluster(remedy: impl AsRef<str>) -> Rejection {
        Rejection::new(5000, "Resource not existed", remedy)
    }

    /// A body that could not be taken.
    pub(in crate::api) fn unreadable(refusal: Refusal) -> Rejection {
        let rejection = match refusal.status {
            StatusCode::PAYLOAD_TOO_LARGE => Rejection::out_of_range(&refusal.message),
            status if status.is_client_error() => Rejection::not_parsed(&refusal.message),
            _ => return refusal.into(),
        };
        rejection.around(refusal)
    }

    pub(in crate::api) fn message(&self) -> &str {
        &self.refusal.message
    }

    /// With the headers of another's refusal.
    fn around(self, mut refusal: Refusal) -> Rejection {
        refusal.status = self.refusal.status;
        refusal.message = self.refusal.message;
        Rejection { refusal, ..self }
    }
}

/// A question that came to nothing.
impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let (code, words) = match refusal.status {
            StatusCode::SERVICE_UNAVAILABLE => (6200, "API temporarily unavailable"),
            StatusCode::PAYLOAD_TOO_LARGE => (4400, "Quota exceeded"),
            status if status.is_client_error() => (4000, "(10000) invalid request parameters"),
            _ => (6000, "(10050) server internal error"),
        };
        Rejection::new(code, words, &refusal.message).around(refusal)
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let envelope =
            Envelope { code: self.code, message: &self.refusal.message, code_desc: self.code_desc, data: None };
        let body = envelope.written();
        self.refusal.around(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorKind};

    async fn told(rejection: Rejection) -> (u16, Option<String>, serde_json::Value) {
        let response = rejection.into_response();
        let status = response.status().as_u16();
        let retry = response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, retry, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn whatever_goes_wrong_below_is_told_with_the_products_code_and_status_200() {
        for (kind, code, code_desc, words, retry) in [
            (ErrorKind::Invalid, 4000, "InvalidParameter", "(10000) invalid request parameters", None),
            (ErrorKind::TooLarge, 4400, "LimitExceeded", "Quota exceeded", None),
            (ErrorKind::Busy, 6200, "ServiceUnavailable", "API temporarily unavailable", Some("1")),
            (ErrorKind::Damaged, 6000, "InternalError", "(10050) server internal error", None),
            (ErrorKind::Internal, 6000, "InternalError", "(10050) server internal error", None),
        ] {
            let rejection = Rejection::from(Refusal::from(Error::new(kind, "where: what to do\n")));
            let body = serde_json::json!({
                "code": code, "message": format!("{words}\nwhere: what to do"), "codeDesc": code_desc,
            });
            assert_eq!(told(rejection).await, (200, retry.map(str::to_owned), body), "{kind:?}");
        }
    }

    #[tokio::test]
    async fn a_body_that_could_not_be_taken_is_the_requests_fault_unless_the_server_is_busy() {
        for (refusal, code, words) in [
            (
                Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "x"),
                4000,
                "(10350) parameter value or length is out of range",
            ),
            (Refusal::new(StatusCode::REQUEST_TIMEOUT, "x"), 4000, "(10420) cannot parse"),
            (Refusal::invalid("x"), 4000, "(10420) cannot parse"),
            (Refusal::busy("x"), 6200, "API temporarily unavailable"),
        ] {
            let (status, _, body) = told(Rejection::unreadable(refusal)).await;
            assert_eq!((status, &body["code"]), (200, &code.into()));
            assert_eq!(body["message"], format!("{words}\nx"));
        }
    }

    #[tokio::test]
    async fn a_connection_that_is_to_be_closed_is_said_to_be() {
        let response = Rejection::unreadable(Refusal::invalid("x").closing()).into_response();
        assert_eq!(response.headers()[header::CONNECTION], "close");
    }
}
