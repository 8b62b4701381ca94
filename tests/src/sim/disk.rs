//! A server's log on a disk that forgets: what the log's threads are in
//! production, with virtual delays.
//!
//! One batch at a time is appended and then, after a delay, synced; what comes
//! meanwhile waits for the next batch. Between the two a crash tears the batch.

use std::collections::VecDeque;

use synod_common::error::Corrupt;
use synod_common::id::ClusterId;
use synod_common::node::{CheckpointStep, Lsn, Records, Recovered};
use synod_common::wal::checkpoint::{self, Checkpoint};
use synod_common::wal::{Identity, MemDisk, Options, Wal, WalError};

use super::rng::Rng;

/// The log of one server.
#[derive(Debug)]
pub struct Log {
    /// The disk below it.
    pub disk: MemDisk,
    identity: Identity,
    options: Options,
    wal: Option<Wal<MemDisk>>,
    pending: Records,
    submitted: Lsn,
    urgent: bool,
    syncing: bool,
    steps: VecDeque<(CheckpointStep, Lsn)>,
    checkpoint: Option<Checkpoint<MemDisk>>,
}

impl Log {
    /// An empty disk.
    pub fn new(cluster: ClusterId, node: String, segment_bytes: u64) -> Log {
        Log {
            disk: MemDisk::new(),
            identity: Identity { cluster, node },
            options: Options { segment_bytes },
            wal: None,
            pending: Records::default(),
            submitted: Lsn(0),
            urgent: false,
            syncing: false,
            steps: VecDeque::new(),
            checkpoint: None,
        }
    }

    /// Opens the log and hands back what survived. Returns its last LSN.
    pub fn open(
        &mut self,
        mut piece: impl FnMut(Recovered<'_>) -> Result<(), Corrupt>,
    ) -> Result<Lsn, WalError> {
        let mut disk = self.disk.clone();
        let start = checkpoint::recover(&mut disk, &self.identity, |part| {
            piece(Recovered::Checkpoint(part))
        })?;
        let wal = Wal::open(disk, self.identity.clone(), self.options, start, |lsn, record| {
            piece(Recovered::Record(lsn, record))
        })?;
        self.submitted = wal.last_lsn();
        self.wal = Some(wal);
        Ok(self.submitted)
    }

    /// The power goes: everything that was not synced is lost, torn or kept.
    pub fn crash(&mut self, rng: &mut Rng) {
        self.wal = None;
        self.checkpoint = None;
        self.pending = Records::default();
        (self.urgent, self.syncing) = (false, false);
        self.steps.clear();
        let mode = rng.below(4);
        self.disk.crash(|piece| match mode {
            0 => 0,
            1 => piece.len,
            2 => rng.below(2) as usize * piece.len,
            _ => rng.below(piece.len as u64 + 1) as usize,
        });
    }

    /// Takes records that wait to be written.
    pub fn submit(&mut self, records: &Records, urgent: bool) {
        self.pending.count += records.count;
        self.pending.bytes.extend_from_slice(&records.bytes);
        self.submitted.0 += u64::from(records.count);
        self.urgent |= urgent;
    }

    /// Whether a batch should be written now; `lazy` if records that nobody
    /// waits for have waited long enough.
    pub fn is_due(&mut self, lazy: bool) -> bool {
        self.urgent |= lazy;
        !self.syncing && !self.pending.is_empty() && self.urgent
    }

    /// Writes what waits; to be synced later.
    pub fn append(&mut self) -> Result<(), WalError> {
        let batch = std::mem::take(&mut self.pending);
        (self.urgent, self.syncing) = (false, true);
        self.wal().append(&batch).map(drop)
    }

    /// Syncs what was written. Returns how far the log is durable.
    pub fn sync(&mut self) -> Result<Lsn, WalError> {
        self.syncing = false;
        self.wal().sync()
    }

    /// Nothing came for a while.
    pub fn attest(&mut self) -> Result<(), WalError> {
        if self.syncing { Ok(()) } else { self.wal().attest() }
    }

    /// How far the log is durable.
    pub fn durable(&mut self) -> Lsn {
        self.wal().durable_lsn()
    }

    /// Queues a step of a checkpoint. True if it is the only one.
    pub fn push_step(&mut self, step: CheckpointStep) -> bool {
        self.steps.push_back((step, self.submitted));
        self.steps.len() == 1
    }

    /// Carries out the oldest step; false if it has to wait for the log.
    ///
    /// # Panics
    /// If the core asked for a step out of order.
    pub fn step(&mut self) -> Result<bool, WalError> {
        let Some((step, after)) = self.steps.front() else { return Ok(false) };
        match step {
            CheckpointStep::Begin(start) => {
                assert!(self.checkpoint.is_none(), "a checkpoint began before the last one ended");
                let begun = Checkpoint::begin(self.disk.clone(), &self.identity, *start)?;
                self.checkpoint = Some(begun);
            }
            CheckpointStep::Part(part) => {
                self.checkpoint.as_mut().expect("a part of no checkpoint").part(part)?;
            }
            CheckpointStep::Finish => {
                let after = *after;
                if self.durable() < after {
                    self.urgent = true;
                    return Ok(false);
                }
                let start =
                    self.checkpoint.take().expect("the end of no checkpoint").finish(after)?;
                self.wal().truncate_before(start.from)?;
            }
        }
        self.steps.pop_front();
        Ok(true)
    }

    /// Whether a checkpoint is begun and not complete.
    pub fn writes_checkpoint(&self) -> bool {
        self.checkpoint.is_some()
    }

    /// Whether a step waits.
    pub fn has_steps(&self) -> bool {
        !self.steps.is_empty()
    }

    fn wal(&mut self) -> &mut Wal<MemDisk> {
        self.wal.as_mut().expect("the log of a server that runs is open")
    }
}
