//! Situations of the coordinator, event by event.

use bytes::Bytes;
use synod_common::commit::Protocol;
use synod_common::deadlock::Standing;
use synod_common::error::Reason;
use synod_common::id::*;
use synod_common::message::client::{Outcome, Part};
use synod_common::message::commit::{Decision, Terms, Validation, Vote};
use synod_common::message::{ClientReply, ClientRequest, CommitMessage, Message};
use synod_common::node::{CheckpointStep, Event, Lsn, Node, Output, Recovered};
use synod_common::route::{Partition, Placement, ShardAddress};
use synod_common::time::{Mono, Now, Timestamp, Wall};
use synod_coordinator::{Member, Settings};

#[path = "situations/implicit.rs"]
mod implicit;
#[path = "situations/last_agent.rs"]
mod last_agent;
#[path = "situations/safe_point.rs"]
mod safe_point;
#[path = "situations/three_phase.rs"]
mod three_phase;
#[path = "situations/txns.rs"]
mod txns;

const CLUSTER: ClusterId = ClusterId(1);
const CLIENT: Peer = Peer::Client(ClientId(1));

/// From where to replay, and the parts.
type Checkpoint = (Lsn, Vec<Vec<u8>>);

/// A coordinator of three shards with a log that is durable when it is told so.
struct World {
    coordinator: Member,
    out: Output,
    now: Now,
    log: Vec<Vec<u8>>,
    durable: usize,
    checkpoint: Option<Checkpoint>,
    sent: Vec<(Peer, Message)>,
    held: Vec<(Lsn, Peer, Message)>,
}

fn settings() -> Settings {
    let shards = (1..=3).map(|id| ShardAddress { id: ShardId(id), address: String::new() });
    let placement = Placement { epoch: 1, partition: Partition::Hash, shards: shards.collect() };
    Settings::new(CoordinatorId(1), CLUSTER, placement)
}

impl World {
    /// Recovers from a log, starts, and lets all shards join.
    fn start(log: Vec<Vec<u8>>) -> World {
        World::start_with(settings(), log)
    }

    fn start_with(settings: Settings, log: Vec<Vec<u8>>) -> World {
        World::recover(settings, log, None)
    }

    fn recover(settings: Settings, log: Vec<Vec<u8>>, checkpoint: Option<Checkpoint>) -> World {
        let mut coordinator = Member::new(settings);
        let mut from = Lsn(1);
        if let Some((start, parts)) = &checkpoint {
            from = *start;
            for part in parts {
                coordinator.recover(Recovered::Checkpoint(part)).unwrap();
            }
        }
        for (record, lsn) in log.iter().zip(1..).filter(|(_, lsn)| Lsn(*lsn) >= from) {
            coordinator.recover(Recovered::Record(Lsn(lsn), record)).unwrap();
        }
        let out = Output::new(Lsn(log.len() as u64));
        let now = Now { mono: Mono(0), wall: Wall(1_000_000) };
        let durable = log.len();
        let (sent, held) = (vec![], vec![]);
        let mut world = World { coordinator, out, now, log, durable, checkpoint, sent, held };
        world.event(Event::Start { seed: 1 });
        // The beginning of its epoch, then a window.
        world.sync();
        world.sync();
        world
    }

    fn joined() -> World {
        World::joined_with(settings())
    }

    fn joined_with(settings: Settings) -> World {
        let mut world = World::start_with(settings, vec![]);
        world.join_all(Epoch(1));
        world
    }

    fn join_all(&mut self, epoch: Epoch) {
        for shard in [1, 2, 3] {
            let join = CommitMessage::Join {
                cluster: CLUSTER,
                epoch,
                boot: true,
                nonce: 7,
                remembered: 0,
            };
            self.hear(shard, join);
        }
        self.sync();
        self.sent.clear();
    }

