//! Operations: several writers of one key at once.

use synod_common::key::Key;
use synod_common::limits::{Limit, VALUE_BYTES};
use synod_common::message::bulk::Write;
use synod_common::operation::{IntegerOp, Operation, number};

use super::*;

const fn add(n: i64) -> Write<'static> {
    Write::Operate(Operation::Integer(IntegerOp::Add(n)))
}

const fn min(n: i64) -> Write<'static> {
    Write::Operate(Operation::Integer(IntegerOp::Min(n)))
}

const fn append(bytes: &[u8]) -> Write<'_> {
    Write::Operate(Operation::Append(bytes))
}

fn set(list: &[(&str, Write<'_>)]) -> Bytes {
    let mut set = WriteSet::default();
    for (key, write) in list {
        set.push(key.as_bytes(), *write);
    }
    set.finish()
}

fn number_of(reply: Option<DataReply>) -> Option<i64> {
    let Some(DataReply::Values { values, .. }) = reply else { panic!("{reply:?}") };
    number(Values::read(&values).next().unwrap().unwrap()?)
}

fn of_epoch_2(sequence: u64) -> TxnId {
    TxnId { session: SessionId { epoch: Epoch(2), number: 1 }, sequence }
}

impl World {
    fn add_one_phase(&mut self, sequence: u64, h: u64, n: i64) {
        self.one_phase(txn(sequence), h, set(&[("k", add(n))]));
        self.sync();
    }

    fn commit(&mut self, sequence: u64, at: u64) {
        self.decide(txn(sequence), Decision::Commit(Timestamp(at)));
    }
}

#[test]
fn adders_vote_side_by_side_and_are_done_in_the_order_of_their_timestamps() {
    let mut world = World::new();
    world.add_one_phase(1, 1050, 100);
    world.prepare(txn(2), 1100, None, set(&[("k", add(1))]));
    world.prepare(txn(3), 1101, None, set(&[("k", min(50))]));
    world.prepare(txn(4), 1102, None, set(&[("k", add(10))]));
    world.sync();
    let votes = [1050, 1100, 1101, 1102].map(|m| Vote::Yes(Timestamp(m)));
    assert_eq!(world.votes(), votes, "nobody waited");
    // The last one first, and the first one at a later time than the others.
    world.commit(4, 1102);
    world.commit(3, 1110);
    world.commit(2, 1120);
    let seen = [1099, 1102, 1110, 1119, 1120].map(|at| number_of(world.snapshot(at, "k")));
    assert_eq!(seen, [100, 110, 50, 50, 51].map(Some));
    assert_eq!(number_of(world.read(txn(9), "k", ReadMode::Shared)), Some(51));
}

#[test]
fn a_snapshot_waits_for_every_prepared_writer_of_a_key_below_it() {
    let mut world = World::new();
    for (sequence, h) in [(1, 1100), (2, 1101), (3, 1300)] {
        world.prepare(txn(sequence), h, None, set(&[("k", add(1))]));
    }
    world.sync();
    assert_eq!(world.snapshot(1200, "k"), None);
    let before = world.sent.len();
    world.commit(1, 1100);
    assert_eq!(world.replies(before), [], "the second may still commit below");
    world.commit(2, 1150);
    let replies = world.replies(before);
    assert_eq!(replies.into_iter().map(|reply| number_of(Some(reply))).next(), Some(Some(2)));
    // So does one that reads the range.
    let before = world.sent.len();
    let range = synod_common::key::KeyRange::all();
    let scan = DataRequest::SnapshotScan {
        at: Timestamp(1400),
        map_epoch: 1,
        range,
        limit: 0,
        reverse: false,
    };
    assert_eq!(world.ask(scan), None);
    world.decide(txn(3), Decision::Abort);
    assert_eq!(world.replies(before).len(), 1);
}

#[test]
fn an_integer_operation_on_text_is_refused_and_nothing_of_it_is_done() {
    let mut world = World::new();
    world.put(1, 1050, "text", "hello");
    world.one_phase(txn(2), 1100, set(&[("a", add(1)), ("text", add(1))]));
    world.prepare(txn(3), 1101, None, set(&[("b", Write::Put(b"x")), ("text", min(1))]));
    world.sync();
    let no = Vote::No(Reason::NotAnInteger(Key::from("text")));
    assert_eq!(world.votes()[1..], [no.clone(), no]);
    for key in ["a", "b"] {
        assert_eq!(value_of(world.read(txn(9), key, ReadMode::Shared)), None);
    }
    assert_eq!(value_of(world.read(txn(9), "text", ReadMode::Shared)).as_deref(), Some("hello"));
    // What the transaction before it makes of the key counts.
    world.one_phase(txn(4), 1110, set(&[("fresh", append(b"12345678")), ("fresh", add(0))]));
    world.sync();
    assert_eq!(world.votes().last(), Some(&Vote::Yes(Timestamp(1110))));
}

#[test]
fn an_append_counts_what_others_may_append() {
    let mut world = World::new();
    let half = vec![b'x'; VALUE_BYTES / 2];
    let too_large = Vote::No(Reason::TooLarge(Limit::ValueBytes));
    world.prepare(txn(1), 1100, None, set(&[("k", append(&half))]));
    world.prepare(txn(2), 1101, None, set(&[("k", append(&half))]));
    world.prepare(txn(3), 1102, None, set(&[("k", append(b"one"))]));
    world.sync();
    assert_eq!(world.votes()[0], too_large);
    // Room for it is made by an abort only.
    world.commit(1, 1100);
    world.prepare(txn(4), 1103, None, set(&[("k", append(b"one"))]));
    assert_eq!(world.votes().last(), Some(&too_large));
    world.decide(txn(2), Decision::Abort);
    world.prepare(txn(5), 1104, None, set(&[("k", append(b"one"))]));
    world.sync();
    assert_eq!(world.votes().last(), Some(&Vote::Yes(Timestamp(1104))));
}

#[test]
fn who_has_read_the_key_is_alone_with_it() {
    let mut world = World::new();
    let given = incarnation_of(&world.read(txn(1), "k", ReadMode::Shared));
    world.prepare(txn(1), 1100, given, set(&[("k", add(1))]));
    world.prepare(txn(2), 1101, None, set(&[("k", add(1))]));
    world.prepare(txn(3), 1102, None, set(&[("other", add(1))]));
    world.sync();
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(1100)), Vote::Yes(Timestamp(1102))]);
    // After a restart it still is.
    let mut world = world.crash();
    world.welcome(2, 2000);
    world.hear(CommitMessage::Prepare {
        txn: of_epoch_2(1),
        h: Timestamp(2100),
        hi: Timestamp(3000),
        incarnation: None,
        low_water: Timestamp::ZERO,
        participants: vec![ShardId(1), ShardId(2)],
        acceptors: vec![],
        implicit: false,
        terms: terms(Validation::Locked),
        read_bytes: 0,
        writes: set(&[("k", add(1))]),
    });
    world.sync();
    assert_eq!(world.votes(), []);
    world.commit(1, 1100);
    world.sync();
    assert_eq!(world.votes(), [Vote::Yes(Timestamp(2100))]);
}

