//! One member of a group of coordinators: whom it follows or whether it leads, and what is
//! decided in the log that they share.
//!
//! ```text
//!                silent for long             a majority would
//!   Following ──────────────────▶ Canvassing ────────────────▶ Standing
//!       ▲                              │                           │ a majority has promised
//!       └── a leader, or an epoch ─────┴───────────────────────────┤
//!           that is later                                          ▼
//!                                        (the member starts anew) ◀── Leading
//! ```
//!
//! | as         | on                                   | do                                            | next |
//! |------------|--------------------------------------|-----------------------------------------------|------|
//! | Following  | nothing heard for long               | CANVASS(e) to all, e above all heard of       | Canvassing |
//! | Canvassing | WOULD(e) of a majority               | *force* promise := (e, me); ELECT(e) to all   | Standing |
//! | Canvassing, Standing | nothing heard for long     | CANVASS(e) to all                             | Canvassing |
//! | Standing   | ELECTED(e) of a majority             |                                               | Leading |
//! | any        | CANVASS(e, last), e > promise, last ≥ mine, no leader heard of lately | WOULD(e)     | the same |
//! | any        | ELECT(e, last), e > promise or promised to it, last ≥ mine | *force* promise := (e, it); ELECTED(e) | Following |
//! | any        | APPEND(e, before, …), e ≥ promise, `before` is in the log | *force* promise and entries; APPENDED | Following |
//! | any        | APPEND(e, before, …), e ≥ promise, `before` is not | *force* promise; MISSING         | Following |
//! | any        | STATE(e, base, …), e ≥ promise, base ≥ the end of the log | *force* promise; all there is is that state now | Following |
//! | Following  | that state is on its disk; before that, silence or another leader |               | starts anew |
//! | any        | CONFIRM(e, r), e ≥ promise           | *force* promise; CONFIRMED(e, r)              | Following |
//! | any        | any of these with e < promise, or a vote proposed to an acceptor | STALE(promise)     | the same |
//! | any        | any of these with an e that no epoch can have reached | nothing                      | the same |
//! | any        | WOULD, ELECTED, APPENDED, MISSING, CONFIRMED of e < promise | nothing                | the same |
//! | Leading    | new entries                          | *force* them; APPEND to who has taken what came before | the same |
//! | Leading    | APPENDED(e, i)                       | committed := what a majority has, if it is of e | the same |
//! | Leading    | CONFIRMED(e, r) of a majority        | it led when round r began                     | the same |
//! | Leading    | STALE(e') or a promise of e' > e, or a shard speaks of e' > e; no majority heard for long | stop | starts anew |
//!
//! An *epoch* is a term of office. A majority promises it to one member only, so it has
//! one leader, who alone writes entries of it; and who promised it follows nobody older.
//! An entry is *committed* when a majority has it durably, and the leader wrote it: each
//! later leader got promises of a majority, one of them by a member with that entry, and
//! nobody promises to a member whose log ends before its own.
//!
//! A leader that stops knows things that may come to nothing: entries that no majority
//! has, and all that follows from them. It does not take them back one by one; it starts
//! anew from its log, as after a crash.
//!
//! *Worked example.* Of c1, c2, c3, c1 leads epoch 4 and is cut off with entries 8 and 9,
//! which only it has. c2 and c3 hear nothing; c2 asks c3, gets its promise, leads epoch 5
//! and writes other entries 8 and 9, which are committed. c1 asks whether it still leads,
//! before it hands out any timestamp, and gets no majority: it stops. When it hears c2,
//! it drops its 8 and 9, of epoch 4, for those of epoch 5.
//!
//! Who has lost its disk is none of these, but *Rejoining* (`rejoining.rs`).
//!
//! *Deliberately absent*: members that come and go; who the members are is configured.
//! Clocks: how long somebody waits says when to try, never what is true.
//!
//! Source: Ongaro, Ousterhout, *In Search of an Understandable Consensus Algorithm* (2014),
//! with the canvass (PreVote) and the confirmation of leadership from Ongaro's thesis,
//! §9.6 and §6.4. Departure: no heartbeat carries entries, so that confirmations never
//! wait for a disk.

