//! One log record, whatever encoding it came in, to the event that it carries.

use crate::codec::k8s::{
    Around, Budget, Fault, Fields, Limits, Place, Value, cut, decode_one, expect_short, finish, first, is_event,
    is_read, micros_of_nanos, parse_go, settle_labels, short,
};
use crate::model::event::{Event, Object, Source, service};
use std::borrow::Cow;

/// Attributes that are read: the values that are texts, numbers or booleans, in the order sent.
pub type Attributes<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// Attributes that are kept of a record or a resource, since each record looks through all of them. A record with more is
/// none that can be read; of a resource more are left out. Receivers and processors send about ten.
const MOST_ATTRIBUTES: usize = 128;

/// Refuses one more attribute than are kept.
pub fn expect_room(attributes: &Attributes<'_>) -> Result<(), Box<Fault>> {
    if attributes.len() < MOST_ATTRIBUTES {
        return Ok(());
    }
    let remedy = "no event has that many that are read: send those that the receiver made";
    Err(Fault::says(format!("Too many: must have at most {MOST_ATTRIBUTES} items"), remedy)).field("attributes")
}

/// Whether an attribute is read: those of events and objects, and of any kind its name and its uid.
pub fn is_read_attribute(key: &str) -> bool {
    let of_kind = |rest: &str| rest.split_once('.').is_some_and(|(_, field)| matches!(field, "name" | "uid"));
    match key.strip_prefix("k8s.") {
        Some(rest) => rest.starts_with("event.") || rest.starts_with("object.") || of_kind(rest) || is_label(key),
        None => is_label(key),
    }
}

fn is_label(key: &str) -> bool {
    service::key(key).is_some()
}

/// Why a record cannot be had: for a mistake of its own, or since the request is broken where it stands.
pub enum Refused<B> {
    Record(Box<Fault>),
    Request(B),
}

impl<B> From<Box<Fault>> for Refused<B> {
    fn from(fault: Box<Fault>) -> Self {
        Refused::Record(fault)
    }
}

/// The body of a record, not read yet: records that are none of ours may have large ones.
pub trait Body<'a> {
    /// What the encoding's own errors are.
    type Broken;

    /// Whether it is a list of keys and values.
    fn is_object(&self) -> Result<bool, Self::Broken>;

    /// Reads it; of objects in it only the fields that `keep` wants.
    fn read(&self, budget: &Budget<'_>, keep: fn(&str) -> bool) -> Result<Value<'a>, Refused<Self::Broken>>;
}

/// A log record as far as it is read.
pub struct Record<'a, B> {
    /// Nanoseconds since 1970; 0 for none.
    pub time: u64,
    /// Nanoseconds since 1970; 0 for none.
    pub observed: u64,
    pub severity_number: i64,
    pub severity_text: Cow<'a, str>,
    /// What the field was called in which old versions put the reason.
    pub name: Cow<'a, str>,
    pub attributes: Attributes<'a>,
    pub body: Option<B>,
}

/// What a record is.
pub enum Found<'a> {
    Event(Box<Event<'a>>),
    /// Word of an event, but none that happened: it was forgotten, or a list of events has ended.
    Nothing,
    /// Something else.
    Other,
}

/// Attributes of the record and of its resource.
struct Sides<'s, 'a> {
    record: &'s Attributes<'a>,
    resource: &'s Attributes<'a>,
    limits: &'s Limits,
}