#[test]
fn a_restart_finds_all_adders_of_a_key_and_their_locks() {
    let mut world = World::new();
    world.prepare(txn(1), 1100, None, set(&[("k", add(1))]));
    world.prepare(txn(2), 1101, None, set(&[("k", add(10))]));
    world.sync();
    let mut world = world.crash();
    world.welcome(2, 2000);
    assert_eq!(world.read(of_epoch_2(1), "k", ReadMode::Shared), None);
    let before = world.sent.len();
    world.commit(2, 1101);
    assert_eq!(world.replies(before), []);
    world.commit(1, 1100);
    assert_eq!(number_of(world.replies(before).pop()), Some(11));
}

#[test]
fn a_checkpoint_and_the_log_behind_it_count_everything_once() {
    let settings = Settings { checkpoint_bytes: 600, ..settings() };
    let mut world = World::recover(settings, vec![], None);
    world.welcome(1, 1000);
    for i in 0..60 {
        world.one_phase(txn(i + 1), 1010 + i, set(&[("k", add(1)), ("l", append(b"."))]));
        world.sync();
        if i % 7 == 0 {
            // Some of it is folded before it is written down.
            world.hear(CommitMessage::SafePoint { at: Timestamp(1005 + i) });
        }
    }
    assert!(world.checkpoint.as_ref().is_some_and(|(start, _)| *start > Lsn(20)));
    let mut world = world.crash();
    world.welcome(2, 2000);
    assert_eq!(number_of(world.read(of_epoch_2(1), "k", ReadMode::Shared)), Some(60));
    let dots = value_of(world.read(of_epoch_2(1), "l", ReadMode::Shared));
    assert_eq!(dots.map(|dots| dots.len()), Some(60));
}
