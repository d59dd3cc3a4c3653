//! Versions of services, and the rules by which consumers ask for them.
//!
//! A version is one to four numbers with dots between them; numbers that are left out are zero. A rule is one of:
//!
//! | rule | versions |
//! |---|---|
//! | nothing | all |
//! | `latest` | the greatest that there is |
//! | `1.0.0+` | from this one on |
//! | `1.0.0-2.0.0` | from the first up to before the second |
//! | `1.0.0` | this one |

/// The numbers of a version, those that are left out as zero.
pub type Version = [u32; 4];

/// Reads a version; none if it is not one.
pub fn parse(text: &str) -> Option<Version> {
    let mut version = Version::default();
    let mut places = version.iter_mut();
    for part in text.split('.') {
        let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        *places.next()? = if digits { part.parse().ok()? } else { return None };
    }
    Some(version)
}

/// Which versions are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    All,
    Latest,
    AtLeast(Version),
    /// From the first, up to before the second.
    Range(Version, Version),
    Exact(Version),
}

impl Rule {
    /// Reads a rule; none if it is not one.
    pub fn parse(text: &str) -> Option<Rule> {
        if text.trim().is_empty() {
            return Some(Rule::All);
        }
        if text == "latest" {
            return Some(Rule::Latest);
        }
        // A plus that a client did not escape arrives as a space.
        if let Some(least) = text.strip_suffix(['+', ' ']) {
            return parse(least).map(Rule::AtLeast);
        }
        match text.split_once('-') {
            Some((from, to)) => Some(Rule::Range(parse(from)?, parse(to)?)),
            None => parse(text).map(Rule::Exact),
        }
    }

    /// Whether a version is asked for, of versions of which `greatest` is the greatest.
    pub fn takes(self, version: Version, greatest: Version) -> bool {
        match self {
            Rule::All => true,
            Rule::Latest => version == greatest,
            Rule::AtLeast(least) => version >= least,
            Rule::Range(from, to) => from <= version && version < to,
            Rule::Exact(one) => version == one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_one_to_four_numbers() {
        assert_eq!(parse("1"), Some([1, 0, 0, 0]));
        assert_eq!(parse("0.0.1"), Some([0, 0, 1, 0]));
        assert_eq!(parse("1.2.3.4"), Some([1, 2, 3, 4]));
        for bad in ["", ".", "1.", "1.2.3.4.5", "a", "1.+2", "-1", "99999999999"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_rule_takes_what_the_table_says() {
        let versions = ["0.9", "1.0.0", "1.5", "2.0.0", "2.0.1"];
        let greatest = parse("2.0.1").unwrap();
        for (rule, taken) in [
            ("", &versions[..]),
            ("latest", &["2.0.1"]),
            ("0+", &versions),
            ("0 ", &versions),
            ("1.0.0+", &["1.0.0", "1.5", "2.0.0", "2.0.1"]),
            ("1.0.0-2.0.0", &["1.0.0", "1.5"]),
            ("1.5", &["1.5"]),
            ("1", &["1.0.0"]),
            ("3", &[]),
        ] {
            let rule = Rule::parse(rule).unwrap();
            let found: Vec<_> =
                versions.iter().copied().filter(|version| rule.takes(parse(version).unwrap(), greatest)).collect();
            assert_eq!(found, taken, "{rule:?}");
        }
        for bad in ["+", "-", "1-", "1.0.0-", "newest", "1++"] {
            assert_eq!(Rule::parse(bad), None, "{bad:?}");
        }
    }
}
