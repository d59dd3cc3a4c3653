//! What can be done with items.

use super::super::change::What;
use super::super::database::{Row, Statement};
use super::super::fault::{Fault, FaultKind, Outcome};
use super::super::rows::parse;
use super::super::service::Tenant;
use super::super::{Draft, Registry};
use super::feed::Watch;
use super::item::{Entry, Item, NewItem, Status};
use super::query::Query;
use super::rows::{self, MOST_AT_ONCE};
use super::state::Change;
use super::{FIRST, Items};
use std::collections::HashMap;
use std::sync::Arc;

/// Tenants that may have a counter: one that dropped its last item keeps it.
const MOST_TENANTS: usize = 100_000;
/// Bytes of values that are read at a time where most are read for nothing; one value may go beyond it.
const PORTION: usize = 1 << 20;

/// A part of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub offset: usize,
    /// None for all.
    pub limit: Option<usize>,
}

impl Page {
    /// Whether it has the entry of this number.
    fn has(&self, number: usize) -> bool {
        number >= self.offset && self.limit.is_none_or(|limit| number - self.offset < limit)
    }
}

/// A list's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Nothing up to this revision is missing.
    pub revision: i64,
    /// How many there are beside those of the page, too.
    pub total: usize,
    pub entries: Vec<Entry>,
}

/// What becomes of an item that is to be imported and is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Override {
    /// It is replaced.
    Force,
    /// It stays, and nothing after it is imported.
    Abort,
    /// It stays.
    Skip,
}

/// What became of an item that was to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Imported {
    Done(Entry),
    Failed(Fault),
    /// It is there already.
    Skipped,
    /// It is there already, or comes after one that is.
    Aborted,
}

/// Asks for room in memory for so many bytes more.
pub type Room<'r> = dyn FnMut(usize) -> bool + Send + 'r;

impl Registry {
    /// Creates an item.
    pub async fn create_item(&self, tenant: &Tenant, new: NewItem) -> Outcome<Entry> {
        self.change(|draft| {
            let id = new.id(tenant);
            if draft.item(tenant, &id).is_some() {
                let detail = format!("the key {} is there with these labels: change it by its id, {id}", new.key);
                return Err(Fault::new(FaultKind::ItemConflict, detail));
            }
            let entry = draft.put_item(tenant, id, new)?;
            draft.keep_revision(tenant);
            Ok(entry)
        })
        .await
    }

    /// Changes an item's value, its status, or both.
    pub async fn change_item(
        &self,
        tenant: &Tenant,
        id: &str,
        value: Option<String>,
        status: Option<Status>,
        room: &mut Room<'_>,
    ) -> Outcome<Entry> {
        let changed = self.change(|draft| {
            let old = draft.item(tenant, id).cloned().ok_or_else(|| no_item(id))?;
            let mut item = Item::clone(&old);
            item.status = status.unwrap_or(item.status);
            item.length = value.as_ref().map_or(item.length, String::len);
            draft.has_room(old.length, item.length)?;
            draft.date(tenant, &mut item);
            let (item, value) = (Arc::new(item), value.map(Arc::from));
            let change = Change::Put { item: item.clone(), value: value.clone(), was: Some(old.status) };
            draft.apply(tenant, What::Item(change));
            draft.keep_revision(tenant);
            Ok((item, value))
        });
        let (item, value) = changed.await?;
        if let Some(value) = value {
            return Ok(Entry { item, value });
        }
        // The value is the one that was there, which only the database has.
        let own = self.entries(rows::state_at(tenant, id, item.update_revision), room).await?.pop();
        match own {
            Some(entry) => Ok(entry),
            None => self.item(tenant, id, room).await,
        }
    }

    /// An item.
    pub async fn item(&self, tenant: &Tenant, id: &str, room: &mut Room<'_>) -> Outcome<Entry> {
        let found = self.entries(rows::some(tenant, std::iter::once(id)), room).await?.pop();
        found.ok_or_else(|| no_item(id))
    }

