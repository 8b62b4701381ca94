//! A member of the group as a node: between the network and its own log on one side, its
//! replica and the core of a coordinator on the other. It computes nothing.

mod accepting;
mod deposing;
mod restoring;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use synod_common::error::{Corrupt, Reason};
use synod_common::id::{CoordinatorId, Epoch, Peer, RequestId, TxnId};
use synod_common::message::bulk::List;
use synod_common::message::group::{Entries, Position};
use synod_common::message::paxos::Bundle;
use synod_common::message::txns::Commit;
use synod_common::message::{ClientReply, ClientRequest, GroupMessage, Message, PaxosMessage};
use synod_common::node::{
    CheckpointStep, Event, Lsn, Node, Output, Records, Recovered, Send, decode,
};
use synod_common::time::{Mono, Now, Timestamp};

use super::log::{Entry, Log};
use super::places::Places;
use super::replica::{Pace, Promise, Replica, Step, Turn, When};
use super::transfer::{Sending, Taking};
use crate::checkpoint::Saved;
use crate::mutant::{mutated, planted};
use crate::paxos::Acceptor;
use crate::paxos::takeover::Found;
use crate::record::Record;
use crate::{Coordinator, Settings, Stats};

/// Bytes of entries that are kept in memory for members that are behind.
const KEEP_BYTES: usize = 64 << 20;
/// How often a member that follows looks for outcomes that are too old.
const SWEEP: Duration = Duration::from_millis(500);
/// Bytes of the own log before which a checkpoint begins: what it may have accepted in them
/// is told in one message.
const MOST_LOGGED: u64 = 32 << 20;
/// Clients that may wait for another leader at once.
const MAX_FOLLOWING: usize = 100_000;

/// A coordinator of a group, perhaps its only one.
#[derive(Clone, Debug)]
pub struct Member {
    replica: Replica,
    core: Coordinator,
    /// What the core asks for, in terms of the group's log.
    inner: Output,
    /// What the core wants sent once an entry is committed.
    held: VecDeque<(Lsn, Send)>,
    places: Places,
    /// The core has heard of all that is committed up to here.
    applied: u64,
    /// The core leads: the beginning of its epoch is committed.
    leading: bool,
    /// When outcomes that are too old were last looked for.
    swept: Mono,
    /// The round that is to confirm what the core waits with.
    round: Option<u64>,
    /// What it accepts in Paxos Commit.
    acceptor: Acceptor,
    /// What it has accepted for itself as the leader, and where that stands in its own log.
    accepting: VecDeque<(Lsn, TxnId, Timestamp)>,
    /// What others had accepted when they promised this epoch to it.
    found: (Epoch, Found),
    /// Clients that want to hear of a leader of a later epoch.
    following: BTreeMap<Peer, (RequestId, Epoch)>,
    /// The epoch of the leader of which they were told, or knew.
    told: Option<Epoch>,
    /// The checkpoint is complete when all up to here is decided.
    completes: Option<u64>,
    /// What is on its way to a member that is far behind.
    sending: Option<Sending>,
    /// What the leader sends in place of the own log.
    taking: Option<Taking>,
    /// It has lost its disk, and counts for nothing until it is back.
    rejoins: bool,
    /// It is back when its own log is durable up to here.
    back: Option<Lsn>,
    /// It does no more until it starts anew.
    stopped: bool,
    logged: u64,
    recovering: (Promise, Log),
}

impl Member {
    /// One that knows nothing yet.
    pub fn new(settings: Settings) -> Member {
        Member {
            replica: replica(&settings, Promise::default(), Log::default()),
            inner: Output::default(),
            held: VecDeque::new(),
            places: Places::default(),
            applied: 0,
            leading: false,
            swept: Mono::default(),
            round: None,
            acceptor: planted!(settings, Paxos, Acceptor::default()),
            accepting: VecDeque::new(),
            found: (Epoch::default(), Found::default()),
            following: BTreeMap::new(),
            told: None,
            completes: None,
            sending: None,
            taking: None,
            rejoins: false,
            back: None,
            stopped: false,
            logged: 0,
            recovering: (Promise::default(), Log::default()),
            core: Coordinator::new(settings),
        }
    }

    /// One that has lost its disk, or has not come back since then.
    pub fn rejoining(settings: Settings) -> Member {
        Member { rejoins: true, ..Member::new(settings) }
    }

    /// Whether it would be one that has lost its disk if it was restarted now.
    pub fn is_rejoining(&self) -> bool {
        self.rejoins
    }

    /// The core of a coordinator, which works while this one leads.
    pub fn core(&self) -> &Coordinator {
        &self.core
    }

