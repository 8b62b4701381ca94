//! What the core of a coordinator knows and does of Paxos Commit, as in its
//! `commit/paxos_commit.rs`: it reads the log of the group, and while its member leads, it
//! writes it.

use std::collections::VecDeque;

use synod_common::id::{CoordinatorId, Epoch, ShardId};
use synod_common::message::commit::Vote;
use synod_common::message::paxos::Bundle;
use synod_common::time::Timestamp;
use synod_coordinator::paxos::takeover::Found;
use synod_coordinator::paxos::{Decided, Quorum};

use super::bug::{Bug, machine};
use super::net::{Addressed, Message, member, site};
use super::txn::{Entry, MOST, Txn, bit, window};

/// How far a transaction is.
#[derive(Clone, Debug, Default, Hash)]
pub enum Stage {
    /// It has not begun, or is over.
    #[default]
    None,
    /// Votes are being collected.
    Preparing(Bundle),
    /// All voted for it.
    Accepting(Bundle),
    /// It is given up once the log says so.
    GivingUp,
    /// It was found, and is committed once the log says so.
    Deciding,
    /// Committed; these have not acknowledged.
    Committing(u8),
}

/// What a judge wants to know.
#[derive(Clone, Debug)]
pub enum News {
    /// It leads this epoch.
    Leads(Epoch),
    /// It led.
    Stops,
    /// It has found the votes of this one, of an earlier epoch.
    Found(Bundle),
    /// It gives this one up.
    GivesUp(usize),
    /// It asks another one to accept.
    Forwards,
    /// It tells clients and participants what has become of this one.
    Tells(usize, bool),
}

/// What an event leads to.
#[derive(Debug, Default)]
pub struct Out {
    /// What leaves.
    pub messages: Vec<Addressed>,
    /// What has happened.
    pub news: Vec<News>,
}

#[derive(Clone, Copy, Debug, Hash)]
enum Then {
    Tell(usize),
    GiveUp(usize),
    Mark(Timestamp),
}

/// The core.
#[derive(Clone, Debug, Hash)]
pub struct Leader {
    me: CoordinatorId,
    members: usize,
    bug: Option<Bug>,
    /// The last epoch that it has led.
    pub epoch: Epoch,
    /// What the log decides beside commits.
    pub decided: Decided,
    /// Who accepts what begins now.
    pub acceptors: Vec<CoordinatorId>,
    /// How far each transaction is.
    pub stages: [Stage; MOST],
    quorums: [Quorum; MOST],
    /// What is committed, a bit for each transaction.
    pub committed: u8,
    /// It serves when this is committed.
    serving: u64,
    /// It does.
    pub serves: bool,
    /// The last timestamp that was drawn.
    last: Timestamp,
    /// Entries that the member is to append, and whether somebody waits for one.
    pub entries: Vec<Entry>,
    /// How many of these are forced.
    pub forced: usize,
    /// Where the last of them will stand.
    pub end: u64,
    then: VecDeque<(u64, Then)>,
}

impl Leader {
    /// One that knows nothing yet.
    pub fn new(me: CoordinatorId, members: usize, bug: Option<Bug>) -> Leader {
        Leader {
            me,
            members,
            bug,
            epoch: Epoch::default(),
            decided: machine(bug, Decided::default()),
            acceptors: Vec::new(),
            stages: Default::default(),
            quorums: Default::default(),
            committed: 0,
            serving: u64::MAX,
            serves: false,
            last: Timestamp::ZERO,
            entries: Vec::new(),
            forced: 0,
            end: 0,
            then: VecDeque::new(),
        }
    }

    /// Reads an entry that somebody else wrote.
    pub fn apply(&mut self, txns: &[Txn], entry: Entry) {
        match entry {
            Entry::Started => {}
            Entry::Committed(number) => {
                self.committed |= 1 << number;
                let writers = txns[number].writers();
                self.stages[number] = match writers {
                    0 => Stage::None,
                    _ => Stage::Committing(writers),
                };
            }
            Entry::Ended(number) => self.stages[number] = Stage::None,
            Entry::GivenUp(number) => {
                self.decided.given_up.insert((txns[number].h, txns[number].id));
            }
            Entry::Decided(below) => self.decided.raise(below),
        }
    }

    /// Its epoch has begun, behind all that it has read; `end` is where the log ends.
    pub fn lead(&mut self, epoch: Epoch, end: u64, found: Found, out: &mut Out) {
        (self.epoch, self.end, self.last) = (epoch, end, window(epoch));
        for bundle in found.undecided(&self.decided) {
            let number = Txn::number(bundle.txn);
            if self.committed & 1 << number != 0 {
                continue;
            }
            out.news.push(News::Found(bundle));
            self.force(Entry::Committed(number), Then::Tell(number));
            self.stages[number] = Stage::Deciding;
        }
        self.serving = self.log_decided(self.last);
        self.serves = self.bug == Some(Bug::ServesEarly);
    }

