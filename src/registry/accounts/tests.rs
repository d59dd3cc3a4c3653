//! Accounts over each database.

use super::super::RegistryConfig;
use super::super::database::tests::over_each;
use super::*;
use crate::clock::ManualClock;

const SECOND: i64 = 1_000_000;

async fn open(url: &str, folder: &std::path::Path, epoch: u64) -> (Arc<Registry>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_700_000_000 * SECOND));
    let config = RegistryConfig { url: url.to_owned(), ..RegistryConfig::new(folder) };
    (Registry::open(config, clock.clone(), epoch).await.unwrap(), clock)
}

fn account(name: &str) -> Account {
    Account {
        name: name.to_owned(),
        id: "1".to_owned(),
        password_hash: "kept ☃".to_owned(),
        password_id: "2".to_owned(),
        roles: vec!["admin".to_owned(), "developer".to_owned()],
        status: "active".to_owned(),
        ..Account::default()
    }
}

#[tokio::test]
async fn accounts_and_the_secret_of_tokens_are_the_same_after_a_restart() {
    over_each("accounts", async |url, folder| {
        let (registry, clock) = open(&url, &folder, 1).await;
        for name in ["peter", "anna", "gone"] {
            registry.create_account(account(name)).await.unwrap();
        }
        assert_eq!(&*registry.token_secret("first").await.unwrap(), "first");
        assert_eq!(&*registry.token_secret("second").await.unwrap(), "first");
        clock.advance(5 * SECOND);
        let password = Some(("other".to_owned(), "3".to_owned()));
        registry.change_account("anna", AccountChange { password, ..AccountChange::default() }).await.unwrap();
        let status = Some("inactive".to_owned());
        let roles = Some(vec!["developer".to_owned()]);
        registry.change_account("peter", AccountChange { roles, status, ..AccountChange::default() }).await.unwrap();
        registry.drop_account("gone").await.unwrap();
        registry.close().await;

        let (created, updated) = (1_700_000_000, 1_700_000_005);
        let anna = Account {
            password_hash: "other".to_owned(),
            password_id: "3".to_owned(),
            created,
            updated,
            ..account("anna")
        };
        let peter = Account {
            roles: vec!["developer".to_owned()],
            status: "inactive".to_owned(),
            created,
            updated,
            ..account("peter")
        };
        let (registry, _) = open(&url, &folder, 2).await;
        assert_eq!(registry.accounts(), [Arc::new(anna), Arc::new(peter)]);
        assert_eq!(registry.account("gone"), None);
        assert_eq!(&*registry.token_secret("third").await.unwrap(), "first");
        registry.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_name_is_given_once_and_what_is_not_there_cannot_be_changed() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open("", folder.path(), 1).await;
    let created = futures::future::join_all((0..10).map(|_| registry.create_account(account("peter")))).await;
    let refused: Vec<FaultKind> = created.into_iter().filter_map(|one| one.err().map(|fault| fault.kind)).collect();
    assert_eq!(refused, [FaultKind::AccountConflict; 9]);
    let missing = registry.change_account("anna", AccountChange::default()).await.unwrap_err();
    assert_eq!((missing.kind, missing.detail.as_str()), (FaultKind::AccountMissing, "account [anna] not exist"));
    assert_eq!(registry.drop_account("anna").await.unwrap_err().kind, FaultKind::AccountMissing);
    registry.close().await;
}

#[tokio::test]
async fn of_changes_to_the_same_password_the_first_counts_and_an_account_made_anew_has_another() {
    over_each("account_passwords", async |url, folder| {
        let (registry, _) = open(&url, &folder, 1).await;
        registry.create_account(account("peter")).await.unwrap();
        let change = |id: &str| AccountChange {
            if_password: Some("2".to_owned()),
            password: Some((format!("kept {id}"), id.to_owned())),
            ..AccountChange::default()
        };
        let changes = ["a", "b", "c", "d"].map(|id| registry.change_account("peter", change(id)));
        let outcomes = futures::future::join_all(changes).await;
        let refused: Vec<Fault> = outcomes.into_iter().filter_map(Result::err).collect();
        let expected = Fault::new(FaultKind::AccountConflict, "the password of account [peter] was changed meanwhile");
        assert_eq!(refused, [expected.clone(), expected.clone(), expected.clone()]);
        let kept = registry.account("peter").unwrap();
        assert_eq!(kept.password_hash, format!("kept {}", kept.password_id));

        registry.drop_account("peter").await.unwrap();
        let anew = Account { password_id: "9".to_owned(), ..account("peter") };
        registry.create_account(anew.clone()).await.unwrap();
        assert_eq!(registry.change_account("peter", change("e")).await, Err(expected));
        assert_eq!(registry.account("peter").unwrap().password_hash, anew.password_hash);
        registry.close().await;
    })
    .await;
}

#[tokio::test]
async fn there_are_a_thousand_accounts_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open("", folder.path(), 1).await;
    let created = (0..MOST).map(|number| registry.create_account(account(&number.to_string())));
    for outcome in futures::future::join_all(created).await {
        outcome.unwrap();
    }
    assert_eq!(registry.create_account(account("more")).await.unwrap_err().kind, FaultKind::Quota);
    registry.drop_account("7").await.unwrap();
    registry.create_account(account("more")).await.unwrap();
    assert_eq!(registry.accounts().len(), MOST);
    registry.close().await;
}

#[tokio::test]
async fn the_folder_of_the_database_is_nobody_elses() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open("", folder.path(), 1).await;
    let mode = std::fs::metadata(folder.path().join("registry")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    registry.close().await;
}

#[test]
fn neither_an_account_nor_a_change_prints_what_is_kept_of_a_password() {
    let mut account = account("peter");
    account.password_hash = "hunter2".to_owned();
    let shown = format!("{account:?} {:?}", change(AccountWhat::Put(Arc::new(account.clone()))));
    assert!(shown.contains("peter") && !shown.contains("hunter2"), "{shown}");
    assert!(!format!("{:?}", change(AccountWhat::PutTokenSecret("hunter2".into()))).contains("hunter2"));
}
