//! The tokens that accounts get: JSON Web Tokens (RFC 7519) signed by HMAC-SHA512. Only this server reads them.

use super::fault::Fault;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 4 << 10;
const ALGORITHM: &str = "HS512";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) account: String,
    /// The account's when the token was given. What counts is what the account has.
    pub(super) roles: Vec<String>,
    /// When it was given and when it ends, in seconds since 1970 UTC.
    pub(super) iat: i64,
    pub(super) exp: i64,
    /// Which password it was given for.
    pub(super) password: String,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
}

/// Signs with this.
pub(super) fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA512, secret)
}

pub(super) fn write(key: &hmac::Key, claims: &Claims) -> String {
    let part = |json: String| URL_SAFE_NO_PAD.encode(json);
    // Texts and numbers: writing them cannot fail.
    let header = serde_json::to_string(&Header { alg: ALGORITHM, typ: "JWT" }).unwrap_or_default();
    let signed = format!("{}.{}", part(header), part(serde_json::to_string(claims).unwrap_or_default()));
    let signature = hmac::sign(key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

/// What a token says, if this server gave it and it has not ended.
pub(super) fn read(key: &hmac::Key, token: &str, now_seconds: i64) -> Result<Claims, Fault> {
    let alien = Fault::Bearer("this is no token of this server");
    let Some((signed, signature)) = token.rsplit_once('.').filter(|_| token.len() <= LONGEST) else {
        return Err(alien);
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    // Before anything is read: what is not signed is nobody's.
    if hmac::verify(key, signed.as_bytes(), &signature).is_err() {
        return Err(alien);
    }
    let claims = || -> Option<Claims> {
        let (header, claims) = signed.split_once('.')?;
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: Header<'_> = serde_json::from_slice(&header).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        (header.alg == ALGORITHM).then(|| serde_json::from_slice(&claims).ok()).flatten()
    };
    let claims = claims().ok_or(alien)?;
    if now_seconds >= claims.exp { Err(Fault::Expired) } else { Ok(claims) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            account: "root".to_owned(),
            roles: vec!["admin".to_owned()],
            iat: 1_000,
            exp: 2_000,
            password: "1".to_owned(),
        }
    }

    #[test]
    fn a_token_is_read_until_it_ends() {
        let key = key(b"secret");
        let token = write(&key, &claims());
        assert_eq!(read(&key, &token, 1_999).unwrap(), claims());
        assert!(matches!(read(&key, &token, 2_000), Err(Fault::Expired)));
    }

    #[test]
    fn a_token_is_what_other_programs_make_of_it() {
        // By PyJWT, and hmac and base64 of Python's library.
        let token = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJhY2NvdW50Ijoicm9vdCIsInJvbGVzIjpbImFkbWluIl0sImlhdCI6MTAwMCwiZXhwIjoyMDAwLCJwYXNzd29yZCI6IjEifQ.RuJ4059XdnwwtryV_RWbZwWBusA99DOs_Wxa1eNZD3qxAlDN03xFvplUr2NJA-B9G3Vn7kQC5tOqdhQocxWLXA";
        assert_eq!(
            write(&key(b"a secret of more than sixty-four bytes, as the algorithm wants it to be!"), &claims()),
            token
        );
    }

    #[test]
    fn what_another_secret_signed_or_nobody_did_is_refused() {
        let key = key(b"secret");
        let token = write(&key, &claims());
        let (signed, _) = token.rsplit_once('.').unwrap();
        let (header, body) = signed.split_once('.').unwrap();
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let longer = format!("{token}{}", "A".repeat(LONGEST));
        for bad in [
            "",
            ".",
            "..",
            "a.b.c",
            signed,
            &format!("{signed}."),
            &format!("{none}.{body}."),
            &format!("{header}.{}.{}", URL_SAFE_NO_PAD.encode("{}"), token.rsplit('.').next().unwrap()),
            &write(&super::key(b"Secret"), &claims()),
            &longer,
        ] {
            assert!(matches!(read(&key, bad, 0), Err(Fault::Bearer(_))), "{bad}");
        }
    }

    #[test]
    fn a_token_of_another_algorithm_or_form_is_refused_though_the_secret_signed_it() {
        let key = key(b"secret");
        for (header, body) in [
            (r#"{"alg":"HS256","typ":"JWT"}"#, serde_json::to_string(&claims()).unwrap()),
            (r#"{"alg":"HS512","typ":"JWT"}"#, "{}".to_owned()),
            ("x", "x".to_owned()),
        ] {
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(body));
            let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()).as_ref());
            assert!(matches!(read(&key, &format!("{signed}.{signature}"), 0), Err(Fault::Bearer(_))), "{header}");
        }
    }
}
