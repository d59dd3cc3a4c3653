//! Reading the record: rows to the posted span.

use super::super::{V1Annotation, V1BinaryAnnotation, V1Span, V1Value};
use super::{
    DIGITS, Mark, Rows, address, end, endpoint, mark, moments, plain_annotation, start, tag_endpoint, text,
    usual_annotations, usual_binaries, usual_times,
};
use crate::model::{Endpoint, Span};
use std::borrow::Cow;

/// The posted span of which these are the rows, in any order; `None` of no rows. Where some are missing, what is there
/// is put together as well as it goes.
pub fn unsplit<'s>(rows: &'s [Span<'_>]) -> Option<V1Span<'s>> {
    let mut count = rows.len();
    let mut body = "";
    let mut present = Vec::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        match mark(row.v1.as_deref().unwrap_or_default()) {
            Mark::Whole { body: whole } => {
                body = whole;
                present.push((at, row));
            }
            Mark::First { count: all, body: first, .. } => {
                (count, body) = (all, first);
                present.push((0, row));
            }
            Mark::Sibling { index, .. } => present.push((index, row)),
        }
    }
    present.sort_by_key(|&(index, _)| index);
    present.dedup_by_key(|&mut (index, _)| index);
    let rows = Rows { count, present };
    Some(match rebuild(&rows, body) {
        Some(posted) => posted,
        None => rebuild(&rows, "")?,
    })
}

fn rebuild<'s>(rows: &Rows<'s, '_>, body: &'s str) -> Option<V1Span<'s>> {
    let first = rows.first()?;
    let mut parser = Parser { rest: body };
    let own = parser.eat('e');
    let name = match parser.eat('N') {
        true => Some(Cow::Borrowed("")),
        false => first.name.as_deref().map(text),
    };
    let (mut timestamp, mut duration) = usual_times(rows);
    for (mark, time) in [('T', &mut timestamp), ('D', &mut duration)] {
        if parser.eat(mark) {
            *time = if parser.eat(';') { None } else { Some(parser.int().filter(|_| parser.eat(';'))?) };
        }
    }
    let mut extras = Vec::new();
    if parser.eat('E') {
        while !parser.eat(';') {
            extras.push(parser.endpoint()?);
        }
    }
    let mut reader = Reader { rows, own, extras, parser };
    let annotations = match reader.parser.eat('A') {
        true => reader.annotations()?,
        false => usual_annotations(rows),
    };
    let binary_annotations = match reader.parser.eat('B') {
        true => reader.binaries()?,
        false => usual_binaries(rows, own),
    };
    reader.parser.rest.is_empty().then_some(())?;
    Some(V1Span {
        trace_id: first.trace_id,
        id: first.id,
        parent_id: first.parent_id,
        name,
        timestamp,
        duration,
        annotations,
        binary_annotations,
        debug: first.debug,
    })
}

/// Reads the lists of a record.
struct Reader<'p, 's, 'r> {
    rows: &'p Rows<'s, 'r>,
    own: bool,
    extras: Vec<Endpoint<'s>>,
    parser: Parser<'s>,
}

