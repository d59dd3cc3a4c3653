//! The generator: traces of a shop, as random as real ones are.
//!
//! A trace is drawn from (seed, number) alone: the same pair gives the same trace wherever and whenever, so nobody has to
//! remember what was sent. Its id and size are the first draws, so that they can be told without the rest.
//!
//! What is random, on purpose, because repeated values flatter compression: ids are 64 (or 128) random bits; starts and
//! durations are log-normal; every span has four to eight tags, **of which three carry 20 or 24 random bits each, drawn
//! anew for each span**: request, session, query, message and task ids (24 bits, hexadecimal), orders and offsets
//! (24 bits, decimal), users, row keys and sizes (20 bits, decimal). The other tags are of few values, as they are in
//! life: methods, templates of paths and statements, status codes, user agents; one span in a hundred failed. All in all
//! about 154 random bits a span, 64 of them its id: [`super::describe`] adds them up from the draws themselves.
//!
//! Laws, all tested: parents come before their children; a span lies within its parent's time, but for a consumer, which
//! starts when its message was published; a trace has as many spans as [`Generator::span_count`] says.

use super::draw::{Draw, Field, Tally, mix};
use super::growth::{Growth, Node, draw_size};
use super::shop::Shop;
use crate::model::{Kind, TraceId};

/// What is generated, beside the seed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    /// Trace ids of 128 bits rather than 64.
    pub wide_ids: bool,
    /// A server's span has its client's id, as Zipkin's own agents do it; otherwise each span has an id of its own.
    pub shared_spans: bool,
    /// Where the first trace starts, in microseconds since 1970 UTC.
    pub first_start: i64,
    /// How fast the traced shop works: spans a second of the traces' own time.
    pub rate: u32,
}

/// A tag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    Text(&'static str),
    /// In decimal.
    Number(u32),
    /// Six hexadecimal digits.
    Hex(u32),
}

/// A span; texts and endpoints are those of the [`Shop`].
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub id: u64,
    /// 0 at the root.
    pub parent: u64,
    pub kind: Option<Kind>,
    pub name: &'static str,
    /// Microseconds since 1970 UTC.
    pub start: i64,
    /// Microseconds, at least 1.
    pub duration: i64,
    /// Index into [`Shop::endpoints`].
    pub local: usize,
    pub remote: Option<usize>,
    pub annotation: Option<&'static str>,
    pub shared: bool,
    /// Where its tags lie among the trace's.
    pub(super) tags: (u32, u32),
}

/// A trace, in memory that is used again for the next one.
pub struct Trace {
    pub id: TraceId,
    pub spans: Vec<Span>,
    pub(super) tags: Vec<(&'static str, Value)>,
    pub(super) nodes: Vec<Node>,
}

impl Default for Trace {
    fn default() -> Self {
        Trace { id: TraceId::narrow(0), spans: Vec::new(), tags: Vec::new(), nodes: Vec::new() }
    }
}

impl Trace {
    pub fn tags(&self, span: &Span) -> &[(&'static str, Value)] {
        &self.tags[span.tags.0 as usize..span.tags.1 as usize]
    }
}

/// Draws traces.
pub struct Generator {
    pub shop: Shop,
    pub options: Options,
}

/// What a trace has on average: sets how far apart the traces of a given rate start.
pub const MEAN_SPANS: u32 = 44;

/// A trace starts up to so many random bits of microseconds after its turn.
const JITTER_BITS: u32 = 20;

impl Generator {
    pub fn new(options: Options) -> Self {
        Generator { shop: Shop::new(), options }
    }

    /// The id of a trace.
    pub fn trace_id(&self, number: u64) -> TraceId {
        // No dialect takes an id of zeros.
        let low = mix(self.options.seed, number, 0).max(1);
        if self.options.wide_ids { TraceId::wide(mix(self.options.seed, number, 9), low) } else { TraceId::narrow(low) }
    }

    /// How many spans a trace has.
    pub fn span_count(&self, number: u64) -> usize {
        draw_size(&mut Draw::of_trace(self.options.seed, number, &mut ()))
    }

    /// Draws a trace into `trace`, replacing what is there, and tells `tally` what was drawn.
    pub fn draw<T: Tally>(&self, number: u64, trace: &mut Trace, tally: &mut T) {
        trace.id = self.trace_id(number);
        if T::COUNTS {
            tally.add(Field::TraceId, if self.options.wide_ids { 128.0 } else { 64.0 });
        }
        trace.spans.clear();
        trace.tags.clear();
        trace.nodes.clear();
        let mut draw = Draw::of_trace(self.options.seed, number, tally);
        let size = draw_size(&mut draw);
        let mut growth = Growth { shop: &self.shop, shared_spans: self.options.shared_spans, trace, draw, size };
        growth.grow();
        // Arrivals are independent of each other: within about a second their order is random.
        let jitter = growth.draw.bits(Field::Start, JITTER_BITS) as i64;
        growth.settle_times(self.turn(number) + jitter);
    }

    /// When a trace starts at the latest, in microseconds since 1970 UTC.
    pub fn latest_start(&self, number: u64) -> i64 {
        self.turn(number) + (1 << JITTER_BITS)
    }

