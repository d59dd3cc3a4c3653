//! The settings: one table ([`SETTINGS`]) from which flags, environment names, the file's keys, `--help` and
//! `spanlake config` come.
//!
//! A value is taken from the first that has one: flag, environment, file, default. The file is `--config FILE`, else
//! `SPANLAKE_CONFIG`, else `./spanlake.toml` if it is there. Nothing is guessed: a value that cannot be read, or a key
//! that nobody knows, is an error that names the key, the value, where it came from and what to write instead.
//!
//! In: the command line's matches. Out: [`Config`], typed, and [`Effective`], each value with its origin.

mod another;
mod secrets;
mod setting;
mod show;
mod table;
mod values;
mod variables;

pub use secrets::{Credential, PASSWORD_RULE, Secret, is_password};
pub use setting::{AlsoEnv, Form, Setting};
pub use show::show;
pub use table::SETTINGS;
pub use values::{context_margin, show_size};
pub use variables::{Unknown, unknown};

use clap::{Arg, ArgMatches};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is read if nothing names another.
const DEFAULT_FILE: &str = "spanlake.toml";
/// The environment's name for the file.
const FILE_ENV: &str = "SPANLAKE_CONFIG";
/// What stands for a secret wherever settings are shown.
const MASK: &str = "********";

/// All settings, read and checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub listen: String,
    pub data: PathBuf,
    pub projects: Projects,
    pub log: String,
    pub shutdown_timeout: Duration,
    pub server: ServerConfig,
    pub ingest: IngestConfig,
    pub events: EventsConfig,
    pub flush: FlushConfig,
    pub wal: WalConfig,
    pub lake: LakeConfig,
    pub query: QueryConfig,
    pub zipkin: ZipkinConfig,
    pub zipkin_ui: ZipkinUiConfig,
    pub ats: AtsConfig,
    pub auth: AuthConfig,
    pub registry: RegistryConfig,
    pub sae: SaeConfig,
    pub kie: KieConfig,
    pub ccs: CcsConfig,
}

/// What a project id means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Projects {
    /// Any id is a name for the one project.
    #[default]
    Single,
    /// An id sees only what was posted under it.
    Isolated,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerConfig {
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub max_connections: usize,
    pub allowed_origins: Origins,
}

