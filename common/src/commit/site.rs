//! One site of a transaction under three-phase commit with quorums.
//!
//! ```text
//!            votes      ┌──────────── the coordinator leads ───────────┐
//!   Waiting ─────────▶ all YES ─ PRE(b1, commit) ─▶ quorum of ACCEPTED ─▶ committed
//!      │                                                   ▲
//!      └ it is silent ─ ELECT(b) ─▶ quorum of STATE ─ PRE(b, …) ┘   any site leads
//! ```
//!
//! | in phase     | on                         | do                                                | next |
//! |--------------|----------------------------|---------------------------------------------------|------|
//! | not decided  | ELECT(b), b > elected      | *force* elected := b; STATE(b, accepted, attempt) | the same |
//! | not decided  | ELECT(b), b = elected      | STATE(b, accepted, attempt)                       | the same |
//! | not decided  | PRE(b, v), b ≥ elected     | *force* Pre(v), attempt := elected := b; ACCEPTED(b) | Pre(v) |
//! | not decided  | ELECT(b), PRE(b), b < elected | REFUSED(b, elected)                            | the same |
//! | decided: v   | ELECT, PRE                 | DECIDED(v)                                        | the same |
//! | not decided  | DECIDED(v)                 | if it leads, DECIDED(v) to all                    | decided: v |
//! | not decided  | FORGOTTEN                  | as DECIDED(abort)                                 | decided: abort |
//! | not decided  | it has waited long enough  | b := above all heard of; *force* elected := b; ELECT(b) to all | electing |
//! | electing     | a quorum of STATE(b)       | *force* Pre(v), attempt := b; PRE(b, v) to all    | proposing |
//! | proposing    | a quorum of ACCEPTED(b)    | DECIDED(v) to all                                 | decided: v |
//! | leading      | ELECT, PRE of a larger ballot | lead no more; answer as above                  | as above |
//! | leading      | it has waited long enough  | say it again to those who are missing; if somebody refused, a new election | the same |
//!
//! Of the states that answer an election, those with the largest attempt count: if they
//! have pre-committed, `v` is commit, at their timestamp; else abort.
//!
//! *A quorum* is a majority of the sites, or half of them if the first participant is
//! among them: of any two, one site is in both. So one participant alone goes on without
//! its coordinator.
//!
//! *Worked example.* `s1`, `s2` and the coordinator, which has sent PRE(b1, commit) and
//! died; only `s1` got it. `s2` elects itself with b2: the states are `s1` Pre(commit) by
//! b1, `s2` Waiting by none. The largest attempt is b1, so `s2` pre-commits, and so does
//! `s1`: two of three, committed. Had `s1` been gone too, `s2` would wait, for it can not
//! know.
//!
//! *Why it is safe.* A decision needs a quorum that accepted one ballot. Each larger one
//! began with a quorum of promises, one of them by a site that had accepted before it
//! promised (else it would have refused); so its leader saw that attempt or a later one,
//! and by induction all of these carry the same verdict. Before PRE(b1, commit) nobody
//! has pre-committed, and it leaves only when all have voted YES.
//!
//! By another [`Rule`] sites decide without quorums: `site/classical.rs`.
//!
//! *Deliberately absent*: votes. Who has not voted yet is no site; asked, it makes sure
//! that it never will, and says DECIDED(abort).
//!
//! Source: Keidar, Dolev, *Increasing the Resilience of Distributed and Replicated
//! Database Systems* (JCSS 1998), E3PC. Departures: ballots are (round, site), so that
//! no number is used twice; the coordinator forces its own PRE(b1) before it leaves, and
//! needs no record before that: one without it has told nobody to pre-commit.

use super::ballot::{Ballot, SiteId};
#[cfg(feature = "mutants")]
use super::mutant::Mutant;
use super::say::{Say, Verdict};
use super::stable::{Phase, Rule, Stable};
use crate::time::Timestamp;

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The stable state has changed: force it. Messages leave when the newest state is
    /// durable, whichever step changed it; also those to the site itself.
    pub force: bool,
    /// What to say to whom.
    pub messages: Vec<(SiteId, Say)>,
    /// The decision is known now.
    pub decided: Option<Verdict>,
}

/// A ballot so many rounds above all that was heard of is none.
const MOST_ROUNDS: u32 = 1 << 20;

/// What one site of one transaction knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    me: SiteId,
    sites: u16,
    stable: Stable,
    /// The largest attempt that was heard of.
    seen: Ballot,
    leading: Option<Leading>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leading {
    ballot: Ballot,
    task: Task,
}

