//! Deadlocks, seen from a shard.
//!
//! A cycle that lies within the shard is broken at the moment at which it closes.
//! For the others the coordinator needs to know who waits here:
//!
//! | when                                | do                                          |
//! |-------------------------------------|---------------------------------------------|
//! | a wait begins                       | see that the timer runs                     |
//! | the timer                           | tell *all* waits that are old enough; run on while anybody waits |
//! | CONFIRM of some edges               | yes, if each is the same wait for the same holder |
//! | BREAK of a wait that still stands   | abort its transaction: refuse its request, or vote NO |
//! | BREAK of anything else              | nothing                                     |
//!
//! *Why all of them, and again and again.* A report of what is new would be small,
//! but then nothing would tell the coordinator of the last wait before everybody
//! stands still, should that one report be lost. A full set makes good whatever was
//! lost, by itself. Its cost is bounded: most waits are over before they are old
//! enough, and with many the timer slows down.
//!
//! *The number of a wait* is the only thing that says that an edge has stood all the
//! time, so no two waits ever have the same: numbers of one life ascend, and each
//! life begins at random.

use std::time::Duration;

use bytes::Bytes;
use synod_common::deadlock::{Claim, DEFAULT_PRIORITY, Deadlock, Step};
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::List;
use synod_common::message::deadlock::{Edge, Holder, Wait};
use synod_common::node::Output;
use synod_common::time::{Mono, Now};

use crate::lock::Ticket;
use crate::mutant::mutated;
use crate::shard::{Shard, Timer};

const NO_REPLY: RequestId = RequestId(0);
/// For each wait that was told, the next report comes so much later.
const PER_WAIT: Duration = Duration::from_micros(10);
/// What of a report goes into a message; the youngest waits are left out beyond it.
const REPORT_BYTES: usize = 16 << 20;
/// Deadlocks of its own that a shard tells with one report.
const MAX_BROKEN: usize = 16;

/// What is told to the coordinator.
#[derive(Debug, Default)]
pub struct Reporting {
    /// Where the numbers of the waits of this life begin.
    pub(crate) life: u64,
    /// How often it reported.
    number: u64,
    /// Whether the last report named anybody.
    named: bool,
    /// Deadlocks that lay within this shard, to be told with the next report.
    broken: Vec<Deadlock>,
}

impl Shard {
    /// Aborts one transaction of every cycle that the new wait of `txn` closed.
    pub(crate) fn break_deadlocks(&mut self, txn: TxnId, out: &mut Output) {
        while let Some(cycle) = self.locks.find_cycle(txn) {
            let priority = |txn| self.txns.get(&txn).map_or(0, |known| known.standing.priority);
            let victim = self.locks.victim(&cycle, self.victim, priority);
            let deadlock = Deadlock::new(self.steps(&cycle), victim, self.victim);
            self.stats.deadlocks += 1;
            if self.reporting.broken.len() < MAX_BROKEN {
                self.reporting.broken.push(deadlock.clone());
            }
            self.abort(victim, &Reason::Deadlock(Box::new(deadlock)), out);
        }
    }

    /// Who of a cycle waits for what.
    fn steps(&self, cycle: &[TxnId]) -> Vec<Step> {
        let next = cycle.iter().cycle().skip(1);
        let step = |(waiter, holder): (&TxnId, &TxnId)| {
            let ticket = self.locks.waits_because_of(*waiter, *holder)?;
            let (_, target, mode) = self.locks.request_of(ticket)?;
            Some(Step {
                waiter: *waiter,
                target: target.shown(),
                mode: mode.to_string(),
                shard: self.settings.id,
                holder: *holder,
            })
        };
        cycle.iter().zip(next).filter_map(step).collect()
    }

    /// A wait has begun, or a cycle of this shard was broken: something will be told.
    pub(crate) fn see_that_reports_run(&mut self, now: Mono, out: &mut Output) {
        if mutated!(self, ReportsOnce) && self.router.is_some() {
            self.timers.stop(Timer::Report);
            self.tell_waits(now, out);
            return;
        }
        if !self.timers.is_set(Timer::Report) {
            self.timers.set(Timer::Report, now + self.settings.report_after);
        }
    }

    /// Time for a report.
    pub(crate) fn report(&mut self, now: Now, out: &mut Output) {
        let told = self.tell_waits(now.mono, out);
        let coordinator = Peer::Coordinator(self.settings.coordinator);
        for deadlock in std::mem::take(&mut self.reporting.broken) {
            let message = DeadlockMessage::Broken { deadlock: Box::new(deadlock) };
            out.send(coordinator, NO_REPLY, message);
        }
        if !self.waits.is_empty() && !mutated!(self, ReportsOnce) {
            let pause = self.settings.report_after + PER_WAIT.saturating_mul(told);
            self.timers.set(Timer::Report, now.mono + pause);
        }
    }

