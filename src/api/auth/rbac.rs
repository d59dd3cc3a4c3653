//! ServiceComb's accounts at work: logins, tokens, and who may change what. What it refuses has the service centre's
//! own code; a status is the code's first three digits.
//!
//! * Passwords are hashed at a few places at a time, and few wait for one: a crowd of logins is refused, not queued.
//! * A login that fails costs as much whether or not there is such an account.
//! * Failures are counted where the hash was computed, so that no more slip through a ban than there are places.

use super::super::servicecomb::Failure;
use super::attempts::{Attempts, Who};
use super::fault::Fault;
use super::{Caller, jwt, password};
use crate::clock::Clock;
use crate::config::{PASSWORD_RULE, Secret, is_password};
use crate::error::Error;
use crate::model::hex;
use crate::registry::{Account, AccountChange, Fault as RegistryFault, FaultKind, Registry};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The account that is there from the start. It has the role [`ADMIN`], and nobody takes it away.
const ROOT: &str = "root";
/// The role that may do everything.
pub(super) const ADMIN: &str = "admin";
/// The role that may do everything but see to accounts and roles.
pub(super) const DEVELOPER: &str = "developer";
/// An account whose logins are refused.
const INACTIVE: &str = "inactive";
/// Passwords that are hashed at a time, however many cores there are.
const MOST_PLACES: usize = 4;
/// Logins that wait for a place.
const MOST_WAITING: usize = 64;
/// How many roles an account may name.
const MOST_ROLES: usize = 5;
/// The longest name of an account.
const LONGEST_NAME: usize = 64;
/// How long a token lasts, in seconds: at least, at most, and where the login does not say.
const LEAST_TERM: i64 = 15 * 60;
const MOST_TERM: i64 = 24 * 3_600;
const TERM: i64 = 12 * 3_600;

fn denied<T>(code: u32, detail: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::new(code, detail))
}

/// A fault of the server's own.
fn broken(error: &Error) -> Failure {
    tracing::error!(%error, "a request about accounts failed");
    Failure::new(500_003, error.message())
}

/// What somebody asks of an account.
#[derive(Clone, Debug, Default)]
pub(super) struct NewAccount {
    pub(super) name: String,
    pub(super) password: String,
    pub(super) roles: Vec<String>,
    pub(super) status: String,
}

#[derive(Debug)]
pub(super) struct Rbac {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    key: hmac::Key,
    attempts: Mutex<Attempts>,
    places: Arc<Semaphore>,
    waiting: Semaphore,
    /// What is compared with where there is no account.
    nobody: Arc<str>,
}

