//! Three-phase commit, seen from the coordinator: it leads, and what is left of it leads
//! on after a restart.
//!
//! The sites are `s1`, `s2` and the coordinator; any two of them are a quorum.

use synod_common::commit::{Ballot, Say, SiteId, Verdict};
use synod_common::message::SiteMessage;
use synod_common::message::bulk::List;
use synod_common::node::decode;
use synod_coordinator::Record;

use super::*;

#[path = "classical.rs"]
mod classical;

/// The coordinator's first attempt, which needs no election.
const FIRST: Ballot = Ballot { round: 1, site: SiteId(2) };

impl World {
    /// A commit of both shards in three phases, on which nobody has voted.
    fn begin(&mut self, sequence: u64) -> (TxnId, Timestamp) {
        let txn = TxnId { session: self.session(), sequence };
        self.commit_in(Protocol::ThreePhase, txn, &[1, 2], &[]);
        (txn, self.h(txn))
    }

    fn vote(&mut self, shard: u16, txn: TxnId, vote: Vote) {
        self.hear(shard, CommitMessage::Vote { txn, vote });
    }

    /// All have voted YES; the record of it is not durable.
    fn voted() -> (World, TxnId, Timestamp) {
        let mut world = World::joined();
        let (txn, at) = world.all_vote(1);
        (world, txn, at)
    }

    fn all_vote(&mut self, sequence: u64) -> (TxnId, Timestamp) {
        let (txn, h) = self.begin(sequence);
        for shard in [1, 2] {
            self.vote(shard, txn, Vote::Yes(h));
        }
        (txn, h)
    }

    /// All were asked to accept it.
    fn pre_committing() -> (World, TxnId, Timestamp) {
        let (mut world, txn, at) = World::voted();
        world.sync();
        (world, txn, at)
    }

    /// Also told to all; not acknowledged.
    fn committing() -> (World, TxnId, Timestamp) {
        let (mut world, txn, at) = World::pre_committing();
        world.site(1, txn, Say::Accepted { ballot: FIRST });
        world.sync();
        (world, txn, at)
    }

    fn site(&mut self, shard: u16, txn: TxnId, say: Say) {
        self.hear(shard, SiteMessage { txn, h: Timestamp::ZERO, say });
    }

    /// What it has said as a site.
    fn said(&self) -> Vec<(u16, Say)> {
        let said = self.sent.iter().filter_map(|(to, message)| match (to, message) {
            (Peer::Shard(shard), Message::Site(SiteMessage { say, .. })) => Some((shard.0, *say)),
            _ => None,
        });
        said.collect()
    }

    /// With which attempt it asks `s1` and `s2` to let it lead.
    fn elects(&self) -> Ballot {
        match self.said()[..] {
            [(1, Say::Elect { ballot }), (2, Say::Elect { ballot: same })] if ballot == same => {
                ballot
            }
            ref other => panic!("{other:?}"),
        }
    }

    /// What shards were told of the outcome.
    fn decisions(&self) -> Vec<(u16, Decision)> {
        let decisions = self.sent.iter().filter_map(|(to, message)| match (to, message) {
            (Peer::Shard(shard), Message::Commit(CommitMessage::Decide { decision, .. })) => {
                Some((shard.0, *decision))
            }
            _ => None,
        });
        decisions.collect()
    }

    fn join(&mut self, shard: u16) {
        let (cluster, epoch) = (CLUSTER, Epoch(2));
        let join = CommitMessage::Join { cluster, epoch, boot: false, nonce: 7, remembered: 0 };
        self.hear(shard, join);
    }

    /// Lets the others wait for it once more.
    fn waits(&mut self) {
        self.after_ms(600);
        self.event(Event::Wake);
        self.sync();
    }

    /// Whether shards hear that nobody need be in doubt about it.
    fn is_settled(&mut self, txn: TxnId, h: Timestamp) -> bool {
        self.after_ms(600);
        self.event(Event::Wake);
        let told = self.sent.iter().rev().find_map(|(_, message)| match message {
            Message::Commit(CommitMessage::Settled { below, open, .. }) => Some((*below, open)),
            _ => None,
        });
        let (below, open) = told.expect("they are told");
        h < below && List::<TxnId>::read(open).all(|other| other.unwrap() != txn)
    }

