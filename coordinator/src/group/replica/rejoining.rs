//! A member that lost its disk, and with it what it had promised, acknowledged and accepted.
//!
//! ```text
//!   c3, empty                    c1, leads epoch 7            c2
//!     ─Rejoin(life)────────────────▶│◀─────────────────────────│
//!     ◀──Told(7)── ◀──Told(7)───────┴──────────────────────────┘   a majority without c3:
//!   *forces* the promise (7, to nobody)                            nothing later has begun
//!     ─Readmit(above 7)────────────▶ stops                    is elected for epoch 8
//!     ◀────────────────────────── Append, State, Confirm ──────────┤ as to any follower;
//!     ─Copied──────────────────────────────────────────────────────▶ it does not count
//!     ◀────────────────────────── Readmitted(8, index) ────────────┤ decided by c1 and c2
//!   *forces* the promise (8, to c2): it is back
//! ```
//!
//! | as | on | do | next |
//! |----|----|----|------|
//! | Rejoining | now and then                       | REJOIN(life) to all; once P is known READMIT(P) | the same |
//! | Rejoining | TOLD(life, e) of a majority of the others | P := the largest e; *force* promise := (P, nobody) | the same |
//! | Rejoining | APPEND, STATE, CONFIRM of e > P    | as a follower of e, but COPIED for APPENDED, and never CONFIRMED | the same |
//! | Rejoining | READMITTED(e, i) of the leader that it follows, once all up to i is durable here and decided | *force* promise := (e, it); APPENDED | Following |
//! | Rejoining | READMITTED(e, i) of that leader, which sends nothing though less is decided here | MISSING | the same |
//! | Rejoining | anything else                      |                                        | the same |
//! | others    | REJOIN(life)                       | TOLD(life, promise)                    | the same |
//! | Leading   | READMIT(P), P ≥ the own epoch      | stop                                   | starts anew |
//! | Leading   | READMIT(P), P < the own epoch, and it has taken over | READMITTED(e, i)     | the same |
//! | Leading   | COPIED(e, i)                       | goes on behind i, and counts nothing   | the same |
//!
//! This is the recovery of Viewstamped Replication, with the leader's state taken as any
//! follower takes it, and a later epoch in place of a nonce in the leader's answer.
//!
//! *Why nothing is lost.* Call the member M, its lost life the former one, and `r` the first
//! entry of the epoch `e` with whose leader it comes back. Two things are sure:
//!
//! 1. *M acknowledged and accepted nothing in an epoch above P.* Whoever led such an epoch while M lived had the
//!    promises of a majority, which has a member in common with the majority that was asked
//!    afterwards. So that one has told of an epoch at least as late.
//! 2. *`r` was written after M was lost*, since e > P was not promised by enough before it
//!    asked; and it was decided by a majority without M, which counts for nothing until then.
//!
//! What M has forgotten is of three kinds:
//!
//! - *Entries that it acknowledged* are of epochs up to P, by (1). If they were decided, or
//!   will be because an acknowledgement is late, the leader of `e` has them, as each leader
//!   has all that was decided in an epoch before its own; and M has all that this leader has
//!   up to `r` before it counts.
//! - *Promises.* A vote of the former life may come late, to a candidate X of an epoch above
//!   `e`. To lead, X also needs one of those who decided `r`, who promises only to a log that
//!   has `r`. But X had asked M before M was lost, with a log that could not have `r`, and a
//!   candidate keeps the log with which it asks. So X does not lead, whatever M promises now.
//! - *Votes that it accepted in Paxos Commit* are of ballots up to P. Some majority may have
//!   accepted a transaction only together with M. The leader of `e` got promises of a majority
//!   without the new M, and with them what each had accepted; it has found the transaction,
//!   and decides it in the log before it says READMITTED: `i` is no earlier than that. From
//!   then on nobody asks what M had accepted, and M accepts nothing of an older ballot. Had
//!   M come back in epoch P itself, the leader might have counted M for what only it and M
//!   have, and die before it wrote that. So each return costs one election.
//!
//! Several may be lost at once, as long as a majority is not: the others are asked, and those
//! who are on their way back themselves answer nothing.
//!
//! *A crash on the way* loses nothing that counted. The promise to nobody is kept until the
//! end, so that it need not ask again; and where it stands in place of P, whoever is restarted
//! knows that it is not back yet. The driver keeps a mark until then, for without it an empty
//! member would be taken for a new one.
//!
//! *Worked example* of what an answer of a former life would do. c3 lost its disk, and was
//! told of epoch 3; one of the answers was doubled. It came back in epoch 4 and accepted votes
//! in it, and lost its disk again. It asks, and gets that late answer: it would take P for 3,
//! and come back in epoch 4, whose leader counts on what it has forgotten. So answers carry
//! the life to which they were given.
//!
//! Source: Liskov, Cowling, *Viewstamped Replication Revisited* (2012), §4.3.

