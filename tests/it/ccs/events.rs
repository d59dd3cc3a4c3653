//! `DescribeServiceEvent`.

use super::*;
use std::path::{Path, PathBuf};

const FRONTEND: &str = "Action=DescribeServiceEvent&clusterId=cls-xxxxx&serviceName=frontend";

fn with(events: &[Posted]) -> (tempfile::TempDir, Server) {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    post(&server, "cls-xxxxx", events);
    (dir, server)
}

/// The documents' example, but for its times: what was seen last some years ago is not of the last hour.
#[test]
fn the_documents_example_is_answered_field_by_field() {
    let (first, last) = (now() - 88_000, now() - 60);
    let failed = "Error syncing pod, skipping: failed to \"StartContainer\" for \"php-redis\" with ImagePullBackOff: \
                  \"Back-off pulling image \\\"gcr.io/google-samples/gb-frontend:v5\\\"\"\n";
    let retried = "Back-off pulling image \"gcr.io/google-samples/gb-frontend:v5\"";
    let event = |uid, level, reason, message: &str| Posted {
        level,
        reason,
        message: message.to_owned(),
        seen: (first, last),
        count: 6_530,
        ..Posted::new(uid)
    };
    let (_dir, server) =
        with(&[event("a", "Normal", "操作重试", retried), event("b", "Warning", "pod启动失败", failed)]);
    let seed = r#"{
    "code" : 0,
    "message":"",
    "codeDesc": "Success",
    "data":{
        "eventList": [
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
    ]
    }
}"#;
    let seed = seed.replace("2016-11-08 16:15:15", &beijing(first)).replace("2016-11-09 16:59:56", &beijing(last));
    let answer =
        ask(&server, &format!("{FRONTEND}&namespace=default&Region=gz&Nonce=1&Timestamp=1&SecretId=x&Signature=y"));
    assert_eq!(answer.json(), serde_json::from_str::<Value>(&seed).unwrap());
    data(&answer);
}

