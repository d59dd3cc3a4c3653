//! The real server over each database that it can keep its registry in: SQLite in its data folder, and PostgreSQL
//! where `SPANLAKE_POSTGRES` names a server (`.ci/run` starts one). Without it the second half is skipped, saying so.
//!
//! Each server gets a PostgreSQL database of its own, which is dropped afterwards.

use super::server::Server;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

/// Where the registry of one test is kept.
pub struct Database {
    /// As in what a failed test says.
    pub name: &'static str,
    postgres: Option<Postgres>,
}

/// A database of its own in a server that others use too.
struct Postgres {
    server: String,
    database: String,
}

/// The databases that can be had here.
pub fn databases() -> Vec<Database> {
    let mut all = vec![Database { name: "SQLite", postgres: None }];
    match std::env::var("SPANLAKE_POSTGRES") {
        Ok(server) => all.push(Database { name: "PostgreSQL", postgres: Some(Postgres::create(server)) }),
        Err(_) => eprintln!("skipped: SPANLAKE_POSTGRES names no PostgreSQL server; only SQLite is tested"),
    }
    all
}

/// Runs a test against a server over each database.
pub fn on_each_database(test: impl Fn(&Server)) {
    on_each_database_with(&[], test);
}

/// As [`on_each_database`], with more arguments for the server.
pub fn on_each_database_with(args: &[&str], test: impl Fn(&Server)) {
    for database in databases() {
        println!("over {}", database.name);
        let data = tempfile::tempdir().expect("a folder");
        let server = database.start(data.path(), args);
        test(&server);
        // Before its database goes.
        drop(server);
    }
}

impl Database {
    /// The server over this database. It may be started again after its end, with the same folder.
    pub fn start(&self, data: &Path, args: &[&str]) -> Server {
        let url = self.url();
        let mut all: Vec<&str> = url.iter().flat_map(|url| ["--registry-url", url]).collect();
        all.extend(args);
        Server::start_with(data, &all)
    }

    /// What `registry.url` is to say; nothing for the default, SQLite in the data folder.
    pub fn url(&self) -> Option<String> {
        self.postgres.as_ref().map(Postgres::url)
    }
}

impl Postgres {
    fn create(server: String) -> Postgres {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let database = format!("spanlake_test_{}_{number}", std::process::id());
        let created = Postgres { server, database };
        // A run that was killed may have left one of the same name.
        created.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", created.database));
        created.run(&format!("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0", created.database));
        created
    }

    fn url(&self) -> String {
        let mut url = url::Url::parse(&self.server).expect("SPANLAKE_POSTGRES is a URL");
        url.set_path(&self.database);
        url.into()
    }

    /// One statement in the server's own database.
    fn run(&self, statement: &str) {
        // A thread of its own, because the test's may belong to a runtime.
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let mut connection = PgConnection::connect(&self.server).await?;
                sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
                connection.close().await
            })
        };
        let done = std::thread::scope(|scope| scope.spawn(run).join().expect("no panic"));
        done.unwrap_or_else(|e| panic!("{statement} on {}: {e}", self.server));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Not while a test fails: a second panic would hide the first.
        if !std::thread::panicking() {
            self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database));
        }
    }
}