use std::collections::BTreeMap;

use synod_common::id::{CoordinatorId, Epoch};
use synod_common::message::GroupMessage;
use synod_common::time::Mono;

use super::{Promise, Replica, Role, Step, When};

#[derive(Clone, Debug, Default)]
pub(super) struct Rejoining {
    /// Tells answers to this life from those to former ones.
    life: u64,
    /// What those have promised who have answered.
    told: BTreeMap<CoordinatorId, Epoch>,
    /// The own promise is as late as that of a majority of the others.
    knows: bool,
    /// Whose log it copies, of a later epoch.
    leader: Option<(CoordinatorId, Epoch)>,
    /// This leader has decided up to here what was open.
    until: Option<u64>,
    /// It got entries since it last asked.
    goes_on: bool,
}

impl Replica {
    /// It has lost its disk: it must not count before it has all that it may have said.
    #[must_use]
    pub fn rejoining(self) -> Replica {
        // It was promised to nobody: that is what it was told before a restart.
        assert!(self.promise.to.is_none(), "who has promised something itself is back");
        let knows = self.promise != Promise::default();
        Replica { role: Role::Rejoining(Rejoining { knows, ..Rejoining::default() }), ..self }
    }

    /// Whether it counts for nothing yet.
    pub fn is_rejoining(&self) -> bool {
        matches!(self.role, Role::Rejoining(_))
    }

    /// The epoch of the leader that it follows, or that it has promised.
    pub fn term(&self) -> Epoch {
        let promised = self.promise.epoch;
        match &self.role {
            Role::Rejoining(Rejoining { leader, .. }) => {
                leader.map_or(promised, |(_, epoch)| epoch)
            }
            Role::Following(_) | Role::Canvassing(..) | Role::Standing(_) | Role::Leading(_) => {
                promised
            }
        }
    }

    /// All that was left open before the epoch of the leader is decided by now.
    pub fn took_over(&mut self) {
        let Role::Leading(leading) = &mut self.role else { return };
        if self.committed >= leading.first {
            leading.took_over.get_or_insert(self.committed);
        }
    }

    pub(super) fn begin_rejoin(&mut self, now: Mono, seed: u64, step: &mut Step) {
        if let Role::Rejoining(rejoining) = &mut self.role {
            rejoining.life = seed;
        }
        self.go_on_rejoining(now, step);
    }

    /// Asks again what is not known yet.
    pub(super) fn go_on_rejoining(&mut self, now: Mono, step: &mut Step) {
        self.may_rejoin(now, step);
        let Role::Rejoining(Rejoining { life, knows, goes_on, .. }) = &mut self.role else {
            return;
        };
        let (life, knows) = (*life, *knows);
        *goes_on = false;
        self.due = now + self.pace.heartbeat;
        let ask = match knows {
            true => GroupMessage::Readmit { above: self.promise.epoch },
            false => GroupMessage::Rejoin { life },
        };
        self.tell_all(&ask, When::Now, step);
    }

