//! A run from end to end: a server, the load, its commit, the settled folder, the lookups, the searches.

use super::client::{Connection, Target};
use super::generate::{self, Generator};
use super::load::{LoadOptions, Loaded, load};
use super::lookup::{LookupApi, LookupReport, look_up};
use super::measure::{DiskUse, cpu_seconds, disk_use, micros_since, moment, peak_memory, settled_disk_use};
use super::replay::Recording;
use super::report::{LoadReport, RunReport};
use super::search::{DAY, Kind, SearchOptions, SearchReport, search};
use super::server::{OwnServer, TemporaryFolder, is_in_memory};
use super::source::Source;
use crate::clock::Clock;
use hyper::StatusCode;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The server; `None` starts one for each run.
    pub url: Option<String>,
    /// The running server's process, to read its CPU and memory.
    pub pid: Option<u32>,
    /// The data folder: of the running server, to read what lies there; or for the server that is started.
    pub data: Option<PathBuf>,
    pub spans: u64,
    pub seed: u64,
    pub wide_ids: bool,
    pub shared_spans: bool,
    /// Spans a second of the traces' own time.
    pub rate: u32,
    pub replay: Option<PathBuf>,
    pub load: LoadOptions,
    pub lookups: u64,
    pub lookup_api: LookupApi,
    /// Of each kind.
    pub searches: u64,
    pub phase: Phase,
    pub runs: u32,
}

/// Which halves of a run to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Both,
    Load,
    /// Lookups and searches.
    Lookup,
}

/// How long the folder may take to settle.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// A server under measurement.
struct Subject {
    target: Target,
    pid: Option<u32>,
    /// The folder of the table `spans`.
    table: Option<PathBuf>,
    start_to_ready: Option<Duration>,
    own: Option<OwnServer>,
    /// Whether it began with nothing and gets nothing but this run's load.
    alone: bool,
    /// Removed after the server has stopped: fields drop in order.
    _folder: Option<TemporaryFolder>,
    notes: Vec<String>,
}

/// Does the runs and hands each report to `show` as it is finished.
pub async fn run_all(
    options: &RunOptions,
    program: &Path,
    clock: &dyn Clock,
    show: &mut dyn FnMut(&RunReport),
) -> Result<Vec<RunReport>, String> {
    let recording = match &options.replay {
        Some(folder) => Some(Arc::new(Recording::read(folder)?)),
        None => None,
    };
    let mut reports = Vec::new();
    for run in 1..=options.runs.max(1) {
        let mut subject = Subject::find(options, program, run)?;
        let report = match run_one(options, &subject, recording.clone(), clock, run).await {
            Ok(report) => report,
            // A connection that broke is often a server that died: its last words say more.
            Err(error) => match &mut subject.own {
                Some(own) => return Err(format!("{error}\n{}", own.why("was running"))),
                None => return Err(error),
            },
        };
        if let Some(own) = subject.own.take() {
            own.stop()?;
        }
        show(&report);
        reports.push(report);
    }
    Ok(reports)
}

impl Subject {
    fn find(options: &RunOptions, program: &Path, run: u32) -> Result<Self, String> {
        let table = |data: &Path| data.join("tables").join("spans");
        if let Some(url) = &options.url {
            let mut notes = Vec::new();
            if options.pid.is_none() {
                notes.push("CPU and memory of a running server are read where --pid names its process".to_owned());
            }
            if options.data.is_none() && options.phase != Phase::Lookup {
                notes.push("bytes on disk of a running server are read where --data names its folder".to_owned());
            }
            return Ok(Subject {
                target: Target::parse(url)?,
                pid: options.pid,
                table: options.data.as_deref().map(table),
                start_to_ready: None,
                own: None,
                alone: false,
                _folder: None,
                notes,
            });
        }
        let (data, folder) = match &options.data {
            // Each of several runs begins with an empty folder of its own.
            Some(data) if options.runs > 1 => (data.join(format!("run-{run}")), None),
            Some(data) => (data.clone(), None),
            None => {
                let folder = TemporaryFolder::create()?;
                (folder.path().join("data"), Some(folder))
            }
        };
        std::fs::create_dir_all(&data).map_err(|error| format!("cannot create {}: {error}", data.display()))?;
        let is_empty = std::fs::read_dir(&data).is_ok_and(|mut entries| entries.next().is_none());
        let mut notes = Vec::new();
        if is_in_memory(&data) {
            let place = data.display();
            notes.push(format!("{place} lies in memory, where syncing costs nothing: give --data a folder on a disk"));
        }
        let own = OwnServer::start(program, &data)?;
        Ok(Subject {
            target: own.target.clone(),
            pid: Some(own.pid()),
            table: Some(table(&data)),
            start_to_ready: Some(own.start_to_ready),
            own: Some(own),
            alone: is_empty && options.phase != Phase::Lookup,
            _folder: folder,
            notes,
        })
    }

