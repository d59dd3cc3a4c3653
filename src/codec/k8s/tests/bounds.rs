//! What a body of events may hold, and what one that holds more is answered.

use super::*;

#[test]
fn limits_hold() {
    let event = with(json!({"eventTime": "2025-01-01T00:00:00Z"}));
    let limits = Limits { max_events: 2, ..Limits::default() };
    let two = format!("[{event},{event}]");
    assert_eq!(decode(two.as_bytes(), None, &limits).map(|events| events.len()), Ok(2));
    let three = format!(r#"{{"items":[{event},{event},{event}]}}"#);
    let error = decode(three.as_bytes(), None, &limits).unwrap_err();
    assert_eq!(error.to_string(), "more than 2 events\n$.items[2]: split them into several requests");
    assert!(error.too_large);

    let limits = Limits { max_name_bytes: 6, ..Limits::default() };
    let named = with(json!({"eventTime": "2025-01-01T00:00:00Z", "reason": "abcdefg"}));
    let error = decode(named.as_bytes(), None, &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reason: Too long: may not be more than 6 bytes\n$.reason: this has 7 bytes: shorten it"
    );
    let named = with(json!({"eventTime": "2025-01-01T00:00:00Z", "reason": "abcdef"}));
    assert_eq!(decode(named.as_bytes(), None, &limits).map(|events| events.len()), Ok(1));

    // "é" has two bytes: a message is never cut inside a character, whether it has escapes or not.
    let limits = Limits { max_message_bytes: 4, ..Limits::default() };
    for (message, wanted) in [("aébé", "aéb"), ("abcé", "abc"), ("ab\\n\\u00e9x", "ab\n"), ("abcd", "abcd")] {
        let body = format!(r#"{{"involvedObject":{{}},"eventTime":"2025-01-01T00:00:00Z","note":"{message}"}}"#);
        let events = decode(body.as_bytes(), None, &limits).unwrap();
        assert_eq!(events[0].message, wanted, "{message}");
    }

    let limits = Limits { max_values: 3, ..Limits::default() };
    let body = r#"{"involvedObject":{"kind":"Pod","name":"x"},"eventTime":"2025-01-01T00:00:00Z"}"#;
    let error = decode(body.as_bytes(), None, &limits).unwrap_err();
    assert_eq!(
        error.to_string(),
        "more than 3 values in an event\n$.eventTime: no event is made of that many: send fewer labels and owners"
    );
    let limits = Limits { max_values: 4, ..Limits::default() };
    assert_eq!(decode(body.as_bytes(), None, &limits).map(|events| events.len()), Ok(1));
    // Those of one event do not count for the next.
    let both = format!("[{body},{body}]");
    assert_eq!(decode(both.as_bytes(), None, &limits).map(|events| events.len()), Ok(2));
}

/// What is once in the request is in each of its events.
#[test]
fn what_all_events_take_together_is_bounded() {
    let body = r#"{"metadata":{"uid":"u"},"regarding":{"name":"abc"},"eventTime":"2025-01-01T00:00:00Z"}"#;
    let cluster = "x".repeat(1_000);
    // The cluster, the uid, the object's name, "default" and "Normal".
    let each = 1_000 + 1 + 3 + 7 + 6;
    let limits = Limits { max_decoded_bytes: 3 * each, ..Limits::default() };
    let read = |count: usize| decode(body.repeat(count).as_bytes(), Some(&cluster), &limits).map(|events| events.len());
    assert_eq!(read(3), Ok(3));
    let error = read(4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the events take more than 3051 bytes once they are decoded\ndocument 4 at line 1, $: \
         events.max_decoded_bytes: split them into several requests, or raise it with --events-max-decoded-bytes"
    );
    assert!(error.too_large);

    // Owners of nothing take memory, too.
    let owners = vec!["{}"; 1_000].join(",");
    let body = format!(r#"{{"involvedObject":{{"ownerReferences":[{owners}]}},"eventTime":"2025-01-01T00:00:00Z"}}"#);
    let error = decode(body.as_bytes(), None, &limits).unwrap_err();
    assert_eq!((error.place.as_str(), error.too_large), ("$", true));
}

#[test]
fn documents_without_events_are_bounded_in_number() {
    let limits = Limits { max_events: 2, ..Limits::default() };
    let deleted = r#"{"type":"DELETED","object":{}}"#;
    let many = |text: &str, count: usize, last: &str| {
        let body = format!("{}{last}", text.repeat(count));
        decode(body.as_bytes(), None, &limits).map(|events| events.len()).map_err(|error| {
            assert!(error.too_large);
            error.to_string()
        })
    };
    let refused = |place: &str| {
        Err(format!("more than 1020 documents and entries of lists\n{place}: split them into several requests"))
    };
    for text in ["[]", "[]\n", deleted] {
        assert_eq!(many(text, 1_020, ""), Ok(0), "{text}");
    }
    assert_eq!(many("[]", 1_020, "[]"), refused("document 1021 at line 1, $"));
    assert_eq!(many("[]\r\n", 1_020, "[]"), refused("document 1021 at line 1021, $"));
    assert_eq!(many(deleted, 1_020, "[]"), refused("document 1021 at line 1, $"));
    let list = |count: usize| format!("[{}[]]", "[],".repeat(count - 1));
    assert_eq!(many("", 0, &list(1_019)), Ok(0));
    assert_eq!(many("", 0, &list(1_020)), refused("$[1019]"));
    let items = format!(r#"{{"items":{}}}"#, list(1_020));
    assert_eq!(many("", 0, &items), refused("$.items[1019]"));

    // Ten million of them would take for ever if each looked at all before it.
    let error = decode("[]".repeat(10_000_000).as_bytes(), None, &Limits::default()).unwrap_err();
    assert_eq!(error.place, "document 1001001 at line 1, $");
    let error = decode("[]\n".repeat(10_000_000).as_bytes(), None, &Limits::default()).unwrap_err();
    assert_eq!(error.place, "document 1001001 at line 1001001, $");
}

#[test]
fn nesting_is_bounded_wherever_it_is() {
    let limits = Limits { max_depth: 4, ..Limits::default() };
    let place = |body: &str| decode(body.as_bytes(), None, &limits).unwrap_err().to_string();
    let remedy = "no field of an event nests that deep: leave this one out";
    let table = [
        ("[[[[[]]]]]", "$[0][0][0][0]"),
        (r#"{"involvedObject":{"labels":{"app":[[]]}}}"#, "$.involvedObject.labels.app[0]"),
        (r#"{"unread":{"a":[[[]]]}}"#, "$.unread.a[0][0]"),
        (r#"[[{"items":[{}]}]]"#, "$[0][0].items[0]"),
    ];
    for (body, wanted) in table {
        assert_eq!(place(body), format!("nesting is deeper than 4 levels\n{wanted}: {remedy}"), "{body}");
    }
    let fits = r#"{"involvedObject":{},"eventTime":"2025-01-01T00:00:00Z","unread":[[[]]]}"#;
    assert_eq!(decode(fits.as_bytes(), None, &limits).map(|events| events.len()), Ok(1));
    for bracket in ["[", "{\"items\":[", "{\"object\":", "{\"unread\":["] {
        let deep = bracket.repeat(100_000);
        decode(deep.as_bytes(), None, &Limits::default()).unwrap_err();
    }
}
