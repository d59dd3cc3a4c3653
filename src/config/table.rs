//! The one table of settings. The command line, the environment, the file, `--help` and `spanlake config` all come from
//! it; a setting that is added here is known everywhere.

use super::another::{as_is, boolean, millis, port, seconds};
use super::secrets::{credentials, password, tokens};
use super::setting::{Form, Setting, also, setting};
use super::values::{
    address, context_margin, count, duration, list, log_filter, origins, positive_duration, rate, size, text,
    utc_offset, yes_or_no,
};
use super::{Config, Projects};

/// The largest size that is taken for a buffer: what a 32-bit length in the log can carry.
const BUFFER: u64 = 1 << 30;

/// Hosts that signatures are tried with: each takes a digest of the request.
const MOST_HOSTS: usize = 8;

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
    Setting {
        also_env: &[also("QUERY_PORT", port)],
        ..setting(
            "listen",
            "listen",
            Form::Address,
            "127.0.0.1:9411",
            "Where to listen; port 0 takes any free one",
            keep!(listen, address),
        )
    },
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
    Setting {
        also_env: &[also("ZIPKIN_QUERY_ALLOWED_ORIGINS", as_is), also("ZIPKIN_QUERY_ALLOWEDORIGINS", as_is)],
        ..setting(
            "server.allowed_origins",
            "server-allowed-origins",
            Form::List,
            "*",
            "The sites whose pages may use the API from a browser (CORS), such as https://zipkin.example.com; * is any, \
             nothing is none",
            keep!(server.allowed_origins, origins),
        )
    },
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
        "events.max_events",
        "events-max-events",
        Form::Count,
        "100000",
        "How many service events a request may hold",
        keep!(events.max_events, |text| count(text, 1..=100_000_000).map(|n| n as usize)),
    ),
    setting(
        "events.max_values",
        "events-max-values",
        Form::Count,
        "10000",
        "How many values that are read a service event may hold",
        keep!(events.max_values, |text| count(text, 100..=1_000_000).map(|n| n as usize)),
    ),
    setting(
        "events.max_depth",
        "events-max-depth",
        Form::Count,
        "32",
        "How deep a request of service events may nest",
        keep!(events.max_depth, |text| count(text, 8..=100).map(|n| n as usize)),
    ),
    setting(
        "events.max_name_bytes",
        "events-max-name-bytes",
        Form::Size,
        "4KiB",
        "The longest text of a service event but its message; a longer one is refused",
        keep!(events.max_name_bytes, |text| size(text, 256..=1 << 20).map(|n| n as usize)),
    ),
    setting(
        "events.max_message_bytes",
        "events-max-message-bytes",
        Form::Size,
        "64KiB",
        "The longest message of a service event; a longer one is cut",
        keep!(events.max_message_bytes, |text| size(text, 16..=BUFFER).map(|n| n as usize)),
    ),
    setting(
        "events.max_decoded_bytes",
        "events-max-decoded-bytes",
        Form::Size,
        "64MiB",
        "How many bytes the texts of a request's service events may have together once they are decoded",
        keep!(events.max_decoded_bytes, |text| size(text, 64 << 10..=BUFFER).map(|n| n as usize)),
    ),
    setting(
        "events.context_margin",
        "events-context-margin",
        Form::Duration,
        "10m",
        "How long before a trace the events of its services belong to its context",
        keep!(events.context_margin, context_margin),
    ),
    setting(
        "events.retention",
        "events-retention",
        Form::Duration,
        "30d",
        "How long service events are kept after the day that they were last seen in, by whole days of data; 0 is for ever",
        keep!(events.retention, duration),
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
        also_env: &[also("QUERY_TIMEOUT", millis)],
        ..setting(
            "query.timeout",
            "query-timeout",
            Form::Duration,
            "11s",
            "How long a query may take until its answer is complete; a trace that has begun to be sent is not cut off. 0s is for ever",
            keep!(query.timeout, duration),
        )
    },
    setting(
        "query.max_limit",
        "query-max-limit",
        Form::Count,
        "10000",
        "How many traces a search may ask for; more is answered 400",
        keep!(query.max_limit, |text| count(text, 1..=1_000_000_000).map(|n| n as usize)),
    ),
    Setting {
        also_env: &[also("QUERY_LOOKBACK", millis)],
        ..setting(
            "query.lookback",
            "query-lookback",
            Form::Duration,
            "1d",
            "How far a search and the graph of services look back where the request does not say",
            keep!(query.lookback, positive_duration),
        )
    },
    Setting {
        also_env: &[also("STRICT_TRACE_ID", boolean)],
        ..setting(
            "zipkin.strict_trace_id",
            "zipkin-strict-trace-id",
            Form::YesNo,
            "true",
            "Whether Zipkin's API tells 64-bit and 128-bit trace ids apart; false answers all spans whose right 16 digits are equal",
            keep!(zipkin.strict_trace_id, yes_or_no),
        )
    },
    Setting {
        also_env: &[also("SEARCH_ENABLED", boolean)],
        ..setting(
            "zipkin.search_enabled",
            "zipkin-search-enabled",
            Form::YesNo,
            "true",
            "Whether Zipkin's API searches and tells names; false leaves traces by their ids, and the graph of services",
            keep!(zipkin.search_enabled, yes_or_no),
        )
    },
    Setting {
        also_env: &[also("AUTOCOMPLETE_KEYS", as_is)],
        ..setting(
            "zipkin.autocomplete_keys",
            "zipkin-autocomplete-keys",
            Form::List,
            "",
            "The tags whose values Zipkin's API tells, for a UI to offer",
            keep!(zipkin.autocomplete_keys, |text| list(text, 100)),
        )
    },
    Setting {
        also_env: &[
            also("QUERY_NAMES_MAX_AGE", seconds),
            also("ZIPKIN_QUERY_NAMES_MAX_AGE", seconds),
            also("ZIPKIN_QUERY_NAMESMAXAGE", seconds),
        ],
        ..setting(
            "zipkin.names_max_age",
            "zipkin-names-max-age",
            Form::Duration,
            "5m",
            "How long browsers may keep the names that Zipkin's API tells, once there are more than three services",
            keep!(zipkin.names_max_age, duration),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_ENVIRONMENT", as_is)],
        ..setting(
            "zipkin_ui.environment",
            "zipkin-ui-environment",
            Form::Text,
            "",
            "What Zipkin's UI shows in its corner, to tell servers apart",
            keep!(zipkin_ui.environment, text),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_QUERY_LIMIT", as_is), also("ZIPKIN_UI_QUERYLIMIT", as_is)],
        ..setting(
            "zipkin_ui.query_limit",
            "zipkin-ui-query-limit",
            Form::Count,
            "10",
            "How many traces Zipkin's UI asks for at first",
            keep!(zipkin_ui.query_limit, |text| count(text, 1..=1_000_000)),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_DEFAULT_LOOKBACK", millis), also("ZIPKIN_UI_DEFAULTLOOKBACK", millis)],
        ..setting(
            "zipkin_ui.default_lookback",
            "zipkin-ui-default-lookback",
            Form::Duration,
            "15m",
            "How far Zipkin's UI looks back at first",
            keep!(zipkin_ui.default_lookback, positive_duration),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_LOGS_URL", as_is), also("ZIPKIN_UI_LOGSURL", as_is)],
        ..setting(
            "zipkin_ui.logs_url",
            "zipkin-ui-logs-url",
            Form::Text,
            "",
            "Where Zipkin's UI finds the logs of a trace; {traceId} stands for its id",
            keep!(zipkin_ui.logs_url, text),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_SUPPORT_URL", as_is), also("ZIPKIN_UI_SUPPORTURL", as_is)],
        ..setting(
            "zipkin_ui.support_url",
            "zipkin-ui-support-url",
            Form::Text,
            "",
            "Where Zipkin's UI sends people who need help",
            keep!(zipkin_ui.support_url, text),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_ARCHIVE_POST_URL", as_is), also("ZIPKIN_UI_ARCHIVEPOSTURL", as_is)],
        ..setting(
            "zipkin_ui.archive_post_url",
            "zipkin-ui-archive-post-url",
            Form::Text,
            "",
            "Where Zipkin's UI posts a trace that is to be kept",
            keep!(zipkin_ui.archive_post_url, text),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_ARCHIVE_URL", as_is), also("ZIPKIN_UI_ARCHIVEURL", as_is)],
        ..setting(
            "zipkin_ui.archive_url",
            "zipkin-ui-archive-url",
            Form::Text,
            "",
            "Where Zipkin's UI finds a trace that was kept; {traceId} stands for its id",
            keep!(zipkin_ui.archive_url, text),
        )
    },
    Setting {
        also_env: &[also("ZIPKIN_UI_DEPENDENCY_ENABLED", boolean)],
        ..setting(
            "zipkin_ui.dependency_enabled",
            "zipkin-ui-dependency-enabled",
            Form::YesNo,
            "true",
            "Whether Zipkin's UI shows the graph of services",
            keep!(zipkin_ui.dependency_enabled, yes_or_no),
        )
    },
    Setting {
        also_env: &[
            also("ZIPKIN_UI_DEPENDENCY_LOW_ERROR_RATE", as_is),
            also("ZIPKIN_UI_DEPENDENCY_LOWERRORRATE", as_is),
        ],
        ..setting(
            "zipkin_ui.dependency_low_error_rate",
            "zipkin-ui-dependency-low-error-rate",
            Form::Rate,
            "0.5",
            "From which rate of errors on Zipkin's UI shows a link in yellow; above 1 is never",
            keep!(zipkin_ui.dependency_low_error_rate, rate),
        )
    },
    Setting {
        also_env: &[
            also("ZIPKIN_UI_DEPENDENCY_HIGH_ERROR_RATE", as_is),
            also("ZIPKIN_UI_DEPENDENCY_HIGHERRORRATE", as_is),
        ],
        ..setting(
            "zipkin_ui.dependency_high_error_rate",
            "zipkin-ui-dependency-high-error-rate",
            Form::Rate,
            "0.75",
            "From which rate of errors on Zipkin's UI shows a link in red; above 1 is never",
            keep!(zipkin_ui.dependency_high_error_rate, rate),
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
    Setting {
        secret: true,
        ..setting(
            "auth.credentials",
            "auth-credentials",
            Form::List,
            "",
            "Keys that requests may be signed with, each as ID:SECRET (Huawei's AK and SK, Alibaba's AccessKey, \
             Tencent's SecretId and SecretKey); any, or a token or password below, closes the ATS, ServiceComb, kie, \
             SAE and CCS APIs to everybody else. Other users of the machine see flags: write secrets into the \
             environment or the file",
            keep!(auth.credentials, credentials),
        )
    },
    Setting {
        secret: true,
        ..setting(
            "auth.tokens",
            "auth-tokens",
            Form::List,
            "",
            "Values of the header X-Auth-Token that are let in",
            keep!(auth.tokens, tokens),
        )
    },
    Setting {
        also_env: &[also("SC_INIT_ROOT_PASSWORD", as_is)],
        secret: true,
        ..setting(
            "auth.root_password",
            "auth-root-password",
            Form::Text,
            "",
            "The first password of the account root; one switches accounts and their tokens (/v4/token) on",
            keep!(auth.root_password, password),
        )
    },
    setting(
        "auth.clock_skew",
        "auth-clock-skew",
        Form::Duration,
        "15m",
        "How far the date of a signed request may be from the server's clock",
        keep!(auth.clock_skew, positive_duration),
    ),
    Setting {
        secret: true,
        ..setting(
            "registry.url",
            "registry-url",
            Form::Text,
            "",
            "The database of services and configuration items: postgres://user:password@host:port/database, or nothing \
             for SQLite in the data folder",
            keep!(registry.url, text),
        )
    },
    setting(
        "registry.max_services",
        "registry-max-services",
        Form::Count,
        "50000",
        "How many services, each version counted, may be registered",
        keep!(registry.max_services, |text| count(text, 1..=1_000_000).map(|n| n as usize)),
    ),
    setting(
        "registry.max_instances",
        "registry-max-instances",
        Form::Count,
        "150000",
        "How many instances may be registered",
        keep!(registry.max_instances, |text| count(text, 1..=5_000_000).map(|n| n as usize)),
    ),
    setting(
        "registry.max_bytes",
        "registry-max-bytes",
        Form::Size,
        "512MiB",
        "How much services and instances may take in memory, about",
        keep!(registry.max_bytes, |text| size(text, 1 << 20..=1 << 40).map(|n| n as usize)),
    ),
    setting(
        "registry.max_schemas",
        "registry-max-schemas",
        Form::Count,
        "100",
        "How many contracts a service may have",
        keep!(registry.max_schemas, |text| count(text, 1..=10_000).map(|n| n as usize)),
    ),
    setting(
        "registry.max_tags",
        "registry-max-tags",
        Form::Count,
        "100",
        "How many tags a service may have",
        keep!(registry.max_tags, |text| count(text, 1..=10_000).map(|n| n as usize)),
    ),
    setting(
        "sae.default_format",
        "sae-default-format",
        Form::Text,
        "json",
        "The form of the application service API's answers where a client accepts anything: json or xml",
        keep!(sae.default_xml, |text| match text {
            "json" => Ok(false),
            "xml" => Ok(true),
            _ => Err("expected json or xml".to_owned()),
        }),
    ),
    setting(
        "kie.max_items",
        "kie-max-items",
        Form::Count,
        "10000",
        "How many configuration items there may be",
        keep!(kie.max_items, |text| count(text, 1..=1_000_000).map(|n| n as usize)),
    ),
    setting(
        "kie.max_bytes",
        "kie-max-bytes",
        Form::Size,
        "64MiB",
        "How long the values of all configuration items may be together",
        keep!(kie.max_bytes, |text| size(text, 1..=1 << 40)),
    ),
    setting(
        "kie.max_waiting",
        "kie-max-waiting",
        Form::Count,
        "2000",
        "How many requests may wait for configuration items to change; one more is answered 429",
        keep!(kie.max_waiting, |text| count(text, 0..=1_000_000).map(|n| n as usize)),
    ),
    setting(
        "ccs.utc_offset",
        "ccs-utc-offset",
        Form::Text,
        "+08:00",
        "How far the times in the container service API's answers are from UTC, such as +08:00, -03:30 or Z",
        keep!(ccs.utc_offset, utc_offset),
    ),
    setting(
        "ccs.hosts",
        "ccs-hosts",
        Form::List,
        "ccs.api.qcloud.com",
        "Hosts, with their ports where they have one, that requests to the container service API may be signed for \
         beside the one that they are sent to",
        keep!(ccs.hosts, |text| list(text, MOST_HOSTS)),
    ),
];