    fn cpu_seconds(&self) -> Option<f64> {
        cpu_seconds(self.pid?)
    }
}

async fn run_one(
    options: &RunOptions,
    subject: &Subject,
    recording: Option<Arc<Recording>>,
    clock: &dyn Clock,
    run: u32,
) -> Result<RunReport, String> {
    // Each run sends traces of its own: several may go to one server.
    let seed = options.seed.wrapping_add(u64::from(run - 1));
    let source = Arc::new(source(options, recording, seed, clock.now_micros()));
    let mut notes = subject.notes.clone();
    let load = match options.phase {
        Phase::Lookup => None,
        Phase::Both | Phase::Load => Some(measured_load(options, subject, source.clone(), &mut notes).await?),
    };
    let lookup = match options.phase {
        Phase::Load => None,
        Phase::Both | Phase::Lookup => {
            let lookup = look_up(&subject.target, &source, options.lookup_api, options.lookups, seed).await?;
            note_mismatches(&lookup, &mut notes);
            Some(lookup)
        }
    };
    let search = match options.phase {
        Phase::Both | Phase::Lookup if options.searches > 0 => {
            let search_options = search_options(options, subject, &source, clock.now_micros(), seed);
            let search = search(&subject.target, &source, search_options).await?;
            note_skipped_and_wrong(&search, options.phase, &mut notes);
            Some(search)
        }
        _ => None,
    };
    Ok(RunReport {
        run,
        seed,
        source: options.replay.as_ref().map_or("generated".to_owned(), |folder| folder.display().to_string()),
        traces: source.traces(),
        spans: source.spans(),
        start_to_ready_milliseconds: subject.start_to_ready.map(|time| time.as_secs_f64() * 1000.0),
        load,
        lookup,
        search,
        peak_memory_bytes: subject.pid.and_then(peak_memory),
        notes,
    })
}

/// The load's last trace starts about now.
fn source(options: &RunOptions, recording: Option<Arc<Recording>>, seed: u64, now: i64) -> Source {
    let rate = options.rate.max(1);
    match recording {
        Some(recording) => Source::replayed(recording, seed, options.spans, now, rate),
        None => {
            let length = (options.spans as f64 / f64::from(rate) * 1e6) as i64;
            // Arrivals are spread over a second, and some traces last a few.
            let first_start = now - length - 2_000_000;
            let generated = generate::Options {
                seed,
                wide_ids: options.wide_ids,
                shared_spans: options.shared_spans,
                first_start,
                rate,
            };
            Source::generated(Generator::new(generated), options.spans)
        }
    }
}

/// The window reaches from a day before its end, or from the oldest trace that is sent, to a minute after the start of the
/// newest: its spans start later.
fn search_options(options: &RunOptions, subject: &Subject, source: &Source, now: i64, seed: u64) -> SearchOptions {
    let end_ts = now.max(source.latest_start()) / 1_000 + 60_000;
    SearchOptions {
        searches: options.searches,
        seed,
        end_ts,
        lookback: DAY.max(end_ts - source.oldest_start().div_euclid(1_000)),
        alone: subject.alone,
        timed: options.phase == Phase::Both,
    }
}

