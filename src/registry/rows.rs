//! Changes as statements, and rows as changes: what the tables of `schemas/registry/` hold of the image.

use super::accounts;
use super::change::{Change, Detail, Schema, What};
use super::database::{Database, Row, Statement, Value};
use super::details::{DetailHead, DetailKey};
use super::items;
use super::service::{Family, Instance, Microservice, Tenant};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

const PUT_SERVICE: &str = "INSERT INTO services (domain, project, service, body) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (domain, project, service) DO UPDATE SET body = excluded.body";
const PUT_TAGS: &str = "INSERT INTO service_tags (domain, project, service, tags) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (domain, project, service) DO UPDATE SET tags = excluded.tags";
const DROP_TAGS: &str = "DELETE FROM service_tags WHERE domain = $1 AND project = $2 AND service = $3";
const PUT_SCHEMA: &str = "INSERT INTO service_schemas (domain, project, service, name, summary, content) \
    VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (domain, project, service, name) DO UPDATE SET summary = excluded.summary, content = excluded.content";
const DROP_SCHEMA: &str =
    "DELETE FROM service_schemas WHERE domain = $1 AND project = $2 AND service = $3 AND name = $4";
const PUT_INSTANCE: &str = "INSERT INTO instances (domain, project, service, instance, body) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (domain, project, service, instance) DO UPDATE SET body = excluded.body";
const DROP_INSTANCE: &str =
    "DELETE FROM instances WHERE domain = $1 AND project = $2 AND service = $3 AND instance = $4";
const PUT_DEPENDENCY: &str = "INSERT INTO dependencies (domain, project, consumer, environment, app, name) \
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
const DROP_DEPENDENCY: &str = "DELETE FROM dependencies WHERE domain = $1 AND project = $2 AND consumer = $3 \
    AND environment = $4 AND app = $5 AND name = $6";
const PUT_DETAIL: &str = "INSERT INTO service_details (domain, project, app, name, family, version, kind, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (domain, project, app, name, family, version) DO UPDATE SET kind = excluded.kind, body = excluded.body";
const DROP_DETAIL: &str = "DELETE FROM service_details WHERE domain = $1 AND project = $2 AND app = $3 AND name = $4 \
    AND family = $5 AND version = $6";
/// A service goes with all that hangs on it.
const DROP_SERVICE: [&str; 5] = [
    "DELETE FROM dependencies WHERE domain = $1 AND project = $2 AND consumer = $3",
    "DELETE FROM instances WHERE domain = $1 AND project = $2 AND service = $3",
    "DELETE FROM service_schemas WHERE domain = $1 AND project = $2 AND service = $3",
    "DELETE FROM service_tags WHERE domain = $1 AND project = $2 AND service = $3",
    "DELETE FROM services WHERE domain = $1 AND project = $2 AND service = $3",
];

/// What a change writes.
pub(super) fn statements(change: &Change, statements: &mut Vec<Statement>) {
    let tenant = &change.tenant;
    if let What::Account(what) = &change.what {
        statements.push(accounts::statement(what));
        return;
    }
    let mut put = |sql, values: &[&str]| statements.push(Statement::new(sql, keyed(tenant, values)));
    match &change.what {
        What::PutService(service) => put(PUT_SERVICE, &[&service.service_id, &json(&**service)]),
        What::DropService { service } => {
            for sql in DROP_SERVICE {
                put(sql, &[service]);
            }
        }
        What::PutTags { service, tags } if tags.is_empty() => put(DROP_TAGS, &[service]),
        What::PutTags { service, tags } => put(PUT_TAGS, &[service, &json(tags)]),
        What::PutSchema(schema) => {
            let text = schema.text.as_deref().unwrap_or_default();
            put(PUT_SCHEMA, &[&schema.service, &schema.id, &schema.summary, text]);
        }
        What::DropSchema { service, schema } => put(DROP_SCHEMA, &[service, schema]),
        What::PutInstance(instance) => {
            put(PUT_INSTANCE, &[&instance.service_id, &instance.instance_id, &json(&**instance)]);
        }
        What::DropInstance { service, instance } => put(DROP_INSTANCE, &[service, instance]),
        What::PutDependency { consumer, provider: Family { environment, app_id, name } } => {
            put(PUT_DEPENDENCY, &[consumer, environment, app_id, name]);
        }
        What::DropDependency { consumer, provider: Family { environment, app_id, name } } => {
            put(DROP_DEPENDENCY, &[consumer, environment, app_id, name]);
        }
        What::PutDetail(detail) => {
            let DetailHead { key: DetailKey { app, name, group, version }, kind } = &detail.head;
            put(PUT_DETAIL, &[app, name, group, version, kind, detail.body.as_deref().unwrap_or_default()]);
        }
        What::DropDetail(DetailHead { key: DetailKey { app, name, group, version }, .. }) => {
            put(DROP_DETAIL, &[app, name, group, version]);
        }
        What::Item(change) => items::rows::statements(tenant, change, statements),
        // Above.
        What::Account(_) => {}
    }
}

