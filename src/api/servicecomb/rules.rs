//! The rules that fields keep, as the service centre has them, and what is put where a field is missing.
//!
//! | field | characters | of |
//! |---|---|---|
//! | serviceId | 0 to 64 | no spaces, no control characters |
//! | environment | - | `development`, `testing`, `acceptance`, `production`, or nothing |
//! | appId | 1 to 160 | letters, digits, `_`, `-`, `.`; a letter or digit first and last |
//! | serviceName | 1 to 128 | the same |
//! | alias | 0 to 128 | letters, digits, `_`, `-`, `.`, `:` |
//! | version | 1 to 64 | one to four numbers up to 32767 with dots between them |
//! | description | 0 to 256 | anything |
//! | level | - | `FRONT`, `MIDDLE`, `BACK` |
//! | registerBy | - | `SDK`, `SIDECAR`, `PLATFORM`, `UNKNOWN`, or nothing |
//! | service's status | - | `UP`, `DOWN` |
//! | framework's name | 0 to 64 | as appId |
//! | framework's version | 0 to 64 | anything |
//! | schemaId | 1 to 160 | as appId |
//! | summary | 0 to 128, of a batch 1 to 128 | letters, digits |
//! | schema | 1 and more | no NUL, which PostgreSQL does not keep |
//! | tag's key and value | 1 to 64 | letters, digits, `_`, `-`, `.`; a letter first |
//! | instanceId | 0 to 64 | letters, digits, `_`, `.`, `-` |
//! | hostName | 1 to 64 | no spaces |
//! | endpoints | 1 to 512 each | no spaces |
//! | health check's url | 0 to 512 | no spaces |
//! | data center's name, region, zone | 1 to 128 | letters, digits, `_`, `.`, `-` |
//!
//! The numbers count characters, not bytes.

use super::answer::Failure;
use super::request::Rule;
use crate::registry::{Framework, HealthCheck, Instance, Microservice, Schema, ServicePath, WantedTags};
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The application of a service that names none.
pub(super) const DEFAULT_APP: &str = "default";
/// The version of a service that names none.
const DEFAULT_VERSION: &str = "0.0.1";

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

pattern!(SERVICE, r"^[^\s\p{Cc}]*$");
pattern!(VERSION_TEXT, r"^[0-9]+(?:\.[0-9]+){0,3}$");
pattern!(ALIAS_TEXT, r"^[a-zA-Z0-9_\-.:]*$");
pattern!(LETTERS, r"^[a-zA-Z0-9]*$");
pattern!(PATH_TEXT, r"^[A-Za-z0-9.,?'\\/+&;%$#=~_\-@{}]*$");
pattern!(ANYTHING, r"(?s)^.*$");

const NAME_WORDS: &str = "letters, digits, _, - and ., a letter or digit first and last";
const APP_ID: Rule = Rule { least: 1, most: 160, pattern: &NAME, words: NAME_WORDS };
const SERVICE_ID: Rule = Rule { least: 0, most: 64, pattern: &SERVICE, words: "no spaces and no control characters" };
const GIVEN_SERVICE_ID: Rule = Rule { least: 1, ..SERVICE_ID };
const SERVICE_NAME: Rule = Rule { least: 1, most: 128, pattern: &NAME, words: NAME_WORDS };
const VERSION: Rule =
    Rule { least: 1, most: 64, pattern: &VERSION_TEXT, words: "one to four numbers with dots between them" };
const ALIAS: Rule = Rule { least: 0, most: 128, pattern: &ALIAS_TEXT, words: "letters, digits, _, -, . and :" };
const DESCRIPTION: Rule = Rule { least: 0, most: 256, pattern: &ANYTHING, words: "whatever they are" };
const FRAMEWORK_NAME: Rule = Rule { least: 0, most: 64, pattern: &NAME, words: NAME_WORDS };
const FRAMEWORK_VERSION: Rule = Rule { least: 0, most: 64, pattern: &ANYTHING, words: "whatever they are" };
const PATH: Rule =
    Rule { least: 0, most: 2_048, pattern: &PATH_TEXT, words: "letters, digits and .,?'\\/+&;%$#=~_-@{}" };
const SCHEMA_ID: Rule = Rule { least: 1, most: 160, pattern: &NAME, words: NAME_WORDS };
const SUMMARY: Rule = Rule { least: 0, most: 128, pattern: &LETTERS, words: "letters and digits" };
const GIVEN_SUMMARY: Rule = Rule { least: 1, ..SUMMARY };
const WANTED_NAME: Rule = Rule { least: 1, most: 289, pattern: &FOUND_NAME, words: NAME_WORDS };
const GIVEN_INSTANCE: Rule = Rule { least: 1, ..INSTANCE };
const INSTANCE: Rule = Rule { least: 0, most: 64, pattern: &INSTANCE_ID, words: "letters, digits, _, . and -" };
const HOST_NAME: Rule = Rule { least: 1, most: 64, pattern: &NO_SPACE, words: "no spaces" };
const URL: Rule = Rule { least: 0, most: 512, pattern: &NO_SPACE, words: "no spaces" };
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

