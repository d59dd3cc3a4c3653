//! SQL over a data folder: through the library where the store's moments matter, through the real binary for what a
//! person or a program sees.

use crate::support::server::{output, spanlake};
use arrow::array::RecordBatch;
use arrow::util::display::array_value_to_string;
use futures::StreamExt;
use spanlake::clock::ManualClock;
use spanlake::codec::stored;
use spanlake::error::{ErrorKind, Result};
use spanlake::fs::{Entry, File, Fs, OpenMode, RealFs};
use spanlake::lake::Table;
use spanlake::lake::schema::{SORT_COLUMNS, TABLE_SCHEMA, VERSION};
use spanlake::model::{Annotation, Endpoint, Kind, Scope, Span, TraceId};
use spanlake::query::sql::{Engine, SqlOptions, parse};
use spanlake::store::{EncodedBatch, Store, StoreConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
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

#[tokio::test]
async fn what_is_only_in_the_log_is_seen_unless_the_table_alone_is_asked_for() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(1, 2)]).await;
    lake.flush().await;
    lake.post(&[span(2, 3)]).await;
    let sql = "select span_id, day from spans order by 1";
    let all = ["0000000000000001|2026-11-22", "0000000000000002|2026-11-22", "0000000000000003|2026-11-22"];
    assert_eq!(lake.rows(sql).await, all);
    assert_eq!(lake.try_rows(sql, true).await.unwrap().0, all[..2]);
    // After the server's end the log is as it was.
    drop(lake.store);
    assert_eq!(ask(Arc::new(RealFs), &lake.folder.path().join("data"), sql, false).await.unwrap().0, all);
}

#[tokio::test]
async fn a_row_that_lies_in_two_files_is_one_row_in_every_answer() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(1, 2), span(2, 3)]).await;
    lake.flush().await;
    let mut retagged = span(1, 1);
    retagged.tags[1].1 = "u2".into();
    lake.post(&[span(1, 2), span(2, 3), retagged, span(3, 4)]).await;
    lake.flush().await;
    lake.post(&[span(2, 3), span(1, 5)]).await;
    lake.flush().await;
    assert_eq!(lake.data_files().len(), 3);

    assert_eq!(lake.rows("select count(*) from spans").await, ["6"]);
    assert_eq!(lake.rows("select count(*) from spans where duration = 500").await, ["6"]);
    assert_eq!(
        lake.rows("select trace_id, span_id, tags['user'] from spans order by 1, 2, 3").await,
        [
            "0000000000000001|0000000000000001|u1",
            "0000000000000001|0000000000000001|u2",
            "0000000000000001|0000000000000002|u1",
            "0000000000000001|0000000000000005|u1",
            "0000000000000002|0000000000000003|u1",
            "0000000000000003|0000000000000004|u1",
        ]
    );
    assert_eq!(
        lake.rows("select trace_id, span_count from traces order by 1").await,
        ["0000000000000001|4", "0000000000000002|1", "0000000000000003|1"]
    );
    assert_eq!(lake.rows("select count(*) from tags").await, ["12"]);
    // A trace asked for by its id is read another way.
    assert_eq!(lake.rows("select count(*) from spans where trace_id = '0000000000000002'").await, ["1"]);
    // The same table twice in one statement.
    assert_eq!(lake.rows("select count(*) from spans a join spans b on a.span_id = b.span_id").await, ["8"]);
}

#[tokio::test]
async fn a_row_in_a_file_and_in_the_log_or_twice_in_the_log_is_one_row() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(2, 2)]).await;
    lake.flush().await;
    lake.post(&[span(1, 1), span(3, 3)]).await;
    lake.post(&[span(3, 3), span(3, 4)]).await;
    lake.clock.advance(5);
    lake.post(&[span(3, 4)]).await;
    assert_eq!(lake.rows("select count(*), count(distinct span_id) from spans").await, ["4|4"]);
    for (trace, count) in [(1, "1"), (2, "1"), (3, "2")] {
        let sql = format!("select count(*) from spans where trace_low = {trace}");
        assert_eq!(lake.rows(&sql).await, [count], "{trace}");
    }
}

