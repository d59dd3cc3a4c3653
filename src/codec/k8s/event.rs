//! One event object to an [`Event`], by the table in [`super`].

use super::value::{Fault, Fields, Place, Result, Value, short};
use super::{Around, Limits, times};
use crate::codec::pack::put_text;
use crate::codec::zipkin::fault::shown;
use crate::model::event::{Event, Object, Owner, Source, service};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a field of this name is read, at any place of an event, a frame or a list.
pub fn is_read(key: &str) -> bool {
    matches!(
        key,
        "type"
            | "object"
            | "kind"
            | "apiVersion"
            | "items"
            | "metadata"
            | "name"
            | "namespace"
            | "uid"
            | "creationTimestamp"
            | "labels"
            | "ownerReferences"
            | "controller"
            | "clusterName"
            | "involvedObject"
            | "regarding"
            | "fieldPath"
            | "reason"
            | "message"
            | "note"
            | "action"
            | "source"
            | "deprecatedSource"
            | "component"
            | "host"
            | "firstTimestamp"
            | "deprecatedFirstTimestamp"
            | "lastTimestamp"
            | "deprecatedLastTimestamp"
            | "eventTime"
            | "count"
            | "deprecatedCount"
            | "series"
            | "lastObservedTime"
            | "reportingComponent"
            | "reportingController"
            | "reportingInstance"
    ) || service::key(key).is_some()
}

/// Whether an object says that it is an event.
pub fn is_event(fields: &Fields<'_>) -> bool {
    fields.peek_text("kind") == Some("Event")
}

/// What an object stands for: its event, or none where it is a frame that brings none. `around` is consulted where the
/// event does not say.
pub fn decode<'a>(mut fields: Fields<'a>, around: &Around<'a>, limits: &Limits) -> Result<Option<Event<'a>>> {
    if !matches!(fields.get("object"), Some(Value::Object(_))) {
        return event(fields, around, limits).map(Some);
    }
    let object = fields.object("object", "runtime.RawExtension")?;
    let kind = fields.take("type").text().field("type")?;
    match kind.as_ref() {
        "ADDED" | "MODIFIED" => event(object, around, limits).field("object").map(Some),
        "DELETED" | "BOOKMARK" => Ok(None),
        "ERROR" => Err(status(object, "the watch ended with this: begin it anew, and send what it brings")),
        _ => Err(Fault::says(
            format!("Unsupported value: {:?}", shown(&kind)),
            "a frame of a watch is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR",
        ))
        .field("type"),
    }
}

/// The fault that a Status is: the API server's own text.
fn status(mut status: Fields<'_>, remedy: &str) -> Box<Fault> {
    let says = status.take("message").text().unwrap_or_default();
    let says = if says.is_empty() { "an error occurred on the server" } else { says.as_ref() };
    Fault::alone(shown(says), remedy)
}

