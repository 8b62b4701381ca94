//! Many clients at a time, each with accounts of its own, so that the rows of
//! one account are booked in their order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::IsTerminal;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use synod_client::{Client, Error, Outcome};
use tokio::task::JoinHandle;

use crate::books;
use crate::rows::Row;

/// How often a row is tried whose servers can not be reached.
const PATIENCE: u32 = 20;

/// Longer times are counted as this.
const LONGEST_US: u64 = 600_000_000;

/// The rows of an account, by their places in the file.
pub type Accounts = BTreeMap<u64, Vec<usize>>;

/// A replay that is going on.
pub struct Replay {
    seen: Rc<RefCell<Seen>>,
    clients: Vec<JoinHandle<Result<()>>>,
    begin: Instant,
    bar: ProgressBar,
}

struct Seen {
    /// In microseconds.
    latency: Histogram<u64>,
    done: usize,
    retries: u64,
    in_doubt: u64,
}

/// What a replay was like.
pub struct Replayed {
    seen: Seen,
    span: Duration,
    clients: usize,
}

/// Which rows each account has.
pub fn by_account(rows: &[Row]) -> Accounts {
    let mut accounts = Accounts::new();
    for (i, row) in rows.iter().enumerate() {
        accounts.entry(row.account).or_default().push(i);
    }
    accounts
}

impl Replay {
    /// Deals the accounts to clients, and sets them to work.
    ///
    /// # Errors
    /// If there is no room to count.
    pub fn start(db: &Client, rows: &[Row], accounts: &Accounts, clients: u32) -> Result<Replay> {
        let clients = clients as usize;
        let mut hands = vec![Vec::new(); clients];
        for (n, places) in accounts.values().enumerate() {
            hands[n % clients].extend(places);
        }
        let latency = Histogram::new_with_bounds(1, LONGEST_US, 3)?;
        let seen = Seen { latency, done: 0, retries: 0, in_doubt: 0 };
        let seen = Rc::new(RefCell::new(seen));
        let bar = bar(rows.len());
        let work = hands.into_iter().map(|mut hand: Vec<usize>| {
            // In the order of the file, as the bank saw them.
            hand.sort_unstable();
            let mine: Vec<Row> = hand.into_iter().map(|place| rows[place].clone()).collect();
            let (db, seen, bar) = (db.clone(), Rc::clone(&seen), bar.clone());
            tokio::task::spawn_local(async move {
                for row in mine {
                    book(&db, &row, &seen).await.with_context(|| format!("row {}", row.id))?;
                    bar.inc(1);
                }
                Ok(())
            })
        });
        let clients = work.collect();
        Ok(Replay { seen, clients, begin: Instant::now(), bar })
    }

    /// How many rows are booked.
    pub fn done(&self) -> usize {
        self.seen.borrow().done
    }

    /// Waits until so many rows are booked.
    ///
    /// # Errors
    /// If the clients give up before.
    pub async fn reached(&self, rows: usize) -> Result<()> {
        while self.done() < rows {
            let given_up = self.clients.iter().all(JoinHandle::is_finished);
            anyhow::ensure!(!given_up, "the clients gave up after {} rows", self.done());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// If a row could not be booked.
    pub async fn finish(self) -> Result<Replayed> {
        let clients = self.clients.len();
        for client in self.clients {
            client.await.context("a client ended")??;
        }
        self.bar.finish_and_clear();
        let span = self.begin.elapsed();
        let seen = Rc::into_inner(self.seen).context("a client is still there")?.into_inner();
        Ok(Replayed { seen, span, clients })
    }
}

/// Books a row and makes sure of it.
async fn book(db: &Client, row: &Row, seen: &RefCell<Seen>) -> Result<(), Error> {
    let begin = Instant::now();
    let (mut attempts, mut failures) = (0, 0);
    let mut in_doubt = 0;
    loop {
        let error = match books::book(db, row, &mut attempts).await {
            Ok(()) => break,
            Err(error) => error,
        };
        failures += 1;
        match &error {
            // Settle what became of it. If it was booked, the receipt is found.
            Error::InDoubt(txn) => {
                in_doubt += 1;
                if let Ok(Outcome::Committed(_)) = db.outcome(*txn).await {
                    break;
                }
            }
            Error::Retry(_) | Error::Aborted(_) | Error::Unavailable(_) => {}
            Error::Misuse(_)
            | Error::Locked(_)
            | Error::TooLarge(_)
            | Error::SnapshotTooOld(_)
            | Error::Denied(_)
            | Error::Corrupt(_) => return Err(error),
        }
        if failures >= PATIENCE {
            return Err(error);
        }
    }
    let mut seen = seen.borrow_mut();
    seen.latency.saturating_record(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX));
    seen.done += 1;
    seen.retries += attempts.saturating_sub(1);
    seen.in_doubt += in_doubt;
    Ok(())
}

fn bar(rows: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(rows as u64);
    if let Ok(style) = ProgressStyle::with_template("  {bar:40} {pos}/{len} rows {per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { latency, done, retries, in_doubt } = &self.seen;
        let ms = |q| latency.value_at_quantile(q) as f64 / 1000.0;
        write!(
            f,
            "{done} rows booked by {} clients in {:.1} s: {:.0} a second, p50 {:.1} ms, \
             p99 {:.1} ms, longest {:.1} ms; {retries} retries, {in_doubt} in doubt and settled",
            self.clients,
            self.span.as_secs_f64(),
            *done as f64 / self.span.as_secs_f64(),
            ms(0.5),
            ms(0.99),
            latency.max() as f64 / 1000.0,
        )
    }
}