    fn event(&mut self, event: Event) {
        self.coordinator.handle(self.now, event, &mut self.out);
        let (records, _) = self.out.take_records();
        self.log.extend(records.iter().map(<[u8]>::to_vec));
        let held = self.out.held.drain(..).map(|(lsn, send)| (lsn, send.to, send.message));
        self.held.extend(held);
        self.sent.extend(self.out.sends.drain(..).map(|send| (send.to, send.message)));
        self.release();
        match self.out.checkpoint.take() {
            Some(CheckpointStep::Begin(start)) => self.checkpoint = Some((start, vec![])),
            Some(CheckpointStep::Part(part)) => {
                self.checkpoint.as_mut().unwrap().1.push(part);
            }
            Some(CheckpointStep::Finish) => {}
            None => return,
        }
        self.event(Event::CheckpointWritten);
    }

    /// What waited for the log leaves as far as it is durable.
    fn release(&mut self) {
        let durable = Lsn(self.durable as u64);
        let ready = self.held.extract_if(.., |(lsn, ..)| *lsn <= durable);
        self.sent.extend(ready.map(|(_, to, message)| (to, message)));
    }

    /// All that was logged becomes durable.
    fn sync(&mut self) {
        self.durable = self.log.len();
        self.event(Event::Durable(Lsn(self.durable as u64)));
    }

    fn crash(self) -> World {
        let mut log = self.log;
        log.truncate(self.durable);
        World::recover(settings(), log, self.checkpoint)
    }

    fn hear(&mut self, shard: u16, message: impl Into<Message>) {
        let from = Peer::Shard(ShardId(shard));
        self.event(Event::Message { from, request: RequestId(0), message: message.into() });
    }

    fn ask(&mut self, request: ClientRequest) -> Option<ClientReply> {
        let before = self.sent.len();
        let request = Message::ClientRequest(request);
        self.event(Event::Message { from: CLIENT, request: RequestId(5), message: request });
        self.sent[before..].iter().find_map(|(to, message)| match message {
            Message::ClientReply(reply) if *to == CLIENT => Some(reply.clone()),
            _ => None,
        })
    }

    fn session(&mut self) -> SessionId {
        match self.ask(ClientRequest::OpenSession) {
            Some(ClientReply::SessionOpened { session, .. }) => session,
            other => panic!("{other:?}"),
        }
    }

    fn commit(&mut self, txn: TxnId, shards: &[u16]) -> Option<ClientReply> {
        self.commit_in(Protocol::Auto, txn, shards, &[])
    }

    /// Some shards write, and others only read.
    fn commit_in(
        &mut self,
        protocol: Protocol,
        txn: TxnId,
        writers: &[u16],
        readers: &[u16],
    ) -> Option<ClientReply> {
        self.commit_sized(protocol, txn, (writers, 1), readers)
    }

    /// Each that writes writes so many bytes.
    fn commit_sized(
        &mut self,
        protocol: Protocol,
        txn: TxnId,
        (writers, bytes): (&[u16], u32),
        readers: &[u16],
    ) -> Option<ClientReply> {
        let part = |shard: &u16, write_bytes| Part {
            shard: ShardId(*shard),
            incarnation: None,
            read_bytes: 0,
            write_bytes,
        };
        let write = writers.iter().map(|shard| part(shard, bytes));
        let parts = write.chain(readers.iter().map(|shard| part(shard, 0)));
        let writes = Bytes::from(vec![0; writers.len() * bytes as usize]);
        let standing = Standing { age: Timestamp(1), priority: 100 };
        let terms = Terms { validation: Validation::Locked, standing, protocol };
        self.ask(ClientRequest::Commit { txn, terms, parts: parts.collect(), writes })
    }

    /// The `h` that was drawn for a transaction.
    fn h(&self, txn: TxnId) -> Timestamp {
        let h = self.sent.iter().find_map(|(_, message)| match message {
            Message::Commit(CommitMessage::Prepare { txn: of, h, .. }) if *of == txn => Some(*h),
            Message::Commit(CommitMessage::CommitOnePhase { txn: of, h, .. }) if *of == txn => {
                Some(*h)
            }
            _ => None,
        });
        h.expect("it was sent to a shard")
    }

