//! A data file is damaged: it is named, and the rest stays readable.

use super::*;
use crate::support::sim_fs::Cut;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use spanlake::error::ErrorKind;

const FILES: u64 = 3;
const SPANS: u64 = 20;

/// A folder with files of equal size, and the path of the second one.
async fn sample() -> (SimFs, PathBuf) {
    let fs = SimFs::new();
    let store = open(fs.clone()).await.unwrap();
    for file in 0..FILES {
        for number in SPANS * file..SPANS * (file + 1) {
            send(&store, number).await.unwrap();
        }
        store.flush().await.unwrap();
    }
    let path = store.snapshot().files[1].path().to_owned();
    (fs, path)
}

fn of_trace(trace: u64, numbers: impl Iterator<Item = u64>) -> Vec<Span<'static>> {
    let mut spans: Vec<_> = numbers.filter(|n| n % TRACES + 1 == trace && project(*n) == "default").map(span).collect();
    spans.sort();
    spans
}

/// Each trace is whole, or is without the spans of the damaged file, and that is said. Gives whether one is without.
fn is_whole_or_named(fs: &SimFs, store: &Store, path: &Path) -> bool {
    let snapshot = store.snapshot();
    let mut damaged = false;
    for trace in 1..=TRACES {
        let (spans, named) = lookup(&snapshot, "default", trace).unwrap();
        if named.is_empty() {
            assert_eq!(spans, of_trace(trace, 0..FILES * SPANS));
        } else {
            assert_eq!(named.len(), 1);
            assert!(path.ends_with(&named[0]), "{named:?}");
            assert_eq!(spans, of_trace(trace, (0..SPANS).chain(2 * SPANS..FILES * SPANS)));
            damaged = true;
        }
    }
    assert!(fs.files().len() > FILES as usize, "nothing is deleted");
    damaged
}

/// Compacts, and sees that the damaged file is left as it is, named with the place, and in nobody's way.
async fn is_left_alone(store: &Store, path: &Path) {
    assert_eq!(store.compact().await.unwrap().merged, 2);
    let status = store.status();
    let [damage] = &status.damaged[..] else { panic!("{status:?}") };
    assert!(damage.contains(&*path.to_string_lossy()) && damage.contains("near byte"), "{damage}");
    assert_eq!(status.table_spans, FILES * SPANS);
    // Not tried again and again.
    assert_eq!(store.compact().await.unwrap().merged, 0);
    assert_eq!(store.status().damaged.len(), 1);
}

#[test]
fn a_damaged_file_is_named_and_the_rest_is_read() {
    run(async {
        let (sample, path) = sample().await;
        let whole = sample.contents(&path);
        let len = whole.len();
        let mut longer = whole.clone();
        longer.push(0);
        let mut without_footer = whole.clone();
        without_footer[len - 200..].fill(0);
        let mut without_pages = whole.clone();
        without_pages[..200].fill(0);
        let cases: [(&str, Option<&[u8]>); 7] = [
            ("empty", Some(&[])),
            ("cut off", Some(&whole[..len / 2])),
            ("without its last byte", Some(&whole[..len - 1])),
            ("longer", Some(&longer)),
            ("without a footer", Some(&without_footer)),
            ("without its first pages", Some(&without_pages)),
            ("gone", None),
        ];
        for (case, bytes) in cases {
            let fs = sample.crash(Cut::Kill);
            match bytes {
                Some(bytes) => fs.put(&path, bytes),
                None => fs.remove_file(&path).unwrap(),
            }
            let store = open(fs.clone()).await.unwrap();
            // What the size tells is known from the start.
            let damaged = store.status().damaged;
            assert_eq!(
                damaged.len(),
                usize::from(!case.starts_with("without a") && !case.starts_with("without its first"))
            );
            assert!(damaged.iter().all(|what| what.contains(&*path.to_string_lossy())), "{case}: {damaged:?}");
            assert!(is_whole_or_named(&fs, &store, &path), "{case}");
            is_left_alone(&store, &path).await;
            assert!(is_whole_or_named(&fs, &store, &path), "{case}");
            // It goes on.
            send(&store, 1_000).await.unwrap();
            store.flush().await.unwrap();
        }
    });
}

/// A lookup that meets damage says so once a file, however many lookups follow.
#[test]
fn readers_note_damage_once_a_file() {
    run(async {
        let (fs, path) = sample().await;
        let store = open(fs).await.unwrap();
        for offset in 0..3 {
            store.snapshot().note_damage(format!("data file {} near byte {offset}: torn", path.display()));
        }
        store.snapshot().note_damage("something else".to_owned());
        let damaged = store.status().damaged;
        assert_eq!(damaged, [format!("data file {} near byte 0: torn", path.display()), "something else".to_owned()]);
    });
}

fn segments(fs: &SimFs) -> Vec<PathBuf> {
    fs.files().into_iter().map(|(path, _)| path).filter(|path| path.starts_with("/data/wal")).collect()
}

