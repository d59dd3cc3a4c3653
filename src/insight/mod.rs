//! What is known of a service: what its agents registered and posted, joined with what its spans show; and what
//! happened around a trace ([`context`]).
//!
//! ```text
//! registry: services, instances, contracts --+
//! registry: details that agents posted ------+-> ServiceDetail, Listed
//! traces: newest spans of the service -------+
//! traces: links of the last day ---------------> Observed: callers and callees
//! a trace, events of its services, registry ---> TraceContext
//! ```
//!
//! * Each fact comes from one [`Source`] and says so; where several know the same, what was posted goes first, then what
//!   was registered, then what spans show. Methods of all sources are there, in that order.
//! * An id that is asked for is a service's own, its application's, its name, or the application's of a posted detail.
//!   Spans know no applications: a service that only traces know goes by its name, whatever application is asked for.
//! * Names compare without regard to case. A condition on what is not known of a service does not leave it out.
//! * Everything is bounded, and what a bound leaves out is told in the notes.

mod context;
mod lists;
mod observed;
mod posted;
mod registered;
mod traced;

pub use context::{Around, ContextQuery, EventPlace, InShort, ServiceContext, TraceContext, trace_context};
pub use lists::{Listed, Peers, consumed, fill, list, published};
pub use observed::{Observations, Observed, Peer};
pub use posted::{LONGEST_NAME, MethodDetail, Objection, ParameterDefinition, Posted};

use crate::codec::contract::Limits;
use crate::error::Result;
use crate::ingest::{LARGE, offload};
use crate::registry::{DetailHead, DetailKey, Outcome, Registry, Tenant};
use crate::stop::Stop;
use crate::store::Snapshot;
use registered::{Registered, goes_by, same, version_order};
use serde_json::{Map, Value};
use std::cmp::Reverse;
use traced::Traced;

/// Methods of an answer, and bytes of those of contracts.
const MOST_METHODS: usize = 1_000;
const MOST_BYTES: usize = 4 << 20;
/// Entries of the metadata.
const MOST_METADATA: usize = 512;

/// Who knows of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The service registered itself.
    Registry,
    /// An agent posted its detail.
    Posted,
    /// It is seen in spans.
    Traces,
}

impl Source {
    pub const fn name(self) -> &'static str {
        match self {
            Source::Registry => "registry",
            Source::Posted => "posted",
            Source::Traces => "traces",
        }
    }
}

/// What a service was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    SpringCloud,
    Dubbo,
}

impl ServiceKind {
    /// As the API has it.
    pub const fn name(self) -> &'static str {
        match self {
            ServiceKind::SpringCloud => "springCloud",
            ServiceKind::Dubbo => "dubbo",
        }
    }

    /// The type of that name; documents also write `Spring Cloud` and `Dubbo`.
    pub fn parse(text: &str) -> Option<ServiceKind> {
        let plain: String = text.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).collect();
        [ServiceKind::SpringCloud, ServiceKind::Dubbo].into_iter().find(|kind| plain.eq_ignore_ascii_case(kind.name()))
    }
}

/// Which service is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    pub app: String,
    pub name: Option<String>,
    pub version: Option<String>,
    pub group: Option<String>,
    pub kind: Option<ServiceKind>,
}

impl Wanted {
    fn takes_kind(&self, kind: Option<ServiceKind>) -> bool {
        match (self.kind, kind) {
            (Some(wanted), Some(kind)) => wanted == kind,
            _ => true,
        }
    }
}

/// All that is known of a service. What is not known is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceDetail {
    pub group: String,
    pub name: String,
    pub version: String,
    pub kind: Option<ServiceKind>,
    pub app_name: String,
    pub spring_name: String,
    pub dubbo_name: String,
    pub metadata: Map<String, Value>,
    pub ports: Vec<u16>,
    pub protocol: String,
    pub tags: Vec<String>,
    pub methods: Vec<(Source, MethodDetail)>,
    pub sources: Vec<Source>,
    /// What is missing, in words.
    pub notes: Vec<String>,
    /// Files that could not be read: what their spans show is missing.
    pub damaged: Vec<String>,
}

