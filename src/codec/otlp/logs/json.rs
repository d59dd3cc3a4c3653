//! The request in JSON, as OTLP writes it.
//!
//! Each level is taken apart into the raw texts of what is read in it, so that records that are no events are never
//! more than a stretch of the body.

use super::Pass;
use super::record::{self, Attributes, Record, Refused as Kind, expect_room, is_read_attribute};
use crate::codec::DecodeError;
use crate::codec::k8s::{Budget, Fields, Key, Limits, Value};
use crate::codec::zipkin::fault::shown;
use crate::codec::zipkin::place;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

type Result<T, E = Box<DecodeError>> = std::result::Result<T, E>;
type RecordResult<T> = std::result::Result<T, Kind<Box<DecodeError>>>;

impl From<Box<DecodeError>> for Kind<Box<DecodeError>> {
    fn from(error: Box<DecodeError>) -> Self {
        Kind::Request(error)
    }
}

pub fn read<'a>(body: &'a str, pass: &mut Pass<'_, 'a>) -> Result<(), DecodeError> {
    let whole: &'a RawValue = serde_json::from_str(body).map_err(|error| malformed(body, &error))?;
    request(At { raw: whole.get(), place: "$".to_owned() }, pass).map_err(|error| *error)
}

fn malformed(body: &str, error: &serde_json::Error) -> DecodeError {
    let offset = place::offset(body, error.line().max(1), error.column());
    let (path, found, remedy) = if error.is_eof() {
        let remedy = "the body breaks off here: send the whole of it";
        (place::path_at_end(body, offset), "unexpected end of JSON input".to_owned(), remedy)
    } else {
        let found = error.to_string();
        let found = found.rsplit_once(" at line ").map_or(found.as_str(), |(found, _)| found).to_owned();
        (place::path(body, offset), found, "send an ExportLogsServiceRequest in JSON")
    };
    DecodeError {
        peer: format!("json parse error: {found}"),
        place: format!("{}, line {} column {}", path.trim_end_matches('.'), error.line(), error.column()),
        remedy: remedy.to_owned(),
        too_large: false,
    }
}

/// A value that is known to be JSON, and where it is.
struct At<'a> {
    raw: &'a str,
    place: String,
}

impl<'a> At<'a> {
    #[cold]
    fn refuse(&self, says: String, remedy: &str) -> Box<DecodeError> {
        Box::new(DecodeError { peer: says, place: self.place.clone(), remedy: remedy.to_owned(), too_large: false })
    }

    #[cold]
    fn wrong(&self, want: &str) -> Box<DecodeError> {
        let got = match self.raw.as_bytes().first() {
            Some(b'{') => "object",
            Some(b'[') => "array",
            Some(b'"') => "string",
            Some(b't' | b'f') => "bool",
            Some(b'n') => "null",
            _ => "number",
        };
        self.refuse(format!("json: cannot unmarshal {got} into {want}"), &format!("send {want} here, or leave it out"))
    }

    /// The members of those names, `null` as absent. Of a name that comes twice the last counts.
    fn members<const N: usize>(&self, names: [&'static str; N]) -> Result<[Option<At<'a>>; N]> {
        let raw = serde_json::Deserializer::from_str(self.raw).deserialize_any(Members { names });
        let mut members = raw.map_err(|_| self.wrong("an object"))?;
        Ok(std::array::from_fn(|at| {
            let raw = members.get_mut(at)?.take()?;
            Some(At { raw, place: format!("{}.{}", self.place, names[at]) })
        }))
    }

    fn elements(&self, limits: &Limits) -> Result<impl Iterator<Item = At<'a>> + use<'a, '_>> {
        // In memory each takes several times the few bytes that it can have in the body.
        let most = limits.max_entries();
        let raw = serde_json::Deserializer::from_str(self.raw).deserialize_any(Elements { most });
        let raw = raw.map_err(|_| self.wrong("a list"))?;
        if raw.len() > most {
            let refused =
                self.refuse(format!("more than {most} elements in a list"), "split them into several requests");
            return Err(Box::new(DecodeError { too_large: true, ..*refused }));
        }
        Ok(raw
            .into_iter()
            .enumerate()
            .map(|(index, raw)| At { raw: raw.get(), place: format!("{}[{index}]", self.place) }))
    }

