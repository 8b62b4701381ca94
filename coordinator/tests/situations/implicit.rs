//! Two-phase commit among writers, which their votes decide (`commit/implicit.rs`).

use synod_common::message::bulk::List;
use synod_common::message::commit::{Knows, Voted};

use super::*;

const UNDECIDED: ClientReply = ClientReply::Outcome(Outcome::Undecided);

fn aborted(reason: Reason) -> ClientReply {
    ClientReply::Outcome(Outcome::Aborted(reason))
}

fn with_shards(count: u16) -> Settings {
    let mut settings = settings();
    settings.placement.shards =
        (1..=count).map(|id| ShardAddress { id: ShardId(id), address: String::new() }).collect();
    settings
}

impl World {
    /// Shards 1 and 2 have voted YES, the second later than the first.
    fn all_voted(&mut self) -> (TxnId, Timestamp) {
        let txn = first(self.session());
        self.commit(txn, &[1, 2]);
        let h = self.h(txn);
        self.hear(1, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
        self.hear(2, CommitMessage::Vote { txn, vote: Vote::Yes(Timestamp(h.0 + 5)) });
        (txn, h)
    }

    /// A shard that had voted at `m` joins the second epoch.
    fn joins_in_doubt(&mut self, shard: u16, txn: TxnId, h: Timestamp, m: Timestamp) {
        self.joins_with(shard, (txn, h), &[1, 2], Knows::InDoubt(m));
    }

    /// One joins that knows something of a transaction of these shards.
    fn joins_with(
        &mut self,
        shard: u16,
        (txn, h): (TxnId, Timestamp),
        shards: &[u16],
        knows: Knows,
    ) {
        let participants = shards.iter().map(|shard| ShardId(*shard)).collect();
        let txns = List::of(&[Voted { txn, h, participants, knows }]);
        self.hear(shard, CommitMessage::Voted { nonce: 8, txns });
        self.joins(shard, 1);
    }

    /// So much time passes that all outcomes are forgotten, and again what is written then.
    fn outcomes_are_forgotten(&mut self) {
        for _ in 0..2 {
            let later = settings().outcome_retention * 2;
            self.now.wall.0 += later.as_millis() as u64;
            self.now.mono = self.now.mono + later;
            self.event(Event::Wake);
            self.sync();
        }
        assert_eq!(self.coordinator.stats().outcome_blocks, 0);
    }

    fn joins(&mut self, shard: u16, remembered: u32) {
        let (cluster, epoch) = (CLUSTER, Epoch(2));
        self.hear(shard, CommitMessage::Join { cluster, epoch, boot: false, nonce: 8, remembered });
    }

    /// Time passes until what waits for votes is aborted.
    fn votes_are_late(&mut self) {
        self.now.mono = self.now.mono + settings().vote_timeout * 2;
        self.event(Event::Wake);
    }
}

#[test]
fn the_last_vote_decides_and_nothing_waits_for_the_disk() {
    let mut world = World::joined();
    let (txn, h) = world.all_voted();
    let at = Timestamp(h.0 + 5);
    assert_eq!(world.told(), [&committed(at)]);
    assert_eq!(world.decided(Decision::Commit(at)), 2);
    assert!(world.durable < world.log.len(), "it is written down");
    assert_eq!(world.outcome(txn), Some(committed(at)));
}

/// Shards may forget a commit once `low_water` has passed it.
#[test]
fn shards_remember_it_until_it_is_durable_here() {
    let mut world = World::joined();
    let (_, h) = world.all_voted();
    let low_water = |world: &mut World| {
        world.sent.clear();
        let txn = first(world.session());
        world.commit(txn, &[3]);
        world.sent.iter().find_map(|(_, message)| match message {
            Message::Commit(CommitMessage::CommitOnePhase { low_water, .. }) => Some(*low_water),
            _ => None,
        })
    };
    assert_eq!(low_water(&mut world), Some(h));
    world.sync();
    assert!(low_water(&mut world) > Some(h));
}

#[test]
fn after_a_crash_all_who_have_it_in_doubt_have_decided_it() {
    let mut world = World::joined();
    let (txn, h) = world.all_voted();
    let at = Timestamp(h.0 + 5);
    let mut world = world.crash();
    world.hear(1, CommitMessage::Inquire { txn });
    assert_eq!(world.decided(Decision::Forgotten), 0, "it has not said what it knows");
    world.joins_in_doubt(1, txn, h, h);
    world.hear(1, CommitMessage::Inquire { txn });
    assert_eq!(world.decided(Decision::Forgotten), 0, "the other one may have voted, too");
    assert_eq!(world.outcome(txn), Some(UNDECIDED));
    world.joins_in_doubt(2, txn, h, at);
    assert_eq!(world.decided(Decision::Commit(at)), 0, "not before that is durable");
    world.sync();
    assert_eq!(world.decided(Decision::Commit(at)), 2);
    assert_eq!(world.outcome(txn), Some(committed(at)));
}

#[test]
fn after_a_crash_one_who_never_voted_has_decided_it() {
    for first_to_join in [1, 2] {
        let mut world = World::joined();
        let txn = first(world.session());
        world.commit(txn, &[1, 2]);
        let h = world.h(txn);
        let mut world = world.crash();
        for shard in [first_to_join, 3 - first_to_join] {
            match shard {
                1 => world.joins_in_doubt(1, txn, h, h),
                other => world.joins(other, 0),
            }
        }
        assert_eq!(world.decided(Decision::Abort), 1, "s1 is told");
        world.hear(1, CommitMessage::Inquire { txn });
        assert_eq!(world.decided(Decision::Forgotten), 1);
        world.joins(3, 0);
        assert_eq!(world.outcome(txn), Some(aborted(Reason::Presumed)));
    }
}

/// Whoever joins first, and however late the others come: outcomes may be forgotten by then.
#[test]
fn after_a_crash_one_who_has_committed_it_tells_the_others() {
    let orders = [[1, 2, 3], [2, 1, 3], [2, 3, 1]];
    for (order, late) in orders.into_iter().flat_map(|order| [(order, false), (order, true)]) {
        let mut world = World::joined();
        let txn = first(world.session());
        world.commit(txn, &[1, 2, 3]);
        let h = world.h(txn);
        for shard in [1, 2, 3] {
            world.hear(shard, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
        }
        assert_eq!(world.told(), [&committed(h)]);
        let mut world = world.crash();
        for shard in order {
            world.sent.clear();
            let knows = if shard == 1 { Knows::Committed(h) } else { Knows::InDoubt(h) };
            world.joins_with(shard, (txn, h), &[1, 2, 3], knows);
            world.sync();
            let found = world.decided(Decision::Commit(h)) > 0;
            world.hear(shard, CommitMessage::Inquire { txn });
            assert_eq!(world.decided(Decision::Forgotten) + world.decided(Decision::Abort), 0);
            if found && late {
                world.hear(shard, CommitMessage::Ack { txns: vec![txn] });
                world.outcomes_are_forgotten();
            }
        }
        assert!(world.decided(Decision::Commit(h)) > 0, "the last one hears it");
    }
}

/// A shard that joins again may tell of one that others still have to acknowledge.
#[test]
fn who_still_owes_an_acknowledgement_is_not_forgotten() {
    let mut world = World::joined();
    let (txn, h) = world.all_voted();
    let at = Timestamp(h.0 + 5);
    world.sync();
    world.hear(1, CommitMessage::Ack { txns: vec![txn] });
    let mut world = world.crash();
    world.outcomes_are_forgotten();
    world.joins_with(1, (txn, h), &[1, 2], Knows::Committed(at));
    world.outcomes_are_forgotten();
    world.sent.clear();
    world.joins_in_doubt(2, txn, h, at);
    assert_eq!(world.decided(Decision::Commit(at)), 1);
    world.hear(2, CommitMessage::Inquire { txn });
    assert_eq!(world.decided(Decision::Commit(at)), 2);
}

/// Both may have voted when nobody waits for it any more.
#[test]
fn an_abort_without_a_no_is_durable_before_it_is_told() {
    let mut world = World::joined();
    let (txn, h) = late(&mut world);
    assert_eq!((world.told(), world.decided(Decision::Abort)), (vec![], 0));
    assert_eq!(world.outcome(txn), Some(UNDECIDED));
    world.sync();
    assert!(world.told().contains(&&aborted(Reason::VoteTimeout)));
    assert_eq!(world.decided(Decision::Abort), 2);
    stays_aborted(world.crash(), txn, h);
}

#[test]
fn a_checkpoint_keeps_what_was_aborted_so() {
    is_kept(Settings { checkpoint_bytes: 1, ..settings() });
}

#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "whatever their votes are")]
fn one_that_does_not_is_noticed() {
    let mutant = Some(synod_coordinator::Mutant::AbortedNotSaved);
    is_kept(Settings { checkpoint_bytes: 1, mutant, ..settings() });
}

fn is_kept(settings: Settings) {
    let mut world = World::joined_with(settings);
    let (txn, h) = late(&mut world);
    world.sync();
    world.write_checkpoint();
    let (start, _) = world.checkpoint.as_ref().unwrap();
    let start = start.0 as usize - 1;
    // Nothing before it is there any more.
    world.log[..start].fill(Vec::new());
    stays_aborted(world.crash(), txn, h);
}

/// One that only the first shard votes on in time.
fn late(world: &mut World) -> (TxnId, Timestamp) {
    let txn = first(world.session());
    world.commit(txn, &[1, 2]);
    let h = world.h(txn);
    world.hear(1, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    world.votes_are_late();
    (txn, h)
}

fn stays_aborted(mut world: World, txn: TxnId, h: Timestamp) {
    world.joins_in_doubt(1, txn, h, h);
    world.joins_in_doubt(2, txn, h, h);
    world.joins(3, 0);
    world.sync();
    let outcome = world.outcome(txn);
    assert_eq!(outcome, Some(aborted(Reason::Presumed)), "whatever their votes are");
}

#[test]
fn votes_count_until_all_shards_have_told_theirs() {
    votes_count(with_shards(4));
}

#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "it was committed")]
fn who_does_not_wait_for_that_is_noticed() {
    let mutant = Some(synod_coordinator::Mutant::DecidesUnheard);
    votes_count(Settings { mutant, ..with_shards(4) });
}

/// One is aborted in the second epoch before those join who have voted in the first.
fn votes_count(settings: Settings) {
    let mut world = World::joined();
    let (txn, h) = world.all_voted();
    let at = Timestamp(h.0 + 5);
    world.log.truncate(world.durable);
    let mut world = World::recover(settings, world.log, None);
    world.joins(3, 0);
    world.joins(4, 0);
    world.sync();
    let other = first(world.session());
    world.commit(other, &[3, 4]);
    world.votes_are_late();
    world.sync();
    world.votes_are_late();
    world.sync();
    world.joins_in_doubt(1, txn, h, h);
    world.joins_in_doubt(2, txn, h, at);
    world.sync();
    assert_eq!(world.outcome(txn), Some(committed(at)), "it was committed");
    // Now nothing of that time can come any more.
    assert_eq!(forgets(&world), 0);
    world.votes_are_late();
    assert_eq!(forgets(&world), 1);
}

fn forgets(world: &World) -> usize {
    let is = |record: &&Vec<u8>| {
        let record = postcard::from_bytes(record);
        matches!(record, Ok(synod_coordinator::Record::Decided { .. }))
    };
    world.log.iter().filter(is).count()
}

/// Once that is durable.
#[test]
fn shards_hear_what_they_may_forget() {
    let mut world = World::joined();
    let (_, h) = late(&mut world);
    world.sync();
    world.sent.clear();
    world.votes_are_late();
    assert_eq!(marks(&world), []);
    world.sync();
    let told = marks(&world);
    assert!(told.len() == 3 && told.iter().all(|below| *below > h), "{told:?}");
    world.sent.clear();
    let (cluster, epoch) = (CLUSTER, Epoch(1));
    world.hear(3, CommitMessage::Join { cluster, epoch, boot: false, nonce: 8, remembered: 0 });
    assert_eq!(marks(&world), told[..1]);
}

fn marks(world: &World) -> Vec<Timestamp> {
    let marks = world.sent.iter().filter_map(|(_, message)| match message {
        Message::Commit(CommitMessage::VotesOver { below }) => Some(*below),
        _ => None,
    });
    marks.collect()
}

/// No more are set aside than commits may be under way: after that the log decides.
#[test]
fn with_too_many_set_aside_the_log_decides() {
    let mut world = World::joined_with(Settings { max_commits: 1, ..settings() });
    late(&mut world);
    world.sync();
    let txn = TxnId { sequence: 2, ..first(world.session()) };
    world.commit(txn, &[1, 2]);
    let h = world.h(txn);
    for shard in [1, 2] {
        world.hear(shard, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    }
    assert!(!world.told().contains(&&committed(h)));
    world.sync();
    assert!(world.told().contains(&&committed(h)));
}

/// Those who remember it tell it to those who are in doubt.
#[test]
fn what_is_not_acknowledged_is_not_over() {
    let mut world = World::joined();
    let (txn, h) = world.all_voted();
    for acknowledged in [false, true] {
        for shard in [1, 2].iter().filter(|_| acknowledged) {
            world.hear(*shard, CommitMessage::Ack { txns: vec![txn] });
        }
        world.sync();
        world.sent.clear();
        world.votes_are_late();
        world.sync();
        assert_eq!(marks(&world).iter().any(|below| *below > h), acknowledged);
    }
}

/// No window has ever been so far.
#[test]
fn what_can_not_have_been_voted_is_not_heard() {
    let mut world = World::joined();
    let (txn, h) = world.all_voted();
    world.log.truncate(world.durable);
    let mut world = world.crash();
    for knows in [Knows::Committed, Knows::InDoubt].map(|knows| knows(Timestamp(u64::MAX - 1))) {
        world.joins_with(1, (txn, h), &[1, 2], knows);
    }
    world.joins(2, 0);
    world.joins(3, 0);
    world.sync();
    assert_eq!(world.outcome(txn), Some(aborted(Reason::Presumed)));
}