/// What the registry's database has of the service that is asked for; [`Gathered::detail`] adds what traces show.
#[derive(Debug)]
pub struct Gathered {
    registered: Option<Registered>,
    posted: Option<Posted>,
    /// The name under which the service is looked for in traces; none where it is not to be looked for.
    traced: Option<String>,
    notes: Vec<String>,
}

/// Gathers what the registry has of the service that is asked for.
pub async fn gather(registry: &Registry, tenant: &Tenant, wanted: &Wanted) -> Outcome<Gathered> {
    let mut notes = Vec::new();
    let mut registered = None;
    // There may be many services.
    let chosen = offload(LARGE, || registered::choose(registry, tenant, wanted))?;
    if let Some((found, others)) = chosen {
        if others > 0 {
            notes.push(format!("registry: {others} more services have this AppId: name one by ServiceName"));
        }
        registered = Some(found);
    }
    let posted = posted_of(registry, tenant, wanted, registered.as_ref()).await?;
    if let (None, Some(posted)) = (&registered, &posted) {
        registered = namesake(registry, tenant, wanted, posted)?;
    }
    if let Some(registered) = &mut registered {
        registered.read_contracts(registry, tenant).await?;
    }
    let own = registered.as_ref().map(|found| found.service.service_name.clone());
    let own = own.or_else(|| posted.as_ref().map(|posted| posted.service_name.clone()));
    let traced = own.or_else(|| {
        let name = wanted.name.as_ref().unwrap_or(&wanted.app);
        // Whoever asks for it by another application, type or version is not asking for this one.
        let is_known = registry.services(tenant).iter().any(|service| goes_by(service, name))
            || registry.details(tenant, None).iter().any(|head| same(&head.key.name, name));
        (!is_known).then(|| name.clone())
    });
    Ok(Gathered { registered, posted, traced, notes })
}

/// The posted detail that is wanted: of the application that is asked for, or of the one that the registered service is
/// in.
async fn posted_of(
    registry: &Registry,
    tenant: &Tenant,
    wanted: &Wanted,
    registered: Option<&Registered>,
) -> Outcome<Option<Posted>> {
    let service = registered.map(|found| &found.service);
    let is_of_app = |key: &DetailKey| {
        key.app == wanted.app
            || service.is_some_and(|service| key.app == service.app_id || key.app == service.service_id)
    };
    let is_of_service = |key: &DetailKey| match (service, &wanted.name) {
        (Some(service), _) => goes_by(service, &key.name),
        (None, Some(name)) => same(&key.name, name),
        (None, None) => true,
    };
    let is_wanted = |head: &DetailHead| {
        let DetailKey { group, version, .. } = &head.key;
        let fits = |wanted: &Option<String>, own: &str| {
            wanted.as_deref().is_none_or(|wanted| own.is_empty() || same(wanted, own))
        };
        let kind = ServiceKind::parse(&head.kind);
        let is_group = fits(&wanted.group, group)
            || wanted.group.as_deref().zip(kind).is_some_and(|(group, kind)| same(group, kind.name()));
        is_group && fits(&wanted.version, version) && wanted.takes_kind(kind)
    };
    let heads = registry.details(tenant, None).into_iter();
    let mut heads: Vec<DetailHead> =
        heads.filter(|head| is_of_app(&head.key) && is_of_service(&head.key) && is_wanted(head)).collect();
    let registered_version = service.map(|service| service.version.as_str());
    heads.sort_by_cached_key(|head| {
        let DetailKey { app, name, version, .. } = &head.key;
        let is_registered = registered_version.is_some_and(|own| own == version);
        (*app != wanted.app, !is_registered, name.clone(), Reverse(version_order(version)))
    });
    let Some(head) = heads.first() else { return Ok(None) };
    let Some(body) = registry.detail_body(tenant, &head.key).await? else { return Ok(None) };
    // It was written from the same type.
    Ok(serde_json::from_str(&body).ok())
}