    fn append(&mut self, entry: Entry) -> u64 {
        self.entries.push(entry);
        self.end += 1;
        self.end
    }

    fn force(&mut self, entry: Entry, then: Then) {
        let index = self.append(entry);
        self.forced = self.entries.len();
        self.then.push_back((index, then));
    }

    fn log_decided(&mut self, below: Timestamp) -> u64 {
        let index = self.append(Entry::Decided(below));
        self.decided.written = below;
        self.then.push_back((index, Then::Mark(below)));
        index
    }

    /// The log is committed up to here.
    pub fn durable(&mut self, txns: &[Txn], index: u64, out: &mut Out) {
        self.serves |= self.serving <= index;
        while self.then.front().is_some_and(|(at, _)| *at <= index) {
            let Some((_, then)) = self.then.pop_front() else { return };
            match then {
                Then::Tell(number) => self.tell(txns, number, out),
                Then::GiveUp(number) => {
                    self.decided.given_up.insert((txns[number].h, txns[number].id));
                    self.abort(txns, number, None, out);
                }
                Then::Mark(below) => self.decided.raise(below),
            }
        }
    }

    /// A client wants the next transaction committed: when it begins.
    pub fn draw(&mut self) -> Timestamp {
        self.last = self.last.next();
        self.last
    }

    /// It begins.
    pub fn begin(&mut self, txn: &Txn, number: usize, out: &mut Out) {
        let (id, h) = (txn.id, txn.h);
        self.decided.newest = h;
        let bundle = Bundle { txn: id, h, at: Timestamp::ZERO, yes: vec![], read: vec![] };
        self.stages[number] = Stage::Preparing(bundle);
        self.quorums[number] = machine(self.bug, Quorum::of(txn.acceptors.clone(), txn.faster));
        self.to_all(txn, &Message::Prepare(number), None, out);
    }

    /// A participant voted YES or READ.
    pub fn vote(
        &mut self,
        txns: &[Txn],
        number: usize,
        (shard, vote): (ShardId, Vote),
        out: &mut Out,
    ) {
        let Stage::Preparing(bundle) = &mut self.stages[number] else { return };
        if bundle.yes.contains(&shard) || bundle.read.contains(&shard) {
            return;
        }
        let at = match vote {
            Vote::Yes(at) => {
                bundle.yes.push(shard);
                at
            }
            Vote::Read(at) => {
                bundle.read.push(shard);
                at
            }
            Vote::No(_) => return,
        };
        bundle.at = bundle.at.max(at);
        if bundle.yes.len() + bundle.read.len() == txns[number].participants.len() {
            self.stages[number] = Stage::Accepting(bundle.clone());
            self.count(txns, number, out);
        }
    }

    /// A participant voted NO.
    pub fn refused(&mut self, txns: &[Txn], number: usize, shard: ShardId, out: &mut Out) {
        if self.serves && matches!(self.stages[number], Stage::Preparing(_)) {
            self.abort(txns, number, Some(shard), out);
        }
    }

    /// A member has accepted all votes.
    pub fn accepted(&mut self, txns: &[Txn], number: usize, by: CoordinatorId, out: &mut Out) {
        let new = self.quorums[number].accept(by);
        let txn = &txns[number];
        if new && by == self.me && txn.faster && matches!(self.stages[number], Stage::Accepting(_))
        {
            self.to_all(txn, &Message::Accepted(number), None, out);
        }
        self.count(txns, number, out);
    }

    fn count(&mut self, txns: &[Txn], number: usize, out: &mut Out) {
        if self.quorums[number].is_reached(self.members) {
            self.commit(txns, number, out);
        }
    }

    fn commit(&mut self, txns: &[Txn], number: usize, out: &mut Out) {
        if matches!(self.stages[number], Stage::Accepting(_)) {
            self.append(Entry::Committed(number));
            self.tell(txns, number, out);
        }
    }

    fn tell(&mut self, txns: &[Txn], number: usize, out: &mut Out) {
        if !matches!(self.stages[number], Stage::Accepting(_) | Stage::Deciding) {
            return;
        }
        let txn = &txns[number];
        self.committed |= 1 << number;
        self.stages[number] = match txn.writers() {
            0 => Stage::None,
            writers => Stage::Committing(writers),
        };
        out.news.push(News::Tells(number, true));
        if self.quorums[number].tells_participants() {
            return;
        }
        for shard in &txn.participants {
            let message = match txn.reads(*shard) {
                true => Message::Release(number),
                false => Message::Commit(number),
            };
            out.messages.push((self.place(*shard), message));
        }
    }

    fn abort(&mut self, txns: &[Txn], number: usize, but: Option<ShardId>, out: &mut Out) {
        self.stages[number] = Stage::None;
        out.news.push(News::Tells(number, false));
        self.to_all(&txns[number], &Message::Abort(number), but, out);
    }