async fn measured_load(
    options: &RunOptions,
    subject: &Subject,
    source: Arc<Source>,
    notes: &mut Vec<String>,
) -> Result<LoadReport, String> {
    let own_pid = std::process::id();
    let mut admin = Connection::new(subject.target.clone());
    // So that a wrong address is told as such, before anything is measured.
    admin.get("/health").await?;
    let disk_before = subject.table.as_deref().map(disk_use);
    let (server_before, client_before) = (subject.cpu_seconds(), cpu_seconds(own_pid));
    let loaded = load(&subject.target, source, options.load).await?;
    let client_after = cpu_seconds(own_pid);
    let flush_milliseconds =
        admin_post(&mut admin, "/admin/flush", "what it commits later is not in its CPU seconds", notes).await?;
    let server_committed = subject.cpu_seconds();
    admin_post(&mut admin, "/admin/compact", "its files are as the load left them", notes).await?;
    let disk = match (&subject.table, disk_before) {
        (Some(table), Some(before)) => {
            let (disk, settled) = settled_disk_use(table, SETTLE_LIMIT).await;
            if !settled {
                notes.push(format!("the table's folder was still changing after {} s", SETTLE_LIMIT.as_secs()));
            }
            if disk == DiskUse::default() {
                notes.push(format!("nothing lies in {}: is it the server's data folder?", table.display()));
            }
            Some(disk.since(&before))
        }
        _ => None,
    };
    let server_settled = subject.cpu_seconds();
    let used = |before: Option<f64>, after: Option<f64>| Some((after? - before?).max(0.0));
    let server_cpu = used(server_before, server_committed);
    let client_cpu = used(client_before, client_after);
    Ok(load_report(
        options,
        &loaded,
        flush_milliseconds,
        disk,
        server_cpu,
        used(server_committed, server_settled),
        client_cpu,
    ))
}

fn load_report(
    options: &RunOptions,
    loaded: &Loaded,
    flush_milliseconds: Option<f64>,
    disk: Option<DiskUse>,
    server_cpu_seconds: Option<f64>,
    settle_cpu_seconds: Option<f64>,
    client_cpu_seconds: Option<f64>,
) -> LoadReport {
    let spans = loaded.spans.max(1) as f64;
    LoadReport {
        format: options.load.format.name(),
        gzip: options.load.gzip,
        connections: options.load.connections,
        batch: options.load.batch,
        spans: loaded.spans,
        requests: loaded.requests,
        seconds: loaded.seconds,
        spans_per_second: loaded.spans as f64 / loaded.seconds.max(1e-9),
        acknowledgement_milliseconds: loaded.acknowledgement,
        refusals: loaded.refusals,
        raw_bytes_per_span: loaded.raw_bytes as f64 / spans,
        sent_bytes_per_span: loaded.sent_bytes as f64 / spans,
        flush_milliseconds,
        server_cpu_seconds,
        // Less than the kernel's tick is nothing that could be divided by.
        spans_per_server_cpu_second: server_cpu_seconds.filter(|&cpu| cpu > 0.0).map(|cpu| loaded.spans as f64 / cpu),
        settle_cpu_seconds,
        client_cpu_seconds,
        client_cpu_micros_per_span: client_cpu_seconds.map(|cpu| cpu * 1e6 / spans),
        disk,
        bytes_per_span: disk.map(|disk| disk.bytes as f64 / spans),
    }
}

/// Asks the server for something that others than Spanlake may not have; `without` says what its absence means. Returns
/// how many milliseconds it took.
async fn admin_post(
    admin: &mut Connection,
    path: &str,
    without: &str,
    notes: &mut Vec<String>,
) -> Result<Option<f64>, String> {
    let start = moment();
    let answer = admin.post(path, None).await?;
    match answer.status {
        status if status.is_success() => Ok(Some(f64::from(micros_since(start)) / 1000.0)),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            notes.push(format!("the server has no {path}: {without}"));
            Ok(None)
        }
        status => Err(format!("POST {path} was answered {status}: {}", answer.excerpt())),
    }
}

fn note_mismatches(lookup: &LookupReport, notes: &mut Vec<String>) {
    if lookup.mismatches > 0 {
        notes.push(
            "answers differ from what was sent: on a server that keeps older loads give each load a --seed of its own"
                .to_owned(),
        );
    }
}

fn note_skipped_and_wrong(search: &SearchReport, phase: Phase, notes: &mut Vec<String>) {
    for kind in &search.skipped {
        let why = if *kind == Kind::RareTag.name() {
            "a recording's tags come again in each round"
        } else {
            "nothing to ask for was sent"
        };
        notes.push(format!("no searches of the kind {kind:?}: {why}"));
    }
    if search.mismatches() > 0 && phase == Phase::Lookup {
        notes.push("searches look back a day: what was loaded before that is not found".to_owned());
    }
}
