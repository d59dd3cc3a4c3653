//! The registry over each database: what holds in memory holds after a restart, and the other way round.

mod failures;

use super::database::tests::over_each;
use super::*;
use crate::clock::ManualClock;
use futures::FutureExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sqlx::Connection;
use std::collections::BTreeMap;

const SECOND: i64 = 1_000_000;

fn tenant() -> Tenant {
    Tenant::new("default", "default")
}

fn config(url: &str, folder: &Path) -> RegistryConfig {
    RegistryConfig { url: url.to_owned(), ..RegistryConfig::new(folder) }
}

/// A registry whose time stands still.
async fn open(config: RegistryConfig) -> (Arc<Registry>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(1_700_000_000 * SECOND));
    // A number that no start had before.
    static STARTS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    let epoch = STARTS.fetch_add(1, Ordering::SeqCst);
    (Registry::open(config, clock.clone(), epoch).await.unwrap(), clock)
}

fn service(app: &str, name: &str, version: &str) -> Microservice {
    let text = str::to_owned;
    Microservice { app_id: text(app), service_name: text(name), version: text(version), ..Microservice::default() }
}

/// One that lives for 20 seconds after a heartbeat.
fn instance(service: &str, endpoint: &str) -> Instance {
    Instance {
        service_id: service.to_owned(),
        host_name: "host".to_owned(),
        status: "UP".to_owned(),
        endpoints: vec![endpoint.to_owned()],
        health_check: Some(HealthCheck { mode: "push".to_owned(), interval: 5, times: 3, ..HealthCheck::default() }),
        ..Instance::default()
    }
}

async fn register(registry: &Registry, name: &str) -> String {
    registry.register_service(&tenant(), service("app", name, "1.0.0"), BTreeMap::new(), Vec::new()).await.unwrap()
}

async fn start(registry: &Registry, service: &str, id: &str) -> String {
    let endpoint = format!("rest://{id}:80");
    registry.register_instance(&tenant(), instance(service, &endpoint), id.to_owned()).await.unwrap()
}

/// Lets so many seconds pass, a tick each.
fn pass(registry: &Registry, clock: &ManualClock, seconds: usize) -> usize {
    (0..seconds)
        .map(|_| {
            clock.advance(SECOND);
            registry.tick()
        })
        .sum()
}

fn find<'q>(name: &str, revision: &'q str, tags: &'q WantedTags) -> Find<'q> {
    Find { consumer: None, provider: Family::new("", "app", name), rule: Rule::All, tags, revision }
}

/// Everything that a tenant has, in order.
fn everything(registry: &Registry) -> Vec<String> {
    let state = registry.image.read();
    let mut lines = Vec::new();
    for (name, tenant) in &state.tenants {
        for (id, entry) in &tenant.services {
            let service = serde_json::to_string(&*entry.service).unwrap();
            lines.push(format!("{name:?} {id} {service} {:?} {:?}", entry.tags, entry.schemas));
            lines.extend(entry.instances.values().map(|instance| format!("{name:?} {id} {}", instance.body)));
            lines.extend(tenant.providers(id).map(|provider| format!("{name:?} {id} {provider:?}")));
        }
    }
    let counted = tenant_counts(&state);
    assert_eq!((state.services, state.instances), counted);
    let services = || state.tenants.values().flat_map(|tenant| &tenant.services);
    let bytes: usize = services().map(|(_, service)| service.bytes()).sum();
    let dependencies = state.tenants.values().flat_map(|tenant| {
        let families = tenant.services.keys().flat_map(|id| tenant.providers(id));
        families.map(state::dependency_bytes)
    });
    assert_eq!(state.bytes, bytes + dependencies.sum::<usize>());
    lines.sort();
    lines
}

fn tenant_counts(state: &State) -> (usize, usize) {
    let services = || state.tenants.values().flat_map(|tenant| tenant.services.values());
    (services().count(), services().map(|service| service.instances.len()).sum())
}

