//! What is answered: `ExportLogsServiceResponse` of `logs_service.proto`, and the `Status` of Google's `status.proto` with
//! the `BadRequest` of its `error_details.proto`, in protobuf or in protobuf's JSON.

use crate::api::{Refusal, body, grpc};
use crate::codec::DecodeError;
use crate::error::Error;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message;
use serde_json::{Value, json};

/// The type of a `BadRequest` where it stands in a field of any type.
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// How a request is encoded, and therefore its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Proto,
    Json,
}

impl Encoding {
    /// The encoding that a request says it has.
    pub(super) fn of(headers: &HeaderMap) -> Option<Encoding> {
        let kind = body::content_type(headers);
        [Encoding::Proto, Encoding::Json].into_iter().find(|encoding| encoding.content_type() == kind)
    }

    /// The Collector's exporter compares it byte by byte: no parameters.
    const fn content_type(self) -> &'static str {
        match self {
            Encoding::Proto => "application/x-protobuf",
            Encoding::Json => "application/json",
        }
    }

    fn response(self, message: &impl Message, json: impl FnOnce() -> Value) -> Response {
        let bytes = match self {
            Encoding::Proto => message.encode_to_vec(),
            Encoding::Json => json().to_string().into_bytes(),
        };
        ([(header::CONTENT_TYPE, self.content_type())], bytes).into_response()
    }
}

/// An `ExportLogsServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Exported {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

/// An `ExportLogsPartialSuccess`.
#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_log_records: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl Exported {
    /// How many log records were rejected, and why, if any were.
    pub(super) fn of(rejected: Option<(i64, String)>) -> Exported {
        let partial_success = rejected
            .map(|(rejected_log_records, error_message)| PartialSuccess { rejected_log_records, error_message });
        Exported { partial_success }
    }

    pub(super) fn response(&self, encoding: Encoding) -> Response {
        encoding.response(self, || match &self.partial_success {
            None => json!({}),
            Some(PartialSuccess { rejected_log_records, error_message }) => json!({
                // Numbers of 64 bits are texts in protobuf's JSON.
                "partialSuccess": {
                    "rejectedLogRecords": rejected_log_records.to_string(),
                    "errorMessage": error_message,
                },
            }),
        })
    }

    pub(super) fn proto(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// A `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// A `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    field_violations: Vec<FieldViolation>,
}

#[derive(Clone, PartialEq, Message)]
struct FieldViolation {
    #[prost(string, tag = "1")]
    field: String,
    #[prost(string, tag = "2")]
    description: String,
}

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    refusal: Refusal,
    /// Where data is wrong, and what to send there.
    violation: Option<FieldViolation>,
}

impl Fault {
    pub(super) fn into_refusal(self) -> Refusal {
        self.refusal
    }

    pub(super) fn response(self, encoding: Encoding) -> Response {
        let Fault { mut refusal, violation } = self;
        if refusal.status == StatusCode::REQUEST_TIMEOUT {
            // To be sent again.
            refusal = Refusal::busy(refusal.message).closing();
        }
        let code = grpc::code(refusal.status);
        let message = refusal.message.clone();
        let bad_request = violation.map(|violation| BadRequest { field_violations: vec![violation] });
        let details = bad_request
            .iter()
            .map(|bad_request| Any { type_url: BAD_REQUEST.to_owned(), value: bad_request.encode_to_vec() });
        let status = Status { code, message, details: details.collect() };
        let body = encoding.response(&status, || {
            let mut json = json!({"code": status.code, "message": status.message});
            let violations = bad_request.iter().flat_map(|bad_request| &bad_request.field_violations);
            let violations: Vec<Value> = violations
                .map(|FieldViolation { field, description }| json!({"field": field, "description": description}))
                .collect();
            if !violations.is_empty() {
                json["details"] = json!([{"@type": BAD_REQUEST, "fieldViolations": violations}]);
            }
            json
        });
        refusal.around(body)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Fault { refusal, violation: None }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Refusal::from(error).into()
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        let violation = (!error.too_large)
            .then(|| FieldViolation { field: error.place.clone(), description: error.remedy.clone() });
        Fault { refusal: error.into(), violation }
    }
}