/// Parameters behind the tenant's two.
pub(super) fn keyed(tenant: &Tenant, values: &[&str]) -> Vec<Value> {
    [tenant.domain.as_str(), &tenant.project].iter().chain(values).map(|text| Value::from(*text)).collect()
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// All rows, as the changes that made them.
pub(super) async fn load(database: &Database, mut take: impl FnMut(Change)) -> Result<()> {
    // What hangs on services comes after them.
    each(database, "SELECT domain, project, body FROM services", &mut take, |row| {
        Ok(What::PutService(Arc::new(parse::<Microservice>(&row.text(2))?)))
    })
    .await?;
    each(database, "SELECT domain, project, service, tags FROM service_tags", &mut take, |row| {
        let tags: BTreeMap<String, String> = parse(&row.text(3))?;
        Ok(What::PutTags { service: row.text(2), tags })
    })
    .await?;
    each(database, "SELECT domain, project, service, name, summary FROM service_schemas", &mut take, |row| {
        let (service, id, summary) = (row.text(2), row.text(3), row.text(4));
        Ok(What::PutSchema(Schema { service, id, summary, text: None }))
    })
    .await?;
    each(database, "SELECT domain, project, body FROM instances", &mut take, |row| {
        Ok(What::PutInstance(Box::new(parse::<Instance>(&row.text(2))?)))
    })
    .await?;
    each(database, "SELECT domain, project, consumer, environment, app, name FROM dependencies", &mut take, |row| {
        let provider = Family { environment: row.text(3), app_id: row.text(4), name: row.text(5) };
        Ok(What::PutDependency { consumer: row.text(2), provider })
    })
    .await?;
    each(database, "SELECT domain, project, app, name, family, version, kind FROM service_details", &mut take, |row| {
        let key = DetailKey { app: row.text(2), name: row.text(3), group: row.text(4), version: row.text(5) };
        Ok(What::PutDetail(Box::new(Detail { head: DetailHead { key, kind: row.text(6) }, body: None })))
    })
    .await?;
    each(database, items::rows::REVISIONS, &mut take, |row| Ok(What::Item(items::Change::Revision(row.number(2)))))
        .await?;
    each(database, items::rows::HEADS, &mut take, |row| Ok(What::Item(items::rows::put(parse(&row.text(2))?)))).await?;
    accounts::load(database, &mut take).await
}

/// Each row of a table as a change; the first two columns are the tenant. A row that cannot be read is an error: a
/// registry that forgets in silence what was registered is worse than one that does not start.
async fn each(
    database: &Database,
    sql: &'static str,
    take: &mut impl FnMut(Change),
    read: impl Fn(&mut Row) -> Result<What>,
) -> Result<()> {
    let mut failed = None;
    let rows = database.each_row(Statement::new(sql, []), |mut row| {
        let tenant = Tenant { domain: row.text(0), project: row.text(1) };
        match read(&mut row) {
            Ok(what) => take(Change { tenant, what }),
            Err(error) => failed = Some(error),
        }
    });
    rows.await?;
    match failed {
        Some(error) => Err(error.context(format_args!("registry: {sql}"))),
        None => Ok(()),
    }
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::damaged(format!("a row that is no JSON of its kind: {e}")))
}