    /// A checkpoint begins behind all that is durable.
    pub(super) fn write_checkpoint(&mut self) {
        self.sync();
        let txn = first(self.session());
        self.commit(txn, &[1]);
        let vote = Vote::Yes(self.h(txn));
        let before = self.durable as u64;
        self.hear(1, CommitMessage::OnePhaseDone { txn, vote });
        let start = self.checkpoint.as_ref().map(|(start, _)| *start);
        assert_eq!(start, Some(Lsn(before + 1)), "the log before it is not needed");
        self.sync();
    }
}

fn aborted(reason: Reason) -> ClientReply {
    ClientReply::Outcome(Outcome::Aborted(reason))
}

const UNDECIDED: ClientReply = ClientReply::Outcome(Outcome::Undecided);

fn commit(at: Timestamp) -> Decision {
    Decision::Commit(at)
}

#[test]
fn nobody_is_asked_to_accept_before_it_has_accepted_itself_durably() {
    let (mut world, txn, at) = World::voted();
    assert_eq!(world.said(), []);
    world.sync();
    let pre = Say::Pre { ballot: FIRST, verdict: Verdict::Commit(at) };
    assert_eq!(world.said(), [(1, pre), (2, pre)]);
    // That is no decision.
    assert_eq!((world.told(), world.decisions()), (vec![], vec![]));
    assert_eq!(world.outcome(txn), Some(UNDECIDED));
}

#[test]
fn a_quorum_of_two_decides_and_all_are_told_at_once() {
    for first_to_accept in [1, 2] {
        let (mut world, txn, at) = World::pre_committing();
        world.site(first_to_accept, txn, Say::Accepted { ballot: FIRST });
        assert_eq!(world.told(), [&committed(at)]);
        assert_eq!(world.decisions(), [(1, commit(at)), (2, commit(at))]);
        world.hear(1, CommitMessage::Ack { txns: vec![txn] });
        assert!(world.commit_of(txn).is_some());
        world.hear(2, CommitMessage::Ack { txns: vec![txn] });
        assert_eq!(world.commit_of(txn), None);
        world.sync();
        let mut world = world.crash();
        assert_eq!(world.commit_of(txn), None);
        assert_eq!(world.outcome(txn), Some(committed(at)));
    }
}

/// One participant is no quorum, however often it says so.
#[test]
fn its_own_acceptance_counts_only_when_it_is_durable() {
    let (mut world, txn, at) = World::voted();
    world.site(1, txn, Say::Accepted { ballot: FIRST });
    world.site(1, txn, Say::Accepted { ballot: FIRST });
    // The log is durable a little further, but not so far.
    world.event(Event::Durable(Lsn(world.log.len() as u64 - 1)));
    assert_eq!((world.told(), world.decisions()), (vec![], vec![]));
    world.sync();
    // It has asked for nothing before: whoever accepted was asked by another coordinator.
    assert_eq!(world.told(), [] as [&ClientReply; 0]);
    world.site(1, txn, Say::Accepted { ballot: FIRST });
    assert_eq!(world.told(), [&committed(at)]);
}

/// To have accepted another attempt does not count.
#[test]
fn who_has_not_accepted_is_asked_again_and_then_told_again() {
    let (mut world, txn, at) = World::pre_committing();
    world.site(1, txn, Say::Accepted { ballot: Ballot { round: 2, ..FIRST } });
    world.sent.clear();
    world.waits();
    let pre = Say::Pre { ballot: FIRST, verdict: Verdict::Commit(at) };
    assert_eq!(world.said(), [(1, pre), (2, pre)]);
    world.site(2, txn, Say::Accepted { ballot: FIRST });
    world.hear(2, CommitMessage::Ack { txns: vec![txn] });
    world.sent.clear();
    world.waits();
    assert_eq!(world.decisions(), [(1, commit(at))]);
}

