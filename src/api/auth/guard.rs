//! What stands before a dialect's routes.

use super::super::{Shared, body};
use super::fault::Fault;
use super::qcloud;
use super::signed::{self, Claim, Covered};
use super::{Auth, Caller, Scheme, forms};
use crate::ingest::offload;
use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

/// The header of tokens.
const TOKEN: &str = "x-auth-token";
/// The first word of an account's token in `Authorization`.
const BEARER: &str = "bearer";

/// A dialect with a guard: what it takes, and how it refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Guard {
    Ats,
    /// ServiceComb's registry, and what it says of governance.
    Registry,
    Kie,
    /// Configuration items as files: of the cloud's own API, so with its form of refusal.
    KieFile,
    Sae,
    /// Requests that are signed in their parameters.
    Ccs,
    /// What sees to accounts: nothing but an account may.
    Accounts,
}

impl Guard {
    fn takes_tokens(self) -> bool {
        self != Guard::Accounts
    }

    fn takes_bearers(self) -> bool {
        matches!(self, Guard::Registry | Guard::Kie | Guard::KieFile | Guard::Accounts)
    }

    fn takes_signatures(self, scheme: &str) -> bool {
        match self {
            Guard::Ats | Guard::Registry | Guard::Kie | Guard::KieFile => scheme == signed::SDK,
            Guard::Sae => [signed::ACS3, signed::ROA].contains(&scheme),
            // The former are signed in their parameters.
            Guard::Ccs | Guard::Accounts => false,
        }
    }

    /// What it takes, for people who sent nothing of it.
    pub(super) fn schemes(self) -> &'static str {
        match self {
            Guard::Ats => {
                "a token of auth.tokens in X-Auth-Token, or sign the request by SDK-HMAC-SHA256 with a key of \
                 auth.credentials"
            }
            Guard::Registry | Guard::Kie | Guard::KieFile => {
                "Authorization: Bearer with a token of /v4/token, a token of auth.tokens in X-Auth-Token, or sign the \
                 request by SDK-HMAC-SHA256 with a key of auth.credentials"
            }
            Guard::Sae => {
                "a token of auth.tokens in X-Auth-Token, or sign the request by ACS3-HMAC-SHA256, or by acs (ROA, \
                 HMAC-SHA1), with a key of auth.credentials"
            }
            Guard::Ccs => {
                "a token of auth.tokens in the header X-Auth-Token, or sign the parameters by HmacSHA1 or HmacSHA256 with \
                 a key of auth.credentials"
            }
            Guard::Accounts => "Authorization: Bearer with a token of /v4/token",
        }
    }
}

/// Lets a request in, or refuses it in the dialect's form.
pub(in crate::api) async fn layer(
    State((context, guard)): State<(Shared, Guard)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    match admit(&context, guard, &head, body).await {
        Ok((caller, body)) => {
            head.extensions.insert(caller);
            next.run(Request::from_parts(head, body)).await
        }
        Err(fault) => {
            let remedy = fault.remedy(guard.schemes());
            // The lines behind it repeat what was signed, in which others' secrets may be.
            tracing::debug!(?guard, reason = remedy.lines().next(), "somebody is not let in");
            forms::refuse(&context, guard, &head, fault, remedy)
        }
    }
}

/// Who this is. The body is given on, read or not.
async fn admit(context: &Shared, guard: Guard, head: &Parts, body: Body) -> Result<(Caller, Body), Fault> {
    if guard == Guard::Ccs {
        return qcloud::admit(context, head, body).await;
    }
    match present(&context.auth, guard, head)? {
        Presented::Caller(caller) => Ok((caller, body)),
        Presented::Claim(claim, secret) => {
            let caller = Caller { name: claim.id.to_owned(), scheme: Scheme::Signature, roles: Vec::new() };
            Ok((caller, check(context, head, &claim, secret, body).await?))
        }
    }
}

/// What a request's head presents, as far as the head alone tells.
#[derive(Debug)]
enum Presented<'a> {
    Caller(Caller),
    /// A claim to a key's secret, of about this time, whose signature is still to be checked.
    Claim(Claim<'a>, &'a str),
}

