//! What is asked, and how answers are written.

use super::*;
use crate::model::event::{Object, Source};
use axum::http::{HeaderMap, Method};
use serde_json::{Value, json};

const BEIJING: i32 = 8 * 3_600;
const SECOND: i64 = 1_000_000;

/// Microseconds since 1970 UTC of a time in Beijing.
fn at(text: &str) -> i64 {
    DateTime::parse_from_str(&format!("{text} +0800"), "%Y-%m-%d %H:%M:%S %z").unwrap().timestamp_micros()
}

fn event(uid: &str, level: &'static str, reason: &'static str, message: &'static str) -> Event<'static> {
    Event {
        cluster: "cls-xxxxx".into(),
        namespace: "default".into(),
        uid: uid.to_owned().into(),
        name: "".into(),
        object: Object {
            kind: "Pod".into(),
            name: "frontend-542052039-h2yj8".into(),
            namespace: "default".into(),
            ..Object::default()
        },
        level: level.into(),
        reason: reason.into(),
        message: message.into(),
        action: "".into(),
        source: Source::default(),
        first_seen: at("2016-11-08 16:15:15"),
        last_seen: at("2016-11-09 16:59:56"),
        count: 6_530,
        labels: Vec::new(),
        owners: Vec::new(),
    }
}

fn read(query: &str) -> Result<Action, Rejection> {
    Action::read(&Parameters::read(&Method::GET, query, &HeaderMap::new(), b"").unwrap())
}

#[track_caller]
fn refused(query: &str) -> String {
    read(query).unwrap_err().message().to_owned()
}

fn place(cluster: &str, namespace: Option<&str>) -> Place {
    Place { cluster: cluster.to_owned(), namespace: namespace.map(str::to_owned) }
}

const FIRST: Page = Page { offset: 0, limit: 20 };

#[test]
fn the_documents_example_is_written_field_by_field() {
    let failed = "Error syncing pod, skipping: failed to \"StartContainer\" for \"php-redis\" with ImagePullBackOff: \
                  \"Back-off pulling image \\\"gcr.io/google-samples/gb-frontend:v5\\\"\"\n";
    let retried = "Back-off pulling image \"gcr.io/google-samples/gb-frontend:v5\"";
    let events = [event("a", "Normal", "操作重试", retried), event("b", "Warning", "pod启动失败", failed)];
    let (list, message) = event_list(&events, BEIJING);
    let expected = r#"{"eventList":[
        {
        "firstSeen": "2016-11-08 16:15:15",
        "lastSeen": "2016-11-09 16:59:56",
        "count": 6530,
        "level": "Warning",
        "objType": "Pod",
        "objName": "frontend-542052039-h2yj8",
        "reason": "pod启动失败",
        "message": "Error syncing pod, skipping: failed to \"StartContainer\" for \"php-redis\" with ImagePullBackOff: \"Back-off pulling image \\\"gcr.io/google-samples/gb-frontend:v5\\\"\"\n"
       },
       {
        "firstSeen": "2016-11-08 16:15:15",
        "lastSeen": "2016-11-09 16:59:56",
        "count": 6530,
        "level": "Normal",
        "objType": "Pod",
        "objName": "frontend-542052039-h2yj8",
        "reason": "操作重试",
        "message": "Back-off pulling image \"gcr.io/google-samples/gb-frontend:v5\""
       }
    ]}"#;
    assert_eq!(serde_json::to_value(&list).unwrap(), serde_json::from_str::<Value>(expected).unwrap());
    assert_eq!(message, "");
    // In this order, too.
    let text = serde_json::to_string(&list.event_list[1]).unwrap();
    let places: Vec<usize> = ["firstSeen", "lastSeen", "count", "level", "objType", "objName", "reason", "message"]
        .map(|name| text.find(&format!("\"{name}\":")).unwrap())
        .to_vec();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn one_happening_is_one_line_and_the_last_seen_comes_first() {
    let later = Event { last_seen: at("2016-11-09 17:00:00"), count: 1, ..event("a", "Normal", "Pulled", "m") };
    let again = Event { first_seen: at("2016-11-01 00:00:00"), count: 2, ..event("b", "Normal", "Pulled", "m") };
    let other = event("c", "Warning", "BackOff", "m");
    let events = [other, again, later];
    let (list, _) = event_list(&events, 0);
    let lines: Vec<_> = list
        .event_list
        .iter()
        .map(|line| (line.reason, line.first_seen.as_str(), line.last_seen.as_str(), line.count))
        .collect();
    assert_eq!(
        lines,
        [
            ("Pulled", "2016-10-31 16:00:00", "2016-11-09 09:00:00", 3),
            ("BackOff", "2016-11-08 08:15:15", "2016-11-09 08:59:56", 6_530),
        ]
    );
}

