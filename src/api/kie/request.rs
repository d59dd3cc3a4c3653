//! What requests bring: the tenant, the query's parameters, JSON bodies.

use super::super::object::Object;
use super::super::{Context, body};
use super::answer::{BAD_EXPORT, Failure, INVALID, OBSERVE, Outcome};
use super::rules;
use crate::registry::Tenant;
use crate::registry::items::{KeyPattern, Labels, Page, Query};
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::time::Duration;

/// The longest that a request may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
/// Entries of a page.
const LONGEST_PAGE: usize = 100;
const MOST_LABELS: usize = 8;
/// The part of a value that is looked for, in bytes.
const LONGEST_PART: usize = 1 << 10;
/// Ids or items of a request.
const MOST_AT_ONCE: usize = 10_000;

/// A path with the project alone.
pub(super) type Project = Result<Path<String>, PathRejection>;
/// A path with the project and an item's id.
pub(super) type ProjectAndId = Result<Path<(String, String)>, PathRejection>;

/// Whose items are meant.
pub(super) fn tenant(project: &Project, headers: &HeaderMap) -> Outcome<Tenant> {
    let Ok(Path(project)) = project else { return Err(bad_path()) };
    rules::name("path: the project", project)?;
    Ok(Tenant::new(&domain(headers)?, project))
}

/// Whose items, and which of them.
pub(super) fn tenant_and_id(path: ProjectAndId, headers: &HeaderMap) -> Outcome<(Tenant, String)> {
    let Ok(Path((project, id))) = path else { return Err(bad_path()) };
    let tenant = tenant(&Ok(Path(project)), headers)?;
    rules::id("path: the item's id", &id)?;
    Ok((tenant, id))
}

fn bad_path() -> Failure {
    Failure::invalid("path: send UTF-8, percent-encoded")
}

/// The domain: everybody's who names none.
pub(super) fn domain(headers: &HeaderMap) -> Outcome<String> {
    const PLACE: &str = "header X-Domain-Name";
    let domain = match headers.get("x-domain-name").map(|value| value.to_str()) {
        None | Some(Ok("")) => "default",
        Some(Ok(domain)) => domain,
        Some(Err(_)) => "\0",
    };
    rules::name(PLACE, domain)?;
    Ok(domain.to_owned())
}

/// A query string's parameters.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn new(query: Option<&str>) -> Self {
        Parameters(url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; empty where it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// `label=name:value`, as often as there are labels.
    pub(super) fn labels(&self) -> Outcome<Labels> {
        const PLACE: &str = "query parameter label";
        let mut labels = Labels::new();
        for text in self.all("label") {
            let Some((name, value)) = text.split_once(':') else {
                return Err(Failure::invalid(format!("{PLACE}: send name:value; {text:?} has no colon")));
            };
            rules::label(PLACE, name, value)?;
            if labels.insert(name.to_owned(), value.to_owned()).is_some_and(|another| another != value) {
                return Err(Failure::invalid(format!("{PLACE}: send {name} once: no item has two values of a label")));
            }
        }
        if labels.len() > MOST_LABELS {
            return Err(Failure::invalid(format!("{PLACE}: send up to {MOST_LABELS}")));
        }
        Ok(labels)
    }

    pub(super) fn exact(&self) -> bool {
        self.text("match") == "exact"
    }

    /// Which items a list asks for.
    pub(super) fn query(&self) -> Outcome<Query> {
        let key = self.text("key");
        rules::key_pattern(key)?;
        let value = self.text("value");
        if value.len() > LONGEST_PART {
            return Err(Failure::invalid(format!("query parameter value: send up to {LONGEST_PART} bytes")));
        }
        Ok(Query {
            labels: self.labels()?,
            exact: self.exact(),
            key: (!key.is_empty()).then(|| KeyPattern::parse(key)),
            status: rules::status("query parameter status", self.text("status"))?,
            value: value.to_owned(),
        })
    }

    /// Which part of a list is asked for.
    pub(super) fn page(&self) -> Outcome<Page> {
        let number = |name: &str| match self.text(name) {
            "" => Ok(None),
            text => text
                .parse::<usize>()
                .map(Some)
                .map_err(|_| Failure::invalid(format!("query parameter {name}: send a whole number"))),
        };
        let limit = number("limit")?;
        if limit.is_some_and(|limit| !(1..=LONGEST_PAGE).contains(&limit)) {
            return Err(Failure::invalid(format!(
                "query parameter limit: send 1 to {LONGEST_PAGE}, or nothing for all"
            )));
        }
        Ok(Page { offset: number("offset")?.unwrap_or_default(), limit })
    }

    /// What the client has seen already.
    pub(super) fn revision(&self) -> Outcome<Option<i64>> {
        match self.text("revision") {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Failure::invalid("query parameter revision: send the number of the header X-Kie-Revision, or 0")
            }),
        }
    }

    /// How long the client would wait for a change.
    pub(super) fn wait(&self) -> Outcome<Option<Duration>> {
        const REMEDY: &str = "query parameter wait: send a number and its unit, such as 5s or 100ms, up to 5m";
        match self.text("wait") {
            "" => Ok(None),
            text => match duration(text) {
                Some(wait) if wait <= LONGEST_WAIT => Ok(Some(wait)),
                Some(_) => Err(Failure::new(OBSERVE, REMEDY)),
                None => Err(Failure::new(INVALID, REMEDY)),
            },
        }
    }
}

