//! A request's parameters: in the query, in a form in the body, or in both.
//!
//! A name's underscores and dots are one: `clusterIds_0` is `clusterIds.0`, since some of the product's servers know
//! names by the one and others by the other, and signatures by dots. Otherwise names compare exactly. An empty value
//! counts as not sent, and what nobody asks for does not matter. Of a POST, values that begin with `@` are left out: they
//! stand for files, which no action takes, and signatures do not have them.

use super::answer::Rejection;
use crate::api::{auth, body};
use axum::http::{HeaderMap, Method, header};
use std::collections::HashSet;
use std::str::FromStr;

/// The longest form, in bytes. A query is bounded with its head.
pub(in crate::api) const MOST_BYTES: usize = 64 << 10;
/// Parameters of a request.
const MOST: usize = 1_000;
/// So much of a name is repeated in a refusal.
const MOST_REPEATED: usize = 64;
/// The one type of a body.
const FORM: &str = "application/x-www-form-urlencoded";

/// A request's parameters, in the order of their names as they were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::api) struct Parameters(Vec<Parameter>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    /// With dots.
    name: String,
    value: String,
}

impl Parameters {
    /// Reads a request's parameters; `form` is its body, empty where none is looked at.
    pub(in crate::api) fn read(
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        form: &[u8],
    ) -> Result<Parameters, Rejection> {
        if !form.is_empty() {
            check_form(headers)?;
        }
        let form = std::str::from_utf8(form).map_err(|_| not_utf8())?;
        // Before any is kept.
        if [query, form].into_iter().flat_map(|text| text.split('&')).count() > MOST {
            return Err(Rejection::out_of_range(format!("the parameters: send up to {MOST}")));
        }
        let mut sent = auth::parameters(query);
        sent.append(&mut auth::parameters(form));
        sent.sort();
        let mut parameters = Vec::with_capacity(sent.len());
        let mut names = HashSet::with_capacity(sent.len());
        for (name, value) in sent {
            let (Ok(name), Ok(value)) = (String::from_utf8(name), String::from_utf8(value)) else {
                return Err(not_utf8());
            };
            if method == Method::POST && value.starts_with('@') {
                continue;
            }
            let name = name.replace('_', ".");
            if !names.insert(name.clone()) {
                let name: String = name.chars().take(MOST_REPEATED).collect();
                return Err(Rejection::repeated(&name));
            }
            parameters.push(Parameter { name, value });
        }
        Ok(Parameters(parameters))
    }

    /// A parameter by its name.
    pub(in crate::api) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|parameter| parameter.name == name)?;
        Some(found.value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that is needed; `send` says what it is.
    pub(in crate::api) fn required(&self, name: &str, send: &str) -> Result<&str, Rejection> {
        self.text(name).ok_or_else(|| Rejection::missing(name, send))
    }

    /// A whole number.
    pub(in crate::api) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Rejection> {
        self.text(name).map(|text| text.parse().map_err(|_| Rejection::not_a_number(name))).transpose()
    }

    /// A whole number within bounds, both inclusive.
    pub(super) fn count(&self, name: &str, (least, most): (usize, usize)) -> Result<Option<usize>, Rejection> {
        match self.number(name)? {
            Some(number) if !(least..=most).contains(&number) => {
                let remedy = format!("parameter {name}: send a whole number from {least} to {most}");
                Err(Rejection::out_of_range(remedy))
            }
            number => Ok(number),
        }
    }

    /// The values of `name.0`, `name.1` and so on.
    pub(super) fn list<'p>(&'p self, name: &'p str) -> impl Iterator<Item = &'p str> {
        let is_item = move |parameter: &&Parameter| {
            let number = parameter.name.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        };
        self.0.iter().filter(is_item).map(|parameter| parameter.value.as_str()).filter(|value| !value.is_empty())
    }

    /// What a signature is computed over, behind the method, the host and the path. Clients sort names before they make
    /// dots of underscores (Node's, PHP's) or after (Python's); it is two texts where that makes a difference.
    pub(in crate::api) fn signed(&self) -> Vec<String> {
        let mut sent: Vec<&Parameter> = self.0.iter().filter(|parameter| parameter.name != "Signature").collect();
        let mut texts = vec![joined(&sent)];
        if !sent.is_sorted_by_key(|parameter| &parameter.name) {
            sent.sort_by(|a, b| a.name.cmp(&b.name));
            texts.push(joined(&sent));
        }
        texts
    }
}

