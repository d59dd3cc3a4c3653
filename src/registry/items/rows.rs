//! Items as rows: see `schemas/registry/0002_items.sql`.

use super::super::database::{Statement, Value};
use super::super::rows::{json, keyed};
use super::super::service::Tenant;
use super::item::Item;
use super::state::Change;
use std::sync::{Arc, LazyLock};

pub(in crate::registry) const REVISIONS: &str = "SELECT domain, project, revision FROM item_revisions";
pub(in crate::registry) const HEADS: &str = "SELECT domain, project, body FROM items";

const PUT_ITEM: &str = "INSERT INTO items (domain, project, item, body, value) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (domain, project, item) DO UPDATE SET body = excluded.body, value = excluded.value";
const PUT_HEAD: &str = "UPDATE items SET body = $4 WHERE domain = $1 AND project = $2 AND item = $3";
const DROP_ITEM: &str = "DELETE FROM items WHERE domain = $1 AND project = $2 AND item = $3";
/// The row as it has become.
const PUT_HISTORY: &str = "INSERT INTO item_history (domain, project, item, revision, body, value) \
    SELECT domain, project, item, $4, body, value FROM items WHERE domain = $1 AND project = $2 AND item = $3 \
    ON CONFLICT (domain, project, item, revision) DO NOTHING";
/// Leaves as many as the offset says.
const TRIM_HISTORY: &str = "DELETE FROM item_history WHERE domain = $1 AND project = $2 AND item = $3 \
    AND revision <= (SELECT revision FROM item_history WHERE domain = $1 AND project = $2 AND item = $3 \
    ORDER BY revision DESC LIMIT 1 OFFSET $4)";
const DROP_HISTORY: &str = "DELETE FROM item_history WHERE domain = $1 AND project = $2 AND item = $3";
const PUT_REVISION: &str = "INSERT INTO item_revisions (domain, project, revision) VALUES ($1, $2, $3) \
    ON CONFLICT (domain, project) DO UPDATE SET revision = excluded.revision";

/// States of an item that are kept, the newest among them; KIE's own bound.
pub(super) const MOST_STATES: i64 = 100;
/// Items that one statement reads.
pub(super) const MOST_AT_ONCE: usize = 100;

static SOME: LazyLock<String> = LazyLock::new(|| {
    let ids: Vec<String> = (3..MOST_AT_ONCE + 3).map(|number| format!("${number}")).collect();
    let ids = ids.join(", ");
    format!("SELECT item, body, value FROM items WHERE domain = $1 AND project = $2 AND item IN ({ids})")
});

/// What a change writes.
pub(in crate::registry) fn statements(tenant: &Tenant, change: &Change, statements: &mut Vec<Statement>) {
    let keyed = |values: &[&str]| keyed(tenant, values);
    let with = |mut values: Vec<Value>, number: i64| {
        values.push(number.into());
        values
    };
    match change {
        Change::Put { item, value, was } => {
            let id = item.id.as_str();
            let body = json(&**item);
            statements.push(match value {
                Some(value) => Statement::new(PUT_ITEM, keyed(&[id, &body, value])),
                None => Statement::new(PUT_HEAD, keyed(&[id, &body])),
            });
            statements.push(Statement::new(PUT_HISTORY, with(keyed(&[id]), item.update_revision)));
            if was.is_some() {
                statements.push(Statement::new(TRIM_HISTORY, with(keyed(&[id]), MOST_STATES)));
            }
        }
        Change::Drop { item, .. } => {
            for sql in [DROP_HISTORY, DROP_ITEM] {
                statements.push(Statement::new(sql, keyed(&[&item.id])));
            }
        }
        Change::Revision(revision) => statements.push(Statement::new(PUT_REVISION, with(keyed(&[]), *revision))),
    }
}

/// An item as it is read at the start.
pub(in crate::registry) fn put(item: Item) -> Change {
    let was = Some(item.status);
    Change::Put { item: Arc::new(item), value: None, was }
}

/// Reads up to [`MOST_AT_ONCE`] items, in no order: id, body, value.
pub(super) fn some<'i>(tenant: &Tenant, ids: impl Iterator<Item = &'i str>) -> Statement {
    let mut ids: Vec<&str> = ids.take(MOST_AT_ONCE).collect();
    // No item has an empty id.
    ids.resize(MOST_AT_ONCE, "");
    Statement::new(SOME.as_str(), keyed(tenant, &ids))
}

/// Reads the states of an item, the newest first: id, body, value.
pub(super) fn states(tenant: &Tenant, id: &str, offset: i64, limit: i64) -> Statement {
    let sql = "SELECT item, body, value FROM item_history WHERE domain = $1 AND project = $2 AND item = $3 \
        ORDER BY revision DESC LIMIT $4 OFFSET $5";
    let mut values = keyed(tenant, &[id]);
    values.extend([limit.into(), offset.into()]);
    Statement::new(sql, values)
}

/// Counts the states of an item.
pub(super) fn count_states(tenant: &Tenant, id: &str) -> Statement {
    let sql = "SELECT count(*) FROM item_history WHERE domain = $1 AND project = $2 AND item = $3";
    Statement::new(sql, keyed(tenant, &[id]))
}

/// Reads the state that an item had at a revision: id, body, value.
pub(super) fn state_at(tenant: &Tenant, id: &str, revision: i64) -> Statement {
    let sql = "SELECT item, body, value FROM item_history WHERE domain = $1 AND project = $2 AND item = $3 \
        AND revision = $4";
    let mut values = keyed(tenant, &[id]);
    values.push(revision.into());
    Statement::new(sql, values)
}
