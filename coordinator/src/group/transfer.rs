//! All that there is, from the leader to a member that has missed more than the log still
//! has.
//!
//! ```text
//!   leader   State 0 ─▶   member  Begin, Part(own promise), Part 0   on its disk
//!            ◀─ Taken 0
//!            State 1 ─▶           Part 1
//!            …
//!            State n, last ─▶     Part n, Finish: its checkpoint is the leader's
//!            ◀─ Taken n           it starts anew from that
//!            Append …
//! ```
//!
//! The parts are those of a checkpoint, written one by one while work goes on; the last one
//! waits until nothing in them can come to nothing any more. The member
//! takes them straight to its disk, where they become its own checkpoint: until the last
//! one is there, nothing of what it had is gone. If another one leads in the meantime, or
//! the leader falls silent, it starts anew from what it had.

use std::collections::VecDeque;

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch};
use synod_common::message::GroupMessage;
use synod_common::message::group::Position;
use synod_common::node::CheckpointStep;
use synod_common::time::Mono;

use crate::checkpoint::Parts;

/// What a leader sends to a member.
#[derive(Clone, Debug)]
pub struct Sending {
    /// To whom.
    pub to: CoordinatorId,
    /// What comes behind this is sent as entries.
    pub base: Position,
    /// How far it is.
    pub parts: Parts,
    number: u32,
    last: bool,
    part: Bytes,
    /// All up to this must be decided before it is sent.
    needs: u64,
    is_new: bool,
    sent: Mono,
}

impl Sending {
    /// Nothing is sent yet.
    pub fn new(to: CoordinatorId, base: Position, parts: Parts) -> Sending {
        let (part, sent) = (Bytes::new(), Mono::default());
        let (number, last, needs, is_new) = (0, false, 0, true);
        Sending { to, base, parts, number, last, part, needs, is_new, sent }
    }

    /// The next part; if it is the last, with what all of them need to be decided.
    pub fn goes_on(&mut self, number: u32, part: Vec<u8>, last: Option<u64>) {
        (self.number, self.part, self.last) = (number, Bytes::from(part), last.is_some());
        (self.needs, self.is_new) = (last.unwrap_or(0), true);
    }

    /// All up to this must be decided before the part is sent.
    pub fn needs(&self) -> u64 {
        self.needs
    }

    /// Whether it was not sent yet.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Whether it waits for this part to be taken; if so, whether it was the last.
    pub fn taken(&self, from: CoordinatorId, base: Position, number: u32) -> Option<bool> {
        (from == self.to && base == self.base && number == self.number).then_some(self.last)
    }

    /// When it, or the one before it, was last sent.
    pub fn sent(&self) -> Mono {
        self.sent
    }

    /// The part that is to be taken.
    pub fn message(&mut self, now: Mono, epoch: Epoch) -> GroupMessage {
        (self.sent, self.is_new) = (now, false);
        let Sending { base, number, last, .. } = *self;
        GroupMessage::State { epoch, base, number, last, part: self.part.clone() }
    }
}

/// What a member takes in.
#[derive(Clone, Debug)]
pub struct Taking {
    /// From whom, in which epoch.
    pub from: (CoordinatorId, Epoch),
    /// Where it stands.
    pub base: Position,
    /// When the last part came.
    pub heard: Mono,
    /// How many parts have come.
    count: u32,
    steps: VecDeque<CheckpointStep>,
    last: bool,
    writing: bool,
}

impl Taking {
    /// Begins with these steps.
    pub fn new(
        from: (CoordinatorId, Epoch),
        base: Position,
        steps: impl IntoIterator<Item = CheckpointStep>,
    ) -> Taking {
        let (steps, heard) = (steps.into_iter().collect(), Mono::default());
        Taking { from, base, heard, count: 0, steps, last: false, writing: false }
    }

    /// A part has come. Whether it was taken before: its acknowledgement got lost.
    pub fn part(&mut self, now: Mono, number: u32, part: &Bytes, last: bool) -> bool {
        self.heard = now;
        let idle = !self.writing && self.steps.is_empty();
        if number == self.count && (idle || self.count == 0) {
            self.count += 1;
            self.steps.push_back(CheckpointStep::Part(part.to_vec()));
            self.steps.extend(last.then_some(CheckpointStep::Finish));
            self.last = last;
            return false;
        }
        idle && number.checked_add(1) == Some(self.count)
    }

    /// The next step, unless one is being written.
    pub fn next(&mut self) -> Option<CheckpointStep> {
        if self.writing {
            return None;
        }
        let step = self.steps.pop_front();
        self.writing = step.is_some();
        step
    }

    /// A step is written. If with it a part is, its number, and whether that was the last.
    pub fn written(&mut self) -> Option<(u32, bool)> {
        self.writing = false;
        self.steps.is_empty().then_some((self.count.saturating_sub(1), self.last))
    }
}