#[tokio::test]
async fn an_instance_lives_as_long_as_its_heartbeats_come_and_a_term_longer() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, clock) = open(config("", folder.path())).await;
    let (tags, provider, consumer) = (BTreeMap::new(), register(&registry, "p").await, register(&registry, "c").await);
    start(&registry, &provider, "late").await;
    start(&registry, &provider, "alive").await;
    registry
        .put_dependencies(&tenant(), vec![(consumer.clone(), vec![Family::new("", "app", "p")])], false)
        .await
        .unwrap();
    let mut watcher = registry.watch(&tenant(), &consumer).unwrap();
    let before = registry.find(&tenant(), find("p", "", &tags)).unwrap();

    assert_eq!(pass(&registry, &clock, 19), 0);
    registry.heartbeat(&tenant(), &provider, "alive").unwrap();
    assert_eq!(registry.instances(&tenant(), &provider).unwrap().len(), 2);
    assert_eq!(pass(&registry, &clock, 1), 1);

    assert_eq!(registry.heartbeat(&tenant(), &provider, "late").unwrap_err().kind, FaultKind::InstanceMissing);
    let after = registry.find(&tenant(), find("p", &before.revision, &tags)).unwrap();
    let left = after.instances.unwrap();
    assert_eq!((left.len(), left[0].contains("\"instanceId\":\"alive\"")), (1, true));
    let notice = watcher.recv().await.unwrap();
    assert_eq!((notice.action, notice.instance.instance_id.as_str()), (Action::Delete, "late"));

    assert_eq!(pass(&registry, &clock, 18), 0);
    assert_eq!(pass(&registry, &clock, 1), 1);
    assert_eq!(registry.counts(), Counts { services: 2, instances: 0 });
}

#[tokio::test]
async fn an_instance_that_is_over_is_not_there_before_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open(config("", folder.path())).await;
    let (tags, provider) = (BTreeMap::new(), register(&registry, "p").await);
    start(&registry, &provider, "i").await;
    let before = registry.find(&tenant(), find("p", "", &tags)).unwrap();
    // Time passes and nobody has looked yet.
    registry.image.now.fetch_add(20 * SECOND, Ordering::Relaxed);

    let after = registry.find(&tenant(), find("p", &before.revision, &tags)).unwrap();
    assert_eq!(after.instances, Some(Vec::new()));
    assert_ne!(after.revision, before.revision);
    assert_eq!(registry.heartbeats(&tenant(), [(provider.as_str(), "i")].into_iter()), [false]);
    assert!(registry.instance(&tenant(), &provider, "i").is_err());
}

#[tokio::test]
async fn a_server_that_slept_does_not_take_its_absence_for_that_of_all_instances() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, clock) = open(config("", folder.path())).await;
    let provider = register(&registry, "p").await;
    start(&registry, &provider, "i").await;
    for jump in [3_600, -7_200, 3_600] {
        clock.advance(jump * SECOND);
        assert_eq!(registry.tick(), 0, "{jump} s");
    }
    registry.heartbeat(&tenant(), &provider, "i").unwrap();
}

#[tokio::test]
async fn an_id_that_came_back_is_looked_at_once_a_term() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, clock) = open(config("", folder.path())).await;
    let provider = register(&registry, "p").await;
    for _ in 0..10 {
        start(&registry, &provider, "i").await;
        start(&registry, &provider, "i").await;
        registry.drop_instance(&tenant(), &provider, "i").await.unwrap();
    }
    start(&registry, &provider, "i").await;
    pass(&registry, &clock, 15);
    registry.heartbeat(&tenant(), &provider, "i").unwrap();
    assert_eq!(pass(&registry, &clock, 10), 0);
    let waiting = format!("{:?}", registry.image.expiry.lock().unwrap()).matches("birth").count();
    assert_eq!(waiting, 1);
}

#[tokio::test]
async fn an_instance_whose_client_did_not_wait_expires_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, clock) = open(config("", folder.path())).await;
    let provider = register(&registry, "p").await;
    // Polled once, which plans the change, and dropped, as a handler is whose client hangs up.
    let one = instance(&provider, "rest://a:80");
    assert!(registry.register_instance(&tenant(), one, "i".to_owned()).now_or_never().is_none());
    assert_eq!(registry.instances(&tenant(), &provider).unwrap().len(), 1);
    assert_eq!(pass(&registry, &clock, 20), 1);
    assert_eq!(registry.counts().instances, 0);
}

