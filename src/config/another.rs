//! What another product's variables hold, written as this one's settings are. Each reader is given the variable's text
//! and the value that the setting has without it.

pub fn as_is(text: &str, _: &str) -> String {
    text.to_owned()
}

/// A bare number counts milliseconds.
pub fn millis(text: &str, _: &str) -> String {
    with_unit(text, "ms")
}

/// A bare number counts seconds.
pub fn seconds(text: &str, _: &str) -> String {
    with_unit(text, "s")
}

fn with_unit(text: &str, unit: &str) -> String {
    let text = text.trim();
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if bare { format!("{text}{unit}") } else { text.to_owned() }
}

pub fn boolean(text: &str, _: &str) -> String {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => "true".to_owned(),
        "false" | "off" | "no" | "0" => "false".to_owned(),
        _ => text.to_owned(),
    }
}

/// The port alone: the host stays what it is.
pub fn port(text: &str, address: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    format!("{host}:{}", text.trim())
}
