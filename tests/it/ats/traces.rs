//! The search for an application's traces.

use super::{Asked, WINDOW, answers, everywhere, get, micros, misses, place, served, tagged};
use crate::zipkin::{Placement, TODAY, bare, with};
use serde_json::{Value, json};

/// The path of a search, with the window where it has none.
fn path(query: &str) -> String {
    let mut path = format!("/v1/0/ats/traces?{query}");
    for (name, default) in [("startTime", TODAY), ("endTime", TODAY + WINDOW)] {
        if !query.split('&').any(|pair| pair.starts_with(&format!("{name}="))) {
            path.push_str(&format!("&{name}={default}"));
        }
    }
    path
}

/// Each entry as its trace's id without leading zeros, and its start in milliseconds after [`TODAY`].
fn entries(info: &Value) -> Vec<(String, i64)> {
    let chains = info["traceChains"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!(info["count"].as_u64().unwrap_or_default(), chains.len() as u64);
    let entry = |chain: &Value| {
        let id = chain["traceId"].as_str().unwrap().trim_start_matches('0').to_owned();
        (id, chain["startTime"].as_i64().unwrap() / 1_000 - TODAY)
    };
    chains.iter().map(entry).collect()
}

/// Searches under headers, and expects these entries in this order.
#[track_caller]
fn finds_under(asked: &Asked, headers: &[(&str, &str)], query: &str, wanted: &[(&str, i64)]) {
    let answer = get(asked, &path(query), headers);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let code = if wanted.is_empty() { "SVCSTG.ATS.200103" } else { "SVCSTG.ATS.2000" };
    assert_eq!(body["errorCode"], code, "{:?}: {query}", asked.placement);
    let wanted: Vec<(String, i64)> = wanted.iter().map(|(id, start)| ((*id).to_owned(), *start)).collect();
    assert_eq!(entries(&body["responseInfo"]), wanted, "{:?}: {query}", asked.placement);
}

#[track_caller]
fn finds(asked: &Asked, query: &str, wanted: &[(&str, i64)]) {
    finds_under(asked, &[], query, wanted);
}

#[test]
fn an_entry_is_as_the_product_documents_it() {
    let span = served("4fa102d1", "1", "DataMgmtService:datamgmtservice-1:/rest/alarm/report", (95, 10));
    let failed = tagged(served("5", "1", "get /x", (50, 3)), &[("result", "1")]);
    everywhere(&[], &[], |asked| {
        place(asked, &[], &[span.clone(), failed.clone()]);
        let entry = json!({
            "traceId": "000000004fa102d1", "type": "TOMCAT_METHOD", "status": 0, "duration": 10_000,
            "application": "DataMgmtService", "instance": "datamgmtservice-1", "transaction": "/rest/alarm/report",
            "startTime": micros(95), "endTime": micros(105), "address": "10.0.0.1",
        });
        let wanted = json!({ "count": 1, "traceChains": [entry] });
        answers(asked, &path("application=datamgmtservice"), "SVCSTG.ATS.2000", &wanted);
        let entry = json!({
            "traceId": "0000000000000005", "type": "TOMCAT_METHOD", "status": 1, "duration": 3_000,
            "application": "svc", "instance": "10.0.0.1:80", "transaction": "get /x",
            "startTime": micros(50), "endTime": micros(53), "address": "10.0.0.1",
        });
        let wanted = json!({ "count": 1, "traceChains": [entry] });
        answers(asked, &path("application=SVC&status=1"), "SVCSTG.ATS.2000", &wanted);
        misses(asked, &path("application=datamgmtservice&status=1"), "query trace result is empty.");
        // The order of keys is the product's, too, and the id leads to the spans.
        assert!(asked.get(&path("application=svc")).text().starts_with(concat!(
            r#"{"errorCode":"SVCSTG.ATS.2000","errorMessage":null,"responseInfo":{"count":1,"traceChains":["#,
            r#"{"traceId":"0000000000000005","type":"TOMCAT_METHOD","status":1,"duration":3000,"application":"svc","#
        )));
        let spans = asked.get("/v1/0/ats/spans?traceId=0000000000000005").json();
        assert_eq!(spans["responseInfo"].as_array().unwrap().len(), 1);
    });
}

/// Calls of one application in three traces, and another's beside them.
fn calls() -> Vec<Value> {
    vec![
        tagged(served("a", "1", "shop:Shop-1:GET_/rest/healthz/*", (1_000, 5)), &[("result", "0")]),
        tagged(served("a", "2", "shop:shop-2:/buy", (1_001, 40)), &[("resultCode", "503")]),
        served("b", "1", "SHOP:shop-1:/buy", (2_000, 30)),
        served("b", "2", "till:till-1:/pay", (2_100, 3_000)),
        tagged(served("c", "1", "shop:shop-1:GET_/rest/healthz/x", (3_000, 50)), &[("error", "timeout")]),
        served("d", "1", "till:shop-1:/buy", (4_000, 50)),
    ]
}

#[test]
fn all_conditions_are_met_by_one_span_of_the_application() {
    everywhere(&[], &[], |asked| {
        place(asked, &[], &calls());
        let (a, b, c) = (("a", 1_001), ("b", 2_000), ("c", 3_000));
        for (more, wanted) in [
            ("", &[c, b, a][..]),
            ("&instance=shop-1", &[c, b, ("a", 1_000)]),
            ("&instance=SHOP-2", &[a]),
            ("&instance=shop", &[]),
            ("&transaction=/buy", &[b, a]),
            ("&transaction=/BUY", &[]),
            // The star is a part of its name: there is a transaction of such calls.
            ("&transaction=GET_/rest/healthz/*", &[("a", 1_000)]),
            ("&transaction=GET_/rest/healthz/x", &[c]),
            ("&transaction=GET_/rest/*", &[]),
            ("&instance=shop-1&transaction=/buy", &[b]),
            ("&status=1", &[c, a]),
            ("&status=0", &[c, b, a]),
            ("&status=1&instance=shop-1", &[c]),
            ("&status=1&transaction=/buy", &[a]),
            ("&duration=30", &[c, b, a]),
            ("&duration=31", &[c, a]),
            ("&duration=50", &[c]),
            ("&duration=51", &[]),
            ("&duration=41&transaction=/buy", &[]),
            ("&limit=1", &[c]),
            ("&limit=2", &[c, b]),
            ("&limit=1000", &[c, b, a]),
            // The limit counts what meets all of it.
            ("&limit=1&transaction=/buy", &[b]),
            ("&limit=1&instance=shop-2", &[a]),
        ] {
            finds(asked, &format!("application=shop{more}"), wanted);
            finds(asked, &format!("application=Shop{more}"), wanted);
        }
        finds(asked, "application=till", &[("d", 4_000), ("b", 2_100)]);
        finds(asked, "application=svc", &[]);
    });
}

#[test]
fn spans_of_other_agents_are_of_the_application_that_their_service_is() {
    let call = |trace: &str, millis: i64, fields: Value| {
        let place = json!({ "serviceName": "Web", "ipv4": "10.0.0.9", "port": 8080 });
        let base =
            json!({ "name": "get /item", "timestamp": micros(millis), "duration": 7_000, "localEndpoint": place });
        with(with(bare(trace, "1"), base), fields)
    };
    let spans = [
        call("a", 1, json!({ "tags": { "http.route": "/item/{id}" } })),
        call("b", 2, json!({ "tags": { "service.instance.id": "Web-0", "http.status_code": "500" } })),
        call(
            "c",
            3,
            json!({ "kind": "SERVER", "remoteEndpoint": { "ipv4": "10.1.1.1" }, "tags": { "error": "false" } }),
        ),
        // The service is that of another's name.
        call("d", 4, json!({ "name": "other:i:/t" })),
    ];
    everywhere(&[], &spans, |asked| {
        let (a, b, c) = (("a", 1), ("b", 2), ("c", 3));
        for (more, wanted) in [
            ("", &[c, b, a][..]),
            ("&transaction=get+/item", &[c, b]),
            ("&transaction=/item/%7Bid%7D", &[a]),
            ("&instance=web-0", &[b]),
            ("&instance=10.0.0.9:8080", &[c, a]),
            ("&status=1", &[b]),
            ("&duration=7", &[c, b, a]),
            ("&duration=8", &[]),
        ] {
            finds(asked, &format!("application=web{more}"), wanted);
        }
        finds(asked, "application=other", &[("d", 4)]);
        let found = asked.get(&path("application=web&limit=1")).json();
        assert_eq!(found["responseInfo"]["traceChains"][0]["address"], "10.1.1.1");
    });
}

#[test]
fn the_window_is_one_of_the_applications_spans_and_includes_its_ends() {
    let spans = [
        served("a", "1", "shop:i:/t", (0, 1)),
        served("b", "1", "shop:i:/t", (WINDOW, 1)),
        served("c", "1", "shop:i:/t", (-1, 1)),
        served("d", "1", "shop:i:/t", (WINDOW + 1, 1)),
        // The trace begins before, the call is inside.
        served("e", "1", "till:i:/t", (-5_000, 9_000)),
        served("e", "2", "shop:i:/t", (5, 1)),
        // The trace is inside, the call is not.
        served("f", "1", "till:i:/t", (6, 1)),
        served("f", "2", "shop:i:/t", (WINDOW + 2_000, 1)),
    ];
    everywhere(&[], &[], |asked| {
        place(asked, &[], &spans);
        finds(asked, "application=shop", &[("b", WINDOW), ("e", 5), ("a", 0)]);
        let window = |from: i64, to: i64| format!("application=shop&startTime={}&endTime={}", TODAY + from, TODAY + to);
        finds(asked, &window(-1, 0), &[("a", 0), ("c", -1)]);
        finds(asked, &window(1, 4), &[]);
        finds(asked, &window(WINDOW, WINDOW + 1), &[("d", WINDOW + 1), ("b", WINDOW)]);
        let all = [("f", WINDOW + 2_000), ("d", WINDOW + 1), ("b", WINDOW), ("e", 5), ("a", 0), ("c", -1)];
        finds(asked, "application=shop&startTime=0&endTime=9223372036854775", &all);
    });
}

#[test]
fn the_group_is_the_tag_then_the_namespace_then_the_default() {
    everywhere(&[], &[], |asked| {
        let own = |trace: &str, begin| tagged(served(trace, "1", "shop:i:/t", (begin, 1)), &[("monitorGroup", "own")]);
        place(asked, &[("namespace", "manage")], &[served("a", "1", "shop:i:/t", (1, 1)), own("b", 2)]);
        place(asked, &[], &[served("c", "1", "shop:i:/t", (3, 1)), own("d", 4)]);
        for (group, wanted) in
            [("own", &[("d", 4), ("b", 2)][..]), ("manage", &[("a", 1)]), ("default", &[("c", 3)]), ("Own", &[])]
        {
            finds(asked, &format!("application=shop&monitorGroup={group}"), wanted);
        }
        finds(asked, "application=shop", &[("d", 4), ("c", 3), ("b", 2), ("a", 1)]);
    });
}

#[test]
fn the_headers_narrow_and_what_was_stored_without_them_matches_every_value() {
    everywhere(&[], &[], |asked| {
        let span = |trace: &str, id: &str, begin| served(trace, id, "shop:i:/t", (begin, 1));
        place(asked, &[("clusterId", "c1"), ("namespace", "n1")], &[span("a", "1", 1), span("b", "1", 2)]);
        place(asked, &[("clusterId", "c2"), ("namespace", "n1")], &[span("a", "2", 3), span("c", "1", 4)]);
        place(asked, &[], &[span("d", "1", 5)]);
        let (b, c, d) = (("b", 2), ("c", 4), ("d", 5));
        for (headers, wanted) in [
            (&[][..], &[d, c, ("a", 3), b][..]),
            (&[("clusterId", "c2")], &[d, c, ("a", 3)]),
            (&[("namespace", "n1")], &[d, c, ("a", 3), b]),
            (&[("namespace", "n2")], &[d]),
            (&[("clusterId", "c2"), ("namespace", "n2")], &[d]),
            (&[("clusterId", " ")], &[d, c, ("a", 3), b]),
        ] {
            finds_under(asked, headers, "application=shop", wanted);
        }
        // The trace's place is by all that was stored; the entry is of what is asked for.
        finds_under(asked, &[("clusterId", "c1")], "application=shop", &[d, ("a", 1), b]);
    });
}

#[test]
fn without_a_limit_there_are_twenty_and_a_thousand_at_the_most() {
    let spans: Vec<Value> =
        (1..=1_003i64).map(|n| served(&format!("{n:x}"), "1", "shop:i:/t", (n, 1 + n % 2))).collect();
    everywhere(&[], &[], |asked| {
        place(asked, &[], &spans);
        for (more, count, step) in [("", 20, 1), ("&limit=1000", 1_000, 1), ("&limit=400&duration=2", 400, 2)] {
            let found = asked.get(&path(&format!("application=shop{more}"))).json();
            let starts: Vec<i64> = entries(&found["responseInfo"]).into_iter().map(|(_, start)| start).collect();
            let wanted: Vec<i64> = (0..count).map(|n| 1_003 - n * step).collect();
            assert_eq!(starts, wanted, "{:?}: {more}", asked.placement);
        }
    });
}

#[test]
fn what_is_wrong_with_a_search_is_told() {
    everywhere(&[], &[], |asked| {
        if asked.placement != Placement::Memory {
            return;
        }
        let window = "startTime=1&endTime=2&application=a";
        for (query, message) in [
            ("", "startTime in url is missing.\nquery parameter startTime: send milliseconds since 1970 UTC"),
            (
                "startTime=2&endTime=2&application=a",
                "startTime in url is invalid.\nquery parameter startTime: send a time before endTime",
            ),
            (
                "startTime=1&endTime=2",
                "application in url is missing.\nquery parameter application: send the name of an application",
            ),
            (
                &format!("{window}&limit=1001"),
                "limit in url is invalid.\nquery parameter limit: send a whole number from 1 to 1000",
            ),
            (
                &format!("{window}&status=2"),
                "status in url is invalid.\nquery parameter status: send a whole number from 0 to 1",
            ),
        ] {
            let answer = get(asked, &format!("/v1/0/ats/traces?{query}"), &[]);
            let whole = json!({ "errorCode": "SVCSTG.ATS.400101", "errorMessage": message, "responseInfo": null });
            assert_eq!((answer.status, answer.json()), (400, whole), "{query}");
        }
        let bad = get(asked, &format!("/v1/a.b/ats/traces?{window}"), &[]).json();
        assert_eq!(bad["errorMessage"].as_str().unwrap().lines().next(), Some("projectId in url is invalid."));
    });
    everywhere(&["--ats-miss-is-error"], &[], |asked| {
        let answer = get(asked, &path("application=a"), &[]);
        let miss = json!({
            "errorCode": "SVCSTG.ATS.200103", "errorMessage": "query trace result is empty.", "responseInfo": null,
        });
        assert_eq!((answer.status, answer.json()), (400, miss));
    });
}

#[test]
fn projects_find_their_own_traces() {
    everywhere(&["--projects", "isolated"], &[], |asked| {
        place(asked, &[], &[served("a", "1", "shop:i:/t", (1, 1))]);
        finds(asked, "application=shop", &[("a", 1)]);
        misses(asked, &path("application=shop").replacen("/v1/0/", "/v1/1/", 1), "query trace result is empty.");
    });
}
