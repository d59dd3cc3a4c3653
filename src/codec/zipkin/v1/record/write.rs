//! Writing the record.

use super::super::split::Converted;
use super::super::{V1Span, V1Value};
use super::key::key;
use super::{
    DIGITS, Rows, address_key, end, moments, start, tag_endpoint, text, usual_annotations, usual_binaries, usual_times,
};
use crate::model::Endpoint;
use std::collections::HashMap;

/// Fills the `v1` columns of a conversion's rows.
pub fn fill(posted: &V1Span<'_>, converted: &mut Converted<'_>) {
    let count = converted.rows.len();
    let present = converted.rows.iter().enumerate().collect();
    let body = body(posted, converted, &Rows { count, present });
    if let [row] = converted.rows.as_mut_slice() {
        row.v1 = Some(body.into());
        return;
    }
    let key = key(posted);
    for (index, row) in converted.rows.iter_mut().enumerate() {
        let mut column = String::from(if index == 0 { "*" } else { "+" });
        column.push_str(&key);
        push_index(&mut column, if index == 0 { count } else { index });
        if index == 0 {
            column.push_str(&body);
        }
        row.v1 = Some(column.into());
    }
}

fn body(posted: &V1Span<'_>, converted: &Converted<'_>, rows: &Rows<'_, '_>) -> String {
    let mut body = String::new();
    // The first tag of the first row tells the agent's habit.
    let habit = posted.binary_annotations.iter().zip(&converted.binary_rows).find(|(binary, row)| {
        **row == 0 && matches!(binary.value, V1Value::Text(_)) && !matches!(binary.key.as_ref(), "ca" | "sa" | "ma")
    });
    let own = habit.is_some_and(|(binary, _)| binary.endpoint.is_some());
    if own {
        body.push('e');
    }
    if posted.name.as_ref().is_some_and(|name| name.is_empty()) {
        body.push('N');
    }
    let (timestamp, duration) = usual_times(rows);
    for (mark, posted, usual) in [('T', posted.timestamp, timestamp), ('D', posted.duration, duration)] {
        if posted != usual {
            body.push(mark);
            if let Some(posted) = posted {
                push_int(&mut body, posted);
            }
            body.push(';');
        }
    }
    let mut writer = Writer { rows, own, extras: Vec::new(), places: HashMap::new(), out: String::new() };
    if usual_annotations(rows) != posted.annotations {
        writer.annotations(posted, &converted.annotation_rows);
    }
    if usual_binaries(rows, own) != posted.binary_annotations {
        writer.binaries(posted, &converted.binary_rows);
    }
    if !writer.extras.is_empty() {
        body.push('E');
        for extra in &writer.extras {
            push_endpoint(&mut body, extra);
        }
        body.push(';');
    }
    body.push_str(&writer.out);
    body
}

/// Writes the lists of a record.
struct Writer<'w, 's, 'r> {
    rows: &'w Rows<'s, 'r>,
    own: bool,
    /// Endpoints that no row has, in the order of first use.
    extras: Vec<&'w Endpoint<'w>>,
    /// The index of each endpoint, filled at the first use.
    places: HashMap<&'w Endpoint<'w>, usize>,
    out: String,
}

impl<'w, 's: 'w, 'r: 'w> Writer<'w, 's, 'r> {
    fn annotations(&mut self, posted: &'w V1Span<'_>, homes: &[usize]) {
        self.out.push('A');
        let mut current = 0;
        let mut plains = vec![0; self.rows.count];
        for (annotation, &home) in posted.annotations.iter().zip(homes) {
            self.turn_to(&mut current, home);
            let Some(row) = self.rows.get(home) else { continue };
            let is = |moment: Option<i64>, value: &str| {
                annotation.value == value && !value.is_empty() && moment == Some(annotation.timestamp)
            };
            let (begins, ends) = moments(row).unwrap_or_default();
            if is(start(row), begins) {
                self.out.push('^');
            } else if is(end(row), ends) {
                self.out.push('$');
            } else if row
                .annotations
                .get(plains[home])
                .is_some_and(|plain| plain.timestamp == annotation.timestamp && plain.value == annotation.value)
            {
                plains[home] += 1;
                self.out.push(',');
            } else {
                self.out.push('%');
                push_text(&mut self.out, &annotation.value);
                push_int(&mut self.out, annotation.timestamp.wrapping_sub(self.rows.base()));
            }
            self.place(annotation.endpoint.as_ref(), row.local.as_ref());
        }
        self.out.push(';');
    }

