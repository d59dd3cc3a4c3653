//! The elements of an ATS answer: rows of a trace to Zipkin v1 spans in JSON, one a posted span.
//!
//! * In: the rows of one trace or several, each once, in any order, fed one by one.
//! * Out: for each posted span the text of one JSON document, as soon as its rows are there. A posted v1 span comes
//!   back as it was posted. A span that never was v1 is put into v1's form: its name, unless it is so already, is
//!   composed as service:instance:transaction, the moments come from kind, time and duration, the tags are the binary
//!   annotations.
//!
//! The keys are in the order of the product's own example: `traceId`, `id`, `name`, `parentId`, `timestamp`,
//! `duration`, `annotations`, `binaryAnnotations`; in an annotation `timestamp`, `value`, `endpoint`; in a binary
//! annotation `key`, `value`, `endpoint`; in an endpoint `serviceName`, `ipv4`, `ipv6`, `port`, the port a number. What
//! is absent is left out but for the two lists. A posted `type` stands behind its value, a posted `debug` at the end.
//!
//! Invariant: rows wait only while their siblings are to come, so memory is bounded by the posted spans that are
//! incomplete; one whose siblings never come is emitted by [`AtsElements::finish`].
//!
//! What the API's lists and searches ask of a span is in [`mod@parts`].

pub mod parts;

pub use parts::{Parts, application, failed, is_echo, parts};

use super::v1::{self, Mark, V1Annotation, V1BinaryAnnotation, V1Span, V1Value};
use super::write::{push_endpoint, push_escaped, push_hex, push_i64, push_json_text};
use crate::model::{Endpoint, Kind, Span, TraceId};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Puts the rows of a trace together to elements.
#[derive(Default)]
pub struct AtsElements {
    waiting: BTreeMap<(TraceId, u64, String), Group>,
    /// The element being written, kept for its memory.
    element: Vec<u8>,
}

/// The rows of a posted span that are there so far.
#[derive(Default)]
struct Group {
    /// How many there are, once the first one said so.
    count: Option<usize>,
    rows: Vec<(usize, Span<'static>)>,
}

impl AtsElements {
    pub fn new() -> Self {
        AtsElements::default()
    }

    /// Takes a row; gives the element that it completes, if it does, to `emit` as JSON text.
    pub fn feed(&mut self, row: Span<'_>, emit: &mut dyn FnMut(&[u8])) {
        let Some(column) = row.v1.as_deref() else {
            return self.emit(&never_v1(&row), emit);
        };
        let (key, index, count) = match v1::mark(column) {
            Mark::Whole { .. } => {
                if let Some(posted) = v1::unsplit(std::slice::from_ref(&row)) {
                    self.emit(&posted, emit);
                }
                return;
            }
            Mark::First { key, count, .. } => (key, 0, Some(count)),
            Mark::Sibling { key, index } => (key, index, None),
        };
        let key = (row.trace_id, row.id, key.to_owned());
        let group = self.waiting.entry(key.clone()).or_default();
        group.count = group.count.or(count);
        if group.rows.iter().any(|&(known, _)| known == index) {
            return;
        }
        group.rows.push((index, row.into_owned()));
        if group.count.is_some_and(|count| group.rows.len() >= count)
            && let Some(group) = self.waiting.remove(&key)
        {
            self.emit_group(group, emit);
        }
    }

    /// Emits what still waits for siblings.
    pub fn finish(mut self, emit: &mut dyn FnMut(&[u8])) {
        for group in std::mem::take(&mut self.waiting).into_values() {
            self.emit_group(group, emit);
        }
    }

    fn emit_group(&mut self, group: Group, emit: &mut dyn FnMut(&[u8])) {
        let rows: Vec<Span<'_>> = group.rows.into_iter().map(|(_, row)| row).collect();
        if let Some(posted) = v1::unsplit(&rows) {
            self.emit(&posted, emit);
        }
    }