    /// The log that it has recovered, until it starts.
    pub fn recovered(&self) -> &Log {
        &self.recovering.1
    }

    /// Who leads and what is committed.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What it has accepted in Paxos Commit and does not know to be decided, for checks from
    /// outside.
    pub fn accepts(&self) -> impl Iterator<Item = &Bundle> {
        self.acceptor.accepted()
    }

    /// How far every commit is, if this one leads: for checks from outside.
    pub fn stages(&self) -> Option<impl Iterator<Item = Commit>> {
        self.leading.then(|| self.core.stages())
    }

    /// What it accepts in Paxos Commit, for checks from outside.
    pub fn acceptor(&self) -> &Acceptor {
        &self.acceptor
    }

    /// Counters for people.
    pub fn stats(&self) -> Stats {
        let epoch = self.replica.promise().epoch.0;
        Stats { leads: self.replica.leads(), epoch, ..self.core.stats() }
    }

    /// Whether it serves clients, or can say who does.
    pub fn is_ready(&self) -> bool {
        match self.replica.leads() {
            true => self.leading && self.core.is_ready(),
            false => self.replica.leader().is_some(),
        }
    }

    fn start(&mut self, now: Now, seed: u64, out: &mut Output) {
        let (promise, log) = std::mem::take(&mut self.recovering);
        self.applied = log.base().index;
        // Whoever is back has promised something itself.
        self.rejoins &= promise.to.is_none();
        self.replica = match self.rejoins {
            true => replica(&self.core.settings, promise, log).rejoining(),
            false => {
                let epoch = self.core.epoch.max(log.last().epoch);
                let later = epoch > promise.epoch;
                let promise = if later { Promise { epoch, to: None } } else { promise };
                replica(&self.core.settings, promise, log)
            }
        };
        let step = self.replica.start(now.mono, seed);
        self.carry_out(now, step, out);
    }

    /// Does what the replica asks for, in the order that it says.
    fn carry_out(&mut self, now: Now, step: Step, out: &mut Output) {
        let Step { promise, cut, append, messages, turn, refused: _ } = step;
        if let Some(promise) = promise {
            let lsn = out.force(&Record::Promised(promise));
            if self.rejoins && !self.replica.is_rejoining() {
                self.back.get_or_insert(lsn);
            }
        }
        if let Some(index) = cut {
            out.force(&Record::Cut { index });
            self.places.cut(index);
        }
        for entry in append {
            self.places.push(out.force_bytes(&entry.record));
        }
        self.send(messages, out);
        match turn {
            Some(Turn::Leads(epoch)) => self.begin_epoch(now, epoch, out),
            Some(Turn::Stops) => self.start_anew(out),
            None => {}
        }
    }

    /// What it has in mind does not count any more.
    fn start_anew(&mut self, out: &mut Output) {
        self.stopped = true;
        out.restart = true;
    }

    fn send(&self, messages: Vec<(CoordinatorId, GroupMessage, When)>, out: &mut Output) {
        let last = out.last_lsn();
        for (to, mut message, when) in messages {
            let to = Peer::Coordinator(to);
            // The replica knows nothing of what the acceptor has.
            if let GroupMessage::Elected { accepted, .. } = &mut message {
                *accepted = List::of(self.acceptor.accepted());
            }
            match when {
                When::Now => out.send(to, RequestId::default(), message),
                When::Durable => out.send_after(last, to, RequestId::default(), message),
            }
        }
    }

    /// The first entry of an epoch decides all that is before it.
    fn begin_epoch(&mut self, now: Now, epoch: Epoch, out: &mut Output) {
        let mut records = Records::default();
        records.push(&Record::Started { epoch });
        let entries: Vec<Bytes> = records.iter().map(Bytes::copy_from_slice).collect();
        entries.iter().for_each(|entry| self.places.push(out.force_bytes(entry)));
        let step = self.replica.append(now.mono, entries, true);
        self.carry_out(now, step, out);
    }

    /// Once it is committed, the core knows all that there is, and nothing else: it leads.
    fn lead(&mut self, now: Now) {
        let (epoch, last) = (self.replica.promise().epoch, self.replica.log().last());
        let all = mutated!(self.core, LeadsUndecided);
        self.apply(if all { last.index } else { self.replica.committed() });
        if last.epoch != epoch || self.applied < last.index {
            return;
        }
        self.leading = true;
        self.inner.begin_anew(Lsn(last.index));
        let (_, mut found) = std::mem::take(&mut self.found);
        self.acceptor.accepted().for_each(|bundle| found.add(bundle.clone()));
        self.core.lead(now, epoch, found, &mut self.inner);
        self.choose_acceptors(now);
    }

