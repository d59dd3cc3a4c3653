//! A service as it registered itself: what its agent said of it and of its instances, and the contracts that describe
//! its methods.

use super::posted::{MethodDetail, ParameterDefinition};
use super::{ServiceKind, Wanted};
use crate::codec::contract::{self, Limits, Method};
use crate::error::Result;
use crate::registry::{Instance, Microservice, Outcome, Registry, Tenant};
use crate::stop::Stop;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Instances whose properties and endpoints are looked at.
const MOST_INSTANCES: usize = 200;
/// Services of the wanted id and name whose instances are asked what type they are.
const MOST_CANDIDATES: usize = 1_000;
/// Bytes of contracts that are read for one answer.
const MOST_TEXTS: usize = 8 << 20;
/// Properties by which agents tell the group that a service is in.
const GROUP_KEYS: [&str; 3] = ["serviceGroup", "nacos.group", "group"];

/// A registered service.
#[derive(Clone, Debug, Default)]
pub(super) struct Registered {
    pub service: Arc<Microservice>,
    pub kind: Option<ServiceKind>,
    /// The first of those that live.
    pub instances: Vec<Instance>,
    pub tags: Vec<String>,
    /// Id and text.
    pub contracts: Vec<(String, String)>,
    pub notes: Vec<String>,
}

/// How near an id that was asked for is to a service: its own, its application's, its name. None if it is none of these.
pub(super) fn nearness(service: &Microservice, app: &str) -> Option<u8> {
    if service.service_id == app {
        return Some(0);
    }
    if service.app_id == app {
        return Some(1);
    }
    goes_by(service, app).then_some(2)
}

/// Whether a service has a name, in either case.
pub(super) fn goes_by(service: &Microservice, name: &str) -> bool {
    [&service.service_name, &service.alias].iter().any(|own| !own.is_empty() && same(own, name))
}

/// Whether two names are one.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || !(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase()
}

/// The order of versions: greater ones later, texts that are no numbers first.
pub(super) fn version_order(version: &str) -> Vec<u64> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

/// What a service was built with, as far as it says so.
pub(super) fn kind_of(service: &Microservice, instances: &[Instance]) -> Option<ServiceKind> {
    let says = |text: &str| {
        let text = text.to_ascii_lowercase();
        let spring = text.contains("spring");
        let dubbo = || text.contains("dubbo").then_some(ServiceKind::Dubbo);
        if spring { Some(ServiceKind::SpringCloud) } else { dubbo() }
    };
    let properties = || std::iter::once(&service.properties).chain(instances.iter().map(|one| &one.properties));
    let property = |key: &str| properties().find_map(|all| all.get(key)).and_then(|text| says(text));
    let has = |key: &str| properties().any(|all| all.contains_key(key));
    let framework = || says(&service.framework.as_ref()?.name);
    let endpoint = || {
        let dubbo = |endpoint: &String| endpoint.starts_with("dubbo:") || endpoint.starts_with("dubbo+");
        instances.iter().flat_map(|one| &one.endpoints).any(dubbo).then_some(ServiceKind::Dubbo)
    };
    let marks = || match () {
        () if has("dubbo") || has("dubbo.metadata.revision") => Some(ServiceKind::Dubbo),
        () if has("spring.application.name") => Some(ServiceKind::SpringCloud),
        () => None,
    };
    property("serviceType")
        .or_else(|| property("preserved.register.source"))
        .or_else(|| property("protocol"))
        .or_else(framework)
        .or_else(endpoint)
        .or_else(marks)
}

/// The group that a service is in: what it says, else its type where that is known, else its application.
pub(super) fn group_of(service: &Microservice, kind: Option<ServiceKind>) -> String {
    let said = GROUP_KEYS.iter().find_map(|key| service.properties.get(*key)).filter(|group| !group.is_empty());
    match (said, kind) {
        (Some(group), _) => group.clone(),
        (None, Some(ServiceKind::SpringCloud)) => ServiceKind::SpringCloud.name().to_owned(),
        _ => service.app_id.clone(),
    }
}

/// Its living instances, the first by id.
pub(super) fn instances(registry: &Registry, tenant: &Tenant, service: &str) -> Outcome<Vec<Instance>> {
    let bodies = registry.instances(tenant, service)?;
    Ok(bodies.iter().take(MOST_INSTANCES).filter_map(|body| serde_json::from_str(body).ok()).collect())
}

