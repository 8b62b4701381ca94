//! The threads behind a node's log.
//!
//! One thread appends and syncs, for as long as the node lives; one writes
//! checkpoints and makes spare segments. Both take their work from a
//! [`GroupCommit`], where it is said what waits for what. The first error of
//! either fails the group: the server has to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crate::node::CheckpointStep;
use crate::sync::{GroupCommit, Job, Pace, Work};
use crate::wal::checkpoint::Checkpoint;
use crate::wal::{Disk, Identity, Wal, WalError, make_spare};

/// The running threads of a node's log.
#[derive(Debug)]
pub struct LogThread {
    group: Arc<GroupCommit>,
    counters: Arc<LogCounters>,
    log: JoinHandle<Result<(), WalError>>,
    checkpoints: JoinHandle<Result<(), WalError>>,
}

/// What the log's thread has done since it was started.
#[derive(Debug, Default)]
pub struct LogCounters {
    /// Batches written.
    pub batches: AtomicU64,
    /// Urgent submissions in them.
    pub urgent: AtomicU64,
    /// Records in them.
    pub records: AtomicU64,
    /// Bytes of records in them.
    pub bytes: AtomicU64,
    /// Syncs that succeeded; those of a batch only.
    pub syncs: AtomicU64,
    /// Time spent to write and sync batches, in microseconds.
    pub busy_us: AtomicU64,
    /// The longest time for one batch, in microseconds. Take it with `swap`.
    pub max_us: AtomicU64,
}

impl LogThread {
    /// Starts the threads. `disk` is another handle to the log's disk, for the
    /// checkpoints. The group must begin with the log's last record. The counters go on
    /// from where they are.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn spawn<D: Disk + Clone + 'static>(
        wal: Wal<D>,
        disk: D,
        identity: Identity,
        group: Arc<GroupCommit>,
        pace: Pace,
        counters: Arc<LogCounters>,
    ) -> io::Result<LogThread> {
        assert_eq!(wal.last_lsn(), group.durable_lsn(), "the group begins where the log ends");
        let segment_bytes = wal.segment_bytes();
        let log = Builder::new().name(format!("{}-log", identity.node)).spawn({
            let (group, counters) = (group.clone(), counters.clone());
            move || guarded(&group, || run_log(wal, &group, &counters, pace))
        })?;
        let checkpoints = Builder::new().name(format!("{}-ckpt", identity.node)).spawn({
            let group = group.clone();
            move || guarded(&group, || run_checkpoints(disk, &identity, &group, segment_bytes))
        });
        let checkpoints = checkpoints.inspect_err(|error| group.fail(error.to_string()))?;
        Ok(LogThread { group, counters, log, checkpoints })
    }

    /// What was done so far.
    pub fn counters(&self) -> &Arc<LogCounters> {
        &self.counters
    }

    /// Makes durable what was submitted, attests it, and ends the threads.
    ///
    /// # Errors
    /// If the log has failed.
    pub fn stop(self) -> Result<(), WalError> {
        self.group.close();
        let panicked = |_| Err(WalError::Poisoned("a thread of the log panicked".into()));
        let log = self.log.join().unwrap_or_else(panicked);
        self.checkpoints.join().unwrap_or_else(panicked).and(log)
    }
}

/// Runs a thread's work and fails the group if it fails or panics.
fn guarded(
    group: &GroupCommit,
    work: impl FnOnce() -> Result<(), WalError>,
) -> Result<(), WalError> {
    struct OnPanic<'a>(Option<&'a GroupCommit>);
    impl Drop for OnPanic<'_> {
        fn drop(&mut self) {
            if let Some(group) = self.0 {
                group.fail("a thread of the log panicked");
            }
        }
    }
    let mut on_panic = OnPanic(Some(group));
    let result = work();
    on_panic.0 = None;
    if let Err(error) = &result {
        tracing::error!(%error, "the log has failed");
        group.fail(error.to_string());
    }
    result
}

fn run_log<D: Disk>(
    mut wal: Wal<D>,
    group: &GroupCommit,
    counters: &LogCounters,
    pace: Pace,
) -> Result<(), WalError> {
    let mut segments = 0;
    loop {
        match group.take(pace) {
            Work::Batch(batch) => {
                let start = Instant::now();
                let last = wal.append(&batch.records)?;
                assert_eq!(last, batch.last, "the log and the group count the same records");
                group.durable(wal.sync()?);
                let us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                let add = |counter: &AtomicU64, n: u64| counter.fetch_add(n, Ordering::Relaxed);
                add(&counters.batches, 1);
                add(&counters.urgent, batch.urgent as u64);
                add(&counters.records, u64::from(batch.records.count));
                add(&counters.bytes, batch.records.bytes.len() as u64);
                add(&counters.syncs, 1);
                add(&counters.busy_us, us);
                counters.max_us.fetch_max(us, Ordering::Relaxed);
            }
            Work::Truncate(lsn) => wal.truncate_before(lsn)?,
            Work::Idle => wal.attest()?,
            Work::Closed => {
                wal.attest()?;
                return wal.sync().map(drop);
            }
        }
        if wal.segments() > segments {
            group.want_spare();
        }
        segments = wal.segments();
    }
}

