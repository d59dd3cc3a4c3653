//! Answers as trees, and the two forms that they are written in.
//!
//! In XML a list has no element of its own: its field's element is repeated, as the product has it. A map has an element
//! for each key; a key that is no name in XML is made into one ([`name`]), so two keys may become one. What is null is
//! left out. Characters that XML cannot carry become U+FFFD.

use quick_xml::Writer;
use quick_xml::escape::partial_escape;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Number, Value};
use std::borrow::Cow;

/// A value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Flag(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    /// In the order in which they are written.
    Fields(Vec<(Cow<'static, str>, Node)>),
}

impl Node {
    pub(super) fn text(text: impl Into<String>) -> Node {
        Node::Text(text.into())
    }

    pub(super) fn texts(texts: impl IntoIterator<Item = String>) -> Node {
        Node::List(texts.into_iter().map(Node::Text).collect())
    }

    pub(super) fn number(number: impl Into<Number>) -> Node {
        Node::Number(number.into())
    }
}

impl From<Value> for Node {
    fn from(value: Value) -> Node {
        match value {
            Value::Null => Node::Null,
            Value::Bool(flag) => Node::Flag(flag),
            Value::Number(number) => Node::Number(number),
            Value::String(text) => Node::Text(text),
            Value::Array(values) => Node::List(values.into_iter().map(Node::from).collect()),
            Value::Object(fields) => {
                Node::Fields(fields.into_iter().map(|(key, value)| (Cow::Owned(key), value.into())).collect())
            }
        }
    }
}

/// Fields in the order in which they are written; those that say nothing are not there.
#[derive(Default)]
pub(super) struct Fields(Vec<(Cow<'static, str>, Node)>);

impl Fields {
    pub(super) fn put(mut self, name: &'static str, node: Node) -> Fields {
        self.0.push((Cow::Borrowed(name), node));
        self
    }

    /// A text, unless it is empty.
    pub(super) fn text(self, name: &'static str, text: &str) -> Fields {
        if text.is_empty() { self } else { self.put(name, Node::text(text)) }
    }

    /// A list, unless it is empty.
    pub(super) fn list(self, name: &'static str, list: Vec<Node>) -> Fields {
        if list.is_empty() { self } else { self.put(name, Node::List(list)) }
    }

    pub(super) fn end(self) -> Node {
        Node::Fields(self.0)
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => serializer.serialize_unit(),
            Node::Flag(flag) => serializer.serialize_bool(*flag),
            Node::Number(number) => number.serialize(serializer),
            Node::Text(text) => serializer.serialize_str(text),
            Node::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                nodes.iter().try_for_each(|node| list.serialize_element(node))?;
                list.end()
            }
            Node::Fields(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(name, node)| map.serialize_entry(name, node))?;
                map.end()
            }
        }
    }
}

/// As JSON.
pub(super) fn json(node: &Node) -> Vec<u8> {
    // Texts, numbers and lists of them always have a form.
    serde_json::to_vec(node).unwrap_or_default()
}

/// As XML, in an element of that name.
pub(super) fn xml(root: &str, node: &Node) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    // Memory takes whatever is written.
    let _ = element(&mut writer, root, node);
    writer.into_inner()
}

fn element(writer: &mut Writer<Vec<u8>>, name: &str, node: &Node) -> std::io::Result<()> {
    let text = match node {
        Node::Null => return Ok(()),
        Node::List(nodes) => return nodes.iter().try_for_each(|node| element(writer, name, node)),
        Node::Fields(fields) => {
            writer.write_event(Event::Start(BytesStart::new(name)))?;
            for (key, node) in fields {
                element(writer, &self::name(key), node)?;
            }
            return writer.write_event(Event::End(BytesEnd::new(name)));
        }
        Node::Flag(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Node::Number(number) => Cow::Owned(number.to_string()),
        Node::Text(text) => escaped(text),
    };
    writer.write_event(Event::Start(BytesStart::new(name)))?;
    writer.write_event(Event::Text(BytesText::from_escaped(text)))?;
    writer.write_event(Event::End(BytesEnd::new(name)))
}

/// A text as it stands between tags. A carriage return would be read as a line feed.
fn escaped(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| is_char(c) && c != '\r') {
        return partial_escape(text);
    }
    let whole: String = text.chars().map(|c| if is_char(c) { c } else { char::REPLACEMENT_CHARACTER }).collect();
    Cow::Owned(partial_escape(whole.as_str()).replace('\r', "&#13;"))
}

