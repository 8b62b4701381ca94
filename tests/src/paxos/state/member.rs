//! A member of the group: its acceptor, its leader, and what of it is durable.

use synod_common::id::{CoordinatorId, Epoch, ShardId};
use synod_common::message::commit::Vote;
use synod_common::message::paxos::Bundle;
use synod_common::time::Timestamp;
use synod_coordinator::paxos::takeover::Found;
use synod_coordinator::paxos::{Acceptor, Answer};

use super::{FIRST, IT, MEMBERS, PARTICIPANTS, Say, State};
use crate::paxos::bug::{Bug, machine};
use crate::paxos::leader::Leader;
use crate::paxos::net::{member, site};
use crate::paxos::txn::{Entry, Txn};

#[derive(Clone, Debug, Hash)]
pub(super) struct Member {
    pub(super) me: CoordinatorId,
    pub(super) promised: Epoch,
    pub(super) acceptor: Acceptor,
    /// What it has accepted durably.
    pub(super) disk: Option<Bundle>,
    /// What is not durable, and whom it tells when it is.
    pub(super) dirty: Option<(Bundle, Vec<usize>)>,
    pub(super) core: Leader,
    pub(super) leads: bool,
    /// Entries that are not committed.
    pub(super) pending: Vec<Entry>,
    /// How much of the log it has read.
    pub(super) applied: usize,
}

impl Member {
    pub(super) fn new(site: usize, bug: Option<Bug>) -> Member {
        let me = member(site);
        Member {
            me,
            promised: FIRST,
            acceptor: machine(bug, Acceptor::default()),
            disk: None,
            dirty: None,
            core: Leader::new(me, MEMBERS, bug),
            leads: false,
            pending: Vec::new(),
            applied: 0,
        }
    }

    /// Leads no more, and forgets what it had in mind.
    pub(super) fn stop(&mut self, bug: Option<Bug>) {
        self.core = Leader::new(self.me, MEMBERS, bug);
        self.leads = false;
        self.pending.clear();
        self.applied = 0;
    }

    /// What it has accepted, or would if it was durable.
    pub(super) fn accepted(&self) -> Option<Bundle> {
        self.acceptor.accepted().next().cloned()
    }

    pub(super) fn read(&mut self, txns: &[Txn], log: &[Entry]) {
        for entry in &log[self.applied..] {
            self.core.apply(txns, *entry);
        }
        self.applied = log.len();
        self.acceptor.raise(self.core.decided.below);
    }
}

impl State {
    pub(super) fn stand(&mut self, at: usize) -> Result<(), String> {
        self.flush_member(at)?;
        let last = self.members.iter().map(|member| member.promised).max();
        let epoch = Epoch(last.map_or(0, |epoch| epoch.0) + 1);
        self.members[at].stop(self.bug);
        self.members[at].promised = epoch;
        for to in (0..MEMBERS).filter(|to| *to != at) {
            self.say(at, to, Say::Elect(epoch));
        }
        Ok(())
    }

    pub(super) fn promise(&mut self, at: usize, epoch: Epoch, to: usize) -> Result<(), String> {
        if epoch <= self.members[at].promised {
            return Ok(());
        }
        self.flush_member(at)?;
        self.members[at].promised = epoch;
        if self.members[at].leads {
            self.members[at].stop(self.bug);
        }
        let silent = self.bug == Some(Bug::PromisesSilently);
        let report = self.members[at].accepted().filter(|_| !silent);
        self.say(at, to, Say::Elected(epoch, report));
        Ok(())
    }

    pub(super) fn elected(
        &mut self,
        at: usize,
        epoch: Epoch,
        report: Option<Bundle>,
    ) -> Result<(), String> {
        let Member { promised, leads, .. } = &self.members[at];
        if *promised != epoch || *leads {
            return Ok(());
        }
        let own = self.members[at].accepted().filter(|_| self.bug != Some(Bug::OwnIgnored));
        let mut found = Found::default();
        report.into_iter().chain(own).for_each(|bundle| found.add(bundle));
        self.lead(at, found)
    }

