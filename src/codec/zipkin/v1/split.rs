//! One posted v1 span to the rows that Zipkin makes of it.
//!
//! v1 has no kinds and no sides: who did what is in annotations of two letters, each with the endpoint that recorded
//! it. The rules (Zipkin's `V1SpanConverter`):
//!
//! * Annotations are taken by time and value, then binary annotations by key, whatever the order sent.
//! * Everything goes to the row of its endpoint's service, in the order of first mention; what has no endpoint goes to
//!   the first row. Names are compared as Zipkin stores them, in lower case.
//! * A moment of two letters counts only with an endpoint: `cs`, `cr` make the row a client, `sr`, `ss` a server, `ms` a
//!   producer, `mr` a consumer; `ws` and `wr` are when the message was on the wire. Of several the last counts.
//! * Where `cr` lies at the span's end, a missing `cs` was at its start; the same goes for `ss` and `sr`. Bridges from
//!   event models lose them.
//! * Client and server in one span: the client owns the span's time and duration, the server is `shared` and has its
//!   own from its moments. If both are one service, the server gets a row of its own.
//! * One complete side: the span's own time and duration if both are there, else from the moments.
//! * An incomplete side keeps its beginning as the time and its lone end as a plain annotation.
//! * A server without a client that sends no time, or both moments and no duration, joined a span: it is `shared`.
//! * Producer and consumer in one span fork as client and server do.
//! * `ca`, `sa`, `ma` are addresses of the other side, whatever their value. Without any of `cs`, `cr`, `sr`, `ss`, `ca`
//!   and `sa` together name both sides, `sa` alone the remote one, `ca` alone the caller of a server. Finagle's servers
//!   add `ca` under their own service's name: the name is dropped, or the service would seem to call itself.
//! * Texts become tags; an empty `lc` only names its endpoint's service. Numbers, booleans and the rest are no tags:
//!   they live on in the record alone.

use super::{V1BinaryAnnotation, V1Span, V1Value, record};
use crate::model::{Annotation, Endpoint, Kind, Span};
use std::borrow::Cow;
use std::collections::HashMap;

/// Rows of which a linear search for a service is quicker than a map.
const FEW_ROWS: usize = 8;

/// The rows of a posted span, their `v1` columns filled in.
pub fn split<'a>(posted: &V1Span<'a>) -> Vec<Span<'a>> {
    let mut converted = convert(posted);
    record::fill(posted, &mut converted);
    converted.rows
}

/// A conversion before its record is written.
pub(super) struct Converted<'a> {
    pub rows: Vec<Span<'a>>,
    /// For each annotation of the posted span the row that shows it, or would.
    pub annotation_rows: Vec<usize>,
    /// The same for each binary annotation.
    pub binary_rows: Vec<usize>,
}

/// The moments with a meaning.
#[derive(Clone, Copy)]
enum Core {
    ClientSend,
    ClientReceive,
    ServerReceive,
    ServerSend,
    MessageSend,
    MessageReceive,
    WireSend,
    WireReceive,
}

impl Core {
    fn of(value: &str) -> Option<(Core, Option<Kind>)> {
        Some(match value {
            "cs" => (Core::ClientSend, Some(Kind::Client)),
            "cr" => (Core::ClientReceive, Some(Kind::Client)),
            "sr" => (Core::ServerReceive, Some(Kind::Server)),
            "ss" => (Core::ServerSend, Some(Kind::Server)),
            "ms" => (Core::MessageSend, Some(Kind::Producer)),
            "mr" => (Core::MessageReceive, Some(Kind::Consumer)),
            "ws" => (Core::WireSend, None),
            "wr" => (Core::WireReceive, None),
            _ => return None,
        })
    }
}

/// A moment that counts.
#[derive(Clone, Copy)]
struct Moment<'p, 'a> {
    timestamp: i64,
    endpoint: &'p Endpoint<'a>,
    /// Its place among the posted annotations; `None` where it was inferred.
    posted: Option<usize>,
}

struct Converter<'p, 'a> {
    posted: &'p V1Span<'a>,
    rows: Vec<Span<'a>>,
    /// The row of each service in lower case, once there are many.
    by_service: HashMap<Option<String>, usize>,
    moments: [Option<Moment<'p, 'a>>; 8],
    annotation_rows: Vec<usize>,
    binary_rows: Vec<usize>,
}

fn convert<'a>(posted: &V1Span<'a>) -> Converted<'a> {
    let mut converter = Converter {
        posted,
        rows: Vec::with_capacity(1),
        by_service: HashMap::new(),
        moments: [None; 8],
        annotation_rows: Vec::new(),
        binary_rows: Vec::new(),
    };
    converter.add_row();
    converter.take_annotations();
    converter.infer_starts();
    converter.time_calls();
    converter.time_messages();
    converter.take_binary_annotations();
    let Converter { mut rows, annotation_rows, binary_rows, .. } = converter;
    for row in &mut rows {
        Span::settle_tags(&mut row.tags);
    }
    Converted { rows, annotation_rows, binary_rows }
}