#[test]
fn after_a_restart_it_is_undecided_and_leads_them_to_commit() {
    let (world, txn, at) = World::pre_committing();
    let mut world = world.crash();
    assert_eq!(world.outcome(txn), Some(UNDECIDED));
    world.join(1);
    assert_eq!(world.said(), [], "its attempt is not durable");
    world.sync();
    let ballot = world.elects();
    assert!(ballot > FIRST);
    world.sent.clear();
    world.join(2);
    assert!(world.said().contains(&(2, Say::Elect { ballot })), "{:?}", world.said());
    // That both shards have joined is no reason to presume anything.
    assert_eq!(world.outcome(txn), Some(UNDECIDED));
    world.hear(2, CommitMessage::Inquire { txn });
    assert_eq!(world.decisions(), []);
    world.sent.clear();
    world.site(2, txn, Say::State { ballot, accepted: None, attempt: Ballot::NONE });
    assert_eq!(world.said(), [], "its acceptance is not durable");
    world.sync();
    let pre = Say::Pre { ballot, verdict: Verdict::Commit(at) };
    assert_eq!(world.said(), [(1, pre), (2, pre)]);
    world.site(1, txn, Say::Accepted { ballot });
    assert_eq!(world.decisions(), [(1, commit(at)), (2, commit(at))]);
    assert_eq!(world.outcome(txn), Some(committed(at)));
}

#[test]
fn after_a_restart_it_follows_who_has_accepted_a_later_attempt() {
    let (world, txn, _) = World::pre_committing();
    let mut world = world.crash();
    world.join(1);
    world.sync();
    let ballot = world.elects();
    let attempt = Ballot { round: 2, site: SiteId(0) };
    world.site(1, txn, Say::State { ballot, accepted: Some(Verdict::Abort), attempt });
    world.sync();
    world.site(2, txn, Say::Accepted { ballot });
    assert_eq!(world.decisions(), [(1, Decision::Abort), (2, Decision::Abort)]);
    assert_eq!(world.commit_of(txn), None);
}

#[test]
fn what_the_others_have_decided_without_it_is_the_outcome() {
    let (world, txn, _) = World::pre_committing();
    let mut world = world.crash();
    for shard in [1, 2, 3] {
        world.join(shard);
    }
    world.site(1, txn, Say::Decided { verdict: Verdict::Abort });
    assert_eq!(world.decisions(), [(1, Decision::Abort), (2, Decision::Abort)]);
    assert_eq!(world.outcome(txn), Some(aborted(Reason::Presumed)));
    world.sync();
    let mut world = world.crash();
    assert_eq!(world.commit_of(txn), None);
}

#[test]
fn a_client_that_still_waits_hears_that_the_others_gave_it_up() {
    let (mut world, txn, _) = World::pre_committing();
    world.site(1, txn, Say::Decided { verdict: Verdict::Abort });
    assert_eq!(world.told(), [&aborted(Reason::Abandoned)]);
    assert_eq!(world.outcome(txn), Some(aborted(Reason::Abandoned)));
}

#[test]
fn without_its_own_record_it_presumes_abort() {
    let (world, txn, _) = World::voted();
    let mut world = world.crash();
    world.join_all(Epoch(2));
    let elect = Say::Elect { ballot: Ballot { round: 2, site: SiteId(0) } };
    world.site(1, txn, elect);
    world.hear(2, CommitMessage::Inquire { txn });
    assert_eq!(world.decisions(), [(1, Decision::Forgotten), (2, Decision::Forgotten)]);
    assert_eq!(world.said(), []);
    assert_eq!(world.outcome(txn), Some(aborted(Reason::Presumed)));
}

/// It is missed, and nobody can have accepted anything: that is the quickest end.
#[test]
fn a_site_that_leads_while_votes_are_missing_aborts_it() {
    let ballot = Ballot { round: 2, site: SiteId(0) };
    for say in [Say::Elect { ballot }, Say::Pre { ballot, verdict: Verdict::Abort }] {
        let mut world = World::joined();
        let (txn, h) = world.begin(1);
        world.vote(1, txn, Vote::Yes(h));
        // An answer to nothing says nothing.
        world.site(1, txn, Say::Accepted { ballot });
        assert_eq!(world.told(), Vec::<&ClientReply>::new());
        world.site(1, txn, say);
        assert_eq!(world.told(), [&aborted(Reason::Abandoned)]);
        let mut decisions = world.decisions();
        decisions.sort_by_key(|(shard, _)| *shard);
        assert_eq!(decisions, [(1, Decision::Abort), (2, Decision::Abort)]);
        // A vote that comes later does not change that.
        world.vote(2, txn, Vote::Yes(h));
        assert_eq!(world.outcome(txn), Some(aborted(Reason::Abandoned)));
    }
}