#[tokio::test]
async fn a_shorter_term_counts_as_soon_as_an_instance_registers_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, clock) = open(config("", folder.path())).await;
    let provider = register(&registry, "p").await;
    let usual = Instance { health_check: None, ..instance(&provider, "rest://a:80") };
    registry.register_instance(&tenant(), usual, "i".to_owned()).await.unwrap();
    assert_eq!(pass(&registry, &clock, 19), 0);
    start(&registry, &provider, "i").await;
    let short = Instance { instance_id: "i".to_owned(), ..instance(&provider, "rest://a:80") };
    registry.register_instance(&tenant(), short, String::new()).await.unwrap();
    assert_eq!(pass(&registry, &clock, 19), 0);
    assert_eq!(pass(&registry, &clock, 1), 1);
    assert_eq!(registry.counts().instances, 0);
}

#[tokio::test]
async fn the_same_service_has_one_id_however_many_register_it_at_once() {
    over_each("one_id", async |url, folder| {
        let (registry, _) = open(config(&url, &folder)).await;
        let all = (0..40).map(|_| register(&registry, "same"));
        let ids = futures::future::join_all(all).await;
        assert_eq!(ids, vec![ids[0].clone(); 40]);
        assert_eq!(ids[0].len(), 40);
        assert_eq!(registry.counts().services, 1);
        registry.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_registers_again_is_replaced_but_for_its_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, clock) = open(config("", folder.path())).await;
    let provider = register(&registry, "p").await;
    let mut one = instance(&provider, "rest://a:80");
    one.endpoints.push("highway://a:70".to_owned());
    one.properties.insert("old".to_owned(), "1".to_owned());
    let first = registry.register_instance(&tenant(), one.clone(), "drawn-1".to_owned()).await.unwrap();
    clock.advance(7 * SECOND);

    // The same endpoints in another order, and no id.
    one.endpoints.reverse();
    one.properties.clear();
    let second = registry.register_instance(&tenant(), one, "drawn-2".to_owned()).await.unwrap();
    let other = instance(&provider, "rest://b:80");
    let third = registry.register_instance(&tenant(), other, "drawn-3".to_owned()).await.unwrap();

    assert_eq!([first.as_str(), &second, &third], ["drawn-1", "drawn-1", "drawn-3"]);
    let body: Instance = serde_json::from_str(&registry.instance(&tenant(), &provider, "drawn-1").unwrap()).unwrap();
    assert!(body.properties.is_empty());
    assert_eq!((body.timestamp.as_str(), body.mod_timestamp.as_str()), ("1700000000", "1700000007"));
    assert_eq!(registry.counts().instances, 2);
}

#[tokio::test]
async fn every_change_of_instances_is_another_revision_and_nothing_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open(config("", folder.path())).await;
    let (tags, provider, t) = (BTreeMap::new(), register(&registry, "p").await, tenant());
    let mut seen = std::collections::BTreeSet::new();
    let mut is_new = async |what: &str| {
        let found = registry.find(&t, find("p", "", &tags)).unwrap();
        assert_eq!(found.revision.len(), 40, "{what}");
        let again = registry.find(&t, find("p", &found.revision, &tags)).unwrap();
        assert_eq!(again, Found { revision: found.revision.clone(), instances: None }, "{what}");
        seen.insert(found.revision)
    };
    assert!(is_new("nothing").await);
    start(&registry, &provider, "a").await;
    assert!(is_new("registered").await);
    registry.heartbeat(&t, &provider, "a").unwrap();
    assert!(!is_new("heartbeat").await);
    registry.change_instance(&t, &provider, "a", |i| i.status = "DOWN".to_owned()).await.unwrap();
    assert!(is_new("status").await);
    let tag = |tags: &mut BTreeMap<String, String>| {
        tags.insert("k".to_owned(), "v".to_owned());
        Ok(())
    };
    registry.change_tags(&t, &provider, tag).await.unwrap();
    assert!(is_new("tags").await);
    register(&registry, "another").await;
    assert!(!is_new("another service").await);
    registry.drop_instance(&t, &provider, "a").await.unwrap();
    assert!(is_new("dropped").await);
    registry.register_service(&t, service("app", "p", "2.0.0"), BTreeMap::new(), Vec::new()).await.unwrap();
    assert!(is_new("another version").await);
}

