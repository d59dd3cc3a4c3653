//! The web sockets: consumers are told of changes, and instances are kept alive by a connection. The client is a small
//! one of RFC 6455 by hand, which shows what is on the wire.

use super::{Sc, done, field, ok, refused, timeless};
use crate::support::registry::{databases, on_each_database, on_each_database_with};
use crate::support::server::Server;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// An open web socket.
struct Socket(BufReader<TcpStream>);

impl Socket {
    fn open(server: &Server, path: &str) -> Socket {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let request = format!(
            "GET /v4/default{path} HTTP/1.1\r\nhost: test\r\nx-domain-name: default\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut socket = Socket(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(socket.0.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let head = head.to_ascii_lowercase();
        // The answer to the key is RFC 6455's own example.
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        assert!(head.contains("\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
        socket
    }

    /// Sends a frame, masked as a client must.
    fn send(&mut self, kind: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        assert!(length < 126);
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x80 | kind, 0x80 | length];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.0.get_mut().write_all(&frame).unwrap();
    }

    /// The next frame's kind and payload; none at the end.
    fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        if self.0.read_exact(&mut head).is_err() {
            return None;
        }
        let length = match head[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        assert!(length < 1 << 16 && head[0] & 0x80 != 0, "{head:?}");
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        Some((head[0] & 0x0f, payload))
    }

    fn text(&mut self) -> String {
        let (kind, payload) = self.receive().expect("a frame");
        assert_eq!(kind, TEXT, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// The action, the key and the instance's id of the next frame.
    fn event(&mut self) -> (String, Value, String) {
        let event: Value = serde_json::from_str(&self.text()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&event["action"]), event["key"].clone(), text(&event["instance"]["instanceId"]))
    }

    /// The code and the reason of the goodbye that comes next.
    fn goodbye(&mut self) -> (u16, String) {
        let (kind, payload) = self.receive().expect("a frame");
        assert_eq!(kind, CLOSE, "{payload:?}");
        let (code, reason) = payload.split_at(2);
        (u16::from_be_bytes(code.try_into().unwrap()), String::from_utf8(reason.to_vec()).unwrap())
    }

    /// Waits until the server has read what was sent so far.
    fn settle(&mut self) {
        self.send(PING, b"there?");
        assert_eq!(self.receive(), Some((PONG, b"there?".to_vec())));
    }
}

fn watcher(server: &Server, service: &str) -> Socket {
    let mut socket = Socket::open(server, &format!("/registry/microservices/{service}/watcher"));
    // From here on it is told.
    socket.settle();
    socket
}

#[test]
fn a_watcher_is_told_of_each_change_of_what_it_depends_on_and_of_nothing_else() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let web = sc.shop("web", "1.0.0");
        let cart =
            sc.register(&json!({ "appId": "shop", "environment": "", "serviceName": "cart", "version": "1.0.0" }));
        let till = sc.shop("till", "1.0.0");
        ok(&sc.get_as(&web, "/registry/instances?appId=shop&serviceName=cart"));
        let mut socket = watcher(server, &web);
        sc.start_at(&till, 1);
        let instance = sc.start_at(&cart, 2);
        let path = format!("/registry/microservices/{cart}/instances/{instance}");
        done(&sc.call("PUT", &format!("{path}/heartbeat")));
        done(&sc.call("PUT", &format!("{path}/status?value=DOWN")));
        done(&sc.send("PUT", &format!("{path}/properties"), &json!({ "properties": { "a": "b" } })));
        done(&sc.call("DELETE", &path));
        let key = json!({ "tenant": "default/default", "appId": "shop", "serviceName": "cart", "version": "1.0.0" });
        let first: Value = serde_json::from_str(&socket.text()).unwrap();
        let expected = json!({
            "instanceId": instance, "serviceId": cart, "hostName": "host", "endpoints": ["rest://127.0.0.1:2"], "status": "UP",
            "healthCheck": { "mode": "push", "interval": 30, "times": 3 }, "version": "1.0.0",
        });
        assert_eq!(timeless(first), json!({ "action": "CREATE", "key": key, "instance": expected }));
        for action in ["UPDATE", "UPDATE", "DELETE"] {
            assert_eq!(socket.event(), (action.to_owned(), key.clone(), instance.clone()));
        }
        // A version that comes later is the same provider.
        let newer = sc.shop("cart", "2.0.0");
        let instance = sc.start_at(&newer, 3);
        let (action, key, id) = socket.event();
        assert_eq!((action.as_str(), &key["version"], id), ("CREATE", &json!("2.0.0"), instance.clone()));
        // A service that goes takes its instances with it.
        done(&sc.call("DELETE", &format!("/registry/microservices/{newer}?force=1")));
        assert_eq!(socket.event().0, "DELETE");
    });
}

