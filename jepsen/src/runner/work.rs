//! Clients at work.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::Result;
use fastrand::Rng;
use synod_client::TxnId;
use tokio::time::{sleep, sleep_until, timeout};

use super::{Recorder, Settings};
use crate::history::{Kind, Value};
use crate::workload::{Ask, Done, Op, PATIENCE, Workload};

/// A client that has not answered by then is taken for lost: that is a bug of the client.
const STUCK: Duration = Duration::from_secs(60);
/// After a failure a client waits, so that an unreachable cluster does not fill the history.
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// Who reads at the end, counting down: numbers that none of the clients has, which count up.
const LAST: i64 = i64::MAX;

/// So many of what was refused are named.
const NAMED: usize = 20;

/// An operation whose client could not learn what came of it.
pub(super) struct Doubt {
    pub(super) process: i64,
    pub(super) txn: TxnId,
    /// Its result, if it committed.
    pub(super) value: Value,
    /// Its arguments.
    pub(super) asked: Value,
}

/// All clients of a run.
pub(super) struct Clients<'a, W> {
    workload: RefCell<W>,
    dice: RefCell<Rng>,
    pub(super) recorder: &'a RefCell<Recorder>,
    pub(super) doubts: RefCell<Vec<Doubt>>,
    /// The first operations that the cluster should have done, and refused.
    pub(super) wrongs: RefCell<Vec<String>>,
    until: Instant,
    /// When the next operation may begin, and how long after it the next one.
    pace: Option<(Cell<Instant>, Duration)>,
    clients: i64,
}

impl<'a, W: Workload> Clients<'a, W> {
    pub(super) fn new(
        settings: &Settings,
        workload: W,
        dice: Rng,
        recorder: &'a RefCell<Recorder>,
        until: Instant,
    ) -> Clients<'a, W> {
        let rate = settings.rate.or(W::RATE);
        let pace =
            rate.map(|rate| (Cell::new(Instant::now()), Duration::from_secs_f64(1.0 / rate)));
        Clients {
            workload: RefCell::new(workload),
            dice: RefCell::new(dice),
            recorder,
            doubts: RefCell::default(),
            wrongs: RefCell::default(),
            until,
            pace,
            clients: i64::from(settings.clients),
        }
    }

    /// Works until the time is over and each has its answer.
    pub(super) async fn work(&self, asks: &[Ask]) -> Result<()> {
        let each = (0..).zip(asks).map(|(number, ask)| self.work_one(number, ask));
        futures_util::future::try_join_all(each).await?;
        Ok(())
    }

    async fn work_one(&self, mut process: i64, ask: &Ask) -> Result<()> {
        let mut pause = PAUSE;
        while self.turn().await {
            let op = self.workload.borrow_mut().next(&mut self.dice.borrow_mut());
            match self.perform(process, ask, &op).await? {
                Kind::Ok => pause = PAUSE,
                Kind::Fail => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                // The operation stays open; a process has one at a time.
                _ => process += self.clients,
            }
        }
        Ok(())
    }

    /// Waits for the next operation's turn; false when the time is over.
    async fn turn(&self) -> bool {
        if let Some((next, apart)) = &self.pace {
            let turn = next.get().max(Instant::now());
            next.set(turn + *apart);
            sleep_until(turn.min(self.until).into()).await;
        }
        Instant::now() < self.until
    }

    async fn perform(&self, process: i64, ask: &Ask, op: &Op) -> Result<Kind> {
        self.recorder.borrow_mut().begin(process, op)?;
        let done = timeout(STUCK, W::perform(ask, op)).await;
        let (kind, value, error) = match done {
            Ok(Done::Ok(value)) => (Kind::Ok, value, None),
            Ok(Done::Fail(error)) => (Kind::Fail, op.value.clone(), Some(error)),
            Ok(Done::InDoubt(txn, value)) => {
                let asked = op.value.clone();
                self.recorder.borrow_mut().give_up(process);
                self.doubts.borrow_mut().push(Doubt { process, txn, value, asked });
                return Ok(Kind::Info);
            }
            Ok(Done::Wrong(error)) => {
                self.is_wrong(op, &error);
                (Kind::Fail, op.value.clone(), Some(error))
            }
            Err(_) => {
                let error = format!("no answer in {} s", STUCK.as_secs());
                self.is_wrong(op, &error);
                (Kind::Info, op.value.clone(), Some(error))
            }
        };
        self.recorder.borrow_mut().end(process, kind, value, error.as_deref())?;
        Ok(kind)
    }

    fn is_wrong(&self, op: &Op, error: &str) {
        let mut wrongs = self.wrongs.borrow_mut();
        if wrongs.len() < NAMED {
            wrongs.push(format!("{} {:?}: {error}", op.f, op.value));
        }
    }

    /// Reads at the end what the workload wants to be read, until that succeeds; false if it
    /// does not.
    pub(super) async fn read_all(&self, ask: &Ask) -> Result<bool> {
        let Some(op) = self.workload.borrow().last() else { return Ok(true) };
        let until = Instant::now() + 4 * PATIENCE;
        let mut process = LAST;
        while self.perform(process, ask, &op).await? != Kind::Ok {
            if Instant::now() >= until {
                return Ok(false);
            }
            process -= 1;
            sleep(PAUSE).await;
        }
        Ok(true)
    }
}
