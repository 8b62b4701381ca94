//! Situations of a shard, event by event.

use std::time::Duration;

use bytes::Bytes;
use synod_common::commit::Protocol;
use synod_common::deadlock::{Handling, Standing};
use synod_common::error::Reason;
use synod_common::id::*;
use synod_common::message::bulk::{Keys, Values, WriteSet};
use synod_common::message::commit::{Decision, Terms, Validation, Vote};
use synod_common::message::data::{Access, LockWait, ReadMode};
use synod_common::message::{CommitMessage, DataReply, DataRequest, Message};
use synod_common::node::{CheckpointStep, Event, Lsn, Node, Output, Recovered};
use synod_common::route::{Partition, Placement, ShardAddress};
use synod_common::time::{Mono, Now, Timestamp, Wall};
use synod_shard::{Settings, Shard};

#[path = "situations/cooperate.rs"]
mod cooperate;
#[path = "situations/group.rs"]
mod group;
#[path = "situations/heuristic.rs"]
mod heuristic;
#[path = "situations/implicit.rs"]
mod implicit;
#[path = "situations/locks.rs"]
mod locks;
#[path = "situations/operations.rs"]
mod operations;
#[path = "situations/paxos_commit.rs"]
mod paxos_commit;
#[path = "situations/safe_point.rs"]
mod safe_point;
#[path = "situations/three_phase.rs"]
mod three_phase;
#[path = "situations/turns.rs"]
mod turns;
#[path = "situations/txns.rs"]
mod txns;
#[path = "situations/validation.rs"]
mod validation;

/// Nobody is spared before this one.
const OLDEST: Standing = Standing { age: Timestamp(1), priority: 100 };

fn terms(validation: Validation) -> Terms {
    Terms { validation, standing: OLDEST, protocol: Protocol::TwoPhase }
}

const CLUSTER: ClusterId = ClusterId(1);
const CLIENT: Peer = Peer::Client(ClientId(1));
const COORDINATOR: Peer = Peer::Coordinator(CoordinatorId(1));

/// From where to replay, and the parts.
type Checkpoint = (Lsn, Vec<Vec<u8>>);

/// A shard with a log that is durable when it is told so.
struct World {
    shard: Shard,
    out: Output,
    now: Now,
    log: Vec<Vec<u8>>,
    durable: usize,
    checkpoint: Option<Checkpoint>,
    sent: Vec<(Peer, Message)>,
    /// The request under which the shard last asked for the window.
    asked: RequestId,
    held: Vec<(Lsn, Peer, Message)>,
    /// What the coordinator says of deadlocks.
    handling: Handling,
    placement: Placement,
}

fn settings() -> Settings {
    Settings {
        checkpoint_bytes: 1 << 30,
        ..Settings::new(ShardId(1), CLUSTER, &[CoordinatorId(1)])
    }
}

fn placement(partition: Partition, shards: &[u16]) -> Placement {
    let address = |id: &u16| ShardAddress { id: ShardId(*id), address: String::new() };
    Placement { epoch: 1, partition, shards: shards.iter().map(address).collect() }
}

impl World {
    fn recover(settings: Settings, log: Vec<Vec<u8>>, checkpoint: Option<Checkpoint>) -> World {
        let mut world = World::recover_alone(settings, log, checkpoint);
        world.event(Event::Connected(COORDINATOR));
        world
    }

    /// There is no coordinator.
    fn recover_alone(
        settings: Settings,
        log: Vec<Vec<u8>>,
        checkpoint: Option<Checkpoint>,
    ) -> World {
        let mut shard = Shard::new(settings);
        let mut from = Lsn(1);
        if let Some((start, parts)) = &checkpoint {
            from = *start;
            for part in parts {
                shard.recover(Recovered::Checkpoint(part)).unwrap();
            }
        }
        for (record, lsn) in log.iter().zip(1..).filter(|(_, lsn)| Lsn(*lsn) >= from) {
            shard.recover(Recovered::Record(Lsn(lsn), record)).unwrap();
        }
        let out = Output::new(Lsn(log.len() as u64));
        let now = Now { mono: Mono(0), wall: Wall(1_000) };
        let durable = log.len();
        let (sent, held) = (vec![], vec![]);
        let asked = RequestId(0);
        let handling = Handling::default();
        let placement = placement(Partition::Hash, &[1]);
        let mut world = World {
            shard,
            out,
            now,
            log,
            durable,
            checkpoint,
            sent,
            asked,
            held,
            handling,
            placement,
        };
        world.event(Event::Start { seed: 1 });
        world
    }

