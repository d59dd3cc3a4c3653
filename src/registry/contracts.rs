//! Contracts: the texts in which services describe their methods.

use super::change::{Schema, What};
use super::database::Statement;
use super::fault::{Fault, FaultKind, Outcome};
use super::rows::keyed;
use super::service::Tenant;
use super::{Draft, Registry};
use std::sync::Arc;

const ONE_TEXT: &str =
    "SELECT content FROM service_schemas WHERE domain = $1 AND project = $2 AND service = $3 AND name = $4";
const ALL_TEXTS: &str = "SELECT name, summary, content FROM service_schemas \
    WHERE domain = $1 AND project = $2 AND service = $3 ORDER BY name";

impl Registry {
    /// Puts one contract of a service, and its id into the service's list.
    pub async fn put_schema(&self, tenant: &Tenant, schema: Schema) -> Outcome<()> {
        self.change(|draft| {
            let entry = draft.service(tenant, &schema.service)?;
            let new = !entry.schemas.contains_key(&schema.id);
            let count = entry.schemas.len() + usize::from(new);
            draft.check_schemas(count)?;
            draft.check_room(schema.id.len() + schema.summary.len(), 0)?;
            let mut listed = entry.service.schemas.clone();
            if !listed.contains(&schema.id) {
                listed.push(schema.id.clone());
            }
            draft.list_schemas(tenant, &schema.service, listed)?;
            draft.apply(tenant, What::PutSchema(schema));
            Ok(())
        })
        .await
    }

    /// Puts contracts in the place of all that the service has.
    pub async fn replace_schemas(&self, tenant: &Tenant, service: &str, schemas: Vec<Schema>) -> Outcome<()> {
        self.change(|draft| {
            let entry = draft.service(tenant, service)?;
            draft.check_schemas(schemas.len())?;
            let kept = |id: &String| schemas.iter().any(|schema| schema.id == *id);
            let gone: Vec<String> = entry.schemas.keys().filter(|id| !kept(id)).cloned().collect();
            draft.list_schemas(tenant, service, schemas.iter().map(|schema| schema.id.clone()).collect())?;
            for schema in gone {
                draft.apply(tenant, What::DropSchema { service: service.to_owned(), schema });
            }
            for schema in schemas {
                draft.apply(tenant, What::PutSchema(schema));
            }
            Ok(())
        })
        .await
    }

    /// Drops one contract; the service's list keeps its id, as the service announced it.
    pub async fn drop_schema(&self, tenant: &Tenant, service: &str, id: &str) -> Outcome<()> {
        self.change(|draft| {
            if !draft.service(tenant, service)?.schemas.contains_key(id) {
                return Err(no_schema(service, id));
            }
            draft.apply(tenant, What::DropSchema { service: service.to_owned(), schema: id.to_owned() });
            Ok(())
        })
        .await
    }

    /// A contract without its text.
    pub fn schema_head(&self, tenant: &Tenant, service: &str, id: &str) -> Outcome<Schema> {
        let state = self.image.read();
        let entry = state.service(tenant, service).ok_or_else(|| Fault::no_service(service))?;
        let summary = entry.schemas.get(id).ok_or_else(|| no_schema(service, id))?.clone();
        Ok(Schema { service: service.to_owned(), id: id.to_owned(), summary, text: None })
    }

    /// A contract with its text.
    pub async fn schema(&self, tenant: &Tenant, service: &str, id: &str) -> Outcome<Schema> {
        let mut schema = self.schema_head(tenant, service, id)?;
        let rows = self.database.rows(Statement::new(ONE_TEXT, keyed(tenant, &[service, id]))).await;
        let mut rows = rows.map_err(|error| unreadable(&error))?;
        // It may have gone since.
        let row = rows.first_mut().ok_or_else(|| no_schema(service, id))?;
        schema.text = Some(row.text(0));
        Ok(schema)
    }

    /// All contracts of a service, by id; those that it announced and never sent have no text.
    pub async fn schemas(&self, tenant: &Tenant, service: &str, with_text: bool) -> Outcome<Vec<Schema>> {
        let entry_of = |id: &str, summary: &str, text| Schema {
            service: service.to_owned(),
            id: id.to_owned(),
            summary: summary.to_owned(),
            text,
        };
        let mut schemas: Vec<Schema> = {
            let state = self.image.read();
            let entry = state.service(tenant, service).ok_or_else(|| Fault::no_service(service))?;
            let announced = entry.service.schemas.iter().filter(|id| !entry.schemas.contains_key(*id));
            let sent = entry.schemas.iter().map(|(id, summary)| entry_of(id, summary, None));
            sent.chain(announced.map(|id| entry_of(id, "", None))).collect()
        };
        if with_text {
            let rows = self.database.rows(Statement::new(ALL_TEXTS, keyed(tenant, &[service]))).await;
            for mut row in rows.map_err(|error| unreadable(&error))? {
                let id = row.text(0);
                if let Some(schema) = schemas.iter_mut().find(|schema| schema.id == id) {
                    schema.summary = row.text(1);
                    schema.text = Some(row.text(2));
                }
            }
        }
        schemas.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(schemas)
    }
}

impl Draft<'_> {
    fn check_schemas(&self, count: usize) -> Outcome<()> {
        let most = self.config.max_schemas;
        if count <= most {
            return Ok(());
        }
        let detail = format!("no more than {most} schemas of a service: put fewer, or raise registry.max_schemas");
        Err(Fault::new(FaultKind::Quota, detail))
    }

    /// Changes the service's own list of its contracts, if it is another.
    fn list_schemas(&mut self, tenant: &Tenant, service: &str, schemas: Vec<String>) -> Outcome<()> {
        let old = &self.service(tenant, service)?.service;
        if old.schemas == schemas {
            return Ok(());
        }
        let mut changed = (**old).clone();
        changed.schemas = schemas;
        changed.mod_timestamp = self.wall_seconds.to_string();
        self.apply(tenant, What::PutService(Arc::new(changed)));
        Ok(())
    }
}

fn no_schema(service: &str, id: &str) -> Fault {
    Fault::new(FaultKind::SchemaMissing, format!("Schema[{service}/{id}] does not exist."))
}

pub(super) fn unreadable(error: &crate::error::Error) -> Fault {
    tracing::error!(%error, "the registry's database could not be read");
    Fault::new(FaultKind::Unavailable, "the registry's database cannot be read now: send the request again in a second")
}
