//! PostgreSQL, by a URL.

use super::{for_database, migrations};
use crate::error::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::time::Duration;

for_database!(sqlx::Postgres, sqlx::PgConnection);

/// Connections for readers.
const READERS: u32 = 4;
/// After so long the database counts as out of reach.
const PATIENCE: Duration = Duration::from_secs(5);
/// The advisory lock of whoever writes; such locks are apart by database.
const LOCK: i64 = 0x5370_616e_6c61_6b65;
/// A server that was killed holds its lock until the database notices: it is asked so often, a moment apart.
const ATTEMPTS: usize = 20;
const MOMENT: Duration = Duration::from_millis(250);

/// A database of a PostgreSQL server.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Place {
    options: PgConnectOptions,
}

impl Place {
    pub(super) fn parse(url: &str) -> Result<Place> {
        // The error may hold the text, and that a password.
        let options: PgConnectOptions = url.parse().map_err(|_| {
            Error::invalid(
                "registry.url: expected postgres://user:password@host:port/database, special characters escaped",
            )
        })?;
        let options = options.application_name("spanlake").disable_statement_logging();
        Ok(Place { options })
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        let database = self.options.get_database().unwrap_or_default();
        Error::internal(format!("cannot use the registry's database {database} of {host}:{port}: {error}"))
    }

    pub(super) async fn open(&self) -> Result<sqlx::PgPool> {
        let mut first = within(self.options.connect()).await.map_err(|e| self.failed(&e))?;
        let asked = sqlx::query_scalar("SHOW server_encoding").fetch_one(&mut first);
        let encoding: String = within(asked).await.map_err(|e| self.failed(&e))?;
        if encoding != "UTF8" {
            let database = self.options.get_database().unwrap_or_default();
            return Err(Error::invalid(format!(
                "the registry's database {database} is encoded in {encoding}, which cannot take every text: make one \
                 with ENCODING 'UTF8' TEMPLATE template0"
            )));
        }
        migrations::migrator().run(&mut first).await.map_err(|e| migrations::failed(&e))?;
        first.close().await.map_err(|e| self.failed(&e))?;
        let options = PgPoolOptions::new().max_connections(READERS).acquire_timeout(PATIENCE);
        Ok(options.connect_lazy_with(self.options.clone()))
    }

    pub(super) async fn writer(&self) -> Result<sqlx::PgConnection> {
        let mut connection = within(self.options.connect()).await.map_err(|e| self.failed(&e))?;
        for _ in 0..ATTEMPTS {
            let asked = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection);
            if within(asked).await.map_err(|e| self.failed(&e))? {
                return Ok(connection);
            }
            tokio::time::sleep(MOMENT).await;
        }
        let database = self.options.get_database().unwrap_or_default();
        Err(Error::internal(format!(
            "another server keeps its registry in the database {database}: stop it, or give this one a database of \
             its own with --registry-url"
        )))
    }
}

async fn within<T>(asked: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        let late = std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {PATIENCE:?}"));
        Err(sqlx::Error::Io(late))
    })
}
