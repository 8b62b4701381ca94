//! What must hold in every schedule, and what must have been reached in some.

use std::fmt;

use synod_common::id::Epoch;
use synod_common::message::paxos::Bundle;

use super::disk::Disk;
use super::leader::News;
use super::member::Member;
use super::net::member;
use super::participant::{Participant, Stage};
use super::txn::{Entry, MOST, Txn, window};

/// How often what was reached. A run of many schedules that never reached one of these
/// says nothing about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Members that became leader.
    pub elections: u64,
    /// Transactions that were committed.
    pub committed: u64,
    /// Of those, by a leader of which a majority knew that it leads no more.
    pub deposed: u64,
    /// Transactions that were aborted.
    pub aborted: u64,
    /// Transactions that were given up.
    pub given_up: u64,
    /// Of those, some that a member had accepted.
    pub given_up_accepted: u64,
    /// Of those, some that a majority had accepted.
    pub given_up_chosen: u64,
    /// Transactions that a new leader found.
    pub found: u64,
    /// Of those, some that only a minority had accepted.
    pub found_minority: u64,
    /// Of those, some that another new leader had found before.
    pub found_again: u64,
    /// Transactions that members were asked to accept by their leader.
    pub forwards: u64,
    /// Marks of a leader that served already.
    pub marks: u64,
    /// Votes that were lost in a crash after somebody had accepted them.
    pub lost_votes: u64,
    /// Crashes of members that lost something that was written.
    pub lost: u64,
    /// Schedules that ended with a majority only.
    pub crippled: u64,
    /// Disks that members lost.
    pub disks: u64,
    /// Of those, some on which was what a majority had accepted only with it.
    pub needed: u64,
    /// Members that came back after that.
    pub back: u64,
}

impl Seen {
    /// Each with its name.
    pub fn all(&self) -> [(&'static str, u64); 18] {
        [
            ("elections", self.elections),
            ("commits", self.committed),
            ("commits by a deposed leader", self.deposed),
            ("aborts", self.aborted),
            ("given up", self.given_up),
            ("given up when accepted by some", self.given_up_accepted),
            ("given up when accepted by a majority", self.given_up_chosen),
            ("found by a new leader", self.found),
            ("found with a minority", self.found_minority),
            ("found again", self.found_again),
            ("forwards", self.forwards),
            ("marks", self.marks),
            ("accepted votes lost", self.lost_votes),
            ("crashes that lost something", self.lost),
            ("ends with a majority only", self.crippled),
            ("disks lost", self.disks),
            ("disks that were needed", self.needed),
            ("members back without", self.back),
        ]
    }
}

/// Who says what has become of a transaction.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// A member, to clients and participants.
    Member(usize),
    /// A participant, by what it does.
    Participant(usize),
    /// The log of the group.
    Log,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Member(i) => write!(f, "c{}", i + 1),
            Who::Participant(i) => write!(f, "s{}", i + 1),
            Who::Log => f.write_str("the log"),
        }
    }
}

/// The judge of one schedule, who sees everything.
#[derive(Debug, Default)]
pub struct Check {
    /// What has become of each transaction, by whom first.
    decided: [Option<(bool, Who)>; MOST],
    /// What was accepted of each.
    bundles: [Option<Bundle>; MOST],
    found: [bool; MOST],
    /// The log is looked at up to here.
    read: u64,
    latest: Epoch,
    /// What this schedule has reached.
    pub seen: Seen,
}

fn sorted(bundle: &Bundle) -> Bundle {
    let mut bundle = bundle.clone();
    bundle.yes.sort_unstable();
    bundle.read.sort_unstable();
    bundle
}

/// How many members have accepted it durably.
fn accepted(members: &[Member], number: usize) -> usize {
    let has = |member: &&Member| {
        let mut accepted = member.disks().flat_map(|disk| &disk.accepted);
        accepted.any(|bundle| Txn::number(bundle.txn) == number)
    };
    members.iter().filter(has).count()
}

impl Check {
    /// I1, I3, I4: whoever is told, and whoever decides, says the same, for ever.
    pub fn decide(&mut self, number: usize, committed: bool, who: Who) -> Result<(), String> {
        let verdict = |committed| if committed { "committed" } else { "aborted" };
        match self.decided[number] {
            Some((before, _)) if before == committed => {}
            Some((before, first)) => {
                let (before, now) = (verdict(before), verdict(committed));
                return Err(format!("I1: {number} is {before} by {first}, {now} by {who}"));
            }
            None => {
                self.decided[number] = Some((committed, who));
                self.seen.committed += u64::from(committed);
                self.seen.aborted += u64::from(!committed);
            }
        }
        Ok(())
    }

    /// Something happened at a member.
    pub fn news(
        &mut self,
        i: usize,
        news: &News,
        txns: &[Txn],
        members: &[Member],
    ) -> Result<(), String> {
        let most = members.len() / 2;
        match news {
            News::Leads(epoch) => {
                self.seen.elections += 1;
                self.latest = self.latest.max(*epoch);
            }
            News::Stops => {}
            News::Found(bundle) => {
                let number = Txn::number(bundle.txn);
                self.same(bundle)?;
                self.seen.found += 1;
                self.seen.found_minority += u64::from(accepted(members, number) <= most);
                self.seen.found_again +=
                    u64::from(std::mem::replace(&mut self.found[number], true));
            }
            News::GivesUp(number) => {
                let by = accepted(members, *number);
                self.seen.given_up += 1;
                self.seen.given_up_accepted += u64::from(by > 0);
                self.seen.given_up_chosen += u64::from(by > most);
            }
            News::Forwards => self.seen.forwards += 1,
            News::Tells(number, true) => {
                self.told(i, *number, txns, members)?;
                self.decide(*number, true, Who::Member(i))?;
            }
            News::Tells(number, false) => self.decide(*number, false, Who::Member(i))?,
        }
        Ok(())
    }