#[test]
fn a_shard_that_is_no_site_changes_nothing() {
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit_in(Protocol::ThreePhase, txn, &[1], &[2]);
    let h = world.h(txn);
    let ballot = Ballot { round: 2, site: SiteId(0) };
    let says = [
        Say::Elect { ballot },
        Say::Pre { ballot, verdict: Verdict::Abort },
        Say::Decided { verdict: Verdict::Abort },
    ];
    for say in says {
        world.site(2, txn, say);
    }
    assert_eq!((world.told(), world.decisions(), world.said()), (vec![], vec![], vec![]));
    world.vote(1, txn, Vote::Yes(h));
    world.vote(2, txn, Vote::Read(h));
    world.sync();
    world.sent.clear();
    for say in says {
        world.site(2, txn, say);
    }
    assert_eq!((world.told(), world.decisions(), world.said()), (vec![], vec![], vec![]));
}

#[test]
fn an_elected_site_gets_its_promise_when_that_is_durable() {
    let (mut world, txn, at) = World::pre_committing();
    world.sent.clear();
    let ballot = Ballot { round: 2, site: SiteId(0) };
    world.site(1, txn, Say::Elect { ballot });
    assert_eq!(world.said(), []);
    world.sync();
    let accepted = Some(Verdict::Commit(at));
    assert_eq!(world.said(), [(1, Say::State { ballot, accepted, attempt: FIRST })]);
    // It leads no more, and refuses whoever comes too late, also after a restart.
    world.site(2, txn, Say::Accepted { ballot: FIRST });
    assert_eq!(world.decisions(), []);
    let mut world = world.crash();
    let late = Ballot { round: 1, site: SiteId(1) };
    world.site(2, txn, Say::Elect { ballot: late });
    assert_eq!(world.said(), [(2, Say::Refused { ballot: late, elected: ballot })]);
}

#[test]
fn it_is_settled_when_its_end_is_durable() {
    is_settled_at_its_end(settings());
}

/// Rare in the simulator, so it is shown here that it would be noticed.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "the end is not durable")]
fn one_that_is_settled_before_that_is_noticed() {
    let mutant = Some(synod_coordinator::Mutant::SettledBeforeEnd);
    is_settled_at_its_end(Settings { mutant, ..settings() });
}

fn is_settled_at_its_end(settings: Settings) {
    let mut world = World::joined_with(settings);
    let (txn, h) = world.all_vote(1);
    world.sync();
    world.site(1, txn, Say::Accepted { ballot: FIRST });
    for shard in [1, 2] {
        assert!(!world.is_settled(txn, h));
        world.hear(shard, CommitMessage::Ack { txns: vec![txn] });
    }
    assert!(!world.is_settled(txn, h), "the end is not durable");
    world.sync();
    assert!(world.is_settled(txn, h));
}

#[test]
fn it_is_not_settled_by_a_restart() {
    for is_committed in [false, true] {
        let (world, txn, h) =
            if is_committed { World::committing() } else { World::pre_committing() };
        let mut world = world.crash();
        world.join_all(Epoch(2));
        assert!(!world.is_settled(txn, h));
        if !is_committed {
            world.site(1, txn, Say::Decided { verdict: Verdict::Commit(h) });
        }
        for shard in [1, 2] {
            assert!(!world.is_settled(txn, h));
            world.hear(shard, CommitMessage::Ack { txns: vec![txn] });
        }
        assert!(!world.is_settled(txn, h), "the end is not durable");
        world.sync();
        assert!(world.is_settled(txn, h));
    }
}

/// But not before that is durable: the next leader may have to settle it once more.
#[test]
fn what_was_aborted_is_settled() {
    let (world, txn, h) = World::pre_committing();
    let mut world = world.crash();
    world.join_all(Epoch(2));
    world.site(1, txn, Say::Decided { verdict: Verdict::Abort });
    assert!(!world.is_settled(txn, h));
    world.sync();
    assert!(world.is_settled(txn, h));
}

#[test]
fn a_checkpoint_keeps_what_is_open_and_not_settled() {
    let settings = || Settings { checkpoint_bytes: 1, ..settings() };
    for is_committed in [false, true] {
        let mut world = World::joined_with(settings());
        let (txn, at) = world.all_vote(1);
        world.sync();
        if is_committed {
            world.site(1, txn, Say::Accepted { ballot: FIRST });
        }
        world.write_checkpoint();
        let mut world = world.crash();
        let expected = if is_committed { committed(at) } else { UNDECIDED };
        assert_eq!(world.outcome(txn), Some(expected));
        assert_eq!(world.commit_of(txn).map(|commit| commit.protocol), Some(Protocol::ThreePhase));
        world.join(1);
        world.join(2);
        world.sync();
        if is_committed {
            assert_eq!(world.decisions(), [(1, commit(at)), (2, commit(at))]);
        } else {
            world.site(1, txn, Say::Decided { verdict: Verdict::Commit(at) });
        }
        assert!(!world.is_settled(txn, at));
        for shard in [1, 2] {
            world.hear(shard, CommitMessage::Ack { txns: vec![txn] });
        }
        world.sync();
        assert!(world.is_settled(txn, at));
    }
}