    /// It has waited long for what comes next.
    pub fn waited(&mut self, txns: &[Txn], number: usize, out: &mut Out) {
        match &self.stages[number] {
            Stage::Preparing(_) => {
                out.news.push(News::GivesUp(number));
                self.stages[number] = Stage::GivingUp;
                match self.bug {
                    Some(Bug::GivesUpAlone) => self.abort(txns, number, None, out),
                    _ => self.force(Entry::GivenUp(number), Then::GiveUp(number)),
                }
            }
            Stage::Accepting(_) => {
                self.quorums[number].forward();
                self.forward(number, 0..self.members, true, out);
            }
            Stage::Committing(writers) => {
                let writers = *writers;
                let owes = |shard: &&ShardId| writers & bit(**shard) != 0;
                for shard in txns[number].participants.iter().filter(owes) {
                    out.messages.push((self.place(*shard), Message::Commit(number)));
                }
            }
            Stage::None | Stage::GivingUp | Stage::Deciding => {}
        }
    }

    /// Asks other members to accept; `again`: also those that were asked before.
    fn forward(
        &mut self,
        number: usize,
        to: impl IntoIterator<Item = usize>,
        again: bool,
        out: &mut Out,
    ) {
        let Stage::Accepting(bundle) = &self.stages[number] else { return };
        let quorum = &mut self.quorums[number];
        for to in to {
            let new = quorum.ask(member(to));
            let missed = again && !quorum.accepted().contains(&member(to));
            if (new || missed) && member(to) != self.me {
                out.messages.push((to, Message::Forward(bundle.clone())));
                out.news.push(News::Forwards);
            }
        }
    }

    /// Who is to accept from now on: as few as decide, of those that were heard of.
    pub fn choose_acceptors(&mut self, heard: &[CoordinatorId], out: &mut Out) {
        let others = self.members / 2;
        let few = [self.me].into_iter().chain(heard.iter().copied().take(others));
        let acceptors: Vec<CoordinatorId> = match heard.len() >= others {
            true => few.collect(),
            false => (1..=self.members as u16).map(CoordinatorId).collect(),
        };
        if self.acceptors == acceptors {
            return;
        }
        for number in 0..MOST {
            self.forward(number, acceptors.iter().map(|acceptor| site(*acceptor)), false, out);
        }
        self.acceptors = acceptors;
    }

    /// A participant has made the commit durable.
    pub fn acknowledged(&mut self, txns: &[Txn], number: usize, shard: ShardId, out: &mut Out) {
        if !self.serves {
            return;
        }
        // It may know of the decision first, from the acceptors.
        if txns[number].faster {
            self.commit(txns, number, out);
        }
        let Stage::Committing(writers) = &mut self.stages[number] else { return };
        *writers &= !bit(shard);
        if *writers == 0 {
            self.stages[number] = Stage::None;
            self.append(Entry::Ended(number));
        }
    }

    /// A participant that has voted asks what became of it.
    pub fn answer(&self, txn: &Txn, number: usize, shard: ShardId, out: &mut Out) {
        if !self.serves || txn.id.session.epoch > self.epoch {
            return;
        }
        let message = match &self.stages[number] {
            Stage::Committing(writers) if writers & bit(shard) != 0 => Message::Commit(number),
            Stage::Committing(_) => Message::Release(number),
            Stage::None if self.committed & 1 << number != 0 => Message::Release(number),
            Stage::None => Message::Abort(number),
            Stage::Preparing(_) | Stage::Accepting(_) | Stage::GivingUp | Stage::Deciding => {
                return;
            }
        };
        out.messages.push((self.place(shard), message));
    }

    /// Tells the other members what is decided, if they may still keep some of it.
    pub fn tell_decided(&mut self, txns: &[Txn]) {
        let open = |number: &usize| match self.stages[*number] {
            Stage::Preparing(_) | Stage::Accepting(_) | Stage::GivingUp | Stage::Deciding => {
                self.bug != Some(Bug::MarkAhead)
            }
            Stage::None | Stage::Committing(_) => false,
        };
        let open = (0..txns.len()).filter(open).map(|number| txns[number].h);
        let below = open.min().unwrap_or(self.last.next());
        if self.decided.written <= self.decided.newest && below > self.decided.written {
            self.log_decided(below);
        }
    }

    fn place(&self, shard: ShardId) -> usize {
        self.members + usize::from(shard.0) - 1
    }

    fn to_all(&self, txn: &Txn, message: &Message, but: Option<ShardId>, out: &mut Out) {
        let all = txn.participants.iter().filter(|shard| Some(**shard) != but);
        out.messages.extend(all.map(|shard| (self.place(*shard), message.clone())));
    }

    /// Whether all that it has begun or found is over.
    pub fn is_done(&self) -> bool {
        self.serves && self.stages.iter().all(|stage| matches!(stage, Stage::None))
    }
}
