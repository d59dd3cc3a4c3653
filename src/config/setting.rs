//! What a setting is: its names, its form, its default, and how its text becomes a value. [`super::table`] has them all.

use super::Config;

/// What a value is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    /// `HOST:PORT`.
    Address,
    Path,
    Size,
    Duration,
    Count,
    /// A share of all, such as 0.75.
    Rate,
    YesNo,
    /// Texts between commas.
    List,
}

impl Form {
    /// How `--help` names a value of the form.
    pub const fn value_name(self) -> &'static str {
        match self {
            Form::Text => "TEXT",
            Form::Address => "HOST:PORT",
            Form::Path => "DIR",
            Form::Size => "SIZE",
            Form::Duration => "DURATION",
            Form::Count => "N",
            Form::Rate => "RATE",
            Form::YesNo => "true|false",
            Form::List => "A,B",
        }
    }
}

/// An environment name of another product.
#[derive(Debug)]
pub struct AlsoEnv {
    pub name: &'static str,
    /// What is written there, in this table's notation. The second text is the setting's value without it.
    pub read: fn(&str, &str) -> String,
}

pub(super) const fn also(name: &'static str, read: fn(&str, &str) -> String) -> AlsoEnv {
    AlsoEnv { name, read }
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file, dots between section and name. The environment's name is the same in upper case behind
    /// `SPANLAKE_` (`SPANLAKE_INGEST_MAX_SPANS`).
    pub key: &'static str,
    /// The flag without the dashes in front: the key with dashes.
    pub flag: &'static str,
    pub form: Form,
    /// As it would be written in the file.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// Environment names of another product that mean the same; the setting's own name wins, then the first of these.
    pub also_env: &'static [AlsoEnv],
    /// Whether the value is hidden wherever settings are shown.
    pub secret: bool,
    /// Reads the text and keeps the value; the error says what was expected.
    pub keep: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// `SPANLAKE_INGEST_MAX_SPANS`.
    pub fn env(&self) -> String {
        format!("SPANLAKE_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

/// A setting of ours alone, which is no secret.
pub(super) const fn setting(
    key: &'static str,
    flag: &'static str,
    form: Form,
    default: &'static str,
    help: &'static str,
    keep: fn(&mut Config, &str) -> Result<(), String>,
) -> Setting {
    Setting { key, flag, form, default, help, also_env: &[], secret: false, keep }
}
