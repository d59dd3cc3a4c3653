//! The registry: the services that registered themselves, their instances, contracts and tags, and who depends on whom;
//! and the configuration items that they are given ([`items`]).
//!
//! In: what the dialects have checked. Out: the same, as clients find each other by it; changes of instances, for those
//! who watch. Everything is apart by [`Tenant`].
//!
//! ```text
//! image (memory, answers all reads but contracts' texts)  <- changes <-  plans of requests, expiry
//!   `- queue -> writer -> database (SQLite or PostgreSQL), one commit for all that wait -> answer
//! ```
//!
//! * A change is on disk before it is acknowledged. A reader may see it some milliseconds before that.
//! * A heartbeat moves a deadline in memory and writes nothing. After a restart every instance has one whole term.
//! * The registry has a time of its own, which advances with the clock but by [`MOST_AT_A_TICK`] between two ticks: a
//!   server that slept, or whose clock was set, does not take its own absence for that of everybody else.
//! * One server at a time writes a database.

mod accounts;
mod change;
mod contracts;
mod database;
mod details;
mod discovery;
mod expiry;
mod fault;
mod instances;
pub mod items;
mod rows;
mod service;
mod services;
mod state;
#[cfg(test)]
mod tests;
mod version;
mod watch;
mod writer;

pub use accounts::{Account, AccountChange};
pub use change::Schema;
pub use details::{DetailHead, DetailKey};
pub use discovery::{Find, Found, WantedTags};
pub use expiry::TICK;
pub use fault::{Fault, FaultKind, Outcome};
pub(crate) use service::or_default;
pub use service::{DataCenterInfo, Family, Framework, HealthCheck, Instance, Microservice, ServicePath, Tenant};
pub use services::{BatchDropped, Counts, Statistics, service_id};
pub use version::Rule;
pub use watch::{Action, Notice};

use crate::clock::Clock;
use crate::error::Result;
use change::{Change, What};
use database::{Database, Place};
use state::State;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::{mpsc, oneshot};
use writer::Order;

/// The registry's own time advances by so many microseconds between two ticks at most.
const MOST_AT_A_TICK: i64 = 5_000_000;

/// Above so many bytes of changes that wait to be written no more are taken.
const MOST_QUEUED: usize = 64 << 20;

/// Where the registry is, and how much it takes.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// The data folder, in which the database is unless the URL names another.
    pub data: PathBuf,
    /// A PostgreSQL database; empty for SQLite in the data folder.
    pub url: String,
    /// Services of all tenants, each version counted.
    pub max_services: usize,
    /// Instances of all tenants.
    pub max_instances: usize,
    /// Bytes that services and instances of all tenants may take in memory, about.
    pub max_bytes: usize,
    /// Contracts of a service.
    pub max_schemas: usize,
    /// Tags of a service.
    pub max_tags: usize,
    /// Configuration items of all tenants.
    pub max_items: usize,
    /// Bytes of their values.
    pub max_item_bytes: u64,
    /// Requests that wait for a change of items.
    pub max_waiting: usize,
}

impl RegistryConfig {
    /// With the service centre's own quotas.
    pub fn new(data: &Path) -> Self {
        RegistryConfig {
            data: data.to_owned(),
            url: String::new(),
            max_services: 50_000,
            max_instances: 150_000,
            max_bytes: 512 << 20,
            max_schemas: 100,
            max_tags: 100,
            max_items: 10_000,
            max_item_bytes: 64 << 20,
            max_waiting: 2_000,
        }
    }
}

/// How the registry is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    /// Each version counted.
    pub services: usize,
    pub instances: usize,
    /// What it is kept in.
    pub database: &'static str,
    /// Whether changes are taken. Where not, the database is out of reach.
    pub takes_changes: bool,
}

/// The registry.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    image: Arc<Image>,
    database: Database,
    kind: &'static str,
    /// None once it is closed.
    queue: RwLock<Option<mpsc::UnboundedSender<Order>>>,
    writer: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    clock: Arc<dyn Clock>,
    /// The clock at the last tick.
    last_tick: AtomicI64,
}

