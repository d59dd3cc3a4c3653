//! Who may come in. Off by default; with a key, a token or root's password in the settings, the ATS, ServiceComb, kie, SAE
//! and CCS APIs are closed to everybody who presents nothing of these.
//!
//! In: a request's head, and its body where that is signed. Out: the request with its [`Caller`], or a refusal in the
//! dialect's own form that says what was wrong and what to do.
//!
//! * [`guard`]: what stands before a dialect's routes; one valid credential of a scheme of the dialect is enough.
//! * [`signed`]: requests that are signed with a key; [`canonical`] has their one spelling.
//! * [`qcloud`]: requests that are signed in their parameters; [`nonces`] remembers those that came.
//! * [`keys`]: the settings' keys and tokens.
//! * [`rbac`]: ServiceComb's accounts and their tokens ([`jwt`], [`password`], [`attempts`]), kept by the registry
//!   and asked for over [`routes`].
//! * [`forms`]: how each dialect refuses.
//!
//! Invariants:
//! * secrets are compared in constant time, and nothing prints one;
//! * no head makes the server do more than in proportion to its length, and no body is read for somebody whose id is
//!   not known, but a small one where the body is what names it;
//! * a digest of the body that is declared is compared with the body that came.

mod attempts;
mod canonical;
mod fault;
#[cfg(test)]
mod fixture;
mod forms;
mod guard;
mod jwt;
mod keys;
mod nonces;
mod password;
mod qcloud;
mod rbac;
mod routes;
mod signed;

pub(super) use canonical::parameters;
pub(super) use guard::{Guard, layer};
pub(super) use routes::{ACCOUNT_ROUTES, LOGIN_ROUTES};

use crate::clock::Clock;
use crate::config::AuthConfig;
use crate::error::{Error, Result};
use crate::registry::Registry;
use keys::Keys;
use nonces::Nonces;
use rbac::{ADMIN, Rbac};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The address of a request's client, which the server puts among its extensions.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// Who a request comes from: among its extensions behind a guard that let it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account, the key's id, or `token` and its number in the settings.
    pub name: String,
    pub scheme: Scheme,
    /// The account's roles; none for keys and tokens.
    pub roles: Vec<String>,
}

impl Caller {
    pub fn is_admin(&self) -> bool {
        self.roles.iter().any(|role| role == ADMIN)
    }
}

/// What a caller presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// An account's token.
    Bearer,
    /// A token of the settings, in `X-Auth-Token`.
    Token,
    /// A signature by a key of the settings.
    Signature,
}

/// All that guards need.
#[derive(Debug)]
pub struct Auth {
    keys: Keys,
    clock_skew: Duration,
    clock: Arc<dyn Clock>,
    nonces: Nonces,
    /// None where there are no accounts.
    rbac: Option<Rbac>,
}

impl Auth {
    /// Reads the settings, tells the log whom they let in, and makes the account root where it is asked for and missing.
    pub async fn open(config: &AuthConfig, registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Result<Auth> {
        let keys = Keys::new(config).map_err(|_| Error::internal("auth: the system gives no random numbers"))?;
        let rbac = match config.root_password.is_empty() {
            true => None,
            false => Some(Rbac::open(&config.root_password, registry, clock.clone()).await?),
        };
        tracing::info!("{}", who_may_come_in(config));
        let nonces = Nonces::new(config.credentials.len());
        Ok(Auth { keys, clock_skew: config.clock_skew, clock, nonces, rbac })
    }

    /// Whether anybody is to be refused at all.
    pub(super) fn is_on(&self) -> bool {
        !self.keys.are_none() || self.rbac.is_some()
    }
}

/// Whether the APIs with guards are open, and by which settings: names only.
fn who_may_come_in(auth: &AuthConfig) -> String {
    let settings = [
        ("auth.credentials", !auth.credentials.is_empty()),
        ("auth.tokens", !auth.tokens.is_empty()),
        ("auth.root_password", !auth.root_password.is_empty()),
    ];
    let given: Vec<&str> = settings.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name).collect();
    match given[..] {
        [] => "the ATS, ServiceComb, kie, SAE and CCS APIs are open to everybody: none of auth.credentials, \
               auth.tokens and auth.root_password is set"
            .to_owned(),
        ["auth.root_password"] => {
            "the ServiceComb and kie APIs are closed to all but those known by auth.root_password; the ATS, SAE and \
             CCS APIs are closed to everybody: they have no accounts, and neither auth.credentials nor auth.tokens is \
             set"
            .to_owned()
        }
        _ => format!(
            "the ATS, ServiceComb, kie, SAE and CCS APIs are closed to all but those known by {}",
            given.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credential, Secret};

    #[test]
    fn whether_the_apis_are_open_is_told_with_the_names_of_settings_alone() {
        let secret = || Secret::new("hunter2-hunter2");
        let credential = || Credential { id: "id-hunter2".to_owned(), secret: secret() };
        let auth = |credentials: bool, tokens: bool, password: bool| AuthConfig {
            credentials: if credentials { vec![credential()] } else { vec![] },
            tokens: if tokens { vec![secret()] } else { vec![] },
            root_password: if password { secret() } else { Secret::default() },
            ..AuthConfig::default()
        };
        let known_by =
            |names| format!("the ATS, ServiceComb, kie, SAE and CCS APIs are closed to all but those known by {names}");
        assert_eq!(
            who_may_come_in(&auth(false, false, false)),
            "the ATS, ServiceComb, kie, SAE and CCS APIs are open to everybody: none of auth.credentials, auth.tokens \
             and auth.root_password is set"
        );
        assert_eq!(who_may_come_in(&auth(false, true, false)), known_by("auth.tokens"));
        assert_eq!(
            who_may_come_in(&auth(true, true, true)),
            known_by("auth.credentials, auth.tokens, auth.root_password")
        );
        assert_eq!(
            who_may_come_in(&auth(false, false, true)),
            "the ServiceComb and kie APIs are closed to all but those known by auth.root_password; the ATS, SAE and \
             CCS APIs are closed to everybody: they have no accounts, and neither auth.credentials nor auth.tokens is \
             set"
        );
    }
}
