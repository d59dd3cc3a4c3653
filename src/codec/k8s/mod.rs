//! Service events as Kubernetes writes them: `POST /api/v1/k8s/events`.
//!
//! In: a JSON body of one document or several, one after the other (as lines of NDJSON are). Out: its [`Event`]s,
//! texts borrowed from the body; or one [`DecodeError`] for the whole body, which starts with what Kubernetes' API
//! server says to such a mistake. What a document may be:
//!
//! | document | who sends it |
//! |---|---|
//! | an Event of `v1` or of `events.k8s.io/v1` | `kubectl get event NAME -o json` |
//! | a List or EventList, with `items` | `kubectl get events -o json`, the API server |
//! | a list, `[...]`, of any of these | scripts |
//! | a frame of a watch, `{"type": ..., "object": ...}` | the API server at `?watch=true` |
//! | an Event with `clusterName`, its object with `labels` and `ownerReferences` | kubernetes-event-exporter |
//!
//! Frames ADDED and MODIFIED carry an event. DELETED says that Kubernetes has forgotten one, which is no reason to forget
//! it here, and BOOKMARK that nothing happened: both are passed over. ERROR is refused.
//!
//! Where a field of [`Event`] comes from; the first that is there counts, and `null`, an empty text and Go's zero time
//! are as good as absent:
//!
//! | field | from |
//! |---|---|
//! | cluster | `clusterName`; what came with the log record that holds it; the request's; `default` |
//! | namespace | the object's; `metadata.namespace`; what came with the record; `default` |
//! | uid | `metadata.uid`; else derived, see below |
//! | object | `involvedObject`; `regarding` |
//! | level | `type`; `Normal` |
//! | message | `message`; `note` |
//! | component | `source.component`; `reportingComponent`; `reportingController`; `deprecatedSource.component` |
//! | host | `source.host`; `deprecatedSource.host` |
//! | instance | `reportingInstance` |
//! | first_seen | `firstTimestamp`; `deprecatedFirstTimestamp`; `eventTime`; `metadata.creationTimestamp` |
//! | last_seen | `lastTimestamp`; `series.lastObservedTime`; `deprecatedLastTimestamp`; `eventTime`; the creation |
//! | count | the greater of `count` and `series.count`; without `count` `series.count`; `deprecatedCount`; at least 1 |
//! | labels | the object's `labels`; what came with the record; `metadata.labels` |
//! | owners | the object's `ownerReferences` |
//!
//! The two API groups share no field that they mean differently, so that one table does for both. An event with only one
//! of the two times has it for both; a first time after the last is the last.
//!
//! **A derived uid** is the same for each resend of an event and for no other: it leaves out whatever changes (the
//! resource's version, the count, the last time). With a name it is `derived:CLUSTER/NAMESPACE/NAME`, since a name is
//! unique within its namespace. Without one it is `derived:CLUSTER/NAMESPACE/` and 32 hex digits, the hash (xxh3, 128
//! bits) of the object's kind, name and uid, level, reason, message, component and first time; of such an event that has no
//! other time than the last each resend counts as an event of its own.
//!
//! What is cut: the message, at [`Limits::max_message_bytes`]. What is refused: any other text over
//! [`Limits::max_name_bytes`], more events, more of what is none, more bytes in all events together, more values in an
//! event or deeper nesting than the limits say, times before the year 1 or from 9999 on. Fields that nothing reads are
//! skipped whatever they hold, up to the depth.
//!
//! A byte order mark before the body is passed over. Half a surrogate pair in an escape is U+FFFD, as in Go.

mod event;
mod read;
mod taken;
mod times;
mod value;

#[cfg(test)]
mod tests;

use crate::codec::zipkin::surrogates;
use crate::codec::{DecodeError, utf8};
use crate::model::Event;
pub(super) use event::{cut, decode as decode_one, finish, first, is_event, is_read, settle_labels};
use std::borrow::Cow;
pub(super) use taken::Taken;
pub(super) use times::{micros_of_nanos, parse_go};
pub(super) use value::{Budget, Fault, Fields, Key, Place, Value, expect_short, short};

/// What a body of events may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events in one request. More are refused as too large.
    pub max_events: usize,
    /// Values in one event, those that nothing reads not counted.
    pub max_values: usize,
    /// Lists and objects inside one another, the outermost counted.
    pub max_depth: usize,
    /// Bytes of a text other than the message: a longer one is refused.
    pub max_name_bytes: usize,
    /// Bytes of a message: a longer one is cut.
    pub max_message_bytes: usize,
    /// Bytes that all events of a request take together, see [`Taken`]. More are refused as too large: what stands once
    /// in the body, as a resource's attributes do, is in each event.
    pub max_decoded_bytes: usize,
}

impl Limits {
    /// What may be an event, in one request: documents, elements of lists, log records. Most of them are events, but a
    /// watch may tell of things forgotten more often, and a Collector may send other logs too.
    pub(super) fn max_entries(&self) -> usize {
        self.max_events.saturating_mul(10).saturating_add(1_000)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_events: 100_000,
            max_values: 10_000,
            max_depth: 32,
            max_name_bytes: 4_096,
            max_message_bytes: 64 << 10,
            max_decoded_bytes: 64 << 20,
        }
    }
}

/// What is known of an event from around it, and stands in where the event itself does not say.
#[derive(Clone, Debug, Default)]
pub(super) struct Around<'a> {
    /// The cluster that the event's sender names beside it; empty if it does not.
    pub cluster: Cow<'a, str>,
    /// The cluster that the request names; empty if it does not, which makes it `default`.
    pub request_cluster: Cow<'a, str>,
    /// Empty if nothing says.
    pub namespace: Cow<'a, str>,
    /// Attributes that [`crate::model::event::service`] reads.
    pub labels: Vec<(&'static str, Cow<'a, str>)>,
}

/// Reads a body. `cluster` is the one that the request names, if it does.
pub fn decode<'a>(body: &'a [u8], cluster: Option<&'a str>, limits: &Limits) -> Result<Vec<Event<'a>>, DecodeError> {
    let body = utf8(body).map_err(|error| DecodeError { peer: "invalid UTF-8 in JSON".to_owned(), ..error })?;
    let body = body.strip_prefix('\u{feff}').unwrap_or(body);
    match decode_once(body, cluster, limits) {
        Ok(events) => Ok(events),
        Err(error) if error.too_large => Err(error),
        Err(error) => match surrogates::mend(body) {
            Some(mended) => Ok(decode_once(&mended, cluster, limits)?.into_iter().map(Event::into_owned).collect()),
            None => Err(error),
        },
    }
}

fn decode_once<'a>(body: &'a str, cluster: Option<&'a str>, limits: &Limits) -> Result<Vec<Event<'a>>, DecodeError> {
    let around = Around { request_cluster: cluster.unwrap_or_default().into(), ..Around::default() };
    read::documents(body, &around, limits)
}
