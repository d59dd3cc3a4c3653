//! What requests bring: the tenant, the query's parameters, JSON bodies, and the rules that fields keep.

use super::super::object::Object;
use super::super::{Context, body};
use super::answer::{Failure, Refused};
use crate::registry::Tenant;
use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::rejection::PathRejection;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};
use regex::Regex;
use serde::de::DeserializeOwned;
use std::sync::LazyLock;

/// Bodies of most requests, in bytes; the service centre's own limits.
pub(super) const USUAL_BODY: usize = 2 << 20;
pub(super) const INSTANCE_BODY: usize = 5 << 10;
pub(super) const PROPERTIES_BODY: usize = 3 << 10;
/// Names of domains and projects.
const LONGEST_NAME: usize = 256;
const DEFAULT: &str = "default";

/// Whose registry a request is about.
pub(super) fn tenant(project: &str, headers: &HeaderMap) -> Result<Tenant, Failure> {
    let domain = match headers.get("x-domain-name").map(|value| value.to_str()) {
        None | Some(Ok("")) => DEFAULT,
        Some(Ok(domain)) => domain,
        Some(Err(_)) => return Err(Failure::invalid("header X-Domain-Name: send visible ASCII characters")),
    };
    for (name, text) in [("path: the project", project), ("header X-Domain-Name", domain)] {
        let plain = |text: &str| text.chars().all(|c| !c.is_control() && !c.is_whitespace() && c != '/');
        if text.is_empty() || text.len() > LONGEST_NAME || !plain(text) {
            let rule = "send 1 to 256 bytes without spaces and slashes";
            return Err(Failure::invalid(format!("{name}: {rule}")));
        }
    }
    Ok(Tenant::new(domain, project))
}

/// The path's parameters and what else the head has.
pub(super) struct Head<P> {
    pub(super) tenant: Tenant,
    /// The parameters behind the project.
    pub(super) path: P,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    /// Where the client found this server: what it wrote into HTTP/2's `:authority`.
    authority: Option<Authority>,
}

/// A path's parameters, the project first.
pub(super) trait PathParameters: Send + Sized {
    type Raw: DeserializeOwned + Send + 'static;

    /// The project and the rest.
    fn split(raw: Self::Raw) -> (String, Self);
}

impl PathParameters for () {
    type Raw = String;

    fn split(raw: String) -> (String, ()) {
        (raw, ())
    }
}

impl PathParameters for String {
    type Raw = (String, String);

    fn split((project, one): Self::Raw) -> (String, String) {
        (project, one)
    }
}

impl PathParameters for (String, String) {
    type Raw = (String, String, String);

    fn split((project, one, two): Self::Raw) -> (String, (String, String)) {
        (project, (one, two))
    }
}

impl<P: PathParameters, S: Send + Sync> FromRequestParts<S> for Head<P> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let raw: Result<axum::extract::Path<P::Raw>, PathRejection> =
            axum::extract::Path::from_request_parts(parts, state).await;
        let raw = raw.map_err(|_| Failure::invalid("path: send UTF-8, percent-encoded"))?;
        let (project, path) = P::split(raw.0);
        let tenant = tenant(&project, &parts.headers)?;
        let query = Query(parts.uri.query().unwrap_or_default().to_owned());
        let authority = parts.uri.authority().cloned();
        Ok(Head { tenant, path, query, headers: parts.headers.clone(), authority })
    }
}

impl<P> Head<P> {
    /// The host and port by which the client reaches this server, wherever that listens: nobody knows better.
    pub(super) fn reached_at(&self) -> Option<String> {
        let named = || self.headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
        let authority = self.authority.clone().or_else(named)?;
        let port = authority.port_u16().unwrap_or(80);
        (!authority.host().is_empty()).then(|| format!("{}:{port}", authority.host()))
    }
}

/// A query string.
pub(super) struct Query(String);

impl Query {
    /// The first value of a parameter; empty where it is not there.
    pub(super) fn text(&self, name: &str) -> String {
        let mut given = url::form_urlencoded::parse(self.0.as_bytes()).filter(|(key, _)| key == name);
        given.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
    }

    /// All values of a parameter.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let given = url::form_urlencoded::parse(self.0.as_bytes()).filter(|(key, _)| key == name);
        given.map(|(_, value)| value.into_owned()).collect()
    }

    /// `1` or `true`, `0`, `false` or nothing.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name).as_str() {
            "" | "0" | "false" => Ok(false),
            "1" | "true" => Ok(true),
            _ => Err(Failure::invalid(format!("query parameter {name}: send true, false, 1 or 0"))),
        }
    }
}

/// A body that is JSON. Fields that nobody asks for do not matter.
pub(super) async fn json<T: DeserializeOwned>(
    context: &Context,
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<T, Refused> {
    let body = body::read(context, headers, body).await?;
    if body.len() > most {
        return Err(Failure::invalid(format!("the body is larger than {most} bytes: send less")).into());
    }
    let read = serde_json::from_slice::<Object<T>>(&body);
    read.map(|Object(request)| request)
        .map_err(|e| Failure::invalid(format!("the body is not as expected: {e}")).into())
}

/// A rule that texts keep: how long they may be, and of what.
pub(super) struct Rule {
    pub(super) least: usize,
    pub(super) most: usize,
    pub(super) pattern: &'static LazyLock<Regex>,
    /// The pattern in words.
    pub(super) words: &'static str,
}

impl Rule {
    /// Says what is wrong with a field that breaks the rule. Lengths are of characters.
    pub(super) fn check(&self, field: &str, text: &str) -> Result<(), Failure> {
        let length = text.chars().count();
        if (self.least..=self.most).contains(&length) && self.pattern.is_match(text) {
            return Ok(());
        }
        let Rule { least, most, words, .. } = self;
        Err(Failure::invalid(format!("{field}: send {least} to {most} characters, {words}")))
    }
}
