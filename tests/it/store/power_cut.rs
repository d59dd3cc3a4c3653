//! The power is cut, or the process killed, at every operation of a store's life: what was acknowledged is there
//! exactly once; and each single sync is needed for that.

use super::tap::{Call, Tap, Watch};
use super::*;
use crate::support::sim_fs::{Cut, Op, OpKind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

/// What a workload has sent, and was told.
#[derive(Clone, Debug, Default)]
struct Told {
    sent: BTreeSet<u64>,
    acknowledged: BTreeSet<u64>,
}

/// The disk as it was after an operation, and what had been told by then.
struct Image {
    disk: SimFs,
    told: Told,
}

/// Takes an image after each operation.
struct Camera {
    disk: SimFs,
    told: Arc<Mutex<Told>>,
    images: Mutex<Vec<Image>>,
}

impl Watch for Camera {
    fn after(&self, call: Call, _: &Path) {
        if matches!(call, Call::Op(_)) {
            // In this order: what is told later than the disk was looked at may be missing on it.
            let told = self.told.lock().expect("a lock").clone();
            let image = Image { disk: self.disk.crash(Cut::Kill), told };
            self.images.lock().expect("a lock").push(image);
        }
    }
}

/// A part of a store's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Phase {
    Running,
    /// After a crash, until the store is open.
    Opening,
    After,
}

/// A place in the code that syncs, told apart by what it syncs and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Site {
    phase: Phase,
    kind: OpKind,
    what: &'static str,
    after: Option<OpKind>,
}

impl Site {
    fn of(phase: Phase, op: &Op) -> Site {
        let path = op.path.to_string_lossy();
        let what = match path.strip_prefix(DATA).unwrap_or(&path) {
            "" => "the data folder",
            "/wal" => "the folder of the log",
            "/tables/spans/_delta_log" => "the folder of the table's log",
            "/tables/events/_delta_log" => "the folder of the log of the events' table",
            path if path.contains("node-id") => "the node's id",
            path if path.starts_with("/wal/") => "a segment",
            // One place in the code; a hint that cannot be read is passed over, a checkpoint cannot be.
            path if path.ends_with(".checkpoint.parquet") || path.ends_with("_last_checkpoint") => "a checkpoint",
            path if path.ends_with(".json") => "an entry of a table's log",
            path if path.ends_with(".parquet") => "a data file",
            path if path.contains("/day=") => "a folder of data files",
            path => panic!("what is synced at {path}?"),
        };
        let after = op.after.filter(|_| op.kind == OpKind::SyncDir && phase == Phase::Running);
        Site { phase, kind: op.kind, what, after }
    }
}

/// Leaves out the syncs of one site, and notes which sites there are.
#[derive(Clone, Default)]
struct Sites {
    ignored: Option<Site>,
    met: Arc<Mutex<BTreeSet<Site>>>,
}

impl Sites {
    /// Watches over the disk; the phase can be set.
    fn watch(&self, disk: &SimFs, phase: Phase) -> Arc<AtomicU8> {
        let current = Arc::new(AtomicU8::new(phase as u8));
        let (sites, shared) = (self.clone(), current.clone());
        disk.ignore_sync(move |op| {
            let phase = match shared.load(Ordering::SeqCst) {
                0 => Phase::Running,
                1 => Phase::Opening,
                _ => Phase::After,
            };
            let site = Site::of(phase, op);
            if phase != Phase::After && op.after.is_some() {
                sites.met.lock().expect("a lock").insert(site.clone());
            }
            sites.ignored.as_ref() == Some(&site)
        });
        current
    }
}

/// Requests, flushes, compactions, maintenance, a restart with something in the log, an orderly end.
async fn workload(fs: Tap, told: &Mutex<Told>) -> Result<()> {
    let mut next = 0;
    let mut store = open(fs.clone()).await?;
    for round in 0..4 {
        // Spans and events, spans alone, events alone, and both again.
        for sent in 0..3 {
            let event = round == 2 || (round != 1 && sent == 1);
            let number = if event { EVENTS + next } else { next };
            told.lock().expect("a lock").sent.insert(number);
            send_either(&store, number).await?;
            told.lock().expect("a lock").acknowledged.insert(number);
            next += 1;
        }
        match round {
            0 => {
                store.flush().await?;
            }
            1 => {
                store.flush().await?;
                let report = store.compact().await?;
                assert!(report.merged > 0 && report.deleted > 0, "{report:?}");
            }
            2 => {
                drop(store);
                store = open(fs.clone()).await?;
            }
            _ => {
                store.flush().await?;
                store.compact().await?;
            }
        }
    }
    store.close().await
}

/// The images of a life, with one kind of sync left out.
fn images(sites: &Sites) -> Vec<Image> {
    let disk = SimFs::new();
    sites.watch(&disk, Phase::Running);
    let told = Arc::new(Mutex::new(Told::default()));
    let camera = Arc::new(Camera { disk: disk.clone(), told: told.clone(), images: Mutex::default() });
    let tap = Tap::new(disk, camera.clone());
    run(workload(tap, &told)).expect("a life without faults");
    assert_eq!(told.lock().expect("a lock").acknowledged.len(), 12);
    std::mem::take(&mut *camera.images.lock().expect("a lock"))
}

