//! What the workers of a program do.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use synod_client::net::Net;
use synod_client::{Client, Error, Options, Outcome, Scan, Snapshot as View, Txn, TxnId};
use synod_common::key::{Key, KeyRange};
use synod_common::route::Router;
use synod_common::time::Timestamp;

use super::super::super::deed::{self, Deed};
use super::super::super::history::Snapshot;
use super::super::super::rng::Rng;
use super::super::super::server::COORDINATOR;
use super::super::super::world::Phase;
use super::super::work::all_accounts;
use super::net::SimNet;
use super::notes::Note;
use super::reader::{Reader, unique};
use crate::invariants::sum::balance;

/// One of the tasks of a program.
pub struct Worker {
    client: usize,
    net: Arc<SimNet>,
    database: Client,
    data: Rc<Data>,
    rng: Rng,
    left: u32,
    past: Vec<TxnId>,
    viewed: Vec<Timestamp>,
}

/// What there is to read and write.
struct Data {
    net: Arc<SimNet>,
    accounts: Vec<Key>,
    router: Router,
}

/// How a transaction is run.
#[derive(Clone, Copy)]
enum Manner {
    /// By `transact`.
    Transact,
    /// By `begin` and `commit`.
    Begin,
    /// By `begin`, and dropped.
    Drop,
}

impl Worker {
    /// One that has so much left to do.
    pub fn new(
        client: usize,
        net: Arc<SimNet>,
        database: Client,
        accounts: &[Key],
        router: &Router,
        rng: Rng,
        left: u32,
    ) -> Worker {
        let data = Data { net: net.clone(), accounts: accounts.to_vec(), router: router.clone() };
        let (past, viewed) = (Vec::new(), Vec::new());
        Worker { client, net, database, data: Rc::new(data), rng, left, past, viewed }
    }

    /// Works until it is time to finish.
    pub async fn run(mut self) {
        loop {
            let view = self.net.view();
            let healing = view.phase >= Phase::Healing;
            if healing && (self.left == 0 || view.hurry) {
                break;
            }
            if self.rng.chance(view.vanish) {
                self.net.note(Note::Vanish);
                // Nothing behind this is ever done.
                std::future::pending::<()>().await;
            }
            if self.left == 0 {
                // As long as something may go wrong there is always some traffic.
                self.rest(20_000..=400_000).await;
            }
            self.left = self.left.saturating_sub(1);
            if self.rng.chance(1_500) {
                let patience = self.rng.skewed(200_000);
                let late = self.net.sleep(Duration::from_micros(patience));
                unless(late, self.something()).await;
            } else {
                self.something().await;
            }
            let think = self.rng.skewed(20_000);
            self.rest(think..=think).await;
        }
        // The last worker closes the session by dropping the client.
        let net = Arc::clone(&self.net);
        drop(self);
        net.note(Note::Done);
    }

    async fn rest(&mut self, micros: std::ops::RangeInclusive<u64>) {
        let time = Duration::from_micros(self.rng.within(micros));
        self.net.sleep(time).await;
    }

    async fn something(&mut self) {
        match self.rng.below(100) {
            0..76 => self.transaction().await,
            76..88 => self.view().await,
            88..93 => self.write_one().await,
            93..97 => self.recall().await,
            _ => self.database = Client::over(self.net.clone(), COORDINATOR),
        }
    }

    async fn transaction(&mut self) {
        let options = Options::new()
            .timeout(Duration::from_millis(self.rng.within(100..=3_000)))
            .lock_wait(Duration::from_millis(self.rng.within(20..=300)))
            .attempts(self.rng.within(1..=20) as u32);
        let manner = match self.rng.below(100) {
            0..60 => Manner::Transact,
            60..88 => Manner::Begin,
            _ => Manner::Drop,
        };
        let seed = self.rng.bits();
        match manner {
            Manner::Transact => self.transact(options, seed).await,
            Manner::Begin | Manner::Drop => {
                let Ok(txn) = self.database.begin(options).await else { return };
                let id = txn.id();
                let result = Attempt::new(&self.data, &txn, seed).run().await;
                match (result, manner) {
                    (Err(error), _) => {
                        drop(txn);
                        self.over(id, Err(error)).await;
                    }
                    (Ok(()), Manner::Drop) => {
                        drop(txn);
                        self.net.note(Note::Aborted(id));
                    }
                    (Ok(()), _) => {
                        let committed = txn.commit().await;
                        if let Ok(committed) = &committed
                            && committed.txn != id
                        {
                            self.wrong(format!("{id} was committed as {}", committed.txn));
                        }
                        self.over(id, committed.map(|committed| committed.at)).await;
                    }
                }
            }
        }
    }

