//! The request in protobuf (`logs_service.proto`, `logs.proto`, `common.proto`, `resource.proto`).
//!
//! A field is known by its number and its wire type: a known number of another wire type is a field that nobody knows,
//! and those are skipped. Groups are refused. Of a field that may come once and comes again the last counts.
//!
//! Resource and scope may stand behind what they hold, so that those are looked for first.

use super::Pass;
use super::record::{self, Attributes, Record, Refused as Kind, expect_room, is_read_attribute};
use crate::codec::DecodeError;
use crate::codec::k8s::{Budget, Fields, Value};
use crate::codec::pack::Reader;
use std::borrow::Cow;

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// The keys of each message's fields: number and wire type.
mod key {
    use super::{BYTES, FIXED64, VARINT};

    const fn key(number: u64, wire_type: u64) -> u64 {
        number << 3 | wire_type
    }

    pub const RESOURCE_LOGS: u64 = key(1, BYTES);
    pub const RESOURCE: u64 = key(1, BYTES);
    pub const SCOPE_LOGS: u64 = key(2, BYTES);
    /// What scopes were called before, after they had got a number of their own.
    pub const LIBRARY_LOGS: u64 = key(1000, BYTES);
    pub const RESOURCE_ATTRIBUTES: u64 = key(1, BYTES);
    pub const LOG_RECORDS: u64 = key(2, BYTES);
    pub const TIME: u64 = key(1, FIXED64);
    pub const SEVERITY_NUMBER: u64 = key(2, VARINT);
    pub const SEVERITY_TEXT: u64 = key(3, BYTES);
    /// Dropped from the protocol; old versions of the Collector put an event's reason there.
    pub const NAME: u64 = key(4, BYTES);
    pub const BODY: u64 = key(5, BYTES);
    pub const ATTRIBUTES: u64 = key(6, BYTES);
    pub const OBSERVED_TIME: u64 = key(11, FIXED64);
    pub const ENTRY_KEY: u64 = key(1, BYTES);
    pub const ENTRY_VALUE: u64 = key(2, BYTES);
    pub const STRING: u64 = key(1, BYTES);
    pub const BOOL: u64 = key(2, VARINT);
    pub const INT: u64 = key(3, VARINT);
    pub const DOUBLE: u64 = key(4, FIXED64);
    pub const ARRAY: u64 = key(5, BYTES);
    pub const LIST: u64 = key(6, BYTES);
    pub const VALUES: u64 = key(1, BYTES);
}

/// Why a request is refused, and where in it. Boxed: it is rare.
pub struct Refused {
    what: What,
    path: String,
}

enum What {
    Broken { what: &'static str, at: usize },
    Error(DecodeError),
}

type Result<T, E = Box<Refused>> = std::result::Result<T, E>;

impl Refused {
    /// As the sender is told.
    pub fn error(self) -> DecodeError {
        match self.what {
            What::Error(error) => error,
            What::Broken { what, at } => DecodeError {
                peer: "proto: cannot parse invalid wire-format data".to_owned(),
                place: format!("${}, byte {at}", self.path),
                remedy: format!("{what}: send a whole message ExportLogsServiceRequest"),
                too_large: false,
            },
        }
    }
}

fn element<T>(result: Result<T>, name: &str, index: usize) -> Result<T> {
    result.map_err(|mut refused| {
        refused.path.insert_str(0, &format!(".{name}[{index}]"));
        refused
    })
}

/// A stretch of the body that holds a message.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    /// Where in the body it begins.
    base: usize,
}

/// The value of a field.
enum Wire<'a> {
    Number(u64),
    Message(Message<'a>),
}

impl<'a> Wire<'a> {
    fn number(&self) -> u64 {
        match self {
            Wire::Number(number) => *number,
            Wire::Message(_) => 0,
        }
    }

    fn message(&self) -> Message<'a> {
        match self {
            Wire::Number(_) => Message { bytes: &[], base: 0 },
            Wire::Message(message) => *message,
        }
    }
}