    /// Drops an item.
    pub async fn drop_item(&self, tenant: &Tenant, id: &str) -> Outcome<()> {
        match self.drop_items(tenant, &[id.to_owned()]).await? {
            0 => Err(no_item(id)),
            _ => Ok(()),
        }
    }

    /// Drops those that are there of many, together. Returns how many.
    pub async fn drop_items(&self, tenant: &Tenant, ids: &[String]) -> Outcome<usize> {
        self.change(|draft| {
            let revision = draft.next_revision(tenant);
            let mut dropped = 0;
            for id in ids {
                if let Some(item) = draft.item(tenant, id).cloned() {
                    draft.apply(tenant, What::Item(Change::Drop { item, revision }));
                    dropped += 1;
                }
            }
            if dropped > 0 {
                draft.keep_revision(tenant);
            }
            Ok(dropped)
        })
        .await
    }

    /// Imports items, all in one commit. What became of each comes in their order.
    pub async fn import_items(&self, tenant: &Tenant, items: Vec<NewItem>, policy: Override) -> Outcome<Vec<Imported>> {
        self.change(|draft| {
            let mut aborted = false;
            let mut import = |new: NewItem| {
                if aborted {
                    return Imported::Aborted;
                }
                let id = new.id(tenant);
                match policy {
                    Override::Force => {}
                    _ if draft.item(tenant, &id).is_none() => {}
                    Override::Skip => return Imported::Skipped,
                    Override::Abort => {
                        aborted = true;
                        return Imported::Aborted;
                    }
                }
                draft.put_item(tenant, id, new).map_or_else(Imported::Failed, Imported::Done)
            };
            let outcomes: Vec<_> = items.into_iter().map(&mut import).collect();
            if outcomes.iter().any(|outcome| matches!(outcome, Imported::Done(_))) {
                draft.keep_revision(tenant);
            }
            Ok(outcomes)
        })
        .await
    }

    /// The items that are meant: the greatest priority first, then the newest.
    pub async fn items(&self, tenant: &Tenant, query: &Query, page: Page, room: &mut Room<'_>) -> Outcome<Listed> {
        let (revision, heads) = {
            let state = self.image.read();
            let items = state.tenant(tenant).map(|tenant| &tenant.items);
            items.map_or((FIRST, Vec::new()), |items| (items.revision, items.select(query)))
        };
        if self.image.feed.revision(tenant) < revision {
            // What was seen may be on its way to the disk: so it is with everything that was planned before this.
            self.change(|_| Ok(())).await?;
        }
        let by_value = !query.value.is_empty();
        let meant = |entry: &Entry| query.matches(&entry.item) && entry.value.contains(query.value.as_str());
        let mut listed = Listed { revision, total: 0, entries: Vec::new() };
        if by_value {
            let mut heads = heads.as_slice();
            while let Some((some, rest)) = heads.split_at_checked(portion(heads)).filter(|(some, _)| !some.is_empty()) {
                heads = rest;
                // Only those of the page stay in memory.
                for entry in self.in_order(tenant, some, &mut |_| true).await?.into_iter().filter(meant) {
                    if page.has(listed.total) {
                        room(entry.value.len()).then_some(()).ok_or_else(no_room)?;
                        listed.entries.push(entry);
                    }
                    listed.total += 1;
                }
            }
            return Ok(listed);
        }
        listed.total = heads.len();
        let on_page: Vec<_> = heads.iter().skip(page.offset).take(page.limit.unwrap_or(usize::MAX)).cloned().collect();
        for some in on_page.chunks(MOST_AT_ONCE) {
            let entries = self.in_order(tenant, some, room).await?;
            let found = listed.entries.len();
            listed.entries.extend(entries.into_iter().filter(meant));
            // Some were dropped or changed since.
            listed.total -= some.len() - (listed.entries.len() - found);
        }
        Ok(listed)
    }

