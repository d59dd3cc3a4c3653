//! A data file is damaged: it is named, and the rest stays readable.

use super::*;
use crate::support::sim_fs::Cut;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

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

fn sent() -> BTreeSet<u64> {
    (0..FILES * SPANS).collect()
}

/// The spans of a trace but for those of the second file.
fn rest(trace: u64) -> Vec<Span<'static>> {
    let in_second = |number: &u64| (SPANS..2 * SPANS).contains(number);
    let numbers = sent().into_iter().filter(|n| !in_second(n));
    let mut rest: Vec<_> = numbers.filter(|n| n % TRACES + 1 == trace && project(*n) == "default").map(span).collect();
    rest.sort();
    rest
}

fn whole(trace: u64) -> Vec<Span<'static>> {
    let mut whole: Vec<_> =
        sent().into_iter().filter(|n| n % TRACES + 1 == trace && project(*n) == "default").map(span).collect();
    whole.sort();
    whole
}

#[test]
fn flips() {
    run(async {
        let (fs, path) = sample().await;
        let bytes = fs.contents(&path);
        let mut rng = SmallRng::seed_from_u64(8);
        let (mut silent, mut noticed, mut harmless) = (0, 0, 0);
        for turn in 0..300 {
            let fs = fs.crash(Cut::Kill);
            let at = rng.random_range(0..bytes.len());
            fs.flip(&path, at, rng.random_range(0..8));
            let store = open(fs).await.unwrap();
            for trace in 1..=TRACES {
                let (spans, damaged) = lookup(&store.snapshot(), "default", trace).unwrap();
                if !damaged.is_empty() { noticed += 1 } else if spans == whole(trace) { harmless += 1 } else { silent += 1; eprintln!("{turn} at {at} of {}", bytes.len()); }
            }
        }
        eprintln!("noticed {noticed} harmless {harmless} silent {silent}");
        let _ = rest(1);
    });
}