impl<'a> Message<'a> {
    /// Calls `field` with the key and the value of each field.
    fn walk<E: From<Box<Refused>>>(
        self,
        mut field: impl FnMut(u64, Wire<'a>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut reader = Reader::new(self.bytes);
        while !reader.is_at_end() {
            let (key, value) = self.next(&mut reader)?;
            field(key, value)?;
        }
        Ok(())
    }

    fn next(self, reader: &mut Reader<'a>) -> Result<(u64, Wire<'a>)> {
        let broken = |fault: crate::codec::pack::Fault| self.broken(fault.what, fault.at);
        let at = reader.position();
        let key = reader.varint().map_err(broken)?;
        if key >> 3 == 0 || key >> 3 > 0x1fff_ffff {
            return Err(self.broken("no field has this number", at));
        }
        let value = match key & 7 {
            VARINT => Wire::Number(reader.varint().map_err(broken)?),
            FIXED64 => Wire::Number(u64::from_le_bytes(reader.array().map_err(broken)?)),
            FIXED32 => Wire::Number(u64::from(u32::from_le_bytes(reader.array().map_err(broken)?))),
            BYTES => {
                let length = reader.length().map_err(broken)?;
                let base = self.base + reader.position();
                Wire::Message(Message { bytes: reader.take(length).map_err(broken)?, base })
            }
            _ => return Err(self.broken("groups are not read", at)),
        };
        Ok((key, value))
    }

    #[cold]
    fn broken(self, what: &'static str, at: usize) -> Box<Refused> {
        Box::new(Refused { what: What::Broken { what, at: self.base + at }, path: String::new() })
    }

    fn text(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes).map_err(|fault| self.broken("text that is not UTF-8", fault.valid_up_to()))
    }
}

pub fn read<'a>(body: &'a [u8], pass: &mut Pass<'_, 'a>) -> Result<()> {
    let mut index = 0;
    Message { bytes: body, base: 0 }.walk(|key, value| {
        if key == key::RESOURCE_LOGS {
            element(resource_logs(value.message(), pass, index), "resource_logs", index)?;
            index += 1;
        }
        Ok(())
    })
}

fn resource_logs<'a>(message: Message<'a>, pass: &mut Pass<'_, 'a>, of: usize) -> Result<()> {
    let budget = Budget::new(pass.limits);
    let mut attributes = Attributes::new();
    // A resource with more values than an event may hold is one without the rest.
    let mut too_many = false;
    message.walk(|key, value| match key {
        key::RESOURCE => value.message().walk(|key, value| {
            if key == key::RESOURCE_ATTRIBUTES && !too_many {
                match attribute(value.message(), &budget, &mut attributes) {
                    Err(Kind::Request(refused)) => return Err(refused),
                    Err(Kind::Record(_)) => too_many = true,
                    Ok(()) => {}
                }
            }
            Ok(())
        }),
        _ => Ok(()),
    })?;
    let mut index = 0;
    message.walk(|key, value| {
        if matches!(key, key::SCOPE_LOGS | key::LIBRARY_LOGS) {
            element(scope_logs(value.message(), pass, &attributes, (of, index)), "scope_logs", index)?;
            index += 1;
        }
        Ok(())
    })
}

fn scope_logs<'a>(
    message: Message<'a>,
    pass: &mut Pass<'_, 'a>,
    resource: &Attributes<'a>,
    (of, scope): (usize, usize),
) -> Result<()> {
    let mut index = 0;
    message.walk(|key, value| {
        if key != key::LOG_RECORDS {
            return Ok(());
        }
        let place = || format!("$.resource_logs[{of}].scope_logs[{scope}].log_records[{index}]");
        let found = log_record(value.message(), pass.limits)
            .and_then(|record| record::decode(record, resource, pass.cluster, pass.limits));
        let is_full = |error| Box::new(Refused { what: What::Error(error), path: String::new() });
        match found {
            Ok(found) => pass.take(found, place).map_err(is_full)?,
            Err(Kind::Record(fault)) => pass.note(*fault, place).map_err(is_full)?,
            Err(Kind::Request(refused)) => return element(Err(refused), "log_records", index),
        }
        index += 1;
        Ok(())
    })
}

type RecordResult<T> = std::result::Result<T, Kind<Box<Refused>>>;

impl From<Box<Refused>> for Kind<Box<Refused>> {
    fn from(refused: Box<Refused>) -> Self {
        Kind::Request(refused)
    }
}