impl Rbac {
    /// Makes the account root if it is not there.
    pub(super) async fn open(
        root_password: &Secret,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
    ) -> Result<Rbac, Error> {
        let failed = |failure: Failure| Error::internal(format!("accounts: {}", failure.detail));
        let unavailable = |fault: RegistryFault| Error::internal(format!("accounts: {fault}"));
        let fresh = STANDARD.encode(random::<64>()?);
        let secret = registry.token_secret(&fresh).await.map_err(unavailable)?;
        let secret = STANDARD.decode(&*secret).ok().filter(|secret| secret.len() >= 64).ok_or_else(|| {
            Error::damaged(
                "accounts: the secret that tokens are signed with cannot be read from the registry's database",
            )
        })?;
        let places = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_PLACES);
        let mut rbac = Rbac {
            registry,
            clock,
            key: jwt::key(&secret),
            attempts: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            waiting: Semaphore::new(places + MOST_WAITING),
            nobody: Arc::default(),
        };
        rbac.nobody = rbac.hash(hex::encode(&random::<16>()?)).await.map_err(failed)?.into();
        match rbac.registry.account(ROOT) {
            None => {
                let kept = rbac.hash(root_password.reveal().to_owned()).await.map_err(failed)?;
                let root = Rbac::account(ROOT.to_owned(), kept, vec![ADMIN.to_owned()], String::new())?;
                rbac.registry.create_account(root).await.map_err(unavailable)?;
                tracing::info!("the account root is there, with the password of auth.root_password");
            }
            Some(root) => {
                let given = root_password.reveal().to_owned();
                let place = rbac.place().await.map_err(failed)?;
                let same = move || password::verify(&root.password_hash, &given);
                if !blocking(place, same).await.map_err(failed)?.0 {
                    tracing::warn!(
                        "auth.root_password is not heeded: root has had a password before, and it is another"
                    );
                }
            }
        }
        Ok(rbac)
    }

    fn now_seconds(&self) -> i64 {
        self.clock.now_micros().div_euclid(1_000_000)
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An account that is not kept yet.
    fn account(name: String, kept: String, roles: Vec<String>, status: String) -> Result<Account, Error> {
        Ok(Account {
            name,
            id: hex::encode(&random::<16>()?),
            password_hash: kept,
            password_id: hex::encode(&random::<8>()?),
            roles,
            status: if status.is_empty() { "active".to_owned() } else { status },
            ..Account::default()
        })
    }

    /// A token for whoever knows the password, for as long as he asks.
    pub(super) async fn login(
        &self,
        name: &str,
        password: &str,
        term: Option<&str>,
        address: IpAddr,
    ) -> Result<String, Failure> {
        let term = match term {
            None | Some("") => TERM,
            Some(text) => match go_duration(text) {
                Some(seconds) if (LEAST_TERM..=MOST_TERM).contains(&seconds) => seconds,
                _ => return denied(400_001, "tokenExpirationTime: send a duration from 15m to 24h, such as 1h30m"),
            },
        };
        let account = self.check(name, password, address, (401_202, "the name or the password is wrong")).await?;
        let now = self.now_seconds();
        let claims = jwt::Claims {
            account: account.name.clone(),
            roles: account.roles.clone(),
            iat: now,
            exp: now + term,
            password: account.password_id.clone(),
        };
        Ok(jwt::write(&self.key, &claims))
    }

    /// The account, if the password is its. A failure counts.
    async fn check(
        &self,
        name: &str,
        password: &str,
        address: IpAddr,
        (code, detail): (u32, &str),
    ) -> Result<Arc<Account>, Failure> {
        let who = Who::new(name, address);
        let place = self.place().await?;
        if let Some(micros) = self.attempts().banned(&who, self.clock.now_micros()) {
            let seconds = micros.unsigned_abs().div_ceil(1_000_000);
            return denied(403_201, format!("more than 2 logins failed: try again in {seconds} seconds"));
        }
        let account = self.registry.account(name).filter(|account| account.status != INACTIVE);
        let kept =
            account.as_ref().map_or_else(|| self.nobody.clone(), |account| account.password_hash.as_str().into());
        let given = password.to_owned();
        let (same, _place) = blocking(place, move || password::verify(&kept, &given)).await?;
        match account.filter(|_| same) {
            Some(account) => {
                self.attempts().succeeded(&who);
                Ok(account)
            }
            None => {
                tracing::warn!(name = cut(name), %address, "a login failed");
                self.attempts().failed(who, self.clock.now_micros());
                denied(code, detail)
            }
        }
    }

    /// Waits for a place to hash a password at.
    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let busy = || Failure::new(503_001, "too many logins are under way: try again in a second");
        let _waits = self.waiting.try_acquire().map_err(|_| busy())?;
        self.places.clone().acquire_owned().await.map_err(|_| busy())
    }

    async fn hash(&self, password: String) -> Result<String, Failure> {
        let place = self.place().await?;
        let (hashed, _place) = blocking(place, move || password::hash(&password)).await?;
        hashed.map_err(|_| broken(&no_randomness()))
    }

    /// Whose token this is, as the account is now.
    pub(super) fn bearer(&self, token: &str) -> Result<Arc<Account>, Fault> {
        let claims = jwt::read(&self.key, token, self.now_seconds())?;
        let Some(account) = self.registry.account(&claims.account) else {
            return Err(Fault::Deleted(claims.account));
        };
        if account.password_id != claims.password {
            return Err(Fault::OldPassword);
        }
        if account.status == INACTIVE {
            return Err(Fault::Bearer("the account is inactive"));
        }
        Ok(account)
    }

    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        self.registry.accounts()
    }

    pub(super) fn one(&self, name: &str) -> Result<Arc<Account>, Failure> {
        self.registry.account(name).map_or_else(|| missing(name), Ok)
    }

    pub(super) async fn create(&self, new: NewAccount) -> Result<(), Failure> {
        let NewAccount { name, password, roles, status } = new;
        if !is_name(&name) {
            let rule = "send 1 to 64 letters, digits, _, - or ., with a letter or digit at both ends";
            return denied(400_001, format!("name: {rule}"));
        }
        check_new_password(&name, &password)?;
        check_roles(&roles)?;
        check_status(&status)?;
        if roles.is_empty() {
            return denied(400_001, "roles: send 1 to 5 of admin, developer");
        }
        // Before the work.
        if self.registry.account(&name).is_some() {
            return denied(409_200, format!("account [{name}] exists"));
        }
        let kept = self.hash(password).await?;
        let account = Rbac::account(name, kept, roles, status).map_err(|e| broken(&e))?;
        self.registry.create_account(account).await.map_err(|fault| match fault.kind {
            FaultKind::Quota => Failure::new(400_203, fault.detail),
            _ => fault.into(),
        })
    }

    /// Changes roles and status.
    pub(super) async fn update(
        &self,
        caller: &Caller,
        name: &str,
        roles: Vec<String>,
        status: String,
    ) -> Result<(), Failure> {
        check_roles(&roles)?;
        check_status(&status)?;
        may_touch(caller, name)?;
        if roles.is_empty() && status.is_empty() {
            return denied(400_001, "send roles, status or both");
        }
        let change = AccountChange {
            roles: Some(roles).filter(|roles| !roles.is_empty()),
            status: Some(status).filter(|status| !status.is_empty()),
            ..AccountChange::default()
        };
        Ok(self.registry.change_account(name, change).await?)
    }

    pub(super) async fn delete(&self, caller: &Caller, name: &str) -> Result<(), Failure> {
        may_touch(caller, name)?;
        Ok(self.registry.drop_account(name).await?)
    }

    /// One's own password by the current one; another's by the role admin alone. The current one counts if it still is
    /// when the new one is kept: of two that come at once, one is refused. A password that an admin gave lifts the bans
    /// of the name: failures with the old one say nothing of it.
    pub(super) async fn change_password(
        &self,
        caller: &Caller,
        name: &str,
        current: &str,
        new: String,
        address: IpAddr,
    ) -> Result<(), Failure> {
        let own = caller.name == name;
        if !own && !caller.is_admin() {
            return denied(403_001, "can not change other account password: that takes the role admin");
        }
        check_new_password(name, &new)?;
        let mut checked = None;
        if own {
            if current.is_empty() {
                return denied(400_001, "current password should not be empty: send it as currentPassword");
            }
            if current == new {
                return denied(400_206, "the password can not be same as old one");
            }
            let account = self.check(name, current, address, (401_207, "currentPassword is wrong")).await?;
            checked = Some(account.password_id.clone());
        } else if self.registry.account(name).is_none() {
            return missing(name);
        }
        let kept = self.hash(new).await?;
        let change = AccountChange {
            if_password: checked,
            password: Some((kept, hex::encode(&random::<8>().map_err(|e| broken(&e))?))),
            ..AccountChange::default()
        };
        self.registry.change_account(name, change).await.map_err(|fault| match fault.kind {
            FaultKind::AccountConflict => {
                Failure::new(401_207, "currentPassword is wrong: the password was changed meanwhile")
            }
            _ => fault.into(),
        })?;
        if !own {
            self.attempts().forgive(name);
        }
        Ok(())
    }
}