    async fn transact(&mut self, options: Options, seed: u64) {
        let last: Rc<RefCell<Option<TxnId>>> = Rc::default();
        let mut rng = Rng::new(seed);
        let result = self
            .database
            .transact_with(options, |txn| {
                // Whoever tries again says that the last try had no effect.
                if let Some(before) = last.borrow_mut().replace(txn.id()) {
                    self.net.note(Note::Aborted(before));
                }
                let (data, seed) = (Rc::clone(&self.data), rng.bits());
                async move { Attempt::new(&data, &txn, seed).run().await }
            })
            .await;
        let last = last.take();
        match (last, result) {
            (Some(id), Ok(())) => {
                self.net.note(Note::Committed(id, None));
                self.past.push(id);
            }
            (Some(id), Err(error)) => self.over(id, Err(error)).await,
            (None, Ok(())) => self.wrong("transact did nothing".to_owned()),
            (None, Err(_)) => {}
        }
    }

    /// The end of a transaction, as the library tells it. `at` is none if it did
    /// nothing.
    async fn over(&mut self, id: TxnId, result: Result<Option<Timestamp>, Error>) {
        self.past.push(id);
        match result {
            Ok(at) => self.net.note(Note::Committed(id, at)),
            Err(Error::InDoubt(doubt)) if doubt == id => {
                let pause = self.rng.skewed(500_000);
                self.rest(pause..=pause).await;
                self.ask(id).await;
            }
            Err(Error::Unavailable(text)) if text.contains("does not fit") => self.wrong(text),
            Err(Error::Retry(_) | Error::Aborted(_) | Error::Unavailable(_)) => {
                self.net.note(Note::Aborted(id));
            }
            Err(
                error @ (Error::InDoubt(_)
                | Error::Misuse(_)
                | Error::TooLarge(_)
                | Error::SnapshotTooOld(_)
                | Error::Denied(_)
                | Error::Corrupt(_)),
            ) => self.wrong(format!("{id} failed with {error:?}")),
        }
    }

    async fn ask(&mut self, id: TxnId) {
        match self.database.outcome(id).await {
            Ok(Outcome::Committed(at)) => self.net.note(Note::Committed(id, Some(at))),
            Ok(Outcome::Aborted(_)) => self.net.note(Note::Aborted(id)),
            Ok(Outcome::Undecided | Outcome::Unknown)
            | Err(Error::Unavailable(_) | Error::Retry(_)) => {}
            Err(error) => self.wrong(format!("the outcome of {id} failed with {error:?}")),
        }
    }

    async fn recall(&mut self) {
        if !self.past.is_empty() {
            let id = self.past[self.rng.below(self.past.len() as u64) as usize];
            self.ask(id).await;
        }
    }

    /// One of the calls that begin a transaction by themselves.
    async fn write_one(&mut self) {
        let key = self.data.note(&mut self.rng);
        let result = if self.rng.chance(2_500) {
            let counter = Key::from(format!("c/{:02}", self.rng.below(4)).as_str());
            self.database.add(counter, self.rng.below(10) as i64).await
        } else if self.rng.chance(7_500) {
            let text = format!("note of {} {}", self.client, self.rng.bits());
            self.database.put_bytes(key, text).await
        } else {
            self.database.delete(key).await
        };
        if let Err(error @ (Error::Misuse(_) | Error::TooLarge(_) | Error::Corrupt(_))) = result {
            self.wrong(format!("a write failed with {error:?}"));
        }
    }

    async fn view(&mut self) {
        let mut begun = self.net.view().time;
        let old = self.viewed.last().copied().filter(|_| self.rng.chance(2_000));
        let snapshot = match old {
            Some(at) => {
                begun = 0;
                self.database.snapshot_at(at).await
            }
            None => self.database.snapshot().await,
        };
        let Ok(snapshot) = snapshot else { return };
        let (data, at) = (Rc::clone(&self.data), snapshot.timestamp());
        let mut reader = Reader::default();
        let full = self.rng.chance(6_000);
        let result = if full && self.rng.chance(4_000) {
            data.keys(&mut reader, &data.accounts, snapshot.get_many(&data.accounts).await)
        } else if full {
            let reverse = self.rng.chance(5_000);
            data.scan(&mut reader, snapshot.scan(all_accounts()), all_accounts(), None, reverse)
                .await
        } else {
            let range = data.range(&mut self.rng);
            let (limit, reverse) = (data.limit(&mut self.rng), self.rng.chance(5_000));
            let key = data.key(&mut self.rng);
            let scanned =
                data.scan(&mut reader, snapshot.scan(range.clone()), range, limit, reverse).await;
            match scanned {
                Ok(()) => {
                    let value = snapshot.get(&key).await;
                    data.keys(&mut reader, &[key], value.map(|value| vec![value]))
                }
                Err(error) => Err(error),
            }
        };
        match result {
            Ok(()) => {
                let (client, answered, seen) = (self.client, self.net.view().time, reader.seen);
                self.viewed.push(at);
                self.net.note(Note::Viewed(Snapshot { client, begun, answered, at, seen, full }));
                if self.rng.chance(2_500) {
                    self.view_again(&snapshot).await;
                }
            }
            Err(Error::Unavailable(text)) if text.contains("does not fit") => self.wrong(text),
            Err(
                Error::Unavailable(_)
                | Error::Retry(_)
                | Error::Aborted(_)
                | Error::SnapshotTooOld(_),
            ) => {}
            Err(error) => self.wrong(format!("the snapshot at {at} failed with {error:?}")),
        }
    }