/// Who has accepted what, from which attempt.
type State = (SiteId, Option<Verdict>, Ballot);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Task {
    /// Collecting how far the others are.
    Electing(Vec<State>),
    /// Collecting acceptances.
    Proposing(Verdict, Vec<SiteId>),
}

/// Whether a deliberate bug is switched on.
macro_rules! mutated {
    ($site:expr, $mutant:ident) => {{
        #[cfg(feature = "mutants")]
        {
            $site.mutant == Some(Mutant::$mutant)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}

impl Site {
    /// How many sites there are if so many participants write.
    pub fn count(participants: usize) -> u16 {
        u16::try_from(participants + 1).expect("a cluster has few shards")
    }

    /// A site as its stable state says; the default is that of one that has voted YES.
    pub fn new(me: SiteId, sites: u16, stable: Stable) -> Site {
        assert!(me.0 < sites, "{me} is none of {sites}");
        Site {
            me,
            sites,
            stable,
            // The first one needs no election, so nobody need have said anything of it.
            seen: stable.elected.max(Ballot::first(SiteId(sites - 1))),
            leading: None,
            #[cfg(feature = "mutants")]
            mutant: None,
        }
    }

    /// The coordinator's own, the last of the sites, once all have voted YES: it leads.
    pub fn coordinator(sites: u16, rule: Rule, at: Timestamp) -> (Site, Step) {
        let me = SiteId(sites - 1);
        let mut site = Site::new(me, sites, Stable::voted(rule));
        let mut step = Step::default();
        site.propose(Ballot::first(me), Verdict::Commit(at), &mut step);
        (site, step)
    }

    /// With a deliberate bug.
    #[cfg(feature = "mutants")]
    pub fn mutated(self, mutant: Option<Mutant>) -> Site {
        Site { mutant, ..self }
    }

    /// The same site after a restart, which left this of it.
    pub fn restarted(&self, stable: Stable) -> Site {
        let site = Site::new(self.me, self.sites, stable);
        #[cfg(feature = "mutants")]
        let site = site.mutated(self.mutant);
        site
    }

    /// What must survive a crash.
    pub fn stable(&self) -> Stable {
        self.stable
    }

    /// Which of the sites it is.
    pub fn me(&self) -> SiteId {
        self.me
    }

    /// The attempt with which it leads.
    pub fn leads(&self) -> Option<Ballot> {
        self.leading.as_ref().map(|leading| leading.ballot)
    }

    /// The decision, if it is known.
    pub fn decided(&self) -> Option<Verdict> {
        match self.stable.phase {
            Phase::Decided(verdict) => Some(verdict),
            Phase::Waiting | Phase::Pre(_) => None,
        }
    }

    /// Hears something from a site, perhaps from itself. What that site can not have said
    /// is ignored.
    pub fn hear(&mut self, from: SiteId, say: Say) -> Step {
        let mut step = Step::default();
        if from.0 >= self.sites || !self.is_possible(from, &say) {
            return step;
        }
        match (self.stable.phase, say) {
            (Phase::Decided(verdict), Say::Elect { .. } | Say::Pre { .. }) => {
                step.messages.push((from, Say::Decided { verdict }));
            }
            (Phase::Decided(_), _) => {}
            (_, Say::Elect { ballot }) => self.asked_to_elect(from, ballot, &mut step),
            (_, Say::Pre { ballot, verdict }) => {
                self.asked_to_accept(from, ballot, verdict, &mut step);
            }
            (_, Say::State { ballot, accepted, attempt }) => {
                self.told_state(from, ballot, (accepted, attempt), &mut step);
            }
            (_, Say::Accepted { ballot }) => self.told_accepted(from, ballot, &mut step),
            // Enough of the others may still answer; else there is another election.
            (_, Say::Refused { elected, .. }) => self.saw(elected),
            (_, Say::Decided { verdict }) => self.learn(verdict, &mut step),
            (_, Say::Forgotten) => self.learn(Verdict::Abort, &mut step),
        }
        step
    }

    /// It has waited long enough for a decision. Whoever keeps it waits longer each time, and
    /// not as long as others do.
    pub fn waited(&mut self) -> Step {
        match self.stable.rule {
            Rule::Quorum => self.again(),
            Rule::TimeOut => self.without_the_silent(),
        }
    }

    /// Somebody may have missed something: leads, or says again what it has said as the
    /// leader.
    pub fn again(&mut self) -> Step {
        let mut step = Step::default();
        if self.decided().is_some() {
            return step;
        }
        match &self.leading {
            Some(leading) if leading.ballot >= self.seen => {
                step.messages = leading.again(self.sites);
            }
            Some(_) | None => self.elect(&mut step),
        }
        step
    }

    fn is_possible(&self, from: SiteId, say: &Say) -> bool {
        // Rounds rise by one; whoever leaps would use them up.
        let furthest = self.seen.round.saturating_add(MOST_ROUNDS);
        let is_of = |ballot: &Ballot| ballot.is_of(self.sites) && ballot.round <= furthest;
        match say {
            Say::Elect { ballot } | Say::Pre { ballot, .. } => is_of(ballot) && ballot.site == from,
            Say::Accepted { ballot } => is_of(ballot),
            Say::State { ballot, attempt, .. } => {
                is_of(ballot) && (is_of(attempt) || *attempt == Ballot::NONE)
            }
            Say::Refused { ballot, elected } => is_of(ballot) && is_of(elected),
            Say::Decided { .. } | Say::Forgotten => true,
        }
    }

    fn saw(&mut self, ballot: Ballot) {
        self.seen = self.seen.max(ballot);
    }

    /// Lets another attempt lead.
    fn promise(&mut self, ballot: Ballot) {
        self.saw(ballot);
        self.stable.elected = ballot;
        if self.leads().is_some_and(|own| own < ballot) {
            self.leading = None;
        }
    }

    fn is_stale(&self, ballot: Ballot) -> bool {
        ballot < self.stable.elected && !mutated!(self, StaleBallotAccepted)
    }

    fn asked_to_elect(&mut self, from: SiteId, ballot: Ballot, step: &mut Step) {
        let Stable { attempt, elected, .. } = self.stable;
        if self.is_stale(ballot) {
            step.messages.push((from, Say::Refused { ballot, elected }));
            return;
        }
        if ballot != elected {
            self.promise(ballot);
            step.force = !mutated!(self, PromiseUnforced);
        }
        step.messages.push((from, self.state(ballot, attempt)));
    }

    fn asked_to_accept(&mut self, from: SiteId, ballot: Ballot, verdict: Verdict, step: &mut Step) {
        if self.is_stale(ballot) {
            let elected = self.stable.elected;
            step.messages.push((from, Say::Refused { ballot, elected }));
            return;
        }
        self.accept(ballot, verdict, step);
        step.messages.push((from, Say::Accepted { ballot }));
    }

    fn accept(&mut self, ballot: Ballot, verdict: Verdict, step: &mut Step) {
        let before = self.stable;
        self.promise(ballot);
        self.stable.attempt = ballot;
        self.stable.phase = Phase::Pre(verdict);
        step.force = self.stable != before && !mutated!(self, AcceptedUnforced);
    }

    fn elect(&mut self, step: &mut Step) {
        let ballot = self.seen.max(self.stable.elected).next(self.me);
        if !ballot.is_of(self.sites) {
            return;
        }
        let attempt = self.stable.attempt;
        self.promise(ballot);
        step.force = !mutated!(self, BallotReused);
        self.leading = Some(Leading { ballot, task: Task::Electing(Vec::new()) });
        step.messages.extend(self.others().map(|other| (other, Say::Elect { ballot })));
        step.messages.push((self.me, self.state(ballot, attempt)));
    }

    fn state(&self, ballot: Ballot, attempt: Ballot) -> Say {
        let accepted = match self.stable.phase {
            Phase::Pre(verdict) => Some(verdict),
            Phase::Waiting | Phase::Decided(_) => None,
        };
        Say::State { ballot, accepted, attempt }
    }

    fn told_state(
        &mut self,
        from: SiteId,
        ballot: Ballot,
        (accepted, attempt): (Option<Verdict>, Ballot),
        step: &mut Step,
    ) {
        if self.leads() != Some(ballot) {
            return;
        }
        let Some(Leading { task: Task::Electing(states), .. }) = &mut self.leading else { return };
        if states.iter().all(|(known, ..)| *known != from) {
            states.push((from, accepted, attempt));
        }
        let states = states.clone();
        if self.is_enough(states.iter().map(|(site, ..)| *site)) {
            self.conclude(ballot, &states, step);
        }
    }

    /// It has heard how far the others are.
    fn conclude(&mut self, ballot: Ballot, states: &[State], step: &mut Step) {
        match (self.stable.rule, self.verdict_of(states)) {
            (Rule::Quorum, verdict) | (Rule::TimeOut, verdict @ Verdict::Commit(_)) => {
                self.propose(ballot, verdict, step);
            }
            (Rule::TimeOut, Verdict::Abort) => self.decide_for_all(Verdict::Abort, step),
        }
    }

    /// What those say who know the largest attempt.
    fn verdict_of(&self, states: &[State]) -> Verdict {
        let last = states.iter().map(|(.., attempt)| *attempt).max().unwrap_or(Ballot::NONE);
        let counts = |attempt: Ballot| attempt == last || mutated!(self, AnyPreCommitCounts);
        let pre_committed = states.iter().find_map(|(_, accepted, attempt)| match accepted {
            Some(verdict @ Verdict::Commit(_)) if counts(*attempt) => Some(*verdict),
            Some(Verdict::Commit(_) | Verdict::Abort) | None => None,
        });
        pre_committed.filter(|_| !mutated!(self, AlwaysPreAborts)).unwrap_or(Verdict::Abort)
    }

    fn propose(&mut self, ballot: Ballot, verdict: Verdict, step: &mut Step) {
        self.accept(ballot, verdict, step);
        self.leading = Some(Leading { ballot, task: Task::Proposing(verdict, Vec::new()) });
        step.messages.extend(self.others().map(|other| (other, Say::Pre { ballot, verdict })));
        step.messages.push((self.me, Say::Accepted { ballot }));
    }

    fn told_accepted(&mut self, from: SiteId, ballot: Ballot, step: &mut Step) {
        let Some(leading) = self.leading.as_mut().filter(|leading| leading.ballot == ballot) else {
            return;
        };
        let Task::Proposing(verdict, accepted) = &mut leading.task else { return };
        if !accepted.contains(&from) {
            accepted.push(from);
        }
        let (verdict, accepted) = (*verdict, accepted.clone());
        if self.is_enough(accepted.into_iter()) || mutated!(self, FirstAcceptanceDecides) {
            self.decide_for_all(verdict, step);
        }
    }

    /// Somebody else knows.
    fn learn(&mut self, verdict: Verdict, step: &mut Step) {
        match self.leading {
            Some(_) => self.decide_for_all(verdict, step),
            None => self.decide(verdict, step),
        }
    }

    fn decide_for_all(&mut self, verdict: Verdict, step: &mut Step) {
        step.messages.extend(self.others().map(|other| (other, Say::Decided { verdict })));
        self.decide(verdict, step);
    }

    fn decide(&mut self, verdict: Verdict, step: &mut Step) {
        self.stable.phase = Phase::Decided(verdict);
        self.leading = None;
        step.decided = Some(verdict);
    }

    fn others(&self) -> impl Iterator<Item = SiteId> + use<> {
        let me = self.me;
        (0..self.sites).map(SiteId).filter(move |site| *site != me)
    }

    /// Whether nobody else need be heard, if none of these is there twice.
    fn is_enough(&self, members: impl Iterator<Item = SiteId>) -> bool {
        match self.stable.rule {
            Rule::Quorum => self.is_quorum(members),
            Rule::TimeOut => members.count() == usize::from(self.sites),
        }
    }

    /// Whether these, none of them twice, are a majority; half of all are if the first
    /// participant is among them.
    fn is_quorum(&self, members: impl Iterator<Item = SiteId>) -> bool {
        let (mut count, mut casting) = (0_u32, 0_u32);
        for member in members {
            count += 1;
            casting |= u32::from(member == SiteId(0));
        }
        2 * count + casting > u32::from(self.sites) || mutated!(self, QuorumOfOne)
    }
}

impl Leading {
    /// What to say again to those who have not answered.
    fn again(&self, sites: u16) -> Vec<(SiteId, Say)> {
        let ballot = self.ballot;
        let all = (0..sites).map(SiteId).filter(|site| *site != ballot.site);
        match &self.task {
            Task::Electing(states) => {
                let missing = all.filter(|site| states.iter().all(|(known, ..)| known != site));
                missing.map(|site| (site, Say::Elect { ballot })).collect()
            }
            Task::Proposing(verdict, accepted) => {
                let missing = all.filter(|site| !accepted.contains(site));
                let pre = Say::Pre { ballot, verdict: *verdict };
                missing.map(|site| (site, pre)).collect()
            }
        }
    }
}

mod classical;
#[cfg(test)]
mod tests;
