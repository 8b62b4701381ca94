//! Every interleaving of the hand-offs in `synod_common::sync`.
//!
//! Run the models with
//!
//! ```text
//! RUSTFLAGS="--cfg synod_loom" cargo test -p synod-common --release --test loom --target-dir target/loom
//! ```
//!
//! Each model must fail when what it guards is taken away. Three mutants stand in
//! the code; with `SYNOD_MUTANT=<mutant>` in the environment the same command runs one.
//!
//! A deadlock ends the whole test process: loom panics again while it unwinds.
//!
//! | Mutant                       | What is wrong                             | Fails with                    |
//! | ---------------------------- | ----------------------------------------- | ----------------------------- |
//! | `group_commit_no_notify`     | `submit` does not wake the log's thread   | deadlock                      |
//! | `group_commit_early_durable` | a batch is durable as soon as it is taken | "acknowledged, not durable"   |
//! | `send_queue_no_wake`         | `push` does not wake the writer           | deadlock                      |
#![cfg(synod_loom)]

use std::sync::Arc as StdArc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use synod_common::node::{CheckpointStep, Lsn, Records};
use synod_common::sync::atomic::{AtomicU64, Ordering};
use synod_common::sync::{
    Arc, Condvar, GroupCommit, Job, Mutex, Pace, Pushed, SendQueue, Work, thread,
};

const PACE: Pace = Pace { patience: Duration::from_millis(1), linger: Duration::ZERO };

fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn record() -> Records {
    Records { count: 1, bytes: vec![0; 4] }
}

/// Counts wake-ups and lets a thread wait for the next.
#[derive(Debug)]
struct Bell {
    rings: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    fn new() -> Bell {
        Bell { rings: Mutex::new(0), changed: Condvar::new() }
    }

    fn ring(&self) {
        *self.rings.lock() += 1;
        self.changed.notify_all();
    }

    fn rings(&self) -> u64 {
        *self.rings.lock()
    }

    /// Waits until it has rung more often than `seen`.
    fn wait(&self, seen: u64) {
        let mut rings = self.rings.lock();
        while *rings == seen {
            self.changed.wait(&mut rings);
        }
    }
}

impl Wake for Bell {
    fn wake(self: StdArc<Self>) {
        self.ring();
    }
}

/// The log's thread over a disk that is one number.
fn run_log(group: &GroupCommit, disk: &AtomicU64) -> u64 {
    let mut truncated = 0;
    loop {
        match group.take(PACE) {
            Work::Batch(batch) => {
                assert_eq!(batch.records.bytes.len(), batch.records.count as usize * 4);
                let before = disk.load(Ordering::Relaxed);
                assert_eq!(before + u64::from(batch.records.count), batch.last.0);
                disk.store(batch.last.0, Ordering::Release);
                group.durable(batch.last);
            }
            Work::Truncate(lsn) => truncated = lsn.0,
            Work::Idle => {}
            Work::Closed => return truncated,
        }
    }
}

fn group() -> (Arc<GroupCommit>, StdArc<Bell>, Arc<AtomicU64>) {
    let bell = StdArc::new(Bell::new());
    let waker = Box::new({
        let bell = bell.clone();
        move || bell.ring()
    });
    (Arc::new(GroupCommit::new(Lsn(0), waker)), bell, Arc::new(AtomicU64::new(0)))
}

/// Waits as a driver does: by the waker, looking again after each ring.
fn wait_durable(group: &GroupCommit, bell: &Bell, disk: &AtomicU64, lsn: Lsn) {
    loop {
        let seen = bell.rings();
        let durable = group.durable_lsn();
        let on_disk = disk.load(Ordering::Acquire);
        assert!(durable.0 <= on_disk, "acknowledged, not durable: {} of {on_disk}", durable.0);
        if durable >= lsn {
            return;
        }
        bell.wait(seen);
    }
}

/// Two submitters who wait for what they submitted, and the log's thread:
/// nothing is acknowledged before it is durable, no wake-up is lost, and
/// closing drains.
#[test]
fn group_commit_acknowledges_what_is_durable() {
    explore(2, || {
        let (group, bell, disk) = group();
        let log = thread::spawn({
            let (group, disk) = (group.clone(), disk.clone());
            move || run_log(&group, &disk)
        });
        let other = thread::spawn({
            let (group, bell, disk) = (group.clone(), bell.clone(), disk.clone());
            move || {
                let lsn = group.submit(record(), true).expect("open");
                wait_durable(&group, &bell, &disk, lsn);
            }
        });
        let lsn = group.submit(record(), true).expect("open");
        wait_durable(&group, &bell, &disk, lsn);
        other.join().expect("submitter");
        // Lazy, and nobody waits: closing makes it durable.
        let last = group.submit(record(), false).expect("open");
        group.close();
        log.join().expect("log");
        assert_eq!((group.durable_lsn(), last), (Lsn(3), Lsn(3)));
        assert_eq!(group.pending_bytes(), 0);
    });
}

/// One submission at a time: the log's thread falls asleep in between, and lazy
/// records wake it as well.
#[test]
fn group_commit_wakes_a_sleeping_log() {
    explore(3, || {
        let (group, bell, disk) = group();
        let log = thread::spawn({
            let (group, disk) = (group.clone(), disk.clone());
            move || run_log(&group, &disk)
        });
        for urgent in [true, false, true] {
            let lsn = group.submit(record(), urgent).expect("open");
            wait_durable(&group, &bell, &disk, lsn);
        }
        group.close();
        log.join().expect("log");
    });
}

