//! Secrets among the settings: credentials, tokens, the first password. Whoever prints one gets its mask.

use super::MASK;
use super::values::list;
use std::fmt;

/// How many credentials, and how many tokens, there may be.
const MOST: usize = 1_000;
/// The longest id of a credential, in bytes.
const LONGEST_ID: usize = 128;
/// The shortest token, in bytes: what is shorter is guessed.
const SHORTEST_TOKEN: usize = 8;
/// The longest secret or token, in bytes. A request's head has little room for more.
const LONGEST: usize = 16 << 10;
/// The least and the most bytes of a password.
const PASSWORD: std::ops::RangeInclusive<usize> = 8..=32;

/// A text that is shown to nobody.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text itself, for whoever computes with it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { MASK })
    }
}

/// A key's id, which requests name, and the secret that they are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub id: String,
    pub secret: Secret,
}

/// What stands between commas. Who writes commas alone meant to close something, and gets no open server for it.
fn some_or_blank(text: &str, expected: &str) -> Result<Vec<String>, String> {
    let items = list(text, MOST)?;
    match items.is_empty() && !text.trim().is_empty() {
        true => Err(format!("expected {expected}, or nothing at all: between these commas is nothing")),
        false => Ok(items),
    }
}

/// `ID:SECRET` between commas.
pub fn credentials(text: &str) -> Result<Vec<Credential>, String> {
    let mut credentials: Vec<Credential> = Vec::new();
    for item in some_or_blank(text, "ID:SECRET,ID:SECRET")? {
        let (id, secret) = item.split_once(':').ok_or("expected ID:SECRET,ID:SECRET")?;
        let is_id = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if id.is_empty() || id.len() > LONGEST_ID || !id.bytes().all(is_id) {
            return Err(format!("expected ids of 1 to {LONGEST_ID} letters, digits, -, _ or . before each colon"));
        }
        if secret.is_empty() || secret.len() > LONGEST {
            return Err(format!("expected secrets of 1 to {LONGEST} bytes behind each colon"));
        }
        if credentials.iter().any(|known| known.id == id) {
            return Err(format!("expected each id once, and {id} is there twice"));
        }
        credentials.push(Credential { id: id.to_owned(), secret: Secret::new(secret) });
    }
    Ok(credentials)
}

/// Tokens between commas.
pub fn tokens(text: &str) -> Result<Vec<Secret>, String> {
    let tokens = some_or_blank(text, "TOKEN,TOKEN")?;
    let is_token = |token: &String| {
        (SHORTEST_TOKEN..=LONGEST).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic())
    };
    if !tokens.iter().all(is_token) {
        return Err(format!(
            "expected tokens of {SHORTEST_TOKEN} to {LONGEST} printable characters without spaces, between commas"
        ));
    }
    Ok(tokens.into_iter().map(Secret::new).collect())
}

/// A password that accounts may have, or nothing.
pub fn password(text: &str) -> Result<Secret, String> {
    if !text.is_empty() && !is_password(text) {
        return Err(format!("expected {PASSWORD_RULE}, or nothing"));
    }
    Ok(Secret::new(text))
}

/// What [`is_password`] asks for.
pub const PASSWORD_RULE: &str =
    "a password of 8 to 32 bytes with an upper-case letter, a lower-case letter, a digit and a special character";

/// Whether a text is a password by the service centre's rule.
pub fn is_password(text: &str) -> bool {
    PASSWORD.contains(&text.len())
        && text.chars().any(char::is_uppercase)
        && text.chars().any(char::is_lowercase)
        && text.chars().any(char::is_numeric)
        && text.chars().any(|c| !c.is_alphanumeric() && !c.is_whitespace() && !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_ids_and_secrets_which_may_hold_colons() {
        let pair = |id: &str, secret: &str| Credential { id: id.to_owned(), secret: Secret::new(secret) };
        assert_eq!(credentials(""), Ok(vec![]));
        assert_eq!(credentials("a:b, LTAI.x-1_:s/e+c=:t,"), Ok(vec![pair("a", "b"), pair("LTAI.x-1_", "s/e+c=:t")]));
    }

    #[test]
    fn what_are_no_credentials_is_refused_without_telling_a_secret() {
        for (text, expected) in [
            ("hunter2", "expected ID:SECRET,ID:SECRET"),
            (":hunter2", "expected ids of 1 to 128 letters, digits, -, _ or . before each colon"),
            ("a b:hunter2", "expected ids of 1 to 128 letters, digits, -, _ or . before each colon"),
            ("a:", "expected secrets of 1 to 16384 bytes behind each colon"),
            ("a:hunter2,a:hunter3", "expected each id once, and a is there twice"),
        ] {
            assert_eq!(credentials(text), Err(expected.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn tokens_are_printable_and_not_to_be_guessed() {
        assert_eq!(tokens("12345678, abcdefgh"), Ok(vec![Secret::new("12345678"), Secret::new("abcdefgh")]));
        for bad in ["1234567", "12345 678", "1234567\u{e9}", &"x".repeat(LONGEST + 1)] {
            assert!(tokens(bad).unwrap_err().starts_with("expected tokens of 8 to 16384 printable"), "{bad:?}");
        }
    }

    #[test]
    fn commas_alone_are_refused_and_blanks_are_nothing() {
        for blank in ["", " ", "\t\n"] {
            assert_eq!((credentials(blank), tokens(blank)), (Ok(vec![]), Ok(vec![])), "{blank:?}");
        }
        for commas in [",", " , ", ",,"] {
            let said = |form| format!("expected {form}, or nothing at all: between these commas is nothing");
            assert_eq!(credentials(commas), Err(said("ID:SECRET,ID:SECRET")), "{commas:?}");
            assert_eq!(tokens(commas), Err(said("TOKEN,TOKEN")), "{commas:?}");
        }
    }

    #[test]
    fn a_password_has_all_four_kinds_of_characters() {
        for good in ["P4$$word", "Aa1-5678", &format!("Aa1{}", "-".repeat(29)), "Ää1 5678§"] {
            assert!(is_password(good), "{good:?}");
        }
        for bad in ["", "Aa1-567", "aa1-5678", "AA1-5678", "Aab-cdef", "Aa123456", "Aa1 5678", "Aa1\t5678"] {
            assert!(!is_password(bad), "{bad:?}");
        }
        assert!(!is_password(&format!("Aa1{}", "-".repeat(30))));
        assert_eq!(password(""), Ok(Secret::default()));
        assert_eq!(password("short"), Err(format!("expected {PASSWORD_RULE}, or nothing")));
    }

    #[test]
    fn a_secret_is_not_printed() {
        let credential = &credentials("a:hunter2").unwrap()[0];
        assert_eq!(format!("{credential:?}"), "Credential { id: \"a\", secret: ******** }");
    }
}
