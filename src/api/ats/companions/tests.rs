use super::super::{Envelope, OK};
use super::*;
use crate::codec::Limits;
use crate::codec::zipkin::{v1, v2};

const ASKED: &str = "startTime=1000&endTime=2000&application=shop";

fn query(more: &str) -> TracesQuery {
    TracesQuery::parse(&format!("{ASKED}{more}")).unwrap()
}

#[test]
fn only_times_and_application_are_required() {
    let least = TracesQuery {
        start_time: 1_000,
        end_time: 2_000,
        application: "shop".to_owned(),
        group: None,
        instance: None,
        transaction: None,
        limit: 20,
        min_duration: 0,
        failed: false,
    };
    assert_eq!(query(""), least);
    assert_eq!(query("&limit=&status=+&duration=&instance=%20&monitorGroup&other=1&limit=20"), least);
    let most = "&monitorGroup=Apm&instance=Shop-1&transaction=GET_/rest/%2A&limit=1000&duration=5&status=1";
    let asked = query(most);
    assert_eq!(asked.group.as_deref(), Some("Apm"));
    assert_eq!(asked.instance.as_deref(), Some("shop-1"));
    assert_eq!(asked.transaction.as_deref(), Some("GET_/rest/*"));
    assert_eq!((asked.limit, asked.min_duration, asked.failed), (1_000, 5, true));
    assert!(!query("&status=0").failed);
    let example = "startTime=1506214200000&endTime=1506214428000&application=DataMgmtService&monitorGroup=apm&limit=1";
    assert_eq!(TracesQuery::parse(example).unwrap().application, "datamgmtservice");
}

#[test]
fn what_is_wrong_with_a_parameter_is_told_with_its_name_and_what_to_send() {
    const TIME: &str = "send a whole number from 0 to 9223372036854775";
    let long = format!("transaction={}", "x".repeat(LONGEST_TEXT + 1));
    for (asked, parameter, what, remedy) in [
        ("endTime=2&application=a", "startTime", "missing", "send milliseconds since 1970 UTC"),
        ("startTime=1&application=a", "endTime", "missing", "send milliseconds since 1970 UTC"),
        ("startTime=1&endTime=2", "application", "missing", "send the name of an application"),
        ("startTime=1&endTime=2&application=+", "application", "missing", "send the name of an application"),
        ("startTime=2&endTime=2&application=a", "startTime", "invalid", "send a time before endTime"),
        ("startTime=-1&endTime=2&application=a", "startTime", "invalid", TIME),
        ("startTime=1&endTime=2.5&application=a", "endTime", "invalid", TIME),
        ("startTime=1&endTime=9223372036854776&application=a", "endTime", "invalid", TIME),
        ("startTime=1&startTime=2&endTime=3&application=a", "startTime", "given more than once", "send it once"),
        (&format!("{ASKED}&limit=0"), "limit", "invalid", "send a whole number from 1 to 1000"),
        (&format!("{ASKED}&limit=1001"), "limit", "invalid", "send a whole number from 1 to 1000"),
        (&format!("{ASKED}&duration=-1"), "duration", "invalid", TIME),
        (&format!("{ASKED}&status=2"), "status", "invalid", "send a whole number from 0 to 1"),
        (&format!("{ASKED}&monitorGroup=a&monitorGoup=b"), "monitorGroup", "given more than once", "send it once"),
        (&format!("{ASKED}&{long}"), "transaction", "too long", "send up to 4096 bytes"),
    ] {
        let refusal = TracesQuery::parse(asked).unwrap_err();
        let message = format!("{parameter} in url is {what}.\nquery parameter {parameter}: {remedy}");
        assert_eq!((refusal.status.as_u16(), refusal.message), (400, message), "{asked}");
    }
}

#[test]
fn lists_take_a_group_in_either_spelling_and_an_application_in_either_case() {
    for (asked, group_of_it) in [
        ("", None),
        ("monitorGroup=", None),
        ("monitorGroup=apm", Some("apm")),
        ("monitorGoup=apm", Some("apm")),
        ("monitorGoup=apm&monitorGroup=apm&x=y", Some("apm")),
    ] {
        assert_eq!(group(asked).unwrap().as_deref(), group_of_it, "{asked}");
    }
    assert_eq!(application(" AMS-metric:8080 ").unwrap(), "ams-metric:8080");
    let message = concat!(
        "application in url is invalid.\n",
        "path: send the application's name, up to 4096 bytes, between /applications/ and the next /"
    );
    for bad in ["", " ", &"x".repeat(LONGEST_TEXT + 1)] {
        assert_eq!(application(bad).unwrap_err().message, message);
    }
}