    fn new() -> World {
        let mut world = World::recover(settings(), vec![], None);
        world.welcome(1, 1000);
        world
    }

    /// Plays the coordinator of an epoch that closes its window at `floor`.
    fn welcome(&mut self, epoch: u32, floor: u64) {
        self.hear(CommitMessage::Call { epoch: Epoch(epoch) });
        self.sync();
        let nonce = self.sent.iter().rev().find_map(|(_, message)| match message {
            Message::Commit(CommitMessage::Join { nonce, epoch: e, .. }) if e.0 == epoch => {
                Some(*nonce)
            }
            _ => None,
        });
        self.hear(CommitMessage::Welcome {
            nonce: nonce.expect("it asks to join"),
            epoch: Epoch(epoch),
            floor: Timestamp(floor),
            placement: self.placement.clone(),
            handling: self.handling,
        });
        self.sent.clear();
    }

    fn event(&mut self, event: Event) {
        self.shard.handle(self.now, event, &mut self.out);
        let (records, _) = self.out.take_records();
        self.log.extend(records.iter().map(<[u8]>::to_vec));
        let held = self.out.held.drain(..).map(|(lsn, send)| (lsn, send.to, send.message));
        self.held.extend(held);
        let ask = Message::from(CommitMessage::AskWindow);
        let asked = self.out.sends.iter().rfind(|send| send.message == ask);
        self.asked = asked.map_or(self.asked, |send| send.request);
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

    fn release(&mut self) {
        let durable = Lsn(self.durable as u64);
        let (ready, held) = self.held.drain(..).partition(|(lsn, ..)| *lsn <= durable);
        self.held = held;
        let ready: Vec<(Lsn, Peer, Message)> = ready;
        self.sent.extend(ready.into_iter().map(|(_, to, message)| (to, message)));
    }

    /// All that was logged becomes durable.
    fn sync(&mut self) {
        self.durable = self.log.len();
        self.event(Event::Durable(Lsn(self.durable as u64)));
        self.release();
    }

    /// Loses what is not durable and starts again, not yet welcomed.
    fn crash(mut self) -> World {
        self.log.truncate(self.durable);
        World::recover(settings(), self.log, self.checkpoint)
    }

    fn hear(&mut self, message: impl Into<Message>) {
        self.answer(RequestId(0), message);
    }

    fn answer(&mut self, request: RequestId, message: impl Into<Message>) {
        self.event(Event::Message { from: COORDINATOR, request, message: message.into() });
    }

    fn ask(&mut self, request: DataRequest) -> Option<DataReply> {
        let before = self.sent.len();
        let message = request.into();
        self.event(Event::Message { from: CLIENT, request: RequestId(5), message });
        self.replies(before).into_iter().next()
    }

    fn replies(&self, from: usize) -> Vec<DataReply> {
        let replies = self.sent[from..].iter().filter_map(|(_, message)| match message {
            Message::DataReply(reply) => Some(reply.clone()),
            _ => None,
        });
        replies.collect()
    }

    fn read(&mut self, txn: TxnId, key: &str, mode: ReadMode) -> Option<DataReply> {
        let access = Access {
            txn,
            standing: OLDEST,
            holds_elsewhere: false,
            incarnation: None,
            map_epoch: 1,
            snapshot: None,
            wait: LockWait::Millis(1000),
            returns: 0,
        };
        self.ask(DataRequest::Read { access, mode, keys: Keys::one(key.as_bytes()) })
    }

    fn snapshot(&mut self, at: u64, key: &str) -> Option<DataReply> {
        let keys = Keys::one(key.as_bytes());
        self.ask(DataRequest::SnapshotRead { at: Timestamp(at), map_epoch: 1, keys })
    }

    fn prepare(&mut self, txn: TxnId, h: u64, incarnation: Option<Incarnation>, writes: Bytes) {
        self.hear(CommitMessage::Prepare {
            txn,
            h: Timestamp(h),
            hi: Timestamp(2000),
            incarnation,
            low_water: Timestamp::ZERO,
            participants: vec![ShardId(1), ShardId(2)],
            acceptors: vec![],
            implicit: true,
            terms: terms(Validation::Locked),
            read_bytes: 0,
            writes,
        });
    }

    fn one_phase(&mut self, txn: TxnId, h: u64, writes: Bytes) {
        self.one_phase_after(txn, h, 0, writes);
    }

    /// Others have voted `after`.
    fn one_phase_after(&mut self, txn: TxnId, h: u64, after: u64, writes: Bytes) {
        self.hear(CommitMessage::CommitOnePhase {
            txn,
            h: Timestamp(h),
            hi: Timestamp(2000),
            after: Timestamp(after),
            incarnation: None,
            low_water: Timestamp::ZERO,
            terms: terms(Validation::Locked),
            read_bytes: 0,
            writes,
        });
    }

    fn decide(&mut self, txn: TxnId, decision: Decision) {
        self.hear(CommitMessage::Decide { txn, decision });
    }

    /// Writes a key in one phase.
    fn put(&mut self, sequence: u64, h: u64, key: &str, value: &str) {
        self.one_phase(txn(sequence), h, writes(&[(key, Some(value))]));
        self.sync();
        assert_eq!(self.votes().last(), Some(&Vote::Yes(Timestamp(h))));
    }

    fn votes(&self) -> Vec<Vote> {
        let votes = self.sent.iter().filter_map(|(_, message)| match message {
            Message::Commit(
                CommitMessage::Vote { vote, .. } | CommitMessage::OnePhaseDone { vote, .. },
            ) => Some(vote.clone()),
            _ => None,
        });
        votes.collect()
    }

    /// Whether the coordinator has heard, or hears some time from now, that a commit is
    /// durable.
    fn has_acknowledged(&mut self, txn: TxnId) -> bool {
        self.now.mono = self.now.mono + Duration::from_millis(5);
        self.event(Event::Wake);
        let ack = |message: &Message| match message {
            Message::Commit(CommitMessage::Ack { txns }) => txns.contains(&txn),
            _ => false,
        };
        self.sent.iter().any(|(_, message)| ack(message))
    }

    fn has_sent(&self, message: &CommitMessage) -> bool {
        self.sent.iter().any(|(_, sent)| *sent == Message::Commit(message.clone()))
    }
}

fn txn(sequence: u64) -> TxnId {
    TxnId { session: SessionId { epoch: Epoch(1), number: 1 }, sequence }
}

fn writes(list: &[(&str, Option<&str>)]) -> Bytes {
    let mut set = WriteSet::default();
    for (key, value) in list {
        set.push(key.as_bytes(), value.map(str::as_bytes));
    }
    set.finish()
}

fn value_of(reply: Option<DataReply>) -> Option<String> {
    let Some(DataReply::Values { values, .. }) = reply else { panic!("{reply:?}") };
    let value = Values::read(&values).next().unwrap().unwrap();
    value.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

fn incarnation_of(reply: &Option<DataReply>) -> Option<Incarnation> {
    let Some(DataReply::Values { incarnation, .. }) = reply else { panic!("{reply:?}") };
    *incarnation
}

#[test]
fn a_yes_leaves_when_it_is_durable_and_a_crash_keeps_it_with_its_locks() {
    let mut world = World::new();
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    assert_eq!(world.votes(), []);
    world.sync();
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100))]);
    let mut world = world.crash();
    world.welcome(2, 2000);
    let other = TxnId { session: SessionId { epoch: Epoch(2), number: 1 }, sequence: 1 };
    assert_eq!(world.read(other, "k", ReadMode::Shared), None);
    let before = world.sent.len();
    world.decide(txn(1), Decision::Commit(Timestamp(1100)));
    assert!(!world.has_acknowledged(txn(1)));
    assert_eq!(value_of(world.replies(before).pop()).as_deref(), Some("new"));
    world.sync();
    assert!(world.has_acknowledged(txn(1)));
}

