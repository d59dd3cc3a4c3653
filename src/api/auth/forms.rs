//! How each dialect says that somebody is not let in.

use super::super::ccs::Rejection;
use super::super::servicecomb::{Failure, Refused};
use super::super::{Context, Refusal, ats, sae};
use super::fault::Fault;
use super::guard::Guard;
use super::signed;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The dialect's refusal, with the place and the remedy.
pub(super) fn refuse(context: &Context, guard: Guard, head: &Parts, fault: Fault, remedy: String) -> Response {
    match guard {
        Guard::Ats => of_ats(fault, remedy),
        Guard::Registry | Guard::Accounts => of_registry(fault, remedy),
        Guard::Kie => of_kie(fault, remedy),
        Guard::KieFile => of_kie_file(fault, remedy),
        Guard::Sae => of_sae(context, head, fault, remedy),
        Guard::Ccs => of_ccs(fault, remedy),
    }
}

/// A 401 that asks for a signature.
fn unsigned(message: String) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, message).with(header::WWW_AUTHENTICATE, signed::SDK)
}

fn of_ats(fault: Fault, remedy: String) -> Response {
    match fault {
        Fault::Unreadable(refusal) => ats::refused(refusal),
        _ => ats::refused(unsigned(format!("{}\n{remedy}", of_the_gateway(&fault)))),
    }
}

fn of_registry(fault: Fault, remedy: String) -> Response {
    match fault {
        Fault::Unreadable(refusal) => Refused::from(refusal).into_response(),
        _ => challenged(Failure::new(code_of(&fault), remedy).into_response()),
    }
}

fn of_kie(fault: Fault, remedy: String) -> Response {
    match fault {
        Fault::Unreadable(refusal) => kie(refusal, &Failure::invalid("")),
        _ => {
            let failure = Failure::new(code_of(&fault), "");
            challenged(kie(Refusal::new(StatusCode::UNAUTHORIZED, remedy), &failure))
        }
    }
}

fn of_kie_file(fault: Fault, remedy: String) -> Response {
    let (refusal, error_code) = match fault {
        Fault::Unreadable(refusal) => (refusal, "SVCSTG.00400100"),
        _ => (unsigned(format!("Invalid token\n{remedy}")), "SVCSTG.00300401"),
    };
    let (error_msg, detail) = refusal.message.split_once('\n').unwrap_or((&refusal.message, ""));
    let body = serde_json::json!({ "error_code": error_code, "error_msg": error_msg, "detail": detail.trim_end() });
    refusal.around(json(&body))
}

/// Huawei's gateway, which stands before its APIs and refuses for them.
fn of_the_gateway(fault: &Fault) -> &'static str {
    match fault {
        Fault::UnknownId(_) => "Incorrect IAM authentication information: Get secretKey failed",
        Fault::Skewed(..) => "Incorrect IAM authentication information: calc ak sk signature fail:signature expired",
        Fault::Malformed(..) | Fault::Body(_) | Fault::Signature(_) => {
            "Incorrect IAM authentication information: verify aksk signature fail"
        }
        _ => "Invalid token",
    }
}

fn json(body: &impl Serialize) -> ([(HeaderName, &'static str); 1], String) {
    // Texts alone: writing them cannot fail.
    ([(header::CONTENT_TYPE, "application/json")], serde_json::to_string(body).unwrap_or_default())
}

/// ServiceComb's code.
fn code_of(fault: &Fault) -> u32 {
    match fault {
        Fault::Missing => 401_204,
        Fault::Expired => 401_205,
        Fault::Deleted(_) => 401_206,
        Fault::OldPassword => 401_207,
        _ => 401_201,
    }
}

/// With what a 401 has to say.
fn challenged(mut response: Response) -> Response {
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// An error in all the spellings that kie's clients read.
fn kie(refusal: Refusal, failure: &Failure) -> Response {
    let (code, message) = (failure.code.to_string(), failure.message());
    let body = serde_json::json!({
        "errorCode": code, "errorMessage": message, "error_code": code, "error_message": message,
        "error_msg": message, "detail": refusal.message.trim_end(),
    });
    refusal.around(json(&body))
}

/// Alibaba's gateway, which stands before its APIs and refuses for them.
fn of_sae(context: &Context, head: &Parts, fault: Fault, remedy: String) -> Response {
    let (status, code, message) = match fault {
        Fault::Unreadable(refusal) => return sae::unreadable(context, head, refusal),
        Fault::UnknownId(_) => (404, "InvalidAccessKeyId.NotFound", "Specified access key is not found."),
        Fault::Missing => (403, "MissingAccessKeyId", "AccessKeyId is mandatory for this action."),
        Fault::Malformed(..) | Fault::Scheme(_) | Fault::Parameters(_) => {
            (403, "IncompleteSignature", "The request signature does not conform to Aliyun standards.")
        }
        Fault::Skewed(..) => (403, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."),
        Fault::Token | Fault::Bearer(_) | Fault::Expired | Fault::Deleted(_) | Fault::OldPassword => {
            (403, "InvalidSecurityToken", "Specified SecurityToken is invalid.")
        }
        Fault::Body(_) | Fault::Signature(_) => {
            (403, "SignatureDoesNotMatch", "Specified signature is not matched with our calculation.")
        }
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::FORBIDDEN);
    sae::refused(context, head, code, message, Refusal::new(status, remedy))
}

/// Tencent's gateway.
fn of_ccs(fault: Fault, remedy: String) -> Response {
    match fault {
        Fault::Parameters(rejection) => rejection,
        Fault::Unreadable(refusal) => Rejection::unreadable(refusal),
        _ => Rejection::not_authentic(remedy),
    }
    .into_response()
}

#[cfg(test)]
mod tests;