    fn emit(&mut self, span: &V1Span<'_>, emit: &mut dyn FnMut(&[u8])) {
        self.element.clear();
        write(span, &mut self.element);
        emit(&self.element);
    }
}

/// Appends an element as a JSON string, as it stands in `responseInfo`.
pub fn push_element(element: &[u8], out: &mut Vec<u8>) {
    // Elements are written here, from texts: they are UTF-8.
    push_json_text(out, &String::from_utf8_lossy(element));
}

/// Appends a v1 span in the order of keys of this API.
pub fn write(span: &V1Span<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"traceId\":\"");
    if span.trace_id.wide {
        push_hex(out, span.trace_id.high);
    }
    push_hex(out, span.trace_id.low);
    out.extend_from_slice(b"\",\"id\":\"");
    push_hex(out, span.id);
    out.push(b'"');
    if let Some(name) = &span.name {
        out.extend_from_slice(b",\"name\":");
        push_json_text(out, name);
    }
    if let Some(parent) = span.parent_id {
        out.extend_from_slice(b",\"parentId\":\"");
        push_hex(out, parent);
        out.push(b'"');
    }
    if let Some(timestamp) = span.timestamp {
        out.extend_from_slice(b",\"timestamp\":");
        push_i64(out, timestamp);
    }
    if let Some(duration) = span.duration {
        out.extend_from_slice(b",\"duration\":");
        push_i64(out, duration);
    }
    out.extend_from_slice(b",\"annotations\":[");
    for (at, annotation) in span.annotations.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"timestamp\":" } else { b",{\"timestamp\":" });
        push_i64(out, annotation.timestamp);
        out.extend_from_slice(b",\"value\":");
        push_json_text(out, &annotation.value);
        write_endpoint(annotation.endpoint.as_ref(), out);
    }
    out.extend_from_slice(b"],\"binaryAnnotations\":[");
    for (at, binary) in span.binary_annotations.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{\"key\":\"" } else { b",{\"key\":\"" });
        push_escaped(out, &binary.key);
        out.push(b'"');
        match &binary.value {
            V1Value::Absent => {}
            V1Value::Text(text) => {
                out.extend_from_slice(b",\"value\":");
                push_json_text(out, text);
            }
            V1Value::Json(json) => {
                out.extend_from_slice(b",\"value\":");
                out.extend_from_slice(json.as_bytes());
            }
        }
        if let Some(kind) = &binary.kind {
            out.extend_from_slice(b",\"type\":");
            push_json_text(out, kind);
        }
        write_endpoint(binary.endpoint.as_ref(), out);
    }
    out.push(b']');
    if let Some(debug) = span.debug {
        out.extend_from_slice(if debug { b",\"debug\":true" } else { b",\"debug\":false" });
    }
    out.push(b'}');
}

fn write_endpoint(endpoint: Option<&Endpoint<'_>>, out: &mut Vec<u8>) {
    if let Some(endpoint) = endpoint {
        out.extend_from_slice(b",\"endpoint\":");
        push_endpoint(out, endpoint, false);
    }
    out.push(b'}');
}

/// A span of another dialect in v1's form. Values of zero and less, which Zipkin reads as absent, are absent.
fn never_v1<'s>(row: &'s Span<'_>) -> V1Span<'s> {
    let timestamp = row.timestamp.filter(|&timestamp| timestamp > 0);
    let duration = row.duration.filter(|&duration| duration > 0);
    let local = row.local.as_ref().map(|local| Endpoint {
        service: local.service.as_deref().map(Cow::Borrowed),
        ipv4: local.ipv4,
        ipv6: local.ipv6,
        port: local.port,
    });
    let moments = match row.kind {
        Some(Kind::Client) => Some(("cs", "cr")),
        Some(Kind::Server) => Some(("sr", "ss")),
        // What the table of this API's values has no word for.
        Some(Kind::Producer | Kind::Consumer) | None => None,
    };
    let mut annotations = Vec::new();
    if let (Some((begins, ends)), Some(start)) = (moments, timestamp) {
        annotations.push(V1Annotation { timestamp: start, value: begins.into(), endpoint: local.clone() });
        if let Some(duration) = duration {
            let timestamp = start.saturating_add(duration);
            annotations.push(V1Annotation { timestamp, value: ends.into(), endpoint: local });
        }
    }
    let tag = |(key, value): &'s (Cow<'_, str>, Cow<'_, str>)| V1BinaryAnnotation {
        key: Cow::Borrowed(key),
        value: V1Value::Text(Cow::Borrowed(value)),
        kind: None,
        endpoint: None,
    };
    V1Span {
        trace_id: row.trace_id,
        id: row.id,
        parent_id: row.parent_id.filter(|&parent| parent != 0 && parent != row.id),
        name: Some(composed_name(row)),
        timestamp,
        duration,
        annotations,
        binary_annotations: row.tags.iter().map(tag).collect(),
        debug: row.debug.filter(|&debug| debug),
    }
}

/// `service:instance:transaction`: the span's own name, if it is such a one.
fn composed_name<'s>(row: &'s Span<'_>) -> Cow<'s, str> {
    match (&row.name, parts(row, None)) {
        (Some(name), Parts { composed: false, .. }) => Cow::Borrowed(name),
        (_, parts) => Cow::Owned(format!("{}:{}:{}", parts.application, parts.instance, parts.transaction)),
    }
}

#[cfg(test)]
mod tests;
