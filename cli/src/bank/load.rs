//! Concurrent clients that make transfers and remember what they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use synod_client::{Error, Key, Options, ShardId, TxnId};
use tokio::task::JoinHandle;

use super::{Bank, Receipt, account, receipt};
use synod_bench::random::Random;

/// After a failure a client waits this long before its next transfer.
const AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Clients at work.
pub struct Load {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    bank: Bank,
    begin: Instant,
    stop: AtomicBool,
    options: Options,
    tally: Mutex<Tally>,
}

/// What the clients were told.
#[derive(Clone, Default)]
pub struct Tally {
    /// Acknowledged transfers, in the order of the answers.
    pub done: Vec<Done>,
    /// Transfers whose fate was not known when they ended.
    pub in_doubt: Vec<(TxnId, Key, Receipt)>,
    /// Transfers that had no effect, and the last reason.
    pub failed: u64,
    /// Why the last one failed.
    pub last_failure: Option<Error>,
    /// Attempts that were aborted and made again.
    pub retries: u64,
}

/// An acknowledged transfer.
#[derive(Clone)]
pub struct Done {
    /// Where its receipt is.
    pub key: Key,
    /// What it was.
    pub receipt: Receipt,
    /// When it began, since the load began.
    pub begun: Duration,
    /// When it was acknowledged, since the load began.
    pub acknowledged: Duration,
}

impl Load {
    /// Sets clients to work. Receipts are numbered by `first_worker` and
    /// following, so that two loads on one bank do not mix theirs.
    pub fn start(
        bank: &Bank,
        clients: u32,
        first_worker: u32,
        seed: u64,
        options: Options,
    ) -> Load {
        let shared = Arc::new(Shared {
            bank: bank.clone(),
            begin: Instant::now(),
            stop: AtomicBool::new(false),
            options,
            tally: Mutex::default(),
        });
        let workers = (first_worker..first_worker + clients)
            .map(|worker| {
                let random = Random::new(seed ^ u64::from(worker) << 32);
                tokio::task::spawn_local(Arc::clone(&shared).work(worker, random))
            })
            .collect();
        Load { shared, workers }
    }

    /// Time since the load began.
    pub fn elapsed(&self) -> Duration {
        self.shared.begin.elapsed()
    }

    /// How many transfers have been acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.shared.tally.lock().done.len()
    }

    /// Waits for an acknowledged transfer that began after `since`, touching
    /// `shard` if one is given. Tells when it was acknowledged.
    pub async fn next_after(
        &self,
        since: Duration,
        shard: Option<ShardId>,
        patience: Duration,
    ) -> Option<Duration> {
        let bank = &self.shared.bank;
        let touches = |done: &Done| {
            shard.is_none_or(|shard| {
                [done.receipt.from, done.receipt.to].iter().any(|n| bank.home(*n) == shard)
            })
        };
        let begin = Instant::now();
        let mut seen = 0;
        while begin.elapsed() < patience {
            {
                let tally = self.shared.tally.lock();
                let new = tally.done[seen..].iter();
                let found = new.clone().find(|done| done.begun >= since && touches(done));
                if let Some(done) = found {
                    return Some(done.acknowledged);
                }
                seen = tally.done.len();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        None
    }

    /// Lets the clients finish their transfers, and tells what they were told.
    pub async fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        for worker in self.workers {
            if let Err(error) = worker.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        std::mem::take(&mut self.shared.tally.lock())
    }
}

impl Shared {
    async fn work(self: Arc<Self>, worker: u32, mut random: Random) {
        for n in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let transfer = self.bank.draw(&mut random);
            let key = receipt(worker, n);
            let begun = self.begin.elapsed();
            let mut attempts = 0_u64;
            let (bank, keys) = (&self.bank, [account(transfer.from), account(transfer.to)]);
            let (keys, receipt) = (&keys, &key);
            let result = bank.db.transact_with(self.options.clone(), |tx| {
                attempts += 1;
                async move {
                    let balances = tx.get_many_for_update(keys).await?;
                    let from: i64 = balances[0].decode()?;
                    let to: i64 = balances[1].decode()?;
                    tx.put(&keys[0], &(from - transfer.amount))?;
                    tx.put(&keys[1], &(to + transfer.amount))?;
                    tx.put(receipt, &transfer)
                }
            });
            let result = result.await;
            let failed = result.is_err();
            {
                let mut tally = self.tally.lock();
                tally.retries += attempts.saturating_sub(1);
                match result {
                    Ok(()) => {
                        let acknowledged = self.begin.elapsed();
                        tally.done.push(Done { key, receipt: transfer, begun, acknowledged });
                    }
                    Err(Error::InDoubt(txn)) => tally.in_doubt.push((txn, key, transfer)),
                    Err(error) => {
                        tally.failed += 1;
                        tally.last_failure = Some(error);
                    }
                }
            }
            if failed {
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

impl Tally {
    /// What both were told.
    pub fn merge(mut self, other: Tally) -> Tally {
        self.done.extend(other.done);
        self.in_doubt.extend(other.in_doubt);
        self.failed += other.failed;
        self.retries += other.retries;
        self.last_failure = other.last_failure.or(self.last_failure);
        self
    }
}
