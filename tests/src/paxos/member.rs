//! A member of the group: it drives its replica, its acceptor and its core as servers do.

use std::collections::VecDeque;

use bytes::Bytes;
use synod_common::id::{CoordinatorId, Epoch, ShardId};
use synod_common::message::GroupMessage;
use synod_common::message::bulk::List;
use synod_common::message::paxos::Bundle;
use synod_common::time::Mono;
use synod_coordinator::group::{self, Pace, Promise, Replica, Step, Turn, When};
use synod_coordinator::paxos::takeover::Found;
use synod_coordinator::paxos::{Acceptor, Answer};

use super::bug::{Bug, machine, mutated};
use super::disk::{Disk, Record};
use super::leader::{Leader, News, Out};
use super::net::{Message, member, site};
use super::txn::{Entry, Txn};

/// A member.
#[derive(Debug)]
pub struct Member {
    me: CoordinatorId,
    members: usize,
    bug: Option<Bug>,
    /// The machine, while it runs.
    pub replica: Option<Replica>,
    /// What the log says, and what it does while it leads.
    pub core: Leader,
    acceptor: Acceptor,
    /// The core has heard of all that is committed up to here.
    applied: u64,
    /// The core leads.
    pub leading: bool,
    /// It does no more until it starts anew.
    stopped: bool,
    /// What it has accepted for itself, and where that stands.
    accepting: VecDeque<(u64, usize)>,
    /// What others had accepted when they promised this epoch.
    found: (Epoch, Found),
    /// What survives a crash.
    pub disk: Disk,
    /// Disks that it has lost: what was on them may still be counted.
    former: Vec<Disk>,
    held: VecDeque<(u64, usize, Message)>,
}

impl Member {
    /// One before its first start.
    pub fn new(me: CoordinatorId, members: usize, bug: Option<Bug>) -> Member {
        Member {
            me,
            members,
            bug,
            replica: None,
            core: Leader::new(me, members, bug),
            acceptor: Acceptor::default(),
            applied: 0,
            leading: false,
            stopped: false,
            accepting: VecDeque::new(),
            found: Default::default(),
            disk: Disk::default(),
            former: Vec::new(),
            held: VecDeque::new(),
        }
    }

    /// Uses the memory of one that is over.
    pub fn inherit(&mut self, mut over: Member) {
        over.disk.clear();
        over.held.clear();
        over.accepting.clear();
        (self.disk, self.held, self.accepting) = (over.disk, over.held, over.accepting);
    }

    /// Whether it believes that it leads, and serves.
    pub fn serves(&self) -> bool {
        self.replica.is_some() && self.leading && self.core.serves
    }

    /// Whether it believes that it leads.
    pub fn leads(&self) -> bool {
        self.replica.as_ref().is_some_and(Replica::leads)
    }

    /// It crashes; what is not durable is lost.
    pub fn crash(&mut self) {
        self.replica = None;
        (self.leading, self.stopped) = (false, false);
        self.held.clear();
        self.disk.crash();
    }

    /// While it is down, its disk goes.
    pub fn lose_disk(&mut self) {
        let rejoins = self.bug != Some(Bug::RejoinsAsNew);
        let lost = std::mem::replace(&mut self.disk, Disk::in_place(rejoins));
        self.former.push(lost);
    }

