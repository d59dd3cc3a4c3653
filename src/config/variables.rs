//! Variables that look like settings and are none. They end nothing, since systems make some of their own, but are told
//! of: a letter that is missing in `SPANLAKE_AUTH_TOKENS` would leave a server open to everybody.

use super::{FILE_ENV, SETTINGS, distance};
use std::collections::BTreeSet;

/// What the names of settings' variables begin with.
const PREFIX: &str = "SPANLAKE_";
/// What this project's own tests ask for.
const OF_TESTS: [&str; 6] = [
    "SPANLAKE_CORPORA",
    "SPANLAKE_GO_CLIENTS",
    "SPANLAKE_JAVA_CLIENTS",
    "SPANLAKE_NODE_CLIENTS",
    "SPANLAKE_POSTGRES",
    "SPANLAKE_PYTHON",
];
/// The variable by which those that Kubernetes makes for a service named spanlake are known.
const OF_KUBERNETES: &str = "SPANLAKE_SERVICE_HOST";
/// The longest name that is told, and looked up, in bytes.
const LONGEST: usize = 64;
/// So many letters may be wrong in a name that is taken for a known one.
const MOST_WRONG: usize = 3;

/// A variable that is no setting's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub name: String,
    /// The known one that it is most like, if it is like any.
    pub nearest: Option<String>,
}

/// Which of the environment's names look like settings and are none, in order.
pub fn unknown(names: impl Iterator<Item = String>) -> Vec<Unknown> {
    let names: BTreeSet<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    let known: Vec<String> =
        SETTINGS.iter().map(|setting| setting.env()).chain(std::iter::once(FILE_ENV.to_owned())).collect();
    let in_kubernetes = names.contains(OF_KUBERNETES);
    let is_of_kubernetes = |name: &str| {
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        in_kubernetes && (rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_"))
    };
    names
        .into_iter()
        .filter(|name| !known.contains(name) && !OF_TESTS.contains(&name.as_str()) && !is_of_kubernetes(name))
        .map(|name| Unknown { nearest: nearest(&name, &known), name: name.chars().take(LONGEST).collect() })
        .collect()
}

/// The name that lacks the least, or has the fewest wrong letters.
fn nearest(name: &str, known: &[String]) -> Option<String> {
    let rest = name.strip_prefix(PREFIX).filter(|rest| (3..=LONGEST).contains(&rest.len()))?;
    let rest = rest.to_ascii_uppercase();
    let likeness = |known: &&String| {
        let known = known.strip_prefix(PREFIX).unwrap_or(known);
        (!known.contains(&rest), distance(&rest, known))
    };
    let best = known.iter().min_by_key(likeness)?;
    let (lacks_letters, wrong) = likeness(&best);
    (!lacks_letters || (wrong <= MOST_WRONG && 2 * wrong <= rest.len())).then(|| best.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown_of(names: &[&str]) -> Vec<(String, Option<String>)> {
        let found = unknown(names.iter().map(|name| (*name).to_owned()));
        found.into_iter().map(|unknown| (unknown.name, unknown.nearest)).collect()
    }

    #[test]
    fn a_name_with_wrong_letters_or_too_few_is_told_the_nearest_known_one() {
        for (name, nearest) in [
            ("SPANLAKE_AUTH_TOKEN", Some("SPANLAKE_AUTH_TOKENS")),
            ("SPANLAKE_AUTH_CREDENTAILS", Some("SPANLAKE_AUTH_CREDENTIALS")),
            ("SPANLAKE_ROOT_PASSWORD", Some("SPANLAKE_AUTH_ROOT_PASSWORD")),
            ("SPANLAKE_CONFIGS", Some("SPANLAKE_CONFIG")),
            ("SPANLAKE_auth_tokens", Some("SPANLAKE_AUTH_TOKENS")),
            ("SPANLAKE_FOO", None),
            ("SPANLAKE_", None),
        ] {
            assert_eq!(unknown_of(&[name]), [(name.to_owned(), nearest.map(str::to_owned))], "{name}");
        }
    }

    #[test]
    fn settings_the_files_name_the_tests_and_other_programs_variables_are_none_of_them() {
        for setting in SETTINGS {
            assert_eq!(unknown_of(&[&setting.env()]), [], "{}", setting.key);
        }
        assert_eq!(unknown_of(&["SPANLAKE_CONFIG", "SPANLAKE_POSTGRES", "SPANLAKE_PYTHON", "PATH", "SPANLAKE"]), []);
    }

    #[test]
    fn what_kubernetes_makes_for_a_service_of_the_name_is_not_told_of_and_a_port_elsewhere_is() {
        let made = ["SPANLAKE_PORT", "SPANLAKE_PORT_9411_TCP_ADDR", "SPANLAKE_SERVICE_PORT"];
        assert_eq!(unknown_of(&[&made[..], &["SPANLAKE_SERVICE_HOST"]].concat()), []);
        let told: Vec<String> = unknown_of(&made).into_iter().map(|(name, _)| name).collect();
        assert_eq!(told, made);
    }

    #[test]
    fn a_name_of_any_length_is_cut() {
        let name = format!("SPANLAKE_{}", "é".repeat(100_000));
        assert_eq!(unknown_of(&[&name]), [(name.chars().take(LONGEST).collect(), None)]);
    }
}
