//! One try of a transaction: what it reads and writes, up to the commit.

use synod_client::{Error, Isolation, LockMode, Txn};
use synod_common::key::{Key, KeyRange};

use super::super::super::deed::{self, Deed};
use super::super::super::history::ReadsAt;
use super::super::super::rng::Rng;
use super::super::work::all_accounts;
use super::data::Data;
use super::notes::{Meant, Note};
use super::reader::{Reader, unique};
use crate::invariants::sum::balance;

/// One try of a transaction.
pub(super) struct Attempt<'a> {
    data: &'a Data,
    txn: &'a Txn,
    isolation: Isolation,
    rng: Rng,
    reader: Reader,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        data: &'a Data,
        txn: &'a Txn,
        isolation: Isolation,
        seed: u64,
    ) -> Attempt<'a> {
        data.net.note(Note::Began(txn.id()));
        let loose = isolation == Isolation::ReadCommitted;
        let reader = Reader { loose, ..Reader::default() };
        Attempt { data, txn, isolation, rng: Rng::new(seed), reader }
    }

    /// Everything up to the commit.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        let mut full_scan = false;
        let detours = (self.rng.chance(1_500), self.rng.chance(1_500));
        if detours.0 {
            self.detour().await?;
        }
        match self.rng.below(100) {
            // Without locks and without validation, transfers would lose money.
            0..44 if self.isolation == Isolation::ReadCommitted => {
                self.scan_some().await?;
                self.write_note()?;
            }
            0..44 => self.transfer().await?,
            44..54 => {
                for _ in 0..self.rng.within(1..=3) {
                    self.write_note()?;
                }
            }
            54..64 => {
                self.scan_some().await?;
                self.write_note()?;
                self.scan_some().await?;
                self.write_note()?;
            }
            64..80 => self.count().await?,
            80..86 => {
                let reverse = self.rng.chance(5_000);
                self.scan(all_accounts(), None, reverse).await?;
                // Only by itself it can be added up.
                full_scan = detours == (false, false);
            }
            86..90 => self.take_free().await?,
            90..92 => self.clear_notes().await?,
            _ => {
                let keys: Vec<Key> =
                    (0..self.rng.within(1..=6)).map(|_| self.data.key(&mut self.rng)).collect();
                self.read(&keys).await?;
            }
        }
        if detours.1 {
            self.detour().await?;
        }
        if self.rng.chance(1_500) {
            self.check().await?;
        }
        let Reader { seen, writes, loose, .. } = self.reader;
        let reads_at = match (self.isolation, self.txn.reads_at()) {
            (Isolation::Optimistic, Some(at)) => ReadsAt::Validated(at),
            (Isolation::Snapshot, Some(at)) => ReadsAt::Snapshot(at),
            _ if loose => ReadsAt::Loose,
            _ => ReadsAt::Commit,
        };
        let (id, full_scan) = (self.txn.id(), full_scan && !loose);
        let meant = Meant { id, seen, writes, full_scan, reads_at };
        self.data.net.note(Note::Meant(Box::new(meant)));
        Ok(())
    }

    async fn transfer(&mut self) -> Result<(), Error> {
        let (from, to) = (self.data.account(&mut self.rng), self.data.account(&mut self.rng));
        if from == to {
            return Ok(());
        }
        self.read(&[from.clone(), to.clone()]).await?;
        let seen = &self.reader.seen.keys;
        let held = |key: &Key| seen.get(key).and_then(|value| balance(value.as_ref()?));
        let (Some(a), Some(b)) = (held(&from), held(&to)) else {
            self.data.net.note(Note::Wrong(format!("{from} or {to} has no balance")));
            return Ok(());
        };
        let amount = self.rng.within(1..=20) as i64;
        self.write(from.clone(), Some((a - amount).to_string()))?;
        if self.rng.chance(2_000) {
            self.scan_some().await?;
        }
        self.write(to.clone(), Some((b + amount).to_string()))?;
        if self.rng.chance(3_000) {
            let other = self.data.key(&mut self.rng);
            self.read(&[from, other, to]).await?;
        }
        Ok(())
    }

    async fn count(&mut self) -> Result<(), Error> {
        for _ in 0..self.rng.within(1..=4) {
            let key = deed::key(&mut self.rng);
            if self.rng.chance(2_000) {
                self.read(std::slice::from_ref(&key)).await?;
            }
            let deed = deed::draw(&mut self.rng, &key, &self.txn.id().to_string());
            self.operate(key.clone(), deed)?;
            if self.rng.chance(1_500) {
                let other = self.data.key(&mut self.rng);
                self.read(&[key, other]).await?;
            }
        }
        if self.rng.chance(1_500) {
            self.scan_some().await?;
        }
        if self.rng.chance(2_000) {
            self.write_note()?;
        }
        Ok(())
    }

    fn operate(&mut self, key: Key, deed: Deed) -> Result<(), Error> {
        match &deed {
            Deed::Put(Some(value)) => self.txn.put_bytes(&key, value.clone())?,
            Deed::Put(None) => self.txn.delete(&key)?,
            Deed::Add(n) => self.txn.add(&key, *n)?,
            Deed::Min(n) => self.txn.min(&key, *n)?,
            Deed::Max(n) => self.txn.max(&key, *n)?,
            Deed::Append(bytes) => self.txn.append(&key, bytes)?,
        }
        deed::push(self.reader.writes.entry(key).or_default(), deed);
        Ok(())
    }

    /// Reads keys in one of the ways in which that is possible.
    async fn read(&mut self, keys: &[Key]) -> Result<(), Error> {
        let way = self.rng.below(7);
        self.reader.locked = !matches!(way, 0 | 3);
        let found = match way {
            0 => self.txn.get_many(keys).await,
            1 => self.txn.get_many_for_update(keys).await,
            2 => match self.txn.get_many_for_update(keys).nowait().await {
                Err(Error::Locked(_)) => self.txn.get_many(keys).await,
                found => found,
            },
            way => {
                let mut found = Vec::new();
                for key in keys {
                    found.push(match way {
                        3 => self.txn.get(key).await?,
                        4 => self.txn.get_for_share(key).await?,
                        5 => match self.txn.get(key).nowait().await {
                            Err(Error::Locked(_)) => self.txn.get_for_update(key).await?,
                            found => found?,
                        },
                        _ => self.txn.get_for_update(key).await?,
                    });
                }
                Ok(found)
            }
        };
        self.data.keys(&mut self.reader, keys, found)
    }

    /// Locks something without reading it, or does not if it is not free.
    async fn lock(&mut self) -> Result<(), Error> {
        let mode = match self.rng.below(5) {
            0 => LockMode::Shared,
            1 => LockMode::Update,
            _ => LockMode::Exclusive,
        };
        let key = self.data.key(&mut self.rng);
        let lock = match self.rng.below(4) {
            0 => {
                let range = self.data.range(&mut self.rng);
                if range.is_empty() {
                    return Ok(());
                }
                self.txn.lock_range(range, mode)
            }
            1 => self.txn.lock_many([key, self.data.key(&mut self.rng)], mode),
            _ => self.txn.lock(key, mode),
        };
        let lock = if self.rng.chance(5_000) { lock.nowait() } else { lock };
        match lock.await {
            Err(Error::Locked(_)) => Ok(()),
            result => result,
        }
    }

    /// Does something and takes it back, perhaps to come to the same keys again.
    async fn detour(&mut self) -> Result<(), Error> {
        let savepoint = self.txn.savepoint();
        let writes = self.reader.writes.clone();
        for _ in 0..self.rng.within(1..=3) {
            match self.rng.below(6) {
                0..3 => self.lock().await?,
                3 => self.write_note()?,
                4 => self.scan_some().await?,
                _ => {
                    let key = self.data.key(&mut self.rng);
                    self.read(&[key]).await?;
                }
            }
        }
        self.txn.rollback_to(&savepoint)?;
        self.reader.writes = writes;
        if self.rng.chance(5_000) {
            let keys = [self.data.key(&mut self.rng), self.data.key(&mut self.rng)];
            self.read(&keys).await?;
        }
        Ok(())
    }

    /// Reads what is free of some keys, or of a range.
    async fn take_free(&mut self) -> Result<(), Error> {
        self.reader.locked = true;
        if self.rng.chance(5_000) {
            let keys: Vec<Key> =
                (0..self.rng.within(1..=6)).map(|_| self.data.key(&mut self.rng)).collect();
            let found = self.txn.get_many_for_update(&keys).skip_locked().await?;
            for (key, value) in keys.iter().zip(found) {
                if let Some(value) = value {
                    self.data.judge(self.reader.saw(&self.data.router, key, value.into_bytes()));
                }
            }
            return self.write_note();
        }
        let range = self.data.range(&mut self.rng);
        let scan = self.txn.scan_for_update(range.clone()).skip_locked();
        let scan = if self.rng.chance(5_000) { scan.reverse() } else { scan };
        for row in scan.limit(self.rng.within(1..=6) as usize).collect().await? {
            if !range.contains(&row.key) {
                self.data.net.note(Note::Wrong(format!("{} is no row of {range}", row.key)));
            }
            self.data.judge(self.reader.saw(&self.data.router, &row.key, Some(row.value)));
        }
        self.write_note()
    }

    /// Deletes notes that it has seen.
    async fn clear_notes(&mut self) -> Result<(), Error> {
        let from = self.rng.below(16);
        let to = from + self.rng.within(1..=3);
        let name = |n: u64| Key::from(format!("n/{n:02}").as_str());
        let range = KeyRange { start: name(from), end: Some(name(to)) };
        let scan = if self.rng.chance(5_000) && !self.reader.loose {
            self.txn.scan(range.clone())
        } else {
            self.reader.locked = true;
            self.txn.scan_for_update(range.clone())
        };
        let rows = scan.collect().await?;
        let keys: Vec<Key> = rows.iter().map(|row| row.key.clone()).collect();
        let scanned = self.reader.scanned(&self.data.router, &range, None, false, rows);
        self.data.judge(scanned);
        let deleted = self.txn.delete_range(range).await?;
        if deleted != keys.len() {
            let what = format!("{deleted} keys were deleted of {} that were seen", keys.len());
            self.data.net.note(Note::Wrong(what));
        }
        for key in keys {
            deed::push(self.reader.writes.entry(key).or_default(), Deed::Put(None));
        }
        Ok(())
    }

    /// What was seen is still so.
    async fn check(&mut self) -> Result<(), Error> {
        let Reader { seen, writes, .. } = &self.reader;
        let mut unwritten = seen.keys.iter().filter(|(key, _)| !writes.contains_key(*key));
        match unwritten.next() {
            Some((key, Some(value))) => self.txn.check_bytes(key, value.clone()).await,
            Some((key, None)) => self.txn.check_absent(key).await,
            None => Ok(()),
        }
    }

    async fn scan_some(&mut self) -> Result<(), Error> {
        let range = self.data.range(&mut self.rng);
        let (limit, reverse) = (self.data.limit(&mut self.rng), self.rng.chance(5_000));
        self.scan(range, limit, reverse).await
    }

    async fn scan(
        &mut self,
        range: KeyRange,
        limit: Option<usize>,
        reverse: bool,
    ) -> Result<(), Error> {
        self.reader.locked = self.rng.below(4) == 0;
        let scan = match self.reader.locked {
            true => self.txn.scan_for_update(range.clone()),
            false => self.txn.scan(range.clone()),
        };
        self.data.scan(&mut self.reader, scan, range, limit, reverse).await
    }

    fn write_note(&mut self) -> Result<(), Error> {
        let key = self.data.note(&mut self.rng);
        let text = self.rng.chance(7_000).then(|| format!("note {}", self.rng.below(1_000)));
        self.write(key, text)
    }

    fn write(&mut self, key: Key, text: Option<String>) -> Result<(), Error> {
        let value = text.map(|text| unique(&text, self.txn.id()));
        self.operate(key, Deed::Put(value))
    }
}
