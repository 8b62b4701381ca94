//! Deadlocks, seen from a shard. Which of these files does the work is the cluster's
//! choice, its [`Scheme`]:
//!
//! | scheme       | a wait begins, or is overtaken         | then, while anybody waits            |
//! |--------------|----------------------------------------|--------------------------------------|
//! | `graph`      | break the cycles that lie in this shard | tell the coordinator, [`report`]     |
//! | `probes`     | break the cycles that lie in this shard | ask the other shards, [`probe`]      |
//! | `wound-wait` | abort whoever is in the way and younger, [`prevent`] | ask the coordinator to abort those who have voted |
//! | `wait-die`   | abort whoever waits and is younger      |                                      |
//!
//! And in all of them:
//!
//! | when                            | do                                              |
//! |---------------------------------|-------------------------------------------------|
//! | CONFIRM of some edges           | yes, if each is the same wait for the same holder |
//! | BREAK of a wait that stands     | abort its transaction: refuse its request, or vote NO |
//! | LETGO of an edge that stands    | abort its holder, if it has not voted           |
//! | BREAK, LETGO of anything else   | nothing                                         |
//!
//! *The number of a wait* is the only thing that says that an edge has stood all the
//! time, so no two waits ever have the same: numbers of one life ascend, and each
//! life begins at random.
//!
//! *Level-triggered.* While a wait stands, whatever is done about it is done again
//! every few milliseconds. A report of what is new would be small, but then nothing
//! would tell of the last wait before everybody stands still, should that one message
//! be lost. Most waits are over before they are old enough to be told at all.
//!
//! *Deliberately absent*: waits of snapshot reads for prepared writers. They are no
//! locks, nobody knows whose they are, and the lock wait that could close a cycle with
//! one has a time-out.

mod prevent;
mod probe;
mod report;

use std::time::Duration;

use synod_common::deadlock::{Claim, Deadlock, Scheme, Seniority, Standing, Step};
use synod_common::error::Reason;
use synod_common::id::{Peer, RequestId, TxnId};
use synod_common::message::DeadlockMessage;
use synod_common::message::bulk::List;
use synod_common::message::deadlock::{Edge, Holder};
use synod_common::node::Output;
use synod_common::time::{Mono, Now};

use crate::lock::{Asker, LockTarget, Mode, Ticket};
use crate::mutant::mutated;
use crate::shard::{Shard, Timer};

use prevent::Wounded;
use probe::Probing;
use report::Reporting;

const NO_REPLY: RequestId = RequestId(0);
/// For each wait that was told, the next time comes so much later.
const PER_WAIT: Duration = Duration::from_micros(10);
/// What is told at a time, in bytes; the youngest waits are left out beyond it.
const REPORT_BYTES: usize = 16 << 20;
/// Deadlocks that a shard tells at a time.
const MAX_BROKEN: usize = 16;

/// What a shard knows of deadlocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlocks {
    /// Where the numbers of the waits of this life begin.
    life: u64,
    /// Those that were broken here, to be told.
    broken: Vec<Deadlock>,
    reporting: Reporting,
    probing: Probing,
    wounded: Wounded,
}

impl Deadlocks {
    /// A life begins, with a random number that leaves room for as many more.
    pub(crate) fn begin(&mut self, life: u64) {
        self.life = life;
        self.probing.begin(life);
    }
}

impl Shard {
    /// `txn` has begun to wait, or got in front of those who wait for one of
    /// `overtaken`: sees that no deadlock comes of it, as far as this shard can.
    pub(crate) fn settle(&mut self, txn: TxnId, overtaken: &[LockTarget], out: &mut Output) {
        if self.handling.scheme.prevents() {
            self.prevent(txn, overtaken, out);
        } else {
            self.break_deadlocks(txn, out);
        }
    }

    /// A request would go in front of those who wait, and it matters.
    pub(crate) fn overtakes(&self, asker: Asker, target: &LockTarget, mode: Mode) -> bool {
        self.handling.scheme.prevents() && self.locks.goes_in_front(asker, target, mode)
    }

    /// Aborts one transaction of every cycle that the new wait of `txn` closed.
    fn break_deadlocks(&mut self, txn: TxnId, out: &mut Output) {
        while let Some(cycle) = self.locks.find_cycle(txn) {
            let policy = self.handling.victim;
            let priority = |txn| self.standing(txn).priority;
            let victim = self.locks.victim(&cycle, policy, priority);
            let deadlock = Deadlock::new(self.steps(&cycle), victim, policy);
            self.broken(&deadlock);
            self.abort(victim, &Reason::Deadlock(Box::new(deadlock)), out);
        }
    }

    /// Somebody is aborted for it, which the coordinator does not know yet.
    pub(crate) fn broken(&mut self, deadlock: &Deadlock) {
        self.stats.deadlocks += 1;
        if self.deadlocks.broken.len() < MAX_BROKEN {
            self.deadlocks.broken.push(deadlock.clone());
        }
    }

    /// Who of a cycle waits for what.
    fn steps(&self, cycle: &[TxnId]) -> Vec<Step> {
        let next = cycle.iter().cycle().skip(1);
        cycle.iter().zip(next).filter_map(|(waiter, holder)| self.step(*waiter, *holder)).collect()
    }

    /// What one transaction waits for because of another.
    fn step(&self, waiter: TxnId, holder: TxnId) -> Option<Step> {
        let ticket = self.locks.waits_because_of(waiter, holder)?;
        let (_, target, mode) = self.locks.request_of(ticket)?;
        let (target, mode) = (target.shown(), mode.to_string());
        Some(Step { waiter, target, mode, shard: self.settings.id, holder })
    }