    /// Another member has promised this.
    pub(super) fn told(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        life: u64,
        epoch: Epoch,
        step: &mut Step,
    ) {
        let enough = if mutated!(self, ToldByOne) { 1 } else { self.majority() };
        let Role::Rejoining(rejoining) = &mut self.role else { return };
        if life != rejoining.life || rejoining.knows {
            return;
        }
        rejoining.told.insert(from, epoch);
        if rejoining.told.len() < enough {
            return;
        }
        rejoining.knows = true;
        let epoch = rejoining.told.values().copied().max().unwrap_or_default();
        self.seen = self.seen.max(epoch);
        let promise = Promise { epoch, to: None };
        if promise != self.promise {
            self.promise = promise;
            step.promise = Some(promise);
        }
        self.go_on_rejoining(now, step);
    }

    /// Whether it copies the log of this leader.
    pub(super) fn copies(&mut self, leader: CoordinatorId, epoch: Epoch) -> bool {
        let same = mutated!(self, RejoinsSameEpoch) && epoch == self.promise.epoch;
        let later = epoch > self.promise.epoch || same;
        let Role::Rejoining(rejoining) = &mut self.role else { return false };
        if !rejoining.knows || !later || rejoining.leader.is_some_and(|(_, of)| of > epoch) {
            return false;
        }
        if rejoining.leader != Some((leader, epoch)) {
            (rejoining.leader, rejoining.until) = (Some((leader, epoch)), None);
        }
        true
    }

    /// It got entries of its leader.
    pub(super) fn gets_entries(&mut self) {
        if let Role::Rejoining(rejoining) = &mut self.role {
            rejoining.goes_on = true;
        }
    }

    /// A leader has decided what was open, up to here. It may not know that some of that is
    /// missed.
    pub(super) fn readmitted(
        &mut self,
        from: CoordinatorId,
        epoch: Epoch,
        index: u64,
        step: &mut Step,
    ) {
        let has = self.committed;
        if let Role::Rejoining(rejoining) = &mut self.role
            && rejoining.leader == Some((from, epoch))
        {
            rejoining.until = Some(index);
            if has < index && !rejoining.goes_on {
                let missing = GroupMessage::Missing { epoch, index: has };
                step.messages.push((from, missing, When::Now));
            }
        }
    }

    /// It is back once it has durably all that its leader had decided. What it promises then
    /// stands behind that in its own log.
    pub(super) fn may_rejoin(&mut self, now: Mono, step: &mut Step) {
        let has = self.committed.min(self.durable);
        let at_once = mutated!(self, RejoinsAtOnce);
        let Role::Rejoining(Rejoining { leader: Some((leader, epoch)), until, .. }) = self.role
        else {
            return;
        };
        let is_decided = until.is_some_and(|until| until <= has) || at_once;
        if !is_decided || step.cut.is_some() || !step.append.is_empty() {
            return;
        }
        self.promise_to(now, epoch, leader, step);
        self.role = Role::Following(Some(leader));
        self.heard = Some(now);
        let appended = GroupMessage::Appended { epoch, index: has };
        step.messages.push((leader, appended, When::Durable));
    }

    /// A member that lost its disk wants a later epoch than this one.
    pub(super) fn asked_to_readmit(&mut self, from: CoordinatorId, above: Epoch, step: &mut Step) {
        if !self.saw(above, step) {
            return;
        }
        let epoch = self.promise.epoch;
        let is_later = epoch > above || mutated!(self, RejoinsSameEpoch) && epoch == above;
        let Role::Leading(leading) = &self.role else { return };
        match leading.took_over {
            Some(index) if is_later => {
                let readmitted = GroupMessage::Readmitted { epoch, index };
                step.messages.push((from, readmitted, When::Now));
            }
            None if is_later => {}
            Some(_) | None => self.stop(step),
        }
    }

    /// A member has all up to this, and does not count.
    pub(super) fn copied(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        index: u64,
        step: &mut Step,
    ) {
        let of_own = epoch == self.promise.epoch && index <= self.log.last().index;
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(follower) = leading.follower(from).filter(|_| of_own) else { return };
        (follower.tried, follower.lost) = (None, false);
        follower.likely = index;
        follower.sent = follower.sent.max(index);
        follower.in_flight = match index >= follower.sent {
            true => 0,
            false => follower.in_flight.saturating_sub(1),
        };
        self.send_entries(now, from, step);
    }
}
