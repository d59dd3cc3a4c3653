//! The documents of a body, and the entries of each, one after the other: no more than one entry is a tree at a time.

use super::event::{decode, is_read};
use super::value::{Budget, Fault, Fields, Key, Noted, Place, Tree, Value};
use super::{Around, Limits, Taken};
use crate::codec::DecodeError;
use crate::codec::zipkin::place;
use crate::model::Event;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What may stand between documents.
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

/// Reads a body that is UTF-8. A body of nothing holds no events.
pub fn documents<'a>(body: &'a str, around: &Around<'a>, limits: &Limits) -> Result<Vec<Event<'a>>, DecodeError> {
    let mut events = Vec::new();
    let mut taken = Taken::default();
    let mut documents = 0;
    let mut rest = body.trim_start_matches(WHITE);
    while !rest.is_empty() {
        // One reader a document: to ask it whether there is another makes it count all lines up to there.
        let mut json = serde_json::Deserializer::from_str(rest);
        let noted = Noted::default();
        let mut pass = Pass { around, limits, noted: &noted, events: &mut events, taken: &mut taken };
        let read = Entry { pass: &mut pass, at: &At::Root, depth: 0 }.deserialize(&mut json);
        if let Err(error) = read {
            let before = body.get(..body.len() - rest.len()).unwrap_or_default();
            return Err(refusal(before, rest, &error, noted.take(), documents));
        }
        documents += 1;
        let end = json.into_iter::<IgnoredAny>().byte_offset();
        rest = rest.get(end..).unwrap_or_default().trim_start_matches(WHITE);
    }
    Ok(events)
}

/// What is the same for all entries.
struct Pass<'r, 'a> {
    around: &'r Around<'a>,
    limits: &'r Limits,
    noted: &'r Noted,
    events: &'r mut Vec<Event<'a>>,
    taken: &'r mut Taken,
}

/// Where an entry is in its document.
enum At<'p> {
    Root,
    Element(&'p At<'p>, usize),
    Item(&'p At<'p>, usize),
}

impl At<'_> {
    /// Tells a fault the way from the document to the entry.
    fn place<T>(&self, result: Result<T, Box<Fault>>) -> Result<T, Box<Fault>> {
        match self {
            At::Root => result,
            At::Element(outer, index) => outer.place(result.entry(&format!("[{index}]"))),
            At::Item(outer, index) => outer.place(result.entry(&format!(".items[{index}]"))),
        }
    }
}

/// Reads an entry: an event, a frame, a list of such in either form.
struct Entry<'p, 'r, 'a> {
    pass: &'p mut Pass<'r, 'a>,
    at: &'p At<'p>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Entry<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Pass { taken, limits, .. } = &mut *self.pass;
        taken.entry("documents and entries of lists", limits).map_err(|fault| self.fail(fault))?;
        json.deserialize_any(self)
    }
}

impl Entry<'_, '_, '_> {
    fn fail<E: serde::de::Error>(&self, fault: Box<Fault>) -> E {
        match self.at.place::<()>(Err(fault)) {
            Err(fault) => self.pass.noted.fail(fault),
            Ok(()) => E::custom("refused"),
        }
    }

    fn wrong<E: serde::de::Error>(&self, value: Value<'_>) -> E {
        match value.object("v1.Event") {
            Err(fault) => self.fail(fault),
            Ok(_) => E::custom("refused"),
        }
    }
}

