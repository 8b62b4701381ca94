//! What a site does, by hand: the situations that the essay speaks of.

use super::*;

const AT: Timestamp = Timestamp(7);
const COMMIT: Verdict = Verdict::Commit(AT);

/// Sites of which each knows only what it is told; everything that is said waits here.
struct Sites {
    sites: Vec<Site>,
    said: Vec<(SiteId, SiteId, Say)>,
    gone: Vec<SiteId>,
}

impl Sites {
    /// All participants have voted YES, and the coordinator has said what is to be accepted.
    fn voted(participants: u16) -> Sites {
        Sites::voted_by(Rule::Quorum, participants)
    }

    fn voted_by(rule: Rule, participants: u16) -> Sites {
        let count = participants + 1;
        let waiting = |me| Site::new(SiteId(me), count, Stable::voted(rule));
        let mut sites: Vec<Site> = (0..participants).map(waiting).collect();
        let (coordinator, step) = Site::coordinator(count, rule, AT);
        sites.push(coordinator);
        let mut all = Sites { sites, said: vec![], gone: vec![] };
        all.say(SiteId(participants), step);
        all
    }

    fn say(&mut self, from: SiteId, step: Step) {
        self.said.extend(step.messages.into_iter().map(|(to, say)| (from, to, say)));
    }

    /// Lets all arrive that is said, but for what concerns those who are gone.
    fn settle(&mut self) {
        while !self.said.is_empty() {
            let (from, to, say) = self.said.remove(0);
            if !self.gone.contains(&from) && !self.gone.contains(&to) {
                let step = self.sites[usize::from(to.0)].hear(from, say);
                self.say(to, step);
            }
        }
    }

    fn wait(&mut self, site: u16) {
        let step = self.sites[usize::from(site)].waited();
        self.say(SiteId(site), step);
        self.settle();
    }

    fn decided(&self) -> Vec<Option<Verdict>> {
        self.sites.iter().map(Site::decided).collect()
    }
}

#[test]
fn without_faults_all_commit() {
    for rule in [Rule::Quorum, Rule::TimeOut] {
        for participants in 1..=5 {
            let mut sites = Sites::voted_by(rule, participants);
            sites.settle();
            assert!(sites.decided().iter().all(|decided| *decided == Some(COMMIT)));
        }
    }
}

#[test]
fn who_pre_committed_is_enough_for_the_others_to_commit() {
    let mut sites = Sites::voted(2);
    sites.said.retain(|(_, to, _)| *to == SiteId(0));
    sites.settle();
    sites.gone = vec![SiteId(2)];
    sites.said.clear();
    sites.wait(1);
    assert_eq!(sites.decided()[..2], [Some(COMMIT); 2]);
}

#[test]
fn if_nobody_pre_committed_the_others_abort() {
    let mut sites = Sites::voted(2);
    sites.said.clear();
    sites.gone = vec![SiteId(2)];
    sites.wait(1);
    assert_eq!(sites.decided()[..2], [Some(Verdict::Abort); 2]);
    // The coordinator learns it, although it has pre-committed.
    sites.gone.clear();
    sites.wait(2);
    assert_eq!(sites.decided(), [Some(Verdict::Abort); 3]);
}

#[test]
fn a_minority_waits() {
    let mut sites = Sites::voted(3);
    sites.said.clear();
    sites.gone = vec![SiteId(0), SiteId(3)];
    sites.wait(1);
    assert_eq!(sites.decided(), [None; 4]);
    // Half of them goes on if the first one is among them.
    sites.gone = vec![SiteId(2), SiteId(3)];
    sites.wait(1);
    assert_eq!(sites.decided()[..2], [Some(Verdict::Abort); 2]);
}

#[test]
fn a_participant_alone_goes_on_without_its_coordinator() {
    let mut sites = Sites::voted(1);
    sites.said.clear();
    sites.gone = vec![SiteId(1)];
    sites.wait(0);
    assert_eq!(sites.decided()[0], Some(Verdict::Abort));
}

#[test]
fn who_is_refused_leads_with_a_larger_ballot_next_time() {
    let mut sites = Sites::voted(3);
    sites.said.clear();
    sites.gone = vec![SiteId(0), SiteId(3)];
    // Two are not enough, and promise larger and larger ballots to each other.
    for site in [1, 2, 1, 2, 2] {
        sites.wait(site);
    }
    let elected = sites.sites[1].stable().elected;
    sites.gone = vec![SiteId(2), SiteId(3)];
    sites.wait(0);
    assert_eq!(sites.decided()[0], None, "{elected} was let lead before");
    sites.wait(0);
    assert_eq!(sites.decided()[0], Some(Verdict::Abort));
}