/// Senders of different projects may draw the same ids, and then these are different spans.
#[tokio::test]
async fn equal_spans_of_two_projects_or_clusters_are_two_rows() {
    let lake = Lake::new().await;
    let clustered = || Scope { cluster_id: Some("c1".into()), ..scope("b") };
    for round in 0..2 {
        lake.post_as(scope("b"), &[span(1, 1), span(7, 2)]).await;
        lake.post_as(scope("a"), &[span(1, 1), span(9, 3)]).await;
        lake.post_as(clustered(), &[span(1, 1)]).await;
        if round == 0 {
            lake.flush().await;
        }
    }
    let expected = ["a|1||1", "a|9||1", "b|1|c1|1", "b|1||1", "b|7||1"];
    let sql = "select project, trace_low, cluster_id, count(*) from spans group by 1, 2, 3 order by 1, 2, 3 nulls last";
    assert_eq!(lake.rows(sql).await, expected, "file and log");
    lake.flush().await;
    assert_eq!(lake.rows(sql).await, expected, "file and file");
    assert_eq!(
        lake.rows("select project, span_count from traces where trace_low = 1 order by 1").await,
        ["a|1", "b|2"]
    );
}

/// A span without a plausible timestamp lies in the day of its arrival, so its copies may lie in different days.
#[tokio::test]
async fn a_span_without_a_timestamp_that_is_sent_again_on_another_day_is_one_row() {
    let lake = Lake::new().await;
    let mut timeless = span(1, 1);
    timeless.timestamp = None;
    let mut implausible = span(1, 2);
    implausible.timestamp = Some(5);
    let strays = [timeless, implausible];
    lake.post(&strays).await;
    lake.post(&[span(1, 3)]).await;
    lake.flush().await;
    lake.clock.advance(DAY);
    lake.post(&strays).await;
    let mut tomorrow = span(1, 4);
    tomorrow.timestamp = Some(NOON + DAY);
    lake.post(&[tomorrow]).await;
    assert_eq!(lake.rows("select count(*) from spans").await, ["4"], "file and log");
    lake.flush().await;
    lake.clock.advance(DAY);
    lake.post(&strays).await;
    lake.flush().await;
    assert_eq!(lake.data_files().len(), 3);
    assert_eq!(lake.rows("select count(*) from spans").await, ["4"], "files of three days");
    assert_eq!(
        lake.rows("select span_id, day from spans order by 1").await,
        [
            "0000000000000001|2026-11-22",
            "0000000000000002|2026-11-22",
            "0000000000000003|2026-11-22",
            "0000000000000004|2026-11-23"
        ]
    );
}

/// Most statements read files without copies, and those are to be read without detours.
#[tokio::test]
async fn copies_cost_nothing_in_the_plan_where_there_are_none() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    lake.post(&[span(2, 2)]).await;
    lake.flush().await;
    let plan = lake.rows("explain select name from spans where service = 'shop'").await.join("\n");
    let physical = plan.split("physical_plan|").nth(1).unwrap();
    let nodes: Vec<&str> = physical.lines().map(str::trim).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(nodes.iter().filter(|node| node.ends_with("Exec")).count(), 1, "{physical}");
    assert!(physical.contains("predicate=service"), "{physical}");
}