#[test]
fn an_unknown_service_is_told_so_and_a_plain_request_is_refused() {
    on_each_database(|server| {
        let mut socket = Socket::open(server, "/registry/microservices/none/watcher");
        assert_eq!(socket.text(), "service does not exist");
        assert_eq!(socket.goodbye(), (1000, String::new()));
        let sc = Sc::new(server);
        let web = sc.shop("web", "1.0.0");
        let instance = sc.start_at(&web, 1);
        let detail = "send a web socket's handshake: Connection header did not include 'upgrade'";
        for below in ["watcher", &format!("instances/{instance}/heartbeat")] {
            refused(&sc.call("GET", &format!("/registry/microservices/{web}/{below}")), 400_001, detail);
        }
    });
}

#[test]
fn a_watcher_that_says_too_much_is_cut_off() {
    on_each_database(|server| {
        let web = Sc::new(server).shop("web", "1.0.0");
        let mut socket = watcher(server, &web);
        socket.send(TEXT, &[b'x'; 64]);
        socket.settle();
        socket.send(TEXT, &[b'x'; 65]);
        let end = socket.receive();
        assert!(end.is_none() || end.is_some_and(|(kind, _)| kind == CLOSE));
    });
}

#[test]
fn a_watcher_that_says_goodbye_is_answered() {
    on_each_database(|server| {
        let web = Sc::new(server).shop("web", "1.0.0");
        let mut socket = watcher(server, &web);
        socket.send(CLOSE, &1000u16.to_be_bytes());
        assert_eq!(socket.goodbye(), (1000, String::new()));
        assert_eq!(socket.receive(), None);
    });
}

#[test]
fn a_pong_keeps_an_instance_alive_until_it_is_gone() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let cart = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&cart, 1);
        let path = format!("/registry/microservices/{cart}/instances/{instance}");
        let mut socket = Socket::open(server, &format!("{path}/heartbeat"));
        socket.send(PONG, b"");
        socket.settle();
        done(&sc.call("DELETE", &path));
        socket.send(PONG, b"");
        let gone = (4001, "heartbeat reporting failed because the instance does not exist".to_owned());
        assert_eq!(socket.goodbye(), gone);
        // And whoever comes for one that is not there is told at once.
        let mut socket = Socket::open(server, &format!("{path}/heartbeat"));
        assert_eq!(socket.goodbye(), gone);
    });
}

#[test]
fn an_instance_with_a_short_term_is_asked_in_time_and_lives_on_by_its_pongs() {
    on_each_database(|server| {
        let sc = Sc::new(server);
        let cart = sc.shop("cart", "1.0.0");
        // Twenty seconds, the shortest term there is.
        let check = json!({ "mode": "push", "interval": 5, "times": 3 });
        let instance = sc.start(&cart, &json!({ "hostName": "h", "healthCheck": check }));
        let mut socket =
            Socket::open(server, &format!("/registry/microservices/{cart}/instances/{instance}/heartbeat"));
        assert_eq!(socket.receive(), Some((PING, Vec::new())));
        socket.send(PONG, b"");
        socket.settle();
        assert_eq!(
            field(&sc.get(&format!("/registry/microservices/{cart}/instances"))["instances"], "instanceId"),
            [instance]
        );
    });
}

#[test]
fn sockets_say_goodbye_when_the_server_stops_and_do_not_hold_it_up() {
    for database in databases() {
        let data = tempfile::tempdir().unwrap();
        let mut server = database.start(data.path(), &[]);
        let sc = Sc::new(&server);
        let cart = sc.shop("cart", "1.0.0");
        let instance = sc.start_at(&cart, 1);
        let mut watching = watcher(&server, &cart);
        let mut beating =
            Socket::open(&server, &format!("/registry/microservices/{cart}/instances/{instance}/heartbeat"));
        beating.settle();
        drop(sc);
        server.terminate();
        for socket in [&mut watching, &mut beating] {
            assert_eq!(socket.goodbye(), (1001, "the server stops".to_owned()));
            socket.send(CLOSE, &1001u16.to_be_bytes());
        }
        assert!(server.wait().success(), "{}", server.log());
        assert!(!server.log().contains("still under way"), "{}", server.log());
    }
}

#[test]
fn sockets_outlive_the_time_that_idle_connections_have_and_are_bounded() {
    let args = ["--server-header-timeout", "1s", "--server-max-connections", "2"];
    on_each_database_with(&args, |server| {
        let id = Sc::new(server).shop("web", "1.0.0");
        let mut sockets = [watcher(server, &id), watcher(server, &id)];
        // An idle connection is closed meanwhile; the sockets are no longer among those.
        let mut idle = server.connect();
        assert_eq!(idle.read_to_close().unwrap(), b"");
        sockets.iter_mut().for_each(Socket::settle);
        let handshake = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let path = format!("/v4/default/registry/microservices/{id}/watcher");
        let third = server.connect().send("GET", &path, &handshake, b"");
        assert_eq!((third.status, third.header("retry-after")), (503, Some("1")));
        assert_eq!(third.json()["errorCode"], "500011");
    });
}