    fn text(&self) -> Result<Cow<'a, str>> {
        if !self.raw.starts_with('"') {
            return Err(self.wrong("a text"));
        }
        Key.deserialize(&mut serde_json::Deserializer::from_str(self.raw)).map_err(|_| {
            // Nobody is told so: the body is mended then, and read again.
            let remedy = "an escape in this text is half a character: send both halves";
            self.refuse("json parse error: invalid escape".to_owned(), remedy)
        })
    }

    /// A number, or a text of one.
    fn number<T: std::str::FromStr>(&self, want: &str) -> Result<T> {
        let text = if self.raw.starts_with('"') { self.text()? } else { Cow::Borrowed(self.raw) };
        let looks_so = text.bytes().next().is_some_and(|byte| byte == b'-' || byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if looks_so => Ok(number),
            _ if self.raw.starts_with('"') || looks_so => {
                let says = format!("json: cannot unmarshal {} into {want}", shown(&text));
                Err(self.refuse(says, &format!("send {want} here, or leave it out")))
            }
            _ => Err(self.wrong(want)),
        }
    }
}

struct Members<const N: usize> {
    names: [&'static str; N],
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = Vec<Option<&'de str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; N];
        while let Some(key) = map.next_key_seed(Key)? {
            match self.names.iter().position(|name| *name == key) {
                Some(at) => {
                    let raw = map.next_value::<&'de RawValue>()?.get();
                    found[at] = (raw != "null").then_some(raw);
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// One more than so many elements is as far as it looks.
struct Elements {
    most: usize,
}

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut raw = Vec::new();
        while raw.len() <= self.most {
            let Some(element) = list.next_element()? else { return Ok(raw) };
            raw.push(element);
        }
        // The reader wants to see the end.
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(raw)
    }
}

fn request<'a>(request: At<'a>, pass: &mut Pass<'_, 'a>) -> Result<()> {
    let [logs] = request.members(["resourceLogs"])?;
    let Some(logs) = logs else { return Ok(()) };
    for one in logs.elements(pass.limits)? {
        resource_logs(&one, pass)?;
    }
    Ok(())
}

fn resource_logs<'a>(logs: &At<'a>, pass: &mut Pass<'_, 'a>) -> Result<()> {
    let [resource, scopes, libraries] = logs.members(["resource", "scopeLogs", "instrumentationLibraryLogs"])?;
    let mut attributes = Attributes::new();
    if let Some(resource) = resource
        && let [Some(list)] = resource.members(["attributes"])?
    {
        // A resource with more values than an event may hold is one without the rest.
        match read_attributes(&list, &Budget::new(pass.limits), &mut attributes) {
            Ok(()) | Err(Kind::Record(_)) => {}
            Err(Kind::Request(error)) => return Err(error),
        }
    }
    for list in [scopes, libraries].into_iter().flatten() {
        for scope in list.elements(pass.limits)? {
            scope_logs(&scope, pass, &attributes)?;
        }
    }
    Ok(())
}

fn scope_logs<'a>(scope: &At<'a>, pass: &mut Pass<'_, 'a>, resource: &Attributes<'a>) -> Result<()> {
    let lists = scope.members(["logRecords", "logs"])?;
    for list in lists.into_iter().flatten() {
        for one in list.elements(pass.limits)? {
            let found = log_record(&one, pass.limits)
                .and_then(|record| record::decode(record, resource, pass.cluster, pass.limits));
            match found {
                Ok(found) => pass.take(found, || one.place.clone()).map_err(Box::new)?,
                Err(Kind::Record(fault)) => pass.note(*fault, || one.place.clone()).map_err(Box::new)?,
                Err(Kind::Request(error)) => return Err(error),
            }
        }
    }
    Ok(())
}

