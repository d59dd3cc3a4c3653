//! Each field with what it takes and what it refuses.

use super::*;
use crate::registry::DataCenterInfo;

/// Texts of so many characters, of more than a byte each where `wide`.
fn long(count: usize, wide: bool) -> String {
    if wide { "é" } else { "a" }.repeat(count)
}

fn names(rule: impl Fn(&str) -> Result<(), Failure>, most: usize, empty: bool) {
    for good in ["a", "1", "a.b", "a-b_c.d", "A9", "a--b", &long(most, false)] {
        assert_eq!(rule(good), Ok(()), "{good}");
    }
    for bad in ["-", ".a", "a.", "_a", "a_", "a b", "a:b", "a/b", "a\n", "a\0", "é", "٣", &long(most + 1, false)] {
        assert!(rule(bad).is_err(), "{bad:?}");
    }
    assert_eq!(rule("").is_ok(), empty);
}

#[test]
fn names_are_letters_digits_and_what_joins_them() {
    names(|text| app_id("f", text), 160, false);
    names(|text| service_name("f", text), 128, false);
    names(|text| schema_id("f", text), 160, false);
    names(|name| framework("f", &Framework { name: name.to_owned(), version: String::new() }), 64, true);
}

#[test]
fn a_wanted_name_may_be_an_alias() {
    for good in ["a", "app:name", "a:b:c", "a.b-c:d", &long(289, false)] {
        assert_eq!(wanted_name("f", good), Ok(()), "{good}");
    }
    for bad in ["", ":a", "a:", "a b", "a/b", &long(290, false)] {
        assert!(wanted_name("f", bad).is_err(), "{bad:?}");
    }
}

#[test]
fn ids_have_no_spaces_and_nothing_that_a_database_refuses() {
    for good in ["a", "a/b", "é", "-", &long(64, true)] {
        assert_eq!(service_id("f", good), Ok(()), "{good}");
    }
    for bad in ["", " ", "a b", "a\t", "a\0", "\u{7f}", "a\u{a0}b", &long(65, false)] {
        assert!(service_id("f", bad).is_err(), "{bad:?}");
    }
    for good in ["a", "A-1_b.c", "-", &long(64, false)] {
        assert_eq!(instance_id("f", good), Ok(()), "{good}");
    }
    for bad in ["", "a b", "a/b", "a:b", "é", "a\0", &long(65, false)] {
        assert!(instance_id("f", bad).is_err(), "{bad:?}");
    }
}

