//! The token by which the next page is asked for: a place in the order of events, with the window of the first page.
//!
//! To clients it is a text without meaning. It is base64 (RFC 4648, section 5, without padding) of
//!
//! ```text
//! version:1 from:zigzag to:zigzag last_seen:zigzag question:8 place check:4
//! place    = 0 cluster:text uid:text | 1 hash:16
//! question = xxh3 of all that has to be the same from page to page, the window apart
//! check    = the first bytes of the xxh3 of all before it
//! ```
//!
//! so that a token that was cut, altered or sent with another question is known as such.

use crate::codec::pack::{Fault, Reader, put_text, put_zigzag};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;
const CHECK: usize = 4;
const EVENT: u8 = 0;
const HAPPENING: u8 = 1;

/// What of a question has to be the same from page to page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) project: &'a str,
    pub(super) cluster: Option<&'a str>,
    pub(super) namespace: Option<&'a str>,
    pub(super) service: Option<&'a str>,
    pub(super) together: bool,
}

impl Asked<'_> {
    fn hash(&self) -> [u8; 8] {
        let mut text = vec![u8::from(self.together)];
        for part in [Some(self.project), self.cluster, self.namespace, self.service] {
            text.push(u8::from(part.is_some()));
            put_text(&mut text, part.unwrap_or_default());
        }
        xxh3_64(&text).to_le_bytes()
    }
}

/// What is told apart of what was last seen at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Event {
        cluster: String,
        uid: String,
    },
    /// The hash by which happenings of one moment are in order.
    Happening(u128),
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// The window of the first page: microseconds since 1970 UTC.
    pub(super) window: (i64, i64),
    /// Of the last that was told: microseconds since 1970 UTC.
    pub(super) last_seen: i64,
    pub(super) place: Place,
}

impl Token {
    pub(super) fn text(&self, asked: &Asked<'_>) -> String {
        let mut bytes = vec![VERSION];
        for time in [self.window.0, self.window.1, self.last_seen] {
            put_zigzag(&mut bytes, time);
        }
        bytes.extend(asked.hash());
        match &self.place {
            Place::Event { cluster, uid } => {
                bytes.push(EVENT);
                put_text(&mut bytes, cluster);
                put_text(&mut bytes, uid);
            }
            Place::Happening(hash) => {
                bytes.push(HAPPENING);
                bytes.extend(hash.to_le_bytes());
            }
        }
        let check = check(&bytes);
        bytes.extend(check);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that was given out for the same question; the error is what to do.
    pub(super) fn read(text: &str, asked: &Asked<'_>) -> Result<Token, &'static str> {
        const BROKEN: &str = "send the text next of the answer before as it is, or leave it out to begin anew";
        const FOREIGN: &str = "it belongs to another question: send it with the project, service, namespace, clusterId \
                               and together that the first page was asked with";
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BROKEN)?;
        let (body, end) = bytes.split_last_chunk::<CHECK>().ok_or(BROKEN)?;
        if *end != check(body) {
            return Err(BROKEN);
        }
        let (token, question) = Token::of(body).map_err(|_| BROKEN)?;
        let is_of_kind = asked.together == matches!(token.place, Place::Happening(_));
        if question != asked.hash() || !is_of_kind {
            return Err(FOREIGN);
        }
        Ok(token)
    }

    fn of(body: &[u8]) -> Result<(Token, [u8; 8]), Fault> {
        let fault = |what| Fault { what, at: 0 };
        let mut reader = Reader::new(body);
        if reader.byte()? != VERSION {
            return Err(fault("another version"));
        }
        let window = (reader.zigzag()?, reader.zigzag()?);
        let last_seen = reader.zigzag()?;
        let question = reader.array()?;
        let place = match reader.byte()? {
            EVENT => Place::Event { cluster: reader.text()?.to_owned(), uid: reader.text()?.to_owned() },
            HAPPENING => Place::Happening(u128::from_le_bytes(reader.array()?)),
            _ => return Err(fault("no place")),
        };
        if !reader.is_at_end() {
            return Err(fault("more bytes than there are"));
        }
        Ok((Token { window, last_seen, place }, question))
    }
}

fn check(bytes: &[u8]) -> [u8; CHECK] {
    let [a, b, c, d, ..] = xxh3_64(bytes).to_le_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(together: bool) -> Asked<'static> {
        Asked { project: "default", cluster: Some("c"), namespace: None, service: Some("web"), together }
    }

    fn tokens() -> [(Token, bool); 3] {
        let event = |cluster: &str, uid: &str, last_seen| Token {
            window: (i64::MIN, i64::MAX),
            last_seen,
            place: Place::Event { cluster: cluster.into(), uid: uid.into() },
        };
        let happening = Token { window: (-5, 5), last_seen: 0, place: Place::Happening(u128::MAX - 1) };
        [(event("北京", "5a6e2f10", 7), false), (event("", "", -7), false), (happening, true)]
    }

    #[test]
    fn a_token_comes_back_as_it_was_made_and_is_made_of_letters_that_urls_take() {
        for (token, together) in tokens() {
            let text = token.text(&asked(together));
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
            assert_eq!(Token::read(&text, &asked(together)), Ok(token));
        }
    }

    #[test]
    fn whatever_is_altered_or_cut_is_known() {
        for (token, together) in tokens() {
            let text = token.text(&asked(together));
            let bytes = URL_SAFE_NO_PAD.decode(&text).unwrap();
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1;
                assert!(Token::read(&URL_SAFE_NO_PAD.encode(flipped), &asked(together)).is_err(), "{at}");
                assert!(Token::read(&URL_SAFE_NO_PAD.encode(&bytes[..at]), &asked(together)).is_err(), "{at}");
            }
            for other in ["", "!", &format!("{text}="), &format!("{text}AAAA"), &text[1..]] {
                assert!(Token::read(other, &asked(together)).is_err(), "{other}");
            }
        }
    }

    #[test]
    fn bytes_of_another_making_are_refused_though_their_check_is_right() {
        let (token, _) = tokens()[0].clone();
        let bytes = URL_SAFE_NO_PAD.decode(token.text(&asked(false))).unwrap();
        let body = &bytes[..bytes.len() - CHECK];
        let sealed = |body: &[u8]| URL_SAFE_NO_PAD.encode([body, &check(body)].concat());
        assert_eq!(Token::read(&sealed(body), &asked(false)), Ok(token));
        for end in 0..body.len() {
            assert!(Token::read(&sealed(&body[..end]), &asked(false)).is_err(), "{end}");
        }
        assert!(Token::read(&sealed(&[body, b"x"].concat()), &asked(false)).is_err());
        let newer = [&[VERSION + 1][..], &body[1..]].concat();
        assert!(Token::read(&sealed(&newer), &asked(false)).is_err());
    }
}
