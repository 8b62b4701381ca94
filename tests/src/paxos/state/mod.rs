//! One transaction of two participants under three members, and everything that can happen to
//! them.
//!
//! ```text
//!   State { 3 Members, 2 Participants, the log of the group, what was said, what may still happen }
//!     │  hear: anything that was said, any time, any number of times, or never
//!     │  ask · wait · flush · commit · mark · learn · stand · crash
//!     ▼
//!   another State
//! ```
//!
//! As for [three-phase commit](crate::core), what is said stays said: so all of it is lost,
//! late and doubled without limit. The machines are those of servers, and the leader and the
//! participants those of the random schedules. *The log of the group* is one list: its own
//! rules have an [explorer of their own](crate::group). An entry is committed as a whole, as
//! long as a majority has promised no later epoch than its leader's; one that is not by then
//! comes to nothing.
//!
//! *Bounds*, without which there would be no end: so many crashes, and so many members that
//! stand for a new epoch. Who waits has waited long enough at any moment.
//!
//! *What is checked*: that nobody is told, does or finds in the log anything else than
//! somebody before (I1, I3), and that a leader says "committed" when a majority has accepted
//! it durably, or the log says so (I14). And each state may be the last one with faults: then
//! all on its way is lost, all members are there, or all but any one, and those who are in
//! doubt must come to know the decision (I25).
//!
//! *What is left out*, because each schedule with it has one without it that comes to the
//! same: a server that is down, and not back at once; a flush that nothing waits for; a
//! message that makes no difference any more, whenever it is heard (`is_dead`); the order of
//! messages; a promise before what was accepted earlier is durable, since it leaves after
//! that.
//!
//! *Deliberately absent*: five members, more participants, and a second transaction, whose
//! states are too many to wait for.

mod member;

use synod_common::id::{Epoch, ShardId};
use synod_common::message::commit::Vote;
use synod_common::message::paxos::Bundle;
use synod_coordinator::paxos::takeover::Found;

use self::member::Member;
use super::bug::Bug;
use super::leader::{Leader, News, Out, Stage as Progress};
use super::net::{Message, member};
use super::participant::{Participant, Stage};
use super::txn::{Entry, Txn, bit};
use crate::exhaust;

const MEMBERS: usize = 3;
const PARTICIPANTS: u16 = 2;
const FIRST: Epoch = Epoch(1);
/// The transaction.
const IT: usize = 0;
/// Rounds after the faults, until all know.
const PATIENCE: usize = 20;

/// How far the search goes, and what it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Crashes, of all together.
    pub crashes: u32,
    /// Members that stand for an epoch, all together.
    pub elections: u32,
    /// Whether the acceptors tell the participants, too.
    pub faster: bool,
}

