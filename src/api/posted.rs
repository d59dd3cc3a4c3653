//! Service events as they are posted, whatever the dialect: whose they are, and the way from a body to the promise that
//! its events are kept.

use super::body::Payload;
use super::metrics::Message;
use super::{Context, Refusal, project, read_batch};
use crate::codec::k8s::Limits;
use crate::model::Event;
use axum::http::HeaderMap;
use std::borrow::Cow;

/// The parameter of the query string, and the header (in gRPC the metadata), that name it.
const NAME: &str = "clusterId";
const HEADER: &str = "clusterid";
/// A name may be so long.
const LONGEST: usize = 256;

/// Whose the events of a request are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whose {
    project: String,
    /// The cluster of those that do not name theirs.
    cluster: Option<String>,
}

impl Whose {
    pub(super) fn of(context: &Context, query: Option<&str>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let project = project::resolve(context.config.projects, None, headers)?;
        Ok(Whose { project, cluster: cluster(query, headers)? })
    }
}

/// Takes the events that `decode` finds in a body: returns how many they are, and what else it says of the body, once
/// they are durable and visible. `decode` is given the body, the cluster that the request names, and the limits.
pub(super) async fn take_events<R, E: From<Refusal>>(
    context: &Context,
    message: &mut Message<'_>,
    body: Payload<'_>,
    whose: &Whose,
    decode: impl for<'b> FnOnce(&'b [u8], Option<&'b str>, &Limits) -> Result<(Vec<Event<'b>>, R), E>,
) -> Result<(usize, R), E> {
    let (count, (batch, rest)) = read_batch(context, message, body, |body| {
        let (events, rest) = decode(body, whose.cluster.as_deref(), context.ingest.event_limits())?;
        let count = events.len();
        let batch = context.ingest.encode_events(&whose.project, events).map_err(Refusal::from)?;
        Ok::<_, E>((count, (batch, rest)))
    })
    .await?;
    context.ingest.append_events(batch).await.map_err(Refusal::from)?;
    message.kept = true;
    Ok((count, rest))
}

/// The cluster that a request names: the parameter goes before the header, and a blank one counts as not sent.
fn cluster(query: Option<&str>, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let of_query = in_query(query.unwrap_or_default())?;
    match of_query {
        Some(_) => Ok(of_query),
        None => in_headers(headers),
    }
}

fn in_query(query: &str) -> Result<Option<String>, Refusal> {
    let mut found: Option<Cow<'_, str>> = None;
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if key != NAME || value.trim().is_empty() {
            continue;
        }
        if found.as_ref().is_some_and(|known| known.trim() != value.trim()) {
            return Err(more_than_once("query parameter"));
        }
        found = Some(value);
    }
    found.map(|text| checked(text.trim(), "query parameter")).transpose()
}

fn in_headers(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut found = None;
    for value in headers.get_all(HEADER) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid("header"))?.trim();
        if text.is_empty() {
            continue;
        }
        if found.is_some_and(|known| known != text) {
            return Err(more_than_once("header"));
        }
        found = Some(text);
    }
    found.map(|text| checked(text, "header")).transpose()
}

fn more_than_once(whence: &str) -> Refusal {
    Refusal::invalid(format!("{NAME} is given more than once\n{whence} {NAME}: send it once"))
}

fn checked(text: &str, whence: &str) -> Result<String, Refusal> {
    if text.len() > LONGEST || text.chars().any(char::is_control) {
        return Err(invalid(whence));
    }
    Ok(text.to_owned())
}

fn invalid(whence: &str) -> Refusal {
    let remedy = format!("send up to {LONGEST} bytes of UTF-8 without control characters, or leave it out");
    Refusal::invalid(format!("{NAME} is invalid\n{whence} {NAME}: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(value: &[u8]) -> HeaderMap {
        HeaderMap::from_iter([(HEADER.parse().unwrap(), HeaderValue::from_bytes(value).unwrap())])
    }

    #[test]
    fn the_parameter_goes_before_the_header_and_blanks_do_not_count() {
        let longest = "x".repeat(LONGEST);
        for (query, header, wanted) in [
            (None, &b""[..], None),
            (Some(""), b" ", None),
            (Some("clusterId="), b"oslo", Some("oslo")),
            (Some("clusterId=paris"), b"oslo", Some("paris")),
            (Some("clusterid=paris"), b"oslo", Some("oslo")),
            (Some("a=b&clusterId=+cls-7k+&clusterId=cls%2D7k"), b"\xff", Some("cls-7k")),
            (Some("clusterId=%E5%8C%97%E4%BA%AC"), b"", Some("北京")),
            (None, "北京".as_bytes(), Some("北京")),
            (None, longest.as_bytes(), Some(longest.as_str())),
        ] {
            assert_eq!(cluster(query, &headers(header)).unwrap().as_deref(), wanted, "{query:?} {header:?}");
        }
    }

    #[test]
    fn a_header_that_comes_twice_says_the_same_or_is_refused() {
        let twice = |values: [&'static str; 3]| {
            HeaderMap::from_iter(values.map(|value| (HEADER.parse().unwrap(), HeaderValue::from_static(value))))
        };
        assert_eq!(cluster(None, &twice(["oslo", " ", " oslo"])).unwrap().as_deref(), Some("oslo"));
        let refusal = cluster(None, &twice(["oslo", "", "paris"])).unwrap_err();
        let message = "clusterId is given more than once\nheader clusterId: send it once";
        assert_eq!((refusal.status.as_u16(), refusal.message.as_str()), (400, message));
        // The parameter goes before it.
        assert_eq!(cluster(Some("clusterId=a"), &twice(["x", "y", "z"])).unwrap().as_deref(), Some("a"));
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_place() {
        let remedy = "clusterId: send up to 256 bytes of UTF-8 without control characters, or leave it out";
        let too_long = format!("clusterId={}", "x".repeat(LONGEST + 1));
        for (query, header, message) in [
            (
                "clusterId=a&clusterId=b",
                &b""[..],
                "clusterId is given more than once\nquery parameter clusterId: send it once".to_owned(),
            ),
            (&too_long, b"", format!("clusterId is invalid\nquery parameter {remedy}")),
            ("clusterId=a%00b", b"", format!("clusterId is invalid\nquery parameter {remedy}")),
            ("", b"\xff", format!("clusterId is invalid\nheader {remedy}")),
        ] {
            let refusal = cluster(Some(query), &headers(header)).unwrap_err();
            assert_eq!((refusal.status.as_u16(), refusal.message), (400, message));
        }
    }
}
