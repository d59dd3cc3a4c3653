//! The one table of settings. The command line, the environment, the file, `--help` and `spanlake config` all come from
//! it; a setting that is added here is known everywhere.

use super::values::{count, duration, size, yes_or_no};
use super::{Config, Projects};

/// What a value is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Text,
    /// `HOST:PORT`.
    Address,
    Path,
    Size,
    Duration,
    Count,
    YesNo,
}

impl Form {
    /// How `--help` names a value of the form.
    pub const fn value_name(self) -> &'static str {
        match self {
            Form::Text => "TEXT",
            Form::Address => "HOST:PORT",
            Form::Path => "DIR",
            Form::Size => "SIZE",
            Form::Duration => "DURATION",
            Form::Count => "N",
            Form::YesNo => "true|false",
        }
    }
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The key in the file, dots between section and name. The environment's name is the same in upper case behind
    /// `SPANLAKE_` (`SPANLAKE_INGEST_MAX_SPANS`).
    pub key: &'static str,
    /// The flag without the dashes in front: the key with dashes.
    pub flag: &'static str,
    pub form: Form,
    /// As it would be written in the file.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// An environment name of another product that means the same; the setting's own name wins.
    pub also_env: Option<&'static str>,
    /// Whether the value is hidden wherever settings are shown.
    pub secret: bool,
    /// Reads the text and keeps the value; the error says what was expected.
    pub keep: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// `SPANLAKE_INGEST_MAX_SPANS`.
    pub fn env(&self) -> String {
        format!("SPANLAKE_{}", self.key.replace('.', "_").to_ascii_uppercase())
    }
}

/// The largest size that is taken for a buffer: what a 32-bit length in the log can carry.
const BUFFER: u64 = 1 << 30;

const fn setting(
    key: &'static str,
    flag: &'static str,
    form: Form,
    default: &'static str,
    help: &'static str,
    keep: fn(&mut Config, &str) -> Result<(), String>,
) -> Setting {
    Setting { key, flag, form, default, help, also_env: None, secret: false, keep }
}

/// Reads with one of the readers of [`super::values`] and keeps the value in a field.
macro_rules! keep {
    ($($field:ident).+, $reader:expr) => {
        |config: &mut Config, text: &str| {
            let read: fn(&str) -> Result<_, String> = $reader;
            config.$($field).+ = read(text)?;
            Ok(())
        }
    };
}