/// Something that may happen. Sites are numbered: members, then participants.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// What was said in this place arrives.
    Hear(usize),
    /// A participant that is asked to vote says NO.
    Refuse(usize),
    /// A participant that has voted asks a member that leads.
    Ask(usize, usize),
    /// A leader has waited long enough.
    Wait(usize),
    /// A leader says what is decided.
    Mark(usize),
    /// The next entry of a leader is committed.
    Commit(usize),
    /// A member reads the log.
    Learn(usize),
    /// A member stands for the next epoch.
    Stand(usize),
    /// What a site has written becomes durable.
    Flush(usize),
    /// A site crashes, and what it has not flushed is gone.
    Crash(usize),
    /// A site crashes; what it has not flushed is durable, and nobody has heard of it.
    CrashFlushed(usize),
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Say {
    Prepare,
    /// At which timestamp, and whether it is YES.
    Propose(u64, bool),
    No,
    Accepted,
    Forward(Bundle),
    Commit,
    Release,
    Abort,
    Ack,
    Elect(Epoch),
    /// With what was accepted.
    Elected(Epoch, Option<Bundle>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Letter {
    from: usize,
    to: usize,
    say: Say,
}

/// Everything there is at one moment.
#[derive(Clone, Debug, Hash)]
pub struct State {
    txns: Vec<Txn>,
    bug: Option<Bug>,
    members: Vec<Member>,
    participants: Vec<Participant>,
    /// What is committed.
    log: Vec<Entry>,
    /// Sorted, and no two the same.
    said: Vec<Letter>,
    left: Bounds,
    /// What has become of it.
    decided: Option<bool>,
}

impl State {
    /// The first member leads, and has asked both participants to vote.
    pub fn new(bounds: Bounds, bug: Option<Bug>) -> State {
        let mut state = State {
            txns: Vec::new(),
            bug,
            members: (0..MEMBERS).map(|site| Member::new(site, bug)).collect(),
            participants: (1..=PARTICIPANTS).map(|s| Participant::new(ShardId(s), bug)).collect(),
            log: Vec::new(),
            said: Vec::new(),
            left: bounds,
            decided: None,
        };
        state.lead(0, Found::default()).expect("nothing has happened");
        while !state.members[0].pending.is_empty() {
            state.commit(0).expect("nothing has happened");
        }
        let h = state.members[0].core.draw();
        let txn = Txn {
            id: Txn::name(IT, FIRST),
            h,
            leader: member(0),
            participants: (1..=PARTICIPANTS).map(ShardId).collect(),
            // One of them only reads.
            readers: bit(ShardId(2)),
            acceptors: vec![member(0), member(1)],
            faster: bounds.faster,
        };
        state.txns.push(txn);
        state.act(0, |core, txns, out| core.begin(&txns[IT], IT, out)).expect("it begins");
        state
    }

    fn say(&mut self, from: usize, to: usize, say: Say) {
        let letter = Letter { from, to, say };
        if let Err(place) = self.said.binary_search(&letter) {
            self.said.insert(place, letter);
        }
    }

    /// The core of a member that leads does something.
    fn act(
        &mut self,
        at: usize,
        act: impl FnOnce(&mut Leader, &[Txn], &mut Out),
    ) -> Result<(), String> {
        let mut out = Out::default();
        let Member { core, pending, .. } = &mut self.members[at];
        act(core, &self.txns, &mut out);
        pending.append(&mut core.entries);
        core.forced = 0;
        for news in out.news {
            if let News::Tells(_, committed) = news {
                self.tells(at, committed)?;
            }
        }
        for (to, message) in out.messages {
            let say = match message {
                Message::Prepare(_) => Say::Prepare,
                Message::Commit(_) => Say::Commit,
                Message::Release(_) => Say::Release,
                Message::Abort(_) => Say::Abort,
                Message::Accepted(_) => Say::Accepted,
                Message::Forward(bundle) => Say::Forward(bundle),
                other => return Err(format!("a leader says {other:?}")),
            };
            self.say(at, to, say);
        }
        Ok(())
    }

    fn decide(&mut self, committed: bool, who: &str) -> Result<(), String> {
        match self.decided.replace(committed) {
            Some(before) if before != committed => {
                Err(format!("I1: it is committed: {before}; by {who}: {committed}"))
            }
            _ => Ok(()),
        }
    }

    /// A leader tells clients and participants.
    fn tells(&mut self, at: usize, committed: bool) -> Result<(), String> {
        let own = self.members[at].core.epoch == FIRST;
        let durable = self.members.iter().filter(|member| member.disk.is_some()).count();
        let logged = self.log.contains(&Entry::Committed(IT));
        if committed && !logged && !(own && 2 * durable > MEMBERS) {
            return Err(format!("I14: c{} says that it is committed, {durable} have it", at + 1));
        }
        self.decide(committed, "a leader")
    }

    /// It has a majority, and reads all that is committed.
    fn lead(&mut self, at: usize, found: Found) -> Result<(), String> {
        let Member { core, leads, applied, promised, .. } = &mut self.members[at];
        for entry in &self.log[*applied..] {
            core.apply(&self.txns, *entry);
        }
        (*leads, *applied) = (true, self.log.len());
        let (epoch, end) = (*promised, self.log.len() as u64);
        self.act(at, |core, _, out| core.lead(epoch, end, found, out))
    }

    /// The next entry of a leader is the log's.
    fn commit(&mut self, at: usize) -> Result<(), String> {
        let entry = self.members[at].pending.remove(0);
        self.log.push(entry);
        let committed = match entry {
            Entry::Committed(_) => Some(true),
            Entry::GivenUp(_) => Some(false),
            Entry::Decided(below) => {
                let passed = self.txns.iter().any(|txn| txn.h < below);
                (passed && self.decided != Some(true)).then_some(false)
            }
            Entry::Started | Entry::Ended(_) => None,
        };
        if let Some(committed) = committed {
            self.decide(committed, "the log")?;
        }
        let end = self.log.len();
        self.members[at].applied = end;
        self.act(at, |core, txns, out| core.durable(txns, end as u64, out))?;
        let Member { acceptor, core, .. } = &mut self.members[at];
        acceptor.raise(core.decided.below);
        Ok(())
    }

    /// Whether enough follow it still.
    fn commits(&self, at: usize) -> bool {
        let epoch = self.members[at].core.epoch;
        let follow = self.members.iter().filter(|member| member.promised <= epoch).count();
        let Member { leads, pending, .. } = &self.members[at];
        *leads && !pending.is_empty() && 2 * follow > MEMBERS
    }

    fn participant_hears(
        &mut self,
        i: usize,
        (from, say): (usize, Say),
        refuses: bool,
    ) -> Result<(), String> {
        let message = match say {
            Say::Prepare => Message::Prepare(IT),
            Say::Commit => Message::Commit(IT),
            Say::Release => Message::Release(IT),
            Say::Abort => Message::Abort(IT),
            Say::Accepted => Message::Accepted(IT),
            other => return Err(format!("a participant hears {other:?}")),
        };
        let mut out = Vec::new();
        self.participants[i].hear(&self.txns, (from, message), refuses, &mut out)?;
        self.participated(i, out)
    }

    fn participated(&mut self, i: usize, out: Vec<(usize, Message)>) -> Result<(), String> {
        for (to, message) in out {
            let say = match message {
                Message::Propose(_, Vote::Yes(at)) => Say::Propose(at.0, true),
                Message::Propose(_, Vote::Read(at)) => Say::Propose(at.0, false),
                Message::No(_) => Say::No,
                Message::Ack(_) => Say::Ack,
                other => return Err(format!("a participant says {other:?}")),
            };
            self.say(MEMBERS + i, to, say);
        }
        match self.participants[i].stages[IT] {
            Stage::Over(committed) => self.decide(committed, "a participant"),
            _ => Ok(()),
        }
    }

    fn flush_participant(&mut self, i: usize) -> Result<(), String> {
        let mut out = Vec::new();
        self.participants[i].flush(&mut out);
        self.participated(i, out)
    }

    fn hear(&mut self, place: usize, refuses: bool) -> Result<(), String> {
        let Letter { from, to, say } = self.said[place].clone();
        match to.checked_sub(MEMBERS) {
            None => self.member_hears(to, from, say),
            Some(i) => self.participant_hears(i, (from, say), refuses),
        }
    }

    /// Whether it makes no difference any more who hears this.
    fn is_dead(&self, letter: &Letter) -> bool {
        let Letter { to, say, .. } = letter;
        let Some(i) = to.checked_sub(MEMBERS) else { return self.is_dead_to_member(*to, say) };
        let participant = &self.participants[i];
        // A crash may make it new.
        let forgets = participant.is_dirty() || participant.may_forget(IT);
        match (participant.stages[IT], say) {
            (Stage::Active, _) => false,
            (Stage::Lost, say) => matches!(say, Say::Release | Say::Abort),
            (_, Say::Prepare) => self.left.crashes == 0 || !forgets,
            (Stage::Over(_), _) => !participant.is_dirty(),
            (Stage::Never, say) => *say == Say::Abort,
            (Stage::Prepared(_) | Stage::ReadVoted(_), _) => false,
        }
    }

    fn is_dead_to_member(&self, to: usize, say: &Say) -> bool {
        let hearer = &self.members[to];
        let leads = hearer.leads && hearer.core.epoch == FIRST;
        let counts = |stages: fn(&Progress) -> bool| leads && stages(&hearer.core.stages[IT]);
        let preparing = counts(|stage| matches!(stage, Progress::Preparing(_)));
        let accepts = hearer.disk.is_none() && !self.refuses_all(hearer);
        match say {
            Say::Propose(..) => !accepts && !preparing,
            Say::Forward(_) => !accepts,
            Say::Accepted => {
                !counts(|stage| matches!(stage, Progress::Preparing(_) | Progress::Accepting(_)))
            }
            Say::No => !preparing,
            Say::Elect(epoch) => hearer.promised >= *epoch,
            Say::Elected(epoch, _) => hearer.promised > *epoch || hearer.leads,
            Say::Ack => self.log.contains(&Entry::Ended(IT)),
            Say::Prepare | Say::Commit | Say::Release | Say::Abort => true,
        }
    }

    /// Whether the log says something to one that follows: only that it may forget.
    fn may_learn(&self, member: &Member) -> bool {
        let h = self.txns[IT].h;
        let passed = |entry: &Entry| matches!(entry, Entry::Decided(below) if *below > h);
        !member.leads && self.log[member.applied..].iter().any(passed)
    }

    /// Leaves out what makes no difference.
    fn reduce(&mut self) -> Result<(), String> {
        if self.left.crashes == 0 {
            (0..MEMBERS).try_for_each(|at| self.flush_member(at))?;
            for i in 0..self.participants.len() {
                self.flush_participant(i)?;
            }
        }
        // Without a later leader an entry that is not committed is late, and no more.
        for at in 0..MEMBERS {
            while self.left.crashes + self.left.elections == 0 && self.commits(at) {
                self.commit(at)?;
            }
        }
        let said = std::mem::take(&mut self.said);
        self.said = said.into_iter().filter(|letter| !self.is_dead(letter)).collect();
        Ok(())
    }

    /// Without faults and without this member, those who are there decide.
    fn ends_without(mut self, away: Option<usize>) -> Result<(), String> {
        let there: Vec<usize> = (0..MEMBERS).filter(|at| Some(*at) != away).collect();
        for _ in 0..PATIENCE {
            self.settle(&there)?;
            let leader = there.iter().copied().filter(|at| self.members[*at].leads);
            let leader = leader.max_by_key(|at| self.members[*at].promised);
            let last = self.members.iter().map(|member| member.promised).max();
            match leader.filter(|at| Some(self.members[*at].promised) == last) {
                None => self.stand(there[0])?,
                Some(at) => {
                    for i in 0..self.participants.len() {
                        self.ask(i, at)?;
                    }
                    self.settle(&there)?;
                    let doubt = self.participants.iter().any(|one| one.is_in_doubt(IT));
                    if !doubt && self.members[at].core.is_done() {
                        return Ok(());
                    }
                    self.act(at, |core, txns, out| core.waited(txns, IT, out))?;
                }
            }
        }
        Err("I25: somebody stays in doubt".to_owned())
    }

    fn ask(&mut self, i: usize, at: usize) -> Result<(), String> {
        let shard = ShardId(i as u16 + 1);
        self.act(at, |core, txns, out| core.answer(&txns[IT], IT, shard, out))
    }

    /// Lets all happen that happens by itself.
    fn settle(&mut self, there: &[usize]) -> Result<(), String> {
        loop {
            for &at in there {
                self.flush_member(at)?;
                while self.commits(at) {
                    self.commit(at)?;
                }
            }
            for i in 0..self.participants.len() {
                self.flush_participant(i)?;
            }
            let letters = std::mem::take(&mut self.said);
            if letters.is_empty() {
                return Ok(());
            }
            let away = |to: usize| to < MEMBERS && !there.contains(&to);
            for Letter { from, to, say } in letters {
                match to.checked_sub(MEMBERS) {
                    None if away(to) => {}
                    None => self.member_hears(to, from, say)?,
                    Some(i) => self.participant_hears(i, (from, say), false)?,
                }
            }
        }
    }
}

impl exhaust::State for State {
    type Event = Event;

    fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for (place, letter) in self.said.iter().enumerate() {
            events.push(Event::Hear(place));
            let active = |i: usize| self.participants[i].stages[IT] == Stage::Active;
            if letter.say == Say::Prepare && active(letter.to - MEMBERS) {
                events.push(Event::Refuse(place));
            }
        }
        for (at, member) in self.members.iter().enumerate() {
            events.extend(self.may_learn(member).then_some(Event::Learn(at)));
            events.extend((self.left.elections > 0).then_some(Event::Stand(at)));
            events.extend(member.dirty.is_some().then_some(Event::Flush(at)));
            events.extend(self.commits(at).then_some(Event::Commit(at)));
            if member.leads {
                events.extend([Event::Wait(at), Event::Mark(at)]);
                let voted = |i: &usize| self.participants[*i].is_in_doubt(IT);
                let voters = (0..self.participants.len()).filter(voted);
                events.extend(voters.map(|i| Event::Ask(i, at)));
            }
            let forgets = member.leads || member.dirty.is_some();
            if self.left.crashes > 0 && forgets {
                events.push(Event::Crash(at));
                events.extend(member.dirty.is_some().then_some(Event::CrashFlushed(at)));
            }
        }
        for (i, participant) in self.participants.iter().enumerate() {
            let (at, dirty) = (MEMBERS + i, participant.is_dirty());
            events.extend(dirty.then_some(Event::Flush(at)));
            if self.left.crashes > 0 && (dirty || participant.may_forget(IT)) {
                events.push(Event::Crash(at));
                events.extend(dirty.then_some(Event::CrashFlushed(at)));
            }
        }
        events
    }

    fn happen(&mut self, event: Event) -> Result<bool, String> {
        match event {
            Event::Hear(place) => self.hear(place, false)?,
            Event::Refuse(place) => self.hear(place, true)?,
            Event::Ask(i, at) => self.ask(i, at)?,
            Event::Wait(at) => self.act(at, |core, txns, out| core.waited(txns, IT, out))?,
            Event::Mark(at) => self.act(at, |core, txns, _| core.tell_decided(txns))?,
            Event::Commit(at) => self.commit(at)?,
            Event::Learn(at) => {
                let State { members, txns, log, .. } = self;
                members[at].read(txns, log);
            }
            Event::Stand(at) => {
                self.left.elections -= 1;
                self.stand(at)?;
            }
            Event::Flush(at) => match at.checked_sub(MEMBERS) {
                None => self.flush_member(at)?,
                Some(i) => self.flush_participant(i)?,
            },
            Event::Crash(at) | Event::CrashFlushed(at) => {
                self.left.crashes -= 1;
                let survives = matches!(event, Event::CrashFlushed(_));
                match at.checked_sub(MEMBERS) {
                    None => self.crash_member(at, survives),
                    Some(i) => {
                        self.participants[i].crash(survives);
                        self.participants[i].restart(self.txns.len());
                    }
                }
            }
        }
        self.reduce()?;
        Ok(true)
    }

    fn calm(&self) -> State {
        let left = Bounds { crashes: 0, elections: 0, ..self.left };
        State { left, said: Vec::new(), ..self.clone() }
    }

    fn ends(&self) -> Result<(), String> {
        let everybody = std::iter::once(None);
        everybody.chain((0..MEMBERS).map(Some)).try_for_each(|away| self.clone().ends_without(away))
    }
}
