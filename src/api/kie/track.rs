//! Who asks, and how the server is.

use super::super::{Context, Shared};
use super::answer::{self, Failure, Form, answer};
use super::request::{self, Parameters, Project};
use crate::registry::Tenant;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::SecondsFormat;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is remembered of clients. It is gone with the server.
const MOST_TRACKS: usize = 1_000;
/// Texts of a request that are longer are cut, in bytes.
const LONGEST: usize = 256;

/// What a client that names its session got last at a revision.
#[derive(Clone, Debug, Serialize)]
struct Track {
    session_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    session_group: String,
    domain: String,
    project: String,
    polling_data: Asked,
    revision: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
    url_path: String,
    response_code: u16,
    timestamp: String,
}

/// What it asked.
#[derive(Clone, Debug, Serialize)]
struct Asked {
    revision: String,
    wait: String,
    labels: Vec<String>,
}

/// The lists that clients got, the oldest first.
#[derive(Default)]
pub(in crate::api) struct Tracks(Mutex<VecDeque<Track>>);

impl Tracks {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Track>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a client got a list, if it names its session.
    pub(super) fn record(
        &self,
        context: &Context,
        tenant: &Tenant,
        parameters: &Parameters,
        headers: &HeaderMap,
        revision: i64,
    ) {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let session_id = cut(header("x-session-id"));
        if session_id.is_empty() {
            return;
        }
        let seconds = context.now_millis().div_euclid(1_000);
        let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let forwarded = [header("x-forwarded-for"), header("x-real-ip")];
        let ip = forwarded.iter().find_map(|hosts| hosts.split(',').map(str::trim).find(|host| !host.is_empty()));
        let track = Track {
            session_id,
            session_group: cut(header("x-session-group")),
            domain: tenant.domain.clone(),
            project: tenant.project.clone(),
            polling_data: Asked {
                revision: cut(parameters.text("revision")),
                wait: cut(parameters.text("wait")),
                labels: parameters.all("label").take(8).map(cut).collect(),
            },
            revision: revision.to_string(),
            ip: cut(ip.unwrap_or_default()),
            user_agent: cut(header(header::USER_AGENT.as_str())),
            url_path: format!("GET /v1/{}/kie/kv", tenant.project),
            response_code: 200,
            timestamp: time.to_rfc3339_opts(SecondsFormat::Secs, true),
        };
        let mut tracks = self.lock();
        let same = |other: &Track| {
            let key =
                |track: &Track| [&track.session_id, &track.revision, &track.domain, &track.project].map(String::clone);
            key(other) == key(&track)
        };
        if let Some(place) = tracks.iter().position(same) {
            tracks.remove(place);
        } else if tracks.len() == MOST_TRACKS {
            tracks.pop_front();
        }
        tracks.push_back(track);
    }
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default().to_owned()
}

/// Which clients got which revision of a list.
pub(super) async fn get_tracks(
    State(context): State<Shared>,
    project: Project,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    #[derive(Serialize)]
    struct Body {
        data: Vec<Track>,
        total: usize,
    }
    let found = || {
        let tenant = request::tenant(&project, &headers)?;
        let parameters = Parameters::new(query.as_deref());
        let meant = |track: &&Track| {
            let asked = [
                ("sessionId", &track.session_id),
                ("sessionGroup", &track.session_group),
                ("revision", &track.revision),
                ("ip", &track.ip),
                ("urlPath", &track.url_path),
                ("userAgent", &track.user_agent),
            ];
            let whose = (&track.domain, &track.project) == (&tenant.domain, &tenant.project);
            whose && asked.iter().all(|(name, is)| [*is, ""].contains(&parameters.text(name)))
        };
        let data: Vec<Track> = context.tracks.lock().iter().filter(meant).cloned().collect();
        if data.is_empty() {
            let detail = "no list was given to such a client since the server's start: clients are known by the header \
                          X-Session-Id";
            return Err(Failure::new(404_001, detail));
        }
        Ok(answer::object(&Body { total: data.len(), data }))
    };
    answer(Form::Kie, found())
}

/// Whether configuration items can be had.
pub(super) async fn get_health(
    State(context): State<Shared>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    #[derive(Serialize)]
    struct Health {
        version: &'static str,
        revision: String,
        timestamp: i64,
        total_kv_count: usize,
    }
    if Parameters::new(query.as_deref()).text("mode") == "liveness" {
        return ().into_response();
    }
    let told = || {
        let domain = request::domain(&headers)?;
        if !context.registry.takes_changes() {
            return Err(Failure::new(503_001, "the registry's database is out of reach: the server's log has more"));
        }
        let (revision, total_kv_count) = context.registry.items_of_domain(&domain);
        Ok(answer::object(&Health {
            version: env!("CARGO_PKG_VERSION"),
            revision: revision.to_string(),
            timestamp: context.now_millis().div_euclid(1_000),
            total_kv_count,
        }))
    };
    answer(Form::Kie, told())
}
