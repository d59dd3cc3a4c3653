//! What spans were posted under, beside their project: kept with them for those who ask, at no cost where there is none.

use crate::model::{Scope, Span};
use std::borrow::Cow;

/// What a span was posted under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The `clusterId` header, if sent.
    pub cluster_id: Option<String>,
    /// The `namespace` header, if sent.
    pub namespace: Option<String>,
}

/// The origins of spans, by their places in a list; of those behind the last there is nothing to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<Origin>);

/// Spans with where they are from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub spans: Vec<Span<'static>>,
    pub origins: Origins,
}

impl Rows {
    /// Adds a span.
    pub(super) fn push(&mut self, span: Span<'static>, scope: &Scope<'_>) {
        self.origins.set(self.spans.len(), scope);
        self.spans.push(span);
    }

    pub(super) fn with_capacity(count: usize) -> Rows {
        Rows { spans: Vec::with_capacity(count), origins: Origins::default() }
    }

    /// The rows that meet a condition.
    pub(super) fn only(&self, keep: impl Fn(&Span<'_>) -> bool) -> Rows {
        let mut rows = Rows::default();
        for (number, span) in self.spans.iter().enumerate().filter(|(_, span)| keep(span)) {
            if let Some(origin) = self.origins.get(number) {
                rows.origins.insert(rows.spans.len(), origin.clone());
            }
            rows.spans.push(span.clone());
        }
        rows
    }

    /// Each span with where it is from.
    pub fn into_pairs(mut self) -> impl Iterator<Item = (Span<'static>, Origin)> {
        self.origins.0.resize(self.spans.len(), Origin::default());
        self.spans.into_iter().zip(self.origins.0)
    }
}

impl Origins {
    fn get(&self, number: usize) -> Option<&Origin> {
        self.0.get(number)
    }

    /// Keeps where the span of that number is from; numbers come in order.
    fn set(&mut self, number: usize, scope: &Scope<'_>) {
        if scope.cluster_id.is_none() && scope.namespace.is_none() {
            return;
        }
        let text = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
        self.insert(number, Origin { cluster_id: text(&scope.cluster_id), namespace: text(&scope.namespace) });
    }

    fn insert(&mut self, number: usize, origin: Origin) {
        self.0.resize(number, Origin::default());
        self.0.push(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TraceId;

    #[test]
    fn each_span_keeps_where_it_is_from() {
        let under = |namespace: Option<&'static str>| Scope {
            project: "default".into(),
            cluster_id: None,
            namespace: namespace.map(Into::into),
        };
        let mut rows = Rows::default();
        for (id, namespace) in [(1, None), (2, Some("a")), (3, None), (4, Some("b")), (5, None)] {
            rows.push(Span::new(TraceId::narrow(1), id), &under(namespace));
        }
        let told = |rows: Rows| -> Vec<(u64, Option<String>)> {
            rows.into_pairs().map(|(span, origin)| (span.id, origin.namespace)).collect()
        };
        let (a, b) = (|| Some("a".to_owned()), || Some("b".to_owned()));
        assert_eq!(told(rows.only(|span| span.id > 2)), [(3, None), (4, b()), (5, None)]);
        assert_eq!(told(rows), [(1, None), (2, a()), (3, None), (4, b()), (5, None)]);
    }

    #[test]
    fn spans_that_are_from_nowhere_take_nothing_more() {
        let mut rows = Rows::default();
        let scope = Scope { project: "default".into(), cluster_id: None, namespace: None };
        rows.push(Span::new(TraceId::narrow(1), 1), &scope);
        assert_eq!(rows.origins.0.capacity(), 0);
    }
}