    /// The items of these ids, in this order; those that are not there are left out.
    pub async fn items_by_id(&self, tenant: &Tenant, ids: &[String], room: &mut Room<'_>) -> Outcome<Vec<Entry>> {
        let heads: Vec<Arc<Item>> = {
            let state = self.image.read();
            let items = state.tenant(tenant).map(|tenant| &tenant.items);
            ids.iter().filter_map(|id| items?.get(id).cloned()).collect()
        };
        let mut entries = Vec::with_capacity(heads.len());
        for some in heads.chunks(MOST_AT_ONCE) {
            entries.extend(self.in_order(tenant, some, room).await?);
        }
        Ok(entries)
    }

    /// The states that an item had, the newest first, and how many there are.
    pub async fn item_states(
        &self,
        tenant: &Tenant,
        id: &str,
        page: Page,
        room: &mut Room<'_>,
    ) -> Outcome<(usize, Vec<Entry>)> {
        let count = self.rows(rows::count_states(tenant, id)).await?;
        let total = count.first().map_or(0, |row| row.number(0));
        if total == 0 {
            return Err(no_item(id));
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let limit = page.limit.map_or(rows::MOST_STATES, number);
        let entries = self.entries(rows::states(tenant, id, number(page.offset), limit), room).await?;
        Ok((usize::try_from(total).unwrap_or_default(), entries))
    }

    /// Whether something that is meant may have changed after a revision.
    pub fn items_changed(&self, tenant: &Tenant, query: &Query, after: i64) -> bool {
        self.image.feed.changed(tenant, query, after)
    }

    /// Waits for something that is meant to change after a revision, or from now on.
    pub fn watch_items(&self, tenant: &Tenant, query: Query, after: Option<i64>) -> Watch<'_> {
        self.image.feed.watch(tenant, query, after)
    }

    /// Ends all waiting, because the server stops.
    pub fn stop_waiting(&self) {
        self.image.feed.close();
    }

    /// The greatest revision of a domain, and how many items it has.
    pub fn items_of_domain(&self, domain: &str) -> (i64, usize) {
        let state = self.image.read();
        let tenants = state.tenants.iter().filter(|(name, _)| name.domain == domain);
        tenants.fold((FIRST, 0), |(revision, count), (name, tenant)| {
            (revision.max(self.image.feed.revision(name)), count + tenant.items.len())
        })
    }

    /// Up to [`MOST_AT_ONCE`] items as they are on disk.
    async fn in_order(&self, tenant: &Tenant, heads: &[Arc<Item>], room: &mut Room<'_>) -> Outcome<Vec<Entry>> {
        let ids = heads.iter().map(|item| item.id.as_str());
        let found = self.entries(rows::some(tenant, ids), room).await?;
        let mut by_id: HashMap<String, Entry> = found.into_iter().map(|entry| (entry.item.id.clone(), entry)).collect();
        Ok(heads.iter().filter_map(|item| by_id.remove(&item.id)).collect())
    }

    /// Rows of id, body and value.
    async fn entries(&self, statement: Statement, room: &mut Room<'_>) -> Outcome<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut failed = None;
        let reading = self.database.each_row(statement, |mut row| {
            let (body, value) = (row.text(1), row.text(2));
            if failed.is_some() {
            } else if !room(value.len()) {
                failed = Some(no_room());
            } else {
                match parse::<Item>(&body) {
                    Ok(item) => entries.push(Entry { item: Arc::new(item), value: value.into() }),
                    Err(error) => failed = Some(unreadable(&error)),
                }
            }
        });
        reading.await.map_err(|error| unreadable(&error))?;
        failed.map_or(Ok(entries), Err)
    }

    async fn rows(&self, statement: Statement) -> Outcome<Vec<Row>> {
        self.database.rows(statement).await.map_err(|error| unreadable(&error))
    }
}

