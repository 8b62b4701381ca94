//! What transactions do.

use std::collections::{BTreeMap, BTreeSet};

use synod_common::id::TxnId;
use synod_common::key::{Key, KeyRange};
use synod_common::message::data::ReadMode;

use super::super::deed::{self, Deed};
use super::super::history::{Seen, Writes};
use super::super::world::{INITIAL, Phase, World};
use crate::invariants::sum::balance;

/// A kind of transaction.
#[derive(Clone, Debug)]
pub enum Work {
    /// Makes the accounts.
    Setup,
    /// Moves money.
    Transfer {
        /// From where.
        from: Key,
        /// To where.
        to: Key,
        /// How much.
        amount: i64,
    },
    /// Writes notes without looking.
    Blind(Vec<(Key, bool)>),
    /// Reads notes, and adds or removes one.
    Notes(Key),
    /// Counts, and writes behind; after a look at those keys if it is so.
    Count(Vec<Key>, bool),
    /// Reads all accounts.
    Scan,
    /// Reads some keys.
    Look,
}

/// One request of a transaction.
#[derive(Clone, Debug)]
pub enum Access {
    /// Keys with a lock.
    Keys(Vec<Key>, ReadMode),
    /// A page of a range; from the end if so.
    Range(KeyRange, bool),
}

/// All accounts.
pub fn all_accounts() -> KeyRange {
    KeyRange { start: Key::from("a/"), end: Some(Key::from("a0")) }
}

fn all_notes() -> KeyRange {
    KeyRange { start: Key::from("n/"), end: Some(Key::from("n0")) }
}

impl World {
    fn account(&mut self) -> Key {
        let i = self.rng.below(self.accounts.len() as u64) as usize;
        self.accounts[i].clone()
    }

    /// Notes lie among the accounts when keys are spread by range, so that all
    /// shards have some.
    fn note(&mut self) -> Key {
        let i = self.rng.below(16);
        if self.rng.chance(5_000) {
            return Key::from(format!("n/{i:02}").as_str());
        }
        let account = self.account();
        Key::from(format!("b{account}").as_str())
    }

    /// What a client does next.
    pub(super) fn draw_work(&mut self) -> Work {
        if self.phase == Phase::Setup {
            return Work::Setup;
        }
        match self.rng.below(100) {
            0..44 => {
                let from = self.account();
                let same = self.rng.chance(3_000);
                let mut to = self.account();
                for _ in 0..20 {
                    let together = self.router.shard_of(&from) == self.router.shard_of(&to);
                    if to != from && together == same {
                        break;
                    }
                    to = self.account();
                }
                Work::Transfer { from, to, amount: self.rng.within(1..=20) as i64 }
            }
            44..58 => {
                let count = self.rng.within(1..=3);
                let notes = (0..count).map(|_| (self.note(), self.rng.chance(7_500)));
                let notes: BTreeMap<Key, bool> = notes.collect();
                Work::Blind(notes.into_iter().collect())
            }
            58..66 => Work::Notes(self.note()),
            66..80 => {
                let count = self.rng.within(1..=3);
                let keys: BTreeSet<Key> = (0..count).map(|_| deed::key(&mut self.rng)).collect();
                Work::Count(keys.into_iter().collect(), self.rng.chance(2_500))
            }
            80..87 => Work::Scan,
            _ => Work::Look,
        }
    }

    /// The requests of a transaction, each with its server.
    pub(super) fn accesses(&mut self, work: &Work) -> Vec<(usize, Access)> {
        let mut mode = ReadMode::Shared;
        if self.rng.chance(5_000) {
            mode = if self.rng.chance(7_000) { ReadMode::Update } else { ReadMode::Exclusive };
        }
        let keys: Vec<Key> = match work {
            Work::Setup | Work::Blind(_) | Work::Count(_, false) => return Vec::new(),
            Work::Count(keys, true) => keys.clone(),
            Work::Transfer { from, to, .. } => vec![from.clone(), to.clone()],
            Work::Notes(_) => return self.ranges(&all_notes()),
            Work::Scan => return self.ranges(&all_accounts()),
            Work::Look => {
                mode = ReadMode::Shared;
                let count = self.rng.within(1..=4);
                (0..count)
                    .map(|_| match self.rng.below(10) {
                        0..5 => self.account(),
                        5..8 => self.note(),
                        _ => deed::key(&mut self.rng),
                    })
                    .collect()
            }
        };
        let mut accesses: Vec<(usize, Access)> = Vec::new();
        for key in keys {
            let server = usize::from(self.router.shard_of(&key).0);
            let together = accesses.iter_mut().find_map(|(at, access)| match access {
                Access::Keys(keys, _) if *at == server => Some(keys),
                _ => None,
            });
            match together {
                Some(keys) if !keys.contains(&key) => keys.push(key),
                Some(_) => {}
                None => accesses.push((server, Access::Keys(vec![key], mode))),
            }
        }
        accesses
    }

    fn ranges(&mut self, range: &KeyRange) -> Vec<(usize, Access)> {
        let reverse = self.rng.chance(3_000);
        let shards = self.router.shards_of(range);
        shards
            .into_iter()
            .map(|shard| (usize::from(shard.0), Access::Range(range.clone(), reverse)))
            .collect()
    }

    /// What a transaction writes after what it saw; none if it can not go on.
    pub(super) fn writes(&mut self, id: TxnId, work: &Work, seen: &Seen) -> Option<Writes> {
        let value = |text: String| vec![Deed::Put(Some(format!("{text} {id}").into()))];
        let delete = || vec![Deed::Put(None)];
        let mut writes = Writes::new();
        match work {
            Work::Setup => {
                for account in &self.accounts {
                    writes.insert(account.clone(), value(INITIAL.to_string()));
                }
            }
            Work::Transfer { from, to, amount } => {
                let held = |key: &Key| balance(seen.keys.get(key)?.as_ref()?);
                let (a, b) = (held(from)?, held(to)?);
                if from == to {
                    return None;
                }
                writes.insert(from.clone(), value((a - amount).to_string()));
                writes.insert(to.clone(), value((b + amount).to_string()));
            }
            Work::Blind(notes) => {
                for (key, put) in notes {
                    writes.insert(key.clone(), if *put { value("note".into()) } else { delete() });
                }
            }
            Work::Notes(key) => {
                let rows: usize = seen.ranges.iter().map(|(_, _, rows)| rows.len()).sum();
                let put = rows < 8 || self.rng.chance(3_000);
                let note = if put { value(format!("{rows} seen")) } else { delete() };
                writes.insert(key.clone(), note);
            }
            Work::Count(keys, _) => {
                for key in keys {
                    let deeds = writes.entry(key.clone()).or_default();
                    for _ in 0..self.rng.within(1..=2) {
                        deed::push(deeds, deed::draw(&mut self.rng, key, &id.to_string()));
                    }
                }
            }
            Work::Scan | Work::Look => {}
        }
        Some(writes)
    }
}