fn present<'a>(auth: &'a Auth, guard: Guard, head: &'a Parts) -> Result<Presented<'a>, Fault> {
    let by_token = if guard.takes_tokens() { by_token(auth, head) } else { None };
    let has_token = match by_token {
        Some(Ok(caller)) => return Ok(Presented::Caller(caller)),
        Some(Err(Unknown)) => true,
        None => false,
    };
    let mut values = head.headers.get_all(header::AUTHORIZATION).iter();
    let Some(authorization) = values.next() else {
        return Err(if has_token { Fault::Token } else { Fault::Missing });
    };
    let authorization = match (authorization.to_str(), values.next()) {
        (Ok(text), None) => text.trim(),
        _ => return Err(Fault::Malformed("Authorization", "one line of visible ASCII characters".to_owned())),
    };
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if scheme.eq_ignore_ascii_case(BEARER) && guard.takes_bearers() {
        return bearer(auth, rest.trim()).map(Presented::Caller);
    }
    let another = || Fault::Scheme(scheme.to_owned());
    if !guard.takes_signatures(scheme) {
        return Err(another());
    }
    let claim = Claim::read(head, authorization).ok_or_else(another)??;
    let secret = auth.keys.secret(claim.id).ok_or_else(|| Fault::UnknownId(claim.id.to_owned()))?;
    let (header, signed_at) = claim.signed_at;
    let behind = auth.clock.now_micros().saturating_sub(signed_at);
    if u128::from(behind.unsigned_abs()) > auth.clock_skew.as_micros() {
        return Err(Fault::Skewed(header, behind / 1_000_000));
    }
    Ok(Presented::Claim(claim, secret))
}

/// A token that the settings do not have.
pub(super) struct Unknown;

/// Who a token says that this is; none where there is no token.
pub(super) fn by_token(auth: &Auth, head: &Parts) -> Option<Result<Caller, Unknown>> {
    let mut tokens = head.headers.get_all(TOKEN).iter().peekable();
    tokens.peek()?;
    let known = tokens.find_map(|token| auth.keys.token(token.as_bytes().trim_ascii())).map(|number| {
        let name = format!("token {number}");
        Caller { name, scheme: Scheme::Token, roles: Vec::new() }
    });
    Some(known.ok_or(Unknown))
}

fn bearer(auth: &Auth, token: &str) -> Result<Caller, Fault> {
    let rbac = auth.rbac.as_ref().ok_or(Fault::Bearer("this server has no accounts: set auth.root_password"))?;
    let account = rbac.bearer(token)?;
    Ok(Caller { name: account.name.clone(), scheme: Scheme::Bearer, roles: account.roles.clone() })
}

/// Whether what is claimed is so. Where the head has all that is signed, nothing of the body is read before that holds.
async fn check(context: &Shared, head: &Parts, claim: &Claim<'_>, secret: &str, body: Body) -> Result<Body, Fault> {
    let signed = |payload: &str| match claim.is_signed_with(secret, payload) {
        true => Ok(()),
        false => Err(Fault::Signature(claim.over(payload))),
    };
    let is_empty = body.is_end_stream();
    match &claim.covered {
        // What is not there is signed as such by some, whatever the head says.
        Covered::Nothing if is_empty => signed(&signed::body_digest(b"")).or_else(|_| signed(signed::UNSIGNED))?,
        Covered::Nothing => signed(signed::UNSIGNED)?,
        Covered::Declared(_, digest) => signed(digest)?,
        Covered::Empty(_) => signed("")?,
        Covered::Whole => {}
    }
    if claim.covered == Covered::Nothing {
        return Ok(body);
    }
    let held = body::hold(context, &head.headers, body).await.map_err(Fault::Unreadable)?;
    let digest = offload(held.bytes().len(), || signed::body_digest(held.bytes()));
    match &claim.covered {
        Covered::Declared(header, declared) if !declared.eq_ignore_ascii_case(&digest) => Err(Fault::Body(header)),
        Covered::Empty(header) if !held.bytes().is_empty() => Err(Fault::Body(header)),
        Covered::Whole => signed(&digest).map(|()| Body::new(held)),
        _ => Ok(Body::new(held)),
    }
}

#[cfg(test)]
mod tests;
