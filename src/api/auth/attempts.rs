//! Logins that failed: whoever fails too often is banned for a while. A table of bounded size, in memory: a restart
//! forgives everybody.

use std::collections::HashMap;
use std::net::IpAddr;

/// Failures that are forgiven.
const FORGIVEN: u32 = 2;
/// How long a ban lasts, and how long failures are remembered, in microseconds.
const TERM: i64 = 15 * 60 * 1_000_000;
/// Names and addresses that are remembered at a time.
const MOST: usize = 10_000;
/// So much of a name counts, in bytes: accounts' names are not longer.
const NAME: usize = 64;

/// Who tries: an account's name and the address that it is tried from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Who {
    name: Box<[u8]>,
    address: IpAddr,
}

impl Who {
    pub(super) fn new(name: &str, address: IpAddr) -> Who {
        Who { name: cut(name).into(), address: address.to_canonical() }
    }
}

/// What counts of a name.
fn cut(name: &str) -> &[u8] {
    let name = name.as_bytes();
    name.get(..NAME).unwrap_or(name)
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    times: u32,
    /// When it is forgotten.
    until: i64,
}

/// All that failed lately.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<Who, Failed>);

impl Attempts {
    /// How many microseconds somebody is still banned.
    pub(super) fn banned(&self, who: &Who, now: i64) -> Option<i64> {
        let failed = self.0.get(who)?;
        (failed.times > FORGIVEN && now < failed.until).then(|| failed.until - now)
    }

    pub(super) fn failed(&mut self, who: Who, now: i64) {
        let before = self.0.get(&who).filter(|failed| now < failed.until).map_or(0, |failed| failed.times);
        if before == 0 && self.0.len() >= MOST {
            self.make_room(now);
        }
        self.0.insert(who, Failed { times: before.saturating_add(1), until: now.saturating_add(TERM) });
    }

    pub(super) fn succeeded(&mut self, who: &Who) {
        self.0.remove(who);
    }

    /// Lifts every ban of a name, wherever it was tried from.
    pub(super) fn forgive(&mut self, name: &str) {
        let name = cut(name);
        self.0.retain(|who, _| *who.name != *name);
    }

    /// Forgets what is over, and if that is nothing, whoever is the least of a loss: not banned, then longest ago.
    fn make_room(&mut self, now: i64) {
        self.0.retain(|_, failed| now < failed.until);
        if self.0.len() < MOST {
            return;
        }
        let loss = |failed: &Failed| (failed.times > FORGIVEN, failed.until);
        let least = self.0.iter().min_by_key(|(_, failed)| loss(failed)).map(|(who, _)| who.clone());
        if let Some(least) = least {
            self.0.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str, last: u8) -> Who {
        Who::new(name, IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn the_third_failure_bans_a_name_from_an_address_for_a_quarter_of_an_hour() {
        let mut attempts = Attempts::default();
        for now in [0, 1] {
            attempts.failed(who("root", 1), now);
            assert_eq!(attempts.banned(&who("root", 1), now), None);
        }
        attempts.failed(who("root", 1), 2);
        assert_eq!(attempts.banned(&who("root", 1), 2), Some(TERM));
        assert_eq!(attempts.banned(&who("root", 1), TERM + 1), Some(1));
        assert_eq!(attempts.banned(&who("root", 1), TERM + 2), None);
        assert_eq!(attempts.banned(&who("root", 2), 2), None);
        assert_eq!(attempts.banned(&who("peter", 1), 2), None);
    }

    #[test]
    fn failures_are_forgotten_after_a_quarter_of_an_hour_and_by_a_success() {
        let mut attempts = Attempts::default();
        attempts.failed(who("root", 1), 0);
        attempts.failed(who("root", 1), 0);
        attempts.failed(who("root", 1), TERM);
        assert_eq!(attempts.banned(&who("root", 1), TERM), None);
        attempts.failed(who("root", 1), TERM);
        attempts.succeeded(&who("root", 1));
        attempts.failed(who("root", 1), TERM);
        assert_eq!(attempts.banned(&who("root", 1), TERM), None);
    }

    #[test]
    fn a_name_is_forgiven_at_every_address_and_no_other_is() {
        let mut attempts = Attempts::default();
        for who in [who("root", 1), who("root", 2), who("rooty", 1)] {
            for _ in 0..3 {
                attempts.failed(who.clone(), 0);
            }
        }
        attempts.forgive("root");
        assert_eq!(attempts.banned(&who("root", 1), 0), None);
        assert_eq!(attempts.banned(&who("root", 2), 0), None);
        assert_eq!(attempts.banned(&who("rooty", 1), 0), Some(TERM));
    }

    #[test]
    fn an_address_is_the_same_in_both_of_its_forms() {
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(Who::new("root", mapped), who("root", 1));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_bans_longest() {
        let mut attempts = Attempts::default();
        for now in 0..3 {
            attempts.failed(who("root", 1), now);
        }
        for number in 0..2 * MOST {
            attempts.failed(who(&format!("{}{number}", "x".repeat(40)), 2), 3);
        }
        assert_eq!(attempts.0.len(), MOST);
        assert!(attempts.banned(&who("root", 1), 3).is_some());
        attempts.failed(who(&"x".repeat(1_000_000), 3), 3 + TERM);
        assert_eq!(attempts.0.len(), 1);
        assert!(attempts.0.keys().all(|who| who.name.len() <= NAME));
    }
}