    /// Tells the coordinator of all that have been waiting for a while, and once
    /// that there are none. A single shard has no deadlocks that it does not see.
    fn tell_waits(&mut self, now: Mono, out: &mut Output) -> u32 {
        let several = |router: &synod_common::route::Router| router.placement().shards.len() > 1;
        if !self.router.as_ref().is_some_and(several) {
            return 0;
        }
        let (waits, count) = self.old_waits(now);
        if count == 0 && !self.reporting.named {
            return 0;
        }
        self.reporting.named = count > 0;
        self.reporting.number += 1;
        let Reporting { life, number, .. } = self.reporting;
        let message = DeadlockMessage::Waits { life, number, waits };
        out.send(Peer::Coordinator(self.settings.coordinator), NO_REPLY, message);
        count
    }

    /// The waits that are old enough to be told, oldest first.
    fn old_waits(&self, now: Mono) -> (Bytes, u32) {
        let mut list = List::default();
        let mut count = 0;
        // In the order in which they began.
        let old = |since| now.since(since) >= self.settings.report_after;
        for wait in self.waits.values().take_while(|wait| old(wait.since)) {
            for ticket in &wait.tickets {
                let Some((txn, target, mode)) = self.locks.request_of(*ticket) else { continue };
                let holders = self.locks.in_the_way(*ticket).into_iter();
                list.push(&Wait {
                    waiter: self.claim(txn),
                    wait: self.wait_number(*ticket),
                    target: target.shown(),
                    mode: mode.to_string(),
                    holders: holders.map(|txn| Holder { txn, locks: self.held_by(txn) }).collect(),
                });
                count += 1;
            }
            if list.len() >= REPORT_BYTES {
                break;
            }
        }
        (list.finish(), count)
    }

    fn claim(&self, txn: TxnId) -> Claim {
        let (age, _) = self.locks.age_of(txn);
        let priority =
            self.txns.get(&txn).map_or(DEFAULT_PRIORITY, |known| known.standing.priority);
        Claim { txn, age, priority, locks: self.held_by(txn) }
    }

    fn held_by(&self, txn: TxnId) -> u32 {
        u32::try_from(self.locks.held_by(txn)).unwrap_or(u32::MAX)
    }

    fn wait_number(&self, ticket: Ticket) -> u64 {
        self.reporting.life.wrapping_add(ticket.0)
    }

    fn ticket_of(&self, wait: u64) -> Ticket {
        Ticket(wait.wrapping_sub(self.reporting.life))
    }

    /// A message about deadlocks from the coordinator.
    pub(crate) fn deadlock_message(&mut self, message: DeadlockMessage, out: &mut Output) {
        match message {
            DeadlockMessage::Confirm { candidate, edges } => {
                let stands = List::read(&edges).all(|edge| edge.is_ok_and(|e| self.stands(&e)));
                let message = DeadlockMessage::Confirmed { candidate, stands };
                out.send(Peer::Coordinator(self.settings.coordinator), NO_REPLY, message);
            }
            DeadlockMessage::Break { txn, wait, deadlock, .. } => {
                self.break_wait(txn, wait, deadlock, out);
            }
            DeadlockMessage::Waits { .. }
            | DeadlockMessage::Confirmed { .. }
            | DeadlockMessage::Broken { .. } => {}
        }
    }

    /// Whether the very same wait still waits for the same holder.
    fn stands(&self, edge: &Edge) -> bool {
        if mutated!(self, ConfirmsUnseen) {
            return true;
        }
        if mutated!(self, ConfirmIgnoresNumber) {
            return self.locks.is_waiting(edge.waiter);
        }
        let ticket = self.ticket_of(edge.wait);
        let waits = self.locks.request_of(ticket).is_some_and(|(txn, ..)| txn == edge.waiter);
        waits && self.locks.is_in_the_way(ticket, edge.holder)
    }

    /// The coordinator has chosen a victim here. Whoever has voted does not wait, so
    /// it can not be hit.
    fn break_wait(&mut self, txn: TxnId, wait: u64, deadlock: Box<Deadlock>, out: &mut Output) {
        let waits = self.tickets.get(&self.ticket_of(wait)).and_then(|id| self.waits.get(id));
        let stands = waits.is_some_and(|wait| wait.txn == txn);
        if stands || mutated!(self, BreaksWhoHasVoted) && self.txns.contains_key(&txn) {
            self.stats.deadlocks += 1;
            self.abort(txn, &Reason::Deadlock(deadlock), out);
        }
    }
}