/// Whether a deliberate bug is switched on.
macro_rules! mutated {
    ($replica:expr, $mutant:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $replica.mutant == Some(crate::group::Mutant::$mutant)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}

mod election;
mod following;
mod leading;
mod rejoining;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch};
use synod_common::message::GroupMessage;
use synod_common::message::group::Position;
use synod_common::refusal::Refusal;
use synod_common::time::Mono;

use super::log::{Entry, Log};
use leading::Leading;
use rejoining::Rejoining;

/// Bytes of entries in one message, unless one alone has more.
const MESSAGE_BYTES: usize = 1 << 20;
/// Messages with entries that may be on their way to one member.
const MOST_IN_FLIGHT: u8 = 2;

/// What a member has promised: to follow nobody of an older epoch, and in this one, at
/// most one.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct Promise {
    /// The epoch.
    pub epoch: Epoch,
    /// Who may lead it.
    pub to: Option<CoordinatorId>,
}

/// How long things take at most, if nothing is wrong.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A leader says so often that it is there.
    pub heartbeat: Duration,
    /// Who has heard nothing for so long, or for up to twice that, wants to lead; a leader
    /// that has heard of no majority for so long stops.
    pub patience: Duration,
}

/// What is to be done, in this order.
#[derive(Debug, Default)]
pub struct Step {
    /// Force this promise.
    pub promise: Option<Promise>,
    /// Write down that the log ends with this index.
    pub cut: Option<u64>,
    /// Force these, behind that.
    pub append: Vec<Entry>,
    /// Send these; those that say so, when all that was to be forced is durable.
    pub messages: Vec<(CoordinatorId, GroupMessage, When)>,
    /// What has become of the member.
    pub turn: Option<Turn>,
    /// Why it does not do what it was told.
    pub refused: Option<Refusal>,
}

/// When a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// When the log is durable so far.
    Durable,
}

/// What has become of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It leads this epoch. Its first entry must be one of its own.
    Leads(Epoch),
    /// It led, and does no more.
    Stops,
}

/// What a member does with the state that a leader offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It has all that.
    Known,
    /// It takes that in place of its own log, and loses nothing by it.
    Taken,
    /// It does not.
    Refused,
}

/// One member.
#[derive(Clone, Debug)]
pub struct Replica {
    me: CoordinatorId,
    members: BTreeSet<CoordinatorId>,
    pace: Pace,
    promise: Promise,
    log: Log,
    /// The own log is durable up to this index.
    durable: u64,
    committed: u64,
    role: Role,
    /// The latest epoch that anybody has spoken of.
    seen: Epoch,
    /// When a leader was last heard of, and who.
    heard: Option<Mono>,
    due: Mono,
    random: u64,
    #[cfg(feature = "mutants")]
    mutant: Option<crate::group::Mutant>,
}

#[derive(Clone, Debug)]
enum Role {
    Rejoining(Rejoining),
    Following(Option<CoordinatorId>),
    Canvassing(Epoch, BTreeSet<CoordinatorId>),
    Standing(BTreeSet<CoordinatorId>),
    Leading(Leading),
}

