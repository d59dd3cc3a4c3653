//! Groups, applications, instances and transactions.

use super::{Asked, answers, everywhere, get, misses, place, served, tagged};
use crate::zipkin::{bare, with};
use serde_json::{Value, json};

const OK: &str = "SVCSTG.ATS.2000";
const APPLICATIONS: &str = "/v1/0/ats/applications";

/// Three-part names of one agent, in three groups, and composed ones of another.
fn fill(asked: &Asked) {
    let at = (0, 1);
    let named = [
        served("a", "1", "shop:shop-1:/buy/{id}", at),
        served("a", "2", "Shop:shop-2:GET_/rest/healthz/*", at),
        served("b", "1", "till:till-1:/pay", at),
        served("b", "2", "plain", at),
    ];
    place(asked, &[("namespace", "manage"), ("clusterId", "c1")], &named);
    let own = [
        tagged(served("c", "1", "shop:shop-3:/buy/{id}", at), &[("monitorGroup", "own")]),
        served("c", "2", "stock:stock-1:/", at),
    ];
    place(asked, &[], &own);
    let composed = |id: &str, fields: Value| with(bare("d", id), fields);
    asked.place(&[
        composed(
            "1",
            json!({ "name": "get /item", "localEndpoint": { "serviceName": "web", "ipv4": "10.0.0.9", "port": 8080 },
                    "tags": { "http.route": "/item/{id}" } }),
        ),
        composed(
            "2",
            json!({ "name": "get /list", "localEndpoint": { "serviceName": "web", "ipv4": "10.0.0.9", "port": 8080 },
                    "tags": { "k8s.pod.name": "web-0", "monitorGroup": "own" } }),
        ),
    ]);
}

#[track_caller]
fn lists(asked: &Asked, path: &str, wanted: &[&str]) {
    answers(asked, path, OK, &json!(wanted));
}

#[test]
fn the_groups_are_tags_and_namespaces_and_the_default() {
    everywhere(&[], &[], |asked| {
        answers(asked, "/v1/0/atps/monitorgroups", "SVCSTG.ATPS.2000", &json!([]));
        fill(asked);
        let groups = json!(["default", "manage", "own"]);
        answers(asked, "/v1/0/atps/monitorgroups", "SVCSTG.ATPS.2000", &groups);
    });
}

#[test]
fn applications_are_those_of_a_group_or_of_all() {
    everywhere(&[], &[], |asked| {
        misses(asked, APPLICATIONS, "query application result is empty.");
        fill(asked);
        lists(asked, APPLICATIONS, &["Shop", "shop", "stock", "svc", "till", "web"]);
        for (group, wanted) in [
            ("manage", &["Shop", "shop", "svc", "till"][..]),
            ("own", &["shop", "web"]),
            ("default", &["stock", "web"]),
        ] {
            lists(asked, &format!("{APPLICATIONS}?monitorGroup={group}"), wanted);
            lists(asked, &format!("{APPLICATIONS}?monitorGoup={group}"), wanted);
        }
        for nobody in ["Own", "none"] {
            misses(asked, &format!("{APPLICATIONS}?monitorGroup={nobody}"), "query application result is empty.");
        }
    });
}

#[test]
fn instances_and_transactions_are_those_of_an_application_in_either_case() {
    everywhere(&[], &[], |asked| {
        fill(asked);
        let of = |application: &str, what: &str, group: &str| {
            let group = if group.is_empty() { String::new() } else { format!("?monitorGroup={group}") };
            format!("{APPLICATIONS}/{application}/{what}{group}")
        };
        for (application, group, instances, transactions) in [
            ("shop", "", &["shop-1", "shop-2", "shop-3"][..], &["/buy/{id}", "GET_/rest/healthz/*"][..]),
            ("SHOP", "manage", &["shop-1", "shop-2"], &["/buy/{id}", "GET_/rest/healthz/*"]),
            ("shop", "own", &["shop-3"], &["/buy/{id}"]),
            ("till", "", &["till-1"], &["/pay"]),
            ("svc", "", &["10.0.0.1:80"], &["plain"]),
            ("web", "", &["10.0.0.9:8080", "web-0"], &["/item/{id}", "get /list"]),
            ("w%65b", "own", &["web-0"], &["get /list"]),
            ("web", "default", &["10.0.0.9:8080"], &["/item/{id}"]),
        ] {
            lists(asked, &of(application, "instances", group), instances);
            lists(asked, &of(application, "transactions", group), transactions);
        }
        for (application, group) in [("shop", "default"), ("nobody", ""), ("sho", "")] {
            misses(asked, &of(application, "instances", group), "query instance result is empty.");
            misses(asked, &of(application, "transactions", group), "query transaction result is empty.");
        }
    });
}