fn run_checkpoints<D: Disk + Clone>(
    mut disk: D,
    identity: &Identity,
    group: &GroupCommit,
    segment_bytes: u64,
) -> Result<(), WalError> {
    let mut checkpoint = None;
    while let Some(job) = group.take_job() {
        let (step, after) = match job {
            Job::Step { step, after } => (step, after),
            Job::Spare => {
                if let Err(error) = make_spare(&mut disk, segment_bytes) {
                    tracing::warn!(%error, "no spare segment; the log will make its own");
                }
                continue;
            }
        };
        let mut truncate = None;
        match (step, &mut checkpoint) {
            (CheckpointStep::Begin(start), checkpoint) => {
                *checkpoint = Some(Checkpoint::begin(disk.clone(), identity, start)?);
            }
            (CheckpointStep::Part(part), Some(checkpoint)) => checkpoint.part(&part)?,
            (CheckpointStep::Finish, checkpoint @ Some(_)) => {
                truncate = match checkpoint.take() {
                    Some(checkpoint) => Some(checkpoint.finish(after)?.from),
                    None => None,
                };
            }
            (CheckpointStep::Part(_) | CheckpointStep::Finish, None) => {
                panic!("a checkpoint step before its begin")
            }
        }
        group.step_done(truncate);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::files::Files;
    use super::super::files::tests::Scratch;
    use super::*;
    use crate::id::ClusterId;
    use crate::node::{Lsn, Records};
    use crate::wal::{MemDisk, Options, checkpoint};

    fn identity() -> Identity {
        Identity { cluster: ClusterId(7), node: "s1".into() }
    }

    fn record(bytes: &[u8]) -> Records {
        let mut records = Records::default();
        records.push(&bytes);
        records
    }

    fn open<D: Disk>(mut disk: D, options: Options) -> (Wal<D>, Vec<Vec<u8>>, Vec<Lsn>) {
        let (mut parts, mut lsns) = (Vec::new(), Vec::new());
        let start = checkpoint::recover(&mut disk, &identity(), |part| {
            parts.push(part.to_vec());
            Ok(())
        });
        let wal = Wal::open(disk, identity(), options, start.unwrap(), |lsn, _| {
            lsns.push(lsn);
            Ok(())
        });
        (wal.unwrap(), parts, lsns)
    }

    fn wait_for(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(10), "it never happens");
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    #[test]
    fn a_log_on_files_lives_through_a_restart() {
        let scratch = Scratch::new("log");
        let options = Options { segment_bytes: 64 << 10 };
        let disk = Files::open(&scratch.0).unwrap();
        let (wal, _, lsns) = open(disk.clone(), options);
        assert!(lsns.is_empty());
        let group = Arc::new(GroupCommit::new(wal.last_lsn(), Box::new(|| ())));
        let thread =
            LogThread::spawn(wal, disk, identity(), group.clone(), Pace::default(), Arc::default())
                .unwrap();
        for number in 1..=300u64 {
            let lsn = group.submit(record(&[number as u8; 1000]), number % 3 > 0).unwrap();
            assert_eq!(lsn, Lsn(number));
            if number % 50 == 0 {
                wait_for(|| group.durable_lsn() >= lsn);
            }
        }
        let steps = [
            CheckpointStep::Begin(Lsn(250)),
            CheckpointStep::Part(b"state".to_vec()),
            CheckpointStep::Finish,
        ];
        for (number, step) in (1..).zip(steps) {
            group.submit_step(step).unwrap();
            wait_for(|| group.steps_done() == number);
        }
        group.submit(record(b"last"), false).unwrap();
        let counters = thread.counters().clone();
        thread.stop().unwrap();
        assert_eq!(counters.records.load(Ordering::Relaxed), 301);

        let disk = Files::open(&scratch.0).unwrap();
        let (wal, parts, lsns) = open(disk, options);
        assert_eq!(parts, [b"state"]);
        assert_eq!(lsns, (250..=301).map(Lsn).collect::<Vec<_>>());
        assert!(wal.segments() <= 2, "{}", wal.segments());
    }

    #[test]
    fn lazy_records_become_durable_and_an_idle_log_attests() {
        let mut disk = MemDisk::new();
        let options = Options { segment_bytes: 4096 };
        let (wal, ..) = open(disk.clone(), options);
        let group = Arc::new(GroupCommit::new(Lsn(0), Box::new(|| ())));
        let pace = Pace { patience: Duration::from_millis(2), linger: Duration::ZERO };
        let thread =
            LogThread::spawn(wal, disk.clone(), identity(), group.clone(), pace, Arc::default())
                .unwrap();
        group.submit(record(b"lazy"), false).unwrap();
        wait_for(|| group.durable_lsn() == Lsn(1));
        let name = disk.list().unwrap().into_iter().find(|name| name.ends_with(".wal")).unwrap();
        // Header, one frame of a record of 4 + 5 bytes, one empty frame.
        wait_for(|| disk.content(&name)[64 + 32 + 16..].starts_with(b"SyBa"));
        thread.stop().unwrap();
    }

    #[test]
    fn a_failed_sync_fails_the_group() {
        let mut disk = MemDisk::new();
        let (wal, ..) = open(disk.clone(), Options { segment_bytes: 4096 });
        let (sender, receiver) = std::sync::mpsc::channel();
        let waker = Box::new(move || {
            let _ = sender.send(());
        });
        let group = Arc::new(GroupCommit::new(Lsn(0), waker));
        let thread = LogThread::spawn(
            wal,
            disk.clone(),
            identity(),
            group.clone(),
            Pace::default(),
            Arc::default(),
        );
        disk.fail_syncs(1);
        group.submit(record(b"x"), true).unwrap();
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(group.is_poisoned());
        assert_eq!(group.durable_lsn(), Lsn(0));
        assert!(group.submit(record(b"y"), true).is_err());
        assert!(thread.unwrap().stop().unwrap_err().to_string().contains("fsync failed"));
    }
}