fn event<'a>(mut fields: Fields<'a>, around: &Around<'a>, limits: &Limits) -> Result<Event<'a>> {
    expect_event(&mut fields)?;
    let fields = &mut fields;
    let cluster = first([
        fields.name("clusterName", limits)?,
        around.cluster.clone(),
        around.request_cluster.clone(),
        Cow::Borrowed("default"),
    ]);
    let mut meta = fields.object("metadata", "v1.ObjectMeta")?;
    let own = metadata(&mut meta, limits).field("metadata")?;
    let about =
        ["involvedObject", "regarding"].into_iter().find(|key| matches!(fields.get(key), Some(Value::Object(_))));
    let Some(about) = about else {
        // Of another type than an object, or not there.
        fields.object("involvedObject", "v1.ObjectReference")?;
        fields.object("regarding", "v1.ObjectReference")?;
        let remedy = "an event says what it is about: kind, namespace and name";
        return Err(Fault::says("Required value", remedy)).field("involvedObject");
    };
    let mut reference = fields.object(about, "v1.ObjectReference")?;
    let (object, mut labels, owners) = reference_of(&mut reference, limits).field(about)?;
    labels.extend(around.labels.iter().cloned());
    labels.extend(labels_of(&mut meta, limits).field("metadata")?);
    settle_labels(&mut labels);

    let level = first([fields.name("type", limits)?, Cow::Borrowed("Normal")]);
    let message = [fields.take("message").text().field("message")?, fields.take("note").text().field("note")?];
    let (component, host) = source_of(fields, "source", limits)?;
    let (old_component, old_host) = source_of(fields, "deprecatedSource", limits)?;
    let source = Source {
        component: first([
            component,
            fields.name("reportingComponent", limits)?,
            fields.name("reportingController", limits)?,
            old_component,
        ]),
        host: first([host, old_host]),
        instance: fields.name("reportingInstance", limits)?,
    };

    let mut series = fields.object("series", "v1.EventSeries")?;
    let series_count = series.whole("count").field("series")?;
    let observed = time(&mut series, "lastObservedTime").field("series")?;
    let happened = time(fields, "eventTime")?;
    let (oldest, old_first) = (time(fields, "firstTimestamp")?, time(fields, "deprecatedFirstTimestamp")?);
    let (newest, old_last) = (time(fields, "lastTimestamp")?, time(fields, "deprecatedLastTimestamp")?);
    let first_seen = oldest.or(old_first).or(happened).or(own.created);
    let last_seen = newest.or(observed).or(old_last).or(happened).or(own.created);
    let (count, old_count) = (fields.whole("count")?, fields.whole("deprecatedCount")?);
    let count = match count {
        Some(count) => count.max(series_count.unwrap_or(1)),
        None => series_count.or(old_count).unwrap_or(1),
    };
    let (Some(first_seen), Some(last_seen)) = (first_seen.or(last_seen), last_seen.or(first_seen)) else {
        let remedy = "an event has a time at least: lastTimestamp, eventTime or metadata.creationTimestamp";
        return Err(Fault::says("Required value", remedy)).field("lastTimestamp");
    };

    let event = Event {
        namespace: first([object.namespace.clone(), own.namespace, around.namespace.clone(), Cow::Borrowed("default")]),
        cluster,
        uid: own.uid,
        name: own.name,
        object,
        level,
        reason: fields.name("reason", limits)?,
        message: cut(first(message), limits),
        action: fields.name("action", limits)?,
        source,
        first_seen,
        last_seen,
        count,
        labels,
        owners,
    };
    Ok(finish(event))
}

/// Upholds what every producer of an [`Event`] does: a uid, an order of the times, a count.
pub fn finish(mut event: Event<'_>) -> Event<'_> {
    event.first_seen = event.first_seen.min(event.last_seen);
    event.count = event.count.max(1);
    if event.uid.is_empty() {
        event.uid = Cow::Owned(derived_uid(&event));
    }
    event
}

/// Brings labels into order, by rank; of a key sent twice the first counts.
pub fn settle_labels(labels: &mut Vec<(&'static str, Cow<'_, str>)>) {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort_by_key(|(key, _)| service::rank(key));
    labels.dedup_by_key(|(key, _)| *key);
}

/// A message within the limit.
pub fn cut<'a>(message: Cow<'a, str>, limits: &Limits) -> Cow<'a, str> {
    let most = limits.max_message_bytes;
    if message.len() <= most {
        return message;
    }
    match message {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..text.floor_char_boundary(most)]),
        Cow::Owned(mut text) => {
            text.truncate(text.floor_char_boundary(most));
            Cow::Owned(text)
        }
    }
}

/// The first text that is not empty.
pub fn first<'a, const N: usize>(texts: [Cow<'a, str>; N]) -> Cow<'a, str> {
    texts.into_iter().find(|text| !text.is_empty()).unwrap_or_default()
}

