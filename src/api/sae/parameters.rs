//! The parameters of a query string, in the product's spelling. A blank one counts as not sent; those that nobody asks
//! for do not matter.

use super::answer::Rejection;
use crate::api::{Context, project};
use crate::config::Projects;
use crate::insight::{LONGEST_NAME, ServiceKind, Wanted};
use crate::registry::Tenant;
use axum::http::HeaderMap;
use std::borrow::Cow;

/// The domain of the registry that this API is about.
const DOMAIN: &str = "default";

/// A query string.
pub(super) struct Parameters<'q>(&'q str);

impl<'q> Parameters<'q> {
    pub(super) fn of(query: &'q str) -> Self {
        Parameters(query)
    }

    /// A parameter by its name.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Rejection> {
        let mut found: Option<Cow<'_, str>> = None;
        for (key, value) in url::form_urlencoded::parse(self.0.as_bytes()) {
            if key != name || value.trim().is_empty() {
                continue;
            }
            if found.as_ref().is_some_and(|known| known.trim() != value.trim()) {
                return Err(Rejection::invalid(name, format!("query parameter {name}: send it once")));
            }
            found = Some(value);
        }
        let Some(text) = found.as_deref().map(str::trim) else { return Ok(None) };
        if text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
            let remedy =
                format!("query parameter {name}: send up to {LONGEST_NAME} bytes of UTF-8 without control characters");
            return Err(Rejection::invalid(name, remedy));
        }
        Ok(Some(text.to_owned()))
    }

    pub(super) fn app_id(&self) -> Result<String, Rejection> {
        self.text("AppId")?.ok_or_else(Rejection::no_app_id)
    }

    /// A whole number within bounds, both inclusive.
    pub(super) fn number(&self, name: &str, (least, most): (usize, usize)) -> Result<Option<usize>, Rejection> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                let remedy = format!("query parameter {name}: send a whole number from {least} to {most}");
                Err(Rejection::invalid(name, remedy))
            }
        }
    }

    pub(super) fn kind(&self) -> Result<Option<ServiceKind>, Rejection> {
        let Some(text) = self.text("ServiceType")? else { return Ok(None) };
        match ServiceKind::parse(&text) {
            Some(kind) => Ok(Some(kind)),
            None => {
                let remedy = "query parameter ServiceType: send springCloud or dubbo, or leave it out";
                Err(Rejection::invalid("ServiceType", remedy))
            }
        }
    }

    /// The service that is asked for by an application's id and, where they are sent, name, version, group and type.
    pub(super) fn wanted(&self) -> Result<Wanted, Rejection> {
        Ok(Wanted {
            app: self.app_id()?,
            name: self.text("ServiceName")?,
            version: self.text("ServiceVersion")?,
            group: self.text("ServiceGroup")?,
            kind: self.kind()?,
        })
    }

    /// Whose services are asked for.
    pub(super) fn place(&self, context: &Context, headers: &HeaderMap) -> Result<Place, Rejection> {
        let namespace = self.text("NamespaceId")?;
        let in_query = namespace.as_deref().filter(|id| project::is_id(id));
        let project = project::resolve(context.config.projects, in_query, headers)
            .map_err(|refusal| Rejection::invalid("X-Scope-OrgID", refusal.message))?;
        let isolated = context.config.projects == Projects::Isolated;
        if let (true, Some(namespace), None) = (isolated, &namespace, in_query) {
            let remedy = format!(
                "query parameter NamespaceId: {namespace:?} is no project: send 1 to 64 letters, digits, _ or -"
            );
            return Err(Rejection::invalid("NamespaceId", remedy));
        }
        let registered = match namespace {
            Some(namespace) => namespace,
            None if isolated => project.clone(),
            None => project::DEFAULT.to_owned(),
        };
        Ok(Place { tenant: Tenant::new(DOMAIN, &registered), project })
    }
}

/// Where what is asked for is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// In the registry.
    pub(super) tenant: Tenant,
    /// In the store of spans.
    pub(super) project: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(rejected: Result<impl std::fmt::Debug, Rejection>) -> String {
        rejected.unwrap_err().to_string()
    }

    #[test]
    fn a_blank_parameter_counts_as_not_sent_and_one_sent_twice_has_to_say_the_same() {
        let text = |query: &str| Parameters::of(query).text("AppId").unwrap();
        assert_eq!(text(""), None);
        assert_eq!(text("AppId=&AppId=%20"), None);
        assert_eq!(text("appid=a"), None);
        assert_eq!(text("AppId=&AppId=%20a%20&AppId=a").as_deref(), Some("a"));
        assert_eq!(text("x&AppId=a%2Fb%E5%8C%97").as_deref(), Some("a/b北"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let long = format!("AppId={}", "a".repeat(257));
        for query in ["AppId=a&AppId=b", "AppId=a%00", &long] {
            let invalid = "InvalidParameter.Obviously: The specified parameter is invalid {AppId}.";
            assert_eq!(told(Parameters::of(query).wanted()), invalid, "{query}");
        }
        assert_eq!(told(Parameters::of("").wanted()), "MissingAppId: AppId is mandatory for this action.");
        let hsf = Parameters::of("AppId=a&ServiceType=hsf").wanted();
        assert_eq!(told(hsf), "InvalidParameter.Obviously: The specified parameter is invalid {ServiceType}.");
        for page in ["-1", "0", "x", "1.5", "10001", "99999999999999999999"] {
            let query = format!("PageNumber={page}");
            let told = told(Parameters::of(&query).number("PageNumber", (1, 10_000)));
            assert_eq!(told, "InvalidParameter.Obviously: The specified parameter is invalid {PageNumber}.");
        }
    }

    #[test]
    fn what_is_wanted_is_read_in_the_products_spelling() {
        let query =
            "AppId=6dcc8c9e&ServiceType=springCloud&ServiceGroup=g&ServiceVersion=1.0.0&ServiceName=s&RegionId=r";
        let wanted = Wanted {
            app: "6dcc8c9e".into(),
            name: Some("s".into()),
            version: Some("1.0.0".into()),
            group: Some("g".into()),
            kind: Some(ServiceKind::SpringCloud),
        };
        assert_eq!(Parameters::of(query).wanted().unwrap(), wanted);
    }
}