#[test]
fn a_crash_before_it_is_durable_forgets_it() {
    let mut world = World::new();
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    let mut world = world.crash();
    world.welcome(2, 2000);
    let other = TxnId { session: SessionId { epoch: Epoch(2), number: 1 }, sequence: 1 };
    assert_eq!(value_of(world.read(other, "k", ReadMode::Shared)), None);
}

#[test]
fn a_prepare_whose_locks_were_lost_is_refused() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Exclusive));
    world.event(Event::Disconnected(CLIENT));
    world.prepare(txn(1), 1100, given, writes(&[("k", Some("new"))]));
    assert_eq!(world.votes(), [Vote::No(Reason::LocksLost)]);
    // The same again stays refused, also without the incarnation.
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    assert_eq!(world.votes().last(), Some(&Vote::No(Reason::LocksLost)));
}

#[test]
fn a_reader_keeps_its_locks_until_it_knows_the_commit_timestamp() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Shared));
    world.prepare(txn(1), 1100, given, Bytes::new());
    assert_eq!(world.votes(), [Vote::Read(Timestamp(1100))]);
    world.one_phase(txn(2), 1110, writes(&[("k", Some("new"))]));
    world.sync();
    assert_eq!(world.votes().len(), 1);
    world.hear(CommitMessage::Release { txn: txn(1), at: Timestamp(1500) });
    world.sync();
    // The writer comes after the reader, at whatever h it was sent.
    assert_eq!(world.votes()[1], Vote::Yes(Timestamp(1501)));
}

