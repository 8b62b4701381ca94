//! What the workers of a program do.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use synod_client::net::Net;
use synod_client::{Client, Error, Isolation, Options, Outcome, Snapshot as View, TxnId};
use synod_common::key::Key;
use synod_common::route::Router;
use synod_common::time::Timestamp;

use super::super::super::history::Snapshot;
use super::super::super::rng::Rng;
use super::super::super::world::{LONG_WAIT_MS, Phase};
use super::super::work::all_accounts;
use super::attempt::Attempt;
use super::data::Data;
use super::net::SimNet;
use super::notes::Note;
use super::reader::Reader;

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
            _ => self.database = super::database(&self.net),
        }
    }

    async fn transaction(&mut self) {
        let isolation = match self.rng.below(100) {
            0..55 => Isolation::Serializable,
            55..75 => Isolation::Optimistic,
            75..90 => Isolation::Snapshot,
            _ => Isolation::ReadCommitted,
        };
        let lock_wait = match self.net.view().long_waits {
            true => LONG_WAIT_MS,
            false => self.rng.within(20..=300),
        };
        let options = Options::new()
            .isolation(isolation)
            .timeout(Duration::from_millis(self.rng.within(100..=3_000)))
            .lock_wait(Duration::from_millis(lock_wait))
            .priority(self.rng.within(0..=3) as u8)
            .attempts(self.rng.within(1..=20) as u32);
        let manner = match self.rng.below(100) {
            0..60 => Manner::Transact,
            60..88 => Manner::Begin,
            _ => Manner::Drop,
        };
        let seed = self.rng.bits();
        let options = options.protocol(self.net.view().protocols.of_txn(seed));
        match manner {
            Manner::Transact => self.transact(options, isolation, seed).await,
            Manner::Begin | Manner::Drop => {
                let Ok(txn) = self.database.begin(options).await else { return };
                let id = txn.id();
                let result = Attempt::new(&self.data, &txn, isolation, seed).run().await;
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

    async fn transact(&mut self, options: Options, isolation: Isolation, seed: u64) {
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
                async move { Attempt::new(&data, &txn, isolation, seed).run().await }
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
                | Error::Locked(_)
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

/// Runs `work`, and drops it where it is when `late` ends first.
async fn unless(late: impl Future<Output = ()>, work: impl Future<Output = ()>) {
    let (mut late, mut work) = (pin!(late), pin!(work));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => late.as_mut().poll(cx),
    })
    .await;
}
