//! The span, as every dialect sees it and as the table keeps it.
//!
//! One type serves the whole way: a decoder borrows its texts from the request's body, the log's encoding borrows them
//! from the log's bytes, a lookup from the table's pages. A text is copied only where it has to be (an escape in JSON).

use super::TraceId;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What role the span's own side played in the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    Client = 1,
    Server = 2,
    Producer = 3,
    Consumer = 4,
}

impl Kind {
    /// The name in Zipkin's JSON and in the table.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Client => "CLIENT",
            Kind::Server => "SERVER",
            Kind::Producer => "PRODUCER",
            Kind::Consumer => "CONSUMER",
        }
    }

    /// The kind of that name (upper case), if there is one.
    pub fn from_name(name: &str) -> Option<Kind> {
        [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer].into_iter().find(|kind| kind.name() == name)
    }

    /// The kind of that number in the log's encoding, if there is one.
    pub fn from_number(number: u8) -> Option<Kind> {
        [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// A party to a call: who it is and where. At least one field is set; an endpoint of nothing is `None` where it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint<'a> {
    /// The service's name as sent, never empty.
    pub service: Option<Cow<'a, str>>,
    pub ipv4: Option<Ipv4Addr>,
    /// Never an IPv4-mapped address: those are `ipv4`.
    pub ipv6: Option<Ipv6Addr>,
    /// 1 to 65535.
    pub port: Option<u16>,
}

impl Endpoint<'_> {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.service.is_none() && self.ipv4.is_none() && self.ipv6.is_none() && self.port.is_none()
    }
}

/// Something that happened at a moment of the span.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Annotation<'a> {
    /// Microseconds since 1970 UTC.
    pub timestamp: i64,
    pub value: Cow<'a, str>,
}

/// One row of the table: one side of one operation.
///
/// `PartialEq` is the rule for duplicates: rows that are equal in each field (and of equal [`Scope`]) are one span in
/// every answer. The derived order has no meaning but to bring equal rows together after the trace id and start.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span<'a> {
    pub trace_id: TraceId,
    /// Microseconds since 1970 UTC as sent (Zipkin reads 0 and less as absent); `None` where the sender does not know
    /// it, as the server's half of a shared span may not.
    pub timestamp: Option<i64>,
    pub id: u64,
    /// `None` at the root. As sent: 0 or the span's own id may stand here, which Zipkin reads as absent.
    pub parent_id: Option<u64>,
    /// `None` for work inside a service.
    pub kind: Option<Kind>,
    /// The operation's name as sent, never empty.
    pub name: Option<Cow<'a, str>>,
    /// Microseconds as sent; `None` while the span is unfinished.
    pub duration: Option<i64>,
    /// Who recorded the span.
    pub local: Option<Endpoint<'a>>,
    /// The other side of the call.
    pub remote: Option<Endpoint<'a>>,
    /// In the order sent.
    pub annotations: Vec<Annotation<'a>>,
    /// Sorted by key, each key once.
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Whether to keep the span whatever sampling says; `None` where not sent.
    pub debug: Option<bool>,
    /// Whether another process began the span and this side shares its id; `None` where not sent.
    pub shared: Option<bool>,
    /// `None` for a span that never was Zipkin v1. Empty where the row alone rebuilds the v1 span that was posted;
    /// otherwise the record of what the conversion loses, or the mark of a sibling row (see
    /// [`crate::codec::zipkin::v1`]).
    pub v1: Option<Cow<'a, str>>,
}

impl<'a> Span<'a> {
    /// A span of which only the ids are known.
    pub fn new(trace_id: TraceId, id: u64) -> Self {
        Span {
            trace_id,
            timestamp: None,
            id,
            parent_id: None,
            kind: None,
            name: None,
            duration: None,
            local: None,
            remote: None,
            annotations: Vec::new(),
            tags: Vec::new(),
            debug: None,
            shared: None,
            v1: None,
        }
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        let at = self.tags.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
        Some(self.tags[at].1.as_ref())
    }

    /// Sorts `tags` by key; of a key that was sent more than once the last value wins, as in a map.
    pub fn settle_tags(tags: &mut Vec<(Cow<'a, str>, Cow<'a, str>)>) {
        if tags.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return;
        }
        tags.reverse();
        tags.sort_by(|a, b| a.0.cmp(&b.0));
        tags.dedup_by(|later, kept| later.0 == kept.0);
    }

    /// The span with texts of its own.
    pub fn into_owned(self) -> Span<'static> {
        fn own(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        fn own_endpoint(endpoint: Endpoint<'_>) -> Endpoint<'static> {
            Endpoint {
                service: endpoint.service.map(own),
                ipv4: endpoint.ipv4,
                ipv6: endpoint.ipv6,
                port: endpoint.port,
            }
        }
        Span {
            trace_id: self.trace_id,
            timestamp: self.timestamp,
            id: self.id,
            parent_id: self.parent_id,
            kind: self.kind,
            name: self.name.map(own),
            duration: self.duration,
            local: self.local.map(own_endpoint),
            remote: self.remote.map(own_endpoint),
            annotations: self
                .annotations
                .into_iter()
                .map(|a| Annotation { timestamp: a.timestamp, value: own(a.value) })
                .collect(),
            tags: self.tags.into_iter().map(|(k, v)| (own(k), own(v))).collect(),
            debug: self.debug,
            shared: self.shared,
            v1: self.v1.map(own),
        }
    }
}

/// Under what a request's spans are kept: the same for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope<'a> {
    /// `[A-Za-z0-9_-]{1,64}`; `default` unless projects are isolated.
    pub project: Cow<'a, str>,
    /// The `clusterId` header, if sent.
    pub cluster_id: Option<Cow<'a, str>>,
    /// The `namespace` header, if sent.
    pub namespace: Option<Cow<'a, str>>,
}

impl Scope<'_> {
    /// The scope with texts of its own.
    pub fn into_owned(self) -> Scope<'static> {
        Scope {
            project: Cow::Owned(self.project.into_owned()),
            cluster_id: self.cluster_id.map(|text| Cow::Owned(text.into_owned())),
            namespace: self.namespace.map(|text| Cow::Owned(text.into_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_key_sent_twice_the_last_value_wins() {
        let mut tags: Vec<(Cow<str>, Cow<str>)> = vec![
            ("b".into(), "1".into()),
            ("a".into(), "1".into()),
            ("b".into(), "2".into()),
            ("a".into(), "2".into()),
        ];
        Span::settle_tags(&mut tags);
        assert_eq!(tags, vec![("a".into(), "2".into()), ("b".into(), "2".into())]);
    }

    #[test]
    fn kinds_keep_their_numbers() {
        for kind in [Kind::Client, Kind::Server, Kind::Producer, Kind::Consumer] {
            assert_eq!(Kind::from_number(kind as u8), Some(kind));
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
        }
        assert_eq!(Kind::from_name("INTERNAL"), None);
    }
}
