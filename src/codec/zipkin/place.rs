//! Where in a JSON document a byte is: the path to the value that it belongs to.
//!
//! Decoders do not track the path: spans that are right, which is nearly all, should not pay for it. When one fails,
//! the document is walked once more up to the fault.

/// Longest key that a path shows whole.
const KEY_SHOWN: usize = 64;

enum Frame<'a> {
    List(usize),
    /// The last key that was read, raw; `None` before the first.
    Object(Option<&'a str>),
}

/// The byte offset of a line and a column (both from 1, as `serde_json` reports them: the column counts bytes).
pub fn offset(body: &str, line: usize, column: usize) -> usize {
    let mut start = 0;
    for _ in 1..line {
        match body.as_bytes().get(start..).and_then(|rest| rest.iter().position(|&b| b == b'\n')) {
            Some(length) => start += length + 1,
            None => break,
        }
    }
    start.saturating_add(column).min(body.len())
}

/// The path of the value that ends at or surrounds `offset`, as in `$[3].annotations[0].timestamp`. In an object of
/// which no key was read yet it ends with a dot.
pub fn path(body: &str, offset: usize) -> String {
    render(&walk(body, offset))
}

/// The path where the document breaks off: behind a value of a list, that of the next one.
pub fn path_at_end(body: &str, offset: usize) -> String {
    let mut stack = walk(body, offset);
    let value_ended = body.get(..offset).is_some_and(|head| head.trim_end().ends_with(['}', ']', '"']));
    if let (true, Some(Frame::List(index))) = (value_ended, stack.last_mut()) {
        *index += 1;
    }
    render(&stack)
}

fn walk(body: &str, offset: usize) -> Vec<Frame<'_>> {
    let bytes = body.as_bytes();
    let end = offset.min(bytes.len());
    let mut stack: Vec<Frame<'_>> = Vec::new();
    let mut expects_key = false;
    let mut at = 0;
    while at < end {
        match bytes[at] {
            b'{' => {
                stack.push(Frame::Object(None));
                expects_key = true;
            }
            b'[' => {
                stack.push(Frame::List(0));
                expects_key = false;
            }
            b'}' | b']' => {
                stack.pop();
                expects_key = false;
            }
            b',' => match stack.last_mut() {
                Some(Frame::List(index)) => *index += 1,
                Some(Frame::Object(_)) => expects_key = true,
                None => {}
            },
            b'"' => {
                let start = at + 1;
                at = start;
                while at < end && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                if let (true, Some(Frame::Object(key))) = (expects_key, stack.last_mut()) {
                    *key = body.get(start..at.min(end));
                    expects_key = false;
                }
            }
            _ => {}
        }
        at += 1;
    }
    stack
}

fn render(stack: &[Frame<'_>]) -> String {
    let mut path = String::from("$");
    // A document nested beyond reason gets a path that can still be read.
    for frame in stack.iter().take(64) {
        match frame {
            Frame::List(index) => path.push_str(&format!("[{index}]")),
            Frame::Object(key) => {
                path.push('.');
                let key = key.unwrap_or_default();
                path.extend(key.chars().take(KEY_SHOWN));
                if key.chars().nth(KEY_SHOWN).is_some() {
                    path.push_str("...");
                }
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_before(body: &str, mark: &str) -> String {
        path(body, body.find(mark).unwrap())
    }

    #[test]
    fn lists_count_and_objects_name_their_last_key() {
        let body = r#"[{"a":1},{"b":[1,2,{"c":"x,y]","d":!}]}]"#;
        assert_eq!(path_before(body, "!"), "$[1].b[2].d");
        assert_eq!(path_before(body, "2,"), "$[1].b[1]");
        assert_eq!(path(body, 0), "$");
        assert_eq!(path(body, body.len()), "$");
    }

    #[test]
    fn quotes_and_brackets_inside_texts_do_not_count() {
        let body = r#"{"a\"{[":"\\\"}]","b":!}"#;
        assert_eq!(path_before(body, "!"), "$.b");
    }

    #[test]
    fn an_object_without_a_key_yet_ends_with_a_dot() {
        assert_eq!(path(r#"[{}]"#, 2), "$[0].");
    }

    #[test]
    fn a_list_that_breaks_off_lacks_its_next_value() {
        assert_eq!(path_at_end(r#"[{"a":1} "#, 9), "$[1]");
        assert_eq!(path_at_end(r#"[{"a":1"#, 7), "$[0].a");
        assert_eq!(path_at_end("[", 1), "$[0]");
    }

    #[test]
    fn a_long_key_is_shortened() {
        let body = format!(r#"{{"{}":!}}"#, "é".repeat(100));
        assert_eq!(path_before(&body, "!"), format!("$.{}...", "é".repeat(64)));
    }

    #[test]
    fn lines_and_columns_become_offsets() {
        let body = "[\n{\n\"a\": !";
        assert_eq!(&body[offset(body, 3, 5)..], "!");
        assert_eq!(offset(body, 1, 1), 1);
        assert_eq!(offset(body, 99, 99), body.len());
    }
}
