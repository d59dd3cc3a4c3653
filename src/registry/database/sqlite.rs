//! SQLite, in a folder of the data folder.

use super::{for_database, migrations};
use crate::error::{Error, Result};
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

for_database!(sqlx::Sqlite, sqlx::SqliteConnection);

/// The folder within the data folder.
const FOLDER: &str = "registry";
const FILE: &str = "registry.sqlite";
/// Each is a thread.
const READERS: u32 = 2;
/// A reader may have to wait for a checkpoint.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database in a file.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Place {
    data: PathBuf,
}

impl Place {
    pub(super) fn in_folder(data: &Path) -> Place {
        Place { data: data.to_owned() }
    }

    fn folder(&self) -> PathBuf {
        self.data.join(FOLDER)
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(self.folder().join(FILE))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE)
            .disable_statement_logging()
    }

    fn failed(&self, error: &sqlx::Error) -> Error {
        Error::internal(format!("cannot open the registry's database {}: {error}", self.folder().join(FILE).display()))
    }

    pub(super) async fn open(&self) -> Result<sqlx::SqlitePool> {
        self.create_folder()?;
        let mut first = self.options().create_if_missing(true).connect().await.map_err(|e| self.failed(&e))?;
        migrations::migrator().run(&mut first).await.map_err(|e| migrations::failed(&e))?;
        first.close().await.map_err(|e| self.failed(&e))?;
        let options = SqlitePoolOptions::new().max_connections(READERS).idle_timeout(None).max_lifetime(None);
        options.connect_with(self.options().pragma("query_only", "ON")).await.map_err(|e| self.failed(&e))
    }

    pub(super) async fn writer(&self) -> Result<sqlx::SqliteConnection> {
        self.options().connect().await.map_err(|e| self.failed(&e))
    }

    /// SQLite syncs the folder in which it makes files, but not the one in which that folder is.
    /// What is in it is nobody else's: accounts are among it.
    fn create_folder(&self) -> Result<()> {
        let made = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.folder())
            .and_then(|()| std::fs::File::open(&self.data))
            .and_then(|folder| folder.sync_all());
        made.map_err(|e| Error::internal(format!("cannot make the folder {}: {e}", self.folder().display())))
    }
}
