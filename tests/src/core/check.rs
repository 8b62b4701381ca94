//! What must hold in every schedule, and what must have been reached in some.

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
#[derive(Debug, Default)]
pub struct Check {
    /// The first decision, and by whom.
    decided: Option<(Verdict, SiteId)>,
    /// What each site has promised durably.
    promised: Vec<Stable>,
    /// What was accepted durably, by attempt.
    accepted: Vec<(Ballot, Verdict)>,
    /// Attempts that others have heard of, and in which of its lives the leader made it.
    led: Vec<(Ballot, u32)>,
    /// What this schedule has reached.
    pub seen: Seen,
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
            Some((before, _)) if before == verdict => return Ok(()),
            Some((before, other)) => {
                return Err(format!("I1: {other} decided {before:?}, {site} decided {verdict:?}"));
            }
            None => self.decided = Some((verdict, site)),
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
    pub fn leads(&mut self, ballot: Ballot, life: u32) -> Result<(), String> {
        match self.led.iter().find(|(known, _)| *known == ballot) {
            Some((_, before)) if *before != life => {
                return Err(format!("I11: {ballot} is used a second time"));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if ballot.round > 1 {
            self.seen.elections += 1;
            self.seen.again += u64::from(self.was_elected());
        }
        self.led.push((ballot, life));
        Ok(())
    }

    fn was_elected(&self) -> bool {
        self.led.iter().any(|(ballot, _)| ballot.round > 1)
    }

    /// Something has become durable (I11, I12).
    pub fn durable(&mut self, site: SiteId, stable: Stable) -> Result<(), String> {
        let before = std::mem::replace(&mut self.promised[usize::from(site.0)], stable);
        if stable.elected < before.elected || stable.attempt < before.attempt {
            return Err(format!("I11: {site} goes back from {before:?} to {stable:?}"));
        }
        let Phase::Pre(verdict) = stable.phase else { return Ok(()) };
        match self.accepted.iter().find(|(ballot, _)| *ballot == stable.attempt) {
            Some((_, other)) if *other != verdict => {
                let ballot = stable.attempt;
                Err(format!("I12: {ballot} was accepted as {other:?} and as {verdict:?}"))
            }
            Some(_) => Ok(()),
            None => {
                self.accepted.push((stable.attempt, verdict));
                Ok(())
            }
        }
    }

    /// The faults are over, and all that was to happen has happened (I25).
    pub fn end(&mut self, nodes: &[Node]) -> Result<(), String> {
        for (i, node) in nodes.iter().enumerate() {
            if node.up && matches!(node.life, Life::Site(_) | Life::Collecting(_)) {
                return Err(format!("I25: site {i} never learns the decision"));
            }
        }
        let voted = nodes[..nodes.len() - 1].iter().all(|node| node.disk.voted);
        let elected = self.was_elected();
        match self.decided {
            Some((Verdict::Commit(_), _)) => {
                self.seen.committed += 1;
                self.seen.rescued += u64::from(elected);
            }
            Some((Verdict::Abort, _)) => self.seen.given_up += u64::from(elected && voted),
            None => {}
        }
        Ok(())
    }
}