#[test]
fn both_methods_are_answered_the_same_wherever_the_parameters_are() {
    let (_dir, server) = with(&[Posted::new("a")]);
    let expected = ask(&server, FRONTEND);
    assert_eq!(told(&expected), [("Pulled".to_owned(), 1)]);
    let mut client = server.connect();
    for (query, form) in [
        ("", FRONTEND),
        (FRONTEND, ""),
        ("Action=DescribeServiceEvent", "serviceName=frontend&clusterId=cls-xxxxx&file=@/etc/passwd"),
    ] {
        assert_eq!(ask_by_form(&mut client, query, form).text(), expected.text(), "{query:?} {form:?}");
    }
    // Without a type, and with a value that needs encoding.
    let untyped = client.send("POST", PATH, &[], FRONTEND.replace("cls-xxxxx", "%63ls%2Dxxxxx").as_bytes());
    assert_eq!(untyped.text(), expected.text());
    let head = client.send("HEAD", &format!("{PATH}?{FRONTEND}"), &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
}

#[test]
fn the_last_hour_is_that_of_last_seen() {
    let event =
        |uid, reason, first: i64, last: i64| Posted { reason, seen: (now() - first, now() - last), ..Posted::new(uid) };
    let (_dir, server) = with(&[
        event("a", "JustWithin", 3_500, 3_500),
        event("b", "JustOutside", 3_700, 3_700),
        event("c", "LongSince", 40 * 86_400, 10),
        event("d", "LongOver", 40 * 86_400, 86_400),
        // A node whose clock is ahead.
        event("e", "Ahead", 100, -300),
        // One that is not of this time: else it would be told of until it is deleted.
        event("f", "FarAhead", 100, -90_000),
    ]);
    let expected = ["Ahead", "LongSince", "JustWithin"].map(|reason| (reason.to_owned(), 1));
    assert_eq!(told(&ask(&server, FRONTEND)), expected);
}

#[test]
fn one_happening_is_one_line_also_from_table_and_after_a_restart() {
    let (dir, server) = with(&[
        Posted { count: 3, seen: (now() - 900, now() - 300), ..Posted::new("a") },
        Posted { reason: "Killing", seen: (now() - 50, now() - 50), ..Posted::new("b") },
    ]);
    server.post("/admin/flush", b"");
    // A resend of one, and the same happening under another id.
    let (first, last) = (now() - 800, now() - 20);
    post(
        &server,
        "cls-xxxxx",
        &[
            Posted { count: 5, seen: (first, last), ..Posted::new("a") },
            Posted { count: 2, seen: (now() - 40, now() - 40), ..Posted::new("c") },
        ],
    );
    let expected = [("Pulled".to_owned(), 7), ("Killing".to_owned(), 1)];
    let before = ask(&server, FRONTEND);
    assert_eq!(told(&before), expected);
    let line = &data(&before)["eventList"][0];
    assert_eq!(line["lastSeen"], beijing(last));
    server.post("/admin/flush", b"");
    assert_eq!(ask(&server, FRONTEND).text(), before.text());
    server.kill();
    let server = Server::start(dir.path());
    assert_eq!(ask(&server, FRONTEND).text(), before.text());
}

#[test]
fn only_what_is_of_the_service_the_namespace_and_the_cluster_is_told() {
    let (_dir, server) = with(&[
        Posted { reason: "Here", ..Posted::new("a") },
        Posted { reason: "OtherNamespace", namespace: "kube-system", ..Posted::new("b") },
        Posted { reason: "OtherService", pod: "backend-542052039-h2yj8", ..Posted::new("c") },
    ]);
    post(&server, "cls-other", &[Posted { reason: "OtherCluster", ..Posted::new("a") }]);
    let one = |reason: &str| vec![(reason.to_owned(), 1)];
    let of = |cluster: &str, service: &str, rest: &str| {
        let query = format!("Action=DescribeServiceEvent&clusterId={cluster}&serviceName={service}{rest}");
        told(&ask(&server, &query))
    };
    assert_eq!(of("cls-xxxxx", "frontend", ""), one("Here"));
    assert_eq!(of("cls-xxxxx", "frontend", "&namespace="), one("Here"));
    assert_eq!(of("cls-xxxxx", "frontend", "&namespace=kube-system"), one("OtherNamespace"));
    assert_eq!(of("cls-xxxxx", "backend", ""), one("OtherService"));
    assert_eq!(of("cls-other", "frontend", ""), one("OtherCluster"));
    // Names compare exactly; what nobody knows has no events.
    for (service, namespace) in [("Frontend", "default"), ("absent", "default"), ("frontend", "Default")] {
        assert_eq!(of("cls-xxxxx", service, &format!("&namespace={namespace}")), []);
    }
    let empty = ask(&server, "Action=DescribeServiceEvent&clusterId=cls-xxxxx&serviceName=absent");
    assert_eq!(empty.text(), r#"{"code":0,"message":"","codeDesc":"Success","data":{"eventList":[]}}"#);
}

#[test]
fn a_cluster_that_no_event_came_from_is_not_there() {
    let (_dir, server) = with(&[Posted { seen: (now() - 86_400, now() - 86_400), ..Posted::new("a") }]);
    let unknown = |cluster: &str| {
        format!(
            "Resource not existed\nparameter clusterId: no event of the cluster {cluster:?} has come: send one that the \
             action DescribeCluster lists"
        )
    };
    for action in [
        "DescribeServiceEvent&serviceName=frontend",
        "DescribeServiceInstance&serviceName=frontend",
        "DescribeClusterService",
        "DescribeClusterNameSpaces",
    ] {
        let answer = ask(&server, &format!("Action={action}&clusterId=cls-nowhere"));
        assert_refused(&answer, 5000, "ResourceNotFound", &unknown("cls-nowhere"));
    }
    let long = ask(&server, &format!("Action=DescribeClusterService&clusterId={}", "x".repeat(2_000)));
    assert_refused(&long, 5000, "ResourceNotFound", &unknown(&"x".repeat(128)));
    // One whose events are older than an hour is.
    assert_eq!(told(&ask(&server, FRONTEND)), []);
}

#[test]
fn times_are_told_in_the_zone_of_the_setting() {
    for (setting, utc_offset) in [("Z", 0), ("-03:30", -12_600)] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), &[&format!("--ccs-utc-offset={setting}")]);
        let event = Posted { seen: (now() - 86_400, now() - 60), ..Posted::new("a") };
        post(&server, "cls-xxxxx", std::slice::from_ref(&event));
        let line = data(&ask(&server, FRONTEND))["eventList"][0].take();
        let expected = (local(event.seen.0, utc_offset), local(event.seen.1, utc_offset));
        let told = (line["firstSeen"].as_str().unwrap(), line["lastSeen"].as_str().unwrap());
        assert_eq!(told, (expected.0.as_str(), expected.1.as_str()), "{setting}");
    }
}