/// Refuses an object that says it is something else.
fn expect_event(fields: &mut Fields<'_>) -> Result<()> {
    let version = fields.take("apiVersion").text().field("apiVersion")?;
    let kind = fields.take("kind").text().field("kind")?;
    match kind.as_ref() {
        "" | "Event" => Ok(()),
        "Status" => Err(status(std::mem::take(fields), "this is an answer of the API server: send events")),
        _ => {
            let says = format!("{} in version {:?} cannot be handled as a Event", shown(&kind), shown(&version));
            Err(Fault::alone(says, "send events, of v1 or of events.k8s.io/v1")).field("kind")
        }
    }
}

type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// What is read of an event's own metadata.
struct Metadata<'a> {
    namespace: Cow<'a, str>,
    name: Cow<'a, str>,
    uid: Cow<'a, str>,
    created: Option<i64>,
}

fn metadata<'a>(meta: &mut Fields<'a>, limits: &Limits) -> Result<Metadata<'a>> {
    Ok(Metadata {
        namespace: meta.name("namespace", limits)?,
        name: meta.name("name", limits)?,
        uid: meta.name("uid", limits)?,
        created: time(meta, "creationTimestamp")?,
    })
}

fn reference_of<'a>(reference: &mut Fields<'a>, limits: &Limits) -> Result<(Object<'a>, Labels<'a>, Vec<Owner<'a>>)> {
    let object = Object {
        kind: reference.name("kind", limits)?,
        namespace: reference.name("namespace", limits)?,
        name: reference.name("name", limits)?,
        uid: reference.name("uid", limits)?,
        api_version: reference.name("apiVersion", limits)?,
        field_path: reference.name("fieldPath", limits)?,
    };
    Ok((object, labels_of(reference, limits)?, owners_of(reference, limits).field("ownerReferences")?))
}

fn labels_of<'a>(fields: &mut Fields<'a>, limits: &Limits) -> Result<Labels<'a>> {
    let mut known = Vec::new();
    for (name, value) in fields.object("labels", "map[string]string")?.0 {
        let Some(key) = service::key(&name) else { continue };
        known.push((key, value.text().and_then(|text| short(text, limits)).field(&name).field("labels")?));
    }
    Ok(known)
}

fn owners_of<'a>(fields: &mut Fields<'a>, limits: &Limits) -> Result<Vec<Owner<'a>>> {
    let mut owners = Vec::new();
    for (index, value) in fields.take("ownerReferences").list("[]v1.OwnerReference")?.into_iter().enumerate() {
        owners.push(value.object("v1.OwnerReference").and_then(|owner| owner_of(owner, limits)).element(index)?);
    }
    Ok(owners)
}

fn owner_of<'a>(mut owner: Fields<'a>, limits: &Limits) -> Result<Owner<'a>> {
    let controller = owner.take("controller").bool().field("controller")?;
    Ok(Owner { kind: owner.name("kind", limits)?, name: owner.name("name", limits)?, controller })
}

/// Component and host.
fn source_of<'a>(fields: &mut Fields<'a>, key: &str, limits: &Limits) -> Result<(Cow<'a, str>, Cow<'a, str>)> {
    let mut source = fields.object(key, "v1.EventSource")?;
    Ok((source.name("component", limits).field(key)?, source.name("host", limits).field(key)?))
}

fn time(fields: &mut Fields<'_>, key: &str) -> Result<Option<i64>> {
    fields.take(key).text().and_then(|text| times::parse(&text)).field(key)
}

fn derived_uid(event: &Event<'_>) -> String {
    let Event { cluster, namespace, name, object, level, reason, message, source, first_seen, .. } = event;
    let mut uid = format!("derived:{cluster}/{namespace}/{name}");
    if name.is_empty() {
        let mut identity = Vec::new();
        for text in [&object.kind, &object.name, &object.uid, level, reason, message, &source.component] {
            put_text(&mut identity, text);
        }
        identity.extend_from_slice(&first_seen.to_le_bytes());
        // Writing into a text does not fail.
        let _ = write!(uid, "{:032x}", xxhash_rust::xxh3::xxh3_128(&identity));
    }
    uid
}
