//! Events posted over HTTP, as lists of what an exporter sends.

use super::PostReport;
use super::generate::{Events, posted};
use crate::bench::client::{Connection, Post, Target};
use crate::bench::measure::{Percentiles, cpu_seconds};
use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;
use std::ops::Range;
use std::time::Duration;

/// Slots that are posted beside those of the last hour, at most.
const SLOTS: u64 = 200_000;
/// Slots of a request.
const BATCH: u64 = 500;
const CONNECTIONS: u64 = 4;

/// The slots that are posted and measured: the last before the last hour.
pub(super) fn posted_slots(events: &Events) -> Range<u64> {
    let end = events.last_hour().start;
    end - SLOTS.min(end / 4)..end
}

/// What was posted.
#[derive(Default)]
pub(super) struct Posted {
    pub rows: u64,
    requests: u64,
    bytes: u64,
    micros: Vec<u32>,
}

/// Posts the slots that are measured, and has them committed.
pub(super) async fn measured(
    target: &Target,
    admin: &mut Connection,
    events: Events,
    pid: u32,
) -> Result<PostReport, String> {
    let before = cpu_seconds(pid);
    // They are older than the last hour: what time it is does not matter.
    let posted = post(target, events, posted_slots(&events), 0).await?;
    let answer = admin.post("/admin/flush", None).await?;
    if !answer.status.is_success() {
        return Err(format!("POST /admin/flush was answered {}: {}", answer.status, answer.excerpt()));
    }
    let cpu = cpu_seconds(pid).zip(before).map(|(after, before)| (after - before).max(0.0));
    let rows = posted.rows as f64;
    Ok(PostReport {
        rows: posted.rows,
        requests: posted.requests,
        bytes_per_row: posted.bytes as f64 / rows.max(1.0),
        acknowledgement_milliseconds: Percentiles::of(posted.micros),
        server_cpu_seconds: cpu,
        // Less than the kernel's tick is nothing that could be divided by.
        rows_per_server_cpu_second: cpu.filter(|cpu| *cpu > 0.0).map(|cpu| rows / cpu),
    })
}

/// Posts what is told in some slots.
pub(super) async fn post(target: &Target, events: Events, slots: Range<u64>, now: i64) -> Result<Posted, String> {
    let mut workers = Vec::new();
    for worker in 0..CONNECTIONS {
        let starts = (slots.start + worker * BATCH..slots.end).step_by((BATCH * CONNECTIONS) as usize);
        let (end, mut connection) = (slots.end, Connection::new(target.clone()));
        workers.push(tokio::spawn(async move {
            let mut posted = Posted::default();
            for start in starts {
                let (rows, body) = list(events, start..end.min(start + BATCH), now);
                let bytes = body.len() as u64;
                let micros = send(&mut connection, rows, body).await?;
                posted.rows += rows;
                posted.requests += 1;
                posted.bytes += bytes;
                posted.micros.push(micros);
            }
            Ok::<_, String>(posted)
        }));
    }
    let mut all = Posted::default();
    for worker in workers {
        let posted = worker.await.map_err(|error| error.to_string())??;
        all.rows += posted.rows;
        all.requests += posted.requests;
        all.bytes += posted.bytes;
        all.micros.extend(posted.micros);
    }
    Ok(all)
}

fn list(events: Events, slots: Range<u64>, now: i64) -> (u64, Bytes) {
    let rows = slots.flat_map(|slot| events.tellings(slot)).map(|telling| events.event(telling, now));
    let items: Vec<_> = rows.map(|row| posted(&row.event)).collect();
    let rows = items.len() as u64;
    (rows, json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string().into())
}

/// Sends a list until it is taken; the time is that of the request that was.
async fn send(connection: &mut Connection, rows: u64, body: Bytes) -> Result<u32, String> {
    let post = Post { content_type: "application/json", gzip: false, body };
    loop {
        let answer = connection.post("/api/v1/k8s/events", Some(&post)).await?;
        match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => {
                let taken: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
                let taken = taken.and_then(|taken| taken.get("accepted")?.as_u64());
                if taken != Some(rows) {
                    return Err(format!("of {rows} events not all were taken: {}", answer.excerpt()));
                }
                return Ok(answer.micros);
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let pause = Duration::from_secs(answer.retry_after.unwrap_or(1));
                tokio::time::sleep(pause).await;
            }
            status => return Err(format!("events were refused with {status}: {}", answer.excerpt())),
        }
    }
}
