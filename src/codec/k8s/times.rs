//! Times as Go programs write them: RFC 3339 in JSON, `2006-01-02 15:04:05 +0000 UTC` where a time is printed.

use super::value::{Fault, Result};
use crate::codec::zipkin::bounds::{END_OF_TIME, START_OF_TIME};
use crate::codec::zipkin::fault::shown;
use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime};

/// Reads RFC 3339 with any fraction and any offset, as microseconds. An empty text is no time, and nor is Go's zero.
pub fn parse(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => bounded(time.timestamp_micros()),
        Err(_) => Err(Fault::alone(
            format!("parsing time {:?} as \"2006-01-02T15:04:05Z07:00\"", shown(text)),
            "send a time as RFC 3339 writes it, as in 2016-11-08T16:15:15Z, or leave it out",
        )),
    }
}

/// Reads what Go prints for a time: date, time with or without a fraction, the offset and the zone's name, which says
/// nothing more. The reading of a monotonic clock may follow. An empty text is no time, and nor is Go's zero.
pub fn parse_go(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    match go(text) {
        Some(time) => bounded(time.timestamp_micros()),
        // Collectors that were taught to write it properly.
        None => parse(text).map_err(|_| {
            Fault::alone(
                format!("parsing time {:?} as \"2006-01-02 15:04:05.999999999 -0700 MST\"", shown(text)),
                "send a time as Go prints it, as in 2016-11-08 16:15:15 +0000 UTC, or leave it out",
            )
        }),
    }
}

fn go(text: &str) -> Option<DateTime<FixedOffset>> {
    let mut parts = text.split(' ');
    let (date, time, offset) = (parts.next()?, parts.next()?, parts.next()?);
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok()?;
    let local: NaiveDateTime = date.and_time(chrono::NaiveTime::parse_from_str(time, "%H:%M:%S%.f").ok()?);
    let (sign, digits) = offset.split_at_checked(1)?;
    let number: i32 =
        digits.parse().ok().filter(|_| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    let east = (number / 100 * 60 + number % 100) * 60;
    let offset = match sign {
        "+" => FixedOffset::east_opt(east)?,
        "-" => FixedOffset::west_opt(east)?,
        _ => return None,
    };
    local.and_local_timezone(offset).single()
}

/// Nanoseconds since 1970 as microseconds. 0 is no time, and nor is what Go's zero time becomes.
pub fn micros_of_nanos(nanos: u64) -> Option<i64> {
    i64::try_from(nanos).ok().filter(|&nanos| nanos != 0).map(|nanos| nanos / 1_000)
}

fn bounded(micros: i64) -> Result<Option<i64>> {
    match micros {
        START_OF_TIME => Ok(None),
        _ if (START_OF_TIME..END_OF_TIME).contains(&micros) => Ok(Some(micros)),
        _ => Err(Fault::says("Invalid value: no time of the calendar", "send a time from the year 1 to 9998")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2016-11-08 16:15:15 UTC.
    const SECOND: i64 = 1_478_621_715_000_000;

    #[test]
    fn rfc_3339_is_read_with_any_fraction_and_offset() {
        let table = [
            ("2016-11-08T16:15:15Z", Some(SECOND)),
            ("2016-11-08T16:15:15.1Z", Some(SECOND + 100_000)),
            ("2016-11-08T16:15:15.123456Z", Some(SECOND + 123_456)),
            ("2016-11-08T16:15:15.123456789Z", Some(SECOND + 123_456)),
            ("2016-11-08T16:15:15.123456789012Z", Some(SECOND + 123_456)),
            ("2016-11-09T00:15:15+08:00", Some(SECOND)),
            ("1969-12-31T23:59:59.999999Z", Some(-1)),
            ("0001-01-01T00:00:00Z", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(parse(text).unwrap(), wanted, "{text}");
        }
        for text in ["2016-11-08", "2016-11-08T16:15:15", "1478621715", "yesterday", "2016-13-08T16:15:15Z"] {
            let error = parse(text).unwrap_err().error("$");
            assert_eq!(error.peer, format!("parsing time \"{text}\" as \"2006-01-02T15:04:05Z07:00\""));
        }
        for text in ["9999-01-01T00:00:00Z", "0000-12-31T23:59:59Z"] {
            let error = parse(text).unwrap_err().error("$");
            assert_eq!(error.remedy, "send a time from the year 1 to 9998", "{text}");
        }
    }

    #[test]
    fn what_go_prints_is_read_without_the_zones_name() {
        let table = [
            ("2016-11-08 16:15:15 +0000 UTC", Some(SECOND)),
            ("2016-11-09 00:15:15 +0800 CST", Some(SECOND)),
            ("2016-11-08 12:45:15.25 -0330 NST", Some(SECOND + 250_000)),
            ("2016-11-08 16:15:15.123456789 +0000 UTC m=+0.004711", Some(SECOND + 123_456)),
            ("2016-11-08 16:15:15 +0000", Some(SECOND)),
            ("2016-11-08T16:15:15Z", Some(SECOND)),
            ("0001-01-01 00:00:00 +0000 UTC", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(parse_go(text).unwrap(), wanted, "{text}");
        }
        for text in ["2016-11-08 16:15:15", "2016-11-08 16:15:15 UTC", "x", "2016-11-08 16:15:15 +99999 UTC", "1 2 é"]
        {
            let error = parse_go(text).unwrap_err().error("$");
            assert_eq!(error.peer, format!("parsing time \"{text}\" as \"2006-01-02 15:04:05.999999999 -0700 MST\""));
        }
    }

    #[test]
    fn nanoseconds_of_no_time_are_none() {
        assert_eq!(micros_of_nanos(1_478_621_715_000_000_999), Some(SECOND));
        assert_eq!(micros_of_nanos(0), None);
        // Go's zero time, as its nanoseconds wrap around.
        assert_eq!(micros_of_nanos(11_651_379_494_838_206_464), None);
    }
}