impl<'p, 'a> Converter<'p, 'a> {
    fn add_row(&mut self) -> usize {
        let mut row = Span::new(self.posted.trace_id, self.posted.id);
        row.parent_id = self.posted.parent_id;
        row.name = self.posted.name.clone().filter(|name| !name.is_empty());
        row.debug = self.posted.debug;
        self.rows.push(row);
        self.rows.len() - 1
    }

    fn add_row_of(&mut self, endpoint: &Endpoint<'a>) -> usize {
        let at = self.add_row();
        self.rows[at].local = Some(endpoint.clone());
        if self.rows.len() == FEW_ROWS + 1 {
            for (at, row) in self.rows.iter().enumerate() {
                self.by_service.entry(row.local.as_ref().and_then(lower_service)).or_insert(at);
            }
        } else if self.rows.len() > FEW_ROWS {
            self.by_service.entry(lower_service(endpoint)).or_insert(at);
        }
        at
    }

    /// The row of the endpoint's service, added if there is none.
    fn row_of(&mut self, endpoint: Option<&Endpoint<'a>>) -> usize {
        let Some(endpoint) = endpoint else { return 0 };
        if self.rows[0].local.is_none() {
            self.rows[0].local = Some(endpoint.clone());
            return 0;
        }
        let known = if self.rows.len() > FEW_ROWS {
            self.by_service.get(&lower_service(endpoint)).copied()
        } else {
            self.rows.iter().position(|row| row.local.as_ref().is_some_and(|local| same_service(local, endpoint)))
        };
        known.unwrap_or_else(|| self.add_row_of(endpoint))
    }

    fn moment(&self, core: Core) -> Option<Moment<'p, 'a>> {
        self.moments[core as usize]
    }

    /// Notes that a row shows the moment.
    fn shows(&mut self, moment: Option<Moment<'_, '_>>, row: usize) {
        if let Some(posted) = moment.and_then(|moment| moment.posted) {
            self.annotation_rows[posted] = row;
        }
    }

    fn start(&self) -> Option<i64> {
        self.posted.timestamp.filter(|&timestamp| timestamp != 0)
    }

    fn duration(&self) -> Option<i64> {
        self.posted.duration.filter(|&duration| duration != 0)
    }

    fn take_annotations(&mut self) {
        let annotations = &self.posted.annotations;
        self.annotation_rows.resize(annotations.len(), 0);
        let mut order: Vec<usize> = (0..annotations.len()).collect();
        order.sort_by_key(|&at| (annotations[at].timestamp, &annotations[at].value));
        for at in order {
            let annotation = &annotations[at];
            let row = self.row_of(annotation.endpoint.as_ref());
            self.annotation_rows[at] = row;
            if let (Some((core, kind)), Some(endpoint)) = (Core::of(&annotation.value), &annotation.endpoint) {
                let timestamp = annotation.timestamp;
                self.moments[core as usize] = Some(Moment { timestamp, endpoint, posted: Some(at) });
                self.rows[row].kind = kind.or(self.rows[row].kind);
            }
        }
        // Plain ones stay in the order sent.
        for (at, annotation) in annotations.iter().enumerate() {
            if Core::of(&annotation.value).is_none() || annotation.endpoint.is_none() {
                self.annotate(self.annotation_rows[at], annotation.timestamp, annotation.value.clone());
            }
        }
    }

    fn annotate(&mut self, row: usize, timestamp: i64, value: Cow<'a, str>) {
        self.rows[row].annotations.push(Annotation { timestamp, value });
    }

    fn infer_starts(&mut self) {
        let (Some(start), Some(duration)) = (self.start(), self.duration()) else { return };
        for (begin, end) in [(Core::ClientSend, Core::ClientReceive), (Core::ServerReceive, Core::ServerSend)] {
            let Some(end) = self.moment(end) else { continue };
            if self.moment(begin).is_none() && start.wrapping_add(duration) == end.timestamp {
                self.moments[begin as usize] = Some(Moment { timestamp: start, endpoint: end.endpoint, posted: None });
            }
        }
    }

