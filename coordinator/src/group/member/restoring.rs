//! All that there is, for a member that is far behind: how the leader sends it, and how the
//! member takes it (`group/transfer.rs`).

use synod_common::id::{CoordinatorId, Peer, RequestId};
use synod_common::message::GroupMessage;
use synod_common::message::group::Position;
use synod_common::node::{CheckpointStep, Output};
use synod_common::time::Now;

use super::Member;
use crate::group::replica::Offer;
use crate::group::transfer::{Sending, Taking};
use crate::mutant::mutated;

impl Member {
    /// Sends a part, for the first time or again.
    pub(super) fn send_state(&mut self, now: Now, out: &mut Output) {
        if !self.replica.leads() {
            return;
        }
        let waits = !self.leading && mutated!(self.core, StateOnceDecided);
        if self.sending.is_none()
            && !waits
            && let Some(to) = self.replica.behind()
            && let Some(base) = self.replica.log().at(self.applied)
        {
            let mut sending = Sending::new(to, base, self.core.begin_parts());
            if let Some((part, last)) = self.core.next_part(&mut sending.parts) {
                sending.goes_on(0, part, last.then(|| self.known()));
                self.sending = Some(sending);
            }
        }
        let epoch = self.replica.promise().epoch;
        let patience = self.core.settings.patience;
        let Some(sending) = &mut self.sending else { return };
        let waits = now.mono.since(sending.sent());
        match sending.needs() <= self.applied {
            true if sending.is_new() || waits >= patience => {
                let to = Peer::Coordinator(sending.to);
                out.send(to, RequestId::default(), sending.message(now.mono, epoch));
            }
            // Perhaps it is that member without which nothing can be decided.
            false if waits >= 2 * patience => self.start_anew(out),
            true | false => {}
        }
    }

    /// A member has taken a part.
    pub(super) fn part_taken(
        &mut self,
        now: Now,
        (from, base, number): (CoordinatorId, Position, u32),
        out: &mut Output,
    ) {
        let known = self.known();
        let Some(sending) = &mut self.sending else { return };
        match sending.taken(from, base, number) {
            Some(true) => {
                self.sending = None;
                let step = self.replica.restored(now.mono, from, base.index);
                self.carry_out(now, step, out);
            }
            Some(false) => {
                let Some((part, last)) = self.core.next_part(&mut sending.parts) else { return };
                sending.goes_on(number + 1, part, last.then_some(known));
            }
            None => {}
        }
    }

    /// The leader sends a part of all that there is.
    pub(super) fn part_came(
        &mut self,
        now: Now,
        from: CoordinatorId,
        message: &GroupMessage,
        out: &mut Output,
    ) {
        let GroupMessage::State { epoch, base, number, last, part } = message else { return };
        let (offer, step) = self.replica.offered_state(now.mono, from, *epoch, *base);
        self.refuse(Peer::Coordinator(from), &step, out);
        self.carry_out(now, step, out);
        let taken = GroupMessage::Taken { epoch: *epoch, base: *base, number: *number };
        match offer {
            Offer::Known => {
                return out.send(Peer::Coordinator(from), RequestId::default(), taken);
            }
            Offer::Taken if !self.stopped => {}
            Offer::Taken | Offer::Refused => return,
        }
        if self.taking.is_none() && *number == 0 && !self.core.writes_checkpoint() {
            let saved = self.saved(*base);
            let begin = CheckpointStep::Begin(out.last_lsn().next());
            let steps = [begin, CheckpointStep::Part(saved.encode())];
            self.taking = Some(Taking::new((from, *epoch), *base, steps));
        }
        let Some(taking) = &mut self.taking else { return };
        let same = taking.from == (from, *epoch) && taking.base == *base;
        if same && taking.part(now.mono, *number, part, *last) {
            out.send(Peer::Coordinator(from), RequestId::default(), taken);
        }
    }

    /// Goes on with what it takes in, unless there is another leader, or silence.
    pub(super) fn take_state(&mut self, now: Now, out: &mut Output) {
        let Some(taking) = &mut self.taking else { return };
        let silent = now.mono.since(taking.heard) >= 4 * self.core.settings.patience;
        if self.replica.term() != taking.from.1 || silent {
            return self.start_anew(out);
        }
        if let Some(step) = taking.next() {
            out.checkpoint = Some(step);
        }
    }

    pub(super) fn part_written(&mut self, out: &mut Output) {
        let Some(taking) = &mut self.taking else { return };
        let Some((number, last)) = taking.written() else { return };
        let ((from, epoch), base) = (taking.from, taking.base);
        let taken = GroupMessage::Taken { epoch, base, number };
        out.send(Peer::Coordinator(from), RequestId::default(), taken);
        if last {
            self.start_anew(out);
        }
    }
}
