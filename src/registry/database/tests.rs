//! What both databases must do alike. PostgreSQL is asked where `SPANLAKE_POSTGRES` names a server on which databases
//! can be made.

use super::*;
use sqlx::Connection;

/// Runs a scenario over SQLite, and over PostgreSQL where there is one.
pub(in crate::registry) async fn over_each<F: Future<Output = ()>>(
    name: &str,
    scenario: impl Fn(String, std::path::PathBuf) -> F,
) {
    let folder = tempfile::tempdir().unwrap();
    scenario(String::new(), folder.path().to_owned()).await;
    let Ok(server) = std::env::var("SPANLAKE_POSTGRES") else {
        eprintln!("skipped over PostgreSQL: SPANLAKE_POSTGRES names no server");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let utf8 = "ENCODING 'UTF8' TEMPLATE template0";
    with_database(&server, name, utf8, |url| scenario(url, folder.path().to_owned())).await;
}

/// Gives a table another name, without which the database is unfit for what needs it.
pub(in crate::registry) async fn rename_table(url: &str, folder: &Path, from: &str, to: &str) {
    let sql = sqlx::AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
    if url.is_empty() {
        let file = folder.join("registry").join("registry.sqlite");
        let mut other = sqlx::SqliteConnection::connect(file.to_str().unwrap()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    } else {
        let mut other = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    }
}

/// Makes a database for a while.
async fn with_database<F: Future<Output = ()>>(server: &str, name: &str, how: &str, use_it: impl FnOnce(String) -> F) {
    let database = format!("spanlake_unit_{}_{name}", std::process::id());
    let admin = async |sql: String| {
        let mut connection = sqlx::PgConnection::connect(server).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    };
    admin(format!("CREATE DATABASE {database} {how}")).await;
    let mut url = url::Url::parse(server).unwrap();
    url.set_path(&database);
    use_it(url.into()).await;
    admin(format!("DROP DATABASE {database} WITH (FORCE)")).await;
}

/// One text that it cannot take would fail whatever else is written with it.
#[tokio::test]
async fn a_database_that_cannot_take_every_text_is_refused() {
    let Ok(server) = std::env::var("SPANLAKE_POSTGRES") else {
        eprintln!("skipped: SPANLAKE_POSTGRES names no server");
        return;
    };
    let ascii = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    with_database(&server, "ascii", ascii, async |url| {
        let refused = Place::parse(&url, Path::new("/")).unwrap().open().await.unwrap_err();
        assert!(refused.message().contains("is encoded in SQL_ASCII"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn statements_are_carried_out_together_or_not_at_all() {
    over_each("together", async |url, folder| {
        let place = Place::parse(&url, &folder).unwrap();
        let database = place.open().await.unwrap();
        let put = |id: &str| {
            Statement::new(
                "INSERT INTO services (domain, project, service, body) VALUES ($1, $2, $3, $4)",
                ["d", "p", id, "a \"body\" ☃"].map(Value::from),
            )
        };
        let mut writer = place.writer().await.unwrap();
        writer.commit(vec![put("a"), put("b")]).await.unwrap();
        assert!(writer.commit(vec![put("c"), put("a")]).await.is_err());
        writer.close().await;

        let all = Statement::new("SELECT service, body FROM services WHERE domain = $1 ORDER BY service", ["d".into()]);
        let rows = database.rows(all).await.unwrap();
        let rows: Vec<_> = rows.into_iter().map(|mut row| (row.text(0), row.text(1))).collect();
        assert_eq!(rows, ["a", "b"].map(|id| (id.to_owned(), "a \"body\" ☃".to_owned())));
        let count = database.rows(Statement::new("SELECT count(*) FROM services", [])).await.unwrap();
        assert_eq!(count[0].number(0), 2);
        database.close().await;
    })
    .await;
}

#[tokio::test]
async fn tables_that_are_there_are_kept_and_those_of_a_later_version_are_refused() {
    over_each("later", async |url, folder| {
        let place = Place::parse(&url, &folder).unwrap();
        for _ in 0..2 {
            place.open().await.unwrap().close().await;
        }
        let mut writer = place.writer().await.unwrap();
        let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
            SELECT 9999, description, success, checksum, execution_time FROM _sqlx_migrations WHERE version = 1";
        writer.commit(vec![Statement::new(later, [])]).await.unwrap();
        writer.close().await;
        let refused = place.open().await.unwrap_err();
        assert!(
            refused.message().ends_with("a later version of this program has written it; use that version"),
            "{refused}"
        );
    })
    .await;
}

#[test]
fn a_url_of_another_database_is_refused_without_repeating_its_password() {
    for url in ["mysql://u:secret@h/d", "postgres://u:secret@h:port/d", "secret"] {
        let refused = Place::parse(url, Path::new("/")).unwrap_err();
        assert!(refused.message().starts_with("registry.url: expected"), "{refused}");
        assert!(!refused.message().contains("secret"), "{refused}");
    }
}
