//! Requests that are signed in their parameters, as clients of Tencent Cloud's API 2.0 do it.
//!
//! | parameter | what |
//! |---|---|
//! | `SecretId` | the key's id |
//! | `Timestamp` | seconds since 1970 UTC, up to two hours from the server's clock |
//! | `Nonce` | a number that no other request of the same key and time has |
//! | `SignatureMethod` | `HmacSHA1`, which it is where nothing is sent, or `HmacSHA256` |
//! | `Signature` | in base 64, of the method, the host, the path and all other parameters in order |
//!
//! Signed is the text `GETccs.api.qcloud.com/v2/index.php?Action=...&Nonce=...`, where names have dots for underscores and
//! values are as they are meant, not as they are encoded on the wire ([`Parameters::signed`]). The host is the one of the
//! header `Host`, or one of the setting `ccs.hosts`: proxies and clients do not always name the same.

use super::super::ccs::{self, Parameters, Rejection};
use super::super::{Shared, body};
use super::fault::{Fault, MOST_REPEATED, cut};
use super::guard::{Unknown, by_token};
use super::nonces::Verdict;
use super::{Auth, Caller, Scheme};
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// How far a request's time may be from the server's clock, in seconds: the product's own figure.
const MOST_SKEW: i64 = 7_200;

/// Who this is. The body is given on, read or not.
pub(super) async fn admit(context: &Shared, head: &Parts, body: Body) -> Result<(Caller, Body), Fault> {
    let has_token = match by_token(&context.auth, head) {
        Some(Ok(caller)) => return Ok((caller, body)),
        Some(Err(Unknown)) => true,
        None => false,
    };
    let (parameters, body) = match head.method == Method::POST {
        true => {
            let held = body::hold_small(context, &head.headers, body, ccs::MOST_BYTES).await;
            let held = held.map_err(Fault::Unreadable)?;
            (ccs::parameters(head, held.bytes()), Body::new(held))
        }
        false => (ccs::parameters(head, b""), body),
    };
    let parameters = parameters.map_err(Fault::Parameters)?;
    if ["SecretId", "Signature"].iter().all(|name| parameters.text(name).is_none()) {
        return Err(if has_token { Fault::Token } else { Fault::Missing });
    }
    let hosts = hosts(head, &context.config.ccs.hosts);
    let id = check(&context.auth, &head.method, &hosts, &parameters).map_err(Fault::Parameters)?;
    Ok((Caller { name: id.to_owned(), scheme: Scheme::Signature, roles: Vec::new() }, body))
}

/// The hosts that a request may be signed for, each once.
fn hosts<'a>(head: &'a Parts, others: &'a [String]) -> Vec<&'a str> {
    let sent = match head.headers.get(header::HOST) {
        Some(host) => host.to_str().ok(),
        // HTTP/2 has it in the address.
        None => head.uri.authority().map(|host| host.as_str()),
    };
    let mut hosts: Vec<&str> = sent.into_iter().collect();
    hosts.extend(others.iter().map(String::as_str).filter(|other| Some(*other) != sent));
    hosts
}

/// The key's id, if it signed the request and the request comes for the first time.
fn check<'p>(auth: &Auth, method: &Method, hosts: &[&str], parameters: &'p Parameters) -> Result<&'p str, Rejection> {
    let id = parameters.required("SecretId", "send the id of a key of the setting auth.credentials")?;
    let signature = parameters.required("Signature", "send the signature of the other parameters, in base 64")?;
    parameters.required("Timestamp", "send the time in seconds since 1970 UTC")?;
    parameters.required("Nonce", "send a number that no other request of the time has")?;
    let time: i64 = parameters.number("Timestamp")?.unwrap_or_default();
    let nonce: u64 = parameters.number("Nonce")?.unwrap_or_default();
    let algorithm = match parameters.text("SignatureMethod") {
        None | Some("HmacSHA1") => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Some("HmacSHA256") => hmac::HMAC_SHA256,
        Some(_) => {
            return Err(Rejection::out_of_range("parameter SignatureMethod: send HmacSHA1 or HmacSHA256"));
        }
    };
    let secret = auth.keys.secret(id).ok_or_else(|| {
        let id = cut(id, 128);
        Rejection::unknown_id(format!("parameter SecretId: {id:?} is none of the ids in the setting auth.credentials"))
    })?;
    let now = auth.clock.now_micros().div_euclid(1_000_000);
    let behind = now.saturating_sub(time);
    if behind.unsigned_abs() > MOST_SKEW.unsigned_abs() {
        let (by, side) = (behind.unsigned_abs(), if behind < 0 { "ahead of" } else { "behind" });
        return Err(Rejection::replayed(format!(
            "parameter Timestamp: {by} seconds {side} the server's clock, and {MOST_SKEW} may be: send the time in \
             seconds since 1970 UTC"
        )));
    }
    let key = hmac::Key::new(algorithm, secret.as_bytes());
    let orders = parameters.signed();
    let text = |host: &str, parameters: &str| format!("{method}{host}{}{parameters}", ccs::PATH);
    // A plus that was not encoded came as a space.
    let signature = STANDARD.decode(signature.replace(' ', "+")).ok();
    let is_signed = signature.is_some_and(|signature| {
        let mut texts = hosts.iter().flat_map(|host| orders.iter().map(|order| text(host, order)));
        texts.any(|text| hmac::verify(&key, text.as_bytes(), &signature).is_ok())
    });
    if !is_signed {
        let others = hosts.get(1..).unwrap_or_default().join(", ");
        let others = if others.is_empty() { others } else { format!(" (or {others} for the host)") };
        let order = orders.first().map(String::as_str).unwrap_or_default();
        let text = text(hosts.first().copied().unwrap_or_default(), order);
        return Err(Rejection::not_authentic(format!(
            "parameter Signature: sign with the secret of auth.credentials, over what is sent, in base 64. The server \
             computed the signature over{others}:\n{}",
            cut(&text, MOST_REPEATED)
        )));
    }
    match auth.nonces.take(id, time, nonce, now - MOST_SKEW) {
        Verdict::New => Ok(id),
        Verdict::Replayed => Err(Rejection::replayed(
            "parameter Nonce: a request with this SecretId, Timestamp and Nonce came before: send another number",
        )),
        Verdict::TooOld => Err(Rejection::replayed(
            "parameter Timestamp: so many requests of this SecretId came since that the server cannot tell whether this \
             one did: sign it anew",
        )),
    }
}

#[cfg(test)]
mod tests;