/// The image in memory and what belongs to it.
#[derive(Debug)]
struct Image {
    state: RwLock<State>,
    /// Whether changes are taken.
    open: AtomicBool,
    /// The registry's own time, in microseconds.
    now: AtomicI64,
    /// About how many bytes of changes wait to be written.
    queued: AtomicUsize,
    watchers: watch::Watchers,
    /// Taken after the state where both are.
    feed: items::Feed,
    /// Taken after the state where both are.
    expiry: Mutex<expiry::Queue>,
    /// Apart for each start, so that no revision of an earlier one is taken for one of this.
    epoch: u64,
}

impl Image {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Nothing that changes the state can panic half way.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// What these held of the room for changes that wait is free.
    fn give_back(&self, orders: &[Order]) {
        let weight = orders.iter().map(|order| order.weight).sum();
        self.queued.fetch_sub(weight, Ordering::Relaxed);
    }

    /// Whoever plans a change from now on is refused; whoever did has sent it to the queue.
    fn refuse_changes(&self) {
        let _no_plan_under_way = self.write();
        self.open.store(false, Ordering::Relaxed);
    }

    /// Builds the state from the database and takes changes again. Instances keep their deadlines; those that were not
    /// there have a whole term.
    async fn renew(&self, database: &Database) -> Result<()> {
        let mut state = State::default();
        rows::load(database, |change| state.apply(&change)).await?;
        let mut current = self.write();
        for (name, tenant) in &state.tenants {
            for (id, service) in &tenant.services {
                for (instance_id, instance) in &service.instances {
                    match current.instance(name, id, instance_id) {
                        Some(old) => {
                            instance.deadline.store(old.deadline.load(Ordering::Relaxed), Ordering::Relaxed);
                        }
                        None => instance.beat(self.now()),
                    }
                }
            }
        }
        state.go_on_counting(&current);
        *current = state;
        self.feed.renew(&current);
        *self.expiry.lock().unwrap_or_else(PoisonError::into_inner) = expiry::Queue::of(&current);
        self.open.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Registry {
    /// Opens the database, making it if it is not there, and reads everything. `epoch` is a number that no earlier
    /// start had.
    pub async fn open(config: RegistryConfig, clock: Arc<dyn Clock>, epoch: u64) -> Result<Arc<Registry>> {
        let place = Place::parse(&config.url, &config.data)?;
        let database = place.open().await?;
        // Before anything is read: nobody else changes it from now on.
        let writer = place.writer().await?;
        let image = Arc::new(Image {
            state: RwLock::default(),
            open: AtomicBool::new(false),
            now: AtomicI64::new(0),
            queued: AtomicUsize::new(0),
            watchers: watch::Watchers::default(),
            feed: items::Feed::new(config.max_waiting),
            expiry: Mutex::default(),
            epoch,
        });
        image.renew(&database).await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let task = tokio::spawn(writer::run(image.clone(), place.clone(), database.clone(), writer, receiver));
        let registry = Registry {
            last_tick: AtomicI64::new(clock.now_micros()),
            queue: RwLock::new(Some(sender)),
            writer: tokio::sync::Mutex::new(Some(task)),
            kind: place.kind(),
            config,
            image,
            database,
            clock,
        };
        let Status { services, instances, database, .. } = registry.status();
        tracing::info!(services, instances, database, "the registry is open");
        Ok(Arc::new(registry))
    }

    /// Writes what was planned and closes the database.
    pub async fn close(&self) {
        self.image.refuse_changes();
        *self.queue.write().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(task) = self.writer.lock().await.take()
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the registry's writer ended badly");
        }
        self.database.close().await;
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let Counts { services, instances } = self.counts();
        Status { services, instances, database: self.kind, takes_changes: self.takes_changes() }
    }

    /// Whether changes are taken. Where not, the database is out of reach.
    pub fn takes_changes(&self) -> bool {
        self.image.open.load(Ordering::Relaxed)
    }

    /// Plans changes with the image at hand and returns once they are on disk, and with them all that was planned
    /// before: what the plan saw may have been on its way there.
    async fn change<T>(&self, plan: impl FnOnce(&mut Draft<'_>) -> Outcome<T>) -> Outcome<T> {
        let (planned, done) = self.order(plan)?;
        done.await.map_err(|_| Fault::unavailable())??;
        Ok(planned)
    }

    /// Plans changes and does not wait for them.
    fn order<T>(
        &self,
        plan: impl FnOnce(&mut Draft<'_>) -> Outcome<T>,
    ) -> Outcome<(T, oneshot::Receiver<Outcome<()>>)> {
        let mut state = self.image.write();
        // A database that stands still lets changes pile up, of clients that are long gone, too.
        if !self.takes_changes() || self.image.queued.load(Ordering::Relaxed) > MOST_QUEUED {
            return Err(Fault::unavailable());
        }
        let mut draft = Draft {
            state: &mut state,
            expiry: &self.image.expiry,
            config: &self.config,
            now: self.image.now(),
            wall_seconds: self.clock.now_micros().div_euclid(1_000_000),
            changes: Vec::new(),
            notices: Vec::new(),
        };
        let planned = plan(&mut draft);
        let Draft { changes, notices, .. } = draft;
        debug_assert!(planned.is_ok() || changes.is_empty(), "a plan that fails has changed nothing");
        let planned = planned?;
        let weight = changes.iter().map(|change| change.what.weight()).sum();
        self.image.queued.fetch_add(weight, Ordering::Relaxed);
        let (done, waits) = oneshot::channel();
        // Under the lock, so that the queue has the order of the image.
        let queue = self.queue.read().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().is_some_and(|queue| queue.send(Order { changes, notices, weight, done }).is_ok());
        if !sent {
            // Nobody writes any more: what was planned is in the image alone, which takes no more of it.
            self.image.open.store(false, Ordering::Relaxed);
            return Err(Fault::unavailable());
        }
        Ok((planned, waits))
    }
}

/// A plan under way: the image, which changes at once, and what is to be written. Whoever plans checks everything
/// first and changes then: a plan that fails must not have changed anything.
struct Draft<'s> {
    state: &'s mut State,
    expiry: &'s Mutex<expiry::Queue>,
    config: &'s RegistryConfig,
    /// The registry's own time, in microseconds.
    now: i64,
    /// The clock, in seconds since 1970 UTC.
    wall_seconds: i64,
    changes: Vec<Change>,
    notices: Vec<Notice>,
}

impl Draft<'_> {
    fn apply(&mut self, tenant: &Tenant, what: What) {
        let change = Change { tenant: tenant.clone(), what };
        self.state.apply(&change);
        self.changes.push(change);
    }

    /// Whether there is room for so many bytes in the place of some. Whoever takes less than before always finds room.
    fn check_room(&self, new: usize, old: usize) -> Outcome<()> {
        let bytes = self.state.bytes.saturating_sub(old).saturating_add(new);
        if new <= old || bytes <= self.config.max_bytes {
            return Ok(());
        }
        let most = self.config.max_bytes >> 20;
        let detail = format!("the registry holds {most} MiB: drop some services, or raise registry.max_bytes");
        Err(Fault::new(FaultKind::Quota, detail))
    }

    fn service(&self, tenant: &Tenant, id: &str) -> Outcome<&state::ServiceState> {
        self.state.service(tenant, id).ok_or_else(|| Fault::no_service(id))
    }

    fn notify(&mut self, action: Action, tenant: &Tenant, service: &Arc<Microservice>, instance: Instance) {
        self.notices.push(Notice {
            action,
            tenant: tenant.clone(),
            service: service.clone(),
            instance,
            text: OnceLock::new(),
        });
    }
}