    /// Lets the core read entries that somebody else wrote.
    fn apply(&mut self, upto: u64) {
        while self.applied < upto {
            self.applied += 1;
            let entry = self.replica.log().get(self.applied).expect("it is kept until applied");
            let read = self.core.read(Lsn(self.applied), &entry.record);
            read.expect("it was looked at when it came");
        }
    }

    /// Lets the core and the replica go on until neither has anything for the other.
    fn settle(&mut self, now: Now, out: &mut Output) {
        if self.replica.leads() && !self.leading && !self.stopped {
            self.lead(now);
        }
        while !self.stopped && self.leading {
            self.tell_committed(now);
            self.confirm(now, out);
            self.send_from_core(out);
            if !self.inner.held.is_empty() {
                self.held.extend(self.inner.held.drain(..));
            }
            self.release(out);
            if self.inner.records.is_empty() {
                break;
            }
            self.append(now, out);
        }
        if !self.leading {
            self.apply(self.replica.committed());
            self.forget_outcomes(now);
        } else if self.core.serves() {
            self.replica.took_over();
        }
        self.acceptor.raise(self.core.decided_below());
        self.places.forget(self.applied.min(self.replica.durable()));
        let keep = if self.core.is_alone() { 0 } else { KEEP_BYTES };
        self.replica.forget(self.applied, keep);
        self.tell_leader(out);
        self.send_state(now, out);
        self.take_state(now, out);
        self.complete_checkpoint(out);
        self.begin_checkpoint(out);
        let wake = self.inner.wake.filter(|_| self.leading);
        out.wake = [wake, self.replica.due()].into_iter().flatten().min();
    }

    /// Who follows forgets what is too old, as the leader does.
    fn forget_outcomes(&mut self, now: Now) {
        if now.mono.since(self.swept) >= SWEEP {
            self.swept = now.mono;
            self.core.forget_outcomes(now);
        }
    }

    /// For the core, what is committed is durable.
    fn tell_committed(&mut self, now: Now) {
        let committed = match mutated!(self.core, OwnLogOnly) {
            true => self.replica.durable(),
            false => self.replica.committed(),
        };
        if committed > self.applied {
            self.applied = committed;
            self.core.handle(now, Event::Durable(Lsn(committed)), &mut self.inner);
        }
    }

    /// Asks whether this one still leads, on behalf of all that waits for it.
    fn confirm(&mut self, now: Now, out: &mut Output) {
        if self.round.is_some_and(|round| round <= self.replica.confirmed()) {
            self.round = None;
            self.core.confirmed(now, &mut self.inner);
        }
        if self.round.is_none() && self.core.begins_round() {
            let (round, step) = self.replica.confirm();
            self.round = Some(round);
            self.send(step.messages, out);
        }
    }

    fn release(&mut self, out: &mut Output) {
        let due = self.held.iter().take_while(|(lsn, _)| lsn.0 <= self.applied).count();
        if due > 0 {
            out.sends.extend(self.held.drain(..due).map(|(_, send)| send));
        }
    }

    /// The records of the core are the group's.
    fn append(&mut self, now: Now, out: &mut Output) {
        let (records, forced) = self.inner.take_records();
        for (number, record) in records.iter().enumerate() {
            let lsn = match number < forced {
                true => out.force_bytes(record),
                false => out.append_bytes(record),
            };
            self.places.push(lsn);
        }
        let entries = records.iter().map(Bytes::copy_from_slice);
        let step = self.replica.append(now.mono, entries, forced > 0);
        self.inner.reuse(records);
        self.carry_out(now, step, out);
    }

    /// Up to where the core knows what has happened, or may come to nothing.
    fn known(&self) -> u64 {
        match self.leading && !mutated!(self.core, SavesUndecided) {
            true => self.replica.log().last().index,
            false => self.applied,
        }
    }

    /// A checkpoint in which something may come to nothing waits.
    fn complete_checkpoint(&mut self, out: &mut Output) {
        if self.completes.take_if(|index| *index <= self.applied).is_some() {
            out.checkpoint = Some(CheckpointStep::Finish);
        }
    }

    fn begin_checkpoint(&mut self, out: &mut Output) {
        self.logged += out.take_logged();
        let busy = self.core.writes_checkpoint() || self.taking.is_some();
        if self.logged < self.core.settings.checkpoint_bytes.min(MOST_LOGGED) || busy {
            return;
        }
        let index = self.applied.min(self.replica.durable());
        let Some(base) = self.replica.log().at(index) else { return };
        self.logged = 0;
        self.core.begin_checkpoint(self.saved(base));
        let start = self.places.lsn_of(index + 1).unwrap_or(out.last_lsn().next());
        out.checkpoint = Some(CheckpointStep::Begin(start));
    }