    /// All disks that it ever had.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.former.iter().chain([&self.disk])
    }

    /// It is back, with what its disk says.
    pub fn restart(&mut self, now: Mono, pace: Pace, seed: u64, out: &mut Out) {
        let (members, log) = ((0..self.members).map(member), self.disk.log());
        let promise = self.disk.promise;
        let later = log.last().epoch > promise.epoch && !self.disk.rejoins;
        let epoch = log.last().epoch;
        let promise = if later { Promise { epoch, to: None } } else { promise };
        let replica = Replica::new(self.me, members, pace, promise, log);
        let replica = mutated(self.bug, replica);
        let mut replica = if self.disk.rejoins { replica.rejoining() } else { replica };
        let step = replica.start(now, seed);
        self.replica = Some(replica);
        self.core = Leader::new(self.me, self.members, self.bug);
        self.acceptor = machine(self.bug, Acceptor::default());
        if self.bug != Some(Bug::AcceptedForgotten) {
            let accepted = self.disk.accepted.iter().cloned();
            accepted.for_each(|bundle| self.acceptor.restore(bundle));
        }
        self.applied = 0;
        self.accepting.clear();
        self.found = Default::default();
        self.carry_out(now, step, out);
    }

    /// Does what the replica asks for.
    fn carry_out(&mut self, now: Mono, step: Step, out: &mut Out) {
        let Step { promise, cut, append, messages, turn, refused: _ } = step;
        if let Some(promise) = promise {
            self.disk.append(Record::Promise(promise));
        }
        if let Some(index) = cut {
            self.disk.append(Record::Cut(index));
        }
        for entry in append {
            self.disk.append(Record::Entry(entry));
        }
        for (to, mut message, when) in messages {
            if let GroupMessage::Elected { accepted, .. } = &mut message {
                *accepted = self.report();
            }
            let written = match when {
                When::Now => 0,
                When::Durable => self.disk.written(),
            };
            self.say(written, site(to), Message::Group(message), out);
        }
        match turn {
            Some(Turn::Leads(epoch)) => {
                out.news.push(News::Leads(epoch));
                self.append(now, [Entry::Started.bytes()], 1, out);
            }
            Some(Turn::Stops) => {
                self.stopped = true;
                out.news.push(News::Stops);
            }
            None => {}
        }
    }

    /// What it has accepted.
    fn report(&self) -> Bytes {
        match self.bug {
            Some(Bug::PromisesSilently) => Bytes::new(),
            _ => List::of(self.acceptor.accepted()),
        }
    }

    /// Says it as soon as so many records are durable.
    fn say(&mut self, written: u64, to: usize, message: Message, out: &mut Out) {
        match written <= self.disk.flushed() {
            true => out.messages.push((to, message)),
            false => self.held.push_back((written, to, message)),
        }
    }

    fn append(
        &mut self,
        now: Mono,
        records: impl IntoIterator<Item = Bytes>,
        forced: usize,
        out: &mut Out,
    ) {
        let Some(replica) = &mut self.replica else { return };
        // Who leads writes them by itself.
        let epoch = replica.promise().epoch;
        let records: Vec<Bytes> = records.into_iter().collect();
        for record in records.iter().cloned() {
            self.disk.append(Record::Entry(group::Entry { epoch, record }));
        }
        let step = replica.append(now, records, forced > 0);
        self.carry_out(now, step, out);
    }

    /// Another site says something.
    pub fn hear(
        &mut self,
        now: Mono,
        txns: &[Txn],
        (from, message): (usize, Message),
        out: &mut Out,
    ) {
        let Some(replica) = &mut self.replica else { return };
        let promised = replica.promise().epoch;
        let forgets = replica.is_rejoining() && self.bug != Some(Bug::AcceptsRejoining);
        let shard = || ShardId((from - self.members) as u16 + 1);
        match message {
            Message::Group(message) => {
                if let GroupMessage::Elected { epoch, accepted } = &message {
                    self.found(*epoch, accepted);
                }
                let Some(replica) = &mut self.replica else { return };
                let step = replica.hear(now, member(from), message);
                self.carry_out(now, step, out);
            }
            Message::Propose(..) | Message::Forward(_) if forgets => {}
            Message::Propose(number, vote) => {
                let (txn, shard) = (&txns[number], shard());
                let key = (txn.id, txn.h);
                let participants = &txn.participants;
                let answer = self.acceptor.propose(promised, key, participants, (shard, &vote));
                self.accept(number, (txn.leader, txn.faster.then_some(txn)), answer, out);
                if self.leading {
                    self.core.vote(txns, number, (shard, vote), out);
                }
            }
            Message::Forward(bundle) => {
                let number = Txn::number(bundle.txn);
                let answer = self.acceptor.forward(promised, bundle);
                self.accept(number, (member(from), None), answer, out);
            }
            _ if !self.leading => {}
            Message::Accepted(number) => self.core.accepted(txns, number, member(from), out),
            Message::No(number) => self.core.refused(txns, number, shard(), out),
            Message::Ack(number) => self.core.acknowledged(txns, number, shard(), out),
            Message::Inquire(number) => self.core.answer(&txns[number], number, shard(), out),
            // These are for participants.
            Message::Prepare(_) | Message::Commit(_) | Message::Release(_) | Message::Abort(_) => {}
        }
        self.settle(now, txns, out);
    }

    /// Tells the leader, and the participants, if it is to.
    fn accept(
        &mut self,
        number: usize,
        (leader, tells): (CoordinatorId, Option<&Txn>),
        answer: Answer,
        out: &mut Out,
    ) {
        let written = match answer {
            // A leader that is deposed hears of it soon enough.
            Answer::Nothing | Answer::Stale => return,
            Answer::Accept(bundle) => self.disk.append(Record::Accepted(bundle)),
            Answer::Again(_) => self.disk.written(),
        };
        let written = if self.bug == Some(Bug::AcceptedUnforced) { 0 } else { written };
        if leader == self.me {
            return self.accepting.push_back((written, number));
        }
        self.say(written, site(leader), Message::Accepted(number), out);
        for shard in tells.iter().flat_map(|txn| &txn.participants) {
            let to = self.members + usize::from(shard.0) - 1;
            self.say(written, to, Message::Accepted(number), out);
        }
    }

    /// A member that has promised the epoch had accepted this before.
    fn found(&mut self, epoch: Epoch, accepted: &Bytes) {
        let promise = self.replica.as_ref().map(Replica::promise);
        if promise != Some(Promise { epoch, to: Some(self.me) }) {
            return;
        }
        if self.found.0 != epoch {
            self.found = (epoch, Found::default());
        }
        let bundles = List::<Bundle>::read(accepted).map_while(Result::ok);
        bundles.for_each(|bundle| self.found.1.add(bundle));
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Mono, txns: &[Txn], out: &mut Out) {
        let Some(replica) = &mut self.replica else { return };
        let step = replica.tick(now);
        self.carry_out(now, step, out);
        self.choose_acceptors(now, out);
        self.settle(now, txns, out);
    }

    /// The link to a member is up.
    pub fn connected(&mut self, now: Mono, txns: &[Txn], to: usize, out: &mut Out) {
        let Some(replica) = &mut self.replica else { return };
        let step = replica.connected(now, member(to));
        self.carry_out(now, step, out);
        self.settle(now, txns, out);
    }

    fn choose_acceptors(&mut self, now: Mono, out: &mut Out) {
        if self.leading
            && let Some(replica) = &self.replica
        {
            self.core.choose_acceptors(&replica.heard(now), out);
        }
    }

    /// What waited for what is durable now leaves.
    pub fn released(&mut self, out: &mut Out) {
        let flushed = self.disk.flushed();
        let free = self.held.partition_point(|(at, ..)| *at <= flushed);
        if free > 0 {
            out.messages.extend(self.held.drain(..free).map(|(_, to, message)| (to, message)));
        }
    }

    /// More is durable than before.
    pub fn flushed(&mut self, now: Mono, txns: &[Txn], out: &mut Out) {
        self.released(out);
        let flushed = self.disk.flushed();
        let Some(replica) = &mut self.replica else { return };
        replica.is_durable(self.disk.durable());
        let own = self.accepting.partition_point(|(at, _)| *at <= flushed);
        for (_, number) in self.accepting.drain(..own) {
            if self.leading {
                self.core.accepted(txns, number, self.me, out);
            }
        }
        self.settle(now, txns, out);
    }

    /// Something happens in the core while it leads.
    pub fn act(
        &mut self,
        now: Mono,
        txns: &[Txn],
        out: &mut Out,
        act: impl FnOnce(&mut Leader, &mut Out),
    ) {
        if self.leading {
            act(&mut self.core, out);
            self.settle(now, txns, out);
        }
    }

    /// Lets the core and the replica go on until neither has anything for the other.
    fn settle(&mut self, now: Mono, txns: &[Txn], out: &mut Out) {
        if self.leads() && !self.leading && !self.stopped {
            self.lead(now, txns, out);
        }
        while self.leading && !self.stopped {
            let committed = self.replica.as_ref().map_or(0, Replica::committed);
            if committed > self.applied {
                self.applied = committed;
                self.core.durable(txns, committed, out);
            }
            if self.core.entries.is_empty() {
                break;
            }
            let forced = std::mem::take(&mut self.core.forced);
            let entries = std::mem::take(&mut self.core.entries);
            self.append(now, entries.iter().map(|entry| entry.bytes()), forced, out);
        }
        if !self.leading {
            self.apply(txns);
        }
        let serves = self.serves();
        if let Some(replica) = self.replica.as_mut().filter(|_| serves) {
            replica.took_over();
        }
        self.acceptor.raise(self.core.decided.below);
    }

    /// Once the first entry of its epoch is committed, the core knows all that there is.
    fn lead(&mut self, now: Mono, txns: &[Txn], out: &mut Out) {
        self.apply(txns);
        let Some(replica) = &self.replica else { return };
        let (epoch, last) = (replica.promise().epoch, replica.log().last());
        if last.epoch != epoch || self.applied < last.index {
            return;
        }
        self.leading = true;
        let (_, mut found) = std::mem::take(&mut self.found);
        if self.bug != Some(Bug::OwnIgnored) {
            self.acceptor.accepted().for_each(|bundle| found.add(bundle.clone()));
        }
        self.core.lead(epoch, last.index, found, out);
        self.choose_acceptors(now, out);
    }

    fn apply(&mut self, txns: &[Txn]) {
        let Some(replica) = &self.replica else { return };
        while self.applied < replica.committed() {
            self.applied += 1;
            let entry = replica.log().get(self.applied).expect("all of it is kept");
            self.core.apply(txns, Entry::read(&entry.record));
        }
    }
}
