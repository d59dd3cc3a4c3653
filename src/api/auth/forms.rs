//! How each dialect says that somebody is not let in.

use super::super::servicecomb::{Failure, Refused};
use super::super::{Refusal, ats};
use super::fault::Fault;
use super::guard::Guard;
use super::signed;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;

/// The dialect's refusal, with the place and the remedy.
pub(super) fn refuse(guard: Guard, head: &Parts, fault: Fault, remedy: String) -> Response {
    match guard {
        Guard::Ats => match fault {
            Fault::Unreadable(refusal) => ats::refused(refusal),
            _ => {
                let message = format!("{}\n{remedy}", of_the_gateway(&fault));
                ats::refused(
                    Refusal::new(StatusCode::UNAUTHORIZED, message).with(header::WWW_AUTHENTICATE, signed::SDK),
                )
            }
        },
        Guard::Registry | Guard::Accounts => match fault {
            Fault::Unreadable(refusal) => Refused::from(refusal).into_response(),
            _ => challenged(Failure::new(code_of(&fault), remedy).into_response()),
        },
        Guard::Kie => match fault {
            Fault::Unreadable(refusal) => kie(refusal, "400001", "Invalid parameter(s)"),
            _ => {
                let failure = Failure::new(code_of(&fault), remedy);
                let refusal = Refusal::new(StatusCode::UNAUTHORIZED, failure.detail.clone());
                challenged(kie(refusal, &failure.code.to_string(), failure.message()))
            }
        },
        Guard::KieFile => match fault {
            Fault::Unreadable(refusal) => cloud(refusal, "SVCSTG.00400100"),
            _ => {
                let message = format!("Invalid token\n{remedy}");
                let refusal =
                    Refusal::new(StatusCode::UNAUTHORIZED, message).with(header::WWW_AUTHENTICATE, signed::SDK);
                cloud(refusal, "SVCSTG.00300401")
            }
        },
        Guard::Sae => sae(head, &fault, remedy),
    }
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
fn kie(refusal: Refusal, code: &str, message: &str) -> Response {
    let body = serde_json::json!({
        "errorCode": code, "errorMessage": message, "error_code": code, "error_message": message,
        "error_msg": message, "detail": refusal.message.trim_end(),
    });
    refusal.around(json(&body))
}

/// The first line, and the rest.
fn parts_of(message: &str) -> (String, String) {
    let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
    (first.to_owned(), rest.trim_end().to_owned())
}

/// The form of Huawei's cloud.
fn cloud(refusal: Refusal, error_code: &str) -> Response {
    let (error_msg, detail) = parts_of(&refusal.message);
    let body = serde_json::json!({ "error_code": error_code, "error_msg": error_msg, "detail": detail });
    refusal.around(json(&body))
}

/// Alibaba's gateway.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GatewayError {
    request_id: String,
    host_id: String,
    code: &'static str,
    message: String,
    recommend: String,
}

impl GatewayError {
    /// Its keys are the elements.
    fn xml(&self) -> String {
        let GatewayError { request_id, host_id, code, message, recommend } = self;
        let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        for (name, text) in [
            ("RequestId", request_id.as_str()),
            ("HostId", host_id),
            ("Code", code),
            ("Message", message),
            ("Recommend", recommend),
        ] {
            // What XML has no way to write, not even by its number.
            let text = text.replace(|c: char| c.is_control() && !"\t\n\r".contains(c), "\u{fffd}");
            out.push_str(&format!("<{name}>{}</{name}>", quick_xml::escape::escape(text)));
        }
        out.push_str("</Error>");
        out
    }
}

fn sae(head: &Parts, fault: &Fault, remedy: String) -> Response {
    let (status, code, message) = match fault {
        Fault::Unreadable(refusal) => (refusal.status, "InvalidParameter", parts_of(&refusal.message).0),
        Fault::UnknownId(_) => {
            (StatusCode::NOT_FOUND, "InvalidAccessKeyId.NotFound", "Specified access key is not found.".to_owned())
        }
        Fault::Missing => {
            (StatusCode::FORBIDDEN, "MissingAccessKeyId", "AccessKeyId is mandatory for this action.".to_owned())
        }
        Fault::Malformed(..) | Fault::Scheme(_) => (
            StatusCode::FORBIDDEN,
            "IncompleteSignature",
            "The request signature does not conform to Aliyun standards.".to_owned(),
        ),
        Fault::Skewed(..) => (
            StatusCode::FORBIDDEN,
            "InvalidTimeStamp.Expired",
            "Specified time stamp or date value is expired.".to_owned(),
        ),
        Fault::Token | Fault::Bearer(_) | Fault::Expired | Fault::Deleted(_) | Fault::OldPassword => {
            (StatusCode::FORBIDDEN, "InvalidSecurityToken", "Specified SecurityToken is invalid.".to_owned())
        }
        Fault::Body(_) | Fault::Signature(_) => (
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "Specified signature is not matched with our calculation.".to_owned(),
        ),
    };
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let error = GatewayError { request_id: request_id(), host_id: host.to_owned(), code, message, recommend: remedy };
    let around = match fault {
        // Whether to come again, and whether the connection remains.
        Fault::Unreadable(refusal) => refusal.clone(),
        _ => Refusal::new(status, ""),
    };
    match xml_type(head.uri.query().unwrap_or_default(), &head.headers) {
        Some(kind) => around.around(([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], error.xml())),
        None => around.around(json(&error)),
    }
}

/// An upper-case UUID (version 4).
fn request_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness the id is of no use, but the refusal is.
    let _ = SystemRandom::new().fill(&mut bytes);
    let number = u128::from_be_bytes(bytes) & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{number:032X}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// The content type of XML, if XML is asked for: by the parameter `Format`, else by what is named first of the types
/// that a client accepts.
fn xml_type(query: &str, headers: &HeaderMap) -> Option<&'static str> {
    const TEXT: &str = "text/xml;charset=utf-8";
    let format = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "Format");
    if let Some((_, format)) = format {
        return format.eq_ignore_ascii_case("xml").then_some(TEXT);
    }
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    let kind = |kind: &str| match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "text/xml" => Some(Some(TEXT)),
        "application/xml" => Some(Some("application/xml")),
        "application/json" | "text/json" | "*/*" => Some(None),
        _ => None,
    };
    accept.split(',').find_map(kind).flatten()
}

#[cfg(test)]
mod tests;