#[test]
fn a_list_that_is_cut_says_so() {
    let reasons: Vec<String> = (0..1_001).map(|n| format!("R{n:04}")).collect();
    let events: Vec<Event<'_>> = reasons
        .iter()
        .zip(0..)
        .map(|(reason, n)| {
            let first = event(reason, "Normal", "", "");
            Event { reason: reason.into(), last_seen: first.last_seen + n * SECOND, ..first }
        })
        .collect();
    let (list, message) = event_list(&events, BEIJING);
    let told = (list.event_list.len(), list.event_list[0].reason, list.event_list[999].reason);
    assert_eq!((told, message.as_str()), ((1_000, "R1000", "R0001"), "the newest 1000 of 1001 are told"));
    let (list, message) = event_list(&events[1..], BEIJING);
    assert_eq!((list.event_list.len(), message.as_str()), (1_000, ""));
}

#[test]
fn a_list_ends_when_it_is_long_enough_as_it_is_written() {
    // 64 KiB each in memory, six times as long as JSON.
    let message = "\u{1}".repeat(64 << 10);
    let uids: Vec<String> = (0..100).map(|n| format!("{n:02}")).collect();
    let events: Vec<Event<'_>> = uids
        .iter()
        .zip(0..)
        .map(|(uid, n)| {
            let first = event(uid, "Normal", "", "");
            Event {
                reason: uid.into(),
                message: message.as_str().into(),
                last_seen: first.last_seen + n * SECOND,
                ..first
            }
        })
        .collect();
    let (list, message) = event_list(&events, BEIJING);
    let reasons: Vec<&str> = list.event_list.iter().map(|line| line.reason).collect();
    let newest: Vec<&str> = uids.iter().rev().take(22).map(String::as_str).collect();
    assert_eq!((reasons, message.as_str()), (newest, "the newest 22 of 100 are told"));
    let length = serde_json::to_string(&list).unwrap().len();
    assert!((MOST_BYTES..MOST_BYTES + (400 << 10)).contains(&length), "{length}");
    let (list, message) = event_list(&events[..22], BEIJING);
    assert_eq!((list.event_list.len(), message.as_str()), (22, ""));
}

#[test]
fn lists_of_long_names_end_too_pages_among_them() {
    // Three times as long as there is room for.
    let long = "\u{1}".repeat(4_000);
    let all: Vec<KnownService> =
        (0..1_000).map(|n| known(&format!("{n:04}{long}"), &format!("{n:04}"), None)).collect();
    let (list, message) = clusters(&all, &BTreeSet::new(), None, Page { offset: 2, limit: 900 });
    let told = list.clusters.len();
    assert_eq!((list.total_count, &list.clusters[0].cluster_id[..4]), (1_000, "0002"));
    assert_eq!(message, format!("of the page the first {told} of 900 are told"));
    let (_, message) = clusters(&all, &BTreeSet::new(), None, Page { offset: 900, limit: 1_000 });
    assert_eq!(message, "");
    let length = serde_json::to_string(&list).unwrap().len();
    assert!((MOST_BYTES..MOST_BYTES + (50 << 10)).contains(&length), "{length}");
}

