//! The index against a plain map of maps, under random histories.
//!
//! Runs 256 cases; more with `PROPTEST_CASES=100000 cargo test --release -p
//! synod-shard mvcc::model`.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use synod_common::key::{Key, KeyRange};
use synod_common::time::Timestamp;

use super::Versions;

type Value = Option<Vec<u8>>;

/// Every version that was ever installed; never pruned.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<Vec<u8>, BTreeMap<Timestamp, Value>>);

impl Model {
    fn at(&self, key: &[u8], at: Timestamp) -> Option<(Timestamp, Value)> {
        let (at, value) = self.0.get(key)?.range(..=at).next_back()?;
        Some((*at, value.clone()))
    }

    fn scan(&self, range: &KeyRange, at: Timestamp) -> Vec<(Vec<u8>, Vec<u8>)> {
        let keys = self.0.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| Some((key.clone(), self.at(key, at)?.1?))).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Install { key: Vec<u8>, ahead: u64, value: Value },
    Again { pick: usize },
    Read { key: Vec<u8>, ahead: u64 },
    Scan { from: Vec<u8>, to: Option<Vec<u8>>, ahead: u64, reverse: bool },
    Prune { ahead: u64, budget: usize },
    Begin,
    Chunk { max_bytes: usize },
    Crash,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Short and long names, prefixes of one another.
    prop_oneof![
        4 => (0..8_u8).prop_map(|n| vec![b'a' + n]),
        1 => (20..26_usize).prop_map(|n| vec![b'c'; n]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let value = proptest::option::weighted(0.75, vec(any::<u8>(), 0..6));
    prop_oneof![
        8 => (key(), 0..12_u64, value)
            .prop_map(|(key, ahead, value)| Step::Install { key, ahead, value }),
        1 => any::<usize>().prop_map(|pick| Step::Again { pick }),
        4 => (key(), 0..16_u64).prop_map(|(key, ahead)| Step::Read { key, ahead }),
        2 => (key(), proptest::option::of(key()), 0..16_u64, any::<bool>())
            .prop_map(|(from, to, ahead, reverse)| Step::Scan { from, to, ahead, reverse }),
        2 => (0..12_u64, 0..4_usize).prop_map(|(ahead, budget)| Step::Prune { ahead, budget }),
        1 => Just(Step::Begin),
        3 => (0..60_usize).prop_map(|max_bytes| Step::Chunk { max_bytes }),
        1 => Just(Step::Crash),
    ]
}

/// A checkpoint that is being written, or was.
#[derive(Clone, Debug, Default)]
struct Checkpoint {
    log_start: usize,
    chunks: Vec<Vec<u8>>,
    after: Option<Key>,
    complete: bool,
}

#[derive(Default)]
struct World {
    versions: Versions,
    model: Model,
    log: Vec<(Vec<u8>, Timestamp, Value)>,
    safe_point: Timestamp,
    current: Option<Checkpoint>,
    newest: Option<Checkpoint>,
}

impl World {
    /// Reads and commits happen above the safe point.
    fn time(&self, ahead: u64) -> Timestamp {
        Timestamp(self.safe_point.0 + 1 + ahead)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Install { key, ahead, value } => {
                // A key's commits are logged in timestamp order (invariant I21).
                let versions = self.model.0.entry(key.clone()).or_default();
                let newest = versions.last_key_value().map_or(Timestamp::ZERO, |(at, _)| *at);
                let at = Timestamp(self.safe_point.max(newest).0 + 1 + ahead);
                let value = versions.entry(at).or_insert(value).clone();
                self.versions.install(&key, at, value.as_deref());
                self.log.push((key, at, value));
            }
            Step::Again { pick } => {
                let above = self.log.iter().filter(|(_, at, _)| *at > self.safe_point);
                let above: Vec<_> = above.cloned().collect();
                if let Some((key, at, value)) = above.get(pick % above.len().max(1)) {
                    self.versions.install(key, *at, value.as_deref());
                }
            }
            Step::Read { key, ahead } => self.read(&key, self.time(ahead)),
            Step::Scan { from, to, ahead, reverse } => {
                let range = KeyRange { start: Key::from(from), end: to.map(Key::from) };
                self.scan(&range, self.time(ahead), reverse);
            }
            Step::Prune { ahead, budget } => {
                self.safe_point = Timestamp(self.safe_point.0 + ahead);
                if self.versions.prune(self.safe_point, budget) {
                    self.assert_minimal();
                }
            }
            Step::Begin => {
                self.current =
                    Some(Checkpoint { log_start: self.log.len(), ..Checkpoint::default() });
            }
            Step::Chunk { max_bytes } => self.chunk(max_bytes),
            Step::Crash => self.crash(),
        }
    }

    fn read(&self, key: &[u8], at: Timestamp) {
        let held = self.versions.at(key, at).map(|v| (v.at, v.value.map(<[u8]>::to_vec)));
        let model = self.model.at(key, at);
        // A tombstone may be gone, as nothing is below it; all else is the same.
        match (&held, &model) {
            (None, Some((at, None))) => assert!(*at <= self.safe_point),
            _ => assert_eq!(held, model),
        }
    }

    fn scan(&self, range: &KeyRange, at: Timestamp, reverse: bool) {
        let found = self.versions.scan(range, at, reverse);
        let found: Vec<_> = found.map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        let mut expected = self.model.scan(range, at);
        if reverse {
            expected.reverse();
        }
        assert_eq!(found, expected);
    }

    /// After complete pruning each key has at most one version at or below the
    /// safe point, and that is no tombstone.
    fn assert_minimal(&self) {
        for key in self.model.0.keys() {
            let below: Vec<_> =
                self.versions.history(key).filter(|v| v.at <= self.safe_point).collect();
            assert!(below.len() <= 1 && below.iter().all(|v| v.value.is_some()), "{below:?}");
        }
    }

    fn chunk(&mut self, max_bytes: usize) {
        let Some(current) = &mut self.current else { return };
        let mut out = Vec::new();
        current.after = self.versions.chunk(current.after.as_deref(), max_bytes, &mut out);
        current.chunks.push(out);
        if current.after.is_none() {
            current.complete = true;
            self.newest = self.current.take();
        }
    }

    /// Everything in memory is lost; the newest complete checkpoint and the log
    /// from its start bring it back.
    fn crash(&mut self) {
        self.current = None;
        self.versions = Versions::new();
        let checkpoint = self.newest.clone().unwrap_or_default();
        for chunk in &checkpoint.chunks {
            self.versions.restore(chunk).expect("we wrote it");
        }
        for (key, at, value) in &self.log[checkpoint.log_start..] {
            self.versions.install(key, *at, value.as_deref());
        }
        self.check();
    }

    fn check(&self) {
        for at in (0..20).map(|ahead| self.time(ahead)) {
            self.scan(&KeyRange::all(), at, false);
            for key in self.model.0.keys() {
                self.read(key, at);
            }
        }
        let stats = self.versions.stats();
        let all = || self.model.0.keys().map(|key| (key, self.versions.history(key)));
        assert_eq!(stats.versions, all().map(|(_, history)| history.count()).sum::<usize>());
        let bytes = |(key, history): (&Vec<u8>, _)| -> usize {
            let values: Vec<usize> =
                Iterator::map(history, |v: super::Version<'_>| v.value.map_or(0, <[u8]>::len))
                    .collect();
            if values.is_empty() { 0 } else { key.len() + values.iter().sum::<usize>() }
        };
        assert_eq!(stats.bytes, all().map(bytes).sum::<usize>());
    }
}

proptest! {
    #[test]
    fn any_history_reads_like_the_model(steps in vec(step(), 0..80)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
        }
        world.check();
        world.crash();
        while !world.versions.prune(world.safe_point, 1) {}
        world.assert_minimal();
        world.check();
    }

    #[test]
    fn no_bytes_do_harm(mut bytes in vec(any::<u8>(), 0..60), cut in 0..4_u8) {
        // Plausible headers reach further into the parser than noise does.
        if bytes.len() > 5 && cut > 0 {
            bytes[..5].copy_from_slice(&[1, cut, 0, 0, 0]);
            bytes[5..].iter_mut().for_each(|byte| *byte &= 0x87);
        }
        let mut versions = Versions::new();
        if versions.restore(&bytes).is_ok() {
            let mut out = Vec::new();
            versions.chunk(None, usize::MAX, &mut out);
            prop_assert_eq!(out, bytes, "what is accepted is exactly what would be written");
        } else {
            prop_assert_eq!(versions.stats().keys, 0);
        }
    }
}