/// Reads a record. `resource` are the attributes of its resource.
pub fn decode<'a, B: Body<'a>>(
    record: Record<'a, B>,
    resource: &Attributes<'a>,
    cluster: &'a str,
    limits: &Limits,
) -> Result<Found<'a>, Refused<B::Broken>> {
    let resource_name = record.attributes.iter().find(|(key, _)| key == "k8s.resource.name").map(|(_, value)| value);
    let says_events = match resource_name {
        Some(Value::Text(name)) if name == "events" => true,
        // Another kind of objects.
        Some(Value::Text(name)) if !name.is_empty() => return Ok(Found::Other),
        _ => false,
    };
    let is_scattered = record.attributes.iter().any(|(key, _)| key.starts_with("k8s.event."));
    let sides = Sides { record: &record.attributes, resource, limits };
    if let Some(body) = record.body.as_ref().filter(|_| says_events || !is_scattered)
        && body.is_object().map_err(Refused::Request)?
    {
        let fields = match body.read(&Budget::new(limits), is_read) {
            Ok(value) => value.object("v1.Event").field("body")?,
            // What nobody said to be an event may be whatever it likes.
            Err(Refused::Record(_)) if !says_events => return Ok(Found::Other),
            Err(Refused::Record(fault)) => return Err(Refused::Record(fault.under(".body"))),
            Err(broken) => return Err(broken),
        };
        return Ok(of_body(fields, says_events, &sides, cluster)?);
    }
    if !is_scattered {
        return Ok(Found::Other);
    }
    let message = match &record.body {
        Some(body) => body.read(&Budget::new(limits), |_| false)?.text().field("body")?,
        None => Cow::Borrowed(""),
    };
    Ok(Found::Event(Box::new(of_attributes(&record, message, &sides, cluster)?)))
}

/// A record of `k8sobjects`.
fn of_body<'a>(
    fields: Fields<'a>,
    says_events: bool,
    sides: &Sides<'_, 'a>,
    cluster: &'a str,
) -> Result<Found<'a>, Box<Fault>> {
    let object = match fields.get("object") {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    };
    // What the receiver sends once it has sent a whole list.
    if object.is_some() && fields.peek_text("type") == Some("PullEnd") {
        return Ok(Found::Nothing);
    }
    if !says_events && !is_event(object.unwrap_or(&fields)) {
        return Ok(Found::Other);
    }
    let around = Around {
        cluster: sides.cluster()?,
        request_cluster: Cow::Borrowed(cluster),
        namespace: sides.text("k8s.namespace.name")?,
        labels: sides.labels(),
    };
    let event = decode_one(fields, &around, sides.limits).field("body")?;
    Ok(event.map_or(Found::Nothing, |event| Found::Event(Box::new(event))))
}

/// A record of `k8s_events`.
fn of_attributes<'a, B>(
    record: &Record<'a, B>,
    message: Cow<'a, str>,
    sides: &Sides<'_, 'a>,
    cluster: &'a str,
) -> Result<Event<'a>, Box<Fault>> {
    let limits = sides.limits;
    let namespace = sides.text("k8s.namespace.name")?;
    let object = sides.object(namespace.clone())?;
    if object.kind.is_empty() && object.name.is_empty() {
        let remedy = "an event says what it is about: k8s.object.kind and k8s.object.name";
        return Err(Fault::says("Required value", remedy).under("[\"k8s.object.kind\"]").under(".attributes"));
    }
    let time = micros_of_nanos(record.time);
    let start = sides.text("k8s.event.start_time")?;
    let start = parse_go(&start).map_err(|fault| fault.under("[\"k8s.event.start_time\"]").under(".attributes"))?;
    let first_seen = start.or(time);
    let last_seen = time.or(start).or(micros_of_nanos(record.observed));
    let (Some(first_seen), Some(last_seen)) = (first_seen.or(last_seen), last_seen) else {
        return Err(Fault::says("Required value", "send the time of the event").under(".timeUnixNano"));
    };
    let level = match record.severity_text.is_empty() {
        false => short(record.severity_text.clone(), limits).field("severityText")?,
        true if record.severity_number >= WARN => Cow::Borrowed("Warning"),
        true => Cow::Borrowed("Normal"),
    };
    let reason = short(record.name.clone(), limits).field("name")?;
    Ok(finish(Event {
        cluster: first([sides.cluster()?, Cow::Borrowed(cluster), Cow::Borrowed("default")]),
        namespace: first([namespace, Cow::Borrowed("default")]),
        uid: sides.text("k8s.event.uid")?,
        name: sides.text("k8s.event.name")?,
        object,
        level,
        reason: first([sides.text("k8s.event.reason")?, reason]),
        message: cut(message, limits),
        action: sides.text("k8s.event.action")?,
        source: Source {
            component: first([sides.text("k8s.event.reporting_controller")?, sides.text("k8s.event.source")?]),
            host: sides.text("k8s.node.name")?,
            instance: sides.text("k8s.event.reporting_instance")?,
        },
        first_seen,
        last_seen,
        count: sides.count()?,
        labels: sides.labels(),
        owners: Vec::new(),
    }))
}