#[test]
fn projects_that_are_isolated_see_their_own_events() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(dir.path(), &["--projects", "isolated"]);
    post_for(&server, &[("x-scope-orgid", "a")], "cls-xxxxx", &[Posted { reason: "OfA", ..Posted::new("u") }]);
    post(&server, "cls-xxxxx", &[Posted { reason: "OfDefault", ..Posted::new("u") }]);
    let mut client = server.connect();
    let mut of = |headers: &[(&str, &str)]| client.send("GET", &format!("{PATH}?{FRONTEND}"), headers, b"");
    assert_eq!(told(&of(&[("x-scope-orgid", "a")])), [("OfA".to_owned(), 1)]);
    assert_eq!(told(&of(&[])), [("OfDefault".to_owned(), 1)]);
    let unknown = of(&[("x-scope-orgid", "b")]);
    assert_eq!(unknown.json()["code"], 5000);
    assert_refused(
        &of(&[("x-scope-orgid", "no id")]),
        4000,
        "InvalidParameter",
        "(10000) invalid request parameters\nX-Scope-OrgID is invalid\nheader X-Scope-OrgID: send 1 to 64 letters, \
         digits, _ or -, or leave it out",
    );
}

#[test]
fn a_list_that_is_cut_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let uids: Vec<&'static str> = (0..1_001).map(|n| &*format!("u{n}").leak()).collect();
    let events: Vec<Posted> =
        uids.iter().map(|uid| Posted { message: format!("message {uid}"), ..Posted::new(uid) }).collect();
    post(&server, "cls-xxxxx", &events);
    let answer = ask(&server, FRONTEND).json();
    assert_eq!(answer["data"]["eventList"].as_array().unwrap().len(), 1_000);
    assert_eq!((&answer["code"], &answer["message"]), (&json!(0), &json!("the newest 1000 of 1001 are told")));
}

#[test]
fn an_answer_ends_at_eight_mebibytes_however_long_the_messages_are() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let uids: Vec<&'static str> = (0..60).map(|n| &*format!("u{n}").leak()).collect();
    // Control characters, of which each takes six bytes as JSON, here and in the answer.
    let message = |uid: &str| format!("{uid}{}", "\u{1}".repeat(60_000));
    for uids in uids.chunks(20) {
        let events: Vec<Posted> = uids.iter().map(|uid| Posted { message: message(uid), ..Posted::new(uid) }).collect();
        post(&server, "cls-xxxxx", &events);
    }
    let answer = ask(&server, FRONTEND);
    assert!((8 << 20..9 << 20).contains(&answer.body.len()), "{}", answer.body.len());
    let whole = answer.json();
    assert_eq!(whole["data"]["eventList"].as_array().unwrap().len(), 24);
    assert_eq!((&whole["code"], &whole["message"]), (&json!(0), &json!("the newest 24 of 60 are told")));
}

