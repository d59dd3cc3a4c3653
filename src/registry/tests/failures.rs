//! The registry while its database fails, stands still, is away, or is another's.

use super::super::database::tests::{over_each, rename_table};
use super::*;

#[tokio::test]
async fn changes_that_wait_for_a_database_that_stands_still_are_bounded() {
    over_each("still", async |url, folder| {
        let (registry, _) = open(config(&url, &folder)).await;
        let id = register(&registry, "one").await;
        let stop = lock_tables(&url, &folder).await;
        let schema = |n: usize| Schema {
            service: id.clone(),
            id: format!("s{}", n % 50),
            text: Some("x".repeat(2 << 20)),
            ..Schema::default()
        };
        let mut taken = 0;
        // Clients that hang up: each is polled once.
        while registry.put_schema(&tenant(), schema(taken)).now_or_never().is_none() {
            taken += 1;
            assert!(taken < 100);
        }
        assert_eq!(taken, 32);
        drop(stop);
        // What waited is written, and there is room again.
        drop(registry.put_schema(&tenant(), schema(0)).await);
        while registry.image.queued.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        registry.put_schema(&tenant(), schema(0)).await.unwrap();
        registry.close().await;
    })
    .await;
}

/// Keeps everybody from writing until dropped.
async fn lock_tables(url: &str, folder: &Path) -> Box<dyn std::any::Any> {
    if url.is_empty() {
        let file = folder.join("registry").join("registry.sqlite");
        let mut other = sqlx::SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        Box::new(other)
    } else {
        let mut other = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql("BEGIN; LOCK TABLE service_schemas, services IN EXCLUSIVE MODE")
            .execute(&mut other)
            .await
            .unwrap();
        Box::new(other)
    }
}

#[tokio::test]
async fn a_registry_whose_database_is_away_can_be_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open(config("", folder.path())).await;
    register(&registry, "kept").await;
    hide_tables("", folder.path(), true).await;
    assert_eq!(register_refused(&registry).await.kind, FaultKind::Unavailable);
    registry.close().await;
}

#[tokio::test]
async fn a_database_that_fails_costs_what_was_not_acknowledged_and_nothing_else() {
    over_each("fails", async |url, folder| {
        let (registry, clock) = open(config(&url, &folder)).await;
        let kept = register(&registry, "kept").await;
        start(&registry, &kept, "i").await;
        pass(&registry, &clock, 10);
        let before = everything(&registry);

        hide_tables(&url, &folder, true).await;
        // The first one finds out; the image may show what was refused until it is mended.
        assert_eq!(register_refused(&registry).await.kind, FaultKind::Unavailable);
        assert_eq!(register_refused(&registry).await.kind, FaultKind::Unavailable);
        registry.heartbeat(&tenant(), &kept, "i").unwrap();
        assert_eq!(registry.instances(&tenant(), &kept).unwrap().len(), 1);
        assert!(!registry.takes_changes());

        hide_tables(&url, &folder, false).await;
        while !registry.takes_changes() {
            tokio::task::yield_now().await;
        }
        assert_eq!(everything(&registry), before);
        register(&registry, "another").await;
        // Its last heartbeat came while the database was away.
        assert_eq!(pass(&registry, &clock, 19), 0);
        assert_eq!(pass(&registry, &clock, 1), 1);
        registry.close().await;
    })
    .await;
}

/// Makes the database unfit for changes and for reading all, or fit again.
async fn hide_tables(url: &str, folder: &Path, hide: bool) {
    let (from, to) = if hide { ("services", "hidden") } else { ("hidden", "services") };
    rename_table(url, folder, from, to).await;
}

#[tokio::test]
async fn one_server_at_a_time_writes_a_database_that_several_can_reach() {
    over_each("one_server", async |url, folder| {
        if url.is_empty() {
            // The data folder's own lock sees to that.
            return;
        }
        let (first, _) = open(config(&url, &folder)).await;
        let clock = Arc::new(ManualClock::new(0));
        let refused = Registry::open(config(&url, &folder), clock, 0).await.unwrap_err();
        assert!(refused.message().starts_with("another server keeps its registry in the database"), "{refused}");
        first.close().await;
        let (second, _) = open(config(&url, &folder)).await;
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_database_ends_is_made_again() {
    over_each("ended", async |url, folder| {
        if url.is_empty() {
            return;
        }
        let (registry, _) = open(config(&url, &folder)).await;
        register(&registry, "kept").await;
        let mut admin = sqlx::PgConnection::connect(&url).await.unwrap();
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        sqlx::query(end).execute(&mut admin).await.unwrap();
        assert_eq!(register_refused(&registry).await.kind, FaultKind::Unavailable);
        while !registry.takes_changes() {
            tokio::task::yield_now().await;
        }
        register(&registry, "another").await;
        assert_eq!(registry.counts().services, 2);
        registry.close().await;
    })
    .await;
}
