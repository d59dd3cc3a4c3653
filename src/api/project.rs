//! Whose spans a request is about.

use super::Refusal;
use crate::config::Projects;
use axum::http::HeaderMap;

/// The project of whatever was posted without one, and the only one unless projects are isolated.
pub(super) const DEFAULT: &str = "default";
/// The header that names a project where the path does not, as Tempo, Loki and Mimir have it.
pub(super) const HEADER: &str = "x-scope-orgid";
const LONGEST: usize = 64;

/// Whether a text is a project id: `[A-Za-z0-9_-]{1,64}`.
pub(super) fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(allowed)
}

/// The project of a request whose path names `in_path` (checked by the caller), or none.
pub(super) fn resolve(projects: Projects, in_path: Option<&str>, headers: &HeaderMap) -> Result<String, Refusal> {
    if projects == Projects::Single {
        return Ok(DEFAULT.to_owned());
    }
    if let Some(id) = in_path {
        return Ok(id.to_owned());
    }
    let mut values = headers.get_all(HEADER).iter();
    let value = values.next();
    // Which of them is meant nobody can know, and who reads the other may let one project's spans into another.
    if values.any(|other| Some(other) != value) {
        return Err(Refusal::invalid("X-Scope-OrgID is given more than once\nheader X-Scope-OrgID: send it once"));
    }
    match value.map(|value| value.to_str()) {
        None => Ok(DEFAULT.to_owned()),
        Some(Ok(id)) if is_id(id) => Ok(id.to_owned()),
        Some(_) => Err(Refusal::invalid(
            "X-Scope-OrgID is invalid\nheader X-Scope-OrgID: send 1 to 64 letters, digits, _ or -, or leave it out",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(id: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HEADER.parse().unwrap(), id.parse().unwrap())])
    }

    #[test]
    fn ids_are_letters_digits_underscore_and_dash_up_to_64() {
        for good in ["0", "a", "A_b-9", &"x".repeat(64)] {
            assert!(is_id(good), "{good:?}");
        }
        for bad in ["", " ", "a b", "a/b", "a.b", "ä", "a\0", &"x".repeat(65)] {
            assert!(!is_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn with_one_project_every_id_is_a_name_for_it() {
        assert_eq!(resolve(Projects::Single, Some("a"), &headers("b")).unwrap(), "default");
        assert_eq!(resolve(Projects::Single, None, &headers("not an id")).unwrap(), "default");
    }

    #[test]
    fn isolated_projects_go_by_the_path_then_the_header_then_default() {
        assert_eq!(resolve(Projects::Isolated, Some("a"), &headers("b")).unwrap(), "a");
        assert_eq!(resolve(Projects::Isolated, None, &headers("b")).unwrap(), "b");
        assert_eq!(resolve(Projects::Isolated, None, &HeaderMap::new()).unwrap(), "default");
        assert_eq!(resolve(Projects::Isolated, None, &headers("a b")).unwrap_err().status, 400);
    }

    #[test]
    fn a_header_that_comes_twice_names_one_project_or_is_refused() {
        let twice =
            |ids: [&'static str; 2]| HeaderMap::from_iter(ids.map(|id| (HEADER.parse().unwrap(), id.parse().unwrap())));
        assert_eq!(resolve(Projects::Isolated, None, &twice(["a", "a"])).unwrap(), "a");
        assert_eq!(resolve(Projects::Isolated, Some("p"), &twice(["a", "b"])).unwrap(), "p");
        assert_eq!(resolve(Projects::Single, None, &twice(["a", "b"])).unwrap(), "default");
        let refusal = resolve(Projects::Isolated, None, &twice(["a", "b"])).unwrap_err();
        let message = "X-Scope-OrgID is given more than once\nheader X-Scope-OrgID: send it once";
        assert_eq!((refusal.status.as_u16(), refusal.message.as_str()), (400, message));
    }
}
