//! The forms of answers.

use super::super::Refusal;
use crate::registry::{Fault, FaultKind};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;

/// The header that tells a list's revision.
pub(super) const REVISION: HeaderName = HeaderName::from_static("x-resource-revision");

/// What is wrong, by the service centre's codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct Failure {
    /// Six digits; the first three are the HTTP status.
    pub(in crate::api) code: u32,
    pub(in crate::api) detail: String,
}

impl Failure {
    pub(in crate::api) fn new(code: u32, detail: impl Into<String>) -> Self {
        Failure { code, detail: detail.into() }
    }

    /// A field that breaks a rule, with the place and the remedy.
    pub(in crate::api) fn invalid(detail: impl Into<String>) -> Self {
        Failure::new(400_001, detail)
    }

    /// What the service centre says of the code.
    pub(in crate::api) fn message(&self) -> &'static str {
        match self.code {
            400_001 => "Invalid parameter(s)",
            400_010 => "Micro-service already exists",
            400_012 => "Micro-service does not exist",
            400_013 => "Micro-service has deployed instance(s)",
            400_016 => "Schema does not exist",
            400_017 => "Instance does not exist",
            400_018 => "Tag does not exist",
            400_023 => "Consumer(s) depends on this micro-service",
            400_024 => "Access micro-service refused",
            400_026 => "Micro-service version does not exist",
            400_100 => "Not enough quota",
            400_200 => "Account not exists",
            400_201 => "Role not exists",
            400_202 => "Account has invalid role(s)",
            400_203 => "No quota to create account",
            400_206 => "New password is bad",
            401_201 => "Request unauthorized",
            401_202 => "User name or password is wrong",
            401_204 => "No authorization header",
            401_205 => "Token is expired",
            401_206 => "The account that owns the token is deleted",
            401_207 => "Password is wrong",
            403_001 => "Forbidden",
            403_201 => "Account blocked",
            403_202 => "Forbid to operate build-in account(s)",
            403_203 => "Forbid to operate build-in role(s)",
            403_204 => "Forbid to operate your own account",
            403_205 => "No permission(s)",
            409_200 => "account name is duplicated",
            503_001 => "Server is busy",
            500_011 => "Registry service is unavailable",
            _ => "Internal server error",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'b> {
    error_code: String,
    error_message: &'b str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'b str,
}

/// As it stands in a list of outcomes.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}({})", self.message(), self.detail)
    }
}

impl Failure {
    /// As a value inside a larger answer.
    pub(super) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "errorCode": self.code.to_string(), "errorMessage": self.message(), "detail": self.detail
        })
    }

    fn around(&self, refusal: Option<Refusal>) -> Response {
        let body = Body { error_code: self.code.to_string(), error_message: self.message(), detail: &self.detail };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let body = ([(header::CONTENT_TYPE, "application/json")], text);
        match refusal {
            Some(refusal) => refusal.around(body),
            None => {
                let status = u16::try_from(self.code / 1_000).ok().and_then(|code| StatusCode::from_u16(code).ok());
                (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), body).into_response()
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.around(None)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::Invalid => 400_001,
            FaultKind::ServiceMissing => 400_012,
            FaultKind::VersionMissing => 400_026,
            FaultKind::InstanceMissing => 400_017,
            FaultKind::SchemaMissing => 400_016,
            FaultKind::TagMissing => 400_018,
            FaultKind::ServiceConflict => 400_010,
            FaultKind::HasInstances => 400_013,
            FaultKind::DependedOn => 400_023,
            FaultKind::Denied => 400_024,
            FaultKind::Quota => 400_100,
            FaultKind::AccountMissing => 400_200,
            FaultKind::AccountConflict => 409_200,
            FaultKind::Unavailable => 500_011,
            _ => 500_003,
        };
        Failure::new(code, fault.detail)
    }
}

/// What every handler returns: an answer, or why there is none.
pub(super) type Answer = Result<Response, Refused>;

/// Why there is no answer: by a code of the dialect, or by what refuses bodies in all of them.
pub(in crate::api) enum Refused {
    Failure(Failure),
    Body(Refusal),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Refused::Failure(failure)
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Refused::Failure(fault.into())
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Refused::Body(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Refused::Failure(failure) => failure.into_response(),
            // The status tells clients more than a code that does not fit: too large, too slow, overloaded.
            Refused::Body(refusal) => {
                let code = if refusal.status.is_server_error() { 500_011 } else { 400_001 };
                let failure = Failure::new(code, refusal.message.clone());
                failure.around(Some(refusal))
            }
        }
    }
}

/// Done, with nothing to say.
pub(super) fn done() -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "").into_response()
}

/// An object.
pub(super) fn object(value: &impl Serialize) -> Response {
    json(serde_json::to_string(value).unwrap_or_default())
}

/// An object that is JSON already.
pub(super) fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// `{"services":[..]}` by the list's name, or `{}` for none.
pub(super) fn list<T: Serialize>(name: &str, entries: &[T]) -> Response {
    let mut text = "{".to_owned();
    if !entries.is_empty() {
        text.push_str(&format!("\"{name}\":"));
        text.push_str(&serde_json::to_string(entries).unwrap_or_default());
    }
    text.push('}');
    json(text)
}

/// `{"instances":[..]}`, or `{}` for none.
pub(super) fn instances(bodies: &[Arc<str>]) -> String {
    if bodies.is_empty() {
        return "{}".to_owned();
    }
    let mut text = String::with_capacity(16 + bodies.iter().map(|body| body.len() + 1).sum::<usize>());
    text.push_str("{\"instances\":[");
    for (number, body) in bodies.iter().enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(body);
    }
    text.push_str("]}");
    text
}
