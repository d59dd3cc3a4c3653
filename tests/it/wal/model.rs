//! Drawn sequences of appends, groups, trims, restarts and crashes, held against a list in memory.

use super::*;
use crate::support::sim_fs::Cut;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Group(Vec<usize>),
    /// The tables take over this share of what is acknowledged, and the log is trimmed to it.
    Flush(f64),
    /// As above, but the process dies before the trim.
    FlushOnly(f64),
    Restart,
    Crash(Cut),
    /// The end comes after so many operations, in the middle of whatever is done then.
    CrashAfter(usize, Cut),
    DiskFull(bool),
    FailSync(usize),
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![Just(Cut::Forget), Just(Cut::Kill), any::<u64>().prop_map(Cut::Torn)]
}

fn step() -> impl Strategy<Value = Step> {
    let len = 8usize..500;
    prop_oneof![
        8 => len.clone().prop_map(Step::Append),
        1 => (1000usize..5000).prop_map(Step::Append),
        4 => proptest::collection::vec(len, 1..6).prop_map(Step::Group),
        2 => (0.0..=1.0).prop_map(Step::Flush),
        1 => (0.0..=1.0).prop_map(Step::FlushOnly),
        2 => Just(Step::Restart),
        2 => cut().prop_map(Step::Crash),
        2 => (0usize..15, cut()).prop_map(|(n, cut)| Step::CrashAfter(n, cut)),
        1 => any::<bool>().prop_map(Step::DiskFull),
        1 => (0usize..3).prop_map(Step::FailSync),
    ]
}

/// The log, and what it must hold.
struct Model {
    fs: SimFs,
    clock: Arc<ManualClock>,
    opened: Option<Opened>,
    acknowledged: Vec<(u64, Bytes)>,
    /// Refused, or sent when the end came: may be there, once.
    uncertain: Vec<Bytes>,
    floor: u64,
    number: u64,
    cut: Cut,
}

impl Model {
    fn new() -> Self {
        let fs = SimFs::new();
        let clock = clock();
        let opened = open_with(&fs, Arc::clone(&clock), config(), 0).ok();
        let (acknowledged, uncertain) = Default::default();
        Model { fs, clock, opened, acknowledged, uncertain, floor: 0, number: 0, cut: Cut::Kill }
    }

    fn wal(&self) -> &Wal {
        &self.opened.as_ref().expect("the log is open").wal
    }

    fn new_payload(&mut self, len: usize) -> Bytes {
        self.number += 1;
        payload(self.number, len)
    }

    fn told(&mut self, payload: Bytes, result: Result<u64, WalError>) {
        match result {
            Ok(seq) => {
                assert!(self.acknowledged.last().is_none_or(|(last, _)| *last < seq), "sequences ascend");
                self.acknowledged.push((seq, payload));
            }
            Err(e) => {
                assert!(e.is_retryable(), "{e}");
                self.uncertain.push(payload);
            }
        }
    }

    fn step(&mut self, step: Step) {
        self.clock.advance(300_000);
        match step {
            Step::Append(len) => {
                let payload = self.new_payload(len);
                let result = append(self.wal(), &payload);
                self.told(payload, result);
            }
            Step::Group(lens) => {
                let payloads: Vec<Bytes> = lens.into_iter().map(|len| self.new_payload(len)).collect();
                let results = append_group(self.wal(), &payloads[0], &payloads[1..]);
                for (payload, result) in payloads.into_iter().zip(results) {
                    self.told(payload, result);
                }
            }
            Step::Flush(share) => {
                self.flush(share);
                let trimmed = self.wal().trim(self.floor);
                assert!(trimmed.is_ok() || self.fs.is_dead());
            }
            Step::FlushOnly(share) => self.flush(share),
            Step::Restart => {
                self.opened = None;
                if !self.fs.is_dead() {
                    self.reopen();
                }
            }
            Step::Crash(cut) => self.crash(cut),
            Step::CrashAfter(n, cut) => {
                self.cut = cut;
                self.fs.fail_after(n);
            }
            Step::DiskFull(full) => self.fs.set_capacity(full.then(|| self.fs.used() + 600)),
            Step::FailSync(nth) => self.fs.fail_sync(nth, |op| op.kind == crate::support::sim_fs::OpKind::SyncData),
        }
        if self.fs.is_dead() {
            self.crash(self.cut);
        }
    }

    fn flush(&mut self, share: f64) {
        let n = (self.acknowledged.len() as f64 * share) as usize;
        let floor = n.checked_sub(1).and_then(|last| self.acknowledged.get(last)).map_or(0, |(seq, _)| *seq);
        self.floor = self.floor.max(floor);
    }

    fn crash(&mut self, cut: Cut) {
        // The disk as it is now; what the log's thread still does to the old one no longer counts.
        let after = self.fs.crash(cut);
        self.opened = None;
        self.fs = after;
        self.reopen();
    }

    fn reopen(&mut self) {
        let opened = loop {
            match open_with(&self.fs, Arc::clone(&self.clock), config(), self.floor) {
                Ok(opened) => break opened,
                Err(_) if self.fs.is_dead() => self.fs = self.fs.crash(self.cut),
                Err(e) => panic!("the log does not open: {e}"),
            }
        };
        let due = self.acknowledged.iter().filter(|(seq, _)| *seq > self.floor);
        for record in due {
            assert_eq!(opened.replayed.iter().filter(|replayed| *replayed == record).count(), 1, "once: {}", record.0);
        }
        assert!(opened.replayed.is_sorted_by(|a, b| a.0 < b.0));
        assert!(opened.recovery.damaged.iter().all(|damage| !damage.acknowledged), "{:?}", opened.recovery);
        for record in &opened.replayed {
            assert!(self.acknowledged.contains(record) || self.uncertain.contains(&record.1), "unknown: {}", record.0);
        }
        // What was handed out once counts from now on.
        self.uncertain.retain(|payload| !opened.replayed.iter().any(|(_, replayed)| replayed == payload));
        self.acknowledged.retain(|(seq, _)| *seq <= self.floor);
        self.acknowledged.extend(opened.replayed.iter().cloned());
        assert!(opened.recovery.next_seq > self.acknowledged.last().map_or(0, |(seq, _)| *seq));
        self.opened = Some(opened);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_log_keeps_what_a_list_would(steps in proptest::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        for step in steps {
            model.step(step);
        }
        model.crash(Cut::Forget);
    }
}
