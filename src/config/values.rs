//! The texts that settings are written in: sizes, durations, counts, yes or no. Each reader answers an error with what
//! it expected, for the message that names the setting and where its value came from.

use super::Origins;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Units of a size and the bytes in one; the first is also the unit of a bare number.
const SIZES: [(&str, u64); 9] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

/// Units of a duration and the milliseconds in one. A bare number has no unit and is refused: seconds or milliseconds
/// is a guess that costs somebody a night.
const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];

/// Digits (with `_` between them, if the writer likes) and the unit after them, in lower case.
fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let number = digits.replace('_', "").parse().ok()?;
    Some((number, unit.trim_start().to_ascii_lowercase()))
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Bytes: `64MiB`, `10MB`, `1048576`.
pub fn size(text: &str, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    match with_unit(text, &SIZES) {
        Some(bytes) if allowed.contains(&bytes) => Ok(bytes),
        Some(_) => {
            Err(format!("expected a size from {} to {}", show_size(*allowed.start()), show_size(*allowed.end())))
        }
        None => Err("expected a size such as 64MiB, 10MB or 1048576".to_owned()),
    }
}

/// `250ms`, `30s`, `5m`, `2h`, `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    match with_unit(text, &DURATIONS) {
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => Err("expected a duration with its unit, such as 250ms, 30s, 5m, 2h or 7d".to_owned()),
    }
}

/// A whole number.
pub fn count(text: &str, allowed: RangeInclusive<u64>) -> Result<u64, String> {
    match number_and_unit(text) {
        Some((number, unit)) if unit.is_empty() && allowed.contains(&number) => Ok(number),
        _ => Err(format!("expected a whole number from {} to {}", allowed.start(), allowed.end())),
    }
}

/// `true` or `false`.
pub fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// A share of all: `0.75`. One that is never reached is above 1.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        _ => Err("expected a share of all, such as 0.75 (above 1 is never)".to_owned()),
    }
}

/// Texts between commas, each once, without the white space around them: `a, b`.
pub fn list(text: &str, most: usize) -> Result<Vec<String>, String> {
    let mut items: Vec<String> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        if !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
        if items.len() > most {
            return Err(format!("expected at most {most} texts between commas"));
        }
    }
    Ok(items)
}

/// A duration of more than nothing.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Ok(zero) if zero.is_zero() => Err("expected a duration of more than nothing, such as 30s".to_owned()),
        read => read,
    }
}

/// How long before a trace events belong to its context.
pub fn context_margin(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(30 * 24 * 3_600);
    match duration(text) {
        Ok(margin) if margin <= MOST => Ok(margin),
        _ => Err("expected a duration of at most 30d with its unit, such as 90s, 10m or 2h".to_owned()),
    }
}

pub fn text(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

/// `*`, or sites as browsers name them.
pub fn origins(text: &str) -> Result<Origins, String> {
    const MOST: usize = 100;
    let expected = || "expected * or sites such as https://zipkin.example.com, between commas".to_owned();
    let sites = list(text, MOST)?;
    if sites.iter().any(|site| site == "*") {
        return Ok(Origins::Any);
    }
    let sites: Option<Vec<String>> = sites.iter().map(|site| origin(site)).collect();
    sites.map(Origins::Only).ok_or_else(expected)
}

/// A site as browsers name it: without the port where it is the scheme's own, without a path.
fn origin(site: &str) -> Option<String> {
    // What pages in a file or a sandbox are.
    if site == "null" {
        return Some(site.to_owned());
    }
    let url = url::Url::parse(site).ok()?;
    if !url.has_host() || url.path().len() > 1 || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    match url.origin() {
        url::Origin::Opaque(_) => Some(site.trim_end_matches('/').to_ascii_lowercase()),
        origin => Some(origin.ascii_serialization()),
    }
}

pub fn address(text: &str) -> Result<String, String> {
    let expected = || "expected HOST:PORT, such as 127.0.0.1:9411, or [::1]:9411".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let is_host = !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    if !is_host || port.parse::<u16>().is_err() {
        return Err(expected());
    }
    Ok(text.to_owned())
}

pub fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => {
            Err("expected error, warn, info, debug, trace or off, or a filter such as info,spanlake::lake=debug"
                .to_owned())
        }
    }
}