/// Rows of v2 spans without a namespace. Each is given as what follows its trace id.
fn rows(spans: &[&str]) -> Vec<Row> {
    let spans: Vec<String> = spans.iter().map(|span| format!(r#"{{"traceId":"a1",{span}}}"#)).collect();
    let body = format!("[{}]", spans.join(","));
    let spans = v2::decode(&body, &Limits::default()).unwrap();
    spans.into_iter().map(|span| (span.into_owned(), None)).collect()
}

fn chains(more: &str, rows: Vec<Row>) -> Vec<TraceChain> {
    let mut chains = Chains::new(query(more));
    chains.feed(rows);
    chains.end_trace();
    chains.finish()
}

/// Start, and transaction, of what is found.
fn found(more: &str, rows: Vec<Row>) -> Vec<(i64, String)> {
    chains(more, rows).into_iter().map(|chain| (chain.start_time, chain.transaction)).collect()
}

#[test]
fn the_answer_to_a_search_is_as_the_product_documents_it() {
    let posted = r#"[{"traceId":"000000004fa102d1","id":"1","timestamp":1506214214095000,"duration":10000,
        "name":"datamgmtservice:datamgmtservice-4267750592-2ngmz:/rest/plat/sysmgr/v1/sysagent/alarm/report",
        "annotations":[{"timestamp":1506214214095000,"value":"sr","endpoint":{"serviceName":"d","ipv4":"192.168.0.1"}},
        {"timestamp":1506214214105000,"value":"ss","endpoint":{"serviceName":"d","ipv4":"192.168.0.1"}}]}]"#;
    let rows = v1::decode(posted, &Limits::default()).unwrap();
    let asked = "startTime=1506214200000&endTime=1506214428000&application=datamgmtservice&monitorGroup=apm&limit=1";
    let mut chains = Chains::new(TracesQuery::parse(asked).unwrap());
    chains.feed(rows.into_iter().map(|row| (row.into_owned(), Some("apm".to_owned()))));
    assert!(!chains.end_trace());
    let traces = Traces::of(chains.finish()).unwrap();
    let answer = Envelope { error_code: OK, error_message: None, response_info: Some(traces) };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        concat!(
            r#"{"errorCode":"SVCSTG.ATS.2000","errorMessage":null,"responseInfo":{"count":1,"traceChains":["#,
            r#"{"traceId":"000000004fa102d1","type":"TOMCAT_METHOD","status":0,"duration":10000,"#,
            r#""application":"datamgmtservice","instance":"datamgmtservice-4267750592-2ngmz","#,
            r#""transaction":"/rest/plat/sysmgr/v1/sysagent/alarm/report","startTime":1506214214095000,"#,
            r#""endTime":1506214214105000,"address":"192.168.0.1"}]}}"#
        )
    );
    assert_eq!(Traces::of(Vec::new()), None);
}

#[test]
fn the_answer_of_a_list_is_as_the_product_documents_it() {
    let groups = ["11d5c9b83c1b2e04579fa5a34d191bb5"];
    let answer = Envelope { error_code: GROUPS_OK, error_message: None, response_info: Some(&groups[..]) };
    assert_eq!(
        serde_json::to_string(&answer).unwrap(),
        r#"{"errorCode":"SVCSTG.ATPS.2000","errorMessage":null,"responseInfo":["11d5c9b83c1b2e04579fa5a34d191bb5"]}"#
    );
}