#[tokio::test]
async fn files_that_cannot_hold_an_answer_are_left_out_before_anything_is_read() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    let mut tomorrow = span(2, 2);
    tomorrow.timestamp = Some(NOON + DAY);
    tomorrow.duration = Some(7_000_000);
    lake.post(&[tomorrow]).await;
    lake.flush().await;
    for (filter, files) in [
        ("timestamp >= '2026-11-23'", 1),
        ("timestamp < '2026-11-20'", 0),
        ("day = '2026-11-22'", 1),
        ("duration > 1000000", 1),
        ("project = 'default'", 2),
        ("project = 'other'", 0),
        ("trace_low > 1", 1),
        ("service = 'shop'", 2),
    ] {
        let plan = lake.rows(&format!("explain select name from spans where {filter}")).await.join("\n");
        let physical = plan.split("physical_plan|").nth(1).unwrap();
        assert_eq!(physical.matches(".parquet").count(), files, "{filter}: {physical}");
    }
}

#[tokio::test]
async fn a_trace_is_found_by_its_id_however_it_is_asked_for() {
    let lake = Lake::new().await;
    let wide = Span { trace_id: TraceId::wide(0xabc, 1), ..span(1, 2) };
    lake.post(&[span(1, 1), wide, span(2, 3)]).await;
    lake.flush().await;
    lake.post(&[span(1, 4), span(5, 5)]).await;
    for (filter, ids) in [
        ("trace_id = '0000000000000001'", "1 4"),
        ("'0000000000000001' = trace_id", "1 4"),
        ("trace_id = '0000000000000abc0000000000000001'", "2"),
        ("trace_low = 1", "1 2 4"),
        ("trace_id in ('0000000000000002', '0000000000000005')", "3 5"),
        ("trace_id in ('0000000000000002', '0000000000000005', '0000000000000001', '0000000000000009')", "1 3 4 5"),
        ("trace_id = '0000000000000002' or trace_low = 5", "3 5"),
        ("trace_id = '0000000000000002' or service = 'none'", "3"),
        ("trace_id = '0000000000000002' and trace_low = 5", ""),
        ("trace_id = 'no id'", ""),
        ("trace_id <> '0000000000000001'", "2 3 5"),
        ("not trace_id in ('0000000000000001')", "2 3 5"),
        ("trace_id = '0000000000000001' and span_id > '0000000000000002'", "4"),
    ] {
        let sql = format!("select cast(cast(right(span_id, 1) as int) as text) from spans where {filter} order by 1");
        assert_eq!(lake.rows(&sql).await.join(" "), ids, "{filter}");
    }
    // A trace is shown with its longest id.
    for id in ["0000000000000abc0000000000000001", "0000000000000002"] {
        assert_eq!(lake.rows(&format!("select trace_id from traces where trace_id = '{id}'")).await, [id]);
    }
    assert!(lake.rows("select trace_id from traces where trace_id = '0000000000000001'").await.is_empty());
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

#[tokio::test]
async fn the_views_answer_the_common_questions() {
    let lake = Lake::new().await;
    lake.post(&small_trace()).await;
    lake.flush().await;
    // Without a root, and without any time.
    let mut orphan = span(17, 9);
    orphan.parent_id = Some(8);
    orphan.timestamp = None;
    orphan.tags = Vec::new();
    lake.post(&[orphan]).await;

    assert_eq!(
        lake.rows("select * from traces order by trace_low").await,
        [
            "0000000000000010|shop|get|2026-11-22T12:00:00.001Z|21000|3|true|default|16",
            "0000000000000011|||||1|false|default|17",
        ]
    );
    assert_eq!(
        lake.rows("select * from annotations order by timestamp").await,
        [
            "0000000000000010|0000000000000001|shop|2026-11-22T12:00:00.002Z|first",
            "0000000000000010|0000000000000001|shop|2026-11-22T12:00:00.003Z|second",
        ]
    );
    assert_eq!(
        lake.rows("select * from tags order by span_id, key").await,
        [
            "0000000000000010|0000000000000001|shop|http.method|GET",
            "0000000000000010|0000000000000001|shop|user|u1",
            "0000000000000010|0000000000000002|shop|error|",
            "0000000000000010|0000000000000002|shop|zone|z",
        ]
    );
    assert_eq!(
        lake.rows("select span_id, kind, tags from spans where trace_low = 16 order by 1, 2").await,
        [
            "0000000000000001|SERVER|{http.method: GET, user: u1}",
            "0000000000000002|CLIENT|{error: , zone: z}",
            "0000000000000002|SERVER|{}",
        ]
    );
}

/// `tags` holds all tags in SQL, so nobody need know which have a column of their own.
#[tokio::test]
async fn a_tag_is_asked_for_by_its_key_wherever_it_is_stored() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    let mut post = span(1, 2);
    post.tags[0].1 = "POST".into();
    lake.post(&[post]).await;
    assert_eq!(
        lake.rows("select tags['http.method'], tags['user'], tags['none'] from spans order by span_id").await,
        ["GET|u1|", "POST|u1|"]
    );
    assert_eq!(lake.rows("select span_id from spans where tags['http.method'] = 'POST'").await, ["0000000000000002"]);
    assert_eq!(
        lake.rows("select tags['http.method'] m, count(*) from spans group by m order by m").await,
        ["GET|1", "POST|1"]
    );
    assert_eq!(
        lake.rows("select a.tags['http.method'] from spans a join spans b on a.span_id = b.parent_id").await,
        [""; 0]
    );
    let plan = lake.rows("explain select span_id from spans where tags['http.method'] = 'POST'").await.join("\n");
    assert!(plan.contains("predicate=http_method"), "{plan}");
    assert!(!plan.contains("all_tags"), "{plan}");
}