    /// Gives the row of `begin` the span's own time and duration, or those between the two moments.
    fn time(&mut self, begin: Moment<'_, 'a>, end: Option<Moment<'_, 'a>>) -> usize {
        let row = self.row_of(Some(begin.endpoint));
        let own = (self.start(), self.duration());
        let timed = &mut self.rows[row];
        if let (Some(start), Some(duration)) = own {
            (timed.timestamp, timed.duration) = (Some(start), Some(duration));
        } else {
            timed.timestamp = Some(begin.timestamp);
            if let Some(end) = end {
                timed.duration = Some(end.timestamp.wrapping_sub(begin.timestamp));
            }
        }
        row
    }

    /// The rows of the two sides, the second one forked where both are of one service.
    fn two_sides(
        &mut self,
        near: Moment<'_, 'a>,
        far: Moment<'_, 'a>,
        near_kind: Kind,
        far_kind: Kind,
    ) -> (usize, usize) {
        let near_row = self.row_of(Some(near.endpoint));
        if !same_service(near.endpoint, far.endpoint) {
            return (near_row, self.row_of(Some(far.endpoint)));
        }
        self.rows[near_row].kind = Some(near_kind);
        let far_row = self.add_row_of(far.endpoint);
        self.rows[far_row].kind = Some(far_kind);
        (near_row, far_row)
    }

    fn time_calls(&mut self) {
        let [cs, cr] = [Core::ClientSend, Core::ClientReceive].map(|core| self.moment(core));
        let [sr, ss] = [Core::ServerReceive, Core::ServerSend].map(|core| self.moment(core));
        match (cs, cr, sr, ss) {
            (Some(cs), _, Some(sr), _) => {
                self.time(cs, cr);
                let (client, server) = self.two_sides(cs, sr, Kind::Client, Kind::Server);
                self.shows(Some(sr), server);
                if ss.is_some_and(|ss| same_service(ss.endpoint, sr.endpoint)) {
                    self.shows(ss, server);
                }
                let row = &mut self.rows[server];
                row.shared = Some(true);
                row.timestamp = Some(sr.timestamp);
                if let Some(ss) = ss {
                    row.duration = Some(ss.timestamp.wrapping_sub(sr.timestamp));
                }
                // A call without an answer has no duration.
                if cr.is_none() && self.duration().is_none() {
                    self.rows[client].duration = None;
                }
            }
            (Some(cs), Some(cr), _, _) => drop(self.time(cs, Some(cr))),
            (_, _, Some(sr), Some(ss)) => drop(self.time(sr, Some(ss))),
            _ => self.time_incomplete([(Kind::Client, cs, cr), (Kind::Server, sr, ss)]),
        }
        if let (None, Some(sr)) = (cs, sr)
            && (self.start().is_none() || (ss.is_some() && self.duration().is_none()))
        {
            let row = self.row_of(Some(sr.endpoint));
            self.rows[row].shared = Some(true);
        }
    }

    /// Each row of a side that lacks a moment gets what there is of it.
    fn time_incomplete(&mut self, sides: [(Kind, Option<Moment<'_, 'a>>, Option<Moment<'_, 'a>>); 2]) {
        for (kind, begin, end) in sides {
            let end_value = if kind == Kind::Client { "cr" } else { "ss" };
            for row in self.rows.iter_mut().filter(|row| row.kind == Some(kind)) {
                if let Some(begin) = begin {
                    row.timestamp = Some(begin.timestamp);
                }
                if let Some(end) = end {
                    row.annotations.push(Annotation { timestamp: end.timestamp, value: end_value.into() });
                }
            }
        }
        if let Some(start) = self.start() {
            (self.rows[0].timestamp, self.rows[0].duration) = (Some(start), self.posted.duration);
        }
    }

    fn time_messages(&mut self) {
        let [ms, mr] = [Core::MessageSend, Core::MessageReceive].map(|core| self.moment(core));
        let [ws, wr] = [Core::WireSend, Core::WireReceive].map(|core| self.moment(core));
        match (ms, mr) {
            (Some(ms), Some(mr)) => {
                let (producer, consumer) = self.two_sides(ms, mr, Kind::Producer, Kind::Consumer);
                self.shows(Some(mr), consumer);
                if wr.is_some_and(|wr| same_service(wr.endpoint, mr.endpoint)) {
                    self.shows(wr, consumer);
                }
                let row = &mut self.rows[consumer];
                row.shared = Some(true);
                row.timestamp = Some(wr.unwrap_or(mr).timestamp);
                if let Some(wr) = wr {
                    row.duration = Some(mr.timestamp.wrapping_sub(wr.timestamp));
                }
                let row = &mut self.rows[producer];
                row.timestamp = Some(ms.timestamp);
                row.duration = ws.map(|ws| ws.timestamp.wrapping_sub(ms.timestamp));
            }
            (Some(ms), None) => drop(self.time(ms, ws)),
            (None, Some(mr)) => match wr {
                Some(wr) => drop(self.time(wr, Some(mr))),
                None => drop(self.time(mr, None)),
            },
            (None, None) => {
                for (moment, value) in [(ws, "ws"), (wr, "wr")] {
                    if let Some(moment) = moment {
                        let row = self.row_of(Some(moment.endpoint));
                        self.annotate(row, moment.timestamp, value.into());
                    }
                }
            }
        }
    }

