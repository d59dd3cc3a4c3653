//! What agents post about services beside registering them: the detail that consoles ask for, one a service of an
//! application. Its text is JSON that the dialect has checked; nothing here looks into it.

use super::Registry;
use super::change::{Detail, What};
use super::contracts::unreadable;
use super::database::Statement;
use super::fault::{Fault, FaultKind, Outcome};
use super::rows::keyed;
use super::service::Tenant;

const ONE_BODY: &str = "SELECT body FROM service_details \
    WHERE domain = $1 AND project = $2 AND app = $3 AND name = $4 AND family = $5 AND version = $6";
/// Details of all tenants.
const MOST_DETAILS: usize = 10_000;

/// What tells details apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DetailKey {
    /// The application's id.
    pub app: String,
    /// The service's name.
    pub name: String,
    /// The service's group; empty where none was posted.
    pub group: String,
    /// The service's version; empty where none was posted.
    pub version: String,
}

/// A detail without its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetailHead {
    pub key: DetailKey,
    /// The service's type; empty where none was posted.
    pub kind: String,
}

impl Registry {
    /// Puts a detail in the place of the one of the same key.
    pub async fn put_detail(&self, tenant: &Tenant, head: DetailHead, body: String) -> Outcome<()> {
        self.change(|draft| {
            let known = draft.state.tenant(tenant).is_some_and(|entries| entries.details.contains_key(&head.key));
            if !known && draft.state.details >= MOST_DETAILS {
                let detail = format!("no more than {MOST_DETAILS} posted service details: delete some");
                return Err(Fault::new(FaultKind::Quota, detail));
            }
            draft.apply(tenant, What::PutDetail(Box::new(Detail { head, body: Some(body) })));
            Ok(())
        })
        .await
    }

    /// Drops a detail. Whether it was there.
    pub async fn drop_detail(&self, tenant: &Tenant, key: DetailKey) -> Outcome<bool> {
        self.change(|draft| {
            let known = draft.state.tenant(tenant).is_some_and(|entries| entries.details.contains_key(&key));
            if known {
                draft.apply(tenant, What::DropDetail(DetailHead { key, kind: String::new() }));
            }
            Ok(known)
        })
        .await
    }

    /// The details of an application, or of all, by application, name, group and version.
    pub fn details(&self, tenant: &Tenant, app: Option<&str>) -> Vec<DetailHead> {
        let state = self.image.read();
        let details = state.tenant(tenant).into_iter().flat_map(|entries| &entries.details);
        let wanted = details.filter(|(key, _)| app.is_none_or(|app| key.app == app));
        wanted.map(|(key, kind)| DetailHead { key: key.clone(), kind: kind.clone() }).collect()
    }

    /// A detail's text; none if it has gone.
    pub async fn detail_body(&self, tenant: &Tenant, key: &DetailKey) -> Outcome<Option<String>> {
        let DetailKey { app, name, group, version } = key;
        let rows = self.database.rows(Statement::new(ONE_BODY, keyed(tenant, &[app, name, group, version]))).await;
        let rows = rows.map_err(|error| unreadable(&error))?;
        Ok(rows.into_iter().next().map(|mut row| row.text(0)))
    }
}
