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
        self.saw(epoch);
        if epoch < self.promise.epoch && !mutated!(self, FollowsStale) {
            let stale = GroupMessage::Stale { epoch: self.promise.epoch };
            step.messages.push((leader, stale, When::Now));
            return false;
        }
        if epoch > self.seen || self.leads() && epoch == self.promise.epoch {
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
        from: CoordinatorId,
        before: Position,
        committed: u64,
        entries: &Bytes,
        step: &mut Step,
    ) {
        let epoch = self.promise.epoch;
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
        step.messages.push((from, GroupMessage::Appended { epoch, index }, when));
    }

    /// The leader says that so much is decided. What is here of its own epoch it wrote, and
    /// all before that is as it has it.
    pub(super) fn learn(&mut self, epoch: Epoch, committed: u64) {
        if self.log.last().epoch == epoch {
            self.committed = self.committed.max(committed.min(self.log.last().index));
        }
    }
}