    fn turn(&self, number: u64) -> i64 {
        let interval = 1_000_000.0 * f64::from(MEAN_SPANS) / f64::from(self.options.rate.max(1));
        self.options.first_start + (interval * number as f64) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::draw::Entropy;
    use std::collections::HashMap;

    fn options(seed: u64) -> Options {
        Options { seed, wide_ids: false, shared_spans: false, first_start: 1_700_000_000_000_000, rate: 20_000 }
    }

    fn each_trace(options: Options, traces: u64, mut check: impl FnMut(u64, &Generator, &Trace)) {
        let generator = Generator::new(options);
        let mut trace = Trace::default();
        for number in 0..traces {
            generator.draw(number, &mut trace, &mut ());
            check(number, &generator, &trace);
        }
    }

    #[test]
    fn a_traces_size_and_id_are_told_without_drawing_it() {
        // Lookups are checked by this: nobody remembers what was sent.
        each_trace(options(1), 600, |number, generator, trace| {
            assert_eq!(trace.spans.len(), generator.span_count(number));
            assert_eq!(trace.id, generator.trace_id(number));
        });
    }

    #[test]
    fn traces_have_44_spans_on_average_and_a_long_tail() {
        let generator = Generator::new(options(2));
        let counts: Vec<usize> = (0..50_000).map(|number| generator.span_count(number)).collect();
        let mean = counts.iter().sum::<usize>() as f64 / counts.len() as f64;
        assert!((41.0..47.0).contains(&mean), "{mean}");
        let share = |least: usize, most: usize| {
            counts.iter().filter(|&&count| (least..=most).contains(&count)).count() as f64 / counts.len() as f64
        };
        assert!((0.13..0.16).contains(&share(1, 5)), "{}", share(1, 5));
        assert!((0.003..0.005).contains(&share(500, 5000)), "{}", share(500, 5000));
    }

    #[test]
    fn parents_come_first_and_hold_their_children() {
        each_trace(options(3), 600, |number, _, trace| {
            let mut seen: HashMap<u64, &Span> = HashMap::new();
            for (at, span) in trace.spans.iter().enumerate() {
                assert!(span.duration >= 1);
                if at == 0 {
                    assert_eq!(span.parent, 0);
                } else {
                    let parent = seen[&span.parent];
                    if span.kind == Some(Kind::Consumer) {
                        assert!(span.start > parent.start + parent.duration, "trace {number} span {at}");
                    } else {
                        assert!(span.start >= parent.start, "trace {number} span {at}");
                        let end = parent.start + parent.duration;
                        assert!(span.start + span.duration <= end, "trace {number} span {at}");
                    }
                }
                assert!(seen.insert(span.id, span).is_none());
            }
        });
    }

    #[test]
    fn a_span_has_four_to_eight_tags_of_which_three_are_random() {
        each_trace(options(4), 400, |_, _, trace| {
            for span in &trace.spans {
                let tags = trace.tags(span);
                assert!((4..=8).contains(&tags.len()), "{} {tags:?}", span.name);
                // `hex`, `large` and `small` draw 20 bits or more.
                let random = tags.iter().filter(|(_, value)| !matches!(value, Value::Text(_))).count();
                assert_eq!(random, 3, "{} {tags:?}", span.name);
            }
        });
    }

    #[test]
    fn random_tags_repeat_as_little_as_their_bits_say() {
        // A guard against a generator that says 20 bits and gives fewer: of some thousand draws from a million few meet.
        let mut seen: HashMap<&str, HashMap<Value, u32>> = HashMap::new();
        each_trace(options(5), 600, |_, _, trace| {
            for span in &trace.spans {
                for &(key, value) in trace.tags(span) {
                    if !matches!(value, Value::Text(_)) {
                        *seen.entry(key).or_default().entry(value).or_default() += 1;
                    }
                }
            }
        });
        for (key, values) in seen {
            let draws: u32 = values.values().sum();
            let expected = f64::from(1 << 20) * (1.0 - (-f64::from(draws) / f64::from(1 << 20)).exp());
            assert!(values.len() as f64 > 0.995 * expected, "{key}: {} of {draws}", values.len());
        }
    }

    #[test]
    fn every_service_works_and_one_span_in_a_hundred_fails() {
        let mut services: HashMap<&str, u32> = HashMap::new();
        let (mut spans, mut errors) = (0, 0);
        each_trace(options(6), 1200, |_, generator, trace| {
            for span in &trace.spans {
                spans += 1;
                errors += u32::from(trace.tags(span).iter().any(|(key, _)| *key == "error"));
                *services.entry(generator.shop.endpoints[span.local].service).or_default() += 1;
            }
        });
        assert_eq!(services.len(), 40, "{services:?}");
        let share = f64::from(errors) / f64::from(spans);
        assert!((0.008..0.012).contains(&share), "{share}");
    }

    #[test]
    fn a_server_shares_its_clients_span_where_asked() {
        let mut shared = 0;
        each_trace(Options { shared_spans: true, ..options(7) }, 200, |_, _, trace| {
            for span in trace.spans.iter().filter(|span| span.shared) {
                shared += 1;
                let client = trace.spans.iter().find(|other| other.id == span.id && !other.shared).unwrap();
                assert_eq!((client.kind, span.kind), (Some(Kind::Client), Some(Kind::Server)));
                assert_eq!(client.parent, span.parent);
            }
        });
        assert!(shared > 1000);
    }

    #[test]
    fn counting_the_bits_does_not_change_what_is_drawn() {
        let generator = Generator::new(options(8));
        let (mut plain, mut counted) = (Trace::default(), Trace::default());
        generator.draw(5, &mut plain, &mut ());
        generator.draw(5, &mut counted, &mut Entropy::default());
        let shape = |trace: &Trace| -> Vec<(u64, i64, i64)> {
            trace.spans.iter().map(|span| (span.id, span.start, span.duration)).collect()
        };
        assert_eq!(shape(&plain), shape(&counted));
    }
}
