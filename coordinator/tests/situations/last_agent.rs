//! The last agent: one shard writes, and others only read.

use synod_common::deadlock::{Cause, Deadlock};
use synod_common::message::DeadlockMessage;

use super::*;

const WRITER: u16 = 1;
const READERS: [u16; 2] = [2, 3];

impl World {
    /// It is committed in some protocol; its readers are asked.
    fn begin_with_readers(&mut self, protocol: Protocol) -> (TxnId, Timestamp) {
        let txn = first(self.session());
        self.sent.clear();
        self.commit_in(protocol, txn, &[WRITER], &READERS);
        (txn, self.h(txn))
    }

    /// They have voted, the last of them for `after`.
    fn handed_over(&mut self) -> (TxnId, Timestamp) {
        let (txn, h) = self.begin_with_readers(Protocol::Auto);
        self.hear(2, CommitMessage::Vote { txn, vote: Vote::Read(h) });
        self.hear(3, CommitMessage::Vote { txn, vote: Vote::Read(after(h)) });
        assert_eq!(self.handed(), [(h, after(h))]);
        self.sent.clear();
        (txn, h)
    }

    /// What the writer was asked to commit: when it began, and after what.
    fn handed(&self) -> Vec<(Timestamp, Timestamp)> {
        let handed = self.sent.iter().filter_map(|(to, message)| match message {
            Message::Commit(CommitMessage::CommitOnePhase { h, after, .. }) => {
                assert_eq!(*to, Peer::Shard(ShardId(WRITER)));
                Some((*h, *after))
            }
            _ => None,
        });
        handed.collect()
    }

    fn done(&mut self, txn: TxnId, vote: Vote) {
        self.hear(WRITER, CommitMessage::OnePhaseDone { txn, vote });
    }

    /// What shards were told, by their numbers.
    fn told_to(&self, message: &CommitMessage) -> Vec<u16> {
        let told = self.sent.iter().filter_map(|(to, sent)| match to {
            Peer::Shard(shard) if *sent == Message::from(message.clone()) => Some(shard.0),
            _ => None,
        });
        told.collect()
    }

    fn forgotten(&self, txn: TxnId) -> Vec<u16> {
        self.told_to(&CommitMessage::Decide { txn, decision: Decision::Forgotten })
    }

    fn aborted(&self, txn: TxnId) -> Vec<u16> {
        self.told_to(&CommitMessage::Decide { txn, decision: Decision::Abort })
    }
}

fn after(h: Timestamp) -> Timestamp {
    Timestamp(h.0 + 5)
}

#[test]
fn the_writer_is_asked_when_all_others_have_voted() {
    for protocol in [Protocol::Auto, Protocol::TwoPhase, Protocol::ThreePhase] {
        let mut world = World::joined();
        let (txn, h) = world.begin_with_readers(protocol);
        world.hear(2, CommitMessage::Vote { txn, vote: Vote::Read(h) });
        world.hear(2, CommitMessage::Vote { txn, vote: Vote::Read(h) });
        assert_eq!(world.handed(), []);
        world.hear(3, CommitMessage::Vote { txn, vote: Vote::Read(after(h)) });
        assert_eq!(world.handed(), [(h, after(h))]);
    }
}

/// Its record is durable, and nothing else has to be.
#[test]
fn all_are_told_when_it_has_decided() {
    let mut world = World::joined();
    let (txn, h) = world.handed_over();
    let at = Timestamp(h.0 + 9);
    world.done(txn, Vote::Yes(at));
    assert_eq!(world.told(), [&committed(at)]);
    assert_eq!(world.told_to(&CommitMessage::Release { txn, at }), [2, 3, WRITER]);
}

#[test]
fn if_it_can_not_all_others_abort() {
    let mut world = World::joined();
    let (txn, _) = world.handed_over();
    world.done(txn, Vote::No(Reason::LocksLost));
    assert_eq!(world.told(), [&ClientReply::Outcome(Outcome::Aborted(Reason::LocksLost))]);
    assert_eq!(world.aborted(txn), READERS);
}

/// It may hold locks for its reads.
#[test]
fn a_no_of_others_aborts_it_too() {
    let mut world = World::joined();
    let (txn, h) = world.begin_with_readers(Protocol::Auto);
    world.hear(2, CommitMessage::Vote { txn, vote: Vote::Read(h) });
    world.hear(3, CommitMessage::Vote { txn, vote: Vote::No(Reason::LocksLost) });
    assert_eq!(world.aborted(txn), [2, WRITER]);
    assert_eq!(world.handed(), []);
}

#[test]
fn a_link_to_the_writer_that_is_lost_before_aborts_it() {
    let mut world = World::joined();
    let (txn, _) = world.begin_with_readers(Protocol::Auto);
    world.event(Event::Disconnected(Peer::Shard(ShardId(WRITER))));
    assert_eq!(world.aborted(txn), [2, 3, WRITER]);
}

