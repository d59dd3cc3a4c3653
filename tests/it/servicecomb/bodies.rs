//! Bodies that are too large, malformed or odd.

use super::{Sc, code, done, refused};
use crate::support::registry::on_each_database;
use serde_json::json;

#[test]
fn bodies_have_the_service_centres_limits() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&service, 1);
        let base = format!("/registry/microservices/{service}");
        let one = format!("{base}/instances/{instance}");
        // A body of so many bytes; JSON may end in spaces.
        let of = |mut text: String, bytes: usize| {
            text.push_str(&" ".repeat(bytes - text.len()));
            text
        };
        let registration = json!({ "instance": { "hostName": "h", "endpoints": ["rest://1:1"] } }).to_string();
        let contract = json!({ "schema": "x" }).to_string();
        let properties = json!({ "properties": {} }).to_string();
        for (method, path, body, most) in [
            ("POST", format!("{base}/instances"), registration, 5 << 10),
            ("PUT", format!("{base}/properties"), properties.clone(), 3 << 10),
            ("PUT", format!("{one}/properties"), properties, 3 << 10),
            ("PUT", format!("{base}/schemas/s"), contract, 2 << 20),
        ] {
            let fits = sc.send_with(method, &path, &[], of(body.clone(), most).as_bytes());
            assert_eq!(fits.status, 200, "{path}: {}", fits.text());
            let larger = sc.send_with(method, &path, &[], of(body, most + 1).as_bytes());
            refused(&larger, 400_001, &format!("the body is larger than {most} bytes: send less"));
        }
    });
}

#[test]
fn bad_bodies_are_refused_and_the_server_goes_on() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let service = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&service, 1);
        let base = format!("/registry/microservices/{service}");
        let routes = [
            ("POST", "/registry/microservices".to_owned()),
            ("DELETE", "/registry/microservices".to_owned()),
            ("PUT", format!("{base}/properties")),
            ("POST", format!("{base}/instances")),
            ("PUT", format!("{base}/instances/{instance}/properties")),
            ("POST", format!("{base}/schemas")),
            ("PUT", format!("{base}/schemas/s")),
            ("POST", format!("{base}/tags")),
            ("PUT", "/registry/heartbeats".to_owned()),
            ("POST", "/registry/instances/action?type=query".to_owned()),
            ("POST", "/registry/dependencies".to_owned()),
            ("PUT", "/registry/dependencies".to_owned()),
        ];
        let deep = "[".repeat(10_000);
        let deep_object = format!("{}1{}", "{\"service\":".repeat(500), "}".repeat(500));
        let bad: &[&[u8]] = &[
            b"",
            b"{",
            b"}",
            b"null",
            b"[]",
            b"1",
            b"\"text\"",
            b"{\"service\":1}",
            b"\xff\xfe",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"service\":{\"serviceName\":1}}",
            b"{} {}",
            deep.as_bytes(),
            deep_object.as_bytes(),
        ];
        for (method, path) in &routes {
            for body in bad {
                // A missing object and a missing list are refused as well.
                let answer = sc.send_with(method, path, &[], body);
                let text = String::from_utf8_lossy(&body[..body.len().min(40)]);
                let harmless = answer.status == 200 && (path.ends_with("/properties") || path.ends_with("/tags"));
                assert!(harmless || code(&answer) == 400_001, "{method} {path} {text}: {}", answer.text());
            }
        }
        for body in [b"\x1f\x8b\x08 no gzip".as_slice(), b"\x1f\x8b"] {
            let answer = sc.send_with("POST", "/registry/microservices", &[("content-encoding", "gzip")], body);
            assert_eq!(code(&answer), 400_001);
        }
        done(&sc.call("PUT", &format!("{base}/instances/{instance}/heartbeat")));
        assert!(!server.log().contains("panic"), "{}", server.log());
    });
}

#[test]
fn a_content_type_or_none_does_not_matter_and_an_empty_put_needs_no_body() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let body = json!({ "service": { "serviceName": "a" } }).to_string();
        let mut client = server.connect();
        for kind in
            [&[][..], &[("content-type", "application/x-www-form-urlencoded")], &[("content-type", "text/plain")]]
        {
            let answer = client.send("POST", "/v4/default/registry/microservices", kind, body.as_bytes());
            assert_eq!(answer.status, 200, "{kind:?}");
        }
        let service = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&service, 1);
        let path = format!("/registry/microservices/{service}/instances/{instance}/heartbeat");
        done(&sc.send_with("PUT", &path, &[("content-length", "0")], b""));
    });
}

#[test]
fn a_method_that_a_path_does_not_have_is_told_which_it_has() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let answer = sc.call("PATCH", "/registry/microservices");
        let mut allowed: Vec<&str> = answer.header("allow").unwrap().split(',').collect();
        allowed.sort_unstable();
        assert_eq!((answer.status, allowed), (405, vec!["DELETE", "GET", "HEAD", "POST"]));
        assert_eq!(sc.call("GET", "/registry/nothing").status, 404);
    });
}
