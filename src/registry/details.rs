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

#[cfg(test)]
mod tests {
    use super::super::database::tests::over_each;
    use super::super::{Registry, RegistryConfig};
    use super::*;
    use crate::clock::ManualClock;
    use std::path::Path;
    use std::sync::Arc;

    async fn open(url: &str, folder: &Path, epoch: u64) -> Arc<Registry> {
        let config = RegistryConfig { url: url.to_owned(), ..RegistryConfig::new(folder) };
        Registry::open(config, Arc::new(ManualClock::new(0)), epoch).await.unwrap()
    }

    fn head(app: &str, name: &str, version: &str, kind: &str) -> DetailHead {
        let [app, name, version, kind] = [app, name, version, kind].map(str::to_owned);
        DetailHead { key: DetailKey { app, name, group: "g".to_owned(), version }, kind }
    }

    #[tokio::test]
    async fn details_are_put_replaced_and_dropped_and_lie_on_disk() {
        over_each("details", async |url, folder| {
            let (mine, other) = (Tenant::new("default", "default"), Tenant::new("default", "other"));
            let registry = open(&url, &folder, 1).await;
            let first = head("a", "s", "1", "dubbo");
            registry.put_detail(&mine, first.clone(), "old".into()).await.unwrap();
            registry.put_detail(&mine, head("b", "s", "1", ""), "b".into()).await.unwrap();
            registry.put_detail(&mine, head("a", "s", "2", ""), "second ☃".into()).await.unwrap();
            registry.put_detail(&other, head("c", "s", "1", ""), "c".into()).await.unwrap();
            let first = DetailHead { kind: "springCloud".to_owned(), ..first };
            registry.put_detail(&mine, first.clone(), "new".into()).await.unwrap();
            assert!(registry.drop_detail(&mine, head("b", "s", "1", "").key).await.unwrap());
            assert!(!registry.drop_detail(&mine, head("b", "s", "1", "").key).await.unwrap());
            assert!(!registry.drop_detail(&other, first.key.clone()).await.unwrap());
            for epoch in 2..4 {
                let registry = if epoch == 2 { registry.clone() } else { open(&url, &folder, epoch).await };
                let second = head("a", "s", "2", "");
                assert_eq!(registry.details(&mine, None), [first.clone(), second.clone()]);
                assert_eq!(registry.details(&mine, Some("a")), [first.clone(), second.clone()]);
                assert_eq!(registry.details(&mine, Some("b")), []);
                assert_eq!(registry.details(&other, None), [head("c", "s", "1", "")]);
                let body = async |tenant, key| registry.detail_body(tenant, key).await.unwrap();
                assert_eq!(body(&mine, &first.key).await.as_deref(), Some("new"));
                assert_eq!(body(&mine, &second.key).await.as_deref(), Some("second ☃"));
                assert_eq!(body(&other, &second.key).await, None);
                registry.close().await;
            }
        })
        .await;
    }

    #[tokio::test]
    async fn so_many_details_are_kept_and_one_that_is_there_can_still_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let registry = open("", folder.path(), 1).await;
        let tenants = [Tenant::new("default", "a"), Tenant::new("default", "b")];
        let put = |n: usize| {
            let name = n.to_string();
            registry.put_detail(&tenants[n % 2], head("a", &name, "1", ""), "{}".into())
        };
        let all = futures::future::join_all((0..MOST_DETAILS).map(put)).await;
        assert!(all.iter().all(Result::is_ok));
        assert_eq!(put(MOST_DETAILS).await.unwrap_err().kind, FaultKind::Quota);
        put(7).await.unwrap();
        assert!(registry.drop_detail(&tenants[1], head("a", "7", "1", "").key).await.unwrap());
        put(MOST_DETAILS).await.unwrap();
        registry.close().await;
    }
}
