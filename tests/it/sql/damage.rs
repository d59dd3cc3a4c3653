//! What changes or breaks under a statement: a log trimmed meanwhile, damaged files and records.

use super::*;
use spanlake::fs::{Entry, File, OpenMode};
use std::io;
use std::sync::Mutex;

/// A disk on which, once, something happens between the reading of the table and of the log.
#[derive(Debug)]
pub struct Meanwhile {
    before_the_log: Mutex<Option<Box<dyn Meddle>>>,
    wal: PathBuf,
    reads: Mutex<usize>,
}

impl Meanwhile {
    /// Something that happens before the log of that folder is read for the first time.
    pub fn before_the_log(lake: &Lake, meddler: impl Meddle + 'static) -> Meanwhile {
        let before_the_log = Mutex::new(Some(Box::new(meddler) as Box<dyn Meddle>));
        Meanwhile { before_the_log, wal: StoreConfig::wal_dir(&lake.data()), reads: Mutex::default() }
    }

    /// How often the log was read.
    pub fn reads(&self) -> usize {
        *self.reads.lock().unwrap()
    }
}

pub trait Meddle: Send + std::fmt::Debug {
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
pub struct FlushNow(pub Arc<Store>, pub tokio::runtime::Handle);

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
    let fs = Arc::new(Meanwhile::before_the_log(&lake, meddler));
    let (rows, notes) =
        ask(fs.clone(), &lake.data(), "select count(*), count(distinct span_id) from spans", false).await.unwrap();
    assert_eq!(rows, ["400|400"]);
    assert_eq!(notes, [""; 0]);
    assert_eq!(fs.reads(), 2, "the log was trimmed, so the table is read again");
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

fn only_segment(lake: &Lake) -> PathBuf {
    let wal = StoreConfig::wal_dir(&lake.data());
    std::fs::read_dir(&wal).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_file()).unwrap()
}

/// The server reads on behind a damaged header, and so must what reads beside it.
#[tokio::test]
async fn a_damaged_segment_header_hides_no_span() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    lake.flush().await;
    lake.post(&[span(2, 2)]).await;
    let segment = only_segment(&lake);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (rows, notes) = lake.try_rows("select count(*) from spans", false).await.unwrap();
    assert_eq!(rows, ["2"]);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains(segment.to_str().unwrap()) && notes[0].contains("offset 0"), "{notes:?}");
}

#[tokio::test]
async fn a_log_that_is_gone_is_told() {
    let lake = Lake::new().await;
    lake.post(&[span(1, 1)]).await;
    let count = "select count(*) from spans";
    assert_eq!(lake.try_rows(count, false).await.unwrap(), (vec!["1".to_owned()], Vec::new()));
    lake.flush().await;
    assert_eq!(lake.try_rows(count, false).await.unwrap().1, [""; 0], "all is in the table");
    lake.post(&[span(2, 2)]).await;
    let segment = only_segment(&lake);
    let wal = segment.parent().unwrap();
    std::fs::write(&segment, vec![0; 4096]).unwrap();
    for what in ["a blank segment", "no segment", "no folder"] {
        let (rows, notes) = lake.try_rows(count, false).await.unwrap();
        assert_eq!(rows, ["1"], "{what}");
        assert_eq!(notes.len(), 1, "{what}: {notes:?}");
        assert!(notes[0].starts_with(&format!("the log {} is gone or empty", wal.display())), "{what}: {notes:?}");
        assert_eq!(lake.try_rows(count, true).await.unwrap().1, [""; 0], "{what}: the log was not asked for");
        match what {
            "a blank segment" => std::fs::remove_file(&segment).unwrap(),
            _ => _ = std::fs::remove_dir_all(wal),
        }
    }
}

/// Values that decode but are not what was written would be answered as if they were.
#[tokio::test]
async fn no_flipped_bit_of_a_data_file_changes_an_answer_in_silence() {
    let lake = Lake::new().await;
    // Numbers that do not compress: a flipped bit is then most often another number.
    let numbered = |id: u64| {
        let mut span = span(id / 3 + 1, id);
        span.duration = Some((id.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 2) as i64);
        span
    };
    let spans: Vec<_> = (1..=1000).map(numbered).collect();
    lake.post(&spans).await;
    lake.flush().await;
    // The only file: with others it would be read, and so checked, for copies first.
    let file = lake.data_files().remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let statements = [
        "select trace_id, span_id, name, kind, timestamp, duration, service, tags from spans order by 1, 2",
        "select span_id, duration from spans where trace_id = '0000000000000007' order by 1",
    ];
    let mut whole = Vec::new();
    for sql in statements {
        whole.push(lake.rows(sql).await);
    }
    // Eight kilobytes of them are among the first of the file.
    for at in (0..bytes.len() * 2 / 3).step_by(bytes.len() / 24) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&file, &flipped).unwrap();
        for (sql, whole) in statements.iter().zip(&whole) {
            let (rows, notes) = lake.try_rows(sql, false).await.unwrap();
            let told = notes.iter().any(|note| note.contains(file.to_str().unwrap()) && note.contains("near byte "));
            assert!(told || rows == *whole, "byte {at}: {sql}");
        }
    }
}