/// The id of a service in a path or a list.
pub(super) fn service_id(field: &str, text: &str) -> Result<(), Failure> {
    GIVEN_SERVICE_ID.check(field, text)
}

/// The id of an instance in a path or a list.
pub(super) fn instance_id(field: &str, text: &str) -> Result<(), Failure> {
    GIVEN_INSTANCE.check(field, text)
}

/// The id of a contract.
pub(super) fn schema_id(field: &str, text: &str) -> Result<(), Failure> {
    SCHEMA_ID.check(field, text)
}

/// The name under which a service registers.
pub(super) fn service_name(field: &str, text: &str) -> Result<(), Failure> {
    SERVICE_NAME.check(field, text)
}

/// A version, not a rule for versions.
pub(super) fn version(field: &str, text: &str) -> Result<(), Failure> {
    VERSION.check(field, text)?;
    if text.split('.').all(|part| part.parse::<u64>().is_ok_and(|number| number <= 32_767)) {
        return Ok(());
    }
    Err(Failure::invalid(format!("{field}: send numbers from 0 to 32767")))
}

/// One of some words; what is empty gets the default.
fn word(field: &str, text: &mut String, words: &[&str], default: &str) -> Result<(), Failure> {
    if text.is_empty() {
        default.clone_into(text);
    }
    if text.is_empty() || words.contains(&text.as_str()) {
        return Ok(());
    }
    Err(Failure::invalid(format!("{field}: send {}, or leave it out", words.join(", "))))
}

/// Checks a service and fills in what it leaves out.
pub(super) fn service(service: &mut Microservice, most_schemas: usize) -> Result<(), Failure> {
    if service.app_id.is_empty() {
        DEFAULT_APP.clone_into(&mut service.app_id);
    }
    if service.version.is_empty() {
        DEFAULT_VERSION.clone_into(&mut service.version);
    }
    SERVICE_ID.check("service.serviceId", &service.service_id)?;
    environment("service.environment", &service.environment)?;
    app_id("service.appId", &service.app_id)?;
    service_name("service.serviceName", &service.service_name)?;
    version("service.version", &service.version)?;
    DESCRIPTION.check("service.description", &service.description)?;
    word("service.level", &mut service.level, &["FRONT", "MIDDLE", "BACK"], "BACK")?;
    word("service.status", &mut service.status, &["UP", "DOWN"], "UP")?;
    word("service.registerBy", &mut service.register_by, &["SDK", "SIDECAR", "PLATFORM", "UNKNOWN"], "")?;
    ALIAS.check("service.alias", &service.alias)?;
    if service.schemas.len() > most_schemas {
        return Err(Failure::invalid(format!("service.schemas: send up to {most_schemas}")));
    }
    for id in &service.schemas {
        schema_id("service.schemas", id)?;
    }
    for ServicePath { path, .. } in &service.paths {
        PATH.check("service.paths.path", path)?;
    }
    service.framework.as_ref().map_or(Ok(()), |it| framework("service.framework", it))
}

/// What a service was built with.
pub(super) fn framework(field: &str, framework: &Framework) -> Result<(), Failure> {
    FRAMEWORK_NAME.check(&format!("{field}.name"), &framework.name)?;
    FRAMEWORK_VERSION.check(&format!("{field}.version"), &framework.version)
}

/// A contract; one of a batch must bring a summary.
pub(super) fn schema(field: &str, schema: &Schema, of_batch: bool) -> Result<(), Failure> {
    schema_id(&format!("{field}schemaId"), &schema.id)?;
    let summary = if of_batch { GIVEN_SUMMARY } else { SUMMARY };
    summary.check(&format!("{field}summary"), &schema.summary)?;
    let text = schema.text.as_deref().unwrap_or_default();
    if text.is_empty() || text.contains('\0') {
        return Err(Failure::invalid(format!("{field}schema: send the contract's text, without NUL characters")));
    }
    Ok(())
}

/// The key or the value of a tag.
pub(super) fn tag(field: &str, text: &str) -> Result<(), Failure> {
    TAG_RULE.check(field, text)
}

/// Tags that a service gets.
pub(super) fn tags(tags: &BTreeMap<String, String>, most: usize) -> Result<(), Failure> {
    if tags.len() > most {
        return Err(Failure::invalid(format!("tags: send up to {most}")));
    }
    for (key, value) in tags {
        tag("tags: a key", key)?;
        tag("tags: a value", value)?;
    }
    Ok(())
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
    URL.check("instance.healthCheck.url", &check.url)
}

/// Tags of a query between commas: `key` for one of whatever value, `key:value` for one of that value.
pub(super) fn wanted_tags(text: &str) -> Result<WantedTags, Failure> {
    let mut tags = WantedTags::new();
    for pair in text.split(',').filter(|pair| !pair.is_empty()) {
        let (key, value) = match pair.split_once(':') {
            Some((key, value)) => (key, Some(value)),
            None => (pair, None),
        };
        TAG_RULE.check("query parameter tags", key)?;
        tags.insert(key.to_owned(), value.map(str::to_owned));
        if tags.len() > MOST_WANTED_TAGS {
            return Err(Failure::invalid(format!("query parameter tags: send up to {MOST_WANTED_TAGS}")));
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests;
