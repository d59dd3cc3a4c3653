//! The forms of answers.

use super::super::Refusal;
use crate::config::KieConfig;
use crate::registry::items::{Entry, Labels, Listed, Status, ValueType};
use crate::registry::{Fault, FaultKind};
use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The header of lists: nothing up to this revision is missing.
const REVISION: HeaderName = HeaderName::from_static("x-kie-revision");
/// How much of an answer is given to the connection at a time.
const PART: usize = 64 << 10;
/// All answers together may take so much at least.
const LEAST_ROOM: u64 = 64 << 20;

/// Whose codes an error has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Kie,
    /// Of the cloud service that has KIE inside.
    Cse,
}

/// What is wrong.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// Six digits; the first three are the HTTP status.
    pub(super) code: u32,
    detail: String,
    /// A body that could not be had is refused in every dialect's manner.
    refusal: Option<Refusal>,
}

pub(super) const INVALID: u32 = 400_001;
pub(super) const OBSERVE: u32 = 400_003;
pub(super) const SKIPPED: u32 = 400_004;
pub(super) const ABORTED: u32 = 400_005;
const MISSING: u32 = 404_001;
const EXISTS: u32 = 409_001;
const QUOTA: u32 = 422_001;
const TOO_MANY: u32 = 429_001;
/// Of imports and exports alone.
pub(super) const TOO_LONG: u32 = 400_649;
pub(super) const BAD_FILE: u32 = 400_650;
pub(super) const EMPTY_FILE: u32 = 400_651;
pub(super) const NO_TEXT: u32 = 400_652;
pub(super) const BAD_EXPORT: u32 = 400_653;

impl Failure {
    pub(super) fn new(code: u32, detail: impl Into<String>) -> Self {
        Failure { code, detail: detail.into(), refusal: None }
    }

    /// A field that breaks a rule, with the place and the remedy.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Failure::new(INVALID, detail)
    }

    /// As many wait as may.
    pub(super) fn too_many() -> Self {
        Failure::new(TOO_MANY, "kie.max_waiting: as many requests wait as may; ask again in a second, or without wait")
    }

    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// The code as it is written.
    pub(super) fn code(&self, form: Form) -> String {
        match (form, self.code) {
            (Form::Cse, INVALID) => "SVCSTG.00400100".to_owned(),
            (Form::Cse, MISSING) => "SVCSTG.00400106".to_owned(),
            (Form::Cse, EXISTS) => "SVCSTG.00400107".to_owned(),
            (Form::Cse, code) => format!("SVCSTG.00{code}"),
            (Form::Kie, _) => self.number().to_string(),
        }
    }

    /// KIE's own code.
    pub(super) fn number(&self) -> u32 {
        match self.code {
            TOO_LONG..=BAD_EXPORT => INVALID,
            code => code,
        }
    }

    /// What the products say of the code.
    pub(super) fn message(&self, form: Form) -> &str {
        let code = if form == Form::Kie { self.number() } else { self.code };
        match code {
            INVALID => "Invalid parameter(s)",
            OBSERVE => "failed to observe event",
            SKIPPED => "skip overriding duplicate kvs",
            ABORTED => "stop overriding kvs after reaching the duplicate kv",
            TOO_LONG => "Key/value length exceeds the upper limit.",
            BAD_FILE => "Invalid configuration file.",
            EMPTY_FILE => "The file is empty or in an incorrect format.",
            NO_TEXT => "Configuration item key/value is null or not a string.",
            BAD_EXPORT => "Invalid label or body.",
            MISSING => "Record does not exist",
            EXISTS => "Record already exists",
            QUOTA => "quota is not enough",
            TOO_MANY => "too many requests",
            500_001 => "internal server error",
            // The first line of what refuses bodies.
            _ => self.refusal.as_ref().and_then(|refusal| refusal.message.lines().next()).unwrap_or("unavailable"),
        }
    }

    pub(super) fn answer(self, form: Form) -> Response {
        let code = self.code(form);
        let message = self.message(form);
        let body = serde_json::json!({
            "errorCode": code, "errorMessage": message,
            "error_code": code, "error_message": message, "error_msg": message,
            "detail": self.detail,
        });
        let status = u16::try_from(self.code / 1_000).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let refusal = self.refusal.unwrap_or_else(|| {
            let refusal = Refusal::new(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "");
            if self.code == TOO_MANY { refusal.with(header::RETRY_AFTER, "1") } else { refusal }
        });
        refusal.around(json(body.to_string().into()))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::Invalid => INVALID,
            FaultKind::ItemMissing => MISSING,
            FaultKind::ItemConflict => EXISTS,
            FaultKind::Quota => QUOTA,
            FaultKind::Unavailable => 503_001,
            _ => 500_001,
        };
        Failure::new(code, fault.detail)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = u32::from(refusal.status.as_u16()) * 1_000 + 1;
        Failure { code, detail: refusal.message.clone(), refusal: Some(refusal) }
    }
}