    /// What a checkpoint says of this member, if it stands here in the group's log.
    fn saved(&self, base: Position) -> Saved {
        let forgets = mutated!(self.core, AcceptedNotSaved);
        let accepted = self.acceptor.accepted().filter(|_| !forgets).cloned().collect();
        Saved { promise: self.replica.promise(), base, accepted }
    }

    /// A client asks while another one leads, or for what each member can say.
    fn answer(&mut self, from: (Peer, RequestId), request: &ClientRequest, out: &mut Output) {
        let reply = match request {
            ClientRequest::Status => ClientReply::Status(self.core.status(self.replica.leader())),
            ClientRequest::Follow { epoch } if self.following.len() < MAX_FOLLOWING => {
                self.following.insert(from.0, (from.1, *epoch));
                self.told = None;
                return;
            }
            ClientRequest::Follow { .. } => ClientReply::Refused(Reason::Overloaded),
            _ if self.replica.leads() => ClientReply::Refused(Reason::NotReady),
            _ => {
                let leader = self.replica.leader().and_then(|(leader, _)| self.address(leader));
                ClientReply::Refused(Reason::NotLeader(leader))
            }
        };
        out.send(from.0, from.1, reply);
    }

    fn address(&self, member: CoordinatorId) -> Option<String> {
        let group = &self.core.settings.group;
        group.iter().find(|other| other.id == member).map(|other| other.address.clone())
    }

    /// Tells those who wait for it that there is another leader.
    fn tell_leader(&mut self, out: &mut Output) {
        let Some((leader, epoch)) = self.replica.leader() else { return };
        if self.told.replace(epoch) == Some(epoch) {
            return;
        }
        let me = self.core.settings.id;
        let address = if leader == me { None } else { self.address(leader) };
        self.following.retain(|client, (request, known)| {
            let news = *known < epoch;
            if news {
                let address = address.clone();
                out.send(*client, *request, ClientReply::Leader { epoch, address });
            }
            !news
        });
    }

    fn message(
        &mut self,
        now: Now,
        from: Peer,
        request: RequestId,
        message: Message,
        out: &mut Output,
    ) {
        let leads = self.leading;
        match (from, message) {
            (Peer::Coordinator(member), Message::Group(message @ GroupMessage::State { .. })) => {
                self.part_came(now, member, &message, out);
            }
            (Peer::Coordinator(_), Message::Group(GroupMessage::Append { .. }))
                if self.taking.is_some() => {}
            (
                Peer::Coordinator(member),
                Message::Group(GroupMessage::Taken { base, number, .. }),
            ) => self.part_taken(now, (member, base, number), out),
            (Peer::Coordinator(member), Message::Group(message)) => {
                if !is_sound(&message) {
                    return;
                }
                if let GroupMessage::Elected { epoch, accepted } = &message {
                    self.found(member, *epoch, accepted);
                }
                let step = self.replica.hear(now.mono, member, message);
                self.refuse(from, &step, out);
                self.carry_out(now, step, out);
            }
            (Peer::Shard(_), message) if self.follows_later(&message) => {
                self.deposed(now, from, &message, out);
            }
            (Peer::Client(_), Message::ClientRequest(asked))
                if !leads
                    || matches!(asked, ClientRequest::Status | ClientRequest::Follow { .. }) =>
            {
                self.answer((from, request), &asked, out);
            }
            (Peer::Shard(shard), Message::Paxos(message)) if !self.counts(&message) => {
                self.proposed(shard, &message, out);
            }
            (Peer::Coordinator(leader), Message::Paxos(PaxosMessage::Forward(bundle))) => {
                self.forwarded(leader, bundle, out);
            }
            (from, message) if leads => {
                let event = Event::Message { from, request, message };
                self.core.handle(now, event, &mut self.inner);
            }
            // Shards speak to whoever leads.
            _ => {}
        }
    }
}

/// The replica of a member with these settings.
fn replica(settings: &Settings, promise: Promise, log: Log) -> Replica {
    let members = settings.group.iter().map(|member| member.id);
    let pace = Pace { heartbeat: settings.heartbeat, patience: settings.patience };
    let members = members.chain([settings.id]);
    planted!(settings, Group, Replica::new(settings.id, members, pace, promise, log))
}