/// All settings, in the order in which they are shown; a section's stand together.
pub static SETTINGS: &[Setting] = &[
    setting(
        "listen",
        "listen",
        Form::Address,
        "127.0.0.1:9411",
        "Where to listen; port 0 takes any free one",
        keep!(listen, address),
    ),
    setting(
        "data",
        "data",
        Form::Path,
        "./spanlake-data",
        "The folder that keeps everything; one server at a time",
        keep!(data, |text| if text.is_empty() { Err("expected a folder".to_owned()) } else { Ok(text.into()) }),
    ),
    setting(
        "projects",
        "projects",
        Form::Text,
        "single",
        "What a project id in a path or header means: a name for the one project that there is (single), or a wall \
         between projects (isolated)",
        keep!(projects, |text| match text {
            "single" => Ok(Projects::Single),
            "isolated" => Ok(Projects::Isolated),
            _ => Err("expected single or isolated".to_owned()),
        }),
    ),
    setting(
        "log",
        "log",
        Form::Text,
        "info",
        "What is logged to standard error: error, warn, info, debug, trace, off, or a filter such as \
         info,spanlake::lake=debug",
        keep!(log, log_filter),
    ),
    setting(
        "shutdown_timeout",
        "shutdown-timeout",
        Form::Duration,
        "10s",
        "How long a stopping server waits for requests that are under way",
        keep!(shutdown_timeout, duration),
    ),
    setting(
        "server.header_timeout",
        "server-header-timeout",
        Form::Duration,
        "30s",
        "How long a connection may take over a request's head, or stay open with nothing under way",
        keep!(server.header_timeout, positive_duration),
    ),
    setting(
        "server.body_timeout",
        "server-body-timeout",
        Form::Duration,
        "30s",
        "How long a request's body may take to arrive, and how long a client may take nothing of its answers",
        keep!(server.body_timeout, positive_duration),
    ),
    setting(
        "server.max_connections",
        "server-max-connections",
        Form::Count,
        "4096",
        "How many connections are served at a time; one more is answered 503",
        keep!(server.max_connections, |text| count(text, 1..=1_000_000).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_body_bytes",
        "ingest-max-body-bytes",
        Form::Size,
        "10MiB",
        "The largest request body as sent, compressed or not; a larger one is answered 413",
        keep!(ingest.max_body_bytes, |text| size(text, 1..=BUFFER).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_decompressed_bytes",
        "ingest-max-decompressed-bytes",
        Form::Size,
        "64MiB",
        "The largest request body after decompression; a larger one is answered 413",
        keep!(ingest.max_decompressed_bytes, |text| size(text, 1..=BUFFER).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_inflight_bytes",
        "ingest-max-inflight-bytes",
        Form::Size,
        "64MiB",
        "How many bytes of request bodies are handled at a time; above that requests are answered 503 (one request \
         alone always passes)",
        keep!(ingest.max_inflight_bytes, |text| size(text, 1..=1 << 40).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_spans",
        "ingest-max-spans",
        Form::Count,
        "100000",
        "How many spans a request may hold",
        keep!(ingest.max_spans, |text| count(text, 1..=100_000_000).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_entries",
        "ingest-max-entries",
        Form::Count,
        "1000000",
        "How many annotations and tags a request may hold, all its spans together",
        keep!(ingest.max_entries, |text| count(text, 1..=100_000_000).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_span_entries",
        "ingest-max-span-entries",
        Form::Count,
        "100000",
        "How many annotations and tags a span may hold",
        keep!(ingest.max_span_entries, |text| count(text, 1..=100_000_000).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_depth",
        "ingest-max-depth",
        Form::Count,
        "32",
        "How deep a request's JSON may nest",
        keep!(ingest.max_depth, |text| count(text, 4..=100).map(|n| n as usize)),
    ),
    setting(
        "ingest.max_tag_bytes",
        "ingest-max-tag-bytes",
        Form::Size,
        "1MiB",
        "The longest value of a tag; a longer one is cut, and its length kept",
        keep!(ingest.max_tag_bytes, |text| size(text, 16..=BUFFER).map(|n| n as usize)),
    ),
    setting(
        "flush.bytes",
        "flush-bytes",
        Form::Size,
        "64MiB",
        "How much memory spans may take before they are written to the table",
        keep!(flush.bytes, |text| size(text, 1 << 10..=1 << 40).map(|n| n as usize)),
    ),
    setting(
        "flush.interval",
        "flush-interval",
        Form::Duration,
        "30s",
        "How long a span may stay in memory and log before it is written to the table",
        keep!(flush.interval, positive_duration),
    ),
    setting(
        "wal.segment_bytes",
        "wal-segment-bytes",
        Form::Size,
        "32MiB",
        "The size of one file of the write-ahead log",
        keep!(wal.segment_bytes, |text| size(text, 64 << 10..=1 << 40)),
    ),
    setting(
        "lake.removed_file_retention",
        "lake-removed-file-retention",
        Form::Duration,
        "10m",
        "How long files that compaction replaced stay for readers that are still at them",
        keep!(lake.removed_file_retention, duration),
    ),
    setting(
        "lake.compact_files",
        "lake-compact-files",
        Form::Count,
        "8",
        "How many files of a day are merged into one",
        keep!(lake.compact_files, |text| count(text, 2..=1_000).map(|n| n as usize)),
    ),
    Setting {
        also_env: Some("STRICT_TRACE_ID"),
        ..setting(
            "zipkin.strict_trace_id",
            "zipkin-strict-trace-id",
            Form::YesNo,
            "true",
            "Whether Zipkin's API tells 64-bit and 128-bit trace ids apart; false answers all spans whose right 16 \
             digits are equal",
            keep!(zipkin.strict_trace_id, yes_or_no),
        )
    },
    setting(
        "ats.miss_is_error",
        "ats-miss-is-error",
        Form::YesNo,
        "false",
        "Whether the ATS API answers HTTP 400 instead of 200 where no span was found",
        keep!(ats.miss_is_error, yes_or_no),
    ),
];

/// A duration of more than nothing.
fn positive_duration(text: &str) -> Result<std::time::Duration, String> {
    match duration(text) {
        Ok(zero) if zero.is_zero() => Err("expected a duration of more than nothing, such as 30s".to_owned()),
        read => read,
    }
}

fn address(text: &str) -> Result<String, String> {
    let expected = || "expected HOST:PORT, such as 127.0.0.1:9411, or [::1]:9411".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
    let is_host = !host.is_empty() && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
    if !is_host || port.parse::<u16>().is_err() {
        return Err(expected());
    }
    Ok(text.to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => {
            Err("expected error, warn, info, debug, trace or off, or a filter such as info,spanlake::lake=debug"
                .to_owned())
        }
    }
}