/// The sites whose pages may use the API from a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origins {
    #[default]
    Any,
    /// As browsers name them, in lower case: `https://zipkin.example.com`.
    Only(Vec<String>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngestConfig {
    pub max_body_bytes: usize,
    pub max_decompressed_bytes: usize,
    pub max_inflight_bytes: usize,
    pub max_spans: usize,
    pub max_entries: usize,
    pub max_span_entries: usize,
    pub max_depth: usize,
    pub max_tag_bytes: usize,
}

/// Service events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventsConfig {
    pub max_events: usize,
    pub max_values: usize,
    pub max_depth: usize,
    pub max_name_bytes: usize,
    pub max_message_bytes: usize,
    pub max_decoded_bytes: usize,
    /// Zero for ever.
    pub retention: Duration,
    /// How long before a trace the events of its services belong to its context.
    pub context_margin: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlushConfig {
    pub bytes: usize,
    pub interval: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WalConfig {
    pub segment_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LakeConfig {
    pub removed_file_retention: Duration,
    pub compact_files: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryConfig {
    /// Zero for ever.
    pub timeout: Duration,
    pub max_limit: usize,
    pub lookback: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ZipkinConfig {
    pub strict_trace_id: bool,
    pub search_enabled: bool,
    /// Each once, in the order given.
    pub autocomplete_keys: Vec<String>,
    pub names_max_age: Duration,
}

/// What Zipkin's UI is told about itself. Empty texts are not given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZipkinUiConfig {
    pub environment: String,
    pub query_limit: u64,
    pub default_lookback: Duration,
    pub logs_url: String,
    pub support_url: String,
    pub archive_post_url: String,
    pub archive_url: String,
    pub dependency_enabled: bool,
    pub dependency_low_error_rate: f64,
    pub dependency_high_error_rate: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtsConfig {
    pub miss_is_error: bool,
}

/// Who may come in. With neither credentials nor tokens nor a password everybody may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthConfig {
    pub credentials: Vec<Credential>,
    pub tokens: Vec<Secret>,
    /// Empty where there are no accounts.
    pub root_password: Secret,
    pub clock_skew: Duration,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryConfig {
    /// Empty for SQLite in the data folder.
    pub url: String,
    pub max_services: usize,
    pub max_instances: usize,
    pub max_bytes: usize,
    pub max_schemas: usize,
    pub max_tags: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaeConfig {
    /// Whether answers are in XML where the client accepts anything, rather than in JSON.
    pub default_xml: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KieConfig {
    pub max_items: usize,
    pub max_bytes: u64,
    pub max_waiting: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CcsConfig {
    /// Of the times in answers, in seconds east of UTC.
    pub utc_offset: i32,
    /// Hosts that requests may be signed for beside the one that they are sent to.
    pub hosts: Vec<String>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The flag, with its dashes.
    Flag(String),
    /// The variable's name.
    Environment(String),
    /// The file's name.
    File(String),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) | Origin::Environment(name) | Origin::File(name) => f.write_str(name),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A setting's value as it was written, and where.
#[derive(Clone, Debug)]
pub struct Value {
    pub setting: &'static Setting,
    pub text: String,
    pub origin: Origin,
}

/// The settings with the origin of each, in the table's order.
#[derive(Clone, Debug)]
pub struct Effective {
    pub config: Config,
    pub values: Vec<Value>,
}

/// Why settings cannot be used. The text names the setting, its value, its origin and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A settings file, by the name that messages give it.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

/// The command line's arguments for the settings whose keys pass: what `serve` and `config` take whole and other
/// commands in part. `--config` is always among them.
pub fn args(wanted: impl Fn(&str) -> bool) -> Vec<Arg> {
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help(format!("The file to read settings from [env: {FILE_ENV}] [default: ./{DEFAULT_FILE} if it is there]"));
    let settings = SETTINGS.iter().filter(|setting| wanted(setting.key)).map(|setting| {
        let heading = setting.key.split_once('.').map_or("Settings", |(section, _)| section);
        let arg = Arg::new(setting.key)
            .long(setting.flag)
            .value_name(setting.form.value_name())
            .help_heading(heading)
            .help(format!("{} [env: {}] [default: {}]", setting.help, setting.env(), setting.default));
        match setting.form {
            Form::YesNo => arg.num_args(0..=1).default_missing_value("true"),
            _ => arg,
        }
    });
    std::iter::once(file).chain(settings).collect()
}

/// Gathers the settings of this process: its command line, environment and file.
pub fn load(matches: &ArgMatches) -> Result<Effective, ConfigError> {
    let environment = |name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    // A command that takes only some of the settings has no argument for the others.
    let flag = |key: &str| matches.try_get_one::<String>(key).ok().flatten().cloned();
    let named = flag("config").or_else(|| environment(FILE_ENV).filter(|name| !name.is_empty()));
    let path = match &named {
        Some(name) => Some(Path::new(name)),
        None => Some(Path::new(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    let name = path.map(|path| path.display().to_string()).unwrap_or_default();
    let text = match path {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|e| {
            ConfigError(format!("cannot read the settings file {name}: {e}; check --config and {FILE_ENV}"))
        })?),
        None => None,
    };
    resolve(&flag, &environment, text.as_deref().map(|text| File { name: &name, text }))
}

/// Takes each setting from the first source that has it. Pure: the sources are passed in.
pub fn resolve(
    flag: &dyn Fn(&str) -> Option<String>,
    environment: &dyn Fn(&str) -> Option<String>,
    file: Option<File<'_>>,
) -> Result<Effective, ConfigError> {
    let mut in_file = match file {
        Some(file) => read_file(file)?,
        None => BTreeMap::new(),
    };
    let mut config = Config::default();
    let mut values = Vec::with_capacity(SETTINGS.len());
    for setting in SETTINGS {
        // An empty variable is how many tools spell "not set".
        let variable = |name: &str| environment(name).filter(|text| !text.is_empty());
        let beneath = in_file
            .remove(setting.key)
            .zip(file)
            .map_or((setting.default.to_owned(), Origin::Default), |(text, file)| {
                (text, Origin::File(file.name.into()))
            });
        let of_another = |also: &AlsoEnv| {
            Some(((also.read)(&variable(also.name)?, &beneath.0), Origin::Environment(also.name.to_owned())))
        };
        let (text, origin) = flag(setting.key)
            .map(|text| (text, Origin::Flag(format!("--{}", setting.flag))))
            .or_else(|| Some((variable(&setting.env())?, Origin::Environment(setting.env()))))
            .or_else(|| setting.also_env.iter().find_map(of_another))
            .unwrap_or(beneath);
        (setting.keep)(&mut config, &text).map_err(|expected| {
            let shown = if setting.secret { MASK } else { text.as_str() };
            ConfigError(format!("{} = {shown:?} (from {origin}): {expected}", setting.key))
        })?;
        values.push(Value { setting, text, origin });
    }
    if let (Some(unknown), Some(file)) = (in_file.keys().next(), file) {
        // A name that was cut short, or that lacks its section, is nearer than one of other letters.
        let nearness = |key: &&str| (!key.contains(unknown.as_str()), distance(unknown, key));
        let known = SETTINGS.iter().map(|setting| setting.key).min_by_key(nearness);
        return Err(ConfigError(format!(
            "{}: unknown setting {unknown:?}; the nearest known one is {:?} (`spanlake config` lists them all)",
            file.name,
            known.unwrap_or_default()
        )));
    }
    Ok(Effective { config, values })
}

/// The file's values as texts, by dotted key.
fn read_file(file: File<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    // Without the line's text: a secret may stand there.
    let table: toml::Table = file.text.parse().map_err(|e: toml::de::Error| {
        let (line, column) = place(file.text, e.span().map_or(0, |span| span.start));
        ConfigError(format!("{}, line {line}, column {column}: this is not TOML: {}", file.name, e.message()))
    })?;
    let mut values = BTreeMap::new();
    flatten(file, "", table, &mut values)?;
    Ok(values)
}

/// The line and the column of a byte, both counted from 1.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn flatten(
    file: File<'_>,
    prefix: &str,
    table: toml::Table,
    values: &mut BTreeMap<String, String>,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        let text = match value {
            toml::Value::Table(table) => {
                flatten(file, &key, table, values)?;
                continue;
            }
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(yes) => yes.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Datetime(_) | toml::Value::Array(_) => {
                return Err(ConfigError(format!(
                    "{}: {key} is a list or a date; write a text, a number, true or false",
                    file.name
                )));
            }
        };
        values.insert(key, text);
    }
    Ok(())
}

/// How many letters must be put in, taken out or changed to make one text of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (above, to) in row.iter().skip(1).zip(&b) {
            left = (diagonal + usize::from(from != *to)).min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
