//! Reading the bytes of the two binary formats: bounded at each step, borrowed from the body, refused with the place.
//!
//! Readers do not track the path: spans that are right, which is nearly all, should not pay for it. A refusal gathers
//! it on its way out, from the innermost field to the list.

use super::fault::Says;
use crate::codec::DecodeError;
use std::fmt::Display;

/// A refusal, boxed: it is rare, and results are passed for every field.
pub type Result<T, E = Box<Refused>> = std::result::Result<T, E>;

/// Why a list is refused, and where in it.
#[derive(Debug)]
pub struct Refused {
    says: Says,
    /// The byte up to which the list was read.
    at: usize,
    /// The path below what was left so far: `.tags[3].value`.
    path: String,
}

impl Refused {
    /// As the sender is told. `from` is the format in the peer's words.
    pub fn error(self, from: &str) -> DecodeError {
        DecodeError {
            peer: format!("{} reading List<Span> from {from}", self.says.peer),
            place: format!("${}, byte {}", self.path, self.at),
            remedy: self.says.remedy,
            too_large: self.says.too_large,
        }
    }
}

/// What tells a refusal where it happened.
pub trait Place {
    /// In the field of that name.
    fn field(self, name: impl Display) -> Self;

    /// In an element of a list; the list's own elements have no name.
    fn element(self, name: &str, index: usize) -> Self;
}

impl<T> Place for Result<T> {
    #[inline]
    fn field(self, name: impl Display) -> Self {
        self.map_err(|refused| under(refused, &format!(".{name}")))
    }

    #[inline]
    fn element(self, name: &str, index: usize) -> Self {
        self.map_err(|refused| {
            let dot = if name.is_empty() { "" } else { "." };
            under(refused, &format!("{dot}{name}[{index}]"))
        })
    }
}

#[cold]
fn under(mut refused: Box<Refused>, step: &str) -> Box<Refused> {
    refused.path.insert_str(0, step);
    refused
}

/// A stretch of the body that is being read.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    /// Where in the body `rest` ends.
    end: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(body: &'a [u8]) -> Self {
        Cursor { rest: body, end: body.len() }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes left.
    #[inline]
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Up to which byte of the body everything was read.
    pub fn at(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Refuses what was just read.
    #[cold]
    pub fn refuse(&self, says: Says) -> Box<Refused> {
        Box::new(Refused { says, at: self.at(), path: String::new() })
    }

    /// Refuses what was just read as something that no encoder writes.
    #[cold]
    pub fn malformed(&self, remedy: impl Into<String>) -> Box<Refused> {
        self.refuse(Says::new("Malformed", remedy))
    }

    /// Refuses a length that reaches beyond the stretch.
    #[cold]
    pub fn truncated(&self, length: u64) -> Box<Refused> {
        self.refuse(Says::new(
            format!("Truncated: length {length} > bytes available {}", self.left()),
            "a length here reaches beyond its message, or the body breaks off: send the whole list",
        ))
    }

    #[inline]
    pub fn byte(&mut self) -> Result<u8> {
        match self.rest.split_first() {
            Some((&byte, rest)) => {
                self.rest = rest;
                Ok(byte)
            }
            None => Err(self.truncated(1)),
        }
    }

    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        match self.rest.split_at_checked(length) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(self.truncated(length as u64)),
        }
    }

    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.rest.split_first_chunk() {
            Some((array, rest)) => {
                self.rest = rest;
                Ok(*array)
            }
            None => Err(self.truncated(N as u64)),
        }
    }

    /// The next bytes as a stretch of their own.
    #[inline]
    pub fn stretch(&mut self, length: usize) -> Result<Cursor<'a>> {
        let rest = self.take(length)?;
        Ok(Cursor { rest, end: self.at() })
    }

    /// The next bytes as a text.
    #[inline]
    pub fn text(&mut self, length: usize) -> Result<&'a str> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|fault| self.no_text(bytes, fault.valid_up_to()))
    }

    #[cold]
    fn no_text(&self, bytes: &[u8], at: usize) -> Box<Refused> {
        let byte = bytes.get(at).copied().unwrap_or_default();
        let mut refused = self.malformed(format!("0x{byte:02x} begins no UTF-8 character: encode texts in UTF-8"));
        refused.at -= bytes.len() - at;
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_path_from_the_list_down_and_the_byte() {
        let mut body = Cursor::new(b"0123456789");
        body.take(4).unwrap();
        let mut inner = body.stretch(3).unwrap();
        inner.byte().unwrap();
        let refused = inner.take(3).field("value").element("tags", 2).element("", 7).unwrap_err();
        assert_eq!(
            refused.error("proto3").to_string(),
            "Truncated: length 3 > bytes available 2 reading List<Span> from proto3\n$[7].tags[2].value, byte 5: a \
             length here reaches beyond its message, or the body breaks off: send the whole list"
        );
        assert_eq!((inner.left(), body.left()), (2, 3));
    }

    #[test]
    fn what_is_no_text_is_named_by_its_byte() {
        let mut body = Cursor::new(b"--ab\xffcd");
        body.take(2).unwrap();
        assert_eq!(
            body.text(5).field("name").unwrap_err().error("TBinary").to_string(),
            "Malformed reading List<Span> from TBinary\n\
             $.name, byte 4: 0xff begins no UTF-8 character: encode texts in UTF-8"
        );
    }
}
