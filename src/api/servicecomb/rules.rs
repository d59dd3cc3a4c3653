//! The rules that fields keep, as the service centre has them, and what is put where a field is missing.
//!
//! | field | characters | of |
//! |---|---|---|
//! | environment | - | `development`, `testing`, `acceptance`, `production`, or nothing |
//! | appId | 1 to 160 | letters, digits, `_`, `-`, `.`; a letter or digit first and last |
//! | serviceName | 1 to 128 | the same |
//! | instanceId | 0 to 64 | letters, digits, `_`, `.`, `-` |
//! | hostName | 1 to 64 | no spaces |

use super::answer::Failure;
use super::request::Rule;
use crate::registry::{HealthCheck, Instance};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The application of a service that names none.
pub(super) const DEFAULT_APP: &str = "default";

/// A pattern that is known to be one.
macro_rules! pattern {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a pattern"));
    };
}

pattern!(NAME, r"^(?:[a-zA-Z0-9]*|[a-zA-Z0-9][a-zA-Z0-9_\-.]*[a-zA-Z0-9])$");
pattern!(FOUND_NAME, r"^(?:[a-zA-Z0-9]*|[a-zA-Z0-9][a-zA-Z0-9_\-.:]*[a-zA-Z0-9])$");
pattern!(INSTANCE_ID, r"^[A-Za-z0-9_.-]*$");
pattern!(NO_SPACE, r"^\S*$");
pattern!(PLACE, r"^[A-Za-z0-9_.-]+$");
pattern!(TAG, r"^[a-zA-Z][a-zA-Z0-9_\-.]{0,63}$");

const NAME_WORDS: &str = "letters, digits, _, - and ., a letter or digit first and last";
const APP_ID: Rule = Rule { least: 1, most: 160, pattern: &NAME, words: NAME_WORDS };
const WANTED_NAME: Rule = Rule { least: 1, most: 289, pattern: &FOUND_NAME, words: NAME_WORDS };
const INSTANCE: Rule = Rule { least: 0, most: 64, pattern: &INSTANCE_ID, words: "letters, digits, _, . and -" };
const HOST_NAME: Rule = Rule { least: 1, most: 64, pattern: &NO_SPACE, words: "no spaces" };
const ENDPOINT: Rule = Rule { least: 1, most: 512, pattern: &NO_SPACE, words: "no spaces" };
const DATA_CENTER: Rule = Rule { least: 1, most: 128, pattern: &PLACE, words: "letters, digits, _, . and -" };
const TAG_RULE: Rule = Rule { least: 1, most: 64, pattern: &TAG, words: "letters, digits, _, - and ., a letter first" };

/// Tags that one question names.
const MOST_WANTED_TAGS: usize = 100;

pub(super) fn environment(field: &str, text: &str) -> Result<(), Failure> {
    match text {
        "" | "development" | "testing" | "acceptance" | "production" => Ok(()),
        _ => Err(Failure::invalid(format!(
            "{field}: send development, testing, acceptance, production, or leave it out"
        ))),
    }
}

pub(super) fn app_id(field: &str, text: &str) -> Result<(), Failure> {
    APP_ID.check(field, text)
}

/// A name that is looked for; it may be an alias.
pub(super) fn wanted_name(field: &str, text: &str) -> Result<(), Failure> {
    WANTED_NAME.check(field, text)
}

pub(super) fn instance_status(field: &str, text: &str) -> Result<(), Failure> {
    match text {
        "UP" | "DOWN" | "STARTING" | "TESTING" | "OUTOFSERVICE" => Ok(()),
        _ => Err(Failure::invalid(format!("{field}: send UP, DOWN, STARTING, TESTING or OUTOFSERVICE"))),
    }
}

/// Checks an instance and fills in what it leaves out.
pub(super) fn instance(instance: &mut Instance) -> Result<(), Failure> {
    INSTANCE.check("instance.instanceId", &instance.instance_id)?;
    HOST_NAME.check("instance.hostName", &instance.host_name)?;
    for endpoint in &instance.endpoints {
        ENDPOINT.check("instance.endpoints", endpoint)?;
    }
    if instance.status.is_empty() {
        "UP".clone_into(&mut instance.status);
    }
    instance_status("instance.status", &instance.status)?;
    match &mut instance.health_check {
        Some(check) => health_check(check)?,
        None => {
            instance.health_check =
                Some(HealthCheck { mode: "push".to_owned(), interval: 30, times: 3, ..HealthCheck::default() })
        }
    }
    if let Some(center) = &instance.data_center_info {
        for (field, text) in
            [("name", &center.name), ("region", &center.region), ("availableZone", &center.available_zone)]
        {
            DATA_CENTER.check(&format!("instance.dataCenterInfo.{field}"), text)?;
        }
    }
    Ok(())
}

fn health_check(check: &mut HealthCheck) -> Result<(), Failure> {
    if check.mode.is_empty() {
        "push".clone_into(&mut check.mode);
    }
    let refused = |field: &str, rule: &str| Err(Failure::invalid(format!("instance.healthCheck.{field}: send {rule}")));
    if check.mode != "push" && check.mode != "pull" {
        return refused("mode", "push or pull");
    }
    if !(0..=65_535).contains(&check.port) {
        return refused("port", "a number from 0 to 65535");
    }
    if !(1..=86_400).contains(&check.interval) {
        return refused("interval", "seconds from 1 to 86400");
    }
    if !(0..=10_000).contains(&check.times) {
        return refused("times", "a number from 0 to 10000");
    }
    Ok(())
}

/// Tags of a query, `key:value` between commas.
pub(super) fn wanted_tags(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut tags = BTreeMap::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once(':') else {
            return Err(Failure::invalid("query parameter tags: send key:value pairs between commas"));
        };
        TAG_RULE.check("query parameter tags", key)?;
        tags.insert(key.to_owned(), value.to_owned());
        if tags.len() > MOST_WANTED_TAGS {
            return Err(Failure::invalid(format!("query parameter tags: send up to {MOST_WANTED_TAGS}")));
        }
    }
    Ok(tags)
}