#[test]
fn what_no_site_can_have_said_is_ignored() {
    let mut site = Site::new(SiteId(0), 3, Stable::default());
    let of = |round, site| Ballot { round, site: SiteId(site) };
    for ballot in [of(0, 1), of(u32::MAX, 1), of(3, 3), of(3, 2), of(2 << 20, 1)] {
        assert_eq!(site.hear(SiteId(1), Say::Elect { ballot }), Step::default());
        assert_eq!(site.hear(SiteId(1), Say::Pre { ballot, verdict: COMMIT }), Step::default());
    }
    assert_eq!(site.hear(SiteId(3), Say::Elect { ballot: of(3, 1) }), Step::default());
    let refused = Say::Refused { ballot: of(2, 0), elected: of(2 << 20, 1) };
    site.hear(SiteId(1), refused);
    let first = Say::Elect { ballot: of(2, 0) };
    assert_eq!(site.waited().messages[0], (SiteId(1), first));
}

/// After the last ballot there is nobody can be elected, but nothing else breaks.
#[test]
fn ballots_end() {
    let last = Ballot { round: u32::MAX - 1, site: SiteId(2) };
    let stable = Stable { elected: last, ..Stable::default() };
    assert_eq!(Site::new(SiteId(0), 3, stable).waited(), Step::default());
}

/// Else one that is late costs another election.
#[test]
fn a_leader_that_is_refused_by_one_still_counts_the_others() {
    let (mut site, _) = Site::coordinator(4, Rule::Quorum, AT);
    let ballot = Ballot::first(SiteId(3));
    let elected = Ballot { round: 2, site: SiteId(1) };
    site.hear(SiteId(3), Say::Accepted { ballot });
    site.hear(SiteId(1), Say::Refused { ballot, elected });
    let step = site.hear(SiteId(0), Say::Accepted { ballot });
    assert_eq!(step.decided, Some(COMMIT));
}

/// A promise of one that restarts counts; what was said before it does, too.
#[test]
fn a_restarted_site_keeps_its_promises() {
    let mut site = Site::new(SiteId(0), 3, Stable::default());
    let ballot = Ballot { round: 5, site: SiteId(1) };
    site.hear(SiteId(1), Say::Elect { ballot });
    let mut site = Site::new(SiteId(0), 3, site.stable());
    let stale = Ballot::first(SiteId(2));
    let refused = Say::Refused { ballot: stale, elected: ballot };
    let step = site.hear(SiteId(2), Say::Pre { ballot: stale, verdict: COMMIT });
    assert_eq!(step.messages, [(SiteId(2), refused)]);
    let step = site.waited();
    let own = Ballot { round: 6, site: SiteId(0) };
    assert_eq!(step.messages[0], (SiteId(1), Say::Elect { ballot: own }));
    assert!(step.force);
}

/// By time-outs: all must accept, and who does not is waited for once.
#[test]
fn without_quorums_the_leader_waits_for_all_but_not_for_long() {
    let mut sites = Sites::voted_by(Rule::TimeOut, 3);
    sites.gone = vec![SiteId(2)];
    sites.settle();
    assert_eq!(sites.decided(), [None; 4]);
    sites.wait(3);
    assert_eq!(sites.decided(), [Some(COMMIT), Some(COMMIT), None, Some(COMMIT)]);
}

/// What one of those who are left has accepted, all of them commit, as the paper has it.
#[test]
fn without_quorums_one_that_pre_committed_is_enough_if_who_is_silent_is_dead() {
    for reached in 0..3 {
        let mut sites = Sites::voted_by(Rule::TimeOut, 3);
        sites.said.retain(|(_, to, _)| *to == SiteId(reached));
        sites.settle();
        sites.gone = vec![SiteId(3)];
        for _ in 0..3 {
            sites.wait(1);
        }
        assert_eq!(sites.decided()[..3], [Some(COMMIT); 3]);
    }
}

#[test]
fn without_quorums_who_hears_nobody_decides_alone() {
    let mut sites = Sites::voted_by(Rule::TimeOut, 2);
    sites.said.retain(|(_, to, _)| *to == SiteId(0));
    sites.settle();
    sites.gone = vec![SiteId(0), SiteId(2)];
    for _ in 0..2 {
        sites.wait(1);
    }
    sites.gone = vec![SiteId(1), SiteId(2)];
    for _ in 0..3 {
        sites.wait(0);
    }
    assert_eq!(sites.decided()[..2], [Some(COMMIT), Some(Verdict::Abort)]);
}

/// Else a crash would take back what it has decided on.
#[test]
fn without_quorums_its_own_answer_must_be_durable() {
    let (mut site, _) = Site::coordinator(3, Rule::TimeOut, AT);
    assert_eq!(site.waited(), Step::default());
    site.hear(SiteId(2), Say::Accepted { ballot: Ballot::first(SiteId(2)) });
    assert_eq!(site.waited().decided, Some(COMMIT));
}

/// That somebody is back is no reason to take others for dead.
#[test]
fn to_say_it_again_decides_nothing() {
    let mut sites = Sites::voted_by(Rule::TimeOut, 2);
    sites.gone = vec![SiteId(1)];
    sites.settle();
    let step = sites.sites[2].again();
    let pre = Say::Pre { ballot: Ballot::first(SiteId(2)), verdict: COMMIT };
    assert_eq!((step.decided, step.messages), (None, vec![(SiteId(1), pre)]));
}
