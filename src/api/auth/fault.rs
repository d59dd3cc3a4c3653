//! Why somebody is not let in, before a dialect puts it into its own form.

use super::super::Refusal;
use super::super::ccs::Rejection;

/// What is wrong with what a request presents.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing is presented.
    Missing,
    /// A scheme that the dialect does not have.
    Scheme(String),
    /// A header that cannot be read, and what to send in it.
    Malformed(&'static str, String),
    /// No such credential.
    UnknownId(String),
    /// Signed too long ago, or in the future: seconds of the server's clock after the request's date.
    Skewed(&'static str, i64),
    /// The body is not the one that was signed.
    Body(&'static str),
    /// The signature is another one. The text is what the server computes it over.
    Signature(String),
    /// No such token in `X-Auth-Token`.
    Token,
    /// A bearer's token that this server did not give, and what is the matter with it.
    Bearer(&'static str),
    Expired,
    /// The account that the token was given to is gone.
    Deleted(String),
    /// The token was given for a password that the account no longer has.
    OldPassword,
    /// What is wrong with signed parameters, in the form of their dialect already.
    Parameters(Rejection),
    /// The body could not be read at all.
    Unreadable(Refusal),
}

/// So much of a text as a refusal repeats.
pub(super) const MOST_REPEATED: usize = 2_000;

impl Fault {
    /// The place and the remedy. `schemes` says what the dialect takes.
    pub(super) fn remedy(&self, schemes: &str) -> String {
        match self {
            Fault::Missing => format!("this server takes nobody unknown: send {schemes}"),
            Fault::Scheme(name) => {
                format!("header Authorization: the scheme {:?} is not taken here: send {schemes}", cut(name, 64))
            }
            Fault::Malformed(header, expected) => format!("header {header}: expected {expected}"),
            Fault::UnknownId(id) => {
                format!("header Authorization: {:?} is none of the ids in the setting auth.credentials", cut(id, 128))
            }
            Fault::Skewed(header, seconds) => {
                let (by, side) = (seconds.unsigned_abs(), if *seconds < 0 { "ahead of" } else { "behind" });
                format!(
                    "header {header}: {by} seconds {side} the server's clock: set the clock, or raise auth.clock_skew"
                )
            }
            Fault::Body(header) => {
                format!("header {header}: the body that came is not the one that was signed: send it unchanged")
            }
            Fault::Signature(over) => format!(
                "header Authorization: sign with the secret of auth.credentials, over what is sent. The server \
                 computed the signature over:\n{}",
                cut(over, MOST_REPEATED)
            ),
            Fault::Token => "header X-Auth-Token: send one of those in the setting auth.tokens".to_owned(),
            Fault::Bearer(what) => format!("header Authorization: {what}: get a token at /v4/token"),
            Fault::Expired => "header Authorization: get a new token at /v4/token".to_owned(),
            Fault::Deleted(name) => format!("account [{name}] is deleted"),
            Fault::OldPassword => {
                "header Authorization: the password was changed after the token was given: get a new one at /v4/token"
                    .to_owned()
            }
            Fault::Parameters(rejection) => rejection.message().to_owned(),
            Fault::Unreadable(refusal) => refusal.message.clone(),
        }
    }
}

/// The beginning of a text.
pub(super) fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_is_bounded_and_remains_text() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("äöüß", 3), "äöü");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_which_way() {
        assert_eq!(
            Fault::Skewed("Date", -901).remedy(""),
            "header Date: 901 seconds ahead of the server's clock: set the clock, or raise auth.clock_skew"
        );
        assert_eq!(
            Fault::Skewed("Date", 901).remedy(""),
            "header Date: 901 seconds behind the server's clock: set the clock, or raise auth.clock_skew"
        );
    }
}