impl Draft<'_> {
    fn items(&self, tenant: &Tenant) -> Option<&Items> {
        self.state.tenant(tenant).map(|tenant| &tenant.items)
    }

    fn item(&self, tenant: &Tenant, id: &str) -> Option<&Arc<Item>> {
        self.items(tenant)?.get(id)
    }

    fn next_revision(&self, tenant: &Tenant) -> i64 {
        self.items(tenant).map_or(FIRST, |items| items.revision) + 1
    }

    /// Has the counter written as it is now, once for all changes of a plan.
    fn keep_revision(&mut self, tenant: &Tenant) {
        let revision = self.items(tenant).map_or(FIRST, |items| items.revision);
        self.apply(tenant, What::Item(Change::Revision(revision)));
    }

    /// Gives an item that changes now its revision and time.
    fn date(&self, tenant: &Tenant, item: &mut Item) {
        item.update_revision = self.next_revision(tenant);
        item.update_time = self.wall_seconds;
    }

    /// Whether a value may become so much longer.
    fn has_room(&self, old: usize, new: usize) -> Outcome<()> {
        let most = self.config.max_item_bytes;
        if new > old && self.state.items.bytes + (new - old) as u64 > most {
            let detail = format!("no more than {most} bytes of values: drop some, or raise kie.max_bytes");
            return Err(Fault::new(FaultKind::Quota, detail));
        }
        Ok(())
    }

    /// Puts an item, in the place of the one of the same id if there is one.
    fn put_item(&mut self, tenant: &Tenant, id: String, new: NewItem) -> Outcome<Entry> {
        let old = self.item(tenant, &id).cloned();
        let totals = self.state.items;
        if old.is_none() && totals.items >= self.config.max_items {
            let most = self.config.max_items;
            let detail = format!("no more than {most} configuration items: drop some, or raise kie.max_items");
            return Err(Fault::new(FaultKind::Quota, detail));
        }
        if totals.tenants >= MOST_TENANTS && self.items(tenant).is_none_or(Items::never_had_any) {
            let detail = format!("no more than {MOST_TENANTS} domains and projects: use one that had items before");
            return Err(Fault::new(FaultKind::Quota, detail));
        }
        self.has_room(old.as_ref().map_or(0, |old| old.length), new.value.len())?;
        let mut item = Item {
            id,
            key: new.key,
            labels: new.labels,
            value_type: new.value_type,
            status: new.status,
            priority: new.priority,
            create_revision: 0,
            update_revision: 0,
            create_time: 0,
            update_time: 0,
            length: new.value.len(),
        };
        self.date(tenant, &mut item);
        item.create_revision = old.as_ref().map_or(item.update_revision, |old| old.create_revision);
        item.create_time = old.as_ref().map_or(item.update_time, |old| old.create_time);
        let entry = Entry { item: Arc::new(item), value: new.value.into() };
        let was = old.map(|old| old.status);
        let change = Change::Put { item: entry.item.clone(), value: Some(entry.value.clone()), was };
        self.apply(tenant, What::Item(change));
        Ok(entry)
    }
}

/// How many items are read at a time where most are read for nothing.
fn portion(heads: &[Arc<Item>]) -> usize {
    let mut bytes = 0;
    let fits = |item: &&Arc<Item>| {
        let fits = bytes < PORTION;
        bytes += item.length;
        fits
    };
    heads.iter().take(MOST_AT_ONCE).take_while(fits).count()
}

fn no_item(id: &str) -> Fault {
    let detail = format!("there is no item of the id {id}: the list of items has the ids of those that there are");
    Fault::new(FaultKind::ItemMissing, detail)
}

fn no_room() -> Fault {
    let detail = "too much is read at the same time: send the request again in a second, or ask for less with limit";
    Fault::new(FaultKind::Unavailable, detail)
}

/// The database is out of reach, or has a row that this program did not write.
fn unreadable(error: &crate::error::Error) -> Fault {
    tracing::error!(%error, "configuration items cannot be read");
    Fault::new(FaultKind::Unavailable, "the registry's database cannot be read now: send the request again in a second")
}
