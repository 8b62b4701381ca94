//! From a core to the thread of its log, and back.
//!
//! ```text
//!   core's thread                              log's thread
//!   submit(records) ──▶ pending ──take──▶ append, sync ──▶ durable(lsn)
//!        ▲                                                      │ waker
//!        └────────────── durable_lsn() ◀───────────────────────┘
//!   submit_step ─────▶ steps ────take_job──▶ checkpoint's thread ──▶ step_done
//! ```
//!
//! The core never waits: it submits, goes on, and is woken when more of the log
//! is durable. While the log's thread syncs, records pile up here, and the next
//! write takes all of them: that is the group in group commit.
//!
//! Urgent records are taken as soon as the log's thread is free. Lazy ones go
//! with the next urgent ones, or alone after [`Pace::patience`]. Under load, a
//! sync that starts a little later serves more: when several urgent submissions
//! shared the last sync, the thread waits up to [`Pace::linger`] for as many to
//! gather again. A lone one is never kept waiting.
//!
//! Checkpoint steps go to a thread of their own, so that group commit does not
//! wait for large files. A checkpoint is finished only when everything that was
//! submitted before is durable: the checkpoint may know of it. Then the log's
//! thread is asked to drop what nobody will replay.
//!
//! *Deliberately absent*: waiting for room. The driver asks
//! [`GroupCommit::pending_bytes`] and stops reading from the network instead.

use std::collections::VecDeque;
use std::time::Duration;

use super::atomic::{AtomicU64, Ordering};
use super::{Condvar, Mutex, MutexGuard, mutated};
use crate::node::{CheckpointStep, Lsn, Records};

/// The meeting point of a core, its log's thread and its checkpoint's thread.
pub struct GroupCommit {
    state: Mutex<State>,
    /// The log's thread waits here.
    work: Condvar,
    /// The checkpoint's thread waits here.
    jobs: Condvar,
    durable: AtomicU64,
    waker: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
struct State {
    pending: Records,
    /// Urgent submissions in `pending`.
    urgent: usize,
    /// Urgent submissions in the batch taken last.
    group: usize,
    submitted: Lsn,
    taken: Lsn,
    taken_bytes: usize,
    durable: Lsn,
    /// Whether the log's thread sleeps until it is notified.
    asleep: bool,
    /// How many urgent submissions the log's thread waits for.
    awaited: Option<usize>,
    /// Whether the log was quiet since the last batch, and told so.
    idle: bool,
    truncate: Option<Lsn>,
    steps: VecDeque<(CheckpointStep, Lsn)>,
    steps_done: u64,
    spare: bool,
    closed: bool,
    failed: Option<String>,
}

/// Records for one write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The records.
    pub records: Records,
    /// LSN of the last of them.
    pub last: Lsn,
    /// How many urgent submissions are in it.
    pub urgent: usize,
}

/// What the log's thread has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Append, sync, report as durable.
    Batch(Batch),
    /// Drop segments that hold only records before this one.
    Truncate(Lsn),
    /// Nothing came for a while: attest.
    Idle,
    /// Attest, sync and end.
    Closed,
}

/// What the checkpoint's thread has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Carry out a step, then [`GroupCommit::step_done`].
    Step {
        /// The step.
        step: CheckpointStep,
        /// The last record submitted before it; [`CheckpointStep::Finish`]
        /// comes when the log is durable up to here.
        after: Lsn,
    },
    /// Make a spare segment.
    Spare,
}

/// How long the log's thread waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long lazy records may wait, and how long nothing comes before the
    /// log is called idle.
    pub patience: Duration,
    /// How long a sync may wait for others to share it, under load. Zero: never.
    pub linger: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { patience: Duration::from_millis(20), linger: Duration::from_micros(50) }
    }
}

/// The log is closed or has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct Closed;

impl GroupCommit {
    /// The meeting point for a log whose last record is `last`. `waker` is
    /// called from the other threads when more is durable, when a checkpoint
    /// step is done, and when the log fails.
    pub fn new(last: Lsn, waker: Box<dyn Fn() + Send + Sync>) -> GroupCommit {
        let state = State {
            pending: Records::default(),
            urgent: 0,
            group: 0,
            submitted: last,
            taken: last,
            taken_bytes: 0,
            durable: last,
            asleep: false,
            awaited: None,
            idle: false,
            truncate: None,
            steps: VecDeque::new(),
            steps_done: 0,
            spare: false,
            closed: false,
            failed: None,
        };
        GroupCommit {
            state: Mutex::new(state),
            work: Condvar::new(),
            jobs: Condvar::new(),
            durable: AtomicU64::new(last.0),
            waker,
        }
    }