fn missing<T>(name: &str) -> Result<T, Failure> {
    denied(400_200, format!("account [{}] not exist", cut(name)))
}

/// What a refusal or the log repeats of a name.
fn cut(name: &str) -> &str {
    name.char_indices().nth(LONGEST_NAME).and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

/// Neither root nor oneself, so that an admin remains.
fn may_touch(caller: &Caller, name: &str) -> Result<(), Failure> {
    if name == ROOT {
        return denied(403_202, "root can not be operated");
    }
    if name == caller.name {
        return denied(403_204, "your own account can not be operated");
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= LONGEST_NAME
        && end(bytes.first())
        && end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(b))
}

fn check_new_password(name: &str, password: &str) -> Result<(), Failure> {
    if !is_password(password) {
        return denied(400_001, format!("password: send {PASSWORD_RULE}"));
    }
    if password == name || password.chars().rev().eq(name.chars()) {
        return denied(400_001, "password: it must not be the account's name, nor that reversed");
    }
    Ok(())
}

fn check_roles(roles: &[String]) -> Result<(), Failure> {
    if roles.len() > MOST_ROLES {
        return denied(400_001, format!("roles: send at most {MOST_ROLES}"));
    }
    match roles.iter().find(|role| ![ADMIN, DEVELOPER].contains(&role.as_str())) {
        Some(role) => denied(400_202, format!("role [{}] not exist: there are admin and developer", cut(role))),
        None => Ok(()),
    }
}

fn check_status(status: &str) -> Result<(), Failure> {
    if ["", "active", INACTIVE].contains(&status) {
        return Ok(());
    }
    denied(400_001, "status: send active or inactive")
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| no_randomness())?;
    Ok(bytes)
}

fn no_randomness() -> Error {
    Error::internal("accounts: the system gives no random numbers")
}

/// Off the threads that serve requests: this takes its time. The place is taken until the work is done, even if nobody
/// waits for it any more.
async fn blocking<T: Send + 'static>(
    place: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<(T, OwnedSemaphorePermit), Failure> {
    let done = tokio::task::spawn_blocking(move || (work(), place)).await;
    done.map_err(|error| broken(&Error::internal(format!("accounts: hashing a password failed: {error}"))))
}

/// Whole seconds of a duration as Go writes it: `12h`, `1h30m`, `1.5h`, `90000ms`. None where it is none.
fn go_duration(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|end| *end > 0)?;
        let (digits, after) = rest.split_at_checked(number)?;
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += digits.parse::<f64>().ok()? * factor;
        rest = after;
    }
    // Beyond what anybody asks for: the cast saturates.
    Some(seconds.round() as i64)
}

#[cfg(test)]
mod tests;