#[tokio::test]
async fn whatever_was_done_is_there_after_a_restart() {
    over_each("restart", async |url, folder| {
        let (registry, _) = open(config(&url, &folder)).await;
        let mut random = SmallRng::seed_from_u64(4);
        for _ in 0..400 {
            step(&registry, &mut random).await;
        }
        let before = everything(&registry);
        assert!(before.len() > 20, "{before:#?}");
        registry.close().await;
        assert_eq!(register_refused(&registry).await.kind, FaultKind::Unavailable);

        let (registry, clock) = open(config(&url, &folder)).await;
        assert_eq!(everything(&registry), before);
        // Each has its whole term before it.
        let instances = registry.counts().instances;
        assert_eq!(pass(&registry, &clock, 19), 0);
        assert_eq!(pass(&registry, &clock, 1), instances);
        registry.close().await;
        let (registry, _) = open(config(&url, &folder)).await;
        assert_eq!(registry.counts().instances, 0);
        registry.close().await;
    })
    .await;
}

async fn register_refused(registry: &Registry) -> Fault {
    registry.register_service(&tenant(), service("app", "refused", "1"), BTreeMap::new(), Vec::new()).await.unwrap_err()
}

#[tokio::test]
async fn what_services_take_in_memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open(RegistryConfig { max_bytes: 64 << 10, ..config("", folder.path()) }).await;
    let large = |name: &str| Microservice {
        properties: BTreeMap::from([("key".to_owned(), "x".repeat(40 << 10))]),
        ..service("app", name, "1.0.0")
    };
    let id = registry.register_service(&tenant(), large("one"), BTreeMap::new(), Vec::new()).await.unwrap();
    let refused = registry.register_service(&tenant(), large("two"), BTreeMap::new(), Vec::new()).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::Quota);
    for number in 0.. {
        let one = instance(&id, &format!("rest://{number}"));
        if let Err(refused) = registry.register_instance(&tenant(), one, format!("i{number}")).await {
            assert_eq!((refused.kind, number > 10), (FaultKind::Quota, true), "{number}");
            break;
        }
    }
    // Whoever is there can still be changed and found, and makes room by going.
    registry.change_instance(&tenant(), &id, "i0", |i| i.status = "DOWN".to_owned()).await.unwrap();
    registry.drop_service(&tenant(), &id, true).await.unwrap();
    assert_eq!(registry.image.read().bytes, 0);
    registry.register_service(&tenant(), large("two"), BTreeMap::new(), Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_full_registry_lets_everybody_take_less_than_before() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open(RegistryConfig { max_bytes: 16 << 10, ..config("", folder.path()) }).await;
    let id = register(&registry, "one").await;
    let text = |bytes| BTreeMap::from([("key".to_owned(), "x".repeat(bytes))]);
    registry.change_service(&tenant(), &id, text(14 << 10), None).await.unwrap();
    let refused = registry.change_service(&tenant(), &id, text(17 << 10), None).await.unwrap_err();
    assert_eq!(refused.kind, FaultKind::Quota);
    registry.change_service(&tenant(), &id, text(13 << 10), None).await.unwrap();
    registry.change_service(&tenant(), &id, text(15 << 10), None).await.unwrap();
}

#[tokio::test]
async fn a_service_is_registered_with_all_its_instances_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, clock) = open(RegistryConfig { max_instances: 3, ..config("", folder.path()) }).await;
    let t = tenant();
    let with = |copies: usize| {
        let copies = (0..copies).map(|copy| (instance("", &format!("rest://{copy}")), format!("i{copy}"))).collect();
        registry.register_service(&t, service("app", "p", "1"), BTreeMap::new(), copies)
    };
    assert_eq!(with(4).await.unwrap_err().kind, FaultKind::Quota);
    assert_eq!(registry.counts(), Counts { services: 0, instances: 0 });
    let id = with(3).await.unwrap();
    assert_eq!(registry.instances(&tenant(), &id).unwrap().len(), 3);
    assert_eq!(pass(&registry, &clock, 20), 3);
}

