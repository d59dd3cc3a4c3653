//! What the ATS API lists: groups, applications, instances and transactions.
//!
//! What a span has of these takes a while to compose, and spans of one call site have the same. So a span is asked first
//! whether one of the same inputs came before, by two hashes: that of what decides its application and transaction, and
//! that of what decides its instance. Together they would be too many to be remembered.

use super::hash::{Token, lower};
use super::names::{MOST_NAMES, NameKind, NameSets, owner_of};
use crate::codec::zipkin::ats::{Parts, is_echo, parts};
use crate::model::{Endpoint, Span};
use hashbrown::HashTable;
use std::hash::{BuildHasher, RandomState};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Inputs that are remembered; once there are more, it begins anew.
const MOST_KNOWN: usize = 1 << 16;
/// What tells the two hashes of a span apart.
const CALL: u64 = 1;
const PLACE: u64 = 2;

/// Gathers the names of a summary.
#[derive(Debug)]
pub struct Applications {
    /// Hashes of inputs with what they came to.
    known: HashTable<(u64, Known)>,
    /// Hashes of the groups and applications whose lists are kept: a sender may make up one for each span.
    owners: HashTable<u64>,
    /// Another in each process: a sender cannot make two inputs meet.
    seed: u64,
}

/// What inputs came to.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The hash of the application's token where the span's section does not say it.
    token: Option<u64>,
    /// Whether the name tells the instance, wherever the span is from.
    is_named: bool,
}

impl Default for Applications {
    fn default() -> Self {
        Applications { known: HashTable::new(), owners: HashTable::new(), seed: RandomState::new().hash_one(0) }
    }
}

impl Applications {
    /// Adds the names of a span that was posted under a namespace. `service` is its local service in lower case, empty
    /// where it has none. The hash is that of [`Token::Application`], if the span's application is another than that.
    pub fn add(
        &mut self,
        names: &mut NameSets,
        project: u32,
        namespace: Option<&str>,
        service: &str,
        span: &Span<'_>,
    ) -> Option<u64> {
        let (call, place) = self.inputs(project, namespace, span);
        if let Some(known) = self.known(call)
            && (known.is_named || self.known(place).is_some())
        {
            return known.token;
        }
        let parts = parts(span, namespace);
        let application = lower(&parts.application);
        if !is_echo(span) {
            self.names(names, project, &parts, &application);
        }
        let token = (application != service).then(|| Token::Application(&application).hash());
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.remember(call, Known { token, is_named: !parts.composed });
        if parts.composed {
            self.remember(place, Known::default());
        }
        token
    }

    fn known(&self, key: u64) -> Option<Known> {
        self.known.find(key, |(known, _)| *known == key).map(|(_, known)| *known)
    }

    fn remember(&mut self, key: u64, known: Known) {
        if self.known(key).is_none() {
            self.known.insert_unique(key, (key, known), |(key, _)| *key);
        }
    }

    /// Hashes of all that decides a span's parts and whether they count.
    fn inputs(&self, project: u32, namespace: Option<&str>, span: &Span<'_>) -> (u64, u64) {
        let (mut group, mut instance, mut pod, mut route) = (None, None, None, None);
        for (key, value) in &span.tags {
            match &**key {
                "http.route" => route = Some(&**value),
                "k8s.pod.name" => pod = Some(&**value),
                "monitorGroup" => group = Some(&**value),
                "service.instance.id" => instance = Some(&**value),
                _ => {}
            }
        }
        let local = span.local.as_ref();
        let service = local.and_then(|local| local.service.as_deref());
        // A sibling row's mark begins with a plus; what else may is a few records too many.
        let sibling = span.v1.as_deref().is_some_and(|column| column.starts_with('+'));
        let mut owner = mix(self.seed, u64::from(project) << 1 | u64::from(sibling));
        for text in [group, namespace, service] {
            owner = mix(owner, self.hash(text));
        }
        let call = [span.name.as_deref(), route].into_iter().fold(owner, |call, text| mix(call, self.hash(text)));
        let mut place = mix(mix(owner, self.hash(instance)), self.hash(pod));
        let is_blank = |text: Option<&str>| text.is_none_or(|text| text.trim().is_empty());
        if let Some(local) = local
            && is_blank(instance)
            && is_blank(pod)
        {
            place = mix_address(place, local);
        }
        (settle(mix(call, CALL)), settle(mix(place, PLACE)))
    }

    /// Adds the parts of a span; `application` is in lower case.
    fn names(&mut self, names: &mut NameSets, project: u32, parts: &Parts<'_>, application: &str) {
        names.add(NameKind::Group, project, 0, &parts.group, String::new);
        let group = mix(mix(self.seed, u64::from(project)), self.hash(Some(&parts.group)));
        if !self.is_kept(group) {
            return;
        }
        names.add(NameKind::Application, project, group, &parts.application, || parts.group.to_string());
        let owner = mix(group, self.hash(Some(application)));
        if !self.is_kept(owner) {
            return;
        }
        let owner_text = || owner_of(&parts.group, application);
        names.add(NameKind::Instance, project, owner, &parts.instance, owner_text);
        names.add(NameKind::Transaction, project, owner, &parts.transaction, owner_text);
    }

    /// Whether what a group or an application owns is listed.
    fn is_kept(&mut self, owner: u64) -> bool {
        let key = settle(owner);
        if self.owners.find(key, |known| *known == key).is_some() {
            return true;
        }
        let has_room = self.owners.len() < MOST_NAMES;
        if has_room {
            self.owners.insert_unique(key, key, |key| *key);
        }
        has_room
    }

    fn hash(&self, text: Option<&str>) -> u64 {
        text.map_or(0, |text| xxh3_64_with_seed(text.as_bytes(), self.seed))
    }
}

fn mix(hash: u64, part: u64) -> u64 {
    (hash.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// A product's low bits are weak, and they choose the place in a table.
fn settle(hash: u64) -> u64 {
    hash ^ hash >> 32
}

fn mix_address(hash: u64, endpoint: &Endpoint<'_>) -> u64 {
    let port = endpoint.port.map_or(0, |port| 1 << 16 | u64::from(port));
    let four = endpoint.ipv4.map_or(0, |address| 1 << 32 | u64::from(address.to_bits()));
    let hash = mix(mix(hash, port), four);
    let Some(address) = endpoint.ipv6 else { return hash };
    let bits = address.to_bits();
    mix(mix(hash, (bits >> 64) as u64), bits as u64)
}