impl<'s> Reader<'_, 's, '_> {
    fn annotations(&mut self) -> Option<Vec<V1Annotation<'s>>> {
        let mut list = Vec::new();
        let mut current = 0;
        let mut plains = vec![0; self.rows.present.len()];
        while !self.parser.eat(';') {
            if self.parser.eat('#') {
                current = self.parser.index()?;
                continue;
            }
            let row = self.rows.get(current);
            let (begins, ends) = row.and_then(moments).unwrap_or_default();
            let local = row.and_then(|row| row.local.as_ref()).map(endpoint);
            let moment = |timestamp: Option<i64>, value: &'static str| {
                let timestamp = timestamp.filter(|_| !value.is_empty())?;
                Some(V1Annotation { timestamp, value: value.into(), endpoint: local.clone() })
            };
            // What points at a missing row is left out.
            let mut annotation = match self.parser.next()? {
                '^' => moment(row.and_then(start), begins),
                '$' => moment(row.and_then(end), ends),
                ',' => row.and_then(|row| {
                    let at = self.rows.position(current)?;
                    plains[at] += 1;
                    Some(plain_annotation(row, row.annotations.get(plains[at] - 1)?))
                }),
                '%' => {
                    let value = Cow::Borrowed(self.parser.text()?);
                    let timestamp = self.rows.base().wrapping_add(self.parser.int()?);
                    Some(V1Annotation { timestamp, value, endpoint: local })
                }
                _ => return None,
            };
            let usual = annotation.as_mut().and_then(|annotation| annotation.endpoint.take());
            let endpoint = self.place(usual)?;
            list.extend(annotation.map(|annotation| V1Annotation { endpoint, ..annotation }));
        }
        Some(list)
    }

    fn binaries(&mut self) -> Option<Vec<V1BinaryAnnotation<'s>>> {
        let mut list = Vec::new();
        let mut current = 0;
        while !self.parser.eat(';') {
            if self.parser.eat('#') {
                current = self.parser.index()?;
                continue;
            }
            let row = self.rows.get(current);
            let local = row.and_then(|row| tag_endpoint(row, current, self.own)).map(endpoint);
            let mut binary = if self.parser.eat('!') {
                row.and_then(address)
            } else if self.parser.eat('%') {
                let key = Cow::Borrowed(self.parser.text()?);
                Some(V1BinaryAnnotation { key, value: self.parser.value()?, kind: None, endpoint: local })
            } else {
                let at = self.parser.index()?;
                row.and_then(|row| row.tags.get(at)).map(|(key, value)| V1BinaryAnnotation {
                    key: text(key),
                    value: V1Value::Text(text(value)),
                    kind: None,
                    endpoint: local,
                })
            };
            let value = if self.parser.eat('&') { Some(self.parser.value()?) } else { None };
            let kind = if self.parser.eat('?') { Some(self.parser.text()?) } else { None };
            let usual = binary.as_mut().and_then(|binary| binary.endpoint.take());
            let endpoint = self.place(usual)?;
            list.extend(binary.map(|binary| V1BinaryAnnotation {
                key: binary.key,
                value: value.unwrap_or(binary.value),
                kind: kind.map(Cow::Borrowed),
                endpoint,
            }));
        }
        Some(list)
    }

    /// The endpoint that is said to stand here, else the usual one; `None` outside where the record does not parse.
    fn place(&mut self, usual: Option<Endpoint<'s>>) -> Option<Option<Endpoint<'s>>> {
        if !self.parser.eat('@') {
            return Some(usual);
        }
        if self.parser.eat('-') {
            return Some(None);
        }
        let index = self.parser.index()?;
        match index.checked_sub(2 * self.rows.count) {
            Some(extra) => self.extras.get(extra).cloned().map(Some),
            None => Some(self.rows.place(index).map(endpoint)),
        }
    }
}

/// A position in a record. Each method reads one thing of the grammar, or says that it is not there.
pub struct Parser<'r> {
    pub rest: &'r str,
}

impl<'r> Parser<'r> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.rest = &self.rest[next.len_utf8()..];
        Some(next)
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn until(&mut self, end: char) -> Option<&'r str> {
        let (text, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(text)
    }

    fn int(&mut self) -> Option<i64> {
        self.until('.')?.parse().ok()
    }

    pub fn index(&mut self) -> Option<usize> {
        match self.next()? {
            // No more than a body can hold, so that sums of indexes stay in range.
            '~' => self.until('.')?.parse::<u32>().ok().map(|index| index as usize),
            digit => DIGITS[..62].iter().position(|&known| known as char == digit),
        }
    }

    fn text(&mut self) -> Option<&'r str> {
        let length: usize = self.until(':')?.parse().ok()?;
        let text = self.rest.get(..length)?;
        self.rest = &self.rest[length..];
        Some(text)
    }

    fn value(&mut self) -> Option<V1Value<'r>> {
        Some(match self.next()? {
            '-' => V1Value::Absent,
            '"' => V1Value::Text(Cow::Borrowed(self.text()?)),
            'j' => V1Value::Json(Cow::Borrowed(self.text()?)),
            _ => return None,
        })
    }

    fn endpoint(&mut self) -> Option<Endpoint<'r>> {
        let mut endpoint = Endpoint::default();
        loop {
            match self.next()? {
                's' => endpoint.service = Some(Cow::Borrowed(self.text()?)),
                '4' => endpoint.ipv4 = Some(self.until(',')?.parse().ok()?),
                '6' => endpoint.ipv6 = Some(self.until(',')?.parse().ok()?),
                'p' => endpoint.port = Some(self.until('.')?.parse().ok()?),
                '/' => return Some(endpoint),
                _ => return None,
            }
        }
    }
}
