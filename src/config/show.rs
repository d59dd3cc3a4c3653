//! `spanlake config`: the effective settings as a file that could be kept as `spanlake.toml`, each with its origin.

use super::{Form, MASK, Value};

/// The settings as TOML, the origin of each behind it, secrets masked.
pub fn show(values: &[Value]) -> String {
    let lines: Vec<(&str, String, String)> = values.iter().map(line).collect();
    let width = lines.iter().map(|(_, assignment, _)| assignment.chars().count()).max().unwrap_or_default();
    let mut shown = String::new();
    let mut open = "";
    for (section, assignment, origin) in &lines {
        if *section != open {
            shown.push_str(&format!("\n[{section}]\n"));
            open = section;
        }
        shown.push_str(&format!("{assignment:width$}  # {origin}\n"));
    }
    shown
}

/// The section, `name = value`, and the origin.
fn line(value: &Value) -> (&'static str, String, String) {
    let (section, name) = value.setting.key.split_once('.').unwrap_or(("", value.setting.key));
    let written = match value.setting.form {
        // That there is none is no secret.
        _ if value.setting.secret && !value.text.trim().is_empty() => toml::Value::from(MASK),
        Form::YesNo => value.text.trim().parse().map(toml::Value::Boolean).unwrap_or(toml::Value::from(&*value.text)),
        Form::Count => value.text.trim().parse().map(toml::Value::Integer).unwrap_or(toml::Value::from(&*value.text)),
        Form::Rate => value.text.trim().parse().map(toml::Value::Float).unwrap_or(toml::Value::from(&*value.text)),
        _ => toml::Value::from(&*value.text),
    };
    (section, format!("{name} = {written}"), value.origin.to_string())
}
