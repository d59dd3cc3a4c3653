//! What the ATS API sees in a span: application, instance and transaction, their group, and whether the span failed.
//!
//! Agents of that product name a span `service:instance:transaction`. A span of other agents is given such a name,
//! composed of the best that is known: its local service; `service.instance.id`, `k8s.pod.name` or its address; the tag
//! `http.route` or its name. A dash stands for what is not known.
//!
//! A v1 span that tells of both sides of a call lies in two rows of one name (see [`crate::codec::zipkin::v1`]). A name
//! in three parts says the same of both: whose agent sent the span. Otherwise each row has the application of its own
//! side, its address, and of the tags those that were sent for it. Where both rows say the same, only the first counts
//! in lists and searches: it has the tags of the span ([`is_echo`]).

use crate::codec::zipkin::v1::{Mark, mark};
use crate::model::Span;
use std::borrow::Cow;
use std::fmt::Write as _;

/// The group of spans that name none.
const DEFAULT_GROUP: &str = "default";
/// What stands for a part that is not known.
const UNKNOWN: &str = "-";

/// The parts of a span's name. Texts are as sent; none is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'s> {
    /// The tag `monitorGroup`, else the namespace, else `default`.
    pub group: Cow<'s, str>,
    pub application: Cow<'s, str>,
    pub instance: Cow<'s, str>,
    /// May hold further colons.
    pub transaction: Cow<'s, str>,
    /// Whether the parts are made up from the rest of the span, rather than its name.
    pub composed: bool,
}

/// The parts of a span that was posted under a namespace. Only an address that stands for the instance is copied.
pub fn parts<'s>(span: &'s Span<'_>, namespace: Option<&'s str>) -> Parts<'s> {
    let group = known(span.tag("monitorGroup")).or(known(namespace)).unwrap_or(DEFAULT_GROUP);
    let name = span.name.as_deref();
    let parts = |application, instance, transaction, composed| Parts {
        group: Cow::Borrowed(group),
        application: Cow::Borrowed(application),
        instance,
        transaction: Cow::Borrowed(transaction),
        composed,
    };
    if let Some((application, instance, transaction)) = name.and_then(three_parts) {
        return parts(application, Cow::Borrowed(instance), transaction, false);
    }
    let service = span.local.as_ref().and_then(|local| local.service.as_deref());
    let instance = known(span.tag("service.instance.id")).or_else(|| known(span.tag("k8s.pod.name")));
    let instance = instance.map_or_else(|| address(span), Cow::Borrowed);
    let transaction = known(span.tag("http.route")).or(known(name));
    parts(service.unwrap_or(UNKNOWN), instance, transaction.unwrap_or(UNKNOWN), true)
}

/// The application among the parts of a span.
pub fn application<'s>(span: &'s Span<'_>) -> &'s str {
    if let Some((application, _, _)) = span.name.as_deref().and_then(three_parts) {
        return application;
    }
    span.local.as_ref().and_then(|local| local.service.as_deref()).unwrap_or(UNKNOWN)
}

/// Whether a row says of its parts what another row of the same posted span says already.
pub fn is_echo(span: &Span<'_>) -> bool {
    let is_sibling = |column: &str| matches!(mark(column), Mark::Sibling { .. });
    span.v1.as_deref().is_some_and(is_sibling) && span.name.as_deref().and_then(three_parts).is_some()
}

/// Splits a name on its first two colons. Names with other colons are none of these: URLs (`get http://host:80/`),
/// paths of C++ and Rust (`a::b::c`).
fn three_parts(name: &str) -> Option<(&str, &str, &str)> {
    let (application, rest) = name.split_once(':')?;
    let (instance, transaction) = rest.split_once(':')?;
    let blank = |part: &str| part.trim().is_empty();
    let url = instance.starts_with("//") || transaction.starts_with("//");
    let whole = !url && !blank(application) && !blank(instance) && !blank(transaction);
    whole.then_some((application, instance, transaction))
}