/// `Char` of XML 1.0, section 2.2.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A name in XML made of a key: ASCII letters, digits, `_`, `-` and `.` stay, all else becomes `_`; one that may not begin
/// so has a `_` before it. Which other characters a name may have depends on the edition of XML 1.0 that a parser was
/// written by, and a colon would name a namespace.
fn name(key: &str) -> Cow<'_, str> {
    let is_start = |c: char| c == '_' || c.is_ascii_alphabetic();
    let is_part = |c: char| is_start(c) || matches!(c, '-' | '.' | '0'..='9');
    let is_reserved = key.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("xml"));
    let begins = key.chars().next().is_some_and(|c| is_start(c) || !is_part(c)) && !is_reserved;
    if begins && key.chars().all(is_part) {
        return Cow::Borrowed(key);
    }
    let mut name = String::with_capacity(key.len() + 1);
    if !begins {
        name.push('_');
    }
    name.extend(key.chars().map(|c| if is_part(c) { c } else { '_' }));
    Cow::Owned(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn xml_of(value: Value) -> String {
        String::from_utf8(xml("R", &Node::from(value))).unwrap()
    }

    #[test]
    fn lists_repeat_their_fields_element_and_nulls_are_left_out() {
        assert_eq!(
            xml_of(
                json!({ "a": ["x", "y"], "b": [], "c": null, "d": [{ "e": 1 }, { "e": true }], "f": [[1, 2], [3]] })
            ),
            "<R><a>x</a><a>y</a><d><e>1</e></d><d><e>true</e></d><f>1</f><f>2</f><f>3</f></R>"
        );
        assert_eq!(xml_of(json!({ "empty": "", "number": 1.5 })), "<R><empty></empty><number>1.5</number></R>");
    }

    #[test]
    fn texts_are_escaped_and_what_xml_cannot_carry_is_replaced() {
        for (text, written) in [
            ("a<b>&\"c'", "a&lt;b&gt;&amp;\"c'"),
            ("]]>", "]]&gt;"),
            ("a\u{0}b\u{1f}\u{fffe}", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("line\r\n\ttab", "line&#13;\n\ttab"),
            ("北京 \u{1f600}", "北京 \u{1f600}"),
        ] {
            assert_eq!(xml_of(json!({ "t": text })), format!("<R><t>{written}</t></R>"), "{text:?}");
        }
    }

    #[test]
    fn keys_that_are_no_names_in_xml_are_made_into_some() {
        for (key, made) in [
            ("a.b-c_d1", "a.b-c_d1"),
            ("_", "_"),
            ("北京", "__"),
            ("\u{1f680}", "_"),
            ("\u{fffd}", "_"),
            ("größe", "gr__e"),
            ("a\u{b7}\u{301}", "a__"),
            ("1a", "_1a"),
            ("-a", "_-a"),
            ("", "_"),
            ("a b", "a_b"),
            ("a:b", "a_b"),
            ("<a>", "_a_"),
            ("XmlKey", "_XmlKey"),
            ("a\u{0}", "a_"),
        ] {
            assert_eq!(name(key), made, "{key:?}");
        }
    }

    #[test]
    fn any_keys_make_elements_that_a_parser_finds_again() {
        let keys =
            ["\u{1f680}", "\u{fffd}", "\u{0}", "北京", "größe", "1", "-", "", " ", "a b", "a:b", "</R>", "&", "xml"];
        let fields: Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), json!("\u{1f680}&"))).collect();
        let made: Vec<String> = fields.keys().map(|key| name(key).into_owned()).collect();
        let written = xml_of(Value::Object(fields));
        let mut reader = quick_xml::Reader::from_str(&written);
        let (mut found, mut texts) = (Vec::new(), String::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => found.push(String::from_utf8(start.name().as_ref().to_vec()).unwrap()),
                Event::Text(text) => texts.push_str(&text.decode().unwrap()),
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(found.remove(0), "R");
        assert_eq!(found, made);
        assert_eq!(texts, "\u{1f680}".repeat(keys.len()));
        let is_name = |name: &String| {
            let part = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
            name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic()) && name.bytes().all(part)
        };
        assert!(found.iter().all(is_name), "{found:?}");
    }

    #[test]
    fn json_keeps_the_order_of_fields() {
        let node = Fields::default()
            .text("b", "1")
            .text("none", "")
            .list("none", Vec::new())
            .put("a", Node::texts(["x".to_owned()]))
            .put("n", Node::Null)
            .end();
        assert_eq!(json(&node), br#"{"b":"1","a":["x"],"n":null}"#);
    }
}
