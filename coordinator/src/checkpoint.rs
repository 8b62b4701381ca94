//! Checkpoints of a coordinator: everything that is durable, in parts.
//!
//! Fuzzy: the parts are written one at a time while work goes on, and recovery
//! replays the log from the LSN that was durable when the checkpoint began.
//! Applying a record twice is harmless, so the overlap is, too.
//!
//! What the leader of a group knows may still come to nothing, and some of it is in the
//! parts. So a checkpoint is complete only when all up to where the log ended with the last
//! part is decided (`group/member/mod.rs`). If it is not, its leader is deposed, and starts anew.

use serde::{Deserialize, Serialize};
use synod_common::commit::Stable;
use synod_common::error::Corrupt;
use synod_common::id::{Epoch, SessionId};
use synod_common::message::group::Position;
use synod_common::message::paxos::Bundle;
use synod_common::node::{CheckpointStep, Lsn, Output, decode};
use synod_common::time::Timestamp;

use crate::commit::{Commit, Stage};
use crate::coordinator::Coordinator;
use crate::group::Promise;
use crate::mutant::mutated;
use crate::outcomes::{SavedBlock, SavedForgotten};
use crate::record::Record;

/// Blocks of outcomes in one part, about 600 bytes each.
const BLOCKS_PER_PART: usize = 512;

/// How far the checkpoint is that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checkpoint {
    progress: Option<Progress>,
}

#[derive(Clone, Debug)]
enum Progress {
    Group(Saved, Part),
    Open(Part),
    Outcomes(Option<(SessionId, u64)>),
    Forgotten,
    Finish,
    /// The last step is on its way; another checkpoint must wait for it.
    Finishing,
}

/// One part of a checkpoint. Only append variants.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Part {
    /// What was in force, and open, when the checkpoint began.
    Open { epoch: Epoch, hi: Timestamp, open: Vec<Record> },
    /// Outcomes.
    Outcomes(Vec<SavedBlock>),
    /// What may be missing from them; written last.
    Forgotten(SavedForgotten),
    /// Where all this stands in the group's log; written first.
    Group(Saved),
}

/// Where a checkpoint stands in the group's log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// What the member has promised.
    pub promise: Promise,
    /// All entries up to this are in it.
    pub base: Position,
    /// What the member has accepted, and does not know to be decided.
    pub accepted: Vec<Bundle>,
}

/// How far the parts for another member are.
#[derive(Clone, Debug)]
pub(crate) struct Parts(Option<Progress>);

impl Saved {
    /// As the first part of a checkpoint.
    pub(crate) fn encode(self) -> Vec<u8> {
        encode(&Part::Group(self))
    }
}

fn encode(part: &Part) -> Vec<u8> {
    postcard::to_stdvec(part).expect("our own checkpoint can be serialized")
}

impl Coordinator {
    /// Whether a checkpoint is being written.
    pub(crate) fn writes_checkpoint(&self) -> bool {
        self.checkpoint.progress.is_some()
    }

    /// Begins a checkpoint.
    pub(crate) fn begin_checkpoint(&mut self, saved: Saved) {
        self.checkpoint.progress = Some(Progress::Group(saved, self.open_commits()));
    }

    /// The parts for another member, which is to have all that this one has.
    pub(crate) fn begin_parts(&self) -> Parts {
        Parts(Some(Progress::Open(self.open_commits())))
    }

    /// The next of them, and whether it is the last.
    pub(crate) fn next_part(&self, parts: &mut Parts) -> Option<(Vec<u8>, bool)> {
        let (part, next) = self.part(parts.0.take()?)?;
        let last = matches!(next, Progress::Finish);
        parts.0 = (!last).then_some(next);
        Some((encode(&part), last))
    }