fn log_record<'a>(message: Message<'a>, limits: &crate::codec::k8s::Limits) -> RecordResult<Record<'a, Message<'a>>> {
    let budget = Budget::new(limits);
    let mut record = Record {
        time: 0,
        observed: 0,
        severity_number: 0,
        severity_text: Cow::Borrowed(""),
        name: Cow::Borrowed(""),
        attributes: Attributes::new(),
        body: None,
    };
    message.walk::<Kind<Box<Refused>>>(|key, value| {
        match key {
            key::TIME => record.time = value.number(),
            key::OBSERVED_TIME => record.observed = value.number(),
            key::SEVERITY_NUMBER => record.severity_number = value.number() as i64,
            key::SEVERITY_TEXT => record.severity_text = value.message().text()?.into(),
            key::NAME => record.name = value.message().text()?.into(),
            key::ATTRIBUTES => attribute(value.message(), &budget, &mut record.attributes)?,
            key::BODY => record.body = Some(value.message()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(record)
}

/// Reads an attribute if it is one that is read.
fn attribute<'a>(message: Message<'a>, budget: &Budget<'_>, attributes: &mut Attributes<'a>) -> RecordResult<()> {
    let (key, value) = entry(message)?;
    if !is_read_attribute(key) {
        return Ok(());
    }
    expect_room(attributes)?;
    budget.value()?;
    let value = value.map_or(Ok(Value::Null), |value| any_value(value, budget, |_| false, 1))?;
    attributes.push((Cow::Borrowed(key), value));
    Ok(())
}

fn entry(message: Message<'_>) -> Result<(&str, Option<Message<'_>>)> {
    let (mut key, mut entry_value) = ("", None);
    message.walk::<Box<Refused>>(|field, value| {
        match field {
            key::ENTRY_KEY => key = value.message().text()?,
            key::ENTRY_VALUE => entry_value = Some(value.message()),
            _ => {}
        }
        Ok(())
    })?;
    Ok((key, entry_value))
}

/// Reads an AnyValue: of objects in it the fields that `keep` wants. Bytes are nothing that an event holds.
fn any_value<'a>(
    message: Message<'a>,
    budget: &Budget<'_>,
    keep: fn(&str) -> bool,
    depth: usize,
) -> RecordResult<Value<'a>> {
    budget.depth(depth)?;
    let mut any = Value::Null;
    message.walk::<Kind<Box<Refused>>>(|key, value| {
        match key {
            key::STRING => any = Value::Text(value.message().text()?.into()),
            key::BOOL => any = Value::Bool(value.number() != 0),
            key::INT => any = Value::Whole(value.number() as i64),
            key::DOUBLE => any = Value::Float(f64::from_bits(value.number())),
            key::ARRAY => {
                let mut values = Vec::new();
                value.message().walk::<Kind<Box<Refused>>>(|key, value| {
                    if key == key::VALUES {
                        budget.value()?;
                        values.push(any_value(value.message(), budget, keep, depth + 1)?);
                    }
                    Ok(())
                })?;
                any = Value::List(values);
            }
            key::LIST => {
                let mut fields = Fields::default();
                value.message().walk::<Kind<Box<Refused>>>(|key, value| {
                    if key != key::VALUES {
                        return Ok(());
                    }
                    let (key, value) = entry(value.message())?;
                    if keep(key) {
                        budget.value()?;
                        let value = value.map_or(Ok(Value::Null), |value| any_value(value, budget, keep, depth + 1))?;
                        fields.0.push((Cow::Borrowed(key), value));
                    }
                    Ok(())
                })?;
                any = Value::Object(fields);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(any)
}

impl<'a> record::Body<'a> for Message<'a> {
    type Broken = Box<Refused>;

    fn is_object(&self) -> Result<bool> {
        let mut is_object = false;
        self.walk::<Box<Refused>>(|key, _| {
            is_object = key == key::LIST;
            Ok(())
        })?;
        Ok(is_object)
    }

    fn read(&self, budget: &Budget<'_>, keep: fn(&str) -> bool) -> RecordResult<Value<'a>> {
        any_value(*self, budget, keep, 1)
    }
}
