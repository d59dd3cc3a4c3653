//! Who watches: a consumer is told of each change of an instance of the services that it depends on, once the change
//! is on disk.

use super::Image;
use super::service::{Instance, Microservice, Tenant};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::mpsc;

/// What a watcher may leave unread. One that leaves more is cut off: it comes back and asks for everything.
const MOST_UNREAD: usize = 1_000;
/// Watchers there may be.
const MOST_WATCHERS: usize = 10_000;

/// What happened to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Delete,
}

/// A change of an instance.
#[derive(Clone, Debug)]
pub struct Notice {
    pub action: Action,
    pub tenant: Tenant,
    pub service: Arc<Microservice>,
    pub instance: Instance,
    /// What a dialect tells of it, made by whoever tells it first.
    pub text: OnceLock<Arc<str>>,
}

type Sender = mpsc::Sender<Arc<Notice>>;

/// Those who are told, by tenant and consumer.
#[derive(Debug, Default)]
pub(super) struct Watchers(Mutex<HashMap<(Tenant, String), Vec<Sender>>>);

impl Watchers {
    /// Tells from now on of what the consumer depends on; nothing if too many watch already.
    pub(super) fn add(&self, tenant: &Tenant, consumer: &str) -> Option<mpsc::Receiver<Arc<Notice>>> {
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.values().map(Vec::len).sum::<usize>() >= MOST_WATCHERS {
            watchers.retain(|_, senders| {
                senders.retain(|sender| !sender.is_closed());
                !senders.is_empty()
            });
            if watchers.values().map(Vec::len).sum::<usize>() >= MOST_WATCHERS {
                return None;
            }
        }
        let (sender, receiver) = mpsc::channel(MOST_UNREAD);
        watchers.entry((tenant.clone(), consumer.to_owned())).or_default().push(sender);
        Some(receiver)
    }

    /// Tells those whom it concerns.
    pub(super) fn tell(&self, image: &Image, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        let mut watchers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watchers.is_empty() {
            return;
        }
        let state = image.read();
        for notice in notices {
            let Some(tenant) = state.tenant(&notice.tenant) else { continue };
            let notice = Arc::new(notice);
            for consumer in tenant.consumers(&notice.service) {
                // What is recorded may be of a time when it could be called.
                let entry = tenant.services.get(&consumer);
                if !entry.is_some_and(|entry| notice.service.lets(&entry.service)) {
                    continue;
                }
                let key = (notice.tenant.clone(), consumer.to_string());
                if let Some(senders) = watchers.get_mut(&key) {
                    senders.retain(|sender| sender.try_send(notice.clone()).is_ok());
                }
            }
        }
    }
}
