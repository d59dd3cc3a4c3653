//! A web socket as a client holds it, frame by frame (RFC 6455), so that a test sees what is on the wire.

use super::server::{Answer, Client, Server};

/// The RFC's own example of a key, and what a server makes of it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text = 1,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// One whole message.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub payload: Vec<u8>,
}

pub struct WebSocket {
    client: Client,
}

impl WebSocket {
    /// Asks for a web socket; the answer where the server gives none.
    pub fn open(server: &Server, path: &str, headers: &[(&str, &str)]) -> Result<WebSocket, Answer> {
        let mut client = server.connect();
        let mut all = headers.to_vec();
        all.extend([
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ]);
        let answer = client.send("GET", path, &all, b"");
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
        Ok(WebSocket { client })
    }

    /// The next frame.
    pub fn frame(&mut self) -> Frame {
        let [first, second] = self.read(2).try_into().expect("two bytes");
        let kind = match first {
            0x81 => Kind::Text,
            0x88 => Kind::Close,
            0x89 => Kind::Ping,
            0x8a => Kind::Pong,
            other => panic!("a frame that begins with {other:#04x}"),
        };
        assert!(second < MASKED, "servers do not mask");
        let length = match second {
            126 => usize::from(u16::from_be_bytes(self.read(2).try_into().expect("two bytes"))),
            short => usize::from(short),
        };
        Frame { kind, payload: self.read(length) }
    }

    /// The next text. Pings are answered on the way, as every client does.
    pub fn text(&mut self) -> String {
        loop {
            let frame = self.frame();
            match frame.kind {
                Kind::Text => return String::from_utf8(frame.payload).expect("text"),
                Kind::Ping => self.send(Kind::Pong, &frame.payload),
                other => panic!("{other:?} {:?} instead of a text", String::from_utf8_lossy(&frame.payload)),
            }
        }
    }

    /// Sends a short frame, masked as a client's must be.
    pub fn send(&mut self, kind: Kind, payload: &[u8]) {
        const MASK: [u8; 4] = [7, 77, 111, 9];
        let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short frame");
        let mut bytes = vec![FINAL | kind as u8, MASKED | length];
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.client.write(&bytes).expect("a connection");
    }

    fn read(&mut self, length: usize) -> Vec<u8> {
        self.client.read_bytes(length).expect("a frame")
    }
}
