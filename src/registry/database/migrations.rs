//! The tables, step by step: what a database of an earlier version lacks is added at the start. A database of a later
//! version than this program is refused, not guessed at.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Never changed once released: a change is a further step.
const STEPS: &[(&str, &str)] = &[
    ("services", include_str!("../../../schemas/registry/0001_services.sql")),
    ("items", include_str!("../../../schemas/registry/0002_items.sql")),
    ("service details", include_str!("../../../schemas/registry/0003_service_details.sql")),
    ("accounts", include_str!("../../../schemas/registry/0004_accounts.sql")),
];

pub(super) fn migrator() -> Migrator {
    let steps = STEPS.iter().zip(1..).map(|((name, sql), version)| {
        Migration::new(version, (*name).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(steps.collect())
}

/// What stands in the way of a migration.
pub(super) fn failed(error: &sqlx::migrate::MigrateError) -> crate::error::Error {
    use sqlx::migrate::MigrateError;
    let remedy = match error {
        MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..) => {
            ": a later version of this program has written it; use that version"
        }
        _ => "",
    };
    crate::error::Error::internal(format!("registry: preparing the tables: {error}{remedy}"))
}
