//! Says what the generator makes: sizes, and how many random bits a span holds, added up from the draws of a sample.
//!
//! The bits are what was drawn, field by field: for a choice the logarithm of the number of choices, for a time the
//! entropy of its distribution in microseconds. No store can keep the spans in fewer bits than these, on average; what
//! it needs on top is the cost of its structure.

use super::draw::{Drawn, Entropy, Field, Tally};
use super::generate::{Generator, Trace};
use super::write::{Format, compress};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a sample of traces holds.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    pub traces: u64,
    pub spans: u64,
    pub spans_a_trace: f64,
    pub largest_trace: usize,
    pub tags_a_span: f64,
    /// The least number of tags of 20 or more random bits on any span.
    pub least_random_tags: usize,
    /// Random bits a span.
    pub bits_a_span: f64,
    pub fields: Vec<FieldBits>,
    pub formats: Vec<FormatBytes>,
}

/// One field's part.
#[derive(Clone, Debug, Serialize)]
pub struct FieldBits {
    pub field: String,
    /// Draws a span: how many spans have the field, for tags.
    pub draws_a_span: f64,
    pub bits_a_draw: f64,
    pub bits_a_span: f64,
}

/// A format's size on the wire.
#[derive(Clone, Debug, Serialize)]
pub struct FormatBytes {
    pub format: &'static str,
    pub bytes_a_span: f64,
    pub gzip_bytes_a_span: f64,
}

/// Counts as [`Entropy`] does, and the tags of the sample by their bits.
#[derive(Default)]
struct Sample {
    entropy: Entropy,
    /// The widest draw of each tag.
    tag_bits: BTreeMap<&'static str, f64>,
}

impl Tally for Sample {
    const COUNTS: bool = true;
    fn add(&mut self, field: Field, bits: f64) {
        self.entropy.add(field, bits);
        if let Field::Tag(key) = field {
            let widest = self.tag_bits.entry(key).or_default();
            *widest = widest.max(bits);
        }
    }
}

/// Draws the first `traces` traces and adds up.
pub fn describe(generator: &Generator, traces: u64) -> Description {
    let mut sample = Sample::default();
    let mut trace = Trace::default();
    let mut spans = 0u64;
    let mut tags = 0u64;
    let mut largest_trace = 0;
    let mut least_random_tags = usize::MAX;
    let formats = [Format::ZipkinV2, Format::ZipkinV1, Format::ZipkinProto, Format::ZipkinThrift];
    let mut bodies = formats.map(|format| (format, Vec::new(), 0, 0));
    for number in 0..traces {
        generator.draw(number, &mut trace, &mut sample);
        spans += trace.spans.len() as u64;
        largest_trace = largest_trace.max(trace.spans.len());
        for span in &trace.spans {
            let span_tags = trace.tags(span);
            tags += span_tags.len() as u64;
            let is_random = |key: &&str| sample.tag_bits.get(*key).is_some_and(|&bits| bits >= 20.0);
            let random = span_tags.iter().map(|(key, _)| key).filter(|key| is_random(key)).count();
            least_random_tags = least_random_tags.min(random);
            for (format, body, _, _) in &mut bodies {
                format.write(&generator.shop, &trace, span, body);
            }
        }
        for (_, body, raw, packed) in &mut bodies {
            // About as much as a request holds.
            if body.len() > 300_000 || number + 1 == traces {
                *raw += body.len();
                *packed += compress(body).len();
                body.clear();
            }
        }
    }
    let per_span = |amount: f64| amount / spans.max(1) as f64;
    let fields: Vec<FieldBits> =
        sample.entropy.0.iter().map(|(field, drawn)| field_bits(*field, *drawn, spans)).collect();
    Description {
        traces,
        spans,
        spans_a_trace: spans as f64 / traces.max(1) as f64,
        largest_trace,
        tags_a_span: per_span(tags as f64),
        least_random_tags,
        bits_a_span: fields.iter().map(|field| field.bits_a_span).sum(),
        fields,
        formats: bodies
            .into_iter()
            .map(|(format, _, raw, packed)| FormatBytes {
                format: format.name(),
                bytes_a_span: per_span(raw as f64),
                gzip_bytes_a_span: per_span(packed as f64),
            })
            .collect(),
    }
}

fn field_bits(field: Field, drawn: Drawn, spans: u64) -> FieldBits {
    let name = match field {
        Field::TraceId => "trace id".to_owned(),
        Field::SpanId => "span id".to_owned(),
        Field::Start => "start".to_owned(),
        Field::Duration => "duration".to_owned(),
        Field::Shape => "calls, services, instances".to_owned(),
        Field::Annotation => "annotation".to_owned(),
        Field::Tag(key) => format!("tag {key}"),
    };
    let spans = spans.max(1) as f64;
    FieldBits {
        field: name,
        draws_a_span: drawn.times as f64 / spans,
        bits_a_draw: drawn.bits / drawn.times.max(1) as f64,
        bits_a_span: drawn.bits / spans,
    }
}

impl Description {
    /// The description for a person.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "a sample of {} traces: {} spans, {:.1} a trace (largest {}), {:.1} tags a span",
            self.traces, self.spans, self.spans_a_trace, self.largest_trace, self.tags_a_span
        );
        let _ = writeln!(out, "tags of 20 or more random bits: at least {} on every span", self.least_random_tags);
        for format in &self.formats {
            let _ = writeln!(
                out,
                "{}: {:.0} bytes a span, {:.0} after gzip",
                format.format, format.bytes_a_span, format.gzip_bytes_a_span
            );
        }
        let _ = writeln!(out, "\n{:<30}{:>14}{:>14}{:>14}", "field", "draws a span", "bits a draw", "bits a span");
        for field in &self.fields {
            let _ = writeln!(
                out,
                "{:<30}{:>14.3}{:>14.1}{:>14.2}",
                field.field, field.draws_a_span, field.bits_a_draw, field.bits_a_span
            );
        }
        let total = format!("all ({:.1} bytes)", self.bits_a_span / 8.0);
        let _ = writeln!(out, "{total:<30}{:>14}{:>14}{:>14.2}", "", "", self.bits_a_span);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::generate::Options;

    #[test]
    fn a_span_holds_as_many_random_bits_as_is_stated() {
        let options =
            Options { seed: 1, wide_ids: false, shared_spans: false, first_start: 1_700_000_000_000_000, rate: 20_000 };
        let description = describe(&Generator::new(options), 300);
        // The figure in the generator's own text: whoever changes the draws changes it there.
        assert!((description.bits_a_span - 154.0).abs() < 4.0, "{}", description.table());
        assert_eq!(description.least_random_tags, 3);
        assert!(description.spans_a_trace > 30.0);
        let id = description.fields.iter().find(|field| field.field == "span id").unwrap();
        assert_eq!((id.draws_a_span, id.bits_a_span), (1.0, 64.0));
    }
}