pub(super) type Outcome<T> = Result<T, Failure>;

/// The answer, or why there is none.
pub(super) fn answer(form: Form, outcome: Outcome<Response>) -> Response {
    outcome.unwrap_or_else(|failure| failure.answer(form))
}

pub(super) fn json(text: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

pub(super) fn object(value: &impl Serialize) -> Response {
    json(serde_json::to_vec(value).unwrap_or_default().into())
}

/// Done, with nothing to say.
pub(super) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

pub(super) fn unchanged() -> Response {
    StatusCode::NOT_MODIFIED.into_response()
}

/// An item as KIE writes it.
#[derive(Serialize)]
pub(super) struct Document<'e> {
    id: &'e str,
    key: &'e str,
    value: &'e str,
    /// Never left out: a stock client cannot do without.
    value_type: ValueType,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i64,
    create_revision: i64,
    update_revision: i64,
    status: Status,
    create_time: i64,
    update_time: i64,
    labels: &'e Labels,
}

/// An item as it is exported: what importing it again needs.
#[derive(Serialize)]
pub(super) struct Exported<'e> {
    id: &'e str,
    key: &'e str,
    labels: &'e Labels,
    value: &'e str,
    value_type: ValueType,
    status: Status,
    #[serde(skip_serializing_if = "is_zero")]
    priority: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the encoder asks so")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl<'e> From<&'e Entry> for Document<'e> {
    fn from(Entry { item, value }: &'e Entry) -> Self {
        Document {
            id: &item.id,
            key: &item.key,
            value,
            value_type: item.value_type,
            priority: item.priority,
            create_revision: item.create_revision,
            update_revision: item.update_revision,
            status: item.status,
            create_time: item.create_time,
            update_time: item.update_time,
            labels: &item.labels,
        }
    }
}

impl<'e> From<&'e Entry> for Exported<'e> {
    fn from(Entry { item, value }: &'e Entry) -> Self {
        Exported {
            id: &item.id,
            key: &item.key,
            labels: &item.labels,
            value,
            value_type: item.value_type,
            status: item.status,
            priority: item.priority,
        }
    }
}

/// A list as KIE writes it.
pub(super) fn list(room: Room, total: usize, entries: &[Entry]) -> Response {
    #[derive(Serialize)]
    struct Body<'e> {
        total: usize,
        data: Vec<Document<'e>>,
    }
    let body = Body { total, data: entries.iter().map(Document::from).collect() };
    room.answer(serde_json::to_vec(&body).unwrap_or_default())
}

/// The same with its revision.
pub(super) fn revised_list(room: Room, listed: &Listed) -> Response {
    let mut response = list(room, listed.total, &listed.entries);
    response.headers_mut().insert(REVISION, HeaderValue::from(listed.revision));
    response
}

/// A bound on what answers take in memory together, from when their items are read until they are sent.
pub(in crate::api) struct Answers(Arc<Semaphore>);

impl Answers {
    /// Any one answer has room when it is alone.
    pub(in crate::api) fn new(config: &KieConfig) -> Self {
        let values = config.max_bytes.max(LEAST_ROOM) >> 10;
        let items = config.max_items as u64;
        let most = usize::try_from(values + items).unwrap_or(usize::MAX);
        Answers(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }

    /// Room for nothing yet.
    pub(super) fn room(&self) -> Room {
        Room { all: self.0.clone(), taken: None }
    }
}

/// What one answer takes, in KiB.
pub(super) struct Room {
    all: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Takes more; false if there is not as much.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let Ok(more) = u32::try_from((bytes >> 10) + 1) else { return false };
        let Ok(more) = self.all.clone().try_acquire_many_owned(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        true
    }

    /// JSON that keeps the room until the client has taken almost all of it.
    pub(super) fn answer(self, bytes: Vec<u8>) -> Response {
        let bytes = Bytes::from(bytes);
        if bytes.len() <= PART {
            return json(bytes);
        }
        let parts = futures::stream::unfold((bytes, self), |(mut rest, room)| async move {
            let part = rest.split_to(rest.len().min(PART));
            (!part.is_empty()).then_some((Ok::<_, Infallible>(part), (rest, room)))
        });
        ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(parts)).into_response()
    }
}
