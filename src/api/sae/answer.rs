//! What surrounds an answer: its form, its ids, and how a refusal is told.
//!
//! The form is what the query's `Format` says, else what the client accepts best, else, where that is anything, the
//! setting `sae.default_format`. The content type is the one that was asked for, because clients look at it before they
//! parse: `text/xml` where nothing else is said.

use super::form::{self, Fields, Node};
use crate::api::{Context, Refusal};
use crate::registry::{Fault, FaultKind};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rand::TryRngCore;
use std::fmt;

/// Parts of an `Accept` header that are looked at.
const MOST_ACCEPTED: usize = 32;
/// Bytes of a host's name that are told back.
const LONGEST_HOST: usize = 256;

/// In what form the client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    /// `application/xml`.
    Xml,
    /// `text/xml`.
    TextXml,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Xml => "application/xml",
            Form::TextXml => "text/xml;charset=utf-8",
        }
    }

    /// The form of a parameter `Format`.
    fn named(text: &str) -> Option<Form> {
        match text.to_ascii_lowercase().as_str() {
            "json" => Some(Form::Json),
            "xml" => Some(Form::TextXml),
            _ => None,
        }
    }

    /// The form that is accepted best; of equal ones the first. None where anything is.
    fn accepted(headers: &HeaderMap) -> Option<Form> {
        let mut best: Option<(u32, Option<Form>)> = None;
        let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        for part in values.flat_map(|value| value.split(',')).take(MOST_ACCEPTED) {
            let mut pieces = part.split(';').map(str::trim);
            let form = match pieces.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/json" | "text/json" => Some(Form::Json),
                "application/xml" => Some(Form::Xml),
                "text/xml" => Some(Form::TextXml),
                "*/*" | "application/*" | "text/*" => None,
                _ => continue,
            };
            let quality = pieces.find_map(|piece| piece.strip_prefix("q=")).map_or(1_000, quality);
            if quality > 0 && best.is_none_or(|(known, _)| quality > known) {
                best = Some((quality, form));
            }
        }
        best?.1
    }
}

/// In thousandths; what is no number is 1, as if it were not there.
fn quality(text: &str) -> u32 {
    match text.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1_000.0) as u32,
        _ => 1_000,
    }
}

/// What an answer needs of its request.
#[derive(Debug)]
pub(super) struct Reply {
    form: Form,
    /// Whether the parameter `Format` names no form.
    bad_format: bool,
    request_id: String,
    trace_id: String,
    host: String,
}

impl Reply {
    pub(super) fn new(context: &Context, query: &str, headers: &HeaderMap) -> Reply {
        let mut format = url::form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == "Format");
        let format = format.next().map(|(_, text)| text.trim().to_owned()).filter(|text| !text.is_empty());
        let named = format.as_deref().map(Form::named);
        let otherwise = if context.config.sae.default_xml { Form::TextXml } else { Form::Json };
        let form = named.flatten().or_else(|| Form::accepted(headers)).unwrap_or(otherwise);
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let (id, trace) = (random(), random());
        Reply {
            form,
            bad_format: named == Some(None),
            request_id: uuid(id),
            trace_id: format!("{trace:032x}"),
            host: host.chars().take(LONGEST_HOST).collect(),
        }
    }

    /// Refuses a form that there is not.
    pub(super) fn check_format(&self) -> Result<(), Rejection> {
        if self.bad_format {
            return Err(Rejection::invalid("Format", "send JSON or XML, or leave it out"));
        }
        Ok(())
    }

    /// An answer to what was done; `data` where there is some.
    pub(super) fn done(&self, action: &str, data: Option<Node>) -> Response {
        let mut fields = Fields::default()
            .text("RequestId", &self.request_id)
            .text("Message", "success")
            .text("TraceId", &self.trace_id);
        if let Some(data) = data {
            fields = fields.put("Data", data);
        }
        let node = fields.text("Code", "200").put("Success", Node::Flag(true)).end();
        self.written(&format!("{action}Response"), &node)
    }

    /// A refusal. The product's own fields come first; the rest of its success's envelope says the same once more.
    pub(super) fn refused(&self, rejection: Rejection) -> Response {
        let Rejection { code, message, refusal } = rejection;
        let fields = Fields::default()
            .text("RequestId", &self.request_id)
            .text("HostId", &self.host)
            .text("Code", code)
            .text("Message", &message)
            .text("Recommend", &refusal.message);
        let node = match self.form {
            Form::Json => {
                fields.text("ErrorCode", code).text("TraceId", &self.trace_id).put("Success", Node::Flag(false)).end()
            }
            Form::Xml | Form::TextXml => fields.end(),
        };
        refusal.around(self.written("Error", &node))
    }

    fn written(&self, root: &str, node: &Node) -> Response {
        let body = match self.form {
            Form::Json => form::json(node),
            Form::Xml | Form::TextXml => form::xml(root, node),
        };
        let mut response = ([(header::CONTENT_TYPE, self.form.content_type())], body).into_response();
        let ids = [("x-acs-request-id", &self.request_id), ("x-acs-trace-id", &self.trace_id)];
        for (name, id) in ids {
            if let Ok(id) = HeaderValue::from_str(id) {
                response.headers_mut().insert(HeaderName::from_static(name), id);
            }
        }
        // Caches must not give JSON to who wants XML.
        response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
        response
    }
}

