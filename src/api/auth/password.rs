//! Passwords as they are kept: PBKDF2 with HMAC-SHA512, a salt of its own for each, and the number of rounds, so that a
//! later version may take more of them and still read what an earlier one wrote.
//!
//! `pbkdf2-sha512$ROUNDS$SALT$HASH`, salt and hash in base 64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::error::Unspecified;
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use std::num::NonZeroU32;

const SCHEME: &str = "pbkdf2-sha512";
/// What OWASP asks for with this digest (2023); some 100 ms of one core.
const ROUNDS: NonZeroU32 = NonZeroU32::new(210_000).unwrap();
/// No more is computed, whatever is kept.
const MOST_ROUNDS: u32 = 10_000_000;

/// What is kept of a password.
pub(super) fn hash(password: &str) -> Result<String, Unspecified> {
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt)?;
    let mut hash = [0; 64];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, ROUNDS, &salt, password.as_bytes(), &mut hash);
    Ok(format!("{SCHEME}${ROUNDS}${}${}", STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash)))
}

/// Whether a password is the one that was kept. Compares in constant time.
pub(super) fn verify(kept: &str, password: &str) -> bool {
    let Some((rounds, salt, hash)) = read(kept) else { return false };
    pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA512, rounds, &salt, password.as_bytes(), &hash).is_ok()
}

fn read(kept: &str) -> Option<(NonZeroU32, Vec<u8>, Vec<u8>)> {
    let mut parts = kept.split('$');
    let (scheme, rounds, salt, hash) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let rounds = rounds.parse().ok().filter(|rounds: &NonZeroU32| rounds.get() <= MOST_ROUNDS)?;
    let hash = STANDARD_NO_PAD.decode(hash).ok().filter(|hash| hash.len() == 64)?;
    (scheme == SCHEME && parts.next().is_none()).then_some((rounds, STANDARD_NO_PAD.decode(salt).ok()?, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_again_and_no_other_is() {
        let kept = hash("P4$$word").unwrap();
        assert!(verify(&kept, "P4$$word"));
        assert!(!verify(&kept, "P4$$worD"));
        assert!(!verify(&kept, ""));
        assert_ne!(hash("P4$$word").unwrap(), kept);
    }

    #[test]
    fn what_another_program_computed_is_known() {
        // hashlib.pbkdf2_hmac("sha512", b"P4$$word", b"0123456789abcdef", 1000)
        let kept = "pbkdf2-sha512$1000$MDEyMzQ1Njc4OWFiY2RlZg$NnPyn74yXmjXNbfVHyfvAjW28+RAd9RWwA7nGS6oO+0Ktb/NAo86W5y3w/pjn79zhrCJ3necwIaop74TfJwv4g";
        assert!(verify(kept, "P4$$word") && !verify(kept, "P4$$word "));
    }

    #[test]
    fn what_is_damaged_is_no_password() {
        for kept in
            ["", "x", "pbkdf2-sha512$1000$$", "pbkdf2-sha512$0$AA$AA", "pbkdf2-sha512$99999999$AA$AA", "a$1$!$!$"]
        {
            assert!(!verify(kept, ""), "{kept}");
        }
    }
}