#[test]
fn a_trace_is_described_by_the_newest_span_of_the_application() {
    let place = |service: &str| format!(r#""localEndpoint":{{"serviceName":"{service}","ipv4":"10.0.0.1"}}"#);
    let shop = place("Shop");
    let spans = [
        format!(r#""id":"1","name":"first","timestamp":1000000,{shop}"#),
        format!(r#""id":"2","name":"newest","timestamp":1700000,"duration":7,{shop},"tags":{{"error":""}}"#),
        format!(r#""id":"3","name":"same time","timestamp":1700000,{shop}"#),
        format!(r#""id":"4","name":"unknown time",{shop}"#),
        format!(r#""id":"5","name":"of another","timestamp":1800000,{}"#, place("till")),
        format!(r#""id":"6","name":"after the window","timestamp":2000001,{shop}"#),
    ];
    let wanted = TraceChain {
        trace_id: "00000000000000a1".to_owned(),
        service_type: "TOMCAT_METHOD",
        status: 1,
        duration: 7,
        application: "Shop".to_owned(),
        instance: "10.0.0.1".to_owned(),
        transaction: "newest".to_owned(),
        start_time: 1_700_000,
        end_time: 1_700_007,
        address: Some("10.0.0.1".to_owned()),
    };
    assert_eq!(chains("", rows(&spans.each_ref().map(String::as_str))), [wanted]);
}

#[test]
fn all_conditions_are_met_by_one_span() {
    let spans = [
        concat!(
            r#""id":"1","name":"shop:Shop-1:/buy","timestamp":1000000,"duration":4999,"#,
            r#""tags":{"error":"","monitorGroup":"g"}"#
        ),
        r#""id":"2","name":"shop:shop-2:/buy","timestamp":1000001,"duration":5000"#,
        r#""id":"3","name":"Shop:shop-1:/Buy","timestamp":2000000"#,
        concat!(
            r#""id":"4","name":"till:shop-1:/buy","timestamp":1500000,"duration":9000,"#,
            r#""tags":{"error":"","monitorGroup":"g"}"#
        ),
    ];
    for (more, wanted) in [
        ("", Some(2_000_000)),
        ("&transaction=/buy", Some(1_000_001)),
        ("&transaction=/Buy", Some(2_000_000)),
        ("&instance=SHOP-1&transaction=/buy", Some(1_000_000)),
        ("&instance=shop-3", None),
        ("&duration=5", Some(1_000_001)),
        ("&duration=6", None),
        ("&status=1", Some(1_000_000)),
        ("&status=1&duration=5", None),
        ("&monitorGroup=g", Some(1_000_000)),
        ("&monitorGroup=default", Some(2_000_000)),
        ("&monitorGroup=G", None),
    ] {
        let found: Vec<i64> = found(more, rows(&spans)).into_iter().map(|(start, _)| start).collect();
        assert_eq!(found, Vec::from_iter(wanted), "{more}");
    }
}

#[test]
fn pieces_of_a_span_are_described_together() {
    let pieces = [
        r#""id":"1","name":"shop:i:/buy","timestamp":1000000,"localEndpoint":{"serviceName":"shop"}"#,
        r#""id":"1","duration":5000,"localEndpoint":{"serviceName":"shop"},"tags":{"http.status_code":"503"}"#,
    ];
    let chains = chains("&duration=5&status=1", rows(&pieces));
    assert_eq!(chains.len(), 1);
    assert_eq!((chains[0].duration, chains[0].status, chains[0].address.as_deref()), (5_000, 1, None));
}

#[test]
fn the_group_of_a_span_is_the_namespace_that_its_rows_came_with() {
    let spans = [
        r#""id":"1","kind":"CLIENT","name":"a","timestamp":1000000,"localEndpoint":{"serviceName":"shop"}"#,
        concat!(
            r#""id":"1","kind":"SERVER","name":"b","timestamp":1000001,"shared":true,"#,
            r#""localEndpoint":{"serviceName":"Shop","port":1}"#
        ),
        r#""id":"2","kind":"SERVER","name":"c","timestamp":1000002,"localEndpoint":{"serviceName":"Shop"}"#,
    ];
    let mut rows = rows(&spans);
    rows[0].1 = Some("n".to_owned());
    rows[2].1 = Some("m".to_owned());
    let starts = |group: &str| found(&format!("&monitorGroup={group}"), rows.clone());
    assert_eq!(starts("n"), [(1_000_001, "b".to_owned())]);
    assert_eq!(starts("m"), [(1_000_002, "c".to_owned())]);
    assert_eq!(starts("default"), []);
}

#[test]
fn the_address_is_that_of_the_calling_side_if_it_is_known() {
    let ends = concat!(
        r#""localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1"},"#,
        r#""remoteEndpoint":{"serviceName":"x","ipv4":"10.0.0.2"}"#
    );
    let address = |kind: &str, ends: &str| {
        let span = format!(r#""id":"1","kind":{kind},"timestamp":1000000,{ends}"#);
        chains("", rows(&[&span])).remove(0).address
    };
    assert_eq!(address("\"SERVER\"", ends).as_deref(), Some("10.0.0.2"));
    assert_eq!(address("\"CONSUMER\"", ends).as_deref(), Some("10.0.0.2"));
    assert_eq!(address("\"CLIENT\"", ends).as_deref(), Some("10.0.0.1"));
    assert_eq!(address("null", ends).as_deref(), Some("10.0.0.1"));
    let own = r#""localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1"}"#;
    assert_eq!(address("\"SERVER\"", own).as_deref(), Some("10.0.0.1"));
    assert_eq!(address("\"SERVER\"", r#""localEndpoint":{"serviceName":"shop","ipv6":"::2"}"#), None);
}

#[test]
fn traces_are_taken_until_there_are_enough_and_those_without_a_match_do_not_count() {
    let shop = r#""id":"1","timestamp":1000000,"localEndpoint":{"serviceName":"shop"}"#;
    let till = r#""id":"1","timestamp":1000000,"localEndpoint":{"serviceName":"till"}"#;
    let mut chains = Chains::new(query("&limit=2"));
    let mut wanted = Vec::new();
    for span in [till, shop, till, shop] {
        chains.feed(rows(&[span]));
        wanted.push(chains.end_trace());
    }
    assert_eq!(wanted, [true, true, true, false]);
    assert_eq!(chains.finish().len(), 2);
}

#[test]
fn of_a_huge_trace_all_rows_count() {
    let row = |number: usize, time: i64| {
        let mut row = rows(&[r#""id":"1","localEndpoint":{"serviceName":"shop"}"#]).remove(0);
        (row.0.id, row.0.timestamp) = (number as u64, Some(time));
        row
    };
    for newest in [1, MOST_ROWS, MOST_ROWS + 5] {
        let mut chains = Chains::new(query(""));
        let time = |number| if number == newest { 1_500_000 } else { 1_000_000 };
        chains.feed((1..=MOST_ROWS + 9).map(|number| row(number, time(number))));
        assert!(chains.rows.len() <= MOST_ROWS);
        chains.end_trace();
        let starts: Vec<i64> = chains.finish().iter().map(|chain| chain.start_time).collect();
        assert_eq!(starts, [1_500_000], "{newest}");
    }
}

#[test]
fn a_span_that_was_posted_with_both_sides_and_a_name_in_three_parts_is_one_span() {
    let posted = r#"[{"traceId":"a1","id":"1","name":"shop:i:/buy","timestamp":1000000,"duration":5000,"annotations":[
        {"timestamp":1000000,"value":"cs","endpoint":{"serviceName":"front"}},
        {"timestamp":1001000,"value":"sr","endpoint":{"serviceName":"back"}},
        {"timestamp":1002000,"value":"ss","endpoint":{"serviceName":"back"}},
        {"timestamp":1005000,"value":"cr","endpoint":{"serviceName":"front"}}],
        "binaryAnnotations":[{"key":"result","value":"1"},{"key":"monitorGroup","value":"G"}]}]"#;
    let rows = || -> Vec<Row> {
        let rows = v1::decode(posted, &Limits::default()).unwrap();
        rows.into_iter().map(|row| (row.into_owned(), None)).collect()
    };
    assert_eq!(rows().len(), 2);
    let chain = chains("&monitorGroup=G", rows()).remove(0);
    assert_eq!((chain.start_time, chain.duration, chain.status), (1_000_000, 5_000, 1));
    assert_eq!(chains("", rows())[0].start_time, 1_000_000);
    assert_eq!(chains("&monitorGroup=default", rows()), []);
}

#[test]
fn a_search_asks_for_the_window_and_the_application_and_is_ended_by_its_asker() {
    let wanted = SearchQuery {
        project: "p".to_owned(),
        application: Some("shop".to_owned()),
        end_ts: 2_000,
        lookback: 1_000,
        limit: usize::MAX,
        ..SearchQuery::default()
    };
    assert_eq!(query("&limit=3&status=1&duration=7").search("p".to_owned()), wanted);
}