#[test]
fn a_vote_above_the_window_is_a_no() {
    let mut world = World::new();
    assert_eq!(value_of(world.snapshot(999, "k")), None);
    world.hear(CommitMessage::Window { hi: Timestamp(5000) });
    assert_eq!(value_of(world.snapshot(3000, "k")), None);
    world.prepare(txn(1), 1100, None, writes(&[("k", Some("new"))]));
    assert_eq!(world.votes(), [Vote::No(Reason::WindowPassed)]);
}

#[test]
fn a_snapshot_waits_for_a_prepared_writer_below_it_and_for_no_other() {
    let mut world = World::new();
    world.put(1, 1050, "k", "old");
    world.prepare(txn(2), 1100, None, writes(&[("k", Some("new"))]));
    // Logged and not yet durable counts as prepared.
    assert_eq!(world.snapshot(1200, "k"), None);
    assert_eq!(value_of(world.snapshot(1099, "k")).as_deref(), Some("old"));
    world.sync();
    let before = world.sent.len();
    world.decide(txn(2), Decision::Commit(Timestamp(1150)));
    assert_eq!(value_of(world.replies(before).pop()).as_deref(), Some("new"));
    // What commits later commits above what was read.
    world.one_phase(txn(3), 1160, writes(&[("k", Some("newer"))]));
    world.sync();
    assert_eq!(world.votes().last(), Some(&Vote::Yes(Timestamp(1201))));
    // It is shown when the oracle is past it.
    assert_eq!(world.snapshot(1300, "k"), None);
    let before = world.sent.len();
    world.hear(CommitMessage::Release { txn: txn(3), at: Timestamp(1201) });
    assert_eq!(value_of(world.replies(before).pop()).as_deref(), Some("newer"));
}

#[test]
fn a_snapshot_ahead_of_the_window_is_asked_about_and_refused() {
    let mut world = World::new();
    assert_eq!(world.snapshot(7000, "k"), None);
    assert!(world.has_sent(&CommitMessage::AskWindow));
    let before = world.sent.len();
    let asked = world.asked;
    world.answer(asked, CommitMessage::Window { hi: Timestamp(5000) });
    let refused = DataReply::Refused(Reason::SnapshotInFuture);
    assert_eq!(world.replies(before), [refused]);
}

/// A window that was on its way when the snapshot was drawn says nothing of it.
#[test]
fn only_an_answer_to_the_question_refuses_a_snapshot() {
    let mut world = World::new();
    assert_eq!(world.snapshot(7000, "k"), None);
    let first = world.asked;
    assert_eq!(world.snapshot(7001, "k"), None);
    let before = world.sent.len();
    world.hear(CommitMessage::Window { hi: Timestamp(5000) });
    assert_eq!(world.replies(before), []);
    world.answer(first, CommitMessage::Window { hi: Timestamp(7000) });
    assert_eq!(world.replies(before), [DataReply::Refused(Reason::SnapshotInFuture)]);
    let before = world.sent.len();
    world.hear(CommitMessage::Window { hi: Timestamp(8000) });
    assert_eq!(value_of(world.replies(before).pop()), None);
    assert_eq!(world.replies(before).len(), 1);
}