/// A number that no other request has.
fn random() -> u128 {
    let half = || rand::rngs::OsRng.try_next_u64();
    match (half(), half()) {
        (Ok(high), Ok(low)) => u128::from(high) << 64 | u128::from(low),
        // Systems without randomness do not start this server.
        _ => 0,
    }
}

/// A version 4 UUID (RFC 9562) in upper case.
fn uuid(random: u128) -> String {
    let marked = random & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let digits = format!("{marked:032X}");
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// Why a request is refused, in the product's words; the refusal's message is what to do.
#[derive(Clone, Debug)]
pub(super) struct Rejection {
    code: &'static str,
    message: String,
    refusal: Refusal,
}

impl Rejection {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Rejection { code, message: message.into(), refusal: Refusal::new(status, remedy) }
    }

    /// Another's refusal, in the product's words.
    pub(super) fn around(code: &'static str, message: impl Into<String>, refusal: Refusal) -> Self {
        Rejection { code, message: message.into(), refusal }
    }

    /// A parameter or a field of the body that cannot be used.
    pub(super) fn invalid(what: &str, remedy: impl Into<String>) -> Self {
        let message = format!("The specified parameter is invalid {{{what}}}.");
        Rejection::new(StatusCode::BAD_REQUEST, "InvalidParameter.Obviously", message, remedy)
    }

    pub(super) fn no_app_id() -> Self {
        let message = "AppId is mandatory for this action.";
        let remedy = "AppId: send the id of an application or a service, or the name of a service";
        Rejection::new(StatusCode::BAD_REQUEST, "MissingAppId", message, remedy)
    }

    /// Nobody knows the service.
    pub(super) fn unknown(what: &str) -> Self {
        let message = format!("The micro service metadata not found {{{what}}}.");
        let remedy = "register the service, post its detail, or send its spans; /pop/v1/sam/service/listAppServices \
                      lists those that there are";
        Rejection::new(StatusCode::BAD_REQUEST, "Micro.Service.MetaData.NotFound", message, remedy)
    }

    /// No such path.
    pub(super) fn no_action(remedy: impl Into<String>) -> Self {
        let message = "Specified api is not found, please check your url and method.";
        Rejection::new(StatusCode::NOT_FOUND, "InvalidAction.NotFound", message, remedy)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let (code, message) = match refusal.status {
            StatusCode::NOT_FOUND => ("InvalidAction.NotFound", "Specified api is not found."),
            StatusCode::REQUEST_TIMEOUT => ("RequestTimeout", "The request did not arrive in time."),
            StatusCode::PAYLOAD_TOO_LARGE => ("RequestEntityTooLarge", "The request is too large."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("UnsupportedContentType", "The content type is not supported."),
            StatusCode::SERVICE_UNAVAILABLE => {
                ("ServiceUnavailable", "The request has failed due to a temporary failure of the server.")
            }
            status if status.is_client_error() => ("InvalidRequest", "The request cannot be understood."),
            _ => ("InternalError", "The request processing has failed due to some unknown error."),
        };
        Rejection { code, message: message.to_owned(), refusal }
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        let status = match fault.kind {
            FaultKind::Quota => {
                let message = "The quota of posted service details is used up.";
                return Rejection::new(StatusCode::BAD_REQUEST, "QuotaExceeded", message, fault.detail);
            }
            FaultKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Refusal::new(status, fault.detail).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_that_is_accepted_best_wins_and_anything_says_nothing() {
        for (accept, form) in [
            (&[][..], None),
            (&["*/*"], None),
            (&["image/png"], None),
            (&["application/json"], Some(Form::Json)),
            (&["APPLICATION/XML"], Some(Form::Xml)),
            (&["text/xml; charset=utf-8"], Some(Form::TextXml)),
            (&["application/json, text/xml"], Some(Form::Json)),
            (&["application/json;q=0.5, text/xml;q=0.9"], Some(Form::TextXml)),
            (&["application/xml;q=0"], None),
            (&["*/*, application/xml"], None),
            (&["*/*;q=0.1", "application/xml;q=0.2"], Some(Form::Xml)),
            (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], Some(Form::Xml)),
            (&["application/json;q=many"], Some(Form::Json)),
            (&[";;,,"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(Form::accepted(&headers), form, "{accept:?}");
        }
    }

    #[test]
    fn a_request_id_is_an_upper_case_uuid_of_version_4() {
        assert_eq!(uuid(u128::MAX), "FFFFFFFF-FFFF-4FFF-BFFF-FFFFFFFFFFFF");
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_ne!(random(), random());
    }
}
