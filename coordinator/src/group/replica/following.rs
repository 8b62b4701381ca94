//! What a member does for the leader that it follows.

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch};
use synod_common::message::GroupMessage;
use synod_common::message::group::{Entries, Position};
use synod_common::time::Mono;

use super::{Replica, Role, Step, When};
use crate::group::log::Entry;

impl Replica {
    /// Whether the leader of this epoch is to be followed; if so, it is.
    pub(super) fn follow(
        &mut self,
        now: Mono,
        leader: CoordinatorId,
        epoch: Epoch,
        step: &mut Step,
    ) -> bool {
        if !self.saw(epoch, step) {
            return false;
        }
        if self.is_rejoining() {
            return self.copies(leader, epoch);
        }
        if epoch < self.promise.epoch && !mutated!(self, FollowsStale) {
            self.refuse_stale(leader, step);
            return false;
        }
        if self.leads() && epoch == self.promise.epoch {
            return false;
        }
        if epoch > self.promise.epoch {
            self.promise_to(now, epoch, leader, step);
        }
        self.role = Role::Following(Some(leader));
        self.heard = Some(now);
        self.wait(now);
        step.turn.is_none()
    }

    pub(super) fn take(
        &mut self,
        (from, epoch): (CoordinatorId, Epoch),
        before: Position,
        committed: u64,
        entries: &Bytes,
        step: &mut Step,
    ) {
        let missing = |index| (from, GroupMessage::Missing { epoch, index }, When::Now);
        // What is decided is common, also where it is kept no more.
        let known = before.index <= self.committed || self.log.at(before.index) == Some(before);
        if !known && !mutated!(self, GapsIgnored) {
            let last = self.log.last().index;
            let common = if before.index > last { last } else { self.committed };
            return step.messages.push(missing(common));
        }
        let Ok(entries) = Entries::read(entries).collect::<Result<Vec<_>, _>>() else { return };
        let mut index = before.index;
        for (of, record) in entries {
            index += 1;
            let here = self.log.at(index);
            if index <= self.committed || here.is_some_and(|here| here.epoch == of) {
                continue;
            }
            if here.is_some() {
                self.log.cut(index - 1);
                self.durable = self.durable.min(index - 1);
                step.cut = Some(index - 1);
            }
            if of < self.log.last().epoch || of > epoch {
                return;
            }
            let entry = Entry { epoch: of, record };
            self.log.push(entry.clone());
            step.append.push(entry);
        }
        self.committed = self.committed.max(committed.min(index));
        let when = if mutated!(self, AcknowledgesEarly) { When::Now } else { When::Durable };
        let taken = match self.is_rejoining() {
            true => GroupMessage::Copied { epoch, index },
            false => GroupMessage::Appended { epoch, index },
        };
        step.messages.push((from, taken, when));
    }

    /// The leader says that so much is decided. What is here of its own epoch it wrote, and
    /// all before that is as it has it.
    pub(super) fn learn(&mut self, epoch: Epoch, committed: u64) {
        if self.log.last().epoch == epoch {
            self.committed = self.committed.max(committed.min(self.log.last().index));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Offer, Pace, Promise};
    use super::*;
    use crate::group::log::Log;

    /// Who may be counted on for an entry that is not known to be decided here must not
    /// lose it to a state that ends before it.
    #[test]
    fn a_state_is_taken_only_if_nothing_is_lost_by_it() {
        let pace = Pace { heartbeat: Duration::from_millis(1), patience: Duration::from_millis(9) };
        let mut log = Log::from(Position { epoch: Epoch(1), index: 4 });
        for _ in 5..=7 {
            log.push(Entry { epoch: Epoch(2), record: Bytes::new() });
        }
        let ids = [1, 2, 3].map(CoordinatorId);
        let promise = Promise { epoch: Epoch(2), to: Some(ids[1]) };
        let mut replica = Replica::new(ids[0], ids, pace, promise, log);
        let mut offer = |epoch, base_epoch, index| {
            let base = Position { epoch: Epoch(base_epoch), index };
            replica.offered_state(Mono(1), ids[1], Epoch(epoch), base).0
        };
        assert_eq!(offer(1, 1, 9), Offer::Refused, "of a leader that is deposed");
        assert_eq!(offer(2, 1, 4), Offer::Known);
        assert_eq!(offer(2, 2, 6), Offer::Refused, "entry 7 would be lost");
        assert_eq!(offer(2, 1, 9), Offer::Refused, "entries of epoch 2 would be lost");
        assert_eq!(offer(2, 2, 7), Offer::Taken);
        assert_eq!(offer(3, 3, 6), Offer::Taken, "what is here and not there was not decided");
    }
}
