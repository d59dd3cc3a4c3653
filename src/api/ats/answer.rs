//! The answer to a lookup: `responseInfo` is a list of JSON documents in strings, one for each posted span.

use super::OK;
use crate::api::lookup::Format;
use crate::codec::zipkin::ats::{AtsElements, push_element};
use crate::model::Span;

/// Writes rows as elements, each as soon as its rows are there.
#[derive(Default)]
pub(super) struct Elements {
    elements: AtsElements,
    any: bool,
}

/// Appends an element to the list.
fn push(element: &[u8], any: &mut bool, out: &mut Vec<u8>) {
    if std::mem::replace(any, true) {
        out.push(b',');
    }
    push_element(element, out);
}

impl Format for Elements {
    fn begin(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("{{\"errorCode\":\"{OK}\",\"errorMessage\":null,\"responseInfo\":[").as_bytes());
    }

    fn spans(&mut self, spans: Vec<Span<'static>>, out: &mut Vec<u8>) {
        for span in spans {
            self.elements.feed(span, &mut |element| push(element, &mut self.any, out));
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let waiting = std::mem::take(&mut self.elements);
        waiting.finish(&mut |element| push(element, &mut self.any, out));
        out.extend_from_slice(b"]}");
    }
}