    fn take_binary_annotations(&mut self) {
        let [mut ca, mut sa, mut ma] = [None; 3];
        let binaries = &self.posted.binary_annotations;
        self.binary_rows.resize(binaries.len(), 0);
        let mut order: Vec<usize> = (0..binaries.len()).collect();
        order.sort_by_key(|&at| &binaries[at].key);
        for at in order {
            let binary = &binaries[at];
            let address = match binary.key.as_ref() {
                "ca" => Some(&mut ca),
                "sa" => Some(&mut sa),
                "ma" => Some(&mut ma),
                _ => None,
            };
            match (address, &binary.value) {
                // Zipkin's Ruby agent sent "1" where true is meant: any text will do, even one without an address.
                (Some(address), V1Value::Text(_)) => *address = binary.endpoint.as_ref().map(|_| (at, binary)),
                (Some(address), V1Value::Json(value)) if value == "true" && binary.endpoint.is_some() => {
                    *address = Some((at, binary));
                }
                (None, V1Value::Text(value)) => {
                    let row = self.row_of(binary.endpoint.as_ref());
                    self.binary_rows[at] = row;
                    if !(binary.key == "lc" && value.is_empty()) {
                        self.rows[row].tags.push((binary.key.clone(), value.clone()));
                    }
                }
                _ => {}
            }
        }
        self.take_addresses(ca, sa, ma);
    }

    fn take_addresses(&mut self, ca: Address<'p, 'a>, sa: Address<'p, 'a>, ma: Address<'p, 'a>) {
        let [cs, cr] = [Core::ClientSend, Core::ClientReceive].map(|core| self.moment(core));
        let [sr, ss] = [Core::ServerReceive, Core::ServerSend].map(|core| self.moment(core));
        let [client, server] = [cs.or(cr), sr.or(ss)];
        if client.is_none() && server.is_none() {
            match (ca, sa) {
                (Some((_, near)), Some(far)) => {
                    let row = self.row_of(near.endpoint.as_ref());
                    return self.lead_to(row, far);
                }
                // Which side this is, nobody said: an address alone makes no client.
                (None, Some(far)) => return self.lead_to(0, far),
                (Some(caller), None) => {
                    self.rows[0].kind = Some(Kind::Server);
                    return self.lead_to(0, caller);
                }
                (None, None) => {}
            }
        }
        if let (Some(caller), Some(server)) = (ca, server)
            && let Some(address) = &caller.1.endpoint
        {
            let own_name = same_service(address, server.endpoint);
            let own_place = (address.ipv4, address.ipv6, address.port)
                == (server.endpoint.ipv4, server.endpoint.ipv6, server.endpoint.port);
            if !(own_name && own_place) {
                let row = self.row_of(Some(server.endpoint));
                self.lead_to(row, caller);
                if own_name {
                    let nameless = Endpoint { service: None, ..address.clone() };
                    self.rows[row].remote = (!nameless.is_empty()).then_some(nameless);
                }
            }
        }
        if let (Some(far), Some(client)) = (sa, client) {
            let row = self.row_of(Some(client.endpoint));
            self.lead_to(row, far);
        }
        // A broker is the other side of both.
        for side in [self.moment(Core::MessageSend), self.moment(Core::MessageReceive)] {
            if let (Some(broker), Some(side)) = (ma, side) {
                let row = self.row_of(Some(side.endpoint));
                self.lead_to(row, broker);
            }
        }
    }

    fn lead_to(&mut self, row: usize, (at, address): (usize, &V1BinaryAnnotation<'a>)) {
        self.rows[row].remote = address.endpoint.clone();
        self.binary_rows[at] = row;
    }
}

/// An address, with its place among the posted binary annotations.
type Address<'p, 'a> = Option<(usize, &'p V1BinaryAnnotation<'a>)>;

fn lower_service(endpoint: &Endpoint<'_>) -> Option<String> {
    endpoint.service.as_ref().map(|service| service.to_lowercase())
}

fn same_service(a: &Endpoint<'_>, b: &Endpoint<'_>) -> bool {
    match (&a.service, &b.service) {
        (Some(a), Some(b)) if a == b => true,
        (Some(a), Some(b)) if a.is_ascii() && b.is_ascii() => a.eq_ignore_ascii_case(b),
        (Some(a), Some(b)) => a.to_lowercase() == b.to_lowercase(),
        (None, None) => true,
        _ => false,
    }
}