#[test]
fn an_environment_is_one_of_four_or_none() {
    for good in ["", "development", "testing", "acceptance", "production"] {
        assert_eq!(environment("f", good), Ok(()), "{good}");
    }
    for bad in ["Development", "staging", "testing ", "developmenttesting"] {
        assert!(environment("f", bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_version_is_one_to_four_numbers_that_two_bytes_hold() {
    for good in ["0", "1.0", "1.2.3.4", "32767.32767.32767.32767", "007.1"] {
        assert_eq!(version("f", good), Ok(()), "{good}");
    }
    let digits = "1".repeat(65);
    for bad in ["", ".", "1.", ".1", "1..2", "1.2.3.4.5", "32768", "1.99999", "-1", "1.a", "1+", "latest", "٣", &digits]
    {
        assert!(version("f", bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_status_of_an_instance_is_one_of_five() {
    for good in ["UP", "DOWN", "STARTING", "TESTING", "OUTOFSERVICE"] {
        assert_eq!(instance_status("f", good), Ok(()), "{good}");
    }
    for bad in ["", "up", "UNKNOWN", "UP "] {
        assert!(instance_status("f", bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_tag_begins_with_a_letter() {
    for good in ["a", "a1", "A_b-c.d", &long(64, false)] {
        assert_eq!(tag("f", good), Ok(()), "{good}");
    }
    for bad in ["", "1a", "_a", "a b", "a:b", "é", &long(65, false)] {
        assert!(tag("f", bad).is_err(), "{bad:?}");
    }
}

#[test]
fn tags_that_are_asked_for_are_pairs_between_commas() {
    let pairs = |text: &str| wanted_tags(text).map(|tags| tags.into_iter().collect::<Vec<_>>());
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(pairs(""), Ok(vec![]));
    assert_eq!(pairs("a:b,c:d,,"), Ok(vec![pair("a", "b"), pair("c", "d")]));
    assert_eq!(pairs("a:b:c"), Ok(vec![pair("a", "b:c")]));
    let many: Vec<String> = (0..101).map(|n| format!("a{n}:b")).collect();
    for bad in ["a", ":b", "1:b", &many.join(",")] {
        assert!(pairs(bad).is_err(), "{bad:?}");
    }
}

/// A service that keeps all rules.
fn good_service() -> Microservice {
    Microservice { service_name: "a".to_owned(), ..Microservice::default() }
}

fn checked(change: impl FnOnce(&mut Microservice)) -> Result<Microservice, Failure> {
    let mut changed = good_service();
    change(&mut changed);
    service(&mut changed, 100).map(|()| changed)
}

#[test]
fn a_service_gets_what_it_leaves_out() {
    let found = checked(|_| {}).unwrap();
    assert_eq!(
        (found.app_id.as_str(), found.version.as_str(), found.level.as_str(), found.status.as_str()),
        ("default", "0.0.1", "BACK", "UP")
    );
    assert_eq!((found.environment.as_str(), found.register_by.as_str()), ("", ""));
}

/// Puts a text into a field.
type Put = fn(&mut Microservice, String);

#[test]
fn each_field_of_a_service_keeps_its_rule() {
    let fields: [(&str, Put, Vec<String>, Vec<String>); 13] = [
        ("serviceId", |s, t| s.service_id = t, vec![long(64, true)], vec![long(65, false), "a b".into(), "\0".into()]),
        ("environment", |s, t| s.environment = t, vec!["testing".into()], vec!["x".into()]),
        ("appId", |s, t| s.app_id = t, vec![long(160, false)], vec![long(161, false), "a b".into()]),
        ("serviceName", |s, t| s.service_name = t, vec![long(128, false)], vec![String::new(), long(129, false)]),
        ("version", |s, t| s.version = t, vec!["1.2".into()], vec!["1.2.3.4.5".into(), "1+".into()]),
        ("description", |s, t| s.description = t, vec![long(256, true), "a\n\0b".into()], vec![long(257, false)]),
        ("level", |s, t| s.level = t, vec!["FRONT".into(), "MIDDLE".into()], vec!["TOP".into(), "front".into()]),
        ("status", |s, t| s.status = t, vec!["DOWN".into()], vec!["TESTING".into(), "up".into()]),
        (
            "registerBy",
            |s, t| s.register_by = t,
            vec!["SDK".into(), "SIDECAR".into(), "PLATFORM".into(), "UNKNOWN".into()],
            vec!["ME".into(), "SDKSDK".into()],
        ),
        ("alias", |s, t| s.alias = t, vec![long(128, false), "a:b".into()], vec![long(129, false), "a b".into()]),
        ("schemas", |s, t| s.schemas = vec![t], vec![long(160, false)], vec![String::new(), "a b".into()]),
        (
            "paths",
            |s, t| s.paths = vec![ServicePath { path: t, ..ServicePath::default() }],
            vec![String::new(), "/a/{b}?c=d&e=%20;~".into()],
            vec!["/a b".into(), "/<a>".into(), long(2_049, false)],
        ),
        (
            "framework",
            |s, t| s.framework = Some(Framework { name: String::new(), version: t }),
            vec![long(64, true), "any thing".into()],
            vec![long(65, false)],
        ),
    ];
    for (name, put, good, bad) in fields {
        for text in good {
            assert!(checked(|service| put(service, text.clone())).is_ok(), "{name}: {text:?}");
        }
        for text in bad {
            let refused = checked(|service| put(service, text.clone())).expect_err(&text);
            assert_eq!(refused.code, 400_001);
            assert!(refused.detail.starts_with(&format!("service.{name}")), "{text:?}: {}", refused.detail);
        }
    }
    assert!(checked(|service| service.schemas = vec!["a".to_owned(); 100]).is_ok());
    assert!(checked(|service| service.schemas = vec!["a".to_owned(); 101]).is_err());
}

#[test]
fn a_contract_has_a_text_and_in_a_batch_a_summary() {
    let of = |summary: String, text: Option<&str>| Schema {
        id: "s".to_owned(),
        summary,
        text: text.map(str::to_owned),
        ..Schema::default()
    };
    assert_eq!(schema("", &of(String::new(), Some("x")), false), Ok(()));
    assert_eq!(schema("", &of(long(128, false), Some("x")), true), Ok(()));
    assert!(schema("", &of(String::new(), Some("x")), true).is_err());
    for bad in [of(long(129, false), Some("x")), of("a-b".into(), Some("x"))] {
        assert!(schema("", &bad, false).is_err());
    }
    for text in [None, Some(""), Some("a\0b")] {
        assert!(schema("", &of(String::new(), text), false).is_err(), "{text:?}");
    }
}

fn checked_instance(change: impl FnOnce(&mut Instance)) -> Result<Instance, Failure> {
    let mut changed = Instance { host_name: "host".to_owned(), ..Instance::default() };
    change(&mut changed);
    instance(&mut changed).map(|()| changed)
}

#[test]
fn an_instance_gets_what_it_leaves_out() {
    let found = checked_instance(|_| {}).unwrap();
    let usual = HealthCheck { mode: "push".to_owned(), interval: 30, times: 3, ..HealthCheck::default() };
    assert_eq!((found.status.as_str(), found.health_check), ("UP", Some(usual)));
}

#[test]
fn each_field_of_an_instance_keeps_its_rule() {
    type Put = fn(&mut Instance, String);
    let center: Put = |instance, text| {
        let (region, available_zone) = ("r".to_owned(), "z".to_owned());
        instance.data_center_info = Some(DataCenterInfo { name: text, region, available_zone });
    };
    let fields: [(&str, Put, Vec<String>, Vec<String>); 5] = [
        (
            "instanceId",
            |i, t| i.instance_id = t,
            vec![String::new(), long(64, false)],
            vec![long(65, false), "a b".into()],
        ),
        ("hostName", |i, t| i.host_name = t, vec![long(64, true)], vec![String::new(), "a b".into(), long(65, false)]),
        (
            "endpoints",
            |i, t| i.endpoints = vec![t],
            vec!["rest://[::1]:1?a=b".into()],
            vec![String::new(), "a b".into()],
        ),
        ("status", |i, t| i.status = t, vec!["TESTING".into()], vec!["up".into()]),
        ("dataCenterInfo", center, vec![long(128, false)], vec![String::new(), long(129, false), "a b".into()]),
    ];
    for (name, put, good, bad) in fields {
        for text in good {
            assert!(checked_instance(|instance| put(instance, text.clone())).is_ok(), "{name}: {text:?}");
        }
        for text in bad {
            let refused = checked_instance(|instance| put(instance, text.clone())).expect_err(&text);
            assert!(refused.detail.starts_with(&format!("instance.{name}")), "{text:?}: {}", refused.detail);
        }
    }
}

#[test]
fn a_health_check_has_numbers_within_bounds() {
    let check = |mode: &str, port, interval, times| {
        let check = HealthCheck { mode: mode.to_owned(), port, interval, times, url: String::new() };
        checked_instance(|instance| instance.health_check = Some(check)).is_ok()
    };
    for (mode, port, interval, times) in [("", 0, 1, 0), ("push", 65_535, 86_400, 10_000), ("pull", 80, 900, 3)] {
        assert!(check(mode, port, interval, times), "{mode} {port} {interval} {times}");
    }
    for (mode, port, interval, times) in [
        ("poll", 0, 1, 0),
        ("push", -1, 1, 0),
        ("push", 65_536, 1, 0),
        ("push", 0, 0, 0),
        ("push", 0, -5, 0),
        ("push", 0, 86_401, 0),
        ("push", 0, 1, -1),
        ("push", 0, 1, 10_001),
    ] {
        assert!(!check(mode, port, interval, times), "{mode} {port} {interval} {times}");
    }
}