/// Reads a duration as Go writes it: `1m30s`, `1.5h`, `100ms`, `0`. None where it is not one, or less than nothing.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanos: u64 = 0;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let unit_end = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, after) = behind.split_at(unit_end);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        nanos = nanos.checked_add(whole.checked_mul(*unit)?)?;
        // Nine digits are nanoseconds of a second; what is finer does not matter.
        let digits: String = fraction.chars().take(9).collect();
        if !digits.is_empty() {
            let scale = 10_u64.pow(u32::try_from(digits.len()).ok()?);
            let part = u128::from(digits.parse::<u64>().ok()?) * u128::from(*unit) / u128::from(scale);
            nanos = nanos.checked_add(u64::try_from(part).ok()?)?;
        }
        if after.is_empty() {
            return Some(Duration::from_nanos(nanos));
        }
        rest = after;
    }
}

/// A body that is JSON.
pub(super) async fn json<T: DeserializeOwned>(context: &Context, headers: &HeaderMap, body: Body) -> Outcome<T> {
    body::refuse_binary(headers)?;
    let body = body::read(context, headers, body).await?;
    let read = serde_json::from_slice::<Object<T>>(&body);
    read.map(|Object(request)| request).map_err(|e| Failure::invalid(format!("the body is not as expected: {e}")))
}

/// The field `ids` of a body.
pub(super) async fn ids(context: &Context, headers: &HeaderMap, body: Body, code: u32) -> Outcome<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Ids<'b> {
        #[serde(borrow)]
        ids: Vec<&'b RawValue>,
    }
    body::refuse_binary(headers)?;
    let body = body::read(context, headers, body).await?;
    let bad = |e: serde_json::Error| Failure::new(code, format!("the body is not as expected: {e}"));
    let ids = serde_json::from_slice::<Object<Ids<'_>>>(&body).map_err(bad)?.0.ids;
    bounded("field ids", ids.len(), code)?;
    let ids = ids.iter().map(|id| serde_json::from_str(id.get())).collect::<Result<Vec<String>, _>>().map_err(bad)?;
    // One that no item can have is none that is there.
    Ok(ids.into_iter().filter(|id| rules::id("field ids", id).is_ok()).collect())
}

/// Not more than a request may have.
pub(super) fn bounded(place: &str, count: usize, code: u32) -> Outcome<()> {
    if count > MOST_AT_ONCE {
        return Err(Failure::new(code, format!("{place}: send up to {MOST_AT_ONCE} at a time")));
    }
    Ok(())
}

/// What an export may not be asked by, in its own code.
pub(super) fn of_export(failure: Failure) -> Failure {
    if failure.code == INVALID { Failure::new(BAD_EXPORT, failure.detail()) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("5m0.001s", 300_001_000_000),
            ("1h", 3_600_000_000_000),
            ("7us", 7_000),
            ("7µs", 7_000),
            ("7ns", 7),
            ("0.3333333333333s", 333_333_333),
        ] {
            assert_eq!(duration(text), Some(Duration::from_nanos(nanos)), "{text:?}");
        }
        for bad in [
            "",
            "5",
            "s",
            ".s",
            "-5s",
            "5 s",
            "5x",
            "5s5",
            "1..5s",
            "1.2.3s",
            "99999999999999999999s",
            "5124096h",
            "5S",
        ] {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn waits_are_of_five_minutes_at_most() {
        let wait = |text: &str| Parameters::new(Some(&format!("wait={text}"))).wait().map_err(|failure| failure.code);
        assert_eq!(wait("5m"), Ok(Some(Duration::from_secs(300))));
        assert_eq!(wait(""), Ok(None));
        assert_eq!(wait("5m1ns"), Err(400_003));
        assert_eq!(wait("soon"), Err(400_001));
    }

    #[test]
    fn a_label_is_a_name_and_a_value_that_may_be_empty() {
        let labels = |query: &str| Parameters::new(Some(query)).labels().map_err(|failure| failure.code);
        let read = labels("label=app:shop&label=environment:&label=app%3Ashop&other=1").unwrap();
        assert_eq!(read, [("app", "shop"), ("environment", "")].map(|(n, v)| (n.to_owned(), v.to_owned())).into());
        for bad in ["label=app", "label=", "label=:v", "label=a:b:c", "label=a:b&label=a:c", "label=a%20b:c"] {
            assert_eq!(labels(bad), Err(400_001), "{bad}");
        }
        let many = |count: usize| (0..count).map(|n| format!("label=l{n}:")).collect::<Vec<_>>().join("&");
        assert_eq!(labels(&many(8)).unwrap().len(), 8);
        assert_eq!(labels(&many(9)), Err(400_001));
    }

    #[test]
    fn pages_have_up_to_a_hundred_entries() {
        let page = |query: &str| Parameters::new(Some(query)).page().map_err(|failure| failure.code);
        assert_eq!(page(""), Ok(Page { offset: 0, limit: None }));
        assert_eq!(page("limit=100&offset=7"), Ok(Page { offset: 7, limit: Some(100) }));
        for bad in ["limit=0", "limit=101", "limit=-1", "limit=x", "offset=-1", "offset=1.5"] {
            assert_eq!(page(bad), Err(400_001), "{bad}");
        }
    }
}