/// The service that is wanted: of those that go by the id and meet all conditions the nearest, then the first by name,
/// then the greatest version. With it how many more there are.
pub(super) fn choose(registry: &Registry, tenant: &Tenant, wanted: &Wanted) -> Outcome<Option<(Registered, usize)>> {
    let mut candidates: Vec<(u8, Arc<Microservice>)> = registry
        .services(tenant)
        .into_iter()
        .filter(|service| wanted.name.as_deref().is_none_or(|name| goes_by(service, name)))
        .filter(|service| wanted.version.as_deref().is_none_or(|version| service.version == version))
        .filter_map(|service| Some((nearness(&service, &wanted.app)?, service)))
        .filter(|(_, service)| wanted.takes_kind(kind_of(service, &[])))
        .collect();
    let order = |(near, service): &(u8, Arc<Microservice>)| {
        (*near, service.service_name.clone(), Reverse(version_order(&service.version)))
    };
    candidates.sort_by_cached_key(order);
    let nearest = candidates.first().map_or(0, |(near, _)| *near);
    for (_, service) in candidates.iter().take(MOST_CANDIDATES) {
        let Some(found) = fitting(registry, tenant, wanted, service)? else { continue };
        let is_other = |(near, other): &&(u8, Arc<Microservice>)| {
            *near == nearest && other.service_name != found.service.service_name
        };
        let others: BTreeSet<&str> =
            candidates.iter().filter(is_other).map(|(_, other)| other.service_name.as_str()).collect();
        let others = others.len();
        return Ok(Some((found, others)));
    }
    Ok(None)
}

/// A service with what belongs to it, if it is of the wanted type and group.
fn fitting(
    registry: &Registry,
    tenant: &Tenant,
    wanted: &Wanted,
    service: &Arc<Microservice>,
) -> Outcome<Option<Registered>> {
    let instances = instances(registry, tenant, &service.service_id)?;
    let kind = kind_of(service, &instances);
    if !wanted.takes_kind(kind) || !takes_group(wanted, service, kind) {
        return Ok(None);
    }
    let tags = registry.tags(tenant, &service.service_id)?;
    let tags = tags.into_iter().map(|(key, value)| format!("{key}={value}")).collect();
    let service = service.clone();
    Ok(Some(Registered { service, kind, instances, tags, contracts: Vec::new(), notes: Vec::new() }))
}

/// A service goes by its group, its application's name and its type's alike.
fn takes_group(wanted: &Wanted, service: &Microservice, kind: Option<ServiceKind>) -> bool {
    let Some(group) = wanted.group.as_deref() else { return true };
    let is = |own: &str| same(own, group);
    is(&group_of(service, kind)) || is(&service.app_id) || kind.is_some_and(|kind| is(kind.name()))
}

impl Registered {
    /// Reads the contracts of the service.
    pub(super) async fn read_contracts(&mut self, registry: &Registry, tenant: &Tenant) -> Outcome<()> {
        let id = self.service.service_id.clone();
        let mut bytes = 0;
        for head in registry.schemas(tenant, &id, false).await? {
            if bytes >= MOST_TEXTS {
                self.notes.push(format!("registry: contract {} is beyond what is read of a service", head.id));
                continue;
            }
            // What was announced and never sent says nothing.
            let Ok(schema) = registry.schema(tenant, &id, &head.id).await else { continue };
            let text = schema.text.unwrap_or_default();
            bytes += text.len();
            self.contracts.push((schema.id, text));
        }
        Ok(())
    }

    /// The methods of its contracts, within limits. What cannot be read is noted.
    pub(super) fn methods(&mut self, mut limits: Limits, stop: &Stop) -> Result<Vec<MethodDetail>> {
        let mut methods = Vec::new();
        for (id, text) in std::mem::take(&mut self.contracts) {
            stop.check()?;
            match contract::read(&text, &id, limits, || stop.check())? {
                Ok(contract) => {
                    if contract.left_out > 0 {
                        let more = contract.left_out;
                        self.notes.push(format!("registry: {more} methods of contract {id} more than are told"));
                    }
                    let notes = contract.notes.iter();
                    self.notes.extend(notes.map(|note| format!("registry: contract {id}: {note}")));
                    limits.methods -= contract.methods.len().min(limits.methods);
                    let bytes: usize = contract.methods.iter().map(Method::bytes).sum();
                    limits.bytes -= bytes.min(limits.bytes);
                    methods.extend(contract.methods.into_iter().map(detail));
                }
                Err(why) => self.notes.push(format!("registry: contract {id} cannot be read: {why}")),
            }
        }
        Ok(methods)
    }

