use super::*;
use crate::codec::Limits;
use crate::codec::zipkin::v2;

/// The elements of all these rows, fed in this order.
fn elements<'a>(rows: impl IntoIterator<Item = Span<'a>>) -> Vec<String> {
    let mut list = Vec::new();
    let mut emit = |element: &[u8]| list.push(String::from_utf8(element.to_vec()).unwrap());
    let mut elements = AtsElements::new();
    for row in rows {
        elements.feed(row, &mut emit);
    }
    elements.finish(&mut emit);
    list
}

fn v1_rows(body: &str) -> Vec<Span<'_>> {
    v1::decode(body, &Limits::default()).unwrap()
}

fn v2_element(span: &str) -> String {
    let body = format!("[{span}]");
    let rows = v2::decode(&body, &Limits::default()).unwrap();
    elements(rows).remove(0)
}

#[test]
fn the_products_own_example_comes_back_byte_for_byte() {
    let posted = include_str!("../../../../fixtures/ats-example.json");
    let wanted = include_str!("../../../../fixtures/ats-example-response.json");
    let rows = v1_rows(posted);
    assert_eq!(rows[0].v1.as_deref(), Some(""));
    let element = elements(rows).remove(0);
    let response: serde_json::Value = serde_json::from_str(wanted).unwrap();
    assert_eq!(element, response["responseInfo"][0].as_str().unwrap());
    // Escaped once more it is, byte for byte, what stands in the example.
    let mut escaped = Vec::new();
    push_element(element.as_bytes(), &mut escaped);
    assert!(wanted.contains(std::str::from_utf8(&escaped).unwrap()));
}

#[test]
fn a_posted_v1_span_keeps_order_types_and_endpoints_given_or_not() {
    let posted = concat!(
        r#"{"traceId":"0000000000000000000000000000000a","id":"000000000000000b","name":"A","parentId":"000000000000000c","#,
        r#""timestamp":0,"duration":5,"#,
        r#""annotations":[{"timestamp":2,"value":"z"},{"timestamp":1,"value":"cs"},{"timestamp":1,"value":"a","#,
        r#""endpoint":{"serviceName":"X","ipv4":"1.2.3.4","ipv6":"::1","port":1}}],"#,
        r#""binaryAnnotations":[{"key":"k","value":1.50,"type":"DOUBLE"},{"key":"j","value":true},{"key":"a","#,
        r#""value":"1","endpoint":{"port":2}},{"key":"none"}],"debug":true}"#
    );
    assert_eq!(elements(v1_rows(&format!("[{posted}]"))), [posted]);
}

#[test]
fn sides_of_one_posted_span_are_one_element_and_halves_of_two_agents_are_two() {
    let span = |annotations: &str| format!(r#"{{"traceId":"a","id":"b","name":"n","annotations":[{annotations}]}}"#);
    let moment = |at: i64, value: &str, service: &str| {
        format!(r#"{{"timestamp":{at},"value":"{value}","endpoint":{{"serviceName":"{service}"}}}}"#)
    };
    let client = [moment(1, "cs", "front"), moment(9, "cr", "front")].join(",");
    let server = [moment(2, "sr", "back"), moment(8, "ss", "back")].join(",");
    let both = format!("[{}]", span(&format!("{client},{server}")));
    let halves = format!("[{},{}]", span(&client), span(&server));
    let whole = elements(v1_rows(&both));
    assert_eq!(whole.len(), 1);
    assert!(whole[0].contains(&format!("[{client},{server}]")), "{}", whole[0]);
    assert_eq!(elements(v1_rows(&halves)).len(), 2);
    // Whatever the order, and with the halves in between.
    let mut mixed = v1_rows(&both);
    mixed.extend(v1_rows(&halves));
    mixed.reverse();
    let mut mixed = elements(mixed);
    assert_eq!(mixed.len(), 3);
    mixed.retain(|element| *element == whole[0]);
    assert_eq!(mixed, whole);
}

#[test]
fn an_element_is_emitted_with_its_last_row_and_one_whose_siblings_never_come_at_the_end() {
    let body = r#"[{"traceId":"a","id":"b","annotations":[
        {"timestamp":1,"value":"cs","endpoint":{"serviceName":"front"}},
        {"timestamp":2,"value":"sr","endpoint":{"serviceName":"back"}}]}]"#;
    let rows = v1_rows(body);
    assert_eq!(rows.len(), 2);
    let mut count = 0;
    let mut assembler = AtsElements::new();
    assembler.feed(rows[1].clone(), &mut |_| count += 1);
    assembler.feed(rows[1].clone(), &mut |_| count += 1);
    assert_eq!(count, 0);
    assembler.feed(rows[0].clone(), &mut |_| count += 1);
    assert_eq!(count, 1);
    assembler.finish(&mut |_| count += 1);
    assert_eq!(count, 1);

    assert_eq!(
        elements([rows[0].clone()]),
        [concat!(
            r#"{"traceId":"000000000000000a","id":"000000000000000b","#,
            r#""annotations":[{"timestamp":1,"value":"cs","endpoint":{"serviceName":"front"}}],"binaryAnnotations":[]}"#
        )]
    );
    assert_eq!(elements([rows[1].clone()]).len(), 1);
}

