//! `GET /v1/{project_id}/events`: pages, while more comes in.

use super::*;
use std::collections::BTreeSet;

/// All entries of a walk from page to page; `meanwhile` is called before each page but the first.
fn walk(server: &Server, query: &str, meanwhile: impl Fn(usize)) -> Vec<Vec<Value>> {
    let mut client = server.connect();
    let (mut pages, mut next) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/0/events?{query}&next={next}");
        let answer = client.send("GET", &path, &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let mut page = answer.json();
        let Value::Array(entries) = page["events"].take() else { panic!("{path}: {}", answer.text()) };
        pages.push(entries);
        match page["next"].as_str() {
            Some(text) => text.clone_into(&mut next),
            None => return pages,
        }
        meanwhile(pages.len());
    }
}

#[test]
fn a_walk_in_pages_of_seven_has_each_of_a_thousand_events_once_while_more_come_in() {
    // Ten of each moment.
    let of = |number: i64| event(&format!("{number:04}"), &format!("web-{}", number % 3), (0, number / 10));
    let events: Vec<Value> = (0..1_000).map(of).collect();
    everywhere(&[], &events, |server| {
        let query = format!("limit=7&{}", window(0, 1_000_000));
        let pages = walk(server, &query, |page| {
            let page = page as i64;
            // Newer than all, and, of an event that was told already, newer still.
            post(server, &[], &[event(&format!("new-{page}"), "web-0", (0, 500 + page))]);
            post(server, &[], &[event("0990", "web-0", (0, 600 + page))]);
            if page % 50 == 0 {
                flush(server);
            }
        });
        assert_eq!(pages.len(), 143);
        assert!(pages[..142].iter().all(|page| page.len() == 7));
        let walked: Vec<String> =
            pages.concat().iter().map(|event| event["uid"].as_str().unwrap().to_owned()).collect();
        // The newest first, those of one moment by uid.
        let wanted: Vec<String> =
            (0..100).rev().flat_map(|tens| (0..10).map(move |one| format!("{:04}", tens * 10 + one))).collect();
        assert_eq!(walked, wanted);
        // Whoever asks anew has all of it.
        let again = walk(server, &format!("limit=1000&{}", window(0, 1_000_000)), |_| {});
        let uids: BTreeSet<&str> = again.iter().flatten().map(|event| event["uid"].as_str().unwrap()).collect();
        assert_eq!((again.len(), again.concat().len(), uids.len()), (2, 1_142, 1_142));
        assert_eq!(again[0][0]["uid"], "0990");
    });
}

#[test]
fn a_walk_over_happenings_has_each_once_while_more_come_in() {
    // Of each of a hundred messages three events; messages of ten are of one moment.
    let of = |number: i64| {
        let message = json!({ "message": format!("m{:02}", number % 100) });
        with(event(&number.to_string(), "web-0", (0, number % 100 / 10)), message)
    };
    let events: Vec<Value> = (0..300).map(of).collect();
    everywhere(&[], &events, |server| {
        let query = format!("together=true&limit=7&{}", window(0, 1_000_000));
        let pages = walk(server, &query, |page| {
            let page = page as i64;
            let message = json!({ "message": format!("another {page}") });
            post(server, &[], &[with(event(&format!("new-{page}"), "web-0", (0, 500 + page)), message)]);
        });
        assert_eq!(pages.len(), 15);
        let entries = pages.concat();
        assert!(entries.iter().all(|entry| (&entry["count"], &entry["eventCount"]) == (&json!(6), &json!(3))));
        let moments: Vec<&str> = entries.iter().map(|entry| entry["lastSeen"].as_str().unwrap()).collect();
        assert!(moments.is_sorted_by(|a, b| a >= b));
        let mut messages: Vec<&str> = entries.iter().map(|entry| entry["message"].as_str().unwrap()).collect();
        messages.sort_unstable();
        assert_eq!(messages, (0..100).map(|number| format!("m{number:02}")).collect::<Vec<_>>());
    });
}

#[test]
fn a_walk_keeps_the_window_of_its_first_page_and_the_question_it_began_with() {
    let events: Vec<Value> = (0..5).map(|number| event(&number.to_string(), "web-0", (0, number))).collect();
    everywhere(&[], &events, |server| {
        let first = get(server, &format!("/v1/0/events?service=web&limit=2&{}", window(0, 3)));
        assert_eq!(uids(&first["events"]), ["4", "3"]);
        let next = first["next"].as_str().unwrap();
        let second = get(server, &format!("/v1/0/events?service=web&next={next}"));
        assert_eq!((uids(&second["events"]), second.get("next")), (vec!["2", "1", "0"], None));
        let same = format!("/v1/0/events?service=web&limit=1&next={next}&{}", window(0, 3));
        assert_eq!(uids(&get(server, &same)["events"]), ["2"]);

        let remedy = "it belongs to another question: send it with the project, service, namespace, clusterId and \
                      together that the first page was asked with";
        let shown = if next.len() > 128 { format!("{:?}...", &next[..128]) } else { format!("{next:?}") };
        let message = format!("next in url is invalid.\nquery parameter next = {shown}: {remedy}");
        for query in ["", "service=cart", "service=web&together=true", "service=web&namespace=shop"] {
            assert_refused(&server.get(&format!("/v1/0/events?{query}&next={next}")), 400, &message, query);
        }
        let message = format!(
            "end in url is not that of next.\nquery parameter end = {:?}: send what the first page was asked with",
            time(4)
        );
        let answer = server.get(&format!("/v1/0/events?service=web&next={next}&{}", window(0, 4)));
        assert_refused(&answer, 400, &message, "another window");
    });
}

#[test]
fn a_page_of_very_long_events_ends_early_and_the_next_goes_on() {
    let long = "x".repeat(60 << 10);
    let events: Vec<Value> = (0..200)
        .map(|number| with(event(&format!("{number:03}"), "web-0", (0, number)), json!({ "message": long })))
        .collect();
    everywhere(&[], &events, |server| {
        let pages = walk(server, &format!("limit=1000&{}", window(0, 1_000)), |_| {});
        let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
        assert_eq!(lengths, [136, 64]);
        let walked: Vec<&str> = pages.iter().flatten().map(|event| event["uid"].as_str().unwrap()).collect();
        assert_eq!(walked, (0..200).rev().map(|number| format!("{number:03}")).collect::<Vec<_>>());
    });
}