/// The newest segment is never trimmed: a table that has taken records of a log without segments has lost the log.
#[test]
fn a_log_that_is_gone_is_reported() {
    run(async {
        let (sample, _) = sample().await;
        for emptied in [true, false] {
            let fs = sample.crash(Cut::Kill);
            drop(open(fs.clone()).await.unwrap());
            for segment in segments(&fs) {
                if emptied {
                    fs.put(&segment, b"");
                } else {
                    fs.remove_file(&segment).unwrap();
                }
            }
            let store = open(fs.clone()).await.unwrap();
            let [damage] = &store.status().damaged[..] else { panic!("{:?}", store.status()) };
            assert!(damage.contains("/data/wal is gone or empty"), "{damage}");
            // It goes on, and a new log is nothing to report.
            send(&store, 1_000).await.unwrap();
            drop(store);
            assert_eq!(open(fs).await.unwrap().status().damaged, Vec::<String>::new());
        }
    });
}

/// A new id would make the folder's log another node's.
#[test]
fn a_folder_that_lost_its_node_id_is_refused_and_says_which_it_was() {
    run(async {
        let (fs, _) = sample().await;
        let id = Path::new("/data/node-id");
        let text = fs.contents(id);
        fs.remove_file(id).unwrap();
        let error = open(fs.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Damaged);
        let remedy = format!("write {} into /data/node-id", String::from_utf8(text.clone()).unwrap().trim());
        assert!(error.message().contains(&remedy), "{error}");
        assert!(fs.files().iter().all(|(path, _)| path != id), "none is made");
        fs.put(id, &text);
        assert_eq!(open(fs.clone()).await.unwrap().status().table_spans, FILES * SPANS);
        // Without a log the id stands in the table's.
        fs.remove_file(id).unwrap();
        for segment in segments(&fs) {
            fs.remove_file(&segment).unwrap();
        }
        let error = open(fs).await.unwrap_err();
        assert!(error.message().contains("ingest:"), "{error}");
    });
}

/// Another process may still read what a compaction replaced, also one that was asked for.
#[test]
fn a_compaction_keeps_what_it_replaced_for_its_retention() {
    run(async {
        let (fs, path) = sample().await;
        let clock = clock();
        let config = StoreConfig { removed_file_retention: Duration::from_secs(600), ..config() };
        let store = Store::open(config, Arc::new(fs.clone()), clock.clone()).await.unwrap();
        let report = store.compact().await.unwrap();
        assert_eq!((report.merged, report.deleted), (3, 0));
        assert!(fs.files().iter().any(|(name, _)| *name == path));
        clock.advance(600_000_000);
        assert_eq!(store.compact().await.unwrap().deleted, 3);
        assert!(fs.files().iter().all(|(name, _)| *name != path));
    });
}

/// What cannot be opened now may be all right: a process can run out of handles.
#[test]
fn a_file_that_is_back_is_read_again() {
    run(async {
        let (fs, path) = sample().await;
        let bytes = fs.contents(&path);
        let store = open(fs.clone()).await.unwrap();
        fs.remove_file(&path).unwrap();
        assert!(is_whole_or_named(&fs, &store, &path));
        fs.put(&path, &bytes);
        assert!(!is_whole_or_named(&fs, &store, &path));
    });
}

/// Without checksums a flipped bit in a page may well decompress, to other spans than were sent.
#[test]
fn a_flipped_bit_never_changes_a_span() {
    run(async {
        let (sample, path) = sample().await;
        let len = sample.contents(&path).len();
        let mut rng = SmallRng::seed_from_u64(8);
        let mut noticed = 0;
        for turn in 0..300 {
            let fs = sample.crash(Cut::Kill);
            fs.flip(&path, rng.random_range(0..len), rng.random_range(0..8));
            let store = open(fs.clone()).await.unwrap();
            noticed += usize::from(is_whole_or_named(&fs, &store, &path));
            if turn % 10 == 0 {
                store.compact().await.unwrap();
                is_whole_or_named(&fs, &store, &path);
            }
        }
        assert_eq!(noticed, 300, "the file is one block and a footer");
    });
}

/// Only the blocks around a page are read for it: a trace elsewhere in a large file is not hit.
#[test]
fn damage_in_one_place_of_a_large_file_hides_only_that_place() {
    const TRACES: u64 = 400;
    run(async {
        let fs = SimFs::new();
        let config = StoreConfig { flush_bytes: 64 << 20, ..config() };
        let store = Store::open(config, Arc::new(fs.clone()), clock()).await.unwrap();
        let mut rng = SmallRng::seed_from_u64(9);
        for trace in 0..TRACES {
            let spans: Vec<Span<'_>> = (0..50)
                .map(|n| {
                    let mut span = span(n);
                    span.trace_id = TraceId::narrow(trace + 1);
                    span.tags.push(("random".into(), format!("{:032x}", rng.random::<u128>()).into()));
                    span
                })
                .collect();
            store.append(batch("default", &spans)).await.unwrap();
        }
        store.flush().await.unwrap();
        let path = store.snapshot().files[0].path().to_owned();
        let len = fs.contents(&path).len();
        assert!(len > 20 * 16 * 1_024, "{len}");
        // In the middle of the file lie the random tags.
        fs.flip(&path, len / 2, 3);
        let store = open(fs).await.unwrap();
        let mut hidden = 0;
        for trace in 1..=TRACES {
            let (spans, damaged) = lookup(&store.snapshot(), "default", trace).unwrap();
            match (spans.len(), damaged.is_empty()) {
                (50, true) => {}
                (0, false) => hidden += 1,
                other => panic!("trace {trace}: {other:?}"),
            }
        }
        assert!((1..TRACES / 2).contains(&hidden), "{hidden}");
    });
}