fn joined(parameters: &[&Parameter]) -> String {
    let mut text = String::new();
    for Parameter { name, value } in parameters {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    text
}

fn not_utf8() -> Rejection {
    Rejection::not_parsed("the parameters: send names and values in UTF-8, percent-encoded")
}

fn check_form(headers: &HeaderMap) -> Result<(), Rejection> {
    let kind = body::content_type(headers);
    if !kind.is_empty() && kind != FORM {
        let remedy = format!("header Content-Type: send the parameters as {FORM}, or in the query");
        return Err(Rejection::not_parsed(remedy));
    }
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity");
    if encoded {
        return Err(Rejection::not_parsed("header Content-Encoding: send the parameters uncompressed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(query: &str, form: &[u8]) -> Result<Parameters, Rejection> {
        Parameters::read(&Method::POST, query, &HeaderMap::new(), form)
    }

    #[track_caller]
    fn refused(query: &str, form: &[u8], headers: &[(&'static str, &'static str)]) -> String {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        Parameters::read(&Method::POST, query, &headers.collect(), form).unwrap_err().message().replace('\n', ": ")
    }

    #[test]
    fn parameters_come_in_the_query_and_in_a_form_and_may_be_nested() {
        let query =
            "Action=DescribeCluster&clusterIds.10=d&clusterIds.0=a&clusterIds_1=b%2Bc&clusterIds.x=no&clusterIds=no";
        let all = read(query, b"limit=+&Region=&name=%E5%8C%97+%E4%BA%AC").unwrap();
        assert_eq!(all.text("Action"), Some("DescribeCluster"));
        assert_eq!((all.text("action"), all.text("Region"), all.text("offset")), (None, None, None));
        assert_eq!((all.text("name"), all.text("limit")), (Some("北 京"), Some(" ")));
        assert_eq!(all.list("clusterIds").collect::<HashSet<_>>(), HashSet::from(["a", "b+c", "d"]));
    }

    #[test]
    fn a_parameter_is_sent_once_however_it_is_spelt() {
        let repeated =
            |name| format!("(10330) parameter is NOT a repeatable parameter: parameter {name}: send it once");
        for (query, form) in [("a.b=1&a.b=1", ""), ("a.b=1", "a.b=2"), ("a_b=1", "a.b=1"), ("", "a_b&a_b=")] {
            assert_eq!(refused(query, form.as_bytes(), &[]), repeated("a.b"), "{query} {form}");
        }
        let long = "x".repeat(1_000);
        assert_eq!(refused(&format!("{long}&{long}"), b"", &[]), repeated(&long[..64]));
    }

    #[test]
    fn what_is_no_form_in_utf_8_is_refused() {
        let not_utf8 = "(10420) cannot parse: the parameters: send names and values in UTF-8, percent-encoded";
        for (query, form) in [("a=%ff", &b""[..]), ("%c3=a", b""), ("", b"a=%80"), ("", b"a=\xff")] {
            assert_eq!(refused(query, form, &[]), not_utf8);
        }
        let of_type = "(10420) cannot parse: header Content-Type: send the parameters as \
                       application/x-www-form-urlencoded, or in the query";
        for kind in ["application/json", "multipart/form-data; boundary=x", "text/plain"] {
            assert_eq!(refused("", b"a=1", &[("content-type", kind)]), of_type);
        }
        let encoded = "(10420) cannot parse: header Content-Encoding: send the parameters uncompressed";
        assert_eq!(refused("", b"a=1", &[("content-encoding", "gzip")]), encoded);
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static("application/X-WWW-form-urlencoded; charset=UTF-8")),
            (header::CONTENT_ENCODING, HeaderValue::from_static("identity")),
        ]);
        assert_eq!(Parameters::read(&Method::POST, "", &headers, b"a=1").unwrap().text("a"), Some("1"));
        // Of a body that is none the type does not matter.
        let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        assert_eq!(Parameters::read(&Method::POST, "a=1", &json, b"").unwrap().text("a"), Some("1"));
    }

    #[test]
    fn there_are_so_many_parameters_at_most() {
        let many = |count: usize| (0..count).map(|n| format!("p{n}=")).collect::<Vec<_>>().join("&");
        // An empty query is one piece.
        assert!(read("", many(999).as_bytes()).is_ok());
        let too_many = "(10350) parameter value or length is out of range: the parameters: send up to 1000";
        assert_eq!(refused(&many(1_001), b"", &[]), too_many);
        assert_eq!(refused("", "&".repeat(MOST_BYTES).as_bytes(), &[]), too_many);
    }

    #[test]
    fn numbers_are_whole_and_within_their_bounds() {
        let all = read("a=12&b=-1&c=1.5&d=99999999999999999999&e=", b"").unwrap();
        assert_eq!(all.count("a", (1, 12)).unwrap(), Some(12));
        assert_eq!((all.count("e", (1, 12)).unwrap(), all.count("f", (1, 12)).unwrap()), (None, None));
        for name in ["b", "c", "d"] {
            let told = format!("(10360) parameter error type: parameter {name}: send a whole number");
            assert_eq!(all.count(name, (1, 12)).unwrap_err().message().replace('\n', ": "), told);
        }
        let told = "(10350) parameter value or length is out of range: parameter a: send a whole number from 0 to 11";
        assert_eq!(all.count("a", (0, 11)).unwrap_err().message().replace('\n', ": "), told);
    }

    #[test]
    fn what_is_signed_is_in_the_order_of_names_with_underscores_or_with_dots() {
        let sent = "limit=20&a_b=1&aZ=2&Signature=x&Action=D&empty=&file=%40/etc";
        let get = Parameters::read(&Method::GET, sent, &HeaderMap::new(), b"").unwrap();
        let orders =
            ["?Action=D&aZ=2&a.b=1&empty=&file=@/etc&limit=20", "?Action=D&a.b=1&aZ=2&empty=&file=@/etc&limit=20"];
        assert_eq!(get.signed(), orders);
        assert_eq!(get.text("file"), Some("@/etc"));
        for post in [read(sent, b""), read("", sent.as_bytes())] {
            let post = post.unwrap();
            let orders = ["?Action=D&aZ=2&a.b=1&empty=&limit=20", "?Action=D&a.b=1&aZ=2&empty=&limit=20"];
            assert_eq!(post.signed(), orders);
            assert_eq!(post.text("file"), None);
        }
        // Mostly it makes no difference.
        assert_eq!(read("b_1=x&b_0=y&a=z&Signature=x", b"").unwrap().signed(), ["?a=z&b.0=y&b.1=x"]);
        assert_eq!(Parameters::default().signed(), [""]);
    }
}
