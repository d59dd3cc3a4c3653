//! Accounts: who may come in by name and password, whichever tenant is asked for then. Beside them the secret that
//! their tokens are signed with.

use super::Registry;
use super::change::{Change, What};
use super::database::{Database, Statement, Value};
use super::fault::{Fault, FaultKind, Outcome};
use super::service::Tenant;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// How many accounts there may be.
const MOST: usize = 1_000;
/// The name of the row.
const TOKENS: &str = "tokens";

/// An account.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Account {
    pub name: String,
    /// 32 hex digits.
    pub id: String,
    /// What is kept of the password, never the password.
    pub password_hash: String,
    /// Apart for each password that any account ever had: tokens name the one that they were given for.
    pub password_id: String,
    pub roles: Vec<String>,
    /// `active` or `inactive`.
    pub status: String,
    /// Seconds since 1970 UTC.
    pub created: i64,
    pub updated: i64,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { name, id, roles, status, .. } = self;
        write!(f, "Account {{ name: {name:?}, id: {id:?}, roles: {roles:?}, status: {status:?}, .. }}")
    }
}

/// What is changed of an account.
#[derive(Clone, Default)]
pub struct AccountChange {
    /// The id of the password that the account must still have, if that was looked at before.
    pub if_password: Option<String>,
    /// What is kept of the password, and its id.
    pub password: Option<(String, String)>,
    pub roles: Option<Vec<String>>,
    pub status: Option<String>,
}

/// A change of accounts.
#[derive(Clone)]
pub(crate) enum AccountWhat {
    Put(Arc<Account>),
    Drop { name: String },
    PutTokenSecret(Arc<str>),
}

impl fmt::Debug for AccountWhat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountWhat::Put(account) => write!(f, "Put({account:?})"),
            AccountWhat::Drop { name } => write!(f, "Drop({name:?})"),
            AccountWhat::PutTokenSecret(_) => f.write_str("PutTokenSecret"),
        }
    }
}

/// The image of accounts in memory.
#[derive(Default)]
pub(super) struct AccountState {
    accounts: BTreeMap<String, Arc<Account>>,
    token_secret: Option<Arc<str>>,
}

impl fmt::Debug for AccountState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.accounts.values()).finish()
    }
}

impl AccountState {
    pub(super) fn apply(&mut self, what: &AccountWhat) {
        match what {
            AccountWhat::Put(account) => {
                self.accounts.insert(account.name.clone(), account.clone());
            }
            AccountWhat::Drop { name } => {
                self.accounts.remove(name);
            }
            AccountWhat::PutTokenSecret(secret) => self.token_secret = Some(secret.clone()),
        }
    }
}

/// What a change writes.
pub(super) fn statement(what: &AccountWhat) -> Statement {
    match what {
        AccountWhat::Put(account) => Statement::new(
            "INSERT INTO accounts (name, body) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET body = excluded.body",
            [Value::from(account.name.as_str()), serde_json::to_string(&**account).unwrap_or_default().into()],
        ),
        AccountWhat::Drop { name } => {
            Statement::new("DELETE FROM accounts WHERE name = $1", [Value::from(name.as_str())])
        }
        AccountWhat::PutTokenSecret(secret) => Statement::new(
            "INSERT INTO secrets (name, secret) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET secret = excluded.secret",
            [Value::from(TOKENS), Value::from(&**secret)],
        ),
    }
}

/// All rows, as the changes that made them.
pub(super) async fn load(database: &Database, take: &mut impl FnMut(Change)) -> Result<()> {
    for mut row in database.rows(Statement::new("SELECT name, body FROM accounts", [])).await? {
        let (name, body) = (row.text(0), row.text(1));
        let account: Account = serde_json::from_str(&body)
            .map_err(|e| Error::damaged(format!("registry: the account {name:?} cannot be read: {e}")))?;
        take(change(AccountWhat::Put(Arc::new(account))));
    }
    let named = Statement::new("SELECT secret FROM secrets WHERE name = $1", [Value::from(TOKENS)]);
    for mut row in database.rows(named).await? {
        take(change(AccountWhat::PutTokenSecret(row.text(0).into())));
    }
    Ok(())
}

/// Accounts are nobody's in particular.
fn nobody() -> Tenant {
    Tenant::new("", "")
}

fn change(what: AccountWhat) -> Change {
    Change { tenant: nobody(), what: What::Account(what) }
}

fn missing(name: &str) -> Fault {
    Fault::new(FaultKind::AccountMissing, format!("account [{name}] not exist"))
}

impl Registry {
    pub fn account(&self, name: &str) -> Option<Arc<Account>> {
        self.image.read().accounts.accounts.get(name).cloned()
    }

    /// All of them, by their names.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.image.read().accounts.accounts.values().cloned().collect()
    }

    pub async fn create_account(&self, mut account: Account) -> Outcome<()> {
        self.change(|draft| {
            let there = &draft.state.accounts.accounts;
            if there.contains_key(&account.name) {
                return Err(Fault::new(FaultKind::AccountConflict, format!("account [{}] exists", account.name)));
            }
            if there.len() >= MOST {
                return Err(Fault::new(FaultKind::Quota, format!("there are {MOST} accounts: delete some")));
            }
            (account.created, account.updated) = (draft.wall_seconds, draft.wall_seconds);
            draft.apply(&nobody(), What::Account(AccountWhat::Put(Arc::new(account))));
            Ok(())
        })
        .await
    }

    /// All of it, or nothing where the account has another password by now.
    pub async fn change_account(&self, name: &str, change: AccountChange) -> Outcome<()> {
        self.change(|draft| {
            let mut account = Account::clone(draft.state.accounts.accounts.get(name).ok_or_else(|| missing(name))?);
            if change.if_password.is_some_and(|id| id != account.password_id) {
                let detail = format!("the password of account [{name}] was changed meanwhile");
                return Err(Fault::new(FaultKind::AccountConflict, detail));
            }
            if let Some((hash, id)) = change.password {
                (account.password_hash, account.password_id) = (hash, id);
            }
            if let Some(roles) = change.roles {
                account.roles = roles;
            }
            if let Some(status) = change.status {
                account.status = status;
            }
            account.updated = draft.wall_seconds;
            draft.apply(&nobody(), What::Account(AccountWhat::Put(Arc::new(account))));
            Ok(())
        })
        .await
    }

    pub async fn drop_account(&self, name: &str) -> Outcome<()> {
        self.change(|draft| {
            if !draft.state.accounts.accounts.contains_key(name) {
                return Err(missing(name));
            }
            draft.apply(&nobody(), What::Account(AccountWhat::Drop { name: name.to_owned() }));
            Ok(())
        })
        .await
    }

    /// The secret that tokens are signed with: this one from now on, if there is none yet.
    pub async fn token_secret(&self, fresh: &str) -> Outcome<Arc<str>> {
        self.change(|draft| {
            if let Some(known) = &draft.state.accounts.token_secret {
                return Ok(known.clone());
            }
            let fresh: Arc<str> = fresh.into();
            draft.apply(&nobody(), What::Account(AccountWhat::PutTokenSecret(fresh.clone())));
            Ok(fresh)
        })
        .await
    }
}

#[cfg(test)]
mod tests;