    /// I14, I4: a member says that it is committed.
    fn told(
        &mut self,
        i: usize,
        number: usize,
        txns: &[Txn],
        members: &[Member],
    ) -> Result<(), String> {
        let (me, epoch) = (member(i), members[i].core.epoch);
        let own = txns[number].id.session.epoch == epoch;
        let entry = |member: &&Member| {
            let mut entries = member.disks().flat_map(|disk| &disk.entries);
            entries.any(|entry| Entry::read(&entry.record) == Entry::Committed(number))
        };
        let by = match own {
            true => accepted(members, number),
            false => members.iter().filter(entry).count(),
        };
        if by <= members.len() / 2 {
            return Err(format!("I14: {me} tells that {number} is committed, {by} know of it"));
        }
        self.seen.deposed += u64::from(epoch < self.latest);
        Ok(())
    }

    /// I13: what is accepted of a transaction is the same everywhere.
    fn same(&mut self, bundle: &Bundle) -> Result<(), String> {
        let (number, bundle) = (Txn::number(bundle.txn), sorted(bundle));
        let first = self.bundles[number].get_or_insert_with(|| bundle.clone());
        match *first == bundle {
            true => Ok(()),
            false => Err(format!("I13: accepted are {first:?} and {bundle:?}")),
        }
    }

    /// I13: what is accepted durably says what all participants have voted.
    pub fn accepts(
        &mut self,
        bundle: &Bundle,
        txns: &[Txn],
        participants: &[Participant],
    ) -> Result<(), String> {
        let txn = &txns[Txn::number(bundle.txn)];
        for shard in &txn.participants {
            let vote = participants[usize::from(shard.0) - 1].disk[Txn::number(txn.id)];
            let sound = match txn.reads(*shard) {
                true => bundle.read.contains(shard),
                false => {
                    let prepared = match vote {
                        Stage::Prepared(m) => m <= bundle.at,
                        Stage::Over(_) => true,
                        _ => false,
                    };
                    prepared && bundle.yes.contains(shard)
                }
            };
            if !sound {
                return Err(format!("I13: {bundle:?} is accepted, {shard} has {vote:?}"));
            }
        }
        self.same(bundle)
    }

    /// What the log of the group decides, as far as a member knows that it is committed.
    pub fn log(&mut self, member: &Member, txns: &[Txn]) -> Result<(), String> {
        let Some(replica) = &member.replica else { return Ok(()) };
        while self.read < replica.committed() {
            self.read += 1;
            let Some(entry) = replica.log().get(self.read) else { continue };
            match Entry::read(&entry.record) {
                Entry::Started | Entry::Ended(_) => {}
                Entry::Committed(number) => self.decide(number, true, Who::Log)?,
                Entry::GivenUp(number) => self.decide(number, false, Who::Log)?,
                Entry::Decided(below) => {
                    self.seen.marks += u64::from(below > window(entry.epoch));
                    let passed = txns.iter().take_while(|txn| txn.h < below);
                    let passed = (0..passed.count()).filter(|number| !self.is_committed(*number));
                    for number in passed.collect::<Vec<_>>() {
                        self.decide(number, false, Who::Log)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_committed(&self, number: usize) -> bool {
        matches!(self.decided[number], Some((true, _)))
    }

    /// A participant goes on.
    pub fn participant(&mut self, i: usize, participant: &Participant) -> Result<(), String> {
        for (number, stage) in participant.stages.iter().enumerate() {
            if let Stage::Over(committed) = stage {
                self.decide(number, *committed, Who::Participant(i))?;
            }
        }
        Ok(())
    }

    /// A participant crashes.
    pub fn crashes(&mut self, participant: &Participant, members: &[Member]) {
        for (number, stage) in participant.stages.iter().enumerate() {
            let lost = matches!(stage, Stage::ReadVoted(_)) && accepted(members, number) > 0;
            self.seen.lost_votes += u64::from(lost);
        }
    }

    /// A member loses its disk.
    pub fn loses_disk(&mut self, i: usize, members: &[Member]) {
        let most = members.len() / 2;
        let needed = |bundle: &Bundle| {
            let number = Txn::number(bundle.txn);
            let others = members.iter().enumerate().filter(|(other, _)| *other != i);
            let has = |disk: &Disk| disk.accepted.iter().any(|b| Txn::number(b.txn) == number);
            let others = others.filter(|(_, member)| has(&member.disk)).count();
            others == most
        };
        let needed = members[i].disk.accepted.iter().any(needed);
        self.seen.disks += 1;
        self.seen.needed += u64::from(needed);
    }

    /// The faults are over, and all that was to happen has happened: what clients were told
    /// is known to the leader (I4).
    pub fn end(&mut self, leader: &Member) -> Result<(), String> {
        for number in (0..MOST).filter(|number| self.is_committed(*number)) {
            if leader.core.committed & 1 << number == 0 {
                return Err(format!("I4: {number} was committed, and its leader does not know"));
            }
        }
        Ok(())
    }
}
