//! Tokens: what a search may ask of a span, as numbers of 64 bits.
//!
//! The hash is part of the file format: it is XXH3 with a seed of the token's kind, and stays.

use std::borrow::Cow;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Something that a span has. Names are given as sent and compare without regard to case; the rest as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// The span's name.
    Name(&'t str),
    /// The remote service.
    Remote(&'t str),
    /// The value of an annotation, or the key of a tag.
    Word(&'t str),
    /// A tag's key and value.
    Tag(&'t str, &'t str),
    /// The first part of a name of three parts, as the ATS API has them, where that is not the local service.
    Application(&'t str),
}

const NAME: u64 = 0x6e61_6d65;
const REMOTE: u64 = 0x7265_6d6f;
const WORD: u64 = 0x776f_7264;
const APPLICATION: u64 = 0x6170_706c;

impl Token<'_> {
    pub fn hash(self) -> u64 {
        match self {
            Token::Name(text) => hash(&lower(text), NAME),
            Token::Remote(text) => hash(&lower(text), REMOTE),
            Token::Word(text) => hash(text, WORD),
            Token::Tag(key, value) => tag_hash(Token::Word(key).hash(), value),
            Token::Application(text) => hash(&lower(text), APPLICATION),
        }
    }
}

/// The hash of a tag whose key's hash (as a word) is known.
pub fn tag_hash(key: u64, value: &str) -> u64 {
    hash(value, key)
}

fn hash(text: &str, seed: u64) -> u64 {
    xxh3_64_with_seed(text.as_bytes(), seed)
}

/// The text in lower case, borrowed where it is so already.
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

/// The half octave that a duration lies in: 0 for 1, two for each doubling. Durations of 0 and less have none.
pub fn half_octave(duration: i64) -> Option<u8> {
    let duration = u64::try_from(duration).ok().filter(|duration| *duration > 0)?;
    let octave = duration.ilog2();
    let half = octave.checked_sub(1).map_or(0, |below| duration >> below & 1);
    Some((2 * octave + half as u32) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_part_of_the_format() {
        assert_eq!(Token::Name("GET /").hash(), Token::Name("get /").hash());
        assert_ne!(Token::Word("Error").hash(), Token::Word("error").hash());
        assert_ne!(Token::Name("a").hash(), Token::Remote("a").hash());
        assert_ne!(Token::Tag("ab", "c").hash(), Token::Tag("a", "bc").hash());
        assert_eq!(Token::Word("error").hash(), xxh3_64_with_seed(b"error", 0x776f_7264));
    }

    #[test]
    fn half_octaves_are_in_the_order_of_durations() {
        let octaves: Vec<_> = [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, i64::MAX].map(half_octave).into();
        let wanted = [
            None,
            None,
            Some(0),
            Some(2),
            Some(3),
            Some(4),
            Some(4),
            Some(5),
            Some(5),
            Some(6),
            Some(6),
            Some(7),
            Some(125),
        ];
        assert_eq!(octaves, wanted);
    }
}
