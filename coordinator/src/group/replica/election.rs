//! Who leads: canvassing, promises, and a majority of them.

use std::collections::BTreeSet;

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch};
use synod_common::message::GroupMessage;
use synod_common::message::group::Position;
use synod_common::time::Mono;

use super::leading::{Follower, Leading};
use super::{Replica, Role, Step, Turn, When};

impl Replica {
    pub(super) fn canvassed(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        last: Position,
        step: &mut Step,
    ) {
        if epoch <= self.promise.epoch {
            return self.refuse_stale(from, step);
        }
        let lately = self.heard.is_some_and(|heard| now.since(heard) < self.pace.patience);
        if last >= self.log.last() && !lately && !self.leads() {
            step.messages.push((from, GroupMessage::Would { epoch }, When::Now));
        }
    }

    pub(super) fn would(&mut self, now: Mono, from: CoordinatorId, epoch: Epoch, step: &mut Step) {
        let majority = self.majority();
        let Role::Canvassing(asked, who) = &mut self.role else { return };
        if *asked != epoch || epoch <= self.promise.epoch {
            return;
        }
        who.insert(from);
        if who.len() >= majority {
            self.promise_to(now, epoch, self.me, step);
            self.role = Role::Standing(BTreeSet::from([self.me]));
            let last = self.log.last();
            self.tell_all(&GroupMessage::Elect { epoch, last }, When::Durable, step);
        }
    }

    pub(super) fn asked_to_elect(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        last: Position,
        step: &mut Step,
    ) {
        let again = epoch == self.promise.epoch && self.promise.to == Some(from);
        if epoch <= self.promise.epoch && !again && !mutated!(self, PromisesTwice) {
            return self.refuse_stale(from, step);
        }
        let complete = last >= self.log.last() || mutated!(self, ElectsAnybody);
        if complete {
            self.promise_to(now, epoch, from, step);
            let elected = GroupMessage::Elected { epoch, accepted: Bytes::new() };
            step.messages.push((from, elected, When::Durable));
        }
    }

    pub(super) fn elected(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        step: &mut Step,
    ) {
        let majority = self.majority();
        let Role::Standing(who) = &mut self.role else { return };
        if epoch != self.promise.epoch {
            return;
        }
        who.insert(from);
        if who.len() >= majority {
            self.lead(now, step);
        }
    }

    pub(super) fn lead(&mut self, now: Mono, step: &mut Step) {
        let last = self.log.last().index;
        let follower = |member: &CoordinatorId| Follower {
            member: *member,
            matched: 0,
            likely: last,
            sent: last,
            in_flight: 0,
            sent_at: now,
            heard: now,
            round: 0,
            tried: None,
            lost: false,
        };
        let others = self.members.iter().filter(|member| **member != self.me);
        let followers = others.map(follower).collect();
        let (first, round, confirmed, took_over) = (last + 1, 0, 0, None);
        self.role = Role::Leading(Leading { first, followers, round, confirmed, took_over });
        self.due = now + self.pace.heartbeat;
        step.turn = Some(Turn::Leads(self.promise.epoch));
    }
}
