//! The registry's database: SQLite in the data folder, or PostgreSQL by a URL.
//!
//! Both understand the same statements: texts and whole numbers only, parameters as `$1`, rows put by
//! `INSERT .. ON CONFLICT`. A statement is data here ([`Statement`]), so that whoever keeps rows writes what it needs
//! once, and this room alone knows that there are two databases.
//!
//! One server writes at a time: the data folder's lock sees to that for SQLite; PostgreSQL's writing connection holds
//! an advisory lock, without which nothing is written. A connection that breaks takes its lock with it, so a server
//! that comes back writes again only after it has the lock and has read everything anew.
//!
//! A commit that returned is on disk: SQLite syncs its log with each (`synchronous = FULL`), PostgreSQL does so unless
//! its operator has switched that off.

mod migrations;
mod postgres;
mod sqlite;
#[cfg(test)]
pub(super) mod tests;

use crate::error::{Error, Result};
use std::path::Path;
use std::time::Duration;

/// How long a database may take to say goodbye.
const CLOSING: Duration = Duration::from_secs(5);

/// A value of a row or a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Number(number)
    }
}

/// One statement with its parameters.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) sql: &'static str,
    pub(super) values: Vec<Value>,
}

impl Statement {
    pub(super) fn new(sql: &'static str, values: impl IntoIterator<Item = Value>) -> Self {
        Statement { sql, values: values.into_iter().collect() }
    }
}

/// One row of an answer.
#[derive(Debug)]
pub(super) struct Row(Vec<Value>);

impl Row {
    /// Takes a text out; empty where the column is none.
    pub(super) fn text(&mut self, column: usize) -> String {
        match self.0.get_mut(column) {
            Some(Value::Text(text)) => std::mem::take(text),
            _ => String::new(),
        }
    }

    /// A number; zero where the column is none.
    pub(super) fn number(&self, column: usize) -> i64 {
        match self.0.get(column) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }
}

/// Where the database is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Sqlite(sqlite::Place),
    Postgres(Box<postgres::Place>),
}

impl Place {
    /// Reads the setting `registry.url`; where it is empty the database is in the data folder.
    pub(super) fn parse(url: &str, data: &Path) -> Result<Place> {
        if url.is_empty() {
            return Ok(Place::Sqlite(sqlite::Place::in_folder(data)));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return postgres::Place::parse(url).map(Box::new).map(Place::Postgres);
        }
        let remedy = "expected postgres://user:password@host:port/database, or nothing for SQLite in the data folder";
        Err(Error::invalid(format!("registry.url: {remedy}")))
    }

    /// Opens what readers use, creating the database's tables where they are missing.
    pub(super) async fn open(&self) -> Result<Database> {
        match self {
            Place::Sqlite(place) => place.open().await.map(Database::Sqlite),
            Place::Postgres(place) => place.open().await.map(Database::Postgres),
        }
    }

    /// Opens what writes: only one can be open at a time.
    pub(super) async fn writer(&self) -> Result<Writer> {
        match self {
            Place::Sqlite(place) => place.writer().await.map(Writer::Sqlite),
            Place::Postgres(place) => place.writer().await.map(Writer::Postgres),
        }
    }

    /// How people call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Place::Sqlite(_) => "SQLite",
            Place::Postgres(_) => "PostgreSQL",
        }
    }
}

/// What readers share.
#[derive(Clone, Debug)]
pub(super) enum Database {
    Sqlite(sqlx::SqlitePool),
    Postgres(sqlx::PgPool),
}

impl Database {
    /// All rows of an answer.
    pub(super) async fn rows(&self, statement: Statement) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.each_row(statement, |row| rows.push(row)).await?;
        Ok(rows)
    }

    /// Each row of an answer as it comes.
    pub(super) async fn each_row(&self, statement: Statement, take: impl FnMut(Row)) -> Result<()> {
        match self {
            Database::Sqlite(pool) => sqlite::each_row(pool, statement, take).await,
            Database::Postgres(pool) => postgres::each_row(pool, statement, take).await,
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Database::Sqlite(pool) => pool.close().await,
            Database::Postgres(pool) => pool.close().await,
        }
    }
}

/// The one connection that writes.
#[derive(Debug)]
pub(super) enum Writer {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Writer {
    /// Carries out all or none of the statements; they are on disk when this returns. After an error nothing is known
    /// of them, and the writer must not be used again.
    pub(super) async fn commit(&mut self, statements: Vec<Statement>) -> Result<()> {
        match self {
            Writer::Sqlite(connection) => sqlite::commit(connection, statements).await,
            Writer::Postgres(connection) => postgres::commit(connection, statements).await,
        }
    }

    pub(super) async fn close(self) {
        use sqlx::Connection;
        let closing = async {
            match self {
                Writer::Sqlite(connection) => connection.close().await,
                Writer::Postgres(connection) => connection.close().await,
            }
        };
        match tokio::time::timeout(CLOSING, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "closing the registry's database"),
            Err(_) => tracing::warn!("the registry's database does not say goodbye"),
        }
    }
}

/// An error of the database.
fn failed(doing: &str, error: &sqlx::Error) -> Error {
    Error::internal(format!("registry: {doing}: {error}"))
}

/// What both databases do in the same words, in the types of each.
macro_rules! for_database {
    ($database:ty, $connection:ty) => {
        use super::{Row, Statement, Value, failed};
        use futures::TryStreamExt;
        use sqlx::{Column, Connection, Row as _, TypeInfo, ValueRef};

        type Query<'q> = sqlx::query::Query<'q, $database, <$database as sqlx::Database>::Arguments>;

        fn query<'q>(statement: Statement) -> Query<'q> {
            statement.values.into_iter().fold(sqlx::query(statement.sql), |query, value| match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            })
        }

        fn row(row: &<$database as sqlx::Database>::Row) -> sqlx::Result<Row> {
            let mut values = Vec::with_capacity(row.columns().len());
            for column in row.columns() {
                let raw = row.try_get_raw(column.ordinal())?;
                let kind = raw.type_info();
                values.push(match kind.name() {
                    _ if raw.is_null() => Value::Text(String::new()),
                    "TEXT" | "VARCHAR" => Value::Text(row.try_get(column.ordinal())?),
                    _ => Value::Number(row.try_get(column.ordinal())?),
                });
            }
            Ok(Row(values))
        }

        /// Each row of an answer as it comes.
        pub(super) async fn each_row(
            pool: &sqlx::Pool<$database>,
            statement: Statement,
            mut take: impl FnMut(Row),
        ) -> Result<()> {
            let mut rows = query(statement).fetch(pool);
            while let Some(next) = rows.try_next().await.map_err(|e| failed("reading", &e))? {
                take(row(&next).map_err(|e| failed("reading a row", &e))?);
            }
            Ok(())
        }

        /// Carries out all or none of the statements.
        pub(super) async fn commit(connection: &mut $connection, statements: Vec<Statement>) -> Result<()> {
            let writing = async {
                let mut transaction = connection.begin().await?;
                for statement in statements {
                    query(statement).execute(&mut *transaction).await?;
                }
                transaction.commit().await
            };
            writing.await.map_err(|e| failed("writing", &e))
        }
    };
}

use for_database;