/// Closing against a submitter: what was accepted is durable, what was not is not.
#[test]
fn group_commit_closes_between_submissions() {
    explore(3, || {
        let (group, _, disk) = group();
        let log = thread::spawn({
            let (group, disk) = (group.clone(), disk.clone());
            move || run_log(&group, &disk)
        });
        let submitter = thread::spawn({
            let group = group.clone();
            move || (0..2).filter(|n| group.submit(record(), n % 2 == 0).is_ok()).count()
        });
        group.close();
        let accepted = submitter.join().expect("submitter");
        log.join().expect("log");
        assert_eq!(disk.load(Ordering::Acquire), accepted as u64);
        assert_eq!(group.durable_lsn(), Lsn(accepted as u64));
    });
}

/// A failure reaches the one that waits, and nothing becomes durable after it.
#[test]
fn group_commit_failure_wakes_the_submitter() {
    explore(3, || {
        let (group, bell, _) = group();
        let log = thread::spawn({
            let group = group.clone();
            move || {
                while !matches!(group.take(PACE), Work::Batch(_)) {}
                group.fail("no disk");
                assert_eq!(group.take(PACE), Work::Closed);
            }
        });
        group.submit(record(), true).expect("open");
        loop {
            let seen = bell.rings();
            if group.is_poisoned() {
                break;
            }
            bell.wait(seen);
        }
        log.join().expect("log");
        assert_eq!(group.durable_lsn(), Lsn(0));
    });
}

/// A checkpoint is finished when what it knows of is durable, and then the
/// log's thread truncates.
#[test]
fn group_commit_carries_checkpoints() {
    explore(2, || {
        let (group, bell, disk) = group();
        let log = thread::spawn({
            let (group, disk) = (group.clone(), disk.clone());
            move || run_log(&group, &disk)
        });
        let checkpoints = thread::spawn({
            let (group, disk) = (group.clone(), disk.clone());
            move || {
                while let Some(Job::Step { step, after }) = group.take_job() {
                    let finish = step == CheckpointStep::Finish;
                    assert!(!finish || disk.load(Ordering::Acquire) >= after.0);
                    group.step_done(finish.then_some(Lsn(1)));
                }
            }
        });
        group.submit(record(), true).expect("open");
        group.submit_step(CheckpointStep::Finish).expect("open");
        loop {
            let seen = bell.rings();
            if group.steps_done() == 1 {
                break;
            }
            bell.wait(seen);
        }
        group.close();
        checkpoints.join().expect("checkpoints");
        assert_eq!(log.join().expect("log"), 1);
    });
}

/// Takes until the queue is closed and empty, sleeping when told `Pending`.
fn run_writer(queue: &SendQueue) -> Vec<u8> {
    let bell = StdArc::new(Bell::new());
    let waker = Waker::from(bell.clone());
    let mut written = Vec::new();
    loop {
        let seen = bell.rings();
        match queue.poll_take(&mut Context::from_waker(&waker)) {
            Poll::Ready(Some(frames)) => written.extend_from_slice(&frames),
            Poll::Ready(None) => return written,
            Poll::Pending => bell.wait(seen),
        }
    }
}

/// Two producers and the writer: nothing is lost, each producer's frames stay in
/// order, and no wake-up is lost. The queue is not closed, so that
/// closing can not stand in for a lost wake-up.
#[test]
fn send_queue_delivers_everything_in_order() {
    explore(2, || {
        let queue = Arc::new(SendQueue::new(100));
        let writer = thread::spawn({
            let queue = queue.clone();
            move || {
                let bell = StdArc::new(Bell::new());
                let waker = Waker::from(bell.clone());
                let mut written = Vec::new();
                while written.len() < 4 {
                    let seen = bell.rings();
                    match queue.poll_take(&mut Context::from_waker(&waker)) {
                        Poll::Ready(Some(frames)) => written.extend_from_slice(&frames),
                        Poll::Ready(None) => panic!("closed"),
                        Poll::Pending => bell.wait(seen),
                    }
                }
                written
            }
        });
        let push = |queue: &SendQueue, frames: [u8; 2]| {
            for frame in frames {
                let pushed = queue.push(|buffer| buffer.extend_from_slice(&[frame]));
                assert!(matches!(pushed, Pushed::Queued { .. }));
            }
        };
        let producer = thread::spawn({
            let queue = queue.clone();
            move || push(&queue, [1, 2])
        });
        push(&queue, [11, 12]);
        producer.join().expect("producer");
        let written = writer.join().expect("writer");
        let of = |low: u8| written.iter().copied().filter(|n| n / 10 == low).collect::<Vec<_>>();
        assert_eq!((of(0), of(1)), (vec![1, 2], vec![11, 12]));
    });
}

/// Closing against a producer: what was accepted arrives.
#[test]
fn send_queue_loses_nothing_at_close() {
    explore(3, || {
        let queue = Arc::new(SendQueue::new(100));
        let writer = thread::spawn({
            let queue = queue.clone();
            move || run_writer(&queue)
        });
        let producer = thread::spawn({
            let queue = queue.clone();
            move || {
                let mut accepted = Vec::new();
                for frame in [1, 2] {
                    if queue.push(|b| b.extend_from_slice(&[frame])) != Pushed::Closed {
                        accepted.push(frame);
                    }
                }
                accepted
            }
        });
        queue.close();
        let accepted = producer.join().expect("producer");
        assert_eq!(writer.join().expect("writer"), accepted);
    });
}
