//! SQL over a data folder: through the library where the store's moments matter, through the real binary for what a
//! person or a program sees.

mod answers;
mod command;
mod damage;
mod duplicates;
mod events;

use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use futures::StreamExt;
use spanlake::clock::ManualClock;
use spanlake::codec::stored;
use spanlake::error::Result;
use spanlake::fs::{Fs, RealFs};
use spanlake::model::{Annotation, Endpoint, Kind, Scope, Span, TraceId};
use spanlake::query::sql::{Engine, SqlOptions, parse};
use spanlake::store::{EncodedBatch, Store, StoreConfig};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// 2026-11-22 12:00 UTC in microseconds.
const NOON: i64 = 1_795_348_800_000_000;
const DAY: i64 = 86_400_000_000;

/// A data folder with its store, whose flushes are the test's.
struct Lake {
    folder: TempDir,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
}

impl Lake {
    async fn new() -> Lake {
        Lake::with(|_| {}).await
    }

    async fn with(settings: impl FnOnce(&mut StoreConfig)) -> Lake {
        let folder = tempfile::tempdir().unwrap();
        let mut config = StoreConfig::new(folder.path().join("data"));
        config.background = false;
        config.reserve_bytes = 0;
        config.compact_files = 1_000;
        settings(&mut config);
        let clock = Arc::new(ManualClock::new(NOON));
        let store = Store::open(config, Arc::new(RealFs), clock.clone()).await.unwrap();
        Lake { folder, store, clock }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    async fn post(&self, spans: &[Span<'_>]) {
        self.post_as(scope("default"), spans).await;
    }

    async fn post_as(&self, scope: Scope<'_>, spans: &[Span<'_>]) {
        use spanlake::clock::Clock;
        let bytes = stored::encode(&scope, self.clock.now_micros(), spans);
        self.store.append(EncodedBatch::index(bytes.into()).unwrap()).await.unwrap();
    }

    async fn flush(&self) {
        self.store.flush().await.unwrap();
    }

    fn data_files(&self) -> Vec<PathBuf> {
        self.store.snapshot().files.iter().map(|file| file.path().to_owned()).collect()
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        self.try_rows(sql, false).await.unwrap().0
    }

    /// The answer's rows, cells parted by `|`, and its notes.
    async fn try_rows(&self, sql: &str, table_only: bool) -> Result<(Vec<String>, Vec<String>)> {
        ask(Arc::new(RealFs), &self.data(), sql, table_only).await
    }
}

async fn ask(fs: Arc<dyn Fs>, data: &Path, sql: &str, table_only: bool) -> Result<(Vec<String>, Vec<String>)> {
    let engine = Engine::new(fs, data, SqlOptions { table_only, ..SqlOptions::default() })?;
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    for statement in parse(sql)? {
        let mut answer = engine.run(&statement).await?;
        while let Some(batch) = answer.rows.next().await {
            rows.extend(texts(&batch?));
        }
        notes.extend(answer.notes.take());
    }
    Ok((rows, notes))
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    let cell = |column: usize, row: usize| array_value_to_string(batch.column(column), row).unwrap();
    (0..batch.num_rows())
        .map(|row| (0..batch.num_columns()).map(|column| cell(column, row)).collect::<Vec<_>>().join("|"))
        .collect()
}

fn scope(project: &str) -> Scope<'_> {
    Scope { project: project.into(), cluster_id: None, namespace: None }
}

/// A span of a service, a millisecond after noon for each unit of its id.
fn span(trace: u64, id: u64) -> Span<'static> {
    let mut span = Span::new(TraceId::narrow(trace), id);
    span.timestamp = Some(NOON + id as i64 * 1_000);
    span.duration = Some(500);
    span.name = Some("get".into());
    span.kind = Some(Kind::Server);
    span.local = Some(Endpoint { service: Some("shop".into()), ..Endpoint::default() });
    span.tags = vec![("http.method".into(), "GET".into()), ("user".into(), "u1".into())];
    span
}

/// Three spans of one trace: a root, a failed call and its server's half, which shares the id and began first.
fn small_trace() -> Vec<Span<'static>> {
    let mut root = span(16, 1);
    root.duration = Some(9_000);
    root.annotations = vec![
        Annotation { timestamp: NOON + 2_000, value: "first".into() },
        Annotation { timestamp: NOON + 3_000, value: "second".into() },
    ];
    let mut client = span(16, 2);
    client.parent_id = Some(1);
    client.kind = Some(Kind::Client);
    client.name = Some("call".into());
    client.duration = None;
    client.tags = vec![("error".into(), "".into()), ("zone".into(), "z".into())];
    let mut server = client.clone();
    server.kind = Some(Kind::Server);
    server.shared = Some(true);
    server.local = Some(Endpoint { service: Some("stock".into()), ..Endpoint::default() });
    server.duration = Some(20_000);
    server.tags = Vec::new();
    vec![root, client, server]
}