impl Replica {
    /// A member that has promised this and has this log, all of it durable and only what
    /// lies before it known to be committed.
    pub fn new(
        me: CoordinatorId,
        members: impl IntoIterator<Item = CoordinatorId>,
        pace: Pace,
        promise: Promise,
        log: Log,
    ) -> Replica {
        let members: BTreeSet<CoordinatorId> = members.into_iter().collect();
        assert!(members.contains(&me), "{me} is a member of its group");
        Replica {
            me,
            members,
            pace,
            promise,
            durable: log.last().index,
            committed: log.base().index,
            log,
            role: Role::Following(None),
            seen: promise.epoch,
            heard: None,
            due: Mono::default(),
            random: 1,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// With a deliberate bug.
    #[cfg(feature = "mutants")]
    pub fn mutated(self, mutant: Option<crate::group::Mutant>) -> Replica {
        Replica { mutant, ..self }
    }

    /// The member begins: one that is alone leads at once, others listen first.
    pub fn start(&mut self, now: Mono, seed: u64) -> Step {
        self.random = seed | 1;
        let mut step = Step::default();
        match self.members.len() {
            // Its first entry says that it leads, so the promise needs no record.
            1 => {
                assert!(!self.is_rejoining(), "who is alone has nobody to ask");
                let epoch = Epoch(self.promise.epoch.max(self.log.last().epoch).0 + 1);
                self.promise = Promise { epoch, to: Some(self.me) };
                self.lead(now, &mut step);
            }
            _ if self.is_rejoining() => self.begin_rejoin(now, seed, &mut step),
            _ => self.wait(now),
        }
        step
    }

    /// What it has promised.
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// The end of the log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// All up to this index is decided.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// The own log is durable up to this index.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// What it is in its group, for checks from outside.
    pub fn role(&self) -> &dyn Debug {
        &self.role
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        matches!(self.role, Role::Leading(_))
    }

    /// Who leads, in which epoch, as far as it knows.
    pub fn leader(&self) -> Option<(CoordinatorId, Epoch)> {
        match self.role {
            Role::Following(leader) => leader.map(|leader| (leader, self.promise.epoch)),
            Role::Leading(_) => Some((self.me, self.promise.epoch)),
            Role::Rejoining(_) | Role::Canvassing(..) | Role::Standing(_) => None,
        }
    }

    /// It led when this round began.
    pub fn confirmed(&self) -> u64 {
        match &self.role {
            Role::Leading(leading) => leading.confirmed,
            Role::Rejoining(_) | Role::Following(_) | Role::Canvassing(..) | Role::Standing(_) => 0,
        }
    }

    /// When to call [`Replica::tick`].
    pub fn due(&self) -> Option<Mono> {
        (self.members.len() > 1).then_some(self.due)
    }

    /// Keeps only so many bytes of what is decided and was made use of up to here.
    pub fn forget(&mut self, index: u64, keep: usize) {
        self.log.forget(index.min(self.committed).min(self.durable), keep);
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Mono) -> Step {
        let mut step = Step::default();
        if now < self.due || self.members.len() == 1 {
            return step;
        }
        match self.role {
            Role::Leading(_) => self.heartbeat(now, &mut step),
            Role::Rejoining(_) => self.go_on_rejoining(now, &mut step),
            Role::Following(_) | Role::Canvassing(..) | Role::Standing(_) => {
                let epoch = Epoch(self.seen.0.saturating_add(1));
                self.role = Role::Canvassing(epoch, BTreeSet::from([self.me]));
                self.wait(now);
                let last = self.log.last();
                self.tell_all(&GroupMessage::Canvass { epoch, last }, When::Now, &mut step);
            }
        }
        step
    }

    /// Hears a member. What comes from others, or can not be, is refused.
    pub fn hear(&mut self, now: Mono, from: CoordinatorId, message: GroupMessage) -> Step {
        let mut step = Step::default();
        if from == self.me || !self.members.contains(&from) {
            step.refused = Some(Refusal::Stranger);
            return step;
        }
        // None of them has an answer.
        if message.answers().is_some_and(|epoch| epoch < self.promise.epoch) {
            step.refused = Some(Refusal::OldEpoch);
        }
        match message {
            // Who has lost its promises gives none, and what it says must not be counted.
            GroupMessage::Canvass { .. }
            | GroupMessage::Elect { .. }
            | GroupMessage::Rejoin { .. }
                if self.is_rejoining() => {}
            GroupMessage::Canvass { epoch, last } => {
                if self.saw(epoch, &mut step) {
                    self.canvassed(now, from, epoch, last, &mut step);
                }
            }
            GroupMessage::Elect { epoch, last } => {
                if self.saw(epoch, &mut step) {
                    self.asked_to_elect(now, from, epoch, last, &mut step);
                }
            }
            GroupMessage::Append { epoch, before, committed, entries } => {
                if self.follow(now, from, epoch, &mut step) {
                    self.gets_entries();
                    self.take((from, epoch), before, committed, &entries, &mut step);
                    self.may_rejoin(now, &mut step);
                }
            }
            GroupMessage::Confirm { epoch, round, committed } => {
                if self.follow(now, from, epoch, &mut step) {
                    self.learn(epoch, committed);
                    self.may_rejoin(now, &mut step);
                    if !self.is_rejoining() {
                        let confirmed = GroupMessage::Confirmed { epoch, round };
                        step.messages.push((from, confirmed, When::Now));
                    }
                }
            }
            GroupMessage::Would { epoch } => self.would(now, from, epoch, &mut step),
            GroupMessage::Elected { epoch, .. } => self.elected(now, from, epoch, &mut step),
            GroupMessage::Appended { epoch, index } => {
                self.appended(now, from, epoch, index, &mut step);
            }
            GroupMessage::Missing { epoch, index } => {
                self.missing(now, from, epoch, index, &mut step);
            }
            GroupMessage::Confirmed { epoch, round } => {
                self.round_confirmed(now, from, epoch, round);
            }
            GroupMessage::Stale { epoch } => self.may_be_deposed(epoch, &mut step),
            GroupMessage::Rejoin { life } => {
                let told = GroupMessage::Told { life, epoch: self.promise.epoch };
                step.messages.push((from, told, When::Now));
            }
            GroupMessage::Told { life, epoch } => self.told(now, from, life, epoch, &mut step),
            GroupMessage::Readmit { above } => self.asked_to_readmit(from, above, &mut step),
            GroupMessage::Readmitted { epoch, index } => {
                self.readmitted(from, epoch, index, &mut step);
            }
            GroupMessage::Copied { epoch, index } => {
                self.copied(now, from, epoch, index, &mut step);
            }
            // The member deals with these.
            GroupMessage::State { .. } | GroupMessage::Taken { .. } => {}
        }
        step
    }

    /// A shard follows the leader of this epoch, so there was one.
    pub fn hear_of_leader(&mut self, epoch: Epoch) -> Step {
        let mut step = Step::default();
        self.may_be_deposed(epoch, &mut step);
        step
    }

    /// Whether there may be such an epoch by now.
    pub fn may_be(&self, epoch: Epoch) -> bool {
        epoch.may_follow(self.seen)
    }

    /// The link to a member is up: what was on its way to it may be lost.
    pub fn connected(&mut self, now: Mono, member: CoordinatorId) -> Step {
        let mut step = Step::default();
        if let Role::Leading(leading) = &mut self.role
            && let Some(follower) = leading.follower(member)
        {
            (follower.tried, follower.lost) = (None, false);
            follower.rewind();
            self.send_entries(now, member, &mut step);
        }
        step
    }

    /// The link to a member is down: nothing helps it until it is up again.
    pub fn disconnected(&mut self, member: CoordinatorId) {
        if let Role::Leading(leading) = &mut self.role
            && let Some(follower) = leading.follower(member)
        {
            (follower.tried, follower.lost) = (None, false);
        }
    }

    /// A member that has missed more than the log still has.
    pub fn behind(&self) -> Option<CoordinatorId> {
        let Role::Leading(leading) = &self.role else { return None };
        leading.followers.iter().find(|follower| follower.lost).map(|follower| follower.member)
    }

    /// A member has all up to this index now. It counts when it says so of an entry.
    pub fn restored(&mut self, now: Mono, member: CoordinatorId, index: u64) -> Step {
        let epoch = self.promise.epoch;
        let mut step = Step::default();
        self.copied(now, member, epoch, index, &mut step);
        step
    }

    /// What to do with a leader's state at `base`.
    pub fn offered_state(
        &mut self,
        now: Mono,
        from: CoordinatorId,
        epoch: Epoch,
        base: Position,
    ) -> (Offer, Step) {
        let mut step = Step::default();
        let of_group = from != self.me && self.members.contains(&from);
        let follows = of_group && self.follow(now, from, epoch, &mut step);
        let offer = match follows {
            true if base.index <= self.committed.min(self.durable) => Offer::Known,
            // What somebody may count on to be here must not go.
            true if base >= self.log.last() => Offer::Taken,
            true | false => Offer::Refused,
        };
        (offer, step)
    }

    /// The leader has more entries, which stand in its own log already. Those that nobody
    /// waits for leave with the next that somebody does, or with the next heartbeat.
    pub fn append(
        &mut self,
        now: Mono,
        records: impl IntoIterator<Item = Bytes>,
        urgent: bool,
    ) -> Step {
        let mut step = Step::default();
        assert!(self.leads(), "only the leader appends");
        let epoch = self.promise.epoch;
        for record in records {
            self.log.push(Entry { epoch, record });
        }
        if urgent {
            self.send_all_entries(now, &mut step);
        }
        step
    }

    /// The own log is durable up to this index.
    pub fn is_durable(&mut self, index: u64) {
        self.durable = index;
        self.count();
    }

    /// Asks whether it still leads; the answer is there when [`Replica::confirmed`] has
    /// come to the round that this returns.
    pub fn confirm(&mut self) -> (u64, Step) {
        let mut step = Step::default();
        let alone = self.members.len() == 1;
        let Role::Leading(leading) = &mut self.role else { return (u64::MAX, step) };
        leading.round += 1;
        let round = leading.round;
        if alone || mutated!(self, NeverConfirms) {
            leading.confirmed = round;
        }
        let (epoch, committed) = (self.promise.epoch, self.committed);
        self.tell_all(&GroupMessage::Confirm { epoch, round, committed }, When::Now, &mut step);
        (round, step)
    }

    fn majority(&self) -> usize {
        if mutated!(self, MinorityDecides) {
            return self.members.len() / 2;
        }
        self.members.len() / 2 + 1
    }

    fn tell_all(&self, message: &GroupMessage, when: When, step: &mut Step) {
        let others = self.members.iter().filter(|member| **member != self.me);
        step.messages.extend(others.map(|member| (*member, message.clone(), when)));
    }

    /// Waits for a leader, and not as long as others do.
    fn wait(&mut self, now: Mono) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let patience = self.pace.patience;
        let share = (patience.as_nanos() * u128::from(self.random as u32)) >> u32::BITS;
        self.due = now + patience + Duration::from_nanos(share as u64);
    }

    /// Whether there may be such an epoch; one that follows those that it has heard of.
    fn saw(&mut self, epoch: Epoch, step: &mut Step) -> bool {
        let may_be = self.may_be(epoch);
        match may_be {
            true => self.seen = self.seen.max(epoch),
            false => step.refused = Some(Refusal::EpochOutOfBounds),
        }
        may_be
    }

    /// It is told of an epoch; if that is a later one than it leads, it leads no more.
    fn may_be_deposed(&mut self, epoch: Epoch, step: &mut Step) {
        if self.saw(epoch, step) && epoch > self.promise.epoch {
            self.stop(step);
        }
    }

    /// Tells who speaks for an epoch that is over.
    fn refuse_stale(&self, who: CoordinatorId, step: &mut Step) {
        let stale = GroupMessage::Stale { epoch: self.promise.epoch };
        step.messages.push((who, stale, When::Now));
        step.refused = Some(Refusal::OldEpoch);
    }

    fn stop(&mut self, step: &mut Step) {
        if self.leads() {
            step.turn = Some(Turn::Stops);
        }
    }

    fn promise_to(&mut self, now: Mono, epoch: Epoch, to: CoordinatorId, step: &mut Step) {
        self.stop(step);
        self.seen = self.seen.max(epoch);
        let promise = Promise { epoch, to: Some(to) };
        if promise != self.promise {
            self.promise = promise;
            step.promise = Some(promise);
        }
        self.role = Role::Following(None);
        self.wait(now);
    }
}