/// One dead participant keeps back nothing but what it has not acknowledged.
#[test]
fn others_go_on_when_one_does_not_acknowledge() {
    let (mut world, txn, h) = World::committing();
    let session = world.session();
    let next = first(session);
    world.commit(next, &[1, 2]);
    let low_water = world.sent.iter().rev().find_map(|(_, message)| match message {
        Message::Commit(CommitMessage::Prepare { low_water, .. }) => Some(*low_water),
        _ => None,
    });
    assert!(low_water.expect("it is prepared") > h);
    assert!(!world.is_settled(txn, h));
}

/// Its record may stand in the checkpoint only.
#[test]
fn what_it_knew_before_a_restart_is_written_again() {
    let (world, txn, _) = World::pre_committing();
    let before = world.durable;
    let world = world.crash();
    let again = world.log[before..].iter().any(|record| {
        matches!(decode("a record", record), Ok(Record::Site { txn: of, .. }) if of == txn)
    });
    assert!(again);
}

/// A promise that stands in a checkpoint only counts like any other.
#[test]
fn a_checkpoint_keeps_what_was_promised() {
    let mut world = World::joined_with(Settings { checkpoint_bytes: 1, ..settings() });
    let (txn, _) = world.all_vote(1);
    let ballot = Ballot { round: 2, site: SiteId(0) };
    world.site(1, txn, Say::Elect { ballot });
    world.write_checkpoint();
    let mut world = world.crash();
    let late = Ballot { round: 1, site: SiteId(1) };
    world.site(2, txn, Say::Elect { ballot: late });
    assert_eq!(world.said(), [(2, Say::Refused { ballot: late, elected: ballot })]);
}

#[test]
fn what_only_reads_is_committed_as_in_two_phases() {
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit_in(Protocol::ThreePhase, txn, &[], &[1, 2]);
    assert_eq!(world.commit_of(txn).map(|commit| commit.protocol), Some(Protocol::TwoPhase));
    let h = world.h(txn);
    for shard in [1, 2] {
        world.vote(shard, txn, Vote::Read(h));
    }
    assert_eq!(world.told(), Vec::<&ClientReply>::new());
    world.sync();
    assert_eq!(world.told(), [&committed(h)]);
    assert_eq!(world.said(), []);
    assert_eq!(world.commit_of(txn), None);
}

#[test]
fn who_only_reads_beside_writers_is_released_and_no_site() {
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit_in(Protocol::ThreePhase, txn, &[2, 3], &[1]);
    let told = world.sent.iter().filter_map(|(_, message)| match message {
        Message::Commit(CommitMessage::Prepare { participants, terms, .. }) => {
            Some((&participants[..], terms.protocol))
        }
        _ => None,
    });
    let sites = (&[ShardId(2), ShardId(3)][..], Protocol::ThreePhase);
    assert_eq!(told.collect::<Vec<_>>(), [sites, sites, sites]);
    let h = world.h(txn);
    world.vote(1, txn, Vote::Read(h));
    world.vote(2, txn, Vote::Yes(h));
    world.vote(3, txn, Vote::Yes(h));
    world.sync();
    let ballot = Ballot::first(SiteId(2));
    let pre = Say::Pre { ballot, verdict: Verdict::Commit(h) };
    assert_eq!(world.said(), [(2, pre), (3, pre)]);
    world.site(2, txn, Say::Accepted { ballot });
    assert_eq!(world.told(), [&committed(h)]);
    assert_eq!(world.decisions(), [(2, commit(h)), (3, commit(h))]);
    let release = Message::from(CommitMessage::Release { txn, at: h });
    assert!(world.sent.contains(&(Peer::Shard(ShardId(1)), release)));
    world.hear(2, CommitMessage::Ack { txns: vec![txn] });
    world.hear(3, CommitMessage::Ack { txns: vec![txn] });
    assert_eq!(world.commit_of(txn), None);
}
