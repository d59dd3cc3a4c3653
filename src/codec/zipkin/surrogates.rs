//! Halves of surrogate pairs in JSON's escapes.
//!
//! JSON's grammar allows `\ud83d` alone, `serde_json` does not, and agents that cut texts by UTF-16 units send it. A body
//! that was refused is mended and read again; bodies that are right never come here.

/// `body` with each half of a surrogate pair that stands alone in an escape made U+FFFD, as the peer's texts end up as
/// well; `None` if there is no such escape. Agents that cut texts by UTF-16 units send them.
pub fn mend(body: &str) -> Option<String> {
    let bytes = body.as_bytes();
    let unit = |at: usize| -> Option<u16> {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut mended = String::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(next) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == b'\\')) {
        at += next;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                mended.push_str(&body[copied..at]);
                mended.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            _ => at += 2,
        }
    }
    if copied == 0 {
        return None;
    }
    mended.push_str(&body[copied..]);
    Some(mended)
}