    fn binaries(&mut self, posted: &'w V1Span<'_>, homes: &[usize]) {
        self.out.push('B');
        let mut current = 0;
        for (binary, &home) in posted.binary_annotations.iter().zip(homes) {
            self.turn_to(&mut current, home);
            let Some(row) = self.rows.get(home) else { continue };
            let is_address = binary.key == address_key(row.kind) && row.remote == binary.endpoint;
            let value = if let (true, Some(remote)) = (is_address, &row.remote) {
                self.out.push('!');
                self.value_if_other(&binary.value, &V1Value::Json("true".into()));
                Some(remote)
            } else {
                match row.tags.binary_search_by(|(key, _)| key.as_ref().cmp(&binary.key)) {
                    Ok(at) => {
                        push_index(&mut self.out, at);
                        self.value_if_other(&binary.value, &V1Value::Text(text(&row.tags[at].1)));
                    }
                    Err(_) => {
                        self.out.push('%');
                        push_text(&mut self.out, &binary.key);
                        push_value(&mut self.out, &binary.value);
                    }
                }
                tag_endpoint(row, home, self.own)
            };
            if let Some(kind) = &binary.kind {
                self.out.push('?');
                push_text(&mut self.out, kind);
            }
            self.place(binary.endpoint.as_ref(), value);
        }
        self.out.push(';');
    }

    fn turn_to(&mut self, current: &mut usize, home: usize) {
        if *current != home {
            *current = home;
            self.out.push('#');
            push_index(&mut self.out, home);
        }
    }

    fn value_if_other(&mut self, posted: &V1Value<'_>, usual: &V1Value<'_>) {
        if posted != usual {
            self.out.push('&');
            push_value(&mut self.out, posted);
        }
    }

    fn place(&mut self, posted: Option<&'w Endpoint<'_>>, usual: Option<&Endpoint<'_>>) {
        if posted == usual {
            return;
        }
        self.out.push('@');
        let Some(posted) = posted else { return self.out.push('-') };
        if self.places.is_empty() {
            for index in (0..2 * self.rows.count).rev() {
                if let Some(known) = self.rows.place(index) {
                    self.places.insert(known, index);
                }
            }
        }
        let next = 2 * self.rows.count + self.extras.len();
        let index = *self.places.entry(posted).or_insert(next);
        if index == next {
            self.extras.push(posted);
        }
        push_index(&mut self.out, index);
    }
}

fn push_index(out: &mut String, index: usize) {
    match DIGITS[..62].get(index) {
        Some(&digit) => out.push(digit as char),
        None => out.push_str(&format!("~{index}.")),
    }
}

fn push_int(out: &mut String, number: i64) {
    out.push_str(&format!("{number}."));
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&format!("{}:", text.len()));
    out.push_str(text);
}

fn push_value(out: &mut String, value: &V1Value<'_>) {
    match value {
        V1Value::Absent => out.push('-'),
        V1Value::Text(text) => {
            out.push('"');
            push_text(out, text);
        }
        V1Value::Json(text) => {
            out.push('j');
            push_text(out, text);
        }
    }
}

fn push_endpoint(out: &mut String, endpoint: &Endpoint<'_>) {
    if let Some(service) = &endpoint.service {
        out.push('s');
        push_text(out, service);
    }
    if let Some(address) = endpoint.ipv4 {
        out.push_str(&format!("4{address},"));
    }
    if let Some(address) = endpoint.ipv6 {
        out.push_str(&format!("6{address},"));
    }
    if let Some(port) = endpoint.port {
        out.push_str(&format!("p{port}."));
    }
    out.push('/');
}
