//! The index against a plain map of maps, under random histories.
//!
//! Runs 256 cases; more with `PROPTEST_CASES=100000 cargo test --release -p
//! synod-shard mvcc::model`.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use synod_common::id::{Epoch, SessionId, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::operation::{IntegerOp, Operation};
use synod_common::time::Timestamp;

use super::chain::{By, Content};
use super::{Version, Versions};

type Value = Option<Vec<u8>>;

/// What a commit does to a key.
#[derive(Clone, Debug, PartialEq)]
enum Write {
    Put(Value),
    Integer(IntegerOp),
    Append(Vec<u8>),
}

impl Write {
    /// Whether the two may be under way at once.
    fn commutes(&self, other: &Write) -> bool {
        matches!(
            (self, other),
            (Write::Integer(_), Write::Integer(_)) | (Write::Append(_), Write::Append(_))
        )
    }

    /// What becomes of a value, said as plainly as possible.
    fn on(&self, value: Value) -> Value {
        match self {
            Write::Put(value) => value.clone(),
            Write::Append(bytes) => Some([value.unwrap_or_default(), bytes.clone()].concat()),
            Write::Integer(op) => {
                let cell = value.map(|v| i64::from_be_bytes(v.try_into().expect("8 bytes")));
                let number = match (op, cell) {
                    (IntegerOp::Add(n), cell) => cell.unwrap_or(0).wrapping_add(*n),
                    (IntegerOp::Min(n), cell) => cell.unwrap_or(*n).min(*n),
                    (IntegerOp::Max(n), cell) => cell.unwrap_or(*n).max(*n),
                };
                Some(number.to_be_bytes().to_vec())
            }
        }
    }
}

/// A commit's write to one key.
#[derive(Clone, Debug)]
struct Commit {
    key: Vec<u8>,
    at: Timestamp,
    by: By,
    write: Write,
}

impl Commit {
    fn install(&self, versions: &mut Versions) {
        let Commit { key, at, by, write } = self;
        match write {
            Write::Put(value) => versions.install(key, *at, value.as_deref()),
            Write::Integer(op) => versions.operate(key, *at, *by, Operation::Integer(*op)),
            Write::Append(bytes) => versions.operate(key, *at, *by, Operation::Append(bytes)),
        }
    }
}

/// Every write that was ever committed; never pruned.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<Vec<u8>, BTreeMap<(Timestamp, By), Write>>);

impl Model {
    fn at(&self, key: &[u8], at: Timestamp) -> Option<(Timestamp, Value)> {
        let writes = self.0.get(key)?.iter().take_while(|((when, _), _)| *when <= at);
        let mut seen = None;
        for ((when, _), write) in writes {
            seen = Some((*when, write.on(seen.and_then(|(_, value)| value))));
        }
        seen
    }