fn log_record<'a>(record: &At<'a>, limits: &Limits) -> RecordResult<Record<'a, AnyValue<'a>>> {
    let [time, observed, number, text, name, list, body] = record.members([
        "timeUnixNano",
        "observedTimeUnixNano",
        "severityNumber",
        "severityText",
        "name",
        "attributes",
        "body",
    ])?;
    let nanos = |at: Option<At<'a>>| at.map_or(Ok(0), |at| at.number("a whole number of nanoseconds"));
    let text_of = |at: Option<At<'a>>| at.map_or(Ok(Cow::Borrowed("")), |at| at.text());
    let mut attributes = Attributes::new();
    if let Some(list) = list {
        read_attributes(&list, &Budget::new(limits), &mut attributes)?;
    }
    Ok(Record {
        time: nanos(time)?,
        observed: nanos(observed)?,
        severity_number: number.map_or(Ok(0), |at| at.number("a whole number"))?,
        severity_text: text_of(text)?,
        name: text_of(name)?,
        attributes,
        body: body.map(AnyValue),
    })
}

fn read_attributes<'a>(list: &At<'a>, budget: &Budget<'_>, attributes: &mut Attributes<'a>) -> RecordResult<()> {
    for entry in list.elements(budget.limits())? {
        let [key, value] = entry.members(["key", "value"])?;
        let key = key.map_or(Ok(Cow::Borrowed("")), |key| key.text())?;
        if !is_read_attribute(&key) {
            continue;
        }
        expect_room(attributes)?;
        budget.value()?;
        let value = value.map_or(Ok(Value::Null), |value| any_value(&value, budget, |_| false, 1))?;
        attributes.push((key, value));
    }
    Ok(())
}

/// Reads an AnyValue: of objects in it the fields that `keep` wants. Bytes are nothing that an event holds.
fn any_value<'a>(any: &At<'a>, budget: &Budget<'_>, keep: fn(&str) -> bool, depth: usize) -> RecordResult<Value<'a>> {
    budget.depth(depth)?;
    let [text, truth, whole, double, array, object] =
        any.members(["stringValue", "boolValue", "intValue", "doubleValue", "arrayValue", "kvlistValue"])?;
    if let Some(text) = text {
        return Ok(Value::Text(text.text()?));
    }
    if let Some(truth) = truth {
        return match truth.raw {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(truth.wrong("true or false").into()),
        };
    }
    if let Some(whole) = whole {
        return Ok(Value::Whole(whole.number("a whole number")?));
    }
    if let Some(double) = double {
        // "NaN" and "Infinity" are texts, and no numbers of an event.
        return Ok(double.number("a number").map_or(Value::Null, Value::Float));
    }
    if let Some(array) = array {
        let mut values = Vec::new();
        if let [Some(list)] = array.members(["values"])? {
            for element in list.elements(budget.limits())? {
                budget.value()?;
                values.push(any_value(&element, budget, keep, depth + 1)?);
            }
        }
        return Ok(Value::List(values));
    }
    let Some(object) = object else { return Ok(Value::Null) };
    let mut fields = Fields::default();
    if let [Some(list)] = object.members(["values"])? {
        for entry in list.elements(budget.limits())? {
            let [key, value] = entry.members(["key", "value"])?;
            let key = key.map_or(Ok(Cow::Borrowed("")), |key| key.text())?;
            if keep(&key) {
                budget.value()?;
                let value = value.map_or(Ok(Value::Null), |value| any_value(&value, budget, keep, depth + 1))?;
                fields.0.push((key, value));
            }
        }
    }
    Ok(Value::Object(fields))
}

/// A body, not read yet.
struct AnyValue<'a>(At<'a>);

impl<'a> record::Body<'a> for AnyValue<'a> {
    type Broken = Box<DecodeError>;

    fn is_object(&self) -> Result<bool> {
        let [object] = self.0.members(["kvlistValue"])?;
        Ok(object.is_some())
    }

    fn read(&self, budget: &Budget<'_>, keep: fn(&str) -> bool) -> RecordResult<Value<'a>> {
        any_value(&self.0, budget, keep, 1)
    }
}