    fn outcome(&mut self, txn: TxnId) -> Option<ClientReply> {
        self.ask(ClientRequest::Outcome { txn })
    }

    fn told(&self) -> Vec<&ClientReply> {
        let replies = self.sent.iter().filter_map(|(_, message)| match message {
            Message::ClientReply(reply @ ClientReply::Outcome(_)) => Some(reply),
            _ => None,
        });
        replies.collect()
    }

    fn decided(&self, decision: Decision) -> usize {
        let is = |message: &Message| matches!(message, Message::Commit(CommitMessage::Decide { decision: d, .. }) if *d == decision);
        self.sent.iter().filter(|(_, message)| is(message)).count()
    }
}

fn first(session: SessionId) -> TxnId {
    TxnId { session, sequence: 1 }
}

fn committed(at: Timestamp) -> ClientReply {
    ClientReply::Outcome(Outcome::Committed(at))
}

#[test]
fn nobody_is_told_before_the_decision_is_durable() {
    let mut world = World::joined();
    let txn = first(world.session());
    assert_eq!(world.commit_in(Protocol::TwoPhase, txn, &[1, 2], &[3]), None);
    let h = world.h(txn);
    let later = Timestamp(h.0 + 5);
    world.hear(1, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    world.hear(2, CommitMessage::Vote { txn, vote: Vote::Yes(later) });
    world.hear(3, CommitMessage::Vote { txn, vote: Vote::Read(h) });
    assert!(world.told().is_empty());
    assert_eq!(world.decided(Decision::Commit(later)), 0);
    assert_eq!(world.outcome(txn), Some(ClientReply::Outcome(Outcome::Undecided)));
    world.sync();
    assert!(world.told().contains(&&committed(later)));
    assert_eq!(world.decided(Decision::Commit(later)), 2);
    // Whoever begins now gets a later timestamp.
    match world.ask(ClientRequest::Timestamp) {
        Some(ClientReply::Timestamp(drawn)) => assert!(drawn > later),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_crash_before_the_decision_is_durable_aborts() {
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit_in(Protocol::TwoPhase, txn, &[1, 2], &[3]);
    let h = world.h(txn);
    for shard in [1, 2] {
        world.hear(shard, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    }
    world.hear(3, CommitMessage::Vote { txn, vote: Vote::Read(h) });
    let mut world = world.crash();
    // While a shard has not joined, it may know more.
    assert_eq!(world.outcome(txn), Some(ClientReply::Outcome(Outcome::Undecided)));
    world.join_all(Epoch(2));
    world.hear(1, CommitMessage::Inquire { txn });
    assert_eq!(world.decided(Decision::Forgotten), 1);
    let aborted = ClientReply::Outcome(Outcome::Aborted(Reason::Presumed));
    assert_eq!(world.outcome(txn), Some(aborted));
}

#[test]
fn a_crash_after_it_tells_again_until_all_have_acknowledged() {
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit(txn, &[1, 2]);
    let h = world.h(txn);
    for shard in [1, 2] {
        world.hear(shard, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    }
    world.sync();
    world.hear(1, CommitMessage::Ack { txns: vec![txn] });
    let mut world = world.crash();
    assert_eq!(world.outcome(txn), Some(committed(h)));
    world.sent.clear();
    for shard in [1, 2] {
        let join = CommitMessage::Join {
            cluster: CLUSTER,
            epoch: Epoch(2),
            boot: false,
            nonce: 7,
            remembered: 0,
        };
        world.hear(shard, join);
    }
    assert_eq!(world.decided(Decision::Commit(h)), 2);
    for shard in [1, 2] {
        world.hear(shard, CommitMessage::Ack { txns: vec![txn] });
    }
    world.sent.clear();
    world.now.mono = Mono(60_000_000);
    world.event(Event::Wake);
    assert_eq!(world.decided(Decision::Commit(h)), 0);
}

#[test]
fn one_no_aborts_and_a_late_commit_of_the_same_is_refused() {
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit(txn, &[1, 2]);
    let h = world.h(txn);
    world.hear(1, CommitMessage::Vote { txn, vote: Vote::No(Reason::LockTimeout) });
    let aborted = ClientReply::Outcome(Outcome::Aborted(Reason::LockTimeout));
    assert_eq!(world.told(), [&aborted]);
    // Who voted NO knows.
    assert_eq!(world.decided(Decision::Abort), 1);
    world.hear(2, CommitMessage::Vote { txn, vote: Vote::Yes(h) });
    assert_eq!(world.decided(Decision::Forgotten), 0);
    world.hear(2, CommitMessage::Inquire { txn });
    assert_eq!(world.decided(Decision::Forgotten), 1);
    assert_eq!(world.commit(txn, &[1]), Some(aborted));
}

#[test]
fn asking_for_an_outcome_fences() {
    let mut world = World::joined();
    let txn = first(world.session());
    let fenced = ClientReply::Outcome(Outcome::Aborted(Reason::Fenced));
    assert_eq!(world.outcome(txn), Some(fenced.clone()));
    assert_eq!(world.commit(txn, &[1, 2]), Some(fenced));
}

#[test]
fn names_that_were_not_given_have_no_outcome() {
    let mut world = World::joined();
    let session = world.session();
    let refused = Some(ClientReply::Refused(Reason::Malformed));
    let later = SessionId { number: session.number + 1, ..session };
    assert_eq!(world.outcome(first(later)), refused);
    let ahead = SessionId { epoch: Epoch(9), number: 1 };
    assert_eq!(world.outcome(first(ahead)), refused);
}

#[test]
fn a_one_phase_commit_that_only_its_shard_knows_survives_a_crash() {
    use synod_common::message::bulk::{List, OnePhaseOutcome};
    let mut world = World::joined();
    let txn = first(world.session());
    world.commit(txn, &[1]);
    let h = world.h(txn);
    let mut world = world.crash();
    let list = List::of(&[OnePhaseOutcome { txn, h, committed: Some(h) }]);
    let join = |epoch, remembered| CommitMessage::Join {
        cluster: CLUSTER,
        epoch,
        boot: false,
        nonce: 8,
        remembered,
    };
    // A join of an older epoch does not count; the shard is called to this one.
    world.hear(1, join(Epoch(1), 0));
    let called = |(_, message): &(Peer, Message)| {
        *message == Message::Commit(CommitMessage::Call { epoch: Epoch(2) })
    };
    assert!(world.sent.iter().any(called));
    // Nor does one that announces more than has arrived.
    world.hear(1, join(Epoch(2), 1));
    world.hear(2, join(Epoch(2), 0));
    assert_eq!(world.outcome(txn), Some(ClientReply::Outcome(Outcome::Undecided)));
    world.hear(1, CommitMessage::OnePhaseOutcomes { nonce: 8, outcomes: list });
    world.hear(1, join(Epoch(2), 1));
    assert_eq!(world.outcome(txn), Some(committed(h)));
}

/// Two commits fall out of one window. The first makes way for a new window; the
/// second must not close that one, or each would be followed by another.
#[test]
fn a_window_is_passed_once() {
    let mut world = World::joined();
    let session = world.session();
    let txns = [1, 2].map(|sequence| TxnId { session, sequence });
    for txn in txns {
        world.commit(txn, &[1, 2]);
    }
    world.hear(1, CommitMessage::Vote { txn: txns[0], vote: Vote::No(Reason::WindowPassed) });
    assert_eq!(world.ask(ClientRequest::Timestamp), None);
    world.sync();
    world.hear(1, CommitMessage::Vote { txn: txns[1], vote: Vote::No(Reason::WindowPassed) });
    assert!(matches!(world.ask(ClientRequest::Timestamp), Some(ClientReply::Timestamp(_))));
}

/// Bytes behind a record or a part are damage, whatever stands before them.
#[test]
fn nothing_may_be_left_over() {
    let world = World::start(vec![]);
    let mut record = world.log[0].clone();
    assert_eq!(Member::new(settings()).recover(Recovered::Record(Lsn(1), &record)), Ok(()));
    record.push(0);
    assert!(Member::new(settings()).recover(Recovered::Record(Lsn(1), &record)).is_err());
}

/// Also a commit that only read is told when it is durable, and not lost after.
#[test]
fn a_commit_that_only_read_is_told_when_it_is_durable() {
    for shards in [&[1][..], &[1, 2][..]] {
        let mut world = World::joined();
        let txn = first(world.session());
        world.commit(txn, shards);
        let h = world.h(txn);
        for shard in shards {
            let vote = Vote::Read(h);
            world.hear(
                *shard,
                match shards {
                    [_] => CommitMessage::OnePhaseDone { txn, vote },
                    _ => CommitMessage::Vote { txn, vote },
                },
            );
        }
        assert!(world.told().is_empty());
        world.sync();
        assert_eq!(world.told(), [&committed(h)]);
        assert_eq!(world.crash().outcome(txn), Some(committed(h)));
    }
}

/// What a shard promised before it restarted lies below its new floor, and every
/// later timestamp above it.
#[test]
fn a_shard_that_restarted_gets_the_window_closed() {
    shard_restarts(settings());
}

/// Rare in the simulator, so it is shown here that it would be noticed.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "floor > h")]
fn a_shard_that_gets_no_floor_is_noticed() {
    shard_restarts(Settings { mutant: Some(synod_coordinator::Mutant::NoFloor), ..settings() });
}

fn shard_restarts(settings: Settings) {
    let mut world = World::joined_with(settings);
    let txn = first(world.session());
    world.commit(txn, &[1, 2]);
    let (h, before) = (world.h(txn), world.sent.len());
    let (cluster, epoch) = (CLUSTER, Epoch(1));
    world.hear(1, CommitMessage::Join { cluster, epoch, boot: true, nonce: 9, remembered: 0 });
    let floor = world.sent[before..].iter().find_map(|(_, message)| match message {
        Message::Commit(CommitMessage::Welcome { floor, .. }) => Some(*floor),
        _ => None,
    });
    let floor = floor.expect("it is welcomed");
    assert!(floor > h);
    assert_eq!(world.ask(ClientRequest::Timestamp), None);
    world.sync();
    assert!(world.sent.iter().all(|(_, message)| match message {
        Message::ClientReply(ClientReply::Timestamp(drawn)) => *drawn > floor,
        _ => true,
    }));
    assert!(world.sent.iter().any(|(_, message)| {
        matches!(message, Message::ClientReply(ClientReply::Timestamp(_)))
    }));
}

/// Nobody may learn of a commit before the oracle is past it.
#[test]
fn a_vote_outside_the_window_aborts() {
    let outside = [Timestamp::ZERO, Timestamp(u64::MAX)];
    for vote in outside.into_iter().flat_map(|at| [Vote::Yes(at), Vote::Read(at)]) {
        let mut world = World::joined();
        let txn = first(world.session());
        world.commit_in(Protocol::TwoPhase, txn, &[1, 2], &[]);
        world.hear(1, CommitMessage::Vote { txn, vote });
        world.sync();
        assert_eq!(world.told(), [&ClientReply::Outcome(Outcome::Aborted(Reason::Malformed))]);
    }
    // What one shard decides it can not take back; it is asked again.
    for at in outside {
        let mut world = World::joined();
        let txn = first(world.session());
        world.commit_in(Protocol::TwoPhase, txn, &[1], &[]);
        world.hear(1, CommitMessage::OnePhaseDone { txn, vote: Vote::Yes(at) });
        assert_eq!(world.told(), Vec::<&ClientReply>::new());
    }
}