    fn scan(&self, range: &KeyRange, at: Timestamp) -> Vec<(Vec<u8>, Vec<u8>)> {
        let keys = self.0.keys().filter(|key| range.contains(key));
        keys.filter_map(|key| Some((key.clone(), self.at(key, at)?.1?))).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// A commit; it may be installed later.
    Commit {
        key: Vec<u8>,
        ahead: u64,
        txn: u64,
        write: Write,
        later: bool,
    },
    /// One that was not installed is.
    Install {
        pick: usize,
    },
    Again {
        pick: usize,
    },
    Read {
        key: Vec<u8>,
        ahead: u64,
    },
    Scan {
        from: Vec<u8>,
        to: Option<Vec<u8>>,
        ahead: u64,
        reverse: bool,
    },
    Prune {
        ahead: u64,
        budget: usize,
    },
    Begin,
    Chunk {
        max_bytes: usize,
    },
    Crash,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Short and long names, prefixes of one another.
    prop_oneof![
        4 => (0..8_u8).prop_map(|n| vec![b'a' + n]),
        1 => (20..26_usize).prop_map(|n| vec![b'c'; n]),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let number = || prop_oneof![-3..4_i64, Just(i64::MIN), Just(i64::MAX)];
    prop_oneof![
        6 => proptest::option::weighted(0.75, vec(any::<u8>(), 0..6)).prop_map(Write::Put),
        1 => number().prop_map(|n| Write::Put(Some(n.to_be_bytes().to_vec()))),
        3 => number().prop_map(|n| Write::Integer(IntegerOp::Add(n))),
        1 => number().prop_map(|n| Write::Integer(IntegerOp::Min(n))),
        1 => number().prop_map(|n| Write::Integer(IntegerOp::Max(n))),
        4 => vec(any::<u8>(), 0..4).prop_map(Write::Append),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (key(), 0..12_u64, 0..4_u64, write(), any::<bool>()).prop_map(
            |(key, ahead, txn, write, later)| Step::Commit { key, ahead, txn, write, later }
        ),
        4 => any::<usize>().prop_map(|pick| Step::Install { pick }),
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
    /// What was in the log before its start and not installed yet.
    open: Vec<Commit>,
    chunks: Vec<Vec<u8>>,
    after: Option<Key>,
    complete: bool,
}

#[derive(Default)]
struct World {
    versions: Versions,
    model: Model,
    log: Vec<Commit>,
    /// In the log and locked, but not installed.
    open: Vec<Commit>,
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
            Step::Commit { key, ahead, txn, write, later } => {
                self.commit(key, ahead, txn, write, later);
            }
            Step::Install { pick } => {
                if !self.open.is_empty() {
                    let commit = self.open.swap_remove(pick % self.open.len());
                    commit.install(&mut self.versions);
                }
            }
            Step::Again { pick } => {
                let open = |commit: &&Commit| {
                    self.open.iter().any(|open| open.key == commit.key && open.at == commit.at)
                };
                let above = self.log.iter().filter(|commit| commit.at > self.safe_point);
                let above: Vec<_> = above.filter(|commit| !open(commit)).collect();
                if let Some(commit) = above.get(pick % above.len().max(1)) {
                    commit.install(&mut self.versions);
                }
            }
            Step::Read { key, ahead } => {
                self.resolve(self.time(ahead));
                self.read(&key, self.time(ahead));
            }
            Step::Scan { from, to, ahead, reverse } => {
                let range = KeyRange { start: Key::from(from), end: to.map(Key::from) };
                self.resolve(self.time(ahead));
                self.scan(&range, self.time(ahead), reverse);
            }
            Step::Prune { ahead, budget } => {
                let open = self.open.iter().map(|commit| commit.at.0 - 1).min();
                let to = (self.safe_point.0 + ahead).min(open.unwrap_or(u64::MAX));
                self.safe_point = Timestamp(to);
                if self.versions.prune(self.safe_point, budget) {
                    self.assert_minimal();
                }
            }
            Step::Begin => {
                let (log_start, open) = (self.log.len(), self.open.clone());
                self.current = Some(Checkpoint { log_start, open, ..Checkpoint::default() });
            }
            Step::Chunk { max_bytes } => self.chunk(max_bytes),
            Step::Crash => self.crash(),
        }
    }

    /// What does not commute waits for the others' locks, and comes after them in
    /// time and in the log (invariant I21). What commutes comes in any order, two
    /// at one timestamp too.
    fn commit(&mut self, key: Vec<u8>, ahead: u64, txn: u64, write: Write, later: bool) {
        let write = self.fitting(&key, write);
        let blocks = |open: &Commit| open.key == key && !open.write.commutes(&write);
        for commit in self.open.extract_if(.., |open| blocks(open)) {
            commit.install(&mut self.versions);
        }
        let writes = self.model.0.entry(key.clone()).or_default();
        let mut before = writes.iter().rev().skip_while(|(_, earlier)| write.commutes(earlier));
        let before = before.next().map_or(Timestamp::ZERO, |((at, _), _)| *at);
        let at = Timestamp(self.safe_point.max(before).0 + 1 + ahead);
        let session = SessionId { epoch: Epoch(1), number: txn };
        let by = By { txn: TxnId { session, sequence: 1 }, step: 0 };
        if writes.contains_key(&(at, by)) {
            return;
        }
        writes.insert((at, by), write.clone());
        let commit = Commit { key, at, by, write };
        self.log.push(commit.clone());
        if later {
            self.open.push(commit);
        } else {
            commit.install(&mut self.versions);
        }
    }

    /// What a vote would let through.
    fn fitting(&self, key: &[u8], write: Write) -> Write {
        let newest = self.model.at(key, Timestamp::MAX).and_then(|(_, value)| value);
        match write {
            Write::Integer(op) if newest.is_some_and(|value| value.len() != 8) => {
                Write::Put(Some(op.apply(None).to_be_bytes().to_vec()))
            }
            write => write,
        }
    }

    /// A reader waits for what may commit at or below its timestamp.
    fn resolve(&mut self, at: Timestamp) {
        for commit in self.open.extract_if(.., |open| open.at <= at) {
            commit.install(&mut self.versions);
        }
    }

    fn read(&self, key: &[u8], at: Timestamp) {
        let owned = |version: Version<'_>| (version.at, version.value.map(|v| v.into_owned()));
        let held = self.versions.at(key, at).map(owned);
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
    /// safe point, and that is a value.
    fn assert_minimal(&self) {
        for (name, chain) in self.versions.keys.iter() {
            let below = chain.contents().filter(|(at, _)| *at <= self.safe_point);
            let below: Vec<_> = below.map(|(_, content)| content).collect();
            let minimal = matches!(below[..], [] | [Content::Complete(Some(_))]);
            assert!(minimal, "{name:?}: {below:?}");
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
        for commit in &checkpoint.open {
            commit.install(&mut self.versions);
        }
        for chunk in &checkpoint.chunks {
            self.versions.restore(chunk).expect("we wrote it");
        }
        for commit in &self.log[checkpoint.log_start..] {
            commit.install(&mut self.versions);
        }
        self.open.clear();
        self.check();
    }

    fn check(&mut self) {
        self.resolve(Timestamp::MAX);
        for at in (0..20).map(|ahead| self.time(ahead)) {
            self.scan(&KeyRange::all(), at, false);
            for key in self.model.0.keys() {
                self.read(key, at);
            }
        }
        for key in self.model.0.keys() {
            let newest = self.versions.newest(key).and_then(|version| version.value);
            assert_eq!(self.versions.newest_len(key), newest.map(|value| value.len()));
        }
        let stats = self.versions.stats();
        let chains = || self.versions.keys.iter();
        assert_eq!(stats.versions, chains().map(|(_, chain)| chain.len()).sum::<usize>());
        let names: usize = chains().map(|(name, _)| name.as_bytes().len()).sum();
        let contents = chains().flat_map(|(_, chain)| chain.contents());
        let held: usize = contents.map(|(_, content)| content.size()).sum();
        assert_eq!(stats.bytes, names + held);
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
