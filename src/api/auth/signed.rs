//! A signed request: what its head claims, and whether that is so. Three schemes are read here into one [`Claim`]; a
//! further one needs a reader of its own and, where it signs in another manner, a kind of [`Message`].
//!
//! | scheme | who | signed |
//! |---|---|---|
//! | `SDK-HMAC-SHA256` | Huawei | the date and the digest of method, path with a last slash, query, headers, body's digest |
//! | `ACS3-HMAC-SHA256` | Alibaba | the digest of method, path, query, headers, body's digest; the date is a header |
//! | `acs` | Alibaba, older (ROA) | method, four headers, those of `x-acs-`, path and decoded query, by HMAC-SHA1 |
//!
//! Nothing here reads a clock or a body: the caller compares the date, and tells the body's digest.

use super::canonical;
use super::fault::Fault;
use crate::model::hex;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::NaiveDateTime;
use ring::{digest, hmac};

pub(super) const SDK: &str = "SDK-HMAC-SHA256";
pub(super) const ACS3: &str = "ACS3-HMAC-SHA256";
pub(super) const ROA: &str = "acs";

/// What stands for the digest of a body that is not signed.
pub(super) const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The MD5 of no bytes, as `Content-MD5` has it.
const NO_BYTES_MD5: &str = "1B2M2Y8AsgTpgAmY7PhCfg==";
const SDK_DATE: &str = "X-Sdk-Date";
const SDK_HASH: &str = "X-Sdk-Content-Sha256";
const ACS_DATE: &str = "x-acs-date";
const ACS_HASH: &str = "x-acs-content-sha256";
const DATE: &str = "Date";
const CONTENT_MD5: &str = "Content-MD5";
const AUTHORIZATION: &str = "Authorization";

/// What a claim says of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Covered {
    /// Its digest, which the head has, in that header.
    Declared(&'static str, String),
    /// The digest of what comes is signed.
    Whole,
    /// Nothing: the signature holds for any body.
    Nothing,
    /// That there is none.
    Empty(&'static str),
}

/// What a request claims by its signature.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) id: &'a str,
    /// The header that has the date, and the date in microseconds since 1970 UTC.
    pub(super) signed_at: (&'static str, i64),
    pub(super) covered: Covered,
    signature: Vec<u8>,
    message: Message,
}

/// What the signature is computed over.
#[derive(Debug)]
enum Message {
    /// The preamble and a digest: of these bytes with the body's digest behind them.
    Digested { preamble: String, canonical: Vec<u8> },
    /// Either of these: clients differ in how they write a parameter that has no value.
    Plain(Vec<u8>, Option<Vec<u8>>),
}

impl<'a> Claim<'a> {
    /// Reads what a request's head claims, by the first word of its header `Authorization`, if it is one of these
    /// schemes'.
    pub(super) fn read(head: &'a Parts, authorization: &'a str) -> Option<Result<Claim<'a>, Fault>> {
        let (scheme, rest) = authorization.trim().split_once(' ')?;
        let read = match scheme {
            SDK => sdk,
            ACS3 => acs3,
            ROA => roa,
            _ => return None,
        };
        Some(read(Head(head), rest))
    }

    /// Whether the secret signed this, with the body's digest, or what stands for it, in the place for it.
    pub(super) fn is_signed_with(&self, secret: &str, payload: &str) -> bool {
        match &self.message {
            Message::Digested { preamble, canonical } => {
                let text = digested(preamble, canonical, payload);
                verify(hmac::HMAC_SHA256, secret, text.as_bytes(), &self.signature)
            }
            Message::Plain(text, other) => {
                let algorithm = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
                verify(algorithm, secret, text, &self.signature)
                    || other.as_ref().is_some_and(|other| verify(algorithm, secret, other, &self.signature))
            }
        }
    }

    /// What the server computes the signature over, for a person to compare.
    pub(super) fn over(&self, payload: &str) -> String {
        match &self.message {
            Message::Digested { canonical, .. } => format!("{}{payload}", String::from_utf8_lossy(canonical)),
            Message::Plain(text, _) => String::from_utf8_lossy(text).into_owned(),
        }
    }
}

/// In constant time.
fn verify(algorithm: hmac::Algorithm, secret: &str, message: &[u8], signature: &[u8]) -> bool {
    hmac::verify(&hmac::Key::new(algorithm, secret.as_bytes()), message, signature).is_ok()
}

fn digested(preamble: &str, canonical: &[u8], payload: &str) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(canonical);
    context.update(payload.as_bytes());
    format!("{preamble}\n{}", hex::encode(context.finish().as_ref()))
}