/// The registered service of a posted detail's name, if it is of one application only.
fn namesake(registry: &Registry, tenant: &Tenant, wanted: &Wanted, posted: &Posted) -> Outcome<Option<Registered>> {
    let services = registry.services(tenant);
    let mut apps: Vec<&str> = services
        .iter()
        .filter(|service| goes_by(service, &posted.service_name))
        .map(|service| service.app_id.as_str())
        .collect();
    apps.sort_unstable();
    apps.dedup();
    let [app] = apps[..] else { return Ok(None) };
    let version = wanted.version.clone().or_else(|| Some(posted.version.clone()).filter(|version| !version.is_empty()));
    let by_name = Wanted { app: app.to_owned(), name: Some(posted.service_name.clone()), version, ..wanted.clone() };
    Ok(registered::choose(registry, tenant, &by_name)?.map(|(found, _)| found))
}

impl Gathered {
    /// The detail, with what traces show; none if nobody knows the service. Blocks on the disk.
    pub fn detail(
        mut self,
        snapshot: &Snapshot,
        project: &str,
        wanted: &Wanted,
        stop: &Stop,
    ) -> Result<Option<ServiceDetail>> {
        let traced = match &self.traced {
            None => None,
            Some(name) => traced::look(snapshot, project, name, wanted.version.as_deref(), MOST_METHODS, stop)?,
        };
        let is_only_traced = self.registered.is_none() && self.posted.is_none();
        let traced = traced.filter(|traced| !is_only_traced || wanted.takes_kind(traced.kind));
        if is_only_traced && traced.is_none() {
            return Ok(None);
        }
        let mut detail = ServiceDetail { notes: std::mem::take(&mut self.notes), ..ServiceDetail::default() };
        let mut methods = Methods { all: Vec::new(), left_out: 0 };
        if let Some(posted) = self.posted.take() {
            detail.add_posted(posted, &mut methods);
        }
        if let Some(registered) = self.registered.take() {
            detail.add_registered(registered, &mut methods, stop)?;
        }
        if let Some(traced) = traced {
            detail.add_traced(traced, &mut methods);
        }
        if methods.left_out > 0 {
            let more = methods.left_out;
            detail.notes.push(format!("{more} methods more than the {MOST_METHODS} that are told"));
        }
        detail.methods = methods.all;
        detail.sources.sort_unstable();
        Ok(Some(detail))
    }
}

/// Methods within the limit.
struct Methods {
    all: Vec<(Source, MethodDetail)>,
    left_out: usize,
}

impl Methods {
    fn add(&mut self, source: Source, methods: Vec<MethodDetail>) {
        let room = MOST_METHODS.saturating_sub(self.all.len());
        self.left_out += methods.len().saturating_sub(room);
        self.all.extend(methods.into_iter().take(room).map(|method| (source, method)));
    }
}

/// Says what was not known.
fn say(field: &mut String, text: &str) {
    if field.is_empty() {
        text.clone_into(field);
    }
}

impl ServiceDetail {
    fn add_posted(&mut self, posted: Posted, methods: &mut Methods) {
        self.sources.push(Source::Posted);
        self.kind = ServiceKind::parse(&posted.service_type);
        self.group = posted.group;
        self.name = posted.service_name;
        self.version = posted.version;
        self.app_name = posted.edas_app_name;
        self.spring_name = posted.spring_application_name;
        self.dubbo_name = posted.dubbo_application_name;
        self.metadata = posted.metadata;
        self.ports = posted.service_ports;
        self.protocol = posted.service_protocol;
        self.tags = posted.service_tags;
        methods.add(Source::Posted, posted.methods);
    }