impl<'de> Visitor<'de> for Entry<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, or a list of events")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        let remedy = "send an event here, or leave it out";
        Err(self.fail(Fault::alone("json: cannot unmarshal null into Go value of type v1.Event", remedy)))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        Err(self.wrong(Value::Bool(value)))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        Err(self.wrong(Value::Whole(number)))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Err(self.wrong(Value::Whole(0)))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        Err(self.wrong(Value::Float(number)))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(self.wrong(Value::Text("".into())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let budget = Budget::new(self.pass.limits);
        budget.depth(self.depth + 1).map_err(|fault| self.fail(fault))?;
        for index in 0.. {
            let at = At::Element(self.at, index);
            let element = Entry { pass: &mut *self.pass, at: &at, depth: self.depth + 1 };
            if list.next_element_seed(element)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let limits = self.pass.limits;
        let budget = Budget::new(limits);
        budget.depth(self.depth + 1).map_err(|fault| self.fail(fault))?;
        let tree = Tree { budget: &budget, noted: self.pass.noted, keep: is_read, depth: self.depth + 1 };
        let mut fields = Fields::default();
        let mut is_list = false;
        while let Some(key) = map.next_key_seed(Key)? {
            if key == "items" {
                is_list = true;
                map.next_value_seed(Items { pass: &mut *self.pass, at: self.at, depth: self.depth + 1 })?;
            } else {
                tree.field(&mut map, &mut fields, key)?;
            }
        }
        if is_list || matches!(fields.peek_text("kind"), Some("List" | "EventList")) {
            return Ok(());
        }
        let event = match decode(fields, self.pass.around, limits) {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(()),
            Err(fault) => return Err(self.fail(fault)),
        };
        self.pass.taken.event(&event, limits).map_err(|fault| self.fail(fault))?;
        self.pass.events.push(event);
        Ok(())
    }
}

/// Reads the items of a List: `null` is what Go writes for none.
struct Items<'p, 'r, 'a> {
    pass: &'p mut Pass<'r, 'a>,
    at: &'p At<'p>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Items<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl Items<'_, '_, '_> {
    fn wrong<E: serde::de::Error>(self, value: Value<'_>) -> E {
        let entry = Entry { pass: self.pass, at: self.at, depth: self.depth };
        match value.list("[]v1.Event").field("items") {
            Err(fault) => entry.fail(fault),
            Ok(_) => E::custom("refused"),
        }
    }
}

impl<'de> Visitor<'de> for Items<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        Err(self.wrong(Value::Bool(value)))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        Err(self.wrong(Value::Whole(number)))
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Err(self.wrong(Value::Whole(0)))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        Err(self.wrong(Value::Float(number)))
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        Err(self.wrong(Value::Text("".into())))
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong(Value::Object(Fields::default())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let budget = Budget::new(self.pass.limits);
        let depth = self.depth + 1;
        let Items { pass, at, .. } = self;
        if let Err(fault) = budget.depth(depth) {
            return Err(Entry { pass, at, depth }.fail(fault));
        }
        for index in 0.. {
            let at = At::Item(at, index);
            if list.next_element_seed(Entry { pass: &mut *pass, at: &at, depth })?.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// The refusal of a body in the document that `rest` begins with and that so many precede, which `before` has: `fault` if
/// a visitor noted one, else what the parser found.
fn refusal(
    before: &str,
    rest: &str,
    error: &serde_json::Error,
    fault: Option<Box<Fault>>,
    documents: usize,
) -> DecodeError {
    let (lines, last_line) = match before.rsplit_once('\n') {
        Some((lines, last_line)) => (1 + lines.matches('\n').count(), last_line),
        None => (0, before),
    };
    let prefix = match documents {
        0 => "$".to_owned(),
        before => format!("document {} at line {}, $", before + 1, lines + 1),
    };
    let offset = place::offset(rest, error.line().max(1), error.column());
    match fault {
        Some(fault) if fault.is_here() => {
            let path = place::path(rest, offset);
            let path = path.trim_start_matches('$').trim_end_matches('.');
            return DecodeError { place: format!("{prefix}{path}"), ..fault.error("") };
        }
        Some(fault) => return fault.error(&prefix),
        None => {}
    }
    let (path, found, remedy) = if error.is_eof() {
        let remedy = "the body breaks off here: send the whole of it";
        (place::path_at_end(rest, offset), "unexpected end of JSON input".to_owned(), remedy)
    } else {
        let found = error.to_string();
        let found = found.rsplit_once(" at line ").map_or(found.as_str(), |(found, _)| found).to_owned();
        (place::path(rest, offset), found, "send an event, a List of events, or one after the other, as JSON")
    };
    let path = path.trim_start_matches('$').trim_end_matches('.');
    let shift = if error.line() <= 1 { last_line.len() } else { 0 };
    let (line, column) = (lines + error.line(), error.column() + shift);
    DecodeError {
        peer: format!("couldn't get version/kind; json parse error: {found}"),
        place: format!("{prefix}{path}, line {line} column {column}"),
        remedy: remedy.to_owned(),
        too_large: false,
    }
}