#[tokio::test]
async fn the_tables_describe_themselves() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    let tables = "select table_name from information_schema.tables where table_schema = 'public' order by 1";
    assert_eq!(lake.rows(tables).await, ["annotations", "spans", "tags", "traces"]);
    assert!(lake.rows("show tables").await.len() >= 4);
    let described: Vec<String> = lake.rows("describe spans").await;
    let names: Vec<&str> = described.iter().filter_map(|row| row.split('|').next()).collect();
    let expected: Vec<&String> = TABLE_SCHEMA.fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, expected);
}

/// A disk on which, once, something happens between the reading of the table and of the log.
#[derive(Debug)]
struct Meanwhile {
    before_the_log: Mutex<Option<Box<dyn Meddle>>>,
    wal: PathBuf,
    reads: Mutex<usize>,
}

trait Meddle: Send + std::fmt::Debug {
    fn meddle(&self);
}

impl Fs for Meanwhile {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn File>> {
        RealFs.open(path, mode)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealFs.create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        if path == self.wal {
            *self.reads.lock().unwrap() += 1;
            if let Some(meddler) = self.before_the_log.lock().unwrap().take() {
                meddler.meddle();
            }
        }
        RealFs.read_dir(path)
    }
    fn entry(&self, path: &Path) -> io::Result<Entry> {
        RealFs.entry(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealFs.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        RealFs.remove_file(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealFs.sync_dir(path)
    }
}

/// Commits and trims, as a server does at any moment.
#[derive(Debug)]
struct FlushNow(Arc<Store>, tokio::runtime::Handle);

impl Meddle for FlushNow {
    fn meddle(&self) {
        self.1.block_on(self.0.flush()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_move_from_the_log_to_the_table_while_they_are_read_are_there_once() {
    let lake = Lake::with(|config| config.segment_bytes = 64 << 10).await;
    // Several segments, so that trimming removes some.
    for batch in 0..40 {
        let mut spans: Vec<_> = (0..10).map(|id| span(batch + 1, batch * 10 + id + 1)).collect();
        spans[0].tags.push(("zz".into(), "x".repeat(10_000).into()));
        lake.post(&spans).await;
    }
    let meddler = FlushNow(lake.store.clone(), tokio::runtime::Handle::current());
    let fs = Arc::new(Meanwhile {
        before_the_log: Mutex::new(Some(Box::new(meddler))),
        wal: StoreConfig::wal_dir(&lake.data()),
        reads: Mutex::default(),
    });
    let (rows, notes) =
        ask(fs.clone(), &lake.data(), "select count(*), count(distinct span_id) from spans", false).await.unwrap();
    assert_eq!(rows, ["400|400"]);
    assert_eq!(notes, [""; 0]);
    assert_eq!(*fs.reads.lock().unwrap(), 2, "the log was trimmed, so the table is read again");
}

#[tokio::test]
async fn a_damaged_data_file_is_named_with_its_offset_and_the_rest_is_answered() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(1, 2)]).await;
    lake.flush().await;
    let first = lake.data_files();
    lake.post(&[span(2, 3)]).await;
    lake.flush().await;
    let bytes = std::fs::read(&first[0]).unwrap();
    for (what, damaged) in [
        ("pages", [&bytes[..4], &vec![0xff; bytes.len() / 4], &bytes[4 + bytes.len() / 4..]].concat()),
        ("footer", [&bytes[..bytes.len() - 40], &[0xff; 32], &bytes[bytes.len() - 8..]].concat()),
        ("a file cut short", bytes[..bytes.len() / 2].to_vec()),
    ] {
        std::fs::write(&first[0], &damaged).unwrap();
        let sql = "select span_id, name, service, trace_id, timestamp is null from spans order by 1";
        let (rows, notes) = lake.try_rows(sql, false).await.unwrap();
        assert_eq!(rows.last().unwrap(), "0000000000000003|get|shop|0000000000000002|false", "{what}");
        assert!(
            !notes.is_empty() && notes.iter().all(|note| note.contains(first[0].to_str().unwrap())),
            "{what}: {notes:?}"
        );
        assert!(notes.iter().all(|note| note.contains("near byte ")), "{what}: {notes:?}");
    }
    std::fs::remove_file(&first[0]).unwrap();
    let (rows, notes) = lake.try_rows("select span_id, name from spans", false).await.unwrap();
    assert_eq!(rows, ["0000000000000003|get"]);
    assert!(notes[0].contains(first[0].to_str().unwrap()), "{notes:?}");
}

#[tokio::test]
async fn an_error_that_is_no_damage_is_the_statements_own() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    let error = lake.try_rows("select span_id from spans where 1 / (duration - 500) > 0", false).await.unwrap_err();
    assert!(error.message().starts_with("division by zero; "), "{error}");
}

#[tokio::test]
async fn a_damaged_log_record_is_named_with_its_offset_and_the_rest_is_answered() {
    let lake = Lake::new().await;
    for id in 1..=3 {
        lake.post(&[span(id, id)]).await;
    }
    let wal = StoreConfig::wal_dir(&lake.data());
    let segment =
        std::fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    // The payload of the first record: behind the segment's header and the record's.
    bytes[64 + 24 + 20] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (rows, notes) = lake.try_rows("select span_id from spans order by 1", false).await.unwrap();
    assert_eq!(rows, ["0000000000000002", "0000000000000003"]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains(segment.to_str().unwrap()) && notes[0].contains("offset 64"), "{notes:?}");
}

#[tokio::test]
async fn memory_is_bounded_and_what_does_not_fit_is_said_so_or_spilled() {
    let lake = Lake::new().await;
    let options = SqlOptions { memory: 16 << 20, table_only: false };
    let engine = Engine::new(Arc::new(RealFs), &lake.data(), options).unwrap();
    let run = async |sql: &str| -> Result<usize> {
        let mut answer = engine.run(&parse(sql)?[0]).await?;
        let mut rows = 0;
        while let Some(batch) = answer.rows.next().await {
            rows += batch?.num_rows();
        }
        Ok(rows)
    };
    let sorted =
        "select value, cast(value as text) || repeat('x', 200) as t from generate_series(1, 300000) order by t desc";
    assert_eq!(run(sorted).await.unwrap(), 300_000);
    let error = run("select array_length(array_agg(repeat('x', 100) || value)) from generate_series(1, 1000000)")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.message().ends_with("; give it more with --memory, or ask for less at once"), "{error}");
}