#[test]
fn a_v2_client_gets_a_composed_name_and_its_two_moments() {
    let span = r#"{"traceId":"A","parentId":"c","id":"b","kind":"CLIENT","name":"Get","timestamp":10,"duration":5,
        "localEndpoint":{"serviceName":"Front","ipv4":"10.0.0.1","port":80},"remoteEndpoint":{"serviceName":"back"},
        "annotations":[{"timestamp":12,"value":"retry"}],"tags":{"b":"2","a":"1"},"debug":true}"#;
    assert_eq!(
        v2_element(span),
        concat!(
            r#"{"traceId":"000000000000000a","id":"000000000000000b","name":"Front:10.0.0.1:80:Get","#,
            r#""parentId":"000000000000000c","timestamp":10,"duration":5,"annotations":["#,
            r#"{"timestamp":10,"value":"cs","endpoint":{"serviceName":"Front","ipv4":"10.0.0.1","port":80}},"#,
            r#"{"timestamp":15,"value":"cr","endpoint":{"serviceName":"Front","ipv4":"10.0.0.1","port":80}}],"#,
            r#""binaryAnnotations":[{"key":"a","value":"1"},{"key":"b","value":"2"}],"debug":true}"#
        )
    );
}

#[test]
fn a_v2_server_without_duration_has_only_its_beginning() {
    let span = r#"{"traceId":"a","id":"b","kind":"SERVER","timestamp":10,"duration":0}"#;
    assert_eq!(
        v2_element(span),
        concat!(
            r#"{"traceId":"000000000000000a","id":"000000000000000b","name":"-:-:-","timestamp":10,"#,
            r#""annotations":[{"timestamp":10,"value":"sr"}],"binaryAnnotations":[]}"#
        )
    );
}

#[test]
fn messages_and_inner_work_have_no_moments() {
    for kind in ["\"PRODUCER\"", "\"CONSUMER\"", "null"] {
        let span = format!(r#"{{"traceId":"a","id":"b","parentId":"b","kind":{kind},"timestamp":10,"duration":5}}"#);
        let wanted = r#","timestamp":10,"duration":5,"annotations":[],"binaryAnnotations":[]}"#;
        let element = v2_element(&span);
        assert!(element.ends_with(wanted), "{element}");
        // A span that is its own parent is a root.
        assert!(!element.contains("parentId"), "{element}");
    }
}

#[test]
fn the_composed_name_takes_the_best_of_what_is_known() {
    let name = |local: &str, tags: &str| {
        let span = format!(r#"{{"traceId":"a","id":"b","name":"n","localEndpoint":{local},"tags":{tags}}}"#);
        let element: serde_json::Value = serde_json::from_str(&v2_element(&span)).unwrap();
        element["name"].as_str().unwrap().to_owned()
    };
    let place = r#"{"serviceName":"s","ipv4":"1.2.3.4","ipv6":"2001:db8::1","port":1}"#;
    assert_eq!(name(place, r#"{"service.instance.id":"i","k8s.pod.name":"p","http.route":"/r/{id}"}"#), "s:i:/r/{id}");
    assert_eq!(name(place, r#"{"k8s.pod.name":"p"}"#), "s:p:n");
    assert_eq!(name(place, "{}"), "s:1.2.3.4:1:n");
    assert_eq!(name(r#"{"serviceName":"s","ipv4":"1.2.3.4"}"#, "{}"), "s:1.2.3.4:n");
    assert_eq!(name(r#"{"serviceName":"s","ipv6":"2001:db8::1","port":1}"#, "{}"), "s:[2001:db8::1]:1:n");
    assert_eq!(name(r#"{"serviceName":"s","port":1}"#, "{}"), "s:-:n");
    assert_eq!(name("null", "{}"), "-:-:n");
}

#[test]
fn a_name_that_is_in_three_parts_is_not_composed_again() {
    let span = r#"{"traceId":"a","id":"b","name":"s:i:/r:1","localEndpoint":{"serviceName":"t","ipv4":"1.2.3.4"}}"#;
    let wanted = r#"{"traceId":"000000000000000a","id":"000000000000000b","name":"s:i:/r:1","#;
    assert_eq!(v2_element(span), format!(r#"{wanted}"annotations":[],"binaryAnnotations":[]}}"#));
}