#[test]
fn what_an_inquiry_did_not_find_never_happens() {
    let mut world = World::new();
    world.hear(CommitMessage::InquireOnePhase { txn: txn(1), h: Timestamp(1100) });
    world.one_phase(txn(1), 1100, writes(&[("k", Some("late"))]));
    world.sync();
    let no = Vote::No(Reason::Presumed);
    assert_eq!(world.votes(), [no.clone(), no]);
    // Nor after a restart: the window was closed above it.
    let mut world = world.crash();
    world.welcome(1, 2000);
    world.one_phase(txn(1), 1100, writes(&[("k", Some("late"))]));
    assert_eq!(world.votes(), [Vote::No(Reason::WindowPassed)]);
}

#[test]
fn a_one_phase_commit_is_remembered_until_the_low_water_mark_passes_it() {
    let mut world = World::new();
    world.put(1, 1100, "k", "new");
    let mut world = world.crash();
    world.hear(CommitMessage::Call { epoch: Epoch(2) });
    world.sync();
    let remembered = world.sent.iter().rev().find_map(|(_, message)| match message {
        Message::Commit(CommitMessage::Join { remembered, .. }) => Some(*remembered),
        _ => None,
    });
    assert_eq!(remembered, Some(1));
    world.welcome(2, 2000);
    world.hear(CommitMessage::InquireOnePhase { txn: txn(1), h: Timestamp(1100) });
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100))]);
}

#[test]
fn a_deadlock_is_found_when_it_closes_and_the_cycle_is_told() {
    let mut world = World::new();
    world.read(txn(1), "a", ReadMode::Exclusive);
    world.read(txn(2), "b", ReadMode::Exclusive);
    assert_eq!(world.read(txn(1), "b", ReadMode::Exclusive), None);
    let before = world.sent.len();
    world.read(txn(2), "a", ReadMode::Exclusive);
    let replies = world.replies(before);
    let told = replies.iter().find_map(|reply| match reply {
        DataReply::Refused(Reason::Deadlock(deadlock)) => Some(deadlock.to_string()),
        _ => None,
    });
    let story = "deadlock of 2: t1.1.2 waits for t1.1.1 (X on key a, s1), \
                 t1.1.1 waits for t1.1.2 (X on key b, s1); t1.1.2 was aborted: it began last";
    assert_eq!(told.as_deref(), Some(story));
    // The other one goes on.
    assert_eq!(replies.len(), 2);
}

#[test]
fn a_lapsed_session_frees_its_locks_but_not_those_of_a_voter() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "voted", ReadMode::Exclusive));
    world.prepare(txn(1), 1100, given, writes(&[("voted", Some("new"))]));
    world.sync();
    world.read(txn(2), "reading", ReadMode::Exclusive);
    world.now.mono = Mono(20_000_000);
    world.event(Event::Wake);
    let other = |sequence| TxnId { session: SessionId { epoch: Epoch(1), number: 2 }, sequence };
    assert_eq!(value_of(world.read(other(1), "reading", ReadMode::Shared)), None);
    assert_eq!(world.read(other(2), "voted", ReadMode::Shared), None);
}

#[test]
fn a_checkpoint_and_the_log_behind_it_give_the_same_state() {
    let settings = Settings { checkpoint_bytes: 400, ..settings() };
    let mut world = World::recover(settings, vec![], None);
    world.welcome(1, 1000);
    for i in 0..40 {
        world.put(i + 1, 1010 + i, &format!("k{}", i % 7), &format!("v{i}"));
    }
    world.prepare(txn(50), 1100, None, writes(&[("k0", Some("prepared"))]));
    world.sync();
    for i in 51..60 {
        world.put(i, 1050 + i, "other", &format!("v{i}"));
    }
    assert!(world.checkpoint.as_ref().is_some_and(|(start, _)| *start > Lsn(20)));
    let mut world = world.crash();
    world.welcome(2, 2000);
    world.hear(CommitMessage::Window { hi: Timestamp(3000) });
    for i in 34..40 {
        let found = value_of(world.snapshot(1099, &format!("k{}", i % 7)));
        assert_eq!(found, Some(format!("v{i}")));
    }
    assert_eq!(world.snapshot(2500, "k0"), None);
    let before = world.sent.len();
    world.decide(txn(50), Decision::Commit(Timestamp(1100)));
    assert_eq!(value_of(world.replies(before).pop()).as_deref(), Some("prepared"));
}