// What a person or a program sees.

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn sql(lake: &Lake, args: &[&str]) -> std::process::Output {
    let data = lake.data();
    let mut all = vec!["sql", "--data", data.to_str().unwrap()];
    all.extend(args);
    output(&all, lake.folder.path())
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_files_are_refused_with_a_message_and_1() {
    let lake = Lake::new().await;
    let reads = lake.folder.path().join("secret.csv");
    std::fs::write(&reads, "a,b\n1,2\n").unwrap();
    let target = lake.folder.path().join("out.csv");
    for (query, said) in [
        ("insert into spans select * from spans".to_owned(), "spanlake: spanlake sql only reads: INSERT is refused; "),
        ("drop view spans".to_owned(), "spanlake: spanlake sql only reads: DROP is refused; "),
        ("create table t as select 1".to_owned(), "spanlake: spanlake sql only reads: CREATE is refused; "),
        (format!("copy (select 1) to '{}'", target.display()), "spanlake: spanlake sql only reads: COPY is refused; "),
        (
            format!("create external table t stored as csv location '{}'", reads.display()),
            "spanlake: spanlake sql only reads: CREATE EXTERNAL TABLE is refused; files cannot be named, ",
        ),
        (format!("select * from '{}'", reads.display()), "spanlake: there is no table "),
        (format!("select * from read_csv('{}')", reads.display()), "spanlake: "),
        (
            "set datafusion.execution.target_partitions = 1".to_owned(),
            "spanlake: spanlake sql only reads: SET is refused; ",
        ),
    ] {
        let refused = sql(&lake, &[&query]);
        assert_eq!(refused.status.code(), Some(1), "{query}");
        assert!(text(&refused.stderr).starts_with(said), "{query}: {}", text(&refused.stderr));
        assert_eq!(text(&refused.stdout), "", "{query}");
    }
    assert!(!target.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_printed_for_a_person() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1), span(1, 2)]).await;
    let shown = sql(&lake, &["select span_id, timestamp, duration, parent_id from spans order by 1"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    assert_eq!(
        text(&shown.stdout),
        "\
+------------------+--------------------------+----------+-----------+
| span_id          | timestamp                | duration | parent_id |
+------------------+--------------------------+----------+-----------+
| 0000000000000001 | 2026-11-22T12:00:00.001Z | 500      |           |
| 0000000000000002 | 2026-11-22T12:00:00.002Z | 500      |           |
+------------------+--------------------------+----------+-----------+
"
    );
    assert_eq!(text(&shown.stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_format_reads_back_as_what_was_asked_for() {
    let lake = Lake::new().await;
    lake.post(&small_trace()).await;
    let query = "select span_id, kind, duration, parent_id, tags, annotations from spans order by 1, 2";
    let of = |format: &str| {
        let answer = sql(&lake, &["--format", format, query]);
        assert!(answer.status.success(), "{format}: {}", text(&answer.stderr));
        answer.stdout
    };

    let json: serde_json::Value = serde_json::from_slice(&of("json")).unwrap();
    let expected = serde_json::json!([
        {
            "span_id": "0000000000000001", "kind": "SERVER", "duration": 9000, "parent_id": null,
            "tags": {"http.method": "GET", "user": "u1"},
            "annotations": [
                {"timestamp": "2026-11-22T12:00:00.002Z", "value": "first"},
                {"timestamp": "2026-11-22T12:00:00.003Z", "value": "second"},
            ],
        },
        {
            "span_id": "0000000000000002", "kind": "CLIENT", "duration": null, "parent_id": "0000000000000001",
            "tags": {"error": "", "zone": "z"}, "annotations": null,
        },
        {
            "span_id": "0000000000000002", "kind": "SERVER", "duration": 20000, "parent_id": "0000000000000001",
            "tags": {}, "annotations": null,
        },
    ]);
    assert_eq!(json, expected);

    let lines = of("ndjson");
    let lines: Vec<serde_json::Value> = text(&lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(serde_json::Value::from(lines), expected);

    assert_eq!(
        text(&of("csv")),
        "\
span_id,kind,duration,parent_id,tags,annotations
0000000000000001,SERVER,9000,,\"{\"\"http.method\"\":\"\"GET\"\",\"\"user\"\":\"\"u1\"\"}\",\
\"[{\"\"timestamp\"\":\"\"2026-11-22T12:00:00.002Z\"\",\"\"value\"\":\"\"first\"\"},\
{\"\"timestamp\"\":\"\"2026-11-22T12:00:00.003Z\"\",\"\"value\"\":\"\"second\"\"}]\"
0000000000000002,CLIENT,,0000000000000001,\"{\"\"error\"\":\"\"\"\",\"\"zone\"\":\"\"z\"\"}\",
0000000000000002,SERVER,20000,0000000000000001,{},
"
    );

    let rows = [
        "0000000000000001|SERVER|9000||{http.method: GET, user: u1}|\
         [{timestamp: 2026-11-22T12:00:00.002Z, value: first}, {timestamp: 2026-11-22T12:00:00.003Z, value: second}]",
        "0000000000000002|CLIENT||0000000000000001|{error: , zone: z}|",
        "0000000000000002|SERVER|20000|0000000000000001|{}|",
    ];
    let parquet = bytes::Bytes::from(of("parquet"));
    let reader =
        parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet).unwrap().build().unwrap();
    assert_eq!(reader.flat_map(|batch| texts(&batch.unwrap())).collect::<Vec<_>>(), rows);
    let arrow = of("arrow");
    let reader = arrow::ipc::reader::StreamReader::try_new(arrow.as_slice(), None).unwrap();
    assert_eq!(reader.flat_map(|batch| texts(&batch.unwrap())).collect::<Vec<_>>(), rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_rows_is_one_in_each_format() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    for (format, expected) in [("json", "[]\n"), ("ndjson", ""), ("csv", "span_id,tags\n")] {
        let answer = sql(&lake, &["--format", format, "select span_id, tags from spans where name = 'none'"]);
        assert_eq!((answer.status.code(), text(&answer.stdout)), (Some(0), expected), "{format}");
    }
    let answer = sql(&lake, &["--format", "arrow", "select span_id from spans where name = 'none'"]);
    let reader = arrow::ipc::reader::StreamReader::try_new(answer.stdout.as_slice(), None).unwrap();
    assert_eq!((reader.schema().field(0).name().as_str(), reader.count()), ("span_id", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_kept_in_a_file_is_there_whole_or_not_at_all() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    let path = lake.folder.path().join("answer.csv");
    let file = path.to_str().unwrap();
    let kept = sql(&lake, &["--format", "csv", "--output", file, "select span_id from spans"]);
    assert_eq!((kept.status.code(), text(&kept.stdout)), (Some(0), ""));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "span_id\n0000000000000001\n");
    let failed =
        sql(&lake, &["--format", "csv", "-o", file, "select 1 / (value - 9000) from generate_series(1, 10000)"]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "span_id\n0000000000000001\n", "what was there stays");
    assert!(!lake.folder.path().join("answer.csv.part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_are_read_from_standard_input_where_none_is_given() {
    use std::io::Write;
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    let data = lake.data();
    let mut child = spanlake(&["sql", "--format", "csv", "--data", data.to_str().unwrap()], lake.folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"select count(*) as n from spans;\nselect 7 as x;\n").unwrap();
    let answer = child.wait_with_output().unwrap();
    assert_eq!((answer.status.code(), text(&answer.stdout)), (Some(0), "n\n1\nx\n7\n"));
}

/// As `spanlake sql … | head` does.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_error() {
    use std::io::Read;
    let lake = Lake::new().await;
    let data = lake.data();
    let args =
        ["sql", "--format", "csv", "--data", data.to_str().unwrap(), "select * from generate_series(1, 5000000)"];
    let mut child = spanlake(&args, lake.folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 5];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"value");
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stderr)), (Some(0), ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_told_with_what_helps() {
    let lake = Lake::new().await;
    for (query, said) in [
        ("select servce from spans", "spanlake: there is no column \"servce\"; did you mean service?\n"),
        ("select * from span", "spanlake: there is no table \"span\"; there are spans, tags, traces, annotations\n"),
        ("selec 1", "spanlake: this is no SQL: "),
        ("select nofunction(1)", "spanlake: "),
    ] {
        let refused = sql(&lake, &[query]);
        assert_eq!(refused.status.code(), Some(1), "{query}");
        let stderr = text(&refused.stderr);
        assert!(stderr.starts_with(said), "{query}: {stderr}");
        assert!(!stderr.contains("DataFusion") && !stderr.contains("backtrace"), "{query}: {stderr}");
    }
}

#[test]
fn a_folder_without_data_is_told_from_one_that_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let absent = output(&["sql", "select 1"], dir.path());
    assert_eq!(absent.status.code(), Some(1));
    assert_eq!(
        text(&absent.stderr),
        "spanlake: ./spanlake-data is not there, or is no folder; name the folder that `spanlake serve` keeps its data in with --data\n"
    );
    let empty = output(&["sql", "--data", ".", "select 1"], dir.path());
    assert!(
        text(&empty.stderr).starts_with("spanlake: . is no data folder: it has no file node-id; "),
        "{}",
        text(&empty.stderr)
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is made");
    for args in [&["sql", "--format", "xml", "select 1"][..], &["sql", "--memory", "1", "select 1"], &["sql", ";"]] {
        assert_eq!(output(args, dir.path()).status.code(), Some(2), "{args:?}");
    }
}

/// Other engines and people's scripts rely on what `schemas/spans.json` publishes.
#[tokio::test]
async fn the_published_schema_is_that_of_the_code_and_of_a_new_table() {
    let published: serde_json::Value = serde_json::from_str(include_str!("../../schemas/spans.json")).unwrap();
    assert_eq!(published["version"], VERSION);
    let sorted: Vec<&str> =
        published["sortColumns"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(sorted, SORT_COLUMNS);
    let columns = published["columns"].as_array().unwrap();
    for column in columns {
        assert!(column["meaning"].as_str().is_some_and(|meaning| meaning.ends_with('.')), "{column}");
    }
    let of_code: Vec<(&str, bool)> =
        TABLE_SCHEMA.fields().iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
    let named: Vec<(&str, bool)> =
        columns.iter().map(|c| (c["name"].as_str().unwrap(), c["nullable"].as_bool().unwrap())).collect();
    assert_eq!(named, of_code);

    let dir = tempfile::tempdir().unwrap();
    Table::open(Arc::new(RealFs), dir.path()).await.unwrap();
    let log = std::fs::read_to_string(dir.path().join("_delta_log/00000000000000000000.json")).unwrap();
    let actions = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let metadata = actions.into_iter().find_map(|action| action.get("metaData").cloned()).unwrap();
    let schema: serde_json::Value = serde_json::from_str(metadata["schemaString"].as_str().unwrap()).unwrap();
    let created: Vec<_> =
        schema["fields"].as_array().unwrap().iter().map(|f| (&f["name"], &f["type"], &f["nullable"])).collect();
    let described: Vec<_> = columns.iter().map(|c| (&c["name"], &c["type"], &c["nullable"])).collect();
    assert_eq!(described, created);
    assert_eq!(metadata["name"], published["name"]);
    assert_eq!(metadata["partitionColumns"], published["partitionColumns"]);
    assert_eq!(metadata["configuration"]["spanlake.schema.version"], VERSION.to_string());
}