/// Seconds east of UTC: `+08:00`, `-03:30`, `Z`.
pub fn utc_offset(text: &str) -> Result<i32, String> {
    fn two_digits(text: &str) -> Option<i32> {
        let digits = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    }
    fn seconds(text: &str) -> Option<i32> {
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
        (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60)
    }
    let text = text.trim();
    let found = match (text, text.get(..1)) {
        ("Z" | "z", _) => Some(0),
        (_, Some("+")) => seconds(text.get(1..).unwrap_or_default()),
        (_, Some("-")) => seconds(text.get(1..).unwrap_or_default()).map(|west| -west),
        _ => None,
    };
    found.ok_or_else(|| "expected hours and minutes such as +08:00 or -03:30, or Z".to_owned())
}

/// A size as a person reads it: in the largest binary unit that divides it.
pub fn show_size(bytes: u64) -> String {
    let unit = [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: RangeInclusive<u64> = 0..=u64::MAX;

    #[test]
    fn sizes_take_binary_and_decimal_units_in_either_case() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1_048_576),
            ("64MiB", 64 << 20),
            ("64mib", 64 << 20),
            ("10MB", 10_000_000),
            ("1 GiB", 1 << 30),
            ("1_000", 1_000),
            ("7B", 7),
        ] {
            assert_eq!(size(text, ANY), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn a_size_that_is_none_is_refused() {
        for text in ["", "MiB", "-1", "1.5GiB", "10 apples", "10M", "99999999999TiB", "99999999999999999999"] {
            assert!(size(text, ANY).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_size_outside_its_range_is_told_the_range() {
        assert_eq!(size("1", 1024..=1 << 20), Err("expected a size from 1KiB to 1MiB".to_owned()));
    }

    #[test]
    fn durations_need_their_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        for text in ["30", "", "s", "-1s", "1.5s", "5 minutes"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn counts_keep_to_their_range() {
        assert_eq!(count("32", 1..=100), Ok(32));
        for text in ["0", "101", "x", "", "3k"] {
            assert_eq!(count(text, 1..=100), Err("expected a whole number from 1 to 100".to_owned()), "{text:?}");
        }
    }

    #[test]
    fn rates_are_shares_of_all_or_never_reached() {
        for (text, number) in [("0", 0.0), (" 0.75 ", 0.75), ("1", 1.0), ("1e-1", 0.1), ("1.1", 1.1)] {
            assert_eq!(rate(text), Ok(number), "{text:?}");
        }
        for text in ["", "-0.1", "NaN", "inf", "50%"] {
            assert!(rate(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn offsets_from_utc_are_hours_and_minutes_with_their_sign() {
        for (text, seconds) in [
            ("Z", 0),
            ("z", 0),
            ("+00:00", 0),
            ("-00:00", 0),
            (" +08:00 ", 28_800),
            ("-03:30", -12_600),
            ("+23:59", 86_340),
        ] {
            assert_eq!(utc_offset(text), Ok(seconds), "{text:?}");
        }
        for text in
            ["", "8", "08:00", "+8:00", "+08", "+0800", "+08:60", "+24:00", "+-8:00", "+08:00:00", "UTC", "北京"]
        {
            let expected = "expected hours and minutes such as +08:00 or -03:30, or Z";
            assert_eq!(utc_offset(text), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn lists_are_trimmed_and_have_each_text_once() {
        assert_eq!(list("", 2), Ok(vec![]));
        assert_eq!(list(" , ,", 2), Ok(vec![]));
        assert_eq!(list("b, a,,b ", 2), Ok(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(list("a,b,c", 2), Err("expected at most 2 texts between commas".to_owned()));
    }
}