/// Another id than the first one: that is to be found where it was put.
fn config_after() -> StoreConfig {
    StoreConfig { node_id: Some([8; 16]), ..config() }
}

async fn reopen(disk: &SimFs) -> std::result::Result<Arc<Store>, String> {
    let opened = Store::open(config_after(), Arc::new(disk.clone()), clock()).await;
    opened.map_err(|e| format!("the folder cannot be opened: {e}"))
}

/// Goes on after a crash, and crashes again.
async fn survives(image: &Image, cut: Cut, sites: &Sites) -> std::result::Result<(), String> {
    let disk = image.disk.crash(cut);
    let phase = sites.watch(&disk, Phase::Opening);
    let Told { mut sent, acknowledged } = image.told.clone();
    let store = reopen(&disk).await?;
    phase.store(Phase::After as u8, Ordering::SeqCst);
    check(&store, &sent, &acknowledged)?;
    // What was seen stays. After a kill that is more than what was durable, so it is looked at more closely.
    let mut seen = present(&store);
    if cut == Cut::Kill {
        goes_on(&disk.crash(Cut::Forget), &sent, &seen).await.map_err(|e| format!("then at once again: {e}"))?;
    }
    // Deletes what is superseded; nothing else makes the table durable before that.
    let deleted = store.compact().await.map_err(|e| e.to_string())?.deleted;
    if cut == Cut::Kill && deleted > 0 {
        for seed in 0..3 {
            let torn = disk.crash(Cut::Torn(seed));
            goes_on(&torn, &sent, &seen).await.map_err(|e| format!("compacted, then again: {e}"))?;
        }
    }
    // One table after the other: what the one commits must not rest on what the other never made durable.
    for late in [99, EVENTS + 99] {
        sent.insert(late);
        send_either(&store, late).await.map_err(|e| e.to_string())?;
        seen.insert(late);
        check(&store, &sent, &seen).map_err(|e| format!("after a compaction: {e}"))?;
        store.flush().await.map_err(|e| e.to_string())?;
        check(&store, &sent, &seen).map_err(|e| format!("after a flush: {e}"))?;
        goes_on(&disk.crash(Cut::Forget), &sent, &seen).await.map_err(|e| format!("flushed, then again: {e}"))?;
    }
    Ok(())
}

async fn goes_on(disk: &SimFs, sent: &BTreeSet<u64>, acknowledged: &BTreeSet<u64>) -> std::result::Result<(), String> {
    check(&*reopen(disk).await?, sent, acknowledged)
}

/// Tries crashes at each image, on all processors; gives out one that was not survived.
fn first_failure(images: &[Image], cuts: &(dyn Fn(usize) -> Vec<Cut> + Sync), sites: &Sites) -> Option<String> {
    const STRIDE: usize = 8;
    let failure = Mutex::new(None);
    // Up and down the whole life several times: where a sync is missing, the failure is not far then.
    let order: Vec<usize> = (0..STRIDE).flat_map(|start| (start..images.len()).step_by(STRIDE)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        run(async {
            while let Some(number) = order.get(next.fetch_add(1, Ordering::SeqCst)).copied() {
                if failure.lock().expect("a lock").is_some() {
                    return;
                }
                for cut in cuts(number) {
                    if let Err(what) = survives(&images[number], cut, sites).await {
                        let what = format!("{cut:?} after operation {number}: {what}");
                        failure.lock().expect("a lock").get_or_insert(what);
                        return;
                    }
                }
            }
        });
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    failure.into_inner().expect("a lock")
}

fn all_cuts(number: usize) -> Vec<Cut> {
    vec![Cut::Kill, if number.is_multiple_of(2) { Cut::Forget } else { Cut::Torn(number as u64) }]
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_operation() {
    let sites = Sites::default();
    assert_eq!(first_failure(&images(&sites), &all_cuts, &sites), None);
}

/// The test above would notice if any one of the syncs were missing from the code.
#[test]
fn every_sync_is_needed() {
    let sites = Sites::default();
    for image in images(&sites) {
        let disk = image.disk.crash(Cut::Kill);
        sites.watch(&disk, Phase::Opening);
        run(reopen(&disk)).expect("a folder without faults");
    }
    let mut met = sites.met.lock().expect("a lock").clone();
    // A trimmed segment that comes back is passed over here; that it does not come back the log's own tests see to.
    met.retain(|site| (site.what, site.after) != ("the folder of the log", Some(OpKind::Remove)));
    assert_eq!(met.len(), 18, "{met:#?}");
    for site in met {
        let sites = Sites { ignored: Some(site.clone()), ..Sites::default() };
        let failure = first_failure(&images(&sites), &all_cuts, &sites);
        assert!(failure.is_some(), "nothing fails without {site:?}");
    }
}
