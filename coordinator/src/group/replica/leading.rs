//! What a leader does: entries to those who lack them, counting who has them, and making
//! sure that it still leads.

use synod_common::id::{CoordinatorId, Epoch};
use synod_common::message::GroupMessage;
use synod_common::time::Mono;

use super::{MESSAGE_BYTES, MOST_IN_FLIGHT, Replica, Role, Step, When};
use crate::group::log::Log;

#[derive(Clone, Debug)]
pub(super) struct Leading {
    /// The first entry of the own epoch.
    pub(super) first: u64,
    pub(super) followers: Vec<Follower>,
    pub(super) round: u64,
    pub(super) confirmed: u64,
    /// All that was left open before the own epoch is decided up to here.
    pub(super) took_over: Option<u64>,
}

impl Leading {
    pub(super) fn follower(&mut self, member: CoordinatorId) -> Option<&mut Follower> {
        self.followers.iter_mut().find(|follower| follower.member == member)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Follower {
    pub(super) member: CoordinatorId,
    /// It has all up to this.
    pub(super) matched: u64,
    /// It may have all up to this.
    pub(super) likely: u64,
    /// It was sent all up to this.
    pub(super) sent: u64,
    pub(super) in_flight: u8,
    pub(super) sent_at: Mono,
    pub(super) heard: Mono,
    /// The last round that it has confirmed.
    pub(super) round: u64,
    /// Where the own log began when it was sent all of it.
    pub(super) tried: Option<u64>,
    /// It lacks what comes before the own log.
    pub(super) lost: bool,
}

impl Replica {
    pub(super) fn heartbeat(&mut self, now: Mono, step: &mut Step) {
        let (majority, patience) = (self.majority(), self.pace.patience);
        let Role::Leading(leading) = &mut self.role else { return };
        let heard = |follower: &&Follower| now.since(follower.heard) < patience;
        if 1 + leading.followers.iter().filter(heard).count() < majority {
            return self.stop(step);
        }
        for follower in &mut leading.followers {
            if follower.matched < follower.sent && now.since(follower.sent_at) >= patience {
                (follower.tried, follower.lost) = (None, false);
                follower.rewind();
            }
        }
        self.due = now + self.pace.heartbeat;
        self.send_all_entries(now, step);
        step.messages.append(&mut self.confirm().1.messages);
    }

    pub(super) fn appended(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        index: u64,
        step: &mut Step,
    ) {
        let last = self.log.last().index;
        let Some(follower) = self.follower(now, from, epoch) else { return };
        if index > last {
            return;
        }
        (follower.tried, follower.lost) = (None, false);
        follower.matched = follower.matched.max(index);
        follower.sent = follower.sent.max(index);
        follower.in_flight = match follower.matched >= follower.sent {
            // Some of the answers may be lost.
            true => 0,
            false => follower.in_flight.saturating_sub(1),
        };
        self.count();
        self.send_entries(now, from, step);
    }

    pub(super) fn missing(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        index: u64,
        step: &mut Step,
    ) {
        let (base, last) = (self.log.base().index, self.log.last().index);
        let Some(follower) = self.follower(now, from, epoch) else { return };
        follower.likely = index.min(last);
        // It is far behind, or does not know how far it is. If it lacks the place where the
        // own log begins, entries do not help it.
        follower.lost |= follower.tried.is_some_and(|at| index < at);
        if index < base {
            follower.tried = Some(base);
        }
        // That is its answer to what it was sent.
        follower.sent_at = now;
        follower.rewind();
        // One at a time until something fits: each of many would be answered like this.
        follower.in_flight = MOST_IN_FLIGHT - 1;
        self.send_entries(now, from, step);
    }

    pub(super) fn round_confirmed(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        round: u64,
    ) {
        let majority = self.majority();
        let Some(follower) = self.follower(now, from, epoch) else { return };
        follower.round = follower.round.max(round);
        let Role::Leading(leading) = &mut self.role else { return };
        let asked = leading.round;
        let rounds = leading.followers.iter().map(|follower| follower.round.min(asked));
        leading.confirmed = leading.confirmed.max(reached(majority, &rounds.chain([asked])));
    }

    /// The members that have entries of this epoch and have answered lately.
    pub fn heard(&self, now: Mono) -> Vec<CoordinatorId> {
        let Role::Leading(leading) = &self.role else { return Vec::new() };
        let lately = 2 * self.pace.heartbeat;
        let is_there = |follower: &&Follower| {
            follower.matched >= leading.first && now.since(follower.heard) <= lately
        };
        leading.followers.iter().filter(is_there).map(|follower| follower.member).collect()
    }

    pub(super) fn follower(
        &mut self,
        now: Mono,
        member: CoordinatorId,
        epoch: Epoch,
    ) -> Option<&mut Follower> {
        let Role::Leading(leading) = &mut self.role else { return None };
        let follower = leading.follower(member)?;
        if epoch != self.promise.epoch {
            return None;
        }
        follower.heard = now;
        Some(follower)
    }

    /// Counts what a majority has.
    pub(super) fn count(&mut self) {
        let majority = self.majority();
        let Role::Leading(leading) = &self.role else { return };
        let matched = leading.followers.iter().map(|follower| follower.matched);
        let own = if mutated!(self, OwnUnforced) { self.log.last().index } else { self.durable };
        let index = reached(majority, &matched.chain([own]));
        // What an earlier leader wrote is not decided by being counted: a later one may
        // still drop it. It is when something of this epoch behind it is.
        if index >= leading.first || mutated!(self, CountsOldEntries) {
            self.committed = self.committed.max(index);
        }
    }

    pub(super) fn send_all_entries(&mut self, now: Mono, step: &mut Step) {
        let Replica { role: Role::Leading(leading), log, promise, committed, .. } = self else {
            return;
        };
        for follower in &mut leading.followers {
            follower.send(now, (log, promise.epoch, *committed), step);
        }
    }

    /// Sends a member what it has not been sent, as long as it takes it.
    pub(super) fn send_entries(&mut self, now: Mono, member: CoordinatorId, step: &mut Step) {
        let Replica { role: Role::Leading(leading), log, promise, committed, .. } = self else {
            return;
        };
        if let Some(follower) = leading.follower(member) {
            follower.send(now, (log, promise.epoch, *committed), step);
        }
    }
}

/// What so many have reached. They are few: each is compared with all.
fn reached(many: usize, all: &(impl Iterator<Item = u64> + Clone)) -> u64 {
    let have = |index: &u64| all.clone().filter(|other| other >= index).count() >= many;
    all.clone().filter(have).max().unwrap_or(0)
}

impl Follower {
    fn send(&mut self, now: Mono, of: (&Log, Epoch, u64), step: &mut Step) {
        let (log, epoch, committed) = of;
        // It may have more than it has said.
        self.sent = self.sent.max(log.base().index);
        while self.sent < log.last().index && self.in_flight < MOST_IN_FLIGHT && !self.lost {
            let Some(before) = log.at(self.sent) else { return };
            let (entries, upto) = log.behind(self.sent, MESSAGE_BYTES);
            let append = GroupMessage::Append { epoch, before, committed, entries };
            step.messages.push((self.member, append, When::Now));
            self.sent = upto;
            self.in_flight += 1;
            self.sent_at = now;
        }
    }

    /// What was on its way may be lost.
    pub(super) fn rewind(&mut self) {
        self.sent = if self.matched > 0 { self.matched } else { self.likely };
        self.in_flight = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use synod_common::message::group::Position;
    use synod_common::refusal::Refusal;

    use super::super::{Pace, Promise, Turn};
    use super::*;

    const C1: CoordinatorId = CoordinatorId(1);
    const C2: CoordinatorId = CoordinatorId(2);
    const C3: CoordinatorId = CoordinatorId(3);
    /// The one that c2 leads.
    const EPOCH: Epoch = Epoch(2);
    /// As many epochs as may have begun without being heard of.
    const UNHEARD: u32 = 1 << 20;

    /// c2 leads with this log, by the promise of c3.
    fn led_by_c2(log: Log) -> (Replica, Mono) {
        let pace = Pace { heartbeat: Duration::from_millis(1), patience: Duration::from_millis(9) };
        let promise = Promise { epoch: Epoch(1), to: Some(C1) };
        let mut replica = Replica::new(C2, [C1, C2, C3], pace, promise, log);
        replica.start(Mono(1), 7);
        let now = Mono(1) + 2 * pace.patience;
        replica.tick(now);
        replica.hear(now, C3, GroupMessage::Would { epoch: EPOCH });
        replica.hear(now, C3, GroupMessage::Elected { epoch: EPOCH, accepted: Bytes::new() });
        assert!(replica.leads());
        (replica, now)
    }

    /// c1 is gone for good, c2 has been restarted and has no entries before its checkpoint,
    /// and c3 was down when it was written: c2 can decide nothing without c3, which must be
    /// sent a state first.
    #[test]
    fn a_leader_with_a_short_log_knows_who_is_behind_before_anything_is_decided() {
        let log = Log::from(Position { epoch: Epoch(1), index: 1000 });
        let (mut replica, now) = led_by_c2(log);
        replica.append(now, [Bytes::from_static(b"first")], true);
        let missing = GroupMessage::Missing { epoch: EPOCH, index: 990 };
        replica.hear(now, C3, missing.clone());
        assert_eq!(replica.behind(), None, "it may only not know how far it is");
        replica.hear(now, C3, missing);
        assert_eq!((replica.behind(), replica.committed()), (Some(C3), 1000));
    }

    /// Each of them would count as on its way for ever, and in the end nothing be sent.
    #[test]
    fn answers_that_are_lost_hold_nothing_back() {
        let (mut replica, now) = led_by_c2(Log::default());
        for index in 1..=6 {
            let step = replica.append(now, [Bytes::from_static(b"entry")], true);
            assert!(step.messages.iter().any(|(to, ..)| *to == C3), "entry {index} is sent");
            if index % u64::from(MOST_IN_FLIGHT) == 0 {
                replica.hear(now, C3, GroupMessage::Appended { epoch: EPOCH, index });
            }
        }
    }

    /// It was said to who led then. That somebody stands for a later epoch is no refusal.
    #[test]
    fn a_refusal_of_an_epoch_that_is_over_stops_nobody() {
        let (mut replica, now) = led_by_c2(Log::default());
        let canvass = GroupMessage::Canvass { epoch: Epoch(4), last: Position::default() };
        replica.hear(now, C3, canvass);
        let mut turn = |epoch| replica.hear(now, C3, GroupMessage::Stale { epoch }).turn;
        assert_eq!((turn(Epoch(1)), turn(EPOCH)), (None, None));
        assert_eq!((turn(Epoch(5 + UNHEARD)), turn(Epoch(u32::MAX))), (None, None));
        assert_eq!(turn(Epoch(3)), Some(Turn::Stops));
        assert_eq!(turn(Epoch(4 + UNHEARD)), Some(Turn::Stops), "behind epoch 4");
    }

    /// Nobody promises it, follows it, or would elect it, and who leads goes on.
    #[test]
    fn an_epoch_that_can_not_be_moves_nobody() {
        let last = Position { epoch: EPOCH, index: 9 };
        let of = |epoch| {
            let entries = Bytes::new();
            [
                GroupMessage::Canvass { epoch, last },
                GroupMessage::Elect { epoch, last },
                GroupMessage::Append { epoch, before: last, committed: 9, entries },
                GroupMessage::Confirm { epoch, round: 1, committed: 9 },
                GroupMessage::Stale { epoch },
                GroupMessage::Readmit { above: epoch },
            ]
        };
        for epoch in [Epoch(3 + UNHEARD), Epoch(u32::MAX)] {
            for message in of(epoch) {
                let (mut replica, now) = led_by_c2(Log::default());
                let step = replica.hear(now, C3, message.clone());
                assert_eq!(step.refused, Some(Refusal::EpochOutOfBounds), "{message:?}");
                assert_eq!((step.messages, step.turn, step.promise), (vec![], None, None));
                assert_eq!(replica.promise().epoch, EPOCH);
            }
        }
    }

    /// They were given to who led then, or wanted to.
    #[test]
    fn answers_of_an_epoch_that_is_over_are_refused_and_not_answered() {
        let (epoch, index) = (Epoch(1), 1);
        let answers = [
            GroupMessage::Would { epoch },
            GroupMessage::Elected { epoch, accepted: Bytes::new() },
            GroupMessage::Appended { epoch, index },
            GroupMessage::Missing { epoch, index },
            GroupMessage::Confirmed { epoch, round: 1 },
            GroupMessage::Copied { epoch, index },
        ];
        for answer in answers {
            let (mut replica, now) = led_by_c2(Log::default());
            let step = replica.hear(now, C3, answer.clone());
            assert_eq!(step.refused, Some(Refusal::OldEpoch), "{answer:?}");
            assert_eq!((step.messages, step.turn), (vec![], None), "{answer:?}");
        }
    }

    #[test]
    fn who_is_none_of_the_group_is_not_heard() {
        let (mut replica, now) = led_by_c2(Log::default());
        for stranger in [C2, CoordinatorId(4)] {
            let step = replica.hear(now, stranger, GroupMessage::Stale { epoch: Epoch(3) });
            assert_eq!((step.refused, step.turn), (Some(Refusal::Stranger), None));
        }
    }
}