/// Whatever the bytes that are left: a plan that is refused half way would leave the image with what no database has.
#[tokio::test]
async fn a_service_that_hardly_fits_with_its_instances_is_there_as_a_whole_or_not_at_all() {
    for max_bytes in (1_000..6_000).step_by(50) {
        let folder = tempfile::tempdir().unwrap();
        let few = RegistryConfig { max_bytes, ..config("", folder.path()) };
        let (registry, _) = open(few.clone()).await;
        let copies = (0..3).map(|copy| (instance("", &format!("rest://{copy}")), "i".repeat(30) + &copy.to_string()));
        let long = service("app", "p", &"1".repeat(9));
        let outcome = registry.register_service(&tenant(), long, BTreeMap::new(), copies.collect()).await;
        let there = if outcome.is_ok() { (1, 3) } else { (0, 0) };
        assert_eq!(tenant_counts(&registry.image.read()), there, "{max_bytes}");
        registry.close().await;
        let (registry, _) = open(few).await;
        assert_eq!(tenant_counts(&registry.image.read()), there, "{max_bytes}");
        registry.close().await;
    }
}

#[tokio::test]
async fn a_consumer_that_is_named_often_depends_on_no_more_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open(config("", folder.path())).await;
    let consumer = register(&registry, "c").await;
    let named = |from: usize, to: usize| {
        let families = (from..to).map(|n| Family::new("", "app", &format!("p{n}"))).collect::<Vec<_>>();
        (consumer.clone(), families)
    };
    let too_many = vec![named(0, 6_000), named(6_000, 12_000)];
    let refused = registry.put_dependencies(&tenant(), too_many, false).await.unwrap_err();
    assert_eq!((refused.kind, everything(&registry).len()), (FaultKind::Quota, 1));
    registry.put_dependencies(&tenant(), vec![named(0, 3), named(2, 5)], false).await.unwrap();
    assert_eq!(everything(&registry).len(), 1 + 5);
    registry.put_dependencies(&tenant(), vec![named(4, 6)], true).await.unwrap();
    assert_eq!(everything(&registry).len(), 1 + 2);
}

#[tokio::test]
async fn who_may_not_call_a_service_neither_depends_on_it_nor_is_told_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = open(config("", folder.path())).await;
    let t = tenant();
    let open_to_all = Microservice {
        properties: BTreeMap::from([("allowCrossApp".to_owned(), "true".to_owned())]),
        ..service("another", "open", "1")
    };
    let hidden = registry.register_service(&t, service("another", "hidden", "1"), BTreeMap::new(), Vec::new()).await;
    let shown = registry.register_service(&t, open_to_all, BTreeMap::new(), Vec::new()).await.unwrap();
    let (hidden, consumer, tags) = (hidden.unwrap(), register(&registry, "c").await, BTreeMap::new());
    for name in ["hidden", "open"] {
        let provider = Family::new("", "another", name);
        let find = Find { consumer: Some(&consumer), provider, rule: Rule::All, tags: &tags, revision: "" };
        registry.find(&t, find).unwrap();
    }
    let providers: Vec<_> = registry.providers(&t, &consumer).unwrap();
    assert_eq!(providers.iter().map(|it| it.service_id.as_str()).collect::<Vec<_>>(), [shown.as_str()]);

    // Who depended on it while it was open is not told of what comes after.
    let mut watcher = registry.watch(&t, &consumer).unwrap();
    start(&registry, &hidden, "unseen").await;
    start(&registry, &shown, "seen").await;
    registry.change_service(&t, &shown, BTreeMap::new(), None).await.unwrap();
    start(&registry, &shown, "unseen").await;
    registry.change_service(&t, &shown, BTreeMap::from([("allowCrossApp".into(), "true".into())]), None).await.unwrap();
    start(&registry, &shown, "seen again").await;
    let mut told = Vec::new();
    while let Ok(notice) = watcher.try_recv() {
        told.push(notice.instance.instance_id.clone());
    }
    assert_eq!(told, ["seen", "seen again"]);
    registry.drop_service(&t, &hidden, true).await.unwrap();
}