/// Its first row has the tags of the span; the other one would tell of another group.
#[test]
fn both_sides_of_one_posted_span_are_listed_once() {
    let moment = |value: &str, service: &str| {
        let endpoint = json!({ "serviceName": service, "ipv4": "10.0.0.1" });
        json!({ "timestamp": 1, "value": value, "endpoint": endpoint })
    };
    let both = |id: &str, name: &str| {
        let annotations = json!([moment("cs", "front"), moment("sr", "back")]);
        tagged(
            json!({ "traceId": "a", "id": id, "name": name, "annotations": annotations }),
            &[("monitorGroup", "own")],
        )
    };
    everywhere(&[], &[], |asked| {
        place(asked, &[], &[both("1", "shop:i:/buy")]);
        answers(asked, "/v1/0/atps/monitorgroups", "SVCSTG.ATPS.2000", &json!(["own"]));
        lists(asked, APPLICATIONS, &["shop"]);
        // Of a name in no parts each side speaks for itself.
        place(asked, &[], &[both("2", "get")]);
        lists(asked, &format!("{APPLICATIONS}?monitorGroup=own"), &["front", "shop"]);
        lists(asked, &format!("{APPLICATIONS}?monitorGroup=default"), &["back"]);
    });
}

#[test]
fn names_that_come_late_are_in_the_next_list() {
    everywhere(&[], &[], |asked| {
        place(asked, &[], &[served("a", "1", "a:i:/t", (0, 1))]);
        lists(asked, APPLICATIONS, &["a"]);
        place(asked, &[], &[served("b", "1", "b:i:/t", (0, 1)), served("c", "1", "a:j:/t", (0, 1))]);
        lists(asked, APPLICATIONS, &["a", "b"]);
        lists(asked, &format!("{APPLICATIONS}/a/instances"), &["i", "j"]);
    });
}

#[test]
fn projects_see_their_own_names() {
    everywhere(&["--projects", "isolated"], &[], |asked| {
        place(asked, &[], &[served("a", "1", "a:i:/t", (0, 1))]);
        lists(asked, APPLICATIONS, &["a"]);
        misses(asked, "/v1/1/ats/applications", "query application result is empty.");
        answers(asked, "/v1/1/atps/monitorgroups", "SVCSTG.ATPS.2000", &json!([]));
        misses(asked, "/v1/1/ats/applications/a/instances", "query instance result is empty.");
    });
}

#[test]
fn what_is_wrong_with_a_question_for_names_is_told() {
    everywhere(&[], &[], |asked| {
        let project = "projectId in url is invalid.\n\
                       path: send 1 to 64 letters, digits, _ or - between /v1/ and the next /";
        let application = "application in url is invalid.\n\
                           path: send the application's name, up to 4096 bytes, between /applications/ and the next /";
        let group = "monitorGroup in url is given more than once.\nquery parameter monitorGroup: send it once";
        let cluster = "clusterId in header is invalid.\nheader clusterId: send up to 256 bytes of UTF-8";
        let long = "x".repeat(257);
        let long = [("clusterId", long.as_str())];
        for (path, headers, message) in [
            ("/v1/a.b/atps/monitorgroups", &[][..], project),
            ("/v1/a.b/ats/applications", &[], project),
            ("/v1/%ff/ats/applications/a/instances", &[], project),
            ("/v1/a.b/ats/applications/a/transactions", &[], project),
            ("/v1/0/ats/applications/%20/instances", &[], application),
            ("/v1/0/ats/applications/%ff/transactions", &[], application),
            ("/v1/0/ats/applications?monitorGroup=a&monitorGroup=b", &[], group),
            ("/v1/0/ats/applications/a/instances?monitorGroup=a&monitorGoup=b", &[], group),
            ("/v1/0/ats/applications", &long, cluster),
            ("/v1/0/atps/monitorgroups", &long, cluster),
        ] {
            let answer = get(asked, path, headers);
            let whole = json!({ "errorCode": "SVCSTG.ATS.400101", "errorMessage": message, "responseInfo": null });
            assert_eq!((answer.status, answer.json()), (400, whole), "{path}");
        }
    });
}

#[test]
fn a_list_of_nothing_is_a_400_if_the_setting_says_so_but_for_groups() {
    everywhere(&["--ats-miss-is-error"], &[], |asked| {
        for path in ["", "/a/instances", "/a/transactions"] {
            let answer = get(asked, &format!("{APPLICATIONS}{path}"), &[]);
            assert_eq!((answer.status, &answer.json()["errorCode"]), (400, &json!("SVCSTG.ATS.200103")), "{path}");
        }
        assert_eq!(get(asked, "/v1/0/atps/monitorgroups", &[]).status, 200);
    });
}