fn known(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

/// Where the span was recorded, if there is an address.
fn address(span: &Span<'_>) -> Cow<'static, str> {
    let Some(local) = &span.local else { return Cow::Borrowed(UNKNOWN) };
    let mut text = match (local.ipv4, local.ipv6) {
        (Some(address), _) => address.to_string(),
        (None, Some(address)) => format!("[{address}]"),
        (None, None) => return Cow::Borrowed(UNKNOWN),
    };
    if let Some(port) = local.port {
        // Writing to a String cannot fail.
        let _ = write!(text, ":{port}");
    }
    Cow::Owned(text)
}

/// Whether a span tells of a failure:
///
/// * a tag `error`, whatever its value, but for `false`, which agents of OpenTracing's manner set on spans that went
///   well;
/// * `ERROR` as the status (`otel.status_code`, `status`);
/// * an HTTP status of 500 and more (`http.status_code`, `http.response.status_code`, `status`, `resultCode`);
/// * `1` as the product's own `result`.
///
/// Calls under the span that failed are not its own failure.
pub fn failed(span: &Span<'_>) -> bool {
    let tag = |key: &str| span.tag(key).map(str::trim);
    tag("error").is_some_and(|value| !value.eq_ignore_ascii_case("false"))
        || tag("result") == Some("1")
        || ["otel.status_code", "status"]
            .iter()
            .any(|key| tag(key).is_some_and(|value| value.eq_ignore_ascii_case("error")))
        || ["http.status_code", "http.response.status_code", "status", "resultCode"]
            .iter()
            .any(|key| tag(key).is_some_and(is_server_error))
}

/// An HTTP status is a number of three digits; longer ones are codes of something else.
fn is_server_error(status: &str) -> bool {
    status.len() == 3 && status.parse::<u16>().is_ok_and(|status| status >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Limits;
    use crate::codec::zipkin::{v1, v2};

    fn span(json: &str) -> Span<'static> {
        let body = format!(r#"[{{"traceId":"a","id":"b",{json}}}]"#);
        v2::decode(&body, &Limits::default()).unwrap().remove(0).into_owned()
    }

    fn named(name: &str) -> Span<'static> {
        let mut span = span(r#""localEndpoint":{"serviceName":"Shop","ipv4":"1.2.3.4","port":80}"#);
        span.name = Some(name.to_owned().into());
        span
    }

    #[test]
    fn a_name_in_three_parts_is_split_on_the_first_two_colons() {
        for (name, application, instance, transaction) in [
            (
                "aos-apiserver:aos-apiserver-1005774711-ll63p:/api/v1/x",
                "aos-apiserver",
                "aos-apiserver-1005774711-ll63p",
                "/api/v1/x",
            ),
            ("A:i:t", "A", "i", "t"),
            ("a:i:GET_/rest:8080/*::", "a", "i", "GET_/rest:8080/*::"),
            ("甲:乙:丙", "甲", "乙", "丙"),
        ] {
            let span = named(name);
            let wanted = Parts {
                group: "default".into(),
                application: application.into(),
                instance: instance.into(),
                transaction: transaction.into(),
                composed: false,
            };
            let found = parts(&span, None);
            assert_eq!(found, wanted, "{name:?}");
            assert_eq!(super::application(&span), application, "{name:?}");
            let borrowed = [&found.group, &found.application, &found.instance, &found.transaction];
            assert!(borrowed.iter().all(|part| matches!(part, Cow::Borrowed(_))), "{name:?}");
        }
    }

    #[test]
    fn another_name_is_the_transaction_of_composed_parts() {
        for name in [
            "get",
            "a:b",
            "::",
            "a::t",
            "std::fs::read",
            ":i:t",
            "a:i:",
            "a: :t",
            "get http://h:80/x",
            "jdbc:mysql://h:1/x",
        ] {
            let wanted = Parts {
                group: "default".into(),
                application: "Shop".into(),
                instance: "1.2.3.4:80".into(),
                transaction: name.into(),
                composed: true,
            };
            assert_eq!(parts(&named(name), None), wanted, "{name:?}");
        }
    }

    #[test]
    fn composed_parts_take_the_best_of_what_is_known() {
        let place = r#""localEndpoint":{"serviceName":"s","ipv4":"1.2.3.4","ipv6":"2001:db8::1","port":1}"#;
        for (json, wanted) in [
            (
                format!(
                    r#"{place},"name":"n","tags":{{"service.instance.id":"i","k8s.pod.name":"p","http.route":"/r"}}"#
                ),
                ["s", "i", "/r"],
            ),
            (
                format!(
                    r#"{place},"name":"n","tags":{{"service.instance.id":" ","k8s.pod.name":"p","http.route":""}}"#
                ),
                ["s", "p", "n"],
            ),
            (format!(r#"{place},"name":"n""#), ["s", "1.2.3.4:1", "n"]),
            (r#""localEndpoint":{"serviceName":"s","ipv4":"1.2.3.4"}"#.to_owned(), ["s", "1.2.3.4", "-"]),
            (r#""localEndpoint":{"ipv6":"2001:db8::1","port":1}"#.to_owned(), ["-", "[2001:db8::1]:1", "-"]),
            (r#""localEndpoint":{"ipv6":"2001:db8::1"}"#.to_owned(), ["-", "[2001:db8::1]", "-"]),
            (r#""localEndpoint":{"serviceName":"s","port":1}"#.to_owned(), ["s", "-", "-"]),
            (r#""tags":{}"#.to_owned(), ["-", "-", "-"]),
        ] {
            let span = span(&json);
            let found = parts(&span, None);
            assert_eq!([&*found.application, &*found.instance, &*found.transaction], wanted, "{json}");
            assert!(found.composed, "{json}");
            assert_eq!(application(&span), found.application, "{json}");
        }
    }

    #[test]
    fn the_group_is_the_tag_then_the_namespace_then_default() {
        let group = |json: &str, namespace: Option<&str>| parts(&span(json), namespace).group.into_owned();
        assert_eq!(group(r#""tags":{"monitorGroup":"G"}"#, Some("manage")), "G");
        assert_eq!(group(r#""tags":{"monitorGroup":" "}"#, Some("manage")), "manage");
        assert_eq!(group(r#""tags":{}"#, Some("manage")), "manage");
        assert_eq!(group(r#""tags":{}"#, Some("")), "default");
        assert_eq!(group(r#""tags":{}"#, None), "default");
    }

    #[test]
    fn rows_of_one_posted_span_agree_about_a_name_in_three_parts_and_else_speak_for_their_side() {
        let applications = |name: &str| {
            let body = format!(
                r#"[{{"traceId":"a","id":"b"{name},"annotations":[
                {{"timestamp":1,"value":"cs","endpoint":{{"serviceName":"front","ipv4":"1.2.3.4"}}}},
                {{"timestamp":2,"value":"sr","endpoint":{{"serviceName":"back","ipv4":"1.2.3.5"}}}}],
                "binaryAnnotations":[{{"key":"monitorGroup","value":"G"}}]}}]"#
            );
            let rows = v1::decode(&body, &Limits::default()).unwrap();
            let texts = |row: &Span<'_>| {
                let parts = parts(row, None);
                let echo = if is_echo(row) { " again" } else { "" };
                [parts.group, parts.application, parts.instance, parts.transaction].join(" ") + echo
            };
            rows.iter().map(texts).collect::<Vec<_>>()
        };
        assert_eq!(applications(r#","name":"a:i:t""#), ["G a i t", "default a i t again"]);
        assert_eq!(applications(r#","name":"get""#), ["G front 1.2.3.4 get", "default back 1.2.3.5 get"]);
        assert_eq!(applications(""), ["G front 1.2.3.4 -", "default back 1.2.3.5 -"]);
    }

    #[test]
    fn failures_are_told_by_several_tags() {
        for (tags, wanted) in [
            ("", false),
            (r#""error":"""#, true),
            (r#""error":"true""#, true),
            (r#""error":"timeout""#, true),
            (r#""error":"False""#, false),
            (r#""otel.status_code":"ERROR""#, true),
            (r#""otel.status_code":"OK""#, false),
            (r#""status":"error""#, true),
            (r#""status":"503""#, true),
            (r#""status":"running""#, false),
            (r#""http.status_code":"500""#, true),
            (r#""http.status_code":" 599 ""#, true),
            (r#""http.status_code":"499""#, false),
            (r#""http.response.status_code":"502""#, true),
            (r#""resultCode":"500","result":"0""#, true),
            (r#""resultCode":"200","result":"0""#, false),
            (r#""resultCode":"10061""#, false),
            (r#""resultCode":"-50""#, false),
            (r#""result":"1""#, true),
            (r#""result":"10""#, false),
            (r#""error":"false","http.status_code":"500""#, true),
        ] {
            assert_eq!(failed(&span(&format!(r#""tags":{{{tags}}}"#))), wanted, "{tags}");
        }
        // An annotation is no tag.
        assert!(!failed(&span(r#""annotations":[{"timestamp":1,"value":"error"}]"#)));
    }
}
