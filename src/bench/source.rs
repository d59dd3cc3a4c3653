//! What is sent: generated traces or a replayed recording, behind one face.

use super::generate::{Generator, Trace};
use super::replay::Recording;
use super::write::{Body, Packer};
use crate::model::TraceId;
use std::sync::Arc;

/// A finite load: traces 0 to [`Source::traces`].
pub struct Source {
    kind: Kind,
    traces: u64,
    spans: u64,
}

pub(super) enum Kind {
    Generated(Generator),
    Replayed {
        recording: Arc<Recording>,
        seed: u64,
        /// When the newest span of the last round ends, in microseconds since 1970 UTC.
        end: i64,
        /// How long before the next round's the newest span of a round ends.
        interval: i64,
    },
}

impl Source {
    /// As many generated traces as it takes to have at least `spans` spans.
    pub fn generated(generator: Generator, spans: u64) -> Self {
        let (mut traces, mut total) = (0, 0);
        while total < spans {
            total += generator.span_count(traces) as u64;
            traces += 1;
        }
        Source { kind: Kind::Generated(generator), traces, spans: total }
    }

    /// As many rounds of the recording as it takes to have at least `spans` spans; the last one ends at `end`.
    pub fn replayed(recording: Arc<Recording>, seed: u64, spans: u64, end: i64, rate: u32) -> Self {
        let round = recording.spans() as u64;
        let rounds = spans.div_ceil(round);
        let interval = (1_000_000 * round / u64::from(rate.max(1))) as i64;
        let (traces, spans) = (rounds * recording.traces() as u64, rounds * round);
        Source { kind: Kind::Replayed { recording, seed, end, interval }, traces, spans }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// When the oldest span starts at the earliest, in microseconds since 1970 UTC.
    pub fn oldest_start(&self) -> i64 {
        match &self.kind {
            Kind::Generated(generator) => generator.options.first_start,
            Kind::Replayed { recording, end, interval, .. } => {
                let rounds = (self.spans / recording.spans() as u64) as i64;
                (end - interval * (rounds - 1).max(0)).saturating_sub(recording.length())
            }
        }
    }

    /// When the newest trace starts at the latest, in microseconds since 1970 UTC.
    pub fn latest_start(&self) -> i64 {
        match &self.kind {
            Kind::Generated(generator) => generator.latest_start(self.traces.saturating_sub(1)),
            Kind::Replayed { end, .. } => *end,
        }
    }

    pub fn traces(&self) -> u64 {
        self.traces
    }

    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// The id of a trace.
    pub fn trace_id(&self, number: u64) -> TraceId {
        match &self.kind {
            Kind::Generated(generator) => generator.trace_id(number),
            Kind::Replayed { recording, seed, .. } => {
                let a_round = recording.traces() as u64;
                recording.trace_id(*seed, number / a_round, (number % a_round) as usize)
            }
        }
    }

    /// How many spans a trace has.
    pub fn span_count(&self, number: u64) -> usize {
        match &self.kind {
            Kind::Generated(generator) => generator.span_count(number),
            Kind::Replayed { recording, .. } => recording.span_count((number % recording.traces() as u64) as usize),
        }
    }

    /// Packs all spans, until the packer's sink has enough.
    pub fn pack<S: FnMut(Body) -> bool>(&self, packer: &mut Packer<S>) {
        match &self.kind {
            Kind::Generated(generator) => {
                let format = packer.format();
                let mut trace = Trace::default();
                for number in 0..self.traces {
                    generator.draw(number, &mut trace, &mut ());
                    for span in &trace.spans {
                        if !packer.add(|out| format.write(&generator.shop, &trace, span, out)) {
                            return;
                        }
                    }
                }
            }
            Kind::Replayed { recording, seed, end, interval } => {
                let rounds = self.spans / recording.spans() as u64;
                for round in 0..rounds {
                    let end = end - interval * (rounds - 1 - round) as i64;
                    for span in 0..recording.spans() {
                        if !packer.add(|out| recording.write(span, *seed, round, end, out)) {
                            return;
                        }
                    }
                }
            }
        }
        packer.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::generate::Options;
    use crate::bench::write::Format;
    use std::collections::HashMap;

    #[test]
    fn what_is_packed_is_what_is_told() {
        let options = Options {
            seed: 21,
            wide_ids: false,
            shared_spans: false,
            first_start: 1_700_000_000_000_000,
            rate: 20_000,
        };
        let source = Source::generated(Generator::new(options), 5_000);
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut sent = 0;
        let mut packer = Packer::new(Format::ZipkinV2, 500, false, |body: Body| {
            sent += u64::from(body.spans);
            let spans: Vec<serde_json::Value> = serde_json::from_slice(&body.bytes).unwrap();
            for span in spans {
                *counts.entry(span["traceId"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            true
        });
        source.pack(&mut packer);
        assert_eq!(sent, source.spans());
        assert!((5_000..7_000).contains(&sent), "{sent}");
        assert_eq!(counts.len() as u64, source.traces());
        for number in 0..source.traces() {
            assert_eq!(counts[&source.trace_id(number).to_string()], source.span_count(number));
        }
    }

    #[test]
    fn packing_ends_when_nobody_listens() {
        let options = Options {
            seed: 22,
            wide_ids: false,
            shared_spans: false,
            first_start: 1_700_000_000_000_000,
            rate: 20_000,
        };
        let source = Source::generated(Generator::new(options), u64::from(u32::MAX) / 1000);
        let mut bodies = 0;
        let mut packer = Packer::new(Format::ZipkinV2, 10, false, |_: Body| {
            bodies += 1;
            bodies < 3
        });
        source.pack(&mut packer);
        assert_eq!(bodies, 3);
    }
}