/// The data files of the table of events.
fn data_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(data_files(&path));
        } else if path.extension().is_some_and(|kind| kind == "parquet") {
            files.push(path);
        }
    }
    files
}

#[test]
fn a_file_that_cannot_be_read_is_named_beside_what_can_be() {
    let (dir, server) = with(&[Posted::new("a")]);
    server.post("/admin/flush", b"");
    server.stop();
    let files = data_files(&dir.path().join("tables/events"));
    let [file] = &files[..] else { panic!("{files:?}") };
    let mut bytes = std::fs::read(file).unwrap();
    bytes[4..64].fill(0xff);
    std::fs::write(file, bytes).unwrap();

    let server = Server::start(dir.path());
    let missing = "1 file could not be read: what it tells is missing";
    let told = |query: &str| {
        let answer = ask(&server, query);
        let named = answer.header("spanlake-incomplete").unwrap_or_else(|| panic!("{answer:?}"));
        assert!(file.ends_with(named), "{named}");
        let mut whole = answer.json();
        assert_eq!((&whole["code"], &whole["message"]), (&json!(0), &json!(missing)), "{query}");
        whole["data"].take()
    };
    let pods = "Action=DescribeServiceInstance&clusterId=cls-xxxxx&serviceName=frontend";
    let services = "Action=DescribeClusterService&clusterId=cls-xxxxx";
    let namespaces = "Action=DescribeClusterNameSpaces&clusterId=cls-xxxxx";
    let clusters = "Action=DescribeCluster";
    // Not that there is no such cluster: it may be in the file.
    assert_eq!(told(FRONTEND), json!({ "eventList": [] }));
    assert_eq!(told(pods), json!({ "totalCount": 0, "instances": [] }));
    assert_eq!(told(services), json!({ "services": [] }));
    assert_eq!(told(namespaces), json!({ "totalCount": 0, "namespaces": [] }));
    assert_eq!(told(clusters), json!({ "totalCount": 0, "clusters": [] }));
    // What else there is is told.
    post(&server, "cls-xxxxx", &[Posted { reason: "Killing", ..Posted::new("b") }]);
    let events = told(FRONTEND);
    let reasons: Vec<&Value> = events["eventList"].as_array().unwrap().iter().map(|line| &line["reason"]).collect();
    assert_eq!(reasons, ["Killing"]);
    assert_eq!(told(pods)["instances"][0]["name"], "frontend-542052039-h2yj8");
    assert_eq!(told(services)["services"][0]["serviceName"], "frontend");
    assert_eq!(told(namespaces)["namespaces"][0]["name"], "default");
    assert_eq!(told(clusters)["clusters"][0]["clusterId"], "cls-xxxxx");
}

#[test]
fn a_file_that_is_gone_denies_no_cluster_that_only_it_told_of() {
    // Of another day: no question for the last hour reads it.
    let (dir, server) = with(&[Posted { seen: (now() - 3 * 86_400, now() - 3 * 86_400), ..Posted::new("a") }]);
    server.post("/admin/flush", b"");
    server.stop();
    let files = data_files(&dir.path().join("tables/events"));
    let [file] = &files[..] else { panic!("{files:?}") };
    std::fs::remove_file(file).unwrap();
    let server = Server::start(dir.path());
    for action in [
        "DescribeServiceEvent&serviceName=frontend",
        "DescribeServiceInstance&serviceName=frontend",
        "DescribeClusterService",
        "DescribeClusterNameSpaces",
    ] {
        let answer = ask(&server, &format!("Action={action}&clusterId=cls-xxxxx"));
        assert_eq!(answer.json()["code"], 0, "{action}: {answer:?}");
        let named = answer.header("spanlake-incomplete").unwrap_or_else(|| panic!("{action}: {answer:?}"));
        assert!(file.ends_with(named), "{action}: {named}");
    }
}
