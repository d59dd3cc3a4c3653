//! Log records to service events: an `ExportLogsServiceRequest` in protobuf or JSON, as `POST /v1/logs` takes it.
//!
//! Two receivers of the OpenTelemetry Collector send Kubernetes' events as logs:
//!
//! | receiver | known by | the event |
//! |---|---|---|
//! | `k8sobjects` | attribute `k8s.resource.name` of `events`, or a body of `kind: Event` | the body, see below |
//! | `k8s_events` | an attribute `k8s.event.*` | scattered over body, attributes and resource |
//!
//! The body of the first is a tree, a frame of a watch or the Event itself, and read as [`crate::codec::k8s`] does.
//!
//! Fields of the second; the first that is there counts. An attribute is looked for in the record, then its resource:
//!
//! | field | from |
//! |---|---|
//! | cluster | `k8s.cluster.name`; `k8s.cluster.uid`; the request's; `default` |
//! | namespace | `k8s.namespace.name`; `default` |
//! | uid, name, action | `k8s.event.uid`, `k8s.event.name`, `k8s.event.action` |
//! | reason | `k8s.event.reason`; of old versions the record's `name` |
//! | object | `k8s.object.kind`, `.name`, `.uid`, `.fieldpath`, `.api_version` |
//! | object of old versions | `k8s.KIND.name`, `k8s.KIND.uid`, and `k8s.container.name` for the path |
//! | level | `severityText`; from 13 of `severityNumber` on `Warning`; `Normal` |
//! | message | the body, a text |
//! | component | `k8s.event.reporting_controller`; `k8s.event.source` |
//! | host, instance | `k8s.node.name`, `k8s.event.reporting_instance` |
//! | first_seen | `k8s.event.start_time` as Go prints it; `timeUnixNano` |
//! | last_seen | `timeUnixNano`; `k8s.event.start_time`; `observedTimeUnixNano` |
//! | count | `k8s.event.count`; 1 |
//! | labels | attributes that [`service`](crate::model::event::service) reads |
//!
//! Any other record is none of ours. OTLP answers such requests with success in part: how many records were rejected,
//! and why ([`Logs::rejected`]). So is a record that would be an event but for a mistake in it. What breaks the encoding
//! itself, or has another type than the protocol's where records are found, refuses the request as a whole.
//!
//! JSON is OTLP's: names in camelCase, enums as numbers, numbers of 64 bits as texts or numbers, `null` and unknown
//! fields passed over. Depth counts an AnyValue within another. Half a surrogate pair in an escape is U+FFFD, as in Go.
//!
//! A resource's attributes are in each event of its records: how much that is in all has a limit of its own
//! ([`Limits::max_decoded_bytes`]).

mod json;
mod proto;
mod record;

#[cfg(test)]
mod tests;

use crate::codec::k8s::{Fault, Limits, Taken};
use crate::codec::zipkin::surrogates;
use crate::codec::{DecodeError, utf8};
use crate::model::Event;

/// What a request brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs<'a> {
    pub events: Vec<Event<'a>>,
    /// Log records that are no events.
    pub others: usize,
    /// Log records that would be events but for a mistake.
    pub faulty: usize,
    /// The first of those mistakes.
    pub first_fault: Option<DecodeError>,
}

impl Logs<'_> {
    fn into_owned(self) -> Logs<'static> {
        let events = self.events.into_iter().map(Event::into_owned).collect();
        Logs { events, others: self.others, faulty: self.faulty, first_fault: self.first_fault }
    }

    /// What a `partial_success` answers: how many records were rejected, and why. `None` where all were taken.
    pub fn rejected(&self) -> Option<(i64, String)> {
        let rejected = self.others.saturating_add(self.faulty);
        if rejected == 0 {
            return None;
        }
        let mut reason = String::new();
        if let Some(fault) = &self.first_fault {
            reason = format!("events with a mistake: {}, the first: {fault}", self.faulty);
        }
        if self.others > 0 {
            let separator = if reason.is_empty() { "" } else { "\n" };
            reason.push_str(&format!(
                "{separator}log records that are no Kubernetes events: {}; send only those of the receivers \
                 k8s_events and k8sobjects here",
                self.others
            ));
        }
        Some((i64::try_from(rejected).unwrap_or(i64::MAX), reason))
    }
}

/// Reads a request in protobuf. `cluster` is the one that the request names, if it does.
pub fn decode_proto<'a>(body: &'a [u8], cluster: Option<&'a str>, limits: &Limits) -> Result<Logs<'a>, DecodeError> {
    let mut pass = Pass::new(cluster, limits);
    match proto::read(body, &mut pass) {
        Ok(()) => Ok(pass.logs),
        Err(refused) => Err(refused.error()),
    }
}

/// Reads a request in JSON. `cluster` is the one that the request names, if it does.
pub fn decode_json<'a>(body: &'a [u8], cluster: Option<&'a str>, limits: &Limits) -> Result<Logs<'a>, DecodeError> {
    let body = utf8(body).map_err(|error| DecodeError { peer: "invalid UTF-8 in JSON".to_owned(), ..error })?;
    match decode_json_once(body, cluster, limits) {
        Ok(logs) => Ok(logs),
        Err(error) if error.too_large => Err(error),
        Err(error) => match surrogates::mend(body) {
            Some(mended) => Ok(decode_json_once(&mended, cluster, limits)?.into_owned()),
            None => Err(error),
        },
    }
}

fn decode_json_once<'a>(body: &'a str, cluster: Option<&'a str>, limits: &Limits) -> Result<Logs<'a>, DecodeError> {
    let mut pass = Pass::new(cluster, limits);
    json::read(body, &mut pass)?;
    Ok(pass.logs)
}

/// What a request holds.
const RECORDS: &str = "log records";

/// What is the same for all records of a request, and what came of them so far.
struct Pass<'l, 'a> {
    cluster: &'a str,
    limits: &'l Limits,
    logs: Logs<'a>,
    taken: Taken,
}

impl<'l, 'a> Pass<'l, 'a> {
    fn new(cluster: Option<&'a str>, limits: &'l Limits) -> Self {
        Pass { cluster: cluster.unwrap_or_default(), limits, logs: Logs::default(), taken: Taken::default() }
    }

    /// Takes what a record came to; refuses one too many. `place` is where the record is.
    fn take(&mut self, found: record::Found<'a>, place: impl Fn() -> String) -> Result<(), DecodeError> {
        self.taken.entry(RECORDS, self.limits).map_err(|fault| fault.error(&place()))?;
        match found {
            record::Found::Event(event) => {
                self.taken.event(&event, self.limits).map_err(|fault| fault.error(&place()))?;
                self.logs.events.push(*event);
            }
            record::Found::Nothing => {}
            record::Found::Other => self.logs.others += 1,
        }
        Ok(())
    }

    /// Takes note of a mistake in a record.
    fn note(&mut self, fault: Fault, place: impl Fn() -> String) -> Result<(), DecodeError> {
        self.taken.entry(RECORDS, self.limits).map_err(|fault| fault.error(&place()))?;
        self.logs.faulty += 1;
        if self.logs.first_fault.is_none() {
            self.logs.first_fault = Some(fault.error(&place()));
        }
        Ok(())
    }
}
