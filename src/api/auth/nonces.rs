//! Which signed requests have come: one that was read on its way is not answered to somebody who sends it again.
//!
//! A request is known by its key, its time and its nonce. Of each key so many are remembered, those with the latest
//! times. Once there are more, requests as old as what was forgotten are refused, since nobody can tell any more
//! whether they have come: under load the time that a request may take on its way gets shorter, and no request is
//! answered twice.
//!
//! All of it is in memory only. What came before a start is not known after it: a request that was read on its way and is
//! sent again after a restart, within the time for which requests are taken, is answered as if it came for the first time.
//! Nothing that is signed so changes anything: what somebody gets by it is the answer. TLS on the way keeps requests from
//! being read.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// Requests of all keys that are remembered: some 30 MiB.
const MOST: usize = 1 << 20;

/// What came.
#[derive(Debug)]
pub(super) struct Nonces {
    /// Of one key.
    most: usize,
    seen: Mutex<HashMap<String, Seen>>,
}

#[derive(Debug)]
struct Seen {
    /// What is not later than this was forgotten.
    forgotten: i64,
    /// Times and nonces.
    requests: BTreeSet<(i64, u64)>,
}

/// What is to be said of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes for the first time.
    New,
    /// It came before.
    Replayed,
    /// Nobody can tell: as old ones were forgotten.
    TooOld,
}

impl Nonces {
    /// Room for so many keys.
    pub(super) fn new(keys: usize) -> Nonces {
        Nonces { most: MOST / keys.max(1), seen: Mutex::default() }
    }

    /// Looks whether a request came before, and remembers it. Seconds since 1970 UTC: the request's own time, and the
    /// earliest at which requests are taken at all. The caller knows that the key signed it.
    pub(super) fn take(&self, key: &str, time: i64, nonce: u64, earliest: i64) -> Verdict {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = match all.get_mut(key) {
            Some(seen) => seen,
            None => all.entry(key.to_owned()).or_insert(Seen { forgotten: i64::MIN, requests: BTreeSet::new() }),
        };
        if time <= seen.forgotten {
            return Verdict::TooOld;
        }
        if !seen.requests.insert((time, nonce)) {
            return Verdict::Replayed;
        }
        // They are refused by their time.
        while seen.requests.first().is_some_and(|(time, _)| *time < earliest) {
            seen.requests.pop_first();
        }
        while seen.requests.len() > self.most {
            if let Some((time, _)) = seen.requests.pop_first() {
                seen.forgotten = seen.forgotten.max(time);
            }
        }
        Verdict::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(most: usize) -> Nonces {
        Nonces { most, seen: Mutex::default() }
    }

    #[test]
    fn only_the_same_key_time_and_nonce_are_the_same_request() {
        let nonces = Nonces::new(2);
        for (key, time, nonce, verdict) in [
            ("a", 100, 1, Verdict::New),
            ("a", 100, 1, Verdict::Replayed),
            ("a", 100, 2, Verdict::New),
            ("a", 101, 1, Verdict::New),
            ("b", 100, 1, Verdict::New),
            ("a", 101, 1, Verdict::Replayed),
            ("b", 100, 1, Verdict::Replayed),
        ] {
            assert_eq!(nonces.take(key, time, nonce, 0), verdict, "{key} {time} {nonce}");
        }
    }

    #[test]
    fn what_is_refused_by_its_time_is_not_remembered() {
        let nonces = small(10);
        for time in 0..1_000 {
            assert_eq!(nonces.take("a", time, 7, time - 5), Verdict::New);
        }
        let seen = nonces.seen.lock().unwrap();
        let kept: Vec<i64> = seen["a"].requests.iter().map(|(time, _)| *time).collect();
        assert_eq!((kept, seen["a"].forgotten), ((994..1_000).collect(), i64::MIN));
    }

    #[test]
    fn beyond_the_bound_the_oldest_are_forgotten_and_as_old_ones_refused() {
        let nonces = small(3);
        for (time, nonce) in [(10, 1), (10, 2), (11, 1), (12, 1)] {
            assert_eq!(nonces.take("a", time, nonce, 0), Verdict::New);
        }
        // (10, 1) was forgotten: whether another of its time came cannot be told.
        for nonce in [1, 2, 3] {
            assert_eq!(nonces.take("a", 10, nonce, 0), Verdict::TooOld);
        }
        assert_eq!(nonces.take("a", 9, 1, 0), Verdict::TooOld);
        assert_eq!(nonces.take("a", 11, 1, 0), Verdict::Replayed);
        assert_eq!(nonces.take("a", 13, 1, 0), Verdict::New);
        // Another key has room of its own.
        assert_eq!(nonces.take("b", 10, 1, 0), Verdict::New);
    }

    #[test]
    fn many_keys_share_the_room() {
        assert_eq!((Nonces::new(0).most, Nonces::new(1).most, Nonces::new(1_000).most), (MOST, MOST, MOST / 1_000));
    }
}
