//! Seeded randomness that can tell how much of it was used.
//!
//! The generator must give the same bytes for the same seed on every machine and in every release, so it draws from its
//! own few lines instead of a library's unspecified generator. Every draw names the [`Field`] that it ends up in; a
//! [`Tally`] that is handed along adds up the bits. For `()` all of that compiles to nothing.

use std::collections::BTreeMap;

/// Where a draw can be seen in the spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    TraceId,
    SpanId,
    Start,
    Duration,
    /// The trace's size, which calls were made, and by which instances.
    Shape,
    Annotation,
    Tag(&'static str),
}

/// Adds up the bits that were drawn.
pub trait Tally {
    /// Whether the figures are wanted: computing them costs logarithms.
    const COUNTS: bool;
    fn add(&mut self, field: Field, bits: f64);
}

impl Tally for () {
    const COUNTS: bool = false;
    fn add(&mut self, _: Field, _: f64) {}
}

/// What was drawn for one field.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drawn {
    pub bits: f64,
    pub times: u64,
}

/// The draws of some traces by field.
#[derive(Clone, Debug, Default)]
pub struct Entropy(pub BTreeMap<Field, Drawn>);

impl Tally for Entropy {
    const COUNTS: bool = true;
    fn add(&mut self, field: Field, bits: f64) {
        let drawn = self.0.entry(field).or_default();
        drawn.bits += bits;
        drawn.times += 1;
    }
}

/// Scrambles `value` so that each bit of the result hangs on each bit of it; different values give different results.
pub fn scramble(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

/// A random-looking number that belongs to a seed and two counters.
pub fn mix(seed: u64, first: u64, second: u64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let seed = scramble(seed.wrapping_add(STEP));
    let first = scramble(seed ^ first.wrapping_mul(STEP).wrapping_add(STEP));
    scramble(first ^ second.wrapping_mul(STEP).wrapping_add(STEP))
}

/// A stream of draws: xoshiro256++ by David Blackman and Sebastiano Vigna, of 2^256 - 1 numbers a period.
pub struct Draw<'t, T> {
    state: [u64; 4],
    tally: &'t mut T,
}

impl<'t, T: Tally> Draw<'t, T> {
    /// The stream of the `number`th trace of `seed`; traces can be drawn in any order.
    pub fn of_trace(seed: u64, number: u64, tally: &'t mut T) -> Self {
        Draw { state: [1, 2, 3, 4].map(|part| mix(seed, number, part)), tally }
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ b << 17, d.rotate_left(45)];
        result
    }

    fn count(&mut self, field: Field, bits: impl FnOnce() -> f64) {
        if T::COUNTS {
            self.tally.add(field, bits());
        }
    }

    /// A number of `bits` bits, each of them random; 1 to 64.
    pub fn bits(&mut self, field: Field, bits: u32) -> u64 {
        self.count(field, || f64::from(bits));
        self.next() >> (64 - bits)
    }

    /// A number below `bound`, each as likely as the next; 0 where `bound` is.
    pub fn below(&mut self, field: Field, bound: u32) -> u32 {
        self.count(field, || f64::from(bound.max(1)).log2());
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<'c, C>(&mut self, field: Field, choices: &'c [C]) -> &'c C {
        &choices[self.below(field, choices.len() as u32) as usize]
    }

    /// True in one of `of` cases.
    pub fn one_in(&mut self, field: Field, of: u32) -> bool {
        self.count(field, || {
            let p = 1.0 / f64::from(of.max(2));
            -(p * p.log2() + (1.0 - p) * (1.0 - p).log2())
        });
        ((self.next() >> 32) * u64::from(of)) >> 32 == 0
    }

    /// A length of time as they are met: half are below `median`, some are many times as long (`sigma` of the natural
    /// logarithm). At least 1.
    pub fn log_normal(&mut self, field: Field, median: f64, sigma: f64) -> i64 {
        // The differential entropy of the distribution, in steps of one.
        self.count(field, || {
            (median * sigma * (2.0 * std::f64::consts::PI * std::f64::consts::E).sqrt()).log2().max(0.0)
        });
        let number = self.next();
        // Four uniform numbers add up to a bell that is near enough to the normal one, and cheap. The sum's mean is 2,
        // its variance 4/12.
        let sum: u64 = (0..4).map(|part| number >> (16 * part) & 0xffff).sum();
        let normal = (sum as f64 / 65536.0 - 2.0) * 3f64.sqrt();
        ((median * (sigma * normal).exp()) as i64).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        // First outputs of the reference implementation for the state 1, 2, 3, 4.
        let mut draw = Draw { state: [1, 2, 3, 4], tally: &mut () };
        let first: Vec<u64> = (0..4).map(|_| draw.next()).collect();
        assert_eq!(first, [41943041, 58720359, 3588806011781223, 3591011842654386]);
    }

    #[test]
    fn draws_fill_their_range_evenly() {
        let mut tally = Entropy::default();
        let mut draw = Draw::of_trace(1, 1, &mut tally);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[draw.below(Field::Shape, 10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (9_500..10_500).contains(&count)), "{seen:?}");
        let drawn = tally.0[&Field::Shape];
        assert_eq!(drawn.times, 100_000);
        assert!((drawn.bits / 100_000.0 - 10f64.log2()).abs() < 1e-9);
    }

    #[test]
    fn half_of_the_times_are_below_the_median() {
        let mut tally = ();
        let mut draw = Draw::of_trace(2, 1, &mut tally);
        let below = (0..100_000).filter(|_| draw.log_normal(Field::Duration, 1000.0, 0.8) < 1000).count();
        assert!((49_000..51_000).contains(&below), "{below}");
    }
}
