//! What bad input gets: Kubernetes' `Status`, nothing stored, and a connection that goes on.

use super::*;
use crate::support::grpc::gzip;
use crate::support::server::Server;

/// A server, and a connection to it that every refusal must leave usable.
struct Refusals {
    server: Server,
    client: Client,
    _dir: tempfile::TempDir,
}

impl Refusals {
    fn new(arguments: &[&str]) -> Refusals {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start_with(dir.path(), arguments);
        let client = server.connect();
        Refusals { server, client, _dir: dir }
    }

    /// Posts; the answer must be just this one.
    fn refuse(&mut self, path: &str, headers: &[(&str, &str)], body: &[u8], refusal: (u16, &str, &str)) {
        let answer = self.client.send("POST", path, headers, body);
        let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
        let (code, reason, message) = refusal;
        assert_eq!((answer.status, answer.json()), (code, status(code, reason, message)), "{shown}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("connection"), None);
    }

    fn bad(&mut self, body: impl AsRef<[u8]>, message: &str) {
        self.refuse(K8S, &[], body.as_ref(), (400, "BadRequest", message));
    }

    /// Nothing of all that was stored, and a good event still is.
    fn end(mut self) {
        assert_eq!(all(&mut self.client, "default"), Vec::<Value>::new());
        expect_accepted(&self.client.send("POST", K8S, &[], EVENT.as_bytes()), 1);
        assert_eq!(all(&mut self.client, "default").len(), 1);
        assert!(!self.server.log().contains("panic"), "{}", self.server.log());
    }
}

#[test]
fn what_is_no_json_or_no_event_is_refused_with_place_and_remedy() {
    let mut refusals = Refusals::new(&[]);
    for (body, message) in [
        (
            "{",
            "couldn't get version/kind; json parse error: unexpected end of JSON input\n\
             $, line 1 column 1: the body breaks off here: send the whole of it",
        ),
        (
            r#"{"metadata":"#,
            "couldn't get version/kind; json parse error: unexpected end of JSON input\n\
             $.metadata, line 1 column 12: the body breaks off here: send the whole of it",
        ),
        (
            "nonsense",
            "couldn't get version/kind; json parse error: expected ident\n\
             $, line 1 column 2: send an event, a List of events, or one after the other, as JSON",
        ),
        (
            "null",
            "json: cannot unmarshal null into Go value of type v1.Event\n\
             $: send an event here, or leave it out",
        ),
        (
            "1",
            "json: cannot unmarshal number into Go value of type v1.Event\n\
             $: send an object here, or leave it out",
        ),
        (
            r#""event""#,
            "json: cannot unmarshal string into Go value of type v1.Event\n\
             $: send an object here, or leave it out",
        ),
        (
            "[null]",
            "json: cannot unmarshal null into Go value of type v1.Event\n\
             $[0]: send an event here, or leave it out",
        ),
        (
            "{}",
            "involvedObject: Required value\n\
             $.involvedObject: an event says what it is about: kind, namespace and name",
        ),
        (
            r#"{"kind":"Pod","apiVersion":"v1"}"#,
            "Pod in version \"v1\" cannot be handled as a Event\n\
             $.kind: send events, of v1 or of events.k8s.io/v1",
        ),
        (
            r#"{"items":{}}"#,
            "json: cannot unmarshal object into Go struct field Event.items of type []v1.Event\n\
             $.items: send a list here, or leave it out",
        ),
        (
            r#"{"metadata":5,"involvedObject":{}}"#,
            "json: cannot unmarshal number into Go struct field Event.metadata of type v1.ObjectMeta\n\
             $.metadata: send an object here, or leave it out",
        ),
        (
            r#"{"involvedObject":{"name":["a"]},"lastTimestamp":"2025-01-01T00:00:00Z"}"#,
            "json: cannot unmarshal array into Go struct field Event.involvedObject.name of type string\n\
             $.involvedObject.name: send a text here, or leave it out",
        ),
        (
            r#"{"involvedObject":{"name":"a"},"count":"many","lastTimestamp":"2025-01-01T00:00:00Z"}"#,
            "json: cannot unmarshal string into Go struct field Event.count of type int32\n\
             $.count: send a whole number here, or leave it out",
        ),
        (
            r#"{"involvedObject":{"name":"a"}}"#,
            "lastTimestamp: Required value\n\
             $.lastTimestamp: an event has a time at least: lastTimestamp, eventTime or metadata.creationTimestamp",
        ),
        (
            r#"{"involvedObject":{"name":"a"},"lastTimestamp":"yesterday"}"#,
            "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\"\n\
             $.lastTimestamp: send a time as RFC 3339 writes it, as in 2016-11-08T16:15:15Z, or leave it out",
        ),
        (
            r#"{"type":"MOVED","object":{}}"#,
            "type: Unsupported value: \"MOVED\"\n\
             $.type: a frame of a watch is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR",
        ),
    ] {
        refusals.bad(body, message);
    }
    let encoding = "invalid UTF-8 in JSON\nbyte 11: 0xff begins no UTF-8 character: encode the body in UTF-8";
    refusals.bad(b"{\"reason\":\"\xff\"}", encoding);
    refusals.end();
}

/// One bad event among good ones: none is kept, so that the whole may be sent again.
#[test]
fn a_body_is_taken_whole_or_refused_whole() {
    let mut refusals = Refusals::new(&[]);
    let bad = r#"{"metadata":{"name":7}}"#;
    for (body, place) in [
        (format!("[{EVENT},{bad}]"), "$[1]."),
        (format!(r#"{{"kind":"List","items":[{EVENT},{EVENT},{bad}]}}"#), "$.items[2]."),
        (format!("{EVENT}\n{EVENT}\n{bad}\n"), "document 3 at line 3, $."),
        (format!(r#"{EVENT}{{"type":"ADDED","object":{bad}}}"#), "document 2 at line 1, $.object."),
    ] {
        let field = if place.ends_with("object.") { "object.metadata.name" } else { "metadata.name" };
        let found = format!("json: cannot unmarshal number into Go struct field Event.{field} of type string");
        refusals.bad(body, &format!("{found}\n{place}metadata.name: send a text here, or leave it out"));
    }
    refusals.end();
}

#[test]
fn what_is_wrong_with_the_request_itself_is_told_in_the_same_form() {
    let mut refusals = Refusals::new(&["--projects", "isolated"]);
    let known = EVENT.as_bytes();
    let format = |kind: &str| {
        format!(
            "the body of the request was in an unknown format - accepted media types include: application/json\n\
             header Content-Type: it says {kind:?}: send application/json"
        )
    };
    for kind in ["application/x-protobuf", "application/vnd.kubernetes.protobuf", "application/yaml"] {
        refusals.refuse(K8S, &[("content-type", kind)], known, (415, "UnsupportedMediaType", &format(kind)));
    }
    let encoding = "unsupported content encoding: zstd\nheader Content-Encoding: send gzip, deflate or none";
    refusals.refuse(K8S, &[("content-encoding", "zstd")], known, (415, "UnsupportedMediaType", encoding));
    let cut = "Cannot gunzip the body\n\
               the body: it is no gzip stream, or it was cut; send it whole, or without Content-Encoding";
    let whole = gzip(known);
    for body in [known, &whole[..whole.len() - 1], &whole[..20]] {
        refusals.refuse(K8S, &[("content-encoding", "gzip")], body, (400, "BadRequest", cut));
    }
    let project = "X-Scope-OrgID is invalid\n\
                   header X-Scope-OrgID: send 1 to 64 letters, digits, _ or -, or leave it out";
    refusals.refuse(K8S, &[("x-scope-orgid", "no id")], known, (400, "BadRequest", project));
    let long = format!("{K8S}?clusterId={}", "x".repeat(257));
    let cluster = "clusterId is invalid\n\
                   query parameter clusterId: send up to 256 bytes of UTF-8 without control characters, or leave it out";
    refusals.refuse(&long, &[], known, (400, "BadRequest", cluster));
    refusals.end();
}

#[test]
fn a_body_of_nothing_and_frames_that_bring_nothing_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path());
    let mut client = server.connect();
    for body in [
        "",
        " \n",
        "[]",
        r#"{"kind":"List","items":[]}"#,
        r#"{"kind":"EventList","apiVersion":"v1","items":null}"#,
        r#"{"type":"BOOKMARK","object":{"kind":"Event"}}"#,
        r#"{"type":"DELETED","object":{"kind":"Event"}}"#,
    ] {
        expect_accepted(&client.send("POST", K8S, &[], body.as_bytes()), 0);
    }
    assert_eq!(all(&mut client, "default"), Vec::<Value>::new());
}