/// Something that clients do, of few services and instances, so that they meet.
async fn step(registry: &Registry, random: &mut SmallRng) {
    let t = Tenant::new("default", ["one", "two"].choose(random).unwrap());
    let name = ["a", "b", "c", "d"].choose(random).unwrap();
    let version = ["1.0", "2.0"].choose(random).unwrap();
    let id = format!("{name}-{version}");
    let copy = format!("i{}", random.random_range(0..3));
    let text = format!("{}", random.random_range(0..1_000));
    let provider = || Family::new("", "app", name);
    // Many of these are refused, which changes nothing.
    match random.random_range(0..12) {
        0..3 => {
            let new = Microservice {
                service_id: id,
                alias: if *name == "a" { "alias".to_owned() } else { String::new() },
                schemas: vec!["announced".to_owned()],
                properties: BTreeMap::from([("p\u{0}☃\"".to_owned(), text)]),
                ..service("app", name, version)
            };
            let tags = BTreeMap::from([("tag".to_owned(), "1".to_owned())]);
            drop(registry.register_service(&t, new, tags, Vec::new()).await);
        }
        3 => drop(registry.change_service(&t, &id, BTreeMap::from([("x".into(), text)]), None).await),
        4..6 => {
            let one = Instance { instance_id: copy, ..instance(&id, &text) };
            drop(registry.register_instance(&t, one, "unused".to_owned()).await);
        }
        6 => drop(registry.change_instance(&t, &id, &copy, |i| i.status = text).await),
        7 => drop(registry.drop_instance(&t, &id, &copy).await),
        8 => {
            let schema = Schema { service: id, id: copy, summary: text, text: Some("a\ntext ☃".to_owned()) };
            drop(registry.put_schema(&t, schema).await);
        }
        9 => drop(registry.drop_schema(&t, &id, &copy).await),
        10 => drop(registry.put_dependencies(&t, vec![("b-1.0".to_owned(), vec![provider()])], random.random()).await),
        _ => drop(registry.drop_service(&t, &id, random.random()).await),
    }
}

#[tokio::test]
async fn as_many_as_there_may_be_are_taken_and_not_one_more() {
    let folder = tempfile::tempdir().unwrap();
    let few =
        RegistryConfig { max_services: 1, max_instances: 1, max_schemas: 1, max_tags: 1, ..config("", folder.path()) };
    let (registry, _) = open(few).await;
    let id = register(&registry, "one").await;
    assert_eq!(register_refused(&registry).await.kind, FaultKind::Quota);
    assert_eq!(register(&registry, "one").await, id);
    start(&registry, &id, "i").await;
    let more = registry.register_instance(&tenant(), instance(&id, "e"), "j".to_owned()).await;
    assert_eq!(more.unwrap_err().kind, FaultKind::Quota);
    start(&registry, &id, "i").await;
    let schema = |name: &str| Schema { service: id.clone(), id: name.to_owned(), ..Schema::default() };
    registry.put_schema(&tenant(), schema("a")).await.unwrap();
    registry.put_schema(&tenant(), schema("a")).await.unwrap();
    assert_eq!(registry.put_schema(&tenant(), schema("b")).await.unwrap_err().kind, FaultKind::Quota);
    let two = |tags: &mut BTreeMap<String, String>| {
        tags.extend([("a".to_owned(), String::new()), ("b".to_owned(), String::new())]);
        Ok(())
    };
    assert_eq!(registry.change_tags(&tenant(), &id, two).await.unwrap_err().kind, FaultKind::Quota);
    // A service that is dropped makes room for another with all that it had.
    registry.drop_service(&tenant(), &id, true).await.unwrap();
    let id = register(&registry, "two").await;
    start(&registry, &id, "i").await;
}