    pub(super) fn answered(
        &mut self,
        at: usize,
        (leader, tells): (usize, bool),
        answer: Answer,
    ) -> Result<(), String> {
        // The leader tells what its own acceptor has only when it has all votes itself.
        let shards = (0..usize::from(PARTICIPANTS)).map(|shard| MEMBERS + shard);
        let told = shards.filter(|_| tells).chain([leader]).filter(|_| leader != at);
        let told: Vec<usize> = told.collect();
        match answer {
            Answer::Nothing | Answer::Stale => {}
            Answer::Accept(bundle) => {
                self.members[at].dirty = Some((bundle, told));
                if self.bug == Some(Bug::AcceptedUnforced) {
                    return self.tell_accepted(at);
                }
            }
            Answer::Again(_) if self.members[at].dirty.is_none() => {
                told.into_iter().for_each(|to| self.say(at, to, Say::Accepted));
            }
            Answer::Again(_) => {}
        }
        Ok(())
    }

    pub(super) fn tell_accepted(&mut self, at: usize) -> Result<(), String> {
        let Some((_, told)) = self.members[at].dirty.clone() else { return Ok(()) };
        told.into_iter().for_each(|to| self.say(at, to, Say::Accepted));
        let own = at == site(self.txns[IT].leader) && self.members[at].leads;
        match own {
            true => self.act(at, |core, txns, out| core.accepted(txns, IT, member(at), out)),
            false => Ok(()),
        }
    }

    pub(super) fn flush_member(&mut self, at: usize) -> Result<(), String> {
        let Some((bundle, _)) = self.members[at].dirty.clone() else { return Ok(()) };
        self.members[at].disk = Some(bundle);
        self.tell_accepted(at)?;
        self.members[at].dirty = None;
        Ok(())
    }

    pub(super) fn crash_member(&mut self, at: usize, survives: bool) {
        let bug = self.bug;
        let Member { dirty, disk, acceptor, .. } = &mut self.members[at];
        if let Some((bundle, _)) = dirty.take().filter(|_| survives) {
            *disk = Some(bundle);
        }
        *acceptor = machine(bug, Acceptor::default());
        if let Some(bundle) = disk.clone().filter(|_| bug != Some(Bug::AcceptedForgotten)) {
            acceptor.restore(bundle);
        }
        self.members[at].stop(bug);
    }

    /// Whether a member has promised to accept no proposal of the transaction any more, which
    /// its acceptor knows.
    pub(super) fn refuses_all(&self, member: &Member) -> bool {
        let Txn { id, h, .. } = self.txns[IT];
        let mut empty = machine(self.bug, Acceptor::default());
        let only = ShardId(1);
        let answer = empty.propose(member.promised, (id, h), &[only], (only, &Vote::Yes(h)));
        matches!(answer, Answer::Nothing | Answer::Stale)
    }

    /// A member hears something of the transaction.
    pub(super) fn member_hears(&mut self, at: usize, from: usize, say: Say) -> Result<(), String> {
        let promised = self.members[at].promised;
        let shard = ShardId((from.saturating_sub(MEMBERS)) as u16 + 1);
        let leads = self.members[at].leads;
        match say {
            Say::Elect(epoch) => self.promise(at, epoch, from),
            Say::Elected(epoch, report) => self.elected(at, epoch, report),
            Say::Propose(vote, yes) => {
                let vote = Timestamp(vote);
                let vote = if yes { Vote::Yes(vote) } else { Vote::Read(vote) };
                let Txn { id, h, ref participants, leader, faster, .. } = self.txns[IT];
                let acceptor = &mut self.members[at].acceptor;
                let answer = acceptor.propose(promised, (id, h), participants, (shard, &vote));
                // The leader counts before its acceptor has it.
                if leads {
                    self.act(at, |core, txns, out| core.vote(txns, IT, (shard, vote), out))?;
                }
                self.answered(at, (site(leader), faster), answer)
            }
            Say::Forward(bundle) => {
                let answer = self.members[at].acceptor.forward(promised, bundle);
                self.answered(at, (from, false), answer)
            }
            _ if !leads => Ok(()),
            Say::Accepted => {
                self.act(at, |core, txns, out| core.accepted(txns, IT, member(from), out))
            }
            Say::No => self.act(at, |core, txns, out| core.refused(txns, IT, shard, out)),
            Say::Ack => self.act(at, |core, txns, out| core.acknowledged(txns, IT, shard, out)),
            Say::Prepare | Say::Commit | Say::Release | Say::Abort => Ok(()),
        }
    }
}