/// The digest of a body, in hex.
pub(super) fn body_digest(body: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, body).as_ref())
}

/// `Access=AK, SignedHeaders=a;b, Signature=hex`.
fn sdk<'a>(head: Head<'a>, rest: &'a str) -> Result<Claim<'a>, Fault> {
    let fields = Fields::read(rest, "Access", "SDK-HMAC-SHA256 Access=ID, SignedHeaders=a;b, Signature=HEX")?;
    let date = head.only(SDK_DATE, "a date such as 20260131T235959Z, once")?;
    let signed_at = micros(SDK_DATE, date, "%Y%m%dT%H%M%SZ", "20260131T235959Z")?;
    let mut path = canonical::path(head.0.uri.path());
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    let covered = match head.0.headers.contains_key(SDK_HASH) {
        false => Covered::Whole,
        true => match head.only(SDK_HASH, DIGEST)? {
            UNSIGNED => Covered::Nothing,
            digest => Covered::Declared(SDK_HASH, sha256(SDK_HASH, digest)?),
        },
    };
    let canonical = head.canonical(&path, fields.signed_headers)?;
    let message = Message::Digested { preamble: format!("{SDK}\n{date}"), canonical };
    Ok(Claim { id: fields.id, signed_at: (SDK_DATE, signed_at), covered, signature: fields.signature, message })
}

/// `Credential=AK,SignedHeaders=a;b,Signature=hex`.
fn acs3<'a>(head: Head<'a>, rest: &'a str) -> Result<Claim<'a>, Fault> {
    let form = "ACS3-HMAC-SHA256 Credential=ID,SignedHeaders=a;b,Signature=HEX";
    let fields = Fields::read(rest, "Credential", form)?;
    // It counts only where it is signed.
    for name in [ACS_DATE, ACS_HASH] {
        if !fields.signed_headers.split(';').any(|signed| signed == name) {
            return Err(Fault::Malformed(AUTHORIZATION, format!("{name} among the signed headers")));
        }
    }
    let date = head.only(ACS_DATE, "a date such as 2026-01-31T23:59:59Z, once")?;
    let signed_at = micros(ACS_DATE, date, "%Y-%m-%dT%H:%M:%SZ", "2026-01-31T23:59:59Z")?;
    let covered = Covered::Declared(ACS_HASH, sha256(ACS_HASH, head.only(ACS_HASH, DIGEST)?)?);
    let canonical = head.canonical(head.0.uri.path().as_bytes(), fields.signed_headers)?;
    let message = Message::Digested { preamble: ACS3.to_owned(), canonical };
    Ok(Claim { id: fields.id, signed_at: (ACS_DATE, signed_at), covered, signature: fields.signature, message })
}

/// `AK:base64`. A body counts by its MD5 alone, if at all, which is no protection: there may be none.
fn roa<'a>(head: Head<'a>, rest: &'a str) -> Result<Claim<'a>, Fault> {
    let form = || Fault::Malformed(AUTHORIZATION, "acs ID:SIGNATURE, the signature in base 64".to_owned());
    let (id, signature) = rest.trim().split_once(':').ok_or_else(form)?;
    let signature = STANDARD.decode(signature).map_err(|_| form())?;
    let date = head.only(DATE, "a date such as Sat, 31 Jan 2026 23:59:59 GMT, once")?;
    let signed_at = micros(DATE, date, "%a, %d %b %Y %H:%M:%S GMT", "Sat, 31 Jan 2026 23:59:59 GMT")?;
    if head.values(CONTENT_MD5).is_some_and(|md5| md5 != NO_BYTES_MD5.as_bytes()) {
        return Err(Fault::Malformed(CONTENT_MD5, format!("no body; sign one by {ACS3}")));
    }
    let message = roa_message(head, b"=");
    // One reads `a=`, the other `a`.
    let other = Some(roa_message(head, b"")).filter(|other| *other != message);
    let message = Message::Plain(message, other);
    Ok(Claim { id, signed_at: (DATE, signed_at), covered: Covered::Empty(CONTENT_MD5), signature, message })
}

fn roa_message(head: Head<'_>, no_value: &[u8]) -> Vec<u8> {
    let mut out = Vec::from(head.0.method.as_str());
    out.push(b'\n');
    for name in ["Accept", CONTENT_MD5, "Content-Type", DATE] {
        out.extend(head.values(name).unwrap_or_default());
        out.push(b'\n');
    }
    let mut names: Vec<&str> = head.0.headers.keys().map(|name| name.as_str()).collect();
    names.retain(|name| name.starts_with("x-acs-"));
    names.sort_unstable();
    for name in names {
        head.push_header(name, &mut out);
    }
    out.extend_from_slice(head.0.uri.path().as_bytes());
    let parameters = canonical::parameters(head.0.uri.query().unwrap_or_default());
    for (number, (name, value)) in parameters.iter().enumerate() {
        out.push(if number == 0 { b'?' } else { b'&' });
        out.extend_from_slice(name);
        out.extend_from_slice(if value.is_empty() { no_value } else { b"=" });
        out.extend_from_slice(value);
    }
    out
}