    /// Hands over records; never waits. Returns the last one's LSN.
    ///
    /// # Errors
    /// If the log is closed or has failed. The records are dropped.
    pub fn submit(&self, records: Records, urgent: bool) -> Result<Lsn, Closed> {
        let mut state = self.state.lock();
        if state.closed || state.failed.is_some() {
            return Err(Closed);
        }
        if records.is_empty() {
            return Ok(state.submitted);
        }
        state.submitted.0 += u64::from(records.count);
        if state.pending.is_empty() {
            state.pending = records;
        } else {
            state.pending.count += records.count;
            state.pending.bytes.extend_from_slice(&records.bytes);
        }
        state.urgent += usize::from(urgent);
        let submitted = state.submitted;
        let enough = urgent && state.awaited.is_none_or(|awaited| state.urgent >= awaited);
        if !mutated("group_commit_no_notify") && (enough || state.asleep) {
            self.notify_log(&mut state);
        }
        Ok(submitted)
    }

    /// Hands over a checkpoint step; never waits.
    ///
    /// # Errors
    /// If the log is closed or has failed.
    pub fn submit_step(&self, step: CheckpointStep) -> Result<(), Closed> {
        let mut state = self.state.lock();
        if state.closed || state.failed.is_some() {
            return Err(Closed);
        }
        let after = state.submitted;
        state.steps.push_back((step, after));
        self.jobs.notify_all();
        Ok(())
    }

    /// How far the log is durable.
    pub fn durable_lsn(&self) -> Lsn {
        Lsn(self.durable.load(Ordering::Acquire))
    }

    /// How many checkpoint steps are done.
    pub fn steps_done(&self) -> u64 {
        self.state.lock().steps_done
    }

    /// Bytes that were submitted and are not durable.
    pub fn pending_bytes(&self) -> usize {
        let state = self.state.lock();
        state.pending.bytes.len() + state.taken_bytes
    }

    /// Whether the log has failed.
    pub fn is_poisoned(&self) -> bool {
        self.state.lock().failed.is_some()
    }

    /// Why the log has failed.
    pub fn failure(&self) -> Option<String> {
        self.state.lock().failed.clone()
    }

    /// Accepts nothing more. What was submitted is still made durable;
    /// checkpoint steps that were not begun are dropped.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.steps.clear();
        self.notify_log(&mut state);
        self.jobs.notify_all();
    }

    /// The log's thread: waits for what is to be done next.
    pub fn take(&self, pace: Pace) -> Work {
        let mut state = self.state.lock();
        loop {
            if state.failed.is_some() {
                return Work::Closed;
            }
            if state.urgent > 0 {
                self.gather(&mut state, pace.linger);
                if state.failed.is_some() {
                    continue;
                }
                return Work::Batch(self.take_batch(&mut state));
            }
            if let Some(lsn) = state.truncate.take() {
                return Work::Truncate(lsn);
            }
            let lazy = !state.pending.is_empty();
            if state.closed {
                return if lazy { Work::Batch(self.take_batch(&mut state)) } else { Work::Closed };
            }
            if !lazy && state.idle {
                state.asleep = true;
                self.work.wait(&mut state);
                state.asleep = false;
            } else if self.work.wait_for(&mut state, pace.patience).timed_out()
                && state.failed.is_none()
            {
                if state.urgent == 0 && state.pending.is_empty() {
                    state.idle = true;
                    return Work::Idle;
                }
                return Work::Batch(self.take_batch(&mut state));
            }
        }
    }

    /// The log's thread: the log is durable up to `lsn`.
    pub fn durable(&self, lsn: Lsn) {
        let mut state = self.state.lock();
        state.durable = state.durable.max(lsn);
        if state.durable >= state.taken {
            state.taken_bytes = 0;
        }
        self.durable.fetch_max(lsn.0, Ordering::Release);
        // Of all that the checkpoint's thread does, only the end of one waits for this. To wake
        // it for nothing after each sync would cost more than the rest of this.
        if !state.steps.is_empty() {
            self.jobs.notify_all();
        }
        drop(state);
        (self.waker)();
    }

    /// The log has failed: nothing more becomes durable.
    pub fn fail(&self, reason: impl Into<String>) {
        let mut state = self.state.lock();
        state.failed.get_or_insert(reason.into());
        self.notify_log(&mut state);
        self.jobs.notify_all();
        drop(state);
        (self.waker)();
    }

    /// The log's thread: asks the checkpoint's thread for a spare segment.
    pub fn want_spare(&self) {
        self.state.lock().spare = true;
        self.jobs.notify_all();
    }

    /// The checkpoint's thread: waits for its next job; `None` when closed.
    pub fn take_job(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if state.closed || state.failed.is_some() {
                return None;
            }
            if std::mem::take(&mut state.spare) {
                return Some(Job::Spare);
            }
            let durable = state.durable;
            let ready = state
                .steps
                .front()
                .is_some_and(|(step, after)| *step != CheckpointStep::Finish || durable >= *after);
            if ready && let Some((step, after)) = state.steps.pop_front() {
                return Some(Job::Step { step, after });
            }
            self.jobs.wait(&mut state);
        }
    }

    /// The checkpoint's thread: the step taken last is durable. If that made a
    /// checkpoint, `truncate` is the first record that recovery will replay.
    pub fn step_done(&self, truncate: Option<Lsn>) {
        let mut state = self.state.lock();
        state.steps_done += 1;
        if truncate.is_some() {
            state.truncate = state.truncate.max(truncate);
            self.notify_log(&mut state);
        }
        drop(state);
        (self.waker)();
    }

    /// Under load, waits a little for others to share the sync.
    fn gather(&self, state: &mut MutexGuard<'_, State>, linger: Duration) {
        let expected = state.group;
        if expected > 1 && !linger.is_zero() && state.urgent < expected && !state.closed {
            state.awaited = Some(expected);
            // One wait: a notification means enough, closed or failed.
            self.work.wait_for(state, linger);
            state.awaited = None;
        }
    }

    fn take_batch(&self, state: &mut State) -> Batch {
        let records = std::mem::take(&mut state.pending);
        let urgent = std::mem::take(&mut state.urgent);
        // Halved, so that one small group does not end the expectation.
        state.group = urgent.max(state.group / 2);
        state.idle = false;
        state.taken = state.submitted;
        state.taken_bytes += records.bytes.len();
        if mutated("group_commit_early_durable") {
            self.durable.fetch_max(state.taken.0, Ordering::Release);
        }
        Batch { records, last: state.taken, urgent }
    }

    fn notify_log(&self, state: &mut State) {
        state.asleep = false;
        self.work.notify_one();
    }
}