    /// A snapshot that is held for a while shows the same again.
    async fn view_again(&mut self, snapshot: &View) {
        let hold = self.rng.skewed(2_000_000);
        self.rest(hold..=hold).await;
        let (data, at) = (Rc::clone(&self.data), snapshot.timestamp());
        let mut reader = Reader::default();
        let found = snapshot.get_many(&data.accounts).await;
        if data.keys(&mut reader, &data.accounts, found).is_ok() {
            let (client, answered, seen) = (self.client, self.net.view().time, reader.seen);
            let again = Snapshot { client, begun: 0, answered, at, seen, full: true };
            self.net.note(Note::Viewed(again));
        }
    }

    fn wrong(&self, what: String) {
        self.net.note(Note::Wrong(what));
    }
}

/// One try of a transaction.
struct Attempt<'a> {
    data: &'a Data,
    txn: &'a Txn,
    rng: Rng,
    reader: Reader,
}

impl<'a> Attempt<'a> {
    fn new(data: &'a Data, txn: &'a Txn, seed: u64) -> Attempt<'a> {
        data.net.note(Note::Began(txn.id()));
        Attempt { data, txn, rng: Rng::new(seed), reader: Reader::default() }
    }

    /// Everything up to the commit.
    async fn run(mut self) -> Result<(), Error> {
        let mut full_scan = false;
        match self.rng.below(100) {
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
                full_scan = true;
            }
            _ => {
                let keys: Vec<Key> =
                    (0..self.rng.within(1..=6)).map(|_| self.data.key(&mut self.rng)).collect();
                self.read(&keys).await?;
            }
        }
        let Reader { seen, writes } = self.reader;
        self.data.net.note(Note::Meant(self.txn.id(), seen, writes, full_scan));
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
        let found = match self.rng.below(4) {
            0 => self.txn.get_many(keys).await,
            1 => self.txn.get_many_for_update(keys).await,
            way => {
                let mut found = Vec::new();
                for key in keys {
                    found.push(match way {
                        2 => self.txn.get(key).await?,
                        _ => self.txn.get_for_update(key).await?,
                    });
                }
                Ok(found)
            }
        };
        self.data.keys(&mut self.reader, keys, found)
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
        let scan = self.txn.scan(range.clone());
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

impl Data {
    fn account(&self, rng: &mut Rng) -> Key {
        self.accounts[rng.below(self.accounts.len() as u64) as usize].clone()
    }

    fn note(&self, rng: &mut Rng) -> Key {
        if rng.chance(5_000) {
            return Key::from(format!("n/{:02}", rng.below(16)).as_str());
        }
        Key::from(format!("b{}", self.account(rng)).as_str())
    }

    fn key(&self, rng: &mut Rng) -> Key {
        match rng.below(10) {
            0..5 => self.account(rng),
            5..8 => self.note(rng),
            _ => deed::key(rng),
        }
    }

    fn range(&self, rng: &mut Rng) -> KeyRange {
        let (a, b) = (self.key(rng), self.key(rng));
        match rng.below(5) {
            0 => KeyRange { start: Key::from("n/"), end: Some(Key::from("n0")) },
            1 => KeyRange { start: Key::from("c/"), end: Some(Key::from("l0")) },
            2 => KeyRange { start: a, end: None },
            _ => KeyRange { start: a.clone().min(b.clone()), end: Some(a.max(b)) },
        }
    }

    fn limit(&self, rng: &mut Rng) -> Option<usize> {
        rng.chance(6_000).then(|| rng.within(1..=6) as usize)
    }

    fn keys(
        &self,
        reader: &mut Reader,
        keys: &[Key],
        found: Result<Vec<synod_client::Value>, Error>,
    ) -> Result<(), Error> {
        let found = found?;
        if found.len() != keys.len() {
            let (found, keys) = (found.len(), keys.len());
            self.net.note(Note::Wrong(format!("{found} values for {keys} keys")));
        }
        for (key, value) in keys.iter().zip(found) {
            self.judge(reader.saw(&self.router, key, value.into_bytes()));
        }
        Ok(())
    }

    async fn scan(
        &self,
        reader: &mut Reader,
        scan: Scan<'_>,
        range: KeyRange,
        limit: Option<usize>,
        reverse: bool,
    ) -> Result<(), Error> {
        let scan = if reverse { scan.reverse() } else { scan };
        let scan = if let Some(limit) = limit { scan.limit(limit) } else { scan };
        let rows = scan.collect().await?;
        self.judge(reader.scanned(&self.router, &range, limit, reverse, rows));
        Ok(())
    }

    fn judge(&self, result: Result<(), String>) {
        if let Err(what) = result {
            self.net.note(Note::Wrong(what));
        }
    }
}

/// Runs `work`, and drops it where it is when `late` ends first.
async fn unless(late: impl Future<Output = ()>, work: impl Future<Output = ()>) {
    let (mut late, mut work) = (pin!(late), pin!(work));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => late.as_mut().poll(cx),
    })
    .await;
}