    fn add_registered(&mut self, mut registered: Registered, methods: &mut Methods, stop: &Stop) -> Result<()> {
        self.sources.push(Source::Registry);
        let limits = Limits { methods: MOST_METHODS, bytes: MOST_BYTES };
        methods.add(Source::Registry, registered.methods(limits, stop)?);
        let service = registered.service.clone();
        let kind = self.kind.or(registered.kind);
        self.kind = kind;
        say(&mut self.group, &registered::group_of(&service, kind));
        say(&mut self.name, &service.service_name);
        say(&mut self.version, &service.version);
        say(&mut self.app_name, &service.app_id);
        let property = |key: &str| {
            let instances = registered.instances.iter().map(|instance| &instance.properties);
            std::iter::once(&service.properties).chain(instances).find_map(|all| all.get(key)).map(String::as_str)
        };
        let of_kind =
            |wanted: ServiceKind| if kind == Some(wanted) { Some(service.service_name.as_str()) } else { None };
        let spring = property("spring.application.name").or_else(|| of_kind(ServiceKind::SpringCloud));
        say(&mut self.spring_name, spring.unwrap_or_default());
        let dubbo = property("dubbo.application.name").or_else(|| of_kind(ServiceKind::Dubbo));
        say(&mut self.dubbo_name, dubbo.unwrap_or_default());
        let (ports, protocol) = registered.ports();
        if self.ports.is_empty() {
            self.ports = ports;
        }
        say(&mut self.protocol, &protocol);
        if self.tags.is_empty() {
            self.tags.clone_from(&registered.tags);
        }
        let framework = service
            .framework
            .iter()
            .flat_map(|framework| [("framework.name", &framework.name), ("framework.version", &framework.version)]);
        let framework = framework.filter(|(_, text)| !text.is_empty());
        let instances = registered.instances.iter().flat_map(|instance| &instance.properties);
        let all = service.properties.iter().chain(instances).map(|(key, text)| (key.as_str(), text)).chain(framework);
        self.add_metadata(all);
        self.notes.append(&mut registered.notes);
        Ok(())
    }

    fn add_traced(&mut self, traced: Traced, methods: &mut Methods) {
        self.sources.push(Source::Traces);
        let Traced { name, version, kind, tags, operations, notes, damaged } = traced;
        self.kind = self.kind.or(kind);
        say(&mut self.name, &name);
        say(&mut self.version, &version);
        self.add_metadata(tags.iter().map(|(key, text)| (key.as_str(), text)));
        methods.add(Source::Traces, operations);
        self.notes.extend(notes);
        if !damaged.is_empty() {
            self.notes.push(format!("traces: {} files could not be read", damaged.len()));
        }
        self.damaged = damaged;
    }

    /// Adds what is not there yet.
    fn add_metadata<'t>(&mut self, entries: impl Iterator<Item = (&'t str, &'t String)>) {
        for (key, text) in entries {
            if self.metadata.len() >= MOST_METADATA {
                return;
            }
            if !self.metadata.contains_key(key) {
                self.metadata.insert(key.to_owned(), Value::String(text.clone()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_in_the_spellings_of_the_products_documents() {
        for (text, kind) in [
            ("springCloud", Some(ServiceKind::SpringCloud)),
            ("SPRING_CLOUD", Some(ServiceKind::SpringCloud)),
            ("Spring Cloud", Some(ServiceKind::SpringCloud)),
            ("Dubbo", Some(ServiceKind::Dubbo)),
            ("hsf", None),
            ("", None),
        ] {
            assert_eq!(ServiceKind::parse(text), kind, "{text:?}");
        }
    }

    #[test]
    fn methods_of_all_sources_are_told_up_to_the_limit_and_the_rest_is_counted() {
        let mut methods = Methods { all: Vec::new(), left_out: 0 };
        methods.add(Source::Posted, vec![MethodDetail::default(); 700]);
        methods.add(Source::Registry, vec![MethodDetail::default(); 700]);
        methods.add(Source::Traces, vec![MethodDetail::default(); 2]);
        let of = |source| methods.all.iter().filter(|(own, _)| *own == source).count();
        assert_eq!((of(Source::Posted), of(Source::Registry), of(Source::Traces)), (700, 300, 0));
        assert_eq!(methods.left_out, 402);
    }
}