    /// A wait has begun, or somebody was aborted: something will be told.
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

    /// Time to do again whatever is done about waits that last.
    pub(crate) fn report(&mut self, now: Now, out: &mut Output) {
        let told = match self.handling.scheme {
            _ if !self.has_others() => 0,
            Scheme::Graph => self.tell_waits(now.mono, out),
            Scheme::Probes => self.send_probes(now.mono, out),
            Scheme::WoundWait => self.wound_voters(now.mono, out),
            Scheme::WaitDie => 0,
        };
        let coordinator = self.coordinator();
        for deadlock in std::mem::take(&mut self.deadlocks.broken) {
            let message = DeadlockMessage::Broken { deadlock: Box::new(deadlock) };
            out.send(coordinator, NO_REPLY, message);
        }
        if !self.waits.is_empty() && !mutated!(self, ReportsOnce) {
            let pause = self.settings.report_after + PER_WAIT.saturating_mul(told);
            self.timers.set(Timer::Report, now.mono + pause);
        }
    }

    /// A single shard has no deadlocks that it does not see.
    fn has_others(&self) -> bool {
        self.router.as_ref().is_some_and(|router| router.placement().shards.len() > 1)
    }

    fn is_old(&self, now: Mono, since: Mono) -> bool {
        now.since(since) >= self.settings.report_after
    }

    fn claim(&self, txn: TxnId) -> Claim {
        let Standing { age, priority } = self.standing(txn);
        Claim { txn, age, priority, locks: self.held_by(txn) }
    }

    fn standing(&self, txn: TxnId) -> Standing {
        self.txns.get(&txn).expect("whoever locks or waits is known").standing
    }

    fn seniority(&self, txn: TxnId) -> Seniority {
        (self.standing(txn).age, txn)
    }

    fn holder(&self, waiter: TxnId, txn: TxnId) -> Holder {
        Holder { txn, locks: self.held_by(txn), returns: self.returns(waiter, txn) }
    }

    /// How often the two have given back locks. Both counts only grow.
    fn returns(&self, waiter: TxnId, holder: TxnId) -> u32 {
        let of = |txn| self.txns.get(&txn).map_or(0, |participant| participant.returns);
        of(waiter).wrapping_add(of(holder))
    }

    fn held_by(&self, txn: TxnId) -> u32 {
        u32::try_from(self.locks.held_by(txn)).unwrap_or(u32::MAX)
    }

    fn wait_number(&self, ticket: Ticket) -> u64 {
        self.deadlocks.life.wrapping_add(ticket.0)
    }

    fn ticket_of(&self, wait: u64) -> Ticket {
        Ticket(wait.wrapping_sub(self.deadlocks.life))
    }

    /// A message about deadlocks, from the coordinator or from another shard.
    pub(crate) fn deadlock_message(
        &mut self,
        now: Now,
        from: Peer,
        message: DeadlockMessage,
        out: &mut Output,
    ) {
        match message {
            DeadlockMessage::Confirm { candidate, edges } => {
                let stands = self.all_stand(&edges);
                out.send(from, NO_REPLY, DeadlockMessage::Confirmed { candidate, stands });
            }
            DeadlockMessage::Break { txn, wait, deadlock, .. } => {
                self.break_wait(from, txn, wait, deadlock, out);
            }
            DeadlockMessage::LetGo { edge, deadlock } => self.let_go(&edge, *deadlock, out),
            DeadlockMessage::Probes { probes } => self.follow_probes(now.mono, &probes, out),
            DeadlockMessage::Confirmed { candidate, stands } => {
                let Peer::Shard(shard) = from else { return };
                self.confirmed(shard, candidate, stands, out);
            }
            // Of these the coordinator knows what to do.
            DeadlockMessage::Waits { .. }
            | DeadlockMessage::Broken { .. }
            | DeadlockMessage::Wound { .. } => {}
        }
    }

    /// The victim waits elsewhere, and is waited for here.
    fn let_go(&mut self, edge: &Edge, deadlock: Deadlock, out: &mut Output) {
        if self.stands(edge) {
            self.make_way(edge.holder, deadlock, out);
        }
    }

    fn all_stand(&self, edges: &[u8]) -> bool {
        List::read(edges).all(|edge| edge.is_ok_and(|edge| self.stands(&edge)))
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
        let stayed = self.returns(edge.waiter, edge.holder) == edge.returns;
        waits && stayed && self.locks.is_in_the_way(ticket, edge.holder)
    }

    /// The victim waits here. Whoever has voted does not wait, so it can
    /// not be hit.
    fn break_wait(
        &mut self,
        from: Peer,
        txn: TxnId,
        wait: u64,
        deadlock: Box<Deadlock>,
        out: &mut Output,
    ) {
        let waits = self.tickets.get(&self.ticket_of(wait)).and_then(|id| self.waits.get(id));
        let stands = waits.is_some_and(|wait| wait.txn == txn);
        if stands || mutated!(self, BreaksWhoHasVoted) && self.txns.contains_key(&txn) {
            match from {
                Peer::Coordinator(_) => self.stats.deadlocks += 1,
                Peer::Shard(_) | Peer::Client(_) => self.broken(&deadlock),
            }
            self.abort(txn, &Reason::Deadlock(deadlock), out);
        }
    }
}
