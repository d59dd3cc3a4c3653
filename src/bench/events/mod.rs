//! Service events under load: a month of them is written into a data folder, some more are posted to a server on it, and
//! then it is asked, as the vendor's clients ask, what happened to a service in the last hour. Every answer is checked.
//!
//! ```text
//! fill   a month but for its end     through the store, merged: a file or so a day
//! post   a part of the last days     over HTTP, as an exporter does: CPU, acknowledgements
//!        the last hour               one half committed, the other in memory
//! ask    random services             one connection, one question after the other
//! ```

mod ask;
mod fill;
mod generate;
mod post;

use super::client::Connection;
use super::measure::{DiskUse, Percentiles, disk_use, moment, peak_memory, settled_disk_use};
use super::report::{Rows, mebibytes};
use super::server::{OwnServer, TemporaryFolder};
use crate::clock::Clock;
use crate::store::StoreConfig;
use generate::Events;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the server's folder may go on changing.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// What to run.
#[derive(Clone, Debug)]
pub struct EventsOptions {
    /// The data folder, which must not hold events yet; `None` for a temporary one.
    pub data: Option<PathBuf>,
    /// Events, each of which may be told several times.
    pub events: u64,
    pub questions: u64,
    pub seed: u64,
}

/// What it came to. Figures are null where they could not be measured.
#[derive(Clone, Debug, Serialize)]
pub struct EventsReport {
    pub events: u64,
    /// As often as the events were told.
    pub rows: u64,
    pub services: u64,
    /// Writing the month through the store, this process' CPU for making the events included.
    pub fill_seconds: f64,
    pub start_to_ready_milliseconds: f64,
    pub posted: PostReport,
    /// Of the table's folder.
    pub disk: DiskUse,
    pub bytes_per_event: f64,
    pub asked: AskReport,
    /// The most memory that the server had resident.
    pub peak_memory_bytes: Option<u64>,
}

/// What posting came to.
#[derive(Clone, Debug, Serialize)]
pub struct PostReport {
    pub rows: u64,
    pub requests: u64,
    pub bytes_per_row: f64,
    pub acknowledgement_milliseconds: Percentiles,
    /// Of the server, until all of it was committed.
    pub server_cpu_seconds: Option<f64>,
    pub rows_per_server_cpu_second: Option<f64>,
}

/// What asking came to.
#[derive(Clone, Debug, Serialize)]
pub struct AskReport {
    pub questions: u64,
    pub milliseconds: Percentiles,
    /// The first question of all, for which the server opens every file.
    pub first_milliseconds: f64,
    pub events_per_answer: f64,
    /// Answers that were not what was told.
    pub wrong: u64,
    /// The first few of them.
    pub examples: Vec<String>,
}

impl EventsReport {
    /// For a person.
    pub fn table(&self) -> String {
        let mut rows = Rows::default();
        let told = format!("{} in {} rows, of {} services", self.events, self.rows, self.services);
        rows.add("events", told);
        rows.add("filled", format!("{:.0} s", self.fill_seconds));
        rows.add("start to ready", format!("{:.0} ms", self.start_to_ready_milliseconds));
        let PostReport { rows: posted, requests, bytes_per_row, .. } = self.posted;
        rows.add("posted", format!("{posted} rows in {requests} requests, {bytes_per_row:.0} bytes a row"));
        let Percentiles { p50, p99, max, .. } = self.posted.acknowledgement_milliseconds;
        rows.add("acknowledgement", format!("p50 {p50:.1}  p99 {p99:.1}  max {max:.1} ms"));
        if let (Some(cpu), Some(rate)) = (self.posted.server_cpu_seconds, self.posted.rows_per_server_cpu_second) {
            rows.add("server CPU", format!("{cpu:.2} s, {rate:.0} rows a CPU second"));
        }
        let DiskUse { bytes, parquet_files, .. } = self.disk;
        let per_event = self.bytes_per_event;
        rows.add("on disk", format!("{} in {parquet_files} files, {per_event:.1} bytes an event", mebibytes(bytes)));
        let Percentiles { p50, p90, p99, max } = self.asked.milliseconds;
        rows.add("last hour", format!("p50 {p50:.2}  p90 {p90:.2}  p99 {p99:.2}  max {max:.2} ms"));
        let AskReport { questions, events_per_answer, first_milliseconds, .. } = self.asked;
        rows.add("", format!("{questions} questions, {events_per_answer:.1} events an answer"));
        rows.add("", format!("the first took {first_milliseconds:.1} ms"));
        if let Some(bytes) = self.peak_memory_bytes {
            rows.add("peak memory", mebibytes(bytes));
        }
        rows.add("wrong answers", self.asked.wrong.to_string());
        for example in &self.asked.examples {
            rows.add("", example.clone());
        }
        rows.0
    }
}

/// Fills, posts and asks.
pub async fn run(options: &EventsOptions, program: &Path, clock: Arc<dyn Clock>) -> Result<EventsReport, String> {
    let folder = TemporaryFolder::create()?;
    let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
    let table = StoreConfig::events_dir(&data);
    if disk_use(&table).parquet_files > 0 {
        return Err(format!("{} has events already: give an empty folder by --data", data.display()));
    }
    let events = Events::new(options.seed, options.events, clock.now_micros());
    let start = moment();
    let mut rows = fill::fill(&data, events, clock.clone()).await?;
    let fill_seconds = moment().duration_since(start).as_secs_f64();
    let mut server = OwnServer::start(program, &data)?;
    match measure(options, events, &server, &table, clock.as_ref()).await {
        Ok((posted, of_last_hour, disk, asked)) => {
            rows += posted.rows + of_last_hour;
            let report = EventsReport {
                events: events.slots(),
                rows,
                services: generate::SERVICES,
                fill_seconds,
                start_to_ready_milliseconds: server.start_to_ready.as_secs_f64() * 1_000.0,
                posted,
                disk,
                bytes_per_event: disk.bytes as f64 / options.events.max(1) as f64,
                asked,
                peak_memory_bytes: peak_memory(server.pid()),
            };
            server.stop().map(|()| report)
        }
        Err(error) => Err(format!("{error}\n{}", server.why("was running"))),
    }
}

/// What posting came to, the rows of the last hour, what lies on the disk, and what asking came to.
async fn measure(
    options: &EventsOptions,
    events: Events,
    server: &OwnServer,
    table: &Path,
    clock: &dyn Clock,
) -> Result<(PostReport, u64, DiskUse, AskReport), String> {
    let mut admin = Connection::new(server.target.clone());
    let posted = post::measured(&server.target, &mut admin, events, server.pid()).await?;
    let recent = events.last_hour();
    let now = clock.now_micros();
    let half = recent.start + (recent.end - recent.start) / 2;
    let mut of_last_hour = post::post(&server.target, events, recent.start..half, now).await?.rows;
    for path in ["/admin/flush", "/admin/compact"] {
        let answer = admin.post(path, None).await?;
        if !answer.status.is_success() {
            return Err(format!("POST {path} was answered {}: {}", answer.status, answer.excerpt()));
        }
    }
    let (disk, _) = settled_disk_use(table, SETTLE_LIMIT).await;
    // What is in memory stays there while it is asked for.
    of_last_hour += post::post(&server.target, events, half..recent.end, now).await?.rows;
    let asked = ask::ask(&server.target, events, options, now).await?;
    Ok((posted, of_last_hour, disk, asked))
}