/// Requests that no honest client sends get an answer and harm nobody.
#[test]
fn odd_requests_are_refused() {
    let mut world = World::new();
    world.put(1, 1050, "k", "old");
    let twice = writes(&[("k", Some("a")), ("k", Some("b"))]);
    world.one_phase(txn(2), 1100, twice);
    assert_eq!(world.votes().last(), Some(&Vote::No(Reason::Malformed)));
    world.one_phase(txn(3), 1100, Bytes::from_static(b"no writes"));
    assert_eq!(world.votes().last(), Some(&Vote::No(Reason::Malformed)));
    let access = |txn| Access {
        txn,
        standing: Standing { age: Timestamp::MAX, priority: 100 },
        holds_elsewhere: false,
        incarnation: None,
        map_epoch: 1,
        snapshot: None,
        wait: LockWait::Millis(u32::MAX),
        returns: 0,
    };
    let keys = Bytes::from_static(b"\xff\xff\xff\x00");
    let request = DataRequest::Read { access: access(txn(4)), mode: ReadMode::Shared, keys };
    assert_eq!(world.ask(request), Some(DataReply::Refused(Reason::Malformed)));
    let stale = Access { map_epoch: 9, ..access(txn(5)) };
    let request =
        DataRequest::Read { access: stale, mode: ReadMode::Shared, keys: Keys::one(b"k") };
    assert_eq!(world.ask(request), Some(DataReply::Refused(Reason::StaleMap)));
    let carried = Access { incarnation: Some(Incarnation(9)), ..access(txn(6)) };
    let request =
        DataRequest::Read { access: carried, mode: ReadMode::Shared, keys: Keys::one(b"k") };
    assert_eq!(world.ask(request), Some(DataReply::Refused(Reason::LocksLost)));
    assert_eq!(value_of(world.read(txn(7), "k", ReadMode::Shared)).as_deref(), Some("old"));
}

/// It installs nothing before the oracle is known to be past that.
#[test]
fn the_only_writer_commits_after_what_others_have_voted() {
    let mut world = World::new();
    world.one_phase_after(txn(1), 1100, 1500, writes(&[("k", Some("v"))]));
    world.sync();
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(1500))]);
    assert_eq!(world.shard.stats().locks, 1);
    world.hear(CommitMessage::Release { txn: txn(1), at: Timestamp(1500) });
    assert_eq!(world.shard.stats().locks, 0);
}

/// Unless it has committed, and whatever it waits for.
#[test]
fn the_only_writer_aborts_when_it_is_told_to() {
    let mut world = World::new();
    let told = |sequence| CommitMessage::AbortOnePhase {
        txn: txn(sequence),
        h: Timestamp(1100),
        reason: Reason::VoteTimeout,
    };
    // It has read, and was not asked to commit.
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Exclusive));
    // It waits for that lock.
    world.one_phase_after(txn(2), 1100, 1500, writes(&[("k", Some("v"))]));
    world.hear(told(2));
    world.hear(told(1));
    // It is not known.
    world.hear(told(3));
    let no = Vote::No(Reason::VoteTimeout);
    assert_eq!(world.votes(), [no.clone(), no.clone(), no.clone()]);
    assert_eq!((world.shard.stats().locks, given.is_some()), (0, true));
    for sequence in 1..=3 {
        world.one_phase_after(txn(sequence), 1100, 1500, writes(&[("k", Some("v"))]));
    }
    assert_eq!(world.votes()[3..], [no.clone(), no.clone(), no]);
    world.one_phase_after(txn(4), 1100, 1500, writes(&[("k", Some("v"))]));
    world.hear(told(4));
    world.sync();
    world.hear(told(4));
    let yes = Vote::Yes(Timestamp(1500));
    assert_eq!(world.votes()[6..], [yes.clone(), yes]);
}