/// They ask because nothing is decided. While the writer is there they will hear.
#[test]
fn readers_do_not_wait_for_a_writer_that_is_gone() {
    let mut world = World::joined();
    let (txn, h) = world.handed_over();
    world.hear(2, CommitMessage::Inquire { txn });
    assert_eq!(world.forgotten(txn), []);
    world.event(Event::Disconnected(Peer::Shard(ShardId(WRITER))));
    assert_eq!(world.forgotten(txn), READERS);
    // It was not heard.
    world.sent.clear();
    world.hear(2, CommitMessage::Inquire { txn });
    assert_eq!(world.forgotten(txn), [2]);
    assert_eq!(world.told(), Vec::<&ClientReply>::new(), "it may still commit");
    // It had.
    world.done(txn, Vote::Yes(after(h)));
    assert_eq!(world.told(), [&committed(after(h))]);
}

/// It may wait for that very one; but if it is committed, that stays so.
#[test]
fn a_wound_goes_to_the_writer() {
    let cause = Cause::WoundWait;
    for committed_before in [false, true] {
        let mut world = World::joined();
        let (txn, h) = world.handed_over();
        let deadlock = Box::new(Deadlock { steps: vec![], length: 0, victim: txn, cause });
        let reason = Reason::Deadlock(deadlock.clone());
        world.hear(3, DeadlockMessage::Wound { txn, deadlock });
        let withdrawn = CommitMessage::AbortOnePhase { txn, h, reason: reason.clone() };
        assert_eq!(world.told_to(&withdrawn), [WRITER]);
        assert_eq!((world.forgotten(txn), world.aborted(txn)), (vec![], vec![]));
        if committed_before {
            world.done(txn, Vote::Yes(h));
            assert_eq!(world.told(), [&committed(h)]);
        } else {
            world.done(txn, Vote::No(reason.clone()));
            assert_eq!(world.told(), [&ClientReply::Outcome(Outcome::Aborted(reason))]);
            assert_eq!(world.aborted(txn), READERS);
        }
    }
}

/// Its disk may stand still, or it waits for locks.
#[test]
fn readers_wait_for_the_writer_no_longer_than_for_votes() {
    let mut world = World::joined();
    let (txn, h) = world.handed_over();
    world.now.mono = world.now.mono + settings().vote_timeout;
    world.event(Event::Wake);
    let withdrawn = CommitMessage::AbortOnePhase { txn, h, reason: Reason::VoteTimeout };
    assert_eq!(world.told_to(&withdrawn), [WRITER]);
    assert_eq!(world.forgotten(txn), READERS);
    assert_eq!(world.told(), Vec::<&ClientReply>::new(), "it may still commit");
    world.done(txn, Vote::Yes(h));
    assert_eq!(world.told(), [&committed(h)]);
}

/// What would wait beyond a bound is committed as any other; what is over makes room.
#[test]
fn only_so_much_is_held_back() {
    const BYTES: u32 = 16 << 20;
    let mut world = World::joined();
    let session = world.session();
    let begin = |world: &mut World, sequence| {
        let txn = TxnId { session, sequence };
        world.sent.clear();
        world.commit_sized(Protocol::TwoPhase, txn, (&[WRITER], BYTES), &[2]);
        let asks_writer = world.sent.iter().any(|(to, _)| *to == Peer::Shard(ShardId(WRITER)));
        (txn, asks_writer)
    };
    let (held, _) = begin(&mut world, 1);
    let first_beyond = (2..9).find(|sequence| begin(&mut world, *sequence).1);
    assert_eq!(first_beyond, Some(5));
    world.hear(2, CommitMessage::Vote { txn: held, vote: Vote::No(Reason::LocksLost) });
    assert!(!begin(&mut world, 9).1);
}

/// The window in which the others have voted may have been followed by another one.
#[test]
fn the_writer_commits_in_the_window_of_the_others() {
    let mut world = World::joined();
    let (txn, h) = world.begin_with_readers(Protocol::Auto);
    let hi = |world: &World| {
        let mut sent = world.sent.iter().rev();
        sent.find_map(|(_, message)| match message {
            Message::Commit(
                CommitMessage::Prepare { hi, .. } | CommitMessage::CommitOnePhase { hi, .. },
            ) => Some(*hi),
            _ => None,
        })
    };
    let voted_in = hi(&world);
    // A shard that restarts has the window closed.
    let (cluster, epoch, nonce) = (CLUSTER, Epoch(1), 8);
    world.event(Event::Connected(Peer::Shard(ShardId(3))));
    world.hear(3, CommitMessage::Join { cluster, epoch, boot: true, nonce, remembered: 0 });
    world.sync();
    for shard in READERS {
        world.hear(shard, CommitMessage::Vote { txn, vote: Vote::Read(h) });
    }
    assert_eq!((world.handed(), hi(&world)), (vec![(h, h)], voted_in));
}