/// Refuses a content type that is neither of OTLP's: in JSON, which a person reads.
pub(super) fn unsupported(headers: &HeaderMap) -> Response {
    let kind = body::content_type(headers);
    let said = if kind.is_empty() { "it is missing".to_owned() } else { format!("it says {kind:?}") };
    let message = format!(
        "415 unsupported media type, supported: [application/json, application/x-protobuf]\n\
         header Content-Type: {said}: send one of these two"
    );
    Fault::from(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)).response(Encoding::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    /// Status, content type and body.
    fn parts(response: Response) -> (u16, String, Vec<u8>) {
        let status = response.status().as_u16();
        let kind = response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = futures::executor::block_on(response.into_body().collect()).unwrap().to_bytes().to_vec();
        (status, kind, body)
    }

    #[test]
    fn only_the_two_content_types_of_otlp_are_known() {
        let of =
            |kind: &'static str| Encoding::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]));
        for kind in ["application/x-protobuf", "Application/X-Protobuf; a=b"] {
            assert_eq!(of(kind), Some(Encoding::Proto), "{kind}");
        }
        assert_eq!(of("application/json; charset=utf-8"), Some(Encoding::Json));
        for kind in ["", "application/protobuf", "text/plain", "application/grpc"] {
            assert_eq!(of(kind), None, "{kind}");
        }
        assert_eq!(Encoding::of(&HeaderMap::new()), None);
    }

    #[test]
    fn success_leaves_partial_success_out_and_numbers_are_texts_in_json() {
        let all = Exported::of(None);
        assert_eq!(parts(all.response(Encoding::Proto)), (200, "application/x-protobuf".to_owned(), vec![]));
        assert_eq!(parts(all.response(Encoding::Json)), (200, "application/json".to_owned(), b"{}".to_vec()));
        let some = Exported::of(Some((300, "why".to_owned())));
        let proto = b"\x0a\x08\x08\xac\x02\x12\x03why".to_vec();
        assert_eq!(parts(some.response(Encoding::Proto)), (200, "application/x-protobuf".to_owned(), proto));
        let (_, _, json) = parts(some.response(Encoding::Json));
        assert_eq!(
            serde_json::from_slice::<Value>(&json).unwrap(),
            json!({"partialSuccess": {"rejectedLogRecords": "300", "errorMessage": "why"}})
        );
    }

    #[test]
    fn bad_data_is_described_by_its_place_and_a_large_one_is_not_bad() {
        let error = |too_large| DecodeError {
            peer: "peer".to_owned(),
            place: "place".to_owned(),
            remedy: "remedy".to_owned(),
            too_large,
        };
        let (status, _, json) = parts(Fault::from(error(false)).response(Encoding::Json));
        let wanted = json!({
            "code": 3,
            "message": "peer\nplace: remedy",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "place", "description": "remedy"}],
            }],
        });
        assert_eq!((status, serde_json::from_slice::<Value>(&json).unwrap()), (400, wanted));
        let (status, _, proto) = parts(Fault::from(error(false)).response(Encoding::Proto));
        let answered = Status::decode(&proto[..]).unwrap();
        assert_eq!((status, answered.code, answered.message.as_str()), (400, 3, "peer\nplace: remedy"));
        let [Any { type_url, value }] = &answered.details[..] else { panic!("{answered:?}") };
        let violation = FieldViolation { field: "place".to_owned(), description: "remedy".to_owned() };
        let bad_request = BadRequest { field_violations: vec![violation] };
        assert_eq!((type_url.as_str(), BadRequest::decode(&value[..])), (BAD_REQUEST, Ok(bad_request)));

        let (status, _, json) = parts(Fault::from(error(true)).response(Encoding::Json));
        let wanted = json!({"code": 8, "message": "peer\nplace: remedy"});
        assert_eq!((status, serde_json::from_slice::<Value>(&json).unwrap()), (413, wanted));
    }

    /// Senders come again after 503, and not after 408.
    #[test]
    fn a_body_that_came_too_slowly_is_asked_for_again() {
        let slow = Refusal::new(StatusCode::REQUEST_TIMEOUT, "slow").closing();
        let response = Fault::from(slow).response(Encoding::Json);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONNECTION], "close");
        let (status, _, json) = parts(response);
        let wanted = json!({"code": 14, "message": "slow"});
        assert_eq!((status, serde_json::from_slice::<Value>(&json).unwrap()), (503, wanted));
    }
}
