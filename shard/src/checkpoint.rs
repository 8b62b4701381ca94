//! Checkpoints of a shard, written in parts while writers go on.
//!
//! Fuzzy: the index is walked in key order, one chunk at a time, each as it is
//! at that moment. Recovery replays the log from the LSN that was durable when
//! the checkpoint began; installing a version twice is harmless, so it does not
//! matter on which side of a chunk a commit fell.
//!
//! ```text
//!   log    ──────────▲──────────────────────▶
//!                    │ start: durable when it began
//!   parts            meta  a…f  f…m  m…z  end
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use synod_common::commit::Verdict;
use synod_common::error::Corrupt;
use synod_common::key::Key;
use synod_common::message::commit::{Knows, Voted};
use synod_common::node::{CheckpointStep, Lsn, Output, decode};
use synod_common::time::Timestamp;

use crate::mutant::mutated;
use crate::over::End;
use crate::participant::Stage;
use crate::record::Record;
use crate::settled::Mark;
use crate::shard::Shard;

const CHUNK_BYTES: usize = 256 << 10;

/// How far the checkpoint is that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checkpoint {
    logged: u64,
    progress: Option<Progress>,
}

#[derive(Clone, Debug)]
enum Progress {
    Meta(Part, Part),
    Voted(Part),
    Versions(Option<Key>),
    End,
    Finish,
    /// The last step is on its way; another checkpoint must wait for it.
    Finishing,
}

/// One part of a checkpoint. Only append variants.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    /// What is open and the shards, as records; what to remember of what is over; and the
    /// marks below which nothing is.
    Meta {
        open: Vec<Record>,
        one_phase: Vec<OnePhaseEnd>,
        sites: Vec<SiteEnd>,
        low_water: Timestamp,
        settled: Mark,
    },
    /// A chunk of the index.
    Versions(Bytes),
    /// Versions below this may be missing from the chunks.
    End { safe_point: Timestamp },
    /// Commits that votes have decided.
    Voted(Vec<Voted>),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SiteEnd {
    txn: synod_common::id::TxnId,
    h: Timestamp,
    verdict: Verdict,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OnePhaseEnd {
    txn: synod_common::id::TxnId,
    h: Timestamp,
    m: Timestamp,
}

impl Shard {
    /// Begins a checkpoint when the log has grown enough.
    pub(crate) fn begin_checkpoint(&mut self, out: &mut Output) {
        self.checkpoint.logged += out.take_logged();
        if self.checkpoint.progress.is_none()
            && self.checkpoint.logged >= self.settings.checkpoint_bytes
        {
            self.checkpoint.logged = 0;
            // Taken now: the replay from the start must meet the state of the start.
            let voted = Part::Voted(self.over.voted().collect());
            self.checkpoint.progress = Some(Progress::Meta(self.meta(), voted));
            out.checkpoint = Some(CheckpointStep::Begin(self.durable.next()));
        }
    }

    /// Goes on when a step is on the disk.
    pub(crate) fn checkpoint_written(&mut self, out: &mut Output) {
        let (part, next) = match self.checkpoint.progress.take() {
            Some(Progress::Meta(meta, voted)) => (meta, Progress::Voted(voted)),
            Some(Progress::Voted(voted)) => (voted, Progress::Versions(None)),
            Some(Progress::Versions(after)) => {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES + (CHUNK_BYTES >> 3));
                let next = self.versions.chunk(after.as_deref(), CHUNK_BYTES, &mut chunk);
                let next = next.map_or(Progress::End, |key| Progress::Versions(Some(key)));
                (Part::Versions(chunk.into()), next)
            }
            Some(Progress::End) => (Part::End { safe_point: self.safe_point }, Progress::Finish),
            Some(Progress::Finish) => {
                self.stats.checkpoints += 1;
                self.checkpoint.progress = Some(Progress::Finishing);
                out.checkpoint = Some(CheckpointStep::Finish);
                return;
            }
            Some(Progress::Finishing) | None => return,
        };
        let bytes = postcard::to_stdvec(&part).expect("our own checkpoint can be serialized");
        self.checkpoint.progress = Some(next);
        out.checkpoint = Some(CheckpointStep::Part(bytes));
    }

    /// Everything durable that is not in the index. What is logged but not yet
    /// durable lies behind the start, and is replayed if it survives.
    fn meta(&self) -> Part {
        let is_open = |stage: &&Stage| match stage {
            // These stand with what was decided about them.
            Stage::Prepared { resolved: Some(resolved), .. } if resolved.in_force => false,
            Stage::Prepared { lsn, .. } | Stage::OnePhase { lsn, .. } => *lsn <= self.durable,
            Stage::Active | Stage::Preparing(_) | Stage::ReadVoted { .. } => false,
        };
        let stages = self.txns.values().map(|participant| &participant.stage);
        let open = stages.filter(is_open).flat_map(Stage::saved);
        let one_phase = self.over.one_phase().filter_map(|outcome| {
            outcome.committed.map(|m| OnePhaseEnd { txn: outcome.txn, h: outcome.h, m })
        });
        let shards = Record::Shards(self.shards.to_vec());
        let sites = self.settled.all().map(|(txn, h, verdict)| SiteEnd { txn, h, verdict });
        Part::Meta {
            open: self.saved_resolutions().chain(open).chain([shards]).collect(),
            one_phase: one_phase.collect(),
            sites: sites.collect(),
            low_water: self.over.low_water(),
            settled: self.settled.mark().clone(),
        }
    }

    /// Takes back one part.
    pub(crate) fn restore_part(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        match decode("a part of the checkpoint", bytes)? {
            Part::Meta { open, one_phase, sites, low_water, settled } => {
                self.over.raise(low_water);
                self.settled.raise(settled);
                let forgotten = mutated!(self, SiteEndForgotten);
                for SiteEnd { txn, h, verdict } in sites.into_iter().filter(|_| !forgotten) {
                    self.settled.insert(txn, h, verdict);
                }
                for record in open {
                    self.apply(Lsn::default(), record);
                }
                for OnePhaseEnd { txn, h, m } in one_phase {
                    self.over.insert(txn, h, End::OnePhase(m));
                }
            }
            Part::Voted(voted) => {
                for Voted { txn, h, participants, knows } in voted {
                    if let Knows::Committed(at) = knows {
                        self.over.restore(txn, h, End::Voted(at, participants.into()));
                    }
                }
            }
            Part::Versions(chunk) => self.versions.restore(&chunk)?,
            Part::End { safe_point } => self.safe_point = self.safe_point.max(safe_point),
        }
        Ok(())
    }
}