/// OTLP's lowest number of a warning.
const WARN: i64 = 13;

impl<'a> Sides<'_, 'a> {
    /// Attributes of that name, the record's before the resource's.
    fn all(&self, key: &str) -> impl Iterator<Item = &Value<'a>> {
        let both = self.record.iter().chain(self.resource);
        both.filter(move |(name, _)| name == key).map(|(_, value)| value)
    }

    /// The first text of that name that is not empty.
    fn text(&self, key: &str) -> Result<Cow<'a, str>, Box<Fault>> {
        for value in self.all(key) {
            let text = value.peek().and_then(|text| expect_short(text, self.limits));
            text.map_err(|fault| fault.under(&format!("[{key:?}]")).under(".attributes"))?;
            match value {
                Value::Text(text) if !text.is_empty() => return Ok(text.clone()),
                _ => {}
            }
        }
        Ok(Cow::Borrowed(""))
    }

    fn count(&self) -> Result<i64, Box<Fault>> {
        let key = "k8s.event.count";
        let Some(value) = self.all(key).next() else { return Ok(1) };
        let count = value.whole().map_err(|fault| fault.under(&format!("[{key:?}]")).under(".attributes"))?;
        Ok(count.unwrap_or(1))
    }

    fn cluster(&self) -> Result<Cow<'a, str>, Box<Fault>> {
        Ok(first([self.text("k8s.cluster.name")?, self.text("k8s.cluster.uid")?]))
    }

    fn labels(&self) -> Vec<(&'static str, Cow<'a, str>)> {
        let known = |(name, value): &(Cow<'a, str>, Value<'a>)| match (service::key(name), value) {
            (Some(key), Value::Text(text)) if text.len() <= self.limits.max_name_bytes => Some((key, text.clone())),
            _ => None,
        };
        let mut labels = self.record.iter().chain(self.resource).filter_map(known).collect();
        settle_labels(&mut labels);
        labels
    }

    fn object(&self, namespace: Cow<'a, str>) -> Result<Object<'a>, Box<Fault>> {
        let new = Object {
            kind: self.text("k8s.object.kind")?,
            namespace,
            name: self.text("k8s.object.name")?,
            uid: self.text("k8s.object.uid")?,
            api_version: self.text("k8s.object.api_version")?,
            field_path: self.text("k8s.object.fieldpath")?,
        };
        if !new.kind.is_empty() || !new.name.is_empty() {
            return Ok(new);
        }
        let Some(kind) = self.old_kind() else { return Ok(new) };
        let (name, uid) = (format!("k8s.{kind}.name"), format!("k8s.{kind}.uid"));
        let object = Object {
            kind: proper(kind),
            name: self.text(&name)?,
            uid: self.text(&uid)?,
            field_path: self.text("k8s.container.name")?,
            ..new
        };
        Ok(object)
    }

    /// The kind of the object in small letters, from the name of the attribute that has its uid. Old versions send that
    /// with every event, before whatever others add.
    fn old_kind(&self) -> Option<&str> {
        let kinds = self.record.iter().chain(self.resource).filter_map(|(key, _)| {
            let kind = key.strip_prefix("k8s.")?.strip_suffix(".uid")?;
            (!kind.contains('.') && !matches!(kind, "event" | "cluster" | "object")).then_some(kind)
        });
        // Few are enough: a sender's own name stands among them, not a hundred.
        let mut named = kinds.take(8).filter(|kind| self.all(&format!("k8s.{kind}.name")).next().is_some());
        named.next()
    }
}

/// A kind as Kubernetes writes it, from small letters.
fn proper<'a>(kind: &str) -> Cow<'a, str> {
    const KINDS: [&str; 20] = [
        "Pod",
        "ReplicaSet",
        "ReplicationController",
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "Service",
        "Endpoints",
        "Ingress",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "Node",
        "Namespace",
        "ConfigMap",
        "Secret",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Lease",
    ];
    match KINDS.into_iter().find(|known| known.eq_ignore_ascii_case(kind)) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(kind.to_owned()),
    }
}