/// Whether all that it carries can be read, and may be said. Who leads has to know all that
/// was accepted: a promise of which some can not be read is none.
fn is_sound(message: &GroupMessage) -> bool {
    match message {
        GroupMessage::Append { before, entries, .. } => are_entries(*before, entries),
        GroupMessage::Elected { accepted, .. } => List::<Bundle>::read(accepted).all(|b| b.is_ok()),
        _ => true,
    }
}

/// Whether all of them are records of a group's log. In the own log they stand without their
/// epoch, beside what only this member must remember: they must not look like that, and an
/// epoch must begin where they say.
fn are_entries(before: Position, entries: &Bytes) -> bool {
    let mut last = before.epoch;
    Entries::read(entries).all(|entry| {
        let Ok((epoch, record)) = entry else { return false };
        let Ok(record) = decode::<Record>("an entry", &record) else { return false };
        let goes_on = epoch == record.begins().unwrap_or(last);
        last = epoch;
        goes_on && record.is_entry()
    })
}

impl Node for Member {
    fn recover(&mut self, recovered: Recovered<'_>) -> Result<(), Corrupt> {
        let (promise, log) = &mut self.recovering;
        match recovered {
            Recovered::Checkpoint(part) => {
                if let Some(saved) = self.core.restore_part(part)? {
                    *promise = saved.promise;
                    saved.accepted.into_iter().for_each(|bundle| self.acceptor.restore(bundle));
                    *log = Log::from(saved.base);
                    self.places = Places::from(saved.base.index);
                }
            }
            Recovered::Record(lsn, bytes) => {
                self.logged += bytes.len() as u64;
                match decode::<Record>(format_args!("record {}", lsn.0), bytes)? {
                    Record::Promised(newer) => *promise = newer,
                    Record::Accepted(bundle) => self.acceptor.restore(bundle),
                    Record::Cut { index } if index < log.base().index => {
                        return Err(Corrupt::new(format!("record {} cuts too much", lsn.0)));
                    }
                    Record::Cut { index } => {
                        log.cut(index);
                        self.places.cut(index);
                    }
                    record => {
                        let epoch = record.begins().unwrap_or(log.last().epoch);
                        if epoch < log.last().epoch {
                            return Err(Corrupt::new(format!("record {} is too old", lsn.0)));
                        }
                        log.push(Entry { epoch, record: Bytes::copy_from_slice(bytes) });
                        self.places.push(lsn);
                    }
                }
            }
        }
        Ok(())
    }

    fn expects(&self, peer: Peer) -> bool {
        let Settings { group, placement, .. } = &*self.core.settings;
        match peer {
            Peer::Coordinator(id) => group.iter().any(|member| member.id == id),
            Peer::Shard(id) => placement.shards.iter().any(|shard| shard.id == id),
            Peer::Client(_) => true,
        }
    }

    fn handle(&mut self, now: Now, event: Event, out: &mut Output) {
        if self.stopped {
            return;
        }
        match event {
            Event::Start { seed } => self.start(now, seed, out),
            Event::Wake => {
                let step = self.replica.tick(now.mono);
                self.carry_out(now, step, out);
                self.choose_acceptors(now);
                if self.leading && self.inner.wake.is_some_and(|wake| wake <= now.mono) {
                    self.core.handle(now, Event::Wake, &mut self.inner);
                }
            }
            Event::Durable(lsn) => {
                if let Some(index) = self.places.index_at(lsn) {
                    self.replica.is_durable(index);
                }
                self.accepted(now, lsn);
                self.rejoins &= self.back.is_none_or(|back| back > lsn);
            }
            Event::CheckpointWritten if self.taking.is_some() => self.part_written(out),
            Event::CheckpointWritten => {
                self.core.checkpoint_written(out);
                let last = out.checkpoint.take_if(|step| matches!(step, CheckpointStep::Finish));
                self.completes = last.map(|_| self.known());
            }
            Event::Connected(Peer::Coordinator(member)) => {
                let step = self.replica.connected(now.mono, member);
                self.carry_out(now, step, out);
            }
            Event::Disconnected(Peer::Coordinator(member)) => {
                self.sending.take_if(|sending| sending.to == member);
                self.replica.disconnected(member);
                self.choose_acceptors(now);
            }
            Event::Connected(peer) => self.core.linked(peer, true),
            Event::Disconnected(peer) => {
                self.following.remove(&peer);
                match self.leading {
                    true => self.core.handle(now, event, &mut self.inner),
                    false => self.core.linked(peer, false),
                }
            }
            Event::Message { from, request, message } => {
                self.message(now, from, request, message, out);
            }
        }
        self.settle(now, out);
    }
}
