//! Service events in the form of Tencent Cloud's container service, asked over a real socket.

mod events;
mod lists;
mod refused;

use crate::support::server::{Answer, Client, Server};
use chrono::{DateTime, FixedOffset, Utc};
use serde_json::{Value, json};
use spanlake::clock::{Clock, SystemClock};

pub const PATH: &str = "/v2/index.php";
pub const POSTED: &str = "/api/v1/k8s/events";

/// Seconds since 1970 UTC.
pub fn now() -> i64 {
    SystemClock.now_micros() / 1_000_000
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

/// A time as answers have it, so many seconds east of UTC.
pub fn local(seconds: i64, utc_offset: i32) -> String {
    time(seconds).with_timezone(&FixedOffset::east_opt(utc_offset).unwrap()).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time in Beijing.
pub fn beijing(seconds: i64) -> String {
    local(seconds, 8 * 3_600)
}

/// An event of a pod, as a kubelet writes it.
#[derive(Clone, Debug)]
pub struct Posted {
    pub uid: &'static str,
    pub namespace: &'static str,
    pub pod: &'static str,
    pub node: &'static str,
    pub level: &'static str,
    pub reason: &'static str,
    pub message: String,
    /// Seconds since 1970 UTC.
    pub seen: (i64, i64),
    pub count: i64,
}

impl Posted {
    /// One that was seen a minute ago.
    pub fn new(uid: &'static str) -> Posted {
        Posted {
            uid,
            namespace: "default",
            pod: "frontend-542052039-h2yj8",
            node: "node-a",
            level: "Normal",
            reason: "Pulled",
            message: "Container image already present on machine".to_owned(),
            seen: (now() - 60, now() - 60),
            count: 1,
        }
    }

    fn document(&self) -> Value {
        let format = |seconds| time(seconds).format("%Y-%m-%dT%H:%M:%SZ").to_string();
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": format!("{}.{}", self.pod, self.uid), "namespace": self.namespace, "uid": self.uid },
            "involvedObject": { "apiVersion": "v1", "kind": "Pod", "namespace": self.namespace, "name": self.pod },
            "reason": self.reason, "message": self.message, "type": self.level, "count": self.count,
            "firstTimestamp": format(self.seen.0), "lastTimestamp": format(self.seen.1),
            "source": { "component": "kubelet", "host": self.node },
        })
    }
}

/// Posts events of a cluster.
#[track_caller]
pub fn post(server: &Server, cluster: &str, events: &[Posted]) {
    post_for(server, &[], cluster, events);
}

/// As [`post`], with headers.
#[track_caller]
pub fn post_for(server: &Server, headers: &[(&str, &str)], cluster: &str, events: &[Posted]) {
    let list = json!({
        "apiVersion": "v1", "kind": "List", "items": events.iter().map(Posted::document).collect::<Vec<_>>(),
    });
    let cluster: String = url::form_urlencoded::byte_serialize(cluster.as_bytes()).collect();
    let path = format!("{POSTED}?clusterId={cluster}");
    let answer = server.connect().send("POST", &path, headers, list.to_string().as_bytes());
    assert_eq!((answer.status, answer.json()), (200, json!({ "accepted": events.len() })), "{answer:?}");
}

/// Asks by GET.
pub fn ask(server: &Server, query: &str) -> Answer {
    server.get(&format!("{PATH}?{query}"))
}

/// Asks by a form.
pub fn ask_by_form(client: &mut Client, query: &str, form: &str) -> Answer {
    let path = if query.is_empty() { PATH.to_owned() } else { format!("{PATH}?{query}") };
    client.send("POST", &path, &[("content-type", "application/x-www-form-urlencoded")], form.as_bytes())
}

/// The data of a good answer, whose envelope is checked to the byte.
#[track_caller]
pub fn data(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    let data = answer.text().strip_prefix(r#"{"code":0,"message":"","codeDesc":"Success","data":"#);
    let data = data.and_then(|rest| rest.strip_suffix('}')).unwrap_or_else(|| panic!("{}", answer.text()));
    serde_json::from_str(data).unwrap()
}

/// The events of a good answer, each in short.
#[track_caller]
pub fn told(answer: &Answer) -> Vec<(String, i64)> {
    let data = data(answer);
    let lines = data["eventList"].as_array().unwrap().iter();
    lines.map(|line| (line["reason"].as_str().unwrap().to_owned(), line["count"].as_i64().unwrap())).collect()
}

/// A refusal, to the byte.
#[track_caller]
pub fn assert_refused(answer: &Answer, code: u16, code_desc: &str, message: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    let message = serde_json::to_string(message).unwrap();
    assert_eq!(answer.text(), format!(r#"{{"code":{code},"message":{message},"codeDesc":"{code_desc}"}}"#));
}