    /// The ports of its endpoints, and the scheme of the first.
    pub(super) fn ports(&self) -> (Vec<u16>, String) {
        let mut ports = BTreeSet::new();
        let mut protocol = String::new();
        for endpoint in self.instances.iter().flat_map(|instance| &instance.endpoints) {
            let Some((scheme, port)) = scheme_and_port(endpoint) else { continue };
            if protocol.is_empty() {
                scheme.clone_into(&mut protocol);
            }
            ports.extend(port);
        }
        (ports.into_iter().collect(), protocol)
    }
}

/// Of `rest://10.0.0.1:8080?sslEnabled=true`.
pub(super) fn scheme_and_port(endpoint: &str) -> Option<(&str, Option<u16>)> {
    let (scheme, rest) = endpoint.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
    Some((scheme, port))
}

fn detail(method: Method) -> MethodDetail {
    let Method { controller, return_type, return_details, name, name_detail, request_methods, paths, parameters } =
        method;
    MethodDetail {
        method_controller: controller,
        return_type,
        return_details,
        name,
        name_detail,
        parameter_details: parameters.iter().map(|parameter| parameter.detail.clone()).collect(),
        request_methods,
        parameter_types: parameters.iter().map(|parameter| parameter.kind.clone()).collect(),
        paths,
        parameter_definitions: parameters
            .into_iter()
            .map(|one| ParameterDefinition { kind: one.kind, description: one.detail, name: one.name })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Framework;
    use std::collections::BTreeMap;

    fn texts(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_services_type_is_what_its_agent_says_in_any_of_its_manners() {
        use ServiceKind::{Dubbo, SpringCloud};
        let framework = |name: &str| Microservice {
            framework: Some(Framework { name: name.into(), version: "1".into() }),
            ..Microservice::default()
        };
        let with =
            |key: &str, value: &str| Microservice { properties: texts(&[(key, value)]), ..Microservice::default() };
        let at = |endpoint: &str| Instance { endpoints: vec![endpoint.into()], ..Instance::default() };
        let plain = Microservice::default;
        for (service, instance, kind) in [
            (plain(), at("rest://a:1"), None),
            (framework("servicecomb-java-chassis"), at("rest://a:1"), None),
            (framework("SPRING_CLOUD"), at("rest://a:1"), Some(SpringCloud)),
            (framework("Apache Dubbo"), at("rest://a:1"), Some(Dubbo)),
            (plain(), at("dubbo://a:20880"), Some(Dubbo)),
            (with("preserved.register.source", "SPRING_CLOUD"), at(""), Some(SpringCloud)),
            (with("protocol", "dubbo"), at(""), Some(Dubbo)),
            (with("spring.application.name", "a"), at(""), Some(SpringCloud)),
            (with("serviceType", "dubbo"), at(""), Some(Dubbo)),
        ] {
            assert_eq!(kind_of(&service, &[instance]), kind, "{service:?}");
        }
        let told = Instance { properties: texts(&[("preserved.register.source", "SPRING_CLOUD")]), ..at("") };
        assert_eq!(kind_of(&plain(), &[told]), Some(SpringCloud));
    }

    #[test]
    fn endpoints_give_scheme_and_port() {
        for (endpoint, expected) in [
            ("rest://10.0.0.1:8080?sslEnabled=true", Some(("rest", Some(8080)))),
            ("http://[::1]:80/", Some(("http", Some(80)))),
            ("highway://host", Some(("highway", None))),
            ("host:80", None),
            ("rest://host:99999", Some(("rest", None))),
        ] {
            assert_eq!(scheme_and_port(endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn a_contract_is_not_read_when_nobody_waits_and_what_it_lacks_is_noted() {
        let text = format!(
            "{{\"swagger\":\"2.0\",\"paths\":{{\"/a\":{{\"get\":{{}}}},\"/b\":{{\"$ref\":\"#/{}\"}}}}}}",
            "b".repeat(2_000)
        );
        let registered = || Registered { contracts: vec![("cart".into(), text.clone())], ..Registered::default() };
        let limits = Limits { methods: 10, bytes: 10_000 };
        let gone = Stop::never();
        gone.give_up();
        assert!(registered().methods(limits, &gone).is_err());
        let mut registered = registered();
        assert_eq!(registered.methods(limits, &Stop::never()).unwrap().len(), 1);
        assert_eq!(registered.notes, ["registry: contract cart: references longer than 1024 bytes are not followed"]);
    }

    #[test]
    fn versions_are_in_the_order_of_their_numbers() {
        assert!(version_order("1.10.0") > version_order("1.9.9"));
        assert!(version_order("1.0.0") > version_order("beta"));
    }
}
