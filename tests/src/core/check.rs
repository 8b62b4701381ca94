//! What must hold in every schedule, and what must have been reached in some.

use std::collections::BTreeMap;

use synod_common::commit::{Ballot, Phase, SiteId, Stable, Verdict};

use super::node::{AT, Life, Node};

/// How often what was reached. A run of many schedules that never reached one of these
/// says nothing about it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Elections.
    pub elections: u64,
    /// Of those, while another one led or had led: recoveries of a recovery.
    pub again: u64,
    /// Transactions that committed.
    pub committed: u64,
    /// Of those, by an election.
    pub rescued: u64,
    /// Transactions that an election aborted after all had voted YES.
    pub given_up: u64,
    /// Crashes that lost something that was written.
    pub lost: u64,
    /// Schedules that ended without the coordinator.
    pub orphaned: u64,
    /// Of those, with no more than half of the sites.
    pub halves: u64,
}

impl Seen {
    /// Each with its name.
    pub fn all(&self) -> [(&'static str, u64); 8] {
        [
            ("elections", self.elections),
            ("elections after elections", self.again),
            ("commits", self.committed),
            ("commits by an election", self.rescued),
            ("aborts by an election", self.given_up),
            ("crashes that lost something", self.lost),
            ("ends without the coordinator", self.orphaned),
            ("ends with half of the sites", self.halves),
        ]
    }
}

/// The judge of one schedule, who sees everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Check {
    /// The first decision.
    decided: Option<Verdict>,
    /// What each site has promised durably.
    promised: Vec<Stable>,
    /// What was accepted durably, by attempt.
    accepted: BTreeMap<Ballot, Verdict>,
    /// Attempts that others have heard of, and whether the leader has crashed since.
    led: BTreeMap<Ballot, bool>,
}

impl Check {
    /// Before anything happened.
    pub fn new(sites: u16) -> Check {
        let promised = vec![Stable::default(); usize::from(sites)];
        Check { promised, ..Check::default() }
    }

    /// Something happened at a server.
    pub fn node(&mut self, site: SiteId, nodes: &[Node]) -> Result<(), String> {
        let node = &nodes[usize::from(site.0)];
        match node.life {
            Life::Over(verdict) => self.decision(site, verdict, nodes),
            Life::Never | Life::Idle | Life::Collecting(_) | Life::Site(_) => Ok(()),
        }
    }

    /// I1, I2, I3.
    fn decision(&mut self, site: SiteId, verdict: Verdict, nodes: &[Node]) -> Result<(), String> {
        match self.decided {
            Some(before) if before == verdict => return Ok(()),
            Some(before) => {
                return Err(format!("I1: it was {before:?}, and {site} decided {verdict:?}"));
            }
            None => self.decided = Some(verdict),
        }
        let Verdict::Commit(at) = verdict else { return Ok(()) };
        if at != AT {
            return Err(format!("I3: {site} commits at {at}"));
        }
        let participants = &nodes[..nodes.len() - 1];
        match participants.iter().position(|node| !node.disk.voted) {
            Some(other) => Err(format!("I2: {site} commits, and site {other} has not voted")),
            None => Ok(()),
        }
    }

    /// Others hear that a site leads (I11).
    pub fn leads(&mut self, ballot: Ballot) -> Result<(), String> {
        match self.led.entry(ballot).or_default() {
            true => Err(format!("I11: {ballot} is used a second time")),
            false => Ok(()),
        }
    }

    /// A site has crashed: what it led it leads no more.
    pub fn crashed(&mut self, site: SiteId) {
        let own = self.led.iter_mut().filter(|(ballot, _)| ballot.site == site);
        own.for_each(|(_, crashed)| *crashed = true);
    }

    /// Something has become durable (I11, I12).
    pub fn durable(&mut self, site: SiteId, stable: Stable) -> Result<(), String> {
        let before = std::mem::replace(&mut self.promised[usize::from(site.0)], stable);
        if stable.elected < before.elected || stable.attempt < before.attempt {
            return Err(format!("I11: {site} goes back from {before:?} to {stable:?}"));
        }
        let Phase::Pre(verdict) = stable.phase else { return Ok(()) };
        let ballot = stable.attempt;
        match self.accepted.entry(ballot).or_insert(verdict) {
            other if *other != verdict => {
                Err(format!("I12: {ballot} was accepted as {other:?} and as {verdict:?}"))
            }
            _ => Ok(()),
        }
    }

    /// The faults are over, and all that was to happen has happened (I25).
    pub fn end(&self, nodes: &[Node]) -> Result<(), String> {
        match nodes.iter().position(Node::is_undecided) {
            Some(site) => Err(format!("I25: site {site} never learns the decision")),
            None => Ok(()),
        }
    }

    /// What was reached, as far as the judge knows.
    pub fn count(&self, nodes: &[Node], seen: &mut Seen) {
        let voted = nodes[..nodes.len() - 1].iter().all(|node| node.disk.voted);
        let elections = self.led.keys().filter(|ballot| ballot.round > 1).count() as u64;
        let committed = matches!(self.decided, Some(Verdict::Commit(_)));
        let aborted = matches!(self.decided, Some(Verdict::Abort));
        seen.elections += elections;
        seen.again += elections.saturating_sub(1);
        seen.committed += u64::from(committed);
        seen.rescued += u64::from(committed && elections > 0);
        seen.given_up += u64::from(aborted && elections > 0 && voted);
    }
}