impl std::fmt::Debug for GroupCommit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCommit").field("durable", &self.durable_lsn()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(synod_loom)))]
mod tests {
    use super::*;

    const NO_WAIT: Pace = Pace { patience: Duration::ZERO, linger: Duration::ZERO };

    fn records(count: u32) -> Records {
        let mut records = Records::default();
        (0..count).for_each(|number| records.push(&number));
        records
    }

    fn group() -> GroupCommit {
        GroupCommit::new(Lsn(10), Box::new(|| ()))
    }

    fn batch(work: Work) -> Batch {
        match work {
            Work::Batch(batch) => batch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn submissions_share_a_batch_and_lazy_ones_ride_along() {
        let group = group();
        assert_eq!(group.submit(records(2), false), Ok(Lsn(12)));
        assert_eq!(group.submit(records(1), true), Ok(Lsn(13)));
        assert_eq!(group.pending_bytes(), 15);
        let taken = batch(group.take(NO_WAIT));
        assert_eq!((taken.records.count, taken.last, taken.urgent), (3, Lsn(13), 1));
        assert_eq!((group.durable_lsn(), group.pending_bytes()), (Lsn(10), 15));
        group.durable(Lsn(13));
        assert_eq!((group.durable_lsn(), group.pending_bytes()), (Lsn(13), 0));
        assert_eq!(group.take(NO_WAIT), Work::Idle);
        group.submit(records(1), false).unwrap();
        assert_eq!(batch(group.take(NO_WAIT)).last, Lsn(14));
    }

    #[test]
    fn closing_drains_and_failing_does_not() {
        let group = group();
        group.submit(records(1), false).unwrap();
        group.close();
        assert_eq!(group.submit(records(1), true), Err(Closed));
        assert_eq!(batch(group.take(NO_WAIT)).last, Lsn(11));
        assert_eq!(group.take(NO_WAIT), Work::Closed);

        let group = self::group();
        group.submit(records(1), true).unwrap();
        group.fail("no disk");
        assert_eq!(group.take(NO_WAIT), Work::Closed);
        assert_eq!(group.submit(records(1), true), Err(Closed));
        assert_eq!(group.failure().as_deref(), Some("no disk"));
        assert_eq!(group.durable_lsn(), Lsn(10));
    }

    #[test]
    fn a_checkpoint_is_finished_after_what_it_knows_of_is_durable() {
        let group = group();
        group.submit_step(CheckpointStep::Begin(Lsn(5))).unwrap();
        let step = CheckpointStep::Begin(Lsn(5));
        assert_eq!(group.take_job(), Some(Job::Step { step, after: Lsn(10) }));
        group.step_done(None);
        group.submit(records(1), true).unwrap();
        group.submit_step(CheckpointStep::Finish).unwrap();
        std::thread::scope(|scope| {
            let job = scope.spawn(|| group.take_job());
            let taken = batch(group.take(NO_WAIT));
            assert!(!job.is_finished());
            group.durable(taken.last);
            let step = CheckpointStep::Finish;
            assert_eq!(job.join().unwrap(), Some(Job::Step { step, after: Lsn(11) }));
        });
        group.step_done(Some(Lsn(5)));
        assert_eq!(group.take(NO_WAIT), Work::Truncate(Lsn(5)));
        assert_eq!(group.steps_done(), 2);
    }
}