const DIGEST: &str = "the body's SHA-256 in 64 hex digits, once";

fn sha256(header: &'static str, text: &str) -> Result<String, Fault> {
    match hex::decode(text) {
        Some(bytes) if bytes.len() == 32 => Ok(text.to_owned()),
        _ => Err(Fault::Malformed(header, DIGEST.to_owned())),
    }
}

fn micros(header: &'static str, text: &str, format: &str, example: &str) -> Result<i64, Fault> {
    match NaiveDateTime::parse_from_str(text, format) {
        Ok(date) => Ok(date.and_utc().timestamp_micros()),
        Err(_) => Err(Fault::Malformed(header, format!("a date such as {example}"))),
    }
}

/// What stands behind a scheme's name.
struct Fields<'a> {
    id: &'a str,
    signed_headers: &'a str,
    signature: Vec<u8>,
}

impl<'a> Fields<'a> {
    fn read(text: &'a str, id: &str, form: &str) -> Result<Fields<'a>, Fault> {
        let field = |wanted: &str| {
            let named = |field: &'a str| field.trim().split_once('=').filter(|(name, _)| *name == wanted);
            text.split(',').find_map(named).map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let read = || {
            let signature = hex::decode(field("Signature")?)?;
            Some(Fields { id: field(id)?, signed_headers: field("SignedHeaders")?, signature })
        };
        let fields = read().ok_or_else(|| Fault::Malformed(AUTHORIZATION, form.to_owned()))?;
        let names = fields.signed_headers.split(';');
        // Each once: a header that is repeated a thousand times would be hashed as often.
        let in_order = names.clone().zip(names.clone().skip(1)).all(|(name, next)| name < next);
        let lower = !fields.signed_headers.bytes().any(|b| b.is_ascii_uppercase());
        if !in_order || !lower {
            let expected = "signed headers in lower case and alphabetical order, each once";
            return Err(Fault::Malformed(AUTHORIZATION, expected.to_owned()));
        }
        Ok(fields)
    }
}

/// A request's head as signatures see it.
#[derive(Clone, Copy)]
struct Head<'a>(&'a Parts);

impl<'a> Head<'a> {
    /// The value of a header that stands there once and is text.
    fn only(self, name: &'static str, expected: &str) -> Result<&'a str, Fault> {
        let mut values = self.0.headers.get_all(name).iter();
        match (values.next().map(|value| value.to_str()), values.next()) {
            (Some(Ok(text)), None) => Ok(text.trim()),
            _ => Err(Fault::Malformed(name, expected.to_owned())),
        }
    }

    /// The values of a header with commas between them, each without the white space around it.
    fn values(self, name: &str) -> Option<Vec<u8>> {
        let headers: &HeaderMap = &self.0.headers;
        let mut values = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii());
        let Some(first) = values.next() else {
            // HTTP/2 has the host in its address.
            let of_host = name.eq_ignore_ascii_case(header::HOST.as_str());
            return self.0.uri.authority().filter(|_| of_host).map(|host| host.as_str().into());
        };
        let mut joined = first.to_vec();
        for value in values {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
        Some(joined)
    }

    fn push_header(self, name: &str, out: &mut Vec<u8>) -> bool {
        let Some(values) = self.values(name) else { return false };
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        out.extend(values);
        out.push(b'\n');
        true
    }

    /// Method, path, query, headers and their names, each on lines of its own; the body's digest comes behind it.
    fn canonical(self, path: &[u8], signed_headers: &str) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::from(self.0.method.as_str());
        out.push(b'\n');
        out.extend_from_slice(path);
        out.push(b'\n');
        out.extend(canonical::query(self.0.uri.query().unwrap_or_default()));
        out.push(b'\n');
        for name in signed_headers.split(';') {
            if !self.push_header(name, &mut out) {
                let expected = format!("signed headers that are sent, and {name:?} is not");
                return Err(Fault::Malformed(AUTHORIZATION, expected));
            }
        }
        out.push(b'\n');
        out.extend_from_slice(signed_headers.as_bytes());
        out.push(b'\n');
        Ok(out)
    }
}

#[cfg(test)]
mod tests;
