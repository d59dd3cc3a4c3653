//! A bound on bytes that requests may take in memory together.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that there are and those that are taken.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    taken: AtomicUsize,
}

/// What one request has taken; given back when dropped.
#[derive(Debug)]
pub(super) struct Charge<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Budget { limit, taken: AtomicUsize::new(0) }
    }

    /// What was taken before, by [`Charge::keep`].
    pub(super) fn resume(&self, bytes: usize) -> Charge<'_> {
        Charge { budget: self, bytes }
    }

    /// A charge of nothing, to be grown.
    pub(super) fn charge(&self) -> Charge<'_> {
        Charge { budget: self, bytes: 0 }
    }
}

impl Charge<'_> {
    /// The bytes that there are for all.
    pub(super) fn limit(&self) -> usize {
        self.budget.limit
    }

    /// Takes more; false if there is not as much. Who is alone always gets it: a request that the limits on one request
    /// allow would otherwise be refused for ever.
    #[must_use]
    pub(super) fn grow(&mut self, more: usize) -> bool {
        let others = |taken: usize| taken - self.bytes;
        let fits = |taken: usize| taken + more <= self.budget.limit || others(taken) == 0;
        let grown = self
            .budget
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| fits(taken).then_some(taken + more));
        if grown.is_ok() {
            self.bytes += more;
        }
        grown.is_ok()
    }

    /// Goes on being taken, so many bytes, until somebody resumes it.
    pub(super) fn keep(mut self) -> usize {
        std::mem::take(&mut self.bytes)
    }

    /// Gives some back.
    pub(super) fn shrink(&mut self, less: usize) {
        let less = less.min(self.bytes);
        self.budget.taken.fetch_sub(less, Ordering::AcqRel);
        self.bytes -= less;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_together_keep_to_the_limit_and_give_back_what_they_took() {
        let budget = Budget::new(100);
        let mut first = budget.charge();
        assert!(first.grow(60));
        let mut second = budget.charge();
        assert!(second.grow(40));
        assert!(!second.grow(1));
        drop(first);
        assert!(second.grow(60));
        second.shrink(90);
        assert!(budget.charge().grow(90));
        drop(second);
        assert_eq!(budget.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_request_alone_may_exceed_the_limit() {
        let budget = Budget::new(100);
        let mut alone = budget.charge();
        assert!(alone.grow(80));
        assert!(alone.grow(80));
        assert!(!budget.charge().grow(1));
    }
}