#[test]
fn damage_is_told_in_the_message_beside_what_is_cut() {
    let told = |message: &str, damaged: &[&str]| {
        let damaged = damaged.iter().map(|file| (*file).to_owned()).collect();
        match Outcome::told(&(), message.to_owned(), damaged).unwrap() {
            Outcome::Told { message, .. } => message,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told("", &[]), "");
    assert_eq!(told("the first 1 of 2 are told", &[]), "the first 1 of 2 are told");
    assert_eq!(told("", &["a"]), "1 file could not be read: what it tells is missing");
    assert_eq!(
        told("the first 1 of 2 are told", &["a", "b"]),
        "the first 1 of 2 are told; 2 files could not be read: what they tell is missing"
    );
}

#[test]
fn times_are_told_in_the_zone_of_the_setting() {
    let micros = at("2016-11-09 16:59:56") + 999_999;
    for (utc_offset, expected) in [
        (BEIJING, "2016-11-09 16:59:56"),
        (0, "2016-11-09 08:59:56"),
        (-12_600, "2016-11-09 05:29:56"),
        (86_340, "2016-11-10 08:58:56"),
    ] {
        assert_eq!(local(micros, utc_offset), expected);
    }
    assert_eq!((local(-1, 0).as_str(), local(0, -60).as_str()), ("1969-12-31 23:59:59", "1969-12-31 23:59:00"));
    assert_eq!((local(i64::MAX, 0), local(i64::MIN, 0)), (String::new(), String::new()));
}

#[test]
fn actions_are_read_with_what_they_need() {
    let service = "clusterId=c&serviceName=s";
    for (query, action) in [
        (
            format!("Action=DescribeServiceEvent&{service}&Region=gz&offset=x"),
            Action::Events { place: place("c", Some("default")), service: "s".to_owned() },
        ),
        (
            format!("Action=DescribeServiceEvent&{service}&namespace=n"),
            Action::Events { place: place("c", Some("n")), service: "s".to_owned() },
        ),
        (
            format!("Action=DescribeServiceInstance&{service}&namespace=&offset=40&limit=1000"),
            Action::Instances {
                place: place("c", Some("default")),
                service: "s".to_owned(),
                page: Page { offset: 40, limit: 1_000 },
            },
        ),
        ("Action=DescribeClusterService&clusterId=c".to_owned(), Action::Services(place("c", Some("default")))),
        (
            "Action=DescribeClusterService&clusterId=c&namespace=n&allnamespace=0".to_owned(),
            Action::Services(place("c", Some("n"))),
        ),
        (
            "Action=DescribeClusterService&clusterId=c&namespace=n&allnamespace=1".to_owned(),
            Action::Services(place("c", None)),
        ),
        ("Action=DescribeClusterNameSpaces&clusterId=c".to_owned(), Action::NameSpaces { cluster: "c".to_owned() }),
        ("Action=DescribeCluster".to_owned(), Action::Clusters { ids: BTreeSet::new(), name: None, page: FIRST }),
        (
            "Action=DescribeCluster&clusterIds.0=b&clusterIds.1=a&clusterName=a&limit=1".to_owned(),
            Action::Clusters {
                ids: BTreeSet::from(["a".to_owned(), "b".to_owned()]),
                name: Some("a".to_owned()),
                page: Page { offset: 0, limit: 1 },
            },
        ),
    ] {
        assert_eq!(read(&query).unwrap(), action, "{query}");
    }
}

#[test]
fn what_is_missing_or_wrong_is_named_with_what_to_send() {
    let all = "DescribeServiceEvent, DescribeServiceInstance, DescribeClusterService, DescribeClusterNameSpaces or \
               DescribeCluster";
    let missing =
        |name: &str, send: &str| format!("(10010) lacked of required parameters\nparameter {name}: send {send}");
    let no_cluster = missing("clusterId", "the id of a cluster; the action DescribeCluster lists them");
    let no_service = missing("serviceName", "the name of a service; the action DescribeClusterService lists them");
    let unknown =
        |name: &str| format!("(10280) action is not existed\nparameter Action: {name:?} is not known: send {all}");
    let range = |name: &str, least: usize, most: usize| {
        format!(
            "(10350) parameter value or length is out of range\nparameter {name}: send a whole number from {least} to \
             {most}"
        )
    };
    let long = "x".repeat(200);
    for (query, message) in [
        ("", missing("Action", all)),
        ("Action=&action=DescribeCluster", missing("Action", all)),
        ("Action=describeServiceEvent", unknown("describeServiceEvent")),
        (&format!("Action={long}"), unknown(&long[..128])),
        ("Action=DescribeServiceEvent&serviceName=s", no_cluster.clone()),
        ("Action=DescribeServiceEvent&clusterId=&serviceName=s", no_cluster.clone()),
        ("Action=DescribeServiceEvent&clusterid=c&serviceName=s", no_cluster.clone()),
        ("Action=DescribeServiceEvent&clusterId=c", no_service.clone()),
        ("Action=DescribeServiceInstance&clusterId=c&serviceName=", no_service),
        ("Action=DescribeClusterService", no_cluster.clone()),
        ("Action=DescribeClusterNameSpaces", no_cluster),
        ("Action=DescribeClusterService&clusterId=c&allnamespace=2", range("allnamespace", 0, 1)),
        ("Action=DescribeCluster&limit=0", range("limit", 1, 1_000)),
        ("Action=DescribeCluster&offset=10000001", range("offset", 0, 10_000_000)),
        (
            "Action=DescribeServiceInstance&clusterId=c&serviceName=s&limit=-1",
            "(10360) parameter error type\nparameter limit: send a whole number".to_owned(),
        ),
    ] {
        assert_eq!(refused(query), message, "{query}");
    }
}

fn known(cluster: &str, namespace: &str, service: Option<&str>) -> KnownService {
    KnownService {
        cluster: cluster.to_owned(),
        namespace: namespace.to_owned(),
        service: service.map(str::to_owned),
        seen: (0, 1),
    }
}

#[test]
fn services_are_told_by_name_and_what_events_do_not_tell_is_empty() {
    let all = [
        known("c", "other", Some("web")),
        known("c", "default", None),
        known("c", "default", Some("web")),
        known("c", "default", Some("db")),
    ];
    let empty = |namespace: &str, name: &str| {
        json!({
            "serviceName": name, "status": "", "reasonMap": {}, "createdAt": "", "currentReplicas": null,
            "desiredReplicas": null, "lbId": "", "lbStatus": "", "externalIp": "", "namespace": namespace,
        })
    };
    let (of_one, _) = services(&all, Some("default"));
    let expected = json!({ "services": [empty("default", "db"), empty("default", "web")] });
    assert_eq!(serde_json::to_value(of_one).unwrap(), expected);
    let (of_all, message) = services(&all, None);
    let expected = json!({ "services": [empty("default", "db"), empty("default", "web"), empty("other", "web")] });
    assert_eq!((serde_json::to_value(of_all).unwrap(), message.as_str()), (expected, ""));
    let (of_none, _) = services(&all, Some("absent"));
    assert_eq!(serde_json::to_value(of_none).unwrap(), json!({ "services": [] }));
}

#[test]
fn lists_without_pages_are_cut_and_say_so() {
    let all: Vec<KnownService> = (0..10_001).map(|n| known("c", &format!("n{n:05}"), Some("s"))).collect();
    let (list, message) = services(&all, None);
    assert_eq!((list.services.len(), list.services[9_999].namespace), (10_000, "n09999"));
    assert_eq!(message, "the first 10000 of 10001 are told");
    let (list, message) = namespaces(&all);
    assert_eq!((list.namespaces.len(), list.total_count), (10_000, 10_001));
    assert_eq!(message, "the first 10000 of 10001 are told");
}

#[test]
fn namespaces_are_told_once_each_also_those_without_services() {
    let all = [known("c", "b", Some("s")), known("c", "a", None), known("c", "b", Some("t"))];
    let empty = |name: &str| json!({ "name": name, "status": "", "description": "", "createdAt": "" });
    let expected = json!({ "totalCount": 2, "namespaces": [empty("a"), empty("b")] });
    assert_eq!(serde_json::to_value(namespaces(&all).0).unwrap(), expected);
}

#[test]
fn clusters_are_told_by_pages_and_by_conditions() {
    let all = [known("b", "n", None), known("a", "n", Some("s")), known("c", "n", None), known("b", "m", Some("s"))];
    let told = |ids: &[&str], name: Option<&str>, offset: usize, limit: usize| {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let (list, message) = clusters(&all, &ids, name, Page { offset, limit });
        assert_eq!(message, "");
        (list.total_count, list.clusters.iter().map(|cluster| cluster.cluster_id).collect::<Vec<_>>())
    };
    assert_eq!(told(&[], None, 0, 20), (3, vec!["a", "b", "c"]));
    assert_eq!(told(&[], None, 1, 1), (3, vec!["b"]));
    assert_eq!(told(&[], None, 3, 1), (3, vec![]));
    assert_eq!(told(&["c", "a", "x"], None, 0, 20), (2, vec!["a", "c"]));
    assert_eq!(told(&["c", "a"], Some("c"), 0, 20), (1, vec!["c"]));
    assert_eq!(told(&[], Some("C"), 0, 20), (0, vec![]));
    let one = serde_json::to_value(clusters(&all, &BTreeSet::new(), Some("a"), FIRST).0).unwrap();
    let expected = json!({ "totalCount": 1, "clusters": [{
        "clusterId": "a", "clusterName": "a", "description": "", "status": "", "unVpcId": "", "vpcId": null,
        "clusterCIDR": "", "createdAt": "", "updatedAt": "", "nodeStatus": "", "nodeNum": null, "os": "",
        "totalCpu": null, "totalMem": null, "regionId": null, "k8sVersion": "", "clusterExternalEndpoint": "",
    }] });
    assert_eq!(one, expected);
}

#[test]
fn a_pod_is_told_with_its_node_and_with_what_its_newest_event_warns_of() {
    let of = |kind: &'static str, name: &'static str, level: &'static str, reason: &'static str| {
        let event = event("u", level, reason, "");
        let object = Object { kind: kind.into(), name: name.into(), ..Object::default() };
        ServiceEvent { service: None, event: Event { object, ..event } }
    };
    let seen_by = |found: ServiceEvent<'static>, component: &'static str, host: &'static str| {
        let source = Source { component: component.into(), host: host.into(), ..Source::default() };
        ServiceEvent { event: Event { source, ..found.event }, ..found }
    };
    // The newest first.
    let events = [
        seen_by(of("Pod", "web-1", "Warning", "BackOff"), "kubelet", "node-b"),
        seen_by(of("Pod", "web-0", "Normal", "Killing"), "scheduler", "node-x"),
        seen_by(of("Pod", "web-1", "Warning", "Failed"), "kubelet", "node-a"),
        // Of the newer API group.
        ServiceEvent {
            event: Event {
                source: Source { component: "kubelet".into(), instance: "node-a".into(), ..Source::default() },
                ..of("Pod", "web-0", "Warning", "Failed").event
            },
            service: None,
        },
        of("ReplicaSet", "web", "Warning", "FailedCreate"),
        of("Pod", "", "Warning", "Failed"),
    ];
    let pod = |name: &str, reason: &str, node: &str| {
        json!({
            "name": name, "status": "", "reason": reason, "nodeIp": "", "nodeName": node, "ip": "",
            "restartCount": null, "readyCount": null, "createdAt": "", "containers": [],
        })
    };
    let expected =
        json!({ "totalCount": 2, "instances": [pod("web-0", "", "node-a"), pod("web-1", "BackOff", "node-b")] });
    assert_eq!(serde_json::to_value(instances(&events, FIRST).0).unwrap(), expected);
    let second = serde_json::to_value(instances(&events, Page { offset: 1, limit: 1 }).0).unwrap();
    assert_eq!(second, json!({ "totalCount": 2, "instances": [pod("web-1", "BackOff", "node-b")] }));
}