    /// What is to be written now, and how far it is then.
    fn part(&self, progress: Progress) -> Option<(Part, Progress)> {
        Some(match progress {
            Progress::Group(saved, open) => (Part::Group(saved), Progress::Open(open)),
            Progress::Open(open) => (open, Progress::Outcomes(None)),
            Progress::Outcomes(after) => {
                let (blocks, next) = self.outcomes.save(after, BLOCKS_PER_PART);
                let next = next.map_or(Progress::Forgotten, |next| Progress::Outcomes(Some(next)));
                (Part::Outcomes(blocks), next)
            }
            Progress::Forgotten => {
                (Part::Forgotten(self.outcomes.save_forgotten()), Progress::Finish)
            }
            Progress::Finish | Progress::Finishing => return None,
        })
    }

    /// Goes on when a step is on the disk.
    pub(crate) fn checkpoint_written(&mut self, out: &mut Output) {
        match self.checkpoint.progress.take() {
            Some(Progress::Finish) => {
                self.checkpoint.progress = Some(Progress::Finishing);
                out.checkpoint = Some(CheckpointStep::Finish);
            }
            Some(progress) => {
                if let Some((part, next)) = self.part(progress) {
                    self.checkpoint.progress = Some(next);
                    out.checkpoint = Some(CheckpointStep::Part(encode(&part)));
                }
            }
            None => {}
        }
    }

    fn open_commits(&self) -> Part {
        let safe_point = Record::SafePoint { at: self.safe_point.published() };
        let given_up = self.paxos.given_up.iter();
        let given_up = given_up.map(|&(h, txn)| Record::GivenUp { txn, h });
        let aborted = self.voted.given_up.iter();
        let aborted = aborted.map(|&(h, txn)| Record::Aborted { txn, h });
        let aborted = aborted.filter(|_| !mutated!(self, AbortedNotSaved));
        let decided = [
            safe_point,
            Record::Mark { below: self.paxos.below },
            Record::Decided { below: self.voted.below },
        ];
        let open = self.open().into_iter().chain(decided).chain(given_up).chain(aborted).collect();
        Part::Open { epoch: self.epoch, hi: self.oracle.hi(), open }
    }

    /// The records of what is open.
    pub fn open(&self) -> Vec<Record> {
        let site = |txn, commit: &Commit, stable| {
            let (h, sites) = (commit.h, commit.sites.clone());
            Record::Site { txn, h, sites, stable }
        };
        let open = self.commits.iter().flat_map(|(&txn, commit)| match &commit.stage {
            Stage::Committing { at, unacknowledged } => {
                let committed = Record::Committed { txn, at: *at, yes: unacknowledged.clone() };
                let is_site = !commit.sites.is_empty();
                let site = is_site.then(|| site(txn, commit, Stable::voted(commit.rule)));
                [site, Some(committed)]
            }
            Stage::PreCommitting(pre) => [pre.kept.map(|kept| site(txn, commit, kept)), None],
            // Not durable, or not decided here: the log after the start tells.
            Stage::OnePhase { .. }
            | Stage::Preparing(_)
            | Stage::Accepting(_)
            | Stage::GivingUp { .. }
            | Stage::Deciding { .. } => [None, None],
        });
        open.flatten().collect()
    }

    /// Takes back one part. The first one says where all of them stand.
    pub(crate) fn restore_part(&mut self, bytes: &[u8]) -> Result<Option<Saved>, Corrupt> {
        match decode("a part of the checkpoint", bytes)? {
            Part::Open { epoch, hi, open } => {
                self.apply(Lsn::default(), Record::Started { epoch });
                self.apply(Lsn::default(), Record::Window { hi });
                open.into_iter().for_each(|record| self.apply(Lsn::default(), record));
            }
            Part::Group(saved) => return Ok(Some(saved)),
            Part::Forgotten(forgotten) => self.outcomes.restore_forgotten(forgotten),
            Part::Outcomes(blocks) => blocks.iter().for_each(|block| self.outcomes.restore(block)),
        }
        Ok(None)
    }
}
