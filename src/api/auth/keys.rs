//! What the settings let in: keys that requests are signed with, and tokens.

use crate::config::{AuthConfig, Secret};
use ring::error::Unspecified;
use ring::hmac;
use ring::rand::SystemRandom;
use std::collections::HashMap;

/// Keys by their ids, and tokens.
#[derive(Debug)]
pub(super) struct Keys {
    secrets: HashMap<String, Secret>,
    /// Random for each start. What is compared are tokens' digests under it: how far two of them are equal says nothing
    /// of the tokens.
    key: hmac::Key,
    tokens: Vec<hmac::Tag>,
}

impl Keys {
    pub(super) fn new(config: &AuthConfig) -> Result<Keys, Unspecified> {
        let secrets = config.credentials.iter().map(|known| (known.id.clone(), known.secret.clone())).collect();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        let tokens = config.tokens.iter().map(|token| hmac::sign(&key, token.reveal().as_bytes())).collect();
        Ok(Keys { secrets, key, tokens })
    }

    pub(super) fn are_none(&self) -> bool {
        self.secrets.is_empty() && self.tokens.is_empty()
    }

    pub(super) fn secret(&self, id: &str) -> Option<&str> {
        self.secrets.get(id).map(Secret::reveal)
    }

    /// Which of the tokens this is, counted from one. All are looked at, whichever it is.
    pub(super) fn token(&self, presented: &[u8]) -> Option<usize> {
        let presented = hmac::sign(&self.key, presented);
        let differs = |tag: &hmac::Tag| {
            tag.as_ref().iter().zip(presented.as_ref()).fold(0, |differs, (a, b)| differs | (a ^ b)) != 0
        };
        let mut found = None;
        for (tag, number) in self.tokens.iter().zip(1..) {
            if !differs(tag) {
                found = Some(number);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Credential;

    #[test]
    fn only_what_is_configured_whole_is_known() {
        let config = AuthConfig {
            credentials: vec![Credential { id: "AK".to_owned(), secret: Secret::new("SK") }],
            tokens: vec![Secret::new("first-token"), Secret::new("second-token")],
            ..AuthConfig::default()
        };
        let keys = Keys::new(&config).unwrap();
        assert_eq!((keys.secret("AK"), keys.secret("ak"), keys.secret("")), (Some("SK"), None, None));
        for (presented, number) in [
            (&b"first-token"[..], Some(1)),
            (b"second-token", Some(2)),
            (b"second-toke", None),
            (b"second-tokens", None),
            (b"", None),
            (b"\xff", None),
        ] {
            assert_eq!(keys.token(presented), number, "{presented:?}");
        }
        assert!(!keys.are_none() && Keys::new(&AuthConfig::default()).unwrap().are_none());
    }
}
